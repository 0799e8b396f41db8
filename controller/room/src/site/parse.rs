//! The text of `site.toml` -> [`Site`], reporting every problem at once.
//!
//! ```text
//! bytes --decode--> text --toml--> spanned tree --sections--> Raw (each value or nothing)
//!                                                     |
//!                             cross: names, references, cycles, values against each other
//!                                                     |
//!                                no error? --build--> Site<Real> | Site<Simulated>
//! ```
//! It opens no file: that a key file exists is looked at by `yagura check`. Everything that has
//! a default has it here, by name; safety limits (alarm limits, the outage policy, what happens
//! when a server does not stop) have none.

use super::problem::{Kind, Problem, Severity, Sink};
use super::reader::{At, Found, Reader};
use super::{
    Channel, Confirm, ContactKind, Device, DeviceKind, ExecAction, Host, Label, Limit, Loopback, Mqtt, Node,
    OnFailure, OutagePolicy, Priority, Real, RealAction, Secret, Side, Simulated, SimulatedAction, Site,
    SnmpVersion, SshAction, Web, World, preset,
};
use crate::time::Millis;
use shared::Quantity;
use shared::limit::MAX_CHANNELS;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// Longest site file in bytes: a full room (below) with comments needs less than half.
pub const MAX_TEXT: usize = 1 << 20;
/// Most sensor nodes of a site.
pub const MAX_NODES: usize = 256;
/// Most polled devices of a site.
pub const MAX_DEVICES: usize = 64;
/// Most servers of a site.
pub const MAX_HOSTS: usize = 256;
/// Most `[[limit]]` tables of a site; a preset counts as one.
pub const MAX_LIMITS: usize = 1024;

/// Silence of a node that is noticed: heartbeats come every 10 s.
pub const SILENT_AFTER: Millis = Millis::from_secs(20);
/// Poll interval on mains.
pub const POLL: Millis = Millis::from_secs(5);
/// Poll interval while any UPS is on battery.
pub const POLL_ON_BATTERY: Millis = Millis(500);
/// Time-out of one SNMP request.
pub const TIMEOUT: Millis = Millis(1000);
/// Requests sent again before a poll counts as failed.
pub const RETRIES: u8 = 2;
/// Longest time until an SSH connection is authenticated.
pub const CONNECT_TIMEOUT: Millis = Millis::from_secs(5);
/// Longest time until an SSH command or a program ends.
pub const COMMAND_TIMEOUT: Millis = Millis::from_secs(30);

const HOUR: Millis = Millis::from_secs(3600);

/// What came out of a text.
#[derive(Debug)]
pub struct Outcome<W: World> {
    /// The site; `None` when a problem is an error.
    pub site: Option<Site<W>>,
    /// Everything found, in the order of the file; warnings too.
    pub problems: Vec<Problem>,
}

/// A real site. Relative paths are taken from the folder `base`.
///
/// # Errors
/// Every problem of the text when at least one of them is an error.
pub fn real(text: &str, base: &Path) -> Result<Site<Real>, Vec<Problem>> {
    let outcome = read::<Real>(text, base);
    outcome.site.ok_or(outcome.problems)
}

/// A simulated site: the same format, but only actions `ssh` towards loopback.
///
/// # Errors
/// Every problem of the text when at least one of them is an error.
pub fn simulated(text: &str, base: &Path) -> Result<Site<Simulated>, Vec<Problem>> {
    let outcome = read::<Simulated>(text, base);
    outcome.site.ok_or(outcome.problems)
}

/// The bytes of a file as text.
///
/// # Errors
/// One problem that names the encoding the file seems to have.
pub fn decode(bytes: &[u8]) -> Result<&str, Problem> {
    let (offset, message, hint) = if bytes.len() > MAX_TEXT {
        (
            0,
            format!("the file is longer than {MAX_TEXT} bytes"),
            "is it a site file?",
        )
    } else if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        (0, "the file is UTF-16".to_owned(), SAVE_AS)
    } else {
        match std::str::from_utf8(bytes) {
            Ok(text) => return Ok(text),
            Err(why) => {
                let at = why.valid_up_to();
                let name = if looks_like_cp932(&bytes[at..]) {
                    "the file is not UTF-8; it looks like Shift_JIS (CP932)"
                } else {
                    "the file is not UTF-8"
                };
                (at, name.to_owned(), SAVE_AS)
            }
        }
    };
    let good = std::str::from_utf8(&bytes[..offset]).unwrap_or_default();
    let (line, column) = super::problem::place(good, offset);
    Err(Problem {
        line,
        column,
        message,
        hint: Some(hint.to_owned()),
        severity: Severity::Error,
        kind: Kind::Encoding,
    })
}

const SAVE_AS: &str = "save it as UTF-8 (メモ帳: 名前を付けて保存 → 文字コード UTF-8)";

/// Lead and trail bytes of a double-byte character of CP932, or half-width katakana.
fn looks_like_cp932(bytes: &[u8]) -> bool {
    match bytes {
        [0xa1..=0xdf, ..] => true,
        [0x81..=0x9f | 0xe0..=0xfc, trail, ..] => matches!(trail, 0x40..=0x7e | 0x80..=0xfc),
        _ => false,
    }
}

/// The worlds this file can describe.
pub trait Hands: World {
    /// Turns an action of the file into one of this world, or says why it has none.
    ///
    /// # Errors
    /// Why this world refuses the action.
    fn action(raw: RawAction) -> Result<Self::Action, &'static str>;
}

/// An action as it stands in the file.
#[derive(Debug, Clone)]
pub enum RawAction {
    /// `kind = "ssh"`
    Ssh(SshAction<SocketAddr>),
    /// `kind = "exec"`
    Exec(ExecAction),
}

impl Hands for Real {
    fn action(raw: RawAction) -> Result<RealAction, &'static str> {
        Ok(match raw {
            RawAction::Ssh(ssh) => RealAction::Ssh(ssh),
            RawAction::Exec(exec) => RealAction::Exec(exec),
        })
    }
}

impl Hands for Simulated {
    fn action(raw: RawAction) -> Result<SimulatedAction, &'static str> {
        match raw {
            RawAction::Exec(_) => Err("a simulated site has no programs to start"),
            RawAction::Ssh(ssh) => {
                let addr = Loopback::new(ssh.addr)
                    .ok_or("a simulated site reaches nothing but loopback (127.0.0.0/8, ::1)")?;
                Ok(SimulatedAction::Ssh(SshAction {
                    addr,
                    user: ssh.user,
                    key_file: ssh.key_file,
                    host_key: ssh.host_key,
                    command: ssh.command,
                    connect_timeout: ssh.connect_timeout,
                    command_timeout: ssh.command_timeout,
                }))
            }
        }
    }
}

/// Reads a site of either world, with its warnings.
#[must_use]
pub fn read<W: Hands>(text: &str, base: &Path) -> Outcome<W> {
    let sink = Sink::new(text);
    if text.len() > MAX_TEXT {
        sink.error(
            Kind::Encoding,
            &(0..0),
            format!("the text is longer than {MAX_TEXT} bytes"),
        );
        return Outcome {
            site: None,
            problems: sink.finish(),
        };
    }
    if text.starts_with('\u{feff}') {
        sink.warning(
            Kind::Encoding,
            &(0..0),
            "the file begins with a byte order mark (BOM)",
            "save it as UTF-8 without BOM",
        );
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        syntax(&sink, error);
    }
    let raw = sections::<W>(&root, base, &sink);
    super::cross::check(&raw, &sink, W::SIMULATED);
    let built = build(raw);
    let problems = sink.finish();
    let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
    debug_assert!(
        refused || built.is_some(),
        "a value is missing but nothing was reported"
    );
    Outcome {
        site: if refused { None } else { built },
        problems,
    }
}

/// One syntax error, named after the character that most probably caused it.
fn syntax(sink: &Sink<'_>, error: &toml::de::Error) {
    let span = error.span().unwrap_or(0..0);
    let text = sink.text();
    let start = (0..=span.start.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let odd = outside_of_strings(line).find_map(|(at, ch)| {
        super::problem::odd_character(ch)
            .filter(|_| ch != '\t')
            .map(|name| (at, name))
    });
    let message = error.message().replace('\n', ", ");
    match odd {
        Some((at, name)) => {
            let at = line_start + at;
            sink.error_hint(
                Kind::Syntax,
                &(at..at),
                format!("{name} stands outside of quotes"),
                format!("type it in half-width (半角); the reader says: {message}"),
            );
        }
        None if line.contains(": ") && !line.contains('=') => {
            sink.error_hint(Kind::Syntax, &span, message, "write key = value, not key: value");
        }
        None => sink.error(Kind::Syntax, &span, message),
    }
}

/// The characters of a line that are neither in a string nor in a comment.
fn outside_of_strings(line: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    let mut comment = false;
    line.char_indices().filter(move |&(_, ch)| {
        match quote {
            Some(open) if ch == open => quote = None,
            Some(_) => return false,
            None if ch == '"' || ch == '\'' => quote = Some(ch),
            None if ch == '#' => comment = true,
            None => {}
        }
        !comment
    })
}

/// A site file as far as it could be read.
pub(super) struct Raw<W: World> {
    name: Found<Label>,
    data_dir: Found<PathBuf>,
    pub(super) web: Option<RawWeb>,
    pub(super) mqtt: Option<RawMqtt>,
    pub(super) nodes: Vec<RawNode>,
    pub(super) devices: Vec<RawDevice>,
    pub(super) hosts: Vec<RawHost<W>>,
    pub(super) limits: Vec<RawLimit>,
    pub(super) outage: Option<RawOutage>,
}

pub(super) struct RawWeb {
    pub(super) listen: Found<SocketAddr>,
    pub(super) exposed: bool,
}

pub(super) enum RawMqtt {
    Builtin {
        listen: Found<SocketAddr>,
        exposed: bool,
    },
    External {
        addr: Found<String>,
        user: Found<String>,
        password_file: Found<PathBuf>,
    },
}

pub(super) struct RawNode {
    pub(super) id: Found<u16>,
    pub(super) name: Found<String>,
    label: Found<Label>,
    key_file: Found<PathBuf>,
    silent_after: Found<Millis>,
    pub(super) channels: Vec<RawChannel>,
}

pub(super) struct RawChannel {
    pub(super) channel: Found<u8>,
    pub(super) point: Found<String>,
    label: Found<Label>,
    pub(super) quantity: Found<Quantity>,
    contact: Option<ContactKind>,
}

pub(super) struct RawDevice {
    pub(super) name: Found<String>,
    label: Found<Label>,
    pub(super) kind: Found<DeviceKind>,
    pub(super) addr: Found<SocketAddr>,
    version: Found<SnmpVersion>,
    pub(super) community: Found<String>,
    profile: Found<String>,
    pub(super) poll: Found<Millis>,
    pub(super) poll_on_battery: Found<Millis>,
    pub(super) timeout: Found<Millis>,
    pub(super) retries: Found<u8>,
}

pub(super) struct RawHost<W: World> {
    pub(super) span: Range<usize>,
    pub(super) name: Found<String>,
    label: Found<Label>,
    pub(super) feeds: Vec<At<String>>,
    pub(super) need: Found<usize>,
    pub(super) depends_on: Vec<At<String>>,
    pub(super) action: Option<W::Action>,
    /// Longest time that the action may take by its own settings.
    pub(super) action_longest: Found<Millis>,
    /// What the action is aimed at, to find the same server twice.
    pub(super) aim: Found<String>,
    pub(super) confirm: Found<Confirm>,
    pub(super) budget: Found<Millis>,
    on_failure: Found<OnFailure>,
}

pub(super) struct RawLimit {
    pub(super) id: Found<String>,
    pub(super) point: Found<String>,
    pub(super) side: Found<Side>,
    pub(super) limit: Found<f64>,
    pub(super) deadband: Found<f64>,
    pub(super) on_delay: Found<Millis>,
    pub(super) off_delay: Found<Millis>,
    pub(super) priority: Found<Priority>,
    action: Found<Label>,
    /// What the point must measure, when a preset says so.
    pub(super) measures: Option<Quantity>,
}

pub(super) struct RawOutage {
    pub(super) span: Range<usize>,
    pub(super) on_battery_delay: Found<Millis>,
    reserve: Found<Millis>,
    start_at_charge: Found<f64>,
    pub(super) longest_on_battery: Found<Millis>,
    pub(super) contact_lost_after: Found<Millis>,
    mains_stable: Found<Millis>,
}

fn sections<'a, W: Hands>(
    root: &'a toml::Spanned<DeTable<'a>>,
    base: &'a Path,
    sink: &'a Sink<'a>,
) -> Raw<W> {
    let mut r = Reader::new(root.get_ref(), 0..0, "the site file", sink, base);
    let raw = Raw {
        name: r.label("name", "name = { ja = \"第一サーバ室\", en = \"Server room 1\" }"),
        data_dir: r.path("data_dir", "data_dir = \"/var/lib/yagura\""),
        web: r
            .table("web", "[web]", "[web] with listen = \"127.0.0.1:8080\"")
            .map(web),
        mqtt: r
            .table("mqtt", "[mqtt]", "[mqtt] with listen = \"127.0.0.1:1883\"")
            .map(mqtt),
        nodes: r
            .tables("node", "[[node]]", MAX_NODES)
            .into_iter()
            .map(node)
            .collect(),
        devices: r
            .tables("device", "[[device]]", MAX_DEVICES)
            .into_iter()
            .map(device)
            .collect(),
        hosts: r
            .tables("host", "[[host]]", MAX_HOSTS)
            .into_iter()
            .map(host::<W>)
            .collect(),
        limits: r
            .tables("limit", "[[limit]]", MAX_LIMITS)
            .into_iter()
            .flat_map(limit)
            .collect(),
        outage: r.table_or("outage", "[outage]").map(outage),
    };
    r.finish();
    raw
}

fn web(mut r: Reader<'_>) -> RawWeb {
    let web = RawWeb {
        listen: r.addr("listen", "\"127.0.0.1:8080\""),
        exposed: r.flag_or("exposed").is_some_and(|flag| flag.value),
    };
    r.finish();
    web
}

fn mqtt(mut r: Reader<'_>) -> RawMqtt {
    let external = r.has("broker");
    if external && r.has("listen") {
        r.sink().error_hint(
            Kind::Conflict,
            &r.span,
            "`listen` and `broker` exclude each other in [mqtt]",
            "`listen` is our own endpoint, `broker` is a broker of the site; keep one",
        );
    }
    let broker = r.text_or("broker");
    let user = r.text_or("user");
    let password_file = r.path_or("password_file");
    let exposed = r.flag_or("exposed").is_some_and(|flag| flag.value);
    let mqtt = if external {
        if let Some(addr) = &broker
            && !host_and_port(&addr.value)
        {
            r.sink().error_hint(
                Kind::Value,
                &addr.span,
                format!("`broker` = \"{}\" is not host and port", addr.value),
                super::problem::first_odd(&addr.value).map_or_else(
                    || "e.g. \"192.168.10.2:1883\"".to_owned(),
                    |odd| format!("it contains {odd}"),
                ),
            );
        }
        if user.is_some() != password_file.is_some() && r.has("user") != r.has("password_file") {
            r.sink().error_hint(
                Kind::Missing,
                &r.span,
                "`user` and `password_file` belong together in [mqtt]",
                "write both or neither",
            );
        }
        // Known, so that it is not reported twice.
        let _ = r.has("listen").then(|| r.text_or("listen"));
        RawMqtt::External {
            addr: broker,
            user,
            password_file,
        }
    } else {
        for (key, at) in [
            ("user", user.as_ref().map(|user| &user.span)),
            ("password_file", password_file.as_ref().map(|file| &file.span)),
        ] {
            if let Some(at) = at {
                r.sink().error_hint(
                    Kind::Conflict,
                    at,
                    format!("`{key}` needs `broker` in [mqtt]"),
                    "accounts of our own endpoint are made from the nodes' keys",
                );
            }
        }
        RawMqtt::Builtin {
            listen: r.addr("listen", "\"192.168.10.2:1883\", or broker = \"host:1883\""),
            exposed,
        }
    };
    r.finish();
    mqtt
}

fn host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    !host.is_empty()
        && host
            .chars()
            .all(|ch| ch.is_ascii_alphanumeric() || matches!(ch, '.' | '-' | ':' | '_'))
        && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn narrow_to<N: TryFrom<i64>>(found: Found<i64>) -> Found<N> {
    let found = found?;
    Some(At {
        value: N::try_from(found.value).ok()?,
        span: found.span,
    })
}

/// A label, or the name when none is written.
fn label(r: &mut Reader<'_>, name: &Found<String>) -> Found<Label> {
    if r.has("label") {
        return r.label_or("label");
    }
    let none = r.label_or("label");
    none.or_else(|| {
        name.as_ref().map(|name| At {
            value: Label::new(name.value.clone(), name.value.clone()),
            span: name.span.clone(),
        })
    })
}

/// A duration with a default.
fn span_or(r: &mut Reader<'_>, key: &'static str, range: (Millis, Millis), default: Millis) -> Found<Millis> {
    let written = r.has(key);
    let found = r.duration_or(key, range);
    if written {
        return found;
    }
    Some(At {
        value: default,
        span: r.span.clone(),
    })
}

fn node(mut r: Reader<'_>) -> RawNode {
    let name = r.name("name");
    let node = RawNode {
        id: narrow_to(r.whole("id", 1..=65_535, "the number the node was given, from 1 to 65535")),
        label: label(&mut r, &name),
        name,
        key_file: r.path("key_file", "the file with the node's key, 64 hex digits"),
        silent_after: span_or(&mut r, "silent_after", (Millis(500), HOUR), SILENT_AFTER),
        channels: {
            let channels = r.tables("channel", "[[node.channel]]", MAX_CHANNELS);
            if channels.is_empty() && !r.has("channel") {
                r.missing("channel", "at least one [[node.channel]] after its [[node]]");
            }
            channels.into_iter().map(channel).collect()
        },
    };
    r.finish();
    node
}

fn channel(mut r: Reader<'_>) -> RawChannel {
    let quantities: Vec<(String, Quantity)> = Quantity::ALL
        .iter()
        .map(|quantity| (quantity_word(*quantity), *quantity))
        .collect();
    let quantities: Vec<(&str, Quantity)> = quantities.iter().map(|(word, q)| (word.as_str(), *q)).collect();
    let point = r.dotted("point", true);
    let top = i64::try_from(MAX_CHANNELS).unwrap_or(1) - 1;
    let channel = narrow_to(r.whole("channel", 0..=top, "the number of the input on the node, from 0"));
    let quantity = r.word("quantity", &quantities);
    let contact = r.word_or(
        "contact",
        &[
            ("door", ContactKind::Door),
            ("leak", ContactKind::Leak),
            ("smoke", ContactKind::Smoke),
            ("tamper", ContactKind::Tamper),
        ],
    );
    match (&quantity, &contact) {
        (Some(q), None) if q.value == Quantity::Contact && !r.has("contact") => {
            r.missing("contact", "what the contact guards: door, leak, smoke or tamper");
        }
        (Some(q), Some(contact)) if q.value != Quantity::Contact => r.sink().error_hint(
            Kind::Conflict,
            &contact.span,
            "`contact` belongs to quantity = \"contact\" alone",
            "remove it, or correct the quantity",
        ),
        _ => {}
    }
    let channel = RawChannel {
        channel,
        label: label(&mut r, &point),
        point,
        quantity,
        contact: contact.map(|contact| contact.value),
    };
    r.finish();
    channel
}

/// The reserved word of a quantity, the same as on the API.
#[must_use]
pub fn quantity_word(quantity: Quantity) -> String {
    serde_json::to_value(quantity)
        .ok()
        .and_then(|word| word.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn device(mut r: Reader<'_>) -> RawDevice {
    let name = r.name("name");
    let retries = if r.has("retries") {
        narrow_to(r.whole_or("retries", 0..=5))
    } else {
        let _ = r.whole_or("retries", 0..=5);
        Some(At {
            value: RETRIES,
            span: r.span.clone(),
        })
    };
    let device = RawDevice {
        label: label(&mut r, &name),
        name,
        kind: r.word("kind", &[("ups", DeviceKind::Ups), ("other", DeviceKind::Other)]),
        addr: r.addr("addr", "\"192.168.10.11:161\""),
        version: r.word("version", &[("v1", SnmpVersion::V1), ("v2c", SnmpVersion::V2c)]),
        community: r.text("community", "the agent's read-only community"),
        profile: r.text_or("profile"),
        poll: span_or(&mut r, "poll", (Millis(100), Millis::from_secs(600)), POLL),
        poll_on_battery: span_or(
            &mut r,
            "poll_on_battery",
            (Millis(50), Millis::from_secs(60)),
            POLL_ON_BATTERY,
        ),
        timeout: span_or(&mut r, "timeout", (Millis(50), Millis::from_secs(30)), TIMEOUT),
        retries,
    };
    r.finish();
    device
}

fn host<W: Hands>(mut r: Reader<'_>) -> RawHost<W> {
    let name = r.name("name");
    let need = if r.has("need") {
        narrow_to(r.whole_or("need", 1..=8))
    } else {
        let _ = r.whole_or("need", 1..=8);
        Some(At {
            value: 1,
            span: r.span.clone(),
        })
    };
    if !r.has("feeds") {
        r.missing(
            "feeds",
            "the UPSs that supply it, e.g. feeds = [\"ups-a\", \"ups-b\"]",
        );
    }
    let feeds = r.list("feeds");
    if r.has("feeds") && feeds.is_empty() {
        r.sink().error_hint(
            Kind::Value,
            &r.span,
            "`feeds` of a [[host]] is empty",
            "a host without a UPS needs no plan; name what supplies it, or take the host out",
        );
    }
    let (action, action_longest, aim) = action_of::<W>(&mut r);
    let host = RawHost {
        span: r.span.clone(),
        label: label(&mut r, &name),
        name,
        feeds,
        need,
        depends_on: r.list("depends_on"),
        action,
        action_longest,
        aim,
        confirm: confirm(&mut r),
        budget: r.duration(
            "budget",
            (Millis(500), Millis::from_secs(7200)),
            "the longest time from request to confirmed, measured in a rehearsal, e.g. \"3m\"",
        ),
        on_failure: r.word(
            "on_failure",
            &[("go_on", OnFailure::GoOn), ("hold", OnFailure::Hold)],
        ),
    };
    r.finish();
    host
}

#[derive(Clone, Copy)]
enum ActionKind {
    Ssh,
    Exec,
}

fn action_of<W: Hands>(host: &mut Reader<'_>) -> (Option<W::Action>, Found<Millis>, Found<String>) {
    let hint = "[host.action] with kind = \"ssh\" or \"exec\"";
    let Some(mut r) = host.table("action", "[host.action]", hint) else {
        return (None, None, None);
    };
    let span = r.span.clone();
    let kind = r.word("kind", &[("ssh", ActionKind::Ssh), ("exec", ActionKind::Exec)]);
    let raw = match kind.as_ref().map(|kind| kind.value) {
        None => return (None, None, None),
        Some(ActionKind::Ssh) => ssh(&mut r),
        Some(ActionKind::Exec) => exec(&mut r),
    };
    r.finish();
    let Some((raw, longest, aim)) = raw else {
        return (None, None, None);
    };
    let longest = Some(At {
        value: longest,
        span: span.clone(),
    });
    let aim = Some(At {
        value: aim,
        span: span.clone(),
    });
    match W::action(raw) {
        Ok(action) => (Some(action), longest, aim),
        Err(why) => {
            host.sink().error(Kind::Value, &span, why);
            (None, longest, aim)
        }
    }
}

fn ssh(r: &mut Reader<'_>) -> Option<(RawAction, Millis, String)> {
    let range = (Millis(100), Millis::from_secs(3600));
    let addr = r.addr("addr", "\"192.168.10.21:22\"");
    let user = r.text(
        "user",
        "the account whose authorized_keys line forces the command",
    );
    let key_file = r.path("key_file", "the private key, readable by the role act alone");
    let host_key = r.text("host_key", "the server's public key: ssh-keyscan -t ed25519 HOST");
    let command = r.text("command", "what is asked for, e.g. \"stop\"");
    let connect = span_or(r, "connect_timeout", range, CONNECT_TIMEOUT);
    let length = span_or(r, "command_timeout", range, COMMAND_TIMEOUT);
    let host_key = host_key.and_then(|key| match super::cross::host_key(&key.value) {
        Ok(value) => Some(value),
        Err(why) => {
            r.sink().error_hint(
                Kind::Value,
                &key.span,
                format!("`host_key` is not a public key: {why}"),
                "type and base64 as printed by: ssh-keyscan -t ed25519 HOST",
            );
            None
        }
    });
    if let Some(user) = &user
        && !user
            .value
            .chars()
            .all(|ch| ch.is_ascii_graphic() && !matches!(ch, '@' | ':' | '/'))
    {
        r.sink().error_hint(
            Kind::Value,
            &user.span,
            format!("`user` = \"{}\" is not an account name", user.value),
            "ASCII letters, digits, - and _; the host goes into `addr`",
        );
    }
    let (addr, user, connect, length) = (addr?, user?, connect?, length?);
    let aim = format!("ssh {}", addr.value);
    let longest = Millis(connect.value.0.saturating_add(length.value.0));
    let action = RawAction::Ssh(SshAction {
        addr: addr.value,
        user: user.value,
        key_file: key_file?.value,
        host_key: host_key?,
        command: command?.value,
        connect_timeout: connect.value,
        command_timeout: length.value,
    });
    Some((action, longest, aim))
}

fn exec(r: &mut Reader<'_>) -> Option<(RawAction, Millis, String)> {
    let program = r.text("program", "the absolute path of the program; there is no shell");
    let args = r.list("args");
    let timeout = span_or(
        r,
        "timeout",
        (Millis(100), Millis::from_secs(3600)),
        COMMAND_TIMEOUT,
    );
    let program = program?;
    if !program.value.starts_with('/') {
        r.sink().error_hint(
            Kind::Value,
            &program.span,
            format!("`program` = \"{}\" is not an absolute path", program.value),
            "write the whole path, e.g. \"/usr/bin/virsh\"; arguments go into `args`",
        );
        return None;
    }
    let args: Vec<String> = args.into_iter().map(|arg| arg.value).collect();
    let aim = format!("exec {} {}", program.value, args.join("\u{1f}"));
    let timeout = timeout?.value;
    let action = RawAction::Exec(ExecAction {
        program: PathBuf::from(program.value),
        args,
        timeout,
    });
    Some((action, timeout, aim))
}

#[derive(Clone, Copy)]
enum ConfirmKind {
    PortClosed,
    ActionSucceeded,
}

fn confirm(host: &mut Reader<'_>) -> Found<Confirm> {
    let hint = "[host.confirm] with kind = \"port_closed\" or \"action_succeeded\"";
    let mut r = host.table("confirm", "[host.confirm]", hint)?;
    let span = r.span.clone();
    let kind = r.word(
        "kind",
        &[
            ("port_closed", ConfirmKind::PortClosed),
            ("action_succeeded", ConfirmKind::ActionSucceeded),
        ],
    )?;
    let value = match kind.value {
        ConfirmKind::ActionSucceeded => Some(Confirm::ActionSucceeded),
        ConfirmKind::PortClosed => r
            .addr("addr", "\"192.168.10.21:22\"")
            .map(|addr| Confirm::PortClosed { addr: addr.value }),
    };
    r.finish();
    value.map(|value| At { value, span })
}

fn limit(mut r: Reader<'_>) -> Vec<RawLimit> {
    const SAFETY: &str = "safety limits have no default";
    let point = r.dotted("point", true);
    if r.has("preset") {
        let words: Vec<(&str, usize)> = preset::PRESETS
            .iter()
            .enumerate()
            .map(|(index, preset)| (preset.name, index))
            .collect();
        let chosen = r.word("preset", &words);
        r.finish();
        return match (chosen, point) {
            (Some(chosen), Some(point)) => preset::PRESETS[chosen.value].limits(&point),
            _ => Vec::new(),
        };
    }
    let _ = r.text_or("preset");
    let delay = (Millis(0), HOUR);
    let side = r.word("side", &[("high", Side::High), ("low", Side::Low)]);
    let id = if r.has("id") {
        r.dotted("id", false)
    } else {
        let _ = r.dotted("id", false);
        point.as_ref().zip(side.as_ref()).map(|(point, side)| At {
            value: format!("{}.{}", point.value, side_word(side.value)),
            span: point.span.clone(),
        })
    };
    let limit = RawLimit {
        id,
        side,
        limit: r.number("limit", SAFETY),
        deadband: r.number("deadband", "how far inside it must return, e.g. 0.5"),
        on_delay: r.duration(
            "on_delay",
            delay,
            "how long it must hold, e.g. \"30s\"; \"0s\" for at once",
        ),
        off_delay: r.duration("off_delay", delay, "how long it must be back, e.g. \"60s\""),
        priority: r.word(
            "priority",
            &[
                ("advisory", Priority::Advisory),
                ("warning", Priority::Warning),
                ("critical", Priority::Critical),
            ],
        ),
        action: r.label("action", "what the person who reads the alarm does"),
        point,
        measures: None,
    };
    r.finish();
    vec![limit]
}

impl RawLimit {
    /// One limit of a preset.
    pub(super) fn of_preset(point: &At<String>, measures: Quantity, limit: Limit) -> Self {
        fn at<T>(span: &Range<usize>, value: T) -> Found<T> {
            Some(At {
                value,
                span: span.clone(),
            })
        }
        let span = &point.span;
        Self {
            id: at(span, limit.id),
            point: Some(point.clone()),
            side: at(span, limit.side),
            limit: at(span, limit.limit),
            deadband: at(span, limit.deadband),
            on_delay: at(span, limit.on_delay),
            off_delay: at(span, limit.off_delay),
            priority: at(span, limit.priority),
            action: at(span, limit.action),
            measures: Some(measures),
        }
    }
}

/// `high` or `low`.
pub(super) const fn side_word(side: Side) -> &'static str {
    match side {
        Side::High => "high",
        Side::Low => "low",
    }
}

fn outage(mut r: Reader<'_>) -> RawOutage {
    let day = Millis::from_secs(86_400);
    let start_at_charge = r.number(
        "start_at_charge",
        "percent, e.g. 40; safety limits have no default",
    );
    if let Some(charge) = &start_at_charge
        && !(1.0..=99.0).contains(&charge.value)
    {
        r.sink().error_hint(
            Kind::Value,
            &charge.span,
            format!("`start_at_charge` = {} is out of range", charge.value),
            "from 1 to 99 percent: at 100 a full battery would start the plan",
        );
    }
    let outage = RawOutage {
        span: r.span.clone(),
        on_battery_delay: r.duration(
            "on_battery_delay",
            (Millis(0), HOUR),
            "how long an outage is ridden through, e.g. \"60s\"",
        ),
        reserve: r.duration(
            "reserve",
            (Millis(0), HOUR),
            "what stays in the battery beyond the plan, e.g. \"2m\"",
        ),
        start_at_charge,
        longest_on_battery: r.duration(
            "longest_on_battery",
            (Millis(1000), day),
            "when the plan starts whatever the UPS says, e.g. \"10m\"",
        ),
        contact_lost_after: r.duration(
            "contact_lost_after",
            (Millis(500), HOUR),
            "when a silent UPS has lost contact, e.g. \"30s\"",
        ),
        mains_stable: r.duration(
            "mains_stable",
            (Millis(500), HOUR),
            "how long mains must be back, e.g. \"60s\"",
        ),
    };
    r.finish();
    outage
}

/// The site, when nothing is missing.
fn build<W: World>(raw: Raw<W>) -> Option<Site<W>> {
    let web = Web {
        listen: raw.web?.listen?.value,
    };
    let mqtt = match raw.mqtt? {
        RawMqtt::Builtin { listen, .. } => Mqtt::Builtin {
            listen: listen?.value,
        },
        RawMqtt::External {
            addr,
            user,
            password_file,
        } => Mqtt::External {
            addr: addr?.value,
            user: user.map(|user| user.value),
            password_file: password_file.map(|file| file.value),
        },
    };
    let outage = match raw.outage {
        None => None,
        Some(outage) => Some(OutagePolicy {
            on_battery_delay: outage.on_battery_delay?.value,
            reserve: outage.reserve?.value,
            start_at_charge: outage.start_at_charge?.value,
            longest_on_battery: outage.longest_on_battery?.value,
            contact_lost_after: outage.contact_lost_after?.value,
            mains_stable: outage.mains_stable?.value,
        }),
    };
    Some(Site {
        name: raw.name?.value,
        data_dir: raw.data_dir?.value,
        web,
        mqtt,
        nodes: raw.nodes.into_iter().map(build_node).collect::<Option<_>>()?,
        devices: raw.devices.into_iter().map(build_device).collect::<Option<_>>()?,
        hosts: raw.hosts.into_iter().map(build_host).collect::<Option<_>>()?,
        limits: raw.limits.into_iter().map(build_limit).collect::<Option<_>>()?,
        outage,
    })
}

fn build_node(raw: RawNode) -> Option<Node> {
    let channels = raw.channels.into_iter().map(|raw| {
        Some(Channel {
            channel: raw.channel?.value,
            point: raw.point?.value,
            label: raw.label?.value,
            quantity: raw.quantity?.value,
            contact: raw.contact,
        })
    });
    Some(Node {
        id: raw.id?.value,
        name: raw.name?.value,
        label: raw.label?.value,
        key_file: raw.key_file?.value,
        silent_after: raw.silent_after?.value,
        channels: channels.collect::<Option<_>>()?,
    })
}

fn build_device(raw: RawDevice) -> Option<Device> {
    Some(Device {
        name: raw.name?.value,
        label: raw.label?.value,
        kind: raw.kind?.value,
        addr: raw.addr?.value,
        version: raw.version?.value,
        community: Secret(raw.community?.value),
        profile: raw.profile.map(|profile| profile.value),
        poll: raw.poll?.value,
        poll_on_battery: raw.poll_on_battery?.value,
        timeout: raw.timeout?.value,
        retries: raw.retries?.value,
    })
}

fn build_host<W: World>(raw: RawHost<W>) -> Option<Host<W>> {
    Some(Host {
        name: raw.name?.value,
        label: raw.label?.value,
        feeds: raw.feeds.into_iter().map(|feed| feed.value).collect(),
        need: raw.need?.value,
        depends_on: raw.depends_on.into_iter().map(|host| host.value).collect(),
        action: raw.action?,
        confirm: raw.confirm?.value,
        budget: raw.budget?.value,
        on_failure: raw.on_failure?.value,
    })
}

fn build_limit(raw: RawLimit) -> Option<Limit> {
    Some(Limit {
        id: raw.id?.value,
        point: raw.point?.value,
        side: raw.side?.value,
        limit: raw.limit?.value,
        deadband: raw.deadband?.value,
        on_delay: raw.on_delay?.value,
        off_delay: raw.off_delay?.value,
        priority: raw.priority?.value,
        action: raw.action?.value,
    })
}

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

use super::act::http::HttpAction;
use super::act::ipmi::IpmiAction;
use super::act::redfish::RedfishAction;
use super::act::wol::WolAction;
use super::problem::{Kind, Lines, Problem, Severity, Sink};
use super::{
    DeviceAction, ExecAction, Loopback, NutAction, Real, RealAction, Simulated, SimulatedAction, Site,
    SshAction, World,
};
use crate::time::Millis;
use shared::Quantity;
use std::net::SocketAddr;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest site file in bytes: a full room (below) with comments needs less than half.
pub const MAX_TEXT: usize = 8 << 20;
/// Most sensor nodes of a site.
pub const MAX_NODES: usize = 256;
/// Most polled devices of a site.
pub const MAX_DEVICES: usize = 10_000;
/// Most servers of a site.
pub const MAX_HOSTS: usize = 256;
/// Groups of devices.
pub const MAX_GROUPS: usize = 256;
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

const LOOPBACK_ONLY: &str = "a simulated site reaches nothing but loopback (127.0.0.0/8, ::1)";

/// An action as it stands in the file.
#[derive(Debug, Clone)]
pub enum RawAction {
    /// `kind = "ssh"`
    Ssh(SshAction<SocketAddr>),
    /// `kind = "exec"`
    Exec(ExecAction),
    /// `kind = "device"`
    Device(DeviceAction<SocketAddr>),
    /// `kind = "nut"`
    Nut(NutAction),
    /// `kind = "redfish"`
    Redfish(RedfishAction),
    /// `kind = "ipmi"`
    Ipmi(IpmiAction),
    /// `kind = "wol"`
    Wol(WolAction),
    /// `kind = "http"`
    Http(HttpAction),
    /// Any other: a real site takes it as it is.
    Other(RealAction),
}

impl Hands for Real {
    fn action(raw: RawAction) -> Result<RealAction, &'static str> {
        Ok(match raw {
            RawAction::Ssh(ssh) => RealAction::Ssh(ssh),
            RawAction::Exec(exec) => RealAction::Exec(exec),
            RawAction::Device(told) => RealAction::Device(told),
            RawAction::Nut(nut) => RealAction::Nut(nut),
            RawAction::Redfish(redfish) => RealAction::Redfish(redfish),
            RawAction::Ipmi(ipmi) => RealAction::Ipmi(ipmi),
            RawAction::Wol(wol) => RealAction::Wol(wol),
            RawAction::Http(http) => RealAction::Http(http),
            RawAction::Other(other) => other,
        })
    }
}

impl Hands for Simulated {
    fn action(raw: RawAction) -> Result<SimulatedAction, &'static str> {
        match raw {
            RawAction::Exec(_) => Err("a simulated site has no programs to start"),
            RawAction::Device(told) => {
                let addr = told.addr.map(|addr| Loopback::new(addr).ok_or(LOOPBACK_ONLY));
                Ok(SimulatedAction::Device(DeviceAction {
                    device: told.device,
                    addr: addr.transpose()?,
                    port: told.port,
                    command: told.command,
                    value: told.value,
                }))
            }
            RawAction::Nut(_)
            | RawAction::Redfish(_)
            | RawAction::Ipmi(_)
            | RawAction::Wol(_)
            | RawAction::Http(_)
            | RawAction::Other(_) => {
                Err("a simulated site stops and starts its servers by ssh and devices alone")
            }
            RawAction::Ssh(ssh) => {
                let addr = Loopback::new(ssh.addr).ok_or(LOOPBACK_ONLY)?;
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
    let raw = super::sections::sections::<W>(&root, base, &sink);
    super::cross::check(&raw, &sink, W::SIMULATED);
    let built = super::raw::build(raw);
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

/// One step on the way to a value of the file.
#[derive(Debug, Clone, Copy)]
pub enum Step<'k> {
    /// Into a table.
    Key(&'k str),
    /// Into a list.
    Index(usize),
}

/// Line and column (from 1) of a value, for problems that only the world outside shows, such as
/// a file that is not there. The beginning of the file when there is no such value.
#[must_use]
pub fn locate(text: &str, way: &[Step<'_>]) -> (usize, usize) {
    Located::new(text).locate(way)
}

/// A text that was read once, to [`locate`] many values in it.
pub struct Located<'t> {
    text: &'t str,
    lines: Lines,
    root: Spanned<DeValue<'t>>,
}

impl<'t> Located<'t> {
    /// Reads the text as far as it can be read.
    #[must_use]
    pub fn new(text: &'t str) -> Self {
        let (root, _) = DeTable::parse_recoverable(text);
        let root = Spanned::new(root.span(), DeValue::Table(root.into_inner()));
        Self {
            text,
            lines: Lines::of(text),
            root,
        }
    }

    /// Line and column (from 1) of a value; where the last part of the way begins that is there.
    #[must_use]
    pub fn locate(&self, way: &[Step<'_>]) -> (usize, usize) {
        let mut at = &self.root;
        for step in way {
            let next = match step {
                Step::Key(key) => at.get_ref().get(*key),
                Step::Index(index) => at.get_ref().get(*index),
            };
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        self.lines.place(self.text, at.span().start)
    }
}

/// One syntax error, named after the character that most probably caused it.
pub(super) fn syntax(sink: &Sink<'_>, error: &toml::de::Error) {
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

/// The reserved word of a quantity, the same as on the API.
#[must_use]
pub fn quantity_word(quantity: Quantity) -> String {
    serde_json::to_value(quantity)
        .ok()
        .and_then(|word| word.as_str().map(str::to_owned))
        .unwrap_or_default()
}

//! The tables of the site file, one function for each: which keys they have, of what type, in
//! which range and with which default. The example site shows every one of them.
// Long because each table of the site file is one function here.

use super::act::{http, ipmi, redfish, wol};
use super::derived::RawDerived;
use super::parse::{
    COMMAND_TIMEOUT, CONNECT_TIMEOUT, Hands, MAX_DEVICES, MAX_GROUPS, MAX_HOSTS, MAX_LIMITS, MAX_NODES, POLL,
    POLL_ON_BATTERY, RETRIES, RawAction, TIMEOUT,
};
use super::problem::{Kind, Sink};
use super::raw::{
    Raw, RawDevice, RawDoing, RawHost, RawLimit, RawMqtt, RawOutage, RawStart, RawWeb, side_word,
};
use super::reader::{At, Found, Reader};
use super::{
    Confirm, DeviceKind, ExecAction, Label, NutAction, OnFailure, Priority, Side, SshAction, StepTimes,
    preset,
};
use crate::outage::Verb;
use crate::time::Millis;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

pub(super) const HOUR: Millis = Millis::from_secs(3600);
/// Longest time between two rehearsals: after ten years nobody remembers the last one.
const REHEARSED_WITHIN_DAYS: u64 = 3_653;

pub(super) fn sections<'a, W: Hands>(
    root: &'a toml::Spanned<DeTable<'a>>,
    base: &'a Path,
    sink: &'a Sink<'a>,
) -> Raw<W> {
    let mut r = Reader::new(root.get_ref(), 0..0, "the site file", sink, base);
    let has_profiles = r.has("profiles_dir");
    let mut derived: Vec<RawDerived> = r
        .tables("derived", "[[derived]]", super::derived::MAX_DERIVED)
        .into_iter()
        .map(super::derived::derived)
        .collect();
    let mut limits = Vec::new();
    for table in r.tables("limit", "[[limit]]", MAX_LIMITS) {
        let (of_table, brought) = limit(table);
        limits.extend(of_table);
        derived.extend(brought);
    }
    let raw = Raw {
        name: r.label("name", "name = { ja = \"第一サーバ室\", en = \"Server room 1\" }"),
        data_dir: r.path("data_dir", "data_dir = \"/var/lib/yagura\""),
        profiles_dir: r.path_or("profiles_dir"),
        web: r
            .table("web", "[web]", "[web] with listen = \"127.0.0.1:8080\"")
            .map(web),
        mqtt: r
            .table("mqtt", "[mqtt]", "[mqtt] with listen = \"127.0.0.1:1883\"")
            .map(mqtt),
        nodes: r
            .tables("node", "[[node]]", MAX_NODES)
            .into_iter()
            .map(super::nodes::node)
            .collect(),
        devices: r
            .tables("device", "[[device]]", MAX_DEVICES)
            .into_iter()
            .map(|r| device(r, has_profiles))
            .collect(),
        groups: r
            .tables("group", "[[group]]", MAX_GROUPS)
            .into_iter()
            .map(super::groups::group)
            .collect(),
        traps: r.table_or("snmp", "[snmp]").and_then(traps),
        nut_server: r
            .table_or("nut_server", "[nut_server]")
            .map(super::nut_server::section),
        notifiers: r
            .tables("notifier", "[[notifier]]", super::notifier::MAX_NOTIFIERS)
            .into_iter()
            .map(super::notifier::notifier)
            .collect(),
        procedures: r
            .tables("procedure", "[[procedure]]", super::procedures::MAX_PROCEDURES)
            .into_iter()
            .map(super::procedures::procedure)
            .collect(),
        notices: super::notice::notices(&mut r),
        hosts: r
            .tables("host", "[[host]]", MAX_HOSTS)
            .into_iter()
            .map(host::<W>)
            .collect(),
        derived,
        limits,
        outage: r.table_or("outage", "[outage]").map(outage),
        schedules: r
            .tables("schedule", "[[schedule]]", super::schedule::MAX_SCHEDULES)
            .into_iter()
            .map(super::schedule::schedule)
            .collect(),
        operators: r
            .table_or("operators", "[operators]")
            .map(super::outage::operators)
            .unwrap_or_default(),
        access: r.table_or("access", "[access]").map(super::doors::access),
        update_key: super::nodes::update_key(&mut r),
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

/// `[snmp]`: what is the site's and no device's.
fn traps(mut r: Reader<'_>) -> Found<std::net::SocketAddr> {
    let listen = r.addr("trap_listen", "\"0.0.0.0:162\"");
    r.finish();
    listen
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

pub(super) fn narrow_to<N: TryFrom<i64>>(found: Found<i64>) -> Found<N> {
    let found = found?;
    Some(At {
        value: N::try_from(found.value).ok()?,
        span: found.span,
    })
}

/// A label, or the name when none is written.
pub(super) fn label(r: &mut Reader<'_>, name: &Found<String>) -> Found<Label> {
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
pub(super) fn span_or(
    r: &mut Reader<'_>,
    key: &'static str,
    range: (Millis, Millis),
    default: Millis,
) -> Found<Millis> {
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

fn device(mut r: Reader<'_>, has_profiles: bool) -> RawDevice {
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
    let kind = r.word("kind", &DeviceKind::WORDS);
    let poll = span_or(&mut r, "poll", (Millis(100), Millis::from_secs(600)), POLL);
    // In an outage every second of a UPS and of what chooses between two counts; to read ten
    // thousand others faster would take the time from these.
    let hurries = kind
        .as_ref()
        .is_none_or(|kind| matches!(kind.value, DeviceKind::Ups | DeviceKind::Ats));
    let on_battery = match &poll {
        Some(poll) if !hurries => poll.value,
        _ => POLL_ON_BATTERY,
    };
    let link = super::link::link(&mut r);
    let commands = super::write::commands(&mut r);
    let write = super::write::write(&mut r, &link, &commands);
    let device = RawDevice {
        label: label(&mut r, &name),
        name,
        kind,
        link,
        profile: profile(&mut r, has_profiles),
        poll,
        poll_on_battery: span_or(
            &mut r,
            "poll_on_battery",
            (Millis(50), Millis::from_secs(600)),
            on_battery,
        ),
        timeout: span_or(&mut r, "timeout", (Millis(50), Millis::from_secs(30)), TIMEOUT),
        retries,
        behind: r.text_or("behind"),
        uplinks: r.list("uplinks"),
        fed_by: r.list("fed_by"),
        battery: super::battery::battery(&mut r),
        test: r.table_or("test", "[device.test]").map(super::self_test::section),
        commands,
        write,
    };
    r.finish();
    device
}

/// The name of a profile, or nothing to detect it. What is in the site's own folder only the disk
/// knows.
fn profile(r: &mut Reader<'_>, has_profiles: bool) -> Found<String> {
    if has_profiles {
        return r.text_or("profile");
    }
    let names = crate::profile::BUILTIN.map(|(name, _)| (name, name));
    let found = r.word_or("profile", &names)?;
    Some(At {
        value: found.value.to_owned(),
        span: found.span,
    })
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
            "what its supplies are plugged into: UPSs, PDUs or outlets, e.g. feeds = [\"ups-a\", \"pdu-2/5\"]",
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
    let hint = "[host.action] with kind = \"ssh\", \"exec\", \"nut\" or \"device\"";
    let action = match r.table("action", Verb::Stop.section(), hint) {
        Some(mut doing) => {
            let action = doing_of::<W>(&mut doing, Verb::Stop);
            doing.finish();
            action
        }
        None => nothing(),
    };
    let force = r.table_or("force", Verb::Force.section()).map(|mut doing| {
        let force = doing_of::<W>(&mut doing, Verb::Force);
        doing.finish();
        force
    });
    let start = r.table_or("start", Verb::Start.section()).map(start::<W>);
    let host = RawHost {
        span: r.span.clone(),
        label: label(&mut r, &name),
        name,
        feeds,
        need,
        depends_on: r.list("depends_on"),
        action,
        force,
        start,
        confirm: confirm(&mut r),
        budget: r.duration(
            "budget",
            (Millis(500), Millis::from_secs(7200)),
            "the longest time from request to confirmed, measured in a rehearsal, e.g. \"3m\"",
        ),
        on_failure: r.word(
            "on_failure",
            &[
                ("go_on", OnFailure::GoOn),
                ("hold", OnFailure::Hold),
                ("force", OnFailure::Force),
            ],
        ),
        shed_after: r.duration_or("shed_after", (Millis::from_secs(1), HOUR)),
    };
    r.finish();
    host
}

#[derive(Clone, Copy)]
enum ActionKind {
    Ssh,
    Exec,
    Device,
    Nut,
    Redfish,
    Ipmi,
    Wol,
    Http,
    Libvirt,
    Proxmox,
    Vsphere,
    Winrm,
}

/// Every kind of action, and what it can do to a host.
const KINDS: [(&str, ActionKind, &[Verb]); 12] = {
    use Verb::{Force, Start, Stop};
    let all: &[Verb] = &[Stop, Force, Start];
    [
        ("ssh", ActionKind::Ssh, all),
        ("exec", ActionKind::Exec, all),
        // The word of a UPS is heard by a host that runs and means to obey.
        ("nut", ActionKind::Nut, &[Stop]),
        ("device", ActionKind::Device, all),
        ("redfish", ActionKind::Redfish, all),
        ("ipmi", ActionKind::Ipmi, all),
        ("wol", ActionKind::Wol, &[Start]),
        ("http", ActionKind::Http, all),
        ("libvirt", ActionKind::Libvirt, all),
        ("proxmox", ActionKind::Proxmox, all),
        ("vsphere", ActionKind::Vsphere, all),
        ("winrm", ActionKind::Winrm, all),
    ]
};

/// Kinds of action that can do this to a host.
fn kinds(verb: Verb) -> Vec<(&'static str, ActionKind)> {
    let able = KINDS.iter().filter(|(_, _, verbs)| verbs.contains(&verb));
    able.map(|(word, kind, _)| (*word, *kind)).collect()
}

fn start<W: Hands>(mut r: Reader<'_>) -> RawStart<W> {
    let doing = doing_of::<W>(&mut r, Verb::Start);
    let start = RawStart {
        doing,
        alive: match r.has("alive") {
            true => r.addr("alive", "\"192.168.10.21:22\""),
            false => {
                let _ = r.text_or("alive");
                None
            }
        },
        budget: r.duration(
            "budget",
            (Millis(500), Millis::from_secs(7200)),
            "the longest time from switching it on until it serves, e.g. \"10m\"",
        ),
    };
    r.finish();
    start
}

fn nothing<A>() -> RawDoing<A> {
    RawDoing {
        action: None,
        told: None,
        longest: None,
        aim: None,
    }
}

/// How something is done to a host; the table is finished by the caller.
fn doing_of<W: Hands>(r: &mut Reader<'_>, verb: Verb) -> RawDoing<W::Action> {
    let span = r.span.clone();
    let kind = r.word("kind", &kinds(verb));
    let mut told = None;
    let raw = match kind.as_ref().map(|kind| kind.value) {
        None => {
            r.forgive();
            return nothing();
        }
        Some(ActionKind::Ssh) => ssh(r),
        Some(ActionKind::Exec) => exec(r),
        Some(ActionKind::Device) => super::write::told(r).map(|(found, longest, aim)| {
            told = Some(found);
            (None, longest, aim)
        }),
        Some(ActionKind::Nut) => nut(r),
        Some(ActionKind::Redfish) => raw_of(redfish::read(r, verb), RawAction::Redfish),
        Some(ActionKind::Ipmi) => raw_of(ipmi::read(r, verb), RawAction::Ipmi),
        Some(ActionKind::Wol) => raw_of(wol::read(r), RawAction::Wol),
        Some(ActionKind::Http) => raw_of(http::read(r), RawAction::Http),
        Some(ActionKind::Libvirt) => super::act::libvirt::read(r, verb),
        Some(ActionKind::Proxmox) => super::act::proxmox::read(r, verb),
        Some(ActionKind::Vsphere) => super::act::vsphere::read(r, verb),
        Some(ActionKind::Winrm) => super::act::winrm::read(r, verb),
    };
    let Some((raw, longest, aim)) = raw else {
        return nothing();
    };
    fn at<T>(span: &std::ops::Range<usize>, value: T) -> Found<T> {
        Some(At {
            value,
            span: span.clone(),
        })
    }
    let asked = |action| RawDoing {
        action,
        told,
        longest: at(&span, longest),
        aim: at(&span, aim),
    };
    match raw.map(W::action).transpose() {
        Ok(action) => asked(action),
        Err(why) => {
            r.sink().error(Kind::Value, &span, why);
            asked(None)
        }
    }
}

/// An action, the longest time it may take, and what it is aimed at.
pub(super) type RawAsked = Option<(Option<RawAction>, Millis, String)>;

/// What a reader of `act` found.
fn raw_of<A>(found: Option<(A, Millis, String)>, action: impl Fn(A) -> RawAction) -> RawAsked {
    let (found, longest, aim) = found?;
    Some((Some(action(found)), longest, aim))
}

fn ssh(r: &mut Reader<'_>) -> RawAsked {
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
    let host_key = host_key.and_then(|key| match super::host_key::host_key(&key.value) {
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
    Some((Some(action), longest, aim))
}

fn nut(r: &mut Reader<'_>) -> RawAsked {
    let ups = r.name("ups");
    let addr = r.addr("addr", "where [nut_server] listens, e.g. \"192.168.10.2:3493\"");
    let (ups, addr) = (ups?.value, addr?.value);
    let aim = format!("nut {ups}");
    Some((Some(RawAction::Nut(NutAction { ups, addr })), Millis(0), aim))
}

fn exec(r: &mut Reader<'_>) -> RawAsked {
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
    Some((Some(action), timeout, aim))
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

/// A preset, by its place in its list.
#[derive(Clone, Copy)]
enum Chosen {
    One(usize),
    Pair(usize),
}

/// The limits of a preset, and the points that it brings.
fn preset_limits(mut r: Reader<'_>) -> (Vec<RawLimit>, Vec<RawDerived>) {
    let one = preset::PRESETS.iter().enumerate();
    let pair = preset::PAIR_PRESETS.iter().enumerate();
    let words: Vec<(&str, Chosen)> = one
        .map(|(index, preset)| (preset.name, Chosen::One(index)))
        .chain(pair.map(|(index, preset)| (preset.name, Chosen::Pair(index))))
        .collect();
    let chosen = r.word("preset", &words);
    let found = match chosen.map(|chosen| chosen.value) {
        Some(Chosen::One(index)) => r
            .dotted("point", true)
            .map(|point| (preset::PRESETS[index].limits(&point), Vec::new())),
        Some(Chosen::Pair(index)) => {
            let (temperature, humidity) = (r.dotted("temperature", true), r.dotted("humidity", true));
            temperature
                .zip(humidity)
                .map(|(temperature, humidity)| preset::PAIR_PRESETS[index].limits(&temperature, &humidity))
        }
        // Known, so that one mistake is reported once.
        None => {
            for key in ["point", "temperature", "humidity"] {
                let _ = r.text_or(key);
            }
            None
        }
    };
    r.finish();
    found.unwrap_or_default()
}

fn limit(mut r: Reader<'_>) -> (Vec<RawLimit>, Vec<RawDerived>) {
    const SAFETY: &str = "safety limits have no default";
    if r.has("preset") {
        return preset_limits(r);
    }
    let point = r.dotted("point", true);
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
    (vec![limit], Vec::new())
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
    let return_charge = r.number_or("return_charge");
    if let Some(charge) = &return_charge
        && !(1.0..=100.0).contains(&charge.value)
    {
        r.sink().error_hint(
            Kind::Value,
            &charge.span,
            format!("`return_charge` = {} is out of range", charge.value),
            "from 1 to 100 percent",
        );
    }
    let outage = RawOutage {
        return_after: r.duration_or("return_after", (Millis(500), day)),
        return_charge,
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
        then: super::outage::then(&mut r),
        rules: super::outage::rules(&mut r),
        step_times: r
            .word_or(
                "step_times",
                &[("budget", StepTimes::Budget), ("learnt", StepTimes::Learnt)],
            )
            .map_or_else(StepTimes::default, |word| word.value),
        rehearse_every: r
            .duration_or(
                "rehearse_every",
                (day, Millis::from_secs(REHEARSED_WITHIN_DAYS * 86_400)),
            )
            .map(|every| every.value),
        check_credentials: super::act::check_credentials(&mut r),
        finish: r.table_or("finish", "[outage.finish]").map(super::finish::finish),
    };
    r.finish();
    outage
}

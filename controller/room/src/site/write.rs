//! `device.commands` and `[device.write]`: what a device may be told, and as whom.
//!
//! Without them a device is only read. The secret that allows writing is never the one that
//! allows reading, and stands in a file that the role `act` alone can read.

use super::link::{self, Link, SnmpAccess, Usm};
use super::problem::{Kind, Sink};
use super::raw::{Raw, RawHost, RawTold};
use super::reader::{At, Found, Reader};
use super::{Confirm, Device, World};
use crate::command::{Danger, KNOWN, Name};
use crate::outage::Verb;
use crate::time::Millis;
use std::path::PathBuf;

/// Commands that a device may be told.
pub const COMMANDS_MAX: usize = 64;

/// As whom a device is told something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The file with the community for writing, of SNMPv1 and v2c.
    Community(PathBuf),
    /// A user of SNMPv3 that may write.
    User(Box<Usm>),
    /// User and password file of a NUT server, with `instcmds` or `actions` in its upsd.users.
    Login(String, PathBuf),
}

/// `device.commands`.
pub(super) fn commands(r: &mut Reader<'_>) -> Vec<At<Name>> {
    names(r, "commands")
}

/// A list of commands.
pub(super) fn names(r: &mut Reader<'_>, key: &'static str) -> Vec<At<Name>> {
    let list = r.list(key);
    if list.len() > COMMANDS_MAX {
        let message = format!("more than {COMMANDS_MAX} commands in one `{key}`");
        r.sink().error(Kind::Value, &r.span, message);
        return Vec::new();
    }
    let mut names = Vec::new();
    for text in list {
        match text.value.parse() {
            Ok(value) => names.push(At {
                value,
                span: text.span,
            }),
            Err(_) => {
                let near = super::problem::nearest(&text.value, KNOWN.iter().map(|known| known.pattern));
                r.sink().error_hint(
                    Kind::Value,
                    &text.span,
                    format!("`{}` is no command", text.value),
                    near.map_or_else(
                        || "`yagura device commands` lists them".to_owned(),
                        |near| format!("did you mean `{near}`?"),
                    ),
                );
            }
        }
    }
    names
}

/// `[device.write]`; `None` also where something is wrong with it.
pub(super) fn write(r: &mut Reader<'_>, link: &Found<Link>, commands: &[At<Name>]) -> Option<Write> {
    let table = r.table_or("write", "[device.write]");
    let Some(link) = link else { return None };
    let needs = match &link.value {
        Link::Snmp(_) | Link::Nut(_) => true,
        Link::Modbus(_) | Link::Megatec(_) => false,
    };
    let Some(mut table) = table else {
        if needs && let Some(first) = commands.first() {
            r.sink().error_hint(
                Kind::Missing,
                &first.span,
                "commands need [device.write]: the credential for reading must not write",
                match &link.value {
                    Link::Nut(_) => "write = { user = \"...\", password_file = \"...\" }, a user of upsd.users with instcmds",
                    Link::Snmp(snmp) if matches!(snmp.access, SnmpAccess::V3(_)) => {
                        "write = { user = \"...\", auth = \"sha256\", auth_password_file = \"...\", ... }, a user that may write"
                    }
                    _ => "write = { community_file = \"...\" }, the file with the community that may write",
                },
            );
        }
        return None;
    };
    let found = match &link.value {
        Link::Snmp(snmp) => match &snmp.access {
            SnmpAccess::V1(_) | SnmpAccess::V2c(_) => table
                .path("community_file", "the file with the community that may write")
                .map(|file| Write::Community(file.value)),
            SnmpAccess::V3(_) => link::usm(&mut table).map(|usm| Write::User(Box::new(usm))),
        },
        Link::Nut(_) => {
            let user = table.text("user", "a user of upsd.users with instcmds");
            let file = table.path("password_file", "the file with its password");
            user.zip(file)
                .map(|(user, file)| Write::Login(user.value, file.value))
        }
        Link::Modbus(_) | Link::Megatec(_) => {
            table.sink().error_hint(
                Kind::Conflict,
                &table.span,
                "this protocol knows no credentials, so there is none for writing",
                "take [device.write] out; who reaches the line can write",
            );
            return None;
        }
    };
    if commands.is_empty() {
        table.sink().warning(
            Kind::Conflict,
            &table.span,
            "[device.write] without `commands`: nothing may be written",
            "name what the device may be told, e.g. commands = [\"test.battery.start\"]",
        );
    }
    table.finish();
    found
}

impl Device {
    /// What is allowed and not a step of a plan: what an operator may order.
    pub fn operable(&self) -> impl Iterator<Item = Name> {
        self.commands
            .iter()
            .copied()
            .filter(|name| name.danger() != Danger::CutsPower)
    }
}

/// Time beside its own delay in which a device must be seen to have done what it was told.
const SEEN_WITHIN: Millis = Millis::from_secs(10);

/// `[host.action]` with `kind = "device"`: device, command, value; the longest time that it may
/// take, and what it is aimed at.
pub(super) fn told(r: &mut Reader<'_>) -> Option<(RawTold, Millis, String)> {
    let device = r.text("device", "the name of a [[device]], e.g. \"ups-a\"");
    let text = r.text("command", "what it is told, e.g. \"shutdown.return\"");
    let value = r.whole_or("value", 0..=i64::from(i32::MAX));
    let text = text?;
    let Ok(command) = text.value.parse::<Name>() else {
        let near = super::problem::nearest(&text.value, KNOWN.iter().map(|known| known.pattern));
        r.sink().error_hint(
            Kind::Value,
            &text.span,
            format!("`{}` is no command", text.value),
            near.map_or_else(
                || "`yagura device commands` lists them".to_owned(),
                |near| format!("did you mean `{near}`?"),
            ),
        );
        return None;
    };
    if command.danger() != Danger::CutsPower || !command.known().repeatable {
        r.sink().error_hint(
            Kind::Value,
            &text.span,
            format!("`{command}` is no step of a plan"),
            "a step switches power and may be said twice: shutdown.return, shutdown.stayoff, load.off, outlet.3.load.off",
        );
        return None;
    }
    let device = device?;
    let value = value.map(|value| value.value);
    let delay = value.map_or(Millis(0), |value| Millis::from_secs(value.unsigned_abs()));
    let aim = format!("device {} {command}", device.value);
    let told = RawTold {
        device,
        command: At {
            value: command,
            span: text.span,
        },
        value,
    };
    Some((told, Millis(delay.0.saturating_add(SEEN_WITHIN.0)), aim))
}

/// Steps that tell a device something: it is there, may be told so, and whoever it feeds is
/// stopped before.
pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let doings = raw
        .hosts
        .iter()
        .flat_map(|host| host.doings().map(move |(verb, doing)| (host, verb, doing)));
    for (host, verb, doing) in doings {
        let Some(told) = &doing.told else { continue };
        let name = host.name.as_ref().map_or("?", |name| name.value.as_str());
        let device = raw.devices.iter().find(|device| {
            device
                .name
                .as_ref()
                .is_some_and(|name| name.value == told.device.value)
        });
        let Some(device) = device else {
            sink.error_hint(
                Kind::Reference,
                &told.device.span,
                format!("`{}` is no device of this site", told.device.value),
                "the name of a [[device]]",
            );
            continue;
        };
        if !device
            .commands
            .iter()
            .any(|allowed| allowed.value == told.command.value)
        {
            sink.error_hint(
                Kind::Reference,
                &told.command.span,
                format!(
                    "{} is not allowed to be told {}",
                    told.device.value, told.command.value
                ),
                format!("add commands = [\"{}\"] to its [[device]]", told.command.value),
            );
        }
        let gives = matches!(
            told.command.value.known().pattern,
            "load.on" | "outlet.{i}.load.on"
        );
        if gives != (verb == Verb::Start) && verb != Verb::Stop {
            sink.error_hint(
                Kind::Conflict,
                &told.command.span,
                format!("{} is not what {} is for", told.command.value, verb.section()),
                "[host.force] takes the power away, [host.start] gives it: load.on, outlet.3.load.on",
            );
        }
        if verb != Verb::Stop {
            continue;
        }
        if let Some(confirm) = &host.confirm
            && confirm.value != Confirm::ActionSucceeded
        {
            sink.error_hint(
                Kind::Conflict,
                &confirm.span,
                "a device is asked itself whether it did what it was told",
                "confirm = { kind = \"action_succeeded\" }",
            );
        }
        let pattern = told.command.value.known().pattern;
        if matches!(pattern, "load.on" | "outlet.{i}.load.on" | "shutdown.stop") {
            continue;
        }
        let cut = match told.command.value.outlet() {
            None => told.device.value.clone(),
            Some(outlet) => format!("{}/{outlet}", told.device.value),
        };
        let mut graph = super::feeds::graph(raw);
        for other in &raw.hosts {
            let is_fed = other.feeds.iter().any(|feed| {
                let Ok(point) = graph.point(&feed.value) else {
                    return false;
                };
                let path = graph.path(point);
                path.iter().any(|at| graph.points()[*at].name == cut)
            });
            if !is_fed || std::ptr::eq(other, host) || waits_for(raw, other, name) {
                continue;
            }
            let other = other.name.as_ref().map_or("?", |name| name.value.as_str());
            sink.error_hint(
                Kind::Conflict,
                &told.command.span,
                format!("step {name} takes the power of host {other}, which may still run then"),
                format!(
                    "add \"{name}\" to depends_on of {other}: what depends on a step is stopped before it"
                ),
            );
        }
    }
}

/// True when `host` depends on `step`, directly or through others.
fn waits_for<W: World>(raw: &Raw<W>, host: &RawHost<W>, step: &str) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    let mut left: Vec<&str> = host.depends_on.iter().map(|name| name.value.as_str()).collect();
    while let Some(next) = left.pop() {
        if next == step {
            return true;
        }
        if seen.contains(&next) {
            continue;
        }
        seen.push(next);
        let named = raw
            .hosts
            .iter()
            .find(|host| host.name.as_ref().is_some_and(|name| name.value == next));
        left.extend(
            named
                .iter()
                .flat_map(|host| host.depends_on.iter().map(|name| name.value.as_str())),
        );
    }
    false
}

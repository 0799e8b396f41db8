//! `kind = "winrm"`: a Windows machine, or guests of its Hyper-V, by WS-Management.

use super::guests::{self, Whom};
use super::https::{self, Https};
use crate::outage::Verb;
use crate::site::RealAction;
use crate::site::parse::{COMMAND_TIMEOUT, RawAction};
use crate::site::problem::Kind;
use crate::site::reader::Reader;
use crate::site::sections::RawAsked;
use crate::time::Millis;
use std::path::PathBuf;

/// Shortest and longest time of one command; PowerShell alone may need 10 s to start on a busy machine.
const COMMANDS: (Millis, Millis) = (Millis::from_secs(1), Millis::from_secs(300));
/// Commands one after another of one order at the most: two lists before, the request itself, two after.
const EXCHANGES: u64 = 5;

/// What is done to a Windows machine or its guests by WinRM.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WinrmAction {
    /// Where the HTTPS listener of WinRM is; the machine's own address.
    pub server: Https,
    /// A local account of the machine: `yagura-stop`, or `MACHINE\yagura-stop`.
    pub user: String,
    /// File with its password, readable by the `act` role alone.
    pub password_file: PathBuf,
    /// The machine or its guests.
    pub what: Whom,
    /// Longest time of one command on it.
    pub command_timeout: Millis,
    /// What is done to it.
    pub verb: Verb,
}

/// The keys of the table beside `kind`.
pub(in crate::site) fn read(r: &mut Reader<'_>, verb: Verb) -> RawAsked {
    let server = https::read(r, "\"192.168.10.41:5986\"");
    let user = r.text("user", "a local account of the machine, e.g. \"yagura-stop\"");
    let password_file = r.path(
        "password_file",
        "the file with its password, readable by the role act alone",
    );
    let what = guests::whom(r, verb);
    let command_timeout = crate::site::sections::span_or(r, "command_timeout", COMMANDS, COMMAND_TIMEOUT);
    let user = user?;
    if user.value.contains(':') {
        r.sink().error_hint(
            Kind::Value,
            &user.span,
            format!(
                "`user` = \"{}\" has a colon in it, which cannot be sent",
                user.value
            ),
            "the account's name alone, or MACHINE\\name",
        );
        return None;
    }
    let (server, what, command_timeout) = (server?, what?, command_timeout?.value);
    if what == Whom::Host && verb == Verb::Start {
        r.sink().error_hint(
            Kind::Conflict,
            &r.span,
            "[host.start] cannot be what = \"host\": a machine that is off cannot be asked",
            "its management controller starts it: kind = \"redfish\", \"ipmi\" or \"wol\"",
        );
        return None;
    }
    let aim = format!("winrm {} {}", server.addr, what.aim());
    let each = server.timeout.0.saturating_add(command_timeout.0);
    let exchanges = if what == Whom::Host { 1 } else { EXCHANGES };
    let longest = Millis(what.longest().0.saturating_add(exchanges * each));
    let action = WinrmAction {
        server,
        user: user.value,
        password_file: password_file?.value,
        what,
        command_timeout,
        verb,
    };
    let action = RawAction::Other(RealAction::Winrm(action));
    Some((Some(action), longest, aim))
}

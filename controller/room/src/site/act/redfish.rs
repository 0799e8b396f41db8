//! `kind = "redfish"`: the management controller of a server switches it by DMTF's Redfish.
//!
//! What it is told stands in `reset`. A power cycle is no choice: told twice, it cuts a server that
//! is starting, and every request of a plan may come twice.

use super::https::{self, Https};
use crate::outage::Verb;
use crate::site::problem::Kind;
use crate::site::reader::Reader;
use crate::time::Millis;
use std::path::PathBuf;

/// Longest name of a system in characters; controllers call theirs `1`, `Self`, `System.Embedded.1`.
const MAX_SYSTEM: usize = 64;
/// Requests of one order at the most: login, the list of systems, the system, the reset, logout.
const EXCHANGES: u64 = 5;

/// `redfish`
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RedfishAction {
    /// Where the management controller is.
    pub server: Https,
    /// Account on it.
    pub user: String,
    /// File with its password, readable by the `act` role alone.
    pub password_file: PathBuf,
    /// How it is told who we are.
    pub auth: Auth,
    /// Which of its systems, by its `Id`; `None`: the only one.
    pub system: Option<String>,
    /// What it is told.
    pub reset: Reset,
}

/// `auth`
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Auth {
    /// With each request (RFC 7617). Leaves nothing behind on a controller with few sessions.
    Basic,
    /// A session, closed again at the end; for controllers where Basic is switched off.
    Session,
}

impl Auth {
    const WORDS: [(&'static str, Self); 2] = [("basic", Self::Basic), ("session", Self::Session)];
}

/// A `ResetType` of the schema `Resource`, of those that may be said twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Reset {
    /// Asks the operating system to shut down, as the power button does.
    GracefulShutdown,
    /// Cuts the power of the server at once.
    ForceOff,
    /// Switches it on.
    On,
}

impl Reset {
    /// What can be done by it: a reset that stops does not start.
    const fn words(verb: Verb) -> &'static [(&'static str, Self)] {
        match verb {
            Verb::Stop => &[
                ("GracefulShutdown", Self::GracefulShutdown),
                ("ForceOff", Self::ForceOff),
            ],
            Verb::Force => &[("ForceOff", Self::ForceOff)],
            Verb::Start => &[("On", Self::On)],
        }
    }

    /// Its name in the schema.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GracefulShutdown => "GracefulShutdown",
            Self::ForceOff => "ForceOff",
            Self::On => "On",
        }
    }

    /// True when the server is to be on afterwards.
    #[must_use]
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// The keys of the table beside `kind`, the longest time of an order, and what it is aimed at.
pub(in crate::site) fn read(r: &mut Reader<'_>, verb: Verb) -> Option<(RedfishAction, Millis, String)> {
    let server = https::read(r, "\"192.168.10.31:443\", the management controller");
    let user = r.text(
        "user",
        "an account that may switch the server, e.g. the role Operator",
    );
    let password_file = r.path(
        "password_file",
        "the file with its password, readable by the role act alone",
    );
    let auth = r
        .word_or("auth", &Auth::WORDS)
        .map_or(Auth::Basic, |auth| auth.value);
    let system = r.text_or("system");
    let reset = r.word("reset", Reset::words(verb));
    if let Some(system) = &system
        && !is_segment(&system.value)
    {
        r.sink().error_hint(
            Kind::Value,
            &system.span,
            format!("`system` = \"{}\" is not the Id of a system", system.value),
            "the last part of its path under /redfish/v1/Systems/, e.g. \"1\" or \"System.Embedded.1\"",
        );
        return None;
    }
    let server = server?;
    let longest = Millis(server.timeout.0.saturating_mul(EXCHANGES));
    let system = system.map(|system| system.value);
    let aim = format!("redfish {} {}", server.addr, system.as_deref().unwrap_or("*"));
    let action = RedfishAction {
        server,
        user: user?.value,
        password_file: password_file?.value,
        auth,
        system,
        reset: reset?.value,
    };
    Some((action, longest, aim))
}

/// One part of a path that is the same with and without percent-encoding, and leads nowhere else.
fn is_segment(text: &str) -> bool {
    (1..=MAX_SYSTEM).contains(&text.len())
        && !matches!(text, "." | "..")
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

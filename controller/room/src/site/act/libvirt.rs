//! `kind = "libvirt"`: the guests of a hypervisor that libvirt manages.

use super::guests::{self, Guests};
use crate::outage::Verb;
use crate::site::RealAction;
use crate::site::parse::{COMMAND_TIMEOUT, RawAction};
use crate::site::problem::Kind;
use crate::site::reader::Reader;
use crate::site::sections::RawAsked;
use crate::time::Millis;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Debian's virsh.
pub const VIRSH: &str = "/usr/bin/virsh";
/// Shortest and longest time of one call of virsh.
const TIMEOUTS: (Millis, Millis) = (Millis(100), Millis::from_secs(120));

/// What is done to guests by virsh.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LibvirtAction {
    /// Absolute path of virsh.
    pub program: PathBuf,
    /// The connection: `qemu:///system`, `qemu+ssh://stop@192.168.10.31/system?keyfile=...`.
    pub uri: String,
    /// Whom.
    pub guests: Guests,
    /// How a guest is asked to shut down.
    pub mode: Mode,
    /// Longest time of one call of virsh.
    pub timeout: Millis,
    /// What is done to them.
    pub verb: Verb,
}

impl LibvirtAction {
    /// Where it connects to, when the connection names an address; a name is the resolver's affair.
    #[must_use]
    pub fn reach(&self) -> Option<SocketAddr> {
        let (scheme, rest) = self.uri.split_once("://")?;
        let usual = match scheme.split_once('+')?.1 {
            "ssh" | "libssh" | "libssh2" => 22,
            "tls" => 16514,
            _ => return None,
        };
        let host = rest.split(['/', '?']).next()?;
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let alone = host.trim_start_matches('[').trim_end_matches(']');
        host.parse()
            .ok()
            .or_else(|| Some(SocketAddr::new(alone.parse().ok()?, usual)))
    }
}

/// How a guest is asked to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Mode {
    /// As the hypervisor likes best.
    Any,
    /// As if somebody pressed the power button.
    Acpi,
    /// Through the agent in the guest.
    Agent,
}

impl Mode {
    /// Every mode with its word in the site file.
    pub const WORDS: [(&'static str, Self); 3] =
        [("any", Self::Any), ("acpi", Self::Acpi), ("agent", Self::Agent)];

    /// The argument of `virsh shutdown --mode`.
    #[must_use]
    pub const fn argument(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Acpi => Some("acpi"),
            Self::Agent => Some("agent"),
        }
    }
}

/// The keys of the table beside `kind`.
pub(in crate::site) fn read(r: &mut Reader<'_>, verb: Verb) -> RawAsked {
    let program = r.text_or("program");
    let uri = r.text("uri", "the connection, e.g. \"qemu:///system\"");
    let guests = guests::read(r, verb);
    let mode = match verb {
        Verb::Stop => {
            let written = r.has("mode");
            let mode = r.word_or("mode", &Mode::WORDS).map(|mode| mode.value);
            if written { mode } else { Some(Mode::Any) }
        }
        Verb::Force | Verb::Start => Some(Mode::Any),
    };
    let timeout = crate::site::sections::span_or(r, "timeout", TIMEOUTS, COMMAND_TIMEOUT);
    if let Some(program) = &program
        && !program.value.starts_with('/')
    {
        r.sink().error_hint(
            Kind::Value,
            &program.span,
            format!("`program` = \"{}\" is not an absolute path", program.value),
            format!("leave it out for {VIRSH}"),
        );
        return None;
    }
    let uri = uri?;
    if let Err(why) = is_uri(&uri.value) {
        r.sink().error_hint(
            Kind::Value,
            &uri.span,
            format!("`uri` = \"{}\": {why}", uri.value),
            "e.g. \"qemu:///system\", \"qemu+ssh://stop@192.168.10.31/system\", \"qemu+tls://kvm1.city.example/system\"",
        );
        return None;
    }
    let (guests, timeout) = (guests?, timeout?.value);
    let aim = format!("libvirt {} {}", uri.value, guests.which.aim());
    // Listed, asked and listed again, beside what the guests are given.
    let longest = Millis(guests.longest().0.saturating_add(3 * timeout.0));
    let action = LibvirtAction {
        program: PathBuf::from(program.map_or_else(|| VIRSH.to_owned(), |program| program.value)),
        uri: uri.value,
        guests,
        mode: mode?,
        timeout,
        verb,
    };
    let action = RawAction::Other(RealAction::Libvirt(action));
    Some((Some(action), longest, aim))
}

/// A driver with an optional transport, and what follows. `+ext` would start any program, and `+tcp`
/// is in the clear.
fn is_uri(text: &str) -> Result<(), &'static str> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it contains a blank or a character that has to be percent-encoded");
    }
    let (scheme, _) = text.split_once("://").ok_or("it has no ://")?;
    let (driver, transport) = scheme
        .split_once('+')
        .map_or((scheme, None), |(driver, transport)| (driver, Some(transport)));
    if driver.is_empty() || !driver.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Err("it names no driver");
    }
    match transport {
        None | Some("ssh" | "tls" | "unix" | "libssh" | "libssh2") => {}
        Some("tcp") => return Err("+tcp goes in the clear; use +ssh or +tls"),
        Some("ext") => return Err("+ext would start any program; write it as exec"),
        Some(_) => return Err("no such transport"),
    }
    let query = text.split_once('?').map_or("", |(_, query)| query);
    // As libvirt reads them: separated by & or ;, in any case, and percent-encoded.
    for pair in query.split(['&', ';']) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key.to_ascii_lowercase().as_str() {
            "command" | "netcat" => return Err("it would start another program there"),
            "no_verify" => return Err("without verification anybody could answer"),
            "known_hosts_verify" if !value.eq_ignore_ascii_case("normal") => {
                return Err("without verification anybody could answer");
            }
            "tls_priority" => return Err("it could switch off the verification"),
            key if key.contains('%') => return Err("the name of a key is written as it is"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_firewall_is_told_addresses() {
        let reach = |uri: &str| {
            let action = LibvirtAction {
                program: VIRSH.into(),
                uri: uri.to_owned(),
                guests: Guests {
                    which: guests::Which::All { except: Vec::new() },
                    force_after: None,
                },
                mode: Mode::Any,
                timeout: COMMAND_TIMEOUT,
                verb: Verb::Stop,
            };
            action.reach().map(|addr| addr.to_string())
        };
        for (uri, expected) in [
            ("qemu:///system", None),
            ("qemu+ssh://kvm1/system", None),
            ("qemu+ssh://a@192.168.10.31/system", Some("192.168.10.31:22")),
            ("qemu+tls://192.168.10.31:999/system", Some("192.168.10.31:999")),
            ("qemu+tls://[fd00::1]/system", Some("[fd00::1]:16514")),
            ("test+unix:///default?socket=/x", None),
        ] {
            assert_eq!(reach(uri).as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn connections_are_taken_or_refused_with_the_reason() {
        for good in [
            "qemu:///system",
            "test:///default",
            "test+unix:///default?socket=/run/x",
            "qemu+ssh://stop@192.168.10.31/system?keyfile=/etc/yagura/secrets/kvm1&no_tty=1",
            "qemu+tls://kvm1.city.example/system?pkipath=/etc/yagura/pki",
        ] {
            assert_eq!(is_uri(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "system",
            "://",
            "qemu+tcp://a/system",
            "qemu+ext://a/system",
            "qemu+ssh://a/system?command=/bin/sh",
            "qemu+ssh://a/system?no_verify=1",
            "qemu+tls://a/system?keyfile=/k&NO_VERIFY=1",
            "qemu+tls://a/system?keyfile=/k;no_verify=1",
            "qemu+tls://a/system?no%5Fverify=1",
            "qemu+libssh://a/system?known_hosts_verify=ignore",
            "qemu+libssh2://a/system?known_hosts_verify=auto",
            "qemu+tls://a/system?tls_priority=NONE",
            "qemu+ssh://a/sys tem",
            "qemu+carrier-pigeon://a/",
        ] {
            assert!(is_uri(bad).is_err(), "{bad}");
        }
    }
}

//! What every action can do, and the list of actions. To add one: a file beside this one and a
//! variant of `room::site::RealAction`; the matches below then do not compile without it.

use super::device::{self, Tools};
use super::permit::{Armed, Checked};
use super::{exec, http, ipmi, libvirt, nut, proxmox, redfish, ssh, vsphere, winrm, wol};
use room::site::act::guests::Whom;
use room::site::{RealAction, SimulatedAction};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Longest text of a problem, in bytes; it goes to a record and to the page.
pub const MAX_PROBLEM: usize = 400;

/// An action on a host. Requests are safe to repeat: the target takes two as one.
pub trait Action: Clone + Send + Sync + 'static {
    /// Sees whether the request could be made. Changes nothing.
    fn check(&self, tools: &Tools, permit: Checked) -> impl Future<Output = Result<(), Problem>> + Send;

    /// Where the target itself takes the request, when it is the host that does; a host with an
    /// open address runs, whatever its other ports say.
    fn address(&self) -> Option<SocketAddr>;

    /// Makes the request; sets `sent` at the moment from which the target may act on it.
    fn request(
        &self,
        tools: &Tools,
        permit: Armed,
        sent: &Sent,
    ) -> impl Future<Output = Result<Accepted, Problem>> + Send;

    /// True when the target can be looked at after it accepted: [`Self::seen`] is to be asked, also
    /// by a role that was started again since.
    fn can_be_seen(&self) -> bool;

    /// True when [`Self::request`] looks first how the target is, and sends nothing where it is so
    /// already: such a request may be made again also after it was confirmed.
    fn looks_first(&self) -> bool {
        false
    }

    /// Looks until the target shows that it did what was asked, in a bounded time of its own.
    fn seen(&self, tools: &Tools) -> impl Future<Output = Result<(), Problem>> + Send;
}

/// How the target took the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It ended with success.
    Succeeded,
    /// It took the request and then went away before it could say how it ended, as a host
    /// does that stops its network first.
    Cut,
    /// It took the request, or may have; whether it does it is to be seen.
    ToBeSeen,
}

/// Why it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// For the record and the page: bounded, printable, in one line.
    pub text: String,
    /// Whether another try makes sense.
    pub retryable: bool,
}

impl Problem {
    /// Another try makes sense.
    #[must_use]
    pub fn passing(text: impl AsRef<str>) -> Self {
        Self {
            text: printable(text.as_ref().as_bytes(), MAX_PROBLEM),
            retryable: true,
        }
    }

    /// A file of this machine cannot be used. It lasts when the file is missing, forbidden or no
    /// text; anything else, such as too many open files, may be over at the next try.
    #[must_use]
    pub fn of_file(what: impl std::fmt::Display, error: &io::Error) -> Self {
        let text = format!("{what}: {error}");
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::InvalidData => Self::lasting(text),
            _ => Self::passing(text),
        }
    }

    /// Only a person can mend it: a missing file, its permissions, the format of a key, another
    /// host key. A doubt is no reason: a step that is not tried again leaves its host running.
    #[must_use]
    pub fn lasting(text: impl AsRef<str>) -> Self {
        Self {
            text: printable(text.as_ref().as_bytes(), MAX_PROBLEM),
            retryable: false,
        }
    }
}

/// Set once the target may have begun to act; a step cancelled before is certain to have had
/// no effect.
#[derive(Debug, Default)]
pub struct Sent(AtomicBool);

impl Sent {
    /// From now on the target may act.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the target may have begun to act.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Action for RealAction {
    async fn check(&self, tools: &Tools, permit: Checked) -> Result<(), Problem> {
        match self {
            Self::Ssh(action) => ssh::check(action, permit).await,
            Self::Exec(action) => exec::check(action, permit),
            Self::Device(action) => device::check(action, tools, permit).await,
            Self::Nut(action) => nut::check(action, permit).await,
            Self::Redfish(action) => redfish::check(action, permit).await,
            Self::Ipmi(action) => ipmi::check(action, permit).await,
            Self::Wol(action) => wol::check(action, permit).await,
            Self::Http(action) => http::check(action, permit).await,
            Self::Libvirt(action) => libvirt::check(action, permit).await,
            Self::Proxmox(action) => proxmox::check(action, permit).await,
            Self::Vsphere(action) => vsphere::check(action, permit).await,
            Self::Winrm(action) => winrm::check(action, permit).await,
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Ssh(action) => Some(action.addr),
            // The card of a UPS and a management controller answer on, whatever they switch.
            Self::Exec(_)
            | Self::Nut(_)
            | Self::Device(_)
            | Self::Redfish(_)
            | Self::Ipmi(_)
            | Self::Wol(_)
            | Self::Http(_)
            // The hypervisor takes it for its guests, and runs on.
            | Self::Libvirt(_)
            | Self::Vsphere(_) => None,
            Self::Winrm(action) => (action.what == Whom::Host).then_some(action.server.addr),
            Self::Proxmox(action) => (action.what == Whom::Host).then_some(action.server.addr),
        }
    }

    async fn request(&self, tools: &Tools, permit: Armed, sent: &Sent) -> Result<Accepted, Problem> {
        match self {
            Self::Ssh(action) => ssh::request(action, permit, sent).await,
            Self::Exec(action) => exec::request(action, permit, sent).await,
            Self::Nut(_) => Ok(nut::request(permit, sent)),
            Self::Device(action) => device::request(action, tools, permit, sent).await,
            Self::Redfish(action) => redfish::request(action, permit, sent).await,
            Self::Ipmi(action) => ipmi::request(action, permit, sent).await,
            Self::Wol(action) => wol::request(action, permit, sent).await,
            Self::Http(action) => http::request(action, permit, sent).await,
            Self::Libvirt(action) => libvirt::request(action, tools, permit, sent).await,
            Self::Proxmox(action) => proxmox::request(action, tools, permit, sent).await,
            Self::Vsphere(action) => vsphere::request(action, tools, permit, sent).await,
            Self::Winrm(action) => winrm::request(action, tools, permit, sent).await,
        }
    }

    fn can_be_seen(&self) -> bool {
        matches!(
            self,
            Self::Device(_)
                | Self::Redfish(_)
                | Self::Ipmi(_)
                | Self::Libvirt(_)
                | Self::Proxmox(_)
                | Self::Vsphere(_)
                | Self::Winrm(_)
        )
    }

    fn looks_first(&self) -> bool {
        match self {
            Self::Redfish(_) | Self::Ipmi(_) | Self::Libvirt(_) | Self::Vsphere(_) => true,
            Self::Proxmox(action) => action.what != Whom::Host,
            Self::Winrm(action) => action.what != Whom::Host,
            // Of commands of devices there are some that may not be said twice.
            Self::Device(_) | Self::Ssh(_) | Self::Exec(_) | Self::Nut(_) | Self::Wol(_) | Self::Http(_) => {
                false
            }
        }
    }

    async fn seen(&self, tools: &Tools) -> Result<(), Problem> {
        match self {
            Self::Ssh(_) | Self::Exec(_) | Self::Nut(_) | Self::Wol(_) | Self::Http(_) => {
                Err(Problem::passing("nothing of it can be seen"))
            }
            Self::Device(action) => device::seen(action, tools).await.map(drop),
            Self::Redfish(action) => redfish::seen(action).await,
            Self::Ipmi(action) => ipmi::seen(action).await,
            Self::Libvirt(action) => libvirt::seen(action, tools).await,
            Self::Proxmox(action) => proxmox::seen(action, tools).await,
            Self::Vsphere(action) => vsphere::seen(action, tools).await,
            Self::Winrm(action) => winrm::seen(action, tools).await,
        }
    }
}

impl Action for SimulatedAction {
    async fn check(&self, tools: &Tools, permit: Checked) -> Result<(), Problem> {
        match self {
            Self::Ssh(action) => ssh::check(action, permit).await,
            Self::Device(action) => device::check(action, tools, permit).await,
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Ssh(action) => Some(action.addr.into()),
            Self::Device(_) => None,
        }
    }

    async fn request(&self, tools: &Tools, permit: Armed, sent: &Sent) -> Result<Accepted, Problem> {
        match self {
            Self::Ssh(action) => ssh::request(action, permit, sent).await,
            Self::Device(action) => device::request(action, tools, permit, sent).await,
        }
    }

    fn can_be_seen(&self) -> bool {
        matches!(self, Self::Device(_))
    }

    async fn seen(&self, tools: &Tools) -> Result<(), Problem> {
        match self {
            Self::Ssh(_) => Err(Problem::passing("nothing of it can be seen")),
            Self::Device(action) => device::seen(action, tools).await.map(drop),
        }
    }
}

/// Text from outside as one printable line: control characters, line ends, escape sequences
/// and direction marks are escaped, what is not UTF-8 is replaced, and the result is at most
/// `most` bytes.
#[must_use]
pub fn printable(raw: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(&raw[..raw.len().min(most)]);
    let mut line = String::new();
    for c in text.trim_end().chars() {
        // U+202A..202E and U+2066..2069 turn the reading direction of a log line.
        let hidden = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        let next: String = if hidden {
            c.escape_default().collect()
        } else {
            c.to_string()
        };
        if line.len() + next.len() > most {
            break;
        }
        line.push_str(&next);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_or_forbidden_file_is_a_lasting_problem() {
        // ENOENT, EACCES; EMFILE, ENFILE, EINTR, EIO, ESTALE.
        for (code, retryable) in [
            (2, false),
            (13, false),
            (24, true),
            (23, true),
            (4, true),
            (5, true),
            (116, true),
        ] {
            let error = io::Error::from_raw_os_error(code);
            let problem = Problem::of_file("the file", &error);
            assert_eq!(problem.retryable, retryable, "{problem:?}");
        }
    }

    #[test]
    fn text_from_outside_is_one_printable_bounded_line() {
        assert_eq!(printable(b"denied\r\n", 99), "denied");
        assert_eq!(printable(b"a\nb\x1b[31mc", 99), "a\\nb\\u{1b}[31mc");
        assert_eq!(printable("x\u{202e}y".as_bytes(), 99), "x\\u{202e}y");
        assert_eq!(printable("止まりません".as_bytes(), 99), "止まりません");
        assert!(printable(&[0x1b; 4096], 100).len() <= 100);
        // A cut inside a character leaves a replacement and no panic.
        assert!(printable("止まりません".as_bytes(), 4).len() <= 4);
    }
}

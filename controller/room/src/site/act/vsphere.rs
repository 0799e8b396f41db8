//! `kind = "vsphere"`: virtual machines that a VMware vCenter manages.

use super::guests::{self, Guests};
use super::https::{self, Https};
use crate::outage::Verb;
use crate::site::RealAction;
use crate::site::parse::RawAction;
use crate::site::reader::Reader;
use crate::site::sections::RawAsked;
use crate::time::Millis;
use std::path::PathBuf;

/// Requests one after another of one order at the most, beside those to guests: login, the host, three
/// lists, logout.
const EXCHANGES: u64 = 6;

/// What is done to virtual machines by the vSphere Automation API.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct VsphereAction {
    /// Where vCenter is.
    pub server: Https,
    /// Account there: `yagura@vsphere.local`.
    pub user: String,
    /// File with its password, readable by the `act` role alone.
    pub password_file: PathBuf,
    /// The ESXi host whose virtual machines are meant, as vCenter names it; `None`: of every host.
    pub esxi: Option<String>,
    /// Which of them.
    pub guests: Guests,
    /// What is done to them.
    pub verb: Verb,
}

/// The keys of the table beside `kind`.
pub(in crate::site) fn read(r: &mut Reader<'_>, verb: Verb) -> RawAsked {
    let server = https::read(r, "\"192.168.10.30:443\"");
    let user = r.text("user", "the account of vCenter, e.g. \"yagura@vsphere.local\"");
    let password_file = r.path(
        "password_file",
        "the file with its password, readable by the role act alone",
    );
    let esxi = r.text_or("esxi");
    let guests = guests::read(r, verb);
    let (server, guests) = (server?, guests?);
    let esxi = esxi.map(|esxi| esxi.value);
    let aim = format!(
        "vsphere {} {} {}",
        server.addr,
        esxi.as_deref().unwrap_or_default(),
        guests.which.aim()
    );
    let longest = Millis(guests.longest().0.saturating_add(EXCHANGES * server.timeout.0));
    let action = VsphereAction {
        server,
        user: user?.value,
        password_file: password_file?.value,
        esxi,
        guests,
        verb,
    };
    let action = RawAction::Other(RealAction::Vsphere(action));
    Some((Some(action), longest, aim))
}

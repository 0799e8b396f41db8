//! `kind = "proxmox"`: a node of Proxmox VE, or guests on it.

use super::guests::{self, Whom};
use super::https::{self, Https};
use crate::outage::Verb;
use crate::site::RealAction;
use crate::site::parse::RawAction;
use crate::site::problem::Kind;
use crate::site::reader::Reader;
use crate::site::sections::RawAsked;
use crate::time::Millis;
use std::path::PathBuf;

/// Requests one after another of one order at the most, beside those to guests: two lists before,
/// two after.
const EXCHANGES: u64 = 4;

/// What is done to a node or its guests by the API of Proxmox VE.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ProxmoxAction {
    /// Where the API is; for a node itself: its own.
    pub server: Https,
    /// File with the API token, `USER@REALM!TOKENID=UUID`, readable by the `act` role alone.
    pub token_file: PathBuf,
    /// The node's name in its cluster.
    pub node: String,
    /// The node or its guests.
    pub what: Whom,
    /// What is done to it.
    pub verb: Verb,
}

/// The keys of the table beside `kind`.
pub(in crate::site) fn read(r: &mut Reader<'_>, verb: Verb) -> RawAsked {
    let server = https::read(r, "\"192.168.10.31:8006\"");
    let token_file = r.path(
        "token_file",
        "the file with USER@REALM!TOKENID=UUID, readable by the role act alone",
    );
    let node = r.text("node", "the node's name in the cluster, e.g. \"pve1\"");
    let what = guests::whom(r, verb);
    let node = node?;
    let good = node.value.len() <= 63
        && node
            .value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !good {
        r.sink().error_hint(
            Kind::Value,
            &node.span,
            format!("`node` = \"{}\" is no name of a node", node.value),
            "as the cluster shows it: letters, digits and -, e.g. \"pve1\"",
        );
        return None;
    }
    let (server, what) = (server?, what?);
    if what == Whom::Host && verb != Verb::Stop {
        r.sink().error_hint(
            Kind::Conflict,
            &r.span,
            format!(
                "{} cannot be what = \"host\": a node only shuts down by this",
                verb.section()
            ),
            "its management controller does that: kind = \"redfish\", \"ipmi\" or \"wol\"",
        );
        return None;
    }
    let aim = format!("proxmox {} {} {}", server.addr, node.value, what.aim());
    let longest = Millis(what.longest().0.saturating_add(EXCHANGES * server.timeout.0));
    let action = ProxmoxAction {
        server,
        token_file: token_file?.value,
        node: node.value,
        what,
        verb,
    };
    let action = RawAction::Other(RealAction::Proxmox(action));
    Some((Some(action), longest, aim))
}

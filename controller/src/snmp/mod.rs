//! SNMP v1 and v2c as a manager: one unconnected UDP socket for each address family, shared by
//! all devices.
//!
//! An answer belongs to a question by its source address *and* its request id; whatever else
//! arrives is counted and ignored. So a reply that comes after its question was given up can
//! neither fail nor falsify the next one. An answer whose variables are not exactly those asked
//! for, in order, is refused whole. Nothing that arrives can panic us, and every question ends.
//!
//! ```text
//! Client::get --Plan: packets, learned limits--> exchange: send, wait, send again
//!                                                   ^ by (address, id)
//! socket --receiver task: Demux-----------------------+
//! ```
//!
//! `snmp2` decodes; its session is not used. This module never decides what a value means
//! (`room::profile` does) and never sends SET.

mod answer;
mod client;
mod packet;
mod plan;
mod session;

pub use answer::Refusal;
pub use client::{Client, Counters};
pub use plan::Plan;
pub use room::profile::{Oid, Value};
pub use session::{Session, Wanted};

use room::site::Secret;
use room::site::link::{SnmpAccess, SnmpLink};
use std::net::SocketAddr;
use std::time::Duration;

/// Variables asked in one packet until the device has shown that it takes fewer. Twenty of them
/// with values stay under 1,000 bytes, which every card takes without fragments.
pub const VARIABLES_PER_PACKET: usize = 20;
/// Variables of one question: the largest layout of a profile, and sysObjectID.
pub const VARIABLES_MAX: usize = 4096;
const _: () = assert!(room::profile::LAYOUT_PLACES_MAX < VARIABLES_MAX);
/// Times a packet is sent again at most, whatever the site says.
pub const RETRIES_MAX: u8 = 10;
/// Rows of one walk.
pub const WALK_ROWS_MAX: usize = 50_000;

/// Version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnmpVersion {
    /// SNMPv1.
    V1,
    /// SNMPv2c.
    V2c,
}

/// Who is asked, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Agent.
    pub addr: SocketAddr,
    /// Protocol version.
    pub version: SnmpVersion,
    /// Community.
    pub community: Secret,
    /// Time to the first answer; later tries wait longer.
    pub timeout: Duration,
    /// Times a packet is sent again.
    pub retries: u8,
}

impl Target {
    /// As the site says; `None` for what this engine does not speak.
    #[must_use]
    pub fn of(link: &SnmpLink, timeout: Duration, retries: u8) -> Option<Self> {
        let (version, community) = match &link.access {
            SnmpAccess::V1(community) => (SnmpVersion::V1, community),
            SnmpAccess::V2c(community) => (SnmpVersion::V2c, community),
            SnmpAccess::V3(_) => return None,
        };
        Some(Self {
            addr: link.addr,
            version,
            community: community.clone(),
            timeout,
            retries: retries.min(RETRIES_MAX),
        })
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket.
    #[error("open a UDP socket")]
    Bind(#[source] std::io::Error),
    /// The packet could not leave: no route, no such address family.
    #[error("send to {addr}")]
    Send {
        /// Agent.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing came that answers.
    #[error("no answer from {addr} to {tries} tries")]
    Timeout {
        /// Agent.
        addr: SocketAddr,
        /// Packets sent.
        tries: u32,
    },
    /// Something came, but it is no answer to what was asked.
    #[error("refused the answer of {addr}")]
    Refused {
        /// Agent.
        addr: SocketAddr,
        /// What is wrong with it.
        #[source]
        refusal: Refusal,
    },
    /// The device answered a whole question with an error.
    #[error("{addr} answered with error-status {status}")]
    Status {
        /// Agent.
        addr: SocketAddr,
        /// RFC 3416 3.
        status: u32,
    },
    /// A walk came back to where it had been.
    #[error("{addr} answered {oid} out of order in a walk")]
    NotIncreasing {
        /// Agent.
        addr: SocketAddr,
        /// The name that does not follow.
        oid: Oid,
    },
    /// The device made us send more packets, or a walk brought more rows, than is sane.
    #[error("gave up {addr}: {what} beyond {limit}")]
    Limit {
        /// Agent.
        addr: SocketAddr,
        /// What was too many.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;

//! SNMP v1, v2c and v3 as a manager: one unconnected UDP socket for each address family, shared by
//! all devices.
//!
//! An answer belongs to a question by its source address *and* its id; whatever else arrives is
//! counted and ignored. So a reply that comes after its question was given up can neither fail
//! nor falsify the next one. An answer whose variables are not exactly those asked for, in order,
//! is refused whole. Nothing that arrives can panic us, and every question ends.
//!
//! ```text
//! Client::get --Plan: packets, Learned: sizes--> exchange: send, wait, send again, judge
//!                                                   ^ by (address, id)     usm: v3's envelope
//! socket --receiver task: Demux-----------------------+
//! ```
//!
//! `trap` hears what agents say unasked, `notify` says such things itself. `snmp2` reads the BER; its session and its security are not used (`usm` says why). This module
//! never decides what a value means: `room::profile` does.

mod answer;
mod ber;
mod client;
mod demux;
mod exchange;
mod learned;
mod notify;
mod packet;
mod plan;
mod session;
#[doc(hidden)]
pub mod strangers;
pub mod trap;
mod usm;

pub use answer::Refusal;
pub use client::Client;
pub use demux::Counters;
pub use learned::Learned;
pub use notify::Notification;
pub use plan::Plan;
pub use room::profile::{Oid, Value};
pub use room::site::link::{AuthProtocol, PrivProtocol};
pub use session::{Session, Wanted};
pub use usm::{NoPassword, PASSWORD_MIN, Report, User, Usm};

use room::site::Secret;
use room::site::link::{SnmpAccess, SnmpLink};
use std::net::SocketAddr;
use std::sync::Arc;
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

/// Protocol version, and who we say that we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// SNMPv1 with its community.
    V1(Secret),
    /// SNMPv2c with its community.
    V2c(Secret),
    /// SNMPv3 with a user, and what was learnt about the agent's engine.
    V3(Arc<User>),
}

impl Access {
    /// SNMPv3, of an agent nothing is known about yet.
    #[must_use]
    pub fn v3(usm: Usm) -> Self {
        Self::V3(Arc::new(User::new(usm)))
    }
}

/// Who is asked, and how patiently. Clones share what was learnt about the agent.
#[derive(Debug, Clone)]
pub struct Target {
    /// Agent.
    pub addr: SocketAddr,
    /// Version and who asks.
    pub access: Access,
    /// Time to the first answer; later tries wait longer.
    pub timeout: Duration,
    /// Times a packet is sent again.
    pub retries: u8,
    /// Packet sizes that this agent takes.
    pub learned: Arc<Learned>,
}

impl Target {
    /// An agent nothing is known about yet.
    #[must_use]
    pub fn new(addr: SocketAddr, access: Access, timeout: Duration, retries: u8) -> Self {
        Self {
            addr,
            access,
            timeout,
            retries: retries.min(RETRIES_MAX),
            learned: Arc::default(),
        }
    }

    /// As the site says.
    ///
    /// # Errors
    /// [`NoPassword`] when a user's password cannot be had.
    pub fn of(link: &SnmpLink, timeout: Duration, retries: u8) -> Result<Self, NoPassword> {
        let access = match &link.access {
            SnmpAccess::V1(community) => Access::V1(community.clone()),
            SnmpAccess::V2c(community) => Access::V2c(community.clone()),
            SnmpAccess::V3(user) => Access::v3(Usm::read(user)?),
        };
        Ok(Self::new(link.addr, access, timeout, retries))
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
    /// SNMPv1 has no informs, and its traps are of another form, which nobody needs any more.
    #[error("{addr}: notifications are sent by SNMP v2c and v3 only")]
    Version {
        /// Receiver.
        addr: SocketAddr,
    },
    /// Our keys for this user cannot be made, or our own engine cannot be kept.
    #[error("cannot speak to {addr} as this user: {why}")]
    Own {
        /// Receiver.
        addr: SocketAddr,
        /// Why.
        why: String,
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
#[cfg(test)]
mod tests_v3;

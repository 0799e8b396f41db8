//! Modbus as a master: TCP, RTU on a serial line, and RTU through a serial device server.
//!
//! One task owns a line and asks its units one after another, because a line carries one
//! exchange at a time. Everything else holds a [`Bus`], which is its queue.
//!
//! ```text
//! Session (one a device: plan, what it lacks, reading)
//!    | Question
//!    v
//! Bus --bounded queue--> task: pause, flush, ask, wait, check --> Wire --> socket or port
//! ```
//!
//! **A late reply never becomes the value of another register.** Over TCP a reply carries the
//! number of its question; [`wire`] drops those of questions that were given up. An RTU reply
//! carries none: after a question was given up the line is kept silent for as long as any of its
//! units may take, and then the unit is asked for another *number* of registers than the lost
//! question did, so that a reply that is later still is seen for what it is (`bus`).
//!
//! `tokio-modbus` encodes and decodes. Its typed helpers, which panic on a short reply, are not
//! used; every length and function is checked here. A [`Bus`] reads and never writes; [`write()`] is for
//! commands that the site allows. It never
//! decides what a value means: `room::profile` does.

mod bus;
mod line;
mod lines;
mod plan;
mod session;
mod wire;
mod write;

pub use bus::{Bus, Counters};
pub use line::Line;
pub use lines::Lines;
pub use plan::{Block, Plan};
pub use room::profile::register::{Address, Space};
pub use session::Session;
#[doc(hidden)]
pub use wire::strangers;
pub use write::{NotWritten, write};

use std::time::Duration;

/// Registers of one question (MODBUS Application Protocol V1.1b3, 6.3 and 6.4).
pub const REGISTERS_MAX: u16 = 125;
/// Bits of one question (6.1 and 6.2).
pub const BITS_MAX: u16 = 2000;
/// Questions that wait at one bus. Each device waits with one at a time, and a line has at most
/// 247 units.
pub const WAITING_MAX: usize = 256;
/// Times a question is asked again at most, whatever the site says.
pub const RETRIES_MAX: u8 = 10;

/// What is read: registers or bits that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Unit on the line: 1 to 247 on a serial line, 0 to 255 over TCP.
    pub unit: u8,
    /// The first.
    pub start: Address,
    /// How many.
    pub count: u16,
}

/// How a unit is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the end of the question to the end of the answer.
    pub timeout: Duration,
    /// Silence before the question, when the unit needs more than the line does.
    pub pause: Duration,
}

/// Why a unit says no (MODBUS Application Protocol V1.1b3, 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exception {
    /// 1
    #[error("illegal function: the unit does not have this kind of register")]
    IllegalFunction,
    /// 2
    #[error("illegal data address: the unit does not have this register")]
    IllegalAddress,
    /// 3
    #[error("illegal data value: the unit does not take so many registers at once")]
    IllegalValue,
    /// 4
    #[error("device failure")]
    DeviceFailure,
    /// 5
    #[error("acknowledge: the unit needs more time")]
    Acknowledge,
    /// 6
    #[error("device busy")]
    Busy,
    /// 8
    #[error("memory parity error")]
    Parity,
    /// 10
    #[error("gateway path unavailable: the gateway has no way to this unit")]
    GatewayPath,
    /// 11
    #[error("gateway target failed to respond: the gateway works, the unit is silent")]
    GatewayTarget,
    /// One that the standard does not have.
    #[error("exception code {0}")]
    Other(u8),
}

impl Exception {
    /// From its code.
    #[must_use]
    pub const fn new(code: u8) -> Self {
        match code {
            1 => Self::IllegalFunction,
            2 => Self::IllegalAddress,
            3 => Self::IllegalValue,
            4 => Self::DeviceFailure,
            5 => Self::Acknowledge,
            6 => Self::Busy,
            8 => Self::Parity,
            10 => Self::GatewayPath,
            11 => Self::GatewayTarget,
            other => Self::Other(other),
        }
    }

    /// Its code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::IllegalFunction => 1,
            Self::IllegalAddress => 2,
            Self::IllegalValue => 3,
            Self::DeviceFailure => 4,
            Self::Acknowledge => 5,
            Self::Busy => 6,
            Self::Parity => 8,
            Self::GatewayPath => 10,
            Self::GatewayTarget => 11,
            Self::Other(code) => code,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The connection or the port cannot be opened, or broke. The text is the system's.
    #[error("{line}: {problem}")]
    Line {
        /// Address or path.
        line: String,
        /// What the system says.
        problem: String,
    },
    /// The unit is silent.
    #[error("unit {unit} does not answer")]
    Timeout {
        /// Who was asked.
        unit: u8,
    },
    /// The unit was silent, or answered garbage, so often that it is asked again later; the line
    /// is for the others until then.
    #[error("unit {unit} gives no answer of use and is asked less often for now")]
    Resting {
        /// Who was to be asked.
        unit: u8,
    },
    /// What came is no answer to what was asked.
    #[error("unit {unit}: {problem}")]
    Refused {
        /// Who was asked.
        unit: u8,
        /// What is wrong with it.
        problem: String,
    },
    /// The unit, or a gateway before it, says no.
    #[error("unit {unit}: {exception}")]
    Exception {
        /// Who was asked.
        unit: u8,
        /// Why not.
        #[source]
        exception: Exception,
    },
    /// No such question can be asked.
    #[error("{0}")]
    Question(&'static str),
    /// The task that owns the line has ended.
    #[error("the task of the line has ended")]
    Ended,
}

#[cfg(test)]
mod tests;

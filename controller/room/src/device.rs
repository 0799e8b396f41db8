//! What a poll of a device brings: facts with NUT names and SI units, or why there are none.
//!
//! Names follow NUT (RFC 9271) where it has one; states are reserved words. Beside NUT's names
//! the outage engine reads these facts of a UPS:
//!
//! | fact | kind | meaning |
//! |---|---|---|
//! | `output.source` | state | `mains`, `battery`, `bypass`, `booster`, `reducer`, `eco`, `test`, `off`, `sleeping`, `other` |
//! | `battery.status` | state | `normal`, `low`, `depleted`, `fault`, `absent`, `unknown` |
//! | `battery.charge` | % | state of charge |
//! | `battery.runtime` | s | the device's own estimate |
//! | `battery.time_on` | s | the device's own count of seconds on battery |
//! | `battery.replace` | state | `yes`, `no` |
//! | `input.voltage`, `output.voltage` | V | first phase; further ones `input.L2.voltage`, ... |
//! | `ups.load` | % | load of the first phase or of all |
//! | `ups.test.result` | state | `passed`, `warning`, `failed`, `aborted`, `running`, `none` |
//! | `ups.calibration` | state | `running`, `no` |

use crate::time::Mono;
use serde::{Deserialize, Serialize};
use shared::NoData;

/// The result of one poll.
#[derive(Debug, Clone, PartialEq)]
pub struct Poll {
    /// Device name of the site.
    pub device: String,
    /// When the request that was answered (or given up) was first sent.
    pub asked: Mono,
    /// When the answer arrived or the poll was given up.
    pub answered: Mono,
    /// The reading, or why there is none.
    pub result: Result<Reading, PollFailure>,
}

/// A decoded answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// Name of the profile that decoded it.
    pub profile: String,
    /// The device's sysObjectID, dotted, when known.
    pub sys_object_id: Option<String>,
    /// Facts in the order of the profile.
    pub facts: Vec<Fact>,
}

/// One fact of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// NUT name or one of this module's table.
    pub name: String,
    /// The value in the unit beside it, or why there is none.
    pub value: Result<FactValue, NoData>,
    /// SI unit, `""` for states and texts.
    pub unit: &'static str,
    /// What was read: an object instance, a register, a variable.
    pub at: String,
    /// What the device calls it, for a row of a table: "Outlet 3".
    pub label: Option<String>,
    /// The raw value as text, for the page and for the record of what could not be read.
    pub raw: String,
}

/// The value of a fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FactValue {
    /// A number in the fact's unit.
    Number(f64),
    /// A reserved word.
    State(String),
    /// Free text (model, serial number); never a state.
    Text(String),
}

/// Why a poll brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollFailure {
    /// No answer to any try.
    Timeout,
    /// The host refuses (ICMP port unreachable) or the socket failed.
    Unreachable(String),
    /// An answer that is refused whole: zero, missing or reordered variables, wrong error.
    Refused(String),
    /// The server that stands between answers, and has no fresh values of the device.
    Stale(String),
    /// No profile fits this device.
    NoProfile,
}

impl Reading {
    /// The fact of that name.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&Fact> {
        self.facts.iter().find(|fact| fact.name == name)
    }

    /// The number of that name, if there is a good one.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.fact(name)?.value {
            Ok(FactValue::Number(value)) => Some(value),
            _ => None,
        }
    }

    /// The state of that name, if there is a good one.
    #[must_use]
    pub fn state(&self, name: &str) -> Option<&str> {
        match &self.fact(name)?.value {
            Ok(FactValue::State(word)) => Some(word),
            _ => None,
        }
    }
}

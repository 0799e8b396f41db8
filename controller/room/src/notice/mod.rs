//! Notices: what people and machines outside are told, decided here and sent by the controller.
//!
//! A [`Notice`] is one message to one address at one notifier. Who is told what, when, how often
//! and after how many attempts stands here; a notifier only sends what it is given, once, and
//! reports back ([`Delivered`]). Nothing here reads a clock or knows a protocol.

pub mod document;
pub mod duty;
pub mod fold;
pub mod lamp;
pub mod record;
pub mod template;
pub mod text;

mod case;
mod delivery;
mod desk;
mod order;
mod route;
mod seen;
mod tower;
mod view;

#[cfg(test)]
mod text_tests;

pub use case::{Brief, Quiet};
pub use delivery::{
    MAX_NAMED, MAX_ROUNDS_AFTER, MAX_TRIES, NEXT_ROUND, NO_WORD_AFTER, PATIENCE, RETRY_AFTER, TRIAL_EVERY,
};
pub use desk::{Alarms, Desk, Out, Settings, Size};
pub use seen::Seen;
pub use tower::{CHANGE_EVERY, LAMP_TEST, RENEW_EVERY};

use crate::catalog::Class;
use crate::site::{Label, Priority};
use crate::time::{Millis, Wall};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// One message to one address at one notifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same after a restart and for every attempt: made from the alarm, its occurrence, the
    /// contact, the step and the moment. A receiver that has seen it drops the second copy.
    pub key: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Name of the notifier.
    pub notifier: String,
    /// Address at that notifier; `None` where it has only one.
    pub to: Option<String>,
    /// The contact who is told; `None` when nobody in particular is.
    pub contact: Option<String>,
    /// When it was decided.
    pub at: Wall,
    /// Name of the room.
    pub site: Label,
    /// It is about a simulated room.
    pub simulated: bool,
    /// What it is about.
    pub about: About,
}

impl Notice {
    /// The key as it may leave the house: 32 hex digits, the same for every copy. The key itself
    /// names the contact. A heartbeat is never a copy of the one before, though both have the key
    /// of their notifier: who drops copies must hear each of them.
    #[must_use]
    pub fn id(&self) -> String {
        if self.about.replaces() {
            let (attempt, at) = (self.attempt.to_string(), self.at.0.to_string());
            return identity(&["notice", &self.key, &attempt, &at]);
        }
        identity(&["notice", &self.key])
    }
}

/// Half a SHA-256 in hex: the same for the same words, and they cannot be read in it.
#[must_use]
pub fn identity(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update(u64::try_from(word.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(word.as_bytes());
    }
    hash.finalize()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum About {
    /// An alarm.
    Alarm(Box<Told>),
    /// More alarms than are told one by one.
    Summary(Summary),
    /// A test call.
    Test {
        /// Who asked for it.
        by: String,
    },
    /// The controller lives. Only the last one matters.
    Heartbeat {
        /// Counts up since the controller started.
        count: u64,
    },
    /// What a signal tower is to show. Only the last one matters.
    Lamp(Lamp),
}

/// What happened to an alarm.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// It was raised.
    Raised,
    /// It still stands and nobody has it; the next contact is told.
    Escalated,
    /// It still stands.
    Reminder,
    /// Somebody has it.
    Acknowledged,
    /// Somebody put it away.
    Shelved,
    /// Its cause is gone.
    Returned,
}

impl Moment {
    /// Its word in the documents that leave the house.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Escalated => "escalated",
            Self::Reminder => "reminder",
            Self::Acknowledged => "acknowledged",
            Self::Shelved => "shelved",
            Self::Returned => "returned",
        }
    }
}

/// An alarm as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What happened to it.
    pub moment: Moment,
    /// Alarm id.
    pub alarm: String,
    /// Priority.
    pub priority: Priority,
    /// A word of the catalogue's classes: `power`, `door`, ...
    pub class: String,
    /// What happened.
    pub what: Label,
    /// Where.
    pub place: Label,
    /// With the figures of the moment it was raised.
    pub because: Label,
    /// What is probably the cause.
    pub cause: Label,
    /// What follows if nobody acts.
    pub consequence: Label,
    /// What to do.
    pub action: Label,
    /// By when, counted from `since`.
    pub respond_within: Millis,
    /// Who has it.
    pub owner: Option<Label>,
    /// Where the procedure is.
    pub procedure: Option<String>,
    /// When it was raised.
    pub since: Wall,
    /// How long it has stood.
    pub lasted: Millis,
    /// How often it was raised since it was last normal.
    pub count: u32,
    /// Alarms that are folded under it.
    pub folded: usize,
}

/// More alarms than are told one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How many, by priority: critical, warning, advisory.
    pub counts: [usize; 3],
    /// Some of them by what and where, most urgent first.
    pub some: Vec<(Priority, Label, Label)>,
    /// How many that were told before are over.
    #[serde(default)]
    pub returned: usize,
}

/// Alarms of doors are urgent whatever their priority.
const DOOR: &str = Class::Door.word();
/// Alarms about the watchtower itself.
const SYSTEM: &str = Class::System.word();

/// What a signal tower shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lamp {
    /// Red unit.
    pub red: Light,
    /// Amber unit.
    pub amber: Light,
    /// Green unit.
    pub green: Light,
    /// Blue unit.
    pub blue: Light,
    /// White unit.
    pub white: Light,
    /// Buzzer.
    pub buzzer: bool,
}

/// One unit of a signal tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// Dark.
    #[default]
    Off,
    /// Lit: somebody has it.
    Steady,
    /// Flashing: nobody has it.
    Flashing,
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The notice's key.
    pub key: String,
    /// Which attempt.
    pub attempt: u32,
    /// By which notifier.
    pub notifier: String,
    /// Taken by the other side, or not.
    pub result: Result<(), SendFailure>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendFailure {
    /// Another attempt may succeed.
    pub retryable: bool,
    /// In words, for the page and the log; one line.
    pub problem: String,
}

impl SendFailure {
    /// Another attempt may succeed.
    #[must_use]
    pub fn passing(problem: impl Into<String>) -> Self {
        Self {
            retryable: true,
            problem: problem.into(),
        }
    }

    /// No attempt will succeed until a person changed something.
    #[must_use]
    pub fn lasting(problem: impl Into<String>) -> Self {
        Self {
            retryable: false,
            problem: problem.into(),
        }
    }
}

impl About {
    /// Only the last one of a kind matters: what was not sent yet is replaced by a newer one.
    #[must_use]
    pub const fn replaces(&self) -> bool {
        matches!(self, Self::Heartbeat { .. } | Self::Lamp(_))
    }
}

//! What is journaled of notices: the memory by which nothing is told twice.
//!
//! A record is written after the other side took the message, never before: a controller that
//! dies in between sends the same key once more, and the receiver drops it.

use super::Moment;
use crate::site::notice::MAX_STEPS;
use serde::{Deserialize, Serialize};

/// What happened to a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A contact was told of an alarm.
    Sent {
        /// The notice's key.
        key: String,
        /// Who was told.
        contact: String,
        /// The contact for whom the deputy (代理) was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deputy_for: Option<String>,
        /// By what.
        notifier: String,
        /// Alarm id.
        alarm: String,
        /// Which raising of the journal it was about, counted from 1 over all alarms.
        occurrence: u64,
        /// What was told.
        moment: Moment,
        /// Step of the route, from 0.
        step: u8,
        /// Which reminder, acknowledgement or shelf of this raising, from 1; 0 for the others.
        nth: u32,
        /// Critical, or of a door.
        #[serde(default)]
        urgent: bool,
        /// Attempts since the controller started.
        attempts: u32,
        /// From the decision to the other side's taking it.
        took_ms: u64,
    },
    /// A contact was told of many alarms in one summary.
    SummarySent {
        /// The notice's key.
        key: String,
        /// Who was told.
        contact: String,
        /// The contact for whom the deputy (代理) was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deputy_for: Option<String>,
        /// By what.
        notifier: String,
        /// What it was about.
        groups: Vec<Group>,
        /// From the decision to the other side's taking it.
        took_ms: u64,
    },
    /// A contact could not be told by any of its ways.
    Failed {
        /// The notice's key.
        key: String,
        /// Who was to be told.
        contact: String,
        /// The alarm, when it was about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alarm: Option<String>,
        /// Which raising.
        #[serde(default)]
        occurrence: u64,
        /// What was to be told of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moment: Option<Moment>,
        /// Which reminder, acknowledgement or shelf.
        #[serde(default)]
        nth: u32,
        /// The last problem.
        problem: String,
        /// It is not tried again.
        over: bool,
    },
    /// Somebody asked for a test call.
    TestCalled {
        /// Who.
        by: String,
        /// Whom.
        contacts: Vec<String>,
    },
    /// A test call arrived.
    TestReached {
        /// Which test call of the journal, from 1.
        test: u64,
        /// Who was reached.
        contact: String,
        /// The contact for whom the deputy (代理) was reached.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deputy_for: Option<String>,
        /// By what.
        notifier: String,
        /// Who had asked.
        by: String,
        /// How long it took.
        took_ms: u64,
    },
    /// Somebody let every light of the signal towers burn for a moment.
    LampTested {
        /// Who.
        by: String,
    },
}

/// Alarms of one summary of which the same was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// What was told.
    pub moment: Moment,
    /// Step of the route.
    pub step: u8,
    /// Which reminder.
    pub nth: u32,
    /// They are urgent and are told one by one as well, as soon as there is room.
    #[serde(default)]
    pub also_singly: bool,
    /// The raisings, as ranges with both ends included.
    pub occurrences: Vec<(u64, u64)>,
}

const _: () = assert!(MAX_STEPS <= 8, "steps that were told are bits of a byte");

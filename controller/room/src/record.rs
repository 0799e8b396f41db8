//! Records of the journal. Contract: append only, never a changed meaning; old journals must
//! replay. What happened once is one record; applying the records in order gives the state.

use crate::event::Part;
use crate::outage;
use crate::site::{Label, Priority};
use crate::time::Now;
use serde::{Deserialize, Serialize};
use shared::NoData;
use shared::wire::{Refusal, ResetCause};

/// A record with its place in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up from 1 without gap.
    pub seq: u64,
    /// Both clocks at the decision.
    pub now: Now,
    /// What happened.
    pub record: Record,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// The controller started.
    Started {
        /// Version of the program.
        version: String,
        /// Boot of the machine; monotonic times compare only within one.
        boot_id: String,
        /// How often it started; the upper half of every downlink counter.
        epoch: u32,
    },
    /// So many downward frames were sent within one start that their counter goes on in the next
    /// epoch.
    DownlinkEpoch {
        /// Upper half of every later counter.
        epoch: u32,
    },
    /// An authentic event of a node.
    NodeEvent {
        /// Node id.
        node: u16,
        /// Its boot number.
        boot: u32,
        /// Its own sequence of events.
        event_seq: u32,
        /// Its uptime in milliseconds.
        up_ms: u64,
        /// Its clock, 0 when not set.
        unix_ms: u64,
        /// Point concerned, if the site mounts one on that channel.
        point: Option<String>,
        /// What it says.
        event: NodeEvent,
    },
    /// Events of a node that never arrived.
    EventsMissing {
        /// Node id.
        node: u16,
        /// First missing sequence.
        from: u32,
        /// Last missing sequence.
        to: u32,
    },
    /// Frames refused in a node's name; written at the first and then at most once a minute.
    FramesRefused {
        /// Node id claimed by the topic.
        node: u16,
        /// Why the last one was refused.
        why: String,
        /// Refused since the controller started.
        total: u64,
    },
    /// An alarm was raised.
    AlarmRaised {
        /// Alarm id.
        alarm: String,
        /// Priority.
        priority: Priority,
        /// What happened.
        what: Label,
        /// Where.
        place: Label,
        /// What to do.
        action: Label,
        /// Figures of the moment.
        because: Label,
        /// Needs a reset by a person.
        latching: bool,
    },
    /// The cause of an alarm is gone.
    AlarmReturned {
        /// Alarm id.
        alarm: String,
    },
    /// Somebody took an alarm.
    AlarmAcknowledged {
        /// Alarm id.
        alarm: String,
        /// Who.
        by: String,
    },
    /// Somebody put an alarm away.
    AlarmShelved {
        /// Alarm id.
        alarm: String,
        /// Who.
        by: String,
        /// For how long.
        minutes: u32,
        /// Why.
        reason: String,
    },
    /// A shelf ended by itself.
    AlarmUnshelved {
        /// Alarm id.
        alarm: String,
    },
    /// A latched alarm was reset.
    AlarmReset {
        /// Alarm id.
        alarm: String,
        /// Who.
        by: String,
    },
    /// Power, plan and run.
    Power {
        /// The record of the outage engine.
        record: outage::Record,
    },
    /// A part of the controller failed or recovered.
    Trouble {
        /// Which.
        part: Part,
        /// `None` when it is well again.
        problem: Option<String>,
    },
    /// An operator let the simulated room play a scenario.
    Scenario {
        /// Its name.
        name: String,
        /// Who.
        by: String,
    },
}

/// What a node's event says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeEvent {
    /// It started.
    Hello {
        /// `major.minor.patch`
        firmware: String,
        /// Why.
        cause: ResetCause,
    },
    /// A contact changed.
    Contact {
        /// Channel.
        channel: u8,
        /// Alarm side.
        open: bool,
    },
    /// A sensor lost its value.
    SensorLost {
        /// Channel.
        channel: u8,
        /// Why.
        reason: NoData,
    },
    /// It has a value again.
    SensorBack {
        /// Channel.
        channel: u8,
    },
    /// Its ring overflowed.
    Lost {
        /// Events gone.
        count: u32,
    },
    /// It refused a downward frame.
    Refused {
        /// Since its boot.
        total: u32,
        /// Why.
        why: Refusal,
    },
    /// Authentic but of a later version: kept raw.
    Raw {
        /// Body as hex.
        body: String,
    },
}

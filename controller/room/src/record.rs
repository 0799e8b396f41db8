//! Records of the journal. Contract: append only, never a changed meaning; old journals must
//! replay. What happened once is one record; applying the records in order gives the state.

use crate::catalog::Kind;
use crate::command::Done;
use crate::event::Part;
use crate::forecast::days::DayMean;
use crate::incident;
use crate::limits;
use crate::node::Stray;
use crate::outage;
use crate::site::{Label, Priority};
use crate::time::{Now, Wall};
use serde::{Deserialize, Serialize};
use shared::NoData;
use shared::wire::{
    Crash, CredentialKind, DoorEvent, KeyEvent, LineFault, ListEvent, ReaderState, Refusal, ResetCause,
    UpdateOutcome,
};

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

/// A moment at which the controller was alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// Boot of the machine.
    pub boot_id: String,
    /// Both clocks.
    pub now: Now,
}

/// How the end of the previous life is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSign {
    /// The moment, by the wall clock of that time.
    pub at: Wall,
    /// How long ago that was at the start: by the monotonic clock within one boot of the machine, else
    /// by the wall clock.
    pub ago_ms: u64,
    /// True when the machine was not restarted in between.
    pub same_boot: bool,
    /// What says so.
    pub by: SignBy,
}

/// What says until when the controller was alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignBy {
    /// The mark that the loop leaves every few seconds.
    AliveMark,
    /// The last record of the journal.
    Record,
}

impl LastSign {
    /// The later one of the last record and the mark, as it looks at the start.
    #[must_use]
    pub fn of(now: Now, boot_id: &str, record: Option<Sign>, mark: Option<Sign>) -> Option<Self> {
        let later = match (record, mark) {
            (Some(record), Some(mark)) => {
                let newer = if record.boot_id == mark.boot_id {
                    mark.now.mono > record.now.mono
                } else {
                    mark.now.wall > record.now.wall
                };
                if newer {
                    (mark, SignBy::AliveMark)
                } else {
                    (record, SignBy::Record)
                }
            }
            (Some(record), None) => (record, SignBy::Record),
            (None, Some(mark)) => (mark, SignBy::AliveMark),
            (None, None) => return None,
        };
        let (sign, by) = later;
        let same_boot = sign.boot_id == boot_id && !boot_id.is_empty();
        let ago_ms = if same_boot {
            now.mono.since(sign.now.mono).0
        } else {
            u64::try_from(now.wall.0.saturating_sub(sign.now.wall.0)).unwrap_or(0)
        };
        Some(Self {
            at: sign.now.wall,
            ago_ms,
            same_boot,
            by,
        })
    }
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
        /// The last sign of the life before this one; `None` at the very first start, and in records
        /// from before it was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<LastSign>,
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
        /// Names its content, to tell a repetition from another event with the same number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<u32>,
    },
    /// An authentic event of a node that has no place in its sequence. It is kept as it is,
    /// and the node is not told to forget it while a second board is about.
    StrayEvent {
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
        /// Why it has no place.
        why: Stray,
        /// Names its content.
        mark: u32,
    },
    /// The access list of a node has another content, or another version because the node had
    /// this one from elsewhere.
    AccessList {
        /// Node id.
        node: u16,
        /// Its version; grows.
        version: u32,
        /// Entries.
        count: u16,
        /// Names head and entries whatever the version, as hex.
        content: String,
    },
    /// All of an access list was sent, and the node is told to use it from now on.
    ListSent {
        /// Node id.
        node: u16,
        /// Its version.
        version: u32,
    },
    /// A node is to change its key.
    KeyRotation {
        /// Node id.
        node: u16,
        /// Id of the new key.
        key_id: u8,
        /// What it is made with, as hex; worthless without the present key.
        salt: String,
        /// Fingerprint of the key of the provisioning that it began with.
        first: String,
        /// Who asked for it.
        by: String,
    },
    /// A node has used its new key for a while; its own word of it was lost.
    KeyInUse {
        /// Node id.
        node: u16,
        /// Id of the key.
        key_id: u8,
    },
    /// An operator ordered something of a node.
    NodeOrder {
        /// Node id.
        node: u16,
        /// What.
        order: NodeOrder,
        /// Who.
        by: String,
    },
    /// An operator ordered something of a device.
    DeviceOrdered {
        /// Counts up.
        id: u64,
        /// Device.
        device: String,
        /// Name of the command.
        command: String,
        /// Its parameter.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<i64>,
        /// Who.
        by: String,
    },
    /// What became of an order to a device.
    DeviceDone {
        /// Which order.
        id: u64,
        /// Device.
        device: String,
        /// Name of the command.
        command: String,
        /// What.
        done: Done,
    },
    /// A node is given a new firmware.
    UpdateBegun {
        /// Node id.
        node: u16,
        /// Its version, `major.minor.patch`.
        version: String,
        /// Name of the signed image.
        file: String,
        /// Who asked for it.
        by: String,
    },
    /// A checkpoint of the entry log, earlier of this journal, was given to the nodes as witnesses.
    CheckpointGiven {
        /// Records or leaves before this one that it covers.
        size: u64,
        /// Hash of the chain at that record, or root of the tree, as hex.
        root: String,
        /// Fiscal year of the entry log that it is of; `None`: of the journal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<i64>,
    },
    /// A node was given a checkpoint that is not of this journal: the journal was rolled back,
    /// exchanged or rewritten.
    WitnessDisagrees {
        /// Node id.
        node: u16,
        /// Records that it was given.
        size: u64,
        /// Root that it was given, as hex.
        root: String,
        /// When, by its clock, in seconds since 1970 UTC; 0 when that was not set.
        given_unix_s: u64,
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
        /// What it is about; records from before the kinds do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        about: Option<Kind>,
    },
    /// The cause of an alarm is gone.
    AlarmReturned {
        /// Alarm id.
        alarm: String,
        /// It had been folded under its cause all the time, so nobody need acknowledge it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unseen: bool,
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
    /// A shelf ended.
    AlarmUnshelved {
        /// Alarm id.
        alarm: String,
        /// Who ended it; `None` when its time was over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// It waits for an acknowledgement again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
    /// Somebody took an alarm over.
    AlarmTaken {
        /// Alarm id.
        alarm: String,
        /// Who.
        by: String,
    },
    /// Somebody took an alarm out of service.
    AlarmOutOfService {
        /// Alarm id.
        alarm: String,
        /// Who.
        by: String,
        /// For how long.
        minutes: u32,
        /// Why.
        reason: String,
    },
    /// An alarm is in service again.
    AlarmInService {
        /// Alarm id.
        alarm: String,
        /// Who put it back; `None` when its time was over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// It waits for an acknowledgement again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
    /// A maintenance window was opened.
    MaintenanceStarted {
        /// Its number; counts up.
        window: u32,
        /// Who.
        by: String,
        /// For how long at most.
        minutes: u32,
        /// Why.
        reason: String,
        /// Number of the work order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        work_order: Option<String>,
        /// What it is about, as it was asked for.
        scope: Vec<String>,
        /// Names whose alarms it covers: `<name>` itself and `<name>.<anything>`.
        covers: Vec<String>,
        /// Alarms that it covers by their own id.
        alarms: Vec<String>,
    },
    /// A maintenance window ended.
    MaintenanceEnded {
        /// Its number.
        window: u32,
        /// Who ended it; `None` when its time was over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Somebody recorded what came of the work.
    MaintenanceResult {
        /// Number of the window.
        window: u32,
        /// Who.
        by: String,
        /// What came of it.
        result: String,
    },
    /// A latched alarm was reset.
    AlarmReset {
        /// Alarm id.
        alarm: String,
        /// Who.
        by: String,
    },
    /// An operator changed a limit.
    LimitChanged {
        /// Alarm id of the limit.
        limit: String,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// The values before,
        before: limits::Values,
        /// and after.
        after: limits::Values,
        /// What the site's file said; once it says otherwise, this change is over.
        written: limits::Written,
    },
    /// The site's file was edited after a limit was changed, and is the later word.
    LimitFollowsSite {
        /// Alarm id of the limit.
        limit: String,
        /// The values of the change that is over.
        before: limits::Values,
        /// What the file says; `None` when it has the limit no more.
        after: Option<limits::Values>,
    },
    /// The means of a day, of the points that the long forecasts stand on.
    DailyMeans {
        /// Days since 1970, local time.
        day: u16,
        /// At most [`crate::forecast::days::MAX_TRACKED`].
        points: Vec<DayMean>,
    },
    /// Power, plan and run.
    Power {
        /// The record of the outage engine.
        record: outage::Record,
    },
    /// Tests, discharges and changes of a UPS's battery.
    Battery {
        /// What happened.
        record: crate::battery::Record,
    },
    /// A part of the controller failed or recovered.
    Trouble {
        /// Which.
        part: Part,
        /// `None` when it is well again.
        problem: Option<String>,
    },
    /// Somebody was told, could not be told, or was called.
    Notice {
        /// The record of the desk.
        record: crate::notice::record::Record,
    },
    /// An operator let the simulated room play a scenario.
    Scenario {
        /// Its name.
        name: String,
        /// Who.
        by: String,
    },
    /// Incidents: opened, joined, noted, closed, handed over.
    Incident {
        /// What became of which.
        record: incident::Record,
    },
    /// Persons, cards, rights.
    People {
        /// What changed.
        record: crate::people::Record,
    },
    /// A line of the register of entry.
    Passage {
        /// Who passed where, and what is noteworthy about it.
        passage: crate::register::Passage,
    },
    /// A person said why something was not watched.
    GapExplained {
        /// From when, milliseconds since 1970 UTC.
        from_ms: i64,
        /// Until when.
        to_ms: i64,
        /// A point or device; `None` for all.
        source: Option<String>,
        /// What happened.
        text: String,
        /// Who.
        by: String,
    },
    /// The entry log: who looked, took copies, changed its key, held or erased what.
    Log {
        /// The record of the log.
        record: crate::log::record::Record,
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
    /// A card was presented, and the node decided.
    Credential {
        /// Reader on the node.
        reader: u8,
        /// What kind of card.
        credential: CredentialKind,
        /// The card under the site's card key, as hex.
        card: String,
        /// What the node decided; a word of `shared::access::Decision`.
        decision: String,
        /// Version of the list that decided, 0 when there was none.
        list: u32,
    },
    /// Something happened at a portal.
    Door {
        /// Portal on the node.
        portal: u8,
        /// What.
        door: DoorEvent,
    },
    /// A reader failed or is well again.
    Reader {
        /// Reader on the node.
        reader: u8,
        /// How it is.
        state: ReaderState,
    },
    /// A supervised line is cut or shorted.
    LineFault {
        /// Channel.
        channel: u8,
        /// What is wrong.
        fault: LineFault,
    },
    /// A contact changes so often that its edges are only counted.
    Chattering {
        /// Channel.
        channel: u8,
        /// Edges that led to this.
        edges: u16,
    },
    /// A chattering contact rests.
    Rested {
        /// Channel.
        channel: u8,
        /// Alarm side.
        open: bool,
        /// Edges that were only counted.
        edges: u32,
    },
    /// What its last life ended with.
    Crashed {
        /// How it ended and where.
        crash: Crash,
    },
    /// It entered or left the safe mode.
    SafeMode {
        /// True: it watches nothing.
        on: bool,
        /// Crashes in a row.
        crashes: u8,
    },
    /// Its access list.
    List {
        /// What became of it.
        list: ListEvent,
    },
    /// Its key.
    Key {
        /// What became of it.
        key: KeyEvent,
    },
    /// An update of its firmware.
    Update {
        /// The version it is about, `major.minor.patch`.
        version: String,
        /// What became of it.
        outcome: UpdateOutcome,
    },
    /// The building shook.
    Shock {
        /// Channel.
        channel: u8,
        /// Highest acceleration so far, in thousandths of m/s².
        peak: u32,
    },
}

/// What an operator can order of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeOrder {
    /// Forget key, lists and events.
    Erase,
    /// Start again.
    Restart,
}

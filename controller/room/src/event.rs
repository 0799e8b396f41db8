//! Everything that can happen to the room, and everything the room can ask for.
//!
//! [`Event`] is closed: a reader can list what may happen. [`Effect`]s leave only after the
//! records of their turn are on disk, except those for which [`Effect::is_safety`] holds when
//! the disk fails.

use crate::command::{Done, Operation};
use crate::device::Poll;
use crate::notice::{Delivered, Notice};
use crate::nut::wish::Wish;
use crate::outage::operator::{Ask, Person};
use crate::outage::{Order, Outcome, RealOrder};
use crate::record::Record;
use crate::site::Label;
use crate::time::Wall;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// What came in.
#[derive(Debug, Clone)]
pub enum Event {
    /// A message of the MQTT side under our prefix, or what claims to be one.
    Message(Message),
    /// A device was polled.
    Poll(Poll),
    /// An operator asks.
    Command {
        /// Who, as he or she said.
        by: String,
        /// What.
        command: Command,
    },
    /// Somebody at the controller's own socket orders something.
    Operator {
        /// Who, as the machine knows them.
        person: Person,
        /// What.
        ask: Ask,
    },
    /// Somebody at the controller's own socket asks for something about persons and cards.
    People {
        /// Who, as the machine knows them.
        person: Person,
        /// What.
        ask: crate::people::Ask,
    },
    /// A step went on.
    Outcome {
        /// Which execution.
        order: Order,
        /// What became of it.
        outcome: Outcome,
    },
    /// How many of NUT's clients are logged in to each UPS; a UPS that is not named has none.
    NutLogins(BTreeMap<String, u32>),
    /// A client of NUT wants a device to be told something.
    NutWish(NutWish),
    /// What became of an operator's order to a device.
    Operated {
        /// Its id.
        id: u64,
        /// What.
        done: Done,
    },
    /// The act role is there and reads this plan.
    ActReady {
        /// Hash of its plan.
        plan_hash: String,
    },
    /// The act role is gone.
    ActGone,
    /// A part of the controller itself is in trouble, or no longer.
    Trouble {
        /// Which part.
        part: Part,
        /// `Some(why)` while in trouble.
        problem: Option<String>,
    },
    /// This checkpoint was signed last; for the nodes to witness.
    Checkpoint {
        /// Fiscal year of the entry log; `None`: of the journal.
        log: Option<i64>,
        /// Records on disk.
        size: u64,
        /// Hash of the chain at the last one.
        root: [u8; 32],
    },
    /// Counters of another role, replacing its previous ones.
    Counters {
        /// Prefix of the names.
        role: &'static str,
        /// Name and value.
        counters: Vec<(String, u64)>,
    },
    /// A notifier tried to send a notice.
    Delivered(Delivered),
    /// A deadline of [`crate::Engine::next_deadline`] is due.
    Tick,
}

/// What a client of NUT wants, as the role `nut` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NutWish {
    /// Account that it has logged in with.
    pub account: String,
    /// Where it comes from.
    pub peer: IpAddr,
    /// Of which UPS.
    pub ups: String,
    /// What.
    pub wish: Wish,
}

/// A message as it came; nothing in it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Account of the sender, when the endpoint is ours.
    pub user: Option<String>,
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Retained: its age is unknown, so it proves nothing about now.
    pub retained: bool,
}

/// Parts of the controller that can fail by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The journal cannot be written (disk full, read-only, failing).
    Journal,
    /// The journal was changed from outside, or rots.
    JournalBroken,
    /// The entry log cannot be written or signed.
    EntryLog,
    /// The history cannot be written.
    History,
    /// The MQTT endpoint or the connection to the external broker.
    Mqtt,
    /// The web role.
    Web,
    /// The server for NUT's clients.
    Nut,
}

/// What an operator can ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Take an alarm.
    Acknowledge {
        /// Alarm id.
        alarm: String,
    },
    /// Put an alarm away.
    Shelve {
        /// Alarm id.
        alarm: String,
        /// 1 to [`crate::alarm::MAX_SHELF_MINUTES`].
        minutes: u32,
        /// Why.
        reason: String,
    },
    /// Reset a latched alarm. The alarm of stopped hosts is reset by starting them: it says
    /// that they run again.
    Reset {
        /// Alarm id.
        alarm: String,
    },
    /// Change a limit at run time.
    ChangeLimit {
        /// Alarm id of the limit.
        limit: String,
        /// What is to be otherwise.
        change: crate::limits::Change,
        /// Why.
        reason: String,
    },
    /// Take an alarm over from whoever has it.
    Take {
        /// Alarm id.
        alarm: String,
    },
    /// End a shelf before its time.
    Unshelve {
        /// Alarm id.
        alarm: String,
    },
    /// Take an alarm out of service.
    OutOfService {
        /// Alarm id.
        alarm: String,
        /// 1 to [`crate::alarm::MAX_OUT_OF_SERVICE_MINUTES`].
        minutes: u32,
        /// Why.
        reason: String,
    },
    /// Put an alarm back into service.
    InService {
        /// Alarm id.
        alarm: String,
    },
    /// Open a maintenance window.
    StartMaintenance {
        /// 1 to [`crate::maintenance::MAX_WINDOW_MINUTES`].
        minutes: u32,
        /// Why.
        reason: String,
        /// Number of the work order.
        work_order: Option<String>,
        /// `node:NAME`, `device:NAME`, `point:ID`, `alarm:ID`.
        scope: Vec<String>,
    },
    /// End a maintenance window, record its result, or both.
    EndMaintenance {
        /// Its number.
        window: u32,
        /// What came of the work; without it an alarm waits for it.
        result: Option<String>,
    },
    /// Check every step of the plan without stopping anything.
    Rehearse,
    /// Call a contact, or all of them, to see that notices arrive.
    TestCall {
        /// Short name of the contact; `None`: all.
        contact: Option<String>,
    },
    /// Let every light of the signal towers burn for a moment.
    LampTest,
    /// A scenario of the simulated room; refused on a real site. Core forwards it, the engine
    /// only records it.
    Scenario {
        /// Its name.
        name: String,
    },
    /// Give a node a new device key, made from its present one and a fresh salt. Its password at
    /// the MQTT endpoint stays as it is.
    RotateKey {
        /// Short name of the node.
        node: String,
        /// 16 fresh random bytes, drawn by core; the engine has no source of randomness.
        #[serde(skip)]
        salt: [u8; 16],
    },
    /// Let a node forget its keys and its access list, before it is thrown away or sent in. It
    /// must be provisioned again afterwards.
    EraseNode {
        /// Short name of the node.
        node: String,
    },
    /// Start a node again.
    RestartNode {
        /// Short name of the node.
        node: String,
    },
    /// Tell a device what the site allows; never what cuts power.
    Device {
        /// Device of the site.
        device: String,
        /// Name of the command, as in `device.commands`.
        command: String,
        /// Its parameter, where it has one.
        value: Option<i64>,
    },
    /// Give a node a new firmware.
    UpdateNode {
        /// Short name of the node.
        node: String,
        /// Name of the signed image, as it is recorded.
        file: String,
        /// The image; core reads it from its own folder, nobody sends it along.
        #[serde(skip)]
        image: Vec<u8>,
    },
    /// Open, note, classify, close, reopen or hand over an incident.
    Incident {
        /// What.
        order: crate::incident::Order,
    },
    /// Say why something was not watched.
    ExplainGap {
        /// From when, milliseconds since 1970 UTC.
        from_ms: i64,
        /// Until when.
        to_ms: i64,
        /// A point or device; `None` for all.
        source: Option<String>,
        /// What happened.
        text: String,
    },
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// No such alarm, point, step.
    NotFound(Label),
    /// Not possible in the present state.
    Conflict(Label),
    /// Malformed.
    Invalid(Label),
    /// Core could not write its journal.
    Unavailable(String),
}

impl Refused {
    /// There is no such thing; in both languages.
    #[must_use]
    pub fn not_found(ja: impl Into<String>, en: impl Into<String>) -> Self {
        Self::NotFound(Label::new(ja, en))
    }

    /// Not possible in the present state; in both languages.
    #[must_use]
    pub fn conflict(ja: impl Into<String>, en: impl Into<String>) -> Self {
        Self::Conflict(Label::new(ja, en))
    }

    /// Malformed; in both languages.
    #[must_use]
    pub fn invalid(ja: impl Into<String>, en: impl Into<String>) -> Self {
        Self::Invalid(Label::new(ja, en))
    }
}

/// In English, for transcripts and logs; the page shows both languages.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(why) | Self::Conflict(why) | Self::Invalid(why) => f.write_str(&why.en),
            Self::Unavailable(why) => f.write_str(why),
        }
    }
}

/// What the engine asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send a sealed frame to a node.
    Downlink {
        /// Topic.
        topic: String,
        /// Sealed frame.
        payload: Vec<u8>,
    },
    /// Let act carry out a step.
    Execute(RealOrder),
    /// Let act check a step and change nothing.
    Check(Order),
    /// Let act stop working on a step.
    Cancel(Order),
    /// Let act tell a device what an operator ordered.
    Operate(Operation),
    /// Read this device at once.
    Poll(String),
    /// Poll at the short interval (`true`) or at the normal one.
    FastPolling(bool),
    /// Let a notifier send this once, and say what became of it.
    Notify(Box<Notice>),
}

impl Effect {
    /// Safety effects do not wait for a failing disk. Notices are among them: that the journal
    /// cannot be written is something to be told, and told twice is better than not at all.
    #[must_use]
    pub const fn is_safety(&self) -> bool {
        match self {
            // What switches the room off can wait: the battery ends by itself.
            Self::Execute(order) => !order.waits_for_the_disk(),
            Self::Cancel(_) | Self::FastPolling(_) | Self::Notify(_) => true,
            _ => false,
        }
    }
}

/// One value for the history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRow {
    /// Point id.
    pub point: String,
    /// When it was measured.
    pub at: Wall,
    /// The value; `None` marks the begin of a gap.
    pub value: Option<f64>,
}

/// What one event led to.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    /// To be journaled before any effect leaves.
    pub records: Vec<Record>,
    /// To be dispatched after the commit.
    pub effects: Vec<Effect>,
    /// For the history; may lag, may be dropped under load.
    pub history: Vec<HistoryRow>,
    /// Why a command was refused.
    pub refused: Option<Refused>,
    /// What was done of an operator's order, or why it was not.
    pub said: Option<Result<Label, Label>>,
}

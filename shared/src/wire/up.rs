//! Bodies from node to controller.
//!
//! Append only: the order of variants and fields is the wire encoding. A struct never gets another
//! field; what is new comes as a new variant.

use crate::access::{CardId, Decision};
use crate::{NoData, Sample};
use serde::{Deserialize, Serialize};

/// Why the node started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResetCause {
    /// Power came.
    PowerOn,
    /// The watchdog bit.
    Watchdog,
    /// The program panicked or faulted.
    Crash,
    /// Asked to.
    Requested,
}

/// Bodies from node to controller. Append only: the order is the wire encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Up {
    /// Event: the node has started. The first event of every boot.
    Hello {
        /// Firmware version (major, minor, patch).
        firmware: (u8, u8, u8),
        /// Why it started.
        cause: ResetCause,
        /// Channels mounted.
        channels: u8,
    },
    /// Event: a contact changed after its debounce. `open` is the alarm side
    /// (door open, leak wet, line cut).
    Contact {
        /// Channel.
        channel: u8,
        /// True on the alarm side.
        open: bool,
    },
    /// Event: a sensor lost its value.
    SensorLost {
        /// Channel.
        channel: u8,
        /// Why.
        reason: NoData,
    },
    /// Event: a lost sensor has a value again.
    SensorBack {
        /// Channel.
        channel: u8,
    },
    /// Event: the ring overflowed; `count` events before this one are gone.
    Lost {
        /// How many.
        count: u32,
    },
    /// Event: a downward frame was refused by the node.
    Refused {
        /// Refused since boot, this one included.
        total: u32,
        /// Why the last one was refused.
        why: Refusal,
    },
    /// Telemetry: one measurement.
    Sample(Sample),
    /// Telemetry: the node is alive.
    Heartbeat {
        /// Events in the ring not yet acknowledged.
        pending: u16,
        /// Sequence of the last event written.
        last_event: u32,
        /// Downward frames refused since boot.
        refused: u32,
        /// Samples or events this node could not send or store.
        dropped: u32,
    },
    /// Event: a credential was presented, and the node decided.
    Credential {
        /// Reader, 0-based.
        reader: u8,
        /// What kind of card.
        kind: CredentialKind,
        /// The card under the site's card key; never its number.
        id: CardId,
        /// What the node decided.
        decision: Decision,
        /// Version of the list that decided, 0 when there is none.
        list: u32,
    },
    /// Event: something happened at a portal.
    Door {
        /// Portal, 0-based.
        portal: u8,
        /// What.
        event: DoorEvent,
    },
    /// Event: a reader failed or is well again.
    Reader {
        /// Reader, 0-based.
        reader: u8,
        /// How it is.
        state: ReaderState,
    },
    /// Event: a supervised line is cut or shorted. It ends with the next [`Up::Contact`] of the
    /// channel.
    LineFault {
        /// Channel.
        channel: u8,
        /// What is wrong.
        fault: LineFault,
    },
    /// Event: a contact changes so often that its edges are counted and no longer told.
    Chattering {
        /// Channel.
        channel: u8,
        /// Edges that led to this.
        edges: u16,
    },
    /// Event: a chattering contact rests; its edges are told again.
    Rested {
        /// Channel.
        channel: u8,
        /// Where it rests: true on the alarm side.
        open: bool,
        /// Edges that were not told.
        edges: u32,
    },
    /// Event: what the last life of this node ended with, if it ended badly.
    Crashed(Crash),
    /// Event: the node crashed again and again and now keeps to console and network (on), or
    /// has left that state (off).
    SafeMode {
        /// True: nothing in the room is watched by this node.
        on: bool,
        /// Crashes in a row.
        crashes: u8,
    },
    /// Event: the access list.
    List(ListEvent),
    /// Event: the node's key.
    Key(KeyEvent),
    /// Event: an update of the firmware came to this point.
    Update {
        /// The version it is about.
        version: Version,
        /// What became of it.
        outcome: UpdateOutcome,
    },
    /// Telemetry: how the node itself is.
    Health(Health),
    /// Telemetry: the last log checkpoint that the node was given. It is a witness: what it was
    /// given once, it says at every boot.
    Checkpoint {
        /// Records in the log.
        size: u64,
        /// Root of the log.
        root: [u8; 32],
        /// When it was given, seconds since 1970 UTC; 0 when the clock was not set.
        given_unix_s: u64,
    },
    /// Telemetry: how far a list or an image has come; asks for what follows.
    Transfer {
        /// Of what.
        what: TransferKind,
        /// Version of the list, or [`Version::number`] of the image.
        version: u32,
        /// List: entries that are in. Image: bytes that are in.
        have: u32,
    },
    /// Event: the building shook.
    Shock {
        /// Channel.
        channel: u8,
        /// Highest acceleration so far, in thousandths of m/s².
        peak: u32,
    },
}

/// A firmware version: major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub u8, pub u8, pub u8);

impl Version {
    /// One number that orders like the version.
    #[must_use]
    pub const fn number(self) -> u32 {
        (self.0 as u32) << 16 | (self.1 as u32) << 8 | self.2 as u32
    }
}

impl core::fmt::Display for Version {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What kind of card was presented. It identifies and does not prove: both can be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CredentialKind {
    /// ISO/IEC 14443 Type A, by its UID (4, 7 or 10 bytes).
    TypeA,
    /// JIS X 6319-4 (FeliCa), by its IDm (8 bytes).
    Felica,
}

/// Why an opened door was allowed to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenedBy {
    /// A credential was granted.
    Grant,
    /// Somebody inside asked to leave.
    RequestToExit,
    /// The key cylinder was turned.
    KeyOverride,
}

/// What happened at a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DoorEvent {
    /// The door opened, and was allowed to.
    Opened(OpenedBy),
    /// The door opened though nothing allowed it.
    Forced,
    /// The door stands open for longer than it may.
    HeldOpen,
    /// The door is closed.
    Closed,
    /// A grant passed without the door being opened.
    Unused,
    /// Somebody inside asked to leave.
    RequestToExit,
    /// The key cylinder was turned (true) or is back (false).
    KeyOverride(bool),
    /// Reader or enclosure was opened (true) or is closed again (false).
    Tamper(bool),
    /// The lock's bolt disagrees with the door: not thrown though closed (true), or as it should
    /// be again (false).
    Unlocked(bool),
    /// Found open when the node started; who opened it is not known.
    FoundOpen,
}

/// Why a reader does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReaderProblem {
    /// It does not answer.
    Mute,
    /// It answers with nothing that can be understood.
    Garbled,
    /// It answers, but its radio part does not work.
    Radio,
    /// It is another part than expected.
    OtherPart,
    /// Something stays in front of it, and no other card can be told from it.
    Blocked,
}

/// How a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReaderState {
    /// It works.
    Well,
    /// It does not; nobody can enter by card.
    Fault(ReaderProblem),
}

/// What is wrong with a supervised line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LineFault {
    /// Interrupted.
    Cut,
    /// Shorted.
    Shorted,
}

/// How a life of the node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrashKind {
    /// The program gave up.
    Panic,
    /// The processor could not go on.
    Fault,
    /// A task hung, and the watchdog bit.
    Hang,
}

/// The record of a crash, from memory that survives the reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crash {
    /// How.
    pub kind: CrashKind,
    /// Program counter, 0 when not known. Of a panic, a return address: where it happened, or in a
    /// function of `core` between that and the panic.
    pub pc: u32,
    /// Link register, 0 when not known. Of a panic, the next return address outwards.
    pub lr: u32,
    /// The task that hung, 255 when not known.
    pub task: u8,
    /// Of a panic, the return address after these two; on a board that keeps the places of its panics
    /// (file:line), the CRC-32 of that. 0 when not known.
    pub mark: u32,
    /// Uptime at the crash in milliseconds.
    pub up_ms: u64,
}

/// Why a list that was under way was dropped; the one before stays in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListProblem {
    /// Entries came out of order, twice, or not at all.
    Incomplete,
    /// The digest is another one.
    Digest,
    /// The entries are not sorted, or a number in the head is out of range.
    Malformed,
    /// The memory does not keep it.
    Memory,
}

/// What became of an access list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListEvent {
    /// From now on this list decides.
    Committed {
        /// Its version.
        version: u32,
        /// Its entries.
        count: u16,
    },
    /// It was not taken.
    Dropped {
        /// Its version.
        version: u32,
        /// Why.
        why: ListProblem,
    },
    /// The list in force was not confirmed by the controller for longer than it may be. It
    /// still decides.
    Stale {
        /// Its version.
        version: u32,
        /// Days since it was confirmed.
        days: u16,
    },
}

/// What became of the node's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyEvent {
    /// From now on frames carry this key id and are made with the rotated key.
    Rotated {
        /// The new key id.
        key_id: u8,
    },
    /// The key could not be kept; the one before stays in force.
    NotKept {
        /// The key id that was asked for.
        key_id: u8,
    },
    /// Key, lists and events are erased; this is the last frame of this node.
    Erased,
}

/// Why an image was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateRefusal {
    /// This board cannot be updated over the network.
    NotSupported,
    /// The signature is not one of the key this node trusts.
    Signature,
    /// Fewer or more bytes came than the head says.
    Truncated,
    /// The bytes are not those of the head.
    Hash,
    /// Not newer than what runs.
    Older,
    /// For another board.
    OtherBoard,
    /// Does not fit.
    TooLarge,
    /// The memory does not keep it.
    Memory,
    /// It ran, but never reached the controller; the one before runs again.
    NeverReached,
    /// It carries no signature at all.
    Unsigned,
    /// The power failed before it could be swapped in; it may be sent again.
    Interrupted,
    /// Another image is staged or on trial; it may be sent again later.
    Busy,
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateOutcome {
    /// Complete and verified; runs after the next restart.
    Staged,
    /// Not taken.
    Refused(UpdateRefusal),
    /// It runs and has reached the controller; it stays.
    Confirmed,
    /// It ran and failed; the one before runs again.
    RolledBack,
}

/// Where the node's time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClockState {
    /// Not known.
    Unset,
    /// From its own clock chip since the last boot.
    Rtc,
    /// From the controller, proven.
    Controller,
}

/// How the node itself is. Counters saturate and start at 0 with every boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The version that runs.
    pub running: Version,
    /// The version before it, if one was replaced by an update.
    pub previous: Option<Version>,
    /// The last version that was not taken, and why.
    pub refused: Option<(Version, UpdateRefusal)>,
    /// True: nothing in the room is watched by this node.
    pub safe_mode: bool,
    /// Crashes in a row.
    pub crashes: u8,
    /// Where the time comes from.
    pub clock: ClockState,
    /// Version of the access list in force, 0 when there is none.
    pub list: u32,
    /// Hours since that list was confirmed; 65535 when not known.
    pub list_age_h: u16,
    /// Connections to the broker.
    pub connects: u16,
    /// Connections that ended because another client took this node's name.
    pub taken_over: u16,
    /// Bytes or frames of readers, probes and console that were no frames.
    pub garbled: u16,
    /// Times a bus had to be freed or a sensor rail to be switched off and on.
    pub recoveries: u16,
    /// Bytes of stack never used so far; 65535 when not measured.
    pub stack_free: u16,
}

/// What is transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferKind {
    /// An access list.
    List,
    /// A firmware image.
    Image,
}

/// Why the node refused a downward frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Not a frame, or a wrong tag.
    Forged,
    /// A counter that was already used.
    Replayed,
    /// Authentic, but for another node or boot, or an order under the key of before a rotation.
    Misdirected,
    /// Authentic, but not understood.
    Unknown,
}

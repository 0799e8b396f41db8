//! The link between the roles: a unix socket of core, a small versioned protocol.
//!
//! Core listens on `<data_dir>/run/core.sock`; web, broker and act connect. Every message is a
//! length (u32, big endian) and a postcard value; the first message of each side is
//! [`Hello`]. Queues are bounded; a role that does not read is cut off, so that a stopped or
//! pegged web role cannot hold core up.
//!
//! Nothing secret crosses it: `act` reads its keys itself, the broker gets only digests.

pub mod wire;

pub use room::command::{Done, Operation};
pub use room::event::{Command, Refused};
pub use room::outage::operator::Ask;
pub use room::outage::{Order, Outcome};
use serde::{Deserialize, Serialize};

/// Version of the protocol; both sides must agree, since all roles are one binary.
pub const VERSION: u16 = 1;
/// Longest message in bytes: a snapshot of 10,000 devices at about 300 bytes each, 4,000 of their facts
/// and 4,000 points at about 500.
pub const MAX_MESSAGE: usize = 16 << 20;
// An alarm takes about 2 kB with its texts in both languages; half of the message is left for the rest.
const _: () = assert!(room::snapshot::MAX_ALARMS * 4_096 <= MAX_MESSAGE / 2);
/// Messages waiting for one role before it is cut off.
pub const MAX_WAITING: usize = 1024;

/// The roles that connect to core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Pages and API.
    Web,
    /// The built-in MQTT endpoint.
    Broker,
    /// The holder of shutdown keys.
    Act,
    /// The server for NUT's clients.
    Nut,
    /// A person at this machine, for one order. Its rights are those of the user, by the site.
    Operator,
}

/// First message of the role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol version.
    pub version: u16,
    /// Who connects.
    pub role: Role,
}

/// From core to web.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToWeb {
    /// The picture as JSON of `room::snapshot::Snapshot`; sent on connect and after a change,
    /// at most every 100 ms.
    Snapshot(Vec<u8>),
    /// Records just committed, as JSON array of `{seq, wall_ms, kind, ...}`; sent at once.
    Records(Vec<u8>),
    /// Answer to a command or query of web, by its token.
    Answer {
        /// Token of the request.
        token: u64,
        /// JSON, or what the user can do about it.
        result: Result<Vec<u8>, Refused>,
    },
}

/// From web to core.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromWeb {
    /// A command of an operator.
    Command {
        /// Echoed in the answer.
        token: u64,
        /// Who.
        by: String,
        /// What.
        command: Command,
    },
    /// Samples of a point between two moments, at most `buckets` of them.
    History {
        /// Echoed in the answer.
        token: u64,
        /// Point id.
        point: String,
        /// Milliseconds since 1970 UTC.
        from_ms: i64,
        /// Milliseconds since 1970 UTC.
        to_ms: i64,
        /// Most rows in the answer.
        buckets: u32,
    },
    /// About limits.
    Limits {
        /// Echoed in the answer.
        token: u64,
        /// What.
        question: LimitQuestion,
    },
    /// About rehearsals and outages.
    Outage {
        /// Echoed in the answer.
        token: u64,
        /// What.
        question: OutageQuestion,
    },
    /// About the entry log.
    Log {
        /// Echoed in the answer.
        token: u64,
        /// What.
        question: LogQuestion,
    },
    /// Everything that a device tells.
    Device {
        /// Echoed in the answer.
        token: u64,
        /// Short name of the device.
        name: String,
    },
    /// Records after a sequence number, at most `limit` of them.
    Records {
        /// Echoed in the answer.
        token: u64,
        /// Exclusive.
        after: u64,
        /// Most records in the answer.
        limit: u32,
    },
    /// How much of a span was watched.
    Coverage {
        /// Echoed in the answer.
        token: u64,
        /// Milliseconds since 1970 UTC.
        from_ms: i64,
        /// Milliseconds since 1970 UTC.
        to_ms: i64,
    },
    /// About persons, cards and passages; never a personal value.
    Access {
        /// Echoed in the answer.
        token: u64,
        /// What.
        question: AccessQuestion,
    },
    /// What would be if these were lost now.
    WhatIf {
        /// Echoed in the answer.
        token: u64,
        /// UPSes, PDUs, ATSes, outlets or `mains`.
        lose: Vec<String>,
    },
    /// Every incident, newest first.
    Incidents {
        /// Echoed in the answer.
        token: u64,
    },
    /// The document of an incident.
    Incident {
        /// Echoed in the answer.
        token: u64,
        /// Which.
        incident: u32,
        /// As it was after this record; `None` for as it is.
        upto: Option<u64>,
    },
}

/// What web asks about rehearsals and outages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutageQuestion {
    /// Results of rehearsals and drills, newest first.
    Exercises,
    /// The document of one.
    Exercise {
        /// Run number.
        run: u64,
    },
    /// Batteries and schedules.
    Care,
    /// The recorded outages, newest first.
    Places,
    /// What today's plan would have done in one.
    Replay {
        /// Its number; the newest when `None`.
        outage: Option<u64>,
        /// As if mains had not come back.
        without_return: bool,
    },
}

/// What web asks about persons, cards and passages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessQuestion {
    /// Everybody in the register.
    Persons,
    /// Every card, and the doors that a lost one is stopped at.
    Cards,
    /// Who is inside.
    Inside,
    /// The newest passages, newest first.
    Passages {
        /// Most of them.
        limit: u32,
    },
}

/// What web asks about the entry log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogQuestion {
    /// How it is.
    Status,
    /// Rows.
    Entries(crate::core::log::read::Search),
    /// The proof of one.
    Proof {
        /// Fiscal year.
        year: i64,
        /// The row.
        n: u64,
    },
}

/// What web asks about limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LimitQuestion {
    /// Every limit as it is.
    All,
    /// The last changes of one.
    History {
        /// Alarm id.
        limit: String,
    },
    /// What one would have done with other values.
    Preview {
        /// Alarm id.
        limit: String,
        /// What would be otherwise.
        change: room::limits::Change,
        /// How far back, 1 to [`room::limits::MAX_PREVIEW_DAYS`].
        days: u32,
    },
}

/// From core to broker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToBroker {
    /// Who may connect; replaces the previous list.
    Accounts(Vec<Account>),
    /// The message with this token is committed (or refused for good): send its PUBACK.
    Settled {
        /// Token of [`FromBroker::Publish`].
        token: u64,
    },
    /// Publish to clients.
    Publish {
        /// Topic.
        topic: String,
        /// Payload.
        payload: Vec<u8>,
        /// QoS 1 when true, else 0.
        at_least_once: bool,
        /// Keep for later subscribers.
        retain: bool,
    },
}

/// An account of the built-in endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// User name; a node's is its id.
    pub user: String,
    /// SHA-256 of the password.
    pub password_sha256: [u8; 32],
    /// Topic filters it may publish to.
    pub publish: Vec<String>,
    /// Topic filters it may subscribe to.
    pub subscribe: Vec<String>,
}

/// From broker to core.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromBroker {
    /// A message under `fac/v1/`; the broker forwards it to core and, when QoS 1, withholds
    /// PUBACK until [`ToBroker::Settled`].
    Publish {
        /// Echoed in `Settled`.
        token: u64,
        /// Account of the sender.
        user: String,
        /// Topic.
        topic: String,
        /// Payload.
        payload: Vec<u8>,
        /// True when `Settled` is awaited.
        at_least_once: bool,
        /// True for a retained or a late-stored message.
        retained: bool,
    },
    /// What the endpoint refused or dropped since it started, by name.
    Counters(Vec<(String, u64)>),
}

/// From core to act. Act looks the step up in its own reading of the configuration and refuses
/// a plan hash it does not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToAct {
    /// Carry out a step.
    Execute {
        /// Run and step, the key under which the target sees the request only once by effect.
        order: Order,
        /// The target accepted an earlier try of this run: by now its silence is what was asked
        /// for. Act may have been restarted and not know.
        accepted: bool,
    },
    /// Check credentials and reachability of a step, and change nothing.
    Check {
        /// The order.
        order: Order,
    },
    /// Stop working on a step (mains is back, or its budget is spent).
    Cancel {
        /// The order.
        order: Order,
    },
    /// Tell a device what an operator ordered. Act refuses what its own reading of the
    /// configuration does not allow, and whatever cuts power.
    Operate {
        /// What.
        operation: Operation,
    },
}

/// From act to core.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromAct {
    /// Hash of the plan as act reads it; sent on connect.
    Ready {
        /// Hash as hex.
        plan_hash: String,
    },
    /// Progress of an order.
    Report {
        /// The order.
        order: Order,
        /// What happened.
        outcome: Outcome,
    },
    /// What became of an operator's order.
    Operated {
        /// Its id.
        id: u64,
        /// What.
        done: Done,
    },
}

/// From a person at this machine to core: one order a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromOperator {
    /// About a run of the plan.
    Run {
        /// What.
        ask: Ask,
    },
    /// About persons and cards.
    Keep(FromKeeper),
}

/// An order about persons and cards, and the names that go with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FromKeeper {
    /// What.
    pub ask: room::people::Ask,
    /// Names of persons that it adds or changes, by id. They never reach the engine.
    pub personal: Vec<(String, room::people::Personal)>,
}

/// Core's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToOperator {
    /// Done, and journaled.
    Done {
        /// What, in Japanese.
        ja: String,
        /// What, in English.
        en: String,
    },
    /// Not done: the wishes of an order that cannot be followed.
    Mistakes(Vec<room::people::Problem>),
    /// What was asked for.
    Rows {
        /// As JSON, without personal values.
        rows: Vec<u8>,
        /// Names, by id.
        personal: Vec<(String, room::people::Personal)>,
    },
    /// Not done.
    Refused {
        /// Why, in Japanese.
        ja: String,
        /// Why, in English.
        en: String,
    },
}

/// From core to nut.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToNut {
    /// The UPSes as clients are to read them; sent on connect and after a change.
    Served(room::nut::served::Served),
    /// Core lives, and nothing has changed.
    Unchanged,
    /// What a client wanted is ordered under this number and on disk, or it is not done.
    Ordered {
        /// Token of [`FromNut::Wish`].
        token: u64,
        /// The order's number, or why not.
        result: Result<u64, Refused>,
    },
}

/// From nut to core.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromNut {
    /// What it refused, by name.
    Counters(Vec<(String, u64)>),
    /// How many clients are logged in to each UPS that has any; sent on connect and every second.
    Logins(std::collections::BTreeMap<String, u32>),
    /// A client wants a device to be told something. Core looks up again whether it may.
    Wish {
        /// Echoed in the answer.
        token: u64,
        /// Account that the client logged in with.
        account: String,
        /// Where it comes from.
        peer: std::net::IpAddr,
        /// Of which UPS.
        ups: String,
        /// What.
        wish: room::nut::wish::Wish,
    },
}

//! Turns the records of the journal, in their order, into leaves, and knows what else the log owes: the
//! head of every year's log, a heartbeat every hour, a mark where the clock was set, one where a node's
//! numbers begin again, and one for the time in which nothing could be written.
//!
//! ```text
//! journal record --> [log.resumed] [clock.stepped] [node.restarted] its own leaves
//! hour           --> heartbeat
//! April 1st      --> (last checkpoint of the old log) log.started, heartbeat
//! ```
//! A leaf carries the clocks of its record, so a record that is logged late (the log's disk failed, the
//! machine was killed) has the same leaf, salts apart. What is kept between two lives is the [`Writer`]
//! itself, stored together with the leaves.

use super::leaf::{self, Object, Value};
use super::of::{self, Draft, FoundBy, NodeEventAt, Portals};
use super::record::Record as LogRecord;
use super::seal::{self, SALT};
use super::tree::Hash;
use super::year;
use crate::record::{Entry, Record};
use crate::time::{Millis, Mono, Now};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A heartbeat comes at least so often while the controller runs.
pub const HEARTBEAT_EVERY: Millis = Millis(3_600_000);
/// Heartbeats of one life that are further apart name the gap.
pub const GAP: Millis = Millis(64 * 60_000);
/// The wall clock was set when it moved so far against the monotonic one.
pub const STEP_MS: i64 = 2_000;
/// Most nodes that are followed.
pub const MAX_NODES: usize = 4_096;

/// What the log knows of itself; stored with its leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// The site's part of the origin; kept when the site is renamed.
    slug: String,
    /// The log that is written, and its leaves.
    log: Option<(i64, u64)>,
    /// Boot of the machine of the last record.
    boot: String,
    /// Wall minus monotonic clock, at its first leaf or last step.
    offset: Option<i64>,
    /// Last heartbeat, or head of a log, or end of a gap, of this boot.
    heartbeat: Option<Mono>,
    /// This life has not had one yet.
    owes_heartbeat: bool,
    /// The last event of each node that is in the log.
    nodes: BTreeMap<u16, u32>,
    /// The last record of the journal that was looked at, with `base`.
    journal: u64,
    /// What the numbers of a new journal are raised by; 0 as long as it is the first one.
    base: u64,
}

/// A leaf that is to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Fiscal year of its log.
    pub year: i64,
    /// Its place.
    pub n: u64,
    /// Its bytes.
    pub leaf: Vec<u8>,
    /// What opens it: field, salt, value.
    pub openings: Vec<(&'static str, [u8; SALT], String)>,
    /// What it is.
    pub kind: String,
    /// When it was logged.
    pub at_ms: i64,
    /// What it is found by.
    pub found_by: FoundBy,
}

/// The end of the log before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// Its origin.
    pub origin: String,
    /// Its leaves.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl Writer {
    /// A log that begins after record `journal`.
    #[must_use]
    pub fn new(slug: String, journal: u64) -> Self {
        Self {
            slug,
            log: None,
            boot: String::new(),
            offset: None,
            heartbeat: None,
            owes_heartbeat: false,
            nodes: BTreeMap::new(),
            journal,
            base: 0,
        }
    }

    /// The year's log that is written, and how many leaves it has.
    #[must_use]
    pub const fn log(&self) -> Option<(i64, u64)> {
        self.log
    }

    /// Its origin.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        self.log.map(|(year, _)| self.origin_of(year))
    }

    /// The origin of a year's log.
    #[must_use]
    pub fn origin_of(&self, year: i64) -> String {
        year::origin(&self.slug, year)
    }

    /// The name of the keys.
    #[must_use]
    pub fn key_name(&self) -> String {
        year::key_name(&self.slug)
    }

    /// The last record of the present journal that was looked at.
    #[must_use]
    pub const fn projected(&self) -> u64 {
        self.journal - self.base
    }

    /// True when a record of this moment needs another log than the present one. A clock that was set
    /// back over New Year goes on with the log that was begun.
    #[must_use]
    pub fn is_year_due(&self, now: Now) -> bool {
        self.log
            .is_none_or(|(year, _)| year::fiscal_year(now.wall) > year)
    }

    /// Begins the log of the year: its head, and after another log the numbers of the nodes, which
    /// go on.
    pub fn begin(
        &mut self,
        now: Now,
        key: &str,
        previous: Option<&Previous>,
        salt: impl FnMut() -> [u8; SALT],
    ) -> Vec<Planned> {
        let year = year::fiscal_year(now.wall).max(self.log.map_or(i64::MIN, |(year, _)| year + 1));
        self.log = Some((year, 0));
        let mut data = Object::new();
        data.insert("origin", self.origin_of(year).into());
        data.insert("key", key.into());
        if let Some(previous) = previous {
            let mut object = Object::new();
            object.insert("origin", (&previous.origin).into());
            object.insert("size", previous.size.into());
            object.insert("root", hex(&previous.root).into());
            data.insert("previous", Value::Object(object));
        }
        self.heartbeat = Some(now.mono);
        let mut salt = salt;
        let mut leaves = vec![self.plan(now, plain("log.started", data), &mut salt)];
        if previous.is_some() {
            leaves.push(self.beat(now, &mut salt));
        }
        leaves
    }

    /// The journal was exchanged: its numbers go on from those of the one before.
    pub fn new_journal(&mut self, now: Now, salt: impl FnMut() -> [u8; SALT]) -> Vec<Planned> {
        self.base = self.journal;
        let mut data = Object::new();
        data.insert("base", self.base.into());
        let mut salt = salt;
        vec![self.plan(now, plain("journal.replaced", data), &mut salt)]
    }

    /// Looks at the next record of the journal before anything is made of it: a start brings its boot.
    pub fn look(&mut self, entry: &Entry) {
        if let Record::Started { boot_id, .. } = &entry.record {
            if *boot_id != self.boot {
                self.boot.clone_from(boot_id);
                self.offset = None;
            }
            // What was not written in between is named by the record itself.
            self.heartbeat = Some(entry.now.mono);
            self.owes_heartbeat = true;
        }
    }

    /// The leaves of the next record of the journal, after [`Writer::look`]. `erased` is how many
    /// openings an order to erase finds.
    pub fn project(
        &mut self,
        entry: &Entry,
        portals: &Portals,
        erased: Option<u64>,
        salt: impl FnMut() -> [u8; SALT],
    ) -> Vec<Planned> {
        let mut salt = salt;
        self.journal = self.base + entry.seq;
        let mut leaves = Vec::new();
        let mut drafts = of::of(entry, portals);
        if let Record::Log {
            record: LogRecord::WitnessSaw { year, .. },
        } = &entry.record
            && self.log.is_none_or(|(present, _)| present != *year)
        {
            // It says nothing about this log.
            drafts.clear();
        }
        if drafts.is_empty() {
            return leaves;
        }
        leaves.extend(self.step(entry.now, &mut salt));
        leaves.extend(self.gap(entry.now, &mut salt));
        if self.is_heartbeat_over(entry.now.mono) {
            // It is logged late; its hours had heartbeats, too.
            leaves.push(self.beat(entry.now, &mut salt));
        }
        for mut draft in drafts {
            if let Some(erased) = erased {
                draft.data.insert("count", erased.into());
            }
            if let Some(at) = draft.node {
                leaves.extend(self.follow(entry.now, at, &mut salt));
            }
            if let Record::EventsMissing { node, to, .. } = &entry.record {
                let last = self.nodes.entry(*node).or_default();
                *last = (*last).max(*to);
            }
            leaves.push(self.plan(entry.now, draft, &mut salt));
        }
        leaves
    }

    /// A record that does not decode has its place, too.
    pub fn unreadable(&mut self, now: Now, seq: u64, salt: impl FnMut() -> [u8; SALT]) -> Vec<Planned> {
        self.journal = self.base + seq;
        let mut data = Object::new();
        data.insert("record", seq.into());
        let mut salt = salt;
        vec![self.plan(now, plain("journal.unreadable", data), &mut salt)]
    }

    /// When the next heartbeat is due; `None` before the log has begun.
    #[must_use]
    pub fn heartbeat_due(&self) -> Option<Mono> {
        self.log?;
        let next = self.heartbeat.filter(|_| !self.owes_heartbeat);
        Some(next.map_or(Mono(0), |at| at.after(HEARTBEAT_EVERY)))
    }

    fn is_heartbeat_over(&self, now: Mono) -> bool {
        self.heartbeat.is_some_and(|at| now.since(at) >= HEARTBEAT_EVERY)
    }

    /// A heartbeat; only when every record of the journal is in the log.
    pub fn heartbeat(&mut self, now: Now, salt: impl FnMut() -> [u8; SALT]) -> Vec<Planned> {
        let mut salt = salt;
        let mut leaves: Vec<Planned> = self.step(now, &mut salt).into_iter().collect();
        leaves.extend(self.gap(now, &mut salt));
        leaves.push(self.beat(now, &mut salt));
        leaves
    }

    fn beat(&mut self, now: Now, salt: &mut impl FnMut() -> [u8; SALT]) -> Planned {
        self.heartbeat = Some(now.mono);
        self.owes_heartbeat = false;
        let nodes = self.nodes.iter().map(|(id, seq)| {
            let mut node = Object::new();
            node.insert("id", id.to_string().into());
            node.insert("seq", (*seq).into());
            Value::Object(node)
        });
        let mut data = Object::new();
        data.insert("nodes", Value::List(nodes.collect()));
        self.plan(now, plain("heartbeat", data), salt)
    }

    /// Names the time of this life in which no heartbeat could be written.
    fn gap(&mut self, now: Now, salt: &mut impl FnMut() -> [u8; SALT]) -> Option<Planned> {
        let long = self
            .heartbeat
            .map(|at| now.mono.since(at))
            .filter(|long| *long > GAP)?;
        self.heartbeat = Some(now.mono);
        let long = i64::try_from(long.0).unwrap_or(i64::MAX);
        let mut data = Object::new();
        data.insert("down_from", now.wall.0.saturating_sub(long).into());
        data.insert("down_to", now.wall.0.into());
        data.insert("why", "the log could not be written".into());
        Some(self.plan(now, plain("log.resumed", data), salt))
    }

    /// Names a step of the wall clock.
    fn step(&mut self, now: Now, salt: &mut impl FnMut() -> [u8; SALT]) -> Option<Planned> {
        let offset = offset(now);
        let by = offset - *self.offset.get_or_insert(offset);
        if by.abs() <= STEP_MS {
            return None;
        }
        self.offset = Some(offset);
        let mut data = Object::new();
        data.insert("by_ms", by.into());
        Some(self.plan(now, plain("clock.stepped", data), salt))
    }

    /// Follows a node's numbers; names the place where they begin again.
    fn follow(
        &mut self,
        now: Now,
        at: NodeEventAt,
        salt: &mut impl FnMut() -> [u8; SALT],
    ) -> Option<Planned> {
        if self.nodes.len() >= MAX_NODES && !self.nodes.contains_key(&at.id) {
            return None;
        }
        let last = self.nodes.insert(at.id, at.seq);
        if last.is_some_and(|last| at.seq > last) {
            return None;
        }
        let mut data = Object::new();
        data.insert("id", at.id.to_string().into());
        data.insert("seq", at.seq.into());
        Some(self.plan(now, plain("node.restarted", data), salt))
    }

    /// Gives a draft its place, its salts and its bytes.
    fn plan(&mut self, now: Now, draft: Draft, salt: &mut impl FnMut() -> [u8; SALT]) -> Planned {
        let (year, n) = self.log.unwrap_or_default();
        self.log = Some((year, n + 1));
        let mut openings = Vec::with_capacity(draft.sealed.len());
        let mut sealed = Object::new();
        for (field, value) in draft.sealed {
            let salt = salt();
            sealed.insert(field, hex(&seal::commitment(field, &salt, &value)).into());
            openings.push((field, salt, value));
        }
        let mut members = Object::new();
        members.insert("v", Value::Integer(1));
        members.insert("n", n.into());
        members.insert("kind", (&draft.kind).into());
        members.insert("logged_at", now.wall.0.into());
        members.insert("up_ms", now.mono.0.into());
        members.insert("boot", (&self.boot).into());
        members.insert("journal", self.journal.into());
        if let Some((at, clock)) = draft.observed {
            members.insert("clock", clock.into());
            if let Some(at) = at {
                members.insert("observed_at", at.into());
            }
        }
        if let Some(at) = draft.node {
            members.insert("node", node(at));
        }
        if !sealed.is_empty() {
            members.insert("sealed", Value::Object(sealed));
        }
        members.insert("data", Value::Object(draft.data));
        let mut bytes = leaf::bytes(&members);
        if bytes.len() > leaf::MAX_LEAF {
            // An entry is never lost for being long: its journal record has the rest.
            let mut data = Object::new();
            data.insert("omitted", u64::try_from(bytes.len()).unwrap_or(u64::MAX).into());
            members.insert("data", Value::Object(data));
            bytes = leaf::bytes(&members);
        }
        Planned {
            year,
            n,
            leaf: bytes,
            openings,
            kind: draft.kind,
            at_ms: now.wall.0,
            found_by: draft.found_by,
        }
    }
}

fn offset(now: Now) -> i64 {
    now.wall
        .0
        .saturating_sub(i64::try_from(now.mono.0).unwrap_or(i64::MAX))
}

fn node(at: NodeEventAt) -> Value {
    let mut node = Object::new();
    node.insert("id", at.id.to_string().into());
    node.insert("boot", at.boot.into());
    node.insert("seq", at.seq.into());
    node.insert("up_ms", at.up_ms.into());
    Value::Object(node)
}

fn plain(kind: &str, data: Object) -> Draft {
    Draft {
        kind: kind.to_owned(),
        data,
        ..Draft::default()
    }
}

/// Bytes as hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

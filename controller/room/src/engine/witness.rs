//! Witnesses: nodes keep the last checkpoint of the entry log that they were given, and say it at
//! every boot. A log or a journal that was rolled back, exchanged or rewritten does not know it: the
//! journal remembers what was given, and the log what was signed.
//!
//! ```text
//! core: size, root of the log  -> CheckpointGiven (journaled) -> every node, at most hourly
//! node: size, root -> given by this journal? --yes--> agrees
//!                                            --no---> alarm, and nothing new is given to this
//!                                                     node until a person has reset the alarm
//! ```

use super::{Engine, hex};
use crate::alarm::Standing;
use crate::catalog;
use crate::event::Turn;
use crate::log::record::Record as LogRecord;
use crate::record::Record;
use crate::site::{Label, World};
use crate::snapshot;
use crate::time::{Millis, Mono, Now};
use shared::wire::Down;
use std::collections::BTreeMap;

/// Nodes are given a checkpoint at most so often: it is written into their memory.
pub const GIVE_EVERY: Millis = Millis(3_600_000);
/// Checkpoints remembered: a year of hours. A witness older than these is not judged.
pub const MAX_GIVEN: usize = 9_000;

/// What was given, and what came back.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// Roots by log (its year; the journal's own, which were given before there was a log, under 0) and
    /// size (durable).
    given: BTreeMap<(i64, u64), String>,
    given_at: Option<Mono>,
    reported: BTreeMap<u16, Report>,
}

#[derive(Debug, Clone)]
struct Report {
    size: u64,
    root: String,
    given_unix_s: u64,
    verdict: Verdict,
}

/// What a witness says about this journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// This journal gave it.
    Agrees,
    /// It was given more records than this journal gave anybody: records are gone.
    Ahead,
    /// This journal has another root there, or never gave a checkpoint of that size.
    Differs,
    /// Further back than is remembered.
    TooOld,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Ahead => "ahead",
            Self::Differs => "differs",
            Self::TooOld => "too_old",
        }
    }
}

impl<W: World> Engine<W> {
    /// Applies a checkpoint that was given.
    pub(super) fn apply_checkpoint(&mut self, log: Option<i64>, size: u64, root: &str) {
        let given = &mut self.witness.given;
        given.insert((log.unwrap_or(0), size), root.to_owned());
        while given.len() > MAX_GIVEN {
            given.pop_first();
        }
    }

    /// Core says which checkpoint of the log was signed last. The nodes are given it when it is time.
    pub(super) fn give_checkpoint(
        &mut self,
        now: Now,
        log: Option<i64>,
        size: u64,
        root: &[u8; 32],
        turn: &mut Turn,
    ) {
        let is_due = self
            .witness
            .given_at
            .is_none_or(|at| now.mono.since(at) >= GIVE_EVERY);
        // The record of the last one is a record itself; nothing else has happened since.
        let of_log = (log.unwrap_or(0), 0)..=(log.unwrap_or(0), u64::MAX);
        let last = self.witness.given.range(of_log).next_back().map(|(key, _)| key.1);
        if !is_due || last.is_some_and(|last| size <= last.saturating_add(1)) {
            return;
        }
        let nodes: Vec<u16> = self
            .site
            .nodes
            .iter()
            .filter(|node| self.is_alive(now, node.id))
            .filter(|node| self.book.standing(&catalog::witness_id(&node.name)) == Standing::Normal)
            .map(|node| node.id)
            .collect();
        if nodes.is_empty() {
            return;
        }
        self.witness.given_at = Some(now.mono);
        self.count("checkpoints_given");
        let given = Record::CheckpointGiven {
            size,
            root: hex(root),
            log,
        };
        self.commit(now, turn, given);
        for node in nodes {
            self.tell(now, node, &Down::Checkpoint { size, root: *root }, turn);
        }
    }

    /// A node says what it was given.
    pub(super) fn checkpoint_reported(
        &mut self,
        now: Now,
        node: u16,
        size: u64,
        root: &[u8; 32],
        given_unix_s: u64,
        turn: &mut Turn,
    ) {
        let root = hex(root);
        let given = &self.witness.given;
        let newest = given.keys().map(|key| key.1).max().unwrap_or(0);
        let oldest = given.keys().next().map_or(0, |key| key.1);
        let ours = given.iter().find(|(key, known)| key.1 == size && **known == root);
        let of_log = ours.map(|(key, _)| key.0);
        let verdict = if of_log.is_some() {
            Verdict::Agrees
        } else if size > newest {
            Verdict::Ahead
        } else if size < oldest && given.len() >= MAX_GIVEN {
            Verdict::TooOld
        } else {
            Verdict::Differs
        };
        let report = Report {
            size,
            root: root.clone(),
            given_unix_s,
            verdict,
        };
        let before = self.witness.reported.insert(node, report);
        self.count("witness_reports");
        let Some(name) = self.node_name(node) else { return };
        let is_news = before.is_none_or(|before| before.size != size || before.root != root);
        if let Some(year) = of_log.filter(|year| *year > 0 && is_news) {
            let saw = LogRecord::WitnessSaw {
                witness: name.clone(),
                year,
                size,
                root: root.clone(),
                at_ms: i64::try_from(given_unix_s.saturating_mul(1_000)).unwrap_or(i64::MAX),
            };
            self.commit(now, turn, Record::Log { record: saw });
        }
        if matches!(verdict, Verdict::Agrees | Verdict::TooOld) {
            return;
        }
        let alarm = catalog::witness_id(&name);
        let because = match verdict {
            Verdict::Ahead => Label::new(
                format!(
                    "端末は {size} 件までの記録を覚えているが、この記録は {newest} 件までしか渡していない"
                ),
                format!("it was given {size} records; this journal never gave more than {newest}"),
            ),
            _ => Label::new(
                format!("{size} 件目までの記録が、端末の覚えているものと違う"),
                format!("the first {size} records are not those it was given"),
            ),
        };
        if !self.book.is_active(&alarm) {
            let disagrees = Record::WitnessDisagrees {
                node,
                size,
                root,
                given_unix_s,
            };
            self.commit(now, turn, disagrees);
        }
        self.has_occurred(now, alarm, because, turn);
    }

    pub(super) fn witness_row(&self, node: u16) -> Option<snapshot::Witness> {
        self.witness.reported.get(&node).map(|report| snapshot::Witness {
            size: report.size,
            root: report.root.clone(),
            given_ms: i64::try_from(report.given_unix_s.saturating_mul(1_000)).unwrap_or(i64::MAX),
            verdict: report.verdict.word().to_owned(),
        })
    }
}

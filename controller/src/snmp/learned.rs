//! What is learnt about an agent's patience with large packets. Every clone of a target shares it.
//!
//! Cards differ: some answer `tooBig`, some drop in silence what is too large for them, some send
//! fragments that a firewall eats. So a size that was answered once is *proven*; when a larger one
//! goes unanswered, one small packet tells a silent card from a dead one, and the large one is then
//! asked once more: silence at the end of an outage is no matter of size. What was made smaller
//! grows again after many answers, more and more rarely where that does not last.

use super::VARIABLES_PER_PACKET;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

/// Rows asked in the first GETBULK of an agent.
const ROWS_FIRST: usize = 10;
/// Rows asked in one GETBULK at most.
pub(super) const ROWS_MAX: usize = 64;
/// Bytes of an answer that still travel in one piece over Ethernet, and through a tunnel.
const ANSWER_GOAL: usize = 1400;
/// Questions in a row without an answer after which nothing is proven any more.
const SILENCES: u32 = 3;
/// Full packets answered before a larger size is tried again: more than an hour of polls.
const GROW_AFTER: u32 = 512;
/// Every time that a size was too large doubles that, up to so many times: a try may cost a poll
/// a time-out.
const GROW_DOUBLINGS: u32 = 8;

/// Packet sizes of one agent.
#[derive(Debug)]
pub struct Learned {
    variables: AtomicUsize,
    proven: AtomicUsize,
    rows: AtomicUsize,
    silences: AtomicU32,
    /// Full packets answered since the size was changed.
    full: AtomicU32,
    /// Times that the size was too large.
    shrunk: AtomicU32,
}

impl Default for Learned {
    fn default() -> Self {
        Self {
            variables: AtomicUsize::new(VARIABLES_PER_PACKET),
            proven: AtomicUsize::new(0),
            rows: AtomicUsize::new(ROWS_FIRST),
            silences: AtomicU32::new(0),
            full: AtomicU32::new(0),
            shrunk: AtomicU32::new(0),
        }
    }
}

impl Learned {
    /// Variables that go into one packet.
    #[must_use]
    pub fn variables(&self) -> usize {
        self.variables.load(Relaxed)
    }

    /// A packet of so many variables was answered.
    pub(super) fn answered(&self, variables: usize) {
        if self.silences.load(Relaxed) != 0 {
            self.silences.store(0, Relaxed);
        }
        if self.proven.load(Relaxed) < variables {
            self.proven.fetch_max(variables, Relaxed);
        }
        let size = self.variables();
        if size < VARIABLES_PER_PACKET && variables >= size {
            let wanted = GROW_AFTER << self.shrunk.load(Relaxed).min(GROW_DOUBLINGS);
            if self.full.fetch_add(1, Relaxed) + 1 >= wanted {
                self.full.store(0, Relaxed);
                self.variables
                    .store((size * 2).min(VARIABLES_PER_PACKET), Relaxed);
            }
        }
    }

    fn shrink(&self, to: usize) {
        self.variables.fetch_min(to.max(1), Relaxed);
        self.full.store(0, Relaxed);
        self.shrunk.fetch_add(1, Relaxed);
    }

    /// A packet of so many variables was not answered. True when that may be its size.
    pub(super) fn silent(&self, variables: usize) -> bool {
        if self.silences.fetch_add(1, Relaxed) + 1 >= SILENCES {
            self.proven.store(0, Relaxed);
        }
        variables > 1 && variables > self.proven.load(Relaxed)
    }

    /// The agent said that so many variables, or their values, are too many.
    pub(super) fn too_big(&self, variables: usize) {
        self.shrink(variables / 2);
    }

    /// The agent answers a small packet but not one of so many variables. Each try costs a whole
    /// time-out, so this goes down by fours.
    pub(super) fn dropped(&self, variables: usize) {
        // What it answered before is enough, unless that was as large: values differ in length.
        let proven = self.proven.load(Relaxed);
        let floor = if proven < variables { proven } else { 0 };
        self.proven.store(floor, Relaxed);
        self.shrink((variables / 4).max(floor));
    }

    /// Rows to ask for in one GETBULK of so many columns.
    pub(super) fn repetitions(&self, columns: usize) -> usize {
        (self.rows.load(Relaxed) / columns.max(1)).max(1)
    }

    /// An answer of so many bytes brought so many rows: what the next may bring in one piece.
    pub(super) fn rows_came(&self, rows: usize, bytes: usize) {
        if let Some(each) = bytes.checked_div(rows) {
            let fit = ANSWER_GOAL / each.max(1);
            // At most twice as many as before: the next rows may be longer.
            let most = (self.rows.load(Relaxed) * 2).min(ROWS_MAX);
            self.rows.store(fit.clamp(1, most), Relaxed);
        }
    }

    /// A GETBULK for so many rows was too big, or not answered.
    pub(super) fn rows_failed(&self, rows: usize) {
        self.rows.store((rows / 4).max(1), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_of_a_size_that_was_answered_before_is_no_matter_of_size() {
        let learned = Learned::default();
        assert!(learned.silent(20));
        assert!(!learned.silent(1));
        learned.answered(20);
        assert!(!learned.silent(20));
        assert!(!learned.silent(20));
        assert!(learned.silent(20), "after three silences it may have become one");
    }

    #[test]
    fn a_size_that_was_too_large_is_tried_again_more_and_more_rarely() {
        let learned = Learned::default();
        let mut waits = Vec::new();
        for _ in 0..4 {
            learned.dropped(20);
            assert_eq!(learned.variables(), 5);
            let mut answers = 0_u32;
            while learned.variables() == 5 {
                learned.answered(4);
                learned.answered(5);
                answers += 1;
                assert!(answers < 1_000_000, "it never grows");
            }
            assert_eq!(learned.variables(), 10);
            waits.push(answers);
            learned.dropped(10);
            assert_eq!(learned.variables(), 5, "five were answered, so five it is");
            // As if it had never been tried.
            learned.variables.store(VARIABLES_PER_PACKET, Relaxed);
        }
        assert_eq!(waits, [1024, 4096, 16_384, 65_536]);
    }

    #[test]
    fn a_size_that_failed_with_longer_values_is_not_proven_any_more() {
        let learned = Learned::default();
        learned.answered(20);
        learned.dropped(20);
        assert_eq!(learned.variables(), 5);
        assert!(learned.silent(6), "nothing says that six were answered");
    }

    #[test]
    fn rows_follow_the_size_of_the_answers() {
        let learned = Learned::default();
        for _ in 0..10 {
            learned.rows_came(10, 300);
        }
        assert_eq!(learned.repetitions(1), 46, "30 bytes a row, 1400 bytes an answer");
        learned.rows_came(46, 9200);
        assert_eq!(learned.repetitions(1), 7);
        assert_eq!(learned.repetitions(4), 1);
        learned.rows_came(1, 60_000);
        assert_eq!(learned.repetitions(1), 1);
        learned.rows_failed(10);
        assert_eq!(learned.repetitions(1), 2);
        learned.rows_failed(2);
        assert_eq!(learned.repetitions(1), 1);
    }
}

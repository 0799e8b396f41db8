//! The witness's memory: the last checkpoint of the entry log that the controller gave us.
//!
//! A controller that was taken over can rewrite its log; it cannot rewrite what its nodes remember
//! of it. The node says at every boot what it was given last.
//!
//! Nobody overwrites a witness: a log only grows, so a checkpoint of fewer records, or of as many
//! with another root, is refused and counted as a refused frame, and the one before is told on.
//!
//! The newest is in RAM at once and in the memory at most every [`WRITE_EVERY_MS`]: 144 writes a
//! day on four pages in turn, each in two halves ([`crate::drivers::eeprom24`] writes 32 bytes at a
//! time), are 72 cycles a page and day; with 1 000 000 of them a page lasts for 38 years.

use crate::STORE_RETRY_MS;
use crate::layout::CHECKPOINT_AT;
use crate::memory::{Memory, MemoryFault, Twin};

/// Least time between two writes, in milliseconds.
pub const WRITE_EVERY_MS: u64 = 600_000;

const LEN: usize = 8 + 32 + 8;

/// A checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Records in the log.
    pub size: u64,
    /// Root of the log.
    pub root: [u8; 32],
    /// When it was given, seconds since 1970 UTC; 0 when the clock was not set.
    pub given_unix_s: u64,
}

impl Checkpoint {
    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..40].copy_from_slice(&self.root);
        bytes[40..].copy_from_slice(&self.given_unix_s.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; LEN]) -> Self {
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let mut root = [0; 32];
        root.copy_from_slice(&bytes[8..40]);
        Self {
            size: number(0),
            root,
            given_unix_s: number(40),
        }
    }
}

/// A checkpoint that contradicts the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradicts;

/// What the node remembers.
#[derive(Debug)]
pub struct Witness {
    twin: Twin<LEN>,
    last: Option<Checkpoint>,
    /// When the last one is to be written, if it is not.
    write_at_ms: Option<u64>,
    /// Before this nothing is written.
    rest_until_ms: u64,
}

impl Witness {
    /// Reads what was given in an earlier life.
    ///
    /// # Errors
    /// [`MemoryFault`] when the memory does not answer.
    pub fn open(memory: &mut impl Memory) -> Result<Self, MemoryFault> {
        let (twin, last) = Twin::open(memory, &CHECKPOINT_AT)?;
        Ok(Self {
            twin,
            last: last.as_ref().map(Checkpoint::decode),
            write_at_ms: None,
            rest_until_ms: 0,
        })
    }

    /// The last one given.
    pub const fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// Keeps a checkpoint.
    ///
    /// # Errors
    /// [`Contradicts`] when a log that has only grown cannot have it; the one before is kept.
    pub fn give(&mut self, checkpoint: Checkpoint, now_ms: u64) -> Result<(), Contradicts> {
        if let Some(last) = &self.last {
            if (last.size, last.root) == (checkpoint.size, checkpoint.root) {
                // The same once more tells nothing new; it keeps the time of its first hearing.
                return Ok(());
            }
            if checkpoint.size <= last.size {
                return Err(Contradicts);
            }
        }
        self.last = Some(checkpoint);
        self.write_at_ms.get_or_insert(self.rest_until_ms.max(now_ms));
        Ok(())
    }

    /// Writes when it is due.
    pub fn maintain(&mut self, memory: &mut impl Memory, now_ms: u64) {
        if self.write_at_ms.is_some_and(|at| now_ms >= at) {
            self.write(memory, now_ms);
        }
    }

    /// Writes now what is not written, because the node is about to restart.
    pub fn flush(&mut self, memory: &mut impl Memory, now_ms: u64) {
        if self.write_at_ms.is_some() {
            self.write(memory, now_ms);
        }
    }

    fn write(&mut self, memory: &mut impl Memory, now_ms: u64) {
        let Some(last) = &self.last else {
            return;
        };
        if self.twin.write(memory, &last.encode()).is_ok() {
            self.write_at_ms = None;
            self.rest_until_ms = now_ms + WRITE_EVERY_MS;
        } else {
            self.write_at_ms = Some(now_ms + STORE_RETRY_MS);
        }
    }

    /// When [`Self::maintain`] has something to do.
    pub const fn next_deadline(&self) -> Option<u64> {
        self.write_at_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::fake::Chip;

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint {
            size,
            root: [size as u8; 32],
            given_unix_s: 1_795_000_000 + size,
        }
    }

    fn open(chip: &Chip) -> Witness {
        Witness::open(&mut chip.clone()).unwrap()
    }

    #[test]
    fn what_was_given_is_said_after_a_restart() {
        let chip = Chip::blank();
        let mut witness = open(&chip);
        assert_eq!(witness.last(), None);
        witness.give(checkpoint(1_000), 0).unwrap();
        witness.maintain(&mut chip.clone(), 0);
        assert_eq!(open(&chip).last(), Some(&checkpoint(1_000)));
    }

    #[test]
    fn a_busy_log_does_not_wear_out_the_memory() {
        let chip = Chip::blank();
        let mut witness = open(&chip);
        let day_ms = 24 * 3_600_000;
        for now_ms in (0..day_ms).step_by(30_000) {
            witness.give(checkpoint(now_ms), now_ms).unwrap();
            witness.maintain(&mut chip.clone(), now_ms);
        }
        assert_eq!(chip.written(), 144 * (LEN + 8));
        witness.flush(&mut chip.clone(), day_ms);
        assert_eq!(open(&chip).last(), Some(&checkpoint(day_ms - 30_000)));
    }

    #[test]
    fn the_same_once_more_is_not_written() {
        let chip = Chip::blank();
        let mut witness = open(&chip);
        for now_ms in (0..10).map(|n| n * WRITE_EVERY_MS) {
            let again = Checkpoint {
                given_unix_s: now_ms,
                ..checkpoint(3)
            };
            witness.give(again, now_ms).unwrap();
            witness.maintain(&mut chip.clone(), now_ms);
        }
        assert_eq!((chip.written(), witness.next_deadline()), (LEN + 8, None));
        assert_eq!(witness.last().map(|last| last.given_unix_s), Some(0));
    }

    #[test]
    fn power_may_fail_at_every_byte() {
        for cut in 0..=LEN + 8 {
            let chip = Chip::blank();
            let mut witness = open(&chip);
            witness.give(checkpoint(1), 0).unwrap();
            witness.maintain(&mut chip.clone(), 0);
            chip.cut_after(Some(cut));
            witness.give(checkpoint(2), WRITE_EVERY_MS).unwrap();
            witness.maintain(&mut chip.clone(), WRITE_EVERY_MS);
            chip.cut_after(None);
            let expected = if cut < LEN + 8 { 1 } else { 2 };
            assert_eq!(open(&chip).last(), Some(&checkpoint(expected)), "cut {cut}");
        }
    }

    #[test]
    fn a_memory_that_refuses_is_tried_again() {
        let chip = Chip::blank();
        let mut witness = open(&chip);
        chip.freeze(true);
        witness.give(checkpoint(1), 0).unwrap();
        witness.maintain(&mut chip.clone(), 0);
        assert_eq!(witness.next_deadline(), Some(STORE_RETRY_MS));
        assert_eq!(witness.last(), Some(&checkpoint(1)), "it is said all the same");
        chip.freeze(false);
        witness.maintain(&mut chip.clone(), STORE_RETRY_MS);
        assert_eq!(open(&chip).last(), Some(&checkpoint(1)));
    }

    #[test]
    fn who_is_to_be_convicted_cannot_overwrite_the_witness() {
        let chip = Chip::blank();
        let mut witness = open(&chip);
        witness.give(checkpoint(100), 0).unwrap();
        let rewritten = Checkpoint {
            root: [0x66; 32],
            ..checkpoint(100)
        };
        for other in [checkpoint(99), checkpoint(0), rewritten] {
            assert_eq!(witness.give(other, 1), Err(Contradicts));
            assert_eq!(witness.last(), Some(&checkpoint(100)));
        }
        witness.flush(&mut chip.clone(), 2);
        let mut witness = open(&chip);
        assert_eq!(
            witness.give(rewritten, 0),
            Err(Contradicts),
            "nor after a restart"
        );
        assert_eq!(witness.give(checkpoint(101), 0), Ok(()));
    }
}

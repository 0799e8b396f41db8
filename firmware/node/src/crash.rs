//! What a life of the node ended with, as words that a board keeps where a reset does not reach.
//!
//! ```text
//! word 0      note: it runs, it crashed, or it was asked to restart
//! words 1..8  record: kind and task | program counter | link register | mark | uptime, 2 | CRC-32
//! ```
//! The chip's own reset cause decides between power and watchdog; the note knows what it cannot
//! know. The board writes the words from its panic and fault handlers.

use shared::crc::crc32;
use shared::wire::{Crash, CrashKind, ResetCause};

/// Words to keep.
pub const WORDS: usize = 8;
/// No task.
pub const NOBODY: u8 = u8::MAX;

const RUNNING: u32 = 0x5eed_0100;
const CRASHED: u32 = 0x5eed_0200;
const RECORD_MAGIC: u32 = 0xc4a5_0000;
const MAGIC_BITS: u32 = 0xffff_0000;
/// Bytes of the record that its CRC is over.
const CHECKED: usize = 4 * (WORDS - 2);

/// What the chip says about the reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chip {
    /// Power came or was low.
    Power,
    /// The watchdog bit.
    Watchdog,
    /// Something else: the program, the pin, a probe.
    Other,
}

/// What the words are from now on: it runs.
#[must_use]
pub const fn running() -> [u32; WORDS] {
    let mut words = [0; WORDS];
    words[0] = RUNNING;
    words
}

/// What the words are when it ends badly. `mark` is what the board knows besides (of a panic, the
/// CRC-32 of its place).
#[must_use]
pub fn record(kind: CrashKind, task: u8, (pc, lr): (u32, u32), mark: u32, up_ms: u64) -> [u32; WORDS] {
    let number = match kind {
        CrashKind::Panic => 0,
        CrashKind::Fault => 1,
        CrashKind::Hang => 2,
    };
    let first = RECORD_MAGIC | number << 8 | u32::from(task);
    // A hang is only noted: the watchdog may still be fed, and bites by itself.
    let note = if matches!(kind, CrashKind::Hang) {
        RUNNING
    } else {
        CRASHED
    };
    let mut words = [note, first, pc, lr, mark, up_ms as u32, (up_ms >> 32) as u32, 0];
    words[WORDS - 1] = check(&words);
    words
}

/// Why this boot began, and how the last life ended if it ended badly.
#[must_use]
pub fn cause(words: &[u32; WORDS], chip: Chip) -> (ResetCause, Option<Crash>) {
    let cause = match (chip, words[0]) {
        (Chip::Power, _) => ResetCause::PowerOn,
        (_, CRASHED) => ResetCause::Crash,
        (Chip::Watchdog, _) => ResetCause::Watchdog,
        (Chip::Other, RUNNING) => ResetCause::Requested,
        (Chip::Other, _) => ResetCause::PowerOn,
    };
    let crash = match cause {
        ResetCause::PowerOn | ResetCause::Requested => None,
        ResetCause::Crash => read(words),
        // A hang with interrupts off leaves no record; that it was one is still known.
        ResetCause::Watchdog => Some(read(words).unwrap_or(Crash {
            kind: CrashKind::Hang,
            pc: 0,
            lr: 0,
            task: NOBODY,
            mark: 0,
            up_ms: 0,
        })),
    };
    (cause, crash)
}

fn read(words: &[u32; WORDS]) -> Option<Crash> {
    let [_, first, pc, lr, mark, low, high, crc] = *words;
    if first & MAGIC_BITS != RECORD_MAGIC || crc != check(words) {
        return None;
    }
    Some(Crash {
        kind: match first >> 8 & 0xff {
            0 => CrashKind::Panic,
            1 => CrashKind::Fault,
            _ => CrashKind::Hang,
        },
        task: first as u8,
        pc,
        lr,
        mark,
        up_ms: u64::from(high) << 32 | u64::from(low),
    })
}

fn check(words: &[u32; WORDS]) -> u32 {
    let mut bytes = [0; CHECKED];
    for (place, word) in bytes.chunks_exact_mut(4).zip(&words[1..]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    crc32(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_told_after_the_reset() {
        let panic = record(CrashKind::Panic, NOBODY, (0, 0), 0x1234, 77);
        let fault = record(CrashKind::Fault, 3, (0x1000, 0x2000), 0, u64::MAX);
        let hang = record(CrashKind::Hang, 4, (0, 0), 0, 1 << 40);
        for (words, chip, because) in [
            (panic, Chip::Other, ResetCause::Crash),
            (fault, Chip::Other, ResetCause::Crash),
            (hang, Chip::Watchdog, ResetCause::Watchdog),
            // The watchdog came before the program's own restart.
            (fault, Chip::Watchdog, ResetCause::Crash),
        ] {
            let (found, crash) = cause(&words, chip);
            let crash = crash.unwrap();
            assert_eq!(found, because);
            assert_eq!(
                record(
                    crash.kind,
                    crash.task,
                    (crash.pc, crash.lr),
                    crash.mark,
                    crash.up_ms
                ),
                words
            );
        }
    }

    #[test]
    fn a_restart_that_was_asked_for_and_fresh_power_are_no_crash() {
        let garbage = [0x5a5a_5a5a; WORDS];
        assert_eq!(cause(&running(), Chip::Other), (ResetCause::Requested, None));
        assert_eq!(cause(&running(), Chip::Power), (ResetCause::PowerOn, None));
        assert_eq!(cause(&garbage, Chip::Power), (ResetCause::PowerOn, None));
        assert_eq!(cause(&garbage, Chip::Other), (ResetCause::PowerOn, None));
        // RAM keeps its bits over a short cut: what it says then is not about this life.
        let old = record(CrashKind::Panic, 1, (0, 0), 5, 6);
        assert_eq!(cause(&old, Chip::Power), (ResetCause::PowerOn, None));
    }

    #[test]
    fn a_hang_without_a_record_and_a_damaged_record_are_a_hang_of_nobody() {
        let mut damaged = record(CrashKind::Hang, 2, (7, 8), 9, 10);
        damaged[4] ^= 1;
        for words in [running(), damaged, [0; WORDS]] {
            let (found, crash) = cause(&words, Chip::Watchdog);
            let crash = crash.unwrap();
            assert_eq!((found, crash.kind), (ResetCause::Watchdog, CrashKind::Hang));
            assert_eq!((crash.task, crash.pc, crash.up_ms), (NOBODY, 0, 0));
        }
    }
}

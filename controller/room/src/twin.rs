//! Two boards that say they are one node: a copied memory, a label stuck on twice.
//!
//! Both make authentic frames, count boots and events from the same copy, and answer to the same
//! acknowledgement. What gives them away:
//!
//! ```text
//! events     same boot and sequence, other content
//! telemetry  within one boot, a later sequence with an earlier uptime, or the same sequence
//!            with another uptime: one clock never does that
//! telemetry  behind what was accepted, and going on in real time: a recording would have to be
//!            played at its own speed for as long
//! ```
//! A frame that the network delivered twice or late does none of these. What is found here is a
//! sign; the engine makes it an alarm, records what both say and acknowledges neither.

use crate::time::{Millis, Mono};
use sha2::{Digest as _, Sha256};
use shared::wire::Header;
use std::collections::VecDeque;

/// Accepted events remembered by their mark: two rings of 224 events and the early ones.
pub const MAX_MARKS: usize = 512;
/// Frames of telemetry remembered with their uptime.
pub const MAX_PACES: usize = 32;
/// So many frames behind, each later than the one before by as much as our clock, are a second
/// board.
pub const STEPS_BEHIND: u32 = 4;
/// The two clocks may differ by this between two frames (a busy network).
pub const PACE_TOLERANCE: Millis = Millis(2_000);
/// Frames that come closer together than this say nothing about pace.
pub const LEAST_STEP: Millis = Millis(500);

/// Names the content of an event; its place in the sequence is not part of it. The node's wall
/// clock is not either: it may be set while the event waits.
#[must_use]
pub fn mark(up_ms: u64, body: &[u8]) -> u32 {
    let mut hash = Sha256::new();
    hash.update(up_ms.to_be_bytes());
    hash.update(body);
    let full: [u8; 32] = hash.finalize().into();
    u32::from_be_bytes([full[0], full[1], full[2], full[3]])
}

/// What is known of an event with a certain boot and sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It was accepted, and this is it again.
    Same,
    /// Another one has its place.
    Other,
    /// Nothing, though its neighbours are remembered: it was given up as missing.
    Never,
    /// It lies further back than is remembered.
    Forgotten,
}

/// The marks of the last events, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    known: VecDeque<(u32, u32, Option<u32>)>,
}

impl Marks {
    /// Remembers an event; `mark` is `None` for one from a journal that does not have it.
    pub fn push(&mut self, boot: u32, seq: u32, mark: Option<u32>) {
        if self.known.len() >= MAX_MARKS {
            self.known.pop_front();
        }
        self.known.push_back((boot, seq, mark));
    }

    /// What is known of this event.
    #[must_use]
    pub fn judge(&self, boot: u32, seq: u32, mark: u32) -> Known {
        let mut found = None;
        for (_, _, known) in self.known.iter().filter(|(b, s, _)| (*b, *s) == (boot, seq)) {
            match known {
                Some(known) if *known == mark => return Known::Same,
                Some(_) => found = Some(Known::Other),
                // Nobody wrote down what it said: it is taken for the same.
                None => return Known::Same,
            }
        }
        let reaches_back = self.known.iter().any(|(b, s, _)| (*b, *s) <= (boot, seq));
        found.unwrap_or(if reaches_back {
            Known::Never
        } else {
            Known::Forgotten
        })
    }
}

/// Sequence and uptime of the telemetry of one boot.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    boot: u32,
    seen: VecDeque<(u32, u64)>,
    behind: Option<Behind>,
}

#[derive(Debug, Clone, Copy)]
struct Behind {
    boot: u32,
    seq: u32,
    up_ms: u64,
    at: Mono,
    steps: u32,
}

impl Pace {
    /// True when one board alone cannot have made this frame and those before it.
    #[must_use]
    pub fn contradicts(&self, header: &Header) -> bool {
        header.boot == self.boot
            && self.seen.iter().any(|(seq, up_ms)| {
                seq.cmp(&header.seq) != up_ms.cmp(&header.up_ms)
                    // Two frames may leave within a millisecond.
                    && !(*up_ms == header.up_ms && *seq != header.seq)
            })
    }

    /// Remembers an accepted frame.
    pub fn push(&mut self, header: &Header) {
        if self.boot != header.boot {
            self.boot = header.boot;
            self.seen.clear();
        }
        if self.seen.len() >= MAX_PACES {
            self.seen.pop_front();
        }
        self.seen.push_back((header.seq, header.up_ms));
    }

    /// A frame behind the accepted ones came; true when such frames go on in real time.
    pub fn falls_behind(&mut self, now: Mono, header: &Header) -> bool {
        let next = |steps| {
            Some(Behind {
                boot: header.boot,
                seq: header.seq,
                up_ms: header.up_ms,
                at: now,
                steps,
            })
        };
        let Some(last) = self.behind else {
            self.behind = next(0);
            return false;
        };
        if last.boot != header.boot || header.seq <= last.seq {
            self.behind = next(0);
            return false;
        }
        let ours = now.since(last.at);
        if ours < LEAST_STEP {
            return last.steps >= STEPS_BEHIND;
        }
        let theirs = Millis(header.up_ms.saturating_sub(last.up_ms));
        let in_pace = ours.0.abs_diff(theirs.0) <= PACE_TOLERANCE.0;
        let steps = if in_pace { last.steps.saturating_add(1) } else { 0 };
        self.behind = next(steps);
        steps >= STEPS_BEHIND
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared::wire::Stream;

    fn header(boot: u32, seq: u32, up_ms: u64) -> Header {
        Header {
            ver: 1,
            key_id: 0,
            node: 1,
            boot,
            stream: Stream::Telemetry,
            seq,
            up_ms,
            unix_ms: 0,
        }
    }

    #[test]
    fn an_event_is_the_same_another_or_was_never_there() {
        let mut marks = Marks::default();
        for seq in [3, 4, 7] {
            marks.push(1, seq, Some(seq * 10));
        }
        marks.push(2, 8, None);
        assert_eq!(marks.judge(1, 3, 30), Known::Same);
        assert_eq!(marks.judge(1, 3, 31), Known::Other);
        assert_eq!(marks.judge(1, 5, 50), Known::Never);
        assert_eq!(marks.judge(1, 2, 20), Known::Forgotten);
        assert_eq!(marks.judge(2, 8, 1), Known::Same, "of an old journal");
        marks.push(1, 3, Some(31));
        assert_eq!(
            marks.judge(1, 3, 31),
            Known::Same,
            "the other one, recorded as well"
        );
    }

    #[test]
    fn a_second_clock_in_one_boot_is_seen_from_its_first_frame_on() {
        let mut pace = Pace::default();
        for step in 0..100 {
            pace.push(&header(3, 500 + step, 900_000 + u64::from(step) * 1_000));
        }
        assert!(pace.contradicts(&header(3, 590, 1_000)), "younger");
        assert!(pace.contradicts(&header(3, 590, 5_000_000)), "older");
        assert!(pace.contradicts(&header(3, 700, 1_000)), "ahead, and younger");
        assert!(
            !pace.contradicts(&header(3, 590, 990_000)),
            "the same frame again"
        );
        assert!(!pace.contradicts(&header(3, 700, 1_100_000)), "the next one");
        assert!(!pace.contradicts(&header(4, 1, 100)), "a reboot");
    }

    #[test]
    fn frames_behind_that_go_on_in_real_time_are_a_second_board_and_a_burst_of_old_ones_is_not() {
        let mut pace = Pace::default();
        let mut seen = Vec::new();
        for step in 0..8 {
            let at = Mono(1_000_000 + u64::from(step) * 5_000);
            seen.push(pace.falls_behind(at, &header(2, 10 + step, 60_000 + u64::from(step) * 5_000)));
        }
        assert_eq!(seen, [false, false, false, false, true, true, true, true]);

        let mut pace = Pace::default();
        for step in 0..100 {
            let old = header(2, 10 + step, 60_000 + u64::from(step) * 5_000);
            assert!(
                !pace.falls_behind(Mono(1_000_000 + u64::from(step)), &old),
                "{step}"
            );
        }
    }

    proptest! {
        /// Whatever the network does to the frames of one board, it is never two.
        #[test]
        fn one_board_never_contradicts_itself(
            steps in prop::collection::vec(0_u64..5_000, 1..80),
            order in prop::collection::vec(any::<prop::sample::Index>(), 1..200),
        ) {
            let mut up_ms = 0;
            let frames: Vec<Header> = steps.iter().zip(1..).map(|(step, seq)| {
                up_ms += step;
                header(1, seq, up_ms)
            }).collect();
            let mut pace = Pace::default();
            for index in order {
                let frame = &frames[index.index(frames.len())];
                prop_assert!(!pace.contradicts(frame));
                pace.push(frame);
            }
        }
    }
}

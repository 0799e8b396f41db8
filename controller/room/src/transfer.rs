//! Bringing something long to a node: an access list, a firmware image.
//!
//! ```text
//!            begin            node: 0 of n          node: n of n         node's event
//!  Resting --------> Beginning -----------> Sending -------------> Ending ------------> over
//!    ^                   |                  |  ^ |                    |
//!    |                   |                  +--+ | node: more         |
//!    +-------------------+-----------------------+--------------------+
//!      no answer after some tries, or the node dropped it; rests ever longer
//! ```
//! The node says how far it is after every frame, and takes only what follows. A few frames are
//! under way at a time; what is lost is sent again from where the node is. A node that started
//! anew has forgotten what was under way. Nothing here knows what is sent, and it reads no clock.

use crate::time::{Millis, Mono};
use shared::limit::{CHUNK_LEN, ENTRIES_PER_FRAME};

/// How something is brought over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Units in a frame.
    pub per_frame: u32,
    /// Frames under way at a time.
    pub window: u32,
    /// Without an answer for so long the last frames are sent again.
    pub answer_within: Millis,
}

/// Entries of a list: the node answers every frame, and needs some 20 ms to keep one.
pub const OF_LISTS: Pace = Pace {
    per_frame: ENTRIES_PER_FRAME as u32,
    window: 4,
    answer_within: Millis(3_000),
};
/// Bytes of an image: the node answers every 2 KiB, so the window is twice that; it may have to
/// erase a sector first, which takes up to 2 s (STM32F76xxx datasheet, flash memory programming).
pub const OF_IMAGES: Pace = Pace {
    per_frame: CHUNK_LEN as u32,
    window: 16,
    answer_within: Millis(8_000),
};
/// So many times without any progress; then the attempt has failed.
pub const MAX_TRIES: u32 = 5;
/// Rest after the first failed attempt; each further one doubles it,
pub const FIRST_REST: Millis = Millis(30_000);
/// up to this.
pub const LONGEST_REST: Millis = Millis(1_800_000);
/// One attempt never sends more than so many times what there is to send.
pub const MAX_REPETITION: u32 = 8;

/// What is to be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Send {
    /// The head.
    Begin,
    /// `len` units from `at`.
    Part {
        /// First unit.
        at: u32,
        /// Units.
        len: u32,
    },
    /// That this was all.
    End,
}

/// A transfer to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Version of what is sent, as the node names it.
    pub version: u32,
    total: u32,
    pace: Pace,
    phase: Phase,
    failures: u32,
    /// Frames that may still be sent in this attempt.
    allowance: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits before it begins, or begins again.
    Resting { until: Mono },
    /// The head was sent; the node has not said that it took it.
    Beginning { sent: Mono, tries: u32 },
    /// The node has `have`; up to `sent` is under way since `moved`.
    Sending {
        have: u32,
        sent: u32,
        moved: Mono,
        tries: u32,
    },
    /// The node has everything and was told so.
    Ending { sent: Mono, tries: u32 },
}

impl Transfer {
    /// Of `total` units; begins at the next [`Self::tick`].
    #[must_use]
    pub const fn new(now: Mono, version: u32, total: u32, pace: Pace) -> Self {
        Self {
            version,
            total,
            pace,
            phase: Phase::Resting { until: now },
            failures: 0,
            allowance: 0,
        }
    }

    /// Attempts that have failed since the last one that came through.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Units that the node has.
    #[must_use]
    pub const fn have(&self) -> u32 {
        match self.phase {
            Phase::Resting { .. } | Phase::Beginning { .. } => 0,
            Phase::Sending { have, .. } => have,
            Phase::Ending { .. } => self.total,
        }
    }

    /// True while frames are under way.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::Resting { .. })
    }

    /// True once everything was sent and the node was told so.
    #[must_use]
    pub const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. })
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub const fn next_deadline(&self) -> Mono {
        match self.phase {
            Phase::Resting { until } => until,
            Phase::Beginning { sent, .. } | Phase::Ending { sent, .. } => sent.after(self.pace.answer_within),
            Phase::Sending { moved, .. } => moved.after(self.pace.answer_within),
        }
    }

    /// What time alone asks for.
    pub fn tick(&mut self, now: Mono) -> Vec<Send> {
        if self.next_deadline() > now {
            return Vec::new();
        }
        match self.phase {
            Phase::Resting { .. } => {
                let frames = self.total.div_ceil(self.pace.per_frame).saturating_add(2);
                self.allowance = frames.saturating_mul(MAX_REPETITION);
                self.begin(now, 0)
            }
            Phase::Beginning { tries, .. } if tries < MAX_TRIES => self.begin(now, tries + 1),
            Phase::Sending { have, tries, .. } if tries < MAX_TRIES => {
                self.phase = Phase::Sending {
                    have,
                    sent: have,
                    moved: now,
                    tries: tries + 1,
                };
                self.fill(now)
            }
            Phase::Ending { tries, .. } if tries < MAX_TRIES => {
                self.phase = Phase::Ending {
                    sent: now,
                    tries: tries + 1,
                };
                self.spend(now, vec![Send::End])
            }
            Phase::Beginning { .. } | Phase::Sending { .. } | Phase::Ending { .. } => {
                self.fail(now);
                Vec::new()
            }
        }
    }

    /// The node says that it has so many units of the transfer with this version; 0 is none.
    pub fn reported(&mut self, now: Mono, version: u32, have: u32) -> Vec<Send> {
        let is_ours = version == self.version;
        match self.phase {
            // Of an attempt that is over; the next one begins anew.
            Phase::Resting { .. } => Vec::new(),
            Phase::Beginning { .. } if is_ours => self.go_on(now, have, 0),
            // It has not heard of the head yet.
            Phase::Beginning { .. } => Vec::new(),
            Phase::Sending {
                have: known, tries, ..
            } if is_ours => match have.cmp(&known) {
                std::cmp::Ordering::Greater => self.go_on(now, have, 0),
                // An answer to what was sent twice; time decides whether anything is missing.
                std::cmp::Ordering::Equal => Vec::new(),
                // It begins again: our head came twice.
                std::cmp::Ordering::Less => self.go_on(now, have, tries + 1),
            },
            // It has dropped what was under way, and its event says why.
            Phase::Sending { .. } => {
                self.fail(now);
                Vec::new()
            }
            Phase::Ending { tries, .. } if is_ours && have < self.total => self.go_on(now, have, tries + 1),
            // It checks what it has, or is done: its event says which.
            Phase::Ending { .. } => Vec::new(),
        }
    }

    /// The node dropped what was under way.
    pub fn dropped(&mut self, now: Mono) {
        if self.is_busy() {
            self.fail(now);
        }
    }

    /// The node started anew, or is heard again after a silence: what is under way is forgotten,
    /// and that was nobody's fault.
    pub fn begin_again(&mut self, now: Mono) {
        self.phase = Phase::Resting { until: now };
    }

    fn begin(&mut self, now: Mono, tries: u32) -> Vec<Send> {
        self.phase = Phase::Beginning { sent: now, tries };
        self.spend(now, vec![Send::Begin])
    }

    fn go_on(&mut self, now: Mono, have: u32, tries: u32) -> Vec<Send> {
        if have > self.total {
            // Not ours, whatever it says.
            self.fail(now);
            return Vec::new();
        }
        if have == self.total {
            self.phase = Phase::Ending { sent: now, tries };
            return self.spend(now, vec![Send::End]);
        }
        let under_way = match self.phase {
            Phase::Sending {
                sent, have: known, ..
            } if have > known => sent.max(have),
            _ => have,
        };
        self.phase = Phase::Sending {
            have,
            sent: under_way,
            moved: now,
            tries,
        };
        self.fill(now)
    }

    /// Sends up to the window.
    fn fill(&mut self, now: Mono) -> Vec<Send> {
        let mut parts = Vec::new();
        if let Phase::Sending { have, sent, .. } = &mut self.phase {
            let end = self
                .total
                .min(have.saturating_add(self.pace.window.saturating_mul(self.pace.per_frame)));
            while *sent < end {
                let len = self.pace.per_frame.min(self.total - *sent);
                parts.push(Send::Part { at: *sent, len });
                *sent += len;
            }
        }
        self.spend(now, parts)
    }

    /// Counts what is sent; an attempt that goes round in circles has failed.
    fn spend(&mut self, now: Mono, frames: Vec<Send>) -> Vec<Send> {
        let cost = u32::try_from(frames.len()).unwrap_or(u32::MAX);
        match self.allowance.checked_sub(cost) {
            Some(left) => {
                self.allowance = left;
                frames
            }
            None => {
                self.fail(now);
                Vec::new()
            }
        }
    }

    fn fail(&mut self, now: Mono) {
        let doubled = FIRST_REST
            .0
            .checked_shl(self.failures.min(16))
            .unwrap_or(u64::MAX);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Resting {
            until: now.after(Millis(doubled.min(LONGEST_REST.0))),
        };
    }
}

#[cfg(test)]
mod tests;

//! Taking a node out of service: keys, lists and events are erased, and the last frame says so.
//!
//! ```text
//! Erase --> wiping: keys first, then all the rest, a piece at a tick, each read back
//!       --> telling: Erased, until acknowledged or TELL_MS --> Order::Erased, the board restarts
//! ```
//! The last frame is sealed with the key that is only in RAM by then. While the memory refuses,
//! nothing is called erased: the node tries on, and the controller is not told.

use super::Node;
use crate::STORE_RETRY_MS;
use crate::layout::{BLOCK_AT, HEADER_AT, MEMORY_LEN};
use crate::memory::{Memory, write_verified};
use crate::update::Slots;
use shared::provision::BLOCK_LEN;
use shared::wire::{KeyEvent, Stream, Up, UpFrame, seal_up};

/// Bytes wiped in a tick: 40 ms on a part that writes 32 bytes in 5 ms.
const PIECE: usize = 256;
/// Pieces of the memory.
const PIECES: u16 = MEMORY_LEN / PIECE as u16;
/// How long the last frame waits for its acknowledgement, in milliseconds.
pub(super) const TELL_MS: u64 = 10_000;
/// Milliseconds after which it is sent again.
const TELL_AGAIN_MS: u64 = 2_000;

const _: () = assert!(BLOCK_LEN.is_multiple_of(PIECE) && HEADER_AT[0] as usize == 2 * BLOCK_LEN);

/// How far the erasing has come.
#[derive(Debug)]
pub(super) enum Erasing {
    No,
    /// `piece` is the next one. The older block goes first: a power cut between the two leaves the
    /// node with its current key, and the controller repeats the order.
    Wiping {
        older: usize,
        piece: u16,
        at_ms: u64,
    },
    /// All is wiped; the last frame is due at `at_ms`.
    Telling {
        at_ms: u64,
        until_ms: u64,
    },
    /// It was acknowledged.
    Told,
}

impl Erasing {
    /// `older`: the copy of the block that is not in force.
    pub(super) const fn begin(&mut self, older: usize, now_ms: u64) {
        if matches!(self, Self::No) {
            *self = Self::Wiping {
                older,
                piece: 0,
                at_ms: now_ms,
            };
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        !matches!(self, Self::No)
    }

    /// True when the board may restart.
    pub(super) const fn is_over(&self, now_ms: u64) -> bool {
        match self {
            Self::No | Self::Wiping { .. } => false,
            Self::Telling { until_ms, .. } => now_ms >= *until_ms,
            Self::Told => true,
        }
    }

    /// A new connection: the last frame goes out again.
    pub(super) const fn connected(&mut self) {
        if let Self::Telling { at_ms, .. } = self {
            *at_ms = 0;
        }
    }

    pub(super) const fn acknowledged(&mut self) {
        if matches!(self, Self::Telling { .. }) {
            *self = Self::Told;
        }
    }

    /// Wipes a piece; true while erasing.
    pub(super) fn tick(&mut self, memory: &mut impl Memory, now_ms: u64) -> bool {
        if let Self::Wiping { older, piece, at_ms } = self
            && now_ms >= *at_ms
        {
            if write_verified(memory, place(*older, *piece), &[0xff; PIECE]).is_err() {
                *at_ms = now_ms + STORE_RETRY_MS;
            } else if *piece + 1 < PIECES {
                *piece += 1;
            } else {
                *self = Self::Telling {
                    at_ms: now_ms,
                    until_ms: now_ms + TELL_MS,
                };
            }
        }
        self.is_on()
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        match self {
            Self::No => None,
            Self::Wiping { at_ms, .. } => Some(*at_ms),
            Self::Telling { at_ms, until_ms } => Some(*at_ms.min(until_ms)),
            Self::Told => Some(0),
        }
    }
}

/// Where a piece lies: the older block, the newer one, then all that follows.
const fn place(older: usize, piece: u16) -> u16 {
    const OF_BLOCK: u16 = (BLOCK_LEN / PIECE) as u16;
    let at = match piece / OF_BLOCK {
        0 => BLOCK_AT[older],
        1 => BLOCK_AT[1 - older],
        rest => rest * BLOCK_LEN as u16,
    };
    at + piece % OF_BLOCK * PIECE as u16
}

impl<M: Memory, S: Slots> Node<M, S> {
    /// The last frame, when it is due.
    pub(super) fn farewell(&mut self, now_ms: u64) -> Option<UpFrame> {
        let Erasing::Telling { at_ms, .. } = &mut self.erasing else {
            return None;
        };
        if now_ms < *at_ms {
            return None;
        }
        *at_ms = now_ms + TELL_AGAIN_MS;
        let header = self.header(Stream::Event, self.farewell_seq(), now_ms);
        seal_up(&self.keys.current.key, &header, &Up::Key(KeyEvent::Erased)).ok()
    }

    /// The last event has the sequence after the last one that was.
    pub(super) const fn farewell_seq(&self) -> u32 {
        self.outbox.last().saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_wiped_once_and_the_keys_first() {
        for older in [0, 1] {
            let mut places: std::vec::Vec<u16> = (0..PIECES).map(|piece| place(older, piece)).collect();
            let first = BLOCK_AT[older];
            let second = BLOCK_AT[1 - older];
            assert_eq!(places[..4], [first, first + 256, second, second + 256]);
            places.sort_unstable();
            let all: std::vec::Vec<u16> = (0..PIECES).map(|piece| piece * 256).collect();
            assert_eq!(places, all);
        }
    }
}

//! The node's EEPROM: configuration block, boot number, and the ring of events.
//!
//! ```text
//! 0    configuration block (shared::provision), written by whoever provisions the node
//! 1024 header A   64 bytes   generation u32, boot u32, acked u32, CRC-32
//! 1088 header B              the older of the two is overwritten next
//! 2048 96 slots of 64 bytes: seq u32, len u8, sealed frame <= 52, CRC-32 in the last four
//! ```
//! An event of sequence `s` lies in slot `s % SLOTS`. Power may fail at any byte: a torn slot has
//! a wrong CRC and was never called stored; a torn header leaves the other one. Every write is
//! read back, because a frozen bus takes writes without complaint.

use core::fmt;
use heapless::Vec;
use shared::crc::crc32;
use shared::provision::{BLOCK_LEN, Provision, ProvisionError};
use shared::wire::Envelope;

/// Bytes of EEPROM that are used: a 24C64.
pub const MEMORY_LEN: u16 = 8192;
/// Bytes of a slot; a multiple of every page size in use (32, 64).
pub const SLOT_LEN: u16 = 64;
/// Longest sealed event frame that is kept.
pub const MAX_EVENT_FRAME: usize = 52;
const HEADER_AT: [u16; 2] = [1024, 1088];
const HEADER_LEN: usize = 16;
const SLOTS_AT: u16 = 2048;
/// Events that fit.
pub const SLOTS: usize = ((MEMORY_LEN - SLOTS_AT) / SLOT_LEN) as usize;

const _: () = assert!(BLOCK_LEN <= HEADER_AT[0] as usize);
const _: () = assert!(5 + MAX_EVENT_FRAME + 4 <= SLOT_LEN as usize);

/// A sealed event frame.
pub type EventFrame = Vec<u8, MAX_EVENT_FRAME>;

/// The memory did not do what it was asked to, or does not hold what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryFault;

impl fmt::Display for MemoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the memory does not answer or does not keep what is written")
    }
}

impl core::error::Error for MemoryFault {}

/// Non-volatile bytes.
pub trait Memory {
    /// Reads from `at` on.
    ///
    /// # Errors
    /// [`MemoryFault`] when the part does not answer.
    fn read(&mut self, at: u16, into: &mut [u8]) -> Result<(), MemoryFault>;

    /// Writes from `at` on. Power may fail after any byte.
    ///
    /// # Errors
    /// [`MemoryFault`] when the part does not answer.
    fn write(&mut self, at: u16, bytes: &[u8]) -> Result<(), MemoryFault>;
}

/// Reads the configuration block.
///
/// # Errors
/// `Err(MemoryFault)` when the memory does not answer; `Ok(Err(_))` when it holds no valid block.
pub fn provision(memory: &mut impl Memory) -> Result<Result<Provision, ProvisionError>, MemoryFault> {
    let mut block = [0; BLOCK_LEN];
    memory.read(0, &mut block)?;
    Ok(Provision::decode(&block))
}

/// What survives a power cut besides the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    generation: u32,
    boot: u32,
    acked: u32,
}

impl Header {
    fn encode(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&self.generation.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.boot.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.acked.to_le_bytes());
        let crc = crc32(&bytes[..12]);
        bytes[12..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        // Blank memory (all zero) has a CRC that does not match: crc32 of twelve zeros is not zero.
        (word(12) == crc32(&bytes[..12])).then(|| Self {
            generation: word(0),
            boot: word(4),
            acked: word(8),
        })
    }
}

/// The ring and the two headers.
#[derive(Debug)]
pub struct Ring<M> {
    memory: M,
    header: Header,
}

impl<M: Memory> Ring<M> {
    /// Opens the memory, counts this boot in it, and hands every event not yet acknowledged to
    /// `each`, oldest first.
    ///
    /// # Errors
    /// [`MemoryFault`] when the memory does not answer, or does not keep the boot number: a node
    /// that cannot count its boots must not send frames.
    pub fn open(mut memory: M, mut each: impl FnMut(u32, EventFrame)) -> Result<Self, MemoryFault> {
        let mut newest: Option<Header> = None;
        for at in HEADER_AT {
            let mut bytes = [0; HEADER_LEN];
            memory.read(at, &mut bytes)?;
            if let Some(header) = Header::decode(&bytes)
                && newest.is_none_or(|known| header.generation > known.generation)
            {
                newest = Some(header);
            }
        }
        let (lowest, highest, boot_seen) = Self::scan(&mut memory)?;
        let header = newest.unwrap_or(Header {
            generation: 0,
            boot: 0,
            // Both headers lost, events left: keep them all, the controller knows duplicates.
            acked: lowest.saturating_sub(1),
        });
        let mut ring = Self {
            memory,
            header: Header {
                boot: header.boot.max(boot_seen).saturating_add(1),
                ..header
            },
        };
        ring.write_header()?;
        let first = (header.acked + 1).max((highest + 1).saturating_sub(SLOTS as u32));
        for seq in first..=highest {
            // A slot that rotted is a gap, and the controller reports gaps.
            if let Some(frame) = read_slot(&mut ring.memory, (seq as usize % SLOTS) as u16)?
                .and_then(|(found, frame)| (found == seq).then_some(frame))
            {
                each(seq, frame);
            }
        }
        Ok(ring)
    }

    /// Lowest and highest sequence and highest boot number in the slots; zeros when there is none.
    fn scan(memory: &mut M) -> Result<(u32, u32, u32), MemoryFault> {
        let (mut lowest, mut highest, mut boot) = (u32::MAX, 0, 0);
        for slot in 0..SLOTS as u16 {
            if let Some((seq, frame)) = read_slot(memory, slot)? {
                lowest = lowest.min(seq);
                highest = highest.max(seq);
                boot = boot.max(Envelope::parse(&frame).map_or(0, |envelope| envelope.header.boot));
            }
        }
        Ok((if highest == 0 { 0 } else { lowest }, highest, boot))
    }

    /// Number of this boot, from 1.
    pub const fn boot(&self) -> u32 {
        self.header.boot
    }

    /// Highest sequence that is known, across power cuts, to be acknowledged.
    pub const fn acked(&self) -> u32 {
        self.header.acked
    }

    /// Stores an event; returning `Ok` means that it survives a power cut.
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be stored.
    pub fn store(&mut self, seq: u32, frame: &EventFrame) -> Result<(), MemoryFault> {
        let mut slot = [0; SLOT_LEN as usize];
        slot[0..4].copy_from_slice(&seq.to_le_bytes());
        slot[4] = frame.len() as u8;
        slot[5..5 + frame.len()].copy_from_slice(frame);
        let crc = crc32(&slot[..60]);
        slot[60..].copy_from_slice(&crc.to_le_bytes());
        write_verified(&mut self.memory, slot_at((seq as usize % SLOTS) as u16), &slot)
    }

    /// Remembers that everything up to `upto` is acknowledged.
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be stored; events are then sent once more after a
    /// power cut, which the controller recognises.
    pub fn forget(&mut self, upto: u32) -> Result<(), MemoryFault> {
        let before = self.header.acked;
        self.header.acked = upto;
        self.write_header().inspect_err(|_| self.header.acked = before)
    }

    fn write_header(&mut self) -> Result<(), MemoryFault> {
        let next = Header {
            generation: self.header.generation + 1,
            ..self.header
        };
        let at = HEADER_AT[next.generation as usize % 2];
        write_verified(&mut self.memory, at, &next.encode())?;
        self.header = next;
        Ok(())
    }
}

const fn slot_at(slot: u16) -> u16 {
    SLOTS_AT + slot * SLOT_LEN
}

fn read_slot(memory: &mut impl Memory, slot: u16) -> Result<Option<(u32, EventFrame)>, MemoryFault> {
    let mut bytes = [0; SLOT_LEN as usize];
    memory.read(slot_at(slot), &mut bytes)?;
    let seq = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let len = usize::from(bytes[4]);
    let valid = crc32(&bytes[..60]).to_le_bytes() == bytes[60..]
        && seq != 0
        && seq as usize % SLOTS == usize::from(slot)
        && len <= MAX_EVENT_FRAME;
    Ok(valid
        .then(|| Vec::from_slice(&bytes[5..5 + len]).ok())
        .flatten()
        .map(|frame| (seq, frame)))
}

fn write_verified<const N: usize>(
    memory: &mut impl Memory,
    at: u16,
    bytes: &[u8; N],
) -> Result<(), MemoryFault> {
    memory.write(at, bytes)?;
    let mut back = [0; N];
    memory.read(at, &mut back)?;
    if back == *bytes { Ok(()) } else { Err(MemoryFault) }
}

/// Memories for tests, also of the other modules.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;
    use std::{cell::RefCell, rc::Rc};

    /// A chip that outlives the node that uses it.
    #[derive(Debug, Clone)]
    pub(crate) struct Chip(Rc<RefCell<State>>);

    #[derive(Debug)]
    struct State {
        bytes: Box<[u8]>,
        /// Bytes that can still be written before the power fails.
        budget: Option<usize>,
        frozen: bool,
        written: usize,
    }

    impl Chip {
        pub(crate) fn blank() -> Self {
            Self(Rc::new(RefCell::new(State {
                bytes: vec![0xff; MEMORY_LEN.into()].into(),
                budget: None,
                frozen: false,
                written: 0,
            })))
        }

        /// The power fails after `bytes` more bytes; `None`: it is back.
        pub(crate) fn cut_after(&self, bytes: Option<usize>) {
            self.0.borrow_mut().budget = bytes;
        }

        /// A frozen bus takes writes, keeps nothing, and reads the same byte for ever.
        pub(crate) fn freeze(&self, frozen: bool) {
            self.0.borrow_mut().frozen = frozen;
        }

        pub(crate) fn written(&self) -> usize {
            self.0.borrow().written
        }

        pub(crate) fn flip(&self, at: u16) {
            self.0.borrow_mut().bytes[usize::from(at)] ^= 1;
        }
    }

    impl Memory for Chip {
        fn read(&mut self, at: u16, into: &mut [u8]) -> Result<(), MemoryFault> {
            let state = self.0.borrow();
            if state.budget == Some(0) {
                return Err(MemoryFault);
            }
            if state.frozen {
                into.fill(0);
            } else {
                into.copy_from_slice(&state.bytes[usize::from(at)..usize::from(at) + into.len()]);
            }
            Ok(())
        }

        fn write(&mut self, at: u16, bytes: &[u8]) -> Result<(), MemoryFault> {
            let mut state = self.0.borrow_mut();
            for (offset, byte) in bytes.iter().enumerate() {
                match &mut state.budget {
                    Some(0) => return Err(MemoryFault),
                    Some(left) => *left -= 1,
                    None => {}
                }
                if !state.frozen {
                    state.bytes[usize::from(at) + offset] = *byte;
                }
                state.written += 1;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{fake::Chip, *};

    fn frame(seq: u32) -> EventFrame {
        let mut frame = EventFrame::new();
        frame.extend_from_slice(&seq.to_be_bytes()).unwrap();
        frame.extend_from_slice(&[0xaa; 30]).unwrap();
        frame
    }

    fn open(chip: &Chip) -> (Ring<Chip>, std::vec::Vec<u32>) {
        let mut kept = std::vec::Vec::new();
        let ring = Ring::open(chip.clone(), |seq, found| {
            assert_eq!(found, frame(seq));
            kept.push(seq);
        })
        .unwrap();
        (ring, kept)
    }

    #[test]
    fn blank_memory_starts_at_boot_one_without_events() {
        for fill_zero in [false, true] {
            let mut chip = Chip::blank();
            if fill_zero {
                chip.write(0, &[0; MEMORY_LEN as usize]).unwrap();
            }
            let (ring, kept) = open(&chip);
            assert_eq!((ring.boot(), ring.acked(), kept.len()), (1, 0, 0));
        }
    }

    #[test]
    fn boots_are_counted_and_events_kept_until_forgotten() {
        let chip = Chip::blank();
        let (mut ring, _) = open(&chip);
        for seq in 1..=5 {
            ring.store(seq, &frame(seq)).unwrap();
        }
        let (mut ring, kept) = open(&chip);
        assert_eq!((ring.boot(), kept), (2, vec![1, 2, 3, 4, 5]));
        ring.forget(3).unwrap();
        let (ring, kept) = open(&chip);
        assert_eq!((ring.boot(), ring.acked(), kept), (3, 3, vec![4, 5]));
    }

    #[test]
    fn the_ring_wraps_many_times() {
        let chip = Chip::blank();
        let (mut ring, _) = open(&chip);
        for seq in 1..=1000 {
            ring.store(seq, &frame(seq)).unwrap();
            ring.forget(seq.saturating_sub(20)).unwrap();
        }
        assert_eq!(open(&chip).1, (981..=1000).collect::<std::vec::Vec<_>>());
    }

    #[test]
    fn a_frozen_bus_does_not_count_as_stored() {
        let chip = Chip::blank();
        let (mut ring, _) = open(&chip);
        chip.freeze(true);
        assert_eq!(ring.store(1, &frame(1)), Err(MemoryFault));
        assert_eq!(ring.forget(1), Err(MemoryFault));
        chip.freeze(false);
        ring.store(1, &frame(1)).unwrap();
        assert_eq!(open(&chip).1, [1]);
    }

    #[test]
    fn a_frozen_bus_at_boot_is_an_error_and_not_a_first_boot() {
        let chip = Chip::blank();
        drop(open(&chip));
        chip.freeze(true);
        assert!(Ring::open(chip.clone(), |_, _| ()).is_err());
    }

    #[test]
    fn one_rotten_header_or_slot_costs_only_itself() {
        for rotten in HEADER_AT.into_iter().chain([slot_at(2)]) {
            let chip = Chip::blank();
            let (mut ring, _) = open(&chip);
            for seq in 1..=3 {
                ring.store(seq, &frame(seq)).unwrap();
            }
            let (ring, _) = open(&chip);
            assert_eq!(ring.boot(), 2);
            chip.flip(rotten);
            let (ring, kept) = open(&chip);
            // The newest header gone: boot 2 is counted again. It had sent nothing: the node's
            // first frame of a boot is an event, and that would carry the number.
            assert!(ring.boot() >= 2);
            let expected: &[u32] = if rotten == slot_at(2) { &[1, 3] } else { &[1, 2, 3] };
            assert_eq!(kept, expected);
        }
    }

    #[test]
    fn both_headers_gone_keeps_every_event() {
        let chip = Chip::blank();
        let (mut ring, _) = open(&chip);
        for seq in 1..=130 {
            ring.store(seq, &frame(seq)).unwrap();
        }
        ring.forget(120).unwrap();
        for at in HEADER_AT {
            chip.flip(at);
        }
        let (ring, kept) = open(&chip);
        assert_eq!(ring.acked(), 130 - SLOTS as u32);
        assert_eq!(kept, (131 - SLOTS as u32..=130).collect::<std::vec::Vec<_>>());
    }

    /// Cuts the power at every single byte of a life of the ring and opens it again.
    #[test]
    fn power_may_fail_at_every_byte() {
        let first = 110; // so that the ring wraps within the run
        let life = |chip: &Chip, stored: &mut u32, acked: &mut (u32, u32)| -> Result<(), MemoryFault> {
            let mut ring = Ring::open(chip.clone(), |_, _| ())?;
            for seq in first + 1..=first + 20 {
                ring.store(seq, &frame(seq))?;
                *stored = seq;
                if seq % 4 == 0 {
                    acked.1 = seq - 2; // asked for, perhaps not done
                    ring.forget(seq - 2)?;
                    acked.0 = seq - 2;
                }
            }
            Ok(())
        };
        let prepared = || {
            let chip = Chip::blank();
            let mut ring = open(&chip).0;
            for seq in 1..=first {
                ring.store(seq, &frame(seq)).unwrap();
            }
            ring.forget(first - 5).unwrap();
            chip
        };
        let whole = prepared();
        let before = whole.written();
        life(&whole, &mut 0, &mut (0, 0)).unwrap();
        let bytes = whole.written() - before;
        assert!(bytes > 1300, "the run writes {bytes} bytes");

        for cut in 0..bytes {
            let chip = prepared();
            chip.cut_after(Some(cut));
            let (mut stored, mut acked) = (first, (first - 5, first - 5));
            assert!(life(&chip, &mut stored, &mut acked).is_err());
            chip.cut_after(None);
            let (ring, kept) = open(&chip);
            // Boot 2 was cut; whether it had been counted or not, this one is a new number.
            assert!(
                (2..=3).contains(&ring.boot()) && (stored == first || ring.boot() == 3),
                "cut {cut}"
            );
            assert!((acked.0..=acked.1).contains(&ring.acked()), "cut {cut}");
            // The one being written may have made it or not; no other is missing or doubled.
            let last = kept.last().copied().unwrap_or(ring.acked());
            assert!(
                (stored..=stored + 1).contains(&last),
                "cut {cut}: {last} after {stored}"
            );
            assert_eq!(
                kept,
                (ring.acked() + 1..=last).collect::<std::vec::Vec<_>>(),
                "cut {cut}"
            );
        }
    }
}

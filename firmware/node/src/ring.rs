//! The ring of events and the header beside it.
//!
//! ```text
//! header  two copies: boot u32, acked u32, crashes u8, 0, node u16, list version u32, confirmed u32
//! slot    64 bytes: seq u32, boot u32, up_ms u48, unix_ms u48, len u8, body <= 39, CRC-32
//! ```
//! An event of sequence `s` lies in slot `s % SLOTS`: what was measured and when, not the frame.
//! The frame is made when it is sent, so a key that was changed meanwhile seals old events too.
//! Power may fail at any byte: a torn slot has a wrong CRC and was never called stored; a torn
//! header leaves the other one.
//!
//! **Wear.** A 24C256 keeps 1 000 000 writes a page (Microchip DS21203, "Endurance"). An event
//! costs one write of its slot (two where the part's driver writes half pages): the ring alone
//! takes 112 million events. The header is written once for eight acknowledged events, or when
//! nothing came for [`FORGET_IDLE_MS`], on two pages in turn; so a passage of the door (credential,
//! opened, closed) costs one write. With 500 passages a day that is 250 writes a page and day:
//! eleven years. A server room with 50 passages a day: a hundred. Where more is asked for, an FRAM
//! (MB85RC256V: 10^12 writes) fits the same pins and this file.
//!
//! [`FORGET_IDLE_MS`]: crate::outbox::FORGET_IDLE_MS

use crate::layout::{HEADER_AT, SLOT_LEN, SLOTS, slot_at};
use crate::memory::{Memory, MemoryFault, Twin, write_verified};
use heapless::Vec;
use shared::crc::crc32;
use shared::limit::MAX_EVENT_BODY;

/// An encoded event ([`shared::wire::encode_event`]).
pub type Body = Vec<u8, MAX_EVENT_BODY>;

/// An event as it is kept: all that its frame needs, but for key and tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Sequence, from 1.
    pub seq: u32,
    /// Boot in which it happened.
    pub boot: u32,
    /// Uptime when it happened, in milliseconds.
    pub up_ms: u64,
    /// Milliseconds since 1970 UTC, 0 when the clock was not set.
    pub unix_ms: u64,
    /// What happened.
    pub body: Body,
}

const BODY_AT: usize = 21;
const CRC_AT: usize = SLOT_LEN as usize - 4;
const _: () = assert!(BODY_AT + MAX_EVENT_BODY == CRC_AT);

/// Highest sequence that is believed; beyond it a slot is rotten whatever its CRC says. An event
/// a second reaches it after 68 years.
const MAX_SEQ: u32 = i32::MAX as u32;

impl Event {
    fn encode(&self) -> [u8; SLOT_LEN as usize] {
        let mut slot = [0; SLOT_LEN as usize];
        slot[0..4].copy_from_slice(&self.seq.to_le_bytes());
        slot[4..8].copy_from_slice(&self.boot.to_le_bytes());
        // 48 bits of milliseconds last for 8900 years.
        slot[8..14].copy_from_slice(&self.up_ms.to_le_bytes()[..6]);
        slot[14..20].copy_from_slice(&self.unix_ms.to_le_bytes()[..6]);
        slot[20] = self.body.len() as u8;
        slot[BODY_AT..BODY_AT + self.body.len()].copy_from_slice(&self.body);
        let crc = crc32(&slot[..CRC_AT]);
        slot[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        slot
    }

    fn decode(slot: &[u8; SLOT_LEN as usize]) -> Option<Self> {
        let number = |from: usize, to: usize| {
            let mut bytes = [0; 8];
            bytes[..to - from].copy_from_slice(&slot[from..to]);
            u64::from_le_bytes(bytes)
        };
        if crc32(&slot[..CRC_AT]).to_le_bytes() != slot[CRC_AT..] {
            return None;
        }
        let body = slot[BODY_AT..CRC_AT].get(..usize::from(slot[20]))?;
        Some(Self {
            seq: number(0, 4) as u32,
            boot: number(4, 8) as u32,
            up_ms: number(8, 14),
            unix_ms: number(14, 20),
            body: Body::from_slice(body).ok()?,
        })
    }
}

/// What survives a power cut besides the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Header {
    boot: u32,
    acked: u32,
    crashes: u8,
    node: u16,
    confirmed: Confirmed,
}

/// That the controller confirmed an access list, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confirmed {
    /// Version of the list, 0 for none.
    pub version: u32,
    /// Seconds since 1970 UTC.
    pub unix_s: u32,
}

const HEADER_LEN: usize = 20;

impl Header {
    fn encode(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&self.boot.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.acked.to_le_bytes());
        bytes[8] = self.crashes;
        bytes[10..12].copy_from_slice(&self.node.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.confirmed.version.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.confirmed.unix_s.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            boot: word(0),
            acked: word(4).min(MAX_SEQ),
            crashes: bytes[8],
            node: u16::from_le_bytes([bytes[10], bytes[11]]),
            confirmed: Confirmed {
                version: word(12),
                unix_s: word(16),
            },
        }
    }
}

/// The ring and its header. It holds no event; it knows where they are.
#[derive(Debug)]
pub struct Ring {
    twin: Twin<HEADER_LEN>,
    header: Header,
}

impl Ring {
    /// Opens the memory and counts this boot in it, and the crash that it may have begun with.
    /// Returns the sequence of the last event, acknowledged or not. Events of another node, whose
    /// part this was, are not ours to tell. The boot is a later one than `first_boot`, which the
    /// node was provisioned with: this memory may be blank, and the controller know a long life.
    ///
    /// # Errors
    /// [`MemoryFault`] when the memory does not answer, or does not keep the boot number: a node
    /// that cannot count its boots must not send frames.
    pub fn open(
        memory: &mut impl Memory,
        node: u16,
        first_boot: u32,
        crashed: bool,
    ) -> Result<(Self, u32), MemoryFault> {
        let (twin, header) = Twin::open(memory, &HEADER_AT)?;
        let seen = scan(memory)?;
        let header = header.as_ref().map_or(
            // Both headers lost, events left: keep them all, the controller knows duplicates.
            Header {
                acked: seen.lowest.saturating_sub(1),
                node,
                ..Header::default()
            },
            Header::decode,
        );
        let last = seen.highest.max(header.acked);
        let acked = if header.node == node {
            header.acked.max(last.saturating_sub(SLOTS as u32))
        } else {
            last
        };
        let mut ring = Self {
            twin,
            header: Header {
                boot: header.boot.max(seen.boot).max(first_boot).saturating_add(1),
                acked,
                node,
                crashes: if crashed {
                    header.crashes.saturating_add(1)
                } else {
                    0
                },
                ..header
            },
        };
        ring.write_header(memory, ring.header)?;
        Ok((ring, last))
    }

    /// Number of this boot, from 1.
    pub const fn boot(&self) -> u32 {
        self.header.boot
    }

    /// Highest sequence that is known, across power cuts, to be acknowledged.
    pub const fn acked(&self) -> u32 {
        self.header.acked
    }

    /// Crashes in a row, the one before this boot included.
    pub const fn crashes(&self) -> u8 {
        self.header.crashes
    }

    /// The last confirmation of an access list.
    pub const fn confirmed(&self) -> Confirmed {
        self.header.confirmed
    }

    /// Stores an event; returning `Ok` means that it survives a power cut.
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be stored.
    pub fn store(&self, memory: &mut impl Memory, event: &Event) -> Result<(), MemoryFault> {
        write_verified(memory, slot_at(event.seq), &event.encode())
    }

    /// Reads an event; `None` when its slot holds another one or is rotten.
    ///
    /// # Errors
    /// [`MemoryFault`] when the memory does not answer, or answers for itself only: a frozen bus
    /// must not make a stored event look like a rotten one.
    pub fn load(&self, memory: &mut impl Memory, seq: u32) -> Result<Option<Event>, MemoryFault> {
        for _ in 0..2 {
            if let Some(event) = read_slot(memory, seq)?.filter(|event| event.seq == seq) {
                return Ok(Some(event));
            }
            if !self.twin.answers(memory) {
                return Err(MemoryFault);
            }
        }
        Ok(None)
    }

    /// Remembers that everything up to `upto` is acknowledged.
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be stored; events are then sent once more after a
    /// power cut, which the controller recognises.
    pub fn forget(&mut self, memory: &mut impl Memory, upto: u32) -> Result<(), MemoryFault> {
        let next = Header {
            acked: upto,
            ..self.header
        };
        self.write_header(memory, next)
    }

    /// Remembers that no crash is to be counted any more.
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be stored.
    pub fn forget_crashes(&mut self, memory: &mut impl Memory) -> Result<(), MemoryFault> {
        let next = Header {
            crashes: 0,
            ..self.header
        };
        self.write_header(memory, next)
    }

    /// Remembers when a list was confirmed.
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be stored.
    pub fn confirm(&mut self, memory: &mut impl Memory, confirmed: Confirmed) -> Result<(), MemoryFault> {
        let next = Header {
            confirmed,
            ..self.header
        };
        self.write_header(memory, next)
    }

    fn write_header(&mut self, memory: &mut impl Memory, next: Header) -> Result<(), MemoryFault> {
        self.twin.write(memory, &next.encode())?;
        self.header = next;
        Ok(())
    }
}

/// What the slots hold; zeros when there is no event.
struct Seen {
    lowest: u32,
    highest: u32,
    boot: u32,
}

fn scan(memory: &mut impl Memory) -> Result<Seen, MemoryFault> {
    let (mut lowest, mut highest, mut boot) = (u32::MAX, 0, 0);
    for slot in 0..SLOTS as u32 {
        if let Some(event) = read_slot(memory, slot)?.filter(|event| event.seq <= MAX_SEQ) {
            lowest = lowest.min(event.seq);
            highest = highest.max(event.seq);
            boot = boot.max(event.boot);
        }
    }
    // What is older than a whole ring was left there by a memory that refused.
    let lowest = lowest.max(highest.saturating_sub(SLOTS as u32 - 1));
    Ok(Seen {
        lowest: if highest == 0 { 0 } else { lowest },
        highest,
        boot,
    })
}

/// The event in the slot of this sequence, if it can be one.
fn read_slot(memory: &mut impl Memory, seq: u32) -> Result<Option<Event>, MemoryFault> {
    let mut slot = [0; SLOT_LEN as usize];
    memory.read(slot_at(seq), &mut slot)?;
    Ok(Event::decode(&slot).filter(|event| event.seq != 0 && slot_at(event.seq) == slot_at(seq)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::MEMORY_LEN;
    use crate::memory::fake::{Chip, Random};

    fn event(seq: u32) -> Event {
        Event {
            seq,
            boot: 1,
            up_ms: u64::from(seq) * 1_000,
            unix_ms: 1_795_000_000_000 + u64::from(seq),
            body: Body::from_slice(&[seq as u8; 30]).unwrap(),
        }
    }

    struct Open {
        chip: Chip,
        ring: Ring,
        last: u32,
    }

    fn open(chip: &Chip) -> Open {
        let (ring, last) = Ring::open(&mut chip.clone(), 7, 0, false).unwrap();
        Open {
            chip: chip.clone(),
            ring,
            last,
        }
    }

    impl Open {
        fn store(&mut self, seq: u32) {
            self.ring.store(&mut self.chip, &event(seq)).unwrap();
        }

        fn forget(&mut self, upto: u32) {
            self.ring.forget(&mut self.chip, upto).unwrap();
        }

        /// What is not acknowledged, as far as it is there.
        fn kept(&mut self) -> std::vec::Vec<u32> {
            let all = self.ring.acked() + 1..=self.last;
            all.filter(|seq| {
                let found = self.ring.load(&mut self.chip, *seq).unwrap();
                assert!(found.as_ref().is_none_or(|found| *found == event(*seq)));
                found.is_some()
            })
            .collect()
        }
    }

    #[test]
    fn an_event_is_read_as_it_was_stored() {
        let chip = Chip::blank();
        let mut open = open(&chip);
        for (seq, len) in [(1, 0), (2, 1), (3, MAX_EVENT_BODY)] {
            let event = Event {
                boot: u32::MAX,
                up_ms: (1 << 48) - 1,
                unix_ms: (1 << 48) - 1,
                body: Body::from_slice(&[7; MAX_EVENT_BODY][..len]).unwrap(),
                ..event(seq)
            };
            open.ring.store(&mut open.chip, &event).unwrap();
            assert_eq!(open.ring.load(&mut open.chip, seq), Ok(Some(event)));
        }
    }

    #[test]
    fn blank_memory_starts_at_boot_one_without_events() {
        for fill in [0, 0xff] {
            let chip = Chip::holding(vec![fill; MEMORY_LEN.into()]);
            let mut open = open(&chip);
            assert_eq!(
                (open.ring.boot(), open.ring.acked(), open.kept().len()),
                (1, 0, 0)
            );
        }
    }

    #[test]
    fn boots_are_numbered_above_the_first_one_and_go_on_from_there() {
        const FIRST: u32 = 3_626_000;
        let start = |chip: &Chip, first| Ring::open(&mut chip.clone(), 7, first, false).unwrap().0.boot();
        let chip = Chip::blank();
        let boots: std::vec::Vec<_> = (0..3).map(|_| start(&chip, FIRST)).collect();
        assert_eq!(boots, [FIRST + 1, FIRST + 2, FIRST + 3]);
        // A board that was started more often than that keeps its count.
        assert_eq!((start(&chip, 5), start(&chip, 0)), (FIRST + 4, FIRST + 5));
        assert_eq!(start(&chip, FIRST + 10), FIRST + 11);

        // The power fails at every byte of the first start of a wiped board.
        let whole = Chip::blank();
        start(&whole, FIRST);
        for cut in 0..whole.written() {
            let chip = Chip::blank();
            chip.cut_after(Some(cut));
            assert!(Ring::open(&mut chip.clone(), 7, FIRST, false).is_err());
            chip.cut_after(None);
            let boot = start(&chip, FIRST);
            assert!((FIRST + 1..=FIRST + 2).contains(&boot), "cut {cut}");
            assert_eq!(start(&chip, FIRST), boot + 1, "cut {cut}");
        }
    }

    #[test]
    fn boots_are_counted_and_events_kept_until_forgotten() {
        let chip = Chip::blank();
        let mut first = open(&chip);
        (1..=5).for_each(|seq| first.store(seq));
        let mut second = open(&chip);
        assert_eq!((second.ring.boot(), second.kept()), (2, vec![1, 2, 3, 4, 5]));
        second.forget(3);
        let mut third = open(&chip);
        assert_eq!(
            (third.ring.boot(), third.ring.acked(), third.kept()),
            (3, 3, vec![4, 5])
        );
    }

    #[test]
    fn crashes_in_a_row_are_counted_and_end_with_any_other_start() {
        let chip = Chip::blank();
        let crashed = |chip: &Chip| Ring::open(&mut chip.clone(), 7, 0, true).unwrap().0;
        assert_eq!(
            (1..=3)
                .map(|_| crashed(&chip).crashes())
                .collect::<std::vec::Vec<_>>(),
            [1, 2, 3]
        );
        crashed(&chip).forget_crashes(&mut chip.clone()).unwrap();
        assert_eq!(crashed(&chip).crashes(), 1);
        assert_eq!(open(&chip).ring.crashes(), 0);
        assert_eq!(crashed(&chip).crashes(), 1);
    }

    #[test]
    fn events_of_another_node_are_not_told_as_ours() {
        let chip = Chip::blank();
        let mut first = open(&chip);
        (1..=3).for_each(|seq| first.store(seq));
        let (other, last) = Ring::open(&mut chip.clone(), 8, 0, false).unwrap();
        assert_eq!((other.acked(), last), (3, 3));
    }

    #[test]
    fn the_confirmation_of_a_list_is_kept() {
        let chip = Chip::blank();
        let confirmed = Confirmed {
            version: 12,
            unix_s: 1_795_000_000,
        };
        let mut first = open(&chip);
        first.ring.confirm(&mut first.chip, confirmed).unwrap();
        first.forget(0);
        assert_eq!(open(&chip).ring.confirmed(), confirmed);
    }

    #[test]
    fn the_ring_wraps_many_times() {
        let chip = Chip::blank();
        let mut first = open(&chip);
        for seq in 1..=1000 {
            first.store(seq);
            first.forget(seq.saturating_sub(20));
        }
        assert_eq!(open(&chip).kept(), (981..=1000).collect::<std::vec::Vec<_>>());
    }

    #[test]
    fn a_frozen_bus_does_not_count_as_stored_and_loses_nothing_that_is() {
        let chip = Chip::blank();
        let mut first = open(&chip);
        first.store(1);
        chip.freeze(true);
        assert_eq!(first.ring.store(&mut chip.clone(), &event(2)), Err(MemoryFault));
        assert_eq!(first.ring.forget(&mut chip.clone(), 1), Err(MemoryFault));
        assert_eq!(first.ring.load(&mut chip.clone(), 1), Err(MemoryFault));
        chip.freeze(false);
        assert_eq!(first.ring.acked(), 0);
        assert_eq!(open(&chip).kept(), [1]);
    }

    #[test]
    fn a_frozen_bus_at_boot_is_an_error_and_not_a_first_boot() {
        let chip = Chip::blank();
        drop(open(&chip));
        chip.freeze(true);
        assert!(Ring::open(&mut chip.clone(), 7, 0, false).is_err());
    }

    #[test]
    fn one_rotten_header_or_slot_costs_only_itself() {
        for rotten in HEADER_AT.into_iter().chain([slot_at(2)]) {
            let chip = Chip::blank();
            let mut first = open(&chip);
            (1..=3).for_each(|seq| first.store(seq));
            assert_eq!(open(&chip).ring.boot(), 2);
            chip.flip(rotten);
            let mut again = open(&chip);
            // The newest header gone: boot 2 is counted again. It had sent nothing: the node's
            // first frame of a boot is an event, and that would carry the number.
            assert!(again.ring.boot() >= 2);
            let expected: &[u32] = if rotten == slot_at(2) { &[1, 3] } else { &[1, 2, 3] };
            assert_eq!(again.kept(), expected);
        }
    }

    #[test]
    fn both_headers_gone_keeps_every_event() {
        let chip = Chip::blank();
        let mut first = open(&chip);
        let last = SLOTS as u32 + 6;
        (1..=last).for_each(|seq| first.store(seq));
        first.forget(120);
        for at in HEADER_AT {
            chip.flip(at);
        }
        let mut again = open(&chip);
        assert_eq!(again.ring.acked(), 6);
        assert_eq!(again.kept(), (7..=last).collect::<std::vec::Vec<_>>());
    }

    /// Cuts the power at every single byte of a life of the ring and opens it again.
    #[test]
    fn power_may_fail_at_every_byte() {
        let first = SLOTS as u32 - 14; // so that the ring wraps within the run
        let life = |chip: &Chip, stored: &mut u32, acked: &mut (u32, u32)| -> Result<(), MemoryFault> {
            let mut chip = chip.clone();
            let (mut ring, _) = Ring::open(&mut chip, 7, 0, false)?;
            for seq in first + 1..=first + 20 {
                ring.store(&mut chip, &event(seq))?;
                *stored = seq;
                if seq % 4 == 0 {
                    acked.1 = seq - 2; // asked for, perhaps not done
                    ring.forget(&mut chip, seq - 2)?;
                    acked.0 = seq - 2;
                }
            }
            Ok(())
        };
        let prepared = Chip::blank();
        let mut ready = open(&prepared);
        (1..=first).for_each(|seq| ready.store(seq));
        ready.forget(first - 5);
        let whole = prepared.copy();
        let before = whole.written();
        life(&whole, &mut 0, &mut (0, 0)).unwrap();
        let bytes = whole.written() - before;
        assert!(bytes > 1300, "the run writes {bytes} bytes");

        for cut in 0..bytes {
            let chip = prepared.copy();
            chip.cut_after(Some(cut));
            let (mut stored, mut acked) = (first, (first - 5, first - 5));
            assert!(life(&chip, &mut stored, &mut acked).is_err());
            chip.cut_after(None);
            let mut again = open(&chip);
            // Boot 2 was cut; whether it had been counted or not, this one is a new number.
            let boot = again.ring.boot();
            assert!(
                (2..=3).contains(&boot) && (stored == first || boot == 3),
                "cut {cut}"
            );
            assert!((acked.0..=acked.1).contains(&again.ring.acked()), "cut {cut}");
            // The one being written may have made it or not; no other is missing or doubled.
            let kept = again.kept();
            let last = kept.last().copied().unwrap_or(again.ring.acked());
            assert!(
                (stored..=stored + 1).contains(&last),
                "cut {cut}: {last} after {stored}"
            );
            let expected: std::vec::Vec<u32> = (again.ring.acked() + 1..=last).collect();
            assert_eq!(kept, expected, "cut {cut}");
        }
    }

    /// Slots and headers of any content, their checksums made right: worse than rot can do.
    #[test]
    fn no_content_of_the_memory_panics() {
        for seed in 1..=200 {
            let mut random = Random(seed);
            let chip = Chip::blank();
            let mut sealed = |len: usize| {
                let mut bytes: std::vec::Vec<u8> = (0..len).map(|_| random.byte()).collect();
                // Ends of the ranges are where arithmetic breaks.
                if random.below(3) == 0 {
                    bytes[..8].fill([0x00, 0x7f, 0xff][random.below(3) as usize]);
                }
                bytes.extend(crc32(&bytes).to_le_bytes());
                bytes
            };
            chip.clone().write(HEADER_AT[0], &sealed(24)).unwrap();
            for seq in 0..20 {
                chip.clone().write(slot_at(seq), &sealed(CRC_AT)).unwrap();
            }
            let mut open = open(&chip);
            let next = open.last + 1;
            open.store(next);
            assert_eq!(
                open.ring.load(&mut open.chip, next),
                Ok(Some(event(next))),
                "seed {seed}"
            );
        }
    }
}

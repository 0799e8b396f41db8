//! Events on their way to the controller.
//!
//! ```text
//! push --> waiting --sent--> in flight --acknowledged--> gone
//!             ^                 |
//!             +--- reconnected, or no acknowledgement in time
//! ```
//! Every event waits in RAM and, whenever the memory works, in the EEPROM as well. It leaves only
//! on the controller's authenticated acknowledgement; that of the broker means nothing here. A
//! dead EEPROM costs the survival of a power cut, never the event itself.
//!
//! When the outbox is full the new event is dropped, not an old one: a chattering contact cannot
//! push out the entry that came before it. The last place is kept for the record of the loss.

use crate::memory::{EventFrame, Memory, MemoryFault, Ring, SLOTS};
use crate::{RESEND_FIRST_MS, RESEND_MAX_MS, STORE_RETRY_MS};
use heapless::Deque;

/// Acknowledgements are written to the memory when so many events are covered by them, or when
/// nothing waits any more: fewer writes, at the price of a few repetitions after a power cut.
const FORGET_BATCH: u32 = 8;

/// Room for the events that wait. It is lent to the outbox, so that it never travels over the
/// stack of a node, of which it would take a quarter at each move.
#[derive(Debug, Default)]
pub struct Waiting(Deque<Entry, SLOTS>);

impl Waiting {
    /// Empty room.
    #[must_use]
    pub const fn new() -> Self {
        Self(Deque::new())
    }
}

#[derive(Debug)]
struct Entry {
    seq: u32,
    frame: EventFrame,
    stored: bool,
}

/// The last entry, when it is a record of lost events that may still grow.
#[derive(Debug, Clone, Copy)]
struct LossRecord {
    seq: u32,
    count: u32,
}

/// Seals an event of this sequence; `None` stands for a record of the given number of lost events.
pub trait Seal {
    /// The frame of the event itself.
    fn event(&self, seq: u32) -> EventFrame;
    /// The frame of a record that `count` events are lost.
    fn lost(&self, seq: u32, count: u32) -> EventFrame;
}

/// The events that the controller has not acknowledged.
#[derive(Debug)]
pub struct Outbox<'a, M> {
    ring: Ring<M>,
    entries: &'a mut Deque<Entry, SLOTS>,
    last: u32,
    acked: u32,
    /// Last sequence handed out in this round.
    cursor: u32,
    /// Highest sequence ever handed out or loaded: nothing above it can be acknowledged.
    offered: u32,
    resend_at_ms: Option<u64>,
    resend_wait_ms: u64,
    store_again_at_ms: u64,
    loss: Option<LossRecord>,
    /// Lost and not yet in a record.
    uncounted: u32,
    lost_total: u32,
}

impl<'a, M: Memory> Outbox<'a, M> {
    /// Opens the memory and takes over what an earlier boot could not deliver.
    ///
    /// # Errors
    /// [`MemoryFault`], see [`Ring::open`], with the room for another attempt.
    pub fn open(memory: M, waiting: &'a mut Waiting) -> Result<Self, (MemoryFault, &'a mut Waiting)> {
        waiting.0.clear();
        let opened = Ring::open(memory, |seq, frame| {
            // The ring hands over at most SLOTS entries.
            let _ = waiting.0.push_back(Entry {
                seq,
                frame,
                stored: true,
            });
        });
        let ring = match opened {
            Ok(ring) => ring,
            Err(fault) => return Err((fault, waiting)),
        };
        let entries = &mut waiting.0;
        let last = entries.back().map_or(ring.acked(), |entry: &Entry| entry.seq);
        Ok(Self {
            acked: ring.acked(),
            cursor: ring.acked(),
            offered: last,
            ring,
            entries,
            last,
            resend_at_ms: None,
            resend_wait_ms: RESEND_FIRST_MS,
            store_again_at_ms: 0,
            loss: None,
            uncounted: 0,
            lost_total: 0,
        })
    }

    /// Number of this boot, from 1.
    pub const fn boot(&self) -> u32 {
        self.ring.boot()
    }

    /// Events not yet acknowledged.
    pub fn pending(&self) -> usize {
        self.entries.len()
    }

    /// Sequence of the last event.
    pub const fn last(&self) -> u32 {
        self.last
    }

    /// Events lost since boot because the outbox was full.
    pub const fn lost_total(&self) -> u32 {
        self.lost_total
    }

    /// Takes an event in.
    pub fn push(&mut self, seal: &impl Seal) {
        self.settle_losses(seal);
        if self.entries.len() < SLOTS - 1 && self.uncounted == 0 {
            self.close_loss_record();
            let seq = self.last + 1;
            self.append(seq, seal.event(seq));
        } else {
            self.uncounted = self.uncounted.saturating_add(1);
            self.lost_total = self.lost_total.saturating_add(1);
            self.settle_losses(seal);
        }
    }

    /// Writes down losses as soon as there is a place for the record.
    pub fn settle_losses(&mut self, seal: &impl Seal) {
        if self.uncounted == 0 {
            return;
        }
        match self.loss {
            // Not yet on its way: the record may still grow.
            Some(record) if record.seq == self.last && record.seq > self.offered => {
                let count = record.count.saturating_add(self.uncounted);
                let frame = seal.lost(record.seq, count);
                // At powers of two only, or a contact that chatters for days wears out one page.
                let write_now = count.leading_zeros() != record.count.leading_zeros();
                let stored = write_now && self.ring.store(record.seq, &frame).is_ok();
                if let Some(entry) = self.entries.back_mut() {
                    entry.frame = frame;
                    entry.stored = stored;
                }
                self.loss = Some(LossRecord { count, ..record });
                self.uncounted = 0;
            }
            _ if self.entries.len() < SLOTS => {
                let seq = self.last + 1;
                let count = self.uncounted;
                self.append(seq, seal.lost(seq, count));
                self.loss = Some(LossRecord { seq, count });
                self.uncounted = 0;
            }
            _ => {}
        }
    }

    /// The record does not grow any more: now its exact count is worth a write.
    fn close_loss_record(&mut self) {
        if self.loss.take().is_some()
            && let Some(entry) = self.entries.back_mut()
            && !entry.stored
        {
            entry.stored = self.ring.store(entry.seq, &entry.frame).is_ok();
        }
    }

    fn append(&mut self, seq: u32, frame: EventFrame) {
        let stored = self.ring.store(seq, &frame).is_ok();
        // Both callers have made sure of a free place.
        let _ = self.entries.push_back(Entry { seq, frame, stored });
        self.last = seq;
    }

    /// A new connection: everything not acknowledged is sent again.
    pub const fn connected(&mut self) {
        self.cursor = self.acked;
        self.resend_at_ms = None;
        self.resend_wait_ms = RESEND_FIRST_MS;
    }

    /// The next event to send, in order; it counts as sent.
    pub fn next_to_send(&mut self, now_ms: u64) -> Option<EventFrame> {
        if self.resend_at_ms.is_some_and(|at| now_ms >= at) {
            self.cursor = self.acked;
            self.resend_at_ms = None;
            self.resend_wait_ms = (self.resend_wait_ms * 2).min(RESEND_MAX_MS);
        }
        let entry = self.entries.iter().find(|entry| entry.seq > self.cursor)?;
        self.cursor = entry.seq;
        self.offered = self.offered.max(entry.seq);
        self.resend_at_ms.get_or_insert(now_ms + self.resend_wait_ms);
        Some(entry.frame.clone())
    }

    /// True when [`Self::next_to_send`] would give something.
    pub fn wants_to_send(&self, now_ms: u64) -> bool {
        self.entries
            .back()
            .is_some_and(|entry| entry.seq > self.cursor || self.resend_at_ms.is_some_and(|at| now_ms >= at))
    }

    /// The controller has committed everything up to `upto`. What was never offered cannot have
    /// been committed, so a number from beyond (another life of this node's memory) counts only
    /// as far as we have sent.
    pub fn acknowledged(&mut self, upto: u32, now_ms: u64) {
        let upto = upto.min(self.offered);
        if upto <= self.acked {
            return;
        }
        while self.entries.front().is_some_and(|entry| entry.seq <= upto) {
            self.entries.pop_front();
        }
        self.acked = upto;
        self.cursor = self.cursor.max(upto);
        self.resend_wait_ms = RESEND_FIRST_MS;
        self.resend_at_ms = (self.cursor > upto).then_some(now_ms + RESEND_FIRST_MS);
        if upto - self.ring.acked() >= FORGET_BATCH || self.entries.is_empty() {
            // Failing costs a repetition after a power cut; `maintain` need not try again, the
            // next acknowledgement does.
            let _ = self.ring.forget(upto);
        }
    }

    /// Tries once more to store what the memory had refused.
    pub fn maintain(&mut self, now_ms: u64) {
        if now_ms < self.store_again_at_ms {
            return;
        }
        self.store_again_at_ms = now_ms + STORE_RETRY_MS;
        let growing = self.loss.map(|record| record.seq);
        let waiting = |entry: &&mut Entry| !entry.stored && Some(entry.seq) != growing;
        for entry in self.entries.iter_mut().filter(waiting) {
            match self.ring.store(entry.seq, &entry.frame) {
                Ok(()) => entry.stored = true,
                Err(MemoryFault) => return,
            }
        }
    }

    /// When [`Self::next_to_send`] or [`Self::maintain`] is due though nothing new happens.
    pub fn next_deadline(&self) -> Option<u64> {
        let growing = self.loss.map(|record| record.seq);
        let store = self
            .entries
            .iter()
            .any(|entry| !entry.stored && Some(entry.seq) != growing)
            .then_some(self.store_again_at_ms);
        [self.resend_at_ms, store].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::fake::Chip;
    use std::{collections::BTreeSet, vec::Vec};

    /// Frames that tell what they are: `[seq, kind, number]`.
    struct Tell(u32);

    const EVENT: u8 = 0;
    const LOST: u8 = 1;

    fn frame(seq: u32, kind: u8, number: u32) -> EventFrame {
        let mut frame = EventFrame::new();
        frame.extend_from_slice(&seq.to_be_bytes()).unwrap();
        frame.push(kind).unwrap();
        frame.extend_from_slice(&number.to_be_bytes()).unwrap();
        frame
    }

    fn told(frame: &EventFrame) -> (u32, u8, u32) {
        let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        (word(0), frame[4], word(5))
    }

    impl Seal for Tell {
        fn event(&self, seq: u32) -> EventFrame {
            frame(seq, EVENT, self.0)
        }
        fn lost(&self, seq: u32, count: u32) -> EventFrame {
            frame(seq, LOST, count)
        }
    }

    fn open(chip: &Chip) -> Outbox<'static, Chip> {
        Outbox::open(chip.clone(), Box::leak(Box::default())).unwrap()
    }

    fn drain(outbox: &mut Outbox<'_, Chip>, now_ms: u64) -> Vec<(u32, u8, u32)> {
        core::iter::from_fn(|| outbox.next_to_send(now_ms))
            .map(|frame| told(&frame))
            .collect()
    }

    fn seqs(sent: &[(u32, u8, u32)]) -> Vec<u32> {
        sent.iter().map(|(seq, ..)| *seq).collect()
    }

    #[test]
    fn events_go_out_in_order_and_stay_until_acknowledged() {
        let mut outbox = open(&Chip::blank());
        for number in [10, 20, 30] {
            outbox.push(&Tell(number));
        }
        assert_eq!(
            drain(&mut outbox, 0),
            [(1, EVENT, 10), (2, EVENT, 20), (3, EVENT, 30)]
        );
        assert_eq!(drain(&mut outbox, 0), []);
        outbox.acknowledged(2, 0);
        assert_eq!(outbox.pending(), 1);
        outbox.connected();
        assert_eq!(drain(&mut outbox, 0), [(3, EVENT, 30)]);
        outbox.acknowledged(3, 0);
        assert_eq!((outbox.pending(), outbox.next_deadline()), (0, None));
    }

    #[test]
    fn without_acknowledgement_events_are_sent_again_ever_more_slowly() {
        let mut outbox = open(&Chip::blank());
        outbox.push(&Tell(1));
        let mut times = Vec::new();
        for now_ms in (0..300_000).step_by(1_000) {
            assert_eq!(
                outbox.wants_to_send(now_ms),
                outbox.next_deadline().is_none_or(|at| now_ms >= at)
            );
            if !drain(&mut outbox, now_ms).is_empty() {
                times.push(now_ms / 1_000);
            }
        }
        assert_eq!(times, [0, 10, 30, 70, 130, 190, 250]);
    }

    #[test]
    fn an_acknowledgement_of_something_never_sent_frees_nothing() {
        let mut outbox = open(&Chip::blank());
        outbox.push(&Tell(1));
        outbox.acknowledged(9_000, 0);
        assert_eq!(seqs(&drain(&mut outbox, 0)), [1]);
        outbox.push(&Tell(2));
        outbox.acknowledged(9_000, 0);
        assert_eq!(seqs(&drain(&mut outbox, 0)), [2]);
    }

    #[test]
    fn a_power_cut_loses_nothing_and_repeats_little() {
        let chip = Chip::blank();
        let mut outbox = open(&chip);
        for number in 1..=20 {
            outbox.push(&Tell(number));
        }
        drain(&mut outbox, 0);
        outbox.acknowledged(15, 0);
        drop(outbox);
        let mut outbox = open(&chip);
        assert_eq!(seqs(&drain(&mut outbox, 0)), [16, 17, 18, 19, 20]);
        // Not enough for a write of its own: repeated after the cut.
        outbox.acknowledged(17, 0);
        drop(outbox);
        let mut outbox = open(&chip);
        outbox.push(&Tell(21));
        assert_eq!(seqs(&drain(&mut outbox, 0)), [16, 17, 18, 19, 20, 21]);
        assert_eq!(outbox.boot(), 3);
    }

    #[test]
    fn a_dead_memory_delays_nothing_and_is_caught_up_with() {
        let chip = Chip::blank();
        let mut outbox = open(&chip);
        outbox.push(&Tell(1));
        chip.freeze(true);
        outbox.push(&Tell(2));
        outbox.push(&Tell(3));
        assert_eq!(seqs(&drain(&mut outbox, 0)), [1, 2, 3]);
        outbox.maintain(0);
        chip.freeze(false);
        assert_eq!(outbox.next_deadline(), Some(STORE_RETRY_MS));
        outbox.maintain(STORE_RETRY_MS);
        drop(outbox);
        assert_eq!(seqs(&drain(&mut open(&chip), 0)), [1, 2, 3]);
    }

    #[test]
    fn a_full_outbox_keeps_the_old_and_says_how_many_are_lost() {
        let chip = Chip::blank();
        let mut outbox = open(&chip);
        let room = SLOTS as u32 - 1;
        for number in 1..=room + 70 {
            outbox.push(&Tell(number));
        }
        assert_eq!((outbox.pending(), outbox.lost_total()), (SLOTS, 70));
        // After a power cut the count is at least the last power of two.
        let after_cut = drain(&mut open(&chip), 0);
        assert_eq!(after_cut.last(), Some(&(SLOTS as u32, LOST, 64)));
        let sent = drain(&mut outbox, 0);
        assert_eq!(sent[..3], [(1, EVENT, 1), (2, EVENT, 2), (3, EVENT, 3)]);
        assert_eq!(sent.last(), Some(&(SLOTS as u32, LOST, 70)));
        // On its way, the record does not change any more; later losses get one of their own.
        outbox.push(&Tell(0));
        outbox.push(&Tell(0));
        assert_eq!(drain(&mut outbox, 0), []);
        outbox.acknowledged(10, 0);
        outbox.push(&Tell(777));
        let seq = SLOTS as u32 + 1;
        assert_eq!(drain(&mut outbox, 0), [(seq, LOST, 2), (seq + 1, EVENT, 777)]);
    }

    #[test]
    fn a_full_outbox_survives_restarts_without_room() {
        let chip = Chip::blank();
        let mut outbox = open(&chip);
        for number in 0..SLOTS as u32 + 5 {
            outbox.push(&Tell(number));
        }
        drop(outbox);
        let mut outbox = open(&chip);
        outbox.push(&Tell(1)); // lost: no place even for a record
        assert_eq!(
            seqs(&drain(&mut outbox, 0)),
            (1..=SLOTS as u32).collect::<Vec<_>>()
        );
        outbox.acknowledged(SLOTS as u32, 0);
        outbox.settle_losses(&Tell(0));
        assert_eq!(drain(&mut outbox, 0), [(SLOTS as u32 + 1, LOST, 1)]);
    }

    /// Random life against a controller that commits, misses and acknowledges at random, with
    /// power cuts and a memory that freezes: everything arrives, in order, or is in a loss record.
    #[test]
    fn every_event_arrives_or_is_counted_lost() {
        for seed in 1..=60_u64 {
            let mut random = seed;
            let mut roll = |sides: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % sides
            };
            let chip = Chip::blank();
            let mut outbox = open(&chip);
            let (mut made, mut now_ms, mut committed) = (0_u32, 0, 0);
            let (mut arrived, mut lost) = (BTreeSet::new(), 0);
            let mut receive = |frame: &EventFrame, committed: &mut u32| {
                let (seq, kind, number) = told(frame);
                if seq <= *committed {
                    return;
                }
                assert_eq!(seq, *committed + 1, "seed {seed}: a gap");
                *committed = seq;
                match kind {
                    EVENT => assert!(arrived.insert(number), "seed {seed}: {number} twice"),
                    _ => lost += number,
                }
            };
            for _ in 0..400 {
                now_ms += roll(3_000);
                match roll(12) {
                    0..=4 => {
                        for _ in 0..=roll(9) {
                            made += 1;
                            outbox.push(&Tell(made));
                        }
                    }
                    5..=7 => {
                        for _ in 0..roll(40) {
                            if let Some(frame) = outbox.next_to_send(now_ms) {
                                receive(&frame, &mut committed);
                            }
                        }
                    }
                    8 => outbox.acknowledged(committed, now_ms),
                    9 => outbox.connected(),
                    // The chip freezes for one event and is caught up with before the next cut:
                    // an event that is only in RAM cannot survive one.
                    10 => {
                        chip.freeze(true);
                        made += 1;
                        outbox.push(&Tell(made));
                        chip.freeze(false);
                        now_ms += STORE_RETRY_MS;
                        outbox.maintain(now_ms);
                    }
                    _ if outbox.uncounted == 0 && outbox.loss.is_none() => {
                        outbox = open(&chip);
                    }
                    _ => {}
                }
            }
            for _ in 0..20 {
                outbox.connected();
                while let Some(frame) = outbox.next_to_send(now_ms) {
                    receive(&frame, &mut committed);
                }
                outbox.acknowledged(committed, now_ms);
                outbox.settle_losses(&Tell(0));
            }
            assert_eq!(arrived.len() as u32 + lost, made, "seed {seed}");
            assert_eq!(outbox.pending(), 0);
        }
    }
}

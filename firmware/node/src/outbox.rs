//! Events on their way to the controller.
//!
//! ```text
//! push --> ring (EEPROM) --sent--> in flight --acknowledged--> gone
//!      \     ^  ^                    |
//!       \    |  +--- reconnected, or no acknowledgement in time
//!        cache: what the memory refused, until it takes it; and the newest, so that sending
//!               an event that just happened need not wait for the bus
//! ```
//! An event leaves only on the controller's authenticated acknowledgement; that of the broker means
//! nothing here. It is kept in the memory and read from there when it is sent; RAM holds
//! [`CACHE`] events. A dead memory costs the survival of a power cut and all but so many events,
//! never the event that happens while the controller listens.
//!
//! When the outbox is full the new event is dropped, not an old one, and a record says how many.
//! The last [`RESERVED`] places are for entries: contacts and sensors of a failing room never push
//! out the record of who went through the door, nor do the records of their own loss: while one of
//! them waits for its acknowledgement, later losses of that kind are counted in RAM. A power cut
//! forgets what was counted since the last record that is in the memory; such a record then says
//! too little, never too much.

use crate::layout::SLOTS;
use crate::memory::{Memory, MemoryFault};
use crate::ring::{Body, Confirmed, Event, Ring};
use crate::{RESEND_FIRST_MS, RESEND_MAX_MS, STORE_RETRY_MS};
use heapless::Vec;
use shared::wire::{Up, encode_event};

/// Acknowledgements are written to the memory when so many events are covered by them, or when
/// none came for [`FORGET_IDLE_MS`]: fewer writes, at the price of a few repetitions after a
/// power cut.
pub const FORGET_BATCH: u32 = 8;
/// Milliseconds without a further acknowledgement after which the last one is written down: longer
/// than a passage through the door takes to be told.
pub const FORGET_IDLE_MS: u64 = 5_000;
/// Milliseconds for which a memory that does not answer holds up what came after the events in it.
/// Longer than the freeing of a bus takes; then the door is more important than the past.
pub const GIVE_UP_MS: u64 = 30_000;
/// Events that RAM holds. With a dead memory, so many wait for the controller; then they are lost
/// and counted. Eight events of 72 bytes.
pub const CACHE: usize = 8;
/// Places of the ring for entries only. A passage is three events; 96 places are 32 passages that
/// a room whose contacts have filled the rest can still record without its controller.
pub const RESERVED: usize = 96;
/// Places for everything else; one is left for the record of a loss.
const COMMON: usize = SLOTS - 1 - RESERVED;

const _: () = assert!(COMMON > RESERVED);

/// How an event stands to the others when places become few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// A contact, a sensor, a refused frame: may come in floods.
    Common,
    /// Credentials, doors, and what concerns the node itself.
    Entry,
}

/// When something happened, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Uptime in milliseconds.
    pub up_ms: u64,
    /// Milliseconds since 1970 UTC, 0 when the clock is not set.
    pub unix_ms: u64,
}

#[derive(Debug)]
struct Cached {
    event: Event,
    stored: bool,
}

/// The record of lost events that may still grow, or is not yet in the memory.
#[derive(Debug)]
struct Loss {
    event: Event,
    count: u32,
    /// The count in the memory, 0 when there is none.
    stored: u32,
}

/// The events that the controller has not acknowledged.
#[derive(Debug)]
pub struct Outbox {
    ring: Ring,
    cache: Vec<Cached, CACHE>,
    loss: Option<Loss>,
    last: u32,
    acked: u32,
    /// Last sequence handed out in this round.
    cursor: u32,
    /// Highest sequence ever handed out or found at boot: nothing above it can be acknowledged.
    offered: u32,
    resend_at_ms: Option<u64>,
    resend_wait_ms: u64,
    /// When a memory that refused is tried again.
    again_at_ms: u64,
    /// Since when the next event to send cannot be read.
    unreadable_since_ms: Option<u64>,
    /// Up to here events are given up: kept, perhaps, but out of reach.
    given_up: u32,
    forget_at_ms: Option<u64>,
    /// Lost and not yet in a record.
    uncounted: u32,
    /// Entries are among them: their record may take a place of the entries.
    entry_uncounted: bool,
    lost_total: u32,
}

impl Outbox {
    /// Opens the memory, counts the boot, and takes over what an earlier one could not deliver.
    ///
    /// # Errors
    /// [`MemoryFault`], see [`Ring::open`].
    pub fn open(
        memory: &mut impl Memory,
        node: u16,
        first_boot: u32,
        crashed: bool,
    ) -> Result<Self, MemoryFault> {
        let (ring, last) = Ring::open(memory, node, first_boot, crashed)?;
        Ok(Self {
            acked: ring.acked(),
            cursor: ring.acked(),
            offered: last,
            ring,
            cache: Vec::new(),
            loss: None,
            last,
            resend_at_ms: None,
            resend_wait_ms: RESEND_FIRST_MS,
            again_at_ms: 0,
            unreadable_since_ms: None,
            given_up: 0,
            forget_at_ms: None,
            uncounted: 0,
            entry_uncounted: false,
            lost_total: 0,
        })
    }

    /// Number of this boot, from 1.
    pub const fn boot(&self) -> u32 {
        self.ring.boot()
    }

    /// Crashes in a row, the one before this boot included.
    pub const fn crashes(&self) -> u8 {
        self.ring.crashes()
    }

    /// The last confirmation of an access list.
    pub const fn confirmed(&self) -> Confirmed {
        self.ring.confirmed()
    }

    /// Events not yet acknowledged.
    pub const fn pending(&self) -> usize {
        (self.last - self.acked) as usize
    }

    /// Events that could be sent once more, also after a power cut: those not acknowledged, and
    /// those whose acknowledgement is not written down. The controller takes what is not among
    /// them for released, and a later repetition for a forgery.
    pub fn unreleased(&self) -> usize {
        (self.last - self.ring.acked().max(self.given_up)) as usize
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
    pub fn push(&mut self, memory: &mut impl Memory, body: &Up, rank: Rank, stamp: Stamp) {
        self.settle_losses(memory, stamp);
        let places = match rank {
            Rank::Common => COMMON,
            Rank::Entry => SLOTS - 1,
        };
        let event = self.event(body, stamp);
        if self.pending() >= places || !self.append(memory, event) {
            self.uncounted = self.uncounted.saturating_add(1);
            self.entry_uncounted |= rank == Rank::Entry;
            self.lost_total = self.lost_total.saturating_add(1);
            self.settle_losses(memory, stamp);
        }
    }

    /// Brings the count of losses into the memory, as far as there is a place: before a restart
    /// that is asked for.
    pub fn flush_losses(&mut self, memory: &mut impl Memory, stamp: Stamp) {
        self.entry_uncounted |= self.uncounted > 0;
        self.settle_losses(memory, stamp);
        if let Some(loss) = self.loss.as_mut().filter(|loss| loss.stored != loss.count)
            && self.ring.store(memory, &loss.event).is_ok()
        {
            loss.stored = loss.count;
        }
    }

    /// Writes down losses as soon as there is a place for the record.
    pub fn settle_losses(&mut self, memory: &mut impl Memory, stamp: Stamp) {
        if self.uncounted == 0 {
            return;
        }
        // A record of its own for every contact that is dropped would fill the places of the entries.
        let places = if self.entry_uncounted {
            SLOTS
        } else if self.loss.is_some() {
            COMMON
        } else {
            COMMON + 1
        };
        let has_place = self.pending() < places;
        match &mut self.loss {
            // Not yet on its way: the record may still grow.
            Some(loss) if loss.event.seq > self.offered => {
                let count = loss.count.saturating_add(self.uncounted);
                // At powers of two only, or a contact that chatters for days wears out one page.
                let write_now = count.leading_zeros() != loss.count.leading_zeros();
                loss.count = count;
                loss.event.body = lost_body(count);
                self.uncounted = 0;
                self.entry_uncounted = false;
                if write_now && self.ring.store(memory, &loss.event).is_ok() {
                    loss.stored = count;
                }
            }
            // On its way, and only RAM knows its count: it has the place until the memory works.
            Some(loss) if loss.stored != loss.count => {}
            _ if has_place => {
                let count = self.uncounted;
                let event = self.event(&Up::Lost { count }, stamp);
                let stored = self.ring.store(memory, &event).is_ok();
                self.last = event.seq;
                self.uncounted = 0;
                self.entry_uncounted = false;
                self.loss = Some(Loss {
                    event,
                    count,
                    stored: if stored { count } else { 0 },
                });
            }
            _ => {}
        }
    }

    fn event(&self, body: &Up, stamp: Stamp) -> Event {
        Event {
            seq: self.last.saturating_add(1),
            boot: self.boot(),
            up_ms: stamp.up_ms,
            unix_ms: stamp.unix_ms,
            // `shared` proves that every event body fits.
            body: encode_event(body).unwrap_or_default(),
        }
    }

    /// False when neither memory nor cache take it.
    fn append(&mut self, memory: &mut impl Memory, event: Event) -> bool {
        let stored = self.ring.store(memory, &event).is_ok();
        let seq = event.seq;
        if self.cache.is_full()
            && let Some(kept) = self.cache.iter().position(|cached| cached.stored)
        {
            // It is in the memory; the order of the others stays.
            self.cache.remove(kept);
        }
        let cached = self.cache.push(Cached { event, stored }).is_ok();
        if stored || cached {
            self.last = seq;
        }
        stored || cached
    }

    /// A new connection: everything not acknowledged is sent again.
    pub const fn connected(&mut self) {
        self.cursor = self.acked;
        self.resend_at_ms = None;
        self.resend_wait_ms = RESEND_FIRST_MS;
    }

    /// The next event to send, in order; it counts as sent.
    pub fn next_to_send(&mut self, memory: &mut impl Memory, now_ms: u64) -> Option<Event> {
        if self.resend_at_ms.is_some_and(|at| now_ms >= at) {
            self.cursor = self.acked;
            self.resend_at_ms = None;
            self.resend_wait_ms = (self.resend_wait_ms * 2).min(RESEND_MAX_MS);
        }
        if self.unreadable_since_ms.is_some() && now_ms < self.again_at_ms {
            return None;
        }
        // At most SLOTS rounds: so many events are kept.
        while self.cursor < self.last {
            let seq = self.cursor + 1;
            match self.find(memory, seq) {
                Ok(Some(event)) => {
                    self.unreadable_since_ms = None;
                    self.cursor = seq;
                    self.offered = self.offered.max(seq);
                    self.resend_at_ms.get_or_insert(now_ms + self.resend_wait_ms);
                    return Some(event);
                }
                // It rotted: a gap, and the controller reports gaps. At the front it is not waited for.
                Ok(None) => {
                    self.unreadable_since_ms = None;
                    self.cursor = seq;
                    if seq == self.acked + 1 {
                        self.acked = seq;
                        self.forget_at_ms.get_or_insert(now_ms + FORGET_IDLE_MS);
                    }
                }
                Err(MemoryFault) => {
                    let since_ms = *self.unreadable_since_ms.get_or_insert(now_ms);
                    if now_ms.saturating_sub(since_ms) < GIVE_UP_MS || !self.give_up() {
                        self.again_at_ms = now_ms + STORE_RETRY_MS;
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Passes over the events that are only in the dead memory, to the first one that RAM holds;
    /// they are lost and counted. False when RAM holds none: then nothing waits for them.
    fn give_up(&mut self) -> bool {
        let held = self.cache.iter().map(|cached| cached.event.seq);
        let held = held.chain(self.loss.as_ref().map(|loss| loss.event.seq));
        let Some(next) = held.filter(|seq| *seq > self.cursor).min() else {
            return false;
        };
        let lost = next - 1 - self.cursor;
        self.uncounted = self.uncounted.saturating_add(lost);
        self.entry_uncounted = true;
        self.lost_total = self.lost_total.saturating_add(lost);
        self.cursor = next - 1;
        self.acked = next - 1;
        self.given_up = next - 1;
        self.unreadable_since_ms = None;
        true
    }

    fn find(&mut self, memory: &mut impl Memory, seq: u32) -> Result<Option<Event>, MemoryFault> {
        if let Some(loss) = self.loss.as_mut().filter(|loss| loss.event.seq == seq) {
            // From now on it does not grow any more: its exact count is worth a write.
            if loss.stored != loss.count && self.ring.store(memory, &loss.event).is_ok() {
                loss.stored = loss.count;
            }
            return Ok(Some(loss.event.clone()));
        }
        if let Some(cached) = self.cache.iter().find(|cached| cached.event.seq == seq) {
            return Ok(Some(cached.event.clone()));
        }
        self.ring.load(memory, seq)
    }

    /// True when [`Self::next_to_send`] would give something, or has to try.
    pub const fn wants_to_send(&self, now_ms: u64) -> bool {
        let resend = match self.resend_at_ms {
            Some(at) => now_ms >= at,
            None => false,
        };
        if self.unreadable_since_ms.is_some() && now_ms < self.again_at_ms {
            return false;
        }
        self.last > self.cursor || (resend && self.last > self.acked)
    }

    /// The controller has committed everything up to `upto`. What was never offered cannot have
    /// been committed, so a number from beyond (another life of this node's memory) counts only
    /// as far as we have sent.
    pub fn acknowledged(&mut self, memory: &mut impl Memory, upto: u32, now_ms: u64) {
        let upto = upto.min(self.offered);
        if upto <= self.acked {
            return;
        }
        self.cache.retain(|cached| cached.event.seq > upto);
        if self.loss.as_ref().is_some_and(|loss| loss.event.seq <= upto) {
            self.loss = None;
        }
        self.acked = upto;
        self.cursor = self.cursor.max(upto);
        self.resend_wait_ms = RESEND_FIRST_MS;
        self.resend_at_ms = (self.cursor > upto).then_some(now_ms + RESEND_FIRST_MS);
        self.forget_at_ms = Some(now_ms + FORGET_IDLE_MS);
        if upto - self.ring.acked() >= FORGET_BATCH {
            self.forget(memory, now_ms);
        }
    }

    /// Writes down what is acknowledged, now.
    pub fn forget(&mut self, memory: &mut impl Memory, now_ms: u64) {
        self.forget_at_ms = (self.acked > self.ring.acked() && self.ring.forget(memory, self.acked).is_err())
            .then_some(now_ms + STORE_RETRY_MS);
    }

    /// Tries once more to store what the memory had refused, and writes acknowledgements down that
    /// have waited long enough.
    pub fn maintain(&mut self, memory: &mut impl Memory, now_ms: u64) {
        if self.forget_at_ms.is_some_and(|at| now_ms >= at) {
            self.forget(memory, now_ms);
        }
        if now_ms < self.again_at_ms || !self.has_unstored() {
            return;
        }
        self.again_at_ms = now_ms + STORE_RETRY_MS;
        for cached in self.cache.iter_mut().filter(|cached| !cached.stored) {
            if self.ring.store(memory, &cached.event).is_err() {
                return;
            }
            cached.stored = true;
        }
        if let Some(loss) = &mut self.loss
            && is_unstored(loss, self.offered)
            && self.ring.store(memory, &loss.event).is_ok()
        {
            loss.stored = loss.count;
        }
    }

    fn has_unstored(&self) -> bool {
        self.cache.iter().any(|cached| !cached.stored)
            || self
                .loss
                .as_ref()
                .is_some_and(|loss| is_unstored(loss, self.offered))
    }

    /// When [`Self::maintain`] is due though nothing new happens.
    pub fn next_maintain(&self) -> Option<u64> {
        let again = self.has_unstored().then_some(self.again_at_ms);
        [again, self.forget_at_ms].into_iter().flatten().min()
    }

    /// When [`Self::next_to_send`] is due though nothing new happens.
    pub fn next_send(&self) -> Option<u64> {
        let again = self.unreadable_since_ms.map(|_| self.again_at_ms);
        [self.resend_at_ms, again].into_iter().flatten().min()
    }

    /// See [`Ring::confirm`].
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be stored.
    pub fn confirm(&mut self, memory: &mut impl Memory, confirmed: Confirmed) -> Result<(), MemoryFault> {
        self.ring.confirm(memory, confirmed)
    }

    /// See [`Ring::forget_crashes`].
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be stored.
    pub fn forget_crashes(&mut self, memory: &mut impl Memory) -> Result<(), MemoryFault> {
        self.ring.forget_crashes(memory)
    }
}

/// A growing record is written at powers of two; one on its way must be exact.
const fn is_unstored(loss: &Loss, offered: u32) -> bool {
    loss.stored == 0 || (loss.event.seq <= offered && loss.stored != loss.count)
}

fn lost_body(count: u32) -> Body {
    encode_event(&Up::Lost { count }).unwrap_or_default()
}

#[cfg(test)]
mod tests;

//! The access list in the node's memory.
//!
//! ```text
//! bank    head record (192 bytes), then up to 500 entries of 16 bytes, sorted by card id
//! record  generation u32 | head [108] | digest [16] | committed u32 | CRC-32
//!
//! Begin: the idle bank's record is broken -> Entries fill it -> Commit: read back, sorted? digest?
//!        -> its record is written: from that moment on this bank decides, and the other is idle
//!        -> the record of the other is broken
//! ```
//! Of two valid records the one of the higher generation counts, so a power cut at any byte of an
//! update leaves the old list or the new one, each of them whole. What is under way is forgotten
//! by a restart; the controller begins again.
//!
//! An old list never comes back: once the new one is in force the record of the old one is broken,
//! and a list that rots takes its record with it. Cards that were revoked since would open again.
//! Without a list nobody enters by card, the event says so, and the controller sends it.
//!
//! A look-up reads sixteen bytes a probe, at most nine times for 500 cards, and believes nothing
//! that it has not read twice. Digests are checked a piece at a time ([`List::step`]), because half
//! a second of reading would hold up the door: at the start and once a day. From the start to the
//! end of the check, a second or so, the list decides unproven; where the memory does not let the
//! check come to its end, it stops deciding after [`UNPROVEN_TRIES`].
//!
//! The node confirms nothing by itself: the age of a list is the time since the controller, which
//! alone knows whether it is still the right one, said so.

use crate::STORE_RETRY_MS;
use crate::layout::{BANK_AT, BANK_LEN};
use crate::memory::{Memory, MemoryFault, write_verified};
use core::cmp::Ordering;
use shared::access::{CardId, Digest, ENTRY_LEN, Entry, HEAD_LEN, ListHead};
use shared::crc::crc32;
use shared::limit::{DIGEST_LEN, MAX_CARDS};
use shared::wire::{Entries, ListEvent, ListProblem};

/// Bytes before the entries of a bank.
const ENTRIES_AT: u16 = 192;
const DIGEST_AT: usize = 4 + HEAD_LEN;
const COMMITTED_AT: usize = DIGEST_AT + DIGEST_LEN;
const CRC_AT: usize = COMMITTED_AT + 4;
const RECORD_LEN: usize = CRC_AT + 4;
/// Stands in the place of the checksum of a record that we broke.
const BROKEN: [u8; 4] = [0xff; 4];
/// Entries that are checked in one step: 256 bytes, 6 ms on a bus of 400 kHz.
const STEP: u16 = 16;
/// Readings of a list in force that must agree that it is rotten before it is dropped.
const ROTTEN_AFTER: u8 = 2;
/// Attempts to check a list, one each [`STORE_RETRY_MS`], after which it decides no more until it
/// could be read to its end.
pub const UNPROVEN_TRIES: u8 = 60;
/// Time between two checks of the list in force, in milliseconds.
pub const CHECK_EVERY_MS: u64 = 24 * 3_600_000;
/// Attempts to read the same twice.
const READINGS: usize = 4;

const _: () = assert!(RECORD_LEN <= ENTRIES_AT as usize);
const _: () = assert!(ENTRIES_AT as usize + MAX_CARDS * ENTRY_LEN <= BANK_LEN as usize);

/// The list in force.
#[derive(Debug)]
struct Active {
    bank: usize,
    generation: u32,
    head: ListHead,
    digest: [u8; DIGEST_LEN],
    committed_unix_s: u32,
}

/// The list under way.
#[derive(Debug)]
struct Incoming {
    head: ListHead,
    have: u16,
}

/// Reads a bank and compares what it finds.
#[derive(Debug)]
struct Check {
    bank: usize,
    count: u16,
    at: u16,
    digest: Digest,
    last: Option<CardId>,
    expected: [u8; DIGEST_LEN],
}

/// What there is to do piece by piece.
#[derive(Debug)]
enum Work {
    None,
    /// The list in force, after the start and once a day.
    Boot {
        check: Check,
        failures: u8,
    },
    /// The list under way, before it counts.
    Commit {
        check: Check,
    },
}

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Version of the list under way, 0 for none.
    pub version: u32,
    /// Entries that are in.
    pub have: u16,
}

/// The two banks.
#[derive(Debug)]
pub struct List {
    active: Option<Active>,
    incoming: Option<Incoming>,
    work: Work,
    /// When a memory that refused is tried again.
    again_at_ms: u64,
    /// When the list in force is to be checked.
    check_at_ms: u64,
    /// Checks in a row that the memory did not let come to their end.
    stalled: u8,
    /// Banks whose record is to be broken: it must not count after a restart.
    unwanted: [bool; 2],
    /// Highest generation in either bank.
    highest: u32,
    /// A list was found of which the record is rotten; to be told.
    lost: bool,
}

impl List {
    /// Finds the list in force.
    ///
    /// # Errors
    /// [`MemoryFault`] when the memory does not answer.
    pub fn open(memory: &mut impl Memory) -> Result<Self, MemoryFault> {
        let mut active: Option<Active> = None;
        let mut unwanted = [false; 2];
        let mut rotten = false;
        for bank in 0..BANK_AT.len() {
            match read_record(memory, bank)? {
                Record::Valid(found) => {
                    // Generations may wrap; the two banks are never far from each other.
                    let newer = active
                        .as_ref()
                        .is_none_or(|known| found.generation.wrapping_sub(known.generation) as i32 > 0);
                    if newer && let Some(older) = active.replace(found) {
                        unwanted[older.bank] = true;
                    }
                    unwanted[bank] = !newer;
                }
                Record::Rotten => rotten = true,
                Record::None => {}
            }
        }
        let mut list = Self {
            highest: active.as_ref().map_or(0, |active| active.generation),
            // Beside a valid one it is an update that the power did not let end.
            lost: rotten && active.is_none(),
            active,
            incoming: None,
            work: Work::None,
            again_at_ms: 0,
            check_at_ms: 0,
            stalled: 0,
            unwanted,
        };
        list.begin_check();
        Ok(list)
    }

    fn begin_check(&mut self) {
        if let Some(active) = &self.active {
            self.work = Work::Boot {
                check: Check::new(active.bank, &active.head, active.digest),
                failures: 0,
            };
        }
    }

    /// The head of the list in force.
    #[must_use]
    pub fn head(&self) -> Option<&ListHead> {
        self.active.as_ref().map(|active| &active.head)
    }

    /// Version of the list in force, 0 for none.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.head().map_or(0, |head| head.version)
    }

    /// When the list in force was committed, in seconds since 1970 UTC; 0: the clock was not set.
    #[must_use]
    pub fn committed_unix_s(&self) -> u32 {
        self.active.as_ref().map_or(0, |active| active.committed_unix_s)
    }

    /// How far the list under way has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.incoming
            .as_ref()
            .map_or(Progress { version: 0, have: 0 }, |incoming| Progress {
                version: incoming.head.version,
                have: incoming.have,
            })
    }

    /// Finds a card in the list in force.
    ///
    /// # Errors
    /// [`MemoryFault`] when the memory does not answer.
    pub fn find(&self, memory: &mut impl Memory, id: &CardId) -> Result<Option<Entry>, MemoryFault> {
        let Some(active) = &self.active else {
            return Ok(None);
        };
        if self.stalled >= UNPROVEN_TRIES {
            return Err(MemoryFault);
        }
        let mut before = search(memory, active, id)?;
        for _ in 0..READINGS {
            // A card that was found is read again; for one that was not, the whole way is gone
            // again, because one misread leads astray.
            let again = match before {
                Some((place, _)) => {
                    let bytes = read_entry(memory, active.bank, place)?;
                    (Entry::decode(&bytes).id == *id).then_some((place, bytes))
                }
                None => search(memory, active, id)?,
            };
            if again != before {
                before = search(memory, active, id)?;
                continue;
            }
            if let Some((_, bytes)) = again {
                return Ok(Some(Entry::decode(&bytes)));
            }
            // A frozen bus has no card at all; that is not the same as an unknown one.
            return match read_record(memory, active.bank)? {
                Record::Valid(found) if found.generation == active.generation => Ok(None),
                _ => Err(MemoryFault),
            };
        }
        Err(MemoryFault)
    }

    /// A new list begins; one that was under way is dropped.
    pub fn begin(&mut self, memory: &mut impl Memory, head: &ListHead) -> Option<ListEvent> {
        self.abandon();
        let version = head.version;
        if !head.is_sound() {
            return Some(dropped(version, ListProblem::Malformed));
        }
        // The record of an older list must not stand before other entries.
        let bank = self.idle_bank();
        if break_record(memory, bank).is_err() {
            return Some(dropped(version, ListProblem::Memory));
        }
        self.unwanted[bank] = false;
        self.incoming = Some(Incoming {
            head: head.clone(),
            have: 0,
        });
        None
    }

    /// Takes entries of the list under way. Those that do not follow what is there are not taken:
    /// the progress says what is asked for.
    pub fn entries(
        &mut self,
        memory: &mut impl Memory,
        version: u32,
        at: u16,
        entries: &Entries,
    ) -> Option<ListEvent> {
        let bank = self.idle_bank();
        let checking = matches!(self.work, Work::Commit { .. });
        let incoming = self
            .incoming
            .as_mut()
            .filter(|incoming| !checking && incoming.head.version == version)?;
        let end = at.checked_add(entries.len() as u16)?;
        if at > incoming.have || end > incoming.head.count {
            return None;
        }
        // Sent again: what is there stays.
        let known = usize::from(incoming.have - at).min(entries.len());
        for (place, entry) in (at..).zip(entries).skip(known) {
            if write_verified(memory, entry_at(bank, place), entry).is_err() {
                self.abandon();
                return Some(dropped(version, ListProblem::Memory));
            }
            incoming.have = place + 1;
        }
        None
    }

    /// The list under way is complete; checks it, in steps, and then it decides.
    pub fn commit(&mut self, version: u32, digest: [u8; DIGEST_LEN]) -> Option<ListEvent> {
        let bank = self.idle_bank();
        let incoming = self.incoming.as_ref()?;
        if incoming.head.version != version || matches!(self.work, Work::Commit { .. }) {
            return None;
        }
        if incoming.have != incoming.head.count {
            self.abandon();
            return Some(dropped(version, ListProblem::Incomplete));
        }
        self.again_at_ms = 0;
        self.work = Work::Commit {
            check: Check::new(bank, &incoming.head, digest),
        };
        None
    }

    /// Does a piece of what is to be checked; an event when something came out.
    pub fn step(&mut self, memory: &mut impl Memory, unix_s: u32, now_ms: u64) -> Option<ListEvent> {
        if now_ms < self.again_at_ms {
            return None;
        }
        // What is to be checked does not wait for it.
        if self.break_unwanted(memory).is_err() {
            self.again_at_ms = now_ms + STORE_RETRY_MS;
        }
        if core::mem::take(&mut self.lost) {
            // Nobody can say any more which one it was.
            return Some(dropped(0, ListProblem::Memory));
        }
        if matches!(self.work, Work::None) && now_ms >= self.check_at_ms {
            self.begin_check();
        }
        let check = match &mut self.work {
            Work::None => return None,
            Work::Boot { check, .. } | Work::Commit { check } => check,
        };
        let result = match check.step(memory) {
            Ok(None) => return None,
            Ok(Some(result)) => result,
            // A list in force stays until the memory can be read; one under way is given up.
            Err(MemoryFault) if matches!(self.work, Work::Boot { .. }) => {
                self.again_at_ms = now_ms + STORE_RETRY_MS;
                self.stalled = self.stalled.saturating_add(1);
                return None;
            }
            Err(MemoryFault) => Err(ListProblem::Memory),
        };
        match core::mem::replace(&mut self.work, Work::None) {
            Work::None => None,
            Work::Boot { failures, .. } => self.checked_at_boot(memory, result, failures, now_ms),
            Work::Commit { check } => {
                let event = self.checked_to_commit(memory, result, &check, unix_s);
                if matches!(event, ListEvent::Committed { .. }) {
                    self.proven(now_ms);
                }
                Some(event)
            }
        }
    }

    const fn proven(&mut self, now_ms: u64) {
        self.check_at_ms = now_ms + CHECK_EVERY_MS;
        self.stalled = 0;
    }

    fn break_unwanted(&mut self, memory: &mut impl Memory) -> Result<(), MemoryFault> {
        for bank in 0..BANK_AT.len() {
            if self.unwanted[bank] {
                break_record(memory, bank)?;
                self.unwanted[bank] = false;
            }
        }
        Ok(())
    }

    fn checked_at_boot(
        &mut self,
        memory: &mut impl Memory,
        result: Result<(), ListProblem>,
        failures: u8,
        now_ms: u64,
    ) -> Option<ListEvent> {
        let (Err(why), Some(active)) = (result, &self.active) else {
            self.proven(now_ms);
            return None;
        };
        let failures = failures + 1;
        if failures < ROTTEN_AFTER {
            // Perhaps it was the bus.
            self.again_at_ms = now_ms + STORE_RETRY_MS;
            self.work = Work::Boot {
                check: Check::new(active.bank, &active.head, active.digest),
                failures,
            };
            return None;
        }
        let version = active.head.version;
        self.active = None;
        // What was under way was for the bank beside it.
        self.incoming = None;
        // Neither this one nor the one before may be in force after a restart.
        self.unwanted = [true; 2];
        if self.break_unwanted(memory).is_err() {
            self.again_at_ms = now_ms + STORE_RETRY_MS;
        }
        Some(dropped(version, why))
    }

    fn checked_to_commit(
        &mut self,
        memory: &mut impl Memory,
        result: Result<(), ListProblem>,
        check: &Check,
        unix_s: u32,
    ) -> ListEvent {
        // A commit is checked only while a list is under way.
        let Some(Incoming { head, .. }) = self.incoming.take() else {
            return dropped(0, ListProblem::Incomplete);
        };
        let (version, count) = (head.version, head.count);
        let next = Active {
            bank: check.bank,
            generation: self.highest.wrapping_add(1),
            head,
            digest: check.expected,
            committed_unix_s: unix_s,
        };
        let written = result.and_then(|()| write_record(memory, &next).map_err(|_| ListProblem::Memory));
        match written {
            Ok(()) => {
                self.highest = next.generation;
                self.unwanted[1 - next.bank] = true;
                self.active = Some(next);
                // What the memory refuses is tried again by the next step.
                let _ = self.break_unwanted(memory);
                ListEvent::Committed { version, count }
            }
            Err(why) => dropped(version, why),
        }
    }

    /// When [`Self::step`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.lost || self.unwanted.contains(&true) || !matches!(self.work, Work::None) {
            return Some(self.again_at_ms);
        }
        let check = self.active.as_ref().map(|_| self.check_at_ms)?;
        Some(check.max(self.again_at_ms))
    }

    /// The bank that does not decide.
    fn idle_bank(&self) -> usize {
        self.active.as_ref().map_or(0, |active| 1 - active.bank)
    }

    /// Drops what is under way.
    fn abandon(&mut self) {
        self.incoming = None;
        if matches!(self.work, Work::Commit { .. }) {
            self.work = Work::None;
        }
    }
}

impl Check {
    fn new(bank: usize, head: &ListHead, expected: [u8; DIGEST_LEN]) -> Self {
        Self {
            bank,
            count: head.count,
            at: 0,
            digest: Digest::new(head),
            last: None,
            expected,
        }
    }

    /// Reads a piece; what came out when it was the last.
    fn step(&mut self, memory: &mut impl Memory) -> Result<Option<Result<(), ListProblem>>, MemoryFault> {
        let end = self.count.min(self.at + STEP);
        while self.at < end {
            let bytes = read_entry(memory, self.bank, self.at)?;
            let id = Entry::decode(&bytes).id;
            if self.last.is_some_and(|last| last >= id) {
                return Ok(Some(Err(ListProblem::Malformed)));
            }
            self.last = Some(id);
            self.digest.push(&bytes);
            self.at += 1;
        }
        if self.at < self.count {
            return Ok(None);
        }
        let found = self.digest.clone().finish();
        Ok(Some(if found == self.expected {
            Ok(())
        } else {
            Err(ListProblem::Digest)
        }))
    }
}

const fn dropped(version: u32, why: ListProblem) -> ListEvent {
    ListEvent::Dropped { version, why }
}

const fn entry_at(bank: usize, place: u16) -> u16 {
    BANK_AT[bank] + ENTRIES_AT + place * ENTRY_LEN as u16
}

fn read_entry(memory: &mut impl Memory, bank: usize, place: u16) -> Result<[u8; ENTRY_LEN], MemoryFault> {
    let mut bytes = [0; ENTRY_LEN];
    memory.read(entry_at(bank, place), &mut bytes)?;
    Ok(bytes)
}

/// Where a card stands in a list, as one reading has it.
fn search(
    memory: &mut impl Memory,
    list: &Active,
    id: &CardId,
) -> Result<Option<(u16, [u8; ENTRY_LEN])>, MemoryFault> {
    let (mut low, mut high) = (0, list.head.count);
    // Each round halves what is left: at most nine.
    while low < high {
        let middle = low.midpoint(high);
        let bytes = read_entry(memory, list.bank, middle)?;
        match Entry::decode(&bytes).id.cmp(id) {
            Ordering::Equal => return Ok(Some((middle, bytes))),
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
        }
    }
    Ok(None)
}

/// What stands where the record of a bank is.
enum Record {
    Valid(Active),
    /// It was one, or was about to become one.
    Rotten,
    /// Never written, or broken by us.
    None,
}

/// Reads until two readings agree.
fn read_record(memory: &mut impl Memory, bank: usize) -> Result<Record, MemoryFault> {
    let mut before = [0; RECORD_LEN];
    memory.read(BANK_AT[bank], &mut before)?;
    for _ in 0..READINGS {
        let mut record = [0; RECORD_LEN];
        memory.read(BANK_AT[bank], &mut record)?;
        if record == before {
            return Ok(decode_record(bank, &record));
        }
        before = record;
    }
    Err(MemoryFault)
}

fn decode_record(bank: usize, record: &[u8; RECORD_LEN]) -> Record {
    if crc32(&record[..CRC_AT]).to_le_bytes() != record[CRC_AT..] {
        let none = record[CRC_AT..] == BROKEN || record.iter().all(|byte| *byte == record[0]);
        return if none { Record::None } else { Record::Rotten };
    }
    let word = |at: usize| u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
    let (mut head, mut digest) = ([0; HEAD_LEN], [0; DIGEST_LEN]);
    head.copy_from_slice(&record[4..DIGEST_AT]);
    digest.copy_from_slice(&record[DIGEST_AT..COMMITTED_AT]);
    ListHead::decode(&head).map_or(Record::Rotten, |head| {
        Record::Valid(Active {
            bank,
            generation: word(0),
            head,
            digest,
            committed_unix_s: word(COMMITTED_AT),
        })
    })
}

/// From now on there is no list in this bank.
fn break_record(memory: &mut impl Memory, bank: usize) -> Result<(), MemoryFault> {
    write_verified(memory, BANK_AT[bank] + CRC_AT as u16, &BROKEN)
}

/// The commit point.
fn write_record(memory: &mut impl Memory, list: &Active) -> Result<(), MemoryFault> {
    let mut record = [0; RECORD_LEN];
    record[0..4].copy_from_slice(&list.generation.to_le_bytes());
    record[4..DIGEST_AT].copy_from_slice(&list.head.encode());
    record[DIGEST_AT..COMMITTED_AT].copy_from_slice(&list.digest);
    record[COMMITTED_AT..CRC_AT].copy_from_slice(&list.committed_unix_s.to_le_bytes());
    let crc = crc32(&record[..CRC_AT]);
    record[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    write_verified(memory, BANK_AT[list.bank], &record)
}

#[cfg(test)]
mod tests;

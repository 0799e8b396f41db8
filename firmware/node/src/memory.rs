//! Non-volatile bytes, and how to change them so that power may fail at any byte.
//!
//! Every write is read back, because a frozen bus takes writes without complaint. What is replaced
//! in place exists several times ([`Twin`]): the oldest copy is overwritten, one that is half-written
//! has a wrong CRC, and a page that keeps nothing is passed over. Where things lie is told in [`crate::layout`].
//!
//! One memory is shared by the ring, the lists, the configuration and the checkpoint: nothing here
//! owns it, everything borrows it for a call.

use crate::layout::PAGE_LEN;
use core::fmt;
use shared::crc::crc32;

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

impl<M: Memory> Memory for &mut M {
    fn read(&mut self, at: u16, into: &mut [u8]) -> Result<(), MemoryFault> {
        (**self).read(at, into)
    }

    fn write(&mut self, at: u16, bytes: &[u8]) -> Result<(), MemoryFault> {
        (**self).write(at, bytes)
    }
}

/// Bytes that are compared at a time.
const COMPARE_LEN: usize = 64;

/// Writes, and reads back what was written.
///
/// # Errors
/// [`MemoryFault`] when it is not proven to be kept.
pub fn write_verified(memory: &mut impl Memory, at: u16, bytes: &[u8]) -> Result<(), MemoryFault> {
    memory.write(at, bytes)?;
    let mut from = at;
    for part in bytes.chunks(COMPARE_LEN) {
        let mut back = [0; COMPARE_LEN];
        let back = &mut back[..part.len()];
        memory.read(from, back)?;
        if back != part {
            return Err(MemoryFault);
        }
        from = from.saturating_add(part.len() as u16);
    }
    Ok(())
}

const CRC_LEN: usize = 4;
const GENERATION_LEN: usize = 4;

/// Attempts to read the same twice.
const READINGS: usize = 4;

/// `N` bytes that are replaced as a whole: copies in turn, of which the newest valid one counts.
///
/// A copy is a generation (u32), the bytes, and their CRC-32; it has a page of its own. Two pages
/// are enough for a power cut; with more of them the wear is less, and pages may die until two are
/// left.
#[derive(Debug, Clone, Copy)]
pub struct Twin<const N: usize> {
    at: &'static [u16],
    /// Which copy is in force.
    newest: Option<usize>,
    /// The highest generation that may be in the memory, 0 for none.
    highest: u32,
}

impl<const N: usize> Twin<N> {
    const LEN: usize = GENERATION_LEN + N + CRC_LEN;
    const FITS: () = assert!(Self::LEN <= PAGE_LEN as usize);

    /// Nothing is in force at these places, or nothing is known of it.
    pub const fn blank(at: &'static [u16]) -> Self {
        Self {
            at,
            newest: None,
            highest: 0,
        }
    }

    /// Reads what is in force at these places, at least two.
    ///
    /// # Errors
    /// [`MemoryFault`] when the memory does not answer.
    pub fn open(
        memory: &mut impl Memory,
        at: &'static [u16],
    ) -> Result<(Self, Option<[u8; N]>), MemoryFault> {
        let () = Self::FITS;
        let mut twin = Self::blank(at);
        let mut found = None;
        for (which, at) in at.iter().enumerate() {
            if let Some((generation, bytes)) = Self::copy(memory, *at)?
                // Generations may wrap; the copies are never far from each other.
                && (twin.newest.is_none() || generation.wrapping_sub(twin.highest) as i32 > 0)
            {
                twin.newest = Some(which);
                twin.highest = generation;
                found = Some(bytes);
            }
        }
        Ok((twin, found))
    }

    /// Replaces the bytes. After an error those before are still in force, or these; a place that
    /// does not keep them is passed over.
    ///
    /// # Errors
    /// [`MemoryFault`] when they are not proven to be kept in any place.
    pub fn write(&mut self, memory: &mut impl Memory, bytes: &[u8; N]) -> Result<(), MemoryFault> {
        let places = self.at.len();
        let first = self.newest.map_or(0, |which| which + 1);
        // The copy in force is not touched.
        let others = places - usize::from(self.newest.is_some());
        for which in (first..first + others).map(|which| which % places) {
            // What could not be read back may be there all the same: no generation is used twice.
            self.highest = self.highest.wrapping_add(1);
            let mut page = [0; PAGE_LEN as usize];
            let copy = &mut page[..Self::LEN];
            copy[..GENERATION_LEN].copy_from_slice(&self.highest.to_le_bytes());
            copy[GENERATION_LEN..GENERATION_LEN + N].copy_from_slice(bytes);
            let crc = crc32(&copy[..GENERATION_LEN + N]);
            copy[GENERATION_LEN + N..].copy_from_slice(&crc.to_le_bytes());
            if write_verified(memory, self.at[which], copy).is_ok() {
                self.newest = Some(which);
                return Ok(());
            }
        }
        Err(MemoryFault)
    }

    /// True when the memory gives back a copy that it is known to hold: a frozen bus does not.
    pub fn answers(&self, memory: &mut impl Memory) -> bool {
        self.at
            .iter()
            .any(|at| matches!(Self::copy(memory, *at), Ok(Some(_))))
    }

    fn copy(memory: &mut impl Memory, at: u16) -> Result<Option<(u32, [u8; N])>, MemoryFault> {
        let mut page = [0; PAGE_LEN as usize];
        let copy = &mut page[..Self::LEN];
        memory.read(at, copy)?;
        for reading in 1.. {
            let mut again = [0; PAGE_LEN as usize];
            let again = &mut again[..Self::LEN];
            memory.read(at, again)?;
            if again == copy {
                break;
            }
            if reading == READINGS {
                return Err(MemoryFault);
            }
            copy.copy_from_slice(again);
        }
        // All zero is not valid: the CRC-32 of zeros is not zero.
        if crc32(&copy[..GENERATION_LEN + N]).to_le_bytes() != copy[GENERATION_LEN + N..] {
            return Ok(None);
        }
        let generation = u32::from_le_bytes([copy[0], copy[1], copy[2], copy[3]]);
        let mut bytes = [0; N];
        bytes.copy_from_slice(&copy[GENERATION_LEN..GENERATION_LEN + N]);
        Ok(Some((generation, bytes)))
    }
}

/// Memories for tests, also of the other modules.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;
    use crate::layout::MEMORY_LEN;
    use std::{cell::RefCell, rc::Rc};

    /// A chip that outlives the node that uses it.
    #[derive(Debug, Clone)]
    pub(crate) struct Chip(Rc<RefCell<State>>);

    #[derive(Debug, Clone)]
    struct State {
        bytes: Box<[u8]>,
        /// Bytes that can still be written before the power fails.
        budget: Option<usize>,
        frozen: bool,
        written: usize,
        reads: usize,
        /// Reads before the disturbed ones, disturbed ones, and how.
        disturbed: Option<(usize, usize, Disturbed)>,
        /// Pages that keep nothing.
        dead: Vec<u16>,
    }

    /// What a bus does to a read.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Disturbed {
        /// No answer.
        Silent,
        /// One wrong bit.
        Wrong,
    }

    impl Chip {
        pub(crate) fn blank() -> Self {
            Self::holding(vec![0xff; MEMORY_LEN.into()])
        }

        pub(crate) fn holding(mut bytes: Vec<u8>) -> Self {
            bytes.resize(MEMORY_LEN.into(), 0xff);
            Self(Rc::new(RefCell::new(State {
                bytes: bytes.into(),
                budget: None,
                frozen: false,
                written: 0,
                reads: 0,
                disturbed: None,
                dead: Vec::new(),
            })))
        }

        /// A chip of its own with the same content.
        pub(crate) fn copy(&self) -> Self {
            Self(Rc::new(RefCell::new(self.0.borrow().clone())))
        }

        /// The power fails after `bytes` more bytes; `None`: it is back.
        pub(crate) fn cut_after(&self, bytes: Option<usize>) {
            self.0.borrow_mut().budget = bytes;
        }

        /// A frozen bus takes writes, keeps nothing, and reads the same byte for ever.
        pub(crate) fn freeze(&self, frozen: bool) {
            self.0.borrow_mut().frozen = frozen;
        }

        /// `count` reads after the next `skip` are disturbed.
        pub(crate) fn disturb_reads(&self, skip: usize, count: usize, how: Disturbed) {
            self.0.borrow_mut().disturbed = Some((skip, count, how));
        }

        /// All reads are good again.
        pub(crate) fn calm(&self) {
            self.0.borrow_mut().disturbed = None;
        }

        /// The page at `at` keeps what it holds, whatever is written.
        pub(crate) fn kill_page(&self, at: u16) {
            self.0.borrow_mut().dead.push(at / PAGE_LEN);
        }

        pub(crate) fn written(&self) -> usize {
            self.0.borrow().written
        }

        pub(crate) fn reads(&self) -> usize {
            self.0.borrow().reads
        }

        pub(crate) fn flip(&self, at: u16) {
            self.0.borrow_mut().bytes[usize::from(at)] ^= 1;
        }

        pub(crate) fn bytes(&self) -> Vec<u8> {
            self.0.borrow().bytes.to_vec()
        }
    }

    /// Numbers that are the same in every run (xorshift64); the seed is not zero.
    #[derive(Debug)]
    pub(crate) struct Random(pub(crate) u64);

    impl Random {
        pub(crate) fn below(&mut self, sides: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % sides
        }

        pub(crate) fn byte(&mut self) -> u8 {
            self.below(256) as u8
        }
    }

    impl Memory for Chip {
        fn read(&mut self, at: u16, into: &mut [u8]) -> Result<(), MemoryFault> {
            let mut state = self.0.borrow_mut();
            state.reads += 1;
            if state.budget == Some(0) {
                return Err(MemoryFault);
            }
            if state.frozen {
                into.fill(0);
            } else {
                into.copy_from_slice(&state.bytes[usize::from(at)..usize::from(at) + into.len()]);
            }
            match &mut state.disturbed {
                Some((0, 0, _)) | None => Ok(()),
                Some((0, left, how)) => {
                    *left -= 1;
                    match how {
                        Disturbed::Silent => return Err(MemoryFault),
                        Disturbed::Wrong => into[into.len() / 2] ^= 0x10,
                    }
                    Ok(())
                }
                Some((skip, ..)) => {
                    *skip -= 1;
                    Ok(())
                }
            }
        }

        fn write(&mut self, at: u16, bytes: &[u8]) -> Result<(), MemoryFault> {
            let mut state = self.0.borrow_mut();
            for (offset, byte) in bytes.iter().enumerate() {
                match &mut state.budget {
                    Some(0) => return Err(MemoryFault),
                    Some(left) => *left -= 1,
                    None => {}
                }
                let page = (at + offset as u16) / PAGE_LEN;
                if !state.frozen && !state.dead.contains(&page) {
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
    use super::fake::{Chip, Disturbed};
    use super::*;

    static AT: [u16; 2] = [1152, 1216];
    static FOUR: [u16; 4] = [1024, 1088, 1408, 1472];

    fn twin(chip: &Chip) -> (Twin<5>, Option<[u8; 5]>) {
        Twin::open(&mut chip.clone(), &AT).unwrap()
    }

    #[test]
    fn blank_memory_holds_nothing() {
        assert_eq!(twin(&Chip::blank()).1, None);
        assert_eq!(twin(&Chip::holding(vec![0; 32_768])).1, None);
    }

    #[test]
    fn the_last_written_counts_over_many_generations() {
        let chip = Chip::blank();
        for n in 0..=20 {
            let (mut twin, before) = twin(&chip);
            assert_eq!(before, (n > 0).then(|| [n - 1; 5]));
            twin.write(&mut chip.clone(), &[n; 5]).unwrap();
        }
    }

    #[test]
    fn generations_may_wrap() {
        let chip = Chip::blank();
        let mut newest = Twin::<5> {
            at: &AT,
            newest: Some(0),
            highest: u32::MAX - 1,
        };
        for n in 1..=4 {
            newest.write(&mut chip.clone(), &[n; 5]).unwrap();
            assert_eq!(twin(&chip).1, Some([n; 5]));
        }
    }

    #[test]
    fn power_may_fail_at_every_byte_of_a_replacement() {
        let chip = Chip::blank();
        twin(&chip).0.write(&mut chip.clone(), b"first").unwrap();
        for cut in 0..=13 {
            let chip = chip.copy();
            let (mut newest, _) = twin(&chip);
            chip.cut_after(Some(cut));
            // Nobody is there any more to read back what the last byte has completed.
            assert!(newest.write(&mut chip.clone(), b"later").is_err());
            chip.cut_after(None);
            let expected = if cut < 13 { b"first" } else { b"later" };
            assert_eq!(twin(&chip).1.as_ref(), Some(expected), "cut {cut}");
        }
    }

    #[test]
    fn one_rotten_copy_leaves_the_other() {
        let chip = Chip::blank();
        let (mut newest, _) = twin(&chip);
        newest.write(&mut chip.clone(), b"first").unwrap();
        newest.write(&mut chip.clone(), b"later").unwrap();
        for (at, left) in [(AT[0], b"later"), (AT[1], b"first")] {
            let chip = chip.copy();
            chip.flip(at + 6);
            assert_eq!(twin(&chip).1.as_ref(), Some(left));
            assert!(newest.answers(&mut chip.clone()));
        }
        chip.freeze(true);
        assert!(!newest.answers(&mut chip.clone()));
    }

    #[test]
    fn dead_pages_are_passed_over_and_what_they_hold_is_never_newer() {
        for dead in 0..1_usize << FOUR.len() {
            if dead.count_ones() > 2 {
                continue;
            }
            let chip = Chip::blank();
            for n in 1..=20 {
                if n == 7 {
                    // They keep what they hold.
                    (0..FOUR.len())
                        .filter(|page| dead & 1 << page != 0)
                        .for_each(|page| chip.kill_page(FOUR[page]));
                }
                let (mut twin, before) = Twin::<5>::open(&mut chip.clone(), &FOUR).unwrap();
                assert_eq!(before, (n > 1).then(|| [n - 1; 5]), "dead {dead:b}");
                twin.write(&mut chip.clone(), &[n; 5]).unwrap();
            }
        }
    }

    #[test]
    fn a_copy_that_could_not_be_read_back_never_stands_beside_another_of_its_generation() {
        for skip in 0..6 {
            for how in [Disturbed::Silent, Disturbed::Wrong] {
                let chip = Chip::blank();
                let (mut twin, _) = Twin::<5>::open(&mut chip.clone(), &FOUR).unwrap();
                twin.write(&mut chip.clone(), b"first").unwrap();
                chip.disturb_reads(skip, 4, how);
                let _ = twin.write(&mut chip.clone(), b"later");
                chip.calm();
                twin.write(&mut chip.clone(), b"third").unwrap();
                let read = Twin::<5>::open(&mut chip.clone(), &FOUR).unwrap().1;
                assert_eq!(read.as_ref(), Some(b"third"), "{how:?} after {skip}");
            }
        }
    }

    #[test]
    fn one_misread_does_not_bring_back_what_was_before() {
        let chip = Chip::blank();
        twin(&chip).0.write(&mut chip.clone(), b"first").unwrap();
        twin(&chip).0.write(&mut chip.clone(), b"later").unwrap();
        for skip in 0..4 {
            chip.disturb_reads(skip, 1, Disturbed::Wrong);
            assert_eq!(twin(&chip).1.as_ref(), Some(b"later"), "read {skip}");
        }
    }

    #[test]
    fn a_frozen_bus_does_not_count_as_written() {
        let chip = Chip::blank();
        chip.freeze(true);
        assert_eq!(write_verified(&mut chip.clone(), 0, &[1; 200]), Err(MemoryFault));
        chip.freeze(false);
        assert_eq!(write_verified(&mut chip.clone(), 0, &[1; 200]), Ok(()));
    }
}

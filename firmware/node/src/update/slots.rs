//! Where a new image lies until it takes the place of the running one.
//!
//! ```text
//! flash = bootloader | loader's notes | running image | spare slot (one page longer)
//! ```
//! The bootloader (embassy-boot) swaps the two slots page by page, going on after a power cut, and
//! swaps them back when the new image was not settled by the time of the next restart.
//! [`Slots`] is what the update needs of that; [`NorSlots`] is embassy-boot on any NOR flash, the
//! same code on the boards and, over a flash in RAM whose power fails, in the tests.
//! [`NoSlots`] is a board that cannot be updated.

use core::fmt;

/// The flash did not do what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotFault;

impl fmt::Display for SlotFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the flash of the new image cannot be read or written")
    }
}

impl core::error::Error for SlotFault {}

/// What the bootloader did last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// Nothing: the running image is the settled one.
    Settled,
    /// It swapped; the running image is on trial and is swapped back at the next restart.
    Trial,
    /// It swapped back.
    Reverted,
}

/// The spare slot and the bootloader's notes.
pub trait Slots {
    /// False for a board without a place for a second image: then nothing of a transfer is
    /// compiled for it.
    const THERE: bool = true;

    /// Bytes of the longest image that fits; zero when the board cannot be updated.
    fn room(&self) -> u32;

    /// Bytes that are erased at once.
    fn page(&self) -> u32;

    /// Erases the page of the spare slot that begins at `at`.
    ///
    /// # Errors
    /// [`SlotFault`].
    fn erase(&mut self, at: u32) -> Result<(), SlotFault>;

    /// Writes to erased bytes of the spare slot. `at` is a multiple of [`super::ALIGN`]; what is
    /// missing to a multiple of it at the end is filled up.
    ///
    /// # Errors
    /// [`SlotFault`].
    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), SlotFault>;

    /// Reads from the spare slot.
    ///
    /// # Errors
    /// [`SlotFault`].
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), SlotFault>;

    /// What the bootloader did last.
    ///
    /// # Errors
    /// [`SlotFault`].
    fn loader(&mut self) -> Result<Loader, SlotFault>;

    /// Lets the bootloader swap at the next restart.
    ///
    /// # Errors
    /// [`SlotFault`].
    fn mark_swap(&mut self) -> Result<(), SlotFault>;

    /// The running image is good: it stays.
    ///
    /// # Errors
    /// [`SlotFault`].
    fn mark_booted(&mut self) -> Result<(), SlotFault>;
}

/// A board without a place for a second image. Every call but the questions fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSlots;

impl Slots for NoSlots {
    const THERE: bool = false;

    fn room(&self) -> u32 {
        0
    }

    fn page(&self) -> u32 {
        0
    }

    fn erase(&mut self, _: u32) -> Result<(), SlotFault> {
        Err(SlotFault)
    }

    fn write(&mut self, _: u32, _: &[u8]) -> Result<(), SlotFault> {
        Err(SlotFault)
    }

    fn read(&mut self, _: u32, _: &mut [u8]) -> Result<(), SlotFault> {
        Err(SlotFault)
    }

    fn loader(&mut self) -> Result<Loader, SlotFault> {
        Ok(Loader::Settled)
    }

    fn mark_swap(&mut self) -> Result<(), SlotFault> {
        Err(SlotFault)
    }

    fn mark_booted(&mut self) -> Result<(), SlotFault> {
        Err(SlotFault)
    }
}

#[cfg(any(feature = "update", test))]
pub use nor::NorSlots;

#[cfg(any(feature = "update", test))]
mod nor {
    use super::{Loader, SlotFault, Slots};
    use crate::update::ALIGN;
    use embassy_boot::{AlignedBuffer, BlockingFirmwareState, State};
    use embedded_storage::nor_flash::NorFlash;

    /// The spare slot and the notes of embassy-boot, as two partitions of NOR flash.
    #[derive(Debug)]
    pub struct NorSlots<D, S> {
        spare: D,
        notes: S,
    }

    impl<D: NorFlash, S: NorFlash> NorSlots<D, S> {
        /// `spare`: the slot that is not running, with its page of room to swap. `notes`: the
        /// bootloader's.
        pub const fn new(spare: D, notes: S) -> Self {
            const {
                assert!(D::WRITE_SIZE <= ALIGN && ALIGN.is_multiple_of(D::WRITE_SIZE));
                assert!(S::WRITE_SIZE <= ALIGN);
            }
            Self { spare, notes }
        }
    }

    /// The bootloader's notes, with room for one of its words.
    fn state<'a, S: NorFlash>(
        notes: &'a mut S,
        word: &'a mut AlignedBuffer<ALIGN>,
    ) -> BlockingFirmwareState<'a, &'a mut S> {
        BlockingFirmwareState::new(notes, &mut word.0[..S::WRITE_SIZE])
    }

    impl<D: NorFlash, S: NorFlash> Slots for NorSlots<D, S> {
        fn room(&self) -> u32 {
            // The last page is the bootloader's while it swaps.
            self.spare.capacity().saturating_sub(D::ERASE_SIZE) as u32
        }

        fn page(&self) -> u32 {
            D::ERASE_SIZE as u32
        }

        fn erase(&mut self, at: u32) -> Result<(), SlotFault> {
            self.spare
                .erase(at, at + D::ERASE_SIZE as u32)
                .map_err(|_| SlotFault)
        }

        fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), SlotFault> {
            let mut buffer = AlignedBuffer([0xff; ALIGN]);
            for (at, unit) in (at..).step_by(ALIGN).zip(bytes.chunks(ALIGN)) {
                buffer.0.fill(0xff);
                buffer.0[..unit.len()].copy_from_slice(unit);
                let len = unit.len().next_multiple_of(D::WRITE_SIZE);
                self.spare.write(at, &buffer.0[..len]).map_err(|_| SlotFault)?;
            }
            Ok(())
        }

        fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), SlotFault> {
            self.spare.read(at, into).map_err(|_| SlotFault)
        }

        fn loader(&mut self) -> Result<Loader, SlotFault> {
            let mut word = AlignedBuffer([0; ALIGN]);
            let found = state(&mut self.notes, &mut word).get_state();
            Ok(match found.map_err(|_| SlotFault)? {
                State::Swap => Loader::Trial,
                State::Revert => Loader::Reverted,
                State::Boot | State::DfuDetach => Loader::Settled,
            })
        }

        fn mark_swap(&mut self) -> Result<(), SlotFault> {
            let mut word = AlignedBuffer([0; ALIGN]);
            state(&mut self.notes, &mut word)
                .mark_updated()
                .map_err(|_| SlotFault)
        }

        fn mark_booted(&mut self) -> Result<(), SlotFault> {
            let mut word = AlignedBuffer([0; ALIGN]);
            state(&mut self.notes, &mut word)
                .mark_booted()
                .map_err(|_| SlotFault)
        }
    }
}

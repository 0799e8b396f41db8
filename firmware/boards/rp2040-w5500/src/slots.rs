//! Where everything lies in flash; the same for the node and its bootloader.
//!
//! ```text
//! 0x000000  first stage, 256 bytes     0x000100  bootloader, to 24 KiB
//! 0x006000  bootloader's notes, 4 KiB  0x007000  running image, 768 KiB
//! 0x0c7000  spare slot, 772 KiB: one page longer, for swapping
//! ```

use core::cell::RefCell;
use embassy_embedded_hal::flash::partition::BlockingPartition;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_storage::nor_flash::NorFlash;

/// Bytes of flash of the W5500-EVB-Pico.
pub(crate) const FLASH_LEN: usize = 2 * 1024 * 1024;
/// Bytes that are erased at once.
const PAGE: u32 = 4096;
const NOTES: (u32, u32) = (0x6000, PAGE);
/// The running image: place and length.
pub(crate) const ACTIVE: (u32, u32) = (0x7000, 768 * 1024);
const SPARE: (u32, u32) = (ACTIVE.0 + ACTIVE.1, ACTIVE.1 + PAGE);
const _: () = assert!(NOTES.0 + NOTES.1 == ACTIVE.0);
const _: () = assert!(SPARE.0 as usize + SPARE.1 as usize <= FLASH_LEN);

/// One flash that several partitions share.
pub(crate) type Shared<F> = Mutex<NoopRawMutex, RefCell<F>>;
/// A part of a shared flash.
pub(crate) type Partition<F> = BlockingPartition<'static, NoopRawMutex, F>;

/// The spare slot.
pub(crate) const fn spare<F: NorFlash>(flash: &'static Shared<F>) -> Partition<F> {
    BlockingPartition::new(flash, SPARE.0, SPARE.1)
}

/// The bootloader's notes.
pub(crate) const fn notes<F: NorFlash>(flash: &'static Shared<F>) -> Partition<F> {
    BlockingPartition::new(flash, NOTES.0, NOTES.1)
}

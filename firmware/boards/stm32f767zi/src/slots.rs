//! Where everything lies in flash; the same for the node and its bootloader.
//!
//! ```text
//! sectors 0..3   4 x  32 KiB  0x08000000  bootloader
//! sector  4          128 KiB  0x08020000  bootloader's notes
//! sectors 5..7   3 x 256 KiB  0x08040000  running image
//! sectors 8..11  4 x 256 KiB  0x08100000  spare slot: one sector longer, for swapping
//! ```
//! Sectors: reference manual RM0410, section 3.3.2. While one is erased (1 to 2 s), the core
//! stands still, because it runs from the same bank.

use core::cell::RefCell;
use embassy_embedded_hal::flash::partition::BlockingPartition;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_storage::nor_flash::NorFlash;

/// Bytes of a large sector.
const SECTOR: u32 = 256 * 1024;
/// The running image, from the first large sector: place and length.
pub(crate) const ACTIVE: (u32, u32) = (0, 3 * SECTOR);
const SPARE: (u32, u32) = (ACTIVE.1, 4 * SECTOR);
const NOTES: (u32, u32) = (0, 128 * 1024);

/// One kind of sectors that several partitions share.
pub(crate) type Shared<F> = Mutex<NoopRawMutex, RefCell<F>>;
/// A part of them.
pub(crate) type Partition<F> = BlockingPartition<'static, NoopRawMutex, F>;

/// The spare slot, of the large sectors.
pub(crate) const fn spare<F: NorFlash>(large: &'static Shared<F>) -> Partition<F> {
    BlockingPartition::new(large, SPARE.0, SPARE.1)
}

/// The bootloader's notes: the middle sector.
pub(crate) const fn notes<F: NorFlash>(middle: &'static Shared<F>) -> Partition<F> {
    BlockingPartition::new(middle, NOTES.0, NOTES.1)
}

//! The bootloader: swaps the slots when an image is staged, swaps them back when the image on
//! trial was not settled, and starts what then lies in the first one.
//!
//! embassy-boot does the work, page by page, and goes on where it was after a power cut. It checks
//! no signature: only the running image writes the spare slot, and it does. The watchdog is
//! started here, so that also an image that hangs at once is taken back.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[path = "../slots.rs"]
mod slots;

use core::cell::RefCell;
use cortex_m_rt::entry;
use embassy_boot_rp::{BootLoader, BootLoaderConfig, WatchdogFlash};
use embassy_embedded_hal::flash::partition::BlockingPartition;
use embassy_sync::blocking_mutex::Mutex;
use embassy_time::Duration;
use slots::{ACTIVE, FLASH_LEN, notes, spare};
use static_cell::StaticCell;

/// Longest time between two steps, and for an image to take the watchdog over: the most that the
/// RP2040's counts to is 8.3 s (data sheet section 4.7).
const WATCHDOG: Duration = Duration::from_secs(8);
/// Where flash is seen by the core (data sheet section 2.2).
const FLASH_BASE: u32 = 0x1000_0000;

#[entry]
fn main() -> ! {
    static FLASH: StaticCell<slots::Shared<WatchdogFlash<'static, FLASH_LEN>>> = StaticCell::new();

    let chip = embassy_rp::init(embassy_rp::config::Config::default());
    let flash = WatchdogFlash::start(chip.FLASH, chip.WATCHDOG, WATCHDOG);
    let flash = &*FLASH.init(Mutex::new(RefCell::new(flash)));
    let loader: BootLoader = BootLoader::prepare(BootLoaderConfig {
        active: BlockingPartition::new(flash, ACTIVE.0, ACTIVE.1),
        dfu: spare(flash),
        state: notes(flash),
    });
    start(loader)
}

#[allow(unsafe_code)]
fn start(loader: BootLoader) -> ! {
    // SAFETY: the slot holds a program linked for this place; nothing of ours is used any more.
    unsafe { loader.load(FLASH_BASE + ACTIVE.0) }
}

/// Flash that does not answer: the watchdog begins anew.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::nop();
    }
}

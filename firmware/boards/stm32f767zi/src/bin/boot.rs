//! The bootloader: swaps the slots when an image is staged, swaps them back when the image on
//! trial was not settled, and starts what then lies in the first one.
//!
//! embassy-boot does the work, sector by sector, and goes on where it was after a power cut. It
//! checks no signature: only the running image writes the spare slot, and it does. The watchdog is
//! started here, so that also an image that hangs at once is taken back.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[path = "../slots.rs"]
mod slots;

use core::cell::RefCell;
use cortex_m_rt::entry;
use embassy_boot_stm32::{BootLoader, BootLoaderConfig};
use embassy_embedded_hal::flash::partition::BlockingPartition;
use embassy_stm32::flash::{Bank1Region2, Bank1Region3, Blocking, Flash};
use embassy_stm32::peripherals::IWDG;
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_sync::blocking_mutex::Mutex;
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use slots::{ACTIVE, notes, spare};
use static_cell::StaticCell;

/// Longest time between two steps, and for an image to take the watchdog over, in microseconds; a
/// sector takes 4 s to erase at worst (data sheet DS11532, table 49).
const WATCHDOG_US: u32 = 20_000_000;
/// Bytes that are copied at once.
const COPY: usize = 2048;
/// Where the large sectors begin for the core.
const LARGE_BASE: u32 = 0x0804_0000;

type Large = Fed<Bank1Region3<'static, Blocking>>;
type Middle = Bank1Region2<'static, Blocking>;

/// A flash whose every change feeds the watchdog: while it is swapped nothing else does.
struct Fed<F> {
    flash: F,
    watchdog: IndependentWatchdog<'static, IWDG>,
}

impl<F: ErrorType> ErrorType for Fed<F> {
    type Error = F::Error;
}

impl<F: ReadNorFlash> ReadNorFlash for Fed<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        self.flash.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl<F: NorFlash> NorFlash for Fed<F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        self.watchdog.pet();
        self.flash.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        self.watchdog.pet();
        self.flash.write(offset, bytes)
    }
}

#[entry]
fn main() -> ! {
    static LARGE: StaticCell<slots::Shared<Large>> = StaticCell::new();
    static MIDDLE: StaticCell<slots::Shared<Middle>> = StaticCell::new();

    let chip = embassy_stm32::init(embassy_stm32::Config::default());
    let mut watchdog = IndependentWatchdog::new(chip.IWDG, WATCHDOG_US);
    watchdog.unleash();
    let regions = Flash::new_blocking(chip.FLASH).into_blocking_regions();
    let large = Fed {
        flash: regions.bank1_region3,
        watchdog,
    };
    let large = &*LARGE.init(Mutex::new(RefCell::new(large)));
    let middle = &*MIDDLE.init(Mutex::new(RefCell::new(regions.bank1_region2)));
    let loader = BootLoader::prepare::<_, _, _, COPY>(BootLoaderConfig {
        active: BlockingPartition::new(large, ACTIVE.0, ACTIVE.1),
        dfu: spare(large),
        state: notes(middle),
    });
    start(loader)
}

#[allow(unsafe_code)]
fn start(loader: BootLoader) -> ! {
    // SAFETY: the slot holds a program linked for this place; nothing of ours is used any more.
    unsafe { loader.load(LARGE_BASE + ACTIVE.0) }
}

/// Flash that does not answer: the watchdog begins anew.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::nop();
    }
}

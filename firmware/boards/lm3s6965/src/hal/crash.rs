//! Why the node started, told by a word of RAM that survives a reset but not a power cut.
//!
//! The chip has a reset cause register, but it does not know a panic; the emulator has RAM that
//! survives, but no reset cause. Both together are right on both. The word also counts the seconds
//! since the watchdog was last fed, which tells a bite from the reset button.

use super::Reg;
use super::clock::RESET_CAUSE;
use super::console::console;
use core::panic::PanicInfo;
use cortex_m::peripheral::SCB;
use cortex_m_rt::ExceptionFrame;
use shared::wire::ResetCause;

/// Outside of what `memory.x` gives to the program.
const NOTE: Reg = Reg(0x2000_fff0);
/// It runs; the low byte counts seconds.
const RUNNING: u32 = 0x5eed_0100;
const CRASHED: u32 = 0x5eed_0200;
const KIND: u32 = !0xff;
/// Seconds without food after which a reset is the watchdog's: it bites after four, and is fed
/// twice a second.
const HUNGRY: u32 = 2;
const POWER: u32 = 1 << 1 | 1 << 2;
const WATCHDOG: u32 = 1 << 3;

/// Why this boot began; notes that it runs.
pub(crate) fn cause() -> ResetCause {
    let (note, chip) = (NOTE.read(), RESET_CAUSE.read());
    NOTE.write(RUNNING);
    RESET_CAUSE.write(0);
    match note & KIND {
        _ if chip & POWER != 0 => ResetCause::PowerOn,
        CRASHED => ResetCause::Crash,
        RUNNING if chip & WATCHDOG != 0 || note - RUNNING >= HUNGRY => ResetCause::Watchdog,
        RUNNING => ResetCause::Requested,
        _ => ResetCause::PowerOn,
    }
}

/// The watchdog was fed.
pub(super) fn fed() {
    NOTE.write(RUNNING);
}

/// Another second has passed.
pub(super) fn second() {
    NOTE.write((NOTE.read() + 1).min(RUNNING | !KIND));
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if let Some(location) = info.location() {
        console!("panic at {}:{}", location.file(), location.line());
    }
    crash()
}

#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    console!("fault at {:#x}", frame.pc());
    crash()
}

fn crash() -> ! {
    cortex_m::interrupt::disable();
    NOTE.write(CRASHED);
    SCB::sys_reset()
}

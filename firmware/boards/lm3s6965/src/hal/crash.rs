//! Why the node started, told by a word that survives a reset but not a power cut.
//!
//! The chip has a reset cause register, but it does not know a panic; the emulator has RAM that
//! survives, but no reset cause. Both together are right on both.

use super::clock::RESET_CAUSE;
use super::console::console;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::SCB;
use cortex_m_rt::ExceptionFrame;
use shared::wire::ResetCause;

const RUNNING: u32 = 0x5eed_0001;
const CRASHED: u32 = 0x5eed_0002;
const BUTTON: u32 = 1;
const POWER: u32 = 1 << 1 | 1 << 2;

/// Not initialised at start: it holds what the boot before has left.
#[unsafe(link_section = ".uninit.crash")]
static NOTE: AtomicU32 = AtomicU32::new(0);

/// Why this boot began; notes that it runs.
pub(crate) fn cause() -> ResetCause {
    let note = NOTE.swap(RUNNING, Ordering::Relaxed);
    let chip = RESET_CAUSE.read();
    RESET_CAUSE.write(0);
    if chip & POWER != 0 {
        return ResetCause::PowerOn;
    }
    match note {
        CRASHED => ResetCause::Crash,
        RUNNING if chip & BUTTON != 0 => ResetCause::Requested,
        // It ran, it had power all the time, and nobody asked: the watchdog.
        RUNNING => ResetCause::Watchdog,
        _ => ResetCause::PowerOn,
    }
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
    NOTE.store(CRASHED, Ordering::Relaxed);
    SCB::sys_reset()
}

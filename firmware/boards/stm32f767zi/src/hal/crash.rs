//! Why the node started, and what its last life ended with ([`node::crash`]), in words of RAM
//! that survive a reset but not a power cut.

use super::Reg;
use common::now_ms;
use core::fmt::Write as _;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};
use cortex_m_rt::ExceptionFrame;
use heapless::String;
use node::crash::{self, Chip, NOBODY, WORDS};
use shared::crc::crc32;
use shared::wire::{Crash, CrashKind, ResetCause};

/// The last bytes of RAM, which `memory.x` gives to nobody.
const KEPT: u32 = 0x2007_ff00;
/// Reset flags of the clock control (RM0410, section 5.3.21, RCC_CSR).
const FLAGS: Reg = Reg(0x4002_3874);
const FORGET: u32 = 1 << 24;
const BROWN_OUT: u32 = 1 << 25;
const POWER: u32 = 1 << 27;
const BY_PROGRAM: u32 = 1 << 28;
const WATCHDOGS: u32 = 1 << 29 | 1 << 30;
/// The supervisor misses somebody.
static MISSED: AtomicBool = AtomicBool::new(false);

fn chip() -> Chip {
    let flags = FLAGS.read();
    FLAGS.write(flags | FORGET);
    if flags & WATCHDOGS != 0 {
        Chip::Watchdog
    } else if flags & BY_PROGRAM != 0 {
        Chip::Other
    } else if flags & (POWER | BROWN_OUT) != 0 {
        Chip::Power
    } else {
        Chip::Other
    }
}

/// Restarts.
pub(crate) fn restart() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

/// Why this boot began, and how the last life ended if it ended badly; notes that it runs.
pub(crate) fn cause() -> (ResetCause, Option<Crash>) {
    let words = core::array::from_fn(|place| word(place).read());
    let found = crash::cause(&words, chip());
    keep(&crash::running());
    found
}

/// The supervisor misses this task; the watchdog is not fed any more.
pub(crate) fn missed(task: usize) {
    // The first one is the one to blame.
    if !MISSED.swap(true, Ordering::Relaxed) {
        keep(&crash::record(CrashKind::Hang, task as u8, (0, 0), 0, now_ms()));
    }
}

/// The watchdog was fed: whoever was missed has come back.
pub(crate) fn fed() {
    if MISSED.swap(false, Ordering::Relaxed) {
        keep(&crash::running());
    }
}

fn word(place: usize) -> Reg {
    Reg(KEPT + 4 * place as u32)
}

fn keep(words: &[u32; WORDS]) {
    for (place, value) in words.iter().enumerate() {
        word(place).write(*value);
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    let mark = info.location().map_or(0, |location| {
        let mut place: String<72> = String::new();
        // The end of the path tells files apart, its beginning is a folder of who built this.
        let file = location.file();
        let file = file.get(file.len().saturating_sub(60)..).unwrap_or(file);
        let _ = write!(place, "{file}:{}", location.line());
        crc32(place.as_bytes())
    });
    keep(&crash::record(CrashKind::Panic, NOBODY, (0, 0), mark, now_ms()));
    restart()
}

#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    cortex_m::interrupt::disable();
    let at = (frame.pc(), frame.lr());
    keep(&crash::record(CrashKind::Fault, NOBODY, at, 0, now_ms()));
    restart()
}

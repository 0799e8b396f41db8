//! Why the node started, and what its last life ended with ([`node::crash`]), in words of RAM
//! that survive a reset but not a power cut.

use super::Reg;
use common::now_ms;
use core::fmt::Write as _;
use core::panic::PanicInfo;
use core::sync::atomic::Ordering;
use cortex_m_rt::ExceptionFrame;
use heapless::String;
use node::crash::{self, Chip, NOBODY, WORDS};
use portable_atomic::AtomicBool;
use shared::crc::crc32;
use shared::wire::{Crash, CrashKind, ResetCause};

/// SRAM bank 4, which `memory.x` gives to nobody. The boot ROM works in bank 5.
const KEPT: u32 = 0x2004_0000;
/// Why the watchdog reset the chip (section 4.7.6, REASON); zero after power or the RUN pin.
const REASON: Reg = Reg(0x4005_8008);
const BY_TIME: u32 = 1;
/// The watchdog's control (CTRL); its top bit resets at once.
const CONTROL: Reg = Reg(0x4005_8000);
const TRIGGER: u32 = 1 << 31;
/// The supervisor misses somebody.
static MISSED: AtomicBool = AtomicBool::new(false);

fn chip() -> Chip {
    match REASON.read() {
        0 => Chip::Power,
        reason if reason & BY_TIME != 0 => Chip::Watchdog,
        _ => Chip::Other,
    }
}

/// Restarts. By the watchdog, because the core's own request leaves what it says as it was.
pub(crate) fn restart() -> ! {
    loop {
        CONTROL.write(CONTROL.read() | TRIGGER);
        cortex_m::asm::nop();
    }
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

//! Why the node started, and what its last life ended with, told by words of RAM that survive a
//! reset but not a power cut.
//!
//! The chip has a reset cause register, but it does not know a panic; the emulator has RAM that
//! survives, but no reset cause. Both together are right on both. The first word also counts the
//! seconds since the watchdog was last fed, which tells a bite from the reset button.
//!
//! ```text
//! panic, fault -----------------------> record -> reset
//! hang -> watchdog interrupt (warning) -> record -> watchdog reset, or fed after all: forgotten
//! ```

use super::Reg;
use super::clock::{RESET_CAUSE, now_ms};
use super::console::console;
use super::uart::CONSOLE;
use super::vectors::Interrupt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, Ordering};
use cortex_m::peripheral::SCB;
use cortex_m_rt::ExceptionFrame;
use shared::crc::crc32;
use shared::wire::{Crash, CrashKind, ResetCause};

/// Outside of what `memory.x` gives to the program.
const KEPT: u32 = 0x2000_ffc0;
const NOTE: Reg = Reg(KEPT);
/// It runs; the low byte counts seconds.
const RUNNING: u32 = 0x5eed_0100;
const CRASHED: u32 = 0x5eed_0200;
const KIND: u32 = !0xff;
/// Seconds without food after which a reset is the watchdog's: it bites after four, and is fed
/// twice a second.
const HUNGRY: u32 = 2;
const POWER: u32 = 1 << 1 | 1 << 2;
const WATCHDOG: u32 = 1 << 3;

/// Where a frame of the stack may lie: below the kept words.
const STACK: core::ops::Range<u32> = 0x2000_0000..KEPT - 4;

/// Words of the record: kind and task, program counter, link register, mark, uptime, CRC-32.
const RECORD: u32 = KEPT + 4;
const RECORD_LEN: usize = 7;
const RECORD_MAGIC: u32 = 0xc4a5_0000;
const MAGIC_BITS: u32 = 0xffff_0000;

/// No task.
const NOBODY: u8 = u8::MAX;
/// The task that the executor runs now.
static RUNS: AtomicU8 = AtomicU8::new(NOBODY);
/// The task that the supervisor misses.
static MISSED: AtomicU8 = AtomicU8::new(NOBODY);

/// Why this boot began, and how the last life ended if it ended badly; notes that it runs.
pub(crate) fn cause() -> (ResetCause, Option<Crash>) {
    let (note, chip) = (NOTE.read(), RESET_CAUSE.read());
    let record = read();
    forget();
    NOTE.write(RUNNING);
    RESET_CAUSE.write(0);
    let cause = match note & KIND {
        _ if chip & POWER != 0 => ResetCause::PowerOn,
        CRASHED => ResetCause::Crash,
        RUNNING if chip & WATCHDOG != 0 || note - RUNNING >= HUNGRY => ResetCause::Watchdog,
        RUNNING => ResetCause::Requested,
        _ => ResetCause::PowerOn,
    };
    let crash = match cause {
        ResetCause::PowerOn | ResetCause::Requested => None,
        // A hang with interrupts off leaves no record; that it was one is still known.
        ResetCause::Watchdog => record.or(Some(Crash {
            kind: CrashKind::Hang,
            pc: 0,
            lr: 0,
            task: NOBODY,
            mark: 0,
            up_ms: 0,
        })),
        ResetCause::Crash => record,
    };
    (cause, crash)
}

/// The executor runs this task now, or none.
pub(crate) fn runs(task: Option<usize>) {
    RUNS.store(task.map_or(NOBODY, |task| task as u8), Ordering::Relaxed);
}

/// The supervisor misses this task; the watchdog is not fed any more.
pub(crate) fn missed(task: usize) {
    MISSED.store(task as u8, Ordering::Relaxed);
}

/// The watchdog was fed: whatever it warned of has passed.
pub(super) fn fed() {
    if RECORD_AT[0].read() & MAGIC_BITS == RECORD_MAGIC {
        forget();
    }
    MISSED.store(NOBODY, Ordering::Relaxed);
    NOTE.write(RUNNING);
}

/// Another second has passed.
pub(super) fn second() {
    NOTE.write((NOTE.read() + 1).min(RUNNING | !KIND));
}

const RECORD_AT: [Reg; RECORD_LEN] = {
    let mut words = [Reg(RECORD); RECORD_LEN];
    let mut index = 0;
    while index < RECORD_LEN {
        words[index] = Reg(RECORD + 4 * index as u32);
        index += 1;
    }
    words
};

const CHECKED: usize = 4 * (RECORD_LEN - 1);

fn check(words: &[u32; RECORD_LEN]) -> u32 {
    let mut bytes = [0; CHECKED];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    crc32(&bytes)
}

fn read() -> Option<Crash> {
    let words = RECORD_AT.map(Reg::read);
    if words[0] & MAGIC_BITS != RECORD_MAGIC || words[RECORD_LEN - 1] != check(&words) {
        return None;
    }
    Some(Crash {
        kind: match words[0] >> 8 & 0xff {
            0 => CrashKind::Panic,
            1 => CrashKind::Fault,
            _ => CrashKind::Hang,
        },
        task: words[0] as u8,
        pc: words[1],
        lr: words[2],
        mark: words[3],
        up_ms: u64::from(words[5]) << 32 | u64::from(words[4]),
    })
}

fn write(kind: CrashKind, pc: u32, lr: u32, mark: u32) {
    let kind = match kind {
        CrashKind::Panic => 0,
        CrashKind::Fault => 1,
        CrashKind::Hang => 2,
    };
    let runs = RUNS.load(Ordering::Relaxed);
    // Nobody runs when a task sleeps for ever: then it is the one that is missed.
    let task = if runs == NOBODY {
        MISSED.load(Ordering::Relaxed)
    } else {
        runs
    };
    let up_ms = now_ms();
    let first = RECORD_MAGIC | kind << 8 | u32::from(task);
    let mut words = [first, pc, lr, mark, up_ms as u32, (up_ms >> 32) as u32, 0];
    words[RECORD_LEN - 1] = check(&words);
    for (place, word) in RECORD_AT.iter().zip(words) {
        place.write(word);
    }
}

fn forget() {
    RECORD_AT[0].write(0);
}

/// A panic's words are not for a node: it has nobody to read them, and with their files they take an
/// eighth of its program. So nothing here looks at them, which lets the linker drop them all. What is
/// kept are three return addresses, which name more than a line does: also who called.
#[panic_handler]
// Never part of another function: the first frame would not be that of its caller then.
#[inline(never)]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    let [pc, lr, next] = callers();
    write(CrashKind::Panic, pc, lr, next);
    console!("panic at {pc:#x}, {lr:#x}, {next:#x}");
    crash()
}

/// Where a panic came from: the return addresses behind that of the function of `core` that calls the
/// handler, from the inside, 0 where there are no more. One or two of them may lie in `core`, too (an
/// index that is checked, a value that is expected).
///
/// The compiler keeps frame pointers on this target: r7 points to that of the caller and, behind it,
/// the return address.
#[inline(always)]
fn callers() -> [u32; 3] {
    let mut frame: u32;
    // SAFETY: copies a register and touches nothing else.
    unsafe { core::arch::asm!("mov {}, r7", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    let mut up = || {
        // Whatever is wrong with the stack, nothing outside of it is read, and the walk goes upwards.
        if !STACK.contains(&frame) || !frame.is_multiple_of(4) {
            return 0;
        }
        let (before, back) = (Reg(frame).read(), Reg(frame + 4).read());
        frame = if before > frame { before } else { 0 };
        back
    };
    let _handler = up();
    [up(), up(), up()]
}

#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    cortex_m::interrupt::disable();
    write(CrashKind::Fault, frame.pc(), frame.lr(), 0);
    console!("fault at {:#x}", frame.pc());
    crash()
}

/// Starts anew because somebody asked for it.
pub(crate) fn restart() -> ! {
    cortex_m::interrupt::disable();
    CONSOLE.flush();
    NOTE.write(RUNNING);
    SCB::sys_reset()
}

fn crash() -> ! {
    NOTE.write(CRASHED);
    CONSOLE.flush();
    SCB::sys_reset()
}

/// The watchdog's first time-out: two seconds before it resets the chip. Where the program is, is
/// on the stack of the interrupt.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn on_bite() {
    core::arch::naked_asm!("mrs r0, msp", "b.w {}", sym bite)
}

extern "C" fn bite(frame: &ExceptionFrame) {
    // Pending until the watchdog is fed, which may still happen.
    Interrupt::Watchdog.disable();
    write(CrashKind::Hang, frame.pc(), frame.lr(), 0);
}

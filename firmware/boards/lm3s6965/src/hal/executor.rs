//! Runs the tasks, and sleeps when there is nothing to do.
//!
//! embassy's own executor for this core sleeps with WFE, which the emulator ignores: it would
//! take a whole host core. WFI sleeps on both. The flag closes the gap between the last poll and
//! the sleep: an interrupt in between leaves it set, and one after it ends the sleep, also while
//! interrupts are masked.

use core::sync::atomic::{AtomicBool, Ordering};
use embassy_executor::{Spawner, raw};

static WORK: AtomicBool = AtomicBool::new(false);

#[unsafe(export_name = "__pender")]
fn pender(_context: *mut ()) {
    WORK.store(true, Ordering::Relaxed);
}

/// Runs `start` and then the tasks it has spawned, for ever.
pub(crate) fn run(executor: &'static mut raw::Executor, start: impl FnOnce(Spawner)) -> ! {
    start(executor.spawner());
    loop {
        WORK.store(false, Ordering::Relaxed);
        // SAFETY: this is the only place that polls, and it is not reentrant.
        unsafe { executor.poll() };
        cortex_m::interrupt::disable();
        if !WORK.load(Ordering::Relaxed) {
            cortex_m::asm::wfi();
        }
        // SAFETY: they were enabled before, and no critical section is open here.
        unsafe { cortex_m::interrupt::enable() };
    }
}

/// An executor that tells [`pender`] when there is work.
pub(crate) fn new() -> raw::Executor {
    raw::Executor::new(core::ptr::null_mut())
}

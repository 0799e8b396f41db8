//! Runs the tasks, and sleeps when there is nothing to do.
//!
//! embassy's own executor for this core sleeps with WFE, which the emulator ignores: it would
//! take a whole host core. WFI sleeps on both. The flag closes the gap between the last poll and
//! the sleep: an interrupt in between leaves it set, and one after it ends the sleep, also while
//! interrupts are masked.

use super::crash;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
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

/// A task that a crash record can name: it notes when the executor runs it.
#[derive(Debug)]
pub(crate) struct Watched<F> {
    task: usize,
    future: F,
}

impl<F> Watched<F> {
    pub(crate) const fn new(task: usize, future: F) -> Self {
        Self { task, future }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        crash::runs(Some(self.task));
        // SAFETY: `future` is pinned exactly when `self` is: it is never moved out, and nothing
        // else gives access to it.
        let polled = unsafe { self.map_unchecked_mut(|watched| &mut watched.future) }.poll(cx);
        crash::runs(None);
        polled
    }
}

//! The one clock of the node, and embassy's alarm.
//!
//! Time is SysTick, which wraps every second, plus the seconds counted at each wrap. The alarm is
//! timer 0, one-shot. The timer is not read: the emulator gives 0 for its counter.

use super::vectors::Interrupt;
use super::{Reg, SYSCTL, crash};
use core::cell::{Cell, RefCell};
use core::task::Waker;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::{Driver, time_driver_impl};
use embassy_time_queue_utils::Queue;

const TICKS_PER_SECOND: u32 = 12_500_000;
const RELOAD: u32 = TICKS_PER_SECOND - 1;
const MICROS_PER_SECOND: u64 = 1_000_000;

const _: () = assert!(RELOAD < 1 << 24);

const CURRENT: Reg = Reg(0xe000_e018);
const INTERRUPT_STATE: Reg = Reg(0xe000_ed04);
const SYSTICK_PENDING: u32 = 1 << 26;

/// General-purpose timer 0, chapter 10.
const TIMER: u32 = 0x4003_0000;
const TIMER_CONTROL: Reg = Reg(TIMER + 0x00c);
const TIMER_CLEAR: Reg = Reg(TIMER + 0x024);
const TIMER_LOAD: Reg = Reg(TIMER + 0x028);

struct Clock {
    seconds: Mutex<Cell<u32>>,
    queue: Mutex<RefCell<Queue>>,
}

time_driver_impl!(static CLOCK: Clock = Clock {
    seconds: Mutex::new(Cell::new(0)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

/// Starts the clock at zero.
pub(crate) fn start(systick: &mut SYST) {
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(RELOAD);
    systick.clear_current();
    systick.enable_counter();
    systick.enable_interrupt();
    // System handler priority 3: gives way to the watchdog like every other interrupt.
    Reg(0xe000_ed20).set(0x80 << 24);
    // The emulator loads the counter from its main loop, up to 2 ms late; until then it reads 0,
    // which is the end of a second and not its beginning. On the chip this takes one cycle.
    const MAX_TRIES: u32 = 10_000_000;
    let _ = (0..MAX_TRIES).any(|_| CURRENT.read() != 0);
    // 32 bits, one-shot, interrupt at the end.
    Reg(TIMER).write(0);
    Reg(TIMER + 0x004).write(1);
    Reg(TIMER + 0x018).write(1);
    Interrupt::Timer0A.enable();
}

/// Milliseconds since the start of the clock.
pub(crate) fn now_ms() -> u64 {
    CLOCK.now() / 1_000
}

/// Waits by looking at the clock; for the few places where a part needs microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spin;

impl embedded_hal::delay::DelayNs for Spin {
    fn delay_ns(&mut self, ns: u32) {
        let until = CLOCK.now() + u64::from(ns.div_ceil(1_000)) + 1;
        while CLOCK.now() < until {}
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|cs| {
            let mut seconds = self.seconds.borrow(cs).get();
            let mut left = CURRENT.read();
            // Wrapped, but its interrupt still waits for us: count it here, and look again, since
            // the first look may have been on either side of the wrap.
            if INTERRUPT_STATE.read() & SYSTICK_PENDING != 0 {
                seconds += 1;
                left = CURRENT.read();
            }
            // 12.5 ticks are a microsecond.
            u64::from(seconds) * MICROS_PER_SECOND + u64::from((RELOAD - left.min(RELOAD)) * 2 / 25)
        })
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            if self.queue.borrow(cs).borrow_mut().schedule_wake(at, waker) {
                self.set_next_alarm(cs);
            }
        });
    }
}

impl Clock {
    /// Wakes what is due and sets the alarm for what is next.
    fn set_next_alarm(&self, cs: CriticalSection<'_>) {
        let mut queue = self.queue.borrow(cs).borrow_mut();
        loop {
            let now = self.now();
            let next = queue.next_expiration(now);
            if next == u64::MAX {
                return TIMER_CONTROL.write(0);
            }
            if let Some(micros @ 1..) = next.checked_sub(now) {
                // What is farther away than the timer reaches wakes us early, and we set it again.
                let ticks = (micros.saturating_mul(25) / 2).clamp(1, u32::MAX.into());
                TIMER_CONTROL.write(0);
                TIMER_CLEAR.write(1);
                TIMER_LOAD.write(ticks as u32);
                return TIMER_CONTROL.write(1);
            }
        }
    }
}

pub(super) fn on_alarm() {
    TIMER_CLEAR.write(1);
    critical_section::with(|cs| CLOCK.set_next_alarm(cs));
}

#[cortex_m_rt::exception]
fn SysTick() {
    critical_section::with(|cs| {
        let seconds = CLOCK.seconds.borrow(cs);
        seconds.set(seconds.get().wrapping_add(1));
    });
    crash::second();
}

/// Reset cause register of the chip; the emulator always gives 0.
pub(super) const RESET_CAUSE: Reg = Reg(SYSCTL + 0x05c);

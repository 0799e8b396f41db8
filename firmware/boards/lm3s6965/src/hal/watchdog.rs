//! Watchdog 0 (chapter 11): resets the chip unless it is fed.

use super::vectors::Interrupt;
use super::{Reg, crash};

const WATCHDOG: u32 = 0x4000_0000;
const LOAD: Reg = Reg(WATCHDOG);
const CONTROL: Reg = Reg(WATCHDOG + 0x008);
const CLEAR: Reg = Reg(WATCHDOG + 0x00c);
/// Ticks until the first time-out; the second one, as much later, resets: 4 s in all.
const TICKS: u32 = 2 * 12_500_000;

/// Starts it. It cannot be stopped again.
pub(crate) fn start() {
    LOAD.write(TICKS);
    // Interrupt (which starts it, and is the warning) and reset.
    CONTROL.write(0b11);
    Interrupt::Watchdog.enable();
}

/// Begins the time anew.
pub(crate) fn feed() {
    CLEAR.write(1);
    LOAD.write(TICKS);
    crash::fed();
    Interrupt::Watchdog.enable();
}

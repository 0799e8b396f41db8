//! The contacts at port E: pin 0 door, pin 1 leak.
//!
//! Normally closed against ground with the pull-up of the pin: closed reads 0, open, wet or a cut
//! wire reads 1.

use super::Reg;
use super::vectors::Interrupt;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;

const PORT_E: u32 = 0x4002_4000;
const PINS: u32 = 0b11;
/// Bits 9:2 of the address mask the pins that are read.
const LEVELS: Reg = Reg(PORT_E + (PINS << 2));
const CLEAR: Reg = Reg(PORT_E + 0x41c);

/// Set at every edge of any contact.
pub(crate) static EDGE: Signal<CriticalSectionRawMutex, ()> = Signal::new();

/// Inputs with pull-up, an interrupt at both edges.
pub(crate) fn start() {
    Reg(PORT_E + 0x400).clear(PINS);
    Reg(PORT_E + 0x510).set(PINS);
    Reg(PORT_E + 0x51c).set(PINS);
    Reg(PORT_E + 0x404).clear(PINS);
    Reg(PORT_E + 0x408).set(PINS);
    CLEAR.write(PINS);
    Reg(PORT_E + 0x410).set(PINS);
    Interrupt::PortE.enable();
}

/// Door and leak contact; true is open.
pub(crate) fn open() -> [bool; 2] {
    let levels = LEVELS.read();
    [levels & 1 != 0, levels & 2 != 0]
}

pub(super) fn on_interrupt() {
    CLEAR.write(PINS);
    EDGE.signal(());
}

//! The interrupt table: what the chip calls, and whom it concerns.

use super::{clock, contacts, ethernet};
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// Interrupts in use, by their number (data sheet, table 2-9).
#[derive(Debug, Clone, Copy)]
#[repr(u16)]
pub(super) enum Interrupt {
    PortE = 4,
    Timer0A = 19,
    Ethernet = 42,
}

// SAFETY: the numbers are those of the data sheet and all below 44, the length of the table.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

impl Interrupt {
    pub(super) fn enable(self) {
        // SAFETY: no critical section here is built on masking a single interrupt.
        unsafe { NVIC::unmask(self) }
    }
}

type Handler = unsafe extern "C" fn();

unsafe extern "C" {
    fn DefaultHandler();
}

extern "C" fn port_e() {
    contacts::on_interrupt();
}

extern "C" fn timer0a() {
    clock::on_alarm();
}

extern "C" fn ethernet() {
    ethernet::on_interrupt();
}

#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; 44] = {
    let mut table: [Handler; 44] = [DefaultHandler; 44];
    table[Interrupt::PortE as usize] = port_e;
    table[Interrupt::Timer0A as usize] = timer0a;
    table[Interrupt::Ethernet as usize] = ethernet;
    table
};

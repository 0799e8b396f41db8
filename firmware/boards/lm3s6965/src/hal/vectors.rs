//! The interrupt table: what the chip calls, and whom it concerns.

use super::{Reg, clock, crash, ethernet, gpio, uart};
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// Interrupts in use, by their number (data sheet, table 2-9).
#[derive(Debug, Clone, Copy)]
#[repr(u16)]
pub(super) enum Interrupt {
    PortA = 0,
    PortB = 1,
    PortD = 3,
    PortE = 4,
    Uart0 = 5,
    Uart1 = 6,
    Watchdog = 18,
    Timer0A = 19,
    Timer1A = 21,
    PortF = 30,
    Uart2 = 33,
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
        // Everything else gives way to the watchdog, which wants to know where the program hangs.
        if !matches!(self, Self::Watchdog) {
            let priority = Reg(PRIORITIES + u32::from(self.number() & !3));
            priority.set(LOW << (self.number() % 4 * 8));
        }
        // SAFETY: no critical section here is built on masking a single interrupt.
        unsafe { NVIC::unmask(self) }
    }

    pub(super) fn disable(self) {
        NVIC::mask(self);
    }
}

/// Four priorities a word; the chip has the upper three bits of each.
const PRIORITIES: u32 = 0xe000_e400;
const LOW: u32 = 0x80;

type Handler = unsafe extern "C" fn();

unsafe extern "C" {
    fn DefaultHandler();
}

extern "C" fn port() {
    gpio::on_edge();
}

extern "C" fn uart0() {
    uart::CONSOLE.on_interrupt();
}

extern "C" fn uart1() {
    uart::READER.on_interrupt();
}

extern "C" fn uart2() {
    uart::PROBES.on_interrupt();
}

extern "C" fn timer0a() {
    clock::on_alarm();
}

extern "C" fn timer1a() {
    uart::on_sent();
}

extern "C" fn ethernet() {
    ethernet::on_interrupt();
}

#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; 44] = {
    let mut table: [Handler; 44] = [DefaultHandler; 44];
    table[Interrupt::PortA as usize] = port;
    table[Interrupt::PortB as usize] = port;
    table[Interrupt::PortD as usize] = port;
    table[Interrupt::PortE as usize] = port;
    table[Interrupt::PortF as usize] = port;
    table[Interrupt::Uart0 as usize] = uart0;
    table[Interrupt::Uart1 as usize] = uart1;
    table[Interrupt::Uart2 as usize] = uart2;
    table[Interrupt::Watchdog as usize] = crash::on_bite;
    table[Interrupt::Timer0A as usize] = timer0a;
    table[Interrupt::Timer1A as usize] = timer1a;
    table[Interrupt::Ethernet as usize] = ethernet;
    table
};

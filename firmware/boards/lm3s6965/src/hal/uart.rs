//! The three serial ports (chapter 12): interrupts move bytes between their FIFOs and bounded
//! rings, tasks read and write the rings.
//!
//! | port | what                                | pins                            |
//! |------|-------------------------------------|---------------------------------|
//! | 0    | console, 115200 8N1                 | A0 in, A1 out                   |
//! | 1    | card reader, 115200 8N1             | D2 in, D3 out                   |
//! | 2    | probes on RS-485, as mounted        | G0 in, G1 out, driver enable C5 |
//!
//! A byte that finds its ring full, or came damaged, is dropped and counted; nothing waits for it.

use super::Reg;
use super::gpio::Output;
use super::vectors::Interrupt;
use core::sync::atomic::{AtomicU32, Ordering};
use critical_section::with;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;

/// Clock of the ports in Hz.
const CLOCK: u32 = 12_500_000;

const DATA: u32 = 0x000;
const FLAGS: u32 = 0x018;
const BAUD_WHOLE: u32 = 0x024;
const BAUD_FRACTION: u32 = 0x028;
const LINE: u32 = 0x02c;
const CONTROL: u32 = 0x030;
const INTERRUPT_MASK: u32 = 0x038;
const INTERRUPT_CLEAR: u32 = 0x044;

const BUSY: u32 = 1 << 3;
const RECEIVE_EMPTY: u32 = 1 << 4;
const TRANSMIT_FULL: u32 = 1 << 5;
/// Overrun, break, parity and framing error, beside the byte in the data register.
const DAMAGED: u32 = 0xf << 8;
const RECEIVED: u32 = 1 << 4;
const SENT: u32 = 1 << 5;
const PAUSED: u32 = 1 << 6;
/// 8 bits, FIFOs on.
const EIGHT_BITS: u32 = 0x70;
const EVEN_PARITY: u32 = 1 << 1 | 1 << 2;
/// Receiver, transmitter and port on.
const ON: u32 = 0x301;
/// Looks at a full ring before text for the console is given up: a hundred times the length of a
/// byte.
const MAX_TRIES: u32 = 20_000;

/// A serial port with rings of these lengths in bytes.
pub(crate) struct Uart<const IN: usize, const OUT: usize> {
    base: u32,
    interrupt: Interrupt,
    heard: Pipe<CriticalSectionRawMutex, IN>,
    to_send: Pipe<CriticalSectionRawMutex, OUT>,
    lost: AtomicU32,
}

/// The console. A line of what is typed waits while the node works; the configuration block comes
/// in lines, each answered before the next.
pub(crate) static CONSOLE: Uart<144, 128> = Uart::new(0x4000_c000, Interrupt::Uart0);
/// The card reader: two of its longest answers, one of our longest commands with its wake-up.
pub(crate) static READER: Uart<128, 64> = Uart::new(0x4000_d000, Interrupt::Uart1);
/// The probes: two of their answers, a question.
pub(crate) static PROBES: Uart<64, 16> = Uart::new(0x4000_e000, Interrupt::Uart2);

/// What comes with each byte besides its eight bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parity {
    None,
    Even,
}

impl<const IN: usize, const OUT: usize> Uart<IN, OUT> {
    const fn new(base: u32, interrupt: Interrupt) -> Self {
        Self {
            base,
            interrupt,
            heard: Pipe::new(),
            to_send: Pipe::new(),
            lost: AtomicU32::new(0),
        }
    }

    const fn register(&self, offset: u32) -> Reg {
        Reg(self.base + offset)
    }

    /// Starts the port, whose pins are set up; the only call that chooses speed and parity.
    pub(crate) fn start(&self, baud: u32, parity: Parity) {
        // In 64ths of a sixteenth of a bit, rounded.
        let divisor = (CLOCK * 4 + baud / 2) / baud;
        self.register(CONTROL).write(0);
        self.register(BAUD_WHOLE).write(divisor >> 6);
        self.register(BAUD_FRACTION).write(divisor & 0x3f);
        let parity = match parity {
            Parity::None => 0,
            Parity::Even => EVEN_PARITY,
        };
        self.register(LINE).write(EIGHT_BITS | parity);
        self.register(CONTROL).write(ON);
        self.register(INTERRUPT_MASK).write(RECEIVED | PAUSED);
        self.interrupt.enable();
    }

    /// Waits for bytes and takes what fits.
    pub(crate) async fn read(&self, into: &mut [u8]) -> usize {
        self.heard.read(into).await
    }

    /// Takes a byte that is there.
    pub(crate) fn try_read(&self) -> Option<u8> {
        let mut byte = [0];
        self.heard.try_read(&mut byte).is_ok().then_some(byte[0])
    }

    /// Puts bytes into the ring; what finds no room is lost and counted.
    pub(crate) fn write(&self, mut bytes: &[u8]) {
        // The ring takes what fits before its end first, and then the rest.
        while let Ok(taken @ 1..) = self.to_send.try_write(bytes) {
            bytes = &bytes[taken..];
        }
        self.count(bytes.len() as u32);
        self.pump();
    }

    /// Puts bytes into the ring, and makes room by waiting when there is none.
    pub(super) fn write_patiently(&self, mut bytes: &[u8]) {
        for _ in 0..MAX_TRIES {
            let taken = self.to_send.try_write(bytes).unwrap_or(0);
            bytes = &bytes[taken..];
            self.pump();
            if bytes.is_empty() {
                return;
            }
        }
        self.count(bytes.len() as u32);
    }

    /// Sends everything that waits, without interrupts; for the last words before a reset.
    pub(super) fn flush(&self) {
        for _ in 0..MAX_TRIES {
            self.pump();
            if self.to_send.is_empty() {
                return;
            }
        }
    }

    /// True while bits are on their way.
    fn is_sending(&self) -> bool {
        !self.to_send.is_empty() || self.register(FLAGS).read() & BUSY != 0
    }

    /// Bytes that were lost since the start.
    pub(crate) fn lost(&self) -> u32 {
        self.lost.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: u32) {
        // Only one core, and whole words: an interrupt in between costs a count at worst.
        let lost = self.lost.load(Ordering::Relaxed);
        self.lost.store(lost.saturating_add(bytes), Ordering::Relaxed);
    }

    /// Fills the FIFO; the interrupt does the rest once there is room again.
    fn pump(&self) {
        with(|_| {
            let mut byte = [0];
            while self.register(FLAGS).read() & TRANSMIT_FULL == 0 && self.to_send.try_read(&mut byte).is_ok()
            {
                self.register(DATA).write(byte[0].into());
            }
            let sending = if self.to_send.is_empty() { 0 } else { SENT };
            self.register(INTERRUPT_MASK).write(RECEIVED | PAUSED | sending);
        });
    }

    pub(super) fn on_interrupt(&self) {
        self.register(INTERRUPT_CLEAR).write(RECEIVED | PAUSED | SENT);
        while self.register(FLAGS).read() & RECEIVE_EMPTY == 0 {
            let word = self.register(DATA).read();
            if word & DAMAGED != 0 || self.heard.try_write(&[word as u8]).is_err() {
                self.count(1);
            }
        }
        self.pump();
    }
}

/// Timer 1 (chapter 10), one-shot: tells when a question on RS-485 has left the port.
const TIMER: u32 = 0x4003_1000;
const TIMER_CONTROL: Reg = Reg(TIMER + 0x00c);
const TIMER_CLEAR: Reg = Reg(TIMER + 0x024);
const TIMER_LOAD: Reg = Reg(TIMER + 0x028);
/// Start, eight bits, parity or a second stop bit, stop.
const BITS_PER_BYTE: u32 = 11;

/// The port of the probes with the driver of its line.
#[derive(Debug)]
pub(crate) struct Rs485 {
    ticks_per_bit: u32,
}

impl Rs485 {
    /// Starts port, timer and driver, which listens.
    pub(crate) fn start(baud: u32, parity: Parity) -> Self {
        Output::DriverEnable.start(false);
        PROBES.start(baud, parity);
        Reg(TIMER).write(0);
        Reg(TIMER + 0x004).write(1);
        Reg(TIMER + 0x018).write(1);
        Interrupt::Timer1A.enable();
        Self {
            ticks_per_bit: CLOCK / baud,
        }
    }

    /// Sends a question. The driver lets go of the line by interrupt, whatever the tasks do: the
    /// probe answers three and a half bytes later, and must find the line free.
    pub(crate) fn send(&self, question: &[u8]) {
        Output::DriverEnable.set(true);
        PROBES.write(question);
        let bits = (question.len() as u32 * BITS_PER_BYTE).max(1);
        TIMER_CONTROL.write(0);
        TIMER_CLEAR.write(1);
        TIMER_LOAD.write(bits * self.ticks_per_bit);
        TIMER_CONTROL.write(1);
    }
}

/// The question should have left.
pub(super) fn on_sent() {
    /// Ticks until the next look at a port that still sends: a bit at 19200 baud.
    const AGAIN: u32 = CLOCK / 19_200;
    TIMER_CLEAR.write(1);
    if PROBES.is_sending() {
        TIMER_CONTROL.write(0);
        TIMER_LOAD.write(AGAIN);
        TIMER_CONTROL.write(1);
    } else {
        Output::DriverEnable.set(false);
    }
}

//! I2C master 0 (chapter 15), polled, about 90 kHz, on port B pins 2 (clock) and 3 (data).
//!
//! 90 kHz and not 400: an SPS30 takes 100 at most and must not even listen to more, and sensors
//! hang on metres of cable. It is enough: the nine looks into a list of 500 cards take 9 x 2 ms,
//! and storing the event before the strike is driven 25 (a page, its wait, and reading it back).
//!
//! Between a write and a read it makes a stop and a start instead of a repeated start, because the
//! emulated controller ignores the latter; the parts on this board do not mind.

use super::Reg;
use super::clock::Spin;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use node::bus::{self, Freed, Wires};

const MASTER: u32 = 0x4002_0000;
const ADDRESS: Reg = Reg(MASTER);
const CONTROL: Reg = Reg(MASTER + 0x004);
const DATA: Reg = Reg(MASTER + 0x008);
const PERIOD: Reg = Reg(MASTER + 0x00c);
const CONFIGURATION: Reg = Reg(MASTER + 0x020);
const MASTER_ENABLE: u32 = 1 << 4;

const RUN: u32 = 1;
const START: u32 = 1 << 1;
const STOP: u32 = 1 << 2;
const ACK: u32 = 1 << 3;

const BUSY: u32 = 1;
const ERROR: u32 = 1 << 1;
const ADDRESS_NACK: u32 = 1 << 2;
const DATA_NACK: u32 = 1 << 3;
const ARBITRATION_LOST: u32 = 1 << 4;
/// Looks at a busy controller: a byte takes 100 us, this is some 10 ms.
const MAX_TRIES: u32 = 10_000;

const PORT_B: u32 = 0x4000_5000;
const CLOCK_PIN: u32 = 1 << 2;
const DATA_PIN: u32 = 1 << 3;

/// The two lines as open-drain outputs: a high one is let go, and reads what it is.
struct Lines;

impl Wires for Lines {
    fn clock(&mut self, high: bool) {
        Reg(PORT_B + (CLOCK_PIN << 2)).write(if high { CLOCK_PIN } else { 0 });
    }

    fn data(&mut self, high: bool) {
        Reg(PORT_B + (DATA_PIN << 2)).write(if high { DATA_PIN } else { 0 });
    }

    fn clock_is_high(&mut self) -> bool {
        Reg(PORT_B + (CLOCK_PIN << 2)).read() != 0
    }

    fn data_is_high(&mut self) -> bool {
        Reg(PORT_B + (DATA_PIN << 2)).read() != 0
    }
}

/// The bus.
#[derive(Debug)]
pub(crate) struct Bus(());

impl Bus {
    /// Sets up pins and controller.
    pub(crate) fn start() -> Self {
        // Open drain, digital.
        Reg(PORT_B + 0x50c).set(CLOCK_PIN | DATA_PIN);
        Reg(PORT_B + 0x51c).set(CLOCK_PIN | DATA_PIN);
        let mut bus = Self(());
        bus.start_controller();
        bus
    }

    fn start_controller(&mut self) {
        Reg(PORT_B + 0x420).set(CLOCK_PIN | DATA_PIN);
        CONFIGURATION.write(MASTER_ENABLE);
        // 12.5 MHz / (20 * (6 + 1)).
        PERIOD.write(6);
    }

    /// Frees a bus that is stuck: stops the controller, lets [`bus::free`] clock out whoever holds
    /// the data line, and starts it again.
    pub(crate) fn recover(&mut self) -> Freed {
        CONFIGURATION.write(0);
        Reg(PORT_B + 0x420).clear(CLOCK_PIN | DATA_PIN);
        Reg(PORT_B + 0x400).set(CLOCK_PIN | DATA_PIN);
        let freed = bus::free(&mut Lines, &mut Spin);
        Reg(PORT_B + 0x400).clear(CLOCK_PIN | DATA_PIN);
        self.start_controller();
        freed
    }

    fn step(&mut self, command: u32) -> Result<(), ErrorKind> {
        CONTROL.write(command);
        if !(0..MAX_TRIES).any(|_| CONTROL.read() & BUSY == 0) {
            return Err(ErrorKind::Bus);
        }
        let status = CONTROL.read();
        if status & ERROR == 0 {
            return Ok(());
        }
        if status & ARBITRATION_LOST == 0 && command & STOP == 0 {
            CONTROL.write(STOP);
        }
        Err(if status & DATA_NACK != 0 {
            ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data)
        } else if status & (ADDRESS_NACK | ARBITRATION_LOST) != 0 {
            // The emulator says "arbitration lost" when no part answers; there is one master only.
            ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
        } else {
            ErrorKind::Bus
        })
    }

    fn send(&mut self, address: u8, bytes: &[u8]) -> Result<(), ErrorKind> {
        ADDRESS.write(u32::from(address) << 1);
        for (index, byte) in bytes.iter().enumerate() {
            DATA.write(u32::from(*byte));
            let start = if index == 0 { START } else { 0 };
            let stop = if index + 1 == bytes.len() { STOP } else { 0 };
            self.step(RUN | start | stop)?;
        }
        Ok(())
    }

    fn receive(&mut self, address: u8, into: &mut [u8]) -> Result<(), ErrorKind> {
        ADDRESS.write(u32::from(address) << 1 | 1);
        let last = into.len().saturating_sub(1);
        for (index, byte) in into.iter_mut().enumerate() {
            let start = if index == 0 { START } else { 0 };
            let end = if index == last { STOP } else { ACK };
            self.step(RUN | start | end)?;
            *byte = DATA.read() as u8;
        }
        Ok(())
    }
}

impl ErrorType for Bus {
    type Error = ErrorKind;
}

impl I2c for Bus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        operations.iter_mut().try_for_each(|operation| match operation {
            Operation::Write(bytes) => self.send(address, bytes),
            Operation::Read(into) => self.receive(address, into),
        })
    }
}

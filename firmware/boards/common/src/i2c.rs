//! An I2C master over two open-drain pins (NXP UM10204 rev. 7, sections 3.1 and 3.1.9), for the
//! boards whose own controller can be hung by the bus.
//!
//! Every wait ends: a clock that is held low is an error after [`STRETCH_US`], so that a part that
//! wedges the bus costs its own readings and not the node. The same pins free the bus
//! ([`node::bus::free`]). One transfer holds up the other tasks as long as a hardware master that
//! is waited for would. One master only: arbitration is not looked at.

use embassy_time::{Duration, Instant, block_for};
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress};
use node::bus::{Freed, Wires, free};

/// Half of the time for which the clock stays low, and all of that for which it stays high, in
/// microseconds. With the time that the pins themselves take this is a little under the 100 kHz
/// that every part allows.
const HALF_US: u64 = 4;
/// Longest time for which a part may hold the clock, in microseconds: SMBus allows 25 ms in a
/// whole transfer (SMBus 3.2, section 4.2.5), no part in use stretches for more than 1.
const STRETCH_US: u64 = 2_000;

/// The master.
#[derive(Debug)]
pub struct SoftI2c<W>(W);

impl<W: Wires> SoftI2c<W> {
    /// On these wires, which are let go of.
    pub fn new(mut wires: W) -> Self {
        wires.clock(true);
        wires.data(true);
        Self(wires)
    }

    /// Frees a bus that somebody holds.
    pub fn free(&mut self) -> Freed {
        free(&mut self.0, &mut embassy_time::Delay)
    }

    /// Lets the clock go up and waits until it is.
    fn clock_up(&mut self) -> Result<(), ErrorKind> {
        self.0.clock(true);
        if !self.0.clock_is_high() {
            let begun = Instant::now();
            while !self.0.clock_is_high() {
                if begun.elapsed() > Duration::from_micros(STRETCH_US) {
                    return Err(ErrorKind::Bus);
                }
            }
        }
        half();
        Ok(())
    }

    /// A start, also a repeated one; the clock is low after it.
    fn start(&mut self) -> Result<(), ErrorKind> {
        self.0.data(true);
        half();
        self.clock_up()?;
        if !self.0.data_is_high() {
            return Err(ErrorKind::Bus);
        }
        self.0.data(false);
        half();
        self.0.clock(false);
        Ok(())
    }

    fn stop(&mut self) -> Result<(), ErrorKind> {
        self.0.data(false);
        half();
        self.clock_up()?;
        self.0.data(true);
        half();
        Ok(())
    }

    fn bit(&mut self, high: bool) -> Result<bool, ErrorKind> {
        self.0.data(high);
        half();
        self.clock_up()?;
        let seen = self.0.data_is_high();
        self.0.clock(false);
        Ok(seen)
    }

    /// True when it was acknowledged.
    fn put(&mut self, byte: u8) -> Result<bool, ErrorKind> {
        for place in (0..8).rev() {
            self.bit(byte >> place & 1 == 1)?;
        }
        Ok(!self.bit(true)?)
    }

    fn get(&mut self, acknowledge: bool) -> Result<u8, ErrorKind> {
        let mut byte = 0;
        for _ in 0..8 {
            byte = byte << 1 | u8::from(self.bit(true)?);
        }
        self.bit(!acknowledge)?;
        Ok(byte)
    }

    fn carry_out(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        use NoAcknowledgeSource::{Address, Data};
        // The direction of the operation before; one after another of a kind is one transfer.
        let mut reading = None;
        let mut rest = operations.iter_mut().peekable();
        while let Some(operation) = rest.next() {
            let read = matches!(operation, Operation::Read(_));
            if reading != Some(read) {
                self.start()?;
                if !self.put(address << 1 | u8::from(read))? {
                    return Err(ErrorKind::NoAcknowledge(Address));
                }
                reading = Some(read);
            }
            match operation {
                Operation::Write(bytes) => {
                    for byte in bytes.iter() {
                        if !self.put(*byte)? {
                            return Err(ErrorKind::NoAcknowledge(Data));
                        }
                    }
                }
                Operation::Read(bytes) => {
                    let goes_on = matches!(rest.peek(), Some(Operation::Read(_)));
                    let last = bytes.len().saturating_sub(1);
                    for (place, byte) in bytes.iter_mut().enumerate() {
                        *byte = self.get(place < last || goes_on)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn half() {
    block_for(Duration::from_micros(HALF_US));
}

impl<W> ErrorType for SoftI2c<W> {
    type Error = ErrorKind;
}

impl<W: Wires> I2c<SevenBitAddress> for SoftI2c<W> {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        let done = self.carry_out(address, operations);
        // Also after an error: a part must not wait for the rest.
        let stopped = self.stop();
        done.and(stopped)
    }
}

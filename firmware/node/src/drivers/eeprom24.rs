//! Serial EEPROMs of the 24C series with two address bytes (24C32 and larger).
//!
//! A write stays within a page and takes up to 5 ms, in which the part does not acknowledge
//! (Microchip DS21189, section 7 "Acknowledge polling"). Pages have 32 bytes from the 24C64 on
//! and are multiples of that in larger parts, so 32 is right for all of them.

use crate::memory::{Memory, MemoryFault};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

const PAGE: usize = 32;
/// Milliseconds to wait for the end of a write: twice what the slowest part may take.
const MAX_POLLS: u32 = 10;

/// A part on a bus.
#[derive(Debug)]
pub struct Eeprom24<I, D> {
    bus: I,
    delay: D,
    address: u8,
}

impl<I: I2c, D: DelayNs> Eeprom24<I, D> {
    /// `address` is 0x50 to 0x57, by the pins A2..A0.
    pub const fn new(bus: I, delay: D, address: u8) -> Self {
        Self { bus, delay, address }
    }

    fn write_page(&mut self, at: u16, bytes: &[u8]) -> Result<(), MemoryFault> {
        let mut message = [0; 2 + PAGE];
        message[..2].copy_from_slice(&at.to_be_bytes());
        message[2..2 + bytes.len()].copy_from_slice(bytes);
        self.bus
            .write(self.address, &message[..2 + bytes.len()])
            .map_err(|_| MemoryFault)?;
        for _ in 0..MAX_POLLS {
            // Setting the address pointer changes nothing and is acknowledged when the write is done.
            if self.bus.write(self.address, &at.to_be_bytes()).is_ok() {
                return Ok(());
            }
            self.delay.delay_ms(1);
        }
        Err(MemoryFault)
    }
}

impl<I: I2c, D: DelayNs> Memory for Eeprom24<I, D> {
    fn read(&mut self, at: u16, into: &mut [u8]) -> Result<(), MemoryFault> {
        self.bus
            .write_read(self.address, &at.to_be_bytes(), into)
            .map_err(|_| MemoryFault)
    }

    fn write(&mut self, mut at: u16, mut bytes: &[u8]) -> Result<(), MemoryFault> {
        while !bytes.is_empty() {
            let room = PAGE - usize::from(at) % PAGE;
            let (page, rest) = bytes.split_at(room.min(bytes.len()));
            self.write_page(at, page)?;
            at += page.len() as u16;
            bytes = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal::i2c::{ErrorKind, ErrorType, NoAcknowledgeSource, Operation};

    /// A part that wraps within its page and is busy after each write.
    struct Part {
        bytes: Vec<u8>,
        pointer: usize,
        busy: u32,
        busy_after_write: u32,
    }

    impl Part {
        fn new(busy_after_write: u32) -> Self {
            Self {
                bytes: vec![0xff; 8192],
                pointer: 0,
                busy: 0,
                busy_after_write,
            }
        }
    }

    impl ErrorType for &mut Part {
        type Error = ErrorKind;
    }

    impl I2c for &mut Part {
        fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
            if self.busy > 0 {
                self.busy -= 1;
                return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
            }
            for operation in operations {
                match operation {
                    Operation::Write(bytes) => {
                        self.pointer = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
                        let page = self.pointer / PAGE * PAGE;
                        for (offset, byte) in bytes[2..].iter().enumerate() {
                            let at = page + (self.pointer - page + offset) % PAGE;
                            self.bytes[at] = *byte;
                            self.busy = self.busy_after_write;
                        }
                    }
                    Operation::Read(into) => {
                        for byte in into.iter_mut() {
                            *byte = self.bytes[self.pointer];
                            self.pointer += 1;
                        }
                    }
                }
            }
            Ok(())
        }
    }

    struct NoDelay;
    impl DelayNs for NoDelay {
        fn delay_ns(&mut self, _: u32) {}
    }

    #[test]
    fn writes_across_pages_keep_every_byte() {
        let data: Vec<u8> = (0..=255).collect();
        for at in [0, 1, 31, 32, 64, 8192 - 256] {
            let mut part = Part::new(5);
            let mut memory = Eeprom24::new(&mut part, NoDelay, 0x50);
            memory.write(at, &data).unwrap();
            let mut back = vec![0; data.len()];
            // The read waits for nobody: the last write was polled to its end.
            memory.read(at, &mut back).unwrap();
            assert_eq!(back, data, "at {at}");
        }
    }

    #[test]
    fn a_part_that_never_ends_a_write_is_a_fault() {
        let mut part = Part::new(MAX_POLLS);
        assert_eq!(
            Eeprom24::new(&mut part, NoDelay, 0x50).write(0, &[1]),
            Err(MemoryFault)
        );
    }

    #[test]
    fn a_missing_part_is_a_fault() {
        let mut part = Part::new(0);
        part.busy = u32::MAX;
        let mut memory = Eeprom24::new(&mut part, NoDelay, 0x50);
        assert_eq!(memory.read(0, &mut [0]), Err(MemoryFault));
        assert_eq!(memory.write(0, &[0]), Err(MemoryFault));
    }
}

//! TMP105 temperature sensor (Texas Instruments, SBOS318).
//!
//! Registers (table 4): 0 temperature, 1 configuration, 2 T_LOW, 3 T_HIGH. A temperature is 12 bits,
//! left-justified in two bytes, 0.0625 °C each (table 5).
//!
//! A bus that is frozen answers every read with the same byte, often zero, which is 0 °C to a
//! trusting driver. So every reading is followed by reading back what we have configured: the
//! resolution, and T_HIGH, which we do not use otherwise and set to a value whose two bytes
//! differ. A part that lost its power in between does not pass either, and is configured again.

use super::reason;
use embedded_hal::i2c::I2c;
use shared::NoData;

const TEMPERATURE: u8 = 0;
const CONFIGURATION: u8 = 1;
const T_HIGH: u8 = 3;

/// 12 bits (R1 R0 = 11), continuous conversion.
const CONFIGURED: u8 = 0b0110_0000;
/// 90 °C; our signature.
const SIGNATURE: [u8; 2] = [0x5a, 0x00];

const _: () = assert!(SIGNATURE[0] != SIGNATURE[1]);

/// A part on a bus.
#[derive(Debug)]
pub struct Tmp105<I> {
    bus: I,
    address: u8,
    configured: bool,
}

impl<I: I2c> Tmp105<I> {
    /// `address` is 0x48 to 0x4f, by the pins A2..A0.
    pub const fn new(bus: I, address: u8) -> Self {
        Self {
            bus,
            address,
            configured: false,
        }
    }

    /// Temperature in thousandths of a degree Celsius.
    ///
    /// # Errors
    /// [`NoData::Absent`] when the part does not acknowledge, [`NoData::BusFault`] when the bus
    /// fails or what comes back is not what the part must hold.
    pub fn read(&mut self) -> Result<i32, NoData> {
        let read = self.read_proven();
        // Whatever went wrong, the part may have lost its configuration with its power.
        self.configured = read.is_ok();
        read
    }

    fn read_proven(&mut self) -> Result<i32, NoData> {
        if !self.configured {
            self.write(&[CONFIGURATION, CONFIGURED])?;
            self.write(&[T_HIGH, SIGNATURE[0], SIGNATURE[1]])?;
        }
        let raw = self.register(TEMPERATURE)?;
        // After the temperature: a bus that froze before it cannot pass any more.
        let configuration: [u8; 1] = self.register(CONFIGURATION)?;
        let signature: [u8; 2] = self.register(T_HIGH)?;
        if configuration != [CONFIGURED] || signature != SIGNATURE {
            return Err(NoData::BusFault);
        }
        Ok(convert(raw))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), NoData> {
        self.bus
            .write(self.address, bytes)
            .map_err(|error| reason(&error))
    }

    fn register<const N: usize>(&mut self, register: u8) -> Result<[u8; N], NoData> {
        let mut bytes = [0; N];
        self.bus
            .write_read(self.address, &[register], &mut bytes)
            .map_err(|error| reason(&error))?;
        Ok(bytes)
    }
}

/// Thousandths of a degree from the temperature register.
const fn convert(raw: [u8; 2]) -> i32 {
    let steps = i16::from_be_bytes(raw) >> 4;
    // 62.5 thousandths each.
    steps as i32 * 625 / 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal::i2c::{ErrorKind, ErrorType, NoAcknowledgeSource, Operation};

    /// Answers like the part, or like what can become of it.
    #[derive(Debug)]
    struct Part {
        registers: [[u8; 2]; 4],
        pointer: u8,
        fault: Option<Fault>,
    }

    #[derive(Debug, Clone, Copy)]
    enum Fault {
        /// Nobody there.
        Absent,
        /// Writes vanish, reads give the same byte for ever.
        Frozen(u8),
        /// Reads give the last byte that was sent, as the data register of a stopped controller.
        Echo,
        Arbitration,
    }

    impl Part {
        const fn at(temperature: [u8; 2]) -> Self {
            // Reset values: configuration 0, T_LOW 75 °C, T_HIGH 80 °C.
            let registers = [temperature, [0, 0], [0x4b, 0], [0x50, 0]];
            Self {
                registers,
                pointer: 0,
                fault: None,
            }
        }
    }

    impl ErrorType for &mut Part {
        type Error = ErrorKind;
    }

    impl I2c for &mut Part {
        fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
            assert_eq!(address, 0x48);
            let mut last_sent = 0;
            for operation in operations {
                match (operation, self.fault) {
                    (_, Some(Fault::Absent)) => {
                        return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
                    }
                    (_, Some(Fault::Arbitration)) => return Err(ErrorKind::ArbitrationLoss),
                    (Operation::Write(bytes), Some(_)) => last_sent = bytes[bytes.len() - 1],
                    (Operation::Read(into), Some(Fault::Frozen(byte))) => into.fill(byte),
                    (Operation::Read(into), Some(Fault::Echo)) => into.fill(last_sent),
                    (Operation::Write(bytes), None) => {
                        self.pointer = bytes[0];
                        let register = &mut self.registers[usize::from(self.pointer)];
                        register[..bytes.len() - 1].copy_from_slice(&bytes[1..]);
                    }
                    (Operation::Read(into), None) => {
                        let register = self.registers[usize::from(self.pointer)];
                        let len = into.len();
                        into.copy_from_slice(&register[..len]);
                    }
                }
            }
            Ok(())
        }
    }

    #[test]
    fn converts_the_table_of_the_datasheet() {
        for (raw, milli) in [
            (0x7ff_u16, 127_937),
            (0x640, 100_000),
            (0x500, 80_000),
            (0x4b0, 75_000),
            (0x320, 50_000),
            (0x190, 25_000),
            (0x004, 250),
            (0x000, 0),
            (0xffc, -250),
            (0xe70, -25_000),
            (0xc90, -55_000),
        ] {
            assert_eq!(convert((raw << 4).to_be_bytes()), milli, "{raw:#x}");
        }
    }

    #[test]
    fn a_good_part_is_configured_once_and_read() {
        let mut part = Part::at([0x19, 0x00]);
        let mut driver = Tmp105::new(&mut part, 0x48);
        assert_eq!((driver.read(), driver.read()), (Ok(25_000), Ok(25_000)));
        assert_eq!((part.registers[1][0], part.registers[3]), (CONFIGURED, SIGNATURE));
    }

    #[test]
    fn zero_degrees_of_a_good_part_is_a_value() {
        assert_eq!(Tmp105::new(&mut Part::at([0, 0]), 0x48).read(), Ok(0));
    }

    #[test]
    fn a_frozen_bus_is_never_a_temperature() {
        let frozen = (0..=255).map(Fault::Frozen);
        for fault in frozen.chain([Fault::Echo, Fault::Arbitration]) {
            let mut part = Part::at([0x19, 0x00]);
            let mut driver = Tmp105::new(&mut part, 0x48);
            assert_eq!(driver.read(), Ok(25_000));
            driver.bus.fault = Some(fault);
            assert_eq!(driver.read(), Err(NoData::BusFault), "{fault:?}");
            driver.bus.fault = None;
            assert_eq!(driver.read(), Ok(25_000), "after {fault:?}");
        }
    }

    #[test]
    fn a_part_that_lost_its_power_is_configured_again() {
        let mut part = Part::at([0x19, 0x00]);
        let mut driver = Tmp105::new(&mut part, 0x48);
        assert_eq!(driver.read(), Ok(25_000));
        *driver.bus = Part::at([0x19, 0x00]);
        assert_eq!(driver.read(), Err(NoData::BusFault));
        assert_eq!(driver.read(), Ok(25_000));
    }

    #[test]
    fn a_missing_part_is_absent() {
        let mut part = Part::at([0, 0]);
        part.fault = Some(Fault::Absent);
        assert_eq!(Tmp105::new(&mut part, 0x48).read(), Err(NoData::Absent));
    }
}

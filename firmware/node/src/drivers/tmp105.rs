//! TMP105 temperature sensor (Texas Instruments, SBOS318).
//!
//! Registers (table 4): 0 temperature, 1 configuration, 2 T_LOW, 3 T_HIGH. A temperature is 12 bits,
//! left-justified in two bytes, 0.0625 °C each (table 5).
//!
//! A bus that is frozen answers every read with the same byte, often zero, which is 0 °C to a
//! trusting driver. So every reading is followed by reading back what we have configured: the
//! resolution, and T_HIGH, which we do not use otherwise and set to a value whose two bytes
//! differ. A part that lost its power in between does not pass either, and is configured again.

use super::{Driver, Next, Outputs, Reading, register, write};
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

/// A part at 0x48 to 0x4f, by its pins A2..A0.
#[derive(Debug)]
pub struct Tmp105 {
    address: u8,
    configured: bool,
}

impl Tmp105 {
    /// A part that has not been read yet.
    #[must_use]
    pub const fn new(address: u8) -> Self {
        Self {
            address,
            configured: false,
        }
    }

    /// Temperature in thousandths of a degree Celsius.
    ///
    /// # Errors
    /// [`NoData::Absent`] when the part does not acknowledge, [`NoData::BusFault`] when the bus
    /// fails or what comes back is not what the part must hold.
    pub fn read(&mut self, bus: &mut impl I2c) -> Reading {
        let read = self.read_proven(bus);
        // Whatever went wrong, the part may have lost its configuration with its power.
        self.configured = read.is_ok();
        read
    }

    fn read_proven(&mut self, bus: &mut impl I2c) -> Reading {
        if !self.configured {
            write(bus, self.address, &[CONFIGURATION, CONFIGURED])?;
            write(bus, self.address, &[T_HIGH, SIGNATURE[0], SIGNATURE[1]])?;
        }
        let raw = register(bus, self.address, TEMPERATURE)?;
        // After the temperature: a bus that froze before it cannot pass any more.
        let configuration: [u8; 1] = register(bus, self.address, CONFIGURATION)?;
        let signature: [u8; 2] = register(bus, self.address, T_HIGH)?;
        if configuration != [CONFIGURED] || signature != SIGNATURE {
            return Err(NoData::BusFault);
        }
        Ok(convert(raw))
    }
}

impl Driver for Tmp105 {
    fn step(
        &mut self,
        bus: &mut impl I2c,
        _: Outputs,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<Next, NoData> {
        give(0, Ok(self.read(bus)?));
        Ok(Next::Done)
    }
}

/// Thousandths of a degree from the temperature register.
pub(super) const fn convert(raw: [u8; 2]) -> i32 {
    let steps = i16::from_be_bytes(raw) >> 4;
    // 62.5 thousandths each.
    steps as i32 * 625 / 10
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::drivers::fake::{Bus, FakePart, Fault, survives_the_bus};

    pub(crate) struct Part {
        registers: [[u8; 2]; 4],
        pointer: u8,
    }

    impl Part {
        pub(crate) const fn at(temperature: [u8; 2]) -> Self {
            // Reset values: configuration 0, T_LOW 75 °C, T_HIGH 80 °C.
            let registers = [temperature, [0, 0], [0x4b, 0], [0x50, 0]];
            Self {
                registers,
                pointer: 0,
            }
        }
    }

    impl FakePart for Part {
        fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.pointer = bytes[0];
            let register = &mut self.registers[usize::from(self.pointer)];
            register[..bytes.len() - 1].copy_from_slice(&bytes[1..]);
            Ok(())
        }

        fn read(&mut self, into: &mut [u8]) -> Result<(), ()> {
            let len = into.len();
            into.copy_from_slice(&self.registers[usize::from(self.pointer)][..len]);
            Ok(())
        }
    }

    fn part(temperature: [u8; 2]) -> (Tmp105, Bus<Part>) {
        (Tmp105::new(0x48), Bus::with(0x48, Part::at(temperature)))
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
        let (mut driver, mut bus) = part([0x19, 0x00]);
        assert_eq!(
            (driver.read(&mut bus), driver.read(&mut bus)),
            (Ok(25_000), Ok(25_000))
        );
        let registers = bus.part().registers;
        assert_eq!((registers[1][0], registers[3]), (CONFIGURED, SIGNATURE));
    }

    #[test]
    fn zero_degrees_of_a_good_part_is_a_value() {
        let (mut driver, mut bus) = part([0, 0]);
        assert_eq!(driver.read(&mut bus), Ok(0));
    }

    #[test]
    fn no_state_of_the_bus_is_a_value() {
        survives_the_bus(|| part([0x19, 0x00]), 1, &[(0, Ok(25_000))]);
    }

    #[test]
    fn a_frozen_bus_is_a_fault_of_the_bus_and_over_at_once() {
        for fault in [Fault::Frozen(0), Fault::Echo, Fault::Arbitration] {
            let (mut driver, mut bus) = part([0x19, 0x00]);
            assert_eq!(driver.read(&mut bus), Ok(25_000));
            bus.fault = Some(fault);
            assert_eq!(driver.read(&mut bus), Err(NoData::BusFault), "{fault:?}");
            bus.fault = None;
            assert_eq!(driver.read(&mut bus), Ok(25_000), "after {fault:?}");
        }
    }

    #[test]
    fn a_part_that_lost_its_power_is_configured_again() {
        let (mut driver, mut bus) = part([0x19, 0x00]);
        assert_eq!(driver.read(&mut bus), Ok(25_000));
        *bus.part() = Part::at([0x19, 0x00]);
        assert_eq!(driver.read(&mut bus), Err(NoData::BusFault));
        assert_eq!(driver.read(&mut bus), Ok(25_000));
    }
}

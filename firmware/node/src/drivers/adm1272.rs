//! ADM1272 hot-swap controller and power monitor on PMBus (Analog Devices, data sheet revision B),
//! read for the supply voltage.
//!
//! READ_VIN is a word, low byte first, in DIRECT format: Y = (m × X + b) × 10^R with m = 6770 in
//! the 60 V range and 4062 in the 100 V range, b = 0, R = -2 (table 9). Which range it is stands
//! in PMON_CONFIG, which is read with every value, and written when the voltage is not being
//! sampled. Its two bytes are told to differ, so that a bus that repeats a byte does not pass.

use super::{Driver, Next, Outputs, Reading, register, write};
use embedded_hal::i2c::I2c;
use shared::NoData;

const READ_VIN: u8 = 0x88;
const PMON_CONTROL: u8 = 0xd3;
const CONVERT: u8 = 1;
const PMON_CONFIG: u8 = 0xd4;
/// As delivered: 100 V range, continuous sampling, input voltage sampled, averages of 128.
const CONFIGURED: u16 = 0x3f35;
const WIDE_RANGE: u16 = 1 << 5;
const CONTINUOUS: u16 = 1 << 4;
const VIN_SAMPLED: u16 = 1 << 2;
/// Codes have twelve bits.
const MAX_CODE: u16 = 0x0fff;

const _: () = assert!(CONFIGURED.to_le_bytes()[0] != CONFIGURED.to_le_bytes()[1]);

/// A part at 0x10 to 0x1f, by its pins ADR1 and ADR2. Output 0 is the input voltage, in
/// thousandths of a volt.
#[derive(Debug)]
pub struct Adm1272 {
    address: u8,
}

impl Adm1272 {
    /// A part that has not been read yet.
    #[must_use]
    pub const fn new(address: u8) -> Self {
        Self { address }
    }
}

impl Driver for Adm1272 {
    fn step(
        &mut self,
        bus: &mut impl I2c,
        _: Outputs,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<Next, NoData> {
        let code = u16::from_le_bytes(register(bus, self.address, READ_VIN)?);
        let bytes = register(bus, self.address, PMON_CONFIG)?;
        let configuration = u16::from_le_bytes(bytes);
        if bytes[0] == bytes[1] || configuration & (CONTINUOUS | VIN_SAMPLED) != CONTINUOUS | VIN_SAMPLED {
            let [low, high] = CONFIGURED.to_le_bytes();
            write(bus, self.address, &[PMON_CONFIG, low, high])?;
            write(bus, self.address, &[PMON_CONTROL, CONVERT])?;
            return Err(NoData::BusFault);
        }
        give(0, millivolts(code, configuration & WIDE_RANGE != 0));
        Ok(Next::Done)
    }
}

/// X = Y × 10^2 / m volts.
fn millivolts(code: u16, wide: bool) -> Reading {
    if code > MAX_CODE {
        return Err(NoData::Implausible);
    }
    let m = if wide { 4_062 } else { 6_770 };
    Ok((i32::from(code) * 100_000 + m / 2) / m)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::fake::{Bus, FakePart, measure, survives_the_bus};

    struct Part {
        code: u16,
        configuration: u16,
        command: u8,
    }

    impl FakePart for Part {
        fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.command = bytes[0];
            if let [PMON_CONFIG, low, high] = *bytes {
                self.configuration = u16::from_le_bytes([low, high]);
            }
            Ok(())
        }

        fn read(&mut self, into: &mut [u8]) -> Result<(), ()> {
            into.copy_from_slice(&match self.command {
                READ_VIN => self.code.to_le_bytes(),
                PMON_CONFIG => self.configuration.to_le_bytes(),
                _ => return Err(()),
            });
            Ok(())
        }
    }

    fn part() -> (Adm1272, Bus<Part>) {
        let part = Part {
            code: 487,
            configuration: CONFIGURED,
            command: 0,
        };
        (Adm1272::new(0x10), Bus::with(0x10, part))
    }

    #[test]
    fn a_code_is_a_voltage_by_the_coefficients_of_its_range() {
        // 12 V × 4062 / 100 = 487.4; 48 V × 6770 / 100 = 3249.6.
        assert_eq!(millivolts(487, true), Ok(11_989));
        assert_eq!(millivolts(3_250, false), Ok(48_006));
        assert_eq!(millivolts(0, true), Ok(0));
        assert_eq!(millivolts(0x1000, true), Err(NoData::Implausible));
    }

    #[test]
    fn a_part_that_does_not_sample_the_voltage_is_told_to() {
        let (mut driver, mut bus) = part();
        bus.part().configuration = 0x3f31;
        assert_eq!(measure(&mut driver, &mut bus, 1), Err(NoData::BusFault));
        assert_eq!(measure(&mut driver, &mut bus, 1).unwrap(), [(0, Ok(11_989))]);
    }

    #[test]
    fn no_state_of_the_bus_is_a_value() {
        survives_the_bus(part, 1, &[(0, Ok(11_989))]);
    }
}

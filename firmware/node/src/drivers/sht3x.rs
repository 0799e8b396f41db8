//! SHT30, SHT31 and SHT35 temperature and humidity sensors (Sensirion, datasheet SHT3x-DIS,
//! version 7).
//!
//! Single shot with high repeatability and without clock stretching (table 9): stretching would
//! hold the bus for the whole conversion, and with it the EEPROM and the door. The heater is never
//! switched on.

use super::sht4x::celsius_milli;
use super::{Driver, Next, Outputs, Reading, words, write};
use embedded_hal::i2c::I2c;
use shared::NoData;

/// Single shot, high repeatability, clock stretching disabled.
const MEASURE: [u8; 2] = [0x24, 0x00];
/// The longest high repeatability measurement is 15.5 ms (table 4).
const MEASURE_MS: u16 = 16;

/// Output of the temperature, in thousandths of a degree Celsius.
pub const TEMPERATURE: u8 = 0;
/// Output of the relative humidity, in thousandths of a percent.
pub const HUMIDITY: u8 = 1;

/// A part at 0x44 or 0x45, by its pin ADDR.
#[derive(Debug)]
pub struct Sht3x {
    address: u8,
    measuring: bool,
}

impl Sht3x {
    /// A part that has not been measured yet.
    #[must_use]
    pub const fn new(address: u8) -> Self {
        Self {
            address,
            measuring: false,
        }
    }
}

impl Driver for Sht3x {
    // Repeatability is 0.04 °C and 0.08 % (tables 1 and 2), a step 0.0027 °C and 0.0015 %.
    const STUCK_AFTER_MS: Option<u32> = Some(600_000);

    fn step(
        &mut self,
        bus: &mut impl I2c,
        _: Outputs,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<Next, NoData> {
        if !core::mem::take(&mut self.measuring) {
            write(bus, self.address, &MEASURE)?;
            self.measuring = true;
            return Ok(Next::After(MEASURE_MS));
        }
        let [temperature, humidity] = words::<2, 6>(bus, self.address)?;
        give(TEMPERATURE, Ok(celsius_milli(temperature)));
        give(HUMIDITY, Ok(humidity_milli(humidity)));
        Ok(Next::Done)
    }
}

/// 100 % × raw / (2^16 - 1), in thousandths (section 4.13).
const fn humidity_milli(raw: u16) -> i32 {
    // 100 000 / 65 535 = 20 000 / 13 107.
    ((raw as u32 * 20_000 + 6_553) / 13_107) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::fake::{Bus, measure, survives_the_bus};
    use crate::drivers::sht4x::tests::Part;

    fn part() -> (Sht3x, Bus<Part>) {
        let part = Part {
            words: [0x6666, 0x7fff],
            command: &[0x24, 0x00],
            measured: false,
            disturbed: 0,
        };
        (Sht3x::new(0x45), Bus::with(0x45, part))
    }

    #[test]
    fn converts_the_formulas_of_the_datasheet() {
        for (raw, humidity) in [(0, 0), (0xffff, 100_000), (0x8000, 50_001), (0x1999, 9_999)] {
            assert_eq!(humidity_milli(raw), humidity, "{raw:#x}");
        }
        assert_eq!((celsius_milli(0), celsius_milli(0xffff)), (-45_000, 130_000));
    }

    #[test]
    fn a_good_part_gives_both_quantities() {
        let (mut driver, mut bus) = part();
        let good = [(TEMPERATURE, Ok(25_000)), (HUMIDITY, Ok(49_999))];
        assert_eq!(measure(&mut driver, &mut bus, 3).as_deref(), Ok(&good[..]));
        bus.part().disturbed = 1;
        assert_eq!(measure(&mut driver, &mut bus, 3), Err(NoData::Corrupt));
    }

    #[test]
    fn no_state_of_the_bus_is_a_value() {
        survives_the_bus(part, 3, &[(TEMPERATURE, Ok(25_000)), (HUMIDITY, Ok(49_999))]);
    }
}

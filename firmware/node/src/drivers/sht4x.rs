//! SHT40, SHT41, SHT43 and SHT45 temperature and humidity sensors (Sensirion, datasheet SHT4x,
//! version 6.5).
//!
//! One command byte starts a measurement; until it is over the part does not acknowledge
//! (section 4.4). Two words come back, temperature and humidity, each with its checksum. The heater
//! commands are never sent: they would warm the room's reading.

use super::{Driver, Next, Outputs, Reading, words, write};
use embedded_hal::i2c::I2c;
use shared::NoData;

/// High precision, without heater (table 8).
const MEASURE: u8 = 0xfd;
/// The longest high precision measurement is 8.3 ms (table 5).
const MEASURE_MS: u16 = 9;

/// Output of the temperature, in thousandths of a degree Celsius.
pub const TEMPERATURE: u8 = 0;
/// Output of the relative humidity, in thousandths of a percent.
pub const HUMIDITY: u8 = 1;

/// A part at 0x44 to 0x46, by its order code.
#[derive(Debug)]
pub struct Sht4x {
    address: u8,
    measuring: bool,
}

impl Sht4x {
    /// A part that has not been measured yet.
    #[must_use]
    pub const fn new(address: u8) -> Self {
        Self {
            address,
            measuring: false,
        }
    }
}

impl Driver for Sht4x {
    // 0.0027 °C and 0.0019 % a step, with a repeatability of 0.04 °C and 0.08 %: both words do not
    // stay for ten minutes.
    const STUCK_AFTER_MS: Option<u32> = Some(600_000);

    fn step(
        &mut self,
        bus: &mut impl I2c,
        _: Outputs,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<Next, NoData> {
        if !core::mem::take(&mut self.measuring) {
            write(bus, self.address, &[MEASURE])?;
            self.measuring = true;
            return Ok(Next::After(MEASURE_MS));
        }
        let [temperature, humidity] = words::<2, 6>(bus, self.address)?;
        give(TEMPERATURE, Ok(celsius_milli(temperature)));
        give(HUMIDITY, Ok(humidity_milli(humidity)));
        Ok(Next::Done)
    }
}

/// -45 °C + 175 °C × raw / (2^16 - 1), in thousandths (section 4.6; the SHT3x has the same).
pub(super) const fn celsius_milli(raw: u16) -> i32 {
    // 175 000 / 65 535 = 35 000 / 13 107, which keeps the product within 32 bits.
    ((raw as u32 * 35_000 + 6_553) / 13_107) as i32 - 45_000
}

/// -6 % + 125 % × raw / (2^16 - 1), in thousandths, cropped to 0..100 % as section 4.6 advises.
const fn humidity_milli(raw: u16) -> i32 {
    let milli = ((raw as u32 * 25_000 + 6_553) / 13_107) as i32 - 6_000;
    if milli < 0 {
        0
    } else if milli > 100_000 {
        100_000
    } else {
        milli
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::drivers::fake::{Bus, FakePart, measure, survives_the_bus};
    use sensirion_i2c::crc8;

    /// Answers like the part: not before it was asked, and once.
    pub(crate) struct Part {
        pub(crate) words: [u16; 2],
        pub(crate) command: &'static [u8],
        pub(crate) measured: bool,
        /// Turned into the checksum of the second word.
        pub(crate) disturbed: u8,
    }

    impl Part {
        pub(crate) fn new(words: [u16; 2]) -> Self {
            Self {
                words,
                command: &[MEASURE],
                measured: false,
                disturbed: 0,
            }
        }
    }

    impl FakePart for Part {
        fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.measured = bytes == self.command;
            Ok(())
        }

        fn read(&mut self, into: &mut [u8]) -> Result<(), ()> {
            if !core::mem::take(&mut self.measured) {
                return Err(());
            }
            for (chunk, word) in into.chunks_mut(3).zip(self.words) {
                chunk[..2].copy_from_slice(&word.to_be_bytes());
                chunk[2] = crc8::calculate(&chunk[..2]);
            }
            into[5] ^= self.disturbed;
            Ok(())
        }
    }

    fn part(words: [u16; 2]) -> (Sht4x, Bus<Part>) {
        (Sht4x::new(0x44), Bus::with(0x44, Part::new(words)))
    }

    #[test]
    fn the_checksum_is_the_one_of_the_datasheet() {
        assert_eq!(crc8::calculate(&[0xbe, 0xef]), 0x92);
    }

    #[test]
    fn converts_the_formulas_of_the_datasheet() {
        for (raw, celsius, humidity) in [
            (0x0000, -45_000, 0),
            (0xffff, 130_000, 100_000),
            // 25 °C is 26214 (0x6666); 60.001 % is 34603 (0x872b).
            (0x6666, 25_000, 44_000),
            (0x872b, 47_401, 60_001),
        ] {
            assert_eq!(celsius_milli(raw), celsius, "{raw:#x}");
            assert_eq!(humidity_milli(raw), humidity, "{raw:#x}");
        }
    }

    #[test]
    fn humidity_beyond_what_can_be_is_cropped() {
        assert_eq!((humidity_milli(0x0c00), humidity_milli(0xf000)), (0, 100_000));
    }

    #[test]
    fn a_measurement_is_started_and_fetched_later() {
        let (mut driver, mut bus) = part([0x6666, 0x872b]);
        let mut given = Vec::new();
        let mut give = |output, reading| given.push((output, reading));
        assert_eq!(driver.step(&mut bus, 3, &mut give), Ok(Next::After(9)));
        assert_eq!(driver.step(&mut bus, 3, &mut give), Ok(Next::Done));
        assert_eq!(given, [(TEMPERATURE, Ok(25_000)), (HUMIDITY, Ok(60_001))]);
    }

    #[test]
    fn a_wrong_checksum_is_no_value() {
        let (mut driver, mut bus) = part([0x6666, 0x872b]);
        for bit in 0..8 {
            bus.part().disturbed = 1 << bit;
            assert_eq!(measure(&mut driver, &mut bus, 3), Err(NoData::Corrupt));
        }
        bus.part().disturbed = 0;
        assert!(measure(&mut driver, &mut bus, 3).is_ok());
    }

    #[test]
    fn a_measurement_that_does_not_end_is_a_timeout() {
        let (mut driver, mut bus) = part([0x6666, 0x872b]);
        bus.part().command = &[0];
        assert_eq!(measure(&mut driver, &mut bus, 3), Err(NoData::Timeout));
    }

    #[test]
    fn no_state_of_the_bus_is_a_value() {
        let good = [(TEMPERATURE, Ok(25_000)), (HUMIDITY, Ok(60_001))];
        survives_the_bus(|| part([0x6666, 0x872b]), 3, &good);
    }
}

//! ADS1115 analogue-digital converter with four inputs (Texas Instruments, SBAS444, revision D).
//!
//! One input after the other, each as a single conversion at ±4.096 V (0.125 mV a step, table 8-1)
//! and 128 samples per second. The configuration is read back with the end of the conversion: its
//! two bytes differ for every input, so a bus that repeats a byte does not pass, and the part
//! proves that it converted the input we asked for.

use super::{Driver, Next, Outputs, Reading, register, write};
use embedded_hal::i2c::I2c;
use shared::NoData;

const CONVERSION: u8 = 0;
const CONFIGURATION: u8 = 1;
/// Start (1), input 0 against ground (100), ±4.096 V (001), single (1).
const START: u8 = 0b1100_0011;
/// 128 samples per second (100), comparator off.
const RATE: u8 = 0b1000_0011;
/// Reads as 1 when no conversion runs.
const READY: u8 = 1 << 7;

/// 1/128 s and the 10 % that the oscillator may be off (section 6.5).
const CONVERT_MS: u16 = 9;
/// Inputs of the part.
const INPUTS: u8 = 4;
/// A single-ended input may read a little below zero.
const MAX_BELOW_ZERO: i16 = -80;

/// A part at 0x48 to 0x4b, by its pin ADDR. Output n is input n, in thousandths of a volt.
#[derive(Debug)]
pub struct Ads1115 {
    address: u8,
    input: u8,
    converting: bool,
}

impl Ads1115 {
    /// A part that has not been read yet.
    #[must_use]
    pub const fn new(address: u8) -> Self {
        Self {
            address,
            input: 0,
            converting: false,
        }
    }
}

impl Driver for Ads1115 {
    fn step(
        &mut self,
        bus: &mut impl I2c,
        wanted: Outputs,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<Next, NoData> {
        if core::mem::take(&mut self.converting) {
            let [high, low] = register(bus, self.address, CONFIGURATION)?;
            if high & !READY != configuration(self.input) & !READY || low != RATE {
                self.input = 0;
                return Err(NoData::BusFault);
            }
            if high & READY == 0 {
                self.input = 0;
                return Err(NoData::Timeout);
            }
            let raw = i16::from_be_bytes(register(bus, self.address, CONVERSION)?);
            give(self.input, millivolts(raw));
            self.input += 1;
        }
        while self.input < INPUTS && wanted & (1 << self.input) == 0 {
            self.input += 1;
        }
        if self.input >= INPUTS {
            self.input = 0;
            return Ok(Next::Done);
        }
        let command = [CONFIGURATION, configuration(self.input), RATE];
        if let Err(reason) = write(bus, self.address, &command) {
            self.input = 0;
            return Err(reason);
        }
        self.converting = true;
        Ok(Next::After(CONVERT_MS))
    }
}

const fn configuration(input: u8) -> u8 {
    START | input << 4
}

fn millivolts(raw: i16) -> Reading {
    match raw {
        i16::MIN..MAX_BELOW_ZERO => Err(NoData::Implausible),
        // The end of the range: the input may be anywhere above.
        i16::MAX => Err(NoData::Implausible),
        _ => Ok((i32::from(raw) / 8).max(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::fake::{Bus, FakePart, measure, survives_the_bus};

    struct Part {
        inputs: [i16; 4],
        configuration: [u8; 2],
        pointer: u8,
        slow: bool,
    }

    impl FakePart for Part {
        fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.pointer = bytes[0];
            if let [CONFIGURATION, high, low] = *bytes {
                self.configuration = [if self.slow { high & !READY } else { high }, low];
            }
            Ok(())
        }

        fn read(&mut self, into: &mut [u8]) -> Result<(), ()> {
            let input = usize::from(self.configuration[0] >> 4 & 0b11);
            into.copy_from_slice(&match self.pointer {
                CONVERSION => self.inputs[input].to_be_bytes(),
                _ => self.configuration,
            });
            Ok(())
        }
    }

    fn part() -> (Ads1115, Bus<Part>) {
        let part = Part {
            inputs: [8_000, 16_000, 32_766, -40],
            // The reset value (section 8.1.3).
            configuration: [0x85, 0x83],
            pointer: 0,
            slow: false,
        };
        (Ads1115::new(0x48), Bus::with(0x48, part))
    }

    #[test]
    fn a_step_is_an_eighth_of_a_millivolt() {
        for (raw, reading) in [
            (0, Ok(0)),
            (8, Ok(1)),
            (8_000, Ok(1_000)),
            (32_766, Ok(4_095)),
            (-40, Ok(0)),
            (i16::MAX, Err(NoData::Implausible)),
            (i16::MIN, Err(NoData::Implausible)),
        ] {
            assert_eq!(millivolts(raw), reading, "{raw}");
        }
    }

    #[test]
    fn the_configuration_is_the_one_of_the_datasheet() {
        // Table 8-3: OS 1, MUX 100 to 111, PGA 001, MODE 1; DR 100, COMP_QUE 11.
        assert_eq!([0, 1, 2, 3].map(configuration), [0xc3, 0xd3, 0xe3, 0xf3]);
        assert_eq!(RATE, 0x83);
    }

    #[test]
    fn only_wanted_inputs_are_converted_in_order() {
        let (mut driver, mut bus) = part();
        for _ in 0..2 {
            assert_eq!(
                measure(&mut driver, &mut bus, 0b1011).unwrap(),
                [(0, Ok(1_000)), (1, Ok(2_000)), (3, Ok(0))]
            );
        }
        assert_eq!(measure(&mut driver, &mut bus, 0).unwrap(), []);
    }

    #[test]
    fn a_conversion_that_does_not_end_is_a_timeout() {
        let (mut driver, mut bus) = part();
        bus.part().slow = true;
        assert_eq!(measure(&mut driver, &mut bus, 1), Err(NoData::Timeout));
    }

    #[test]
    fn no_state_of_the_bus_is_a_value() {
        survives_the_bus(part, 0b0101, &[(0, Ok(1_000)), (2, Ok(4_095))]);
    }
}

//! MAX34451 monitor of sixteen voltages on PMBus (Maxim, datasheet 19-6267), used as an
//! analogue-digital converter.
//!
//! Command PAGE picks the input, READ_VOUT fetches it: a word, low byte first, in DIRECT format
//! with m = 1, b = 0, R = 0 in millivolts, at the pin when VOUT_SCALE_MONITOR is as delivered.
//! After it PAGE and VOUT_MODE are read back. VOUT_MODE is 0x40 (DIRECT), which is no page of an
//! input, so a bus that repeats a byte does not pass.

use super::{Driver, Next, Outputs, Reading, register, write};
use embedded_hal::i2c::I2c;
use shared::NoData;

const PAGE: u8 = 0x00;
const VOUT_MODE: u8 = 0x20;
const READ_VOUT: u8 = 0x8b;
const DIRECT: u8 = 0x40;
/// Pages of inputs.
const INPUTS: u8 = 16;
const _: () = assert!(DIRECT >= INPUTS);

/// A part; its address is set by resistors, 0x4e in the simplest circuit. Output n is the voltage
/// of page n, in thousandths of a volt.
#[derive(Debug)]
pub struct Max34451 {
    address: u8,
    input: u8,
}

impl Max34451 {
    /// A part that has not been read yet.
    #[must_use]
    pub const fn new(address: u8) -> Self {
        Self { address, input: 0 }
    }

    fn read(&self, bus: &mut impl I2c) -> Reading {
        write(bus, self.address, &[PAGE, self.input])?;
        let millivolts = u16::from_le_bytes(register(bus, self.address, READ_VOUT)?);
        let page: [u8; 1] = register(bus, self.address, PAGE)?;
        let mode: [u8; 1] = register(bus, self.address, VOUT_MODE)?;
        if page != [self.input] || mode != [DIRECT] {
            return Err(NoData::BusFault);
        }
        // The word is signed; a voltage below ground is none.
        i16::try_from(millivolts)
            .map(i32::from)
            .map_err(|_| NoData::Implausible)
    }
}

impl Driver for Max34451 {
    fn step(
        &mut self,
        bus: &mut impl I2c,
        wanted: Outputs,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<Next, NoData> {
        while self.input < INPUTS && wanted & (1 << self.input) == 0 {
            self.input += 1;
        }
        if self.input < INPUTS {
            match self.read(bus) {
                Err(reason) if reason != NoData::Implausible => {
                    self.input = 0;
                    return Err(reason);
                }
                reading => give(self.input, reading),
            }
            self.input += 1;
        }
        if self.input < INPUTS && wanted >> self.input != 0 {
            return Ok(Next::After(1));
        }
        self.input = 0;
        Ok(Next::Done)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::drivers::fake::{Bus, FakePart, measure, survives_the_bus};

    pub(crate) struct Part {
        millivolts: [u16; 16],
        page: u8,
        command: u8,
    }

    impl Part {
        pub(crate) const fn new(millivolts: [u16; 16]) -> Self {
            Self {
                millivolts,
                page: 0,
                command: 0,
            }
        }
    }

    impl FakePart for Part {
        fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.command = bytes[0];
            if let [PAGE, page] = *bytes {
                self.page = page;
            }
            Ok(())
        }

        fn read(&mut self, into: &mut [u8]) -> Result<(), ()> {
            match self.command {
                READ_VOUT => into.copy_from_slice(&self.millivolts[usize::from(self.page)].to_le_bytes()),
                PAGE => into[0] = self.page,
                VOUT_MODE => into[0] = DIRECT,
                _ => return Err(()),
            }
            Ok(())
        }
    }

    fn part() -> (Max34451, Bus<Part>) {
        let mut millivolts = [0; 16];
        millivolts[0] = 1_000;
        millivolts[3] = 2_048;
        millivolts[15] = 0x8000;
        (Max34451::new(0x4e), Bus::with(0x4e, Part::new(millivolts)))
    }

    #[test]
    fn the_word_is_millivolts_low_byte_first() {
        let (mut driver, mut bus) = part();
        for _ in 0..2 {
            assert_eq!(
                measure(&mut driver, &mut bus, 0b1001).unwrap(),
                [(0, Ok(1_000)), (3, Ok(2_048))]
            );
        }
        assert_eq!(measure(&mut driver, &mut bus, 0).unwrap(), []);
    }

    #[test]
    fn a_voltage_below_ground_is_no_value_and_the_others_are_read() {
        let (mut driver, mut bus) = part();
        assert_eq!(
            measure(&mut driver, &mut bus, 1 << 15 | 1).unwrap(),
            [(0, Ok(1_000)), (15, Err(NoData::Implausible))]
        );
    }

    #[test]
    fn no_state_of_the_bus_is_a_value() {
        survives_the_bus(part, 0b1001, &[(0, Ok(1_000)), (3, Ok(2_048))]);
    }
}

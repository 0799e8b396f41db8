//! TMP1075 temperature sensor (Texas Instruments, SBOS854).
//!
//! Registers (table 7-3): 0 temperature, 15 device identification. A temperature is 12 bits,
//! left-justified in two bytes, 0.0625 °C each. The part converts by itself every 27.5 ms after
//! power-on, so there is nothing to configure; that it is there and answers is proven by its
//! identification, whose two bytes differ. The variant TMP1075N has none: mount it as a TMP105.

use super::tmp105::convert;
use super::{Driver, Next, Outputs, Reading, register};
use embedded_hal::i2c::I2c;
use shared::NoData;

const TEMPERATURE: u8 = 0x00;
const IDENTIFICATION: u8 = 0x0f;
const IDENTITY: [u8; 2] = [0x75, 0x00];

/// A part at 0x48 to 0x4f (and 0x40 to 0x47, 0x70 to 0x77), by its pins.
#[derive(Debug)]
pub struct Tmp1075 {
    address: u8,
}

impl Tmp1075 {
    /// A part that has not been read yet.
    #[must_use]
    pub const fn new(address: u8) -> Self {
        Self { address }
    }
}

impl Driver for Tmp1075 {
    fn step(
        &mut self,
        bus: &mut impl I2c,
        _: Outputs,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<Next, NoData> {
        let raw = register(bus, self.address, TEMPERATURE)?;
        // After the temperature: a bus that froze before it cannot pass any more.
        if register(bus, self.address, IDENTIFICATION)? != IDENTITY {
            return Err(NoData::BusFault);
        }
        give(0, Ok(convert(raw)));
        Ok(Next::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::fake::{Bus, FakePart, measure, survives_the_bus};

    struct Part {
        temperature: [u8; 2],
        identity: [u8; 2],
        pointer: u8,
    }

    impl FakePart for Part {
        fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.pointer = bytes[0];
            Ok(())
        }

        fn read(&mut self, into: &mut [u8]) -> Result<(), ()> {
            into.copy_from_slice(match self.pointer {
                TEMPERATURE => &self.temperature,
                IDENTIFICATION => &self.identity,
                _ => return Err(()),
            });
            Ok(())
        }
    }

    fn part() -> (Tmp1075, Bus<Part>) {
        let part = Part {
            temperature: [0x19, 0x00],
            identity: IDENTITY,
            pointer: 0,
        };
        (Tmp1075::new(0x4f), Bus::with(0x4f, part))
    }

    #[test]
    fn no_state_of_the_bus_is_a_value() {
        survives_the_bus(part, 1, &[(0, Ok(25_000))]);
    }

    #[test]
    fn another_part_at_the_address_is_not_believed() {
        let (mut driver, mut bus) = part();
        bus.part().identity = [0xff, 0xff];
        assert_eq!(measure(&mut driver, &mut bus, 1), Err(NoData::BusFault));
    }
}

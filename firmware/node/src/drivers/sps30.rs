//! SPS30 particle counter (Sensirion, datasheet version 1.0 D1, firmware 2.2 or later), at I2C
//! address 0x69.
//!
//! ```text
//! Idle --stop--> Stopped --start, fan runs up 30 s--> Running --ready? --status--> values
//!   ^---------------------------- any error ----------------+
//! ```
//! Values are asked for as whole micrograms per cubic metre, so nothing here computes in floating
//! point. A laser, fan or speed that the part itself reports is a [`NoData::DeviceError`]: its
//! numbers would still look clean. Every word has a checksum.

use super::{Driver, Next, Outputs, Reading, words, write};
use embedded_hal::i2c::I2c;
use shared::NoData;

/// "Start Measurement" in whole numbers (0x05 0x00, checksum 0xf6).
const START: [u8; 5] = [0x00, 0x10, 0x05, 0x00, 0xf6];
const STOP: [u8; 2] = [0x01, 0x04];
const READY: [u8; 2] = [0x02, 0x02];
const VALUES: [u8; 2] = [0x03, 0x00];
const STATUS: [u8; 2] = [0xd2, 0x06];
/// Bits 21 (speed), 5 (laser) and 4 (fan) of the status (section 4.4).
const SPEED: u16 = 1 << 5;
const LASER_OR_FAN: u16 = 1 << 5 | 1 << 4;

/// Longest execution of start and stop (table 8).
const COMMAND_MS: u16 = 20;
/// Until the values of clean air are good (table 1).
const START_UP_MS: u16 = 30_000;
/// Between a command and fetching its answer.
const ANSWER_MS: u16 = 5;
/// A value is ready every second; so many looks without one, and the part does not measure.
const MAX_LOOKS: u8 = 4;
const LOOK_MS: u16 = 1_000;

/// A part. Outputs 0 to 3 are PM1.0, PM2.5, PM4 and PM10, in thousandths of a microgram per cubic
/// metre.
#[derive(Debug)]
pub struct Sps30 {
    address: u8,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Whether it measures is not known.
    Idle,
    Stopped,
    Running,
    /// Asked whether a value is ready, so many times.
    Asked {
        looks: u8,
    },
    /// A value is ready; the status was asked for.
    StatusAsked,
    /// The values were asked for.
    ValuesAsked,
}

impl Sps30 {
    /// A part that has not been spoken to yet; `address` is 0x69.
    #[must_use]
    pub const fn new(address: u8) -> Self {
        Self {
            address,
            phase: Phase::Idle,
        }
    }

    fn proceed(
        &mut self,
        bus: &mut impl I2c,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<(Phase, Next), NoData> {
        match self.phase {
            Phase::Idle => {
                // A part that kept its power through our restart measures, and would refuse the
                // start.
                write(bus, self.address, &STOP)?;
                Ok((Phase::Stopped, Next::After(COMMAND_MS)))
            }
            Phase::Stopped => {
                write(bus, self.address, &START)?;
                Ok((Phase::Running, Next::After(START_UP_MS)))
            }
            Phase::Running => {
                write(bus, self.address, &READY)?;
                Ok((Phase::Asked { looks: 0 }, Next::After(ANSWER_MS)))
            }
            Phase::Asked { looks } => match words::<1, 3>(bus, self.address)? {
                [1] => {
                    write(bus, self.address, &STATUS)?;
                    Ok((Phase::StatusAsked, Next::After(ANSWER_MS)))
                }
                [0] if looks + 1 < MAX_LOOKS => {
                    write(bus, self.address, &READY)?;
                    Ok((Phase::Asked { looks: looks + 1 }, Next::After(LOOK_MS)))
                }
                [0] => Err(NoData::Timeout),
                _ => Err(NoData::BusFault),
            },
            Phase::StatusAsked => {
                let [high, low] = words::<2, 6>(bus, self.address)?;
                if high & SPEED != 0 || low & LASER_OR_FAN != 0 {
                    return Err(NoData::DeviceError);
                }
                write(bus, self.address, &VALUES)?;
                Ok((Phase::ValuesAsked, Next::After(ANSWER_MS)))
            }
            Phase::ValuesAsked => {
                let masses = words::<4, 12>(bus, self.address)?;
                // Smaller particles are part of the larger classes.
                if !masses.is_sorted() {
                    return Err(NoData::Implausible);
                }
                for (output, mass) in (0..).zip(masses) {
                    give(output, Ok(i32::from(mass) * 1_000));
                }
                Ok((Phase::Running, Next::Done))
            }
        }
    }
}

impl Driver for Sps30 {
    fn step(
        &mut self,
        bus: &mut impl I2c,
        _: Outputs,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<Next, NoData> {
        let proceeded = self.proceed(bus, give);
        self.phase = match proceeded {
            Ok((phase, _)) => phase,
            // It measures; its values are good again when it says so.
            Err(NoData::DeviceError) => Phase::Running,
            Err(_) => Phase::Idle,
        };
        proceeded.map(|(_, next)| next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::fake::{Bus, FakePart, measure, survives_the_bus};
    use sensirion_i2c::crc8;

    struct Part {
        running: bool,
        ready: u16,
        status: [u16; 2],
        masses: [u16; 4],
        answer: Vec<u16>,
        disturbed: bool,
    }

    impl FakePart for Part {
        fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.answer = match *bytes {
                [0x00, 0x10, 0x05, 0x00, crc] if !self.running && crc == crc8::calculate(&[5, 0]) => {
                    self.running = true;
                    vec![]
                }
                [0x00, 0x10, ..] => return Err(()),
                [0x01, 0x04] => {
                    self.running = false;
                    vec![]
                }
                [0x02, 0x02] => vec![if self.running { self.ready } else { 0 }],
                [0xd2, 0x06] => self.status.to_vec(),
                [0x03, 0x00] if self.running => self.masses.to_vec(),
                _ => return Err(()),
            };
            Ok(())
        }

        fn read(&mut self, into: &mut [u8]) -> Result<(), ()> {
            if self.answer.is_empty() {
                return Err(());
            }
            for (chunk, word) in into.chunks_mut(3).zip(&self.answer) {
                chunk[..2].copy_from_slice(&word.to_be_bytes());
                chunk[2] = crc8::calculate(&chunk[..2]) ^ u8::from(self.disturbed);
            }
            Ok(())
        }
    }

    fn part() -> (Sps30, Bus<Part>) {
        let part = Part {
            // It kept its power through our restart.
            running: true,
            ready: 1,
            status: [0, 0],
            masses: [3, 5, 6, 8],
            answer: vec![],
            disturbed: false,
        };
        (Sps30::new(0x69), Bus::with(0x69, part))
    }

    const GOOD: [(u8, Reading); 4] = [(0, Ok(3_000)), (1, Ok(5_000)), (2, Ok(6_000)), (3, Ok(8_000))];

    #[test]
    fn the_fan_runs_up_once_before_the_first_value() {
        let (mut driver, mut bus) = part();
        let mut waits = Vec::new();
        while let Next::After(ms) = driver.step(&mut bus, 15, &mut |_, _| ()).unwrap() {
            waits.push(ms);
        }
        assert_eq!(waits, [20, 30_000, 5, 5, 5]);
        assert_eq!(measure(&mut driver, &mut bus, 15).unwrap(), GOOD);
        assert!(bus.part().running);
    }

    #[test]
    fn a_dirty_laser_or_a_slow_fan_is_no_clean_air() {
        for status in [[SPEED, 0], [0, 1 << 5], [0, 1 << 4]] {
            let (mut driver, mut bus) = part();
            bus.part().status = status;
            assert_eq!(measure(&mut driver, &mut bus, 15), Err(NoData::DeviceError));
            bus.part().status = [0, 0];
            assert_eq!(measure(&mut driver, &mut bus, 15).unwrap(), GOOD);
        }
    }

    #[test]
    fn a_part_that_never_has_a_value_is_started_again() {
        let (mut driver, mut bus) = part();
        bus.part().ready = 0;
        assert_eq!(measure(&mut driver, &mut bus, 15), Err(NoData::Timeout));
        bus.part().ready = 1;
        assert_eq!(measure(&mut driver, &mut bus, 15).unwrap(), GOOD);
    }

    #[test]
    fn a_wrong_checksum_is_no_value_and_neither_are_masses_that_shrink() {
        let (mut driver, mut bus) = part();
        bus.part().disturbed = true;
        assert_eq!(measure(&mut driver, &mut bus, 15), Err(NoData::Corrupt));
        bus.part().disturbed = false;
        bus.part().masses = [9, 8, 9, 9];
        assert_eq!(measure(&mut driver, &mut bus, 15), Err(NoData::Implausible));
    }

    #[test]
    fn no_state_of_the_bus_is_a_value() {
        survives_the_bus(part, 15, &GOOD);
    }
}

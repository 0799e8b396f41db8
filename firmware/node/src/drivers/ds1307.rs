//! DS1307 and DS1338 real-time clocks (Maxim, datasheets 19-5045 and 19-5089), at address 0x68.
//!
//! Both keep the time in registers 0 to 6 and halt while bit 7 of register 0 is set. The DS1338
//! also says in bit 5 of register 7 that its oscillator had stopped. The DS1307 cannot say that: its
//! registers after a loss of the battery are undefined. There a mark in the battery-backed memory
//! from register 8 on, which is set with the time, is the proof.

use super::calendar::{ClockFault, registers, unix_ms};
use super::{register, write};
use embedded_hal::i2c::I2c;

const ADDRESS: u8 = 0x68;
const SECONDS: u8 = 0;
const HALTED: u8 = 1 << 7;
const CONTROL: u8 = 7;
const OSCILLATOR_STOPPED: u8 = 1 << 5;
/// Output pin high, no square wave, and the flag of the DS1338 cleared.
const QUIET: u8 = 1 << 7;
const MEMORY: u8 = 8;
const MARK: [u8; 4] = *b"Ygr\xa5";

/// A clock part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ds1307 {
    /// A DS1307: proven by the mark in its memory.
    Ds1307,
    /// A DS1338: proven by its own flag.
    Ds1338,
}

impl Ds1307 {
    /// The time in milliseconds since 1970, to the second.
    ///
    /// # Errors
    /// [`ClockFault::Part`] when the part does not answer, [`ClockFault::Unproven`] when its time is
    /// not to be believed.
    pub fn read(self, bus: &mut impl I2c) -> Result<u64, ClockFault> {
        let bytes: [u8; 8] = register(bus, ADDRESS, SECONDS)?;
        let [time @ .., control] = bytes;
        let proven = match self {
            Self::Ds1307 => register(bus, ADDRESS, MEMORY)? == MARK,
            Self::Ds1338 => control & OSCILLATOR_STOPPED == 0,
        };
        if !proven || time[0] & HALTED != 0 {
            return Err(ClockFault::Unproven);
        }
        unix_ms(time)
    }

    /// Sets the time and starts the oscillator.
    ///
    /// # Errors
    /// [`ClockFault::OutOfRange`] outside of 2025 to 2099, [`ClockFault::Part`] when the part does
    /// not answer.
    pub fn set(self, bus: &mut impl I2c, unix_ms: u64) -> Result<(), ClockFault> {
        let [a, b, c, d, e, f, g] = registers(unix_ms)?;
        write(bus, ADDRESS, &[SECONDS, a, b, c, d, e, f, g])?;
        write(bus, ADDRESS, &[CONTROL, QUIET])?;
        if self == Self::Ds1307 {
            let [a, b, c, d] = MARK;
            write(bus, ADDRESS, &[MEMORY, a, b, c, d])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::fake::{Bus, FakePart, Fault};
    use shared::NoData;

    const NOW: u64 = 1_795_325_788_000;

    struct Part {
        registers: [u8; 64],
        pointer: usize,
    }

    impl FakePart for Part {
        fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.pointer = bytes[0].into();
            self.registers[self.pointer..][..bytes.len() - 1].copy_from_slice(&bytes[1..]);
            Ok(())
        }

        fn read(&mut self, into: &mut [u8]) -> Result<(), ()> {
            into.copy_from_slice(&self.registers[self.pointer..][..into.len()]);
            Ok(())
        }
    }

    /// A part after its first power-on: halted, flag set (DS1338, table 3).
    fn bus() -> Bus<Part> {
        let mut registers = [0; 64];
        registers[..8].copy_from_slice(&[0x80, 0, 0, 1, 1, 1, 0, 0xb3]);
        Bus::with(
            ADDRESS,
            Part {
                registers,
                pointer: 0,
            },
        )
    }

    #[test]
    fn a_part_that_was_never_set_tells_no_time() {
        for part in [Ds1307::Ds1307, Ds1307::Ds1338] {
            assert_eq!(part.read(&mut bus()), Err(ClockFault::Unproven));
        }
    }

    #[test]
    fn what_was_set_is_read_to_the_second() {
        for part in [Ds1307::Ds1307, Ds1307::Ds1338] {
            let mut bus = bus();
            part.set(&mut bus, NOW + 999).unwrap();
            assert_eq!(part.read(&mut bus), Ok(NOW));
            assert_eq!(
                bus.part().registers[..8],
                [0x28, 0x36, 0x05, 1, 0x22, 0x11, 0x26, 0x80]
            );
        }
    }

    #[test]
    fn a_stopped_oscillator_or_a_lost_battery_is_seen() {
        let mut bus = bus();
        Ds1307::Ds1338.set(&mut bus, NOW).unwrap();
        bus.part().registers[7] |= OSCILLATOR_STOPPED;
        assert_eq!(Ds1307::Ds1338.read(&mut bus), Err(ClockFault::Unproven));
        Ds1307::Ds1307.set(&mut bus, NOW).unwrap();
        bus.part().registers[9] = 0;
        assert_eq!(Ds1307::Ds1307.read(&mut bus), Err(ClockFault::Unproven));
        Ds1307::Ds1307.set(&mut bus, NOW).unwrap();
        bus.part().registers[0] |= HALTED;
        assert_eq!(Ds1307::Ds1307.read(&mut bus), Err(ClockFault::Unproven));
    }

    #[test]
    fn no_state_of_the_bus_is_a_time() {
        for part in [Ds1307::Ds1307, Ds1307::Ds1338] {
            let mut bus = bus();
            for fault in (0..=255).map(Fault::Frozen).chain([Fault::Echo]) {
                bus.fault = Some(fault);
                assert_eq!(part.read(&mut bus), Err(ClockFault::Unproven), "{fault:?}");
            }
            bus.fault = Some(Fault::Absent);
            assert_eq!(part.read(&mut bus), Err(ClockFault::Part(NoData::Absent)));
            assert_eq!(part.set(&mut bus, NOW), Err(ClockFault::Part(NoData::Absent)));
            assert_eq!(part.set(&mut bus, 0), Err(ClockFault::OutOfRange));
        }
    }
}

//! DS3231 real-time clock with its own crystal (Maxim, datasheet 19-5170), at address 0x68.
//!
//! The time is in registers 0 to 6, with a century bit in the month. Bit 7 of the status register
//! 15 says that the oscillator had stopped since it was last cleared (page 14); only then, or when
//! the registers hold no date, is the time not believed.

use super::calendar::{ClockFault, registers, unix_ms};
use super::{register, write};
use embedded_hal::i2c::I2c;

const ADDRESS: u8 = 0x68;
const SECONDS: u8 = 0;
const MONTH: usize = 5;
const CENTURY: u8 = 1 << 7;
const CONTROL: u8 = 14;
/// Oscillator on under battery, no square wave, no alarms.
const QUIET: u8 = 0b0000_0100;
const STATUS: u8 = 15;
const OSCILLATOR_STOPPED: u8 = 1 << 7;

/// A clock part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ds3231;

impl Ds3231 {
    /// The time in milliseconds since 1970, to the second.
    ///
    /// # Errors
    /// [`ClockFault::Part`] when the part does not answer, [`ClockFault::Unproven`] when its time is
    /// not to be believed.
    pub fn read(self, bus: &mut impl I2c) -> Result<u64, ClockFault> {
        let mut time: [u8; 7] = register(bus, ADDRESS, SECONDS)?;
        let [status]: [u8; 1] = register(bus, ADDRESS, STATUS)?;
        if status & OSCILLATOR_STOPPED != 0 {
            return Err(ClockFault::Unproven);
        }
        time[MONTH] &= !CENTURY;
        unix_ms(time)
    }

    /// Sets the time and clears the flag that says it had stopped.
    ///
    /// # Errors
    /// [`ClockFault::OutOfRange`] outside of 2025 to 2099, [`ClockFault::Part`] when the part does
    /// not answer.
    pub fn set(self, bus: &mut impl I2c, unix_ms: u64) -> Result<(), ClockFault> {
        let [a, b, c, d, e, f, g] = registers(unix_ms)?;
        write(bus, ADDRESS, &[SECONDS, a, b, c, d, e, f, g])?;
        // Control and status; the flag last, so that a cut in between leaves it set.
        write(bus, ADDRESS, &[CONTROL, QUIET])?;
        write(bus, ADDRESS, &[STATUS, 0])?;
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
        registers: [u8; 19],
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

    /// A part after its first power-on (figure 1).
    fn bus() -> Bus<Part> {
        let mut registers = [0; 19];
        registers[..7].copy_from_slice(&[0, 0, 0, 1, 1, 1, 0]);
        registers[14..16].copy_from_slice(&[0x1c, 0x88]);
        Bus::with(
            ADDRESS,
            Part {
                registers,
                pointer: 0,
            },
        )
    }

    #[test]
    fn a_part_that_was_never_set_tells_no_time_and_one_that_was_does() {
        let mut bus = bus();
        assert_eq!(Ds3231.read(&mut bus), Err(ClockFault::Unproven));
        Ds3231.set(&mut bus, NOW).unwrap();
        assert_eq!(Ds3231.read(&mut bus), Ok(NOW));
        bus.part().registers[MONTH] |= CENTURY;
        assert_eq!(Ds3231.read(&mut bus), Ok(NOW));
        bus.part().registers[usize::from(STATUS)] |= OSCILLATOR_STOPPED;
        assert_eq!(Ds3231.read(&mut bus), Err(ClockFault::Unproven));
    }

    #[test]
    fn no_state_of_the_bus_is_a_time() {
        let mut bus = bus();
        for fault in (0..=255).map(Fault::Frozen).chain([Fault::Echo]) {
            bus.fault = Some(fault);
            assert_eq!(Ds3231.read(&mut bus), Err(ClockFault::Unproven), "{fault:?}");
        }
        bus.fault = Some(Fault::Absent);
        assert_eq!(Ds3231.read(&mut bus), Err(ClockFault::Part(NoData::Absent)));
        assert_eq!(Ds3231.set(&mut bus, NOW), Err(ClockFault::Part(NoData::Absent)));
    }
}

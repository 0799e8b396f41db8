//! Drivers of parts, one file each, over `embedded-hal` traits.
//!
//! A driver of a sensor is a small state machine: [`Driver::step`] does one short piece of work on
//! the bus and says when to come back, so that a conversion of 16 ms, or a fan that needs seconds,
//! holds up nobody. It keeps no bus, no clock and no delay; what it keeps is a few bytes.
//!
//! # Adding a part
//! 1. Write `drivers/<part>.rs`: a head with datasheet and revision, the registers, a pure
//!    `convert`, `impl Driver`, and tests with numbers of the datasheet. [`sht4x`] is the shortest
//!    model of a part with a checksum, [`tmp1075`] of one without. Declare the module below.
//! 2. Add one line to the table in [`crate::parts`]; if the part is new to the mount table, also
//!    its variant in `shared::mount::Part`, without which that line does not compile.
//!
//! What a driver owes us, because a frozen bus answers every read with the same byte:
//! - a value only after something that a frozen bus cannot say: a checksum, or reading back
//!   registers whose bytes must differ;
//! - after an error, a start from the beginning: the part may have lost its power;
//! - an error that says whose it is: [`NoData::Absent`] nobody acknowledged, [`NoData::BusFault`]
//!   the bus or what it brought back, [`NoData::Corrupt`] a checksum, [`NoData::Timeout`] a
//!   conversion that does not end, [`NoData::DeviceError`] the part says so itself.
//!
//! # Crates
//! Words and checksums of the Sensirion parts are `sensirion-i2c`, the maker's own. Whole-driver
//! crates of these parts own the bus and block for the conversion (`sht4x`, `embedded-sht3x`,
//! `bme280-rs`), compute in floating point or bring in a generic-array and a macro generation of
//! their own (`lis3dh`), or a calendar library for seven digits (`ds1307`, `ds323x`).

pub mod adm1272;
pub mod ads1115;
pub mod bme280;
pub mod calendar;
pub mod ds1307;
pub mod ds3231;
pub mod eeprom24;
pub mod lis3dh;
pub mod matrix_keypad;
pub mod max34451;
pub mod modbus_probe;
pub mod pn532;
pub mod sht3x;
pub mod sht4x;
pub mod sps30;
pub mod tmp105;
pub mod tmp1075;

#[cfg(test)]
pub(crate) mod fake;

use embedded_hal::i2c::{Error, ErrorKind, I2c};
use shared::NoData;

/// What a part says at one of its outputs, in thousandths of the unit.
pub type Reading = Result<i32, NoData>;

/// Outputs of a part that somebody wants, one bit each.
pub type Outputs = u16;

/// Most values that one step gives.
pub const MAX_GIVEN: usize = 4;

/// What follows a step that went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The measurement goes on after so many milliseconds.
    After(u16),
    /// Every wanted output was given; the next step begins another measurement.
    Done,
}

/// A sensor part that is measured in steps.
pub trait Driver {
    /// Milliseconds after which the very same answer is no measurement any more, for parts whose
    /// last digits never rest. `None` where an unchanged answer is possible for ever.
    const STUCK_AFTER_MS: Option<u32> = None;

    /// Does the next piece of a measurement, in about 2 ms at most on a bus of 100 kHz, and gives
    /// what is measured: `(output, value)`, at most [`MAX_GIVEN`] of them.
    ///
    /// # Errors
    /// Why there is no value, for all outputs; the next step begins from the start.
    fn step(
        &mut self,
        bus: &mut impl I2c,
        wanted: Outputs,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<Next, NoData>;
}

/// What a failed transfer says about the part.
pub(crate) fn reason(error: &impl Error) -> NoData {
    match error.kind() {
        // Nobody acknowledged: the bus works, the part is not there.
        ErrorKind::NoAcknowledge(_) => NoData::Absent,
        _ => NoData::BusFault,
    }
}

// Every driver goes through these three. They are not inlined: on the board they would be there
// some thirty times.

/// Writes to a part.
#[inline(never)]
pub(crate) fn write(bus: &mut impl I2c, address: u8, bytes: &[u8]) -> Result<(), NoData> {
    bus.write(address, bytes).map_err(|error| reason(&error))
}

/// Reads on from a register of a part.
#[inline(never)]
pub(crate) fn fetch(bus: &mut impl I2c, address: u8, register: u8, into: &mut [u8]) -> Result<(), NoData> {
    bus.write_read(address, &[register], into)
        .map_err(|error| reason(&error))
}

/// Reads a register of a part.
pub(crate) fn register<const N: usize>(
    bus: &mut impl I2c,
    address: u8,
    register: u8,
) -> Result<[u8; N], NoData> {
    let mut bytes = [0; N];
    fetch(bus, address, register, &mut bytes)?;
    Ok(bytes)
}

/// Reads words with a checksum each, as Sensirion's parts send them; `N` is three times `WORDS`.
pub(crate) fn words<const WORDS: usize, const N: usize>(
    bus: &mut impl I2c,
    address: u8,
) -> Result<[u16; WORDS], NoData> {
    const { assert!(N == 3 * WORDS) };
    let mut bytes = [0; N];
    checked(bus, address, &mut bytes)?;
    Ok(core::array::from_fn(|index| {
        u16::from_be_bytes([bytes[3 * index], bytes[3 * index + 1]])
    }))
}

/// Reads bytes of which every third is a checksum.
#[inline(never)]
fn checked(bus: &mut impl I2c, address: u8, bytes: &mut [u8]) -> Result<(), NoData> {
    use sensirion_i2c::i2c::{Error, read_words_with_crc};
    read_words_with_crc(bus, address, bytes).map_err(|error| match error {
        Error::Crc => NoData::Corrupt,
        Error::I2cRead(error) | Error::I2cWrite(error) => match reason(&error) {
            // It acknowledged its command just before: it is there, but not ready.
            NoData::Absent => NoData::Timeout,
            other => other,
        },
    })?;
    // The checksum of 2b 2b is 2b: a bus that repeats this byte for ever passes it.
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        return Err(NoData::BusFault);
    }
    Ok(())
}

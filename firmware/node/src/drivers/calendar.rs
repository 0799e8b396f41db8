//! Seven registers of a clock part, and the time they mean.
//!
//! All parts in use keep seconds, minutes, hours, weekday, day, month and year in binary-coded
//! decimals from register 0 on. The years are 2000 to 2099, in which every fourth is a leap year.
//! The time is UTC.

use shared::NoData;

/// Seconds between 1970 and 2000.
const Y2000: u64 = 946_684_800;
/// The first second that a clock may show: 2025-01-01. Nothing of this firmware was in use
/// before, and no bus that repeats one byte for ever shows a later time: the month ends at 12, so
/// the year it repeats is 2012 at most.
const EARLIEST: u64 = 1_735_689_600;
/// The first second that no clock part can hold: 2100-01-01.
const END: u64 = 4_102_444_800;
const DAY: u64 = 86_400;
/// Days before each month of a year that is no leap year.
const DAYS_BEFORE: [u16; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// Why a clock part does not tell the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockFault {
    /// The part does not answer as it must.
    Part(NoData),
    /// It answers, but its oscillator had stopped or its registers hold no time: it was never set,
    /// or its battery is empty.
    Unproven,
    /// The time to set lies outside of 2025 to 2099.
    OutOfRange,
}

impl From<NoData> for ClockFault {
    fn from(reason: NoData) -> Self {
        Self::Part(reason)
    }
}

/// Milliseconds since 1970 from registers 0 to 6, flags of the part already cleared.
pub(super) fn unix_ms(registers: [u8; 7]) -> Result<u64, ClockFault> {
    let [second, minute, hour, weekday, day, month, year] = registers;
    let field = |byte, low, high| decimal(byte).filter(|value| (low..=high).contains(value));
    let time = || {
        let (second, minute, hour) = (field(second, 0, 59)?, field(minute, 0, 59)?, hours(hour)?);
        field(weekday, 1, 7)?;
        let (year, month) = (field(year, 0, 99)?, usize::from(field(month, 1, 12)?));
        let leap = year.is_multiple_of(4);
        let month_days = DAYS_BEFORE[month] - DAYS_BEFORE[month - 1] + u16::from(leap && month == 2);
        let day = field(day, 1, month_days as u8)?;
        let days = u64::from(year) * 365
            + u64::from(year).div_ceil(4)
            + u64::from(DAYS_BEFORE[month - 1])
            + u64::from(leap && month > 2)
            + u64::from(day - 1);
        Some(Y2000 + days * DAY + u64::from(hour) * 3_600 + u64::from(minute) * 60 + u64::from(second))
    };
    time()
        .filter(|seconds| (EARLIEST..END).contains(seconds))
        .map(|seconds| seconds * 1_000)
        .ok_or(ClockFault::Unproven)
}

/// Registers 0 to 6 of a time, 24 hours a day, in whole seconds.
pub(super) fn registers(unix_ms: u64) -> Result<[u8; 7], ClockFault> {
    let seconds = unix_ms / 1_000;
    if !(EARLIEST..END).contains(&seconds) {
        return Err(ClockFault::OutOfRange);
    }
    let since = (seconds - Y2000) as u32;
    let (days, second) = (since / DAY as u32, since % DAY as u32);
    // 1461 days are four years that begin with the leap year.
    let (four, within) = (days / 1_461, days % 1_461);
    let (year, of_year) = match within.checked_sub(366) {
        None => (four * 4, within),
        Some(rest) => (four * 4 + 1 + rest / 365, rest % 365),
    };
    let leap = year.is_multiple_of(4);
    let begins = |month: usize| u32::from(DAYS_BEFORE[month - 1]) + u32::from(leap && month > 2);
    let month = (1..=12)
        .rev()
        .find(|month| begins(*month) <= of_year)
        .unwrap_or(1);
    Ok([
        bcd(second % 60),
        bcd(second / 60 % 60),
        bcd(second / 3_600),
        // 2000-01-01 was a Saturday; Sunday is 1.
        ((days + 6) % 7) as u8 + 1,
        bcd(of_year - begins(month) + 1),
        bcd(month as u32),
        bcd(year),
    ])
}

/// Hours of a register that counts to 24 (bit 6 clear) or to 12 with bit 5 for the afternoon.
fn hours(byte: u8) -> Option<u8> {
    if byte & 0x40 == 0 {
        return decimal(byte).filter(|hour| *hour < 24);
    }
    let hour = decimal(byte & 0x1f).filter(|hour| (1..=12).contains(hour))?;
    Some(hour % 12 + if byte & 0x20 == 0 { 0 } else { 12 })
}

fn decimal(byte: u8) -> Option<u8> {
    (byte & 0x0f < 10 && byte < 0xa0).then(|| (byte >> 4) * 10 + (byte & 0x0f))
}

/// `value` is below 100.
const fn bcd(value: u32) -> u8 {
    (value / 10 * 16 + value % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::fake::noise;

    #[test]
    fn known_times_are_their_registers() {
        for (seconds, expected) in [
            (1_735_689_600, [0x00, 0x00, 0x00, 4, 0x01, 0x01, 0x25]),
            // 2026-11-22 05:36:28 UTC, a Sunday.
            (1_795_325_788, [0x28, 0x36, 0x05, 1, 0x22, 0x11, 0x26]),
            // A leap day.
            (1_835_481_599, [0x59, 0x59, 0x23, 3, 0x29, 0x02, 0x28]),
            (END - 1, [0x59, 0x59, 0x23, 5, 0x31, 0x12, 0x99]),
        ] {
            assert_eq!(registers(seconds * 1_000 + 999), Ok(expected), "{seconds}");
            assert_eq!(unix_ms(expected), Ok(seconds * 1_000), "{seconds}");
        }
    }

    #[test]
    fn every_day_until_2100_goes_there_and_back() {
        for day in 0..(END - EARLIEST) / DAY {
            let time = (EARLIEST + day * DAY + day % DAY) * 1_000;
            assert_eq!(unix_ms(registers(time).unwrap()), Ok(time));
        }
    }

    #[test]
    fn twelve_hour_clocks_are_read() {
        for (register, hour) in [(0x52, 0), (0x41, 1), (0x72, 12), (0x61, 13), (0x71, 23)] {
            assert_eq!(hours(register), Some(hour), "{register:#x}");
        }
        assert_eq!([0x40, 0x53, 0x73, 0x24].map(hours), [None; 4]);
    }

    #[test]
    fn what_is_no_date_is_no_time() {
        let good = registers(1_795_325_788_000).unwrap();
        for (at, byte) in [
            (0, 0x60),
            (1, 0x60),
            (1, 0x0a),
            (2, 0x24),
            (3, 0),
            (3, 8),
            (4, 0),
            (4, 0x31),
            (5, 0),
            (5, 0x13),
            (6, 0xa0),
            (6, 0x24),
        ] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(unix_ms(bad), Err(ClockFault::Unproven), "{at} {byte:#x}");
        }
        // 29 February of a year that has none.
        assert_eq!(unix_ms([0, 0, 0, 1, 0x29, 0x02, 0x27]), Err(ClockFault::Unproven));
    }

    #[test]
    fn a_bus_that_repeats_one_byte_tells_no_time() {
        for byte in 0..=255 {
            assert_eq!(unix_ms([byte; 7]), Err(ClockFault::Unproven), "{byte:#x}");
            // With the flags of the parts taken out.
            assert!(unix_ms([byte & 0x7f, byte, byte, byte, byte, byte & 0x1f, byte]).is_err());
        }
    }

    #[test]
    fn noise_and_times_out_of_range_never_panic() {
        let mut seed = 7;
        for _ in 0..100_000 {
            let _ = unix_ms(core::array::from_fn(|_| noise(&mut seed)));
        }
        for seconds in [0, Y2000, EARLIEST - 1, END, u64::MAX / 1_000] {
            assert_eq!(registers(seconds * 1_000), Err(ClockFault::OutOfRange));
        }
    }
}

//! Dates and times of day as they stand in the site's files: `2026-11-23`, `08:30`, `+09:00`.
//!
//! Only the proleptic Gregorian calendar from 1970 on, in the day numbers of an access list.
//! It knows no holidays: the national ones change by law, the site lists them.

/// Days since 1970-01-01 of a date `YYYY-MM-DD`; `None` when there is no such day, or it lies
/// behind the last day that an access list can name (2149-06-06).
#[must_use]
pub fn day(text: &str) -> Option<u16> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<u32>().ok()).flatten()
    };
    let (year, month, date) = (number(4)?, number(2)?, number(2)?);
    if parts.next().is_some() || year < 1970 || !(1..=12).contains(&month) {
        return None;
    }
    let is_leap = |year: u32| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let lengths = [
        31,
        if is_leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let index = usize::try_from(month - 1).ok()?;
    if date == 0 || date > lengths[index] {
        return None;
    }
    let years: u32 = (1970..year)
        .map(|year| if is_leap(year) { 366 } else { 365 })
        .sum();
    let months: u32 = lengths[..index].iter().sum();
    u16::try_from(years + months + date - 1).ok()
}

/// Steps of ten minutes from midnight of a time `HH:MM`, 00:00 to 24:00.
pub(crate) fn step(text: &str) -> Option<u8> {
    let (hours, minutes) = hours_and_minutes(text)?;
    let step = hours * 6 + minutes / 10;
    (minutes.is_multiple_of(10) && step <= 144).then(|| u8::try_from(step).ok())?
}

/// Minutes from midnight of a time `HH:MM`, 00:00 to 24:00.
pub(super) fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = hours_and_minutes(text)?;
    u16::try_from(hours * 60 + minutes)
        .ok()
        .filter(|minute| *minute <= 24 * 60)
}

/// Minutes of a distance from UTC, `+09:00`, at most 14 hours.
pub(super) fn utc_offset(text: &str) -> Option<i16> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = hours_and_minutes(text)?;
    let total = i16::try_from(hours * 60 + minutes).ok()?;
    (total <= 14 * 60).then_some(sign * total)
}

fn hours_and_minutes(text: &str) -> Option<(u32, u32)> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |part: &str| {
        let is_number = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60).then_some((hours, minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_leap_years() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1972-03-01", 790),
            ("2000-02-29", 11_016),
            ("2026-11-24", 20_781),
            ("2149-06-06", 65_535),
        ] {
            assert_eq!(day(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn days_and_times_that_do_not_exist_are_refused() {
        for text in [
            "2026-02-29",
            "2026-04-31",
            "2026-13-01",
            "2026-00-10",
            "2026-01-00",
            "1969-12-31",
            "2149-06-07",
            "26-01-01",
            "2026/01/01",
            "2026-1-1",
            "2026-01-01-",
            "+026-01-01",
            "",
            "２０２６-01-01",
        ] {
            assert_eq!(day(text), None, "{text}");
        }
        for text in ["8:30", "08:35", "24:10", "25:00", "08:60", "0830", "08:30:00", ""] {
            assert_eq!(step(text), None, "{text}");
        }
        for text in ["09:00", "+9", "+15:00", "+14:30", "JST", ""] {
            assert_eq!(utc_offset(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_steps_of_ten_minutes() {
        assert_eq!(
            (step("00:00"), step("08:30"), step("24:00")),
            (Some(0), Some(51), Some(144))
        );
        assert_eq!(
            (utc_offset("+09:00"), utc_offset("-03:30")),
            (Some(540), Some(-210))
        );
    }
}

//! Days, months and Japanese fiscal years (April to March), for the dates of forecasts.

use crate::site::Label;
use crate::snapshot::Budget;
use crate::time::Wall;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// Tender, order and delivery take so many months: the money must be there before.
pub const LEAD_MONTHS: i32 = 3;
/// Month in which the offices ask for the next fiscal year's money.
pub const REQUEST_MONTH: u8 = 10;

/// The local day since 1970 of a moment, and the hour of it.
#[must_use]
pub fn day_and_hour(at: Wall, utc_offset_min: i16) -> Option<(u16, u8)> {
    let local = at.0.checked_add(i64::from(utc_offset_min) * 60_000)?;
    let day = u16::try_from(local.div_euclid(DAY_MS)).ok()?;
    let hour = u8::try_from(local.rem_euclid(DAY_MS) / 3_600_000).ok()?;
    Some((day, hour))
}

/// The moment at which a local day begins, milliseconds since 1970 UTC.
#[must_use]
pub fn begin_ms(day: u16, utc_offset_min: i16) -> i64 {
    i64::from(day) * DAY_MS - i64::from(utc_offset_min) * 60_000
}

/// Year and month of a day since 1970. The days are counted in eras of 400 years from 1 March 2000
/// backwards, where leap days come last in their year.
#[must_use]
pub fn month(day: u16) -> (i32, u8) {
    let (year, month, _) = date(day);
    (year, month)
}

/// Year, month and day of the month.
#[must_use]
pub fn date(day: u16) -> (i32, u8, u8) {
    let mut left = i32::from(day);
    // No year is longer than 366 days, so this one is not too late; the day number ends in 2149.
    let mut year = 1970 + left / 366;
    left -= (year - 1970) * 365 + (year - 1969) / 4 - (year - 1901) / 100 + (year - 1601) / 400;
    // At most two rounds.
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
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
    let mut month = 1;
    for length in lengths {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, u8::try_from(left + 1).unwrap_or(1))
}

const fn is_leap(year: i32) -> bool {
    year % 4 == 0 && year % 100 != 0 || year % 400 == 0
}

/// `2027年10月` and `October 2027`.
#[must_use]
pub fn month_label(year: i32, month: u8) -> Label {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let name = NAMES[usize::from(month.clamp(1, 12)) - 1];
    Label::new(format!("{year}年{month}月"), format!("{name} {year}"))
}

/// The fiscal year from April to March in which a month lies.
#[must_use]
pub const fn fiscal_year(year: i32, month: u8) -> i32 {
    if month < 4 { year - 1 } else { year }
}

/// The fiscal year whose money pays for what is due on `day`, and when to ask for it. What is due in
/// spring must be ordered before the new year's money is there.
#[must_use]
pub fn budget(day: u16, today: u16) -> Budget {
    let (year, month) = self::month(day);
    let months = year * 12 + i32::from(month) - 1 - LEAD_MONTHS;
    let order = (
        months.div_euclid(12),
        u8::try_from(months.rem_euclid(12) + 1).unwrap_or(1),
    );
    let fiscal = fiscal_year(order.0, order.1);
    let request = (fiscal - 1, REQUEST_MONTH);
    let is_past = request < self::month(today);
    let (due, ask) = (month_label(year, month), month_label(request.0, request.1));
    let words = if is_past {
        Label::new(
            format!(
                "{fiscal}年度の予算で {} までに発注（要求時期の {} は過ぎているため、補正予算か流用を検討）",
                month_label(order.0, order.1).ja,
                ask.ja
            ),
            format!(
                "order by {} with the money of fiscal {fiscal}; its requests closed in {}, so look for a supplementary budget",
                month_label(order.0, order.1).en,
                ask.en
            ),
        )
    } else {
        Label::new(
            format!("{} に交換。{fiscal}年度の予算として {} に要求", due.ja, ask.ja),
            format!(
                "replace in {}; ask for it in {} for fiscal {fiscal}",
                due.en, ask.en
            ),
        )
    };
    Budget {
        replace: format!("{year:04}-{month:02}"),
        fiscal_year: fiscal,
        request: format!("{:04}-{:02}", request.0, request.1),
        words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_date_over_leap_years() {
        for (day, expected) in [
            (0, (1970, 1, 1)),
            (790, (1972, 3, 1)),
            (11_016, (2000, 2, 29)),
            (19_814, (2024, 4, 1)),
            (20_781, (2026, 11, 24)),
            (u16::MAX, (2149, 6, 6)),
        ] {
            assert_eq!(date(day), expected);
        }
        assert_eq!(day_and_hour(Wall(-1), 0), None);
        assert_eq!(day_and_hour(Wall(15 * 3_600_000 - 1), 540), Some((0, 23)));
        assert_eq!(day_and_hour(Wall(15 * 3_600_000), 540), Some((1, 0)));
        assert_eq!(begin_ms(1, 540), 15 * 3_600_000);
    }

    #[test]
    fn the_money_is_asked_for_in_october_and_what_is_due_in_spring_is_the_year_befores() {
        let day = |year: i32, month: u8| {
            (0..u16::MAX)
                .find(|day| self::month(*day) == (year, month))
                .unwrap()
        };
        let today = day(2026, 7);
        let of = |year, month| {
            let budget = budget(day(year, month), today);
            (budget.replace, budget.fiscal_year, budget.request)
        };
        let row = |replace: &str, fiscal, request: &str| (replace.to_owned(), fiscal, request.to_owned());
        assert_eq!(of(2028, 1), row("2028-01", 2027, "2026-10"));
        assert_eq!(of(2028, 5), row("2028-05", 2027, "2026-10"));
        assert_eq!(of(2028, 7), row("2028-07", 2028, "2027-10"));
        let soon = budget(day(2026, 12), today);
        assert!(soon.words.ja.contains("補正予算"), "{}", soon.words.ja);
        assert!(budget(day(2028, 7), today).words.en.contains("October 2027"));
    }
}

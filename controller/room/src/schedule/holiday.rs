//! The national holidays of Japan (国民の祝日に関する法律), worked out from the law as it stands since
//! 2022: fixed days, Mondays, the two equinoxes, substitute holidays (振替休日) and days between two
//! holidays (国民の休日).
//!
//! The equinoxes are reckoned by the usual approximation (good from 1980 to 2099); the day that counts
//! is announced in the official gazette each February for the year after. What a special law moves, as
//! in 2020 and 2021, is not in here: a site lists such days in `[access].holidays`.

use crate::forecast::calendar::date;

/// First year for which this table holds.
pub const FIRST_YEAR: i32 = 2022;
/// Last year for which the equinoxes are reckoned well.
pub const LAST_YEAR: i32 = 2099;

/// The name of the holiday on this day since 1970, in Japanese; `None` on every other day, and outside
/// of the years from [`FIRST_YEAR`] to [`LAST_YEAR`].
#[must_use]
pub fn national(day: u16) -> Option<&'static str> {
    by_law(day)
        .or_else(|| is_substitute(day).then_some("休日（振替休日）"))
        .or_else(|| is_between(day).then_some("国民の休日"))
}

/// A day that the law names (article 2).
fn by_law(day: u16) -> Option<&'static str> {
    let (year, month, date) = date(day);
    if !(FIRST_YEAR..=LAST_YEAR).contains(&year) {
        return None;
    }
    let monday = |nth: u8| is_monday(day) && date.div_ceil(7) == nth;
    Some(match (month, date) {
        (1, 1) => "元日",
        (1, _) if monday(2) => "成人の日",
        (2, 11) => "建国記念の日",
        (2, 23) => "天皇誕生日",
        (3, date) if date == equinox(year, 20_843_100) => "春分の日",
        (4, 29) => "昭和の日",
        (5, 3) => "憲法記念日",
        (5, 4) => "みどりの日",
        (5, 5) => "こどもの日",
        (7, _) if monday(3) => "海の日",
        (8, 11) => "山の日",
        (9, _) if monday(3) => "敬老の日",
        (9, date) if date == equinox(year, 23_248_800) => "秋分の日",
        (10, _) if monday(2) => "スポーツの日",
        (11, 3) => "文化の日",
        (11, 23) => "勤労感謝の日",
        _ => return None,
    })
}

/// Day of the month of an equinox; `base` is where it lay in 1980, in millionths of a day.
fn equinox(year: i32, base: i64) -> u8 {
    let years = i64::from(year - 1980);
    let day = (base + 242_194 * years).div_euclid(1_000_000) - years.div_euclid(4);
    u8::try_from(day).unwrap_or(0)
}

/// Article 3, paragraph 2: a holiday on a Sunday moves to the next day that is none.
fn is_substitute(day: u16) -> bool {
    if by_law(day).is_some() {
        return false;
    }
    // Holidays stand in rows of at most three (May); the row before this day must hold a Sunday.
    (1..=MAX_ROW)
        .map_while(|back| {
            let before = day.checked_sub(back)?;
            by_law(before).map(|_| before)
        })
        .any(is_sunday)
}

/// Longest row of days that the law names, and one to spare.
const MAX_ROW: u16 = 4;

/// Article 3, paragraph 3: a day between two that the law names.
fn is_between(day: u16) -> bool {
    let named = |day: Option<u16>| day.is_some_and(|day| by_law(day).is_some());
    by_law(day).is_none() && named(day.checked_sub(1)) && named(day.checked_add(1))
}

/// 1970-01-01 was a Thursday.
fn is_monday(day: u16) -> bool {
    (u32::from(day) + 3).is_multiple_of(7)
}

fn is_sunday(day: u16) -> bool {
    (u32::from(day) + 4).is_multiple_of(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every holiday of a year as `M/D`.
    fn year(wanted: i32) -> String {
        let days = (0..u16::MAX).filter(|day| date(*day).0 == wanted && national(*day).is_some());
        let days: Vec<String> = days
            .map(|day| {
                let (_, month, date) = date(day);
                format!("{month}/{date}")
            })
            .collect();
        days.join(" ")
    }

    #[test]
    fn the_years_2024_to_2027_are_as_the_cabinet_office_published_them() {
        for (wanted, published) in [
            (
                2024,
                "1/1 1/8 2/11 2/12 2/23 3/20 4/29 5/3 5/4 5/5 5/6 7/15 8/11 8/12 9/16 9/22 9/23 10/14 11/3 11/4 11/23",
            ),
            (
                2025,
                "1/1 1/13 2/11 2/23 2/24 3/20 4/29 5/3 5/4 5/5 5/6 7/21 8/11 9/15 9/23 10/13 11/3 11/23 11/24",
            ),
            (
                2026,
                "1/1 1/12 2/11 2/23 3/20 4/29 5/3 5/4 5/5 5/6 7/20 8/11 9/21 9/22 9/23 10/12 11/3 11/23",
            ),
            (
                2027,
                "1/1 1/11 2/11 2/23 3/21 3/22 4/29 5/3 5/4 5/5 7/19 8/11 9/20 9/23 10/11 11/3 11/23",
            ),
        ] {
            assert_eq!(year(wanted), published, "{wanted}");
        }
    }

    #[test]
    fn a_day_says_why_it_is_one() {
        let day = |text: &str| crate::schedule::day(text).unwrap();
        assert_eq!(national(day("2026-05-06")), Some("休日（振替休日）"));
        assert_eq!(national(day("2026-09-22")), Some("国民の休日"));
        assert_eq!(national(day("2026-11-23")), Some("勤労感謝の日"));
        assert_eq!(national(day("2026-11-24")), None);
        assert_eq!(
            national(day("2020-07-24")),
            None,
            "moved by a special law: not ours"
        );
    }
}

//! Scheduled operation (スケジュール運転): when hosts are to stand still by the calendar.
//!
//! A schedule names the days on which its hosts stop and the time, and when they start again: at a
//! time, on the first of the days that it names. A holiday is no weekday, so "start at 06:30 on
//! Monday to Friday" waits for the first working day by itself.
//!
//! ```text
//!   days / dates, less except            start_on / start_dates, or the very next time `start` comes
//!        v                                     v
//!   Stop at `stop`  ------- off --------  start at `start`
//! ```
//! It only reckons moments. Whether anything is stopped then is decided in `outage::schedule`.

pub mod holiday;

use crate::forecast::calendar::{begin_ms, date};
use crate::notice::duty::HOLIDAY;
use crate::time::{Millis, Wall};

/// Longest time for which a schedule lets hosts stand still, in days.
pub const MAX_OFF_DAYS: u16 = 31;
/// How far ahead the next stop is looked for, in days: a year, with its leap day.
pub const LOOK_AHEAD_DAYS: u16 = 366;

/// Days of a year or single days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Date {
    /// Every year: month, day of the month.
    Yearly(u8, u8),
    /// Once: day since 1970, local time.
    Once(u16),
}

impl Date {
    /// Does it name this day?
    #[must_use]
    pub fn is(self, day: u16) -> bool {
        match self {
            Self::Once(once) => once == day,
            Self::Yearly(month, of_month) => {
                let (_, this_month, this_date) = date(day);
                (this_month, this_date) == (month, of_month)
            }
        }
    }
}

/// `[[schedule]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// Hosts that stop, with what depends on them.
    pub hosts: Vec<String>,
    /// Bit for each weekday from Monday (bit 0) and one for holidays (bit 7) on which they stop.
    pub days: u8,
    /// Dates on which they stop, too.
    pub dates: Vec<Date>,
    /// Dates on which they do not, whatever else says so.
    pub except: Vec<Date>,
    /// Minute of the day at which they stop.
    pub stop: u16,
    /// Minute of the day at which they start again.
    pub start: u16,
    /// Days on which they start: bits as above. Nothing here and no date: the very next time.
    pub start_on: u8,
    /// Dates on which they start.
    pub start_dates: Vec<Date>,
    /// How long before the stop it is announced.
    pub announce: Millis,
}

/// What the days of a site are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Days {
    /// Local time minus UTC in minutes.
    pub utc_offset_min: i16,
    /// Holidays beside the national ones, days since 1970.
    pub holidays: Vec<u16>,
}

impl Days {
    /// The bit of a day: a holiday is no weekday.
    #[must_use]
    pub fn bit(&self, day: u16) -> u8 {
        if holiday::national(day).is_some() || self.holidays.contains(&day) {
            return HOLIDAY;
        }
        // 1970-01-01 was a Thursday.
        1 << ((u32::from(day) + 3) % 7)
    }

    /// Day and minute of the day, local time.
    #[must_use]
    pub fn local(&self, at: Wall) -> Option<(u16, u16)> {
        let minutes = at.0.div_euclid(60_000) + i64::from(self.utc_offset_min);
        let day = u16::try_from(minutes.div_euclid(24 * 60)).ok()?;
        let minute = u16::try_from(minutes.rem_euclid(24 * 60)).ok()?;
        Some((day, minute))
    }

    fn moment(&self, day: u16, minute: u16) -> Wall {
        Wall(begin_ms(day, self.utc_offset_min) + i64::from(minute) * 60_000)
    }
}

/// One stop and the start that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// Local day since 1970 on which it stops: its name among those of its schedule.
    pub day: u16,
    /// When its hosts stop.
    pub stop: Wall,
    /// When they start.
    pub start: Wall,
}

impl Schedule {
    /// The stop of this day, if it has one.
    #[must_use]
    pub fn on(&self, day: u16, days: &Days) -> Option<Occurrence> {
        let named =
            (self.days != 0 && self.days & days.bit(day) != 0) || self.dates.iter().any(|date| date.is(day));
        if !named || self.except.iter().any(|date| date.is(day)) {
            return None;
        }
        let (start, minute) = (self.start_day(day, days)?, self.start);
        Some(Occurrence {
            day,
            stop: days.moment(day, self.stop),
            start: days.moment(start, minute),
        })
    }

    /// The day on which they start after a stop on `day`.
    fn start_day(&self, day: u16, days: &Days) -> Option<u16> {
        let first = if self.start > self.stop {
            day
        } else {
            day.checked_add(1)?
        };
        let any = self.start_on == 0 && self.start_dates.is_empty();
        (first..=day.checked_add(MAX_OFF_DAYS)?).find(|day| {
            any || (self.start_on != 0 && self.start_on & days.bit(*day) != 0)
                || self.start_dates.iter().any(|date| date.is(*day))
        })
    }

    /// The occurrences whose off time is not over at `at`, the earliest first: what runs now, and the
    /// next one.
    #[must_use]
    pub fn next(&self, at: Wall, days: &Days) -> Option<Occurrence> {
        let (today, _) = days.local(at)?;
        let from = today.saturating_sub(MAX_OFF_DAYS);
        let to = today.saturating_add(LOOK_AHEAD_DAYS);
        (from..=to)
            .filter_map(|day| self.on(day, days))
            .find(|found| found.start > at)
    }

    /// The first stop after `at` that is not the one of the day `but`.
    #[must_use]
    pub fn next_stop(&self, at: Wall, but: &[u16], days: &Days) -> Option<Occurrence> {
        let (today, _) = days.local(at)?;
        let to = today.saturating_add(LOOK_AHEAD_DAYS);
        (today..=to)
            .filter(|day| !but.contains(day))
            .filter_map(|day| self.on(day, days))
            .find(|found| found.stop > at)
    }
}

/// Day since 1970 of `2026-11-23`.
#[must_use]
pub fn day(text: &str) -> Option<u16> {
    crate::site::day(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKING: u8 = 0b1_1111;

    fn nights() -> Schedule {
        Schedule {
            name: "nights".into(),
            hosts: vec!["web".into()],
            days: WORKING,
            dates: Vec::new(),
            except: Vec::new(),
            stop: 21 * 60,
            start: 6 * 60 + 30,
            start_on: WORKING,
            start_dates: Vec::new(),
            announce: Millis::from_secs(600),
        }
    }

    fn japan() -> Days {
        Days {
            utc_offset_min: 540,
            holidays: Vec::new(),
        }
    }

    /// Japan time as `2026-11-20 21:00`.
    fn text(at: Wall) -> String {
        let (found, minute) = japan().local(at).unwrap();
        let (year, month, of_month) = date(found);
        format!(
            "{year}-{month:02}-{of_month:02} {:02}:{:02}",
            minute / 60,
            minute % 60
        )
    }

    fn check(schedule: &Schedule, on: &str, expected: Option<(&str, &str)>) {
        let found = schedule.on(day(on).unwrap(), &japan());
        let found = found.map(|found| (text(found.stop), text(found.start)));
        let expected = expected.map(|(stop, start)| (stop.to_owned(), start.to_owned()));
        assert_eq!(found, expected, "{on}");
    }

    #[test]
    fn a_night_ends_on_the_next_working_day_whatever_lies_between() {
        let nights = nights();
        check(
            &nights,
            "2026-11-18",
            Some(("2026-11-18 21:00", "2026-11-19 06:30")),
        );
        // Friday; Monday the 23rd is a holiday.
        check(
            &nights,
            "2026-11-20",
            Some(("2026-11-20 21:00", "2026-11-24 06:30")),
        );
        check(&nights, "2026-11-21", None);
        check(&nights, "2026-11-23", None);
        // Golden week: 3 (Sunday) to 6 May.
        check(
            &nights,
            "2026-05-01",
            Some(("2026-05-01 21:00", "2026-05-07 06:30")),
        );
    }

    #[test]
    fn dates_exceptions_and_a_start_on_a_date() {
        let mut year_end = nights();
        year_end.days = 0;
        year_end.dates = vec![Date::Yearly(12, 28)];
        year_end.start_on = 0;
        year_end.start_dates = vec![Date::Yearly(1, 4)];
        check(
            &year_end,
            "2026-12-28",
            Some(("2026-12-28 21:00", "2027-01-04 06:30")),
        );
        check(&year_end, "2026-12-29", None);
        year_end.except = vec![Date::Once(day("2026-12-28").unwrap())];
        check(&year_end, "2026-12-28", None);
        check(
            &year_end,
            "2027-12-28",
            Some(("2027-12-28 21:00", "2028-01-04 06:30")),
        );
    }

    #[test]
    fn without_days_of_its_own_the_start_is_the_very_next_time() {
        let mut noon = nights();
        (noon.start_on, noon.stop, noon.start) = (0, 12 * 60, 13 * 60);
        check(
            &noon,
            "2026-11-18",
            Some(("2026-11-18 12:00", "2026-11-18 13:00")),
        );
    }

    #[test]
    fn what_runs_now_comes_before_what_comes_next() {
        let (nights, days) = (nights(), japan());
        let at = days.moment(day("2026-11-22").unwrap(), 600);
        assert_eq!(text(nights.next(at, &days).unwrap().stop), "2026-11-20 21:00");
        assert_eq!(
            text(nights.next_stop(at, &[], &days).unwrap().stop),
            "2026-11-24 21:00"
        );
        let at = days.moment(day("2026-11-24").unwrap(), 600);
        assert_eq!(text(nights.next(at, &days).unwrap().stop), "2026-11-24 21:00");
    }

    #[test]
    fn a_start_that_never_comes_is_no_occurrence() {
        let mut never = nights();
        (never.start_on, never.start_dates) = (0, vec![Date::Yearly(6, 1)]);
        check(&never, "2026-11-18", None);
    }
}

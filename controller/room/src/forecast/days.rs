//! The mean of each day of a few points: what the long forecasts stand on.
//!
//! A mean is that of the hours that had a value, each hour counting the same, so that a sensor that
//! talks more by day does not make the day warmer. A day with fewer than [`MIN_HOURS`] has none.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most points whose days are kept.
pub const MAX_TRACKED: usize = 256;
/// Hours of a day that must have a value.
pub const MIN_HOURS: u8 = 6;
/// Days that are kept of a point: ten years of a battery.
pub const MAX_DAYS: usize = 3_660;

/// The mean of a point on one day, as it is journaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DayMean {
    /// Point id.
    pub point: String,
    /// Mean, in the point's unit, to a thousandth.
    pub mean: f64,
    /// Hours that had a value, [`MIN_HOURS`] to 24.
    pub hours: u8,
}

/// The day of one point so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Day {
    hour: u8,
    count: f64,
    sum: f64,
    hours: u8,
    sum_of_hours: f64,
}

impl Day {
    fn take(&mut self, hour: u8, value: f64) {
        if self.count > 0.0 && self.hour != hour {
            self.close_hour();
        }
        self.hour = hour;
        self.count += 1.0;
        self.sum += value;
    }

    fn close_hour(&mut self) {
        if self.count > 0.0 {
            self.hours = self.hours.saturating_add(1);
            self.sum_of_hours += self.sum / self.count;
        }
        self.count = 0.0;
        self.sum = 0.0;
    }

    fn close(mut self) -> Option<(f64, u8)> {
        self.close_hour();
        // An hour that comes twice, after the clock was set back, is no twenty-fifth.
        let hours = self.hours.min(24);
        let mean = self.sum_of_hours / f64::from(self.hours.max(1));
        (hours >= MIN_HOURS).then_some(((mean * 1000.0).round() / 1000.0, hours))
    }
}

/// The days of every point that is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Days {
    today: Option<u16>,
    now: BTreeMap<String, Day>,
    past: BTreeMap<String, BTreeMap<u16, f64>>,
}

impl Days {
    /// Nothing known of these points; at most [`MAX_TRACKED`] of them.
    #[must_use]
    pub fn of(points: impl IntoIterator<Item = String>) -> Self {
        Self {
            now: points
                .into_iter()
                .take(MAX_TRACKED)
                .map(|point| (point, Day::default()))
                .collect(),
            ..Self::default()
        }
    }

    /// True when the days of some point are kept.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.now.is_empty()
    }

    /// The day that goes on.
    #[must_use]
    pub const fn today(&self) -> Option<u16> {
        self.today
    }

    /// Takes a value of a point in; others than those that are kept are not.
    pub fn take(&mut self, point: &str, hour: u8, value: f64) {
        if let Some(day) = self.now.get_mut(point)
            && value.is_finite()
        {
            day.take(hour, value);
        }
    }

    /// A new day begins: the means of the one before, if there was one. A clock that was set back
    /// begins its day anew.
    pub fn turn(&mut self, today: u16) -> Option<(u16, Vec<DayMean>)> {
        let before = self.today.replace(today);
        if before == Some(today) {
            return None;
        }
        let closed: Vec<DayMean> = self
            .now
            .iter_mut()
            .filter_map(|(point, day)| {
                let (mean, hours) = std::mem::take(day).close()?;
                Some(DayMean {
                    point: point.clone(),
                    mean,
                    hours,
                })
            })
            .collect();
        let before = before.filter(|before| *before < today)?;
        (!closed.is_empty()).then_some((before, closed))
    }

    /// Applies the record of a day.
    pub fn apply(&mut self, day: u16, means: &[DayMean]) {
        for mean in means {
            // Points that the site does not keep any more are left to the journal.
            if !self.now.contains_key(&mean.point) || !mean.mean.is_finite() {
                continue;
            }
            let past = self.past.entry(mean.point.clone()).or_default();
            past.insert(day, mean.mean);
            if past.len() > MAX_DAYS {
                past.pop_first();
            }
        }
    }

    /// The means of a point from `first` on, before `today`: what a clock that ran wild wrote into the
    /// future is none.
    pub fn means(&self, point: &str, first: u16, today: u16) -> impl Iterator<Item = (u16, f64)> {
        let range = first.min(today)..today;
        self.past
            .get(point)
            .into_iter()
            .flat_map(move |past| past.range(range.clone()))
            .map(|(day, mean)| (*day, *mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_mean_of_its_hours_and_needs_six_of_them() {
        let mut days = Days::of(["a".to_owned(), "b".to_owned()]);
        assert_eq!(days.turn(100), None);
        for hour in 0..12 {
            // A sensor that talks ten times as often in the warm hours.
            let (times, value) = if hour < 6 { (1, 20.0) } else { (10, 30.0) };
            for _ in 0..times {
                days.take("a", hour, value);
            }
        }
        for hour in 0..5 {
            days.take("b", hour, 50.0);
        }
        days.take("c", 0, 1.0);
        assert_eq!(days.turn(100), None, "the day goes on");
        let (day, means) = days.turn(101).unwrap();
        assert_eq!(day, 100);
        let expected = DayMean {
            point: "a".to_owned(),
            mean: 25.0,
            hours: 12,
        };
        assert_eq!(means, [expected], "five hours are no day, and nobody keeps c");
        days.apply(day, &means);
        assert_eq!(days.means("a", 0, 101).collect::<Vec<_>>(), [(100, 25.0)]);
        assert_eq!(days.means("a", 101, 101).count(), 0);
        assert_eq!(days.turn(102), None, "a day without a value");
    }

    #[test]
    fn a_clock_that_jumps_makes_no_days_and_those_of_the_future_are_not_seen() {
        let mut days = Days::of(["a".to_owned()]);
        days.turn(100);
        for hour in 0..24 {
            days.take("a", hour, 20.0);
        }
        assert_eq!(days.turn(99), None, "set back: the day is given up");
        for hour in 0..24 {
            days.take("a", hour, 20.0);
        }
        assert_eq!(days.turn(60_000).map(|(day, _)| day), Some(99));
        days.apply(
            50_000,
            &[DayMean {
                point: "a".to_owned(),
                mean: 9.0,
                hours: 24,
            }],
        );
        assert_eq!(days.means("a", 0, 101).count(), 0);
    }

    #[test]
    fn there_is_a_bound_to_points_and_days() {
        let days = Days::of((0..1_000).map(|n| n.to_string()));
        assert_eq!(days.now.len(), MAX_TRACKED);
        let mut days = Days::of(["a".to_owned()]);
        for day in 0..5_000 {
            days.apply(
                day,
                &[DayMean {
                    point: "a".to_owned(),
                    mean: 9.0,
                    hours: 24,
                }],
            );
        }
        assert_eq!(days.means("a", 0, 5_000).count(), MAX_DAYS);
    }
}

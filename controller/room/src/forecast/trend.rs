//! A straight trend over weeks: when does it reach a limit, and how sure is that.
//!
//! Daily means are no independent measurements: weather and load last for days. The slope's error is
//! therefore doubled ([`DEPENDENT`]) before anything is concluded from it.

use crate::line;
use crate::snapshot::Confidence;

/// How much the error of a slope of daily means is widened.
pub const DEPENDENT: f64 = 2.0;
/// A slope must be so many times its (widened) error to be a direction at all.
pub const CERTAIN: f64 = 2.0;
/// No forecast reaches further than so many times what was watched.
pub const REACH: f64 = 3.0;

/// What a trend is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    /// Days looked back.
    pub back: u16,
    /// Days that must have a mean.
    pub need: usize,
    /// Days looked ahead at most.
    pub ahead: f64,
}

/// A load or runtime that grows out of its limit: a quarter of a year of data, four weeks at least,
/// and at most two years ahead.
pub const CAPACITY: Question = Question {
    back: 120,
    need: 28,
    ahead: 730.0,
};

/// Humidity that creeps: what it does over the weeks, and two months ahead; the seasons turn it.
pub const CREEP: Question = Question {
    back: 28,
    need: 14,
    ahead: 60.0,
};

/// When a trend reaches a limit. Days are counted from today.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// Expected.
    pub days: f64,
    /// The earliest by the slope's error.
    pub earliest: f64,
    /// The latest; `None` when it may never come.
    pub latest: Option<f64>,
    /// Change per day.
    pub slope: f64,
    /// Level today.
    pub level: f64,
    /// Days that it stands on.
    pub means: usize,
    /// How sure.
    pub confidence: Confidence,
}

/// When daily means reach `limit`. `None` without a direction towards it, with too few days, too
/// far ahead, or when it is reached already, which is an alarm's matter.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "some hundred days")]
pub fn reach(
    means: impl Iterator<Item = (u16, f64)>,
    today: u16,
    limit: f64,
    question: Question,
) -> Option<Reach> {
    let first = today.saturating_sub(question.back);
    let points: Vec<(f64, f64)> = means
        .filter(|(day, _)| (first..today).contains(day))
        .map(|(day, mean)| (f64::from(day) - f64::from(today), mean))
        .collect();
    if points.len() < question.need {
        return None;
    }
    let line = line::fit(&points)?;
    let error = line.slope_error * DEPENDENT;
    if line.slope == 0.0 || line.slope.abs() < CERTAIN * error {
        return None;
    }
    let level = line.at(0.0);
    let level_error = DEPENDENT * line.scatter / (line.points as f64).sqrt();
    let gap = limit - level;
    if gap == 0.0 || gap.signum() != line.slope.signum() {
        return None;
    }
    let span = points.last()?.0 - points.first()?.0;
    let days = gap / line.slope;
    if days > question.ahead || days > span * REACH {
        return None;
    }
    // Two widened errors to either side.
    let (gap, slope) = (gap.abs(), line.slope.abs());
    let earliest = ((gap - 2.0 * level_error).max(0.0)) / (slope + 2.0 * error);
    let slowest = slope - 2.0 * error;
    let latest = (slowest > 0.0).then(|| (gap + 2.0 * level_error) / slowest);
    let certainty = if error > 0.0 { slope / error } else { f64::INFINITY };
    let confidence = if certainty >= 8.0 && points.len() >= 2 * question.need {
        Confidence::High
    } else if certainty >= 4.0 {
        Confidence::Medium
    } else {
        Confidence::Low
    };
    Some(Reach {
        days,
        earliest,
        latest,
        slope: line.slope,
        level,
        means: points.len(),
        confidence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: u16 = 20_000;

    fn days(count: u16, value: impl Fn(f64) -> f64) -> Vec<(u16, f64)> {
        (0..count)
            .map(|n| (TODAY - count + n, value(f64::from(n))))
            .collect()
    }

    /// The same numbers every time, from -0.5 to 0.5.
    fn noise(seed: u32) -> impl FnMut() -> f64 {
        let mut seed = seed;
        move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(seed >> 8) / f64::from(1_u32 << 24) - 0.5
        }
    }

    fn ask(days: &[(u16, f64)], limit: f64) -> Option<Reach> {
        reach(days.iter().copied(), TODAY, limit, CAPACITY)
    }

    #[test]
    fn a_known_slope_reaches_its_limit_on_the_expected_day() {
        // 50 % ninety days ago, a tenth of a percent a day: 59 today, 80 in 210 days.
        let found = ask(&days(90, |n| 50.0 + 0.1 * n), 80.0).unwrap();
        assert!((found.days - 210.0).abs() < 1e-6, "{found:?}");
        assert!((found.earliest - 210.0).abs() < 1e-6);
        assert!((found.latest.unwrap() - 210.0).abs() < 1e-6);
        assert_eq!((found.confidence, found.means), (Confidence::High, 90));
    }

    #[test]
    fn noise_stays_within_the_stated_bounds() {
        let mut outside = 0;
        for seed in 0..200 {
            let mut noise = noise(seed);
            let mut noisy = days(90, |n| 50.0 + 0.1 * n);
            for day in &mut noisy {
                day.1 += 6.0 * noise();
            }
            let Some(found) = ask(&noisy, 80.0) else {
                outside += 1;
                continue;
            };
            let is_within = found.earliest <= 210.0 && found.latest.is_none_or(|latest| latest >= 210.0);
            outside += usize::from(!is_within);
        }
        assert!(
            outside <= 4,
            "{outside} of 200 were outside of their bounds or said nothing"
        );
    }

    #[test]
    fn constant_or_directionless_or_receding_values_give_nothing() {
        assert_eq!(ask(&days(90, |_| 55.0), 80.0), None);
        assert_eq!(ask(&days(90, |n| 55.0 + (n * 0.7).sin()), 80.0), None);
        assert_eq!(ask(&days(90, |n| 60.0 - 0.1 * n), 80.0), None);
        assert_eq!(ask(&days(90, |n| 75.0 + 0.1 * n), 80.0), None, "reached already");
        let mut told = 0;
        for seed in 0..200 {
            let mut noise = noise(seed);
            let noisy: Vec<_> = days(90, |_| 55.0)
                .into_iter()
                .map(|(day, value)| (day, value + 6.0 * noise()))
                .collect();
            told += usize::from(ask(&noisy, 80.0).is_some());
        }
        assert!(told <= 2, "{told} of 200 found a date in noise");
    }

    #[test]
    fn too_few_days_or_too_far_ahead_give_nothing() {
        assert_eq!(ask(&days(27, |n| 50.0 + 0.1 * n), 80.0), None);
        assert_eq!(
            ask(&days(90, |n| 50.0 + 0.02 * n), 80.0),
            None,
            "four years ahead"
        );
        assert_eq!(
            ask(&days(30, |n| 50.0 + 0.1 * n), 80.0),
            None,
            "nine times what was watched"
        );
        assert_eq!(ask(&[], 80.0), None);
    }

    #[test]
    fn a_fall_reaches_a_lower_limit_and_gaps_are_gaps() {
        let mut falling = days(90, |n| 1800.0 - 8.0 * n);
        falling.retain(|(day, _)| day % 3 != 0);
        let found = ask(&falling, 600.0).unwrap();
        assert!((found.days - 60.0).abs() < 1e-6, "{found:?}");
    }
}

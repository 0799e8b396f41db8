//! Wear of a sealed lead battery, weighted by the temperature about it.
//!
//! Every day uses up so much of its life as the temperature of that day says: one day at or below
//! 25 °C, 1.45 at 30, 2 at 35 (SBA G0202, guide of the Battery Association of Japan: 2.5, 1.7 and
//! 1.2 years; the long-life type 4.0, 2.8 and 2.0). Between them straight; above 35 it doubles every
//! ten degrees, as chemistry does. Days that nobody measured count like the mean of those measured,
//! and between the factors of 1 and 2 in the bounds.

use crate::snapshot::Confidence;

/// Days that must be measured before anything is said.
pub const MIN_DAYS: usize = 14;
/// Days of a month, over the years.
pub const DAYS_OF_MONTH: f64 = 30.437;
/// What lies ahead is reckoned like the last so many days.
const LIKE_LAST: usize = 365;
/// Most days that are forecast.
const MOST_AHEAD: f64 = 15.0 * 365.0;

/// How fast a day at this mean temperature (°C) wears a battery, 1 at or below 25.
#[must_use]
pub fn factor(celsius: f64) -> f64 {
    if celsius <= 25.0 {
        1.0
    } else if celsius <= 30.0 {
        1.0 + (celsius - 25.0) / 5.0 * 0.45
    } else if celsius <= 35.0 {
        1.45 + (celsius - 30.0) / 5.0 * 0.55
    } else {
        2.0 * 2.0_f64.powf((celsius - 35.0) / 10.0)
    }
}

/// How worn a battery is, and when it is due. Days are counted from today.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wear {
    /// Life used, in percent; above 100 it is overdue.
    pub used: f64,
    /// Days until it is used up; 0 when it is.
    pub days: f64,
    /// The earliest,
    pub earliest: f64,
    /// and the latest.
    pub latest: f64,
    /// Age in days.
    pub age: u16,
    /// Days of it that were measured.
    pub measured: usize,
    /// Mean temperature of those.
    pub mean: f64,
    /// Mean factor of those.
    pub factor: f64,
    /// How sure.
    pub confidence: Confidence,
}

/// The wear of a battery put in on day `installed` with a life of `life_months` at 25 °C. `None`
/// until [`MIN_DAYS`] were measured.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "some thousand days")]
pub fn wear(
    means: impl Iterator<Item = (u16, f64)>,
    installed: u16,
    life_months: u16,
    today: u16,
) -> Option<Wear> {
    let days: Vec<f64> = means
        .filter(|(day, _)| (installed..today).contains(day))
        .map(|(_, mean)| mean)
        .collect();
    if days.len() < MIN_DAYS {
        return None;
    }
    let measured = days.len();
    let age = today - installed;
    let count = measured as f64;
    let mean = days.iter().sum::<f64>() / count;
    let worn: f64 = days.iter().map(|celsius| factor(*celsius)).sum();
    let factor_mean = worn / count;
    let last = &days[measured.saturating_sub(LIKE_LAST)..];
    let ahead = last.iter().map(|celsius| factor(*celsius)).sum::<f64>() / last.len() as f64;
    let unmeasured = (f64::from(age) - count).max(0.0);
    let life = f64::from(life_months) * DAYS_OF_MONTH;
    let left = |of_unmeasured: f64| {
        let used = worn + unmeasured * of_unmeasured;
        ((life - used) / ahead).clamp(0.0, MOST_AHEAD)
    };
    let share = count / f64::from(age.max(1));
    let confidence = if share >= 0.8 {
        Confidence::High
    } else if share >= 0.3 {
        Confidence::Medium
    } else {
        Confidence::Low
    };
    Some(Wear {
        used: (worn + unmeasured * factor_mean) / life * 100.0,
        days: left(factor_mean),
        earliest: left(factor_mean.max(2.0)),
        latest: left(1.0),
        age,
        measured,
        mean,
        factor: factor_mean,
        confidence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTALLED: u16 = 19_814;

    fn days(count: u16, celsius: f64) -> Vec<(u16, f64)> {
        (0..count).map(|n| (INSTALLED + n, celsius)).collect()
    }

    #[test]
    fn the_factors_are_those_of_the_guide() {
        for (celsius, expected) in [
            (5.0, 1.0),
            (25.0, 1.0),
            (27.5, 1.225),
            (30.0, 1.45),
            (35.0, 2.0),
            (45.0, 4.0),
        ] {
            assert!((factor(celsius) - expected).abs() < 1e-9, "{celsius}");
        }
    }

    #[test]
    fn a_cool_battery_lives_its_life_and_a_warm_one_seven_tenths_of_it() {
        // Thirty months of 30.437 days: 913 days at 25 °C, 630 at 30, 457 at 35.
        for (celsius, life) in [(22.0, 913.1), (30.0, 629.7), (35.0, 456.6)] {
            let found = wear(days(100, celsius).into_iter(), INSTALLED, 30, INSTALLED + 100).unwrap();
            assert!((found.days - (life - 100.0)).abs() < 0.1, "{celsius}: {found:?}");
            assert!((found.used - 100.0 / life * 100.0).abs() < 0.1);
            assert_eq!((found.earliest, found.latest), (found.days, found.days));
            assert_eq!(found.confidence, Confidence::High);
        }
    }

    #[test]
    fn days_that_nobody_measured_widen_the_bounds() {
        let today = INSTALLED + 400;
        let measured: Vec<_> = days(400, 24.0).into_iter().skip(380).collect();
        let found = wear(measured.into_iter(), INSTALLED, 30, today).unwrap();
        assert_eq!((found.measured, found.confidence), (20, Confidence::Low));
        assert!((found.days - 513.1).abs() < 0.1, "{found:?}");
        assert!(
            (found.earliest - 133.1).abs() < 0.1,
            "as if it had been at 35 °C before"
        );
        assert_eq!(found.latest, found.days);
    }

    #[test]
    fn an_overdue_battery_is_due_now_and_too_few_days_say_nothing() {
        let found = wear(days(1_000, 26.0).into_iter(), INSTALLED, 30, INSTALLED + 1_000).unwrap();
        assert!(found.used > 110.0);
        assert_eq!(found.days, 0.0);
        let few = days(13, 26.0).into_iter();
        assert_eq!(wear(few, INSTALLED, 30, INSTALLED + 13), None);
        // A battery that was exchanged begins anew.
        let other = wear(days(900, 26.0).into_iter(), INSTALLED + 895, 30, INSTALLED + 900);
        assert_eq!(other, None);
        let none = wear(days(50, 26.0).into_iter(), INSTALLED + 100, 30, INSTALLED + 50);
        assert_eq!(none, None, "put in tomorrow");
    }
}

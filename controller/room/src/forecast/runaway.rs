//! Temperature that runs away: the time until its critical limit, from the last ten minutes.

use crate::line::Line;
use crate::snapshot::Confidence;
use crate::time::Millis;

/// The line is drawn through so long.
pub const WINDOW: Millis = Millis::from_secs(600);
/// A limit that is nearer than this is an alarm, now.
pub const ALARM_WITHIN: Millis = Millis::from_secs(900);
/// One that is further off is not told: no room warms in a straight line for longer.
pub const TOLD_WITHIN: Millis = Millis::from_secs(4 * 3600);
/// A slower rise is the day's course and no runaway, in °C an hour: the most that is recommended for a
/// room with tapes (ASHRAE 2021).
pub const LEAST_RISE: f64 = 5.0;

/// A limit that is being run towards. Times are seconds from now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Runaway {
    /// Expected.
    pub seconds: f64,
    /// The earliest by the slope's error.
    pub earliest: f64,
    /// The latest; `None` when it may not come.
    pub latest: Option<f64>,
    /// Rise in °C an hour.
    pub slope: f64,
    /// How sure.
    pub confidence: Confidence,
}

impl Runaway {
    /// True when a person must act now.
    #[must_use]
    pub fn is_alarm(&self) -> bool {
        self.seconds < ALARM_WITHIN.as_secs_f64()
    }
}

/// Whether the line (x in hours before now) runs towards `limit`. `None` when it does not: it falls,
/// rises slowly, or so unsteadily that nobody can say.
#[must_use]
pub fn judge(line: &Line, value: f64, limit: f64) -> Option<Runaway> {
    let error = 2.0 * line.slope_error;
    if line.slope < LEAST_RISE || line.slope - error <= 0.0 {
        return None;
    }
    // A rise that has just begun is ahead of its line; a single wrong value is not believed.
    let level = if line.left_out {
        line.at(0.0)
    } else {
        line.at(0.0).max(value)
    };
    let gap = (limit - level).max(0.0);
    let seconds = |slope: f64| gap / slope * 3600.0;
    let expected = seconds(line.slope);
    if expected > TOLD_WITHIN.as_secs_f64() {
        return None;
    }
    let certainty = line.certainty();
    let confidence = if certainty >= 10.0 {
        Confidence::High
    } else if certainty >= 4.0 {
        Confidence::Medium
    } else {
        Confidence::Low
    };
    Some(Runaway {
        seconds: expected,
        earliest: seconds(line.slope + error),
        latest: Some(line.slope - error).filter(|slope| *slope > 0.0).map(seconds),
        slope: line.slope,
        confidence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::Window;
    use crate::time::Mono;

    /// Ten minutes and one, a value every ten seconds.
    fn line(value: impl Fn(f64) -> f64) -> (Line, f64) {
        let mut window = Window::new(WINDOW);
        let mut last = 0.0;
        for second in (0..=660_u32).step_by(10) {
            last = value(f64::from(second) / 3600.0);
            window.take(Mono(u64::from(second) * 1000), last);
        }
        (window.line(Mono(660_000)).unwrap(), last)
    }

    #[test]
    fn a_known_slope_says_when_the_limit_comes() {
        // 24 °C/h from 26: 30.4 after eleven minutes, 32 four minutes later.
        let (line, value) = line(|hour| 26.0 + 24.0 * hour);
        let found = judge(&line, value, 32.0).unwrap();
        assert!((found.seconds - 240.0).abs() < 1.0, "{found:?}");
        assert!(found.is_alarm());
        assert_eq!(found.confidence, Confidence::High);
        let later = judge(&line, value, 45.0).unwrap();
        assert!((later.seconds - 2190.0).abs() < 2.0, "{later:?}");
        assert!(!later.is_alarm());
    }

    #[test]
    fn a_steady_a_slow_and_a_falling_room_do_not_run_away() {
        for per_hour in [0.0, 3.0, -20.0] {
            let (line, value) = line(|hour| 31.9 + per_hour * hour);
            assert_eq!(judge(&line, value, 32.0 + 5.0), None, "{per_hour}");
        }
        let (line, value) = line(|hour| 22.0 + 6.0 * hour);
        assert_eq!(judge(&line, value, 60.0), None, "hours away");
    }

    #[test]
    fn noise_near_the_limit_does_not_run_away_and_one_wrong_value_neither() {
        let (line_, value) = line(|hour| 31.5 + 0.15 * (hour * 9_000.0).sin());
        assert_eq!(judge(&line_, value, 32.0), None);
        let (line, _) = line(|hour| {
            if hour > 0.18 {
                85.0
            } else {
                22.0 + 0.01 * (hour * 900.0).sin()
            }
        });
        assert_eq!(judge(&line, 85.0, 90.0), None);
    }

    /// A slope counts only beyond twice its own error: two degrees an hour more or less of it decide.
    #[test]
    fn a_rise_that_may_as_well_be_none_is_not_told() {
        let of_error = |slope_error| Line {
            slope: 8.0,
            slope_error,
            middle: -0.09,
            level: 28.0,
            scatter: 1.0,
            points: 60,
            left_out: false,
        };
        assert_eq!(judge(&of_error(5.0), 28.0, 32.0), None, "from 2 down to 18 up");
        assert_eq!(
            judge(&of_error(4.0), 28.0, 32.0),
            None,
            "none is among what it may be"
        );
        let found = judge(&of_error(3.9), 28.0, 32.0).unwrap();
        assert_eq!(found.confidence, Confidence::Low);
        assert!(found.latest.unwrap() > 10.0 * found.seconds, "{found:?}");
    }

    #[test]
    fn above_the_limit_and_still_rising_is_now() {
        let (line, value) = line(|hour| 31.0 + 24.0 * hour);
        assert_eq!(judge(&line, value, 32.0).unwrap().seconds, 0.0);
    }
}

//! Derived values: dew point, rate of change, difference, and the least, most and mean of several.
//!
//! ```text
//! inputs, each Result<value, NoData> with its moment --> Result<value, NoData> with a moment
//! ```
//! A derived value is never fresher or more known than what it is made of: its moment is that of
//! its oldest input, and where an input has no value that it needs, it has none either, for the
//! same reason. It never stands in for a sensor: what no sensor measured, nothing here invents.

use crate::line;
use crate::time::{Millis, Mono};
use shared::NoData;
use std::collections::VecDeque;

/// An input as of now: its value, or why there is none, and when that was true.
pub type Input = (Result<f64, NoData>, Option<Mono>);

/// Temperatures for which the formula of the dew point holds, in °C.
pub const DEW_POINT_TEMPERATURES: (f64, f64) = (-45.0, 60.0);
/// Humidities for which it is worked out, in %. Below the least of them no sensor of a server room
/// is right to a factor of two, and at zero there is no dew point.
pub const DEW_POINT_HUMIDITIES: (f64, f64) = (1.0, 100.0);

/// Parts of the window of a rate; each is one point of its line.
pub const SLOTS: usize = 15;
/// Of these so many must have a value: three minutes of a quarter of an hour may be missing.
pub const SLOTS_NEEDED: usize = 12;

/// Dew point in °C of air at `temperature` (°C) and relative humidity `humidity` (%) over water.
///
/// Magnus formula with the coefficients of WMO-No. 8, Guide to Instruments and Methods of
/// Observation, volume I, annex 4.B: e_w = 6.112 exp(17.62 t / (243.12 + t)), for -45 to 60 °C.
///
/// # Errors
/// [`NoData::Implausible`] outside of [`DEW_POINT_TEMPERATURES`] and [`DEW_POINT_HUMIDITIES`].
pub fn dew_point(temperature: f64, humidity: f64) -> Result<f64, NoData> {
    const A: f64 = 17.62;
    const B: f64 = 243.12;
    let within = |value: f64, (low, high): (f64, f64)| (low..=high).contains(&value);
    if !within(temperature, DEW_POINT_TEMPERATURES) || !within(humidity, DEW_POINT_HUMIDITIES) {
        return Err(NoData::Implausible);
    }
    let gamma = (humidity / 100.0).ln() + A * temperature / (B + temperature);
    Ok(B * gamma / (A - gamma))
}

/// Two inputs into one value.
pub fn of_two(a: Input, b: Input, value: impl FnOnce(f64, f64) -> Result<f64, NoData>) -> Input {
    let at = oldest([a.1, b.1].into_iter());
    match (a.0, b.0) {
        (Ok(a), Ok(b)) => (value(a, b), at),
        (Err(why), _) | (_, Err(why)) => (Err(why), at),
    }
}

/// The least, most or mean of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Of {
    /// The least.
    Minimum,
    /// The most.
    Maximum,
    /// The mean of those that have a value.
    Mean,
}

/// One of several inputs, of which at least `need` must have a value; the reason of the first one
/// without is told when too few have.
pub fn of_many(of: Of, inputs: &[Input], need: usize) -> Input {
    let known: Vec<(f64, Option<Mono>)> = inputs
        .iter()
        .filter_map(|(value, at)| Some((value.ok()?, *at)))
        .collect();
    if known.is_empty() || known.len() < need {
        let why = inputs.iter().find_map(|(value, _)| value.err());
        let at = oldest(inputs.iter().map(|(_, at)| *at));
        return (Err(why.unwrap_or(NoData::NeverHeard)), at);
    }
    let values = known.iter().map(|(value, _)| *value);
    #[expect(clippy::cast_precision_loss, reason = "at most as many as a list has")]
    let value = match of {
        Of::Minimum => values.fold(f64::INFINITY, f64::min),
        Of::Maximum => values.fold(f64::NEG_INFINITY, f64::max),
        Of::Mean => values.sum::<f64>() / known.len() as f64,
    };
    (Ok(value), oldest(known.iter().map(|(_, at)| *at)))
}

fn oldest(mut moments: impl Iterator<Item = Option<Mono>>) -> Option<Mono> {
    // One that was never heard makes the whole never heard.
    moments.try_fold(None::<Mono>, |oldest, at| {
        let at = at?;
        Some(Some(oldest.map_or(at, |oldest| oldest.min(at))))
    })?
}

/// The last values of one input, as the means of equal parts of a window.
///
/// ```text
/// empty --the first value lies a whole window back--> filled <--> too many parts without a value
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    length: Millis,
    /// When the first value ever came.
    since: Option<Mono>,
    parts: VecDeque<Part>,
}

/// The values of one part: when it began, and the sums for its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    number: u64,
    count: f64,
    sum: f64,
    sum_at: f64,
}

impl Window {
    /// An empty window.
    #[must_use]
    pub const fn new(length: Millis) -> Self {
        Self {
            length,
            since: None,
            parts: VecDeque::new(),
        }
    }

    fn part_ms(&self) -> u64 {
        (self.length.0 / SLOTS as u64).max(1)
    }

    /// Takes a value in; one that is older than the newest part is not.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of an uptime")]
    pub fn take(&mut self, at: Mono, value: f64) {
        let number = at.0 / self.part_ms();
        self.since.get_or_insert(at);
        let at = at.0 as f64;
        match self.parts.back_mut() {
            Some(part) if part.number > number => return,
            Some(part) if part.number == number => {
                part.count += 1.0;
                part.sum += value;
                part.sum_at += at;
            }
            _ => self.parts.push_back(Part {
                number,
                count: 1.0,
                sum: value,
                sum_at: at,
            }),
        }
        self.forget(number);
    }

    fn forget(&mut self, newest: u64) {
        // The present part is not whole, so that there is one more.
        while self
            .parts
            .front()
            .is_some_and(|part| part.number + (SLOTS as u64) < newest)
        {
            self.parts.pop_front();
        }
    }

    /// The line through the window, x in hours; `None` until values stand over the whole of it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of an uptime")]
    pub fn line(&self, now: Mono) -> Option<line::Line> {
        const HOUR_MS: f64 = 3_600_000.0;
        let present = now.0 / self.part_ms();
        let parts: Vec<&Part> = self
            .parts
            .iter()
            .filter(|part| part.number + SLOTS as u64 >= present)
            .collect();
        let first = parts.first()?;
        if !self.is_filled(now) || parts.len() < SLOTS_NEEDED {
            return None;
        }
        let begin = first.sum_at / first.count;
        let points: Vec<(f64, f64)> = parts
            .iter()
            .map(|part| {
                (
                    (part.sum_at / part.count - begin) / HOUR_MS,
                    part.sum / part.count,
                )
            })
            .collect();
        // Seen from the begin of the window; moved, so that x is hours before now.
        let line = line::fit(&points)?;
        let now = (now.0 as f64 - begin) / HOUR_MS;
        Some(line::Line {
            middle: line.middle - now,
            ..line
        })
    }

    /// The change per hour of `input` over the window. What is missing has the input's reason;
    /// a window that is not filled is [`NoData::NeverHeard`] at first and [`NoData::Stale`] after a
    /// gap.
    pub fn rate(&self, now: Mono, input: Input) -> Input {
        let value = input.0.and_then(|_| match self.line(now) {
            Some(line) => Ok(line.slope),
            None if self.is_filled(now) => Err(NoData::Stale),
            None => Err(NoData::NeverHeard),
        });
        (value, input.1)
    }

    /// True when the first value lies a whole window back.
    fn is_filled(&self, now: Mono) -> bool {
        self.since.is_some_and(|since| now.since(since) >= self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: f64, at: u64) -> Input {
        (Ok(value), Some(Mono(at)))
    }

    #[test]
    fn the_dew_point_agrees_with_tables() {
        // Psychrometric tables, rounded to a tenth.
        for (temperature, humidity, expected) in [
            (27.0, 60.0, 18.6),
            (20.0, 50.0, 9.3),
            (25.0, 40.0, 10.5),
            (32.0, 80.0, 28.1),
            (18.0, 20.0, -5.3),
            (24.0, 100.0, 24.0),
        ] {
            let value = dew_point(temperature, humidity).unwrap();
            assert!(
                (value - expected).abs() < 0.06,
                "{temperature} {humidity}: {value}"
            );
        }
    }

    #[test]
    fn the_dew_point_has_a_domain_and_nothing_outside_of_it() {
        for (temperature, humidity) in [
            (60.1, 50.0),
            (-45.1, 50.0),
            (20.0, 0.0),
            (20.0, 0.9),
            (20.0, 100.1),
            (f64::NAN, 50.0),
            (20.0, f64::NAN),
        ] {
            assert_eq!(dew_point(temperature, humidity), Err(NoData::Implausible));
        }
    }

    #[test]
    fn a_value_of_two_is_as_old_as_the_older_and_as_unknown_as_the_less_known() {
        let minus = |a: f64, b: f64| Ok((a - b).abs());
        assert_eq!(of_two(at(20.0, 50), at(23.0, 40), minus), at(3.0, 40));
        assert_eq!(
            of_two(at(20.0, 50), (Err(NoData::Stale), Some(Mono(7))), minus),
            (Err(NoData::Stale), Some(Mono(7)))
        );
        assert_eq!(
            of_two((Err(NoData::NeverHeard), None), at(1.0, 9), minus),
            (Err(NoData::NeverHeard), None)
        );
    }

    #[test]
    fn a_mean_is_of_what_is_there_and_says_why_when_that_is_too_little() {
        let lost = (Err(NoData::BusFault), Some(Mono(60)));
        let inputs = [at(20.0, 50), lost, at(24.0, 40)];
        assert_eq!(of_many(Of::Mean, &inputs, 2), at(22.0, 40));
        assert_eq!(
            of_many(Of::Mean, &inputs, 3),
            (Err(NoData::BusFault), Some(Mono(40)))
        );
        assert_eq!(of_many(Of::Maximum, &inputs, 1), at(24.0, 40));
        assert_eq!(of_many(Of::Minimum, &inputs, 1), at(20.0, 40));
        assert_eq!(of_many(Of::Mean, &[lost], 0).0, Err(NoData::BusFault));
        assert_eq!(of_many(Of::Mean, &[], 0).0, Err(NoData::NeverHeard));
    }

    const QUARTER: Millis = Millis(900_000);

    /// A sample every ten seconds from `begin`, at `per_hour`.
    fn filled(begin: u64, secs: u64, per_hour: f64) -> Window {
        let mut window = Window::new(QUARTER);
        for second in (0..=secs).step_by(10) {
            let hours = f64::from(u32::try_from(second).unwrap()) / 3600.0;
            window.take(Mono(begin + second * 1000), 22.0 + per_hour * hours);
        }
        window
    }

    fn rate(window: &Window, now: u64) -> Result<f64, NoData> {
        window.rate(Mono(now), at(22.0, now)).0
    }

    #[test]
    fn a_rate_has_no_value_until_its_window_is_filled() {
        for begin in [0, 1_000_000, 7_654_321] {
            for secs in [10, 300, 700, 890] {
                let window = filled(begin, secs, 6.0);
                assert_eq!(
                    rate(&window, begin + secs * 1000),
                    Err(NoData::NeverHeard),
                    "{secs}"
                );
            }
            let value = rate(&filled(begin, 900, 6.0), begin + 900_000).unwrap();
            assert!((value - 6.0).abs() < 1e-6, "{value}");
        }
    }

    #[test]
    fn a_rate_lives_through_a_short_gap_and_not_through_a_long_one() {
        let mut window = filled(0, 1200, 6.0);
        let value = |window: &Window, secs: u64| rate(window, secs * 1000);
        for second in (1380..=1500_u32).step_by(10) {
            window.take(
                Mono(u64::from(second) * 1000),
                22.0 + 6.0 * f64::from(second) / 3600.0,
            );
        }
        let known = value(&window, 1500).expect("three minutes of fifteen may be missing");
        assert!((known - 6.0).abs() < 0.1, "{known}");
        let mut window = filled(0, 1200, 6.0);
        for second in (1700..=1760_u32).step_by(10) {
            window.take(Mono(u64::from(second) * 1000), 24.0);
        }
        assert_eq!(value(&window, 1760), Err(NoData::Stale));
        assert_eq!(
            window.rate(Mono(1_760_000), (Err(NoData::Absent), Some(Mono(5)))),
            (Err(NoData::Absent), Some(Mono(5))),
            "an input without a value has no rate"
        );
    }

    #[test]
    fn one_wrong_sample_does_not_move_a_rate() {
        let mut window = filled(0, 900, 0.0);
        window.take(Mono(905_000), 85.0);
        let value = rate(&window, 905_000).unwrap();
        assert!(value.abs() < 0.5, "{value}");
    }

    #[test]
    fn a_slow_sensor_has_a_rate_too_and_the_window_stays_small() {
        let mut window = Window::new(QUARTER);
        for minute in 0..10_000_u32 {
            window.take(Mono(u64::from(minute) * 60_000), f64::from(minute) / 60.0);
        }
        assert!(window.parts.len() <= SLOTS + 1);
        let value = rate(&window, 9_999 * 60_000).unwrap();
        assert!((value - 1.0).abs() < 1e-6, "{value}");
    }
}

//! One sensor: whether it has a value, and what is said about it.
//!
//! ```text
//! Unproven --good--> Good --bad--> Doubtful --bad--> Lost --good x BACK_AFTER--> Good
//!     |               ^               | good            ^ |
//!     +--bad----------|--> Doubtful   |                 +-+ bad: count from the start
//!                     +---------------+
//! ```
//! A reading that was not proven to come from the part is no value, from the first one on. The
//! event waits for a second one, because a single disturbed transfer is no loss; and a lost
//! sensor must answer several times before it is believed again. Its values are given from then on;
//! that it is back is told when it is proven (see [`Proof`]), so that a loose plug makes at most
//! [`EVENTS_PER_HOUR`] events.
//!
//! Between driver and state a reading passes what its quantity asks for (see [`Habits`]): the
//! plausible range, the median of three, the fastest change that physics allows. A reading that
//! changed faster is doubtful: no value, until the next one agrees with it. The heartbeat and the
//! deadband decide what of it is sent.

use crate::proof::{BACK_PER_HOUR, Proof};
use crate::{REPORT_MS, TEMPERATURE_DELTA_MILLI};
use shared::filter::{Deadband, Median3, RateLimit};
use shared::wire::Up;
use shared::{NoData, Quantity, Sample};

/// Bad readings in a row that make a loss.
pub const LOST_AFTER: u8 = 2;
/// Good readings in a row that end one.
pub const BACK_AFTER: u8 = 3;
/// Events of one sensor within an hour, at most: a loss before each return, and one after.
pub const EVENTS_PER_HOUR: usize = 2 * BACK_PER_HOUR + 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing good was read since power-on.
    Unproven,
    /// The last reading was good.
    Good,
    /// `bad` readings in a row were not.
    Doubtful { bad: u8 },
    /// Reported lost; `good` readings in a row since.
    Lost { good: u8 },
}

/// How a quantity behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// Change that is sent at once, in thousandths of the unit.
    pub delta: i32,
    /// Whether one value among three may be left out: not for what is already a peak, and not for
    /// what really changes within one reading.
    pub smooth: bool,
    /// Fastest possible change in thousandths a second, and what is allowed besides; `None` where
    /// any change is possible.
    pub rate: Option<(u32, u32)>,
}

impl Habits {
    /// Of a quantity in a server room.
    #[must_use]
    pub const fn of(quantity: Quantity) -> Self {
        let (delta, smooth, rate) = match quantity {
            // A bare sensor held into the exhaust of a server follows with 1 to 3 °C/s.
            Quantity::Temperature => (TEMPERATURE_DELTA_MILLI, true, Some((5_000, 1_000))),
            // Breath on a sensor: 10 %/s.
            Quantity::Humidity => (500, true, Some((20_000, 2_000))),
            // A slammed door is 1 hPa; the gas of a fire extinguisher some 10 hPa within a second.
            Quantity::Pressure => (200, true, Some((30_000, 2_000))),
            // Toner and smoke come at any rate.
            Quantity::MassConcentration => (2_000, true, None),
            // Each value is a peak: 2 gal.
            Quantity::Acceleration => (20, false, None),
            // A supply may be there and gone.
            Quantity::Voltage => (100, false, None),
            _ => (1_000, false, None),
        };
        Self { delta, smooth, rate }
    }
}

/// A sensor of the node.
#[derive(Debug)]
pub struct Sensor {
    channel: u8,
    quantity: Quantity,
    state: State,
    value: Result<i32, NoData>,
    /// With the lower half of its time: there are dozens of these, and reports are seconds apart.
    reported: Option<(Result<i32, NoData>, u32)>,
    band: Deadband,
    median: Median3,
    rate: RateLimit,
    proof: Proof,
    due: bool,
}

impl Sensor {
    /// A sensor that has not been read yet.
    #[must_use]
    pub const fn new(channel: u8, quantity: Quantity) -> Self {
        let habits = Habits::of(quantity);
        Self {
            channel,
            quantity,
            state: State::Unproven,
            value: Err(NoData::NeverHeard),
            reported: None,
            band: Deadband::new(habits.delta, REPORT_MS),
            median: Median3::new(),
            rate: RateLimit::new(),
            proof: Proof::new(),
            due: false,
        }
    }

    /// Feeds what the driver read, in thousandths of the unit; an event when the sensor is lost
    /// or back.
    pub fn feed(&mut self, read: Result<i32, NoData>, now_ms: u64) -> Option<Up> {
        let read = self.filter(read, now_ms);
        let channel = self.channel;
        let (state, event) = match (self.state, read) {
            (State::Unproven | State::Good | State::Doubtful { .. }, Ok(_)) => (State::Good, None),
            (State::Unproven | State::Good, Err(_)) => (State::Doubtful { bad: 1 }, None),
            (State::Doubtful { bad }, Err(reason)) if bad + 1 >= LOST_AFTER => {
                let lost = State::Lost { good: 0 };
                self.proof.lost(now_ms);
                (lost, Some(Up::SensorLost { channel, reason }))
            }
            (State::Doubtful { bad }, Err(_)) => (State::Doubtful { bad: bad + 1 }, None),
            (State::Lost { good }, Ok(_)) if good + 1 >= BACK_AFTER => {
                if self.proof.sound(now_ms) {
                    (State::Good, Some(Up::SensorBack { channel }))
                } else {
                    (State::Lost { good: BACK_AFTER }, None)
                }
            }
            (State::Lost { good }, Ok(_)) => (State::Lost { good: good + 1 }, None),
            (State::Lost { .. }, Err(_)) => {
                self.proof.unsound();
                (State::Lost { good: 0 }, None)
            }
        };
        self.state = state;
        // What was measured in one second is not the end of it: the highest of all that was not sent.
        let read = match (read, self.value) {
            (Ok(peak), Ok(unsent)) if self.due && self.quantity == Quantity::Acceleration => {
                Ok(peak.max(unsent))
            }
            (read, _) => read,
        };
        // While a loss lasts, a value now and then is not yet believed.
        self.value = match (self.state, read, self.value) {
            (State::Lost { good }, Ok(_), Err(reason)) if good < BACK_AFTER => Err(reason),
            (_, read, _) => read,
        };
        self.due |= self.worth_reporting(now_ms);
        event
    }

    /// The sample to report, once when it is due.
    pub fn take_due(&mut self, now_ms: u64) -> Option<Sample> {
        core::mem::take(&mut self.due).then(|| {
            self.reported = Some((self.value, now_ms as u32));
            Sample {
                channel: self.channel,
                quantity: self.quantity,
                value: self.value,
            }
        })
    }

    /// Report with the next occasion.
    pub const fn ask(&mut self) {
        self.due = true;
    }

    fn filter(&mut self, read: Result<i32, NoData>, now_ms: u64) -> Result<i32, NoData> {
        let habits = Habits::of(self.quantity);
        let read = read.and_then(|milli| self.quantity.check(milli));
        if read.is_err() {
            self.median.reset();
        }
        let milli = read?;
        let milli = if habits.smooth {
            self.median.feed(milli)
        } else {
            milli
        };
        match habits.rate {
            Some((per_second, slack)) => self.rate.feed(milli, per_second, slack, now_ms),
            None => Ok(milli),
        }
    }

    fn worth_reporting(&mut self, now_ms: u64) -> bool {
        let moved = match self.value {
            Ok(milli) => self.band.feed(milli, now_ms),
            Err(_) => false,
        };
        let (reported, at) = match self.reported {
            None => return true,
            Some(reported) => reported,
        };
        let another_kind = match (reported, self.value) {
            (Ok(_), Ok(_)) => false,
            (before, after) => before != after,
        };
        moved || another_kind || u64::from((now_ms as u32).wrapping_sub(at)) >= REPORT_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::AT_ONCE;
    use std::vec::Vec;

    const BAD: Result<i32, NoData> = Err(NoData::BusFault);

    /// Feeds readings every half second; returns the events and the values reported.
    fn run(readings: &[Result<i32, NoData>]) -> (Vec<Up>, Vec<Result<i32, NoData>>) {
        let mut sensor = Sensor::new(2, Quantity::Temperature);
        let (mut events, mut values) = (Vec::new(), Vec::new());
        for (read, now_ms) in readings.iter().zip((0..).step_by(500)) {
            events.extend(sensor.feed(*read, now_ms));
            values.extend(sensor.take_due(now_ms).map(|sample| sample.value));
        }
        (events, values)
    }

    #[test]
    fn a_good_sensor_reports_moves_and_makes_no_event() {
        let (events, values) = run(&[Ok(25_000), Ok(25_050), Ok(25_100), Ok(25_100)]);
        assert_eq!((events, values), (vec![], vec![Ok(25_000), Ok(25_100)]));
    }

    #[test]
    fn a_quiet_sensor_is_reported_every_five_seconds() {
        assert_eq!(run(&[Ok(25_000); 31]).1, [Ok(25_000); 4]);
        assert_eq!(run(&[BAD; 31]).1, [BAD; 4]);
    }

    #[test]
    fn a_frozen_bus_is_no_data_at_once_and_an_event_at_the_second() {
        let (events, values) = run(&[Ok(25_000), BAD, BAD, BAD]);
        let lost = Up::SensorLost {
            channel: 2,
            reason: NoData::BusFault,
        };
        assert_eq!((events, values), (vec![lost], vec![Ok(25_000), BAD]));
    }

    #[test]
    fn one_disturbed_transfer_is_no_event() {
        let (events, values) = run(&[Ok(25_000), BAD, Ok(25_000), BAD, Ok(25_000)]);
        assert_eq!(events, []);
        assert_eq!(values, [Ok(25_000), BAD, Ok(25_000), BAD, Ok(25_000)]);
    }

    #[test]
    fn a_lost_sensor_is_believed_after_three_good_readings() {
        let flapping = [BAD, BAD, Ok(1), Ok(1), BAD, Ok(1), Ok(1)];
        assert_eq!(run(&flapping).0.len(), 1);
        assert_eq!(run(&flapping).1, [BAD]);
        let (events, values) = run(&[BAD, BAD, Ok(20_000), Ok(20_000), Ok(20_000)]);
        assert_eq!(events[1], Up::SensorBack { channel: 2 });
        assert_eq!(values, [BAD, Ok(20_000)]);
    }

    #[test]
    fn what_cannot_be_is_not_reported() {
        let (_, values) = run(&[Ok(-273_000)]);
        assert_eq!(values, [Err(NoData::Implausible)]);
    }

    #[test]
    fn one_wild_reading_is_left_out() {
        let (events, values) = run(&[Ok(25_000), Ok(25_000), Ok(85_000), Ok(25_000), Ok(25_000)]);
        assert_eq!((events, values), (vec![], vec![Ok(25_000)]));
    }

    #[test]
    fn a_jump_that_physics_does_not_allow_is_doubtful_until_it_stays() {
        let jump = [Ok(25_000), Ok(25_000), Ok(33_250), Ok(33_250), Ok(33_250)];
        let doubtful = Err(NoData::Implausible);
        assert_eq!(run(&jump), (vec![], vec![Ok(25_000), doubtful, Ok(33_250)]));
    }

    #[test]
    fn an_earthquake_and_a_lost_supply_are_told_with_their_first_reading() {
        for (quantity, before, after) in [
            (Quantity::Acceleration, 20, 2_500),
            (Quantity::Voltage, 12_000, 0),
        ] {
            let mut sensor = Sensor::new(0, quantity);
            for now_ms in [0, 500, 1_000] {
                sensor.feed(Ok(before), now_ms);
                sensor.take_due(now_ms);
            }
            sensor.feed(Ok(after), 1_500);
            assert_eq!(sensor.take_due(1_500).unwrap().value, Ok(after), "{quantity:?}");
        }
    }

    #[test]
    fn the_peak_of_an_earthquake_waits_until_it_is_sent() {
        let mut sensor = Sensor::new(0, Quantity::Acceleration);
        for (now_ms, peak) in (0..).step_by(1_000).zip([20, 900, 2_500, 30, 20]) {
            sensor.feed(Ok(peak), now_ms);
        }
        assert_eq!(sensor.take_due(5_000).unwrap().value, Ok(2_500));
        sensor.feed(Ok(20), 6_000);
        assert_eq!(sensor.take_due(6_000).unwrap().value, Ok(20));
    }

    #[test]
    fn a_loose_sensor_says_less_and_less_and_its_values_are_given_meanwhile() {
        let mut sensor = Sensor::new(2, Quantity::Temperature);
        let mut at = Vec::new();
        let mut values = 0;
        // It answers for nine of ten seconds, for six hours.
        for now_ms in (0..6 * 3_600_000).step_by(500) {
            let read = if now_ms % 10_000 < 1_000 { BAD } else { Ok(25_000) };
            at.extend(sensor.feed(read, now_ms).map(|_| now_ms));
            values += usize::from(sensor.take_due(now_ms).is_some_and(|sample| sample.value.is_ok()));
        }
        let told = 2 * usize::from(AT_ONCE) + 1;
        assert_eq!(at.len(), told, "at last it is lost for good: {at:?}");
        assert!(values > 2_000, "{values}");
        // For good means: until it stays.
        let end = 6 * 3_600_000;
        let back: Vec<u64> = (end..end + 300_000)
            .step_by(500)
            .filter(|now_ms| sensor.feed(Ok(25_000), *now_ms).is_some())
            .collect();
        assert!(matches!(back[..], [at] if at - end >= 50_000), "{back:?}");
    }

    #[test]
    fn whatever_the_rhythm_an_hour_has_few_events() {
        for bad_every_s in [4, 30, 61, 70, 250, 300, 970, 1_800, 3_590] {
            let mut sensor = Sensor::new(2, Quantity::Temperature);
            let at: Vec<u64> = (0..12 * 3_600_000)
                .step_by(500)
                .filter(|now_ms| {
                    let bad = now_ms % (bad_every_s * 1_000) < 1_000;
                    sensor.feed(if bad { BAD } else { Ok(25_000) }, *now_ms).is_some()
                })
                .collect();
            for (first, begin) in at.iter().enumerate() {
                let within = at[first..].iter().filter(|at| **at < begin + 3_600_000).count();
                assert!(
                    within <= EVENTS_PER_HOUR,
                    "{within} events, bad every {bad_every_s} s"
                );
            }
            assert!(at.len() >= 3);
        }
    }

    #[test]
    fn a_sensor_is_small_because_a_node_has_thirty_two() {
        assert!(size_of::<Sensor>() <= 96, "{}", size_of::<Sensor>());
    }
}

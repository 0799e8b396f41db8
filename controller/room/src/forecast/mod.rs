//! Forecasts: what will be due, on a list of its own, without sound and without notice.
//!
//! ```text
//! values --mean of each day--> Record::DailyMeans --replay--> Days --trend, wear--> forecasts
//! values --last ten minutes--> runaway      alarms raised in a day --> flapping link
//! ```
//! A forecast is a date with its bounds, the figures it stands on, and how sure it is, in words. Too
//! little data, or data without a direction, gives none: nothing here is guessed. No forecast raises
//! an alarm, but for two that a person must answer: a temperature that reaches its critical limit
//! within [`runaway::ALARM_WITHIN`], and a battery whose life is used up.
//!
//! What takes weeks to learn is journaled, one record a day with at most [`days::MAX_TRACKED`] means:
//! a battery lives longer than the history is kept, and the history may be lost without anybody
//! being in danger, which must not hold for the day a battery is due.

pub mod battery;
pub mod calendar;
pub mod days;
pub mod flapping;
pub mod runaway;
pub mod trend;

use crate::site::Label;
use crate::snapshot::Confidence;

impl Confidence {
    /// How sure, in words.
    #[must_use]
    pub fn words(self) -> Label {
        match self {
            Self::High => Label::new("確度は高い", "quite sure"),
            Self::Medium => Label::new("おおよその見込み", "roughly so"),
            Self::Low => Label::new(
                "目安（データが少ない、またはばらつきが大きい）",
                "a hint only: few or scattered figures",
            ),
        }
    }
}

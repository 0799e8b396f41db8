//! Points: every value of the room with its age, or the reason why there is none.
//!
//! A point never keeps a value that its source has not renewed in time: it turns stale by the
//! monotonic clock, whether anything arrives or not.

use crate::device::FactValue;
use crate::site::{ContactKind, Label};
use crate::snapshot;
use crate::time::{Millis, Mono, Now};
use shared::{NoData, Quantity};

/// A changing number goes to the history at most so often,
pub const HISTORY_LEAST: Millis = Millis(10_000);
/// and a steady one so often.
pub const HISTORY_MOST: Millis = Millis(60_000);

/// A number that nobody looks at every day goes there so often.
pub const HISTORY_SELDOM: Millis = Millis(300_000);

/// What a point is.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// `inlet.r3.temperature`
    pub id: String,
    /// Shown name.
    pub label: Label,
    /// Node or device it belongs to.
    pub source: String,
    /// What is measured, when it is one of ours.
    pub quantity: Option<Quantity>,
    /// Unit.
    pub unit: &'static str,
    /// What an open contact means.
    pub contact: Option<ContactKind>,
    /// Older than this it is stale.
    pub stale_after: Millis,
}

/// A point and its last word.
#[derive(Debug, Clone)]
pub struct Point {
    /// What it is.
    pub definition: Definition,
    last: Result<FactValue, NoData>,
    /// When the last word was true; `None` when there never was one.
    at: Option<Mono>,
    logged: Logged,
}

/// What went to the history last, and when.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Logged(Option<(Mono, Option<f64>)>);

/// How often a value goes to the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A contact: at every change.
    EveryChange,
    /// A number that people look at.
    Usual,
    /// A number that is kept for the day when somebody asks.
    Seldom,
}

impl Logged {
    /// Whether this value goes to the history: a contact at every change, a gap at its begin and
    /// end, a changing number at most every [`HISTORY_LEAST`], a steady one every
    /// [`HISTORY_MOST`], and one that is seldom looked at every [`HISTORY_SELDOM`]. A UPS has a
    /// hundred facts and is polled every few seconds; a year of all of them would fill the disk
    /// with repetitions.
    pub fn is_due(&mut self, now: Mono, value: Option<f64>, pace: Pace) -> bool {
        let due = match self.0 {
            None => value.is_some(),
            Some((at, last)) => {
                let silence = now.since(at);
                let turned = last.is_some() != value.is_some();
                let changed = last != value;
                match pace {
                    Pace::Seldom => turned || value.is_some() && silence >= HISTORY_SELDOM,
                    Pace::EveryChange if changed => true,
                    _ => {
                        turned
                            || changed && silence >= HISTORY_LEAST
                            || value.is_some() && silence >= HISTORY_MOST
                    }
                }
            }
        };
        if due {
            self.0 = Some((now, value));
        }
        due
    }
}

impl Point {
    /// Never heard.
    #[must_use]
    pub const fn new(definition: Definition) -> Self {
        Self {
            definition,
            last: Err(NoData::NeverHeard),
            at: None,
            logged: Logged(None),
        }
    }

    /// The source's word; true when it differs from the last one.
    pub fn set(&mut self, at: Mono, value: Result<FactValue, NoData>) -> bool {
        // A late word about an earlier moment must not overwrite a newer one.
        if self.at.is_some_and(|last| last > at) {
            return false;
        }
        self.at = Some(at);
        let changed = self.last != value;
        self.last = value;
        changed
    }

    /// A derived value with the moment of its oldest input, which may lie before the last one's.
    pub fn derive(&mut self, at: Option<Mono>, value: Result<f64, NoData>) {
        self.at = at;
        self.last = value.map(FactValue::Number);
    }

    /// When the last word was true; `None` when there never was one.
    #[must_use]
    pub const fn heard(&self) -> Option<Mono> {
        self.at
    }

    /// The value as of now.
    ///
    /// # Errors
    /// The reason for its absence; [`NoData::Stale`] when it was not renewed in time.
    pub fn value(&self, now: Mono) -> Result<&FactValue, NoData> {
        match self.at {
            None => Err(NoData::NeverHeard),
            Some(at) if now.since(at) > self.definition.stale_after => Err(NoData::Stale),
            Some(_) => self.last.as_ref().map_err(|reason| *reason),
        }
    }

    /// The value as a number.
    ///
    /// # Errors
    /// As [`Self::value`]; a state has no number.
    pub fn number(&self, now: Mono) -> Result<f64, NoData> {
        match self.value(now)? {
            FactValue::Number(value) => Ok(*value),
            FactValue::State(_) | FactValue::Text(_) => Err(NoData::NotSupported),
        }
    }

    /// Whether this value goes to the history; see [`Logged::is_due`].
    pub fn is_due_for_history(&mut self, now: Mono, value: Option<f64>) -> bool {
        let pace = match self.definition.quantity {
            Some(Quantity::Contact) => Pace::EveryChange,
            _ => Pace::Usual,
        };
        self.logged.is_due(now, value, pace)
    }

    /// When the point turns stale, if it has not yet.
    #[must_use]
    pub fn stale_at(&self, now: Mono) -> Option<Mono> {
        let at = self.at?.after(self.definition.stale_after).after(Millis(1));
        (at > now).then_some(at)
    }

    /// The row of the snapshot.
    #[must_use]
    pub fn view(&self, now: Now) -> snapshot::Point {
        let definition = &self.definition;
        let (value, state, no_data) = match self.value(now.mono) {
            Ok(FactValue::Number(value)) => (Some(*value), None, None),
            Ok(FactValue::State(word) | FactValue::Text(word)) => (None, Some(word.clone()), None),
            Err(reason) => (None, None, Some(reason.word().to_owned())),
        };
        snapshot::Point {
            id: definition.id.clone(),
            label: definition.label.clone(),
            source: definition.source.clone(),
            quantity: definition.quantity.map_or("fact", quantity_word).to_owned(),
            unit: definition.unit.to_owned(),
            value,
            state,
            no_data,
            age_ms: self.at.map(|at| now.mono.since(at).0),
            contact: definition.contact,
        }
    }
}

const fn quantity_word(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Temperature => "temperature",
        Quantity::Humidity => "humidity",
        Quantity::Contact => "contact",
        Quantity::Voltage => "voltage",
        Quantity::Current => "current",
        Quantity::Frequency => "frequency",
        Quantity::Power => "power",
        Quantity::Percent => "percent",
        Quantity::Seconds => "seconds",
        Quantity::Count => "count",
        Quantity::Pressure => "pressure",
        Quantity::Acceleration => "acceleration",
        Quantity::MassConcentration => "mass_concentration",
        _ => "unknown",
    }
}

/// Thousandths of the wire as a number of the unit.
#[must_use]
pub fn from_milli(milli: i32) -> FactValue {
    FactValue::Number(f64::from(milli) / 1000.0)
}

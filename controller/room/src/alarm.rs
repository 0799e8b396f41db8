//! Alarms after ISA-18.2: two tables of transitions, one book of standing alarms.
//!
//! [`machine`](next) says how one alarm may go; the [`Book`] carries every alarm of the room:
//! its delays, who has it, what covers it, and under what it is folded. The book never reads a
//! clock and never decides what an alarm is about: that is its [`Definition`] and the conditions
//! its callers report. Only [`Book::apply`] changes what survives a restart.

mod book;
mod fold;
mod machine;
mod statistics;
#[cfg(test)]
mod tests;
mod view;
mod wish;

pub use book::Book;
pub use fold::MAX_CHAIN;
pub use machine::{Cover, Covering, Input, Standing, cover, next};
pub use statistics::{Actor, CHATTERING, MAX_ACTORS, STALE, Statistics, statistics};
pub use wish::{MAX_OPERATOR_TEXT, MAX_OUT_OF_SERVICE_MINUTES, MAX_SHELF_MINUTES};
pub(crate) use wish::{operator_text, span, written};

use crate::catalog::Kind;
use crate::site::{Label, Priority};
use crate::time::Millis;

/// What an alarm is.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// `inlet.r3.temperature.high`
    pub id: String,
    /// What it is about; brings cause, consequence, action, time and owner.
    pub kind: Kind,
    /// Priority.
    pub priority: Priority,
    /// Where.
    pub place: Label,
    /// What happened, where that is said more closely than by the kind.
    pub own_what: Option<Label>,
    /// What to do, where the site says it itself.
    pub own_action: Option<Label>,
    /// The condition must hold so long.
    pub on_delay: Millis,
    /// The condition must be gone so long.
    pub off_delay: Millis,
    /// Must be reset by a person.
    pub latching: bool,
    /// Folded under the first of these alarms that stands.
    pub folded_under: Vec<String>,
}

impl Definition {
    /// An alarm as its kind has it: no delays, under no cause.
    #[must_use]
    pub fn of(kind: Kind, id: impl Into<String>, place: Label) -> Self {
        let advice = kind.advice();
        Self {
            id: id.into(),
            kind,
            priority: advice.priority,
            place,
            own_what: None,
            own_action: None,
            on_delay: Millis(0),
            off_delay: Millis(0),
            latching: advice.latching,
            folded_under: Vec::new(),
        }
    }

    /// What happened.
    #[must_use]
    pub fn what(&self) -> Label {
        self.own_what
            .clone()
            .unwrap_or_else(|| self.kind.advice().what.label())
    }

    /// What to do.
    #[must_use]
    pub fn action(&self) -> Label {
        self.own_action
            .clone()
            .unwrap_or_else(|| self.kind.advice().action.label())
    }
}

/// What a caller knows about the cause of an alarm.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// It holds, with the figures of the moment.
    Holds(Label),
    /// It is gone.
    Gone,
    /// It cannot be told: an alarm that stands goes on standing, one that does not is not raised.
    Unknown,
}

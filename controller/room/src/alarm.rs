//! Alarms after ISA-18.2: one table of transitions, one book of standing alarms.
//!
//! ```text
//!            raise                    acknowledge
//!  Normal ----------> Unacknowledged --------------> Acknowledged
//!    ^                   |       ^                        |
//!    |            return |       | raise                  | return
//!    |                   v       |                        v
//!    +---------- ReturnedUnacknowledged          Normal, or Latched --reset--> Normal
//!     acknowledge (or -> Latched)
//! ```
//! Shelving and suppression lie over the standing and never change it. The book never reads a
//! clock and never decides what an alarm is about: that is its [`Definition`] and the
//! conditions its callers report.

use crate::catalog::Kind;
use crate::event::Refused;
use crate::record::Record;
use crate::site::{Label, Priority};
use crate::snapshot::{self, AlarmState};
use crate::time::{Millis, Mono, Now, Wall};
use std::collections::BTreeMap;

/// Longest shelf (DESIGN: shelving ends by itself after at most 8 hours).
pub const MAX_SHELF_MINUTES: u32 = 480;
/// Longest name or reason an operator can give, in characters.
pub const MAX_OPERATOR_TEXT: usize = 200;

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

/// Where an alarm stands. What takes us in and out is in [`next`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Nothing to do.
    Normal,
    /// Raised, nobody has it.
    Unacknowledged,
    /// Raised, somebody has it.
    Acknowledged,
    /// The cause went before anybody had seen it.
    ReturnedUnacknowledged,
    /// The cause went, it was seen, and a person must reset it.
    Latched,
}

/// What can happen to an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// The condition held for its on-delay.
    Raise,
    /// The condition was gone for its off-delay.
    Return,
    /// Somebody took it.
    Acknowledge,
    /// Somebody reset it.
    Reset,
}

/// The table of transitions; `None` is a pair that does not change anything and is refused.
#[must_use]
pub const fn next(standing: Standing, input: Input, latching: bool) -> Option<Standing> {
    use Standing::{Acknowledged, Latched, Normal, ReturnedUnacknowledged, Unacknowledged};
    match (standing, input) {
        (Normal | ReturnedUnacknowledged | Latched, Input::Raise) => Some(Unacknowledged),
        (Unacknowledged, Input::Acknowledge) => Some(Acknowledged),
        (Unacknowledged, Input::Return) => Some(ReturnedUnacknowledged),
        (Acknowledged, Input::Return) | (ReturnedUnacknowledged, Input::Acknowledge) => {
            Some(if latching { Latched } else { Normal })
        }
        (Latched, Input::Reset) => Some(Normal),
        // A standing alarm is not raised again, a returned one does not return again; only a
        // raised or returned one can be acknowledged; only a latched one needs a reset.
        (Unacknowledged | Acknowledged, Input::Raise)
        | (Normal | ReturnedUnacknowledged | Latched, Input::Return)
        | (Normal | Acknowledged | Latched, Input::Acknowledge)
        | (Normal | Unacknowledged | Acknowledged | ReturnedUnacknowledged, Input::Reset) => None,
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

#[derive(Debug, Clone)]
struct Known {
    definition: Definition,
    standing: Standing,
    because: Label,
    since: Option<Now>,
    owner: Option<String>,
    count: u32,
    shelf: Option<Shelf>,
    /// Running delay: towards raise or return, since when.
    running: Option<(Input, Mono, Label)>,
}

#[derive(Debug, Clone, Copy)]
struct Shelf {
    until: Mono,
    until_wall: Wall,
}

/// Every alarm of the room.
#[derive(Debug, Clone, Default)]
pub struct Book {
    alarms: BTreeMap<String, Known>,
}

impl Book {
    /// Makes an alarm known; a second definition of one id replaces the first but keeps where
    /// the alarm stands.
    pub fn define(&mut self, definition: Definition) {
        match self.alarms.get_mut(&definition.id) {
            Some(alarm) => alarm.definition = definition,
            None => {
                self.alarms.insert(
                    definition.id.clone(),
                    Known {
                        definition,
                        standing: Standing::Normal,
                        because: Label::default(),
                        since: None,
                        owner: None,
                        count: 0,
                        shelf: None,
                        running: None,
                    },
                );
            }
        }
    }

    /// True when the id is known.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.alarms.contains_key(id)
    }

    /// Where an alarm stands; `Normal` for an unknown one.
    #[must_use]
    pub fn standing(&self, id: &str) -> Standing {
        self.alarms
            .get(id)
            .map_or(Standing::Normal, |alarm| alarm.standing)
    }

    /// True while the cause of the alarm is there (raised, acknowledged or not).
    #[must_use]
    pub fn is_active(&self, id: &str) -> bool {
        matches!(
            self.standing(id),
            Standing::Unacknowledged | Standing::Acknowledged
        )
    }

    /// Reports the condition of an alarm and runs its delays. The records must be applied.
    pub fn report(&mut self, now: Now, id: &str, condition: Condition) -> Option<Record> {
        let alarm = self.alarms.get_mut(id)?;
        let active = matches!(alarm.standing, Standing::Unacknowledged | Standing::Acknowledged);
        let (input, because) = match (condition, active) {
            (Condition::Holds(because), false) => (Input::Raise, because),
            (Condition::Gone, true) => (Input::Return, Label::default()),
            (Condition::Holds(_), true) | (Condition::Gone, false) | (Condition::Unknown, _) => {
                alarm.running = None;
                return None;
            }
        };
        let since = match alarm.running {
            Some((running, since, _)) if running == input => since,
            _ => now.mono,
        };
        alarm.running = Some((input, since, because));
        self.fire(now, id)
    }

    /// Raises or returns an alarm whose delay has passed.
    fn fire(&mut self, now: Now, id: &str) -> Option<Record> {
        let alarm = self.alarms.get(id)?;
        let (input, since, because) = alarm.running.clone()?;
        let delay = alarm.delay(input);
        if now.mono.since(since) < delay {
            return None;
        }
        Some(match input {
            Input::Raise => raised(&alarm.definition, because),
            _ => Record::AlarmReturned { alarm: id.to_owned() },
        })
    }

    /// The record that raises an alarm without its delay: for what is known to have happened but
    /// cannot be watched any more. `None` when it stands already.
    #[must_use]
    pub fn raise_now(&self, id: &str, because: Label) -> Option<Record> {
        let alarm = self.alarms.get(id)?;
        next(alarm.standing, Input::Raise, alarm.definition.latching)
            .map(|_| raised(&alarm.definition, because))
    }

    /// Runs every delay and every shelf that is due. The records must be applied.
    pub fn tick(&mut self, now: Now) -> Vec<Record> {
        let due: Vec<String> = self
            .alarms
            .iter()
            .filter(|(_, alarm)| alarm.deadline().is_some_and(|at| at <= now.mono))
            .map(|(id, _)| id.clone())
            .collect();
        let mut records = Vec::new();
        for id in due {
            if self
                .alarms
                .get(&id)
                .and_then(|alarm| alarm.shelf)
                .is_some_and(|shelf| shelf.until <= now.mono)
            {
                records.push(Record::AlarmUnshelved { alarm: id.clone() });
            }
            records.extend(self.fire(now, &id));
        }
        records
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.alarms.values().filter_map(Known::deadline).min()
    }

    /// An operator's wish; the record must be applied.
    ///
    /// # Errors
    /// [`Refused`] in words for the page.
    pub fn acknowledge(&self, id: &str, by: &str) -> Result<Record, Refused> {
        let alarm = self.find(id)?;
        let by = operator_text("by", by)?;
        next(alarm.standing, Input::Acknowledge, alarm.definition.latching)
            .map(|_| Record::AlarmAcknowledged {
                alarm: id.to_owned(),
                by,
            })
            .ok_or_else(|| Refused::Conflict(format!("alarm {id} does not wait for an acknowledgement")))
    }

    /// An operator's wish; the record must be applied.
    ///
    /// # Errors
    /// [`Refused`] in words for the page.
    pub fn reset(&self, id: &str, by: &str) -> Result<Record, Refused> {
        let alarm = self.find(id)?;
        let by = operator_text("by", by)?;
        next(alarm.standing, Input::Reset, alarm.definition.latching)
            .map(|_| Record::AlarmReset {
                alarm: id.to_owned(),
                by,
            })
            .ok_or_else(|| Refused::Conflict(format!("alarm {id} is not latched; nothing to reset")))
    }

    /// An operator's wish; the record must be applied.
    ///
    /// # Errors
    /// [`Refused`] in words for the page.
    pub fn shelve(&self, id: &str, by: &str, minutes: u32, reason: &str) -> Result<Record, Refused> {
        let alarm = self.find(id)?;
        let by = operator_text("by", by)?;
        let reason = operator_text("reason", reason)?;
        if !(1..=MAX_SHELF_MINUTES).contains(&minutes) {
            return Err(Refused::Invalid(format!(
                "minutes must be 1 to {MAX_SHELF_MINUTES}, not {minutes}"
            )));
        }
        if alarm.standing == Standing::Normal {
            return Err(Refused::Conflict(format!(
                "alarm {id} is normal; nothing to shelve"
            )));
        }
        Ok(Record::AlarmShelved {
            alarm: id.to_owned(),
            by,
            minutes,
            reason,
        })
    }

    fn find(&self, id: &str) -> Result<&Known, Refused> {
        self.alarms
            .get(id)
            .ok_or_else(|| Refused::NotFound(format!("no alarm {id}")))
    }

    /// Applies a record, at its own time. Records of other kinds are ignored.
    pub fn apply(&mut self, at: Now, record: &Record) {
        match record {
            Record::AlarmRaised {
                alarm,
                priority,
                what,
                place,
                action,
                because,
                latching,
                about,
            } => {
                if !self.alarms.contains_key(alarm) {
                    // Replayed from an older configuration: it stands until it is dealt with.
                    self.define(Definition {
                        priority: *priority,
                        own_what: Some(what.clone()),
                        own_action: Some(action.clone()),
                        latching: *latching,
                        ..Definition::of(about.unwrap_or(Kind::NotConfigured), alarm, place.clone())
                    });
                }
                self.step(alarm, Input::Raise, |alarm| {
                    alarm.because = because.clone();
                    alarm.since = Some(at);
                    alarm.owner = None;
                    alarm.count = alarm.count.saturating_add(1);
                });
            }
            Record::AlarmReturned { alarm } => self.step(alarm, Input::Return, |_| {}),
            Record::AlarmAcknowledged { alarm, by } => {
                self.step(alarm, Input::Acknowledge, |alarm| alarm.owner = Some(by.clone()));
            }
            Record::AlarmReset { alarm, .. } => self.step(alarm, Input::Reset, |_| {}),
            Record::AlarmShelved { alarm, minutes, .. } => {
                if let Some(alarm) = self.alarms.get_mut(alarm) {
                    let span = Millis::from_secs(u64::from(*minutes) * 60);
                    let until_wall = Wall(at.wall.0.saturating_add(i64::from(*minutes) * 60_000));
                    alarm.shelf = Some(Shelf {
                        until: at.mono.after(span),
                        until_wall,
                    });
                }
            }
            Record::AlarmUnshelved { alarm } => {
                if let Some(alarm) = self.alarms.get_mut(alarm) {
                    alarm.shelf = None;
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, id: &str, input: Input, then: impl FnOnce(&mut Known)) {
        let Some(alarm) = self.alarms.get_mut(id) else {
            return;
        };
        let Some(standing) = next(alarm.standing, input, alarm.definition.latching) else {
            return;
        };
        alarm.standing = standing;
        alarm.running = None;
        then(alarm);
        if standing == Standing::Normal {
            alarm.count = 0;
            alarm.owner = None;
            alarm.shelf = None;
        }
    }

    /// After a restart of the machine old monotonic times mean nothing: shelves end now, ages
    /// start now.
    pub fn forget_monotonic(&mut self, now: Now) {
        for alarm in self.alarms.values_mut() {
            if let Some(shelf) = &mut alarm.shelf {
                shelf.until = now.mono;
            }
            if let Some(since) = &mut alarm.since {
                since.mono = now.mono;
            }
        }
    }

    /// Alarms that are not normal, most urgent first.
    #[must_use]
    pub fn view(&self, now: Now) -> Vec<snapshot::Alarm> {
        let mut rows: Vec<snapshot::Alarm> = self
            .alarms
            .values()
            .filter(|alarm| alarm.standing != Standing::Normal)
            .map(|alarm| self.row(now, alarm))
            .collect();
        rows.sort_by(|a, b| {
            urgency(a)
                .cmp(&urgency(b))
                .then(b.priority.cmp(&a.priority))
                .then(b.since_ms.cmp(&a.since_ms))
        });
        rows
    }

    /// What an alarm is.
    #[must_use]
    pub fn definition(&self, id: &str) -> Option<&Definition> {
        self.alarms.get(id).map(|alarm| &alarm.definition)
    }

    /// How an alarm is shown; `None` while it is normal or unknown.
    #[must_use]
    pub fn state(&self, id: &str) -> Option<AlarmState> {
        let alarm = self.alarms.get(id)?;
        (alarm.standing != Standing::Normal).then(|| self.shown_as(alarm))
    }

    /// The alarm that an alarm is folded under, if one of its causes stands.
    fn cause_of(&self, alarm: &Known) -> Option<String> {
        let causes = alarm.definition.folded_under.iter();
        causes
            .filter(|_| alarm.definition.kind.may_fold())
            .find(|cause| self.is_active(cause))
            .cloned()
    }

    fn shown_as(&self, alarm: &Known) -> AlarmState {
        match alarm.standing {
            _ if alarm.shelf.is_some() => AlarmState::Shelved,
            _ if self.cause_of(alarm).is_some() => AlarmState::Suppressed,
            Standing::Acknowledged => AlarmState::Acknowledged,
            Standing::ReturnedUnacknowledged => AlarmState::ReturnedUnacknowledged,
            Standing::Latched => AlarmState::Latched,
            Standing::Unacknowledged | Standing::Normal => AlarmState::Unacknowledged,
        }
    }

    fn row(&self, now: Now, alarm: &Known) -> snapshot::Alarm {
        let cause = self.cause_of(alarm);
        let state = self.shown_as(alarm);
        let definition = &alarm.definition;
        let advice = definition.kind.advice();
        snapshot::Alarm {
            id: definition.id.clone(),
            state,
            priority: definition.priority,
            what: definition.what(),
            place: definition.place.clone(),
            action: definition.action(),
            because: alarm.because.clone(),
            kind: definition.kind,
            class: advice.class,
            usual_cause: advice.cause.label(),
            consequence: advice.consequence.label(),
            respond_within_s: advice.respond_within.0 / 1000,
            responder: advice.owner,
            procedure: None,
            folded: 0,
            shelved_by: None,
            shelved_because: None,
            since_ms: alarm.since.map_or(0, |since| since.wall.0),
            age_ms: alarm.since.map_or(0, |since| now.mono.since(since.mono).0),
            owner: alarm.owner.clone(),
            count: alarm.count,
            shelved_until_ms: alarm.shelf.map(|shelf| shelf.until_wall.0),
            cause,
        }
    }
}

impl Known {
    const fn delay(&self, input: Input) -> Millis {
        match input {
            Input::Raise => self.definition.on_delay,
            _ => self.definition.off_delay,
        }
    }

    fn deadline(&self) -> Option<Mono> {
        let delay = self
            .running
            .as_ref()
            .map(|(input, since, _)| since.after(self.delay(*input)));
        let shelf = self.shelf.map(|shelf| shelf.until);
        [delay, shelf].into_iter().flatten().min()
    }
}

fn raised(definition: &Definition, because: Label) -> Record {
    Record::AlarmRaised {
        alarm: definition.id.clone(),
        priority: definition.priority,
        what: definition.what(),
        place: definition.place.clone(),
        action: definition.action(),
        because,
        latching: definition.latching,
        about: Some(definition.kind),
    }
}

const fn urgency(alarm: &snapshot::Alarm) -> u8 {
    match alarm.state {
        AlarmState::Unacknowledged => 0,
        AlarmState::Acknowledged => 1,
        AlarmState::ReturnedUnacknowledged | AlarmState::Latched => 2,
        AlarmState::Shelved | AlarmState::Suppressed | AlarmState::OutOfService => 3,
    }
}

/// Names and reasons come from outside: bounded, not empty, without control characters.
pub(crate) fn operator_text(field: &str, text: &str) -> Result<String, Refused> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refused::Invalid(format!("{field} must not be empty")));
    }
    if text.chars().count() > MAX_OPERATOR_TEXT {
        return Err(Refused::Invalid(format!(
            "{field} is longer than {MAX_OPERATOR_TEXT} characters"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Refused::Invalid(format!("{field} contains control characters")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, so that a changed transition is a changed line here.
    #[test]
    fn the_table_of_transitions() {
        use Standing::{Acknowledged, Latched, Normal, ReturnedUnacknowledged, Unacknowledged};
        let standings = [
            Normal,
            Unacknowledged,
            Acknowledged,
            ReturnedUnacknowledged,
            Latched,
        ];
        let inputs = [Input::Raise, Input::Return, Input::Acknowledge, Input::Reset];
        let mut table = String::new();
        for latching in [false, true] {
            for standing in standings {
                for input in inputs {
                    if let Some(to) = next(standing, input, latching) {
                        table += &format!(
                            "{standing:?} {input:?} -> {to:?}{}\n",
                            if latching { " (latching)" } else { "" }
                        );
                    }
                }
            }
        }
        expect_test::expect![[r#"
            Normal Raise -> Unacknowledged
            Unacknowledged Return -> ReturnedUnacknowledged
            Unacknowledged Acknowledge -> Acknowledged
            Acknowledged Return -> Normal
            ReturnedUnacknowledged Raise -> Unacknowledged
            ReturnedUnacknowledged Acknowledge -> Normal
            Latched Raise -> Unacknowledged
            Latched Reset -> Normal
            Normal Raise -> Unacknowledged (latching)
            Unacknowledged Return -> ReturnedUnacknowledged (latching)
            Unacknowledged Acknowledge -> Acknowledged (latching)
            Acknowledged Return -> Latched (latching)
            ReturnedUnacknowledged Raise -> Unacknowledged (latching)
            ReturnedUnacknowledged Acknowledge -> Latched (latching)
            Latched Raise -> Unacknowledged (latching)
            Latched Reset -> Normal (latching)
        "#]]
        .assert_eq(&table);
    }
}

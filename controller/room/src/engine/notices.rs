//! The desk in the engine: what happened goes in, notices come out.
//!
//! The desk is looked at last in every turn, when everything else of it is decided, so that it
//! sees causes and consequences together. A notifier in trouble is an alarm like any other, and is
//! told by the others within the same turn.

use super::Engine;
use crate::alarm::{self, Condition, Definition};
use crate::catalog::Kind;
use crate::event::{Effect, Refused, Turn};
use crate::notice::{self, Delivered, Desk, Seen, Settings, duty};
use crate::record::Record;
use crate::site::{Label, Site, World};
use crate::time::{Mono, Now};

/// Looks at the desk in one turn: alarms, the notifiers that fail by it, and what follows.
const MAX_LOOKS: usize = 4;

/// Alarm id of test calls that lie too far back.
pub const TEST_DUE: &str = "notices.test_due";

/// Alarm id of a notifier in trouble.
#[must_use]
pub fn notifier_id(name: &str) -> String {
    format!("notifier.{name}")
}

/// The desk of a site.
pub(super) fn desk<W: World>(site: &Site<W>) -> Desk {
    let names = site.notifiers.iter();
    Desk::new(Settings {
        site: site.name.clone(),
        simulated: W::SIMULATED,
        notifiers: names
            .map(|notifier| (notifier.name.clone(), notifier.label.clone()))
            .collect(),
        towers: site
            .notifiers
            .iter()
            .filter(|notifier| notifier.to.shows_lamps())
            .map(|notifier| notifier.name.clone())
            .collect(),
        calendar: duty::Calendar {
            utc_offset_min: site.access.utc_offset_min,
            holidays: site.access.holidays.clone(),
        },
        notices: site.notices.clone(),
    })
}

impl<W: World> Engine<W> {
    /// Alarms of the notices themselves.
    pub(super) fn furnish_notices(&mut self) {
        for notifier in &self.site.notifiers {
            self.book.define(Definition::of(
                Kind::Notifier,
                notifier_id(&notifier.name),
                notifier.label.clone(),
            ));
        }
        if self.site.notices.test_every.is_some() {
            let place = Label::new("通報先", "Contacts");
            self.book
                .define(Definition::of(Kind::TestCallOverdue, TEST_DUE, place));
        }
    }

    pub(super) fn apply_notice(&mut self, now: Now, record: &Record) {
        match record {
            Record::AlarmRaised { alarm, latching, .. } => self.desk.raised(now, alarm, *latching),
            Record::AlarmAcknowledged { alarm, .. } | Record::AlarmTaken { alarm, .. } => {
                self.desk.acknowledged(alarm);
            }
            Record::AlarmShelved { alarm, .. } => self.desk.shelved(alarm),
            Record::AlarmUnshelved { alarm, .. } | Record::AlarmInService { alarm, .. } => {
                self.desk.unshelved(now, alarm);
            }
            Record::Started { boot_id, .. } => self.desk.began(now, boot_id),
            Record::Notice { record } => self.desk.apply(now, record),
            _ => {}
        }
    }

    /// The last stage of every turn.
    pub(super) fn tell_people(&mut self, now: Now, turn: &mut Turn) {
        if self.desk.is_idle() {
            return;
        }
        for _ in 0..MAX_LOOKS {
            // Whatever else changed: returned, reset, folded, come up again.
            for alarm in self.book.take_changed() {
                self.desk.changed(&alarm);
            }
            let seen = Seen {
                now,
                book: &self.book,
                contacts: &self.site.notices.contacts,
            };
            let out = self.desk.run(now, &seen);
            let notices = out
                .notices
                .into_iter()
                .map(|notice| Effect::Notify(Box::new(notice)));
            turn.effects.extend(notices);
            let mut more = !out.records.is_empty();
            for record in out.records {
                self.commit(now, turn, Record::Notice { record });
            }
            let before = turn.records.len();
            self.evaluate_notices(now, turn);
            more |= turn.records.len() > before;
            if !more {
                break;
            }
        }
    }

    fn evaluate_notices(&mut self, now: Now, turn: &mut Turn) {
        let names = self.site.notifiers.iter();
        let mut conditions: Vec<(String, Option<Label>)> = names
            .map(|notifier| (notifier_id(&notifier.name), self.desk.trouble(&notifier.name)))
            .collect();
        if self.site.notices.test_every.is_some() {
            conditions.push((TEST_DUE.to_owned(), self.desk.test_due(now)));
        }
        for (id, trouble) in conditions {
            // Only a change is worth a look: this is asked at every event.
            if self.book.is_active(&id) != trouble.is_some() {
                let condition = trouble.map_or(Condition::Gone, Condition::Holds);
                self.report(now, turn, &id, condition);
            }
        }
    }

    /// A notifier says what became of an attempt.
    pub(super) fn delivered(&mut self, now: Now, delivered: &Delivered, turn: &mut Turn) {
        if let Some(record) = self.desk.delivered(now, delivered) {
            self.commit(now, turn, Record::Notice { record });
        }
        if delivered.result.is_err() {
            self.count("notices_failed");
        }
    }

    pub(super) fn test_call(
        &mut self,
        now: Now,
        by: &str,
        contact: Option<&str>,
        turn: &mut Turn,
    ) -> Result<(), Refused> {
        let by = alarm::operator_text("by", by)?;
        let record = self.desk.test_call(contact, &by)?;
        self.order_notice(now, record, turn);
        Ok(())
    }

    pub(super) fn lamp_test(&mut self, now: Now, by: &str, turn: &mut Turn) -> Result<(), Refused> {
        let by = alarm::operator_text("by", by)?;
        let record = self.desk.lamp_test(&by)?;
        self.order_notice(now, record, turn);
        Ok(())
    }

    fn order_notice(&mut self, now: Now, record: notice::record::Record, turn: &mut Turn) {
        self.commit(
            now,
            turn,
            Record::Notice {
                record: record.clone(),
            },
        );
        self.desk.ordered(now, &record);
    }

    pub(super) fn notice_deadline(&self, now: Now) -> Option<Mono> {
        if self.desk.is_idle() {
            return None;
        }
        self.desk.next_deadline(now)
    }
}

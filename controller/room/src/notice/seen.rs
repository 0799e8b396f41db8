//! The book of alarms in the words of the desk.

use super::case::{Brief, Quiet};
use super::desk::Alarms;
use super::{Moment, Told};
use crate::alarm::Book;
use crate::site::notice::Contact;
use crate::snapshot::AlarmState;
use crate::time::{Millis, Now, Wall};

/// The book of alarms as the desk asks it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Now.
    pub now: Now,
    /// The book.
    pub book: &'a Book,
    /// The contacts of the site, to say who has an alarm.
    pub contacts: &'a [Contact],
}

impl Alarms for Seen<'_> {
    fn brief(&self, id: &str) -> Option<Brief> {
        let definition = self.book.definition(id)?;
        let quiet = match self.book.state(id) {
            Some(AlarmState::Shelved) => Some(Quiet::Shelved),
            Some(AlarmState::Suppressed | AlarmState::OutOfService) => Some(Quiet::Suppressed),
            Some(
                AlarmState::Unacknowledged
                | AlarmState::Acknowledged
                | AlarmState::ReturnedUnacknowledged
                | AlarmState::Latched,
            )
            | None => None,
        };
        Some(Brief {
            standing: self.book.standing(id),
            quiet,
            under: quiet.and_then(|_| self.book.shown(self.now, id)?.cause),
            priority: definition.priority,
            class: definition.kind.class().word(),
            kind: definition.kind.word(),
        })
    }

    fn told(&self, id: &str) -> Option<Told> {
        let row = self.book.shown(self.now, id)?;
        // Mail has no personal names: a contact by its office, anybody else by the office whose
        // work it is.
        let owner = row.owner.map(|owner| {
            let office = self.contacts.iter().find(|contact| {
                contact.name == owner || contact.label.ja == owner || contact.label.en == owner
            });
            office.map_or_else(|| row.responder.text().label(), |contact| contact.label.clone())
        });
        Some(Told {
            moment: Moment::Raised,
            alarm: row.id,
            priority: row.priority,
            class: row.class.word().to_owned(),
            what: row.what,
            place: row.place,
            because: row.because,
            cause: row.usual_cause.into(),
            consequence: row.consequence.into(),
            action: row.action,
            respond_within: Millis::from_secs(row.respond_within_s),
            owner,
            procedure: row.procedure,
            since: Wall(row.since_ms),
            lasted: Millis(row.age_ms),
            count: row.count,
            folded: 0,
        })
    }
}

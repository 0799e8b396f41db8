//! The register as it is shown. No row holds a personal value.

use super::{CardState, Register, Rules, date_text, time_text};
use crate::hex;
use crate::site;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Everybody and every card.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Rows {
    /// Persons by id.
    pub persons: Vec<PersonRow>,
    /// Cards by name, those of the site's file last.
    pub cards: Vec<CardRow>,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonRow {
    /// Opaque id.
    pub person: String,
    /// `staff`, `fixed_term`, `contractor` or `visitor`.
    pub kind: String,
    /// `present`, `to_come`, `over` (its last day has passed), `left` or `unconfirmed` (suspended for it).
    pub state: String,
    /// First day.
    pub from: String,
    /// Last day, included.
    pub until: Option<String>,
    /// When somebody last said that this person still needs to enter.
    pub confirmed: String,
    /// That is longer ago than the site allows.
    pub unconfirmed: bool,
    /// Names of the cards they have.
    pub cards: Vec<String>,
    /// What they may open; that of whom they stand in for included.
    pub rights: Vec<RightRow>,
    /// For whom they stand in.
    pub stands_in_for: Vec<String>,
}

/// What a person may open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RightRow {
    /// Portal.
    pub portal: String,
    /// Hours, `08:30-17:20`.
    pub hours: String,
    /// A bit per weekday from Monday (bit 0), and one for holidays (bit 7).
    pub days: u8,
    /// First day.
    pub valid_from: String,
    /// Last day.
    pub valid_until: Option<String>,
}

/// A card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CardRow {
    /// Its name; of one of the site's file, its id.
    pub card: String,
    /// `spare`, `lent`, `overdue`, `lost`, `broken` or `file` (of the site's file of cards).
    pub state: String,
    /// Who has it, or had it when it was lost.
    pub person: Option<String>,
    /// Since when, milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// Last day on which it works.
    pub due: Option<String>,
    /// Of a lost one: the doors and how far they are.
    pub doors: Vec<DoorRow>,
}

/// A door that must stop a lost card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoorRow {
    /// Portal.
    pub portal: String,
    /// Milliseconds from the report to the door's word; `null` while it has not given it.
    pub after_ms: Option<u64>,
    /// The door's node is heard; one that is not goes on with the list it has.
    pub heard: bool,
    /// Version of its list, and the one in force at the door.
    pub version: Option<u32>,
    /// What the door says it uses.
    pub in_force: Option<u32>,
}

impl Register {
    /// The rows of a day. `door(portal)` says how the door is: heard, version, in force.
    #[must_use]
    #[expect(
        clippy::type_complexity,
        reason = "the type is one function's, said in its words"
    )]
    pub fn rows(
        &self,
        today: u16,
        rules: Rules,
        file: &[site::Card],
        door: &dyn Fn(&str) -> (bool, Option<u32>, Option<u32>),
    ) -> Rows {
        let persons = self.persons.iter().map(|(id, person)| {
            let unconfirmed = person.is_unconfirmed(today, rules);
            let state = if person.has_left(today) {
                "left"
            } else if person.is_over(today) {
                "over"
            } else if person.from > today {
                "to_come"
            } else if unconfirmed && rules.suspend_unconfirmed {
                "unconfirmed"
            } else {
                "present"
            };
            let with = self.cards.iter().filter(|(_, card)| card.person() == Some(id));
            let rights = self.rights_of(id, person, today);
            let for_whom = self
                .deputies
                .iter()
                .filter(|row| row.deputy == *id && row.until >= today);
            PersonRow {
                person: id.clone(),
                kind: person.kind.word().to_owned(),
                state: state.to_owned(),
                from: date_text(person.from),
                until: person.until.map(date_text),
                confirmed: date_text(person.confirmed),
                unconfirmed,
                cards: with.map(|(name, _)| name.clone()).collect(),
                rights: rights
                    .into_iter()
                    .map(|(portal, right)| RightRow {
                        portal,
                        hours: format!("{}-{}", time_text(right.from), time_text(right.to)),
                        days: right.days,
                        valid_from: date_text(right.valid_from),
                        valid_until: (right.valid_until < u16::MAX).then(|| date_text(right.valid_until)),
                    })
                    .collect(),
                stands_in_for: for_whom.map(|row| row.of.clone()).collect(),
            }
        });
        let doors = |card: &super::Card| {
            let doors = card.doors.iter().map(|(portal, stop)| {
                let (heard, version, in_force) = door(portal);
                DoorRow {
                    portal: portal.clone(),
                    after_ms: stop.after_ms,
                    heard,
                    version,
                    in_force,
                }
            });
            doors.collect()
        };
        let named = self.cards.iter().map(|(name, card)| {
            let (state, person, due) = match &card.state {
                CardState::Spare => ("spare", None, None),
                CardState::Lent { person, due } if card.is_overdue(today) => ("overdue", Some(person), *due),
                CardState::Lent { person, due } => ("lent", Some(person), *due),
                CardState::Lost { person } => ("lost", person.as_ref(), None),
                CardState::Broken => ("broken", None, None),
            };
            CardRow {
                card: name.clone(),
                state: state.to_owned(),
                person: person.cloned(),
                since_ms: card.since_ms,
                due: due.map(date_text),
                doors: doors(card),
            }
        });
        let of_file = file.iter().filter(|row| !self.by_id.contains_key(&row.id));
        let of_file = of_file.map(|row| {
            let lost = self.of_file.get(&row.id);
            CardRow {
                card: hex::text(&row.id),
                state: if lost.is_some() { "lost" } else { "file" }.to_owned(),
                person: None,
                since_ms: lost.map_or(0, |card| card.since_ms),
                due: None,
                doors: lost.map(doors).unwrap_or_default(),
            }
        });
        Rows {
            persons: persons.collect(),
            cards: named.chain(of_file).collect(),
        }
    }
}

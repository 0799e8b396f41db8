//! Who may enter: persons, the cards they hold, what each may open and until when.
//!
//! ```text
//! wish --decide--> records --apply--> Register --cards(today)--> access::List --> nodes
//! ```
//! A person is an opaque id and dates here. Names, kana, section, phone and company are never in
//! this module and never in the journal: they are kept elsewhere under the id, so that a person can
//! be erased and the journal still reads.
//!
//! ```text
//! card:  Spare --lend--> Lent --return--> Spare        any --broken--> Broken (for good)
//!                         |                 ^
//!                         +--lost--> Lost --+ found again: `return`
//! ```
//! Dates of validity are written into the list, so a node that cannot be reached ends a right on its
//! day, too. What a person says with a date is judged by the local date, which is the wall clock's.

mod ask;
mod compile;
pub(crate) mod decide;
mod record;
mod text;
mod view;

pub use ask::{Ask, Personal, Question, RightWish, Wish};
pub use decide::Problem;
pub use record::Record;
pub use text::{MAX_TEXT, TextProblem, clean};
pub use view::{CardRow, DoorRow, PersonRow, RightRow, Rows};

use crate::forecast::calendar;
use crate::site::calendar as dates;
use serde::{Deserialize, Serialize};
use shared::access::CardId;
use std::collections::{BTreeMap, VecDeque};
use utoipa::ToSchema;

/// Persons in the register, those who left and were not erased included.
pub const MAX_PERSONS: usize = 2_000;
/// Cards in the register: with a PIN each the lists of four doors.
pub const MAX_CARDS: usize = 2_000;
/// Deputies at a time, those to come included.
pub const MAX_DEPUTIES: usize = 200;
/// Earlier holders of a card that are remembered, to say whose a late passage was.
const MAX_HOLDERS: usize = 8;
/// Erased ids that are remembered, so that what else is kept under them can be erased again.
const MAX_ERASED: usize = 4_000;
/// Wishes in one order: an import of the longest file.
pub const MAX_WISHES: usize = 3 * MAX_PERSONS;

/// What kind of person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Without an end.
    Staff,
    /// Staff for a fiscal year; ends on 31 March where nothing else is said.
    FixedTerm,
    /// Of a company; ends with its contract.
    Contractor,
    /// For a day where nothing else is said.
    Visitor,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Staff, Self::FixedTerm, Self::Contractor, Self::Visitor];

    /// Its word in files, on the command line and in the API.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::FixedTerm => "fixed_term",
            Self::Contractor => "contractor",
            Self::Visitor => "visitor",
        }
    }

    /// The same in Japanese.
    #[must_use]
    pub const fn ja(self) -> &'static str {
        match self {
            Self::Staff => "職員",
            Self::FixedTerm => "会計年度任用職員",
            Self::Contractor => "委託事業者",
            Self::Visitor => "来訪者",
        }
    }

    /// Reads either word.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| text == kind.word() || text == kind.ja())
    }

    /// The last day of somebody who begins on `from` when nothing is said about it; the error is
    /// that something must be said.
    fn default_end(self, from: u16) -> Result<Option<u16>, ()> {
        match self {
            Self::Staff => Ok(None),
            Self::FixedTerm => fiscal_end(from).map(Some).ok_or(()),
            Self::Contractor => Err(()),
            Self::Visitor => Ok(Some(from)),
        }
    }
}

/// The 31st of March that ends the fiscal year of a day.
#[must_use]
pub fn fiscal_end(from: u16) -> Option<u16> {
    let (year, month) = calendar::month(from);
    let year = if month <= 3 { year } else { year + 1 };
    dates::day(&format!("{year:04}-03-31"))
}

/// Days since 1970 of `2027-03-31`.
#[must_use]
pub fn day_of(text: &str) -> Option<u16> {
    dates::day(text)
}

/// Steps of ten minutes of `08:30`.
#[must_use]
pub fn step_of(text: &str) -> Option<u8> {
    dates::step(text)
}

/// `2027-03-31` of days since 1970.
#[must_use]
pub fn date_text(day: u16) -> String {
    let (year, month, day) = calendar::date(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `08:30` of steps of ten minutes.
#[must_use]
pub fn time_text(step: u8) -> String {
    format!("{:02}:{:02}", step / 6, step % 6 * 10)
}

/// What a person may open at one portal, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Right {
    /// Start of the hours in steps of ten minutes from midnight (0 to 144).
    pub from: u8,
    /// End of the hours, not included; before `from`: over midnight.
    pub to: u8,
    /// A bit per weekday from Monday (bit 0), and one for holidays (bit 7).
    pub days: u8,
    /// First day since 1970, local time.
    pub valid_from: u16,
    /// Last day, included.
    pub valid_until: u16,
}

/// A person of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// What kind.
    pub kind: Kind,
    /// First day.
    pub from: u16,
    /// Last day, included; `None` for staff.
    pub until: Option<u16>,
    /// Left, and may enter no more from that day on.
    pub left: Option<u16>,
    /// The day on which somebody last said that this person still needs to enter.
    pub confirmed: u16,
    /// What they may open, by portal.
    pub rights: BTreeMap<String, Right>,
}

/// Where a card is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardState {
    /// In the drawer: opens nothing.
    Spare,
    /// With somebody.
    Lent {
        /// Who.
        person: String,
        /// The last day on which it works; `None` when it stays with them.
        due: Option<u16>,
    },
    /// Nobody knows where; stopped.
    Lost {
        /// Who had it.
        person: Option<String>,
    },
    /// Does not work any more.
    Broken,
}

/// A door at which a lost card must be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Milliseconds from the report to the door's word; `None` while it has not given it.
    pub after_ms: Option<u64>,
}

/// A card of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Under the site's card key.
    pub id: CardId,
    /// With its PIN.
    pub pin_id: Option<CardId>,
    /// Where it is.
    pub state: CardState,
    /// Since when, milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// Of a lost one: the doors that must know.
    pub doors: BTreeMap<String, Stop>,
    holders: VecDeque<Held>,
}

/// Who had a card from when to when.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    person: String,
    from_ms: i64,
    until_ms: Option<i64>,
}

/// Somebody who may open what another one may, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deputy {
    /// Who stands in,
    pub deputy: String,
    /// for whom,
    pub of: String,
    /// from this day
    pub from: u16,
    /// to this one, included.
    pub until: u16,
}

/// What the site says about persons and cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// A person must be confirmed anew after so many days; 0: never.
    pub reconfirm_days: u16,
    /// Who was not is suspended; else only named.
    pub suspend_unconfirmed: bool,
}

/// Everything that the journal says about persons, cards and rights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Register {
    persons: BTreeMap<String, Person>,
    cards: BTreeMap<String, Card>,
    by_id: BTreeMap<CardId, String>,
    deputies: Vec<Deputy>,
    /// Lost cards of the site's file of cards.
    of_file: BTreeMap<CardId, Card>,
    erased: VecDeque<String>,
}

impl Register {
    /// True while the site has no register: its file of cards alone counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.persons.is_empty() && self.cards.is_empty() && self.of_file.is_empty()
    }

    /// The persons, by id.
    #[must_use]
    pub const fn persons(&self) -> &BTreeMap<String, Person> {
        &self.persons
    }

    /// The cards, by name.
    #[must_use]
    pub const fn cards_by_name(&self) -> &BTreeMap<String, Card> {
        &self.cards
    }

    /// Ids of whom nothing may be kept any more.
    pub fn erased(&self) -> impl Iterator<Item = &String> {
        self.erased.iter()
    }

    /// Who had the card at that moment, as far back as it is remembered.
    #[must_use]
    pub fn holder(&self, id: &CardId, at_ms: i64) -> Option<&str> {
        let card = self.cards.get(self.by_id.get(id)?)?;
        let had = |held: &&Held| held.from_ms <= at_ms && held.until_ms.is_none_or(|until| at_ms < until);
        card.holders
            .iter()
            .rev()
            .find(had)
            .map(|held| held.person.as_str())
    }

    /// True for a card that is reported lost.
    #[must_use]
    pub fn is_lost(&self, id: &CardId) -> bool {
        let known = self.by_id.get(id).and_then(|name| self.cards.get(name));
        known.is_some_and(|card| matches!(card.state, CardState::Lost { .. }))
            || self.of_file.contains_key(id)
    }

    /// Cards that should have been given back before that day.
    pub fn overdue(&self, today: u16) -> impl Iterator<Item = (&String, &Card)> {
        self.cards.iter().filter(move |(_, card)| card.is_overdue(today))
    }

    /// Persons of whom nobody has said since `since` that they still need to enter, and who may.
    pub fn unconfirmed(&self, since: u16, today: u16) -> impl Iterator<Item = (&String, &Person)> {
        let may = move |person: &Person| !person.has_left(today) && !person.is_over(today);
        self.persons
            .iter()
            .filter(move |(_, person)| may(person) && person.confirmed < since)
    }

    /// Doors that have not confirmed yet that a lost card is stopped: name of the card, portal.
    pub fn stopping(&self) -> impl Iterator<Item = (String, String)> {
        let named = self.cards.iter().map(|(name, card)| (name.clone(), card));
        let of_file = self.of_file.iter().map(|(id, card)| (crate::hex::text(id), card));
        named.chain(of_file).flat_map(|(name, card)| {
            let open = card.doors.iter().filter(|(_, stop)| stop.after_ms.is_none());
            open.map(move |(portal, _)| (name.clone(), portal.clone()))
        })
    }

    /// When the loss of that card was reported.
    #[must_use]
    pub fn lost_since_ms(&self, card: &str) -> Option<i64> {
        self.lost(card).map(|card| card.since_ms)
    }

    fn lost(&self, name: &str) -> Option<&Card> {
        if let Some(card) = self.cards.get(name) {
            return matches!(card.state, CardState::Lost { .. }).then_some(card);
        }
        let mut id = CardId::default();
        let good = crate::hex::read(name.as_bytes(), &mut id);
        self.of_file.get(&id).filter(|_| good)
    }

    /// Applies a record; `at_ms` is its time, milliseconds since 1970 UTC. What does not fit is left
    /// out: it cannot come from [`Self::decide`].
    pub fn apply(&mut self, at_ms: i64, today: u16, record: &Record) {
        match record {
            Record::PersonAdded {
                person,
                group,
                from,
                until,
                ..
            } => {
                let added = Person {
                    kind: *group,
                    from: *from,
                    until: *until,
                    left: None,
                    confirmed: (*from).max(today),
                    rights: BTreeMap::new(),
                };
                self.persons.insert(person.clone(), added);
            }
            Record::PersonChanged {
                person, group, until, ..
            } => {
                if let Some(person) = self.persons.get_mut(person) {
                    (person.kind, person.until) = (*group, *until);
                }
            }
            Record::PersonLeft { person, from, .. } => {
                if let Some(person) = self.persons.get_mut(person) {
                    person.left = Some(*from);
                }
            }
            Record::PersonErased { person, .. } => {
                self.persons.remove(person);
                self.deputies
                    .retain(|row| row.deputy != *person && row.of != *person);
                for card in self.cards.values_mut() {
                    card.holders.retain(|held| held.person != *person);
                }
                if self.erased.len() == MAX_ERASED {
                    self.erased.pop_front();
                }
                self.erased.push_back(person.clone());
            }
            Record::Confirmed { persons, .. } => {
                for person in persons {
                    if let Some(person) = self.persons.get_mut(person) {
                        person.confirmed = today;
                    }
                }
            }
            Record::RightGranted {
                person,
                portal,
                right,
                ..
            } => {
                if let Some(person) = self.persons.get_mut(person) {
                    person.rights.insert(portal.clone(), *right);
                }
            }
            Record::RightRevoked { person, portal, .. } => {
                if let Some(person) = self.persons.get_mut(person) {
                    person.rights.remove(portal);
                }
            }
            Record::DeputyNamed {
                deputy,
                of,
                from,
                until,
                ..
            } => {
                self.deputies.retain(|row| row.until >= today);
                self.deputies.retain(|row| (&row.deputy, &row.of) != (deputy, of));
                self.deputies.push(Deputy {
                    deputy: deputy.clone(),
                    of: of.clone(),
                    from: *from,
                    until: *until,
                });
            }
            Record::DeputyEnded { deputy, of, .. } => {
                self.deputies.retain(|row| (&row.deputy, &row.of) != (deputy, of));
            }
            Record::CardIssued { card, id, pin_id, .. } => self.issued(at_ms, card, id, pin_id.as_deref()),
            Record::CardLent {
                card, person, due, ..
            } => {
                let (person, due) = (person.clone(), *due);
                if let Some(card) = self.cards.get_mut(card) {
                    card.given_back(at_ms);
                    if card.holders.len() == MAX_HOLDERS {
                        card.holders.pop_front();
                    }
                    card.holders.push_back(Held {
                        person: person.clone(),
                        from_ms: at_ms,
                        until_ms: None,
                    });
                    card.becomes(at_ms, CardState::Lent { person, due });
                }
            }
            Record::CardReturned { card, .. } => {
                if let Some(card) = self.cards.get_mut(card) {
                    card.given_back(at_ms);
                    card.becomes(at_ms, CardState::Spare);
                    card.doors.clear();
                    return;
                }
                self.of_file.retain(|id, _| crate::hex::text(id) != *card);
            }
            Record::CardBroken { card, .. } => {
                if let Some(card) = self.cards.get_mut(card) {
                    card.given_back(at_ms);
                    card.becomes(at_ms, CardState::Broken);
                    card.doors.clear();
                }
            }
            Record::CardLost { card, doors, .. } => self.card_lost(at_ms, card, doors),
            Record::CardStopped {
                card,
                portal,
                after_ms,
                ..
            } => {
                let mut id = CardId::default();
                let of_file = crate::hex::read(card.as_bytes(), &mut id).then_some(&id);
                let known = match self.cards.get_mut(card) {
                    Some(card) => Some(card),
                    None => of_file.and_then(|id| self.of_file.get_mut(id)),
                };
                if let Some(stop) = known.and_then(|card| card.doors.get_mut(portal)) {
                    stop.after_ms = Some(*after_ms);
                }
            }
        }
    }

    fn issued(&mut self, at_ms: i64, name: &str, id: &str, pin_id: Option<&str>) {
        let read = |text: &str| {
            let mut id = CardId::default();
            crate::hex::read(text.as_bytes(), &mut id).then_some(id)
        };
        let Some(id) = read(id) else { return };
        let card = Card {
            id,
            pin_id: pin_id.and_then(read),
            state: CardState::Spare,
            since_ms: at_ms,
            doors: BTreeMap::new(),
            holders: VecDeque::new(),
        };
        for id in [Some(card.id), card.pin_id].into_iter().flatten() {
            self.by_id.insert(id, name.to_owned());
            self.of_file.remove(&id);
        }
        self.cards.insert(name.to_owned(), card);
    }

    fn card_lost(&mut self, at_ms: i64, name: &str, doors: &[String]) {
        let doors = doors.iter().map(|door| (door.clone(), Stop { after_ms: None }));
        let doors: BTreeMap<String, Stop> = doors.collect();
        if let Some(card) = self.cards.get_mut(name) {
            let person = match &card.state {
                CardState::Lent { person, .. } => Some(person.clone()),
                _ => None,
            };
            card.becomes(at_ms, CardState::Lost { person });
            card.doors = doors;
            return;
        }
        let mut id = CardId::default();
        if crate::hex::read(name.as_bytes(), &mut id) {
            let card = Card {
                id,
                pin_id: None,
                state: CardState::Lost { person: None },
                since_ms: at_ms,
                doors,
                holders: VecDeque::new(),
            };
            self.of_file.insert(id, card);
        }
    }
}

impl Person {
    fn has_left(&self, today: u16) -> bool {
        self.left.is_some_and(|left| left <= today)
    }

    fn is_over(&self, today: u16) -> bool {
        self.until.is_some_and(|until| until < today)
    }

    /// True when nobody has confirmed this person within the site's time.
    #[must_use]
    pub fn is_unconfirmed(&self, today: u16, rules: Rules) -> bool {
        let due = self.confirmed.saturating_add(rules.reconfirm_days);
        rules.reconfirm_days > 0 && today > due
    }
}

impl Card {
    /// Who has it now.
    #[must_use]
    pub fn person(&self) -> Option<&str> {
        match &self.state {
            CardState::Lent { person, .. } => Some(person),
            _ => None,
        }
    }

    fn is_overdue(&self, today: u16) -> bool {
        matches!(self.state, CardState::Lent { due: Some(due), .. } if due < today)
    }

    fn becomes(&mut self, at_ms: i64, state: CardState) {
        (self.since_ms, self.state) = (at_ms, state);
    }

    fn given_back(&mut self, at_ms: i64) {
        for held in self.holders.iter_mut().filter(|held| held.until_ms.is_none()) {
            held.until_ms = Some(at_ms);
        }
    }
}

#[cfg(test)]
mod tests;

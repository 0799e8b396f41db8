//! Who is inside, from the sequence of passages and nothing else.
//!
//! ```text
//!            entry                     entry elsewhere: there now
//!  outside -------> inside an area ----------------------------->
//!          <-------
//!            exit (of any area)
//! ```
//! Nobody is in two areas. A passage that happened before the newest one that counted for the same
//! person changes nothing: what was written stays true.

use super::{ClockMark, Direction, Flag, Passage};
use std::collections::BTreeMap;

/// Persons inside, and cards whose newest passage is remembered; the oldest is forgotten beyond.
pub const MAX_INSIDE: usize = 4_000;
/// Nobody passes two doors in less.
pub const SHORTEST_WAY_MS: i64 = 10_000;

/// Somebody inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// Which area.
    pub area: String,
    /// Who, if the card's holder is known.
    pub person: Option<String>,
    /// With which card.
    pub card: String,
    /// Through which portal.
    pub portal: String,
    /// Since when, milliseconds since 1970 UTC.
    pub since_ms: i64,
}

/// The newest passage that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Last {
    portal: String,
    at_ms: i64,
    clock: ClockMark,
}

/// Who is where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairing {
    inside: BTreeMap<String, Inside>,
    last: BTreeMap<String, Last>,
}

/// A person, or a card whose holder nobody knows.
fn who(passage: &Passage) -> Option<String> {
    match (&passage.person, &passage.card) {
        (Some(person), _) => Some(person.clone()),
        (None, Some(card)) => Some(format!("card:{card}")),
        (None, None) => None,
    }
}

impl Pairing {
    /// Who is inside, each once.
    pub fn inside(&self) -> impl Iterator<Item = (&str, &Inside)> {
        self.inside.iter().map(|(who, inside)| (who.as_str(), inside))
    }

    /// The area in which this person is.
    #[must_use]
    pub fn area_of(&self, person: &str) -> Option<&str> {
        self.inside.get(person).map(|inside| inside.area.as_str())
    }

    /// What is noteworthy about a passage that is about to be written. Where no reader sees people
    /// leave (`leaves_are_read` false), a second entry says nothing.
    #[must_use]
    pub fn judge(&self, passage: &Passage, leaves_are_read: bool) -> Vec<Flag> {
        let mut flags = Vec::new();
        let Some(who) = who(passage) else { return flags };
        let (last, inside) = (self.last.get(&who), self.inside.get(&who));
        if let Some(last) = last
            && last.portal != passage.portal
            && passage.decision.starts_with("granted")
            && (last.clock, passage.clock) == (ClockMark::Node, ClockMark::Node)
            && (passage.at_ms - last.at_ms).abs() < SHORTEST_WAY_MS
            // In and out at one door are two readers a hand apart.
            && !inside.is_some_and(|inside| inside.area == passage.area && passage.direction == Direction::Exit)
        {
            flags.push(Flag::TooFast);
        }
        if last.is_some_and(|last| passage.at_ms < last.at_ms) {
            if passage.went_through() {
                flags.push(Flag::Overtaken);
            }
            return flags;
        }
        // A block by the site's own anti-passback is a second entry, too.
        let tried = passage.went_through() || passage.decision == "suspended";
        match (passage.direction, inside) {
            (Direction::Entry, Some(inside)) if tried && inside.area == passage.area && leaves_are_read => {
                flags.push(Flag::TwiceIn);
            }
            (Direction::Entry, Some(_)) if passage.went_through() && leaves_are_read => {
                flags.push(Flag::Elsewhere)
            }
            (Direction::Exit, inside)
                if passage.went_through() && inside.is_none_or(|inside| inside.area != passage.area) =>
            {
                flags.push(Flag::ExitWithoutEntry);
            }
            _ => {}
        }
        flags
    }

    /// Takes a passage that was written.
    pub fn take(&mut self, passage: &Passage) {
        let (Some(who), Some(card), true) = (who(passage), &passage.card, passage.went_through()) else {
            return;
        };
        if passage.flags.contains(&Flag::Stray)
            || self.last.get(&who).is_some_and(|last| passage.at_ms < last.at_ms)
        {
            return;
        }
        let last = Last {
            portal: passage.portal.clone(),
            at_ms: passage.at_ms,
            clock: passage.clock,
        };
        self.last.insert(who.clone(), last);
        match passage.direction {
            Direction::Entry => {
                let inside = Inside {
                    area: passage.area.clone(),
                    person: passage.person.clone(),
                    card: card.clone(),
                    portal: passage.portal.clone(),
                    since_ms: passage.at_ms,
                };
                self.inside.insert(who, inside);
            }
            Direction::Exit => {
                self.inside.remove(&who);
            }
            Direction::Unknown => {}
        }
        forget_oldest(&mut self.last, |last| last.at_ms);
        forget_oldest(&mut self.inside, |inside| inside.since_ms);
    }
}

fn forget_oldest<T>(rows: &mut BTreeMap<String, T>, at_ms: impl Fn(&T) -> i64) {
    while rows.len() > MAX_INSIDE {
        let oldest = rows
            .iter()
            .min_by_key(|(_, row)| at_ms(row))
            .map(|(who, _)| who.clone());
        if let Some(oldest) = oldest {
            rows.remove(&oldest);
        }
    }
}

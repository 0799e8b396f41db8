//! From persons, cards and rights to the cards of a list: what `access::List` is made of.

use super::{Card, CardState, Deputy, Person, Register, Right, Rules};
use crate::site;
use std::collections::{BTreeMap, BTreeSet};

/// Why a portal is shut for somebody who has a right to it.
pub(super) type Barred<'a> = &'a dyn Fn(&str, &str) -> bool;

impl Register {
    /// The cards of the site on a local day: those of the register, then those of the site's file
    /// that the register does not know. `barred(person, portal)` shuts a portal for a person.
    ///
    /// A card that is reported lost stands in the lists of the doors that it opened, blocked, so
    /// that a door can tell it from an unknown one.
    #[must_use]
    pub fn cards(
        &self,
        today: u16,
        rules: Rules,
        file: &[site::Card],
        barred: Barred<'_>,
    ) -> Vec<site::Card> {
        let mut cards = Vec::new();
        for card in self.cards.values() {
            match &card.state {
                CardState::Spare | CardState::Broken => {}
                CardState::Lost { .. } => cards.push(blocked(card)),
                CardState::Lent { person: id, due } => {
                    let Some(person) = self.persons.get(id) else {
                        continue;
                    };
                    let over = card.is_overdue(today)
                        || person.has_left(today)
                        || (rules.suspend_unconfirmed && person.is_unconfirmed(today, rules));
                    for (portal, right) in self.rights_of(id, person, today) {
                        let right = right.until(*due).until(person.until).since(person.from);
                        let shut = over || barred(id, &portal);
                        cards.push(entry(card, portal, right, shut));
                    }
                }
            }
        }
        for card in file {
            let known = [Some(card.id), card.pin_id].into_iter().flatten();
            if known.clone().any(|id| self.by_id.contains_key(&id)) {
                continue;
            }
            let lost = known.clone().any(|id| self.of_file.contains_key(&id));
            cards.push(site::Card {
                suspended: card.suspended || lost,
                ..card.clone()
            });
        }
        cards
    }

    /// What a person may open: their own rights, and those of whom they stand in for. Of two rights
    /// to one portal the wider one counts, and their own when neither is.
    pub(super) fn rights_of(&self, id: &str, person: &Person, today: u16) -> BTreeMap<String, Right> {
        let mut rights = person.rights.clone();
        let stands_in = |row: &&Deputy| row.deputy == id && row.until >= today;
        for row in self.deputies.iter().filter(stands_in) {
            let Some(other) = self.persons.get(&row.of).filter(|other| !other.has_left(today)) else {
                continue;
            };
            for (portal, right) in &other.rights {
                let right = right
                    .since(row.from)
                    .until(Some(row.until))
                    .since(other.from)
                    .until(other.until);
                match rights.get(portal) {
                    // A list holds one entry of a card: what begins later waits for its day.
                    Some(own) if row.from > today || !right.covers(own) => {}
                    _ => {
                        rights.insert(portal.clone(), right);
                    }
                }
            }
        }
        rights
    }

    /// The doors that a card opens on that day, also one of the file.
    pub(super) fn doors_of(&self, card: &Card, today: u16, file: &[site::Card]) -> Vec<String> {
        let mut doors: BTreeSet<String> = file
            .iter()
            .filter(|row| row.id == card.id || row.pin_id == Some(card.id))
            .flat_map(|row| row.portals.iter().cloned())
            .collect();
        if let CardState::Lent { person: id, .. } = &card.state
            && let Some(person) = self.persons.get(id)
        {
            doors.extend(self.rights_of(id, person, today).into_keys());
        }
        doors.into_iter().collect()
    }
}

fn entry(card: &Card, portal: String, right: Right, suspended: bool) -> site::Card {
    site::Card {
        id: card.id,
        pin_id: card.pin_id,
        holder: String::new(),
        portals: vec![portal],
        from: right.from,
        to: right.to,
        days: right.days,
        valid_from: right.valid_from,
        valid_until: right.valid_until,
        suspended,
    }
}

fn blocked(card: &Card) -> site::Card {
    site::Card {
        id: card.id,
        pin_id: card.pin_id,
        holder: String::new(),
        portals: card.doors.keys().cloned().collect(),
        from: 0,
        to: shared::access::STEPS_PER_DAY,
        days: shared::access::EVERY_DAY,
        valid_from: 0,
        valid_until: u16::MAX,
        suspended: true,
    }
}

impl Right {
    const fn until(self, last: Option<u16>) -> Self {
        match last {
            Some(last) if last < self.valid_until => Self {
                valid_until: last,
                ..self
            },
            _ => self,
        }
    }

    const fn since(self, first: u16) -> Self {
        if first > self.valid_from {
            Self {
                valid_from: first,
                ..self
            }
        } else {
            self
        }
    }

    /// True when every moment of the week that `other` opens is opened by this one, too.
    fn covers(&self, other: &Self) -> bool {
        let steps = |right: &Self| {
            let (from, to) = (right.from, right.to);
            move |step: u8| {
                if from > to {
                    step >= from || step < to
                } else {
                    (from..to).contains(&step)
                }
            }
        };
        let (ours, theirs) = (steps(self), steps(other));
        other.days & !self.days == 0
            && (0..shared::access::STEPS_PER_DAY).all(|step| !theirs(step) || ours(step))
    }
}

//! Access lists: which cards a node must know, made from the cards of the site.
//!
//! A list is made anew at every start and compared with the one before by its content. Another
//! content gets a higher version, which is journaled before anything is sent; the node's
//! decisions carry it. The node alone decides with the list (`shared::access::decide`).

use crate::site::{Access, Card};
use shared::access::{Digest, ENTRY_LEN, Entry, ListHead, flag};
use shared::limit::{DIGEST_LEN, ENTRIES_PER_FRAME, MAX_CARDS, MAX_HOLIDAYS};
use shared::wire::Down;
use std::collections::BTreeMap;

/// The list of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    head: ListHead,
    entries: Vec<[u8; ENTRY_LEN]>,
}

/// More entries than a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{entries} entries for one node, which holds {MAX_CARDS}; a card with a PIN counts twice: \
     remove cards that are no longer used"
)]
pub struct TooMany {
    /// Entries.
    pub entries: usize,
}

/// Everything but the version: two lists with the same content need no transfer.
pub type Content = [u8; DIGEST_LEN];

impl List {
    /// One list is one portal's: a card is in it when it opens that portal. With two portals at a
    /// node a card of one would open the other, too; then an entry must say which it opens.
    const ONE_PORTAL: () = assert!(crate::site::doors::MAX_PORTALS == 1, "an entry names no portal");

    /// The list of a node: every card of its portals, sorted by card id, each once. Of a card
    /// that the site names twice for the same node, a blocked one counts, else the first.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn of(access: &Access, node: u16, version: u32) -> Result<Self, TooMany> {
        const { Self::ONE_PORTAL };
        let mut cards: BTreeMap<[u8; 8], Entry> = BTreeMap::new();
        for card in access.cards.iter().filter(|card| opens(access, card, node)) {
            for entry in entries(card) {
                let known = cards.entry(entry.id).or_insert(entry);
                if entry.flags & flag::SUSPENDED != 0 {
                    *known = entry;
                }
            }
        }
        if cards.len() > MAX_CARDS {
            return Err(TooMany { entries: cards.len() });
        }
        Ok(Self {
            head: ListHead {
                version,
                count: u16::try_from(cards.len()).unwrap_or(u16::MAX),
                utc_offset_min: access.utc_offset_min,
                unset_clock: access.unset_clock,
                stale_after_days: access.stale_after_days,
                holidays: access.holidays.iter().copied().take(MAX_HOLIDAYS).collect(),
            },
            entries: cards.values().map(Entry::encode).collect(),
        })
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.head.version
    }

    /// Its entries.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.head.count
    }

    /// The same list under another version.
    pub const fn renumber(&mut self, version: u32) {
        self.head.version = version;
    }

    /// What the node compares before it uses the list.
    #[must_use]
    pub fn digest(&self) -> [u8; DIGEST_LEN] {
        digest(&self.head, &self.entries)
    }

    /// Names the content whatever the version.
    #[must_use]
    pub fn content(&self) -> Content {
        let head = ListHead {
            version: 1,
            ..self.head.clone()
        };
        digest(&head, &self.entries)
    }

    /// The frame that begins it.
    #[must_use]
    pub fn begin(&self) -> Down {
        Down::ListBegin(self.head.clone())
    }

    /// The frame with the entries from `at`, at most [`ENTRIES_PER_FRAME`].
    #[must_use]
    pub fn part(&self, at: u32, len: u32) -> Down {
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(self.entries.len());
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(ENTRIES_PER_FRAME);
        Down::ListEntries {
            version: self.head.version,
            at: u16::try_from(from).unwrap_or(u16::MAX),
            entries: self.entries[from..].iter().copied().take(len).collect(),
        }
    }

    /// The frame that makes it count.
    #[must_use]
    pub fn commit(&self) -> Down {
        Down::ListCommit {
            version: self.head.version,
            digest: self.digest(),
        }
    }
}

fn digest(head: &ListHead, entries: &[[u8; ENTRY_LEN]]) -> [u8; DIGEST_LEN] {
    let mut digest = Digest::new(head);
    entries.iter().for_each(|entry| digest.push(entry));
    digest.finish()
}

fn opens(access: &Access, card: &Card, node: u16) -> bool {
    access
        .portals
        .iter()
        .any(|portal| portal.node == node && card.portals.contains(&portal.name))
}

/// A card is one entry; with a PIN it is two: the card that asks for it, and both together.
fn entries(card: &Card) -> impl Iterator<Item = Entry> {
    let suspended = if card.suspended { flag::SUSPENDED } else { 0 };
    let entry = |id, flags| Entry {
        id,
        from: card.from,
        to: card.to,
        days: card.days,
        flags: flags | suspended,
        valid_from: card.valid_from,
        valid_until: card.valid_until,
    };
    let asks = match card.pin_id {
        Some(_) => flag::PIN_REQUIRED,
        None => 0,
    };
    let with_pin = card.pin_id.map(|id| entry(id, flag::WITH_PIN));
    [entry(card.id, asks)].into_iter().chain(with_pin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Label, Portal};
    use shared::access::{CardId, decide};

    /// Tuesday 2026-11-24, noon in Japan.
    const NOON: u64 = (20_781 * 86_400 + 3 * 3_600) * 1_000;

    fn card(number: u16, portals: &[&str]) -> Card {
        let mut id: CardId = [0; 8];
        // Out of order on purpose.
        id[..2].copy_from_slice(&number.wrapping_mul(40_503).to_be_bytes());
        id[6..].copy_from_slice(&number.to_be_bytes());
        Card {
            id,
            pin_id: None,
            holder: format!("{number}"),
            portals: portals.iter().map(|name| (*name).to_owned()).collect(),
            from: 0,
            to: 144,
            days: 0xff,
            valid_from: 0,
            valid_until: u16::MAX,
            suspended: false,
        }
    }

    fn access(cards: Vec<Card>) -> Access {
        let portal = |name: &str, node, number| Portal {
            name: name.to_owned(),
            label: Label::new(name, name),
            node,
            portal: number,
            reader: number,
            door: None,
            area: name.to_owned(),
            passes: crate::site::Passes::Entry,
        };
        Access {
            portals: vec![portal("front", 1, 0), portal("side", 1, 1), portal("vault", 2, 0)],
            cards,
            ..Access::default()
        }
    }

    fn find(list: &List, id: &CardId) -> Option<Entry> {
        let all = list.entries.iter().map(Entry::decode);
        all.into_iter().find(|entry| entry.id == *id)
    }

    #[test]
    fn a_node_knows_the_cards_of_its_own_portals_sorted_and_each_once() {
        let site = access(vec![
            card(1, &["front"]),
            card(2, &["vault"]),
            card(3, &["side", "vault"]),
            card(4, &["front", "side"]),
            card(5, &[]),
        ]);
        let ids = |node| -> Vec<u16> {
            let list = List::of(&site, node, 1).unwrap();
            assert!(list.entries.windows(2).all(|pair| pair[0][..8] < pair[1][..8]));
            let mut ids: Vec<u16> = list
                .entries
                .iter()
                .map(|entry| u16::from_be_bytes([entry[6], entry[7]]))
                .collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(ids(1), [1, 3, 4]);
        assert_eq!(ids(2), [2, 3]);
        assert_eq!(ids(3), [0_u16; 0]);
    }

    #[test]
    fn a_card_with_a_pin_opens_only_together_with_it() {
        let with_pin = Card {
            pin_id: Some([9; 8]),
            ..card(1, &["front"])
        };
        let list = List::of(&access(vec![with_pin.clone()]), 1, 1).unwrap();
        assert_eq!(list.count(), 2);
        let decided = |id| decide(Some(&list.head), find(&list, &id).as_ref(), Some(NOON)).word();
        assert_eq!(decided(with_pin.id), "pin_required");
        assert_eq!(decided([9; 8]), "granted");

        let lost = Card {
            suspended: true,
            ..with_pin.clone()
        };
        let list = List::of(&access(vec![lost]), 1, 1).unwrap();
        let decided = |id| decide(Some(&list.head), find(&list, &id).as_ref(), Some(NOON)).word();
        assert_eq!(
            (decided(with_pin.id), decided([9; 8])),
            ("suspended", "suspended")
        );
    }

    #[test]
    fn a_card_named_twice_is_blocked_if_either_is() {
        let lost = Card {
            suspended: true,
            ..card(1, &["front"])
        };
        for cards in [
            vec![lost.clone(), card(1, &["side"])],
            vec![card(1, &["side"]), lost],
        ] {
            let list = List::of(&access(cards), 1, 1).unwrap();
            assert_eq!(list.count(), 1);
            let entry = find(&list, &card(1, &[]).id);
            assert_eq!(
                decide(Some(&list.head), entry.as_ref(), Some(NOON)).word(),
                "suspended"
            );
        }
    }

    #[test]
    fn five_hundred_cards_fit_and_five_hundred_and_one_do_not() {
        let cards = |n: u16| (0..n).map(|number| card(number, &["front"])).collect();
        assert_eq!(List::of(&access(cards(500)), 1, 1).unwrap().count(), 500);
        assert_eq!(List::of(&access(cards(501)), 1, 1), Err(TooMany { entries: 501 }));
    }

    #[test]
    fn the_content_is_the_same_for_another_version_and_another_for_any_change() {
        let base = access(vec![card(1, &["front"]), card(2, &["front"])]);
        let list = List::of(&base, 1, 3).unwrap();
        let mut later = list.clone();
        later.renumber(4);
        assert_eq!(list.content(), later.content());
        assert_ne!(list.digest(), later.digest());

        let mut changes: Vec<Access> = vec![base.clone(); 6];
        changes[0].cards[0].suspended = true;
        changes[1].cards.pop();
        changes[2].holidays.push(20_000);
        changes[3].utc_offset_min = 0;
        changes[4].stale_after_days = 3;
        changes[5].cards[1].valid_until = 20_000;
        for change in &changes {
            assert_ne!(List::of(change, 1, 3).unwrap().content(), list.content());
        }
        // What concerns another node, or nobody, changes nothing here.
        let mut elsewhere = base;
        elsewhere.cards.push(card(3, &["vault"]));
        elsewhere.cards[0].holder = "another name".to_owned();
        assert_eq!(List::of(&elsewhere, 1, 3).unwrap().content(), list.content());
    }

    #[test]
    fn the_frames_of_a_list_are_the_list() {
        let site = access((0..45).map(|number| card(number, &["front"])).collect());
        let list = List::of(&site, 1, 8).unwrap();
        let mut taken = Vec::new();
        while taken.len() < 45 {
            let Down::ListEntries { version, at, entries } = list.part(taken.len() as u32, 16) else {
                panic!("another frame");
            };
            assert_eq!((version, usize::from(at)), (8, taken.len()));
            taken.extend(entries.iter().copied());
        }
        assert_eq!(digest(&list.head, &taken), list.digest());
        assert!(matches!(list.part(45, 16), Down::ListEntries { entries, .. } if entries.is_empty()));
    }
}

//! Cards, and access lists of them as a controller sends them.

use crate::pn532::Card;
use crate::standin::Controller;
use shared::access::{CardId, Digest, EVERY_DAY, Entry, ListHead, STEPS_PER_DAY, UnsetClock, card_id};
use shared::limit::ENTRIES_PER_FRAME;
use shared::wire::{CredentialKind, Down, ListEvent, Up};

/// Minutes that Tokyo is ahead of UTC.
const TOKYO_MIN: i16 = 9 * 60;

/// A card of Type A with a number made from this one.
#[must_use]
pub fn type_a(number: u16) -> Card {
    let [high, low] = number.to_be_bytes();
    Card::TypeA(vec![0x04, 0xa5, 0x5a, high, low, 0x11, 0x80])
}

/// A FeliCa card with an IDm made from this number.
#[must_use]
pub fn felica(number: u16) -> Card {
    let [high, low] = number.to_be_bytes();
    Card::Felica([0x01, 0x2e, 0x3d, 0x4c, 0x5b, 0x6a, high, low])
}

/// The kind of a card and its id under a site's card key.
#[must_use]
pub fn identity(card_key: &[u8; 32], card: &Card) -> (CredentialKind, CardId) {
    let (kind, uid) = match card {
        Card::TypeA(uid) => (CredentialKind::TypeA, &uid[..]),
        Card::Felica(idm) => (CredentialKind::Felica, &idm[..]),
    };
    (kind, card_id(card_key, kind, uid, None))
}

/// A list under construction.
#[derive(Debug, Clone)]
pub struct CardList {
    card_key: [u8; 32],
    version: u32,
    entries: Vec<Entry>,
}

impl CardList {
    /// An empty list of this version.
    #[must_use]
    pub const fn new(card_key: [u8; 32], version: u32) -> Self {
        Self {
            card_key,
            version,
            entries: Vec::new(),
        }
    }

    /// With a card that may enter always, changed as asked.
    #[must_use]
    pub fn with(mut self, card: &Card, change: impl FnOnce(&mut Entry)) -> Self {
        let mut entry = Entry {
            id: identity(&self.card_key, card).1,
            from: 0,
            to: STEPS_PER_DAY,
            days: EVERY_DAY,
            flags: 0,
            valid_from: 0,
            valid_until: u16::MAX,
        };
        change(&mut entry);
        self.entries.push(entry);
        self
    }

    /// With cards that nobody in the tests holds, until there are `count`.
    #[must_use]
    pub fn filled(mut self, count: usize) -> Self {
        for number in 10_000.. {
            if self.entries.len() >= count {
                break;
            }
            self = self.with(&type_a(number), |_| ());
        }
        self
    }

    /// The messages that carry it, in their order: head, entries, commit.
    ///
    /// # Panics
    /// When the list is longer than a node takes.
    #[must_use]
    pub fn messages(&self) -> Vec<Down> {
        let mut entries = self.entries.clone();
        entries.sort_by_key(|entry| entry.id);
        let head = ListHead {
            version: self.version,
            count: u16::try_from(entries.len()).expect("a list is short"),
            utc_offset_min: TOKYO_MIN,
            unset_clock: UnsetClock::Deny,
            stale_after_days: 0,
            holidays: Default::default(),
        };
        let mut digest = Digest::new(&head);
        let mut messages = vec![Down::ListBegin(head)];
        for (at, piece) in (0_u16..)
            .step_by(ENTRIES_PER_FRAME)
            .zip(entries.chunks(ENTRIES_PER_FRAME))
        {
            let entries = piece.iter().map(Entry::encode);
            messages.push(Down::ListEntries {
                version: self.version,
                at,
                entries: entries.inspect(|entry| digest.push(entry)).collect(),
            });
        }
        messages.push(Down::ListCommit {
            version: self.version,
            digest: digest.finish(),
        });
        messages
    }

    /// Sends it and waits until the node has taken it.
    pub async fn give(&self, controller: &Controller) {
        for message in self.messages() {
            controller.tell(message).await;
        }
        controller
            .event(Up::List(ListEvent::Committed {
                version: self.version,
                count: u16::try_from(self.entries.len()).expect("a list is short"),
            }))
            .await;
    }
}

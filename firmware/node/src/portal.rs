//! A portal put together: card and keypad ask, the list decides, the door obeys.
//!
//! ```text
//! card ----+                                          +--> Credential   to record, first
//!          +--> number under the card key -- list --> |
//! keys ----+         (with its PIN, if typed)         +--> door --> events, strike, buzzer, lamps
//! contacts ------------------------------------------------^
//! ```
//! Everything is decided in the call in which the card or the last key arrives: the strike is to be
//! driven as soon as it returns, whatever network, controller and record are doing.
//!
//! The record always names the card without its PIN. The number under which a card *with* a typed
//! PIN would be found is never recorded: who holds the card key could try all PINs against it.
//!
//! How the list is kept and found is not known here: `look_up` is a closure of the node.

use crate::door::{Door, Events, Input, Level, Outputs};
use crate::drivers::pn532::Uid;
use crate::keypad::{Entry, Key};
use shared::access::{CardId, Decision, Denial, card_id};
use shared::limit::KEY_LEN;
use shared::mount::PortalInput;
use shared::provision::PortalConfig;
use shared::wire::CredentialKind;

/// A decision to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// Kind of the card.
    pub kind: CredentialKind,
    /// The card under the site's key, without PIN.
    pub id: CardId,
    /// What was decided.
    pub decision: Decision,
}

/// A door with its reader and, if mounted, its keypad.
#[derive(Debug, Clone, Copy)]
pub struct Portal {
    door: Door,
    entry: Option<Entry>,
}

impl Portal {
    /// A portal of which no level is known; every output is off.
    #[must_use]
    pub const fn new(config: PortalConfig) -> Self {
        Self {
            door: Door::new(config),
            entry: if config.keypad { Some(Entry::new()) } else { None },
        }
    }

    /// A card was presented. Record the credential, then the events.
    pub fn card(
        &mut self,
        card_key: &[u8; KEY_LEN],
        (kind, uid): (CredentialKind, Uid),
        look_up: impl FnOnce(CardId) -> Decision,
        now_ms: u64,
    ) -> (Credential, Events) {
        let id = card_id(card_key, kind, uid.as_slice(), None);
        let mut decision = look_up(id);
        if let Some(entry) = &mut self.entry {
            decision = entry.presented(kind, uid, decision, now_ms);
        }
        (Credential { kind, id, decision }, self.decided(decision, now_ms))
    }

    /// A key was pressed. When it ends a PIN: record the credential, then the events.
    pub fn key(
        &mut self,
        card_key: &[u8; KEY_LEN],
        key: Key,
        look_up: impl FnOnce(CardId) -> Decision,
        now_ms: u64,
    ) -> Option<(Credential, Events)> {
        let entry = self.entry.as_mut()?;
        let asked = entry.key(key, now_ms)?;
        let (kind, uid) = (asked.kind, asked.uid.as_slice());
        let found = match asked.pin.as_slice() {
            Some(pin) => look_up(card_id(card_key, kind, uid, Some(pin))),
            None => Decision::Denied(Denial::PinWrong),
        };
        let decision = entry.typed(&asked, found, now_ms);
        let id = card_id(card_key, kind, uid, None);
        Some((Credential { kind, id, decision }, self.decided(decision, now_ms)))
    }

    /// Something at the reader names nobody (several cards, a random number): a sign to whoever
    /// stands there, and nothing to decide.
    #[must_use = "every event must be recorded"]
    pub fn unreadable(&mut self, now_ms: u64) -> Events {
        self.door.feed(Input::Denied(Denial::Unknown), now_ms)
    }

    /// A debounced contact of the portal took this level, or has it at start. Give
    /// [`Level::Unknown`] also for a contact that chatters: where it is, nobody can say.
    #[must_use = "every event must be recorded"]
    pub fn contact(&mut self, input: PortalInput, level: Level, now_ms: u64) -> Events {
        self.door.feed(Input::Contact(input, level), now_ms)
    }

    /// Time has passed.
    #[must_use = "every event must be recorded"]
    pub fn tick(&mut self, now_ms: u64) -> Events {
        if let Some(entry) = &mut self.entry {
            entry.tick(now_ms);
        }
        self.door.feed(Input::Tick, now_ms)
    }

    /// When [`Portal::tick`] must be called.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        let entry = self.entry.and_then(|entry| entry.next_ms());
        [entry, self.door.next_ms()].into_iter().flatten().min()
    }

    /// What the outputs are to be since the last call.
    #[must_use]
    pub fn outputs(&self) -> Outputs {
        self.door.outputs()
    }

    fn decided(&mut self, decision: Decision, now_ms: u64) -> Events {
        let input = match decision {
            Decision::Granted | Decision::GrantedUnproven => Input::Granted,
            Decision::Denied(why) => Input::Denied(why),
        };
        self.door.feed(input, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::access::{EVERY_DAY, Entry as Listed, ListHead, UnsetClock, decide, flag};
    use shared::wire::{DoorEvent, OpenedBy};
    use std::vec::Vec as List;

    const KEY: [u8; KEY_LEN] = [3; KEY_LEN];
    const STAFF: [u8; 4] = [1, 2, 3, 4];
    const VAULT: [u8; 7] = [4, 1, 2, 3, 4, 5, 6];
    const STRANGER: [u8; 4] = [9, 9, 9, 9];
    /// 2026-11-24, 12:00 in Japan.
    const NOON: u64 = 1_795_489_200_000;

    /// Two cards, one of which wants the PIN 2718.
    struct Site {
        portal: Portal,
        listed: List<Listed>,
    }

    impl Site {
        fn new(keypad: bool) -> Self {
            let entry = |uid: &[u8], pin: Option<&[u8]>, flags| Listed {
                id: card_id(&KEY, CredentialKind::TypeA, uid, pin),
                from: 0,
                to: 144,
                days: EVERY_DAY,
                flags,
                valid_from: 0,
                valid_until: u16::MAX,
            };
            Self {
                portal: Portal::new(PortalConfig {
                    keypad,
                    cards: shared::provision::CardKinds::Both,
                    strike_ms: 5_000,
                    held_open_s: 30,
                    warn_s: 5,
                }),
                listed: std::vec![
                    entry(&STAFF, None, 0),
                    entry(&VAULT, None, flag::PIN_REQUIRED),
                    entry(&VAULT, Some(b"2718"), flag::WITH_PIN),
                ],
            }
        }

        fn look_up(listed: &[Listed], id: CardId) -> Decision {
            let head = ListHead {
                version: 1,
                count: listed.len() as u16,
                utc_offset_min: 540,
                unset_clock: UnsetClock::Deny,
                stale_after_days: 0,
                holidays: heapless::Vec::new(),
            };
            decide(
                Some(&head),
                listed.iter().find(|entry| entry.id == id),
                Some(NOON),
            )
        }

        fn card(&mut self, uid: &[u8], now: u64) -> Credential {
            let card = (CredentialKind::TypeA, Uid::new(uid).unwrap());
            let listed = &self.listed;
            let (credential, events) = self.portal.card(&KEY, card, |id| Self::look_up(listed, id), now);
            assert!(events.is_empty());
            credential
        }

        fn dial(&mut self, digits: &str, now: u64) -> Option<Credential> {
            let keys = digits
                .bytes()
                .map(|digit| Key::Digit(digit - b'0'))
                .chain([Key::Enter]);
            let listed = &self.listed;
            let mut decided = None;
            for key in keys {
                decided = self.portal.key(&KEY, key, |id| Self::look_up(listed, id), now);
            }
            decided.map(|(credential, _)| credential)
        }
    }

    fn named(uid: &[u8]) -> CardId {
        card_id(&KEY, CredentialKind::TypeA, uid, None)
    }

    #[test]
    fn a_known_card_drives_the_strike_in_the_same_call() {
        let mut site = Site::new(false);
        let credential = site.card(&STAFF, 1_000);
        assert_eq!(
            (credential.decision, credential.id),
            (Decision::Granted, named(&STAFF))
        );
        assert!(site.portal.outputs().strike);
        let _ = site.portal.contact(PortalInput::Door, Level::Normal, 1_000);
        let events = site.portal.contact(PortalInput::Door, Level::Active, 2_000);
        assert_eq!(events, [DoorEvent::Opened(OpenedBy::Grant)]);
    }

    #[test]
    fn a_stranger_is_denied_and_named_under_the_card_key() {
        let mut site = Site::new(true);
        let credential = site.card(&STRANGER, 0);
        assert_eq!(credential.decision, Decision::Denied(Denial::Unknown));
        assert_eq!(credential.id, named(&STRANGER));
        assert!(!site.portal.outputs().strike && site.portal.outputs().denied_led);
        assert_eq!(site.dial("2718", 100), None, "a PIN without its card");
    }

    #[test]
    fn a_card_with_its_pin_opens_and_the_record_names_the_card_only() {
        let mut site = Site::new(true);
        assert_eq!(
            site.card(&VAULT, 0).decision,
            Decision::Denied(Denial::PinRequired)
        );
        assert!(site.portal.outputs().granted_led && !site.portal.outputs().strike);
        let credential = site.dial("2718", 3_000).unwrap();
        assert_eq!(
            (credential.decision, credential.id),
            (Decision::Granted, named(&VAULT))
        );
        assert!(site.portal.outputs().strike);
    }

    #[test]
    fn a_wrong_pin_opens_nothing_and_the_third_locks() {
        let mut site = Site::new(true);
        for (digits, denial) in [
            ("1111", Denial::PinWrong),
            ("27", Denial::PinWrong),
            ("27182", Denial::LockedOut),
        ] {
            let _ = site.card(&VAULT, 0);
            let credential = site.dial(digits, 0).unwrap();
            assert_eq!(credential.decision, Decision::Denied(denial), "{digits}");
            assert_eq!(credential.id, named(&VAULT));
            assert!(!site.portal.outputs().strike);
        }
        assert_eq!(
            site.card(&VAULT, 100).decision,
            Decision::Denied(Denial::LockedOut)
        );
        assert_eq!(site.card(&STAFF, 200).decision, Decision::Granted);
    }

    #[test]
    fn without_a_keypad_a_card_that_wants_a_pin_is_plainly_denied() {
        let mut site = Site::new(false);
        assert_eq!(
            site.card(&VAULT, 0).decision,
            Decision::Denied(Denial::PinRequired)
        );
        assert!(site.portal.outputs().denied_led && !site.portal.outputs().granted_led);
        assert_eq!(site.dial("2718", 0), None);
    }

    #[test]
    fn a_card_that_waits_for_its_pin_is_forgotten_in_time() {
        let mut site = Site::new(true);
        let _ = site.card(&VAULT, 0);
        while let Some(at) = site.portal.next_ms() {
            let _ = site.portal.tick(at);
        }
        assert_eq!(site.portal.outputs(), Outputs::default());
        assert_eq!(site.dial("2718", 60_000), None);
    }

    #[test]
    fn two_cards_at_once_are_a_sound_and_no_record() {
        let mut site = Site::new(true);
        assert!(site.portal.unreadable(0).is_empty());
        assert!(site.portal.outputs().denied_led && site.portal.outputs().buzzer);
    }
}

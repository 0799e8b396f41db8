//! The keypad at the reader: a PIN after the card.
//!
//! ```text
//! card decided PinRequired --> digits, at most 20 s --> Enter --> Asked: card number and PIN
//!        ^                        | Clear: begin again                |  the node decides
//!        |                        v another card, time over           v
//!        +------------------- forgotten                     PinWrong, or as the list says
//!                                                           third PinWrong: LockedOut for 60 s
//! ```
//! A PIN is part of the credential: the list has a second entry under
//! `card_id(kind, number, Some(digits))`, so neither node nor list holds a PIN that could be read
//! out, and a PIN is worth nothing without its card. That is also why a PIN alone opens nothing here.
//! It raises what a copied card is worth: whoever copied the number must have watched the digits, too.
//!
//! A reader that was locked out takes no card that wants a PIN; cards that want none still work,
//! so that nobody can lock the staff out with three wrong digits. Only the card that was guessed at
//! forgives, with its right PIN: whoever holds a card of his own must not buy guesses at another with
//! it. A restart of the node forgets
//! the count; a restart is an event.
//!
//! Nothing here decides, keeps a PIN after it was asked for, or prints one.

use crate::drivers::pn532::Uid;
use shared::access::{Decision, Denial};
use shared::limit::MAX_PIN;
use shared::wire::CredentialKind;

/// Fewest digits of a PIN.
pub const MIN_PIN: usize = 4;
/// How long a card waits for its PIN, from the card or the last key, in milliseconds.
pub const ENTRY_MS: u64 = 20_000;
/// Wrong PINs in a row, of whatever cards, that lock the reader.
pub const WRONG_MAX: u8 = 3;
/// How long a locked reader takes no PIN, in milliseconds.
pub const LOCK_MS: u64 = 60_000;
/// After so long without another a wrong PIN is forgotten, in milliseconds: who waits for it guesses
/// more slowly than who waits for the lock.
pub const FORGET_MS: u64 = 600_000;

const _: () = assert!(MIN_PIN <= MAX_PIN);

/// A key of the keypad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// 0 to 9.
    Digit(u8),
    /// Ends a PIN (the key #).
    Enter,
    /// Begins it again (the key *).
    Clear,
}

/// Digits as they were typed, in ASCII, as [`shared::access::card_id`] takes them.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Pin {
    digits: [u8; MAX_PIN],
    /// More than [`MAX_PIN`] count as one more.
    len: u8,
}

impl Pin {
    /// The digits; `None` when they are too few or too many to be a PIN.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[u8]> {
        let digits = self.digits.get(..usize::from(self.len))?;
        (digits.len() >= MIN_PIN).then_some(digits)
    }

    fn push(&mut self, digit: u8) {
        if let Some(place) = self.digits.get_mut(usize::from(self.len)) {
            *place = b'0' + digit % 10;
        }
        self.len = (self.len + 1).min(MAX_PIN as u8 + 1);
    }
}

impl core::fmt::Debug for Pin {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Pin(***)")
    }
}

/// A card with what was typed for it; the node looks up
/// `card_id(key, kind, uid, pin.as_slice())` and gives its decision to [`Entry::typed`]. A PIN of a
/// wrong length is asked for, too: it is wrong like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Kind of the card.
    pub kind: CredentialKind,
    /// Its number.
    pub uid: Uid,
    /// What was typed.
    pub pin: Pin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    asked: Asked,
    until_ms: u64,
}

/// The keypad's part in a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    waiting: Option<Waiting>,
    wrong: u8,
    /// The card of all of them, if it was one.
    wrong_by: Option<(CredentialKind, Uid)>,
    wrong_at_ms: u64,
    locked_until_ms: u64,
}

impl Entry {
    /// Nobody waits for anything.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            waiting: None,
            wrong: 0,
            wrong_by: None,
            wrong_at_ms: 0,
            locked_until_ms: 0,
        }
    }

    /// True while no PIN is taken.
    #[must_use]
    pub const fn is_locked(&self, now_ms: u64) -> bool {
        now_ms < self.locked_until_ms
    }

    /// True while a card waits for its PIN.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// When [`Entry::tick`] must be called, if a card waits.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        self.waiting.map(|waiting| waiting.until_ms)
    }

    /// Forgets a card whose time is over, and its digits.
    pub fn tick(&mut self, now_ms: u64) {
        if self.waiting.is_some_and(|waiting| now_ms >= waiting.until_ms) {
            self.waiting = None;
        }
    }

    /// Takes what the list says about a card that was presented, and returns what to record: the
    /// same, but [`Denial::LockedOut`] for a card that wants a PIN while none is taken.
    #[must_use = "this is the decision to record"]
    pub fn presented(&mut self, kind: CredentialKind, uid: Uid, decision: Decision, now_ms: u64) -> Decision {
        self.waiting = None;
        if decision != Decision::Denied(Denial::PinRequired) {
            return decision;
        }
        if self.is_locked(now_ms) {
            return Decision::Denied(Denial::LockedOut);
        }
        self.waiting = Some(Waiting {
            asked: Asked {
                kind,
                uid,
                pin: Pin::default(),
            },
            until_ms: now_ms.saturating_add(ENTRY_MS),
        });
        decision
    }

    /// Takes a key; a card with its PIN when that is to be decided. Keys without a card do nothing.
    pub fn key(&mut self, key: Key, now_ms: u64) -> Option<Asked> {
        self.tick(now_ms);
        let waiting = self.waiting.as_mut()?;
        waiting.until_ms = now_ms.saturating_add(ENTRY_MS);
        match key {
            Key::Digit(digit) => waiting.asked.pin.push(digit),
            Key::Clear => waiting.asked.pin = Pin::default(),
            Key::Enter => return self.waiting.take().map(|waiting| waiting.asked),
        }
        None
    }

    /// Takes what the list says about a card with its PIN, and returns what to record. A card that
    /// is not in the list with these digits typed a wrong PIN; the third in a row locks.
    #[must_use = "this is the decision to record"]
    pub fn typed(&mut self, asked: &Asked, decision: Decision, now_ms: u64) -> Decision {
        let is_wrong = asked.pin.as_slice().is_none()
            || matches!(
                decision,
                Decision::Denied(Denial::Unknown | Denial::PinRequired | Denial::PinWrong)
            );
        let card = Some((asked.kind, asked.uid));
        if !is_wrong {
            let granted = matches!(decision, Decision::Granted | Decision::GrantedUnproven);
            if granted && self.wrong_by == card {
                self.wrong = 0;
            }
            return decision;
        }
        if now_ms.saturating_sub(self.wrong_at_ms) >= FORGET_MS {
            self.wrong = 0;
        }
        self.wrong_by = card.filter(|_| self.wrong == 0 || self.wrong_by == card);
        self.wrong_at_ms = now_ms;
        self.wrong += 1;
        if self.wrong < WRONG_MAX {
            return Decision::Denied(Denial::PinWrong);
        }
        self.wrong = 0;
        self.locked_until_ms = now_ms.saturating_add(LOCK_MS);
        Decision::Denied(Denial::LockedOut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN_REQUIRED: Decision = Decision::Denied(Denial::PinRequired);
    const PIN_WRONG: Decision = Decision::Denied(Denial::PinWrong);
    const LOCKED_OUT: Decision = Decision::Denied(Denial::LockedOut);
    const UNKNOWN: Decision = Decision::Denied(Denial::Unknown);

    fn card() -> Uid {
        Uid::new(&[0xde, 0xad, 0xbe, 0xef]).unwrap()
    }

    fn present(entry: &mut Entry, decision: Decision, now: u64) -> Decision {
        entry.presented(CredentialKind::TypeA, card(), decision, now)
    }

    /// Types digits and Enter.
    fn dial(entry: &mut Entry, digits: &str, now: u64) -> Option<Asked> {
        for digit in digits.bytes() {
            assert_eq!(entry.key(Key::Digit(digit - b'0'), now), None);
        }
        entry.key(Key::Enter, now)
    }

    fn wrong_pin(entry: &mut Entry, now: u64) -> Decision {
        assert_eq!(present(entry, PIN_REQUIRED, now), PIN_REQUIRED);
        let asked = dial(entry, "0000", now).unwrap();
        entry.typed(&asked, UNKNOWN, now)
    }

    #[test]
    fn a_card_and_its_pin_are_asked_for_together() {
        let mut entry = Entry::new();
        assert_eq!(present(&mut entry, PIN_REQUIRED, 0), PIN_REQUIRED);
        let asked = dial(&mut entry, "31415", 1_000).unwrap();
        assert_eq!((asked.kind, asked.uid), (CredentialKind::TypeA, card()));
        assert_eq!(asked.pin.as_slice(), Some(&b"31415"[..]));
        assert_eq!(entry.typed(&asked, Decision::Granted, 1_000), Decision::Granted);
        assert!(!entry.is_waiting(), "one card, one attempt");
        assert_eq!(entry.key(Key::Enter, 1_000), None);
    }

    #[test]
    fn a_card_that_wants_no_pin_is_decided_as_the_list_says() {
        let mut entry = Entry::new();
        for decision in [Decision::Granted, UNKNOWN, Decision::Denied(Denial::Expired)] {
            assert_eq!(present(&mut entry, decision, 0), decision);
            assert_eq!(dial(&mut entry, "1234", 0), None);
        }
    }

    #[test]
    fn keys_without_a_card_do_nothing() {
        let mut entry = Entry::new();
        assert_eq!(dial(&mut entry, "12345678", 0), None);
        assert_eq!(present(&mut entry, PIN_REQUIRED, 10), PIN_REQUIRED);
        assert_eq!(
            dial(&mut entry, "9999", 10).unwrap().pin.as_slice(),
            Some(&b"9999"[..])
        );
    }

    #[test]
    fn clear_begins_again_and_slow_fingers_have_time() {
        let mut entry = Entry::new();
        let _ = present(&mut entry, PIN_REQUIRED, 0);
        entry.key(Key::Digit(7), 1_000);
        entry.key(Key::Clear, 2_000);
        let asked = (0..4).find_map(|n| entry.key(Key::Digit(n), 2_000 + u64::from(n) * (ENTRY_MS - 1)));
        assert_eq!(asked, None);
        let asked = entry.key(Key::Enter, 2_000 + 4 * (ENTRY_MS - 1)).unwrap();
        assert_eq!(asked.pin.as_slice(), Some(&b"0123"[..]));
    }

    #[test]
    fn a_pin_that_does_not_come_is_forgotten_with_its_digits() {
        let mut entry = Entry::new();
        let _ = present(&mut entry, PIN_REQUIRED, 0);
        entry.key(Key::Digit(1), 5_000);
        assert_eq!(entry.next_ms(), Some(5_000 + ENTRY_MS));
        entry.tick(5_000 + ENTRY_MS);
        assert!(!entry.is_waiting());
        assert_eq!(dial(&mut entry, "1234", 5_000 + ENTRY_MS), None);
    }

    #[test]
    fn another_card_takes_the_place_of_the_first() {
        let mut entry = Entry::new();
        let _ = present(&mut entry, PIN_REQUIRED, 0);
        entry.key(Key::Digit(1), 0);
        assert_eq!(present(&mut entry, UNKNOWN, 100), UNKNOWN);
        assert_eq!(dial(&mut entry, "234", 100), None);
    }

    #[test]
    fn a_pin_of_a_wrong_length_is_a_wrong_pin() {
        for digits in ["", "123", "123456789", "12345678901234567890"] {
            let mut entry = Entry::new();
            let _ = present(&mut entry, PIN_REQUIRED, 0);
            let asked = dial(&mut entry, digits, 0).unwrap();
            assert_eq!(asked.pin.as_slice(), None, "{digits}");
            // Without a PIN the node finds the card's own entry.
            assert_eq!(entry.typed(&asked, Decision::Granted, 0), PIN_WRONG);
        }
        let mut entry = Entry::new();
        let _ = present(&mut entry, PIN_REQUIRED, 0);
        assert!(dial(&mut entry, "12345678", 0).unwrap().pin.as_slice().is_some());
    }

    #[test]
    fn three_wrong_pins_lock_the_keypad_for_a_minute() {
        let mut entry = Entry::new();
        assert_eq!(wrong_pin(&mut entry, 0), PIN_WRONG);
        assert_eq!(wrong_pin(&mut entry, 1_000), PIN_WRONG);
        assert_eq!(wrong_pin(&mut entry, 2_000), LOCKED_OUT);
        assert_eq!(present(&mut entry, PIN_REQUIRED, 2_000 + LOCK_MS - 1), LOCKED_OUT);
        assert_eq!(dial(&mut entry, "1234", 2_000 + LOCK_MS - 1), None);
        assert_eq!(
            present(&mut entry, Decision::Granted, 3_000),
            Decision::Granted,
            "without PIN"
        );
        assert_eq!(wrong_pin(&mut entry, 2_000 + LOCK_MS), PIN_WRONG, "three more");
    }

    #[test]
    fn the_right_pin_of_the_same_card_forgives() {
        let mut entry = Entry::new();
        for _ in 0..5 {
            assert_eq!(wrong_pin(&mut entry, 0), PIN_WRONG);
            assert_eq!(wrong_pin(&mut entry, 0), PIN_WRONG);
            let _ = present(&mut entry, PIN_REQUIRED, 0);
            let asked = dial(&mut entry, "1234", 0).unwrap();
            assert_eq!(entry.typed(&asked, Decision::Granted, 0), Decision::Granted);
        }
    }

    #[test]
    fn no_other_card_and_no_fault_buys_more_guesses() {
        let own = Uid::new(&[1, 2, 3, 4]).unwrap();
        for (uid, decision) in [
            (own, Decision::Granted),
            (own, Decision::GrantedUnproven),
            (card(), Decision::Denied(Denial::NoList)),
            (card(), Decision::Denied(Denial::Expired)),
        ] {
            let mut entry = Entry::new();
            assert_eq!(wrong_pin(&mut entry, 0), PIN_WRONG);
            assert_eq!(wrong_pin(&mut entry, 0), PIN_WRONG);
            let _ = entry.presented(CredentialKind::TypeA, uid, PIN_REQUIRED, 0);
            let asked = dial(&mut entry, "1234", 0).unwrap();
            assert_eq!(entry.typed(&asked, decision, 0), decision, "it is no guess");
            assert_eq!(wrong_pin(&mut entry, 0), LOCKED_OUT, "{decision:?}");
        }
    }

    #[test]
    fn of_guesses_at_two_cards_neither_forgives() {
        let mut entry = Entry::new();
        let other = Uid::new(&[1, 2, 3, 4]).unwrap();
        let _ = entry.presented(CredentialKind::TypeA, other, PIN_REQUIRED, 0);
        let asked = dial(&mut entry, "9999", 0).unwrap();
        assert_eq!(entry.typed(&asked, UNKNOWN, 0), PIN_WRONG);
        assert_eq!(wrong_pin(&mut entry, 0), PIN_WRONG);
        let _ = present(&mut entry, PIN_REQUIRED, 0);
        let asked = dial(&mut entry, "1234", 0).unwrap();
        assert_eq!(entry.typed(&asked, Decision::Granted, 0), Decision::Granted);
        assert_eq!(wrong_pin(&mut entry, 0), LOCKED_OUT);
    }

    #[test]
    fn a_mistake_of_long_ago_is_forgotten() {
        let mut entry = Entry::new();
        assert_eq!(wrong_pin(&mut entry, 0), PIN_WRONG);
        assert_eq!(wrong_pin(&mut entry, FORGET_MS - 1), PIN_WRONG);
        assert_eq!(wrong_pin(&mut entry, 2 * FORGET_MS - 1), PIN_WRONG);
        assert_eq!(wrong_pin(&mut entry, 2 * FORGET_MS), PIN_WRONG);
        assert_eq!(wrong_pin(&mut entry, 2 * FORGET_MS), LOCKED_OUT);
    }

    #[test]
    fn a_pin_is_never_printed() {
        let mut entry = Entry::new();
        let _ = present(&mut entry, PIN_REQUIRED, 0);
        entry.key(Key::Digit(7), 0);
        let printed = std::format!("{entry:?}");
        assert!(printed.contains("***") && !printed.contains("55"), "{printed}");
    }

    #[test]
    fn no_key_at_any_time_makes_it_panic() {
        let mut entry = Entry::new();
        for now in [0, u64::MAX, 1, u64::MAX] {
            for _ in 0..300 {
                let _ = present(&mut entry, PIN_REQUIRED, now);
                for key in [
                    Key::Digit(255),
                    Key::Digit(9),
                    Key::Clear,
                    Key::Digit(0),
                    Key::Enter,
                ] {
                    if let Some(asked) = entry.key(key, now) {
                        let _ = entry.typed(&asked, UNKNOWN, now);
                    }
                }
            }
        }
    }
}

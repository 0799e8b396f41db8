//! The door of this node: cards, keys and contacts become decisions, door events and outputs.
//!
//! [`crate::portal`] decides and drives; this file gives it the list, the time and the levels of
//! the mounted contacts, and records what comes out: the credential first, then the door.

use super::Node;
use super::channel::Channel;
use crate::contact::Contact;
use crate::door::{Events, Level, Outputs};
use crate::drivers::pn532::Uid;
use crate::keypad::Key;
use crate::line::LineState;
use crate::list::List;
use crate::memory::Memory;
use crate::portal::{Credential, Portal};
use crate::update::Slots;
use shared::NoData;
use shared::access::{CardId, Decision, Denial, card_id, decide};
use shared::limit::KEY_LEN;
use shared::mount::PortalInput;
use shared::provision::Provision;
use shared::wire::{CredentialKind, ReaderState, Up};

/// The only portal and reader of a node.
const PORTAL: u8 = 0;

/// Door and reader.
#[derive(Debug)]
pub(super) struct Entrance {
    card_key: CardKey,
    portal: Option<Portal>,
    reader: Option<ReaderState>,
    last: Option<Decision>,
}

/// Does not print.
struct CardKey([u8; KEY_LEN]);

impl core::fmt::Debug for CardKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("***")
    }
}

impl Entrance {
    pub(super) fn new(provision: &Provision) -> Self {
        Self {
            card_key: CardKey(provision.card_key),
            portal: provision.portal.map(Portal::new),
            reader: None,
            last: None,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.portal.as_ref().and_then(Portal::next_ms)
    }
}

/// What a contact of a portal says; `None` before it has held a level. Where a chattering one is,
/// nobody can say.
pub(super) fn level_of_contact(contact: &Contact, now_ms: u64) -> Option<Level> {
    if contact.is_chattering() {
        return Some(Level::Unknown);
    }
    let open = contact.settled(now_ms)?;
    Some(if open { Level::Active } else { Level::Normal })
}

/// What a supervised line of a portal says.
pub(super) const fn level_of_line(state: Result<LineState, NoData>) -> Level {
    match state {
        Ok(LineState::Normal) => Level::Normal,
        Ok(LineState::Active) => Level::Active,
        Ok(LineState::Cut | LineState::Shorted) | Err(_) => Level::Unknown,
    }
}

impl<M: Memory, S: Slots> Node<M, S> {
    /// A card was presented: its kind and number, 1 to 10 bytes.
    pub fn card(&mut self, kind: CredentialKind, number: &[u8], now_ms: u64) {
        if self.is_blind() {
            return;
        }
        let Some(uid) = Uid::new(number) else {
            return;
        };
        let unix_ms = self.clock.unix_ms(now_ms);
        let mut look_up = |id| look_up(&self.list, &mut self.memory, &id, unix_ms);
        let card_key = &self.entrance.card_key.0;
        let (credential, events) = match &mut self.entrance.portal {
            Some(portal) => portal.card(card_key, (kind, uid), look_up, now_ms),
            // A reader without a door: who was there is recorded all the same.
            None => {
                let id = card_id(card_key, kind, uid.as_slice(), None);
                let decision = look_up(id);
                (Credential { kind, id, decision }, Events::new())
            }
        };
        self.record(credential, events, now_ms);
    }

    /// A key of the keypad was pressed.
    pub fn key(&mut self, key: Key, now_ms: u64) {
        if self.is_blind() {
            return;
        }
        let unix_ms = self.clock.unix_ms(now_ms);
        let look_up = |id| look_up(&self.list, &mut self.memory, &id, unix_ms);
        let card_key = &self.entrance.card_key.0;
        let asked = self
            .entrance
            .portal
            .as_mut()
            .and_then(|portal| portal.key(card_key, key, look_up, now_ms));
        if let Some((credential, events)) = asked {
            self.record(credential, events, now_ms);
        }
    }

    /// Something at the reader names nobody (several cards, a random number): a sign to whoever
    /// stands there, and nothing to record.
    pub fn unreadable(&mut self, now_ms: u64) {
        if !self.is_blind()
            && let Some(portal) = &mut self.entrance.portal
        {
            let events = portal.unreadable(now_ms);
            self.record_door(events, now_ms);
        }
    }

    /// The reader works, or does not.
    pub fn reader(&mut self, state: ReaderState, now_ms: u64) {
        if !self.is_blind() && self.entrance.reader != Some(state) {
            self.entrance.reader = Some(state);
            let reader = PORTAL;
            self.event(&Up::Reader { reader, state }, now_ms);
        }
    }

    /// What the outputs of the portal are to be. Off in safe mode, and while nothing is known.
    pub fn outputs(&self) -> Outputs {
        match &self.entrance.portal {
            Some(portal) if !self.is_blind() => portal.outputs(),
            _ => Outputs::default(),
        }
    }

    /// What was decided last in this boot, for a display.
    pub const fn last_decision(&self) -> Option<Decision> {
        self.entrance.last
    }

    /// A contact or line of the portal, when its level is another one than the portal knows.
    pub(super) fn portal_input(&mut self, channel: usize, level: Option<Level>, now_ms: u64) {
        let Some(level) = level else {
            return;
        };
        let (known, input) = match self.channels.get_mut(channel) {
            Some(Channel::Contact { level, portal, .. } | Channel::Line { level, portal, .. }) => {
                (level, *portal)
            }
            _ => return,
        };
        if input == PortalInput::None || *known == Some(level) {
            return;
        }
        *known = Some(level);
        if let Some(portal) = &mut self.entrance.portal {
            let events = portal.contact(input, level, now_ms);
            self.record_door(events, now_ms);
        }
    }

    /// Lets the portal's time pass.
    pub(super) fn tick_portal(&mut self, now_ms: u64) {
        if let Some(portal) = &mut self.entrance.portal {
            let events = portal.tick(now_ms);
            self.record_door(events, now_ms);
        }
    }

    fn record(&mut self, credential: Credential, events: Events, now_ms: u64) {
        let Credential { kind, id, decision } = credential;
        self.entrance.last = Some(decision);
        let credential = Up::Credential {
            reader: PORTAL,
            kind,
            id,
            decision,
            list: self.list.version(),
        };
        self.event(&credential, now_ms);
        self.record_door(events, now_ms);
    }

    fn record_door(&mut self, events: Events, now_ms: u64) {
        for event in events {
            let portal = PORTAL;
            self.event(&Up::Door { portal, event }, now_ms);
        }
    }
}

fn look_up(list: &List, memory: &mut impl Memory, id: &CardId, unix_ms: Option<u64>) -> Decision {
    match list.find(memory, id) {
        Ok(entry) => decide(list.head(), entry.as_ref(), unix_ms),
        // A list that cannot be read lets nobody in; the next attempt may find it.
        Err(_) => Decision::Denied(Denial::NoList),
    }
}

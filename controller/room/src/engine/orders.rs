//! What an operator orders of a node: a new key, to start again, to forget everything.
//!
//! An order is journaled, then sent, and done only when the node says so. A rotation is told
//! again while the node goes on with its old key; the others are ordered again by hand.

use super::{Engine, hex};
use crate::alarm::{self, Condition};
use crate::catalog::{self, NodeTrouble};
use crate::event::{Refused, Turn};
use crate::node::Stray;
use crate::record::{NodeEvent, NodeOrder, Record};
use crate::site::{Label, World};
use crate::snapshot;
use crate::time::{Millis, Mono, Now};
use shared::limit::SALT_LEN;
use shared::wire::{Down, KeyEvent};

/// A node that goes on with its old key is told of the new one so often.
pub const TELL_KEY_EVERY: Millis = Millis(60_000);

impl<W: World> Engine<W> {
    /// A node by its short name, heard of late.
    pub(super) fn ordered_node(&self, now: Now, name: &str) -> Result<u16, Refused> {
        let Some(node) = self.site.nodes.iter().find(|node| node.name == name) else {
            return Err(Refused::not_found(
                format!("ノード {name} はありません"),
                format!("no node {name}"),
            ));
        };
        if self.is_alive(now, node.id) {
            Ok(node.id)
        } else {
            Err(Refused::conflict(
                format!("{name} から応答がありません。応答が戻ってからもう一度指示してください"),
                format!("{name} is not heard; order it again when it is"),
            ))
        }
    }

    pub(super) fn rotate_key(
        &mut self,
        now: Now,
        by: &str,
        name: &str,
        salt: &[u8; SALT_LEN],
        turn: &mut Turn,
    ) -> Result<(), Refused> {
        let by = alarm::operator_text("by", by)?;
        let node = self.ordered_node(now, name)?;
        let Some(ring) = self.keys.get(&node) else {
            return Err(Refused::not_found(
                format!("{name} には鍵がありません"),
                format!("{name} has no key"),
            ));
        };
        if salt == &[0; SALT_LEN] {
            return Err(Refused::invalid(
                "鍵には新しい乱数が必要です",
                "a key needs fresh random bytes",
            ));
        }
        if ring.pending().is_some() {
            return Err(Refused::conflict(
                format!("{name} はすでに鍵を交換中です"),
                format!("{name} is already changing its key"),
            ));
        }
        let record = Record::KeyRotation {
            node,
            key_id: ring.next_id(),
            salt: hex(salt),
            first: ring.first_fingerprint(),
            by,
        };
        self.commit(now, turn, record);
        self.tell_key(now, node, turn);
        self.evaluate_key(now, node, turn);
        Ok(())
    }

    /// Tells a node of its new key, while it goes on with the old one.
    pub(super) fn tell_key(&mut self, now: Now, node: u16, turn: &mut Turn) {
        let due = Mono(now.mono.0.saturating_sub(TELL_KEY_EVERY.0));
        let Some(ring) = self.keys.get_mut(&node).filter(|ring| ring.wants_telling(due)) else {
            return;
        };
        let Some((key_id, salt)) = ring.pending().map(|pending| (pending.key_id, pending.salt)) else {
            return;
        };
        ring.told(now.mono);
        self.tell(now, node, &Down::Rotate { key_id, salt }, turn);
    }

    /// A heartbeat of the node was accepted. Should the word of its new key have been lost, the
    /// use of that key ends the rotation.
    pub(super) fn key_in_use(&mut self, now: Now, node: u16, turn: &mut Turn) {
        let key_id = self.keys.get_mut(&node).and_then(crate::keys::KeyRing::heartbeat);
        if let Some(key_id) = key_id {
            self.commit(now, turn, Record::KeyInUse { node, key_id });
            self.evaluate_key(now, node, turn);
        }
    }

    pub(super) fn order_node(
        &mut self,
        now: Now,
        by: &str,
        name: &str,
        order: NodeOrder,
        turn: &mut Turn,
    ) -> Result<(), Refused> {
        let by = alarm::operator_text("by", by)?;
        let node = self.ordered_node(now, name)?;
        self.commit(now, turn, Record::NodeOrder { node, order, by });
        let body = match order {
            NodeOrder::Erase => Down::Erase,
            NodeOrder::Restart => Down::Restart,
        };
        self.tell(now, node, &body, turn);
        Ok(())
    }

    /// Applies a record about keys.
    pub(super) fn apply_key(&mut self, record: &Record) {
        match record {
            Record::KeyRotation {
                node,
                key_id,
                salt,
                first,
                ..
            } => {
                if let (Some(ring), Some(salt)) = (self.keys.get_mut(node), unhex(salt)) {
                    ring.begin(first, *key_id, salt);
                }
            }
            Record::KeyInUse { node, key_id } => {
                if let Some(ring) = self.keys.get_mut(node) {
                    ring.rotated(*key_id);
                }
            }
            Record::NodeEvent {
                node,
                event: NodeEvent::Key { key },
                ..
            }
            // It was given up as missing, and came after all. The word of a second board would
            // take the key from the first one.
            | Record::StrayEvent {
                node,
                event: NodeEvent::Key { key },
                why: Stray::Late,
                ..
            } => {
                if let Some(ring) = self.keys.get_mut(node) {
                    match key {
                        KeyEvent::Rotated { key_id } => ring.rotated(*key_id),
                        KeyEvent::NotKept { key_id } => ring.not_kept(*key_id),
                        KeyEvent::Erased => ring.erased(),
                    }
                }
            }
            _ => {}
        }
    }

    /// What became of a key. The rings have it already.
    pub(super) fn key_event(&mut self, now: Now, node: u16, event: KeyEvent, turn: &mut Turn) {
        if let (KeyEvent::NotKept { key_id }, Some(name)) = (event, self.node_name(node)) {
            let because = Label::new(
                format!("鍵 {key_id} を端末の記憶に書けなかった"),
                format!("its memory did not keep key {key_id}"),
            );
            let alarm = catalog::node_id(&name, NodeTrouble::Key);
            if let Some(record) = self.book.raise_now(&alarm, because) {
                self.commit(now, turn, record);
            }
        }
        self.evaluate_key(now, node, turn);
    }

    pub(super) fn evaluate_key(&mut self, now: Now, node: u16, turn: &mut Turn) {
        let (Some(ring), Some(name)) = (self.keys.get(&node), self.node_name(node)) else {
            return;
        };
        let condition = match ring.pending() {
            Some(pending) => {
                let key_id = pending.key_id;
                Condition::Holds(Label::new(
                    format!("鍵 {key_id} への切替を待っている"),
                    format!("key {key_id} is waited for"),
                ))
            }
            None => Condition::Gone,
        };
        self.report(now, turn, &catalog::node_id(&name, NodeTrouble::Key), condition);
    }

    pub(super) fn key_row(&self, node: u16) -> Option<snapshot::Key> {
        let ring = self.keys.get(&node)?;
        Some(snapshot::Key {
            id: ring.id(),
            next: ring.pending().map(|pending| pending.key_id),
        })
    }
}

fn unhex(text: &str) -> Option<[u8; SALT_LEN]> {
    let mut bytes = [0; SALT_LEN];
    crate::hex::read(text.as_bytes(), &mut bytes).then_some(bytes)
}

//! The keys of a node: the one it was provisioned with, and those derived from it since.
//!
//! ```text
//!             rotate (salt)          Key(Rotated), or used for a while
//!  one key --------------------> two keys ----------------> one key, the new one
//!     ^                             |  Key(NotKept)
//!     +--- the new key is set aside ---+
//! ```
//! With two keys, frames of both are taken, and frames are made with the one that the node used
//! last. A key that the node said it could not keep is set aside, not thrown away: should frames
//! come that are made with it, the node has it after all, and the rotation is under way again.
//! The word of a new key may be lost with the node's ring: [`CONFIRMING_HEARTBEATS`] made with it
//! in a row are as good as that word.
//! The salts are in the journal, so a restart derives the same keys. A node that was provisioned
//! anew has another first key, and the rotations of the old one are not applied. A node that has
//! erased itself has none of its keys: its rotations are forgotten, and the key of its last words
//! is known until the key of the provisioning is used.

use crate::time::Mono;
use shared::limit::SALT_LEN;
use shared::wire::DeviceKey;

/// Keys that are set aside at most; the oldest goes.
const MAX_ASIDE: usize = 4;

/// So many heartbeats in a row that are made with the new key say that the node has it: a minute
/// at the usual pace. Its own word comes long before, unless it was lost.
pub const CONFIRMING_HEARTBEATS: u32 = 12;

/// The keys of one node. Prints no key.
#[derive(Debug, Clone)]
pub struct KeyRing {
    first: DeviceKey,
    current: DeviceKey,
    /// The id that stands in frames of the current key, as far as it was seen.
    id: Option<u8>,
    pending: Option<Pending>,
    /// Keys that the node said it could not keep.
    aside: Vec<Pending>,
    /// What an erased node says its last words with, and its id.
    last: Option<(DeviceKey, u8)>,
}

/// A rotation that the node has not confirmed.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Id of the new key.
    pub key_id: u8,
    /// What it is made with.
    pub salt: [u8; SALT_LEN],
    /// When the node was last told, in this life of the controller.
    pub told: Option<Mono>,
    key: DeviceKey,
    /// The node has used it.
    used: bool,
    /// Heartbeats in a row that were made with it.
    heartbeats: u32,
}

/// Which key proved a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The current one.
    Current,
    /// The one of the rotation under way.
    Pending,
    /// The last one of a node that has erased itself.
    Last,
}

impl KeyRing {
    /// With the key of the provisioning.
    #[must_use]
    pub fn new(first: DeviceKey) -> Self {
        Self {
            current: first.clone(),
            first,
            id: None,
            pending: None,
            aside: Vec::new(),
            last: None,
        }
    }

    /// Names the key of the provisioning, and says nothing about it.
    #[must_use]
    pub fn first_fingerprint(&self) -> String {
        self.first.fingerprint().as_str().to_owned()
    }

    /// Tries the keys, the current one first.
    pub fn prove<T, E>(
        &mut self,
        mut verify: impl FnMut(&DeviceKey) -> Result<T, E>,
    ) -> Result<(T, Proof), E> {
        let error = match verify(&self.current) {
            Ok(proven) => {
                if let Some(pending) = &mut self.pending {
                    pending.used = false;
                    pending.heartbeats = 0;
                }
                self.last = None;
                return Ok((proven, Proof::Current));
            }
            Err(error) => error,
        };
        if let Some(pending) = &mut self.pending
            && let Ok(proven) = verify(&pending.key)
        {
            pending.used = true;
            return Ok((proven, Proof::Pending));
        }
        let found = self
            .aside
            .iter()
            .enumerate()
            .find_map(|(at, aside)| verify(&aside.key).ok().map(|proven| (at, proven)));
        let Some((at, proven)) = found else {
            let last = self.last.as_ref().and_then(|(key, _)| verify(key).ok());
            return last.map(|proven| (proven, Proof::Last)).ok_or(error);
        };
        let mut kept = self.aside.remove(at);
        kept.used = true;
        if let Some(pending) = self.pending.replace(kept) {
            self.set_aside(pending);
        }
        Ok((proven, Proof::Pending))
    }

    fn set_aside(&mut self, key: Pending) {
        if self.aside.len() == MAX_ASIDE {
            self.aside.remove(0);
        }
        self.aside.push(key);
    }

    /// The header of a proven frame named its key.
    pub fn saw_id(&mut self, proof: Proof, id: u8) {
        if proof == Proof::Current {
            self.id = Some(id);
        }
    }

    /// What frames to the node are made with: the key that it used last, and its id.
    #[must_use]
    pub fn sealing(&self) -> (&DeviceKey, u8) {
        match (&self.pending, &self.last) {
            (Some(pending), _) if pending.used => (&pending.key, pending.key_id),
            (_, Some((last, id))) => (last, *id),
            _ => (&self.current, self.id.unwrap_or(0)),
        }
    }

    /// Id of the key in force, as far as it was seen.
    #[must_use]
    pub const fn id(&self) -> Option<u8> {
        self.id
    }

    /// The id that the next key gets: none that the node may have under another key.
    #[must_use]
    pub fn next_id(&self) -> u8 {
        let mut id = self.id.unwrap_or(0).wrapping_add(1);
        while self.aside.iter().any(|aside| aside.key_id == id) {
            id = id.wrapping_add(1);
        }
        id
    }

    /// The rotation under way.
    #[must_use]
    pub const fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// True when the node is to be told: it uses the old key, and was not told since `since`.
    #[must_use]
    pub fn wants_telling(&self, since: Mono) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| !pending.used && pending.told.is_none_or(|told| told <= since))
    }

    /// The node was told.
    pub fn told(&mut self, now: Mono) {
        if let Some(pending) = &mut self.pending {
            pending.told = Some(now);
        }
    }

    /// A heartbeat was accepted, just after it was proven. Returns the id of the new key when it
    /// is clear from it that the node has that key.
    pub fn heartbeat(&mut self) -> Option<u8> {
        let pending = self.pending.as_mut().filter(|pending| pending.used)?;
        pending.heartbeats = pending.heartbeats.saturating_add(1);
        (pending.heartbeats >= CONFIRMING_HEARTBEATS).then_some(pending.key_id)
    }

    /// Applies the begin of a rotation; one of another first key changes nothing.
    pub fn begin(&mut self, first_fingerprint: &str, key_id: u8, salt: [u8; SALT_LEN]) {
        if self.first_fingerprint() == first_fingerprint {
            self.pending = Some(Pending {
                key_id,
                salt,
                told: None,
                key: self.current.rotated(&salt),
                used: false,
                heartbeats: 0,
            });
        }
    }

    /// Applies the node's word that it has the new key.
    pub fn rotated(&mut self, key_id: u8) {
        let pending = self.pending.take_if(|pending| pending.key_id == key_id);
        let aside = || self.aside.iter().position(|aside| aside.key_id == key_id);
        let kept = match pending {
            Some(pending) => pending,
            // It was said not to be kept, and is.
            None => match aside() {
                Some(at) => self.aside.remove(at),
                None => return,
            },
        };
        self.current = kept.key;
        self.id = Some(key_id);
        // What was made from the key before cannot come any more.
        self.pending = None;
        self.aside.clear();
    }

    /// Applies the node's word that it has erased everything.
    pub fn erased(&mut self) {
        let (key, id) = self.sealing();
        self.last = Some((key.clone(), id));
        self.current = self.first.clone();
        self.id = None;
        self.pending = None;
        self.aside.clear();
    }

    /// Applies the node's word that it could not keep the new key.
    pub fn not_kept(&mut self, key_id: u8) {
        if let Some(pending) = self.pending.take_if(|pending| pending.key_id == key_id) {
            self.set_aside(pending);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; SALT_LEN] = [5; SALT_LEN];

    fn ring() -> KeyRing {
        KeyRing::new(DeviceKey::new([1; 32]))
    }

    fn is(key: &DeviceKey) -> impl FnMut(&DeviceKey) -> Result<(), ()> + use<> {
        let wanted = *key.expose();
        move |key| if *key.expose() == wanted { Ok(()) } else { Err(()) }
    }

    #[test]
    fn both_keys_are_taken_until_the_node_says_that_it_has_the_new_one() {
        let mut ring = ring();
        let (old, new) = (ring.current.clone(), ring.current.rotated(&SALT));
        assert_eq!(ring.prove(is(&new)), Err(()));
        ring.begin(&ring.first_fingerprint(), 1, SALT);
        assert_eq!(ring.prove(is(&old)), Ok(((), Proof::Current)));
        assert_eq!(ring.sealing().0.expose(), old.expose());
        assert_eq!(ring.prove(is(&new)), Ok(((), Proof::Pending)));
        assert_eq!((ring.sealing().0.expose(), ring.sealing().1), (new.expose(), 1));
        ring.rotated(1);
        assert_eq!(ring.prove(is(&old)), Err(()));
        assert_eq!(ring.prove(is(&new)), Ok(((), Proof::Current)));
        assert_eq!((ring.id(), ring.next_id()), (Some(1), 2));
    }

    #[test]
    fn a_key_that_was_said_not_to_be_kept_is_taken_when_the_node_uses_it_all_the_same() {
        let mut ring = ring();
        let (old, new) = (ring.current.clone(), ring.current.rotated(&SALT));
        ring.begin(&ring.first_fingerprint(), 1, SALT);
        ring.not_kept(2);
        assert!(ring.pending().is_some(), "that was another rotation");
        ring.not_kept(1);
        assert!(ring.pending().is_none());
        assert_eq!(ring.sealing().0.expose(), old.expose());
        // The next attempt gets another number, and whichever the node has is known.
        let other_salt = [6; SALT_LEN];
        let id = ring.next_id();
        assert_eq!(id, 2);
        ring.begin(&ring.first_fingerprint(), id, other_salt);
        let other = old.rotated(&other_salt);
        assert_eq!(ring.prove(is(&other)), Ok(((), Proof::Pending)));
        assert_eq!(ring.prove(is(&new)), Ok(((), Proof::Pending)));
        assert_eq!((ring.sealing().0.expose(), ring.sealing().1), (new.expose(), 1));
        ring.rotated(1);
        assert_eq!(ring.prove(is(&new)), Ok(((), Proof::Current)));
        assert_eq!((ring.prove(is(&old)), ring.prove(is(&other))), (Err(()), Err(())));
        assert!(ring.pending().is_none());
    }

    #[test]
    fn a_node_that_never_keeps_a_key_does_not_fill_the_ring() {
        let mut ring = ring();
        for n in 1..=20 {
            let id = ring.next_id();
            ring.begin(&ring.first_fingerprint(), id, [n; SALT_LEN]);
            ring.not_kept(id);
        }
        assert_eq!(ring.aside.len(), MAX_ASIDE);
        assert_eq!(ring.sealing().0.expose(), &[1; 32]);
    }

    #[test]
    fn an_erased_node_says_its_last_words_and_then_has_the_key_of_a_provisioning() {
        let mut ring = ring();
        let (first, rotated) = (ring.current.clone(), ring.current.rotated(&SALT));
        ring.begin(&ring.first_fingerprint(), 1, SALT);
        ring.rotated(1);
        // It says so until it is heard.
        for _ in 0..3 {
            ring.erased();
            assert_eq!(ring.prove(is(&rotated)), Ok(((), Proof::Last)));
            assert_eq!(
                (ring.sealing().0.expose(), ring.sealing().1),
                (rotated.expose(), 1)
            );
        }
        assert_eq!(ring.prove(is(&first)), Ok(((), Proof::Current)));
        assert_eq!((ring.sealing().0.expose(), ring.next_id()), (first.expose(), 1));
        assert_eq!(ring.prove(is(&rotated)), Err(()));
    }

    #[test]
    fn rotations_of_an_earlier_provisioning_are_not_applied() {
        let mut ring = ring();
        let other = KeyRing::new(DeviceKey::new([2; 32]));
        ring.begin(&other.first_fingerprint(), 1, SALT);
        ring.rotated(1);
        assert_eq!(ring.sealing().0.expose(), &[1; 32]);
    }
}

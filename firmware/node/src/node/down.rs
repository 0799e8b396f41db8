//! What the controller asks for, and how it is obeyed. Everything else is refused, counted and
//! reported.

use super::{Node, RESTART_MS};
use crate::checkpoint::Checkpoint;
use crate::door::Outputs;
use crate::guard::Accepted;
use crate::identity::NotRotated;
use crate::memory::Memory;
use crate::ring::Confirmed;
use crate::update::Slots;
use shared::wire::{Down, Header, KeyEvent, ListEvent, Refusal, Up};

/// Seconds between two writes of the confirmation of a list: its age is counted in days.
const CONFIRM_EVERY_S: u32 = 24 * 3_600;
const DAY_S: u32 = 24 * 3_600;

impl<M: Memory, S: Slots> Node<M, S> {
    /// Obeys a downward frame, or refuses, counts and reports it.
    pub fn downward(&mut self, payload: &[u8], now_ms: u64) {
        match self.guard.accept(&self.keys, payload) {
            Ok(accepted) => {
                if accepted.current && self.keys.previous.is_some() {
                    self.keys.drop_previous();
                    self.erase_previous_at_ms = Some(now_ms);
                    self.tell_rotated(now_ms);
                }
                self.obey(accepted, now_ms);
            }
            Err(why) => self.refuse(why, now_ms),
        }
    }

    fn obey(&mut self, accepted: Accepted, now_ms: u64) {
        let Accepted {
            header,
            body,
            current,
        } = accepted;
        if self.erasing.is_on() {
            // Nothing is kept any more; only that it was heard.
            if let Down::Ack { upto } = body
                && upto >= self.farewell_seq()
            {
                self.erasing.acknowledged();
            }
            return;
        }
        if !current && !serves_previous_key(&body) {
            // Who has heard of the rotation uses the new key; the one before may be a stolen one.
            self.refuse(Refusal::Misdirected, now_ms);
            return;
        }
        match body {
            Down::SetTime => {
                let set = self.clock.set(header.unix_ms, header.up_ms, now_ms);
                if set.is_err() {
                    self.refuse(Refusal::Replayed, now_ms);
                }
            }
            Down::Ack { upto } => {
                self.outbox.acknowledged(&mut self.memory, upto, now_ms);
                self.update.reached();
            }
            Down::Report => self.report_everything(now_ms),
            Down::ListBegin(_) | Down::ListEntries { .. } | Down::ListCommit { .. } => {
                self.take_list(&body, now_ms);
            }
            Down::ListConfirm { version } => self.confirm_list(version, &header),
            Down::Checkpoint { size, root } => {
                let checkpoint = Checkpoint {
                    size,
                    root,
                    given_unix_s: self.clock.unix_ms(now_ms).unwrap_or_default() / 1_000,
                };
                // What is told at the next connection is the one before; the refusal is told now.
                if self.witness.give(checkpoint, now_ms).is_err() {
                    self.reports.checkpoint_due();
                    self.refuse(Refusal::Unknown, now_ms);
                }
            }
            // One sealed with the previous key is a repetition: the rotation is done.
            Down::Rotate { .. } if !current => {}
            Down::Rotate { key_id, salt } => self.rotate(key_id, &salt, now_ms),
            Down::Erase => self.erase(now_ms),
            Down::Restart => self.restart_at_ms = Some(now_ms + RESTART_MS),
            Down::UpdateBegin(head) => self.update.begin(&head, now_ms),
            Down::UpdateChunk { at, bytes } => {
                let rests = self.outputs() == Outputs::default();
                self.update.chunk(at, &bytes, rests, now_ms);
            }
            Down::UpdateEnd => self.update.end(now_ms),
            // Authentic, but of a later version: it decodes to a variant we cannot name.
            _ => self.refuse(Refusal::Unknown, now_ms),
        }
    }

    fn refuse(&mut self, why: Refusal, now_ms: u64) {
        self.refusals.total = self.refusals.total.saturating_add(1);
        self.refusals.unreported = Some(why);
        if !self.erasing.is_on() {
            self.tell_refusals(now_ms);
        }
    }

    fn take_list(&mut self, body: &Down, now_ms: u64) {
        let memory = &mut self.memory;
        let event = match body {
            Down::ListBegin(head) => self.list.begin(memory, head),
            Down::ListEntries { version, at, entries } => self.list.entries(memory, *version, *at, entries),
            Down::ListCommit { version, digest } => self.list.commit(*version, *digest),
            _ => None,
        };
        self.reports.transfer_due();
        if let Some(event) = event {
            self.tell_list(event, now_ms);
        }
    }

    fn confirm_list(&mut self, version: u32, header: &Header) {
        if version != self.list.version() {
            return;
        }
        // Only its own time counts, which stands in the frame; our clock may be that of a chip that
        // ran away. A lower one than before puts right what was wrong then.
        let unix_s = u32::try_from(header.unix_ms / 1_000).unwrap_or(u32::MAX);
        if unix_s == 0 {
            return;
        }
        let known = self.outbox.confirmed();
        self.confirmed_unix_s = unix_s;
        self.stale_told = false;
        if known.version != version
            || !(known.unix_s..known.unix_s.saturating_add(CONFIRM_EVERY_S)).contains(&unix_s)
        {
            // After an error the next confirmation writes it.
            let _ = self
                .outbox
                .confirm(&mut self.memory, Confirmed { version, unix_s });
        }
    }

    /// When the list in force was last confirmed, in seconds since 1970 UTC; 0: not known.
    pub(super) fn list_confirmed_s(&self) -> u32 {
        let kept = self.outbox.confirmed();
        if self.confirmed_unix_s != 0 {
            self.confirmed_unix_s
        } else if kept.version == self.list.version() && kept.unix_s != 0 {
            kept.unix_s
        } else {
            self.list.committed_unix_s()
        }
    }

    /// Says once that the list is stale.
    pub(super) fn tell_stale(&mut self, now_ms: u64) {
        if let Some(days) = self.stale_days(now_ms)
            && !self.stale_told
        {
            self.stale_told = true;
            let version = self.list.version();
            self.event(&Up::List(ListEvent::Stale { version, days }), now_ms);
        }
    }

    /// Days since the confirmation of the list in force, if they are too many.
    fn stale_days(&self, now_ms: u64) -> Option<u16> {
        let limit = self.list.head()?.stale_after_days;
        let (confirmed_s, unix_s) = (self.list_confirmed_s(), self.clock.unix_s(now_ms));
        if limit == 0 || confirmed_s == 0 || unix_s == 0 {
            return None;
        }
        let days = unix_s.saturating_sub(confirmed_s) / DAY_S;
        (days >= u32::from(limit)).then(|| u16::try_from(days).unwrap_or(u16::MAX))
    }

    fn rotate(&mut self, key_id: u8, salt: &[u8; shared::limit::SALT_LEN], now_ms: u64) {
        if key_id == self.keys.current.id {
            return;
        }
        let event = match self.keys.rotate(&mut self.memory, key_id, salt) {
            Ok(()) => {
                self.erase_previous_at_ms = None;
                KeyEvent::Rotated { key_id }
            }
            Err(NotRotated::NotKept) => KeyEvent::NotKept { key_id },
            // The controller, which keeps both keys, orders it again.
            Err(NotRotated::Undecided) => return,
        };
        self.event(&Up::Key(event), now_ms);
    }

    /// The power may have failed between the new key and the word of it.
    fn tell_rotated(&mut self, now_ms: u64) {
        if !core::mem::replace(&mut self.keys.told, true) {
            let key_id = self.keys.current.id;
            self.event(&Up::Key(KeyEvent::Rotated { key_id }), now_ms);
        }
    }

    /// Erases everything and takes the node out of service: the controller's order, or that of who
    /// stands before it.
    pub fn erase(&mut self, now_ms: u64) {
        // If the memory does not tell which copy is in force, the order does not matter.
        let older = self.keys.older_copy(&mut self.memory).unwrap_or(1);
        self.erasing.begin(older, now_ms);
    }
}

/// What a controller that has not heard of a rotation needs until it has. Nothing that changes who
/// may enter, what runs, or whether there is a node at all.
const fn serves_previous_key(body: &Down) -> bool {
    matches!(
        body,
        Down::SetTime | Down::Ack { .. } | Down::Report | Down::Rotate { .. }
    )
}

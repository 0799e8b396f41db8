//! What is on its way to core.
//!
//! QoS 1 messages stay here until core has settled them, in the order of their arrival, and go
//! out again from the first when core comes back: core knows an event it has seen. QoS 0
//! messages wait only while core is there and slow; the oldest is dropped, since the next
//! measurement is worth more.

use crate::broker::limit::{MAX_LOOSE, MAX_UNSETTLED, MAX_UNSETTLED_PER_USER};
use crate::broker::packet::Message;
use crate::link::FromBroker;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

#[derive(Debug)]
struct Pending {
    user: String,
    /// Sessions whose acknowledgement waits for it.
    sessions: BTreeSet<u64>,
    message: Arc<Message>,
}

/// The way to core.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    up: bool,
    next_token: u64,
    pending: BTreeMap<u64, Pending>,
    by_user: HashMap<String, BTreeSet<u64>>,
    /// First token not yet handed to the present link.
    cursor: u64,
    greeting: VecDeque<Arc<Message>>,
    loose: VecDeque<(u64, String, Arc<Message>)>,
}

impl Upstream {
    /// Core is there: first what is retained, then everything it has not settled.
    pub(super) fn link_up(&mut self, retained: impl Iterator<Item = Arc<Message>>) {
        self.up = true;
        self.cursor = 0;
        self.greeting = retained.collect();
        self.loose.clear();
    }

    /// Core is away.
    pub(super) fn link_down(&mut self) {
        self.up = false;
        self.greeting.clear();
        self.loose.clear();
    }

    /// Whether there is no room for another QoS 1 message of the account.
    #[must_use]
    pub(super) fn is_full(&self, user: &str) -> bool {
        self.pending.len() >= MAX_UNSETTLED
            || self
                .by_user
                .get(user)
                .is_some_and(|tokens| tokens.len() >= MAX_UNSETTLED_PER_USER)
    }

    /// Takes a QoS 1 message; the caller asked [`Self::is_full`] before.
    pub(super) fn withhold(&mut self, user: &str, session: u64, message: Arc<Message>) -> u64 {
        let token = self.token();
        self.by_user.entry(user.to_owned()).or_default().insert(token);
        self.pending.insert(
            token,
            Pending {
                user: user.to_owned(),
                sessions: BTreeSet::from([session]),
                message,
            },
        );
        token
    }

    /// Takes a QoS 0 message; false when this one or an older one is lost by it.
    pub(super) fn pass(&mut self, user: &str, message: Arc<Message>) -> bool {
        if !self.up {
            return false;
        }
        let token = self.token();
        self.loose.push_back((token, user.to_owned(), message));
        if self.loose.len() > MAX_LOOSE {
            self.loose.pop_front();
            return false;
        }
        true
    }

    /// The same message of the same account, sent before and not settled: from now on `session`
    /// waits for it too. Only for messages that are never equal by chance. Sessions that are no
    /// longer `alive` are forgotten, so that the set stays small.
    pub(super) fn resent(
        &mut self,
        user: &str,
        session: u64,
        message: &Message,
        alive: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        let tokens = self.by_user.get(user)?;
        let same = |token: &&u64| {
            self.pending.get(token).is_some_and(|pending| {
                pending.message.topic == message.topic && pending.message.payload == message.payload
            })
        };
        let token = *tokens.iter().find(same)?;
        let pending = self.pending.get_mut(&token)?;
        pending.sessions.retain(|session| alive(*session));
        pending.sessions.insert(session);
        Some(token)
    }

    /// Core has settled the token: the sessions that wait for it.
    pub(super) fn settle(&mut self, token: u64) -> BTreeSet<u64> {
        let Some(settled) = self.pending.remove(&token) else {
            return BTreeSet::new();
        };
        if let Some(tokens) = self.by_user.get_mut(&settled.user) {
            tokens.remove(&token);
            if tokens.is_empty() {
                self.by_user.remove(&settled.user);
            }
        }
        settled.sessions
    }

    /// Messages core has not settled.
    #[cfg(test)]
    pub(super) fn unsettled(&self) -> usize {
        self.pending.len()
    }

    /// Whether [`Self::next`] has something.
    #[must_use]
    pub(super) fn has_next(&self) -> bool {
        self.up
            && (!self.greeting.is_empty()
                || !self.loose.is_empty()
                || self.pending.range(self.cursor..).next().is_some())
    }

    /// The next message for core.
    pub(super) fn next(&mut self) -> Option<FromBroker> {
        if !self.up {
            return None;
        }
        if let Some(message) = self.greeting.pop_front() {
            // It proves nothing: its age is unknown.
            return Some(from_broker(0, &message.user, &message, false, true));
        }
        if let Some((&token, pending)) = self.pending.range(self.cursor..).next() {
            self.cursor = token + 1;
            return Some(from_broker(token, &pending.user, &pending.message, true, false));
        }
        let (token, user, message) = self.loose.pop_front()?;
        Some(from_broker(token, &user, &message, false, false))
    }

    fn token(&mut self) -> u64 {
        // 0 is the greeting's; 2^64 messages do not happen.
        self.next_token += 1;
        self.next_token
    }
}

fn from_broker(token: u64, user: &str, message: &Message, at_least_once: bool, retained: bool) -> FromBroker {
    FromBroker::Publish {
        token,
        user: user.to_owned(),
        topic: message.topic.clone(),
        payload: message.payload.to_vec(),
        at_least_once,
        retained,
    }
}

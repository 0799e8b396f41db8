//! The state of the endpoint: accounts, sessions, retained messages, the way to core.
//!
//! Pure: no socket, no clock, no task; `now` is an argument. Every call is short and none
//! waits, so the one lock around it ([`super::shared::Shared`]) is never held over an await.
//!
//! ```text
//!  connection --publish--> hub --> queues of the sessions --pull--> connections
//!                           |
//!                           `----> upstream --next--> core --settled--> PUBACK of the publisher
//! ```

mod counter;
mod retained;
mod session;
#[cfg(test)]
mod tests;
mod upstream;

pub(super) use counter::{Counter, Counters};

use super::limit::{
    MAX_BATCH, MAX_CLIENT_ID, MAX_SESSION_EXPIRY_SECS, MAX_SESSIONS, MAX_SUBSCRIPTIONS, RECEIVE_MAX,
};
use super::packet::{Connect, Filter, Message, Out, Publish, Reason, RetainedWish, Version, Will};
use super::topic;
use crate::link::{Account, FromBroker, ToBroker};
use bytes::Bytes;
use retained::Retained;
use room::time::{Millis, Mono};
use session::{Entry, Session, Subscription};
use shared::topic::{Leaf, PREFIX};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;
use tokio::sync::Notify;
use upstream::Upstream;

/// What a connection holds of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attached {
    /// Its session.
    pub session: u64,
    /// Its turn at the session.
    pub generation: u64,
    /// The session existed before.
    pub present: bool,
    /// Seconds the session outlives the connection.
    pub expiry_secs: u32,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// DISCONNECT; the will is not published. A new session expiry in seconds.
    Goodbye(Option<u32>),
    /// Anything else.
    Lost,
}

/// What to do after a PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken or dropped; an acknowledgement comes out of [`Hub::pull`] when it is due.
    Done,
    /// No room: keep the packet, do not read on, try again when woken.
    Stall,
    /// End the connection.
    Close(Reason),
}

/// A login attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    /// Core has not told us the accounts.
    Unknown,
    /// No such account or another password.
    Refused,
    /// Right.
    Accepted,
}

/// The state.
#[derive(Debug, Default)]
pub(super) struct Hub {
    accounts: Option<HashMap<String, Account>>,
    sessions: HashMap<u64, Session>,
    by_key: HashMap<(String, String), u64>,
    next_session: u64,
    next_generation: u64,
    /// Sessions by their filters without wildcards.
    exact: HashMap<String, BTreeSet<u64>>,
    /// Sessions with at least one filter with wildcards.
    wild: BTreeSet<u64>,
    retained: Retained,
    upstream: Upstream,
    queued_bytes: usize,
    stalled: Vec<Arc<Notify>>,
    counters: Counters,
}

impl Hub {
    // --- connections -----------------------------------------------------------------------

    /// Compares a password's digest in constant time; an unknown user costs the same.
    #[must_use]
    pub(super) fn login(&self, user: &str, password_sha256: &[u8; 32]) -> Login {
        let Some(accounts) = &self.accounts else {
            return Login::Unknown;
        };
        let account = accounts.get(user);
        let expected = account.map_or([0; 32], |account| account.password_sha256);
        let equal = bool::from(expected.ct_eq(password_sha256));
        if equal && account.is_some() {
            Login::Accepted
        } else {
            Login::Refused
        }
    }

    /// Lets a client in whose password is right. A session of the same account and id goes on,
    /// and its earlier connection ends. `client_id` is the one in force.
    ///
    /// # Errors
    /// The reason for CONNACK.
    pub(super) fn attach(
        &mut self,
        connect: &Connect,
        client_id: &str,
        wake: Arc<Notify>,
        now: Mono,
    ) -> Result<Attached, Reason> {
        if client_id.is_empty() || client_id.len() > MAX_CLIENT_ID || client_id.chars().any(char::is_control)
        {
            self.counters.count(Counter::BadClientId);
            return Err(Reason::ClientIdInvalid);
        }
        if let Some(will) = &connect.will {
            self.check_will(&connect.user, will)?;
        }
        let key = (connect.user.clone(), client_id.to_owned());
        let earlier = self.by_key.get(&key).copied();
        if let Some(id) = earlier {
            self.leave_behind(id, connect.clean, now);
        }
        let earlier = earlier.filter(|id| self.sessions.contains_key(id));
        let id = match earlier {
            Some(id) => id,
            None => {
                self.make_room(&connect.user, now)?;
                self.next_session += 1;
                let session = Session::new(key.0.clone(), key.1.clone(), connect.version);
                self.sessions.insert(self.next_session, session);
                self.by_key.insert(key, self.next_session);
                self.next_session
            }
        };
        self.next_generation += 1;
        let generation = self.next_generation;
        let expiry_secs = connect.session_expiry.min(MAX_SESSION_EXPIRY_SECS);
        let Some(session) = self.sessions.get_mut(&id) else {
            return Err(Reason::ServerBusy);
        };
        session.version = connect.version;
        session.will.clone_from(&connect.will);
        session.expiry_secs = expiry_secs;
        session.connect(generation, wake, connect.receive_max);
        Ok(Attached {
            session: id,
            generation,
            present: earlier.is_some(),
            expiry_secs,
        })
    }

    fn check_will(&mut self, user: &str, will: &Will) -> Result<(), Reason> {
        let refused = if will.qos > 1 {
            Reason::QosNotSupported
        } else if !topic::valid_topic(&will.message.topic) {
            Reason::TopicNameInvalid
        } else if !self.may_publish(user, &will.message.topic) {
            Reason::NotAuthorized
        } else {
            return Ok(());
        };
        self.counters.count(Counter::WillRefused);
        Err(refused)
    }

    /// An earlier session meets a new connection of its client.
    fn leave_behind(&mut self, id: u64, clean: bool, now: Mono) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.connection.is_some() {
            self.counters.count(Counter::TakenOver);
            session.wake();
        }
        // A delayed will is for clients that do not come back in time; this one did, unless its
        // session ends here (section 3.1.3.2.2).
        let delayed = session.connection.is_none() || session.will.as_ref().is_some_and(|w| w.delay_secs > 0);
        if delayed && !clean {
            session.will = None;
            session.will_due = None;
        }
        if clean {
            self.end_session(id, now);
        } else {
            self.publish_will(id, now);
        }
    }

    /// Ends a waiting session when there are too many, one of the same account before others.
    fn make_room(&mut self, user: &str, now: Mono) -> Result<(), Reason> {
        if self.sessions.len() < MAX_SESSIONS {
            return Ok(());
        }
        let victim = self
            .sessions
            .iter()
            .filter_map(|(id, session)| session.expires_at.map(|at| (session.user != user, at, *id)))
            .min();
        let Some((_, _, id)) = victim else {
            self.counters.count(Counter::TooManySessions);
            return Err(Reason::QuotaExceeded);
        };
        self.counters.count(Counter::SessionEvicted);
        self.end_session(id, now);
        Ok(())
    }

    /// A connection ended. Without effect when another one has taken its session.
    pub(super) fn detach(&mut self, attached: Attached, end: End, now: Mono) {
        let Some(session) = self.of(attached) else {
            return;
        };
        match end {
            End::Goodbye(expiry) => {
                session.will = None;
                // A session that was to end with its connection cannot be kept afterwards
                // (section 3.14.2.2.2).
                if let Some(expiry) = expiry.filter(|_| session.expiry_secs > 0) {
                    session.expiry_secs = expiry.min(MAX_SESSION_EXPIRY_SECS);
                }
            }
            End::Lost => {}
        }
        session.disconnect(now);
        let delay = session
            .will
            .as_ref()
            .map_or(0, |will| will.delay_secs)
            .min(session.expiry_secs);
        if session.expiry_secs == 0 {
            self.end_session(attached.session, now);
        } else if delay == 0 {
            self.publish_will(attached.session, now);
        } else {
            session.will_due = Some(now.after(Millis::from_secs(u64::from(delay))));
        }
    }

    /// The next packets for a client.
    ///
    /// # Errors
    /// Why the connection is to end.
    pub(super) fn pull(&mut self, attached: Attached, now: Mono) -> Result<Vec<Out>, Reason> {
        let Self {
            sessions,
            queued_bytes,
            counters,
            ..
        } = self;
        let session = sessions
            .get_mut(&attached.session)
            .filter(|session| session.generation == attached.generation)
            .ok_or(Reason::TakenOver)?;
        if let Some(reason) = session.closing {
            return Err(reason);
        }
        Ok(session.pull(now, MAX_BATCH, queued_bytes, counters))
    }

    /// PUBLISH from a client. Takes the packet's content unless the verdict is
    /// [`Verdict::Stall`].
    pub(super) fn publish(&mut self, attached: Attached, publish: &Publish, now: Mono) -> Verdict {
        let Some(session) = self.of(attached) else {
            return Verdict::Close(Reason::TakenOver);
        };
        let version = session.version;
        let user = session.user.clone();
        if publish.qos > 1 {
            self.counters.count(Counter::Qos2Refused);
            return Verdict::Close(Reason::QosNotSupported);
        }
        if publish.alias {
            self.counters.count(Counter::ProtocolError);
            return Verdict::Close(Reason::TopicAliasInvalid);
        }
        if !topic::valid_topic(&publish.topic) {
            self.counters.count(Counter::InvalidTopic);
            return Verdict::Close(Reason::TopicNameInvalid);
        }
        let qos1 = publish.qos == 1;
        if qos1 {
            if let Some(token) = session.owes(publish.pkid) {
                // The same id twice: sent again too early, or a mistake that would cost a message.
                if publish.dup && token.is_some() {
                    return Verdict::Done;
                }
                self.counters.count(Counter::ProtocolError);
                return Verdict::Close(Reason::ProtocolError);
            }
            if session.owed() >= usize::from(RECEIVE_MAX) {
                // MQTT 5 clients were told the limit; 3.1.1 clients are just not read further.
                if version == Version::V5 {
                    self.counters.count(Counter::ProtocolError);
                    return Verdict::Close(Reason::ReceiveMaximumExceeded);
                }
                return Verdict::Stall;
            }
        }
        if !self.may_publish(&user, &publish.topic) {
            self.counters.count(Counter::PublishRefused);
            return self.refuse_publish(attached, publish, version);
        }
        let message = Arc::new(Message {
            user: user.clone(),
            topic: publish.topic.clone(),
            payload: publish.payload.clone(),
            properties: publish.properties.clone(),
            expires_at: publish
                .expiry_secs
                .map(|secs| now.after(Millis::from_secs(u64::from(secs)))),
        });
        if publish.topic.starts_with(PREFIX) {
            self.publish_to_core(attached, &user, message, publish)
        } else {
            let kept = self.route(Some(attached.session), &message, qos1, publish.retain);
            if qos1 && let Some(session) = self.of(attached) {
                let reason = if kept {
                    Reason::Success
                } else {
                    Reason::QuotaExceeded
                };
                session.owe(publish.pkid, None, Some(reason));
            }
            Verdict::Done
        }
    }

    fn refuse_publish(&mut self, attached: Attached, publish: &Publish, version: Version) -> Verdict {
        if version == Version::V4 {
            return Verdict::Close(Reason::NotAuthorized);
        }
        if publish.qos == 1
            && let Some(session) = self.of(attached)
        {
            session.owe(publish.pkid, None, Some(Reason::NotAuthorized));
        }
        Verdict::Done
    }

    fn publish_to_core(
        &mut self,
        attached: Attached,
        user: &str,
        message: Arc<Message>,
        publish: &Publish,
    ) -> Verdict {
        if publish.qos == 0 {
            if !self.upstream.pass(user, Arc::clone(&message)) {
                self.counters.count(Counter::DroppedForCore);
            }
            self.route(Some(attached.session), &message, false, publish.retain);
            return Verdict::Done;
        }
        // Events carry a sequence number and a MAC: equal bytes are the same event.
        let event = matches!(shared::topic::parse(&message.topic), Some((_, Leaf::Event)));
        if event {
            let sessions = &self.sessions;
            let alive = |id| {
                sessions
                    .get(&id)
                    .is_some_and(|session| session.connection.is_some())
            };
            if let Some(token) = self.upstream.resent(user, attached.session, &message, alive) {
                if let Some(session) = self.of(attached) {
                    session.owe(publish.pkid, Some(token), None);
                }
                return Verdict::Done;
            }
        }
        if self.upstream.is_full(user) {
            if let Some(wake) = self.of(attached).and_then(|session| session.connection.clone()) {
                // Connections that ended since hold their end no more.
                self.stalled
                    .retain(|stalled| Arc::strong_count(stalled) > 1 && !Arc::ptr_eq(stalled, &wake));
                self.stalled.push(wake);
            }
            return Verdict::Stall;
        }
        let token = self
            .upstream
            .withhold(user, attached.session, Arc::clone(&message));
        if let Some(session) = self.of(attached) {
            session.owe(publish.pkid, Some(token), None);
        }
        self.route(Some(attached.session), &message, true, publish.retain);
        Verdict::Done
    }

    /// PUBACK from a client, or the message with this packet id cannot be sent to it.
    pub(super) fn acknowledged(&mut self, attached: Attached, pkid: u16) {
        if let Some(session) = self.of(attached) {
            session.acknowledged(pkid);
        }
    }

    /// SUBSCRIBE: one reason for each filter. Of more filters than a session may have, the rest
    /// is not even looked at: a packet holds a thousand.
    pub(super) fn subscribe(&mut self, attached: Attached, filters: &[Filter], now: Mono) -> Vec<Reason> {
        let (looked_at, rest) = filters.split_at(filters.len().min(MAX_SUBSCRIPTIONS));
        let mut reasons: Vec<Reason> = looked_at
            .iter()
            .map(|filter| self.subscribe_one(attached, filter, now))
            .collect();
        for _ in rest {
            self.counters.count(Counter::TooManySubscriptions);
            reasons.push(Reason::QuotaExceeded);
        }
        reasons
    }

    fn subscribe_one(&mut self, attached: Attached, filter: &Filter, now: Mono) -> Reason {
        let Some(session) = self.of(attached) else {
            return Reason::TakenOver;
        };
        let new = !session.subscriptions.contains_key(&filter.path);
        let full = new && session.subscriptions.len() >= MAX_SUBSCRIPTIONS;
        let user = session.user.clone();
        let (counter, reason) = if filter.path.starts_with("$share/") {
            (Counter::SubscribeRefused, Reason::SharedNotSupported)
        } else if !topic::valid_filter(&filter.path) {
            (Counter::InvalidTopic, Reason::TopicFilterInvalid)
        } else if !self.may_subscribe(&user, &filter.path) {
            (Counter::SubscribeRefused, Reason::NotAuthorized)
        } else if full {
            (Counter::TooManySubscriptions, Reason::QuotaExceeded)
        } else {
            self.add_subscription(attached, filter, new, now);
            return if filter.qos1 {
                Reason::GrantedQos1
            } else {
                Reason::Success
            };
        };
        self.counters.count(counter);
        reason
    }

    fn add_subscription(&mut self, attached: Attached, filter: &Filter, new: bool, now: Mono) {
        if filter.path.contains(['+', '#']) {
            self.wild.insert(attached.session);
        } else {
            self.exact
                .entry(filter.path.clone())
                .or_default()
                .insert(attached.session);
        }
        let Self {
            sessions,
            retained,
            counters,
            ..
        } = self;
        let Some(session) = sessions.get_mut(&attached.session) else {
            return;
        };
        session.subscriptions.insert(
            filter.path.clone(),
            Subscription {
                qos1: filter.qos1,
                no_local: filter.no_local,
                retain_as_published: filter.retain_as_published,
            },
        );
        let wanted = match filter.retained {
            RetainedWish::Always => true,
            RetainedWish::WhenNew => new,
            RetainedWish::Never => false,
        };
        if wanted {
            for (message, qos1) in retained.matching(&filter.path, now) {
                let entry = Entry {
                    message: Arc::clone(message),
                    qos1: *qos1 && filter.qos1,
                    retain: true,
                };
                session.enqueue_retained(entry, counters);
            }
        }
    }

    /// UNSUBSCRIBE: one reason for each filter.
    pub(super) fn unsubscribe(&mut self, attached: Attached, filters: &[String]) -> Vec<Reason> {
        let mut reasons = Vec::with_capacity(filters.len());
        for filter in filters {
            let Some(session) = self.of(attached) else {
                return reasons;
            };
            let existed = session.subscriptions.remove(filter).is_some();
            let still_wild = session.subscriptions.keys().any(|path| path.contains(['+', '#']));
            if existed {
                self.forget_route(attached.session, filter, still_wild);
            }
            reasons.push(if existed {
                Reason::Success
            } else {
                Reason::NoSubscriptionExisted
            });
        }
        reasons
    }

    // --- core ------------------------------------------------------------------------------

    /// A message from core.
    pub(super) fn hear(&mut self, message: ToBroker, now: Mono) {
        match message {
            ToBroker::Accounts(accounts) => self.replace_accounts(accounts, now),
            ToBroker::Settled { token } => {
                for id in self.upstream.settle(token) {
                    if let Some(session) = self.sessions.get_mut(&id) {
                        session.settle(token);
                    }
                }
                for stalled in self.stalled.drain(..) {
                    stalled.notify_one();
                }
            }
            ToBroker::Publish {
                topic,
                payload,
                at_least_once,
                retain,
            } => {
                let message = Arc::new(Message {
                    user: String::new(),
                    topic,
                    payload: Bytes::from(payload),
                    properties: None,
                    expires_at: None,
                });
                self.route(None, &message, at_least_once, retain);
            }
        }
    }

    /// Core is there.
    pub(super) fn link_up(&mut self, now: Mono) {
        let Self {
            retained, upstream, ..
        } = self;
        let own = retained
            .matching("#", now)
            .filter(|(message, _)| message.topic.starts_with(PREFIX) && !message.user.is_empty())
            .map(|(message, _)| Arc::clone(message));
        upstream.link_up(own);
    }

    /// Core is away.
    pub(super) fn link_down(&mut self) {
        self.upstream.link_down();
    }

    /// Whether [`Self::next_for_core`] has something.
    #[must_use]
    pub(super) fn has_for_core(&self) -> bool {
        self.upstream.has_next()
    }

    /// The next message for core.
    pub(super) fn next_for_core(&mut self) -> Option<FromBroker> {
        self.upstream.next()
    }

    /// What was refused and dropped, when it changed or `always`.
    pub(super) fn take_counters(&mut self, always: bool) -> Option<FromBroker> {
        self.counters.take(always).map(FromBroker::Counters)
    }

    /// One more of something the hub does not see itself; how many that makes.
    pub(super) fn count(&mut self, counter: Counter) -> u64 {
        self.counters.count(counter)
    }

    /// True once core has told us who may connect.
    #[must_use]
    pub(super) fn knows_accounts(&self) -> bool {
        self.accounts.is_some()
    }

    /// Ends expired sessions and publishes wills that are due.
    pub(super) fn tick(&mut self, now: Mono) {
        let due: Vec<u64> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.will_due.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.publish_will(id, now);
        }
        let ended: Vec<u64> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.expires_at.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            self.end_session(id, now);
        }
        self.retained.expire(now);
    }

    // --- helpers ---------------------------------------------------------------------------

    fn of(&mut self, attached: Attached) -> Option<&mut Session> {
        self.sessions
            .get_mut(&attached.session)
            .filter(|session| session.generation == attached.generation)
    }

    fn may_publish(&self, user: &str, topic: &str) -> bool {
        let account = self.accounts.as_ref().and_then(|accounts| accounts.get(user));
        account.is_some_and(|account| account.publish.iter().any(|right| topic::matches(right, topic)))
    }

    fn may_subscribe(&self, user: &str, filter: &str) -> bool {
        let account = self.accounts.as_ref().and_then(|accounts| accounts.get(user));
        account.is_some_and(|account| account.subscribe.iter().any(|right| topic::covers(right, filter)))
    }

    /// Queues a message for its subscribers, once each, and keeps it when asked to. False when
    /// it could not be kept.
    fn route(&mut self, from: Option<u64>, message: &Arc<Message>, qos1: bool, retain: bool) -> bool {
        let kept = !retain || self.retained.keep(message, qos1);
        if !kept {
            self.counters.count(Counter::RetainedRefused);
        }
        let exact = self.exact.get(&message.topic);
        let candidates: BTreeSet<u64> = exact.into_iter().flatten().chain(&self.wild).copied().collect();
        for id in candidates {
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            let wanted = session
                .subscriptions
                .iter()
                .filter(|(path, wish)| {
                    topic::matches(path, &message.topic) && !(wish.no_local && from == Some(id))
                })
                .map(|(_, wish)| (wish.qos1, wish.retain_as_published))
                .reduce(|one, other| (one.0 || other.0, one.1 || other.1));
            if let Some((wants_qos1, as_published)) = wanted {
                let entry = Entry {
                    message: Arc::clone(message),
                    qos1: qos1 && wants_qos1,
                    retain: retain && as_published,
                };
                session.enqueue(entry, &mut self.queued_bytes, &mut self.counters);
            }
        }
        kept
    }

    fn publish_will(&mut self, id: u64, now: Mono) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.will_due = None;
        let Some(will) = session.will.take() else {
            return;
        };
        let user = session.user.clone();
        // The account may have lost the right, or itself, since CONNECT.
        if !self.may_publish(&user, &will.message.topic) {
            self.counters.count(Counter::WillRefused);
            return;
        }
        let mut message = will.message;
        if let Some(secs) = will.expiry_secs {
            let expires_at = Some(now.after(Millis::from_secs(u64::from(secs))));
            message = Arc::new(Message {
                expires_at,
                ..(*message).clone()
            });
        }
        if message.topic.starts_with(PREFIX) {
            let taken = if will.qos == 0 {
                self.upstream.pass(&user, Arc::clone(&message))
            } else if self.upstream.is_full(&user) {
                false
            } else {
                self.upstream.withhold(&user, id, Arc::clone(&message));
                true
            };
            if !taken {
                self.counters.count(Counter::DroppedForCore);
            }
        }
        self.route(Some(id), &message, will.qos == 1, will.retain);
    }

    fn end_session(&mut self, id: u64, now: Mono) {
        self.publish_will(id, now);
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        session.wake();
        self.queued_bytes = self.queued_bytes.saturating_sub(session.weight());
        for filter in session.subscriptions.keys() {
            self.forget_route(id, filter, false);
        }
        self.by_key.remove(&(session.user, session.client_id));
    }

    fn forget_route(&mut self, id: u64, filter: &str, still_wild: bool) {
        if !still_wild {
            self.wild.remove(&id);
        }
        if let Some(sessions) = self.exact.get_mut(filter) {
            sessions.remove(&id);
            if sessions.is_empty() {
                self.exact.remove(filter);
            }
        }
    }

    /// Clients whose account is gone or has another password are closed; subscriptions that are
    /// no longer granted end.
    fn replace_accounts(&mut self, accounts: Vec<Account>, now: Mono) {
        let new: HashMap<String, Account> = accounts
            .into_iter()
            .map(|account| (account.user.clone(), account))
            .collect();
        let old = self.accounts.replace(new).unwrap_or_default();
        let mut gone = Vec::new();
        let mut unsubscribed = Vec::new();
        for (id, session) in &mut self.sessions {
            let before = old.get(&session.user).map(|account| account.password_sha256);
            let account = self
                .accounts
                .as_ref()
                .and_then(|accounts| accounts.get(&session.user));
            match account {
                Some(account) if Some(account.password_sha256) == before => {
                    let lost = session
                        .subscriptions
                        .keys()
                        .filter(|path| !account.subscribe.iter().any(|right| topic::covers(right, path)));
                    unsubscribed.extend(lost.map(|path| (*id, path.clone())));
                }
                _ if session.connection.is_some() => {
                    self.counters.count(Counter::AccountRevoked);
                    session.closing = Some(Reason::AdministrativeAction);
                    session.expiry_secs = 0;
                    session.wake();
                }
                _ => gone.push(*id),
            }
        }
        for (id, path) in unsubscribed {
            if let Some(session) = self.sessions.get_mut(&id) {
                let attached = Attached {
                    session: id,
                    generation: session.generation,
                    present: true,
                    expiry_secs: session.expiry_secs,
                };
                self.unsubscribe(attached, &[path]);
            }
        }
        for id in gone {
            self.end_session(id, now);
        }
    }
}

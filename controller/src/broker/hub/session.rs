//! One session: what a client subscribed to, what waits for it, what it waits for.
//!
//! ```text
//!             attach                      detach
//!  (none) ------------> connected --------------------> waiting --- expiry ---> (none)
//!                        |  ^  \                           |
//!                        |  |   `-- expiry 0: (none)       | attach (same account and id)
//!                        |  `------------------------------'
//!                        `-- attach by another connection: the generation goes up and the
//!                            earlier connection finds out at its next step
//! ```

use super::counter::{Counter, Counters};
use crate::broker::limit::{MAX_IN_FLIGHT, MAX_QUEUED, MAX_QUEUED_BYTES, MAX_RETAINED};
use crate::broker::packet::{Message, Out, Reason, Version, Will};
use room::time::{Millis, Mono};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;

/// A message for one client.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) message: Arc<Message>,
    pub(super) qos1: bool,
    pub(super) retain: bool,
}

#[derive(Debug)]
struct InFlight {
    pkid: u16,
    entry: Entry,
    /// To be sent again, with DUP, since the client came back.
    resend: bool,
}

/// A PUBLISH of the client whose PUBACK has not left.
#[derive(Debug)]
struct Owed {
    pkid: u16,
    /// What core has to settle first.
    token: Option<u64>,
    /// The answer, once it is known.
    answer: Option<Reason>,
}

/// A subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) qos1: bool,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
}

/// The session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) user: String,
    pub(super) client_id: String,
    pub(super) version: Version,
    /// Counts connections; only the latest may act.
    pub(super) generation: u64,
    /// Wakes the task of the connection; `None` while the client is away.
    pub(super) connection: Option<Arc<Notify>>,
    /// The connection is to end, and why.
    pub(super) closing: Option<Reason>,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    pub(super) will: Option<Will>,
    /// When the will of a client that is away is published.
    pub(super) will_due: Option<Mono>,
    /// Life without a connection, in seconds.
    pub(super) expiry_secs: u32,
    /// When a session without its client ends.
    pub(super) expires_at: Option<Mono>,
    /// QoS 1 messages the client takes at once.
    window: usize,
    next_pkid: u16,
    in_flight: VecDeque<InFlight>,
    from_retained: VecDeque<Entry>,
    queue: VecDeque<Entry>,
    owed: VecDeque<Owed>,
}

impl Session {
    pub(super) fn new(user: String, client_id: String, version: Version) -> Self {
        Self {
            user,
            client_id,
            version,
            generation: 0,
            connection: None,
            closing: None,
            subscriptions: BTreeMap::new(),
            will: None,
            will_due: None,
            expiry_secs: 0,
            expires_at: None,
            window: 1,
            next_pkid: 0,
            in_flight: VecDeque::new(),
            from_retained: VecDeque::new(),
            queue: VecDeque::new(),
            owed: VecDeque::new(),
        }
    }

    /// The client is there (again).
    pub(super) fn connect(&mut self, generation: u64, wake: Arc<Notify>, receive_max: u16) {
        self.generation = generation;
        self.connection = Some(wake);
        self.closing = None;
        self.will_due = None;
        self.expires_at = None;
        self.window = usize::from(receive_max.clamp(1, MAX_IN_FLIGHT));
        self.owed.clear();
        for sent in &mut self.in_flight {
            sent.resend = true;
        }
    }

    /// The client is gone.
    pub(super) fn disconnect(&mut self, now: Mono) {
        self.connection = None;
        self.closing = None;
        self.owed.clear();
        self.from_retained.clear();
        self.expires_at = Some(now.after(Millis::from_secs(u64::from(self.expiry_secs))));
    }

    pub(super) fn wake(&self) {
        if let Some(wake) = &self.connection {
            wake.notify_one();
        }
    }

    /// Bytes of all messages it holds back.
    pub(super) fn weight(&self) -> usize {
        self.queue.iter().map(|entry| entry.message.weight()).sum()
    }

    /// Queues a message. When there is no room, the oldest QoS 0 message goes, else the oldest.
    pub(super) fn enqueue(&mut self, entry: Entry, bytes: &mut usize, counters: &mut Counters) {
        if self.connection.is_none() && !entry.qos1 {
            counters.count(Counter::DroppedQos0);
            return;
        }
        let weight = entry.message.weight();
        while self.queue.len() >= MAX_QUEUED || (*bytes + weight > MAX_QUEUED_BYTES && !self.queue.is_empty())
        {
            let victim = self.queue.iter().position(|entry| !entry.qos1).unwrap_or(0);
            let Some(dropped) = self.queue.remove(victim) else {
                break;
            };
            *bytes = bytes.saturating_sub(dropped.message.weight());
            counters.count(if dropped.qos1 {
                Counter::DroppedQos1
            } else {
                Counter::DroppedQos0
            });
        }
        if *bytes + weight > MAX_QUEUED_BYTES {
            counters.count(if entry.qos1 {
                Counter::DroppedQos1
            } else {
                Counter::DroppedQos0
            });
            return;
        }
        *bytes += weight;
        self.queue.push_back(entry);
        self.wake();
    }

    /// Queues a retained message for a new subscription.
    pub(super) fn enqueue_retained(&mut self, entry: Entry, counters: &mut Counters) {
        if self.from_retained.len() < MAX_RETAINED {
            self.from_retained.push_back(entry);
            self.wake();
        } else {
            counters.count(Counter::DroppedQos0);
        }
    }

    /// PUBLISHes of the client that are not answered yet.
    pub(super) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Messages waiting for the client.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Messages the client has not acknowledged.
    #[cfg(test)]
    pub(super) fn sent(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether this packet id is not answered yet, and by which token.
    pub(super) fn owes(&self, pkid: u16) -> Option<Option<u64>> {
        self.owed
            .iter()
            .find(|owed| owed.pkid == pkid)
            .map(|owed| owed.token)
    }

    /// Answers a PUBLISH now or, with a token, once it is settled.
    pub(super) fn owe(&mut self, pkid: u16, token: Option<u64>, answer: Option<Reason>) {
        self.owed.push_back(Owed { pkid, token, answer });
        if answer.is_some() {
            self.wake();
        }
    }

    /// The token is settled.
    pub(super) fn settle(&mut self, token: u64) {
        for owed in &mut self.owed {
            if owed.token == Some(token) {
                owed.answer = Some(Reason::Success);
            }
        }
        self.wake();
    }

    /// The client has the message with this packet id.
    pub(super) fn acknowledged(&mut self, pkid: u16) {
        if let Some(index) = self.in_flight.iter().position(|sent| sent.pkid == pkid) {
            self.in_flight.remove(index);
            self.wake();
        }
    }

    /// Up to `most` packets for the client. PUBACKs leave in the order of their PUBLISHes
    /// (MQTT-4.6.0-2).
    pub(super) fn pull(
        &mut self,
        now: Mono,
        most: usize,
        bytes: &mut usize,
        counters: &mut Counters,
    ) -> Vec<Out> {
        let mut packets = Vec::new();
        while packets.len() < most
            && let Some(&Owed {
                pkid,
                answer: Some(reason),
                ..
            }) = self.owed.front()
        {
            self.owed.pop_front();
            packets.push(Out::PubAck(pkid, reason));
        }
        for sent in self.in_flight.iter_mut().filter(|sent| sent.resend) {
            if packets.len() >= most {
                return packets;
            }
            sent.resend = false;
            packets.push(publish(&sent.entry, sent.pkid, true, now));
        }
        while packets.len() < most {
            let retained = !self.from_retained.is_empty();
            let from = if retained {
                &mut self.from_retained
            } else {
                &mut self.queue
            };
            let Some(entry) = from.front() else { break };
            if entry.qos1 && self.in_flight.len() >= self.window {
                break;
            }
            let Some(entry) = from.pop_front() else { break };
            if !retained {
                *bytes = bytes.saturating_sub(entry.message.weight());
            }
            if entry.message.expires_at.is_some_and(|at| at <= now) {
                counters.count(Counter::DroppedExpired);
                continue;
            }
            if entry.qos1 {
                let pkid = self.packet_id();
                packets.push(publish(&entry, pkid, false, now));
                self.in_flight.push_back(InFlight {
                    pkid,
                    entry,
                    resend: false,
                });
            } else {
                packets.push(publish(&entry, 0, false, now));
            }
        }
        packets
    }

    /// A packet id that is not in flight; there are 65,535 and at most [`MAX_IN_FLIGHT`] are.
    fn packet_id(&mut self) -> u16 {
        loop {
            self.next_pkid = self.next_pkid.checked_add(1).unwrap_or(1);
            if self.in_flight.iter().all(|sent| sent.pkid != self.next_pkid) {
                return self.next_pkid;
            }
        }
    }
}

fn publish(entry: &Entry, pkid: u16, dup: bool, now: Mono) -> Out {
    Out::Publish {
        message: Arc::clone(&entry.message),
        pkid,
        dup,
        retain: entry.retain,
        expiry_secs: entry
            .message
            .expires_at
            .map(|at| u32::try_from(at.since(now).0.div_ceil(1000)).unwrap_or(u32::MAX)),
    }
}

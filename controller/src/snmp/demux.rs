//! Which datagram answers which question: a table of open questions, one place each.
//!
//! A question's id names its place in the table in the low bits and is random in the others, so
//! that finding a question is one look, and an answer to what was asked here before finds
//! nothing. The address must fit as well. The lock is held for a look-up only, never across an
//! await.

use super::packet::ID_MIN;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Datagrams held for one question: the answer, an answer to the packet sent again, and room
/// for two that are refused.
pub(super) const ANSWERS_HELD: usize = 4;
/// Questions open at the same time, as a power of two; more are refused, not queued.
const PLACES_BITS: u32 = 15;
/// The same as a number.
pub(super) const PLACES: usize = 1 << PLACES_BITS;

/// What was sent, refused and ignored since the client was bound.
#[derive(Debug, Default)]
pub struct Counters {
    /// Packets sent, repeated ones as well.
    pub sent: AtomicU64,
    /// Packets sent again.
    pub repeated: AtomicU64,
    /// Answers taken.
    pub answered: AtomicU64,
    /// Questions given up without an answer.
    pub timeouts: AtomicU64,
    /// Answers refused whole.
    pub refused: AtomicU64,
    /// Datagrams that answer no open question: late, repeated or foreign.
    pub unexpected: AtomicU64,
    /// Datagrams that are no SNMP.
    pub malformed: AtomicU64,
    /// Packets made smaller because an agent did not take larger ones.
    pub shrunk: AtomicU64,
    /// v3: engines discovered.
    pub discovered: AtomicU64,
    /// v3: engines that were restarted, or whose clock went forward.
    pub clock_forward: AtomicU64,
    /// v3: engines whose clock went back: boots forgotten, or set by hand.
    pub clock_back: AtomicU64,
    /// v3: Reports.
    pub reports: AtomicU64,
    /// v3: answers whose code or level is wrong.
    pub unproven: AtomicU64,
    /// v3: agents that carry the engine id of another one.
    pub shared_engines: AtomicU64,
}

impl Counters {
    /// Names and values, for the snapshot.
    #[must_use]
    pub fn list(&self) -> [(&'static str, u64); 14] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("snmp.sent", get(&self.sent)),
            ("snmp.repeated", get(&self.repeated)),
            ("snmp.answered", get(&self.answered)),
            ("snmp.timeouts", get(&self.timeouts)),
            ("snmp.refused", get(&self.refused)),
            ("snmp.unexpected", get(&self.unexpected)),
            ("snmp.malformed", get(&self.malformed)),
            ("snmp.shrunk", get(&self.shrunk)),
            ("snmp.v3_discovered", get(&self.discovered)),
            ("snmp.v3_clock_forward", get(&self.clock_forward)),
            ("snmp.v3_clock_back", get(&self.clock_back)),
            ("snmp.v3_reports", get(&self.reports)),
            ("snmp.v3_unproven", get(&self.unproven)),
            ("snmp.v3_shared_engines", get(&self.shared_engines)),
        ]
    }
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Datagrams that came for one question, and who waits for them.
#[derive(Debug, Default)]
struct Inbox {
    state: Mutex<InboxState>,
}

#[derive(Debug, Default)]
struct InboxState {
    datagrams: VecDeque<Vec<u8>>,
    waiting: Option<Waker>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        // Whole between any two statements, so a panic elsewhere left it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open question.
#[derive(Debug)]
struct Place {
    addr: SocketAddr,
    id: i32,
    is_open: bool,
    inbox: Arc<Inbox>,
}

/// Open questions, and places that are free.
#[derive(Debug, Default)]
struct Table {
    places: Vec<Place>,
    free: Vec<usize>,
}

/// The table with its counters.
#[derive(Debug, Default)]
pub(super) struct Demux {
    table: Mutex<Table>,
    pub(super) counters: Counters,
}

impl Demux {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // Whole between any two statements, so a panic elsewhere left it usable.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a question to an agent; `None` when too many are open.
    pub(super) fn open(&self, addr: SocketAddr) -> Option<Open<'_>> {
        let addr = plain(addr);
        let low = ID_MIN >> PLACES_BITS;
        let random = rand::random_range(low..=i32::MAX >> PLACES_BITS);
        let mut table = self.lock();
        let at = match table.free.pop() {
            Some(at) => at,
            None if table.places.len() == PLACES => return None,
            None => {
                table.places.push(Place {
                    addr,
                    id: 0,
                    is_open: false,
                    inbox: Arc::default(),
                });
                table.places.len() - 1
            }
        };
        let id = random << PLACES_BITS | i32::try_from(at).expect("fewer places than ids");
        let place = &mut table.places[at];
        place.addr = addr;
        place.id = id;
        place.is_open = true;
        let inbox = Arc::clone(&place.inbox);
        Some(Open {
            demux: self,
            id,
            inbox,
        })
    }

    /// Takes what came from the network.
    pub(super) fn deliver(&self, from: SocketAddr, datagram: &[u8]) {
        let Some(id) = super::answer::message_id(datagram) else {
            count(&self.counters.malformed);
            return;
        };
        let inbox = {
            let table = self.lock();
            let place = table.places.get(place_of(id));
            place
                .filter(|place| place.is_open && place.id == id && place.addr == plain(from))
                .map(|place| Arc::clone(&place.inbox))
        };
        let taken = inbox.is_some_and(|inbox| {
            let mut state = inbox.lock();
            if state.datagrams.len() >= ANSWERS_HELD {
                return false;
            }
            state.datagrams.push_back(datagram.to_vec());
            let waiting = state.waiting.take();
            drop(state);
            if let Some(waiting) = waiting {
                waiting.wake();
            }
            true
        });
        if !taken {
            count(&self.counters.unexpected);
        }
    }
}

fn place_of(id: i32) -> usize {
    usize::try_from(id & ((1 << PLACES_BITS) - 1)).expect("masked, so not negative")
}

/// An address as answers carry it: flow information and scope are not part of who somebody is,
/// except for link-local addresses, whose scope the kernel fills in on both ways.
fn plain(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(mut v6) => {
            v6.set_flowinfo(0);
            SocketAddr::V6(v6)
        }
        v4 @ SocketAddr::V4(_) => v4,
    }
}

/// Keeps a question open; dropped, whatever still comes for it is unexpected.
#[derive(Debug)]
pub(super) struct Open<'a> {
    demux: &'a Demux,
    /// What the answer must carry.
    pub(super) id: i32,
    inbox: Arc<Inbox>,
}

impl Open<'_> {
    /// The next datagram. Cancel-safe: what was not taken stays for the next call.
    pub(super) async fn next(&self) -> Vec<u8> {
        poll_fn(|context| {
            let mut state = self.inbox.lock();
            match state.datagrams.pop_front() {
                Some(datagram) => Poll::Ready(datagram),
                None => {
                    match &mut state.waiting {
                        Some(waiting) => waiting.clone_from(context.waker()),
                        none => *none = Some(context.waker().clone()),
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let at = place_of(self.id);
        let mut table = self.demux.lock();
        table.places[at].is_open = false;
        // Under the table's lock: nothing is delivered between closing and emptying. A delivery
        // that found the place just before may still come after this; the next question at this
        // place refuses it by its id.
        let mut state = self.inbox.lock();
        state.datagrams.clear();
        state.waiting = None;
        drop(state);
        table.free.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snmp::packet::{Packet, Question};
    use crate::snmp::{Access, Oid};
    use room::site::Secret;

    fn datagram(id: i32) -> Vec<u8> {
        let oid: Oid = "1.3.6.1".parse().unwrap();
        let packet = Packet::new(&Access::V2c(Secret("c".to_owned())), Question::Get, &[oid]);
        let mut bytes = Vec::new();
        packet.write(id, &mut bytes);
        bytes
    }

    fn unexpected(demux: &Demux) -> u64 {
        demux.counters.unexpected.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_question_gets_what_carries_its_id_from_its_address_only() {
        let demux = Demux::default();
        let addr: SocketAddr = "192.0.2.1:161".parse().unwrap();
        let open = demux.open(addr).unwrap();
        assert!(open.id >= ID_MIN);
        demux.deliver("192.0.2.1:162".parse().unwrap(), &datagram(open.id));
        demux.deliver("192.0.2.2:161".parse().unwrap(), &datagram(open.id));
        demux.deliver(addr, &datagram(open.id ^ 1));
        demux.deliver(addr, &datagram(open.id ^ 1 << 20));
        assert_eq!(unexpected(&demux), 4);
        demux.deliver(addr, b"garbage");
        assert_eq!(demux.counters.malformed.load(Ordering::Relaxed), 1);
        demux.deliver(addr, &datagram(open.id));
        assert_eq!(open.next().await, datagram(open.id));
    }

    #[tokio::test]
    async fn a_flood_is_cut_and_a_closed_question_takes_nothing() {
        let demux = Demux::default();
        let addr: SocketAddr = "[2001:db8::1]:161".parse().unwrap();
        let open = demux.open(addr).unwrap();
        let id = open.id;
        for _ in 0..100 {
            demux.deliver(addr, &datagram(id));
        }
        assert_eq!(unexpected(&demux), 100 - ANSWERS_HELD as u64);
        drop(open);
        demux.deliver(addr, &datagram(id));
        assert_eq!(unexpected(&demux), 101 - ANSWERS_HELD as u64);
        let next = demux.open(addr).unwrap();
        assert_eq!(place_of(next.id), place_of(id), "the place is used again");
        assert!(next.inbox.lock().datagrams.is_empty());
    }

    #[test]
    fn there_is_an_end_to_open_questions() {
        let demux = Demux::default();
        let addr: SocketAddr = "192.0.2.1:161".parse().unwrap();
        let all: Vec<Open<'_>> = (0..PLACES).map(|_| demux.open(addr).unwrap()).collect();
        assert!(demux.open(addr).is_none());
        drop(all);
        assert!(demux.open(addr).is_some());
    }
}

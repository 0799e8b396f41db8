//! The hub without sockets: random histories against a small model, and each limit.
#![allow(clippy::unwrap_used, reason = "a test")]

use super::*;
use crate::broker::limit::{MAX_IN_FLIGHT, MAX_QUEUED, MAX_UNSETTLED, MAX_UNSETTLED_PER_USER};
use futures_util::FutureExt as _;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn account(user: &str, publish: &[&str], subscribe: &[&str]) -> Account {
    Account {
        user: user.to_owned(),
        password_sha256: [7; 32],
        publish: publish.iter().map(|right| (*right).to_owned()).collect(),
        subscribe: subscribe.iter().map(|right| (*right).to_owned()).collect(),
    }
}

fn accounts(users: &[&str]) -> ToBroker {
    ToBroker::Accounts(
        users
            .iter()
            .map(|user| account(user, &["fac/#", "p/#"], &["#"]))
            .collect(),
    )
}

fn connect(user: &str, version: Version, clean: bool, session_expiry: u32) -> Connect {
    Connect {
        version,
        client_id: "set by the caller".to_owned(),
        clean,
        keep_alive: 10,
        session_expiry,
        receive_max: u16::MAX,
        max_packet: usize::MAX,
        user: user.to_owned(),
        password: String::new().into(),
        will: None,
        extended_authentication: false,
    }
}

fn publish(topic: &str, qos: u8, pkid: u16, payload: impl Into<Bytes>) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: topic.to_owned(),
        pkid,
        payload: payload.into(),
        properties: None,
        expiry_secs: None,
        alias: false,
    }
}

fn wish(path: &str) -> Filter {
    Filter {
        path: path.to_owned(),
        qos1: true,
        no_local: false,
        retain_as_published: false,
        retained: RetainedWish::Always,
    }
}

fn hub() -> Hub {
    let mut hub = Hub::default();
    hub.hear(accounts(&["a", "b"]), Mono(0));
    hub
}

fn attach(hub: &mut Hub, user: &str, id: &str, expiry: u32, now: Mono) -> Attached {
    let connect = connect(user, Version::V5, false, expiry);
    hub.attach(&connect, id, Arc::new(Notify::new()), now).unwrap()
}

impl Hub {
    /// What holds between any two calls.
    fn check(&self) {
        let weight: usize = self.sessions.values().map(Session::weight).sum();
        assert_eq!(self.queued_bytes, weight, "bytes of the queues");
        assert_eq!(self.by_key.len(), self.sessions.len());
        for ((user, client_id), id) in &self.by_key {
            let session = &self.sessions[id];
            assert_eq!((&session.user, &session.client_id), (user, client_id));
        }
        let mut exact: HashMap<String, BTreeSet<u64>> = HashMap::new();
        let mut wild = BTreeSet::new();
        for (id, session) in &self.sessions {
            assert!(session.subscriptions.len() <= MAX_SUBSCRIPTIONS);
            assert!(session.owed() <= usize::from(RECEIVE_MAX));
            assert!(session.waiting() <= MAX_QUEUED);
            assert!(session.sent() <= usize::from(MAX_IN_FLIGHT));
            assert_eq!(session.expires_at.is_none(), session.connection.is_some());
            for path in session.subscriptions.keys() {
                if path.contains(['+', '#']) {
                    wild.insert(*id);
                } else {
                    exact.entry(path.clone()).or_default().insert(*id);
                }
            }
        }
        assert_eq!(self.exact, exact);
        assert_eq!(self.wild, wild);
        assert!(self.upstream.unsettled() <= MAX_UNSETTLED);
    }
}

/// A step of a random history. Numbers choose among what exists.
#[derive(Debug, Clone)]
enum Step {
    Attach {
        user: &'static str,
        id: &'static str,
        five: bool,
        clean: bool,
        expiry: u32,
        will: Option<u32>,
    },
    Detach(usize, bool),
    Event(usize, bool),
    Publish(usize, &'static str, u8, bool, usize),
    Subscribe(usize, &'static str),
    Unsubscribe(usize, &'static str),
    Pull(usize),
    Acknowledge(usize, u16),
    ForCore(usize),
    Settle(usize),
    LinkUp,
    LinkDown,
    Later(u64),
    Accounts(&'static [&'static str]),
}

const ACCOUNTS: &[&[&str]] = &[&["a"], &["a", "b"], &[]];

fn step() -> impl Strategy<Value = Step> {
    use proptest::sample::select;
    let user = || select(&["a", "b"][..]);
    let topic = || select(&["p/x", "p/y", "fac/v1/1/t", "fac/v1/1/up", "q", "p/+", ""][..]);
    let filter = || select(&["p/x", "p/+", "#", "fac/v1/+/ev", "a#", "q"][..]);
    let attach = (
        user(),
        select(&["one", "two", "three"][..]),
        any::<bool>(),
        any::<bool>(),
        select(&[0, 5, 600][..]),
        proptest::option::of(select(&[0, 2][..])),
    );
    prop_oneof![
        4 => attach.prop_map(|(user, id, five, clean, expiry, will)| Step::Attach {
            user, id, five, clean, expiry, will
        }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(at, goodbye)| Step::Detach(at, goodbye)),
        8 => (any::<usize>(), any::<bool>()).prop_map(|(at, again)| Step::Event(at, again)),
        8 => (any::<usize>(), topic(), 0..3_u8, any::<bool>(), 0..600_usize)
            .prop_map(|(at, topic, qos, retain, size)| Step::Publish(at, topic, qos, retain, size)),
        4 => (any::<usize>(), filter()).prop_map(|(at, filter)| Step::Subscribe(at, filter)),
        1 => (any::<usize>(), filter()).prop_map(|(at, filter)| Step::Unsubscribe(at, filter)),
        6 => any::<usize>().prop_map(Step::Pull),
        4 => (any::<usize>(), 0..20_u16).prop_map(|(at, pkid)| Step::Acknowledge(at, pkid)),
        6 => (0..40_usize).prop_map(Step::ForCore),
        6 => any::<usize>().prop_map(Step::Settle),
        1 => Just(Step::LinkUp),
        1 => Just(Step::LinkDown),
        2 => (0..4000_u64).prop_map(Step::Later),
        1 => select(ACCOUNTS).prop_map(Step::Accounts),
    ]
}

/// What must be true of events whatever happens.
#[derive(Default)]
struct Model {
    now: u64,
    /// Connections that are not known to have ended.
    connections: Vec<Attached>,
    next_event: u32,
    next_pkid: u16,
    /// Events the hub took, in the order it took them.
    taken: Vec<Bytes>,
    /// Unanswered publishes by connection and packet id.
    sent: HashMap<(u64, u16), Bytes>,
    /// At core, not settled.
    at_core: BTreeMap<u64, Bytes>,
    seen_by_core: Vec<Bytes>,
    settled: BTreeSet<Bytes>,
}

impl Model {
    fn pick(&self, at: usize) -> Option<Attached> {
        (!self.connections.is_empty()).then(|| self.connections[at % self.connections.len()])
    }

    fn event(&mut self, hub: &mut Hub, at: usize, again: bool) {
        let Some(attached) = self.pick(at) else { return };
        let again = again.then(|| self.taken.last().cloned()).flatten();
        let payload = again.unwrap_or_else(|| {
            self.next_event += 1;
            Bytes::from(self.next_event.to_string())
        });
        self.next_pkid = self.next_pkid.checked_add(1).unwrap_or(1);
        let packet = publish("fac/v1/1/ev", 1, self.next_pkid, payload.clone());
        let user = hub
            .of(attached)
            .map(|session| session.user.clone())
            .unwrap_or_default();
        match hub.publish(attached, &packet, Mono(self.now)) {
            // Without the right to it, it is answered and not taken.
            Verdict::Done if hub.may_publish(&user, "fac/v1/1/ev") => {
                self.sent
                    .insert((attached.generation, self.next_pkid), payload.clone());
                if !self.taken.contains(&payload) {
                    self.taken.push(payload);
                }
            }
            Verdict::Done | Verdict::Stall => {}
            Verdict::Close(_) => self.end(hub, attached),
        }
    }

    fn end(&mut self, hub: &mut Hub, attached: Attached) {
        hub.detach(attached, End::Lost, Mono(self.now));
        self.connections.retain(|other| *other != attached);
    }

    /// True when there were packets.
    fn pull(&mut self, hub: &mut Hub, attached: Attached) -> bool {
        let Ok(packets) = hub.pull(attached, Mono(self.now)) else {
            self.end(hub, attached);
            return false;
        };
        let some = !packets.is_empty();
        for packet in packets {
            if let Out::PubAck(pkid, Reason::Success) = packet
                && let Some(payload) = self.sent.remove(&(attached.generation, pkid))
            {
                assert!(
                    self.settled.contains(&payload),
                    "PUBACK before core settled {payload:?}"
                );
            }
        }
        some
    }

    fn for_core(&mut self, hub: &mut Hub, most: usize) {
        for _ in 0..most {
            let Some(FromBroker::Publish {
                token,
                topic,
                payload,
                at_least_once,
                ..
            }) = hub.next_for_core()
            else {
                return;
            };
            if at_least_once {
                let payload = Bytes::from(payload);
                self.at_core.insert(token, payload.clone());
                if topic == "fac/v1/1/ev" && !self.seen_by_core.contains(&payload) {
                    self.seen_by_core.push(payload);
                }
            }
        }
    }

    fn settle(&mut self, hub: &mut Hub, at: usize) {
        let Some((&token, _)) = self.at_core.iter().nth(at % self.at_core.len().max(1)) else {
            return;
        };
        self.settled.extend(self.at_core.remove(&token));
        hub.hear(ToBroker::Settled { token }, Mono(self.now));
    }

    fn take(&mut self, hub: &mut Hub, step: Step) {
        let now = Mono(self.now);
        match step {
            Step::Attach {
                user,
                id,
                five,
                clean,
                expiry,
                will,
            } => {
                let version = if five { Version::V5 } else { Version::V4 };
                let mut connect = connect(user, version, clean, expiry);
                connect.will = will.map(|delay_secs| Will {
                    message: Arc::new(Message {
                        user: String::new(),
                        topic: "fac/v1/1/up".to_owned(),
                        payload: Bytes::from_static(b"0"),
                        properties: None,
                        expires_at: None,
                    }),
                    qos: 1,
                    retain: true,
                    delay_secs,
                    expiry_secs: None,
                });
                if let Ok(attached) = hub.attach(&connect, id, Arc::new(Notify::new()), now) {
                    self.connections.push(attached);
                }
            }
            Step::Detach(at, goodbye) => {
                if let Some(attached) = self.pick(at) {
                    if goodbye {
                        hub.detach(attached, End::Goodbye(Some(5)), now);
                    }
                    self.end(hub, attached);
                }
            }
            Step::Event(at, again) => self.event(hub, at, again),
            Step::Publish(at, topic, qos, retain, size) => {
                if let Some(attached) = self.pick(at) {
                    self.next_pkid = self.next_pkid.checked_add(1).unwrap_or(1);
                    let pkid = if qos == 0 { 0 } else { self.next_pkid };
                    let mut packet = publish(topic, qos, pkid, vec![b'x'; size]);
                    packet.retain = retain;
                    if let Verdict::Close(_) = hub.publish(attached, &packet, now) {
                        self.end(hub, attached);
                    }
                }
            }
            Step::Subscribe(at, filter) => {
                if let Some(attached) = self.pick(at) {
                    hub.subscribe(attached, &[wish(filter)], now);
                }
            }
            Step::Unsubscribe(at, filter) => {
                if let Some(attached) = self.pick(at) {
                    hub.unsubscribe(attached, &[filter.to_owned()]);
                }
            }
            Step::Pull(at) => {
                if let Some(attached) = self.pick(at) {
                    self.pull(hub, attached);
                }
            }
            Step::Acknowledge(at, pkid) => {
                if let Some(attached) = self.pick(at) {
                    hub.acknowledged(attached, pkid);
                }
            }
            Step::ForCore(most) => self.for_core(hub, most),
            Step::Settle(at) => self.settle(hub, at),
            Step::LinkUp => {
                self.at_core.clear();
                hub.link_up(now);
            }
            Step::LinkDown => hub.link_down(),
            Step::Later(span) => {
                self.now += span;
                hub.tick(Mono(self.now));
            }
            Step::Accounts(users) => hub.hear(accounts(users), now),
        }
    }

    /// The faults stop: core is there, reads everything, settles everything.
    fn calm(&mut self, hub: &mut Hub) {
        hub.hear(accounts(&["a", "b"]), Mono(self.now));
        hub.link_up(Mono(self.now));
        self.at_core.clear();
        // Connections that were to be closed find out, and their wills go to core too.
        for attached in self.connections.clone() {
            self.pull(hub, attached);
        }
        self.for_core(hub, usize::MAX);
        while !self.at_core.is_empty() {
            self.settle(hub, 0);
        }
        for attached in self.connections.clone() {
            while self.pull(hub, attached) {}
            if let Some(session) = hub.of(attached) {
                assert_eq!(session.owed(), 0, "a PUBACK never left");
            }
        }
        assert_eq!(hub.upstream.unsettled(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn no_history_loses_an_event_or_acknowledges_it_too_early(
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        let mut hub = hub();
        let mut model = Model::default();
        hub.link_up(Mono(0));
        for step in steps {
            model.take(&mut hub, step);
            hub.check();
        }
        model.calm(&mut hub);
        hub.check();
        prop_assert_eq!(&model.seen_by_core, &model.taken, "every event, in order");
    }
}

#[test]
fn a_full_queue_drops_the_oldest_qos_0_first() {
    let mut hub = hub();
    let now = Mono(0);
    let reader = attach(&mut hub, "a", "reader", 600, now);
    hub.subscribe(reader, &[wish("p/#")], now);
    let writer = attach(&mut hub, "a", "writer", 0, now);
    let number = |index: usize| Bytes::from(index.to_string());
    for index in 0..MAX_QUEUED {
        let qos = u8::from(index != 5);
        hub.publish(
            writer,
            &publish("p/x", qos, u16::try_from(index + 1).unwrap(), number(index)),
            now,
        );
        hub.pull(writer, now).unwrap();
    }
    for index in 0..2 {
        hub.publish(writer, &publish("p/x", 1, 9999, number(MAX_QUEUED + index)), now);
        hub.pull(writer, now).unwrap();
    }
    // First the one of QoS 0, then, with none left, the oldest.
    let mut got: Vec<usize> = Vec::new();
    while got.len() < MAX_QUEUED {
        for packet in hub.pull(reader, now).unwrap() {
            let Out::Publish { message, pkid, .. } = packet else {
                panic!()
            };
            got.push(
                String::from_utf8(message.payload.to_vec())
                    .unwrap()
                    .parse()
                    .unwrap(),
            );
            hub.acknowledged(reader, pkid);
        }
    }
    let expected: Vec<usize> = (1..MAX_QUEUED + 2).filter(|index| *index != 5).collect();
    assert_eq!(got, expected);
    let Some(FromBroker::Counters(counters)) = hub.take_counters(false) else {
        panic!()
    };
    let count = |wanted: &str| counters.iter().find(|(name, _)| name == wanted).unwrap().1;
    assert_eq!((count("dropped_qos0"), count("dropped_qos1")), (1, 1));
    hub.check();
}

#[test]
fn sessions_end_by_expiry_and_by_number() {
    let mut hub = hub();
    let first = attach(&mut hub, "a", "first", 10, Mono(0));
    hub.subscribe(first, &[wish("p/#")], Mono(0));
    hub.detach(first, End::Lost, Mono(0));
    hub.tick(Mono(9_999));
    assert_eq!(hub.sessions.len(), 1);
    hub.tick(Mono(10_000));
    assert!(hub.sessions.is_empty());
    hub.check();

    // One account makes as many sessions as it likes; another's waiting session survives.
    let precious = attach(&mut hub, "b", "precious", 1, Mono(0));
    hub.detach(precious, End::Lost, Mono(0));
    for index in 0..MAX_SESSIONS {
        let session = attach(&mut hub, "a", &index.to_string(), 600, Mono(0));
        hub.detach(session, End::Lost, Mono(0));
    }
    assert_eq!(hub.sessions.len(), MAX_SESSIONS);
    assert!(attach(&mut hub, "b", "precious", 1, Mono(0)).present);
    hub.check();
}

#[test]
fn subscriptions_are_bounded() {
    let mut hub = hub();
    let client = attach(&mut hub, "a", "client", 0, Mono(0));
    for index in 0..MAX_SUBSCRIPTIONS {
        let reasons = hub.subscribe(client, &[wish(&format!("p/{index}"))], Mono(0));
        assert_eq!(reasons, [Reason::GrantedQos1]);
    }
    assert_eq!(
        hub.subscribe(client, &[wish("p/more")], Mono(0)),
        [Reason::QuotaExceeded]
    );
    assert_eq!(
        hub.subscribe(client, &[wish("p/0")], Mono(0)),
        [Reason::GrantedQos1]
    );
    hub.check();
}

#[test]
fn a_subscribe_packet_of_a_thousand_filters_is_cut_short() {
    let mut hub = hub();
    let client = attach(&mut hub, "a", "client", 0, Mono(0));
    let same: Vec<Filter> = (0..1000).map(|_| wish("#")).collect();
    let reasons = hub.subscribe(client, &same, Mono(0));
    assert_eq!(reasons.len(), 1000);
    let granted = reasons.iter().filter(|reason| **reason == Reason::GrantedQos1);
    assert_eq!(granted.count(), MAX_SUBSCRIPTIONS);
    hub.check();
}

#[test]
fn a_stalled_client_is_woken_when_core_settles() {
    let mut hub = hub();
    hub.link_up(Mono(0));
    let mut tokens = 0;
    let mut pkid = 0;
    let mut stalled = None;
    // Several connections of one account share its room.
    'all: for id in 0..100 {
        let wake = Arc::new(Notify::new());
        let connect = connect("a", Version::V4, true, 0);
        let client = hub
            .attach(&connect, &id.to_string(), Arc::clone(&wake), Mono(0))
            .unwrap();
        for _ in 0..RECEIVE_MAX {
            pkid += 1;
            let packet = publish("fac/v1/1/ev", 1, pkid, pkid.to_string());
            if hub.publish(client, &packet, Mono(0)) == Verdict::Stall {
                stalled = Some((client, packet, wake));
                break 'all;
            }
            tokens += 1;
        }
    }
    assert_eq!(tokens, MAX_UNSETTLED_PER_USER);
    let (client, packet, wake) = stalled.unwrap();
    let Some(FromBroker::Publish { token, .. }) = hub.next_for_core() else {
        panic!()
    };
    hub.hear(ToBroker::Settled { token }, Mono(0));
    assert!(wake.notified().now_or_never().is_some());
    assert_eq!(hub.publish(client, &packet, Mono(0)), Verdict::Done);
    hub.check();
}

//! The client against the simulated UPS, which has an encoder of its own.

use super::*;
use simroom::ups::{Fault, Mib, Model, Ups};
use std::sync::atomic::Ordering;

const COMMUNITY: &str = "room";
const CHARGE: &str = "1.3.6.1.2.1.33.1.2.4.0";
const SOURCE: &str = "1.3.6.1.2.1.33.1.4.1.0";
const ABSENT: &str = "1.3.6.1.2.1.33.1.99.0";

/// The community versions.
#[derive(Debug, Clone, Copy)]
enum SnmpVersion {
    V1,
    V2c,
}

fn oids(texts: &[&str]) -> Vec<Oid> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

async fn ups(mib: Mib) -> Ups {
    Ups::start(Model::rack_1500("S1"), mib, COMMUNITY).await.unwrap()
}

fn target(ups: &Ups, version: SnmpVersion) -> Target {
    let community = Secret(COMMUNITY.to_owned());
    let access = match version {
        SnmpVersion::V1 => Access::V1(community),
        SnmpVersion::V2c => Access::V2c(community),
    };
    Target::new(ups.addr, access, Duration::from_millis(150), 2)
}

fn values(answer: &[(Oid, Value)]) -> Vec<Value> {
    answer.iter().map(|(_, value)| value.clone()).collect()
}

#[tokio::test]
async fn both_versions_read_values_and_what_is_not_there() {
    let ups = ups(Mib::Rfc1628).await;
    let client = Client::bind().await.unwrap();
    let asked = oids(&[ABSENT, CHARGE, ABSENT, SOURCE]);
    for version in [SnmpVersion::V1, SnmpVersion::V2c] {
        let answer = client.get(&target(&ups, version), &asked).await.unwrap();
        assert_eq!(
            answer.iter().map(|(oid, _)| oid.clone()).collect::<Vec<_>>(),
            asked
        );
        assert_eq!(
            values(&answer),
            [
                Value::NoSuchObject,
                Value::Integer(100),
                Value::NoSuchObject,
                Value::Integer(3)
            ],
            "{version:?}"
        );
    }
    let target = target(&ups, SnmpVersion::V2c);
    assert_eq!(client.get(&target, &[]).await.unwrap(), []);
    let many = vec![asked[0].clone(); VARIABLES_MAX + 1];
    let refused = client.get(&target, &many).await;
    assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
}

/// Measured elsewhere: one reply after its time-out made every later poll of a session fail.
#[tokio::test]
async fn a_late_reply_neither_fails_nor_falsifies_the_next_question() {
    let ups = ups(Mib::Rfc1628).await;
    let client = Client::bind().await.unwrap();
    let patient = target(&ups, SnmpVersion::V2c);
    let hasty = Target {
        timeout: Duration::from_millis(60),
        retries: 0,
        ..patient.clone()
    };
    ups.fault(Fault::DelayOne(Duration::from_millis(200)));
    let late = client.get(&hasty, &oids(&[CHARGE])).await;
    assert!(matches!(late, Err(Error::Timeout { tries: 1, .. })), "{late:?}");
    // The late answer, to another question, arrives while these are asked.
    let mut rounds = 0;
    while client.counters().unexpected.load(Ordering::Relaxed) == 0 {
        let answer = client.get(&patient, &oids(&[SOURCE])).await.unwrap();
        assert_eq!(values(&answer), [Value::Integer(3)]);
        rounds += 1;
        assert!(rounds < 100_000, "the late reply never came");
    }
    let answer = client.get(&patient, &oids(&[SOURCE])).await.unwrap();
    assert_eq!(values(&answer), [Value::Integer(3)]);
}

#[tokio::test]
async fn a_lost_packet_is_sent_again_and_silence_ends() {
    let ups = ups(Mib::Rfc1628).await;
    let client = Client::bind().await.unwrap();
    let target = target(&ups, SnmpVersion::V2c);
    ups.fault(Fault::Drop(2));
    assert!(client.get(&target, &oids(&[CHARGE])).await.is_ok());
    assert_eq!(client.counters().repeated.load(Ordering::Relaxed), 2);
    ups.fault(Fault::Silent(true));
    let hasty = Target {
        timeout: Duration::from_millis(20),
        ..target
    };
    let silent = client.get(&hasty, &oids(&[CHARGE])).await;
    assert!(
        matches!(silent, Err(Error::Timeout { tries: 3, .. })),
        "{silent:?}"
    );
}

#[tokio::test]
async fn answers_without_variables_or_in_another_order_are_refused_and_asked_again() {
    let ups = ups(Mib::Rfc1628).await;
    let client = Client::bind().await.unwrap();
    let target = Target {
        timeout: Duration::from_millis(40),
        ..target(&ups, SnmpVersion::V2c)
    };
    for fault in [Fault::ZeroVariables(1), Fault::Reordered(1), Fault::Garbage(1)] {
        ups.fault(fault);
        let answer = client.get(&target, &oids(&[CHARGE, SOURCE])).await.unwrap();
        assert_eq!(
            values(&answer),
            [Value::Integer(100), Value::Integer(3)],
            "{fault:?}"
        );
    }
    assert_eq!(client.counters().refused.load(Ordering::Relaxed), 2);
    assert_eq!(client.counters().malformed.load(Ordering::Relaxed), 1);
    ups.fault(Fault::ZeroVariables(u32::MAX));
    let refused = client.get(&target, &oids(&[CHARGE, SOURCE])).await;
    assert!(
        matches!(
            refused,
            Err(Error::Refused {
                refusal: Refusal::Count { asked: 2, got: 0 },
                ..
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_device_with_small_packets_is_asked_in_smaller_ones() {
    let ups = ups(Mib::Rfc1628).await;
    let client = Client::bind().await.unwrap();
    let target = target(&ups, SnmpVersion::V2c);
    let library = room::profile::Library::builtin();
    let mut plan = Plan::new(&target, &library.get("rfc1628").unwrap().layout(&[]).oids());
    let whole = client.ask(&mut plan).await.unwrap();
    ups.fault(Fault::ReplyMax(200));
    assert_eq!(client.ask(&mut plan).await.unwrap(), whole);
    // It has learnt: the same again takes only packets that fit.
    let before = ups.requests();
    assert_eq!(client.ask(&mut plan).await.unwrap(), whole);
    let learnt = ups.requests() - before;
    assert_eq!(client.ask(&mut plan).await.unwrap(), whole);
    assert_eq!(ups.requests() - before, 2 * learnt);
    // An agent that can answer nothing at all costs a bounded number of packets.
    ups.fault(Fault::ReplyMax(0));
    let result = client.ask(&mut plan).await.unwrap();
    assert!(
        result
            .iter()
            .all(|value| *value == Value::DeviceError(1) || !value.is_present())
    );
}

#[tokio::test]
async fn a_v1_device_is_not_asked_again_for_what_it_lacks() {
    let ups = ups(Mib::Rfc1628).await;
    let client = Client::bind().await.unwrap();
    let library = room::profile::Library::builtin();
    let mut plan = Plan::new(
        &target(&ups, SnmpVersion::V1),
        &library.get("rfc1628").unwrap().layout(&[]).oids(),
    );
    let first = client.ask(&mut plan).await.unwrap();
    let before = ups.requests();
    let second = client.ask(&mut plan).await.unwrap();
    assert_eq!(first.len(), second.len());
    assert!(
        ups.requests() - before <= 3,
        "{} packets",
        ups.requests() - before
    );
    plan.ask_all();
    let before = ups.requests();
    assert_eq!(client.ask(&mut plan).await.unwrap().len(), first.len());
    assert!(ups.requests() - before > 10);
}

/// Each variable that a v1 device lacks costs a packet, so a slow card cannot be learnt within
/// the deadline of one reading; what was learnt until then must not be lost.
#[tokio::test]
async fn a_slow_v1_device_is_learnt_over_several_readings() {
    let ups = ups(Mib::PowerNet).await;
    ups.fault(Fault::DelayEach(Duration::from_millis(30)));
    let target = Target {
        timeout: Duration::from_millis(60),
        retries: 0,
        ..target(&ups, SnmpVersion::V1)
    };
    let library = std::sync::Arc::new(room::profile::Library::builtin());
    let client = Client::bind().await.unwrap();
    let mut session = Session::new(client, library, target, Wanted::Named("rfc1628".to_owned()));
    let mut failed = 0;
    // It has nothing of this profile, and to find that out takes a packet for every variable.
    while session.read().await == Err(room::device::PollFailure::Timeout) {
        failed += 1;
        assert!(failed < 50, "it never learns");
    }
    assert!(failed > 0, "it was not slow");
    assert_eq!(session.read().await, Err(room::device::PollFailure::NoProfile));
}

#[tokio::test]
async fn walks_read_a_tree_and_end() {
    let ups = ups(Mib::PowerNet).await;
    let client = Client::bind().await.unwrap();
    let root: Oid = "1.3.6.1.4.1.318".parse().unwrap();
    let mut sizes = Vec::new();
    for version in [SnmpVersion::V1, SnmpVersion::V2c] {
        let target = target(&ups, version);
        let rows = client.walk(&target, &root, 1000).await.unwrap();
        assert!(rows.iter().all(|(oid, _)| oid.is_under(&root)));
        sizes.push(rows.len());
        let limited = client.walk(&target, &root, 5).await;
        assert!(
            matches!(limited, Err(Error::Limit { limit: 5, .. })),
            "{limited:?}"
        );
        let (next, _) = client
            .get_next(&target, &"1.3.6.1.2.1.1".parse().unwrap())
            .await
            .unwrap();
        assert_eq!(next.to_string(), "1.3.6.1.2.1.1.1.0");
        let (_, end) = client
            .get_next(&target, &"1.3.6.1.5".parse().unwrap())
            .await
            .unwrap();
        assert_eq!(end, Value::EndOfMib);
    }
    assert!(sizes[0] > 20 && sizes[0] == sizes[1], "{sizes:?}");
}

#[tokio::test]
async fn a_walk_that_goes_round_is_refused() {
    let ups = ups(Mib::PowerNet).await;
    ups.fault(Fault::Looping(true));
    let client = Client::bind().await.unwrap();
    let root: Oid = "1.3.6.1".parse().unwrap();
    for version in [SnmpVersion::V1, SnmpVersion::V2c] {
        let walk = client.walk(&target(&ups, version), &root, 1000).await;
        assert!(matches!(walk, Err(Error::NotIncreasing { .. })), "{walk:?}");
    }
}

#[tokio::test]
async fn an_answer_from_another_address_is_not_taken() {
    let ups = ups(Mib::Rfc1628).await;
    let client = Client::bind().await.unwrap();
    let relay = tokio::net::UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let asked = Target {
        addr: relay.local_addr().unwrap(),
        retries: 0,
        ..target(&ups, SnmpVersion::V2c)
    };
    // The relay hands the question to the UPS under the asker's name, in effect: it sends the
    // true answer from a third address.
    let third = tokio::net::UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let upstream = ups.addr;
    let forger = tokio::spawn(async move {
        let mut buffer = [0; 2048];
        let (length, from) = relay.recv_from(&mut buffer).await.unwrap();
        third.send_to(&buffer[..length], upstream).await.unwrap();
        let length = third.recv(&mut buffer).await.unwrap();
        third.send_to(&buffer[..length], from).await.unwrap();
    });
    let answer = client.get(&asked, &oids(&[CHARGE])).await;
    assert!(matches!(answer, Err(Error::Timeout { .. })), "{answer:?}");
    forger.await.unwrap();
    assert_eq!(client.counters().unexpected.load(Ordering::Relaxed), 1);
}

/// Stands between us and an agent, and drops in silence what is larger than a card's buffer, and
/// the first packets altogether.
struct Narrow {
    addr: SocketAddr,
    task: tokio::task::AbortHandle,
}

impl Drop for Narrow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn narrow(agent: SocketAddr, request_max: usize, reply_max: usize, mut lost: usize) -> Narrow {
    let front = tokio::net::UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let back = tokio::net::UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = front.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut request, mut reply) = (vec![0; 65_535], vec![0; 65_535]);
        let mut asker = addr;
        loop {
            tokio::select! {
                Ok((length, from)) = front.recv_from(&mut request) => {
                    asker = from;
                    if lost > 0 {
                        lost -= 1;
                    } else if length <= request_max {
                        back.send_to(&request[..length], agent).await.unwrap();
                    }
                }
                Ok(length) = back.recv(&mut reply) => {
                    if length <= reply_max {
                        front.send_to(&reply[..length], asker).await.unwrap();
                    }
                }
            }
        }
    });
    Narrow {
        addr,
        task: task.abort_handle(),
    }
}

#[tokio::test]
async fn a_card_that_drops_large_packets_in_silence_is_found_out() {
    let ups = ups(Mib::Rfc1628).await;
    let library = room::profile::Library::builtin();
    let asked = library.get("rfc1628").unwrap().layout(&[]).oids();
    let client = Client::bind().await.unwrap();
    let whole = client
        .ask(&mut Plan::new(&target(&ups, SnmpVersion::V2c), &asked))
        .await
        .unwrap();
    for (request_max, reply_max) in [(200, 65_535), (65_535, 200)] {
        let card = narrow(ups.addr, request_max, reply_max, 0).await;
        let target = Target {
            addr: card.addr,
            timeout: Duration::from_millis(60),
            retries: 1,
            learned: Arc::default(),
            ..target(&ups, SnmpVersion::V2c)
        };
        let mut plan = Plan::new(&target, &asked);
        assert_eq!(client.ask(&mut plan).await.unwrap().len(), whole.len());
        assert!(target.learned.variables() < VARIABLES_PER_PACKET);
        // It has learnt: the same again costs no time-out, and so does a new plan.
        let before = client.counters().repeated.load(Ordering::Relaxed);
        client.ask(&mut plan).await.unwrap();
        client.ask(&mut Plan::new(&target, &asked)).await.unwrap();
        assert_eq!(client.counters().repeated.load(Ordering::Relaxed), before);
    }
}

/// A target behind a card that passes requests of so many bytes after losing the first packets.
fn behind(card: &Narrow, ups: &Ups) -> Target {
    Target {
        addr: card.addr,
        timeout: Duration::from_millis(150),
        retries: 1,
        learned: Arc::default(),
        ..target(ups, SnmpVersion::V2c)
    }
}

#[tokio::test]
async fn an_outage_that_ends_while_we_ask_makes_no_packet_smaller() {
    let ups = ups(Mib::Rfc1628).await;
    let client = Client::bind().await.unwrap();
    let library = room::profile::Library::builtin();
    let asked = library.get("rfc1628").unwrap().layout(&[]).oids();
    let card = narrow(ups.addr, 65_535, 65_535, 2).await;
    let target = behind(&card, &ups);
    let mut plan = Plan::new(&target, &asked);
    assert_eq!(client.ask(&mut plan).await.unwrap().len(), asked.len());
    assert_eq!(target.learned.variables(), VARIABLES_PER_PACKET);
}

#[tokio::test]
async fn a_card_that_drops_only_packets_of_long_variables_is_found_out() {
    let ups = ups(Mib::Rfc1628).await;
    let client = Client::bind().await.unwrap();
    let mut asked: Vec<Oid> = (0..VARIABLES_PER_PACKET)
        .map(|n| format!("1.3.6.1.2.1.99.{n}").parse().unwrap())
        .collect();
    asked.extend((0..VARIABLES_PER_PACKET).map(|n| {
        let long: Oid = format!("1.3.6.1.4.1.4294967295.4294967295.4294967295.{n}")
            .parse()
            .unwrap();
        long
    }));
    let card = narrow(ups.addr, 400, 65_535, 0).await;
    let target = behind(&card, &ups);
    let mut plan = Plan::new(&target, &asked);
    // The first packet proves that twenty variables are fine; the second has longer ones.
    let values = client.ask(&mut plan).await.unwrap();
    assert_eq!(values, vec![Value::NoSuchObject; asked.len()]);
    assert!(target.learned.variables() < VARIABLES_PER_PACKET);
}

#[tokio::test]
async fn a_walk_asks_for_fewer_rows_when_large_answers_are_lost() {
    let ups = ups(Mib::PowerNet).await;
    let client = Client::bind().await.unwrap();
    let root: Oid = "1.3.6.1.4.1.318".parse().unwrap();
    let direct = target(&ups, SnmpVersion::V2c);
    let whole = client.walk(&direct, &root, 1000).await.unwrap();
    let card = narrow(ups.addr, 65_535, 160, 0).await;
    let target = Target {
        addr: card.addr,
        timeout: Duration::from_millis(60),
        retries: 0,
        learned: Arc::default(),
        ..direct
    };
    let names = |rows: &[(Oid, Value)]| rows.iter().map(|(oid, _)| oid.clone()).collect::<Vec<_>>();
    let walked = client.walk(&target, &root, 1000).await.unwrap();
    assert_eq!(names(&walked), names(&whole));
    assert!(client.counters().shrunk.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn columns_walked_together_are_those_walked_one_by_one() {
    let ups = ups(Mib::PowerNet).await;
    let client = Client::bind().await.unwrap();
    let roots = oids(&[
        "1.3.6.1.4.1.318.1.1.1.2",
        "1.3.6.1.4.1.318.1.1.1.3",
        "1.3.6.1.4.1.318.1.1.1.99",
        "1.3.6.1.4.1.318.1.1.1.4",
        "1.3.6.1.2.1.1",
    ]);
    for version in [SnmpVersion::V1, SnmpVersion::V2c] {
        let target = target(&ups, version);
        let together = client.walk_columns(&target, &roots, 1000).await.unwrap();
        for (root, (rows, more)) in roots.iter().zip(&together) {
            let alone = client.walk(&target, root, 1000).await.unwrap();
            let names = |rows: &[(Oid, Value)]| rows.iter().map(|(oid, _)| oid.clone()).collect::<Vec<_>>();
            assert_eq!(names(rows), names(&alone), "{version:?} {root}");
            assert!(!more);
        }
        let some = client.walk_columns(&target, &roots, 2).await.unwrap();
        assert!(some[0].1 && some[0].0.len() == 2);
    }
}

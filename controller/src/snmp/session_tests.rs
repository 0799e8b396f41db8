//! Sessions against recorded agents: what detection costs, and how rows come and go.

use super::*;
use room::device::PollFailure;
use room::profile::Library;
use room::profile::recording::Recording;
use simroom::recorded::Recorded;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// A made-up strip of outlets.
const STRIP: &str = r#"
title = "Strip"
source = "a made-up document"
kind = "pdu"
[match]
sys_object_id = ["1.3.6.1.4.1.99999"]
probe = ["1.3.6.1.4.1.99999.1.2"]
preference = 1
[[fact]]
name = "outlet.{i}.current"
column = "1.3.6.1.4.1.99999.1.2"
label = "1.3.6.1.4.1.99999.1.1"
read = "number"
unit = "A"
divide = 10
[[fact]]
name = "device.model"
oid = "1.3.6.1.4.1.99999.2.0"
read = "text"
[[fact]]
name = "device.serial"
oid = "1.3.6.1.4.1.99999.3.0"
read = "text"
"#;

const HEAD: &str = "1.3.6.1.2.1.1.1.0|4|Strip\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.7\n\
    1.3.6.1.4.1.99999.2.0|4|S-3\n";

fn strip(outlets: &[u32]) -> Recording {
    let rows: String = outlets
        .iter()
        .map(|n| format!("1.3.6.1.4.1.99999.1.1.{n}|4|Rack {n}\n1.3.6.1.4.1.99999.1.2.{n}|2|{n}\n"))
        .collect();
    Recording::parse(&format!("{HEAD}{rows}")).unwrap()
}

/// One address behind which one agent or another answers.
struct Relay {
    addr: SocketAddr,
    upstream: Arc<AtomicUsize>,
    packets: Arc<AtomicUsize>,
    agents: Vec<Recorded>,
    task: AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    async fn start(recordings: &[Recording]) -> Self {
        let mut agents = Vec::new();
        for recording in recordings {
            agents.push(Recorded::start(recording, "room").await.unwrap());
        }
        let front = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let back = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = front.local_addr().unwrap();
        let (upstream, packets) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let addrs: Vec<SocketAddr> = agents.iter().map(|agent| agent.addr).collect();
        let (at, count) = (Arc::clone(&upstream), Arc::clone(&packets));
        let task = tokio::spawn(async move {
            let mut buffer = [0; 65_535];
            while let Ok((length, from)) = front.recv_from(&mut buffer).await {
                count.fetch_add(1, Ordering::Relaxed);
                let agent = addrs[at.load(Ordering::Relaxed)];
                back.send_to(&buffer[..length], agent).await.unwrap();
                let length = back.recv(&mut buffer).await.unwrap();
                front.send_to(&buffer[..length], from).await.unwrap();
            }
        });
        Self {
            addr,
            upstream,
            packets,
            agents,
            task: task.abort_handle(),
        }
    }

    fn answer_by(&self, agent: usize) {
        assert!(agent < self.agents.len());
        self.upstream.store(agent, Ordering::Relaxed);
    }

    /// Packets since the last call.
    fn packets(&self) -> usize {
        self.packets.swap(0, Ordering::Relaxed)
    }

    async fn session(&self) -> Session {
        self.session_of(Wanted::Any).await
    }

    async fn session_of(&self, wanted: Wanted) -> Session {
        let (library, bad) = Library::builtin().with(&[("strip", STRIP)]);
        assert_eq!(bad, []);
        let access = Access::V2c(Secret("room".to_owned()));
        let target = Target::new(self.addr, access, Duration::from_secs(2), 1);
        Session::new(Client::bind().await.unwrap(), Arc::new(library), target, wanted)
    }
}

fn outlets(reading: &room::device::Reading) -> Vec<(String, f64, Option<String>)> {
    reading
        .facts
        .iter()
        .filter(|fact| fact.name.starts_with("outlet."))
        .map(|fact| {
            let value = reading.number(&fact.name).unwrap();
            (fact.name.clone(), value, fact.label.clone())
        })
        .collect()
}

fn outlet(number: u32, value: f64, label: u32) -> (String, f64, Option<String>) {
    (
        format!("outlet.{number}.current"),
        value,
        Some(format!("Rack {label}")),
    )
}

#[tokio::test]
async fn a_known_maker_is_detected_in_a_few_packets_and_polled_in_one() {
    let relay = Relay::start(&[strip(&[1, 2])]).await;
    let mut session = relay.session().await;
    let reading = session.read().await.unwrap();
    assert_eq!(reading.profile, "strip");
    assert_eq!(outlets(&reading), [outlet(1, 0.1, 1), outlet(2, 0.2, 2)]);
    // What it is; its probe as an instance, then as a column; both columns; their end; the poll.
    assert_eq!(relay.packets(), 4);
    assert_eq!(outlets(&session.read().await.unwrap()), outlets(&reading));
    assert_eq!(relay.packets(), 1);
}

#[tokio::test]
async fn an_agent_that_nobody_knows_costs_a_dozen_packets() {
    let text = "1.3.6.1.2.1.1.1.0|4|Something\n1.3.6.1.2.1.1.3.0|67|100\n\
        1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.88888.1\n";
    let relay = Relay::start(&[Recording::parse(text).unwrap()]).await;
    let reading = relay.session().await.read().await.unwrap();
    assert_eq!(reading.profile, "host-system");
    let packets = relay.packets();
    assert!(packets <= 12, "{packets} packets");
}

#[tokio::test]
async fn rows_that_go_are_told_missing_at_once_and_left_out_when_it_is_looked_at_anew() {
    let relay = Relay::start(&[strip(&[1, 2]), strip(&[1]), strip(&[1, 5])]).await;
    let mut session = relay.session().await;
    assert_eq!(outlets(&session.read().await.unwrap()).len(), 2);
    relay.packets();
    relay.answer_by(1);
    let reading = session.read().await.unwrap();
    assert_eq!(relay.packets(), 1, "no reading waits for a walk");
    assert_eq!(
        reading.fact("outlet.2.current").unwrap().value,
        Err(shared::NoData::NotSupported)
    );
    assert!(session.is_outdated());
    session.renew().await;
    assert!(!session.is_outdated());
    assert_eq!(outlets(&session.read().await.unwrap()), [outlet(1, 0.1, 1)]);
    relay.answer_by(2);
    assert_eq!(outlets(&session.read().await.unwrap()), [outlet(1, 0.1, 1)]);
    session.outdate();
    session.renew().await;
    relay.packets();
    assert_eq!(
        outlets(&session.read().await.unwrap()),
        [outlet(1, 0.1, 1), outlet(2, 0.5, 5)]
    );
    assert_eq!(relay.packets(), 1);
}

/// A device whose rows come and go all the time must not be walked with every poll.
#[tokio::test]
async fn rows_that_go_again_and_again_are_looked_for_once() {
    let relay = Relay::start(&[strip(&[1, 2]), strip(&[1, 3]), strip(&[1])]).await;
    let mut session = relay.session().await;
    session.read().await.unwrap();
    relay.answer_by(1);
    session.read().await.unwrap();
    session.renew().await;
    assert_eq!(outlets(&session.read().await.unwrap()).len(), 2);
    relay.packets();
    relay.answer_by(2);
    let reading = session.read().await.unwrap();
    // It is said to be missing, not left out.
    assert_eq!(
        reading.fact("outlet.2.current").unwrap().value,
        Err(shared::NoData::NotSupported)
    );
    session.renew().await;
    assert_eq!(relay.packets(), 1);
}

#[tokio::test]
async fn looking_anew_at_an_agent_that_is_short_of_everything_takes_nothing_away() {
    let bare = Recording::parse("1.3.6.1.2.1.1.1.0|4|Strip\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.7\n");
    let relay = Relay::start(&[strip(&[1, 2]), bare.unwrap()]).await;
    let mut session = relay.session().await;
    let before = session.read().await.unwrap();
    session.outdate();
    relay.answer_by(1);
    session.renew().await;
    relay.answer_by(0);
    relay.packets();
    assert_eq!(session.read().await.unwrap(), before);
    assert_eq!(relay.packets(), 1, "it was not detected again");
}

#[tokio::test]
async fn looking_anew_is_taken_up_again_after_a_reading_came_between() {
    let relay = Relay::start(&[strip(&[1, 2]), strip(&[1, 2, 3])]).await;
    let mut session = relay.session().await;
    session.read().await.unwrap();
    session.outdate();
    relay.answer_by(1);
    for _ in 0..100 {
        // Dropped at the first wait for the network, as by a reading that is due.
        tokio::select! {
            biased;
            () = session.renew() => {}
            () = tokio::time::sleep(Duration::from_millis(2)) => {}
        }
        if !session.is_outdated() {
            break;
        }
        session.read().await.unwrap();
    }
    assert_eq!(outlets(&session.read().await.unwrap()).len(), 3);
}

#[tokio::test]
async fn a_serial_number_that_is_not_told_once_is_no_other_device_and_another_one_is() {
    let with = |serial: &str| {
        let rows = format!("{HEAD}1.3.6.1.4.1.99999.1.2.1|2|1\n1.3.6.1.4.1.99999.3.0|4|{serial}\n");
        Recording::parse(&rows).unwrap()
    };
    let relay = Relay::start(&[with("A"), strip(&[1]), with("B")]).await;
    let mut session = relay.session().await;
    session.read().await.unwrap();
    relay.packets();
    for (agent, is_detected) in [(1, false), (0, false), (2, true)] {
        relay.answer_by(agent);
        session.read().await.unwrap();
        assert_eq!(relay.packets() > 1, is_detected, "agent {agent}");
    }
}

#[tokio::test]
async fn a_device_that_answers_and_tells_nothing_of_its_profile_is_no_reading() {
    let bare = Recording::parse("1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.7\n").unwrap();
    let relay = Relay::start(&[strip(&[1]), bare]).await;
    for wanted in [Wanted::Any, Wanted::Named("strip".to_owned())] {
        relay.answer_by(0);
        let mut session = relay.session_of(wanted).await;
        session.read().await.unwrap();
        relay.answer_by(1);
        assert_eq!(session.read().await, Err(PollFailure::NoProfile));
        relay.answer_by(0);
        session.read().await.unwrap();
    }
}

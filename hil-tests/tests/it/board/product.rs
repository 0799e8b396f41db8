//! The same board with the real controller at the other end, once with the endpoint of our own and
//! once with Debian's mosquitto.

use super::line::{Mosquitto, down_header, key, ours};
use super::{BOUND, DOOR, LEAK, NODE, cannot_run};
use hil_tests::bench::QemuBench;
use hil_tests::free_port;
use hil_tests::product::Yagura;
use hil_tests::sitefile::SiteFile;
use room::catalog::{self, NodeTrouble};
use room::site::ContactKind;
use room::snapshot::{AlarmState, Snapshot};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use shared::topic::{self, Leaf};
use shared::wire::{DeviceKey, Down, seal_down};
use std::net::SocketAddr;
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::{Duration, Instant};

const NAME: &str = "node-7";
const DOOR_POINT: &str = "door.7";
const LEAK_POINT: &str = "leak.7";
const INLET_POINT: &str = "inlet.7.temperature";

/// A room of one board and the real controller.
struct Room {
    board: QemuBench,
    yagura: Yagura,
    broker: SocketAddr,
    mosquitto: Option<Mosquitto>,
    _folder: tempfile::TempDir,
}

impl Room {
    async fn start(own_endpoint: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mosquitto = match own_endpoint {
            true => None,
            false => Some(Mosquitto::start(&key()).await),
        };
        let broker = mosquitto
            .as_ref()
            .map_or_else(free_port, |mosquitto| mosquitto.addr);
        let site = SiteFile::new(folder.path());
        let site = match own_endpoint {
            true => site.builtin_mqtt(broker),
            false => site.external_mqtt(broker, "controller", "c"),
        };
        let site = site
            .node(NODE, ours(0).key, "12s")
            .high_limit(INLET_POINT, 35.0, "2s")
            .write();
        let yagura = block_in_place(|| Yagura::run(&site));
        let board = QemuBench::start(&ours(broker.port())).await;
        let room = Self {
            board,
            yagura,
            broker,
            mosquitto,
            _folder: folder,
        };
        room.until("the node", |picture| {
            picture
                .nodes
                .iter()
                .any(|node| node.state == "alive")
                .then_some(())
        });
        room
    }

    /// Waits until the controller's picture has what is asked for.
    fn until<T>(&self, what: &str, pick: impl FnMut(&Snapshot) -> Option<T>) -> T {
        block_in_place(|| self.yagura.wait(what, BOUND, pick))
    }

    fn alarm(&self, id: &str) {
        block_in_place(|| self.yagura.wait_alarm(id, AlarmState::Unacknowledged, BOUND));
    }

    /// Somebody who knows a password, but not the node's key.
    fn intruder(&self, user: &str, password: &str, leaf: Leaf, payloads: &[&[u8]]) -> JoinHandle<()> {
        let mut options = MqttOptions::new("intruder", self.broker.ip().to_string(), self.broker.port());
        options.set_credentials(user, password);
        let (client, mut eventloop) = AsyncClient::new(options, 8);
        let topic = topic::of(NODE, leaf);
        for payload in payloads {
            client
                .try_publish(topic.as_str(), QoS::AtLeastOnce, false, payload.to_vec())
                .unwrap();
        }
        tokio::spawn(async move { while eventloop.poll().await.is_ok() {} })
    }

    fn last_event(&self) -> u32 {
        self.until("the last event", |picture| picture.nodes[0].last_event)
    }

    fn value(&self, point: &str, is: Option<f64>) {
        self.until(&format!("{point} = {is:?}"), |picture| {
            let point = picture.points.iter().find(|found| found.id == point)?;
            (point.value == is && (is.is_some() || point.no_data.is_some())).then_some(())
        });
    }
}

async fn everything_that_may_happen(own_endpoint: bool) {
    let mut room = Room::start(own_endpoint).await;
    a_leak_and_a_door_are_seen(&mut room).await;
    a_hot_inlet_is_an_alarm(&mut room).await;
    a_cut_cable_costs_no_event(&mut room).await;
    a_power_cut_costs_no_event(&mut room).await;
    a_frozen_bus_is_no_data(&mut room).await;
    forged_frames_are_refused_and_alarmed(&mut room).await;
}

async fn a_leak_and_a_door_are_seen(room: &mut Room) {
    let begun = Instant::now();
    room.board.contact(LEAK, true).await;
    room.alarm(&catalog::contact_id(LEAK_POINT, ContactKind::Leak));
    eprintln!("leak -> alarm in the picture: {:?}", begun.elapsed());
    room.board.contact(DOOR, true).await;
    room.value(DOOR_POINT, Some(1.0));
    room.board.contact(DOOR, false).await;
    room.board.contact(LEAK, false).await;
    room.value(DOOR_POINT, Some(0.0));
    room.value(LEAK_POINT, Some(0.0));
}

async fn a_hot_inlet_is_an_alarm(room: &mut Room) {
    room.board.temperature(41_500).await;
    room.value(INLET_POINT, Some(41.5));
    room.alarm(&format!("{INLET_POINT}.high"));
    room.board.temperature(25_000).await;
    room.value(INLET_POINT, Some(25.0));
}

async fn a_cut_cable_costs_no_event(room: &mut Room) {
    const CUT: Duration = Duration::from_secs(8);
    const EDGES: u32 = 12;
    let before = edges_in_the_journal(room);
    let first = room.last_event();
    let back_at = Instant::now() + CUT;
    room.board.link(false).await;
    for edge in 0..EDGES {
        room.board.contact(DOOR, edge % 2 == 0).await;
        super::stored(&room.board, first + 1 + edge).await;
    }
    tokio::time::sleep_until(back_at).await;
    room.board.link(true).await;
    let last = first + EDGES;
    room.until("the events", |picture| {
        (picture.nodes[0].last_event == Some(last)).then_some(())
    });
    // In the journal once each, in order, none missing.
    assert_eq!(
        room.until("the node", |picture| Some(picture.nodes[0].missing)),
        0
    );
    let expected = before.into_iter().chain((0..EDGES).map(|edge| edge % 2 == 0));
    assert_eq!(edges_in_the_journal(room), expected.collect::<Vec<_>>());
}

async fn a_power_cut_costs_no_event(room: &mut Room) {
    const EDGES: [bool; 4] = [true, false, true, false];
    let before = edges_in_the_journal(room);
    let first = room.last_event();
    room.board.link(false).await;
    for (offset, open) in (1..).zip(EDGES) {
        room.board.contact(DOOR, open).await;
        super::stored(&room.board, first + offset).await;
    }
    room.board.power_cut();
    room.board.link(true).await;
    room.board.power_on().await;
    // Four edges and the new boot's hello.
    room.until("the events", |picture| {
        (picture.nodes[0].last_event == Some(first + 5)).then_some(())
    });
    room.until("boot 2", |picture| {
        (picture.nodes[0].boot == Some(2)).then_some(())
    });
    assert_eq!(
        room.until("the node", |picture| Some(picture.nodes[0].missing)),
        0
    );
    let expected = [before, EDGES.to_vec()].concat();
    assert_eq!(edges_in_the_journal(room), expected);
}

async fn a_frozen_bus_is_no_data(room: &mut Room) {
    room.value(INLET_POINT, Some(25.0));
    room.board.freeze_i2c().await;
    room.value(INLET_POINT, None);
    room.alarm(&catalog::no_data_id(INLET_POINT));
    room.board.thaw_i2c().await;
    room.value(INLET_POINT, Some(25.0));
}

async fn forged_frames_are_refused_and_alarmed(room: &mut Room) {
    let alarm = catalog::node_id(NAME, NodeTrouble::Refused);
    // After all that has happened neither side has refused the other anything.
    room.until("a picture without refusals", |picture| {
        let alarmed = picture.alarms.iter().any(|found| found.id == alarm);
        (picture.nodes[0].refused == 0 && !alarmed).then_some(())
    });
    let forged = seal_down(
        &DeviceKey::new([1; 32]),
        &down_header(2, u32::MAX),
        &Down::Ack { upto: u32::MAX },
    );
    let forged = forged.unwrap();
    // Downward, by somebody who has the controller's account at the site's broker: the node
    // refuses and reports it. Our own endpoint has no such account.
    if room.mosquitto.is_some() {
        let intruder = room.intruder("controller", "c", Leaf::Command, &[&forged]);
        room.alarm(&alarm);
        intruder.abort();
    }
    // Upward, with the node's own account: a frame of the wrong key, and half of one.
    let (user, password) = (NODE.to_string(), key().broker_password());
    let intruder = room.intruder(&user, &password, Leaf::Event, &[&forged, &forged[..20]]);
    room.until("both refused", |picture| {
        (picture.nodes[0].refused >= 2).then_some(())
    });
    room.alarm(&alarm);
    intruder.abort();
}

/// The door's edges as the journal has them, oldest first; true is open.
fn edges_in_the_journal(room: &Room) -> Vec<bool> {
    let records = block_in_place(|| room.yagura.records());
    records
        .iter()
        .filter(|record| record["point"] == DOOR_POINT)
        .filter_map(|record| record["event"]["open"].as_bool())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_board_and_the_controller_over_our_own_endpoint() {
    if !cannot_run() {
        everything_that_may_happen(true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_board_and_the_controller_over_mosquitto() {
    if !cannot_run() {
        everything_that_may_happen(false).await;
    }
}

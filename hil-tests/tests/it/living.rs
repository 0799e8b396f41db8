//! A living room end to end: the real firmware on the emulated board, a real broker between, the
//! real controller, and what staff see of it. Once with Debian's mosquitto, once with the
//! endpoint of our own.

use hil_tests::bench::{Bench, HOST, QemuBench, closet};
use hil_tests::mosquitto::Mosquitto;
use hil_tests::product::Yagura;
use hil_tests::sitefile::SiteFile;
use hil_tests::standin::ACCOUNT;
use hil_tests::{cannot_run, free_port, lacking, wait_for};
use room::snapshot::AlarmState;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use serde_json::Value;
use shared::provision::Provision;
use shared::wire::{DeviceKey, Header, Stream, Up, seal_up};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Longest wait for anything that must happen.
const BOUND: Duration = Duration::from_secs(40);
const NODE: u16 = 7;
const KEY: [u8; 32] = [0x42; 32];
const TEMPERATURE: &str = "inlet.7.temperature";

/// What is missing for these tests on this machine.
fn missing() -> Option<String> {
    QemuBench::missing().or_else(|| lacking(&["mosquitto"]))
}

/// The room: board, whatever broker, controller.
struct Room {
    board: QemuBench,
    yagura: Yagura,
    broker: SocketAddr,
    _mosquitto: Option<Mosquitto>,
    _dir: tempfile::TempDir,
}

impl Room {
    async fn start(with_mosquitto: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = free_port();
        let mut file = SiteFile::new(dir.path());
        let mut mosquitto = None;
        if with_mosquitto {
            let (node, password) = (NODE.to_string(), DeviceKey::new(KEY).broker_password());
            let accounts = [ACCOUNT, (&node, &password)];
            mosquitto = Some(Mosquitto::with_accounts_on(dir.path(), broker, &accounts));
            file = file.external_mqtt(broker, ACCOUNT.0, ACCOUNT.1);
        } else {
            file = file.builtin_mqtt(broker);
        }
        let site = file
            .node(NODE, KEY, "15s")
            .high_limit(TEMPERATURE, 30.0, "2s")
            .write();
        let yagura = Yagura::run(&site);
        let who = closet(Provision::new(NODE, 0, KEY, HOST, broker.port()));
        let board = QemuBench::start(&who).await;
        yagura.wait("the node's first values", BOUND, |s| {
            let all = s.points.iter().all(|point| point.value.is_some());
            (all && s.nodes[0].state == "alive").then_some(())
        });
        Self {
            board,
            yagura,
            broker,
            _mosquitto: mosquitto,
            _dir: dir,
        }
    }

    /// Contact events in the journal: (sequence, channel, open).
    fn contacts(&self) -> Vec<(u64, u64, bool)> {
        self.yagura
            .records()
            .iter()
            .filter(|row| row["kind"] == "node_event" && row["event"]["event"] == "contact")
            .map(|row| {
                let event = &row["event"];
                (
                    node_seq(row),
                    event["channel"].as_u64().unwrap(),
                    event["open"].as_bool().unwrap(),
                )
            })
            .collect()
    }

    async fn contacts_are(&self, count: usize) -> Vec<(u64, u64, bool)> {
        wait_for(
            &format!("{count} contact events in the journal"),
            BOUND,
            async || {
                let contacts = self.contacts();
                (contacts.len() >= count).then_some(contacts)
            },
        )
        .await
    }

    fn value(&self, point: &str) -> (Option<f64>, Option<String>) {
        let snapshot = self.yagura.snapshot().expect("a snapshot");
        let point = snapshot
            .points
            .into_iter()
            .find(|row| row.id == point)
            .expect("the point");
        (point.value, point.no_data)
    }
}

fn node_seq(row: &Value) -> u64 {
    row["event_seq"].as_u64().expect("the node's own sequence")
}

/// Everything in one life of the room: starting it costs more than any single step.
async fn lives(with_mosquitto: bool) {
    let mut room = Room::start(with_mosquitto).await;
    a_door_edge_is_an_alarm(&mut room).await;
    a_hot_rack_is_an_alarm_after_its_delay(&mut room).await;
    a_cut_cable_loses_nothing(&mut room).await;
    a_power_cut_loses_nothing(&mut room).await;
    a_frozen_bus_is_no_data(&mut room).await;
    foreign_frames_are_refused(&room).await;
}

async fn a_door_edge_is_an_alarm(room: &mut Room) {
    let stream = room.yagura.stream();
    room.board.contact(QemuBench::DOOR, true).await;
    let begun = Instant::now();
    let (_, at) = stream.record("alarm_raised", BOUND, |row| row["alarm"] == "door.7.forced");
    eprintln!(
        "door edge -> alarm on the stream: {:?}",
        at.saturating_duration_since(begun)
    );
    room.board.contact(QemuBench::DOOR, false).await;
    room.yagura
        .wait_alarm("door.7.forced", AlarmState::ReturnedUnacknowledged, BOUND);
    room.yagura.acknowledge("door.7.forced", "山田");
    room.yagura
        .wait_alarm("door.7.forced", AlarmState::Latched, BOUND);
}

async fn a_hot_rack_is_an_alarm_after_its_delay(room: &mut Room) {
    let stream = room.yagura.stream();
    room.board.temperature(31_500).await;
    room.yagura.wait("the hot value", BOUND, |s| {
        let hot = s
            .points
            .iter()
            .any(|p| p.id == TEMPERATURE && p.value.is_some_and(|v| (31.0..32.0).contains(&v)));
        hot.then_some(())
    });
    let seen = Instant::now();
    let (row, at) = stream.record("alarm_raised", BOUND, |row| {
        row["alarm"] == format!("{TEMPERATURE}.high")
    });
    let delay = at.saturating_duration_since(seen);
    assert!(
        delay > Duration::from_millis(1_000),
        "raised {delay:?} after the value, before its delay of 2 s: {row}"
    );
    room.board.temperature(25_000).await;
    room.yagura.wait_alarm(
        &format!("{TEMPERATURE}.high"),
        AlarmState::ReturnedUnacknowledged,
        BOUND,
    );
}

/// Eight seconds without network, with events on both contacts.
async fn a_cut_cable_loses_nothing(room: &mut Room) {
    let before = room.contacts();
    room.board.link(false).await;
    let end = Instant::now() + Duration::from_secs(8);
    for turn in 0..6 {
        room.board.contact(QemuBench::DOOR, turn % 2 == 0).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    tokio::time::sleep_until(end.into()).await;
    room.board.link(true).await;
    let all = room.contacts_are(before.len() + 6).await;
    let new: Vec<_> = all[before.len()..]
        .iter()
        .map(|(_, channel, open)| (*channel, *open))
        .collect();
    let expected: Vec<_> = (0..6)
        .map(|turn| (u64::from(QemuBench::DOOR), turn % 2 == 0))
        .collect();
    assert_eq!(new, expected, "once and in order");
    no_gap(room);
}

/// Events that the node could not send survive its own power cut.
async fn a_power_cut_loses_nothing(room: &mut Room) {
    let before = room.contacts();
    room.board.link(false).await;
    for open in [true, false, true] {
        room.board.contact(QemuBench::LEAK, open).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    room.board.power_cut().await;
    room.board.contact(QemuBench::LEAK, false).await;
    room.board.link(true).await;
    room.board.power_on().await;
    let all = room.contacts_are(before.len() + 3).await;
    let new: Vec<_> = all[before.len()..before.len() + 3]
        .iter()
        .map(|(_, channel, open)| (*channel, *open))
        .collect();
    let leak = u64::from(QemuBench::LEAK);
    assert_eq!(new, [(leak, true), (leak, false), (leak, true)]);
    room.yagura.wait("the node's second boot", BOUND, |s| {
        (s.nodes[0].boot == Some(2)).then_some(())
    });
    no_gap(room);
}

/// The node's sequence in the journal is without gap and without repetition.
fn no_gap(room: &Room) {
    let records = room.yagura.records();
    let seqs: Vec<u64> = records
        .iter()
        .filter(|row| row["kind"] == "node_event")
        .map(node_seq)
        .collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
    assert!(!records.iter().any(|row| row["kind"] == "events_missing"));
}

async fn a_frozen_bus_is_no_data(room: &mut Room) {
    room.board.freeze_i2c().await;
    room.yagura.wait_alarm(
        &format!("{TEMPERATURE}.no_data"),
        AlarmState::Unacknowledged,
        BOUND,
    );
    let (value, reason) = room.value(TEMPERATURE);
    assert_eq!(value, None, "no number stands in for a lost sensor");
    eprintln!("frozen bus: {reason:?}");
    assert!(reason.is_some());
    room.board.thaw_i2c().await;
    room.yagura.wait("the sensor again", BOUND, |s| {
        let point = s.points.iter().find(|p| p.id == TEMPERATURE)?;
        point.value.filter(|value| (20.0..30.0).contains(value))
    });
}

/// Somebody who knows the node's account but not its key, and somebody who recorded a frame.
async fn foreign_frames_are_refused(room: &Room) {
    let mut options = MqttOptions::new("intruder", room.broker.ip().to_string(), room.broker.port());
    options.set_credentials(NODE.to_string(), DeviceKey::new(KEY).broker_password().as_str());
    let (client, mut events) = AsyncClient::new(options, 16);
    let polling = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    let header = Header {
        ver: 1,
        key_id: 0,
        node: NODE,
        boot: 1,
        stream: Stream::Event,
        seq: 2,
        up_ms: 1,
        unix_ms: 0,
    };
    let door = Up::Contact {
        channel: 0,
        open: true,
    };
    let old = seal_up(&DeviceKey::new(KEY), &header, &door).unwrap();
    let forged = seal_up(
        &DeviceKey::new([9; 32]),
        &Header {
            seq: 100_000,
            ..header
        },
        &door,
    )
    .unwrap();
    let before = room.contacts().len();
    let refused = |word: &str| {
        let snapshot = room.yagura.snapshot().expect("a snapshot");
        snapshot
            .counters
            .get(&format!("node_frames_refused_{word}"))
            .copied()
            .unwrap_or(0)
    };
    let topic = format!("fac/v1/{NODE}/ev");
    for (payload, word) in [
        (forged.to_vec(), "forged"),
        (old[..shared::limit::TAG_LEN].to_vec(), "malformed"),
        (old.to_vec(), "replayed"),
    ] {
        let had = refused(word);
        wait_for(&format!("a {word} frame to be refused"), BOUND, async || {
            client
                .publish(topic.clone(), QoS::AtLeastOnce, false, payload.clone())
                .await
                .ok()?;
            tokio::time::sleep(Duration::from_millis(200)).await;
            (refused(word) > had).then_some(())
        })
        .await;
    }
    room.yagura
        .wait_alarm("node-7.refused", AlarmState::Unacknowledged, BOUND);
    assert_eq!(room.contacts().len(), before, "not one of them became an event");
    polling.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_room_lives_with_mosquitto() {
    if !cannot_run(missing()) {
        lives(true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_room_lives_with_the_endpoint_of_our_own() {
    if !cannot_run(missing()) {
        lives(false).await;
    }
}

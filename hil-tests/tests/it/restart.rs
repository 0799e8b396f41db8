//! Parts that die while a node reports: whatever is killed, every event of the node is in the
//! journal once, in order, and is acknowledged only then.

use ::simroom::node::{self, Input, Node};
use hil_tests::mosquitto::Mosquitto;
use hil_tests::product::Yagura;
use hil_tests::sitefile::SiteFile;
use hil_tests::{LOOK_EVERY, free_port, installed, skip, wait_for};
use room::snapshot::AlarmState;
use shared::Quantity;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::timeout;

/// Longest wait for anything that must happen; a node sends again every 10 s.
const LONG: Duration = Duration::from_secs(60);
/// Between two movements of the door: quicker than any part is started again.
const MOVE_EVERY: Duration = Duration::from_millis(40);
/// Movements that must get through between two crashes, so that each has something to destroy.
const BETWEEN: usize = 10;
pub(super) const NODE: u16 = 9;
pub(super) const KEY: [u8; 32] = [9; 32];

pub(super) fn door_node(dir: &Path) -> Node {
    let contact = Input {
        quantity: Quantity::Contact,
        value: Ok(0),
    };
    let temperature = Input {
        quantity: Quantity::Temperature,
        value: Ok(22_000),
    };
    Node::start(node::Config {
        id: NODE,
        key: KEY,
        channels: vec![contact, contact, temperature],
        state_file: dir.join("node-9.json"),
        telemetry: Duration::from_millis(500),
        heartbeat: Duration::from_secs(1),
    })
    .unwrap()
}

/// Every event of the node in the journal, in the journal's order: its sequence, and for a
/// contact whether it is open.
pub(super) fn events(yagura: &Yagura) -> Vec<(u64, Option<bool>)> {
    let records = yagura.records();
    assert!(
        records.iter().all(|row| row["kind"] != "events_missing"),
        "events are missing: {records:?}"
    );
    records
        .iter()
        .filter(|row| row["kind"] == "node_event")
        .map(|row| (row["event_seq"].as_u64().unwrap(), row["event"]["open"].as_bool()))
        .collect()
}

/// The node's whole life is in the journal: from its hello to its last event, once and in order,
/// and the door went to and fro.
pub(super) fn check(events: &[(u64, Option<bool>)], last: u32) {
    let sequences: Vec<u64> = events.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(sequences, (1..=u64::from(last)).collect::<Vec<_>>());
    assert_eq!(events[0].1, None, "the first is its hello");
    for (index, (_, open)) in events[1..].iter().enumerate() {
        assert_eq!(*open, Some(index % 2 == 0), "event {}", index + 2);
    }
}

/// A door that keeps moving until it is told to stop.
struct Door {
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Door {
    fn move_on(node: &Arc<Node>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, node) = (Arc::clone(&stop), Arc::clone(node));
        let task = tokio::spawn(async move {
            let mut open = false;
            while !told.load(Ordering::Relaxed) {
                open = !open;
                let before = node.state().last_event;
                node.set_contact(0, open);
                // A movement that the node has not noticed would not be one; and its memory is
                // bounded: a node that forgets by design proves nothing here.
                let noticed =
                    |state: node::State| state.last_event > before && state.pending < node::MAX_RING / 2;
                while !noticed(node.state()) {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                tokio::time::sleep(MOVE_EVERY).await;
            }
        });
        Self { stop, task }
    }

    async fn rest(self) {
        self.stop.store(true, Ordering::Relaxed);
        timeout(LONG, self.task).await.expect("a door at rest").unwrap();
    }
}

async fn more(yagura: &Yagura, count: usize) {
    let before = block_in_place(|| events(yagura).len());
    wait_for("more events in the journal", LONG, async || {
        (block_in_place(|| events_if_served(yagura)) >= before + count).then_some(())
    })
    .await;
}

/// The web role may lose its core for a moment.
fn events_if_served(yagura: &Yagura) -> usize {
    if yagura.snapshot().is_some() {
        events(yagura).len()
    } else {
        0
    }
}

async fn acknowledged(node: &Node) {
    wait_for("every event to be acknowledged", LONG, async || {
        (node.state().pending == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_crashes_costs_no_event_and_core_subscribes_again() {
    if !installed("mosquitto") {
        return skip(
            "restart",
            "mosquitto is not installed (apt-get install mosquitto)",
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(dir.path());
    let site = SiteFile::new(dir.path())
        .external_mqtt(broker.addr, "core", "secret")
        .node(NODE, KEY, "30s")
        .write();
    let yagura = block_in_place(|| Yagura::run(&site));
    let node = Arc::new(door_node(dir.path()));
    node.connect(broker.addr);
    let door = Door::move_on(&node);
    for crash in 0..2 {
        more(&yagura, BETWEEN).await;
        broker.kill();
        let moved = node.state().last_event;
        wait_for("the door to move without a broker", LONG, async || {
            (node.state().last_event > moved + 5 && !node.state().connected).then_some(())
        })
        .await;
        block_in_place(|| {
            // Once long enough for the alarm, once before anybody would be called.
            if crash == 0 {
                yagura.wait_alarm("system.mqtt", AlarmState::Unacknowledged, LONG);
            }
            broker.restart();
        });
    }
    more(&yagura, BETWEEN).await;
    door.rest().await;
    acknowledged(&node).await;
    block_in_place(|| {
        check(&events(&yagura), node.state().last_event);
        yagura.wait_alarm("system.mqtt", AlarmState::ReturnedUnacknowledged, LONG);
    });
    assert_eq!(
        node.state().refused,
        0,
        "nothing core sent was taken for a replay"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_and_broker_killed_while_events_flow_lose_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = free_port();
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(endpoint)
        .node(NODE, KEY, "30s")
        .write();
    let yagura = block_in_place(|| Yagura::run(&site));
    let node = Arc::new(door_node(dir.path()));
    node.connect(endpoint);
    let door = Door::move_on(&node);
    for role in ["core", "core", "broker", "core", "broker"] {
        more(&yagura, BETWEEN).await;
        block_in_place(|| yagura.kill_role(role));
        wait_for("core to be served again", LONG, async || {
            block_in_place(|| yagura.snapshot()).map(|_| ())
        })
        .await;
    }
    more(&yagura, BETWEEN).await;
    door.rest().await;
    acknowledged(&node).await;
    let starts = block_in_place(|| {
        check(&events(&yagura), node.state().last_event);
        yagura
            .records()
            .iter()
            .filter(|row| row["kind"] == "started")
            .count()
    });
    assert_eq!(starts, 4, "core was killed three times");
    let picture = block_in_place(|| yagura.snapshot()).unwrap();
    assert!(
        picture
            .alarms
            .iter()
            .all(|alarm| alarm.id != "system.journal_broken"),
        "{:?}",
        picture.alarms
    );
    assert_eq!(
        node.state().refused,
        0,
        "nothing core sent was taken for a replay"
    );
}

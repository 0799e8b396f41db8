//! A flood of alarms through the whole product: nothing of it is lost, people are not buried, and a door
//! beside it is heard as ever. The figures with ten thousand are those of `cargo xtask bench alarms`.

use ::simroom::node::{self, Input, Node};
use hil_tests::hook::Hook;
use hil_tests::product::{Yagura, resident_mb, write_secret};
use hil_tests::sitefile::SiteFile;
use hil_tests::{free_port, wait_for};
use room::notice::fold::MAX_SINGLY;
use shared::Quantity;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(40);
const DOOR: u16 = 1;
/// Nodes, with so many temperatures each,
const NODES: u16 = 8;
const CHANNELS: u8 = 25;
/// which cross their limits so often.
const WAVES: usize = 3;
const ALARMS: usize = NODES as usize * CHANNELS as usize * WAVES;
/// A door opens within this beside the flood; a loaded machine, not the figure of the product.
const DOOR_BOUND: Duration = Duration::from_secs(3);
/// The first picture comes within this.
const PICTURE_BOUND: Duration = Duration::from_secs(3);
/// Core grows by no more than this in megabytes.
const MOST_GROWTH_MB: f64 = 48.0;
/// Messages to one contact: single ones, as many urgent ones, and that each of them is over.
const MOST_MESSAGES: usize = 4 * MAX_SINGLY;

fn key(node: u16) -> [u8; 32] {
    [u8::try_from(node).unwrap(); 32]
}

/// A node with temperatures, each with a limit.
fn many(dir: &Path, node: u16) -> String {
    let file = write_secret(
        &dir.join(format!("node-{node}.key")),
        &format!("{node:02x}").repeat(32),
    );
    let mut text = format!(
        "[[node]]\nid = {node}\nname = \"node-{node}\"\nkey_file = \"{}\"\nsilent_after = \"60s\"\n",
        file.display()
    );
    for channel in 0..CHANNELS {
        let _ = write!(
            text,
            "[[node.channel]]\nchannel = {channel}\npoint = \"t.{node}.{channel}\"\nquantity = \"temperature\"\n\
             [[limit]]\npoint = \"t.{node}.{channel}\"\nside = \"high\"\nlimit = 30.0\ndeadband = 0.5\n\
             on_delay = \"0s\"\noff_delay = \"0s\"\npriority = \"warning\"\n\
             action = {{ ja = \"空調を確認\", en = \"check the air conditioner\" }}\n"
        );
    }
    text
}

fn start(dir: &Path, id: u16, channels: Vec<Input>, endpoint: SocketAddr) -> Node {
    let node = Node::start(node::Config {
        id,
        key: key(id),
        channels,
        state_file: dir.join(format!("node-{id}.json")),
        telemetry: Duration::from_millis(100),
        heartbeat: Duration::from_secs(1),
    })
    .unwrap();
    node.connect(endpoint);
    node
}

/// Alarms of temperatures in the journal: raised, and returned.
fn journaled(yagura: &Yagura) -> (usize, usize) {
    let records = block_in_place(|| yagura.records());
    let count = |kind: &str| {
        let rows = records.iter().filter(|row| row["kind"] == kind);
        rows.filter(|row| row["alarm"].as_str().is_some_and(|id| id.starts_with("t.")))
            .count()
    };
    (count("alarm_raised"), count("alarm_returned"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_alarms_is_journaled_whole_told_in_a_handful_of_messages_and_delays_no_door() {
    let dir = tempfile::tempdir().unwrap();
    let mut hook = Hook::start(None).await;
    let endpoint = free_port();
    let mut site = SiteFile::new(dir.path())
        .builtin_mqtt(endpoint)
        .node(DOOR, key(DOOR), "60s")
        .told_by_hook(hook.addr);
    for node in 100..100 + NODES {
        site = site.with(&many(dir.path(), node));
    }
    let yagura = block_in_place(|| Yagura::run(&site.write()));
    let input = |quantity, value| Input {
        quantity,
        value: Ok(value),
    };
    let (contact, cool) = (input(Quantity::Contact, 0), input(Quantity::Temperature, 22_000));
    let door = start(dir.path(), DOOR, vec![contact, contact, cool], endpoint);
    let others: Vec<Node> = (100..100 + NODES)
        .map(|id| start(dir.path(), id, vec![cool; usize::from(CHANNELS)], endpoint))
        .collect();
    wait_for("every value to be heard", BOUND, async || {
        let picture = block_in_place(|| yagura.snapshot())?;
        let points = picture.points.iter();
        let heard = points.filter(|point| point.value.is_some_and(|value| value < 25.0));
        (heard.count() > usize::from(NODES) * usize::from(CHANNELS)).then_some(())
    })
    .await;
    let core = yagura.role("core").unwrap();
    let before = resident_mb(core).unwrap();

    let all = |value| {
        for node in &others {
            (0..CHANNELS).for_each(|channel| node.set(channel, Ok(value)));
        }
    };
    let stream = yagura.stream();
    let (mut slowest, mut slowest_picture) = (Duration::ZERO, Duration::ZERO);
    for wave in 1..=WAVES {
        all(35_000);
        // Beside the wave, not after it.
        let begun = Instant::now();
        door.set_contact(0, true);
        let (_, at) =
            block_in_place(|| stream.record("alarm_raised", BOUND, |row| row["alarm"] == "door.1.forced"));
        slowest = slowest.max(at - begun);
        door.set_contact(0, false);
        block_in_place(|| stream.record("alarm_returned", BOUND, |row| row["alarm"] == "door.1.forced"));
        let each = usize::from(NODES) * usize::from(CHANNELS);
        wait_for("the wave in the journal", BOUND, async || {
            (journaled(&yagura).0 >= wave * each).then_some(())
        })
        .await;
        let begun = Instant::now();
        wait_for("the wave in the picture", PICTURE_BOUND, async || {
            let picture = block_in_place(|| yagura.snapshot())?;
            (picture.alarms.len() >= each).then_some(())
        })
        .await;
        slowest_picture = slowest_picture.max(begun.elapsed());
        all(22_000);
        wait_for("the wave is over", BOUND, async || {
            (journaled(&yagura).1 >= wave * each).then_some(())
        })
        .await;
    }
    assert_eq!(journaled(&yagura), (ALARMS, ALARMS), "each once");
    assert!(slowest < DOOR_BOUND, "the slowest door took {slowest:?}");
    let grown = resident_mb(core).unwrap() - before;
    assert!(grown < MOST_GROWTH_MB, "core grew by {grown:.1} MB");
    println!("door at most {slowest:?}, picture at most {slowest_picture:?}, core grew by {grown:.1} MB");

    // The first ones singly; the rest gathers for its summary, which the tests of notices wait for.
    let mut told = Vec::new();
    wait_for("the first alarms to be told", BOUND, async || {
        told.extend(hook.rest().iter().map(hil_tests::hook::Posted::json));
        singly(&told).next().is_some().then_some(())
    })
    .await;
    told.extend(hook.rest().iter().map(hil_tests::hook::Posted::json));
    let raised: Vec<&str> = singly(&told).collect();
    assert!(raised.len() <= MAX_SINGLY, "{raised:?}");
    assert!(told.len() <= MOST_MESSAGES, "{told:?}");
}

/// Temperatures that a message tells singly.
fn singly(told: &[serde_json::Value]) -> impl Iterator<Item = &str> {
    let alarms = told.iter().map(|json| &json["alarm"]);
    let raised = alarms.filter(|alarm| alarm["moment"] == "raised");
    raised
        .filter_map(|alarm| alarm["id"].as_str())
        .filter(|id| id.starts_with("t."))
}

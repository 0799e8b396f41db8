//! The life of a node, from the box to being taken out of service: the emulated board with a
//! blank memory, the real commands on its console, the real controller.

use super::{hex, node, yagura};
use hil_tests::bench::{Bench as _, EEPROM_LEN, QemuBench};
use hil_tests::product::Yagura;
use hil_tests::sitefile::SiteFile;
use hil_tests::standin::BOUND;
use hil_tests::{cannot_run, free_port, wait_for};
use node::layout::BLOCK_AT;
use room::snapshot::{AlarmState, Node};
use serde_json::Value;
use shared::provision::{BLOCK_LEN, Provision, ProvisionError};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const BLANK: &str = "the node is not provisioned";

/// A site with one node: a leak contact and a temperature.
fn site(dir: &Path, endpoint: SocketAddr) -> PathBuf {
    SiteFile::new(dir)
        .builtin_mqtt(endpoint)
        .with(&format!(
            r#"[[node]]
id = 7
name = "node-7"
key_file = "{}/node-7.key"
silent_after = "15s"
board = "lm3s6965"
broker = "10.0.2.2:{}"
[[node.channel]]
channel = 0
point = "leak.1"
quantity = "contact"
contact = "leak"
part = "contact"
at = 1
[[node.channel]]
channel = 1
point = "inlet.temperature"
quantity = "temperature"
part = "tmp105"
at = "0x48"
"#,
            dir.display(),
            endpoint.port()
        ))
        .write()
}

/// The copies of the block in the board's memory; the one in force is the one with the higher
/// generation.
fn block(bench: &QemuBench) -> Result<Provision, ProvisionError> {
    let eeprom = bench.eeprom().unwrap();
    let copy = |at: u16| {
        let bytes: [u8; BLOCK_LEN] = eeprom[usize::from(at)..][..BLOCK_LEN].try_into().unwrap();
        Provision::decode(&bytes)
    };
    match BLOCK_AT.map(copy) {
        [Ok(one), Ok(other)] if other.generation > one.generation => Ok(other),
        [Err(_), other] => other,
        [one, _] => one,
    }
}

/// A command; board and controller go on meanwhile.
fn run(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    tokio::task::block_in_place(|| yagura(dir, args))
}

/// A command about the node at its console.
fn at_console(dir: &Path, verb: &str, port: &str) -> (Option<i32>, String) {
    tokio::task::block_in_place(|| node(dir, verb, "node-7", port, &[]))
}

/// An order through the running controller.
fn order(dir: &Path, verb: &str) -> (Option<i32>, String) {
    run(dir, &["node", verb, "--config", "site.toml", "--node", "node-7"])
}

/// Waits until the console says `text` once more than `before` times.
async fn says_again(bench: &QemuBench, text: &str, before: usize) {
    wait_for(&format!("`{text}` on the console again"), BOUND, async || {
        (bench.console().matches(text).count() > before).then_some(())
    })
    .await;
}

fn wait_node(yagura: &Yagura, what: &str, is: impl Fn(&Node) -> bool) -> Node {
    yagura.wait(what, BOUND, |room| {
        room.nodes.first().filter(|node| is(node)).cloned()
    })
}

/// Waits for a temperature of the room, in degrees.
fn wait_temperature(yagura: &Yagura, degrees: f64) {
    yagura.wait(&format!("{degrees} degrees"), BOUND, |room| {
        let point = room.points.iter().find(|point| point.id == "inlet.temperature")?;
        (point.value == Some(degrees)).then_some(())
    });
}

fn events(yagura: &Yagura, kind: &str) -> Vec<Value> {
    let rows = yagura.records().into_iter();
    rows.filter(|row| row["kind"] == "node_event" && row["event"]["event"] == kind)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_board_out_of_the_box_becomes_a_node_changes_its_key_and_is_taken_out_of_service() {
    if cannot_run(QemuBench::missing()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let endpoint = free_port();
    let site = site(dir, endpoint);
    let mut bench = QemuBench::blank(BTreeMap::from([(0, 1)]));
    let port = bench.port();

    // Out of the box it says what it lacks, and answers.
    bench.power_on().await;
    bench.console_wait(BLANK, BOUND).await;
    let (code, said) = at_console(dir, "provision", &port);
    assert_eq!(code, Some(0), "{said}");
    let first = block(&bench).unwrap();
    let key_file = dir.join("node-7.key");
    let key = std::fs::read_to_string(&key_file).unwrap();
    assert_eq!((first.node, hex(&first.key).as_str()), (7, key.trim()));

    // It starts by itself, and the room shows what it measures.
    let yagura = Yagura::run(&site);
    wait_node(&yagura, "the new node", |node| node.state == "alive");
    bench.temperature(31_500).await;
    wait_temperature(&yagura, 31.5);
    bench.contact(0, true).await;
    yagura.wait_alarm("leak.1.wet", AlarmState::Unacknowledged, BOUND);
    bench.contact(0, false).await;

    // In service it tells how it is, and nothing that is typed there overwrites it.
    let (code, said) = run(dir, &["node", "status", "--port", &port]);
    assert_eq!(code, Some(0), "{said}");
    for words in ["running", &first.device_key().fingerprint()] {
        assert!(said.contains(words), "{said}");
    }
    let (code, said) = at_console(dir, "provision", &port);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("provisioned as 7 already") && said.contains("yagura node erase"),
        "{said}"
    );

    // A new key, in the memory and in the book of the controller.
    let (code, said) = order(dir, "rotate-key");
    assert_eq!(code, Some(0), "{said}");
    let with_new_key = |node: &Node| {
        let key = node.key.as_ref();
        node.state == "alive" && key.is_some_and(|key| key.id == Some(1) && key.next.is_none())
    };
    wait_node(&yagura, "the new key", with_new_key);
    let second = block(&bench).unwrap();
    assert_eq!(second.key_id, 1);
    assert_ne!(second.key, first.key);
    // The old one is nowhere in the memory any more.
    wait_for("the old key to be overwritten", BOUND, async || {
        let eeprom = bench.eeprom()?;
        (!eeprom.windows(32).any(|bytes| bytes == first.key)).then_some(())
    })
    .await;

    // Neither a power cut of the node nor a restart of the controller goes back to the old one.
    bench.power_cut().await;
    drop(yagura);
    let yagura = Yagura::run(&site);
    bench.temperature(22_000).await;
    bench.power_on().await;
    wait_node(&yagura, "the node with its new key", with_new_key);
    wait_temperature(&yagura, 22.0);

    // Out of service: erased, says so, and the memory holds nothing.
    let before = bench.console().matches(BLANK).count();
    let (code, said) = order(dir, "erase");
    assert_eq!(code, Some(0), "{said}");
    wait_node(&yagura, "the erased node", |node| node.erased);
    assert_eq!(events(&yagura, "key").len(), 2, "rotated, then erased");
    says_again(&bench, BLANK, before).await;
    assert_eq!(bench.eeprom().unwrap(), [0xff; EEPROM_LEN]);

    // And it can begin anew, with another key.
    let (code, said) = at_console(dir, "provision", &port);
    assert_eq!(code, Some(0), "{said}");
    let third = block(&bench).unwrap();
    assert!(third.key != first.key && third.key != second.key);
    let (code, said) = run(dir, &["node", "status", "--port", &port]);
    assert_eq!(code, Some(0), "{said}");
    for words in ["running", &third.device_key().fingerprint()] {
        assert!(said.contains(words), "{said}");
    }

    // The controller takes the new life for what it is: neither a replay nor a second board.
    drop(yagura);
    let yagura = Yagura::run(&site);
    bench.temperature(19_000).await;
    wait_node(&yagura, "the node in its second life", |node| {
        node.state == "alive" && !node.erased && !node.twin
    });
    wait_temperature(&yagura, 19.0);
}

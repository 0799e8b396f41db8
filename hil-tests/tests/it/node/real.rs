//! The real firmware and the real controller: who may enter comes from a file that staff edit.

use super::{card_switches, switched_on};
use hil_tests::bench::{Bench, CARD_KEY, HOST, Line, Output, QemuBench, ROPE_LINE, room};
use hil_tests::cards::{identity, type_a};
use hil_tests::product::{Yagura, write_secret};
use hil_tests::sitefile::SiteFile;
use hil_tests::standin::BOUND;
use hil_tests::{cannot_run, free_port, wait_for};
use room::snapshot::AlarmState;
use serde_json::Value;
use shared::provision::Provision;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const NODE: u16 = 7;
const KEY: [u8; 32] = [0x77; 32];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A site with a door that the node guards, and a card for Yamada.
fn site(dir: &Path, endpoint: SocketAddr) -> PathBuf {
    let card_key = write_secret(&dir.join("card.key"), &hex(&CARD_KEY));
    let id = hex(&identity(&CARD_KEY, &type_a(1)).1);
    let cards = write_secret(
        &dir.join("cards.toml"),
        &format!(
            "[[card]]\nid = \"{id}\"\nholder = \"山田\"\nportals = [\"entrance\"]\ndays = [\"every\"]\n\
             valid_until = \"2099-12-31\"\n"
        ),
    );
    SiteFile::new(dir)
        .builtin_mqtt(endpoint)
        .with(&format!(
            "[access]\ncard_key_file = \"{}\"\ncards_file = \"{}\"\n",
            card_key.display(),
            cards.display()
        ))
        .node(NODE, KEY, "15s")
        .with(&format!(
            "[[node.portal]]\nname = \"entrance\"\ndoor = \"door.{NODE}\"\n"
        ))
        .write()
}

async fn board(endpoint: SocketAddr) -> QemuBench {
    let mut bench = QemuBench::prepare(&room(Provision::new(NODE, 0, KEY, HOST, endpoint.port())));
    bench.line_voltage(ROPE_LINE, 1_000).await;
    bench.line_voltage(Line::Supply, 12_000).await;
    bench.power_on().await;
    bench
}

/// Waits for an event of the node in the journal.
async fn journal(yagura: &Yagura, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    wait_for(&format!("{what} in the journal"), BOUND, async || {
        let rows = yagura.records();
        rows.into_iter()
            .find(|row| row["kind"] == "node_event" && is(&row["event"]))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_controllers_list_opens_the_door_also_while_the_controller_is_away() {
    if cannot_run(super::missing()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let endpoint = free_port();
    let site = site(dir.path(), endpoint);
    let yagura = Yagura::run(&site);
    let bench = board(endpoint).await;
    journal(&yagura, "that the list is in force", |event| {
        event["event"] == "list"
    })
    .await;

    drop(yagura);
    // Nobody is there to ask.
    card_switches(&bench, &type_a(1), Output::Strike).await;
    let opened = switched_on(&bench, Output::Strike);
    card_switches(&bench, &type_a(2), Output::DeniedLed).await;
    assert_eq!(
        switched_on(&bench, Output::Strike),
        opened,
        "a stranger stays outside"
    );

    // Back, and the book has both.
    let yagura = Yagura::run(&site);
    for decision in ["granted", "unknown"] {
        let row = journal(&yagura, decision, |event| {
            event["event"] == "credential" && event["decision"] == decision
        })
        .await;
        eprintln!("{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_boards_with_one_identity_are_told_apart() {
    if cannot_run(super::missing()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let endpoint = free_port();
    let yagura = Yagura::run(&site(dir.path(), endpoint));
    let _one = board(endpoint).await;
    yagura.wait("the first board", BOUND, |s| {
        (s.nodes.first()?.state == "alive").then_some(())
    });
    let _other = board(endpoint).await;
    yagura.wait_alarm(&format!("node-{NODE}.twin"), AlarmState::Unacknowledged, BOUND);
}

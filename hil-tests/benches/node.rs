//! What a sensor node takes and how fast it is, on the emulated board. Run it by
//! `cargo xtask bench node`; it prints figures beside their targets and asserts nothing. A part of it:
//! `cargo bench -p hil-tests --bench node -- idle` (or `one`).
//!
//! QEMU's time is the host's: it is no Cortex-M3 of 12.5 MHz. Code runs faster here than on the
//! chip, and a loaded host makes everything slower; bytes on the simulated lines take no time. So
//! the spans are those of a node on a line without length. A real board on the bench
//! (`HIL_PORT`) gives true ones.

use hil_tests::bench::{
    Bench, CARD_KEY, HOST, Line, Output, QemuBench, ROPE_LINE, closet, room, room_of_type_a,
};
use hil_tests::cards::{CardList, type_a};
use hil_tests::image::{Image, untouched};
use hil_tests::mosquitto::Mosquitto;
use hil_tests::standin::{ACCOUNT, BOUND, Controller};
use hil_tests::{lacking, wait_for};
use shared::mount::{Mount, Part};
use shared::provision::Provision;
use shared::wire::{Down, Up};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, sleep_until};

const NODE: u16 = 7;
const KEY: [u8; 32] = [0x5c; 32];
/// Cards on the list, as many as a node takes.
const CARDS: usize = 500;
/// Cards presented and contact edges measured.
const CARDS_PRESENTED: u32 = 20;
const EDGES: u32 = 60;
/// Contacts beside those of the room, so that none of them is told too often: their places, and
/// the channel of the first.
const CONTACTS: std::ops::Range<u8> = 3..13;
const FIRST: u8 = 8;
/// The outage: its length and what happens in it.
const OUTAGE: Duration = Duration::from_secs(8);
const EVENTS: u32 = 12;
const OUTAGES: u32 = 3;
/// Idle nodes, and how long they are watched.
const NODES: u16 = 12;
const WATCHED: Duration = Duration::from_secs(20);
/// Ticks of `/proc/<pid>/stat` in a second, on every Linux of ours.
const TICKS_PER_S: f64 = 100.0;

fn main() {
    // `cargo test` builds and runs bench targets too; there is nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    if let Some(what) = QemuBench::missing().or_else(|| lacking(&["mosquitto"])) {
        println!("node: SKIPPED, missing {what}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let parts: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    runtime.block_on(async {
        if wanted("one") {
            one_node().await;
        }
        if wanted("idle") {
            idle_nodes("temperature and two contacts", closet).await;
            idle_nodes("a door for one kind of card, and all sensors", room_of_type_a).await;
            idle_nodes("a door for both kinds of card, and all sensors", room).await;
        }
    });
}

/// Prints a figure beside its target.
fn figure(what: &str, value: f64, unit: &str, target: f64, detail: &str) {
    let verdict = if value <= target { "met" } else { "MISSED" };
    println!("{what}: {value:.1} {unit} (target {target} {unit}, {verdict}){detail}");
}

/// Prints the median of spans beside its target.
fn median(what: &str, mut spans: Vec<f64>, target: f64) {
    spans.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (spans.first(), spans.last()) else {
        println!("{what}: nothing was measured");
        return;
    };
    let detail = format!(", extremes {low:.1} to {high:.1} ms, n = {}", spans.len());
    figure(
        &format!("{what}, median"),
        spans[(spans.len() - 1) / 2],
        "ms",
        target,
        &detail,
    );
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

struct Room {
    bench: QemuBench,
    controller: Controller,
    mosquitto: Mosquitto,
    _folder: TempDir,
}

async fn start() -> Room {
    let folder = tempfile::tempdir().expect("a folder");
    let provision = |port| {
        let mut provision = room(Provision::new(NODE, 1, KEY, HOST, port));
        let contacts = CONTACTS.map(|place| Some(Mount::new(Part::Contact, place, 0)));
        provision.mounts.extend(contacts);
        provision
    };
    let (node, password) = (NODE.to_string(), provision(1).broker_password());
    let mosquitto = Mosquitto::with_accounts(folder.path(), &[ACCOUNT, (&node, &password)]);
    let provision = provision(mosquitto.addr.port());
    let controller = Controller::start(mosquitto.addr, &provision).await;
    let mut bench = QemuBench::prepare(&provision);
    bench.line_voltage(ROPE_LINE, 1_000).await;
    bench.line_voltage(Line::Supply, 12_000).await;
    bench.power_on().await;
    bench.console_wait("broker: connected", BOUND).await;
    controller
        .event_that("a hello", |event| matches!(event, Up::Hello { .. }))
        .await;
    controller.tell(Down::SetTime).await;
    Room {
        bench,
        controller,
        mosquitto,
        _folder: folder,
    }
}

async fn one_node() {
    let mut room = start().await;
    let image = Image::read(&QemuBench::firmware());
    cards(&mut room).await;
    edges(&mut room).await;
    outages(&mut room).await;
    let variables = image.end_of_variables();
    let ram = room.bench.ram().await;
    let stack = ram.len() - variables - untouched(&ram, variables);
    let kilo = |bytes: usize| bytes as f64 / 1024.0;
    figure(
        "node: flash, without TLS",
        kilo(image.flash() as usize),
        "KB",
        128.0,
        "",
    );
    let detail = format!(": {variables} bytes of variables, {stack} of stack at its deepest");
    figure("node: RAM", kilo(variables + stack), "KB", 24.0, &detail);
    drop(room.mosquitto);
}

/// A card held to the reader until the strike's relay is switched, with a full list.
async fn cards(room: &mut Room) {
    let card = type_a(1);
    CardList::new(CARD_KEY, 1)
        .with(&card, |_| ())
        .filled(CARDS)
        .give(&room.controller)
        .await;
    let mut spans = Vec::new();
    for turn in 0..CARDS_PRESENTED {
        let before = room.bench.trace().len();
        // Not in step with the reader's own rounds.
        sleep(Duration::from_millis(u64::from(turn * 37 % 100))).await;
        let begun = Instant::now();
        room.bench.reader().card(card.clone());
        let strike = wait_for("the strike", BOUND, async || {
            let trace = room.bench.trace();
            trace[before..]
                .iter()
                .find(|one| one.output == Output::Strike && one.on)
                .copied()
        })
        .await;
        spans.push(millis(strike.at - begun));
        room.bench.reader().card_away();
        room.bench.output_wait(Output::Strike, false, BOUND).await;
        sleep(Duration::from_millis(600)).await;
    }
    median(
        &format!("node: card presented -> strike, list of {CARDS}"),
        spans,
        150.0,
    );
}

/// A contact's pin changes until its frame has come from the broker.
async fn edges(room: &mut Room) {
    let mut spans = Vec::new();
    for edge in 0..EDGES {
        let turns = edge / CONTACTS.len() as u32;
        let (channel, open) = (
            FIRST + (edge % CONTACTS.len() as u32) as u8,
            turns.is_multiple_of(2),
        );
        let seen = room.controller.read(|heard| heard.events.len());
        // Neither in step with the node's own timers nor on the heels of the last event.
        sleep(Duration::from_millis(u64::from(250 + edge * 37 % 100))).await;
        let begun = Instant::now();
        room.bench.contact(channel, open).await;
        let at = room
            .controller
            .until("the contact's frame", |heard| {
                let mut new = heard.events.iter().zip(&heard.event_times).skip(seen);
                new.find(|((_, body), _)| *body == Up::Contact { channel, open })
                    .map(|(_, at)| *at)
            })
            .await;
        spans.push(millis(at - begun));
    }
    median(
        "node: contact edge -> frame at the broker (5 ms of it debounce)",
        spans,
        8.0,
    );
}

async fn outages(room: &mut Room) {
    let mut slowest: f64 = 0.0;
    for _ in 0..OUTAGES {
        let first = room.controller.read(|heard| heard.committed);
        let back_at = Instant::now() + OUTAGE;
        room.bench.link(false).await;
        for edge in 0..EVENTS {
            let channel = FIRST + (edge % (EVENTS / 2)) as u8;
            room.bench.contact(channel, edge < EVENTS / 2).await;
            sleep(Duration::from_millis(200)).await;
        }
        sleep_until(back_at).await;
        room.bench.link(true).await;
        let begun = Instant::now();
        let last = first + EVENTS;
        let at = room
            .controller
            .until("every event of the outage", |heard| {
                let mut events = heard.events.iter().zip(&heard.event_times);
                events
                    .find(|((header, _), _)| header.seq == last)
                    .map(|(_, at)| *at)
            })
            .await;
        slowest = slowest.max((at - begun).as_secs_f64());
    }
    let detail = format!(", the slowest of {OUTAGES}");
    figure(
        &format!("node: {EVENTS} events of an outage of 8 s, all delivered after the link was back"),
        slowest,
        "s",
        3.0,
        &detail,
    );
}

/// Nodes with nothing to do: processor time of their emulators.
async fn idle_nodes(with: &str, mounted: fn(Provision) -> Provision) {
    let folder = tempfile::tempdir().expect("a folder");
    let provision = |node: u16, port| mounted(Provision::new(node, 1, KEY, HOST, port));
    let ids: Vec<(String, String)> = (1..=NODES)
        .map(|node| {
            (
                node.to_string(),
                provision(node, 1).broker_password().as_str().to_owned(),
            )
        })
        .collect();
    let accounts: Vec<(&str, &str)> = ids
        .iter()
        .map(|(id, password)| (id.as_str(), password.as_str()))
        .collect();
    let mosquitto = Mosquitto::with_accounts(folder.path(), &accounts);
    let mut benches = Vec::new();
    for node in 1..=NODES {
        let mut bench = QemuBench::prepare(&provision(node, mosquitto.addr.port()));
        bench.line_voltage(ROPE_LINE, 1_000).await;
        bench.line_voltage(Line::Supply, 12_000).await;
        bench.power_on().await;
        bench.console_wait("broker: connected", BOUND).await;
        benches.push(bench);
    }
    sleep(Duration::from_secs(2)).await;
    let processes: Vec<u32> = benches.iter_mut().map(QemuBench::process).collect();
    let used = || processes.iter().map(|pid| cpu_seconds(*pid)).sum::<f64>();
    let (before, begun) = (used(), Instant::now());
    sleep(WATCHED).await;
    let share = (used() - before) / begun.elapsed().as_secs_f64() * 100.0;
    figure(
        &format!("node: {NODES} idle nodes together, each with {with}"),
        share,
        "% of a core",
        2.0,
        "",
    );
}

/// Processor time of a process so far.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may contain anything; user and system time stand 12 and 13 behind.
    let fields = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace();
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / TICKS_PER_S
}

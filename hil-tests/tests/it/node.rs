//! What a sensor node does in a server room: scenarios on the emulated board with the real
//! firmware, and on a real board when one is plugged in.
//!
//! A scenario takes the bench and the stand-in of the controller; it never knows which board it
//! runs on. Each test here starts a room and plays one or a few scenarios in it.
//! [`every_scenario_on_a_real_board`] plays all of them one after the other where `HIL_PORT` and
//! `HIL_BOX` say that there is a board, and otherwise skips aloud.

mod door;
mod life;
mod memory;
mod parts;
mod real;
mod tls;

use hil_tests::bench::{
    Bench, HOST, Line, Output, Ports, QemuBench, ROPE_LINE, SerialBench, no_board, room as room_of,
};
use hil_tests::mosquitto::Mosquitto;
use hil_tests::pn532::Card;
use hil_tests::standin::{ACCOUNT, BOUND, Controller};
use hil_tests::{cannot_run, free_port, lacking};
use shared::provision::Provision;
use shared::wire::{DoorEvent, Down, Header, Up};
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

const NODE: u16 = 7;
const KEY: [u8; 32] = [0x6b; 32];

/// What is missing for these tests on this machine.
fn missing() -> Option<String> {
    QemuBench::missing().or_else(|| lacking(&["mosquitto"]))
}

/// A node, its broker and the stand-in.
struct Room<B> {
    bench: B,
    controller: Controller,
    _mosquitto: Mosquitto,
    _folder: tempfile::TempDir,
}

impl Room<QemuBench> {
    /// A room in which everything is at rest and the node is connected.
    async fn start() -> Self {
        let mut room = Self::prepare().await;
        room.bench.power_on().await;
        settled(&mut room.bench, &room.controller).await;
        room
    }

    /// As [`Self::start`], but the node has no power yet.
    async fn prepare() -> Self {
        let addr = free_port();
        let (mosquitto, folder, provision) = broker(addr, HOST);
        let controller = Controller::start(addr, &provision).await;
        let mut bench = QemuBench::prepare(&provision);
        at_rest(&mut bench).await;
        Self {
            bench,
            controller,
            _mosquitto: mosquitto,
            _folder: folder,
        }
    }
}

impl Room<SerialBench> {
    /// The room around a real board.
    async fn start(ports: &Ports) -> Self {
        let addr: SocketAddrV4 = std::env::var("HIL_BROKER")
            .expect("HIL_PORT is set: HIL_BROKER must say where the board reaches this host, as address:port")
            .parse()
            .expect("HIL_BROKER is an IPv4 address and a port");
        let (mosquitto, folder, provision) = broker(addr.into(), addr.ip().octets());
        let controller = Controller::start(addr.into(), &provision).await;
        let mut bench = SerialBench::open(ports).await;
        at_rest(&mut bench).await;
        bench.provision(&provision).await;
        settled(&mut bench, &controller).await;
        Self {
            bench,
            controller,
            _mosquitto: mosquitto,
            _folder: folder,
        }
    }
}

fn broker(addr: SocketAddr, seen_at: [u8; 4]) -> (Mosquitto, tempfile::TempDir, Provision) {
    let provision = room_of(Provision::new(NODE, 1, KEY, seen_at, addr.port()));
    let folder = tempfile::tempdir().unwrap();
    let (node, password) = (NODE.to_string(), provision.broker_password());
    let mosquitto = Mosquitto::with_accounts_on(folder.path(), addr, &[ACCOUNT, (&node, &password)]);
    (mosquitto, folder, provision)
}

/// Doors closed, everything dry, 12 V.
async fn at_rest(bench: &mut impl Bench) {
    bench.line_voltage(ROPE_LINE, 1_000).await;
    bench.line_voltage(Line::Supply, 12_000).await;
}

/// Waits until the node is heard and knows the time.
async fn settled(bench: &mut impl Bench, controller: &Controller) {
    bench.console_wait("broker: connected", BOUND).await;
    controller
        .event_that("a hello", |event| matches!(event, Up::Hello { .. }))
        .await;
    // A door that is opened before the node has looked at it is found open, and nobody forced it.
    controller
        .event_that("a closed door", |event| {
            matches!(
                event,
                Up::Door {
                    event: DoorEvent::Closed,
                    ..
                }
            )
        })
        .await;
    controller.tell(Down::SetTime).await;
    tells(controller).await;
}

/// Asks the node for a report and waits for it: everything sent before has been obeyed then.
async fn tells(controller: &Controller) {
    let heartbeats = |heard: &mut hil_tests::standin::Heard| {
        let heartbeat = |(_, body): &&(Header, Up)| matches!(body, Up::Heartbeat { .. });
        heard.telemetry.iter().filter(heartbeat).count()
    };
    let before = controller.read(heartbeats);
    controller.tell(Down::Report).await;
    controller
        .until("a report", |heard| (heartbeats(heard) > before).then_some(()))
        .await;
}

/// How long a card is held to the reader in vain before it is taken away and held again, as
/// people do: a reader that restarts just then does not see it.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between two people, or two attempts: how long the node may take to see that the card is gone. A
/// node whose reader is in trouble does not leave it alone, and the next one comes all the same.
const NEXT_PLEASE: Duration = Duration::from_secs(3);
const ATTEMPTS: u32 = 5;

/// Holds a card to the reader until `happens` brings what is to happen, then takes it away.
async fn held_until<T>(bench: &impl Bench, card: &Card, what: &str, happens: impl AsyncFn() -> T) -> T {
    let found = held_and_kept(bench, card, what, happens).await;
    taken_away(bench).await;
    found
}

/// Holds a card to the reader until `happens` brings what is to happen, and goes on holding it.
async fn held_and_kept<T>(bench: &impl Bench, card: &Card, what: &str, happens: impl AsyncFn() -> T) -> T {
    for attempt in 1..=ATTEMPTS {
        bench.reader().card(card.clone());
        if let Ok(found) = tokio::time::timeout(PATIENCE, happens()).await {
            return found;
        }
        eprintln!("attempt {attempt} to present a card was not seen: {what}");
        taken_away(bench).await;
    }
    panic!("a card was held to the reader {ATTEMPTS} times in vain: {what}");
}

/// Takes the card away and waits until the node has seen that, or the next one's patience ends.
async fn taken_away(bench: &impl Bench) {
    bench.reader().card_away();
    let left_alone = async {
        while !bench.reader().is_left_alone() {
            tokio::time::sleep(hil_tests::LOOK_EVERY).await;
        }
    };
    let _ = tokio::time::timeout(NEXT_PLEASE, left_alone).await;
}

/// Holds a card to the reader until its event has come.
async fn held_to_reader(
    bench: &impl Bench,
    controller: &Controller,
    card: &Card,
    seq: u32,
    what: &str,
    is: impl Fn(&Up) -> bool,
) -> (Header, Up) {
    held_until(bench, card, what, async || {
        controller.event_after(seq, what, &is).await
    })
    .await
}

/// How often an output has been switched on.
fn switched_on(bench: &impl Bench, output: Output) -> usize {
    let trace = bench.trace();
    trace.iter().filter(|one| one.output == output && one.on).count()
}

/// Holds a card to the reader until an output is switched on.
async fn card_switches(bench: &impl Bench, card: &Card, output: Output) {
    let before = switched_on(bench, output);
    let what = format!("{output:?} on");
    held_until(bench, card, &what, async || {
        hil_tests::wait_for(&what, BOUND, async || {
            (switched_on(bench, output) > before).then_some(())
        })
        .await;
    })
    .await;
}

/// Sequence of the last event that has arrived.
fn last(controller: &Controller) -> u32 {
    controller.read(|heard| heard.committed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_on_a_real_board() {
    if no_board() {
        return;
    }
    let ports = Ports::of_environment().expect("looked at just now");
    let mut room = Room::<SerialBench>::start(&ports).await;
    let (bench, controller) = (&mut room.bench, &room.controller);
    door::cards_are_decided_by_the_list(bench, controller).await;
    door::without_network_the_door_works_as_before(bench, controller).await;
    door::a_door_without_grant_is_forced_and_one_that_stays_open_is_held(bench, controller).await;
    door::a_hanging_reader_is_reset(bench, controller).await;
    door::an_unplugged_reader_is_told_once(bench, controller).await;
    parts::a_probe_that_lies_or_is_mute_is_no_data(bench, controller).await;
    parts::a_rope_is_dry_wet_broken_or_shorted(bench, controller).await;
    parts::a_bouncing_contact_becomes_one_event(bench, controller).await;
}

macro_rules! on_the_emulated_board {
    ($($name:ident: $($scenario:path),+;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if cannot_run(missing()) {
                    return;
                }
                let mut room = Room::<QemuBench>::start().await;
                $($scenario(&mut room.bench, &room.controller).await;)+
            }
        )+
    };
}

on_the_emulated_board! {
    cards_online_and_offline: door::cards_are_decided_by_the_list, door::without_network_the_door_works_as_before;
    a_door_forced_and_held: door::a_door_without_grant_is_forced_and_one_that_stays_open_is_held;
    a_reader_in_trouble: door::a_hanging_reader_is_reset, door::an_unplugged_reader_is_told_once;
    a_probe_in_trouble: parts::a_probe_that_lies_or_is_mute_is_no_data;
    a_leak_rope: parts::a_rope_is_dry_wet_broken_or_shorted;
    a_bouncing_contact: parts::a_bouncing_contact_becomes_one_event;
}

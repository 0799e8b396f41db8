//! The real firmware on the emulated board, against Debian's mosquitto and a stand-in for the
//! controller.
//!
//! Skips aloud where QEMU, the firmware or mosquitto is missing; under CI that is a failure.

use hil_tests::bench::{Bench, HOST, QemuBench, closet};
use hil_tests::image::{Image, untouched};
use hil_tests::mosquitto::Mosquitto;
use hil_tests::standin::{ACCOUNT, BOUND, Controller, Heard, sample};
use hil_tests::{cannot_run, lacking, wait_for};
use shared::provision::Provision;
use shared::wire::{DeviceKey, Down, Header, Refusal, ResetCause, Up, seal_down};
use shared::{NoData, Quantity, Sample};
use std::time::Duration;
use tokio::time::Instant;

const NODE: u16 = 7;
const DOOR: u8 = QemuBench::DOOR;
const LEAK: u8 = QemuBench::LEAK;

/// What is missing for these tests on this machine.
fn missing() -> Option<String> {
    QemuBench::missing().or_else(|| lacking(&["mosquitto"]))
}

/// The broker and its files.
type Broker = (Mosquitto, tempfile::TempDir);

async fn room() -> (QemuBench, Controller, Broker) {
    let folder = tempfile::tempdir().unwrap();
    let (node, password) = (NODE.to_string(), ours(0).broker_password());
    let mosquitto = Mosquitto::with_accounts(folder.path(), &[ACCOUNT, (&node, &password)]);
    let provision = ours(mosquitto.addr.port());
    let controller = Controller::start(mosquitto.addr, &provision).await;
    let board = QemuBench::start(&provision).await;
    (board, controller, (mosquitto, folder))
}

fn ours(port: u16) -> Provision {
    closet(Provision::new(NODE, 1, [0x5a; 32], HOST, port))
}

const fn contact(channel: u8, open: bool) -> Up {
    Up::Contact { channel, open }
}

const fn hello(cause: ResetCause) -> Up {
    Up::Hello {
        firmware: (0, 1, 0),
        cause,
        channels: 3,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edges_of_the_contacts_arrive() {
    if cannot_run(missing()) {
        return;
    }
    let (mut board, controller, _broker) = room().await;
    let first = controller.event(hello(ResetCause::PowerOn)).await;
    assert_eq!((first.node, first.boot, first.seq), (NODE, 1, 1));
    for (channel, open) in [(DOOR, true), (LEAK, true), (DOOR, false), (LEAK, false)] {
        let begun = Instant::now();
        board.contact(channel, open).await;
        controller.event(contact(channel, open)).await;
        eprintln!("contact {channel} open={open}: {:?}", begun.elapsed());
    }
    controller
        .until("the node's presence", |heard| {
            heard.presence.iter().any(|payload| payload == "1").then_some(())
        })
        .await;
    // The will speaks when the power goes.
    board.power_cut().await;
    controller
        .until("the will", |heard| {
            heard
                .presence
                .last()
                .is_some_and(|payload| payload == "0")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn temperature_and_contacts_are_reported() {
    if cannot_run(missing()) {
        return;
    }
    let (mut board, controller, _broker) = room().await;
    let is = |milli| {
        move |sample: &Sample| {
            (sample.channel, sample.quantity, sample.value)
                == (QemuBench::TEMPERATURE, Quantity::Temperature, Ok(milli))
        }
    };
    controller.sample("25 °C", is(25_000)).await;
    for milli in [41_500, -7_250, 0] {
        board.temperature(milli).await;
        controller
            .sample(&format!("{milli} thousandths"), is(milli))
            .await;
    }
    board.contact(LEAK, true).await;
    controller
        .sample("the leak contact as a sample", |sample| {
            (sample.channel, sample.quantity, sample.value) == (LEAK, Quantity::Contact, Ok(1_000))
        })
        .await;
    controller
        .until("a heartbeat without anything pending", |heard| {
            let quiet = |(_, body): &(Header, Up)| {
                matches!(
                    body,
                    Up::Heartbeat {
                        pending: 0,
                        dropped: 0,
                        ..
                    }
                )
            };
            heard.telemetry.iter().any(quiet).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_eight_seconds_without_cable_every_event_arrives_once_and_in_order() {
    const CUT: Duration = Duration::from_secs(8);
    const EDGES: u32 = 12;
    if cannot_run(missing()) {
        return;
    }
    let (mut board, controller, _broker) = room().await;
    let first = controller.event(hello(ResetCause::PowerOn)).await.seq;
    let back_at = Instant::now() + CUT;
    board.link(false).await;
    for edge in 0..EDGES {
        board.contact(DOOR, edge % 2 == 0).await;
        // The firmware has written the event when its slot in the EEPROM is filled.
        stored(&board, first + 1 + edge).await;
    }
    tokio::time::sleep_until(back_at).await;
    assert_eq!(
        controller.read(|heard| heard.committed),
        first,
        "nothing passes a cut cable"
    );
    board.link(true).await;
    let begun = Instant::now();
    let last = first + EDGES;
    controller
        .until("the last event", |heard| (heard.committed == last).then_some(()))
        .await;
    eprintln!(
        "all {EDGES} events {:?} after the cable was back",
        begun.elapsed()
    );
    // `take` has proven the order; each is in the books once.
    let doors = controller.read(|heard| {
        let mut events: Vec<(u32, Up)> = heard
            .events
            .iter()
            .map(|(header, body)| (header.seq, *body))
            .collect();
        events.sort_by_key(|(seq, _)| *seq);
        events.dedup();
        events
    });
    let expected = (0..EDGES).map(|edge| (first + 1 + edge, contact(DOOR, edge % 2 == 0)));
    assert_eq!(doors[1..], expected.collect::<Vec<_>>());
}

/// Waits until the event `seq` is in the EEPROM: in slots of 64 bytes, behind everything else.
async fn stored(board: &QemuBench, seq: u32) {
    const SLOT: usize = 64;
    const RING_AT: usize = 18_432;
    wait_for(&format!("event {seq} in the EEPROM"), BOUND, async || {
        let eeprom = board.eeprom()?;
        let mut slots = eeprom[RING_AT..].chunks(SLOT);
        slots.any(|slot| slot[..4] == seq.to_le_bytes()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_before_a_power_cut_arrive_after_it() {
    if cannot_run(missing()) {
        return;
    }
    let (mut board, controller, _broker) = room().await;
    let first = controller.event(hello(ResetCause::PowerOn)).await.seq;
    board.link(false).await;
    for (offset, (channel, open)) in (1..).zip([(DOOR, true), (LEAK, true), (DOOR, false), (DOOR, true)]) {
        board.contact(channel, open).await;
        stored(&board, first + offset).await;
    }
    board.power_cut().await;
    board.link(true).await;
    board.power_on().await;
    // Door and leak are still open when the node wakes up.
    let after = [
        (2, contact(DOOR, true)),
        (3, contact(LEAK, true)),
        (4, contact(DOOR, false)),
        (5, contact(DOOR, true)),
        (6, hello(ResetCause::PowerOn)),
        (7, contact(DOOR, true)),
        (8, contact(LEAK, true)),
    ];
    controller
        .until("all events", |heard| (heard.committed == first + 7).then_some(()))
        .await;
    let arrived = controller.read(|heard| {
        let mut events: Vec<(u32, Up)> = heard
            .events
            .iter()
            .map(|(header, body)| (header.seq, *body))
            .collect();
        events.retain(|(seq, _)| *seq > first);
        events.sort_by_key(|(seq, _)| *seq);
        events.dedup();
        events
    });
    // Both contacts settle at the same moment, in the order of their channels.
    assert_eq!(arrived, after);
    let boots: Vec<u32> =
        controller.read(|heard| heard.events.iter().map(|(header, _)| header.boot).collect());
    assert!(boots.contains(&1) && boots.last() == Some(&2), "{boots:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brokers_acknowledgement_is_not_the_controllers() {
    if cannot_run(missing()) {
        return;
    }
    let (mut board, controller, _broker) = room().await;
    controller.read(|heard| heard.acknowledge = false);
    controller.event(hello(ResetCause::PowerOn)).await;
    board.contact(DOOR, true).await;
    let seq = controller.event(contact(DOOR, true)).await.seq;
    // mosquitto has acknowledged it. The node still has it, also after a power cut.
    board.power_cut().await;
    board.power_on().await;
    let times = |heard: &mut Heard| {
        heard
            .events
            .iter()
            .filter(|(header, _)| header.seq == seq)
            .count()
    };
    controller
        .until("the event once more", |heard| (times(heard) >= 2).then_some(()))
        .await;
    controller.read(|heard| heard.acknowledge = true);
    controller.tell(Down::Ack { upto: seq }).await;
    controller
        .until("an empty outbox", |heard| match heard.telemetry.last() {
            Some((_, Up::Heartbeat { pending, .. })) if *pending <= 2 => Some(()),
            _ => None,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_bus_is_no_data_and_never_zero_degrees() {
    if cannot_run(missing()) {
        return;
    }
    let (mut board, controller, _broker) = room().await;
    controller
        .sample("a first value", |sample| sample.value == Ok(25_000))
        .await;
    board.freeze_i2c().await;
    let channel = QemuBench::TEMPERATURE;
    controller
        .event(Up::SensorLost {
            channel,
            reason: NoData::BusFault,
        })
        .await;
    controller
        .sample("no data", |sample| sample.value == Err(NoData::BusFault))
        .await;
    // The door is heard while the EEPROM is out of reach.
    board.contact(DOOR, true).await;
    controller.event(contact(DOOR, true)).await;
    // Once more, as the five-second report says it.
    let reports = |heard: &mut Heard| {
        let missing = |(_, body): &&(Header, Up)| {
            sample(body).is_some_and(|sample| sample.value == Err(NoData::BusFault))
        };
        heard.telemetry.iter().filter(missing).count()
    };
    controller
        .until("no data again", |heard| (reports(heard) >= 2).then_some(()))
        .await;
    board.thaw_i2c().await;
    controller.event(Up::SensorBack { channel }).await;
    let temperatures: Vec<Sample> = controller.read(|heard| {
        let samples = heard.telemetry.iter().filter_map(|(_, body)| sample(body));
        samples.filter(|sample| sample.channel == channel).collect()
    });
    let honest = |sample: &Sample| {
        matches!(
            sample.value,
            Ok(25_000) | Err(NoData::BusFault | NoData::NeverHeard)
        )
    };
    assert!(temperatures.iter().all(honest), "{temperatures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_can_be_freed_is_freed() {
    if cannot_run(missing()) {
        return;
    }
    let (mut board, controller, _broker) = room().await;
    controller
        .sample("a first value", |sample| sample.value == Ok(25_000))
        .await;
    board.glitch_i2c().await;
    let channel = QemuBench::TEMPERATURE;
    let lost = Up::SensorLost {
        channel,
        reason: NoData::BusFault,
    };
    let lost = controller.event(lost).await.seq;
    let back = controller.event(Up::SensorBack { channel }).await.seq;
    assert!(back > lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_replayed_and_truncated_frames_are_refused_and_reported() {
    if cannot_run(missing()) {
        return;
    }
    let (board, controller, _broker) = room().await;
    controller.event(hello(ResetCause::PowerOn)).await;
    board.console_wait("broker: connected", BOUND).await;
    let heartbeats = |heard: &mut Heard| {
        let heartbeat = |(_, body): &&(Header, Up)| matches!(body, Up::Heartbeat { .. });
        heard.telemetry.iter().filter(heartbeat).count()
    };

    // A frame that is obeyed, so that its replay is a replay. Every `Report` brings a heartbeat.
    let before = controller.read(heartbeats);
    let good = controller.told(Down::Report).await;
    controller
        .until("a report", |heard| (heartbeats(heard) > before).then_some(()))
        .await;

    let other_key = DeviceKey::new([1; 32]);
    let (header, later) = controller.read(|heard| (heard.header(900), heard.header(901)));
    let forged = seal_down(&other_key, &header, &Down::Ack { upto: 9_999 }).unwrap();
    let later = Header {
        boot: later.boot + 1,
        ..later
    };
    let other_boot = seal_down(&ours(0).device_key(), &later, &Down::Report).unwrap();
    let mut flipped = controller.frame(Down::Ack { upto: 9_999 });
    flipped[10] ^= 4;
    let truncated = &good[..good.len() - 1];
    let bad: [&[u8]; 7] = [&forged, &flipped, truncated, b"", &[0; 300], &other_boot, &good];
    for payload in bad {
        controller.send(payload).await;
    }
    let count = u32::try_from(bad.len()).unwrap();
    // Reported at once for the first, and ten seconds later for all of them.
    controller
        .until("the first refusal", |heard| {
            let first = |(_, body): &(Header, Up)| {
                matches!(
                    body,
                    Up::Refused {
                        total: 1,
                        why: Refusal::Forged
                    }
                )
            };
            heard.events.iter().any(first).then_some(())
        })
        .await;
    controller
        .event(Up::Refused {
            total: count,
            why: Refusal::Replayed,
        })
        .await;
    // None of them did anything, and the next good frame is obeyed.
    let before = controller.read(heartbeats);
    controller.tell(Down::Report).await;
    controller
        .until("a report", |heard| (heartbeats(heard) > before).then_some(()))
        .await;
    controller
        .until("the count in the heartbeat", |heard| {
            match heard.telemetry.last() {
                Some((_, Up::Heartbeat { refused, .. })) if *refused == count => Some(()),
                _ => None,
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_node_is_reset_by_its_watchdog_and_says_so() {
    if cannot_run(missing()) {
        return;
    }
    let (mut board, controller, _broker) = room().await;
    controller.event(hello(ResetCause::PowerOn)).await;
    // Without the cable nothing but the timer wakes the tasks.
    board.link(false).await;
    wait_for("the watchdog", BOUND, async || {
        board.stop_timer().await;
        board
            .resets()
            .iter()
            .any(|event| event == "WATCHDOG")
            .then_some(())
    })
    .await;
    board.link(true).await;
    let back = controller.event(hello(ResetCause::Watchdog)).await;
    assert_eq!(back.boot, 2);
    // The button is not the watchdog. A late blow may have hit a later boot already, so the
    // watchdog may have bitten more than once.
    board.reset().await;
    let pressed = controller.event(hello(ResetCause::Requested)).await;
    assert!(pressed.boot > back.boot, "boot {}", pressed.boot);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stack_stays_far_from_the_variables() {
    /// Never touched between the two: the distance to disaster.
    const RESERVE: usize = 8 * 1024;
    if cannot_run(missing()) {
        return;
    }
    let (mut board, controller, _broker) = room().await;
    controller.event(hello(ResetCause::PowerOn)).await;
    for open in [true, false] {
        board.contact(DOOR, open).await;
        controller.event(contact(DOOR, open)).await;
    }
    let ram = board.ram().await;
    let variables = Image::read(&QemuBench::firmware()).end_of_variables();
    let untouched = untouched(&ram, variables);
    let stack = ram.len() - variables - untouched;
    eprintln!("RAM: variables {variables}, deepest stack {stack}, never touched {untouched} bytes");
    assert!(untouched >= RESERVE, "{untouched} bytes");
}

//! Scenario: the line between a node and an outside broker is encrypted with the node's own key.
//!
//! The firmware is the one that `cargo xtask firmware --tls` builds, the broker Debian's mosquitto.

use super::{KEY, NODE};
use hil_tests::bench::{Bench, HOST, QemuBench, closet};
use hil_tests::image::{Image, untouched};
use hil_tests::mosquitto::Mosquitto;
use hil_tests::standin::{ACCOUNT, BOUND, Controller};
use hil_tests::{cannot_run, lacking};
use shared::provision::Provision;
use shared::wire::{DeviceKey, Down, Up};

/// Edges that are told in a row, more than one record holds.
const EDGES: u32 = 10;
/// Bytes between stack and variables that are never touched, in spite of the handshake's arithmetic.
const RESERVE: usize = 8 * 1024;

fn missing() -> Option<String> {
    let firmware = || {
        (!QemuBench::tls_firmware().exists()).then(|| "its firmware (cargo xtask firmware --tls)".to_owned())
    };
    QemuBench::missing()
        .or_else(|| lacking(&["mosquitto"]))
        .or_else(firmware)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_tls_talks_only_to_a_broker_that_knows_its_key() {
    if cannot_run(missing()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let key = DeviceKey::new(KEY);
    let (node, password) = (NODE.to_string(), key.broker_password());
    let (mut broker, secure) = Mosquitto::with_tls(folder.path(), &[ACCOUNT, (&node, &password)]);
    let provision = closet(Provision::new(NODE, 1, KEY, HOST, secure.port()));
    let controller = Controller::start(broker.addr, &provision).await;

    // Firmware without TLS is not heard at that port.
    let mut bench = QemuBench::start(&provision).await;
    bench.console_wait("broker: it does not let us in", BOUND).await;
    bench.power_cut().await;

    // Nor is a broker that claims to be ours and has another key, whatever password it would take.
    bench.flash(QemuBench::tls_firmware());
    broker.share_keys(&[(&node, &DeviceKey::new([9; 32]).tls_key())]);
    broker.restart();
    bench.power_on().await;
    bench.console_wait("broker: no TLS", BOUND).await;
    assert_eq!(controller.read(|heard| heard.events.len()), 0);

    broker.share_keys(&[(&node, &key.tls_key())]);
    broker.restart();
    bench.console_wait("broker: connected", BOUND).await;
    // Of both boots.
    const HELLOS: u32 = 2;
    controller
        .until("the hello of both boots", |heard| {
            (heard.committed == HELLOS).then_some(())
        })
        .await;
    // Up, in a row, and down again.
    for edge in 0..EDGES {
        bench.contact(QemuBench::DOOR, edge % 2 == 0).await;
        controller
            .event_after(HELLOS + edge, "the door", |event| {
                matches!(event, Up::Contact { .. })
            })
            .await;
    }
    let heard = controller.read(|heard| heard.telemetry.len());
    controller.tell(Down::Report).await;
    controller
        .until("a report", |now| (now.telemetry.len() > heard).then_some(()))
        .await;

    // What happened while the broker was away comes over the next connection.
    broker.stop();
    bench.contact(QemuBench::DOOR, true).await;
    broker.restart();
    controller
        .event_after(HELLOS + EDGES, "the door", |event| {
            *event
                == Up::Contact {
                    channel: QemuBench::DOOR,
                    open: true,
                }
        })
        .await;

    let ram = bench.ram().await;
    let variables = Image::read(&QemuBench::tls_firmware()).end_of_variables();
    let left = untouched(&ram, variables);
    eprintln!(
        "{variables} bytes of variables, {} of stack at its deepest",
        ram.len() - variables - left
    );
    assert!(left >= RESERVE, "{left} bytes between stack and variables");
}

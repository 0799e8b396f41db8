//! New firmware for a node.

use crate::bench::{Bench, health, site};
use room::engine::MAX_ATTEMPTS;
use room::event::{Command, Refused};
use room::record::Record;
use room::snapshot::AlarmState;
use shared::board::Board;
use shared::image::{file_head, unsigned_head};
use shared::wire::{Down, ImageHead, ResetCause, TransferKind, Up, UpdateOutcome, UpdateRefusal, Version};

const NEW: Version = Version(1, 5, 0);

fn image(size: u32) -> Vec<u8> {
    (0..size).map(|at| (at ^ (at >> 8)) as u8).collect()
}

/// A file as it lies in the controller's folder. Nobody but the node looks at the signature.
fn file(version: Version, size: u32) -> Vec<u8> {
    let bytes = image(size);
    let head = unsigned_head(Board::Stm32f767zi, version, &bytes);
    [file_head(&head).to_vec(), bytes].concat()
}

fn order(image: Vec<u8>) -> Command {
    Command::UpdateNode {
        node: "node-1".to_owned(),
        file: "node-1.5.0.img".to_owned(),
        image,
    }
}

/// The receiving half of a node: it says where it is every 2 KiB.
#[derive(Default)]
struct Receiver {
    head: Option<ImageHead>,
    bytes: Vec<u8>,
    complete: bool,
}

impl Receiver {
    /// Obeys; true when it is to say where it is.
    fn obeys(&mut self, body: Down) -> bool {
        match body {
            Down::UpdateBegin(head) => {
                if self.head != Some(head) {
                    (self.head, self.bytes) = (Some(head), Vec::new());
                }
                true
            }
            Down::UpdateChunk { at, bytes } => {
                let before = self.bytes.len();
                if at as usize == before {
                    self.bytes.extend(bytes);
                }
                let now = self.bytes.len();
                before / 2_048 != now / 2_048 || Some(now as u32) == self.head.map(|head| head.size)
            }
            Down::UpdateEnd => {
                self.complete = true;
                false
            }
            _ => false,
        }
    }
}

impl Bench {
    /// Passes frames to the node and its answers back until nothing more comes.
    fn converse(&mut self, node: &mut Receiver, most: usize) {
        for _ in 0..most {
            let downs = self.downs();
            if downs.is_empty() {
                return;
            }
            for (_, body) in downs {
                if node.obeys(body) {
                    self.telemetry(&Up::Transfer {
                        what: TransferKind::Image,
                        version: NEW.number(),
                        have: node.bytes.len() as u32,
                    });
                }
            }
        }
    }

    fn outcome(&mut self, outcome: UpdateOutcome) {
        self.node_event(&Up::Update {
            version: NEW,
            outcome,
        });
    }

    fn update(&self) -> room::snapshot::Update {
        self.node().update.unwrap()
    }
}

fn heard() -> Bench {
    let mut room = Bench::new();
    room.telemetry(&health(0, u16::MAX));
    room.downs();
    room
}

#[test]
fn an_image_reaches_the_node_byte_for_byte_and_its_fate_is_followed() {
    let mut room = heard();
    let mut node = Receiver::default();
    assert_eq!(room.command(order(file(NEW, 100_001))), None);
    assert_eq!(
        room.recorded(|record| matches!(
            record,
            Record::UpdateBegun { version, file, by, .. }
                if version == "1.5.0" && file == "node-1.5.0.img" && by == "山田"
        )),
        1
    );
    room.converse(&mut node, 10);
    let update = room.update();
    assert_eq!(update.state, "under_way");
    assert!((1..100_001).contains(&update.have), "{}", update.have);
    room.converse(&mut node, 1_000);
    assert!(node.bytes == image(100_001));
    assert!(node.complete);
    assert_eq!(room.counter("image_frames_sent"), 393);
    room.outcome(UpdateOutcome::Staged);
    assert_eq!(room.update().state, "staged");
    room.outcome(UpdateOutcome::Confirmed);
    assert_eq!(room.update().state, "confirmed");
    assert_eq!(room.state("node-1.update"), None);
}

#[test]
fn an_image_that_the_node_refuses_or_rolls_back_is_an_alarm_with_the_reason() {
    for (outcome, state, why) in [
        (
            UpdateOutcome::Refused(UpdateRefusal::Signature),
            "failed",
            "1.5.0: Signature",
        ),
        (UpdateOutcome::RolledBack, "rolled_back", "1.5.0: rolled back"),
    ] {
        let mut room = heard();
        room.command(order(file(NEW, 5_000)));
        room.converse(&mut Receiver::default(), 100);
        room.outcome(outcome);
        assert_eq!(room.update().state, state);
        let alarms = room.engine.snapshot(room.now()).alarms;
        let alarm = alarms.iter().find(|alarm| alarm.id == "node-1.update").unwrap();
        assert_eq!(alarm.because.en, why);
        assert_ne!(alarm.because.ja, why, "in Japanese, too");
        room.downs();
        room.pass(3_600_000);
        assert!(room.downs().is_empty(), "nobody insists");
    }
}

#[test]
fn what_cannot_be_an_update_is_refused_before_anything_is_sent() {
    let mut room = heard();
    let good = file(NEW, 5_000);
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for bytes in [
        Vec::new(),
        b"no image at all".repeat(20),
        good[..good.len() - 1].to_vec(),
        damaged,
    ] {
        assert!(matches!(room.command(order(bytes)), Some(Refused::Invalid(_))));
    }
    for version in [Version(1, 4, 0), Version(1, 3, 9), Version(0, 9, 9)] {
        assert!(
            matches!(
                room.command(order(file(version, 5_000))),
                Some(Refused::Conflict(_))
            ),
            "1.4.0 runs"
        );
    }
    let elsewhere = Command::UpdateNode {
        node: "node-9".to_owned(),
        file: "x".to_owned(),
        image: good.clone(),
    };
    assert!(matches!(room.command(elsewhere), Some(Refused::NotFound(_))));
    assert_eq!(room.counter("image_frames_sent"), 0);
    let mut place = site();
    place.nodes[0].hardware.board = Some(Board::Rp2040W5500);
    let mut other = Bench::with(place);
    other.telemetry(&health(0, u16::MAX));
    assert!(
        matches!(other.command(order(good.clone())), Some(Refused::Invalid(_))),
        "another board"
    );
    assert_eq!(room.command(order(good.clone())), None);
    assert!(
        matches!(room.command(order(good)), Some(Refused::Conflict(_))),
        "one at a time"
    );
}

#[test]
fn a_node_that_starts_anew_on_the_way_gets_all_of_it_again() {
    let mut room = heard();
    room.command(order(file(NEW, 50_000)));
    let mut node = Receiver::default();
    room.converse(&mut node, 5);
    assert!(!node.bytes.is_empty() && !node.complete);
    room.downs();
    let mut node = Receiver::default();
    room.boot = 2;
    room.telemetry_seq = 0;
    room.node_event(&Up::Hello {
        firmware: (1, 4, 0),
        cause: ResetCause::PowerOn,
        channels: 3,
    });
    room.pass(1);
    room.converse(&mut node, 1_000);
    assert!(node.bytes == image(50_000));
    assert!(node.complete);
}

#[test]
fn after_a_restart_of_the_controller_the_same_order_goes_on_where_the_node_is() {
    let mut room = heard();
    let mut node = Receiver::default();
    room.command(order(file(NEW, 50_000)));
    room.converse(&mut node, 5);
    let had = node.bytes.len();
    assert!(had > 2_048 && !node.complete);
    room.downs();
    room.restart(site());
    assert!(room.node().update.is_none());
    room.telemetry(&health(0, u16::MAX));
    room.command(order(file(NEW, 50_000)));
    room.converse(&mut node, 1_000);
    assert!(node.complete);
    assert!(node.bytes == image(50_000));
    let frames = room.counter("image_frames_sent");
    assert!(frames < 200 - had as u64 / 256 + 5, "{frames} frames");
}

#[test]
fn an_image_that_never_gets_there_is_given_up_and_that_is_an_alarm() {
    let mut room = heard();
    room.command(order(file(NEW, 5_000)));
    // A day of a node that is heard and does not answer.
    for _ in 0..17_280 {
        room.heartbeat(0, 0);
        room.pass(5_000);
        if room.update().state == "failed" {
            break;
        }
    }
    assert_eq!(room.update().state, "failed");
    assert_eq!(room.state("node-1.update"), Some(AlarmState::Unacknowledged));
    let most = u64::from(MAX_ATTEMPTS) * 6;
    assert!(room.counter("image_frames_sent") <= most);
}

#[test]
fn an_image_never_stands_in_the_command_as_it_travels() {
    let json = serde_json::to_string(&order(file(NEW, 5_000))).unwrap();
    assert!(json.len() < 200, "{json}");
}

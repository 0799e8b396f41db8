//! Keys that change, nodes that are started again and nodes that are taken out of service.

use crate::bench::{Bench, KEY, site};
use room::engine::TELL_KEY_EVERY;
use room::event::{Command, Refused};
use room::keys::CONFIRMING_HEARTBEATS;
use room::record::{NodeOrder, Record};
use room::site::Site;
use room::snapshot::AlarmState;
use shared::wire::{DeviceKey, Down, KeyEvent, ResetCause, Stream, Up};

const SALT: [u8; 16] = [9; 16];

fn rotate() -> Command {
    Command::RotateKey {
        node: "node-1".to_owned(),
        salt: SALT,
    }
}

/// What boards are provisioned with in the year of these tests; seconds since 2020.
const FIRST_BOOT: u32 = 217_500_000;

fn hello() -> Up {
    Up::Hello {
        firmware: (1, 0, 0),
        cause: ResetCause::PowerOn,
        channels: 3,
    }
}

/// A room whose node was heard.
fn heard() -> Bench {
    let mut room = Bench::new();
    room.heartbeat(0, 0);
    room.downs();
    room
}

impl Bench {
    fn rotations(&mut self) -> Vec<(u8, [u8; 16])> {
        let rotations = self.downs().into_iter().filter_map(|(_, body)| match body {
            Down::Rotate { key_id, salt } => Some((key_id, salt)),
            _ => None,
        });
        rotations.collect()
    }

    /// The node starts from a blank memory with a block of this first boot: nothing else is left
    /// of what it was.
    fn wiped(&mut self, first_boot: u32) {
        (self.boot, self.event_seq, self.telemetry_seq) = (first_boot + 1, 0, 0);
    }

    /// The node makes its new key and uses it from now on.
    fn changes_key(&mut self, key_id: u8) {
        self.key = self.key.rotated(&SALT);
        self.key_id = key_id;
    }
}

#[test]
fn a_key_is_changed_in_service_and_no_frame_is_refused_on_the_way() {
    let mut room = heard();
    assert_eq!(room.command(rotate()), None);
    assert_eq!(room.rotations(), [(1, SALT)]);
    assert_eq!(room.node().key.unwrap().next, Some(1));
    // Frames of the old key that were under way.
    room.heartbeat(0, 0);
    room.changes_key(1);
    room.heartbeat(0, 0);
    // From now on the node is spoken to with the new one.
    room.node_event(&Up::Key(KeyEvent::Rotated { key_id: 1 }));
    let downs = room.downs();
    assert!(
        downs
            .iter()
            .any(|(header, body)| *body == Down::Ack { upto: 1 } && header.key_id == 1)
    );
    let key = room.node().key.unwrap();
    assert_eq!((key.id, key.next), (Some(1), None));
    assert_eq!(room.state("node-1.refused"), None);
    assert_eq!(room.state("node-1.key"), None);

    // The old key is worth nothing now.
    let new = std::mem::replace(&mut room.key, DeviceKey::new(KEY));
    room.heartbeat(1, 0);
    assert_eq!(room.counter("node_frames_refused_forged"), 1);
    room.key = new;

    // And it can be changed again.
    room.heartbeat(1, 0);
    assert_eq!(room.command(rotate()), None);
    assert_eq!(room.rotations(), [(2, SALT)]);
}

#[test]
fn a_restart_at_any_moment_of_a_rotation_knows_both_keys_or_the_right_one() {
    let mut room = heard();
    room.command(rotate());
    room.downs();
    room.restart(site());
    room.heartbeat(0, 0);
    assert_eq!(
        room.rotations().len(),
        1,
        "it is told again, since nobody knows whether it heard"
    );
    room.changes_key(1);
    room.restart(site());
    room.heartbeat(0, 0);
    assert_eq!(room.node().state, "alive");
    room.node_event(&Up::Key(KeyEvent::Rotated { key_id: 1 }));
    room.restart(site());
    room.heartbeat(1, 0);
    assert_eq!(room.node().state, "alive");
    assert_eq!(room.state("node-1.refused"), None);
}

#[test]
fn a_node_that_does_not_hear_of_its_new_key_is_told_again_and_after_a_while_that_is_an_alarm() {
    let mut room = heard();
    room.command(rotate());
    assert_eq!(room.rotations().len(), 1);
    let mut told = 0;
    for _ in 0..130 {
        room.pass(5_000);
        room.heartbeat(0, 0);
        told += room.rotations().len();
    }
    let minutes = usize::try_from(650_000 / TELL_KEY_EVERY.0).unwrap();
    assert!((minutes - 1..=minutes).contains(&told), "{told} times");
    assert_eq!(room.state("node-1.key"), Some(AlarmState::Unacknowledged));
    assert!(matches!(room.command(rotate()), Some(Refused::Conflict(_))));
    room.changes_key(1);
    room.node_event(&Up::Key(KeyEvent::Rotated { key_id: 1 }));
    assert_eq!(room.state("node-1.key"), Some(AlarmState::ReturnedUnacknowledged));
}

#[test]
fn a_key_that_the_node_could_not_keep_is_an_alarm_and_the_old_one_stays() {
    let mut room = heard();
    room.command(rotate());
    room.node_event(&Up::Key(KeyEvent::NotKept { key_id: 1 }));
    assert_eq!(room.state("node-1.key"), Some(AlarmState::ReturnedUnacknowledged));
    assert_eq!(room.node().key.unwrap().next, None);
    room.restart(site());
    room.heartbeat(1, 0);
    assert_eq!(room.node().state, "alive");
    assert_eq!(room.command(rotate()), None, "it can be tried again");
}

#[test]
fn a_rotation_of_an_earlier_provisioning_does_not_touch_the_new_key() {
    let mut room = heard();
    room.command(rotate());
    room.changes_key(1);
    room.node_event(&Up::Key(KeyEvent::Rotated { key_id: 1 }));
    // The board was provisioned anew, and its key file with it.
    let fresh = DeviceKey::new([0x44; 32]);
    let site: Site<_> = site();
    room.engine = room::Engine::new(site, std::collections::BTreeMap::from([(1, fresh.clone())])).unwrap();
    let journal = room.journal.clone();
    let turn = room.engine.start(room.now(), "boot-a", "0.0.0", journal);
    room.keep(turn);
    (room.key, room.key_id) = (fresh, 0);
    room.wiped(FIRST_BOOT);
    room.node_event(&hello());
    assert_eq!(room.acked(), Some(1));
    room.heartbeat(1, 0);
    assert_eq!(room.node().state, "alive");
    assert_eq!(room.state("node-1.refused"), None);
}

/// A board with a blank memory takes the place of one that has lived long: the erased one itself,
/// or another instead of a dead one.
#[test]
fn a_board_with_a_blank_memory_is_taken_for_the_node_at_once() {
    for is_erased in [true, false] {
        let mut room = heard();
        (room.boot, room.event_seq, room.telemetry_seq) = (50, 499, 10);
        room.node_event(&hello());
        room.heartbeat(500, 0);
        for n in 0..40 {
            room.pass(10);
            room.node_event(&Up::Contact {
                channel: 1,
                open: n % 2 == 0,
            });
        }
        room.heartbeat(540, 0);
        if is_erased {
            room.command(Command::EraseNode {
                node: "node-1".to_owned(),
            });
            room.node_event(&Up::Key(KeyEvent::Erased));
        }
        // The controller was started again, to read the key that was made.
        room.restart(site());
        assert_eq!(room.node().erased, is_erased);
        room.wiped(FIRST_BOOT);
        room.node_event(&hello());
        assert_eq!(room.acked(), Some(1), "erased: {is_erased}");
        assert!(!room.node().erased);
        room.heartbeat(1, 0);
        for seq in 2..=20 {
            room.pass(5_000);
            room.node_event(&Up::Contact {
                channel: 1,
                open: seq % 2 == 0,
            });
            assert_eq!(room.acked(), Some(seq));
            room.heartbeat(seq, 0);
        }
        let node = room.node();
        assert_eq!(
            (node.state.as_str(), node.twin, node.missing),
            ("alive", false, 0)
        );
        for trouble in ["node-1.refused", "node-1.twin", "node-1.missing"] {
            assert_eq!(room.state(trouble), None, "{trouble}");
        }
        assert_eq!(room.counter("node_frames_refused_replayed"), 0);
    }
}

#[test]
fn the_salt_never_leaves_with_the_command_and_must_be_drawn() {
    let json = serde_json::to_string(&rotate()).unwrap();
    assert!(!json.contains("salt"), "{json}");
    let mut room = heard();
    let drawn: Command = serde_json::from_str(&json).unwrap();
    assert!(matches!(room.command(drawn), Some(Refused::Invalid(_))));
}

#[test]
fn orders_to_a_node_that_is_not_there_are_refused() {
    let mut room = Bench::new();
    let orders = |node: &str| {
        let node = node.to_owned();
        [
            Command::RotateKey {
                node: node.clone(),
                salt: SALT,
            },
            Command::EraseNode { node: node.clone() },
            Command::RestartNode { node },
        ]
    };
    for order in orders("node-9") {
        assert!(matches!(room.command(order), Some(Refused::NotFound(_))));
    }
    for order in orders("node-1") {
        assert!(
            matches!(room.command(order), Some(Refused::Conflict(_))),
            "never heard"
        );
    }
    room.heartbeat(0, 0);
    room.pass(10_001);
    for order in orders("node-1") {
        assert!(
            matches!(room.command(order), Some(Refused::Conflict(_))),
            "silent"
        );
    }
    assert!(room.journal.iter().all(|entry| !matches!(
        entry.record,
        Record::NodeOrder { .. } | Record::KeyRotation { .. }
    )));
}

#[test]
fn the_last_word_of_a_node_is_taken_behind_a_gap_and_each_time_it_is_said() {
    let mut room = heard();
    room.node_event(&Up::SensorBack { channel: 2 });
    room.command(Command::EraseNode {
        node: "node-1".to_owned(),
    });
    // Two events were still with the node when it erased them.
    for _ in 0..3 {
        room.event_seq = 3;
        room.node_event(&Up::Key(KeyEvent::Erased));
        assert_eq!(room.acked(), Some(4), "it waits for this before it is gone");
        room.pass(2_000);
    }
    let node = room.node();
    assert!(node.erased && !node.twin);
    assert_eq!(node.missing, 2);
    assert_eq!(room.state("node-1.refused"), None);
}

#[test]
fn a_node_is_started_again_and_a_node_is_taken_out_of_service_by_order() {
    let mut room = heard();
    assert_eq!(
        room.command(Command::RestartNode {
            node: "node-1".to_owned()
        }),
        None
    );
    assert_eq!(
        room.recorded(|record| matches!(
            record,
            Record::NodeOrder { order: NodeOrder::Restart, by, .. } if by == "山田"
        )),
        1
    );
    assert!(room.downs().iter().any(|(_, body)| *body == Down::Restart));

    room.command(Command::EraseNode {
        node: "node-1".to_owned(),
    });
    assert!(room.downs().iter().any(|(_, body)| *body == Down::Erase));
    assert!(!room.node().erased, "not before it says so");
    room.node_event(&Up::Key(KeyEvent::Erased));
    assert_eq!(room.acked(), Some(1), "its last word is acknowledged");
    assert!(room.node().erased);
    room.restart(site());
    assert!(room.node().erased);
    let alarms = room.engine.snapshot(room.now()).alarms;
    let silent = alarms.iter().find(|alarm| alarm.id == "node-1.silent").unwrap();
    assert!(silent.because.en.contains("erased"), "{}", silent.because.en);

    // Provisioned anew it is in service again.
    room.wiped(FIRST_BOOT);
    room.node_event(&hello());
    assert_eq!(room.acked(), Some(1));
    assert!(!room.node().erased);
}

#[test]
fn a_node_whose_key_is_missing_rings_and_the_rest_of_the_room_is_watched() {
    let mut place = crate::bench::site();
    let mut lost = place.nodes[0].clone();
    (lost.id, lost.name) = (2, "node-2".to_owned());
    lost.channels.clear();
    place.nodes.push(lost);
    let mut room = Bench::with(place.clone());
    assert_eq!(room.state("node-2.no_key"), Some(AlarmState::Unacknowledged));
    assert_eq!(room.state("node-1.no_key"), None);
    room.node_event(&shared::wire::Up::Contact {
        channel: 0,
        open: true,
    });
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));

    // What comes in its name is refused, and it counts as silent.
    room.event(room::event::Event::Message(room::event::Message {
        user: Some("2".to_owned()),
        topic: "fac/v1/2/t".to_owned(),
        payload: vec![0; 60],
        retained: false,
    }));
    assert_eq!(room.counter("node_frames_refused_no_key"), 1);
    assert_eq!(room.state("unknown_node"), None, "it is a node of this site");
    room.pass(11_000);
    assert_eq!(room.state("node-2.silent"), Some(AlarmState::Unacknowledged));
    let alarms = room.engine.snapshot(room.now()).alarms;
    let alarm = alarms.iter().find(|alarm| alarm.id == "node-2.no_key").unwrap();
    assert_eq!(alarm.priority, room::site::Priority::Critical);
}

/// The sequence of a node whose memory failed goes back with its next start. What it had released
/// before was under other numbers.
#[test]
fn what_a_node_released_before_its_sequence_went_back_says_nothing_about_its_new_events() {
    for is_heard_first in [true, false] {
        let mut room = heard();
        room.event_seq = 499;
        room.node_event(&hello());
        room.heartbeat(500, 0);
        room.pass(20_000);
        (room.boot, room.event_seq, room.telemetry_seq) = (2, 9, 0);
        if is_heard_first {
            room.heartbeat(10, 1);
        }
        let made = room.frame(Stream::Event, &hello());
        room.message("ev", made.clone());
        assert_eq!(room.acked(), Some(10));
        // That was lost on its way, and the node sends it again.
        room.pass(20_000);
        room.message("ev", made);
        assert_eq!(room.acked(), Some(10), "heard first: {is_heard_first}");
        assert_eq!(room.counter("node_frames_refused_replayed"), 0);

        // Event 12 comes before 11, which it still holds.
        let contact = |channel| Up::Contact { channel, open: true };
        let eleventh = room.frame(Stream::Event, &contact(0));
        let twelfth = room.frame(Stream::Event, &contact(1));
        room.message("ev", twelfth.clone());
        assert_eq!(room.acked(), None);
        room.message("ev", eleventh);
        assert_eq!(room.acked(), Some(11));
        room.message("ev", twelfth);
        assert_eq!(room.acked(), Some(12));
        assert_eq!(room.node().missing, 0);
    }
}

#[test]
fn a_node_that_was_erased_after_a_rotation_is_heard_out_and_taken_with_the_key_of_its_file() {
    let mut room = heard();
    room.command(rotate());
    room.changes_key(1);
    room.node_event(&Up::Key(KeyEvent::Rotated { key_id: 1 }));
    room.command(Command::EraseNode {
        node: "node-1".to_owned(),
    });
    // It hears no acknowledgement, and says it again; the controller is started again meanwhile.
    for n in 0..3 {
        room.event_seq = 1;
        room.node_event(&Up::Key(KeyEvent::Erased));
        assert_eq!(room.acked(), Some(2), "time {n}");
        room.pass(2_000);
        if n == 1 {
            room.restart(site());
        }
    }
    assert_eq!(room.state("node-1.refused"), None);
    // Provisioned again with a copy of its first key.
    (room.key, room.key_id) = (DeviceKey::new(KEY), 0);
    room.wiped(FIRST_BOOT);
    room.node_event(&hello());
    assert_eq!(room.acked(), Some(1));
    room.heartbeat(1, 0);
    let node = room.node();
    assert_eq!((node.state.as_str(), node.erased), ("alive", false));
    assert_eq!(room.counter("node_frames_refused_forged"), 0);
    // Its keys can be changed again, and a restart knows them.
    assert_eq!(room.command(rotate()), None);
    room.changes_key(1);
    room.node_event(&Up::Key(KeyEvent::Rotated { key_id: 1 }));
    room.restart(site());
    room.heartbeat(2, 0);
    assert_eq!(room.node().state, "alive");
    assert_eq!(room.counter("node_frames_refused_forged"), 0);
}

#[test]
fn a_rotation_ends_though_the_word_of_it_was_lost() {
    let mut room = heard();
    room.command(rotate());
    room.changes_key(1);
    room.node_event(&Up::Lost { count: 3 });
    for n in 1..=CONFIRMING_HEARTBEATS {
        assert_eq!(room.node().key.unwrap().next, Some(1), "heartbeat {n}");
        room.pass(5_000);
        room.heartbeat(1, 0);
    }
    let key = room.node().key.unwrap();
    assert_eq!(key.next, None);
    assert_eq!(
        room.recorded(|record| *record == Record::KeyInUse { node: 1, key_id: 1 }),
        1
    );
    assert_ne!(room.state("node-1.key"), Some(AlarmState::Unacknowledged));
    room.restart(site());
    room.heartbeat(1, 0);
    assert_eq!(room.node().state, "alive");
    assert_eq!(room.command(rotate()), None, "it can be changed again");
    assert_eq!(room.rotations(), [(2, SALT)]);
}

#[test]
fn a_rotation_is_not_over_while_the_node_goes_back_to_its_old_key() {
    let mut room = heard();
    room.command(rotate());
    let old = (room.key.clone(), room.key_id);
    for _ in 0..3 {
        room.changes_key(1);
        for _ in 1..CONFIRMING_HEARTBEATS {
            room.pass(5_000);
            room.heartbeat(0, 0);
        }
        (room.key, room.key_id) = old.clone();
        room.heartbeat(0, 0);
    }
    assert_eq!(room.node().key.unwrap().next, Some(1));
    assert_eq!(room.counter("node_frames_refused_forged"), 0);
}

#[test]
fn the_word_of_a_new_key_counts_also_when_it_comes_after_it_was_given_up() {
    let mut room = heard();
    room.node_event(&hello());
    room.command(rotate());
    room.changes_key(1);
    let word = room.frame(Stream::Event, &Up::Key(KeyEvent::Rotated { key_id: 1 }));
    // A heartbeat says that it holds no event, and the next one comes.
    room.heartbeat(2, 0);
    room.node_event(&Up::SensorBack { channel: 2 });
    assert_eq!(room.node().missing, 1);
    assert_eq!(room.node().key.unwrap().next, Some(1));
    room.message("ev", word);
    assert_eq!(room.counter("node_events_stray"), 1);
    let key = room.node().key.unwrap();
    assert_eq!(key.next, None);
    room.restart(site());
    room.heartbeat(3, 0);
    assert_eq!(room.node().state, "alive");
    assert_eq!(room.node().key.unwrap().id, Some(1));
}

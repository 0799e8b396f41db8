//! Two boards with one identity: a memory was copied, or a board provisioned twice.

use crate::bench::{Bench, NODE, health, seal, site};
use room::node::Stray;
use room::record::{NodeEvent, Record};
use room::snapshot::AlarmState;
use shared::wire::{Crash, CrashKind, ResetCause, Stream, Up};

/// One of the boards: it counts by itself.
struct Board {
    boot: u32,
    booted: u64,
    event: u32,
    telemetry: u32,
    ring: Vec<(u32, Vec<u8>)>,
}

impl Board {
    /// Starts a board from the memory of one whose last event is `event` in boot `boot`.
    fn start(room: &Bench, boot: u32, event: u32) -> Self {
        let mut board = Self {
            boot: boot + 1,
            booted: room.mono,
            event,
            telemetry: 0,
            ring: Vec::new(),
        };
        board.happens(
            room,
            &Up::Hello {
                firmware: (1, 0, 0),
                cause: ResetCause::PowerOn,
                channels: 3,
            },
        );
        board
    }

    fn happens(&mut self, room: &Bench, body: &Up) -> u32 {
        self.event += 1;
        let up_ms = room.mono - self.booted + 5;
        self.ring.push((
            self.event,
            seal(self.boot, Stream::Event, self.event, up_ms, body),
        ));
        self.event
    }

    /// Sends all that it holds and takes the acknowledgements.
    fn speaks(&mut self, room: &mut Bench) {
        for (_, frame) in self.ring.clone() {
            room.message("ev", frame);
            if let Some(upto) = room.acked() {
                self.ring.retain(|(seq, _)| *seq > upto);
            }
        }
    }

    fn beats(&mut self, room: &mut Bench) {
        self.telemetry += 1;
        let body = Up::Heartbeat {
            pending: self.ring.len() as u16,
            last_event: self.event,
            refused: 0,
            dropped: 0,
        };
        let up_ms = room.mono - self.booted;
        room.message(
            "t",
            seal(self.boot, Stream::Telemetry, self.telemetry, up_ms, &body),
        );
    }
}

fn door(open: bool) -> Up {
    Up::Contact { channel: 0, open }
}

fn kept(room: &Bench) -> Vec<(u32, u32, bool)> {
    let mut events: Vec<(u32, u32, bool)> = room
        .journal
        .iter()
        .filter_map(|entry| match &entry.record {
            Record::NodeEvent {
                boot,
                event_seq,
                event,
                ..
            }
            | Record::StrayEvent {
                boot,
                event_seq,
                event,
                ..
            } => match event {
                NodeEvent::Contact { open, .. } => Some((*boot, *event_seq, *open)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    events.sort_unstable();
    events
}

#[test]
fn events_of_two_boards_with_the_same_numbers_are_both_kept_and_neither_is_acknowledged() {
    let mut room = Bench::new();
    let mut first = Board::start(&room, 5, 100);
    room.pass(3_000);
    let mut second = Board::start(&room, 5, 100);
    room.pass(1_000);
    first.happens(&room, &door(true));
    room.pass(500);
    second.happens(&room, &door(false));

    first.speaks(&mut room);
    assert!(first.ring.is_empty(), "one board alone is acknowledged as always");
    second.speaks(&mut room);
    assert_eq!(room.state("node-1.twin"), Some(AlarmState::Unacknowledged));
    assert!(room.engine.snapshot(room.now()).nodes[0].twin);
    // The one Hello is the same as the other to the millisecond; the door events are not.
    assert!(
        second.ring.iter().any(|(seq, _)| *seq == 102),
        "it keeps what it has"
    );
    assert_eq!(kept(&room), [(6, 102, false), (6, 102, true)]);

    // Both go on, send again and again, and everything is written down once.
    for _ in 0..5 {
        room.pass(1_000);
        first.happens(&room, &door(false));
        second.happens(&room, &door(true));
        first.speaks(&mut room);
        second.speaks(&mut room);
    }
    assert_eq!(kept(&room).len(), 12);
    assert_eq!(first.ring.len(), 5);
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
    assert!(room.counter("node_acknowledgements_held") > 0);
}

#[test]
fn a_duplicate_with_the_same_content_is_no_second_board() {
    let mut room = Bench::new();
    let mut board = Board::start(&room, 5, 100);
    board.happens(&room, &door(true));
    let frames = board.ring.clone();
    board.speaks(&mut room);
    for (_, frame) in &frames {
        room.message("ev", frame.clone());
    }
    room.restart(site());
    for (seq, frame) in frames {
        room.message("ev", frame);
        assert_eq!(room.acked(), Some(seq), "also after a restart of the controller");
    }
    assert_eq!(room.state("node-1.twin"), None);
    assert_eq!(kept(&room).len(), 1);
}

#[test]
fn the_record_of_a_loss_that_grew_while_it_waited_is_no_second_board() {
    let mut room = Bench::new();
    for count in [3, 5] {
        room.message("ev", seal(1, Stream::Event, 7, 900, &Up::Lost { count }));
        assert_eq!(room.acked(), Some(7));
    }
    assert_eq!(room.state("node-1.twin"), None);
}

#[test]
fn a_board_of_an_earlier_boot_is_seen_by_its_events_and_by_its_heartbeat() {
    let mut room = Bench::new();
    let mut old = Board::start(&room, 5, 100);
    old.speaks(&mut room);
    old.beats(&mut room);
    room.pass(1_000);
    // The other one was started twice since the copy was made.
    let mut new = Board::start(&room, 6, 100);
    new.speaks(&mut room);
    new.beats(&mut room);
    for round in 0..6 {
        assert!(
            round > 3 || room.state("node-1.twin").is_none(),
            "too early: {round}"
        );
        room.pass(2_000);
        new.beats(&mut room);
        old.beats(&mut room);
    }
    assert_eq!(room.state("node-1.twin"), Some(AlarmState::Unacknowledged));

    old.happens(&room, &door(true));
    old.happens(&room, &door(false));
    old.speaks(&mut room);
    assert_eq!(old.ring.len(), 2);
    assert_eq!(kept(&room), [(6, 102, true), (6, 103, false)]);
    assert_eq!(
        room.state("door.1.forced"),
        Some(AlarmState::Unacknowledged),
        "it happened at one of two doors"
    );
}

#[test]
fn two_clocks_in_one_boot_are_seen_at_the_second_heartbeat() {
    let mut room = Bench::new();
    let mut first = Board::start(&room, 5, 100);
    first.beats(&mut room);
    room.pass(60_000);
    first.beats(&mut room);
    let mut second = Board::start(&room, 5, 100);
    room.pass(10);
    second.beats(&mut room);
    assert_eq!(room.state("node-1.twin"), Some(AlarmState::Unacknowledged));
    assert_eq!(room.state("node-1.refused"), None, "it is not called a forgery");
    assert_eq!(room.counter("node_frames_refused_twin"), 1);
}

#[test]
fn a_node_whose_connection_another_one_took_over_is_not_alone() {
    let mut room = Bench::new();
    let taken_over = |times| {
        let Up::Health(health) = health(0, u16::MAX) else {
            panic!("health");
        };
        Up::Health(shared::wire::Health {
            taken_over: times,
            ..health
        })
    };
    for times in [3, 3, 0] {
        room.telemetry(&taken_over(times));
        assert_eq!(room.state("node-1.twin"), None, "nobody knows when that was");
    }
    room.telemetry(&taken_over(1));
    assert_eq!(room.state("node-1.twin"), Some(AlarmState::Unacknowledged));
}

#[test]
fn once_the_second_board_is_gone_the_first_is_acknowledged_again_with_nothing_lost() {
    let mut room = Bench::new();
    let mut first = Board::start(&room, 5, 100);
    room.pass(3_000);
    let mut second = Board::start(&room, 5, 100);
    first.happens(&room, &door(true));
    second.happens(&room, &door(false));
    first.speaks(&mut room);
    second.speaks(&mut room);
    for _ in 0..4 {
        room.pass(1_000);
        first.happens(&room, &door(false));
        first.speaks(&mut room);
    }
    assert_eq!(first.ring.len(), 4);
    drop(second);
    // Its silence is believed after ten minutes; a restart of the controller does not shorten them.
    room.pass(300_000);
    room.restart(site());
    first.speaks(&mut room);
    assert_eq!(first.ring.len(), 4);
    room.pass(601_000);
    first.speaks(&mut room);
    assert_eq!(first.ring.len(), 0);
    assert_eq!(room.engine.snapshot(room.now()).nodes[0].missing, 0);
    assert_eq!(
        room.state("node-1.twin"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
}

#[test]
fn an_event_given_up_as_missing_that_comes_after_all_is_kept_and_acknowledged() {
    let mut room = Bench::new();
    let mut board = Board::start(&room, 5, 100);
    board.speaks(&mut room);
    for open in [true, false, true] {
        board.happens(&room, &door(open));
    }
    let late = board.ring.remove(0);
    let held = board.ring.clone();
    // By its own word it holds two of the three.
    board.beats(&mut room);
    for (_, frame) in held {
        room.message("ev", frame);
    }
    assert_eq!(room.engine.snapshot(room.now()).nodes[0].missing, 1);
    room.message("ev", late.1);
    assert_eq!(
        room.recorded(|record| matches!(
            record,
            Record::StrayEvent {
                why: Stray::Late,
                event_seq: 102,
                node: NODE,
                ..
            }
        )),
        1
    );
    assert_eq!(room.acked(), Some(102));
    assert_eq!(room.state("node-1.twin"), None);
}

#[test]
fn what_happened_by_an_event_without_a_place_rings_and_what_only_was_changes_nothing() {
    let late = |body: Up| {
        let mut room = Bench::new();
        let mut board = Board::start(&room, 5, 100);
        board.speaks(&mut room);
        for body in [body, door(true), door(false)] {
            board.happens(&room, &body);
        }
        let late = board.ring.remove(0);
        board.beats(&mut room);
        for (_, frame) in board.ring.clone() {
            room.message("ev", frame);
        }
        room.message("ev", late.1);
        assert_eq!(
            room.recorded(|record| matches!(record, Record::StrayEvent { .. })),
            1
        );
        room
    };
    // Water in a contact that bounced so much that only its rest was told.
    let room = late(Up::Rested {
        channel: 1,
        open: true,
        edges: 40,
    });
    assert_eq!(room.state("leak.1.wet"), Some(AlarmState::Unacknowledged));
    let room = late(Up::Crashed(Crash {
        kind: CrashKind::Hang,
        pc: 0,
        lr: 0,
        task: 2,
        mark: 0,
        up_ms: 90_000,
    }));
    assert_eq!(room.state("node-1.crashed"), Some(AlarmState::Unacknowledged));
    let room = late(Up::SafeMode { on: true, crashes: 5 });
    assert_eq!(room.state("node-1.safe_mode"), None, "its health says how it is");
}

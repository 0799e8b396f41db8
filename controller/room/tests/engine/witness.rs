//! Nodes as witnesses of the journal.

use crate::bench::{Bench, NODE, site};
use room::event::{Command, Event};
use room::record::Record;
use room::snapshot::AlarmState;
use shared::wire::{Down, Up};

const ALARM: &str = "node-1.witness";

impl Bench {
    /// Core says how long the journal is.
    fn journal_is(&mut self, size: u64, root: u8) -> Option<(u64, [u8; 32])> {
        self.downs();
        self.event(Event::Checkpoint {
            log: None,
            size,
            root: [root; 32],
        });
        self.downs().into_iter().find_map(|(_, body)| match body {
            Down::Checkpoint { size, root } => Some((size, root)),
            _ => None,
        })
    }

    fn witnesses(&mut self, size: u64, root: u8) -> String {
        self.telemetry(&Up::Checkpoint {
            size,
            root: [root; 32],
            given_unix_s: 1_700_000_000,
        });
        self.node().witness.unwrap().verdict
    }
}

fn heard() -> Bench {
    let mut room = Bench::new();
    room.heartbeat(0, 0);
    room
}

#[test]
fn a_checkpoint_is_given_at_most_hourly_and_is_on_record_before_it_leaves() {
    let mut room = heard();
    assert_eq!(room.journal_is(100, 1), Some((100, [1; 32])));
    assert_eq!(
        room.recorded(|record| matches!(record, Record::CheckpointGiven { size: 100, .. })),
        1
    );
    for _ in 0..59 {
        room.pass(60_000);
        room.heartbeat(0, 0);
        assert_eq!(room.journal_is(200, 2), None);
    }
    room.pass(60_000);
    room.heartbeat(0, 0);
    assert_eq!(room.journal_is(200, 2), Some((200, [2; 32])));
    room.pass(3_600_000);
    room.heartbeat(0, 0);
    assert_eq!(room.journal_is(201, 3), None, "only its own record has come");
}

#[test]
fn nobody_is_given_anything_while_nobody_is_heard() {
    let mut room = Bench::new();
    assert_eq!(room.journal_is(100, 1), None);
    assert!(room.last.records.is_empty());
}

#[test]
fn a_witness_agrees_with_every_checkpoint_that_this_journal_gave_also_after_a_restart() {
    let mut room = heard();
    room.journal_is(100, 1);
    room.pass(3_600_000);
    room.heartbeat(0, 0);
    room.journal_is(200, 2);
    assert_eq!(room.witnesses(100, 1), "agrees");
    room.restart(site());
    assert_eq!(room.witnesses(100, 1), "agrees");
    assert_eq!(room.witnesses(200, 2), "agrees");
    assert_eq!(room.state(ALARM), None);
}

#[test]
fn a_journal_that_was_rolled_back_is_noticed_by_the_room_itself() {
    let mut room = heard();
    room.journal_is(100, 1);
    let early = room.journal.clone();
    room.pass(3_600_000);
    room.heartbeat(0, 0);
    room.journal_is(200, 2);
    // Somebody puts back yesterday's copy of the disk.
    room.journal = early;
    room.restart(site());
    assert_eq!(room.witnesses(200, 2), "ahead");
    assert_eq!(room.state(ALARM), Some(AlarmState::Unacknowledged));
    assert_eq!(
        room.recorded(|record| matches!(
            record,
            Record::WitnessDisagrees {
                node: NODE,
                size: 200,
                ..
            }
        )),
        1
    );
    room.witnesses(200, 2);
    assert!(room.last.records.is_empty(), "once is enough");

    // The witness is not overwritten before a person has seen to it.
    room.pass(3_600_000);
    room.heartbeat(0, 0);
    assert_eq!(room.journal_is(300, 3), None);
    room.command(Command::Acknowledge {
        alarm: ALARM.to_owned(),
    });
    room.command(Command::Reset {
        alarm: ALARM.to_owned(),
    });
    assert_eq!(room.state(ALARM), None);
    assert_eq!(room.journal_is(300, 3), Some((300, [3; 32])));
}

#[test]
fn a_journal_that_was_rewritten_has_another_root() {
    let mut room = heard();
    room.journal_is(100, 1);
    assert_eq!(room.witnesses(100, 9), "differs");
    assert_eq!(room.state(ALARM), Some(AlarmState::Unacknowledged));
    // Nor did this journal ever give a checkpoint of that size.
    let mut room = heard();
    room.journal_is(100, 1);
    assert_eq!(room.witnesses(60, 1), "differs");
}

#[test]
fn a_new_journal_beside_an_old_witness_is_a_lost_journal() {
    let mut room = heard();
    assert_eq!(room.witnesses(60, 1), "ahead");
    assert_eq!(room.state(ALARM), Some(AlarmState::Unacknowledged));
}

//! A door, a leak, a hot rack, a node that falls silent; frames that are forged, lost or late.
// Long because the stories of one small room stand together.

use crate::bench::{Bench, KEY, NODE, site};
use room::Engine;
use room::event::{Command, Effect, Event, Message, Part, Refused, Turn};
use room::record::{Entry, Record};
use room::site::{Priority, Real};
use room::snapshot::AlarmState;
use shared::wire::{ClockState, DeviceKey, Down, Envelope, Health, ResetCause, Stream, Up};
use shared::{NoData, Quantity, Sample};
use std::collections::BTreeMap;

#[test]
fn a_door_edge_is_journaled_acknowledged_to_the_node_and_alarmed_at_once() {
    let mut room = Bench::new();
    room.node_event(&Up::Contact {
        channel: 0,
        open: true,
    });
    assert_eq!(room.acked(), Some(1));
    assert!(matches!(
        room.last.records[0],
        Record::NodeEvent { event_seq: 1, .. }
    ));
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));

    room.node_event(&Up::Contact {
        channel: 0,
        open: false,
    });
    assert_eq!(
        room.state("door.1.forced"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
    assert_eq!(
        room.command(Command::Acknowledge {
            alarm: "door.1.forced".to_owned()
        }),
        None
    );
    assert_eq!(
        room.state("door.1.forced"),
        Some(AlarmState::Latched),
        "a forced door waits for a reset"
    );
    assert_eq!(
        room.command(Command::Reset {
            alarm: "door.1.forced".to_owned()
        }),
        None
    );
    assert_eq!(room.state("door.1.forced"), None);
}

#[test]
fn a_drop_on_the_leak_rope_is_no_leak_but_three_seconds_are() {
    let mut room = Bench::new();
    room.node_event(&Up::Contact {
        channel: 1,
        open: true,
    });
    room.pass(2_900);
    room.node_event(&Up::Contact {
        channel: 1,
        open: false,
    });
    room.pass(5_000);
    assert_eq!(room.state("leak.1.wet"), None);
    room.node_event(&Up::Contact {
        channel: 1,
        open: true,
    });
    room.pass(3_000);
    assert_eq!(room.state("leak.1.wet"), Some(AlarmState::Unacknowledged));
}

#[test]
fn a_limit_waits_for_its_delay_and_returns_only_inside_the_deadband() {
    let mut room = Bench::new();
    room.sample(2, Quantity::Temperature, Ok(30_500));
    room.pass(1_999);
    assert_eq!(room.state("inlet.temperature.high"), None);
    room.pass(1);
    assert_eq!(
        room.state("inlet.temperature.high"),
        Some(AlarmState::Unacknowledged)
    );
    assert_eq!(
        room.command(Command::Acknowledge {
            alarm: "inlet.temperature.high".to_owned()
        }),
        None
    );
    room.sample(2, Quantity::Temperature, Ok(29_600));
    room.pass(1_500);
    assert_eq!(
        room.state("inlet.temperature.high"),
        Some(AlarmState::Acknowledged),
        "29.6 is within the deadband"
    );
    room.sample(2, Quantity::Temperature, Ok(29_400));
    room.pass(1_000);
    assert_eq!(room.state("inlet.temperature.high"), None);
}

#[test]
fn a_lost_sensor_is_no_data_and_neither_clears_nor_raises_its_limit() {
    let mut room = Bench::new();
    room.sample(2, Quantity::Temperature, Ok(31_000));
    room.pass(2_000);
    room.node_event(&Up::SensorLost {
        channel: 2,
        reason: NoData::BusFault,
    });
    room.pass(2_000);
    assert_eq!(
        room.state("inlet.temperature.high"),
        Some(AlarmState::Unacknowledged),
        "silence clears nothing"
    );
    assert_eq!(
        room.state("inlet.temperature.no_data"),
        Some(AlarmState::Unacknowledged)
    );
    let snapshot = room.engine.snapshot(room.now());
    let point = snapshot
        .points
        .iter()
        .find(|point| point.id == "inlet.temperature")
        .unwrap();
    assert_eq!((point.value, point.no_data.as_deref()), (None, Some("bus_fault")));

    // Zero degrees is a value, 300 is not.
    room.sample(2, Quantity::Temperature, Ok(300_000));
    let snapshot = room.engine.snapshot(room.now());
    let point = snapshot
        .points
        .iter()
        .find(|point| point.id == "inlet.temperature")
        .unwrap();
    assert_eq!(point.no_data.as_deref(), Some("implausible"));
}

#[test]
fn a_silent_node_is_an_alarm_and_its_points_fold_under_it() {
    let mut room = Bench::new();
    room.sample(2, Quantity::Temperature, Ok(22_000));
    room.pass(10_001);
    assert_eq!(room.state("node-1.silent"), Some(AlarmState::Unacknowledged));
    assert_eq!(
        room.state("inlet.temperature.no_data"),
        Some(AlarmState::Suppressed)
    );
    room.sample(2, Quantity::Temperature, Ok(22_000));
    assert_eq!(
        room.state("node-1.silent"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
}

/// Two intervals of the heartbeat are a gap, five are a loss; what the node guards says how bad it is.
#[test]
fn a_longer_silence_is_another_alarm_and_critical_only_where_a_door_or_water_is_unwatched() {
    let priority = |room: &Bench, id: &str| {
        let alarms = room.engine.snapshot(room.now()).alarms;
        let found = alarms.into_iter().find(|alarm| alarm.id == id);
        found.map(|alarm| alarm.priority)
    };
    let mut plain = crate::bench::site();
    plain.nodes[0]
        .channels
        .retain(|channel| channel.contact.is_none());
    for (site, gap, loss) in [
        (crate::bench::site(), Priority::Warning, Priority::Critical),
        (plain, Priority::Advisory, Priority::Warning),
    ] {
        let mut room = Bench::with(site);
        room.heartbeat(0, 0);
        room.pass(10_001);
        assert_eq!(priority(&room, "node-1.silent"), Some(gap));
        room.pass(14_998);
        assert_eq!(priority(&room, "node-1.lost"), None, "25 s are not over");
        room.pass(2);
        assert_eq!(priority(&room, "node-1.lost"), Some(loss));
        room.heartbeat(0, 0);
        for alarm in ["node-1.silent", "node-1.lost"] {
            assert_eq!(room.state(alarm), Some(AlarmState::ReturnedUnacknowledged));
        }
    }
}

/// A clock that drifts is set right by a word; one that stays wrong is a person's business, and how far
/// it is off says how urgent that is.
#[test]
fn a_node_whose_clock_stays_off_although_it_was_told_the_time_is_an_alarm_by_steps() {
    for (off, alarms) in [
        (499, &[][..]),
        (-700, &["advisory"]),
        (1_500, &["advisory", "warning"]),
        (-60_000, &["advisory", "warning", "critical"]),
    ] {
        let mut room = Bench::new();
        let standing = |room: &Bench| -> Vec<&str> {
            let steps = ["advisory", "warning", "critical"];
            let stands =
                |step: &&str| room.state(&format!("node-1.clock.{step}")) == Some(AlarmState::Unacknowledged);
            steps.into_iter().filter(stands).collect()
        };
        for beat in 0..3 {
            room.clock_off = Some(off);
            room.downs();
            room.heartbeat(0, 0);
            let told = room.downs().iter().any(|(_, body)| *body == Down::SetTime);
            assert!(told || off.abs() < 500, "{off}: it is told the time");
            assert!(beat == 2 || standing(&room).is_empty(), "{off}: not at once");
            room.pass(5_000);
        }
        assert_eq!(standing(&room), alarms, "{off} ms");
        room.clock_off = Some(20);
        room.heartbeat(0, 0);
        assert!(standing(&room).is_empty(), "{off}: set right");
    }
    // One wrong moment, and a node that does not know the time, are no alarm.
    let mut room = Bench::new();
    for off in [
        Some(60_000),
        Some(10),
        Some(60_000),
        None,
        Some(60_000),
        Some(60_000),
    ] {
        room.clock_off = off;
        room.heartbeat(0, 0);
        room.pass(5_000);
        assert_eq!(room.state("node-1.clock.advisory"), None);
    }
}

#[test]
fn a_node_never_heard_is_unknown_first_and_an_alarm_after_its_patience() {
    let mut room = Bench::new();
    assert_eq!(room.engine.snapshot(room.now()).nodes[0].state, "never_heard");
    assert_eq!(room.state("node-1.silent"), None);
    room.pass(10_001);
    assert_eq!(room.state("node-1.silent"), Some(AlarmState::Unacknowledged));
}

#[test]
fn forged_misdirected_and_foreign_frames_change_nothing_but_are_counted_and_alarmed() {
    let mut room = Bench::new();
    let good = room.frame(
        Stream::Event,
        &Up::Contact {
            channel: 0,
            open: true,
        },
    );

    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    room.message("ev", forged);
    room.message("ev", good[..20].to_vec());
    room.message("t", good.clone());
    room.event(Event::Message(Message {
        user: Some("2".to_owned()),
        topic: "fac/v1/1/ev".to_owned(),
        payload: good.clone(),
        retained: false,
    }));
    assert_eq!(room.state("door.1.forced"), None);
    assert_eq!(room.state("node-1.refused"), Some(AlarmState::Unacknowledged));
    assert_eq!(
        room.counter("node_frames_refused_forged"),
        2,
        "a wrong tag, and an event on the telemetry topic"
    );
    assert_eq!(
        room.counter("node_frames_refused_malformed") + room.counter("node_frames_refused_forged"),
        3
    );
    assert_eq!(room.counter("node_frames_refused_foreign_account"), 1);
    assert_eq!(room.engine.snapshot(room.now()).nodes[0].refused, 4);
    let recorded = room
        .journal
        .iter()
        .filter(|e| matches!(e.record, Record::FramesRefused { .. }))
        .count();
    assert_eq!(recorded, 1, "a flood of forgeries does not flood the journal");

    room.message("ev", good);
    assert_eq!(
        room.state("door.1.forced"),
        Some(AlarmState::Unacknowledged),
        "the real one still counts"
    );
}

#[test]
fn a_redelivered_event_is_acknowledged_again_and_a_replayed_one_is_refused() {
    let mut room = Bench::new();
    let frame = room.frame(
        Stream::Event,
        &Up::Contact {
            channel: 0,
            open: true,
        },
    );
    room.message("ev", frame.clone());
    room.message("ev", frame.clone());
    assert_eq!(room.acked(), Some(1), "its acknowledgement may have been lost");
    assert!(room.last.records.is_empty(), "one event is one record");

    // The node says it holds nothing any more: from then on the frame is a replay.
    let heartbeat = Up::Heartbeat {
        pending: 0,
        last_event: 1,
        refused: 0,
        dropped: 0,
    };
    let beat = room.frame(Stream::Telemetry, &heartbeat);
    room.message("t", beat.clone());
    room.pass(5_001);
    room.message("ev", frame);
    assert_eq!(room.acked(), None);
    assert_eq!(room.state("node-1.refused"), Some(AlarmState::Unacknowledged));
    room.message("t", beat);
    assert_eq!(room.counter("node_frames_refused_replayed"), 2);
}

#[test]
fn missing_events_are_counted_and_alarmed() {
    let mut room = Bench::new();
    room.node_event(&Up::Hello {
        firmware: (1, 2, 3),
        cause: ResetCause::PowerOn,
        channels: 3,
    });
    room.event_seq += 4;
    let shut = Up::Contact {
        channel: 0,
        open: false,
    };
    let frame = room.frame(Stream::Event, &shut);
    room.message("ev", frame.clone());
    assert!(room.last.records.is_empty(), "the node may still hold them");
    room.heartbeat(6, 1);
    room.message("ev", frame);
    assert_eq!(room.engine.snapshot(room.now()).nodes[0].missing, 4);
    assert_eq!(room.state("node-1.missing"), Some(AlarmState::Unacknowledged));
    assert_eq!(
        room.engine.snapshot(room.now()).nodes[0].firmware.as_deref(),
        Some("1.2.3")
    );
}

#[test]
fn an_event_behind_a_gap_waits_until_the_node_has_sent_what_it_holds() {
    let mut room = Bench::new();
    let frames: Vec<Vec<u8>> = (0..6)
        .map(|index| {
            let open = index % 2 == 0;
            room.frame(Stream::Event, &Up::Contact { channel: 0, open })
        })
        .collect();
    room.message("ev", frames[0].clone());
    assert_eq!(room.acked(), Some(1));

    // A broker that restarted swallowed the second to the fifth.
    for _ in 0..3 {
        room.message("ev", frames[5].clone());
        assert!(room.last.records.is_empty(), "{:?}", room.last.records);
        assert_eq!(
            room.acked(),
            None,
            "acknowledging it would make the node forget the others"
        );
    }
    assert_eq!(room.counter("node_events_early"), 3);
    // Its word that it holds all but the first changes nothing.
    room.heartbeat(6, 5);
    room.message("ev", frames[5].clone());
    assert_eq!(room.acked(), None);
    for (frame, seq) in frames[1..].iter().zip(2..) {
        room.message("ev", frame.clone());
        assert_eq!(room.acked(), Some(seq));
    }
    assert_eq!(room.engine.snapshot(room.now()).nodes[0].missing, 0);
    assert_eq!(room.state("node-1.missing"), None);
}

#[test]
fn of_the_events_behind_a_gap_only_those_are_missing_that_the_node_does_not_hold() {
    let mut room = Bench::new();
    let open = Up::Contact {
        channel: 0,
        open: true,
    };
    let frames: Vec<Vec<u8>> = (0..6).map(|_| room.frame(Stream::Event, &open)).collect();
    room.message("ev", frames[0].clone());
    room.heartbeat(6, 2);
    room.message("ev", frames[5].clone());
    assert_eq!(room.acked(), None, "the fifth is still with the node");
    room.message("ev", frames[4].clone());
    assert_eq!(room.acked(), Some(5));
    assert_eq!(room.engine.snapshot(room.now()).nodes[0].missing, 3);
    room.message("ev", frames[5].clone());
    assert_eq!(room.acked(), Some(6));
}

#[test]
fn events_of_an_earlier_boot_are_kept_but_say_nothing_about_now() {
    let mut room = Bench::new();
    room.boot = 2;
    room.sample(0, Quantity::Contact, Ok(0));
    room.boot = 1;
    room.node_event(&Up::Contact {
        channel: 0,
        open: true,
    });
    let snapshot = room.engine.snapshot(room.now());
    let door = snapshot.points.iter().find(|point| point.id == "door.1").unwrap();
    assert_eq!(door.value, Some(0.0));
    assert_eq!(
        room.state("door.1.forced"),
        Some(AlarmState::Unacknowledged),
        "but it did happen"
    );
}

#[test]
fn a_sequence_that_went_back_with_a_later_boot_loses_no_event_and_opens_no_replay() {
    let mut room = Bench::new();
    for _ in 0..3 {
        room.node_event(&Up::Contact {
            channel: 0,
            open: false,
        });
    }
    room.event_seq = 5;
    let recorded = room.frame(
        Stream::Event,
        &Up::Contact {
            channel: 0,
            open: true,
        },
    );
    // The node lost its memory and began again at 2, in boot 2.
    room.boot = 2;
    room.event_seq = 1;
    room.node_event(&Up::Contact {
        channel: 0,
        open: true,
    });
    assert_eq!(room.acked(), Some(2));
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
    room.message("ev", recorded);
    assert_eq!(room.acked(), None, "of boot 1, with a sequence ahead");
    assert_eq!(
        room.recorded(|record| matches!(record, Record::StrayEvent { .. })),
        1,
        "it was never seen, so it is written down; it changes nothing"
    );
    assert_eq!(room.engine.snapshot(room.now()).nodes[0].last_event, Some(2));
}

#[test]
fn a_door_that_opened_and_closed_during_a_long_cut_is_still_an_alarm() {
    let mut room = Bench::new();
    room.sample(0, Quantity::Contact, Ok(0));
    let open = room.frame(
        Stream::Event,
        &Up::Contact {
            channel: 0,
            open: true,
        },
    );
    room.mono += 2_000;
    let closed = room.frame(
        Stream::Event,
        &Up::Contact {
            channel: 0,
            open: false,
        },
    );
    room.pass(60_000);
    room.message("ev", open);
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
    room.message("ev", closed);
    // Its present state is not known before the node says it: the alarm is not cleared by age.
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
    room.sample(0, Quantity::Contact, Ok(0));
    assert_eq!(
        room.state("door.1.forced"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
}

#[test]
fn the_counter_of_downward_frames_goes_on_after_65535_of_them_and_a_restart() {
    let mut room = Bench::new();
    room.node_event(&Up::Contact {
        channel: 0,
        open: true,
    });
    let frame = room.frame(
        Stream::Event,
        &Up::Contact {
            channel: 0,
            open: false,
        },
    );
    let mut last = 0;
    for _ in 0..70_000 {
        room.message("ev", frame.clone());
        for effect in &room.last.effects {
            if let Effect::Downlink { payload, .. } = effect {
                let seq = Envelope::parse(payload).unwrap().header.seq;
                assert!(seq > last, "{seq} after {last}");
                last = seq;
            }
        }
    }
    let mut again: Engine<Real> = Engine::new(site(), BTreeMap::from([(NODE, DeviceKey::new(KEY))])).unwrap();
    again.start(room.now(), "boot-a", "0.0.0", room.journal.clone());
    let message = Message {
        user: None,
        topic: "fac/v1/1/ev".to_owned(),
        payload: frame,
        retained: false,
    };
    let turn = again.handle(room.now(), Event::Message(message));
    let first = turn.effects.iter().find_map(|effect| match effect {
        Effect::Downlink { payload, .. } => Some(Envelope::parse(payload).unwrap().header.seq),
        _ => None,
    });
    assert!(first.is_some_and(|first| first > last), "{first:?} after {last}");
}

#[test]
fn the_history_keeps_changes_and_gaps_and_not_every_repetition() {
    let mut room = Bench::new();
    let mut rows = Vec::new();
    for second in 0..120 {
        let value = if second < 60 { 22_000 } else { 22_000 + second };
        room.sample(2, Quantity::Temperature, Ok(value));
        rows.extend(room.last.history.clone());
        room.pass(1_000);
    }
    assert!(
        (7..=10).contains(&rows.len()),
        "{} rows for two minutes",
        rows.len()
    );
    room.sample(2, Quantity::Temperature, Err(NoData::Absent));
    assert_eq!(room.last.history.len(), 1);
    assert_eq!(room.last.history[0].value, None, "a gap begins at once");
}

#[test]
fn the_history_begins_a_gap_when_a_point_turns_stale_and_says_so_once() {
    let mut room = Bench::new();
    room.sample(2, Quantity::Temperature, Ok(22_000));
    room.last.history.clear();
    let mut gaps = Vec::new();
    for _ in 0..40 {
        room.pass(1_000);
        gaps.append(&mut room.last.history);
    }
    let row = |row: &room::event::HistoryRow| (row.point.clone(), row.value);
    assert_eq!(
        gaps.iter().map(row).collect::<Vec<_>>(),
        [("inlet.temperature".to_owned(), None)]
    );
    room.sample(2, Quantity::Temperature, Ok(22_000));
    assert_eq!(
        room.last.history[0].value,
        Some(22.0),
        "and its end is said at once"
    );
}

#[test]
fn a_value_that_waited_in_the_network_is_as_old_as_it_is() {
    let mut room = Bench::new();
    room.sample(2, Quantity::Temperature, Ok(22_000));
    let late = room.frame(
        Stream::Telemetry,
        &Up::Sample(Sample {
            channel: 2,
            quantity: Quantity::Temperature,
            value: Ok(23_000),
        }),
    );
    room.mono += 4_000;
    room.message("t", late);
    let snapshot = room.engine.snapshot(room.now());
    let point = snapshot
        .points
        .iter()
        .find(|point| point.id == "inlet.temperature")
        .unwrap();
    assert_eq!((point.value, point.age_ms), (Some(23.0), Some(4_000)));
}

#[test]
fn a_restart_from_every_prefix_of_the_journal_knows_the_same_room() {
    let mut room = Bench::new();
    room.node_event(&Up::Hello {
        firmware: (1, 0, 0),
        cause: ResetCause::PowerOn,
        channels: 3,
    });
    room.node_event(&Up::Contact {
        channel: 0,
        open: true,
    });
    room.command(Command::Acknowledge {
        alarm: "door.1.forced".to_owned(),
    });
    room.command(Command::Shelve {
        alarm: "door.1.forced".to_owned(),
        minutes: 5,
        reason: "作業".to_owned(),
    });
    room.node_event(&Up::Contact {
        channel: 0,
        open: false,
    });
    room.event(Event::Trouble {
        part: Part::Journal,
        problem: Some("full".to_owned()),
    });

    for cut in 0..=room.journal.len() {
        let mut again: Engine<Real> =
            Engine::new(site(), BTreeMap::from([(NODE, DeviceKey::new(KEY))])).unwrap();
        let text: Vec<String> = room.journal[..cut]
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap())
            .collect();
        let entries: Vec<Entry> = text
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let last = entries.iter().rev().find_map(|entry| match entry.record {
            Record::NodeEvent { event_seq, .. } => Some(event_seq),
            _ => None,
        });
        let turn = again.start(room.now(), "boot-a", "0.0.0", entries);
        assert!(
            turn.records
                .iter()
                .any(|record| matches!(record, Record::Started { .. }))
        );
        assert_eq!(
            again.snapshot(room.now()).nodes[0].last_event,
            last,
            "cut at {cut}"
        );
        assert!(
            again
                .snapshot(room.now())
                .points
                .iter()
                .all(|p| p.no_data.as_deref() == Some("never_heard"))
        );
    }

    let mut again: Engine<Real> = Engine::new(site(), BTreeMap::new()).unwrap();
    again.start(room.now(), "boot-a", "0.0.0", room.journal.clone());
    let alarm = again
        .snapshot(room.now())
        .alarms
        .into_iter()
        .find(|alarm| alarm.id == "door.1.forced")
        .unwrap();
    assert_eq!(
        (alarm.state, alarm.owner.as_deref()),
        (AlarmState::Shelved, Some("山田"))
    );
}

#[test]
fn downlink_counters_never_fall_over_a_restart() {
    let mut room = Bench::new();
    let counters = |turn: &Turn| -> Vec<u32> {
        turn.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Downlink { payload, .. } => Some(Envelope::parse(payload).unwrap().header.seq),
                _ => None,
            })
            .collect()
    };
    room.node_event(&Up::Contact {
        channel: 0,
        open: true,
    });
    let first = counters(&room.last);
    assert!(first.windows(2).all(|pair| pair[0] < pair[1]));
    let mut again: Engine<Real> = Engine::new(site(), BTreeMap::from([(NODE, DeviceKey::new(KEY))])).unwrap();
    again.start(room.now(), "boot-b", "0.0.0", room.journal.clone());
    let frame = room.frame(
        Stream::Event,
        &Up::Contact {
            channel: 0,
            open: false,
        },
    );
    let message = Message {
        user: None,
        topic: "fac/v1/1/ev".to_owned(),
        payload: frame,
        retained: false,
    };
    let turn = again.handle(room.now(), Event::Message(message));
    assert!(counters(&turn).iter().all(|seq| seq > first.last().unwrap()));
}

#[test]
fn operators_get_clear_refusals() {
    let mut room = Bench::new();
    let acknowledge = |alarm: &str| Command::Acknowledge {
        alarm: alarm.to_owned(),
    };
    assert!(matches!(
        room.command(acknowledge("nothing")),
        Some(Refused::NotFound(_))
    ));
    assert!(matches!(
        room.command(acknowledge("door.1.forced")),
        Some(Refused::Conflict(_))
    ));
    room.node_event(&Up::Contact {
        channel: 0,
        open: true,
    });
    let shelve = |minutes| Command::Shelve {
        alarm: "door.1.forced".to_owned(),
        minutes,
        reason: "x".to_owned(),
    };
    assert!(matches!(room.command(shelve(481)), Some(Refused::Invalid(_))));
    assert!(matches!(room.command(shelve(0)), Some(Refused::Invalid(_))));
    room.event(Event::Command {
        by: " \n".to_owned(),
        command: acknowledge("door.1.forced"),
    });
    assert!(matches!(room.last.refused, Some(Refused::Invalid(_))));
    assert!(
        matches!(
            room.command(Command::Scenario {
                name: "leak".to_owned()
            }),
            Some(Refused::NotFound(_))
        ),
        "a real room has no scenarios"
    );
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
}

#[test]
fn a_shelf_ends_by_itself_whatever_the_wall_clock_does() {
    let mut room = Bench::new();
    room.node_event(&Up::Contact {
        channel: 0,
        open: true,
    });
    let shelve = Command::Shelve {
        alarm: "door.1.forced".to_owned(),
        minutes: 1,
        reason: "搬入".to_owned(),
    };
    assert_eq!(room.command(shelve), None);
    room.wall -= 3_600_000;
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Shelved));
    room.pass(60_000);
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
}

#[test]
fn an_unknown_node_is_seen() {
    let mut room = Bench::new();
    room.event(Event::Message(Message {
        user: None,
        topic: "fac/v1/99/ev".to_owned(),
        payload: vec![1, 2, 3],
        retained: false,
    }));
    assert_eq!(
        room.state("system.unknown_node"),
        Some(AlarmState::Unacknowledged)
    );
}

#[test]
fn a_node_is_told_the_time_until_it_has_it_and_then_once_a_day() {
    let mut room = Bench::new();
    let told = |room: &mut Bench, clock| {
        let Up::Health(health) = crate::bench::health(0, 0) else {
            unreachable!()
        };
        room.telemetry(&Up::Health(Health { clock, ..health }));
        let times = room.downs();
        times
            .iter()
            .filter(|(_, body)| matches!(body, Down::SetTime))
            .count()
    };
    // The first frame of a boot is answered with the time; that frame may be lost.
    assert!(told(&mut room, ClockState::Unset) >= 1);
    room.pass(60_000);
    assert_eq!(told(&mut room, ClockState::Rtc), 1);
    room.pass(60_000);
    assert_eq!(told(&mut room, ClockState::Controller), 0);
    room.pass(86_400_000);
    assert_eq!(told(&mut room, ClockState::Controller), 1);
    room.pass(60_000);
    assert_eq!(told(&mut room, ClockState::Controller), 0);
}

//! A door with a reader: the node decides, the controller records and alarms.

use crate::bench::{Bench, guarded, health, site};
use room::engine::SAID_BY;
use room::event::Command;
use room::record::{NodeEvent, Record};
use room::site::{Channel, ContactKind, Label, Priority};
use room::snapshot::AlarmState;
use shared::access::{Decision, Denial};
use shared::wire::{
    Crash, CrashKind, CredentialKind, DoorEvent, KeyEvent, LineFault, OpenedBy, ReaderProblem, ReaderState,
    ResetCause, Stream, Up, UpdateOutcome, UpdateRefusal, Version,
};
use shared::{NoData, Quantity};

const DOOR: u8 = 0;
const LEAK: u8 = 1;

fn contact(channel: u8, open: bool) -> Up {
    Up::Contact { channel, open }
}

fn door(event: DoorEvent) -> Up {
    Up::Door { portal: 0, event }
}

fn card(decision: Decision) -> Up {
    Up::Credential {
        reader: 0,
        kind: CredentialKind::Felica,
        id: [0xab; 8],
        decision,
        list: 3,
    }
}

#[test]
fn somebody_with_a_card_enters_and_nothing_rings() {
    let mut room = Bench::with(guarded());
    room.node_event(&card(Decision::Granted));
    assert_eq!(
        room.recorded(|record| matches!(
            record,
            Record::NodeEvent { event: NodeEvent::Credential { card, decision, list: 3, .. }, .. }
                if card == "abababababababab" && decision == "granted"
        )),
        1
    );
    room.node_event(&contact(DOOR, true));
    room.node_event(&door(DoorEvent::Opened(OpenedBy::Grant)));
    assert_eq!(room.portal("entrance").door, "open");
    room.pass(8_000);
    room.node_event(&contact(DOOR, false));
    room.node_event(&door(DoorEvent::Closed));
    assert_eq!(room.portal("entrance").door, "closed");
    assert_eq!(room.portal("entrance").last_decision.as_deref(), Some("granted"));
    room.heartbeat(5, 0);
    room.pass(9_000);
    let alarms = room.engine.snapshot(room.now()).alarms;
    assert!(
        alarms.iter().all(|alarm| alarm.id.ends_with("no_data")),
        "{alarms:?}"
    );
}

#[test]
fn who_leaves_and_who_turns_the_key_is_recorded_and_nothing_rings() {
    let mut room = Bench::with(guarded());
    for event in [
        DoorEvent::RequestToExit,
        DoorEvent::Opened(OpenedBy::RequestToExit),
        DoorEvent::Closed,
        DoorEvent::KeyOverride(true),
        DoorEvent::Opened(OpenedBy::KeyOverride),
        DoorEvent::Closed,
        DoorEvent::KeyOverride(false),
        DoorEvent::Unused,
    ] {
        room.node_event(&door(event));
        assert_eq!(
            room.recorded(|record| matches!(
                record,
                Record::NodeEvent { event: NodeEvent::Door { door, .. }, point: Some(_), .. } if *door == event
            )),
            1
        );
    }
    assert!(room.engine.snapshot(room.now()).alarms.is_empty());
}

#[test]
fn a_forced_door_rings_at_once_and_waits_for_a_reset() {
    let mut room = Bench::with(guarded());
    room.node_event(&contact(DOOR, true));
    assert_eq!(room.state("door.1.forced"), None, "the node decides");
    room.node_event(&door(DoorEvent::Forced));
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
    let alarm = &room.engine.snapshot(room.now()).alarms[0];
    assert_eq!(alarm.priority, Priority::Critical);
    room.node_event(&door(DoorEvent::Closed));
    room.command(Command::Acknowledge {
        alarm: "door.1.forced".to_owned(),
    });
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Latched));
}

#[test]
fn an_opening_about_which_the_node_says_nothing_counts_as_forced() {
    let mut room = Bench::with(guarded());
    room.node_event(&contact(DOOR, true));
    room.pass(5_000);
    assert_eq!(room.state("door.1.forced"), None);
    room.pass(1);
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
    assert_eq!(room.counter("portal_openings_unjudged"), 1);

    // The word may come before the contact, too.
    let mut room = Bench::with(guarded());
    room.node_event(&door(DoorEvent::Opened(OpenedBy::Grant)));
    room.node_event(&contact(DOOR, true));
    room.pass(6_000);
    assert_eq!(room.state("door.1.forced"), None);
}

#[test]
fn a_door_found_open_at_the_start_of_the_node_is_forced_for_all_that_is_known() {
    let mut room = Bench::with(guarded());
    room.node_event(&door(DoorEvent::FoundOpen));
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
}

#[test]
fn a_door_held_open_returns_when_it_is_closed() {
    let mut room = Bench::with(guarded());
    room.node_event(&door(DoorEvent::Opened(OpenedBy::Grant)));
    room.node_event(&door(DoorEvent::HeldOpen));
    assert_eq!(room.state("door.1.held"), Some(AlarmState::Unacknowledged));
    assert_eq!(room.portal("entrance").door, "held_open");
    room.command(Command::Acknowledge {
        alarm: "door.1.held".to_owned(),
    });
    room.node_event(&door(DoorEvent::Closed));
    assert_eq!(room.state("door.1.held"), None);
}

/// Two stages: a warning when the node says so, and for the room's chief when nobody closes it.
#[test]
fn a_door_that_is_still_open_two_minutes_later_is_critical() {
    let mut room = Bench::with(guarded());
    room.node_event(&door(DoorEvent::Opened(OpenedBy::Grant)));
    room.node_event(&door(DoorEvent::HeldOpen));
    room.pass(60_000);
    // A restart begins the two minutes anew; the first stage stands.
    room.restart(guarded());
    room.sample(DOOR, Quantity::Contact, Ok(1000));
    room.pass(119_000);
    assert_eq!(room.state("door.1.held_long"), None);
    room.pass(2_000);
    assert_eq!(room.state("door.1.held_long"), Some(AlarmState::Unacknowledged));
    let alarms = room.engine.snapshot(room.now()).alarms;
    let priority = |id: &str| alarms.iter().find(|alarm| alarm.id == id).unwrap().priority;
    assert_eq!(priority("door.1.held"), Priority::Warning);
    assert_eq!(priority("door.1.held_long"), Priority::Critical);
    room.sample(DOOR, Quantity::Contact, Ok(0));
    assert_eq!(
        room.state("door.1.held_long"),
        Some(AlarmState::ReturnedUnacknowledged)
    );

    let mut closed = Bench::with(guarded());
    closed.node_event(&door(DoorEvent::Opened(OpenedBy::Grant)));
    closed.node_event(&door(DoorEvent::HeldOpen));
    closed.pass(119_000);
    closed.node_event(&door(DoorEvent::Closed));
    closed.pass(10_000);
    assert_eq!(closed.state("door.1.held_long"), None, "it was closed in time");
}

#[test]
fn the_contact_alone_ends_what_an_opening_began_when_the_word_about_it_was_lost() {
    let mut room = Bench::with(guarded());
    room.node_event(&door(DoorEvent::Forced));
    room.node_event(&door(DoorEvent::HeldOpen));
    room.sample(DOOR, Quantity::Contact, Ok(0));
    for alarm in ["door.1.forced", "door.1.held"] {
        assert_eq!(room.state(alarm), Some(AlarmState::ReturnedUnacknowledged));
    }
}

#[test]
fn a_restart_of_the_controller_neither_raises_nor_clears_the_alarms_of_a_door() {
    let mut room = Bench::with(guarded());
    room.node_event(&door(DoorEvent::Forced));
    room.restart(guarded());
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
    room.sample(DOOR, Quantity::Contact, Ok(1000));
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
    room.sample(DOOR, Quantity::Contact, Ok(0));
    assert_eq!(
        room.state("door.1.forced"),
        Some(AlarmState::ReturnedUnacknowledged)
    );

    let mut quiet = Bench::with(guarded());
    quiet.restart(guarded());
    quiet.sample(DOOR, Quantity::Contact, Ok(1000));
    quiet.pass(6_000);
    assert_eq!(quiet.state("door.1.forced"), None, "it was judged before");
}

#[test]
fn a_reader_that_falls_silent_and_an_opened_enclosure_ring() {
    let mut room = Bench::with(guarded());
    let reader = |state| Up::Reader { reader: 0, state };
    room.node_event(&reader(ReaderState::Fault(ReaderProblem::Mute)));
    assert_eq!(room.state("entrance.reader"), Some(AlarmState::Unacknowledged));
    assert_eq!(room.portal("entrance").reader, "mute");
    room.node_event(&reader(ReaderState::Well));
    assert_eq!(
        room.state("entrance.reader"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
    room.node_event(&door(DoorEvent::Tamper(true)));
    assert_eq!(room.state("entrance.tamper"), Some(AlarmState::Unacknowledged));
    room.node_event(&door(DoorEvent::Tamper(false)));
    assert_eq!(
        room.state("entrance.tamper"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
    room.node_event(&door(DoorEvent::Unlocked(true)));
    assert_eq!(room.state("entrance.unlocked"), Some(AlarmState::Unacknowledged));
}

#[test]
fn a_card_that_is_read_proves_the_reader_well_and_a_denial_rings_nothing() {
    let mut room = Bench::with(guarded());
    room.node_event(&Up::Reader {
        reader: 0,
        state: ReaderState::Fault(ReaderProblem::Garbled),
    });
    room.node_event(&card(Decision::Denied(Denial::Expired)));
    assert_eq!(
        room.state("entrance.reader"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
    assert_eq!(room.counter("portal_cards_denied"), 1);
    assert_eq!(room.portal("entrance").last_decision.as_deref(), Some("expired"));
}

#[test]
fn a_blocked_reader_rings_until_it_is_free_though_it_reads_cards_of_another_kind() {
    let mut room = Bench::with(guarded());
    let reader = |state| Up::Reader { reader: 0, state };
    room.node_event(&reader(ReaderState::Fault(ReaderProblem::Blocked)));
    room.node_event(&card(Decision::Granted));
    assert_eq!(room.state("entrance.reader"), Some(AlarmState::Unacknowledged));
    assert_eq!(room.portal("entrance").reader, "blocked");
    room.node_event(&reader(ReaderState::Well));
    assert_eq!(room.portal("entrance").reader, "well");
}

#[test]
fn an_earthquake_is_an_alarm_that_stands_until_somebody_has_looked() {
    let mut site = guarded();
    let rack = Channel {
        channel: 6,
        point: "rack.shake".to_owned(),
        label: Label::new("ラック", "rack"),
        quantity: Quantity::Acceleration,
        contact: None,
        mount: None,
    };
    site.nodes[0].channels.push(rack);
    let mut room = Bench::with(site);
    assert_eq!(room.state("rack.shake.shock"), None);
    room.node_event(&Up::Shock {
        channel: 6,
        peak: 2_512,
    });
    let alarms = room.engine.snapshot(room.now()).alarms;
    let alarm = alarms
        .iter()
        .find(|alarm| alarm.id == "rack.shake.shock")
        .unwrap();
    assert_eq!(alarm.because.ja, "最大 251 ガル");
    assert_eq!(alarm.because.en, "peak 2.51 m/s²");
    room.pass(3_600_000);
    assert_eq!(
        room.state("rack.shake.shock"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
    room.command(Command::Acknowledge {
        alarm: "rack.shake.shock".to_owned(),
    });
    assert_eq!(room.state("rack.shake.shock"), Some(AlarmState::Latched));
    room.command(Command::Reset {
        alarm: "rack.shake.shock".to_owned(),
    });
    assert_eq!(room.state("rack.shake.shock"), None);
}

#[test]
fn a_portal_that_the_site_does_not_name_still_rings_when_it_is_forced() {
    let mut room = Bench::new();
    room.node_event(&Up::Door {
        portal: 3,
        event: DoorEvent::Forced,
    });
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));
    assert_eq!(room.counter("node_portals_unmounted"), 1);
}

#[test]
fn a_cut_and_a_shorted_line_are_no_data_with_their_name_until_the_contact_speaks_again() {
    let mut room = Bench::new();
    room.sample(LEAK, Quantity::Contact, Ok(0));
    for (fault, ja) in [(LineFault::Cut, "断線"), (LineFault::Shorted, "短絡または水没")] {
        room.node_event(&Up::LineFault { channel: LEAK, fault });
        assert_eq!(room.point("leak.1"), Err("line_fault".to_owned()));
        assert_eq!(room.state("leak.1.wet"), None, "a broken rope is not wet");
        let alarms = room.engine.snapshot(room.now()).alarms;
        let alarm = alarms.iter().find(|alarm| alarm.id == "leak.1.rope").unwrap();
        assert_eq!(
            (alarm.state, alarm.because.ja.as_str()),
            (AlarmState::Unacknowledged, ja)
        );
        room.node_event(&contact(LEAK, false));
        assert_eq!(room.point("leak.1"), Ok(0.0));
        room.command(Command::Acknowledge {
            alarm: "leak.1.rope".to_owned(),
        });
        assert_eq!(room.state("leak.1.rope"), None);
    }
}

#[test]
fn a_chattering_contact_is_one_alarm_and_its_state_is_in_doubt_until_it_rests() {
    let mut room = Bench::new();
    room.node_event(&contact(DOOR, true));
    room.node_event(&contact(DOOR, false));
    room.node_event(&Up::Chattering {
        channel: DOOR,
        edges: 20,
    });
    assert_eq!(room.state("door.1.chattering"), Some(AlarmState::Unacknowledged));
    assert_eq!(room.point("door.1"), Err("implausible".to_owned()));
    assert_eq!(room.state("door.1.no_data"), None, "one alarm is enough");
    // Where it happens to be at a report is not where it is.
    for level in [0, 1000, 0] {
        room.sample(DOOR, Quantity::Contact, Ok(level));
        assert_eq!(room.point("door.1"), Err("implausible".to_owned()));
    }
    assert_eq!(
        room.state("door.1.forced"),
        Some(AlarmState::ReturnedUnacknowledged),
        "what was raised before is neither raised again nor forgotten"
    );

    // That it chatters outlives the controller.
    room.restart(site());
    room.sample(DOOR, Quantity::Contact, Ok(0));
    assert_eq!(room.point("door.1"), Err("implausible".to_owned()));
    assert_eq!(room.state("door.1.chattering"), Some(AlarmState::Unacknowledged));

    room.node_event(&Up::Rested {
        channel: DOOR,
        open: false,
        edges: 900,
    });
    assert_eq!(room.point("door.1"), Ok(0.0));
    assert_eq!(
        room.state("door.1.chattering"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
}

#[test]
fn a_leak_contact_that_chatters_is_taken_for_wet() {
    let mut room = Bench::new();
    room.sample(LEAK, Quantity::Contact, Ok(0));
    room.node_event(&Up::Chattering {
        channel: LEAK,
        edges: 20,
    });
    room.pass(2_900);
    assert_eq!(room.state("leak.1.wet"), None);
    room.pass(100);
    assert_eq!(
        room.state("leak.1.wet"),
        Some(AlarmState::Unacknowledged),
        "what drips makes its contact bounce"
    );
    room.node_event(&Up::Rested {
        channel: LEAK,
        open: false,
        edges: 9,
    });
    assert_eq!(room.state("leak.1.wet"), Some(AlarmState::ReturnedUnacknowledged));
}

#[test]
fn a_reboot_and_a_loss_end_the_doubt_about_a_chattering_contact() {
    for end in [
        Up::Hello {
            firmware: (1, 0, 0),
            cause: ResetCause::PowerOn,
            channels: 3,
        },
        Up::Lost { count: 9 },
    ] {
        let mut room = Bench::new();
        room.node_event(&Up::Chattering {
            channel: DOOR,
            edges: 20,
        });
        room.node_event(&end);
        assert_eq!(
            room.state("door.1.chattering"),
            Some(AlarmState::ReturnedUnacknowledged)
        );
        room.sample(DOOR, Quantity::Contact, Ok(0));
        assert_eq!(room.point("door.1"), Ok(0.0));
    }
}

#[test]
fn every_kind_of_contact_rings_with_what_to_do_or_is_a_condition_only() {
    use ContactKind::{
        Breaker, Door, ExtinguishingAgent, FirePanel, Leak, LockBolt, MainsPresent, Rack, RequestToExit,
        Smoke, SurgeProtector, Tamper, Window,
    };
    let kinds = [
        (Door, "p.forced", 0, Some(Priority::Critical)),
        (Leak, "p.wet", 3_000, Some(Priority::Critical)),
        (Smoke, "p.smoke", 0, Some(Priority::Critical)),
        (Tamper, "p.tamper", 0, Some(Priority::Critical)),
        (FirePanel, "p.fire", 0, Some(Priority::Critical)),
        (ExtinguishingAgent, "p.low", 2_000, Some(Priority::Critical)),
        (Breaker, "p.tripped", 2_000, Some(Priority::Critical)),
        (SurgeProtector, "p.worn", 2_000, Some(Priority::Warning)),
        (MainsPresent, "p.lost", 2_000, Some(Priority::Warning)),
        (Window, "p.open", 10_000, Some(Priority::Warning)),
        (Rack, "p.open", 600_000, Some(Priority::Advisory)),
        (LockBolt, "p.unlocked", 0, None),
        (RequestToExit, "p.pressed", 0, None),
    ];
    for (kind, alarm, delay, priority) in kinds {
        let mut place = site();
        place.nodes[0].channels = vec![Channel {
            channel: 0,
            point: "p".to_owned(),
            label: Label::new("p", "p"),
            quantity: Quantity::Contact,
            contact: Some(kind),
            mount: None,
        }];
        place.nodes[0].silent_after = room::time::Millis(3_600_000);
        place.limits.clear();
        let mut room = Bench::with(place);
        room.node_event(&contact(0, true));
        if delay > 0 {
            room.pass(delay - 1);
            assert_eq!(room.state(alarm), None, "{kind:?}");
            room.pass(1);
        }
        let alarms = room.engine.snapshot(room.now()).alarms;
        let found = alarms.iter().find(|row| row.id == alarm);
        assert_eq!(found.map(|row| row.priority), priority, "{kind:?}");
        if let Some(row) = found {
            for text in [&row.what, &row.action] {
                assert!(!text.ja.is_empty() && !text.en.is_empty(), "{kind:?}");
            }
        }
        assert_eq!(room.point("p"), Ok(1.0));
    }
}

#[test]
fn a_crash_is_recorded_with_its_place_and_rings_for_a_while() {
    let mut room = Bench::new();
    room.node_event(&Up::Crashed(Crash {
        kind: CrashKind::Hang,
        pc: 0x1234,
        lr: 0,
        task: 2,
        mark: 0,
        up_ms: 90_000,
    }));
    assert_eq!(
        room.recorded(|record| matches!(
            record,
            Record::NodeEvent { event: NodeEvent::Crashed { crash }, .. } if crash.task == 2
        )),
        1
    );
    assert_eq!(room.state("node-1.crashed"), Some(AlarmState::Unacknowledged));
    room.pass(600_001);
    assert_eq!(
        room.state("node-1.crashed"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
}

#[test]
fn a_node_in_safe_mode_is_critical_until_it_says_that_it_watches_again() {
    let mut room = Bench::new();
    room.node_event(&Up::SafeMode { on: true, crashes: 5 });
    assert_eq!(room.state("node-1.safe_mode"), Some(AlarmState::Unacknowledged));
    room.node_event(&Up::SafeMode {
        on: false,
        crashes: 0,
    });
    assert_eq!(
        room.state("node-1.safe_mode"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
    // The event may be gone with the ring; the telemetry says it, too.
    let Up::Health(mut unwell) = health(3, 1) else {
        panic!("health");
    };
    unwell.safe_mode = true;
    room.telemetry(&Up::Health(unwell));
    assert_eq!(room.state("node-1.safe_mode"), Some(AlarmState::Unacknowledged));

    let node = room.engine.snapshot(room.now()).nodes.remove(0);
    let row = node.health.unwrap();
    assert_eq!(
        (
            row.running.as_str(),
            row.previous.as_deref(),
            row.refused.as_deref()
        ),
        ("1.4.0", Some("1.3.9"), Some("1.2.0"))
    );
    assert_eq!(row.refused_because.as_deref(), Some("Older"));
    assert_eq!((row.clock.as_str(), row.list, row.stack_free), ("rtc", 3, None));
    assert_eq!(room.counter("node_1_garbled"), 7);
}

#[test]
fn a_refused_update_rings_and_a_confirmed_one_does_not() {
    let mut room = Bench::new();
    let update = |outcome| Up::Update {
        version: Version(2, 0, 1),
        outcome,
    };
    room.node_event(&update(UpdateOutcome::Staged));
    room.node_event(&update(UpdateOutcome::Confirmed));
    assert_eq!(room.state("node-1.update"), None);
    room.node_event(&update(UpdateOutcome::Refused(UpdateRefusal::Signature)));
    assert_eq!(room.state("node-1.update"), Some(AlarmState::Unacknowledged));
}

#[test]
fn a_sensor_that_is_back_needs_no_more_than_its_next_value() {
    let mut room = Bench::new();
    room.node_event(&Up::SensorLost {
        channel: 2,
        reason: NoData::Stuck,
    });
    assert_eq!(room.point("inlet.temperature"), Err("stuck".to_owned()));
    room.node_event(&Up::SensorBack { channel: 2 });
    assert_eq!(room.point("inlet.temperature"), Err("stuck".to_owned()));
    room.sample(2, Quantity::Temperature, Ok(22_000));
    assert_eq!(room.point("inlet.temperature"), Ok(22.0));
}

#[test]
fn the_row_of_a_door_claims_nothing_while_its_node_is_silent_in_safe_mode_or_erased() {
    let well = |room: &mut Bench| {
        room.node_event(&Up::Reader {
            reader: 0,
            state: ReaderState::Well,
        });
        room.node_event(&card(Decision::Granted));
        room.node_event(&door(DoorEvent::Tamper(false)));
        room.node_event(&door(DoorEvent::Unlocked(false)));
        room.node_event(&door(DoorEvent::Closed));
        let row = room.portal("entrance");
        assert_eq!((row.reader.as_str(), row.door.as_str()), ("well", "closed"));
        assert_eq!((row.tamper, row.unlocked), (Some(false), Some(false)));
    };
    let unknown = |room: &Bench| {
        let row = room.portal("entrance");
        assert_eq!((row.reader.as_str(), row.door.as_str()), ("unknown", "unknown"));
        assert_eq!((row.tamper, row.unlocked), (None, None));
        row
    };
    let mut silent = Bench::with(guarded());
    well(&mut silent);
    silent.pass(3_600_000);
    let row = unknown(&silent);
    assert_eq!(row.last_decision.as_deref(), Some("granted"));
    assert_eq!(row.last_decision_age_ms, Some(3_600_000), "its age says so");

    let mut safe = Bench::with(guarded());
    well(&mut safe);
    let Up::Health(mut unwell) = health(3, 1) else {
        panic!("health");
    };
    unwell.safe_mode = true;
    safe.telemetry(&Up::Health(unwell));
    unknown(&safe);

    let mut erased = Bench::with(guarded());
    well(&mut erased);
    erased.node_event(&Up::Key(KeyEvent::Erased));
    unknown(&erased);
}

#[test]
fn after_a_restart_of_the_node_its_own_word_ends_the_alarms_of_its_door() {
    let mut room = Bench::with(guarded());
    room.node_event(&Up::Reader {
        reader: 0,
        state: ReaderState::Fault(ReaderProblem::Mute),
    });
    room.node_event(&door(DoorEvent::Tamper(true)));
    room.node_event(&door(DoorEvent::Unlocked(true)));
    room.node_event(&door(DoorEvent::HeldOpen));
    let alarms = ["entrance.reader", "entrance.tamper", "entrance.unlocked"];
    let stand = |room: &Bench, why: &str| {
        for alarm in alarms {
            assert_eq!(
                room.state(alarm),
                Some(AlarmState::Unacknowledged),
                "{alarm} {why}"
            );
        }
    };
    stand(&room, "before");

    room.boot = 2;
    room.node_event(&Up::Hello {
        firmware: (1, 0, 0),
        cause: ResetCause::Watchdog,
        channels: 3,
    });
    stand(&room, "though it started anew: it has not said how its door is");
    let row = room.portal("entrance");
    assert_eq!((row.reader.as_str(), row.tamper), ("unknown", None));
    assert_ne!(row.door, "held_open", "of the life before");
    room.heartbeat(room.event_seq + 1, 1);
    stand(&room, "while it holds an event that we have not heard");
    let early = Up::Heartbeat {
        pending: 0,
        last_event: room.event_seq,
        refused: 0,
        dropped: 0,
    };
    room.telemetry_seq += 1;
    let up = SAID_BY.0 - 1;
    let early = crate::bench::seal(2, Stream::Telemetry, room.telemetry_seq, up, &early);
    room.message("t", early);
    stand(&room, "before it has had time to look");

    room.pass(5_000);
    room.heartbeat(room.event_seq, 0);
    for alarm in ["entrance.tamper", "entrance.unlocked"] {
        assert_eq!(room.state(alarm), Some(AlarmState::ReturnedUnacknowledged));
    }
    assert_eq!(
        room.state("entrance.reader"),
        Some(AlarmState::Unacknowledged),
        "a reader says itself that it is well"
    );
    room.node_event(&Up::Reader {
        reader: 0,
        state: ReaderState::Well,
    });
    assert_eq!(
        room.state("entrance.reader"),
        Some(AlarmState::ReturnedUnacknowledged)
    );

    // One that is still open says so, and no heartbeat ends that.
    room.node_event(&door(DoorEvent::Tamper(true)));
    room.heartbeat(room.event_seq, 0);
    assert_eq!(room.state("entrance.tamper"), Some(AlarmState::Unacknowledged));
}

#[test]
fn only_a_word_of_the_same_life_and_moment_explains_an_opening() {
    // The word about an earlier opening comes late, just before the contact opens again.
    let frame = |boot, seq, up_ms, body: &Up| crate::bench::seal(boot, Stream::Event, seq, up_ms, body);
    let grant = door(DoorEvent::Opened(OpenedBy::Grant));
    let mut room = Bench::with(guarded());
    room.message("ev", frame(1, 1, 20_000, &grant));
    room.message("ev", frame(1, 2, 60_000, &contact(DOOR, true)));
    room.pass(5_001);
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));

    // Of an earlier life.
    let mut room = Bench::with(guarded());
    room.message("ev", frame(1, 1, 60_000, &grant));
    room.message("ev", frame(2, 2, 60_000, &contact(DOOR, true)));
    room.pass(5_001);
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));

    // What was opened and explained while nobody heard it rings nothing, however late it comes.
    let mut room = Bench::with(guarded());
    room.message("ev", frame(1, 1, 20_000, &contact(DOOR, true)));
    room.message("ev", frame(1, 2, 20_100, &grant));
    room.message("ev", frame(1, 3, 60_000, &contact(DOOR, true)));
    room.message("ev", frame(1, 4, 60_100, &grant));
    room.pass(6_000);
    assert_eq!(room.state("door.1.forced"), None);
}

#[test]
fn an_opening_that_nobody_had_explained_when_the_controller_ended_is_judged_after_its_start() {
    let mut room = Bench::with(guarded());
    room.node_event(&contact(DOOR, true));
    room.pass(1_000);
    room.restart(guarded());
    room.pass(5_000);
    assert_eq!(room.state("door.1.forced"), None, "the word may still come");
    room.pass(1);
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));

    // Once: it was decided, closed, looked at and reset before the next start.
    room.node_event(&contact(DOOR, false));
    for command in [
        Command::Acknowledge {
            alarm: "door.1.forced".to_owned(),
        },
        Command::Reset {
            alarm: "door.1.forced".to_owned(),
        },
    ] {
        room.command(command);
    }
    room.sample(DOOR, Quantity::Contact, Ok(0));
    room.restart(guarded());
    room.pass(6_000);
    assert_ne!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));

    // And the next one anew.
    room.node_event(&contact(DOOR, true));
    room.restart(guarded());
    room.restart(guarded());
    room.pass(5_001);
    assert_eq!(room.state("door.1.forced"), Some(AlarmState::Unacknowledged));

    let mut explained = Bench::with(guarded());
    explained.node_event(&contact(DOOR, true));
    explained.node_event(&door(DoorEvent::Opened(OpenedBy::Grant)));
    explained.restart(guarded());
    explained.pass(6_000);
    assert_eq!(explained.state("door.1.forced"), None);
}

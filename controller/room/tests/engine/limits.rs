//! Limits that people change at run time: who may what, what a restart keeps, what the file says.

use crate::bench::{Bench, site};
use room::event::{Command, Refused};
use room::limits::{Change, Values};
use room::record::Record;
use room::site::{Limit, Priority};
use room::snapshot::AlarmState;
use room::time::Millis;
use shared::Quantity;

const HIGH: &str = "inlet.temperature.high";

fn change(limit: f64) -> Change {
    Change {
        limit: Some(limit),
        ..Change::default()
    }
}

fn ask(room: &mut Bench, change: Change) -> Option<Refused> {
    room.command(Command::ChangeLimit {
        limit: HIGH.to_owned(),
        change,
        reason: "夏の間だけ".to_owned(),
    })
}

fn limit_of(room: &Bench) -> room::snapshot::Limit {
    let rows = room.engine.limit_rows();
    rows.into_iter().find(|row| row.id == HIGH).unwrap()
}

fn hot(room: &mut Bench, milli: i32) -> Option<AlarmState> {
    room.sample(2, Quantity::Temperature, Ok(milli));
    room.pass(2_500);
    room.sample(2, Quantity::Temperature, Ok(milli));
    room.state(HIGH)
}

#[test]
fn a_change_is_recorded_with_who_when_why_before_and_after_and_holds_at_once() {
    let mut room = Bench::new();
    assert_eq!(ask(&mut room, change(28.0)), None);
    let Some(Record::LimitChanged {
        by,
        reason,
        before,
        after,
        ..
    }) = room.last.records.first()
    else {
        panic!("{:?}", room.last.records);
    };
    assert_eq!((by.as_str(), reason.as_str()), ("山田", "夏の間だけ"));
    assert_eq!((before.limit, after.limit), (30.0, 28.0));
    assert_eq!(hot(&mut room, 28_500), Some(AlarmState::Unacknowledged));
    let row = limit_of(&room);
    assert_eq!((row.values.limit, row.written.limit), (28.0, 30.0));
    assert_eq!(row.changed.unwrap().by.as_deref(), Some("山田"));
    // Raised again, the alarm that stands returns by the new limit.
    assert_eq!(ask(&mut room, change(29.5)), None);
    assert_eq!(hot(&mut room, 28_500), Some(AlarmState::ReturnedUnacknowledged));
    let history = room.engine.limit_history(HIGH).unwrap();
    let steps: Vec<(f64, f64)> = history
        .iter()
        .map(|change| (change.before.limit, change.after.as_ref().unwrap().limit))
        .collect();
    assert_eq!(steps, [(28.0, 29.5), (30.0, 28.0)], "newest first");
    assert_eq!(history[0].at_ms, room.wall - 2_500);
}

#[test]
fn a_change_stays_over_restarts_until_the_file_says_otherwise() {
    let mut room = Bench::new();
    // A number that a text of few digits does not hold.
    assert_eq!(ask(&mut room, change(28.0 + 0.1 + 0.2)), None);
    for _ in 0..2 {
        room.restart(site());
        assert!((limit_of(&room).values.limit - 28.3).abs() < 1e-9);
    }
    assert_eq!(
        room.recorded(|record| matches!(record, Record::LimitFollowsSite { .. })),
        0
    );
    // The file is edited: it is the later word, and that is journaled.
    let edited = |limit: f64| {
        let mut site = site();
        site.limits[0].limit = limit;
        site
    };
    room.restart(edited(29.0));
    assert_eq!(limit_of(&room).values.limit, 29.0);
    assert_eq!(
        room.recorded(|record| matches!(record, Record::LimitFollowsSite { .. })),
        1
    );
    assert_eq!(hot(&mut room, 29_500), Some(AlarmState::Unacknowledged));
    // Edited back, the old change is not found again.
    room.restart(site());
    assert_eq!(limit_of(&room).values.limit, 30.0);
    assert_eq!(limit_of(&room).changed, None);
    let history = room.engine.limit_history(HIGH).unwrap();
    assert_eq!((history.len(), history[0].by.as_deref()), (2, None));
}

#[test]
fn another_edit_of_the_file_leaves_the_change_alone() {
    let mut room = Bench::new();
    assert_eq!(ask(&mut room, change(28.0)), None);
    let mut other = site();
    other.limits.push(Limit {
        id: "inlet.temperature.hot".to_owned(),
        limit: 40.0,
        priority: Priority::Critical,
        ..other.limits[0].clone()
    });
    room.restart(other);
    assert_eq!(limit_of(&room).values.limit, 28.0);
    // A limit that is taken out takes its change with it.
    let mut without = site();
    without.limits.clear();
    room.restart(without);
    assert_eq!(room.engine.limit_history(HIGH), None);
    room.restart(site());
    assert_eq!(limit_of(&room).values.limit, 30.0);
}

#[test]
fn what_cannot_be_is_refused_with_the_reason_and_leaves_nothing_behind() {
    let mut crowded = site();
    crowded.limits.push(Limit {
        id: "inlet.temperature.critical".to_owned(),
        limit: 32.0,
        priority: Priority::Critical,
        ..crowded.limits[0].clone()
    });
    let mut room = Bench::with(crowded);
    let invalid = |refused: Option<Refused>, word: &str| match refused {
        Some(Refused::Invalid(why)) => {
            assert!(why.en.contains(word), "{}", why.en);
            assert!(!why.ja.is_ascii(), "in Japanese: {}", why.ja);
        }
        other => panic!("{word}: {other:?}"),
    };
    invalid(ask(&mut room, change(33.0)), "further outside");
    invalid(ask(&mut room, change(200.0)), "-40 to 125");
    let to_critical = Change {
        priority: Some(Priority::Critical),
        ..Change::default()
    };
    assert_eq!(
        ask(&mut room, to_critical),
        None,
        "two of one priority have no order"
    );
    let late = Change {
        on_delay: Some(Millis::from_secs(7_200)),
        ..Change::default()
    };
    invalid(ask(&mut room, late), "3600 s");
    let same = ask(&mut room, to_critical);
    assert!(matches!(same, Some(Refused::Conflict(_))), "{same:?}");
    let nowhere = room.command(Command::ChangeLimit {
        limit: "no.such".to_owned(),
        change: change(1.0),
        reason: "試し".to_owned(),
    });
    assert!(matches!(nowhere, Some(Refused::NotFound(_))), "{nowhere:?}");
    let silent = room.command(Command::ChangeLimit {
        limit: HIGH.to_owned(),
        change: change(29.0),
        reason: " ".to_owned(),
    });
    invalid(silent, "reason");
    assert_eq!(room.recorded(|_| true), 0);
    assert_eq!(limit_of(&room).values.limit, 30.0);
}

#[test]
fn a_proposal_is_the_limit_as_it_is_and_as_it_would_be() {
    let room: Bench = Bench::new();
    let proposal = room.engine.propose(HIGH, &change(27.5)).unwrap();
    assert_eq!((proposal.present.limit, proposal.proposed.limit), (30.0, 27.5));
    assert_eq!(Values::of(&proposal.proposed).deadband, 0.5);
    assert_eq!(proposal.unit, "°C");
    assert!(room.engine.propose(HIGH, &change(f64::NAN)).is_err());
}

/// A line that changes here is a journal that does not replay any more: revert, do not update.
#[test]
fn the_lines_of_journals_in_use_stay_as_they_are() {
    let values = Values {
        limit: 28.0,
        deadband: 0.5,
        on_delay: Millis(120_000),
        off_delay: Millis(60_000),
        priority: Priority::Warning,
    };
    let higher = Values {
        limit: 30.0,
        ..values
    };
    let records = [
        (
            Record::LimitChanged {
                limit: "inlet.high".to_owned(),
                by: "山田".to_owned(),
                reason: "夏".to_owned(),
                before: higher,
                after: values,
                written: room::limits::Written {
                    point: "inlet".to_owned(),
                    side: room::site::Side::High,
                    values: higher,
                },
            },
            r#"{"kind":"limit_changed","limit":"inlet.high","by":"山田","reason":"夏","before":{"limit":30.0,"deadband":0.5,"on_delay":120000,"off_delay":60000,"priority":"warning"},"after":{"limit":28.0,"deadband":0.5,"on_delay":120000,"off_delay":60000,"priority":"warning"},"written":{"point":"inlet","side":"high","values":{"limit":30.0,"deadband":0.5,"on_delay":120000,"off_delay":60000,"priority":"warning"}}}"#,
        ),
        (
            Record::LimitFollowsSite {
                limit: "inlet.high".to_owned(),
                before: values,
                after: None,
            },
            r#"{"kind":"limit_follows_site","limit":"inlet.high","before":{"limit":28.0,"deadband":0.5,"on_delay":120000,"off_delay":60000,"priority":"warning"},"after":null}"#,
        ),
    ];
    for (record, line) in records {
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
        assert_eq!(serde_json::from_str::<Record>(line).unwrap(), record);
    }
}

//! What a device tells: all of it for whoever asks, the chief facts on the picture.

use crate::bench::{Bench, site};
use room::device::{Fact, FactValue, Poll, PollFailure, Reading};
use room::engine::{MAX_FACTS, SHOWN_MAX};
use room::event::Event;
use room::site::link::{Link, SnmpAccess, SnmpLink};
use room::site::{Device, DeviceKind, Label, Limit, Priority, Real, Secret, Side, Site};
use room::snapshot::AlarmState;
use room::time::Millis;
use shared::NoData;

const FANS: usize = 600;

fn server(limit: f64) -> Site<Real> {
    let mut site = site();
    site.devices.push(Device {
        name: "db1".to_owned(),
        label: Label::new("台帳サーバ", "Ledger server"),
        kind: DeviceKind::Server,
        link: Link::Snmp(SnmpLink {
            addr: "127.0.0.1:161".parse().unwrap(),
            access: SnmpAccess::V2c(Secret("public".to_owned())),
        }),
        profile: None,
        poll: Millis(5_000),
        poll_on_battery: Millis(5_000),
        timeout: Millis(1_000),
        retries: 1,
        behind: None,
        uplinks: Vec::new(),
        commands: Vec::new(),
        write: None,
    });
    site.limits.push(Limit {
        id: "db1.fan.7.speed.low".to_owned(),
        point: "db1.fan.7.speed".to_owned(),
        side: Side::Low,
        limit,
        deadband: 10.0,
        on_delay: Millis(0),
        off_delay: Millis(0),
        priority: Priority::Warning,
        action: Label::new("交換する", "Replace it"),
    });
    site
}

fn fact(name: String, value: Result<FactValue, NoData>) -> Fact {
    Fact {
        name,
        value,
        unit: "rpm",
        at: "1.3.6.1.4.1.32473.1".to_owned(),
        label: Some("Front".to_owned()),
        raw: String::new(),
    }
}

fn reading(fans: usize) -> Reading {
    let speeds = (1..=fans).map(|fan| fact(format!("fan.{fan}.speed"), Ok(FactValue::Number(4000.0))));
    let healths = (1..=fans).map(|fan| {
        let word = FactValue::State("ok".to_owned());
        fact(format!("fan.{fan}.health"), Ok(word))
    });
    Reading {
        profile: "test".to_owned(),
        sys_object_id: None,
        facts: speeds.chain(healths).collect(),
    }
}

fn poll(bench: &mut Bench, fans: usize) {
    let now = bench.now().mono;
    bench.event(Event::Poll(Poll {
        device: "db1".to_owned(),
        asked: now,
        answered: now,
        result: Ok(reading(fans)),
    }));
}

#[test]
fn a_server_of_a_thousand_facts_does_not_flood_the_picture_and_tells_all_of_them() {
    let mut bench = Bench::with(server(1000.0));
    poll(&mut bench, FANS);
    let snapshot = bench.engine.snapshot(bench.now());
    let shown: Vec<&str> = snapshot
        .points
        .iter()
        .filter(|point| point.source == "db1")
        .map(|point| point.id.as_str())
        .collect();
    // Its chief facts, and the one that a limit watches.
    assert_eq!(shown.len(), SHOWN_MAX + 1, "{shown:?}");
    assert!(shown.contains(&"db1.fan.7.speed") && shown.contains(&"db1.fan.1.health"));
    assert_eq!(snapshot.devices[0].facts as usize, 2 * FANS);

    let told = bench.engine.device_facts(bench.now(), "db1").unwrap();
    assert_eq!(told.points.len(), MAX_FACTS);
    let speed = told
        .points
        .iter()
        .find(|point| point.id == "db1.fan.3.speed")
        .unwrap();
    assert_eq!((speed.value, speed.unit.as_str()), (Some(4000.0), "rpm"));
    assert!(speed.label.en.ends_with("Front"), "{:?}", speed.label);
    assert!(bench.engine.device_facts(bench.now(), "db2").is_none());
}

#[test]
fn a_fact_that_is_told_no_more_turns_stale_and_is_no_current_value() {
    let mut bench = Bench::with(server(1000.0));
    poll(&mut bench, 9);
    bench.pass(60_000);
    poll(&mut bench, 2);
    let told = bench.engine.device_facts(bench.now(), "db1").unwrap();
    let word = |id: &str| {
        let point = told.points.iter().find(|point| point.id == id).unwrap();
        (point.value, point.no_data.clone())
    };
    assert_eq!(word("db1.fan.2.speed"), (Some(4000.0), None));
    assert_eq!(word("db1.fan.3.speed"), (None, Some("stale".to_owned())));
}

#[test]
fn a_fact_with_a_limit_that_its_device_never_tells_is_an_alarm_and_not_a_quiet_limit() {
    let mut bench = Bench::with(server(1000.0));
    bench.pass(1_000);
    poll(&mut bench, 3);
    assert_eq!(bench.point("db1.fan.7.speed"), Err("never_heard".to_owned()));
    for _ in 0..10 {
        bench.pass(5_000);
        poll(&mut bench, 3);
    }
    assert_eq!(
        bench.state("db1.fan.7.speed.no_data"),
        Some(AlarmState::Unacknowledged)
    );
    poll(&mut bench, 9);
    assert_eq!(bench.point("db1.fan.7.speed"), Ok(4000.0));
    let picture = bench.engine.snapshot(bench.now());
    let point = picture.points.iter().find(|point| point.id == "db1.fan.7.speed");
    assert_eq!(point.unwrap().unit, "rpm", "its unit is known when it is heard");
}

#[test]
fn the_history_begins_a_gap_when_a_device_does_not_answer_any_more() {
    let mut bench = Bench::with(server(1000.0));
    poll(&mut bench, 9);
    let mut gaps = Vec::new();
    for _ in 0..10 {
        bench.pass(5_000);
        let now = bench.now().mono;
        bench.event(Event::Poll(Poll {
            device: "db1".to_owned(),
            asked: now,
            answered: now,
            result: Err(PollFailure::Timeout),
        }));
        gaps.append(&mut bench.last.history);
    }
    assert!(gaps.iter().all(|row| row.value.is_none()));
    let of = |id: &str| gaps.iter().filter(|row| row.point == id).count();
    assert_eq!((of("db1.fan.3.speed"), of("db1.fan.8.speed")), (1, 1));
    assert_eq!(of("db1.fan.3.health"), 0, "a word has no history");
}

#[test]
fn a_late_word_about_an_earlier_moment_does_not_overwrite_a_newer_one() {
    let mut bench = Bench::with(server(1000.0));
    let earlier = bench.now().mono;
    bench.pass(2_000);
    let later = bench.now().mono;
    for (at, speed) in [(later, 2000.0), (earlier, 1000.0)] {
        let facts = vec![fact("fan.1.speed".to_owned(), Ok(FactValue::Number(speed)))];
        bench.event(Event::Poll(Poll {
            device: "db1".to_owned(),
            asked: at,
            answered: at,
            result: Ok(Reading { facts, ..reading(0) }),
        }));
    }
    let told = bench.engine.device_facts(bench.now(), "db1").unwrap();
    assert_eq!(told.points[0].value, Some(2000.0));
}

/// Names of rows change with the layout; what the page shows must come back with the new ones.
#[test]
fn chief_facts_are_shown_again_after_all_of_them_had_other_names() {
    let mut bench = Bench::with(server(1000.0));
    for first in ["a", "b", "c"] {
        bench.pass(60_000);
        let now = bench.now().mono;
        let name = |n: usize| format!("fan.{first}{n}.health");
        let word = |n| fact(name(n), Ok(FactValue::State("ok".to_owned())));
        let facts = (0..MAX_FACTS).map(word).collect();
        let reading = Reading { facts, ..reading(0) };
        bench.event(Event::Poll(Poll {
            device: "db1".to_owned(),
            asked: now,
            answered: now,
            result: Ok(reading),
        }));
        let snapshot = bench.engine.snapshot(bench.now());
        let shown = snapshot.points.iter().filter(|point| point.source == "db1");
        let current = shown.filter(|point| point.state.is_some()).count();
        assert_eq!(current, SHOWN_MAX, "{first}");
    }
}

#[test]
fn a_limit_watches_a_fact_however_many_stand_before_it() {
    let mut bench = Bench::with(server(5000.0));
    let now = bench.now().mono;
    let mut reading = reading(MAX_FACTS);
    reading.facts.reverse();
    bench.event(Event::Poll(Poll {
        device: "db1".to_owned(),
        asked: now,
        answered: now,
        result: Ok(reading),
    }));
    let alarms = bench.engine.snapshot(bench.now()).alarms;
    let is_raised = alarms.iter().any(|alarm| alarm.id == "db1.fan.7.speed.low");
    assert!(is_raised, "{alarms:?}");
}

#[test]
fn a_limit_on_a_fact_of_a_device_raises_its_alarm() {
    let mut bench = Bench::with(server(5000.0));
    poll(&mut bench, 9);
    let snapshot = bench.engine.snapshot(bench.now());
    assert!(
        snapshot
            .alarms
            .iter()
            .any(|alarm| alarm.id == "db1.fan.7.speed.low"),
        "{:?}",
        snapshot.alarms
    );
}

//! Dew point, rate of change and two sensors that disagree, as alarms of a small room.

use crate::bench::{Bench, site};
use room::derive::Of;
use room::site::derived::{Derivation, Derived};
use room::site::{Channel, Label, Limit, Priority, Real, Side, Site};
use room::snapshot::AlarmState;
use room::time::Millis;
use shared::wire::Up;
use shared::{NoData, Quantity};

const TEMPERATURE: u8 = 2;
const HUMIDITY: u8 = 3;
const OTHER: u8 = 4;

fn limit(point: &str, side: Side, limit: f64, deadband: f64) -> Limit {
    Limit {
        id: format!("{point}.{}", if side == Side::High { "high" } else { "low" }),
        point: point.to_owned(),
        side,
        limit,
        deadband,
        on_delay: Millis(1_000),
        off_delay: Millis(1_000),
        priority: Priority::Warning,
        action: Label::new("見る", "look"),
    }
}

fn derived(point: &str, from: Derivation) -> Derived {
    Derived {
        point: point.to_owned(),
        label: None,
        from,
    }
}

/// The small room with a second thermometer, a hygrometer, and what is made of them.
fn damp_room() -> Site<Real> {
    let mut site = site();
    let channel = |channel, point: &str, quantity| Channel {
        channel,
        point: point.to_owned(),
        label: Label::new(point, point),
        quantity,
        contact: None,
        mount: None,
    };
    site.nodes[0].channels.extend([
        channel(HUMIDITY, "inlet.humidity", Quantity::Humidity),
        channel(OTHER, "outlet.temperature", Quantity::Temperature),
    ]);
    let name = |point: &str| point.to_owned();
    site.derived = vec![
        derived(
            "inlet.dew_point",
            Derivation::DewPoint {
                temperature: name("inlet.temperature"),
                humidity: name("inlet.humidity"),
            },
        ),
        derived(
            "inlet.temperature.rate",
            Derivation::Rate {
                of: name("inlet.temperature"),
                window: Millis::from_secs(900),
            },
        ),
        derived(
            "inlet.apart",
            Derivation::Difference {
                a: name("inlet.temperature"),
                b: name("outlet.temperature"),
            },
        ),
        derived(
            "room.temperature",
            Derivation::Several {
                of: Of::Mean,
                points: vec![name("inlet.temperature"), name("outlet.temperature")],
                need: 1,
            },
        ),
        // Made of a derived point.
        derived(
            "inlet.spread",
            Derivation::Difference {
                a: name("inlet.temperature"),
                b: name("inlet.dew_point"),
            },
        ),
    ];
    site.limits = vec![
        limit("inlet.dew_point", Side::High, 15.0, 0.5),
        limit("inlet.temperature.rate", Side::High, 10.0, 1.0),
        limit("inlet.apart", Side::High, 3.0, 0.5),
        limit("inlet.spread", Side::Low, 2.0, 0.5),
    ];
    site
}

fn is_raised(room: &Bench, alarm: &str) -> bool {
    room.state(alarm) == Some(AlarmState::Unacknowledged)
}

#[test]
fn a_room_that_is_neither_hot_nor_damp_by_itself_has_a_dew_point_alarm() {
    let mut room = Bench::with(damp_room());
    assert_eq!(room.point("inlet.dew_point"), Err("never_heard".to_owned()));
    room.sample(TEMPERATURE, Quantity::Temperature, Ok(27_000));
    assert_eq!(room.point("inlet.dew_point"), Err("never_heard".to_owned()));
    room.sample(HUMIDITY, Quantity::Humidity, Ok(60_000));
    let value = room.point("inlet.dew_point").unwrap();
    assert!((value - 18.57).abs() < 0.01, "{value}");
    room.pass(1_000);
    assert!(is_raised(&room, "inlet.dew_point.high"));
    // A derived point of a derived point follows.
    let spread = room.point("inlet.spread").unwrap();
    assert!((spread - 8.43).abs() < 0.01, "{spread}");
    let row = room.engine.snapshot(room.now()).points;
    let row = row.iter().find(|point| point.id == "inlet.dew_point").unwrap();
    assert_eq!(
        (row.unit.as_str(), row.quantity.as_str(), row.source.as_str()),
        ("°C", "temperature", "node-1")
    );
    assert_eq!(row.label.ja, "inlet.temperature 露点");
}

#[test]
fn a_derived_value_is_as_old_as_its_oldest_input_and_goes_with_it() {
    let mut room = Bench::with(damp_room());
    room.sample(HUMIDITY, Quantity::Humidity, Ok(60_000));
    room.pass(4_000);
    room.sample(TEMPERATURE, Quantity::Temperature, Ok(27_000));
    let age = |room: &Bench| {
        let snapshot = room.engine.snapshot(room.now());
        let point = snapshot.points.into_iter().find(|p| p.id == "inlet.dew_point");
        point.unwrap().age_ms
    };
    assert_eq!(age(&room), Some(4_000), "fresh temperature, old humidity");
    room.pass(1_000);
    assert!(is_raised(&room, "inlet.dew_point.high"));
    for _ in 0..3 {
        room.pass(2_000);
        room.sample(TEMPERATURE, Quantity::Temperature, Ok(27_000));
    }
    room.sample(TEMPERATURE, Quantity::Temperature, Ok(20_000));
    assert_eq!(
        room.point("inlet.dew_point"),
        Err("stale".to_owned()),
        "the humidity is 11 s old, and this node is stale after 10"
    );
    room.pass(5_000);
    assert!(
        is_raised(&room, "inlet.dew_point.high"),
        "silence clears nothing, although the room is cool now"
    );
    assert_eq!(room.state("inlet.dew_point.no_data"), None, "its inputs say it");
    assert!(is_raised(&room, "inlet.humidity.no_data"));
    room.node_event(&Up::SensorLost {
        channel: HUMIDITY,
        reason: NoData::BusFault,
    });
    assert_eq!(room.point("inlet.dew_point"), Err("bus_fault".to_owned()));
}

#[test]
fn a_rate_needs_a_quarter_of_an_hour_and_then_tells_a_failing_cooler() {
    let mut room = Bench::with(damp_room());
    // 12 °C an hour: 0.033 a step of ten seconds.
    for step in 0..92 {
        room.sample(TEMPERATURE, Quantity::Temperature, Ok(22_000 + step * 1_000 / 30));
        if step < 89 {
            assert_eq!(
                room.point("inlet.temperature.rate"),
                Err("never_heard".to_owned()),
                "{step}"
            );
        }
        room.pass(10_000);
    }
    let rate = room.point("inlet.temperature.rate").unwrap();
    assert!((rate - 12.0).abs() < 0.1, "{rate}");
    assert!(is_raised(&room, "inlet.temperature.rate.high"));
    let row = room.engine.snapshot(room.now()).points;
    let row = row
        .iter()
        .find(|point| point.id == "inlet.temperature.rate")
        .unwrap();
    assert_eq!(row.unit, "°C/h");
    // A restart forgets what was heard: no rate until the window is filled again, and what was
    // raised stands.
    room.restart(damp_room());
    room.sample(TEMPERATURE, Quantity::Temperature, Ok(26_000));
    assert_eq!(
        room.point("inlet.temperature.rate"),
        Err("never_heard".to_owned())
    );
    assert!(is_raised(&room, "inlet.temperature.rate.high"));
}

#[test]
fn two_sensors_that_disagree_are_an_alarm_and_one_that_is_silent_is_not() {
    let mut room = Bench::with(damp_room());
    room.sample(TEMPERATURE, Quantity::Temperature, Ok(22_000));
    room.sample(OTHER, Quantity::Temperature, Ok(23_000));
    room.pass(1_500);
    assert_eq!(room.state("inlet.apart.high"), None);
    assert_eq!(room.point("room.temperature"), Ok(22.5));
    room.sample(OTHER, Quantity::Temperature, Ok(18_000));
    room.pass(1_500);
    assert!(is_raised(&room, "inlet.apart.high"), "4 °C apart, either way");
    room.node_event(&Up::SensorLost {
        channel: OTHER,
        reason: NoData::Absent,
    });
    assert_eq!(room.point("inlet.apart"), Err("absent".to_owned()));
    assert_eq!(
        room.point("room.temperature"),
        Ok(22.0),
        "the mean of what is there"
    );
    assert!(is_raised(&room, "inlet.apart.high"));
}

#[test]
fn the_history_of_a_derived_point_begins_its_gap_when_the_input_is_lost() {
    let mut room = Bench::with(damp_room());
    room.sample(HUMIDITY, Quantity::Humidity, Ok(50_000));
    room.sample(TEMPERATURE, Quantity::Temperature, Ok(20_000));
    let rows = |room: &Bench| {
        let rows = room.last.history.iter();
        let rows: Vec<_> = rows
            .filter(|row| row.point == "inlet.dew_point")
            .map(|row| row.value.is_some())
            .collect();
        rows
    };
    assert_eq!(rows(&room), [true]);
    room.pass(3_000);
    room.node_event(&Up::SensorLost {
        channel: HUMIDITY,
        reason: NoData::Absent,
    });
    assert_eq!(rows(&room), [false]);
}

//! What will be due: weeks of a small room, and ten minutes without cooling.

use crate::bench::{Bench, site};
use room::event::Command;
use room::forecast::days::DayMean;
use room::limits::Change;
use room::record::Record;
use room::site::battery::Battery;
use room::site::derived::{Derivation, Derived};
use room::site::{Channel, Label, Limit, Priority, Real, Side, Site};
use room::snapshot::{AlarmState, Confidence, Forecast, ForecastKind};
use room::time::Millis;
use shared::Quantity;
use shared::wire::Up;

const DAY_MS: i64 = 86_400_000;

/// The small room with a hygrometer, a critical limit, and a battery beside its thermometer.
fn watched() -> Site<Real> {
    let mut site = site();
    site.nodes[0].channels.push(Channel {
        channel: 3,
        point: "inlet.humidity".to_owned(),
        label: Label::new("吸気湿度", "inlet humidity"),
        quantity: Quantity::Humidity,
        contact: None,
        mount: None,
    });
    let limit = |id: &str, point: &str, limit, priority| Limit {
        id: id.to_owned(),
        point: point.to_owned(),
        side: Side::High,
        limit,
        deadband: 0.5,
        on_delay: Millis(30_000),
        off_delay: Millis(60_000),
        priority,
        action: Label::new("見る", "look"),
    };
    site.limits = vec![
        limit("hot", "inlet.temperature", 32.0, Priority::Critical),
        limit("damp", "inlet.humidity", 60.0, Priority::Advisory),
    ];
    site.derived = vec![Derived {
        point: "inlet.dew_point".to_owned(),
        label: None,
        from: Derivation::DewPoint {
            temperature: "inlet.temperature".to_owned(),
            humidity: "inlet.humidity".to_owned(),
        },
    }];
    site.batteries = vec![Battery {
        device: "ups-a".to_owned(),
        // 2022-11-15, a year before the room begins to be watched.
        installed: 19_311,
        life_months: 30,
        temperature: Some("inlet.temperature".to_owned()),
    }];
    site
}

/// Days of eight values each; both clocks go on.
fn days(room: &mut Bench, count: i32, value: impl Fn(i32) -> (i32, i32)) {
    for day in 0..count {
        let (temperature, humidity) = value(day);
        for _ in 0..8 {
            room.sample(2, Quantity::Temperature, Ok(temperature));
            room.sample(3, Quantity::Humidity, Ok(humidity));
            room.mono += 3 * 3_600_000;
            room.wall += 3 * 3_600_000;
        }
    }
}

fn forecasts(room: &Bench) -> Vec<Forecast> {
    room.engine.snapshot(room.now()).forecasts
}

fn of(room: &Bench, kind: ForecastKind) -> Option<Forecast> {
    forecasts(room).into_iter().find(|row| row.kind == kind)
}

#[test]
fn a_battery_in_a_warm_room_has_its_month_and_its_budget_and_keeps_them_over_a_restart() {
    let mut room = Bench::with(watched());
    days(&mut room, 13, |_| (30_000, 45_000));
    assert_eq!(
        of(&room, ForecastKind::BatteryWear),
        None,
        "thirteen days say nothing"
    );
    days(&mut room, 48, |_| (30_000, 45_000));
    let found = of(&room, ForecastKind::BatteryWear).unwrap();
    // 913 days at 25 °C are 630 at 30: the battery of November 2022 is due in August 2024, and not
    // in May 2025.
    let budget = found.budget.clone().unwrap();
    assert_eq!((budget.replace.as_str(), budget.fiscal_year), ("2024-08", 2024));
    assert_eq!(budget.request, "2023-10");
    assert!(
        budget.words.ja.contains("補正予算"),
        "October has passed: {}",
        budget.words.ja
    );
    assert_eq!(found.confidence, Confidence::Low, "a year of it was not measured");
    assert!(found.because.en.contains("1.45 times"), "{}", found.because.en);
    assert!(found.earliest_ms < found.at_ms && found.at_ms < found.latest_ms);
    assert_eq!(room.state("ups-a.battery.aged.advisory"), None);
    room.restart(watched());
    assert_eq!(
        of(&room, ForecastKind::BatteryWear),
        Some(found),
        "the journal has the days"
    );
    // Its life goes on: four fifths are an advisory, the whole a warning.
    days(&mut room, 80, |_| (30_000, 45_000));
    assert_eq!(
        room.state("ups-a.battery.aged.advisory"),
        Some(AlarmState::Unacknowledged)
    );
    assert_eq!(room.state("ups-a.battery.aged.warning"), None);
    days(&mut room, 130, |_| (30_000, 45_000));
    assert_eq!(
        room.state("ups-a.battery.aged.warning"),
        Some(AlarmState::Unacknowledged)
    );
    // A new battery, and all of it is over.
    let mut renewed = watched();
    renewed.batteries[0].installed = 19_948;
    room.restart(renewed);
    days(&mut room, 20, |_| (24_000, 45_000));
    assert_eq!(
        room.state("ups-a.battery.aged.warning"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
    assert_eq!(
        of(&room, ForecastKind::BatteryWear).unwrap().confidence,
        Confidence::High
    );
}

#[test]
fn humidity_that_creeps_has_a_date_and_humidity_that_stays_has_none() {
    let mut room = Bench::with(watched());
    days(&mut room, 29, |_| (22_000, 45_000));
    assert_eq!(of(&room, ForecastKind::HumidityCreep), None);
    // Four tenths of a percent a day from 45 on.
    days(&mut room, 29, |day| (22_000, 45_000 + 400 * day));
    let found = of(&room, ForecastKind::HumidityCreep).unwrap();
    assert_eq!(found.id, "inlet.humidity.creep");
    let ahead = (found.at_ms.unwrap() - room.wall) as f64 / DAY_MS as f64;
    // 56.2 on the last of the days: 60 is nine days off, counted from the begin of today.
    assert!((8.0..=10.0).contains(&ahead), "{ahead}");
    assert_eq!(found.confidence, Confidence::High);
    assert_eq!(room.state("damp"), None, "no alarm of it");
}

#[test]
fn without_cooling_the_critical_limit_is_an_alarm_before_it_is_reached() {
    let mut room = Bench::with(watched());
    let mut raised_at = None;
    let mut listed_at = None;
    // Eleven minutes at 24, then half a degree a minute.
    for step in 0..200 {
        let rise = (step - 66).max(0) * 500 / 6;
        room.sample(2, Quantity::Temperature, Ok(24_000 + rise));
        if listed_at.is_none() && of(&room, ForecastKind::Runaway).is_some() {
            listed_at = Some(24_000 + rise);
        }
        if room.state("inlet.temperature.runaway").is_some() {
            raised_at = Some(24_000 + rise);
            break;
        }
        room.pass(10_000);
    }
    let (listed_at, raised_at) = (listed_at.unwrap(), raised_at.expect("it was never raised"));
    assert!(
        listed_at < raised_at,
        "the list knew first: {listed_at}, {raised_at}"
    );
    assert!(
        raised_at < 29_000,
        "{raised_at}: six minutes before the limit at the latest"
    );
    let alarms = room.engine.snapshot(room.now()).alarms;
    let alarm = alarms
        .iter()
        .find(|row| row.id == "inlet.temperature.runaway")
        .unwrap();
    assert_eq!(alarm.priority, Priority::Critical);
    assert!(alarm.because.en.contains("32.0 °C"), "{}", alarm.because.en);
    assert_eq!(room.state("hot"), None, "the limit itself is not reached");
    // It cools down again; the alarm returns after the window's time.
    for step in 0..130 {
        room.sample(2, Quantity::Temperature, Ok((raised_at - step * 50).max(24_000)));
        room.pass(10_000);
    }
    assert_eq!(
        room.state("inlet.temperature.runaway"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
}

/// A limit that becomes critical while the room already heats up is judged by what was seen before.
#[test]
fn a_limit_made_critical_at_run_time_has_its_runaway_watched_at_once() {
    let mut room = Bench::new();
    // Half a degree a minute for eleven minutes.
    for step in 0..67 {
        room.sample(2, Quantity::Temperature, Ok(23_000 + step * 500 / 6));
        room.pass(10_000);
        assert_eq!(
            room.state("inlet.temperature.runaway"),
            None,
            "no limit is critical"
        );
    }
    let change = |priority| Command::ChangeLimit {
        limit: "inlet.temperature.high".to_owned(),
        change: Change {
            priority: Some(priority),
            ..Change::default()
        },
        reason: "夏の間だけ".to_owned(),
    };
    room.sample(2, Quantity::Temperature, Ok(23_000 + 67 * 500 / 6));
    assert_eq!(room.command(change(Priority::Critical)), None);
    assert_eq!(
        room.state("inlet.temperature.runaway"),
        Some(AlarmState::Unacknowledged)
    );
    assert!(of(&room, ForecastKind::Runaway).is_some());
    // The next start knows it, too.
    room.restart(site());
    assert_eq!(
        room.state("inlet.temperature.runaway"),
        Some(AlarmState::Unacknowledged)
    );
}

#[test]
fn a_day_with_a_warm_afternoon_does_not_run_away() {
    let mut room = Bench::with(watched());
    for step in 0..400 {
        // Three degrees an hour, with a tenth of noise.
        room.sample(2, Quantity::Temperature, Ok(27_000 + step * 8 + 100 * (step % 2)));
        room.pass(10_000);
        assert_eq!(room.state("inlet.temperature.runaway"), None);
        assert_eq!(of(&room, ForecastKind::Runaway), None, "{step}");
    }
}

#[test]
fn a_node_that_falls_silent_again_and_again_is_on_the_list_also_after_a_restart() {
    let mut room = Bench::with(watched());
    for _ in 0..4 {
        assert_eq!(of(&room, ForecastKind::FlappingLink), None);
        room.heartbeat(0, 0);
        room.pass(15_000);
    }
    let found = of(&room, ForecastKind::FlappingLink).unwrap();
    assert_eq!(found.id, "node-1.silent.flapping");
    assert!(found.because.en.contains("4 times"), "{}", found.because.en);
    room.restart(watched());
    assert!(of(&room, ForecastKind::FlappingLink).is_some());
    room.wall += DAY_MS + 1;
    assert_eq!(
        of(&room, ForecastKind::FlappingLink),
        None,
        "a day later it is over"
    );
    room.node_event(&Up::Contact {
        channel: 0,
        open: false,
    });
}

/// A line that changes here is a journal that does not replay any more: revert, do not update.
#[test]
fn the_lines_of_journals_in_use_stay_as_they_are() {
    let record = Record::DailyMeans {
        day: 19_814,
        points: vec![DayMean {
            point: "ups-a.ups.load".to_owned(),
            mean: 51.25,
            hours: 24,
        }],
    };
    let line =
        r#"{"kind":"daily_means","day":19814,"points":[{"point":"ups-a.ups.load","mean":51.25,"hours":24}]}"#;
    assert_eq!(serde_json::to_string(&record).unwrap(), line);
    assert_eq!(serde_json::from_str::<Record>(line).unwrap(), record);
}

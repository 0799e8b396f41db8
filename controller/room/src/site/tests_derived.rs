//! Derived points, presets for a place, and batteries in the site file: what comes out, and what is
//! refused at which line.

use super::derived::Derivation;
use super::parse::read;
use super::problem::Severity;
use super::{Priority, Real, Side, Site};
use crate::derive::Of;
use crate::time::Millis;
use std::path::Path;

const GOOD: &str = r#"name = "室"
data_dir = "data"
[web]
listen = "127.0.0.1:8080"
[mqtt]
listen = "127.0.0.1:1883"
[[node]]
id = 1
name = "node-1"
key_file = "keys/node-1"
[[node.channel]]
channel = 0
point = "inlet.temperature"
quantity = "temperature"
[[node.channel]]
channel = 1
point = "inlet.humidity"
quantity = "humidity"
[[node.channel]]
channel = 2
point = "outlet.temperature"
quantity = "temperature"
[[node.channel]]
channel = 3
point = "door.1"
quantity = "contact"
contact = "door"
[[device]]
name = "ups-a"
kind = "ups"
addr = "127.0.0.1:1161"
version = "v2c"
community = "public"
battery_installed = "2024-04-01"
battery_life_months = 48
battery_temperature = "inlet.temperature"
[[derived]]
point = "apart"
kind = "difference"
between = ["inlet.temperature", "outlet.temperature"]
[[derived]]
point = "hot"
kind = "maximum"
of = ["inlet.temperature", "outlet.temperature"]
[[derived]]
point = "load.rate"
kind = "rate"
of = "ups-a.ups.load"
window = "30m"
[[limit]]
preset = "ashrae-a1"
temperature = "inlet.temperature"
humidity = "inlet.humidity"
[[limit]]
point = "apart"
side = "high"
limit = 3.0
deadband = 0.5
on_delay = "5m"
off_delay = "5m"
priority = "warning"
action = "二つの温度計を見比べる"
"#;

fn site(text: &str) -> Result<Site<Real>, String> {
    let outcome = read::<Real>(text, Path::new("/etc/yagura"));
    let all: Vec<String> = outcome.problems.iter().map(ToString::to_string).collect();
    match outcome.site {
        Some(site) if all.is_empty() => Ok(site),
        _ => Err(all.join("\n")),
    }
}

#[test]
fn a_preset_for_a_place_brings_its_dew_point_and_rate_with_limits_of_three_priorities() {
    let site = site(GOOD).unwrap();
    let made: Vec<(&str, &str)> = site
        .derived
        .iter()
        .map(|derived| (derived.point.as_str(), derived.from.word()))
        .collect();
    assert_eq!(
        made,
        [
            ("apart", "difference"),
            ("hot", "maximum"),
            ("load.rate", "rate"),
            ("inlet.dew_point", "dew_point"),
            ("inlet.temperature.rate", "rate"),
        ]
    );
    assert_eq!(
        site.derived[1].from,
        Derivation::Several {
            of: Of::Maximum,
            points: vec!["inlet.temperature".to_owned(), "outlet.temperature".to_owned()],
            need: 2,
        },
        "a maximum of some would hide what the others say"
    );
    let of = |point: &str| {
        let limits = site.limits.iter().filter(|limit| limit.point == point);
        limits
            .map(|limit| {
                (
                    limit.side,
                    limit.limit,
                    limit.priority,
                    limit.on_delay,
                    limit.deadband,
                )
            })
            .collect::<Vec<_>>()
    };
    let minutes = |minutes: u64| Millis::from_secs(minutes * 60);
    use Priority::{Advisory, Critical, Warning};
    assert_eq!(
        of("inlet.dew_point"),
        [
            (Side::High, 15.0, Advisory, minutes(10), 0.5),
            (Side::High, 16.0, Warning, minutes(10), 0.5),
            (Side::High, 17.0, Critical, minutes(10), 0.5),
            (Side::Low, -9.0, Advisory, minutes(10), 0.5),
            (Side::Low, -12.0, Critical, minutes(10), 0.5),
        ]
    );
    assert_eq!(
        of("inlet.temperature.rate"),
        [
            (Side::High, 5.0, Advisory, minutes(1), 1.0),
            (Side::High, 10.0, Warning, minutes(1), 1.0),
            (Side::High, 20.0, Critical, minutes(1), 1.0),
        ]
    );
    assert_eq!(
        (of("inlet.temperature").len(), of("inlet.humidity").len()),
        (5, 5)
    );
    assert!(
        site.limits
            .iter()
            .any(|limit| limit.id == "inlet.dew_point.high.critical")
    );
}

#[test]
fn the_second_class_allows_more_and_warns_where_the_first_ends() {
    let a1 = site(GOOD).unwrap();
    let a2 = site(&GOOD.replace("ashrae-a1", "ashrae-a2")).unwrap();
    let of = |site: &Site<Real>, id: &str| {
        let limit = site.limits.iter().find(|limit| limit.id == id);
        limit.map(|limit| limit.limit)
    };
    for (id, first, second) in [
        ("inlet.temperature.high.critical", Some(32.0), Some(35.0)),
        ("inlet.temperature.high.warning", Some(30.0), Some(32.0)),
        ("inlet.temperature.high.advisory", Some(27.0), Some(27.0)),
        ("inlet.temperature.low.critical", Some(15.0), Some(10.0)),
        ("inlet.temperature.low.warning", None, Some(15.0)),
        ("inlet.dew_point.high.critical", Some(17.0), Some(21.0)),
        ("inlet.dew_point.high.warning", Some(16.0), Some(17.0)),
    ] {
        assert_eq!((of(&a1, id), of(&a2, id)), (first, second), "{id}");
    }
}

#[test]
fn the_battery_of_a_ups_has_its_day_its_life_and_its_thermometer() {
    let site = site(GOOD).unwrap();
    let battery = &site.batteries[0];
    assert_eq!((battery.device.as_str(), battery.life_months), ("ups-a", 48));
    assert_eq!(battery.installed, 19_814, "2024-04-01");
    assert_eq!(battery.temperature.as_deref(), Some("inlet.temperature"));
}

/// (what is spoilt, what it becomes, where it is reported, a word of the message or hint)
const BAD: &[(&str, &str, &str, &str)] = &[
    (
        "kind = \"maximum\"",
        "kind = \"max\"",
        "kind = \"max\"",
        "\"maximum\"",
    ),
    (
        "kind = \"maximum\"",
        "kind = \"maximum\"\nneed = 3",
        "need = 3",
        "3 values are needed of 2",
    ),
    (
        "of = [\"inlet.temperature\", \"outlet.temperature\"]",
        "of = [\"inlet.temperature\"]",
        "[[derived]]\npoint = \"hot\"",
        "fewer than two",
    ),
    (
        "of = [\"inlet.temperature\", \"outlet.temperature\"]",
        "of = [\"inlet.temperature\", \"inlet.humidity\"]",
        "of = [\"inlet.temperature\", \"inlet.humidity\"]",
        "do not measure the same",
    ),
    (
        "between = [\"inlet.temperature\", \"outlet.temperature\"]",
        "between = [\"inlet.temperature\", \"inlet.temperature\"]",
        "between",
        "agree with itself",
    ),
    (
        "between = [\"inlet.temperature\", \"outlet.temperature\"]",
        "between = [\"inlet.temperature\"]",
        "[[derived]]\npoint = \"apart\"",
        "between two points, not 1",
    ),
    (
        "between = [\"inlet.temperature\", \"outlet.temperature\"]",
        "",
        "[[derived]]\npoint = \"apart\"",
        "`between` is missing",
    ),
    (
        "between = [\"inlet.temperature\", \"outlet.temperature\"]",
        "between = [\"inlet.temperature\", \"outlet.temperatur\"]",
        "between",
        "did you mean `outlet.temperature`",
    ),
    (
        "between = [\"inlet.temperature\", \"outlet.temperature\"]",
        "between = [\"inlet.temperature\", \"hot\"]",
        "between",
        "stand above it",
    ),
    (
        "between = [\"inlet.temperature\", \"outlet.temperature\"]",
        "between = [\"inlet.temperature\", \"apart\"]",
        "between",
        "this point itself",
    ),
    (
        "between = [\"inlet.temperature\", \"outlet.temperature\"]",
        "between = [\"inlet.temperature\", \"door.1\"]",
        "between",
        "is a contact",
    ),
    (
        "window = \"30m\"",
        "window = \"1m\"",
        "window = \"1m\"",
        "from 5m to 24h",
    ),
    (
        "community = \"public\"",
        "community = \"public\"\npoll = \"10m\"",
        "window = \"30m\"",
        "too seldom",
    ),
    (
        "point = \"hot\"",
        "point = \"inlet.temperature\"",
        "point = \"inlet.temperature\"\nkind",
        "used twice",
    ),
    (
        "point = \"hot\"",
        "point = \"ups-a.hot\"",
        "point = \"ups-a.hot\"",
        "looks like a fact",
    ),
    (
        "humidity = \"inlet.humidity\"\n",
        "",
        "[[limit]]\npreset",
        "`humidity` is missing",
    ),
    (
        "humidity = \"inlet.humidity\"\n",
        "humidity = \"outlet.temperature\"\n",
        "humidity = \"outlet",
        "this preset is for humidity",
    ),
    (
        "temperature = \"inlet.temperature\"\nhumidity",
        "temperature = \"door.1\"\nhumidity",
        "temperature = \"door.1\"",
        "contact",
    ),
    (
        "preset = \"ashrae-a1\"\ntemperature = \"inlet.temperature\"",
        "preset = \"ashrae-a1\"\npoint = \"apart\"\ntemperature = \"inlet.temperature\"",
        "point = \"apart\"\ntemperature",
        "unknown key `point`",
    ),
    (
        "preset = \"ashrae-a1\"",
        "preset = \"jeita\"",
        "preset = \"jeita\"",
        "ashrae-a2",
    ),
    ("limit = 3.0", "limit = 400", "limit = 400", "outside"),
    (
        "battery_installed = \"2024-04-01\"",
        "battery_installed = \"2024-4-1\"",
        "battery_installed",
        "is no day",
    ),
    (
        "battery_installed = \"2024-04-01\"\n",
        "",
        "[[device]]",
        "without `battery_installed`",
    ),
    (
        "battery_life_months = 48",
        "battery_life_months = 2",
        "battery_life_months",
        "from 6 to 180",
    ),
    (
        "battery_temperature = \"inlet.temperature\"",
        "battery_temperature = \"inlet.temperatur\"",
        "battery_temperature",
        "did you mean",
    ),
];

#[test]
fn every_bad_derivation_preset_and_battery_is_refused_at_the_right_line() {
    let mut failures = Vec::new();
    for (from, to, place, word) in BAD {
        assert!(GOOD.contains(from), "{from} is in the good site");
        let text = GOOD.replacen(from, to, 1);
        let at = text
            .find(place)
            .unwrap_or_else(|| panic!("{place} is in the text"));
        let line = text[..at].matches('\n').count() + 1;
        let problems = read::<Real>(&text, Path::new("/x")).problems;
        let is_hit = problems
            .iter()
            .any(|p| p.line == line && p.severity == Severity::Error && p.to_string().contains(word));
        if !is_hit {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            failures.push(format!(
                "{to:?}: nothing in line {line} with {word:?}:\n{}",
                all.join("\n")
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

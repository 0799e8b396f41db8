//! Scenarios of the air in a rack, with the limits of the preset ASHRAE A1: a timeline in, alarms
//! and forecasts out. They stand in `scenarios/climate/`, to be read by facilities staff.
//!
//! A line is `minute temperature humidity`; between two of them the values go in a straight line, and
//! `-` is a sensor that says nothing any more. UPDATE_EXPECT=1 writes the part below `----`.

use crate::bench::Bench;
use room::record::Record;
use shared::Quantity;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

const SITE: &str = r#"name = "室"
data_dir = "data"
[web]
listen = "127.0.0.1:0"
[mqtt]
listen = "127.0.0.1:0"
[[node]]
id = 1
name = "node-1"
key_file = "k"
[[node.channel]]
channel = 0
point = "r3.temperature"
quantity = "temperature"
[[node.channel]]
channel = 1
point = "r3.humidity"
quantity = "humidity"
[[limit]]
preset = "ashrae-a1"
temperature = "r3.temperature"
humidity = "r3.humidity"
"#;

const STEP_S: u32 = 10;

/// Minute, temperature, humidity.
type Mark = (f64, Option<f64>, Option<f64>);

fn marks(text: &str) -> Vec<Mark> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            let minute = words.next().unwrap().parse().unwrap();
            let mut value = || words.next().unwrap().parse().ok();
            (minute, value(), value())
        })
        .collect()
}

/// The value at a minute, straight between the marks about it.
fn between(marks: &[Mark], minute: f64, of: impl Fn(&Mark) -> Option<f64>) -> Option<f64> {
    let after = marks
        .iter()
        .position(|mark| mark.0 > minute)
        .unwrap_or(marks.len());
    let before = &marks[after.saturating_sub(1)];
    let from = of(before)?;
    match marks.get(after).and_then(|next| Some((next.0, of(next)?))) {
        Some((at, to)) => Some(from + (to - from) * (minute - before.0) / (at - before.0)),
        None => Some(from),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "degrees and percent in thousandths"
)]
fn play(text: &str) -> String {
    let marks = marks(text);
    let site = room::site::parse::real(SITE, Path::new("/x")).unwrap();
    let mut room = Bench::with(site);
    let mut out = String::new();
    let mut told = 0;
    let mut listed = BTreeSet::new();
    let last = marks.last().unwrap().0;
    for step in 0.. {
        let minute = f64::from(step * STEP_S) / 60.0;
        if minute > last {
            break;
        }
        for (channel, quantity, value) in [
            (0, Quantity::Temperature, between(&marks, minute, |mark| mark.1)),
            (1, Quantity::Humidity, between(&marks, minute, |mark| mark.2)),
        ] {
            if let Some(value) = value {
                room.sample(channel, quantity, Ok((value * 1000.0).round() as i32));
            }
        }
        room.pass(u64::from(STEP_S) * 1000);
        for entry in &room.journal[told..] {
            match &entry.record {
                Record::AlarmRaised {
                    alarm,
                    priority,
                    because,
                    ..
                } => writeln!(out, "{minute:>6.1}  {priority:?} {alarm}: {}", because.en).unwrap(),
                Record::AlarmReturned { alarm, .. } => writeln!(out, "{minute:>6.1}  over {alarm}").unwrap(),
                _ => {}
            }
        }
        told = room.journal.len();
        for row in room.engine.snapshot(room.now()).forecasts {
            if listed.insert(row.id.clone()) {
                let (because, sure) = (row.because.en, row.confidence_words.en);
                writeln!(out, "{minute:>6.1}  forecast {}: {because}; {sure}", row.id).unwrap();
            }
        }
    }
    out
}

#[test]
fn the_air_of_a_rack_leads_to_the_expected_alarms_and_forecasts() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/climate");
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let story = text.split("----\n").next().unwrap();
        let played = format!("{story}----\n{}", play(story));
        expect_test::expect_file![&file].assert_eq(&played);
    }
}

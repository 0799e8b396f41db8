//! Every outage of the scenarios is played again against the plan of its own room. What comes of it
//! is in `replays.txt`; `UPDATE_EXPECT=1` writes it anew.

use super::scenarios::rooms;
use super::world::{Room, host, policy, site_with};
use room::outage::Record;
use room::outage::replay::{Fits, Place, Places, Report};
use room::time::{Millis, Now};
use std::fmt::Write as _;
use std::path::Path;

/// The outages of a room's journal, with their records.
fn outages(room: &Room) -> Vec<(Place, Vec<(Now, Record)>)> {
    let mut places = Places::default();
    for (seq, (at, record)) in (1..).zip(&room.journal) {
        places.read(seq, at.wall, record);
    }
    let mut found: Vec<_> = places
        .newest_first()
        .map(|place| {
            let end = match place.last_seq {
                0 => room.journal.len(),
                last => last as usize,
            };
            let records = &room.journal[place.first_seq as usize - 1..end];
            (*place, records.to_vec())
        })
        .collect();
    found.reverse();
    found
}

fn play(room: &Room, without_return: bool) -> Vec<Report> {
    let stage = room.engine.stage();
    let outages = outages(room);
    let played = outages.iter();
    played
        .map(|(place, records)| stage.play(place, records, without_return))
        .collect()
}

#[test]
fn every_outage_of_the_scenarios_can_be_played_again() {
    let mut text = String::new();
    let mut played = 0;
    for (name, room) in rooms() {
        for report in play(&room, false) {
            played += 1;
            writeln!(text, "== {name}, outage {}\n{}", report.outage, report.words()).unwrap();
        }
    }
    assert!(played >= 20, "only {played} outages in the scenarios");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outage/replays.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "UPDATE_EXPECT=1 accepts; got\n{text}");
}

/// A room with one UPS, whose mains is away for so many seconds.
fn one_outage(battery: f64, secs: u64) -> Room {
    let mut site = site_with(&["ups-a"], policy());
    site.hosts = vec![host("web", &["ups-a"], &["db"]), host("db", &["ups-a"], &[])];
    let mut room = Room::new(site, &[battery]);
    room.run_until(30_000);
    room.ups[0].mains = false;
    room.run_until(30_000 + secs * 1_000);
    room.ups[0].mains = true;
    room.run_until(200_000 + secs * 1_000);
    room
}

#[test]
fn a_short_outage_needs_no_plan_and_had_it_gone_on_the_plan_would_have_fitted() {
    let room = one_outage(300.0, 20);
    assert_eq!(play(&room, false)[0].fits, Fits::NotNeeded);
    let on = &play(&room, true)[0];
    assert_eq!(on.fits, Fits::Yes, "{}", on.words());
    let ends: Vec<_> = on.steps.iter().map(|step| step.ends_s.unwrap()).collect();
    assert!(ends[0] < ends[1], "web ends before db: {}", on.words());
    assert!(on.margin_s.unwrap() > 0.0, "{}", on.words());
}

#[test]
fn a_plan_that_has_grown_since_does_not_fit_the_outage_of_then() {
    let mut room = one_outage(120.0, 20);
    for host in &mut room.site.hosts {
        host.budget = Millis(100_000);
    }
    let today = room::outage::Outage::new(&room.site)
        .expect("a good site")
        .stage();
    let (place, records) = &outages(&room)[0];
    let report = today.play(place, records, true);
    assert_eq!(report.fits, Fits::No, "{}", report.words());
    assert!(report.margin_s.unwrap() < 0.0, "{}", report.words());
}

#[test]
fn a_replay_leaves_the_engine_as_it_was_and_says_the_same_twice() {
    let room = one_outage(300.0, 100);
    let before = room.engine.view(room.clock());
    let (first, second) = (play(&room, true), play(&room, true));
    assert_eq!(first, second);
    assert_eq!(room.engine.view(room.clock()), before);
}

#[test]
fn an_outage_that_goes_on_is_open() {
    let mut room = one_outage(300.0, 20);
    assert!(!play(&room, false)[0].open);
    room.ups[0].mains = false;
    room.run_until(room.now + 30_000);
    let reports = play(&room, false);
    assert_eq!(reports.len(), 2);
    assert!(reports[1].open);
}

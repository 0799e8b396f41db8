//! A day of a small room, in minutes after its begin.

use super::*;
use crate::record::LastSign;
use crate::site::Priority;
use crate::time::{Mono, Wall};

const MINUTE: i64 = 60_000;
/// When the room's day begins, by the wall clock.
const BEGIN: i64 = 1_700_000_000_000;

fn plan() -> Plan {
    let source = |id: &str, group: &str, has_history| Source {
        id: id.to_owned(),
        label: Label::new(id, id),
        group: group.to_owned(),
        group_label: Label::new(group, group),
        stale_after: Millis(15_000),
        has_history,
    };
    let meaning = |reason, scope, lag| Meaning {
        reason,
        scope,
        lag: Millis(lag),
    };
    Plan {
        sources: vec![
            source("inlet", "node-1", true),
            source("door", "node-1", true),
            source("ups-a", "ups-a", false),
        ],
        meanings: [
            (
                "node-1.silent".to_owned(),
                meaning(Reason::NodeSilent, Scope::Group("node-1".to_owned()), 15_000),
            ),
            (
                "inlet.no_data".to_owned(),
                meaning(Reason::SensorFault, Scope::Source("inlet".to_owned()), 15_000),
            ),
        ]
        .into(),
        ups_lag: Millis(20_000),
    }
}

/// A room whose journal and history are written by the minute.
struct Room {
    plan: Plan,
    entries: Vec<Entry>,
    dead: Vec<(i64, i64)>,
}

impl Room {
    fn new() -> Self {
        let mut room = Self {
            plan: plan(),
            entries: Vec::new(),
            dead: Vec::new(),
        };
        room.at(0, started(None));
        room
    }

    fn at(&mut self, minute: i64, record: Record) {
        let ms = u64::try_from(minute * MINUTE).unwrap();
        let now = Now {
            mono: Mono(ms),
            wall: Wall(BEGIN + minute * MINUTE),
        };
        let seq = self.entries.len() as u64 + 1;
        self.entries.push(Entry { seq, now, record });
    }

    /// No values reach the history in these minutes.
    fn dead(&mut self, from: i64, to: i64) {
        self.dead.push((from, to));
    }

    fn report(&self, until: i64) -> Report {
        let mut collector = Collector::new(&self.plan);
        for entry in &self.entries {
            collector.read(entry);
        }
        let now = BEGIN + until * MINUTE;
        let found = collector.finish(now);
        let period = found.period(BEGIN - 5 * MINUTE, BEGIN + 1440 * MINUTE, now);
        let mut history = BTreeMap::new();
        for source in self.plan.sources.iter().filter(|source| source.has_history) {
            let mut gaps = HistoryGaps::new(source.stale_after, period.0, period.1, None);
            for minute in 0..until {
                if !self.dead.iter().any(|(from, to)| (*from..*to).contains(&minute)) {
                    gaps.row(BEGIN + minute * MINUTE, true);
                }
            }
            history.insert(source.id.clone(), gaps.end());
        }
        report(&self.plan, &found, period, &history)
    }

    /// `from-to reason: sources`, in minutes and seconds.
    fn gaps(&self, until: i64) -> Vec<String> {
        let minutes = |ms: i64| {
            let secs = (ms - BEGIN) / 1000;
            format!("{}:{:02}", secs / 60, secs % 60)
        };
        self.report(until)
            .gaps
            .iter()
            .map(|gap| {
                format!(
                    "{}-{} {}: {}",
                    minutes(gap.from_ms),
                    minutes(gap.to_ms),
                    gap.why.en,
                    gap.sources.join(" ")
                )
            })
            .collect()
    }
}

fn started(before: Option<LastSign>) -> Record {
    Record::Started {
        version: "0".to_owned(),
        boot_id: "a".to_owned(),
        epoch: 1,
        before,
    }
}

fn raised(alarm: &str, because: &str) -> Record {
    Record::AlarmRaised {
        alarm: alarm.to_owned(),
        priority: Priority::Warning,
        what: Label::default(),
        place: Label::default(),
        action: Label::default(),
        because: Label::new(because, because),
        latching: false,
        about: None,
    }
}

fn returned(alarm: &str) -> Record {
    serde_json::from_value(serde_json::json!({ "kind": "alarm_returned", "alarm": alarm })).unwrap()
}

#[test]
fn a_node_without_power_and_a_controller_that_was_killed_are_both_named() {
    let mut room = Room::new();
    room.at(10, raised("node-1.silent", "silent"));
    room.dead(10, 30);
    // Killed at 15, started at 18; the loop's mark knows.
    room.at(
        18,
        started(Some(LastSign {
            at: Wall(BEGIN + 15 * MINUTE),
            ago_ms: 180_000,
            same_boot: true,
            by: SignBy::AliveMark,
        })),
    );
    room.at(30, returned("node-1.silent"));
    assert_eq!(
        room.gaps(60),
        [
            "9:45-15:00 the node was silent (silent): door inlet",
            "15:00-18:00 the controller was down (its end is known by the mark of the loop): door inlet ups-a",
            "18:00-30:00 the node was silent (silent): door inlet",
        ]
    );
    let report = room.report(60);
    assert_eq!(report.controller_percent, 95.0);
    assert_eq!(report.unexplained, 0);
    let share = |id: &str| report.sources.iter().find(|row| row.id == id).unwrap().percent;
    assert_eq!((share("inlet"), share("ups-a")), (66.25, 95.0));
    assert_eq!(report.percent, 75.83, "never rounded up");
}

#[test]
fn a_hole_that_nothing_speaks_of_is_unexplained_until_a_person_says_why() {
    let mut room = Room::new();
    room.dead(20, 40);
    assert_eq!(room.gaps(60), ["19:00-40:00 unexplained: door inlet"]);
    assert_eq!(room.report(60).unexplained, 1);
    room.at(
        55,
        Record::GapExplained {
            from_ms: BEGIN + 25 * MINUTE,
            to_ms: BEGIN + 26 * MINUTE,
            source: Some("inlet".to_owned()),
            text: "LAN ケーブルの交換".to_owned(),
            by: "山田".to_owned(),
        },
    );
    let report = room.report(60);
    assert_eq!(report.unexplained, 0);
    assert_eq!(report.gaps[0].explanations[0].by, "山田");
}

#[test]
fn work_in_a_maintenance_window_is_the_reason_for_a_silent_node() {
    let mut room = Room::new();
    room.at(
        8,
        Record::MaintenanceStarted {
            window: 1,
            by: "山田".to_owned(),
            minutes: 60,
            reason: "端末の交換".to_owned(),
            work_order: None,
            scope: vec!["node-1".to_owned()],
            covers: vec!["node-1".to_owned()],
            alarms: vec![],
        },
    );
    room.dead(10, 30);
    room.at(10, raised("node-1.silent", "silent"));
    room.at(20, Record::MaintenanceEnded { window: 1, by: None });
    room.at(30, returned("node-1.silent"));
    assert_eq!(
        room.gaps(60),
        [
            "9:00-20:00 maintenance window (端末の交換): door inlet",
            "20:00-30:00 the node was silent (silent): door inlet",
        ]
    );
}

#[test]
fn a_sensor_that_fails_says_so_at_once_and_one_that_goes_stale_failed_earlier() {
    let mut room = Room::new();
    room.at(10, raised("inlet.no_data", "the sensor does not answer"));
    room.at(12, returned("inlet.no_data"));
    room.at(20, raised("inlet.no_data", no_data_words(NoData::Stale).1));
    assert_eq!(
        room.gaps(30),
        [
            "10:00-12:00 the sensor or its line failed (the sensor does not answer): inlet",
            "19:45-30:00 the sensor or its line failed (no longer renewed): inlet",
        ]
    );
}

#[test]
fn a_clock_that_is_set_ahead_makes_a_gap_that_never_was_and_is_named() {
    let mut room = Room::new();
    room.at(10, returned("x"));
    let ahead = Entry {
        seq: 3,
        now: Now {
            mono: Mono(660_000),
            wall: Wall(BEGIN + 71 * MINUTE),
        },
        record: returned("x"),
    };
    room.entries.push(ahead);
    room.dead(11, 71);
    assert_eq!(
        room.gaps(90),
        ["10:00-71:00 the clock was set (the clock was set ahead by 3600 s): door inlet"]
    );
}

#[test]
fn a_silent_ups_counts_from_its_last_answer_and_an_old_journal_by_its_last_record() {
    let mut room = Room::new();
    let lost = Power::ContactLost {
        ups: "ups-a".to_owned(),
        on_battery: false,
    };
    room.at(10, Record::Power { record: lost });
    let found = Power::ContactFound {
        ups: "ups-a".to_owned(),
    };
    room.at(12, Record::Power { record: found });
    room.at(14, started(None));
    assert_eq!(
        room.gaps(20),
        [
            "9:40-12:00 the device did not answer: ups-a",
            "12:00-14:00 the controller was down (its end is known by the last record): door inlet ups-a",
        ]
    );
}

#[test]
fn a_point_that_was_never_heard_is_not_watched_and_not_a_riddle() {
    let mut room = Room::new();
    room.dead(0, 60);
    assert_eq!(room.gaps(60), ["0:00-60:00 not heard yet: door inlet"]);
    assert_eq!(room.report(60).sources[0].percent, 0.0);
}

#[test]
fn the_end_of_a_life_is_the_later_of_its_mark_and_its_last_record() {
    use crate::record::Sign;
    let sign = |boot: &str, mono, wall| Sign {
        boot_id: boot.to_owned(),
        now: Now {
            mono: Mono(mono),
            wall: Wall(wall),
        },
    };
    let now = sign("b", 10_000, 90_000).now;
    let of = |record, mark| LastSign::of(now, "b", record, mark).unwrap();
    let same = of(Some(sign("b", 4_000, 84_000)), Some(sign("b", 7_000, 87_000)));
    assert_eq!(
        (same.ago_ms, same.same_boot, same.by),
        (3_000, true, SignBy::AliveMark)
    );
    // The mark of a life before the last one, or one that a power cut set back.
    let old = of(Some(sign("b", 4_000, 84_000)), Some(sign("a", 7_000, 60_000)));
    assert_eq!((old.ago_ms, old.by), (6_000, SignBy::Record));
    let other = of(None, Some(sign("a", 99_000, 60_000)));
    assert_eq!((other.ago_ms, other.same_boot), (30_000, false));
    assert_eq!(LastSign::of(now, "b", None, None), None);
}

//! Results that can be believed, dates, capacity.

use super::check::{Room, why_not};
use super::*;

fn japan() -> Days {
    Days {
        utc_offset_min: 540,
        holidays: Vec::new(),
    }
}

fn at(day: &str, hour: i64) -> Wall {
    let day = crate::schedule::day(day).unwrap();
    Wall(crate::forecast::calendar::begin_ms(day, 540) + hour * 3_600_000)
}

fn running(mono: u64) -> Running {
    Running {
        order: 1,
        test: TestKind::Quick,
        by: "schedule".into(),
        at: Now {
            mono: Mono(mono),
            wall: Wall(0),
        },
        before: Levels::default(),
    }
}

/// Plays what the UPS says, second by second, and how the test is taken.
fn play(before: &str, says: &[&str]) -> Option<(usize, TestResult)> {
    let test = running(0);
    let mut heard = Hearing {
        word_before: Some(before.into()),
        ..Hearing::default()
    };
    says.iter().enumerate().find_map(|(second, word)| {
        let said = Said {
            word: Some((*word).into()).filter(|word: &String| word != "-"),
            runs: *word == "running",
            outage: *word == "outage",
            levels: Levels::default(),
        };
        let now = Mono(second as u64 * 1000);
        judge(now, &test, &mut heard, &said).map(|(result, _)| (second, result))
    })
}

#[test]
fn passed_is_believed_only_of_a_test_that_was_seen_to_run() {
    assert_eq!(
        play("passed", &["passed", "running", "running", "passed"]),
        Some((3, TestResult::Passed))
    );
    assert_eq!(
        play("failed", &["failed", "passed"]),
        Some((1, TestResult::Passed))
    );
    assert_eq!(
        play("passed", &["running", "failed"]),
        Some((1, TestResult::Failed))
    );
    assert_eq!(
        play("passed", &["running", "aborted"]),
        Some((1, TestResult::Aborted))
    );
    let stale = vec!["passed"; 200];
    assert_eq!(
        play("passed", &stale),
        Some((120, TestResult::Unknown)),
        "the word of last year's test is none of this one's"
    );
}

#[test]
fn a_test_ends_with_an_outage_and_with_its_bound() {
    assert_eq!(
        play("passed", &["running", "outage"]),
        Some((1, TestResult::Aborted))
    );
    let stuck = vec!["running"; 1_000];
    assert_eq!(play("passed", &stuck), Some((900, TestResult::Unknown)));
    let mut silent = vec!["running"];
    silent.extend(vec!["-"; 200]);
    assert_eq!(play("-", &silent), Some((120, TestResult::Unknown)));
}

fn quiet() -> Room {
    Room {
        on_mains: true,
        mains_seen: true,
        charge: Some(100.0),
        celsius: Some(Some(24.0)),
        hottest: 35.0,
        ..Room::default()
    }
}

#[test]
fn every_check_speaks_for_itself() {
    assert_eq!(why_not(&quiet()), None);
    let rooms: [(&str, Room); 12] = [
        (
            "outage",
            Room {
                outage: true,
                ..quiet()
            },
        ),
        (
            "drill",
            Room {
                busy: true,
                ..quiet()
            },
        ),
        (
            "maintenance",
            Room {
                maintenance: Some("M-0001".into()),
                ..quiet()
            },
        ),
        (
            "same hosts",
            Room {
                other_test: Some("ups-b".into()),
                ..quiet()
            },
        ),
        (
            "not charged to 95 %",
            Room {
                drained_beside: Some("ups-b".into()),
                ..quiet()
            },
        ),
        (
            "under way",
            Room {
                own_test: true,
                ..quiet()
            },
        ),
        (
            "from mains",
            Room {
                on_mains: false,
                ..quiet()
            },
        ),
        (
            "input voltage",
            Room {
                mains_seen: false,
                ..quiet()
            },
        ),
        (
            "cannot be read",
            Room {
                charge: None,
                ..quiet()
            },
        ),
        (
            "94 %",
            Room {
                charge: Some(94.0),
                ..quiet()
            },
        ),
        (
            "36.0 °C",
            Room {
                celsius: Some(Some(36.0)),
                ..quiet()
            },
        ),
        (
            "db",
            Room {
                not_redundant: vec!["db".into()],
                ..quiet()
            },
        ),
    ];
    for (word, room) in rooms {
        let why = why_not(&room).unwrap_or_else(|| panic!("{word} does not hold it"));
        assert!(why.en.contains(word), "{word}: {}", why.en);
        assert!(!why.ja.is_ascii());
    }
    let unread = Room {
        celsius: Some(None),
        ..quiet()
    };
    assert!(why_not(&unread).is_some(), "what cannot be read is not cool");
    let unmeasured = Room {
        celsius: None,
        ..quiet()
    };
    assert_eq!(why_not(&unmeasured), None, "most UPSes measure no temperature");
}

fn monthly() -> SelfTest {
    SelfTest {
        device: "ups-a".into(),
        kind: TestKind::Quick,
        every_days: 30,
        days: 0b1_1111,
        from: 600,
        to: 900,
        redundant: true,
        hottest_celsius: 35.0,
    }
}

fn tested(care: &mut Care, wall: Wall, result: TestResult) {
    let now = Now { mono: Mono(0), wall };
    care.apply(
        now,
        &Record::TestStarted {
            ups: "ups-a".into(),
            order: 1,
            test: TestKind::Quick,
            by: "schedule".into(),
            before: Levels::default(),
        },
    );
    care.apply(
        now,
        &Record::TestEnded {
            ups: "ups-a".into(),
            order: 1,
            result,
            because: Label::default(),
            took_ms: Millis(8_000),
            least: Levels::default(),
        },
    );
}

#[test]
fn the_next_test_is_after_its_period_on_a_day_that_suits() {
    let (mut care, days) = (Care::default(), japan());
    let next = |care: &Care, now| care.next_test(&monthly(), &days, now).unwrap();
    // A Saturday, then Monday the 23rd, which is a holiday.
    assert_eq!(next(&care, at("2026-11-21", 12)), at("2026-11-24", 10));
    assert_eq!(next(&care, at("2026-11-24", 12)), at("2026-11-24", 12), "now");
    assert_eq!(
        next(&care, at("2026-11-24", 15)),
        at("2026-11-25", 10),
        "too late today"
    );
    tested(&mut care, at("2026-11-24", 12), TestResult::Passed);
    assert_eq!(next(&care, at("2026-11-25", 9)), at("2026-12-24", 10));
    tested(&mut care, at("2026-12-24", 10), TestResult::Aborted);
    assert_eq!(
        next(&care, at("2026-12-24", 11)),
        at("2026-12-25", 10),
        "it said nothing"
    );
}

#[test]
fn a_change_begins_age_and_capacity_anew_and_forgives_the_flag() {
    let mut care = Care::default();
    let discharged = |care: &mut Care, wall, secs: u64| {
        let now = Now { mono: Mono(0), wall };
        care.apply(
            now,
            &Record::Discharged {
                ups: "ups-a".into(),
                took_ms: Millis::from_secs(secs),
                from_percent: Some(100.0),
                to_percent: Some(60.0),
                promised_s: Some(600.0),
            },
        );
    };
    discharged(&mut care, at("2026-01-05", 10), 240);
    assert_eq!(care.capacity(), Some((1.0, 1)), "40 % of 600 s");
    discharged(&mut care, at("2026-02-05", 10), 120);
    assert_eq!(care.capacity(), Some((0.5, 2)), "the least counts");
    tested(&mut care, at("2026-02-06", 10), TestResult::Failed);
    assert_eq!(care.last_told().unwrap().result, TestResult::Failed);
    let day = crate::schedule::day("2026-03-01").unwrap();
    let now = Now {
        mono: Mono(0),
        wall: at("2026-03-02", 10),
    };
    care.apply(
        now,
        &Record::Changed {
            ups: "ups-a".into(),
            day,
            by: "Sato (uid 1000)".into(),
        },
    );
    assert_eq!(care.capacity(), None);
    assert!(
        care.last_told().is_none(),
        "the failed test was of the old battery"
    );
    assert_eq!(care.installed(Some(1_000)), Some(day));
    assert!(care.forgives_flag(at("2026-03-08", 10)));
    assert!(!care.forgives_flag(at("2026-03-10", 10)));
    assert!(
        !care.forgives_flag(at("2026-03-01", 10)),
        "a clock that stepped back"
    );
    assert_eq!(care.tests.len(), 1, "the history stays");
}

#[test]
fn a_short_discharge_says_nothing_of_capacity() {
    let flicker = Discharge {
        ended: Wall(0),
        took: Millis(3_000),
        from_percent: Some(100.0),
        to_percent: Some(99.0),
        promised_s: Some(600.0),
    };
    assert_eq!(flicker.share(), None);
}

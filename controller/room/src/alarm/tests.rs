//! The book of alarms, without an engine around it.

use super::*;
use crate::event::Refused;
use crate::record::{Entry, Record};
use crate::snapshot::AlarmState;
use crate::time::{Mono, Now, Wall};

/// A book with a journal and a clock.
#[derive(Default)]
struct Room {
    book: Book,
    journal: Vec<Entry>,
    at: u64,
}

const DAY: u64 = 86_400_000;

impl Room {
    fn with(definitions: &[Definition]) -> Self {
        let mut room = Self::default();
        for definition in definitions {
            room.book.define(definition.clone());
        }
        room.apply(&Record::Started {
            version: "0".to_owned(),
            boot_id: "a".to_owned(),
            epoch: 1,
            before: None,
        });
        room
    }

    fn now(&self) -> Now {
        Now {
            mono: Mono(self.at),
            wall: Wall(1_700_000_000_000 + i64::try_from(self.at).unwrap()),
        }
    }

    fn apply(&mut self, record: &Record) {
        let now = self.now();
        self.book.apply(now, record);
        self.journal.push(Entry {
            seq: self.journal.len() as u64 + 1,
            now,
            record: record.clone(),
        });
    }

    fn holds(&mut self, id: &str) {
        if let Some(record) = self
            .book
            .report(self.now(), id, Condition::Holds(Label::new("x", "x")))
        {
            self.apply(&record);
        }
    }

    fn gone(&mut self, id: &str) {
        if let Some(record) = self.book.report(self.now(), id, Condition::Gone) {
            self.apply(&record);
        }
    }

    fn ask(&mut self, wish: impl FnOnce(&Book) -> Result<Record, Refused>) -> Result<(), Refused> {
        let record = wish(&self.book)?;
        self.apply(&record);
        Ok(())
    }

    fn pass(&mut self, ms: u64) {
        let end = self.at + ms;
        while let Some(at) = self.book.next_deadline().filter(|at| at.0 <= end) {
            self.at = self.at.max(at.0);
            for record in self.book.tick(self.now()) {
                self.apply(&record);
            }
            assert!(
                self.book.next_deadline().is_none_or(|at| at.0 > self.at),
                "a deadline that is not taken would spin the loop"
            );
        }
        self.at = end;
    }

    fn state(&self, id: &str) -> Option<AlarmState> {
        self.book.state(id)
    }

    fn cause(&self, id: &str) -> Option<String> {
        self.book.row(self.now(), id)?.cause
    }
}

fn plain(id: &str) -> Definition {
    Definition::of(Kind::NoData, id, Label::new(id, id))
}

fn under(id: &str, causes: &[&str]) -> Definition {
    Definition {
        folded_under: causes.iter().map(|cause| (*cause).to_owned()).collect(),
        ..plain(id)
    }
}

#[test]
fn an_alarm_out_of_service_is_watched_underneath_and_comes_back_unacknowledged() {
    let mut room = Room::with(&[plain("a")]);
    let minutes = MAX_OUT_OF_SERVICE_MINUTES;
    assert!(matches!(
        room.ask(|book| book.out_of_service("a", "当番", minutes + 1, "交換待ち")),
        Err(Refused::Invalid(_))
    ));
    room.ask(|book| book.out_of_service("a", "当番", minutes, "交換待ち"))
        .unwrap();
    assert_eq!(room.state("a"), Some(AlarmState::OutOfService));
    assert!(matches!(
        room.ask(|book| book.shelve("a", "当番", 10, "x")),
        Err(Refused::Conflict(_))
    ));
    room.holds("a");
    room.ask(|book| book.acknowledge("a", "当番")).unwrap();
    room.pass(30 * DAY - 1);
    assert_eq!(room.state("a"), Some(AlarmState::OutOfService));
    room.pass(1);
    assert_eq!(room.state("a"), Some(AlarmState::Unacknowledged));
    assert_eq!(room.book.row(room.now(), "a").unwrap().owner, None);
}

#[test]
fn putting_an_alarm_back_into_service_needs_it_to_be_out() {
    let mut room = Room::with(&[plain("a")]);
    assert!(matches!(
        room.ask(|book| book.in_service("a", "当番")),
        Err(Refused::Conflict(_))
    ));
    room.ask(|book| book.out_of_service("a", "当番", 60, "x"))
        .unwrap();
    room.ask(|book| book.in_service("a", "当番")).unwrap();
    assert_eq!(room.state("a"), None, "it is normal");
}

#[test]
fn somebody_else_can_take_an_alarm_over_and_only_what_somebody_has() {
    let mut room = Room::with(&[plain("a")]);
    assert!(room.ask(|book| book.take("a", "夜勤")).is_err());
    room.holds("a");
    assert!(room.ask(|book| book.take("a", "夜勤")).is_err());
    room.ask(|book| book.acknowledge("a", "日勤")).unwrap();
    assert!(
        room.ask(|book| book.take("a", "日勤")).is_err(),
        "the same person"
    );
    room.ask(|book| book.take("a", "夜勤")).unwrap();
    let row = room.book.row(room.now(), "a").unwrap();
    assert_eq!(
        (row.state, row.owner.as_deref()),
        (AlarmState::Acknowledged, Some("夜勤"))
    );
}

#[test]
fn a_shelf_stays_over_an_alarm_that_comes_and_goes_and_what_stands_at_its_end_is_seen_again() {
    let mut room = Room::with(&[plain("a")]);
    room.holds("a");
    room.ask(|book| book.acknowledge("a", "当番")).unwrap();
    room.ask(|book| book.shelve("a", "当番", 60, "工事のほこり"))
        .unwrap();
    room.gone("a");
    assert_eq!(
        room.state("a"),
        Some(AlarmState::Shelved),
        "it would ring again otherwise"
    );
    room.holds("a");
    assert_eq!(room.state("a"), Some(AlarmState::Shelved));
    room.ask(|book| book.acknowledge("a", "当番")).unwrap();
    let row = room.book.row(room.now(), "a").unwrap();
    assert_eq!(
        (row.shelved_by.as_deref(), row.shelved_because.as_deref()),
        (Some("当番"), Some("工事のほこり"))
    );
    room.pass(3_600_000);
    assert_eq!(room.state("a"), Some(AlarmState::Unacknowledged));
}

#[test]
fn a_machine_that_was_started_again_ends_shelves_and_keeps_what_was_left_out_of_service() {
    let mut room = Room::with(&[plain("a"), plain("b")]);
    room.holds("a");
    room.ask(|book| book.shelve("a", "当番", 60, "x")).unwrap();
    room.ask(|book| book.out_of_service("b", "当番", 60, "x"))
        .unwrap();
    room.pass(600_000);
    room.ask(|book| book.acknowledge("a", "当番")).unwrap();
    room.at = 5;
    room.apply(&Record::Started {
        version: "0".to_owned(),
        boot_id: "b".to_owned(),
        epoch: 2,
        before: None,
    });
    room.pass(0);
    assert_eq!(room.state("a"), Some(AlarmState::Unacknowledged));
    room.pass(50 * 60_000 - 1);
    assert_eq!(
        room.state("b"),
        Some(AlarmState::OutOfService),
        "50 of 60 minutes are left"
    );
    room.pass(1);
    assert_eq!(room.state("b"), None);
}

#[test]
fn a_chain_of_causes_is_folded_under_its_root_even_through_a_link_that_does_not_stand() {
    let mut room = Room::with(&[
        under("value", &["switch"]),
        under("switch", &["mains"]),
        plain("mains"),
    ]);
    room.holds("value");
    assert_eq!(room.state("value"), Some(AlarmState::Unacknowledged));
    room.holds("switch");
    assert_eq!(room.cause("value").as_deref(), Some("switch"));
    room.holds("mains");
    assert_eq!(room.cause("value").as_deref(), Some("mains"));
    assert_eq!(room.cause("switch").as_deref(), Some("mains"));
    assert_eq!(room.book.row(room.now(), "mains").unwrap().folded, 2);
    room.gone("switch");
    assert_eq!(room.cause("value").as_deref(), Some("mains"));
    room.gone("mains");
    assert_eq!(
        room.state("value"),
        Some(AlarmState::Unacknowledged),
        "it comes up by itself"
    );
}

#[test]
fn what_lost_its_power_may_start_before_it_is_blamed() {
    let mains = Definition::of(Kind::OnBattery, "mains", Label::default());
    let mut room = Room::with(&[under("quick", &["mains"]), under("dead", &["mains"]), mains]);
    room.holds("mains");
    room.ask(|book| book.acknowledge("mains", "当番")).unwrap();
    room.holds("quick");
    room.holds("dead");
    room.gone("mains");
    assert_eq!(
        room.cause("dead").as_deref(),
        Some("mains"),
        "it has just returned"
    );
    room.pass(60_000);
    room.gone("quick");
    assert_eq!(room.state("quick"), None, "it caught up, and nobody need know");
    room.pass(119_999);
    assert_eq!(room.state("dead"), Some(AlarmState::Suppressed));
    room.pass(1);
    assert_eq!(room.state("dead"), Some(AlarmState::Unacknowledged));
    assert!(room.book.take_changed().contains(&"dead".to_owned()));
}

#[test]
fn who_puts_a_cause_away_does_not_put_away_what_follows_from_it() {
    let mut room = Room::with(&[under("switch", &["mains"]), plain("mains")]);
    room.holds("mains");
    room.holds("switch");
    assert_eq!(room.state("switch"), Some(AlarmState::Suppressed));
    room.book.take_changed();
    room.ask(|book| book.shelve("mains", "当番", 60, "工事")).unwrap();
    assert_eq!(room.state("switch"), Some(AlarmState::Unacknowledged));
    assert_eq!(room.book.take_changed(), ["switch", "mains"]);
    room.pass(3_600_000);
    assert_eq!(
        room.cause("switch").as_deref(),
        Some("mains"),
        "the shelf has ended"
    );
    room.ask(|book| book.out_of_service("mains", "当番", 60, "交換"))
        .unwrap();
    assert_eq!(room.state("switch"), Some(AlarmState::Unacknowledged));
    room.ask(|book| book.in_service("mains", "当番")).unwrap();
    assert_eq!(room.state("switch"), Some(AlarmState::Suppressed));
}

#[test]
fn what_a_returned_cause_explained_comes_up_at_the_start_when_its_time_was_over_before() {
    let mains = Definition::of(Kind::OnBattery, "mains", Label::default());
    let mut room = Room::with(&[under("dead", &["mains"]), mains]);
    room.holds("mains");
    room.holds("dead");
    room.gone("mains");
    // Nobody was there when the three minutes ended.
    room.at += 600_000;
    room.apply(&Record::Started {
        version: "0".to_owned(),
        boot_id: "a".to_owned(),
        epoch: 2,
        before: None,
    });
    assert_eq!(room.state("dead"), Some(AlarmState::Unacknowledged));
    assert_eq!(room.book.next_deadline(), None);
}

#[test]
fn a_circle_of_causes_is_not_closed() {
    let mut room = Room::with(&[under("a", &["b"]), under("b", &["c"]), under("c", &["a", "c"])]);
    for id in ["a", "b", "c"] {
        room.holds(id);
    }
    let standing = ["a", "b", "c"].map(|id| room.state(id));
    assert!(
        standing.contains(&Some(AlarmState::Unacknowledged)),
        "one of them must be seen: {standing:?}"
    );
    assert_eq!(
        room.book.definition("c").unwrap().folded_under,
        Vec::<String>::new()
    );
}

#[test]
fn what_returned_while_it_was_folded_all_the_time_needs_nobody_and_what_was_seen_does() {
    let mut room = Room::with(&[
        under("late", &["mains"]),
        under("early", &["mains"]),
        plain("mains"),
    ]);
    room.holds("early");
    room.holds("mains");
    room.holds("late");
    room.gone("late");
    room.gone("early");
    room.gone("mains");
    assert_eq!(room.state("late"), None);
    assert_eq!(room.state("early"), Some(AlarmState::ReturnedUnacknowledged));
}

#[test]
fn water_fire_and_doors_come_up_whatever_else_stands() {
    let mut definitions = vec![plain("mains")];
    let kinds = [
        Kind::Leak,
        Kind::Smoke,
        Kind::FirePanel,
        Kind::AgentLow,
        Kind::DoorForced,
    ];
    for kind in kinds {
        definitions.push(Definition {
            folded_under: vec!["mains".to_owned()],
            ..Definition::of(kind, kind.word(), Label::default())
        });
    }
    let mut room = Room::with(&definitions);
    room.holds("mains");
    for kind in kinds {
        room.holds(kind.word());
        assert_eq!(
            room.state(kind.word()),
            Some(AlarmState::Unacknowledged),
            "{kind:?}"
        );
    }
}

#[test]
fn changes_are_told_once_and_name_what_came_up_with_the_end_of_its_cause() {
    let mut room = Room::with(&[under("value", &["mains"]), plain("mains")]);
    room.book.take_changed();
    room.holds("mains");
    room.holds("value");
    assert_eq!(room.book.take_changed(), ["value", "mains"]);
    assert_eq!(room.book.take_changed(), Vec::<String>::new());
    room.gone("mains");
    assert_eq!(room.book.take_changed(), ["value", "mains"]);
}

#[test]
fn a_month_names_the_worst_the_chattering_and_the_stale() {
    let mut room = Room::with(&[plain("often"), plain("long"), plain("once")]);
    room.holds("long");
    for _ in 0..3 {
        room.holds("often");
        room.gone("often");
        room.pass(10_000);
    }
    room.pass(DAY);
    room.holds("once");
    room.pass(DAY);
    let start = Wall(1_700_000_000_000);
    let found = statistics(&room.journal, start, room.now().wall);
    assert_eq!(found.raised, 5);
    assert!((found.per_day - 2.5).abs() < 0.01, "{}", found.per_day);
    assert_eq!(found.most_in_ten_minutes, 4);
    let names = |actors: &[Actor]| actors.iter().map(|actor| actor.alarm.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found.worst)[0], "often");
    assert_eq!(names(&found.chattering), ["often"]);
    assert_eq!(names(&found.stale), ["long"]);
}

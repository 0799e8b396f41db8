//! The book of alarms under random conditions, wishes, maintenance and restarts of the machine. A
//! failure prints its seed.

use room::alarm::{Book, Condition, Cover, Definition, Input, Standing, next};
use room::catalog::Kind;
use room::maintenance::Scope;
use room::record::{Entry, Record};
use room::site::Label;
use room::snapshot::AlarmState;
use room::time::{Mono, Now, Wall};
use std::collections::{BTreeMap, BTreeSet};

const SEEDS: u64 = 30;
const STEPS: usize = 400;
const ALARMS: usize = 24;

/// Xorshift: every run is the same run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }
}

fn id(number: usize) -> String {
    format!("a{number}")
}

/// Alarms of mixed kinds with random causes, circles among them.
fn definitions(dice: &mut Dice) -> Vec<Definition> {
    const KINDS: [Kind; 6] = [
        Kind::NoData,
        Kind::DeviceUnreachable,
        Kind::TemperatureHigh,
        Kind::NodeRefused,
        Kind::Leak,
        Kind::DoorForced,
    ];
    (0..ALARMS)
        .map(|number| Definition {
            folded_under: (0..dice.below(3)).map(|_| id(dice.below(ALARMS))).collect(),
            on_delay: room::time::Millis(dice.below(3) as u64 * 1_000),
            off_delay: room::time::Millis(dice.below(3) as u64 * 1_000),
            ..Definition::of(KINDS[dice.below(KINDS.len())], id(number), Label::default())
        })
        .collect()
}

struct World {
    book: Book,
    journal: Vec<Entry>,
    mono: u64,
    wall: i64,
    boots: u32,
    seed: u64,
}

impl World {
    fn now(&self) -> Now {
        Now {
            mono: Mono(self.mono),
            wall: Wall(self.wall),
        }
    }

    fn apply(&mut self, record: Record) {
        let before: Vec<Standing> = (0..ALARMS)
            .map(|number| self.book.standing(&id(number)))
            .collect();
        let now = self.now();
        self.book.apply(now, &record);
        for (number, before) in before.into_iter().enumerate() {
            let after = self.book.standing(&id(number));
            if before == after {
                continue;
            }
            let latching = self.book.definition(&id(number)).unwrap().latching;
            let input = match &record {
                Record::AlarmRaised { .. } => Input::Raise,
                Record::AlarmReturned { unseen: false, .. } => Input::Return,
                Record::AlarmReturned { unseen: true, .. } => Input::ReturnUnseen,
                Record::AlarmAcknowledged { .. } => Input::Acknowledge,
                Record::AlarmReset { .. } => Input::Reset,
                Record::AlarmUnshelved { .. } | Record::AlarmInService { .. } => Input::Surface,
                other => panic!("seed {}: {other:?} moved an alarm", self.seed),
            };
            assert_eq!(
                next(before, input, latching),
                Some(after),
                "seed {}: {record:?} is not in the table",
                self.seed
            );
        }
        let seq = self.journal.len() as u64 + 1;
        self.journal.push(Entry { seq, now, record });
    }

    fn pass(&mut self, ms: u64) {
        let end = self.mono + ms;
        while let Some(at) = self.book.next_deadline().filter(|at| at.0 <= end) {
            let at = at.0.max(self.mono);
            self.wall += i64::try_from(at - self.mono).unwrap();
            self.mono = at;
            let records = self.book.tick(self.now());
            for record in records {
                self.apply(record);
            }
        }
        self.wall += i64::try_from(end - self.mono).unwrap();
        self.mono = end;
    }

    fn boot(&mut self) {
        self.boots += 1;
        let boot_id = format!("boot-{}", self.boots);
        self.apply(Record::Started {
            version: String::new(),
            boot_id,
            epoch: self.boots,
            before: None,
        });
    }

    fn step(&mut self, dice: &mut Dice) {
        let alarm = id(dice.below(ALARMS));
        let minutes = u32::try_from(1 + dice.below(30)).unwrap();
        let wished = match dice.below(16) {
            0..=3 => {
                let condition = Condition::Holds(Label::default());
                self.book.report(self.now(), &alarm, condition).ok_or(())
            }
            4..=6 => self.book.report(self.now(), &alarm, Condition::Gone).ok_or(()),
            7 => self.book.report(self.now(), &alarm, Condition::Unknown).ok_or(()),
            8 => self.book.acknowledge(&alarm, "a").map_err(|_| ()),
            9 => self.book.take(&alarm, "b").map_err(|_| ()),
            10 => self.book.reset(&alarm, "a").map_err(|_| ()),
            11 => self.book.shelve(&alarm, "a", minutes, "x").map_err(|_| ()),
            12 => match dice.below(3) {
                0 => self
                    .book
                    .out_of_service(&alarm, "a", minutes, "x")
                    .map_err(|_| ()),
                1 => self.book.in_service(&alarm, "a").map_err(|_| ()),
                _ => self.book.unshelve(&alarm, "a").map_err(|_| ()),
            },
            13 => {
                let scope = Scope {
                    asked: vec![alarm.clone()],
                    covers: vec![alarm],
                    alarms: vec![],
                };
                let windows = self.book.maintenance();
                windows.start("a", minutes, "x", None, scope).map_err(|_| ())
            }
            14 => {
                let window = u32::try_from(1 + dice.below(8)).unwrap();
                let ended = self.book.maintenance().end(window, "a", Some("x"));
                for record in ended.unwrap_or_default() {
                    self.apply(record);
                }
                Err(())
            }
            _ => Err(()),
        };
        if let Ok(record) = wished {
            self.apply(record);
        }
        if dice.below(3) == 0 {
            self.pass(dice.below(300_000) as u64);
        }
        if dice.below(150) == 0 {
            // The machine was off: its clock begins anew.
            self.mono = dice.below(60_000) as u64;
            self.boot();
        }
        self.pass(0);
    }

    /// Nothing that stands is lost, and what is folded is folded under something that stands.
    fn check(&self) {
        let seed = self.seed;
        let rows = self.book.view(self.now(), usize::MAX).0;
        let shown: BTreeMap<&str, _> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
        for number in 0..ALARMS {
            let id = id(number);
            let standing = self.book.standing(&id);
            let Some(row) = shown.get(id.as_str()) else {
                assert_eq!(
                    standing,
                    Standing::Normal,
                    "seed {seed}: {id} stands and is not shown"
                );
                continue;
            };
            assert_eq!(row.active, standing.is_active());
            let explained = self.stands_above(&id);
            let window = row
                .cause
                .as_deref()
                .filter(|cause| cause.starts_with("maintenance."));
            assert!(
                row.cause.is_none() || window.is_some() || explained.contains(row.cause.as_deref().unwrap()),
                "seed {seed}: {id} is folded under {:?}, but only {explained:?} stand",
                row.cause
            );
            assert!(
                row.cause.is_some() || explained.is_empty(),
                "seed {seed}: {id} is not folded although {explained:?} stand"
            );
            assert_eq!(
                row.state == AlarmState::Suppressed,
                row.cause.is_some() && row.shelved_by.is_none()
            );
            if row.kind == Kind::Leak {
                assert_eq!(row.cause, None, "seed {seed}: water is never folded");
            }
        }
    }

    /// Alarms that stand and explain this one, near or far; worked out anew and slowly.
    fn stands_above(&self, alarm: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut left = vec![alarm.to_owned()];
        while let Some(id) = left.pop() {
            let Some(definition) = self.book.definition(&id).filter(|_| seen.insert(id.clone())) else {
                continue;
            };
            if !definition.kind.may_fold() {
                continue;
            }
            for cause in &definition.folded_under {
                if self.book.explains(cause) {
                    found.insert(cause.clone());
                }
                left.push(cause.clone());
            }
        }
        found
    }
}

#[test]
fn nothing_is_lost_and_a_replay_gives_the_same_book_whatever_happens() {
    assert_ne!(Cover::Open, Cover::Shelved);
    for seed in 1..=SEEDS {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let definitions = definitions(&mut dice);
        let furnished = || {
            let mut book = Book::default();
            for definition in &definitions {
                book.define(definition.clone());
            }
            book
        };
        let mut world = World {
            book: furnished(),
            journal: Vec::new(),
            mono: 1_000_000,
            wall: 1_700_000_000_000,
            boots: 0,
            seed,
        };
        world.boot();
        for _ in 0..STEPS {
            world.step(&mut dice);
            world.check();
        }
        let mut again = furnished();
        for entry in &world.journal {
            let line = serde_json::to_string(entry).unwrap();
            let entry: Entry = serde_json::from_str(&line).unwrap();
            again.apply(entry.now, &entry.record);
        }
        assert_eq!(
            again.tick(world.now()),
            Vec::new(),
            "seed {seed}: nothing was left undone"
        );
        assert_eq!(
            again.view(world.now(), usize::MAX),
            world.book.view(world.now(), usize::MAX),
            "seed {seed}: the replay shows another room"
        );
    }
}

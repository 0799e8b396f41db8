//! A room with a book of alarms, a desk and simulated notifiers, on a clock of its own.

use room::alarm::{Book, Condition, Definition};
use room::catalog::Kind;
use room::notice::record::Record as Told;
use room::notice::{About, Delivered, Desk, Lamp, Light, Notice, Seen, SendFailure, Settings};
use room::record::Record;
use room::site::Label;
use room::time::{Millis, Mono, Now, Wall};
use std::collections::{BTreeMap, BTreeSet};

/// How a notifier behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Works,
    /// Another attempt may succeed.
    Fails,
    /// The address is wrong.
    Refuses,
    /// It never says anything.
    Hangs,
}

/// A message that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) at: Mono,
    pub(crate) notice: Notice,
}

pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) desk: Desk,
    pub(crate) book: Book,
    pub(crate) journal: Vec<(Now, Record)>,
    pub(crate) mono: Mono,
    pub(crate) wall_step: i64,
    pub(crate) manners: BTreeMap<String, Manner>,
    /// What a notifier will say, and when.
    words: Vec<(Mono, Delivered)>,
    /// A message takes so long.
    pub(crate) latency: Millis,
    pub(crate) arrived: Vec<Arrived>,
    pub(crate) transcript: Vec<String>,
    pub(crate) is_quiet: bool,
    conditions: BTreeMap<String, bool>,
    boot: u32,
}

/// Loops without end are a failure of the test, not of the patience.
const MAX_WAKES: usize = 200_000;

impl World {
    pub(crate) fn new(settings: Settings, definitions: Vec<Definition>) -> Self {
        let mut world = Self {
            desk: Desk::new(settings.clone()),
            book: Book::default(),
            manners: settings
                .notifiers
                .keys()
                .map(|name| (name.clone(), Manner::Works))
                .collect(),
            settings,
            definitions,
            journal: Vec::new(),
            mono: Mono(1_000_000),
            wall_step: 0,
            words: Vec::new(),
            latency: Millis(200),
            arrived: Vec::new(),
            transcript: Vec::new(),
            is_quiet: false,
            conditions: BTreeMap::new(),
            boot: 1,
        };
        world.define();
        world.begin(true);
        world
    }

    fn define(&mut self) {
        for definition in &self.definitions {
            self.book.define(definition.clone());
            self.conditions.entry(definition.id.clone()).or_default();
        }
        for (name, label) in &self.settings.notifiers {
            let id = format!("notifier.{name}");
            self.book
                .define(Definition::of(Kind::Notifier, id, label.clone()));
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            mono: self.mono,
            wall: Wall(i64::try_from(self.mono.0).unwrap() + self.wall_step),
        }
    }

    pub(crate) fn remark(&mut self, text: &str) {
        if !self.is_quiet {
            let secs = (self.mono.0 - 1_000_000) as f64 / 1000.0;
            self.transcript.push(format!("{secs:9.1}  {text}"));
        }
    }

    // ---- the engine's part ---------------------------------------------------------------

    fn begin(&mut self, same_boot: bool) {
        let now = self.now();
        if !same_boot {
            self.boot += 1;
        }
        let record = Record::Started {
            version: "1".to_owned(),
            boot_id: format!("boot-{}", self.boot),
            epoch: 1,
            before: None,
        };
        self.commit(record);
        self.desk.start(now);
        self.look();
    }

    fn apply(&mut self, now: Now, record: &Record) {
        self.book.apply(now, record);
        match record {
            Record::AlarmRaised { alarm, latching, .. } => self.desk.raised(now, alarm, *latching),
            Record::AlarmAcknowledged { alarm, .. } => self.desk.acknowledged(alarm),
            Record::AlarmShelved { alarm, .. } => self.desk.shelved(alarm),
            Record::AlarmUnshelved { alarm, .. } => self.desk.unshelved(now, alarm),
            Record::Notice { record } => self.desk.apply(now, record),
            Record::Started { boot_id, .. } => self.desk.began(now, boot_id),
            _ => {}
        }
    }

    pub(crate) fn commit(&mut self, record: Record) {
        let now = self.now();
        self.apply(now, &record);
        match &record {
            Record::AlarmRaised { alarm, .. } if alarm.starts_with("notifier.") => {
                self.remark(&format!("alarm {alarm} is raised"));
            }
            Record::AlarmReturned { alarm, .. } if alarm.starts_with("notifier.") => {
                self.remark(&format!("alarm {alarm} returns"));
            }
            Record::AlarmUnshelved { alarm, .. } => self.remark(&format!("the shelf of {alarm} ends")),
            Record::Notice {
                record: Told::Failed {
                    key, problem, over, ..
                },
            } => {
                let end = if *over { ", given up" } else { "" };
                self.remark(&format!("no way left for {key}: {problem}{end}"));
            }
            _ => {}
        }
        self.journal.push((now, record));
    }

    /// The last stage of every turn, as the engine has it.
    pub(crate) fn look(&mut self) {
        let now = self.now();
        for _ in 0..4 {
            for alarm in self.book.take_changed() {
                self.desk.changed(&alarm);
            }
            let contacts = self.settings.notices.contacts.clone();
            let seen = Seen {
                now,
                book: &self.book,
                contacts: &contacts,
            };
            let out = self.desk.run(now, &seen);
            for notice in out.notices {
                self.send(notice);
            }
            let mut more = !out.records.is_empty();
            for record in out.records {
                self.commit(Record::Notice { record });
            }
            for name in self.settings.notifiers.keys().cloned().collect::<Vec<_>>() {
                let condition = match self.desk.trouble(&name) {
                    Some(why) => Condition::Holds(why),
                    None => Condition::Gone,
                };
                more |= self.report(&format!("notifier.{name}"), condition);
            }
            if !more {
                break;
            }
        }
    }

    fn report(&mut self, id: &str, condition: Condition) -> bool {
        let record = self.book.report(self.now(), id, condition);
        let is_new = record.is_some();
        if let Some(record) = record {
            self.commit(record);
        }
        is_new
    }

    // ---- what happens ----------------------------------------------------------------------

    pub(crate) fn alarm(&mut self, id: &str, holds: bool) {
        let condition = if holds {
            Condition::Holds(Label::new("試験", "test"))
        } else {
            Condition::Gone
        };
        self.conditions.insert(id.to_owned(), holds);
        self.report(id, condition);
        self.look();
    }

    pub(crate) fn acknowledge(&mut self, id: &str, by: &str) -> bool {
        let record = self.book.acknowledge(id, by);
        let is_good = record.is_ok();
        if let Ok(record) = record {
            self.commit(record);
            self.look();
        }
        is_good
    }

    pub(crate) fn reset(&mut self, id: &str) {
        if let Ok(record) = self.book.reset(id, "Sato") {
            self.commit(record);
            self.look();
        }
    }

    pub(crate) fn shelve(&mut self, id: &str, minutes: u32) {
        if let Ok(record) = self.book.shelve(id, "Sato", minutes, "work") {
            self.commit(record);
            self.look();
        }
    }

    pub(crate) fn test_call(&mut self, contact: Option<&str>) {
        match self.desk.test_call(contact, "Sato") {
            Ok(record) => {
                self.commit(Record::Notice {
                    record: record.clone(),
                });
                self.desk.ordered(self.now(), &record);
                self.look();
            }
            Err(refused) => self.remark(&format!("refused: {refused}")),
        }
    }

    pub(crate) fn lamp_test(&mut self) {
        let record = self.desk.lamp_test("Sato").unwrap();
        self.desk.ordered(self.now(), &record);
        self.look();
    }

    /// The process dies and starts again with the first `keep` records of its journal; words of
    /// notifiers that were on their way are lost.
    pub(crate) fn restart(&mut self, keep: usize, same_boot: bool) {
        self.journal.truncate(keep);
        self.words.clear();
        if !same_boot {
            // Another boot counts from elsewhere; the wall goes on.
            let begins = Mono(1_000_000);
            let back = i64::try_from(self.mono.0 - begins.0).unwrap();
            self.wall_step += back;
            self.mono = begins;
        }
        self.desk = Desk::new(self.settings.clone());
        self.book = Book::default();
        self.define();
        for (at, record) in self.journal.clone() {
            self.apply(at, &record);
        }
        self.begin(same_boot);
        // What holds is heard again.
        for (id, holds) in self.conditions.clone() {
            self.alarm(&id, holds);
        }
    }

    // ---- notifiers ---------------------------------------------------------------------------

    fn send(&mut self, notice: Notice) {
        let manner = self.manners.get(&notice.notifier).copied().unwrap();
        let result = match manner {
            Manner::Works => Ok(()),
            Manner::Fails => Err(SendFailure::passing("connection refused")),
            Manner::Refuses => Err(SendFailure::lasting("550 no such mailbox")),
            Manner::Hangs => {
                self.remark(&format!("{} hangs with {}", notice.notifier, said(&notice)));
                return;
            }
        };
        if result.is_ok() {
            if !matches!(notice.about, About::Heartbeat { .. }) {
                self.remark(&heard(&notice));
            }
            self.arrived.push(Arrived {
                at: self.mono,
                notice: notice.clone(),
            });
        } else {
            self.remark(&format!("{} fails with {}", notice.notifier, said(&notice)));
        }
        let word = Delivered {
            key: notice.key,
            attempt: notice.attempt,
            notifier: notice.notifier,
            result,
        };
        self.words.push((self.mono.after(self.latency), word));
    }

    // ---- time ----------------------------------------------------------------------------------

    pub(crate) fn run_until(&mut self, end: Mono) {
        for _ in 0..MAX_WAKES {
            let word = self.words.iter().map(|(at, _)| *at).min();
            let now = self.now();
            let desk = self.desk.next_deadline(now);
            let next = [word, desk, self.book.next_deadline()]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.mono = self.mono.max(end);
                return;
            };
            if let Some(desk) = desk {
                assert!(
                    desk > now.mono,
                    "the desk wants to be woken in the past: {desk:?} at {now:?}"
                );
            }
            self.mono = self.mono.max(next);
            let now = self.now();
            let due: Vec<Delivered> = self
                .words
                .extract_if(.., |(at, _)| *at <= now.mono)
                .map(|(_, word)| word)
                .collect();
            for word in due {
                if let Some(record) = self.desk.delivered(now, &word) {
                    self.commit(Record::Notice { record });
                }
            }
            for record in self.book.tick(now) {
                self.commit(record);
            }
            self.look();
        }
        panic!("it wakes without end");
    }

    /// Keys that the journal says were sent.
    pub(crate) fn recorded(&self) -> BTreeSet<String> {
        self.journal
            .iter()
            .filter_map(|(_, record)| match record {
                Record::Notice {
                    record: Told::Sent { key, .. } | Told::SummarySent { key, .. },
                } => Some(key.clone()),
                _ => None,
            })
            .collect()
    }
}

fn said(notice: &Notice) -> String {
    match &notice.about {
        About::Lamp(_) => "the lamps".to_owned(),
        _ => format!("{} (attempt {})", notice.key, notice.attempt),
    }
}

fn heard(notice: &Notice) -> String {
    let to = notice.to.as_ref().map_or(String::new(), |to| format!(" <{to}>"));
    let who = notice.contact.as_deref().unwrap_or("nobody");
    let who = format!("{who}{to} by {}", notice.notifier);
    match &notice.about {
        About::Alarm(told) => {
            let owner = told
                .owner
                .as_ref()
                .map_or(String::new(), |owner| format!(", {} has it", owner.ja));
            let folded = match told.folded {
                0 => String::new(),
                count => format!(", {count} folded under it"),
            };
            format!(
                "{who}: {:?} {} after {} s{owner}{folded}",
                told.moment,
                told.alarm,
                told.lasted.0 / 1000
            )
        }
        About::Summary(summary) => {
            let [critical, warning, advisory] = summary.counts;
            let first = summary.some.first().map_or("-", |(_, what, _)| what.en.as_str());
            format!(
                "{who}: summary of {critical} critical, {warning} warnings, {advisory} advisories, {} returned; first: {first}",
                summary.returned
            )
        }
        About::Test { by } => format!("{who}: a test call of {by}"),
        About::Heartbeat { count } => format!("{}: heartbeat {count}", notice.notifier),
        About::Lamp(lamp) => format!("{} shows {}", notice.notifier, drawn(*lamp)),
    }
}

fn drawn(lamp: Lamp) -> String {
    let lights = [
        ("red", lamp.red),
        ("amber", lamp.amber),
        ("green", lamp.green),
        ("blue", lamp.blue),
        ("white", lamp.white),
    ];
    let mut words: Vec<String> = lights
        .into_iter()
        .filter_map(|(name, light)| match light {
            Light::Off => None,
            Light::Steady => Some(name.to_owned()),
            Light::Flashing => Some(format!("{name} flashing")),
        })
        .collect();
    if lamp.buzzer {
        words.push("buzzer".to_owned());
    }
    words.join(", ")
}

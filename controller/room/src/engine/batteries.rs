//! The batteries' part of the engine: tests by the calendar and by hand, what came of them, what a
//! real discharge says, and the change of a battery.
//!
//! The clock on the wall says when a test may begin, and nothing else; how long it lasts is measured
//! by the other one. A test is an order to the device like any other: journaled before it leaves, and
//! never given again.

use super::Engine;
use crate::alarm::{Condition, Definition};
use crate::battery::check::{self, Room};
use crate::battery::{self, Care, Hearing, Levels, Record as Battery, Said, TestKind, TestResult};
use crate::catalog::Kind;
use crate::command::Done;
use crate::device::FactValue;
use crate::event::{Refused, Turn};
use crate::outage::operator::{self, Person, Wish};
use crate::outage::{self, Record as Power};
use crate::record::Record;
use crate::schedule::Days;
use crate::site::self_test::{HOTTEST, SelfTest};
use crate::site::{DeviceKind, Label, Site, World};
use crate::snapshot;
use crate::time::{Millis, Mono, Now, Wall};
use std::collections::BTreeMap;

/// How often the calendar is looked at.
const LOOK_EVERY: Millis = Millis::from_secs(60);
/// By whom a test by the calendar is ordered.
const BY_SCHEDULE: &str = "schedule";

/// Everything about the batteries.
#[derive(Debug, Clone, Default)]
pub(super) struct Batteries {
    pub(super) care: BTreeMap<String, Care>,
    /// Of tests under way, since this start.
    heard: BTreeMap<String, Hearing>,
    /// Discharges under way: since when, charge, promise.
    draining: BTreeMap<String, (Mono, Option<f64>, Option<f64>)>,
    /// UPSes whose wish for a new battery was taken back since this start.
    flag_gone: Vec<String>,
    days: Days,
    looked: Mono,
}

impl Batteries {
    pub(super) fn of<W: World>(site: &Site<W>) -> Self {
        let upses = site
            .devices
            .iter()
            .filter(|device| device.kind == DeviceKind::Ups);
        Self {
            care: upses.map(|ups| (ups.name.clone(), Care::default())).collect(),
            days: Days {
                utc_offset_min: site.access.utc_offset_min,
                holidays: site.access.holidays.clone(),
            },
            ..Self::default()
        }
    }

    /// The day on which the present battery of a UPS came.
    pub(super) fn installed(&self, ups: &str, by_site: u16) -> u16 {
        let care = self.care.get(ups);
        care.and_then(|care| care.installed(Some(by_site)))
            .unwrap_or(by_site)
    }
}

/// Alarm of a battery that failed its test.
fn failed_id(ups: &str) -> String {
    format!("{ups}.battery.test_failed")
}

impl<W: World> Engine<W> {
    pub(super) fn furnish_batteries(&mut self) {
        for ups in self.batteries.care.keys().cloned().collect::<Vec<_>>() {
            let device = self.site.devices.iter().find(|device| device.name == ups);
            let place = device.map_or_else(|| Label::new(&*ups, &*ups), |device| device.label.clone());
            self.book.define(Definition {
                own_what: Some(Label::new("電池試験に不合格", "The battery failed its test")),
                ..Definition::of(Kind::BatteryWear, failed_id(&ups), place)
            });
        }
    }

    pub(super) fn apply_battery(&mut self, now: Now, record: &Record) {
        match record {
            Record::Battery { record } => {
                if let Some(care) = self.batteries.care.get_mut(record.ups()) {
                    care.apply(now, record);
                }
            }
            Record::Power {
                record:
                    Power::MainsLost {
                        ups,
                        charge_percent,
                        runtime_s,
                        ..
                    },
            } => {
                let begin = (now.mono, *charge_percent, *runtime_s);
                self.batteries.draining.insert(ups.clone(), begin);
            }
            // Over a restart of the machine nobody knows how long it took.
            Record::Power {
                record: Power::PowerRestarted { same_boot: false },
            } => self.batteries.draining.clear(),
            Record::Power {
                record: Power::MainsBack { ups, .. },
            } => {
                self.batteries.draining.remove(ups);
            }
            _ => {}
        }
    }

    /// What the outage engine has just found out of a discharge. Before its records are applied here.
    pub(super) fn discharged(&mut self, now: Now, records: &[Power], turn: &mut Turn) {
        for record in records {
            let Power::MainsBack { ups, .. } = record else {
                self.apply_battery(
                    now,
                    &Record::Power {
                        record: record.clone(),
                    },
                );
                continue;
            };
            let Some((since, from_percent, promised_s)) = self.batteries.draining.remove(ups) else {
                continue;
            };
            let to_percent = self.battery_fact(now.mono, ups, "battery.charge");
            let record = Battery::Discharged {
                ups: ups.clone(),
                took_ms: now.mono.since(since),
                from_percent,
                to_percent,
                promised_s,
            };
            self.commit(now, turn, Record::Battery { record });
            self.tell_capacity(ups);
        }
    }

    /// The plan reckons with what the battery gave, once enough discharges say so.
    fn tell_capacity(&mut self, ups: &str) {
        let known = self.batteries.care.get(ups).and_then(Care::capacity);
        let trusted = known.filter(|(_, count)| *count >= battery::CAPACITY_TRUSTED);
        self.outage.learn_capacity(ups, trusted.map(|(share, _)| share));
    }

    /// After a restart: what was under way goes on, and is listened to from now on.
    pub(super) fn resume_batteries(&mut self, now: Now, turn: &mut Turn) {
        self.batteries.looked = now.mono;
        for (ups, care) in &self.batteries.care {
            if care.running.is_some() {
                let heard = Hearing {
                    since: now.mono,
                    ..Hearing::default()
                };
                self.batteries.heard.insert(ups.clone(), heard);
            }
        }
        for ups in self.batteries.heard.keys().cloned().collect::<Vec<_>>() {
            self.tell_outage_of_test(now, &ups, turn);
        }
        for ups in self.batteries.care.keys().cloned().collect::<Vec<_>>() {
            self.evaluate_test_alarm(now, &ups, turn);
            self.tell_capacity(&ups);
        }
    }

    fn tell_outage_of_test(&mut self, now: Now, ups: &str, turn: &mut Turn) {
        let running = self
            .batteries
            .care
            .get(ups)
            .and_then(|care| care.running.as_ref());
        let since = self.batteries.heard.get(ups).map(|heard| heard.since);
        let until = running.and(since).map(|since| since.after(battery::UNSAID_FOR));
        self.power(now, outage::Input::BatteryTest { ups, until }, turn);
    }

    // ---- tests by the calendar ---------------------------------------------------------------

    pub(super) fn battery_deadline(&self) -> Option<Mono> {
        let is_used = !self.site.self_tests.is_empty() || !self.batteries.heard.is_empty();
        is_used.then(|| self.batteries.looked.after(LOOK_EVERY))
    }

    /// Looks at the calendar, and at what goes on.
    pub(super) fn evaluate_batteries(&mut self, now: Now, turn: &mut Turn) {
        for ups in self.batteries.heard.keys().cloned().collect::<Vec<_>>() {
            self.hear_test(now, &ups, turn);
        }
        if now.mono < self.batteries.looked.after(LOOK_EVERY) {
            return;
        }
        self.batteries.looked = now.mono;
        for test in self.site.self_tests.clone() {
            self.test_by_calendar(now, &test, turn);
        }
    }

    fn test_by_calendar(&mut self, now: Now, test: &SelfTest, turn: &mut Turn) {
        let days = &self.batteries.days;
        let (Some(care), Some((today, minute))) =
            (self.batteries.care.get(&test.device), days.local(now.wall))
        else {
            return;
        };
        let open = test.days & days.bit(today) != 0 && (test.from..test.to).contains(&minute);
        if !open || care.running.is_some() || today < care.due_day(test, days) {
            return;
        }
        let said_today = care
            .put_off
            .as_ref()
            .is_some_and(|(at, _)| days.local(*at).is_some_and(|(day, _)| day == today));
        if let Some(because) = self.why_no_test(now, test) {
            // Once a day is enough to know why there is no test.
            if !said_today {
                let ups = test.device.clone();
                let record = Battery::TestPutOff { ups, because };
                self.commit(now, turn, Record::Battery { record });
            }
            return;
        }
        // What the device refuses is the end of a test, too; then there is no order to wait for.
        if let Err(because) = self.start_test(now, BY_SCHEDULE, &test.device, test.kind, turn)
            && !said_today
        {
            let ups = test.device.clone();
            let record = Battery::TestPutOff { ups, because };
            self.commit(now, turn, Record::Battery { record });
        }
    }

    /// What speaks against a test by these rules now.
    fn why_no_test(&self, now: Now, test: &SelfTest) -> Option<Label> {
        let ups = test.device.as_str();
        let is_tested = |ups: &str| {
            let care = self.batteries.care.get(ups);
            care.is_some_and(|care| care.running.is_some())
        };
        let beside = self.outage.beside(ups);
        let window = self
            .book
            .maintenance()
            .window_of(&format!("{ups}.on_battery"), Kind::OnBattery);
        let not_redundant = if test.redundant {
            self.outage.hosts_lost_with(ups, now.mono)
        } else {
            Vec::new()
        };
        let mut drained = beside.iter().filter_map(|other| {
            let charge = self.battery_fact(now.mono, other, "battery.charge")?;
            (charge < check::FULL).then(|| (*other).to_owned())
        });
        let drained = drained.next();
        check::why_not(&Room {
            outage: self.outage.is_outage(),
            busy: self.outage.is_busy(),
            maintenance: window.map(crate::maintenance::id),
            other_test: beside
                .into_iter()
                .find(|other| is_tested(other))
                .map(str::to_owned),
            own_test: is_tested(ups),
            on_mains: self.outage.is_on_mains(ups),
            mains_seen: self.outage.sees_mains(ups),
            charge: self.battery_fact(now.mono, ups, "battery.charge"),
            celsius: self.battery_celsius(now.mono, ups),
            drained_beside: drained,
            hottest: test.hottest_celsius,
            not_redundant,
        })
    }

    fn battery_celsius(&self, now: Mono, ups: &str) -> Option<Option<f64>> {
        let site = self.site.batteries.iter().find(|battery| battery.device == ups);
        match site.and_then(|battery| battery.temperature.as_ref()) {
            // Something of the site measures it, so its silence is no word.
            Some(point) => {
                let own = point.split_once('.');
                let value = self.points.get(point).and_then(|point| point.number(now).ok());
                let fact = || own.and_then(|(device, fact)| self.battery_fact(now, device, fact));
                Some(value.or_else(fact))
            }
            None => self.battery_fact(now, ups, "battery.temperature").map(Some),
        }
    }

    fn battery_fact(&self, now: Mono, device: &str, fact: &str) -> Option<f64> {
        match self.fact_now(now, device, fact) {
            Ok(FactValue::Number(value)) if value.is_finite() => Some(value),
            _ => None,
        }
    }

    fn battery_word(&self, now: Mono, device: &str, fact: &str) -> Option<String> {
        match self.fact_now(now, device, fact) {
            Ok(FactValue::State(word) | FactValue::Text(word)) => Some(word),
            _ => None,
        }
    }

    fn levels(&self, now: Mono, ups: &str) -> Levels {
        let number = |fact| self.battery_fact(now, ups, fact);
        Levels {
            charge_percent: number("battery.charge"),
            voltage: number("battery.voltage"),
            runtime_s: number("battery.runtime"),
            load_percent: number("ups.load"),
        }
    }

    fn start_test(
        &mut self,
        now: Now,
        by: &str,
        ups: &str,
        test: TestKind,
        turn: &mut Turn,
    ) -> Result<(), Label> {
        let order = self.operate(now, by, ups, test.command(), None, turn);
        order.map_err(|refused| match refused {
            Refused::NotFound(why) | Refused::Conflict(why) | Refused::Invalid(why) => why,
            Refused::Unavailable(why) => Label::new(why.clone(), why),
        })
    }

    /// A device was ordered to do something: when a UPS is to test its battery, whoever ordered it, that
    /// is a test like any other.
    pub(super) fn note_test(&mut self, now: Now, by: &str, ups: &str, order: (u64, &str), turn: &mut Turn) {
        let (order, command) = order;
        let care = self.batteries.care.get(ups);
        let (Some(test), Some(None)) = (TestKind::of(command), care.map(|care| &care.running)) else {
            return;
        };
        let before = self.levels(now.mono, ups);
        let record = Battery::TestStarted {
            ups: ups.to_owned(),
            order,
            test,
            by: by.to_owned(),
            before,
        };
        self.commit(now, turn, Record::Battery { record });
        let heard = Hearing {
            since: now.mono,
            word_before: self.battery_word(now.mono, ups, "ups.test.result"),
            least: before,
            ..Hearing::default()
        };
        self.batteries.heard.insert(ups.to_owned(), heard);
        self.tell_outage_of_test(now, ups, turn);
    }

    // ---- how it goes on ----------------------------------------------------------------------

    /// What the role that tells devices says of the order.
    pub(super) fn test_was_told(&mut self, now: Now, id: u64, done: &Done, turn: &mut Turn) {
        let mut found = self.batteries.care.iter();
        let found = found.find(|(_, care)| care.running.as_ref().is_some_and(|running| running.order == id));
        let Some(ups) = found.map(|(ups, _)| ups.clone()) else {
            return;
        };
        match done {
            // A UPS was seen to test; a server in between only says that it passed the order on.
            Done::Confirmed { seen } if seen.contains("running") => {
                if let Some(heard) = self.batteries.heard.get_mut(&ups) {
                    heard.seen = true;
                }
            }
            Done::Refused { problem } => {
                let because = Label::new(
                    format!("UPS が受け付けない: {problem}"),
                    format!("it was refused: {problem}"),
                );
                self.end_test(now, &ups, TestResult::Aborted, because, turn);
            }
            // It says itself what becomes of it, or its bound ends it.
            Done::Confirmed { .. } | Done::Accepted | Done::Unknown { .. } => {}
        }
    }

    pub(super) fn hear_test(&mut self, now: Now, ups: &str, turn: &mut Turn) {
        let running = self.batteries.care.get(ups).and_then(|care| care.running.clone());
        let (Some(running), Some(mut heard)) = (running, self.batteries.heard.remove(ups)) else {
            return;
        };
        let word = self.battery_word(now.mono, ups, "ups.test.result");
        let source = self.battery_word(now.mono, ups, "output.source");
        let said = Said {
            runs: word.as_deref() == Some("running") || source.as_deref() == Some("test"),
            word,
            outage: self.outage.is_outage(),
            levels: self.levels(now.mono, ups),
        };
        let end = battery::judge(now.mono, &running, &mut heard, &said);
        self.batteries.heard.insert(ups.to_owned(), heard);
        if let Some((result, because)) = end {
            if self.outage.is_outage() && !self.outage.is_ups_on_battery(ups) {
                // Its charge is needed for what has begun elsewhere. Where the site does not allow this
                // the UPS ends its test itself.
                let _ = self.operate(now, BY_SCHEDULE, ups, "test.battery.stop", None, turn);
            }
            self.end_test(now, ups, result, because, turn);
        }
    }

    fn end_test(&mut self, now: Now, ups: &str, result: TestResult, because: Label, turn: &mut Turn) {
        let Some(heard) = self.batteries.heard.remove(ups) else {
            return;
        };
        let running = self
            .batteries
            .care
            .get(ups)
            .and_then(|care| care.running.as_ref());
        let Some(order) = running.map(|running| running.order) else {
            return;
        };
        let record = Battery::TestEnded {
            ups: ups.to_owned(),
            order,
            result,
            because,
            took_ms: now.mono.since(heard.since),
            least: heard.least,
        };
        self.commit(now, turn, Record::Battery { record });
        self.tell_outage_of_test(now, ups, turn);
        self.evaluate_test_alarm(now, ups, turn);
    }

    fn evaluate_test_alarm(&mut self, now: Now, ups: &str, turn: &mut Turn) {
        let care = self.batteries.care.get(ups);
        let failed = care
            .and_then(Care::last_told)
            .filter(|tested| tested.result == TestResult::Failed);
        let condition = match failed {
            Some(tested) => Condition::Holds(tested.because.clone()),
            None => Condition::Gone,
        };
        self.report(now, turn, &failed_id(ups), condition);
    }

    // ---- what people order -------------------------------------------------------------------

    /// What somebody at the machine orders of a battery; `None`: it is an order to the plan.
    pub(super) fn battery_order(
        &mut self,
        now: Now,
        person: &Person,
        wish: &Wish,
        turn: &mut Turn,
    ) -> Option<Result<Label, Label>> {
        let (ups, day) = match wish {
            Wish::TestBattery { ups, .. } => (ups, None),
            Wish::BatteryChanged { ups, day } => (ups, *day),
            _ => return None,
        };
        if !operator::may(&self.site.operators, person) {
            return Some(Err(Label::new(
                format!("{} には操作の権限がありません（[operators]）", person.who),
                format!("{} is not one of the site's [operators]", person.who),
            )));
        }
        if !self.batteries.care.contains_key(ups) {
            let names: Vec<&str> = self.batteries.care.keys().map(String::as_str).collect();
            let names = names.join(", ");
            return Some(Err(Label::new(
                format!("{ups} という UPS はありません（{names}）"),
                format!("{ups} is no UPS of this site; there are: {names}"),
            )));
        }
        Some(match wish {
            Wish::TestBattery { test, .. } => self.test_by_hand(now, person, ups, *test, turn),
            _ => self.battery_changed(now, person, ups, day, turn),
        })
    }

    fn test_by_hand(
        &mut self,
        now: Now,
        person: &Person,
        ups: &str,
        kind: TestKind,
        turn: &mut Turn,
    ) -> Result<Label, Label> {
        let by_site = self.site.self_tests.iter().find(|test| test.device == ups);
        // Without a section of its own it needs what the strictest would.
        let test = by_site.cloned().unwrap_or_else(|| SelfTest {
            device: ups.to_owned(),
            kind,
            every_days: 0,
            days: 0,
            from: 0,
            to: 0,
            redundant: true,
            hottest_celsius: HOTTEST,
        });
        if let Some(why) = self.why_no_test(now, &test) {
            return Err(Label::new(
                format!("いまは試験できません: {}", why.ja),
                format!("it cannot be tested now: {}", why.en),
            ));
        }
        self.start_test(now, &person.who.to_string(), ups, kind, turn)?;
        Ok(Label::new(
            format!("{ups} に試験を命じました。結果は yagura ups history {ups} で確認"),
            format!("{ups} is told to test its battery; yagura ups history {ups} shows the result"),
        ))
    }

    fn battery_changed(
        &mut self,
        now: Now,
        person: &Person,
        ups: &str,
        day: Option<u16>,
        turn: &mut Turn,
    ) -> Result<Label, Label> {
        let today = self.batteries.days.local(now.wall).map(|(day, _)| day);
        let Some(today) = today else {
            return Err(Label::new("時計が合っていません", "the clock is wrong"));
        };
        let day = day.unwrap_or(today);
        if day > today {
            return Err(Label::new(
                "交換日が先の日付です",
                "the day of the change lies ahead",
            ));
        }
        let record = Battery::Changed {
            ups: ups.to_owned(),
            day,
            by: person.who.to_string(),
        };
        self.commit(now, turn, Record::Battery { record });
        self.batteries.flag_gone.retain(|other| other != ups);
        self.evaluate_test_alarm(now, ups, turn);
        self.tell_capacity(ups);
        self.evaluate_power(now, turn);
        self.forecast_days(now, turn);
        let (year, month, date) = crate::forecast::calendar::date(day);
        Ok(Label::new(
            format!("{ups} の電池交換を記録しました（{year}-{month:02}-{date:02}）"),
            format!("the new battery of {ups} is recorded ({year}-{month:02}-{date:02})"),
        ))
    }

    /// The UPS's wish for a new battery, as far as it counts.
    pub(super) fn flag_counts(&mut self, now: Wall, id: &str, flagged: bool, known: bool) -> bool {
        let Some(ups) = id.strip_suffix(".replace_battery") else {
            return flagged;
        };
        if !flagged {
            if known && !self.batteries.flag_gone.iter().any(|gone| gone == ups) {
                self.batteries.flag_gone.push(ups.to_owned());
            }
            return false;
        }
        let care = self.batteries.care.get(ups);
        let is_left_over = care.is_some_and(|care| care.forgives_flag(now))
            && !self.batteries.flag_gone.iter().any(|gone| gone == ups);
        !is_left_over
    }

    // ---- shown -------------------------------------------------------------------------------

    /// What is not looked at every day.
    #[must_use]
    pub fn power_care(&self, now: Now) -> snapshot::PowerCare {
        snapshot::PowerCare {
            batteries: self.battery_rows(now),
            schedules: self.outage.schedule_rows(now),
        }
    }

    /// Every UPS's battery, for whoever asks.
    #[must_use]
    pub fn battery_rows(&self, now: Now) -> Vec<snapshot::BatteryCare> {
        let day_ms = |day: u16| crate::forecast::calendar::begin_ms(day, self.batteries.days.utc_offset_min);
        let rows = self.batteries.care.iter().map(|(ups, care)| {
            let test = self.site.self_tests.iter().find(|test| test.device == *ups);
            let by_site = self.site.batteries.iter().find(|battery| battery.device == *ups);
            let installed = care.installed(by_site.map(|battery| battery.installed));
            let capacity = care.capacity();
            snapshot::BatteryCare {
                ups: ups.clone(),
                installed_ms: installed.map(day_ms),
                capacity_percent: capacity.map(|(share, _)| share * 100.0),
                capacity_of: capacity.map_or(0, |(_, count)| u32::try_from(count).unwrap_or(u32::MAX)),
                test: test.map(|test| test.kind.command().to_owned()),
                next_test_ms: test
                    .and_then(|test| care.next_test(test, &self.batteries.days, now.wall))
                    .map(|at| at.0),
                under_way: care.running.as_ref().map(|running| running.at.wall.0),
                why_not: test.and_then(|test| self.why_no_test(now, test)),
                put_off: care.put_off.as_ref().map(|(_, because)| because.clone()),
                tests: care.tests.iter().rev().map(test_row).collect(),
                discharges: care
                    .discharges
                    .iter()
                    .rev()
                    .map(|discharge| snapshot::BatteryDischarge {
                        ended_ms: discharge.ended.0,
                        took_s: discharge.took.as_secs_f64(),
                        from_percent: discharge.from_percent,
                        to_percent: discharge.to_percent,
                        promised_s: discharge.promised_s,
                        share: discharge.share(),
                    })
                    .collect(),
                changes: care
                    .changes
                    .iter()
                    .rev()
                    .map(|change| snapshot::BatteryChange {
                        day_ms: day_ms(change.day),
                        recorded_ms: change.at.0,
                        by: change.by.clone(),
                    })
                    .collect(),
            }
        });
        rows.collect()
    }
}

fn test_row(tested: &battery::Tested) -> snapshot::BatteryTest {
    snapshot::BatteryTest {
        started_ms: tested.test.at.wall.0,
        ended_ms: tested.ended.0,
        command: tested.test.test.command().to_owned(),
        by: tested.test.by.clone(),
        result: tested.result,
        because: tested.because.clone(),
        took_s: tested.took.as_secs_f64(),
        before: tested.test.before,
        least: tested.least,
    }
}

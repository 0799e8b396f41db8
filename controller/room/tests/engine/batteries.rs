//! Battery tests by the calendar and by hand, told by a UPS that is simulated here.

use crate::bench::{Bench, site};
use room::battery::{Record as Battery, TestKind, TestResult};
use room::command::Done;
use room::device::{Fact, FactValue, Poll, Reading};
use room::event::{Effect, Event};
use room::outage::operator::{Ask, Person, Who, Wish};
use room::record::Record;
use room::site::battery::Battery as Installed;
use room::site::link::{Link, SnmpAccess, SnmpLink};
use room::site::self_test::SelfTest;
use room::site::{Device, DeviceKind, Label, Real, Secret, Site};
use room::time::{Millis, Mono};
use std::collections::BTreeMap;

/// 2026-11-24 (Tuesday, after a holiday) 09:00 in Japan.
const MORNING: i64 = 1_795_478_400_000;

fn room() -> Site<Real> {
    let mut site = site();
    for name in ["ups-a", "ups-b"] {
        site.devices.push(Device {
            name: name.to_owned(),
            label: Label::new(name, name),
            kind: DeviceKind::Ups,
            link: Link::Snmp(SnmpLink {
                addr: "127.0.0.1:161".parse().unwrap(),
                access: SnmpAccess::V2c(Secret("public".to_owned())),
            }),
            profile: None,
            poll: Millis(5_000),
            poll_on_battery: Millis(500),
            timeout: Millis(1_000),
            retries: 1,
            behind: None,
            uplinks: Vec::new(),
            commands: vec!["test.battery.start.quick".parse().unwrap()],
            write: None,
        });
        site.self_tests.push(SelfTest {
            device: name.to_owned(),
            kind: TestKind::Quick,
            every_days: 30,
            days: 0b1_1111,
            from: 600,
            to: 900,
            redundant: true,
            hottest_celsius: 30.0,
        });
    }
    site.batteries.push(Installed {
        device: "ups-a".into(),
        installed: 20_000,
        life_months: 30,
        temperature: None,
    });
    site.access.utc_offset_min = 540;
    site
}

/// The bench with two UPSes that say what they are told to say.
struct Story {
    bench: Bench,
    says: BTreeMap<String, BTreeMap<&'static str, FactValue>>,
}

impl Story {
    fn new() -> Self {
        Self::with(room())
    }

    fn with(site: Site<Real>) -> Self {
        let mut bench = Bench::with(site);
        bench.wall = MORNING;
        let well = BTreeMap::from([
            ("output.source", word("mains")),
            ("input.voltage", FactValue::Number(101.0)),
            ("battery.charge", FactValue::Number(100.0)),
            ("battery.voltage", FactValue::Number(54.0)),
            ("battery.runtime", FactValue::Number(900.0)),
            ("battery.temperature", FactValue::Number(24.0)),
            ("battery.status", word("normal")),
            ("ups.test.result", word("passed")),
        ]);
        let says = ["ups-a", "ups-b"].map(|ups| (ups.to_owned(), well.clone()));
        Self {
            bench,
            says: says.into(),
        }
    }

    fn say(&mut self, ups: &str, fact: &'static str, value: FactValue) {
        self.says.get_mut(ups).unwrap().insert(fact, value);
    }

    fn poll(&mut self) {
        for (ups, says) in self.says.clone() {
            let facts = says.into_iter().map(|(name, value)| Fact {
                name: name.into(),
                label: None,
                value: Ok(value),
                unit: "",
                at: String::new(),
                raw: String::new(),
            });
            let reading = Reading {
                profile: "test".into(),
                sys_object_id: None,
                facts: facts.collect(),
            };
            let at = Mono(self.bench.mono);
            let poll = Poll {
                device: ups,
                asked: at,
                answered: at,
                result: Ok(reading),
            };
            self.bench.event(Event::Poll(poll));
        }
    }

    /// Polls every five seconds.
    fn run(&mut self, secs: u64) {
        for _ in 0..secs / 5 {
            self.poll();
            self.bench.pass(5_000);
        }
    }

    fn batteries(&self) -> Vec<&Battery> {
        let records = self.bench.journal.iter().filter_map(|entry| match &entry.record {
            Record::Battery { record } => Some(record),
            _ => None,
        });
        records.collect()
    }

    /// Orders that the role that tells devices got and has not answered.
    fn ordered(&mut self) -> Vec<(u64, String)> {
        let sent = std::mem::take(&mut self.bench.sent);
        let orders = sent.into_iter().filter_map(|effect| match effect {
            Effect::Operate(operation) => Some((operation.id, operation.device)),
            _ => None,
        });
        orders.collect()
    }

    fn wish(&mut self, wish: Wish) -> Result<Label, Label> {
        let person = Person {
            who: Who {
                name: "root".into(),
                uid: 0,
            },
            groups: Vec::new(),
        };
        let ask = Ask::Wish(wish);
        self.bench.event(Event::Operator { person, ask });
        self.bench.last.said.clone().expect("an answer")
    }

    fn is_raised(&self, alarm: &str) -> bool {
        let alarms = self.bench.engine.snapshot(self.bench.now()).alarms;
        alarms.iter().any(|known| known.id == alarm)
    }

    fn results(&self) -> Vec<(String, TestResult)> {
        let ended = self.batteries().into_iter().filter_map(|record| match record {
            Battery::TestEnded { ups, result, .. } => Some((ups.clone(), *result)),
            _ => None,
        });
        ended.collect()
    }
}

fn word(word: &str) -> FactValue {
    FactValue::State(word.into())
}

fn confirmed() -> Done {
    Done::Confirmed {
        seen: "ups.test.result is running".into(),
    }
}

#[test]
fn a_due_test_begins_in_its_hours_and_its_result_is_read_back() {
    let mut story = Story::new();
    story.run(3_000);
    assert_eq!(story.batteries(), Vec::<&Battery>::new(), "it is not ten yet");
    story.run(660);
    let orders = story.ordered();
    assert_eq!(orders.len(), 2, "no host hangs on both: {orders:?}");
    let id = orders.iter().find(|(_, ups)| ups == "ups-a").unwrap().0;
    story.bench.event(Event::Operated {
        id,
        done: confirmed(),
    });
    story.say("ups-a", "ups.test.result", word("running"));
    story.say("ups-a", "output.source", word("battery"));
    story.say("ups-a", "battery.voltage", FactValue::Number(48.5));
    story.say("ups-a", "battery.charge", FactValue::Number(97.0));
    story.run(10);
    assert!(!story.is_raised("ups-a.on_battery"), "a test is no outage");
    story.say("ups-a", "ups.test.result", word("passed"));
    story.say("ups-a", "output.source", word("mains"));
    story.say("ups-a", "battery.voltage", FactValue::Number(53.9));
    story.run(5);
    let ended = story.batteries().into_iter().find_map(|record| match record {
        Battery::TestEnded {
            ups, result, least, ..
        } if ups == "ups-a" => Some((*result, *least)),
        _ => None,
    });
    let (result, least) = ended.expect("an end");
    assert_eq!(result, TestResult::Passed);
    assert_eq!((least.voltage, least.charge_percent), (Some(48.5), Some(97.0)));
    let row = story.bench.engine.battery_rows(story.bench.now()).remove(0);
    assert_eq!((row.ups.as_str(), row.tests.len()), ("ups-a", 1));
    let days = (row.next_test_ms.unwrap() - story.bench.wall) / 86_400_000;
    assert_eq!(days, 29, "30 days later, at ten");
    story.run(600);
    assert_eq!(story.results().len(), 2, "ups-b never said that it ran");
    assert!(story.results().contains(&("ups-b".into(), TestResult::Unknown)));
}

#[test]
fn a_test_that_is_due_is_put_off_once_a_day_with_its_reason() {
    let mut story = Story::new();
    story.say("ups-a", "battery.charge", FactValue::Number(80.0));
    story.say("ups-b", "battery.temperature", FactValue::Number(38.0));
    story.run(5_400);
    let off: Vec<String> = story
        .batteries()
        .into_iter()
        .map(|record| match record {
            Battery::TestPutOff { ups, because } => format!("{ups}: {}", because.en),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        off,
        [
            "ups-a: its charge is 80 %, it needs 95 %",
            "ups-b: its battery has 38.0 °C, at most 30.0 °C are allowed"
        ]
    );
    story.say("ups-a", "battery.charge", FactValue::Number(99.0));
    story.run(120);
    assert_eq!(
        story.ordered().len(),
        1,
        "it may begin as soon as nothing speaks against it"
    );
}

#[test]
fn a_failed_test_is_an_alarm_until_a_new_battery_is_recorded() {
    let mut story = Story::new();
    story.run(10);
    let test = Wish::TestBattery {
        ups: "ups-a".into(),
        test: TestKind::Quick,
    };
    story.wish(test.clone()).expect("it begins");
    assert!(story.wish(test).unwrap_err().en.contains("under way"));
    story.say("ups-a", "ups.test.result", word("running"));
    story.run(10);
    story.say("ups-a", "ups.test.result", word("failed"));
    story.say("ups-a", "battery.replace", word("yes"));
    story.run(10);
    assert_eq!(story.results(), [("ups-a".into(), TestResult::Failed)]);
    assert!(story.is_raised("ups-a.battery.test_failed"));
    assert!(!story.is_raised("ups-a.replace_battery"), "the flag may flicker");
    story.run(3_600);
    assert!(story.is_raised("ups-a.replace_battery"));
    let changed = Wish::BatteryChanged {
        ups: "ups-a".into(),
        day: None,
    };
    story.wish(changed).expect("recorded");
    for alarm in ["ups-a.battery.test_failed", "ups-a.replace_battery"] {
        let state = |journal: &[room::record::Entry]| {
            journal
                .iter()
                .any(|entry| matches!(&entry.record, Record::AlarmReturned { alarm: id, .. } if id == alarm))
        };
        assert!(state(&story.bench.journal), "{alarm} returned");
    }
    story.run(7_200);
    let raised = story
        .bench
        .journal
        .iter()
        .filter(|entry| matches!(&entry.record, Record::AlarmRaised { alarm, .. } if alarm == "ups-a.replace_battery"))
        .count();
    assert_eq!(raised, 1, "the UPS goes on asking until it is started anew");
}

#[test]
fn a_real_outage_ends_the_test_and_is_a_discharge() {
    let mut story = Story::new();
    story.run(10);
    let test = Wish::TestBattery {
        ups: "ups-a".into(),
        test: TestKind::Quick,
    };
    story.wish(test).expect("it begins");
    story.say("ups-a", "ups.test.result", word("running"));
    story.say("ups-a", "output.source", word("battery"));
    story.run(10);
    assert!(!story.is_raised("ups-a.on_battery"));
    story.say("ups-a", "input.voltage", FactValue::Number(0.0));
    story.run(10);
    assert!(story.is_raised("ups-a.on_battery"));
    assert_eq!(story.results(), [("ups-a".into(), TestResult::Aborted)]);
    story.run(280);
    story.say("ups-a", "battery.charge", FactValue::Number(60.0));
    story.say("ups-a", "input.voltage", FactValue::Number(101.0));
    story.say("ups-a", "output.source", word("mains"));
    story.say("ups-a", "ups.test.result", word("aborted"));
    story.run(30);
    let row = story.bench.engine.battery_rows(story.bench.now()).remove(0);
    let discharge = row.discharges.first().expect("a discharge");
    assert_eq!(
        (discharge.from_percent, discharge.to_percent),
        (Some(100.0), Some(60.0))
    );
    let share = discharge.share.expect("it fell far enough");
    assert!(
        (0.7..0.9).contains(&share),
        "{share}: some 290 s for 40 % of 900 s"
    );
}

#[test]
fn our_own_test_is_no_outage_even_when_the_ups_does_not_say_that_it_tests() {
    let mut story = Story::new();
    story.run(10);
    let test = Wish::TestBattery {
        ups: "ups-a".into(),
        test: TestKind::Quick,
    };
    story.wish(test).expect("it begins");
    story.say("ups-a", "output.source", word("battery"));
    for charge in [99.0, 97.0, 95.0, 93.0] {
        story.say("ups-a", "battery.charge", FactValue::Number(charge));
        story.run(5);
    }
    assert!(
        !story.is_raised("ups-a.on_battery"),
        "source and charge are two signs"
    );
    let kinds = |story: &Story| {
        let power = story.bench.journal.iter();
        power
            .filter(|entry| {
                matches!(
                    &entry.record,
                    Record::Power {
                        record: room::outage::Record::MainsLost { .. }
                    }
                )
            })
            .count()
    };
    assert_eq!(kinds(&story), 0);
}

#[test]
fn a_restart_in_a_test_gives_no_second_order_and_hears_its_end() {
    let mut story = Story::new();
    story.run(10);
    let test = Wish::TestBattery {
        ups: "ups-a".into(),
        test: TestKind::Quick,
    };
    story.wish(test).expect("it begins");
    story.say("ups-a", "ups.test.result", word("running"));
    story.run(5);
    assert_eq!(story.ordered().len(), 1);
    let journal = story.bench.journal.clone();
    let mut bench = Bench::with(room());
    (bench.mono, bench.wall) = (story.bench.mono, story.bench.wall);
    bench.journal.clear();
    bench.engine = room::Engine::new(
        room(),
        BTreeMap::from([(
            crate::bench::NODE,
            shared::wire::DeviceKey::new(crate::bench::KEY),
        )]),
    )
    .unwrap();
    let turn = bench.engine.start(bench.now(), "boot-a", "0.0.0", journal);
    bench.sent.clear();
    bench.keep(turn);
    story.bench = bench;
    story.run(10);
    story.say("ups-a", "ups.test.result", word("passed"));
    story.run(10);
    assert_eq!(story.results(), [("ups-a".into(), TestResult::Passed)]);
    assert_eq!(story.ordered(), Vec::new());
}

#[test]
fn a_clock_that_shows_a_day_long_past_stops_nothing_and_is_said() {
    let text = include_str!("../../../../deploy/example/site.toml");
    let site = room::site::parse::real(text, std::path::Path::new("/etc/yagura")).unwrap();
    let mut bench = Bench::with(site);
    let raised = |bench: &Bench| {
        let alarms = bench.engine.snapshot(bench.now()).alarms;
        alarms.iter().any(|alarm| {
            let stands = alarm.state != room::snapshot::AlarmState::ReturnedUnacknowledged;
            alarm.id == "outage.schedule.nights" && stands
        })
    };
    bench.pass(60_000);
    assert!(raised(&bench), "2023 is before this was written");
    bench.wall = MORNING;
    bench.pass(60_000);
    assert!(!raised(&bench));
}

#[test]
fn an_outage_elsewhere_calls_a_test_off() {
    let mut site = room();
    site.devices[1]
        .commands
        .push("test.battery.stop".parse().unwrap());
    let mut story = Story::with(site);
    story.run(10);
    let test = Wish::TestBattery {
        ups: "ups-b".into(),
        test: TestKind::Quick,
    };
    story.wish(test).expect("it begins");
    let (id, _) = story.ordered().remove(0);
    story.say("ups-b", "ups.test.result", word("running"));
    story.run(5);
    story.bench.event(Event::Operated {
        id,
        done: Done::Accepted,
    });
    story.say("ups-a", "output.source", word("battery"));
    story.say("ups-a", "input.voltage", FactValue::Number(0.0));
    story.run(10);
    assert_eq!(story.results(), [("ups-b".into(), TestResult::Aborted)]);
    let ordered: Vec<String> = story.ordered().into_iter().map(|(_, ups)| ups).collect();
    assert_eq!(ordered, ["ups-b"], "it is told to stop its test");
}

#[test]
fn a_battery_that_twice_gave_half_of_what_was_promised_is_reckoned_with_half() {
    let mut site = room::site::parse::real(
        include_str!("../../../../deploy/example/site.toml"),
        std::path::Path::new("/etc/yagura"),
    )
    .unwrap();
    site.nodes.clear();
    let mut story = Story::with(site);
    let runtime = |story: &Story| story.bench.engine.snapshot(story.bench.now()).power.runtime_s;
    story.run(30);
    let before = runtime(&story).expect("a runtime");
    for _ in 0..2 {
        for ups in ["ups-a", "ups-b"] {
            story.say(ups, "output.source", word("battery"));
            story.say(ups, "input.voltage", FactValue::Number(0.0));
        }
        story.run(90);
        for ups in ["ups-a", "ups-b"] {
            story.say(ups, "battery.charge", FactValue::Number(80.0));
            story.say(ups, "output.source", word("mains"));
            story.say(ups, "input.voltage", FactValue::Number(101.0));
        }
        story.run(300);
        for ups in ["ups-a", "ups-b"] {
            story.say(ups, "battery.charge", FactValue::Number(100.0));
        }
        story.run(60);
    }
    let row = story.bench.engine.battery_rows(story.bench.now());
    let row = row.iter().find(|row| row.ups == "ups-a").unwrap();
    let capacity = row.capacity_percent.expect("two discharges");
    assert!(
        (40.0..65.0).contains(&capacity) && row.capacity_of == 2,
        "{capacity}"
    );
    let after = runtime(&story).expect("a runtime");
    assert!(after < before, "{after} of {before}");
}

//! Golden transcripts of alarms: a timeline in `scenarios/alarms/*.txt`, and below it how every
//! alarm stood from then on. `UPDATE_EXPECT=1` writes them anew; review them as a diff.
//!
//! ```text
//! ups ups-a          device switch-1          host db-1, fed by ups-a          polled every 5 s; three missed polls are silence
//! at 20 mains fails            at 90 mains returns            for every UPS
//! at 20 switch-1 falls silent  at 90 switch-1 answers
//! at 20 db-1 was stopped      by the plan, in an outage that is over
//! at 20 inlet 31.5             the inlet's temperature from now on; its limit is 30
//! at 20 leak wet               door opens     leak dry     door closes
//! at 30 yamada acknowledges leak.1.wet        takes, resets, unshelves, puts back
//! at 30 yamada shelves leak.1.wet 10 because painting
//! at 30 yamada takes out inlet.temperature.high 10 because new sensor
//! at 30 yamada works 10 on node:node-1 device:switch-1 because cabling
//! at 50 yamada ends 1 with all well           or: yamada ends 1
//! at 95 restart                               the controller, on the same machine
//! until 200
//! ----
//! transcript
//! ```

use super::bench::{Bench, site};
use room::device::{Fact, FactValue, Poll, PollFailure, Reading};
use room::event::{Command, Event, Turn};
use room::outage::{self, Order, Verb};
use room::record::Record;
use room::site::link::{Link, SnmpAccess, SnmpLink};
use room::site::{
    Confirm, Device, DeviceKind, ExecAction, Host, Label, OnFailure, OutagePolicy, Real, RealAction, Secret,
    Site, StepTimes,
};
use room::snapshot::MaintenanceState;
use room::time::{Millis, Mono};
use shared::Quantity;
use shared::wire::Up;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Between two polls and two samples, ms.
const EVERY: u64 = 5_000;

#[test]
fn every_story_of_alarms_reads_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/alarms");
    let mut wrong = String::new();
    let mut found = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder of scenarios") {
        let path = entry.unwrap().path();
        found += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let (timeline, expected) = text.split_once("----\n").unwrap_or((&text, ""));
        let got = play(timeline);
        if got == expected {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, format!("{timeline}----\n{got}")).unwrap();
        } else {
            writeln!(wrong, "{}: got\n{got}", path.display()).unwrap();
        }
    }
    assert!(found >= 8, "only {found} scenarios in {}", folder.display());
    assert!(wrong.is_empty(), "UPDATE_EXPECT=1 accepts:\n{wrong}");
}

fn device(name: &str, kind: DeviceKind) -> Device {
    Device {
        name: name.to_owned(),
        label: Label::new(name, name),
        kind,
        link: Link::Snmp(SnmpLink {
            addr: "127.0.0.1:161".parse().unwrap(),
            access: SnmpAccess::V2c(Secret("public".to_owned())),
        }),
        profile: None,
        poll: Millis(EVERY),
        poll_on_battery: Millis(EVERY),
        timeout: Millis(1_000),
        retries: 0,
        behind: None,
        uplinks: Vec::new(),
        commands: Vec::new(),
        write: None,
    }
}

fn host(name: &str) -> Host<Real> {
    Host {
        name: name.to_owned(),
        label: Label::new(name, name),
        feeds: vec!["ups-a".to_owned()],
        need: 1,
        depends_on: Vec::new(),
        action: RealAction::Exec(ExecAction {
            program: "/bin/true".into(),
            args: Vec::new(),
            timeout: Millis(1_000),
        }),
        confirm: Confirm::ActionSucceeded,
        budget: Millis(60_000),
        on_failure: OnFailure::GoOn,
        force: None,
        start: None,
    }
}

struct Story {
    bench: Bench,
    site: Site,
    mains: bool,
    silent: BTreeSet<String>,
    inlet: i32,
    contacts: [bool; 2],
    started: u64,
    drawn: BTreeMap<String, String>,
    out: String,
}

fn play(timeline: &str) -> String {
    let lines: Vec<&str> = timeline
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut site = site();
    for line in &lines {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["ups", name] => site.devices.push(device(name, DeviceKind::Ups)),
            ["device", name] => site.devices.push(device(name, DeviceKind::Switch)),
            ["host", name] => {
                site.devices.push(device(name, DeviceKind::Server));
                site.hosts.push(host(name));
                site.outage = Some(OutagePolicy {
                    on_battery_delay: Millis(10_000),
                    reserve: Millis(30_000),
                    start_at_charge: 20.0,
                    longest_on_battery: Millis(1_800_000),
                    contact_lost_after: Millis(15_000),
                    mains_stable: Millis(30_000),
                    then: room::site::outage::Then::Stop,
                    shed: std::collections::BTreeMap::new(),
                    rules: Vec::new(),
                    step_times: StepTimes::Budget,
                    rehearse_every: None,
                    return_after: None,
                    return_charge: None,
                });
            }
            _ => {}
        }
    }
    let bench = Bench::with(site.clone());
    let mut story = Story {
        started: bench.mono,
        bench,
        site,
        mains: true,
        silent: BTreeSet::new(),
        inlet: 24_000,
        contacts: [false; 2],
        drawn: BTreeMap::new(),
        out: String::new(),
    };
    story.hear();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["at", second, ..] => {
                story.until(second.parse().expect("a second"));
                let second = story.second();
                writeln!(story.out, "{second:>6}  # {}", words[2..].join(" ")).unwrap();
                story.act(&words[2..]);
                story.draw();
            }
            ["until", second] => story.until(second.parse().expect("a second")),
            ["ups" | "device" | "host", _] => {}
            _ => panic!("unknown line: {line}"),
        }
    }
    story.out
}

impl Story {
    fn second(&self) -> u64 {
        (self.bench.mono - self.started) / 1_000
    }

    fn act(&mut self, words: &[&str]) {
        match words {
            ["mains", "fails"] => self.mains = false,
            ["mains", "returns"] => self.mains = true,
            [device, "falls", "silent"] => {
                self.silent.insert((*device).to_owned());
            }
            [device, "answers"] => {
                self.silent.remove(*device);
            }
            [host, "was", "stopped"] => self.stopped(host),
            ["inlet", degrees] => {
                let degrees: f64 = degrees.parse().expect("degrees");
                #[expect(clippy::cast_possible_truncation, reason = "a temperature of a story")]
                {
                    self.inlet = (degrees * 1000.0) as i32;
                }
            }
            ["leak", how] => self.contact(1, *how == "wet"),
            ["door", how] => self.contact(0, *how == "opens"),
            ["restart"] => self.bench.restart(self.site.clone()),
            [by, wish @ ..] => self.wish(by, wish),
            [] => panic!("nothing to do"),
        }
    }

    /// What the journal has of a step that stopped its host.
    fn stopped(&mut self, host: &str) {
        let order = Order {
            plan_hash: self.bench.engine.plan_hash().to_owned(),
            run: 1,
            step: host.to_owned(),
            attempt: 1,
            verb: Verb::Stop,
        };
        let record = Record::Power {
            record: outage::Record::StepConfirmed {
                order,
                took_ms: Millis(1_000),
                late: false,
                already: false,
                off_before: false,
            },
        };
        self.bench.engine.apply(self.bench.now(), &record);
        self.bench.keep(Turn {
            records: vec![record],
            ..Turn::default()
        });
    }

    fn contact(&mut self, channel: u8, open: bool) {
        self.contacts[usize::from(channel)] = open;
        self.bench.node_event(&Up::Contact { channel, open });
    }

    fn wish(&mut self, by: &str, words: &[&str]) {
        let alarm = |alarm: &str| alarm.to_owned();
        let command = match words {
            ["acknowledges", id] => Command::Acknowledge { alarm: alarm(id) },
            ["takes", "out", id, minutes, "because", reason @ ..] => Command::OutOfService {
                alarm: alarm(id),
                minutes: minutes.parse().expect("minutes"),
                reason: reason.join(" "),
            },
            ["takes", id] => Command::Take { alarm: alarm(id) },
            ["resets", id] => Command::Reset { alarm: alarm(id) },
            ["unshelves", id] => Command::Unshelve { alarm: alarm(id) },
            ["puts", "back", id] => Command::InService { alarm: alarm(id) },
            ["shelves", id, minutes, "because", reason @ ..] => Command::Shelve {
                alarm: alarm(id),
                minutes: minutes.parse().expect("minutes"),
                reason: reason.join(" "),
            },
            ["works", minutes, "on", scope @ ..] => {
                let because = scope
                    .iter()
                    .position(|word| *word == "because")
                    .expect("a reason");
                Command::StartMaintenance {
                    minutes: minutes.parse().expect("minutes"),
                    reason: scope[because + 1..].join(" "),
                    work_order: None,
                    scope: scope[..because].iter().map(|word| (*word).to_owned()).collect(),
                }
            }
            ["ends", window, result @ ..] => Command::EndMaintenance {
                window: window.parse().expect("a window"),
                result: result.split_first().map(|(_, words)| words.join(" ")),
            },
            _ => panic!("unknown act: {words:?}"),
        };
        self.bench.event(Event::Command {
            by: by.to_owned(),
            command,
        });
        if let Some(refused) = &self.bench.last.refused {
            let second = self.second();
            writeln!(self.out, "{second:>6}  refused: {refused}").unwrap();
        }
    }

    fn until(&mut self, second: u64) {
        while self.second() < second {
            if self.second().is_multiple_of(EVERY / 1_000) {
                self.hear();
            }
            self.bench.pass(1_000);
            self.draw();
        }
    }

    /// One round of samples and polls.
    fn hear(&mut self) {
        if !self.silent.contains("node-1") {
            for channel in [0, 1] {
                let level = i32::from(self.contacts[usize::from(channel)]) * 1000;
                self.bench.sample(channel, Quantity::Contact, Ok(level));
            }
            self.bench.sample(2, Quantity::Temperature, Ok(self.inlet));
        }
        for device in self.site.devices.clone() {
            let result = if self.silent.contains(&device.name) {
                Err(PollFailure::Timeout)
            } else if device.kind == DeviceKind::Ups {
                Ok(self.ups())
            } else {
                Ok(Reading::default())
            };
            let now = Mono(self.bench.mono);
            self.bench.event(Event::Poll(Poll {
                device: device.name,
                asked: now,
                answered: now,
                result,
            }));
        }
        self.draw();
    }

    fn ups(&self) -> Reading {
        let fact = |name: &str, value, unit| Fact {
            name: name.to_owned(),
            value: Ok(value),
            unit,
            at: String::new(),
            label: None,
            raw: String::new(),
        };
        let (source, volts) = if self.mains {
            ("mains", 101.0)
        } else {
            ("battery", 0.0)
        };
        let state = |word: &str| FactValue::State(word.to_owned());
        Reading {
            profile: "made-up".to_owned(),
            facts: vec![
                fact("output.source", state(source), ""),
                fact("battery.status", state("normal"), ""),
                fact("battery.charge", FactValue::Number(90.0), "%"),
                fact("battery.runtime", FactValue::Number(3600.0), "s"),
                fact("input.voltage", FactValue::Number(volts), "V"),
            ],
            ..Reading::default()
        }
    }

    /// Alarms and windows that are shown otherwise than before.
    fn draw(&mut self) {
        let picture = self.bench.engine.snapshot(self.bench.now());
        let mut shown = BTreeMap::new();
        for alarm in &picture.alarms {
            let mut line = format!("{:?} {:?}", alarm.priority, alarm.state);
            if let Some(cause) = &alarm.cause {
                write!(line, ", folded under {cause}").unwrap();
            }
            if let Some(owner) = &alarm.owner {
                write!(line, ", {owner} has it").unwrap();
            }
            if let Some(by) = &alarm.shelved_by {
                let because = alarm.shelved_because.as_deref().unwrap_or("?");
                write!(line, ", put away by {by}: {because}").unwrap();
            }
            if alarm.folded > 0 {
                write!(line, ", {} folded under it", alarm.folded).unwrap();
            }
            shown.insert(alarm.id.clone(), line);
        }
        for window in &picture.maintenance {
            let line = match window.state {
                MaintenanceState::Open => format!("open, {} folded under it", window.folded),
                MaintenanceState::AwaitsResult => "waits for its result".to_owned(),
                MaintenanceState::Closed => format!("closed: {}", window.result.as_deref().unwrap_or("?")),
            };
            shown.insert(format!("maintenance.{}", window.id), line);
        }
        let second = self.second();
        for (id, line) in &shown {
            if self.drawn.get(id) != Some(line) {
                writeln!(self.out, "{second:>6}  {id}: {line}").unwrap();
            }
        }
        for id in self.drawn.keys().filter(|id| !shown.contains_key(*id)) {
            writeln!(self.out, "{second:>6}  {id}: normal").unwrap();
        }
        self.drawn = shown;
    }
}

//! Golden transcripts of redundancy: a timeline in `scenarios/redundancy/*.txt`, and below it the
//! alarms that came and went. `UPDATE_EXPECT=1` writes them anew; review them as a diff.
//!
//! ```text
//! device switch-1 uplinks=49,50          polled every 10 s, 1 s time-out, no retry
//! device db-1 behind=switch-1
//! pair db db-1 db-2 [serving role=active]      cluster web web-1 web-2 web-3 need=1
//! at 20 db-1 says psu.2.health=critical        a fact, until it is said otherwise
//! at 20 db-1 forgets psu.2.health              a fact that is told no more
//! at 60 switch-1 falls silent                  and everything behind it
//! at 90 switch-1 answers
//! at 95 restart                                the controller, on the same machine
//! until 200
//! ----
//! transcript
//! ```

use super::bench::{Bench, site};
use room::device::{Fact, FactValue, Poll, PollFailure, Reading};
use room::event::Event;
use room::record::Record;
use room::site::groups::{Group, GroupKind, Serving};
use room::site::link::{Link, SnmpAccess, SnmpLink};
use room::site::{Device, DeviceKind, Label, Secret, Site};
use room::time::{Millis, Mono};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Between two polls of a device, ms.
const POLL: u64 = 10_000;

#[test]
fn every_story_of_redundancy_reads_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/redundancy");
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
    assert!(found >= 6, "only {found} scenarios in {}", folder.display());
    assert!(wrong.is_empty(), "UPDATE_EXPECT=1 accepts:\n{wrong}");
}

fn device(name: &str, options: &[&str]) -> Device {
    let option = |key: &str| {
        options
            .iter()
            .find_map(|option| option.strip_prefix(key)?.strip_prefix('='))
    };
    Device {
        name: name.to_owned(),
        label: Label::new(name, name),
        kind: DeviceKind::Server,
        link: Link::Snmp(SnmpLink {
            addr: "127.0.0.1:161".parse().unwrap(),
            access: SnmpAccess::V2c(Secret("public".to_owned())),
        }),
        profile: None,
        poll: Millis(POLL),
        poll_on_battery: Millis(POLL),
        timeout: Millis(1_000),
        retries: 0,
        behind: option("behind").map(str::to_owned),
        uplinks: option("uplinks")
            .map_or_else(Vec::new, |ports| ports.split(',').map(str::to_owned).collect()),
        commands: Vec::new(),
        write: None,
    }
}

fn group(kind: GroupKind, name: &str, words: &[&str]) -> Group {
    let serving = words.iter().position(|word| *word == "serving");
    let need = words
        .iter()
        .find_map(|word| word.strip_prefix("need=")?.parse().ok());
    let members = &words[..serving.unwrap_or(words.len())];
    Group {
        name: name.to_owned(),
        label: Label::new(name, name),
        kind,
        members: members
            .iter()
            .filter(|word| !word.contains('='))
            .map(|word| (*word).to_owned())
            .collect(),
        need: need.unwrap_or(1),
        serving: serving.map(|at| {
            let (fact, word) = words[at + 1].split_once('=').expect("fact=word");
            Serving {
                fact: fact.to_owned(),
                is: vec![word.to_owned()],
            }
        }),
    }
}

struct Story {
    bench: Bench,
    facts: BTreeMap<String, BTreeMap<String, String>>,
    silent: BTreeSet<String>,
    seen: usize,
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
    site.nodes.clear();
    site.limits.clear();
    for line in &lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["device", name, ..] => site.devices.push(device(name, &words[2..])),
            ["pair", name, ..] => site.groups.push(group(GroupKind::Pair, name, &words[2..])),
            ["cluster", name, ..] => site.groups.push(group(GroupKind::Cluster, name, &words[2..])),
            _ => {}
        }
    }
    let mut story = Story {
        bench: Bench::with(site.clone()),
        facts: BTreeMap::new(),
        silent: BTreeSet::new(),
        seen: 0,
        started: 0,
        drawn: BTreeMap::new(),
        out: String::new(),
    };
    story.seen = story.bench.journal.len();
    story.started = story.bench.mono;
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["at", second, ..] => {
                story.until(&site, second.parse().expect("a second"));
                story.note(line);
                story.act(&site, &words[2..]);
            }
            ["until", second] => story.until(&site, second.parse().expect("a second")),
            ["device" | "pair" | "cluster", ..] => {}
            _ => panic!("unknown line: {line}"),
        }
    }
    story.out
}

impl Story {
    fn second(&self) -> u64 {
        (self.bench.mono - self.started) / 1_000
    }

    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().skip(2).collect();
        let second = self.second();
        writeln!(self.out, "{second:>6}  # {}", words.join(" ")).unwrap();
    }

    fn act(&mut self, site: &Site, words: &[&str]) {
        match words {
            [device, "says", facts @ ..] => {
                let said = self.facts.entry((*device).to_owned()).or_default();
                for fact in facts {
                    let (name, word) = fact.split_once('=').expect("fact=word");
                    said.insert(name.to_owned(), word.to_owned());
                }
            }
            [device, "forgets", fact] => {
                self.facts.entry((*device).to_owned()).or_default().remove(*fact);
            }
            [device, "falls", "silent"] => {
                self.silent.insert((*device).to_owned());
            }
            [device, "answers"] => {
                self.silent.remove(*device);
            }
            ["restart"] => {
                let mut bench = Bench::with(site.clone());
                (bench.mono, bench.wall) = (self.bench.mono, self.bench.wall);
                let journal = std::mem::take(&mut self.bench.journal);
                let turn = bench
                    .engine
                    .start(bench.now(), "boot-a", "0.0.0", journal.iter().cloned());
                bench.journal = journal;
                bench.keep(turn);
                self.bench = bench;
                self.show();
            }
            _ => panic!("unknown act: {words:?}"),
        }
    }

    /// Polls every device every ten seconds, the switch no sooner than what is behind it.
    fn until(&mut self, site: &Site, second: u64) {
        while self.second() < second {
            if self.second().is_multiple_of(POLL / 1_000) {
                for device in site.devices.iter().rev() {
                    self.poll(site, device);
                }
            }
            self.bench.pass(1_000);
            self.show();
        }
    }

    fn poll(&mut self, site: &Site, device: &Device) {
        let mut way = Some(device);
        let mut reached = true;
        while let Some(at) = way {
            reached &= !self.silent.contains(&at.name);
            let next = at.behind.as_ref();
            way = next.and_then(|name| site.devices.iter().find(|other| other.name == *name));
        }
        let fact = |(name, word): (&String, &String)| Fact {
            name: name.clone(),
            value: Ok(FactValue::State(word.clone())),
            unit: "",
            at: String::new(),
            label: None,
            raw: word.clone(),
        };
        let said = self.facts.entry(device.name.clone()).or_default();
        let result = if reached {
            Ok(Reading {
                profile: "made-up".to_owned(),
                facts: said.iter().map(fact).collect(),
                ..Reading::default()
            })
        } else {
            Err(PollFailure::Timeout)
        };
        let now = Mono(self.bench.mono);
        self.bench.event(Event::Poll(Poll {
            device: device.name.clone(),
            asked: now,
            answered: now,
            result,
        }));
        self.show();
    }

    /// The alarms of the journal that have not been told yet.
    fn show(&mut self) {
        let second = self.second();
        for entry in &self.bench.journal[self.seen..] {
            match &entry.record {
                Record::AlarmRaised {
                    alarm,
                    priority,
                    because,
                    ..
                } => writeln!(self.out, "{second:>6}  {priority:?} {alarm}: {}", because.en).unwrap(),
                Record::AlarmReturned { alarm, .. } => {
                    writeln!(self.out, "{second:>6}  over {alarm}").unwrap();
                }
                _ => {}
            }
        }
        self.seen = self.bench.journal.len();
        self.draw();
    }

    /// What changed in the picture: groups, and devices that are reached through others.
    fn draw(&mut self) {
        let picture = self.bench.engine.snapshot(self.bench.now());
        let groups = picture.groups.iter().map(|group| {
            let members = group.members.iter();
            let members: Vec<String> = members
                .map(|member| format!("{} {}", member.name, member.state))
                .collect();
            let (service, redundancy) = (&group.service, &group.redundancy);
            let line = format!(
                "service {service}, redundancy {redundancy}: {}",
                members.join(", ")
            );
            (format!("group {}", group.name), line)
        });
        let devices = picture.devices.iter().filter(|device| device.behind.is_some());
        let devices = devices.map(|device| (device.name.clone(), device.state.clone()));
        let second = self.second();
        for (name, line) in groups.chain(devices) {
            if self.drawn.get(&name) != Some(&line) {
                writeln!(self.out, "{second:>6}  [{name}] {line}").unwrap();
                self.drawn.insert(name, line);
            }
        }
    }
}

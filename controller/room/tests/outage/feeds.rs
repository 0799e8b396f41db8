//! The graph of the feeds against a model that knows nothing of it: at every second, is there a way
//! from a UPS that still gives power to so many supplies as the host needs?

use room::device::{Fact, FactValue, Poll, PollFailure, Reading};
use room::power::feeds::{Life, Supply, life};
use room::power::graph::{Graph, Said, Wired};
use room::site::{DeviceKind, Label};
use room::time::{Millis, Mono};
use std::collections::{BTreeMap, BTreeSet};

const FRESH: Millis = Millis(15_000);

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn wired(name: &str, kind: DeviceKind, fed_by: &[String]) -> Wired {
    Wired {
        name: name.into(),
        label: Label::new(name, name),
        kind,
        fed_by: fed_by.to_vec(),
        fresh_for: FRESH,
    }
}

fn poll(device: &str, at: u64, facts: &[(String, &str)]) -> Poll {
    let facts = facts.iter().map(|(name, word)| Fact {
        name: name.clone(),
        value: Ok(FactValue::State((*word).into())),
        unit: "",
        at: String::new(),
        label: None,
        raw: String::new(),
    });
    Poll {
        device: device.into(),
        asked: Mono(at),
        answered: Mono(at),
        result: Ok(Reading {
            profile: "test".into(),
            sys_object_id: None,
            facts: facts.collect(),
        }),
    }
}

/// A room as the model sees it: names and words, no indexes.
#[derive(Debug, Default)]
struct Model {
    upses: BTreeMap<String, Supply>,
    fed_by: BTreeMap<String, Vec<String>>,
    /// Outlets that are off and inputs (`ats-1:0`) that are lost.
    cut: BTreeSet<String>,
}

impl Model {
    fn carries(&self, plug: &str, secs: f64) -> bool {
        if self.cut.contains(plug) {
            return false;
        }
        let device = plug.split('/').next().expect("a split has at least one part");
        match self.upses.get(device) {
            Some(Supply::Steady) => true,
            Some(Supply::Draining(left)) => *left > secs,
            Some(_) => false,
            None => self.fed_by[device].iter().enumerate().any(|(which, feed)| {
                !self.cut.contains(&format!("{device}:{which}")) && self.carries(feed, secs)
            }),
        }
    }

    fn live(&self, plugs: &[String], secs: f64) -> usize {
        plugs.iter().filter(|plug| self.carries(plug, secs)).count()
    }

    /// What the answer must be.
    fn life(&self, plugs: &[String], need: usize) -> Life {
        let first = self.live(plugs, 0.0);
        let enough = need.min(first);
        let ends = (1..=100).find(|secs| self.live(plugs, f64::from(*secs)) < enough);
        match ends {
            Some(secs) => Life::Until(f64::from(secs)),
            None if first >= need => Life::Safe,
            None => Life::Unknown,
        }
    }
}

#[test]
fn every_host_lives_as_long_as_a_way_to_a_ups_is_left() {
    let mut kinds = [0_u32; 3];
    for seed in 1..=20_000_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (mut model, mut devices, mut names) = (Model::default(), Vec::new(), Vec::new());
        let mut upses = Vec::new();
        for at in 0..=dice.below(3) {
            let name = format!("ups-{at}");
            let supply = match dice.below(6) {
                0 | 1 => Supply::Steady,
                2 => Supply::Gone,
                _ => Supply::Draining(dice.below(99) as f64 + 1.0),
            };
            upses.push(supply);
            model.upses.insert(name.clone(), supply);
            devices.push(wired(&name, DeviceKind::Ups, &[]));
            names.push(name);
        }
        for at in 0..dice.below(4) {
            let is_ats = dice.below(2) == 0;
            let name = format!("box-{at}");
            let count = if is_ats { 1 + dice.below(2) } else { 1 };
            let fed_by: Vec<String> = (0..count)
                .map(|_| {
                    let feed = &names[dice.below(names.len() as u64) as usize];
                    if dice.below(3) == 0 {
                        format!("{feed}/{}", dice.below(3))
                    } else {
                        feed.clone()
                    }
                })
                .collect();
            let kind = if is_ats { DeviceKind::Ats } else { DeviceKind::Pdu };
            devices.push(wired(&name, kind, &fed_by));
            model.fed_by.insert(name.clone(), fed_by);
            names.push(name);
        }
        let mut plugs: Vec<String> = Vec::new();
        for _ in 0..=dice.below(4) {
            let device = &names[dice.below(names.len() as u64) as usize];
            let plug = if dice.below(2) == 0 {
                device.clone()
            } else {
                format!("{device}/{}", dice.below(3))
            };
            if !plugs.contains(&plug) {
                plugs.push(plug);
            }
        }
        let need = 1 + dice.below(plugs.len() as u64) as usize;
        let kinds_of: BTreeMap<String, DeviceKind> = devices
            .iter()
            .map(|device| (device.name.clone(), device.kind))
            .collect();
        let mut graph = Graph::new(devices);
        let points: Vec<usize> = plugs.iter().map(|plug| graph.point(plug).unwrap()).collect();
        let mut said = Said::default();
        for name in &names {
            let mut facts = Vec::new();
            for outlet in 0..3 {
                let off = dice.below(5) == 0;
                facts.push((format!("outlet.{outlet}.status"), if off { "off" } else { "on" }));
                if off {
                    model.cut.insert(format!("{name}/{outlet}"));
                }
            }
            let inputs = match kinds_of[name] {
                DeviceKind::Ats => &["input.a.status", "input.b.status"][..],
                DeviceKind::Pdu => &["input.status"][..],
                _ => &[][..],
            };
            for (which, input) in inputs.iter().enumerate() {
                let lost = dice.below(5) == 0;
                facts.push(((*input).to_owned(), if lost { "bad" } else { "good" }));
                if lost {
                    model.cut.insert(format!("{name}:{which}"));
                }
            }
            said.hear(&graph, &poll(name, 1_000, &facts));
        }
        let supplies = graph.supplies(&upses, &said, &BTreeSet::new(), Mono(2_000));
        let own: Vec<Supply> = points.iter().map(|point| supplies[*point]).collect();
        let (got, expected) = (life(&own, need), model.life(&plugs, need));
        assert_eq!(got, expected, "seed {seed}: {plugs:?} need {need} in {model:#?}");
        kinds[match got {
            Life::Safe => 0,
            Life::Until(_) => 1,
            Life::Unknown => 2,
        }] += 1;
    }
    assert!(kinds.iter().all(|count| *count > 1_000), "{kinds:?}");
}

#[test]
fn the_silence_of_a_pdu_takes_no_feed_away_and_gives_none_back() {
    let pdu = wired("pdu-1", DeviceKind::Pdu, &["ups-a".to_owned()]);
    let mut graph = Graph::new(vec![wired("ups-a", DeviceKind::Ups, &[]), pdu]);
    let (on, off) = (graph.point("pdu-1/1").unwrap(), graph.point("pdu-1/2").unwrap());
    let mut said = Said::default();
    let gives = |said: &Said, point: usize, at: u64| {
        graph.supplies(&[Supply::Steady], said, &BTreeSet::new(), Mono(at))[point]
    };
    assert_eq!(gives(&said, off, 1_000), Supply::Steady, "never heard");
    let facts = [
        ("outlet.1.status".to_owned(), "on"),
        ("outlet.2.status".to_owned(), "off"),
    ];
    said.hear(&graph, &poll("pdu-1", 1_000, &facts));
    assert_eq!(
        (gives(&said, on, 2_000), gives(&said, off, 2_000)),
        (Supply::Steady, Supply::Gone)
    );
    let mut silent = poll("pdu-1", 3_000, &[]);
    silent.result = Err(PollFailure::Timeout);
    said.hear(&graph, &silent);
    assert_eq!(
        (gives(&said, on, 90_000), gives(&said, off, 90_000)),
        (Supply::Steady, Supply::Doubtful)
    );
    // A word that tells nothing is no word either.
    said.hear(
        &graph,
        &poll("pdu-1", 91_000, &[("outlet.2.status".to_owned(), "unknown")]),
    );
    assert_eq!(gives(&said, off, 92_000), Supply::Doubtful);
    said.hear(
        &graph,
        &poll("pdu-1", 93_000, &[("outlet.2.status".to_owned(), "on")]),
    );
    assert_eq!(gives(&said, off, 94_000), Supply::Steady);
}

#[test]
fn two_hosts_on_one_pdu_have_one_ups() {
    let pdu = wired("pdu-1", DeviceKind::Pdu, &["ups-a".to_owned()]);
    let ups = |name| wired(name, DeviceKind::Ups, &[]);
    let ats = wired(
        "ats-1",
        DeviceKind::Ats,
        &["pdu-1/9".to_owned(), "ups-b".to_owned()],
    );
    let mut graph = Graph::new(vec![ups("ups-a"), ups("ups-b"), pdu, ats]);
    let (one, two) = (graph.point("pdu-1/1").unwrap(), graph.point("pdu-1/2").unwrap());
    assert_eq!(graph.upses(one), graph.upses(two));
    assert_eq!(graph.upses(one).into_iter().collect::<Vec<_>>(), [0]);
    let over = graph.point("ats-1").unwrap();
    assert_eq!(graph.upses(over).into_iter().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(graph.standby_for(1).into_iter().collect::<Vec<_>>(), [0]);
    let supplies = [Supply::Draining(30.0), Supply::Draining(90.0)];
    let all = graph.supplies(&supplies, &Said::default(), &BTreeSet::new(), Mono(1));
    assert_eq!(
        (all[over], graph.carrier(over, &all)),
        (Supply::Draining(90.0), Some(1))
    );
}

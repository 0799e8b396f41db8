//! A random room: its UPSes and what stands between them and the hosts, the hosts and how they take
//! an order to stop, and the site's policy.

use super::{Dice, after};
use crate::world::{Curve, Manner, Room, host, policy, site_with};
use room::site::feeds::Branch;
use room::site::outage::{About, Rule, Seen, Sign, Then};
use room::site::{Confirm, DeviceKind, Host, OnFailure, OutagePolicy, Real, Site, StepTimes};
use room::time::Millis;

/// Outlets that hosts are plugged into.
const OUTLETS: u64 = 4;

pub(super) fn room(dice: &mut Dice, later: &mut Dice) -> Room {
    let names: Vec<String> = (0..dice.between(1, 3)).map(|ups| format!("ups-{ups}")).collect();
    let upses: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut site = site_with(&upses, random_policy(dice));
    for device in &mut site.devices {
        device.poll_on_battery = Millis(dice.between(1, 4) * 1_000);
    }
    if dice.chance(45) {
        add_branches(&mut site, &names, dice);
    }
    let count = dice.between(1, 5);
    for index in 0..count {
        let host = random_host(&mut site, index, count, dice);
        site.hosts.push(host);
    }
    if dice.chance(25) {
        let rule = random_rule(&site, dice);
        let policy = site.outage.as_mut().expect("a policy");
        policy.rules.push(rule);
    }
    after::arrange(&mut site, later);
    let batteries: Vec<f64> = names.iter().map(|_| dice.between(80, 500) as f64).collect();
    let mut room = Room::new(site, &batteries);
    for index in 0..room.hosts.len() {
        let budget = room.site.hosts[index].budget.0;
        room.hosts[index].manner = match dice.between(0, 19) {
            0 => Manner::Hangs,
            1 => Manner::Stays,
            2 => Manner::Refuses,
            3 => Manner::OtherKey,
            4 => Manner::Fails(dice.between(1, 2) as u32),
            5..=12 => Manner::Stops(dice.between(budget * 3 / 4, budget * 9 / 10)),
            _ => Manner::Stops(dice.between(300, budget / 2)),
        };
        if dice.chance(15) {
            room.hosts[index].forced = Manner::Refuses;
        }
    }
    for ups in &mut room.ups {
        if dice.chance(30) {
            ups.curve = Curve {
                bend: dice.between(6, 25) as f64 / 10.0,
                tells: dice.between(6, 10) as f64 / 10.0,
                cliff: if dice.chance(50) { 0.02 } else { 0.0 },
            };
        }
    }
    room
}

/// PDUs, and now and then an ATS in front of one.
fn add_branches(site: &mut Site<Real>, upses: &[String], dice: &mut Dice) {
    let any = |dice: &mut Dice| upses[dice.between(0, upses.len() as u64 - 1) as usize].clone();
    for index in 0..dice.between(1, 3) {
        let (one, other) = (any(dice), any(dice));
        let mut feed = one.clone();
        if one != other && dice.chance(50) {
            feed = format!("ats-{index}");
            add_branch(site, DeviceKind::Ats, &feed, vec![one, other]);
        }
        if !feed.starts_with("ats") || dice.chance(50) {
            let name = format!("pdu-{index}");
            add_branch(site, DeviceKind::Pdu, &name, vec![feed]);
        }
    }
}

fn add_branch(site: &mut Site<Real>, kind: DeviceKind, name: &str, fed_by: Vec<String>) {
    let mut device = site.devices[0].clone();
    (device.kind, device.name) = (kind, name.into());
    site.devices.push(device);
    let device = name.into();
    site.branches.push(Branch { device, fed_by });
}

fn random_host(site: &mut Site<Real>, index: u64, count: u64, dice: &mut Dice) -> Host<Real> {
    let mut feeds: Vec<String> = Vec::new();
    for device in &site.devices {
        if dice.chance(if site.branches.is_empty() { 60 } else { 40 }) {
            let outlet = dice.between(1, OUTLETS);
            match device.kind {
                DeviceKind::Pdu => feeds.push(format!("{}/{outlet}", device.name)),
                _ => feeds.push(device.name.clone()),
            }
        }
    }
    if feeds.is_empty() {
        feeds.push(site.devices[0].name.clone());
    }
    let uses: Vec<String> = (index + 1..count)
        .filter(|_| dice.chance(30))
        .map(|other| format!("h{other}"))
        .collect();
    let mut host = host(&format!("h{index}"), &[], &[]);
    (host.feeds, host.depends_on) = (feeds, uses);
    host.need = dice.between(1, host.feeds.len() as u64) as usize;
    host.budget = Millis(dice.between(6, 20) * 1_000);
    if dice.chance(20) {
        host.confirm = Confirm::ActionSucceeded;
    }
    if dice.chance(15) {
        host.on_failure = OnFailure::Hold;
    }
    if dice.chance(12) {
        host.on_failure = OnFailure::Force;
        host.force = Some(host.action.clone());
    }
    if dice.chance(10) {
        let policy = site.outage.as_mut().expect("a policy");
        let after = Millis(dice.between(20, 200) * 1_000);
        policy.shed.insert(host.name.clone(), after);
    }
    host
}

fn random_policy(dice: &mut Dice) -> OutagePolicy {
    OutagePolicy {
        on_battery_delay: Millis(dice.between(0, 15) * 1_000),
        reserve: Millis(dice.between(20, 40) * 1_000),
        start_at_charge: dice.between(0, 10) as f64,
        longest_on_battery: Millis(dice.between(60, 3_000) * 1_000),
        contact_lost_after: Millis(dice.between(6, 20) * 1_000),
        mains_stable: Millis(dice.between(10, 40) * 1_000),
        then: match dice.between(0, 19) {
            0 => Then::Alarm,
            1 => Then::Shed,
            _ => Then::Stop,
        },
        step_times: if dice.chance(20) {
            StepTimes::Learnt
        } else {
            StepTimes::Budget
        },
        ..policy()
    }
}

/// Heat at two nodes and the air conditioning, or water at two spots.
fn random_rule(site: &Site<Real>, dice: &mut Dice) -> Rule {
    let is_heat = dice.chance(50);
    let spots = if is_heat {
        ["hot-1", "hot-2", "cooler"]
    } else {
        ["rope-1", "rope-2", "rope-3"]
    };
    let sign = |name: &str| {
        let point = name.to_owned();
        let seen = if name.starts_with("hot") {
            Seen::Beyond {
                point,
                above: true,
                limit: 40.0,
            }
        } else {
            Seen::Contact { point }
        };
        Sign {
            name: name.into(),
            seen,
            // The first two hang on one node every other time: then they are one source.
            sources: [format!("node-of-{name}")].into(),
        }
    };
    let mut signs: Vec<Sign> = spots.into_iter().map(sign).collect();
    if dice.chance(30) {
        signs[1].sources = signs[0].sources.clone();
    }
    let hosts = site.hosts.iter().map(|host| host.name.clone());
    Rule {
        name: "room".into(),
        about: if is_heat { About::Overheating } else { About::Leak },
        signs,
        hold: Millis(dice.between(10, 60) * 1_000),
        then: match dice.between(0, 5) {
            0 => Then::Alarm,
            1 => Then::Shed,
            _ => Then::Stop,
        },
        hosts: hosts.filter(|_| dice.chance(40)).collect(),
    }
}

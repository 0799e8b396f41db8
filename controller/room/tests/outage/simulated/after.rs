//! What comes after an outage, and what people do in one: hosts that are started again and how they
//! take it, UPSes that cut their load once after mains is back, mains that fails again meanwhile,
//! orders of operators, deaths at one record after the other, a UPS that says "mains" all the time.
//!
//! It has dice of its own, so that the rooms and outages of old seeds stay what they were.

use super::Dice;
use super::fate::{Fate, Happens, Span, outage};
use crate::world::{Life, Room, Wakes, start};
use room::outage::Input;
use room::outage::operator::{Ask, Person, Who, Wish};
use room::site::outage::Operators;
use room::site::{Real, Site};
use room::time::Millis;

/// From the last event of the return to the end: longer than any chain of starts that is not given up.
const RETURN_TAKES: u64 = 260_000;
/// From the end of the longest pause to the end of the simulation.
const RUN_TAKES: u64 = 200_000;

/// Act needs a moment to ask and to see, in milliseconds.
const STARTS_WITHIN: u64 = 3_000;

/// What a person orders. Hosts are named by their place.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Order {
    /// All when none is named.
    Run(Vec<usize>),
    Abort,
    Pause(u64),
    Resume,
    Skip(usize),
    /// The second person agrees with what waits.
    Confirm,
    Drill(usize, bool),
    Hold,
    Release,
    /// Somebody starts every host that stands still, and says so.
    Started,
}

/// Which hosts can be started, when, and who may order what.
pub(super) fn arrange(site: &mut Site<Real>, dice: &mut Dice) {
    site.operators = Operators {
        group: Some("duty".into()),
        two_person: dice.chance(30),
        ..Operators::default()
    };
    if !dice.chance(60) {
        return;
    }
    for host in &mut site.hosts {
        if dice.chance(85) {
            host.start = Some(start(&host.name, Millis(dice.between(5, 20) * 1_000)));
        }
    }
    let policy = site.outage.as_mut().expect("a policy");
    if dice.chance(50) {
        policy.return_after = Some(Millis(dice.between(5, 60) * 1_000));
    }
    if dice.chance(15) {
        policy.return_charge = Some(dice.between(30, 90) as f64);
    }
}

/// What happens because of it.
pub(super) fn befall(fate: &mut Fate, span: Span, dice: &mut Dice) {
    let returns = fate.room.site.hosts.iter().any(|host| host.start.is_some());
    if returns {
        the_return(fate, span, dice);
    }
    if dice.chance(30) {
        people(fate, span, dice);
    }
    if dice.chance(30) {
        let more = (0..dice.between(1, 6)).map(|_| dice.between(1, 8) as usize);
        fate.room.crash_again = more.collect();
        fate.room.crash_at.get_or_insert(dice.between(2, 20) as usize);
    }
    if dice.chance(8) {
        says_mains(fate, dice);
    }
    if dice.chance(10) {
        let host = dice.between(0, fate.room.hosts.len() as u64 - 1) as usize;
        fate.at(dice.between(2_000, span.begins), Happens::OffByHand(host));
    }
}

/// It says "mains" while it discharges; what else it says is true.
fn says_mains(fate: &mut Fate, dice: &mut Dice) {
    let ups = dice.between(0, fate.room.ups.len() as u64 - 1) as usize;
    let ups = &mut fate.room.ups[ups];
    if ups.says.is_empty() {
        ups.says.insert("output.source".into(), "mains".into());
        fate.honest = false;
    }
}

fn the_return(fate: &mut Fate, span: Span, dice: &mut Dice) {
    for host in 0..fate.room.hosts.len() {
        let budget = fate.room.site.hosts[host].start.as_ref();
        let budget = budget.map_or(10_000, |start| start.budget.0);
        let host = &mut fate.room.hosts[host];
        host.wakes = match dice.between(0, 19) {
            0..=9 => Wakes::After(dice.between(500, budget * 9 / 10)),
            10 | 11 => Wakes::After(dice.between(budget, budget * 3 / 2)),
            12 => Wakes::After(dice.between(budget * 2, budget * 4)),
            13 | 14 => Wakes::Sleeps(dice.between(1, 2) as u32),
            15 => Wakes::Sleeps(u32::MAX),
            16 => Wakes::Fails(dice.between(1, 3) as u32),
            17 => Wakes::OtherKey,
            18 => Wakes::Hangs,
            _ => Wakes::NeverUp,
        };
        if matches!(host.wakes, Wakes::After(millis) if millis + STARTS_WITHIN < budget * 2) {
            fate.quick.insert(host.id.clone());
        }
        if dice.chance(25) {
            host.by_itself = Some(dice.between(1, 30) * 1_000);
        }
    }
    let mut last = span.ends;
    if fate.mains_fail && dice.chance(35) {
        // Mains fails again while hosts come back, or just before.
        let begins = last + dice.between(20, 120) * 1_000;
        let all = fate.room.ups.len();
        let lasts = dice.between(5, 200) * 1_000;
        last = outage(&mut fate.events, 0..all, begins, lasts, dice);
        fate.only_outage = None;
    }
    for ups in 0..fate.room.ups.len() {
        if dice.chance(15) {
            let at = span.ends + dice.between(1, 90) * 1_000;
            let until = at + dice.between(5, 30) * 1_000;
            fate.at(at, Happens::Cut(ups, true));
            fate.at(until, Happens::Cut(ups, false));
            fate.raced.insert(ups);
            last = last.max(until);
        }
    }
    if dice.chance(80) {
        last += dice.between(20, 90) * 1_000;
        fate.at(last, Happens::Recharged);
        fate.recharged = true;
    }
    fate.end = fate.end.max(last + RETURN_TAKES);
}

fn people(fate: &mut Fate, span: Span, dice: &mut Dice) {
    let hosts = fate.room.hosts.len() as u64;
    let any = |dice: &mut Dice| dice.between(0, hosts - 1) as usize;
    let two = fate.room.site.operators.two_person;
    for _ in 0..dice.between(1, 2) {
        let mut at = match dice.chance(40) {
            true => dice.between(3_000, span.begins),
            false => dice.between(span.begins, span.ends + 60_000),
        };
        let first = match dice.between(0, 9) {
            0..=3 => Order::Run((0..dice.between(0, 2)).map(|_| any(dice)).collect()),
            4 | 5 => Order::Drill(any(dice), dice.chance(50)),
            6 => Order::Hold,
            _ => Order::Pause(dice.between(5, 120) * 1_000),
        };
        let mut orders = vec![first];
        for _ in 0..dice.between(0, 4) {
            orders.push(match dice.between(0, 11) {
                0 | 1 => Order::Abort,
                2 => Order::Pause(dice.between(5, 120) * 1_000),
                3 => Order::Pause(dice.between(5, 700) * 1_000),
                4 | 5 => Order::Resume,
                6 | 7 => Order::Skip(any(dice)),
                8 => Order::Hold,
                9 => Order::Release,
                10 => Order::Started,
                _ => Order::Run(Vec::new()),
            });
        }
        for order in orders {
            if let Order::Pause(length) = order {
                fate.end = fate.end.max(at + length + RUN_TAKES);
            }
            fate.ordered |= matches!(order, Order::Run(_) | Order::Drill(..));
            fate.at(at, Happens::Orders(order));
            if two && dice.chance(80) {
                let agrees = at + dice.between(200, 150_000);
                fate.at(agrees, Happens::Orders(Order::Confirm));
                fate.end = fate.end.max(agrees + RUN_TAKES);
            }
            at += dice.between(100, 40_000);
        }
        fate.end = fate.end.max(at + RUN_TAKES);
    }
    if dice.chance(60) {
        let last = fate.events.iter().map(|(at, _)| *at).max().unwrap_or(span.ends);
        let at = last.max(span.ends) + dice.between(1_000, 60_000);
        fate.at(at, Happens::Orders(Order::Release));
        fate.end = fate.end.max(at + RETURN_TAKES);
    }
}

pub(super) fn switch_off(room: &mut Room, host: usize) {
    let host = &mut room.hosts[host];
    if host.life == Life::Up && host.effects.is_empty() {
        host.life = Life::Down;
        host.ended = Some(room.now);
        host.off_by_hand = true;
    }
}

pub(super) fn order(room: &mut Room, order: Order) {
    let id = |host: usize| room.hosts[host].id.clone();
    let reason = "smoke in the room".to_owned();
    let wish = match order {
        Order::Run(hosts) => Wish::Run {
            hosts: hosts.into_iter().map(id).collect(),
            reason,
            plan_hash: room.engine.plan().hash()[..8].to_owned(),
        },
        Order::Abort => Wish::Abort { reason },
        Order::Pause(length) => Wish::Pause {
            length: Millis(length),
            reason,
        },
        Order::Resume => Wish::Resume,
        Order::Skip(host) => Wish::Skip {
            host: id(host),
            reason,
        },
        Order::Confirm => {
            let waits = room.overseer.asked();
            return waits.map_or((), |id| room.order(person("Suzuki", 1001), Ask::Confirm { id }));
        }
        Order::Drill(host, with_dependants) => {
            let (host, by) = (id(host), "Sato".into());
            return room.tell(Input::Drill {
                host,
                with_dependants,
                by,
            });
        }
        Order::Hold => {
            let by = "Sato".into();
            return room.tell(Input::HoldReturn { by, reason });
        }
        Order::Release => return room.tell(Input::ReleaseReturn { by: "Sato".into() }),
        Order::Started => return start_by_hand(room),
    };
    room.order(person("Sato", 1000), Ask::Wish(wish));
}

fn person(name: &str, uid: u32) -> Person {
    let who = Who {
        name: name.into(),
        uid,
    };
    Person {
        who,
        groups: vec!["duty".into()],
    }
}

/// Somebody goes from host to host, and says so when they run.
fn start_by_hand(room: &mut Room) {
    if room.is_down() {
        return;
    }
    let mut hosts = Vec::new();
    for host in 0..room.hosts.len() {
        let powered = room.has_power(host);
        let host = &mut room.hosts[host];
        if powered && !host.off_by_hand && !matches!(host.life, Life::Up | Life::Going { .. }) {
            host.life = Life::Up;
            host.ended = None;
            host.boots += 1;
            hosts.push(host.id.clone());
        }
    }
    if !hosts.is_empty() {
        let by = "Sato".into();
        room.tell(Input::HostsStarted { hosts, by });
    }
}

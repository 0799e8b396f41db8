//! What must hold, whatever happens. While the room lives ([`crate::checker`]):
//!
//! * a host is asked to stop only after everything that depends on it has stopped or was given up;
//! * a run starts only when a UPS was heard without mains, or two signs of a rule hold;
//! * nothing is ordered that is not in the journal, and the journal makes the same memory again;
//! * the engine does not wake itself for nothing.
//!
//! And when the story is over:
//!
//! 1. no host is stopped twice by effect;
//! 2. nothing is stopped while mains never failed, on a single sign, or on lost sensors;
//! 3. when the plan fits, no host loses its power while it runs, unless it would not stop;
//! 4. one run at a time;
//! 5. a short outage on a rich battery stops nobody, even when a poll is a glitch;
//! 6. in one outage every host is dealt with once;
//! 7. when mains is back for good nothing is left under way, and every host that was stopped and
//!    does not run is on the list of hosts to start, and in an alarm;
//! 8. every one of them that can be started and whose turn has come runs again ([`super::returned`]).
//!
//! A UPS that falls silent while it stands on mains hurries nobody. It is no supply either that a
//! host may be left to: when the other battery of that host comes to its end meanwhile, the host is
//! stopped at the latest safe moment. An orderly stop that was not needed is brought back within
//! minutes, and a host that fell may not come back at all. So a short outage is "ridden through" only
//! where the batteries would be rich without the UPSes that are silent ([`Hopes::doubt`]).
//!
//! It reckons from the site and from the truth of the room, not by what the engine decides with.

use super::fate::Fate;
use crate::world::{Life, Manner, SimHost, behind};
use room::outage::{Demand, Record};
use room::site::outage::Then;
use room::site::{Host, OnFailure, OutagePolicy, Real, Site};
use room::time::Millis;
use std::collections::BTreeSet;

/// Detection (5 s), restarts and absences of `act` that a plan must absorb beyond its reserve.
const FIT_SLACK: f64 = 14.0;

/// What can be hoped for, as long as nothing worse happens.
pub(super) struct Hopes {
    /// The plan fits, for each host.
    fits: Vec<bool>,
    /// The batteries last several times longer than the outage.
    rich: bool,
}

impl Hopes {
    pub(super) fn new(fate: &Fate) -> Self {
        Self {
            fits: vec![true; fate.room.hosts.len()],
            rich: true,
        }
    }

    /// Something got worse this moment.
    pub(super) fn reckon(&mut self, fate: &Fate) {
        let needs = needs(&fate.room.site);
        for (fits, life) in self.fits.iter_mut().zip(fate.room.true_lives()) {
            *fits &= life > needs + FIT_SLACK;
        }
    }

    /// Less is known from this moment on, or something got worse.
    pub(super) fn doubt(&mut self, fate: &Fate) {
        let wanted = 3.0 * (fate.only_outage.unwrap_or(f64::INFINITY) + needs(&fate.room.site));
        self.rich &= fate.room.known_lives().iter().all(|life| *life > wanted);
    }
}

pub(super) fn policy(fate: &Fate) -> &OutagePolicy {
    fate.room.site.outage.as_ref().expect("a policy")
}

pub(super) fn secs(span: Millis) -> f64 {
    span.0 as f64 / 1000.0
}

/// Seconds that the plan needs, from the loss of mains to its end.
pub(super) fn needs(site: &Site<Real>) -> f64 {
    let policy = site.outage.as_ref().expect("a policy");
    let chains = site.hosts.iter().map(|host| chain(site, host));
    secs(policy.on_battery_delay) + chains.fold(0.0, f64::max) + secs(policy.reserve)
}

/// Longest time until a host is stopped, with everything that uses it.
fn chain(site: &Site<Real>, host: &Host<Real>) -> f64 {
    let users = site
        .hosts
        .iter()
        .filter(|other| other.depends_on.contains(&host.name));
    let before = users.map(|user| chain(site, user)).fold(0.0, f64::max);
    let times = if host.on_failure == OnFailure::Force {
        2.0
    } else {
        1.0
    };
    before + times * secs(host.budget)
}

/// A host and everything that uses it, however far.
fn with_users(site: &Site<Real>, id: &str) -> BTreeSet<String> {
    let users = site
        .hosts
        .iter()
        .filter(|other| other.depends_on.iter().any(|used| used == id));
    let mut all: BTreeSet<String> = users.flat_map(|user| with_users(site, &user.name)).collect();
    all.insert(id.to_owned());
    all
}

pub(super) fn kept(fate: &Fate, hopes: &Hopes) -> Result<(), String> {
    if let Some(broken) = fate.room.broken.first() {
        return Err(broken.clone());
    }
    nobody_is_stopped_twice(fate)?;
    nothing_without_cause(fate)?;
    nobody_falls_when_the_plan_fits(fate, &hopes.fits)?;
    one_run_at_a_time(fate)?;
    short_outages_are_ridden_through(fate, hopes.rich)?;
    everyone_is_dealt_with_once(fate)?;
    nothing_is_left_over(fate)?;
    super::returned::everyone_is_back(fate)
}

fn nobody_is_stopped_twice(fate: &Fate) -> Result<(), String> {
    // A person may ask once more, and says so.
    let again = fate.room.count(|record| {
        let demand = match record {
            Record::RunStarted { demand, .. } | Record::RunExtended { demand, .. } => demand,
            _ => return false,
        };
        matches!(demand, Demand::Operator { .. })
    });
    let mut hosts = fate.room.hosts.iter();
    let twice = hosts.find(|host| host.effects.len() > 1 + host.starts.len() + host.boots + again);
    match twice {
        Some(host) => Err(format!("{} was stopped twice: {:?}", host.id, host.effects)),
        None => Ok(()),
    }
}

fn nothing_without_cause(fate: &Fate) -> Result<(), String> {
    let room = &fate.room;
    let is_ours = |demand: &Demand| !matches!(demand, Demand::Operator { .. });
    let runs = room.count(|record| matches!(record, Record::RunStarted { demand, .. } if is_ours(demand)));
    let stopped = !fate.ordered && room.hosts.iter().any(|host| !host.effects.is_empty());
    if !fate.mains_fail && !fate.endangered && (runs > 0 || stopped) {
        return Err("a run without an outage".into());
    }
    Ok(())
}

/// The policy lets power stop this host.
fn may_stop(fate: &Fate, host: &SimHost) -> bool {
    match policy(fate).then {
        Then::Stop => true,
        Then::Shed => policy(fate).shed.contains_key(&host.id),
        Then::Alarm => false,
    }
}

fn nobody_falls_when_the_plan_fits(fate: &Fate, fits: &[bool]) -> Result<(), String> {
    let room = &fate.room;
    if fate.reboots || fate.blind {
        return Ok(());
    }
    let on_failure = |id: &String| {
        let mut hosts = room.site.hosts.iter();
        let host = hosts.find(|host| host.name == *id).expect("a host");
        host.on_failure
    };
    let stops = |id: &String| {
        let host = room.hosts.iter().find(|host| host.id == *id).expect("a host");
        let is_forced = on_failure(id) == OnFailure::Force && matches!(host.forced, Manner::Stops(_));
        is_forced || matches!(host.manner, Manner::Stops(_))
    };
    let holds = |id: &String| on_failure(id) != OnFailure::GoOn;
    // A gauge that stands still shows only how long one outage lasted; what an outage before it took
    // out of the battery nobody can know.
    let skipped = |id: &String| {
        room.count(|record| matches!(record, Record::StepSkipped { step, .. } if step == id)) > 0
    };
    let outages = room.count(|record| matches!(record, Record::OutageOver));
    for (host, fits) in room.hosts.iter().zip(fits) {
        // A feed that is switched off under it is no outage.
        let passes = host.plugs.iter().flat_map(|plug| behind(&room.site, plug));
        if passes.into_iter().any(|device| fate.cut.contains(&device)) {
            continue;
        }
        if outages > 1 && host.feeds.iter().any(|ups| fate.stuck.contains(ups)) {
            continue;
        }
        // A UPS that cuts its load is no outage either, and what came up by itself meanwhile nobody
        // was told of. What a person had left out of the plan is that person's choice.
        let raced = host.feeds.iter().any(|ups| fate.raced.contains(ups));
        if raced || host.unseen || skipped(&host.id) {
            continue;
        }
        // What waits for a host that will not stop may be held; that is the policy's choice.
        let before = with_users(&room.site, &host.id);
        let given_up = |id: &String| {
            room.count(|record| matches!(record, Record::StepAbandoned { order, .. } if order.step == *id))
                > 0
        };
        let held = before.iter().any(|id| (!stops(id) || given_up(id)) && holds(id));
        if host.life == Life::Fell && *fits && stops(&host.id) && may_stop(fate, host) && !held {
            return Err(format!("{} lost its power although the plan fitted", host.id));
        }
    }
    Ok(())
}

fn one_run_at_a_time(fate: &Fate) -> Result<(), String> {
    let mut open = None;
    for (_, record) in &fate.room.journal {
        match record {
            Record::RunStarted { run, .. } | Record::DrillStarted { run, .. } => match open.replace(*run) {
                Some(other) => return Err(format!("run {run} began while run {other} was open")),
                None => continue,
            },
            Record::RunEnded { run, .. } if open == Some(*run) => open = None,
            _ => {}
        }
    }
    Ok(())
}

fn short_outages_are_ridden_through(fate: &Fate, rich: bool) -> Result<(), String> {
    let longest = secs(policy(fate).longest_on_battery);
    let short = fate.only_outage.is_some_and(|secs| secs + 10.0 < longest);
    let sheds = !policy(fate).shed.is_empty();
    let is_by_power = |record: &Record| {
        matches!(
            record,
            Record::RunStarted {
                demand: Demand::Power,
                ..
            }
        )
    };
    let started = fate.room.count(is_by_power);
    let troubled = fate.blind || fate.reboots || !fate.cut.is_empty() || sheds;
    if short && rich && fate.honest && !troubled && started > 0 {
        return Err("a short outage on a rich battery was not ridden through".into());
    }
    Ok(())
}

fn everyone_is_dealt_with_once(fate: &Fate) -> Result<(), String> {
    let mut dealt: Vec<&String> = Vec::new();
    let mut outage = false;
    for (_, record) in &fate.room.journal {
        match record {
            Record::OutageOver => outage = false,
            Record::MainsLost { .. } if !outage => {
                outage = true;
                dealt.clear();
            }
            Record::StepAbandoned { order, .. }
            | Record::StepConfirmed {
                order, late: false, ..
            } => {
                dealt.push(&order.step);
            }
            Record::HostStartConfirmed { order, .. } => dealt.retain(|step| **step != order.step),
            Record::HostsStarted { hosts, .. } => dealt.retain(|step| !hosts.contains(step)),
            // Heat and water demand again what power could not stop.
            Record::RunStarted { scope, demand, .. } | Record::RunExtended { scope, demand, .. } => {
                let again = scope.iter().find(|step| dealt.contains(step));
                if let Some(again) = again.filter(|_| *demand == Demand::Power) {
                    return Err(format!("{again} was dealt with twice in one outage"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn nothing_is_left_over(fate: &Fate) -> Result<(), String> {
    let room = &fate.room;
    let power = room.engine.view(room.clock());
    if power.outage_s.is_some() {
        return Err("mains is back for good, but the outage is not over".into());
    }
    if power.run.is_some_and(|run| run.state == "running") {
        return Err("a run is still open".into());
    }
    if power.steps.iter().any(|step| step.state == "started") {
        return Err("a step is still under way".into());
    }
    let stopped = room.engine.stopped_hosts();
    let conditions = room.engine.conditions(room.clock());
    let alarms = conditions.iter().filter(|condition| {
        condition.active && ["outage.hosts_stopped", "outage.return"].contains(&condition.id.as_str())
    });
    let named: Vec<&str> = alarms
        .flat_map(|condition| condition.because.en.split([' ', ',', ';', ':', '(']))
        .collect();
    let known = |host: &SimHost| stopped.contains(&host.id) && named.contains(&host.id.as_str());
    let mut down = room
        .hosts
        .iter()
        .filter(|host| matches!(host.life, Life::Down | Life::Booting { .. }) && !host.off_by_hand);
    match down.find(|host| !known(host)) {
        Some(host) => Err(format!(
            "{} was stopped and is on no list, or no alarm names it: {named:?}",
            host.id
        )),
        None => Ok(()),
    }
}

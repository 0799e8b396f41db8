//! What if a UPS, a PDU, an outlet or the mains were lost this moment: who keeps running, who lives
//! on which battery and for how long, who dies at once, and what the plan would do about it.
//!
//! It asks the same graph, the same model of the batteries and the same policy that an outage is
//! decided by, from what is known now. It changes nothing, and whatever is not known stays
//! unknown: a host is never said to live on a UPS that does not answer.

use super::judge::{Supplies, life};
use super::{HostConf, Outage};
use crate::power::feeds::{Life, Supply};
use crate::power::graph::MAINS;
use crate::site::Label;
use crate::time::Mono;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Things that can be lost in one question.
pub const MAX_LOST: usize = 16;

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhatIf {
    /// What is taken as lost.
    pub lost: Vec<String>,
    /// Every host of the plan, in the order of the plan.
    pub hosts: Vec<Fate>,
    /// What the plan would do; `null` when no host would live on a battery that the plan minds.
    pub plan: Option<PlanFate>,
}

/// What would become of one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fate {
    /// Its name.
    pub host: String,
    /// Shown name.
    pub label: Label,
    /// What becomes of it.
    pub fate: FateWord,
    /// Feeds that would still supply.
    pub feeds_left: usize,
    /// Feeds it has.
    pub feeds: usize,
    /// Feeds it needs.
    pub need: usize,
    /// Seconds it would live, when that is on a battery.
    pub lives_s: Option<f64>,
    /// The UPS whose end would be its own.
    pub battery: Option<String>,
    /// Seconds until its stopping would begin, what depends on it included.
    pub stops_in_s: Option<f64>,
    /// Seconds until it would be stopped at the latest, by the budgets of the plan.
    pub stopped_in_s: Option<f64>,
}

/// What becomes of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FateWord {
    /// Enough feeds stand on mains.
    Runs,
    /// It lives until a battery ends.
    Battery,
    /// Too few feeds supply from this moment on.
    Dies,
    /// Nobody knows: what feeds it does not answer.
    Unknown,
}

/// What the plan would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanFate {
    /// Seconds until its first step.
    pub starts_in_s: f64,
    /// Seconds until its last step has ended, every step as long as planned.
    pub ends_in_s: f64,
    /// Every host that lives on a battery would be stopped before that battery ends.
    pub fits: bool,
    /// Hosts that would not.
    pub too_late: Vec<String>,
    /// Hosts that it would stop, those that depend on them included.
    pub stops: Vec<String>,
}

/// Names in a question that are nothing that can be lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be lost; name a UPS, a PDU, an ATS, an outlet that feeds a host, or mains", .names.join(", "))]
pub struct CannotBeLost {
    /// The names.
    pub names: Vec<String>,
}

impl Outage {
    /// What would be if all of `lost` were lost at `now`.
    ///
    /// # Errors
    /// [`CannotBeLost`] with every name that leads nowhere.
    pub fn what_if(&self, lost: &[String], now: Mono) -> Result<WhatIf, CannotBeLost> {
        let unknown = lost
            .iter()
            .filter(|name| *name != MAINS && self.config.graph.find(name).is_none());
        let names: Vec<String> = unknown.cloned().collect();
        if !names.is_empty() || lost.len() > MAX_LOST {
            return Err(CannotBeLost { names });
        }
        let present = self.supplies(now);
        let supplies = self.supplies_without(lost, now);
        let stops = self.stops_in(now);
        let hosts = &self.config.hosts;
        let mut fates: Vec<Fate> = hosts
            .iter()
            .map(|host| self.fate(host, &present, &supplies))
            .collect();
        let due: Vec<Option<f64>> = hosts
            .iter()
            .zip(&fates)
            .map(|(host, fate)| {
                let on_battery = fate.fate == FateWord::Battery && self.power_may_stop(host);
                on_battery
                    .then(|| self.due_in(host, &supplies, &stops, now))
                    .flatten()
            })
            .collect();
        let plan = self.plan_fate(&due, &stops, &mut fates);
        Ok(WhatIf {
            lost: lost.to_vec(),
            hosts: fates,
            plan,
        })
    }

    /// What every point would give.
    fn supplies_without(&self, lost: &[String], now: Mono) -> Supplies {
        let graph = &self.config.graph;
        let (mut own, mut ends);
        if lost.iter().any(|name| name == MAINS) {
            own = self.own_supplies_without_mains(now);
            ends = self.ends_without_mains(&own);
        } else {
            own = self.own_supplies(now);
            ends = own.clone();
        }
        let points: BTreeSet<usize> = lost.iter().filter_map(|name| graph.find(name)).collect();
        for point in &points {
            // Whatever this point carried moves to the others at once, and they do not show it yet.
            for ups in graph.upses(*point) {
                ends[ups] = Supply::Doubtful;
            }
            if let Some(supply) = own.get_mut(*point) {
                *supply = Supply::Gone;
            }
        }
        self.spread(&own, &ends, &points, now)
    }

    fn fate(&self, host: &HostConf, present: &Supplies, supplies: &Supplies) -> Fate {
        let counted = supplies.of(host);
        let count = |all: &[Supply], wanted: fn(Supply) -> bool| {
            host.points.iter().filter(|point| wanted(all[**point])).count()
        };
        let gives = |supply| matches!(supply, Supply::Steady | Supply::Draining(_));
        let left = count(supplies, gives);
        let doubtful = count(supplies, |supply| supply == Supply::Doubtful);
        // A host that runs on fewer feeds than it is said to need goes on doing so.
        let now_left = count(present.of(host), gives);
        let need = if now_left == 0 {
            host.need
        } else {
            host.need.min(now_left)
        };
        let mut ends: Vec<(f64, usize)> = host
            .points
            .iter()
            .filter_map(|point| match counted[*point] {
                Supply::Steady => Some((f64::INFINITY, *point)),
                Supply::Draining(secs) => Some((secs, *point)),
                Supply::Doubtful | Supply::Gone => None,
            })
            .collect();
        ends.sort_by(|a, b| b.0.total_cmp(&a.0));
        let last = need.checked_sub(1).and_then(|at| ends.get(at)).copied();
        let (fate, lives_s, battery) = match last {
            Some((secs, _)) if secs.is_infinite() => (FateWord::Runs, None, None),
            Some((secs, point)) => {
                let ups = self.config.graph.carrier(point, counted);
                let name = ups.map(|ups| self.config.ups[ups].name.clone());
                (FateWord::Battery, Some(secs), name)
            }
            None if left + doubtful >= need => (FateWord::Unknown, None, None),
            None => (FateWord::Dies, None, None),
        };
        Fate {
            host: host.id.clone(),
            label: host.label.clone(),
            fate,
            feeds_left: left,
            feeds: host.points.len(),
            need: host.need,
            lives_s,
            battery,
            stops_in_s: None,
            stopped_in_s: None,
        }
    }

    /// Seconds until the policy would have this host stopped. Unlike the urgency of this moment it
    /// looks ahead to the charge at which the plan starts.
    fn due_in(&self, host: &HostConf, supplies: &Supplies, stops: &[f64], now: Mono) -> Option<f64> {
        let urgency = self.urgency(host, supplies, stops, now)?.starts_in;
        let policy = self.config.policy.as_ref()?;
        let Life::Until(life) = life(host, supplies) else {
            return None;
        };
        let charge = self
            .weakest_charge(host, supplies, now)
            .filter(|charge| *charge > 0.0);
        let until_limit = charge.map_or(f64::INFINITY, |charge| {
            life * (1.0 - policy.start_at_charge / charge).max(0.0)
        });
        let delay = self.delay_left(host, supplies, now);
        Some(urgency.min(until_limit.max(delay)).max(0.0))
    }

    /// When every step would begin and end: a host that is due takes with it what depends on it.
    fn plan_fate(&self, due: &[Option<f64>], stops: &[f64], fates: &mut [Fate]) -> Option<PlanFate> {
        let hosts = &self.config.hosts;
        let starts_in_s = due.iter().copied().flatten().min_by(f64::total_cmp)?;
        let mut ends_in_s: f64 = 0.0;
        let mut begins: Vec<Option<f64>> = vec![None; hosts.len()];
        for (host, due) in hosts.iter().zip(due) {
            let Some(due) = *due else { continue };
            let scope = self.config.plan.with_dependants([host.id.clone()]);
            for (at, other) in hosts.iter().enumerate() {
                if scope.contains(&other.id) && begins[at].is_none_or(|begins| due < begins) {
                    begins[at] = Some(due);
                }
            }
        }
        let (mut stopped, mut too_late) = (Vec::new(), Vec::new());
        for ((fate, begins), stop) in fates.iter_mut().zip(begins).zip(stops) {
            let Some(begins) = begins else { continue };
            let end = begins + stop;
            ends_in_s = ends_in_s.max(end);
            fate.stops_in_s = Some(begins);
            fate.stopped_in_s = Some(end);
            if fate.lives_s.is_some_and(|lives| end > lives) {
                too_late.push(fate.host.clone());
            }
            stopped.push(fate.host.clone());
        }
        Some(PlanFate {
            starts_in_s,
            ends_in_s,
            fits: too_late.is_empty(),
            too_late,
            stops: stopped,
        })
    }
}

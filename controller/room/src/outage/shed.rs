//! What a run still has to do, and the hosts that are stopped early so that the others last longer.
//!
//! A host is due when its power does not last longer than stopping it takes. What was stopped
//! already, shed hosts above all, need no time any more, so shedding helps twice: the battery lasts
//! longer, and the plan that must fit into it is shorter.

use super::run::StepState;
use super::{HostConf, Outage};
use crate::plan::PlanStep;
use crate::time::{Millis, Mono};
use std::collections::BTreeMap;

impl Outage {
    /// Seconds from now until each host would be stopped if a run for it began now, everything
    /// included that must stop before it, in the order of the plan.
    pub(super) fn stops_in(&self, now: Mono) -> Vec<f64> {
        if self.book.active_run().is_none() && self.book.tried.is_empty() {
            let hosts = self.config.hosts.iter();
            return hosts.map(|host| host.slot.end().as_secs_f64()).collect();
        }
        let mut ends: BTreeMap<&str, Millis> = BTreeMap::new();
        let steps = self.config.plan.steps().iter();
        let all = steps.map(|step| {
            let before = step.after.iter().filter_map(|id| ends.get(id.as_str()));
            let start = before.copied().max().unwrap_or_default();
            let end = Millis(start.0.saturating_add(self.left(step, now).0));
            ends.insert(&step.id, end);
            end.as_secs_f64()
        });
        all.collect()
    }

    /// What is left of one step.
    fn left(&self, step: &PlanStep, now: Mono) -> Millis {
        if let Some(until) = self.book.leaving.get(&step.id) {
            return until.since(now);
        }
        let state = self.book.active_run().and_then(|run| run.steps.get(&step.id));
        match state {
            Some(StepState::Confirmed { .. } | StepState::Abandoned { .. }) => Millis(0),
            Some(StepState::InFlight(flight)) => flight.since.after(step.planned()).since(now),
            Some(StepState::Waiting | StepState::Cancelled { .. }) => step.planned(),
            None if self.book.tried.contains_key(&step.id) => Millis(0),
            None => step.planned(),
        }
    }

    /// Seconds until this host is shed; `None` for one that never is.
    pub(super) fn shed_in(&self, host: &HostConf, on_battery: f64) -> Option<f64> {
        Some(host.shed_after?.as_secs_f64() - on_battery)
    }
}

//! What a run still has to do, and the hosts that are stopped early so that the others last longer.
//!
//! A host is due when its power does not last longer than stopping it takes. What was stopped
//! already, shed hosts above all, need no time any more, so shedding helps twice: the battery lasts
//! longer, and the plan that must fit into it is shorter.

use super::run::StepState;
use super::{HostConf, Outage, Verb};
use crate::plan::{PlanStep, schedule};
use crate::time::{Millis, Mono};

impl Outage {
    /// Seconds from now until each host would be stopped if a run for it began now, everything
    /// included that must stop before it, in the order of the plan.
    pub(super) fn stops_in(&self, now: Mono) -> Vec<f64> {
        if self.book.active_run().is_none() && self.book.tried.is_empty() {
            let hosts = self.config.hosts.iter();
            return hosts.map(|host| host.slot.end().as_secs_f64()).collect();
        }
        let slots = schedule(&self.config.plan, |step| {
            (
                self.left(step, now, self.length(step)),
                self.left(step, now, step.planned()),
            )
        });
        slots.into_iter().map(|slot| slot.end().as_secs_f64()).collect()
    }

    /// What is left of one step that takes so long in all.
    fn left(&self, step: &PlanStep, now: Mono, takes: Millis) -> Millis {
        if let Some(until) = self.book.leaving.get(&step.id) {
            return until.since(now);
        }
        let state = self.book.active_run().and_then(|run| run.steps.get(&step.id));
        match state {
            Some(StepState::Confirmed { .. } | StepState::Abandoned { .. } | StepState::Skipped { .. }) => {
                Millis(0)
            }
            Some(StepState::InFlight(flight)) => {
                let takes = if flight.verb == Verb::Force {
                    step.budget
                } else {
                    takes
                };
                // A pause takes nothing off what a server that has not accepted still needs.
                let pause = self.book.pause.filter(|_| !flight.requested);
                let now = pause.map_or(now, |pause| pause.since.max(flight.since));
                flight.since.after(takes).since(now)
            }
            Some(StepState::Waiting | StepState::Cancelled { .. }) => takes,
            None if self.book.tried.contains_key(&step.id) => Millis(0),
            None => takes,
        }
    }

    /// Seconds until this host is shed; `None` for one that never is.
    pub(super) fn shed_in(&self, host: &HostConf, on_battery: f64) -> Option<f64> {
        Some(host.shed_after?.as_secs_f64() - on_battery)
    }
}

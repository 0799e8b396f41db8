//! A run of a plan: what became of each step.
//!
//! A run in reality and a rehearsal are different types. Only [`Run<Reality>`] can make a
//! [`RealOrder`], and nothing turns one kind of run into the other, so a rehearsal cannot stop a
//! server whatever is configured.
//!
//! ```text
//!            order       target accepted        confirm condition holds
//!  Waiting -------> InFlight ------> InFlight{requested} ------> Confirmed
//!     |                |  budget spent, or no try left  |            ^
//!     | mains back     +--------------------------------+--> Abandoned (a late confirmation)
//!     +--------------> Cancelled <-- called back before it was requested
//!
//!  on_failure = "force":  InFlight(stop) --budget spent--> InFlight(force) --again--> Abandoned
//!  an operator:           Waiting or InFlight --> Skipped
//! ```

use super::record::{Demand, Order, Verb};
use super::{LONGEST_RETRY, RETRY_AFTER};
use crate::plan::Plan;
use crate::site::{Label, OnFailure};
use crate::time::{Millis, Mono, Wall};
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// Real servers are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reality {}

/// Nothing is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rehearsal {}

/// Hosts are started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {}

/// An order that changes the world. Only a [`Run<Reality>`] and a [`Run<Return>`] make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealOrder {
    order: Order,
    accepted: bool,
    waits: bool,
}

impl RealOrder {
    /// One of the orders that end a plan; see [`super::finish`].
    pub(super) const fn last(order: Order) -> Self {
        Self {
            order,
            accepted: false,
            waits: true,
        }
    }

    /// It leaves only once its record is on disk, whatever the disk does.
    #[must_use]
    pub const fn waits_for_the_disk(&self) -> bool {
        self.waits
    }

    /// The order.
    #[must_use]
    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// True when the target accepted an earlier try: by now its silence is what was asked for.
    #[must_use]
    pub const fn accepted(&self) -> bool {
        self.accepted
    }

    /// The order, to be sent.
    #[must_use]
    pub fn into_order(self) -> Order {
        self.order
    }
}

/// A run or a rehearsal.
#[derive(Debug, Clone, PartialEq)]
pub struct Run<Kind> {
    /// Number; runs and rehearsals count together.
    pub id: u64,
    /// The plan, frozen.
    pub plan: Plan,
    /// Why it started.
    pub because: Label,
    /// What demands it, first to last.
    pub demands: Vec<Demand>,
    /// When it started.
    pub since: Mono,
    /// When it started, for the screen.
    pub since_wall: Wall,
    /// Who asked for it; empty when nobody did.
    pub by: String,
    /// The host that a drill is about.
    pub drill: Option<String>,
    /// Steps that it plans with less than their budget.
    pub planned: BTreeMap<String, Millis>,
    /// What became of each step of its scope.
    pub steps: BTreeMap<String, StepState>,
    /// Why it goes no further.
    pub abandoned: Option<Label>,
    /// Nothing is under way any more.
    pub ended: bool,
    kind: PhantomData<Kind>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// An order is out, or the next try is waited for.
    InFlight(InFlight),
    /// The host is stopped (rehearsal: could be stopped).
    Confirmed {
        /// Since the first order.
        took: Millis,
    },
    /// Given up.
    Abandoned {
        /// Since the first order.
        since: Mono,
        /// Whether it had passed its point of no return.
        requested: bool,
        /// Why.
        because: Label,
        /// What the last try said.
        problem: Option<String>,
    },
    /// A person had it left as it is; nothing waits for it.
    Skipped {
        /// When the first order went out, if one had.
        since: Option<Mono>,
        /// Why.
        because: Label,
    },
    /// Not carried out.
    Cancelled {
        /// When the first order went out, if one had.
        since: Option<Mono>,
        /// Why.
        because: Label,
    },
}

/// A step under way.
#[derive(Debug, Clone, PartialEq)]
pub struct InFlight {
    /// First order; the budget counts from here.
    pub since: Mono,
    /// What is done to the host: asked to stop, or made to.
    pub verb: Verb,
    /// It may be stopping since before it was forced.
    pub was_asked: bool,
    /// Last try.
    pub attempt: u32,
    /// Past the point of no return.
    pub requested: bool,
    /// An earlier order was lost without an answer.
    pub unanswered: bool,
    /// Tries that failed.
    pub failures: u32,
    /// When the last try failed; `None` while an order is out.
    pub failed_at: Option<Mono>,
    /// What the last failed try said.
    pub problem: Option<String>,
}

impl InFlight {
    /// When the next try is due, after one has failed.
    #[must_use]
    pub fn again_at(&self) -> Option<Mono> {
        let doubled = RETRY_AFTER
            .0
            .saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        Some(self.failed_at?.after(Millis(doubled).min(LONGEST_RETRY)))
    }

    /// The target may be stopping: it accepted the request, or nobody has said that it did not.
    #[must_use]
    pub const fn may_have_arrived(&self) -> bool {
        self.was_asked || self.requested || self.unanswered || self.failed_at.is_none()
    }
}

impl<Kind> Run<Kind> {
    pub(super) fn new(id: u64, plan: Plan, because: Label, at: crate::time::Now, scope: &[String]) -> Self {
        let known = scope.iter().filter(|step| plan.step(step).is_some());
        let steps = known.map(|step| (step.clone(), StepState::Waiting)).collect();
        Self {
            id,
            plan,
            because,
            demands: Vec::new(),
            since: at.mono,
            since_wall: at.wall,
            by: String::new(),
            drill: None,
            planned: BTreeMap::new(),
            steps,
            abandoned: None,
            ended: false,
            kind: PhantomData,
        }
    }

    /// Steps in the order of the plan.
    pub fn in_order(&self) -> impl Iterator<Item = (&crate::plan::PlanStep, &StepState)> {
        let steps = self.plan.steps().iter();
        steps.filter_map(|step| Some((step, self.steps.get(&step.id)?)))
    }

    /// Mains coming back ends it: nothing else wants these hosts stopped.
    #[must_use]
    pub fn stands_on_power(&self) -> bool {
        // A drill is no answer to an outage: that mains is there is no reason to pause it.
        self.drill.is_none() && self.demands.iter().all(Demand::is_power)
    }

    /// The calendar wants it, and nothing else does.
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        let by_calendar = |demand: &Demand| matches!(demand, Demand::Schedule { .. });
        self.drill.is_none() && !self.demands.is_empty() && self.demands.iter().all(by_calendar)
    }

    /// A person or a rule wants it.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        let ordered = |demand: &Demand| matches!(demand, Demand::Operator { .. } | Demand::Rule { .. });
        self.drill.is_some() || self.demands.iter().any(ordered)
    }

    /// A step is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.steps
            .values()
            .any(|state| matches!(state, StepState::InFlight(_)))
    }

    fn order_for(&self, step: &str) -> Order {
        match self.steps.get(step) {
            Some(StepState::InFlight(flight)) => {
                self.order(step, flight.verb, flight.attempt.saturating_add(1))
            }
            _ => self.order(step, Verb::Stop, 1),
        }
    }

    pub(super) fn order(&self, step: &str, verb: Verb, attempt: u32) -> Order {
        Order {
            plan_hash: self.plan.hash().into(),
            run: self.id,
            step: step.into(),
            attempt,
            verb,
        }
    }

    /// Ids of the steps in one kind of state.
    pub(super) fn ids(&self, wanted: impl Fn(&StepState) -> bool) -> Vec<String> {
        let found = self.in_order().filter(|(_, state)| wanted(state));
        found.map(|(step, _)| step.id.clone()).collect()
    }
}

impl Run<Reality> {
    /// The next try of a step, for real.
    pub(super) fn execute(&self, step: &str) -> RealOrder {
        let state = self.steps.get(step);
        RealOrder {
            order: self.order_for(step),
            accepted: matches!(state, Some(StepState::InFlight(flight)) if flight.requested),
            waits: false,
        }
    }

    /// The first try to make the host of this step stop.
    pub(super) fn force(&self, step: &str) -> RealOrder {
        RealOrder {
            order: self.order(step, Verb::Force, 1),
            accepted: false,
            waits: false,
        }
    }

    /// A step waits and everything before it has ended, so that it may start.
    #[must_use]
    pub fn is_free(&self, id: &str) -> bool {
        let waiting = matches!(self.steps.get(id), Some(StepState::Waiting));
        let before = self.plan.step(id).map_or(&[][..], |step| &step.after);
        waiting && before.iter().all(|step| self.lets_go(step))
    }

    /// Has this step ended in a way that lets what comes after it go on? A step outside of the
    /// run does: it was dealt with before, or its host has power.
    fn lets_go(&self, id: &str) -> bool {
        match self.steps.get(id) {
            None | Some(StepState::Confirmed { .. } | StepState::Skipped { .. }) => true,
            Some(StepState::Abandoned { .. }) => self
                .plan
                .step(id)
                .is_none_or(|step| step.on_failure == OnFailure::GoOn),
            Some(StepState::Waiting | StepState::InFlight(_) | StepState::Cancelled { .. }) => false,
        }
    }

    /// Waiting steps that cannot start because something before them was abandoned and holds.
    #[must_use]
    pub fn held(&self) -> Vec<String> {
        let mut stuck: Vec<String> = Vec::new();
        for (step, state) in self.in_order() {
            let holds = match state {
                StepState::Abandoned { .. } => step.on_failure != OnFailure::GoOn,
                StepState::Waiting => step.after.iter().any(|before| stuck.contains(before)),
                _ => false,
            };
            if holds {
                stuck.push(step.id.clone());
            }
        }
        stuck.retain(|id| matches!(self.steps.get(id), Some(StepState::Waiting)));
        stuck
    }
}

impl Run<Return> {
    /// The next try to start a host, for real.
    pub(super) fn start(&self, step: &str) -> RealOrder {
        let state = self.steps.get(step);
        RealOrder {
            order: Order {
                verb: Verb::Start,
                ..self.order_for(step)
            },
            accepted: matches!(state, Some(StepState::InFlight(flight)) if flight.requested),
            waits: false,
        }
    }

    /// The order that is out.
    pub(super) fn start_order(&self, step: &str, attempt: u32) -> Order {
        self.order(step, Verb::Start, attempt)
    }
}

impl Run<Rehearsal> {
    /// The next check. It can only ever be sent as a check.
    pub(super) fn check(&self, step: &str) -> Order {
        self.order_for(step)
    }
}

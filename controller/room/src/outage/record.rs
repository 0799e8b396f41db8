//! What the outage engine puts on disk, and the shapes it exchanges with the `act` role.
//!
//! Records are append-only: a kind once written stays readable for ever. Replaying them with
//! [`super::Outage::apply`] gives the same state as deciding them did.

use super::operator::{Who, Wish};
use crate::plan::Plan;
use crate::site::Label;
use crate::time::{Millis, Wall};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a step does to its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// `[host.action]`: asks it to stop.
    #[default]
    Stop,
    /// `[host.force]`: makes it stop, after asking was of no use.
    Force,
    /// `[host.start]`: makes it run again.
    Start,
}

impl Verb {
    /// All of them, with the section of the site file that says how.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Stop, "[host.action]"),
        (Self::Force, "[host.force]"),
        (Self::Start, "[host.start]"),
    ];

    /// The section of the site file that says how.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::Stop => "[host.action]",
            Self::Force => "[host.force]",
            Self::Start => "[host.start]",
        }
    }
}

/// Names one execution of one step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Order {
    /// Hash of the plan as hex.
    pub plan_hash: String,
    /// Run number. With the step it is the key under which a target acts only once.
    pub run: u64,
    /// Host name.
    pub step: String,
    /// Counts up with each try.
    pub attempt: u32,
    /// What is done; records from before there was a choice are stops.
    // Never left out: the roles talk in a form that has no names of fields.
    #[serde(default)]
    pub verb: Verb,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The target accepted the request: past the step's point of no return.
    Requested,
    /// The confirm condition holds.
    Confirmed,
    /// It held before anything was asked: the host was off already, or runs already.
    Found,
    /// A check (rehearsal) succeeded.
    CheckPassed,
    /// It failed; `retryable` says whether another try makes sense.
    Failed {
        /// What failed, for the log and the page.
        problem: String,
        /// Whether another try makes sense.
        retryable: bool,
    },
    /// Refused: unknown plan hash or step.
    Refused {
        /// Why.
        problem: String,
    },
}

/// What demands that hosts are stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// Their power ends.
    #[default]
    Power,
    /// Two signs of a rule of the site hold.
    Rule {
        /// Rule.
        rule: String,
    },
    /// A person at the controller ordered it.
    Operator {
        /// Who.
        by: Who,
        /// Who agreed, where the site wants two.
        second: Option<Who>,
    },
    /// The calendar says so.
    Schedule {
        /// Schedule of the site.
        schedule: String,
        /// Local day since 1970 on which it stops.
        day: u16,
    },
}

impl Demand {
    /// The rule that demands it.
    #[must_use]
    pub fn rule(&self) -> Option<String> {
        match self {
            Self::Rule { rule } => Some(rule.clone()),
            Self::Power | Self::Operator { .. } | Self::Schedule { .. } => None,
        }
    }

    /// Left out of the journal.
    #[must_use]
    pub const fn is_power(&self) -> bool {
        matches!(self, Self::Power)
    }
}

/// A UPS that is told to switch off at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cutting {
    /// Device.
    pub ups: String,
    /// From the command until its output goes off.
    pub delay_ms: Millis,
    /// Hosts that it feeds: they come up by themselves when it switches on again, or are woken.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// One durable change. `took_ms` and other spans are milliseconds of the monotonic clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// The controller came up over these records. When its machine was restarted too, times
    /// before it cannot be compared with times after it.
    PowerRestarted {
        /// True when the monotonic clock went on.
        same_boot: bool,
    },
    /// Two signs: this UPS lives on its battery.
    MainsLost {
        /// UPS.
        ups: String,
        /// The signs.
        evidence: Vec<String>,
        /// Charge at that moment.
        charge_percent: Option<f64>,
        /// The UPS's own estimate at that moment.
        runtime_s: Option<f64>,
    },
    /// How far the battery has drained; from here the model goes on when contact is lost.
    BatteryLevel {
        /// UPS.
        ups: String,
        /// Charge.
        charge_percent: Option<f64>,
        /// The UPS's own estimate.
        runtime_s: Option<f64>,
    },
    /// This UPS no longer lives on its battery.
    MainsBack {
        /// UPS.
        ups: String,
        /// What it does now: `mains`, `bypass`, `off`.
        source: String,
        /// The signs.
        evidence: Vec<String>,
    },
    /// No good answer for longer than the policy allows.
    ContactLost {
        /// UPS.
        ups: String,
        /// True when its last word was "on battery": the model goes on draining.
        on_battery: bool,
    },
    /// It answers again.
    ContactFound {
        /// UPS.
        ups: String,
    },
    /// Mains was stable on every UPS for as long as the policy asks.
    OutageOver,
    /// The plan starts. It is frozen here: what is carried out is what stands in this record.
    RunStarted {
        /// Run number.
        run: u64,
        /// Hash of the plan.
        plan_hash: String,
        /// Why.
        because: Label,
        /// The plan.
        plan: Plan,
        /// The hosts this run stops.
        scope: Vec<String>,
        /// What demands it.
        #[serde(default, skip_serializing_if = "Demand::is_power")]
        demand: Demand,
        /// Steps that are planned with less than their budget, by what was learnt; frozen like the
        /// plan.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        planned: BTreeMap<String, Millis>,
    },
    /// Hosts will stop by the calendar.
    ScheduleAnnounced {
        /// Schedule.
        schedule: String,
        /// Local day since 1970 of the stop: its name.
        day: u16,
        /// When they stop,
        stop_ms: Wall,
        /// and when they start again.
        start_ms: Wall,
        /// Hosts.
        hosts: Vec<String>,
    },
    /// A stop by the calendar was left out.
    ScheduleNotKept {
        /// Schedule.
        schedule: String,
        /// Day of the stop.
        day: u16,
        /// When they would have started again.
        start_ms: Wall,
        /// Why.
        because: Label,
    },
    /// Somebody does not want this day's stop, or no more of it.
    ScheduleCancelled {
        /// Schedule.
        schedule: String,
        /// Day of the stop.
        day: u16,
        /// Why.
        reason: String,
        /// Who.
        by: Who,
    },
    /// The off time is over: these hosts are the return's to start.
    ScheduleOver {
        /// Schedule.
        schedule: String,
        /// Day of the stop.
        day: u16,
        /// Hosts.
        hosts: Vec<String>,
    },
    /// More hosts have come to depend on failing feeds.
    RunExtended {
        /// Run number.
        run: u64,
        /// Why.
        because: Label,
        /// The hosts that are added.
        scope: Vec<String>,
        /// What demands it.
        #[serde(default, skip_serializing_if = "Demand::is_power")]
        demand: Demand,
    },
    /// Power would have stopped these hosts now, but the policy does not let it.
    StopWithheld {
        /// Hosts.
        hosts: Vec<String>,
        /// Why they would have been stopped.
        because: Label,
    },
    /// The evidence of this rule is over; it may start a run again.
    RuleOver {
        /// Rule.
        rule: String,
    },
    /// The next effect is this order. Written before it leaves.
    StepStarted {
        /// The order.
        order: Order,
    },
    /// The target accepted the request: point of no return.
    StepRequested {
        /// The order.
        order: Order,
    },
    /// The host is stopped.
    StepConfirmed {
        /// The order.
        order: Order,
        /// Since the step's first start.
        took_ms: Millis,
        /// True when the step had been given up before.
        late: bool,
        /// True when an earlier run stopped the host and it has not answered since.
        already: bool,
        /// True when it was off before any run asked it: it is not ours to start.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        off_before: bool,
    },
    /// A try failed.
    StepFailed {
        /// The order.
        order: Order,
        /// What failed.
        problem: String,
        /// Whether it is tried again.
        retryable: bool,
    },
    /// Given up: budget spent, or no further try makes sense.
    StepAbandoned {
        /// The last order.
        order: Order,
        /// Why.
        because: Label,
    },
    /// Not carried out, or called back before its point of no return.
    StepCancelled {
        /// Run number.
        run: u64,
        /// Host.
        step: String,
        /// Why.
        because: Label,
    },
    /// The run goes no further than the steps past their point of no return.
    RunAbandoned {
        /// Run number.
        run: u64,
        /// Why.
        because: Label,
        /// Who aborted it, when a person did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Who>,
    },
    /// Nothing new is ordered for a while.
    RunPaused {
        /// Run number.
        run: u64,
        /// At most so long.
        length: Millis,
        /// Why.
        reason: String,
        /// Who.
        by: Who,
    },
    /// The pause is over.
    RunResumed {
        /// Run number.
        run: u64,
        /// Why.
        because: Label,
        /// Who ended it; `None`: by itself.
        by: Option<Who>,
    },
    /// Mains is back and not stable yet, or the truth is not known: new orders wait, and the budget of
    /// what no server has accepted stands still.
    OrdersHeld {
        /// Run number.
        run: u64,
    },
    /// They go out again.
    OrdersFreed {
        /// Run number.
        run: u64,
    },
    /// A host is left as it is, and nothing waits for it any more.
    StepSkipped {
        /// Run number.
        run: u64,
        /// Host.
        step: String,
        /// Why.
        because: Label,
        /// Who.
        by: Who,
    },
    /// A person's order waits for a second one.
    OperatorAsked {
        /// Its number.
        id: u64,
        /// Who.
        by: Who,
        /// What.
        wish: Wish,
    },
    /// The second person agrees; what follows is in the next record.
    OperatorConfirmed {
        /// Number of the order.
        id: u64,
        /// Who.
        by: Who,
    },
    /// No step of the run is under way any more.
    RunEnded {
        /// Run number.
        run: u64,
        /// Hosts confirmed stopped.
        stopped: Vec<String>,
        /// Hosts of the run that are not.
        not_stopped: Vec<String>,
    },
    /// A person says that these hosts run again.
    HostsStarted {
        /// Hosts.
        hosts: Vec<String>,
        /// Who.
        by: String,
    },
    /// A drill begins: on a quiet day a person has one host stopped for real, and what depends on it.
    DrillStarted {
        /// Run number; it is carried out, confirmed and ended like every other run.
        run: u64,
        /// Hash of the plan.
        plan_hash: String,
        /// Who asked for it.
        by: String,
        /// The host it is about.
        host: String,
        /// The plan.
        plan: Plan,
        /// The hosts that are stopped.
        scope: Vec<String>,
    },
    /// Hosts that we stopped are started again. The list is frozen here, in the order of starting.
    ReturnStarted {
        /// Run number; it counts together with the runs that stop.
        run: u64,
        /// Hash of the plan.
        plan_hash: String,
        /// Why now.
        because: Label,
        /// The plan, whose order is turned round.
        plan: Plan,
        /// What is used first stands first.
        hosts: Vec<String>,
    },
    /// The next effect is this order to start a host. Written before it leaves: from here on the
    /// host counts as one that may run.
    HostStartStarted {
        /// The order.
        order: Order,
        /// Longest time from the request until it runs.
        budget_ms: Millis,
    },
    /// What starts the host took the request.
    HostStartRequested {
        /// The order.
        order: Order,
    },
    /// The host runs.
    HostStartConfirmed {
        /// The order.
        order: Order,
        /// Since the first order.
        took_ms: Millis,
        /// True when it ran before anything was asked: somebody else started it.
        already: bool,
    },
    /// A try failed.
    HostStartFailed {
        /// The order.
        order: Order,
        /// What failed.
        problem: String,
        /// Whether it is tried again.
        retryable: bool,
    },
    /// The host did not come back; a person must see to it.
    HostStartAbandoned {
        /// The last order.
        order: Order,
        /// Why.
        because: Label,
    },
    /// Nothing more is started by this list.
    ReturnEnded {
        /// Run number.
        run: u64,
        /// Hosts that run.
        started: Vec<String>,
        /// Hosts that do not, as far as is known.
        not_started: Vec<String>,
        /// Why it was broken off, when it was.
        broken_off: Option<Label>,
    },
    /// Every host of the plan is off and the outage stands: the UPSes are told to switch off, and on
    /// again with the mains. What is told is frozen here.
    FinishStarted {
        /// Run number; it counts together with the runs that stop.
        run: u64,
        /// Hash of the plan.
        plan_hash: String,
        /// Why now.
        because: Label,
        /// The UPSes.
        ups: Vec<Cutting>,
        /// Longest time until the controller's own machine is down; `None`: it is not stopped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        controller_ms: Option<Millis>,
    },
    /// The next effect is this command. Written before it leaves: from here on it may have been told.
    FinishOrdered {
        /// The order.
        order: Order,
    },
    /// The UPS has the command, or the controller's machine stops: from here they decide.
    FinishTold {
        /// The order.
        order: Order,
    },
    /// A try failed.
    FinishFailed {
        /// The order.
        order: Order,
        /// What failed.
        problem: String,
        /// Whether it is tried again.
        retryable: bool,
    },
    /// Nothing more is told.
    FinishEnded {
        /// Run number.
        run: u64,
        /// UPSes that were told; `controller` is the controller's own machine.
        told: Vec<String>,
        /// Those that were not.
        not_told: Vec<String>,
        /// Why it ended.
        because: Label,
    },
    /// An operator does not want hosts to be started.
    ReturnHeld {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// They may be started again, also those that were stopped by an order and not by an outage.
    ReturnReleased {
        /// Who.
        by: String,
    },
    /// A rehearsal begins: checks only.
    RehearsalStarted {
        /// Run number; rehearsals and runs count together.
        run: u64,
        /// Hash of the plan.
        plan_hash: String,
        /// Who asked for it.
        by: String,
        /// The plan.
        plan: Plan,
    },
    /// A host is being checked.
    CheckStarted {
        /// The order.
        order: Order,
    },
    /// It could be stopped.
    CheckPassed {
        /// The order.
        order: Order,
        /// How long the check took.
        took_ms: Millis,
    },
    /// It could not.
    CheckFailed {
        /// The order.
        order: Order,
        /// Why.
        problem: String,
    },
    /// The daily check of the credentials begins.
    CredentialsDue {
        /// Its number; rehearsals, runs and these count together.
        run: u64,
        /// Hash of the plan.
        plan_hash: String,
    },
    /// One was checked.
    CredentialChecked {
        /// The order.
        order: Order,
        /// How long the last try took.
        took_ms: Millis,
        /// Why it could not be done; `None`: it could.
        problem: Option<String>,
    },
    /// The rehearsal is over.
    RehearsalEnded {
        /// Run number.
        run: u64,
        /// Hosts that could be stopped.
        passed: Vec<String>,
        /// Hosts that could not.
        failed: Vec<String>,
        /// Why it ended before every host was checked.
        broken_off: Option<Label>,
    },
}

//! The outage engine: judges the power, starts the plan at the latest safe moment, carries it
//! out step by step, and survives its own death at any record.
//!
//! decide -> records -> apply. [`Outage::handle`] takes one input, returns the records it decided
//! and the effects that may leave once those are on disk; only applying records changes durable
//! state, so replaying them with [`Outage::apply`] after a restart gives the same state. Readings
//! are volatile: after a restart they are polled again.
//!
//! ```text
//!  Input -> hear -> judge (MainsLost, ContactLost, ...) -> decide (RunStarted, RunAbandoned, ...)
//!        -> steps (StepStarted, StepAbandoned, ...) -> rehearsal -> Turn { records, effects }
//! ```
//!
//! It never reads a clock, never decides by the wall clock, never acts on a single sign, and
//! never makes a real order in a rehearsal ([`run::RealOrder`]). It starts nothing that it did not
//! stop, and nothing while a battery could not carry one more full stop (`back.rs`).

mod back;
mod book;
mod care;
mod conditions;
mod credentials;
mod decide;
mod drill;
pub mod exercise;
mod feeds;
pub mod finish;
mod judge;
mod learnt;
pub mod operator;
mod policy;
mod record;
mod rehearsal;
pub mod replay;
pub mod run;
mod schedule;
mod shed;
mod steps;
mod view;
pub mod what_if;

pub use conditions::Condition;
pub use credentials::{CHECK_AGAIN, CHECK_EVERY, CHECK_TRIES};
pub use learnt::{ENOUGH, HEADROOM_PERCENT, KEPT, Measured};
pub use policy::Sight;
pub use record::{Cutting, Demand, Order, Outcome, Record, Verb};
pub use run::{RealOrder, Reality, Rehearsal, Run, StepState};
pub use what_if::{CannotBeLost, WhatIf};

use crate::device::Poll;
use crate::plan::{Plan, PlanProblem, PlanStep, Slot};
use crate::power::Verdict;
use crate::power::graph::{self, Graph, Said};
use crate::power::watch::Watch;
use crate::site::outage::Operators;
use crate::site::{DeviceKind, Label, OutagePolicy, Site, StepTimes, World};
use crate::time::{Millis, Mono, Now, Wall};
use book::{Book, Ledger};
use std::collections::{BTreeMap, BTreeSet};

/// Tries of one step before it is given up, budget or not: with the pauses below almost a minute.
pub const MAX_TRIES: u32 = 10;
/// The same for a host that an earlier run stopped: it is most likely down.
pub const MAX_TRIES_WHEN_STOPPED: u32 = 3;
/// Pause before the second try; it doubles with every failure ...
pub const RETRY_AFTER: Millis = Millis::from_secs(1);
/// ... up to this.
pub const LONGEST_RETRY: Millis = Millis::from_secs(8);
/// Longest check of one host in a rehearsal.
pub const CHECK_BUDGET: Millis = Millis::from_secs(30);
/// Between two records of the battery's level.
pub const LEVEL_EVERY: Millis = Millis::from_secs(60);
/// Shortest sleep between two decisions while a battery drains.
pub const SHORTEST_WAKE: Millis = Millis(100);
/// After a start nothing new is ordered until every UPS was heard once, or for so long: what the
/// records say may be over, and the first polls are on their way.
pub const FIRST_WORD: Millis = Millis::from_secs(3);
/// A UPS on battery that says "low" for the first time is asked once more after so long: one word is
/// not believed, and waiting for the next poll would be lost time. It is longer than what a UPS takes
/// to measure anew.
pub const ASK_AGAIN: Millis = Millis(200);
/// Without a policy a UPS is out of contact after so many missed polls.
const MISSED_POLLS: u64 = 3;

/// The engine of one site.
#[derive(Debug, Clone)]
pub struct Outage {
    config: Config,
    book: Book,
    // What follows is volatile.
    watches: Vec<Watch>,
    verdicts: Vec<Verdict>,
    said: Said,
    act: Act,
    checks: credentials::Checks,
    /// Steps under way whose order `act` may have lost.
    lost: BTreeSet<String>,
    /// The same of starts.
    lost_starts: BTreeSet<String>,
    /// The same of what is told at the end.
    lost_tells: BTreeSet<finish::Target>,
    /// Since when no host of the run lives on a draining battery.
    relieved_since: Option<Mono>,
    /// Since when each UPS is heard to stand on mains.
    steady_since: Vec<Option<Mono>>,
    fast: bool,
    /// UPSes that are asked once more, and when.
    ask_again: BTreeMap<usize, Mono>,
    /// The UPS whose reading is this very input.
    heard_now: Option<usize>,
    /// Since when each sign of each rule holds.
    signs: policy::Signs,
    /// Share of its promise that each UPS's battery gave, where that is known and less than all.
    capacity: BTreeMap<String, f64>,
    /// Why local time is not to be trusted.
    clock_doubt: Option<Label>,
    now: Mono,
    /// For the calendar alone.
    wall: Wall,
}

/// What the site says, resolved.
#[derive(Debug, Clone)]
struct Config {
    policy: Option<OutagePolicy>,
    operators: Operators,
    schedules: Vec<crate::schedule::Schedule>,
    days: crate::schedule::Days,
    plan: Plan,
    hosts: Vec<HostConf>,
    ups: Vec<UpsConf>,
    /// How the power comes to the hosts.
    graph: Graph,
    /// What ends a plan.
    finish: Option<finish::FinishConf>,
}

/// A host, in the order of the plan.
#[derive(Debug, Clone)]
struct HostConf {
    id: String,
    label: Label,
    /// UPSes that its power can come from.
    feeds: Vec<usize>,
    /// Points of the graph that its supplies are plugged into.
    points: Vec<usize>,
    /// Every point that its power can pass.
    paths: BTreeSet<usize>,
    need: usize,
    slot: Slot,
    /// Place in the plan.
    at: usize,
    shed_after: Option<Millis>,
    /// Longest time from the request to start it until it runs; `None`: a person starts it.
    start: Option<Millis>,
}

#[derive(Debug, Clone)]
struct UpsConf {
    name: String,
    label: Label,
    poll_on_battery: Millis,
    contact_lost_after: Millis,
    /// UPSes that feed some of the same hosts.
    beside: Vec<usize>,
    /// UPSes whose load an ATS hands to this one when they end.
    standby: Vec<usize>,
}

/// The role that carries out orders.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    Gone,
    Ready,
    /// It read another plan than we did.
    OtherPlan(String),
}

/// What can happen to the engine.
#[derive(Debug)]
pub enum Input<'a> {
    /// A device was polled; others than UPSes and what hands their power on are ignored.
    Poll(&'a Poll),
    /// `act` reports on an order.
    Outcome {
        /// The order.
        order: Order,
        /// What became of it.
        outcome: Outcome,
    },
    /// `act` connected and has read the plan of this hash.
    ActReady {
        /// Hex.
        plan_hash: String,
    },
    /// `act` is gone, with whatever it was doing.
    ActGone,
    /// Somebody wants a rehearsal.
    Rehearse {
        /// Who.
        by: String,
    },
    /// Somebody wants a host stopped for real on a quiet day.
    Drill {
        /// Host.
        host: String,
        /// Stop what depends on it, too.
        with_dependants: bool,
        /// Who.
        by: String,
    },
    /// Somebody says that these hosts run again; empty means all that we stopped.
    HostsStarted {
        /// Hosts.
        hosts: Vec<String>,
        /// Who.
        by: String,
    },
    /// Somebody at the controller's own socket orders something.
    Operator {
        /// Who, as the machine knows them.
        person: operator::Person,
        /// What.
        ask: operator::Ask,
    },
    /// What each sign of each rule of the site is now, in the order of the site.
    Signs(&'a [Vec<Sight>]),
    /// No host is to be started until this is taken back.
    HoldReturn {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Hosts may be started again: those that were kept waiting, did not come back, or were stopped
    /// by an order and not by an outage.
    ReleaseReturn {
        /// Who.
        by: String,
    },
    /// A test of this UPS's battery was ordered and may run until then; `None`: it is over.
    BatteryTest {
        /// UPS.
        ups: &'a str,
        /// Until when it is no outage that it lives on its battery while mains is there.
        until: Option<Mono>,
    },
    /// Why local time is not to be trusted; `None`: it is.
    Clock(Option<Label>),
    /// The deadline has come.
    Tick,
    /// First input after a replay.
    Restarted {
        /// True when the monotonic clock went on since the records were written.
        same_boot: bool,
    },
}

/// What must be done, once the records of the same turn are on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Do {
    /// Carry out a step for real.
    Execute(RealOrder),
    /// Check a host and change nothing.
    Check(Order),
    /// Stop working on an order.
    Cancel(Order),
    /// Poll every UPS at its interval on battery (true) or on mains (false).
    FastPolling(bool),
    /// Read this UPS at once.
    Poll(String),
}

/// The answer to one input. The records are applied already.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Turn {
    /// To be appended to the journal, in this order, before the effects leave.
    pub records: Vec<Record>,
    /// To be done after that.
    pub effects: Vec<Do>,
    /// Why a person's request was not followed.
    pub refused: Option<Label>,
    /// What was done of a person's request.
    pub said: Option<Label>,
}

impl Outage {
    /// An engine that has heard nothing, or everything that is wrong with the plan.
    ///
    /// # Errors
    /// Every [`PlanProblem`] of the site.
    pub fn new<W: World>(site: &Site<W>) -> Result<Self, Vec<PlanProblem>> {
        let plan = Plan::new(site)?;
        let config = Config::new(site, plan);
        let watches = vec![Watch::new(Mono(0)); config.ups.len()];
        let verdicts = vec![Verdict::Unknown; config.ups.len()];
        let checks = credentials::Checks::new(site, config.hosts.iter().map(|host| host.id.clone()));
        let steady_since = vec![None; config.ups.len()];
        Ok(Self {
            config,
            book: Book::default(),
            watches,
            verdicts,
            said: Said::default(),
            act: Act::Gone,
            checks,
            lost: BTreeSet::new(),
            lost_starts: BTreeSet::new(),
            lost_tells: BTreeSet::new(),
            relieved_since: None,
            steady_since,
            fast: false,
            ask_again: BTreeMap::new(),
            heard_now: None,
            signs: policy::Signs::default(),
            capacity: BTreeMap::new(),
            clock_doubt: None,
            now: Mono(0),
            wall: Wall(0),
        })
    }

    /// The plan of the site as it is configured now.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.config.plan
    }

    /// Hosts that a plan stopped, or asked to stop, and that nobody has reported running since.
    #[must_use]
    pub fn stopped_hosts(&self) -> Vec<String> {
        self.book.stopped.keys().cloned().collect()
    }

    /// Results of rehearsals and drills, newest first.
    pub fn exercises(&self) -> impl Iterator<Item = &exercise::Exercise> {
        self.book.exercises.iter().rev()
    }

    /// Names of the UPSes that the power of a host can come from.
    #[must_use]
    pub fn upses_of(&self, host: &str) -> Vec<&str> {
        let feeds = self.config.host(host).map(|host| host.feeds.as_slice());
        let upses = feeds.unwrap_or_default().iter();
        upses.map(|ups| self.config.ups[*ups].name.as_str()).collect()
    }

    /// A device that says something of the way of the power: a UPS, or what hands it on.
    #[must_use]
    pub fn listens_to(&self, device: &str) -> bool {
        self.config.graph.knows(device)
    }

    /// Replays a record. To be followed by [`Input::Restarted`] after the last one.
    pub fn apply(&mut self, at: Now, record: &Record) {
        (self.now, self.wall) = (at.mono, at.wall);
        self.book.apply(at, record);
        self.reckon_after(record);
    }

    /// Is what both know for good the same? What they last heard from devices does not count.
    #[must_use]
    pub fn remembers_the_same(&self, other: &Self) -> bool {
        let slots = |engine: &Self| {
            engine
                .config
                .hosts
                .iter()
                .map(|host| host.slot)
                .collect::<Vec<_>>()
        };
        self.book == other.book && slots(self) == slots(other)
    }

    /// Decides. The records returned are applied already; effects leave after they are on disk.
    pub fn handle(&mut self, now: Now, input: Input<'_>) -> Turn {
        let mut turn = Turn::default();
        (self.now, self.wall) = (now.mono, now.wall);
        self.heard_now = None;
        match input {
            Input::Poll(poll) => self.hear(poll),
            Input::Outcome { order, outcome } => self.report(now, &order, outcome, &mut turn),
            Input::ActReady { plan_hash } => self.act_ready(plan_hash),
            Input::ActGone => {
                self.act = Act::Gone;
                self.lose_orders();
            }
            Input::Rehearse { by } => self.begin_rehearsal(now, by, &mut turn),
            Input::Drill {
                host,
                with_dependants,
                by,
            } => self.begin_drill(now, host, with_dependants, by, &mut turn),
            Input::HostsStarted { hosts, by } => self.hosts_started(now, hosts, by, &mut turn),
            Input::Operator { person, ask } => self.ask(now, person, ask, &mut turn),
            Input::Signs(sights) => self.signs.see(now.mono, sights),
            Input::HoldReturn { by, reason } => self.hold_return(now, by, reason, &mut turn),
            Input::ReleaseReturn { by } => self.release_return(now, by, &mut turn),
            Input::BatteryTest { ups, until } => self.expect_test(ups, until),
            Input::Clock(doubt) => self.doubt_clock(doubt),
            Input::Tick => {}
            Input::Restarted { same_boot } => self.restarted(now, same_boot, &mut turn),
        }
        self.judge(now, &mut turn);
        self.break_off_return(now, &mut turn);
        self.decide(now, &mut turn);
        self.keep_schedules(now, &mut turn);
        self.advance(now, &mut turn);
        self.finish(now, &mut turn);
        self.bring_back(now, &mut turn);
        self.advance_rehearsal(now, &mut turn);
        self.advance_credentials(now, &mut turn);
        self.set_polling(&mut turn);
        self.ask_low_again(&mut turn);
        turn
    }

    fn record(&mut self, now: Now, record: Record, turn: &mut Turn) {
        self.book.apply(now, &record);
        self.reckon_after(&record);
        turn.records.push(record);
    }

    /// Reckons the plan anew when a record may have changed how long its steps take: a run keeps the
    /// times that it started with, whatever is learnt meanwhile.
    fn reckon_after(&mut self, record: &Record) {
        if !matches!(
            record,
            Record::StepConfirmed { .. }
                | Record::RunStarted { .. }
                | Record::DrillStarted { .. }
                | Record::RunEnded { .. }
        ) {
            return;
        }
        let slots = self.slots();
        for (host, slot) in self.config.hosts.iter_mut().zip(slots) {
            host.slot = slot;
        }
    }

    /// The plan's slots as of now.
    fn slots(&self) -> Vec<Slot> {
        self.config.plan.schedule_with(|step| self.length(step))
    }

    /// The length a step is planned with now.
    fn length(&self, step: &PlanStep) -> Millis {
        match self.book.active_run() {
            Some(run) if run.drill.is_none() => run
                .planned
                .get(&step.id)
                .copied()
                .unwrap_or_else(|| step.planned()),
            _ => self.learnt_length(step),
        }
    }

    /// The length a step is planned with when a run starts now.
    fn learnt_length(&self, step: &PlanStep) -> Millis {
        self.book
            .learnt
            .planned(&step.id, step.planned(), self.step_times())
    }

    fn step_times(&self) -> StepTimes {
        let policy = self.config.policy.as_ref();
        policy.map_or(StepTimes::Budget, |policy| policy.step_times)
    }

    /// What a new run plans its steps with; budgets are left out.
    fn planned_lengths(&self) -> BTreeMap<String, Millis> {
        let steps = self.config.plan.steps().iter();
        let planned = steps.map(|step| (step, self.learnt_length(step)));
        let shorter = planned.filter(|(step, planned)| *planned < step.planned());
        shorter
            .map(|(step, planned)| (step.id.clone(), planned))
            .collect()
    }

    fn hear(&mut self, poll: &Poll) {
        let known = self.config.ups.iter().position(|ups| ups.name == poll.device);
        let heard = known.filter(|index| {
            let watch = self.watches.get_mut(*index);
            watch.is_some_and(|watch| watch.hear(poll))
        });
        self.heard_now = heard;
        self.said.hear(&self.config.graph, poll);
    }

    fn act_ready(&mut self, plan_hash: String) {
        self.lose_orders();
        self.act = if plan_hash == self.config.plan.hash() {
            Act::Ready
        } else {
            Act::OtherPlan(plan_hash)
        };
    }

    /// Whatever was under way must be ordered again: the target acts once per run and step.
    fn lose_orders(&mut self) {
        if let Some(run) = self.book.active_run() {
            self.lost
                .extend(run.ids(|state| matches!(state, StepState::InFlight(_))));
        }
        self.lose_tells();
        if let Some(back) = self.book.active_back() {
            self.lost_starts
                .extend(back.ids(|state| matches!(state, StepState::InFlight(_))));
        }
    }

    fn restarted(&mut self, now: Now, same_boot: bool, turn: &mut Turn) {
        self.watches.fill(Watch::new(now.mono));
        self.ask_again.clear();
        self.said = Said::default();
        self.act = Act::Gone;
        self.relieved_since = None;
        self.signs = policy::Signs::default();
        self.steady_since.fill(None);
        self.record(now, Record::PowerRestarted { same_boot }, turn);
        self.lose_orders();
        self.drop_run_of_other_plan(now, turn);
        let because = Label::new("監視装置が再起動した", "the controller restarted");
        self.end_rehearsal(now, Some(because), turn);
        self.fast = false;
        turn.effects.push(Do::FastPolling(false));
    }

    fn hosts_started(&mut self, now: Now, hosts: Vec<String>, by: String, turn: &mut Turn) {
        let stopped = self.book.stopped.keys();
        let hosts: Vec<String> = stopped
            .filter(|host| hosts.is_empty() || hosts.contains(host))
            .cloned()
            .collect();
        if hosts.is_empty() {
            turn.refused = Some(Label::new(
                "停止したままのサーバーはありません",
                "none of these hosts was stopped by a plan",
            ));
            return;
        }
        for host in &hosts {
            self.call_back_start(host, turn);
        }
        self.record(now, Record::HostsStarted { hosts, by }, turn);
    }

    fn set_polling(&mut self, turn: &mut Turn) {
        let urgent = |verdict: &Verdict| matches!(verdict, Verdict::Battery | Verdict::Suspected);
        let fast = self.verdicts.iter().any(urgent) || self.book.active_run().is_some();
        if fast != self.fast {
            self.fast = fast;
            turn.effects.push(Do::FastPolling(fast));
        }
    }

    /// A UPS that has just begun to say "low battery" is asked again soon, once.
    fn ask_low_again(&mut self, turn: &mut Turn) {
        if let Some(ups) = self.heard_now {
            let urgent = matches!(self.verdicts[ups], Verdict::Battery | Verdict::Suspected);
            if urgent && self.watches[ups].says_low_once() {
                self.ask_again.insert(ups, self.now.after(ASK_AGAIN));
            } else {
                self.ask_again.remove(&ups);
            }
        }
        let due: Vec<usize> = self
            .ask_again
            .extract_if(.., |_, at| *at <= self.now)
            .map(|(ups, _)| ups)
            .collect();
        for ups in due {
            turn.effects.push(Do::Poll(self.config.ups[ups].name.clone()));
        }
    }

    fn ledger(&self, ups: usize) -> Option<&Ledger> {
        self.book.ups.get(&self.config.ups.get(ups)?.name)
    }
}

impl Config {
    fn new<W: World>(site: &Site<W>, plan: Plan) -> Self {
        let devices = site
            .devices
            .iter()
            .filter(|device| device.kind == DeviceKind::Ups);
        let mut ups: Vec<UpsConf> = devices
            .map(|device| UpsConf {
                beside: Vec::new(),
                standby: Vec::new(),
                name: device.name.clone(),
                label: device.label.clone(),
                poll_on_battery: device.poll_on_battery,
                contact_lost_after: site.outage.as_ref().map_or(
                    Millis(
                        device
                            .poll
                            .0
                            .saturating_mul(MISSED_POLLS)
                            .saturating_add(device.timeout.0),
                    ),
                    |policy| policy.contact_lost_after,
                ),
            })
            .collect();
        let mut graph = Graph::new(graph::wired(site));
        let slots = plan.schedule();
        let hosts = plan
            .steps()
            .iter()
            .zip(slots)
            .enumerate()
            .filter_map(|(at, (step, slot))| {
                let host = site.hosts.iter().find(|host| host.name == step.id)?;
                // What cannot be resolved was refused with the plan.
                let points = host.feeds.iter().filter_map(|feed| graph.point(feed).ok());
                let points: Vec<usize> = points.collect();
                let upses: BTreeSet<usize> = points.iter().flat_map(|point| graph.upses(*point)).collect();
                Some(HostConf {
                    id: step.id.clone(),
                    label: step.label.clone(),
                    feeds: upses.into_iter().collect(),
                    paths: points.iter().flat_map(|point| graph.path(*point)).collect(),
                    points,
                    need: host.need,
                    slot,
                    at,
                    shed_after: step.shed_after,
                    start: host.start.as_ref().map(|start| start.budget),
                })
            });
        let hosts: Vec<HostConf> = hosts.collect();
        graph.add_the_rest();
        for (index, ups) in ups.iter_mut().enumerate() {
            let sharing = hosts.iter().filter(|host| host.feeds.contains(&index));
            let beside: BTreeSet<usize> = sharing.flat_map(|host| host.feeds.iter().copied()).collect();
            ups.beside = beside.into_iter().filter(|other| *other != index).collect();
            ups.standby = graph.standby_for(index).into_iter().collect();
        }
        let mut config = Self {
            finish: None,
            policy: site.outage.clone(),
            operators: site.operators.clone(),
            schedules: site.schedules.clone(),
            days: crate::schedule::Days {
                utc_offset_min: site.access.utc_offset_min,
                holidays: site.access.holidays.clone(),
            },
            plan,
            hosts,
            ups,
            graph,
        };
        config.take_finish(site);
        config
    }

    fn host(&self, id: &str) -> Option<&HostConf> {
        self.hosts.iter().find(|host| host.id == id)
    }

    /// The slowest poll while on battery: a decision may come so much late.
    fn poll_interval(&self) -> Millis {
        let polls = self.ups.iter().map(|ups| ups.poll_on_battery);
        polls.max().unwrap_or_default()
    }
}

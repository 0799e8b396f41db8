//! The durable state: what follows from the records and from nothing else.
// Long because every record of the engine is applied here, and nowhere else.

use super::FIRST_WORD;
use super::exercise::{Exercise, ExerciseKind, MAX_EXERCISES};
use super::learnt::Learnt;
use super::operator::{Asked, with_asked};
use super::record::{Demand, Order, Record, Verb};
use super::run::{InFlight, Reality, Rehearsal, Return, Run, StepState};
use crate::power::battery::Start;
use crate::site::{Label, OnFailure};
use crate::time::{Millis, Mono, Now, Wall};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A reboot of the controller's machine takes at least so long; the battery drained meanwhile.
pub(super) const REBOOT_TAKES: Millis = Millis::from_secs(60);

/// Everything durable.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Book {
    pub(super) ups: BTreeMap<String, Ledger>,
    /// The run under way, or the last one.
    pub(super) run: Option<Run<Reality>>,
    /// The rehearsal under way, or the last one.
    pub(super) rehearsal: Option<Run<Rehearsal>>,
    pub(super) last_run: u64,
    /// Results of rehearsals and drills, oldest first.
    pub(super) exercises: VecDeque<Exercise>,
    /// When the last whole rehearsal ended, and of which plan it was.
    pub(super) rehearsed: Option<(Wall, String)>,
    /// How long steps took.
    pub(super) learnt: Learnt,
    /// Hosts dealt with by earlier runs of this outage; `true`: given up, and it holds.
    pub(super) tried: BTreeMap<String, bool>,
    /// Hosts we stopped and that nobody has reported running since.
    pub(super) stopped: BTreeMap<String, Stopped>,
    /// Hosts still stopping when a new run took over, and until when their budget lets what they
    /// use wait for them.
    pub(super) leaving: BTreeMap<String, Mono>,
    /// The pause of the run, while there is one.
    pub(super) pause: Option<Pause>,
    /// Since when new orders of the run wait because mains may be back.
    pub(super) orders_held: Option<Mono>,
    /// Hosts that somebody reported running while the run under way had dealt with them already: they
    /// must be dealt with anew.
    pub(super) up_since: BTreeSet<String>,
    /// Orders that wait for a second person.
    pub(super) asked: BTreeMap<u64, Asked>,
    pub(super) last_asked: u64,
    /// Hosts that somebody wants to stand still: an operator or a rule had them stopped, or they were
    /// ordered to stop while mains was there. Nobody but a person has them started.
    pub(super) on_purpose: BTreeSet<String>,
    /// Rules whose evidence holds and has led to a run.
    pub(super) rules_done: BTreeSet<String>,
    /// Hosts that power would have stopped in this outage, had the policy let it, and why.
    pub(super) withheld: BTreeMap<String, Label>,
    /// The bringing back under way, or the last one.
    pub(super) back: Option<Run<Return>>,
    /// Hosts that an order to start may have reached, and until when their silence proves nothing.
    pub(super) booting: BTreeMap<String, Mono>,
    /// Hosts that did not come back since the last outage, and why.
    pub(super) not_back: BTreeMap<String, Label>,
    /// What is told at the end of this outage.
    pub(super) finish: Option<super::finish::Finish>,
    /// UPSes that were told to switch off, and until when they may still do so.
    pub(super) cut_until: BTreeMap<String, Mono>,
    /// When something last became of a step.
    pub(super) last_step: Mono,
    /// Hosts of this outage's runs that were off before.
    pub(super) off_before: BTreeSet<String>,
    /// Who does not want hosts to be started, and why.
    pub(super) held: Option<(String, String)>,
    /// First loss of mains of this outage.
    pub(super) outage_since: Option<Mono>,
    /// Scheduled operation.
    pub(super) schedules: super::schedule::Schedules,
    /// What the daily check found.
    pub(super) credentials: super::credentials::Found,
    last_at: Mono,
}

/// A pause of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    /// Since when.
    pub(super) since: Mono,
    /// At the latest until then.
    pub(super) until: Mono,
}

/// How sure we are that a host is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Its confirm condition held.
    Confirmed,
    /// An order may have reached it, and it was never confirmed.
    Asked,
}

/// What is durable about a UPS.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Ledger {
    /// Since when it lives on its battery.
    pub(super) on_battery: Option<Mono>,
    /// Time on battery before that, in the same outage.
    pub(super) spent: Millis,
    /// Since when it does not, after an outage.
    pub(super) mains_since: Option<Mono>,
    /// Where this outage's discharge began.
    pub(super) start: Start,
    /// What it gave when an outage began with every host running, or with the most of them that was
    /// seen: percent, seconds.
    pub(super) loaded: Option<(f64, f64)>,
    /// Last recorded level: when, percent, seconds.
    pub(super) level: Option<(Mono, Option<f64>, Option<f64>)>,
    pub(super) contact_lost: bool,
    /// Not heard since the controller's machine restarted.
    pub(super) unheard: bool,
}

impl Ledger {
    /// Time on battery in this outage, by our own clock.
    pub(super) fn on_battery_for(&self, now: Mono) -> Millis {
        let running = self.on_battery.map_or(Millis(0), |since| now.since(since));
        Millis(self.spent.0.saturating_add(running.0))
    }

    /// Notes what it gives with the load that it bears now. With some hosts off it says too much, and
    /// is better than nothing.
    fn note_loaded(&mut self, everybody_runs: bool, charge: Option<f64>, runtime: Option<f64>) {
        let (Some(charge), Some(runtime)) = (charge, runtime) else {
            return;
        };
        let heavier = self
            .loaded
            .is_none_or(|(full, lasted)| runtime * full < lasted * charge);
        if charge > 0.0 && (everybody_runs || heavier) {
            self.loaded = Some((charge, runtime));
        }
    }
}

impl Book {
    /// The run, while steps of it may be under way.
    pub(super) fn active_run(&self) -> Option<&Run<Reality>> {
        self.run.as_ref().filter(|run| !run.ended)
    }

    /// The rehearsal, while it goes on.
    pub(super) fn active_rehearsal(&self) -> Option<&Run<Rehearsal>> {
        self.rehearsal.as_ref().filter(|run| !run.ended)
    }

    /// The bringing back, while it goes on.
    pub(super) fn active_back(&self) -> Option<&Run<Return>> {
        self.back.as_ref().filter(|run| !run.ended)
    }

    /// A host may be coming up: that nothing of it answers does not say that it is off.
    pub(super) fn is_booting(&self, host: &str, now: Mono) -> bool {
        self.booting.get(host).is_some_and(|until| now < *until)
    }

    /// We saw it stop, and nothing was done since that could have started it.
    pub(super) fn is_off(&self, host: &str, now: Mono) -> bool {
        self.stopped.get(host) == Some(&Stopped::Confirmed) && !self.is_booting(host, now)
    }

    pub(super) fn apply(&mut self, at: Now, record: &Record) {
        match record {
            Record::PowerRestarted { same_boot } => {
                // Who waited for a second person asks again.
                self.asked.clear();
                if *same_boot {
                    self.move_budgets(at.mono, at.mono, FIRST_WORD);
                } else {
                    self.rebase(at.mono);
                }
            }
            Record::MainsLost { .. }
            | Record::BatteryLevel { .. }
            | Record::MainsBack { .. }
            | Record::ContactLost { .. }
            | Record::ContactFound { .. }
            | Record::OutageOver => self.apply_power(at.mono, record),
            Record::RehearsalStarted { .. }
            | Record::CheckStarted { .. }
            | Record::CheckPassed { .. }
            | Record::CheckFailed { .. }
            | Record::RehearsalEnded { .. } => self.apply_rehearsal(at, record),
            Record::StopWithheld { hosts, because } => {
                let hosts = hosts.iter().map(|host| (host.clone(), because.clone()));
                self.withheld.extend(hosts);
            }
            Record::OperatorAsked { id, by, wish } => {
                self.last_asked = self.last_asked.max(*id);
                let (by, wish, at) = (by.clone(), wish.clone(), at.mono);
                with_asked(&mut self.asked, *id, Asked { by, wish, at });
            }
            Record::OperatorConfirmed { id, .. } => {
                self.asked.remove(id);
            }
            Record::RunPaused { length, .. } => {
                let since = self.pause.map_or(at.mono, |pause| pause.since);
                let until = at.mono.after(*length);
                self.pause = Some(Pause { since, until });
            }
            Record::RunResumed { .. } => self.resume(at.mono),
            Record::OrdersHeld { .. } => self.orders_held = Some(at.mono),
            Record::OrdersFreed { .. } => {
                if let Some(since) = self.orders_held.take() {
                    self.move_budgets(at.mono, since, at.mono.since(since));
                }
            }
            Record::RuleOver { rule } => {
                self.rules_done.remove(rule);
            }
            Record::ScheduleAnnounced { .. }
            | Record::ScheduleNotKept { .. }
            | Record::ScheduleCancelled { .. }
            | Record::ScheduleOver { .. } => {
                for host in self.schedules.apply(at, record) {
                    self.on_purpose.remove(&host);
                }
            }
            Record::CredentialsDue { run, .. } => {
                self.last_run = self.last_run.max(*run);
                self.credentials.apply(at, record);
            }
            Record::CredentialChecked { .. } => self.credentials.apply(at, record),
            Record::HostsStarted { hosts, .. } => {
                // They run, so they are stopped again if the outage is not over.
                for host in hosts {
                    self.runs_again(host);
                    let state = self.active_run().and_then(|run| run.steps.get(host));
                    // What the run has not ended yet it deals with anyway.
                    let ended =
                        state.filter(|state| !matches!(state, StepState::Waiting | StepState::InFlight(_)));
                    if ended.is_some() {
                        self.up_since.insert(host.clone());
                    }
                    if let Some(back) = &mut self.back
                        && let Some(state) = back.steps.get_mut(host)
                    {
                        *state = StepState::Confirmed { took: Millis(0) };
                    }
                }
            }
            Record::ReturnStarted { .. }
            | Record::HostStartStarted { .. }
            | Record::HostStartRequested { .. }
            | Record::HostStartConfirmed { .. }
            | Record::HostStartFailed { .. }
            | Record::HostStartAbandoned { .. }
            | Record::ReturnEnded { .. }
            | Record::ReturnHeld { .. }
            | Record::ReturnReleased { .. } => self.apply_back(at, record),
            Record::FinishStarted { .. }
            | Record::FinishOrdered { .. }
            | Record::FinishTold { .. }
            | Record::FinishFailed { .. }
            | Record::FinishEnded { .. } => self.apply_finish(at.mono, record),
            _ => self.apply_run(at, record),
        }
        self.last_at = at.mono;
    }

    /// The machine restarted: its monotonic clock began anew. Every kept moment becomes "now",
    /// and batteries have drained for at least as long as a reboot takes.
    fn rebase(&mut self, now: Mono) {
        for ledger in self.ups.values_mut() {
            if ledger.on_battery.is_some() {
                let spent = ledger
                    .on_battery_for(self.last_at)
                    .0
                    .saturating_add(REBOOT_TAKES.0);
                ledger.spent = Millis(spent);
                ledger.on_battery = Some(now);
                ledger.unheard = true;
            }
            ledger.mains_since = ledger.mains_since.map(|_| now);
            ledger.level = ledger.level.map(|(then, charge, runtime)| {
                let passed = self.last_at.since(then).as_secs_f64() + REBOOT_TAKES.as_secs_f64();
                (now, charge, runtime.map(|runtime| (runtime - passed).max(0.0)))
            });
        }
        self.rebase_finish(now, self.last_at);
        self.last_step = now;
        self.outage_since = self.outage_since.map(|_| now);
        self.schedules.rebase(now, self.last_at);
        self.orders_held = self.orders_held.map(|_| now);
        self.pause = self.pause.map(|pause| Pause {
            since: now,
            until: now.after(pause.until.since(self.last_at)),
        });
        for until in self.leaving.values_mut() {
            *until = now.after(until.since(self.last_at));
        }
        for until in self.booting.values_mut() {
            *until = now.after(until.since(self.last_at));
        }
        if let Some(run) = &mut self.run {
            self.learnt
                .cut(run.ids(|state| matches!(state, StepState::InFlight(_))));
            rebase_run(run, now);
        }
        if let Some(back) = &mut self.back {
            rebase_run(back, now);
        }
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.since = now;
        }
    }

    /// What no server has accepted yet was held up by the pause: its budget stood still.
    fn resume(&mut self, now: Mono) {
        if let Some(pause) = self.pause.take() {
            self.move_budgets(now, pause.since, now.since(pause.since));
        }
    }

    /// For so long since then nothing was ordered: what no server has accepted keeps its budget.
    fn move_budgets(&mut self, now: Mono, since: Mono, held: Millis) {
        let Some(run) = &mut self.run else { return };
        for state in run.steps.values_mut() {
            if let StepState::InFlight(flight) = state
                && !flight.requested
            {
                let before = flight.since.since(since);
                let held = Millis(held.0.saturating_sub(before.0));
                flight.since = flight.since.after(held).min(now);
            }
        }
    }

    fn apply_power(&mut self, now: Mono, record: &Record) {
        match record {
            Record::MainsLost {
                ups,
                charge_percent,
                runtime_s,
                ..
            } => {
                if self.outage_since.is_none() {
                    self.outage_since = Some(now);
                    self.finish = None;
                    self.tried.clear();
                    self.leaving.clear();
                    self.withheld.clear();
                    self.off_before.clear();
                    // A new outage, and new tries after it.
                    self.not_back.clear();
                }
                let everybody_runs = self.stopped.is_empty();
                let ledger = self.ups.entry(ups.clone()).or_default();
                ledger.note_loaded(everybody_runs, *charge_percent, *runtime_s);
                ledger.on_battery = Some(now);
                ledger.mains_since = None;
                ledger.start.charge = ledger.start.charge.or(*charge_percent);
                ledger.start.runtime = ledger.start.runtime.or(*runtime_s);
                ledger.level = Some((now, *charge_percent, *runtime_s));
            }
            Record::BatteryLevel {
                ups,
                charge_percent,
                runtime_s,
            } => {
                let everybody_runs = self.stopped.is_empty();
                let ledger = self.ups.entry(ups.clone()).or_default();
                if ledger.start.charge.is_none() || ledger.start.runtime.is_none() {
                    // Heard only now, for instance after a restart: it is the first word of this outage.
                    ledger.note_loaded(everybody_runs, *charge_percent, *runtime_s);
                    // The discharge is known only from here; its time before counts fully.
                    let before = ledger.on_battery_for(now).as_secs_f64();
                    ledger.start.charge = ledger.start.charge.or(*charge_percent);
                    ledger.start.runtime = ledger.start.runtime.or(runtime_s.map(|left| left + before));
                }
                ledger.level = Some((now, *charge_percent, *runtime_s));
            }
            Record::MainsBack { ups, .. } => {
                self.note_power_again(now, ups);
                let ledger = self.ups.entry(ups.clone()).or_default();
                ledger.spent = ledger.on_battery_for(now);
                ledger.on_battery = None;
                ledger.mains_since = Some(now);
                ledger.unheard = false;
            }
            Record::ContactLost { ups, .. } => {
                self.ups.entry(ups.clone()).or_default().contact_lost = true;
            }
            Record::ContactFound { ups } => {
                let ledger = self.ups.entry(ups.clone()).or_default();
                ledger.contact_lost = false;
                ledger.unheard = false;
            }
            Record::OutageOver => {
                self.outage_since = None;
                self.withheld.clear();
                self.tried.clear();
                self.leaving.clear();
                self.off_before.clear();
                for ledger in self.ups.values_mut() {
                    ledger.spent = Millis(0);
                    ledger.mains_since = None;
                    ledger.start = Start::default();
                    ledger.level = None;
                }
            }
            _ => {}
        }
    }

    fn apply_run(&mut self, at: Now, record: &Record) {
        match record {
            Record::RunStarted {
                run,
                because,
                plan,
                scope,
                demand,
                planned,
                ..
            } => {
                self.last_run = self.last_run.max(*run);
                self.note_ordered(scope);
                self.orders_held = None;
                self.up_since.clear();
                let mut started = Run::new(*run, plan.clone(), because.clone(), at, scope);
                started.demands.push(demand.clone());
                started.planned.clone_from(planned);
                self.run = Some(started);
                self.note_demand(demand);
                self.schedules.stops(at, demand, scope);
            }
            Record::RunExtended {
                run, scope, demand, ..
            } => {
                self.note_ordered(scope);
                self.note_demand(demand);
                self.schedules.stops(at, demand, scope);
                if let Some(run) = self.run.as_mut().filter(|active| active.id == *run) {
                    if !run.demands.contains(demand) {
                        run.demands.push(demand.clone());
                    }
                    for step in scope {
                        run.steps.entry(step.clone()).or_insert(StepState::Waiting);
                    }
                }
            }
            Record::StepStarted { order } => {
                self.change_step(order, |state| {
                    let before = match state {
                        StepState::InFlight(flight) => Some(flight.clone()),
                        _ => None,
                    };
                    Some(StepState::InFlight(started(at.mono, order, before)))
                });
            }
            Record::StepRequested { order } => self.requested(at.mono, order),
            Record::StepConfirmed {
                order,
                took_ms,
                late,
                already,
                off_before,
            } => {
                self.last_step = at.mono;
                self.learn(order, *took_ms, *late, *already || *off_before);
                self.change_step(order, |_| Some(StepState::Confirmed { took: *took_ms }));
                if *off_before {
                    self.off_before.insert(order.step.clone());
                } else {
                    self.stopped.insert(order.step.clone(), Stopped::Confirmed);
                    if self.run.as_ref().is_some_and(Run::is_ordered) {
                        self.on_purpose.insert(order.step.clone());
                    }
                }
                self.leaving.remove(&order.step);
                self.booting.remove(&order.step);
                if let Some(holds) = self.tried.get_mut(&order.step) {
                    *holds = false;
                }
            }
            Record::StepFailed { order, problem, .. } => self.change_step(order, |state| match state {
                StepState::InFlight(flight) => Some(StepState::InFlight(InFlight {
                    failures: flight.failures.saturating_add(1),
                    failed_at: Some(at.mono),
                    problem: Some(problem.clone()),
                    ..flight.clone()
                })),
                _ => None,
            }),
            Record::StepAbandoned { order, because } => self.abandoned(at.mono, order, because),
            Record::StepSkipped {
                run, step, because, ..
            } => self.skipped(*run, step, because),
            Record::StepCancelled { run, step, because } => {
                let order = Order {
                    plan_hash: String::new(),
                    run: *run,
                    step: step.clone(),
                    attempt: 0,
                    verb: Verb::Stop,
                };
                let mut asked = false;
                self.change_step(&order, |state| {
                    let since = match state {
                        StepState::InFlight(flight) => {
                            asked = flight.may_have_arrived();
                            Some(flight.since)
                        }
                        _ => None,
                    };
                    Some(StepState::Cancelled {
                        since,
                        because: because.clone(),
                    })
                });
                if asked {
                    self.stopped.entry(step.clone()).or_insert(Stopped::Asked);
                }
            }
            Record::RunAbandoned { run, because, .. } => {
                self.pause = None;
                self.orders_held = None;
                if let Some(run) = self.run.as_mut().filter(|active| active.id == *run) {
                    run.abandoned = Some(because.clone());
                }
            }
            Record::RunEnded { run, .. } => {
                self.last_step = at.mono;
                self.ended(*run);
                self.keep_drill(at, *run);
            }
            Record::DrillStarted {
                run,
                by,
                host,
                plan,
                scope,
                ..
            } => {
                self.last_run = self.last_run.max(*run);
                let because = Label::new(
                    format!("{by} による {host} の訓練"),
                    format!("drill of {host} by {by}"),
                );
                let mut started = Run::new(*run, plan.clone(), because, at, scope);
                started.by.clone_from(by);
                self.note_ordered(scope);
                started.drill = Some(host.clone());
                self.run = Some(started);
            }
            _ => {}
        }
    }

    fn skipped(&mut self, run: u64, step: &str, because: &Label) {
        let Some(run) = self.run.as_mut().filter(|active| active.id == run) else {
            return;
        };
        let Some(state) = run.steps.get_mut(step) else {
            return;
        };
        let mut since = None;
        if let StepState::InFlight(flight) = state {
            since = Some(flight.since);
            if flight.may_have_arrived() {
                self.stopped.entry(step.to_owned()).or_insert(Stopped::Asked);
            }
        }
        let because = because.clone();
        *state = StepState::Skipped { since, because };
    }

    fn note_demand(&mut self, demand: &Demand) {
        if let Demand::Rule { rule } = demand {
            self.rules_done.insert(rule.clone());
        }
    }

    /// The result of a drill that has ended.
    fn keep_drill(&mut self, at: Now, id: u64) {
        let run = self
            .run
            .as_ref()
            .filter(|run| run.id == id && run.drill.is_some());
        if let Some(run) = run {
            let result = Exercise::of(run, ExerciseKind::Drill, at.wall);
            self.keep(result);
        }
    }

    fn keep(&mut self, result: Exercise) {
        if result.is_whole() {
            self.rehearsed = Some((Wall(result.ended_ms), result.plan_hash.clone()));
        }
        if self.exercises.len() == MAX_EXERCISES {
            self.exercises.pop_front();
        }
        self.exercises.push_back(result);
    }

    fn learn(&mut self, order: &Order, took: Millis, late: bool, already: bool) {
        let run = self.run.as_ref().filter(|run| run.id == order.run && !already);
        if let Some(before) = run.and_then(|run| run.steps.get(&order.step)) {
            // A host that had to be forced had not stopped by then: that is all its time says.
            let forced = order.verb != Verb::Stop;
            self.learnt.stopped(&order.step, before, took, late || forced);
        }
    }

    fn change_step(&mut self, order: &Order, next: impl FnOnce(&StepState) -> Option<StepState>) {
        let run = self.run.as_mut().filter(|run| run.id == order.run);
        if let Some(state) = run.and_then(|run| run.steps.get_mut(&order.step))
            && let Some(next) = next(state)
        {
            *state = next;
        }
    }

    fn requested(&mut self, now: Mono, order: &Order) {
        // It answered, so it runs, and it goes down from here.
        self.booting.remove(&order.step);
        if let Some(stopped) = self.stopped.get_mut(&order.step) {
            // Whatever was seen before: from here on only a new confirmation says that it is off.
            *stopped = Stopped::Asked;
        }
        let mut given_up = false;
        self.change_step(order, |state| match state {
            StepState::InFlight(flight) if flight.verb != order.verb => None,
            StepState::InFlight(flight) => Some(StepState::InFlight(InFlight {
                requested: true,
                ..flight.clone()
            })),
            StepState::Abandoned {
                since,
                because,
                problem,
                ..
            } => {
                given_up = true;
                let (because, problem) = (because.clone(), problem.clone());
                Some(StepState::Abandoned {
                    since: *since,
                    requested: true,
                    because,
                    problem,
                })
            }
            StepState::Cancelled { since, .. } => Some(StepState::InFlight(InFlight {
                requested: true,
                ..started(since.unwrap_or(now), order, None)
            })),
            StepState::Waiting | StepState::Confirmed { .. } | StepState::Skipped { .. } => None,
        });
        if given_up || self.run.as_ref().is_none_or(|run| run.id != order.run) {
            self.stopped.entry(order.step.clone()).or_insert(Stopped::Asked);
        }
        // A cancelled step that was accepted after all is finished like any other.
        if let Some(run) = self.run.as_mut().filter(|run| run.id == order.run) {
            run.ended &= !run.is_busy();
        }
    }

    fn abandoned(&mut self, now: Mono, order: &Order, because: &Label) {
        let mut asked = false;
        self.note_leaving(now, order);
        self.change_step(order, |state| {
            let (since, requested, problem) = match state {
                StepState::InFlight(flight) => {
                    asked = flight.may_have_arrived();
                    (flight.since, flight.requested, flight.problem.clone())
                }
                _ => (now, false, None),
            };
            Some(StepState::Abandoned {
                since,
                requested,
                because: because.clone(),
                problem,
            })
        });
        if asked {
            self.stopped.entry(order.step.clone()).or_insert(Stopped::Asked);
        }
    }

    /// A host that is given up for a new run may be stopping right now; its budget still counts.
    fn note_leaving(&mut self, now: Mono, order: &Order) {
        let run = self.run.as_ref();
        let Some(run) = run.filter(|run| run.id == order.run && run.abandoned.is_some()) else {
            return;
        };
        if let (Some(StepState::InFlight(flight)), Some(step)) =
            (run.steps.get(&order.step), run.plan.step(&order.step))
        {
            let until = flight.since.after(step.budget);
            if flight.requested && flight.failed_at.is_none() && now < until {
                self.leaving.insert(order.step.clone(), until);
            }
        }
    }

    fn ended(&mut self, id: u64) {
        let Some(run) = self.run.as_mut().filter(|active| active.id == id) else {
            return;
        };
        run.ended = true;
        self.pause = None;
        self.orders_held = None;
        let up_since = std::mem::take(&mut self.up_since);
        for (step, state) in &run.steps {
            // It was started by hand since, whatever had become of it.
            if up_since.contains(step) {
                continue;
            }
            let holds = match state {
                // Unless it was started by hand since.
                StepState::Confirmed { .. }
                    if self.stopped.contains_key(step) || self.off_before.contains(step) =>
                {
                    false
                }
                StepState::Skipped { .. } => false,
                StepState::Abandoned { .. } => run
                    .plan
                    .step(step)
                    .is_some_and(|step| step.on_failure != OnFailure::GoOn),
                _ => continue,
            };
            self.tried.insert(step.clone(), holds);
        }
    }

    /// What is stopped while no outage is on is stopped because somebody wants it so.
    fn note_ordered(&mut self, scope: &[String]) {
        if self.outage_since.is_none() {
            let here = scope.iter().filter(|host| !self.stopped.contains_key(*host));
            self.on_purpose.extend(here.cloned());
        }
    }

    /// It runs, so a plan stops it again if need be, and it is not ours to start any more.
    fn runs_again(&mut self, host: &str) {
        self.stopped.remove(host);
        self.tried.remove(host);
        self.leaving.remove(host);
        self.booting.remove(host);
        self.not_back.remove(host);
        self.on_purpose.remove(host);
        self.schedules.let_go(host);
        self.off_before.remove(host);
    }

    fn apply_back(&mut self, at: Now, record: &Record) {
        match record {
            Record::ReturnStarted {
                run,
                because,
                plan,
                hosts,
                ..
            } => {
                self.last_run = self.last_run.max(*run);
                self.back = Some(Run::new(*run, plan.clone(), because.clone(), at, hosts));
            }
            Record::HostStartStarted { order, budget_ms } => {
                self.change_back(order, |state| {
                    let before = match state {
                        StepState::InFlight(flight) => Some(flight.clone()),
                        _ => None,
                    };
                    Some(StepState::InFlight(started(at.mono, order, before)))
                });
                // From here on it may be coming up, whatever becomes of our order.
                self.booting.insert(order.step.clone(), at.mono.after(*budget_ms));
            }
            Record::HostStartRequested { order } => self.change_back(order, |state| match state {
                StepState::InFlight(flight) => Some(StepState::InFlight(InFlight {
                    requested: true,
                    ..flight.clone()
                })),
                _ => None,
            }),
            Record::HostStartConfirmed { order, took_ms, .. } => {
                self.change_back(order, |_| Some(StepState::Confirmed { took: *took_ms }));
                self.runs_again(&order.step);
            }
            Record::HostStartFailed { order, problem, .. } => {
                let mut arrived = true;
                self.change_back(order, |state| match state {
                    StepState::InFlight(flight) => {
                        let flight = InFlight {
                            failures: flight.failures.saturating_add(1),
                            failed_at: Some(at.mono),
                            problem: Some(problem.clone()),
                            ..flight.clone()
                        };
                        arrived = flight.may_have_arrived();
                        Some(StepState::InFlight(flight))
                    }
                    _ => None,
                });
                if !arrived {
                    self.booting.remove(&order.step);
                }
            }
            Record::HostStartAbandoned { order, because } => {
                let mut why = because.clone();
                self.change_back(order, |state| {
                    let (since, requested, problem) = match state {
                        StepState::InFlight(flight) => {
                            (flight.since, flight.requested, flight.problem.clone())
                        }
                        _ => (at.mono, false, None),
                    };
                    if let Some(problem) = problem.as_ref().filter(|problem| **problem != because.en) {
                        why = Label::new(
                            format!("{}（{problem}）", because.ja),
                            format!("{} ({problem})", because.en),
                        );
                    }
                    Some(StepState::Abandoned {
                        since,
                        requested,
                        because: because.clone(),
                        problem,
                    })
                });
                self.not_back.insert(order.step.clone(), why);
            }
            Record::ReturnEnded { run, broken_off, .. } => {
                if let Some(back) = self.back.as_mut().filter(|back| back.id == *run) {
                    back.ended = true;
                    back.abandoned.clone_from(broken_off);
                    for state in back.steps.values_mut() {
                        let since = match state {
                            StepState::InFlight(flight) => Some(flight.since),
                            StepState::Waiting => None,
                            _ => continue,
                        };
                        let because = broken_off.clone().unwrap_or_default();
                        *state = StepState::Cancelled { since, because };
                    }
                }
            }
            Record::ReturnHeld { by, reason } => self.held = Some((by.clone(), reason.clone())),
            Record::ReturnReleased { .. } => {
                self.held = None;
                self.on_purpose.clear();
                self.not_back.clear();
            }
            _ => {}
        }
    }

    fn change_back(&mut self, order: &Order, next: impl FnOnce(&StepState) -> Option<StepState>) {
        let back = self.back.as_mut().filter(|back| back.id == order.run);
        if let Some(state) = back.and_then(|back| back.steps.get_mut(&order.step))
            && let Some(next) = next(state)
        {
            *state = next;
        }
    }

    fn apply_rehearsal(&mut self, at: Now, record: &Record) {
        if let Record::RehearsalStarted { run, by, plan, .. } = record {
            self.last_run = self.last_run.max(*run);
            let because = Label::new(format!("{by} の予行"), format!("rehearsal by {by}"));
            let scope: Vec<String> = plan.steps().iter().map(|step| step.id.clone()).collect();
            let mut started = Run::new(*run, plan.clone(), because, at, &scope);
            started.by.clone_from(by);
            self.rehearsal = Some(started);
            return;
        }
        let Some(rehearsal) = &mut self.rehearsal else {
            return;
        };
        let (order, next) = match record {
            Record::CheckStarted { order } => (order, StepState::InFlight(started(at.mono, order, None))),
            Record::CheckPassed { order, took_ms } => (order, StepState::Confirmed { took: *took_ms }),
            Record::CheckFailed { order, problem } => {
                let because = Label::new(problem.clone(), problem.clone());
                let problem = Some(problem.clone());
                let since = at.mono;
                (
                    order,
                    StepState::Abandoned {
                        since,
                        requested: false,
                        because,
                        problem,
                    },
                )
            }
            Record::RehearsalEnded { run, broken_off, .. } => {
                if rehearsal.id == *run {
                    rehearsal.ended = true;
                    rehearsal.abandoned.clone_from(broken_off);
                    for state in rehearsal.steps.values_mut() {
                        if let StepState::InFlight(flight) = state {
                            let because = broken_off.clone().unwrap_or_default();
                            *state = StepState::Cancelled {
                                since: Some(flight.since),
                                because,
                            };
                        }
                    }
                    let result = Exercise::of(rehearsal, ExerciseKind::Rehearsal, at.wall);
                    self.keep(result);
                }
                return;
            }
            _ => return,
        };
        if rehearsal.id == order.run
            && let Some(state) = rehearsal.steps.get_mut(&order.step)
        {
            *state = next;
        }
    }
}

/// Every moment of it becomes now.
fn rebase_run<Kind>(run: &mut Run<Kind>, now: Mono) {
    run.since = now;
    for state in run.steps.values_mut() {
        match state {
            StepState::InFlight(flight) => {
                flight.since = now;
                flight.failed_at = flight.failed_at.map(|_| now);
            }
            StepState::Abandoned { since, .. }
            | StepState::Skipped {
                since: Some(since), ..
            }
            | StepState::Cancelled {
                since: Some(since), ..
            } => {
                *since = now;
            }
            StepState::Waiting
            | StepState::Confirmed { .. }
            | StepState::Skipped { since: None, .. }
            | StepState::Cancelled { since: None, .. } => {}
        }
    }
}

fn started(now: Mono, order: &Order, before: Option<InFlight>) -> InFlight {
    let fresh = InFlight {
        since: now,
        verb: order.verb,
        was_asked: false,
        attempt: order.attempt,
        requested: false,
        unanswered: false,
        failures: 0,
        failed_at: None,
        problem: None,
    };
    match before {
        None => fresh,
        // Forced: it has a budget and tries of its own.
        Some(flight) if flight.verb != order.verb => InFlight {
            was_asked: flight.may_have_arrived(),
            problem: flight.problem,
            ..fresh
        },
        Some(flight) => InFlight {
            attempt: order.attempt,
            unanswered: flight.unanswered || flight.failed_at.is_none(),
            failed_at: None,
            ..flight
        },
    }
}

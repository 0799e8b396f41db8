//! Back again: the hosts that we stopped are started once the power can be trusted.
//!
//! ```text
//! stopped by us, [host.start] says how, no outage, nobody holds it, not stopped by an order
//!   -> needed feeds on mains for return_after, batteries enough for one more full stop
//!   -> ReturnStarted (list frozen; what is used first)
//!   -> for each: HostStartStarted -> HostStartRequested -> HostStartConfirmed
//!                    |  tries with pauses, START_ROUNDS budgets in all
//!                    +-> HostStartAbandoned: what uses it stays off, a person is called
//!   -> ReturnEnded
//! mains fail in between: ReturnEnded at once; a host that may be coming up counts as running, and
//! its silence does not count as stopped, until its budget is over
//! ```
//! A host that was off before a run, that ran before we asked, or that a person started is none of
//! ours. One that was stopped by an order while mains was there stays off until somebody releases it.
//! What a battery gives is reckoned with the load of the running room, as it was seen when an outage
//! began: a room that is off flatters every UPS.
//!
//! It never starts a host before everything that it uses runs, and never on one that is in doubt.

use super::book::Stopped;
use super::judge::{Supplies, life};
use super::record::{Order, Outcome, Record};
use super::run::{InFlight, Return, Run, StepState};
use super::{Act, Do, MAX_TRIES, Outage, Turn};
use crate::plan::PlanStep;
use crate::power::Verdict;
use crate::power::feeds::{Life, Supply};
use crate::site::Label;
use crate::time::{Millis, Mono, Now};
use std::collections::BTreeSet;

/// A host that does not come up is asked again, until this many of its budgets are spent.
pub(super) const START_ROUNDS: u64 = 2;
/// Hosts that start at the same time: what switches on together draws its inrush together.
pub(super) const MAX_STARTING: usize = 4;

impl Outage {
    // ---- may we? -------------------------------------------------------------------------

    /// How long mains must have been there before the first host is started.
    fn return_after(&self) -> Millis {
        let policy = self.config.policy.as_ref();
        policy
            .and_then(|policy| policy.return_after)
            .unwrap_or_else(|| self.mains_stable())
    }

    /// Notes since when each UPS is heard to stand on mains.
    fn note_steady(&mut self, now: Now) {
        for ups in 0..self.config.ups.len() {
            let lost_after = self.config.ups[ups].contact_lost_after;
            let steady = self.verdicts[ups] == Verdict::Mains
                && !self.is_on_battery(ups)
                && self.watches[ups].in_contact(now.mono, lost_after);
            self.steady_since[ups] = if steady {
                Some(self.steady_since[ups].unwrap_or(now.mono))
            } else {
                None
            };
        }
    }

    /// Hosts that are ours to start, what is used first in front: everything that one of them uses
    /// runs, or is on the list before it.
    pub(super) fn to_bring_back(&self) -> Vec<String> {
        let mut list: Vec<String> = Vec::new();
        for step in self.config.plan.steps().iter().rev() {
            let ours = self.book.stopped.contains_key(&step.id)
                && !self.book.not_back.contains_key(&step.id)
                && !self.book.on_purpose.contains(&step.id)
                && self.can_be_started(&step.id);
            let used = self.used_by(&step.id);
            let mut down = used.filter(|used| self.book.stopped.contains_key(*used));
            if ours && down.all(|used| list.iter().any(|listed| listed == used)) {
                list.push(step.id.clone());
            }
        }
        list
    }

    /// The hosts that this one uses: those that stop after it.
    fn used_by<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a str> {
        let steps = self.config.plan.steps().iter();
        let users = steps.filter(move |step| step.after.iter().any(|user| user == host));
        users.map(|step| step.id.as_str())
    }

    /// Why nothing at all is started now.
    fn why_nothing_starts(&self, now: Mono) -> Option<Label> {
        if let Some((by, reason)) = &self.book.held {
            return Some(Label::new(
                format!("{by} が保留中（{reason}）"),
                format!("held by {by} ({reason})"),
            ));
        }
        if self.act != Act::Ready || self.listens(now) {
            return Some(Label::new(
                "起動を実行する役割の準備ができていない",
                "what carries out orders is not ready yet",
            ));
        }
        None
    }

    /// Why this host is not started now; `None`: it may be.
    fn why_waits(&self, host: &str, supplies: &Supplies, now: Mono) -> Option<Label> {
        if let Some(why) = self.why_nothing_starts(now) {
            return Some(why);
        }
        let conf = self.config.host(host)?;
        if let Some(why) = self.why_ups_decides(&conf.feeds, now) {
            return Some(why);
        }
        let wanted = self.return_after();
        let mut steady: Vec<Millis> = conf
            .feeds
            .iter()
            .filter_map(|ups| Some(now.since(self.steady_since[*ups]?)))
            .collect();
        steady.sort_by_key(|since| std::cmp::Reverse(since.0));
        // Two supplies can hang on one UPS.
        let needed = conf.need.min(conf.feeds.len()).saturating_sub(1);
        let on_mains = life(conf, &self.supplies(now)) == Life::Safe;
        match steady.get(needed).filter(|_| on_mains) {
            None => {
                return Some(Label::new(
                    format!("{host} に必要な UPS が商用電源にない、または応答がない"),
                    format!("a UPS that {host} needs does not stand on mains, or does not answer"),
                ));
            }
            Some(since) if *since < wanted => {
                let (so_far, wanted) = (since.as_secs_f64(), wanted.as_secs_f64());
                return Some(Label::new(
                    format!("復電の安定を待つ（{so_far:.0} / {wanted:.0} 秒）"),
                    format!("waiting for stable mains ({so_far:.0} of {wanted:.0} s)"),
                ));
            }
            Some(_) => {}
        }
        self.why_too_little(conf.feeds.as_slice(), life(conf, supplies), now)
    }

    /// Why the batteries do not do for one more full stop.
    fn why_too_little(&self, feeds: &[usize], life: Life, now: Mono) -> Option<Label> {
        let policy = self.config.policy.as_ref()?;
        if let Some(wanted) = policy.return_charge {
            let low = feeds.iter().filter_map(|ups| {
                let charge = self.charge(*ups, now)?;
                (charge < wanted).then_some((*ups, charge))
            });
            if let Some((ups, charge)) = low.min_by(|a, b| a.1.total_cmp(&b.1)) {
                let name = &self.config.ups[ups].name;
                return Some(Label::new(
                    format!("充電を待つ: {name} {charge:.0} %（必要 {wanted:.0} %）"),
                    format!("waiting for charge: {name} has {charge:.0} % of {wanted:.0} %"),
                ));
            }
        }
        let ends = self.config.hosts.iter().map(|host| host.slot.end());
        let stop = ends.max().unwrap_or_default().as_secs_f64();
        let reserve = policy.reserve.as_secs_f64();
        let needed = stop + reserve + self.config.poll_interval().as_secs_f64();
        match life {
            Life::Until(secs) if secs >= needed => None,
            Life::Until(secs) => Some(Label::new(
                format!("充電を待つ: もう一度の全停止に {needed:.0} 秒必要、電池は {secs:.0} 秒"),
                format!(
                    "waiting for charge: one more full stop needs {needed:.0} s, the batteries give {secs:.0} s"
                ),
            )),
            Life::Safe | Life::Unknown => Some(Label::new(
                "電池の残りが分からない。起動は人が判断する",
                "nobody knows what the batteries hold; a person must decide",
            )),
        }
    }

    /// What every point of the graph would give if mains failed now, with the hosts running again.
    fn supplies_when_back(&self, now: Mono) -> Supplies {
        let own = self.own_supplies_without_mains(now).into_iter().enumerate();
        let loaded = own.map(|(ups, supply)| match supply {
            Supply::Draining(secs) => Supply::Draining(secs.min(self.loaded_runtime(ups, now))),
            other => other,
        });
        let loaded: Vec<Supply> = loaded.collect();
        self.spread(&loaded, &self.ends_without_mains(&loaded), &BTreeSet::new(), now)
    }

    /// Seconds at the load that it bore when an outage last began with every host running.
    fn loaded_runtime(&self, ups: usize, now: Mono) -> f64 {
        let loaded = self.ledger(ups).and_then(|ledger| ledger.loaded);
        // That was its promise; what its promises are worth was learnt since.
        let share = self.capacity.get(&self.config.ups[ups].name);
        let share = share.copied().unwrap_or(1.0);
        match (loaded, self.charge(ups, now)) {
            (Some((charge, runtime)), Some(left)) => share * runtime * left / charge,
            _ => f64::INFINITY,
        }
    }

    // ---- the return ----------------------------------------------------------------------

    /// Mains failed, or a plan stops hosts again, or the plan is another one: nothing more is started.
    pub(super) fn break_off_return(&mut self, now: Now, turn: &mut Turn) {
        self.note_steady(now);
        let Some(back) = self.book.active_back() else {
            return;
        };
        let because = if self.book.outage_since.is_some() {
            Label::new("再び停電した", "mains failed again")
        } else if self.book.active_run().is_some() {
            Label::new("停止計画が始まった", "a plan stops hosts")
        } else if back.plan.hash() != self.config.plan.hash() {
            Label::new(
                "計画の設定が変わった",
                "the plan was changed in the configuration",
            )
        } else {
            return;
        };
        for host in back.ids(|state| matches!(state, StepState::InFlight(_))) {
            self.call_back_start(&host, turn);
        }
        self.lost_starts.clear();
        self.write_end(now, Some(because), turn);
    }

    /// An order to start that has not been accepted yet need not be.
    pub(super) fn call_back_start(&self, host: &str, turn: &mut Turn) {
        let Some(back) = self.book.active_back() else {
            return;
        };
        if let Some(StepState::InFlight(flight)) = back.steps.get(host)
            && !flight.requested
            && flight.failed_at.is_none()
        {
            turn.effects
                .push(Do::Cancel(back.start_order(host, flight.attempt)));
        }
    }

    /// Moves the return on as far as it goes now.
    pub(super) fn bring_back(&mut self, now: Now, turn: &mut Turn) {
        if self.book.outage_since.is_some() || self.book.active_run().is_some() {
            return;
        }
        let supplies = self.supplies_when_back(now.mono);
        self.begin_return(now, &supplies, turn);
        self.give_up_starts(now, turn);
        self.start_again(now, turn);
        self.start_free_hosts(now, &supplies, turn);
        self.end_return(now, turn);
    }

    fn begin_return(&mut self, now: Now, supplies: &Supplies, turn: &mut Turn) {
        if self.book.active_back().is_some() {
            return;
        }
        let hosts = self.to_bring_back();
        let first = |host: &&String| {
            let mut used = self.used_by(host);
            used.all(|used| !self.book.stopped.contains_key(used))
        };
        if !hosts
            .iter()
            .filter(first)
            .any(|host| self.why_waits(host, supplies, now.mono).is_none())
        {
            return;
        }
        let secs = self.return_after().as_secs_f64();
        let because = Label::new(
            format!("商用電源が {secs:.0} 秒間安定し、電池はもう一度の全停止に足りる"),
            format!("mains is stable for {secs:.0} s, and the batteries hold one more full stop"),
        );
        let record = Record::ReturnStarted {
            run: self.book.last_run.saturating_add(1),
            plan_hash: self.config.plan.hash().into(),
            because,
            plan: self.config.plan.clone(),
            hosts,
        };
        self.record(now, record, turn);
    }

    fn give_up_starts(&mut self, now: Now, turn: &mut Turn) {
        let Some(back) = self.book.active_back() else {
            return;
        };
        let overdue = back.in_order().filter_map(|(step, state)| match state {
            StepState::InFlight(flight) if now.mono >= self.start_ends(step, flight) => {
                Some((step.id.clone(), flight.attempt))
            }
            _ => None,
        });
        for (host, attempt) in overdue.collect::<Vec<_>>() {
            let secs = self.start_budget(&host).as_secs_f64();
            let because = Label::new(
                format!("起動を {START_ROUNDS} 回、各 {secs:.0} 秒試みたが応答がない"),
                format!("it does not run after {START_ROUNDS} times {secs:.0} s"),
            );
            self.call_back_start(&host, turn);
            self.abandon_start(now, &host, attempt, because, turn);
        }
    }

    fn abandon_start(&mut self, now: Now, host: &str, attempt: u32, because: Label, turn: &mut Turn) {
        let Some(back) = self.book.active_back() else {
            return;
        };
        let order = back.start_order(host, attempt);
        self.lost_starts.remove(host);
        self.record(now, Record::HostStartAbandoned { order, because }, turn);
    }

    /// Orders that failed, or that `act` may have lost, go out again under the same run and step.
    fn start_again(&mut self, now: Now, turn: &mut Turn) {
        let Some(back) = self.book.active_back().filter(|_| self.act == Act::Ready) else {
            return;
        };
        let again = |host: &str, flight: &InFlight| match flight.again_at() {
            Some(again) => now.mono >= again,
            None => self.lost_starts.contains(host),
        };
        let hosts = back.ids(|state| matches!(state, StepState::InFlight(_)));
        let due = hosts.into_iter().filter(|host| match back.steps.get(host) {
            Some(StepState::InFlight(flight)) => again(host, flight),
            _ => false,
        });
        for host in due.collect::<Vec<_>>() {
            self.start_host(now, &host, turn);
        }
    }

    fn start_free_hosts(&mut self, now: Now, supplies: &Supplies, turn: &mut Turn) {
        let Some(back) = self.book.active_back() else {
            return;
        };
        let busy = back.ids(|state| matches!(state, StepState::InFlight(_))).len();
        let free = self.free_hosts(back).into_iter();
        let may = free.filter(|host| self.why_waits(host, supplies, now.mono).is_none());
        for host in may.take(MAX_STARTING.saturating_sub(busy)).collect::<Vec<_>>() {
            self.start_host(now, &host, turn);
        }
    }

    /// Hosts that wait, and everything that they use runs.
    fn free_hosts(&self, back: &Run<Return>) -> Vec<String> {
        let runs = |used: &str| match back.steps.get(used) {
            Some(state) => matches!(state, StepState::Confirmed { .. }),
            None => !self.book.stopped.contains_key(used),
        };
        let steps = back.plan.steps().iter().rev();
        let waiting = steps.filter(|step| back.steps.get(&step.id) == Some(&StepState::Waiting));
        let free = waiting.filter(|step| self.used_by(&step.id).all(runs));
        free.map(|step| step.id.clone()).collect()
    }

    fn start_host(&mut self, now: Now, host: &str, turn: &mut Turn) {
        let Some(back) = self.book.active_back() else {
            return;
        };
        let order = back.start(host);
        let budget_ms = Millis(self.start_budget(host).0.saturating_mul(START_ROUNDS));
        self.lost_starts.remove(host);
        let record = Record::HostStartStarted {
            order: order.order().clone(),
            budget_ms,
        };
        self.record(now, record, turn);
        turn.effects.push(Do::Execute(order));
    }

    fn start_budget(&self, host: &str) -> Millis {
        self.config
            .host(host)
            .and_then(|host| host.start)
            .unwrap_or_default()
    }

    /// When it is given up.
    fn start_ends(&self, step: &PlanStep, flight: &InFlight) -> Mono {
        let budget = self.start_budget(&step.id).0;
        flight.since.after(Millis(budget.saturating_mul(START_ROUNDS)))
    }

    fn end_return(&mut self, now: Now, turn: &mut Turn) {
        let Some(back) = self.book.active_back().filter(|back| !back.is_busy()) else {
            return;
        };
        let mut blocked: BTreeSet<&str> = BTreeSet::new();
        for step in back.plan.steps().iter().rev() {
            let state = back.steps.get(&step.id);
            let on_it = |used: &str| {
                let given_up = matches!(back.steps.get(used), Some(StepState::Abandoned { .. }));
                let off = !back.steps.contains_key(used) && self.book.stopped.contains_key(used);
                given_up || off || blocked.contains(used)
            };
            if state == Some(&StepState::Waiting) && self.used_by(&step.id).any(on_it) {
                blocked.insert(&step.id);
            }
        }
        let waits = back.ids(|state| *state == StepState::Waiting);
        if waits.iter().all(|host| blocked.contains(host.as_str())) {
            self.write_end(now, None, turn);
        }
    }

    fn write_end(&mut self, now: Now, broken_off: Option<Label>, turn: &mut Turn) {
        let Some(back) = self.book.active_back() else {
            return;
        };
        let record = Record::ReturnEnded {
            run: back.id,
            started: back.ids(|state| matches!(state, StepState::Confirmed { .. })),
            not_started: back.ids(|state| !matches!(state, StepState::Confirmed { .. })),
            broken_off,
        };
        self.record(now, record, turn);
    }

    /// What `act` reports of an order to start.
    pub(super) fn report_start(&mut self, now: Now, order: &Order, outcome: Outcome, turn: &mut Turn) {
        let back = self.book.back.as_ref().filter(|back| back.id == order.run);
        let state = back.and_then(|back| back.steps.get(&order.step)).cloned();
        match outcome {
            Outcome::Requested => {
                if matches!(&state, Some(StepState::InFlight(flight)) if !flight.requested) {
                    self.record(now, Record::HostStartRequested { order: order.clone() }, turn);
                }
            }
            Outcome::Confirmed | Outcome::Found => {
                let since = match state {
                    Some(StepState::InFlight(flight)) => flight.since,
                    Some(
                        StepState::Abandoned { since, .. }
                        | StepState::Cancelled {
                            since: Some(since), ..
                        },
                    ) => since,
                    _ => return,
                };
                // Late is only what is still off as far as we know.
                if self.book.stopped.contains_key(&order.step) {
                    self.lost_starts.remove(&order.step);
                    let record = Record::HostStartConfirmed {
                        order: order.clone(),
                        took_ms: now.mono.since(since),
                        already: outcome == Outcome::Found,
                    };
                    self.record(now, record, turn);
                }
            }
            Outcome::Failed { problem, retryable } => {
                self.start_failed(now, order, state, problem, retryable, turn);
            }
            Outcome::Refused { problem } => self.start_failed(now, order, state, problem, true, turn),
            // A check is no proof that anything runs.
            Outcome::CheckPassed => {}
        }
    }

    fn start_failed(
        &mut self,
        now: Now,
        order: &Order,
        state: Option<StepState>,
        problem: String,
        retryable: bool,
        turn: &mut Turn,
    ) {
        let Some(StepState::InFlight(flight)) = state else {
            return;
        };
        if flight.attempt != order.attempt || flight.failed_at.is_some() {
            return;
        }
        let retryable = retryable && flight.failures.saturating_add(1) < MAX_TRIES;
        let because = Label::new(problem.clone(), problem.clone());
        let record = Record::HostStartFailed {
            order: order.clone(),
            problem,
            retryable,
        };
        self.record(now, record, turn);
        if !retryable {
            self.abandon_start(now, &order.step, order.attempt, because, turn);
        }
    }

    // ---- operators, timers, words --------------------------------------------------------

    pub(super) fn hold_return(&mut self, now: Now, by: String, reason: String, turn: &mut Turn) {
        if self.book.held.is_some() {
            turn.refused = Some(Label::new("すでに保留中です", "it is held already"));
            return;
        }
        self.record(now, Record::ReturnHeld { by, reason }, turn);
    }

    pub(super) fn release_return(&mut self, now: Now, by: String, turn: &mut Turn) {
        let book = &self.book;
        if book.held.is_none() && book.on_purpose.is_empty() && book.not_back.is_empty() {
            turn.refused = Some(Label::new(
                "保留中のものはありません",
                "nothing keeps hosts from being started",
            ));
            return;
        }
        // What it had given up is ordered anew in a return of its own, with what still waits.
        let given_up = |back: &Run<Return>| {
            let abandoned = back.ids(|state| matches!(state, StepState::Abandoned { .. }));
            !back.is_busy() && !abandoned.is_empty()
        };
        let ends = self.book.active_back().is_some_and(given_up);
        let because = Label::new(
            format!("{by} が起動の保留を解除した"),
            format!("{by} released the return; it begins anew"),
        );
        self.record(now, Record::ReturnReleased { by }, turn);
        if ends {
            self.write_end(now, Some(because), turn);
        }
    }

    /// When the return goes on by itself.
    pub(super) fn return_wakes(&self, wakes: &mut Vec<Mono>) {
        if self.book.outage_since.is_some() || self.book.stopped.is_empty() {
            return;
        }
        let wanted = self.return_after();
        let steady = self.steady_since.iter().flatten();
        wakes.extend(
            steady
                .map(|since| since.after(wanted))
                .filter(|at| *at > self.now),
        );
        if let Some(back) = self.book.active_back() {
            for (step, state) in back.in_order() {
                if let StepState::InFlight(flight) = state {
                    wakes.push(self.start_ends(step, flight));
                    wakes.extend(flight.again_at().filter(|again| *again > self.now));
                }
            }
        }
    }

    /// What the return does, or waits for, while there is anything to bring back.
    pub(super) fn because_returning(&self, now: Mono) -> Option<Label> {
        if self.book.outage_since.is_some() || self.book.active_run().is_some() {
            return None;
        }
        let list = match self.book.active_back() {
            Some(back) => {
                let mut list = back.ids(|state| matches!(state, StepState::Waiting | StepState::InFlight(_)));
                // Released since: the next return takes it.
                list.extend(self.to_bring_back().into_iter().filter(|host| {
                    !matches!(
                        back.steps.get(host),
                        Some(StepState::Waiting | StepState::InFlight(_))
                    )
                }));
                list
            }
            None => self.to_bring_back(),
        };
        if list.is_empty() {
            return None;
        }
        let named = list.join(", ");
        let why = self.why_return_waits(now).unwrap_or_else(|| {
            let starting = self.book.active_back().map_or_else(String::new, |back| {
                back.ids(|state| matches!(state, StepState::InFlight(_)))
                    .join(", ")
            });
            Label::new(format!("起動中: {starting}"), format!("starting {starting}"))
        });
        Some(Label::new(
            format!("{named}（{}）", why.ja),
            format!("{named} ({})", why.en),
        ))
    }

    /// Why no host starts at this moment; `None` while one does.
    pub(super) fn why_return_waits(&self, now: Mono) -> Option<Label> {
        let back = self.book.active_back();
        if back.is_some_and(Run::is_busy) {
            return None;
        }
        let supplies = self.supplies_when_back(now);
        let next = match back {
            Some(back) => self.free_hosts(back),
            None => self.to_bring_back(),
        };
        next.first().and_then(|host| self.why_waits(host, &supplies, now))
    }

    /// Hosts that only a person starts, and why.
    pub(super) fn left_to_people(&self) -> Vec<(&str, Stopped, Label)> {
        let ours = self.to_bring_back();
        let stopped = self.book.stopped.iter();
        let left = stopped.filter(|(host, _)| !ours.contains(host) && !self.book.schedules.keeps_off(host));
        left.map(|(host, how)| (host.as_str(), *how, self.why_a_person(host)))
            .collect()
    }

    /// The site says how.
    pub(super) fn can_be_started(&self, host: &str) -> bool {
        self.config.host(host).is_some_and(|host| host.start.is_some())
    }

    fn why_a_person(&self, host: &str) -> Label {
        if let Some(why) = self.book.not_back.get(host) {
            return Label::new(
                format!("起動しない: {}", why.ja),
                format!("did not come back: {}", why.en),
            );
        }
        if self.book.on_purpose.contains(host) {
            return Label::new("指示により停止した", "stopped by an order");
        }
        if !self.can_be_started(host) {
            return Label::new(
                "起動の方法が設定にない",
                "the site does not say how it is started",
            );
        }
        let used = self
            .used_by(host)
            .find(|used| self.book.stopped.contains_key(*used));
        let used = used.unwrap_or_default();
        Label::new(
            format!("先に {used} の起動が必要"),
            format!("{used} must run first"),
        )
    }
}

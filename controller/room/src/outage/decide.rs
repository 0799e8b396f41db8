//! When a run starts, grows, pauses and is abandoned, and when the engine wants to be woken.
//!
//! A host is due at the latest safe moment: when the power it has left is no longer more than
//! the reserve, the time until it is stopped (everything that depends on it included) and one
//! poll. Charge and time on battery can make it due earlier, by policy; the on-battery delay
//! keeps short outages from starting anything.

use super::judge::{Supplies, life};
use super::run::{Run, StepState};
use super::{Demand, FIRST_WORD, HostConf, Outage, Record, SHORTEST_WAKE, Turn};
use crate::plan::Plan;
use crate::power::Verdict;
use crate::power::feeds::{Life, Supply};
use crate::site::Label;
use crate::time::{Millis, Mono, Now, Wall};

/// How near a host is to being stopped, and by what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Urgency {
    /// Seconds until it is due; zero or less is now.
    pub(super) starts_in: f64,
    cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cause {
    Runtime { life: f64, stop: f64, reserve: f64 },
    Charge { charge: f64, limit: f64 },
    Longest { on_battery: f64 },
    Shed { on_battery: f64 },
}

impl Urgency {
    pub(super) fn because(self) -> Label {
        match self.cause {
            Cause::Runtime { life, stop, reserve } => Label::new(
                format!("残り {life:.0} 秒。停止に {stop:.0} 秒かかり、{reserve:.0} 秒を予備とする"),
                format!(
                    "{life:.0} s of power left; stopping takes {stop:.0} s and {reserve:.0} s are kept back"
                ),
            ),
            Cause::Charge { charge, limit } => Label::new(
                format!("充電 {charge:.0} %（開始値 {limit:.0} %）"),
                format!("charge is {charge:.0} %, the plan starts at {limit:.0} %"),
            ),
            Cause::Shed { on_battery } => Label::new(
                format!("バッテリー運転が {on_battery:.0} 秒続いた。残りを長持ちさせるため先に停止"),
                format!("on battery for {on_battery:.0} s; stopped early so that the others last longer"),
            ),
            Cause::Longest { on_battery } => Label::new(
                format!("バッテリー運転が {on_battery:.0} 秒続いた"),
                format!("on battery for {on_battery:.0} s"),
            ),
        }
    }
}

impl Outage {
    /// Starts or extends a run for the hosts that are due, abandons it when mains is back.
    pub(super) fn decide(&mut self, now: Now, turn: &mut Turn) {
        self.relieve(now);
        self.hold_orders(now, turn);
        self.abandon_drill(now, turn);
        self.abandon_when_stable(now, turn);
        self.end_rules(now, turn);
        self.end_pause(now, turn);
        self.start_when_due(now, turn);
        self.end_outage(now, turn);
    }

    /// Notes since when no host of the run lives on a draining battery.
    fn relieve(&mut self, now: Now) {
        let running = self.book.active_run().is_some_and(Run::stands_on_power);
        if running && !self.is_threatened(now.mono) && !self.awaits_word(now.mono) {
            self.relieved_since.get_or_insert(now.mono);
        } else {
            self.relieved_since = None;
        }
    }

    /// Notes from when to when new orders wait because mains may be back, if a server has not accepted
    /// its order yet: its budget must not run out meanwhile, for mains may fail again.
    fn hold_orders(&mut self, now: Now, turn: &mut Turn) {
        let Some(run) = self.book.active_run().filter(|run| run.abandoned.is_none()) else {
            return;
        };
        if self.listens(now.mono) {
            return;
        }
        let waits = run
            .steps
            .values()
            .any(|state| matches!(state, StepState::InFlight(flight) if !flight.requested));
        let on_power = run.stands_on_power();
        let holds = on_power && (self.relieved_since.is_some() || self.awaits_word(now.mono));
        let run = run.id;
        match self.book.orders_held {
            None if holds && waits => self.record(now, Record::OrdersHeld { run }, turn),
            Some(_) if !holds => self.record(now, Record::OrdersFreed { run }, turn),
            _ => {}
        }
    }

    /// Some host of the run lives on a draining battery.
    fn is_threatened(&self, now: Mono) -> bool {
        let supplies = self.supplies(now);
        self.book.active_run().is_some_and(|run| {
            let hosts = self
                .config
                .hosts
                .iter()
                .filter(|host| run.steps.contains_key(&host.id));
            hosts
                .map(|host| life(host, &supplies))
                .any(|life| matches!(life, Life::Until(_)))
        })
    }

    /// A battery that drained before the machine restarted has not been heard since.
    pub(super) fn awaits_word(&self, now: Mono) -> bool {
        (0..self.config.ups.len()).any(|ups| self.is_on_battery(ups) && self.is_stale(ups, now))
    }

    /// New orders wait: mains is back but not stable yet, or the truth is not known yet. The
    /// battery does not drain meanwhile.
    pub(super) fn is_paused(&self, now: Mono) -> bool {
        let on_power = self.book.active_run().is_none_or(Run::stands_on_power);
        let held_back = on_power && (self.relieved_since.is_some() || self.awaits_word(now));
        held_back || self.listens(now) || self.book.pause.is_some()
    }

    /// The first polls after a start are on their way.
    pub(super) fn listens(&self, now: Mono) -> bool {
        self.first_words().any(|until| now < until)
    }

    fn first_words(&self) -> impl Iterator<Item = Mono> {
        self.watches
            .iter()
            .filter_map(|watch| watch.first_word_until(FIRST_WORD))
    }

    /// Until when a host is let alone because a UPS of it has just said that mains is back: one more
    /// word makes it certain. After a silence or a restart that is often the very first word.
    fn second_word(&self, host: &HostConf, now: Mono) -> Option<Mono> {
        let feeds = host.feeds.iter().filter(|ups| self.is_on_battery(**ups));
        let until = feeds.filter_map(|ups| {
            let poll = self.config.ups[*ups].poll_on_battery;
            self.watches[*ups].second_word_until(Millis(poll.0.saturating_add(FIRST_WORD.0)))
        });
        until.filter(|until| now < *until).max()
    }

    pub(super) fn mains_stable(&self) -> Millis {
        self.config
            .policy
            .as_ref()
            .map_or(Millis(0), |policy| policy.mains_stable)
    }

    fn abandon_when_stable(&mut self, now: Now, turn: &mut Turn) {
        let stable = self.mains_stable();
        let Some(since) = self
            .relieved_since
            .filter(|since| now.mono >= since.after(stable))
        else {
            return;
        };
        let Some(run) = self.book.active_run().filter(|run| run.abandoned.is_none()) else {
            return;
        };
        let secs = now.mono.since(since).as_secs_f64();
        let because = Label::new(
            format!("商用電源が {secs:.0} 秒間安定して復電した"),
            format!("mains is back and stable for {secs:.0} s"),
        );
        let run = run.id;
        let by = None;
        self.record(now, Record::RunAbandoned { run, because, by }, turn);
    }

    /// A run frozen under another configuration cannot go on: `act` knows only the new plan.
    /// What it had under way is decided anew.
    pub(super) fn drop_run_of_other_plan(&mut self, now: Now, turn: &mut Turn) {
        let Some(run) = self.book.active_run() else { return };
        if run.plan.hash() == self.config.plan.hash() {
            return;
        }
        let id = run.id;
        // What a rule demanded it demands of the new plan, too.
        let rules: Vec<String> = run.demands.iter().filter_map(Demand::rule).collect();
        let open = run.ids(|state| matches!(state, StepState::Waiting | StepState::InFlight(_)));
        let because = Label::new(
            "計画の設定が変わった",
            "the plan was changed in the configuration",
        );
        let abandoned = Record::RunAbandoned {
            run: id,
            because: because.clone(),
            by: None,
        };
        self.record(now, abandoned, turn);
        for step in open {
            let because = because.clone();
            self.record(
                now,
                Record::StepCancelled {
                    run: id,
                    step,
                    because,
                },
                turn,
            );
        }
        for rule in rules {
            self.record(now, Record::RuleOver { rule }, turn);
        }
    }

    fn start_when_due(&mut self, now: Now, turn: &mut Turn) {
        if self.listens(now.mono) {
            return;
        }
        if let Some((after, ending)) = self.without_abandoned_run(now) {
            if let Some(record) = after.due_run(now.mono) {
                *self = after;
                turn.records.extend(ending.records);
                turn.effects.extend(ending.effects);
                self.relieved_since = None;
                self.record(now, record, turn);
            }
        } else if let Some(record) = self.due_run(now.mono) {
            self.record(now, record, turn);
        }
        // What else is due joins the run that has just begun.
        while let Some(record) = self.due_run(now.mono).filter(|_| self.may_extend()) {
            self.record(now, record, turn);
        }
        self.end_pause_for_more(now, turn);
        self.withhold(now, turn);
    }

    /// A run goes on that takes in more hosts.
    fn may_extend(&self) -> bool {
        self.book.active_run().is_some_and(|run| run.abandoned.is_none())
    }

    /// This engine as it is once an abandoned run has made way, and how it does: what is still
    /// stopping is no longer waited for, or one hung host would keep all others from a new run.
    /// `None` while no abandoned run is active.
    fn without_abandoned_run(&self, now: Now) -> Option<(Self, Turn)> {
        let run = self.book.active_run().filter(|run| run.abandoned.is_some())?;
        let busy = run.in_order().filter_map(|(step, state)| match state {
            StepState::InFlight(flight) if flight.requested => Some((step.id.clone(), flight.clone())),
            _ => None,
        });
        let busy: Vec<_> = busy.collect();
        let (mut after, mut turn) = (self.clone(), Turn::default());
        after.cancel_abandoned(now, &mut turn);
        for (step, flight) in busy {
            let because = Label::new(
                "停止の確認前に、新しい計画に切り替えた",
                "a new run takes over before it was confirmed stopped",
            );
            after.give_up(now, &step, &flight, because, &mut turn);
        }
        after.end_run(now, &mut turn);
        Some((after, turn))
    }

    /// The record that starts or extends a run for the hosts that are due.
    fn due_run(&self, now: Mono) -> Option<Record> {
        let by_power = || self.due_by_power(now);
        let (demand, because, scope) = by_power().or_else(|| self.due_by_rule(now))?;
        Some(self.run_for(demand, because, scope))
    }

    /// Hosts whose power ends.
    fn due_by_power(&self, now: Mono) -> Option<(Demand, Label, Vec<String>)> {
        let mut because = None;
        let mut due = Vec::new();
        let (supplies, stops) = (self.supplies(now), self.stops_in(now));
        for host in self.unplanned_hosts().filter(|host| self.power_may_stop(host)) {
            if self.second_word(host, now).is_some() {
                continue;
            }
            let urgency = self.urgency(host, &supplies, &stops, now);
            if let Some(urgency) = urgency.filter(|urgency| urgency.starts_in <= 0.0) {
                because.get_or_insert(urgency.because());
                due.push(host.id.clone());
            }
        }
        let because = because?;
        let scope = self.scope(due);
        (!scope.is_empty()).then_some((Demand::Power, because, scope))
    }

    /// The record that starts a run for these hosts, or takes them into the active one.
    pub(super) fn run_for(&self, demand: Demand, because: Label, scope: Vec<String>) -> Record {
        match self.book.active_run() {
            Some(run) => Record::RunExtended {
                run: run.id,
                because,
                scope,
                demand,
            },
            None => Record::RunStarted {
                run: self.book.last_run.saturating_add(1),
                plan_hash: self.config.plan.hash().into(),
                because,
                plan: self.config.plan.clone(),
                scope,
                demand,
                planned: self.planned_lengths(),
            },
        }
    }

    /// Hosts that no run of this outage has dealt with.
    pub(super) fn unplanned_hosts(&self) -> impl Iterator<Item = &HostConf> {
        let run = self.book.active_run();
        self.config.hosts.iter().filter(move |host| {
            let planned = run.is_some_and(|run| run.steps.contains_key(&host.id));
            !planned && !self.book.tried.contains_key(&host.id)
        })
    }

    /// The due hosts and their dependants, without what was dealt with already and without what
    /// is held because a dependant could not be stopped.
    fn scope(&self, due: Vec<String>) -> Vec<String> {
        let plan = &self.config.plan;
        let wanted = plan.with_dependants(due);
        let held = held_by_earlier_runs(plan, &self.book.tried);
        let run = self.book.active_run();
        let steps = plan.steps().iter().map(|step| step.id.clone());
        let open =
            steps.filter(|id| wanted.contains(id) && !held.contains(id) && !self.book.tried.contains_key(id));
        open.filter(|id| run.is_none_or(|run| !run.steps.contains_key(id)))
            .collect()
    }

    /// How near a host is to being stopped; `None` while nothing threatens it.
    pub(super) fn urgency(
        &self,
        host: &HostConf,
        supplies: &Supplies,
        stops: &[f64],
        now: Mono,
    ) -> Option<Urgency> {
        let policy = self.config.policy.as_ref()?;
        let Life::Until(life) = life(host, supplies) else {
            return None;
        };
        let on_battery = self.on_battery(host, now).as_secs_f64();
        let stop = stops[host.at];
        let (reserve, longest) = (
            policy.reserve.as_secs_f64(),
            policy.longest_on_battery.as_secs_f64(),
        );
        let spare = life - stop - reserve - self.config.poll_interval().as_secs_f64();
        let left = longest - on_battery;
        let delay = self.delay_left(host, supplies, now);
        let shed = self.shed_in(host, on_battery);
        let limit = policy.start_at_charge;
        let low = self
            .weakest_charge(host, supplies, now)
            .filter(|charge| *charge <= limit);
        let (starts_in, cause) = match low {
            Some(charge) => (0.0, Cause::Charge { charge, limit }),
            None if shed.is_some_and(|shed| shed < spare.min(left)) => {
                (shed.unwrap_or_default(), Cause::Shed { on_battery })
            }
            None if left < spare => (left, Cause::Longest { on_battery }),
            None => (spare, Cause::Runtime { life, stop, reserve }),
        };
        Some(Urgency {
            starts_in: starts_in.max(delay),
            cause,
        })
    }

    /// Seconds that the on-battery delay still keeps this host from being due. None when it
    /// cannot do without a battery that says "low": then there is nothing to ride through with.
    pub(super) fn delay_left(&self, host: &HostConf, supplies: &Supplies, now: Mono) -> f64 {
        let supplies = supplies.of(host);
        let lasts = |point: &&usize| match supplies[**point] {
            Supply::Steady => true,
            Supply::Draining(_) => {
                let carrier = self.config.graph.carrier(**point, supplies);
                carrier.is_some_and(|ups| !self.watches[ups].is_low())
            }
            Supply::Doubtful | Supply::Gone => false,
        };
        let delay = self
            .config
            .policy
            .as_ref()
            .map_or(0.0, |policy| policy.on_battery_delay.as_secs_f64());
        if host.points.iter().filter(lasts).count() < host.need {
            return 0.0;
        }
        (delay - self.on_battery(host, now).as_secs_f64()).max(0.0)
    }

    fn on_battery(&self, host: &HostConf, now: Mono) -> Millis {
        let feeds = host.feeds.iter().filter(|ups| self.is_on_battery(**ups));
        let times = feeds.filter_map(|ups| Some(self.ledger(*ups)?.on_battery_for(now)));
        times.max().unwrap_or_default()
    }

    /// Charge of the weakest feed that this host cannot do without.
    pub(super) fn weakest_charge(&self, host: &HostConf, supplies: &Supplies, now: Mono) -> Option<f64> {
        let supplies = supplies.of(host);
        let mut charges: Vec<f64> = host
            .points
            .iter()
            .filter_map(|point| match supplies[*point] {
                Supply::Steady => Some(100.0),
                Supply::Draining(_) => {
                    let ups = self.config.graph.carrier(*point, supplies);
                    Some(ups.and_then(|ups| self.charge(ups, now)).unwrap_or(100.0))
                }
                Supply::Doubtful | Supply::Gone => None,
            })
            .collect();
        charges.sort_by(|a, b| b.total_cmp(a));
        charges.get(host.need.min(charges.len()).checked_sub(1)?).copied()
    }

    fn end_outage(&mut self, now: Now, turn: &mut Turn) {
        if self.outage_ends().is_some_and(|ends| now.mono >= ends) && self.book.active_run().is_none() {
            self.record(now, Record::OutageOver, turn);
        }
    }

    /// When the outage counts as over, if nothing happens until then.
    fn outage_ends(&self) -> Option<Mono> {
        self.book.outage_since?;
        let mut latest = Mono(0);
        for (index, _) in self.config.ups.iter().enumerate() {
            if self.is_on_battery(index) || self.is_switched_off(index, self.now) {
                return None;
            }
            latest = latest.max(
                self.ledger(index)
                    .and_then(|ledger| ledger.mains_since)
                    .unwrap_or_default(),
            );
        }
        Some(latest.after(self.mains_stable()))
    }

    /// When the engine wants [`super::Input::Tick`] if nothing comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let mut wakes: Vec<Mono> = Vec::new();
        for (index, watch) in self.watches.iter().enumerate() {
            let ledger = self.ledger(index);
            let ends = watch.contact_ends(self.config.ups[index].contact_lost_after);
            if !ledger.is_some_and(|ledger| ledger.contact_lost) || self.now < ends {
                wakes.push(ends);
            }
            wakes.extend(watch.test_ends().filter(|ends| *ends > self.now));
            wakes.extend(watch.expected_test_ends().filter(|ends| *ends > self.now));
        }
        wakes.extend(self.first_words().filter(|until| *until > self.now));
        wakes.extend(self.ask_again.values());
        if self.book.active_run().is_none() {
            wakes.extend(self.outage_ends());
        }
        let now = Now {
            mono: self.now,
            wall: Wall(0),
        };
        match self.without_abandoned_run(now) {
            Some((after, _)) => after.start_wakes(&mut wakes),
            None => self.start_wakes(&mut wakes),
        }
        self.run_wakes(&mut wakes);
        self.rule_wakes(&mut wakes);
        self.pause_wakes(&mut wakes);
        wakes.extend(self.checks.wake());
        self.return_wakes(&mut wakes);
        self.finish_wakes(&mut wakes);
        let mut by_calendar = Vec::new();
        self.schedule_wakes(&mut by_calendar);
        wakes.extend(by_calendar);
        wakes
            .into_iter()
            .min()
            .map(|wake| wake.max(self.now.after(SHORTEST_WAKE)))
    }

    /// When hosts are due.
    fn start_wakes(&self, wakes: &mut Vec<Mono>) {
        let (supplies, stops) = (self.supplies(self.now), self.stops_in(self.now));
        for host in self.unplanned_hosts().filter(|host| !self.is_held(&host.id)) {
            if self.book.withheld.contains_key(&host.id) && !self.power_may_stop(host) {
                continue;
            }
            let urgency = self.urgency(host, &supplies, &stops, self.now);
            let due = urgency.map(|urgency| self.in_secs(urgency.starts_in));
            wakes.extend(due.map(|due| due.max(self.second_word(host, self.now).unwrap_or_default())));
        }
    }

    fn run_wakes(&self, wakes: &mut Vec<Mono>) {
        if let Some(run) = self.book.active_run() {
            wakes.extend(self.book.leaving.values().filter(|until| **until > self.now));
            let stable = self.mains_stable();
            let relieved = self.relieved_since.filter(|_| run.abandoned.is_none());
            wakes.extend(relieved.map(|since| since.after(stable)));
            for (step, state) in run.in_order() {
                if let StepState::InFlight(flight) = state {
                    // One that waits to be forced is woken by what holds it back.
                    wakes.extend(
                        [flight.since.after(step.budget)]
                            .into_iter()
                            .filter(|at| *at > self.now),
                    );
                    wakes.extend(flight.again_at().filter(|again| *again > self.now));
                }
            }
        }
        if let Some(rehearsal) = self.book.active_rehearsal() {
            for (step, state) in rehearsal.in_order() {
                if let StepState::InFlight(flight) = state {
                    wakes.push(flight.since.after(super::rehearsal::check_budget(step)));
                }
            }
        }
    }

    fn is_held(&self, id: &str) -> bool {
        held_by_earlier_runs(&self.config.plan, &self.book.tried)
            .iter()
            .any(|held| held == id)
    }

    pub(super) fn in_secs(&self, secs: f64) -> Mono {
        // Rounded up: waking a moment too early would only mean waking twice.
        let millis = (secs.max(0.0) * 1000.0).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "float to int casts saturate"
        )]
        self.now.after(Millis(millis as u64))
    }

    /// True while some UPS is suspected and none is on battery.
    pub(super) fn is_suspected(&self, ups: usize) -> bool {
        self.verdicts[ups] == Verdict::Suspected
    }
}

/// Hosts that must stay up because a dependant was given up in this outage and holds them.
fn held_by_earlier_runs(plan: &Plan, tried: &std::collections::BTreeMap<String, bool>) -> Vec<String> {
    let mut held: Vec<String> = Vec::new();
    for step in plan.steps() {
        let blocks = |before: &String| held.contains(before) || tried.get(before) == Some(&true);
        if step.after.iter().any(blocks) {
            held.push(step.id.clone());
        }
    }
    held
}

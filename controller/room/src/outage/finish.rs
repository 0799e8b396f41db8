//! The end of a plan: every server is off, so the UPSes are told to switch off, and on again with the
//! mains; the controller's own machine is stopped last.
//!
//! ```text
//! the outage stands, every host of the plan confirmed off, every UPS has said so since
//!   -> FinishStarted (what is told is frozen)
//!   -> for each UPS:   FinishOrdered -> FinishTold          from here the UPS decides
//!                          | tries with pauses, MAX_TELLS in all
//!                          +-> given up: the controller stays
//!   -> all of them told, the outage still stands, time enough before the first one switches off:
//!      FinishOrdered for the controller's machine -> FinishTold
//!   -> FinishEnded
//! mains back in between: FinishEnded at once; what was told is left to the UPS, nothing more is told
//! ```
//!
//! Why all of this: a server that was stopped, and whose power never went away, stays off when the
//! mains come back. A UPS that has been told switches its output off and on in any case, so the
//! servers come up by themselves; those that do not are started by `back.rs`, which waits until a UPS
//! that was told has had the time to decide.
//!
//! It never takes the power of a host that is not confirmed off, unless the site says so for that
//! host; never on the word of a battery alone that was said before the last host was off; never after a
//! UPS has it (a command whose answer was lost is told again, with its whole delay), and not twice in one
//! outage; never while a person holds the return or wants a host to stand still, for a UPS that
//! switches on again starts every host. It never stops the controller's machine unless every UPS was
//! told before: nothing would switch it on again.

use super::book::{Book, Stopped};
use super::record::{Cutting, Outcome, Record};
use super::run::RealOrder;
use super::{Act, Config, Do, LONGEST_RETRY, Order, Outage, RETRY_AFTER, Turn, UpsConf, Verb};
use crate::power::Verdict;
use crate::power::signs::Source;
use crate::site::{Label, Site, World};
use crate::snapshot;
use crate::time::{Millis, Mono, Now};
use std::collections::{BTreeMap, BTreeSet};

/// Tries of each command.
pub const MAX_TELLS: u32 = 5;
/// A command without an answer for so long counts as failed.
pub const TELL_WITHIN: Millis = Millis::from_secs(20);
/// A UPS that was told may still switch off so long after its delay: their clocks are coarse.
pub const CUT_WITHIN: Millis = Millis::from_secs(60);
/// So long after the power is back a host may be coming up by itself, and its silence proves nothing.
pub const BOOT_WITHIN: Millis = Millis::from_secs(600);
/// A word is fresh for so many polls on battery, and a second.
const FRESH_POLLS: u64 = 3;

/// What is told at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The output of a UPS.
    Output(String),
    /// The controller's own machine.
    Controller,
}

/// Steps of hosts have short names, without these.
const OUTPUT: &str = "output/";
const CONTROLLER: &str = "own/controller";

impl Target {
    /// As it stands in an order.
    #[must_use]
    pub fn step(&self) -> String {
        match self {
            Self::Output(ups) => format!("{OUTPUT}{ups}"),
            Self::Controller => CONTROLLER.to_owned(),
        }
    }

    /// What an order is about; `None`: a host.
    #[must_use]
    pub fn of(step: &str) -> Option<Self> {
        match step.strip_prefix(OUTPUT) {
            Some(ups) => Some(Self::Output(ups.to_owned())),
            None => (step == CONTROLLER).then_some(Self::Controller),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Output(ups) => ups,
            Self::Controller => "controller",
        }
    }
}

/// What the site says, resolved.
#[derive(Debug, Clone)]
pub(super) struct FinishConf {
    cuts: Vec<CutConf>,
    may_run: BTreeSet<String>,
    controller: Option<Millis>,
}

#[derive(Debug, Clone)]
struct CutConf {
    ups: usize,
    delay: Millis,
    also: Vec<String>,
}

impl FinishConf {
    /// `None` without the section. UPSes that are none were refused with the site.
    pub(super) fn of<W: World>(site: &Site<W>, upses: &[UpsConf]) -> Option<Self> {
        let finish = site.finish.as_ref()?;
        let cuts = finish.cuts.iter().filter_map(|cut| {
            Some(CutConf {
                ups: upses.iter().position(|ups| ups.name == cut.ups)?,
                delay: cut.delay,
                also: cut.also.clone(),
            })
        });
        Some(Self {
            cuts: cuts.collect(),
            may_run: finish.may_run.clone(),
            controller: finish.controller.as_ref().map(|own| own.budget),
        })
    }
}

/// The finish of this outage, by its records.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finish {
    run: u64,
    cuts: Vec<Cutting>,
    controller: Option<Millis>,
    told: BTreeMap<Target, Tell>,
    ended: Option<Label>,
}

/// How far one command is.
#[derive(Debug, Clone, PartialEq)]
struct Tell {
    /// When the last order went out.
    ordered: Mono,
    /// When the first one went out.
    first: Mono,
    attempt: u32,
    failures: u32,
    failed_at: Option<Mono>,
    problem: Option<String>,
    /// No further try makes sense.
    lasting: bool,
    told: bool,
}

impl Tell {
    fn again_at(&self) -> Option<Mono> {
        let failed = self.failed_at.filter(|_| !self.is_given_up())?;
        let doubled = RETRY_AFTER
            .0
            .saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        Some(failed.after(Millis(doubled).min(LONGEST_RETRY)))
    }

    fn is_given_up(&self) -> bool {
        !self.told && (self.lasting || self.failures >= MAX_TELLS)
    }
}

impl Finish {
    /// The UPSes, and the controller when it is stopped, too.
    fn targets(&self) -> Vec<Target> {
        let outputs = self.cuts.iter().map(|cut| Target::Output(cut.ups.clone()));
        let own = self.controller.map(|_| Target::Controller);
        outputs.chain(own).collect()
    }

    fn is_told(&self, target: &Target) -> bool {
        self.told.get(target).is_some_and(|tell| tell.told)
    }

    /// An order without an answer for so long counts as failed. The program that stops a machine may
    /// take as long as the machine.
    fn answers_within(&self, target: &Target) -> Millis {
        let own = self.controller.filter(|_| *target == Target::Controller);
        own.map_or(TELL_WITHIN, |budget| {
            Millis(budget.0.saturating_add(TELL_WITHIN.0))
        })
    }

    fn outputs_told(&self) -> bool {
        let mut cuts = self.cuts.iter();
        cuts.all(|cut| self.is_told(&Target::Output(cut.ups.clone())))
    }

    /// When the first UPS switches off.
    fn first_cut(&self) -> Option<Mono> {
        let cuts = self.cuts.iter().filter_map(|cut| {
            let tell = self.told.get(&Target::Output(cut.ups.clone()))?;
            Some(tell.first.after(cut.delay_ms))
        });
        cuts.min()
    }
}

// ---- what follows from the records -------------------------------------------------------

impl Book {
    /// The finish, while it goes on.
    fn active_finish(&self) -> Option<&Finish> {
        self.finish.as_ref().filter(|finish| finish.ended.is_none())
    }

    pub(super) fn apply_finish(&mut self, now: Mono, record: &Record) {
        match record {
            Record::FinishStarted {
                run,
                ups,
                controller_ms,
                ..
            } => {
                self.last_run = self.last_run.max(*run);
                self.finish = Some(Finish {
                    run: *run,
                    cuts: ups.clone(),
                    controller: *controller_ms,
                    told: BTreeMap::new(),
                    ended: None,
                });
            }
            Record::FinishOrdered { order } => {
                let Some(target) = Target::of(&order.step) else {
                    return;
                };
                let Some(finish) = self.finish.as_mut().filter(|finish| finish.run == order.run) else {
                    return;
                };
                let cut = finish
                    .cuts
                    .iter()
                    .find(|cut| target == Target::Output(cut.ups.clone()));
                if let Some(cut) = cut {
                    // It may have arrived, whatever is said of it.
                    let until = now.after(Millis(cut.delay_ms.0.saturating_add(CUT_WITHIN.0)));
                    self.cut_until.insert(cut.ups.clone(), until);
                }
                let before = finish.told.get(&target);
                let tell = Tell {
                    ordered: now,
                    first: before.map_or(now, |tell| tell.first),
                    attempt: order.attempt,
                    failures: before.map_or(0, |tell| tell.failures),
                    failed_at: None,
                    problem: before.and_then(|tell| tell.problem.clone()),
                    lasting: false,
                    told: false,
                };
                finish.told.insert(target, tell);
            }
            Record::FinishTold { order } => {
                if let Some(tell) = self.tell(order) {
                    tell.told = true;
                    tell.failed_at = None;
                }
            }
            Record::FinishFailed {
                order,
                problem,
                retryable,
            } => {
                if let Some(tell) = self.tell(order) {
                    tell.failures = tell.failures.saturating_add(1);
                    tell.failed_at = Some(now);
                    tell.problem = Some(problem.clone());
                    tell.lasting = !*retryable;
                }
            }
            Record::FinishEnded { run, because, .. } => {
                if let Some(finish) = self.finish.as_mut().filter(|finish| finish.run == *run) {
                    finish.ended = Some(because.clone());
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, order: &Order) -> Option<&mut Tell> {
        let target = Target::of(&order.step)?;
        let finish = self.finish.as_mut().filter(|finish| finish.run == order.run)?;
        finish.told.get_mut(&target)
    }

    /// The monotonic clock began anew. If a UPS was told before, its output may have been off and on.
    pub(super) fn rebase_finish(&mut self, now: Mono, last: Mono) {
        for until in self.cut_until.values_mut() {
            *until = now.after(until.since(last));
        }
        let Some(finish) = &mut self.finish else { return };
        for tell in finish.told.values_mut() {
            tell.ordered = now;
            tell.first = now;
            tell.failed_at = tell.failed_at.map(|_| now);
        }
        let upses: Vec<String> = finish.cuts.iter().map(|cut| cut.ups.clone()).collect();
        for ups in upses {
            self.note_power_again(now, &ups);
        }
    }

    /// A UPS that was told gives power again: what it feeds may come up by itself from here.
    pub(super) fn note_power_again(&mut self, now: Mono, ups: &str) {
        let target = Target::Output(ups.to_owned());
        let finish = self.finish.as_ref();
        let Some(finish) = finish.filter(|finish| finish.told.contains_key(&target)) else {
            return;
        };
        let cuts = finish.cuts.iter().filter(|cut| cut.ups == ups);
        let hosts: Vec<String> = cuts.flat_map(|cut| cut.hosts.iter().cloned()).collect();
        for host in hosts {
            if self.stopped.contains_key(&host) {
                self.booting.insert(host, now.after(BOOT_WITHIN));
            }
        }
    }
}

// ---- decisions ---------------------------------------------------------------------------

/// Why nothing is told now.
enum Not {
    /// For this moment.
    Yet(Label),
    /// The outage is over, or a host runs again: what is under way is called back.
    AnyMore(Label),
}

impl Outage {
    /// Begins the finish, moves it on, or breaks it off.
    pub(super) fn finish(&mut self, now: Now, turn: &mut Turn) {
        if self.config.finish.is_none() && self.book.active_finish().is_none() {
            return;
        }
        let mut may = self.may_finish(now.mono);
        if self.book.finish.is_none() && may.is_ok() {
            self.begin_finish(now, turn);
        }
        if self.book.active_finish().is_none() {
            self.lost_tells.clear();
            return;
        }
        self.note_silent_tells(now, turn);
        may = self.may_finish(now.mono);
        if let Err(Not::AnyMore(because)) = may {
            return self.break_off_finish(now, because, turn);
        }
        if may.is_ok() {
            self.tell_what_is_due(now, turn);
        }
        self.end_finish(now, turn);
    }

    /// May something be told at this moment?
    fn may_finish(&self, now: Mono) -> Result<(), Not> {
        let conf = self.config.finish.as_ref();
        let Some(conf) = conf.filter(|conf| !conf.cuts.is_empty()) else {
            return Err(Not::AnyMore(Label::new(
                "設定から外された",
                "it was taken out of the configuration",
            )));
        };
        if self.book.outage_since.is_none() {
            return Err(Not::AnyMore(Label::new("停電していない", "there is no outage")));
        }
        if let Some(back) = conf.cuts.iter().find(|cut| !self.is_on_battery(cut.ups)) {
            let ups = &self.config.ups[back.ups].name;
            return Err(Not::AnyMore(Label::new(
                format!("{ups} は電池で動いていない"),
                format!("{ups} is not on its battery"),
            )));
        }
        self.may_lose_power(conf)?;
        if self.act != Act::Ready || self.listens(now) {
            return Err(Not::Yet(Label::new(
                "命令を実行する役割の準備ができていない",
                "what carries out orders is not ready yet",
            )));
        }
        for cut in &conf.cuts {
            self.says_battery(cut.ups, now)?;
        }
        Ok(())
    }

    /// Every host is off, or may be lost, and nobody wants it to stand still.
    fn may_lose_power(&self, conf: &FinishConf) -> Result<(), Not> {
        if self.book.active_run().is_some() {
            return Err(Not::AnyMore(Label::new("停止計画が進行中", "a plan stops hosts")));
        }
        if let Some((by, reason)) = &self.book.held {
            return Err(Not::AnyMore(Label::new(
                format!("{by} が起動を保留中（{reason}）"),
                format!("{by} holds the return ({reason})"),
            )));
        }
        for host in &self.config.hosts {
            let id = &host.id;
            if self.book.on_purpose.contains(id) && self.book.stopped.contains_key(id) {
                return Err(Not::AnyMore(Label::new(
                    format!("{id} は指示により停止した。復電で起動させない"),
                    format!("{id} was stopped by an order; the UPS would start it"),
                )));
            }
            if !conf.may_run.contains(id) && !self.is_off_for_good(id) {
                return Err(Not::AnyMore(Label::new(
                    format!("{id} の停止が確認されていない"),
                    format!("{id} is not confirmed off"),
                )));
            }
        }
        Ok(())
    }

    /// This outage's runs have dealt with it, and nothing was done since that could start it.
    fn is_off_for_good(&self, host: &str) -> bool {
        let book = &self.book;
        let confirmed =
            book.stopped.get(host) == Some(&Stopped::Confirmed) && !book.booting.contains_key(host);
        book.tried.contains_key(host) && (confirmed || book.off_before.contains(host))
    }

    /// This UPS says "battery", freshly, and has said so since the last host was off.
    fn says_battery(&self, ups: usize, now: Mono) -> Result<(), Not> {
        let (conf, watch) = (&self.config.ups[ups], &self.watches[ups]);
        let fresh = Millis(
            conf.poll_on_battery
                .0
                .saturating_mul(FRESH_POLLS)
                .saturating_add(1_000),
        );
        let heard = watch.heard().filter(|heard| now.since(*heard) <= fresh);
        let since = heard.is_some_and(|heard| heard > self.book.last_step);
        let doubt = watch.second_word_until(fresh).is_some();
        if since && !doubt && self.verdicts[ups] == Verdict::Battery {
            return Ok(());
        }
        let name = &conf.name;
        Err(Not::Yet(Label::new(
            format!("{name} の今の状態の確認を待つ"),
            format!("waiting for what {name} says now"),
        )))
    }

    fn begin_finish(&mut self, now: Now, turn: &mut Turn) {
        let Some(conf) = &self.config.finish else { return };
        let cuts = conf.cuts.iter().map(|cut| Cutting {
            ups: self.config.ups[cut.ups].name.clone(),
            delay_ms: cut.delay,
            hosts: self.fed_by(cut.ups),
        });
        let record = Record::FinishStarted {
            run: self.book.last_run.saturating_add(1),
            plan_hash: self.config.plan.hash().into(),
            because: Label::new(
                "停電が続き、計画のサーバーはすべて停止した",
                "the outage stands, and every host of the plan is off",
            ),
            ups: cuts.collect(),
            controller_ms: conf.controller,
        };
        self.record(now, record, turn);
    }

    /// Hosts that this UPS feeds.
    fn fed_by(&self, ups: usize) -> Vec<String> {
        let fed = self.config.hosts.iter().filter(|host| host.feeds.contains(&ups));
        fed.map(|host| host.id.clone()).collect()
    }

    /// Orders without an answer count as failed.
    fn note_silent_tells(&mut self, now: Now, turn: &mut Turn) {
        let Some(finish) = self.book.active_finish() else {
            return;
        };
        let silent = finish
            .told
            .iter()
            .filter(|(_, tell)| !tell.told && tell.failed_at.is_none());
        let silent =
            silent.filter(|(target, tell)| now.mono >= tell.ordered.after(finish.answers_within(target)));
        let silent: Vec<Order> = silent
            .map(|(target, tell)| self.tell_order(finish.run, target, tell.attempt))
            .collect();
        for order in silent {
            turn.effects.push(Do::Cancel(order.clone()));
            let record = Record::FinishFailed {
                order,
                problem: "no answer".into(),
                retryable: true,
            };
            self.record(now, record, turn);
        }
    }

    fn tell_order(&self, run: u64, target: &Target, attempt: u32) -> Order {
        Order {
            plan_hash: self.config.plan.hash().into(),
            run,
            step: target.step(),
            attempt,
            verb: Verb::Stop,
        }
    }

    fn tell_what_is_due(&mut self, now: Now, turn: &mut Turn) {
        let Some(finish) = self.book.active_finish() else {
            return;
        };
        let mut due = Vec::new();
        for target in finish.targets() {
            if target == Target::Controller && !self.controller_may_stop(finish, now.mono) {
                continue;
            }
            let attempt = match finish.told.get(&target) {
                None => 1,
                Some(tell) if tell.told => continue,
                Some(tell) => {
                    let again = tell.again_at().is_some_and(|again| now.mono >= again);
                    let lost = tell.failed_at.is_none() && self.lost_tells.contains(&target);
                    if !again && !lost {
                        continue;
                    }
                    tell.attempt.saturating_add(1)
                }
            };
            due.push((target.clone(), self.tell_order(finish.run, &target, attempt)));
        }
        for (target, order) in due {
            self.lost_tells.remove(&target);
            self.record(now, Record::FinishOrdered { order: order.clone() }, turn);
            turn.effects.push(Do::Execute(RealOrder::last(order)));
        }
    }

    /// Every UPS was told, and none switches off before the machine is down.
    fn controller_may_stop(&self, finish: &Finish, now: Mono) -> bool {
        let down = finish.controller.map(|budget| now.after(budget));
        let in_time = finish
            .first_cut()
            .zip(down)
            .is_some_and(|(cut, down)| down <= cut);
        finish.outputs_told() && in_time
    }

    /// Nothing is left to be done, or nothing can be.
    fn end_finish(&mut self, now: Now, turn: &mut Turn) {
        let Some(finish) = self.book.active_finish() else {
            return;
        };
        let open = |target: &Target| {
            let tell = finish.told.get(target);
            match (target, tell) {
                (_, Some(tell)) => !tell.told && !tell.is_given_up(),
                (Target::Output(_), None) => true,
                // Nobody stops it while a UPS was not told, or when the time is over.
                (Target::Controller, None) => {
                    finish.outputs_told() && self.controller_may_stop(finish, now.mono)
                }
            }
        };
        if finish.targets().iter().any(open) {
            return;
        }
        let because = if finish.targets().iter().all(|target| finish.is_told(target)) {
            Label::new("すべて命令した", "everything was told")
        } else {
            Label::new("命令できないものが残った", "something could not be told")
        };
        self.write_finish_end(now, because, turn);
    }

    fn break_off_finish(&mut self, now: Now, because: Label, turn: &mut Turn) {
        let Some(finish) = self.book.active_finish() else {
            return;
        };
        let out = finish
            .told
            .iter()
            .filter(|(_, tell)| !tell.told && tell.failed_at.is_none());
        let out: Vec<Order> = out
            .map(|(target, tell)| self.tell_order(finish.run, target, tell.attempt))
            .collect();
        turn.effects.extend(out.into_iter().map(Do::Cancel));
        self.lost_tells.clear();
        self.write_finish_end(now, because, turn);
    }

    fn write_finish_end(&mut self, now: Now, because: Label, turn: &mut Turn) {
        let Some(finish) = self.book.active_finish() else {
            return;
        };
        let (told, not_told): (Vec<_>, Vec<_>) = finish
            .targets()
            .into_iter()
            .partition(|target| finish.is_told(target));
        let names = |targets: Vec<Target>| targets.iter().map(|target| target.name().to_owned()).collect();
        let record = Record::FinishEnded {
            run: finish.run,
            told: names(told),
            not_told: names(not_told),
            because,
        };
        self.record(now, record, turn);
    }

    /// What `act` reports of the end; false when the order is about a host.
    pub(super) fn report_finish(
        &mut self,
        now: Now,
        order: &Order,
        outcome: &Outcome,
        turn: &mut Turn,
    ) -> bool {
        let Some(target) = Target::of(&order.step) else {
            return false;
        };
        let finish = self.book.finish.as_ref().filter(|finish| finish.run == order.run);
        let Some(tell) = finish.and_then(|finish| finish.told.get(&target)) else {
            return true;
        };
        let order = order.clone();
        match outcome {
            // Late, after it was broken off, too: the UPS has it.
            Outcome::Confirmed | Outcome::Found if !tell.told => {
                self.lost_tells.remove(&target);
                self.record(now, Record::FinishTold { order }, turn);
            }
            Outcome::Failed { problem, retryable }
                if !tell.told && tell.failed_at.is_none() && tell.attempt == order.attempt =>
            {
                let (problem, retryable) = (problem.clone(), *retryable);
                let record = Record::FinishFailed {
                    order,
                    problem,
                    retryable,
                };
                self.record(now, record, turn);
            }
            Outcome::Refused { problem }
                if !tell.told && tell.failed_at.is_none() && tell.attempt == order.attempt =>
            {
                let (problem, retryable) = (problem.clone(), true);
                let record = Record::FinishFailed {
                    order,
                    problem,
                    retryable,
                };
                self.record(now, record, turn);
            }
            _ => {}
        }
        true
    }

    /// `act` may have lost what it was doing.
    pub(super) fn lose_tells(&mut self) {
        if let Some(finish) = self.book.active_finish() {
            let out = finish
                .told
                .iter()
                .filter(|(_, tell)| !tell.told && tell.failed_at.is_none());
            self.lost_tells = out.map(|(target, _)| target.clone()).collect();
        }
    }

    /// An order that waited for the disk is sent only if it is still meant at that moment.
    #[must_use]
    pub fn still_wants(&self, order: &Order, now: Mono) -> bool {
        let Some(target) = Target::of(&order.step) else {
            return true;
        };
        let finish = self.book.active_finish().filter(|finish| finish.run == order.run);
        let tell = finish.and_then(|finish| finish.told.get(&target));
        let out = tell.is_some_and(|tell| {
            let late = now >= tell.ordered.after(TELL_WITHIN);
            !tell.told && tell.failed_at.is_none() && tell.attempt == order.attempt && !late
        });
        out && self.may_finish(now).is_ok()
    }

    pub(super) fn finish_wakes(&self, wakes: &mut Vec<Mono>) {
        if let Some(finish) = self.book.active_finish() {
            for (target, tell) in finish.told.iter().filter(|(_, tell)| !tell.told) {
                let ends = match tell.failed_at {
                    None => Some(tell.ordered.after(finish.answers_within(target))),
                    Some(_) => tell.again_at(),
                };
                wakes.extend(ends.filter(|at| *at > self.now));
            }
        }
        if self.book.outage_since.is_none() && !self.book.stopped.is_empty() {
            wakes.extend(self.book.cut_until.values().filter(|until| **until > self.now));
        }
    }

    /// Why no host of these feeds is started: a UPS was told to switch off, and may still do so.
    pub(super) fn why_ups_decides(&self, feeds: &[usize], now: Mono) -> Option<Label> {
        feeds.iter().find_map(|ups| {
            let name = &self.config.ups[*ups].name;
            let until = self.book.cut_until.get(name).filter(|until| now < **until)?;
            let secs = until.since(now).as_secs_f64();
            Some(Label::new(
                format!("{name} に出力の切断を命じた。切って入れ直すのを待つ（最長 {secs:.0} 秒）"),
                format!("{name} was told to switch off and on again; it has {secs:.0} s left for that"),
            ))
        })
    }

    /// It was told to switch off in this outage, and says that it has.
    pub(super) fn is_switched_off(&self, ups: usize, now: Mono) -> bool {
        let (conf, watch) = (&self.config.ups[ups], &self.watches[ups]);
        let target = Target::Output(conf.name.clone());
        let told = self.book.finish.as_ref();
        let told = told.is_some_and(|finish| finish.told.contains_key(&target));
        let off = watch.facts().is_some_and(|facts| facts.source == Source::Off);
        told && off && watch.in_contact(now, conf.contact_lost_after)
    }

    /// Why the room was not switched off at the end, for a person; `None`: it was, or it goes on.
    pub(super) fn because_not_finished(&self) -> Option<Label> {
        let finish = self.book.finish.as_ref()?;
        let failed = finish.told.iter().find(|(_, tell)| tell.is_given_up());
        let (target, tell) = failed?;
        let (name, problem) = (target.name(), tell.problem.clone().unwrap_or_default());
        Some(Label::new(
            format!("{name}: {problem}"),
            format!("{name}: {problem}"),
        ))
    }

    /// The end of the plan for the page.
    pub(super) fn view_finish(&self, now: Mono) -> Option<snapshot::Finish> {
        let conf = self.config.finish.as_ref()?;
        let finish = self.book.finish.as_ref();
        let (state, because) = match finish {
            Some(finish) => match &finish.ended {
                Some(because) if finish.targets().iter().all(|target| finish.is_told(target)) => {
                    ("told", because.clone())
                }
                Some(because) => ("broken_off", because.clone()),
                None => ("telling", self.why_not_now(now)),
            },
            None if self.book.outage_since.is_some() && !self.book.tried.is_empty() => {
                ("waiting", self.why_not_now(now))
            }
            None => ("planned", Label::default()),
        };
        let word = |target: &Target| match finish.and_then(|finish| finish.told.get(target)) {
            None => "waiting",
            Some(tell) if tell.told => "told",
            Some(tell) if tell.is_given_up() => "failed",
            Some(_) => "ordered",
        };
        let problem = |target: &Target| {
            let tell = finish.and_then(|finish| finish.told.get(target))?;
            tell.problem.clone().filter(|_| !tell.told)
        };
        let ups = conf.cuts.iter().map(|cut| {
            let name = self.config.ups[cut.ups].name.clone();
            let target = Target::Output(name.clone());
            snapshot::FinishStep {
                id: name,
                delay_s: Some(cut.delay.as_secs_f64()),
                budget_s: None,
                state: word(&target).into(),
                problem: problem(&target),
                hosts: self.fed_by(cut.ups),
                also: cut.also.clone(),
            }
        });
        let controller = conf.controller.map(|budget| snapshot::FinishStep {
            id: Target::Controller.name().to_owned(),
            delay_s: None,
            budget_s: Some(budget.as_secs_f64()),
            state: word(&Target::Controller).into(),
            problem: problem(&Target::Controller),
            hosts: Vec::new(),
            also: Vec::new(),
        });
        Some(snapshot::Finish {
            state: state.into(),
            because,
            steps: ups.chain(controller).collect(),
            may_run: conf.may_run.iter().cloned().collect(),
        })
    }

    fn why_not_now(&self, now: Mono) -> Label {
        match self.may_finish(now) {
            Ok(()) => Label::default(),
            Err(Not::Yet(why) | Not::AnyMore(why)) => why,
        }
    }
}

impl Config {
    /// Points of the graph that hang on a UPS and are no host of the plan are not known here: the
    /// site names them.
    pub(super) fn take_finish<W: World>(&mut self, site: &Site<W>) {
        self.finish = FinishConf::of(site, &self.ups);
    }
}

//! What a person must know about: conditions for the alarm machine. The list is the same at
//! every moment; only `active` and the reasons change.

use super::book::Stopped;
use super::run::{Reality, Run, StepState};
use super::view::Margin;
use super::{Act, Outage};
use crate::catalog::{HOSTS_RETURNING, Kind};
use crate::device::PollFailure;
use crate::power::Verdict;
use crate::power::watch::Watch;
use crate::site::Label;
use crate::time::{Mono, Now};

/// A condition of the power of the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Alarm id: `ups-a.on_battery`, `outage.step.db1`.
    pub id: String,
    /// It holds now.
    pub active: bool,
    /// False when nothing can be said: an alarm that stands goes on standing.
    pub known: bool,
    /// What it is about: how urgent, what it means, what to do.
    pub kind: Kind,
    /// What it means, where that says more than the kind.
    pub what: Option<Label>,
    /// Why it holds, with the figures of this moment; empty while it does not.
    pub because: Label,
}

impl Kind {
    pub(super) fn when(self, id: String, because: Option<Label>) -> Condition {
        Condition {
            id,
            active: because.is_some(),
            known: true,
            kind: self,
            what: None,
            because: because.unwrap_or_default(),
        }
    }
}

impl Outage {
    /// Every condition with its present state.
    #[must_use]
    pub fn conditions(&self, now: Now) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for ups in 0..self.config.ups.len() {
            self.ups_conditions(ups, now.mono, &mut conditions);
        }
        self.feed_conditions(now.mono, &mut conditions);
        if !self.config.hosts.is_empty() {
            self.plan_conditions(now, &mut conditions);
            for host in &self.config.hosts {
                conditions.push(self.step_condition(&host.id, &host.label));
                conditions.push(self.credential_condition(&host.id, &host.label));
                if host.start.is_some() {
                    conditions.push(self.start_condition(&host.id, &host.label));
                }
            }
        }
        conditions
    }

    fn ups_conditions(&self, ups: usize, now: Mono, conditions: &mut Vec<Condition>) {
        let (name, watch) = (&self.config.ups[ups].name, &self.watches[ups]);
        let verdict = self.verdicts[ups];
        let signs = || {
            let signs = self.evidence(ups, now).join(", ");
            Label::new(signs.clone(), signs)
        };
        let silent = self.ledger(ups).is_some_and(|ledger| ledger.contact_lost);
        let id = |what: &str| format!("{name}.{what}");
        conditions.push(Kind::OnBattery.when(id("on_battery"), (verdict == Verdict::Battery).then(signs)));
        conditions.push(Kind::PowerSuspected.when(id("suspected"), self.is_suspected(ups).then(signs)));
        let unsupplied = matches!(verdict, Verdict::Bypass | Verdict::Off);
        conditions.push(Kind::NotSupplying.when(id("not_supplying"), unsupplied.then(signs)));
        conditions.push(Kind::UpsContact.when(
            id("contact"),
            silent.then(|| self.because_silent(ups, watch, now)),
        ));
        let facts = watch.facts().filter(|_| !silent);
        conditions.push(Kind::BatteryLow.when(id("low"), (watch.is_low() && !silent).then(signs)));
        conditions.push(Kind::BatteryWear.when(
            id("replace_battery"),
            (watch.needs_battery() && !silent).then(signs),
        ));
        conditions
            .push(Kind::UpsOverload.when(id("overload"), (watch.is_overloaded() && !silent).then(signs)));
        let economy = facts.filter(|facts| facts.eco && verdict == Verdict::Mains);
        conditions.push(Kind::UpsEconomy.when(id("eco"), economy.map(|_| signs())));
        let stale = watch.failed().filter(|_| watch.is_stale());
        conditions.push(Kind::UpsStale.when(id("stale"), stale.map(reason)));
        let lost = silent && verdict == Verdict::Battery;
        conditions.push(Kind::LostOnBattery.when(
            id("lost_on_battery"),
            lost.then(|| self.because_silent(ups, watch, now)),
        ));
        let blind = facts.filter(|facts| facts.possible_signs() < 2 || watch.voltage_is_dead());
        conditions.push(Kind::OneSign.when(id("one_sign"), blind.map(|_| signs())));
        let stuck = watch.test_ends().filter(|ends| now >= *ends && !silent);
        conditions.push(Kind::TestStuck.when(id("test_stuck"), stuck.map(|_| signs())));
    }

    fn because_silent(&self, ups: usize, watch: &Watch, now: Mono) -> Label {
        let battery = self.is_on_battery(ups);
        let mut because = match watch.heard() {
            None => Label::new("一度も応答がない", "it has never answered"),
            Some(heard) => {
                let secs = now.since(heard).as_secs_f64();
                let (ja, en) = if battery {
                    (
                        "最後はバッテリー運転。残りは計算値",
                        "last word: on battery; its charge is modelled",
                    )
                } else {
                    ("最後は商用電源", "last word: mains")
                };
                Label::new(
                    format!("{secs:.0} 秒間応答なし。{ja}"),
                    format!("no answer for {secs:.0} s; {en}"),
                )
            }
        };
        if let Some(why) = watch.failed().map(reason) {
            because.ja = format!("{}（{}）", because.ja, why.ja);
            because.en = format!("{} ({})", because.en, why.en);
        }
        because
    }

    fn plan_conditions(&self, now: Now, conditions: &mut Vec<Condition>) {
        let margin = self.margin(now.mono);
        let short = margin.filter(|margin| margin.secs < 0.0 && self.book.active_run().is_none());
        let because = short.map(|margin| self.because_short(&margin));
        conditions.push(Kind::MarginLow.when("outage.margin".into(), because));
        // What the calendar does every night calls nobody; a step that fails does.
        let run = self
            .book
            .active_run()
            .filter(|run| run.drill.is_none() && !run.is_scheduled());
        let running = run.map(|run| run.abandoned.clone().unwrap_or_else(|| run.because.clone()));
        conditions.push(Kind::PlanStarted.when("outage.run".into(), running));
        let withheld = self.book.outage_since.and(self.book.withheld.first_key_value());
        let because = withheld.map(|(_, because)| self.because_withheld(because));
        conditions.push(Kind::StopWithheld.when("outage.withheld".into(), because));
        for (rule, because) in self.rule_alarms(now.mono) {
            conditions.push(Kind::RoomEndangered.when(format!("outage.rule.{}", rule.name), because));
        }
        for schedule in &self.config.schedules {
            let id = format!("outage.schedule.{}", schedule.name);
            let because = self.because_schedule(schedule, now);
            conditions.push(Kind::ScheduleNotKept.when(id, because));
        }
        conditions.push(Kind::HostsStopped.when("outage.hosts_stopped".into(), self.because_stopped()));
        conditions.push(Kind::HostsReturning.when(HOSTS_RETURNING.into(), self.because_returning(now.mono)));
        if self.config.finish.is_some() {
            conditions.push(Kind::OutputNotOff.when("outage.finish".into(), self.because_not_finished()));
        }
        let act = match &self.act {
            Act::Ready => None,
            Act::Gone => Some(Label::new("接続がない", "it is not connected")),
            Act::OtherPlan(hash) => Some(Label::new(
                format!("別の計画 {hash} を読んでいる"),
                format!("it has read another plan: {hash}"),
            )),
        };
        conditions.push(Kind::ActGone.when("outage.act".into(), act));
        let failed = self
            .book
            .rehearsal
            .as_ref()
            .filter(|rehearsal| rehearsal.ended)
            .and_then(|rehearsal| {
                let failed = rehearsal
                    .ids(|state| matches!(state, StepState::Abandoned { .. }))
                    .join(", ");
                (!failed.is_empty()).then(|| Label::new(failed.clone(), failed))
            });
        conditions.push(Kind::RehearsalFailed.when("outage.rehearsal".into(), failed));
        let due = self.rehearsal_due(now.wall);
        conditions.push(Kind::RehearsalDue.when("outage.rehearsal_due".into(), due));
    }

    /// By how much the plan does not fit, and which step of the chain takes longer than it did.
    fn because_short(&self, margin: &Margin) -> Label {
        let (host, runtime, plan, reserve) = (&margin.host, margin.runtime, margin.plan, margin.reserve);
        let short = -margin.secs;
        let because = Label::new(
            format!(
                "{host}: 残り {runtime:.0} 秒に対し停止に {plan:.0} 秒、予備 {reserve:.0} 秒。{short:.0} 秒足りない"
            ),
            format!(
                "{host}: {runtime:.0} s of power, {plan:.0} s to stop, {reserve:.0} s kept back: {short:.0} s short"
            ),
        );
        let plan = &self.config.plan;
        let chain = plan.with_dependants([host.clone()]);
        let steps = plan.steps().iter().filter(|step| chain.contains(&step.id));
        let growths = steps.filter_map(|step| {
            let (from, to) = self
                .book
                .learnt
                .growth(&step.id, step.planned(), self.step_times())?;
            Some((&step.id, from, to))
        });
        let Some((step, from, to)) = growths.max_by_key(|(_, from, to)| to.0 - from.0) else {
            return because;
        };
        let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
        Label::new(
            format!(
                "{}（{step} の停止が {from:.0} 秒から {to:.0} 秒に延びた）",
                because.ja
            ),
            format!(
                "{}; stopping {step} grew from {from:.0} s to {to:.0} s",
                because.en
            ),
        )
    }

    /// Hosts that power would have stopped, and why.
    fn because_withheld(&self, because: &Label) -> Label {
        let hosts: Vec<&str> = self.book.withheld.keys().map(String::as_str).collect();
        let hosts = hosts.join(", ");
        Label::new(
            format!("停止すべき時点を過ぎた: {hosts}。{}", because.ja),
            format!("would have been stopped: {hosts}; {}", because.en),
        )
    }

    /// Hosts that a person must start, once the outage is over.
    fn because_stopped(&self) -> Option<Label> {
        if self.book.stopped.is_empty()
            || self.book.outage_since.is_some()
            || self.book.active_run().is_some()
        {
            return None;
        }
        let left = self.left_to_people();
        if left.is_empty() {
            return None;
        }
        let named = |wanted: Stopped| {
            let hosts = left.iter().filter(|(_, how, _)| *how == wanted);
            hosts.map(|(host, ..)| *host).collect::<Vec<_>>().join(", ")
        };
        let (stopped, asked) = (named(Stopped::Confirmed), named(Stopped::Asked));
        let (mut ja, mut en) = (format!("停止した: {stopped}"), format!("stopped: {stopped}"));
        for (host, _, why) in left.iter().filter(|(host, ..)| self.can_be_started(host)) {
            ja = format!("{ja}。{host}: {}", why.ja);
            en = format!("{en}; {host}: {}", why.en);
        }
        if !asked.is_empty() {
            ja = format!("{ja} 停止を要求したが未確認: {asked}");
            en = format!("{en}; asked to stop, not confirmed: {asked}");
        }
        Some(Label::new(ja, en))
    }

    /// A host could not be stopped in the last run.
    fn step_condition(&self, id: &str, label: &Label) -> Condition {
        let state = self
            .book
            .run
            .as_ref()
            .and_then(|run| Some((run, run.steps.get(id)?)));
        let because = state
            .filter(|_| self.is_recent())
            .and_then(|(run, state)| problem_of(run, id, state));
        let mut condition = Kind::StepFailed.when(format!("outage.step.{id}"), because);
        let what = Kind::StepFailed.advice().what;
        condition.what = Some(Label::new(
            format!("{}: {}", label.ja, what.ja),
            format!("{}: {}", label.en, what.en),
        ));
        condition
    }

    /// Something could not be done to a host at the last daily check.
    fn credential_condition(&self, id: &str, label: &Label) -> Condition {
        let because = self.because_credential(id);
        let mut condition = Kind::CredentialFailed.when(format!("outage.credential.{id}"), because);
        let what = Kind::CredentialFailed.advice().what;
        condition.what = Some(Label::new(
            format!("{}: {}", label.ja, what.ja),
            format!("{}: {}", label.en, what.en),
        ));
        condition
    }

    /// A host that was to be started again does not run.
    fn start_condition(&self, id: &str, label: &Label) -> Condition {
        let because = self.book.not_back.get(id).cloned();
        let mut condition = Kind::HostNotBack.when(format!("outage.start.{id}"), because);
        let what = Kind::HostNotBack.advice().what;
        condition.what = Some(Label::new(
            format!("{}: {}", label.ja, what.ja),
            format!("{}: {}", label.en, what.en),
        ));
        condition
    }

    /// The last run belongs to the present outage, or its hosts still wait to be started.
    fn is_recent(&self) -> bool {
        self.book.active_run().is_some() || self.book.outage_since.is_some() || !self.book.stopped.is_empty()
    }
}

/// Why polls fail, as the source said it.
fn reason(failure: &PollFailure) -> Label {
    match failure {
        PollFailure::Timeout => Label::new("時間内に応答がない", "no answer in time"),
        PollFailure::NoProfile => Label::new("合うプロファイルがない", "no profile fits"),
        PollFailure::Unreachable(why) | PollFailure::Refused(why) | PollFailure::Stale(why) => {
            Label::new(why.clone(), why.clone())
        }
    }
}

fn problem_of(run: &Run<Reality>, id: &str, state: &StepState) -> Option<Label> {
    let with = |because: &Label, problem: Option<&String>| match problem {
        Some(problem) if *problem != because.en => Label::new(
            format!("{}（{problem}）", because.ja),
            format!("{} ({problem})", because.en),
        ),
        _ => because.clone(),
    };
    match state {
        StepState::Abandoned { because, problem, .. } => Some(with(because, problem.as_ref())),
        StepState::Cancelled { because, .. } if run.abandoned.is_none() => Some(because.clone()),
        StepState::InFlight(flight) if flight.failed_at.is_some() => {
            let problem = flight.problem.clone().unwrap_or_default();
            Some(Label::new(problem.clone(), problem))
        }
        StepState::Waiting if run.held().iter().any(|held| held == id) => Some(Label::new(
            "先に停止すべきサーバーが停止しない",
            "a host that must stop before it does not",
        )),
        _ => None,
    }
}

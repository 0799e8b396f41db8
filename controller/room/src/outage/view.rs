//! The power of the room as the page shows it.

use super::judge::life;
use super::record::Verb;
use super::run::{Run, StepState};
use super::{HostConf, Outage};
use crate::plan::{PlanStep, Slot};
use crate::power::Verdict;
use crate::power::feeds::Life;
use crate::site::Label;
use crate::site::StepTimes;
use crate::snapshot::{self, PowerMode};
use crate::time::{Millis, Mono, Now};

/// How much time is left over for the host that has least.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Margin {
    pub(super) host: String,
    /// Seconds of power it has.
    pub(super) runtime: f64,
    /// Seconds until it is stopped.
    pub(super) plan: f64,
    /// Seconds kept back.
    pub(super) reserve: f64,
    /// `runtime - plan - reserve`, less what the on-battery delay takes beyond the reserve.
    pub(super) secs: f64,
}

impl Outage {
    /// The picture of this moment. `plan_s`, `runtime_s` and `margin_s` are those of the host
    /// with the least margin: as if mains failed now, or as it fails.
    #[must_use]
    pub fn view(&self, now: Now) -> snapshot::Power {
        let margin = self.margin(now.mono);
        let running = self.book.active_run().is_some();
        snapshot::Power {
            mode: self.mode(now.mono),
            ups: (0..self.config.ups.len())
                .map(|ups| self.view_ups(ups, now.mono))
                .collect(),
            plan_s: margin.as_ref().map(|margin| margin.plan),
            learnt_s: (!self.config.hosts.is_empty()).then(|| self.learnt_total().as_secs_f64()),
            step_times: match self.step_times() {
                StepTimes::Budget => "budget",
                StepTimes::Learnt => "learnt",
            }
            .into(),
            runtime_s: margin.as_ref().map(|margin| margin.runtime),
            reserve_s: self
                .config
                .policy
                .as_ref()
                .map(|policy| policy.reserve.as_secs_f64()),
            margin_s: margin.map(|margin| margin.secs),
            starts_in_s: if running { None } else { self.starts_in(now.mono) },
            outage_s: self
                .book
                .outage_since
                .map(|since| now.mono.since(since).as_secs_f64()),
            plan_hash: (!self.config.hosts.is_empty()).then(|| self.config.plan.hash().into()),
            run: self.view_run(),
            steps: self.view_steps(now.mono),
            feeds: self.view_feeds(now.mono),
            bringing_back: self.view_back(now.mono),
            finish: self.view_finish(now.mono),
        }
    }

    /// The least margin of all hosts that live on batteries, or would if mains failed now. Hosts
    /// that a run of this outage has dealt with need no time any more.
    pub(super) fn margin(&self, now: Mono) -> Option<Margin> {
        let reserve = self.config.policy.as_ref()?.reserve.as_secs_f64();
        let mut supplies = self.supplies(now);
        let threatened =
            (self.config.hosts.iter()).any(|host| matches!(life(host, &supplies), Life::Until(_)));
        if !threatened {
            supplies = self.supplies_without_mains(now);
        }
        let stops = self.stops_in(now);
        let open = |host: &&HostConf| !threatened || !self.book.tried.contains_key(&host.id);
        let margins = self.config.hosts.iter().filter(open).filter_map(|host| {
            let Life::Until(runtime) = life(host, &supplies) else {
                return None;
            };
            let plan = stops[host.at];
            let waits = (self.delay_left(host, &supplies, now) - reserve).max(0.0);
            Some(Margin {
                host: host.id.clone(),
                runtime,
                plan,
                reserve,
                secs: runtime - plan - reserve - waits,
            })
        });
        margins.min_by(|a, b| a.secs.total_cmp(&b.secs))
    }

    /// How long the whole plan takes by what was learnt, whatever it is planned with.
    fn learnt_total(&self) -> Millis {
        let learnt = |step: &PlanStep| {
            self.book
                .learnt
                .planned(&step.id, step.planned(), StepTimes::Learnt)
        };
        let ends = self.config.plan.schedule_with(learnt).into_iter().map(Slot::end);
        ends.max().unwrap_or_default()
    }

    fn starts_in(&self, now: Mono) -> Option<f64> {
        let supplies = self.supplies(now);
        let open = |host: &&HostConf| !self.book.tried.contains_key(&host.id);
        let hosts = self.config.hosts.iter().filter(open);
        let stops = self.stops_in(now);
        let starts =
            hosts.filter_map(|host| Some(self.urgency(host, &supplies, &stops, now)?.starts_in.max(0.0)));
        starts.min_by(f64::total_cmp)
    }

    fn mode(&self, now: Mono) -> PowerMode {
        if self.book.active_run().is_some_and(|run| run.drill.is_none()) {
            return PowerMode::Stopping;
        }
        if !self.book.tried.is_empty() && self.book.outage_since.is_some() {
            return PowerMode::Stopped;
        }
        let battery = (0..self.config.ups.len()).any(|ups| self.is_on_battery(ups));
        let supplies = self.supplies(now);
        let lives: Vec<Life> = self
            .config
            .hosts
            .iter()
            .map(|host| life(host, &supplies))
            .collect();
        if lives.iter().any(|life| matches!(life, Life::Until(_))) || (battery && lives.is_empty()) {
            return PowerMode::Battery;
        }
        let good = |verdict: &Verdict| matches!(verdict, Verdict::Mains | Verdict::Testing);
        if self.verdicts.iter().all(|verdict| *verdict == Verdict::Unknown) {
            PowerMode::Unknown
        } else if self.verdicts.iter().all(good) {
            PowerMode::Mains
        } else {
            PowerMode::Reduced
        }
    }

    fn view_ups(&self, ups: usize, now: Mono) -> snapshot::Ups {
        let (conf, watch) = (&self.config.ups[ups], &self.watches[ups]);
        let in_contact = watch.in_contact(now, conf.contact_lost_after);
        let battery = self.is_on_battery(ups);
        let ledger = self.ledger(ups);
        let runtime = watch.runtime.value().or(ledger.and_then(|ledger| {
            let (then, _, runtime) = ledger.level?;
            Some((then, runtime?))
        }));
        let runtime_s = if battery {
            Some(self.usable(ups, now))
        } else {
            runtime.map(|(_, secs)| secs)
        };
        snapshot::Ups {
            name: conf.name.clone(),
            label: conf.label.clone(),
            source: self.verdicts[ups].word().into(),
            state: self.state(ups, now).word().into(),
            marks: self.marks(ups, now),
            contact: match watch.heard() {
                _ if in_contact => "good",
                None if ledger.is_none_or(|ledger| ledger.on_battery.is_none()) => "never_heard",
                _ => "lost",
            }
            .into(),
            charge_percent: self.charge(ups, now),
            runtime_s,
            load_percent: watch.facts().filter(|_| in_contact).and_then(|facts| facts.load),
            on_battery_s: ledger
                .filter(|_| battery)
                .map(|ledger| ledger.on_battery_for(now).as_secs_f64()),
            modelled: battery && !in_contact,
            evidence: self.evidence(ups, now),
        }
    }

    fn view_back(&self, now: Mono) -> Option<snapshot::BringingBack> {
        let quiet = self.book.outage_since.is_none() && self.book.active_run().is_none();
        let active = self.book.active_back();
        let waits = active.is_none() && quiet && !self.to_bring_back().is_empty();
        // The last one is shown until something else is stopped.
        let recent = self.book.run.as_ref().map(|run| run.id);
        let last = self.book.back.as_ref().filter(|back| recent < Some(back.id));
        let back = if waits { None } else { active.or(last) };
        let because = || self.why_return_waits(now);
        let held = self.book.held.is_some();
        let (state, because) = match back {
            None if !waits => return None,
            _ if held && (waits || active.is_some()) => ("held", because().unwrap_or_default()),
            None => ("waiting", because().unwrap_or_default()),
            Some(back) if back.abandoned.is_some() => {
                ("broken_off", back.abandoned.clone().unwrap_or_default())
            }
            Some(back) if back.ended => ("done", back.because.clone()),
            Some(back) => match because() {
                Some(why) => ("waiting", why),
                None => ("running", back.because.clone()),
            },
        };
        let hosts = match back {
            None => self.to_bring_back(),
            Some(back) => back.ids(|_| true).into_iter().rev().collect(),
        };
        let hosts = hosts.into_iter().filter_map(|id| {
            let label = self.config.host(&id)?.label.clone();
            let state = back.and_then(|back| back.steps.get(&id));
            Some(view_of_start(id, label, state, now))
        });
        Some(snapshot::BringingBack {
            state: state.into(),
            because,
            hosts: hosts.collect(),
        })
    }

    /// The rehearsal's steps are shown when it is the most recent of the two.
    fn shows_rehearsal(&self) -> bool {
        let run = self.book.run.as_ref().map(|run| run.id);
        self.book
            .rehearsal
            .as_ref()
            .is_some_and(|rehearsal| run.is_none_or(|run| run < rehearsal.id))
    }

    fn view_run(&self) -> Option<snapshot::Run> {
        if self.shows_rehearsal() {
            return self.book.rehearsal.as_ref().map(|run| view_of(run, "rehearsal"));
        }
        let run = self.book.run.as_ref()?;
        Some(view_of(run, if run.drill.is_some() { "drill" } else { "real" }))
    }

    fn view_steps(&self, now: Mono) -> Vec<snapshot::Step> {
        let steps = self.config.plan.steps().iter().zip(&self.config.hosts);
        let mut steps: Vec<_> = steps
            .map(|(step, host)| {
                let learnt = self.book.learnt.of(&step.id, Verb::Stop);
                let mut shown = snapshot::Step {
                    id: step.id.clone(),
                    label: step.label.clone(),
                    after: step.after.clone(),
                    action: step.action.clone(),
                    starts_at_s: host.slot.start.as_secs_f64(),
                    planned_s: host.slot.length.as_secs_f64(),
                    latest_end_s: Some(host.slot.end().as_secs_f64()),
                    learnt_s: learnt.map(|learnt| learnt.p95.as_secs_f64()),
                    learnt_n: learnt.map_or(0, |learnt| u32::try_from(learnt.count).unwrap_or(u32::MAX)),
                    budget_s: step.budget.as_secs_f64(),
                    state: "waiting".into(),
                    running_s: None,
                    took_s: None,
                    problem: None,
                    credentials: self.view_credentials(&step.id),
                };
                if let Some(state) = self.shown_state(&step.id) {
                    fill_state(&mut shown, state, now);
                }
                shown
            })
            .collect();
        steps.sort_by(|a, b| {
            a.starts_at_s
                .total_cmp(&b.starts_at_s)
                .then_with(|| a.id.cmp(&b.id))
        });
        steps
    }

    fn view_credentials(&self, host: &str) -> Vec<snapshot::Credential> {
        let verbs = self.checks.verbs(host);
        verbs
            .map(|verb| {
                let checked = self.book.credentials.of(host, verb);
                snapshot::Credential {
                    verb: verb.word().into(),
                    checked_ms: checked.map(|checked| checked.at.0),
                    problem: checked.and_then(|checked| checked.problem.clone()),
                }
            })
            .collect()
    }

    fn shown_state(&self, id: &str) -> Option<&StepState> {
        if self.shows_rehearsal() {
            return self.book.rehearsal.as_ref()?.steps.get(id);
        }
        self.book.run.as_ref()?.steps.get(id)
    }
}

fn view_of<Kind>(run: &Run<Kind>, kind: &str) -> snapshot::Run {
    let state = match (run.ended, &run.abandoned) {
        (_, Some(_)) => "abandoned",
        (false, None) => "running",
        (true, None) => "done",
    };
    snapshot::Run {
        id: run.id,
        state: state.into(),
        kind: kind.into(),
        because: run.abandoned.clone().unwrap_or_else(|| run.because.clone()),
        since_ms: run.since_wall.0,
    }
}

fn view_of_start(
    id: String,
    label: Label,
    state: Option<&StepState>,
    now: Mono,
) -> snapshot::BringingBackHost {
    let (word, running_s, took_s, problem) = match state {
        None | Some(StepState::Waiting) => ("waiting", None, None, None),
        Some(StepState::InFlight(flight)) => {
            let secs = now.since(flight.since).as_secs_f64();
            ("started", Some(secs), None, flight.problem.clone())
        }
        Some(StepState::Confirmed { took }) => ("confirmed", None, Some(took.as_secs_f64()), None),
        Some(StepState::Abandoned { because, problem, .. }) => {
            let why = problem.clone().unwrap_or_else(|| because.en.clone());
            ("abandoned", None, None, Some(why))
        }
        Some(StepState::Skipped { .. }) => ("cancelled", None, None, None),
        Some(StepState::Cancelled { because, .. }) => ("cancelled", None, None, Some(because.en.clone())),
    };
    snapshot::BringingBackHost {
        id,
        label,
        state: word.into(),
        running_s,
        took_s,
        problem,
    }
}

fn fill_state(shown: &mut snapshot::Step, state: &StepState, now: Mono) {
    match state {
        StepState::Waiting => {}
        StepState::InFlight(flight) => {
            shown.state = "started".into();
            shown.running_s = Some(now.since(flight.since).as_secs_f64());
            shown.problem.clone_from(&flight.problem);
        }
        StepState::Confirmed { took } => {
            shown.state = "confirmed".into();
            shown.took_s = Some(took.as_secs_f64());
        }
        StepState::Abandoned { because, problem, .. } => {
            shown.state = "abandoned".into();
            shown.problem = Some(problem.clone().unwrap_or_else(|| because.en.clone()));
        }
        StepState::Skipped { because, .. } => {
            shown.state = "skipped".into();
            shown.problem = Some(because.en.clone());
        }
        StepState::Cancelled { because, .. } => {
            shown.state = "cancelled".into();
            shown.problem = Some(because.en.clone());
        }
    }
}

//! Rehearsals: every host of the plan is checked, one after the other; nothing is changed.

use super::record::{Order, Outcome, Record};
use super::run::StepState;
use super::{Act, CHECK_BUDGET, Do, Outage, Turn};
use crate::plan::PlanStep;
use crate::site::Label;
use crate::time::{Millis, Now};

/// Longest check of a step.
pub(super) fn check_budget(step: &PlanStep) -> Millis {
    step.budget.min(CHECK_BUDGET)
}

impl Outage {
    pub(super) fn begin_rehearsal(&mut self, now: Now, by: String, turn: &mut Turn) {
        turn.refused = self.rehearsal_obstacle();
        if turn.refused.is_none() {
            let plan = self.config.plan.clone();
            let (run, plan_hash) = (self.book.last_run.saturating_add(1), plan.hash().into());
            self.record(
                now,
                Record::RehearsalStarted {
                    run,
                    plan_hash,
                    by,
                    plan,
                },
                turn,
            );
        }
    }

    fn rehearsal_obstacle(&self) -> Option<Label> {
        if self.config.hosts.is_empty() {
            return Some(Label::new(
                "停止するサーバーがありません",
                "there are no hosts to stop",
            ));
        }
        if self.book.active_run().is_some_and(|run| run.drill.is_some()) {
            return Some(Label::new("訓練が進行中です", "a drill is under way"));
        }
        if self.book.active_run().is_some() || self.book.outage_since.is_some() {
            return Some(Label::new("停電中は予行できません", "not during an outage"));
        }
        if self.book.active_rehearsal().is_some() {
            return Some(Label::new("予行はすでに進行中です", "a rehearsal is under way"));
        }
        match &self.act {
            Act::Ready => None,
            Act::Gone => Some(Label::new(
                "実行役が接続していません",
                "the act role is not connected",
            )),
            Act::OtherPlan(_) => Some(Label::new(
                "実行役の計画が異なります",
                "the act role has read another plan",
            )),
        }
    }

    /// Checks the next host, gives up on one that hangs, and makes way for reality.
    pub(super) fn advance_rehearsal(&mut self, now: Now, turn: &mut Turn) {
        if self.book.active_rehearsal().is_none() {
            return;
        }
        if self.book.active_run().is_some() {
            let because = Label::new("本番の停止が始まった", "a real run started");
            return self.end_rehearsal(now, Some(because), turn);
        }
        self.give_up_hanging_check(now, turn);
        let Some(rehearsal) = self
            .book
            .active_rehearsal()
            .filter(|rehearsal| !rehearsal.is_busy())
        else {
            return;
        };
        let next = rehearsal
            .in_order()
            .find(|(_, state)| **state == StepState::Waiting);
        match next.map(|(step, _)| rehearsal.check(&step.id)) {
            Some(order) => {
                self.record(now, Record::CheckStarted { order: order.clone() }, turn);
                turn.effects.push(Do::Check(order));
            }
            None => self.end_rehearsal(now, None, turn),
        }
    }

    fn give_up_hanging_check(&mut self, now: Now, turn: &mut Turn) {
        let Some(rehearsal) = self.book.active_rehearsal() else {
            return;
        };
        let hanging = rehearsal.in_order().find_map(|(step, state)| match state {
            StepState::InFlight(flight) if now.mono >= flight.since.after(check_budget(step)) => Some((
                rehearsal.order(&step.id, flight.verb, flight.attempt),
                check_budget(step),
            )),
            _ => None,
        });
        if let Some((order, budget)) = hanging {
            turn.effects.push(Do::Cancel(order.clone()));
            let problem = format!("no answer within {:.0} s", budget.as_secs_f64());
            self.record(now, Record::CheckFailed { order, problem }, turn);
        }
    }

    pub(super) fn report_check(&mut self, now: Now, order: &Order, outcome: Outcome, turn: &mut Turn) {
        let state = self
            .book
            .active_rehearsal()
            .and_then(|rehearsal| rehearsal.steps.get(&order.step));
        let Some(StepState::InFlight(flight)) = state.filter(|_| self.is_rehearsing(order.run)) else {
            return;
        };
        let (order, took_ms) = (order.clone(), now.mono.since(flight.since));
        let record = match outcome {
            Outcome::CheckPassed => Record::CheckPassed { order, took_ms },
            Outcome::Failed { problem, .. } | Outcome::Refused { problem } => {
                Record::CheckFailed { order, problem }
            }
            Outcome::Requested | Outcome::Confirmed | Outcome::Found => {
                let problem = "a check reported an effect; it must not have one".into();
                Record::CheckFailed { order, problem }
            }
        };
        self.record(now, record, turn);
    }

    fn is_rehearsing(&self, run: u64) -> bool {
        self.book
            .active_rehearsal()
            .is_some_and(|rehearsal| rehearsal.id == run)
    }

    pub(super) fn end_rehearsal(&mut self, now: Now, broken_off: Option<Label>, turn: &mut Turn) {
        let Some(rehearsal) = self.book.active_rehearsal() else {
            return;
        };
        let passed = rehearsal.ids(|state| matches!(state, StepState::Confirmed { .. }));
        let failed = rehearsal.ids(|state| matches!(state, StepState::Abandoned { .. }));
        for (step, state) in rehearsal.in_order() {
            if let StepState::InFlight(flight) = state {
                turn.effects
                    .push(Do::Cancel(rehearsal.order(&step.id, flight.verb, flight.attempt)));
            }
        }
        let run = rehearsal.id;
        self.record(
            now,
            Record::RehearsalEnded {
                run,
                passed,
                failed,
                broken_off,
            },
            turn,
        );
    }
}

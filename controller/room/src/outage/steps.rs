//! Carrying a run out: orders, tries, budgets, outcomes.

use super::book::Stopped;
use super::record::{Order, Outcome, Record, Verb};
use super::run::{InFlight, StepState};
use super::{Act, Do, MAX_TRIES, MAX_TRIES_WHEN_STOPPED, Outage, Turn};
use crate::site::{Label, OnFailure};
use crate::time::{Millis, Now};

impl Outage {
    /// Moves the run on as far as it goes now.
    pub(super) fn advance(&mut self, now: Now, turn: &mut Turn) {
        if self.book.active_run().is_none() {
            self.lost.clear();
            return;
        }
        // First what is called back: it is not overdue, and power may need it in a new run.
        self.cancel_abandoned(now, turn);
        self.give_up_overdue(now, turn);
        self.order_again(now, turn);
        self.start_free_steps(now, turn);
        self.end_run(now, turn);
    }

    fn give_up_overdue(&mut self, now: Now, turn: &mut Turn) {
        let Some(run) = self.book.active_run() else { return };
        let paused = self.book.pause.is_some() || self.book.orders_held.is_some() || self.listens(now.mono);
        let overdue = run.in_order().filter_map(|(step, state)| match state {
            // We hold up its next try, so it is no fault of the server.
            StepState::InFlight(flight) if paused && !flight.requested => None,
            StepState::InFlight(flight) if now.mono >= flight.since.after(step.budget) => {
                Some((step.id.clone(), flight.clone(), step.budget))
            }
            _ => None,
        });
        for (step, flight, budget) in overdue.collect::<Vec<_>>() {
            if self.is_forced(&step, &flight) {
                // Not while mains may be back, and not to nobody.
                if self.act == Act::Ready && !self.is_paused(now.mono) {
                    self.force(now, &step, &flight, turn);
                }
                continue;
            }
            let secs = budget.as_secs_f64();
            let because = match flight.verb {
                Verb::Stop | Verb::Start => Label::new(
                    format!("{secs:.0} 秒以内に停止を確認できなかった"),
                    format!("not confirmed stopped within {secs:.0} s"),
                ),
                Verb::Force => Label::new(
                    format!("強制停止も {secs:.0} 秒以内に確認できなかった"),
                    format!("forced, and not confirmed stopped within {secs:.0} s"),
                ),
            };
            // Past its point of no return the host may still stop: `act` goes on watching.
            if flight.failed_at.is_none() && !flight.requested {
                turn.effects.push(Do::Cancel(self.order(&step, &flight)));
            }
            self.give_up(now, &step, &flight, because, turn);
        }
    }

    /// Must the host of this step be made to stop, now that asking was of no use? Not in a run that
    /// goes no further, and not when an earlier run stopped it.
    fn is_forced(&self, step: &str, flight: &InFlight) -> bool {
        let Some(run) = self.book.active_run().filter(|run| run.abandoned.is_none()) else {
            return false;
        };
        let wanted = run
            .plan
            .step(step)
            .is_some_and(|step| step.on_failure == OnFailure::Force);
        let already = self.book.stopped.get(step) == Some(&Stopped::Confirmed);
        wanted && flight.verb == Verb::Stop && !already
    }

    fn force(&mut self, now: Now, step: &str, flight: &InFlight, turn: &mut Turn) {
        let Some(run) = self.book.active_run() else { return };
        let order = run.force(step);
        if flight.failed_at.is_none() && !flight.requested {
            turn.effects.push(Do::Cancel(self.order(step, flight)));
        }
        self.lost.remove(step);
        let started = order.order().clone();
        self.record(now, Record::StepStarted { order: started }, turn);
        turn.effects.push(Do::Execute(order));
    }

    /// Gives a step up, unless an earlier run stopped its host and it has not answered since.
    pub(super) fn give_up(
        &mut self,
        now: Now,
        step: &str,
        flight: &InFlight,
        because: Label,
        turn: &mut Turn,
    ) {
        let order = self.order(step, flight);
        let already = self.book.is_off(step, now.mono);
        self.lost.remove(step);
        if already && flight.failures > 0 && !flight.requested {
            let took_ms = now.mono.since(flight.since);
            self.record(
                now,
                Record::StepConfirmed {
                    order,
                    took_ms,
                    late: false,
                    already: true,
                    off_before: false,
                },
                turn,
            );
        } else {
            self.record(now, Record::StepAbandoned { order, because }, turn);
        }
    }

    pub(super) fn order(&self, step: &str, flight: &InFlight) -> Order {
        let run = self
            .book
            .run
            .as_ref()
            .expect("steps are only named while there is a run");
        run.order(step, flight.verb, flight.attempt)
    }

    /// In a run that goes no further, everything before its point of no return is called back.
    pub(super) fn cancel_abandoned(&mut self, now: Now, turn: &mut Turn) {
        let Some(run) = self.book.active_run() else { return };
        let Some(because) = run.abandoned.clone() else {
            return;
        };
        let id = run.id;
        let mut called_back = Vec::new();
        for (step, state) in run.in_order() {
            match state {
                StepState::Waiting => called_back.push((step.id.clone(), None)),
                StepState::InFlight(flight) if !flight.requested => {
                    called_back.push((
                        step.id.clone(),
                        flight.failed_at.is_none().then(|| self.order(&step.id, flight)),
                    ));
                }
                _ => {}
            }
        }
        for (step, out) in called_back {
            if let Some(order) = out {
                turn.effects.push(Do::Cancel(order));
            }
            self.lost.remove(&step);
            self.record(
                now,
                Record::StepCancelled {
                    run: id,
                    step,
                    because: because.clone(),
                },
                turn,
            );
        }
    }

    /// Orders that failed, or that `act` may have lost, go out again under the same run and step.
    fn order_again(&mut self, now: Now, turn: &mut Turn) {
        let Some(run) = self.book.active_run().filter(|_| self.act == Act::Ready) else {
            return;
        };
        let paused = self.is_paused(now.mono);
        let again = |step: &str, flight: &InFlight| match flight.again_at() {
            Some(again) => now.mono >= again,
            None => self.lost.contains(step),
        };
        let steps = run.in_order().filter_map(|(step, state)| match state {
            StepState::InFlight(flight) if (flight.requested || !paused) && again(&step.id, flight) => {
                Some(step.id.clone())
            }
            _ => None,
        });
        for step in steps.collect::<Vec<_>>() {
            self.execute(now, &step, turn);
        }
    }

    fn start_free_steps(&mut self, now: Now, turn: &mut Turn) {
        let Some(run) = self.book.active_run().filter(|run| run.abandoned.is_none()) else {
            return;
        };
        if self.act != Act::Ready || self.is_paused(now.mono) {
            return;
        }
        let leaving = |host: &String| (self.book.leaving.get(host)).is_some_and(|until| now.mono < *until);
        let steps = run.plan.steps().iter();
        let steps = steps.filter(|step| run.is_free(&step.id) && !step.after.iter().any(leaving));
        for step in steps.map(|step| step.id.clone()).collect::<Vec<_>>() {
            self.execute(now, &step, turn);
        }
    }

    fn execute(&mut self, now: Now, step: &str, turn: &mut Turn) {
        let Some(run) = self.book.active_run() else { return };
        let order = run.execute(step);
        self.lost.remove(step);
        self.record(
            now,
            Record::StepStarted {
                order: order.order().clone(),
            },
            turn,
        );
        turn.effects.push(Do::Execute(order));
    }

    pub(super) fn end_run(&mut self, now: Now, turn: &mut Turn) {
        let Some(run) = self.book.active_run().filter(|run| !run.is_busy()) else {
            return;
        };
        let waiting = run.ids(|state| *state == StepState::Waiting);
        let held = run.held();
        if waiting.iter().any(|step| !held.contains(step)) {
            return;
        }
        let id = run.id;
        let stopped = run.ids(|state| matches!(state, StepState::Confirmed { .. }));
        let not_stopped = run.ids(|state| !matches!(state, StepState::Confirmed { .. }));
        for step in held {
            let because = Label::new(
                "これを使うサーバーを停止できなかったため、動かしたままにした",
                "kept running: a host that uses it could not be stopped",
            );
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
        self.record(
            now,
            Record::RunEnded {
                run: id,
                stopped,
                not_stopped,
            },
            turn,
        );
    }

    /// What `act` reports.
    pub(super) fn report(&mut self, now: Now, order: &Order, outcome: Outcome, turn: &mut Turn) {
        if self
            .book
            .rehearsal
            .as_ref()
            .is_some_and(|rehearsal| rehearsal.id == order.run)
        {
            return self.report_check(now, order, outcome, turn);
        }
        if self.report_credential(now, order, &outcome, turn) {
            return;
        }
        if self.report_finish(now, order, &outcome, turn) {
            return;
        }
        if order.verb == Verb::Start {
            return self.report_start(now, order, outcome, turn);
        }
        let state = self.book.run.as_ref().filter(|run| run.id == order.run);
        let state = state.and_then(|run| run.steps.get(&order.step)).cloned();
        match outcome {
            Outcome::Requested => self.report_requested(now, order, state.as_ref(), turn),
            Outcome::Confirmed => self.report_confirmed(now, order, state.as_ref(), false, turn),
            // What comes up does not answer yet. It is no host that has stopped.
            Outcome::Found if self.book.is_booting(&order.step, now.mono) => {
                let problem = "it was being started, and does not answer yet".to_owned();
                self.report_failed(now, order, state, problem, true, turn);
            }
            Outcome::Found => self.report_confirmed(now, order, state.as_ref(), true, turn),
            Outcome::Failed { problem, retryable } => {
                self.report_failed(now, order, state, problem, retryable, turn)
            }
            Outcome::Refused { problem } => self.report_failed(now, order, state, problem, true, turn),
            // A check is no proof that anything stopped.
            Outcome::CheckPassed => {}
        }
    }

    fn report_requested(&mut self, now: Now, order: &Order, state: Option<&StepState>, turn: &mut Turn) {
        let news = match state {
            Some(StepState::InFlight(flight)) => !flight.requested && flight.verb == order.verb,
            Some(StepState::Abandoned { requested, .. }) => !requested,
            Some(StepState::Cancelled { since, .. }) => since.is_some(),
            Some(StepState::Waiting | StepState::Confirmed { .. } | StepState::Skipped { .. }) => false,
            None => self.knows(order) && !self.book.stopped.contains_key(&order.step),
        };
        if news {
            self.record(now, Record::StepRequested { order: order.clone() }, turn);
        }
    }

    fn report_confirmed(
        &mut self,
        now: Now,
        order: &Order,
        state: Option<&StepState>,
        found: bool,
        turn: &mut Turn,
    ) {
        let (since, late) = match state {
            Some(StepState::InFlight(flight)) => (flight.since, false),
            Some(
                StepState::Abandoned { since, .. }
                | StepState::Skipped {
                    since: Some(since), ..
                }
                | StepState::Cancelled {
                    since: Some(since), ..
                },
            ) => (*since, true),
            Some(
                StepState::Waiting
                | StepState::Confirmed { .. }
                | StepState::Skipped { since: None, .. }
                | StepState::Cancelled { since: None, .. },
            ) => return,
            None if self.knows(order) && self.book.stopped.get(&order.step) != Some(&Stopped::Confirmed) => {
                (now.mono, true)
            }
            None => return,
        };
        let took_ms: Millis = now.mono.since(since);
        let order = order.clone();
        self.lost.remove(&order.step);
        // Only an order whose every try is accounted for can say that it was not us.
        let asked = match state {
            Some(StepState::InFlight(flight)) => {
                flight.was_asked || flight.requested || flight.unanswered || flight.failures > 0
            }
            _ => true,
        };
        let off_before = found && !asked && !self.book.stopped.contains_key(&order.step);
        self.record(
            now,
            Record::StepConfirmed {
                order,
                took_ms,
                late,
                already: false,
                off_before,
            },
            turn,
        );
    }

    fn report_failed(
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
        let another = flight.attempt != order.attempt || flight.verb != order.verb;
        if another || flight.failed_at.is_some() {
            return;
        }
        let tries = if self.book.is_booting(&order.step, now.mono) {
            // It will answer once it is up: only the budget ends this.
            u32::MAX
        } else if self.book.is_off(&order.step, now.mono) {
            MAX_TRIES_WHEN_STOPPED
        } else {
            MAX_TRIES
        };
        let retryable = retryable && flight.failures.saturating_add(1) < tries;
        let because = Label::new(problem.clone(), problem.clone());
        self.record(
            now,
            Record::StepFailed {
                order: order.clone(),
                problem,
                retryable,
            },
            turn,
        );
        if !retryable {
            let flight = InFlight {
                failures: flight.failures.saturating_add(1),
                failed_at: Some(now.mono),
                ..flight
            };
            if self.is_forced(&order.step, &flight) {
                // Held back, it is asked once more before it is forced.
                if !self.is_paused(now.mono) {
                    self.force(now, &order.step, &flight, turn);
                }
                return;
            }
            self.give_up(now, &order.step, &flight, because, turn);
        }
    }

    /// An order of an earlier run, as far as can still be told.
    fn knows(&self, order: &Order) -> bool {
        order.run <= self.book.last_run && self.config.host(&order.step).is_some()
    }
}

//! Drills: on a quiet day a person has one host stopped for real, to see that it stops and how long
//! it takes.
//!
//! A drill is a run of the plan like any other, of one host and, when that is wished, of what
//! depends on it: the same orders, confirmations, budgets and list of stopped hosts. What differs is
//! only its beginning (a person, and the refusals below) and that it makes way when mains fails or a rule stops servers: what
//! has not passed its point of no return is called back.
//!
//! It never starts on a battery, on doubt about the power, or with something running on top of its
//! host that nobody said may be stopped. It never starts a host again.

use super::record::Record;
use super::{Act, Outage, Turn};
use crate::power::Verdict;
use crate::site::Label;
use crate::time::Now;

impl Outage {
    pub(super) fn begin_drill(
        &mut self,
        now: Now,
        host: String,
        with_dependants: bool,
        by: String,
        turn: &mut Turn,
    ) {
        let scope = match self.drill_scope(&host, with_dependants) {
            Ok(scope) => scope,
            Err(because) => {
                turn.refused = Some(because);
                return;
            }
        };
        let plan = self.config.plan.clone();
        let (run, plan_hash) = (self.book.last_run.saturating_add(1), plan.hash().into());
        self.record(
            now,
            Record::DrillStarted {
                run,
                plan_hash,
                by,
                host,
                plan,
                scope,
            },
            turn,
        );
    }

    /// What a drill of this host stops, in the order of the plan, or why it cannot be.
    fn drill_scope(&self, host: &str, with_dependants: bool) -> Result<Vec<String>, Label> {
        if self.config.host(host).is_none() {
            return Err(Label::new(
                format!("計画に {host} はありません"),
                format!("{host} is no host of the plan"),
            ));
        }
        if let Some(obstacle) = self.drill_obstacle() {
            return Err(obstacle);
        }
        if self.book.stopped.contains_key(host) {
            return Err(Label::new(
                format!("{host} はすでに停止しています"),
                format!("{host} is stopped already; say when it runs again"),
            ));
        }
        let wanted = self.config.plan.with_dependants([host.to_owned()]);
        let steps = self.config.plan.steps().iter().map(|step| step.id.clone());
        let scope: Vec<String> = steps
            .filter(|id| wanted.contains(id) && !self.book.stopped.contains_key(id))
            .collect();
        let others: Vec<&str> = scope
            .iter()
            .map(String::as_str)
            .filter(|id| *id != host)
            .collect();
        if !others.is_empty() && !with_dependants {
            let others = others.join(", ");
            return Err(Label::new(
                format!(
                    "{host} を使う {others} が動いています。先に止めるか、一緒に止める指定をしてください"
                ),
                format!("{others} depend on {host} and run; stop them first, or drill with the dependants"),
            ));
        }
        Ok(scope)
    }

    fn drill_obstacle(&self) -> Option<Label> {
        let run = self.book.active_run();
        if self.book.outage_since.is_some() || run.is_some_and(|run| run.drill.is_none()) {
            return Some(Label::new("停電中は訓練できません", "not during an outage"));
        }
        if run.is_some() {
            return Some(Label::new("訓練はすでに進行中です", "a drill is under way"));
        }
        if self.book.active_rehearsal().is_some() {
            return Some(Label::new("予行が進行中です", "a rehearsal is under way"));
        }
        // A stop that a person wished for on a day with doubtful power is the beginning of an outage.
        let doubtful = self.config.ups.iter().zip(&self.verdicts);
        let doubtful = doubtful.filter(|(_, verdict)| **verdict != Verdict::Mains);
        let doubtful: Vec<&str> = doubtful.map(|(ups, _)| ups.name.as_str()).collect();
        if !doubtful.is_empty() {
            let doubtful = doubtful.join(", ");
            return Some(Label::new(
                format!("{doubtful} が商用電源で動いていると確認できません"),
                format!("{doubtful} is not known to run on mains"),
            ));
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

    /// A drill makes way for what is real.
    pub(super) fn abandon_drill(&mut self, now: Now, turn: &mut Turn) {
        let drill = self.book.active_run();
        let drill = drill.filter(|run| run.drill.is_some() && run.abandoned.is_none());
        let Some(run) = drill.map(|run| run.id) else {
            return;
        };
        let because = if self.book.outage_since.is_some() {
            Label::new("停電したため訓練をやめた", "mains failed; the drill makes way")
        } else if self.due_by_rule(now.mono).is_some() {
            // Else the rule's servers would be called back together with the drill.
            Label::new(
                "規則による停止が必要になったため訓練をやめた",
                "a rule stops servers; the drill makes way",
            )
        } else {
            return;
        };
        let by = None;
        self.record(now, Record::RunAbandoned { run, because, by }, turn);
    }
}

//! The daily check of every credential: a password that ran out is found in the morning and not in
//! an outage.
//!
//! ```text
//! the site's time of day --> round begins --> one check after the other, of every host and verb
//!    passed, or failed for good -> CredentialChecked       failed, may pass -> again later, 3 times
//!    outage, run, rehearsal, act away -> the check under way is called back; it goes on afterwards
//! ```
//! A check is the order of a rehearsal: it can never act. The wall clock says when a round begins
//! and nothing else; one that is wrong makes a round early or late, and a round changes nothing.
//! What is under way is volatile: after a restart it is asked again.

use super::record::{Order, Outcome, Record, Verb};
use super::{Act, CHECK_BUDGET, Do, Outage, Turn};
use crate::power::Verdict;
use crate::site::{Host, Label, Site, World};
use crate::time::{Millis, Mono, Now, Wall};
use std::collections::BTreeMap;

/// Between two checks: a management controller is slow, and a directory counts logins.
pub const CHECK_EVERY: Millis = Millis::from_secs(5);
/// Tries of one check before its failure counts.
pub const CHECK_TRIES: u32 = 3;
/// Pause before it is tried again.
pub const CHECK_AGAIN: Millis = Millis::from_secs(60);

const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;

/// When a round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Daily {
    /// Milliseconds from midnight, UTC; may be negative.
    at: i64,
}

impl Daily {
    fn of<W: World>(site: &Site<W>) -> Option<Self> {
        let local = i64::from(site.check_credentials?) * MINUTE;
        let offset = i64::from(site.access.utc_offset_min) * MINUTE;
        Some(Self { at: local - offset })
    }

    /// The last time that it was so late.
    const fn last(self, now: Wall) -> Wall {
        let since = now.0.saturating_sub(self.at).rem_euclid(DAY);
        Wall(now.0.saturating_sub(since))
    }

    /// Whether a round is due that began last at `began`.
    const fn is_due(self, began: Wall, now: Wall) -> bool {
        // A beginning that lies ahead was written by a clock that was wrong.
        self.last(now).0 > began.0 || began.0 > now.0.saturating_add(DAY)
    }

    /// How long until the next one.
    const fn wait(self, now: Wall) -> Millis {
        let next = self.last(now).0.saturating_add(DAY);
        Millis(next.saturating_sub(now.0).unsigned_abs())
    }
}

/// What is durable: the round, and what was found last.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Found {
    /// The round under way, or the last one.
    round: u64,
    /// When it began.
    began: Option<Wall>,
    results: BTreeMap<(String, Verb), Checked>,
}

/// The last check of one credential.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checked {
    round: u64,
    pub(super) at: Wall,
    /// Why it could not be done.
    pub(super) problem: Option<String>,
}

impl Found {
    pub(super) fn apply(&mut self, at: Now, record: &Record) {
        match record {
            Record::CredentialsDue { run, .. } => {
                self.round = *run;
                self.began = Some(at.wall);
            }
            Record::CredentialChecked { order, problem, .. } => {
                let checked = Checked {
                    round: order.run,
                    at: at.wall,
                    problem: problem.clone(),
                };
                self.results.insert((order.step.clone(), order.verb), checked);
            }
            _ => {}
        }
    }

    pub(super) fn of(&self, host: &str, verb: Verb) -> Option<&Checked> {
        self.results.get(&(host.to_owned(), verb))
    }

    fn is_open(&self, of: &(String, Verb)) -> bool {
        self.results
            .get(of)
            .is_none_or(|checked| checked.round != self.round)
    }
}

/// What is volatile, and what the site says.
#[derive(Debug, Clone, Default)]
pub(super) struct Checks {
    daily: Option<Daily>,
    /// Everything that can be done to a host, in the order of the plan.
    all: Vec<(String, Verb)>,
    asking: Option<Asking>,
    asked: u32,
    /// Tries that failed in this round, and when the next may be.
    failed: BTreeMap<(String, Verb), (u32, Mono)>,
    /// Nothing is asked before.
    not_before: Mono,
    /// Rounds are counted from here while there was none.
    first: Option<Wall>,
    wake: Option<Mono>,
}

#[derive(Debug, Clone)]
struct Asking {
    order: Order,
    since: Mono,
}

impl Checks {
    pub(super) fn new<W: World>(site: &Site<W>, hosts: impl Iterator<Item = String>) -> Self {
        let verbs = |host: &Host<W>| {
            Verb::ALL
                .map(|(verb, _)| verb)
                .into_iter()
                .filter(|verb| host.doing(*verb).is_some())
                .collect::<Vec<_>>()
        };
        let all = hosts.flat_map(|name| {
            let host = site.hosts.iter().find(|host| host.name == name);
            let verbs = host.map(verbs).unwrap_or_default();
            verbs.into_iter().map(move |verb| (name.clone(), verb))
        });
        Self {
            daily: Daily::of(site),
            all: all.collect(),
            ..Self::default()
        }
    }

    /// When something is to be done, if nothing comes before.
    pub(super) const fn wake(&self) -> Option<Mono> {
        self.wake
    }

    /// What can be done to a host.
    pub(super) fn verbs(&self, host: &str) -> impl Iterator<Item = Verb> {
        self.all
            .iter()
            .filter(move |(name, _)| name == host)
            .map(|(_, verb)| *verb)
    }
}

impl Outage {
    /// Nothing else is going on, and there is somebody to check.
    fn may_check(&self) -> bool {
        let urgent = |verdict: &Verdict| matches!(verdict, Verdict::Battery | Verdict::Suspected);
        self.act == Act::Ready
            && self.book.outage_since.is_none()
            && self.book.active_run().is_none()
            && self.book.active_rehearsal().is_none()
            && !self.verdicts.iter().any(urgent)
    }

    /// Begins a round when it is due, and goes on with the one under way.
    pub(super) fn advance_credentials(&mut self, now: Now, turn: &mut Turn) {
        self.checks.wake = None;
        let Some(daily) = self.checks.daily.filter(|_| !self.checks.all.is_empty()) else {
            return;
        };
        let first = *self.checks.first.get_or_insert(now.wall);
        if !self.may_check() {
            if let Some(asking) = self.checks.asking.take() {
                turn.effects.push(Do::Cancel(asking.order));
            }
            return;
        }
        self.give_up_hanging_credential(now, turn);
        if self.is_round_over() && daily.is_due(self.book.credentials.began.unwrap_or(first), now.wall) {
            let run = self.book.last_run.saturating_add(1);
            let plan_hash = self.config.plan.hash().into();
            self.record(now, Record::CredentialsDue { run, plan_hash }, turn);
            self.checks.failed.clear();
        }
        self.ask_next(now, turn);
        self.checks.wake = Some(match &self.checks.asking {
            Some(asking) => asking.since.after(CHECK_BUDGET),
            None => self
                .next_check()
                .unwrap_or_else(|| now.mono.after(daily.wait(now.wall))),
        });
    }

    /// True when everything was checked in the last round, or there was none.
    fn is_round_over(&self) -> bool {
        let found = &self.book.credentials;
        found.began.is_none() || !self.checks.all.iter().any(|of| found.is_open(of))
    }

    /// What is left of the round, with when it may be asked.
    fn unchecked(&self) -> impl Iterator<Item = (&(String, Verb), Mono)> {
        let over = self.is_round_over();
        let left = self
            .checks
            .all
            .iter()
            .filter(move |of| !over && self.book.credentials.is_open(of));
        left.map(|of| {
            let again = self.checks.failed.get(of).map_or(Mono(0), |(_, again)| *again);
            (of, again.max(self.checks.not_before))
        })
    }

    fn next_check(&self) -> Option<Mono> {
        self.unchecked().map(|(_, at)| at).min()
    }

    fn ask_next(&mut self, now: Now, turn: &mut Turn) {
        if self.checks.asking.is_some() {
            return;
        }
        let next = self
            .unchecked()
            .find(|(_, at)| *at <= now.mono)
            .map(|(of, _)| of.clone());
        let Some((step, verb)) = next else { return };
        self.checks.asked = self.checks.asked.wrapping_add(1);
        let order = Order {
            plan_hash: self.config.plan.hash().into(),
            run: self.book.credentials.round,
            step,
            // Each of its own, so that the answer to one that was called back is not taken for it.
            attempt: self.checks.asked,
            verb,
        };
        turn.effects.push(Do::Check(order.clone()));
        self.checks.asking = Some(Asking {
            order,
            since: now.mono,
        });
    }

    fn give_up_hanging_credential(&mut self, now: Now, turn: &mut Turn) {
        let hanging = self.checks.asking.as_ref();
        let Some(order) = hanging
            .filter(|asking| now.mono >= asking.since.after(CHECK_BUDGET))
            .map(|asking| asking.order.clone())
        else {
            return;
        };
        turn.effects.push(Do::Cancel(order.clone()));
        let problem = format!("no answer within {:.0} s", CHECK_BUDGET.as_secs_f64());
        self.credential_failed(now, &order, problem, true, turn);
    }

    /// Takes what `act` says; false when it is about something else.
    pub(super) fn report_credential(
        &mut self,
        now: Now,
        order: &Order,
        outcome: &Outcome,
        turn: &mut Turn,
    ) -> bool {
        if order.run != self.book.credentials.round || self.book.credentials.began.is_none() {
            return false;
        }
        let asked = self
            .checks
            .asking
            .as_ref()
            .is_some_and(|asking| asking.order == *order);
        match outcome {
            // Of one that was called back.
            _ if !asked => {}
            Outcome::CheckPassed => self.credential_checked(now, None, turn),
            Outcome::Failed { problem, retryable } => {
                self.credential_failed(now, order, problem.clone(), *retryable, turn);
            }
            Outcome::Refused { problem } => self.credential_failed(now, order, problem.clone(), true, turn),
            Outcome::Requested | Outcome::Confirmed | Outcome::Found => {
                let problem = "a check reported an effect; it must not have one".to_owned();
                self.credential_checked(now, Some(problem), turn);
            }
        }
        true
    }

    fn credential_failed(
        &mut self,
        now: Now,
        order: &Order,
        problem: String,
        retryable: bool,
        turn: &mut Turn,
    ) {
        let of = (order.step.clone(), order.verb);
        let (tries, again) = self.checks.failed.entry(of).or_default();
        *tries = tries.saturating_add(1);
        *again = now.mono.after(CHECK_AGAIN);
        if retryable && *tries < CHECK_TRIES {
            self.checks.asking = None;
            self.checks.not_before = now.mono.after(CHECK_EVERY);
            return;
        }
        self.credential_checked(now, Some(problem), turn);
    }

    fn credential_checked(&mut self, now: Now, problem: Option<String>, turn: &mut Turn) {
        let Some(Asking { order, since }) = self.checks.asking.take() else {
            return;
        };
        self.checks.not_before = now.mono.after(CHECK_EVERY);
        let took_ms = now.mono.since(since);
        self.record(
            now,
            Record::CredentialChecked {
                order,
                took_ms,
                problem,
            },
            turn,
        );
    }

    /// What could not be done to a host at the last check, as a reason.
    pub(super) fn because_credential(&self, host: &str) -> Option<Label> {
        let problems = self.checks.verbs(host).filter_map(|verb| {
            let problem = self.book.credentials.of(host, verb)?.problem.as_deref()?;
            Some((verb, problem))
        });
        let (ja, en): (Vec<String>, Vec<String>) = problems
            .map(|(verb, problem)| {
                let word = verb.label();
                (
                    format!("{}: {problem}", word.ja),
                    format!("{}: {problem}", word.en),
                )
            })
            .unzip();
        (!en.is_empty()).then(|| Label::new(ja.join(" / "), en.join(" / ")))
    }
}

impl Verb {
    /// Its word, as in records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Force => "force",
            Self::Start => "start",
        }
    }

    /// What it is called.
    #[must_use]
    pub fn label(self) -> Label {
        match self {
            Self::Stop => Label::new("停止", "stop"),
            Self::Force => Label::new("強制停止", "force"),
            Self::Start => Label::new("起動", "start"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_due_once_a_day_at_the_local_time_whatever_the_clock_does() {
        // 06:30 in Japan is 21:30 UTC of the day before.
        let daily = Daily {
            at: (6 * 60 + 30 - 540) * MINUTE,
        };
        let at = |day: i64, hour: i64, minute: i64| Wall(day * DAY + (hour * 60 + minute) * MINUTE);
        assert_eq!(daily.last(at(100, 21, 30)), at(100, 21, 30));
        assert_eq!(daily.last(at(100, 21, 29)), at(99, 21, 30));
        assert!(!daily.is_due(at(99, 21, 31), at(100, 21, 29)));
        assert!(daily.is_due(at(99, 21, 31), at(100, 21, 30)));
        // The controller was down at the time: late is better than never.
        assert!(daily.is_due(at(90, 21, 30), at(100, 12, 0)));
        // A clock that is set back a little waits, one that was years ahead is not waited for.
        assert!(!daily.is_due(at(100, 21, 31), at(100, 20, 0)));
        assert!(daily.is_due(at(9000, 0, 0), at(100, 12, 0)));
        assert_eq!(daily.wait(at(100, 21, 0)), Millis::from_secs(30 * 60));
        assert_eq!(daily.wait(at(100, 21, 30)), Millis::from_secs(86_400));
    }
}

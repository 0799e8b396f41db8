//! Orders taken, at most one task for each, and the last outcome of each.
//!
//! The key is (run, step, verb, real). An order that comes again while it runs starts nothing: it gets
//! the last outcome again. What comes again after it ended:
//!
//! | last outcome | the same attempt | a higher attempt | a lower attempt |
//! |---|---|---|---|
//! | confirmed, and it can be looked at whether it still is so | looks again | looks again | looks again |
//! | found to be so unasked | anew | anew | anew |
//! | confirmed by its own success | that outcome | anew | that outcome |
//! | requested | watches on | anew | anew |
//! | failed | that outcome | anew | anew |
//! | a check's | anew | anew | anew |
//!
//! Memory alone is no proof: core may have lost its journal and count its runs from one again,
//! with hosts that were started since.

use super::action::Action;
use super::device::Tools;
use super::permit::Permit;
use super::step::{self, Target};
use crate::link::{FromAct, Order, Outcome};
use room::outage::Verb;
use room::site::{Site, World};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{Id, JoinSet};

/// Steps that work at the same time; further ones wait for their turn.
pub(super) const MAX_AT_ONCE: usize = 64;
/// Orders remembered; the oldest that has ended is forgotten for a new one.
pub(super) const MAX_ORDERS: usize = 1024;

type Key = (u64, String, Verb, bool);
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Makes the work of one step: permit, where to begin, cancel, report.
type Start = Box<dyn Fn(Permit, step::From, watch::Receiver<bool>, Report) -> Work + Send>;

struct Entry {
    order: Order,
    last: Option<Outcome>,
    /// Present while its task runs.
    cancel: Option<watch::Sender<bool>>,
}

/// Sends outcomes of one order.
#[derive(Clone)]
struct Report {
    key: Key,
    to: mpsc::UnboundedSender<(Key, Outcome)>,
}

/// See the module's head.
pub(super) struct Ledger {
    plan_hash: String,
    steps: BTreeMap<(String, Verb), Start>,
    /// Steps of which can be seen that they were done.
    visible: BTreeSet<(String, Verb)>,
    entries: BTreeMap<Key, Entry>,
    /// Keys in the order they were first taken.
    taken: VecDeque<Key>,
    tasks: JoinSet<()>,
    running: BTreeMap<Id, Key>,
    turn: Arc<Semaphore>,
    // Each order reports at most twice and MAX_ORDERS are kept, which bounds this queue.
    report: mpsc::UnboundedSender<(Key, Outcome)>,
    reports: mpsc::UnboundedReceiver<(Key, Outcome)>,
}

impl Ledger {
    pub(super) fn new<W>(site: &Site<W>, tools: &Arc<Tools>, plan_hash: String) -> Self
    where
        W: World,
        W::Action: Action,
    {
        let mut steps: BTreeMap<(String, Verb), Start> = BTreeMap::new();
        let mut visible = BTreeSet::new();
        let hosts = site.hosts.iter();
        for (host, (verb, _)) in hosts.flat_map(|host| Verb::ALL.map(|verb| (host, verb))) {
            let Some(target) = Target::of(host, verb) else {
                continue;
            };
            if target.goal.is_visible() || target.action.looks_first() {
                visible.insert((host.name.clone(), verb));
            }
            let target = Arc::new(target);
            let tools = Arc::clone(tools);
            let start = move |permit, from, cancel, report: Report| -> Work {
                let (target, tools) = (Arc::clone(&target), Arc::clone(&tools));
                Box::pin(async move {
                    step::carry_out(&target, &tools, permit, from, cancel, |outcome| {
                        report.send(outcome)
                    })
                    .await;
                })
            };
            steps.insert((host.name.clone(), verb), Box::new(start));
        }
        for (step, last) in super::finish::of_site(site) {
            let last = Arc::new(last);
            let tools = Arc::clone(tools);
            let start = move |permit, _from, cancel, report: Report| -> Work {
                let (last, tools) = (Arc::clone(&last), Arc::clone(&tools));
                Box::pin(async move {
                    report.send(super::finish::carry_out(&last, &tools, permit, cancel).await);
                })
            };
            steps.insert((step, Verb::Stop), Box::new(start));
        }
        let (report, reports) = mpsc::unbounded_channel();
        Self {
            plan_hash,
            steps,
            visible,
            entries: BTreeMap::new(),
            taken: VecDeque::new(),
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            turn: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            report,
            reports,
        }
    }

    pub(super) fn plan_hash(&self) -> &str {
        &self.plan_hash
    }

    /// The last word on every order, oldest first.
    pub(super) fn last_outcomes(&self) -> Vec<FromAct> {
        self.taken
            .iter()
            .filter_map(|key| self.entries.get(key)?.message())
            .collect()
    }

    /// Takes an order; the return value is to be reported at once.
    pub(super) fn execute(&mut self, order: Order, real: bool) -> Option<FromAct> {
        self.take(order, real, step::From::Start)
    }

    /// As [`Self::execute`], for a real order of which core knows that the target accepted an
    /// earlier try; this role may have been restarted since.
    pub(super) fn go_on(&mut self, order: Order) -> Option<FromAct> {
        self.take(order, true, step::From::Remembered)
    }

    fn take(&mut self, order: Order, real: bool, mut from: step::From) -> Option<FromAct> {
        if order.plan_hash != self.plan_hash {
            let problem = format!(
                "this role reads plan {} and does not know plan {}; the configuration of the roles differs",
                self.plan_hash,
                super::action::printable(order.plan_hash.as_bytes(), 64)
            );
            return Some(refused(order, problem));
        }
        let step = (order.step.clone(), order.verb);
        if !self.steps.contains_key(&step) {
            let problem = format!(
                "the site has no host {} with {}",
                super::action::printable(order.step.as_bytes(), 64),
                order.verb.section()
            );
            return Some(refused(order, problem));
        }
        let key: Key = (order.run, order.step.clone(), order.verb, real);
        if let Some(entry) = self.entries.get_mut(&key) {
            let (asked, known) = (order.attempt, entry.order.attempt);
            match (&entry.cancel, &entry.last) {
                (Some(_), _) => {
                    if asked > known {
                        entry.order = order;
                    }
                    return entry.message();
                }
                (None, Some(Outcome::Confirmed)) if self.visible.contains(&step) => {
                    from = step::From::Remembered;
                }
                (None, Some(Outcome::Confirmed)) if asked <= known => {
                    let outcome = Outcome::Confirmed;
                    return Some(FromAct::Report { order, outcome });
                }
                (None, Some(Outcome::Requested)) if asked == known => from = step::From::Accepted,
                // It was so before anything was asked: looked at anew, and told the same way.
                (None, Some(Outcome::Found)) => {}
                (None, Some(Outcome::Failed { .. })) if real && asked == known => return entry.message(),
                (None, _) => {}
            }
        } else if !self.make_room() {
            return Some(refused(
                order,
                format!("more than {MAX_ORDERS} orders are under way"),
            ));
        }
        self.start(key, order, real, from);
        None
    }

    /// Ends the step's work; see `step` for what that means at which moment.
    pub(super) fn cancel(&mut self, order: &Order) {
        for real in [true, false] {
            let key = (order.run, order.step.clone(), order.verb, real);
            if let Some(cancel) = self.entries.get(&key).and_then(|entry| entry.cancel.as_ref()) {
                cancel.send_replace(true);
            }
        }
    }

    /// The next outcome of any order, as a message. Never returns when none comes.
    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<FromAct> {
        loop {
            // Reports first, so that a task's last word is taken in before its end. The channel
            // never closes, since we hold a sender; without tasks only the first arm waits.
            tokio::select! {
                biased;
                Some((key, outcome)) = self.reports.recv() => {
                    let entry = self.entries.get_mut(&key)?;
                    entry.last = Some(outcome);
                    return entry.message();
                }
                Some(ended) = self.tasks.join_next_with_id() => {
                    let (id, crashed) = match &ended {
                        Ok((id, ())) => (*id, None),
                        Err(error) => (error.id(), Some(error.to_string())),
                    };
                    let Some(entry) = self.running.remove(&id).and_then(|key| self.entries.get_mut(&key)) else {
                        continue;
                    };
                    entry.cancel = None;
                    if let Some(crash) = crashed {
                        tracing::error!(step = entry.order.step, crash, "the task of a step ended unexpectedly");
                        entry.last = Some(Outcome::Failed {
                            problem: "the action's task ended unexpectedly; see the log of role act".to_owned(),
                            retryable: true,
                        });
                        return entry.message();
                    }
                }
            }
        }
    }

    fn start(&mut self, key: Key, order: Order, real: bool, from: step::From) {
        tracing::info!(
            run = order.run,
            step = order.step,
            verb = ?order.verb,
            attempt = order.attempt,
            real,
            ?from,
            "order taken"
        );
        let (cancel, cancelled) = watch::channel(false);
        let report = Report {
            key: key.clone(),
            to: self.report.clone(),
        };
        let permit = Permit::of_run(real, order.run);
        let work = self.steps[&(order.step.clone(), order.verb)](permit, from, cancelled, report);
        let turn = Arc::clone(&self.turn);
        let id = self
            .tasks
            .spawn(async move {
                let _turn = turn.acquire_owned().await.expect("the semaphore is never closed");
                work.await;
            })
            .id();
        self.running.insert(id, key.clone());
        let last = if from == step::From::Accepted {
            Some(Outcome::Requested)
        } else {
            None
        };
        if self
            .entries
            .insert(
                key.clone(),
                Entry {
                    order,
                    last,
                    cancel: Some(cancel),
                },
            )
            .is_none()
        {
            self.taken.push_back(key);
        }
    }

    /// Forgets the oldest ended order when the ledger is full; false when all still run.
    fn make_room(&mut self) -> bool {
        if self.entries.len() < MAX_ORDERS {
            return true;
        }
        let ended = self
            .taken
            .iter()
            .position(|key| self.entries.get(key).is_none_or(|entry| entry.cancel.is_none()));
        match ended.and_then(|place| self.taken.remove(place)) {
            Some(key) => {
                self.entries.remove(&key);
                true
            }
            None => false,
        }
    }
}

impl Entry {
    fn message(&self) -> Option<FromAct> {
        Some(FromAct::Report {
            order: self.order.clone(),
            outcome: self.last.clone()?,
        })
    }
}

impl Report {
    fn send(&self, outcome: Outcome) {
        // The receiver lives as long as the ledger, which owns the task that calls this.
        let _ = self.to.send((self.key.clone(), outcome));
    }
}

fn refused(order: Order, problem: String) -> FromAct {
    FromAct::Report {
        order,
        outcome: Outcome::Refused { problem },
    }
}

#[cfg(test)]
mod tests {
    use super::super::action::{Accepted, Problem, Sent};
    use super::super::permit::{Armed, Checked};
    use super::*;
    use room::site::{Confirm, Host, Label, OnFailure};
    use room::time::Millis;
    use std::time::Duration;

    /// A world whose actions do what their word says.
    #[derive(Debug, Clone)]
    enum Stage {}

    #[derive(Debug, Clone, PartialEq, serde::Serialize)]
    enum Play {
        Succeed,
        Panic,
        Wait,
    }

    impl World for Stage {
        type Action = Play;
        const SIMULATED: bool = true;
    }

    impl Action for Play {
        async fn check(&self, _tools: &Tools, _permit: Checked) -> Result<(), Problem> {
            Ok(())
        }

        fn address(&self) -> Option<std::net::SocketAddr> {
            None
        }

        fn can_be_seen(&self) -> bool {
            false
        }

        async fn seen(&self, _tools: &Tools) -> Result<(), Problem> {
            unreachable!("nothing of it can be seen")
        }

        async fn request(&self, _tools: &Tools, _permit: Armed, sent: &Sent) -> Result<Accepted, Problem> {
            match self {
                Self::Succeed => {
                    sent.set();
                    Ok(Accepted::Succeeded)
                }
                Self::Panic => panic!("as the test asked"),
                Self::Wait => std::future::pending().await,
            }
        }
    }

    fn ledger(hosts: impl IntoIterator<Item = (String, Play)>) -> Ledger {
        let label = Label::new("試験", "test");
        let host = |(name, action)| Host {
            name,
            label: label.clone(),
            feeds: vec!["ups".to_owned()],
            need: 1,
            depends_on: Vec::new(),
            action,
            confirm: Confirm::ActionSucceeded,
            budget: Millis(1000),
            on_failure: OnFailure::GoOn,
            force: None,
            start: None,
        };
        let site: Site<Stage> = Site {
            hosts: hosts.into_iter().map(host).collect(),
            ..Site::bare()
        };
        Ledger::new(&site, &Arc::new(Tools::of(&site)), "cafe".to_owned())
    }

    fn order(run: u64, step: &str) -> Order {
        Order {
            plan_hash: "cafe".to_owned(),
            run,
            step: step.to_owned(),
            attempt: 1,
            verb: Verb::Stop,
        }
    }

    async fn outcome(ledger: &mut Ledger) -> (u64, Outcome) {
        match tokio::time::timeout(Duration::from_secs(5), ledger.next()).await {
            Ok(Some(FromAct::Report { order, outcome })) => (order.run, outcome),
            other => panic!("no report: {other:?}"),
        }
    }

    /// Takes in the end of all tasks, which send nothing more.
    async fn ended(ledger: &mut Ledger) {
        let all = async {
            while !ledger.running.is_empty() {
                let quiet = tokio::time::timeout(Duration::from_millis(20), ledger.next()).await;
                assert!(quiet.is_err(), "{quiet:?}");
            }
        };
        tokio::time::timeout(Duration::from_secs(5), all).await.unwrap();
    }

    #[tokio::test]
    async fn an_action_that_panics_is_a_failure_of_its_step_alone() {
        let mut ledger = ledger([("a".to_owned(), Play::Panic), ("b".to_owned(), Play::Succeed)]);
        assert!(ledger.execute(order(1, "a"), true).is_none());
        assert!(matches!(
            outcome(&mut ledger).await,
            (1, Outcome::Failed { retryable: true, .. })
        ));
        assert!(ledger.execute(order(2, "b"), true).is_none());
        assert_eq!(outcome(&mut ledger).await, (2, Outcome::Requested));
        assert_eq!(outcome(&mut ledger).await, (2, Outcome::Confirmed));
        assert_eq!(ledger.last_outcomes().len(), 2);
    }

    #[tokio::test]
    async fn a_success_that_cannot_be_looked_at_is_repeated_for_the_same_order_alone() {
        let mut ledger = ledger([("a".to_owned(), Play::Succeed)]);
        let attempt = |attempt| Order {
            attempt,
            ..order(1, "a")
        };
        assert!(ledger.execute(attempt(2), true).is_none());
        assert_eq!(outcome(&mut ledger).await, (1, Outcome::Requested));
        assert_eq!(outcome(&mut ledger).await, (1, Outcome::Confirmed));
        ended(&mut ledger).await;
        for same in [2, 1] {
            let report = FromAct::Report {
                order: attempt(same),
                outcome: Outcome::Confirmed,
            };
            assert_eq!(
                format!("{:?}", ledger.execute(attempt(same), true)),
                format!("{:?}", Some(report))
            );
        }
        assert!(ledger.execute(attempt(3), true).is_none());
        assert_eq!(outcome(&mut ledger).await, (1, Outcome::Requested));
        assert_eq!(outcome(&mut ledger).await, (1, Outcome::Confirmed));
    }

    #[tokio::test]
    async fn a_failure_of_a_later_attempt_is_no_answer_to_an_earlier_one() {
        let mut ledger = ledger([("a".to_owned(), Play::Panic)]);
        let late = Order {
            attempt: 3,
            ..order(1, "a")
        };
        assert!(ledger.execute(late.clone(), true).is_none());
        assert!(matches!(outcome(&mut ledger).await, (1, Outcome::Failed { .. })));
        assert!(ledger.execute(late, true).is_some());
        // Runs are counted from one again: core waits for an answer to this very attempt.
        assert!(ledger.execute(order(1, "a"), true).is_none());
        match ledger.next().await {
            Some(FromAct::Report { order, .. }) => assert_eq!(order.attempt, 1),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_check_is_made_anew_each_time() {
        let mut ledger = ledger([("a".to_owned(), Play::Succeed)]);
        for _ in 0..2 {
            assert!(ledger.execute(order(1, "a"), false).is_none());
            assert_eq!(outcome(&mut ledger).await, (1, Outcome::CheckPassed));
            ended(&mut ledger).await;
        }
    }

    #[tokio::test]
    async fn an_order_cancelled_while_it_waits_for_its_turn_is_never_sent() {
        let busy = (0..MAX_AT_ONCE).map(|index| (format!("busy-{index}"), Play::Wait));
        let mut ledger = ledger(busy.chain([("late".to_owned(), Play::Succeed)]));
        for index in 0..MAX_AT_ONCE {
            assert!(ledger.execute(order(1, &format!("busy-{index}")), true).is_none());
        }
        assert!(ledger.execute(order(2, "late"), true).is_none());
        ledger.cancel(&order(2, "late"));
        ledger.cancel(&order(1, "busy-0"));
        let mut seen = [outcome(&mut ledger).await, outcome(&mut ledger).await];
        seen.sort_by_key(|(run, _)| *run);
        let [(1, Outcome::Failed { .. }), (2, Outcome::Failed { problem, .. })] = &seen else {
            panic!("{seen:?}");
        };
        assert_eq!(problem, "cancelled before the request");
    }

    #[tokio::test]
    async fn a_full_ledger_forgets_ended_orders_and_refuses_when_all_run() {
        let mut ledger = ledger([("a".to_owned(), Play::Wait)]);
        for run in 0..MAX_ORDERS as u64 {
            assert!(ledger.execute(order(run, "a"), true).is_none());
        }
        let refused = ledger.execute(order(5000, "a"), true);
        assert!(matches!(
            refused,
            Some(FromAct::Report {
                outcome: Outcome::Refused { .. },
                ..
            })
        ));
        ledger.cancel(&order(7, "a"));
        assert!(matches!(outcome(&mut ledger).await, (7, Outcome::Failed { .. })));
        // Its end is taken in with the next look; nothing else comes.
        let quiet = tokio::time::timeout(Duration::from_millis(20), ledger.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        assert!(ledger.execute(order(5000, "a"), true).is_none());
        assert_eq!(ledger.entries.len(), MAX_ORDERS);
        assert!(
            !ledger
                .entries
                .contains_key(&(7, "a".to_owned(), Verb::Stop, true))
        );
    }
}

//! Orders taken, at most one task for each, and the last outcome of each.
//!
//! The key is (run, step, real). An order that comes again while it runs, or after it ended
//! well, starts nothing: it gets the last outcome again. After a failure only a higher attempt
//! starts the step anew. After "requested" the same attempt only watches on.

use super::action::Action;
use super::permit::Permit;
use super::step::{self, Target};
use crate::link::{FromAct, Order, Outcome};
use room::site::{Site, World};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{Id, JoinSet};

/// Steps that work at the same time; further ones wait for their turn.
pub(super) const MAX_AT_ONCE: usize = 64;
/// Orders remembered; the oldest that has ended is forgotten for a new one.
pub(super) const MAX_ORDERS: usize = 1024;

type Key = (u64, String, bool);
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
    steps: BTreeMap<String, Start>,
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
    pub(super) fn new<W>(site: &Site<W>, plan_hash: String) -> Self
    where
        W: World,
        W::Action: Action,
    {
        let mut steps: BTreeMap<String, Start> = BTreeMap::new();
        for host in &site.hosts {
            let target = Arc::new(Target::of(host));
            let start = move |permit, from, cancel, report: Report| -> Work {
                let target = Arc::clone(&target);
                Box::pin(async move {
                    step::carry_out(&target, permit, from, cancel, |outcome| report.send(outcome)).await;
                })
            };
            steps.insert(host.name.clone(), Box::new(start));
        }
        let (report, reports) = mpsc::unbounded_channel();
        Self {
            plan_hash,
            steps,
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
        if order.plan_hash != self.plan_hash {
            let problem = format!(
                "this role reads plan {} and does not know plan {}; the configuration of the roles differs",
                self.plan_hash,
                super::action::printable(order.plan_hash.as_bytes(), 64)
            );
            return Some(refused(order, problem));
        }
        if !self.steps.contains_key(&order.step) {
            let problem = format!(
                "the site has no host {}",
                super::action::printable(order.step.as_bytes(), 64)
            );
            return Some(refused(order, problem));
        }
        let key: Key = (order.run, order.step.clone(), real);
        let mut from = step::From::Start;
        if let Some(entry) = self.entries.get_mut(&key) {
            let again = order.attempt > entry.order.attempt;
            if again {
                entry.order = order.clone();
            }
            match (&entry.cancel, &entry.last) {
                (Some(_), _) | (None, Some(Outcome::Confirmed | Outcome::CheckPassed)) => {
                    return entry.message();
                }
                (None, Some(Outcome::Requested)) if !again => from = step::From::Accepted,
                (None, Some(_)) if !again => return entry.message(),
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
            let key = (order.run, order.step.clone(), real);
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
        let work = self.steps[&order.step](Permit::of(real), from, cancelled, report);
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

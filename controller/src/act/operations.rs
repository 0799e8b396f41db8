//! What operators order of devices: one task each, and its outcome until core has it.
//!
//! An id is carried out once: one that comes again gets its outcome, or nothing while it runs. What
//! cuts power is refused here, too, whatever core says: that is a step of a plan.

use super::action::{Problem, Sent};
use super::device::{self, Tools};
use super::permit::Permit;
use crate::link::{Done, FromAct, Operation};
use room::command::Danger;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::{Id, JoinSet};

/// Operations at work at the same time.
pub(super) const MAX_AT_ONCE: usize = 16;
/// Outcomes kept; the oldest is forgotten for a new one.
pub(super) const MAX_KEPT: usize = 64;

/// See the module's head.
pub(super) struct Operations {
    tools: Arc<Tools>,
    tasks: JoinSet<Done>,
    running: BTreeMap<Id, u64>,
    /// Outcomes, by id.
    ended: BTreeMap<u64, Done>,
    /// Those that core was not told yet.
    untold: BTreeSet<u64>,
}

impl Operations {
    pub(super) fn new(tools: Arc<Tools>) -> Self {
        Self {
            tools,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            untold: BTreeSet::new(),
        }
    }

    /// Begins one; the return value is to be told at once.
    pub(super) fn begin(&mut self, operation: Operation) -> Option<FromAct> {
        let id = operation.id;
        if let Some(done) = self.ended.get(&id) {
            let done = done.clone();
            return Some(FromAct::Operated { id, done });
        }
        if self.running.values().any(|running| *running == id) {
            return None;
        }
        if let Err(problem) = self.may(&operation) {
            let done = Done::Refused {
                problem: problem.text,
            };
            return Some(FromAct::Operated { id, done });
        }
        tracing::info!(id, device = operation.device, command = %operation.command, "telling a device");
        let tools = Arc::clone(&self.tools);
        let task = self.tasks.spawn(async move {
            let Permit::Act(armed) = Permit::of(true) else {
                unreachable!("a real order is armed")
            };
            let Operation {
                device,
                command,
                value,
                ..
            } = operation;
            device::operate(&tools, &device, command, value, armed, &Sent::default()).await
        });
        self.running.insert(task.id(), id);
        None
    }

    fn may(&self, operation: &Operation) -> Result<(), Problem> {
        self.tools.allowed(&operation.device, operation.command)?;
        if operation.command.danger() == Danger::CutsPower {
            return Err(Problem::lasting(format!(
                "{} switches power: that is a step of a plan, never an order by hand",
                operation.command
            )));
        }
        if self.running.len() >= MAX_AT_ONCE {
            return Err(Problem::passing(format!(
                "more than {MAX_AT_ONCE} devices are being told something"
            )));
        }
        Ok(())
    }

    /// Returns when something ended; never when nothing runs. Cancel-safe.
    pub(super) async fn settle(&mut self) {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (task, done) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "the task of an operation ended unexpectedly");
                let problem = "its task ended unexpectedly; see the log of role act".to_owned();
                (error.id(), Done::Unknown { problem })
            }
        };
        let Some(id) = self.running.remove(&task) else {
            return;
        };
        if self.ended.len() >= MAX_KEPT {
            self.ended.pop_first();
        }
        self.ended.insert(id, done);
        self.untold.insert(id);
    }

    /// Every outcome kept, oldest first, for a core that was just found: what was written to the
    /// one before may never have been read. One that comes again changes nothing there.
    pub(super) fn outcomes(&mut self) -> Vec<FromAct> {
        self.untold.extend(self.ended.keys());
        self.ended()
    }

    /// What core was not told yet, oldest first. Core counts ids up, so it knows what is old.
    pub(super) fn ended(&mut self) -> Vec<FromAct> {
        let untold = std::mem::take(&mut self.untold);
        untold
            .into_iter()
            .filter_map(|id| {
                let done = self.ended.get(&id)?.clone();
                Some(FromAct::Operated { id, done })
            })
            .collect()
    }
}

//! What operators order of devices: one task each, and its outcome until core has it.
//!
//! An id is carried out once: one that comes again gets its outcome, or nothing while it runs. The same
//! id with another order is of a core that began to count anew (its journal was lost): it is never
//! answered with the outcome of the order before. What cuts power is refused here, too, whatever core says: that is a step of a plan.

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
    running: BTreeMap<Id, Operation>,
    /// Orders and their outcomes, by id.
    ended: BTreeMap<u64, (Operation, Done)>,
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
        if let Some((known, done)) = self.ended.get(&id)
            && *known == operation
        {
            let done = done.clone();
            return Some(FromAct::Operated { id, done });
        }
        if let Some(known) = self.running.values().find(|running| running.id == id) {
            if *known == operation {
                return None;
            }
            let problem = format!("order {id} is another one, which still runs: try again in a minute");
            tracing::warn!(id, device = operation.device, command = %operation.command, "{problem}");
            let done = Done::Refused { problem };
            return Some(FromAct::Operated { id, done });
        }
        // The outcome of an order of before that had this number is nobody's any more.
        self.ended.remove(&id);
        self.untold.remove(&id);
        if let Err(problem) = self.may(&operation) {
            let done = Done::Refused {
                problem: problem.text,
            };
            return Some(FromAct::Operated { id, done });
        }
        tracing::info!(id, device = operation.device, command = %operation.command, "telling a device");
        let tools = Arc::clone(&self.tools);
        let kept = operation.clone();
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
        self.running.insert(task.id(), kept);
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
        let Some(operation) = self.running.remove(&task) else {
            return;
        };
        let id = operation.id;
        if self.ended.len() >= MAX_KEPT {
            self.ended.pop_first();
        }
        self.ended.insert(id, (operation, done));
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
                let (_, done) = self.ended.get(&id)?.clone();
                Some(FromAct::Operated { id, done })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::site::Real;
    use room::site::parse::read;
    use std::path::Path;

    /// Two UPSs of which nobody can read the community for writing: each order ends at once.
    const SITE: &str = r#"
name = "室"
data_dir = "data"
[web]
listen = "127.0.0.1:0"
[mqtt]
listen = "127.0.0.1:0"
[[device]]
name = "ups-a"
kind = "other"
addr = "127.0.0.1:9"
version = "v2c"
community = "c"
profile = "rfc1628"
timeout = "50ms"
retries = 0
commands = ["beeper.mute"]
[device.write]
community_file = "nowhere/a"
[[device]]
name = "ups-b"
kind = "other"
addr = "127.0.0.1:7"
version = "v2c"
community = "c"
profile = "rfc1628"
timeout = "50ms"
retries = 0
commands = ["beeper.mute"]
[device.write]
community_file = "nowhere/b"
"#;

    fn order(id: u64, device: &str) -> Operation {
        Operation {
            id,
            device: device.to_owned(),
            command: "beeper.mute".parse().unwrap(),
            value: None,
        }
    }

    fn said(message: &FromAct) -> (u64, Done) {
        match message {
            FromAct::Operated { id, done } => (*id, done.clone()),
            other => panic!("{other:?}"),
        }
    }

    fn begin(operations: &mut Operations, order: Operation) -> Option<(u64, Done)> {
        operations.begin(order).as_ref().map(said)
    }

    fn operations() -> Operations {
        let outcome = read::<Real>(SITE, Path::new("/nonexistent"));
        let site = outcome.site.unwrap_or_else(|| panic!("{:?}", outcome.problems));
        Operations::new(Arc::new(Tools::of(&site)))
    }

    /// A core whose journal was lost counts from one again.
    #[tokio::test]
    async fn another_order_under_an_old_number_is_carried_out_and_not_answered_with_the_old_outcome() {
        let mut operations = operations();
        assert_eq!(begin(&mut operations, order(1, "ups-a")), None);
        operations.settle().await;
        let told = operations.ended();
        assert_eq!(told.len(), 1);
        assert_eq!(
            begin(&mut operations, order(1, "ups-a")),
            told.first().map(said),
            "the same order again has the same outcome"
        );
        assert_eq!(
            begin(&mut operations, order(1, "ups-b")),
            None,
            "it is another one"
        );
        operations.settle().await;
        assert_eq!(operations.ended().len(), 1);
        let again = begin(&mut operations, order(1, "ups-b"));
        assert!(matches!(again, Some((1, _))), "{again:?}");
        assert_eq!(operations.outcomes().len(), 1, "the first is nobody's any more");
    }

    #[tokio::test]
    async fn another_order_under_the_number_of_one_that_runs_is_refused() {
        let mut operations = operations();
        assert_eq!(begin(&mut operations, order(1, "ups-a")), None);
        assert_eq!(begin(&mut operations, order(1, "ups-a")), None, "it runs");
        let refused = begin(&mut operations, order(1, "ups-b"));
        let Some((1, Done::Refused { problem })) = refused else {
            panic!("{refused:?}");
        };
        assert!(problem.contains("another one"), "{problem}");
        operations.settle().await;
        assert_eq!(operations.ended().len(), 1);
    }
}

//! The lines of a site: one bus each, however many devices are on it.

use super::{Bus, Line};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// All lines in use. Clones share them; the tasks end when the last clone is gone.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    buses: HashMap<Line, Bus>,
    tasks: JoinSet<()>,
}

impl Lines {
    /// The bus of a line; begins its task when there is none, or when the last one panicked.
    /// Must be called within the runtime.
    #[must_use]
    pub fn bus(&self, line: &Line) -> Bus {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = open.tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "the task of a Modbus line panicked and is started again");
            }
        }
        if let Some(bus) = open.buses.get(line)
            && !bus.has_ended()
        {
            return bus.clone();
        }
        let (bus, task) = Bus::new(line.clone());
        open.tasks.spawn(task);
        open.buses.insert(line.clone(), bus.clone());
        bus
    }

    /// Names and values of the counters of all lines together, for the snapshot.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums: Vec<(&'static str, u64)> = Vec::new();
        for (name, value) in open.buses.values().flat_map(|bus| bus.counters().list()) {
            match sums.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += value,
                None => sums.push((name, value)),
            }
        }
        sums
    }
}

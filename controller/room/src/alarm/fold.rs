//! Suppression by design: a consequence is folded under what explains it.
//!
//! ```text
//! ups-a.on_battery  <-  switch-1.contact  <-  rack-3.temperature.no_data
//!       root                  cause                  consequence
//! ```
//! A chain is followed to its root, also through causes that do not stand themselves: while mains
//! is lost, a switch that has not yet been missed explains nothing, but the outage does. What lies
//! in a maintenance window is folded under that. A cause that is shelved or out of service explains
//! nothing: who put it away has not put away what follows from it. Water, smoke, the fire panel, the extinguishing
//! agent and doors are never folded under a cause. A consequence that still stands when its cause
//! has ended comes up by itself, a little later: a switch needs minutes to start when mains is
//! back, and a node that answers again brings its values one by one.

use super::book::{Book, Known};
use crate::catalog::{Class, Kind};
use crate::time::Millis;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest chain of causes that is followed.
pub const MAX_CHAIN: usize = 32;

/// How long loss of power goes on explaining after it has ended: what lost its supply must start.
const LINGER_POWER: Millis = Millis(180_000);
/// How long a silence goes on explaining: a minute is what the slowest sensor takes.
const LINGER_DEVICE: Millis = Millis(60_000);

/// How long an alarm goes on explaining others after it has returned.
pub(super) const fn linger(kind: Kind) -> Millis {
    match kind.class() {
        Class::Power => LINGER_POWER,
        Class::Device => LINGER_DEVICE,
        Class::Environment | Class::Water | Class::Fire | Class::Door | Class::System => Millis(0),
    }
}

impl Book {
    /// True when folding `id` under `cause` would close a circle.
    pub(super) fn leads_to(&self, cause: &str, id: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut left = vec![cause];
        while let Some(cause) = left.pop() {
            if cause == id {
                return true;
            }
            if let Some(known) = self.get(cause).filter(|_| seen.insert(cause)) {
                left.extend(known.definition.folded_under.iter().map(String::as_str));
            }
        }
        false
    }

    /// What an alarm is folded under: the window it lies in, or the root of its causes.
    pub(super) fn root(&self, known: &Known) -> Option<Arc<str>> {
        if let Some(window) = known.window {
            return Some(crate::maintenance::id(window).into());
        }
        self.explained(known, 0)
    }

    fn explained(&self, known: &Known, depth: usize) -> Option<Arc<str>> {
        if depth == MAX_CHAIN || !known.definition.kind.may_fold() {
            return None;
        }
        known.definition.folded_under.iter().find_map(|cause| {
            let (id, at) = self.index.get_key_value(cause.as_str())?;
            let cause = &self.known[*at];
            let explains = cause.explains();
            // A window explains only what stands in it.
            let window = cause.window.filter(|_| explains);
            window
                .map(|window| crate::maintenance::id(window).into())
                .or_else(|| self.explained(cause, depth + 1))
                .or_else(|| explains.then(|| id.clone()))
        })
    }

    /// Works out anew what an alarm is folded under, and all that it explains.
    pub(super) fn refold(&mut self, at: usize) {
        let root = self.root(&self.known[at]);
        if self.fold(at, root) {
            self.refold_explained_by(at);
        }
    }

    /// Works out anew everything that an alarm explains, near and far.
    pub(super) fn refold_explained_by(&mut self, at: usize) {
        let mut left = vec![at];
        let mut seen = BTreeSet::new();
        while let Some(cause) = left.pop() {
            let id = self.known[cause].definition.id.as_str();
            let explained: Vec<usize> = self.by_cause.get(id).into_iter().flatten().copied().collect();
            for at in explained {
                let root = self.root(&self.known[at]);
                self.fold(at, root);
                if seen.insert(at) {
                    left.push(at);
                }
            }
        }
    }
}

//! A question of many variables, cut into packets, with what was learned about the device: which
//! variables it does not have, and how many it takes in one packet.

use super::packet::{Packet, Question};
use super::{Oid, Target, Value};
use std::sync::Arc;

/// A question that is asked again and again.
#[derive(Debug, Clone)]
pub struct Plan {
    oids: Vec<Oid>,
    skipped: Vec<bool>,
    target: Target,
    /// Empty when it must be built anew.
    parts: Vec<Part>,
    /// Variables in one packet when `parts` were built.
    built_for: usize,
}

/// One packet of a plan.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) packet: Arc<Packet>,
    /// Indices into the plan's variables, in the order of the packet.
    pub(super) indices: Arc<[usize]>,
}

impl Plan {
    /// Asks the target for these variables, at most [`super::VARIABLES_MAX`] of them: the rest
    /// is left out.
    #[must_use]
    pub fn new(target: &Target, oids: &[Oid]) -> Self {
        let oids: Vec<Oid> = oids.iter().take(super::VARIABLES_MAX).cloned().collect();
        Self {
            skipped: vec![false; oids.len()],
            oids,
            target: target.clone(),
            parts: Vec::new(),
            built_for: 0,
        }
    }

    /// Variables of the question, skipped ones as well.
    #[must_use]
    pub fn oids(&self) -> &[Oid] {
        &self.oids
    }

    /// Who is asked.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Leaves out what is not worth asking, until [`Self::ask_all`].
    pub fn keep(&mut self, worth: &[bool]) {
        for (skipped, worth) in self.skipped.iter_mut().zip(worth) {
            if !*worth && !*skipped {
                *skipped = true;
                self.parts.clear();
            }
        }
    }

    /// Asks again for everything: the device may have changed.
    pub fn ask_all(&mut self) {
        self.skipped.fill(false);
        self.parts.clear();
    }

    /// Every value as if the device had none of them.
    pub(super) fn blank(&self) -> Vec<Value> {
        vec![Value::NoSuchObject; self.oids.len()]
    }

    pub(super) fn parts(&mut self) -> Vec<Part> {
        let per_packet = self.target.learned.variables();
        if self.parts.is_empty() || self.built_for != per_packet {
            let asked: Vec<usize> = (0..self.oids.len())
                .filter(|index| !self.skipped[*index])
                .collect();
            self.parts = asked.chunks(per_packet).map(|chunk| self.part(chunk)).collect();
            self.built_for = per_packet;
        }
        self.parts.clone()
    }

    pub(super) fn part(&self, indices: &[usize]) -> Part {
        let oids: Vec<Oid> = indices.iter().map(|index| self.oids[*index].clone()).collect();
        Part {
            packet: Arc::new(Packet::new(&self.target.access, Question::Get, &oids)),
            indices: indices.into(),
        }
    }

    /// The device does not have this variable.
    pub(super) fn skip(&mut self, index: usize) {
        self.skipped[index] = true;
        self.parts.clear();
    }
}

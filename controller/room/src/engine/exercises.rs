//! Where rehearsals, drills and outages stand in the journal, so that their documents and replays are
//! made from nothing but their piece of it.

use super::Engine;
use crate::outage::exercise::{Exercise, MAX_EXERCISES};
use crate::outage::replay::{Place, Places, Stage};
use crate::outage::{self, Record as Power};
use crate::site::World;
use crate::time::Now;
use std::collections::BTreeMap;

/// First and last record of what can be asked for later.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// By run number; the last record is 0 while it goes on.
    exercises: BTreeMap<u64, (u64, u64)>,
    outages: Places,
}

impl Pieces {
    pub(super) fn read(&mut self, seq: u64, now: Now, record: &outage::Record) {
        self.outages.read(seq, now.wall, record);
        match record {
            Power::RehearsalStarted { run, .. } | Power::DrillStarted { run, .. } => {
                self.exercises.insert(*run, (seq, 0));
                // One may be under way besides those that are kept.
                while self.exercises.len() > MAX_EXERCISES + 1 {
                    self.exercises.pop_first();
                }
            }
            Power::RehearsalEnded { run, .. } | Power::RunEnded { run, .. } => {
                if let Some(piece) = self.exercises.get_mut(run)
                    && piece.1 == 0
                {
                    piece.1 = seq;
                }
            }
            _ => {}
        }
    }
}

impl<W: World> Engine<W> {
    /// Results of rehearsals and drills, newest first.
    #[must_use]
    pub fn exercises(&self) -> Vec<Exercise> {
        self.outage.exercises().cloned().collect()
    }

    /// First and last record of a rehearsal or drill that has ended and is kept.
    #[must_use]
    pub fn exercise_place(&self, run: u64) -> Option<(u64, u64)> {
        let kept = self.outage.exercises().any(|result| result.run == run);
        let piece = self.pieces.exercises.get(&run).copied();
        piece.filter(|(_, last)| kept && *last > 0)
    }

    /// The recorded outages, newest first.
    #[must_use]
    pub fn outage_places(&self) -> Vec<Place> {
        self.pieces.outages.newest_first().copied().collect()
    }

    /// One of them; the newest when none is named.
    #[must_use]
    pub fn outage_place(&self, outage: Option<u64>) -> Option<Place> {
        self.pieces.outages.find(outage)
    }

    /// Today's plan, to be tried on a recorded outage.
    #[must_use]
    pub fn outage_stage(&self) -> Stage {
        self.outage.stage()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Mono, Wall};

    fn now() -> Now {
        Now {
            mono: Mono(0),
            wall: Wall(7),
        }
    }

    fn ended(run: u64) -> Power {
        Power::RehearsalEnded {
            run,
            passed: Vec::new(),
            failed: Vec::new(),
            broken_off: None,
        }
    }

    #[test]
    fn a_piece_ends_with_its_first_end_and_old_ones_are_forgotten() {
        let plan: crate::plan::Plan = serde_json::from_str(r#"{"hash":"ab","steps":[]}"#).unwrap();
        let mut pieces = Pieces::default();
        for run in 1..=60 {
            let started = Power::RehearsalStarted {
                run,
                plan_hash: String::new(),
                by: String::new(),
                plan: plan.clone(),
            };
            pieces.read(run * 10, now(), &started);
            pieces.read(run * 10 + 5, now(), &ended(run));
            pieces.read(run * 10 + 6, now(), &ended(run));
        }
        assert_eq!(pieces.exercises.len(), MAX_EXERCISES + 1);
        assert_eq!(pieces.exercises.get(&60), Some(&(600, 605)));
        assert_eq!(pieces.exercises.get(&1), None);
        pieces.read(700, now(), &ended(9));
        assert_eq!(
            pieces.exercises.get(&9),
            None,
            "an end without a beginning is no piece"
        );
    }
}

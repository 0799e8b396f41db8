//! Supervised lines: a loop with an end-of-line resistor, seen as a voltage.
//!
//! ```text
//!  reference 2.0 V --[ R ]--+-- sense cable or spot electrodes --+
//!                           |                                    |
//!                          ADC        water bridges here       [ R ] end of line
//!                           |                                    |
//!                          0 V ----------------------------------+
//!
//!   0 ...... 150 ............. 750 ................ 1600 .......... 2000 mV
//!   shorted  |   wet (active)  |   dry (normal)     |   cut
//! ```
//! The two resistors are equal (10 kΩ for a rope, 47 kΩ for a spot, whose electrodes see less
//! water), so a dry line reads half the reference, 1000 mV. Water in parallel to the end lowers it,
//! a crushed cable takes it to nothing, a cut one lets it rise to the reference.
//!
//! A state changes after it was seen twice in a row, and the voltage must leave a band by
//! [`HYSTERESIS_MV`]; so an edge that creeps does not make the state flutter. A line is never
//! "dry" because nobody looked: without a reading there is no state.

/// What a supervised line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineState {
    /// Dry, at rest; the whole loop is there.
    Normal,
    /// Wet, alarmed.
    Active,
    /// The loop is open somewhere.
    Cut,
    /// The loop is bridged by metal.
    Shorted,
}

/// Below this a line is shorted, in millivolts.
pub const SHORTED_MV: i32 = 150;
/// Below this a line is active unless its mount says otherwise, in millivolts.
pub const ACTIVE_MV: i32 = 750;
/// From this on a line is cut, in millivolts.
pub const CUT_MV: i32 = 1_600;
/// By how much a voltage must leave the band of its state, in millivolts.
pub const HYSTERESIS_MV: i32 = 50;
/// Readings in a row that make a state.
pub const SEEN: u8 = 2;

const _: () = assert!(SHORTED_MV + 2 * HYSTERESIS_MV < ACTIVE_MV);
const _: () = assert!(ACTIVE_MV + 2 * HYSTERESIS_MV < CUT_MV);

/// A line of the node.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    active_mv: i16,
    settled: Option<LineState>,
    candidate: Option<(LineState, u8)>,
}

impl Line {
    /// A line that has not been looked at yet. `active_mv` is where it becomes active, 0 for
    /// [`ACTIVE_MV`]; a value that leaves no room for the other states is taken as the nearest that
    /// does.
    #[must_use]
    pub fn new(active_mv: u16) -> Self {
        let active_mv = match i32::from(active_mv) {
            0 => ACTIVE_MV,
            asked => asked.clamp(SHORTED_MV + 2 * HYSTERESIS_MV, CUT_MV - 2 * HYSTERESIS_MV),
        };
        Self {
            active_mv: active_mv as i16,
            settled: None,
            candidate: None,
        }
    }

    /// The settled state, if there is one yet.
    #[must_use]
    pub const fn state(&self) -> Option<LineState> {
        self.settled
    }

    /// Feeds a voltage in millivolts and returns the settled state.
    pub fn feed(&mut self, millivolts: i32) -> Option<LineState> {
        if self.settled.is_some_and(|state| self.within(state, millivolts)) {
            self.candidate = None;
            return self.settled;
        }
        let state = self.state_at(millivolts);
        let seen = match self.candidate {
            Some((candidate, seen)) if candidate == state => seen + 1,
            _ => 1,
        };
        if seen >= SEEN {
            self.settled = Some(state);
            self.candidate = None;
        } else {
            self.candidate = Some((state, seen));
        }
        self.settled
    }

    fn state_at(&self, millivolts: i32) -> LineState {
        if millivolts < SHORTED_MV {
            LineState::Shorted
        } else if millivolts < self.active_mv.into() {
            LineState::Active
        } else if millivolts < CUT_MV {
            LineState::Normal
        } else {
            LineState::Cut
        }
    }

    fn within(&self, state: LineState, millivolts: i32) -> bool {
        let active_mv = i32::from(self.active_mv);
        let (low, high) = match state {
            LineState::Shorted => (i32::MIN, SHORTED_MV),
            LineState::Active => (SHORTED_MV, active_mv),
            LineState::Normal => (active_mv, CUT_MV),
            LineState::Cut => (CUT_MV, i32::MAX),
        };
        low.saturating_sub(HYSTERESIS_MV) <= millivolts && millivolts < high.saturating_add(HYSTERESIS_MV)
    }
}

#[cfg(test)]
mod tests {
    use super::LineState::{Active, Cut, Normal, Shorted};
    use super::*;

    /// The last settled state after these voltages.
    fn after(millivolts: &[i32]) -> Option<LineState> {
        let mut line = Line::new(0);
        millivolts.iter().map(|mv| line.feed(*mv)).last().flatten()
    }

    #[test]
    fn dry_wet_broken_and_shorted_are_four_states() {
        assert_eq!(after(&[1_000, 1_000]), Some(Normal));
        assert_eq!(after(&[400, 400]), Some(Active));
        assert_eq!(after(&[2_000, 2_000]), Some(Cut));
        assert_eq!(after(&[0, 0]), Some(Shorted));
    }

    #[test]
    fn nothing_is_known_before_the_second_look() {
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[1_000]), None);
        assert_eq!(after(&[1_000, 400]), None);
    }

    #[test]
    fn one_disturbed_reading_changes_nothing() {
        assert_eq!(after(&[1_000, 1_000, 0]), Some(Normal));
        assert_eq!(after(&[1_000, 1_000, 0, 1_000, 0]), Some(Normal));
        assert_eq!(after(&[1_000, 1_000, 0, 0]), Some(Shorted));
    }

    #[test]
    fn a_voltage_at_an_edge_does_not_flutter() {
        let mut line = Line::new(0);
        let dry = [1_000, 1_000, 740, 760, 701, 749, 720];
        let states: Vec<_> = dry.iter().map(|mv| line.feed(*mv)).collect();
        assert_eq!(states[1..], [Some(Normal); 6]);
        // It leaves the band, and then must come back as far.
        let states: Vec<_> = [699, 699, 760, 799, 800, 800]
            .iter()
            .map(|mv| line.feed(*mv))
            .collect();
        assert_eq!(states, [Normal, Active, Active, Active, Active, Normal].map(Some));
    }

    #[test]
    fn every_state_leads_to_every_other() {
        let voltage = |state| match state {
            Shorted => 20,
            Active => 500,
            Normal => 1_100,
            Cut => 1_900,
        };
        for from in [Shorted, Active, Normal, Cut] {
            for to in [Shorted, Active, Normal, Cut] {
                assert_eq!(
                    after(&[voltage(from), voltage(from), voltage(to), voltage(to)]),
                    Some(to)
                );
            }
        }
    }

    #[test]
    fn a_mount_may_move_the_wet_edge_but_not_over_the_others() {
        let mut line = Line::new(900);
        line.feed(850);
        assert_eq!(line.feed(850), Some(Active));
        assert_eq!(Line::new(1).active_mv, 250);
        assert_eq!(Line::new(u16::MAX).active_mv, 1_500);
    }

    #[test]
    fn voltages_that_cannot_be_do_not_overflow() {
        assert_eq!(after(&[i32::MIN; 2]), Some(Shorted));
        assert_eq!(after(&[i32::MAX; 2]), Some(Cut));
    }
}

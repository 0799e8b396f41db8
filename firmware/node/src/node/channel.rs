//! A channel: what is mounted at a row of the table, and how it speaks.

use crate::REPORT_MS;
use crate::contact::{Contact, OPEN_MILLI};
use crate::door::Level;
use crate::line::LineState;
use crate::proof::{BACK_PER_HOUR, Proof};
use crate::sensor::{LOST_AFTER, Sensor};
use shared::filter::Deadband;
use shared::mount::{Mount, Part, PortalInput};
use shared::wire::{LineFault, Up};
use shared::{NoData, Quantity, Sample};

/// Events of one line within an hour, at most: of its reading a loss before each return and one after;
/// of its state two that are worse before each that is better, and two after.
pub(super) const LINE_EVENTS_PER_HOUR: usize = 2 * BACK_PER_HOUR + 1 + 3 * BACK_PER_HOUR + 2;
const _: () = assert!(LINE_EVENTS_PER_HOUR < 60, "less than one a minute");

/// One row of the mount table.
#[derive(Debug)]
pub(super) enum Channel {
    /// An empty row, or a part that this version does not know.
    Empty,
    /// `level` is what the portal was told last.
    Contact {
        contact: Contact,
        portal: PortalInput,
        level: Option<Level>,
    },
    Line {
        line: LineChannel,
        portal: PortalInput,
        level: Option<Level>,
    },
    Sensor(Sensor),
}

impl Channel {
    pub(super) fn new(channel: u8, mount: Option<&Mount>) -> Self {
        let Some(mount) = mount else {
            return Self::Empty;
        };
        let portal = mount.portal();
        match (mount.part, mount.quantity()) {
            (Part::Contact, _) => Self::Contact {
                contact: Contact::mounted(channel, mount),
                portal,
                level: None,
            },
            (Part::LeakSpot | Part::LeakRope, _) => Self::Line {
                line: LineChannel::new(channel),
                portal,
                level: None,
            },
            (_, Some(quantity)) => Self::Sensor(Sensor::new(channel, quantity)),
            (_, None) => Self::Empty,
        }
    }

    /// The sample that is due, if one is.
    pub(super) fn take_due(&mut self, channel: u8, now_ms: u64) -> Option<Sample> {
        let (due, value) = match self {
            Self::Empty => return None,
            Self::Contact { contact, .. } => (contact.take_due(), Ok(contact.milli())),
            Self::Line { line, .. } => (line.take_due(), line.value()),
            Self::Sensor(sensor) => return sensor.take_due(now_ms),
        };
        due.then_some(Sample {
            channel,
            quantity: Quantity::Contact,
            value,
        })
    }

    /// Report with the next occasion.
    pub(super) const fn ask(&mut self) {
        match self {
            Self::Empty => {}
            Self::Contact { contact, .. } => contact.ask(),
            Self::Line { line, .. } => line.due = true,
            Self::Sensor(sensor) => sensor.ask(),
        }
    }
}

/// A supervised line of the node. Its states settle in [`crate::line`].
///
/// It starts out believing "well", so that a line found wet or cut is an event. What is worse than
/// what was told is told at once. What is better waits until it is proven (see [`Proof`]): a loose
/// clamp makes at most [`LINE_EVENTS_PER_HOUR`] events.
#[derive(Debug)]
pub(super) struct LineChannel {
    channel: u8,
    state: Result<LineState, NoData>,
    /// The state that was told last.
    told: LineState,
    /// Readings in a row that failed; told lost from [`LOST_AFTER`] on.
    bad: u8,
    lost: bool,
    /// Of the reading, and of the state.
    answers: Proof,
    rests: Proof,
    /// The better state under proof.
    better: Option<LineState>,
    band: Deadband,
    due: bool,
}

impl LineChannel {
    const fn new(channel: u8) -> Self {
        Self {
            channel,
            state: Err(NoData::NeverHeard),
            told: LineState::Normal,
            bad: 0,
            lost: false,
            answers: Proof::new(),
            rests: Proof::new(),
            better: None,
            band: Deadband::new(OPEN_MILLI, REPORT_MS),
            due: true,
        }
    }

    /// The settled state, or why the line cannot be read; an event when it is another one.
    pub(super) fn feed(&mut self, state: Result<LineState, NoData>, now_ms: u64) -> Option<Up> {
        let other = state != self.state;
        self.state = state;
        self.due |= self.band.feed(self.value().unwrap_or(-OPEN_MILLI), now_ms) || other;
        let channel = self.channel;
        let state = match state {
            Err(reason) => {
                self.bad = self.bad.saturating_add(1);
                self.answers.unsound();
                self.rests.unsound();
                if self.bad < LOST_AFTER || self.lost {
                    return None;
                }
                self.lost = true;
                self.answers.lost(now_ms);
                return Some(Up::SensorLost { channel, reason });
            }
            Ok(state) => state,
        };
        self.bad = 0;
        if self.lost && self.answers.sound(now_ms) {
            // What has changed meanwhile is told with the next reading.
            self.lost = false;
            return Some(Up::SensorBack { channel });
        }
        if state == self.told {
            self.better = None;
            self.rests.unsound();
            return None;
        }
        if severity(state) > severity(self.told) {
            self.better = None;
            self.rests.unsound();
        } else {
            if self.better != Some(state) {
                self.better = Some(state);
                self.rests.lost(now_ms);
            }
            if !self.rests.sound(now_ms) {
                return None;
            }
            self.better = None;
        }
        self.told = state;
        Some(match state {
            LineState::Normal | LineState::Active => Up::Contact {
                channel,
                open: state == LineState::Active,
            },
            LineState::Cut => Up::LineFault {
                channel,
                fault: LineFault::Cut,
            },
            LineState::Shorted => Up::LineFault {
                channel,
                fault: LineFault::Shorted,
            },
        })
    }

    /// Value on the wire: a line that is not whole has none.
    pub(super) const fn value(&self) -> Result<i32, NoData> {
        match self.state {
            Ok(LineState::Normal) => Ok(0),
            Ok(LineState::Active) => Ok(OPEN_MILLI),
            Ok(LineState::Cut | LineState::Shorted) => Err(NoData::LineFault),
            Err(reason) => Err(reason),
        }
    }

    fn take_due(&mut self) -> bool {
        core::mem::take(&mut self.due)
    }
}

/// Water first.
const fn severity(state: LineState) -> u8 {
    match state {
        LineState::Normal => 0,
        LineState::Cut | LineState::Shorted => 1,
        LineState::Active => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LineState::{Active, Cut, Normal, Shorted};

    #[test]
    fn dry_wet_broken_and_shorted_are_four_states() {
        let mut rope = LineChannel::new(4);
        let wet = |open| Some(Up::Contact { channel: 4, open });
        let fault = |fault| Some(Up::LineFault { channel: 4, fault });
        // Far enough apart that none is a relapse.
        for (hour, (state, event, value)) in (0..).zip([
            (Normal, None, Ok(0)),
            (Active, wet(true), Ok(1_000)),
            (Active, None, Ok(1_000)),
            (Cut, fault(LineFault::Cut), Err(NoData::LineFault)),
            (Shorted, fault(LineFault::Shorted), Err(NoData::LineFault)),
            (Active, wet(true), Ok(1_000)),
            (Normal, wet(false), Ok(0)),
        ]) {
            assert_eq!(rope.feed(Ok(state), hour * 3_600_000), event, "{state:?}");
            assert_eq!(rope.value(), value);
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_lost_and_not_dry() {
        let mut rope = LineChannel::new(4);
        assert_eq!(rope.value(), Err(NoData::NeverHeard));
        let reason = NoData::BusFault;
        assert_eq!(
            rope.feed(Ok(Cut), 0),
            Some(Up::LineFault {
                channel: 4,
                fault: LineFault::Cut
            })
        );
        assert_eq!(
            rope.feed(Err(reason), 1),
            None,
            "a single disturbed reading is no loss"
        );
        assert_eq!(rope.value(), Err(reason), "and no value");
        assert_eq!(
            rope.feed(Err(reason), 2),
            Some(Up::SensorLost { channel: 4, reason })
        );
        assert_eq!(rope.feed(Err(NoData::Absent), 3), None);
        assert_eq!(rope.feed(Ok(Normal), 4), Some(Up::SensorBack { channel: 4 }));
        // The fault of before is not forgotten over it.
        assert_eq!(
            rope.feed(Ok(Normal), 5),
            Some(Up::Contact {
                channel: 4,
                open: false
            })
        );
    }

    #[test]
    fn a_loose_clamp_says_less_and_less_but_water_is_told_at_once() {
        let loose: [&[Result<LineState, NoData>]; 4] = [
            &[Ok(Cut), Ok(Normal)],
            &[Ok(Cut), Ok(Shorted), Ok(Active), Ok(Normal)],
            &[Err(NoData::BusFault), Err(NoData::BusFault), Ok(Normal)],
            &[Ok(Active), Ok(Cut)],
        ];
        for states in loose {
            let mut rope = LineChannel::new(4);
            let mut events = 0;
            for (now_ms, state) in (0..3_600_000).step_by(500).zip(states.iter().cycle()) {
                events += usize::from(rope.feed(*state, now_ms).is_some());
            }
            assert!(
                (2..=LINE_EVENTS_PER_HOUR).contains(&events),
                "{events} of {states:?}"
            );
        }
        let mut rope = LineChannel::new(4);
        for now_ms in (0..3_600_000).step_by(500) {
            rope.feed(Ok(if now_ms % 1_000 == 0 { Cut } else { Normal }), now_ms);
        }
        let wet = Up::Contact {
            channel: 4,
            open: true,
        };
        assert_eq!(rope.feed(Ok(Active), 3_600_000), Some(wet));
    }

    #[test]
    fn a_cut_line_is_reported_regularly() {
        let mut rope = LineChannel::new(4);
        let reported: std::vec::Vec<u64> = (0..=10_000)
            .filter(|&ms| {
                rope.feed(Ok(if ms >= 2_000 { Cut } else { Normal }), ms);
                rope.take_due()
            })
            .collect();
        assert!(
            reported.starts_with(&[0]) && reported.contains(&2_000),
            "{reported:?}"
        );
        assert!((3..=6).contains(&reported.len()), "{reported:?}");
    }
}

//! A channel: what is mounted at a row of the table, and how it speaks.

use crate::REPORT_MS;
use crate::contact::{Contact, OPEN_MILLI};
use crate::door::Level;
use crate::line::LineState;
use crate::sensor::{LOST_AFTER, Sensor};
use shared::filter::Deadband;
use shared::mount::{Mount, Part, PortalInput};
use shared::wire::{LineFault, Up};
use shared::{NoData, Quantity, Sample};

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
/// It starts out believing "well", so that a line found wet or cut is an event.
#[derive(Debug)]
pub(super) struct LineChannel {
    channel: u8,
    state: Result<LineState, NoData>,
    /// The state that was told last.
    told: LineState,
    /// Readings in a row that failed; told lost from [`LOST_AFTER`] on.
    bad: u8,
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
        let was_lost = self.bad >= LOST_AFTER;
        let state = match state {
            Err(reason) => {
                self.bad = self.bad.saturating_add(1);
                return (self.bad == LOST_AFTER).then_some(Up::SensorLost { channel, reason });
            }
            Ok(state) => state,
        };
        self.bad = 0;
        if was_lost {
            // What has changed meanwhile is told with the next reading.
            return Some(Up::SensorBack { channel });
        }
        if state == self.told {
            return None;
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

#[cfg(test)]
mod tests {
    use super::*;
    use LineState::{Active, Cut, Normal, Shorted};

    #[test]
    fn dry_wet_broken_and_shorted_are_four_states() {
        let mut rope = LineChannel::new(4);
        let wet = |open| Some(Up::Contact { channel: 4, open });
        let fault = |fault| Some(Up::LineFault { channel: 4, fault });
        for (now_ms, (state, event, value)) in (0..).zip([
            (Normal, None, Ok(0)),
            (Active, wet(true), Ok(1_000)),
            (Active, None, Ok(1_000)),
            (Cut, fault(LineFault::Cut), Err(NoData::LineFault)),
            (Shorted, fault(LineFault::Shorted), Err(NoData::LineFault)),
            (Active, wet(true), Ok(1_000)),
            (Normal, wet(false), Ok(0)),
        ]) {
            assert_eq!(rope.feed(Ok(state), now_ms), event, "{state:?}");
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

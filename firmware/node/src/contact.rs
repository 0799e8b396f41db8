//! One contact: debounce, and what is said about it.
//!
//! Contacts are normally closed: 0 is closed (door shut, floor dry), 1 is open, wet or a cut
//! wire. A node starts out believing "closed", so that a contact found open at power-on is an
//! event and not a silent fact.

use crate::{CONTACT_HOLD_MS, REPORT_MS};
use shared::filter::{Deadband, Debounce};
use shared::wire::Up;

/// Value of an open contact on the wire.
const OPEN_MILLI: i32 = 1_000;

/// A contact of the node.
#[derive(Debug)]
pub struct Contact {
    channel: u8,
    filter: Debounce,
    band: Deadband,
    due: bool,
}

impl Contact {
    /// A contact that has not been looked at yet.
    #[must_use]
    pub const fn new(channel: u8) -> Self {
        Self {
            channel,
            filter: Debounce::new(false, CONTACT_HOLD_MS),
            band: Deadband::new(OPEN_MILLI, REPORT_MS),
            due: true,
        }
    }

    /// Feeds the level of the pin; an event when it has settled on another level.
    pub fn feed(&mut self, open: bool, now_ms: u64) -> Option<Up> {
        let event = self.filter.feed(open, now_ms).map(|open| Up::Contact {
            channel: self.channel,
            open,
        });
        self.due |= self.band.feed(self.milli(), now_ms);
        event
    }

    /// When the level must be fed again for a change to settle, if one is running.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        self.filter.next_ms()
    }

    /// Value on the wire: 0 closed, 1000 open.
    #[must_use]
    pub const fn milli(&self) -> i32 {
        if self.filter.level() { OPEN_MILLI } else { 0 }
    }

    /// True once when the level is to be reported.
    pub fn take_due(&mut self) -> bool {
        core::mem::take(&mut self.due)
    }

    /// Report the level with the next occasion.
    pub const fn ask(&mut self) {
        self.due = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_one_event_after_its_hold() {
        let mut door = Contact::new(0);
        assert_eq!(door.feed(true, 100), None);
        assert_eq!(door.next_ms(), Some(105));
        let open = Up::Contact {
            channel: 0,
            open: true,
        };
        assert_eq!(door.feed(true, 105), Some(open));
        assert_eq!(door.feed(true, 106), None);
        assert_eq!(door.milli(), 1_000);
    }

    #[test]
    fn a_bouncing_contact_says_nothing_until_it_rests() {
        let mut door = Contact::new(0);
        let events = (0..500).filter_map(|ms| door.feed(ms % 3 == 0, ms)).count();
        assert_eq!((events, door.milli()), (0, 0));
    }

    #[test]
    fn found_open_at_power_on_is_an_event() {
        let mut leak = Contact::new(1);
        leak.feed(true, 0);
        assert!(leak.feed(true, CONTACT_HOLD_MS).is_some());
    }

    #[test]
    fn the_level_is_reported_at_first_on_change_and_regularly() {
        let mut door = Contact::new(0);
        let reported: std::vec::Vec<u64> = (0..=10_000)
            .filter(|&ms| {
                door.feed(ms >= 2_000, ms);
                door.take_due()
            })
            .collect();
        assert_eq!(reported, [0, 2_005, 7_005]);
    }
}

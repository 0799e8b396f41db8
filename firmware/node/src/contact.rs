//! One contact: supervision, debounce, chatter, and what is said about it.
//!
//! ```text
//!            [CHATTER_EDGES settled edges a minute, or restless for long: see RESTLESS_MS]
//! telling ------------------------------------------------------------------> chattering
//!    ^                                                                            |
//!    +--------------------[no edge for CHATTER_REST_MS: Rested]-------------------+
//! ```
//! A contact is normally closed unless its mount says otherwise: closed is well (door shut, floor
//! dry), open is the alarm side, and a cut wire looks open. A node starts out believing "well", so
//! that a contact on the alarm side at power-on is an event and not a silent fact.
//!
//! A contact that chatters is one event, and one when it rests again; the edges in between are
//! counted. A relay that buzzes faster than the hold never settles; it is chattering, too, and not
//! well.

use crate::{CONTACT_HOLD_MS, REPORT_MS};
use shared::filter::Debounce;
use shared::mount::Mount;
use shared::wire::Up;

/// Value of a contact on its alarm side on the wire.
pub const OPEN_MILLI: i32 = 1_000;
/// Settled edges within [`CHATTER_WINDOW_MS`] that are told one by one; a door in the busiest hour
/// has fewer.
pub const CHATTER_EDGES: u16 = 20;
/// The time in which they are counted, in milliseconds.
pub const CHATTER_WINDOW_MS: u64 = 60_000;
/// Milliseconds of edges without a pause of the hold after which a contact chatters, or
/// [`RESTLESS_HOLDS`] holds where that is longer. Contacts of doors and relays bounce for less than
/// a tenth of that.
pub const RESTLESS_MS: u64 = 2_000;
/// Holds without a pause after which a contact with a long hold chatters.
pub const RESTLESS_HOLDS: u64 = 4;
/// Fewest edges without a pause that are chatter. A long hold is there to pass over a blip or two.
pub const RESTLESS_EDGES: u16 = 8;
/// Milliseconds without an edge after which a chattering contact rests.
pub const CHATTER_REST_MS: u64 = 60_000;

/// A contact of the node.
#[derive(Debug)]
pub struct Contact {
    channel: u8,
    normally_open: bool,
    hold_ms: u16,
    filter: Debounce,
    /// When its level was reported last.
    reported_ms: Option<u64>,
    due: bool,
    /// It was fed at least once.
    seen: bool,
    /// The raw side fed last, when it changed, and since when it has not paused.
    raw: bool,
    raw_at_ms: u64,
    restless_since_ms: u64,
    /// Edges since then.
    restless_edges: u16,
    /// Settled edges told in the window that began at `window_ms`.
    told: u16,
    window_ms: u64,
    /// Raw edges since it chatters; `None`: it does not.
    untold: Option<u32>,
}

impl Contact {
    /// A normally-closed contact with the usual hold, that has not been looked at yet.
    #[must_use]
    pub const fn new(channel: u8) -> Self {
        Self::with(channel, false, CONTACT_HOLD_MS as u16)
    }

    /// A contact as it is mounted.
    #[must_use]
    pub fn mounted(channel: u8, mount: &Mount) -> Self {
        let hold_ms = match mount.param {
            0 => CONTACT_HOLD_MS as u16,
            hold_ms => hold_ms,
        };
        Self::with(channel, mount.is_normally_open(), hold_ms)
    }

    const fn with(channel: u8, normally_open: bool, hold_ms: u16) -> Self {
        Self {
            channel,
            normally_open,
            hold_ms,
            filter: Debounce::new(false, hold_ms as u64),
            reported_ms: None,
            due: true,
            seen: false,
            raw: false,
            raw_at_ms: 0,
            restless_since_ms: 0,
            restless_edges: 0,
            told: 0,
            window_ms: 0,
            untold: None,
        }
    }

    /// Feeds the level of the pin (true: the circuit is open); an event when there is one.
    pub fn feed(&mut self, level_open: bool, now_ms: u64) -> Option<Up> {
        let raw = level_open != self.normally_open;
        if !self.seen {
            // Only now it begins to hold a level.
            self.seen = true;
            self.raw_at_ms = now_ms;
            self.restless_since_ms = now_ms;
        }
        let restless = self.note_raw(raw, now_ms);
        let settled = self.filter.feed(raw, now_ms);
        if self.untold.is_some() {
            return self.feed_chattering(now_ms);
        }
        self.report(settled.is_some(), now_ms);
        if restless {
            return Some(self.chatters(self.restless_edges, now_ms));
        }
        let open = settled?;
        if now_ms.saturating_sub(self.window_ms) >= CHATTER_WINDOW_MS {
            self.window_ms = now_ms;
            self.told = 0;
        }
        self.told = self.told.saturating_add(1);
        if self.told > CHATTER_EDGES {
            return Some(self.chatters(self.told, now_ms));
        }
        Some(Up::Contact {
            channel: self.channel,
            open,
        })
    }

    /// Notes an edge of the pin; true when the edges do not pause any more.
    fn note_raw(&mut self, raw: bool, now_ms: u64) -> bool {
        if raw == self.raw {
            return false;
        }
        let hold_ms = u64::from(self.hold_ms.max(1));
        if now_ms.saturating_sub(self.raw_at_ms) >= hold_ms {
            self.restless_since_ms = now_ms;
            self.restless_edges = 0;
        }
        self.restless_edges = self.restless_edges.saturating_add(1);
        self.raw = raw;
        self.raw_at_ms = now_ms;
        if let Some(untold) = &mut self.untold {
            *untold = untold.saturating_add(1);
        }
        let restless_ms = now_ms.saturating_sub(self.restless_since_ms);
        restless_ms >= RESTLESS_MS.max(RESTLESS_HOLDS * hold_ms) && self.restless_edges >= RESTLESS_EDGES
    }

    fn chatters(&mut self, edges: u16, now_ms: u64) -> Up {
        self.untold = Some(0);
        self.told = 0;
        self.window_ms = now_ms;
        Up::Chattering {
            channel: self.channel,
            edges,
        }
    }

    fn feed_chattering(&mut self, now_ms: u64) -> Option<Up> {
        // Its samples keep to the regular reports.
        self.report(false, now_ms);
        if now_ms.saturating_sub(self.raw_at_ms) < CHATTER_REST_MS {
            return None;
        }
        self.due = true;
        Some(Up::Rested {
            channel: self.channel,
            open: self.filter.level(),
            edges: self.untold.take().unwrap_or_default(),
        })
    }

    /// Makes a report due when the level changed or was not reported for long.
    fn report(&mut self, changed: bool, now_ms: u64) {
        let late = self
            .reported_ms
            .is_none_or(|at| now_ms.saturating_sub(at) >= REPORT_MS);
        if changed || late {
            self.reported_ms = Some(now_ms);
            self.due = true;
        }
    }

    /// When the level must be fed again for a change to settle or a rest to be noticed.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        let rested = self
            .untold
            .map(|_| self.raw_at_ms.saturating_add(CHATTER_REST_MS));
        [self.filter.next_ms(), rested].into_iter().flatten().min()
    }

    /// The side on which it rests; `None` until it has held one since power-on, and while it
    /// chatters.
    #[must_use]
    pub fn settled(&self, now_ms: u64) -> Option<bool> {
        let held =
            now_ms.saturating_sub(self.raw_at_ms) >= self.hold_ms.into() && self.filter.next_ms().is_none();
        (self.seen && held && self.untold.is_none()).then(|| self.filter.level())
    }

    /// True while its edges are not told.
    #[must_use]
    pub const fn is_chattering(&self) -> bool {
        self.untold.is_some()
    }

    /// Value on the wire: 0 closed, 1000 on the alarm side.
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
    use shared::mount::{NORMALLY_OPEN, Part};
    use std::vec::Vec;

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
    fn a_normally_open_contact_with_a_long_hold_is_mounted_so() {
        let mount = Mount {
            flags: NORMALLY_OPEN,
            param: 300,
            ..Mount::new(Part::Contact, 4, 0)
        };
        let mut panel = Contact::mounted(3, &mount);
        assert_eq!(panel.feed(true, 1_000), None, "open is well");
        assert_eq!(panel.feed(true, 1_400), None);
        panel.feed(false, 2_000);
        assert_eq!(panel.feed(false, 2_299), None);
        let alarm = Up::Contact {
            channel: 3,
            open: true,
        };
        assert_eq!(panel.feed(false, 2_300), Some(alarm));
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
        let reported: Vec<u64> = (0..=10_000)
            .filter(|&ms| {
                door.feed(ms >= 2_000, ms);
                door.take_due()
            })
            .collect();
        assert_eq!(reported, [0, 2_005, 7_005]);
    }

    /// Feeds a level every millisecond and returns what was said and when.
    fn said(contact: &mut Contact, from_ms: u64, to_ms: u64, level: impl Fn(u64) -> bool) -> Vec<(u64, Up)> {
        (from_ms..to_ms)
            .filter_map(|ms| contact.feed(level(ms), ms).map(|up| (ms, up)))
            .collect()
    }

    #[test]
    fn a_chattering_contact_is_one_event_and_one_when_it_rests() {
        let mut door = Contact::new(0);
        // A loose wire: an edge every 100 ms for ten seconds.
        let events = said(&mut door, 100, 10_100, |ms| ms / 100 % 2 == 1);
        let told = usize::from(CHATTER_EDGES);
        assert_eq!(events.len(), told + 1);
        assert!(
            events[..told]
                .iter()
                .all(|(_, up)| matches!(up, Up::Contact { .. }))
        );
        let chattering = Up::Chattering {
            channel: 0,
            edges: CHATTER_EDGES + 1,
        };
        assert_eq!(events[told], (2_105, chattering));
        assert!(door.untold.is_some());
        let rested = Up::Rested {
            channel: 0,
            open: true,
            edges: 80,
        };
        let rest = said(&mut door, 10_100, 80_000, |_| true);
        assert_eq!(rest, [(10_100 + CHATTER_REST_MS, rested)]);
        assert!(door.untold.is_none());
        let again = said(&mut door, 80_000, 80_100, |_| false);
        assert_eq!(again.len(), 1, "its edges are told again");
    }

    #[test]
    fn the_rest_is_noticed_at_the_deadline_that_was_named() {
        let mut door = Contact::new(0);
        said(&mut door, 0, 5_000, |ms| ms / 100 % 2 == 1);
        assert_eq!(door.next_ms(), Some(4_900 + CHATTER_REST_MS));
        assert!(matches!(
            door.feed(true, 4_900 + CHATTER_REST_MS),
            Some(Up::Rested { .. })
        ));
    }

    #[test]
    fn a_relay_that_buzzes_faster_than_its_hold_chatters_and_is_not_well() {
        let mut relay = Contact::new(2);
        let events = said(&mut relay, 0, 10_000, |ms| ms / 3 % 2 == 1);
        assert!(
            matches!(events[..], [(2_000..=2_010, Up::Chattering { channel: 2, .. })]),
            "{events:?}"
        );
    }

    fn held_for(hold_ms: u16) -> Contact {
        let mount = Mount {
            param: hold_ms,
            ..Mount::new(Part::Contact, 0, 0)
        };
        Contact::mounted(0, &mount)
    }

    #[test]
    fn a_blip_shorter_than_a_long_hold_is_passed_over_in_silence() {
        for (hold_ms, blip_ms) in [(5_000, 2_500), (60_000, 59_000)] {
            let mut door = held_for(hold_ms);
            let end = 100_000 + blip_ms;
            let events = said(&mut door, 0, 400_000, |ms| (100_000..end).contains(&ms));
            assert_eq!(events, [], "hold {hold_ms}");
            assert_eq!(door.settled(400_000), Some(false));
        }
    }

    #[test]
    fn a_contact_with_a_long_hold_that_never_pauses_chatters_all_the_same() {
        let mut door = held_for(5_000);
        let events = said(&mut door, 0, 60_000, |ms| ms / 2_500 % 2 == 1);
        let (at_ms, said) = events[0];
        assert_eq!(events.len(), 1);
        assert!((20_000..30_000).contains(&at_ms), "{at_ms}");
        assert!(
            matches!(said, Up::Chattering { edges, .. } if edges >= RESTLESS_EDGES),
            "{said:?}"
        );
    }

    #[test]
    fn a_busy_door_does_not_chatter() {
        let mut door = Contact::new(0);
        // Ten passages a minute for an hour, each bouncing for 4 ms at both ends.
        let level = |ms: u64| {
            let at = ms % 6_000;
            (1_000..3_000).contains(&at) && !matches!(at, 1_001 | 1_003) || matches!(at, 3_001 | 3_003)
        };
        let events = said(&mut door, 0, 3_600_000, level);
        assert_eq!(events.len(), 2 * 600);
    }

    #[test]
    fn while_it_chatters_samples_keep_their_usual_rhythm() {
        let mut door = Contact::new(0);
        said(&mut door, 0, 5_000, |ms| ms / 50 % 2 == 1);
        door.take_due();
        let reports = (5_000..65_000)
            .filter(|&ms| {
                door.feed(ms / 50 % 2 == 1, ms);
                door.take_due()
            })
            .count();
        assert!((11..=13).contains(&reports), "{reports} in a minute");
    }
}

//! Filters that node and controller reason about alike: debounce and deadband.

/// Takes a raw level and lets a change through once it has held for `hold_ms`.
///
/// Time is an argument in milliseconds of any monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Debounce {
    settled: bool,
    candidate: Option<(bool, u64)>,
    hold_ms: u64,
}

impl Debounce {
    /// Starts with a settled level.
    #[must_use]
    pub const fn new(level: bool, hold_ms: u64) -> Self {
        Self {
            settled: level,
            candidate: None,
            hold_ms,
        }
    }

    /// The settled level.
    #[must_use]
    pub const fn level(&self) -> bool {
        self.settled
    }

    /// Feeds the raw level; `Some(level)` exactly once for each settled change.
    pub fn feed(&mut self, raw: bool, now_ms: u64) -> Option<bool> {
        if raw == self.settled {
            self.candidate = None;
            return None;
        }
        let since = match self.candidate {
            Some((level, since)) if level == raw => since,
            _ => {
                self.candidate = Some((raw, now_ms));
                now_ms
            }
        };
        if now_ms.saturating_sub(since) >= self.hold_ms {
            self.settled = raw;
            self.candidate = None;
            return Some(raw);
        }
        None
    }

    /// When the level must be fed again for a running change to settle, if one is running.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        self.candidate
            .map(|(_, since)| since.saturating_add(self.hold_ms))
    }
}

/// Lets a value through when it moved by at least `delta` or when `heartbeat_ms` have passed.
#[derive(Debug, Clone, Copy)]
pub struct Deadband {
    last: Option<(i32, u64)>,
    delta: i32,
    heartbeat_ms: u64,
}

impl Deadband {
    /// `delta` in the unit of the value, `heartbeat_ms` the longest silence.
    #[must_use]
    pub const fn new(delta: i32, heartbeat_ms: u64) -> Self {
        Self {
            last: None,
            delta,
            heartbeat_ms,
        }
    }

    /// True when the value is to be sent.
    pub fn feed(&mut self, value: i32, now_ms: u64) -> bool {
        let send = match self.last {
            None => true,
            Some((last, at)) => {
                (i64::from(value) - i64::from(last)).abs() >= i64::from(self.delta)
                    || now_ms.saturating_sub(at) >= self.heartbeat_ms
            }
        };
        if send {
            self.last = Some((value, now_ms));
        }
        send
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Feeds (time, raw level) pairs and returns the settled changes.
    fn settled(hold_ms: u64, feed: &[(u64, bool)]) -> Vec<(u64, bool)> {
        let mut filter = Debounce::new(false, hold_ms);
        feed.iter()
            .filter_map(|&(at, raw)| filter.feed(raw, at).map(|level| (at, level)))
            .collect()
    }

    #[test]
    fn a_change_settles_once_after_its_hold() {
        let feed = [(100, true), (104, true), (105, true), (106, true)];
        assert_eq!(settled(5, &feed), [(105, true)]);
    }

    #[test]
    fn a_bounce_starts_the_hold_again() {
        let feed = [(0, true), (3, false), (4, true), (8, true), (9, true)];
        assert_eq!(settled(5, &feed), [(9, true)]);
    }

    #[test]
    fn chatter_shorter_than_the_hold_is_silent() {
        let feed: Vec<_> = (0..1000).map(|ms| (ms, ms % 2 == 0)).collect();
        assert_eq!(settled(5, &feed), []);
    }

    #[test]
    fn no_hold_lets_every_change_through() {
        assert_eq!(settled(0, &[(1, true), (1, false)]), [(1, true), (1, false)]);
    }

    #[test]
    fn the_deadline_is_known_only_while_a_change_runs() {
        let mut filter = Debounce::new(false, 5);
        assert_eq!(filter.next_ms(), None);
        filter.feed(true, 10);
        assert_eq!(filter.next_ms(), Some(15));
        filter.feed(true, 15);
        assert_eq!((filter.next_ms(), filter.level()), (None, true));
    }

    #[test]
    fn a_clock_at_its_end_does_not_panic() {
        let mut filter = Debounce::new(false, 5);
        filter.feed(true, u64::MAX - 1);
        assert_eq!(filter.next_ms(), Some(u64::MAX));
        assert_eq!(filter.feed(true, 0), None);
    }

    #[test]
    fn deadband_sends_the_first_the_far_and_the_late() {
        let mut filter = Deadband::new(100, 5_000);
        assert!(filter.feed(20_000, 0), "the first value");
        assert!(!filter.feed(20_099, 500), "a small move");
        assert!(filter.feed(20_100, 1_000), "a move of delta");
        assert!(!filter.feed(20_001, 1_500), "a small move back");
        assert!(filter.feed(20_000, 2_000), "a move of delta back");
        assert!(!filter.feed(20_000, 6_999), "not yet late");
        assert!(filter.feed(20_000, 7_000), "late");
    }

    #[test]
    fn creeping_is_measured_from_the_last_value_sent() {
        let mut filter = Deadband::new(100, u64::MAX);
        let sent: Vec<i32> = (0..=300).filter(|value| filter.feed(*value, 0)).collect();
        assert_eq!(sent, [0, 100, 200, 300]);
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        let mut filter = Deadband::new(1, u64::MAX);
        assert!(filter.feed(i32::MIN, 0));
        assert!(filter.feed(i32::MAX, 0));
    }
}

//! Filters that node and controller reason about alike: debounce, deadband, median of three, limit
//! of the rate of change, and what never changes.

use crate::NoData;

/// Takes a raw level and lets a change through once it has held for `hold_ms`.
///
/// Time is an argument in milliseconds of any monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Debounce {
    settled: bool,
    candidate: Option<(bool, u64)>,
    /// A node has dozens of these and little RAM; 49 days are long enough for all of them.
    hold_ms: u32,
}

impl Debounce {
    /// Starts with a settled level.
    #[must_use]
    pub const fn new(level: bool, hold_ms: u64) -> Self {
        Self {
            settled: level,
            candidate: None,
            hold_ms: whole_u32(hold_ms),
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
        if now_ms.saturating_sub(since) >= u64::from(self.hold_ms) {
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
            .map(|(_, since)| since.saturating_add(self.hold_ms.into()))
    }
}

/// Lets a value through when it moved by at least `delta` or when `heartbeat_ms` have passed.
#[derive(Debug, Clone, Copy)]
pub struct Deadband {
    /// With the lower half of its time, for the same reason as above: heartbeats are seconds.
    last: Option<(i32, u32)>,
    delta: i32,
    heartbeat_ms: u32,
}

impl Deadband {
    /// `delta` in the unit of the value, `heartbeat_ms` the longest silence.
    #[must_use]
    pub const fn new(delta: i32, heartbeat_ms: u64) -> Self {
        Self {
            last: None,
            delta,
            heartbeat_ms: whole_u32(heartbeat_ms),
        }
    }

    /// True when the value is to be sent.
    pub fn feed(&mut self, value: i32, now_ms: u64) -> bool {
        let send = match self.last {
            None => true,
            Some((last, at)) => {
                (i64::from(value) - i64::from(last)).abs() >= i64::from(self.delta)
                    || since(at, now_ms) >= self.heartbeat_ms
            }
        };
        if send {
            self.last = Some((value, now_ms as u32));
        }
        send
    }
}

/// Milliseconds since a time of which the lower half was kept.
const fn since(at: u32, now_ms: u64) -> u32 {
    (now_ms as u32).wrapping_sub(at)
}

const fn whole_u32(ms: u64) -> u32 {
    if ms > u32::MAX as u64 { u32::MAX } else { ms as u32 }
}

/// The median of the last three values: one disturbed value never comes through, a real change
/// comes one value later.
#[derive(Debug, Clone, Copy, Default)]
pub struct Median3 {
    before: Option<[i32; 2]>,
}

impl Median3 {
    /// A filter that has seen nothing; its first value comes through as it is.
    #[must_use]
    pub const fn new() -> Self {
        Self { before: None }
    }

    /// Feeds a value and returns the median.
    pub const fn feed(&mut self, value: i32) -> i32 {
        let [first, second] = match self.before {
            Some(before) => before,
            None => [value, value],
        };
        self.before = Some([second, value]);
        let (low, high) = if first < second {
            (first, second)
        } else {
            (second, first)
        };
        if value < low {
            low
        } else if value > high {
            high
        } else {
            value
        }
    }

    /// Forgets what was before a gap: values on its two sides do not vouch for each other.
    pub const fn reset(&mut self) {
        self.before = None;
    }
}

/// Doubts a value that changed faster than physics allows.
///
/// The doubtful reading is no value; when the next one agrees with it, the new level is believed,
/// because then it is the room (or somebody's hand on the sensor) and not the reading.
///
/// It keeps the lower half of its times: whoever is silent for 49 days may begin anywhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateLimit {
    believed: Option<(i32, u32)>,
    doubted: Option<(i32, u32)>,
}

impl RateLimit {
    /// A filter that has seen nothing; its first value is believed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            believed: None,
            doubted: None,
        }
    }

    /// Feeds a value. `per_second` is the fastest change, `slack` what is allowed at any time
    /// besides, both in the unit of the value.
    ///
    /// # Errors
    /// [`NoData::Implausible`] when it can be neither the last believed value nor the last doubted
    /// one, moved on.
    pub fn feed(&mut self, value: i32, per_second: u32, slack: u32, now_ms: u64) -> Result<i32, NoData> {
        let reachable = |from: Option<(i32, u32)>| {
            from.is_some_and(|(from, at)| {
                let moved = u64::from(value.abs_diff(from));
                // Two factors of 32 bits do not overflow 64.
                moved <= u64::from(slack) + u64::from(per_second) * u64::from(since(at, now_ms)) / 1_000
            })
        };
        if self.believed.is_none() || reachable(self.believed) || reachable(self.doubted) {
            self.believed = Some((value, now_ms as u32));
            self.doubted = None;
            Ok(value)
        } else {
            self.doubted = Some((value, now_ms as u32));
            Err(NoData::Implausible)
        }
    }
}

/// Says for how long the very same thing was seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unchanged {
    seen: Option<(u32, u64)>,
}

impl Unchanged {
    /// A filter that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: None }
    }

    /// Feeds what was seen; returns for how many milliseconds it has been the same.
    pub const fn feed(&mut self, what: u32, now_ms: u64) -> u64 {
        match self.seen {
            Some((before, since)) if before == what => now_ms.saturating_sub(since),
            _ => {
                self.seen = Some((what, now_ms));
                0
            }
        }
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
    fn a_heartbeat_goes_on_after_49_days() {
        let mut filter = Deadband::new(100, 5_000);
        let wraps = u64::from(u32::MAX) + 1;
        assert!(filter.feed(20_000, wraps - 2_000));
        assert!(!filter.feed(20_000, wraps + 2_999));
        assert!(filter.feed(20_000, wraps + 3_000));
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

    fn medians(values: &[i32]) -> Vec<i32> {
        let mut filter = Median3::new();
        values.iter().map(|value| filter.feed(*value)).collect()
    }

    #[test]
    fn one_disturbed_value_never_comes_through() {
        assert_eq!(medians(&[20, 20, 85, 20, 20]), [20; 5]);
        assert_eq!(medians(&[20, -45, 20, 130, 20]), [20; 5]);
    }

    #[test]
    fn a_real_change_comes_one_value_later() {
        assert_eq!(medians(&[20, 30, 30, 30]), [20, 20, 30, 30]);
        assert_eq!(medians(&[1, 2, 3, 4, 5]), [1, 1, 2, 3, 4]);
    }

    #[test]
    fn the_median_is_the_middle_of_any_three() {
        for a in -2..=2 {
            for b in -2..=2 {
                for c in -2..=2 {
                    let mut sorted = [a, b, c];
                    sorted.sort_unstable();
                    assert_eq!(medians(&[a, b, c])[2], sorted[1]);
                }
            }
        }
    }

    #[test]
    fn after_a_gap_the_median_begins_anew() {
        let mut filter = Median3::new();
        filter.feed(20);
        filter.feed(20);
        filter.reset();
        assert_eq!(filter.feed(40), 40);
    }

    #[test]
    fn a_jump_is_doubted_once_and_believed_when_it_stays() {
        let mut filter = RateLimit::new();
        assert_eq!(filter.feed(20_000, 5_000, 1_000, 0), Ok(20_000));
        // 5 °C/s for half a second, and 1 °C: 3.5 °C.
        assert_eq!(filter.feed(23_500, 5_000, 1_000, 500), Ok(23_500));
        assert_eq!(filter.feed(60_000, 5_000, 1_000, 1_000), Err(NoData::Implausible));
        assert_eq!(filter.feed(60_100, 5_000, 1_000, 1_500), Ok(60_100));
        assert_eq!(filter.feed(60_200, 5_000, 1_000, 2_000), Ok(60_200));
    }

    #[test]
    fn readings_that_jump_about_are_never_believed_and_the_old_level_is() {
        let mut filter = RateLimit::new();
        filter.feed(20_000, 5_000, 1_000, 0).unwrap();
        for (value, now_ms) in [(60_000, 500), (-20_000, 1_000), (90_000, 1_500)] {
            assert_eq!(filter.feed(value, 5_000, 1_000, now_ms), Err(NoData::Implausible));
        }
        assert_eq!(filter.feed(20_500, 5_000, 1_000, 2_000), Ok(20_500));
    }

    #[test]
    fn a_long_silence_allows_any_change() {
        let mut filter = RateLimit::new();
        filter.feed(20_000, 5_000, 1_000, 0).unwrap();
        assert_eq!(filter.feed(60_000, 5_000, 1_000, 8_000), Ok(60_000));
    }

    #[test]
    fn the_rate_of_the_ends_does_not_overflow() {
        let mut filter = RateLimit::new();
        filter.feed(i32::MIN, u32::MAX, u32::MAX, u64::MAX).unwrap();
        assert_eq!(filter.feed(i32::MAX, u32::MAX, u32::MAX, 0), Ok(i32::MAX));
        assert_eq!(filter.feed(i32::MIN, 0, 0, u64::MAX), Err(NoData::Implausible));
    }

    #[test]
    fn what_stays_is_counted_from_when_it_was_first_seen() {
        let mut filter = Unchanged::new();
        let seen: Vec<u64> = [(7, 100), (7, 200), (7, 900), (8, 1_000), (7, 1_100), (7, 1_150)]
            .into_iter()
            .map(|(what, now_ms)| filter.feed(what, now_ms))
            .collect();
        assert_eq!(seen, [0, 100, 800, 0, 0, 50]);
    }
}

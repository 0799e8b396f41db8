//! How late polls begin: the one figure that says whether the controller keeps up.
//!
//! Every poll that begins adds one to a bucket of a histogram. A window of one to two minutes is
//! kept, so that a hiccup is seen and then forgotten. Reading it never stops the pollers.

use room::time::{Millis, Mono};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper ends of the buckets in milliseconds; the last one has none.
const BOUNDS_MS: [u64; 15] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000,
];
const BUCKETS: usize = BOUNDS_MS.len() + 1;
/// Half of the window.
const TURN: Millis = Millis::from_secs(60);

/// The histogram of one core.
#[derive(Debug, Default)]
pub struct Lateness {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    began: u64,
    polls: u64,
    now: [u64; BUCKETS],
    before: [u64; BUCKETS],
    max: (u64, u64),
}

impl Lateness {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Plain numbers: whole between any two statements.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A poll begins so late.
    pub fn record(&self, at: Mono, late: Duration) {
        let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS
            .iter()
            .position(|bound| late <= *bound)
            .unwrap_or(BUCKETS - 1);
        let mut inner = self.lock();
        inner.turn(at);
        inner.polls += 1;
        inner.now[bucket] += 1;
        inner.max.0 = inner.max.0.max(late);
    }

    /// Names and values, for the snapshot: polls since the start, and over the last minute or two
    /// the lateness that half of the polls, 99 of 100 and all of them kept to.
    #[must_use]
    pub fn list(&self, at: Mono) -> [(&'static str, u64); 4] {
        let mut inner = self.lock();
        inner.turn(at);
        [
            ("poll.begun", inner.polls),
            ("poll.late_p50_ms", inner.quantile(50)),
            ("poll.late_p99_ms", inner.quantile(99)),
            ("poll.late_max_ms", inner.max.0.max(inner.max.1)),
        ]
    }
}

impl Inner {
    fn turn(&mut self, at: Mono) {
        let turns = at.0.saturating_sub(self.began) / TURN.0;
        if turns == 0 {
            return;
        }
        let is_next = turns == 1;
        self.before = if is_next { self.now } else { [0; BUCKETS] };
        self.max = (0, if is_next { self.max.0 } else { 0 });
        self.now = [0; BUCKETS];
        self.began = at.0;
    }

    /// The upper end of the bucket in which so many percent of the polls are reached.
    fn quantile(&self, percent: u64) -> u64 {
        let counts = self
            .now
            .iter()
            .zip(&self.before)
            .map(|(now, before)| now + before);
        let total: u64 = counts.clone().sum();
        let wanted = total.saturating_mul(percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in counts.enumerate() {
            seen += count;
            if seen >= wanted && total > 0 {
                let end = BOUNDS_MS.get(bucket).copied().unwrap_or(u64::MAX);
                return end.min(self.max.0.max(self.max.1));
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(lateness: &Lateness, at: u64) -> [u64; 4] {
        lateness.list(Mono(at)).map(|(_, value)| value)
    }

    #[test]
    fn the_late_hundredth_is_seen_and_forgotten_after_two_minutes() {
        let lateness = Lateness::default();
        for _ in 0..98 {
            lateness.record(Mono(10), Duration::from_millis(4));
        }
        lateness.record(Mono(10), Duration::from_millis(700));
        lateness.record(Mono(10), Duration::from_millis(90_000));
        assert_eq!(figures(&lateness, 20), [100, 5, 1_000, 90_000]);
        // One turn later the window still holds it.
        lateness.record(Mono(60_001), Duration::ZERO);
        assert_eq!(figures(&lateness, 60_001), [101, 5, 1_000, 90_000]);
        assert_eq!(figures(&lateness, 300_000), [101, 0, 0, 0]);
    }

    #[test]
    fn a_figure_is_never_beyond_what_was_seen() {
        let lateness = Lateness::default();
        lateness.record(Mono(0), Duration::from_millis(3));
        assert_eq!(figures(&lateness, 0), [1, 3, 3, 3]);
    }
}

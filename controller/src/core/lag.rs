//! How far the loop and the journal are behind: for the last whole minute, the time that 99 of 100
//! inputs waited until they were handled, and that 99 of 100 batches took until they were on disk.
//!
//! Counted into classes that grow by a quarter each, so that a minute of any length costs the same
//! few hundred bytes and the figure is at most a quarter too high.

use std::time::Duration;
use tokio::time::Instant;

/// A figure is for so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Classes; the last one begins above an hour.
const CLASSES: usize = 100;

/// Waiting times of one kind.
#[derive(Debug)]
pub(super) struct Lag {
    classes: [u32; CLASSES],
    begun: Instant,
    last: Option<u64>,
}

impl Lag {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            classes: [0; CLASSES],
            begun: now,
            last: None,
        }
    }

    /// One input waited so long.
    pub(super) fn count(&mut self, now: Instant, waited: Duration) {
        self.turn(now);
        let class = class_of(waited);
        self.classes[class] = self.classes[class].saturating_add(1);
    }

    /// The 99th percentile of the last whole minute that had any, in microseconds.
    pub(super) fn p99_us(&mut self, now: Instant) -> Option<u64> {
        self.turn(now);
        self.last
    }

    fn turn(&mut self, now: Instant) {
        if now.duration_since(self.begun) < WINDOW {
            return;
        }
        self.last = p99(&self.classes);
        self.classes = [0; CLASSES];
        self.begun = now;
    }
}

fn p99(classes: &[u32; CLASSES]) -> Option<u64> {
    let all: u64 = classes.iter().map(|count| u64::from(*count)).sum();
    let wanted = (all * 99).div_ceil(100);
    let mut seen = 0;
    for (class, count) in classes.iter().enumerate() {
        seen += u64::from(*count);
        if seen >= wanted && all > 0 {
            return Some(upper_us(class));
        }
    }
    None
}

/// Upper end of a class in microseconds: 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, ...
fn upper_us(class: usize) -> u64 {
    (0..class).fold(1, |upper: u64, _| upper + (upper / 4).max(1))
}

fn class_of(waited: Duration) -> usize {
    let us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
    let (mut class, mut upper) = (0, 1_u64);
    while upper < us && class < CLASSES - 1 {
        upper += (upper / 4).max(1);
        class += 1;
    }
    class
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_slowest_of_a_hundred_does_not_count_and_the_second_slowest_does() {
        let begun = Instant::now();
        let mut lag = Lag::new(begun);
        for us in 1..=98 {
            lag.count(begun, Duration::from_micros(us));
        }
        lag.count(begun, Duration::from_millis(7));
        lag.count(begun, Duration::from_secs(3));
        assert_eq!(lag.p99_us(begun), None, "the minute is not over");
        let figure = lag.p99_us(begun + WINDOW).unwrap();
        assert!((7_000..=8_750).contains(&figure), "{figure} µs");
        assert_eq!(
            lag.p99_us(begun + WINDOW * 2),
            None,
            "nothing came in that minute"
        );
    }

    #[test]
    fn classes_reach_from_a_microsecond_beyond_an_hour() {
        assert_eq!(upper_us(class_of(Duration::from_micros(1))), 1);
        assert!(upper_us(CLASSES - 1) > 3_600_000_000);
        for us in [1_u64, 9, 100, 12_345, 999_999, 60_000_000] {
            let upper = upper_us(class_of(Duration::from_micros(us)));
            assert!(upper >= us && upper <= us + us / 4 + 1, "{us}: {upper}");
        }
    }
}

//! How long to wait before the next attempt to connect.
//!
//! Doubling with jitter, so that a room full of nodes does not knock at once when the broker is
//! back, and an end, so that a node is heard again soon after a long outage.

/// First wait in milliseconds.
pub const FIRST_MS: u64 = 250;
/// Longest wait in milliseconds, jitter included.
pub const MAX_MS: u64 = 8_000;

/// The waits of one node.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    failures: u32,
    random: u32,
}

impl Backoff {
    /// `seed` differs between nodes and boots.
    #[must_use]
    pub const fn new(seed: u32) -> Self {
        // xorshift stands still at zero.
        Self {
            failures: 0,
            random: seed | 1,
        }
    }

    /// Counts a failure; returns the wait in milliseconds: between half and all of the step.
    pub fn failed(&mut self) -> u64 {
        let step = (FIRST_MS << self.failures.min(5)).min(MAX_MS);
        self.failures = self.failures.saturating_add(1);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        step / 2 + u64::from(self.random) % (step / 2)
    }

    /// The connection stands.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_end_and_begin_again() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(seed);
            for step in [250, 500, 1000, 2000, 4000, 8000, 8000, 8000] {
                let wait = backoff.failed();
                assert!((step / 2..=step).contains(&wait), "{wait} of {step}");
            }
            backoff.succeeded();
            assert!(backoff.failed() <= FIRST_MS);
        }
    }

    #[test]
    fn two_nodes_do_not_knock_together() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            [(); 6].map(|()| backoff.failed())
        };
        assert_ne!(waits(0x0001_0007), waits(0x0001_0009));
    }
}

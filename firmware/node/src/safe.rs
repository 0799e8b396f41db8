//! Safe mode: what a node does that crashes again and again.
//!
//! ```text
//! watching --[CRASHES_TO_SAFE crashes in a row]--> safe --[SAFE_MS, Restart, power]--> watching
//!     |
//!     +--[HEALTHY_MS without a crash]--> the row is over
//! ```
//! In safe mode nothing that could crash the node is touched: no sensor, no reader, no door. It
//! says so, and keeps to console and network, so that somebody can look at it or update it. After
//! an hour it tries again, because a node in a ceiling must not stay blind for want of a visit.
//! Crashes are the watchdog's bites and faults of the program, never a loss of power.

/// Crashes in a row that lead to safe mode.
pub const CRASHES_TO_SAFE: u8 = 5;
/// Milliseconds of watching without a crash after which the row is over.
pub const HEALTHY_MS: u64 = 60_000;
/// Milliseconds in safe mode after which the node tries to watch again.
pub const SAFE_MS: u64 = 3_600_000;

/// What [`Safe::tick`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The row of crashes is over: forget it in the memory.
    Forget,
    /// Safe mode ends now.
    Leave,
}

/// Where the node stands.
#[derive(Debug)]
pub struct Safe {
    crashes: u8,
    on: bool,
    /// When this state began.
    since_ms: u64,
}

impl Safe {
    /// At start, with the crashes in a row that led to it.
    #[must_use]
    pub const fn new(crashes: u8, now_ms: u64) -> Self {
        Self {
            crashes,
            on: crashes >= CRASHES_TO_SAFE,
            since_ms: now_ms,
        }
    }

    /// True in safe mode.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// Crashes in a row.
    #[must_use]
    pub const fn crashes(&self) -> u8 {
        self.crashes
    }

    /// What is due now, once.
    pub fn tick(&mut self, now_ms: u64) -> Option<Due> {
        if self.next_deadline().is_none_or(|at| now_ms < at) {
            return None;
        }
        if self.on {
            // The row goes on: one more crash, and it is safe mode again.
            self.on = false;
            self.since_ms = now_ms;
            Some(Due::Leave)
        } else {
            self.crashes = 0;
            Some(Due::Forget)
        }
    }

    /// When [`Self::tick`] has something to say.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<u64> {
        if self.on {
            Some(self.since_ms.saturating_add(SAFE_MS))
        } else if self.crashes > 0 {
            Some(self.since_ms.saturating_add(HEALTHY_MS))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthy_node_has_nothing_to_do() {
        let mut safe = Safe::new(0, 0);
        assert_eq!(
            (safe.is_on(), safe.next_deadline(), safe.tick(u64::MAX)),
            (false, None, None)
        );
    }

    #[test]
    fn after_a_minute_without_a_crash_the_row_is_over() {
        let mut safe = Safe::new(CRASHES_TO_SAFE - 1, 10);
        assert_eq!((safe.is_on(), safe.tick(10 + HEALTHY_MS - 1)), (false, None));
        assert_eq!(safe.tick(10 + HEALTHY_MS), Some(Due::Forget));
        assert_eq!((safe.crashes(), safe.tick(u64::MAX)), (0, None));
    }

    #[test]
    fn safe_mode_lasts_an_hour_and_the_row_goes_on_until_a_healthy_minute() {
        let mut safe = Safe::new(CRASHES_TO_SAFE, 0);
        assert!(safe.is_on());
        assert_eq!(safe.tick(SAFE_MS - 1), None);
        assert_eq!(safe.tick(SAFE_MS), Some(Due::Leave));
        assert_eq!((safe.is_on(), safe.crashes()), (false, CRASHES_TO_SAFE));
        assert_eq!(safe.tick(SAFE_MS + HEALTHY_MS - 1), None);
        assert_eq!(safe.tick(SAFE_MS + HEALTHY_MS), Some(Due::Forget));
    }
}

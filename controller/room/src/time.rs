//! Two kinds of time that never mix.
//!
//! [`Mono`] is for durations and deadlines: milliseconds of a clock that never steps and that
//! goes on counting while this process is not running (`CLOCK_BOOTTIME`), so that it may be
//! compared over a restart of the controller within one boot of its machine.
//! [`Wall`] is for records and screens: it may jump, and nothing is ever decided by it.

use serde::{Deserialize, Serialize};

/// Milliseconds of the monotonic clock since the machine's boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(pub u64);

/// Milliseconds since 1970-01-01 UTC. Shown in JST, stored in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wall(pub i64);

/// A span in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// Both clocks, read together at the edge and handed in as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For every decision.
    pub mono: Mono,
    /// For records and screens only.
    pub wall: Wall,
}

impl Mono {
    /// The span since `earlier`; zero when `earlier` lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// The moment `span` later.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Millis {
    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Seconds with fraction.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a span of 285,000 years would lose a millisecond"
    )]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

//! The only reader of clocks.

use room::time::{Mono, Now, Wall};
use std::time::{SystemTime, UNIX_EPOCH};

/// Both clocks. The monotonic one is `CLOCK_BOOTTIME`: it goes on over a restart of this
/// process and over a suspended machine, and never steps.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the wall clock"
)]
pub fn now() -> Now {
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let mono =
        u64::try_from(boot.tv_sec).unwrap_or(0) * 1000 + u64::try_from(boot.tv_nsec).unwrap_or(0) / 1_000_000;
    // A clock before 1970 or after year 292 million is a broken clock; records then carry 0.
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(0));
    Now {
        mono: Mono(mono),
        wall: Wall(wall),
    }
}

/// Identifies the boot of this machine: [`Mono`] values compare only within one.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

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

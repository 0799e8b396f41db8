//! What is known of an agent's SNMP engine: its id, our keys for it, and what its clock says
//! (RFC 3414 2.2 and 2.3). Pure: `now` is an argument.
//!
//! ```text
//! nothing --discovery: an unauthenticated Report--> Known, a guess, held by one exchange only
//!    guess --an authenticated answer to our own message--> Known, kept for the agent
//!    kept  --an authenticated answer: clock set-->          kept
//!    kept  --unauthenticated "unknown engine"-->            a new guess beside it; the old one
//!                                                           stays until the new one is proven
//! ```
//!
//! So a forged datagram can cost one exchange, never the agent. Every answer carries our own
//! random `msgID` and, inside what is authenticated, our own request id; a recorded answer fits
//! neither. That is why an authenticated answer may also set the clock back: cards that forget
//! their boots exist, and refusing them for ever would blind us. It is counted.

use super::crypt::Keys;
use room::time::Mono;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// RFC 3414 2.2.3: how far two notions of an engine's time may differ, in seconds.
pub(super) const WINDOW_S: u32 = 150;
/// RFC 3414 2.2.2: an engine whose boots reached this is closed to all authenticated messages.
pub(super) const BOOTS_MAX: u32 = i32::MAX.unsigned_abs();

/// An engine and our keys for it.
#[derive(Debug)]
pub(in crate::snmp) struct Engine {
    pub(in crate::snmp) id: Vec<u8>,
    pub(in crate::snmp) keys: Keys,
}

/// An engine's clock as we know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::snmp) struct Clock {
    boots: u32,
    time: u32,
    at: Mono,
}

/// What an authenticated message did to our notion of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::snmp) enum Step {
    /// It went on as expected.
    On,
    /// The engine was restarted, or its clock was set forward by more than the window.
    Forward,
    /// It went back: boots forgotten, or the clock set.
    Back,
}

impl Clock {
    /// What a message said, at the moment it came. Nobody runs for 68 years or is started two
    /// thousand million times: what claims so is taken as "unknown", which makes the engine
    /// tell us in an authenticated Report.
    pub(in crate::snmp) const fn new(boots: u32, time: u32, now: Mono) -> Self {
        let is_sane = boots < BOOTS_MAX && time < BOOTS_MAX;
        Self {
            boots: if is_sane { boots } else { 0 },
            time: if is_sane { time } else { 0 },
            at: now,
        }
    }

    /// Boots and time to write into a message.
    pub(in crate::snmp) fn read(self, now: Mono) -> (u32, u32) {
        let elapsed = u32::try_from(now.since(self.at).0 / 1000).unwrap_or(u32::MAX);
        let time = self.time.saturating_add(elapsed);
        // RFC 3414 2.3: at 2^31 - 1 seconds the time begins anew and the boots grow by one.
        match time.checked_sub(BOOTS_MAX) {
            Some(over) => (self.boots.saturating_add(1).min(BOOTS_MAX), over),
            None => (self.boots, time),
        }
    }

    /// The clock after an authenticated message, and how it moved.
    pub(in crate::snmp) fn set(self, boots: u32, time: u32, now: Mono) -> (Self, Step) {
        let (known_boots, known_time) = self.read(now);
        let step = if boots == known_boots && time.abs_diff(known_time) <= WINDOW_S {
            Step::On
        } else if (boots, time) > (known_boots, known_time) {
            Step::Forward
        } else {
            Step::Back
        };
        (Self::new(boots, time, now), step)
    }
}

/// An engine with its clock.
#[derive(Debug, Clone)]
pub(in crate::snmp) struct Known {
    pub(in crate::snmp) engine: Arc<Engine>,
    pub(in crate::snmp) clock: Clock,
}

/// Exchanges in a row that failed before an agent is asked again who it is.
const FAILURES: u32 = 2;

/// An agent as one user of ours knows it: proven, or not known at all.
#[derive(Debug, Default)]
pub(in crate::snmp) struct Peer {
    known: Mutex<Option<Known>>,
    failures: AtomicU32,
}

impl Peer {
    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        // One assignment under the lock: a panic elsewhere cannot leave it half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was proven last.
    pub(in crate::snmp) fn known(&self) -> Option<Known> {
        self.lock().clone()
    }

    /// What was proven last, unless it stopped working.
    pub(in crate::snmp) fn trusted(&self) -> Option<Known> {
        if self.failures.load(Ordering::Relaxed) >= FAILURES {
            return None;
        }
        self.known()
    }

    /// An exchange failed.
    pub(in crate::snmp) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps what an answer proved. True when the engine is a new one.
    pub(in crate::snmp) fn keep(&self, known: Known) -> bool {
        self.failures.store(0, Ordering::Relaxed);
        let mut kept = self.lock();
        let is_new = kept.as_ref().is_none_or(|kept| kept.engine.id != known.engine.id);
        *kept = Some(known);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::time::Millis;

    const START: Mono = Mono(1_000_000);

    fn later(seconds: u64) -> Mono {
        START.after(Millis::from_secs(seconds))
    }

    #[test]
    fn the_clock_goes_on_without_messages() {
        let clock = Clock::new(5, 100, START);
        assert_eq!(clock.read(START), (5, 100));
        assert_eq!(clock.read(later(3600)), (5, 3700));
        let old = Clock::new(5, BOOTS_MAX - 10, START);
        assert_eq!(old.read(later(25)), (6, 15));
    }

    #[test]
    fn a_restart_a_slow_clock_and_a_forgetful_card_are_told_apart() {
        let clock = Clock::new(5, 100, START);
        let step = |boots, time, seconds| clock.set(boots, time, later(seconds)).1;
        assert_eq!(step(5, 160, 60), Step::On);
        assert_eq!(step(5, 10, 60), Step::On, "150 s are allowed either way");
        assert_eq!(step(6, 3, 60), Step::Forward);
        assert_eq!(step(5, 1000, 60), Step::Forward);
        assert_eq!(step(5, 5, 3600), Step::Back);
        assert_eq!(step(1, 5, 3600), Step::Back);
        assert_eq!(clock.set(6, 3, later(60)).0.read(later(61)), (6, 4));
    }

    #[test]
    fn impossible_boots_are_unknown_ones() {
        assert_eq!(Clock::new(BOOTS_MAX, 5, START).read(START), (0, 0));
        assert_eq!(Clock::new(5, BOOTS_MAX, START).read(START), (0, 0));
        assert_eq!(
            Clock::new(BOOTS_MAX - 1, BOOTS_MAX - 1, START).read(later(1)),
            (BOOTS_MAX, 0)
        );
    }
}

//! One word for what a UPS is assessed to be doing, and the marks that stand beside it.
//!
//! The state adds to the [`Verdict`] what a person asks next: since silence and old values have
//! rules of their own, and a test is no outage. It decides nothing; the outage engine goes by the
//! verdict. The rules, first that fits:
//!
//! ```text
//! verdict battery, no contact       lost_on_battery   its drain is modelled, never assumed over
//! never a good reading              never_heard       no word is not mains
//! no contact, a server has old data stale
//! no contact                        lost
//! verdict battery, suspected        battery, suspected
//! verdict testing                   calibration, self_test
//! verdict bypass, off               bypass, off
//! verdict mains, output is ECO's    eco
//! verdict mains                     mains
//! otherwise                         unknown           heard, and it says nothing to go by
//! ```

use super::Verdict;
use super::signs::Facts;

/// What a UPS is assessed to be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No good reading since this process started, and no outage in the records.
    NeverHeard,
    /// Its last word was "on battery", and there is none since.
    LostOnBattery,
    /// A server in between answers, and has no fresh values.
    Stale,
    /// Silent for longer than the site allows.
    Lost,
    /// Two independent signs say that it lives on its battery.
    Battery,
    /// One sign says so.
    Suspected,
    /// It discharges on purpose, to learn what its battery holds.
    Calibration,
    /// It discharges on purpose, to see whether its battery holds.
    SelfTest,
    /// Its load hangs on raw mains.
    Bypass,
    /// Its output is off or sleeping.
    Off,
    /// From mains in economy mode: a failure reaches the load for some milliseconds.
    Eco,
    /// From mains.
    Mains,
    /// Heard, and nothing in it says where the output comes from.
    Unknown,
}

impl State {
    /// The word of `snapshot::Ups::state`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NeverHeard => "never_heard",
            Self::LostOnBattery => "lost_on_battery",
            Self::Stale => "stale",
            Self::Lost => "lost",
            Self::Battery => "battery",
            Self::Suspected => "suspected",
            Self::Calibration => "calibration",
            Self::SelfTest => "self_test",
            Self::Bypass => "bypass",
            Self::Off => "off",
            Self::Eco => "eco",
            Self::Mains => "mains",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known about contact with a UPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// A good reading came within the site's bound.
    pub good: bool,
    /// A good reading ever came.
    pub heard: bool,
    /// The last polls failed because a server in between has old values only.
    pub stale: bool,
}

/// Assesses a UPS. `facts` are those of its last good reading.
#[must_use]
pub fn assess(verdict: Verdict, contact: Contact, facts: Option<&Facts>) -> State {
    let Some(facts) = facts.filter(|_| contact.good) else {
        return match (verdict, contact.heard) {
            (Verdict::Battery, _) => State::LostOnBattery,
            _ if contact.stale => State::Stale,
            (_, false) => State::NeverHeard,
            (_, true) => State::Lost,
        };
    };
    match verdict {
        Verdict::Battery => State::Battery,
        Verdict::Suspected => State::Suspected,
        Verdict::Testing if facts.calibrating => State::Calibration,
        Verdict::Testing => State::SelfTest,
        Verdict::Bypass => State::Bypass,
        Verdict::Off => State::Off,
        Verdict::Mains if facts.eco => State::Eco,
        Verdict::Mains => State::Mains,
        Verdict::Unknown => State::Unknown,
    }
}

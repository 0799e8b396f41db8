//! Power facts: what a UPS says, what of it is believed, how long its battery lasts, and which
//! hosts live on it.
//!
//! [`watch::Watch`] hears the polls of one UPS and judges it by independent [`signs`];
//! [`state`] gives it one word; [`battery`] models the discharge; [`graph`] is
//! the way from a UPS over PDUs, ATSes and outlets to a host, and [`feeds`] says how long a host lives
//! on what comes there. Nothing here starts or stops anything.
//!
//! ```text
//!  Poll -> Facts -> signs -> Verdict -> Supply -> Life of a host
//!                 charge, runtime -> Believed -> usable seconds --^
//! ```

pub mod battery;
pub mod feeds;
pub mod graph;
pub mod signs;
pub mod state;
pub mod watch;

/// What a UPS is judged to be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Never heard, or silent since it was last seen on mains. Not normal, and no outage.
    Unknown,
    /// It supplies from mains.
    Mains,
    /// One sign of battery operation and no second one: shown and alarmed, never acted on.
    Suspected,
    /// Two independent signs say that it lives on its battery.
    Battery,
    /// It discharges on purpose: self-test or calibration within its bound.
    Testing,
    /// Its load hangs on raw mains: supplied, but not by this UPS.
    Bypass,
    /// Its output is off or sleeping.
    Off,
}

impl Verdict {
    /// The word of `snapshot::Ups::source`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown | Self::Suspected => "unknown",
            Self::Mains | Self::Testing => "mains",
            Self::Battery => "battery",
            Self::Bypass => "bypass",
            Self::Off => "off",
        }
    }
}

#[cfg(test)]
mod tests;

//! What time it is, and how well that is known.
//!
//! The controller's authenticated time wins over the clock chip; that one lets the node decide
//! about windows of time and stamp its events when power comes back before the controller does. A
//! clock chip that is behind what this node has already lived through is not believed.

use crate::outbox::Stamp;
use shared::wire::ClockState;

/// Difference to the controller's time from which on the clock chip is set, in milliseconds.
const RTC_OFF_MS: u64 = 1_000;
/// Time after which it is set anyway, because it drifts where we do not see it, in milliseconds.
const RTC_EVERY_MS: u64 = 24 * 3_600_000;

/// The node's clock.
#[derive(Debug)]
pub(super) struct Clock {
    state: ClockState,
    /// Milliseconds between 1970 and our boot.
    booted_unix_ms: u64,
    rtc_due: bool,
    rtc_set_ms: Option<u64>,
}

impl Clock {
    /// At start. `known_s`: this second since 1970 is over.
    pub(super) fn start(rtc_unix_ms: Option<u64>, known_s: u32, now_ms: u64) -> Self {
        let booted = rtc_unix_ms
            .filter(|unix_ms| *unix_ms / 1_000 >= u64::from(known_s))
            .and_then(|unix_ms| unix_ms.checked_sub(now_ms))
            .filter(|booted| *booted > 0);
        Self {
            state: if booted.is_some() {
                ClockState::Rtc
            } else {
                ClockState::Unset
            },
            booted_unix_ms: booted.unwrap_or_default(),
            rtc_due: false,
            rtc_set_ms: None,
        }
    }

    /// The controller's authenticated time.
    pub(super) fn set(&mut self, unix_ms: u64, now_ms: u64) {
        // Zero is the controller's "not known".
        let Some(booted) = unix_ms.checked_sub(now_ms).filter(|booted| *booted > 0) else {
            return;
        };
        let off = self.state == ClockState::Unset || self.booted_unix_ms.abs_diff(booted) > RTC_OFF_MS;
        let old = self
            .rtc_set_ms
            .is_none_or(|at| now_ms.saturating_sub(at) >= RTC_EVERY_MS);
        self.rtc_due |= off || old;
        self.state = ClockState::Controller;
        self.booted_unix_ms = booted;
    }

    /// The time to set the clock chip to, once.
    pub(super) fn take_rtc(&mut self, now_ms: u64) -> Option<u64> {
        let unix_ms = self.unix_ms(now_ms)?;
        core::mem::take(&mut self.rtc_due).then(|| {
            self.rtc_set_ms = Some(now_ms);
            unix_ms
        })
    }

    pub(super) const fn state(&self) -> ClockState {
        self.state
    }

    /// Milliseconds since 1970 UTC.
    pub(super) const fn unix_ms(&self, now_ms: u64) -> Option<u64> {
        match self.state {
            ClockState::Unset => None,
            ClockState::Rtc | ClockState::Controller => Some(self.booted_unix_ms.saturating_add(now_ms)),
        }
    }

    /// Seconds since 1970 UTC, 0 when not known.
    pub(super) fn unix_s(&self, now_ms: u64) -> u32 {
        self.unix_ms(now_ms)
            .map_or(0, |unix_ms| u32::try_from(unix_ms / 1_000).unwrap_or(u32::MAX))
    }

    pub(super) fn stamp(&self, now_ms: u64) -> Stamp {
        Stamp {
            up_ms: now_ms,
            unix_ms: self.unix_ms(now_ms).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000_000;

    #[test]
    fn without_chip_and_controller_there_is_no_time() {
        let mut clock = Clock::start(None, 0, 50);
        assert_eq!(
            (clock.state(), clock.unix_ms(99), clock.take_rtc(99)),
            (ClockState::Unset, None, None)
        );
        clock.set(0, 100);
        assert_eq!(
            clock.state(),
            ClockState::Unset,
            "the controller does not know it either"
        );
    }

    #[test]
    fn the_chip_is_believed_until_the_controller_speaks() {
        let mut clock = Clock::start(Some(NOW), 0, 50);
        assert_eq!(
            (clock.state(), clock.unix_ms(60)),
            (ClockState::Rtc, Some(NOW + 10))
        );
        clock.set(NOW + 5_000, 1_050);
        assert_eq!(
            (clock.state(), clock.unix_ms(1_050)),
            (ClockState::Controller, Some(NOW + 5_000))
        );
        assert_eq!(clock.take_rtc(1_060), Some(NOW + 5_010));
        assert_eq!(clock.take_rtc(1_060), None);
    }

    #[test]
    fn a_chip_behind_what_the_node_has_lived_through_is_not_believed() {
        let known_s = (NOW / 1_000) as u32;
        assert_eq!(
            Clock::start(Some(NOW - 1_000), known_s, 0).state(),
            ClockState::Unset
        );
        assert_eq!(Clock::start(Some(NOW), known_s, 0).state(), ClockState::Rtc);
    }

    #[test]
    fn the_chip_is_set_when_it_is_off_and_once_a_day() {
        let mut clock = Clock::start(Some(NOW), 0, 0);
        let mut set = 0;
        for minute in 0..3 * 24 * 60 {
            let now_ms = minute * 60_000;
            clock.set(NOW + now_ms + minute % 2 * 300, now_ms);
            set += u32::from(clock.take_rtc(now_ms).is_some());
        }
        assert_eq!(set, 3);
        clock.set(NOW, 1_000);
        assert!(clock.take_rtc(1_000).is_some());
    }
}

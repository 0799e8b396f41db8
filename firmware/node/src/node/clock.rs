//! What time it is, and how well that is known.
//!
//! The controller's authenticated time wins over the clock chip; that one lets the node decide
//! about windows of time and stamp its events when power comes back before the controller does. A
//! clock chip that is behind what this node has already lived through, or years ahead of it, is not
//! believed.
//!
//! **Backwards.** A frame that somebody held back is authentic and in order, as long as all after
//! it are held back too, and would set the clock back by the time it was held. A controller whose
//! own clock was put right sends a lower time as well. What tells them apart is the uptime of the
//! controller in the header: in a frame that was held it lags behind our own by as much. Such a
//! frame is refused. A controller that has started again has another uptime; its first frame that
//! goes backwards is only remembered, and the next one judged by it. What cannot be seen here is
//! a connection that is slowed from the first frame of this boot on.

use crate::outbox::Stamp;
use shared::wire::ClockState;

/// Difference to the controller's time from which on the clock chip is set, in milliseconds.
const RTC_OFF_MS: u64 = 1_000;
/// Time after which it is set anyway, because it drifts where we do not see it, in milliseconds.
const RTC_EVERY_MS: u64 = 24 * 3_600_000;

/// What a frame may be late by, in milliseconds; besides, a thousandth of the time since the one
/// before, for two clocks that do not run alike.
const LATE_MS: u64 = 5_000;
/// The start of the year 2026: no node is older, in seconds since 1970 UTC.
const FIRST_S: u64 = 1_767_225_600;
/// What a clock chip may be ahead of what the node has lived through: ten years, the life of its
/// battery, in seconds.
const RTC_AHEAD_S: u64 = 10 * 366 * 24 * 3_600;

/// A frame with a time that went backwards and came too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeldBack;

/// The node's clock.
#[derive(Debug)]
pub(super) struct Clock {
    state: ClockState,
    /// Milliseconds between 1970 and our boot.
    booted_unix_ms: u64,
    rtc_due: bool,
    rtc_set_ms: Option<u64>,
    /// Uptimes of the controller and of us at the last frame with a time.
    uptimes: Option<(u64, u64)>,
}

impl Clock {
    /// At start. `known_s`: this second since 1970 is over; 0 when none is known.
    pub(super) fn start(rtc_unix_ms: Option<u64>, known_s: u32, now_ms: u64) -> Self {
        let booted = rtc_unix_ms
            .filter(|unix_ms| {
                let known_s = u64::from(known_s);
                (known_s..known_s.max(FIRST_S) + RTC_AHEAD_S).contains(&(unix_ms / 1_000))
            })
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
            uptimes: None,
        }
    }

    /// The controller's authenticated time, and its uptime.
    ///
    /// # Errors
    /// [`HeldBack`]: the clock goes on as before.
    pub(super) fn set(&mut self, unix_ms: u64, its_up_ms: u64, now_ms: u64) -> Result<(), HeldBack> {
        // Zero is the controller's "not known".
        let Some(booted) = unix_ms.checked_sub(now_ms).filter(|booted| *booted > 0) else {
            return Ok(());
        };
        let backwards =
            self.state == ClockState::Controller && self.booted_unix_ms.saturating_sub(booted) > LATE_MS;
        if backwards && let Some((its_before, ours_before)) = self.uptimes {
            let ours = now_ms.saturating_sub(ours_before);
            let Some(its) = its_up_ms.checked_sub(its_before) else {
                self.uptimes = Some((its_up_ms, now_ms));
                return Err(HeldBack);
            };
            if ours.saturating_sub(its) > LATE_MS + ours / 1_000 {
                return Err(HeldBack);
            }
        }
        self.uptimes = Some((its_up_ms, now_ms));
        let off = self.state == ClockState::Unset || self.booted_unix_ms.abs_diff(booted) > RTC_OFF_MS;
        let old = self
            .rtc_set_ms
            .is_none_or(|at| now_ms.saturating_sub(at) >= RTC_EVERY_MS);
        self.rtc_due |= off || old;
        self.state = ClockState::Controller;
        self.booted_unix_ms = booted;
        Ok(())
    }

    /// Seconds since 1970 UTC as the controller said in this boot, 0 when it did not.
    pub(super) fn told_s(&self, now_ms: u64) -> u32 {
        if self.state == ClockState::Controller {
            self.unix_s(now_ms)
        } else {
            0
        }
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
        clock.set(0, 100, 100).unwrap();
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
        clock.set(NOW + 5_000, 9, 1_050).unwrap();
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
            clock
                .set(NOW + now_ms + minute % 2 * 300, now_ms, now_ms)
                .unwrap();
            set += u32::from(clock.take_rtc(now_ms).is_some());
        }
        assert_eq!(set, 3);
        let now_ms = 3 * 24 * 3_600_000;
        clock.set(NOW, now_ms, now_ms).unwrap();
        assert!(clock.take_rtc(now_ms).is_some());
    }

    #[test]
    fn a_chip_years_ahead_is_not_believed() {
        let year_s = 366 * 24 * 3_600;
        let known_s = (NOW / 1_000) as u32;
        let state = |ahead_years: u64, known_s| {
            Clock::start(Some(NOW + ahead_years * year_s * 1_000), known_s, 0).state()
        };
        assert_eq!(state(9, known_s), ClockState::Rtc);
        assert_eq!(state(60, known_s), ClockState::Unset);
        assert_eq!((state(0, 0), state(60, 0)), (ClockState::Rtc, ClockState::Unset));
    }

    #[test]
    fn a_time_that_was_held_back_does_not_set_the_clock_back() {
        let hour = 3_600_000;
        let mut clock = Clock::start(None, 0, 0);
        clock.set(NOW, 50, 0).unwrap();
        // Made a minute later, heard after nine hours.
        assert_eq!(clock.set(NOW + 60_000, 60_050, 9 * hour), Err(HeldBack));
        assert_eq!(clock.unix_ms(9 * hour), Some(NOW + 9 * hour));
        // Again does not help, and what is in time is taken.
        assert_eq!(clock.set(NOW + 61_000, 61_050, 9 * hour + 1_000), Err(HeldBack));
        clock.set(NOW + 10 * hour, 10 * hour, 10 * hour).unwrap();
    }

    #[test]
    fn a_controller_whose_clock_was_put_right_is_followed_backwards() {
        let hour = 3_600_000;
        let mut clock = Clock::start(None, 0, 0);
        clock.set(NOW + 60 * hour, 0, 0).unwrap();
        clock.set(NOW + hour, hour, hour).unwrap();
        assert_eq!(clock.unix_ms(hour), Some(NOW + hour));
        // Also one that was started again for it, with its second frame.
        clock.set(NOW + 50 * hour, 2 * hour, 2 * hour).unwrap();
        assert_eq!(clock.set(NOW + 3 * hour, 100, 3 * hour), Err(HeldBack));
        clock
            .set(NOW + 3 * hour + 60_000, 60_100, 3 * hour + 60_000)
            .unwrap();
        assert_eq!(clock.unix_ms(4 * hour), Some(NOW + 4 * hour));
    }
}

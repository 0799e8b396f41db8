//! An earthquake as an event: telemetry is the latest word and may be lost, and staff must look at
//! racks, water and UPSs afterwards.
//!
//! ```text
//! quiet --[peak at or over the limit: told]--> quake --[QUIET_MS below it; a higher peak: told]--> quiet
//!                                                | peak LOUDER times the told one: told at once
//! ```
//! The waves that do the damage come seconds after the first. What is told of one quake is bounded:
//! the part measures up to 16 g, and each told peak doubles the one before. A machine that shakes its
//! rack without an end is one quake.

use shared::wire::Up;

/// Accelerometers of one node: the LIS3DH has two addresses (DS6839, 6.1.1).
pub const MAX_SHOCKS: usize = 2;
/// Milliseconds without a peak over the limit that end a quake.
pub const QUIET_MS: u64 = 60_000;
/// A peak so many times the told one is told while the quake lasts.
pub const LOUDER: u32 = 2;

/// The quakes of one accelerometer.
#[derive(Debug, Clone, Copy)]
pub struct Shock {
    channel: u8,
    /// In thousandths of m/s².
    limit: u32,
    /// The highest peak of the quake, and the one that was told; zero when there is none.
    peak: u32,
    told: u32,
    last_ms: u64,
}

impl Shock {
    /// `limit` in thousandths of m/s².
    #[must_use]
    pub const fn new(channel: u8, limit: u16) -> Self {
        Self {
            channel,
            limit: limit as u32,
            peak: 0,
            told: 0,
            last_ms: 0,
        }
    }

    /// The channel it is about.
    #[must_use]
    pub const fn channel(&self) -> u8 {
        self.channel
    }

    /// Feeds a peak in thousandths of m/s²; an event when there is one.
    pub fn feed(&mut self, peak: u32, now_ms: u64) -> Option<Up> {
        if peak >= self.limit {
            self.last_ms = now_ms;
            self.peak = self.peak.max(peak);
            if self.told == 0 || peak / LOUDER >= self.told {
                return Some(self.tell());
            }
        } else if self.told > 0 && now_ms.saturating_sub(self.last_ms) >= QUIET_MS {
            let last = (self.peak > self.told).then(|| self.tell());
            (self.peak, self.told) = (0, 0);
            return last;
        }
        None
    }

    const fn tell(&mut self) -> Up {
        self.told = self.peak;
        Up::Shock {
            channel: self.channel,
            peak: self.peak,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Feeds a peak every second; what was told and when.
    fn told(peaks: &[u32]) -> Vec<(u64, u32)> {
        let mut shock = Shock::new(6, 250);
        (0..)
            .zip(peaks)
            .filter_map(|(second, peak)| match shock.feed(*peak, second * 1_000) {
                Some(Up::Shock { channel: 6, peak }) => Some((second, peak)),
                None => None,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_quake_is_told_when_it_begins_and_its_highest_peak_when_it_is_over() {
        let mut peaks = vec![10, 249, 250, 300, 480, 400, 100, 260];
        peaks.extend([10; 200]);
        assert_eq!(told(&peaks), [(2, 250), (67, 480)]);
    }

    #[test]
    fn the_strong_waves_are_told_at_once() {
        let mut peaks = vec![260, 300, 2_500, 2_600];
        peaks.extend([10; 100]);
        assert_eq!(told(&peaks), [(0, 260), (2, 2_500), (63, 2_600)]);
    }

    #[test]
    fn a_quake_whose_first_peak_was_the_highest_is_one_event_and_the_next_is_another() {
        let mut peaks = vec![900];
        peaks.extend([10; 100]);
        peaks.push(500);
        peaks.extend([10; 100]);
        assert_eq!(told(&peaks), [(0, 900), (101, 500)]);
    }

    #[test]
    fn a_rack_that_shakes_for_a_day_is_one_quake() {
        assert_eq!(told(&[300; 86_400]).len(), 1);
        let growing: Vec<u32> = (0..86_400_u32).map(|second| 250 + second * 2).collect();
        assert!(told(&growing).len() <= 10);
    }
}

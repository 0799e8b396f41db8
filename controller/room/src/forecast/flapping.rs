//! Links that come and go: how often each was lost within a day.
//!
//! It counts the alarms that were raised, so that a restart replays it from the journal.

use crate::catalog::Kind;
use crate::time::Wall;
use std::collections::{BTreeMap, VecDeque};

/// What is looked back at.
pub const WITHIN_MS: i64 = 24 * 3_600_000;
/// Lost so often within it, a link flaps.
pub const FLAPS: usize = 4;
/// Losses that are kept of one link.
const MAX_KEPT: usize = 64;
/// Most links that are kept; the one whose last loss is the oldest goes first.
const MAX_LINKS: usize = 1_024;

/// Losses of links.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Losses {
    of: BTreeMap<String, VecDeque<Wall>>,
}

/// True for alarms that say that a link is gone.
#[must_use]
pub const fn is_link(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::DeviceUnreachable | Kind::UplinkDown | Kind::NodeSilent | Kind::UpsContact
    )
}

impl Losses {
    /// A link was lost.
    pub fn lost(&mut self, alarm: &str, at: Wall) {
        if !self.of.contains_key(alarm) && self.of.len() >= MAX_LINKS {
            let oldest = self.of.iter().min_by_key(|(_, times)| times.back().copied());
            if let Some(oldest) = oldest.map(|(alarm, _)| alarm.clone()) {
                self.of.remove(&oldest);
            }
        }
        let times = self.of.entry(alarm.to_owned()).or_default();
        times.push_back(at);
        if times.len() > MAX_KEPT {
            times.pop_front();
        }
    }

    /// Links that flap: alarm, how often lost within a day, and when last.
    pub fn flapping(&self, now: Wall) -> impl Iterator<Item = (&str, usize, Wall)> {
        self.of.iter().filter_map(move |(alarm, times)| {
            let recent = times
                .iter()
                .filter(|at| (0..=WITHIN_MS).contains(&(now.0.saturating_sub(at.0))));
            let count = recent.count();
            (count >= FLAPS).then(|| (alarm.as_str(), count, times.back().copied().unwrap_or(now)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_lost_four_times_in_a_day_flaps_and_one_lost_weekly_does_not() {
        let mut losses = Losses::default();
        let hour = 3_600_000;
        for n in 0..4 {
            losses.lost("switch-1.contact", Wall(n * 6 * hour));
            losses.lost("db-1.contact", Wall(n * 7 * 24 * hour));
        }
        let now = Wall(20 * hour);
        let found: Vec<_> = losses.flapping(now).collect();
        assert_eq!(found, [("switch-1.contact", 4, Wall(18 * hour))]);
        assert_eq!(
            losses.flapping(Wall(25 * hour)).count(),
            0,
            "a day later it is over"
        );
    }

    #[test]
    fn links_and_losses_are_bounded() {
        let mut losses = Losses::default();
        for n in 0..3_000 {
            losses.lost(&format!("link-{n}"), Wall(n));
            losses.lost("link-a", Wall(n));
        }
        assert!(losses.of.len() <= MAX_LINKS);
        assert_eq!(losses.of["link-a"].len(), MAX_KEPT);
    }
}

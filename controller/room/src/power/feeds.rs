//! Which hosts live how long: UPS -> supply -> host, with a quorum per host.

/// What a UPS gives its hosts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Supply {
    /// Mains behind it.
    Steady,
    /// Its battery, for so many seconds more.
    Draining(f64),
    /// Nobody knows: silent, or one sign only. Not counted as supply, starts nothing by itself.
    Doubtful,
    /// Bypass, off or sleeping.
    Gone,
}

/// How long a host has power.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Life {
    /// Enough of its feeds stand on mains.
    Safe,
    /// Seconds until too few of its feeds supply.
    Until(f64),
    /// Too few feeds are known to be good, but no battery drains: nothing to hurry for.
    Unknown,
}

/// The life of a host that needs `need` of these feeds.
///
/// When one feed dies its load moves to the others, so time that is counted on the remaining
/// ones runs faster: after the i-th of n feeds died, by n / (n - i).
#[must_use]
pub fn life(feeds: &[Supply], need: usize) -> Life {
    let steady = feeds.iter().filter(|feed| **feed == Supply::Steady).count();
    if steady >= need {
        return Life::Safe;
    }
    if !feeds.iter().any(|feed| matches!(feed, Supply::Draining(_))) {
        return Life::Unknown;
    }
    let mut ends: Vec<f64> = feeds
        .iter()
        .filter_map(|feed| match feed {
            Supply::Steady => Some(f64::INFINITY),
            Supply::Draining(secs) => Some(secs.max(0.0)),
            Supply::Doubtful => Some(0.0),
            Supply::Gone => None,
        })
        .collect();
    ends.sort_by(f64::total_cmp);
    // A host that already has fewer feeds than it needs is carried by those that are left.
    let deaths = ends.len() - need.min(ends.len()).max(1) + 1;
    let (mut life, mut before) = (0.0, 0.0);
    for (dead, end) in ends.iter().take(deaths).enumerate() {
        life += (end - before) * share(ends.len() - dead, ends.len());
        before = *end;
    }
    Life::Until(life)
}

fn share(left: usize, all: usize) -> f64 {
    let whole = u32::try_from(all).unwrap_or(u32::MAX);
    f64::from(u32::try_from(left).unwrap_or(u32::MAX)) / f64::from(whole)
}

#[cfg(test)]
mod tests {
    use super::Supply::{Doubtful, Draining, Gone, Steady};
    use super::*;

    #[test]
    fn a_dual_fed_host_rides_on_its_good_feed() {
        assert_eq!(life(&[Draining(10.0), Steady], 1), Life::Safe);
        assert_eq!(life(&[Draining(10.0), Steady], 2), Life::Until(10.0));
    }

    #[test]
    fn load_moves_to_the_feed_that_is_left() {
        assert_eq!(life(&[Draining(100.0), Draining(300.0)], 1), Life::Until(200.0));
        assert_eq!(life(&[Draining(100.0), Draining(300.0)], 2), Life::Until(100.0));
        assert_eq!(life(&[Draining(300.0), Doubtful], 1), Life::Until(150.0));
    }

    #[test]
    fn bypass_off_and_silence_are_no_supply_and_no_hurry() {
        assert_eq!(life(&[Gone], 1), Life::Unknown);
        assert_eq!(life(&[Doubtful, Gone], 1), Life::Unknown);
        assert_eq!(life(&[Draining(60.0), Gone], 1), Life::Until(60.0));
        assert_eq!(life(&[Draining(60.0), Gone], 2), Life::Until(60.0));
    }
}

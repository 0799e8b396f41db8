//! Which hosts live how long: so many supplies of so many feeds, with a quorum per host. What comes
//! to a feed over PDUs and ATSes the [graph](super::graph) says.

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

/// The life of a host that needs `need` of these feeds, whose times already count the load that
/// will move to them ([`with_moved_load`]).
#[must_use]
pub fn life(feeds: &[Supply], need: usize) -> Life {
    let steady = feeds.iter().filter(|feed| **feed == Supply::Steady).count();
    if steady >= need {
        return Life::Safe;
    }
    if !feeds.iter().any(|feed| matches!(feed, Supply::Draining(_))) {
        return Life::Unknown;
    }
    let mut ends: Vec<f64> = feeds.iter().filter_map(|feed| end(*feed)).collect();
    ends.sort_by(|a, b| b.total_cmp(a));
    // A host that already has fewer feeds than it needs is carried by those that are left.
    let last_needed = need.min(ends.len()).saturating_sub(1);
    Life::Until(ends.get(last_needed).copied().unwrap_or(0.0))
}

/// Seconds a battery lasts when the UPSes beside it, which feed some of the same hosts, end
/// before it and leave it their load. With k of them and i dead, its own load has at most grown
/// to (k + 1) / (k + 1 - i) times what it is.
#[must_use]
pub fn with_moved_load(secs: f64, beside: &[Supply]) -> f64 {
    let mut ends: Vec<f64> = beside
        .iter()
        .filter_map(|feed| end(*feed))
        .filter(|end| *end < secs)
        .collect();
    ends.sort_by(f64::total_cmp);
    let all = ends.len() + 1;
    let (mut lasts, mut before) = (0.0, 0.0);
    for (dead, end) in ends.iter().chain([&secs]).enumerate() {
        lasts += (end - before) * share(all - dead, all);
        before = *end;
    }
    lasts
}

/// Seconds a battery lasts when an ATS hands it the load of `other` at its end. `growth` is what its
/// load grows to, as a multiple; when that is not known, its time is not counted beyond the other's.
#[must_use]
pub fn with_standby_load(secs: f64, other: Supply, growth: Option<f64>) -> f64 {
    let Some(ends) = end(other).filter(|ends| *ends < secs) else {
        return secs;
    };
    match growth {
        Some(growth) => ends + (secs - ends) / growth.max(1.0),
        None => ends,
    }
}

/// When a feed ends, in seconds; `None` for one that carries nothing.
fn end(feed: Supply) -> Option<f64> {
    match feed {
        Supply::Steady => Some(f64::INFINITY),
        Supply::Draining(secs) => Some(secs.max(0.0)),
        Supply::Doubtful => Some(0.0),
        Supply::Gone => None,
    }
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
    fn the_last_needed_feed_decides() {
        assert_eq!(life(&[Draining(100.0), Draining(300.0)], 1), Life::Until(300.0));
        assert_eq!(life(&[Draining(100.0), Draining(300.0)], 2), Life::Until(100.0));
        assert_eq!(life(&[Draining(300.0), Doubtful], 1), Life::Until(300.0));
    }

    #[test]
    fn load_moves_to_the_battery_that_is_left() {
        let same = |secs: f64, beside: &[Supply], expected: f64| {
            let lasts = with_moved_load(secs, beside);
            assert!(
                (lasts - expected).abs() < 0.001,
                "{secs} beside {beside:?}: {lasts}"
            );
        };
        same(300.0, &[], 300.0);
        same(300.0, &[Steady, Gone, Draining(400.0)], 300.0);
        same(300.0, &[Draining(100.0)], 200.0);
        same(300.0, &[Doubtful], 150.0);
        same(300.0, &[Draining(60.0), Draining(120.0)], 60.0 + 40.0 + 60.0);
    }

    #[test]
    fn the_second_input_of_an_ats_takes_a_load_that_it_does_not_carry_yet() {
        for (secs, other, growth, expected) in [
            (900.0, Draining(300.0), Some(4.0), 450.0),
            (900.0, Draining(300.0), None, 300.0),
            (900.0, Steady, None, 900.0),
            (200.0, Draining(300.0), None, 200.0),
            (900.0, Doubtful, Some(2.0), 450.0),
            (900.0, Gone, None, 900.0),
        ] {
            let lasts = with_standby_load(secs, other, growth);
            assert!(
                (lasts - expected).abs() < 0.001,
                "{secs} {other:?} {growth:?}: {lasts}"
            );
        }
    }

    #[test]
    fn bypass_off_and_silence_are_no_supply_and_no_hurry() {
        assert_eq!(life(&[Gone], 1), Life::Unknown);
        assert_eq!(life(&[Doubtful, Gone], 1), Life::Unknown);
        assert_eq!(life(&[Draining(60.0), Gone], 1), Life::Until(60.0));
        assert_eq!(life(&[Draining(60.0), Gone], 2), Life::Until(60.0));
    }
}

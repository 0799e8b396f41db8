//! What the care of the batteries must know of the power: whether a UPS can do without its battery for
//! a moment, and whom it shares its hosts with. It decides nothing.

use super::Outage;
use super::what_if::FateWord;
use crate::power::Verdict;
use crate::power::signs::Voltage;
use crate::time::Mono;

/// What a battery gave by any discharge is no less than this share of the promise: below it something
/// else than age was measured.
const LEAST_SHARE: f64 = 0.25;

impl Outage {
    /// A test of this UPS's battery was ordered, or is over.
    pub(super) fn expect_test(&mut self, ups: &str, until: Option<Mono>) {
        let found = self.config.ups.iter().position(|known| known.name == ups);
        if let Some(watch) = found.and_then(|found| self.watches.get_mut(found)) {
            watch.expect_test(until);
        }
    }

    /// What real discharges of this UPS gave, as a share of what it had promised; `None`: nobody knows.
    /// Only less than promised counts, and no less than a quarter of it.
    pub fn learn_capacity(&mut self, ups: &str, share: Option<f64>) {
        match share.filter(|share| *share < 1.0) {
            Some(share) => self.capacity.insert(ups.to_owned(), share.max(LEAST_SHARE)),
            None => self.capacity.remove(ups),
        };
    }

    /// An outage is on, or not over yet.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.book.outage_since.is_some() || self.any_on_battery()
    }

    /// A run, a drill, a rehearsal or a return is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.book.active_run().is_some()
            || self.book.active_rehearsal().is_some()
            || self.book.active_back().is_some()
    }

    fn judged(&self, ups: &str) -> Option<(usize, Verdict)> {
        let found = self.config.ups.iter().position(|known| known.name == ups)?;
        Some((found, *self.verdicts.get(found)?))
    }

    /// It answers and supplies from mains.
    #[must_use]
    pub fn is_on_mains(&self, ups: &str) -> bool {
        self.judged(ups)
            .is_some_and(|(_, verdict)| verdict == Verdict::Mains)
    }

    /// Two signs say that it lives on its battery.
    #[must_use]
    pub fn is_ups_on_battery(&self, ups: &str) -> bool {
        self.judged(ups)
            .is_some_and(|(_, verdict)| verdict == Verdict::Battery)
    }

    /// Mains is measured at its input.
    #[must_use]
    pub fn sees_mains(&self, ups: &str) -> bool {
        let facts = self.judged(ups).and_then(|(at, _)| self.watches.get(at)?.facts());
        facts.is_some_and(|facts| matches!(facts.voltage, Voltage::Present(_)))
    }

    /// UPSes that feed some host together with this one.
    #[must_use]
    pub fn beside(&self, ups: &str) -> Vec<&str> {
        let Some((at, _)) = self.judged(ups) else {
            return Vec::new();
        };
        let beside = self.config.ups[at].beside.iter();
        beside
            .filter_map(|other| Some(self.config.ups.get(*other)?.name.as_str()))
            .collect()
    }

    /// Hosts that would not run on as they are if this UPS were lost now.
    #[must_use]
    pub fn hosts_lost_with(&self, ups: &str, now: Mono) -> Vec<String> {
        // What feeds nothing takes nothing with it.
        let Ok(answer) = self.what_if(&[ups.to_owned()], now) else {
            return Vec::new();
        };
        let stopped = |host: &str| self.book.stopped.contains_key(host);
        let fed = |host: &str| self.upses_of(host).contains(&ups);
        let lost = answer
            .hosts
            .into_iter()
            .filter(|fate| fate.fate != FateWord::Runs);
        lost.filter(|fate| fed(&fate.host) && !stopped(&fate.host))
            .map(|fate| fate.host)
            .collect()
    }
}

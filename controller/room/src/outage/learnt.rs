//! How long steps really take: learnt from every stop that was seen, for real or in a drill.
//!
//! A confirmed stop is a measurement when its host was running and took the order in this run: a
//! host that was down already took no time, and says nothing. A stop that was confirmed after its
//! step had been given up, or across a restart of the controller's machine, is a lower bound: it
//! took at least so long, and it can only lengthen what is planned.
//!
//! ```text
//! the last 20 of a step -> p95 by nearest rank -> x 1.25, never above the budget -> planned length
//!                          (fewer than 3: the budget)
//! ```
//! It never shortens a budget: a step is given up when its budget is spent, whatever was learnt.
//! It never changes the plan's hash: what is done stays the same, only the time it is begun moves.

use super::record::Verb;
use super::run::StepState;
use crate::site::StepTimes;
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Measurements kept of each step.
pub const KEPT: usize = 20;
/// Measurements that are needed before a step is planned by them.
pub const ENOUGH: usize = 3;
/// What is planned for a p95: a quarter more, in percent. Twenty measurements do not show the
/// slowest stop there is, and a host under the load of an outage is slower than in a drill.
pub const HEADROOM_PERCENT: u64 = 125;
/// Steps with measurements; hosts that left the site long ago are forgotten first.
pub(super) const MAX_STEPS: usize = 4_096;

/// What was measured of every step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Learnt {
    steps: BTreeMap<(String, Verb), Times>,
    /// Steps under way when the machine restarted: their time is not known to its end.
    cut: BTreeSet<String>,
    /// Measurements ever taken.
    taken: u64,
}

/// The last measurements of one step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Times {
    took: VecDeque<Took>,
    last: u64,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Took {
    time: Millis,
    /// It took at least so long.
    at_least: bool,
}

/// What is known of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// 95 % of the stops were not slower, by nearest rank; lower bounds beyond it counted.
    pub p95: Millis,
    /// Stops measured to their end, at most [`KEPT`].
    pub count: usize,
}

impl Times {
    fn hear(&mut self, time: Millis, at_least: bool) {
        if self.took.len() == KEPT {
            self.took.pop_front();
        }
        self.took.push_back(Took { time, at_least });
    }

    /// What is known; `None` while no stop was measured to its end.
    fn measured(&self) -> Option<Measured> {
        measured(self.took.iter())
    }

    /// The least that this step was ever planned with in the measurements that are kept.
    fn least_planned(&self, budget: Millis) -> Millis {
        let prefixes = (1..=self.took.len()).map(|end| planned(measured(self.took.iter().take(end)), budget));
        prefixes.min().unwrap_or(budget)
    }
}

fn measured<'a>(took: impl Iterator<Item = &'a Took>) -> Option<Measured> {
    let (mut whole, mut bound) = (Vec::new(), Millis(0));
    for took in took {
        if took.at_least {
            bound = bound.max(took.time);
        } else {
            whole.push(took.time);
        }
    }
    whole.sort_unstable();
    // Nearest rank: the smallest value that at least 95 of 100 are not above.
    let rank = (whole.len() * 95).div_ceil(100);
    let p95 = *whole.get(rank.checked_sub(1)?)?;
    Some(Measured {
        p95: p95.max(bound),
        count: whole.len(),
    })
}

fn planned(measured: Option<Measured>, budget: Millis) -> Millis {
    match measured {
        Some(Measured { p95, count }) if count >= ENOUGH => {
            Millis(p95.0.saturating_mul(HEADROOM_PERCENT) / 100).min(budget)
        }
        _ => budget,
    }
}

impl Learnt {
    /// A host was confirmed stopped; `before` is what its step was until then.
    pub(super) fn stopped(&mut self, host: &str, before: &StepState, took: Millis, late: bool) {
        let asked = match before {
            // How long a forced host takes says nothing about asking it.
            StepState::InFlight(flight) => flight.requested && flight.verb == Verb::Stop,
            StepState::Abandoned { requested, .. } => *requested,
            // Called back, and it stopped all the same: it was asked.
            StepState::Cancelled { since, .. } => since.is_some(),
            StepState::Waiting | StepState::Confirmed { .. } | StepState::Skipped { .. } => false,
        };
        let cut = self.cut.remove(host);
        if asked {
            self.learn(host, Verb::Stop, took, late || cut);
        }
    }

    /// Keeps a measurement; `at_least`: the end was not seen, or the beginning not.
    pub(super) fn learn(&mut self, host: &str, verb: Verb, took: Millis, at_least: bool) {
        self.taken = self.taken.saturating_add(1);
        let key = (host.to_owned(), verb);
        if !self.steps.contains_key(&key) && self.steps.len() >= MAX_STEPS {
            let oldest = self.steps.iter().min_by_key(|(_, times)| times.last);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.steps.remove(&oldest);
            }
        }
        let times = self.steps.entry(key).or_default();
        times.last = self.taken;
        times.hear(took, at_least);
    }

    /// The machine restarted while these steps were under way.
    pub(super) fn cut(&mut self, hosts: impl IntoIterator<Item = String>) {
        self.cut.extend(hosts);
    }

    /// What is known of a step.
    pub(super) fn of(&self, host: &str, verb: Verb) -> Option<Measured> {
        self.times(host, verb)?.measured()
    }

    fn times(&self, host: &str, verb: Verb) -> Option<&Times> {
        self.steps.get(&(host.to_owned(), verb))
    }

    /// The length a stop is planned with.
    pub(super) fn planned(&self, host: &str, budget: Millis, by: StepTimes) -> Millis {
        match by {
            StepTimes::Budget => budget,
            StepTimes::Learnt => planned(self.of(host, Verb::Stop), budget),
        }
    }

    /// How much longer a stop is planned now than the least it was planned with: from, to.
    pub(super) fn growth(&self, host: &str, budget: Millis, by: StepTimes) -> Option<(Millis, Millis)> {
        if by == StepTimes::Budget {
            return None;
        }
        let times = self.times(host, Verb::Stop)?;
        let (from, to) = (times.least_planned(budget), planned(times.measured(), budget));
        (to > from).then_some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Millis = Millis::from_secs(180);

    fn learnt(secs: impl IntoIterator<Item = u64>) -> Learnt {
        let mut learnt = Learnt::default();
        for secs in secs {
            learnt.learn("db", Verb::Stop, Millis::from_secs(secs), false);
        }
        learnt
    }

    #[test]
    fn of_twenty_stops_the_second_slowest_is_the_p95() {
        let known = learnt(1..=20).of("db", Verb::Stop).unwrap();
        assert_eq!((known.p95, known.count), (Millis::from_secs(19), 20));
        let known = learnt(1..=19).of("db", Verb::Stop).unwrap();
        assert_eq!(known.p95, Millis::from_secs(19), "below twenty it is the slowest");
    }

    #[test]
    fn only_the_last_twenty_count() {
        let known = learnt([100].into_iter().chain([10; 20]))
            .of("db", Verb::Stop)
            .unwrap();
        assert_eq!((known.p95, known.count), (Millis::from_secs(10), 20));
    }

    #[test]
    fn a_step_is_planned_by_its_budget_until_three_stops_were_measured() {
        let planned = |learnt: &Learnt| learnt.planned("db", BUDGET, StepTimes::Learnt);
        assert_eq!(planned(&learnt([])), BUDGET);
        assert_eq!(planned(&learnt([40, 40])), BUDGET);
        assert_eq!(
            planned(&learnt([40, 40, 40])),
            Millis::from_secs(50),
            "a quarter more"
        );
        assert_eq!(
            planned(&learnt([170, 170, 170])),
            BUDGET,
            "never above the budget"
        );
        let known = learnt([40, 40, 40]);
        assert_eq!(known.planned("db", BUDGET, StepTimes::Budget), BUDGET);
    }

    #[test]
    fn a_stop_without_an_end_only_lengthens() {
        let mut known = learnt([40, 40, 40]);
        known.learn("db", Verb::Stop, Millis::from_secs(5), true);
        assert_eq!(known.of("db", Verb::Stop).unwrap().p95, Millis::from_secs(40));
        known.learn("db", Verb::Stop, Millis::from_secs(181), true);
        assert_eq!(known.planned("db", BUDGET, StepTimes::Learnt), BUDGET);
        assert_eq!(
            known.of("db", Verb::Stop).unwrap().count,
            3,
            "it is no measurement"
        );
    }

    #[test]
    fn a_stop_that_was_never_asked_for_teaches_nothing() {
        let mut known = Learnt::default();
        known.stopped("db", &StepState::Waiting, Millis(300), false);
        assert_eq!(known.of("db", Verb::Stop), None);
        let called_back = StepState::Cancelled {
            since: Some(crate::time::Mono(0)),
            because: crate::site::Label::default(),
        };
        known.stopped("db", &called_back, Millis(300), true);
        assert_eq!(
            known.of("db", Verb::Stop),
            None,
            "one without an end is not enough"
        );
    }

    #[test]
    fn what_grew_is_named_with_both_times() {
        let growth = |known: &Learnt| known.growth("db", BUDGET, StepTimes::Learnt);
        assert_eq!(growth(&learnt([40, 40, 40])), None);
        let known = learnt([40, 40, 40, 80]);
        assert_eq!(
            growth(&known),
            Some((Millis::from_secs(50), Millis::from_secs(100)))
        );
        assert_eq!(known.growth("db", BUDGET, StepTimes::Budget), None);
    }

    #[test]
    fn hosts_of_long_ago_are_forgotten_first() {
        let mut known = Learnt::default();
        for host in 0..=MAX_STEPS {
            known.learn(&format!("h{host}"), Verb::Stop, Millis(1), false);
        }
        assert_eq!(known.steps.len(), MAX_STEPS);
        assert!(known.of("h0", Verb::Stop).is_none() && known.of("h1", Verb::Stop).is_some());
    }
}

//! What evidence may lead to: whom power may stop, and the rules of the site about heat and water.
//!
//! A rule needs two signs of different sources, each of which has held for as long as the rule says.
//! A sign that cannot be read is no sign and begins anew when it is read again, so lost sensors
//! never stop anything. A rule that has led to a run does nothing more until its evidence is over.

use super::run::StepState;
use super::{Demand, HostConf, Outage, Record, Turn};
use crate::site::Label;
use crate::site::outage::{Rule, Sign, Then, is_evidence};
use crate::time::{Mono, Now};

/// What one sign of a rule is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It holds.
    Holds,
    /// It was read, and does not hold.
    Absent,
    /// It cannot be read.
    Unknown,
}

/// Since when each sign of each rule holds. Volatile: after a restart they hold anew.
#[derive(Debug, Clone, Default)]
pub(super) struct Signs(Vec<Vec<Seen>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Since(Mono),
    Absent,
    Unknown,
}

impl Signs {
    pub(super) fn see(&mut self, now: Mono, sights: &[Vec<Sight>]) {
        self.0.resize(sights.len(), Vec::new());
        for (signs, sights) in self.0.iter_mut().zip(sights) {
            signs.resize(sights.len(), Seen::Unknown);
            for (seen, sight) in signs.iter_mut().zip(sights) {
                *seen = match (*sight, *seen) {
                    (Sight::Holds, Seen::Since(since)) => Seen::Since(since),
                    (Sight::Holds, _) => Seen::Since(now),
                    (Sight::Absent, _) => Seen::Absent,
                    (Sight::Unknown, _) => Seen::Unknown,
                };
            }
        }
    }

    fn of(&self, rule: usize) -> &[Seen] {
        self.0.get(rule).map_or(&[], Vec::as_slice)
    }
}

impl Outage {
    fn rules(&self) -> &[Rule] {
        self.config.policy.as_ref().map_or(&[], |policy| &policy.rules)
    }

    /// May power stop this host?
    pub(super) fn power_may_stop(&self, host: &HostConf) -> bool {
        let then = self.config.policy.as_ref().map(|policy| policy.then);
        match then.unwrap_or_default() {
            Then::Stop => true,
            Then::Shed => host.shed_after.is_some(),
            Then::Alarm => false,
        }
    }

    /// The signs of a rule that are its evidence now, if there is enough of it.
    pub(super) fn evidence_of(&self, at: usize, now: Mono) -> Option<Vec<&Sign>> {
        let rule = self.rules().get(at)?;
        let signs = rule.signs.iter().zip(self.signs.of(at));
        let held = signs.filter(|(_, seen)| match seen {
            Seen::Since(since) => now >= since.after(rule.hold),
            Seen::Absent | Seen::Unknown => false,
        });
        let held: Vec<&Sign> = held.map(|(sign, _)| sign).collect();
        is_evidence(rule.about, &held).then_some(held)
    }

    /// When a sign will have held long enough.
    pub(super) fn rule_wakes(&self, wakes: &mut Vec<Mono>) {
        for (at, rule) in self.rules().iter().enumerate() {
            let held = self.signs.of(at).iter().filter_map(|seen| match seen {
                Seen::Since(since) => Some(since.after(rule.hold)),
                Seen::Absent | Seen::Unknown => None,
            });
            wakes.extend(held.filter(|at| *at > self.now));
        }
    }

    /// Names the hosts that power would stop now and may not.
    pub(super) fn withhold(&mut self, now: Now, turn: &mut Turn) {
        let (supplies, stops) = (self.supplies(now.mono), self.stops_in(now.mono));
        let mut because = None;
        let mut hosts = Vec::new();
        for host in self.unplanned_hosts() {
            if self.power_may_stop(host) || self.book.withheld.contains_key(&host.id) {
                continue;
            }
            let urgency = self.urgency(host, &supplies, &stops, now.mono);
            if let Some(urgency) = urgency.filter(|urgency| urgency.starts_in <= 0.0) {
                because.get_or_insert(urgency.because());
                hosts.push(host.id.clone());
            }
        }
        if let Some(because) = because {
            self.record(now, Record::StopWithheld { hosts, because }, turn);
        }
    }

    /// Forgets rules whose evidence is over for certain.
    pub(super) fn end_rules(&mut self, now: Now, turn: &mut Turn) {
        let over: Vec<String> = self
            .book
            .rules_done
            .iter()
            .filter(|name| !self.may_still_hold(name))
            .cloned()
            .collect();
        for rule in over {
            self.record(now, Record::RuleOver { rule }, turn);
        }
    }

    /// Would there be evidence if every sign that cannot be read held? A rule that is no longer in
    /// the site does not.
    fn may_still_hold(&self, name: &str) -> bool {
        let found = self
            .rules()
            .iter()
            .enumerate()
            .find(|(_, rule)| rule.name == name);
        let Some((at, rule)) = found else { return false };
        let seen = self.signs.of(at);
        let signs = rule.signs.iter().enumerate();
        let possible = signs.filter(|(place, _)| seen.get(*place) != Some(&Seen::Absent));
        let possible: Vec<&Sign> = possible.map(|(_, sign)| sign).collect();
        is_evidence(rule.about, &possible)
    }

    /// Evidence that demands hosts which no run stops yet: what demands them, why, and which.
    pub(super) fn due_by_rule(&self, now: Mono) -> Option<(Demand, Label, Vec<String>)> {
        self.rules().iter().enumerate().find_map(|(at, rule)| {
            if rule.then == Then::Alarm || self.book.rules_done.contains(&rule.name) {
                return None;
            }
            let because = because(rule, &self.evidence_of(at, now)?);
            let named = |host: &&HostConf| rule.hosts.is_empty() || rule.hosts.contains(&host.id);
            let may = |host: &&HostConf| rule.then == Then::Stop || host.shed_after.is_some();
            let hosts = self.config.hosts.iter().filter(named).filter(may);
            let hosts: Vec<String> = hosts.map(|host| host.id.clone()).collect();
            let joins = self.stops_just(&hosts);
            let scope = self.scope_anew(hosts);
            let rule = rule.name.clone();
            (joins || !scope.is_empty()).then_some((Demand::Rule { rule }, because, scope))
        })
    }

    /// The active run still has these hosts to stop, and what else it has would not go on either if
    /// only power stood behind it: then a rule demands the run itself, without any host more.
    fn stops_just(&self, hosts: &[String]) -> bool {
        let run = self.book.active_run();
        let Some(run) = run.filter(|run| run.abandoned.is_none() && run.drill.is_none()) else {
            return false;
        };
        let wanted = self.config.plan.with_dependants(hosts.to_vec());
        let open = run.ids(|state| matches!(state, StepState::Waiting | StepState::InFlight(_)));
        let (named, others): (Vec<_>, Vec<_>) = open.into_iter().partition(|id| wanted.contains(id));
        !named.is_empty() && (others.is_empty() || !run.stands_on_power())
    }

    /// These hosts and their dependants, whatever became of them in this outage, without what the
    /// active run has and what is stopped for certain.
    pub(super) fn scope_anew(&self, hosts: Vec<String>) -> Vec<String> {
        let wanted = self.config.plan.with_dependants(hosts);
        let run = self.book.active_run();
        let steps = self.config.plan.steps().iter().map(|step| &step.id);
        let open = steps.filter(|id| {
            let planned = run.is_some_and(|run| run.steps.contains_key(*id));
            let stopped = self.book.is_off(id, self.now);
            wanted.contains(*id) && !planned && !stopped
        });
        open.cloned().collect()
    }

    /// Every rule with why its evidence holds now.
    pub(super) fn rule_alarms(&self, now: Mono) -> impl Iterator<Item = (&Rule, Option<Label>)> {
        let rules = self.rules().iter().enumerate();
        rules.map(move |(at, rule)| {
            let held = self.evidence_of(at, now);
            (rule, held.map(|signs| because(rule, &signs)))
        })
    }
}

fn because(rule: &Rule, signs: &[&Sign]) -> Label {
    let names: Vec<&str> = signs.iter().map(|sign| sign.name.as_str()).collect();
    let (names, secs, words) = (names.join(", "), rule.hold.as_secs_f64(), rule.about.words());
    Label::new(
        format!("{}（{names}、{secs:.0} 秒以上）", words.ja),
        format!("{} ({names}, for {secs:.0} s and more)", words.en),
    )
}

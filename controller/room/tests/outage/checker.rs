//! What is checked while a simulated room lives, whatever test it lives in. It looks at the truth
//! of the room and at what the engine hands out, and calls nothing that the engine decides by.

use super::world::{Life, Room};
use room::outage::{Demand, Order, Record, Sight, Verb};
use room::site::OnFailure;
use room::site::outage::{Rule, Then};
use std::collections::BTreeSet;

/// Most turns of the engine in a simulated minute: ten polls and a dozen outcomes a second.
const MOST_TURNS: u32 = 1_500;
/// Most ticks in it that lead to nothing: the engine reckons anew now and then, and no more.
const MOST_IDLE_TICKS: u32 = 120;
/// A UPS that answered so long with mains there is no reason any more to stop anything, in
/// milliseconds: two polls and the time for the second sign.
const OVER_AFTER: u64 = 15_000;

/// What the engine did since a minute began.
#[derive(Debug, Default)]
pub(crate) struct Minute {
    since: u64,
    turns: u32,
    idle: u32,
}

impl Minute {
    /// An engine that wakes itself for nothing, again and again, would keep its machine busy.
    pub(crate) fn count(&mut self, now: u64, idle: bool, broken: &mut Vec<String>) {
        if now >= self.since + 60_000 {
            *self = Self {
                since: now,
                ..Self::default()
            };
        }
        self.turns += 1;
        self.idle += u32::from(idle);
        if self.turns == MOST_TURNS || self.idle == MOST_IDLE_TICKS {
            let (turns, idle) = (self.turns, self.idle);
            broken.push(format!(
                "{turns} turns in a minute, and {idle} ticks led to nothing"
            ));
        }
    }
}

impl Room {
    pub(crate) fn breaks(&mut self, promise: String) {
        self.remark(&format!("BROKEN: {promise}"));
        self.broken.push(promise);
    }

    /// The engine knows what its records make, no more and no less.
    pub(crate) fn check_memory(&mut self) {
        if !self.engine.remembers_the_same(&self.replayed) {
            let records = self.journal.len();
            self.breaks(format!(
                "the engine's memory is not what its {records} records make"
            ));
        }
    }

    /// An order leaves only when it is in the journal.
    pub(crate) fn check_recorded(&mut self, wanted: &Order) {
        let mut records = self.journal.iter().rev().map(|(_, record)| record);
        let recorded = records.any(|record| match record {
            Record::StepStarted { order }
            | Record::HostStartStarted { order, .. }
            | Record::FinishOrdered { order } => order == wanted,
            _ => false,
        });
        if !recorded {
            self.breaks(format!("{} was ordered, and no record says so", wanted.step));
        }
        if wanted.verb == Verb::Force {
            self.check_force(wanted);
        }
    }

    /// A host is started only when an order of ours may have stopped it.
    pub(crate) fn check_start(&mut self, host: &str) {
        let mut records = self.journal.iter().map(|(_, record)| record);
        let ours = records.any(|record| match record {
            Record::StepStarted { order } => order.step == host,
            _ => false,
        });
        if !ours {
            self.breaks(format!("{host} was started, and we never stopped it"));
        }
    }

    /// Power is cut under a host only where the site says so, and after it was asked to stop.
    fn check_force(&mut self, wanted: &Order) {
        let mut hosts = self.site.hosts.iter();
        let allowed = hosts.any(|host| host.name == wanted.step && host.on_failure == OnFailure::Force);
        let asked = self.journal.iter().any(|(_, record)| match record {
            Record::StepStarted { order } => {
                order.verb == Verb::Stop && (order.run, &order.step) == (wanted.run, &wanted.step)
            }
            _ => false,
        });
        if !allowed || !asked {
            self.breaks(format!("power was cut under {}", wanted.step));
        }
    }

    /// Whatever uses a host is stopped before it, or a person skipped it, or it was given
    /// up and the site lets the plan go on.
    pub(crate) fn check_order(&mut self, host: &str) {
        let uses_it =
            |other: &&room::site::Host<room::site::Real>| other.depends_on.iter().any(|used| used == host);
        let early = self.site.hosts.iter().filter(uses_it).filter(|user| {
            let off = matches!(self.life(&user.name), Life::Down | Life::Fell)
                || self.came_unseen(&user.name)
                || self.comes_late(&user.name)
                || self.started_by_hand(&user.name);
            let mut records = self.journal.iter().map(|(_, record)| record);
            let passed_over = records.any(|record| match record {
                Record::StepAbandoned { order, .. } => {
                    order.step == user.name && user.on_failure == OnFailure::GoOn
                }
                Record::StepSkipped { step, .. } => *step == user.name,
                _ => false,
            });
            !off && !passed_over
        });
        let early: Vec<String> = early
            .map(|user| format!("{host} was stopped before {}", user.name))
            .collect();
        for promise in early {
            self.breaks(promise);
        }
    }

    /// A run has a cause in the truth of the room: a UPS was heard without mains not long before its
    /// last word, or two signs of different sources hold.
    pub(crate) fn check_cause(&mut self, record: &Record) {
        let (Record::RunStarted { scope, demand, .. } | Record::RunExtended { scope, demand, .. }) = record
        else {
            return;
        };
        let policy = self.site.outage.as_ref().expect("a policy");
        let (allowed, justified) = match demand {
            Demand::Power => (
                policy.then == Then::Stop || (policy.then == Then::Shed && !policy.shed.is_empty()),
                self.lost_mains(scope),
            ),
            Demand::Rule { rule } => {
                let rule = policy.rules.iter().find(|other| other.name == *rule);
                let rule = rule.expect("a rule of the site");
                (rule.then != Then::Alarm, self.holds(rule))
            }
            Demand::Operator { .. } => (true, true),
            Demand::Schedule { schedule, day } => (true, self.is_scheduled(schedule, *day)),
        };
        let hosts = scope.join(" ");
        if !allowed {
            self.breaks(format!("the policy only alarms, and a run began for {hosts}"));
        }
        if !justified {
            self.breaks(format!("a run without a cause began for {hosts}"));
        }
    }

    /// The stop of this day was announced, this is the first run for it, and it is its time by the clock
    /// on the wall: not before, and not more than a quarter of an hour after.
    fn is_scheduled(&self, name: &str, of_day: u16) -> bool {
        let announced = self.journal.iter().rev().find_map(|(_, record)| match record {
            Record::ScheduleAnnounced {
                schedule,
                day,
                stop_ms,
                ..
            } if schedule == name && *day == of_day => Some(*stop_ms),
            _ => None,
        });
        let runs = self.journal.iter().filter(|(_, record)| {
            let Record::RunStarted { demand, .. } = record else {
                return false;
            };
            matches!(demand, Demand::Schedule { schedule, day } if schedule == name && *day == of_day)
        });
        let late = announced.map(|stop| self.clock().wall.0 - stop.0);
        // The record may be in the journal already when it is looked at.
        runs.count() <= 1 && late.is_some_and(|late| (0..=15 * 60_000).contains(&late))
    }

    /// Some UPS of these hosts, or of what they use, lost mains as far as anybody can know.
    fn lost_mains(&self, scope: &[String]) -> bool {
        let mut hosts: BTreeSet<&String> = scope.iter().collect();
        loop {
            let known = hosts.len();
            let users = self.site.hosts.iter().filter(|host| hosts.contains(&host.name));
            let used: Vec<&String> = users.flat_map(|host| &host.depends_on).collect();
            hosts.extend(used);
            if hosts.len() == known {
                break;
            }
        }
        let feeds = self
            .hosts
            .iter()
            .filter(|host| hosts.contains(&host.id))
            .flat_map(|host| &host.feeds);
        feeds.into_iter().any(|ups| {
            let ups = &self.ups[*ups];
            ups.heard_off.is_some_and(|off| ups.heard - off <= OVER_AFTER)
        })
    }

    /// Two signs of a rule, from different sources, hold for as long as it says.
    fn holds(&self, rule: &Rule) -> bool {
        let held: Vec<_> = rule
            .signs
            .iter()
            .filter(|sign| {
                let since = self.signs_since.get(&sign.name).copied().unwrap_or(self.now);
                self.signs.get(&sign.name) == Some(&Sight::Holds) && self.now >= since + rule.hold.0
            })
            .collect();
        held.iter()
            .any(|one| held.iter().any(|other| one.sources.is_disjoint(&other.sources)))
    }
}

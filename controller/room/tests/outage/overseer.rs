//! What is promised of people's orders and of the return, checked while a simulated room lives. It
//! looks at the records and at the truth of the room.
//!
//! * a pause ends when its time is over; a skip skips the host that a person named and no other;
//! * nobody aborts what power needs; with two persons, no order is followed on the word of one;
//! * a drill begins only while no UPS says that mains is gone;
//! * nothing is started while a person holds the return, before mains was there for as long as the
//!   site says, while the batteries could not carry one more full stop, or before what it uses runs;
//! * a host is started once in a return, and never when a person had switched it off.

use super::world::{Life, Room};
use room::outage::operator::{Ask, Person, Wish};
use room::outage::{Demand, Input, Order, Record};
use room::site::{Confirm, StepTimes};
use std::collections::BTreeSet;

/// The engine is woken for the end of a pause, and this much later it has ended, in milliseconds.
const PAUSE_SLACK: u64 = 500;
/// The clock of a restarted machine goes on from the last record before, in milliseconds.
const REBOOT_SLACK: u64 = super::world::REBOOT_TAKES + 120_000;
/// A UPS that was heard without mains so shortly before speaks against a drill, in milliseconds.
const HEARD_SLACK: u64 = 1;

/// What people ordered so far.
#[derive(Debug, Default)]
pub(crate) struct Overseer {
    /// The pause under way ends then at the latest.
    paused_until: Option<u64>,
    /// Somebody holds the return.
    held: bool,
    /// Hosts that somebody wished to skip.
    skipped: BTreeSet<String>,
    /// Number of the order that waits for a second person.
    asked: Option<u64>,
    /// Steps that the run under way has not ended, and what demands it.
    open: BTreeSet<String>,
    demands: Vec<Demand>,
}

impl Overseer {
    /// The machine's clock stood still meanwhile, and a pause with it.
    pub(crate) fn machine_restarted(&mut self) {
        self.paused_until = self.paused_until.map(|until| until + REBOOT_SLACK);
    }

    /// Number of the order that waits for a second person.
    pub(crate) const fn asked(&self) -> Option<u64> {
        self.asked
    }

    pub(crate) const fn holds(&self) -> bool {
        self.held
    }
}

impl Room {
    /// A person orders something.
    pub(crate) fn order(&mut self, person: Person, ask: Ask) {
        if let Ask::Wish(Wish::Skip { host, .. }) = &ask {
            self.overseer.skipped.insert(host.clone());
        }
        self.tell(Input::Operator { person, ask });
    }

    /// A record that is about people or the return.
    pub(crate) fn oversee(&mut self, record: &Record) {
        match record {
            Record::RunStarted { scope, demand, .. } => {
                self.overseer.open = scope.iter().cloned().collect();
                self.overseer.demands = vec![demand.clone()];
                self.check_two(demand);
            }
            Record::RunExtended { scope, demand, .. } => {
                self.overseer.open.extend(scope.iter().cloned());
                self.overseer.demands.push(demand.clone());
                self.check_two(demand);
            }
            Record::DrillStarted { scope, .. } => {
                self.overseer.open = scope.iter().cloned().collect();
                self.overseer.demands.clear();
                self.check_drill();
            }
            Record::StepConfirmed { order, .. } | Record::StepAbandoned { order, .. } => {
                self.overseer.open.remove(&order.step);
            }
            Record::StepCancelled { step, .. } => {
                self.overseer.open.remove(step);
            }
            Record::StepSkipped { step, .. } => {
                self.overseer.open.remove(step);
                if !self.overseer.skipped.contains(step) {
                    self.breaks(format!("{step} was skipped, and nobody wished that"));
                }
            }
            Record::RunPaused { length, .. } => {
                self.overseer.paused_until = Some(self.now + length.0 + PAUSE_SLACK);
            }
            Record::RunResumed { .. } | Record::RunEnded { .. } => self.overseer.paused_until = None,
            Record::RunAbandoned { by, .. } => {
                self.overseer.paused_until = None;
                if by.is_some() {
                    self.check_abort();
                }
            }
            Record::OperatorAsked { id, .. } => self.overseer.asked = Some(*id),
            Record::ReturnHeld { .. } => self.overseer.held = true,
            Record::ReturnReleased { .. } => self.overseer.held = false,
            Record::HostStartStarted { order, .. } if order.attempt == 1 => self.check_gates(order),
            _ => {}
        }
    }

    /// A pause has its end.
    pub(crate) fn check_pause(&mut self) {
        if let Some(until) = self.overseer.paused_until.filter(|until| self.now > *until) {
            self.overseer.paused_until = None;
            self.breaks(format!("a pause was to end at {until} and goes on"));
        }
    }

    /// Where two are wanted, another one agreed.
    fn check_two(&mut self, demand: &Demand) {
        let Demand::Operator { by, second } = demand else {
            return;
        };
        let agreed = second.as_ref().is_some_and(|second| second.uid != by.uid);
        if self.site.operators.two_person && !agreed {
            self.breaks(format!("a run was started by {by} alone"));
        }
    }

    fn check_drill(&mut self) {
        let gone = self
            .ups
            .iter()
            .find(|ups| ups.heard_off.is_some_and(|off| ups.heard - off < HEARD_SLACK));
        if let Some(name) = gone.map(|ups| ups.name.clone()) {
            self.breaks(format!("a drill began while {name} says that mains is gone"));
        }
    }

    /// What power needs goes on, whatever a person says.
    fn check_abort(&mut self) {
        if !self.overseer.demands.contains(&Demand::Power) {
            return;
        }
        let heard: Vec<bool> = self
            .ups
            .iter()
            .map(|ups| ups.mains || ups.heard_off == Some(ups.heard))
            .collect();
        let lives = self.true_lives();
        let lost = self.hosts.iter().zip(lives).find(|(host, life)| {
            // In a room that lives for minutes yet, what is open may still be called back.
            let short = *life < 20.0 && host.feeds.iter().all(|ups| heard[*ups]);
            short && host.life == Life::Up && self.overseer.open.contains(&host.id)
        });
        if let Some((id, life)) = lost.map(|(host, life)| (host.id.clone(), life)) {
            self.breaks(format!(
                "a run was aborted while {id} had {life:.0} s of power left"
            ));
        }
    }

    /// Mains is there for long enough, the batteries hold one more full stop, and nobody minds.
    fn check_gates(&mut self, order: &Order) {
        let id = &order.step;
        if self.overseer.held {
            self.breaks(format!("{id} was started while the return was held"));
        }
        let host = self.hosts.iter().position(|host| host.id == *id);
        let host = host.expect("orders name hosts");
        let policy = self.site.outage.as_ref().expect("a policy");
        let by_budgets = policy.step_times == StepTimes::Budget;
        let wanted = policy.return_after.unwrap_or(policy.mains_stable).0;
        let feeds = &self.hosts[host].feeds;
        let steady = feeds.iter().filter(|ups| {
            let off = self.ups[**ups].heard_off;
            off.is_none_or(|off| self.now >= off + wanted)
        });
        if steady.count() < self.hosts[host].need.min(feeds.len()) {
            self.breaks(format!("{id} was started before mains was stable"));
        }
        let honest = |ups: &usize| {
            let ups = &self.ups[*ups];
            ups.says.is_empty() && ups.curve == super::world::Curve::STRAIGHT
        };
        let plain = self.branchings.is_empty() && by_budgets;
        if !plain || !(0..self.ups.len()).all(|ups| honest(&ups)) {
            return;
        }
        let (life, stop) = (self.lives_by_batteries()[host], self.longest_stop());
        if life < stop {
            self.breaks(format!(
                "{id} was started with {life:.0} s of battery, and one more full stop takes {stop:.0} s"
            ));
        }
    }

    /// Seconds that a full stop takes by its budgets.
    fn longest_stop(&self) -> f64 {
        fn chain(room: &Room, id: &str) -> f64 {
            let hosts = room.site.hosts.iter();
            let users = hosts.filter(|host| host.depends_on.iter().any(|used| used == id));
            let before = users.map(|user| chain(room, &user.name)).fold(0.0, f64::max);
            let own = room.site.hosts.iter().find(|host| host.name == id);
            before + own.map_or(0.0, |host| host.budget.as_secs_f64())
        }
        let all = self.site.hosts.iter();
        all.map(|host| chain(self, &host.name)).fold(0.0, f64::max)
    }

    /// A host begins to come up by an order of ours.
    pub(crate) fn check_start_effect(&mut self, order: &Order) {
        let at = self.hosts.iter().position(|host| host.id == order.step);
        let host = &self.hosts[at.expect("orders name hosts")];
        let mut here = host.starts.iter().filter(|(run, _)| *run == order.run);
        let first = here.next().map_or(self.now, |(_, at)| *at);
        let falls = host.falls.iter().filter(|at| **at >= first).count();
        // It may be switched off by what we asked of it before, as late as it likes.
        let stops = host.effects.iter().filter(|(_, at)| *at >= first).count();
        let id = order.step.clone();
        if here.count() > falls + stops {
            self.breaks(format!("{id} was started twice in return {}", order.run));
        }
        let conf = self.site.hosts.iter().find(|host| host.name == id);
        let conf = conf.expect("orders name hosts");
        let uses = conf.depends_on.clone();
        let sees = !matches!(conf.confirm, Confirm::ActionSucceeded);
        let tries = self.count(|record| match record {
            Record::StepStarted { order } => order.step == id,
            _ => false,
        });
        if self.hosts[at.expect("orders name hosts")].off_by_hand && sees && tries == 1 {
            self.breaks(format!("{id} was started, and a person had switched it off"));
        }
        for used in uses {
            self.check_used(&id, &used);
        }
    }

    /// What a host uses runs before it, as far as that is ours.
    fn check_used(&mut self, id: &str, used: &str) {
        let host = self.hosts.iter().find(|host| host.id == used);
        let host = host.expect("the site is whole");
        let ours = !host.effects.is_empty() && host.falls.is_empty();
        let told = self.count(|record| match record {
            Record::HostsStarted { hosts, .. } => hosts.iter().any(|host| host == used),
            _ => false,
        });
        if ours && told == 0 && matches!(host.life, Life::Down | Life::Booting { .. }) {
            self.breaks(format!("{id} was started before {used}, which it uses, ran"));
        }
    }

    /// It is still coming up, after twice the time that the site gives it; nobody waits for that.
    pub(crate) fn comes_late(&self, id: &str) -> bool {
        let conf = self.site.hosts.iter().find(|host| host.name == id);
        let budget = conf.and_then(|conf| Some(conf.start.as_ref()?.budget.0));
        let host = self.hosts.iter().find(|host| host.id == id);
        let since = host.and_then(|host| Some(host.starts.last()?.1));
        let late = since
            .zip(budget)
            .is_some_and(|(since, budget)| self.now > since + 2 * budget);
        late && matches!(self.life(id), Life::Booting { .. })
    }

    /// A person started it while a run was under way. The target takes one order per run, so it is
    /// stopped by the next one, and what it uses does not wait for that.
    pub(crate) fn started_by_hand(&self, id: &str) -> bool {
        self.hosts.iter().any(|host| host.id == id && host.boots > 0)
    }

    /// It runs although the engine has not heard that it was started.
    pub(crate) fn came_unseen(&self, id: &str) -> bool {
        self.hosts.iter().any(|host| host.id == id && host.unseen)
    }
}

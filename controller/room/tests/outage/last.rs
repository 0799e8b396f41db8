//! The end of a plan in the simulated room: outputs that go off and on again, servers that come up
//! when their power is back, and a controller whose own machine is stopped.

use super::world::{Life, Room};
use room::outage::finish::Target;
use room::outage::{Order, Outcome};

/// A UPS that was told keeps its output off for at least so long.
const OFF_FOR: u64 = 10_000;
/// From the program's success until the controller's machine is down.
const HALTS_AFTER: u64 = 3_000;

/// What a UPS was told, and what it does of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output {
    /// Tries that fail before it takes the command.
    pub(crate) refuses: u32,
    /// It forgets the command when mains is back before its delay is over.
    pub(crate) forgets: bool,
    /// Times it took the command.
    pub(crate) told: u32,
    /// When it switches off.
    pub(crate) cut_at: Option<u64>,
    /// Since when its output is off.
    pub(crate) off_since: Option<u64>,
}

impl Room {
    /// An order that ends a plan reaches whom it is for.
    pub(crate) fn take_last_order(&mut self, target: &Target) -> Option<Outcome> {
        let finish = self
            .site
            .finish
            .as_ref()
            .expect("only a site with a finish orders it");
        match target {
            Target::Output(name) => {
                let cut = finish.cuts.iter().find(|cut| cut.ups == *name);
                let delay = cut.expect("a UPS of the finish").delay.0;
                let ups = self.ups.iter().position(|ups| ups.name == *name);
                let ups = ups.expect("a UPS of the room");
                self.check_cut(ups);
                let now = self.now;
                let output = &mut self.ups[ups].output;
                if output.refuses > 0 {
                    output.refuses -= 1;
                    return Some(Outcome::Failed {
                        problem: "no answer from its card".into(),
                        retryable: true,
                    });
                }
                output.told += 1;
                output.cut_at = Some(now + delay);
                self.say(&format!("{name} counts down"));
                Some(Outcome::Confirmed)
            }
            Target::Controller => {
                self.halts_at = Some(self.now + HALTS_AFTER);
                self.say("the controller's machine stops");
                Some(Outcome::Confirmed)
            }
        }
    }

    /// When something of this happens next.
    pub(crate) fn next_of_last(&self) -> u64 {
        let cuts = self.ups.iter().filter_map(|ups| ups.output.cut_at);
        let backs = self.ups.iter().filter_map(|ups| {
            let since = ups.output.off_since.filter(|_| ups.mains)?;
            Some((since + OFF_FOR).max(self.now))
        });
        cuts.chain(backs).chain(self.halts_at).min().unwrap_or(u64::MAX)
    }

    pub(crate) fn last_happens(&mut self) {
        if self.halts_at.is_some_and(|at| at <= self.now) {
            self.halts_at = None;
            self.controller_loses_power();
        }
        for ups in 0..self.ups.len() {
            let (now, mains) = (self.now, self.ups[ups].mains);
            let name = self.ups[ups].name.clone();
            let output = &mut self.ups[ups].output;
            if output.forgets && mains && output.off_since.is_none() && output.cut_at.take().is_some() {
                self.say(&format!("{name} forgets the command"));
                continue;
            }
            if output.cut_at.is_some_and(|at| at <= now) {
                output.cut_at = None;
                output.off_since = Some(now);
                self.say(&format!("{name} switches its output OFF"));
                // Nobody may look again before it is on: what was dark must be remembered here.
                for host in 0..self.hosts.len() {
                    self.hosts[host].powered &= self.has_power(host);
                }
                if self.controller_on == Some(ups) && !self.controller_is_off() {
                    self.controller_loses_power();
                }
            }
            let output = &mut self.ups[ups].output;
            if mains && output.off_since.is_some_and(|since| now >= since + OFF_FOR) {
                output.off_since = None;
                self.say(&format!("{name} switches its output on"));
                if self.controller_on == Some(ups) {
                    self.controller_gets_power();
                }
            }
        }
    }

    /// Nobody's power is cut while he runs, unless the site says so.
    fn check_cut(&mut self, ups: usize) {
        let may_run = self.site.finish.as_ref().map(|finish| finish.may_run.clone());
        let may_run = may_run.unwrap_or_default();
        let runs = self.hosts.iter().filter(|host| {
            host.feeds.contains(&ups)
                && !may_run.contains(&host.id)
                && !matches!(host.life, Life::Down | Life::Fell)
        });
        let runs: Vec<String> = runs.map(|host| host.id.clone()).collect();
        for host in runs {
            self.broken
                .push(format!("the power of {host} is cut while it runs"));
        }
    }

    /// Every order that a UPS or the controller itself took, by the journal.
    pub(crate) fn is_last(order: &Order) -> Option<Target> {
        Target::of(&order.step)
    }
}

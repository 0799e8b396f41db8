//! Verdicts over every UPS, and what they mean for the hosts.

use super::{HostConf, LEVEL_EVERY, Outage, Record, Turn};
use crate::power::battery::{self, Discharge};
use crate::power::feeds::{self, Life, Supply};
use crate::power::graph::Said;
use crate::power::state::{self, Contact, State};
use crate::power::{Verdict, signs};
use crate::time::{Mono, Now};
use std::collections::BTreeSet;
use std::ops::Deref;

/// What every point of the graph gives, the UPSes first. It reads as what comes through by the word
/// of PDUs and ATSes.
#[derive(Debug)]
pub(super) struct Supplies {
    said: Vec<Supply>,
    /// The same, had they said nothing.
    bare: Vec<Supply>,
}

impl Deref for Supplies {
    type Target = [Supply];

    fn deref(&self) -> &[Supply] {
        &self.said
    }
}

impl Supplies {
    /// What counts for a host. When by the word of PDUs nothing comes to it, while a battery behind
    /// them drains, that word alone does not keep it from being stopped: it may be wrong, or old.
    pub(super) fn of(&self, host: &HostConf) -> &[Supply] {
        let gives = |point: &usize| matches!(self.said[*point], Supply::Steady | Supply::Draining(_));
        if host.points.iter().any(gives) {
            return &self.said;
        }
        let bare: Vec<Supply> = host.points.iter().map(|point| self.bare[*point]).collect();
        match feeds::life(&bare, host.need) {
            Life::Until(_) => &self.bare,
            Life::Safe | Life::Unknown => &self.said,
        }
    }
}

impl Outage {
    /// Judges every UPS and records what changed durably.
    pub(super) fn judge(&mut self, now: Now, turn: &mut Turn) {
        let speaking: Vec<bool> = (0..self.config.ups.len())
            .map(|ups| self.speaks(ups, now.mono))
            .collect();
        for ups in 0..self.config.ups.len() {
            let peer = speaking
                .iter()
                .enumerate()
                .any(|(other, speaks)| *speaks && other != ups);
            self.judge_contact(ups, now, turn);
            let before = self.is_on_battery(ups);
            let lost_after = self.config.ups[ups].contact_lost_after;
            let verdict = self.watches[ups].judge(now.mono, peer, before, lost_after);
            let verdict = match verdict {
                // Its input is dead and its clock may count on, but its battery carries nothing.
                Verdict::Battery if !before && self.is_switched_off(ups, now.mono) => Verdict::Off,
                verdict => verdict,
            };
            self.verdicts[ups] = verdict;
            match (before, verdict == Verdict::Battery) {
                (false, true) => {
                    let (evidence, (charge_percent, runtime_s)) =
                        (self.evidence(ups, now.mono), self.heard(ups));
                    let ups = self.config.ups[ups].name.clone();
                    self.record(
                        now,
                        Record::MainsLost {
                            ups,
                            evidence,
                            charge_percent,
                            runtime_s,
                        },
                        turn,
                    );
                }
                (true, false) => {
                    let (evidence, source) = (self.evidence(ups, now.mono), verdict.word().into());
                    let ups = self.config.ups[ups].name.clone();
                    self.record(
                        now,
                        Record::MainsBack {
                            ups,
                            source,
                            evidence,
                        },
                        turn,
                    );
                }
                (true, true) => self.note_level(ups, now, turn),
                (false, false) => {}
            }
        }
    }

    fn speaks(&self, ups: usize, now: Mono) -> bool {
        self.watches[ups].speaks_for_battery(now, self.config.ups[ups].contact_lost_after)
    }

    fn judge_contact(&mut self, ups: usize, now: Now, turn: &mut Turn) {
        let conf = &self.config.ups[ups];
        let watch = &self.watches[ups];
        let (lost, unheard) = self
            .ledger(ups)
            .map_or((false, false), |ledger| (ledger.contact_lost, ledger.unheard));
        let name = conf.name.clone();
        if watch.in_contact(now.mono, conf.contact_lost_after) {
            if lost || unheard {
                self.record(now, Record::ContactFound { ups: name }, turn);
            }
        } else if !lost && now.mono >= watch.contact_ends(conf.contact_lost_after) {
            let on_battery = self.is_on_battery(ups);
            if on_battery {
                self.note_last_level(ups, now, turn);
            }
            self.record(
                now,
                Record::ContactLost {
                    ups: name,
                    on_battery,
                },
                turn,
            );
        }
    }

    /// Records how far a battery that says nothing any more has drained by our model. A controller
    /// that is killed would otherwise know its slope no more, and trust it for longer.
    fn note_last_level(&mut self, ups: usize, now: Now, turn: &mut Turn) {
        let discharge = self.discharge(ups, now.mono);
        let charge_percent = discharge.charge.and_then(|_| self.charge(ups, now.mono));
        let runtime_s = discharge.runtime.map(|(age, secs)| (secs - age).max(0.0));
        if charge_percent.is_some() || runtime_s.is_some() {
            let ups = self.config.ups[ups].name.clone();
            self.record(
                now,
                Record::BatteryLevel {
                    ups,
                    charge_percent,
                    runtime_s,
                },
                turn,
            );
        }
    }

    /// Records the level now and then, and at once when the discharge began without one.
    fn note_level(&mut self, ups: usize, now: Now, turn: &mut Turn) {
        let watch = &self.watches[ups];
        let charge_percent = watch.charge.trusted().map(|(_, percent)| percent);
        let runtime_s = watch.runtime.trusted().map(|(_, secs)| secs);
        let Some(ledger) = self.ledger(ups) else { return };
        let learns = (ledger.start.charge.is_none() && charge_percent.is_some())
            || (ledger.start.runtime.is_none() && runtime_s.is_some());
        let due = ledger.level.is_none_or(|(then, charge, runtime)| {
            now.mono.since(then) >= LEVEL_EVERY && (charge, runtime) != (charge_percent, runtime_s)
        });
        let fresh = self.heard_now == Some(ups);
        if learns || (due && fresh && (charge_percent.is_some() || runtime_s.is_some())) {
            let ups = self.config.ups[ups].name.clone();
            self.record(
                now,
                Record::BatteryLevel {
                    ups,
                    charge_percent,
                    runtime_s,
                },
                turn,
            );
        }
    }

    /// Charge and runtime that more than one reading agrees on. The first reading after a restart may
    /// be the one that is wrong; the level is recorded as soon as a second one has come.
    fn heard(&self, ups: usize) -> (Option<f64>, Option<f64>) {
        let watch = &self.watches[ups];
        (
            watch.charge.trusted().map(|(_, percent)| percent),
            watch.runtime.trusted().map(|(_, secs)| secs),
        )
    }

    /// The durable verdict.
    pub(super) fn is_on_battery(&self, ups: usize) -> bool {
        self.ledger(ups).is_some_and(|ledger| ledger.on_battery.is_some())
    }

    /// True while any UPS is on battery, or was when it was last heard.
    #[must_use]
    pub fn any_on_battery(&self) -> bool {
        (0..self.config.ups.len()).any(|ups| self.is_on_battery(ups))
    }

    /// The signs the verdict rests on, in words.
    pub(super) fn evidence(&self, ups: usize, now: Mono) -> Vec<String> {
        let watch = &self.watches[ups];
        let peer = (0..self.config.ups.len()).any(|other| other != ups && self.speaks(other, now));
        let mut words = match watch.facts() {
            Some(facts) => signs::words(
                watch.seen(now, peer && facts.source == signs::Source::Battery),
                facts,
            ),
            None => Vec::new(),
        };
        if !watch.in_contact(now, self.config.ups[ups].contact_lost_after) {
            words.push("no contact".into());
        }
        words
    }

    /// One word for what the UPS does.
    pub(super) fn state(&self, ups: usize, now: Mono) -> State {
        let watch = &self.watches[ups];
        let contact = Contact {
            good: watch.in_contact(now, self.config.ups[ups].contact_lost_after),
            heard: watch.heard().is_some(),
            stale: watch.is_stale(),
        };
        state::assess(self.verdicts[ups], contact, watch.facts())
    }

    /// What holds beside the state, while it is heard.
    pub(super) fn marks(&self, ups: usize, now: Mono) -> Vec<String> {
        let watch = &self.watches[ups];
        if !watch.in_contact(now, self.config.ups[ups].contact_lost_after) {
            return Vec::new();
        }
        let marks = [
            ("overload", watch.is_overloaded()),
            ("replace_battery", watch.needs_battery()),
            ("battery_low", watch.is_low()),
            ("test_stuck", watch.test_ends().is_some_and(|ends| now >= ends)),
        ];
        let held = marks.into_iter().filter(|(_, holds)| *holds);
        held.map(|(mark, _)| mark.to_owned()).collect()
    }

    /// Seconds until this battery is empty, if it discharges (or began to now).
    pub(super) fn usable(&self, ups: usize, now: Mono) -> f64 {
        battery::usable(&self.discharge(ups, now))
    }

    fn discharge(&self, ups: usize, now: Mono) -> Discharge {
        let watch = &self.watches[ups];
        let age = |(then, value): (Mono, f64)| (now.since(then).as_secs_f64(), value);
        let mut discharge = Discharge {
            charge: watch.charge.trusted().map(age),
            runtime: watch.runtime.trusted().map(age),
            low: watch.is_low(),
            ..Discharge::default()
        };
        if let Some(ledger) = self.ledger(ups) {
            discharge.on_battery = ledger.on_battery_for(now).as_secs_f64();
            discharge.start = ledger.start;
            if let Some((then, charge, runtime)) = ledger.level {
                discharge.charge = discharge.charge.or(charge.map(|charge| age((then, charge))));
                discharge.runtime = discharge.runtime.or(runtime.map(|runtime| age((then, runtime))));
            }
        }
        // What its promises were worth: the countdown from what it promised at first finds the end, since
        // the promise of this moment may already know better.
        if let Some(share) = self.capacity.get(&self.config.ups[ups].name) {
            let less = |seconds: f64| seconds * share;
            discharge.start.runtime = discharge.start.runtime.map(less);
            if !self.is_on_battery(ups) {
                discharge.runtime = discharge.runtime.map(|(age, runtime)| (age, less(runtime)));
            }
        }
        discharge
    }

    /// Percent, drained by the model since it was last heard; `true` when it is so drained.
    pub(super) fn charge(&self, ups: usize, now: Mono) -> Option<f64> {
        let (age, charge) = self.discharge(ups, now).charge.or_else(|| {
            let (then, charge) = self.watches[ups].charge.value()?;
            Some((now.since(then).as_secs_f64(), charge))
        })?;
        if !self.is_on_battery(ups) {
            return Some(charge);
        }
        let left = self.usable(ups, now);
        if left + age <= 0.0 {
            Some(charge)
        } else {
            Some(charge * left / (left + age))
        }
    }

    /// What a UPS gives its hosts now.
    fn supply(&self, ups: usize, now: Mono) -> Supply {
        match self.verdicts[ups] {
            Verdict::Mains | Verdict::Testing => Supply::Steady,
            Verdict::Battery if self.is_stale(ups, now) => Supply::Doubtful,
            Verdict::Battery => Supply::Draining(self.usable(ups, now)),
            Verdict::Suspected | Verdict::Unknown => Supply::Doubtful,
            Verdict::Bypass | Verdict::Off => Supply::Gone,
        }
    }

    /// Its last word was "on battery", but from before a restart of the machine, so nobody knows
    /// how long ago. A run that was under way goes on by it after the usual silence; a new run
    /// needs a fresh word.
    pub(super) fn is_stale(&self, ups: usize, now: Mono) -> bool {
        let waited = now >= self.watches[ups].contact_ends(self.config.ups[ups].contact_lost_after);
        let runs_on = waited && self.book.active_run().is_some();
        self.ledger(ups).is_some_and(|ledger| ledger.unheard) && !runs_on
    }

    /// What every point of the graph gives now, the UPSes first, the load counted that will move
    /// between them.
    pub(super) fn supplies(&self, now: Mono) -> Supplies {
        let own = self.own_supplies(now);
        self.spread(&own, &own, &BTreeSet::new(), now)
    }

    /// The same, had mains failed everywhere this moment: what the margin on a quiet day is.
    pub(super) fn supplies_without_mains(&self, now: Mono) -> Supplies {
        let own = self.own_supplies_without_mains(now);
        self.spread(&own, &self.ends_without_mains(&own), &BTreeSet::new(), now)
    }

    /// What every UPS would give by itself, had mains failed.
    pub(super) fn own_supplies_without_mains(&self, now: Mono) -> Vec<Supply> {
        let supplies = self.own_supplies(now).into_iter().enumerate();
        let fallen = supplies.map(|(ups, supply)| match supply {
            Supply::Steady if self.knows_battery(ups) => Supply::Draining(self.usable(ups, now)),
            Supply::Doubtful if self.is_suspected(ups) => Supply::Draining(self.usable(ups, now)),
            Supply::Steady => Supply::Doubtful,
            other => other,
        });
        fallen.collect()
    }

    /// When every UPS leaves its load to the others, had mains failed: one in bypass at once. Its
    /// load is still on it, so that the others do not show it yet.
    pub(super) fn ends_without_mains(&self, own: &[Supply]) -> Vec<Supply> {
        let verdicts = own.iter().zip(&self.verdicts);
        let ends = verdicts.map(|(supply, verdict)| match verdict {
            Verdict::Bypass => Supply::Doubtful,
            _ => *supply,
        });
        ends.collect()
    }

    /// From the UPSes to every point, of which `lost` give nothing. `ends` is when every UPS leaves
    /// its load to the others: when it ends, unless somebody asks what would be.
    pub(super) fn spread(
        &self,
        own: &[Supply],
        ends: &[Supply],
        lost: &BTreeSet<usize>,
        now: Mono,
    ) -> Supplies {
        self.through(&self.move_load(own, ends, now), lost, now)
    }

    /// From the UPSes to every point, of which `lost` give nothing; no load moves.
    pub(super) fn through(&self, ups: &[Supply], lost: &BTreeSet<usize>, now: Mono) -> Supplies {
        let graph = &self.config.graph;
        Supplies {
            said: graph.supplies(ups, &self.said, lost, now),
            bare: graph.supplies(ups, &Said::default(), lost, now),
        }
    }

    pub(super) fn own_supplies(&self, now: Mono) -> Vec<Supply> {
        (0..self.config.ups.len())
            .map(|ups| self.supply(ups, now))
            .collect()
    }

    /// Counts the load that moves.
    fn move_load(&self, supplies: &[Supply], ends: &[Supply], now: Mono) -> Vec<Supply> {
        let graph = &self.config.graph;
        let moved =
            supplies
                .iter()
                .enumerate()
                .zip(&self.config.ups)
                .map(|((at, supply), ups)| match supply {
                    Supply::Draining(secs) => {
                        let beside: Vec<Supply> = ups.beside.iter().map(|other| ends[*other]).collect();
                        let mut secs = feeds::with_moved_load(*secs, &beside);
                        let standby = ups.standby.iter();
                        let standby = standby.filter(|other| graph.hands_over(**other, at, &self.said, now));
                        for other in standby {
                            secs = feeds::with_standby_load(secs, ends[*other], self.growth(at, *other));
                        }
                        Supply::Draining(secs)
                    }
                    other => *other,
                });
        moved.collect()
    }

    /// What the load of a UPS grows to, as a multiple, when an ATS hands it that of another. Both
    /// tell their load in percent; UPSes at the two inputs of one ATS are taken for equals.
    fn growth(&self, ups: usize, other: usize) -> Option<f64> {
        let load = |ups: usize| self.watches[ups].facts().and_then(|facts| facts.load);
        let (own, other) = (load(ups)?, load(other)?);
        (own > 0.0 && other >= 0.0).then(|| (own + other) / own)
    }

    fn knows_battery(&self, ups: usize) -> bool {
        let watch = &self.watches[ups];
        watch.runtime.value().is_some() || watch.charge.value().is_some()
    }
}

/// How long a host has power.
pub(super) fn life(host: &HostConf, supplies: &Supplies) -> Life {
    let counted = supplies.of(host);
    let own = host
        .points
        .iter()
        .map(|point| match (counted[*point], supplies.bare[*point]) {
            // Doubt of a UPS is no supply that may be counted on. What a PDU has called off and is
            // silent about is no less than what it calls off.
            (Supply::Doubtful, bare) if bare != Supply::Doubtful => Supply::Gone,
            (supply, _) => supply,
        });
    feeds::life(&own.collect::<Vec<_>>(), host.need)
}

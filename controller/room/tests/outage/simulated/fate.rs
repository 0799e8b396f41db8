//! What happens to a random room, and when: mains, lies, silence, deaths, clock steps, lost outlets,
//! heat and water.

use super::{Dice, after, cast};
use crate::world::{Curve, Room};
use room::outage::{Input, Sight};
use std::collections::BTreeSet;

/// From mains back to the end of the simulation: longer than any stable time and any step.
const QUIET_END: u64 = 150_000;
/// A UPS that falls silent so soon after it lost mains may never have said so, in milliseconds.
const SAID_AFTER: u64 = 12_000;

/// What happens from outside.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Happens {
    Mains(usize, bool),
    Silent(usize, bool),
    Test(usize, bool),
    Freeze(usize),
    /// One reading says another charge and runtime.
    Glitch(usize, &'static str, &'static str),
    Says(usize, &'static str, String),
    Outlet(usize, String, bool),
    Dead(usize, bool),
    BranchSilent(usize, bool),
    Sign(String, Sight),
    Kill,
    Reboot,
    Act(bool),
    Clock(i64),
    Rehearse,
    /// A UPS cuts its load although mains is there, or switches it on again.
    Cut(usize, bool),
    /// The batteries are full again, as after a day.
    Recharged,
    /// A person switches a host off before anything begins.
    OffByHand(usize),
    /// A person orders something.
    Orders(after::Order),
}

impl Happens {
    /// Hosts may have less time after it than before.
    pub(super) const fn makes_it_worse(&self) -> bool {
        matches!(
            self,
            Self::Mains(_, false)
                | Self::Outlet(_, _, false)
                | Self::Dead(_, true)
                | Self::Cut(_, true)
                | Self::Orders(after::Order::Started)
        )
    }

    /// Less is known after it than before.
    pub(super) const fn hides_something(&self) -> bool {
        matches!(self, Self::Silent(_, true))
    }
}

/// A room and its fate.
pub(super) struct Fate {
    pub(super) room: Room,
    /// In order of time.
    pub(super) events: Vec<(u64, Happens)>,
    pub(super) end: u64,
    pub(super) mains_fail: bool,
    pub(super) reboots: bool,
    /// A UPS may be silent when mains fails, so that nobody can know.
    pub(super) blind: bool,
    /// No UPS lies beyond a glitch of one poll.
    pub(super) honest: bool,
    /// Length of the only outage, in seconds.
    pub(super) only_outage: Option<f64>,
    /// PDUs and ATSes that break, or whose outlets are switched off.
    pub(super) cut: BTreeSet<String>,
    /// UPSes whose gauge is stuck.
    pub(super) stuck: BTreeSet<usize>,
    /// Heat or water may demand something.
    pub(super) endangered: bool,
    /// A person orders a run or a drill.
    pub(super) ordered: bool,
    /// UPSes that cut their load once.
    pub(super) raced: BTreeSet<usize>,
    /// Hosts that come up within their time, whenever they are told to.
    pub(super) quick: BTreeSet<String>,
    /// The batteries were full again in the end.
    pub(super) recharged: bool,
}

/// A room with its hosts, its UPSes and what will happen to them.
pub(super) fn cast(dice: &mut Dice, later: &mut Dice, quiet: bool) -> Fate {
    let mut room = cast::room(dice, later);
    room.quiet = quiet;
    let all = room.ups.len();
    let mut events = Vec::new();
    let begins = dice.between(30, 60) * 1_000;
    let pattern = dice.between(0, 9);
    let lasts = if pattern == 6 {
        dice.between(2, 60)
    } else {
        dice.between(60, 900)
    } * 1_000;
    let ends = match pattern {
        0 | 1 => begins + 300_000,
        2..=6 => outage(&mut events, 0..all, begins, lasts, dice),
        7 => {
            let only = dice.between(0, all as u64 - 1) as usize;
            outage(&mut events, only..only + 1, begins, lasts, dice)
        }
        8 => flapping(&mut events, all, begins, dice),
        _ => {
            let first = outage(&mut events, 0..all, begins, dice.between(20, 200) * 1_000, dice);
            let pause = dice.between(5, 90) * 1_000;
            let lasts = dice.between(20, 400) * 1_000;
            outage(&mut events, 0..all, first + pause, lasts, dice)
        }
    };
    let mains_fail = pattern >= 2;
    let mut fate = Fate {
        room,
        events,
        end: ends,
        mains_fail,
        reboots: false,
        blind: false,
        honest: true,
        only_outage: (2..=7).contains(&pattern).then(|| lasts as f64 / 1000.0 + 60.0),
        cut: BTreeSet::new(),
        stuck: BTreeSet::new(),
        endangered: false,
        ordered: false,
        raced: BTreeSet::new(),
        quick: BTreeSet::new(),
        recharged: false,
    };
    let span = Span { begins, ends };
    fate.ups_faults(span, dice);
    fate.branch_faults(span, dice);
    fate.controller_faults(span, dice);
    fate.signs(span, dice);
    fate.end += QUIET_END;
    after::befall(&mut fate, span, later);
    fate.events.sort_by_key(|(at, _)| *at);
    fate
}

/// From the first loss of mains to its last return, in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) begins: u64,
    pub(super) ends: u64,
}

/// Mains fails at about the same time on some UPSes, and is back at about the same time.
pub(super) fn outage(
    events: &mut Vec<(u64, Happens)>,
    ups: std::ops::Range<usize>,
    begins: u64,
    lasts: u64,
    dice: &mut Dice,
) -> u64 {
    let staggered = dice.chance(30);
    let mut last = begins + lasts;
    for ups in ups {
        let lag = if staggered { dice.between(0, 60_000) } else { 0 };
        events.push((begins + lag, Happens::Mains(ups, false)));
        events.push((begins + lasts + lag, Happens::Mains(ups, true)));
        last = last.max(begins + lasts + lag);
    }
    last
}

fn flapping(events: &mut Vec<(u64, Happens)>, all: usize, begins: u64, dice: &mut Dice) -> u64 {
    let mut at = begins;
    for _ in 0..dice.between(3, 12) {
        for there in [false, true] {
            events.extend((0..all).map(|ups| (at, Happens::Mains(ups, there))));
            at += dice.between(2, 20) * 1_000;
        }
    }
    at
}

impl Fate {
    pub(super) fn at(&mut self, at: u64, event: Happens) {
        self.events.push((at, event));
    }

    /// Lies and silence.
    fn ups_faults(&mut self, span: Span, dice: &mut Dice) {
        for ups in 0..self.room.ups.len() {
            self.honest &= self.room.ups[ups].curve == Curve::STRAIGHT;
            if dice.chance(40) {
                // A lie about the charge on top of an odd battery would leave nothing to go by.
                self.room.ups[ups].curve = Curve::STRAIGHT;
                self.honest &= self.lie(ups, span, dice);
            }
            if dice.chance(25) {
                let at = dice.between(5_000, span.ends + 20_000);
                let until = at + dice.between(3, 120) * 1_000;
                let until = until.min(span.ends + 40_000).max(at + 1);
                self.at(at, Happens::Silent(ups, true));
                self.at(until, Happens::Silent(ups, false));
                let unsaid = |(lost, event): &(u64, Happens)| {
                    *event == Happens::Mains(ups, false) && at < lost + SAID_AFTER && *lost < until
                };
                self.blind |= self.events.iter().any(unsaid);
            }
        }
    }

    /// One UPS lies in one way, as real ones were seen to. True when it is a glitch only.
    fn lie(&mut self, ups: usize, span: Span, dice: &mut Dice) -> bool {
        let Span { begins, ends } = span;
        let mut says = |fact: &'static str, word: &'static str| {
            self.room.ups[ups].says.insert(fact.into(), word.into());
        };
        match dice.between(0, if self.mains_fail { 12 } else { 17 }) {
            0 => says("battery.charge", "100"),
            1 => says("battery.charge", "-"),
            2 => says("battery.runtime", "0"),
            3 => says("battery.runtime", "4294967295"),
            4 => says("input.voltage", "-"),
            5 => says("battery.time_on", "77"),
            6 => says("battery.time_on", "-"),
            7 => says("ups.test.result", "running"),
            8 => {
                self.at(dice.between(5_000, begins + 30_000), Happens::Freeze(ups));
                self.stuck.insert(ups);
            }
            9 | 10 => {
                self.at(dice.between(begins, ends), Happens::Glitch(ups, "0", "1"));
                return true;
            }
            11 => {
                self.at(dice.between(begins, ends), Happens::Glitch(ups, "100", "9999"));
                return true;
            }
            12 => {
                // The charge rises while it drains.
                for step in 0..10 {
                    let says = Happens::Says(ups, "battery.charge", (50 + step * 5).to_string());
                    self.at(begins + 10_000 + step * 9_000, says);
                }
            }
            13 => says("input.voltage", "0"),
            14 => says("output.source", "battery"),
            15 => {
                says("output.source", "battery");
                says("input.voltage", "-");
            }
            16 => says("battery.status", "low"),
            _ => {
                let at = dice.between(5_000, begins);
                self.at(at, Happens::Test(ups, true));
                self.at(at + dice.between(5, 240) * 1_000, Happens::Test(ups, false));
            }
        }
        false
    }

    /// Outlets that are switched off, boxes that lose their input or fall silent.
    fn branch_faults(&mut self, span: Span, dice: &mut Dice) {
        for at in 0..self.room.branchings.len() {
            let name = self.room.branchings[at].name.clone();
            if dice.chance(15) {
                let outlet = dice.between(1, 4).to_string();
                let begins = dice.between(5_000, span.ends);
                self.at(begins, Happens::Outlet(at, outlet.clone(), false));
                self.at(
                    begins + dice.between(5, 200) * 1_000,
                    Happens::Outlet(at, outlet, true),
                );
                self.cut.insert(name.clone());
            }
            if dice.chance(8) {
                let begins = dice.between(5_000, span.ends);
                self.at(begins, Happens::Dead(at, true));
                self.at(begins + dice.between(5, 200) * 1_000, Happens::Dead(at, false));
                self.cut.insert(name);
            }
            if dice.chance(15) {
                let begins = dice.between(5_000, span.ends);
                self.at(begins, Happens::BranchSilent(at, true));
                self.at(
                    begins + dice.between(3, 200) * 1_000,
                    Happens::BranchSilent(at, false),
                );
            }
        }
    }

    /// Deaths, restarts, an absent `act`, clock steps, a rehearsal.
    fn controller_faults(&mut self, span: Span, dice: &mut Dice) {
        for _ in 0..dice.between(0, 3) {
            self.room.orphan_orders_arrive = dice.chance(50);
            if dice.chance(50) {
                self.room.crash_at = Some(dice.between(2, 30) as usize);
            } else {
                self.at(dice.between(2_000, span.ends + 20_000), Happens::Kill);
            }
        }
        if dice.chance(15) {
            let at = dice.between(10_000, span.ends);
            self.at(at, Happens::Act(false));
            self.at(at + dice.between(500, 5_000), Happens::Act(true));
        }
        for _ in 0..dice.between(0, 3) {
            let step = [60_000, -3_600_000, 315_360_000_000, -315_360_000_000][dice.between(0, 3) as usize];
            self.at(dice.between(2_000, span.ends), Happens::Clock(step));
        }
        if dice.chance(20) {
            self.at(dice.between(2_000, span.begins), Happens::Rehearse);
        }
        if dice.chance(6) {
            let at = dice.between(span.begins, span.ends + 10_000);
            self.at(at, Happens::Reboot);
            self.end = self.end.max(at + crate::world::REBOOT_TAKES);
            self.reboots = true;
        }
    }

    /// The signs of a rule come, go and are lost; in the end all of them are read and gone.
    fn signs(&mut self, span: Span, dice: &mut Dice) {
        let rules = &self.room.site.outage.as_ref().expect("a policy").rules;
        let names: Vec<String> = rules
            .iter()
            .flat_map(|rule| rule.signs.iter().map(|sign| sign.name.clone()))
            .collect();
        // Lost sensors alone must do nothing, so every other room has no other signs than these.
        let holds = dice.chance(50);
        for name in names {
            for _ in 0..dice.between(1, 4) {
                let sight = match dice.between(0, 3) {
                    0 | 1 if holds => Sight::Holds,
                    0 | 2 => Sight::Unknown,
                    _ => Sight::Absent,
                };
                self.endangered |= sight == Sight::Holds;
                self.at(dice.between(2_000, span.ends), Happens::Sign(name.clone(), sight));
            }
            self.at(span.ends + 1_000, Happens::Sign(name, Sight::Absent));
        }
    }
}

pub(super) fn befall(room: &mut Room, event: Happens) {
    match event {
        Happens::Mains(ups, there) => room.ups[ups].mains = there,
        Happens::Silent(ups, silent) => room.ups[ups].silent = silent,
        Happens::Test(ups, runs) => room.ups[ups].testing = runs,
        Happens::Freeze(ups) => room.freeze(ups),
        Happens::Glitch(ups, charge, runtime) => {
            for (fact, says) in [("battery.charge", charge), ("battery.runtime", runtime)] {
                room.ups[ups].once.insert(fact.into(), says.into());
            }
        }
        Happens::Says(ups, fact, word) => {
            room.ups[ups].says.insert(fact.into(), word);
        }
        Happens::Outlet(at, outlet, true) => {
            room.branchings[at].off.remove(&outlet);
        }
        Happens::Outlet(at, outlet, false) => {
            room.branchings[at].off.insert(outlet);
        }
        Happens::Dead(at, dead) => room.branchings[at].dead = dead,
        Happens::BranchSilent(at, silent) => room.branchings[at].silent = silent,
        Happens::Sign(name, sight) => room.set_sign(&name, sight),
        Happens::Kill => room.kill(false),
        Happens::Reboot => room.kill(true),
        Happens::Act(true) => room.connect_act(),
        Happens::Act(false) => room.lose_act(),
        Happens::Clock(step) => room.wall_step += step,
        Happens::Cut(ups, cut) => room.ups[ups].cut = cut,
        Happens::Recharged => {
            for ups in &mut room.ups {
                ups.energy = ups.full;
            }
        }
        Happens::OffByHand(host) => after::switch_off(room, host),
        Happens::Orders(order) => after::order(room, order),
        Happens::Rehearse => room.tell(Input::Rehearse { by: "Sato".into() }),
    }
}

//! Replay: what today's plan would have done in an outage that happened.
//!
//! The outage is read from the journal: when each UPS went to its battery, how its level fell, when
//! contact was lost and found, when mains came back. Between two recorded levels the battery falls in
//! a straight line, behind the last one it goes on as the UPS promised there. A fresh engine with
//! today's plan hears that, and its orders go to hosts that take as long as they were measured to, or
//! their budget. Nothing leaves this file: there is no act, no journal, no clock.
//!
//! ```text
//! records of an outage -> Story (one battery a UPS) -> readings -> fresh Outage -> orders
//!                                                        ^                          |
//!                                                        +---- simulated hosts <----+ -> Report
//! ```
//! Levels behind the first stop of that day are those of a relieved battery and are left out: from
//! there it goes on as if every host still ran. A UPS of which the records say nothing counts as on mains.
//! What the plan would have had if mains had not come back is asked with `without_return`.

use super::judge::life;
use super::learnt::ENOUGH;
use super::record::{Outcome, Record, Verb};
use super::{Act, Do, Input, Order, Outage, SHORTEST_WAKE, Said, Turn};
use crate::device::{Fact, FactValue, Poll, PollFailure, Reading};
use crate::power::Verdict as Power;
use crate::power::battery::ASSUMED_FULL_RUNTIME;
use crate::power::feeds::{Life, Supply};
use crate::power::watch::Watch;
use crate::site::Label;
use crate::time::{Millis, Mono, Now, Wall};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use utoipa::ToSchema;

/// Outages that are kept track of.
pub const MAX_OUTAGES: usize = 100;
/// Records of one outage that are read.
pub const MAX_RECORDS: usize = 100_000;
/// Longest replay.
pub const LONGEST: Millis = Millis::from_secs(24 * 3600);
/// Mains is watched for so long before the outage begins, so that the engine knows what it loses.
const LEAD: u64 = 10_000;
/// From an order to the target's answer, when the step is longer.
const ANSWERS_AFTER: u64 = 500;

/// An outage of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RecordedOutage)]
pub struct Place {
    /// Counts up with every outage of this journal.
    pub outage: u64,
    /// First record.
    pub first_seq: u64,
    /// Last record; 0 while it goes on.
    pub last_seq: u64,
    /// Milliseconds since 1970 UTC.
    pub began_ms: i64,
    /// Milliseconds since 1970 UTC; 0 while it goes on.
    pub ended_ms: i64,
}

/// Where the outages of a journal are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    places: Vec<Place>,
    count: u64,
}

impl Places {
    /// The next record of the power.
    pub fn read(&mut self, seq: u64, at: Wall, record: &Record) {
        let open = self.places.last().is_some_and(|place| place.last_seq == 0);
        match record {
            Record::MainsLost { .. } if !open => {
                self.count += 1;
                if self.places.len() == MAX_OUTAGES {
                    self.places.remove(0);
                }
                self.places.push(Place {
                    outage: self.count,
                    first_seq: seq,
                    last_seq: 0,
                    began_ms: at.0,
                    ended_ms: 0,
                });
            }
            Record::OutageOver if open => {
                if let Some(place) = self.places.last_mut() {
                    (place.last_seq, place.ended_ms) = (seq, at.0);
                }
            }
            _ => {}
        }
    }

    /// The outages, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().rev()
    }

    /// One of them; the newest when none is named.
    #[must_use]
    pub fn find(&self, outage: Option<u64>) -> Option<Place> {
        match outage {
            None => self.places.last(),
            Some(wanted) => self.places.iter().find(|place| place.outage == wanted),
        }
        .copied()
    }
}

/// How an outage ended for the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fits {
    /// No step would have begun: the batteries carried it.
    NotNeeded,
    /// Every host that would have lost its power was stopped before.
    Yes,
    /// Some host would have lost its power while it ran.
    No,
}

/// One host of a replay. Times are seconds since the outage began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplayStep {
    /// Host.
    pub id: String,
    /// Shown name.
    pub label: Label,
    /// When its step would start; `null` for never.
    pub starts_s: Option<f64>,
    /// When it would be stopped.
    pub ends_s: Option<f64>,
    /// What it takes.
    pub takes_s: f64,
    /// True when that was measured, false when it is the budget.
    pub measured: bool,
    /// When it would lose its power; `null` when it keeps it.
    pub power_until_s: Option<f64>,
    /// From its end to the loss of its power; negative: it falls. `null` when it keeps its power.
    pub margin_s: Option<f64>,
}

/// The battery of one UPS. Times are seconds since the outage began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplayBattery {
    /// UPS.
    pub ups: String,
    /// When it went to its battery; `null` when it did not.
    pub lost_s: Option<f64>,
    /// When mains came back for good; `null` when it did not.
    pub back_s: Option<f64>,
    /// When the battery would be empty; `null` when mains came back before.
    pub empty_s: Option<f64>,
    /// True when the records hold neither charge nor runtime and a runtime is assumed.
    pub assumed: bool,
}

/// What today's plan would have done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = OutageReplay)]
pub struct Report {
    /// Number of the outage.
    pub outage: u64,
    /// Milliseconds since 1970 UTC.
    pub began_ms: i64,
    /// Mains did not come back in this replay.
    pub without_return: bool,
    /// The outage goes on in the records.
    pub open: bool,
    /// Hash of today's plan.
    pub plan_hash: String,
    /// When it would have started, seconds since the outage began.
    pub starts_s: Option<f64>,
    /// Why then.
    pub because: Option<Label>,
    /// The batteries.
    pub batteries: Vec<ReplayBattery>,
    /// The hosts, in the order of the plan.
    pub steps: Vec<ReplayStep>,
    /// The least margin of all hosts.
    pub margin_s: Option<f64>,
    /// How it ends.
    pub fits: Fits,
}

/// A fresh engine with today's plan, and hosts that take their time.
#[derive(Debug, Clone)]
pub struct Stage {
    engine: Outage,
}

impl Outage {
    /// Today's plan, to be tried on an outage of the past.
    #[must_use]
    pub fn stage(&self) -> Stage {
        let mut engine = self.clone();
        let learnt = std::mem::take(&mut engine.book.learnt);
        engine.book = super::Book::default();
        engine.book.learnt = learnt;
        engine.watches.fill(Watch::new(Mono(0)));
        engine.verdicts.fill(Power::Unknown);
        engine.said = Said::default();
        engine.signs = super::policy::Signs::default();
        engine.act = Act::Gone;
        engine.lost.clear();
        engine.relieved_since = None;
        engine.fast = false;
        engine.heard_now = None;
        engine.now = Mono(0);
        let slots = engine.slots();
        for (host, slot) in engine.config.hosts.iter_mut().zip(slots) {
            host.slot = slot;
        }
        Stage { engine }
    }
}

/// What a UPS was seen to do.
#[derive(Debug, Clone, Default)]
struct Story {
    /// Milliseconds since the outage began, and what was so from then on.
    turns: Vec<(u64, Seen)>,
    /// Levels were left out because hosts had been stopped by then.
    relieved: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Seen {
    Battery(Level),
    Mains,
    /// On bypass or off: it supplies nobody.
    Gone,
    Silent,
    Answers,
}

/// Percent and seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Level {
    charge: Option<f64>,
    runtime: Option<f64>,
}

impl Level {
    /// On the line from this level to the next one.
    fn toward(self, next: Self, share: f64) -> Self {
        let between = |from: Option<f64>, to: Option<f64>| match (from, to) {
            (Some(from), Some(to)) => Some(from + (to - from) * share),
            (from, _) => from,
        };
        Self {
            charge: between(self.charge, next.charge),
            runtime: between(self.runtime, next.runtime),
        }
    }

    /// Seconds that it lasts, and whether that is only assumed.
    fn lasts(self) -> (f64, bool) {
        match (self.runtime, self.charge) {
            (Some(runtime), _) => (runtime, false),
            (None, Some(charge)) => (charge / 100.0 * ASSUMED_FULL_RUNTIME, true),
            (None, None) => (ASSUMED_FULL_RUNTIME, true),
        }
    }

    /// So many seconds later, draining as promised.
    fn drained(self, secs: f64) -> Self {
        let (lasts, _) = self.lasts();
        let left = if lasts > 0.0 {
            (1.0 - secs / lasts).max(0.0)
        } else {
            0.0
        };
        Self {
            charge: self.charge.map(|charge| charge * left),
            runtime: self.runtime.map(|runtime| (runtime - secs).max(0.0)),
        }
    }
}

impl Story {
    fn lost(&self) -> Option<u64> {
        let lost = self
            .turns
            .iter()
            .find(|(_, seen)| matches!(seen, Seen::Battery(_)));
        lost.map(|(at, _)| *at)
    }

    /// When mains came back and did not go again.
    fn back(&self) -> Option<u64> {
        let power = self.turns.iter().rev();
        let mut power = power.filter(|(_, seen)| !matches!(seen, Seen::Silent | Seen::Answers));
        match power.next()? {
            (at, Seen::Mains) => Some(*at),
            _ => None,
        }
    }

    /// The level at a moment; `None` while on mains.
    fn level(&self, at: u64) -> Option<Level> {
        let mut last = None;
        for (index, (when, seen)) in self.turns.iter().enumerate() {
            if *when > at {
                break;
            }
            match seen {
                Seen::Battery(level) => last = Some((index, *when, *level)),
                Seen::Mains | Seen::Gone => last = None,
                Seen::Silent | Seen::Answers => {}
            }
        }
        let (index, when, level) = last?;
        let next = self.turns[index + 1..]
            .iter()
            .find_map(|(then, seen)| match seen {
                Seen::Battery(next) => Some(Some((*then, *next))),
                Seen::Mains | Seen::Gone => Some(None),
                Seen::Silent | Seen::Answers => None,
            });
        let secs = |millis: u64| Millis(millis).as_secs_f64();
        Some(match next.flatten() {
            Some((then, next)) if then > when => level.toward(next, secs(at - when) / secs(then - when)),
            _ => level.drained(secs(at.saturating_sub(when))),
        })
    }

    /// It supplied nobody at this moment.
    fn is_gone(&self, at: u64) -> bool {
        let power = self.turns.iter().rev().filter(|(when, _)| *when <= at);
        let mut power = power.filter(|(_, seen)| !matches!(seen, Seen::Silent | Seen::Answers));
        matches!(power.next(), Some((_, Seen::Gone)))
    }

    fn is_silent(&self, at: u64) -> bool {
        let said = self.turns.iter().rev().filter(|(when, _)| *when <= at);
        let mut said = said.filter(|(_, seen)| matches!(seen, Seen::Silent | Seen::Answers));
        matches!(said.next(), Some((_, Seen::Silent)))
    }

    /// When the battery is empty, in seconds, and whether that is only assumed. A battery that mains
    /// came back to in time was not empty, unless only its relief made it last so long.
    fn empty(&self) -> Option<(f64, bool)> {
        let mut last: Option<(u64, Level)> = None;
        let mut gone: Option<(f64, bool)> = None;
        for (at, seen) in &self.turns {
            match seen {
                Seen::Battery(level) => (last, gone) = (Some((*at, *level)), None),
                Seen::Gone => (last, gone) = (None, Some((Millis(*at).as_secs_f64(), false))),
                Seen::Mains => {
                    gone = None;
                    let ended = last.take().map(|(then, level)| ends(then, level));
                    let back = Millis(*at).as_secs_f64();
                    if let Some(ended) = ended.filter(|(end, _)| self.relieved && *end < back) {
                        return Some(ended);
                    }
                }
                Seen::Silent | Seen::Answers => {}
            }
        }
        gone.or_else(|| last.map(|(then, level)| ends(then, level)))
    }
}

fn ends(at: u64, level: Level) -> (f64, bool) {
    let (lasts, assumed) = level.lasts();
    (Millis(at).as_secs_f64() + lasts, assumed)
}

/// The stories of all UPSes, by the records of an outage.
fn stories(records: &[(Now, Record)], without_return: bool) -> BTreeMap<String, Story> {
    let mut stories: BTreeMap<String, Story> = BTreeMap::new();
    let Some((first, _)) = records.first() else {
        return stories;
    };
    let (mut at, mut before) = (0_u64, *first);
    let mut relieved = false;
    for (now, record) in records {
        let rebooted = matches!(record, Record::PowerRestarted { same_boot: false });
        at = at.saturating_add(if rebooted {
            // The monotonic clock began anew; the wall clock bridges the gap, never backwards.
            let passed = now.wall.0.saturating_sub(before.wall.0);
            u64::try_from(passed)
                .unwrap_or(0)
                .max(super::book::REBOOT_TAKES.0)
        } else {
            now.mono.since(before.mono).0
        });
        before = *now;
        let (ups, seen) = match record {
            Record::MainsLost {
                ups,
                charge_percent,
                runtime_s,
                ..
            }
            | Record::BatteryLevel {
                ups,
                charge_percent,
                runtime_s,
            } => {
                let level = Level {
                    charge: *charge_percent,
                    runtime: *runtime_s,
                };
                (ups, Seen::Battery(level))
            }
            Record::MainsBack { ups, source, .. } => match source.as_str() {
                "bypass" | "off" => (ups, Seen::Gone),
                _ => (ups, Seen::Mains),
            },
            Record::ContactLost { ups, .. } => (ups, Seen::Silent),
            Record::ContactFound { ups } => (ups, Seen::Answers),
            Record::StepConfirmed { .. } => {
                relieved = true;
                continue;
            }
            _ => continue,
        };
        let story = stories.entry(ups.clone()).or_default();
        if relieved && matches!(record, Record::BatteryLevel { .. }) {
            story.relieved = true;
            continue;
        }
        // Levels behind the first return are those of a relieved battery: they say nothing here.
        let ends = |seen: &Seen| matches!(seen, Seen::Mains | Seen::Gone);
        let returned = without_return && story.turns.iter().any(|(_, seen)| ends(seen));
        if !returned {
            story.turns.push((at, seen));
        }
    }
    if without_return {
        for story in stories.values_mut() {
            story
                .turns
                .retain(|(_, seen)| !matches!(seen, Seen::Mains | Seen::Gone));
        }
    }
    stories
}

/// A replay under way.
struct Play {
    engine: Outage,
    stories: BTreeMap<String, Story>,
    /// Milliseconds since the outage began, [`LEAD`] added.
    at: u64,
    /// What hosts will report, and when.
    jobs: Vec<(u64, Order, Outcome)>,
    /// Of each host: when its step started, when it was stopped.
    started: BTreeMap<String, u64>,
    stopped: BTreeMap<String, u64>,
    begun: Option<(u64, Label)>,
}

impl Stage {
    /// Plays an outage. `records` are those of the power from its first to its last.
    #[must_use]
    pub fn play(&self, place: &Place, records: &[(Now, Record)], without_return: bool) -> Report {
        let mut play = Play {
            engine: self.engine.clone(),
            stories: stories(records, without_return),
            at: 0,
            jobs: Vec::new(),
            started: BTreeMap::new(),
            stopped: BTreeMap::new(),
            begun: None,
        };
        play.run();
        play.report(place, without_return)
    }
}

impl Play {
    fn now(&self) -> Now {
        Now {
            mono: Mono(self.at),
            wall: Wall(0),
        }
    }

    fn run(&mut self) {
        self.tell(Input::Restarted { same_boot: true });
        let plan_hash = self.engine.plan().hash().to_owned();
        self.tell(Input::ActReady { plan_hash });
        let end = self.horizon();
        let mut polls: Vec<u64> = vec![0; self.engine.config.ups.len()];
        while self.at < end {
            let wake = self.engine.next_deadline().map(|wake| wake.0);
            let job = self.jobs.iter().map(|(at, _, _)| *at).min();
            let next = polls.iter().copied().chain(wake).chain(job).min().unwrap_or(end);
            self.at = next.max(self.at).min(end);
            for (ups, poll) in polls.iter_mut().enumerate() {
                if *poll <= self.at {
                    *poll = self.at + self.engine.config.ups[ups].poll_on_battery.0.max(SHORTEST_WAKE.0);
                    self.poll(ups);
                }
            }
            let due: Vec<_> = self.jobs.extract_if(.., |(at, _, _)| *at <= self.at).collect();
            for (_, order, outcome) in due {
                if outcome == Outcome::Confirmed {
                    self.stopped.entry(order.step.clone()).or_insert(self.at);
                }
                self.tell(Input::Outcome { order, outcome });
            }
            if wake.is_some_and(|wake| wake <= self.at) {
                self.tell(Input::Tick);
            }
        }
    }

    /// Until mains is stable or the last battery is empty, and every step has had its time.
    fn horizon(&self) -> u64 {
        let plan = self.engine.plan().length().0;
        let ends = self.stories.values().map(|story| {
            let last = story.turns.last().map_or(0, |(at, _)| *at);
            let empty = story.empty().map_or(0, |(secs, _)| millis(secs));
            last.max(empty)
        });
        let stable = self
            .engine
            .config
            .policy
            .as_ref()
            .map_or(0, |policy| policy.mains_stable.0);
        let end = ends
            .max()
            .unwrap_or(0)
            .saturating_add(plan)
            .saturating_add(stable);
        end.min(LONGEST.0).saturating_add(LEAD)
    }

    fn poll(&mut self, ups: usize) {
        let device = self.engine.config.ups[ups].name.clone();
        let result = if self.at < LEAD {
            Ok(reading("mains", None))
        } else {
            let at = self.at - LEAD;
            match self.stories.get(&device) {
                Some(story) if story.is_silent(at) => Err(PollFailure::Timeout),
                Some(story) if story.is_gone(at) => Ok(reading("bypass", None)),
                story => {
                    let level = story.and_then(|story| story.level(at));
                    Ok(reading(if level.is_some() { "battery" } else { "mains" }, level))
                }
            }
        };
        let poll = Poll {
            device,
            asked: Mono(self.at),
            answered: Mono(self.at),
            result,
        };
        self.tell(Input::Poll(&poll));
    }

    fn tell(&mut self, input: Input<'_>) {
        let turn = self.engine.handle(self.now(), input);
        self.take(turn);
    }

    fn take(&mut self, turn: Turn) {
        for record in &turn.records {
            if let Record::RunStarted { because, .. } = record {
                self.begun.get_or_insert_with(|| (self.at, because.clone()));
            }
        }
        for effect in turn.effects {
            match effect {
                Do::Execute(order) if order.order().verb == Verb::Stop => {
                    let order = order.into_order();
                    let takes = self.takes(&order.step).0;
                    self.started.entry(order.step.clone()).or_insert(self.at);
                    self.jobs.push((
                        self.at + ANSWERS_AFTER.min(takes / 2),
                        order.clone(),
                        Outcome::Requested,
                    ));
                    self.jobs.push((self.at + takes, order, Outcome::Confirmed));
                }
                Do::Cancel(order) => {
                    self.jobs
                        .retain(|(_, job, _)| (job.run, &job.step) != (order.run, &order.step));
                }
                _ => {}
            }
        }
    }

    /// How long a host takes: its p95 when it was measured often enough, else its budget, less the
    /// moment in which it would be given up.
    fn takes(&self, host: &str) -> Millis {
        let budget = self
            .engine
            .plan()
            .step(host)
            .map_or(Millis(0), |step| step.budget);
        let within = Millis(budget.0.saturating_sub(SHORTEST_WAKE.0));
        match self.measured(host) {
            Some(p95) => p95.min(within),
            None => within,
        }
    }

    fn measured(&self, host: &str) -> Option<Millis> {
        let known = self.engine.book.learnt.of(host, Verb::Stop);
        known.filter(|known| known.count >= ENOUGH).map(|known| known.p95)
    }

    fn report(self, place: &Place, without_return: bool) -> Report {
        let secs = |at: u64| Millis(at.saturating_sub(LEAD)).as_secs_f64();
        let ups = self.engine.config.ups.iter();
        let batteries: Vec<ReplayBattery> = ups
            .map(|ups| {
                let story = self.stories.get(&ups.name);
                let empty = story.and_then(Story::empty);
                let offset = |at: Option<u64>| at.map(|at| Millis(at).as_secs_f64());
                ReplayBattery {
                    ups: ups.name.clone(),
                    lost_s: offset(story.and_then(Story::lost)),
                    back_s: offset(story.and_then(Story::back)),
                    empty_s: empty.map(|(secs, _)| secs),
                    assumed: empty.is_some_and(|(_, assumed)| assumed),
                }
            })
            .collect();
        // From the outage's beginning, with today's wiring.
        let own: Vec<Supply> = batteries
            .iter()
            .map(|battery| battery.empty_s.map_or(Supply::Steady, Supply::Draining))
            .collect();
        let conf = &self.engine.config;
        let supplies = self.engine.through(&own, &BTreeSet::new(), Mono(self.at));
        let plan = self.engine.plan().steps().iter().zip(&conf.hosts);
        let steps: Vec<ReplayStep> = plan
            .map(|(step, host)| {
                let until = match life(host, &supplies) {
                    Life::Until(secs) => Some(secs),
                    _ => None,
                };
                let ends = self.stopped.get(&step.id).map(|at| secs(*at));
                ReplayStep {
                    id: step.id.clone(),
                    label: step.label.clone(),
                    starts_s: self.started.get(&step.id).map(|at| secs(*at)),
                    ends_s: ends,
                    takes_s: self.takes(&step.id).as_secs_f64(),
                    measured: self.measured(&step.id).is_some(),
                    power_until_s: until,
                    margin_s: until.map(|until| ends.map_or(f64::MIN, |ends| until - ends)),
                }
            })
            .collect();
        let falls = |step: &ReplayStep| match (step.power_until_s, step.ends_s) {
            (Some(until), Some(ends)) => ends > until,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let fits = if steps.iter().any(falls) {
            Fits::No
        } else if self.begun.is_none() {
            Fits::NotNeeded
        } else {
            Fits::Yes
        };
        let steps: Vec<ReplayStep> = steps
            .into_iter()
            .map(|step| ReplayStep {
                margin_s: step.margin_s.filter(|_| step.ends_s.is_some()),
                ..step
            })
            .collect();
        Report {
            outage: place.outage,
            began_ms: place.began_ms,
            without_return,
            open: place.last_seq == 0,
            plan_hash: self.engine.plan().hash().into(),
            starts_s: self.begun.as_ref().map(|(at, _)| secs(*at)),
            because: self.begun.map(|(_, because)| because),
            margin_s: steps
                .iter()
                .filter_map(|step| step.margin_s)
                .min_by(f64::total_cmp),
            batteries,
            steps,
            fits,
        }
    }
}

impl Report {
    /// As text, in both languages.
    #[must_use]
    pub fn words(&self) -> String {
        let clock = |secs: Option<f64>| secs.map_or("-".to_owned(), |secs| format!("{secs:.1}"));
        let mut text = String::new();
        for battery in &self.batteries {
            let end = match (battery.lost_s, battery.back_s, battery.empty_s) {
                (None, ..) => "商用電源のまま stays on mains".to_owned(),
                (Some(lost), Some(back), _) => {
                    format!("停電 lost {lost:.1} s, 復電 back {back:.1} s")
                }
                (Some(lost), None, empty) => {
                    let assumed = if battery.assumed {
                        "（仮定 assumed）"
                    } else {
                        ""
                    };
                    format!(
                        "停電 lost {lost:.1} s, 電池切れ empty {} s{assumed}",
                        clock(empty)
                    )
                }
            };
            let _ = writeln!(text, "{}: {end}", battery.ups);
        }
        match (self.starts_s, &self.because) {
            (Some(starts), Some(because)) => {
                let _ = writeln!(
                    text,
                    "計画の開始 plan starts {starts:.1} s: {} / {}",
                    because.ja, because.en
                );
            }
            _ => text.push_str("計画は始まらない the plan does not start\n"),
        }
        for step in &self.steps {
            let measured = if step.measured {
                "実測 measured"
            } else {
                "予算 budget"
            };
            let _ = writeln!(
                text,
                "  {}: 開始 start {}, 終了 end {}, 所要 takes {:.1} ({measured}), 給電 power until {}, 余裕 margin {}",
                step.id,
                clock(step.starts_s),
                clock(step.ends_s),
                step.takes_s,
                clock(step.power_until_s),
                clock(step.margin_s),
            );
        }
        text.push_str(match self.fits {
            Fits::NotNeeded => "判定 verdict: 停止の必要なし; the batteries carried it\n",
            Fits::Yes => "判定 verdict: 間に合う; it fits\n",
            Fits::No => "判定 verdict: 間に合わない; IT DOES NOT FIT\n",
        });
        text
    }
}

fn millis(secs: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "float to int casts saturate"
    )]
    let millis = (secs.max(0.0) * 1000.0) as u64;
    millis
}

/// What a UPS answers, on its battery with this level.
fn reading(source: &str, level: Option<Level>) -> Reading {
    let fact = |name: &str, value: FactValue, unit: &'static str| Fact {
        name: name.into(),
        value: Ok(value),
        unit,
        at: String::new(),
        label: None,
        raw: String::new(),
    };
    let voltage = if level.is_some() { 0.0 } else { 100.0 };
    let mut facts = vec![
        fact("output.source", FactValue::State(source.into()), ""),
        fact("input.voltage", FactValue::Number(voltage), "V"),
    ];
    if let Some(charge) = level.and_then(|level| level.charge) {
        facts.push(fact("battery.charge", FactValue::Number(charge), "%"));
    }
    if let Some(runtime) = level.and_then(|level| level.runtime) {
        facts.push(fact("battery.runtime", FactValue::Number(runtime), "s"));
    }
    Reading {
        profile: "replay".into(),
        sys_object_id: None,
        facts,
    }
}

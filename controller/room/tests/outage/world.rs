//! A room to test the outage engine in: batteries that drain by their load, hosts that stop,
//! hang or refuse, UPSes that lie, an `act` role that carries orders out, and a journal that
//! survives the death of the controller at any record.
// Long because everything in a room acts on everything else.

use super::checker::Minute;
use super::last::Output;
use super::overseer::Overseer;
use room::device::{Fact, FactValue, Poll, PollFailure, Reading};
use room::outage::{Do, Input, Order, Outage, Outcome, Record, Sight, Turn, Verb};
use room::site::link::{Link, SnmpAccess, SnmpLink};
use room::site::outage::Then;
use room::site::{
    Confirm, Device, DeviceKind, ExecAction, Host, Label, OnFailure, OutagePolicy, Real, RealAction, Secret,
    Site, Start, StepTimes,
};
use room::time::{Millis, Mono, Now, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

/// From `Execute` to the moment the target is asked.
const ASKED_AFTER: u64 = 200;
/// From the host's end to the confirmation.
const SEEN_AFTER: u64 = 300;
/// From the controller's death until it is back, with `act` connected.
const RESTART_TAKES: u64 = 1_500;
/// The same when its machine restarts.
pub(crate) const REBOOT_TAKES: u64 = 70_000;
/// 2026-11-22 00:00 UTC.
const WALL_START: i64 = 1_795_305_600_000;
/// Load of a UPS without hosts, as a share of one host.
const IDLE_LOAD: f64 = 0.3;

/// One UPS in truth.
#[derive(Debug, Clone)]
pub(crate) struct Ups {
    pub(crate) name: String,
    pub(crate) mains: bool,
    /// Host-seconds left and when full.
    pub(crate) energy: f64,
    pub(crate) full: f64,
    pub(crate) silent: bool,
    /// Facts that are forced to a word or number; `-` takes them away.
    pub(crate) says: BTreeMap<String, String>,
    /// The same for one reading.
    pub(crate) once: BTreeMap<String, String>,
    /// It discharges although mains is there.
    pub(crate) testing: bool,
    /// Its output is off although it has power: it cuts its load once, to switch it on again.
    pub(crate) cut: bool,
    /// How what it tells of its battery differs from the truth.
    pub(crate) curve: Curve,
    /// When it last answered, and when it last did so while mains was really gone.
    pub(crate) heard: u64,
    pub(crate) heard_off: Option<u64>,
    /// What it was told at the end of a plan.
    pub(crate) output: Output,
    since_battery: Option<u64>,
    next_poll: u64,
}

/// How what a UPS tells of its battery differs from the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Curve {
    /// The charge it tells is the true share to this power: above 1 it falls fast at first.
    pub(crate) bend: f64,
    /// The runtime it tells, as a share of the true one.
    pub(crate) tells: f64,
    /// Share of the battery that is gone at once when the rest is spent.
    pub(crate) cliff: f64,
}

impl Curve {
    pub(crate) const STRAIGHT: Self = Self {
        bend: 1.0,
        tells: 1.0,
        cliff: 0.0,
    };
}

/// A PDU or ATS in truth.
#[derive(Debug, Clone)]
pub(crate) struct Branching {
    pub(crate) name: String,
    pub(crate) silent: bool,
    /// Outlets that are switched off.
    pub(crate) off: BTreeSet<String>,
    /// Its input is gone although what feeds it is well: a breaker.
    pub(crate) dead: bool,
    next_poll: u64,
}

/// How a host takes an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Stops after so many milliseconds.
    Stops(u64),
    /// Takes the connection and never answers.
    Hangs,
    /// Accepts the request and never stops.
    Stays,
    /// Refuses the connection.
    Refuses,
    /// Fails so often, then stops after a second.
    Fails(u32),
    /// The host key is another one: no further try makes sense.
    OtherKey,
}

/// What a host is in truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Up,
    Going {
        run: u64,
        down_at: u64,
    },
    Down,
    /// Lost its power while running.
    Fell,
    /// Coming up; nothing of it answers yet.
    Booting {
        up_at: u64,
    },
}

/// How a host takes an order to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wakes {
    /// Runs after so many milliseconds.
    After(u64),
    /// The order is taken, and nothing happens so many times.
    Sleeps(u32),
    /// The order fails so many times, then it takes five seconds.
    Fails(u32),
    /// The order is refused in a way that no further try can mend.
    OtherKey,
    /// The order is never answered.
    Hangs,
    /// It switches on and never gets as far as to answer.
    NeverUp,
}

/// One host in truth.
#[derive(Debug, Clone)]
pub(crate) struct SimHost {
    pub(crate) id: String,
    /// UPSes that its power can come from.
    pub(crate) feeds: Vec<usize>,
    /// What its supplies are plugged into, as the site spells it.
    pub(crate) plugs: Vec<String>,
    pub(crate) need: usize,
    pub(crate) manner: Manner,
    /// How it takes an order to force it.
    pub(crate) forced: Manner,
    /// Without a port to watch, a host that is down looks like one that refuses.
    pub(crate) blind: bool,
    pub(crate) life: Life,
    pub(crate) wakes: Wakes,
    /// Runs by whose order it began to come up, and when.
    pub(crate) starts: Vec<(u64, u64)>,
    /// It comes up so long after its power has come back, whatever anybody ordered.
    pub(crate) by_itself: Option<u64>,
    /// How often it came up without an order of ours, by itself or by a person's hand.
    pub(crate) boots: usize,
    /// It came up by itself at least once.
    pub(crate) unseen: bool,
    /// When it lost its power while it ran or came up.
    pub(crate) falls: Vec<u64>,
    /// A person had it off before anything began.
    pub(crate) off_by_hand: bool,
    pub(crate) powered: bool,
    /// Runs by whose order it began to stop, and when.
    pub(crate) effects: Vec<(u64, u64)>,
    /// When it was down or fell.
    pub(crate) ended: Option<u64>,
}

#[derive(Debug, Clone)]
enum Job {
    Ask,
    Watch,
    Check,
}

/// The room.
pub(crate) struct Room {
    pub(crate) now: u64,
    pub(crate) wall_step: i64,
    booted: u64,
    pub(crate) site: Site<Real>,
    pub(crate) engine: Outage,
    pub(crate) journal: Vec<(Now, Record)>,
    /// Its records as a restarted controller has read them.
    reread: Vec<Record>,
    pub(crate) ups: Vec<Ups>,
    pub(crate) hosts: Vec<SimHost>,
    pub(crate) branchings: Vec<Branching>,
    /// What happened, for people.
    pub(crate) transcript: Vec<String>,
    jobs: Vec<(u64, Order, Job)>,
    fast: bool,
    /// `act` is connected.
    pub(crate) act: bool,
    /// The controller is down until then.
    down_until: Option<(u64, bool)>,
    /// Kill the controller when the journal has grown to this length.
    pub(crate) crash_at: Option<usize>,
    /// So many records after each death the next one comes.
    pub(crate) crash_again: Vec<usize>,
    /// Its machine restarts with it then.
    pub(crate) crash_reboots: bool,
    /// Whether an order that was under way at a crash still reaches its target.
    pub(crate) orphan_orders_arrive: bool,
    /// Checks that reached a host, orders that reached a host.
    pub(crate) checks: u32,
    pub(crate) orders: u32,
    /// Controller deaths.
    pub(crate) deaths: u32,
    /// Inputs since time last moved, to catch an engine that wakes itself without end.
    inputs_at: (u64, u32),
    /// The engine's deadline.
    wake: Option<u64>,
    /// Milliseconds from a device's answer until the engine takes it in.
    pub(crate) lag: u64,
    /// What the signs of the rules are, by name; unknown until somebody says so.
    pub(crate) signs: BTreeMap<String, Sight>,
    /// Since when they are that.
    pub(crate) signs_since: BTreeMap<String, u64>,
    /// What the records alone make of the engine's memory, kept beside it.
    pub(crate) replayed: Outage,
    /// Promises that were broken while it happened.
    pub(crate) broken: Vec<String>,
    /// Nobody reads the transcript.
    pub(crate) quiet: bool,
    /// The UPS that the controller's own machine hangs on.
    pub(crate) controller_on: Option<usize>,
    /// When its machine is down, once it was stopped.
    pub(crate) halts_at: Option<u64>,
    /// What the engine did in this minute.
    minute: Minute,
    /// What people ordered, and what of the return is promised.
    pub(crate) overseer: Overseer,
}

impl Room {
    pub(crate) fn new(site: Site<Real>, batteries: &[f64]) -> Self {
        let engine = Outage::new(&site).unwrap_or_else(|problems| panic!("{problems:?}"));
        let hosts = site.hosts.iter().map(|host| sim_host(&site, host)).collect();
        let mut room = Self {
            replayed: engine.clone(),
            broken: Vec::new(),
            quiet: false,
            controller_on: None,
            halts_at: None,
            minute: Minute::default(),
            overseer: Overseer::default(),
            now: 1_000,
            wall_step: 0,
            booted: 0,
            engine,
            journal: Vec::new(),
            reread: Vec::new(),
            ups: Vec::new(),
            hosts,
            branchings: Vec::new(),
            transcript: Vec::new(),
            jobs: Vec::new(),
            fast: false,
            act: true,
            down_until: None,
            crash_at: None,
            crash_again: Vec::new(),
            crash_reboots: false,
            orphan_orders_arrive: false,
            checks: 0,
            orders: 0,
            deaths: 0,
            inputs_at: (0, 0),
            wake: None,
            lag: 0,
            signs: BTreeMap::new(),
            signs_since: BTreeMap::new(),
            site,
        };
        let devices = room.site.devices.clone();
        for (device, seconds) in devices.iter().zip(batteries) {
            room.ups.push(Ups {
                name: device.name.clone(),
                mains: true,
                energy: 0.0,
                full: *seconds,
                silent: false,
                says: BTreeMap::new(),
                once: BTreeMap::new(),
                testing: false,
                cut: false,
                curve: Curve::STRAIGHT,
                heard: 0,
                heard_off: None,
                output: Output::default(),
                since_battery: None,
                next_poll: 1_000,
            });
        }
        for branch in &room.site.branches {
            room.branchings.push(Branching {
                name: branch.device.clone(),
                silent: false,
                off: BTreeSet::new(),
                dead: false,
                next_poll: 1_000,
            });
        }
        for ups in 0..room.ups.len() {
            let full = room.ups[ups].full * room.load(ups);
            room.ups[ups].full = full;
            room.ups[ups].energy = full;
        }
        room.start(true);
        room
    }

    pub(crate) fn clock(&self) -> Now {
        let wall = WALL_START + i64::try_from(self.now).expect("a simulation is short") + self.wall_step;
        Now {
            mono: Mono(self.now - self.booted),
            wall: Wall(wall),
        }
    }

    fn start(&mut self, same_boot: bool) {
        let turn = self.engine.handle(self.clock(), Input::Restarted { same_boot });
        self.take(turn);
        if self.act {
            self.connect_act();
        }
        self.show_signs();
    }

    pub(crate) fn connect_act(&mut self) {
        self.act = true;
        let plan_hash = self.engine.plan().hash().to_owned();
        self.tell(Input::ActReady { plan_hash });
    }

    pub(crate) fn lose_act(&mut self) {
        self.act = false;
        self.jobs.clear();
        self.tell(Input::ActGone);
    }

    /// A sign is something else from now on.
    pub(crate) fn set_sign(&mut self, name: &str, sight: Sight) {
        if self.signs.insert(name.into(), sight) != Some(sight) {
            self.signs_since.insert(name.into(), self.now);
        }
        self.show_signs();
    }

    /// Tells the engine what every sign of every rule is now.
    pub(crate) fn show_signs(&mut self) {
        let rules = self.site.outage.iter().flat_map(|policy| &policy.rules);
        let sight = |name: &String| self.signs.get(name).copied().unwrap_or(Sight::Unknown);
        let sights: Vec<Vec<Sight>> = rules
            .map(|rule| rule.signs.iter().map(|sign| sight(&sign.name)).collect())
            .collect();
        if !sights.is_empty() {
            self.tell(Input::Signs(&sights));
        }
    }

    /// Hands an input to the engine, unless the controller is down.
    pub(crate) fn tell(&mut self, input: Input<'_>) {
        if self.down_until.is_none() {
            let (then, count) = self.inputs_at;
            self.inputs_at = (self.now, if then == self.now { count + 1 } else { 1 });
            assert!(
                count < 1_000,
                "the engine wakes itself without end at {}",
                self.now
            );
            let is_tick = matches!(input, Input::Tick);
            let turn = self.engine.handle(self.clock(), input);
            let idle = is_tick && turn.records.is_empty() && turn.effects.is_empty();
            self.minute.count(self.now, idle, &mut self.broken);
            self.take(turn);
        }
    }

    /// Journal first, then the effects; dies in between when it was told to.
    fn take(&mut self, turn: Turn) {
        self.wake = self.engine.next_deadline().map(|wake| wake.0 + self.booted);
        if let Some(refused) = turn.refused {
            self.note(format!("refused: {}", refused.en));
        }
        if let Some(said) = turn.said {
            self.note(format!("answer: {}", said.en));
        }
        let recorded = !turn.records.is_empty();
        for record in turn.records {
            if !self.quiet {
                self.note(describe(&record));
            }
            self.check_cause(&record);
            self.oversee(&record);
            self.replayed.apply(self.clock(), &record);
            self.journal.push((self.clock(), record));
            if self.crash_at.is_some_and(|length| self.journal.len() >= length) {
                let next = self.crash_again.pop();
                self.crash_at = next.map(|more| self.journal.len() + more);
                return self.kill(self.crash_reboots);
            }
        }
        if recorded {
            self.check_memory();
        }
        self.check_pause();
        for effect in turn.effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Do) {
        match effect {
            Do::FastPolling(fast) => {
                if fast && !self.fast {
                    for ups in &mut self.ups {
                        ups.next_poll = ups.next_poll.min(self.now + 500);
                    }
                }
                self.fast = fast;
            }
            Do::Poll(name) => {
                let now = self.now;
                let ups = self.ups.iter_mut().find(|ups| ups.name == name);
                ups.expect("a UPS of the room").next_poll = now;
                self.note(format!("  -> ask {name} again"));
            }
            Do::Execute(order) => {
                self.orders += 1;
                self.check_recorded(order.order());
                let accepted = if order.accepted() { ", accepted before" } else { "" };
                let (step, attempt) = (&order.order().step, order.order().attempt);
                let verb = match order.order().verb {
                    Verb::Stop if Self::is_last(order.order()).is_some() => "tell",
                    Verb::Stop => "execute",
                    Verb::Force => "FORCE",
                    Verb::Start => "start",
                };
                self.note(format!("  -> {verb} {step} try {attempt}{accepted}"));
                self.jobs
                    .push((self.now + ASKED_AFTER, order.into_order(), Job::Ask));
            }
            Do::Check(order) => {
                self.checks += 1;
                let verb = match order.verb {
                    Verb::Stop => String::new(),
                    other => format!(" ({})", other.word()),
                };
                self.note(format!("  -> check {}{verb}", order.step));
                self.jobs.push((self.now + ASKED_AFTER, order, Job::Check));
            }
            Do::Cancel(order) => {
                self.note(format!("  -> cancel {}", order.step));
                self.jobs.retain(|(_, job, _)| {
                    (job.run, &job.step, job.verb) != (order.run, &order.step, order.verb)
                });
            }
        }
    }

    /// The controller dies now; with `reboot` its machine goes with it.
    pub(crate) fn kill(&mut self, reboot: bool) {
        self.note(if reboot {
            "** the controller's machine restarts".into()
        } else {
            "** the controller is killed".into()
        });
        self.deaths += 1;
        let takes = if reboot { REBOOT_TAKES } else { RESTART_TAKES };
        self.down_until = Some((self.now + takes, reboot));
        let orphans = std::mem::take(&mut self.jobs);
        for (_, order, job) in orphans {
            if self.orphan_orders_arrive && matches!(job, Job::Ask) {
                let _ = self.ask(&order);
            }
        }
    }

    pub(crate) fn controller_is_off(&self) -> bool {
        self.down_until.is_some_and(|(until, _)| until == u64::MAX)
    }

    /// Its machine is off until something switches it on.
    pub(crate) fn controller_loses_power(&mut self) {
        self.kill(true);
        self.down_until = Some((u64::MAX, true));
    }

    /// Its power is back, and its machine comes up with it.
    pub(crate) fn controller_gets_power(&mut self) {
        if self.controller_is_off() {
            self.down_until = Some((self.now + REBOOT_TAKES, true));
        }
    }

    fn come_up(&mut self, reboot: bool) {
        self.down_until = None;
        if reboot {
            self.booted = self.now - 5_000;
            self.overseer.machine_restarted();
        }
        self.engine = Outage::new(&self.site).expect("the site was good before");
        for (_, record) in &self.journal[self.reread.len()..] {
            let text = serde_json::to_string(record).expect("a record is plain data");
            let record = serde_json::from_str(&text).expect("a written record is readable");
            self.reread.push(record);
        }
        for ((at, _), record) in self.journal.iter().zip(&self.reread) {
            self.engine.apply(*at, record);
        }
        self.check_memory();
        self.fast = false;
        for ups in &mut self.ups {
            ups.next_poll = self.now;
        }
        self.start(!reboot);
    }

    /// Lets time pass until `end`.
    pub(crate) fn run_until(&mut self, end: u64) {
        while self.now < end {
            let next = self.next_event().min(end).max(self.now);
            self.pass(next - self.now);
            self.now = next;
            self.happen();
        }
    }

    fn next_event(&self) -> u64 {
        let mut next = u64::MAX;
        if let Some((up, _)) = self.down_until {
            next = next.min(up);
        } else {
            let polls = self.ups.iter().map(|ups| ups.next_poll);
            next = next.min(polls.min().unwrap_or(u64::MAX));
            let polls = self.branchings.iter().map(|branching| branching.next_poll);
            next = next.min(polls.min().unwrap_or(u64::MAX));
            next = next.min(self.wake.unwrap_or(u64::MAX));
        }
        next = next.min(self.jobs.iter().map(|(at, _, _)| *at).min().unwrap_or(u64::MAX));
        next = next.min(self.next_of_last());
        for host in &self.hosts {
            match host.life {
                Life::Going { down_at: at, .. } | Life::Booting { up_at: at } => next = next.min(at),
                Life::Up | Life::Down | Life::Fell => {}
            }
        }
        for ups in 0..self.ups.len() {
            if self.ups[ups].drains() {
                let own = &self.ups[ups];
                let spare = (own.energy - own.full * own.curve.cliff).max(0.0);
                let left = (spare / self.load(ups) * 1000.0).ceil();
                next = next.min(self.now + left as u64 + 1);
            }
        }
        next
    }

    fn pass(&mut self, millis: u64) {
        let secs = millis as f64 / 1000.0;
        for ups in 0..self.ups.len() {
            let load = self.load(ups);
            let ups = &mut self.ups[ups];
            if ups.drains() {
                ups.energy = (ups.energy - load * secs).max(0.0);
                if ups.energy <= ups.full * ups.curve.cliff {
                    ups.energy = 0.0;
                }
            } else if ups.mains {
                ups.energy = (ups.energy + ups.full * secs / 7200.0).min(ups.full);
            }
        }
    }

    fn happen(&mut self) {
        self.last_happens();
        for host in 0..self.hosts.len() {
            self.host_happens(host);
        }
        if let Some((_, reboot)) = self.down_until.filter(|(up, _)| *up <= self.now) {
            self.come_up(reboot);
        }
        for ups in 0..self.ups.len() {
            if self.ups[ups].next_poll <= self.now && self.down_until.is_none() {
                self.poll(ups);
            }
        }
        for at in 0..self.branchings.len() {
            if self.branchings[at].next_poll <= self.now && self.down_until.is_none() {
                self.poll_branching(at);
            }
        }
        let due: Vec<_> = self.jobs.extract_if(.., |(at, _, _)| *at <= self.now).collect();
        for (_, order, job) in due {
            self.work(order, &job);
        }
        if self.wake.is_some_and(|wake| wake <= self.now) {
            self.tell(Input::Tick);
        }
    }

    fn host_happens(&mut self, host: usize) {
        let powered = self.has_power(host);
        let host = &mut self.hosts[host];
        let returned = powered && !std::mem::replace(&mut host.powered, powered);
        let next = match (host.life, host.by_itself) {
            (Life::Down | Life::Fell, Some(after)) if returned => {
                host.boots += 1;
                host.unseen = true;
                Life::Booting {
                    up_at: self.now + after,
                }
            }
            (same, _) => same,
        };
        host.life = next;
        let next = match host.life {
            Life::Going { down_at, .. } if down_at <= self.now => Life::Down,
            Life::Up | Life::Going { .. } | Life::Booting { .. } if !powered => Life::Fell,
            Life::Booting { up_at } if up_at <= self.now => Life::Up,
            same => same,
        };
        if next != host.life {
            host.life = next;
            host.ended = (next != Life::Up).then_some(self.now);
            if next == Life::Fell {
                host.falls.push(self.now);
            }
            let word = match next {
                Life::Down => "is down",
                Life::Up => "runs",
                _ => "FELL: no power",
            };
            let line = format!("  .. {} {word}", host.id);
            self.note(line);
        }
    }

    fn work(&mut self, order: Order, job: &Job) {
        if let Some(target) = Self::is_last(&order) {
            if let Some(outcome) = self.take_last_order(&target) {
                self.tell(Input::Outcome { order, outcome });
            }
            return;
        }
        let outcome = match job {
            Job::Check => match self.manner(&order.step) {
                Manner::Refuses | Manner::Fails(_) => Some(failed("connection refused", true)),
                Manner::OtherKey => Some(failed("host key changed", false)),
                Manner::Hangs => None,
                Manner::Stops(_) | Manner::Stays => Some(Outcome::CheckPassed),
            },
            Job::Ask => self.ask(&order),
            Job::Watch => {
                let goal = match order.verb {
                    Verb::Start => Life::Up,
                    Verb::Stop | Verb::Force => Life::Down,
                };
                if self.life(&order.step) == goal {
                    Some(Outcome::Confirmed)
                } else if self.watched_long_enough(&order) {
                    Some(failed("it took the request, but does not answer", true))
                } else {
                    self.jobs.push((self.now + SEEN_AFTER, order.clone(), Job::Watch));
                    None
                }
            }
        };
        let Some(outcome) = outcome else { return };
        if outcome == Outcome::Requested {
            self.jobs.push((self.now + SEEN_AFTER, order.clone(), Job::Watch));
        }
        self.tell(Input::Outcome { order, outcome });
    }

    /// `act` looks for a started host no longer than its budget.
    fn watched_long_enough(&self, order: &Order) -> bool {
        let starts = self.journal.iter().rev().find_map(|(at, record)| match record {
            Record::HostStartStarted { order: started, .. } if started == order => Some(at.mono.0),
            _ => None,
        });
        let host = self.site.hosts.iter().find(|host| host.name == order.step);
        let budget = host.and_then(|host| Some(host.start.as_ref()?.budget.0));
        let passed = starts.map(|since| self.clock().mono.0.saturating_sub(since));
        order.verb == Verb::Start
            && passed
                .zip(budget)
                .is_some_and(|(passed, budget)| passed >= budget)
    }

    /// The order reaches its target.
    fn ask(&mut self, order: &Order) -> Option<Outcome> {
        if let Some(target) = Self::is_last(order) {
            return self.take_last_order(&target);
        }
        let before = self.life(&order.step);
        let outcome = self.take_order(order);
        if before == Life::Up && matches!(self.life(&order.step), Life::Going { .. }) {
            self.check_order(&order.step);
        }
        if order.verb == Verb::Start && matches!(before, Life::Down | Life::Fell) {
            self.check_start(&order.step);
            if matches!(self.life(&order.step), Life::Booting { .. }) {
                self.check_start_effect(order);
            }
        }
        outcome
    }

    fn take_order(&mut self, order: &Order) -> Option<Outcome> {
        let now = self.now;
        let host = self
            .hosts
            .iter_mut()
            .find(|host| host.id == order.step)
            .expect("orders name hosts");
        if order.verb == Verb::Start {
            return wake(host, order, now);
        }
        let manner = match order.verb {
            Verb::Force => host.forced,
            Verb::Stop | Verb::Start => host.manner,
        };
        match (host.life, manner) {
            (Life::Down | Life::Fell, _) if host.blind => Some(failed("connection timed out", true)),
            (Life::Booting { .. }, _) if host.blind => Some(failed("connection timed out", true)),
            (Life::Booting { .. }, _) => Some(Outcome::Found),
            (Life::Down | Life::Fell, _) => Some(Outcome::Found),
            (Life::Up | Life::Going { .. }, Manner::Stops(after)) if order.verb == Verb::Force => {
                if host.life == Life::Up {
                    host.effects.push((order.run, now));
                }
                let down_at = match host.life {
                    Life::Going { down_at, .. } => down_at.min(now + after),
                    _ => now + after,
                };
                host.life = Life::Going {
                    run: order.run,
                    down_at,
                };
                Some(Outcome::Requested)
            }
            (Life::Going { run, .. }, _) => {
                if run != order.run {
                    host.effects.push((order.run, now));
                }
                Some(Outcome::Requested)
            }
            (Life::Up, Manner::Stops(after)) => {
                host.effects.push((order.run, now));
                host.life = Life::Going {
                    run: order.run,
                    down_at: now + after,
                };
                Some(Outcome::Requested)
            }
            (Life::Up, Manner::Hangs) => None,
            (Life::Up, Manner::Stays) => Some(Outcome::Requested),
            (Life::Up, Manner::Refuses) => Some(failed("connection refused", true)),
            (Life::Up, Manner::OtherKey) => Some(failed("host key changed", false)),
            (Life::Up, Manner::Fails(left)) => {
                host.manner = if left > 1 {
                    Manner::Fails(left - 1)
                } else {
                    Manner::Stops(1_000)
                };
                Some(failed("connection reset", true))
            }
        }
    }

    fn poll(&mut self, ups: usize) {
        let device = &self.site.devices[ups];
        let interval = if self.fast {
            device.poll_on_battery
        } else {
            device.poll
        };
        self.ups[ups].next_poll = self.now + interval.0;
        let result = if self.ups[ups].silent {
            Err(PollFailure::Timeout)
        } else {
            self.ups[ups].heard = self.now;
            if !self.ups[ups].mains {
                self.ups[ups].heard_off = Some(self.now);
            }
            Ok(self.reading(ups))
        };
        let at = self.clock().mono;
        let poll = Poll {
            device: self.ups[ups].name.clone(),
            asked: Mono(at.0 - self.lag),
            answered: Mono(at.0 - self.lag),
            result,
        };
        self.tell(Input::Poll(&poll));
    }

    fn poll_branching(&mut self, at: usize) {
        self.branchings[at].next_poll = self.now + if self.fast { 1_000 } else { 5_000 };
        let branching = &self.branchings[at];
        let result = if branching.silent {
            Err(PollFailure::Timeout)
        } else {
            Ok(self.reading_of(branching))
        };
        let now = self.clock().mono;
        let poll = Poll {
            device: branching.name.clone(),
            asked: now,
            answered: now,
            result,
        };
        self.tell(Input::Poll(&poll));
    }

    fn reading_of(&self, branching: &Branching) -> Reading {
        let mut facts = Vec::new();
        let plugs = self.hosts.iter().flat_map(|host| &host.plugs);
        let outlets: BTreeSet<&str> = plugs
            .filter_map(|plug| plug.strip_prefix(&branching.name)?.strip_prefix('/'))
            .collect();
        for outlet in outlets {
            let word = if branching.off.contains(outlet) {
                "off"
            } else {
                "on"
            };
            facts.push(state(&format!("outlet.{outlet}.status"), word));
        }
        let branch = self
            .site
            .branches
            .iter()
            .find(|branch| branch.device == branching.name);
        let inputs = branch.map_or(&[][..], |branch| &branch.fed_by);
        if inputs.len() < 2 {
            facts.push(number(
                "input.voltage",
                if branching.dead { 0.0 } else { 101.0 },
                "V",
            ));
        } else {
            let live: Vec<bool> = inputs.iter().map(|input| self.carrier(input).is_some()).collect();
            for (name, live) in ["input.a.status", "input.b.status"].into_iter().zip(&live) {
                facts.push(state(name, if *live { "good" } else { "bad" }));
            }
            let source = live.iter().position(|live| *live);
            facts.push(state("input.source", source.map_or("none", |at| ["a", "b"][at])));
        }
        Reading {
            profile: "test".into(),
            sys_object_id: None,
            facts,
        }
    }

    /// The UPS that carries what is plugged in there.
    fn carrier(&self, plug: &str) -> Option<usize> {
        self.carrier_of(plug, &|ups| self.supplies(ups))
    }

    /// The same, if only these UPSes gave power.
    fn carrier_of(&self, plug: &str, gives: &dyn Fn(usize) -> bool) -> Option<usize> {
        let (device, outlet) = plug
            .split_once('/')
            .map_or((plug, None), |(name, at)| (name, Some(at)));
        if let Some(ups) = self.ups.iter().position(|ups| ups.name == device) {
            return gives(ups).then_some(ups);
        }
        let own = self
            .branchings
            .iter()
            .find(|branching| branching.name == device)?;
        if own.dead || outlet.is_some_and(|outlet| own.off.contains(outlet)) {
            return None;
        }
        let branch = self.site.branches.iter().find(|branch| branch.device == device)?;
        branch.fed_by.iter().find_map(|feed| self.carrier_of(feed, gives))
    }

    /// The UPSes that carry a host now, one for every supply that has power.
    fn carriers(&self, host: &SimHost) -> Vec<usize> {
        host.plugs.iter().filter_map(|plug| self.carrier(plug)).collect()
    }

    fn reading(&mut self, ups: usize) -> Reading {
        let load = self.load(ups);
        let now = self.now;
        // Only what hands load from one UPS to another needs to know how much that is.
        let tells_load = !self.branchings.is_empty();
        let ups = &mut self.ups[ups];
        let drains = (!ups.mains || ups.testing) && !ups.cut;
        if drains {
            ups.since_battery.get_or_insert(now);
        } else {
            ups.since_battery = None;
        }
        let on = ups.since_battery.map_or(0, |since| (now - since) / 1000);
        let charge = ((ups.energy / ups.full).powf(ups.curve.bend) * 100.0).floor();
        let low = ups.energy / load < 20.0;
        let mut facts = vec![
            state(
                "output.source",
                match (ups.cut || ups.output.off_since.is_some(), drains) {
                    (true, _) => "off",
                    (false, true) => "battery",
                    (false, false) => "mains",
                },
            ),
            state("battery.status", if low { "low" } else { "normal" }),
            number("battery.charge", charge, "%"),
            number(
                "battery.runtime",
                (ups.energy / load * ups.curve.tells).floor(),
                "s",
            ),
            number("battery.time_on", on as f64, "s"),
            number("input.voltage", if ups.mains { 101.0 } else { 0.0 }, "V"),
        ];
        if tells_load {
            facts.push(number("ups.load", load * 10.0, "%"));
        }
        if ups.testing {
            facts.push(state("ups.test.result", "running"));
        }
        let once = std::mem::take(&mut ups.once);
        for (name, says) in ups.says.iter().chain(&once) {
            facts.retain(|fact| fact.name != *name);
            match says.parse() {
                Ok(value) => facts.push(number(name, value, "")),
                Err(_) if says == "-" => {}
                Err(_) => facts.push(state(name, says)),
            }
        }
        Reading {
            profile: "test".into(),
            sys_object_id: None,
            facts,
        }
    }

    /// From now on the UPS repeats the charge and runtime it gives now.
    pub(crate) fn freeze(&mut self, ups: usize) {
        let (energy, load) = (self.ups[ups].energy, self.load(ups));
        let charge = (energy / self.ups[ups].full * 100.0).floor();
        let says = &mut self.ups[ups].says;
        says.insert("battery.charge".into(), charge.to_string());
        says.insert("battery.runtime".into(), (energy / load).floor().to_string());
    }

    /// Is this feed alive?
    fn supplies(&self, ups: usize) -> bool {
        let ups = &self.ups[ups];
        !ups.cut && ups.output.off_since.is_none() && (ups.mains || ups.energy > 0.0)
    }

    pub(crate) fn has_power(&self, host: usize) -> bool {
        let host = &self.hosts[host];
        self.carriers(host).len() >= host.need
    }

    /// Seconds until each host loses its power, if nobody stops and mains stays as it is.
    pub(crate) fn true_lives(&self) -> Vec<f64> {
        self.lives_if(|ups| ups.mains)
    }

    /// The same, had these UPSes mains.
    pub(crate) fn lives_if(&self, mains: impl Fn(&Ups) -> bool) -> Vec<f64> {
        let energy = self.ups.iter().map(|ups| match mains(ups) {
            _ if ups.cut => 0.0,
            true => f64::INFINITY,
            false => (ups.energy - ups.full * ups.curve.cliff).max(0.0),
        });
        self.lives_with(energy.collect())
    }

    /// The same by what is in the batteries, whether or not a UPS gives it this moment.
    pub(crate) fn lives_by_batteries(&self) -> Vec<f64> {
        let left = |ups: &Ups| (ups.energy - ups.full * ups.curve.cliff).max(0.0);
        self.lives_with(self.ups.iter().map(left).collect())
    }

    /// The same as far as can be known: a silent UPS that was heard on mains may give nothing.
    pub(crate) fn known_lives(&self) -> Vec<f64> {
        let energy = self.ups.iter().map(|ups| match (ups.silent, ups.mains) {
            (_, false) => (ups.energy - ups.full * ups.curve.cliff).max(0.0),
            (true, true) => 0.0,
            (false, true) => f64::INFINITY,
        });
        self.lives_with(energy.collect())
    }

    fn lives_with(&self, mut energy: Vec<f64>) -> Vec<f64> {
        let mut lives = vec![f64::INFINITY; self.hosts.len()];
        let mut passed = 0.0;
        loop {
            let gives = |ups: usize| energy[ups] > 0.0;
            let carried: Vec<Vec<usize>> = self
                .hosts
                .iter()
                .map(|host| {
                    let plugs = host.plugs.iter();
                    plugs.filter_map(|plug| self.carrier_of(plug, &gives)).collect()
                })
                .collect();
            let mut loads = vec![IDLE_LOAD; energy.len()];
            for ((host, life), carriers) in self.hosts.iter().zip(&mut lives).zip(&carried) {
                if carriers.len() < host.need {
                    *life = life.min(passed);
                } else {
                    for ups in carriers {
                        loads[*ups] += 1.0 / carriers.len() as f64;
                    }
                }
            }
            let ends = energy
                .iter()
                .zip(&loads)
                .filter(|(energy, _)| **energy > 0.0)
                .map(|(energy, load)| energy / load);
            let next = ends.min_by(f64::total_cmp).unwrap_or(f64::INFINITY);
            if next.is_infinite() {
                return lives;
            }
            passed += next;
            for (energy, load) in energy.iter_mut().zip(&loads) {
                *energy = if *energy - load * next < 1e-6 {
                    0.0
                } else {
                    *energy - load * next
                };
            }
        }
    }

    /// Load of a UPS in hosts.
    pub(crate) fn load(&self, ups: usize) -> f64 {
        let mut load = IDLE_LOAD;
        for host in &self.hosts {
            if matches!(host.life, Life::Up | Life::Going { .. } | Life::Booting { .. }) {
                let carriers = self.carriers(host);
                let own = carriers.iter().filter(|carrier| **carrier == ups).count();
                load += own as f64 / carriers.len().max(1) as f64;
            }
        }
        load
    }

    /// The controller is down.
    pub(crate) const fn is_down(&self) -> bool {
        self.down_until.is_some()
    }

    pub(crate) fn life(&self, id: &str) -> Life {
        self.hosts
            .iter()
            .find(|host| host.id == id)
            .expect("a host of the room")
            .life
    }

    fn manner(&self, id: &str) -> Manner {
        self.hosts
            .iter()
            .find(|host| host.id == id)
            .expect("a host of the room")
            .manner
    }

    fn note(&mut self, line: String) {
        if self.quiet {
            return;
        }
        let secs = self.now as f64 / 1000.0;
        self.transcript.push(format!("{secs:>8.1}  {line}"));
    }

    /// Something of the room happens.
    pub(crate) fn say(&mut self, line: &str) {
        self.note(format!("  .. {line}"));
    }

    pub(crate) fn remark(&mut self, line: &str) {
        self.note(format!("# {line}"));
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Record) -> bool) -> usize {
        self.journal.iter().filter(|(_, record)| wanted(record)).count()
    }

    pub(crate) fn is_active(&self, id: &str) -> bool {
        self.engine
            .conditions(self.clock())
            .iter()
            .any(|condition| condition.id == id && condition.active)
    }
}

impl Ups {
    fn drains(&self) -> bool {
        (!self.mains || self.testing) && self.energy > 0.0 && !self.cut
    }
}

/// What starts a host takes the order.
fn wake(host: &mut SimHost, order: &Order, now: u64) -> Option<Outcome> {
    match (host.life, host.wakes) {
        (Life::Up, _) => return Some(Outcome::Found),
        (_, Wakes::Hangs) => return None,
        (_, Wakes::OtherKey) => return Some(failed("host key changed", false)),
        (_, Wakes::Fails(times)) => {
            host.wakes = match times {
                0 | 1 => Wakes::After(5_000),
                more => Wakes::Fails(more - 1),
            };
            return Some(failed("connection refused", true));
        }
        (Life::Booting { .. } | Life::Going { .. }, _) => {}
        (Life::Down | Life::Fell, Wakes::After(millis)) => {
            host.starts.push((order.run, now));
            host.life = Life::Booting { up_at: now + millis };
        }
        (Life::Down | Life::Fell, Wakes::NeverUp) => {
            host.starts.push((order.run, now));
            host.life = Life::Booting { up_at: u64::MAX };
        }
        (Life::Down | Life::Fell, Wakes::Sleeps(times)) => {
            host.wakes = match times {
                0 | 1 => Wakes::After(5_000),
                more => Wakes::Sleeps(more - 1),
            };
        }
    }
    Some(Outcome::Requested)
}

fn failed(problem: &str, retryable: bool) -> Outcome {
    Outcome::Failed {
        problem: problem.into(),
        retryable,
    }
}

fn fact(name: &str, value: FactValue, unit: &'static str) -> Fact {
    Fact {
        name: name.into(),
        value: Ok(value),
        unit,
        at: String::new(),
        label: None,
        raw: String::new(),
    }
}

fn number(name: &str, value: f64, unit: &'static str) -> Fact {
    fact(name, FactValue::Number(value), unit)
}

fn state(name: &str, word: &str) -> Fact {
    fact(name, FactValue::State(word.into()), "")
}

/// Every device that power can pass on its way to that plug.
pub(crate) fn behind(site: &Site<Real>, plug: &str) -> BTreeSet<String> {
    let device = plug.split('/').next().unwrap_or(plug);
    let branch = site.branches.iter().find(|branch| branch.device == device);
    let feeds = branch.into_iter().flat_map(|branch| &branch.fed_by);
    let mut passed: BTreeSet<String> = feeds.flat_map(|feed| behind(site, feed)).collect();
    passed.insert(device.to_owned());
    passed
}

fn sim_host(site: &Site<Real>, host: &Host<Real>) -> SimHost {
    let upses = host.feeds.iter().flat_map(|plug| behind(site, plug));
    let upses: BTreeSet<usize> = upses
        .filter_map(|name| site.devices.iter().position(|device| device.name == name))
        .filter(|at| site.devices[*at].kind == DeviceKind::Ups)
        .collect();
    SimHost {
        id: host.name.clone(),
        feeds: upses.into_iter().collect(),
        plugs: host.feeds.clone(),
        need: host.need,
        manner: Manner::Stops(2_000),
        forced: Manner::Stops(500),
        blind: host.confirm == Confirm::ActionSucceeded,
        life: Life::Up,
        wakes: Wakes::After(5_000),
        starts: Vec::new(),
        by_itself: None,
        boots: 0,
        unseen: false,
        falls: Vec::new(),
        off_by_hand: false,
        powered: true,
        effects: Vec::new(),
        ended: None,
    }
}

/// One line per record, in the words of the page.
fn describe(record: &Record) -> String {
    let level = |charge: &Option<f64>, runtime: &Option<f64>| {
        let shown = |value: &Option<f64>| value.map_or("?".into(), |value| format!("{value:.0}"));
        format!("{} %, {} s", shown(charge), shown(runtime))
    };
    match record {
        Record::PowerRestarted { same_boot } => format!("restarted (same boot: {same_boot})"),
        Record::MainsLost {
            ups,
            evidence,
            charge_percent,
            runtime_s,
        } => {
            format!(
                "mains lost {ups}: {} ({})",
                evidence.join(", "),
                level(charge_percent, runtime_s)
            )
        }
        Record::BatteryLevel {
            ups,
            charge_percent,
            runtime_s,
        } => {
            format!("battery level {ups}: {}", level(charge_percent, runtime_s))
        }
        Record::MainsBack { ups, source, .. } => format!("mains back {ups}: {source}"),
        Record::ContactLost { ups, on_battery } => format!("contact lost {ups} (on battery: {on_battery})"),
        Record::ContactFound { ups } => format!("contact found {ups}"),
        Record::OutageOver => "outage over".into(),
        Record::RunStarted {
            run, because, scope, ..
        } => {
            format!("run {run} started for {}: {}", scope.join(" "), because.en)
        }
        Record::RunExtended {
            run, because, scope, ..
        } => {
            format!("run {run} extended by {}: {}", scope.join(" "), because.en)
        }
        Record::StopWithheld { hosts, because } => {
            format!("would stop {}, but only alarms: {}", hosts.join(" "), because.en)
        }
        Record::RuleOver { rule } => format!("rule {rule}: its evidence is over"),
        Record::ScheduleAnnounced { schedule, hosts, .. } => {
            format!("schedule {schedule} announced: will stop {}", hosts.join(" "))
        }
        Record::ScheduleNotKept {
            schedule, because, ..
        } => format!("schedule {schedule} not kept: {}", because.en),
        Record::ScheduleCancelled { schedule, by, .. } => format!("schedule {schedule} cancelled by {by}"),
        Record::ScheduleOver { schedule, hosts, .. } => {
            format!("schedule {schedule} over: {} may start again", hosts.join(" "))
        }
        Record::StepStarted { order } if order.verb == Verb::Force => {
            format!("step {} FORCED, try {}", order.step, order.attempt)
        }
        Record::StepStarted { order } => format!("step {} started, try {}", order.step, order.attempt),
        Record::StepRequested { order } => format!("step {} requested: point of no return", order.step),
        Record::StepConfirmed {
            order,
            took_ms,
            late,
            already,
            off_before,
        } => {
            let late = if *late { ", late" } else { "" };
            let already = match (already, off_before) {
                (true, _) => ", stopped before",
                (_, true) => ": it was off before",
                _ => "",
            };
            format!(
                "step {} confirmed after {:.1} s{late}{already}",
                order.step,
                took_ms.as_secs_f64()
            )
        }
        Record::StepFailed {
            order,
            problem,
            retryable,
        } => {
            format!("step {} failed: {problem} (again: {retryable})", order.step)
        }
        Record::StepAbandoned { order, because } => format!("step {} abandoned: {}", order.step, because.en),
        Record::StepCancelled { step, because, .. } => format!("step {step} cancelled: {}", because.en),
        Record::RunAbandoned { run, because, .. } => format!("run {run} abandoned: {}", because.en),
        Record::RunPaused {
            run,
            length,
            reason,
            by,
        } => {
            let secs = length.as_secs_f64();
            format!("run {run} paused for {secs:.0} s by {by}: {reason}")
        }
        Record::RunResumed { run, because, .. } => format!("run {run} goes on: {}", because.en),
        Record::OrdersHeld { run } => format!("run {run} holds its orders back: mains may be back"),
        Record::OrdersFreed { run } => format!("run {run} orders again"),
        Record::StepSkipped { step, because, .. } => format!("step {step} skipped: {}", because.en),
        Record::OperatorAsked { id, by, .. } => format!("order {id} of {by} waits for a second person"),
        Record::OperatorConfirmed { id, by } => format!("{by} agrees to order {id}"),
        Record::RunEnded {
            run,
            stopped,
            not_stopped,
        } => {
            format!(
                "run {run} ended; stopped: {}; not: {}",
                stopped.join(" "),
                not_stopped.join(" ")
            )
        }
        Record::HostsStarted { hosts, by } => format!("{by} started {}", hosts.join(" ")),
        Record::DrillStarted {
            run, by, host, scope, ..
        } => format!("drill {run} of {host} started by {by} for {}", scope.join(" ")),
        Record::ReturnStarted {
            run, hosts, because, ..
        } => format!("return {run} started for {}: {}", hosts.join(" "), because.en),
        Record::HostStartStarted { order, .. } => format!("start of {}, try {}", order.step, order.attempt),
        Record::HostStartRequested { order } => format!("start of {} requested", order.step),
        Record::HostStartConfirmed {
            order,
            took_ms,
            already,
        } => {
            let already = if *already { ": it ran already" } else { "" };
            format!(
                "{} runs after {:.1} s{already}",
                order.step,
                took_ms.as_secs_f64()
            )
        }
        Record::HostStartFailed {
            order,
            problem,
            retryable,
        } => format!("start of {} failed: {problem} (again: {retryable})", order.step),
        Record::HostStartAbandoned { order, because } => {
            format!("start of {} abandoned: {}", order.step, because.en)
        }
        Record::ReturnEnded {
            run,
            started,
            not_started,
            broken_off,
        } => {
            let why = broken_off
                .as_ref()
                .map_or(String::new(), |why| format!("; broken off: {}", why.en));
            format!(
                "return {run} ended; started: {}; not: {}{why}",
                started.join(" "),
                not_started.join(" ")
            )
        }
        Record::FinishStarted {
            run, ups, because, ..
        } => {
            let cuts = ups
                .iter()
                .map(|cut| format!("{} in {:.0} s", cut.ups, cut.delay_ms.as_secs_f64()));
            let cuts: Vec<String> = cuts.collect();
            format!("end {run}: {} ({})", cuts.join(", "), because.en)
        }
        Record::FinishOrdered { order } => format!("{} is told, try {}", order.step, order.attempt),
        Record::FinishTold { order } => format!("{} has it", order.step),
        Record::FinishFailed {
            order,
            problem,
            retryable,
        } => format!("{} failed: {problem} (again: {retryable})", order.step),
        Record::FinishEnded {
            run,
            told,
            not_told,
            because,
        } => format!(
            "end {run} is over; told: {}; not: {}: {}",
            told.join(" "),
            not_told.join(" "),
            because.en
        ),
        Record::ReturnHeld { by, reason } => format!("{by} holds the return: {reason}"),
        Record::ReturnReleased { by } => format!("{by} releases the return"),
        Record::RehearsalStarted { run, by, .. } => format!("rehearsal {run} started by {by}"),
        Record::CheckStarted { order } => format!("check {} started", order.step),
        Record::CheckPassed { order, .. } => format!("check {} passed", order.step),
        Record::CheckFailed { order, problem } => format!("check {} failed: {problem}", order.step),
        Record::CredentialsDue { run, .. } => format!("credentials {run} are due"),
        Record::CredentialChecked { order, problem, .. } => format!(
            "credential {} {}: {}",
            order.step,
            order.verb.word(),
            problem.as_deref().unwrap_or("good")
        ),
        Record::RehearsalEnded {
            run,
            passed,
            failed,
            broken_off,
        } => {
            let why = broken_off
                .as_ref()
                .map_or(String::new(), |why| format!("; broken off: {}", why.en));
            format!(
                "rehearsal {run} ended; passed: {}; failed: {}{why}",
                passed.join(" "),
                failed.join(" ")
            )
        }
    }
}

/// A site with UPSes polled every 5 s (1 s on battery), without hosts.
pub(crate) fn site_with(ups: &[&str], policy: OutagePolicy) -> Site<Real> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let device = |name: &&str| Device {
        name: (*name).into(),
        label: Label::new(*name, *name),
        kind: DeviceKind::Ups,
        link: Link::Snmp(SnmpLink {
            addr,
            access: SnmpAccess::V2c(Secret("public".into())),
        }),
        profile: None,
        poll: Millis(5_000),
        poll_on_battery: Millis(1_000),
        timeout: Millis(500),
        retries: 1,
        behind: None,
        uplinks: Vec::new(),
        commands: Vec::new(),
        write: None,
    };
    Site {
        devices: ups.iter().map(device).collect(),
        outage: Some(policy),
        ..Site::bare()
    }
}

/// A host with one feed needed, 20 s to stop and a port to watch.
pub(crate) fn host(name: &str, feeds: &[&str], depends_on: &[&str]) -> Host<Real> {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Host {
        name: name.into(),
        label: Label::new(name, name),
        feeds: own(feeds),
        need: 1,
        depends_on: own(depends_on),
        action: RealAction::Exec(ExecAction {
            program: "/bin/true".into(),
            args: vec![name.into()],
            timeout: Millis(1_000),
        }),
        confirm: Confirm::PortClosed {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 22)),
        },
        budget: Millis(20_000),
        on_failure: OnFailure::GoOn,
        force: None,
        start: None,
    }
}

/// A host is told to start by a program, and has so long until its port answers.
pub(crate) fn start(name: &str, budget: Millis) -> Start<Real> {
    Start {
        action: RealAction::Exec(ExecAction {
            program: "/bin/true".into(),
            args: vec!["start".into(), name.into()],
            timeout: Millis(1_000),
        }),
        alive: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 22))),
        budget,
    }
}

/// Delay 10 s, reserve 30 s, start at 20 %, at most 30 min, contact 15 s, stable 30 s.
pub(crate) fn policy() -> OutagePolicy {
    OutagePolicy {
        on_battery_delay: Millis(10_000),
        reserve: Millis(30_000),
        start_at_charge: 20.0,
        longest_on_battery: Millis(1_800_000),
        contact_lost_after: Millis(15_000),
        mains_stable: Millis(30_000),
        then: Then::Stop,
        shed: BTreeMap::new(),
        rules: Vec::new(),
        step_times: StepTimes::Budget,
        rehearse_every: None,
        return_after: None,
        return_charge: None,
    }
}

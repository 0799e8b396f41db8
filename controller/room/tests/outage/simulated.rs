//! Random rooms, outages and faults under one seed; whatever happens, these hold:
//!
//! 1. a host is asked to stop only after everything that depends on it has stopped or was given up;
//! 2. no host is stopped twice by effect;
//! 3. nothing is stopped while mains never failed, and no run starts long after it is back;
//! 4. when the plan fits, no host loses its power while it runs, unless it would not stop;
//! 5. one run at a time;
//! 6. a short outage on a rich battery stops nobody, even when a poll is a glitch;
//! 7. in one outage every host is dealt with once;
//! 8. when mains is back for good nothing is left under way, and every host that was stopped is
//!    on the list of hosts to start.
//!
//! `YAGURA_SEEDS=100000` runs more of them, `YAGURA_SEED=17` one with its transcript.

use super::world::{Life, Manner, Room, host, site_with};
use room::outage::{Input, Record};
use room::site::{Confirm, OnFailure, OutagePolicy};
use room::time::Millis;

const SEEDS: u64 = 2_000;
/// From mains back to the end of the simulation: longer than any stable time and any step.
const QUIET_END: u64 = 150_000;
/// Detection (5 s), restarts and absences of `act` that a plan must absorb beyond its reserve.
const FIT_SLACK: f64 = 14.0;

/// `splitmix64`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low + 1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }
}

/// What happens from outside, and when.
#[derive(Debug, Clone, PartialEq)]
enum Happens {
    Mains(usize, bool),
    Silent(usize, bool),
    Test(usize, bool),
    Freeze(usize),
    Glitch(usize),
    Kill,
    Reboot,
    Act(bool),
    Clock(i64),
    Rehearse,
}

/// A room and its fate.
struct Fate {
    room: Room,
    events: Vec<(u64, Happens)>,
    end: u64,
    mains_fail: bool,
    reboots: bool,
    /// A UPS may be silent when mains fails, so that nobody can know.
    blind: bool,
    /// No UPS lies beyond a glitch of one poll.
    honest: bool,
    /// Length of the only outage, in seconds.
    only_outage: Option<f64>,
}

#[test]
fn simulated_outages_keep_every_promise() {
    if let Some(seed) = number("YAGURA_SEED") {
        let room = live(seed).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        println!("{}", room.transcript.join("\n"));
        return;
    }
    let seeds = number("YAGURA_SEEDS").unwrap_or(SEEDS);
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    #[expect(
        clippy::disallowed_methods,
        reason = "measures the test itself; decides nothing"
    )]
    let started = std::time::Instant::now();
    let totals = std::thread::scope(|scope| {
        let share = |worker| {
            move || {
                (worker..seeds)
                    .step_by(workers as usize)
                    .map(judged)
                    .collect::<Vec<_>>()
            }
        };
        let workers: Vec<_> = (0..workers).map(|worker| scope.spawn(share(worker))).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a worker ends"))
            .collect::<Vec<_>>()
    });
    let broken: Vec<&String> = totals.iter().filter_map(|total| total.as_ref().err()).collect();
    for why in &broken {
        println!("{}", why.lines().next().unwrap_or_default());
    }
    assert!(
        broken.is_empty(),
        "{} of {seeds} seeds broke a promise, first: {}",
        broken.len(),
        broken[0]
    );
    let stopped: u64 = totals.iter().flatten().map(|(stopped, _)| stopped).sum();
    let runs: u64 = totals.iter().flatten().map(|(_, runs)| runs).sum();
    let rate = seeds as f64 / started.elapsed().as_secs_f64();
    println!("{seeds} seeds, {runs} runs, {stopped} hosts stopped, {rate:.0} seeds/s");
    assert!(
        runs > seeds / 5 && stopped > seeds / 2,
        "too little happened: {runs} runs, {stopped} hosts stopped"
    );
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Hosts stopped and runs of one seed, or the promise it broke.
fn judged(seed: u64) -> Result<(u64, u64), String> {
    let broken = |why: String| format!("seed {seed} (YAGURA_SEED={seed}): {why}");
    match std::panic::catch_unwind(|| live(seed)) {
        Ok(Ok(room)) => {
            let stopped = room.hosts.iter().filter(|host| host.life == Life::Down).count() as u64;
            Ok((
                stopped,
                room.count(|record| matches!(record, Record::RunStarted { .. })) as u64,
            ))
        }
        Ok(Err(why)) => Err(broken(why)),
        Err(_) => Err(broken("it panicked".into())),
    }
}

fn live(seed: u64) -> Result<Room, String> {
    let mut fate = cast(&mut Dice(seed));
    let mut fits = vec![true; fate.room.hosts.len()];
    let mut rich = true;
    fate.events.sort_by_key(|(at, _)| *at);
    for (at, event) in std::mem::take(&mut fate.events) {
        fate.room.run_until(at);
        fate.room.remark(&format!("{event:?}"));
        let loses = matches!(event, Happens::Mains(_, false));
        befall(&mut fate.room, event);
        if loses {
            for (fits, life) in fits.iter_mut().zip(fate.room.true_lives()) {
                *fits &= life > needs(&fate.room) + FIT_SLACK;
                rich &= life > 3.0 * (fate.only_outage.unwrap_or(f64::INFINITY) + needs(&fate.room));
            }
        }
    }
    fate.room.run_until(fate.end);
    let told = |why: String| format!("{why}\n{}", fate.room.transcript.join("\n"));
    promises(&fate, &fits, rich).map_err(told)?;
    Ok(fate.room)
}

fn befall(room: &mut Room, event: Happens) {
    match event {
        Happens::Mains(ups, there) => room.ups[ups].mains = there,
        Happens::Silent(ups, silent) => room.ups[ups].silent = silent,
        Happens::Test(ups, runs) => room.ups[ups].testing = runs,
        Happens::Freeze(ups) => room.freeze(ups),
        Happens::Glitch(ups) => {
            for (fact, says) in [("battery.charge", "0"), ("battery.runtime", "1")] {
                room.ups[ups].once.insert(fact.into(), says.into());
            }
        }
        Happens::Kill => room.kill(false),
        Happens::Reboot => room.kill(true),
        Happens::Act(true) => room.connect_act(),
        Happens::Act(false) => room.lose_act(),
        Happens::Clock(step) => room.wall_step += step,
        Happens::Rehearse => room.tell(Input::Rehearse { by: "Sato".into() }),
    }
}

/// A room with its hosts, its UPSes and what will happen to them.
fn cast(dice: &mut Dice) -> Fate {
    let names: Vec<String> = (0..dice.between(1, 3)).map(|ups| format!("ups-{ups}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut site = site_with(&names, random_policy(dice));
    for device in &mut site.devices {
        device.poll_on_battery = Millis(dice.between(1, 4) * 1_000);
    }
    let count = dice.between(1, 5);
    for index in 0..count {
        let mut feeds: Vec<&str> = names.iter().copied().filter(|_| dice.chance(60)).collect();
        if feeds.is_empty() {
            feeds.push(names[dice.between(0, names.len() as u64 - 1) as usize]);
        }
        let uses: Vec<String> = (index + 1..count)
            .filter(|_| dice.chance(30))
            .map(|other| format!("h{other}"))
            .collect();
        let uses: Vec<&str> = uses.iter().map(String::as_str).collect();
        let mut host = host(&format!("h{index}"), &feeds, &uses);
        host.need = dice.between(1, host.feeds.len() as u64) as usize;
        host.budget = Millis(dice.between(6, 20) * 1_000);
        if dice.chance(20) {
            host.confirm = Confirm::ActionSucceeded;
        }
        if dice.chance(15) {
            host.on_failure = OnFailure::Hold;
        }
        site.hosts.push(host);
    }
    let batteries: Vec<f64> = names.iter().map(|_| dice.between(80, 500) as f64).collect();
    let mut room = Room::new(site, &batteries);
    for index in 0..room.hosts.len() {
        let budget = room.site.hosts[index].budget.0;
        room.hosts[index].manner = match dice.between(0, 19) {
            0 => Manner::Hangs,
            1 => Manner::Stays,
            2 => Manner::Refuses,
            3 => Manner::OtherKey,
            4 => Manner::Fails(dice.between(1, 2) as u32),
            5..=12 => Manner::Stops(dice.between(budget * 3 / 4, budget * 9 / 10)),
            _ => Manner::Stops(dice.between(300, budget / 2)),
        };
    }
    fate_of(room, dice)
}

fn random_policy(dice: &mut Dice) -> OutagePolicy {
    OutagePolicy {
        on_battery_delay: Millis(dice.between(0, 15) * 1_000),
        reserve: Millis(dice.between(20, 40) * 1_000),
        start_at_charge: dice.between(0, 10) as f64,
        longest_on_battery: Millis(dice.between(60, 3_000) * 1_000),
        contact_lost_after: Millis(dice.between(6, 20) * 1_000),
        mains_stable: Millis(dice.between(10, 40) * 1_000),
        ..super::world::policy()
    }
}

fn fate_of(mut room: Room, dice: &mut Dice) -> Fate {
    let all = room.ups.len();
    let mut events = Vec::new();
    let begins = dice.between(30, 60) * 1_000;
    let pattern = dice.between(0, 9);
    let lasts = if pattern == 6 {
        dice.between(2, 60)
    } else {
        dice.between(60, 900)
    } * 1_000;
    let mut ends = match pattern {
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
            outage(
                &mut events,
                0..all,
                first + pause,
                dice.between(20, 400) * 1_000,
                dice,
            )
        }
    };
    let mains_fail = pattern >= 2;
    let (blind, honest) = faults(&mut events, &mut room, begins, ends, mains_fail, dice);
    let reboots = dice.chance(6);
    if reboots {
        let at = dice.between(begins, ends + 10_000);
        events.push((at, Happens::Reboot));
        ends = ends.max(at + super::world::REBOOT_TAKES);
    }
    Fate {
        room,
        events,
        end: ends + QUIET_END,
        mains_fail,
        reboots,
        blind,
        honest,
        only_outage: (2..=7).contains(&pattern).then(|| lasts as f64 / 1000.0 + 60.0),
    }
}

/// Mains fails at about the same time on some UPSes, and is back at about the same time.
fn outage(
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

/// Lies, silence, deaths, clock steps. Whether a UPS may be silent as mains fails, and whether
/// none lies beyond a glitch.
fn faults(
    events: &mut Vec<(u64, Happens)>,
    room: &mut Room,
    begins: u64,
    ends: u64,
    mains_fail: bool,
    dice: &mut Dice,
) -> (bool, bool) {
    let (mut blind, mut honest) = (false, true);
    for ups in 0..room.ups.len() {
        if dice.chance(40) {
            honest &= lie(events, room, ups, begins, ends, mains_fail, dice);
        }
        if dice.chance(25) {
            let at = dice.between(5_000, ends + 20_000);
            let until = at + dice.between(3, 120) * 1_000;
            events.push((at, Happens::Silent(ups, true)));
            events.push((until.min(ends + 40_000).max(at + 1), Happens::Silent(ups, false)));
            blind = true;
        }
    }
    for _ in 0..dice.between(0, 3) {
        room.orphan_orders_arrive = dice.chance(50);
        if dice.chance(50) {
            room.crash_at = Some(dice.between(2, 30) as usize);
        } else {
            events.push((dice.between(2_000, ends + 20_000), Happens::Kill));
        }
    }
    if dice.chance(15) {
        let at = dice.between(10_000, ends);
        events.push((at, Happens::Act(false)));
        events.push((at + dice.between(500, 5_000), Happens::Act(true)));
    }
    for _ in 0..dice.between(0, 3) {
        let step = [60_000, -3_600_000, 315_360_000_000, -315_360_000_000][dice.between(0, 3) as usize];
        events.push((dice.between(2_000, ends), Happens::Clock(step)));
    }
    if dice.chance(20) {
        events.push((dice.between(2_000, begins), Happens::Rehearse));
    }
    (blind, honest)
}

/// One UPS lies in one way, as real ones were seen to. True when it is a glitch only.
fn lie(
    events: &mut Vec<(u64, Happens)>,
    room: &mut Room,
    ups: usize,
    begins: u64,
    ends: u64,
    mains_fail: bool,
    dice: &mut Dice,
) -> bool {
    let mut says = |fact: &'static str, word: &'static str| {
        room.ups[ups].says.insert(fact.into(), word.into());
    };
    match dice.between(0, if mains_fail { 10 } else { 15 }) {
        0 => says("battery.charge", "100"),
        1 => says("battery.charge", "-"),
        2 => says("battery.runtime", "0"),
        3 => says("battery.runtime", "4294967295"),
        4 => says("input.voltage", "-"),
        5 => says("battery.time_on", "77"),
        6 => says("battery.time_on", "-"),
        7 => says("ups.test.result", "running"),
        8 => events.push((dice.between(5_000, begins + 30_000), Happens::Freeze(ups))),
        9 | 10 => {
            events.push((dice.between(begins, ends), Happens::Glitch(ups)));
            return true;
        }
        11 => says("input.voltage", "0"),
        12 => says("output.source", "battery"),
        13 => {
            says("output.source", "battery");
            says("input.voltage", "-");
        }
        14 => says("battery.status", "low"),
        _ => {
            let at = dice.between(5_000, begins);
            events.push((at, Happens::Test(ups, true)));
            events.push((at + dice.between(5, 240) * 1_000, Happens::Test(ups, false)));
        }
    }
    false
}

/// Seconds that the plan needs, from the loss of mains to its end.
fn needs(room: &Room) -> f64 {
    let policy = room.site.outage.as_ref().expect("a policy");
    let secs = |span: Millis| span.0 as f64 / 1000.0;
    secs(policy.on_battery_delay) + secs(room.engine.plan().length()) + secs(policy.reserve)
}

fn promises(fate: &Fate, fits: &[bool], rich: bool) -> Result<(), String> {
    order_is_kept(fate)?;
    nobody_is_stopped_twice(fate)?;
    nothing_without_cause(fate)?;
    nobody_falls_when_the_plan_fits(fate, fits)?;
    one_run_at_a_time(fate)?;
    short_outages_are_ridden_through(fate, rich)?;
    everyone_is_dealt_with_once(fate)?;
    nothing_is_left_over(fate)
}

fn order_is_kept(fate: &Fate) -> Result<(), String> {
    let room = &fate.room;
    for host in &room.hosts {
        let Some((_, at)) = host.effects.first() else {
            continue;
        };
        let step = room.engine.plan().step(&host.id).expect("every host is a step");
        for before in &step.after {
            let other = room
                .hosts
                .iter()
                .find(|other| other.id == *before)
                .expect("a host");
            let ended = other.ended.is_some_and(|ended| ended <= *at);
            let given_up = room.journal.iter().any(|(_, record)| match record {
                Record::StepAbandoned { order, .. } => order.step == *before,
                _ => false,
            });
            let may_go_on = room
                .engine
                .plan()
                .step(before)
                .is_some_and(|step| step.on_failure == OnFailure::GoOn);
            let given_up = given_up && may_go_on;
            if !ended && !given_up {
                return Err(format!("{} was stopped before {before}", host.id));
            }
        }
    }
    Ok(())
}

fn nobody_is_stopped_twice(fate: &Fate) -> Result<(), String> {
    match fate.room.hosts.iter().find(|host| host.effects.len() > 1) {
        Some(host) => Err(format!("{} was stopped twice: {:?}", host.id, host.effects)),
        None => Ok(()),
    }
}

fn nothing_without_cause(fate: &Fate) -> Result<(), String> {
    let room = &fate.room;
    let runs = room.count(|record| matches!(record, Record::RunStarted { .. }));
    let stopped = room.hosts.iter().any(|host| !host.effects.is_empty());
    if !fate.mains_fail && (runs > 0 || stopped) {
        return Err("a run without an outage".into());
    }
    Ok(())
}

fn nobody_falls_when_the_plan_fits(fate: &Fate, fits: &[bool]) -> Result<(), String> {
    let room = &fate.room;
    if fate.reboots || fate.blind {
        return Ok(());
    }
    let stops = |id: &String| {
        let host = room.hosts.iter().find(|host| host.id == *id).expect("a host");
        matches!(host.manner, Manner::Stops(_))
    };
    let holds = |id: &String| {
        room.engine
            .plan()
            .step(id)
            .is_some_and(|step| step.on_failure == OnFailure::Hold)
    };
    for (host, fits) in room.hosts.iter().zip(fits) {
        // What waits for a host that will not stop may be held; that is the policy's choice.
        let before = room.engine.plan().with_dependants([host.id.clone()]);
        let given_up = |id: &String| {
            room.count(|record| matches!(record, Record::StepAbandoned { order, .. } if order.step == *id))
                > 0
        };
        let held = before.iter().any(|id| (!stops(id) || given_up(id)) && holds(id));
        if host.life == Life::Fell && *fits && stops(&host.id) && !held {
            return Err(format!("{} lost its power although the plan fitted", host.id));
        }
    }
    Ok(())
}

fn one_run_at_a_time(fate: &Fate) -> Result<(), String> {
    let mut open = None;
    for (_, record) in &fate.room.journal {
        match record {
            Record::RunStarted { run, .. } => match open.replace(*run) {
                Some(other) => return Err(format!("run {run} began while run {other} was open")),
                None => continue,
            },
            Record::RunEnded { run, .. } if open == Some(*run) => open = None,
            _ => {}
        }
    }
    Ok(())
}

fn short_outages_are_ridden_through(fate: &Fate, rich: bool) -> Result<(), String> {
    let policy = fate.room.site.outage.as_ref().expect("a policy");
    let longest = policy.longest_on_battery.0 as f64 / 1000.0;
    let short = fate.only_outage.is_some_and(|secs| secs + 10.0 < longest);
    let started = fate
        .room
        .count(|record| matches!(record, Record::RunStarted { .. }));
    if short && rich && fate.honest && !fate.blind && !fate.reboots && started > 0 {
        return Err("a short outage on a rich battery was not ridden through".into());
    }
    Ok(())
}

fn everyone_is_dealt_with_once(fate: &Fate) -> Result<(), String> {
    let mut dealt: Vec<&String> = Vec::new();
    for (_, record) in &fate.room.journal {
        match record {
            Record::OutageOver => dealt.clear(),
            Record::StepAbandoned { order, .. }
            | Record::StepConfirmed {
                order, late: false, ..
            } => {
                dealt.push(&order.step);
            }
            Record::RunStarted { scope, .. } | Record::RunExtended { scope, .. } => {
                if let Some(again) = scope.iter().find(|step| dealt.contains(step)) {
                    return Err(format!("{again} was dealt with twice in one outage"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn nothing_is_left_over(fate: &Fate) -> Result<(), String> {
    let room = &fate.room;
    let power = room.engine.view(room.clock());
    if power.outage_s.is_some() {
        return Err("mains is back for good, but the outage is not over".into());
    }
    if power.run.is_some_and(|run| run.state == "running") {
        return Err("a run is still open".into());
    }
    if power.steps.iter().any(|step| step.state == "started") {
        return Err("a step is still under way".into());
    }
    let stopped: Vec<_> = room
        .hosts
        .iter()
        .filter(|host| host.life == Life::Down)
        .map(|host| host.id.clone())
        .collect();
    let listed = room.engine.conditions(room.clock());
    let listed = listed
        .iter()
        .find(|condition| condition.id == "outage.hosts_stopped")
        .expect("a condition");
    match stopped
        .iter()
        .find(|id| !listed.because.en.split([' ', ',', ';']).any(|word| word == *id))
    {
        Some(host) => Err(format!(
            "{host} was stopped and is not on the list: {}",
            listed.because.en
        )),
        None => Ok(()),
    }
}

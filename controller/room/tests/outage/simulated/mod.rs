//! Random rooms, outages and faults under one seed. The same seed gives the same story everywhere,
//! so a promise that was broken once can be read, mended and kept as a scenario.
//!
//! ```text
//! seed -> cast (the room) -> fate (what happens, and when) -> after (people, the return)
//!      -> live -> promises, returned (what must hold)
//! ```
//!
//! The ordinary tests run some of them; `cargo xtask simulate` runs as many as one likes.

mod after;
mod cast;
mod fate;
mod promises;
mod returned;

use crate::world::Room;
use room::outage::Record;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

/// What many seeds came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    pub(crate) seeds: u64,
    pub(crate) runs: u64,
    pub(crate) stopped: u64,
    /// Hosts that began to come up by an order of ours.
    pub(crate) started: u64,
    pub(crate) deaths: u64,
    pub(crate) records: u64,
    /// Simulated milliseconds.
    pub(crate) millis: u64,
    /// Seeds that broke a promise, and which; in no order.
    pub(crate) broken: Vec<(u64, String)>,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.runs += other.runs;
        self.stopped += other.stopped;
        self.started += other.started;
        self.deaths += other.deaths;
        self.records += other.records;
        self.millis += other.millis;
        self.broken.extend(other.broken);
    }

    fn note(&mut self, seed: u64, lived: Result<Room, String>) {
        self.seeds += 1;
        match lived {
            Ok(room) => {
                let stops = room.hosts.iter().map(|host| host.effects.len() as u64);
                self.stopped += stops.sum::<u64>();
                let starts = room.hosts.iter().map(|host| host.starts.len() as u64);
                self.started += starts.sum::<u64>();
                self.runs += room.count(|record| matches!(record, Record::RunStarted { .. })) as u64;
                self.deaths += u64::from(room.deaths);
                self.records += room.journal.len() as u64;
                self.millis += room.now;
            }
            Err(promise) => self.broken.push((seed, promise)),
        }
    }
}

/// Seeds from `from` on, spread over threads, until so many broke a promise.
pub(crate) fn many(from: u64, count: u64, threads: usize, most_broken: usize) -> Totals {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Totals::default();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count {
                        break;
                    }
                    own.note(from + seed, one(from + seed, true));
                    if own.broken.len() >= most_broken {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                totals.lock().expect("no thread died").add(own);
            });
        }
    });
    let mut totals = totals.into_inner().expect("no thread died");
    totals.broken.sort();
    totals
}

/// The story of one seed, or the promise it broke; a story that nobody reads is not written.
pub(crate) fn one(seed: u64, quiet: bool) -> Result<Room, String> {
    match std::panic::catch_unwind(|| live(seed, quiet)) {
        Ok(lived) => lived,
        Err(why) => {
            let why = why.downcast_ref::<String>().cloned();
            Err(format!("it panicked: {}", why.unwrap_or_default()))
        }
    }
}

fn live(seed: u64, quiet: bool) -> Result<Room, String> {
    let mut fate = fate::cast(&mut Dice(seed), &mut Dice(!seed), quiet);
    let mut hopes = promises::Hopes::new(&fate);
    for (at, event) in fate.events.clone() {
        fate.room.run_until(at);
        if !quiet {
            fate.room.remark(&format!("{event:?}"));
        }
        let (worse, unknown) = (event.makes_it_worse(), event.hides_something());
        fate::befall(&mut fate.room, event);
        if worse {
            hopes.reckon(&fate);
        }
        if worse || unknown {
            hopes.doubt(&fate);
        }
    }
    fate.room.run_until(fate.end);
    match promises::kept(&fate, &hopes) {
        Ok(()) => Ok(fate.room),
        Err(why) if quiet => Err(why),
        Err(why) => Err(format!("{why}\n{}", fate.room.transcript.join("\n"))),
    }
}

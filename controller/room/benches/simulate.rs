//! The simulated outages with as many seeds as one likes. Run it by `cargo xtask simulate`.
//!
//! It lives among the benches because these are built with optimisation and are no part of the
//! product; the simulation itself is the one that the ordinary tests run.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "simulated times are small"
)]

#[path = "../tests/outage/checker.rs"]
mod checker;
#[allow(dead_code, reason = "no simulated plan ends with its UPSes switched off")]
#[path = "../tests/outage/last.rs"]
mod last;
#[path = "../tests/outage/overseer.rs"]
mod overseer;
#[path = "../tests/outage/simulated/mod.rs"]
mod simulated;
#[allow(dead_code, reason = "scenarios and other tests use the rest of it")]
#[path = "../tests/outage/world.rs"]
mod world;

use simulated::{Totals, many, one};
use std::process::ExitCode;
use std::time::Instant;

/// Seeds between two lines that say how far it is.
const LEG: u64 = 20_000;

/// What the command line asks for.
struct Wanted {
    /// One seed, with its story.
    seed: Option<u64>,
    from: u64,
    seeds: u64,
    threads: usize,
    /// So many broken seeds are looked for before it ends.
    broken: usize,
}

fn main() -> ExitCode {
    let wanted = match read(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    // A seed that panics is told like any other that breaks a promise.
    std::panic::set_hook(Box::new(|_| {}));
    match wanted.seed {
        Some(seed) => tell(seed),
        None => run(&wanted),
    }
}

fn read(words: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        seed: None,
        from: 0,
        seeds: 100_000,
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        broken: 1,
    };
    let mut words = words.filter(|word| word != "--bench");
    while let Some(option) = words.next() {
        let number: Option<u64> = words.next().and_then(|word| word.parse().ok());
        let number = number.ok_or_else(|| format!("{option}: a number must follow"))?;
        match option.as_str() {
            "--seed" => wanted.seed = Some(number),
            "--from" => wanted.from = number,
            "--seeds" => wanted.seeds = number,
            "--threads" => wanted.threads = number.max(1) as usize,
            "--broken" => wanted.broken = number.max(1) as usize,
            _ => {
                return Err(format!(
                    "{option}: unknown; say --seed, --from, --seeds, --threads or --broken"
                ));
            }
        }
    }
    Ok(wanted)
}

/// The story of one seed.
fn tell(seed: u64) -> ExitCode {
    match one(seed, false) {
        Ok(room) => {
            println!("{}", room.transcript.join("\n"));
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("seed {seed}: {why}");
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures the simulation; decides nothing"
)]
fn run(wanted: &Wanted) -> ExitCode {
    let started = Instant::now();
    let (mut done, mut broken) = (Totals::default(), Vec::new());
    while done.seeds < wanted.seeds && broken.len() < wanted.broken {
        let leg = LEG.min(wanted.seeds - done.seeds);
        let from = wanted.from + done.seeds;
        let totals = many(from, leg, wanted.threads, wanted.broken - broken.len());
        broken.extend(totals.broken.iter().cloned());
        done.seeds += totals.seeds;
        done.runs += totals.runs;
        done.stopped += totals.stopped;
        done.deaths += totals.deaths;
        done.records += totals.records;
        done.millis += totals.millis;
        let rate = done.seeds as f64 / started.elapsed().as_secs_f64();
        println!("{} seeds, {rate:.0} seeds/s", done.seeds);
    }
    let hours = done.millis / 3_600_000;
    println!(
        "{} seeds in {:.1} s on {} threads: {hours} hours simulated, {} runs, {} hosts stopped, \
         {} controllers killed, {} records; {} broke a promise",
        done.seeds,
        started.elapsed().as_secs_f64(),
        wanted.threads,
        done.runs,
        done.stopped,
        done.deaths,
        done.records,
        broken.len()
    );
    for (seed, promise) in &broken {
        println!("seed {seed}: {promise}");
    }
    match broken.first() {
        None => ExitCode::SUCCESS,
        Some((seed, _)) => tell(*seed),
    }
}

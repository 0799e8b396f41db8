//! The simulation as an ordinary test: the first seeds of it. `cargo xtask simulate` runs more.

use super::simulated::many;

const SEEDS: u64 = 2_000;

#[test]
fn simulated_outages_keep_every_promise() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let totals = many(0, SEEDS, threads, usize::MAX);
    for (seed, promise) in &totals.broken {
        println!("cargo xtask simulate --seed {seed}: {promise}");
    }
    assert!(
        totals.broken.is_empty(),
        "{} of {SEEDS} seeds broke a promise, first: {:?}",
        totals.broken.len(),
        totals.broken[0]
    );
    let (runs, stopped) = (totals.runs, totals.stopped);
    assert!(
        runs > SEEDS / 5 && stopped > SEEDS / 2,
        "too little happened: {runs} runs, {stopped} hosts stopped"
    );
}

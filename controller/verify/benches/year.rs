//! How long a year takes: `cargo bench -p yagura-verify`. The figure that is asked for: 100,000 leaves
//! with their checkpoints in a second.

#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the tests use more of it; a set-up may end the bench"
)]
#[path = "../tests/it/year.rs"]
mod year;

use std::time::Instant;
use yagura_verify::{Ask, verify};

fn main() {
    // `cargo test --benches` runs this too; it has nothing to say there.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for count in [100_000, 1_000_000] {
        let begun = now();
        let entries = year::entries(count, 365);
        let built = year::build(&entries, &year::Keys::default(), &[]);
        let made = begun.elapsed();
        let begun = now();
        let ask = Ask {
            gap_ms: year::HOUR,
            now: entries.last().map_or(0, |entry| entry.at),
            ..Ask::default()
        };
        let report = verify(&built.export, &ask);
        let took = begun.elapsed();
        let checkpoints = built
            .export
            .lines("checkpoints")
            .iter()
            .filter(|line| *line == b"---\n")
            .count();
        println!(
            "{} leaves, {checkpoints} checkpoints, {} openings, {} MB: verified in {:.2} s (exit {}), made in {:.1} s",
            report.size,
            built.export.lines("openings.jsonl").len(),
            built.export.0["leaves.jsonl"].len() >> 20,
            took.as_secs_f64(),
            report.exit_code(),
            made.as_secs_f64()
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

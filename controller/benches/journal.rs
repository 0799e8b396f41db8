//! How long the journal takes to put records on disk, by the size of the batch. Run it by
//! `cargo xtask bench journal`; it asserts nothing about time.

use controller::core::store::open_journal;
use room::event::Part;
use room::record::{Entry, Record};
use room::time::{Mono, Now, Wall};
use std::time::Instant;

/// Batch sizes: one event, a busy moment, a flood.
const SIZES: [u64; 3] = [1, 10, 100];
/// Batches of each size.
const BATCHES: usize = 200;

fn entry(seq: u64) -> Entry {
    Entry {
        seq,
        now: Now {
            mono: Mono(seq),
            wall: Wall(1_700_000_000_000),
        },
        record: Record::Trouble {
            part: Part::Web,
            problem: Some(format!("a record of usual length, number {seq}")),
        },
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bench measures time and decides nothing by it"
)]
fn now() -> Instant {
    Instant::now()
}

fn main() {
    // A folder beside the build, not /tmp, which may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the journal");
    let journal = open_journal(folder.path()).expect("a journal").journal;
    let mut seq = 0;
    for size in SIZES {
        let mut samples = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let batch: Vec<Entry> = (0..size).map(|step| entry(seq + step + 1)).collect();
            seq += size;
            let begun = now();
            // The thread may not have taken up waiting again after the last batch; the loop of
            // core knows this and sends the next one then.
            let mut answer = journal.append(batch.clone());
            loop {
                match answer.blocking_recv() {
                    Ok(done) => break done.expect("the journal takes the batch"),
                    Err(_) => answer = journal.append(batch.clone()),
                }
            }
            samples.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        samples.sort_by(f64::total_cmp);
        let at = |share: usize| samples[(samples.len() - 1) * share / 100];
        println!(
            "journal append with sync, {size} records: median {:.2} ms (quartiles {:.2} to {:.2}, p99 {:.2}, n = {BATCHES})",
            at(50),
            at(25),
            at(75),
            at(99)
        );
    }
}

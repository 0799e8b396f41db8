//! How long the journal takes to put records on disk, by the size of the batch, and beside it how
//! long this disk takes to sync one frame of a write-ahead log without SQLite. Run it by
//! `cargo xtask bench journal`; it asserts nothing about time.

use controller::core::store::open_journal;
use room::event::Part;
use room::record::{Entry, Record};
use room::time::{Mono, Now, Wall};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
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

/// A frame of SQLite's write-ahead log: header and one page.
const FRAME: usize = 24 + 4096;

/// The least that putting a batch on disk can take: frames written and synced one by one, once
/// into a file that has its length already, as a log that was begun anew, and once at its end.
struct Floor {
    file: File,
    frames: u64,
}

impl Floor {
    fn new(folder: &Path, frames: usize) -> Self {
        let file = File::create(folder.join(format!("floor-{frames}"))).expect("a file beside the journal");
        file.write_all_at(&vec![0; FRAME * frames], 0)
            .and_then(|()| file.sync_all())
            .expect("a prepared file");
        Self { file, frames: 0 }
    }

    /// Milliseconds of one frame.
    fn sync(&mut self) -> f64 {
        let begun = now();
        self.file
            .write_all_at(&[0x5a; FRAME], self.frames * FRAME as u64)
            .and_then(|()| self.file.sync_data())
            .expect("a synced frame");
        self.frames += 1;
        begun.elapsed().as_secs_f64() * 1000.0
    }
}

fn report(what: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    let at = |share: usize| samples[(samples.len() - 1) * share / 100];
    println!(
        "{what}: median {:.2} ms (quartiles {:.2} to {:.2}, p99 {:.2}, n = {})",
        at(50),
        at(25),
        at(75),
        at(99),
        samples.len()
    );
}

fn main() {
    // A folder beside the build, not /tmp, which may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the journal");
    let journal = open_journal(folder.path(), drop).expect("a journal").journal;
    let (mut prepared, mut growing) = (
        Floor::new(folder.path(), SIZES.len() * BATCHES),
        Floor::new(folder.path(), 0),
    );
    let (mut in_place, mut at_end) = (Vec::new(), Vec::new());
    let mut seq = 0;
    for size in SIZES {
        let mut samples = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let batch: Vec<Entry> = (seq + 1..=seq + size).map(entry).collect();
            seq += size;
            let begun = now();
            let answer = journal.append(batch).blocking_recv();
            samples.push(begun.elapsed().as_secs_f64() * 1000.0);
            answer
                .expect("the journal's thread answers")
                .expect("the journal takes the batch");
            // In turn with the journal, so that the disk is as busy with other things for both.
            in_place.push(prepared.sync());
            at_end.push(growing.sync());
        }
        report(&format!("journal append with sync, {size} records"), samples);
    }
    report("  floor: one frame written and fdatasync, in place", in_place);
    report("  floor: the same at the end of a growing file", at_end);
}

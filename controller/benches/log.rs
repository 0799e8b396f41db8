//! The entry log's figures: a burst and single entries with sync, the proof of a row, and searches in a
//! million rows. Run it by `cargo xtask bench log`; it asserts nothing about time.

use controller::core::log::book::Book;
use controller::core::log::read::{self, Search};
use controller::core::store::{Journal, open_journal};
use room::log::of::Portals;
use room::record::{Entry, NodeEvent, Record};
use room::time::{Mono, Now, Wall};
use shared::wire::{CredentialKind, DoorEvent};
use std::time::Instant;

/// Rows in which is searched.
const ROWS: u64 = 1_000_000;
/// Rows of the burst that is measured.
const BURST: u64 = 20_000;
/// Entries that come alone.
const SINGLE: u64 = 300;
/// Searches of each kind, and proofs.
const SAMPLES: u64 = 200;
/// Milliseconds between two entries: a million in a year.
const APART: i64 = 31_000;
/// 2026-04-02 in Japan.
const BEGIN: i64 = 1_775_100_000_000;

#[expect(
    clippy::disallowed_methods,
    reason = "a bench measures time and decides nothing by it"
)]
fn clock() -> Instant {
    Instant::now()
}

fn at(seq: u64) -> Now {
    let ms = i64::try_from(seq).unwrap_or(0) * APART;
    Now {
        mono: Mono(ms.unsigned_abs()),
        wall: Wall(BEGIN + ms),
    }
}

/// One entry in ten is a card, one in a hundred a denied one; the others are doors.
fn entry(seq: u64) -> Entry {
    let event = if seq.is_multiple_of(10) {
        NodeEvent::Credential {
            reader: 0,
            credential: CredentialKind::Felica,
            card: format!("{:064x}", seq % 83),
            decision: if seq.is_multiple_of(100) {
                "expired"
            } else {
                "granted"
            }
            .to_owned(),
            list: 3,
        }
    } else {
        NodeEvent::Door {
            portal: 0,
            door: if seq.is_multiple_of(2) {
                DoorEvent::Closed
            } else {
                DoorEvent::RequestToExit
            },
        }
    };
    let record = if seq == 1 {
        Record::Started {
            version: "bench".to_owned(),
            boot_id: "bench".to_owned(),
            epoch: 1,
            before: None,
        }
    } else {
        Record::NodeEvent {
            node: 1,
            boot: 1,
            event_seq: u32::try_from(seq).unwrap_or(u32::MAX),
            up_ms: seq,
            unix_ms: 0,
            point: None,
            event,
            mark: None,
        }
    };
    Entry {
        seq,
        now: at(seq),
        record,
    }
}

fn journal(journal: &Journal, from: u64, to: u64) {
    let entries = (from..to).map(entry).collect();
    journal
        .append(entries)
        .blocking_recv()
        .expect("the journal's thread answers")
        .expect("the journal takes the batch");
}

fn report(what: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    let at = |share: usize| samples[(samples.len() - 1) * share / 100];
    println!(
        "{what}: median {:.2} ms (p95 {:.2}, p99 {:.2}, n = {})",
        at(50),
        at(95),
        at(99),
        samples.len()
    );
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1_000.0
}

fn main() {
    // A folder beside the build, not /tmp, which may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the log");
    let kept = open_journal(folder.path(), drop).expect("a journal").journal;
    journal(&kept, 1, 2);
    let mut book = Book::open(folder.path(), "bench", Portals::default(), 0).expect("a log");
    book.work(at(1)).expect("the first entry");

    let mut seq = 2;
    journal(&kept, seq, seq + BURST);
    seq += BURST;
    let begun = clock();
    book.work(at(seq)).expect("a burst");
    book.sign(at(seq)).expect("a checkpoint");
    let took = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = BURST as f64 / took;
    println!("append of {BURST} entries with syncs and a checkpoint: {rate:.0} entries/s");

    let mut samples = Vec::new();
    // Within one minute: checkpoints come by the minute, not by the entry.
    let minute = at(seq);
    for _ in 0..SINGLE {
        journal(&kept, seq, seq + 1);
        seq += 1;
        let begun = clock();
        book.work(minute).expect("an entry");
        samples.push(ms(begun));
    }
    report("append of one entry with sync", samples);

    while seq < ROWS {
        let to = (seq + 10_000).min(ROWS);
        journal(&kept, seq, to);
        seq = to;
        book.work(at(seq)).expect("entries");
    }
    book.sign(at(seq)).expect("a checkpoint");
    drop(book);
    // Persons and doors of a site with 83 people and five doors.
    let wide = rusqlite::Connection::open(folder.path().join("log.db")).expect("the log");
    wide.execute_batch(
        "UPDATE row SET portal = 'door-' || (n % 5), person = CASE WHEN kind LIKE 'entry.%' THEN 'p' || (n % 83) END;
         ANALYZE",
    )
    .expect("rows with persons and doors");
    drop(wide);

    let log = read::open(folder.path()).expect("the log");
    let year = read::newest_year(&log).expect("a year");
    let size = read::size(&log, year).expect("a size");
    println!("rows: {size}");
    let mut samples = Vec::new();
    for k in 0..SAMPLES * 5 {
        let n = k * 7_919 % size;
        let begun = clock();
        read::prove(&log, year, n).expect("a proof");
        samples.push(ms(begun));
    }
    report("proof of a row", samples);

    let month = 30 * 86_400_000;
    let span = |k: u64| {
        let from = BEGIN + i64::try_from(k % 11).unwrap_or(0) * month;
        (Some(from), Some(from + month))
    };
    type Make = fn(u64) -> Search;
    let searches: [(&str, Make); 5] = [
        ("person", |k| Search {
            person: Some(format!("p{}", k % 83)),
            ..Search::default()
        }),
        ("portal", |k| Search {
            portal: Some(format!("door-{}", k % 5)),
            ..Search::default()
        }),
        ("kind", |_| Search {
            kind: Some("entry".to_owned()),
            ..Search::default()
        }),
        ("flag", |_| Search {
            flag: Some("denied".to_owned()),
            ..Search::default()
        }),
        ("person and portal and flag", |k| Search {
            person: Some(format!("p{}", k % 83)),
            portal: Some(format!("door-{}", k % 5)),
            flag: Some("denied".to_owned()),
            ..Search::default()
        }),
    ];
    for (what, search) in searches {
        for (how, in_month) in [("a month of the year", true), ("the whole year", false)] {
            let mut samples = Vec::new();
            for k in 0..SAMPLES {
                let (from_ms, to_ms) = if in_month { span(k) } else { (None, None) };
                let wanted = Search {
                    from_ms,
                    to_ms,
                    limit: 100,
                    ..search(k)
                };
                let begun = clock();
                read::search(&log, &wanted).expect("rows");
                samples.push(ms(begun));
            }
            report(&format!("search by {what} in {how}"), samples);
        }
    }
}

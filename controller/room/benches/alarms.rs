//! What ten thousand standing alarms and a journal of a hundred thousand records of alarms cost.
//! Run it by `cargo xtask bench alarms`; it asserts nothing about time.

use room::alarm::{Book, Condition, Definition};
use room::catalog::Kind;
use room::record::{Entry, Record};
use room::site::Label;
use room::time::{Millis, Mono, Now, Wall};
use std::hint::black_box;
use std::time::Instant;

/// Alarms that the room could raise: four for each of ten thousand devices.
const DEFINED: usize = 40_000;
/// Alarms that stand.
const STANDING: usize = 10_000;
/// Records of alarms in the journal of the restart.
const RECORDS: usize = 100_000;
/// Measurements of each figure.
const ROUNDS: usize = 21;

fn now(ms: u64) -> Now {
    Now {
        mono: Mono(ms),
        wall: Wall(1_700_000_000_000),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bench measures time and decides nothing by it"
)]
fn instant() -> Instant {
    Instant::now()
}

fn id(number: usize) -> String {
    format!("switch-{}.part-{}", number / 4, number % 4)
}

fn furnished() -> Book {
    let mut book = Book::default();
    book.define(Definition::of(
        Kind::OnBattery,
        "outage",
        Label::new("電源", "power"),
    ));
    for number in 0..DEFINED {
        let place = Label::new(format!("ラック {number}"), format!("rack {number}"));
        book.define(Definition {
            on_delay: Millis(1_000),
            folded_under: vec!["outage".to_owned()],
            ..Definition::of(Kind::DeviceUnreachable, id(number), place)
        });
    }
    book
}

fn because() -> Condition {
    Condition::Holds(Label::new("応答がない", "it does not answer"))
}

/// Median and worst in microseconds.
fn figure(what: &str, each: usize, mut round: impl FnMut(usize)) {
    let mut took: Vec<f64> = (0..ROUNDS)
        .map(|number| {
            let begin = instant();
            round(number);
            begin.elapsed().as_secs_f64() * 1e6 / each as f64
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!(
        "{what:<58} {:>10.2} us  (worst {:.2})",
        took[ROUNDS / 2],
        took[ROUNDS - 1]
    );
}

#[expect(clippy::cast_precision_loss, reason = "a size in megabytes")]
fn main() {
    let mut book = furnished();
    let mut records = Vec::new();
    for number in 0..STANDING {
        book.report(now(0), &id(number), because());
    }
    let begin = instant();
    let due = book.tick(now(1_000));
    println!("{} alarms fall due at once: {:?}", due.len(), begin.elapsed());
    let begin = instant();
    for record in due {
        book.apply(now(1_000), &record);
        records.push(record);
    }
    println!("{STANDING} alarms raised: {:?}", begin.elapsed());

    figure("report of an alarm that stands", STANDING, |_| {
        for number in 0..STANDING {
            black_box(book.report(now(2_000), &id(number), because()));
        }
    });
    figure("report that begins and ends a delay", STANDING, |_| {
        for number in STANDING..2 * STANDING {
            black_box(book.report(now(2_000), &id(number), because()));
            black_box(book.report(now(2_000), &id(number), Condition::Gone));
        }
    });
    figure("tick with nothing due", 1, |_| {
        black_box(book.tick(now(2_000)));
    });
    figure("next deadline", 1, |_| {
        black_box(book.next_deadline());
    });
    figure("picture of 10,000 standing alarms", 1, |_| {
        black_box(book.view(now(2_000), usize::MAX).0);
    });
    let bytes = serde_json::to_vec(&book.view(now(2_000), usize::MAX).0)
        .expect("rows are plain")
        .len();
    println!("picture as JSON: {:.1} MB", bytes as f64 / 1e6);
    let cause = book
        .raise_now("outage", Label::new("停電", "outage"))
        .expect("it does not stand");
    let begin = instant();
    book.apply(now(3_000), &cause);
    println!("a cause folds {DEFINED} alarms: {:?}", begin.elapsed());

    let lines: Vec<String> = (0..RECORDS)
        .map(|number| {
            let alarm = id(number / 2 % STANDING);
            let record = if number % 2 == 0 {
                records[number / 2 % STANDING].clone()
            } else {
                Record::AlarmReturned { alarm, unseen: false }
            };
            let seq = number as u64 + 1;
            let entry = Entry {
                seq,
                now: now(seq),
                record,
            };
            serde_json::to_string(&entry).expect("a record is plain")
        })
        .collect();
    let size: usize = lines.iter().map(String::len).sum();
    let mut again = furnished();
    let begin = instant();
    for line in &lines {
        let entry: Entry = serde_json::from_str(line).expect("as it was written");
        again.apply(entry.now, &entry.record);
    }
    println!(
        "replay of {RECORDS} records of alarms ({:.0} MB): {:?}",
        size as f64 / 1e6,
        begin.elapsed()
    );
}

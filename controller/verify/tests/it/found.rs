//! What is done to a year of entries, and which verdict finds it: `tampers.txt` is the table, and the page
//! `deploy/docs/entry-log-check.md` shows it. `UPDATE_EXPECT=1` writes both anew; `YAGURA_FULL_YEAR=1` runs
//! the same over 100,000 entries.

use crate::{tamper, year};
use std::fmt::Write as _;
use std::path::Path;
use yagura_verify::forms::from_rfc3339;
use yagura_verify::report::{Verdict, Weight};
use yagura_verify::{Answer, Ask, Policy, Report, verify};

/// Entries and days: a few weeks, or the year.
fn measure() -> (usize, i64) {
    if std::env::var_os("YAGURA_FULL_YEAR").is_some() {
        (100_000, 364)
    } else {
        (5_000, 20)
    }
}

fn check(case: &tamper::Case) -> Report {
    let note = |(name, text): &(&str, String)| {
        (
            Some((*name).to_owned()),
            yagura_verify::note::parse(text.as_bytes()).unwrap(),
        )
    };
    let ask = Ask {
        policy: Policy::parse(&case.policy).unwrap(),
        notes: case.note.iter().map(note).collect(),
        until: Some(from_rfc3339(&case.until).unwrap()),
        gap_ms: year::HOUR,
        ..Ask::default()
    };
    verify(&case.export, &ask)
}

/// `bad root,signature`
fn cell(verdict: &Verdict) -> String {
    let heaviest = match verdict.answer() {
        Answer::Good => return "good".to_owned(),
        Answer::CannotTell => Weight::Doubt,
        Answer::Bad => Weight::Bad,
    };
    let mut codes: Vec<&str> = verdict
        .findings()
        .filter(|finding| finding.weight == heaviest)
        .map(|finding| finding.code)
        .collect();
    codes.sort_unstable();
    codes.dedup();
    let word = if heaviest == Weight::Bad { "BAD" } else { "?" };
    format!("{word} {}", codes.join(","))
}

fn table(cases: &[tamper::Case]) -> (String, Vec<&'static str>) {
    let mut out = String::new();
    let mut missed = Vec::new();
    for case in cases {
        let report = check(case);
        let _ = writeln!(out, "{}: {}", case.name, case.what);
        for (name, _, verdict) in report.verdicts() {
            let _ = writeln!(out, "    {name:<13} {}", cell(verdict));
        }
        let honest = matches!(case.name, "untouched" | "note-agrees");
        if (report.exit_code() == 0) != honest {
            missed.push(case.name);
            println!("{}", report.text());
        }
    }
    (out, missed)
}

#[test]
fn every_tampering_of_a_year_is_found_and_the_honest_year_is_good() {
    let (count, days) = measure();
    let year = tamper::year(count, days);
    let (table, missed) = table(&tamper::cases(&year));
    println!("{} leaves\n{table}", year.entries.len());
    assert!(
        missed.is_empty(),
        "a verdict of its own kind is missing: {missed:?}"
    );
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = here.join("tests/tampers.txt");
    let page = here.join("../../deploy/docs/entry-log-check.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (head, rest) = text.split_once("```tampers\n").expect("the page has the table");
    let (shown, tail) = rest.split_once("```").expect("the table ends");
    if std::env::var_os("YAGURA_FULL_YEAR").is_some() {
        // Of many findings twenty are shown, so the words may differ; the answers do not.
        let answers = |table: &str| -> Vec<String> {
            let words = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            table.lines().map(words).collect()
        };
        assert_eq!(answers(&table), answers(shown));
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&golden, &table).unwrap();
        std::fs::write(&page, format!("{head}```tampers\n{table}```{tail}")).unwrap();
        return;
    }
    assert_eq!(
        std::fs::read_to_string(&golden).unwrap(),
        table,
        "UPDATE_EXPECT=1 writes it anew"
    );
    assert_eq!(shown, table, "the page shows what the test found");
}

//! Bytes that nobody wrote: whatever stands in an export, the verdict is given, without a panic, and is
//! never good where the leaves are not the honest ones.

use crate::year::Export;
use crate::{tamper, year};
use proptest::prelude::*;
use std::sync::OnceLock;
use yagura_verify::forms::from_rfc3339;
use yagura_verify::{Ask, Policy, proof, verify};

const FILES: [&str; 5] = [
    "checkpoint",
    "checkpoints",
    "leaves.jsonl",
    "openings.jsonl",
    "seen.jsonl",
];

fn honest() -> &'static (Export, Policy, i64) {
    static HONEST: OnceLock<(Export, Policy, i64)> = OnceLock::new();
    HONEST.get_or_init(|| {
        let year = tamper::year(60, 1);
        let policy = Policy::parse(&tamper::policy(&year)).unwrap();
        (year.built.export, policy, from_rfc3339(&year.until).unwrap())
    })
}

fn ask() -> Ask {
    let (_, policy, until) = honest();
    Ask {
        policy: policy.clone(),
        until: Some(*until),
        gap_ms: year::HOUR,
        ..Ask::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn changed_bytes_of_the_leaves_are_never_good(
        at in any::<prop::sample::Index>(),
        cut in 0_usize..40,
        put in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let (export, _, _) = honest();
        let mut changed = export.clone();
        let leaves = changed.0.get_mut("leaves.jsonl").unwrap();
        let from = at.index(leaves.len());
        let to = (from + cut).min(leaves.len());
        leaves.splice(from..to, put);
        let same = changed.0["leaves.jsonl"] == export.0["leaves.jsonl"];
        let report = verify(&changed, &ask());
        prop_assert_eq!(report.exit_code() == 0, same, "{}", report.text());
    }

    #[test]
    fn changed_bytes_anywhere_are_answered(
        file in 0_usize..5,
        at in any::<prop::sample::Index>(),
        cut in 0_usize..60,
        put in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut changed = honest().0.clone();
        let bytes = changed.0.entry(FILES[file]).or_default();
        let from = at.index(bytes.len() + 1);
        let to = (from + cut).min(bytes.len());
        bytes.splice(from..to, put);
        let report = verify(&changed, &ask());
        prop_assert!(report.exit_code() <= 2);
        let _: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    }

    #[test]
    fn bytes_that_nobody_wrote_are_never_good(
        files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 5),
        text in ".{0,300}",
    ) {
        let export = Export(FILES.into_iter().zip(files.clone()).collect());
        prop_assert_ne!(verify(&export, &ask()).exit_code(), 0);
        prop_assert_ne!(proof::verify(&files[0], &files[1], &ask()).exit_code(), 0);
        prop_assert!(Policy::parse(&text).is_err() || text.trim().is_empty() || text.trim_start().starts_with('#'));
    }
}

#[test]
fn a_row_with_its_proof_is_in_the_signed_tree_and_nowhere_else() {
    use yagura_verify::tree::leaf_hash;
    let (export, _, _) = honest();
    let lines = export.lines("leaves.jsonl");
    let leaves: Vec<&[u8]> = lines.iter().map(|line| &line[..line.len() - 1]).collect();
    // RFC 6962 section 2.1.1, word by word.
    fn root(leaves: &[&[u8]]) -> [u8; 32] {
        use sha2::{Digest as _, Sha256};
        if let [one] = leaves {
            return leaf_hash(one);
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        let parts = [&[1][..], &root(left), &root(right)].concat();
        Sha256::digest(parts).into()
    }
    fn path(at: usize, leaves: &[&[u8]]) -> Vec<[u8; 32]> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let half = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(half);
        let (mut below, beside) = if at < half {
            (path(at, left), right)
        } else {
            (path(at - half, right), left)
        };
        below.push(root(beside));
        below
    }
    // The key in force at the end, as whoever checks such a row gives it.
    let policy = tamper::policy(&tamper::year(60, 1));
    let (_, rest) = policy.split_once('\n').unwrap();
    let policy = format!(
        "log {}\n{rest}",
        year::verifier_key(year::SITE, 1, &year::key("log 2"))
    );
    let ask = Ask {
        policy: Policy::parse(&policy).unwrap(),
        ..ask()
    };
    for at in [0, 1, 30, leaves.len() - 1] {
        let hashes: String = path(at, &leaves)
            .iter()
            .map(|hash| year::base64(hash) + "\n")
            .collect();
        let note = String::from_utf8(export.0["checkpoint"].clone()).unwrap();
        let text = format!("c2sp.org/tlog-proof@v1\nindex {at}\n{hashes}\n{note}");
        let good = proof::verify(leaves[at], text.as_bytes(), &ask);
        assert_eq!(good.exit_code(), 0, "{}", good.text());
        let other = proof::verify(leaves[2], text.as_bytes(), &ask);
        assert_eq!(other.exit_code(), 1, "{}", other.text());
        for (from, to) in [
            (format!("index {at}"), format!("index {}", at + 2)),
            (hashes[..44].to_owned(), year::base64(&[7; 32])),
        ] {
            assert_eq!(
                proof::verify(leaves[at], text.replacen(&from, &to, 1).as_bytes(), &ask).exit_code(),
                1
            );
        }
        let strangers = Ask {
            policy: Policy::default(),
            ..Ask::default()
        };
        assert_eq!(
            proof::verify(leaves[at], text.as_bytes(), &strangers).exit_code(),
            2,
            "no key was given"
        );
    }
}

//! Property tests and small cases of redundancy: silence never means healthy.

use super::*;
use crate::device::{Fact, FactValue, Reading};
use proptest::prelude::*;
use shared::NoData;
use std::collections::BTreeMap;

fn reading(rows: &[(&str, &str)]) -> Reading {
    let fact = |(name, word): &(&str, &str)| Fact {
        name: (*name).to_owned(),
        value: if *word == "?" {
            Err(NoData::Timeout)
        } else {
            Ok(FactValue::State((*word).to_owned()))
        },
        unit: "",
        at: String::new(),
        label: None,
        raw: String::new(),
    };
    Reading {
        facts: rows.iter().map(fact).collect(),
        ..Reading::default()
    }
}

fn english(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Bad(words) => words.en.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn facts_of_every_profile_belong_to_the_part_they_are_about() {
    for (fact, kind) in [
        ("psu.2.health", Some(Kind::Supply)),
        ("psu.1.2.health", Some(Kind::Supply)),
        ("psu.health", Some(Kind::Supply)),
        ("enclosure.psu.1.health", Some(Kind::Supply)),
        ("psu.redundancy", Some(Kind::Redundancy)),
        ("stack.redundancy", Some(Kind::Redundancy)),
        ("raid.0.1.health", Some(Kind::Array)),
        ("volume.1.health", Some(Kind::Array)),
        ("raid.disk.1.health", Some(Kind::Disc)),
        ("raid.battery.1.health", Some(Kind::CacheBattery)),
        ("raid.controller.0.health", Some(Kind::Other)),
        ("disk.0.1.health", Some(Kind::Disc)),
        ("fan.env.1.health", Some(Kind::Fan)),
        ("memory.3.health", Some(Kind::Memory)),
        ("temperature.1.health", Some(Kind::Other)),
        // Roll-ups say nothing that their rows do not.
        ("psu.all.health", None),
        ("system.health", None),
        ("unmapped.psu.1.status", None),
        ("psu.1.power", None),
    ] {
        assert_eq!(Kind::of(fact), kind, "{fact}");
    }
}

#[test]
fn one_of_two_supplies_without_a_feed_is_named_and_ends_when_it_is_fed_again() {
    let mut parts = Parts::default();
    parts.hear(&reading(&[("psu.1.health", "ok"), ("psu.2.health", "ok")]));
    assert_eq!(parts.verdict(Kind::Supply, false), Verdict::Good);
    parts.hear(&reading(&[("psu.1.health", "ok"), ("psu.2.health", "critical")]));
    let bad = parts.verdict(Kind::Supply, false);
    assert_eq!(english(&bad), "1 of 2 (psu.2: critical)");
    // The card no longer tells it, the whole card is silent: it is as bad as before.
    parts.hear(&reading(&[("psu.1.health", "ok"), ("psu.2.health", "unknown")]));
    assert_eq!(parts.verdict(Kind::Supply, true), Verdict::Unknown);
    parts.hear(&reading(&[("psu.1.health", "ok")]));
    assert_eq!(parts.verdict(Kind::Supply, true), Verdict::Unknown);
    parts.silence();
    assert_eq!(parts.verdict(Kind::Supply, true), Verdict::Unknown);
    parts.hear(&reading(&[("psu.1.health", "ok"), ("psu.2.health", "ok")]));
    assert_eq!(parts.verdict(Kind::Supply, true), Verdict::Good);
}

#[test]
fn a_supply_that_was_there_and_is_absent_was_pulled_and_an_empty_bay_is_none() {
    let mut parts = Parts::default();
    parts.hear(&reading(&[("psu.1.health", "ok"), ("psu.2.health", "absent")]));
    assert_eq!(parts.verdict(Kind::Supply, false), Verdict::Good);
    parts.hear(&reading(&[
        ("psu.1.health", "absent"),
        ("psu.2.health", "absent"),
    ]));
    assert_eq!(
        english(&parts.verdict(Kind::Supply, false)),
        "1 of 1 (psu.1: absent)"
    );
}

#[test]
fn a_degraded_array_and_a_lost_one_are_different_alarms() {
    let mut parts = Parts::default();
    let kinds = parts.hear(&reading(&[("raid.1.health", "warning")]));
    assert!(kinds.contains(&Kind::ArrayLost));
    assert_eq!(
        english(&parts.verdict(Kind::Array, false)),
        "1 of 1 (raid.1: warning)"
    );
    assert_eq!(parts.verdict(Kind::ArrayLost, false), Verdict::Good);
    parts.hear(&reading(&[("raid.1.health", "critical")]));
    assert_eq!(
        english(&parts.verdict(Kind::ArrayLost, false)),
        "1 of 1 (raid.1: critical)"
    );
}

#[test]
fn after_a_restart_only_health_of_every_row_ends_an_alarm_that_stood_before() {
    let mut parts = Parts::default();
    parts.hear(&reading(&[("fan.1.health", "ok"), ("fan.2.health", "unknown")]));
    // It stood when we stopped; perhaps it was about the row that is now unknown.
    assert_eq!(parts.verdict(Kind::Fan, true), Verdict::Unknown);
    // Nothing stands: a row that this device never tells is no reason for doubt.
    assert_eq!(parts.verdict(Kind::Fan, false), Verdict::Good);
    parts.hear(&reading(&[("fan.1.health", "ok"), ("fan.2.health", "ok")]));
    assert_eq!(parts.verdict(Kind::Fan, true), Verdict::Good);
}

const WORDS: [&str; 8] = [
    "ok", "info", "warning", "critical", "absent", "off", "unknown", "?",
];

proptest! {
    /// Whatever a device says and leaves out: a supply whose last definite word was bad keeps the
    /// verdict from being good, and good is said only after every row that ever told anything
    /// tells something good now.
    #[test]
    fn silence_never_means_healthy(
        polls in proptest::collection::vec(
            proptest::option::weighted(0.9, proptest::collection::vec((0_usize..4, 0_usize..WORDS.len()), 0..6)),
            1..30,
        ),
    ) {
        let mut parts = Parts::default();
        let mut last: BTreeMap<usize, &str> = BTreeMap::new();
        let mut stands = false;
        for poll in polls {
            let mut told: BTreeMap<usize, &str> = BTreeMap::new();
            match &poll {
                None => parts.silence(),
                Some(rows) => {
                    told = rows.iter().map(|(row, word)| (*row, WORDS[*word])).collect();
                    let names: Vec<String> = told.keys().map(|row| format!("psu.{row}.health")).collect();
                    let facts: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(told.values().copied()).collect();
                    parts.hear(&reading(&facts));
                    for (row, word) in &told {
                        if !["unknown", "?"].contains(word) {
                            last.insert(*row, word);
                        }
                    }
                }
            }
            let verdict = parts.verdict(Kind::Supply, stands);
            let definite = |row: &usize| told.get(row).is_some_and(|word| !["unknown", "?"].contains(word));
            let is_bad = |word: &str| ["warning", "critical", "off"].contains(&word);
            match verdict {
                Verdict::Good => {
                    prop_assert!(!told.is_empty());
                    prop_assert!(last.keys().all(definite), "{last:?} {told:?}");
                    prop_assert!(!last.values().any(|word| is_bad(word)), "{last:?}");
                    stands = false;
                }
                Verdict::Bad(_) => stands = true,
                Verdict::Unknown => {
                    let sure = told.iter().any(|(_, word)| is_bad(word));
                    prop_assert!(!sure, "{told:?}");
                }
            }
        }
    }

    /// Of any group in any state: full redundancy needs every member up; an unknown member never
    /// leaves it redundant, and losing a member or knowledge never makes it better.
    #[test]
    fn a_group_with_an_unknown_member_is_never_called_redundant(
        members in proptest::collection::vec(
            prop_oneof![
                Just(Member::Up(None)), Just(Member::Up(Some(true))), Just(Member::Up(Some(false))),
                Just(Member::Down), Just(Member::Unknown),
            ],
            2..6,
        ),
        need in 1_usize..5,
        has_serving_fact: bool,
        which in 0_usize..6,
    ) {
        prop_assume!(need < members.len());
        let found = assess(&members, need, has_serving_fact);
        let up = members.iter().filter(|member| matches!(member, Member::Up(_))).count();
        let is_redundant = |found: &Assessment| matches!(found.redundancy, Redundancy::Full | Redundancy::Reduced);
        if members.contains(&Member::Unknown) {
            prop_assert!(!is_redundant(&found));
        }
        if found.redundancy == Redundancy::Full {
            prop_assert_eq!(up, members.len());
        }
        if is_redundant(&found) {
            prop_assert!(up > need);
        }
        if found.service == Service::Up {
            let proven = if has_serving_fact { !found.serving.is_empty() } else { up >= need };
            prop_assert!(proven, "{:?}", members);
        }
        for worse in [Member::Down, Member::Unknown] {
            let mut changed = members.clone();
            let at = which % changed.len();
            changed[at] = worse;
            let after = assess(&changed, need, has_serving_fact);
            prop_assert!(is_redundant(&found) || !is_redundant(&after) || members[at] == Member::Unknown);
        }
    }
}

//! The UPSes of the room as NUT's clients read them (RFC 9271): what the `nut` role serves.
//!
//! A client acts on two words. `OB LB` and `FSD` make it shut its host down, so they are never
//! made from one sign or from silence: they follow the verdict, not the device's flags. A UPS that
//! is lost while on mains is stale; one that is lost while on battery goes on being served from
//! the model of its battery, because a client that hears nothing gives up after fifteen seconds,
//! however much is left.

use super::wish;
use crate::command::Name;
use crate::site::Label;
use crate::snapshot::{DeviceFacts, Point, Ups};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every UPS that is served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Served {
    /// By name.
    pub upses: BTreeMap<String, ServedUps>,
    /// What became of orders to devices, by the order's number: those under way and the last that
    /// ended.
    pub orders: BTreeMap<u64, Progress>,
}

/// One UPS as clients read it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServedUps {
    /// `UPSDESC`.
    pub description: String,
    /// Variables by their NUT name, `ups.status` among them; values without quotes.
    pub vars: BTreeMap<String, String>,
    /// Whether the variables may be read.
    pub freshness: Freshness,
    /// What its device may be told, with what that does. Nothing that switches power.
    pub commands: BTreeMap<String, String>,
    /// Variables that may be set, with the values they take.
    pub settable: BTreeMap<String, Vec<String>>,
}

/// Whether the variables of a UPS may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Freshness {
    /// They are of now, or modelled from what was last heard.
    Fresh,
    /// It was heard, and is not any more: `DATA-STALE`.
    Stale,
    /// It was never heard: `DRIVER-NOT-CONNECTED`.
    #[default]
    NeverHeard,
}

/// Branches of NUT's names that hold readings of a device.
const BRANCHES: [&str; 7] = [
    "battery.", "input.", "output.", "outlet.", "ups.", "device.", "ambient.",
];

/// Facts of ours that are no variables of NUT's, although their branch is.
const OURS: [&str; 9] = [
    "output.source",
    "battery.status",
    "battery.time_on",
    "battery.replace",
    "ups.overload",
    "ups.calibration",
    "ups.test.result",
    "input.source",
    "ups.forced_shutdown",
];

/// How far an order to a device has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// Under way.
    Pending,
    /// The device did it, or took it and cannot say more.
    Done,
    /// It has not happened.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// A UPS as it is judged, with the facts that its device told.
#[must_use]
pub fn ups(judged: &Ups, facts: Option<&DeviceFacts>, forced: bool, allowed: &[Name]) -> ServedUps {
    let freshness = match judged.state.as_str() {
        "never_heard" => Freshness::NeverHeard,
        "lost" | "stale" | "unknown" => Freshness::Stale,
        _ => Freshness::Fresh,
    };
    let mut vars = BTreeMap::new();
    for point in facts.iter().flat_map(|facts| &facts.points) {
        if let Some((name, value)) = variable(&judged.name, point) {
            vars.insert(name.to_owned(), value);
        }
    }
    // What we model, and what we have judged, stands above what the device said.
    let numbers = [
        ("battery.charge", judged.charge_percent),
        ("battery.runtime", judged.runtime_s),
    ];
    for (name, value) in numbers {
        if let Some(value) = value.filter(|value| value.is_finite() && *value >= 0.0) {
            vars.insert(name.to_owned(), number(value.floor()));
        }
    }
    if judged.modelled {
        vars.insert(
            "ups.alarm".into(),
            "no contact with this UPS; charge and runtime are modelled".into(),
        );
    }
    vars.insert("ups.status".into(), status(judged, forced));
    if !vars.contains_key("device.type") {
        vars.insert("device.type".into(), "ups".into());
    }
    ServedUps {
        description: judged.label.en.clone(),
        settable: wish::settable(allowed, &vars),
        vars,
        freshness,
        commands: wish::commands(allowed),
    }
}

/// Whether the clients of a host are told to stop it.
///
/// ```text
///        its step starts         confirmed
///  No ------------------> Now ----------------> No
///                          | given up, and its run has ended
///                          v
///                         WhileOnBattery ---> No: mains are back, the outage is over
/// ```
/// The word is never a latch: it ends with the outage at the latest, and a host that comes back on
/// mains is not stopped again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// They are not.
    No,
    /// Its step is under way, or was given up while the plan goes on: whatever its feeds say.
    Now,
    /// The plan has ended without it: it is still up, and told as long as it lives on battery. A
    /// client that was away meanwhile hears it when it is back.
    WhileOnBattery,
}

/// The UPS of a host that stops by NUT: fed by some of the room's UPSes, of which `need` must
/// supply. It is on battery when too few of them have mains, and it never says `LB` by itself:
/// `FSD`, when the plan says so, is the host's moment. `LB` then stands beside it, for clients that
/// know only that.
#[must_use]
pub fn of_host(label: &Label, feeds: &[&Ups], need: usize, told: Told) -> ServedUps {
    let is = |ups: &&&Ups, words: &[&str]| words.contains(&ups.state.as_str());
    let on_mains = feeds
        .iter()
        .filter(|ups| is(ups, &["mains", "eco", "suspected", "self_test", "calibration"]))
        .count();
    let on_battery = feeds
        .iter()
        .filter(|ups| is(ups, &["battery", "lost_on_battery"]))
        .count();
    let heard = feeds.iter().any(|ups| ups.state != "never_heard");
    let source = if on_mains >= need {
        Some("OL")
    } else if on_mains + on_battery >= need || told == Told::Now {
        Some("OB DISCHRG")
    } else {
        None
    };
    let mut vars = BTreeMap::new();
    // The host lives as long as its `need`-th best feed.
    let mut lasts = |name: &str, of: &dyn Fn(&Ups) -> Option<f64>| {
        let mut values: Vec<f64> = feeds
            .iter()
            .filter_map(|ups| of(ups))
            .filter(|v| v.is_finite())
            .collect();
        values.sort_by(|a, b| b.total_cmp(a));
        if let Some(value) = values.get(need.saturating_sub(1)).filter(|value| **value >= 0.0) {
            vars.insert(name.to_owned(), number(value.floor()));
        }
    };
    lasts("battery.charge", &|ups| ups.charge_percent);
    lasts("battery.runtime", &|ups| ups.runtime_s);
    let on_battery = source == Some("OB DISCHRG");
    let forced = told == Told::Now || told == Told::WhileOnBattery && on_battery;
    let status = [
        forced.then_some("FSD"),
        source,
        (forced && on_battery).then_some("LB"),
    ];
    let status: Vec<&str> = status.into_iter().flatten().collect();
    vars.insert("ups.status".into(), status.join(" "));
    vars.insert("device.type".into(), "ups".into());
    vars.insert("ups.mfr".into(), "Yagura".into());
    ServedUps {
        description: label.en.clone(),
        vars,
        freshness: match source {
            Some(_) => Freshness::Fresh,
            None if heard => Freshness::Stale,
            None => Freshness::NeverHeard,
        },
        // No device stands behind it.
        ..ServedUps::default()
    }
}

/// `ups.status`: exactly one of `OL`, `OB`, `BYPASS`, `OFF` for a UPS that is heard.
fn status(ups: &Ups, forced: bool) -> String {
    let mut words: Vec<&str> = Vec::new();
    if forced {
        words.push("FSD");
    }
    let on_battery = matches!(ups.state.as_str(), "battery" | "lost_on_battery");
    words.push(match ups.state.as_str() {
        "battery" | "lost_on_battery" => "OB",
        "bypass" => "BYPASS",
        "off" => "OFF",
        "mains" | "eco" | "suspected" | "self_test" | "calibration" => "OL",
        _ => "",
    });
    match ups.state.as_str() {
        "eco" => words.push("ECO"),
        "self_test" => words.push("TEST"),
        "calibration" => words.push("CAL"),
        _ => {}
    }
    if on_battery {
        words.push("DISCHRG");
    }
    let marks = [
        // Low while on mains is a battery that charges: no client may take it for the end.
        ("battery_low", "LB", on_battery),
        ("replace_battery", "RB", true),
        ("overload", "OVER", true),
    ];
    for (mark, word, counts) in marks {
        if counts && ups.marks.iter().any(|held| held == mark) {
            words.push(word);
        }
    }
    if ups.modelled {
        words.insert(0, "ALARM");
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

fn variable<'p>(ups: &str, point: &'p Point) -> Option<(&'p str, String)> {
    let name = point.id.strip_prefix(ups)?.strip_prefix('.')?;
    if OURS.contains(&name) || !BRANCHES.iter().any(|branch| name.starts_with(branch)) {
        return None;
    }
    let value = match (&point.value, &point.state) {
        (Some(value), _) => number(*value),
        (None, Some(word)) => word.clone(),
        // What has no value is not served: a client has no word for "no value".
        (None, None) => return None,
    };
    Some((name, value))
}

/// A number as NUT's drivers print it: no more digits than it has, at most two decimals.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(state: &str, marks: &[&str]) -> Ups {
        Ups {
            name: "ups-a".into(),
            label: Label::new("甲", "A"),
            source: "mains".into(),
            contact: "good".into(),
            charge_percent: Some(87.9),
            runtime_s: Some(1234.7),
            load_percent: None,
            on_battery_s: None,
            modelled: state == "lost_on_battery",
            evidence: Vec::new(),
            state: state.into(),
            marks: marks.iter().map(|mark| (*mark).to_owned()).collect(),
        }
    }

    fn word(state: &str, marks: &[&str], forced: bool) -> String {
        ups(&judged(state, marks), None, forced, &[]).vars["ups.status"].clone()
    }

    #[test]
    fn the_status_follows_the_verdict_and_never_a_single_sign() {
        for (state, marks, forced, status) in [
            ("mains", &[][..], false, "OL"),
            ("eco", &[], false, "OL ECO"),
            ("suspected", &[], false, "OL"),
            ("self_test", &[], false, "OL TEST"),
            ("calibration", &["battery_low"], false, "OL CAL"),
            ("mains", &["battery_low"], false, "OL"),
            ("mains", &["replace_battery", "overload"], false, "OL RB OVER"),
            ("battery", &[], false, "OB DISCHRG"),
            ("battery", &["battery_low"], false, "OB DISCHRG LB"),
            ("battery", &["battery_low"], true, "FSD OB DISCHRG LB"),
            ("lost_on_battery", &[], false, "ALARM OB DISCHRG"),
            ("bypass", &[], false, "BYPASS"),
            ("off", &[], false, "OFF"),
        ] {
            assert_eq!(word(state, marks, forced), status, "{state} {marks:?}");
        }
    }

    #[test]
    fn silence_is_stale_on_mains_and_modelled_on_battery() {
        for (state, freshness) in [
            ("never_heard", Freshness::NeverHeard),
            ("lost", Freshness::Stale),
            ("stale", Freshness::Stale),
            ("unknown", Freshness::Stale),
            ("mains", Freshness::Fresh),
            ("lost_on_battery", Freshness::Fresh),
        ] {
            assert_eq!(
                ups(&judged(state, &[]), None, false, &[]).freshness,
                freshness,
                "{state}"
            );
        }
        let lost = ups(&judged("lost_on_battery", &[]), None, false, &[]);
        assert_eq!(lost.vars["battery.runtime"], "1234");
        assert!(lost.vars["ups.alarm"].contains("modelled"));
    }

    #[test]
    fn the_ups_of_a_host_follows_its_feeds_and_is_forced_by_the_plan_alone() {
        let a = |state: &str| judged(state, &["battery_low"]);
        let of = |states: &[&str], need: usize, told: Told| {
            let feeds: Vec<Ups> = states.iter().map(|state| a(state)).collect();
            let feeds: Vec<&Ups> = feeds.iter().collect();
            let served = of_host(&Label::new("乙", "B"), &feeds, need, told);
            (served.vars["ups.status"].clone(), served.freshness)
        };
        use Freshness::{Fresh, NeverHeard, Stale};
        use Told::{No, Now, WhileOnBattery};
        for (states, need, told, expected) in [
            (&["mains", "mains"][..], 1, No, ("OL", Fresh)),
            (&["mains", "battery"], 1, No, ("OL", Fresh)),
            (&["mains", "battery"], 2, No, ("OB DISCHRG", Fresh)),
            (&["lost", "battery"], 1, No, ("OB DISCHRG", Fresh)),
            (&["battery", "battery"], 1, Now, ("FSD OB DISCHRG LB", Fresh)),
            (&["mains"], 1, Now, ("FSD OL", Fresh)),
            (&["lost", "lost"], 1, No, ("", Stale)),
            (&["off", "off"], 1, Now, ("FSD OB DISCHRG LB", Fresh)),
            // A host that outlived its run is told on battery, and never on mains or by silence.
            (&["battery"], 1, WhileOnBattery, ("FSD OB DISCHRG LB", Fresh)),
            (&["mains"], 1, WhileOnBattery, ("OL", Fresh)),
            (&["lost"], 1, WhileOnBattery, ("", Stale)),
            (&["never_heard"], 1, No, ("", NeverHeard)),
        ] {
            let (status, freshness) = of(states, need, told);
            assert_eq!(
                (status.as_str(), freshness),
                expected,
                "{states:?} {need} {told:?}"
            );
        }
        let (mut weak, strong) = (a("battery"), a("battery"));
        weak.runtime_s = Some(60.0);
        let runtime = |need| {
            of_host(&Label::default(), &[&weak, &strong], need, Told::No).vars["battery.runtime"].clone()
        };
        assert_eq!((runtime(1).as_str(), runtime(2).as_str()), ("1234", "60"));
    }

    #[test]
    fn numbers_are_short_and_what_is_unknown_is_not_there() {
        assert_eq!(
            [
                number(100.0),
                number(13.65),
                number(0.0),
                number(-0.001),
                number(49.999)
            ],
            ["100", "13.65", "0", "0", "50"]
        );
        let mut nothing = judged("mains", &[]);
        nothing.charge_percent = None;
        nothing.runtime_s = Some(f64::NAN);
        let served = ups(&nothing, None, false, &[]);
        assert!(!served.vars.contains_key("battery.charge"));
        assert!(!served.vars.contains_key("battery.runtime"));
    }
}

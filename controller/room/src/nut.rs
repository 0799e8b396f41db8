//! Variables of a NUT server (RFC 9271) to facts.
//!
//! NUT's names are this house's names, so most variables keep theirs; only phases are named as
//! everywhere here (`input.L1-N.voltage` is `input.voltage`, `input.L2-N.voltage` is
//! `input.L2.voltage`) and the inputs of a transfer switch are `a` and `b`. A number gets the unit
//! of its name and must be plausible in it; a text that should be one of the house's words must be
//! one. `ups.status` is weighed by [`status`]. What a variable cannot mean becomes a reason, with
//! the raw text kept.

pub mod served;
pub mod status;
pub mod wish;

use crate::device::{Fact, FactValue, Reading};
use crate::profile::{Unit, reserved_words};
use shared::NoData;
use status::Evidence;
use std::collections::BTreeMap;

/// Name of the readings' profile.
pub const PROFILE: &str = "nut";
/// Variables of one UPS; the longest published listing has some 200.
pub const VARIABLES_MAX: usize = 512;

/// Longest believed runtime, in seconds: a week. Longer ones are sentinels.
const RUNTIME_MAX: f64 = 7.0 * 86_400.0;
/// Highest load of a UPS, in percent.
const LOAD_MAX: f64 = 250.0;
/// Highest frequency, in hertz.
const FREQUENCY_MAX: f64 = 80.0;
/// Highest voltage of a phase, in volts.
const PHASE_MAX: f64 = 700.0;
/// Temperatures of a UPS or its battery, in degrees Celsius.
const INSIDE: (f64, f64) = (-20.0, 100.0);

/// What devices say that measure nothing there, as numbers.
const SENTINELS: [f64; 5] = [-1.0, 65_535.0, 6_553.5, 655_350.0, 4_294_967_295.0];
/// The same as text.
const NO_TEXT: [&str; 7] = ["", "n/a", "na", "-", "--", "unknown", "none"];

/// The reading of one UPS, from its variables in the order of the server. Of a name that comes
/// twice the first is taken; beyond [`VARIABLES_MAX`] nothing is looked at.
#[must_use]
pub fn reading(variables: &[(String, String)]) -> Reading {
    let mut known: BTreeMap<&str, &str> = BTreeMap::new();
    let mut order: Vec<(&str, &str)> = Vec::new();
    for (name, value) in variables.iter().take(VARIABLES_MAX) {
        let (name, value) = (name.as_str(), value.trim());
        if let std::collections::btree_map::Entry::Vacant(place) = known.entry(name) {
            place.insert(value);
            order.push((name, value));
        }
    }
    let mut facts = Vec::new();
    states(&known, &mut facts);
    for (name, value) in order {
        if let Some(fact) = fact(name, value, &known)
            && facts.iter().all(|there| there.name != fact.name)
        {
            facts.push(fact);
        }
    }
    Reading {
        profile: PROFILE.to_owned(),
        sys_object_id: None,
        facts,
    }
}

/// The states that `ups.status` and its neighbours stand for.
fn states(known: &BTreeMap<&str, &str>, facts: &mut Vec<Fact>) {
    let result = known.get("ups.test.result").map(|text| test_result(text));
    if let Some(status) = known.get("ups.status") {
        let tested = matches!(result, Some(Ok("passed" | "warning" | "failed" | "aborted")));
        let judged = status::judge(status, &evidence(known, tested));
        let mut state = |name: &str, word: Result<&'static str, NoData>| {
            facts.push(new(
                name,
                word.map(|word| FactValue::State(word.to_owned())),
                "",
                "ups.status",
                status,
            ));
        };
        state("output.source", judged.source);
        state("battery.status", judged.battery);
        state("battery.replace", judged.replace);
        state("ups.overload", judged.overload);
        state("ups.calibration", judged.calibration);
        state("unmapped.ups.forced_shutdown", judged.forced_shutdown);
        if !known.contains_key("battery.charger.status") && judged.charger != Err(NoData::NotSupported) {
            state("battery.charger.status", judged.charger);
        }
        if judged.testing {
            state("ups.test.result", Ok("running"));
        }
        let text = match *status {
            "" => Err(NoData::Sentinel),
            text => Ok(FactValue::Text(text.to_owned())),
        };
        facts.push(new("ups.status", text, "", "ups.status", status));
    }
    if let (Some(word), Some(raw)) = (result, known.get("ups.test.result"))
        && facts.iter().all(|fact| fact.name != "ups.test.result")
    {
        let value = word.map(|word| FactValue::State(word.to_owned()));
        facts.push(new("ups.test.result", value, "", "ups.test.result", raw));
    }
}

fn evidence<'a>(known: &BTreeMap<&str, &'a str>, tested: bool) -> Evidence<'a> {
    let of_phases = |side: &str| {
        let lines = known.iter().filter(|(name, _)| phase_voltage(name, side));
        let volts = lines.filter_map(|(_, text)| number(text, Unit::V, (0.0, PHASE_MAX)).ok());
        volts.min_by(f64::total_cmp)
    };
    let kind = known
        .get("ups.type")
        .copied()
        .unwrap_or_default()
        .to_ascii_lowercase();
    Evidence {
        input: of_phases("input"),
        output: of_phases("output"),
        load: known
            .get("ups.load")
            .and_then(|text| number(text, Unit::Percent, (0.0, LOAD_MAX)).ok()),
        has_no_bypass: kind.contains("interactive") || kind.contains("offline"),
        alarm: known.get("ups.alarm").copied().unwrap_or_default(),
        tested,
    }
}

/// `input.voltage`, `input.L1-N.voltage`, `input.L1-L2.voltage`, `input.L1.voltage`.
fn phase_voltage(name: &str, side: &str) -> bool {
    let middle = name
        .strip_prefix(side)
        .and_then(|rest| rest.strip_suffix("voltage"));
    middle
        .is_some_and(|middle| middle == "." || (middle.starts_with(".L") && middle.matches('.').count() == 2))
}

/// The free text of `ups.test.result`: its first words differ from driver to driver, its sense
/// does not. What is neither is refused.
fn test_result(text: &str) -> Result<&'static str, NoData> {
    let text = text.trim().to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if text.is_empty() {
        return Err(NoData::Sentinel);
    }
    // The order matters: "no test failed" and "done and error" hold words of two kinds.
    if has(&[
        "no test",
        "none",
        "not tested",
        "never",
        "scheduled",
        "not performed",
    ]) {
        Ok("none")
    } else if has(&["progress", "running"]) {
        Ok("running")
    } else if has(&["abort", "cancel", "interrupted"]) {
        Ok("aborted")
    } else if has(&["fail", "error", "bad", "replace", "not passed"]) {
        Ok("failed")
    } else if has(&["warning", "weak"]) {
        Ok("warning")
    } else if has(&["pass", "success"]) || matches!(text.as_str(), "ok" | "good" | "normal") {
        Ok("passed")
    } else {
        Err(NoData::NotSupported)
    }
}

/// One variable; `None` for what the server tells about itself.
fn fact(variable: &str, value: &str, known: &BTreeMap<&str, &str>) -> Option<Fact> {
    if matches!(variable, "ups.status" | "ups.test.result") {
        return None;
    }
    let internal = variable.starts_with("server.")
        || (variable.starts_with("driver.") && variable != "driver.name" && variable != "driver.version");
    if internal {
        return None;
    }
    let name = house_name(variable, known);
    if let Some(words) = reserved_words(&name) {
        let word = state_word(&name, value);
        let state = words.allow(&word).then_some(FactValue::State(word));
        return Some(new(&name, state.ok_or(NoData::NotSupported), "", variable, value));
    }
    if let Some((unit, range)) = unit_of(&name) {
        let read = number(value, unit, range).and_then(|number| {
            let inside = matches!(name.as_str(), "ups.temperature" | "battery.temperature");
            // Many devices without a sensor say so; none is cooled to freezing point exactly.
            if inside && number == 0.0 {
                Err(NoData::Sentinel)
            } else {
                Ok(number)
            }
        });
        return Some(new(
            &name,
            read.map(FactValue::Number),
            unit.symbol(),
            variable,
            value,
        ));
    }
    let text = if value.is_empty() {
        Err(NoData::Sentinel)
    } else {
        Ok(FactValue::Text(value.to_owned()))
    };
    Some(new(&name, text, "", variable, value))
}

fn new(name: &str, value: Result<FactValue, NoData>, unit: &'static str, variable: &str, raw: &str) -> Fact {
    Fact {
        name: name.to_owned(),
        value,
        unit,
        at: variable.to_owned(),
        label: None,
        raw: raw.to_owned(),
    }
}

/// The house's word for a driver's.
fn state_word(name: &str, value: &str) -> String {
    let word = value.trim().to_ascii_lowercase();
    match (name, word.as_str()) {
        ("input.source", "1") => "a".to_owned(),
        ("input.source", "2") => "b".to_owned(),
        ("input.transfer.reason", text) => transfer_reason(text).to_owned(),
        _ => word,
    }
}

fn transfer_reason(text: &str) -> &str {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["self test", "self-test", "selftest", "simulation"]) {
        "self_test"
    } else if has(&["blackout", "input voltage loss", "power failure"]) {
        "blackout"
    } else if has(&["brownout", "low line", "input voltage low", "undervoltage"]) {
        "brownout"
    } else if has(&["high line", "input voltage high", "overvoltage"]) {
        "high_voltage"
    } else if has(&["sag", "notch"]) {
        "sag"
    } else if has(&["spike"]) {
        "spike"
    } else if has(&["rate of change", "slew"]) {
        "rate_of_change"
    } else {
        text
    }
}

/// The name of the house: phases, transfer switches, and what NUT has no name for.
fn house_name(variable: &str, known: &BTreeMap<&str, &str>) -> String {
    let family = variable.split('.').next().unwrap_or_default();
    const FAMILIES: [&str; 8] = [
        "device", "ups", "input", "output", "battery", "ambient", "outlet", "driver",
    ];
    if !FAMILIES.contains(&family) {
        return format!("unmapped.{variable}");
    }
    let is_switch = known
        .get("device.type")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("ats"));
    let mut arcs: Vec<&str> = Vec::new();
    for arc in variable.split('.') {
        match arc {
            // A phase against neutral is the phase; the first one needs no number.
            "L1" | "L1-N" if variable != "input.phases" => {}
            "L2-N" => arcs.push("L2"),
            "L3-N" => arcs.push("L3"),
            "1" if is_switch && arcs == ["input"] => arcs.push("a"),
            "2" if is_switch && arcs == ["input"] => arcs.push("b"),
            arc => arcs.push(arc),
        }
    }
    let name = arcs.join(".");
    // Beside a voltage of the whole input, that of its first phase keeps its own name.
    if name != variable && known.contains_key(name.as_str()) {
        variable.to_owned()
    } else {
        name
    }
}

/// Unit and plausible range of a number, by the name; `None` for texts.
fn unit_of(name: &str) -> Option<(Unit, (f64, f64))> {
    let arcs: Vec<&str> = name.split('.').collect();
    let has = |arc: &str| arcs.contains(&arc);
    let family = arcs.first().copied().unwrap_or_default();
    let text_arcs = [
        "status", "extended", "id", "desc", "name", "reason", "date", "type", "mfr", "model", "serial",
    ];
    if arcs.last().is_some_and(|last| text_arcs.contains(last)) || family == "device" || family == "driver" {
        return None;
    }
    let by = |unit: Unit| Some((unit, unit.plausible()));
    match name {
        "battery.charge"
        | "battery.charge.low"
        | "battery.charge.warning"
        | "battery.charge.restart"
        | "battery.charge.approx"
        | "ups.efficiency" => return by(Unit::Percent),
        "battery.runtime" | "battery.runtime.low" | "battery.runtime.restart" | "battery.runtime.elapsed" => {
            return Some((Unit::Seconds, (0.0, RUNTIME_MAX)));
        }
        "battery.packs"
        | "battery.packs.bad"
        | "battery.packs.external"
        | "input.phases"
        | "output.phases"
        | "input.bypass.phases"
        | "outlet.count"
        | "outlet.group.count"
        | "ambient.count" => {
            return by(Unit::Count);
        }
        "ups.test.interval" => return by(Unit::Seconds),
        _ => {}
    }
    if has("load") || arcs.ends_with(&["power", "percent"]) {
        return Some((Unit::Percent, (0.0, LOAD_MAX)));
    }
    if (family == "ups" || family == "outlet" || family == "input") && (has("delay") || has("timer")) {
        // A timer that does not run is at -1.
        return by(Unit::Seconds);
    }
    if has("temperature") {
        let range = if family == "ambient" {
            Unit::Celsius.plausible()
        } else {
            INSIDE
        };
        return Some((Unit::Celsius, range));
    }
    if has("humidity") {
        return by(Unit::Percent);
    }
    if has("frequency") {
        return Some((Unit::Hz, (0.0, FREQUENCY_MAX)));
    }
    if has("voltage") {
        let range = if family == "battery" {
            Unit::V.plausible()
        } else {
            (0.0, PHASE_MAX)
        };
        return Some((Unit::V, range));
    }
    if has("current") {
        return by(Unit::A);
    }
    if has("realpower") {
        return by(Unit::W);
    }
    if has("power") {
        return by(Unit::Va);
    }
    if arcs.starts_with(&["input", "transfer"])
        && arcs.last().is_some_and(|last| matches!(*last, "low" | "high"))
    {
        return Some((Unit::V, (0.0, PHASE_MAX)));
    }
    None
}

/// A plain decimal number as NUT writes it.
fn number(text: &str, unit: Unit, (low, high): (f64, f64)) -> Result<f64, NoData> {
    let text = text.trim();
    if NO_TEXT.iter().any(|none| text.eq_ignore_ascii_case(none)) {
        return Err(NoData::Sentinel);
    }
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+'));
    let number: f64 = match text.parse() {
        Ok(number) if plain => number,
        _ => return Err(NoData::NotSupported),
    };
    if (low..=high).contains(&number) {
        // Inside the range only where a device can hardly measure it.
        let sentinel = unit == Unit::Seconds && number == 65_535.0;
        return if sentinel {
            Err(NoData::Sentinel)
        } else {
            Ok(number)
        };
    }
    let sentinel = SENTINELS.contains(&number);
    Err(if sentinel {
        NoData::Sentinel
    } else {
        NoData::Implausible
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(variables: &[(&str, &str)]) -> Reading {
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        reading(&variables)
    }

    fn why(reading: &Reading, name: &str) -> NoData {
        reading.fact(name).unwrap().value.clone().unwrap_err()
    }

    #[test]
    fn a_usual_ups_is_read_with_units() {
        let reading = read(&[
            ("battery.charge", "100"),
            ("battery.runtime", "1740"),
            ("battery.voltage", "27.4"),
            ("device.mfr", "EATON"),
            ("driver.name", "usbhid-ups"),
            ("driver.parameter.port", "auto"),
            ("input.voltage", "101.0"),
            ("input.transfer.low", "84"),
            ("input.frequency", "50.0"),
            ("outlet.1.status", "on"),
            ("ups.load", "014"),
            ("ups.power.nominal", "1500"),
            ("ups.realpower", "210"),
            ("ups.delay.shutdown", "20"),
            ("ups.timer.shutdown", "-1"),
            ("ups.status", "OL CHRG"),
            ("ups.test.result", "Done and passed"),
        ]);
        let numbers = [
            ("battery.charge", 100.0, "%"),
            ("battery.runtime", 1740.0, "s"),
            ("battery.voltage", 27.4, "V"),
            ("input.voltage", 101.0, "V"),
            ("input.transfer.low", 84.0, "V"),
            ("input.frequency", 50.0, "Hz"),
            ("ups.load", 14.0, "%"),
            ("ups.power.nominal", 1500.0, "VA"),
            ("ups.realpower", 210.0, "W"),
            ("ups.delay.shutdown", 20.0, "s"),
        ];
        for (name, value, unit) in numbers {
            assert_eq!(reading.number(name), Some(value), "{name}");
            assert_eq!(reading.fact(name).unwrap().unit, unit, "{name}");
        }
        for (name, word) in [
            ("output.source", "mains"),
            ("battery.status", "normal"),
            ("battery.replace", "no"),
            ("ups.test.result", "passed"),
            ("battery.charger.status", "charging"),
        ] {
            assert_eq!(reading.state(name), Some(word), "{name}");
        }
        assert_eq!(why(&reading, "ups.timer.shutdown"), NoData::Sentinel);
        assert!(reading.fact("driver.parameter.port").is_none());
        assert_eq!(
            reading.fact("device.mfr").unwrap().value,
            Ok(FactValue::Text("EATON".to_owned()))
        );
    }

    #[test]
    fn phases_are_named_as_everywhere() {
        let reading = read(&[
            ("input.L1-N.voltage", "201"),
            ("input.L2-N.voltage", "202"),
            ("input.L1-L2.voltage", "350"),
            ("output.L3.current", "3.5"),
            ("input.bypass.L1-N.voltage", "200"),
        ]);
        for (name, value) in [
            ("input.voltage", 201.0),
            ("input.L2.voltage", 202.0),
            ("input.L1-L2.voltage", 350.0),
            ("output.L3.current", 3.5),
            ("input.bypass.voltage", 200.0),
        ] {
            assert_eq!(reading.number(name), Some(value), "{name}");
        }
        let both = read(&[("input.voltage", "200"), ("input.L1-N.voltage", "201")]);
        assert_eq!(both.number("input.voltage"), Some(200.0));
        assert_eq!(both.number("input.L1-N.voltage"), Some(201.0));
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        for (name, value, reason) in [
            ("battery.runtime", "257698037760", NoData::Implausible),
            ("battery.runtime", "4294967295", NoData::Sentinel),
            ("battery.runtime", "65535", NoData::Sentinel),
            ("battery.charge", "255", NoData::Implausible),
            ("battery.charge", "-1", NoData::Sentinel),
            ("battery.charge", "100%", NoData::NotSupported),
            ("battery.charge", "1e2", NoData::NotSupported),
            ("battery.charge", "NaN", NoData::NotSupported),
            ("battery.charge", "inf", NoData::NotSupported),
            ("battery.charge", "", NoData::Sentinel),
            ("battery.temperature", "0.0", NoData::Sentinel),
            ("battery.temperature", "-273", NoData::Implausible),
            ("input.voltage", "2313", NoData::Implausible),
            ("output.current", "655350", NoData::Sentinel),
            ("ups.load", "N/A", NoData::Sentinel),
            ("ups.test.result", "42", NoData::NotSupported),
        ] {
            assert_eq!(why(&read(&[(name, value)]), name), reason, "{name} {value}");
        }
    }

    #[test]
    fn a_test_result_is_one_of_the_houses_words() {
        for (text, word) in [
            ("No test initiated", "none"),
            ("In progress", "running"),
            ("Done and passed", "passed"),
            ("Done and warning", "warning"),
            ("Done and error", "failed"),
            ("Aborted", "aborted"),
            ("Test scheduled", "none"),
            ("OK", "passed"),
        ] {
            assert_eq!(test_result(text), Ok(word), "{text}");
        }
    }

    #[test]
    fn a_transfer_switch_says_which_input_it_takes() {
        let reading = read(&[
            ("device.type", "ats"),
            ("input.1.voltage", "100.1"),
            ("input.2.voltage", "99.8"),
        ]);
        assert_eq!(reading.number("input.a.voltage"), Some(100.1));
        assert_eq!(reading.number("input.b.voltage"), Some(99.8));
    }

    #[test]
    fn a_status_without_source_leaves_it_open() {
        let reading = read(&[("ups.status", "")]);
        assert_eq!(why(&reading, "output.source"), NoData::Implausible);
        assert!(read(&[("battery.charge", "90")]).fact("output.source").is_none());
    }

    proptest! {
        #[test]
        fn any_variables_are_survived_and_numbers_are_finite(
            variables in proptest::collection::vec(("[a-z]{1,8}(\\.[a-zA-Z0-9-]{0,8}){0,4}", ".{0,40}"), 0..40),
        ) {
            for fact in reading(&variables).facts {
                if let Ok(FactValue::Number(number)) = fact.value {
                    prop_assert!(number.is_finite());
                }
            }
        }
    }
}

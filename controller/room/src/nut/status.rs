//! What the words of `ups.status` are worth, beside what the same device measures.
//!
//! The words come from many drivers, and some contradict themselves (`OL OB`, an `OFF` that is
//! always set, `CAL` that stays after the test). A contradiction becomes what an independent
//! measurement supports, or no value with the reason [`NoData::Implausible`]; it never becomes the
//! likelier one. Three rules hold for every set of words, and a property test holds them:
//! nothing is `mains` without `OL`, nothing is `battery` without `OB`, and nothing at all is
//! believed of a status that contradicts itself twice.
//!
//! | words | and | `output.source` |
//! |---|---|---|
//! | none | | implausible: a dead driver |
//! | `OL OB` | input voltage gone, `DISCHRG` | battery |
//! | `OL OB` | input voltage there, `CHRG` | mains |
//! | `OB` | `CHRG`, `BOOST` or `TRIM` with the input voltage there | implausible |
//! | `OB OFF` | output measured | battery or off |
//! | `OL DISCHRG` | no test, input voltage not measured as there | implausible |
//! | `OL OFF` | load or output voltage measured | mains: the flag is stuck |
//! | `OL BYPASS` | `ECO`, `HE` | eco |
//! | `OL BYPASS` | `BOOST` or `TRIM` | implausible |

use shared::NoData;

/// Words of a status that are looked at; stock drivers set a dozen at most.
const WORDS_MAX: usize = 32;
/// Below this an output is off, in volts.
const OUTPUT_DEAD_BELOW: f64 = 10.0;
/// Above this an output is live, in volts: Japan's 100 V less a deep sag.
const OUTPUT_LIVE_ABOVE: f64 = 80.0;
/// Output that differs from the input by less than this share says nothing about a bypass.
const SAME_VOLTAGE: f64 = 0.05;

/// Pairs of which a UPS can have one.
const PAIRS: [(&str, &str); 3] = [("OL", "OB"), ("CHRG", "DISCHRG"), ("BOOST", "TRIM")];

/// What the device measures beside its status.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evidence<'a> {
    /// Input voltage of the weakest phase, in volts.
    pub input: Option<f64>,
    /// Output voltage, in volts.
    pub output: Option<f64>,
    /// Load in percent.
    pub load: Option<f64>,
    /// A line-interactive or offline unit, which has no bypass.
    pub has_no_bypass: bool,
    /// `ups.alarm`.
    pub alarm: &'a str,
    /// The last test's result, when it is a finished one.
    pub tested: bool,
}

/// What a status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// `output.source`
    pub source: Result<&'static str, NoData>,
    /// `battery.status`
    pub battery: Result<&'static str, NoData>,
    /// `battery.charger.status`
    pub charger: Result<&'static str, NoData>,
    /// `battery.replace`
    pub replace: Result<&'static str, NoData>,
    /// `ups.overload`
    pub overload: Result<&'static str, NoData>,
    /// `ups.calibration`
    pub calibration: Result<&'static str, NoData>,
    /// A self-test runs.
    pub testing: bool,
    /// `FSD`: upsd tells its clients to shut down. A latch, and no word about the mains.
    pub forced_shutdown: Result<&'static str, NoData>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mains {
    There,
    Gone,
    Unclear,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Live,
    Dead,
    Unclear,
}

struct Words(Vec<String>);

impl Words {
    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|known| known == word)
    }
}

impl Evidence<'_> {
    fn mains(&self) -> Mains {
        use crate::power::signs::{VOLTAGE_GONE_BELOW, VOLTAGE_PRESENT_ABOVE};
        match self.input {
            Some(volts) if volts < VOLTAGE_GONE_BELOW => Mains::Gone,
            Some(volts) if volts > VOLTAGE_PRESENT_ABOVE => Mains::There,
            _ => Mains::Unclear,
        }
    }

    fn output(&self) -> Output {
        match (self.output, self.load) {
            (Some(volts), _) if volts > OUTPUT_LIVE_ABOVE => Output::Live,
            (Some(volts), _) if volts < OUTPUT_DEAD_BELOW => Output::Dead,
            (None, Some(load)) if load > 0.0 => Output::Live,
            _ => Output::Unclear,
        }
    }

    fn output_is_input(&self) -> bool {
        match (self.input, self.output) {
            (Some(input), Some(output)) => (output - input).abs() < input * SAME_VOLTAGE,
            _ => false,
        }
    }
}

/// Weighs the words of a status.
#[must_use]
pub fn judge(status: &str, evidence: &Evidence<'_>) -> Judged {
    let split = status.split_whitespace().take(WORDS_MAX);
    let words = Words(split.map(str::to_ascii_uppercase).collect());
    let broken = PAIRS
        .iter()
        .filter(|(one, other)| words.has(one) && words.has(other))
        .count();
    if words.0.is_empty() || broken > 1 {
        let refused = Err(NoData::Implausible);
        return Judged {
            source: refused,
            battery: refused,
            charger: refused,
            replace: refused,
            overload: refused,
            calibration: refused,
            testing: false,
            forced_shutdown: refused,
        };
    }
    let yes_if = |word: &str| Ok(if words.has(word) { "yes" } else { "no" });
    Judged {
        source: source(&words, evidence),
        battery: battery(&words, evidence),
        charger: charger(&words),
        replace: yes_if("RB"),
        overload: yes_if("OVER"),
        // A calibration discharges the battery; one that charges is over, whatever the flag says.
        calibration: Ok(if words.has("CAL") && !charges_on_mains(&words) {
            "running"
        } else {
            "no"
        }),
        testing: testing(&words, evidence),
        forced_shutdown: yes_if("FSD"),
    }
}

fn source(words: &Words, evidence: &Evidence<'_>) -> Result<&'static str, NoData> {
    match (words.has("OL"), words.has("OB")) {
        (true, true) => on_both(words, evidence),
        (false, true) => on_battery(words, evidence),
        (true, false) => on_line(words, evidence),
        (false, false) if words.has("OFF") => match evidence.output() {
            Output::Live => Err(NoData::Implausible),
            Output::Dead | Output::Unclear => Ok("off"),
        },
        (false, false) if words.has("BYPASS") => Ok("bypass"),
        (false, false) => Err(NoData::NotSupported),
    }
}

fn on_both(words: &Words, evidence: &Evidence<'_>) -> Result<&'static str, NoData> {
    if words.has("OFF") || words.has("BYPASS") {
        return Err(NoData::Implausible);
    }
    match (evidence.mains(), words.has("CHRG"), words.has("DISCHRG")) {
        (Mains::There, true, false) => Ok("mains"),
        (Mains::Gone, false, true) => Ok("battery"),
        _ => Err(NoData::Implausible),
    }
}

fn on_battery(words: &Words, evidence: &Evidence<'_>) -> Result<&'static str, NoData> {
    if words.has("OFF") {
        return match evidence.output() {
            Output::Live => Ok("battery"),
            Output::Dead => Ok("off"),
            Output::Unclear => Err(NoData::Implausible),
        };
    }
    let charges = words.has("CHRG") && !words.has("DISCHRG");
    let regulates = words.has("BOOST") || words.has("TRIM");
    let denied = match evidence.mains() {
        Mains::There => charges || regulates || words.has("BYPASS"),
        Mains::Gone => false,
        // Nothing can be bypassed to a battery, and nobody measured the mains.
        Mains::Unclear => words.has("BYPASS"),
    };
    if denied {
        Err(NoData::Implausible)
    } else {
        Ok("battery")
    }
}

fn on_line(words: &Words, evidence: &Evidence<'_>) -> Result<&'static str, NoData> {
    let tested = words.has("CAL") || words.has("TEST");
    let discharges = words.has("DISCHRG") && !words.has("CHRG");
    // Some drivers say OL DISCHRG for a battery that is not full, others for a lost mains.
    let doubtful = match evidence.mains() {
        Mains::There => false,
        Mains::Gone => discharges,
        Mains::Unclear => discharges && !tested,
    };
    if doubtful {
        return Err(NoData::Implausible);
    }
    if words.has("OFF") && evidence.output() != Output::Live {
        return Ok("off");
    }
    let economy = words.has("ECO") || words.has("HE");
    let regulation = match (words.has("BOOST"), words.has("TRIM")) {
        (true, false) => Some("booster"),
        (false, true) => Some("reducer"),
        _ => None,
    };
    if words.has("BYPASS") {
        return match (economy, regulation) {
            (true, None) => Ok("eco"),
            (false, None) if evidence.has_no_bypass && evidence.output_is_input() => Ok("mains"),
            (false, None) => Ok("bypass"),
            (_, Some(_)) => Err(NoData::Implausible),
        };
    }
    if economy {
        return Ok("eco");
    }
    Ok(regulation.unwrap_or("mains"))
}

fn battery(words: &Words, evidence: &Evidence<'_>) -> Result<&'static str, NoData> {
    let alarm = evidence.alarm.to_ascii_lowercase();
    if alarm.contains("no battery") {
        return Ok("absent");
    }
    if words.has("LB") {
        return Ok("low");
    }
    if ["OL", "OB", "CHRG", "DISCHRG"].iter().any(|word| words.has(word)) {
        Ok("normal")
    } else {
        Err(NoData::NotSupported)
    }
}

fn charger(words: &Words) -> Result<&'static str, NoData> {
    match (words.has("CHRG"), words.has("DISCHRG")) {
        (true, false) => Ok("charging"),
        (false, true) => Ok("discharging"),
        (true, true) => Err(NoData::Implausible),
        (false, false) => Err(NoData::NotSupported),
    }
}

/// `TEST` beside a charging battery, or beside an idle one whose last test has a result, names
/// that last test: some drivers set it for ever.
fn testing(words: &Words, evidence: &Evidence<'_>) -> bool {
    if !words.has("TEST") || charges_on_mains(words) {
        return false;
    }
    let discharges = words.has("OB") || words.has("DISCHRG");
    discharges || !evidence.tested
}

fn charges_on_mains(words: &Words) -> bool {
    words.has("OL") && !words.has("OB") && words.has("CHRG") && !words.has("DISCHRG")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: Evidence<'static> = Evidence {
        input: None,
        output: None,
        load: None,
        has_no_bypass: false,
        alarm: "",
        tested: false,
    };
    const THERE: Evidence<'static> = Evidence {
        input: Some(101.0),
        ..NONE
    };
    const GONE: Evidence<'static> = Evidence {
        input: Some(0.0),
        ..NONE
    };
    const BAD: Result<&str, NoData> = Err(NoData::Implausible);

    #[test]
    fn ordinary_words_mean_what_they_say() {
        for (status, source) in [
            ("OL", "mains"),
            ("OL CHRG", "mains"),
            ("OB DISCHRG", "battery"),
            ("OB LB", "battery"),
            ("OL BOOST", "booster"),
            ("OL TRIM", "reducer"),
            ("OL BYPASS", "bypass"),
            ("BYPASS", "bypass"),
            ("OFF", "off"),
            ("OL ECO", "eco"),
            ("ol he", "eco"),
            ("FSD OL", "mains"),
            ("FSD OB LB", "battery"),
            ("ALARM OL RB", "mains"),
        ] {
            assert_eq!(judge(status, &NONE).source, Ok(source), "{status}");
        }
    }

    #[test]
    fn a_contradiction_is_decided_by_measurements_or_not_at_all() {
        let dead = Evidence {
            output: Some(0.0),
            ..THERE
        };
        let live = Evidence {
            output: Some(100.0),
            ..THERE
        };
        let loaded = Evidence {
            load: Some(30.0),
            ..NONE
        };
        for (status, evidence, source) in [
            ("", NONE, BAD),
            ("   ", THERE, BAD),
            ("OL OB", NONE, BAD),
            ("OL OB", THERE, BAD),
            ("OL OB CHRG", THERE, Ok("mains")),
            ("OL OB CHRG", GONE, BAD),
            ("OL DISCHRG OB", GONE, Ok("battery")),
            ("OL DISCHRG OB", THERE, BAD),
            ("OL DISCHRG OB", NONE, BAD),
            ("OL DISCHRG", NONE, BAD),
            ("OL DISCHRG", THERE, Ok("mains")),
            ("OL DISCHRG", GONE, BAD),
            ("OL DISCHRG CAL", NONE, Ok("mains")),
            ("OB CHRG", THERE, BAD),
            ("OB CHRG", NONE, Ok("battery")),
            ("OB BOOST", GONE, Ok("battery")),
            ("OB BOOST", THERE, BAD),
            ("OL OFF", live, Ok("mains")),
            ("OL OFF", loaded, Ok("mains")),
            ("OL OFF", dead, Ok("off")),
            ("OL OFF", NONE, Ok("off")),
            ("OFF", live, BAD),
            ("OB OFF", live, Ok("battery")),
            ("OB OFF", NONE, BAD),
            ("OB BYPASS", NONE, BAD),
            ("OB BYPASS", GONE, Ok("battery")),
            ("OL BYPASS ECO", THERE, Ok("eco")),
            ("OL BYPASS BOOST", THERE, BAD),
            ("OL BOOST TRIM", NONE, Ok("mains")),
            ("ALARM OL FSD", NONE, Ok("mains")),
            ("ALARM", NONE, Err(NoData::NotSupported)),
            ("WAIT", THERE, Err(NoData::NotSupported)),
            ("OL OB CHRG DISCHRG", GONE, BAD),
        ] {
            assert_eq!(judge(status, &evidence).source, source, "{status} {evidence:?}");
        }
    }

    #[test]
    fn a_line_interactive_unit_has_no_bypass() {
        let evidence = Evidence {
            output: Some(101.5),
            has_no_bypass: true,
            ..THERE
        };
        assert_eq!(judge("OL BYPASS", &evidence).source, Ok("mains"));
    }

    #[test]
    fn a_flag_that_stays_after_a_test_is_no_test() {
        let tested = Evidence { tested: true, ..NONE };
        assert!(judge("OL TEST", &NONE).testing);
        assert!(!judge("OL TEST", &tested).testing);
        assert!(judge("OB DISCHRG TEST", &tested).testing);
        assert!(!judge("OL CHRG TEST", &NONE).testing);
        assert_eq!(judge("OB LB CAL", &NONE).calibration, Ok("running"));
        assert_eq!(judge("OL CHRG CAL", &NONE).calibration, Ok("no"));
    }

    #[test]
    fn the_battery_is_low_absent_or_as_it_should_be() {
        assert_eq!(judge("OL LB OVER RB BOOST", &NONE).battery, Ok("low"));
        assert_eq!(judge("OL LB OVER RB BOOST", &NONE).replace, Ok("yes"));
        assert_eq!(judge("OL LB OVER RB BOOST", &NONE).overload, Ok("yes"));
        let alarm = Evidence {
            alarm: "Replace battery! No battery installed!",
            ..NONE
        };
        assert_eq!(judge("ALARM OL RB", &alarm).battery, Ok("absent"));
        assert_eq!(judge("OFF", &NONE).battery, Err(NoData::NotSupported));
    }

    const EVERY: [&str; 19] = [
        "OL", "OB", "LB", "HB", "RB", "CHRG", "DISCHRG", "BYPASS", "CAL", "OFF", "OVER", "TRIM", "BOOST",
        "FSD", "ALARM", "TEST", "ECO", "HE", "WAIT",
    ];

    fn evidence() -> impl Strategy<Value = Evidence<'static>> {
        let volts = || proptest::option::of(prop_oneof![Just(0.0), Just(65.0), 80.5..260.0]);
        let load = proptest::option::of(prop_oneof![Just(0.0), 0.1..150.0]);
        (volts(), volts(), load, any::<bool>(), any::<bool>()).prop_map(
            |(input, output, load, has_no_bypass, tested)| Evidence {
                input,
                output,
                load,
                has_no_bypass,
                alarm: "",
                tested,
            },
        )
    }

    proptest! {
        #[test]
        fn no_set_of_words_becomes_more_than_was_said(
            words in proptest::sample::subsequence(EVERY.to_vec(), 0..=EVERY.len()),
            evidence in evidence(),
        ) {
            let judged = judge(&words.join(" "), &evidence);
            let said = |word: &str| words.contains(&word);
            match judged.source {
                Ok("mains" | "booster" | "reducer" | "eco") => {
                    prop_assert!(said("OL"));
                    // Beside OB, mains needs the voltage measured and a battery that charges.
                    prop_assert!(!said("OB") || (evidence.input > Some(80.0) && said("CHRG")));
                }
                Ok("battery") => {
                    prop_assert!(said("OB"));
                    // Beside OL, battery needs the voltage gone and a battery that discharges.
                    prop_assert!(!said("OL") || (evidence.input < Some(50.0) && said("DISCHRG")));
                }
                Ok("off") => prop_assert!(said("OFF") && evidence.output.is_none_or(|volts| volts < 80.0)),
                Ok("bypass") => prop_assert!(said("BYPASS") && !said("OB")),
                Ok(other) => prop_assert!(false, "{other}"),
                Err(_) => {}
            }
            let broken = PAIRS.iter().filter(|(one, other)| said(one) && said(other)).count();
            if broken > 1 {
                prop_assert!(judged.source.is_err() && judged.battery.is_err() && judged.replace.is_err());
            } else if !words.is_empty() {
                prop_assert_eq!(judged.battery == Ok("low"), said("LB"));
            }
        }

        #[test]
        fn a_real_outage_keeps_its_source_whatever_flags_stand_beside_it(
            flags in proptest::sample::subsequence(
                vec!["LB", "HB", "RB", "CAL", "OVER", "TRIM", "FSD", "ALARM", "TEST", "ECO", "HE"], 0..=11,
            ),
        ) {
            let status = format!("{} OB DISCHRG", flags.join(" "));
            prop_assert_eq!(judge(&status, &GONE).source, Ok("battery"));
        }

        #[test]
        fn any_text_is_survived(status in ".{0,400}") {
            let _ = judge(&status, &NONE);
        }
    }
}

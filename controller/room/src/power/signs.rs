//! The facts of one reading that matter to the outage engine, and what counts as a sign of
//! battery operation.
//!
//! Signs are independent of each other: a different sensor, counter or device. What a sign is
//! worth depends on what contradicts it; [`count`] holds that table and nothing else does.

use crate::device::{FactValue, Reading};

/// Input voltage below this is "mains gone", in volts. Half of Japan's 100 V.
pub const VOLTAGE_GONE_BELOW: f64 = 50.0;
/// Input voltage above this is "mains there", in volts.
pub const VOLTAGE_PRESENT_ABOVE: f64 = 80.0;
/// A runtime of 0 s beside a charge above this is the device's word for "no estimate".
pub const ZERO_RUNTIME_PLAUSIBLE_BELOW: f64 = 20.0;
/// A load above this is an overload, in percent, whatever the flag says.
pub const FULL_LOAD: f64 = 105.0;
/// Longer runtimes than this are sentinels, in seconds: one week.
pub const LONGEST_RUNTIME: f64 = 7.0 * 86_400.0;

/// `output.source`, folded to what matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `mains`, `booster`, `reducer`, `eco`.
    Mains,
    /// `battery`.
    Battery,
    /// `bypass`.
    Bypass,
    /// `test`.
    Test,
    /// `off`, `sleeping`.
    Off,
    /// `other`, a word we do not know, or no such fact.
    Unclear,
}

/// `input.voltage` of all phases together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Voltage {
    /// Every phase is there.
    Present(f64),
    /// At least one phase is gone.
    Gone(f64),
    /// Neither: a brown-out, or no such fact.
    Unclear,
}

/// What a reading says, checked for plausibility. `None` is "no good value".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Where the output comes from.
    pub source: Source,
    /// Mains at the input.
    pub voltage: Voltage,
    /// `battery.status` is low or depleted.
    pub low: bool,
    /// `battery.status` was readable at all.
    pub status_known: bool,
    /// Seconds on battery by the device's own count.
    pub time_on: Option<f64>,
    /// Percent.
    pub charge: Option<f64>,
    /// Seconds.
    pub runtime: Option<f64>,
    /// Percent.
    pub load: Option<f64>,
    /// A self-test runs.
    pub testing: bool,
    /// A calibration runs.
    pub calibrating: bool,
    /// The device asks for a new battery.
    pub replace: bool,
    /// More load than it can carry.
    pub overload: bool,
    /// Economy mode: the load hangs on raw mains until it fails.
    pub eco: bool,
}

impl Facts {
    /// Reads the facts of a poll.
    #[must_use]
    pub fn read(reading: &Reading) -> Self {
        let number = |name: &str| reading.number(name).filter(|value| value.is_finite());
        let charge = number("battery.charge").filter(|value| (0.0..=100.0).contains(value));
        let runtime = number("battery.runtime")
            .filter(|value| (0.0..=LONGEST_RUNTIME).contains(value))
            .filter(|value| {
                *value > 0.0 || charge.is_some_and(|charge| charge < ZERO_RUNTIME_PLAUSIBLE_BELOW)
            });
        let source = match reading.state("output.source") {
            Some("mains" | "booster" | "reducer" | "eco") => Source::Mains,
            Some("battery") => Source::Battery,
            Some("bypass") => Source::Bypass,
            Some("test") => Source::Test,
            Some("off" | "sleeping") => Source::Off,
            _ => Source::Unclear,
        };
        let running = |name: &str| reading.state(name) == Some("running");
        let load = number("ups.load").filter(|value| (0.0..=200.0).contains(value));
        Self {
            source,
            voltage: voltage(reading),
            low: matches!(reading.state("battery.status"), Some("low" | "depleted")),
            status_known: !matches!(reading.state("battery.status"), None | Some("unknown")),
            time_on: number("battery.time_on").filter(|value| *value >= 0.0),
            charge,
            runtime,
            load,
            testing: source == Source::Test || running("ups.test.result"),
            calibrating: running("ups.calibration"),
            replace: reading.state("battery.replace") == Some("yes"),
            overload: reading.state("ups.overload") == Some("yes")
                || load.is_some_and(|load| load > FULL_LOAD),
            eco: reading.state("output.source") == Some("eco"),
        }
    }

    /// How many independent signs this device could ever give. With one it can never be judged.
    #[must_use]
    pub fn possible_signs(&self) -> usize {
        let source = self.source != Source::Unclear;
        let voltage = self.voltage != Voltage::Unclear;
        let able = [
            source,
            voltage,
            self.time_on.is_some(),
            self.charge.is_some(),
            self.status_known,
        ];
        able.into_iter().filter(|able| *able).count()
    }
}

fn voltage(reading: &Reading) -> Voltage {
    let phases = reading.facts.iter().filter(|fact| {
        fact.name == "input.voltage" || (fact.name.starts_with("input.L") && fact.name.ends_with(".voltage"))
    });
    let lowest = phases
        .filter_map(|fact| match fact.value {
            Ok(FactValue::Number(volts)) if volts.is_finite() && volts >= 0.0 => Some(volts),
            _ => None,
        })
        .min_by(f64::total_cmp);
    match lowest {
        Some(volts) if volts < VOLTAGE_GONE_BELOW => Voltage::Gone(volts),
        Some(volts) if volts > VOLTAGE_PRESENT_ABOVE => Voltage::Present(volts),
        _ => Voltage::Unclear,
    }
}

/// Signs seen in a device, before anything is weighed. `true` means "says battery".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// `output.source` is battery.
    pub source: bool,
    /// `battery.status` is low or depleted.
    pub low: bool,
    /// Its count of seconds on battery is above zero and goes on counting.
    pub counting: bool,
    /// Mains is gone from its input, and was there before when the source says otherwise.
    pub voltage: bool,
    /// Its charge falls from poll to poll.
    pub falling: bool,
    /// Another UPS says the same by signs of its own.
    pub peer: bool,
}

/// How many of the signs count, given what contradicts them.
///
/// * the source says mains: only physical signs count (voltage, counting, falling), because
///   `low` may remain from the last outage;
/// * mains is at the input: neither `low` nor a peer counts, because an inverter that always
///   says "battery" would else be believed;
/// * its own count stands at 0 s: a peer does not count either, for two inverters of one make
///   say the same thing for the same reason.
#[must_use]
pub fn count(seen: Seen, facts: &Facts) -> usize {
    let says_mains = facts.source == Source::Mains;
    let mains_there = matches!(facts.voltage, Voltage::Present(_));
    let counted = [
        seen.source,
        seen.voltage,
        seen.counting,
        seen.falling,
        seen.low && !says_mains && !mains_there,
        seen.peer && seen.source && !mains_there && facts.time_on != Some(0.0),
    ];
    counted.into_iter().filter(|sign| *sign).count()
}

/// An inverter that always runs from its DC side: "battery", but 0 s on battery, full, mains at
/// the input, and the charge does not fall (seen in an RFC 1628 recording of a cetpower unit).
#[must_use]
pub fn is_inverter(seen: Seen, facts: &Facts) -> bool {
    facts.source == Source::Battery
        && matches!(facts.voltage, Voltage::Present(_))
        && facts.time_on == Some(0.0)
        && facts.charge.is_some_and(|charge| charge >= 99.0)
        && !seen.falling
}

/// The signs in words, for the page and the record.
#[must_use]
pub fn words(seen: Seen, facts: &Facts) -> Vec<String> {
    let mut words = Vec::new();
    match facts.source {
        Source::Battery => words.push("output.source = battery".into()),
        Source::Mains => words.push("output.source = mains".into()),
        Source::Bypass => words.push("output.source = bypass".into()),
        Source::Test => words.push("output.source = test".into()),
        Source::Off => words.push("output.source = off".into()),
        Source::Unclear => {}
    }
    if let Voltage::Present(volts) | Voltage::Gone(volts) = facts.voltage {
        words.push(format!("input.voltage = {volts:.0} V"));
    }
    if let (Some(secs), true) = (facts.time_on, seen.counting) {
        words.push(format!("battery.time_on = {secs:.0} s"));
    }
    if facts.low {
        words.push("battery.status = low".into());
    }
    if seen.falling {
        words.push("battery.charge falls".into());
    }
    if seen.peer {
        words.push("another UPS says battery".into());
    }
    if facts.testing {
        words.push("self-test runs".into());
    }
    if facts.calibrating {
        words.push("calibration runs".into());
    }
    if facts.eco {
        words.push("economy mode".into());
    }
    if facts.overload {
        words.push(match facts.load {
            Some(load) => format!("overload, ups.load = {load:.0} %"),
            None => "overload".into(),
        });
    }
    words
}

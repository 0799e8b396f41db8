//! Profiles: what the objects of a device model mean, as data.
//!
//! A profile is a TOML file under `controller/room/profiles/<kind>/`. It says which devices it
//! fits (sysObjectID and a probing object), and for every fact which object instance carries it,
//! how to scale it, which values mean "not measured" and what it can plausibly be. Decoding
//! never guesses: a wrong type, an unknown enumeration value, a sentinel or an impossible value
//! becomes [`NoData`] with the raw value kept, never 0 and never a default.
//!
//! ```text
//! sysObjectID, probes --Library::detect--> Profile --oids--> (GET) --values--> decode -> Reading
//! ```
//!
//! To add a model: write the file, one line in [`BUILTIN`], and a recording with its expected
//! reading in the folder of the same name. A test fails when a part is missing.
//!
//! Several facts of one name are alternatives, in the order of the file: the first good one is
//! taken.

pub mod file;
pub mod recording;
pub mod register;
pub mod value;

pub use file::BadProfile;
pub use value::{Oid, Value};

use crate::device::{Fact, FactValue, Reading};
use serde::Deserialize;
use shared::{NoData, Quantity};
use std::sync::Arc;

/// Every profile of the house: name and text. The name is the file's.
pub const BUILTIN: [(&str, &str); 3] = [
    ("apc-powernet", include_str!("../profiles/ups/apc-powernet.toml")),
    ("rfc1628", include_str!("../profiles/ups/rfc1628.toml")),
    ("host-system", include_str!("../profiles/host/host-system.toml")),
];

/// sysObjectID.0, by which a device says what it is.
pub const SYS_OBJECT_ID: &str = "1.3.6.1.2.1.1.2.0";

/// What a profile describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Supplies others; has `output.source`.
    Ups,
    /// A machine that only tells about itself.
    Host,
}

/// Unit of a number fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Unit {
    /// States and texts.
    #[serde(rename = "")]
    None,
    /// Volts.
    V,
    /// Amperes.
    A,
    /// Watts.
    W,
    /// Volt-amperes.
    #[serde(rename = "VA")]
    Va,
    /// Hertz.
    Hz,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Percent.
    #[serde(rename = "%")]
    Percent,
    /// Degrees Celsius.
    #[serde(rename = "°C")]
    Celsius,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
    /// A count.
    #[serde(rename = "1")]
    Count,
}

impl Unit {
    /// As it is printed.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Va => "VA",
            Self::Bytes => "B",
            Self::None => "",
            _ => match self.quantity() {
                Some(quantity) => quantity.unit(),
                None => "",
            },
        }
    }

    /// What the unit can plausibly measure, both ends included.
    #[must_use]
    pub fn plausible(self) -> (f64, f64) {
        match self.quantity() {
            Some(quantity) => {
                let (low, high) = quantity.plausible_milli();
                (f64::from(low) / 1000.0, f64::from(high) / 1000.0)
            }
            None => (0.0, f64::MAX),
        }
    }

    const fn quantity(self) -> Option<Quantity> {
        match self {
            Self::V => Some(Quantity::Voltage),
            Self::A => Some(Quantity::Current),
            Self::W | Self::Va => Some(Quantity::Power),
            Self::Hz => Some(Quantity::Frequency),
            Self::Seconds => Some(Quantity::Seconds),
            Self::Percent => Some(Quantity::Percent),
            Self::Celsius => Some(Quantity::Temperature),
            Self::Count => Some(Quantity::Count),
            Self::Bytes | Self::None => None,
        }
    }
}

/// The reserved words of a state fact; `None` for a fact that is no state.
#[must_use]
pub fn reserved_words(fact: &str) -> Option<&'static [&'static str]> {
    Some(match fact {
        "output.source" => &[
            "mains", "battery", "bypass", "booster", "reducer", "eco", "test", "off", "sleeping", "other",
        ],
        "battery.status" => &["normal", "low", "depleted", "fault", "absent", "unknown"],
        "battery.replace" | "ups.overload" => &["yes", "no"],
        "ups.test.result" => &["passed", "warning", "failed", "aborted", "running", "none"],
        "ups.calibration" => &["running", "no"],
        "input.transfer.reason" => &[
            "none",
            "high_voltage",
            "brownout",
            "blackout",
            "sag",
            "spike",
            "self_test",
            "rate_of_change",
        ],
        _ => return None,
    })
}

/// One model or family of devices.
#[derive(Debug, Clone)]
pub struct Profile {
    name: String,
    title: String,
    source: String,
    kind: Kind,
    sys_object_ids: Vec<Oid>,
    probes: Vec<Oid>,
    by_probe_alone: bool,
    preference: i32,
    oids: Vec<Oid>,
    definitions: Vec<Definition>,
}

#[derive(Debug, Clone)]
struct Definition {
    name: String,
    /// Index of the first definition of this name: alternatives share it.
    group: usize,
    /// Index into `Profile::oids`.
    at: usize,
    unit: Unit,
    read: Arc<Read>,
    /// A second or third phase, which most devices lack.
    further: bool,
}

#[derive(Debug)]
enum Read {
    Number {
        multiply: f64,
        divide: f64,
        invalid: Vec<i128>,
        low: f64,
        high: f64,
    },
    State {
        words: Vec<(i64, String)>,
        invalid: Vec<i128>,
    },
    Flags {
        flags: Vec<(usize, String)>,
        otherwise: String,
    },
    Bits {
        bits: Vec<(usize, String)>,
        otherwise: String,
    },
    Text,
    Constant(String),
}

/// How well a profile fits: arcs of the sysObjectID, then the profile's own preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(usize, i32);

impl Profile {
    /// Its name, unique in a library.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it describes, for people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The document its numbers come from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it describes.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The object instances to read, each once, in the order [`Self::decode`] wants the values.
    #[must_use]
    pub fn oids(&self) -> &[Oid] {
        &self.oids
    }

    /// The objects whose presence proves the profile.
    #[must_use]
    pub fn probes(&self) -> &[Oid] {
        &self.probes
    }

    /// How well it fits a device; `None` when it does not.
    pub fn rank(&self, sys_object_id: Option<&Oid>, present: &impl Fn(&Oid) -> bool) -> Option<Rank> {
        let arcs = self
            .sys_object_ids
            .iter()
            .filter(|prefix| sys_object_id.is_some_and(|id| id.is_under(prefix)))
            .map(|prefix| prefix.arcs().len())
            .max()
            .unwrap_or(0);
        let fits = (arcs > 0 || self.by_probe_alone) && self.probes.iter().any(present);
        fits.then_some(Rank(arcs, self.preference))
    }

    /// Which of [`Self::oids`] are worth asking of a device that answered `values`: all it has,
    /// and all it should have. Alternatives and further phases that it lacks are left out.
    #[must_use]
    pub fn worth_asking(&self, values: &[Value]) -> Vec<bool> {
        let present = |definition: &Definition| values.get(definition.at).is_some_and(Value::is_present);
        let mut worth = vec![false; self.oids.len()];
        for definition in &self.definitions {
            let answered = self
                .definitions
                .iter()
                .any(|other| other.group == definition.group && present(other));
            if present(definition) || !(answered || definition.further) {
                worth[definition.at] = true;
            }
        }
        worth
    }

    /// Turns the values of [`Self::oids`], in that order, into facts. A value that is missing at
    /// the end of `values` counts as not supported.
    #[must_use]
    pub fn decode(&self, sys_object_id: Option<&Oid>, values: &[Value]) -> Reading {
        let mut facts: Vec<Fact> = Vec::with_capacity(self.definitions.len());
        let mut places: Vec<Option<usize>> = vec![None; self.definitions.len()];
        for definition in &self.definitions {
            let value = values.get(definition.at).unwrap_or(&Value::NoSuchObject);
            let decoded = definition.read.decode(value);
            match places[definition.group] {
                Some(at) if !is_better(&decoded, &facts[at].value) => {}
                Some(at) => facts[at] = self.fact(definition, decoded, value),
                // Most devices have one phase; what has no second one misses nothing.
                None if definition.further && decoded == Err(NoData::NotSupported) => {}
                None => {
                    places[definition.group] = Some(facts.len());
                    facts.push(self.fact(definition, decoded, value));
                }
            }
        }
        refuse_contradictions(&mut facts);
        Reading {
            profile: self.name.clone(),
            sys_object_id: sys_object_id.map(ToString::to_string),
            facts,
        }
    }

    fn fact(&self, definition: &Definition, decoded: Result<FactValue, NoData>, value: &Value) -> Fact {
        Fact {
            name: definition.name.clone(),
            value: decoded,
            unit: definition.unit.symbol(),
            at: self.oids[definition.at].to_string(),
            label: None,
            raw: value.to_string(),
        }
    }
}

/// A good value beats a reason, and a value that was refused beats one that is not there.
fn is_better(new: &Result<FactValue, NoData>, old: &Result<FactValue, NoData>) -> bool {
    match (new, old) {
        (_, Ok(_)) => false,
        (Ok(_), Err(_)) => true,
        (Err(new), Err(old)) => *old == NoData::NotSupported && *new != NoData::NotSupported,
    }
}

impl Read {
    fn decode(&self, value: &Value) -> Result<FactValue, NoData> {
        if let Value::DeviceError(_) = value {
            return Err(NoData::DeviceError);
        }
        if !value.is_present() {
            return Err(NoData::NotSupported);
        }
        match self {
            Self::Number {
                multiply,
                divide,
                invalid,
                low,
                high,
            } => {
                let raw = value.as_integer().ok_or(NoData::NotSupported)?;
                if invalid.contains(&raw) {
                    return Err(NoData::Sentinel);
                }
                #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 nothing is plausible")]
                let number = raw as f64 * multiply / divide;
                if number < *low || number > *high {
                    return Err(NoData::Implausible);
                }
                Ok(FactValue::Number(number))
            }
            Self::State { words, invalid } => {
                let raw = value.as_integer().ok_or(NoData::NotSupported)?;
                if invalid.contains(&raw) {
                    return Err(NoData::Sentinel);
                }
                let word = words.iter().find(|(number, _)| i128::from(*number) == raw);
                // A value that the model's document does not have is evidence that cannot be
                // read, not the nearest state.
                word.map(|(_, word)| FactValue::State(word.clone()))
                    .ok_or(NoData::Implausible)
            }
            Self::Flags { flags, otherwise } => {
                let Value::Bytes(text) = value else {
                    return Err(NoData::NotSupported);
                };
                let longest = flags.iter().map(|(at, _)| *at).max().unwrap_or(0);
                if text.len() < longest || text.iter().any(|flag| !matches!(flag, b'0' | b'1')) {
                    return Err(NoData::Implausible);
                }
                let word = flags.iter().find(|(at, _)| text.get(at - 1) == Some(&b'1'));
                Ok(state(word, otherwise))
            }
            Self::Bits { bits, otherwise } => {
                let is_set = |at: usize| match value {
                    Value::Bytes(bytes) => bytes
                        .get(at / 8)
                        .is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0),
                    _ => value.as_integer().is_some_and(|n| at < 64 && (n >> at) & 1 == 1),
                };
                if !matches!(value, Value::Bytes(_)) && value.as_integer().is_none() {
                    return Err(NoData::NotSupported);
                }
                Ok(state(bits.iter().find(|(at, _)| is_set(*at)), otherwise))
            }
            Self::Text => match value {
                Value::Bytes(bytes) => match value::printable(bytes).as_deref() {
                    Some("") => Err(NoData::Sentinel),
                    Some(text) => Ok(FactValue::Text(text.to_owned())),
                    None => Err(NoData::Corrupt),
                },
                Value::Oid(oid) => Ok(FactValue::Text(oid.to_string())),
                _ => Err(NoData::NotSupported),
            },
            Self::Constant(text) => Ok(FactValue::Text(text.clone())),
        }
    }
}

fn state(word: Option<&(usize, String)>, otherwise: &str) -> FactValue {
    FactValue::State(word.map_or(otherwise, |(_, word)| word).to_owned())
}

/// Below this apparent power the meters of a UPS are too coarse to contradict each other.
const CONTRADICTION_FROM_VA: f64 = 200.0;
/// Real power can be no less than this share of the apparent power of a server room; a unit
/// that reports kilowatts where its MIB says watts is a thousand times lower.
const POWER_FACTOR_MIN: f64 = 0.05;
/// Real power above the apparent one by more than meters differ.
const POWER_FACTOR_MAX: f64 = 2.0;

/// Refuses a real power that voltage and current of the same phase contradict.
fn refuse_contradictions(facts: &mut [Fact]) {
    for (power, voltage, current) in [
        ("ups.realpower", "output.voltage", "output.current"),
        ("output.L2.realpower", "output.L2.voltage", "output.L2.current"),
        ("output.L3.realpower", "output.L3.voltage", "output.L3.current"),
    ] {
        let number = |name: &str| {
            facts
                .iter()
                .find(|fact| fact.name == name)
                .and_then(|fact| match fact.value {
                    Ok(FactValue::Number(number)) => Some(number),
                    _ => None,
                })
        };
        let (Some(volts), Some(amperes), Some(watts)) = (number(voltage), number(current), number(power))
        else {
            continue;
        };
        let apparent = volts * amperes;
        let contradicts = apparent >= CONTRADICTION_FROM_VA
            && (watts < apparent * POWER_FACTOR_MIN || watts > apparent * POWER_FACTOR_MAX);
        if contradicts && let Some(fact) = facts.iter_mut().find(|fact| fact.name == power) {
            fact.value = Err(NoData::Implausible);
        }
    }
}

/// The profiles a controller knows.
#[derive(Debug, Clone)]
pub struct Library {
    profiles: Vec<Arc<Profile>>,
}

impl Library {
    /// The profiles built into the binary.
    #[must_use]
    pub fn builtin() -> Self {
        Self::from_texts(&BUILTIN).expect("a test parses every built-in profile")
    }

    /// From names and texts.
    ///
    /// # Errors
    /// [`BadProfile`] of the first text that is refused, or of a name that occurs twice.
    pub fn from_texts(texts: &[(&str, &str)]) -> Result<Self, BadProfile> {
        let mut profiles: Vec<Arc<Profile>> = Vec::with_capacity(texts.len());
        for (name, text) in texts {
            if profiles.iter().any(|profile| profile.name == *name) {
                return Err(BadProfile {
                    profile: (*name).to_owned(),
                    problem: "another profile has this name".to_owned(),
                });
            }
            profiles.push(Arc::new(file::parse(name, text)?));
        }
        Ok(Self { profiles })
    }

    /// The profile of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Profile>> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.iter()
    }

    /// Every object to ask at first contact, each once: the probes of all profiles.
    #[must_use]
    pub fn probes(&self) -> Vec<Oid> {
        let mut oids: Vec<Oid> = Vec::new();
        for probe in self.profiles.iter().flat_map(|profile| &profile.probes) {
            if !oids.contains(probe) {
                oids.push(probe.clone());
            }
        }
        oids
    }

    /// The best fitting profile. Two that fit equally well are a mistake in the profiles, which
    /// a test finds; the earlier one is taken.
    pub fn detect(
        &self,
        sys_object_id: Option<&Oid>,
        present: impl Fn(&Oid) -> bool,
    ) -> Option<&Arc<Profile>> {
        let mut best: Option<(Rank, &Arc<Profile>)> = None;
        for profile in &self.profiles {
            if let Some(rank) = profile.rank(sys_object_id, &present)
                && best.is_none_or(|(known, _)| rank > known)
            {
                best = Some((rank, profile));
            }
        }
        best.map(|(_, profile)| profile)
    }
}

#[cfg(test)]
mod tests;

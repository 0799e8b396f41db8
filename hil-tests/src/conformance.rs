//! Conformance: recordings of real devices, served over UDP and polled by the product, against
//! what another program is known to have read from them.
//!
//! A folder holds pairs `NAME.snmprec` (what the device answered) and `NAME.json` (the expected
//! sensors: class, object, divisor, multiplier, value). Every pair is served by an agent on
//! loopback, read once through the product's own SNMP engine and profiles, and compared value by
//! value. Nothing is known here about any device; a recording that nobody has seen before is
//! treated like the others.
//!
//! Expected values are in the other program's units: minutes of runtime, raw numbers of states.
//! An expected value that physics forbids must have been refused by us, with a reason.

use controller::snmp::{Access, Client, Session, Target, Wanted};
use room::device::{FactValue, Reading};
use room::profile::recording::Recording;
use room::profile::{Library, Oid, Value};
use room::site::Secret;
use serde::Deserialize;
use simroom::recorded::Recorded;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Devices of one folder.
const DEVICES_MAX: usize = 2_000;
/// First wait for an answer; the agent is on this machine.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Readings of one device: the second one asks what the first one learnt.
const READINGS: usize = 2;
/// The profile of a device that nothing better fits.
const UNDETECTED: &str = "host-system";
/// Two objects of one fact differ by their resolution, up to one unit or this share.
const OTHER_OBJECT_SHARE: f64 = 0.02;
/// Rounding of the expected values.
const SHARE: f64 = 0.005;
const LEAST: f64 = 0.051;

/// What went wrong before anything could be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or a file of it.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Expected values that are no JSON of the known form.
    #[error("{}: {source}", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// No pair of files.
    #[error("{}: no NAME.snmprec with NAME.json beside it", .0.display())]
    Empty(PathBuf),
    /// No socket.
    #[error("open a loopback socket")]
    Socket(#[source] std::io::Error),
    /// No socket for the manager.
    #[error("open the SNMP engine")]
    Engine(#[source] controller::snmp::Error),
}

/// What became of one expected value.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Read as expected.
    Equal,
    /// An impossible value was expected, and we refused it.
    RefusedImpossible(String),
    /// We refused a value that was possible.
    RefusedPossible(String),
    /// We read something else.
    Different(String),
    /// An impossible value was expected, and we took it.
    AcceptedImpossible(String),
    /// No fact of the profile reads it.
    NotRead,
}

/// One expected value and what became of it.
#[derive(Debug, Clone)]
pub struct Line {
    /// Class of the sensor: `voltage`.
    pub class: String,
    /// Object instance.
    pub oid: String,
    /// Its description in the other program.
    pub description: String,
    /// The expected value in the other program's unit.
    pub expected: f64,
    /// What became of it.
    pub outcome: Outcome,
}

/// One device.
#[derive(Debug, Clone)]
pub struct Report {
    /// Name of the recording.
    pub name: String,
    /// The profile in use, or why there is none.
    pub profile: Result<String, String>,
    /// Facts read, good and refused.
    pub facts: (usize, usize),
    /// Every expected value.
    pub lines: Vec<Line>,
    /// Lines of the recording that could not be read.
    pub bad_lines: usize,
}

impl Report {
    /// True when a profile of its own kind was found.
    #[must_use]
    pub fn is_detected(&self) -> bool {
        self.profile.as_ref().is_ok_and(|name| name != UNDETECTED)
    }

    /// How many lines ended so.
    #[must_use]
    pub fn count(&self, is: fn(&Outcome) -> bool) -> usize {
        self.lines.iter().filter(|line| is(&line.outcome)).count()
    }

    /// Values that were possible, and how many of them are equal.
    #[must_use]
    pub fn plausible(&self) -> (usize, usize) {
        let impossible = self.count(|outcome| {
            matches!(
                outcome,
                Outcome::RefusedImpossible(_) | Outcome::AcceptedImpossible(_)
            )
        });
        (
            self.count(|outcome| *outcome == Outcome::Equal),
            self.lines.len() - impossible,
        )
    }
}

#[derive(Deserialize)]
struct Expected {
    sensors: Option<Module>,
}

#[derive(Deserialize)]
struct Module {
    discovery: Option<Tables>,
}

#[derive(Deserialize)]
struct Tables {
    #[serde(default)]
    sensors: Vec<Sensor>,
}

#[derive(Deserialize, Clone)]
struct Sensor {
    sensor_class: String,
    sensor_oid: String,
    #[serde(default)]
    sensor_descr: Option<String>,
    sensor_divisor: Option<f64>,
    sensor_multiplier: Option<f64>,
    sensor_current: Option<f64>,
}

/// Classes that are compared, with what is possible in the other program's units. A mains
/// frequency of 0 is a feed that is not there.
const CLASSES: [(&str, f64, f64); 10] = [
    ("voltage", -60.0, 1_000_000.0),
    ("current", -5_000.0, 10_000.0),
    ("frequency", 0.0, 500.0),
    ("load", 0.0, 300.0),
    ("charge", 0.0, 100.0),
    ("runtime", 0.0, 7.0 * 24.0 * 60.0),
    ("temperature", -60.0, 150.0),
    ("humidity", 0.0, 100.0),
    ("power", -2_000_000.0, 10_000_000.0),
    ("state", f64::MIN, f64::MAX),
];

/// A line voltage above this, or a mains frequency outside these, is no measurement.
fn is_possible(class: &str, value: f64) -> bool {
    let Some((_, low, high)) = CLASSES.iter().find(|(name, ..)| *name == class) else {
        return true;
    };
    let holds = (*low..=*high).contains(&value);
    match class {
        "voltage" => holds && value < 1_500.0,
        "frequency" => {
            holds && (value == 0.0 || (40.0..=70.0).contains(&value) || (380.0..=420.0).contains(&value))
        }
        _ => holds,
    }
}

/// Serves, reads and compares every pair of the folder.
///
/// # Errors
/// [`Error`] when a file or a socket fails; a device that cannot be read is a report.
pub async fn run(folder: &Path, library: Arc<Library>) -> Result<Vec<Report>, Error> {
    let names = pairs(folder)?;
    if names.is_empty() {
        return Err(Error::Empty(folder.to_owned()));
    }
    let client = Client::bind().await.map_err(Error::Engine)?;
    let mut reports = Vec::new();
    for name in names {
        reports.push(one(folder, &name, &client, &library).await?);
    }
    Ok(reports)
}

fn pairs(folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_recording = path.extension().is_some_and(|extension| extension == "snmprec");
        if let Some(name) = path.file_stem().and_then(|name| name.to_str())
            && is_recording
            && path.with_extension("json").exists()
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.truncate(DEVICES_MAX);
    Ok(names)
}

/// The recording without the lines that cannot be read, and their number. Foreign recordings are
/// made by many hands.
fn recording(text: &str) -> (Recording, usize) {
    let mut bad = 0;
    let good: Vec<&str> = text
        .lines()
        .filter(|line| {
            let reads = Recording::parse(line).is_ok();
            bad += usize::from(!reads);
            reads
        })
        .collect();
    (Recording::parse(&good.join("\n")).unwrap_or_default(), bad)
}

async fn one(folder: &Path, name: &str, client: &Client, library: &Arc<Library>) -> Result<Report, Error> {
    let read = |extension: &str| {
        let path = folder.join(format!("{name}.{extension}"));
        std::fs::read(&path)
            .map(|bytes| (path.clone(), bytes))
            .map_err(|source| Error::Read { path, source })
    };
    let (_, bytes) = read("snmprec")?;
    let (recording, bad_lines) = recording(&String::from_utf8_lossy(&bytes));
    let (path, bytes) = read("json")?;
    let expected: Expected = serde_json::from_slice(&bytes).map_err(|source| Error::Json { path, source })?;
    let sensors = expected
        .sensors
        .and_then(|module| module.discovery)
        .map(|tables| tables.sensors)
        .unwrap_or_default();
    let agent = Recorded::start(&recording, "conformance")
        .await
        .map_err(Error::Socket)?;
    let access = Access::V2c(Secret("conformance".to_owned()));
    let target = Target::new(agent.addr, access, TIMEOUT, 1);
    let mut session = Session::new(client.clone(), Arc::clone(library), target, Wanted::Any);
    let mut result = session.read().await;
    for _ in 1..READINGS {
        if result.is_ok() {
            result = session.read().await;
        }
    }
    let reading = match result {
        Ok(reading) => reading,
        Err(failure) => {
            return Ok(Report {
                name: name.to_owned(),
                profile: Err(format!("{failure:?}")),
                facts: (0, 0),
                lines: compare(&sensors, &recording, &Reading::default(), &|_| None),
                bad_lines,
            });
        }
    };
    let fact_of = |oid: &Oid| {
        session.layout().and_then(|layout| {
            layout
                .definition_of(oid)
                .map(|definition| definition.name().to_owned())
        })
    };
    let good = reading.facts.iter().filter(|fact| fact.value.is_ok()).count();
    Ok(Report {
        name: name.to_owned(),
        profile: Ok(reading.profile.clone()),
        facts: (good, reading.facts.len() - good),
        lines: compare(&sensors, &recording, &reading, &fact_of),
        bad_lines,
    })
}

fn compare(
    sensors: &[Sensor],
    recording: &Recording,
    reading: &Reading,
    fact_of: &dyn Fn(&Oid) -> Option<String>,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for sensor in sensors {
        let class = sensor.sensor_class.as_str();
        let (Some(expected), true) = (
            sensor.sensor_current,
            CLASSES.iter().any(|(name, ..)| *name == class),
        ) else {
            continue;
        };
        let Ok(oid) = sensor.sensor_oid.parse::<Oid>() else {
            continue;
        };
        // What is not in the recording cannot be read from it.
        let raw = recording.get(&oid);
        if !raw.is_present() {
            continue;
        }
        lines.push(Line {
            class: class.to_owned(),
            oid: oid.to_string(),
            description: sensor.sensor_descr.clone().unwrap_or_default(),
            expected,
            outcome: outcome(sensor, class, expected, &oid, &raw, reading, fact_of),
        });
    }
    lines
}

/// The other program's value by its own rule from the raw one; a runtime in minutes.
fn by_rule(sensor: &Sensor, raw: &Value) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "compared with a tolerance")]
    let raw = match raw {
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse().ok()?,
        other => other.as_integer()? as f64,
    };
    let divisor = sensor
        .sensor_divisor
        .filter(|divisor| *divisor != 0.0)
        .unwrap_or(1.0);
    Some(raw * sensor.sensor_multiplier.unwrap_or(1.0) / divisor)
}

fn outcome(
    sensor: &Sensor,
    class: &str,
    expected: f64,
    oid: &Oid,
    raw: &Value,
    reading: &Reading,
    fact_of: &dyn Fn(&Oid) -> Option<String>,
) -> Outcome {
    let dotted = oid.to_string();
    let same_object: Vec<_> = reading.facts.iter().filter(|fact| fact.at == dotted).collect();
    let facts = if same_object.is_empty() {
        let name = fact_of(oid);
        reading
            .facts
            .iter()
            .filter(|fact| Some(&fact.name) == name.as_ref())
            .collect()
    } else {
        same_object.clone()
    };
    let possible = is_possible(class, expected);
    if facts.is_empty() {
        return if possible {
            Outcome::NotRead
        } else {
            Outcome::RefusedImpossible("not read".to_owned())
        };
    }
    let mut worst = Outcome::NotRead;
    for fact in facts {
        let ours = match &fact.value {
            Err(reason) => {
                let reason = format!("{} = no data: {reason:?} ({})", fact.name, fact.raw);
                worst = if possible {
                    Outcome::RefusedPossible(reason)
                } else {
                    Outcome::RefusedImpossible(reason)
                };
                continue;
            }
            Ok(FactValue::State(word)) => {
                // A state counts by its raw value: what it means has no second opinion here.
                if class == "state" {
                    return Outcome::Equal;
                }
                worst = Outcome::Different(format!("{} = {word}", fact.name));
                continue;
            }
            Ok(FactValue::Text(text)) => {
                worst = Outcome::Different(format!("{} = \"{text}\"", fact.name));
                continue;
            }
            Ok(FactValue::Number(number)) => *number,
        };
        if class == "state" {
            if by_rule(sensor, raw).is_some_and(|raw| (raw - ours).abs() < LEAST) {
                return Outcome::Equal;
            }
            worst = Outcome::Different(format!("{} = {ours}", fact.name));
            continue;
        }
        let converted = match (class, fact.unit) {
            ("runtime", "s") => ours / 60.0,
            _ => ours,
        };
        if !possible {
            // Wrong by a unit that the other program got wrong is no impossible value of ours.
            if (converted - expected).abs() <= tolerance(expected, false) {
                return Outcome::AcceptedImpossible(format!("{} = {ours} {}", fact.name, fact.unit));
            }
            worst = Outcome::RefusedImpossible(format!("{} = {ours} {} instead", fact.name, fact.unit));
            continue;
        }
        let other = fact.at != dotted;
        let near = |value: f64| (converted - value).abs() <= tolerance(value, other);
        if near(expected) || by_rule(sensor, raw).is_some_and(near) {
            return Outcome::Equal;
        }
        worst = Outcome::Different(format!("{} = {ours} {}", fact.name, fact.unit));
    }
    worst
}

fn tolerance(value: f64, other_object: bool) -> f64 {
    if other_object {
        (value.abs() * OTHER_OBJECT_SHARE).max(1.0)
    } else {
        (value.abs() * SHARE).max(LEAST)
    }
}

/// Sums over all devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Recordings.
    pub devices: usize,
    /// With a profile of their own kind.
    pub detected: usize,
    /// Expected values that are possible.
    pub plausible: usize,
    /// Of these, equal.
    pub equal: usize,
    /// Impossible values that we took.
    pub accepted_impossible: usize,
}

/// Adds the reports up.
#[must_use]
pub fn totals(reports: &[Report]) -> Totals {
    reports.iter().fold(Totals::default(), |sum, report| {
        let (equal, plausible) = report.plausible();
        Totals {
            devices: sum.devices + 1,
            detected: sum.detected + usize::from(report.is_detected()),
            plausible: sum.plausible + plausible,
            equal: sum.equal + equal,
            accepted_impossible: sum.accepted_impossible
                + report.count(|outcome| matches!(outcome, Outcome::AcceptedImpossible(_))),
        }
    })
}

/// The table for people; `details` lists every value that is not equal.
#[must_use]
pub fn table(reports: &[Report], details: bool) -> String {
    let mut text = format!(
        "{:<34} {:<24} {:>5} {:>8} {:>9} {:>8} {:>8}\n",
        "recording", "profile", "equal", "refused", "different", "not read", "facts"
    );
    for report in reports {
        let profile = match &report.profile {
            Ok(name) => name.as_str(),
            Err(why) => why.as_str(),
        };
        let refused = report.count(|outcome| {
            matches!(
                outcome,
                Outcome::RefusedImpossible(_) | Outcome::RefusedPossible(_)
            )
        });
        let different =
            report.count(|outcome| matches!(outcome, Outcome::Different(_) | Outcome::AcceptedImpossible(_)));
        let (equal, _) = report.plausible();
        let _ = writeln!(
            text,
            "{:<34} {:<24} {:>5} {:>8} {:>9} {:>8} {:>8}",
            report.name,
            profile,
            equal,
            refused,
            different,
            report.count(|outcome| *outcome == Outcome::NotRead),
            report.facts.0 + report.facts.1,
        );
        for line in &report.lines {
            let what = match &line.outcome {
                Outcome::Equal => continue,
                Outcome::NotRead if details => "not read".to_owned(),
                Outcome::RefusedPossible(why) if details => format!("refused: {why}"),
                Outcome::Different(why) if details => format!("different: {why}"),
                Outcome::AcceptedImpossible(why) => format!("IMPOSSIBLE, TAKEN: {why}"),
                Outcome::RefusedImpossible(why) => format!("impossible, refused: {why}"),
                _ => continue,
            };
            let _ = writeln!(
                text,
                "    {} {} ({}) expected {}: {what}",
                line.class, line.oid, line.description, line.expected
            );
        }
    }
    let sum = totals(reports);
    let mut classes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for line in reports.iter().flat_map(|report| &report.lines) {
        let (equal, all) = classes.entry(&line.class).or_default();
        *equal += usize::from(line.outcome == Outcome::Equal);
        *all += usize::from(!matches!(
            line.outcome,
            Outcome::RefusedImpossible(_) | Outcome::AcceptedImpossible(_)
        ));
    }
    for (class, (equal, all)) in classes {
        let _ = writeln!(text, "{class:<12} {equal:>5} of {all:>5}");
    }
    #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
    let percent = 100.0 * sum.equal as f64 / sum.plausible.max(1) as f64;
    let _ = writeln!(
        text,
        "{} of {} devices detected, {} of {} possible values equal ({percent:.1} %), {} impossible ones taken",
        sum.detected, sum.devices, sum.equal, sum.plausible, sum.accepted_impossible
    );
    text
}

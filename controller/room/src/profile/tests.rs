//! Every profile against its recordings, and the rules of decoding one by one.

use super::recording::Recording;
use super::*;
use crate::device::{FactValue, Reading};
use shared::NoData;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

fn read(library: &Library, recording: &Recording) -> Option<Reading> {
    let profile = library.detect(&recording.identity(), |probe| recording.has(probe))?;
    Some(recording.read(&profile).1)
}

/// The layout of a profile without tables, or of a device without rows.
fn bare(profile: &str) -> Layout {
    Library::builtin().get(profile).unwrap().layout(&[])
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles")
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> = std::fs::read_dir(dir)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    list.retain(|path| path.extension().is_some_and(|found| found == extension));
    list.sort();
    list
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// Each file under profiles/ is built in, stands in the folder of its kind, has recordings, and
/// each recording decodes to the reading written beside it, by this profile and by no other of
/// the same rank. With `YAGURA_BLESS=1` the readings are written instead.
type Check = fn(&Library, &Profile, &Path) -> Result<(), String>;

#[test]
fn every_profile_reads_its_recordings() {
    let library = Library::builtin();
    let mut problems = String::new();
    let mut seen = 0;
    for kind in std::fs::read_dir(folder()).unwrap() {
        let kind = kind.unwrap().path();
        for file in files(&kind, "toml") {
            let name = stem(&file);
            seen += 1;
            let mut problem = |text: String| writeln!(problems, "{name}: {text}").unwrap();
            let Some(profile) = library.get(&name) else {
                problem("not built in; touch controller/room/build.rs".to_owned());
                continue;
            };
            if profile.kind().word() != kind.file_name().unwrap().to_str().unwrap() {
                problem(format!(
                    "a {} stands in {}",
                    profile.kind().word(),
                    kind.display()
                ));
            }
            let (extension, check): (_, Check) = match profile.protocol() {
                Protocol::Snmp => ("snmprec", check_recording),
                Protocol::Modbus(_) => ("registers", check_registers),
            };
            let recordings = files(&file.with_extension(""), extension);
            if recordings.is_empty() {
                problem(format!(
                    "no .{extension} in {}",
                    file.with_extension("").display()
                ));
            }
            for path in recordings {
                if let Err(text) = check(&library, profile, &path) {
                    problem(format!("{}: {text}", path.display()));
                }
            }
        }
    }
    if seen != BUILTIN.len() {
        writeln!(
            problems,
            "{} profiles are built in, {seen} files are there",
            BUILTIN.len()
        )
        .unwrap();
    }
    assert!(problems.is_empty(), "\n{problems}");
}

/// An outage must be visible in every family: one recording of each says battery, and one says
/// that it is not.
#[test]
fn every_ups_is_shown_with_mains_and_without() {
    let library = Library::builtin();
    for profile in library.iter().filter(|profile| profile.kind() == Kind::Ups) {
        let folder = folder().join("ups").join(profile.name());
        let sources: Vec<String> = files(&folder, "reading")
            .iter()
            .filter_map(|path| {
                let text = std::fs::read_to_string(path).unwrap();
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix("output.source = "))?;
                Some(line.to_owned())
            })
            .collect();
        let battery = sources.iter().any(|source| source == "battery");
        let fed = sources
            .iter()
            .any(|source| ["mains", "eco", "bypass"].contains(&source.as_str()));
        assert!(battery && fed, "{}: {sources:?}", profile.name());
    }
}

fn check_recording(library: &Library, profile: &Profile, path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let recording = Recording::parse(&text).map_err(|error| error.to_string())?;
    if profile.kind() != Kind::Part {
        let mut fitting = library
            .candidates(&recording.identity())
            .into_iter()
            .filter(|(_, profile)| profile.probes().iter().any(|probe| recording.has(probe)));
        let (rank, best) = fitting.next().ok_or("no profile fits")?;
        if best.name() != profile.name() {
            return Err(format!("{} fits better", best.name()));
        }
        if let Some((other, second)) = fitting.next()
            && other == rank
        {
            return Err(format!("{} fits equally", second.name()));
        }
    }
    let (_, reading) = recording.read(profile);
    check_reading(&reading, &text, path)
}

fn check_registers(_: &Library, profile: &Profile, path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let image = register::Image::parse(&text).map_err(|error| error.to_string())?;
    check_reading(&image.reading(profile), &text, path)
}

fn check_reading(reading: &Reading, text: &str, path: &Path) -> Result<(), String> {
    let shown = recording::reading_text(reading);
    let expected = path.with_extension("reading");
    if std::env::var_os("YAGURA_BLESS").is_some() {
        std::fs::write(&expected, &shown).unwrap();
    }
    match std::fs::read_to_string(&expected) {
        Ok(wanted) if wanted == shown => {}
        Ok(wanted) => return Err(format!("expected\n{wanted}\nbut it is\n{shown}")),
        Err(_) => return Err("no expected reading; write it with YAGURA_BLESS=1".to_owned()),
    }
    for fact in &reading.facts {
        let is_state = fact.unit.is_empty() && fact.value == Err(NoData::Implausible);
        // A recording may show on purpose what happens: `# no word: output.source`.
        if is_state
            && !text
                .lines()
                .any(|line| line == format!("# no word: {}", fact.name))
        {
            return Err(format!(
                "{} has no word for {} (if that is meant, write `# no word: {}` into the recording)",
                fact.name, fact.raw, fact.name
            ));
        }
    }
    Ok(())
}

fn value_of(reading: &Reading, name: &str) -> Result<FactValue, NoData> {
    reading.fact(name).unwrap().value.clone()
}

fn decode_one(profile: &str, object: &str, value: Value) -> Reading {
    let layout = bare(profile);
    let values: Vec<Value> = layout
        .oids()
        .iter()
        .map(|known| {
            if *known == oid(object) {
                value.clone()
            } else {
                Value::NoSuchObject
            }
        })
        .collect();
    assert!(values.contains(&value), "{object} is not read");
    layout.decode(None, &values)
}

#[test]
fn units_are_seconds_and_percent() {
    let minutes = decode_one("rfc1628", "1.3.6.1.2.1.33.1.2.3.0", Value::Integer(24));
    assert_eq!(minutes.number("battery.runtime"), Some(1440.0));
    let ticks = decode_one(
        "apc-powernet",
        "1.3.6.1.4.1.318.1.1.1.2.2.3.0",
        Value::Ticks(318_000),
    );
    assert_eq!(ticks.number("battery.runtime"), Some(3180.0));
    assert_eq!(ticks.fact("battery.runtime").unwrap().unit, "s");
}

#[test]
fn what_cannot_be_read_is_never_a_number() {
    let charge = "1.3.6.1.2.1.33.1.2.4.0";
    for (value, reason) in [
        (Value::Bytes(b"ten".to_vec()), NoData::NotSupported),
        (Value::Null, NoData::NotSupported),
        (Value::NoSuchInstance, NoData::NotSupported),
        (Value::Oid(oid("1.3.6")), NoData::NotSupported),
        (Value::Integer(101), NoData::Implausible),
        (Value::Integer(-5), NoData::Implausible),
        (Value::Integer(i64::MIN), NoData::Sentinel),
        (Value::Unsigned(u64::MAX), NoData::Sentinel),
        (Value::Integer(-1), NoData::Sentinel),
        (Value::Unsigned(65535), NoData::Sentinel),
        (Value::DeviceError(5), NoData::DeviceError),
    ] {
        let reading = decode_one("rfc1628", charge, value.clone());
        assert_eq!(value_of(&reading, "battery.charge"), Err(reason), "{value:?}");
    }
    let runtime = "1.3.6.1.2.1.33.1.2.3.0";
    for sentinel in [65_535, 4_294_967_295] {
        let reading = decode_one("rfc1628", runtime, Value::Unsigned(sentinel));
        assert_eq!(value_of(&reading, "battery.runtime"), Err(NoData::Sentinel));
    }
}

#[test]
fn an_unknown_state_keeps_its_raw_value_and_is_no_state() {
    let reading = decode_one("rfc1628", "1.3.6.1.2.1.33.1.4.1.0", Value::Integer(9));
    assert_eq!(value_of(&reading, "output.source"), Err(NoData::Implausible));
    assert_eq!(reading.fact("output.source").unwrap().raw, "9");
    let reading = decode_one("apc-powernet", "1.3.6.1.4.1.318.1.1.1.4.1.1.0", Value::Integer(1));
    assert_eq!(value_of(&reading, "output.source"), Err(NoData::Sentinel));
}

#[test]
fn flags_are_counted_from_one_and_a_short_text_is_refused() {
    let object = "1.3.6.1.4.1.318.1.1.1.11.1.1.0";
    let mut flags = vec![b'0'; 64];
    flags[9] = b'1';
    let reading = decode_one("apc-powernet", object, Value::Bytes(flags.clone()));
    assert_eq!(reading.state("ups.calibration"), Some("running"));
    assert_eq!(reading.state("ups.overload"), Some("no"));
    for bad in [b"0100".to_vec(), vec![b'2'; 64], Vec::new()] {
        let reading = decode_one("apc-powernet", object, Value::Bytes(bad));
        assert_eq!(value_of(&reading, "ups.overload"), Err(NoData::Implausible));
    }
}

#[test]
fn bits_are_counted_in_integers_and_in_octets() {
    let text = "title=\"t\"\nsource=\"s\"\nkind=\"ups\"\n[match]\nprobe=[\"1.3.6.1.1.0\"]\nby_probe_alone=true\n\
        preference=1\n[[fact]]\nname=\"battery.replace\"\noid=\"1.3.6.1.1.0\"\nread=\"bits\"\n\
        words={ 9 = \"yes\" }\notherwise=\"no\"\n";
    let profile = file::parse("bits", text).unwrap();
    let state = |value: Value| value_of(&profile.layout(&[]).decode(None, &[value]), "battery.replace");
    let word = |word: &str| Ok(FactValue::State(word.to_owned()));
    assert_eq!(state(Value::Integer(1 << 9)), word("yes"));
    assert_eq!(state(Value::Integer(1 << 8)), word("no"));
    // BITS count from the first octet's highest bit.
    assert_eq!(state(Value::Bytes(vec![0x00, 0x40])), word("yes"));
    assert_eq!(state(Value::Bytes(vec![0xff, 0x80])), word("no"));
    assert_eq!(state(Value::Null), Err(NoData::NotSupported));
    assert_eq!(state(Value::Oid(oid("1.3.6"))), Err(NoData::NotSupported));
}

#[test]
fn the_better_of_two_objects_is_taken() {
    let profile = bare("apc-powernet");
    let coarse = oid("1.3.6.1.4.1.318.1.1.1.2.2.1.0");
    let fine = oid("1.3.6.1.4.1.318.1.1.1.2.3.1.0");
    let with = |fine_value: Value| {
        let values: Vec<Value> = profile
            .oids()
            .iter()
            .map(|known| match known {
                known if *known == coarse => Value::Unsigned(97),
                known if *known == fine => fine_value.clone(),
                _ => Value::NoSuchObject,
            })
            .collect();
        let reading = profile.decode(None, &values);
        let fact = reading.fact("battery.charge").unwrap();
        (reading.number("battery.charge").unwrap(), fact.at.clone())
    };
    assert_eq!(with(Value::Unsigned(974)), (97.4, fine.to_string()));
    assert_eq!(with(Value::Unsigned(4_294_967_295)), (97.0, coarse.to_string()));
    assert_eq!(with(Value::NoSuchObject), (97.0, coarse.to_string()));
}

#[test]
fn only_what_a_device_lacks_by_nature_is_left_out_of_the_next_question() {
    let profile = bare("rfc1628");
    let has = |known: &Oid| {
        let text = known.to_string();
        text.ends_with(".1") || text == "1.3.6.1.2.1.33.1.4.1.0"
    };
    let values: Vec<Value> = profile
        .oids()
        .iter()
        .map(|known| {
            if has(known) {
                Value::Integer(3)
            } else {
                Value::NoSuchInstance
            }
        })
        .collect();
    let worth = profile.worth_asking(&values);
    let asked = |object: &str| {
        let at = profile.oids().iter().position(|known| *known == oid(object));
        at.is_some_and(|at| worth[at])
    };
    assert!(asked("1.3.6.1.2.1.33.1.3.3.1.3.1"));
    assert!(!asked("1.3.6.1.2.1.33.1.3.3.1.3.1.0"), "the alternative");
    assert!(!asked("1.3.6.1.2.1.33.1.3.3.1.3.2"), "a second phase");
    assert!(asked("1.3.6.1.2.1.33.1.2.4.0"), "the charge may appear later");
}

#[test]
fn kilowatts_in_a_field_of_watts_are_refused() {
    let profile = bare("rfc1628");
    let with = |watts: i64| {
        let values: Vec<Value> = profile
            .oids()
            .iter()
            .map(|known| match known.to_string().as_str() {
                "1.3.6.1.2.1.33.1.4.4.1.2.1" => Value::Integer(230),
                "1.3.6.1.2.1.33.1.4.4.1.3.1" => Value::Integer(72),
                "1.3.6.1.2.1.33.1.4.4.1.4.1" => Value::Integer(watts),
                _ => Value::NoSuchObject,
            })
            .collect();
        value_of(&profile.decode(None, &values), "ups.realpower")
    };
    assert_eq!(with(1), Err(NoData::Implausible));
    assert_eq!(with(1500), Ok(FactValue::Number(1500.0)));
}

#[test]
fn a_profile_with_a_mistake_is_refused_by_name() {
    let good = "title=\"t\"\nsource=\"s\"\nkind=\"ups\"\n[match]\nprobe=[\"1.3.6.1.1.0\"]\nby_probe_alone=true\npreference=1\n";
    let fact = |text: &str| format!("{good}[[fact]]\n{text}\n");
    assert!(file::parse("x", &fact("name=\"a\"\noid=\"1.3.6.1\"\nread=\"text\"")).is_ok());
    for (mistake, hint) in [
        ("name=\"a\"\noid=\"1.3.6.1\"\nread=\"number\"", "unit is missing"),
        (
            "name=\"a\"\noid=\"1.3.6.1\"\nread=\"text\"\nunit=\"V\"",
            "belong to numbers",
        ),
        (
            "name=\"a\"\noid=\"1.3.6.1\"\nread=\"text\"\ncolour=\"red\"",
            "colour",
        ),
        ("name=\"a\"\noid=\"1.x\"\nread=\"text\"", "1.x"),
        (
            "name=\"a\"\noid=\"1.3.6.1\"\nread=\"text\"\nrarely=true",
            "belongs to a column",
        ),
        (
            "name=\"a\"\noid=\"1.3.6.1\"\nread=\"state\"\nwords={1=\"mains\"}",
            "reserved words",
        ),
        (
            "name=\"output.source\"\noid=\"1.3.6.1\"\nread=\"state\"\nwords={1=\"fine\"}",
            "`fine`",
        ),
        (
            "name=\"a\"\noid=\"1.3.6.1\"\nread=\"number\"\nunit=\"V\"\nlines=3",
            "belong together",
        ),
        (
            "name=\"a\"\noid=\"1.3.6.1\"\nread=\"number\"\nunit=\"V\"\nrange=[5,1]",
            "makes no sense",
        ),
    ] {
        let error = file::parse("x", &fact(mistake)).unwrap_err();
        assert!(error.to_string().contains(hint), "{mistake}: {error}");
        assert_eq!(error.profile, "x");
    }
    assert!(Library::from_texts(&[BUILTIN[0], BUILTIN[0]]).is_err());
}

/// Recordings of real devices are third-party and live outside of the project: in the folder
/// that `YAGURA_RECORDINGS` names, or in `shared/recordings` beside the project.
fn real_recordings() -> Option<PathBuf> {
    let folder = std::env::var_os("YAGURA_RECORDINGS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/recordings"),
        PathBuf::from,
    );
    folder.is_dir().then_some(folder)
}

#[derive(Default)]
struct Tally {
    equal: usize,
    refused: usize,
    different: Vec<String>,
}

#[test]
fn real_devices_agree_with_their_expected_values() {
    let Some(folder) = real_recordings() else {
        println!("SKIPPED: no recordings of real devices (set YAGURA_RECORDINGS to their folder)");
        return;
    };
    let library = Library::builtin();
    let mut total = Tally::default();
    println!("{:<28} {:<14} equal refused different", "recording", "profile");
    for path in files(&folder, "snmprec") {
        let text = std::fs::read_to_string(&path).unwrap();
        let Ok(recording) = Recording::parse(&text) else {
            panic!("{}: cannot be read", path.display());
        };
        let Some(reading) = read(&library, &recording) else {
            continue;
        };
        if library.get(&reading.profile).unwrap().kind() != Kind::Ups {
            continue;
        }
        assert_plausible(&path, &reading);
        let tally = compare(&path, &reading);
        println!(
            "{:<28} {:<14} {:>5} {:>7} {:>9}",
            stem(&path),
            reading.profile,
            tally.equal,
            tally.refused,
            tally.different.len()
        );
        for line in &tally.different {
            println!("    {line}");
        }
        total.equal += tally.equal;
        total.refused += tally.refused;
        total.different.extend(tally.different);
    }
    println!(
        "in all: {} equal, {} refused, {:?}",
        total.equal, total.refused, total.different
    );
    let plausible = total.equal + total.different.len();
    assert!(plausible > 0, "{}: no expected value was found", folder.display());
    assert!(
        total.equal * 100 >= plausible * 95,
        "{} of {plausible} plausible values agree",
        total.equal
    );
}

/// What no UPS of a municipal room can show, whatever its profile says.
fn assert_plausible(path: &Path, reading: &Reading) {
    for fact in &reading.facts {
        let Ok(FactValue::Number(number)) = fact.value else {
            continue;
        };
        let possible = match fact.unit {
            "V" => (0.0..=1000.0).contains(&number),
            "%" => (0.0..=250.0).contains(&number),
            "Hz" => (0.0..=80.0).contains(&number),
            "s" if fact.name.starts_with("battery.") => (0.0..=2_592_000.0).contains(&number),
            "°C" => (-20.0..=100.0).contains(&number),
            _ => number.is_finite(),
        };
        assert!(
            possible,
            "{}: {} = {number} {}",
            path.display(),
            fact.name,
            fact.unit
        );
    }
}

fn compare(path: &Path, reading: &Reading) -> Tally {
    let text = std::fs::read_to_string(path.with_extension("json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let empty = Vec::new();
    let sensors = json["sensors"]["discovery"]["sensors"]
        .as_array()
        .unwrap_or(&empty);
    let mut tally = Tally::default();
    for sensor in sensors {
        let class = sensor["sensor_class"].as_str().unwrap_or("");
        if !["charge", "runtime", "load", "voltage", "current", "frequency"].contains(&class) {
            continue;
        }
        let number = |key: &str| {
            let value = &sensor[key];
            value
                .as_f64()
                .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        };
        let (Some(object), Some(expected)) = (sensor["sensor_oid"].as_str(), number("sensor_current")) else {
            continue;
        };
        let Some(fact) = reading
            .facts
            .iter()
            .find(|fact| fact.at == object.trim_start_matches('.') && !fact.raw.is_empty())
        else {
            continue;
        };
        // Those files keep runtimes in minutes.
        let expected = if class == "runtime" {
            expected * 60.0
        } else {
            expected
        };
        match fact.value {
            Ok(FactValue::Number(value)) if (value - expected).abs() <= 0.01 * expected.abs().max(1.0) => {
                tally.equal += 1;
            }
            Ok(ref value) => tally.different.push(format!(
                "{} {object}: {value:?}, expected {expected} (raw {})",
                fact.name, fact.raw
            )),
            Err(_) => tally.refused += 1,
        }
    }
    tally
}

/// What tables can do, in one place. The device is made up.
const TABLES: &str = r#"
title = "Tables"
source = "a made-up document"
kind = "pdu"
[match]
sys_object_id = ["1.3.6.1.4.1.99999"]
probe = ["1.3.6.1.4.1.99999.1.2"]
preference = 1

[[fact]]
name = "outlet.{i}.status"
column = "1.3.6.1.4.1.99999.1.2"
label = "1.3.6.1.4.1.99999.1.1"
read = "state"
words = { 1 = "on", "off" = "off" }

[[fact]]
name = "outlet.{i}.current"
column = ["1.3.6.1.4.1.99999.1.4", "1.3.6.1.4.1.99999.1.3"]
read = "number"
unit = "A"
divide = 10

[[fact]]
name = "input.L{2}.voltage"
first_name = "input.voltage"
column = "1.3.6.1.4.1.99999.2.1"
where = [{ arc = 1, is = [1] }]
read = "number"
unit = "V"

[[fact]]
name = "ambient.{i}.temperature"
column = "1.3.6.1.4.1.99999.3.2"
label = "1.3.6.1.4.1.99999.3.1"
where = [{ column = "1.3.6.1.4.1.99999.3.3", text = ["degree *"] }, { column = "1.3.6.1.4.1.99999.3.4", not = [0] }]
scale = { column = "1.3.6.1.4.1.99999.3.5", as = "exponent" }
read = "number"
unit = "°C"

[[fact]]
name = "fdb.{index}"
column = "1.3.6.1.4.1.99999.5.1"
read = "number"
unit = "1"
rarely = true
invalid = [0]

[[fact]]
name = "ups.temperature"
oid = "1.3.6.1.4.1.99999.4.1.0"
where = [{ scalar = "1.3.6.1.4.1.99999.4.2.0", is = ["F"] }]
read = "number"
unit = "°C"
multiply = 5
divide = 9
offset = -17.777778
"#;

fn tables(rows: &str) -> (Layout, Reading) {
    let recording = Recording::parse(rows).unwrap();
    recording.read(
        Library::from_texts(&[("tables", TABLES)])
            .unwrap()
            .get("tables")
            .unwrap(),
    )
}

fn check_tables(rows: &str, expected: &expect_test::Expect) {
    expected.assert_eq(&recording::reading_text(&tables(rows).1));
}

#[test]
fn rows_become_facts_with_the_numbers_and_names_the_profile_gives_them() {
    check_tables(
        "1.3.6.1.4.1.99999.1.1.10|4|Server 1\n1.3.6.1.4.1.99999.1.1.20|4|\n\
         1.3.6.1.4.1.99999.1.2.10|2|1\n1.3.6.1.4.1.99999.1.2.20|4|OFF \n1.3.6.1.4.1.99999.1.2.30|2|7\n\
         1.3.6.1.4.1.99999.1.3.10|2|12\n1.3.6.1.4.1.99999.1.3.30|2|31\n1.3.6.1.4.1.99999.1.4.10|4|12.5 A\n\
         1.3.6.1.4.1.99999.2.1.1.1|2|230\n1.3.6.1.4.1.99999.2.1.1.2|2|231\n1.3.6.1.4.1.99999.2.1.2.1|2|400\n",
        &expect_test::expect![[r#"
            profile tables
            outlet.1.status = on  # Server 1
            outlet.2.status = off
            outlet.3.status = no data: implausible (7)
            outlet.1.current = 1.25 A
            outlet.3.current = 3.1 A
            input.voltage = 230 V
            input.L2.voltage = 231 V
        "#]],
    );
}

#[test]
fn rows_are_chosen_and_scaled_by_what_the_device_says_of_them() {
    check_tables(
        "1.3.6.1.4.1.99999.3.1.1|4|Rack\n1.3.6.1.4.1.99999.3.2.1|2|231\n1.3.6.1.4.1.99999.3.3.1|4|degree C\n\
         1.3.6.1.4.1.99999.3.4.1|2|1\n1.3.6.1.4.1.99999.3.5.1|2|-1\n\
         1.3.6.1.4.1.99999.3.2.2|2|45\n1.3.6.1.4.1.99999.3.3.2|4|%\n1.3.6.1.4.1.99999.3.4.2|2|1\n\
         1.3.6.1.4.1.99999.3.2.3|2|22\n1.3.6.1.4.1.99999.3.3.3|4|Degree C\n1.3.6.1.4.1.99999.3.4.3|2|0\n\
         1.3.6.1.4.1.99999.3.2.4|2|22\n1.3.6.1.4.1.99999.3.3.4|4|Degree C\n\
         1.3.6.1.4.1.99999.3.2.5|2|24\n1.3.6.1.4.1.99999.3.3.5|4|Degree C\n1.3.6.1.4.1.99999.3.4.5|2|3\n\
         1.3.6.1.4.1.99999.3.2.6|2|24\n1.3.6.1.4.1.99999.3.3.6|4|Degree C\n1.3.6.1.4.1.99999.3.4.6|2|3\n\
         1.3.6.1.4.1.99999.3.5.6|2|900\n\
         1.3.6.1.4.1.99999.4.1.0|2|77\n1.3.6.1.4.1.99999.4.2.0|4|f\n",
        &expect_test::expect![[r#"
            profile tables
            ambient.1.temperature = 23.1 °C  # Rack
            ambient.2.temperature = 24 °C
            ambient.3.temperature = no data: implausible (24)
            ups.temperature = 25 °C
        "#]],
    );
}

#[test]
fn what_is_read_rarely_has_the_value_of_the_walk_and_no_poll_asks_for_it() {
    let rows = "1.3.6.1.4.1.99999.5.1.0.22|2|3\n1.3.6.1.4.1.99999.5.1.0.23|2|0\n\
                1.3.6.1.4.1.99999.1.2.10|2|1\n";
    check_tables(
        rows,
        &expect_test::expect![[r#"
        profile tables
        outlet.1.status = on
        fdb.0.22 = 3
        fdb.0.23 = no data: sentinel (0)
    "#]],
    );
    let (layout, _) = tables(rows);
    let column = oid("1.3.6.1.4.1.99999.5.1");
    assert!(!layout.oids().iter().any(|asked| asked.is_under(&column)));
    // Rows that vanish are no reason to look again.
    assert!(!layout.has_lost_rows(&[Value::Integer(1)]));
}

#[test]
fn what_does_not_fit_into_the_limits_is_counted() {
    let rows: String = (1..=2000).fold(String::new(), |mut text, row| {
        writeln!(text, "1.3.6.1.4.1.99999.1.2.{row}|2|1").unwrap();
        text
    });
    let (layout, reading) = tables(&rows);
    assert_eq!(layout.oids().len(), ROWS_MAX);
    assert_eq!(reading.number(LEFT_OUT), Some(976.0));
}

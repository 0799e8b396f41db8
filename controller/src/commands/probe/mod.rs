//! `yagura probe`: asks one device what it is and shows what the controller would believe.
//!
//! It reads and never writes. It prints the same facts, by the same profiles and rules, that
//! core polls. A protocol is a file here: its arguments, and a future that ends in an [`Answer`].

mod modbus;
mod nut;
mod serial;
mod snmp;

use clap::{Parser, Subcommand};
use room::device::{Fact, FactValue, Reading};
use room::profile::{Library, Profile};
use serde::Serialize;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// A probe that takes longer shows that it is working.
const SHOW_PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// Widest value column; longer texts push their own line only.
const VALUE_WIDTH_MAX: usize = 24;

/// Ask one device what it is, and show its values as the controller would read them.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, disable_version_flag = true)]
pub(super) struct Args {
    /// The protocol to ask in; without one, SNMP.
    #[command(subcommand)]
    protocol: Option<Protocol>,
    #[command(flatten)]
    snmp: Option<snmp::Args>,
}

#[derive(Debug, Subcommand)]
enum Protocol {
    /// SNMP v1 or v2c. Detects the device's profile; values that cannot be are marked, with the
    /// reason. Nothing is written to the device.
    ///
    /// Example: yagura probe snmp 192.0.2.10 --community public
    // `--version` is the protocol's here, not the program's.
    #[command(disable_version_flag = true)]
    Snmp(snmp::Args),
    /// Modbus over TCP or on a serial line: a unit by its profile, or registers as they are. It
    /// only reads.
    ///
    /// Example: yagura probe modbus 192.0.2.10 --unit 1 --profile modbus-eastron-sdm630
    Modbus(modbus::Args),
    /// NUT (upsd): every UPS of the server, or the one that is named. It only reads.
    ///
    /// Example: yagura probe nut 127.0.0.1
    Nut(nut::Args),
    /// A UPS on a serial port that speaks Megatec's Q1 protocol, or OMRON's or Fuji's dialect.
    /// Only questions are sent, none that changes anything.
    ///
    /// Example: yagura probe serial /dev/ttyUSB0
    Serial(serial::Args),
}

impl Args {
    /// What is asked; clap lets neither or both of the two forms through.
    fn protocol(self) -> Option<Protocol> {
        self.protocol.or(self.snmp.map(Protocol::Snmp))
    }
}

/// What a device was found to be.
#[derive(Debug)]
struct Answer {
    /// Where it was asked, and how.
    agent: String,
    /// How it named itself.
    identity: Option<String>,
    /// The file that decoded it; `None` where the protocol itself says what is what.
    profile: Option<Arc<Profile>>,
    reading: Reading,
}

/// A probe under way: one answer for each device that is asked.
type Work = Pin<Box<dyn Future<Output = Vec<Result<Answer, Failure>>>>>;

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    if (0.05..=60.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("must be 0.05 to 60".to_owned())
    }
}

/// The profile of that name.
fn named(library: &Library, name: &str) -> Result<Arc<Profile>, Failure> {
    library.get(name).cloned().ok_or_else(|| {
        let names: Vec<&str> = library.iter().map(|profile| profile.name()).collect();
        Failure {
            problem: format!("there is no profile `{name}`"),
            hint: format!("known profiles: {}", names.join(", ")),
        }
    })
}

/// The address of a host that is written with or without a port.
async fn resolve(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let bad = move |problem: String| Failure {
        problem,
        hint: format!("write it as 192.0.2.10, 192.0.2.10:{port}, ups-a:{port} or [2001:db8::1]:{port}"),
    };
    if let Ok(addr) = host.parse::<SocketAddr>() {
        return Ok(addr);
    }
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (
            name,
            port.parse()
                .map_err(|_| bad(format!("`{host}`: `{port}` is no port")))?,
        ),
        None => (host, port),
    };
    let mut found = tokio::net::lookup_host((name, port))
        .await
        .map_err(|error| bad(format!("`{name}` has no address: {error}")))?;
    found
        .next()
        .ok_or_else(|| bad(format!("`{name}` has no address")))
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    profile: &'a str,
    sys_object_id: Option<&'a str>,
    facts: Vec<FactReport<'a>>,
}

#[derive(Debug, Serialize)]
struct FactReport<'a> {
    name: &'a str,
    value: Option<serde_json::Value>,
    unit: &'a str,
    oid: &'a str,
    quality: Quality,
    reason: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Quality {
    Good,
    Invalid,
    Absent,
}

/// Why a probe ends without a reading, and what the user can do.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    problem: String,
    hint: String,
}

/// Runs the command. 0: a reading was printed; 1: none, with the reason on standard error.
pub(super) async fn run(args: Args) -> ExitCode {
    let (host, json, mut work): (String, bool, Work) = match args.protocol() {
        Some(Protocol::Snmp(args)) => (
            args.host.clone(),
            args.json,
            Box::pin(async move { vec![snmp::probe(&args).await] }),
        ),
        Some(Protocol::Modbus(args)) => (
            args.place.clone(),
            args.json,
            Box::pin(async move { vec![modbus::probe(&args).await] }),
        ),
        Some(Protocol::Nut(args)) => (
            args.host.clone(),
            args.json,
            Box::pin(async move { nut::probe(&args).await }),
        ),
        Some(Protocol::Serial(args)) => (
            args.port.display().to_string(),
            args.json,
            Box::pin(async move { vec![serial::probe(&args).await] }),
        ),
        None => {
            eprintln!("yagura probe: no device is named\n  see `yagura probe --help`");
            return ExitCode::from(2);
        }
    };
    let result = tokio::select! {
        result = &mut work => result,
        () = tokio::time::sleep(SHOW_PROGRESS_AFTER) => {
            // Draws only when standard error is a terminal.
            let bar = indicatif::ProgressBar::new_spinner().with_message(format!("asking {host}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            let result = work.await;
            bar.finish_and_clear();
            result
        }
    };
    let (mut found, mut failed) = (Vec::new(), false);
    for answer in result {
        match answer {
            Ok(answer) => found.push(answer),
            Err(failure) => {
                eprintln!("yagura probe: {}", failure.problem);
                if !failure.hint.is_empty() {
                    eprintln!("  {}", failure.hint);
                }
                failed = true;
            }
        }
    }
    if found.is_empty() {
        return ExitCode::FAILURE;
    }
    let printed = print(&if json { as_json(&found) } else { as_tables(&found) });
    if failed { ExitCode::FAILURE } else { printed }
}

/// One object, or a list of them when several devices were asked.
fn as_json(found: &[Answer]) -> String {
    let reports: Vec<Report<'_>> = found.iter().map(Answer::report).collect();
    let text = match reports.as_slice() {
        [one] => serde_json::to_string_pretty(one),
        many => serde_json::to_string_pretty(many),
    };
    text.expect("strings and finite numbers always serialise")
}

fn as_tables(found: &[Answer]) -> String {
    let tables: Vec<String> = found.iter().map(Answer::table).collect();
    tables.join("\n\n")
}

/// Prints to standard output; a reader that has gone away is no reason to panic.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
fn quality(fact: &Fact) -> Quality {
    match &fact.value {
        Ok(_) => Quality::Good,
        // Nothing was sent for it, or a text with nothing in it.
        Err(_) if fact.raw.is_empty() || fact.raw == "\"\"" => Quality::Absent,
        Err(_) => Quality::Invalid,
    }
}

impl Answer {
    fn report(&self) -> Report<'_> {
        let facts = self.reading.facts.iter().map(|fact| FactReport {
            name: &fact.name,
            value: match &fact.value {
                Ok(FactValue::Number(number)) => Some(number_value(*number)),
                Ok(FactValue::State(text) | FactValue::Text(text)) => Some(text.as_str().into()),
                Err(_) => None,
            },
            unit: fact.unit,
            oid: &fact.at,
            quality: quality(fact),
            reason: fact.value.as_ref().err().map(|reason| reason.word()),
        });
        Report {
            profile: &self.reading.profile,
            sys_object_id: self.reading.sys_object_id.as_deref(),
            facts: facts.collect(),
        }
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let mut head = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<12} {value}");
        };
        head("agent", &self.agent);
        head("identity", self.identity.as_deref().unwrap_or("none"));
        match &self.profile {
            Some(profile) => head(
                "profile",
                &format!("{}  {}, {}", profile.name(), profile.title(), profile.source()),
            ),
            None => head("profile", &self.reading.profile),
        }
        // A NUT server says it itself.
        if self.reading.fact("ups.status").is_none()
            && let Some(status) = nut_status(&self.reading)
        {
            head("ups.status", &format!("{status}  (as NUT would say it)"));
        }
        let shown: Vec<&Fact> = self
            .reading
            .facts
            .iter()
            .filter(|fact| quality(fact) != Quality::Absent)
            .collect();
        let name_width = shown.iter().map(|fact| fact.name.len()).max().unwrap_or(0);
        let widths = shown.iter().map(|fact| shown_value(fact).chars().count());
        let value_width = widths
            .filter(|width| *width <= VALUE_WIDTH_MAX)
            .max()
            .unwrap_or(0);
        text.push('\n');
        for fact in shown {
            let _ = writeln!(
                text,
                "{:<name_width$}  {:>value_width$} {:<3} {:<8} {}{}",
                fact.name,
                shown_value(fact),
                fact.unit,
                if fact.value.is_ok() { "good" } else { "INVALID" },
                fact.at,
                why(fact)
            );
        }
        let absent: Vec<&str> = self
            .reading
            .facts
            .iter()
            .filter(|fact| quality(fact) == Quality::Absent)
            .map(|fact| fact.name.as_str())
            .collect();
        if !absent.is_empty() {
            let _ = write!(
                text,
                "\nabsent (this device does not tell): {}",
                absent.join(", ")
            );
        }
        text
    }
}

fn shown_value(fact: &Fact) -> String {
    match &fact.value {
        Ok(FactValue::Number(number)) => number_value(*number).to_string(),
        Ok(FactValue::State(text) | FactValue::Text(text)) => text.clone(),
        Err(_) => "-".to_owned(),
    }
}

/// Why an invalid value is invalid, with what the device sent.
fn why(fact: &Fact) -> String {
    use shared::NoData;
    let Err(reason) = &fact.value else {
        return String::new();
    };
    let reason = match reason {
        NoData::Sentinel => "the device's way to say `not measured`",
        NoData::Implausible => "cannot be",
        NoData::NotSupported => "another type than the profile expects",
        NoData::DeviceError => "the device reports an error",
        other => other.word(),
    };
    format!("  <- {} is {reason}", fact.raw)
}

/// Whole numbers without a decimal point, as a reader expects them.
fn number_value(number: f64) -> serde_json::Value {
    /// Beyond this a double has no unit places.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < WHOLE_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
        return (number as i64).into();
    }
    number.into()
}

/// The words of NUT's `ups.status` for a reading; `None` when the source is not known.
fn nut_status(reading: &Reading) -> Option<String> {
    let mut words = vec![match reading.state("output.source")? {
        "battery" => "OB",
        "bypass" => "BYPASS",
        "booster" => "OL BOOST",
        "reducer" => "OL TRIM",
        "off" | "sleeping" => "OFF",
        "test" => "OL TEST",
        "mains" | "eco" => "OL",
        _ => return None,
    }];
    let has = |name: &str, word: &str| reading.state(name) == Some(word);
    if has("battery.status", "low") || has("battery.status", "depleted") {
        words.push("LB");
    }
    if has("battery.replace", "yes") {
        words.push("RB");
    }
    if has("ups.overload", "yes") {
        words.push("OVER");
    }
    if has("ups.calibration", "running") {
        words.push("CAL");
    }
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hosts_are_read_in_every_usual_form() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1:161"),
            ("127.0.0.1:1161", "127.0.0.1:1161"),
            ("[::1]:1161", "[::1]:1161"),
            ("::1", "[::1]:161"),
            ("[::1]", "[::1]:161"),
        ] {
            assert_eq!(resolve(text, 161).await.unwrap().to_string(), expected, "{text}");
        }
        assert_eq!(resolve("localhost:1161", 161).await.unwrap().port(), 1161);
        for text in ["127.0.0.1:port", "127.0.0.1:99999", ""] {
            assert!(resolve(text, 161).await.is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_understood() {
        let parse = |line: &str| Args::try_parse_from(line.split(' '));
        assert!(parse("probe modbus meter-a --read holding:0:4 --read coil:3 --json").is_ok());
        assert!(parse("probe modbus /dev/ttyUSB0 --unit 5 --profile x --parity none").is_ok());
        assert!(parse("probe snmp ups-a --community public --version 2c --json").is_ok());
        let short = parse("probe ups-a --community public --version 2c").unwrap();
        assert!(matches!(short.protocol(), Some(Protocol::Snmp(args)) if args.host == "ups-a"));
        assert!(parse("probe nut 127.0.0.1 rack --tls require --ca-file /etc/yagura/nut.pem").is_ok());
        assert!(parse("probe serial /dev/ttyUSB0 --dialect omron --json").is_ok());
        for bad in [
            "probe ups-a",
            "probe modbus meter-a",
            "probe modbus meter-a --read holding:0 --profile x",
            "probe snmp ups-a",
            "probe snmp ups-a --community public --version 3",
            "probe snmp ups-a --community public --timeout 0",
            "probe snmp ups-a --community public --retries 99",
            "probe nut",
            "probe nut 127.0.0.1 --tls maybe",
            "probe nut 127.0.0.1 --user reader",
            "probe serial",
            "probe serial /dev/ttyUSB0 --dialect klingon",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_print_as_such() {
        assert_eq!(number_value(100.0).to_string(), "100");
        assert_eq!(number_value(119.1).to_string(), "119.1");
        assert_eq!(number_value(-3.0).to_string(), "-3");
    }
}

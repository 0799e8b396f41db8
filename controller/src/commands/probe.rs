//! `yagura probe`: asks one device what it is and shows what the controller would believe.
//!
//! It reads and never writes. It prints the same facts, by the same profiles and rules, that
//! core polls.

use crate::snmp::{Client, Error, RETRIES_MAX, Session, Target, Wanted};
use clap::{Parser, Subcommand, ValueEnum};
use room::device::{Fact, FactValue, PollFailure, Reading};
use room::profile::{Library, Profile};
use room::site::{Secret, SnmpVersion};
use serde::Serialize;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;

/// The port of RFC 3417.
const SNMP_PORT: u16 = 161;
/// A probe that takes longer shows that it is working.
const SHOW_PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// Widest value column; longer texts push their own line only.
const VALUE_WIDTH_MAX: usize = 24;

/// Ask one device what it is, and show its values as the controller would read them.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The protocol to ask in.
    #[command(subcommand)]
    protocol: Protocol,
}

#[derive(Debug, Subcommand)]
enum Protocol {
    /// SNMP v1 or v2c. Detects the device's profile; values that cannot be are marked, with the
    /// reason. Nothing is written to the device.
    ///
    /// Example: yagura probe snmp 192.0.2.10 --community public
    // `--version` is the protocol's here, not the program's.
    #[command(disable_version_flag = true)]
    Snmp(SnmpArgs),
}

#[derive(Debug, clap::Args)]
struct SnmpArgs {
    /// Address or name of the agent, with a port if it is not 161: 192.0.2.10, ups-a:1161,
    /// `[2001:db8::1]:161`
    host: String,
    /// The read community that the agent was given
    #[arg(long)]
    community: String,
    /// Protocol version; without it 2c is tried first, then 1
    #[arg(long = "version", value_enum)]
    snmp_version: Option<VersionArg>,
    /// Profile to read with, instead of the one that fits best
    #[arg(long)]
    profile: Option<String>,
    /// Seconds to wait for the first answer
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    timeout: f64,
    /// Times to ask again
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=i64::from(RETRIES_MAX)))]
    retries: u8,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum VersionArg {
    /// SNMPv1
    #[value(name = "1")]
    V1,
    /// SNMPv2c
    #[value(name = "2c")]
    V2c,
}

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
    let Protocol::Snmp(args) = args.protocol;
    let work = probe(&args);
    tokio::pin!(work);
    let result = tokio::select! {
        result = &mut work => result,
        () = tokio::time::sleep(SHOW_PROGRESS_AFTER) => {
            // Draws only when standard error is a terminal.
            let bar = indicatif::ProgressBar::new_spinner().with_message(format!("asking {}", args.host));
            bar.enable_steady_tick(Duration::from_millis(120));
            let result = work.await;
            bar.finish_and_clear();
            result
        }
    };
    match result {
        Ok(found) => {
            let text = if args.json { found.json() } else { found.table() };
            print(&text)
        }
        Err(failure) => {
            eprintln!("yagura probe: {}\n  {}", failure.problem, failure.hint);
            ExitCode::FAILURE
        }
    }
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

struct Found {
    addr: SocketAddr,
    version: SnmpVersion,
    profile: Arc<Profile>,
    reading: Reading,
}

async fn probe(args: &SnmpArgs) -> Result<Found, Failure> {
    let library = Arc::new(Library::builtin());
    let wanted = match &args.profile {
        None => Wanted::Any,
        Some(name) if library.get(name).is_some() => Wanted::Named(name.clone()),
        Some(name) => {
            let names: Vec<&str> = library.iter().map(|profile| profile.name()).collect();
            return Err(Failure {
                problem: format!("there is no profile `{name}`"),
                hint: format!("known profiles: {}", names.join(", ")),
            });
        }
    };
    let addr = resolve(&args.host).await?;
    let client = Client::bind().await.map_err(|error| Failure {
        problem: describe(&error),
        hint: "this machine gives no UDP socket; see `ulimit -n`".to_owned(),
    })?;
    let versions = match args.snmp_version {
        Some(VersionArg::V1) => vec![SnmpVersion::V1],
        Some(VersionArg::V2c) => vec![SnmpVersion::V2c],
        None => vec![SnmpVersion::V2c, SnmpVersion::V1],
    };
    let mut last = PollFailure::Timeout;
    for version in versions {
        let target = Target {
            addr,
            version,
            community: Secret(args.community.clone()),
            timeout: Duration::from_secs_f64(args.timeout),
            retries: args.retries,
        };
        let mut session = Session::new(
            client.clone(),
            Arc::clone(&library),
            target.clone(),
            wanted.clone(),
        );
        // Nobody listens: then neither would a further try or another version be heard.
        let result = tokio::select! {
            result = session.read() => result,
            () = closed(addr) => {
                return Err(Failure {
                    problem: format!("{addr}: nothing listens there (the host refuses the UDP port)"),
                    hint: "is SNMP switched on in the device, and on this port?".to_owned(),
                });
            }
        };
        match result {
            Ok(reading) => {
                let profile = session
                    .profile()
                    .cloned()
                    .ok_or_else(|| failure(&PollFailure::NoProfile, addr))?;
                return Ok(Found {
                    addr,
                    version,
                    profile,
                    reading,
                });
            }
            Err(failure) => last = failure,
        }
    }
    Err(failure(&last, addr))
}

async fn resolve(host: &str) -> Result<SocketAddr, Failure> {
    let bad = |problem: String| Failure {
        problem,
        hint: "write it as 192.0.2.10, 192.0.2.10:161, ups-a:161 or [2001:db8::1]:161".to_owned(),
    };
    if let Ok(addr) = host.parse::<SocketAddr>() {
        return Ok(addr);
    }
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return Ok(SocketAddr::new(ip, SNMP_PORT));
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (
            name,
            port.parse()
                .map_err(|_| bad(format!("`{host}`: `{port}` is no port")))?,
        ),
        None => (host, SNMP_PORT),
    };
    let mut found = tokio::net::lookup_host((name, port))
        .await
        .map_err(|error| bad(format!("`{name}` has no address: {error}")))?;
    found
        .next()
        .ok_or_else(|| bad(format!("`{name}` has no address")))
}

/// Returns when the host says by ICMP that the port is closed, and never otherwise. Only a
/// connected socket hears that.
async fn closed(addr: SocketAddr) {
    if matches!(refusal(addr).await, Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused) {
        return;
    }
    std::future::pending().await
}

/// Sends an empty datagram, which agents ignore, and waits for what comes back.
async fn refusal(addr: SocketAddr) -> std::io::Result<usize> {
    let any: SocketAddr = match addr {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(addr).await?;
    socket.send(&[]).await?;
    socket.recv(&mut [0; 1]).await
}

fn failure(failure: &PollFailure, addr: SocketAddr) -> Failure {
    let (problem, hint) = match failure {
        PollFailure::Timeout => (
            format!("{addr} does not answer"),
            "check the address, the community, and that the agent allows this machine to ask; \
             agents do not answer a wrong community"
                .to_owned(),
        ),
        PollFailure::Unreachable(why) => (
            format!("{addr} cannot be reached: {why}"),
            "check the route to that network".to_owned(),
        ),
        PollFailure::Refused(why) => (
            format!("{addr} gave an answer that was refused whole: {why}"),
            "its agent is faulty or overloaded; nothing of the answer is used".to_owned(),
        ),
        PollFailure::NoProfile => (
            format!("{addr} answers, but has nothing that a profile knows"),
            "may this community read the system group (1.3.6.1.2.1.1)?".to_owned(),
        ),
    };
    Failure { problem, hint }
}

fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

fn quality(fact: &Fact) -> Quality {
    match &fact.value {
        Ok(_) => Quality::Good,
        // Nothing was sent for it, or a text with nothing in it.
        Err(_) if fact.raw.is_empty() || fact.raw == "\"\"" => Quality::Absent,
        Err(_) => Quality::Invalid,
    }
}

impl Found {
    fn json(&self) -> String {
        let facts = self.reading.facts.iter().map(|fact| FactReport {
            name: &fact.name,
            value: match &fact.value {
                Ok(FactValue::Number(number)) => Some(number_value(*number)),
                Ok(FactValue::State(text) | FactValue::Text(text)) => Some(text.as_str().into()),
                Err(_) => None,
            },
            unit: fact.unit,
            oid: &fact.oid,
            quality: quality(fact),
            reason: fact.value.as_ref().err().map(|reason| reason.word()),
        });
        let report = Report {
            profile: &self.reading.profile,
            sys_object_id: self.reading.sys_object_id.as_deref(),
            facts: facts.collect(),
        };
        serde_json::to_string_pretty(&report).expect("strings and finite numbers always serialise")
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let version = match self.version {
            SnmpVersion::V1 => "SNMPv1",
            SnmpVersion::V2c => "SNMPv2c",
        };
        let mut head = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<12} {value}");
        };
        head("agent", &format!("{}  {version}", self.addr));
        head(
            "identity",
            self.reading.sys_object_id.as_deref().unwrap_or("none"),
        );
        head(
            "profile",
            &format!(
                "{}  {}, {}",
                self.profile.name(),
                self.profile.title(),
                self.profile.source()
            ),
        );
        if let Some(status) = nut_status(&self.reading) {
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
                fact.oid,
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
            assert_eq!(resolve(text).await.unwrap().to_string(), expected, "{text}");
        }
        assert_eq!(resolve("localhost:1161").await.unwrap().port(), 1161);
        for text in ["127.0.0.1:port", "127.0.0.1:99999", ""] {
            assert!(resolve(text).await.is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_understood() {
        let parse = |line: &str| Args::try_parse_from(line.split(' '));
        assert!(parse("probe snmp ups-a --community public --version 2c --json").is_ok());
        for bad in [
            "probe snmp ups-a",
            "probe snmp ups-a --community public --version 3",
            "probe snmp ups-a --community public --timeout 0",
            "probe snmp ups-a --community public --retries 99",
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

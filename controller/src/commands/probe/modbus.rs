//! `yagura probe modbus`: one unit on a Modbus line, as core would read it, or registers as they
//! are.

use super::{Answer, Failure, named, resolve, seconds};
use crate::modbus::{Address, Error, Exception, Line, Lines, Patience, Question, RETRIES_MAX, Session};
use clap::{ArgGroup, ValueEnum};
use room::device::{Fact, FactValue, PollFailure, Reading};
use room::profile::{Library, Profile};
use room::site::link::{LineParity, SerialLine};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The port of Modbus Messaging on TCP/IP V1.0b, 4.2.2.
const MODBUS_PORT: u16 = 502;

#[derive(Debug, clap::Args)]
#[group(id = "modbus_args")]
#[command(group = ArgGroup::new("what").required(true).args(["profile", "read"]))]
pub(super) struct Args {
    /// Address or name of the device or gateway, with a port if it is not 502, or the path of a
    /// serial port: 192.0.2.10, meter-a:1502, /dev/ttyUSB0
    pub(super) place: String,
    /// Address of the device on its line
    #[arg(long, default_value_t = 1)]
    unit: u8,
    /// Profile to read with; a Modbus device cannot say what it is. `yagura profile list` has them
    #[arg(long)]
    profile: Option<String>,
    /// Registers to read as they are: table, first address from zero, count. The tables are
    /// holding, input, coil and discrete; 40001 of a manual is holding:0
    #[arg(long, value_name = "holding:1000:4", value_parser = registers)]
    read: Vec<(Address, u16)>,
    /// RTU frames in a TCP connection, as a serial device server carries them
    #[arg(long)]
    rtu: bool,
    /// Bits a second of a serial port
    #[arg(long, default_value_t = 9600, value_parser = clap::value_parser!(u32).range(1200..=230_400))]
    baud: u32,
    /// Parity of a serial port
    #[arg(long, value_enum, default_value = "even")]
    parity: ParityArg,
    /// Stop bits of a serial port
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    stop_bits: u8,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    timeout: f64,
    /// Times to ask again
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=i64::from(RETRIES_MAX)))]
    retries: u8,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ParityArg {
    /// No parity bit
    None,
    /// Even, the standard's own
    Even,
    /// Odd
    Odd,
}

/// `holding:1000:4`; one register where no count is given.
fn registers(text: &str) -> Result<(Address, u16), String> {
    let mut parts = text.splitn(3, ':');
    let place: Vec<&str> = parts.by_ref().take(2).collect();
    let address = place.join(":").parse().map_err(|error| format!("{error}"))?;
    let count = match parts.next() {
        None => 1,
        Some(count) => count
            .parse()
            .map_err(|_| format!("`{count}` is no number of registers"))?,
    };
    Ok((address, count))
}

/// Asks the unit for all its profile names, or for these registers.
pub(super) async fn probe(args: &Args) -> Result<Answer, Failure> {
    let library = Library::builtin();
    let profile = match &args.profile {
        Some(name) => Some(modbus_profile(&library, name)?),
        None => None,
    };
    let line = line(args).await?;
    let lines = Lines::default();
    let timeout = Duration::from_secs_f64(args.timeout);
    let reading = match &profile {
        Some(profile) => {
            let mut session = Session::on(
                lines,
                line.clone(),
                args.unit,
                Arc::clone(profile),
                timeout,
                args.retries,
            );
            session.read().await.map_err(|why| failure(&why, &line, args))?
        }
        None => raw(&lines, &line, args, timeout).await?,
    };
    Ok(Answer {
        agent: format!("{line}  Modbus, unit {}", args.unit),
        identity: None,
        profile,
        reading,
    })
}

fn modbus_profile(library: &Library, name: &str) -> Result<Arc<Profile>, Failure> {
    let profile = named(library, name)?;
    if profile.modbus().is_some() {
        return Ok(profile);
    }
    let names: Vec<&str> = library
        .iter()
        .filter(|profile| profile.modbus().is_some())
        .map(|profile| profile.name())
        .collect();
    Err(Failure {
        problem: format!("profile `{name}` is for SNMP"),
        hint: format!("profiles for Modbus: {}", names.join(", ")),
    })
}

async fn line(args: &Args) -> Result<Line, Failure> {
    if args.place.starts_with('/') {
        return Ok(Line::Rtu(SerialLine {
            path: PathBuf::from(&args.place),
            baud: args.baud,
            parity: match args.parity {
                ParityArg::None => LineParity::None,
                ParityArg::Even => LineParity::Even,
                ParityArg::Odd => LineParity::Odd,
            },
            stop_bits: args.stop_bits,
        }));
    }
    let addr = resolve(&args.place, MODBUS_PORT).await?;
    Ok(if args.rtu {
        Line::RtuOverTcp(addr)
    } else {
        Line::Tcp(addr)
    })
}

/// Every register as a fact of its own.
async fn raw(lines: &Lines, line: &Line, args: &Args, timeout: Duration) -> Result<Reading, Failure> {
    let bus = lines.bus(line);
    let patience = Patience {
        timeout,
        pause: Duration::ZERO,
    };
    let mut facts = Vec::new();
    for (start, count) in &args.read {
        let question = Question {
            unit: args.unit,
            start: *start,
            count: *count,
        };
        let mut tries = 0;
        let words = loop {
            match bus.ask(question, patience).await {
                Err(Error::Timeout { .. } | Error::Refused { .. }) if tries < args.retries => tries += 1,
                Ok(words) => break words,
                Err(error) => return Err(refusal(&error, line)),
            }
        };
        for (at, word) in (start.at..=u16::MAX).zip(words) {
            let at = Address { at, ..*start };
            facts.push(Fact {
                name: at.to_string(),
                value: Ok(FactValue::Number(f64::from(word))),
                unit: "",
                at: format!("{word:#06x}"),
                label: None,
                raw: word.to_string(),
            });
        }
    }
    Ok(Reading {
        profile: String::new(),
        sys_object_id: None,
        facts,
    })
}

fn refusal(error: &Error, line: &Line) -> Failure {
    let hint = match error {
        Error::Timeout { .. } => SILENT,
        Error::Exception {
            exception: Exception::IllegalAddress | Exception::IllegalFunction,
            ..
        } => "addresses count from zero here: 40001 of a manual is holding:0, 30001 is input:0",
        Error::Exception {
            exception: Exception::IllegalValue,
            ..
        } => "ask for fewer registers at once",
        Error::Line { .. } => UNREACHABLE,
        Error::Question(_) => "see `yagura probe modbus --help`",
        _ => "nothing of the answer is used",
    };
    let problem = match error {
        // It names the line itself.
        Error::Line { .. } => error.to_string(),
        _ => format!("{line}: {error}"),
    };
    Failure {
        problem,
        hint: hint.to_owned(),
    }
}

const SILENT: &str = "check the unit, and on a serial line baud rate, parity and the two wires' order";
const UNREACHABLE: &str = "is the device on, is this its port, and does nothing else hold the line?";

fn failure(why: &PollFailure, line: &Line, args: &Args) -> Failure {
    let (problem, hint) = match why {
        PollFailure::Timeout => (format!("{line}: unit {} does not answer", args.unit), SILENT),
        PollFailure::Unreachable(why) => (why.clone(), UNREACHABLE),
        PollFailure::Refused(why) | PollFailure::Stale(why) => (
            format!("{line}: {why}"),
            "is this the profile of that device? nothing of the answer is used",
        ),
        PollFailure::NoProfile => (format!("{line}: no profile"), "name one by --profile"),
    };
    Failure {
        problem,
        hint: hint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_written_with_table_address_and_count() {
        let read = |text: &str| registers(text).map(|(at, count)| format!("{at} {count}"));
        assert_eq!(read("holding:1000:4").unwrap(), "holding:1000 4");
        assert_eq!(read("input:0x10").unwrap(), "input:16 1");
        for bad in [
            "1000",
            "holding",
            "holding:x",
            "holding:1:x",
            "holding:1:2:3",
            "40001:1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

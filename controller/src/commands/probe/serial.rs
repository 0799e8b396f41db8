//! `yagura probe serial`: the UPS at a serial port, as core would read it.

use super::{Answer, Failure, seconds};
use crate::serial::Ports;
use clap::ValueEnum;
use room::device::PollFailure;
use room::site::link::{LineParity, MegatecDialect, MegatecLink, SerialLine};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ports that are named to a person.
const PORTS_MAX: usize = 16;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Serial port, best by its lasting name below /dev/serial/by-id
    pub(super) port: PathBuf,
    /// How the device differs from plain Megatec
    #[arg(long, value_enum, default_value = "auto")]
    dialect: DialectArg,
    /// Bits a second
    #[arg(long, default_value_t = 2400, value_parser = clap::value_parser!(u32).range(1200..=230_400))]
    baud: u32,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    timeout: f64,
    /// Times to ask again
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=10))]
    retries: u8,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DialectArg {
    /// Found out by harmless questions
    Auto,
    /// Plain Megatec
    Megatec,
    /// OMRON
    Omron,
    /// Fuji Electric
    Fuji,
}

pub(super) async fn probe(args: &Args) -> Result<Answer, Failure> {
    let link = MegatecLink {
        line: SerialLine {
            path: args.port.clone(),
            baud: args.baud,
            parity: LineParity::None,
            stop_bits: 1,
        },
        dialect: match args.dialect {
            DialectArg::Auto => MegatecDialect::Auto,
            DialectArg::Megatec => MegatecDialect::Megatec,
            DialectArg::Omron => MegatecDialect::Omron,
            DialectArg::Fuji => MegatecDialect::Fuji,
        },
    };
    let mut session = Ports::default().session(&link, Duration::from_secs_f64(args.timeout), args.retries);
    match session.read().await {
        Ok(reading) => Ok(Answer {
            agent: format!("{}  {} baud, 8N1", args.port.display(), args.baud),
            identity: None,
            profile: None,
            reading,
        }),
        Err(why) => Err(failure(&why, &args.port)),
    }
}

fn failure(why: &PollFailure, port: &Path) -> Failure {
    let (problem, hint) = match why {
        PollFailure::Timeout => (
            format!("{}: nothing answers", port.display()),
            "is the cable the UPS's own (many are no plain serial cables), and is the baud rate right?"
                .to_owned(),
        ),
        PollFailure::Unreachable(why) => (why.clone(), ports()),
        PollFailure::Refused(why) | PollFailure::Stale(why) => (
            format!("{}: {why}", port.display()),
            "nothing of the answer is used".to_owned(),
        ),
        PollFailure::NoProfile => (format!("{}: no UPS that is known", port.display()), String::new()),
    };
    Failure { problem, hint }
}

/// The ports there are: a wrong name is the commonest mistake.
fn ports() -> String {
    let found = serialport::available_ports().unwrap_or_default();
    let names: Vec<String> = found
        .into_iter()
        .take(PORTS_MAX)
        .map(|port| port.port_name)
        .collect();
    if names.is_empty() {
        "this machine has no serial port".to_owned()
    } else {
        format!("serial ports of this machine: {}", names.join(", "))
    }
}

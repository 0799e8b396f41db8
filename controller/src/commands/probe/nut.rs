//! `yagura probe nut`: the UPSes of a NUT server, as core would read them.

use super::{Answer, Failure, resolve, seconds};
use crate::nut::{Servers, Session};
use clap::ValueEnum;
use room::device::PollFailure;
use room::site::link::{NutLink, NutTls};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The port of RFC 9271.
const NUT_PORT: u16 = 3493;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address or name of the server, with a port if it is not 3493
    pub(super) host: String,
    /// Name of a UPS there; without it every one is read
    ups: Option<String>,
    /// STARTTLS
    #[arg(long, value_enum, default_value = "try")]
    tls: TlsArg,
    /// PEM file of the authority or of the server's own certificate
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// User of the server; reading needs none
    #[arg(long, requires = "password_file")]
    user: Option<String>,
    /// File with that user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Print one variable only, as the server has it; needs the name of a UPS
    #[arg(long, value_name = "VARIABLE", requires = "ups")]
    get: Option<String>,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    timeout: f64,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TlsArg {
    /// Never
    Off,
    /// When the server offers it
    Try,
    /// No reading without it
    Require,
}

pub(super) async fn probe(args: &Args) -> Vec<Result<Answer, Failure>> {
    let addr = match resolve(&args.host, NUT_PORT).await {
        Ok(addr) => addr,
        Err(failure) => return vec![Err(failure)],
    };
    let servers = Servers::default();
    let session = |ups: &str| {
        let link = NutLink {
            addr,
            ups: ups.to_owned(),
            login: args.user.clone().zip(args.password_file.clone()),
            tls: match args.tls {
                TlsArg::Off => NutTls::Off,
                TlsArg::Try => NutTls::Try,
                TlsArg::Require => NutTls::Require,
            },
            ca_file: args.ca_file.clone(),
        };
        servers.session(&link, Duration::from_secs_f64(args.timeout), 0)
    };
    let mut first = session(args.ups.as_deref().unwrap_or_default());
    let named = match &args.ups {
        Some(ups) => vec![(ups.clone(), None)],
        None => match first.upses().await {
            Ok(upses) if upses.is_empty() => {
                return vec![Err(Failure {
                    problem: format!("{addr} answers, and has no UPS"),
                    hint: "see its ups.conf".to_owned(),
                })];
            }
            Ok(upses) => upses.into_iter().map(|(name, text)| (name, Some(text))).collect(),
            Err(why) => return vec![Err(failure(&why, addr))],
        },
    };
    let mut answers = Vec::new();
    for (name, text) in named {
        let mut session = session(&name);
        let answer = read(&mut session, args.get.as_deref()).await;
        let tls = if session.is_encrypted().await {
            "TLS"
        } else {
            "no TLS"
        };
        answers.push(match answer {
            Ok(reading) => Ok(Answer {
                agent: format!("{addr}  NUT, {tls}"),
                identity: Some(match text {
                    Some(text) => format!("{name}  {text}"),
                    None => name,
                }),
                profile: None,
                reading,
            }),
            Err(why) => Err(failure(&why, addr)),
        });
    }
    answers
}

async fn read(session: &mut Session, get: Option<&str>) -> Result<room::device::Reading, PollFailure> {
    match get {
        None => session.read().await,
        Some(variable) => {
            let value = session.get(variable).await?;
            Ok(room::nut::reading(&[(variable.to_owned(), value)]))
        }
    }
}

fn failure(why: &PollFailure, addr: SocketAddr) -> Failure {
    let (problem, hint) = match why {
        PollFailure::Timeout => (
            format!("{addr} does not answer"),
            "check the address, and that the server's LISTEN lines allow this machine",
        ),
        PollFailure::Unreachable(why) => (why.clone(), "does upsd run, and does it LISTEN on that address?"),
        PollFailure::Stale(why) => (
            why.clone(),
            "the server's log says what its driver lacks; nothing old is shown",
        ),
        PollFailure::Refused(why) => (why.clone(), "nothing of the answer is used"),
        PollFailure::NoProfile => (format!("{addr} is no NUT server"), ""),
    };
    Failure {
        problem,
        hint: hint.to_owned(),
    }
}

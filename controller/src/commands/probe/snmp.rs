//! A probe over SNMP.

use super::{Answer, Failure, named, resolve, seconds};
use crate::snmp::{Access, Client, Error, RETRIES_MAX, Session, Target, Wanted};
use clap::ValueEnum;
use room::device::PollFailure;
use room::site::Secret;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;

/// The port of RFC 3417.
const SNMP_PORT: u16 = 161;

#[derive(Debug, clap::Args)]
// Not the name of the type: flattened into the command's own `Args`, which has it.
#[group(id = "snmp_args")]
pub(super) struct Args {
    /// Address or name of the agent, with a port if it is not 161: 192.0.2.10, ups-a:1161,
    /// `[2001:db8::1]:161`
    pub(super) host: String,
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
    /// Folder with profiles of one's own, as `profiles_dir` of a site
    #[arg(long, value_name = "DIR")]
    profiles: Option<std::path::PathBuf>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
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

#[derive(Debug, Clone, Copy)]
enum SnmpVersion {
    V1,
    V2c,
}

/// Asks the agent what it is and for all it tells.
pub(super) async fn probe(args: &Args) -> Result<Answer, Failure> {
    let (library, bad) = crate::profiles::library(args.profiles.as_deref());
    for bad in bad {
        eprintln!("yagura: {bad}; this profile is left out");
    }
    let library = Arc::new(library);
    let wanted = match &args.profile {
        None => Wanted::Any,
        Some(name) => Wanted::Named(named(&library, name)?.name().to_owned()),
    };
    let addr = resolve(&args.host, SNMP_PORT).await?;
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
        let community = Secret(args.community.clone());
        let access = match version {
            SnmpVersion::V1 => Access::V1(community),
            SnmpVersion::V2c => Access::V2c(community),
        };
        let timeout = Duration::from_secs_f64(args.timeout);
        let target = Target::new(addr, access, timeout, args.retries);
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
                return Ok(Answer {
                    agent: format!("{addr}  {}", words(version)),
                    identity: reading.sys_object_id.clone(),
                    profile: Some(profile),
                    reading,
                });
            }
            Err(failure) => last = failure,
        }
    }
    Err(failure(&last, addr))
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
        // Only a server between us and the device has old values.
        PollFailure::Stale(why) => (format!("{addr} has no fresh values: {why}"), String::new()),
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

const fn words(version: SnmpVersion) -> &'static str {
    match version {
        SnmpVersion::V1 => "SNMPv1",
        SnmpVersion::V2c => "SNMPv2c",
    }
}

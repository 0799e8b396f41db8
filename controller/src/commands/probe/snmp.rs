//! A probe over SNMP.

use super::{Answer, Failure, named, resolve, seconds};
use crate::snmp::{Access, Client, RETRIES_MAX, Session, Target, Wanted};
use clap::ValueEnum;
use room::device::PollFailure;
use room::site::Secret;
use room::site::link::{AUTH, AuthProtocol, PRIVACY, PrivProtocol, Usm};
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
    #[arg(long, required_unless_present = "user")]
    community: Option<String>,
    /// Protocol version; without it 2c is tried first, then 1; a user means 3
    #[arg(long = "version", value_enum, conflicts_with = "user")]
    snmp_version: Option<VersionArg>,
    /// SNMPv3: the user that the agent was given
    #[arg(long, conflicts_with = "community")]
    user: Option<String>,
    /// SNMPv3: md5, sha1, sha224, sha256, sha384 or sha512
    #[arg(long, requires_all = ["user", "auth_password_file"], value_parser = auth)]
    auth: Option<AuthProtocol>,
    /// SNMPv3: the file with the password of `--auth`, readable by its owner only
    #[arg(long, value_name = "FILE", requires = "auth")]
    auth_password_file: Option<std::path::PathBuf>,
    /// SNMPv3: des, aes128, aes192, aes256, aes192-cisco or aes256-cisco
    #[arg(long, requires_all = ["auth", "privacy_password_file"], value_parser = privacy)]
    privacy: Option<PrivProtocol>,
    /// SNMPv3: the file with the password of `--privacy`
    #[arg(long, value_name = "FILE", requires = "privacy")]
    privacy_password_file: Option<std::path::PathBuf>,
    /// SNMPv3: the context, if the agent has more than one
    #[arg(long, default_value = "", hide_default_value = true, requires = "user")]
    context: String,
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

fn auth(word: &str) -> Result<AuthProtocol, String> {
    known(&AUTH, word)
}

fn privacy(word: &str) -> Result<PrivProtocol, String> {
    known(&PRIVACY, word)
}

fn known<T: Copy>(table: &[(&str, T)], word: &str) -> Result<T, String> {
    table
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
            format!("known: {}", names.join(", "))
        })
}

/// The ways to ask, in the order in which they are tried, each with its name.
fn ways(args: &Args) -> Result<Vec<(&'static str, Access)>, Failure> {
    if let Some(user) = &args.user {
        let user = Usm {
            user: user.clone(),
            auth: args.auth.zip(args.auth_password_file.clone()),
            privacy: args.privacy.zip(args.privacy_password_file.clone()),
            context: args.context.clone(),
        };
        let usm = crate::snmp::Usm::read(&user).map_err(|error| Failure {
            problem: describe(&error),
            hint: "write the password into a file of its own, and run chmod 600 on it".to_owned(),
        })?;
        return Ok(vec![("SNMPv3", Access::v3(usm))]);
    }
    let community = Secret(args.community.clone().unwrap_or_default());
    let v1 = ("SNMPv1", Access::V1(community.clone()));
    let v2c = ("SNMPv2c", Access::V2c(community));
    Ok(match args.snmp_version {
        Some(VersionArg::V1) => vec![v1],
        Some(VersionArg::V2c) => vec![v2c],
        None => vec![v2c, v1],
    })
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
    let mut last = PollFailure::Timeout;
    for (version, access) in ways(args)? {
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
                    agent: format!("{addr}  {version}"),
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
            "put right what it names; where it names nothing of yours, the agent is faulty or \
             overloaded. Nothing of the answer is used"
                .to_owned(),
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

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

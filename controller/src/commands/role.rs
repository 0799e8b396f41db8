//! `yagura role NAME`: one role in this process. `run` and `demo` start them; under systemd each
//! may be a unit of its own.
//!
//! A role that was started with `--lifeline` ends when its standard input closes, which is what
//! the system does when the supervisor is gone, however it went: nothing is left behind.

use super::{Failure, load};
use crate::{act, broker, core, nutd, web};
use clap::{Args, Subcommand};
use room::plan::Plan;
use room::site::parse::Hands;
use room::site::{Real, Simulated, Site, World};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A role that was told to stop and does not is left after this time; the supervisor's own
/// patience ([`super::run::STOP_WITHIN`]) is longer.
pub(super) const END_WITHIN: Duration = Duration::from_secs(4);
/// A role whose supervisor is gone ends after this time whatever it is doing.
const ORPHAN_ENDS: Duration = Duration::from_secs(6);
const _: () = assert!(END_WITHIN.as_millis() < ORPHAN_ENDS.as_millis());

/// Which one, and for which site.
#[derive(Debug, Subcommand)]
pub(super) enum RoleCommand {
    /// Sources, engine, journal
    Core(SiteArgs),
    /// The holder of shutdown keys
    Act(SiteArgs),
    /// The built-in MQTT endpoint
    Broker(SiteArgs),
    /// Pages and API
    Web(SiteArgs),
    /// The server for NUT's clients
    Nut(SiteArgs),
    /// The simulated room of `yagura demo`
    Simroom(SimroomArgs),
}

#[derive(Debug, Args)]
pub(super) struct SimroomArgs {
    /// Folder for the room's keys, memories and site file
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address of the page, as it will stand in the site file
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// End when standard input closes
    #[arg(long)]
    lifeline: bool,
}

#[derive(Debug, Args)]
pub(super) struct SiteArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The site is a simulated room
    #[arg(long)]
    simulated: bool,
    /// End when standard input closes
    #[arg(long)]
    lifeline: bool,
}

/// The roles of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Sources, engine, journal.
    Core,
    /// The holder of shutdown keys.
    Act,
    /// The built-in MQTT endpoint.
    Broker,
    /// Pages and API.
    Web,
    /// The server for NUT's clients.
    Nut,
}

impl Role {
    /// Its word on the command line.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Act => "act",
            Self::Broker => "broker",
            Self::Web => "web",
            Self::Nut => "nut",
        }
    }
}

/// Runs the role until it is told to stop.
pub(super) async fn run(command: RoleCommand) -> Result<ExitCode, Failure> {
    let (role, args) = match command {
        RoleCommand::Core(args) => (Role::Core, args),
        RoleCommand::Act(args) => (Role::Act, args),
        RoleCommand::Broker(args) => (Role::Broker, args),
        RoleCommand::Web(args) => (Role::Web, args),
        RoleCommand::Nut(args) => (Role::Nut, args),
        RoleCommand::Simroom(args) => return simulate(args).await,
    };
    if args.simulated {
        serve::<Simulated>(role, args).await
    } else {
        serve::<Real>(role, args).await
    }
}

async fn serve<W>(role: Role, args: SiteArgs) -> Result<ExitCode, Failure>
where
    W: Hands,
    W::Action: act::action::Action,
{
    let stop = CancellationToken::new();
    let told = told_to_stop(args.lifeline)?;
    let site = load::<W>(&args.config)?;
    let stopping = stop.clone();
    let work = async {
        match role {
            Role::Core => Box::pin(core::run(site, stopping.cancelled_owned()))
                .await
                .map_err(|error| failed(role, &error)),
            Role::Act => {
                let hash = plan_hash(&site)?;
                act::run(site, hash, stopping.cancelled_owned()).await;
                Ok(())
            }
            Role::Broker => broker::role(&site, stopping)
                .await
                .map_err(|error| failed(role, &error)),
            Role::Nut => nutd::role(&site, stopping)
                .await
                .map_err(|error| failed(role, &error)),
            Role::Web => web::run(site, stopping.cancelled_owned())
                .await
                .map_err(|error| failed(role, &error)),
        }
    };
    finish(role.word(), work, told, &stop).await
}

/// The simulated room: no role of a site, but it ends like one.
async fn simulate(args: SimroomArgs) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    let told = told_to_stop(args.lifeline)?;
    let config = simroom::room::Config::demo(args.data);
    let stopping = stop.clone();
    let work = async {
        simroom::room::run(config, args.listen, stopping.cancelled_owned())
            .await
            .map_err(|error| Failure::because(Failure::START, "the simulated room", &error))
    };
    finish("simroom", work, told, &stop).await
}

/// Runs `work` until it ends or is told to stop; then it has [`END_WITHIN`] to end by itself.
async fn finish(
    what: &str,
    work: impl Future<Output = Result<(), Failure>>,
    told: impl Future<Output = ()>,
    stop: &CancellationToken,
) -> Result<ExitCode, Failure> {
    tokio::pin!(work);
    tokio::select! {
        ended = &mut work => return ended.map(|()| ExitCode::SUCCESS),
        () = told => stop.cancel(),
    }
    match tokio::time::timeout(END_WITHIN, work).await {
        Ok(ended) => ended.map(|()| ExitCode::SUCCESS),
        Err(_) => {
            tracing::warn!(role = what, "did not stop in time and is left");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The plan this process reads in its own configuration; orders for another one are refused.
fn plan_hash<W: World>(site: &Site<W>) -> Result<String, Failure> {
    let plan = Plan::new(site).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(Failure::WRONG, problems.join("; "))
    })?;
    Ok(plan.hash().to_owned())
}

fn failed(role: Role, error: &dyn std::error::Error) -> Failure {
    Failure::because(Failure::START, format!("role {}", role.word()), error)
}

/// Ends at SIGTERM or SIGINT, or when the lifeline is cut.
pub(super) fn told_to_stop(lifeline: bool) -> Result<impl Future<Output = ()>, Failure> {
    let failed = |error| Failure::because(Failure::START, "listening for signals", &error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let cut = if lifeline { Some(hold_lifeline()?) } else { None };
    Ok(async move {
        let cut = async {
            match cut {
                // The thread drops its end without a word; that is the word.
                Some(cut) => drop(cut.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = cut => tracing::warn!("the supervisor is gone"),
        }
    })
}

/// Reads standard input to its end in a thread of its own: it must work even when the runtime
/// is stuck.
fn hold_lifeline() -> Result<oneshot::Receiver<()>, Failure> {
    let (held, cut) = oneshot::channel();
    std::thread::Builder::new()
        .name("lifeline".into())
        .spawn(move || {
            let mut input = std::io::stdin().lock();
            let mut nothing = [0; 64];
            while matches!(input.read(&mut nothing), Ok(1..)) {}
            drop(held);
            end_at_last();
        })
        .map_err(|error| Failure::because(Failure::START, "starting the lifeline", &error))?;
    Ok(cut)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an orphan that hangs must not live on; whatever is open is as after a crash, which core survives"
)]
fn end_at_last() {
    // Nobody sends: this only waits, and normally the process is gone before it ends.
    let (_held, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(ORPHAN_ENDS);
    std::process::exit(i32::from(Failure::START));
}

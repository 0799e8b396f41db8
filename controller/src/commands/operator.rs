//! `yagura plan run|abort|pause|resume|skip|confirm`: what a person at the controller's own machine
//! orders of a run.
//!
//! It speaks to core's unix socket; who asks is what the machine says, never what is typed. It
//! decides nothing and reads no key: core refuses what may not be.

use super::{Failure, load};
use crate::core::socket_path;
use crate::link::{Ask, FromOperator, Role, ToOperator, wire};
use clap::Args;
use room::outage::operator::{TYPED_HASH, Wish};
use room::plan::Plan;
use room::site::{Real, Site};
use room::time::Millis;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::timeout;

/// Core answers within this time: after its journal has the order.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Why (理由)
    #[arg(long)]
    reason: String,
    /// Only these servers, with what depends on them
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    hosts: Vec<String>,
    /// First 8 characters of the plan's hash, for scripts; else they are asked for
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
}

impl RunArgs {
    pub(super) fn config(&self) -> &Path {
        &self.config
    }
}

#[derive(Debug, Args)]
pub(super) struct AbortArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Why (理由)
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Why (理由)
    #[arg(long)]
    reason: String,
    /// How long, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=10))]
    minutes: u64,
}

#[derive(Debug, Args)]
pub(super) struct SkipArgs {
    /// The server
    host: String,
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Why (理由)
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// The schedule
    schedule: String,
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Why (理由)
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct ConfirmArgs {
    /// Number of the order
    id: u64,
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// `yagura plan run`; the plan has been shown.
pub(super) async fn run(site: &Site<Real>, args: RunArgs) -> Result<ExitCode, Failure> {
    let plan_hash = match args.hash {
        Some(hash) => hash,
        None => typed_hash(site)?,
    };
    let (hosts, reason) = (args.hosts, args.reason);
    let wish = Wish::Run {
        hosts,
        reason,
        plan_hash,
    };
    order(site, Ask::Wish(wish)).await
}

/// Typed, not pasted from a script: who types it has looked at the plan.
fn typed_hash(site: &Site<Real>) -> Result<String, Failure> {
    let unreadable =
        |error: &std::io::Error| Failure::because(Failure::WRONG, "reading what is typed", error);
    print!(
        "停止するには計画のハッシュの先頭 {TYPED_HASH} 文字を入力 Type the first {TYPED_HASH} characters of the plan's hash: "
    );
    std::io::stdout().flush().map_err(|error| unreadable(&error))?;
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| unreadable(&error))?;
    let typed = line.trim().to_owned();
    let plan = Plan::new(site).map_err(|_| Failure::new(Failure::WRONG, "the site has no plan"))?;
    if typed.len() < TYPED_HASH || !plan.hash().starts_with(&typed) {
        return Err(Failure::new(
            Failure::WRONG,
            "一致しません。何も停止していません。 That is not its hash; nothing was stopped.",
        ));
    }
    Ok(typed)
}

pub(super) async fn abort(args: AbortArgs) -> Result<ExitCode, Failure> {
    let reason = args.reason;
    wish(&args.config, Wish::Abort { reason }).await
}

pub(super) async fn pause(args: PauseArgs) -> Result<ExitCode, Failure> {
    let length = Millis::from_secs(args.minutes * 60);
    let reason = args.reason;
    wish(&args.config, Wish::Pause { length, reason }).await
}

pub(super) async fn resume(config: &Path) -> Result<ExitCode, Failure> {
    wish(config, Wish::Resume).await
}

pub(super) async fn skip(args: SkipArgs) -> Result<ExitCode, Failure> {
    let (host, reason) = (args.host, args.reason);
    wish(&args.config, Wish::Skip { host, reason }).await
}

pub(super) async fn cancel(args: CancelArgs) -> Result<ExitCode, Failure> {
    let (schedule, reason) = (args.schedule, args.reason);
    wish(&args.config, Wish::CancelSchedule { schedule, reason }).await
}

pub(super) async fn confirm(args: ConfirmArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    order(&site, Ask::Confirm { id: args.id }).await
}

/// Sends a wish to the controller of a site file.
pub(super) async fn wish(config: &Path, wish: Wish) -> Result<ExitCode, Failure> {
    let site = load::<Real>(config)?;
    order(&site, Ask::Wish(wish)).await
}

/// Sends one order to core and prints its answer.
pub(super) async fn order(site: &Site<Real>, ask: Ask) -> Result<ExitCode, Failure> {
    let socket = socket_path(&site.data_dir);
    let away = |error: &dyn std::error::Error| {
        Failure::because(
            Failure::AWAY,
            format!(
                "the controller does not answer at {}; it must run, and you must be root or in the group of the socket",
                socket.display()
            ),
            error,
        )
    };
    let asked = async {
        let (mut reader, mut writer) = wire::connect(&socket, Role::Operator).await?;
        writer.send(&FromOperator::Run { ask }).await?;
        reader.next::<ToOperator>().await
    };
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(ToOperator::Done { ja, en })) => {
            println!("{ja}。 {en}");
            Ok(ExitCode::SUCCESS)
        }
        Ok(Ok(ToOperator::Refused { ja, en })) => Err(Failure::new(Failure::WRONG, format!("{ja}。 {en}"))),
        Ok(Ok(ToOperator::Rows { .. } | ToOperator::Mistakes(_))) => {
            Err(Failure::new(Failure::WRONG, "an answer to another question"))
        }
        Ok(Err(error)) => Err(away(&error)),
        Err(late) => Err(away(&late)),
    }
}

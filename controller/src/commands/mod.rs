//! The command line: one file for each command.
//!
//! Results go to standard output, progress and the log to standard error.

mod alarm;
mod card;
mod check;
mod demo;
mod device;
mod discover;
mod failure;
mod firewall;
mod http;
mod incident;
mod keep;
mod limit;
mod log;
mod maintenance;
mod node;
mod notice;
mod operator;
mod people_csv;
mod person;
mod plan;
mod probe;
mod profile;
mod rehearsals;
mod report;
mod role;
mod run;
mod table;
mod ups;

pub use failure::Failure;

use clap::{Args, Parser, Subcommand};
use room::site::parse::Hands;
use room::site::problem::Severity;
use room::site::{Real, Site};
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Threads of a role: two cores are what the smallest controller has.
const WORKERS: usize = 2;
/// Threads for work that blocks (journal, files).
const MAX_BLOCKING: usize = 8;

const ABOUT: &str = "櫓: サーバー室の見張り台 — the watchtower of a server room";

const LONG_ABOUT: &str = "\
櫓(やぐら)は情報システム室の見張り台です。センサーと UPS を見張り、警報を出し、
停電のときは電池が尽きる前にサーバーを順番に止めます。

Yagura watches a server room: sensor nodes report to it over MQTT, it polls the UPS
units over SNMP, raises alarms, and stops the servers in order before the battery ends.
It needs nothing but this one program and one site file.";

const MANUAL: &str = "\
Examples:
  yagura demo
      A simulated room with everything in it; prints the address of the page.
  yagura demo scenario outage
      The mains fail in that room. Others: mains-back, cooling, leak, door, link, reset.
  yagura check --config /etc/yagura/site.toml
      Every problem of the site file at once, with line and hint.
  yagura probe snmp 10.0.0.20 --community public
      What a UPS says about itself, and which profile reads it.
  yagura profile test my-ups.toml my-ups.snmprec
      Reads what a device answered with a profile, and says what is wrong or missing.
  yagura discover 192.0.2.0/24 --community public --out site.toml
      Asks each address once; the file names what answered, with kind and profile.
  yagura plan show --config /etc/yagura/site.toml
      Which server is stopped when, and how long it takes.
  yagura plan rehearse --config /etc/yagura/site.toml
      Logs in to every server of the plan and stops none.
  sudo yagura plan run --config /etc/yagura/site.toml --reason smoke
      Stops the servers now, in order; abort, pause, resume and skip change a run.
  yagura alarm list --config /etc/yagura/site.toml
      What stands, most urgent first, and what to do about it.
  yagura maintenance start --config /etc/yagura/site.toml --minutes 60 --reason cabling node:node-1
      Holds the alarms of a node back for an hour; `end` records what came of the work.
  yagura node provision --config /etc/yagura/site.toml --node node-1 --port /dev/ttyUSB0
      Gives a sensor node its id, keys and mount table, and prints its label.
  yagura device run --config /etc/yagura/site.toml ups-a test.battery.start
      Tells a device what the site allows, and waits until it was seen to have happened.
  yagura ups list --config /etc/yagura/site.toml
      Charge, runtime, battery, last and next test of every UPS; test, history and battery-changed.
  yagura limit preview inlet.r3.temperature.high.advisory --limit 28 --config /etc/yagura/site.toml
      How often this limit would have been an alarm in the last 30 days; `limit set` changes it.
  yagura card enroll --config /etc/yagura/site.toml
      Unknown cards that were just presented, with the id to write into the file of cards.
  sudo yagura card lost --config /etc/yagura/site.toml C-012
      Stops a lost card, and shows when each door has confirmed it.
  sudo yagura person import --config /etc/yagura/site.toml --dry-run people.csv
      Every mistake of a list of persons, by row; without --dry-run all of it or nothing is taken.
  sudo yagura right grant --config /etc/yagura/site.toml --person p-4k2m9x7q --portals entrance --hours 08:00-19:00
      Lets a person open a door.
  sudo yagura who-is-inside --config /etc/yagura/site.toml
      Who is in the rooms behind the doors.
  yagura notice test --config /etc/yagura/site.toml
      Calls every contact, and says who was reached by what and how fast.
  yagura firewall --config /etc/yagura/site.toml --ssh-from 10.0.0.0/24
      nftables rules that let in and out what the site file names, and nothing else.
  yagura incident hand-over --config /etc/yagura/site.toml 3 --to CSIRT --out incident.json
      Gives the document of incident 3 to somebody, and records its hash.
  yagura log status --config /etc/yagura/site.toml
      How long the entry log is and what of it is signed; `export` copies it for a verifier.
  yagura report coverage --config /etc/yagura/site.toml --month 2026-11 --csv --out nov.csv
      How much of November was watched, and why the rest was not.
  yagura run --config /etc/yagura/site.toml
      The controller itself; systemd starts it this way.

Exit codes:
  0  done
  1  done, and something is wrong: a problem in the site file, a step that failed its
     rehearsal, a device that does not answer
  2  the command line is not understood
  3  the running controller cannot be reached
  4  it cannot start: a file, a folder or an address is not to be had

Environment:
  YAGURA_LOG         what is logged to standard error: error, warn, info (default), debug,
                     or by module, e.g. info,controller::web=debug
  YAGURA_LOG_FORMAT  plain (default) or json
  YAGURA_HANGS_AFTER_S
                     `yagura run` ends core or act and starts it again when its loop gives no
                     sign of life for so many seconds: 20 (default), at least 3";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "yagura", version, about = ABOUT, long_about = LONG_ABOUT, after_long_help = MANUAL)]
#[command(propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the room of a site file (運転する)
    #[command(
        after_long_help = "It starts the roles core, act, broker and web as processes of their own, starts one again \
        that ends, and stops them all on SIGTERM or Ctrl-C, core last. One line on standard output says where the page is."
    )]
    Run(ConfigArg),
    /// Show a simulated room (試してみる)
    Demo(demo::DemoArgs),
    /// Ask one device what it is, and show its values as the controller would read them (機器を調べる)
    Probe(Box<probe::Args>),
    /// Test and list device profiles (機器プロファイル)
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Search named ranges for devices, and write a site file to start from (機器を探す)
    Discover(discover::DiscoverArgs),
    /// Report every problem of a site file (設定を確認する)
    Check(check::CheckArgs),
    /// Print nftables rules for a site (ファイアウォール規則を作る)
    Firewall(firewall::FirewallArgs),
    /// Show or rehearse the shutdown plan (停止計画)
    #[command(subcommand)]
    Plan(plan::PlanCommand),
    /// List, take, shelve and export alarms (警報)
    #[command(subcommand)]
    Alarm(alarm::AlarmCommand),
    /// Hold alarms back while somebody works, and record the result (作業)
    #[command(subcommand)]
    Maintenance(maintenance::MaintenanceCommand),
    /// Provision, erase, update and restart sensor nodes (端末)
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// List devices, and tell them what the site allows (機器)
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// UPSes and their batteries: list, test, history, change (UPS と電池)
    #[command(subcommand)]
    Ups(ups::UpsCommand),
    /// Show, try and change alarm limits (警報の限界値)
    #[command(subcommand)]
    Limit(limit::LimitCommand),
    /// Who is told of alarms; test calls and lamp tests (通報)
    #[command(subcommand)]
    Notice(notice::NoticeCommand),
    /// Enroll, lend, take back and stop cards (カード)
    #[command(subcommand)]
    Card(card::CardCommand),
    /// Who may enter: add, change, leave, confirm, import (人)
    #[command(subcommand)]
    Person(person::PersonCommand),
    /// Which doors a person may open, and when (権限)
    #[command(subcommand)]
    Right(person::RightCommand),
    /// Who is in the rooms behind the doors, and who passed last (在室者)
    WhoIsInside(person::InsideArgs),
    /// Incidents: list, show, open, note, close, hand over (事案)
    #[command(subcommand)]
    Incident(incident::IncidentCommand),
    /// The entry log: status, export, proof, keys, retention (入退室記録)
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Reports of the running controller: how much of a month was watched (報告)
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// Run one role; `run` and `demo` do this themselves
    #[command(hide = true, subcommand)]
    Role(role::RoleCommand),
}

#[derive(Debug, Args)]
struct ConfigArg {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Does what the command line says.
///
/// # Errors
/// [`Failure`], to be printed.
pub fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Run(ConfigArg { config }) => {
            let site = load::<Real>(&config)?;
            single_threaded()?.block_on(run::run(&site, &config))
        }
        Command::Demo(args) => single_threaded()?.block_on(demo::run(args)),
        Command::Probe(args) => Ok(single_threaded()?.block_on(probe::run(*args))),
        Command::Profile(command) => profile::run(command),
        Command::Discover(args) => single_threaded()?.block_on(discover::run(args)),
        Command::Check(args) => Ok(check::run(&args)),
        Command::Firewall(args) => firewall::run(&args),
        Command::Plan(command) => single_threaded()?.block_on(plan::run(command)),
        Command::Alarm(command) => single_threaded()?.block_on(alarm::run(command)),
        Command::Maintenance(command) => single_threaded()?.block_on(maintenance::run(command)),
        Command::Node(command) => single_threaded()?.block_on(node::run(command)),
        Command::Device(command) => single_threaded()?.block_on(device::run(command)),
        Command::Ups(command) => single_threaded()?.block_on(ups::run(command)),
        Command::Limit(command) => single_threaded()?.block_on(limit::run(command)),
        Command::Notice(command) => single_threaded()?.block_on(notice::run(command)),
        Command::Card(command) => single_threaded()?.block_on(card::run(command)),
        Command::Person(command) => single_threaded()?.block_on(person::run(command)),
        Command::Right(command) => single_threaded()?.block_on(person::right(command)),
        Command::WhoIsInside(args) => single_threaded()?.block_on(person::who_is_inside(args)),
        Command::Incident(command) => single_threaded()?.block_on(incident::run(command)),
        Command::Log(command) => single_threaded()?.block_on(log::run(command)),
        Command::Report(command) => single_threaded()?.block_on(report::run(command)),
        Command::Role(command) => {
            let runtime = many_threaded()?;
            let result = runtime.block_on(role::run(command));
            // What still blocks then is a read or write that nobody waits for any more.
            runtime.shutdown_background();
            result
        }
    }
}

/// Where log lines go: standard error, in the form the environment asks for.
pub fn log_to_stderr() {
    let filter = match std::env::var("YAGURA_LOG") {
        Ok(text) => EnvFilter::try_new(&text).unwrap_or_else(|error| {
            eprintln!("yagura: YAGURA_LOG={text} is not understood ({error}); logging at info");
            EnvFilter::new("info")
        }),
        Err(_) => EnvFilter::new("info"),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if std::env::var("YAGURA_LOG_FORMAT").as_deref() == Ok("json") {
        builder.json().init();
    } else {
        builder.init();
    }
}

/// Reads a site file for a world; its problems become the failure. Key files are left to the
/// role that needs them: with a user for each role, no other role may even see them.
fn load<W: Hands>(path: &Path) -> Result<Site<W>, Failure> {
    let check::FileRead { site, problems, .. } = check::read_file::<W>(path)?;
    for warning in problems
        .iter()
        .filter(|problem| problem.severity == Severity::Warning)
    {
        tracing::warn!("{}:{}: {}", path.display(), warning.line, warning.message);
    }
    site.ok_or_else(|| Failure::site(path, &problems))
}

fn single_threaded() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING)
        .build()
        .map_err(Failure::runtime)
}

fn many_threaded() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(MAX_BLOCKING)
        .enable_all()
        .build()
        .map_err(Failure::runtime)
}

/// Who sits at the terminal, for the record.
fn person() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    user.ok()
        .filter(|user| !user.trim().is_empty())
        .unwrap_or_else(|| "command line".to_owned())
}

/// The page's address in the form people type.
fn page(addr: SocketAddr) -> String {
    format!("http://{addr}/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_manual_names_every_command_that_is_not_hidden() {
        let help = Cli::command().render_long_help().to_string();
        for command in Cli::command().get_subcommands() {
            let shown = help.contains(&format!("yagura {}", command.get_name()));
            assert_eq!(shown, !command.is_hide_set(), "{}", command.get_name());
        }
    }
}

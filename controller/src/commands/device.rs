//! `yagura device ...`: the devices of the running controller, and what they may be told.
//!
//! `run` asks the controller; the role `act` tells the device. What switches power is refused here
//! already: it is a step of a plan.

use super::{Failure, http, load, person, table};
use crate::profiles;
use clap::{Args, Subcommand};
use room::command::{Danger, Known, Name};
use room::site::link::Link;
use room::site::{Device, Real, Site};
use room::snapshot::{DeviceFacts, Operation, Snapshot};
use serde_json::json;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Time between two looks at the picture.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// A little more than the controller itself waits.
const LOOKS_MAX: u32 = 500;

/// What to do with devices.
#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// Every device with its state (一覧)
    List(SiteArgs),
    /// Everything that a device tells (値を見る)
    Show(NameArgs),
    /// What a device may be told, or every command there is (できる命令)
    Commands(CommandsArgs),
    /// Tell a device something, and wait for what becomes of it (命令する)
    #[command(
        after_long_help = "Only what `commands` of its [[device]] allows, and never what switches power: that is a step of a plan.\n\
        Exit codes: 0 it was seen to have happened, or the device accepted it and cannot show more; 1 refused, or nobody knows; \
        3 no controller answers."
    )]
    Run(RunArgs),
}

#[derive(Debug, Args)]
pub(super) struct SiteArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    #[command(flatten)]
    site: SiteArgs,
    /// Short name of the device (機器の名前)
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct CommandsArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE", requires = "name")]
    config: Option<PathBuf>,
    /// Short name of the device; without it every command there is
    #[arg(requires = "config")]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Short name of the device (機器の名前)
    name: String,
    /// Name of the command, e.g. test.battery.start (命令)
    command: String,
    /// Its parameter, where it has one
    value: Option<i64>,
    /// Do not ask (確認しない)
    #[arg(long)]
    yes: bool,
}

/// `yagura device`.
pub(super) async fn run(command: DeviceCommand) -> Result<ExitCode, Failure> {
    match command {
        DeviceCommand::List(args) => list(&args).await,
        DeviceCommand::Show(args) => show(&args).await,
        DeviceCommand::Commands(args) => commands(&args).await,
        DeviceCommand::Run(args) => tell(&args).await,
    }
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(Failure::WRONG, message)
}

fn find<'s>(site: &'s Site<Real>, name: &str) -> Result<&'s Device, Failure> {
    site.devices
        .iter()
        .find(|device| device.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = site.devices.iter().map(|device| device.name.as_str()).collect();
            wrong(format!(
                "the site has no device {name}; it has: {}",
                names.join(", ")
            ))
        })
}

async fn get(addr: SocketAddr, path: &str) -> Result<String, Failure> {
    let answer = http::get(addr, path)
        .await
        .map_err(|error| super::plan::away(addr, &error))?;
    if answer.status == 200 {
        Ok(answer.body)
    } else {
        Err(wrong(answer.problem()))
    }
}

async fn picture(addr: SocketAddr) -> Result<Snapshot, Failure> {
    let body = get(addr, "/api/v1/snapshot").await?;
    serde_json::from_str(&body).map_err(|error| Failure::because(Failure::WRONG, "the picture", &error))
}

async fn list(args: &SiteArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let picture = picture(super::plan::address(&site)?).await?;
    if args.json {
        println!("{}", json!(picture.devices));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<[String; 5]> = picture
        .devices
        .iter()
        .map(|device| {
            [
                device.name.clone(),
                device.label.ja.clone(),
                device.state.clone(),
                device.profile.clone().unwrap_or_default(),
                device.facts.to_string(),
            ]
        })
        .collect();
    print!(
        "{}",
        table::draw(["NAME", "LABEL", "STATE", "PROFILE", "FACTS"], &rows)
    );
    Ok(ExitCode::SUCCESS)
}

async fn show(args: &NameArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.site.config)?;
    let device = find(&site, &args.name)?;
    let body = get(
        super::plan::address(&site)?,
        &format!("/api/v1/devices/{}", device.name),
    )
    .await?;
    if args.site.json {
        println!("{body}");
        return Ok(ExitCode::SUCCESS);
    }
    let told: DeviceFacts = serde_json::from_str(&body)
        .map_err(|error| Failure::because(Failure::WRONG, "the device's facts", &error))?;
    let rows: Vec<[String; 3]> = told
        .points
        .iter()
        .map(|point| {
            let value = match (point.value, &point.state) {
                (Some(number), _) => format!("{number} {}", point.unit).trim_end().to_owned(),
                (None, Some(text)) => text.clone(),
                (None, None) => format!("({})", point.no_data.clone().unwrap_or_default()),
            };
            [point.id.clone(), value, point.label.en.clone()]
        })
        .collect();
    print!("{}", table::draw(["FACT", "VALUE", "WHAT"], &rows));
    Ok(ExitCode::SUCCESS)
}

const fn danger_words(danger: Danger) -> &'static str {
    match danger {
        Danger::Harmless => "harmless",
        Danger::Test => "test",
        Danger::CutsPower => "cuts power: a step of a plan only",
    }
}

async fn commands(args: &CommandsArgs) -> Result<ExitCode, Failure> {
    let (Some(config), Some(name)) = (&args.config, &args.name) else {
        let rows: Vec<[String; 4]> = Known::all()
            .map(|known| {
                let label = known.label();
                [
                    known.pattern.to_owned(),
                    danger_words(known.danger).to_owned(),
                    label.ja,
                    label.en,
                ]
            })
            .collect();
        print!("{}", table::draw(["COMMAND", "DANGER", "命令", "WHAT"], &rows));
        return Ok(ExitCode::SUCCESS);
    };
    let site = load::<Real>(config)?;
    let device = find(&site, name)?;
    // What the model can do is known when the controller has detected it, or the site names it.
    let profile = match &device.profile {
        Some(profile) => Some(profile.clone()),
        None => match super::plan::address(&site) {
            Ok(addr) => picture(addr).await.ok().and_then(|picture| {
                let row = picture.devices.into_iter().find(|row| row.name == *name)?;
                row.profile
            }),
            Err(_) => None,
        },
    };
    let (library, _) = profiles::library(site.profiles_dir.as_deref());
    let profile = profile.and_then(|profile| library.get(&profile).cloned());
    let mut rows = Vec::new();
    for command in &device.commands {
        let can = match (&device.link, &profile) {
            (Link::Nut(_), _) => "if the driver has it (upscmd -l)".to_owned(),
            (Link::Megatec(_), _) => "yes".to_owned(),
            (_, None) => "not known until the device was heard".to_owned(),
            (_, Some(profile)) => {
                let action = profile.actions().find(|action| *action.known == *command.known());
                match action.map(|action| action.parameter) {
                    None => format!("no: the profile {} has it not", profile.name()),
                    Some(None) => "yes".to_owned(),
                    Some(Some(parameter)) => format!(
                        "with a value, {} to {} {}",
                        parameter.range.0,
                        parameter.range.1,
                        parameter.unit.symbol()
                    ),
                }
            }
        };
        let label = command.label();
        rows.push([
            command.to_string(),
            danger_words(command.danger()).to_owned(),
            can,
            label.ja,
        ]);
    }
    if rows.is_empty() {
        println!(
            "{name} は読むだけです。 {name} is only read: its [[device]] has no `commands`.\n\
             `yagura device commands` lists what there is."
        );
    } else {
        print!(
            "{}",
            table::draw(["COMMAND", "DANGER", "THIS DEVICE", "命令"], &rows)
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn tell(args: &RunArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let device = find(&site, &args.name)?;
    let command: Name = args
        .command
        .parse()
        .map_err(|why: room::command::BadName| wrong(why.to_string()))?;
    if command.danger() == Danger::CutsPower {
        return Err(wrong(format!(
            "{command} は電源を切り替えるため、手では実行できません。停止計画の手順にしてください。\n        \
             {command} switches power: make it a step of a plan, [host.action] with kind = \"device\""
        )));
    }
    if !device.commands.contains(&command) {
        return Err(wrong(format!(
            "{} may not be told {command}: add it to `commands` of its [[device]] (設定で許可されていません)",
            device.name
        )));
    }
    if !args.yes && !confirmed(device, command)? {
        return Ok(ExitCode::from(Failure::WRONG));
    }
    let addr = super::plan::address(&site)?;
    let before = picture(addr).await?.operations.iter().map(|row| row.id).max();
    let body = json!({ "by": person(), "command": command.to_string(), "value": args.value });
    let answer = http::post(addr, &format!("/api/v1/devices/{}/commands", device.name), &body)
        .await
        .map_err(|error| super::plan::away(addr, &error))?;
    if answer.status != 200 {
        return Err(wrong(answer.problem()));
    }
    for _ in 0..LOOKS_MAX {
        let mut rows = picture(addr).await?.operations.into_iter();
        let ours = rows.find(|row| {
            Some(row.id) > before && row.device == device.name && row.command == command.to_string()
        });
        if let Some(row) = ours.filter(|row| row.state != "under_way") {
            return Ok(ended(&row));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(wrong(
        "the controller did not say what became of it; the journal will",
    ))
}

fn ended(row: &Operation) -> ExitCode {
    let (ja, en, code) = match row.state.as_str() {
        "confirmed" => ("実行されました", "confirmed", 0),
        "accepted" => (
            "受け付けられました(結果は機器から確認できません)",
            "accepted; the device cannot show whether it did it",
            0,
        ),
        "refused" => ("実行されていません", "refused", Failure::WRONG),
        _ => ("結果は不明です", "nobody knows what became of it", Failure::WRONG),
    };
    let why = match row.text.as_str() {
        "" => String::new(),
        text => format!(": {text}"),
    };
    println!("{ja}。 {} {}: {en}{why}", row.device, row.command);
    ExitCode::from(code)
}

/// Asks at the terminal; without one nothing is done without `--yes`.
fn confirmed(device: &Device, command: Name) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(wrong(
            "there is nobody to ask; --yes says that it is meant (端末がないため --yes が必要です)",
        ));
    }
    let label = command.label();
    print!(
        "{} ({}): {}\n{} [{}]  {} — y/N? ",
        device.label.ja,
        device.name,
        label.ja,
        label.en,
        danger_words(command.danger()),
        device
            .link
            .endpoint()
            .map_or_else(String::new, |(_, addr)| addr.to_string()),
    );
    let _ = std::io::stdout().flush();
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| Failure::because(Failure::WRONG, "reading the answer", &error))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes" | "はい"))
}

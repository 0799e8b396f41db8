//! `yagura maintenance ...`: alarms are held back while somebody works, and the result is recorded.

use super::{ConfigArg, Failure, alarm, load, person, plan, table};
use clap::{Args, Subcommand};
use room::site::Real;
use room::snapshot::{Maintenance, MaintenanceState};
use serde_json::json;
use std::process::ExitCode;

/// What to do with maintenance windows.
#[derive(Debug, Subcommand)]
pub(super) enum MaintenanceCommand {
    /// Windows that are open, wait for their result, or were closed lately (一覧)
    List(ListArgs),
    /// Open a window: the alarms of what is worked on are held back (作業を始める)
    Start(StartArgs),
    /// End a window and record what came of the work (作業を終える)
    End(EndArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// As the API has it (JSON で出力)
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct StartArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// What is worked on: node:NAME, device:NAME, point:ID; water and fire only as alarm:ID (対象)
    #[arg(required = true, value_name = "WHAT")]
    scope: Vec<String>,
    /// For how long at most; it then ends by itself (分)
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=1440))]
    minutes: u32,
    /// Why (理由)
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Number of the work order (作業票)
    #[arg(long, value_name = "NUMBER")]
    work_order: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct EndArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Number of the window, as in the list (番号)
    window: u32,
    /// What came of the work; without it an alarm stands until it is given (結果)
    #[arg(long, value_name = "TEXT")]
    result: Option<String>,
}

/// `yagura maintenance`.
pub(super) async fn run(command: MaintenanceCommand) -> Result<ExitCode, Failure> {
    match command {
        MaintenanceCommand::List(args) => {
            let addr = plan::address(&load::<Real>(&args.config.config)?)?;
            let windows = alarm::picture(addr).await?.maintenance;
            if args.json {
                println!("{:#}", json!(windows));
            } else {
                print!("{}", drawn(&windows));
            }
            Ok(ExitCode::SUCCESS)
        }
        MaintenanceCommand::Start(args) => {
            let addr = plan::address(&load::<Real>(&args.config.config)?)?;
            let body = json!({
                "by": person(),
                "minutes": args.minutes,
                "reason": args.reason,
                "work_order": args.work_order,
                "scope": args.scope,
            });
            alarm::order(addr, "/api/v1/maintenance", &body).await
        }
        MaintenanceCommand::End(args) => {
            let addr = plan::address(&load::<Real>(&args.config.config)?)?;
            let body = json!({ "by": person(), "result": args.result });
            alarm::order(addr, &format!("/api/v1/maintenance/{}/end", args.window), &body).await
        }
    }
}

fn drawn(windows: &[Maintenance]) -> String {
    if windows.is_empty() {
        return "作業時間はありません。 No maintenance window.\n".to_owned();
    }
    let row = |window: &Maintenance| {
        let left = match window.state {
            MaintenanceState::Open => alarm::span(window.left_s.unwrap_or(0) * 1000),
            MaintenanceState::AwaitsResult | MaintenanceState::Closed => "-".to_owned(),
        };
        [
            window.id.to_string(),
            match window.state {
                MaintenanceState::Open => "作業中",
                MaintenanceState::AwaitsResult => "結果待ち",
                MaintenanceState::Closed => "終了",
            }
            .to_owned(),
            window.scope.join(" "),
            left,
            window.folded.to_string(),
            window.by.clone(),
            window.result.clone().unwrap_or_else(|| window.reason.clone()),
        ]
    };
    let rows: Vec<[String; 7]> = windows.iter().map(row).collect();
    table::draw(
        ["番号", "状態", "対象", "残り", "抑止", "開始した人", "理由・結果"],
        &rows,
    )
}

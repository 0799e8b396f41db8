//! `yagura ups ...`: the UPSes of the running controller: state, battery, tests and their history.
//!
//! What is read comes from the page's API. What is ordered goes to core's own socket, like the orders of
//! `yagura plan`: who asks is what the machine says.

use super::{Failure, http, load, operator, table};
use clap::{Args, Subcommand};
use room::battery::{TestKind, TestResult};
use room::outage::operator::Wish;
use room::site::Real;
use room::snapshot::{BatteryCare, PowerCare, ScheduleRow, Snapshot};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

const OPERATORS: &str = "\
For root and for those named in [operators] of the site, on the controller's own machine; nothing on the \
network can do it. What is done is in the journal with the user's name and number.
Exit codes: 0 done, 1 refused, 3 no controller answers.";

/// What to do with UPSes.
#[derive(Debug, Subcommand)]
pub(super) enum UpsCommand {
    /// Every UPS: state, charge, runtime, load, battery, tests (一覧)
    List(SiteArgs),
    /// Have a UPS test its battery now (電池試験)
    #[command(after_long_help = OPERATORS)]
    Test(TestArgs),
    /// Tests, real discharges and changes of its battery (履歴)
    History(HistoryArgs),
    /// Record that a new battery was put in (電池交換の記録)
    #[command(after_long_help = OPERATORS)]
    BatteryChanged(ChangedArgs),
}

#[derive(Debug, Args)]
pub(super) struct SiteArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The UPS
    ups: String,
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// plain, quick or deep; the one of its [device.test], or quick (種類)
    #[arg(long, value_parser = kind)]
    kind: Option<TestKind>,
}

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The UPS; all of them without it
    ups: Option<String>,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Args)]
pub(super) struct ChangedArgs {
    /// The UPS
    ups: String,
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Day on which it was put in, 2026-11-22; today without it (交換日)
    #[arg(long, value_parser = day)]
    date: Option<u16>,
}

fn kind(word: &str) -> Result<TestKind, String> {
    let found = TestKind::WORDS.iter().find(|(known, _)| *known == word);
    found
        .map(|(_, kind)| *kind)
        .ok_or_else(|| "plain, quick or deep".to_owned())
}

fn day(text: &str) -> Result<u16, String> {
    room::schedule::day(text).ok_or_else(|| "a day is written as 2026-11-22".to_owned())
}

/// `yagura ups`.
pub(super) async fn run(command: UpsCommand) -> Result<ExitCode, Failure> {
    match command {
        UpsCommand::List(args) => list(&args).await,
        UpsCommand::History(args) => history(&args).await,
        UpsCommand::Test(args) => {
            let site = load::<Real>(&args.config)?;
            let by_site = site.self_tests.iter().find(|test| test.device == args.ups);
            let test = args.kind.or(by_site.map(|test| test.kind));
            let wish = Wish::TestBattery {
                ups: args.ups,
                test: test.unwrap_or(TestKind::Quick),
            };
            operator::wish(&args.config, wish).await
        }
        UpsCommand::BatteryChanged(args) => {
            let wish = Wish::BatteryChanged {
                ups: args.ups,
                day: args.date,
            };
            operator::wish(&args.config, wish).await
        }
    }
}

async fn get(addr: SocketAddr, path: &str) -> Result<String, Failure> {
    let answer = http::get(addr, path)
        .await
        .map_err(|error| super::plan::away(addr, &error))?;
    if answer.status == 200 {
        return Ok(answer.body);
    }
    Err(Failure::new(Failure::WRONG, answer.problem()))
}

fn read<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, Failure> {
    serde_json::from_str(body)
        .map_err(|error| Failure::because(Failure::WRONG, "reading the controller's answer", &error))
}

pub(super) async fn care(addr: SocketAddr) -> Result<PowerCare, Failure> {
    read(&get(addr, "/api/v1/power/care").await?)
}

async fn list(args: &SiteArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let addr = super::plan::address(&site)?;
    let body = get(addr, "/api/v1/power/care").await?;
    if args.json {
        println!("{body}");
        return Ok(ExitCode::SUCCESS);
    }
    let care: PowerCare = read(&body)?;
    let picture: Snapshot = read(&get(addr, "/api/v1/snapshot").await?)?;
    print!("{}", listed(&picture, &care));
    Ok(ExitCode::SUCCESS)
}

fn number(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} {unit}"))
}

fn listed(picture: &Snapshot, care: &PowerCare) -> String {
    let rows: Vec<[String; 9]> = care
        .batteries
        .iter()
        .map(|battery| {
            let ups = picture.power.ups.iter().find(|ups| ups.name == battery.ups);
            let load = picture
                .points
                .iter()
                .find(|point| point.id == format!("{}.ups.load", battery.ups));
            let age = battery.installed_ms.map(|installed| {
                let months = (picture.wall_ms - installed) / (86_400_000 * 30);
                format!("{} ({months} か月)", date(installed))
            });
            let last = battery.tests.first();
            [
                battery.ups.clone(),
                ups.map_or_else(|| "-".to_owned(), |ups| ups.source.clone()),
                number(ups.and_then(|ups| ups.charge_percent), "%"),
                number(ups.and_then(|ups| ups.runtime_s), "s"),
                number(load.and_then(|load| load.value), "%"),
                age.unwrap_or_else(|| "-".to_owned()),
                number(battery.capacity_percent, "%"),
                last.map_or_else(
                    || "-".to_owned(),
                    |last| format!("{} {}", date(last.started_ms), words(last.result)),
                ),
                next(battery),
            ]
        })
        .collect();
    table::draw(
        [
            "UPS",
            "給電",
            "充電",
            "残り",
            "負荷",
            "電池",
            "容量",
            "前回の試験",
            "次の試験",
        ],
        &rows,
    )
}

fn next(battery: &BatteryCare) -> String {
    if battery.under_way.is_some() {
        return "試験中".to_owned();
    }
    let Some(next) = battery.next_test_ms else {
        return "-".to_owned();
    };
    match &battery.why_not {
        Some(why) => format!("{}（いまは不可: {}）", date(next), why.ja),
        None => date(next),
    }
}

fn date(at_ms: i64) -> String {
    table::time(at_ms).chars().take(10).collect()
}

const fn words(result: TestResult) -> &'static str {
    match result {
        TestResult::Passed => "合格",
        TestResult::Warning => "注意",
        TestResult::Failed => "不合格",
        TestResult::Aborted => "中止",
        TestResult::Unknown => "不明",
    }
}

async fn history(args: &HistoryArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.site.config)?;
    let addr = super::plan::address(&site)?;
    let care = care(addr).await?;
    let wanted = |battery: &&BatteryCare| args.ups.as_ref().is_none_or(|ups| *ups == battery.ups);
    let batteries: Vec<&BatteryCare> = care.batteries.iter().filter(wanted).collect();
    if batteries.is_empty() {
        let names: Vec<&str> = care
            .batteries
            .iter()
            .map(|battery| battery.ups.as_str())
            .collect();
        return Err(Failure::new(
            Failure::WRONG,
            format!(
                "その UPS はありません。 There is no such UPS; there are: {}",
                names.join(", ")
            ),
        ));
    }
    if args.site.json {
        let text = serde_json::to_string_pretty(&batteries)
            .map_err(|error| Failure::because(Failure::WRONG, "writing the history", &error))?;
        println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    for battery in batteries {
        print!("{}", past(battery));
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything of one battery in the order of time, newest first.
fn past(battery: &BatteryCare) -> String {
    let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
    let mut rows: Vec<(i64, [String; 3])> = Vec::new();
    for test in &battery.tests {
        let volts = match (test.before.voltage, test.least.voltage) {
            (Some(before), Some(least)) => format!("、電圧 {before:.1} → {least:.1} V"),
            _ => String::new(),
        };
        let what = format!(
            "{} {}（{}）{:.0} 秒{volts}、充電 {} → {} %",
            words(test.result),
            test.because.ja,
            test.command,
            test.took_s,
            share(test.before.charge_percent),
            share(test.least.charge_percent),
        );
        rows.push((
            test.started_ms,
            [table::time(test.started_ms), format!("試験（{}）", test.by), what],
        ));
    }
    for discharge in &battery.discharges {
        let mut what = format!(
            "{:.0} 秒、充電 {} → {} %",
            discharge.took_s,
            share(discharge.from_percent),
            share(discharge.to_percent),
        );
        if let Some(given) = discharge.share {
            let _ = write!(what, "、容量は予告の {:.0} %", given * 100.0);
        }
        rows.push((
            discharge.ended_ms,
            [table::time(discharge.ended_ms), "放電（停電）".to_owned(), what],
        ));
    }
    for change in &battery.changes {
        rows.push((
            change.recorded_ms,
            [
                table::time(change.recorded_ms),
                format!("電池交換（{}）", change.by),
                format!("使用開始 {}", date(change.day_ms)),
            ],
        ));
    }
    rows.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let rows: Vec<[String; 3]> = rows.into_iter().map(|(_, row)| row).collect();
    if rows.is_empty() {
        return format!("{}: 記録はありません。 Nothing is recorded.\n", battery.ups);
    }
    format!(
        "{}\n{}",
        battery.ups,
        table::draw(["日時", "種類", "内容"], &rows)
    )
}

/// Every schedule as a table; for `yagura plan schedules`.
pub(super) fn schedules(rows: &[ScheduleRow]) -> String {
    let time = |at: Option<i64>| at.map_or_else(|| "-".to_owned(), table::time);
    let rows: Vec<[String; 6]> = rows
        .iter()
        .map(|row| {
            let state = match row.state.as_str() {
                "off" => "停止中",
                "announced" => "予告済み",
                _ => "待機",
            };
            [
                row.name.clone(),
                state.to_owned(),
                time(row.stop_ms),
                time(row.start_ms),
                row.hosts.join(", "),
                row.trouble.as_ref().map(|why| why.ja.clone()).unwrap_or_default(),
            ]
        })
        .collect();
    table::draw(["名前", "状態", "次の停止", "次の起動", "対象", "備考"], &rows)
}

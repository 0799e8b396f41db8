//! `yagura alarm ...`: what stands, and what a person does about it, from a terminal.
//!
//! Everything goes through the API of the running controller, so that the journal has it with the
//! name of the person. `export` reads the journal in pieces and writes what happened to alarms.

use super::{ConfigArg, Failure, http, load, person, plan, table};
use clap::{Args, Subcommand, ValueEnum};
use room::alarm::statistics;
use room::record::{Entry, Record};
use room::site::{Priority, Real};
use room::snapshot::{Alarm, AlarmState, Snapshot};
use room::time::{Mono, Now, Wall};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::ExitCode;

/// Records asked for at once.
const PIECE: usize = 5_000;
/// Most records that an export reads: a hundred pieces of the journal's end would be a year.
const MAX_READ: usize = 5_000_000;
const DAY_MS: i64 = 86_400_000;

/// What to do with alarms.
#[derive(Debug, Subcommand)]
pub(super) enum AlarmCommand {
    /// Alarms that are not normal, most urgent first (一覧)
    List(ListArgs),
    /// Take an alarm that nobody has (確認して担当する)
    Ack(OneArgs),
    /// Take an alarm over from whoever has it (担当を引き継ぐ)
    Take(OneArgs),
    /// Put an alarm away for a while (一時保留)
    Shelve(AwayArgs),
    /// End a shelf before its time (一時保留をやめる)
    Unshelve(OneArgs),
    /// Reset a latched alarm whose cause is gone (リセット)
    Reset(OneArgs),
    /// Take an alarm out of service, for 30 days at most (使用停止)
    OutOfService(AwayArgs),
    /// Put an alarm back into service (使用再開)
    InService(OneArgs),
    /// What happened to alarms in a period, or what the period says of them (書き出す)
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// As the API has it (JSON で出力)
    #[arg(long)]
    json: bool,
    /// Also those that are folded under another one (まとめられた警報も)
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Alarm id, as in the list (警報の識別名)
    alarm: String,
}

#[derive(Debug, Args)]
pub(super) struct AwayArgs {
    #[command(flatten)]
    one: OneArgs,
    /// For how long, in minutes (分)
    #[arg(long, value_name = "MINUTES")]
    minutes: u32,
    /// Why (理由)
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// How many days back (何日前から)
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,
    /// In which form (形式)
    #[arg(long, value_enum, default_value_t = Form::Csv)]
    form: Form,
}

/// How to write an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One line a record, for a spreadsheet (UTF-8 with BOM, CRLF)
    Csv,
    /// One JSON object a line
    Jsonl,
    /// Worst alarms, chattering, stale, rate (JSON)
    Statistics,
}

/// `yagura alarm`.
pub(super) async fn run(command: AlarmCommand) -> Result<ExitCode, Failure> {
    match command {
        AlarmCommand::List(args) => list(&args).await,
        AlarmCommand::Ack(args) => ask(&args, "acknowledge", &json!({})).await,
        AlarmCommand::Take(args) => ask(&args, "take", &json!({})).await,
        AlarmCommand::Shelve(args) => away(&args, "shelve").await,
        AlarmCommand::Unshelve(args) => ask(&args, "unshelve", &json!({})).await,
        AlarmCommand::Reset(args) => ask(&args, "reset", &json!({})).await,
        AlarmCommand::OutOfService(args) => away(&args, "out-of-service").await,
        AlarmCommand::InService(args) => ask(&args, "in-service", &json!({})).await,
        AlarmCommand::Export(args) => export(&args).await,
    }
}

fn address(config: &ConfigArg) -> Result<SocketAddr, Failure> {
    plan::address(&load::<Real>(&config.config)?)
}

/// The picture of the running controller.
pub(super) async fn picture(addr: SocketAddr) -> Result<Snapshot, Failure> {
    let answer = http::get(addr, "/api/v1/snapshot")
        .await
        .map_err(|error| plan::away(addr, &error))?;
    if answer.status != 200 {
        return Err(Failure::new(Failure::AWAY, answer.problem()));
    }
    serde_json::from_str(&answer.body)
        .map_err(|error| Failure::because(Failure::AWAY, "reading the picture", &error))
}

/// Posts and says that it is done, or why not.
pub(super) async fn order(addr: SocketAddr, path: &str, body: &Value) -> Result<ExitCode, Failure> {
    let answer = http::post(addr, path, body)
        .await
        .map_err(|error| plan::away(addr, &error))?;
    if answer.status != 200 {
        return Err(Failure::new(Failure::WRONG, answer.problem()));
    }
    println!("完了 done");
    Ok(ExitCode::SUCCESS)
}

async fn ask(args: &OneArgs, what: &str, fields: &Value) -> Result<ExitCode, Failure> {
    let addr = address(&args.config)?;
    let mut body = json!({ "by": person() });
    if let (Some(body), Some(fields)) = (body.as_object_mut(), fields.as_object()) {
        body.extend(fields.clone());
    }
    order(
        addr,
        &format!("/api/v1/alarms/{}/{what}", http::escaped(&args.alarm)),
        &body,
    )
    .await
}

async fn away(args: &AwayArgs, what: &str) -> Result<ExitCode, Failure> {
    let fields = json!({ "minutes": args.minutes, "reason": args.reason });
    ask(&args.one, what, &fields).await
}

async fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let snapshot = picture(address(&args.config)?).await?;
    let alarms = snapshot.alarms.into_iter();
    let alarms: Vec<Alarm> = alarms
        .filter(|alarm| args.all || alarm.state != AlarmState::Suppressed)
        .collect();
    if args.json {
        println!("{:#}", json!(alarms));
    } else {
        print!("{}", drawn(&alarms));
    }
    if snapshot.alarms_left_out > 0 {
        // On stderr: what reads the list as JSON must be able to.
        eprintln!(
            "ほか {count} 件は表示していません。 {count} less urgent ones are not shown.",
            count = snapshot.alarms_left_out
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn drawn(alarms: &[Alarm]) -> String {
    if alarms.is_empty() {
        return "警報はありません。 No alarm stands.\n".to_owned();
    }
    let row = |alarm: &Alarm| {
        let folded = match alarm.folded {
            0 => String::new(),
            count => format!("（ほか{count}件）"),
        };
        [
            priority(alarm.priority).to_owned(),
            state(alarm.state).to_owned(),
            alarm.id.clone(),
            alarm.place.ja.clone(),
            format!("{}{folded}", alarm.what.ja),
            span(alarm.age_ms),
            span(alarm.respond_within_s * 1000),
            alarm.owner.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let rows: Vec<[String; 8]> = alarms.iter().map(row).collect();
    let heads = ["優先度", "状態", "id", "場所", "内容", "経過", "対応まで", "担当"];
    let mut text = table::draw(heads, &rows);
    let urgent = alarms
        .iter()
        .find(|alarm| alarm.state == AlarmState::Unacknowledged);
    if let Some(alarm) = urgent {
        text.push_str(&format!("\n{}: {}\n", alarm.id, alarm.action.ja));
    }
    text
}

const fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Critical => "重大",
        Priority::Warning => "警告",
        Priority::Advisory => "注意",
    }
}

const fn state(state: AlarmState) -> &'static str {
    match state {
        AlarmState::Unacknowledged => "未確認",
        AlarmState::Acknowledged => "対応中",
        AlarmState::ReturnedUnacknowledged => "復旧未確認",
        AlarmState::Latched => "要リセット",
        AlarmState::Shelved => "一時保留",
        AlarmState::Suppressed => "連動抑止",
        AlarmState::OutOfService => "使用停止",
    }
}

/// Days, hours and minutes, the two greatest of them.
pub(super) fn span(ms: u64) -> String {
    let minutes = ms / 60_000;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{}秒", ms / 1000),
        (0, 0, minutes) => format!("{minutes}分"),
        (0, hours, minutes) => format!("{hours}時間{minutes}分"),
        (days, hours, _) => format!("{days}日{hours}時間"),
    }
}

// ---- export ------------------------------------------------------------------------------

async fn export(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let addr = address(&args.config)?;
    let to = picture(addr).await?.wall_ms;
    let from = to - i64::from(args.days) * DAY_MS;
    let mut entries = Vec::new();
    let mut after = 0;
    if args.form == Form::Csv {
        print!("{}", csv_head());
    }
    while after < MAX_READ as u64 {
        let path = format!("/api/v1/records?after={after}&limit={PIECE}");
        let answer = http::get(addr, &path)
            .await
            .map_err(|error| plan::away(addr, &error))?;
        if answer.status != 200 {
            return Err(Failure::new(Failure::WRONG, answer.problem()));
        }
        let rows: Vec<Value> = serde_json::from_str(&answer.body)
            .map_err(|error| Failure::because(Failure::WRONG, "reading records", &error))?;
        let Some(last) = rows.last().and_then(|row| row["seq"].as_u64()) else {
            break;
        };
        after = last;
        for entry in rows.iter().filter_map(entry) {
            let is_wanted = (from..=to).contains(&entry.now.wall.0);
            match args.form {
                Form::Statistics => entries.push(entry),
                Form::Csv if is_wanted => print!("{}", csv(&entry)),
                Form::Jsonl if is_wanted => println!("{}", jsonl(&entry)),
                Form::Csv | Form::Jsonl => {}
            }
        }
    }
    if args.form == Form::Statistics {
        println!("{:#}", json!(statistics(&entries, Wall(from), Wall(to))));
    }
    Ok(ExitCode::SUCCESS)
}

/// A record of alarms or maintenance, as the API shows it.
fn entry(row: &Value) -> Option<Entry> {
    let kind = row["kind"].as_str()?;
    if !kind.starts_with("alarm_") && !kind.starts_with("maintenance_") {
        return None;
    }
    Some(Entry {
        seq: row["seq"].as_u64()?,
        now: Now {
            mono: Mono(0),
            wall: Wall(row["wall_ms"].as_i64()?),
        },
        record: serde_json::from_value(row.clone()).ok()?,
    })
}

fn jsonl(entry: &Entry) -> Value {
    let mut row = json!(entry.record);
    if let Some(row) = row.as_object_mut() {
        row.insert("seq".to_owned(), entry.seq.into());
        row.insert("wall_ms".to_owned(), entry.now.wall.0.into());
    }
    row
}

fn csv_head() -> String {
    // A spreadsheet takes the file for UTF-8 only with the mark in front.
    "\u{feff}番号,日付,時刻(UTC),出来事,警報,優先度,場所,内容,担当者,分,理由\r\n".to_owned()
}

fn csv(entry: &Entry) -> String {
    let none = String::new;
    let (what, cells) = match &entry.record {
        Record::AlarmRaised {
            alarm,
            priority: urgency,
            what,
            place,
            because,
            ..
        } => (
            "発生",
            [
                alarm.clone(),
                priority(*urgency).to_owned(),
                place.ja.clone(),
                what.ja.clone(),
                none(),
                none(),
                because.ja.clone(),
            ],
        ),
        Record::AlarmReturned { alarm, .. } => ("復旧", about(alarm, None, None, None)),
        Record::AlarmAcknowledged { alarm, by } => ("確認", about(alarm, Some(by), None, None)),
        Record::AlarmTaken { alarm, by } => ("引き継ぎ", about(alarm, Some(by), None, None)),
        Record::AlarmReset { alarm, by } => ("リセット", about(alarm, Some(by), None, None)),
        Record::AlarmShelved {
            alarm,
            by,
            minutes,
            reason,
        } => ("一時保留", about(alarm, Some(by), Some(*minutes), Some(reason))),
        Record::AlarmUnshelved { alarm, by, .. } => {
            ("一時保留の終わり", about(alarm, by.as_ref(), None, None))
        }
        Record::AlarmOutOfService {
            alarm,
            by,
            minutes,
            reason,
        } => ("使用停止", about(alarm, Some(by), Some(*minutes), Some(reason))),
        Record::AlarmInService { alarm, by, .. } => ("使用再開", about(alarm, by.as_ref(), None, None)),
        Record::MaintenanceStarted {
            window,
            by,
            minutes,
            reason,
            ..
        } => (
            "作業開始",
            about(
                &room::maintenance::id(*window),
                Some(by),
                Some(*minutes),
                Some(reason),
            ),
        ),
        Record::MaintenanceEnded { window, by } => (
            "作業終了",
            about(&room::maintenance::id(*window), by.as_ref(), None, None),
        ),
        Record::MaintenanceResult { window, by, result } => (
            "作業結果",
            about(&room::maintenance::id(*window), Some(by), None, Some(result)),
        ),
        _ => return none(),
    };
    let (date, time) = day_and_time(entry.now.wall);
    let head = [entry.seq.to_string(), date, time, what.to_owned()];
    let cells: Vec<String> = head.iter().chain(&cells).map(|cell| quoted(cell)).collect();
    format!("{}\r\n", cells.join(","))
}

fn about(alarm: &str, by: Option<&String>, minutes: Option<u32>, reason: Option<&String>) -> [String; 7] {
    [
        alarm.to_owned(),
        String::new(),
        String::new(),
        String::new(),
        by.cloned().unwrap_or_default(),
        minutes.map(|minutes| minutes.to_string()).unwrap_or_default(),
        reason.cloned().unwrap_or_default(),
    ]
}

/// A cell: quoted where it must be, and never a formula.
fn quoted(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if is_formula {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if cell.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

fn day_and_time(wall: Wall) -> (String, String) {
    match jiff::Timestamp::from_millisecond(wall.0) {
        Ok(at) => (
            at.strftime("%Y-%m-%d").to_string(),
            at.strftime("%H:%M:%S").to_string(),
        ),
        Err(_) => (String::new(), wall.0.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::site::Label;

    #[test]
    fn a_cell_is_never_a_formula_and_a_comma_breaks_no_row() {
        assert_eq!(quoted("=1+1"), "'=1+1");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("5\" rack"), "\"5\"\" rack\"");
        assert_eq!(quoted("扉"), "扉");
    }

    #[test]
    fn a_record_of_the_api_becomes_a_row_of_the_sheet() {
        let row = json!({
            "seq": 7, "wall_ms": 1_700_000_000_000_i64, "kind": "alarm_out_of_service",
            "alarm": "leak.1.wet", "by": "山田", "minutes": 60, "reason": "交換, 待ち",
        });
        assert_eq!(
            csv(&entry(&row).unwrap()),
            "7,2023-11-14,22:13:20,使用停止,leak.1.wet,,,,山田,60,\"交換, 待ち\"\r\n"
        );
        assert!(entry(&json!({"seq": 8, "wall_ms": 0, "kind": "started"})).is_none());
    }

    #[test]
    fn the_list_says_what_is_folded_and_what_to_do_first() {
        let mut book = room::alarm::Book::default();
        let place = Label::new("電源室", "power room");
        book.define(room::alarm::Definition::of(
            room::catalog::Kind::OnBattery,
            "ups-a.on_battery",
            place,
        ));
        let now = Now {
            mono: Mono(90_000),
            wall: Wall(1_700_000_000_000),
        };
        let record = book.raise_now("ups-a.on_battery", Label::default()).unwrap();
        book.apply(now, &record);
        let text = drawn(&book.view(now, usize::MAX).0);
        assert!(
            text.contains("重大") && text.contains("未確認") && text.contains("電源室"),
            "{text}"
        );
        assert!(text.contains("遮断器を確認"), "{text}");
        assert_eq!(drawn(&[]), "警報はありません。 No alarm stands.\n");
        assert_eq!(
            [span(59_000), span(600_000), span(90_000_000)],
            ["59秒", "10分", "1日1時間"]
        );
    }
}

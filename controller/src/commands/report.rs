//! `yagura report ...`: reports of the running controller.
//!
//! CSV is what spreadsheets of Japanese offices open at once: UTF-8 with a byte order mark, CRLF, date
//! and time in columns of their own, and no cell that a spreadsheet takes for a formula.

use super::{Failure, alarm, http, load, person, plan, table};
use clap::{Args, Subcommand};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use room::coverage::{Gap, Report};
use room::site::Real;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Which report.
#[derive(Debug, Subcommand)]
pub(super) enum ReportCommand {
    /// How much of a month was watched, and why the rest was not (監視率)
    Coverage(CoverageArgs),
    /// Write down why something was not watched (欠測の説明を残す)
    Gap(GapArgs),
}

#[derive(Debug, Args)]
#[command(
    after_long_help = "It stands in the report of the month beside the gap, with your name. It changes no figure."
)]
pub(super) struct GapArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// From when, Japan's time (開始)
    #[arg(long, value_name = "'YYYY-MM-DD HH:MM'", value_parser = moment)]
    from: i64,
    /// Until when, Japan's time (終了)
    #[arg(long, value_name = "'YYYY-MM-DD HH:MM'", value_parser = moment)]
    to: i64,
    /// A point or device; without it, all (対象)
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// What happened, at most 200 characters (説明)
    #[arg(long, value_name = "TEXT")]
    text: String,
}

/// A moment of Japan's time, as the report prints it: milliseconds since 1970 UTC.
fn moment(text: &str) -> Result<i64, String> {
    let wrong = || "write it like '2026-11-01 09:30' or '2026-11-01 09:30:15'".to_owned();
    let local: DateTime = text.trim().parse().map_err(|_| wrong())?;
    // A date alone would be midnight, which is hardly meant.
    if !text.contains(':') {
        return Err(wrong());
    }
    let zone = TimeZone::get("Asia/Tokyo").map_err(|error| error.to_string())?;
    let at = local.to_zoned(zone).map_err(|_| wrong())?;
    Ok(at.timestamp().as_millisecond())
}

#[derive(Debug, Args)]
pub(super) struct CoverageArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Month of Japan's time, e.g. 2026-11 (月)
    #[arg(long, value_name = "YYYY-MM")]
    month: String,
    /// As JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// As CSV for a spreadsheet (表計算)
    #[arg(long)]
    csv: bool,
    /// Write it there instead of printing it (出力先)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `yagura report`.
pub(super) async fn run(command: ReportCommand) -> Result<ExitCode, Failure> {
    let args = match command {
        ReportCommand::Coverage(args) => args,
        ReportCommand::Gap(args) => {
            let addr = plan::address(&load::<Real>(&args.config)?)?;
            let body = json!({
                "by": person(),
                "from_ms": args.from,
                "to_ms": args.to,
                "source": args.source,
                "text": args.text,
            });
            return alarm::order(addr, "/api/v1/coverage/explanations", &body).await;
        }
    };
    let addr = plan::address(&load::<Real>(&args.config)?)?;
    let answer = http::get(addr, &format!("/api/v1/coverage?month={}", args.month))
        .await
        .map_err(|error| plan::away(addr, &error))?;
    if answer.status != 200 {
        return Err(Failure::new(Failure::WRONG, answer.problem()));
    }
    let report: Report = serde_json::from_str(&answer.body)
        .map_err(|error| Failure::because(Failure::WRONG, "the report does not read", &error))?;
    let text = if args.json {
        answer.body
    } else if args.csv {
        csv(&report)
    } else {
        words(&report)
    };
    match args.out {
        Some(path) => std::fs::write(&path, text).map_err(|error| {
            Failure::because(Failure::START, format!("writing {}", path.display()), &error)
        })?,
        None => print!("{text}"),
    }
    // A gap without a reason wants somebody.
    Ok(if report.unexplained == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Failure::WRONG)
    })
}

fn words(report: &Report) -> String {
    let mut text = format!(
        "{} – {}\n監視率 watched {:.2} %   監視装置 controller {:.2} %   原因不明 unexplained {}\n\n",
        table::time(report.from_ms),
        table::time(report.to_ms),
        report.percent,
        report.controller_percent,
        report.unexplained
    );
    let rows: Vec<[String; 3]> = report
        .groups
        .iter()
        .map(|share| {
            [
                share.id.clone(),
                share.label.ja.clone(),
                format!("{:.2}", share.percent),
            ]
        })
        .collect();
    text.push_str(&table::draw(["端末・機器", "名前", "%"], &rows));
    text.push('\n');
    if report.gaps.is_empty() {
        text.push_str("欠測はありません。 No gaps.\n");
        return text;
    }
    let rows: Vec<[String; 5]> = report
        .gaps
        .iter()
        .map(|gap| {
            [
                table::time(gap.from_ms),
                table::time(gap.to_ms),
                format!("{} s", (gap.to_ms - gap.from_ms) / 1000),
                explained(gap),
                named(gap),
            ]
        })
        .collect();
    text.push_str(&table::draw(["開始", "終了", "長さ", "理由", "対象"], &rows));
    if report.left_out > 0 {
        text.push_str(&format!("… {} 件を省略 left out\n", report.left_out));
    }
    text
}

fn explained(gap: &Gap) -> String {
    let said: Vec<String> = gap
        .explanations
        .iter()
        .map(|said| format!("{}（{}）", said.text, said.by))
        .collect();
    if said.is_empty() {
        gap.why.ja.clone()
    } else {
        format!("{}：{}", gap.why.ja, said.join("、"))
    }
}

fn named(gap: &Gap) -> String {
    let mut names = gap.sources.join(" ");
    if gap.more_sources > 0 {
        names.push_str(&format!(" (+{})", gap.more_sources));
    }
    names
}

fn csv(report: &Report) -> String {
    let mut text = String::from("\u{feff}");
    let mut line = |cells: &[&str]| {
        let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    };
    line(&[
        "行の種類",
        "対象",
        "名前",
        "監視率（%）",
        "開始日",
        "開始時刻",
        "終了日",
        "終了時刻",
        "秒",
        "理由",
    ]);
    let (begin, end) = (table::time(report.from_ms), table::time(report.to_ms));
    let mut share = |kind: &str, id: &str, name: &str, percent: f64, unwatched: i64| {
        let (percent, secs) = (format!("{percent:.2}"), (unwatched / 1000).to_string());
        line(&[
            kind,
            id,
            name,
            &percent,
            date(&begin),
            clock(&begin),
            date(&end),
            clock(&end),
            &secs,
            "",
        ]);
    };
    share("部屋", "", "", report.percent, 0);
    share("監視装置", "", "", report.controller_percent, 0);
    for row in &report.groups {
        share(
            "端末・機器",
            &row.id,
            &row.label.ja,
            row.percent,
            row.unwatched_ms,
        );
    }
    for row in &report.sources {
        share("点", &row.id, &row.label.ja, row.percent, row.unwatched_ms);
    }
    for gap in &report.gaps {
        let (from, to) = (table::time(gap.from_ms), table::time(gap.to_ms));
        let secs = ((gap.to_ms - gap.from_ms) / 1000).to_string();
        line(&[
            "欠測",
            &named(gap),
            "",
            "",
            date(&from),
            clock(&from),
            date(&to),
            clock(&to),
            &secs,
            &explained(gap),
        ]);
    }
    text
}

fn date(time: &str) -> &str {
    time.split(' ').next().unwrap_or_default()
}

fn clock(time: &str) -> &str {
    time.split(' ').nth(1).unwrap_or_default()
}

/// A cell that is text and nothing else.
fn escaped(cell: &str) -> String {
    let plain = cell.replace('"', "\"\"");
    match cell.chars().next() {
        Some('=' | '+' | '-' | '@') => format!("\"'{plain}\""),
        _ if cell.contains([',', '"', '\n', '\r']) => format!("\"{plain}\""),
        _ => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::coverage::Reason;
    use room::site::Label;

    #[test]
    fn a_moment_is_read_as_the_report_prints_it() {
        let at = 1_793_458_800_000;
        for text in [
            "2026-11-01 00:00",
            "2026-11-01 00:00:00",
            "2026-11-01T00:00",
            table::time(at).as_str(),
        ] {
            assert_eq!(moment(text), Ok(at), "{text}");
        }
        for wrong in [
            "",
            "2026-11-01",
            "11/01 00:00",
            "2026-11-31 00:00",
            "2026-11-01 25:00",
        ] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_spreadsheet_takes_no_cell_for_a_formula() {
        let report = Report {
            from_ms: 1_793_458_800_000,
            to_ms: 1_793_462_400_000,
            percent: 99.5,
            controller_percent: 100.0,
            unexplained: 1,
            groups: vec![],
            sources: vec![],
            gaps: vec![Gap {
                from_ms: 1_793_458_800_000,
                to_ms: 1_793_458_860_000,
                reason: Reason::Unexplained,
                why: Label::new("=HYPERLINK(\"x\")", "x"),
                sources: vec!["a,b".to_owned()],
                more_sources: 3,
                explanations: vec![],
            }],
            left_out: 0,
        };
        let csv = csv(&report);
        assert!(csv.starts_with("\u{feff}行の種類,対象,"), "{csv}");
        let last = csv.trim_end().rsplit("\r\n").next().unwrap();
        assert_eq!(
            last,
            "欠測,\"a,b (+3)\",,,2026-11-01,00:00:00,2026-11-01,00:01:00,60,\"'=HYPERLINK(\"\"x\"\")\""
        );
        assert!(words(&report).contains("99.50"));
    }
}

//! `yagura limit`: what the limits are, what another value would have done, and changes of them.

use super::{Failure, http, load, person, plan, table};
use clap::{Args, Subcommand, ValueEnum};
use room::site::Real;
use room::snapshot::{Limit, LimitChange, LimitPreview, LimitRun, LimitValues};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to do with limits.
#[derive(Debug, Subcommand)]
pub(super) enum LimitCommand {
    /// Every limit as it is now (限界値の一覧)
    List(Site),
    /// How often a limit would have been an alarm with other values; changes nothing (変更前に確かめる)
    Preview(PreviewArgs),
    /// Change a limit; it is recorded who, when, why, before and after (変更する)
    #[command(
        after_long_help = "The change holds over restarts, until the site file says something else for this limit than it does \
        now: an edit of the file is the later word."
    )]
    Set(SetArgs),
    /// The changes of a limit (変更の履歴)
    History(OneArgs),
}

#[derive(Debug, Args)]
pub(super) struct Site {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// Alarm id of the limit, as `yagura limit list` shows it
    id: String,
    #[command(flatten)]
    site: Site,
}

#[derive(Debug, Args)]
pub(super) struct Values {
    /// Raise beyond this value (限界値)
    #[arg(long, allow_negative_numbers = true)]
    limit: Option<f64>,
    /// Return only when so far inside again (不感帯)
    #[arg(long)]
    deadband: Option<f64>,
    /// Must hold so many seconds (発報までの秒数)
    #[arg(long, value_name = "SECONDS")]
    on_delay: Option<f64>,
    /// Must be back so many seconds (復帰までの秒数)
    #[arg(long, value_name = "SECONDS")]
    off_delay: Option<f64>,
    /// Priority (重要度)
    #[arg(long)]
    priority: Option<Priority>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Priority {
    Advisory,
    Warning,
    Critical,
}

#[derive(Debug, Args)]
pub(super) struct PreviewArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    values: Values,
    /// How many days back, 1 to 90 (さかのぼる日数)
    #[arg(long, default_value_t = 30)]
    days: u32,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    values: Values,
    /// Why (変更の理由)
    #[arg(long)]
    reason: String,
    /// Who (変更する人); the user at the terminal when left out
    #[arg(long)]
    by: Option<String>,
}

impl Values {
    fn json(&self) -> Value {
        let priority = self.priority.map(|priority| match priority {
            Priority::Advisory => "advisory",
            Priority::Warning => "warning",
            Priority::Critical => "critical",
        });
        json!({
            "limit": self.limit, "deadband": self.deadband, "on_delay_s": self.on_delay,
            "off_delay_s": self.off_delay, "priority": priority,
        })
    }
}

/// `yagura limit`.
pub(super) async fn run(command: LimitCommand) -> Result<ExitCode, Failure> {
    match command {
        LimitCommand::List(site) => {
            let limits: Vec<Limit> = read(address(&site)?, "/api/v1/limits", None).await?;
            print!("{}", list(&limits));
        }
        LimitCommand::Preview(PreviewArgs { one, values, days }) => {
            let path = format!("/api/v1/limits/{}/preview", one.id);
            let body = json!({ "days": days, "change": values.json() });
            let preview: LimitPreview = read(address(&one.site)?, &path, Some(&body)).await?;
            print!("{}", previewed(&preview));
        }
        LimitCommand::Set(SetArgs {
            one,
            values,
            reason,
            by,
        }) => {
            let path = format!("/api/v1/limits/{}", one.id);
            let by = by.unwrap_or_else(person);
            let body = json!({ "by": by, "reason": reason, "change": values.json() });
            let _: Value = read(address(&one.site)?, &path, Some(&body)).await?;
            println!("変更しました。 Changed: {}", one.id);
        }
        LimitCommand::History(one) => {
            let path = format!("/api/v1/limits/{}/history", one.id);
            let changes: Vec<LimitChange> = read(address(&one.site)?, &path, None).await?;
            print!("{}", history(&changes));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn address(site: &Site) -> Result<SocketAddr, Failure> {
    plan::address(&load::<Real>(&site.config)?)
}

/// Asks the running controller.
async fn read<T: serde::de::DeserializeOwned>(
    addr: SocketAddr,
    path: &str,
    body: Option<&Value>,
) -> Result<T, Failure> {
    let answer = match body {
        Some(body) => http::post(addr, path, body).await,
        None => http::get(addr, path).await,
    };
    let answer = answer.map_err(|error| plan::away(addr, &error))?;
    if answer.status != 200 {
        return Err(Failure::new(Failure::WRONG, answer.problem()));
    }
    serde_json::from_str(&answer.body)
        .map_err(|error| Failure::because(Failure::WRONG, "the answer does not read", &error))
}

fn list(limits: &[Limit]) -> String {
    let rows: Vec<[String; 5]> = limits
        .iter()
        .map(|limit| {
            let changed = limit.changed.as_ref().map_or_else(String::new, |change| {
                let by = change.by.as_deref().unwrap_or_default();
                format!("{} → {} ({by})", limit.written.limit, limit.values.limit)
            });
            [
                limit.id.clone(),
                if limit.side == room::site::Side::High {
                    "≥"
                } else {
                    "≤"
                }
                .to_owned(),
                values(&limit.values, &limit.unit),
                priority(limit.values.priority).to_owned(),
                changed,
            ]
        })
        .collect();
    table::draw(
        [
            "警報 id",
            "側 side",
            "値 values",
            "重要度 priority",
            "変更 changed",
        ],
        &rows,
    )
}

fn values(values: &LimitValues, unit: &str) -> String {
    format!(
        "{} {unit} (±{}) {} s / {} s",
        values.limit, values.deadband, values.on_delay_s, values.off_delay_s
    )
}

const fn priority(priority: room::site::Priority) -> &'static str {
    match priority {
        room::site::Priority::Advisory => "注意 advisory",
        room::site::Priority::Warning => "警告 warning",
        room::site::Priority::Critical => "重大 critical",
    }
}

fn previewed(preview: &LimitPreview) -> String {
    let unit = &preview.unit;
    let row = |name: &str, run: &LimitRun| {
        [
            name.to_owned(),
            format!("{} {unit}", run.limit),
            run.count.to_string(),
            format!("{} min", run.total_s / 60),
            format!("{} min", run.longest_s / 60),
        ]
    };
    let rows = [
        row("変更後 new", &preview.proposed),
        row("現在 now", &preview.present),
    ];
    let heads = ["", "限界値 limit", "回数 alarms", "合計 total", "最長 longest"];
    let mut text = format!("{}\n{}\n\n", preview.summary.ja, preview.summary.en);
    text.push_str(&table::draw(heads, &rows));
    for one in &preview.proposed.last {
        let length = one.lasted_s / 60;
        text.push_str(&format!(
            "  {}  {length} min  {:.1} {unit}\n",
            when(one.raised_ms),
            one.worst
        ));
    }
    text.push_str(&format!("\n{}\n{}\n", preview.hidden.ja, preview.hidden.en));
    text
}

fn history(changes: &[LimitChange]) -> String {
    if changes.is_empty() {
        return "変更はありません。 It was never changed.\n".to_owned();
    }
    let rows: Vec<[String; 5]> = changes
        .iter()
        .map(|change| {
            let after = change.after.as_ref();
            [
                when(change.at_ms),
                change
                    .by
                    .clone()
                    .unwrap_or_else(|| "設定ファイル site file".to_owned()),
                values(&change.before, ""),
                after.map_or_else(|| "-".to_owned(), |after| values(after, "")),
                change.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table::draw(["時刻 when", "誰 by", "前 before", "後 after", "理由 why"], &rows)
}

fn when(wall_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(wall_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.in_tz("Asia/Tokyo").map_or_else(
        |_| at.to_string(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::site::{Label, Side};

    #[test]
    fn limits_changes_and_previews_are_shown_in_words_and_figures() {
        let values = LimitValues {
            limit: 28.0,
            deadband: 0.5,
            on_delay_s: 120.0,
            off_delay_s: 60.0,
            priority: room::site::Priority::Warning,
        };
        let change = LimitChange {
            at_ms: 1_700_000_000_000,
            by: Some("山田".to_owned()),
            reason: Some("夏".to_owned()),
            before: LimitValues {
                limit: 30.0,
                ..values
            },
            after: Some(values),
        };
        let limit = Limit {
            id: "inlet.high".to_owned(),
            point: "inlet".to_owned(),
            label: Label::new("吸気", "inlet"),
            unit: "°C".to_owned(),
            side: Side::High,
            values,
            written: LimitValues {
                limit: 30.0,
                ..values
            },
            action: Label::default(),
            changed: Some(change.clone()),
        };
        let shown = list(&[limit]);
        assert!(shown.contains("28 °C (±0.5) 120 s / 60 s"), "{shown}");
        assert!(shown.contains("30 → 28 (山田)"), "{shown}");
        let edited = LimitChange {
            by: None,
            after: None,
            ..change.clone()
        };
        let shown = history(&[edited, change]);
        assert!(shown.contains("2023-11-15 07:13:20"), "{shown}");
        assert!(shown.contains("site file"), "{shown}");
        assert!(history(&[]).contains("never"));
    }
}

//! `yagura notice list|test|lamp-test`: who is told of alarms, and whether it arrives.
//!
//! It asks the running controller; the command line itself sends nothing to anybody.

use super::plan::{address, away};
use super::{ConfigArg, Failure, http, load, person, table};
use clap::{Args, Subcommand};
use room::site::Real;
use room::snapshot::NoticesView;
use serde_json::json;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// A test call that has not arrived by then is shown as under way: every way was tried by then.
const LONGEST: Duration = Duration::from_secs(180);
/// How often the controller is asked for what became of a test call.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What to do with notices.
#[derive(Debug, Subcommand)]
pub(super) enum NoticeCommand {
    /// Who can be told, by what, who was told, and what could not be told (一覧)
    List(ListArgs),
    /// Call one contact, or all of them, and wait until each was reached or not (試験通報)
    #[command(after_long_help = "Exit codes: 0 everybody was reached, 1 somebody was not.")]
    Test(TestArgs),
    /// Let every light of the signal towers and their buzzers go for ten seconds (ランプ試験)
    LampTest(ConfigArg),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    site: ConfigArg,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    #[command(flatten)]
    site: ConfigArg,
    /// Short name of the contact; left out: all
    #[arg(long)]
    contact: Option<String>,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// `yagura notice`.
pub(super) async fn run(command: NoticeCommand) -> Result<ExitCode, Failure> {
    match command {
        NoticeCommand::List(ListArgs { site, json }) => {
            let notices = asked(addr(&site)?).await?;
            print!("{}", if json { printed(&notices)? } else { shown(&notices) });
            Ok(ExitCode::SUCCESS)
        }
        NoticeCommand::Test(args) => test(args).await,
        NoticeCommand::LampTest(site) => {
            order(addr(&site)?, "/api/v1/notices/lamp-test").await?;
            println!("ランプ試験をしています。 Every light burns for ten seconds.");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn addr(site: &ConfigArg) -> Result<SocketAddr, Failure> {
    address(&load::<Real>(&site.config)?)
}

async fn asked(addr: SocketAddr) -> Result<NoticesView, Failure> {
    let answer = http::get(addr, "/api/v1/notices")
        .await
        .map_err(|error| away(addr, &error))?;
    if answer.status != 200 {
        return Err(Failure::new(Failure::AWAY, answer.problem()));
    }
    serde_json::from_str(&answer.body)
        .map_err(|error| Failure::because(Failure::AWAY, "the controller's answer cannot be read", &error))
}

async fn order(addr: SocketAddr, path: &str) -> Result<(), Failure> {
    let answer = http::post(addr, path, &json!({ "by": person() }))
        .await
        .map_err(|error| away(addr, &error))?;
    match answer.status {
        200 => Ok(()),
        _ => Err(Failure::new(Failure::WRONG, answer.problem())),
    }
}

async fn test(args: TestArgs) -> Result<ExitCode, Failure> {
    let addr = addr(&args.site)?;
    let before = asked(addr).await?;
    let path = match &args.contact {
        Some(contact) => {
            if !before.contacts.iter().any(|row| row.name == *contact) {
                let names: Vec<&str> = before.contacts.iter().map(|row| row.name.as_str()).collect();
                return Err(Failure::new(
                    Failure::WRONG,
                    format!("no contact {contact}; there are: {}", names.join(", ")),
                ));
            }
            format!("/api/v1/notices/contacts/{contact}/test")
        }
        None => "/api/v1/notices/test".to_owned(),
    };
    order(addr, &path).await?;
    let is_called = |name: &str| args.contact.as_ref().is_none_or(|contact| contact == name);
    let mut latest = before.clone();
    let wait = async {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            latest = asked(addr).await?;
            // Core draws a picture a moment later: until then nobody seems to be called.
            let answered = latest
                .contacts
                .iter()
                .zip(&before.contacts)
                .filter(|(row, _)| is_called(&row.name))
                .all(|(row, old)| {
                    !row.called && (row.last_test != old.last_test || failed(&latest, &before, &row.name))
                });
            if answered {
                return Ok::<(), Failure>(());
            }
        }
    };
    if let Ok(result) = tokio::time::timeout(LONGEST, wait).await {
        result?;
    }
    let mut missing = 0;
    let mut rows = Vec::new();
    for (row, old) in latest.contacts.iter().zip(&before.contacts) {
        if !is_called(&row.name) {
            continue;
        }
        let reached = row
            .last_test
            .as_ref()
            .filter(|test| Some(*test) != old.last_test.as_ref());
        missing += usize::from(reached.is_none());
        rows.push([
            row.name.clone(),
            row.label.ja.clone(),
            reached.map_or_else(|| "NOT REACHED".to_owned(), |test| test.notifier.clone()),
            reached.map_or_else(String::new, |test| {
                format!("{}.{:03} s", test.took_ms / 1000, test.took_ms % 1000)
            }),
        ]);
    }
    if args.json {
        print!("{}", printed(&latest)?);
    } else {
        print!(
            "{}",
            table::draw(["contact", "名前", "reached by", "took"], &rows)
        );
    }
    Ok(if missing == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Failure::WRONG)
    })
}

/// A new failure of this contact that is not about an alarm.
fn failed(latest: &NoticesView, before: &NoticesView, contact: &str) -> bool {
    latest
        .failed
        .iter()
        .any(|row| row.contact == contact && row.alarm.is_none() && !before.failed.contains(row))
}

fn printed(notices: &NoticesView) -> Result<String, Failure> {
    serde_json::to_string_pretty(notices)
        .map(|text| text + "\n")
        .map_err(|error| Failure::because(Failure::WRONG, "this cannot be printed as JSON", &error))
}

fn shown(notices: &NoticesView) -> String {
    let mut text = String::new();
    let dash = || "-".to_owned();
    let contacts: Vec<[String; 6]> = notices
        .contacts
        .iter()
        .map(|row| {
            [
                row.name.clone(),
                row.label.ja.clone(),
                if row.on_duty { "on duty" } else { "off duty" }.to_owned(),
                row.deputy.clone().unwrap_or_else(dash),
                row.via.join(" > "),
                row.last_test.as_ref().map_or_else(
                    || "never".to_owned(),
                    |test| format!("{} by {} ({} ms)", time(test.at_ms), test.notifier, test.took_ms),
                ),
            ]
        })
        .collect();
    text += &table::draw(
        ["contact", "名前", "duty", "代理", "via", "last test call"],
        &contacts,
    );
    let notifiers: Vec<[String; 4]> = notices
        .notifiers
        .iter()
        .map(|row| {
            [
                row.name.clone(),
                row.label.ja.clone(),
                row.state.clone(),
                row.problem
                    .as_ref()
                    .map_or_else(dash, |problem| problem.ja.clone()),
            ]
        })
        .collect();
    text += "\n";
    text += &table::draw(["notifier", "名前", "state", "problem"], &notifiers);
    if !notices.told.is_empty() {
        let told: Vec<[String; 5]> = notices
            .told
            .iter()
            .map(|row| {
                [
                    row.alarm.clone(),
                    row.contact.clone(),
                    row.deputy_for
                        .clone()
                        .map_or_else(dash, |absent| format!("代理 {absent}")),
                    format!("{:?}", row.moment).to_lowercase(),
                    format!("{} by {}", time(row.at_ms), row.notifier),
                ]
            })
            .collect();
        text += "\n";
        text += &table::draw(["alarm", "told", "for", "what", "when"], &told);
    }
    for row in &notices.failed {
        let about = row
            .alarm
            .as_ref()
            .map_or(String::new(), |alarm| format!(" of {alarm}"));
        let end = if row.given_up { ", given up" } else { "" };
        text += &format!(
            "\n{} could not be told{about} at {}: {}{end}",
            row.contact,
            time(row.at_ms),
            row.problem
        );
    }
    if !notices.failed.is_empty() {
        text += "\n";
    }
    if let Some(due) = &notices.test_due {
        text += &format!("\n{} / {}\n", due.ja, due.en);
    }
    text
}

/// A moment in UTC, to the second.
fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| ms.to_string(), |at| at.strftime("%F %TZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::site::Label;
    use room::snapshot::{ContactRow, FailedRow, TestRow};

    #[test]
    fn the_list_says_who_can_be_told_and_what_could_not() {
        let notices = NoticesView {
            contacts: vec![ContactRow {
                name: "facilities".into(),
                label: Label::new("施設管理担当", "facilities"),
                on_duty: true,
                deputy: Some("guard".into()),
                via: vec!["mail".into(), "call".into()],
                called: false,
                last_test: Some(TestRow {
                    at_ms: 1_700_000_000_000,
                    by: "root".into(),
                    notifier: "mail".into(),
                    took_ms: 420,
                }),
            }],
            failed: vec![FailedRow {
                at_ms: 1_700_000_000_000,
                contact: "facilities".into(),
                alarm: Some("leak.1.wet".into()),
                problem: "connection refused".into(),
                given_up: false,
            }],
            ..NoticesView::default()
        };
        expect_test::expect![[r#"
            contact     名前          duty     代理   via          last test call
            facilities  施設管理担当  on duty  guard  mail > call  2023-11-14 22:13:20Z by mail (420 ms)

            notifier  名前  state  problem

            facilities could not be told of leak.1.wet at 2023-11-14 22:13:20Z: connection refused
        "#]]
        .assert_eq(&shown(&notices));
    }
}

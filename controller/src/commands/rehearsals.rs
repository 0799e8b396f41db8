//! `yagura plan rehearsals|replay`: what came of rehearsals and drills, and what today's plan would
//! have done in an outage that is in the journal. Both ask the running controller and change nothing.

use super::{Failure, http, load, plan, table};
use clap::Args;
use room::outage::exercise::{Document, Exercise, ExerciseKind};
use room::outage::replay::{Fits, Place, Report};
use room::site::Real;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct RehearsalsArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Run number: one result with every step (番号)
    run: Option<u64>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Write the page to print (HTML) there; needs the number (印刷用)
    #[arg(long, value_name = "FILE", requires = "run")]
    html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Number of the outage; the newest when left out (停電の番号)
    #[arg(long, value_name = "N")]
    outage: Option<u64>,
    /// As if mains had not come back (復電しなかったとして)
    #[arg(long)]
    without_return: bool,
    /// List the recorded outages instead (一覧)
    #[arg(long, conflicts_with_all = ["outage", "without_return"])]
    list: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// `yagura plan rehearsals`.
pub(super) async fn rehearsals(args: RehearsalsArgs) -> Result<ExitCode, Failure> {
    let addr = plan::address(&load::<Real>(&args.config)?)?;
    let Some(run) = args.run else {
        let body = get(addr, "/api/v1/outage/rehearsals").await?;
        if args.json {
            println!("{body}");
        } else {
            print!("{}", list(&read::<Vec<Exercise>>(&body)?));
        }
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(path) = args.html {
        let page = get(addr, &format!("/api/v1/outage/rehearsals/{run}/print")).await?;
        std::fs::write(&path, page).map_err(|error| {
            Failure::because(Failure::START, format!("writing {}", path.display()), &error)
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let body = get(addr, &format!("/api/v1/outage/rehearsals/{run}")).await?;
    if args.json {
        println!("{body}");
    } else {
        print!("{}", words(&read(&body)?));
    }
    Ok(ExitCode::SUCCESS)
}

/// `yagura plan replay`.
pub(super) async fn replay(args: ReplayArgs) -> Result<ExitCode, Failure> {
    let addr = plan::address(&load::<Real>(&args.config)?)?;
    if args.list {
        let body = get(addr, "/api/v1/outage/outages").await?;
        if args.json {
            println!("{body}");
        } else {
            print!("{}", outages(&read::<Vec<Place>>(&body)?));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let outage = args
        .outage
        .map_or_else(String::new, |outage| format!("&outage={outage}"));
    let path = format!(
        "/api/v1/outage/replay?without_return={}{outage}",
        args.without_return
    );
    let body = get(addr, &path).await?;
    let report: Report = read(&body)?;
    if args.json {
        println!("{body}");
    } else {
        println!(
            "停電 outage {}  {}{}",
            report.outage,
            table::time(report.began_ms),
            if report.without_return {
                "  復電なしとして as if mains had not come back"
            } else {
                ""
            }
        );
        print!("{}", report.words());
    }
    Ok(match report.fits {
        Fits::NotNeeded | Fits::Yes => ExitCode::SUCCESS,
        Fits::No => ExitCode::from(Failure::WRONG),
    })
}

async fn get(addr: SocketAddr, path: &str) -> Result<String, Failure> {
    let answer = http::get(addr, path)
        .await
        .map_err(|error| plan::away(addr, &error))?;
    if answer.status != 200 {
        return Err(Failure::new(Failure::WRONG, answer.problem()));
    }
    Ok(answer.body)
}

fn read<T: DeserializeOwned>(body: &str) -> Result<T, Failure> {
    serde_json::from_str(body).map_err(|error| {
        Failure::because(
            Failure::WRONG,
            "the answer of the controller does not read",
            &error,
        )
    })
}

fn what(result: &Exercise) -> String {
    match (result.kind, &result.host) {
        (ExerciseKind::Rehearsal, _) => "予行 rehearsal".to_owned(),
        (ExerciseKind::Drill, host) => format!("訓練 drill {}", host.as_deref().unwrap_or_default()),
    }
}

fn verdict(result: &Exercise) -> String {
    let failed = result.steps.iter().filter(|step| step.state == "failed").count();
    match (&result.broken_off, result.passed) {
        (Some(_), _) => "中断 broken off".to_owned(),
        (None, true) => "合格 passed".to_owned(),
        (None, false) => format!("不合格 failed ({failed})"),
    }
}

fn list(results: &[Exercise]) -> String {
    if results.is_empty() {
        return "予行の記録はありません。 Nothing was rehearsed yet.\n".to_owned();
    }
    let rows: Vec<[String; 6]> = results
        .iter()
        .map(|result| {
            [
                result.run.to_string(),
                table::time(result.began_ms),
                what(result),
                result.by.clone(),
                verdict(result),
                result.plan_hash.chars().take(12).collect(),
            ]
        })
        .collect();
    table::draw(["run", "日時", "種別", "実施者 by", "結果", "plan"], &rows)
}

fn words(document: &Document) -> String {
    let result = &document.result;
    let mut text = format!(
        "{}  {}  {}\n{} – {}   {}\nplan {}\n\n",
        document.document,
        what(result),
        verdict(result),
        table::time(result.began_ms),
        table::time(result.ended_ms),
        result.by,
        result.plan_hash
    );
    let rows: Vec<[String; 5]> = result
        .steps
        .iter()
        .map(|step| {
            [
                step.id.clone(),
                step.action.clone(),
                match step.state.as_str() {
                    "passed" => "合格 passed",
                    "failed" => "不合格 failed",
                    _ => "未実施 not done",
                }
                .to_owned(),
                step.took_s
                    .map_or_else(|| "-".to_owned(), |secs| format!("{secs:.1} s")),
                step.problem
                    .as_ref()
                    .map_or_else(String::new, |problem| problem.en.clone()),
            ]
        })
        .collect();
    text.push_str(&table::draw(["step", "action", "結果", "所要", "問題"], &rows));
    let proof = &document.proof;
    text.push_str(&format!(
        "\n記録 records {}–{}, {}, {}\n",
        proof.first_seq,
        proof.last_seq,
        if proof.intact {
            "連鎖は途切れていない chain intact"
        } else {
            "連鎖が途切れている CHAIN BROKEN"
        },
        proof.last
    ));
    text
}

fn outages(places: &[Place]) -> String {
    if places.is_empty() {
        return "停電の記録はありません。 No outage is recorded.\n".to_owned();
    }
    let rows: Vec<[String; 3]> = places
        .iter()
        .map(|place| {
            [
                place.outage.to_string(),
                table::time(place.began_ms),
                if place.last_seq == 0 {
                    "継続中 goes on".to_owned()
                } else {
                    format!("{} s", (place.ended_ms - place.began_ms) / 1000)
                },
            ]
        })
        .collect();
    table::draw(["停電 outage", "開始", "長さ"], &rows)
}

//! `yagura incident ...`: incidents of the running controller at the terminal.
//!
//! Every order goes to the running controller; `hand-over` fetches what was handed over once more, by
//! the record it rests on, and checks its hash before it writes the file.

use super::{Failure, http, load, person, plan, table};
use clap::{Args, Subcommand};
use room::incident::Nature;
use room::incident::document::Document;
use room::site::Real;
use room::snapshot::Incident;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to do with incidents.
#[derive(Debug, Subcommand)]
pub(super) enum IncidentCommand {
    /// Every incident, newest first (一覧)
    List(ListArgs),
    /// One incident with its alarms and its timeline (内容)
    Show(ShowArgs),
    /// Open an incident by hand (開始)
    Open(OpenArgs),
    /// Write something down (所見)
    Note(NoteArgs),
    /// Say what it is (区分)
    Classify(ClassifyArgs),
    /// Close it with a conclusion; refused while its alarms stand (終結)
    Close(CloseArgs),
    /// Open a closed one again (再開)
    Reopen(ReopenArgs),
    /// Record that its document is given to somebody, and write the document (引き継ぎ)
    HandOver(HandOverArgs),
}

#[derive(Debug, Args)]
pub(super) struct SiteArg {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    site: SiteArg,
    /// Only those that are open (継続中のみ)
    #[arg(long)]
    open: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    site: SiteArg,
    /// Number of the incident (番号)
    incident: u32,
    /// The whole document as JSON
    #[arg(long)]
    json: bool,
    /// Write it there instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct OpenArgs {
    #[command(flatten)]
    site: SiteArg,
    /// intrusion, fire, water, power, environment, equipment, monitoring, drill or other (区分)
    #[arg(long, value_parser = nature)]
    nature: Nature,
    /// In a few words (題名)
    title: String,
}

#[derive(Debug, Args)]
pub(super) struct NoteArgs {
    #[command(flatten)]
    site: SiteArg,
    /// Number of the incident (番号)
    incident: u32,
    /// What to write down (内容)
    text: String,
}

#[derive(Debug, Args)]
pub(super) struct ClassifyArgs {
    #[command(flatten)]
    site: SiteArg,
    /// Number of the incident (番号)
    incident: u32,
    /// A word as for `open`, or `false_alarm` (区分)
    #[arg(value_parser = nature)]
    nature: Nature,
}

#[derive(Debug, Args)]
pub(super) struct CloseArgs {
    #[command(flatten)]
    site: SiteArg,
    /// Number of the incident (番号)
    incident: u32,
    /// What was found and done (結論)
    conclusion: String,
}

#[derive(Debug, Args)]
pub(super) struct ReopenArgs {
    #[command(flatten)]
    site: SiteArg,
    /// Number of the incident (番号)
    incident: u32,
    /// Why (理由)
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct HandOverArgs {
    #[command(flatten)]
    site: SiteArg,
    /// Number of the incident (番号)
    incident: u32,
    /// To whom: CSIRT, a committee, a name (引き継ぎ先)
    #[arg(long)]
    to: String,
    /// Where the document (JSON) is written (出力先)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn nature(word: &str) -> Result<Nature, String> {
    Nature::of(word).ok_or_else(|| {
        let words: Vec<&str> = Nature::ALL.iter().map(|nature| nature.word()).collect();
        format!("one of {}", words.join(", "))
    })
}

/// `yagura incident`.
pub(super) async fn run(command: IncidentCommand) -> Result<ExitCode, Failure> {
    match command {
        IncidentCommand::List(args) => list(args).await?,
        IncidentCommand::Show(args) => show(args).await?,
        IncidentCommand::Open(args) => {
            let body = json!({ "by": person(), "nature": args.nature, "title": args.title });
            let addr = find(&args.site)?;
            post(addr, "/api/v1/incidents", &body).await?;
            if let Some(newest) = incidents(addr).await?.first() {
                println!("{}", newest.number);
            }
        }
        IncidentCommand::Note(args) => {
            let body = json!({ "by": person(), "text": args.text });
            order(&args.site, args.incident, "notes", &body).await?;
        }
        IncidentCommand::Classify(args) => {
            let body = json!({ "by": person(), "nature": args.nature });
            order(&args.site, args.incident, "classify", &body).await?;
        }
        IncidentCommand::Close(args) => {
            let body = json!({ "by": person(), "conclusion": args.conclusion });
            order(&args.site, args.incident, "close", &body).await?;
        }
        IncidentCommand::Reopen(args) => {
            let body = json!({ "by": person(), "reason": args.reason });
            order(&args.site, args.incident, "reopen", &body).await?;
        }
        IncidentCommand::HandOver(args) => hand_over(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let mut rows = incidents(find(&args.site)?).await?;
    rows.retain(|row| row.open || !args.open);
    if args.json {
        return print_json(&json!(rows));
    }
    if rows.is_empty() {
        println!("事案はありません。 There are no incidents.");
        return Ok(());
    }
    let cells: Vec<[String; 7]> = rows
        .iter()
        .map(|row| {
            [
                row.number.clone(),
                if row.open {
                    "継続中 open"
                } else {
                    "終結 closed"
                }
                .to_owned(),
                row.nature.label().ja,
                row.title.ja.clone(),
                table::time(row.opened_ms),
                format!("{}/{}", row.standing, row.alarms.len()),
                row.handed_over
                    .last()
                    .map_or_else(|| "-".to_owned(), |given| given.to.clone()),
            ]
        })
        .collect();
    let heads = [
        "番号",
        "状態",
        "区分",
        "件名",
        "開始",
        "警報 standing",
        "引き継ぎ先",
    ];
    print!("{}", table::draw(heads, &cells));
    Ok(())
}

async fn show(args: ShowArgs) -> Result<(), Failure> {
    let addr = find(&args.site)?;
    let body = get(addr, &format!("/api/v1/incidents/{}", args.incident)).await?;
    let text = if args.json {
        body
    } else {
        let document: Document = serde_json::from_str(&body)
            .map_err(|error| Failure::because(Failure::WRONG, "the document does not read", &error))?;
        in_words(&document)
    };
    match args.out {
        Some(path) => write(&path, text.as_bytes()),
        None => {
            println!("{}", text.trim_end());
            Ok(())
        }
    }
}

fn in_words(document: &Document) -> String {
    let incident = &document.incident;
    let mut text = format!(
        "{}  {}  {}\n{}\n\n",
        incident.number,
        incident.nature.label().ja,
        incident.title.ja,
        incident.conclusion.as_deref().unwrap_or(if incident.open {
            "継続中 open"
        } else {
            "終結 closed"
        })
    );
    let rows: Vec<[String; 3]> = document
        .timeline
        .lines
        .iter()
        .map(|line| {
            [
                table::time(line.at_ms),
                line.text.ja.replace('\n', " "),
                line.by.clone().unwrap_or_default(),
            ]
        })
        .collect();
    text.push_str(&table::draw(["日時 when", "内容 what", "by"], &rows));
    if document.timeline.omitted > 0 {
        text.push_str(&format!(
            "… {} 行を省略 lines left out\n",
            document.timeline.omitted
        ));
    }
    let proof = &document.proof;
    text.push_str(&format!(
        "\n記録 records {}-{}  {}  {}\n",
        proof.first_seq,
        proof.last_seq,
        if proof.intact {
            "連鎖 intact"
        } else {
            "連鎖が途切れている THE CHAIN IS BROKEN"
        },
        proof.last
    ));
    text
}

async fn hand_over(args: HandOverArgs) -> Result<(), Failure> {
    let addr = find(&args.site)?;
    let body = json!({ "by": person(), "to": args.to });
    order(&args.site, args.incident, "hand-over", &body).await?;
    let rows = incidents(addr).await?;
    let given = rows
        .iter()
        .find(|row| row.id == args.incident)
        .and_then(|row| row.handed_over.last())
        .ok_or_else(|| Failure::new(Failure::WRONG, "the hand-over is not in the list"))?;
    let evidence = &given.evidence;
    let path = format!("/api/v1/incidents/{}?upto={}", args.incident, evidence.last_seq);
    let document = get(addr, &path).await?;
    let hash = Sha256::digest(document.as_bytes())
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    if hash != evidence.document {
        return Err(Failure::new(
            Failure::WRONG,
            format!(
                "the document of record {} has another hash than the one recorded ({}); was the site file changed? Hand it over again",
                evidence.last_seq, evidence.document
            ),
        ));
    }
    write(&args.out, document.as_bytes())?;
    println!("{}\nSHA-256 {hash}", args.out.display());
    println!(
        "http://{addr}/api/v1/incidents/{}/print?upto={}",
        args.incident, evidence.last_seq
    );
    Ok(())
}

fn find(site: &SiteArg) -> Result<SocketAddr, Failure> {
    plan::address(&load::<Real>(&site.config)?)
}

async fn incidents(addr: SocketAddr) -> Result<Vec<Incident>, Failure> {
    let body = get(addr, "/api/v1/incidents").await?;
    serde_json::from_str(&body)
        .map_err(|error| Failure::because(Failure::WRONG, "the incidents do not read", &error))
}

async fn get(addr: SocketAddr, path: &str) -> Result<String, Failure> {
    let answer = http::get(addr, path)
        .await
        .map_err(|error| plan::away(addr, &error))?;
    if answer.status == 200 {
        Ok(answer.body)
    } else {
        Err(Failure::new(Failure::WRONG, answer.problem()))
    }
}

async fn order(site: &SiteArg, incident: u32, what: &str, body: &Value) -> Result<(), Failure> {
    post(find(site)?, &format!("/api/v1/incidents/{incident}/{what}"), body).await
}

async fn post(addr: SocketAddr, path: &str, body: &Value) -> Result<(), Failure> {
    let answer = http::post(addr, path, body)
        .await
        .map_err(|error| plan::away(addr, &error))?;
    if answer.status == 200 {
        Ok(())
    } else {
        Err(Failure::new(Failure::WRONG, answer.problem()))
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes)
        .map_err(|error| Failure::because(Failure::START, format!("writing {}", path.display()), &error))
}

fn print_json(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::because(Failure::WRONG, "encoding", &error))?;
    println!("{text}");
    Ok(())
}

//! `yagura card`: which cards were presented and are unknown, and what becomes of those of the register.
//! Card numbers are never shown, and nobody has them.

use super::keep::{self, follow, person_id, shown};
use super::person::day;
use super::{ConfigArg, Failure, http, load, plan, table};
use clap::{Args, Subcommand};
use room::people::{CardRow, Wish};
use room::site::{Real, Site};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Records looked at, from the newest: some days of a small room.
const LOOK_BACK: u64 = 5_000;
/// Most cards shown.
const MAX_SHOWN: usize = 10;
/// The doors are looked at so often
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// until all have confirmed, so often at most when some do not answer.
const LOOKS: usize = 150;

/// What to do with cards.
#[derive(Debug, Subcommand)]
pub(super) enum CardCommand {
    /// Show the unknown cards that were presented last, with the id to register (登録する)
    #[command(
        after_long_help = "Present the card once at a reader, then run this. Give the id to `card issue`, or copy it into the file \
        of cards and start the controller again. A card with a PIN gives two lines: the card alone, and the card with its PIN."
    )]
    Enroll(ConfigArg),
    /// Every card and where it is (一覧)
    List(ConfigArg),
    /// Put a card into the register, under the name written on it (登録)
    Issue(IssueArgs),
    /// Give a card to a person (貸出)
    Lend(LendArgs),
    /// Take a card back, or say that a lost one was found (返却)
    Return(CardArgs),
    /// Stop a lost card, or every card of a person, and wait for the doors (紛失)
    #[command(
        after_long_help = "Names the doors that have confirmed, with the time it took, and those that do not answer: \
        they go on with the list they have until they are reached.\n\
        Exit codes: 0 every door has confirmed, 1 some have not or the order was refused, 3 no controller answers."
    )]
    Lost(LostArgs),
    /// A card does not work any more (破損)
    Broken(CardArgs),
}

#[derive(Debug, Args)]
pub(super) struct IssueArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The name written on the card, e.g. C-012
    card: String,
    /// 16 hex digits, as `yagura card enroll` shows them
    #[arg(long)]
    id: String,
    /// The same for the card with its PIN
    #[arg(long)]
    pin_id: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct LendArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name of the card
    card: String,
    /// Name or id of the person
    #[arg(long)]
    to: String,
    /// The last day on which it works; it stays with them when left out
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    due: Option<u16>,
}

#[derive(Debug, Args)]
pub(super) struct CardArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name of the card
    card: String,
}

#[derive(Debug, Args)]
pub(super) struct LostArgs {
    /// Site file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name or id of the card, or of the person who had it
    what: String,
}

/// `yagura card`.
pub(super) async fn run(command: CardCommand) -> Result<ExitCode, Failure> {
    match command {
        CardCommand::Enroll(ConfigArg { config }) => enroll(&load::<Real>(&config)?).await,
        CardCommand::List(ConfigArg { config }) => list(&load::<Real>(&config)?).await,
        CardCommand::Issue(IssueArgs {
            config,
            card,
            id,
            pin_id,
        }) => one(&load::<Real>(&config)?, Wish::Issue { card, id, pin_id }).await,
        CardCommand::Lend(LendArgs {
            config,
            card,
            to,
            due,
        }) => {
            let site = load::<Real>(&config)?;
            let (rows, names) = keep::register(&site).await?;
            let person = person_id(&rows, &names, &to)?;
            one(&site, Wish::Lend { card, person, due }).await
        }
        CardCommand::Return(CardArgs { config, card }) => {
            one(&load::<Real>(&config)?, Wish::Return { card }).await
        }
        CardCommand::Broken(CardArgs { config, card }) => {
            one(&load::<Real>(&config)?, Wish::Broken { card }).await
        }
        CardCommand::Lost(LostArgs { config, what }) => lost(&load::<Real>(&config)?, &what).await,
    }
}

async fn one(site: &Site<Real>, wish: Wish) -> Result<ExitCode, Failure> {
    follow(site, vec![wish], Vec::new())
        .await
        .map(|()| ExitCode::SUCCESS)
}

async fn list(site: &Site<Real>) -> Result<ExitCode, Failure> {
    let (rows, names) = keep::register(site).await?;
    let cells = rows.cards.iter().map(|row| {
        let state = match row.state.as_str() {
            "spare" => "保管",
            "lent" => "貸出",
            "overdue" => "期限超過(停止)",
            "lost" => "紛失(停止)",
            "broken" => "破損",
            _ => "cards.toml",
        };
        [
            row.card.clone(),
            state.to_owned(),
            row.person
                .as_ref()
                .map_or_else(|| "-".to_owned(), |id| shown(&names, id)),
            if row.since_ms == 0 {
                "-".to_owned()
            } else {
                table::time(row.since_ms)
            },
            row.due.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let heads = [
        "カード card",
        "状態 state",
        "持ち主 holder",
        "いつから since",
        "返却期限 due",
    ];
    print!("{}", table::draw(heads, &cells.collect::<Vec<_>>()));
    Ok(ExitCode::SUCCESS)
}

/// Stops the card, then tells of every door how far it is.
async fn lost(site: &Site<Real>, what: &str) -> Result<ExitCode, Failure> {
    let (rows, names) = keep::register(site).await?;
    // A name of a person is looked up; a card's name or id goes as it is.
    let card = if rows.cards.iter().any(|row| row.card == what) {
        what.to_owned()
    } else {
        person_id(&rows, &names, what).unwrap_or_else(|_| what.to_owned())
    };
    let before: Vec<&String> = rows
        .cards
        .iter()
        .filter(|row| row.state == "lost")
        .map(|row| &row.card)
        .collect();
    follow(site, vec![Wish::Lost { card }], Vec::new()).await?;
    let mut told: Vec<(String, String)> = Vec::new();
    for look in 0..LOOKS {
        let (now, _) = keep::register(site).await?;
        let stopped = |row: &&CardRow| row.state == "lost" && !before.contains(&&row.card);
        let doors: Vec<_> = now
            .cards
            .iter()
            .filter(stopped)
            .flat_map(|row| row.doors.iter().map(|door| (row.card.clone(), door.clone())))
            .collect();
        for (card, door) in &doors {
            let key = (card.clone(), door.portal.clone());
            if let (Some(after_ms), false) = (door.after_ms, told.contains(&key)) {
                let secs = std::time::Duration::from_millis(after_ms).as_secs_f64();
                println!(
                    "{card} {}: 停止を確認 {secs:.1} 秒 / stopped after {secs:.1} s",
                    door.portal
                );
                told.push(key);
            }
        }
        let mut open = doors
            .iter()
            .filter(|(_, door)| door.after_ms.is_none())
            .peekable();
        if open.peek().is_none() {
            println!("すべての扉で停止しました。 Stopped at every door.");
            return Ok(ExitCode::SUCCESS);
        }
        let all_away = open.clone().all(|(_, door)| !door.heard);
        if all_away || look + 1 == LOOKS {
            for (card, door) in open {
                let why = if door.heard {
                    "未確認 not confirmed yet"
                } else {
                    "端末が応答しない（つながり次第停止） its node does not answer; stopped as soon as it does"
                };
                println!("{card} {}: {why}", door.portal);
            }
            return Ok(ExitCode::from(Failure::WRONG));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(ExitCode::from(Failure::WRONG))
}

async fn enroll(site: &Site<Real>) -> Result<ExitCode, Failure> {
    let addr = plan::address(site)?;
    let away = |error: std::io::Error| plan::away(addr, &error);
    // The newest record is found from the end: the journal of years is not read for ten cards.
    let newest = newest(addr).await.map_err(away)?;
    let after = newest.saturating_sub(LOOK_BACK);
    let answer = http::get(addr, &format!("/api/v1/records?after={after}&limit={LOOK_BACK}"))
        .await
        .map_err(away)?;
    if answer.status != 200 {
        return Err(Failure::new(Failure::WRONG, answer.problem()));
    }
    let records: Value = serde_json::from_str(&answer.body)
        .map_err(|error| Failure::because(Failure::WRONG, "the records do not read", &error))?;
    let rows = unknown(&records, site);
    if rows.is_empty() {
        println!("未登録のカードはかざされていません。 No unknown card was presented lately.");
        return Ok(ExitCode::SUCCESS);
    }
    print!(
        "{}",
        table::draw(["時刻 when", "端末 node", "種別 kind", "id"], &rows)
    );
    println!("\n登録: yagura card issue --config ... C-012 --id ID / register it with `card issue`.");
    if let Some(file) = &site.access.cards_file {
        println!(
            "または id を {} に書き、controller を再起動してください。",
            file.display()
        );
        println!("Or write the id into that file and start the controller again.");
    }
    Ok(ExitCode::SUCCESS)
}

/// The number of the newest record, by halving: about twice as many small questions as it has bits.
async fn newest(addr: std::net::SocketAddr) -> std::io::Result<u64> {
    let is_beyond = async |after: u64| {
        let answer = http::get(addr, &format!("/api/v1/records?after={after}&limit=1")).await?;
        let rows: Value = serde_json::from_str(&answer.body)?;
        std::io::Result::Ok(rows.as_array().is_none_or(Vec::is_empty))
    };
    let (mut low, mut high) = (0, 1_024);
    while !is_beyond(high).await? {
        low = high;
        high *= 2;
    }
    while high - low > LOOK_BACK / 4 {
        let middle = low + (high - low) / 2;
        if is_beyond(middle).await? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}

/// The unknown cards of these records, the newest first, each once.
fn unknown(records: &Value, site: &Site<Real>) -> Vec<[String; 4]> {
    let mut rows: Vec<[String; 4]> = Vec::new();
    for record in records.as_array().into_iter().flatten().rev() {
        let event = &record["event"];
        let asks = ["unknown", "pin_wrong"].contains(&event["decision"].as_str().unwrap_or_default());
        if event["event"] != "credential" || !asks {
            continue;
        }
        let id = event["card"].as_str().unwrap_or_default().to_owned();
        let known = site.nodes.iter().find(|node| record["node"] == node.id);
        let what = match (event["decision"].as_str(), event["credential"].as_str()) {
            (Some("pin_wrong"), _) => "card with PIN",
            (_, Some("felica")) => "FeliCa",
            _ => "Type A",
        };
        if rows.iter().any(|row| row[3] == id) {
            continue;
        }
        rows.push([
            when(record["wall_ms"].as_i64().unwrap_or_default()),
            known.map_or_else(|| record["node"].to_string(), |node| node.name.clone()),
            what.to_owned(),
            id,
        ]);
        if rows.len() == MAX_SHOWN {
            break;
        }
    }
    rows
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
    use serde_json::json;

    #[test]
    fn unknown_cards_are_shown_once_the_newest_first_and_known_ones_never() {
        let text = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../deploy/example/site.toml"
        ));
        let site = room::site::parse::real(&text.unwrap(), std::path::Path::new("/etc/yagura")).unwrap();
        let record = |seq: u64, card: &str, decision: &str| {
            json!({ "seq": seq, "wall_ms": seq * 1000, "kind": "node_event", "node": 1,
                "event": { "event": "credential", "reader": 0, "credential": "type_a", "card": card, "decision": decision, "list": 3 } })
        };
        let records = json!([
            record(1, "aaaa", "unknown"),
            record(2, "bbbb", "granted"),
            { "seq": 3, "wall_ms": 3000, "kind": "alarm_raised" },
            record(4, "cccc", "pin_wrong"),
            record(5, "aaaa", "unknown"),
        ]);
        let rows = unknown(&records, &site);
        let shown: Vec<(&str, &str)> = rows
            .iter()
            .map(|row| (row[2].as_str(), row[3].as_str()))
            .collect();
        assert_eq!(shown, [("Type A", "aaaa"), ("card with PIN", "cccc")]);
        assert_eq!(
            (rows[0][0].as_str(), rows[0][1].as_str()),
            ("1970-01-01 09:00:05", "node-1")
        );
        assert!(unknown(&json!([]), &site).is_empty());
    }
}

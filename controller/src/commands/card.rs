//! `yagura card enroll`: which cards were presented and are unknown, so that one of them can be
//! written into the file of cards. Card numbers are never shown, and nobody has them.

use super::{ConfigArg, Failure, http, load, plan, table};
use clap::Subcommand;
use room::site::{Real, Site};
use serde_json::Value;
use std::process::ExitCode;

/// Records looked at, from the newest: some days of a small room.
const LOOK_BACK: u64 = 5_000;
/// Most cards shown.
const MAX_SHOWN: usize = 10;

/// What to do with cards.
#[derive(Debug, Subcommand)]
pub(super) enum CardCommand {
    /// Show the unknown cards that were presented last, with the id to write into the file of cards (登録する)
    #[command(
        after_long_help = "Present the card once at a reader, then run this. Copy the id into the file of cards and start the \
        controller again. A card with a PIN gives two lines: the card alone, and the card with its PIN."
    )]
    Enroll(ConfigArg),
}

/// `yagura card`.
pub(super) async fn run(command: CardCommand) -> Result<ExitCode, Failure> {
    let CardCommand::Enroll(ConfigArg { config }) = command;
    let site = load::<Real>(&config)?;
    let addr = plan::address(&site)?;
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
    let rows = unknown(&records, &site);
    if rows.is_empty() {
        println!("未登録のカードはかざされていません。 No unknown card was presented lately.");
        return Ok(ExitCode::SUCCESS);
    }
    print!(
        "{}",
        table::draw(["時刻 when", "端末 node", "種別 kind", "id"], &rows)
    );
    if let Some(file) = &site.access.cards_file {
        println!(
            "\nid を {} に書き、controller を再起動してください。",
            file.display()
        );
        println!("Write the id into that file and start the controller again.");
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

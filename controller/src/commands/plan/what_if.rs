//! `yagura plan what-if`: who runs on, who lives how long and who dies if a feed were lost now.
//!
//! The running controller answers, from what its UPSes and PDUs say at this moment.

use super::{address, away, clock};
use crate::commands::{Failure, http, load, table};
use clap::Args;
use room::outage::WhatIf;
use room::outage::what_if::{Fate, FateWord};
use room::site::Real;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is asked.
#[derive(Debug, Args)]
pub(in crate::commands) struct WhatIfArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What is lost: a UPS, PDU or ATS, an outlet that feeds a host (pdu-1/3), or mains (失うもの)
    #[arg(long, value_name = "NAME", required = true)]
    lose: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Asks and prints.
pub(super) async fn run(args: WhatIfArgs) -> Result<ExitCode, Failure> {
    let addr = address(&load::<Real>(&args.config)?)?;
    let lose: Vec<String> = args
        .lose
        .iter()
        .map(|name| format!("lose={}", escaped(name)))
        .collect();
    let answer = http::get(addr, &format!("/api/v1/power/what-if?{}", lose.join("&")))
        .await
        .map_err(|error| away(addr, &error))?;
    if answer.status != 200 {
        return Err(Failure::new(Failure::WRONG, answer.problem()));
    }
    let fates: WhatIf = serde_json::from_str(&answer.body)
        .map_err(|error| Failure::because(Failure::WRONG, "the answer does not read", &error))?;
    if args.json {
        println!("{}", answer.body);
    } else {
        print!("{}", words(&fates));
    }
    let dies = |fate: &Fate| matches!(fate.fate, FateWord::Dies | FateWord::Unknown);
    let fits = fates.plan.as_ref().is_none_or(|plan| plan.fits);
    Ok(if fits && !fates.hosts.iter().any(dies) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Failure::WRONG)
    })
}

/// Bytes that a query may not hold as they are.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn words(fates: &WhatIf) -> String {
    let mut text = format!("失うもの lost: {}\n\n", fates.lost.join(", "));
    let time = |secs: Option<f64>| secs.map_or_else(|| "-".to_owned(), |secs| clock(secs.round()));
    let rows: Vec<[String; 6]> = fates
        .hosts
        .iter()
        .map(|fate| {
            [
                fate.host.clone(),
                fate.label.ja.clone(),
                format!("{}/{}", fate.feeds_left, fate.feeds),
                becomes(fate),
                time(fate.stops_in_s),
                time(fate.stopped_in_s),
            ]
        })
        .collect();
    let heads = [
        "host",
        "名前",
        "feeds",
        "結果 result",
        "停止開始 stops in",
        "停止完了 stopped in",
    ];
    text.push_str(&table::draw(heads, &rows));
    text.push('\n');
    match &fates.plan {
        None => text.push_str("計画は始まりません。 The plan would not start.\n"),
        Some(plan) => {
            let (starts, ends) = (clock(plan.starts_in_s.round()), clock(plan.ends_in_s.round()));
            text.push_str(&format!(
                "計画は {starts} 後に始まり、遅くとも {ends} 後に終わります。 The plan would start in {starts} and end in {ends} at the latest.\n"
            ));
            text.push_str(&if plan.fits {
                "電池の時間内に終わります。 It fits into the batteries.\n".to_owned()
            } else {
                let late = plan.too_late.join(", ");
                format!("間に合わないサーバー: {late}  Too late for: {late}\n")
            });
        }
    }
    text
}

fn becomes(fate: &Fate) -> String {
    match (fate.fate, fate.lives_s, &fate.battery) {
        (FateWord::Runs, ..) => "動作継続 runs on".to_owned(),
        (FateWord::Dies, ..) => "ただちに停止 dies at once".to_owned(),
        (FateWord::Battery, Some(secs), Some(ups)) => {
            let time = clock(secs.round());
            format!("{ups} の電池で {time} on the battery of {ups}")
        }
        _ => "不明 unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::outage::what_if::PlanFate;
    use room::site::Label;

    fn fate(host: &str, fate: FateWord, left: usize, feeds: usize) -> Fate {
        Fate {
            host: host.into(),
            label: Label::new("業務", host),
            fate,
            feeds_left: left,
            feeds,
            need: 1,
            lives_s: None,
            battery: None,
            stops_in_s: None,
            stopped_in_s: None,
        }
    }

    #[test]
    fn the_answer_reads_as_a_table_and_two_sentences() {
        let mut db1 = fate("db1", FateWord::Battery, 1, 2);
        db1.lives_s = Some(725.4);
        db1.battery = Some("ups-b".into());
        (db1.stops_in_s, db1.stopped_in_s) = (Some(300.0), Some(600.0));
        let fates = WhatIf {
            lost: vec!["ups-a".into(), "mains".into()],
            hosts: vec![
                fate("app1", FateWord::Runs, 2, 2),
                db1,
                fate("nas1", FateWord::Dies, 0, 1),
                fate("vm1", FateWord::Unknown, 0, 1),
            ],
            plan: Some(PlanFate {
                starts_in_s: 300.0,
                ends_in_s: 600.0,
                fits: true,
                too_late: Vec::new(),
                stops: vec!["db1".into()],
            }),
        };
        let expected = "\
失うもの lost: ups-a, mains

host  名前  feeds  結果 result                                  停止開始 stops in  停止完了 stopped in
app1  業務  2/2    動作継続 runs on                             -                  -
db1   業務  1/2    ups-b の電池で 12:05 on the battery of ups-b  5:00               10:00
nas1  業務  0/1    ただちに停止 dies at once                    -                  -
vm1   業務  0/1    不明 unknown                                 -                  -

計画は 5:00 後に始まり、遅くとも 10:00 後に終わります。 The plan would start in 5:00 and end in 10:00 at the latest.
電池の時間内に終わります。 It fits into the batteries.
";
        let squeezed = |text: &str| -> Vec<String> {
            let lines = text.lines();
            lines
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect()
        };
        assert_eq!(squeezed(&words(&fates)), squeezed(expected));
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_the_address() {
        assert_eq!(escaped("pdu-1/3"), "pdu-1/3");
        assert_eq!(escaped("a&b c"), "a%26b%20c");
    }
}

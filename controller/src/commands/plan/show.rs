//! `yagura plan show`: the plan of a site file as a table, with what the running controller has
//! learnt about each step, when one runs and its plan is the same.

use super::super::{Failure, http, load, table};
use super::address;
use clap::Args;
use room::outage::Outage;
use room::plan::{Plan, action_kind};
use room::site::{Host, OnFailure, Real, Site};
use room::snapshot::{Power, Snapshot};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(in crate::commands) struct ShowArgs {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// `yagura plan show`.
pub(super) async fn run(args: ShowArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.config)?;
    let rows = rows(&site, heard(&site).await.as_ref())?;
    if args.json {
        println!("{}", rows.json());
    } else {
        print!("{}", rows.text(&site));
    }
    Ok(ExitCode::SUCCESS)
}

/// The plan of the site file as text, for those who are about to start it.
pub(super) fn text(site: &Site<Real>) -> Result<String, Failure> {
    Ok(rows(site, None)?.text(site))
}

/// The power as the running controller shows it; the table is complete without it.
async fn heard(site: &Site<Real>) -> Option<Power> {
    let addr = address(site).ok()?;
    let answer = http::get(addr, "/api/v1/snapshot").await.ok()?;
    let snapshot: Snapshot = serde_json::from_str(&answer.body).ok()?;
    let mut power = snapshot.power;
    // The plan of a simulated room has a hash of its own; this file says nothing of that.
    let plan = Plan::new(site).ok()?;
    let alike = power.steps.len() == plan.steps().len()
        && power.steps.iter().all(|live| plan.step(&live.id).is_some());
    if snapshot.simulated && alike {
        power.plan_hash = Some(plan.hash().to_owned());
    }
    Some(power)
}

/// The plan with everything that is shown of it.
struct Rows {
    hash: String,
    total_s: f64,
    step_times: String,
    /// The controller runs with another plan than the site file says.
    other_plan: bool,
    steps: Vec<Row>,
    /// What is told once every server is off.
    end: Value,
}

struct Row {
    id: String,
    label: room::site::Label,
    after: Vec<String>,
    /// Kinds of action: to stop, to force, to start.
    actions: [Option<String>; 3],
    starts_s: f64,
    planned_s: f64,
    latest_end_s: f64,
    budget_s: f64,
    learnt: Option<(f64, u32)>,
    if_it_fails: &'static str,
    /// It is stopped early, after so long on battery.
    shed_after_s: Option<f64>,
}

fn rows(site: &Site<Real>, power: Option<&Power>) -> Result<Rows, Failure> {
    let plan = Plan::new(site).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        Failure::new(Failure::WRONG, format!("the site has no plan:{}", lines.concat()))
    })?;
    let same = power.filter(|power| power.plan_hash.as_deref() == Some(plan.hash()));
    let steps = plan
        .steps()
        .iter()
        .zip(plan.schedule())
        .filter_map(|(step, slot)| {
            let host = site.hosts.iter().find(|host| host.name == step.id)?;
            let live = same.and_then(|power| power.steps.iter().find(|live| live.id == step.id));
            Some(Row {
                id: step.id.clone(),
                label: step.label.clone(),
                after: step.after.clone(),
                actions: actions(host),
                starts_s: live.map_or(slot.start.as_secs_f64(), |live| live.starts_at_s),
                planned_s: live.map_or(slot.length.as_secs_f64(), |live| live.planned_s),
                latest_end_s: live
                    .and_then(|live| live.latest_end_s)
                    .unwrap_or_else(|| slot.end().as_secs_f64()),
                budget_s: step.budget.as_secs_f64(),
                learnt: live.and_then(|live| Some((live.learnt_s?, live.learnt_n))),
                if_it_fails: match step.on_failure {
                    OnFailure::GoOn => "go on",
                    OnFailure::Hold => "hold",
                    OnFailure::Force => "force",
                },
                shed_after_s: step.shed_after.map(|after| after.as_secs_f64()),
            })
        });
    let mut steps: Vec<Row> = steps.collect();
    steps.sort_by(|a, b| a.starts_s.total_cmp(&b.starts_s).then_with(|| a.id.cmp(&b.id)));
    Ok(Rows {
        hash: plan.hash().to_owned(),
        total_s: steps.iter().map(|step| step.latest_end_s).fold(0.0, f64::max),
        step_times: same.map_or_else(|| "budget".to_owned(), |power| power.step_times.clone()),
        other_plan: power.is_some() && same.is_none(),
        steps,
        end: end_json(site),
    })
}

/// What loses its power with a UPS: the servers of the plan, and the boxes that hand its power on.
fn lose_power(site: &Site<Real>, ups: &str) -> (Vec<String>, Vec<String>) {
    let outage = Outage::new(site).ok();
    let fed = site.hosts.iter().filter(|host| {
        let upses = outage.as_ref().map(|outage| outage.upses_of(&host.name));
        upses.unwrap_or_default().contains(&ups)
    });
    let hosts = fed.map(|host| host.name.clone()).collect();
    let is_ups = |feed: &String| feed.split('/').next() == Some(ups);
    let boxes = site
        .branches
        .iter()
        .filter(|branch| branch.fed_by.iter().any(is_ups));
    (hosts, boxes.map(|branch| branch.device.clone()).collect())
}

fn end_json(site: &Site<Real>) -> Value {
    let Some(finish) = &site.finish else {
        return Value::Null;
    };
    let cuts = finish.cuts.iter().map(|cut| {
        let (hosts, boxes) = lose_power(site, &cut.ups);
        json!({
            "ups": cut.ups,
            "command": room::site::finish::COMMAND,
            "delay_s": cut.delay.as_secs_f64(),
            "hosts": hosts,
            "devices": boxes,
            "also": cut.also,
        })
    });
    let own = finish
        .controller
        .as_ref()
        .map(|own| json!({ "program": own.program, "args": own.args, "budget_s": own.budget.as_secs_f64() }));
    json!({
        "ups": cuts.collect::<Vec<_>>(),
        "may_run": finish.may_run,
        "controller": own,
    })
}

fn end_text(site: &Site<Real>) -> String {
    let Some(finish) = &site.finish else {
        return String::new();
    };
    let mut text =
        "最後に end: すべての停止を確認し、停電が続いているとき when every server is confirmed off \
                    and the outage stands\n"
            .to_owned();
    for cut in &finish.cuts {
        let (hosts, boxes) = lose_power(site, &cut.ups);
        let lost: Vec<String> = hosts.into_iter().chain(boxes).chain(cut.also.clone()).collect();
        text.push_str(&format!(
            "  {}: {}、{} 後に出力を切る off after {}\n    給電が止まる loses power: {}; \
             ここに書かれていない機器も止まる and whatever else hangs on it\n",
            cut.ups,
            room::site::finish::COMMAND,
            clock(cut.delay.as_secs_f64()),
            clock(cut.delay.as_secs_f64()),
            lost.join(", "),
        ));
    }
    for host in &finish.may_run {
        text.push_str(&format!(
            "  {host}: 停止を確認できなくても切る its power is cut even when it is not confirmed off\n"
        ));
    }
    text.push_str(&match &finish.controller {
        Some(own) => format!(
            "  監視装置 the controller's machine, last: {} {}（最長 {} at most）\n",
            own.program.display(),
            own.args.join(" "),
            clock(own.budget.as_secs_f64())
        ),
        None => "  監視装置は止めない。UPS が切れると電源を失うことがある the controller's machine is not stopped; \
                 it loses its power if it hangs on one of these\n"
            .to_owned(),
    });
    text
}

fn actions(host: &Host<Real>) -> [Option<String>; 3] {
    [
        Some(action_kind(&host.action)),
        host.force.as_ref().map(action_kind),
        host.start.as_ref().map(|start| action_kind(&start.action)),
    ]
}

impl Rows {
    fn text(&self, site: &Site<Real>) -> String {
        if self.steps.is_empty() {
            return "停止するサーバーはありません。 This site has no servers to stop ([[host]]).\n"
                .to_owned();
        }
        let rows: Vec<[String; 10]> = self.steps.iter().map(Row::cells).collect();
        let heads = [
            "step",
            "名前",
            "after",
            "開始 start",
            "計画 planned",
            "実測 p95 (n)",
            "予算 budget",
            "戻れない no return",
            "停止/強制/起動 actions",
            "失敗時 if it fails",
        ];
        let mut text = table::draw(heads, &rows);
        text.push_str(&format!(
            "\n合計 total {}   {} steps   plan {}\n",
            clock(self.total_s),
            self.steps.len(),
            self.hash
        ));
        for step in &self.steps {
            if let Some(after) = step.shed_after_s {
                let after = clock(after);
                text.push_str(&format!(
                    "* {} は停電 {after} で先に停止 is stopped early, after {after} on battery\n",
                    step.id
                ));
            }
        }
        if self.step_times == "learnt" {
            text.push_str(
                "計画は実測の時間による。合計は、一続きの停止のうち1台が予算いっぱいかかる場合。\n\
                 planned by learnt times; the total is reckoned with one step of a chain taking its whole budget\n",
            );
        }
        text.push_str(
            "戻れない時点: サーバーが停止要求を受け付けたとき（早くてこの時刻）。 \
             No return: when the server has accepted the request, at this time at the earliest.\n",
        );
        if self.other_plan {
            text.push_str(
                "監視装置は別の計画で動いています。実測は表示しません。 \
                 The controller runs with another plan than this file; what it learnt is not shown.\n",
            );
        }
        text.push_str(&end_text(site));
        if let Some(policy) = &site.outage {
            text.push_str(&format!(
                "開始 starts: when the usable runtime falls to the total and a reserve of {}, at a charge of {} %, \
                 or after {} on battery; outages shorter than {} are ridden through\n",
                clock(policy.reserve.as_secs_f64()),
                policy.start_at_charge,
                clock(policy.longest_on_battery.as_secs_f64()),
                clock(policy.on_battery_delay.as_secs_f64()),
            ));
        }
        text
    }

    fn json(&self) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| {
                let [stop, force, start] = &step.actions;
                json!({
                    "id": step.id,
                    "label": step.label,
                    "after": step.after,
                    "actions": { "stop": stop, "force": force, "start": start },
                    "starts_at_s": step.starts_s,
                    "planned_s": step.planned_s,
                    "latest_end_s": step.latest_end_s,
                    "budget_s": step.budget_s,
                    "learnt_s": step.learnt.map(|(secs, _)| secs),
                    "learnt_n": step.learnt.map_or(0, |(_, count)| count),
                    "if_it_fails": step.if_it_fails,
                    "shed_after_s": step.shed_after_s,
                })
            })
            .collect();
        json!({
            "plan_hash": self.hash,
            "total_s": self.total_s,
            "step_times": self.step_times,
            "steps": steps,
            "end": self.end,
        })
    }
}

impl Row {
    fn cells(&self) -> [String; 10] {
        let [stop, force, start] = &self.actions;
        let kind = |kind: &Option<String>| kind.clone().unwrap_or_else(|| "-".to_owned());
        [
            match self.shed_after_s {
                Some(_) => format!("{} *", self.id),
                None => self.id.clone(),
            },
            self.label.ja.clone(),
            if self.after.is_empty() {
                "-".to_owned()
            } else {
                self.after.join(", ")
            },
            clock(self.starts_s),
            clock(self.planned_s),
            self.learnt.map_or_else(
                || "-".to_owned(),
                |(secs, count)| format!("{} ({count})", clock(secs)),
            ),
            clock(self.budget_s),
            clock(self.starts_s),
            format!("{}/{}/{}", kind(stop), kind(force), kind(start)),
            self.if_it_fails.to_owned(),
        ]
    }
}

/// Minutes and seconds, with tenths only where they are not zero.
pub(super) fn clock(secs: f64) -> String {
    let minutes = (secs / 60.0).floor();
    let rest = secs - minutes * 60.0;
    if (rest - rest.round()).abs() < 0.05 {
        format!("{minutes:.0}:{rest:02.0}")
    } else {
        format!("{minutes:.0}:{rest:04.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::site::parse;
    use std::path::Path;

    fn example() -> Site<Real> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/example/site.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        parse::real(&text, path.parent().unwrap()).unwrap()
    }

    #[test]
    fn the_example_site_has_a_plan_to_show() {
        let site = example();
        let table = rows(&site, None).unwrap().text(&site);
        for host in &site.hosts {
            assert!(
                table.lines().any(|line| line.starts_with(&host.name)),
                "{} is missing:\n{table}",
                host.name
            );
        }
        assert!(table.contains("total"), "{table}");
        // What the site says loses its power, and what the graph knows.
        let end = table.lines().find(|line| line.contains("loses power")).unwrap();
        assert!(
            end.contains("コアスイッチ") && end.contains("whatever else"),
            "{table}"
        );
    }

    #[test]
    fn what_was_learnt_is_shown_only_of_the_same_plan() {
        let site = example();
        let plan = Plan::new(&site).unwrap();
        let step = &plan.steps()[0];
        let mut power = Power {
            plan_hash: Some(plan.hash().to_owned()),
            step_times: "learnt".into(),
            ..Power::default()
        };
        let live = json!({
            "id": step.id, "label": step.label, "after": [], "action": "ssh", "starts_at_s": 0.0,
            "planned_s": 50.0, "learnt_s": 40.0, "learnt_n": 7, "budget_s": 180.0, "state": "waiting",
        });
        power.steps.push(serde_json::from_value(live).unwrap());
        let shown = rows(&site, Some(&power)).unwrap();
        assert!(shown.text(&site).contains("0:40 (7)"), "{}", shown.text(&site));
        let found = shown.json()["steps"].as_array().unwrap().clone();
        let found = found.iter().find(|row| row["id"] == json!(step.id)).unwrap();
        assert_eq!(
            (found["learnt_s"].as_f64(), found["planned_s"].as_f64()),
            (Some(40.0), Some(50.0))
        );
        power.plan_hash = Some("another".into());
        let shown = rows(&site, Some(&power)).unwrap();
        assert!(shown.other_plan && !shown.text(&site).contains("0:40 (7)"));
    }

    #[test]
    fn spans_read_as_minutes_and_seconds() {
        for (secs, expected) in [
            (0.0, "0:00"),
            (59.0, "0:59"),
            (90.0, "1:30"),
            (600.0, "10:00"),
            (1.5, "0:01.5"),
        ] {
            assert_eq!(clock(secs), expected);
        }
    }
}

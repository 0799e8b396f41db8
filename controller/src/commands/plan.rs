//! `yagura plan show|what-if|rehearse`: what the shutdown plan is, and whether it would work.
//!
//! `show` reads the site file alone. `rehearse` asks the running controller, which logs in to
//! every server of the plan and stops none; it never touches a server itself.

mod what_if;

use super::operator;
use super::role::Role;
use super::{ConfigArg, Failure, http, load, page, person, table};
use crate::listen;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use room::plan::Plan;
use room::site::{OnFailure, Real, Site};
use room::snapshot::{Run, Snapshot, Step};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::timeout;

/// What a rehearsal may take beyond the budgets of its steps.
const SPARE: Duration = Duration::from_secs(60);

const OPERATORS: &str = "\
For root and for those named in [operators] of the site, on the controller's own machine; nothing on the \
network can do it. What is done is in the journal with the user's name and number.
Exit codes: 0 done, 1 refused, 3 no controller answers.";

/// What to do with the plan.
#[derive(Debug, Subcommand)]
pub(super) enum PlanCommand {
    /// Print the plan of a site file: which server stops when (表にする)
    Show(ConfigArg),
    /// Who runs on and who dies if a UPS, a PDU or the mains were lost now (失ったときの影響)
    #[command(after_long_help = "The running controller answers; nothing is changed.\n\
        Exit codes: 0 nobody dies and the plan fits, 1 somebody dies or is unknown, or the name is wrong, 3 no controller answers.")]
    WhatIf(what_if::WhatIfArgs),
    /// Stop servers now, by the plan (停止を始める)
    #[command(after_long_help = OPERATORS)]
    Run(operator::RunArgs),
    /// Go no further with the run that is under way (中止)
    #[command(after_long_help = OPERATORS)]
    Abort(operator::AbortArgs),
    /// Order nothing new for a while; ends by itself (一時停止)
    #[command(after_long_help = OPERATORS)]
    Pause(operator::PauseArgs),
    /// End a pause (再開)
    #[command(after_long_help = OPERATORS)]
    Resume(ConfigArg),
    /// Leave a server as it is; nothing waits for it any more (飛ばす)
    #[command(after_long_help = OPERATORS)]
    Skip(operator::SkipArgs),
    /// Agree to the order of another person (二人目の確認)
    #[command(after_long_help = OPERATORS)]
    Confirm(operator::ConfirmArgs),
    /// Log in to every server of the plan and stop none (予行演習)
    #[command(
        after_long_help = "The running controller does it, with its own keys, and keeps the result in its journal.\n\
        Exit codes: 0 every step passed, 1 a step failed or the controller refused, 3 no controller answers."
    )]
    Rehearse(ConfigArg),
}

/// `yagura plan`.
pub(super) async fn run(command: PlanCommand) -> Result<ExitCode, Failure> {
    match command {
        PlanCommand::Show(ConfigArg { config }) => {
            let site = load::<Real>(&config)?;
            print!("{}", show(&site)?);
            Ok(ExitCode::SUCCESS)
        }
        PlanCommand::WhatIf(args) => what_if::run(args).await,
        PlanCommand::Run(args) => {
            let site = load::<Real>(args.config())?;
            print!("{}", show(&site)?);
            operator::run(&site, args).await
        }
        PlanCommand::Abort(args) => operator::abort(args).await,
        PlanCommand::Pause(args) => operator::pause(args).await,
        PlanCommand::Resume(ConfigArg { config }) => operator::resume(&config).await,
        PlanCommand::Skip(args) => operator::skip(args).await,
        PlanCommand::Confirm(args) => operator::confirm(args).await,
        PlanCommand::Rehearse(ConfigArg { config }) => {
            let site = load::<Real>(&config)?;
            let addr = address(&site)?;
            rehearse(addr).await
        }
    }
}

/// The plan as a table.
fn show(site: &Site<Real>) -> Result<String, Failure> {
    let plan = Plan::new(site).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        Failure::new(Failure::WRONG, format!("the site has no plan:{}", lines.concat()))
    })?;
    if plan.steps().is_empty() {
        return Ok(
            "停止するサーバーはありません。 This site has no servers to stop ([[host]]).\n".to_owned(),
        );
    }
    let mut rows: Vec<_> = plan.steps().iter().zip(plan.schedule()).collect();
    rows.sort_by(|(a, at), (b, bt)| at.start.cmp(&bt.start).then_with(|| a.id.cmp(&b.id)));
    let rows: Vec<[String; 8]> = rows
        .iter()
        .map(|(step, slot)| {
            [
                match step.shed_after {
                    Some(_) => format!("{} *", step.id),
                    None => step.id.clone(),
                },
                step.label.ja.clone(),
                if step.after.is_empty() {
                    "-".to_owned()
                } else {
                    step.after.join(", ")
                },
                clock(slot.start.as_secs_f64()),
                clock(slot.length.as_secs_f64()),
                clock(step.budget.as_secs_f64()),
                step.action.clone(),
                match step.on_failure {
                    OnFailure::GoOn => "go on",
                    OnFailure::Hold => "hold",
                    OnFailure::Force => "force",
                }
                .to_owned(),
            ]
        })
        .collect();
    let heads = [
        "step",
        "名前",
        "after",
        "start",
        "planned",
        "budget",
        "action",
        "if it fails",
    ];
    let mut text = table::draw(heads, &rows);
    text.push_str(&format!(
        "\n合計 total {}   {} steps   plan {}\n",
        clock(plan.length().as_secs_f64()),
        rows.len(),
        plan.hash()
    ));
    for step in plan.steps() {
        if let Some(after) = step.shed_after {
            text.push_str(&format!(
                "* {} は停電 {} で先に停止 is stopped early, after {} on battery\n",
                step.id,
                clock(after.as_secs_f64()),
                clock(after.as_secs_f64())
            ));
        }
    }
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
    Ok(text)
}

/// Minutes and seconds, with tenths only where they are not zero.
fn clock(secs: f64) -> String {
    let minutes = (secs / 60.0).floor();
    let rest = secs - minutes * 60.0;
    if (rest - rest.round()).abs() < 0.05 {
        format!("{minutes:.0}:{rest:02.0}")
    } else {
        format!("{minutes:.0}:{rest:04.1}")
    }
}

/// Where the controller of this site answers.
pub(super) fn address(site: &Site<Real>) -> Result<SocketAddr, Failure> {
    let listen = site.web.listen;
    let addr = if listen.port() == 0 {
        listen::address_of(&site.data_dir, Role::Web.word()).ok_or_else(|| {
            Failure::new(
                Failure::AWAY,
                format!("no controller runs on {}", site.data_dir.display()),
            )
        })?
    } else {
        listen
    };
    Ok(http::reachable(addr))
}

/// No controller answers there.
pub(super) fn away(addr: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::because(
        Failure::AWAY,
        format!("the controller does not answer at {}", page(addr)),
        error,
    )
}

async fn rehearse(addr: SocketAddr) -> Result<ExitCode, Failure> {
    let away = |error: std::io::Error| away(addr, &error);
    // The stream first, so that nothing of a quick rehearsal is missed.
    let mut stream = http::stream(addr).await.map_err(away)?;
    let before = next_picture(&mut stream).await.map_err(away)?;
    if before.power.steps.is_empty() {
        return Err(Failure::new(
            Failure::WRONG,
            "this site has no servers to stop, so there is nothing to rehearse",
        ));
    }
    let budgets: f64 = before.power.steps.iter().map(|step| step.budget_s).sum();
    let bound = SPARE.saturating_add(Duration::try_from_secs_f64(budgets).unwrap_or(Duration::MAX));
    let last = before.power.run.map(|run| run.id);
    let answer = http::post(addr, "/api/v1/plan/rehearse", &json!({ "by": person() }))
        .await
        .map_err(away)?;
    if answer.status != 200 {
        return Err(Failure::new(Failure::WRONG, answer.problem()));
    }
    let mut report = Report::new(before.power.steps.len());
    let follow = async {
        loop {
            let picture = next_picture(&mut stream).await?;
            let Some(run) = picture
                .power
                .run
                .filter(|run| run.kind == "rehearsal" && Some(run.id) != last)
            else {
                continue;
            };
            report.take_in(&picture.power.steps);
            if run.state != "running" {
                return std::io::Result::Ok(report.end(&run));
            }
        }
    };
    match timeout(bound, follow).await {
        Ok(Ok(code)) => Ok(code),
        Ok(Err(error)) => Err(Failure::because(
            Failure::AWAY,
            "lost the controller; the rehearsal may go on, its page shows how it ends",
            &error,
        )),
        Err(_) => Err(Failure::new(
            Failure::WRONG,
            format!("the rehearsal has not ended after {} s", bound.as_secs()),
        )),
    }
}

/// The next picture of the stream.
async fn next_picture(stream: &mut http::Stream) -> std::io::Result<Snapshot> {
    loop {
        match stream.next().await? {
            (event, json) if event == "snapshot" => return Ok(serde_json::from_str(&json)?),
            (event, json) if event == "core" && json.contains("false") => {
                return Err(std::io::Error::other("its page answers, its core role does not"));
            }
            _ => {}
        }
    }
}

/// What has been shown of a rehearsal so far.
struct Report {
    bar: ProgressBar,
    /// State last shown, by step.
    shown: BTreeMap<String, String>,
    failed: usize,
}

impl Report {
    fn new(steps: usize) -> Self {
        // Drawn on standard error, and only when that is a terminal.
        let bar = ProgressBar::new(steps as u64).with_style(
            ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            shown: BTreeMap::new(),
            failed: 0,
        }
    }

    fn take_in(&mut self, steps: &[Step]) {
        for step in steps {
            let before = self.shown.insert(step.id.clone(), step.state.clone());
            if before.as_ref() == Some(&step.state) {
                continue;
            }
            match step.state.as_str() {
                "started" => self.bar.set_message(step.id.clone()),
                "confirmed" => {
                    self.bar.inc(1);
                    let took = step
                        .took_s
                        .map(|secs| format!("  {secs:.1} s"))
                        .unwrap_or_default();
                    self.say(&format!("ok      {}{took}", step.id));
                }
                "abandoned" | "cancelled" => {
                    self.failed += 1;
                    self.bar.inc(1);
                    let problem = step.problem.as_deref().unwrap_or("no reason given");
                    self.say(&format!("FAILED  {}: {problem}", step.id));
                }
                _ => {}
            }
        }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    fn end(&self, run: &Run) -> ExitCode {
        self.bar.finish_and_clear();
        if run.state == "done" && self.failed == 0 {
            println!("予行は成功です。 Every step passed; nothing was stopped.");
            return ExitCode::SUCCESS;
        }
        if run.state == "done" {
            println!(
                "予行は失敗です。 {} steps failed; nothing was stopped.",
                self.failed
            );
        } else {
            println!(
                "予行は中断しました({})。 Broken off: {}.",
                run.because.ja, run.because.en
            );
        }
        ExitCode::from(Failure::WRONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::site::parse;
    use std::path::Path;

    #[test]
    fn the_example_site_has_a_plan_to_show() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/example/site.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let site = parse::real(&text, path.parent().unwrap()).unwrap();
        let table = show(&site).unwrap();
        for host in &site.hosts {
            assert!(
                table.lines().any(|line| line.starts_with(&host.name)),
                "{} is missing:\n{table}",
                host.name
            );
        }
        assert!(table.contains("total"), "{table}");
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

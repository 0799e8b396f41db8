//! `yagura plan ...`: what the shutdown plan is, whether it would work, and a person's orders.
//!
//! `show` reads the site file, and what was learnt from the controller when one runs. `rehearse` asks
//! the running controller, which logs in to every server of the plan and stops none; it never touches
//! a server itself.

mod show;
mod what_if;

use self::show::clock;
use super::operator;
use super::role::Role;
use super::{ConfigArg, Failure, http, load, page, person, rehearsals};
use crate::listen;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use room::site::{Real, Site};
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
    Show(show::ShowArgs),
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
    /// What stops and starts by the calendar (スケジュール運転)
    Schedules(ConfigArg),
    /// Leave out the next stop of a schedule, or end its off time now (今日は止めない)
    #[command(after_long_help = OPERATORS)]
    Cancel(operator::CancelArgs),
    /// Log in to every server of the plan and stop none (予行演習)
    #[command(
        after_long_help = "The running controller does it, with its own keys, and keeps the result in its journal.\n\
        Exit codes: 0 every step passed, 1 a step failed or the controller refused, 3 no controller answers."
    )]
    Rehearse(ConfigArg),
    /// Results of rehearsals and drills, or one of them with every step (予行の記録)
    Rehearsals(rehearsals::RehearsalsArgs),
    /// What today's plan would have done in a recorded outage (過去の停電で確かめる)
    #[command(
        after_long_help = "The batteries fall as they were recorded, servers take what was measured or their budget.\n\
        Exit codes: 0 it fits or was not needed, 1 it does not fit or there is no such outage, 3 no controller answers."
    )]
    Replay(rehearsals::ReplayArgs),
}

/// `yagura plan`.
pub(super) async fn run(command: PlanCommand) -> Result<ExitCode, Failure> {
    match command {
        PlanCommand::Show(args) => show::run(args).await,
        PlanCommand::WhatIf(args) => what_if::run(args).await,
        PlanCommand::Run(args) => {
            let site = load::<Real>(args.config())?;
            print!("{}", show::text(&site)?);
            operator::run(&site, args).await
        }
        PlanCommand::Abort(args) => operator::abort(args).await,
        PlanCommand::Pause(args) => operator::pause(args).await,
        PlanCommand::Resume(ConfigArg { config }) => operator::resume(&config).await,
        PlanCommand::Skip(args) => operator::skip(args).await,
        PlanCommand::Confirm(args) => operator::confirm(args).await,
        PlanCommand::Cancel(args) => operator::cancel(args).await,
        PlanCommand::Schedules(ConfigArg { config }) => {
            let site = load::<Real>(&config)?;
            let care = super::ups::care(address(&site)?).await?;
            print!("{}", super::ups::schedules(&care.schedules));
            Ok(ExitCode::SUCCESS)
        }
        PlanCommand::Rehearse(ConfigArg { config }) => {
            let site = load::<Real>(&config)?;
            let addr = address(&site)?;
            rehearse(addr).await
        }
        PlanCommand::Rehearsals(args) => rehearsals::rehearsals(args).await,
        PlanCommand::Replay(args) => rehearsals::replay(args).await,
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

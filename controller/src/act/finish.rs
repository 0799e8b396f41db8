//! The end of a plan: UPSes are told to switch off, and on again with the mains; the controller's own
//! machine is stopped last.
//!
//! Here "done" means "told": a UPS that counts down has taken the command, and nobody waits for its
//! output to go off, least of all this machine. An answer that was lost is a failure: the next try
//! looks first, and the command may be said twice.

use super::action::{Problem, Sent};
use super::device::{self, Step, Tools, Trouble};
use super::exec;
use super::permit::Permit;
use crate::link::Outcome;
use room::outage::finish::Target;
use room::site::finish::{COMMAND, Own, command};
use room::site::{DeviceAction, Site, World};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;

/// Longest time for one command, all its packets included.
const WITHIN: Duration = Duration::from_secs(15);

/// One thing that is told.
#[derive(Debug, Clone)]
pub(super) enum Last {
    /// A UPS, with the seconds until it switches off.
    Output(String, i64),
    /// The machine that this runs on.
    Controller(Own),
}

/// What the site says, by the name of its step.
pub(super) fn of_site<W: World>(site: &Site<W>) -> BTreeMap<String, Last> {
    let Some(finish) = &site.finish else {
        return BTreeMap::new();
    };
    let cuts = finish.cuts.iter().map(|cut| {
        let step = Target::Output(cut.ups.clone()).step();
        (step, Last::Output(cut.ups.clone(), cut.seconds()))
    });
    // A simulated room never stops the machine that it is simulated on.
    let own = finish.controller.iter().filter(|_| !W::SIMULATED);
    let own = own.map(|own| (Target::Controller.step(), Last::Controller(own.clone())));
    cuts.chain(own).collect()
}

/// Tells it, or looks whether it could be told.
pub(super) async fn carry_out(
    last: &Last,
    tools: &Tools,
    permit: Permit,
    mut cancel: watch::Receiver<bool>,
) -> Outcome {
    let sent = Sent::default();
    let work = async {
        match (last, permit) {
            (Last::Output(ups, secs), Permit::Check(checked)) => {
                let action = DeviceAction::<SocketAddr> {
                    device: ups.clone(),
                    addr: None,
                    port: None,
                    command: command(),
                    value: Some(*secs),
                };
                device::check(&action, tools, checked)
                    .await
                    .map(|()| Outcome::CheckPassed)
            }
            (Last::Controller(own), Permit::Check(checked)) => {
                exec::check(&own.action(), checked).map(|()| Outcome::CheckPassed)
            }
            (Last::Output(ups, secs), Permit::Act(armed)) => {
                tracing::warn!(ups, secs, "telling a UPS {COMMAND}");
                match device::tell(tools, ups, command(), Some(*secs), armed, &sent).await {
                    Ok(Step::Seen(_) | Step::Taken | Step::Blind) => Ok(Outcome::Confirmed),
                    Err(Trouble::Refused(problem)) => Err(problem),
                    Err(Trouble::Unknown(problem)) => Err(Problem::passing(format!(
                        "it may have been told: {}",
                        problem.text
                    ))),
                }
            }
            (Last::Controller(own), Permit::Act(armed)) => {
                tracing::warn!(program = %own.program.display(), "stopping the controller's own machine");
                let done = exec::request(&own.action(), armed, &sent).await;
                done.map(|_| Outcome::Confirmed)
            }
        }
    };
    let limit = match last {
        Last::Output(..) => WITHIN,
        // Its program has a limit of its own, which is this one.
        Last::Controller(own) => Duration::from_millis(own.budget.0).saturating_add(Duration::from_secs(1)),
    };
    let done = tokio::select! {
        biased;
        // What has left cannot be called back, but nobody waits for it.
        () = cancelled(&mut cancel) => Err(Problem::passing("called back")),
        done = tokio::time::timeout(limit, work) => done.unwrap_or_else(|_| {
            Err(Problem::passing(format!("no answer within {} s", limit.as_secs())))
        }),
    };
    done.unwrap_or_else(|problem| Outcome::Failed {
        problem: problem.text,
        retryable: problem.retryable,
    })
}

/// Cancel-safe. Never returns when the canceller is gone.
async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|cancel| *cancel).await.is_err() {
        std::future::pending().await
    }
}

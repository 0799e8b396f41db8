//! One order, from its check to its end.
//!
//! ```text
//! check:  look, log in -------------------------------------------> CheckPassed | Failed
//! real:   certainly down already? --yes-----------------------------------> Confirmed
//!            | no, or in doubt
//!         request --accepted--> Requested --> watch the condition --> Confirmed | Failed
//!            |  \--refused, timed out--> down now? --yes--> Confirmed, no--> Failed
//! cancel before the request is sent: nothing happens any more    -> Failed, retryable
//!        while it runs: a short grace for its answer, then Failed ("may have been accepted")
//!        after Requested: the watch ends; Requested stays the last word
//! ```
//!
//! "Requested" is the point of no return of a step.

use super::action::{Accepted, Action, Problem, Sent};
use super::confirm::{self, Asked};
use super::device::Tools;
use super::permit::Permit;
use crate::link::Outcome;
use room::site::{Confirm, Host, World};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;

/// How long a cancelled step still waits for the answer to a request that it has sent.
pub const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// What a step needs to know of its host.
#[derive(Debug, Clone)]
pub struct Target<A> {
    /// How it is asked.
    pub action: A,
    /// How we know.
    pub confirm: Confirm,
    /// Longest watch after the request.
    pub budget: Duration,
}

impl<A: Action> Target<A> {
    /// Reads the host.
    #[must_use]
    pub fn of<W: World<Action = A>>(host: &Host<W>) -> Self {
        Self {
            action: host.action.clone(),
            confirm: host.confirm.clone(),
            budget: Duration::from_millis(host.budget.0),
        }
    }
}

impl<A: Action> Target<A> {
    /// Everything whose silence or refusal can say that the host has stopped; empty when its
    /// stop cannot be seen.
    fn signs(&self) -> Vec<SocketAddr> {
        let Confirm::PortClosed { addr } = self.confirm else {
            return Vec::new();
        };
        let own = self.action.address().filter(|own| *own != addr);
        [addr].into_iter().chain(own).collect()
    }

    /// Whether the host is certainly down before it was asked. The port of the condition may
    /// belong to a service that is down on a running host, so it is not enough alone.
    async fn is_down_unasked(&self, from: From) -> bool {
        (self.action.address().is_some() || from == From::Remembered)
            && confirm::is_down(&self.signs(), Asked::Nothing).await
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the beginning.
    Start,
    /// The target has accepted this very request before: only watch.
    Accepted,
    /// It was confirmed, or a try before accepted, and it is ordered again: see whether it is
    /// down by now, and ask it again if it can be reached.
    Remembered,
}

/// Carries the order out; `report` gets each outcome, the last one last. Ends soon after
/// `cancel` turns true.
pub async fn carry_out<A: Action>(
    target: &Target<A>,
    tools: &Tools,
    permit: Permit,
    from: From,
    mut cancel: watch::Receiver<bool>,
    mut report: impl FnMut(Outcome),
) {
    let armed = match permit {
        Permit::Check(checked) => {
            let result = tokio::select! {
                biased;
                () = cancelled(&mut cancel) => Err(Problem::passing("cancelled during the check")),
                result = target.action.check(tools, checked) => result,
            };
            return report(match result {
                Ok(()) => Outcome::CheckPassed,
                Err(problem) => failed(problem),
            });
        }
        Permit::Act(armed) => armed,
    };

    let accepted = if from == From::Accepted {
        // Asked and accepted before; how its command ended is not known any more, but may be seen.
        match target.action.can_be_seen() {
            true => Accepted::ToBeSeen,
            false => Accepted::Cut,
        }
    } else {
        let already = tokio::select! {
            biased;
            () = cancelled(&mut cancel) => return report(failed(Problem::passing("cancelled before the request"))),
            already = target.is_down_unasked(from) => already,
        };
        if already {
            return report(Outcome::Confirmed);
        }
        let sent = Sent::default();
        match request(target, tools, armed, &sent, &mut cancel).await {
            Ok(accepted) => accepted,
            // A host can go down without ever answering; then it is down, whatever we heard. One
            // that we saw stop and cannot reach since has not come back.
            Err(problem)
                if problem.retryable
                    && match from {
                        From::Remembered => confirm::is_down(&target.signs(), Asked::Accepted).await,
                        _ => sent.is_set() && confirm::is_down(&target.signs(), Asked::Sent).await,
                    } =>
            {
                return report(Outcome::Confirmed);
            }
            Err(problem) => return report(failed(problem)),
        }
    };
    report(Outcome::Requested);

    let watched = async {
        match (&target.confirm, accepted) {
            (Confirm::PortClosed { addr }, _) => {
                match tokio::time::timeout(target.budget, confirm::until_closed(*addr)).await {
                    Ok(()) => Outcome::Confirmed,
                    Err(_) => failed(Problem::passing(format!(
                        "it accepted the request, but {addr} still answers after {} s",
                        target.budget.as_secs_f64()
                    ))),
                }
            }
            (Confirm::ActionSucceeded, Accepted::Succeeded) => Outcome::Confirmed,
            (Confirm::ActionSucceeded, Accepted::ToBeSeen) => {
                match tokio::time::timeout(target.budget, target.action.seen(tools)).await {
                    Ok(Ok(())) => Outcome::Confirmed,
                    Ok(Err(problem)) => failed(problem),
                    Err(_) => failed(Problem::passing(format!(
                        "it took the command, and did not show within {} s that it did it",
                        target.budget.as_secs_f64()
                    ))),
                }
            }
            (Confirm::ActionSucceeded, Accepted::Cut) => failed(Problem::passing(
                "it accepted the request, but the connection ended before its exit status",
            )),
        }
    };
    tokio::select! {
        outcome = watched => report(outcome),
        () = cancelled(&mut cancel) => {}
    }
}

async fn request<A: Action>(
    target: &Target<A>,
    tools: &Tools,
    armed: super::permit::Armed,
    sent: &Sent,
    cancel: &mut watch::Receiver<bool>,
) -> Result<Accepted, Problem> {
    let request = target.action.request(tools, armed, sent);
    tokio::pin!(request);
    // Cancel first: an order cancelled while it waited for its turn is never sent.
    tokio::select! {
        biased;
        () = cancelled(cancel) => {}
        result = &mut request => return result,
    }
    if !sent.is_set() {
        return Err(Problem::passing("cancelled before the request was sent"));
    }
    tokio::time::timeout(CANCEL_GRACE, request)
        .await
        .unwrap_or_else(|_| {
            Err(Problem::passing(
                "cancelled while the request ran; the target may have accepted it",
            ))
        })
}

/// Cancel-safe. Never returns when the canceller is gone: the step then ends by its budget.
async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|cancel| *cancel).await.is_err() {
        std::future::pending().await
    }
}

fn failed(problem: Problem) -> Outcome {
    Outcome::Failed {
        problem: problem.text,
        retryable: problem.retryable,
    }
}

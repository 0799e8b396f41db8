//! One order, from its check to its end.
//!
//! ```text
//! check:  look, log in -------------------------------------------> CheckPassed | Failed
//! real:   certainly down already? --yes-----------------------------------> Found
//!            | no, or in doubt
//!         request --accepted--> Requested --> watch the condition --> Confirmed | Failed
//!            |  \--refused, timed out--> down now? --yes--> Confirmed, no--> Failed
//! cancel before the request is sent: nothing happens any more    -> Failed, retryable
//!        while it runs: a short grace for its answer, then Failed ("may have been accepted")
//!        after Requested: the watch ends; Requested stays the last word
//! ```
//!
//! "Requested" is the point of no return of a step.
//!
//! A start goes the same way with its sign turned round: what answers already is confirmed, and
//! confirmed it is when the host answers.

use super::action::{Accepted, Action, Problem, Sent};
use super::confirm::{self, Asked};
use super::device::Tools;
use super::permit::Permit;
use crate::link::Outcome;
use room::outage::Verb;
use room::site::{Confirm, Host, World};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;

/// How long a cancelled step still waits for the answer to a request that it has sent.
pub const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// What a step needs to know of its host.
#[derive(Debug, Clone)]
pub struct Target<A> {
    /// How it is done.
    pub action: A,
    /// Where the host itself takes the request to stop, when it is the host that does.
    pub own: Option<SocketAddr>,
    /// How we know.
    pub goal: Goal,
    /// Longest watch after the request.
    pub budget: Duration,
}

/// How we know that it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The host does not run any more.
    Stopped(Confirm),
    /// It runs: this port answers; `None`: the action's own success is all there is.
    Runs(Option<SocketAddr>),
}

impl Goal {
    /// True when it can be looked at, also after a restart of this role.
    #[must_use]
    pub const fn is_visible(&self) -> bool {
        matches!(
            self,
            Self::Stopped(Confirm::PortClosed { .. }) | Self::Runs(Some(_))
        )
    }
}

impl<A: Action> Target<A> {
    /// Reads the host; `None` when the site does not say how this is done to it.
    #[must_use]
    pub fn of<W: World<Action = A>>(host: &Host<W>, verb: Verb) -> Option<Self> {
        let (goal, budget) = match (verb, &host.start) {
            (Verb::Start, Some(start)) => (Goal::Runs(start.alive), start.budget),
            (Verb::Start, None) => return None,
            (Verb::Stop | Verb::Force, _) => (Goal::Stopped(host.confirm.clone()), host.budget),
        };
        Some(Self {
            action: host.doing(verb)?.clone(),
            own: host.action.address(),
            goal,
            budget: Duration::from_millis(budget.0),
        })
    }
}

impl<A: Action> Target<A> {
    /// Everything whose silence or refusal can say that the host has stopped; empty when its
    /// stop cannot be seen.
    fn signs(&self) -> Vec<SocketAddr> {
        let Goal::Stopped(Confirm::PortClosed { addr }) = self.goal else {
            return Vec::new();
        };
        let own = self.own.filter(|own| *own != addr);
        [addr].into_iter().chain(own).collect()
    }

    /// Whether it is certain before anything was asked. The port of the condition may belong to a
    /// service that is down on a running host, so it is not enough alone.
    async fn is_so_unasked(&self, from: From) -> bool {
        match self.goal {
            Goal::Stopped(_) => {
                (self.own.is_some() || from == From::Remembered)
                    && confirm::is_down(&self.signs(), Asked::Nothing).await
            }
            Goal::Runs(Some(alive)) => confirm::is_up(alive).await,
            Goal::Runs(None) => false,
        }
    }

    /// Whether it is so although the request failed. A host can go down without ever answering;
    /// then it is down, whatever we heard. One that we saw stop and cannot reach since has not
    /// come back.
    async fn is_so_after_all(&self, from: From, sent: bool) -> bool {
        match (&self.goal, from) {
            (Goal::Stopped(_), From::Remembered) => confirm::is_down(&self.signs(), Asked::Accepted).await,
            (Goal::Stopped(_), _) => sent && confirm::is_down(&self.signs(), Asked::Sent).await,
            (Goal::Runs(Some(alive)), _) => confirm::is_up(*alive).await,
            (Goal::Runs(None), _) => false,
        }
    }

    /// Looks until the port says so.
    async fn until_port(&self, addr: SocketAddr) {
        match self.goal {
            Goal::Stopped(_) => confirm::until_closed(addr).await,
            Goal::Runs(_) => confirm::until_open(addr).await,
        }
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
            already = target.is_so_unasked(from) => already,
        };
        if already {
            // Remembered: this order, or one before it, was what brought it about.
            return report(match from {
                From::Remembered => Outcome::Confirmed,
                From::Start | From::Accepted => Outcome::Found,
            });
        }
        let sent = Sent::default();
        match request(target, tools, armed, &sent, &mut cancel).await {
            Ok(accepted) => accepted,
            Err(problem) if problem.retryable && target.is_so_after_all(from, sent.is_set()).await => {
                return report(Outcome::Confirmed);
            }
            Err(problem) => return report(failed(problem)),
        }
    };
    report(Outcome::Requested);

    let watched = async {
        let port = match &target.goal {
            Goal::Stopped(Confirm::PortClosed { addr }) => Some(*addr),
            Goal::Stopped(Confirm::ActionSucceeded) => None,
            Goal::Runs(alive) => *alive,
        };
        let secs = target.budget.as_secs_f64();
        if let Some(addr) = port {
            return match tokio::time::timeout(target.budget, target.until_port(addr)).await {
                Ok(()) => Outcome::Confirmed,
                Err(_) => failed(Problem::passing(match target.goal {
                    Goal::Stopped(_) => {
                        format!("it accepted the request, but {addr} still answers after {secs} s")
                    }
                    Goal::Runs(_) => {
                        format!("it took the request, but {addr} does not answer after {secs} s")
                    }
                })),
            };
        }
        match accepted {
            Accepted::Succeeded => Outcome::Confirmed,
            Accepted::ToBeSeen => {
                match tokio::time::timeout(target.budget, target.action.seen(tools)).await {
                    Ok(Ok(())) => Outcome::Confirmed,
                    Ok(Err(problem)) => failed(problem),
                    Err(_) => failed(Problem::passing(format!(
                        "it took the command, and did not show within {secs} s that it did it"
                    ))),
                }
            }
            Accepted::Cut => failed(Problem::passing(
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

//! One order, from its check to its end.
//!
//! ```text
//! check:  look, log in -------------------------------------------> CheckPassed | Failed
//! real:   certainly down already? --yes-----------------------------------> Found
//!            | no, or in doubt (a request that finds it so, and sends nothing: Found, too)
//!         request --accepted--> Requested --> watch the condition --> Confirmed | Failed
//!            |  \--refused, timed out--> down now? --yes--> Confirmed, no--> Failed
//! cancel before the request is sent: nothing happens any more    -> Failed, retryable
//!        while it runs: a short grace for its answer, then Failed ("may have been accepted")
//!        after Requested: the watch ends; Requested stays the last word
//! ```
//!
//! "Requested" is the point of no return of a step.
//!
//! Where the target of an action can be looked at (a management controller, an outlet, the list of
//! guests), a port alone confirms no stop: who took the request is not the host, so its yes does not
//! say that the host's network lives, and a host that hangs is silent, too. Both must say it.
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
/// How long the target is looked at when the ports say that the host has stopped although nothing
/// was asked of it, or the request failed.
pub const SHOW_WITHIN: Duration = Duration::from_secs(3);

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
    async fn is_so_unasked(&self, tools: &Tools, from: From) -> bool {
        match self.goal {
            Goal::Stopped(_) => {
                (self.own.is_some() || from == From::Remembered)
                    && confirm::is_down(&self.signs(), Asked::Nothing).await
                    && self.is_shown(tools).await
            }
            Goal::Runs(Some(alive)) => confirm::is_up(alive).await,
            Goal::Runs(None) => false,
        }
    }

    /// Whether it is so although the request failed. A host can go down without ever answering;
    /// then it is down, whatever we heard. One that we saw stop and cannot reach since has not
    /// come back.
    async fn is_so_after_all(&self, tools: &Tools, from: From, sent: bool) -> bool {
        match (&self.goal, from) {
            (Goal::Stopped(_), From::Remembered) => {
                confirm::is_down(&self.signs(), Asked::Accepted).await && self.is_shown(tools).await
            }
            (Goal::Stopped(_), _) => {
                sent && confirm::is_down(&self.signs(), Asked::Sent).await && self.is_shown(tools).await
            }
            (Goal::Runs(Some(alive)), _) => confirm::is_up(*alive).await,
            (Goal::Runs(None), _) => false,
        }
    }

    /// Whether a host had stopped before anything was sent.
    async fn is_so_without_us(&self, tools: &Tools, accepted: Accepted) -> bool {
        let is_down = match self.goal {
            Goal::Stopped(Confirm::ActionSucceeded) => true,
            Goal::Stopped(Confirm::PortClosed { .. }) => {
                confirm::is_down(&self.signs(), Asked::Accepted).await
            }
            Goal::Runs(_) => false,
        };
        is_down && (accepted == Accepted::Succeeded || self.is_shown(tools).await)
    }

    /// Whether the target shows it, too, where it can be looked at.
    async fn is_shown(&self, tools: &Tools) -> bool {
        !self.action.can_be_seen()
            || matches!(
                tokio::time::timeout(SHOW_WITHIN, self.action.seen(tools)).await,
                Ok(Ok(()))
            )
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
            already = target.is_so_unasked(tools, from) => already,
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
            // It looked, and sent nothing: what was so before us is not our doing.
            Ok(accepted)
                if from == From::Start
                    && !sent.is_set()
                    && target.is_so_without_us(tools, accepted).await =>
            {
                return report(Outcome::Found);
            }
            Ok(accepted) => accepted,
            Err(problem) if problem.retryable && target.is_so_after_all(tools, from, sent.is_set()).await => {
                return report(Outcome::Confirmed);
            }
            Err(problem) => return report(failed(problem)),
        }
    };
    report(Outcome::Requested);

    let until = tokio::time::Instant::now() + target.budget;
    let watched = async {
        let port = match &target.goal {
            Goal::Stopped(Confirm::PortClosed { addr }) => Some(*addr),
            Goal::Stopped(Confirm::ActionSucceeded) => None,
            Goal::Runs(alive) => *alive,
        };
        let secs = target.budget.as_secs_f64();
        if let Some(addr) = port {
            if tokio::time::timeout_at(until, target.until_port(addr))
                .await
                .is_err()
            {
                return failed(Problem::passing(match target.goal {
                    Goal::Stopped(_) => {
                        format!("it accepted the request, but {addr} still answers after {secs} s")
                    }
                    Goal::Runs(_) => {
                        format!("it took the request, but {addr} does not answer after {secs} s")
                    }
                }));
            }
            if accepted != Accepted::ToBeSeen || matches!(target.goal, Goal::Runs(_)) {
                return Outcome::Confirmed;
            }
        }
        match accepted {
            Accepted::Succeeded => Outcome::Confirmed,
            Accepted::ToBeSeen => match tokio::time::timeout_at(until, target.action.seen(tools)).await {
                Ok(Ok(())) => Outcome::Confirmed,
                Ok(Err(problem)) => failed(problem),
                Err(_) => failed(Problem::passing(match port {
                    Some(addr) => format!(
                        "{addr} is closed, but it did not show within {secs} s that it did what it was told"
                    ),
                    None => {
                        format!("it took the command, and did not show within {secs} s that it did it")
                    }
                })),
            },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::permit::{Armed, Checked};
    use room::site::{Real, Site};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::net::TcpListener;

    /// A management controller and what it says of the host's power.
    #[derive(Debug, Clone, Default)]
    struct Controller {
        off: Arc<AtomicBool>,
        refuses: bool,
    }

    impl Action for Controller {
        async fn check(&self, _tools: &Tools, _permit: Checked) -> Result<(), Problem> {
            Ok(())
        }

        fn address(&self) -> Option<SocketAddr> {
            None
        }

        async fn request(&self, _tools: &Tools, _permit: Armed, sent: &Sent) -> Result<Accepted, Problem> {
            // Without need it sends nothing.
            if self.refuses || !self.off.load(Ordering::Relaxed) {
                sent.set();
            }
            match self.refuses {
                true => Err(Problem::passing("not now")),
                false => Ok(Accepted::ToBeSeen),
            }
        }

        fn can_be_seen(&self) -> bool {
            true
        }

        async fn seen(&self, _tools: &Tools) -> Result<(), Problem> {
            while !self.off.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        }
    }

    async fn outcomes(controller: &Controller, port: SocketAddr, from: From) -> Vec<Outcome> {
        let target = Target {
            action: controller.clone(),
            own: None,
            goal: Goal::Stopped(Confirm::PortClosed { addr: port }),
            budget: Duration::from_secs(2),
        };
        let tools = Tools::of(&Site::<Real>::bare());
        let (_cancel, cancelled) = watch::channel(false);
        let mut said = Vec::new();
        carry_out(&target, &tools, Permit::of(true), from, cancelled, |outcome| {
            said.push(outcome);
        })
        .await;
        said
    }

    /// Of a host whose watched service is down, and which hangs or runs on.
    async fn closed() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    fn problem(outcome: Option<&Outcome>) -> &str {
        match outcome {
            Some(Outcome::Failed {
                problem,
                retryable: true,
            }) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_host_whose_port_is_closed_and_whose_power_is_on_has_not_stopped() {
        let controller = Controller::default();
        let port = closed().await;
        let said = outcomes(&controller, port, From::Start).await;
        assert_eq!(said[0], Outcome::Requested);
        assert!(problem(said.get(1)).contains("did not show"), "{said:?}");
        let goes_off = controller.clone();
        let (said, ()) = tokio::join!(outcomes(&controller, port, From::Start), async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            goes_off.off.store(true, Ordering::Relaxed);
        });
        assert_eq!(said, [Outcome::Requested, Outcome::Confirmed]);
        let said = outcomes(&controller, port, From::Accepted).await;
        assert_eq!(said, [Outcome::Requested, Outcome::Confirmed]);
    }

    #[tokio::test]
    async fn a_host_that_was_off_before_is_found_and_nobody_has_stopped_it() {
        let controller = Controller::default();
        controller.off.store(true, Ordering::Relaxed);
        assert_eq!(
            outcomes(&controller, closed().await, From::Start).await,
            [Outcome::Found]
        );
    }

    #[tokio::test]
    async fn a_host_whose_power_is_off_and_whose_port_answers_has_not_stopped() {
        let controller = Controller::default();
        controller.off.store(true, Ordering::Relaxed);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let said = outcomes(&controller, listener.local_addr().unwrap(), From::Start).await;
        assert!(problem(said.last()).contains("still answers"), "{said:?}");
    }

    #[tokio::test]
    async fn a_closed_port_does_not_make_a_refusal_a_yes_while_the_power_is_on() {
        let controller = Controller {
            refuses: true,
            ..Controller::default()
        };
        let port = closed().await;
        for from in [From::Start, From::Remembered] {
            let said = outcomes(&controller, port, from).await;
            assert_eq!(problem(said.last()), "not now", "{from:?}");
        }
        controller.off.store(true, Ordering::Relaxed);
        for from in [From::Start, From::Remembered] {
            assert_eq!(
                outcomes(&controller, port, from).await,
                [Outcome::Confirmed],
                "{from:?}"
            );
        }
    }
}

//! Done means confirmed: watches whether a host has stopped.
//!
//! | what a connection attempt brings | nothing asked yet | asked, no answer heard | asked and accepted |
//! |---|---|---|---|
//! | accepted | up | up | up |
//! | refused | down | down | down |
//! | host unreachable | unclear | down | down |
//! | nothing until the time-out | unclear | unclear | down |
//! | an error of our own machine (no route, no sockets) | unclear | unclear | unclear |
//!
//! "Down" must be seen several times in a row, [`LOOK_EVERY`] apart. Only the host's own machine
//! refuses a connection; that it is unreachable is said by a router in front of it, also when
//! the switch between them died and the host runs on. A host that was not asked to stop counts
//! as stopped only when everything we know of it refuses for a while: a service that restarts
//! refuses, too. In doubt it is asked, which is safe to repeat.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Times in a row that a host must be seen down after it was asked to stop.
pub const IN_A_ROW: u32 = 2;
/// Times in a row when nothing was asked of it; longer than a service takes to restart.
pub const UNASKED_IN_A_ROW: u32 = 5;
/// Time between two looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest time of one look.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// One look at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A connection was accepted.
    Open,
    /// A connection was refused by the machine of that address.
    Refused,
    /// Somebody reports that there is no way to the host.
    Unreachable,
    /// Nothing came back.
    Silent,
    /// We could not look.
    Blind,
}

/// What the host was asked when we look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing yet.
    Nothing,
    /// A request was sent, and no answer was heard.
    Sent,
    /// It accepted a request.
    Accepted,
}

impl Look {
    /// Reads an error of a connection attempt.
    #[must_use]
    pub const fn of_error(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::HostUnreachable => Self::Unreachable,
            ErrorKind::TimedOut => Self::Silent,
            _ => Self::Blind,
        }
    }

    /// The table of the module's head; "unclear" is false.
    #[must_use]
    pub const fn is_down(self, asked: Asked) -> bool {
        match self {
            Self::Refused => true,
            Self::Unreachable => matches!(asked, Asked::Sent | Asked::Accepted),
            Self::Silent => matches!(asked, Asked::Accepted),
            Self::Open | Self::Blind => false,
        }
    }
}

impl Asked {
    const fn in_a_row(self) -> u32 {
        match self {
            Self::Nothing => UNASKED_IN_A_ROW,
            Self::Sent | Self::Accepted => IN_A_ROW,
        }
    }
}

/// Looks once.
pub async fn look(addr: SocketAddr) -> Look {
    match tokio::time::timeout(LOOK_TIMEOUT, TcpStream::connect(addr)).await {
        // On loopback a connection to a free port of the ephemeral range can meet itself.
        Ok(Ok(stream)) if stream.local_addr().ok() == Some(addr) => Look::Refused,
        Ok(Ok(_)) => Look::Open,
        Ok(Err(error)) => Look::of_error(error.kind()),
        Err(_) => Look::Silent,
    }
}

/// True when every address is seen down, often enough in a row; false at the first doubt, and
/// when there is no address to look at. Cancel-safe.
pub async fn is_down(addrs: &[SocketAddr], asked: Asked) -> bool {
    is_down_by(addrs, asked, look).await
}

async fn is_down_by<F: Future<Output = Look>>(
    addrs: &[SocketAddr],
    asked: Asked,
    mut look: impl FnMut(SocketAddr) -> F,
) -> bool {
    for round in 0..asked.in_a_row() {
        if round > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        for addr in addrs {
            if !look(*addr).await.is_down(asked) {
                return false;
            }
        }
    }
    !addrs.is_empty()
}

/// Returns when the port of a host that accepted its request is closed. Drop it to give up.
pub async fn until_closed(addr: SocketAddr) {
    let mut closed = 0;
    let mut next = tokio::time::interval(LOOK_EVERY);
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        next.tick().await;
        closed = if look(addr).await.is_down(Asked::Accepted) {
            closed + 1
        } else {
            0
        };
        if closed >= IN_A_ROW {
            return;
        }
    }
}

/// True when a port answers, often enough in a row; false at the first doubt. Cancel-safe.
pub async fn is_up(addr: SocketAddr) -> bool {
    for round in 0..IN_A_ROW {
        if round > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if look(addr).await != Look::Open {
            return false;
        }
    }
    true
}

/// Returns when the port of a host that was made to start answers. Drop it to give up.
pub async fn until_open(addr: SocketAddr) {
    while !is_up(addr).await {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_open_port_is_up_and_a_closed_one_is_down() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(look(addr).await, Look::Open);
        assert!(!is_down(&[addr], Asked::Nothing).await);
        let watch = tokio::spawn(until_closed(addr));
        drop(listener);
        tokio::time::timeout(Duration::from_secs(5), watch)
            .await
            .unwrap()
            .unwrap();
        assert!(is_down(&[addr], Asked::Nothing).await);
        assert!(!is_down(&[], Asked::Nothing).await);
        // Everything we know of the host must be down.
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let both = [addr, other.local_addr().unwrap()];
        assert!(!is_down(&both, Asked::Accepted).await);
    }

    #[tokio::test]
    async fn a_host_runs_once_its_port_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        assert!(!is_up(addr).await);
        let watch = tokio::spawn(until_open(addr));
        let _again = TcpListener::bind(addr).await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), watch)
            .await
            .unwrap()
            .unwrap();
        assert!(is_up(addr).await);
    }

    #[test]
    fn a_router_that_finds_no_way_does_not_say_that_an_unasked_host_has_stopped() {
        let unreachable = Look::of_error(ErrorKind::HostUnreachable);
        assert!(!unreachable.is_down(Asked::Nothing));
        assert!(unreachable.is_down(Asked::Sent) && unreachable.is_down(Asked::Accepted));
        let refused = Look::of_error(ErrorKind::ConnectionRefused);
        assert!(refused.is_down(Asked::Nothing));
        assert!(!Look::Silent.is_down(Asked::Nothing) && !Look::Silent.is_down(Asked::Sent));
        let ours = Look::of_error(ErrorKind::NetworkUnreachable);
        assert!(!ours.is_down(Asked::Accepted));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_restarts_is_not_a_host_that_stopped() {
        let addr = "127.0.0.1:22".parse().unwrap();
        let begun = tokio::time::Instant::now();
        let restarting = async |_| {
            if begun.elapsed() < Duration::from_millis(700) {
                Look::Refused
            } else {
                Look::Open
            }
        };
        assert!(!is_down_by(&[addr], Asked::Nothing, restarting).await);
        assert!(is_down_by(&[addr], Asked::Nothing, async |_| Look::Refused).await);
    }
}

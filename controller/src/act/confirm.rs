//! Done means confirmed: watches whether a host has stopped.
//!
//! | what a connection attempt brings | before the request | after the host accepted it |
//! |---|---|---|
//! | accepted | up | up |
//! | refused, host unreachable | down | down |
//! | nothing until the time-out | unclear | down |
//! | an error of our own machine (no route, no sockets) | unclear | unclear |
//!
//! "Down" must be seen [`IN_A_ROW`] times in a row. Silence alone never proves that a host
//! which was not asked to stop has stopped: a dead switch looks the same.

use room::site::Confirm;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Times in a row that the port must be closed.
pub const IN_A_ROW: u32 = 2;
/// Time between two looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest time of one look.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// One look at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A connection was accepted.
    Open,
    /// A connection was refused, or the host is reported gone.
    Closed,
    /// Nothing came back.
    Silent,
    /// We could not look.
    Blind,
}

/// Looks once.
pub async fn look(addr: SocketAddr) -> Look {
    match tokio::time::timeout(LOOK_TIMEOUT, TcpStream::connect(addr)).await {
        // On loopback a connection to a free port of the ephemeral range can meet itself.
        Ok(Ok(stream)) if stream.local_addr().ok() == Some(addr) => Look::Closed,
        Ok(Ok(_)) => Look::Open,
        Ok(Err(error)) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable => Look::Closed,
            ErrorKind::TimedOut => Look::Silent,
            _ => Look::Blind,
        },
        Err(_) => Look::Silent,
    }
}

/// True when the host is already down, before anything was asked of it.
pub async fn holds_already(confirm: &Confirm) -> bool {
    let Confirm::PortClosed { addr } = confirm else {
        return false;
    };
    for _ in 0..IN_A_ROW {
        if look(*addr).await != Look::Closed {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

/// Returns when the port of a host that accepted its request is closed. Drop it to give up.
pub async fn until_closed(addr: SocketAddr) {
    let mut closed = 0;
    let mut next = tokio::time::interval(LOOK_EVERY);
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        next.tick().await;
        closed = match look(addr).await {
            Look::Closed | Look::Silent => closed + 1,
            Look::Open | Look::Blind => 0,
        };
        if closed >= IN_A_ROW {
            return;
        }
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
        let confirm = Confirm::PortClosed { addr };
        assert_eq!(look(addr).await, Look::Open);
        assert!(!holds_already(&confirm).await);
        let watch = tokio::spawn(until_closed(addr));
        drop(listener);
        tokio::time::timeout(Duration::from_secs(5), watch)
            .await
            .unwrap()
            .unwrap();
        assert!(holds_already(&confirm).await);
        assert!(!holds_already(&Confirm::ActionSucceeded).await);
    }
}

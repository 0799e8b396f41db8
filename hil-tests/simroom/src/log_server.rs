//! Where the notices of the simulated room go: a log server that reads what it is sent (syslog over
//! TCP, RFC 6587) and keeps none of it.
//!
//! A simulated site may neither start programs nor reach another machine, so this stands in for the
//! mailboxes and telephones of a real one: contacts, routes and test calls work as they do there. It
//! never answers: syslog has no answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Connections that are read at a time; further ones wait in the listener's own queue. The controller
/// opens one for each notifier.
const MAX_CONNECTIONS: usize = 8;
/// A connection that says nothing for so long is closed; the sender opens another.
const IDLE: Duration = Duration::from_secs(120);
/// Before the next try when a connection could not be taken.
const AGAIN: Duration = Duration::from_millis(50);

/// A running log server; dropping it closes its port and its connections.
#[derive(Debug)]
pub struct LogServer {
    addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl LogServer {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self {
            addr: listener.local_addr()?,
            accepting: tokio::spawn(accept(listener)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for LogServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Ends with this task, and its connections with it.
    let mut readers = tokio::task::JoinSet::new();
    loop {
        while readers.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                readers.spawn(async move {
                    read(&stream).await;
                    drop(place);
                });
            }
            // Out of file handles: wait for some to come back.
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// Reads and forgets, until the other side ends it or is silent for too long.
async fn read(stream: &TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(Ok(())) = tokio::time::timeout(IDLE, stream.readable()).await {
        match stream.try_read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

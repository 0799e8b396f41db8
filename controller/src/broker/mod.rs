//! Role `broker`: the built-in MQTT endpoint, MQTT 5 and 3.1.1.
//!
//! It acknowledges a QoS 1 message under `fac/v1/` only after core has committed it. It never
//! decides what a message means, holds no secret but digests of passwords, writes nothing to
//! disk, and takes no QoS 2. Sessions and retained messages live as long as the process: nodes
//! keep an event until core's own authenticated acknowledgement.
//!
//! ```text
//!  client --tcp--> connection --.                .-- uplink <--unix socket--> core
//!  client --tcp--> connection ---+--> hub <-----+
//!  client --tcp--> connection --'  (one short lock, no I/O inside)
//! ```

mod connection;
mod hub;
pub mod limit;
mod packet;
mod shared;
#[cfg(test)]
mod tests;
pub mod topic;
mod uplink;

pub use uplink::CoreLink;

use self::shared::Shared;
use hub::Counter;
use limit::{ACCEPT_BACKOFF, MAX_ACCEPT_BACKOFF, STOP_GRACE};
use room::site::{Mqtt, Site, World};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Why the role cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The site names an external broker.
    #[error("this site uses an external MQTT broker, so there is no endpoint to run")]
    External,
    /// The address.
    #[error("listening for MQTT on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// The role: listens as the site says, stays linked to core, and ends when `stop` is cancelled.
///
/// # Errors
/// [`BrokerError`], before anything is served.
pub async fn role<W: World>(site: &Site<W>, stop: CancellationToken) -> Result<(), BrokerError> {
    let Mqtt::Builtin { listen: addr } = site.mqtt else {
        return Err(BrokerError::External);
    };
    let listener = crate::listen::bind(&site.data_dir, "broker", addr)
        .await
        .map_err(|source| BrokerError::Listen { addr, source })?;
    // Port 0 was a wish; this is what became of it.
    let addr = listener.local_addr().unwrap_or(addr);
    tracing::info!(%addr, "MQTT endpoint listens");
    run(listener, &site.data_dir.join("run/core.sock"), stop).await;
    Ok(())
}

/// Serves clients and calls core at its socket, again and again, until `stop` is cancelled.
pub async fn run(listener: TcpListener, core_socket: &Path, stop: CancellationToken) {
    let (links, link) = mpsc::channel(1);
    tokio::join!(
        uplink::call(core_socket, links, &stop),
        serve(listener, link, stop.clone())
    );
}

/// Serves clients until `stop` is cancelled, with one link to core after the other.
pub async fn serve(listener: TcpListener, links: mpsc::Receiver<CoreLink>, stop: CancellationToken) {
    let shared = Arc::new(Shared::default());
    tokio::join!(
        accept(&listener, &shared, &stop),
        uplink::run(&shared, links, &stop)
    );
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>, stop: &CancellationToken) {
    let mut connections = JoinSet::new();
    let mut pause = ACCEPT_BACKOFF;
    loop {
        // Cancel-safe: an accepted socket is only lost when we stop.
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => report_panic(shared, ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    pause = ACCEPT_BACKOFF;
                    admit(&mut connections, stream, shared, stop);
                }
                Err(error) => {
                    // ECONNABORTED is the client's; EMFILE and ENFILE last until others leave.
                    shared.with(|hub| hub.count(Counter::AcceptFailed));
                    tracing::warn!(%error, "accepting an MQTT client");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = sleep(pause) => pause = (pause * 2).min(MAX_ACCEPT_BACKOFF),
                    }
                }
            }
        }
    }
    let goodbye = async { while connections.join_next().await.is_some() {} };
    timeout(STOP_GRACE, goodbye).await.ok();
}

fn admit(connections: &mut JoinSet<()>, stream: TcpStream, shared: &Arc<Shared>, stop: &CancellationToken) {
    let Ok(permit) = Arc::clone(&shared.connections).try_acquire_owned() else {
        shared.with(|hub| hub.count(Counter::TooManyConnections));
        return;
    };
    let (shared, stop) = (Arc::clone(shared), stop.clone());
    connections.spawn(async move {
        connection::run(stream, shared, stop).await;
        drop(permit);
    });
}

fn report_panic(shared: &Shared, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        shared.with(|hub| hub.count(Counter::TaskFailed));
        tracing::error!(%error, "a task of an MQTT connection failed");
    }
}

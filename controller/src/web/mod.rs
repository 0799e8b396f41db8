//! Role `web`: pages, JSON API, live stream, metrics.
//!
//! ```text
//! core.sock --Snapshot, Records--> link --watch/broadcast--> api, stream, metric --> server --> browser
//!           <--Command, queries--- link <-------------------- api
//! ```
//!
//! It shows what core said last and passes on what a person asks for. It never decides, never
//! writes state, holds no secret, and never passes an old picture off as a new one: while core
//! does not answer, the picture is refused, not repeated. Stopping, pegging or flooding this
//! role changes nothing in core.

pub mod api;
pub mod asset;
pub mod error;
pub mod guard;
pub mod link;
pub mod metric;
pub mod print;
pub mod server;
pub mod stream;

#[cfg(test)]
mod tests;

use crate::listen;
use room::site::{Site, World};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Semaphore, watch};

/// Streams open at once. Each costs a connection for as long as the page is open; the rest of
/// [`server::MAX_CONNECTIONS`] stays free for requests that end by themselves.
pub const MAX_STREAMS: usize = 128;
const _: () = assert!(MAX_STREAMS * 2 <= server::MAX_CONNECTIONS);

/// What the role needs to know of the site.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the pages are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Holds `run/core.sock` and `run/web.addr`.
    pub data_dir: PathBuf,
    /// A simulated room: scenarios may be asked for.
    pub simulated: bool,
}

impl Settings {
    /// The part of the site that concerns this role.
    #[must_use]
    pub fn of<W: World>(site: &Site<W>) -> Self {
        Self {
            listen: site.web.listen,
            data_dir: site.data_dir.clone(),
            simulated: W::SIMULATED,
        }
    }
}

/// Why the role ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours, or cannot be told to the others.
    #[error("listening for the pages on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The system's word.
        source: std::io::Error,
    },
}

/// What this role counts about itself; all of it is in `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests answered.
    pub requests: AtomicU64,
    /// Requests refused by the rules against forged requests.
    pub forged: AtomicU64,
    /// Requests refused because of their body or parameters.
    pub malformed: AtomicU64,
    /// Bodies that did not arrive in time.
    pub slow_bodies: AtomicU64,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections that ended with an error: bad head, head too late, reader too slow.
    pub broken_connections: AtomicU64,
    /// `accept` failed.
    pub accept_errors: AtomicU64,
    /// Handlers that panicked.
    pub panics: AtomicU64,
    /// Streams refused because too many are open.
    pub refused_streams: AtomicU64,
    /// Streams cut because their reader fell behind.
    pub lagged_streams: AtomicU64,
    /// Times the link to core was lost.
    pub link_losses: AtomicU64,
    /// Commands and queries that core did not answer in time.
    pub unanswered: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What every handler shares. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The link to core.
    pub core: link::Core,
    /// Counters of this role.
    pub counters: Arc<Counters>,
    /// One permit for each open stream.
    pub streams: Arc<Semaphore>,
    /// True once the role is stopping: streams end.
    pub stopping: watch::Receiver<bool>,
    /// A simulated room.
    pub simulated: bool,
}

/// Serves until `stop` ends.
///
/// # Errors
/// [`Error`] when the address cannot be bound or told.
pub async fn run<W: World>(site: Site<W>, stop: impl Future<Output = ()>) -> Result<(), Error> {
    serve(Settings::of(&site), stop).await
}

/// [`run`] without the site.
///
/// # Errors
/// [`Error`].
pub async fn serve(settings: Settings, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let failed = |source| Error::Listen {
        addr: settings.listen,
        source,
    };
    let listener = listen::bind(&settings.data_dir, "web", settings.listen)
        .await
        .map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let (stopped, stopping) = watch::channel(false);
    let counters = Arc::new(Counters::default());
    let (core, keeper) = link::connect(
        listen::run_dir(&settings.data_dir).join("core.sock"),
        Arc::clone(&counters),
    );
    let app = App {
        core,
        counters: Arc::clone(&counters),
        streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        stopping: stopping.clone(),
        simulated: settings.simulated,
    };
    let keeper = tokio::spawn(keeper);
    tracing::info!(%addr, "serving");
    let serving = server::serve(listener, api::router(app), counters, stopping);
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => {}
        () = stop => {
            // Nobody may be left listening, then: `serve` ended by itself.
            let _ = stopped.send(true);
            serving.await;
        }
    }
    keeper.abort();
    Ok(())
}

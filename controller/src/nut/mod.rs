//! NUT: a client of upsd (RFC 9271), by which every UPS that a stock NUT driver reads can be read.
//!
//! UPSes of one server share one connection, which stays open. Each poll is one `LIST VAR`; what
//! comes back goes through [`room::nut`]. The server's own words for "I have nothing fresh"
//! (`DATA-STALE`, `DRIVER-NOT-CONNECTED`) fail the poll: old values are never given out.
//!
//! ```text
//! Session (one a UPS) --> Server (one an address and login) --> Connection (dropped on any doubt)
//!                          closed --connect, STARTTLS, USERNAME, PASSWORD--> open
//!                            ^------ error, time-out, strange line ------------+   back-off
//! ```
//!
//! A [`Session`] only reads; [`tell()`] is for commands that the site allows. Neither ever logs in
//! as a client that upsd would wait for at a shutdown (`LOGIN`).

mod connection;
pub(crate) mod line;
mod tell;

pub use line::{ErrorToken, Line, quoted};
pub use tell::{NotTold, Told, tell};

use connection::{Connection, Target};
use rand::Rng as _;
use room::device::{PollFailure, Reading};
use room::site::link::{NutLink, NutTls};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Pause after the first failed connection; it doubles with every further one ...
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// ... up to this: a server that is back must be heard soon, for the mains may be gone.
const BACKOFF_MAX: Duration = Duration::from_secs(4);
/// Longest time of one poll, whatever the site says.
const POLL_MAX: Duration = Duration::from_secs(60);
/// A connection that was open before a poll may have been closed by the server (stock ones do
/// after a minute of silence); then the poll is made once more on a new one.
const ATTEMPTS: usize = 2;

/// Why a server gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no connection: {0}")]
    Connect(#[source] std::io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Lost(#[source] std::io::Error),
    #[error("TLS is required by the site, and the server refuses it: {}", .0.word())]
    NoTls(ErrorToken),
    #[error("TLS: {0}")]
    Handshake(#[source] std::io::Error),
    #[error("{0}")]
    Setup(String),
    #[error("the server refuses: {}", .0.word())]
    Refused(ErrorToken),
    #[error("the server sends {0}")]
    Strange(String),
    #[error("no connection for now: {0}")]
    BackingOff(String),
}

impl Failure {
    /// True when the connection is in step all the same.
    const fn leaves_connection(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// What happened, since the start.
#[derive(Debug, Default)]
struct Counters {
    connected: AtomicU64,
    answered: AtomicU64,
    stale: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
    unknown_lines: AtomicU64,
}

/// The servers that are talked with. Cloning it is cheap and shares them.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    known: Arc<Mutex<HashMap<Target, Weak<Server>>>>,
    counters: Arc<Counters>,
}

impl Servers {
    /// A conversation about one UPS. `timeout` is for one exchange; a poll takes at most that
    /// times `retries` and one.
    #[must_use]
    pub fn session(&self, link: &NutLink, timeout: Duration, retries: u8) -> Session {
        Session {
            server: self.server(link),
            ups: link.ups.clone(),
            limit: (timeout * (u32::from(retries) + 1)).min(POLL_MAX),
        }
    }

    fn server(&self, link: &NutLink) -> Arc<Server> {
        let target = Target {
            addr: link.addr,
            login: link.login.clone(),
            tls: link.tls,
            ca_file: link.ca_file.clone(),
        };
        // Nothing panics while it is held; a poisoned map is as good as any.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, server| server.strong_count() > 0);
        if let Some(server) = known.get(&target).and_then(Weak::upgrade) {
            return server;
        }
        let server = Arc::new(Server {
            target: target.clone(),
            state: tokio::sync::Mutex::new(State::default()),
            counters: Arc::clone(&self.counters),
        });
        known.insert(target, Arc::downgrade(&server));
        server
    }

    /// Names and values, for the snapshot.
    #[must_use]
    pub fn counters(&self) -> [(&'static str, u64); 6] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        [
            ("nut.connected", get(&counters.connected)),
            ("nut.answered", get(&counters.answered)),
            ("nut.stale", get(&counters.stale)),
            ("nut.refused", get(&counters.refused)),
            ("nut.lost", get(&counters.lost)),
            ("nut.unknown_lines", get(&counters.unknown_lines)),
        ]
    }
}

/// One UPS of a server.
pub struct Session {
    server: Arc<Server>,
    ups: String,
    limit: Duration,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}@{})", self.ups, self.server.target.addr)
    }
}

impl Session {
    /// Reads every variable of the UPS. Ends in bounded time.
    ///
    /// # Errors
    /// [`PollFailure`]; `Stale` when the server has nothing fresh.
    pub async fn read(&mut self) -> Result<Reading, PollFailure> {
        let variables = self
            .within(Box::pin(self.server.ask(Ask::Variables(&self.ups))))
            .await?;
        let Answer::Variables(variables) = variables else {
            return Err(PollFailure::Refused(
                "another answer than was asked for".to_owned(),
            ));
        };
        if variables.is_empty() {
            return Err(PollFailure::Refused(
                "the server has no variable of it".to_owned(),
            ));
        }
        Ok(room::nut::reading(&variables))
    }

    /// Reads one variable, as the server has it.
    ///
    /// # Errors
    /// [`PollFailure`]
    pub async fn get(&mut self, variable: &str) -> Result<String, PollFailure> {
        match self
            .within(Box::pin(self.server.ask(Ask::Variable(&self.ups, variable))))
            .await?
        {
            Answer::Variable(value) => Ok(value),
            _ => Err(PollFailure::Refused(
                "another answer than was asked for".to_owned(),
            )),
        }
    }

    /// Names and descriptions of the server's UPSes.
    ///
    /// # Errors
    /// [`PollFailure`]
    pub async fn upses(&mut self) -> Result<Vec<(String, String)>, PollFailure> {
        match self.within(Box::pin(self.server.ask(Ask::Upses))).await? {
            Answer::Upses(upses) => Ok(upses),
            _ => Err(PollFailure::Refused(
                "another answer than was asked for".to_owned(),
            )),
        }
    }

    /// True when the connection is open and encrypted.
    pub async fn is_encrypted(&self) -> bool {
        let state = self.server.state.lock().await;
        state.connection.as_ref().is_some_and(Connection::is_encrypted)
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, PollFailure> {
        match tokio::time::timeout(self.limit, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Failure::Refused(ErrorToken::UnknownUps))) => Err(self.unknown_ups().await),
            Ok(Err(failure)) => Err(self.server.describe(failure)),
            // The connection went with the exchange: its answer would come late.
            Err(_) => Err(PollFailure::Timeout),
        }
    }

    /// A wrong name is a mistake in the site file; the right ones help to find it.
    async fn unknown_ups(&self) -> PollFailure {
        let asked = tokio::time::timeout(self.limit, self.server.ask(Ask::Upses)).await;
        let there = match asked {
            Ok(Ok(Answer::Upses(upses))) if upses.is_empty() => "it has none".to_owned(),
            Ok(Ok(Answer::Upses(upses))) => {
                let names: Vec<&str> = upses.iter().map(|(name, _)| name.as_str()).collect();
                format!("it has: {}", names.join(", "))
            }
            _ => "and does not tell which it has".to_owned(),
        };
        PollFailure::Refused(format!(
            "upsd at {} has no UPS `{}`; {there}",
            self.server.target.addr, self.ups
        ))
    }
}

enum Ask<'a> {
    Variables(&'a str),
    Variable(&'a str, &'a str),
    Upses,
}

enum Answer {
    Variables(Vec<(String, String)>),
    Variable(String),
    Upses(Vec<(String, String)>),
}

struct Server {
    target: Target,
    state: tokio::sync::Mutex<State>,
    counters: Arc<Counters>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.target.addr)
    }
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    failures: u32,
    /// Before this no connection is tried, and why the last one failed.
    closed_until: Option<(Instant, String)>,
}

impl Server {
    /// One exchange. The connection is out of its place while it is used, so an exchange that is
    /// given up takes it along.
    async fn ask(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        let mut state = self.state.lock().await;
        for attempt in 1..=ATTEMPTS {
            let (mut connection, is_new) = match state.connection.take() {
                Some(connection) => (connection, false),
                None => (self.connect(&mut state).await?, true),
            };
            let result = match ask {
                Ask::Variables(ups) => connection.variables(ups).await.map(Answer::Variables),
                Ask::Variable(ups, name) => connection.variable(ups, name).await.map(Answer::Variable),
                Ask::Upses => connection.upses().await.map(Answer::Upses),
            };
            let unknown = std::mem::take(&mut connection.unknown);
            self.counters.unknown_lines.fetch_add(unknown, Ordering::Relaxed);
            match result {
                Ok(answer) => {
                    count(&self.counters.answered);
                    state.connection = Some(connection);
                    return Ok(answer);
                }
                Err(failure) if failure.leaves_connection() && !connection.out_of_step => {
                    state.connection = Some(connection);
                    return Err(failure);
                }
                Err(Failure::Closed | Failure::Lost(_)) if !is_new && attempt < ATTEMPTS => {
                    count(&self.counters.lost);
                }
                Err(failure) => {
                    count(&self.counters.lost);
                    return Err(failure);
                }
            }
        }
        Err(Failure::Closed)
    }

    async fn connect(&self, state: &mut State) -> Result<Connection, Failure> {
        let now = Instant::now();
        if let Some((until, why)) = &state.closed_until
            && now < *until
        {
            return Err(Failure::BackingOff(why.clone()));
        }
        // Stands also when this is given up half-way.
        let pause = BACKOFF_FIRST
            .saturating_mul(1 << state.failures.min(8))
            .min(BACKOFF_MAX);
        let pause = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        state.closed_until = Some((now + pause, "the last try was not answered in time".to_owned()));
        state.failures = state.failures.saturating_add(1);
        match Connection::open(&self.target).await {
            Ok(connection) => {
                if self.target.login.is_some() && !connection.is_encrypted() {
                    tracing::warn!(server = %self.target.addr, "the password travels in the clear: no TLS");
                }
                count(&self.counters.connected);
                state.failures = 0;
                state.closed_until = None;
                Ok(connection)
            }
            Err(failure) => {
                state.closed_until = Some((Instant::now() + pause, failure.to_string()));
                Err(failure)
            }
        }
    }

    fn describe(&self, failure: Failure) -> PollFailure {
        let addr = self.target.addr;
        match failure {
            Failure::Refused(token @ (ErrorToken::DataStale | ErrorToken::DriverNotConnected)) => {
                count(&self.counters.stale);
                let why = match token {
                    ErrorToken::DataStale => "its driver has lost the UPS",
                    _ => "its driver does not run",
                };
                PollFailure::Stale(format!("upsd at {addr} says {}: {why}", token.word()))
            }
            Failure::Refused(ErrorToken::AccessDenied) => {
                count(&self.counters.refused);
                PollFailure::Refused(format!(
                    "upsd at {addr} says ACCESS-DENIED: check user and password_file here, and upsd.users there"
                ))
            }
            Failure::Connect(_) | Failure::Closed | Failure::Lost(_) | Failure::BackingOff(_) => {
                PollFailure::Unreachable(format!("upsd at {addr}: {failure}"))
            }
            Failure::NoTls(_)
            | Failure::Handshake(_)
            | Failure::Setup(_)
            | Failure::Refused(_)
            | Failure::Strange(_) => {
                count(&self.counters.refused);
                PollFailure::Refused(format!("upsd at {addr}: {failure}"))
            }
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A link for a server that a person names, without a site file.
#[must_use]
pub const fn link(addr: SocketAddr, ups: String, tls: NutTls) -> NutLink {
    NutLink {
        addr,
        ups,
        login: None,
        tls,
        ca_file: None,
    }
}

#[cfg(test)]
mod tests;

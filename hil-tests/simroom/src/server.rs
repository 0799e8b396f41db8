//! A simulated server: a real SSH server on loopback that stops when it is told to.
//!
//! It accepts one public key for one account, and whatever command is sent, it does what a
//! forced command does: it stops the "host". After its stop time the listener is closed and
//! every connection is cut, as a host does that goes down; [`Server::boot`] brings it back on
//! the same port. It never runs a command of this machine: there is no code for it here.
//!
//! ```text
//! Up --stop request--> Stopping --stop time--> Down --boot--> Up
//! ```

use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::{LineEnding, PrivateKey, PublicKey};
use russh::server::{self, Auth, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Connections at a time; further ones are closed at once.
pub const MAX_CONNECTIONS: usize = 32;
/// Commands remembered, oldest first.
pub const MAX_COMMANDS: usize = 64;
/// Longest time to bind the port again after the host was down.
pub const REBIND: Duration = Duration::from_secs(5);

/// How the server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Answers at once with success and is down after the stop time.
    Normal {
        /// Time from the request to "down".
        stop_after: Duration,
    },
    /// As `Normal`, but the command takes its time to answer.
    Slow {
        /// Time from the request to the exit status.
        answer_after: Duration,
        /// Time from the request to "down"; shorter than `answer_after` cuts the connection
        /// before the status.
        stop_after: Duration,
    },
    /// Accepts the command, never answers it and never stops.
    Hang,
    /// Accepts the connection and never says a word.
    Mute,
    /// Refuses every key.
    Refuse,
    /// The command ends with this status and the host stays up.
    Fail(u32),
    /// Answers with success and stays up.
    Ignore,
}

/// Where a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Running.
    Up,
    /// Asked to stop and still answering.
    Stopping,
    /// Stopped: the port is closed.
    Down,
}

/// What happened to a server so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Where it stands.
    pub power: Power,
    /// Commands received.
    pub requests: u32,
    /// Times it was stopped by a command: the count by effect.
    pub stops: u32,
    /// Accepted logins.
    pub logins: u32,
    /// Refused keys.
    pub refused: u32,
    /// Commands as they were sent.
    pub commands: Vec<String>,
}

/// What a server is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// Short name, for logs.
    pub name: String,
    /// The account.
    pub user: String,
    /// Its own key.
    pub host_key: PrivateKey,
    /// The one key that may log in.
    pub authorized: PublicKey,
    /// How it behaves.
    pub mode: Mode,
}

/// A running simulated server; dropping it closes its port and connections.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

/// A new Ed25519 key.
#[must_use]
pub fn new_key() -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&rand::random()))
}

/// The private key as the text of an OpenSSH key file.
///
/// # Panics
/// Never: an unencrypted Ed25519 key always encodes.
#[must_use]
pub fn private_text(key: &PrivateKey) -> String {
    key.to_openssh(LineEnding::LF)
        .expect("an unencrypted Ed25519 key always encodes")
        .to_string()
}

/// The public key as in `authorized_keys` or a site's `host_key`.
///
/// # Panics
/// Never: an Ed25519 key always encodes.
#[must_use]
pub fn public_text(key: &PrivateKey) -> String {
    key.public_key()
        .to_openssh()
        .expect("an Ed25519 key always encodes")
}

impl Server {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(config: Config) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let shared = Arc::new(Shared {
            addr: listener.local_addr()?,
            ssh: Arc::new(server::Config {
                keys: vec![config.host_key.clone()],
                methods: MethodSet::from(&[MethodKind::PublicKey][..]),
                auth_rejection_time: Duration::from_millis(50),
                auth_rejection_time_initial: Some(Duration::ZERO),
                inactivity_timeout: Some(Duration::from_secs(120)),
                nodelay: true,
                ..server::Config::default()
            }),
            inner: Mutex::new(Inner {
                mode: config.mode,
                state: State {
                    power: Power::Up,
                    requests: 0,
                    stops: 0,
                    logins: 0,
                    refused: 0,
                    commands: Vec::new(),
                },
                accepting: None,
                stopping: None,
                connections: Vec::new(),
            }),
            config,
        });
        shared.accept(listener);
        Ok(Self { shared })
    }

    /// Where it listens, now or after its next boot.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// Short name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.config.name
    }

    /// The account that may log in.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.shared.config.user
    }

    /// The public host key, as in a site's `host_key`.
    #[must_use]
    pub fn host_key(&self) -> String {
        public_text(&self.shared.config.host_key)
    }

    /// What happened so far.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.lock().state.clone()
    }

    /// Changes how it behaves from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.lock().mode = mode;
    }

    /// Cuts its power: down at once, without having been asked.
    pub fn power_off(&self) {
        self.shared.go_down();
    }

    /// Starts it again on its port; nothing happens when it is up.
    ///
    /// # Errors
    /// When the port cannot be opened again within [`REBIND`].
    pub async fn boot(&self) -> std::io::Result<()> {
        if self.shared.lock().state.power != Power::Down {
            return Ok(());
        }
        let bind = async {
            loop {
                match TcpListener::bind(self.shared.addr).await {
                    Ok(listener) => return listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let listener = tokio::time::timeout(REBIND, bind).await?;
        self.shared.lock().state.power = Power::Up;
        self.shared.accept(listener);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.go_down();
    }
}

#[derive(Debug)]
struct Shared {
    addr: SocketAddr,
    config: Config,
    ssh: Arc<server::Config>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    mode: Mode,
    state: State,
    accepting: Option<JoinHandle<()>>,
    stopping: Option<JoinHandle<()>>,
    /// A second handle of each open socket, to cut it.
    connections: Vec<Arc<TcpStream>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while it was held would have left only counters behind.
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: TcpListener) {
        let shared = Arc::clone(self);
        let accepting = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => shared.serve(stream),
                    // Out of file handles: wait for some to come back.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        self.lock().accepting = Some(accepting);
    }

    fn serve(self: &Arc<Self>, stream: tokio::net::TcpStream) {
        let cut = match stream.into_std().and_then(|stream| {
            // The library does this only for listeners of its own; without it half of the log-ins
            // take 40 ms longer, the time of a delayed acknowledgement.
            stream.set_nodelay(true)?;
            let cut = Arc::new(stream.try_clone()?);
            Ok((tokio::net::TcpStream::from_std(stream)?, cut))
        }) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "a connection that ended at once");
                return;
            }
        };
        let (stream, cut) = cut;
        let mute = {
            let mut inner = self.lock();
            if inner.connections.len() >= MAX_CONNECTIONS {
                return;
            }
            inner.connections.push(Arc::clone(&cut));
            inner.mode == Mode::Mute
        };
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            if mute {
                // Reads what comes and never answers; ends when the client does.
                let (mut from, _to) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
            } else {
                let handler = Login {
                    shared: Arc::clone(&shared),
                };
                if let Ok(session) = server::run_stream(Arc::clone(&shared.ssh), stream, handler).await {
                    let _ = session.await;
                }
            }
            shared
                .lock()
                .connections
                .retain(|other| !Arc::ptr_eq(other, &cut));
        });
    }

    fn go_down(&self) {
        let mut inner = self.lock();
        if let Some(accepting) = inner.accepting.take() {
            accepting.abort();
        }
        if let Some(stopping) = inner.stopping.take() {
            stopping.abort();
        }
        for connection in inner.connections.drain(..) {
            // Already closed by the other side is as good.
            let _ = connection.shutdown(Shutdown::Both);
        }
        inner.state.power = Power::Down;
    }

    /// A stop command: counts as a stop only when the host was up.
    fn stop(self: &Arc<Self>, stop_after: Duration) {
        let mut inner = self.lock();
        if inner.state.power != Power::Up {
            return;
        }
        inner.state.power = Power::Stopping;
        inner.state.stops += 1;
        let shared = Arc::clone(self);
        inner.stopping = Some(tokio::spawn(async move {
            tokio::time::sleep(stop_after).await;
            // Not to abort itself half-way.
            shared.lock().stopping = None;
            shared.go_down();
        }));
    }
}

struct Login {
    shared: Arc<Shared>,
}

impl Login {
    fn allows(&self, user: &str, key: &PublicKey) -> bool {
        let config = &self.shared.config;
        self.shared.lock().mode != Mode::Refuse
            && user == config.user
            && key.key_data() == config.authorized.key_data()
    }
}

impl server::Handler for Login {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let allowed = self.allows(user, key.public_key);
        let mut inner = self.shared.lock();
        if allowed {
            inner.state.logins += 1;
            Ok(Auth::Accept)
        } else {
            inner.state.refused += 1;
            Ok(Auth::reject())
        }
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let mode = {
            let mut inner = self.shared.lock();
            inner.state.requests += 1;
            if inner.state.commands.len() < MAX_COMMANDS {
                let command = String::from_utf8_lossy(&data[..data.len().min(256)]).into_owned();
                inner.state.commands.push(command);
            }
            inner.mode
        };
        session.channel_success(channel)?;
        let status = match mode {
            Mode::Normal { stop_after } => {
                self.shared.stop(stop_after);
                0
            }
            Mode::Slow {
                answer_after,
                stop_after,
            } => {
                self.shared.stop(stop_after);
                let handle = session.handle();
                tokio::spawn(async move {
                    tokio::time::sleep(answer_after).await;
                    // Fails when the connection was cut meanwhile, which is the point of it.
                    let _ = handle.exit_status_request(channel, 0).await;
                    let _ = handle.close(channel).await;
                });
                return Ok(());
            }
            Mode::Hang | Mode::Mute | Mode::Refuse => return Ok(()),
            Mode::Fail(status) => {
                session.extended_data(
                    channel,
                    1,
                    "the command was refused on this host\n".as_bytes().to_vec(),
                )?;
                status
            }
            Mode::Ignore => 0,
        };
        session.exit_status_request(channel, status)?;
        session.eof(channel)?;
        session.close(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}

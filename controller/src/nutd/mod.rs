//! Role `nut`: the UPSes of the room for NUT's clients: upsmon of other hosts, NAS boxes.
//!
//! It serves what core sees ([`room::nut::served`]) and decides nothing: who is told to shut down
//! stands in the picture that core sends. It holds the digests of its accounts' passwords and the
//! key of its certificate, and no secret of any device: what a client wants of one it asks of core.
//! Taken over, it can tell its own clients a lie, and ask for the tests and beepers that its accounts
//! may; it cannot switch power, nor stop a server that does not ask it, nor delay core.
//!
//! One task a connection; a reply is one write, and `TCP_NODELAY` is set: a client that asks for
//! forty variables one by one is not made to wait for delayed acknowledgements.

mod gate;
mod hall;
mod orders;
mod session;
#[cfg(test)]
mod tests;

use crate::link::{self, FromNut, ToNut, wire};
use hall::{Account, Hall, Place};
use orders::Asked;
use room::site::nas::Nas;
use room::site::nut_server::{Net, NutServer, Role};
use room::site::{Site, World};
use session::{Session, Then};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Most connections at a time.
const MAX_CLIENTS: usize = 4096;
/// Longest line; stock clients stay below 512 bytes.
const MAX_LINE: usize = 4096;
/// Answers to lines that came together wait for one write up to so many bytes: 512 lines that fit
/// one read may each ask for a long list.
const MAX_OUT: usize = 64 * 1024;
/// A client that says nothing for so long is closed; stock upsd does so after 60 s.
const IDLE: Duration = Duration::from_secs(120);
/// A client that does not take its answer for so long is closed.
const WRITE: Duration = Duration::from_secs(10);
/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after an accept that failed, and between calls at core.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks at the age of what is served, and two reports of counters.
const TICK: Duration = Duration::from_secs(1);

/// Why the role cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NutdError {
    /// The site has no `[nut_server]`.
    #[error("this site has no [nut_server], so there is nothing to run")]
    None,
    /// The address.
    #[error("listening for NUT's clients on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A password file.
    #[error("the password file {}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Certificate or key.
    #[error("the certificate {} with its key", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The role: listens as the site says, stays linked to core, and ends when `stop` is cancelled.
///
/// # Errors
/// [`NutdError`], before anything is served.
pub async fn role<W: World>(site: &Site<W>, stop: CancellationToken) -> Result<(), NutdError> {
    let server = site.nut_server.as_ref().ok_or(NutdError::None)?;
    let (hall, mut asked, tls) = furnish(server)?;
    let addr = server.listen;
    let listener = crate::listen::bind(&site.data_dir, "nut", addr)
        .await
        .map_err(|source| NutdError::Listen { addr, source })?;
    tracing::info!(addr = %listener.local_addr().unwrap_or(addr), "NUT server listens");
    let hall = Arc::new(hall);
    let socket = crate::core::socket_path(&site.data_dir);
    tokio::select! {
        () = stop.cancelled() => {}
        () = serve(listener, Arc::clone(&hall), tls) => {}
        () = follow(&socket, &hall, &mut asked) => {}
    }
    Ok(())
}

type Furnished = (Hall, mpsc::Receiver<Asked>, Option<TlsAcceptor>);

fn furnish(server: &NutServer) -> Result<Furnished, NutdError> {
    let mut accounts = server
        .users
        .iter()
        .map(|user| {
            let password = password(&user.password_file).map_err(|source| NutdError::Password {
                path: user.password_file.clone(),
                source,
            })?;
            Ok(Account {
                name: user.name.clone(),
                password_sha256: Sha256::digest(password.as_bytes()).into(),
                role: user.role,
                from: user.from.clone(),
                instcmds: user.instcmds.clone(),
                set: user.set,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    accounts.extend(server.nas.iter().map(account_of_nas));
    let tls =
        match &server.tls {
            None => None,
            Some(files) => Some(acceptor(&files.cert_file, &files.key_file).map_err(|source| {
                NutdError::Certificate {
                    path: files.cert_file.clone(),
                    source,
                }
            })?),
        };
    let (hall, asked) = Hall::new(accounts, server.nas.clone(), server.allow.clone(), tls.is_some());
    Ok((hall, asked, tls))
}

/// The account that a NAS says, from its own address; it commands nothing.
fn account_of_nas(nas: &Nas) -> Account {
    let (user, password) = nas.maker.account();
    Account {
        name: user.to_owned(),
        password_sha256: Sha256::digest(password).into(),
        role: Role::Secondary,
        from: vec![Net::of(nas.address)],
        instcmds: Vec::new(),
        set: false,
    }
}

/// The password in a file that nobody else can read; one line end behind it is no part of it.
fn password(path: &Path) -> io::Result<String> {
    private(path)?;
    let text = std::fs::read_to_string(path)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(io::Error::other("it is empty"));
    }
    Ok(text.to_owned())
}

/// Refuses a file that others may read.
fn private(path: &Path) -> io::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "mode {:04o}: others may read it; chmod 0600",
            mode & 0o7777
        )));
    }
    Ok(())
}

fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, Box<dyn std::error::Error + Send + Sync>> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
    private(key).map_err(|error| format!("the key {}: {error}", key.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts clients; never ends.
async fn serve(listener: TcpListener, hall: Arc<Hall>, tls: Option<TlsAcceptor>) {
    let free = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut clients = JoinSet::new();
    let mut next_id = 0;
    loop {
        // Cancel-safe: an accepted socket is only lost when we stop.
        tokio::select! {
            Some(ended) = clients.join_next() => {
                if let Err(error) = ended {
                    hall.count("tasks_failed");
                    tracing::error!(%error, "a task of a NUT client failed");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let permit = Arc::clone(&free).try_acquire_owned().ok();
                    let peer = peer.ip().to_canonical();
                    let Some((permit, place)) = permit.and_then(|permit| Some((permit, admit(&hall, peer)?)))
                    else {
                        refuse(&hall, peer);
                        continue;
                    };
                    next_id += 1;
                    let session = Session::new(next_id, peer);
                    let (hall, tls) = (Arc::clone(&hall), tls.clone());
                    clients.spawn(async move {
                        client(stream, session, &hall, tls.as_ref()).await;
                        drop((permit, place));
                    });
                }
                Err(error) => {
                    hall.count("accept_failed");
                    tracing::warn!(%error, "accepting a NUT client");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

fn admit(hall: &Arc<Hall>, peer: IpAddr) -> Option<Place> {
    hall.may_connect(peer).then(|| hall.enter(peer)).flatten()
}

/// Counts a connection that gets no place. The log hears of the first, the second, the fourth and so
/// on: a client that comes again and again fills no disk.
fn refuse(hall: &Hall, peer: IpAddr) {
    let (name, why) = if hall.may_connect(peer) {
        (
            "connections_beyond_limit",
            "it has as many as one address may, or there are as many as there may be at all",
        )
    } else {
        ("connections_refused", "`allow` of [nut_server] does not name it")
    };
    let times = hall.count(name);
    if times.is_power_of_two() {
        tracing::warn!(%peer, times, "a NUT client is not let in: {why}");
    }
}

/// One client from its first line to its last. Whatever ends it, it is logged out.
async fn client(mut stream: TcpStream, session: Session, hall: &Hall, tls: Option<&TlsAcceptor>) {
    let mut seat = Seat { session, hall };
    let _ = stream.set_nodelay(true);
    if talk(&mut stream, &mut seat.session, hall).await != Then::StartTls {
        return;
    }
    let Some(tls) = tls else { return };
    match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(mut stream)) => {
            seat.session.secured(hall);
            talk(&mut stream, &mut seat.session, hall).await;
        }
        _ => {
            hall.count("handshakes_failed");
        }
    }
}

/// Logs out when it goes.
struct Seat<'h> {
    session: Session,
    hall: &'h Hall,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.session.leave(self.hall);
    }
}

/// Answers lines until the client goes, is closed, or begins TLS. All lines that came together
/// are answered by one write, or by a few when the answers are long.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, session: &mut Session, hall: &Hall) -> Then {
    let (mut input, mut out) = (Vec::with_capacity(512), Vec::new());
    loop {
        match timeout(IDLE, stream.read_buf(&mut input)).await {
            Ok(Ok(1..)) => {}
            _ => return Then::Close,
        }
        let mut then = Then::Stay;
        let mut begin = 0;
        while let Some(end) = input[begin..].iter().position(|byte| *byte == b'\n') {
            then = session.line(&input[begin..begin + end], hall, &mut out);
            begin += end + 1;
            if then == Then::Order {
                session.order(hall, &mut out).await;
                then = Then::Stay;
            }
            if then != Then::Stay {
                break;
            }
            if out.len() >= MAX_OUT && !send(stream, &mut out).await {
                return Then::Close;
            }
        }
        // What came behind STARTTLS in the clear was not said by who will speak TLS.
        if then == Then::StartTls && begin < input.len() {
            hall.count("refused");
            return Then::Close;
        }
        input.drain(..begin);
        if input.len() > MAX_LINE {
            out.extend_from_slice(b"ERR TOO-LONG\n");
            then = Then::Close;
        }
        if !send(stream, &mut out).await {
            return Then::Close;
        }
        if then != Then::Stay {
            let _ = timeout(WRITE, stream.flush()).await;
            return then;
        }
    }
}

/// True when the client took it all.
async fn send<S: AsyncWrite + Unpin>(stream: &mut S, out: &mut Vec<u8>) -> bool {
    let is_sent = matches!(timeout(WRITE, stream.write_all(out)).await, Ok(Ok(())));
    out.clear();
    out.shrink_to(MAX_OUT);
    is_sent
}

/// Calls core again and again, and takes in what it sees; never ends.
async fn follow(socket: &Path, hall: &Hall, asked: &mut mpsc::Receiver<Asked>) {
    loop {
        if let Err(error) = listen_to(socket, hall, asked).await {
            tracing::debug!(%error, "core is not there");
        }
        hall.age(Instant::now());
        // Nobody waits for a core that is away: an order that comes late is a surprise.
        while asked.try_recv().is_ok() {}
        sleep(PAUSE).await;
    }
}

async fn listen_to(
    socket: &Path,
    hall: &Hall,
    asked: &mut mpsc::Receiver<Asked>,
) -> Result<(), wire::LinkError> {
    let (mut reader, mut writer) = wire::connect(socket, link::Role::Nut).await?;
    tracing::info!("linked to core");
    let mut ticks = interval(TICK);
    let mut answers = BTreeMap::new();
    let mut next_token = 0_u64;
    loop {
        // Every arm is cancel-safe.
        tokio::select! {
            message = reader.next::<ToNut>() => match message? {
                ToNut::Served(served) => hall.show(served, Instant::now()),
                ToNut::Unchanged => hall.heard(Instant::now()),
                ToNut::Ordered { token, result } => {
                    if let Some(Asked { answer, .. }) = answers.remove(&token) {
                        // A client that has gone wants no answer.
                        let _ = answer.send(result);
                    }
                }
            },
            Some(asked) = asked.recv(), if answers.len() < orders::MAX_WAITING => {
                next_token += 1;
                let message = FromNut::Wish {
                    token: next_token,
                    account: asked.account.clone(),
                    peer: asked.peer,
                    ups: asked.ups.clone(),
                    wish: asked.wish.clone(),
                };
                answers.insert(next_token, asked);
                writer.send(&message).await?;
            }
            _ = ticks.tick() => {
                // A core that only stood still goes on with "unchanged", and that brings nothing back:
                // called again, it says everything.
                if hall.age(Instant::now()) {
                    return Err(wire::LinkError::Silent);
                }
                // Whoever gave up waiting takes no place.
                answers.retain(|_, asked: &mut Asked| !asked.answer.is_closed());
                writer.send(&FromNut::Counters(hall.counters())).await?;
                writer.send(&FromNut::Logins(hall.all_logins())).await?;
            }
        }
    }
}

//! Action `ssh`: log in with a key whose `authorized_keys` line forces the command.
//!
//! The server's host key is pinned in the site: exactly that key and no other, and there is no
//! "trust on first use". Nothing of `~/.ssh` is read, no password is ever tried, no terminal,
//! agent or port is forwarded. The key file must belong to this role alone.
//!
//! A connection carries its permit in its type: [`Connection<Checked>`] can log in and close,
//! [`Connection<Armed>`] can also run the command.

use super::action::{Accepted, Problem, Sent, printable};
use super::permit::{Armed, Checked};
use room::site::SshAction;
use russh::client::{self, AuthResult};
use russh::keys::ssh_key::{HashAlg, PrivateKey, PublicKey};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect, Preferred};
use std::borrow::Cow;
use std::io::Read as _;
use std::net::{Shutdown, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// Longest key file in bytes; an Ed25519 key has about 400.
pub const MAX_KEY_FILE: u64 = 16 * 1024;
/// Most bytes of the command's output that are kept; the rest is read and dropped.
pub const MAX_OUTPUT: usize = 4 * 1024;
/// How long output is read after the command has ended.
pub const LAST_WORDS: Duration = Duration::from_millis(300);
/// Longest time to say goodbye to a server.
pub const GOODBYE: Duration = Duration::from_millis(300);

/// Logs in and closes; the command is not run.
///
/// # Errors
/// [`Problem`] with what to do about it.
pub async fn check<A: Copy + Into<SocketAddr>>(
    action: &SshAction<A>,
    permit: Checked,
) -> Result<(), Problem> {
    Connection::open(action, permit).await?.close().await;
    Ok(())
}

/// Logs in and runs the command.
///
/// # Errors
/// [`Problem`]: no connection, another host key, refused key, exit status other than 0, time-out.
pub async fn request<A: Copy + Into<SocketAddr>>(
    action: &SshAction<A>,
    permit: Armed,
    sent: &Sent,
) -> Result<Accepted, Problem> {
    let connection = Connection::open(action, permit).await?;
    let limit = Duration::from_millis(action.command_timeout.0);
    let result = match tokio::time::timeout(limit, connection.run(&action.command, sent)).await {
        Ok(result) => result,
        Err(_) => Err(Problem::passing(format!(
            "{}: the command did not end within {} s",
            connection.addr,
            limit.as_secs_f64()
        ))),
    };
    connection.close().await;
    result
}

/// A connection that is logged in.
pub struct Connection<P> {
    addr: SocketAddr,
    handle: client::Handle<Pin>,
    _socket: Socket,
    _permit: P,
}

/// Closes the connection when it is dropped. The client library moves a connection in a task
/// of its own, and that task waits for ever for a server that falls silent during the key
/// exchange; with the socket closed it ends.
struct Socket(std::net::TcpStream);

impl Drop for Socket {
    fn drop(&mut self) {
        // Closed by the other side already is as good.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl<P> Connection<P> {
    /// Connects, compares the host key, logs in.
    ///
    /// # Errors
    /// [`Problem`].
    pub async fn open<A: Copy + Into<SocketAddr>>(action: &SshAction<A>, permit: P) -> Result<Self, Problem> {
        let addr: SocketAddr = action.addr.into();
        let key = read_key(&action.key_file)?;
        let pinned = PublicKey::from_openssh(&action.host_key).map_err(|error| {
            Problem::lasting(format!(
                "{addr}: the host key of the configuration is no public key: {error}"
            ))
        })?;
        let limit = Duration::from_millis(action.connect_timeout.0);
        match tokio::time::timeout(limit, log_in(addr, &action.user, key, pinned)).await {
            Ok(Ok((handle, socket))) => Ok(Self {
                addr,
                handle,
                _socket: socket,
                _permit: permit,
            }),
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err(Problem::passing(format!(
                "{addr}: no login within {} s",
                limit.as_secs_f64()
            ))),
        }
    }

    async fn close(self) {
        let goodbye = self.handle.disconnect(Disconnect::ByApplication, "", "");
        // A host that is going down does not answer; dropping the handle closes the socket.
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

impl Connection<Armed> {
    /// Runs the command and reads how it ended.
    async fn run(&self, command: &str, sent: &Sent) -> Result<Accepted, Problem> {
        let addr = self.addr;
        let broken = |what: &str, error: russh::Error| Problem::passing(format!("{addr}: {what}: {error}"));
        let mut channel = self
            .handle
            .channel_open_session()
            .await
            .map_err(|error| broken("opening a session", error))?;
        // From here on the server may act, whether or not we hear of it.
        sent.set();
        channel
            .exec(true, command)
            .await
            .map_err(|error| broken("sending the command", error))?;

        let mut accepted = false;
        let mut output = Vec::new();
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => accepted = true,
                Some(ChannelMsg::Failure) => {
                    return Err(Problem::passing(format!(
                        "{addr}: the server refuses to run commands for this key"
                    )));
                }
                Some(ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. }) => {
                    keep(&mut output, &data);
                }
                Some(ChannelMsg::ExitStatus { exit_status: 0 }) => return Ok(Accepted::Succeeded),
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    // Its words may come after its status. Something it left behind may hold
                    // the channel open, so they are not waited for long.
                    let last_words = async {
                        while let Some(message) = channel.wait().await {
                            if let ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } = message
                            {
                                keep(&mut output, &data);
                            }
                        }
                    };
                    let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
                    return Err(Problem::passing(said(
                        &format!("{addr}: the command ended with status {exit_status}"),
                        &output,
                    )));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    return Err(Problem::passing(said(
                        &format!("{addr}: the command was ended by signal {signal_name:?}"),
                        &output,
                    )));
                }
                Some(_) => {}
                None if accepted => return Ok(Accepted::Cut),
                None => {
                    return Err(Problem::passing(format!(
                        "{addr}: the connection ended before the server accepted the command"
                    )));
                }
            }
        }
    }
}

async fn log_in(
    addr: SocketAddr,
    user: &str,
    key: Arc<PrivateKey>,
    pinned: PublicKey,
) -> Result<(client::Handle<Pin>, Socket), Problem> {
    let broken =
        |what: &str, error: &dyn std::fmt::Display| Problem::passing(format!("{addr}: {what}: {error}"));
    let (stream, socket) = connect(addr)
        .await
        .map_err(|error| broken("connecting", &error))?;

    // A server has several host keys; ask for the kind that is pinned.
    let algorithm = pinned.algorithm();
    let config = client::Config {
        preferred: Preferred {
            key: Cow::Owned(vec![algorithm.clone()]),
            ..Preferred::DEFAULT
        },
        ..client::Config::default()
    };
    let seen = Arc::new(Mutex::new(None));
    let handler = Pin {
        pinned: pinned.clone(),
        seen: Arc::clone(&seen),
    };
    let mut handle = client::connect_stream(Arc::new(config), stream, handler).await.map_err(|error| {
        let other = seen.lock().ok().and_then(|mut seen| seen.take());
        match (error, other) {
            (russh::Error::UnknownKey, Some(other)) => Problem::lasting(format!(
                "{addr}: another host key than the pinned one: it shows {other}, the configuration says {}; \
                 the server was reinstalled, or something else answers in its place",
                pinned.fingerprint(HashAlg::Sha256)
            )),
            (russh::Error::NoCommonAlgo { .. }, _) => Problem::passing(format!(
                "{addr}: the server has no host key or cipher of a kind we use (pinned: {algorithm})"
            )),
            (error, _) => broken("opening the connection", &error),
        }
    })?;

    let fingerprint = key.fingerprint(HashAlg::Sha256);
    match handle
        .authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, None))
        .await
    {
        Ok(AuthResult::Success) => Ok((handle, socket)),
        Ok(AuthResult::Failure { .. }) if handle.is_closed() => Err(Problem::passing(format!(
            "{addr}: the connection ended during the login"
        ))),
        // A server whose directory or disk is not there yet refuses good keys, too.
        Ok(AuthResult::Failure { .. }) => Err(Problem::passing(format!(
            "{addr}: the server does not accept key {fingerprint} for user {user}; \
             see authorized_keys on the server"
        ))),
        Err(error) => Err(broken("logging in", &error)),
    }
}

async fn connect(addr: SocketAddr) -> std::io::Result<(TcpStream, Socket)> {
    let stream = TcpStream::connect(addr).await?.into_std()?;
    let socket = Socket(stream.try_clone()?);
    // Small packets in both directions: without this every answer waits for a delayed ack.
    stream.set_nodelay(true)?;
    Ok((TcpStream::from_std(stream)?, socket))
}

/// Accepts the pinned key alone, and keeps the fingerprint of any other for the message.
struct Pin {
    pinned: PublicKey,
    seen: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Pin {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let other = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } if key.key_data() == self.pinned.key_data() => {
                return Ok(true);
            }
            PublicKeyOrCertificate::PublicKey { key, .. } => key.fingerprint(HashAlg::Sha256).to_string(),
            PublicKeyOrCertificate::Certificate(_) => "a certificate".to_owned(),
        };
        if let Ok(mut seen) = self.seen.lock() {
            *seen = Some(other);
        }
        Ok(false)
    }
}

/// Reads a private key that no one else can read.
///
/// # Errors
/// [`Problem`]: lasting when a person must mend the file.
fn read_key(path: &Path) -> Result<Arc<PrivateKey>, Problem> {
    let at = path.display();
    let unreadable =
        |error: std::io::Error| Problem::of_file(format_args!("reading the key file {at}"), &error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // Asked of the opened file, so that it cannot be exchanged in between.
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(Problem::lasting(format!("the key file {at} is not a file")));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(Problem::lasting(format!(
            "the key file {at} can be read by others (mode {:04o}); chmod 600 it, and replace the key if others use this machine",
            meta.mode() & 0o7777
        )));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let key = PrivateKey::from_openssh(text.as_bytes()).map_err(|error| {
        Problem::lasting(format!(
            "the key file {at} is no private key in OpenSSH format: {error}"
        ))
    })?;
    if key.is_encrypted() {
        return Err(Problem::lasting(format!(
            "the key in {at} has a passphrase; nobody is there to type it during an outage"
        )));
    }
    Ok(Arc::new(key))
}

fn keep(output: &mut Vec<u8>, data: &[u8]) {
    let room = MAX_OUTPUT.saturating_sub(output.len());
    output.extend_from_slice(&data[..data.len().min(room)]);
}

fn said(what: &str, output: &[u8]) -> String {
    let output = printable(output, 240);
    if output.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {output}")
    }
}

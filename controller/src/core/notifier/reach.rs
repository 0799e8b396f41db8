//! What senders over the network share: a connection to a host, the secrets in files, and failures
//! in one line.

use crate::tls::{self, Believe};
use room::notice::SendFailure;
use room::notice::text::line;
use room::site::Secret;
use room::site::notifier::host::{Host, is_closed};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longest wait for one address of a host; the next one is tried after that.
const CONNECT_EACH: Duration = Duration::from_secs(5);
/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 4;
/// Largest file with a secret in bytes; tokens have up to 4 KiB.
const MAX_SECRET: u64 = 8 * 1024;

/// Connects to a host. Where it must stay within the closed network, other addresses of its name
/// are left out.
pub(super) async fn connect(host: &Host, closed: bool) -> Result<TcpStream, SendFailure> {
    let found = tokio::net::lookup_host((host.name.as_str(), host.port))
        .await
        .map_err(|error| SendFailure::passing(format!("the address of {host} was not found: {error}")))?;
    let mut problem = SendFailure::passing(format!("{host} has no address"));
    for addr in found.take(MAX_ADDRESSES) {
        if closed && !is_closed(addr.ip()) {
            problem = SendFailure::lasting(format!(
                "{host} is at {addr}, outside of the closed network; in the clear nothing goes there"
            ));
            continue;
        }
        match tokio::time::timeout(CONNECT_EACH, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => {
                // A notice is a few small writes; each is waited for.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => problem = SendFailure::passing(format!("connecting to {host}: {error}")),
            Err(_) => {
                problem = SendFailure::passing(format!(
                    "{host} does not answer within {} s",
                    CONNECT_EACH.as_secs()
                ));
            }
        }
    }
    Err(problem)
}

/// Whom a server must be; kept over attempts, made anew after a failure, since somebody may have
/// changed the file.
#[derive(Default)]
pub(super) struct Trust(Option<Arc<ClientConfig>>);

impl Trust {
    /// The TLS handshake on a fresh connection.
    pub(super) async fn handshake(
        &mut self,
        ca_file: Option<&Path>,
        name: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, SendFailure> {
        let config = match self.0.take() {
            Some(config) => config,
            None => tls::config(ca_file.map_or(Believe::Machine, Believe::File))
                .await
                .map_err(|error| SendFailure::lasting(one_line(&error)))?,
        };
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| SendFailure::lasting(format!("{name} cannot stand in a certificate")))?;
        let stream = TlsConnector::from(Arc::clone(&config))
            .connect(server, stream)
            .await
            .map_err(|error| {
                // Another certificate than expected stays so until a person acts; a connection that
                // ends in the middle may not.
                let refused = error.kind() == std::io::ErrorKind::InvalidData;
                SendFailure {
                    retryable: !refused,
                    problem: line(&format!("TLS with {name}: {error}")),
                }
            })?;
        self.0 = Some(config);
        Ok(stream)
    }
}

/// A secret from a file that is readable by its owner alone; line breaks at its end are not part of
/// it. Read for each attempt: who renews it need not restart anything.
pub(super) async fn secret(path: &Path) -> Result<Secret, SendFailure> {
    let unreadable =
        |error: std::io::Error| SendFailure::lasting(format!("reading {}: {error}", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mode = file.metadata().await.map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(SendFailure::lasting(format!(
            "{} can be read by others (mode {:04o}): chmod 600",
            path.display(),
            mode & 0o7777
        )));
    }
    let mut text = String::new();
    file.take(MAX_SECRET)
        .read_to_string(&mut text)
        .await
        .map_err(unreadable)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() {
        return Err(SendFailure::lasting(format!("{} is empty", path.display())));
    }
    Ok(Secret(text))
}

/// Two lower-case digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error and its causes in one bounded line.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    line(&text)
}

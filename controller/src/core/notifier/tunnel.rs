//! TLS for a client that speaks to a socket file: what it says comes out at a server, through TLS.
//!
//! ```text
//! rumqttc --(socket file, its owner alone)--> tunnel --TLS--> broker
//! ```
//! rumqttc's own TLS would bring a second, older verifier of certificates (rustls-webpki 0.102) and an
//! abandoned reader of PEM beside the ones that everything else here uses, and would not know pins. So the
//! bytes go through the house's one TLS, with the same rules for `ca_file` and the same words for what is wrong.
//!
//! One connection at a time: the newest. It holds nothing back; whoever ends closes both halves.

use super::reach::{self, Trust};
use room::notice::SendFailure;
use room::site::notifier::host::{Host, Tls};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Longest time until TLS is agreed on.
const AGREE: Duration = Duration::from_secs(10);
/// Pause when the socket file takes nobody.
const PAUSE: Duration = Duration::from_secs(1);

/// A socket file that leads to a server. Both end with this.
pub(super) struct Tunnel {
    path: PathBuf,
    problem: watch::Receiver<Option<SendFailure>>,
    task: AbortHandle,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Tunnel {
    /// Opens it; the server is called when somebody connects.
    ///
    /// # Errors
    /// A socket file that cannot be made.
    pub(super) fn open(path: &Path, host: Host, tls: Tls) -> Result<Self, SendFailure> {
        let listener = listen(path)
            .map_err(|error| SendFailure::lasting(format!("the socket {}: {error}", path.display())))?;
        let (say, problem) = watch::channel(None);
        let task = tokio::spawn(run(listener, host, tls, say)).abort_handle();
        Ok(Self {
            path: path.to_owned(),
            problem,
            task,
        })
    }

    /// Why the last connection did not reach the server; `None` when it did.
    pub(super) fn problem(&self) -> watch::Receiver<Option<SendFailure>> {
        self.problem.clone()
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn run(listener: UnixListener, host: Host, tls: Tls, say: watch::Sender<Option<SendFailure>>) {
    let mut newest = JoinSet::new();
    loop {
        let Ok((near, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        newest.abort_all();
        while newest.join_next().await.is_some() {}
        newest.spawn(carry(near, host.clone(), tls.clone(), say.clone()));
    }
}

async fn carry(mut near: UnixStream, host: Host, tls: Tls, say: watch::Sender<Option<SendFailure>>) {
    let reach = async {
        let stream = reach::connect(&host, false).await?;
        let name = tls.name.as_deref().unwrap_or(&host.name);
        // A fresh look at the file each time: who renews it need not restart anything.
        Trust::default()
            .handshake(tls.ca_file.as_deref(), name, stream)
            .await
    };
    let reached = tokio::time::timeout(AGREE, reach)
        .await
        .unwrap_or_else(|_| Err(SendFailure::passing(format!("{host} does not agree on TLS"))));
    match reached {
        Ok(mut far) => {
            say.send_replace(None);
            // Its end, however it comes, is seen by the client as the end of its connection.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
        Err(failure) => drop(say.send_replace(Some(failure))),
    }
}

//! Listening addresses that others must find.
//!
//! A role that listens writes `<data_dir>/run/<role>.addr`. With port 0 the system chooses, and
//! the file is where the choice is found; a role that is restarted takes the same port again if
//! it can, so that pages and nodes find it where it was.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// Folder of sockets and addresses, for a data directory.
#[must_use]
pub fn run_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("run")
}

/// The file in which `role` says where it listens.
#[must_use]
pub fn address_file(data_dir: &Path, role: &str) -> PathBuf {
    run_dir(data_dir).join(format!("{role}.addr"))
}

/// Where `role` listens, if it has said so.
#[must_use]
pub fn address_of(data_dir: &Path, role: &str) -> Option<SocketAddr> {
    let text = std::fs::read_to_string(address_file(data_dir, role)).ok()?;
    text.trim().parse().ok()
}

/// Listens and says where.
///
/// # Errors
/// When the address cannot be bound, or when it was chosen here and cannot be told: a role of
/// its own user may not write the folder, but then the site file says where it listens.
pub async fn bind(data_dir: &Path, role: &str, wanted: SocketAddr) -> io::Result<TcpListener> {
    let before = address_of(data_dir, role).filter(|before| wanted.port() == 0 && before.ip() == wanted.ip());
    let listener = match before {
        Some(before) => match TcpListener::bind(before).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind(wanted).await?,
        },
        None => TcpListener::bind(wanted).await?,
    };
    match tell(data_dir, role, listener.local_addr()?) {
        Err(error) if wanted.port() == 0 => Err(error),
        Err(error) => {
            tracing::debug!(role, %error, "the address is only in the site file");
            Ok(listener)
        }
        Ok(()) => Ok(listener),
    }
}

/// Writes the file in one piece, so that nobody reads half an address.
pub(crate) fn tell(data_dir: &Path, role: &str, addr: SocketAddr) -> io::Result<()> {
    let path = address_file(data_dir, role);
    let fresh = path.with_extension("addr.new");
    std::fs::create_dir_all(run_dir(data_dir))?;
    std::fs::write(&fresh, addr.to_string())?;
    std::fs::rename(&fresh, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_restarted_role_takes_the_same_port_again() {
        let dir = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let first = bind(dir.path(), "web", any).await.unwrap();
        let addr = first.local_addr().unwrap();
        assert_eq!(address_of(dir.path(), "web"), Some(addr));
        drop(first);
        let again = bind(dir.path(), "web", any).await.unwrap();
        assert_eq!(again.local_addr().unwrap(), addr);
        // Taken by now: another port, and the file says so.
        let other = bind(dir.path(), "web", any).await.unwrap();
        assert_ne!(other.local_addr().unwrap(), addr);
        assert_eq!(address_of(dir.path(), "web"), Some(other.local_addr().unwrap()));
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_told_must_be_the_one_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        // A file where the folder should be: nothing can be written there, not even by root.
        std::fs::write(run_dir(dir.path()), "").unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        assert!(bind(dir.path(), "web", any).await.is_err());
        let free = TcpListener::bind(any).await.unwrap().local_addr().unwrap();
        assert!(bind(dir.path(), "web", free).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_address_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(run_dir(dir.path())).unwrap();
        std::fs::write(address_file(dir.path(), "web"), b"\xff\xffnothing").unwrap();
        assert_eq!(address_of(dir.path(), "web"), None);
        let any = "127.0.0.1:0".parse().unwrap();
        assert!(bind(dir.path(), "web", any).await.is_ok());
    }
}

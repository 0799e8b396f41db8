//! Debian's mosquitto on loopback.

use crate::certificate::Certificates;
use crate::{Child, free_port};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// Longest time until it listens.
pub const START: Duration = Duration::from_secs(10);

/// The controller reads and writes every branch; a node its own one only. "%u" is its user name.
const RIGHTS: &str = "user controller\ntopic readwrite fac/v1/#\n\
    pattern write fac/v1/%u/ev\npattern write fac/v1/%u/t\n\
    pattern write fac/v1/%u/up\npattern read fac/v1/%u/cmd\n";

/// A running mosquitto. Nothing of its sessions outlives it.
#[derive(Debug)]
pub struct Mosquitto {
    child: Child,
    config: PathBuf,
    log: PathBuf,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Mosquitto {
    /// Starts one that lets everybody in, with its files in `dir`.
    ///
    /// # Panics
    /// When it does not listen within [`START`], with what it logged.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        Self::listen(dir, free_port(), "allow_anonymous true\n")
    }

    /// Starts one with accounts (user, password): `controller` sees everything, every other user
    /// is a node with its own branch.
    ///
    /// # Panics
    /// As [`Mosquitto::start`], and when `mosquitto_passwd` cannot make an account.
    #[must_use]
    pub fn with_accounts(dir: &Path, accounts: &[(&str, &str)]) -> Self {
        Self::with_accounts_on(dir, free_port(), accounts)
    }

    /// As [`Mosquitto::with_accounts`], on an address that a real board can reach.
    ///
    /// # Panics
    /// As [`Mosquitto::with_accounts`].
    #[must_use]
    pub fn with_accounts_on(dir: &Path, addr: SocketAddr, accounts: &[(&str, &str)]) -> Self {
        let passwords = dir.join("passwords");
        for (user, password) in accounts {
            let mut command = Command::new("mosquitto_passwd");
            if !passwords.exists() {
                command.arg("-c");
            }
            let status = command.arg("-b").arg(&passwords).args([user, password]).status();
            assert!(status.is_ok_and(|status| status.success()), "mosquitto_passwd");
        }
        let rights = dir.join("rights");
        fs::write(&rights, RIGHTS).expect("writing mosquitto's rights");
        let text = format!(
            "allow_anonymous false\npersistence false\nuser root\npassword_file {}\nacl_file {}\n",
            passwords.display(),
            rights.display()
        );
        Self::listen(dir, addr, &text)
    }

    /// As [`Mosquitto::with_accounts`], with a second listener that speaks only TLS 1.3 with keys that
    /// both ends know: [`Mosquitto::share_keys`] says which. Gives its address as well.
    ///
    /// # Panics
    /// As [`Mosquitto::with_accounts`].
    #[must_use]
    pub fn with_tls(dir: &Path, accounts: &[(&str, &str)]) -> (Self, SocketAddr) {
        let addr = free_port();
        let mut broker = Self::with_accounts(dir, accounts);
        broker.share_keys(&[]);
        let mut text = fs::read_to_string(&broker.config).expect("reading mosquitto.conf");
        text += &format!(
            "listener {} {}\ntls_version tlsv1.3\npsk_hint node\npsk_file {}\n",
            addr.port(),
            addr.ip(),
            broker.keys().display()
        );
        fs::write(&broker.config, text).expect("writing mosquitto.conf");
        broker.restart();
        (broker, addr)
    }

    /// As [`Mosquitto::start`], with a second listener that speaks TLS with a certificate. Gives its address
    /// as well.
    ///
    /// # Panics
    /// As [`Mosquitto::start`].
    #[must_use]
    pub fn with_certificate(dir: &Path, certificates: &Certificates) -> (Self, SocketAddr) {
        let addr = free_port();
        // It reads its files as the user who owns them.
        let text = format!(
            "allow_anonymous true\nuser root\nlistener {} {}\nset_tcp_nodelay true\ncertfile {}\nkeyfile {}\n",
            addr.port(),
            addr.ip(),
            certificates.server.display(),
            certificates.key.display()
        );
        (Self::listen(dir, free_port(), &text), addr)
    }

    /// From its next start on it knows these identities and their keys.
    ///
    /// # Panics
    /// When the file of keys cannot be written.
    pub fn share_keys(&self, keys: &[(&str, &[u8])]) {
        let line = |(identity, key): &(&str, &[u8])| {
            let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{identity}:{hex}\n")
        };
        let text: String = keys.iter().map(line).collect();
        fs::write(self.keys(), text).expect("writing mosquitto's keys");
    }

    fn keys(&self) -> PathBuf {
        self.config.with_file_name("keys")
    }

    fn listen(dir: &Path, addr: SocketAddr, rest: &str) -> Self {
        let config = dir.join("mosquitto.conf");
        // As the manual asks for: without it every other small message waits for 40 ms.
        let text = format!(
            "listener {} {}\nset_tcp_nodelay true\n{rest}",
            addr.port(),
            addr.ip()
        );
        fs::write(&config, text).expect("writing mosquitto.conf");
        let log = dir.join("mosquitto.log");
        let mut broker = Self {
            child: start(&config, &log),
            config,
            log,
            addr,
        };
        broker.until_listening();
        broker
    }

    /// Ends it; nothing of its sessions is kept.
    pub fn stop(&mut self) {
        self.child.stop();
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// Starts it again on the same port.
    ///
    /// # Panics
    /// As [`Mosquitto::start`].
    pub fn restart(&mut self) {
        self.child.stop();
        self.child = start(&self.config, &self.log);
        self.until_listening();
    }

    #[expect(clippy::disallowed_methods, reason = "started from plain tests too")]
    fn until_listening(&mut self) {
        let until = Instant::now() + START;
        while TcpStream::connect(self.addr).is_err() {
            let ended = self.child.ended();
            assert!(
                ended.is_none() && Instant::now() < until,
                "mosquitto does not listen on {} ({ended:?}): {}",
                self.addr,
                fs::read_to_string(&self.log).unwrap_or_default()
            );
            std::thread::sleep(crate::LOOK_EVERY);
        }
    }
}

fn start(config: &Path, log: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .expect("opening mosquitto.log");
    Child::start(
        Command::new("/usr/sbin/mosquitto")
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log),
    )
}

//! Debian's sshd on loopback, with a key whose `authorized_keys` line forces a command.

use crate::{Child, free_port};
use simroom::server::{new_key, private_text, public_text};
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// Longest time until sshd listens.
pub const START: Duration = Duration::from_secs(10);

/// A running sshd with everything a client needs to know of it.
#[derive(Debug)]
pub struct Sshd {
    child: Child,
    dir: PathBuf,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Public host key, as in a site.
    pub host_key: String,
    /// The account.
    pub user: String,
    /// The client's private key.
    pub key_file: PathBuf,
}

impl Sshd {
    /// What is missing for it on this machine, in words that say how to get it.
    #[must_use]
    pub fn missing() -> Option<String> {
        let folder = || {
            let there = Path::new("/run/sshd").is_dir() || rustix::process::geteuid().is_root();
            (!there).then(|| "the folder /run/sshd (as root: mkdir /run/sshd)".to_owned())
        };
        crate::lacking(&["sshd"]).or_else(folder)
    }

    /// Starts it with everything it needs in `dir`; every login with the key runs `forced`.
    ///
    /// # Panics
    /// When it does not listen within [`START`], with what it logged.
    #[must_use]
    pub fn start(dir: &Path, forced: &str) -> Self {
        // sshd refuses to start without it, and only Debian's unit makes it.
        if !Path::new("/run/sshd").is_dir() {
            fs::create_dir_all("/run/sshd")
                .expect("making /run/sshd (run the tests as root, or make it once)");
        }
        let (host, client) = (new_key(), new_key());
        let key_file = dir.join("client_key");
        write_private(&dir.join("host_key"), &private_text(&host));
        write_private(&key_file, &private_text(&client));
        write_private(
            &dir.join("authorized_keys"),
            &format!(
                "restrict,command=\"{}\" {}\n",
                forced.replace('"', "\\\""),
                public_text(&client)
            ),
        );
        let addr = free_port();
        let at = dir.display();
        let config = format!(
            "ListenAddress {addr}\nHostKey {at}/host_key\nAuthorizedKeysFile {at}/authorized_keys\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin forced-commands-only\nPidFile {at}/sshd.pid\nLogLevel VERBOSE\n"
        );
        fs::write(dir.join("sshd_config"), config).expect("writing sshd_config");
        let child = start(dir);
        let mut sshd = Self {
            child,
            dir: dir.to_owned(),
            addr,
            host_key: public_text(&host),
            user: user_name(),
            key_file,
        };
        sshd.until_listening();
        sshd
    }

    /// A forced command for the sshd in `dir` that counts itself in the file `stops` and then
    /// stops its own server, as a host does that is told to shut down.
    #[must_use]
    pub fn stopping(dir: &Path) -> String {
        let at = dir.display();
        format!("echo stop >> {at}/stops; kill -TERM $(cat {at}/sshd.pid)")
    }

    /// How often the command of [`Sshd::stopping`] ran in `dir`.
    #[must_use]
    pub fn stops(dir: &Path) -> usize {
        fs::read_to_string(dir.join("stops")).map_or(0, |text| text.lines().count())
    }

    /// Ends the listener as a stopped host does; what a forced command left running goes on.
    pub fn go_down(&mut self) {
        self.child.stop();
    }

    /// Its process id, for a forced command that stops its own server.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts it again on the same port.
    ///
    /// # Panics
    /// As [`Sshd::start`].
    pub fn boot(&mut self) {
        self.child.stop();
        self.child = start(&self.dir);
        self.until_listening();
    }

    /// What sshd logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("sshd.log")).unwrap_or_default()
    }

    #[expect(clippy::disallowed_methods, reason = "sshd is started from plain tests too")]
    fn until_listening(&mut self) {
        let until = Instant::now() + START;
        while TcpStream::connect(self.addr).is_err() {
            let ended = self.child.ended();
            assert!(
                ended.is_none() && Instant::now() < until,
                "sshd does not listen on {} ({ended:?}): {}",
                self.addr,
                self.log()
            );
            std::thread::sleep(crate::LOOK_EVERY);
        }
    }
}

fn start(dir: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join("sshd.log"))
        .expect("opening sshd.log");
    Child::start(
        Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log),
    )
}

/// Writes a file that only its owner can read.
///
/// # Panics
/// When it cannot be written.
pub fn write_private(path: &Path, text: &str) {
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    file.write_all(text.as_bytes())
        .unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
}

/// The account this test runs as; an sshd that is not root can log in no other.
fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").expect("reading /etc/passwd");
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()))
        .map_or_else(|| "root".to_owned(), |fields| fields[0].to_owned())
}

//! Debian's mosquitto on loopback.

use crate::{Child, free_port};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// Longest time until it listens.
pub const START: Duration = Duration::from_secs(10);

/// A running mosquitto that lets everybody in.
#[derive(Debug)]
pub struct Mosquitto {
    child: Child,
    config: PathBuf,
    log: PathBuf,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Mosquitto {
    /// Starts it, with its files in `dir`.
    ///
    /// # Panics
    /// When it does not listen within [`START`], with what it logged.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        let addr = free_port();
        let config = dir.join("mosquitto.conf");
        let text = format!("listener {} {}\nallow_anonymous true\n", addr.port(), addr.ip());
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

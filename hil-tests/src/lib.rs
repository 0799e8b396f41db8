//! What the tests against real parts share: children that end with the test, ports, waiting.
//!
//! Loopback only, every wait has a bound, and only processes that a test started are ended, by
//! their own id.

pub mod api;
pub mod bench;
mod binary;
pub mod cards;
pub mod certificate;
pub mod conformance;
pub mod hook;
pub mod http;
pub mod image;
pub mod ipmi;
pub mod libvirt;
pub mod mail;
pub mod memory;
pub mod mosquitto;
pub mod nut;
pub mod pn532;
pub mod probe;
pub mod product;
pub mod pve;
pub mod pymodbus;
pub mod rack;
pub mod redfish;
pub mod sitefile;
pub mod sshd;
pub mod standin;
pub mod tower;
pub mod vcenter;
pub mod windows;

pub use binary::yagura_bin;

use rustix::process::{Pid, Signal, kill_process};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, ExitStatus};
use std::time::Duration;
use tokio::time::Instant;

/// Time for a child to end by itself after it was asked to.
pub const END_GRACE: Duration = Duration::from_secs(5);
/// What set-up installs for the tests.
const PACKAGES: &str = include_str!("../../deploy/packages.txt");
/// Between two looks at a condition.
pub const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A child process that is ended when this is dropped.
#[derive(Debug)]
pub struct Child {
    what: String,
    child: std::process::Child,
}

impl Child {
    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started, naming the program and the Debian package it may need.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let what = command.get_program().to_string_lossy().into_owned();
        match command.spawn() {
            Ok(child) => Self { what, child },
            Err(error) => panic!("starting {what}: {error}; is its Debian package installed?"),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, for its pipes.
    pub fn inner(&mut self) -> &mut std::process::Child {
        &mut self.child
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal to it, unless it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // It is ours and not yet collected, so the id cannot be another process's.
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it at once, as a crash would, and collects it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and collects it; by force after [`END_GRACE`].
    #[expect(
        clippy::disallowed_methods,
        reason = "also runs in drop, where nothing can be awaited"
    )]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let until = Instant::now() + END_GRACE;
        while self.ended().is_none() {
            if Instant::now() > until {
                eprintln!("{} did not end within {END_GRACE:?} and was killed", self.what);
                return self.kill();
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A TCP port of 127.0.0.1 that was free a moment ago, for programs that cannot say which port
/// they took themselves.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free TCP port on loopback");
    listener.local_addr().expect("a bound socket has an address")
}

/// As [`free_port`], for UDP.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_udp_port() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free UDP port on loopback");
    socket.local_addr().expect("a bound socket has an address")
}

/// Waits until `condition` brings a value.
///
/// # Panics
/// When it does not within `bound`, saying what was waited for.
pub async fn wait_for<T>(what: &str, bound: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(bound, looking).await {
        Ok(value) => value,
        Err(_) => panic!("waited {bound:?} in vain for: {what}"),
    }
}

/// Says that a test cannot run here, to the reader of the log and, where it asked for it by
/// `YAGURA_SKIPPED`, to `cargo xtask test`.
///
/// # Panics
/// Under CI: there nothing may be missing.
#[expect(clippy::print_stderr, reason = "the log of the test")]
pub fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{test} cannot run: {why}");
    eprintln!("SKIPPED {test}: {why}");
    note_skipped(test, why);
}

fn note_skipped(test: &str, why: &str) {
    if let Some(file) = std::env::var_os("YAGURA_SKIPPED") {
        let note = std::fs::OpenOptions::new().append(true).create(true).open(file);
        // The list is for the reader's comfort; the log has the line as well.
        let _ = note.and_then(|mut file| writeln!(file, "{test}: {why}"));
    }
}

/// True when the calling test cannot run here for want of `what`, which is said by [`skip`].
///
/// # Panics
/// Under CI: there nothing may be missing.
#[must_use]
pub fn cannot_run(what: Option<String>) -> bool {
    if let Some(what) = &what {
        // The test runner names a test's thread after it.
        let thread = std::thread::current();
        skip(thread.name().unwrap_or("a test"), &format!("missing {what}"));
    }
    what.is_some()
}

/// The first of these programs that is not installed, with the way to get it.
///
/// # Panics
/// When the list of packages does not know it: then nothing would install it for the test.
#[must_use]
pub fn lacking(programs: &[&str]) -> Option<String> {
    let hint = |program: &str| {
        let package = PACKAGES.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let package = words.next()?;
            (words.next()? == program).then_some(package)
        });
        let package = package.unwrap_or_else(|| panic!("deploy/packages.txt does not name {program}"));
        format!("{program} (apt-get install {package})")
    };
    let missing = programs
        .iter()
        .map(|program| (program, hint(program)))
        .find(|(program, _)| !installed(program));
    missing.map(|(_, hint)| hint)
}

/// True when a program is on the search path or where Debian keeps daemons.
#[must_use]
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

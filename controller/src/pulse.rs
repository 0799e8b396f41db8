//! The sign of life that a role gives from its own loop, to whoever started it: systemd, or the
//! supervisor of `yagura run`, which speaks the same protocol (`sd_notify(3)`).
//!
//! ```text
//! loop turns -> beat() -> READY=1 (once), then WATCHDOG=1 at most four times in the time allowed
//! ```
//! It is fed by the loop alone, never by a timer of its own: a loop that hangs gives no sign, and is
//! ended and started again. Sending never waits: a supervisor that does not read holds nobody up.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;
use tokio::time::Instant;

/// Signs within the time allowed: two may be late or lost.
const SIGNS: u32 = 4;

/// The sign of life of one loop.
#[derive(Debug)]
pub struct Pulse {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// `None` when nobody waits for signs.
    every: Option<Duration>,
    last: Option<Instant>,
}

impl Pulse {
    /// To whom the environment says; to nobody when it says nothing.
    #[must_use]
    pub fn of_environment() -> Self {
        let to = std::env::var_os("NOTIFY_SOCKET").and_then(|path| {
            let path = path.as_bytes();
            let addr = match path.strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
            }
            .ok()?;
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, addr))
        });
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let allowed = number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0);
        Self {
            to,
            every: allowed.map(|usec| Duration::from_micros(usec) / SIGNS),
            last: None,
        }
    }

    /// The loop has turned. Says so when it is time to.
    pub fn beat(&mut self) {
        let Some((socket, addr)) = &self.to else { return };
        let send = |words: &[u8]| {
            // A full queue or a vanished supervisor: the next sign may arrive, and if none does, that
            // is what the watchdog is for.
            let _ = socket.send_to_addr(words, addr);
        };
        let now = Instant::now();
        match (self.last, self.every) {
            (None, _) => send(b"READY=1\nWATCHDOG=1"),
            (Some(last), Some(every)) if now.duration_since(last) >= every => send(b"WATCHDOG=1"),
            _ => return,
        }
        self.last = Some(now);
    }

    /// A loop that may wait longer for its next input turns at least so often.
    #[must_use]
    pub fn turn_within(&self) -> Duration {
        /// When nobody waits for signs.
        const IDLE: Duration = Duration::from_secs(60);
        self.every.unwrap_or(IDLE)
    }
}

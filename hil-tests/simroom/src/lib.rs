//! A simulated server room that speaks the real protocols, on loopback only.
//!
//! Nodes over MQTT 5 with the real wire format, UPS agents over SNMP, servers over SSH. It is
//! what `yagura demo` shows and what tests run against; to the controller it is a room like
//! any other. It never reaches a machine other than this one, and never runs a command.
pub mod climate;
pub mod layout;
pub mod log_server;
pub mod megatec;
pub mod node;
pub mod recorded;
pub mod room;
pub mod scenario;
pub mod server;
pub mod ups;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// The clocks of the simulated devices, which are not the controller's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Milliseconds since the device was powered on.
    pub(crate) fn up_ms(self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since 1970 UTC; 0 when the machine's clock stands before.
    #[expect(
        clippy::disallowed_methods,
        reason = "a simulated device has a clock of its own"
    )]
    #[expect(clippy::unused_self, reason = "the device's, not a free function")]
    pub(crate) fn unix_ms(self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = std::fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    std::fs::rename(fresh, path)
}

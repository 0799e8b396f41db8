//! What clients want of devices: handed to core, and its end for those who ask (`TRACKING`).
//!
//! ```text
//! INSTCMD, SET VAR -> rights -> core: rights again, journal -> OK, or OK TRACKING id
//!                                      act tells the device -> the picture's orders -> GET TRACKING id
//! ```
//! A client is answered when its order is on disk, not before. What becomes of it comes with the
//! picture of the UPSes, so that it survives a restart of core; an id dies with this process, as
//! stock upsd's do.

use room::event::Refused;
use room::nut::served::{Progress, Served};
use room::nut::wish::Wish;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Orders that wait for core at the same time.
pub(super) const MAX_WAITING: usize = 64;
/// Core's answer comes with its disk's; slower than this is no answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Ids kept; the oldest is forgotten for a new one.
pub(super) const MAX_TRACKED: usize = 256;

/// An order on its way to core.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) account: String,
    pub(super) peer: IpAddr,
    pub(super) ups: String,
    pub(super) wish: Wish,
    pub(super) answer: oneshot::Sender<Result<u64, Refused>>,
}

/// The way to core.
#[derive(Debug)]
pub(super) struct Desk {
    to_core: mpsc::Sender<Asked>,
}

impl Desk {
    /// The desk, and what the link takes from it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (to_core, asked) = mpsc::channel(MAX_WAITING);
        (Self { to_core }, asked)
    }

    /// Asks core; the order's number once it is on disk.
    ///
    /// # Errors
    /// Why it is not, in words for the log.
    pub(super) async fn order(
        &self,
        account: String,
        peer: IpAddr,
        ups: String,
        wish: Wish,
    ) -> Result<u64, Refused> {
        let gone =
            || Refused::Unavailable("core does not answer; nobody knows whether it took the order".into());
        let (answer, answered) = oneshot::channel();
        let asked = Asked {
            account,
            peer,
            ups,
            wish,
            answer,
        };
        self.to_core.try_send(asked).map_err(|_| {
            Refused::Unavailable(format!("core is away, or {MAX_WAITING} orders wait for it"))
        })?;
        match timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            _ => Err(gone()),
        }
    }
}

/// The ids that were given out.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    known: BTreeMap<String, (u64, Progress)>,
    order: VecDeque<String>,
}

impl Tracked {
    /// An id for an order.
    pub(super) fn begin(&mut self, order: u64, now: &BTreeMap<u64, Progress>) -> String {
        if self.order.len() >= MAX_TRACKED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let id = fresh_id();
        let progress = now.get(&order).copied().unwrap_or(Progress::Pending);
        self.known.insert(id.clone(), (order, progress));
        self.order.push_back(id.clone());
        id
    }

    /// What has become of them. An order that is not shown any more stays as it was last shown.
    pub(super) fn see(&mut self, served: &Served) {
        for (order, progress) in self.known.values_mut() {
            if let Some(now) = served.orders.get(order) {
                *progress = *now;
            }
        }
    }

    pub(super) fn progress(&self, id: &str) -> Option<Progress> {
        self.known.get(id).map(|(_, progress)| *progress)
    }
}

/// A random UUID (RFC 9562, version 4), as stock upsd makes them.
fn fresh_id() -> String {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_and_tells_what_became_of_its_order() {
        let mut tracked = Tracked::default();
        let id = tracked.begin(7, &BTreeMap::new());
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert_eq!(tracked.progress(&id), Some(Progress::Pending));
        let mut served = Served::default();
        served.orders.insert(7, Progress::Done);
        tracked.see(&served);
        assert_eq!(tracked.progress(&id), Some(Progress::Done));
        tracked.see(&Served::default());
        assert_eq!(
            tracked.progress(&id),
            Some(Progress::Done),
            "what has ended has ended"
        );
        assert_eq!(tracked.progress("another"), None);
    }

    #[test]
    fn the_oldest_id_is_forgotten_for_a_new_one() {
        let mut tracked = Tracked::default();
        let first = tracked.begin(0, &BTreeMap::new());
        for order in 1..=MAX_TRACKED as u64 {
            tracked.begin(order, &BTreeMap::new());
        }
        assert_eq!(tracked.progress(&first), None);
        assert_eq!(
            (tracked.known.len(), tracked.order.len()),
            (MAX_TRACKED, MAX_TRACKED)
        );
    }
}

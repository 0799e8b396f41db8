//! The hub as the tasks of the endpoint see it: one lock, held for the length of one closure.

use super::hub::Hub;
use super::limit::{MAX_CONNECTIONS, MAX_GREETING};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, Semaphore, watch};

/// What every connection and the link to core share.
#[derive(Debug)]
pub(super) struct Shared {
    hub: Mutex<Hub>,
    /// Wakes the link: there is something for core.
    pub for_core: Notify,
    /// True once core has told us who may connect.
    pub accounts_known: watch::Sender<bool>,
    /// One permit for each connection.
    pub connections: Arc<Semaphore>,
    /// One permit for each connection that is not let in yet.
    pub greeting: Arc<Semaphore>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            hub: Mutex::default(),
            for_core: Notify::new(),
            accounts_known: watch::Sender::new(false),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            greeting: Arc::new(Semaphore::new(MAX_GREETING)),
        }
    }
}

impl Shared {
    /// One step of the hub. The closure cannot await, so the lock is never held over one; a
    /// panic inside would end one connection and not, by a poisoned lock, every later one.
    pub(super) fn with<R>(&self, step: impl FnOnce(&mut Hub) -> R) -> R {
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        let result = step(&mut hub);
        let (for_core, known) = (hub.has_for_core(), hub.knows_accounts());
        drop(hub);
        if for_core {
            self.for_core.notify_one();
        }
        if known && !*self.accounts_known.borrow() {
            self.accounts_known.send_replace(true);
        }
        result
    }
}

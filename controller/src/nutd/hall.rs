//! What all connections share: the UPSes as they are now, the accounts, who is logged in.

use super::session::{quoted, write_value};
use room::nut::served::{Freshness, Served};
use room::site::nut_server::{Net, Role};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

/// Core silent for so long: what is served is stale.
pub(super) const CORE_GONE_AFTER: Duration = Duration::from_secs(10);

/// An account, with its password's digest only.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) password_sha256: [u8; 32],
    pub(super) role: Role,
    pub(super) from: Vec<Net>,
}

/// A UPS, ready to be sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) freshness: Freshness,
    pub(super) vars: BTreeMap<String, String>,
    /// The rows of `LIST VAR`.
    pub(super) rows: Vec<u8>,
}

/// Every UPS of one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Board(BTreeMap<String, Shown>);

impl Board {
    pub(super) fn of(served: Served) -> Self {
        let shown = served.upses.into_iter().map(|(name, ups)| {
            let mut rows = Vec::new();
            let ups_word = quoted(&name);
            for (var, value) in &ups.vars {
                rows.extend_from_slice(format!("VAR {ups_word} {} ", quoted(var)).as_bytes());
                write_value(&mut rows, value);
            }
            let shown = Shown {
                name: name.clone(),
                description: ups.description,
                freshness: ups.freshness,
                vars: ups.vars,
                rows,
            };
            (name, shown)
        });
        Self(shown.collect())
    }

    /// By name, whatever its case; with the name as it is.
    pub(super) fn ups(&self, name: &str) -> Option<(&str, &Shown)> {
        if let Some(shown) = self.0.get(name) {
            return Some((&shown.name, shown));
        }
        let mut all = self.0.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(name, shown)| (name.as_str(), shown))
    }

    pub(super) fn upses(&self) -> impl Iterator<Item = (&str, &Shown)> {
        self.0.iter().map(|(name, shown)| (name.as_str(), shown))
    }

    #[expect(clippy::unused_self, reason = "reads as a question to the board")]
    pub(super) fn value<'s>(&self, shown: &'s Shown, name: &str) -> Option<&'s str> {
        if let Some(value) = shown.vars.get(name) {
            return Some(value);
        }
        let mut all = shown.vars.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All of it is old.
    fn stale(&self) -> Self {
        let mut stale = self.clone();
        for shown in stale.0.values_mut() {
            if shown.freshness == Freshness::Fresh {
                shown.freshness = Freshness::Stale;
            }
        }
        stale
    }
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Hall {
    accounts: Vec<Account>,
    allow: Vec<Net>,
    tls: bool,
    board: Mutex<(Arc<Board>, Option<Instant>)>,
    logins: Mutex<BTreeMap<String, BTreeMap<u64, IpAddr>>>,
    counters: Mutex<BTreeMap<String, u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves plain data behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hall {
    pub(super) fn new(accounts: Vec<Account>, allow: Vec<Net>, tls: bool) -> Self {
        Self {
            accounts,
            allow,
            tls,
            board: Mutex::default(),
            logins: Mutex::default(),
            counters: Mutex::default(),
        }
    }

    pub(super) const fn has_tls(&self) -> bool {
        self.tls
    }

    pub(super) fn may_connect(&self, peer: IpAddr) -> bool {
        self.allow.iter().any(|net| net.contains(peer))
    }

    /// What core sees now.
    pub(super) fn show(&self, served: Served, now: Instant) {
        let board = Arc::new(Board::of(served));
        *lock(&self.board) = (board, Some(now));
    }

    /// Core was heard, and nothing has changed.
    pub(super) fn heard(&self, now: Instant) {
        let mut board = lock(&self.board);
        if board.1.is_some() {
            board.1 = Some(now);
        }
    }

    /// Makes everything stale when core has not been heard for [`CORE_GONE_AFTER`]; true when that
    /// happened now.
    pub(super) fn age(&self, now: Instant) -> bool {
        let mut board = lock(&self.board);
        let is_old = board
            .1
            .is_some_and(|heard| now.duration_since(heard) > CORE_GONE_AFTER);
        if is_old {
            *board = (Arc::new(board.0.stale()), None);
        }
        is_old
    }

    pub(super) fn board(&self) -> Arc<Board> {
        Arc::clone(&lock(&self.board).0)
    }

    pub(super) fn role_of(&self, user: &str, password: &str, peer: IpAddr) -> Option<Role> {
        let digest: [u8; 32] = Sha256::digest(password.as_bytes()).into();
        let account = self.accounts.iter().find(|account| account.name == user)?;
        let is_right: bool = account.password_sha256.ct_eq(&digest).into();
        let may_come = account.from.iter().any(|net| net.contains(peer));
        (is_right && may_come).then_some(account.role)
    }

    pub(super) fn log_in(&self, ups: &str, id: u64, peer: IpAddr) {
        lock(&self.logins)
            .entry(ups.to_owned())
            .or_default()
            .insert(id, peer);
    }

    pub(super) fn log_out(&self, ups: &str, id: u64) {
        if let Some(clients) = lock(&self.logins).get_mut(ups) {
            clients.remove(&id);
        }
    }

    pub(super) fn logins(&self, ups: &str) -> usize {
        lock(&self.logins).get(ups).map_or(0, BTreeMap::len)
    }

    pub(super) fn clients(&self, ups: &str) -> Vec<IpAddr> {
        let logins = lock(&self.logins);
        logins
            .get(ups)
            .map(|clients| clients.values().copied().collect())
            .unwrap_or_default()
    }

    pub(super) fn count(&self, name: &str) {
        *lock(&self.counters).entry(name.to_owned()).or_default() += 1;
    }

    /// Counters since the start, and the clients logged in to each UPS.
    pub(super) fn counters(&self) -> Vec<(String, u64)> {
        let mut counters: Vec<(String, u64)> = lock(&self.counters)
            .iter()
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        let logins = lock(&self.logins);
        counters.extend(
            logins
                .iter()
                .map(|(ups, clients)| (format!("logins_{ups}"), clients.len() as u64)),
        );
        counters
    }
}

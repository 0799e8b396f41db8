//! What all connections share: the UPSes as they are now, the accounts, who is logged in.

use super::gate::Gate;
use super::orders::{Asked, Desk, Tracked};
use super::session::{quoted, write_value};
use room::command::Name;
use room::nut::served::{Freshness, Progress, Served};
use room::site::nas::Nas;
use room::site::nut_server::{Net, Role};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tokio::sync::mpsc;
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
    pub(super) instcmds: Vec<Name>,
    pub(super) set: bool,
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
    pub(super) commands: BTreeMap<String, String>,
    pub(super) settable: BTreeMap<String, Vec<String>>,
}

/// Every UPS of one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Board {
    upses: BTreeMap<String, Shown>,
    orders: BTreeMap<u64, Progress>,
}

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
                commands: ups.commands,
                settable: ups.settable,
            };
            (name, shown)
        });
        Self {
            upses: shown.collect(),
            orders: served.orders,
        }
    }

    /// By name, whatever its case; with the name as it is.
    pub(super) fn ups(&self, name: &str) -> Option<(&str, &Shown)> {
        if let Some(shown) = self.upses.get(name) {
            return Some((&shown.name, shown));
        }
        let mut all = self.upses.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(name, shown)| (name.as_str(), shown))
    }

    pub(super) fn upses(&self) -> impl Iterator<Item = (&str, &Shown)> {
        self.upses.iter().map(|(name, shown)| (name.as_str(), shown))
    }

    /// All of it is old.
    fn stale(&self) -> Self {
        let mut stale = self.clone();
        for shown in stale.upses.values_mut() {
            if shown.freshness == Freshness::Fresh {
                shown.freshness = Freshness::Stale;
            }
        }
        stale
    }
}

impl Shown {
    /// A variable by name, whatever its case; with the name as it is.
    pub(super) fn value(&self, name: &str) -> Option<(&str, &str)> {
        if let Some((name, value)) = self.vars.get_key_value(name) {
            return Some((name, value));
        }
        let mut all = self.vars.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The UPSes as one address sees them.
pub(super) struct View<'h> {
    pub(super) board: Arc<Board>,
    nas: Option<&'h Nas>,
}

impl View<'_> {
    /// By name, whatever its case, or by the name that the maker of this NAS has fixed.
    pub(super) fn ups(&self, name: &str) -> Option<(&str, &Shown)> {
        let nas = self.nas.filter(|nas| nas.maker.ups().eq_ignore_ascii_case(name));
        self.board.ups(nas.map_or(name, |nas| &nas.ups))
    }

    /// Every one, and first the one with the fixed name.
    pub(super) fn upses(&self) -> impl Iterator<Item = (&str, &Shown)> {
        let fixed = self.nas.and_then(|nas| {
            let (_, shown) = self.board.ups(&nas.ups)?;
            Some((nas.maker.ups(), shown))
        });
        fixed.into_iter().chain(self.board.upses())
    }
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Hall {
    accounts: Vec<Account>,
    allow: Vec<Net>,
    nas: Vec<Nas>,
    tls: bool,
    gate: Mutex<Gate>,
    pub(super) desk: Desk,
    tracked: Mutex<Tracked>,
    board: Mutex<(Arc<Board>, Option<Instant>)>,
    logins: Mutex<BTreeMap<String, BTreeMap<u64, IpAddr>>>,
    counters: Mutex<BTreeMap<String, u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves plain data behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hall {
    /// The hall, and what its clients want of core.
    pub(super) fn new(
        accounts: Vec<Account>,
        nas: Vec<Nas>,
        allow: Vec<Net>,
        tls: bool,
    ) -> (Self, mpsc::Receiver<Asked>) {
        let (desk, asked) = Desk::new();
        let hall = Self {
            accounts,
            allow,
            nas,
            tls,
            gate: Mutex::default(),
            desk,
            tracked: Mutex::default(),
            board: Mutex::default(),
            logins: Mutex::default(),
            counters: Mutex::default(),
        };
        (hall, asked)
    }

    pub(super) const fn has_tls(&self) -> bool {
        self.tls
    }

    pub(super) fn may_connect(&self, peer: IpAddr) -> bool {
        self.allow.iter().any(|net| net.contains(peer))
    }

    /// A place for a connection; it is given back when the place goes.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        lock(&self.gate).enter(peer).then(|| Place {
            hall: Arc::clone(self),
            peer,
        })
    }

    /// What core sees now.
    pub(super) fn show(&self, served: Served, now: Instant) {
        lock(&self.tracked).see(&served);
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

    /// The UPSes as this address sees them.
    pub(super) fn view(&self, peer: IpAddr) -> View<'_> {
        View {
            board: self.board(),
            nas: self.nas.iter().find(|nas| nas.address == peer.to_canonical()),
        }
    }

    /// The account, if the password is right, the address may use it and has not guessed too often.
    pub(super) fn account(&self, user: &str, password: &str, peer: IpAddr, now: Instant) -> Option<&Account> {
        if lock(&self.gate).is_paused(peer, now) {
            self.count("denied_in_pause");
            return None;
        }
        let digest: [u8; 32] = Sha256::digest(password.as_bytes()).into();
        let found = self.accounts.iter().find(|account| {
            let is_right: bool = account.password_sha256.ct_eq(&digest).into();
            account.name == user && is_right && account.from.iter().any(|net| net.contains(peer))
        });
        if found.is_some() {
            lock(&self.gate).right(peer);
            return found;
        }
        let pause = lock(&self.gate).wrong(peer, now);
        self.count("wrong_password");
        tracing::warn!(
            %peer,
            user,
            pause_s = pause.as_secs(),
            "a NUT client gave a wrong user or password, or may not use it from there"
        );
        None
    }

    /// An id under which the client can ask for the end of its order.
    pub(super) fn track(&self, order: u64) -> String {
        let board = self.board();
        lock(&self.tracked).begin(order, &board.orders)
    }

    pub(super) fn tracked(&self, id: &str) -> Option<Progress> {
        lock(&self.tracked).progress(id)
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

    /// How often it was, with this time.
    pub(super) fn count(&self, name: &str) -> u64 {
        let mut counters = lock(&self.counters);
        let times = counters.entry(name.to_owned()).or_default();
        *times += 1;
        *times
    }

    /// Clients logged in to each UPS that has any.
    pub(super) fn all_logins(&self) -> BTreeMap<String, u32> {
        let logins = lock(&self.logins);
        let count = |clients: &BTreeMap<u64, IpAddr>| u32::try_from(clients.len()).unwrap_or(u32::MAX);
        let some = logins.iter().filter(|(_, clients)| !clients.is_empty());
        some.map(|(ups, clients)| (ups.clone(), count(clients))).collect()
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

/// A connection's place; given back when it goes.
#[derive(Debug)]
pub(super) struct Place {
    hall: Arc<Hall>,
    peer: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.hall.gate).leave(self.peer);
    }
}

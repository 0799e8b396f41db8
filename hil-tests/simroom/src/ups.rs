//! A simulated UPS: a battery, a load and a mains supply, seen through an SNMP agent.
//!
//! The agent answers v1 and v2c on a loopback port of its own, for the standard UPS MIB or for
//! APC's. It follows the standards closely enough for any manager, and can be told to misbehave
//! ([`Fault`]). Its encoder is its own, so that it does not share the mistakes of the manager it
//! tests. It reaches nothing but loopback and writes nothing.
//!
//! ```text
//! set_mains, set_load --> Battery (advances with simulated time) --> values of the MIB --> replies
//! ```

pub(crate) mod agent;
mod battery;
mod control;
pub(crate) mod mib;

pub use battery::{Battery, Model, Source};
pub use mib::Mib;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How the agent misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The next reply leaves so much later; further ones are not held up.
    DelayOne(Duration),
    /// Every reply leaves so much later.
    DelayEach(Duration),
    /// The next so many requests get no reply.
    Drop(u32),
    /// The next so many replies carry no variable.
    ZeroVariables(u32),
    /// The next so many replies carry their variables in reverse order.
    Reordered(u32),
    /// The next so many replies are noise.
    Garbage(u32),
    /// The card says "not measured" in the way of its kind: 65535, 2^32-1, 0 degrees.
    Sentinels(bool),
    /// Values stay as they are now, whatever the UPS does.
    Frozen(bool),
    /// Replies longer than this many bytes become `tooBig`.
    ReplyMax(usize),
    /// No reply at all, as with the network cable out.
    Silent(bool),
    /// Walks go round in a circle.
    Looping(bool),
}

/// A snapshot of the simulated UPS.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct State {
    /// What supplies the output.
    pub source: Source,
    /// True while the mains is present.
    pub mains: bool,
    /// State of charge in percent.
    pub charge_percent: f64,
    /// The UPS's own estimate in seconds at the present load.
    pub runtime_s: f64,
    /// Seconds on battery, 0 on mains.
    pub on_battery_s: f64,
    /// Load in watts.
    pub load_w: f64,
    /// True when the battery will be empty soon.
    pub is_low: bool,
}

/// A running simulated UPS; dropped, it stops answering.
#[derive(Debug)]
pub struct Ups {
    /// Where its agent listens: a loopback address.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    community: String,
    mib: Mib,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    battery: Battery,
    time_factor: f64,
    advanced: Instant,
    frozen: Option<mib::Values>,
    started: Instant,
    faults: Faults,
    requests: u64,
    /// The community that may write.
    writers: Option<String>,
    control: control::Control,
}

#[derive(Debug, Default)]
struct Faults {
    delay_one: Option<Duration>,
    delay_each: Option<Duration>,
    drop: u32,
    zero_variables: u32,
    reordered: u32,
    garbage: u32,
    sentinels: bool,
    reply_max: Option<usize>,
    silent: bool,
    looping: bool,
}

impl Shared {
    /// Nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let passed = now.duration_since(inner.advanced).as_secs_f64() * inner.time_factor;
        inner.advanced = now;
        inner.battery.advance(passed);
        let Inner { control, battery, .. } = &mut *inner;
        control.advance(battery, passed);
        inner
    }
}

impl Ups {
    /// Starts a UPS and its agent on a free loopback port, on mains with a full battery.
    ///
    /// # Errors
    /// When no loopback socket can be opened.
    pub async fn start(model: Model, mib: Mib, community: &str) -> std::io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), model, mib, community).await
    }

    /// As [`Self::start`], on this address: a card that was swapped comes back where it was.
    ///
    /// # Errors
    /// When the address is not loopback, or is taken.
    pub async fn start_at(
        addr: SocketAddr,
        model: Model,
        mib: Mib,
        community: &str,
    ) -> std::io::Result<Self> {
        if !addr.ip().is_loopback() {
            return Err(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable));
        }
        let socket = UdpSocket::bind(addr).await?;
        let addr = socket.local_addr()?;
        let now = Instant::now();
        let shared = Arc::new(Shared {
            community: community.to_owned(),
            mib,
            inner: Mutex::new(Inner {
                battery: Battery::full(model),
                time_factor: 1.0,
                advanced: now,
                frozen: None,
                started: now,
                faults: Faults::default(),
                requests: 0,
                writers: None,
                control: control::Control::default(),
            }),
        });
        let task = tokio::spawn(agent::serve(Arc::new(socket), Arc::clone(&shared))).abort_handle();
        Ok(Self { addr, shared, task })
    }

    /// Mains comes or goes.
    pub fn set_mains(&self, present: bool) {
        self.shared.lock().battery.set_mains(present);
    }

    /// The load at the output, in watts.
    pub fn set_load(&self, watts: f64) {
        self.shared.lock().battery.set_load(watts);
    }

    /// State of charge, in percent.
    pub fn set_charge(&self, percent: f64) {
        self.shared.lock().battery.set_charge(percent);
    }

    /// How much faster than real the battery lives from now on.
    pub fn set_time_factor(&self, factor: f64) {
        self.shared.lock().time_factor = factor.max(0.0);
    }

    /// Starts a self-test: the load runs from the battery for a while although mains is there.
    pub fn start_test(&self, length: Duration) {
        self.shared.lock().battery.start_test(length.as_secs_f64());
    }

    /// From now on this community may write what a card of its kind lets a manager write: tests, the
    /// beeper, the shutdown of the output.
    pub fn let_write(&self, community: &str) {
        self.shared.lock().writers = Some(community.to_owned());
    }

    /// How often a manager's SET was carried out.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.shared.lock().control.writes()
    }

    /// The battery must be replaced, or was.
    pub fn set_battery_worn(&self, worn: bool) {
        self.shared.lock().battery.set_worn(worn);
    }

    /// Misbehave, or stop it.
    pub fn fault(&self, fault: Fault) {
        let mut inner = self.shared.lock();
        match fault {
            Fault::DelayOne(delay) => inner.faults.delay_one = Some(delay),
            Fault::DelayEach(delay) => inner.faults.delay_each = Some(delay),
            Fault::Drop(n) => inner.faults.drop = n,
            Fault::ZeroVariables(n) => inner.faults.zero_variables = n,
            Fault::Reordered(n) => inner.faults.reordered = n,
            Fault::Garbage(n) => inner.faults.garbage = n,
            Fault::Sentinels(on) => inner.faults.sentinels = on,
            Fault::Frozen(on) => {
                inner.frozen = on.then(|| mib::values(self.shared.mib, &inner));
            }
            Fault::ReplyMax(bytes) => inner.faults.reply_max = Some(bytes),
            Fault::Silent(on) => inner.faults.silent = on,
            Fault::Looping(on) => inner.faults.looping = on,
        }
    }

    /// What the UPS is doing, whatever its agent says.
    #[must_use]
    pub fn state(&self) -> State {
        let inner = self.shared.lock();
        let battery = &inner.battery;
        State {
            source: battery.source(),
            mains: battery.mains(),
            charge_percent: battery.charge_percent(),
            runtime_s: battery.runtime_s(),
            on_battery_s: battery.on_battery_s(),
            load_w: battery.load_w(),
            is_low: battery.is_low(),
        }
    }

    /// Requests with the right community that reached the agent.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.lock().requests
    }
}

impl Drop for Ups {
    fn drop(&mut self) {
        self.task.abort();
    }
}

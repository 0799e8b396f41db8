//! Polls the devices of the site, each in its own protocol.
//!
//! Each device has a task of its own, so a silent or slow one delays nobody. So that ten thousand
//! of them do not speak at once, a poll first takes one of [`AT_ONCE`] turns; one that has to wait
//! for its answer gives the turn back, so the silent ones do not keep the others from speaking. A
//! UPS never waits for a turn. A task reads its
//! device at an interval, sooner when nudged (a trap, an operator) and faster while the room is
//! on battery; what it reads, or why it could not, goes to core as a [`Poll`]. This source
//! decides nothing about what a reading means.
//!
//! ```text
//! Means (sockets, lines, profiles) --converse--> Conversation --read--> Reading or failure
//! ```
//!
//! A protocol is added by a variant of [`Conversation`] and its arm in [`Means::converse`].

use super::lateness::Lateness;
use crate::clock;
use crate::modbus;
use crate::nut;
use crate::serial;
use crate::snmp::trap::{Gate, OwnEngine, Speakers};
use crate::snmp::{Client, Session, Target, Wanted};
use rand::Rng as _;
use room::device::{Poll, PollFailure, Reading};
use room::profile::Library;
use room::site::link::Link;
use room::site::{Device, DeviceKind};
use room::time::Millis;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

/// First polls of UPSes are spread over so long, or over the device's own interval if that is
/// shorter; those of the others over their interval.
const START_SPREAD: Duration = Duration::from_millis(500);
/// Polls that are at work at the same time.
pub const AT_ONCE: usize = 256;
/// A poll that takes longer than this waits for the device, not for us.
const TURN: Duration = Duration::from_millis(250);
/// What devices were found to lack is not asked again by all of them at the same time.
const RELEARN_SPREAD: f64 = 0.3;
/// Between two readings of one device, whatever the site and the nudges say.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// What a device was found to have and to lack is looked at anew after so long, on mains only: on
/// battery every packet must count.
const RELEARN_EVERY: Millis = Millis::from_secs(600);
/// Pause before a task that panicked is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// What core tells this source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Read this device at once.
    PollNow(String),
    /// True while any UPS is on battery: every device is read at `poll_on_battery`, the first
    /// time at once where that is faster than `poll`.
    Fast(bool),
}

/// What devices are asked with, shared by all of them: sockets, lines, profiles.
#[derive(Debug, Clone)]
pub struct Means {
    snmp: Client,
    modbus: modbus::Lines,
    nut: nut::Servers,
    ports: serial::Ports,
    traps: Arc<Speakers>,
    library: Arc<Library>,
    lateness: Arc<Lateness>,
    turns: Arc<Semaphore>,
}

impl Means {
    /// Opens what every site needs.
    ///
    /// # Errors
    /// No UDP socket.
    pub async fn open(library: Arc<Library>) -> Result<Self, crate::snmp::Error> {
        Ok(Self {
            snmp: Client::bind().await?,
            modbus: modbus::Lines::default(),
            nut: nut::Servers::default(),
            ports: serial::Ports::default(),
            traps: Arc::default(),
            library,
            lateness: Arc::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// The SNMP client, with the engine of our own.
    #[must_use]
    pub fn snmp(&self) -> &Client {
        &self.snmp
    }

    /// Hears traps of the devices that there are conversations with.
    #[must_use]
    pub fn gate(&self, own: Option<Arc<OwnEngine>>) -> Gate {
        Gate::new(self.snmp.clone(), Arc::clone(&self.traps), own)
    }

    /// Names and values of the counters of all protocols, for the snapshot.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = self.snmp.counters().list().to_vec();
        counters.extend(self.lateness.list(clock::now().mono));
        counters.extend(self.modbus.counters());
        counters.extend(self.nut.counters());
        counters.extend(self.ports.counters());
        counters.extend(self.traps.counters.list());
        counters
    }

    /// A conversation with this device, which nothing is known about yet.
    #[must_use]
    pub fn converse(&self, device: &Device) -> Conversation {
        let timeout = Duration::from_millis(device.timeout.0);
        match &device.link {
            Link::Snmp(link) => match Target::of(link, timeout, device.retries) {
                Ok(target) => {
                    self.traps.add(&device.name, target.addr, &target.access);
                    Conversation::Snmp(Box::new(Session::new(
                        self.snmp.clone(),
                        Arc::clone(&self.library),
                        target,
                        wanted(device),
                    )))
                }
                Err(error) => Conversation::Unable(match std::error::Error::source(&error) {
                    Some(cause) => format!("{error}: {cause}"),
                    None => error.to_string(),
                }),
            },
            Link::Nut(link) => Conversation::Nut(self.nut.session(link, timeout, device.retries)),
            Link::Modbus(link) => Conversation::Modbus(Box::new(modbus::Session::new(
                self.modbus.clone(),
                &self.library,
                link,
                device.profile.as_deref(),
                timeout,
                device.retries,
            ))),
            Link::Megatec(link) => {
                Conversation::Megatec(Box::new(self.ports.session(link, timeout, device.retries)))
            }
        }
    }
}

/// One device, asked in its own protocol.
#[derive(Debug)]
pub enum Conversation {
    /// SNMP.
    Snmp(Box<Session>),
    /// A unit on a Modbus line.
    Modbus(Box<modbus::Session>),
    /// A UPS of a NUT server.
    Nut(nut::Session),
    /// A UPS on a serial line.
    Megatec(Box<serial::Session>),
    /// Nothing that this controller speaks, or without what it needs to; why.
    Unable(String),
}

impl Conversation {
    /// Reads the device. Ends in bounded time, whatever the device does.
    ///
    /// # Errors
    /// [`PollFailure`]; nothing of the device is believed then.
    pub async fn read(&mut self) -> Result<Reading, PollFailure> {
        match self {
            Self::Snmp(session) => session.read().await,
            Self::Modbus(session) => session.read().await,
            // Its TLS handshake would make the task of every device larger.
            Self::Nut(session) => Box::pin(session.read()).await,
            Self::Megatec(session) => session.read().await,
            Self::Unable(why) => Err(PollFailure::Unreachable(why.clone())),
        }
    }

    /// What the device was found to have and to lack is old: it is looked at anew by
    /// [`Self::renew`] where that takes questions of its own, else with the next reading.
    pub fn outdate(&mut self) {
        match self {
            Self::Snmp(session) => session.outdate(),
            Self::Modbus(session) => session.forget(),
            Self::Megatec(session) => session.forget(),
            // A NUT server tells everything with every reading.
            Self::Nut(_) | Self::Unable(_) => {}
        }
    }

    /// True when [`Self::renew`] has something to do.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        matches!(self, Self::Snmp(session) if session.is_outdated())
    }

    /// Looks at the device anew, between two readings. May be dropped at any time, and goes on
    /// where it was.
    pub async fn renew(&mut self) {
        if let Self::Snmp(session) = self {
            // Rare, and would make the task of every device larger.
            Box::pin(session.renew()).await;
        }
    }
}

/// Polls until `out` closes. Ending it ends its tasks.
pub async fn run(
    means: Means,
    devices: Vec<Device>,
    out: mpsc::Sender<Poll>,
    mut control: mpsc::Receiver<Control>,
) {
    let (fast, fast_seen) = watch::channel(false);
    let nudges: HashMap<String, Arc<Notify>> = devices
        .iter()
        .map(|device| (device.name.clone(), Arc::new(Notify::new())))
        .collect();
    let start = |tasks: &mut JoinSet<()>, device: &Device, pause: Duration| {
        let poller = Poller {
            device: device.clone(),
            conversation: means.converse(device),
            lateness: Arc::clone(&means.lateness),
            turns: Arc::clone(&means.turns),
            out: out.clone(),
            nudge: Arc::clone(&nudges[&device.name]),
            fast: fast_seen.clone(),
        };
        tasks.spawn(poller.run(pause)).id()
    };
    let mut tasks = JoinSet::new();
    let mut running: HashMap<Id, &Device> = HashMap::new();
    for device in &devices {
        running.insert(start(&mut tasks, device, Duration::ZERO), device);
    }
    let mut is_controlled = true;
    loop {
        // Every arm is cancel-safe: a channel, a set of tasks, a closed flag.
        tokio::select! {
            command = control.recv(), if is_controlled => match command {
                Some(Control::PollNow(name)) => match nudges.get(&name) {
                    Some(nudge) => nudge.notify_one(),
                    None => tracing::warn!(device = %name, "asked to poll an unknown device"),
                },
                Some(Control::Fast(on)) => {
                    fast.send_if_modified(|known| std::mem::replace(known, on) != on);
                }
                None => is_controlled = false,
            },
            Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                // A task that ends by itself saw `out` close.
                if let Err(error) = ended
                    && let Some(device) = running.remove(&error.id())
                {
                    tracing::error!(device = %device.name, %error, "a poller panicked and is started again");
                    running.insert(start(&mut tasks, device, RESTART_PAUSE), device);
                }
            }
            () = out.closed() => return,
        }
    }
}

fn wanted(device: &Device) -> Wanted {
    match (&device.profile, device.kind) {
        (Some(name), _) => Wanted::Named(name.clone()),
        (None, DeviceKind::Ups) => Wanted::Ups,
        (None, _) => Wanted::Any,
    }
}

struct Poller {
    device: Device,
    conversation: Conversation,
    lateness: Arc<Lateness>,
    turns: Arc<Semaphore>,
    out: mpsc::Sender<Poll>,
    nudge: Arc<Notify>,
    fast: watch::Receiver<bool>,
}

impl Poller {
    async fn run(mut self, pause: Duration) {
        let spread = match self.device.kind {
            DeviceKind::Ups => START_SPREAD.min(self.interval()),
            _ => self.interval(),
        };
        let mut due = Instant::now() + pause + spread.mul_f64(rand::rng().random_range(0.0..1.0));
        let mut learnt = clock::now().mono;
        let relearn_every =
            Millis((RELEARN_EVERY.0 as f64 * rand::rng().random_range(1.0 - RELEARN_SPREAD..1.0)) as u64);
        loop {
            // Every arm is cancel-safe: a timer, a permit, a changed flag, a closed flag.
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.nudge.notified() => {}
                changed = self.fast.changed() => match changed {
                    Ok(()) => {
                        let on_battery = *self.fast.borrow_and_update();
                        // What is read no faster on battery goes on as it was: ten thousand of
                        // them at once would stand in the way of the UPSes, and stay in step.
                        if self.device.poll_on_battery >= self.device.poll {
                            continue;
                        }
                        // Back on mains the next reading may wait; on battery it may not.
                        if !on_battery {
                            due = Instant::now() + self.interval();
                            continue;
                        }
                    }
                    Err(_) => return,
                },
                () = self.out.closed() => return,
            }
            let now = clock::now().mono;
            if now.since(learnt) >= relearn_every && !*self.fast.borrow() {
                self.conversation.outdate();
                learnt = now;
            }
            let turn = self.turn().await;
            let started = Instant::now();
            self.lateness
                .record(clock::now().mono, started.saturating_duration_since(due));
            let poll = self.poll(turn).await;
            if self.out.send(poll).await.is_err() {
                return;
            }
            // Not `due + interval`: readings that were missed are not made up for.
            due = (started + self.interval()).max(Instant::now() + PAUSE_MIN);
            if self.renew(due).await {
                due = Instant::now();
            }
        }
    }

    /// Looks at the device anew until the next reading is due: on mains only, for on battery every
    /// packet must count. True when it was nudged, and must be read at once.
    async fn renew(&mut self, due: Instant) -> bool {
        if *self.fast.borrow() || !self.conversation.is_outdated() {
            return false;
        }
        // Its own, so that the change is seen again by who acts on it.
        let mut fast = self.fast.clone();
        // Every arm is cancel-safe: a session that goes on where it was, a timer, a nudge, a flag.
        tokio::select! {
            () = self.conversation.renew() => false,
            () = tokio::time::sleep_until(due) => false,
            () = self.nudge.notified() => true,
            _ = fast.changed() => false,
            () = self.out.closed() => false,
        }
    }

    /// `None` for a UPS, which does not wait.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        if self.device.kind == DeviceKind::Ups {
            return None;
        }
        // Never closed; were it, nobody would have to wait.
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    async fn poll(&mut self, turn: Option<OwnedSemaphorePermit>) -> Poll {
        let asked = clock::now().mono;
        let read = self.conversation.read();
        tokio::pin!(read);
        let result = tokio::select! {
            result = &mut read => result,
            () = tokio::time::sleep(TURN) => {
                drop(turn);
                read.await
            }
        };
        Poll {
            device: self.device.name.clone(),
            asked,
            answered: clock::now().mono,
            result,
        }
    }

    fn interval(&self) -> Duration {
        let millis = if *self.fast.borrow() {
            self.device.poll_on_battery
        } else {
            self.device.poll
        };
        Duration::from_millis(millis.0).max(PAUSE_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::site::link::{SnmpAccess, SnmpLink};
    use room::site::{Label, Secret};
    use simroom::ups::{Fault, Mib, Model, Ups};
    use std::net::SocketAddr;

    /// Longer than anything a test waits for on a loaded machine.
    const BOUND: Duration = Duration::from_secs(20);

    fn device(name: &str, addr: SocketAddr, poll_ms: u64) -> Device {
        Device {
            name: name.to_owned(),
            label: Label::default(),
            kind: DeviceKind::Ups,
            link: Link::Snmp(SnmpLink {
                addr,
                access: SnmpAccess::V2c(Secret("room".to_owned())),
            }),
            profile: None,
            poll: Millis(poll_ms),
            poll_on_battery: Millis(60),
            timeout: Millis(100),
            retries: 1,
            behind: None,
            uplinks: Vec::new(),
            commands: Vec::new(),
            write: None,
        }
    }

    async fn ups(mib: Mib) -> Ups {
        Ups::start(Model::rack_1500("S1"), mib, "room").await.unwrap()
    }

    struct Running {
        polls: mpsc::Receiver<Poll>,
        control: mpsc::Sender<Control>,
        task: tokio::task::JoinHandle<()>,
    }

    async fn start(devices: Vec<Device>) -> Running {
        let (out, polls) = mpsc::channel(64);
        let (control, commands) = mpsc::channel(8);
        let means = Means::open(Arc::new(Library::builtin())).await.unwrap();
        let task = tokio::spawn(run(means, devices, out, commands));
        Running { polls, control, task }
    }

    impl Running {
        async fn next(&mut self) -> Poll {
            tokio::time::timeout(BOUND, self.polls.recv())
                .await
                .unwrap()
                .unwrap()
        }

        /// The next poll of this kind.
        async fn until(&mut self, wanted: impl Fn(&Poll) -> bool) -> Poll {
            loop {
                let poll = self.next().await;
                if wanted(&poll) {
                    return poll;
                }
            }
        }
    }

    #[tokio::test]
    async fn both_kinds_of_ups_are_detected_and_read() {
        let (standard, apc) = (ups(Mib::Rfc1628).await, ups(Mib::PowerNet).await);
        let mut running = start(vec![
            device("ups-a", standard.addr, 100),
            device("ups-b", apc.addr, 100),
        ])
        .await;
        for (name, profile) in [("ups-a", "rfc1628"), ("ups-b", "apc-powernet")] {
            let poll = running.until(|poll| poll.device == name).await;
            assert!(poll.answered >= poll.asked);
            let reading = poll.result.unwrap();
            assert_eq!(reading.profile, profile);
            assert_eq!(reading.state("output.source"), Some("mains"));
            assert_eq!(reading.number("battery.charge"), Some(100.0));
            let runtime = reading.number("battery.runtime").unwrap();
            assert!((runtime - standard.state().runtime_s).abs() <= 60.0, "{runtime}");
        }
    }

    #[tokio::test]
    async fn a_silent_device_delays_nobody_and_is_reported_as_silent() {
        let (live, dead) = (ups(Mib::Rfc1628).await, ups(Mib::Rfc1628).await);
        dead.fault(Fault::Silent(true));
        let mut slow = device("dead", dead.addr, 100);
        slow.timeout = Millis(700);
        let mut running = start(vec![slow, device("live", live.addr, 60)]).await;
        let (mut polls, mut longest) = (0, 0);
        let silent = loop {
            let poll = running.next().await;
            if poll.device == "dead" {
                break poll;
            }
            polls += 1;
            longest = longest.max(poll.answered.since(poll.asked).0);
            assert!(poll.result.is_ok());
        };
        assert_eq!(silent.result, Err(PollFailure::Timeout));
        assert!(silent.answered.since(silent.asked).0 >= 1500, "{silent:?}");
        assert!(polls >= 5, "{polls} polls of the live device in the silence");
        assert!(longest < 1500, "a poll of the live device took {longest} ms");
    }

    #[tokio::test]
    async fn more_silent_devices_than_there_are_turns_stop_nobody() {
        let (live, dead) = (ups(Mib::Rfc1628).await, ups(Mib::Rfc1628).await);
        dead.fault(Fault::Silent(true));
        let mut devices: Vec<Device> = (0..AT_ONCE * 2)
            .map(|number| {
                let mut silent = device(&format!("dead-{number}"), dead.addr, 100);
                silent.kind = DeviceKind::Other;
                silent.timeout = Millis(3_000);
                silent
            })
            .collect();
        let mut other = device("live", live.addr, 100);
        other.kind = DeviceKind::Other;
        devices.push(other);
        let mut running = start(devices).await;
        // All before the first silent one is given up.
        for _ in 0..5 {
            let poll = running.next().await;
            assert_eq!(poll.device, "live");
            assert!(poll.result.is_ok(), "{poll:?}");
        }
    }

    #[tokio::test]
    async fn on_battery_and_on_request_it_is_read_at_once() {
        let ups = ups(Mib::PowerNet).await;
        let mut running = start(vec![device("ups-a", ups.addr, 3_600_000)]).await;
        running.next().await.result.unwrap();
        ups.set_mains(false);
        running
            .control
            .send(Control::PollNow("ups-a".to_owned()))
            .await
            .unwrap();
        let reading = running.next().await.result.unwrap();
        assert_eq!(reading.state("output.source"), Some("battery"));
        running.control.send(Control::Fast(true)).await.unwrap();
        for _ in 0..4 {
            running.next().await.result.unwrap();
        }
        running.control.send(Control::Fast(false)).await.unwrap();
    }

    #[tokio::test]
    async fn a_device_that_is_swapped_is_detected_anew() {
        let first = ups(Mib::Rfc1628).await;
        let addr = first.addr;
        let mut running = start(vec![device("ups-a", addr, 60)]).await;
        assert_eq!(running.next().await.result.unwrap().profile, "rfc1628");
        drop(first);
        let second = loop {
            match Ups::start_at(addr, Model::rack_1500("S2"), Mib::PowerNet, "room").await {
                Ok(ups) => break ups,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let swapped = running
            .until(|poll| {
                poll.result
                    .as_ref()
                    .is_ok_and(|reading| reading.profile != "rfc1628")
            })
            .await;
        let reading = swapped.result.unwrap();
        assert_eq!(reading.profile, "apc-powernet");
        assert_eq!(second.state().charge_percent, 100.0);
        assert_eq!(reading.state("output.source"), Some("mains"));
    }

    #[tokio::test]
    async fn one_bad_answer_costs_no_reading_and_many_are_named() {
        let ups = ups(Mib::Rfc1628).await;
        let mut running = start(vec![device("ups-a", ups.addr, 60)]).await;
        running.next().await.result.unwrap();
        ups.fault(Fault::ZeroVariables(1));
        running.next().await.result.unwrap();
        ups.fault(Fault::ZeroVariables(u32::MAX));
        let refused = running.until(|poll| poll.result.is_err()).await;
        assert!(
            matches!(&refused.result, Err(PollFailure::Refused(why)) if why.contains("readable variables")),
            "{refused:?}"
        );
        ups.fault(Fault::ZeroVariables(0));
        running.until(|poll| poll.result.is_ok()).await;
    }

    #[tokio::test]
    async fn sentinels_arrive_as_reasons() {
        for mib in [Mib::Rfc1628, Mib::PowerNet] {
            let ups = ups(mib).await;
            ups.fault(Fault::Sentinels(true));
            let mut running = start(vec![device("ups-a", ups.addr, 60)]).await;
            let reading = running.next().await.result.unwrap();
            for name in ["battery.charge", "battery.runtime"] {
                let fact = reading.fact(name).unwrap();
                assert_eq!(
                    fact.value,
                    Err(shared::NoData::Sentinel),
                    "{mib:?} {name} {}",
                    fact.raw
                );
            }
        }
    }

    /// Room's engine must be able to tell from the readings alone that a card is stuck.
    #[tokio::test]
    async fn a_frozen_card_goes_on_answering_the_same() {
        let ups = ups(Mib::Rfc1628).await;
        ups.set_time_factor(0.0);
        let mut running = start(vec![device("ups-a", ups.addr, 60)]).await;
        let before = running.next().await.result.unwrap();
        ups.fault(Fault::Frozen(true));
        ups.set_mains(false);
        // The one under way, and one that began in the outage.
        running.next().await.result.unwrap();
        assert_eq!(running.next().await.result.unwrap(), before);
        ups.fault(Fault::Frozen(false));
        running
            .until(|poll| {
                let reading = poll.result.as_ref();
                reading.is_ok_and(|reading| reading.state("output.source") == Some("battery"))
            })
            .await;
    }

    #[tokio::test]
    async fn it_ends_when_core_does() {
        let ups = ups(Mib::Rfc1628).await;
        let running = start(vec![device("ups-a", ups.addr, 3_600_000)]).await;
        drop(running.polls);
        tokio::time::timeout(BOUND, running.task).await.unwrap().unwrap();
    }
}

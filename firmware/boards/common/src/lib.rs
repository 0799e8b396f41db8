//! What the boards share: the tasks of a node over embassy, and its way to the broker.
//!
//! ```text
//! sampler: contacts, parts on I2C --+                +--> uplink: MQTT
//! reader:  PN532 on a serial line --+--> Shared.node +
//! probe:   Modbus RTU on RS-485 ----+                +--> outputs: strike, buzzer, lamps
//! life:    what is due by itself ---+                +--> orders: clock, restart
//! console: who are you, erase ------+
//! supervise: feeds the watchdog while every task is heard of
//! ```
//! A board implements [`Board`] and gives each task its port; the tasks are the same everywhere.
//! They all run on one executor of one core, so a borrow of the node never meets another one as
//! long as it is not held across an `await`; none is. Nothing here restarts because the controller
//! is away, but for an image on trial ([`node::update`]).
#![no_std]
#![forbid(unsafe_code)]

pub mod console;
mod ear;
pub mod i2c;
pub mod life;
pub mod pins;
pub mod probe;
pub mod reader;
pub mod sampler;
pub mod start;
pub mod supervise;
#[cfg(feature = "tls")]
mod tls;
pub mod uplink;

use core::cell::{Cell, RefCell};
use core::fmt;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Instant, Timer};
use embedded_hal::i2c::I2c;
use node::door::Outputs;
use node::drivers::Reading;
use node::memory::Memory;
use node::node::{Counts, Node};
use node::supervisor::Supervisor;
use node::update::Slots;
use shared::provision::Provision;
use uplink::{Home, Link, News};

/// What a board gives to the tasks. Every method returns at once.
pub trait Board: 'static {
    /// A handle of the bus with sensors, clock chip and memory.
    type Bus: I2c;
    /// The memory.
    type Memory: Memory + 'static;
    /// Where new firmware goes.
    type Slots: Slots + 'static;

    /// Says a line on the console; it may be lost when nobody takes them.
    fn log(&self, line: fmt::Arguments<'_>);
    /// The bus.
    fn bus(&self) -> Self::Bus;
    /// Frees a bus that somebody holds ([`node::bus::free`]).
    fn free_bus(&self);
    /// Switches the supply of the sensors.
    fn sensor_rail(&self, on: bool);
    /// True when the circuit of this contact is open; also for one that is not there.
    fn is_open(&self, contact: u8) -> bool;
    /// Waits for an edge of any contact that is mounted. A board whose pins do not tell returns after
    /// [`LOOK_MS`] instead: its contacts are looked at all the time.
    fn edge(&self) -> impl Future<Output = ()> {
        Timer::after_millis(LOOK_MS)
    }
    /// Drives strike, buzzer and lamps.
    fn switch(&self, outputs: &Outputs);
    /// Holds the card reader in reset.
    fn reset_reader(&self, held: bool);
    /// Sets the clock chip, in milliseconds since 1970 UTC.
    fn set_clock(&self, unix_ms: u64);
    /// Bytes that the port of this task has lost since the start, beside those that it reports as
    /// errors.
    fn lost(&self, _: Task) -> u32 {
        0
    }
    /// For a display: how far the way to the broker is.
    fn link(&self, _: Link) {}
    /// For a display: a contact of the mount table was looked at.
    fn contact(&self, _channel: u8, _open: bool) {}
    /// For a display: a value, or the reason why there is none.
    fn reading(&self, _channel: u8, _: &Reading) {}
    /// Bytes of the stack that were never used, where that is measured; it is asked for every minute.
    fn stack_free(&self) -> Option<u32> {
        None
    }
    /// Begins the watchdog's time anew.
    fn feed_watchdog(&self);
    /// The watchdog is not fed any more because of this task.
    fn missed(&self, task: usize);
    /// Restarts because it was asked to.
    fn restart(&self) -> !;
    /// Fills this from the chip's own source of randomness, in less than a millisecond a dozen bytes.
    #[cfg(feature = "tls")]
    fn random(&self, into: &mut [u8]);
}

/// The tasks, by the number that a crash record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// [`sampler`].
    Sampler,
    /// Moves frames between the network and whoever is connected.
    Frames,
    /// [`uplink`].
    Uplink,
    /// [`life`].
    Life,
    /// [`reader`].
    Reader,
    /// [`probe`].
    Probe,
    /// [`console`].
    Console,
}

const TASKS: usize = Task::Console as usize + 1;
/// Longest silence of each in milliseconds. Erasing flash for an update takes up to 4 s, in which
/// the core stands still on some boards.
const ALLOWANCES_MS: [u64; TASKS] = [
    8_000,
    8_000,
    uplink::LONGEST_SILENCE_MS,
    8_000,
    8_000,
    8_000,
    8_000,
];

/// Time between two looks at the contacts of a board that cannot tell of edges, in milliseconds:
/// half of how long a level must hold.
pub const LOOK_MS: u64 = 2;

/// Milliseconds since the start.
#[must_use]
pub fn now_ms() -> u64 {
    Instant::now().as_millis()
}

/// The next whole second. Whoever only checks in wakes then, all at once: a processor that wakes
/// once a second sleeps more than one that wakes seven times.
pub fn next_second() -> Timer {
    Timer::at(Instant::from_secs(Instant::now().as_secs() + 1))
}

/// What the tasks share.
pub struct Shared<B: Board> {
    /// The board.
    pub board: B,
    /// Who the node is and what is mounted.
    pub provision: &'static Provision,
    node: RefCell<&'static mut Node<B::Memory, B::Slots>>,
    tasks: RefCell<Supervisor<TASKS>>,
    counts: Cell<Counts>,
    garbled: Cell<[u32; TASKS]>,
    /// Until when [`life`] sleeps.
    life_at_ms: Cell<u64>,
    /// Set when the node may have something new to send.
    news: News,
    /// Set when the node's next deadline has come nearer.
    nearer: Signal<CriticalSectionRawMutex, ()>,
}

impl<B: Board> Shared<B> {
    /// Everything at rest.
    pub fn new(
        board: B,
        provision: &'static Provision,
        node: &'static mut Node<B::Memory, B::Slots>,
    ) -> Self {
        Self {
            board,
            provision,
            node: RefCell::new(node),
            tasks: RefCell::new(Supervisor::new(ALLOWANCES_MS)),
            counts: Cell::new(Counts::default()),
            garbled: Cell::new([0; TASKS]),
            life_at_ms: Cell::new(0),
            news: Signal::new(),
            nearer: Signal::new(),
        }
    }

    /// Looks at the node.
    pub fn look<T>(&self, look: impl FnOnce(&Node<B::Memory, B::Slots>) -> T) -> T {
        look(&self.node.borrow())
    }

    /// One step of the node. What it switches is switched before anything else happens.
    pub fn step<T>(&self, step: impl FnOnce(&mut Node<B::Memory, B::Slots>, u64) -> T) -> T {
        let result = step(&mut self.node.borrow_mut(), now_ms());
        self.follow();
        result
    }

    /// Once in flash, not in every step.
    #[inline(never)]
    fn follow(&self) {
        let node = self.node.borrow();
        self.board.switch(&node.outputs());
        self.news.signal(());
        if node.next_tick() < self.life_at_ms.get() {
            self.nearer.signal(());
        }
    }

    /// False in safe mode: no sensor, no reader and no door is touched.
    fn is_watching(&self) -> bool {
        !self.node.borrow().safe_mode()
    }

    /// The task is alive.
    pub fn check_in(&self, task: Task) {
        self.tasks.borrow_mut().check_in(task as usize, now_ms());
    }

    /// The first task that has been silent for too long.
    fn silent(&self) -> Option<usize> {
        self.tasks.borrow().silent(now_ms())
    }

    /// A task has met so much since the start that was no frame.
    fn garbled(&self, task: Task, total: u32) {
        let mut garbled = self.garbled.get();
        if garbled[task as usize] != total {
            garbled[task as usize] = total;
            self.garbled.set(garbled);
            let all = garbled.into_iter().fold(0, u32::saturating_add);
            self.count(|counts| counts.garbled = all.try_into().unwrap_or(u16::MAX));
        }
    }

    /// The bus was freed, or the sensors' supply switched.
    fn recovered(&self) {
        self.count(|counts| counts.recoveries = counts.recoveries.saturating_add(1));
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
        self.node.borrow_mut().count(counts);
    }
}

impl<B: Board> Home for Shared<B> {
    type Memory = B::Memory;
    type Slots = B::Slots;

    fn provision(&self) -> &'static Provision {
        self.provision
    }

    fn news(&self) -> &News {
        &self.news
    }

    fn look<T>(&self, look: impl FnOnce(&Node<B::Memory, B::Slots>) -> T) -> T {
        Shared::look(self, look)
    }

    fn step<T>(&self, step: impl FnOnce(&mut Node<B::Memory, B::Slots>, u64) -> T) -> T {
        Shared::step(self, step)
    }

    fn send<T>(&self, take: impl FnOnce(&mut Node<B::Memory, B::Slots>, u64) -> T) -> T {
        take(&mut self.node.borrow_mut(), now_ms())
    }

    fn check_in(&self) {
        Shared::check_in(self, Task::Uplink);
    }

    fn link(&self, link: Link) {
        self.board.link(link);
    }

    #[cfg(feature = "tls")]
    fn random(&self, into: &mut [u8]) {
        self.board.random(into);
    }

    fn log(&self, line: fmt::Arguments<'_>) {
        self.board.log(line);
    }
}

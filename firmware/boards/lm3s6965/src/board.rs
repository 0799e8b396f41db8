//! What the tasks share. They all run on one executor, so a borrow never meets another one as long
//! as it is not held across an `await`; none is.

use crate::expander::Switched;
use crate::hal::clock::{Spin, now_ms};
use crate::hal::console::console;
use crate::hal::i2c::Bus;
use common::uplink::{Home, Link, News};
use core::cell::{Cell, RefCell};
use core::fmt;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embedded_hal_bus::i2c::RefCellDevice;
use node::drivers::eeprom24::Eeprom24;
use node::node::{Counts, Node};
use node::supervisor::Supervisor;
use node::update::NoSlots;
use shared::NoData;
use shared::provision::Provision;
#[cfg(feature = "tls")]
use shared::wire::DeviceKey;

pub(crate) type Device = RefCellDevice<'static, Bus>;
pub(crate) type Eeprom = Eeprom24<Device, Spin>;
pub(crate) type TheNode = Node<Eeprom, NoSlots>;

/// The tasks, by the number that a crash record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Sampler,
    Frames,
    Uplink,
    Life,
    Display,
    Reader,
    Probes,
    Console,
}

const TASKS: usize = Task::Console as usize + 1;
/// Longest silence of each in milliseconds.
const ALLOWANCES_MS: [u64; TASKS] = [
    3_000,
    5_000,
    common::uplink::LONGEST_SILENCE_MS,
    5_000,
    5_000,
    5_000,
    5_000,
    5_000,
];

/// Set when the node may have something new to send.
pub(crate) static NEWS: News = News::new();
/// Set when the node's next deadline has come nearer.
pub(crate) static LIFE: Signal<CriticalSectionRawMutex, ()> = Signal::new();

/// How the display says how far the way to the broker is.
pub(crate) const fn word(link: Link) -> &'static str {
    match link {
        Link::NoAddress => "NO ADDRESS",
        Link::NoBroker => "NO BROKER",
        Link::Online => "ONLINE",
    }
}

/// What the display is to say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) link: Link,
    pub(crate) temperature: Option<Result<i32, NoData>>,
    pub(crate) door_open: Option<bool>,
}

/// What the tasks share.
pub(crate) struct Shared {
    pub(crate) provision: &'static Provision,
    pub(crate) bus: &'static RefCell<Bus>,
    pub(crate) shown: Cell<Shown>,
    node: RefCell<&'static mut TheNode>,
    tasks: RefCell<Supervisor<TASKS>>,
    switched: RefCell<Switched<Device>>,
    counts: Cell<Counts>,
    garbled: Cell<[u32; TASKS]>,
    /// Until when [`crate::life`] sleeps.
    life_at_ms: Cell<u64>,
    /// How often [`Home::random`] was asked.
    #[cfg(feature = "tls")]
    drawn: Cell<u32>,
}

impl Shared {
    /// Everything at rest, nothing shown.
    pub(crate) fn new(
        provision: &'static Provision,
        bus: &'static RefCell<Bus>,
        node: &'static mut TheNode,
    ) -> Self {
        Self {
            provision,
            bus,
            shown: Cell::new(Shown {
                link: Link::NoAddress,
                temperature: None,
                door_open: None,
            }),
            node: RefCell::new(node),
            tasks: RefCell::new(Supervisor::new(ALLOWANCES_MS)),
            switched: RefCell::new(Switched::start(Device::new(bus))),
            counts: Cell::new(Counts::default()),
            garbled: Cell::new([0; TASKS]),
            life_at_ms: Cell::new(0),
            #[cfg(feature = "tls")]
            drawn: Cell::new(0),
        }
    }

    /// Looks at the node.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&TheNode) -> T) -> T {
        look(&self.node.borrow())
    }

    /// One step of the node. What it switches is switched before anything else happens.
    pub(crate) fn step<T>(&self, step: impl FnOnce(&mut TheNode, u64) -> T) -> T {
        let result = step(&mut self.node.borrow_mut(), now_ms());
        self.follow();
        result
    }

    #[inline(never)]
    fn follow(&self) {
        let node = self.node.borrow();
        let now_ms = now_ms();
        self.switched.borrow_mut().set(&node.outputs(), now_ms);
        NEWS.signal(());
        if node.next_tick() < self.life_at_ms.get() {
            LIFE.signal(());
        }
    }

    /// [`crate::life`] sleeps until then.
    pub(crate) fn life_sleeps_until(&self, at_ms: u64) {
        self.life_at_ms.set(at_ms);
    }

    /// False in safe mode: no sensor, no reader and no door is touched.
    pub(crate) fn is_watching(&self) -> bool {
        !self.node.borrow().safe_mode()
    }

    pub(crate) fn check_in(&self, task: Task) {
        self.tasks.borrow_mut().check_in(task as usize, now_ms());
    }

    /// The first task that has been silent for too long.
    pub(crate) fn silent(&self) -> Option<usize> {
        self.tasks.borrow().silent(now_ms())
    }

    pub(crate) fn show(&self, change: impl FnOnce(&mut Shown)) {
        let mut shown = self.shown.get();
        change(&mut shown);
        self.shown.set(shown);
    }

    /// A task has met so much since the start that was no frame.
    pub(crate) fn garbled(&self, task: Task, total: u32) {
        let mut garbled = self.garbled.get();
        if garbled[task as usize] != total {
            garbled[task as usize] = total;
            self.garbled.set(garbled);
            let all = garbled.into_iter().fold(0, u32::saturating_add);
            self.count(|counts| counts.garbled = all.try_into().unwrap_or(u16::MAX));
        }
    }

    /// The bus was freed, or the sensors' supply switched.
    pub(crate) fn recovered(&self) {
        self.count(|counts| counts.recoveries = counts.recoveries.saturating_add(1));
    }

    pub(crate) fn stack_free(&self, bytes: u32) {
        self.count(|counts| counts.stack_free = Some(bytes.try_into().unwrap_or(u16::MAX)));
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
        self.node.borrow_mut().count(counts);
    }
}

impl Home for Shared {
    type Memory = Eeprom;
    type Slots = NoSlots;

    fn provision(&self) -> &'static Provision {
        self.provision
    }

    fn news(&self) -> &News {
        &NEWS
    }

    fn look<T>(&self, look: impl FnOnce(&TheNode) -> T) -> T {
        Self::look(self, look)
    }

    fn step<T>(&self, step: impl FnOnce(&mut TheNode, u64) -> T) -> T {
        Self::step(self, step)
    }

    fn send<T>(&self, take: impl FnOnce(&mut TheNode, u64) -> T) -> T {
        take(&mut self.node.borrow_mut(), now_ms())
    }

    fn check_in(&self) {
        Self::check_in(self, Task::Uplink);
    }

    fn link(&self, link: Link) {
        self.show(|shown| shown.link = link);
    }

    fn log(&self, line: fmt::Arguments<'_>) {
        console!("{line}");
    }

    /// For the tests on the emulated board only (see `main.rs`): numbers that everybody can work out.
    #[cfg(feature = "tls")]
    fn random(&self, into: &mut [u8]) {
        const SEED: DeviceKey = DeviceKey::new(*b"not random: emulated boards only");
        for piece in into.chunks_mut(32) {
            let drawn = self.drawn.get().wrapping_add(1);
            self.drawn.set(drawn);
            let mut label = [0; 16];
            label[..4].copy_from_slice(&drawn.to_le_bytes());
            label[4..6].copy_from_slice(&self.provision.node.to_le_bytes());
            label[8..].copy_from_slice(&now_ms().to_le_bytes());
            piece.copy_from_slice(&SEED.rotated(&label).expose()[..piece.len()]);
        }
    }
}

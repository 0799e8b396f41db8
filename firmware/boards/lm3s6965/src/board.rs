//! What this board is to the tasks: its pins, its bus, its memory, its ports, and what its display is to
//! say.

use crate::expander::Switched;
use crate::hal::clock::{Spin, now_ms};
use crate::hal::console::console;
use crate::hal::gpio::{self, EDGE, Output};
use crate::hal::i2c::Bus;
use crate::hal::uart::{CONSOLE, PROBES, Parity, READER, Rs485};
use crate::hal::{crash, stack, watchdog};
use common::Task;
use common::probe::{BAUD, HalfDuplex};
use common::uplink::Link;
use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::fmt;
use embedded_hal_bus::i2c::RefCellDevice;
use embedded_io_async::{ErrorType, Read, Write};
use node::door::Outputs;
use node::drivers::Reading;
use node::drivers::ds1307::Ds1307;
use node::drivers::eeprom24::Eeprom24;
use node::node::Node;
use node::update::NoSlots;
use shared::mount::{EVEN_PARITY, FAST_LINE, Mount, Part, PortalInput};
use shared::provision::Provision;
use shared::{NoData, Quantity};

pub(crate) type Device = RefCellDevice<'static, Bus>;
pub(crate) type Eeprom = Eeprom24<Device, Spin>;
pub(crate) type TheNode = Node<Eeprom, NoSlots>;
pub(crate) type Shared = common::Shared<NodeBoard>;

/// Bits per second of the probes' line with [`FAST_LINE`].
const FAST_BAUD: u32 = 19_200;
/// The display's number in a crash record, behind those of the tasks that every board has. Nobody waits
/// for it, so it is not supervised.
pub(crate) const DISPLAY: usize = Task::Console as usize + 1;

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

/// The board.
pub(crate) struct NodeBoard {
    bus: &'static RefCell<Bus>,
    switched: RefCell<Switched<Device>>,
    shown: Cell<Shown>,
    /// The channels that the display shows.
    temperature: Option<usize>,
    door: Option<usize>,
    #[cfg(feature = "tls")]
    node: u16,
    /// How often [`common::Board::random`] was asked.
    #[cfg(feature = "tls")]
    drawn: Cell<u32>,
}

impl NodeBoard {
    /// Everything at rest, the contacts of the mount table started, nothing shown.
    pub(crate) fn start(bus: &'static RefCell<Bus>, provision: &Provision) -> Self {
        let mounted = |wanted: fn(Mount) -> bool| {
            let mut mounts = provision.mounts.iter();
            mounts.position(|mount| mount.is_some_and(wanted))
        };
        for mount in provision.mounts.iter().flatten() {
            if mount.part == Part::Contact {
                gpio::start_contact(mount.at);
            }
        }
        Output::SensorRail.start(true);
        Output::ReaderReset.start(false);
        Self {
            bus,
            switched: RefCell::new(Switched::start(Device::new(bus))),
            shown: Cell::new(Shown {
                link: Link::NoAddress,
                temperature: None,
                door_open: None,
            }),
            temperature: mounted(|mount| mount.quantity() == Some(Quantity::Temperature)),
            door: mounted(|mount| mount.part == Part::Contact && mount.portal() == PortalInput::Door),
            #[cfg(feature = "tls")]
            node: provision.node,
            #[cfg(feature = "tls")]
            drawn: Cell::new(0),
        }
    }

    /// What the display is to say.
    pub(crate) fn shown(&self) -> Shown {
        self.shown.get()
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        let mut shown = self.shown.get();
        change(&mut shown);
        self.shown.set(shown);
    }
}

impl common::Board for NodeBoard {
    type Bus = Device;
    type Memory = Eeprom;
    type Slots = NoSlots;

    fn log(&self, line: fmt::Arguments<'_>) {
        console!("{line}");
    }

    fn bus(&self) -> Device {
        Device::new(self.bus)
    }

    fn free_bus(&self) {
        self.bus.borrow_mut().recover();
    }

    fn sensor_rail(&self, on: bool) {
        Output::SensorRail.set(on);
    }

    fn is_open(&self, contact: u8) -> bool {
        gpio::is_open(contact)
    }

    async fn edge(&self) {
        EDGE.wait().await;
    }

    fn switch(&self, outputs: &Outputs) {
        self.switched.borrow_mut().set(outputs, now_ms());
    }

    fn reset_reader(&self, held: bool) {
        Output::ReaderReset.set(!held);
    }

    fn set_clock(&self, unix_ms: u64) {
        // Without the chip the time is asked of the controller after the next power cut.
        let _ = Ds1307::Ds1338.set(&mut self.bus(), unix_ms);
    }

    fn lost(&self, task: Task) -> u32 {
        match task {
            Task::Reader => READER.lost(),
            Task::Probe => PROBES.lost(),
            Task::Console => CONSOLE.lost(),
            _ => 0,
        }
    }

    fn link(&self, link: Link) {
        self.show(|shown| shown.link = link);
    }

    fn contact(&self, channel: u8, open: bool) {
        if self.door == Some(channel.into()) {
            self.show(|shown| shown.door_open = Some(open));
        }
    }

    fn reading(&self, channel: u8, reading: &Reading) {
        if self.temperature == Some(channel.into()) {
            self.show(|shown| shown.temperature = Some(*reading));
        }
    }

    fn stack_free(&self) -> Option<u32> {
        Some(stack::never_used())
    }

    fn feed_watchdog(&self) {
        watchdog::feed();
    }

    fn missed(&self, task: usize) {
        crash::missed(task);
    }

    fn restart(&self) -> ! {
        crash::restart()
    }

    /// For the tests on the emulated board only (see `main.rs`): numbers that everybody can work out.
    #[cfg(feature = "tls")]
    fn random(&self, into: &mut [u8]) {
        use shared::wire::DeviceKey;
        const SEED: DeviceKey = DeviceKey::new(*b"not random: emulated boards only");
        for piece in into.chunks_mut(32) {
            let drawn = self.drawn.get().wrapping_add(1);
            self.drawn.set(drawn);
            let mut label = [0; 16];
            label[..4].copy_from_slice(&drawn.to_le_bytes());
            label[4..6].copy_from_slice(&self.node.to_le_bytes());
            label[8..].copy_from_slice(&now_ms().to_le_bytes());
            piece.copy_from_slice(&SEED.rotated(&label).expose()[..piece.len()]);
        }
    }
}

/// What is typed at the console.
pub(crate) struct Typed;

impl ErrorType for Typed {
    type Error = Infallible;
}

impl Read for Typed {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        Ok(CONSOLE.read(into).await)
    }
}

/// The port of the card reader.
pub(crate) struct CardReader;

impl CardReader {
    /// Starts it.
    pub(crate) fn start() -> Self {
        READER.start(common::reader::BAUD, Parity::None);
        Self
    }
}

impl ErrorType for CardReader {
    type Error = Infallible;
}

impl Read for CardReader {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        Ok(READER.read(into).await)
    }
}

impl Write for CardReader {
    /// What finds no room is lost and counted; the ring holds the longest command.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        READER.write(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The line of the probes; the port lets go of it by interrupt.
pub(crate) struct Line(Rs485);

impl Line {
    /// Starts it as the mount table says. One line, one speed: that of the first probe in the table.
    pub(crate) fn start(provision: &Provision) -> Self {
        let mut mounts = provision.mounts.iter().flatten();
        let first = mounts.find(|mount| mount.part == Part::ModbusProbe);
        let has = |flag: u8| first.is_some_and(|mount| mount.flags & flag != 0);
        let baud = if has(FAST_LINE) { FAST_BAUD } else { BAUD };
        let parity = if has(EVEN_PARITY) {
            Parity::Even
        } else {
            Parity::None
        };
        Self(Rs485::start(baud, parity))
    }
}

impl ErrorType for Line {
    type Error = Infallible;
}

impl Read for Line {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        Ok(PROBES.read(into).await)
    }
}

impl Write for Line {
    async fn write(&mut self, question: &[u8]) -> Result<usize, Infallible> {
        self.0.send(question);
        Ok(question.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl HalfDuplex for Line {}

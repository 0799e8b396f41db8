//! Pins of the general-purpose ports (chapter 8): the contacts, and what is switched directly.
//!
//! Contacts are normally closed against ground with the pull-up of the pin: closed reads 0; open,
//! wet or a cut wire reads 1. An output is an input until it is started, and after every reset;
//! resistors on the board hold the strike and the driver of RS-485 off then, reset pin of the
//! reader and sensor rail on.

use super::Reg;
use super::vectors::Interrupt;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;

const PORT_A: u32 = 0x4000_4000;
const PORT_B: u32 = 0x4000_5000;
const PORT_C: u32 = 0x4000_6000;
const PORT_D: u32 = 0x4000_7000;
const PORT_E: u32 = 0x4002_4000;
const PORT_F: u32 = 0x4002_5000;
const PORT_G: u32 = 0x4002_6000;

const DIRECTION: u32 = 0x400;
const BOTH_EDGES: u32 = 0x408;
const SENSE: u32 = 0x404;
const INTERRUPT_MASK: u32 = 0x410;
const INTERRUPT_CLEAR: u32 = 0x41c;
const ALTERNATE: u32 = 0x420;
const PULL_UP: u32 = 0x510;
const DIGITAL: u32 = 0x51c;

/// A pin.
#[derive(Debug, Clone, Copy)]
struct Pin {
    port: u32,
    bit: u32,
}

const fn pin(port: u32, number: u32) -> Pin {
    Pin {
        port,
        bit: 1 << number,
    }
}

impl Pin {
    const fn register(self, offset: u32) -> Reg {
        Reg(self.port + offset)
    }

    /// Bits 9:2 of the address mask the pins that are touched.
    const fn level(self) -> Reg {
        self.register(self.bit << 2)
    }
}

/// Where contacts can be connected; a contact's `at` in the mount table is the place in this list.
const CONTACTS: [Pin; 14] = [
    pin(PORT_E, 0),
    pin(PORT_E, 1),
    pin(PORT_E, 2),
    pin(PORT_E, 3),
    pin(PORT_F, 1),
    pin(PORT_A, 6),
    pin(PORT_A, 7),
    pin(PORT_B, 4),
    pin(PORT_B, 5),
    pin(PORT_B, 6),
    pin(PORT_D, 4),
    pin(PORT_D, 5),
    pin(PORT_D, 6),
    pin(PORT_D, 7),
];
/// Ports with contacts, and their interrupts.
const PORTS: [(u32, Interrupt); 5] = [
    (PORT_A, Interrupt::PortA),
    (PORT_B, Interrupt::PortB),
    (PORT_D, Interrupt::PortD),
    (PORT_E, Interrupt::PortE),
    (PORT_F, Interrupt::PortF),
];

/// Set at every edge of any contact.
pub(crate) static EDGE: Signal<CriticalSectionRawMutex, ()> = Signal::new();

/// Makes a pin a contact: input with pull-up, an interrupt at both edges. A place that the board
/// has not is left alone.
pub(crate) fn start_contact(at: u8) {
    let Some(pin) = CONTACTS.get(usize::from(at)) else {
        return;
    };
    pin.register(DIRECTION).clear(pin.bit);
    pin.register(PULL_UP).set(pin.bit);
    pin.register(DIGITAL).set(pin.bit);
    pin.register(SENSE).clear(pin.bit);
    pin.register(BOTH_EDGES).set(pin.bit);
    pin.register(INTERRUPT_CLEAR).write(pin.bit);
    pin.register(INTERRUPT_MASK).set(pin.bit);
    for (_, interrupt) in PORTS.iter().filter(|(port, _)| *port == pin.port) {
        interrupt.enable();
    }
}

/// Level of a contact; true is open. A place that the board has not reads open: it can never be
/// closed.
pub(crate) fn is_open(at: u8) -> bool {
    CONTACTS
        .get(usize::from(at))
        .is_none_or(|pin| pin.level().read() != 0)
}

pub(super) fn on_edge() {
    for (port, _) in PORTS {
        Reg(port + INTERRUPT_CLEAR).write(0xff);
    }
    EDGE.signal(());
}

/// What is switched directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Relay of the strike; high: released.
    Strike,
    /// Reset of the card reader; low: held in reset.
    ReaderReset,
    /// Supply of the sensors on the bus; high: on.
    SensorRail,
    /// Driver of RS-485; high: it drives the line.
    DriverEnable,
    /// Data (high) or command (low) to the display.
    DisplayData,
    /// The display is addressed (high), or the card slot beside it (low).
    DisplaySelect,
}

impl Output {
    const fn pin(self) -> Pin {
        match self {
            Self::Strike => pin(PORT_C, 4),
            Self::DriverEnable => pin(PORT_C, 5),
            Self::ReaderReset => pin(PORT_C, 6),
            Self::DisplayData => pin(PORT_C, 7),
            Self::SensorRail => pin(PORT_B, 0),
            Self::DisplaySelect => pin(PORT_D, 0),
        }
    }

    /// Makes the pin an output of this level, without another level in between.
    pub(crate) fn start(self, high: bool) {
        let pin = self.pin();
        self.set(high);
        pin.register(DIRECTION).set(pin.bit);
        pin.register(DIGITAL).set(pin.bit);
        // Levels written to an input are not kept by the emulator.
        self.set(high);
    }

    /// Sets the level.
    pub(crate) fn set(self, high: bool) {
        let pin = self.pin();
        pin.level().write(if high { pin.bit } else { 0 });
    }
}

/// Hands the pins of serial ports and display over to them.
pub(super) fn start_ports() {
    // Port A: console (0, 1), display (2 clock, 3 frame, 5 data). Port D: reader. Port G: probes.
    for (port, bits) in [(PORT_A, 0b10_1111), (PORT_D, 0b1100), (PORT_G, 0b11)] {
        Reg(port + ALTERNATE).set(bits);
        Reg(port + DIGITAL).set(bits);
    }
}

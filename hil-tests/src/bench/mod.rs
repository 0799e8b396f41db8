//! A sensor node on the bench, with every wire that goes to it.
//!
//! ```text
//! scenario --> Bench --> QemuBench    the emulated board: QMP, QTest, sockets for its UARTs
//!                   \--> SerialBench  a real board: its console and a stimulus box on serial ports
//! ```
//! A scenario takes `&mut impl Bench` and says what happens in the room: a door opens, a card is
//! held to the reader, the cable is pulled. Reader and probe are the same simulators on both
//! benches ([`crate::pn532`], [`crate::probe`]); they speak the real protocols.
//!
//! A bench never looks into the firmware: what it knows comes from wires, the console and, where
//! there is one, the EEPROM's file. What one bench cannot do says so by its return value; the
//! scenario is then skipped aloud.

mod qemu;
mod serial;
mod wires;

pub use qemu::{EEPROM_LEN, HOST, QemuBench};
pub use serial::{Ports, SerialBench, no_board};

use crate::pn532::Reader;
use crate::probe::{self, Probe};
use shared::mount::{Converter, Mount, Part, PortalInput};
use shared::provision::{CardKinds, PortalConfig, Provision};
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait for an answer of QEMU or of the stimulus box.
pub const ANSWER: Duration = Duration::from_secs(10);
/// Most switchings that a bench remembers; a scenario makes dozens.
pub const MAX_TRACE: usize = 4096;

/// Channels of the room that the tests mount, see [`room()`].
pub mod channel {
    /// Door contact.
    pub const DOOR: u8 = 0;
    /// Leak contact.
    pub const LEAK: u8 = 1;
    /// Temperature at the TMP105.
    pub const TEMPERATURE: u8 = 2;
    /// Temperature at the Modbus probe.
    pub const PROBE: u8 = 3;
    /// Humidity at the Modbus probe.
    pub const HUMIDITY: u8 = 4;
    /// Leak rope, a supervised line.
    pub const ROPE: u8 = 5;
    /// Supply voltage.
    pub const SUPPLY: u8 = 6;
    /// Button of request to exit.
    pub const EXIT: u8 = 7;
}

/// Time for which the strike of [`room()`] is released.
pub const STRIKE: Duration = Duration::from_millis(1_500);
/// Time for which the door of [`room()`] may stand open.
pub const HELD_OPEN: Duration = Duration::from_secs(2);
/// The supervised line of the rope.
pub const ROPE_LINE: Line = Line::Supervised(0);
/// Card key of the site.
pub const CARD_KEY: [u8; 32] = [0xc4; 32];

/// A node in a whole server room: everything of [`channel`], and a door with a reader. Its times
/// are short, because a test waits for them.
#[must_use]
pub fn room(provision: Provision) -> Provision {
    let portal = |part, at, input: PortalInput| Mount {
        flags: input as u8,
        ..Mount::new(part, at, 0)
    };
    let analogue = |part, at, converter: Converter| Mount {
        flags: (converter as u8) << 6,
        ..Mount::new(part, at, 0)
    };
    let mut provision = provision.with_mounts(&[
        portal(Part::Contact, 0, PortalInput::Door),
        Mount::new(Part::Contact, 1, 0),
        Mount::new(Part::Tmp105, 0x48, 0),
        Mount::new(Part::ModbusProbe, probe::ADDRESS, 0),
        Mount::new(Part::ModbusProbe, probe::ADDRESS, 1),
        analogue(Part::LeakRope, 0x4e, Converter::Max34451),
        analogue(Part::Voltage, 0x10, Converter::Adm1272),
        portal(Part::Contact, 2, PortalInput::RequestToExit),
    ]);
    provision.card_key = CARD_KEY;
    provision.portal = Some(PortalConfig {
        keypad: false,
        cards: CardKinds::Both,
        strike_ms: u16::try_from(STRIKE.as_millis()).expect("a short time"),
        held_open_s: u16::try_from(HELD_OPEN.as_secs()).expect("a short time"),
        warn_s: 1,
    });
    provision
}

/// As [`room()`], with a door for cards of Type A only.
#[must_use]
pub fn room_of_type_a(provision: Provision) -> Provision {
    let mut provision = room(provision);
    if let Some(portal) = &mut provision.portal {
        portal.cards = CardKinds::TypeA;
    }
    provision
}

/// A node with no more than door contact, leak contact and temperature; no portal.
#[must_use]
pub fn closet(provision: Provision) -> Provision {
    provision.with_mounts(&[
        Mount::new(Part::Contact, 0, 0),
        Mount::new(Part::Contact, 1, 0),
        Mount::new(Part::Tmp105, 0x48, 0),
    ])
}

/// What the node switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// The relay of the door's strike.
    Strike,
    /// The buzzer beside the reader.
    Buzzer,
    /// The green lamp of the reader.
    GrantedLed,
    /// The red lamp of the reader.
    DeniedLed,
}

impl Output {
    /// Every output, in the order of the expander's pins.
    pub const ALL: [Self; 4] = [Self::Strike, Self::Buzzer, Self::GrantedLed, Self::DeniedLed];
}

/// An analogue line of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// Input of the converter with supervised lines: leak rope, leak spot.
    Supervised(u8),
    /// The node's own supply.
    Supply,
}

/// An output has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switched {
    /// Which one.
    pub output: Output,
    /// To what.
    pub on: bool,
    /// When it was switched, or the bench has seen that; a millisecond late at most.
    pub at: Instant,
}

/// What was on the node's display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Share of pixels that are not black.
    #[must_use]
    pub fn lit(&self) -> f64 {
        let lit = self.rgb.chunks(3).filter(|pixel| pixel.iter().any(|c| *c > 0x20));
        lit.count() as f64 / (self.rgb.len() as f64 / 3.0).max(1.0)
    }
}

/// A node and its wires. See the module.
///
/// Every method panics, saying so, when the bench itself fails (QEMU or the stimulus box does not
/// answer): that is no behaviour of the node.
#[expect(
    async_fn_in_trait,
    reason = "awaited in place by scenarios, never spawned; no caller needs `Send`"
)]
pub trait Bench {
    /// Powers the node on, with all wires as they were left.
    async fn power_on(&mut self);
    /// Cuts the power at once; what was written to the EEPROM stays.
    async fn power_cut(&mut self);
    /// Presses the reset button.
    async fn reset(&mut self);
    /// Makes the firmware hang; false when this bench cannot.
    async fn hang(&mut self) -> bool;
    /// Names of resets since the last power-on, as far as the bench sees them.
    fn resets(&self) -> Vec<String>;

    /// Opens (or wets) a contact, or closes it. Kept over resets and power cuts.
    async fn contact(&mut self, channel: u8, open: bool);
    /// Temperature at the sensor in thousandths of a degree. Kept over resets and power cuts.
    async fn temperature(&mut self, milli: i32);
    /// Voltage of a line in millivolts. Kept over resets and power cuts.
    async fn line_voltage(&mut self, line: Line, millivolts: u16);
    /// Plugs or pulls the network cable. Kept over power cuts.
    async fn link(&mut self, up: bool);
    /// Sets the node's battery-backed clock before the next power-on; false when this bench
    /// cannot.
    async fn rtc(&mut self, unix_s: u64) -> bool;

    /// The simulated card reader on the node's UART.
    fn reader(&self) -> &Reader;
    /// The simulated climate probe on the node's RS-485.
    fn probe(&self) -> &Probe;

    /// What an output is now.
    async fn output(&mut self, output: Output) -> bool;
    /// Every switching since the bench was made, the oldest first.
    fn trace(&self) -> Vec<Switched>;
    /// The display; nothing when this bench cannot see it.
    async fn screenshot(&mut self) -> Option<Picture>;

    /// Everything the firmware has printed since the bench was made.
    fn console(&self) -> String;
    /// Types a line on the console.
    async fn type_line(&mut self, line: &str);
    /// What the EEPROM holds; nothing when this bench cannot see it.
    fn eeprom(&self) -> Option<Vec<u8>>;

    /// Waits until the console has `text`, at most for `bound`.
    async fn console_wait(&self, text: &str, bound: Duration) {
        crate::wait_for(&format!("`{text}` on the board's console"), bound, async || {
            self.console().contains(text).then_some(())
        })
        .await;
    }

    /// Waits until an output is as asked, at most for `bound`.
    async fn output_wait(&mut self, output: Output, on: bool, bound: Duration) {
        let what = format!("{output:?} {}", if on { "on" } else { "off" });
        crate::wait_for(&what, bound, async || {
            (self.output(output).await == on).then_some(())
        })
        .await;
    }
}

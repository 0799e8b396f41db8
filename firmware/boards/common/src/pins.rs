//! The pins that every board has, over the traits of embedded-hal: outputs of the door, the
//! contacts, and the two wires of the sensor bus.

use embedded_hal::digital::{InputPin, OutputPin};
use node::bus::Wires;
use node::door::Outputs;

/// What a board switches. High is on, but for the reader, which low holds in reset.
#[derive(Debug)]
pub struct Switched<O> {
    /// Relay of the strike; on: the door can be opened.
    pub strike: O,
    /// Buzzer.
    pub buzzer: O,
    /// Lamp for granted.
    pub granted: O,
    /// Lamp for denied.
    pub denied: O,
    /// Supply of the sensors.
    pub rail: O,
    /// RSTPD_N of the card reader.
    pub reader_reset: O,
}

impl<O: OutputPin> Switched<O> {
    /// Drives what is at the door; the strike first, which somebody waits for.
    pub fn door(&mut self, outputs: &Outputs) {
        set(&mut self.strike, outputs.strike);
        set(&mut self.buzzer, outputs.buzzer);
        set(&mut self.granted, outputs.granted_led);
        set(&mut self.denied, outputs.denied_led);
    }

    /// Switches the supply of the sensors.
    pub fn rail(&mut self, on: bool) {
        set(&mut self.rail, on);
    }

    /// Holds the card reader in reset.
    pub fn reset_reader(&mut self, held: bool) {
        set(&mut self.reader_reset, !held);
    }
}

/// True when the circuit of this contact is open: its pin is pulled up. One that is not there is
/// open.
pub fn is_open<I: InputPin>(contacts: &mut [I], contact: u8) -> bool {
    contacts
        .get_mut(usize::from(contact))
        .is_none_or(|pin| pin.is_high().unwrap_or(true))
}

/// Two open-drain pins as the wires of a bus.
#[derive(Debug)]
pub struct OpenDrain<C, D> {
    /// Clock.
    pub clock: C,
    /// Data.
    pub data: D,
}

impl<C: InputPin + OutputPin, D: InputPin + OutputPin> Wires for OpenDrain<C, D> {
    fn clock(&mut self, high: bool) {
        set(&mut self.clock, high);
    }

    fn data(&mut self, high: bool) {
        set(&mut self.data, high);
    }

    fn clock_is_high(&mut self) -> bool {
        self.clock.is_high().unwrap_or(false)
    }

    fn data_is_high(&mut self) -> bool {
        self.data.is_high().unwrap_or(false)
    }
}

/// Pins of a chip do not fail; those that could would show on the node's side as what they drive.
fn set(pin: &mut impl OutputPin, high: bool) {
    let _ = pin.set_state(high.into());
}

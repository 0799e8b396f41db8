//! What can be seen and heard at the door: lamps and buzzer behind a PCA9552 (NXP, PCA9552 rev. 6)
//! on the I2C bus, and the strike's relay at a pin of its own.
//!
//! | output of the expander | what                                        |
//! |------------------------|---------------------------------------------|
//! | LED0                   | lamp beside the relay: the strike is driven |
//! | LED1                   | buzzer                                      |
//! | LED2                   | granted, green                              |
//! | LED3                   | denied, red                                 |
//!
//! The strike does not hang behind the expander: that keeps its outputs over a reset of this chip
//! and while the bus is wedged, and the door would stay open. A pin goes off with the reset.

use crate::hal::gpio::Output;
use embedded_hal::i2c::I2c;
use node::door::Outputs;

/// All address pins low.
const ADDRESS: u8 = 0x60;
/// Selector of LED0 to LED3, two bits each (table 9).
const SELECT_0: u8 = 0x06;
const ON: u8 = 0b00;
const OFF: u8 = 0b01;
/// Least time between two attempts while the expander does not answer, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// The outputs of the door.
#[derive(Debug)]
pub(crate) struct Switched<I> {
    bus: I,
    /// What the expander shows, when it is known.
    shown: Option<u8>,
    again_at_ms: u64,
}

impl<I: I2c> Switched<I> {
    /// Everything off. What the expander shows from before a reset ends with the first
    /// [`Self::set`].
    pub(crate) fn start(bus: I) -> Self {
        Output::Strike.start(false);
        Self {
            bus,
            shown: None,
            again_at_ms: 0,
        }
    }

    /// Strike first, which somebody waits for.
    pub(crate) fn set(&mut self, outputs: &Outputs, now_ms: u64) {
        Output::Strike.set(outputs.strike);
        let wanted = [
            outputs.strike,
            outputs.buzzer,
            outputs.granted_led,
            outputs.denied_led,
        ];
        let select = (0..)
            .zip(wanted)
            .map(|(led, on)| if on { ON } else { OFF } << (2 * led))
            .fold(0, core::ops::BitOr::bitor);
        if self.shown == Some(select) || now_ms < self.again_at_ms {
            return;
        }
        self.shown = self
            .bus
            .write(ADDRESS, &[SELECT_0, select])
            .is_ok()
            .then_some(select);
        if self.shown.is_none() {
            self.again_at_ms = now_ms + RETRY_MS;
        }
    }
}

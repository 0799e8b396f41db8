//! The Ethernet controller (chapter 16), as a driver of embassy-net.
//!
//! Frames pass through a FIFO word by word. The first half-word of a received frame is its length
//! including these two bytes and the check sequence; that of a frame to send is its length without
//! the Ethernet header.

use super::Reg;
use super::vectors::Interrupt;
use core::task::Context;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;

const MAC: u32 = 0x4004_8000;
const STATUS: Reg = Reg(MAC);
const INTERRUPT_MASK: Reg = Reg(MAC + 0x004);
const RECEIVE_CONTROL: Reg = Reg(MAC + 0x008);
const TRANSMIT_CONTROL: Reg = Reg(MAC + 0x00c);
const DATA: Reg = Reg(MAC + 0x010);
const ADDRESS_LOW: Reg = Reg(MAC + 0x014);
const ADDRESS_HIGH: Reg = Reg(MAC + 0x018);
const THRESHOLD: Reg = Reg(MAC + 0x01c);
const WAITING: Reg = Reg(MAC + 0x034);
const TRANSMIT: Reg = Reg(MAC + 0x038);

const RECEIVED: u32 = 1;
/// Longest frame, with its header: 576 bytes of IP are the least that every host must take and
/// all a DHCP server sends unasked (RFC 2131, section 2); TCP announces its segments by it. Longer
/// frames, which concern others, are dropped. Two full-length buffers would be 2 KB more.
const MTU: usize = HEADER + 576 + 2;
/// Length field and check sequence, which stand around a received frame.
const RECEIVED_EXTRA: usize = 6;
const HEADER: usize = 14;
/// Looks at a transmitter that still sends: a frame takes 1.2 ms at 10 Mbit/s.
const MAX_TRIES: u32 = 20_000;

static WAKER: AtomicWaker = AtomicWaker::new();

/// The controller with a buffer for each direction.
pub(crate) struct Ethernet {
    address: [u8; 6],
    received: [u8; MTU],
    to_send: [u8; MTU],
}

impl Ethernet {
    /// Empty buffers.
    pub(crate) const fn new() -> Self {
        Self {
            address: [0; 6],
            received: [0; MTU],
            to_send: [0; MTU],
        }
    }

    /// Starts the controller with this address.
    pub(crate) fn start(&mut self, address: [u8; 6]) {
        self.address = address;
        let [a, b, c, d, e, f] = address;
        ADDRESS_LOW.write(u32::from_le_bytes([a, b, c, d]));
        ADDRESS_HIGH.write(u32::from_le_bytes([e, f, 0, 0]));
        // Send when told to, not when the FIFO is half full.
        THRESHOLD.write(0x3f);
        // Empty the FIFO, refuse damaged frames, receive what is for us and for everyone.
        RECEIVE_CONTROL.write(1 << 4);
        RECEIVE_CONTROL.write(1 << 3 | 1);
        // Full duplex, check sequence, padding, on.
        TRANSMIT_CONTROL.write(1 << 4 | 1 << 2 | 1 << 1 | 1);
        Interrupt::Ethernet.enable();
    }

    fn fetch(&mut self) -> usize {
        let first = DATA.read();
        let length = (first & 0xffff) as usize;
        let frame = length.saturating_sub(RECEIVED_EXTRA);
        let mut put = |at: usize, byte: u8| {
            // What is longer than a frame may be is read out of the FIFO and dropped.
            if let Some(place) = self.received.get_mut(at)
                && at < frame
            {
                *place = byte;
            }
        };
        put(0, (first >> 16) as u8);
        put(1, (first >> 24) as u8);
        for word in 0..length.saturating_sub(4).div_ceil(4) {
            for (offset, byte) in DATA.read().to_le_bytes().into_iter().enumerate() {
                put(2 + word * 4 + offset, byte);
            }
        }
        frame
    }
}

impl Driver for Ethernet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, ToSend<'_>)> {
        loop {
            if WAITING.read() == 0 {
                WAKER.register(cx.waker());
                INTERRUPT_MASK.write(RECEIVED);
                // One that came in between would not interrupt any more.
                if WAITING.read() == 0 {
                    return None;
                }
            }
            let length = self.fetch();
            if (HEADER..=MTU).contains(&length) {
                return Some((Received(&mut self.received[..length]), ToSend(&mut self.to_send)));
            }
        }
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<ToSend<'_>> {
        // The sender waits for the FIFO itself, for a millisecond at most.
        Some(ToSend(&mut self.to_send))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        // The transceiver's registers are not modelled by the emulator. "Up" costs retries into a
        // dead cable, which the connection's time-outs cover.
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

/// A received frame.
pub(crate) struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a frame to send.
pub(crate) struct ToSend<'a>(&'a mut [u8; MTU]);

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let frame = &mut self.0[..len];
        let result = f(frame);
        if (0..MAX_TRIES).any(|_| TRANSMIT.read() & 1 == 0) && len >= HEADER {
            let length = ((len - HEADER) as u16).to_le_bytes();
            DATA.write(u32::from_le_bytes([length[0], length[1], frame[0], frame[1]]));
            for chunk in frame[2..].chunks(4) {
                let mut word = [0; 4];
                word[..chunk.len()].copy_from_slice(chunk);
                DATA.write(u32::from_le_bytes(word));
            }
            TRANSMIT.write(1);
        }
        result
    }
}

pub(super) fn on_interrupt() {
    // Masked until the driver has seen the FIFO empty.
    INTERRUPT_MASK.write(0);
    STATUS.write(RECEIVED);
    WAKER.wake();
}

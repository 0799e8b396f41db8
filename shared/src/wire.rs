//! Wire version 1.
//!
//! ```text
//! frame  = header | body | tag            header and body are postcard, tag is 16 bytes
//! header = ver u8, key_id u8, node u16, boot u32, stream, seq u32, up_ms u64, unix_ms u64
//! tag    = HMAC-SHA256(key of the direction, direction | stream | header | body)[..16]
//! ```
//!
//! Decoding takes two steps: [`Envelope::parse`] reads the header (to know whose key to use),
//! [`Envelope::verify`] proves the origin, and only then [`Authentic::up`] or
//! [`Authentic::down`] reads the body. A body of a later version is thus still authentic,
//! counted and stored raw. Enums are append only; a failing golden test means revert.
//!
//! Two upward streams: events carry a sequence that survives reboots and are kept by the node
//! until the controller's [`Down::Ack`]; telemetry is latest-wins, ordered by (boot, seq).

use crate::limit::{KEY_LEN, MAX_BODY, MAX_FRAME, MAX_HEADER, TAG_LEN};
use crate::{NoData, Sample};
use heapless::Vec;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// The version this code writes.
pub const VERSION: u8 = 1;

/// Which way a frame travels; part of what is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// Node to controller.
    Up = b'U',
    /// Controller to node.
    Down = b'D',
}

/// The class of a frame; part of what is authenticated, and bound to the topic's leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// Kept by the node until acknowledged.
    Event,
    /// Latest wins.
    Telemetry,
    /// Downward.
    Command,
}

/// The part of a frame that never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Wire version.
    pub ver: u8,
    /// Which of the node's keys made the tag (rotation).
    pub key_id: u8,
    /// Node id.
    pub node: u16,
    /// Boot number, counted in the node's EEPROM before its first frame; for
    /// [`Stream::Command`] the boot number of the node the frame is meant for.
    pub boot: u32,
    /// Class of the frame.
    pub stream: Stream,
    /// Sequence within the stream. Events: strictly increasing over reboots.
    pub seq: u32,
    /// Milliseconds since the sender's boot.
    pub up_ms: u64,
    /// Milliseconds since 1970 UTC, 0 when the sender's clock is not set.
    pub unix_ms: u64,
}

/// Why the node started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResetCause {
    /// Power came.
    PowerOn,
    /// The watchdog bit.
    Watchdog,
    /// The program panicked or faulted.
    Crash,
    /// Asked to.
    Requested,
}

/// Bodies from node to controller. Append only: the order is the wire encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Up {
    /// Event: the node has started. The first event of every boot.
    Hello {
        /// Firmware version (major, minor, patch).
        firmware: (u8, u8, u8),
        /// Why it started.
        cause: ResetCause,
        /// Channels mounted.
        channels: u8,
    },
    /// Event: a contact changed after its debounce. `open` is the alarm side
    /// (door open, leak wet, line cut).
    Contact {
        /// Channel.
        channel: u8,
        /// True on the alarm side.
        open: bool,
    },
    /// Event: a sensor lost its value.
    SensorLost {
        /// Channel.
        channel: u8,
        /// Why.
        reason: NoData,
    },
    /// Event: a lost sensor has a value again.
    SensorBack {
        /// Channel.
        channel: u8,
    },
    /// Event: the ring overflowed; `count` events before this one are gone.
    Lost {
        /// How many.
        count: u32,
    },
    /// Event: a downward frame was refused by the node.
    Refused {
        /// Refused since boot, this one included.
        total: u32,
        /// Why the last one was refused.
        why: Refusal,
    },
    /// Telemetry: one measurement.
    Sample(Sample),
    /// Telemetry: the node is alive.
    Heartbeat {
        /// Events in the ring not yet acknowledged.
        pending: u16,
        /// Sequence of the last event written.
        last_event: u32,
        /// Downward frames refused since boot.
        refused: u32,
        /// Samples or events this node could not send or store.
        dropped: u32,
    },
}

/// Why the node refused a downward frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Not a frame, or a wrong tag.
    Forged,
    /// A counter that was already used.
    Replayed,
    /// Authentic, but for another node or boot.
    Misdirected,
    /// Authentic, but not understood.
    Unknown,
}

/// Bodies from controller to node. Append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Down {
    /// Every event up to and including `upto` is committed; the node may forget them.
    Ack {
        /// Event sequence.
        upto: u32,
    },
    /// The time; the header's `unix_ms` is the value.
    SetTime,
    /// Send every sample and contact now.
    Report,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// Shorter than a frame can be, or longer than one may be.
    Length(usize),
    /// The header does not decode.
    Header,
    /// A version this code does not read.
    Version(u8),
    /// The tag does not match: forged, damaged, wrong key, direction or stream.
    Tag,
    /// Authentic, but the body is of a later version or malformed.
    Body,
    /// The body does not fit.
    TooLong,
}

impl core::fmt::Display for WireError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length(n) => write!(f, "a frame of {n} bytes is no frame"),
            Self::Header => f.write_str("the header does not decode"),
            Self::Version(v) => write!(f, "wire version {v} is not known here"),
            Self::Tag => f.write_str("the tag does not match"),
            Self::Body => f.write_str("the body is authentic but not understood"),
            Self::TooLong => f.write_str("the body does not fit into a frame"),
        }
    }
}

impl core::error::Error for WireError {}

/// A device key: 32 random bytes, one per node. Prints as `***`.
#[derive(Clone)]
pub struct DeviceKey([u8; KEY_LEN]);

impl core::fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("***")
    }
}

impl DeviceKey {
    /// Wraps the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// HKDF-Expand (RFC 5869 section 2.3) of one block with the device key as PRK.
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut mac = hmac(&self.0);
        mac.update(label.as_bytes());
        mac.update(&[1]);
        mac.finalize().into_bytes().into()
    }

    /// The node's password at the broker: 32 lower-case hex digits of the label "mqtt".
    #[must_use]
    pub fn broker_password(&self) -> heapless::String<32> {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = heapless::String::new();
        for byte in &self.derive("mqtt")[..16] {
            // 32 digits fit by construction.
            let _ = text.push(HEX[usize::from(byte >> 4)].into());
            let _ = text.push(HEX[usize::from(byte & 15)].into());
        }
        text
    }

    pub(crate) fn tag(&self, direction: Direction, stream: Stream, signed: &[u8]) -> [u8; TAG_LEN] {
        let key = self.derive(match direction {
            Direction::Up => "up",
            Direction::Down => "down",
        });
        let mut mac = hmac(&key);
        mac.update(&[direction as u8, stream as u8]);
        mac.update(signed);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&full[..TAG_LEN]);
        tag
    }
}

fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn seal<B: Serialize>(
    key: &DeviceKey,
    direction: Direction,
    header: &Header,
    body: &B,
) -> Result<Vec<u8, MAX_FRAME>, WireError> {
    let mut buffer = [0_u8; MAX_HEADER + MAX_BODY];
    let header_len = postcard::to_slice(header, &mut buffer[..MAX_HEADER])
        .map_err(|_| WireError::TooLong)?
        .len();
    let body_len = postcard::to_slice(body, &mut buffer[header_len..header_len + MAX_BODY])
        .map_err(|_| WireError::TooLong)?
        .len();
    let signed = &buffer[..header_len + body_len];
    let mut frame = Vec::new();
    frame.extend_from_slice(signed).map_err(|_| WireError::TooLong)?;
    frame
        .extend_from_slice(&key.tag(direction, header.stream, signed))
        .map_err(|_| WireError::TooLong)?;
    Ok(frame)
}

/// Makes an upward frame.
///
/// # Errors
/// [`WireError::TooLong`] when the body does not fit.
pub fn seal_up(key: &DeviceKey, header: &Header, body: &Up) -> Result<Vec<u8, MAX_FRAME>, WireError> {
    seal(key, Direction::Up, header, body)
}

/// Makes a downward frame.
///
/// # Errors
/// [`WireError::TooLong`] when the body does not fit.
pub fn seal_down(key: &DeviceKey, header: &Header, body: &Down) -> Result<Vec<u8, MAX_FRAME>, WireError> {
    seal(key, Direction::Down, header, body)
}

/// A frame whose header could be read. Nothing in it is proven yet.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The header as claimed.
    pub header: Header,
    signed: &'a [u8],
    body: &'a [u8],
    tag: &'a [u8],
}

/// A frame whose origin is proven.
#[derive(Debug, Clone, Copy)]
pub struct Authentic<'a> {
    /// The proven header.
    pub header: Header,
    /// The proven body, not yet decoded.
    pub raw_body: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`WireError::Length`], [`WireError::Header`] or [`WireError::Version`].
    pub fn parse(frame: &'a [u8]) -> Result<Self, WireError> {
        if frame.len() <= TAG_LEN || frame.len() > MAX_FRAME {
            return Err(WireError::Length(frame.len()));
        }
        let (signed, tag) = frame.split_at(frame.len() - TAG_LEN);
        // The version stands first, so that a later header layout is named and not misread.
        if signed[0] != VERSION {
            return Err(WireError::Version(signed[0]));
        }
        let (header, body) = postcard::take_from_bytes::<Header>(signed).map_err(|_| WireError::Header)?;
        Ok(Self {
            header,
            signed,
            body,
            tag,
        })
    }

    /// Proves the origin with the key of the node that the header claims and the stream that
    /// the topic allows.
    ///
    /// # Errors
    /// [`WireError::Tag`].
    pub fn verify(
        &self,
        key: &DeviceKey,
        direction: Direction,
        stream: Stream,
    ) -> Result<Authentic<'a>, WireError> {
        let tag = key.tag(direction, stream, self.signed);
        // Constant time: the controller must not tell a guesser how many bytes were right.
        if self.header.stream == stream && bool::from(tag.ct_eq(self.tag)) {
            Ok(Authentic {
                header: self.header,
                raw_body: self.body,
            })
        } else {
            Err(WireError::Tag)
        }
    }
}

impl Authentic<'_> {
    /// Decodes an upward body; all of it must be used.
    ///
    /// # Errors
    /// [`WireError::Body`].
    pub fn up(&self) -> Result<Up, WireError> {
        decode(self.raw_body)
    }

    /// Decodes a downward body; all of it must be used.
    ///
    /// # Errors
    /// [`WireError::Body`].
    pub fn down(&self) -> Result<Down, WireError> {
        decode(self.raw_body)
    }
}

fn decode<'a, B: Deserialize<'a>>(raw: &'a [u8]) -> Result<B, WireError> {
    match postcard::take_from_bytes::<B>(raw) {
        Ok((body, [])) => Ok(body),
        _ => Err(WireError::Body),
    }
}

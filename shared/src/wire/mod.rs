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

mod down;
mod octets;
mod up;

pub use down::{Bytes, Down, Entries, IMAGE_SIGNED_LEN, ImageHead};
pub use up::{
    ClockState, Crash, CrashKind, CredentialKind, DoorEvent, Health, KeyEvent, LineFault, ListEvent,
    ListProblem, OpenedBy, ReaderProblem, ReaderState, Refusal, ResetCause, TransferKind, Up, UpdateOutcome,
    UpdateRefusal, Version,
};

use crate::limit::{
    KEY_LEN, MAX_BODY, MAX_DOWN_BODY, MAX_DOWN_FRAME, MAX_EVENT_BODY, MAX_FRAME, MAX_HEADER, SALT_LEN,
    TAG_LEN,
};
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

    /// The key that follows this one in a rotation: HMAC of the label "rotate" and the salt. The
    /// new key never travels; who recorded the wire but has not this key cannot make it. A key
    /// that has leaked is not healed by rotation: such a node is provisioned anew.
    #[must_use]
    pub fn rotated(&self, salt: &[u8; SALT_LEN]) -> Self {
        let mut mac = hmac(&self.0);
        mac.update(b"rotate");
        mac.update(salt);
        mac.update(&[1]);
        Self(mac.finalize().into_bytes().into())
    }

    /// What is printed on the node's label and compared by eye: 16 hex digits that say nothing
    /// about the key.
    #[must_use]
    pub fn fingerprint(&self) -> heapless::String<16> {
        hex(&self.derive("fingerprint")[..8])
    }

    /// The bytes, for the block in the node's memory and for nothing else.
    #[must_use]
    pub const fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// The node's password at the broker: 32 lower-case hex digits of the label "mqtt".
    #[must_use]
    pub fn broker_password(&self) -> heapless::String<32> {
        hex(&self.derive("mqtt")[..16])
    }

    /// The key that the node shares with its broker for TLS (the label "tls-psk"); a broker's file of
    /// keys takes it as 64 hex digits, with the node id in decimal as identity.
    #[must_use]
    pub fn tls_key(&self) -> [u8; 32] {
        self.derive("tls-psk")
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

/// Lower-case hex; what does not fit is left out.
pub(crate) fn hex<const N: usize>(bytes: &[u8]) -> heapless::String<N> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = heapless::String::new();
    for byte in bytes {
        let _ = text.push(HEX[usize::from(byte >> 4)].into());
        let _ = text.push(HEX[usize::from(byte & 15)].into());
    }
    text
}

fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// A sealed upward frame.
pub type UpFrame = Vec<u8, MAX_FRAME>;
/// A sealed downward frame.
pub type DownFrame = Vec<u8, MAX_DOWN_FRAME>;

/// `max_body` is the limit of the direction; `N` is large enough for header, body and tag.
fn seal<B: Serialize + ?Sized, const N: usize>(
    key: &DeviceKey,
    direction: Direction,
    header: &Header,
    max_body: usize,
    body: &B,
) -> Result<Vec<u8, N>, WireError> {
    let mut frame = Vec::new();
    // Encoded in place: a board has no stack to spare for a second copy.
    frame.resize(N, 0).map_err(|_| WireError::TooLong)?;
    let header_len = postcard::to_slice(header, &mut frame[..MAX_HEADER])
        .map_err(|_| WireError::TooLong)?
        .len();
    let body_len = postcard::to_slice(body, &mut frame[header_len..header_len + max_body])
        .map_err(|_| WireError::TooLong)?
        .len();
    frame.truncate(header_len + body_len);
    let tag = key.tag(direction, header.stream, &frame);
    frame.extend_from_slice(&tag).map_err(|_| WireError::TooLong)?;
    Ok(frame)
}

/// Makes an upward frame.
///
/// # Errors
/// [`WireError::TooLong`] when the body does not fit.
pub fn seal_up(key: &DeviceKey, header: &Header, body: &Up) -> Result<UpFrame, WireError> {
    seal(key, Direction::Up, header, MAX_BODY, body)
}

/// Makes an upward frame of a body that is already encoded, as a node keeps it in its memory.
///
/// # Errors
/// [`WireError::TooLong`] when the body does not fit.
pub fn seal_up_raw(key: &DeviceKey, header: &Header, body: &[u8]) -> Result<UpFrame, WireError> {
    let mut frame = Vec::new();
    if body.len() > MAX_BODY {
        return Err(WireError::TooLong);
    }
    frame.resize(MAX_HEADER, 0).map_err(|_| WireError::TooLong)?;
    let header_len = postcard::to_slice(header, &mut frame)
        .map_err(|_| WireError::TooLong)?
        .len();
    frame.truncate(header_len);
    frame.extend_from_slice(body).map_err(|_| WireError::TooLong)?;
    let tag = key.tag(Direction::Up, header.stream, &frame);
    frame.extend_from_slice(&tag).map_err(|_| WireError::TooLong)?;
    Ok(frame)
}

/// Encodes the body of an event, for a node's memory.
///
/// # Errors
/// [`WireError::TooLong`] when it is longer than [`MAX_EVENT_BODY`]; a test shows that no event is.
pub fn encode_event(body: &Up) -> Result<Vec<u8, MAX_EVENT_BODY>, WireError> {
    let mut bytes = Vec::new();
    bytes.resize(MAX_EVENT_BODY, 0).map_err(|_| WireError::TooLong)?;
    let len = postcard::to_slice(body, &mut bytes)
        .map_err(|_| WireError::TooLong)?
        .len();
    bytes.truncate(len);
    Ok(bytes)
}

/// Makes a downward frame.
///
/// # Errors
/// [`WireError::TooLong`] when the body does not fit.
pub fn seal_down(key: &DeviceKey, header: &Header, body: &Down) -> Result<DownFrame, WireError> {
    seal(key, Direction::Down, header, MAX_DOWN_BODY, body)
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
        if frame.len() <= TAG_LEN || frame.len() > MAX_DOWN_FRAME {
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
    /// [`WireError::Tag`]; [`WireError::Length`] for an upward frame longer than one may be.
    pub fn verify(
        &self,
        key: &DeviceKey,
        direction: Direction,
        stream: Stream,
    ) -> Result<Authentic<'a>, WireError> {
        let len = self.signed.len() + TAG_LEN;
        if direction == Direction::Up && len > MAX_FRAME {
            return Err(WireError::Length(len));
        }
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

/// Decodes the body of an event as a node keeps it in its memory; all of it must be used.
///
/// # Errors
/// [`WireError::Body`].
pub fn decode_event(body: &[u8]) -> Result<Up, WireError> {
    decode(body)
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

//! The node's EEPROM as its layout is documented (`firmware/node/src/layout.rs`, `ring.rs`): read
//! and written here by other code than the firmware's, so that the two keep each other honest.
//!
//! A test uses it to make in an instant what would take the node hours: a ring full of events, a
//! slot torn at a certain byte.

use shared::crc::crc32;
use shared::wire::{Up, encode_event};

/// Where the ring lies.
pub const RING_AT: usize = 18_432;
/// Bytes of a slot.
pub const SLOT: usize = 64;
/// Slots of the ring.
pub const SLOTS: usize = 224;

const BODY_AT: usize = 21;
const CRC_AT: usize = SLOT - 4;

/// Where the slot of an event lies.
#[must_use]
pub const fn slot_at(seq: u32) -> usize {
    RING_AT + seq as usize % SLOTS * SLOT
}

/// A slot as the node writes it.
///
/// # Panics
/// When the body is no event.
#[must_use]
pub fn slot(seq: u32, boot: u32, up_ms: u64, body: &Up) -> [u8; SLOT] {
    let body = encode_event(body).expect("an event fits a slot");
    let mut slot = [0; SLOT];
    slot[0..4].copy_from_slice(&seq.to_le_bytes());
    slot[4..8].copy_from_slice(&boot.to_le_bytes());
    slot[8..14].copy_from_slice(&up_ms.to_le_bytes()[..6]);
    slot[20] = u8::try_from(body.len()).expect("a body is short");
    slot[BODY_AT..BODY_AT + body.len()].copy_from_slice(&body);
    let crc = crc32(&slot[..CRC_AT]);
    slot[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    slot
}

/// Sequences of the whole slots of an image, in rising order.
#[must_use]
pub fn events(image: &[u8]) -> Vec<u32> {
    let slots = image[RING_AT..].chunks_exact(SLOT);
    let whole = slots.filter(|slot| crc32(&slot[..CRC_AT]).to_le_bytes() == slot[CRC_AT..]);
    let mut seqs: Vec<u32> = whole
        .map(|slot| u32::from_le_bytes([slot[0], slot[1], slot[2], slot[3]]))
        .collect();
    seqs.sort_unstable();
    seqs
}

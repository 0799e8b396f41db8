//! Bodies from controller to node. Append only: the order of variants is the wire encoding.

use super::{Version, octets};
use crate::access::{ENTRY_LEN, ListHead};
use crate::limit::{CHUNK_LEN, DIGEST_LEN, ENTRIES_PER_FRAME, SALT_LEN};
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// Bytes of an image.
pub type Bytes = Vec<u8, CHUNK_LEN>;
/// Entries of an access list, in their order.
pub type Entries = Vec<[u8; ENTRY_LEN], ENTRIES_PER_FRAME>;

/// Bodies from controller to node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "no heap on a node, and one body at a time"
)]
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
    /// A new access list begins; it fills the idle bank. One that was under way is dropped.
    ListBegin(ListHead),
    /// Entries of the list under way, sorted by card id.
    ListEntries {
        /// Version of that list.
        version: u32,
        /// Place of the first of these entries in the list.
        at: u16,
        /// The entries.
        #[serde(deserialize_with = "octets::few")]
        entries: Entries,
    },
    /// The list is complete; from now on it decides.
    ListCommit {
        /// Its version.
        version: u32,
        /// What [`crate::access::Digest`] makes of head and entries.
        #[serde(deserialize_with = "octets::one")]
        digest: [u8; DIGEST_LEN],
    },
    /// The list in force is the right one.
    ListConfirm {
        /// Its version.
        version: u32,
    },
    /// Keep this checkpoint of the log and tell it when asked and at every boot.
    Checkpoint {
        /// Records in the log.
        size: u64,
        /// Root of the log.
        #[serde(deserialize_with = "octets::one")]
        root: [u8; 32],
    },
    /// Make the next key ([`super::DeviceKey::rotated`]) and use it from now on.
    Rotate {
        /// Id of the new key.
        key_id: u8,
        /// What it is made with.
        #[serde(deserialize_with = "octets::one")]
        salt: [u8; SALT_LEN],
    },
    /// Erase key, lists and events: this node is taken out of service.
    Erase,
    /// Restart; ends the safe mode.
    Restart,
    /// A firmware image begins.
    UpdateBegin(ImageHead),
    /// Bytes of the image under way.
    UpdateChunk {
        /// Place of the first of these bytes in the image.
        at: u32,
        /// The bytes.
        bytes: Bytes,
    },
    /// The image is complete: verify it, and run it.
    UpdateEnd,
}

/// What a firmware image is, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageHead {
    /// Which board it is for ([`crate::board::Board::number`]).
    pub board: u16,
    /// Its version.
    pub version: Version,
    /// Its length in bytes.
    pub size: u32,
    /// SHA-256 of its bytes.
    #[serde(deserialize_with = "octets::one")]
    pub sha256: [u8; 32],
    /// Ed25519 signature (RFC 8032) of [`Self::signed`]: R and S.
    #[serde(deserialize_with = "octets::two")]
    pub signature: ([u8; 32], [u8; 32]),
}

/// Length of what is signed.
pub const IMAGE_SIGNED_LEN: usize = 16 + 2 + 3 + 4 + 32;

impl ImageHead {
    /// What the signature is made of: a label that no other use of the key has, then the fields,
    /// numbers little endian.
    #[must_use]
    pub fn signed(&self) -> [u8; IMAGE_SIGNED_LEN] {
        let mut bytes = [0; IMAGE_SIGNED_LEN];
        bytes[0..16].copy_from_slice(b"yagura-image-1\0\0");
        bytes[16..18].copy_from_slice(&self.board.to_le_bytes());
        bytes[18..21].copy_from_slice(&[self.version.0, self.version.1, self.version.2]);
        bytes[21..25].copy_from_slice(&self.size.to_le_bytes());
        bytes[25..57].copy_from_slice(&self.sha256);
        bytes
    }
}

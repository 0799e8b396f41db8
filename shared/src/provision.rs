//! The configuration block of a node: who it is, its key, where its broker is.
//!
//! It fills the first [`BLOCK_LEN`] bytes of the node's EEPROM. The controller's side writes it
//! when a node is provisioned, the node only reads it. A node without a valid block does not
//! guess: it says so on its console and stays off the network.
//!
//! ```text
//! 0  magic "YGN1"        4  node u16       6  key id u8     7  0
//! 8  device key, 32 bytes                 40  broker IPv4  44  broker port u16
//! 46 zeros                                124 CRC-32 of bytes 0..124
//! ```
//! Numbers are little endian. The broker password is not stored: it follows from the key
//! ([`DeviceKey::broker_password`]).

use crate::crc::crc32;
use crate::limit::KEY_LEN;
use crate::wire::DeviceKey;

/// Length of the block in bytes.
pub const BLOCK_LEN: usize = 128;

const MAGIC: [u8; 4] = *b"YGN1";
const CRC_AT: usize = BLOCK_LEN - 4;

/// What a node must know before it can report.
#[derive(Clone)]
pub struct Provision {
    /// Node id; also the MQTT user name, in decimal.
    pub node: u16,
    /// Number of the key, stands in every header.
    pub key_id: u8,
    /// The node's key.
    pub key: [u8; KEY_LEN],
    /// IPv4 address of the broker.
    pub broker: [u8; 4],
    /// TCP port of the broker.
    pub port: u16,
}

/// Why a block was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvisionError {
    /// The block does not begin with the magic: the memory is blank or holds something else.
    Blank,
    /// The checksum is wrong: half-written or rotten.
    Damaged,
    /// The broker's address or port is zero.
    NoBroker,
}

impl core::fmt::Display for ProvisionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Blank => "the node is not provisioned",
            Self::Damaged => "the configuration block has a wrong checksum",
            Self::NoBroker => "the configuration block names no broker",
        })
    }
}

impl core::error::Error for ProvisionError {}

impl core::fmt::Debug for Provision {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Provision")
            .field("node", &self.node)
            .field("key_id", &self.key_id)
            .field("key", &"***")
            .field("broker", &self.broker)
            .field("port", &self.port)
            .finish()
    }
}

impl Provision {
    /// The block as it stands in the EEPROM.
    #[must_use]
    pub fn encode(&self) -> [u8; BLOCK_LEN] {
        let mut block = [0; BLOCK_LEN];
        block[0..4].copy_from_slice(&MAGIC);
        block[4..6].copy_from_slice(&self.node.to_le_bytes());
        block[6] = self.key_id;
        block[8..40].copy_from_slice(&self.key);
        block[40..44].copy_from_slice(&self.broker);
        block[44..46].copy_from_slice(&self.port.to_le_bytes());
        let crc = crc32(&block[..CRC_AT]);
        block[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads a block.
    ///
    /// # Errors
    /// See [`ProvisionError`].
    pub fn decode(block: &[u8; BLOCK_LEN]) -> Result<Self, ProvisionError> {
        if block[0..4] != MAGIC {
            return Err(ProvisionError::Blank);
        }
        if crc32(&block[..CRC_AT]).to_le_bytes() != block[CRC_AT..] {
            return Err(ProvisionError::Damaged);
        }
        let mut key = [0; KEY_LEN];
        key.copy_from_slice(&block[8..40]);
        let provision = Self {
            node: u16::from_le_bytes([block[4], block[5]]),
            key_id: block[6],
            key,
            broker: [block[40], block[41], block[42], block[43]],
            port: u16::from_le_bytes([block[44], block[45]]),
        };
        if provision.broker == [0; 4] || provision.port == 0 {
            return Err(ProvisionError::NoBroker);
        }
        Ok(provision)
    }

    /// The key in its own type, which does not print.
    #[must_use]
    pub const fn device_key(&self) -> DeviceKey {
        DeviceKey::new(self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Provision {
        Provision {
            node: 0x1234,
            key_id: 2,
            key: core::array::from_fn(|i| i as u8),
            broker: [10, 0, 2, 2],
            port: 1883,
        }
    }

    #[test]
    fn reads_what_it_wrote() {
        let read = Provision::decode(&example().encode()).unwrap();
        assert_eq!(read.encode(), example().encode());
        assert_eq!(
            (read.node, read.key_id, read.broker, read.port),
            (0x1234, 2, [10, 0, 2, 2], 1883)
        );
    }

    #[test]
    fn blank_memory_is_not_a_node() {
        for fill in [0x00, 0xff] {
            assert_eq!(
                Provision::decode(&[fill; BLOCK_LEN]).unwrap_err(),
                ProvisionError::Blank
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let block = example().encode();
        for bit in 0..BLOCK_LEN * 8 {
            let mut damaged = block;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Provision::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_block_without_broker_is_refused() {
        let no_port = Provision { port: 0, ..example() };
        assert_eq!(
            Provision::decode(&no_port.encode()).unwrap_err(),
            ProvisionError::NoBroker
        );
    }

    #[test]
    fn the_key_does_not_print() {
        assert_eq!(std::format!("{:?}", example().device_key()), "***");
        assert!(std::format!("{:?}", example()).contains("key: \"***\""));
    }
}

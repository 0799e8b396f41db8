//! The configuration block of a node: who it is, its keys, where its broker is, what is mounted.
//!
//! The node's EEPROM holds two copies of [`BLOCK_LEN`] bytes; the valid one with the higher
//! generation counts, so that a power cut while the node writes a rotated key leaves it with the
//! old key or the new one, never with none. `yagura node provision` makes the block. A node
//! without a valid block does not guess: it says so on its console and stays off the network.
//!
//! ```text
//!   0  magic "YGN2"           4  generation u32        8  node u16       10  key id u8   11  0
//!  12  device key [32]       44  card key [32]        76  broker password [16]
//!  92  broker IPv4 [4]       96  port u16             98  own IPv4 [4], 0: DHCP
//! 102  prefix u8            103  0                   104  gateway [4]   108  board u16
//! 110  portal: flags u8, warn s u8, strike ms u16, held open s u16                       116  first boot u32
//! 120  0
//! 128  32 rows of 8 bytes, see mount                                   384  update key [32], 0: none
//! 416  TLS key [32], 0: none                                           448  0
//! 508  CRC-32 of bytes 0..508
//! ```
//! Numbers are little endian. Broker password and TLS key stay as they were at provisioning when the
//! key is rotated, because the files of an external broker cannot follow.

use crate::crc::crc32;
use crate::limit::{KEY_LEN, MAX_CHANNELS};
use crate::mount::{Mount, ROW_LEN};
use crate::wire::{DeviceKey, hex};
use heapless::Vec;

/// Length of the block in bytes.
pub const BLOCK_LEN: usize = 512;
/// Bytes of the broker password; it travels as 32 hex digits.
pub const PASSWORD_LEN: usize = 16;
/// Bytes of the public key for firmware images (RFC 8032).
pub const UPDATE_KEY_LEN: usize = 32;
/// Bytes of the key that node and broker share for TLS ([`DeviceKey::tls_key`]).
pub const TLS_KEY_LEN: usize = 32;
/// Longest time that a strike may be driven, in milliseconds.
pub const MAX_STRIKE_MS: u16 = 30_000;

const MAGIC: [u8; 4] = *b"YGN2";
const CRC_AT: usize = BLOCK_LEN - 4;
const ROWS_AT: usize = 128;
const UPDATE_KEY_AT: usize = ROWS_AT + MAX_CHANNELS * ROW_LEN;
const TLS_KEY_AT: usize = UPDATE_KEY_AT + UPDATE_KEY_LEN;
const _: () = assert!(TLS_KEY_AT + TLS_KEY_LEN <= CRC_AT);

/// A fixed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// IPv4 address of the node.
    pub ip: [u8; 4],
    /// Length of the network's prefix in bits.
    pub prefix: u8,
    /// Gateway; zeros: none.
    pub gateway: [u8; 4],
}

/// A door that the node guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortalConfig {
    /// A PIN keypad is mounted.
    pub keypad: bool,
    /// The cards that its reader looks for.
    pub cards: CardKinds,
    /// How long a grant drives the strike, in milliseconds.
    pub strike_ms: u16,
    /// How long the door may stand open, in seconds.
    pub held_open_s: u16,
    /// How long before that the buzzer warns, in seconds.
    pub warn_s: u8,
}

const HAS_PORTAL: u8 = 1;
const HAS_KEYPAD: u8 = 1 << 1;
const ONLY_TYPE_A: u8 = 1 << 2;
const ONLY_FELICA: u8 = 1 << 3;

/// The kinds of card that a door is for. A reader that looks for one kind only need not be told the other
/// in turn: it is silent until a card comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CardKinds {
    /// Type A and FeliCa.
    #[default]
    Both,
    /// Type A.
    TypeA,
    /// FeliCa.
    Felica,
}

impl CardKinds {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Both, Self::TypeA, Self::Felica];

    const fn flag(self) -> u8 {
        match self {
            Self::Both => 0,
            Self::TypeA => ONLY_TYPE_A,
            Self::Felica => ONLY_FELICA,
        }
    }

    /// A block that excludes both kinds was not made by us; a door nobody can open serves nobody.
    const fn of(flags: u8) -> Self {
        match flags & (ONLY_TYPE_A | ONLY_FELICA) {
            ONLY_TYPE_A => Self::TypeA,
            ONLY_FELICA => Self::Felica,
            _ => Self::Both,
        }
    }
}

/// What a node must know before it can report.
#[derive(Clone)]
pub struct Provision {
    /// Which of two copies counts; the higher.
    pub generation: u32,
    /// Node id; also the MQTT user name, in decimal.
    pub node: u16,
    /// Number of the key, stands in every header.
    pub key_id: u8,
    /// The node's key.
    pub key: [u8; KEY_LEN],
    /// The site's card key.
    pub card_key: [u8; KEY_LEN],
    /// The node's password at the broker.
    pub password: [u8; PASSWORD_LEN],
    /// IPv4 address of the broker.
    pub broker: [u8; 4],
    /// TCP port of the broker.
    pub port: u16,
    /// The node's own address; `None`: by DHCP.
    pub address: Option<Address>,
    /// The board that the block was made for ([`crate::board::Board::number`]); 0: any.
    pub board: u16,
    /// The door that the node guards.
    pub portal: Option<PortalConfig>,
    /// The node's boots are numbered above this; 0: from 1. A board that was erased, or that takes
    /// the place of another, has forgotten how often it was started, and the controller takes what
    /// it says only when its boot is a later one than all before ([`first_boot`]).
    pub first_boot: u32,
    /// The Ed25519 public key whose firmware images the node takes; `None`: it takes none.
    pub update_key: Option<[u8; UPDATE_KEY_LEN]>,
    /// The key that the node shares with its broker for TLS; `None` in blocks made before there was
    /// one. Only firmware that is built for TLS asks for it.
    pub tls_key: Option<[u8; TLS_KEY_LEN]>,
    /// What is mounted, by channel.
    pub mounts: Vec<Option<Mount>, MAX_CHANNELS>,
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
    /// A number is out of its range: strike time, prefix or own address.
    Range,
}

impl core::fmt::Display for ProvisionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Blank => "the node is not provisioned",
            Self::Damaged => "the configuration block has a wrong checksum",
            Self::NoBroker => "the configuration block names no broker",
            Self::Range => "a number in the configuration block is out of range",
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
            .field("mounts", &self.mounts)
            .finish_non_exhaustive()
    }
}

/// 2020-01-01 00:00 UTC in milliseconds since 1970.
const BOOTS_SINCE_MS: u64 = 1_577_836_800_000;

/// The first boot of a node that is provisioned at `unix_ms` (milliseconds since 1970 UTC): seconds
/// since 2020. No node starts once a second for long enough to overtake it, and one that is
/// provisioned twice within a minute still boots later. `None` before 2020 and beyond 32 bits (the
/// year 2156): that clock is wrong.
#[must_use]
pub fn first_boot(unix_ms: u64) -> Option<u32> {
    u32::try_from(unix_ms.checked_sub(BOOTS_SINCE_MS)? / 1_000).ok()
}

impl Provision {
    /// A node without door and mounts, with the broker password and TLS key that follow from its key.
    #[must_use]
    pub fn new(node: u16, key_id: u8, key: [u8; KEY_LEN], broker: [u8; 4], port: u16) -> Self {
        let mut password = [0; PASSWORD_LEN];
        password.copy_from_slice(&DeviceKey::new(key).derive("mqtt")[..PASSWORD_LEN]);
        Self {
            generation: 1,
            node,
            key_id,
            key,
            card_key: [0; KEY_LEN],
            password,
            broker,
            port,
            address: None,
            board: 0,
            portal: None,
            first_boot: 0,
            update_key: None,
            tls_key: Some(DeviceKey::new(key).tls_key()),
            mounts: Vec::new(),
        }
    }

    /// The same with these mounts, by channel; what does not fit is left out.
    #[must_use]
    pub fn with_mounts(mut self, mounts: &[Mount]) -> Self {
        self.mounts = mounts.iter().take(MAX_CHANNELS).copied().map(Some).collect();
        self
    }

    /// The block as it stands in the EEPROM.
    #[must_use]
    pub fn encode(&self) -> [u8; BLOCK_LEN] {
        let mut block = [0; BLOCK_LEN];
        block[0..4].copy_from_slice(&MAGIC);
        block[4..8].copy_from_slice(&self.generation.to_le_bytes());
        block[8..10].copy_from_slice(&self.node.to_le_bytes());
        block[10] = self.key_id;
        block[12..44].copy_from_slice(&self.key);
        block[44..76].copy_from_slice(&self.card_key);
        block[76..92].copy_from_slice(&self.password);
        block[92..96].copy_from_slice(&self.broker);
        block[96..98].copy_from_slice(&self.port.to_le_bytes());
        if let Some(address) = &self.address {
            block[98..102].copy_from_slice(&address.ip);
            block[102] = address.prefix;
            block[104..108].copy_from_slice(&address.gateway);
        }
        block[108..110].copy_from_slice(&self.board.to_le_bytes());
        if let Some(portal) = &self.portal {
            block[110] = HAS_PORTAL | portal.cards.flag() | if portal.keypad { HAS_KEYPAD } else { 0 };
            block[111] = portal.warn_s;
            block[112..114].copy_from_slice(&portal.strike_ms.to_le_bytes());
            block[114..116].copy_from_slice(&portal.held_open_s.to_le_bytes());
        }
        block[116..120].copy_from_slice(&self.first_boot.to_le_bytes());
        for (mount, row) in self
            .mounts
            .iter()
            .zip(block[ROWS_AT..UPDATE_KEY_AT].chunks_exact_mut(ROW_LEN))
        {
            if let Some(mount) = mount {
                row.copy_from_slice(&mount.encode());
            }
        }
        if let Some(key) = &self.update_key {
            block[UPDATE_KEY_AT..UPDATE_KEY_AT + UPDATE_KEY_LEN].copy_from_slice(key);
        }
        if let Some(key) = &self.tls_key {
            block[TLS_KEY_AT..TLS_KEY_AT + TLS_KEY_LEN].copy_from_slice(key);
        }
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
        let half = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        let ip: [u8; 4] = array(block, 98);
        let provision = Self {
            generation: u32::from_le_bytes(array(block, 4)),
            node: half(8),
            key_id: block[10],
            key: array(block, 12),
            card_key: array(block, 44),
            password: array(block, 76),
            broker: array(block, 92),
            port: half(96),
            address: (ip != [0; 4]).then(|| Address {
                ip,
                prefix: block[102],
                gateway: array(block, 104),
            }),
            board: half(108),
            portal: (block[110] & HAS_PORTAL != 0).then(|| PortalConfig {
                keypad: block[110] & HAS_KEYPAD != 0,
                cards: CardKinds::of(block[110]),
                warn_s: block[111],
                strike_ms: half(112),
                held_open_s: half(114),
            }),
            first_boot: u32::from_le_bytes(array(block, 116)),
            update_key: Some(array(block, UPDATE_KEY_AT)).filter(|key| *key != [0; UPDATE_KEY_LEN]),
            tls_key: Some(array(block, TLS_KEY_AT)).filter(|key| *key != [0; TLS_KEY_LEN]),
            mounts: mounts(block),
        };
        if provision.broker == [0; 4] || provision.port == 0 {
            return Err(ProvisionError::NoBroker);
        }
        let prefix = provision.address.map_or(24, |address| address.prefix);
        let strike_ms = provision.portal.map_or(1, |portal| portal.strike_ms);
        if !(1..=32).contains(&prefix) || !(1..=MAX_STRIKE_MS).contains(&strike_ms) {
            return Err(ProvisionError::Range);
        }
        Ok(provision)
    }

    /// The key in its own type, which does not print.
    #[must_use]
    pub const fn device_key(&self) -> DeviceKey {
        DeviceKey::new(self.key)
    }

    /// The node's password at the broker, 32 hex digits.
    #[must_use]
    pub fn broker_password(&self) -> heapless::String<32> {
        hex(&self.password)
    }
}

fn array<const N: usize>(block: &[u8; BLOCK_LEN], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&block[at..at + N]);
    bytes
}

/// The rows up to the last one that is used; rows of parts that this version does not know stay
/// empty, so that the channels behind them keep their numbers.
fn mounts(block: &[u8; BLOCK_LEN]) -> Vec<Option<Mount>, MAX_CHANNELS> {
    let row = |channel: usize| array::<ROW_LEN>(block, ROWS_AT + channel * ROW_LEN);
    let used = (0..MAX_CHANNELS)
        .rev()
        .find(|channel| row(*channel)[0] != 0)
        .map_or(0, |last| last + 1);
    (0..used).map(|channel| Mount::decode(&row(channel))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::{Converter, Part, PortalInput};

    fn example() -> Provision {
        Provision {
            generation: 9,
            card_key: [7; 32],
            address: Some(Address {
                ip: [192, 168, 10, 31],
                prefix: 24,
                gateway: [192, 168, 10, 1],
            }),
            board: 1,
            portal: Some(PortalConfig {
                keypad: true,
                cards: CardKinds::Both,
                strike_ms: 5_000,
                held_open_s: 300,
                warn_s: 10,
            }),
            first_boot: 3_626_000,
            update_key: Some([0x1d; UPDATE_KEY_LEN]),
            ..Provision::new(0x1234, 2, core::array::from_fn(|i| i as u8), [10, 0, 2, 2], 1883)
        }
        .with_mounts(&[
            Mount::new(Part::Contact, 0, 0).with_portal(PortalInput::Door),
            Mount::new(Part::Sht4x, 0x44, 1),
            Mount::new(Part::LeakRope, 0x4e, 2).with_converter(Converter::Max34451),
        ])
    }

    #[test]
    fn reads_what_it_wrote() {
        let read = Provision::decode(&example().encode()).unwrap();
        assert_eq!(read.encode(), example().encode());
        assert_eq!((read.node, read.key_id, read.generation), (0x1234, 2, 9));
        assert_eq!((read.broker, read.port), ([10, 0, 2, 2], 1883));
        assert_eq!((read.address, read.portal), (example().address, example().portal));
        assert_eq!(read.first_boot, 3_626_000);
        assert_eq!(read.update_key, Some([0x1d; UPDATE_KEY_LEN]));
        assert_eq!(read.mounts.len(), 3);
        assert_eq!(read.mounts, example().mounts);
        assert_eq!(
            (read.key, read.card_key, read.password),
            (example().key, [7; 32], example().password)
        );
        assert_eq!(read.tls_key, Some(example().device_key().tls_key()));
        let none = Provision {
            tls_key: None,
            ..example()
        };
        assert_eq!(Provision::decode(&none.encode()).unwrap().tls_key, None);
    }

    #[test]
    fn a_board_that_is_provisioned_later_boots_later_and_a_wrong_clock_is_told() {
        assert_eq!(first_boot(BOOTS_SINCE_MS), Some(0));
        assert_eq!(first_boot(BOOTS_SINCE_MS + 999), Some(0));
        assert_eq!(first_boot(BOOTS_SINCE_MS + 1_000), Some(1));
        assert_eq!(first_boot(1_795_333_200_000), Some(217_496_400));
        assert_eq!(first_boot(BOOTS_SINCE_MS - 1), None);
        assert_eq!(first_boot(u64::MAX), None);
    }

    #[test]
    fn every_row_can_be_used_and_gaps_keep_their_place() {
        let mut full = example();
        full.mounts = (0..MAX_CHANNELS as u8)
            .map(|pin| (pin % 3 != 1).then(|| Mount::new(Part::Contact, pin, 0)))
            .collect();
        // The last one is empty: it is not told from one that is not there.
        let read = Provision::decode(&full.encode()).unwrap();
        let last = full.mounts.iter().rposition(Option::is_some).unwrap();
        assert_eq!(read.mounts, full.mounts[..=last]);
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
    fn a_block_without_broker_or_with_impossible_numbers_is_refused() {
        let refused = |block: Provision| Provision::decode(&block.encode()).unwrap_err();
        assert_eq!(
            refused(Provision { port: 0, ..example() }),
            ProvisionError::NoBroker
        );
        let endless = PortalConfig {
            keypad: false,
            cards: CardKinds::Both,
            strike_ms: MAX_STRIKE_MS + 1,
            held_open_s: 30,
            warn_s: 5,
        };
        let portal = Some(endless);
        assert_eq!(refused(Provision { portal, ..example() }), ProvisionError::Range);
        for cards in CardKinds::ALL {
            let portal = Some(PortalConfig {
                cards,
                strike_ms: 1_000,
                ..endless
            });
            let read = Provision::decode(&Provision { portal, ..example() }.encode()).unwrap();
            assert_eq!(read.portal.unwrap().cards, cards);
        }
        let address = Some(Address {
            ip: [10, 0, 0, 1],
            prefix: 33,
            gateway: [0; 4],
        });
        assert_eq!(refused(Provision { address, ..example() }), ProvisionError::Range);
    }

    #[test]
    fn the_password_is_that_of_the_first_key_and_no_key_prints() {
        assert_eq!(
            example().broker_password(),
            example().device_key().broker_password()
        );
        assert_eq!(std::format!("{:?}", example().device_key()), "***");
        assert!(std::format!("{:?}", example()).contains("key: \"***\""));
        assert!(!std::format!("{:?}", example()).contains("card_key"));
    }
}

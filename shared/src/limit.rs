//! Named limits of the wire, with the arithmetic beside them.

/// Bytes of a truncated HMAC-SHA256 tag.
pub const TAG_LEN: usize = 16;
/// Longest header in bytes: ver 1, key id 1, node 3, boot 5, stream 1, seq 5, uptime 10, unix time 10.
pub const MAX_HEADER: usize = 36;
/// Longest body in bytes.
pub const MAX_BODY: usize = 64;
/// Longest frame in bytes.
pub const MAX_FRAME: usize = MAX_HEADER + MAX_BODY + TAG_LEN;
/// Longest event frame in bytes: what fits into one slot of the node's EEPROM ring
/// (64-byte page: sequence 4, length 1, CRC 4, 3 spare).
pub const MAX_EVENT_FRAME: usize = 52;
/// Bytes of a device key.
pub const KEY_LEN: usize = 32;
/// Most channels of one node.
pub const MAX_CHANNELS: usize = 32;
/// Longest topic we publish or accept from a node, in bytes.
pub const MAX_TOPIC: usize = 32;

const _: () = assert!(MAX_EVENT_FRAME <= MAX_FRAME);

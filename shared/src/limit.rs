//! Named limits of the wire, with the arithmetic beside them.

/// Bytes of a truncated HMAC-SHA256 tag.
pub const TAG_LEN: usize = 16;
/// Longest header in bytes: ver 1, key id 1, node 3, boot 5, stream 1, seq 5, uptime 10, unix time 10.
pub const MAX_HEADER: usize = 36;
/// Longest upward body in bytes.
pub const MAX_BODY: usize = 64;
/// Longest upward frame in bytes.
pub const MAX_FRAME: usize = MAX_HEADER + MAX_BODY + TAG_LEN;
/// Longest downward body in bytes: 16 entries of an access list or 256 bytes of an image, with
/// what says where they belong.
pub const MAX_DOWN_BODY: usize = 272;
/// Longest downward frame in bytes.
pub const MAX_DOWN_FRAME: usize = MAX_HEADER + MAX_DOWN_BODY + TAG_LEN;
/// Longest body of an event in bytes: what fits into one slot of the node's EEPROM ring (a page of
/// 64: sequence 4, boot 4, uptime 6, unix time 6, length 1, CRC 4).
pub const MAX_EVENT_BODY: usize = 39;
/// Bytes of a device key.
pub const KEY_LEN: usize = 32;
/// Bytes of the salt of a rotation.
pub const SALT_LEN: usize = 16;
/// Bytes of the digest of an access list.
pub const DIGEST_LEN: usize = 16;
/// Entries of an access list in one frame.
pub const ENTRIES_PER_FRAME: usize = 16;
/// Bytes of an image in one frame.
pub const CHUNK_LEN: usize = 256;
/// Most channels of one node.
pub const MAX_CHANNELS: usize = 32;
/// Most entries of an access list.
pub const MAX_CARDS: usize = 500;
/// Most holidays of an access list: two years of national holidays and the year's end.
pub const MAX_HOLIDAYS: usize = 48;
/// Longest number of a card in bytes: an ISO/IEC 14443-3 triple-size UID.
pub const MAX_UID: usize = 10;
/// Longest PIN in digits.
pub const MAX_PIN: usize = 8;
/// Longest topic we publish or accept from a node, in bytes.
pub const MAX_TOPIC: usize = 32;

const _: () = assert!(MAX_EVENT_BODY <= MAX_BODY);
// Variant, version, place and length take at most eleven bytes.
const _: () = assert!(11 + ENTRIES_PER_FRAME * 16 <= MAX_DOWN_BODY);
const _: () = assert!(11 + CHUNK_LEN <= MAX_DOWN_BODY);
// A day takes at most three bytes, the rest of the head at most 16.
const _: () = assert!(16 + 3 * MAX_HOLIDAYS <= MAX_DOWN_BODY);

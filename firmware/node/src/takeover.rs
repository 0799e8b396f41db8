//! Notices in what the broker sends that somebody else has logged in as this node.
//!
//! MQTT 5 ends the earlier connection with the reason "session taken over" (0x8e, MQTT 5.0,
//! section 3.14.2.1); the client library reads the reason and drops it. With a client id that
//! carries the fingerprint of the key, it means a second board with the very same configuration
//! block. The node counts and reports it, because the two would otherwise take turns for ever and
//! look like a bad cable.
//!
//! It follows the packets by their lengths and looks into none but the last one. A broker that
//! sends nonsense is dropped by the client; here it ends in a place where nothing is found.

/// First byte of the packet that ends a connection.
const DISCONNECT: u8 = 0xe0;
const TAKEN_OVER: u8 = 0x8e;
/// Bytes of a length, at most (section 1.5.5).
const MAX_LENGTH_BYTES: u32 = 4;

/// Where in the stream of packets the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Kind,
    Length { kind: u8, length: u32, bytes: u32 },
    Reason,
    Rest { left: u32 },
}

/// Listens to one connection from its first byte on.
#[derive(Debug)]
pub struct Listener {
    place: Place,
}

impl Default for Listener {
    fn default() -> Self {
        Self::new()
    }
}

impl Listener {
    /// At the beginning of a connection.
    #[must_use]
    pub const fn new() -> Self {
        Self { place: Place::Kind }
    }

    /// Takes what was received, in pieces of any length; true when the broker said so in it.
    pub fn hear(&mut self, mut bytes: &[u8]) -> bool {
        let mut taken_over = false;
        while let Some((first, mut rest)) = bytes.split_first() {
            self.place = match self.place {
                Place::Kind => Place::Length {
                    kind: *first,
                    length: 0,
                    bytes: 0,
                },
                Place::Length { kind, length, bytes } => {
                    let length = length | u32::from(first & 0x7f) << (7 * bytes);
                    if first & 0x80 != 0 && bytes + 1 < MAX_LENGTH_BYTES {
                        let bytes = bytes + 1;
                        Place::Length { kind, length, bytes }
                    } else {
                        body(kind, length)
                    }
                }
                Place::Reason => {
                    taken_over |= *first == TAKEN_OVER;
                    // It is the last packet of a connection.
                    Place::Rest { left: u32::MAX }
                }
                Place::Rest { left } => {
                    let skipped = bytes.len().min(left as usize);
                    rest = &bytes[skipped..];
                    match left - skipped as u32 {
                        0 => Place::Kind,
                        left => Place::Rest { left },
                    }
                }
            };
            bytes = rest;
        }
        taken_over
    }
}

const fn body(kind: u8, length: u32) -> Place {
    match (kind, length) {
        (_, 0) => Place::Kind,
        (DISCONNECT, _) => Place::Reason,
        _ => Place::Rest { left: length },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Log-in accepted, a command of 200 bytes that are all 0x8e and 0xe0, an answer to a ping.
    fn everyday() -> Vec<u8> {
        let mut stream = vec![0x20, 3, 0, 0, 0];
        stream.extend([0x30, 0xc8, 0x01]);
        stream.extend([0xe0, 0x8e].repeat(100));
        stream.extend([0xd0, 0]);
        stream
    }

    fn heard(stream: &[u8], piece: usize) -> bool {
        let mut listener = Listener::new();
        stream
            .chunks(piece)
            .fold(false, |heard, bytes| heard | listener.hear(bytes))
    }

    #[test]
    fn a_takeover_is_heard_in_pieces_of_any_length() {
        for bye in [vec![0xe0, 1, 0x8e], vec![0xe0, 2, 0x8e, 0]] {
            let stream = [everyday(), bye].concat();
            for piece in 1..=stream.len() {
                assert!(heard(&stream, piece), "pieces of {piece}");
            }
        }
    }

    #[test]
    fn another_end_is_no_takeover() {
        // Normal, server shutting down, keep alive timeout; and none at all.
        for bye in [vec![0xe0, 0], vec![0xe0, 2, 0x8b, 0], vec![0xe0, 1, 0x8d], vec![]] {
            let stream = [everyday(), bye].concat();
            assert!((1..=stream.len()).all(|piece| !heard(&stream, piece)));
        }
    }

    #[test]
    fn nonsense_ends_somewhere() {
        for first in 0..=255 {
            for second in [0, 1, 0x7f, 0x80, 0xff] {
                let stream: Vec<u8> = [first, second].into_iter().cycle().take(2_000).collect();
                let _ = heard(&stream, 7);
            }
        }
    }
}

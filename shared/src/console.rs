//! The words between a node's serial console and `yagura node provision`.
//!
//! ```text
//! the host asks                                the node answers
//! ?                                            = node 7 firmware 0.2.0 state running key 1 fingerprint 0123456789abcdef
//! status                                       = boot 3 pending 0 lost 0 refused 0 crashes 0 clock controller list 12
//! begin                                        = ready
//! chunk <n> <64 hex digits> <crc>              = chunk <n>
//! commit <crc>                                 = provisioned node 7 fingerprint 0123456789abcdef
//! erase <node id>                              = erasing node 7
//!                                              ! <word> <what is wrong and what to do>
//! ```
//! A line ends with LF, CR or both and has at most [`MAX_LINE`] characters. The host waits for the
//! answer to a line before it sends the next. The node logs on the same console: a line that
//! begins with neither [`ANSWER`] nor [`REFUSAL`] is a log line, not for us.
//!
//! The block ([`crate::provision`]) goes over in [`CHUNKS`] chunks of [`CHUNK_LEN`] bytes. The CRC
//! of a chunk is the CRC-32 of its number (one byte) and its bytes, the CRC of `commit` that of
//! the whole block, both in eight lower-case hex digits. A chunk may be sent again. Nothing counts
//! before `commit`: a power cut on the way leaves the node as it was, unprovisioned. The node
//! takes a block only while it has none; one in service must be erased first, by naming it.
//!
//! Without a node the answer to `?` is `= node none firmware 0.2.0 state unprovisioned`. States are
//! `unprovisioned`, `running`, `safe` (safe mode), `erased`, and `damaged`: there was a block, its
//! memory has lost it.

use crate::crc::crc32;
use crate::provision::BLOCK_LEN;
use core::fmt::Write as _;
use heapless::String;

/// Longest line in characters, both ways, without its end.
pub const MAX_LINE: usize = 128;
/// Bytes of the block in one chunk.
pub const CHUNK_LEN: usize = 32;
/// Chunks of a block.
pub const CHUNKS: u8 = (BLOCK_LEN / CHUNK_LEN) as u8;
/// What an answer begins with.
pub const ANSWER: &str = "= ";
/// What a refusal begins with; a word for programs follows, then a text for people.
pub const REFUSAL: &str = "! ";
/// Bits per second of every board's console, 8N1.
pub const BAUD: u32 = 115_200;

/// A line of ours.
pub type Line = String<MAX_LINE>;

const _: () = assert!(BLOCK_LEN.is_multiple_of(CHUNK_LEN));
// "chunk 15 ", 64 digits, a blank, 8 digits.
const _: () = assert!(9 + 2 * CHUNK_LEN + 9 <= MAX_LINE);

/// The line that carries the chunk `n` of the block, without its end. Past the last chunk it is
/// empty.
#[must_use]
pub fn chunk(block: &[u8; BLOCK_LEN], n: u8) -> Line {
    let mut line = Line::new();
    let from = usize::from(n) * CHUNK_LEN;
    if let Some(bytes) = block.get(from..from + CHUNK_LEN) {
        // It fits, see above.
        let _ = write!(line, "chunk {n} ");
        for byte in bytes {
            let _ = write!(line, "{byte:02x}");
        }
        let _ = write!(line, " {:08x}", chunk_crc(n, bytes));
    }
    line
}

/// The line that makes the block count, without its end.
#[must_use]
pub fn commit(block: &[u8; BLOCK_LEN]) -> Line {
    let mut line = Line::new();
    let _ = write!(line, "commit {:08x}", crc32(block));
    line
}

/// The CRC of a chunk: over its number and its bytes; those past [`CHUNK_LEN`] do not count.
#[must_use]
pub fn chunk_crc(n: u8, bytes: &[u8]) -> u32 {
    let mut numbered = [n; 1 + CHUNK_LEN];
    let len = bytes.len().min(CHUNK_LEN);
    numbered[1..=len].copy_from_slice(&bytes[..len]);
    crc32(&numbered[..=len])
}

/// Words of refusals, for programs.
pub mod refusal {
    /// The line is longer than it may be, or no text.
    pub const LINE: &str = "line";
    /// Not a request of this console.
    pub const UNKNOWN: &str = "unknown";
    /// A number or CRC of the request does not read or does not match: send it again.
    pub const DAMAGED: &str = "damaged";
    /// Chunks are missing before `commit`, or `begin` was not sent.
    pub const INCOMPLETE: &str = "incomplete";
    /// The block is complete and is none that a node takes.
    pub const BLOCK: &str = "block";
    /// The node has a block already.
    pub const IN_SERVICE: &str = "in-service";
    /// `erase` names another node.
    pub const OTHER_NODE: &str = "other-node";
    /// The memory does not keep what is written.
    pub const MEMORY: &str = "memory";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_as_the_protocol_says() {
        let block: [u8; BLOCK_LEN] = core::array::from_fn(|at| at as u8);
        let first = chunk(&block, 0);
        assert!(first.starts_with("chunk 0 000102"), "{first}");
        let last = chunk(&block, CHUNKS - 1);
        assert_eq!(last.len(), 9 + 64 + 9);
        assert_ne!(chunk_crc(1, &block[..32]), chunk_crc(2, &block[..32]));
        assert_eq!(chunk(&block, CHUNKS), "");
        assert_eq!(commit(&block).len(), 15);
        assert_eq!(commit(&[0; BLOCK_LEN]), "commit b2aa7578");
    }
}

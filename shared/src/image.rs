//! A signed firmware image as a file: what `cargo xtask firmware sign` writes and the controller
//! sends to a node, and the mark by which an image says what it is.
//!
//! ```text
//! 0 magic "YGIMG1\r\n"   8 board u16   10 version, 3 bytes   13 size u32
//! 17 SHA-256 [32]        49 signature [64]                  113 the image, size bytes
//! ```
//! Numbers are little endian. The line end in the magic shows whether a transfer in text mode
//! spoilt the file. Reading proves that the file is whole; only the node decides whether the
//! signature is one it trusts.

use crate::board::Board;
use crate::wire::{ImageHead, Version};
use sha2::{Digest as _, Sha256};

/// Bytes before the image.
pub const FILE_HEAD_LEN: usize = 113;
/// Longest image in bytes: more than the flash of any board.
pub const MAX_IMAGE: usize = 2 * 1024 * 1024;
/// Bytes of a [`mark`].
pub const MARK_LEN: usize = 24;

const MAGIC: [u8; 8] = *b"YGIMG1\r\n";
const MARK: [u8; 16] = *b"\x7fyagura-image\x01\x02\x03";

/// Why a file is no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageError {
    /// It does not begin as one.
    NoImage,
    /// It is shorter or longer than it says.
    Length,
    /// The bytes are not those that were signed.
    Damaged,
}

impl core::fmt::Display for ImageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoImage => "this is no signed firmware image",
            Self::Length => "the image is not complete; copy the file again",
            Self::Damaged => "the image is damaged; copy the file again",
        })
    }
}

impl core::error::Error for ImageError {}

/// What stands before the image in a file.
#[must_use]
pub fn file_head(head: &ImageHead) -> [u8; FILE_HEAD_LEN] {
    let mut bytes = [0; FILE_HEAD_LEN];
    let Version(major, minor, patch) = head.version;
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&head.board.to_le_bytes());
    bytes[10..13].copy_from_slice(&[major, minor, patch]);
    bytes[13..17].copy_from_slice(&head.size.to_le_bytes());
    bytes[17..49].copy_from_slice(&head.sha256);
    bytes[49..81].copy_from_slice(&head.signature.0);
    bytes[81..113].copy_from_slice(&head.signature.1);
    bytes
}

/// Takes a file apart into what is sent first and the image.
///
/// # Errors
/// See [`ImageError`].
pub fn read_file(file: &[u8]) -> Result<(ImageHead, &[u8]), ImageError> {
    let (bytes, image) = file
        .split_at_checked(FILE_HEAD_LEN)
        .filter(|(bytes, _)| bytes[0..8] == MAGIC)
        .ok_or(ImageError::NoImage)?;
    let head = ImageHead {
        board: u16::from_le_bytes([bytes[8], bytes[9]]),
        version: Version(bytes[10], bytes[11], bytes[12]),
        size: u32::from_le_bytes([bytes[13], bytes[14], bytes[15], bytes[16]]),
        sha256: array(bytes, 17),
        signature: (array(bytes, 49), array(bytes, 81)),
    };
    if image.len() != head.size as usize || image.len() > MAX_IMAGE {
        return Err(ImageError::Length);
    }
    if <[u8; 32]>::from(Sha256::digest(image)) != head.sha256 {
        return Err(ImageError::Damaged);
    }
    Ok((head, image))
}

/// The head of this image, not yet signed.
#[must_use]
pub fn unsigned_head(board: Board, version: Version, image: &[u8]) -> ImageHead {
    ImageHead {
        board: board.number(),
        version,
        size: image.len() as u32,
        sha256: Sha256::digest(image).into(),
        signature: ([0; 32], [0; 32]),
    }
}

/// What every image carries somewhere in it, so that it cannot be signed as something else.
#[must_use]
pub const fn mark(board: Board, version: Version) -> [u8; MARK_LEN] {
    let mut bytes = [0; MARK_LEN];
    let mut at = 0;
    while at < MARK.len() {
        bytes[at] = MARK[at];
        at += 1;
    }
    let [low, high] = board.number().to_le_bytes();
    bytes[16] = low;
    bytes[17] = high;
    bytes[18] = version.0;
    bytes[19] = version.1;
    bytes[20] = version.2;
    bytes
}

/// What an image says it is; `None` when it says nothing, or two things.
#[must_use]
pub fn marked(image: &[u8]) -> Option<(Board, Version)> {
    let mut found = None;
    for bytes in image.windows(MARK_LEN) {
        let number = u16::from_le_bytes([bytes[16], bytes[17]]);
        if let Some(board) = Board::of(number)
            && bytes[..16] == MARK
            && bytes[21..] == [0; 3]
        {
            let version = Version(bytes[18], bytes[19], bytes[20]);
            if found.replace((board, version)).is_some() {
                return None;
            }
        }
    }
    found
}

fn array(bytes: &[u8], at: usize) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(&bytes[at..at + 32]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn file() -> Vec<u8> {
        let image: Vec<u8> = (0..1000_u32).map(|i| (i * 7) as u8).collect();
        let mut head = unsigned_head(Board::Rp2040W5500, Version(1, 2, 3), &image);
        head.signature = ([0xaa; 32], [0x55; 32]);
        [&file_head(&head)[..], &image].concat()
    }

    #[test]
    fn a_file_is_taken_apart_as_it_was_put_together() {
        let file = file();
        let (head, image) = read_file(&file).unwrap();
        assert_eq!((head.board, head.version, head.size), (2, Version(1, 2, 3), 1000));
        assert_eq!(file_head(&head)[..], file[..FILE_HEAD_LEN]);
        assert_eq!(image, &file[FILE_HEAD_LEN..]);
    }

    #[test]
    fn a_cut_or_damaged_file_is_told_from_one_of_another_kind() {
        let whole = file();
        for len in 0..whole.len() {
            let why = read_file(&whole[..len]).unwrap_err();
            let expected = if len < FILE_HEAD_LEN {
                ImageError::NoImage
            } else {
                ImageError::Length
            };
            assert_eq!(why, expected, "{len}");
        }
        let mut damaged = whole.clone();
        damaged[FILE_HEAD_LEN + 500] ^= 1;
        assert_eq!(read_file(&damaged), Err(ImageError::Damaged));
        assert_eq!(read_file(b"\x7fELF and much more"), Err(ImageError::NoImage));
    }

    #[test]
    fn an_image_says_once_what_it_is() {
        let mark = mark(Board::Stm32f767zi, Version(2, 0, 7));
        let one = [&[0xff; 33][..], &mark, &[1; 5]].concat();
        assert_eq!(marked(&one), Some((Board::Stm32f767zi, Version(2, 0, 7))));
        assert_eq!(marked(&[&one[..], &one].concat()), None);
        assert_eq!(marked(&[0; 100]), None);
        assert_eq!(marked(&mark[..MARK_LEN - 1]), None);
    }
}

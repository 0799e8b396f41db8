//! The little that is needed of 32-bit ELF files: what an image takes, and its bytes as they lie
//! in flash.

/// Most bytes between the first and the last of an image; more is a broken file.
const MAX_FLAT: u32 = 4 * 1024 * 1024;

/// What an image takes, in bytes.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Size {
    /// Code and constants, in flash.
    pub(super) text: u32,
    /// Initialised variables, in flash and RAM.
    pub(super) data: u32,
    /// Other variables, in RAM.
    pub(super) bss: u32,
}

impl Size {
    /// Adds up the sections of a 32-bit little-endian ELF file that are loaded.
    pub(super) fn of(elf: &[u8]) -> Option<Self> {
        const WRITE: u32 = 1;
        const ALLOC: u32 = 2;
        const NOBITS: u32 = 8;
        if !is_elf(elf) {
            return None;
        }
        let (half, word) = (|at| half(elf, at), |at| word(elf, at));
        let (table, entry, count) = (word(32)? as usize, half(46)?, half(48)?);
        let mut size = Self::default();
        for section in 0..count {
            let at = table + section * entry;
            let (kind, flags, length) = (word(at + 4)?, word(at + 8)?, word(at + 20)?);
            match (flags & ALLOC != 0, kind == NOBITS, flags & WRITE != 0) {
                (false, ..) => {}
                (_, true, _) => size.bss += length,
                (_, _, true) => size.data += length,
                (_, _, false) => size.text += length,
            }
        }
        Some(size)
    }
}

/// The bytes that lie in flash from `origin` on, at most `len` of them; gaps are erased flash.
/// `None` when this is no 32-bit little-endian ELF file or nothing of it lies there.
pub(super) fn flat(elf: &[u8], origin: u32, len: u32) -> Option<Vec<u8>> {
    const LOAD: u32 = 1;
    if !is_elf(elf) {
        return None;
    }
    let (table, entry, count) = (word(elf, 28)? as usize, half(elf, 42)?, half(elf, 44)?);
    let mut image = Vec::new();
    for segment in 0..count {
        let at = table + segment * entry;
        let (kind, from, address, size) = (
            word(elf, at)?,
            word(elf, at + 4)? as usize,
            word(elf, at + 12)?,
            word(elf, at + 16)?,
        );
        let Some(offset) = address.checked_sub(origin).filter(|offset| *offset < len) else {
            continue; // the first stage of the RP2040, or RAM
        };
        if kind != LOAD || size == 0 {
            continue;
        }
        let end = offset.checked_add(size).filter(|end| *end <= len.min(MAX_FLAT))? as usize;
        if image.len() < end {
            image.resize(end, 0xff);
        }
        image[offset as usize..end].copy_from_slice(elf.get(from..from.checked_add(size as usize)?)?);
    }
    (!image.is_empty()).then_some(image)
}

fn is_elf(file: &[u8]) -> bool {
    file.starts_with(b"\x7fELF\x01\x01")
}

fn half(elf: &[u8], at: usize) -> Option<usize> {
    let bytes = elf.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
}

fn word(elf: &[u8], at: usize) -> Option<u32> {
    let bytes = elf.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file of nothing but a header and sections of (type, flags, length).
    fn elf(sections: &[(u32, u32, u32)]) -> Vec<u8> {
        let mut file = vec![0; 52];
        file[..6].copy_from_slice(b"\x7fELF\x01\x01");
        file[32..36].copy_from_slice(&52_u32.to_le_bytes());
        file[46..48].copy_from_slice(&40_u16.to_le_bytes());
        file[48..50].copy_from_slice(&u16::try_from(sections.len()).unwrap().to_le_bytes());
        for (kind, flags, length) in sections {
            let mut section = [0; 40];
            section[4..8].copy_from_slice(&kind.to_le_bytes());
            section[8..12].copy_from_slice(&flags.to_le_bytes());
            section[20..24].copy_from_slice(&length.to_le_bytes());
            file.extend(section);
        }
        file
    }

    #[test]
    fn sections_count_by_where_they_lie() {
        let image = elf(&[
            (0, 0, 0),
            (1, 2, 1024), // vectors
            (1, 2 | 4, 80_000),
            (1, 2, 5_000),
            (1, 2 | 1, 16),
            (8, 2 | 1, 20_000),
            (1, 0, 700_000), // debugging, not loaded
        ]);
        let expected = Size {
            text: 86_024,
            data: 16,
            bss: 20_000,
        };
        assert_eq!(Size::of(&image), Some(expected));
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        let whole = elf(&[(1, 2, 1)]);
        assert_eq!(Size::of(b""), None);
        assert_eq!(Size::of(b"#!/bin/sh"), None);
        assert_eq!(Size::of(&whole[..whole.len() - 20]), None);
    }

    #[test]
    fn an_image_is_what_lies_in_its_slot() {
        // Segments of (type, address, bytes).
        let file = |segments: &[(u32, u32, &[u8])]| {
            let mut file = vec![0; 52 + 32 * segments.len()];
            file[..6].copy_from_slice(b"\x7fELF\x01\x01");
            file[28..32].copy_from_slice(&52_u32.to_le_bytes());
            file[42..44].copy_from_slice(&32_u16.to_le_bytes());
            file[44..46].copy_from_slice(&u16::try_from(segments.len()).unwrap().to_le_bytes());
            for (place, (kind, address, bytes)) in segments.iter().enumerate() {
                let (at, from) = (52 + 32 * place, u32::try_from(file.len()).unwrap());
                let size = u32::try_from(bytes.len()).unwrap();
                for (offset, value) in [(0, *kind), (4, from), (12, *address), (16, size)] {
                    file[at + offset..at + offset + 4].copy_from_slice(&value.to_le_bytes());
                }
                file.extend(*bytes);
            }
            file
        };
        let parts: [(u32, u32, &[u8]); 5] = [
            (1, 0x1000_0000, b"first stage"),
            (1, 0x1000_7000, b"vectors"),
            (1, 0x1000_7009, b"code"),
            (1, 0x2000_0000, b""),
            (6, 0x1000_7000, b"headers"),
        ];
        let whole = file(&parts);
        assert_eq!(
            flat(&whole, 0x1000_7000, 0x1000),
            Some(b"vectors\xff\xffcode".to_vec())
        );
        assert_eq!(flat(&whole, 0x1000_7000, 12), None, "it does not fit");
        assert_eq!(flat(&whole, 0x3000_0000, 0x1000), None, "nothing is there");
        for len in 0..whole.len() {
            // Truncated files are refused or shorter, and never a panic.
            let _ = flat(&whole[..len], 0x1000_7000, 0x1000);
            let _ = Size::of(&whole[..len]);
        }
    }
}

//! What an ELF file of the firmware says: how much memory it takes, where its functions are.

use std::path::Path;

/// Where the board's RAM begins.
const RAM: u32 = 0x2000_0000;
const SYMBOLS: u32 = 2;
const NOBITS: u32 = 8;
const WRITE: u32 = 1;
const ALLOC: u32 = 2;

/// A 32-bit little-endian program.
#[derive(Debug)]
pub struct Image(Vec<u8>);

/// A section's header.
#[derive(Debug, Clone, Copy)]
struct Section {
    kind: u32,
    flags: u32,
    addr: u32,
    offset: usize,
    size: u32,
    link: usize,
}

impl Image {
    /// Reads it.
    ///
    /// # Panics
    /// When it is not there or is no such file.
    #[must_use]
    pub fn read(file: &Path) -> Self {
        let bytes = std::fs::read(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        assert!(
            bytes.starts_with(b"\x7fELF\x01\x01"),
            "{}: no 32-bit ELF file",
            file.display()
        );
        Self(bytes)
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    fn half(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    fn sections(&self) -> impl Iterator<Item = Section> + '_ {
        let (table, entry, count) = (self.word(32) as usize, self.half(46), self.half(48));
        (0..count).map(move |section| {
            let at = table + section * entry;
            Section {
                kind: self.word(at + 4),
                flags: self.word(at + 8),
                addr: self.word(at + 12),
                offset: self.word(at + 16) as usize,
                size: self.word(at + 20),
                link: self.word(at + 24) as usize,
            }
        })
    }

    /// Bytes of flash: code, constants and the first values of variables.
    #[must_use]
    pub fn flash(&self) -> u32 {
        let loaded = |section: &Section| section.flags & ALLOC != 0 && section.kind != NOBITS;
        self.sections().filter(loaded).map(|section| section.size).sum()
    }

    /// Bytes of RAM for variables.
    #[must_use]
    pub fn variables(&self) -> u32 {
        let variable = |section: &Section| section.flags & (ALLOC | WRITE) == ALLOC | WRITE;
        self.sections().filter(variable).map(|section| section.size).sum()
    }

    /// Where the variables end, counted from the beginning of RAM.
    #[must_use]
    pub fn end_of_variables(&self) -> usize {
        let ends = self
            .sections()
            .map(|section| section.addr.saturating_add(section.size));
        ends.filter_map(|end| end.checked_sub(RAM))
            .max()
            .unwrap_or_default() as usize
    }

    /// Bytes of the flash at an address, as the file has them.
    ///
    /// # Panics
    /// When the program has nothing there.
    #[must_use]
    pub fn flash_at(&self, at: u32, len: usize) -> Vec<u8> {
        let holds = |section: &Section| {
            section.kind != NOBITS
                && section.flags & ALLOC != 0
                && (section.addr..section.addr + section.size).contains(&at)
        };
        let section = self.sections().find(holds).expect("a section of the program");
        let from = section.offset + (at - section.addr) as usize;
        self.0[from..from + len].to_vec()
    }

    /// Address of the one function whose mangled name has all of `words`.
    #[must_use]
    pub fn function(&self, words: &[&str]) -> Option<u32> {
        let sections: Vec<Section> = self.sections().collect();
        let symbols = sections.iter().find(|section| section.kind == SYMBOLS)?;
        let names = sections.get(symbols.link)?;
        let count = symbols.size as usize / 16;
        let found: Vec<u32> = (0..count)
            .map(|index| symbols.offset + index * 16)
            .filter(|at| {
                let name = &self.0[names.offset + self.word(*at) as usize..];
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                let name = String::from_utf8_lossy(name);
                words.iter().all(|word| name.contains(word))
            })
            // The lowest bit says that it is Thumb code.
            .map(|at| self.word(at + 4) & !1)
            .collect();
        (found.len() == 1).then(|| found[0])
    }
}

/// Bytes of stack that were never used, from what the RAM holds.
#[must_use]
pub fn untouched(ram: &[u8], variables: usize) -> usize {
    ram[variables..].iter().take_while(|byte| **byte == 0).count()
}

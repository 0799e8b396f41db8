//! What the targets share: bytes taken in order, and a memory that fails when the input says so.

use node::memory::{Memory, MemoryFault};

/// The input, taken from the front.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub(crate) fn next_or(&mut self, otherwise: u8) -> u8 {
        self.next().unwrap_or(otherwise)
    }

    /// Up to `len` bytes.
    pub(crate) fn take_some(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// An EEPROM of 32 KiB.
pub(crate) struct Ram {
    pub(crate) bytes: Vec<u8>,
    /// Reads and writes that still work; then all fail.
    pub(crate) left: u32,
}

impl Ram {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0xff; 32 * 1024],
            left: u32::MAX,
        }
    }

    fn spend(&mut self, at: u16, len: usize) -> Result<std::ops::Range<usize>, MemoryFault> {
        let range = usize::from(at)..usize::from(at) + len;
        assert!(range.end <= self.bytes.len(), "it stays within the part");
        self.left = self.left.checked_sub(1).ok_or(MemoryFault)?;
        Ok(range)
    }
}

impl Memory for Ram {
    fn read(&mut self, at: u16, into: &mut [u8]) -> Result<(), MemoryFault> {
        let range = self.spend(at, into.len())?;
        into.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn write(&mut self, at: u16, bytes: &[u8]) -> Result<(), MemoryFault> {
        let range = self.spend(at, bytes.len())?;
        self.bytes[range].copy_from_slice(bytes);
        Ok(())
    }
}

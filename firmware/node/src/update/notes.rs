//! What survives a power cut of an update: two notes in the EEPROM, the older overwritten next.
//!
//! ```text
//! 0 generation u32 | 4 phase u8 | 5 target 3 | 8 from: there u8, version 3
//! 12 previous: there u8, version 3 | 16 refused: reason u8 (0 none), version 3 | 20 zeros | 60 CRC-32 of bytes 0..60
//! ```
//! A torn note has a wrong CRC and leaves the other one. The image itself is in flash; nothing of
//! it is noted but its version, because an interrupted transfer begins again.

use crate::memory::{Memory, MemoryFault};
use shared::crc::crc32;
use shared::wire::{UpdateRefusal, Version};

/// Bytes of a note.
pub const NOTE_LEN: usize = 64;
/// Where the two notes lie in the EEPROM.
pub const NOTES_AT: [u16; 2] = crate::layout::UPDATE_AT;

const CRC_AT: usize = NOTE_LEN - 4;

/// How far an update had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing under way, or nothing that is lost with the power.
    Idle,
    /// Verified; the bootloader was or is about to be told to swap.
    Staged,
    /// The new image has run.
    Trial,
}

/// One note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) generation: u32,
    pub(super) phase: Phase,
    /// The version that is staged or on trial.
    pub(super) target: Version,
    /// The version that staged it.
    pub(super) from: Option<Version>,
    /// The version before the running one.
    pub(super) previous: Option<Version>,
    /// The last version that was not taken.
    pub(super) refused: Option<(Version, UpdateRefusal)>,
}

impl Note {
    pub(super) const BLANK: Self = Self {
        generation: 0,
        phase: Phase::Idle,
        target: Version(0, 0, 0),
        from: None,
        previous: None,
        refused: None,
    };

    fn encode(&self) -> [u8; NOTE_LEN] {
        let mut bytes = [0; NOTE_LEN];
        bytes[0..4].copy_from_slice(&self.generation.to_le_bytes());
        bytes[4] = match self.phase {
            Phase::Idle => 1,
            Phase::Staged => 2,
            Phase::Trial => 3,
        };
        bytes[5..8].copy_from_slice(&three(self.target));
        for (at, version) in [(8, self.from), (12, self.previous)] {
            if let Some(version) = version {
                bytes[at] = 1;
                bytes[at + 1..at + 4].copy_from_slice(&three(version));
            }
        }
        if let Some((version, why)) = self.refused {
            bytes[16] = number(why);
            bytes[17..20].copy_from_slice(&three(version));
        }
        let crc = crc32(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; NOTE_LEN]) -> Option<Self> {
        if crc32(&bytes[..CRC_AT]).to_le_bytes() != bytes[CRC_AT..] {
            return None;
        }
        let version = |at: usize| Version(bytes[at], bytes[at + 1], bytes[at + 2]);
        let maybe = |at: usize| (bytes[at] == 1).then(|| version(at + 1));
        Some(Self {
            generation: u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            phase: match bytes[4] {
                1 => Phase::Idle,
                2 => Phase::Staged,
                3 => Phase::Trial,
                _ => return None,
            },
            target: version(5),
            from: maybe(8),
            previous: maybe(12),
            refused: reason(bytes[16]).map(|why| (version(17), why)),
        })
    }

    /// The newer of the two notes; blank when there is none.
    ///
    /// # Errors
    /// [`MemoryFault`] when the memory does not answer.
    pub(super) fn load(memory: &mut impl Memory) -> Result<Self, MemoryFault> {
        let mut newest: Option<Self> = None;
        for at in NOTES_AT {
            let mut bytes = [0; NOTE_LEN];
            memory.read(at, &mut bytes)?;
            if let Some(note) = Self::decode(&bytes)
                && newest.is_none_or(|known| note.generation > known.generation)
            {
                newest = Some(note);
            }
        }
        Ok(newest.unwrap_or(Self::BLANK))
    }

    /// Writes the note over the older of the two and reads it back.
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be kept; the note before is still there.
    pub(super) fn save(&mut self, memory: &mut impl Memory) -> Result<(), MemoryFault> {
        let next = Self {
            generation: self.generation.saturating_add(1),
            ..*self
        };
        let (at, bytes) = (NOTES_AT[next.generation as usize % 2], next.encode());
        memory.write(at, &bytes)?;
        let mut back = [0; NOTE_LEN];
        memory.read(at, &mut back)?;
        if back != bytes {
            return Err(MemoryFault);
        }
        *self = next;
        Ok(())
    }
}

const fn three(Version(major, minor, patch): Version) -> [u8; 3] {
    [major, minor, patch]
}

/// Append only: the number is in the EEPROM.
const fn number(why: UpdateRefusal) -> u8 {
    match why {
        UpdateRefusal::NotSupported => 1,
        UpdateRefusal::Signature => 2,
        UpdateRefusal::Truncated => 3,
        UpdateRefusal::Hash => 4,
        UpdateRefusal::Older => 5,
        UpdateRefusal::OtherBoard => 6,
        UpdateRefusal::TooLarge => 7,
        UpdateRefusal::Memory => 8,
        UpdateRefusal::NeverReached => 9,
        UpdateRefusal::Unsigned => 10,
        UpdateRefusal::Interrupted => 11,
        UpdateRefusal::Busy => 12,
    }
}

fn reason(number_kept: u8) -> Option<UpdateRefusal> {
    use UpdateRefusal as Why;
    [
        Why::NotSupported,
        Why::Signature,
        Why::Truncated,
        Why::Hash,
        Why::Older,
        Why::OtherBoard,
        Why::TooLarge,
        Why::Memory,
        Why::NeverReached,
        Why::Unsigned,
        Why::Interrupted,
        Why::Busy,
    ]
    .into_iter()
    .find(|why| number(*why) == number_kept)
}

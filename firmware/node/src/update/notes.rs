//! What survives a power cut of an update: a note in the EEPROM, kept as a [`Twin`].
//!
//! ```text
//! 0 phase u8 | 1 target 3 | 4 from: there u8, version 3 | 8 previous: there u8, version 3
//! 12 refused: reason u8 (0 none), version 3 | 16 zeros to 56
//! ```
//! The image itself is in flash; nothing of it is noted but its version, because an interrupted
//! transfer begins again.

use crate::layout::UPDATE_AT;
use crate::memory::{Memory, MemoryFault, Twin};
use shared::wire::{UpdateRefusal, Version};

/// Bytes of a note: with generation and checksum, a page.
const NOTE_LEN: usize = 56;

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
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    /// Where it is kept.
    pub(super) twin: Twin<NOTE_LEN>,
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
        twin: Twin::blank(&UPDATE_AT),
        phase: Phase::Idle,
        target: Version(0, 0, 0),
        from: None,
        previous: None,
        refused: None,
    };

    fn encode(&self) -> [u8; NOTE_LEN] {
        let mut bytes = [0; NOTE_LEN];
        bytes[0] = match self.phase {
            Phase::Idle => 1,
            Phase::Staged => 2,
            Phase::Trial => 3,
        };
        bytes[1..4].copy_from_slice(&three(self.target));
        for (at, version) in [(4, self.from), (8, self.previous)] {
            if let Some(version) = version {
                bytes[at] = 1;
                bytes[at + 1..at + 4].copy_from_slice(&three(version));
            }
        }
        if let Some((version, why)) = self.refused {
            bytes[12] = number(why);
            bytes[13..16].copy_from_slice(&three(version));
        }
        bytes
    }

    fn decode(twin: Twin<NOTE_LEN>, bytes: &[u8; NOTE_LEN]) -> Option<Self> {
        let version = |at: usize| Version(bytes[at], bytes[at + 1], bytes[at + 2]);
        let maybe = |at: usize| (bytes[at] == 1).then(|| version(at + 1));
        Some(Self {
            twin,
            phase: match bytes[0] {
                1 => Phase::Idle,
                2 => Phase::Staged,
                3 => Phase::Trial,
                _ => return None,
            },
            target: version(1),
            from: maybe(4),
            previous: maybe(8),
            refused: reason(bytes[12]).map(|why| (version(13), why)),
        })
    }

    /// The newest note; blank when there is none.
    ///
    /// # Errors
    /// [`MemoryFault`] when the memory does not answer.
    pub(super) fn load(memory: &mut impl Memory) -> Result<Self, MemoryFault> {
        let (twin, bytes) = Twin::open(memory, &UPDATE_AT)?;
        Ok(bytes
            .and_then(|bytes| Self::decode(twin, &bytes))
            .unwrap_or(Self { twin, ..Self::BLANK }))
    }

    /// Replaces the note.
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be kept.
    pub(super) fn save(&mut self, memory: &mut impl Memory) -> Result<(), MemoryFault> {
        let bytes = self.encode();
        self.twin.write(memory, &bytes)
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

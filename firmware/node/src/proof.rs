//! How long something that failed must be sound before it is said to be back: longer after every
//! relapse, so that a loose plug does not fill the node's memory with its coming and going.
//!
//! The first [`AT_ONCE`] recoveries are told at once: somebody works there. After another relapse within
//! [`PROOF_MAX_MS`] it must last for [`PROOF_FIRST_MS`], then four times as long, up to [`PROOF_MAX_MS`].

/// Recoveries in a row that are told at once.
pub const AT_ONCE: u8 = 4;
/// How long it must be sound after the next relapse, in milliseconds.
pub const PROOF_FIRST_MS: u32 = 60_000;
/// The longest such time, in milliseconds; what was sound for so long starts anew.
pub const PROOF_MAX_MS: u32 = 3_600_000;
/// Recoveries that are told within an hour, at most: at once, and after 1, 4, 16 and 60 minutes.
pub const BACK_PER_HOUR: usize = AT_ONCE as usize + 4;

/// One part's record. Times are the lower half: there are dozens of these, and what is asked is
/// shorter than 49 days; after exactly as long an old relapse counts once more.
#[derive(Debug, Clone, Copy, Default)]
pub struct Proof {
    /// Since when it is sound, while that is not told; when it was told, afterwards.
    since_ms: u32,
    sound: bool,
    /// Recoveries told in a row.
    told: u8,
}

impl Proof {
    /// Nothing has failed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            since_ms: 0,
            sound: false,
            told: 0,
        }
    }

    /// It fails, and that is told now.
    pub fn lost(&mut self, now_ms: u64) {
        if (now_ms as u32).wrapping_sub(self.since_ms) >= PROOF_MAX_MS {
            self.told = 0;
        }
        self.sound = false;
    }

    /// It fails still or again, and that was told.
    pub const fn unsound(&mut self) {
        self.sound = false;
    }

    /// It is sound; true once when that is to be told.
    pub fn sound(&mut self, now_ms: u64) -> bool {
        let now_ms = now_ms as u32;
        if !self.sound {
            self.sound = true;
            self.since_ms = now_ms;
        }
        let proof_ms = match self.told {
            ..AT_ONCE => 0,
            told => PROOF_FIRST_MS
                .saturating_mul(1 << (2 * u32::from(told - AT_ONCE).min(4)))
                .min(PROOF_MAX_MS),
        };
        let proven = now_ms.wrapping_sub(self.since_ms) >= proof_ms;
        if proven {
            self.since_ms = now_ms;
            self.sound = false;
            self.told = (self.told + 1).min(BACK_PER_HOUR as u8);
        }
        proven
    }
}

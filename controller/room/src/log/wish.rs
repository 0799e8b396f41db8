//! What a person at the controller's own machine orders of the log.

use serde::{Deserialize, Serialize};

/// Longest reason in characters.
pub const MAX_REASON: usize = 500;
/// Most legal holds at once.
pub const MAX_HOLDS: usize = 100;
/// Most names of fields in an order to erase.
pub const MAX_FIELDS: usize = 20;

/// What is wished. Ranges are leaves of a year's log: `from` is in it, `to` is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// Another key signs from here on.
    RotateKey {
        /// Its verifier key; core puts in the one that stands ready.
        key: String,
        /// Why.
        reason: String,
    },
    /// Legal hold (証拠保全): nothing of these leaves is erased.
    Hold {
        /// Fiscal year.
        year: i64,
        /// First leaf.
        from: u64,
        /// Behind the last one.
        to: u64,
        /// Why.
        reason: String,
    },
    /// A legal hold is over.
    Release {
        /// Its number.
        hold: u32,
        /// Why.
        reason: String,
    },
    /// Openings are erased; the tree stays.
    Erase {
        /// Fiscal year.
        year: i64,
        /// First leaf.
        from: u64,
        /// Behind the last one.
        to: u64,
        /// Names of the fields; empty: all.
        fields: Vec<String>,
        /// Why.
        reason: String,
    },
    /// A copy is about to be taken.
    Export {
        /// Fiscal year.
        year: i64,
        /// First leaf.
        from: u64,
        /// Behind the last one.
        to: u64,
        /// With personal particulars.
        openings: bool,
        /// Why.
        reason: String,
    },
}

impl Wish {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::RotateKey { reason, .. }
            | Self::Hold { reason, .. }
            | Self::Release { reason, .. }
            | Self::Erase { reason, .. }
            | Self::Export { reason, .. } => reason,
        }
    }
}

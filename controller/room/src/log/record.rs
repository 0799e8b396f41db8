//! What is journaled of the log itself: who looked, took copies, changed its key, held or erased what.

use serde::{Deserialize, Serialize};

/// One durable change. Append only, as every record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "log", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// Somebody looked at the log, or took the proof of a row.
    Viewed {
        /// Who.
        by: String,
        /// What was looked at: `entries`, `proof 123`.
        what: String,
    },
    /// Somebody took a copy.
    Exported {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// Fiscal year of the log.
        year: i64,
        /// First leaf,
        from: u64,
        /// and the one behind the last.
        to: u64,
        /// With the personal particulars.
        openings: bool,
    },
    /// From here on another key signs.
    KeyChanged {
        /// The verifier key.
        key: String,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// A legal hold (証拠保全): openings of these leaves may not be erased.
    Held {
        /// Its number; counts up from 1.
        hold: u32,
        /// Fiscal year of the log.
        year: i64,
        /// First leaf,
        from: u64,
        /// and the one behind the last.
        to: u64,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// A legal hold is over.
    Released {
        /// Its number.
        hold: u32,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Openings are to be erased; the tree stays as it is.
    Erased {
        /// Fiscal year of the log.
        year: i64,
        /// First leaf,
        from: u64,
        /// and the one behind the last.
        to: u64,
        /// Names of the fields; empty: all.
        fields: Vec<String>,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// A witness said what it holds, and it is ours.
    WitnessSaw {
        /// Its name.
        witness: String,
        /// Fiscal year of the log.
        year: i64,
        /// Leaves.
        size: u64,
        /// Root, as hex.
        root: String,
        /// When it was given that, milliseconds since 1970 UTC by its clock; 0 when that was not set.
        at_ms: i64,
    },
}

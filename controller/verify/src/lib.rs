//! Checks an export of Yagura's entry log: was it altered, is something missing, what do others hold
//! against it. Three verdicts, and doubt is never good.
//!
//! It is written from the page `deploy/docs/entry-log.md` alone and shares no code with what writes the
//! log: an error that both made alike would pass unseen. It reads files and prints; it has no network,
//! no database, no configuration, and takes nothing from an export on trust. Whatever an export holds,
//! it never panics, never needs more memory than its named limits, and never calls good what it could
//! not read.
//!
//! ```text
//! forms, json     spellings            lines    lines with a limit
//! leaf, kinds     what a leaf says     note     checkpoints and keys     policy   what is given
//! integrity, completeness, witnesses   what is remembered while the leaves pass
//! walk            the one walk along them;   proof  a single row;   report, words  what is printed
//! ```

pub mod completeness;
pub mod forms;
pub mod integrity;
pub mod json;
pub mod kinds;
pub mod leaf;
pub mod lines;
pub mod note;
pub mod policy;
pub mod proof;
pub mod report;
pub mod tree;
pub mod walk;
pub mod witnesses;
pub mod words;

pub use policy::Policy;
pub use report::{Answer, Report};
pub use walk::{Ask, Source, verify};

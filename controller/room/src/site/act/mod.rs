//! Actions whose settings need more than a few keys: one file each, with its reader.

pub mod https;

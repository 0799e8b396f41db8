//! Commitments: what stands in a leaf for a personal particular. Without the opening (salt and value)
//! nothing tells the value, not even a list of all who could be meant.

use sha2::{Digest as _, Sha256};

/// Bytes of a salt, drawn anew for every field of every leaf.
pub const SALT: usize = 16;
/// Longest value in bytes; longer ones are cut before they are sealed.
pub const MAX_VALUE: usize = 4_000;
const LABEL: &[u8] = b"yagura/opening/v1\n";

/// The commitment to a value of a field.
#[must_use]
pub fn commitment(field: &'static str, salt: &[u8; SALT], value: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(LABEL);
    // Names of fields are words of this program, below 256 bytes.
    hash.update([u8::try_from(field.len()).unwrap_or(u8::MAX)]);
    hash.update(field.as_bytes());
    hash.update(salt);
    hash.update(value.as_bytes());
    hash.finalize().into()
}

/// An opening as it is kept: the salt, then the value.
#[must_use]
pub fn opening(salt: &[u8; SALT], value: &str) -> Vec<u8> {
    [&salt[..], value.as_bytes()].concat()
}

/// Salt and value of a kept opening; `None` for anything else.
#[must_use]
pub fn opened(kept: &[u8]) -> Option<([u8; SALT], &str)> {
    let (salt, value) = kept.split_first_chunk::<SALT>()?;
    Some((*salt, std::str::from_utf8(value).ok()?))
}

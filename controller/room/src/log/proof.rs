//! The proof of one row that can be checked without the log: C2SP tlog-proof.

use super::tree::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// First line of a proof.
const MAGIC: &str = "c2sp.org/tlog-proof@v1";

/// The proof of leaf `n`, by its path in the tree of the checkpoint of `note`.
#[must_use]
pub fn text(n: u64, path: &[Hash], note: &str) -> String {
    let mut text = format!("{MAGIC}\nindex {n}\n");
    for hash in path {
        text.push_str(&BASE64.encode(hash));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(note);
    text
}

//! Checkpoints as signed notes (C2SP signed-note, tlog-checkpoint, tlog-cosignature).
//!
//! ```text
//! kozukata-cho/entry-log/2026
//! 1234
//! <root in base64>
//!
//! — kozukata-cho/entry-log <base64(4 bytes of the key's id | signature)>
//! ```

use super::tree::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// Algorithm of a log's own signature.
pub const ED25519: u8 = 1;
/// Algorithm of a witness's cosignature with its time.
pub const COSIGNATURE: u8 = 4;
/// Longest note that is read.
pub const MAX_NOTE: usize = 16 << 10;
/// Most signatures that are looked at.
const MAX_SIGNATURES: usize = 64;

/// A state of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// Root of their tree.
    pub root: Hash,
}

impl Checkpoint {
    /// What is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root))
    }

    /// The note with the signatures of these keys, all under one name.
    #[must_use]
    pub fn signed(&self, name: &str, keys: &[&SigningKey]) -> String {
        let text = self.text();
        let mut note = format!("{text}\n");
        for key in keys {
            let mut bytes = key_id(name, ED25519, key.verifying_key().as_bytes()).to_vec();
            bytes.extend(key.sign(text.as_bytes()).to_bytes());
            note.push_str(&format!("\u{2014} {name} {}\n", BASE64.encode(bytes)));
        }
        note
    }
}

/// The first four bytes of SHA-256(name | line feed | algorithm | key).
fn key_id(name: &str, algorithm: u8, key: &[u8; 32]) -> [u8; 4] {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([b'\n', algorithm]);
    hash.update(key);
    let hash: Hash = hash.finalize().into();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// A key that checks, with its name: `name+id+base64(algorithm | key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    algorithm: u8,
    key: VerifyingKey,
}

impl VerifierKey {
    /// The key of a log.
    #[must_use]
    pub fn of_log(name: &str, key: &SigningKey) -> Self {
        Self {
            name: name.to_owned(),
            algorithm: ED25519,
            key: key.verifying_key(),
        }
    }

    /// Reads one; `None` when it is not one, or its id is not that of its name and key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('+')?;
        let (id, key) = rest.split_once('+')?;
        let bytes = BASE64.decode(key).ok()?;
        let (algorithm, key) = bytes.split_first()?;
        let key: [u8; 32] = key.try_into().ok()?;
        let mut stated = [0; 4];
        let is_known = matches!(*algorithm, ED25519 | COSIGNATURE)
            && crate::hex::read(id.as_bytes(), &mut stated)
            && stated == key_id(name, *algorithm, &key)
            && !name.is_empty();
        is_known.then_some(())?;
        Some(Self {
            name: name.to_owned(),
            algorithm: *algorithm,
            key: VerifyingKey::from_bytes(&key).ok()?,
        })
    }

    /// True when this key signed the note. Of a cosignature the time counts as signed, too.
    #[must_use]
    pub fn has_signed(&self, note: &Note) -> bool {
        let id = key_id(&self.name, self.algorithm, self.key.as_bytes());
        note.signatures.iter().any(|(name, bytes)| {
            if *name != self.name || bytes.get(..4) != Some(&id[..]) {
                return false;
            }
            match self.algorithm {
                ED25519 => self.is_good(note.text.as_bytes(), &bytes[4..]),
                _ => self.cosigned_at(note, &bytes[4..]).is_some(),
            }
        })
    }

    /// The time of a good cosignature, in seconds since 1970 UTC.
    fn cosigned_at(&self, note: &Note, bytes: &[u8]) -> Option<u64> {
        let (time, signature) = bytes.split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        let signed = format!("cosignature/v1\ntime {time}\n{}", note.text);
        self.is_good(signed.as_bytes(), signature).then_some(time)
    }

    fn is_good(&self, text: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(text, &signature).is_ok())
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = key_id(&self.name, self.algorithm, self.key.as_bytes());
        let key = [&[self.algorithm][..], self.key.as_bytes()].concat();
        write!(
            f,
            "{}+{:08x}+{}",
            self.name,
            u32::from_be_bytes(id),
            BASE64.encode(key)
        )
    }
}

/// A note that was read; nothing in it is believed until a key has signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<(String, Vec<u8>)>,
    checkpoint: Checkpoint,
}

impl Note {
    /// Reads a note with a checkpoint; `None` for anything else.
    #[must_use]
    pub fn parse(note: &str) -> Option<Self> {
        if note.len() > MAX_NOTE {
            return None;
        }
        let (text, signatures) = note.split_once("\n\n")?;
        let mut lines = text.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let digits = size
            .parse::<u64>()
            .ok()
            .filter(|value| value.to_string() == size)?;
        let checkpoint = Checkpoint {
            origin: origin.to_owned(),
            size: digits,
            root: BASE64.decode(root).ok()?.try_into().ok()?,
        };
        let signatures = signatures
            .lines()
            .take(MAX_SIGNATURES)
            .map(|line| {
                let (name, bytes) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
                Some((name.to_owned(), BASE64.decode(bytes).ok()?))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            text: format!("{text}\n"),
            signatures,
            checkpoint,
        })
    }

    /// What it says.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

//! Signed notes (C2SP signed-note), checkpoints in them (tlog-checkpoint) and the keys that sign them:
//! the log's (Ed25519, algorithm 1) and a witness's (cosignature/v1, algorithm 4).

use crate::forms::{Hash, decimal, from_base64, from_hex};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

/// Bytes of a note at most.
pub const MAX_NOTE: usize = 16_384;
/// Signatures of a note at most; the form asks for at least 16.
pub const MAX_SIGNATURES: usize = 32;

/// A checkpoint with what signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Which log.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
    text: String,
    signatures: Vec<Signed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signed {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// What a key says of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It signed it; a witness's cosignature has its time, in seconds since 1970.
    Signed(u64),
    /// Something is there under its name that it did not sign.
    Forged,
    /// Nothing is there of it.
    Nothing,
}

/// Reads a note that is a checkpoint of three lines.
///
/// # Errors
/// What is not of the form.
pub fn parse(note: &[u8]) -> Result<Note, &'static str> {
    if note.len() > MAX_NOTE {
        return Err("a note longer than 16 KiB");
    }
    let note = std::str::from_utf8(note).map_err(|_| "a note that is not UTF-8")?;
    if note.chars().any(|character| character < ' ' && character != '\n') {
        return Err("a note with control characters");
    }
    let (text, signatures) = note.rsplit_once("\n\n").ok_or("a note without signatures")?;
    let mut lines = text.split('\n');
    let (Some(origin), Some(size), Some(root), None) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err("a checkpoint has three lines: origin, size, root");
    };
    if origin.is_empty() || origin.contains('+') || origin.chars().any(char::is_whitespace) {
        return Err("an origin that is none");
    }
    let size = decimal(size)
        .filter(|size| *size > 0)
        .ok_or("a size that is none")?;
    let root = from_base64(root)
        .and_then(|root| Hash::try_from(root).ok())
        .ok_or("a root that is none")?;
    let signatures = signatures
        .strip_suffix('\n')
        .ok_or("a note whose last line is cut off")?;
    let signatures: Vec<Signed> = signatures
        .split('\n')
        .map(signature)
        .collect::<Option<_>>()
        .ok_or("a signature line that is none")?;
    if signatures.len() > MAX_SIGNATURES {
        return Err("a note with too many signatures");
    }
    Ok(Note {
        origin: origin.to_owned(),
        size,
        root,
        text: format!("{text}\n"),
        signatures,
    })
}

/// `— name base64(id | signature)`
fn signature(line: &str) -> Option<Signed> {
    let (name, bytes) = line.strip_prefix("— ")?.split_once(' ')?;
    let bytes = from_base64(bytes)?;
    let (id, bytes) = bytes.split_first_chunk::<4>()?;
    if name.is_empty() || name.contains('+') || name.chars().any(char::is_whitespace) || bytes.is_empty() {
        return None;
    }
    Some(Signed {
        name: name.to_owned(),
        id: *id,
        bytes: bytes.to_vec(),
    })
}

/// Signs checkpoints: as the log, or as a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Who signs.
    pub name: String,
    /// The verifier key as it is written.
    pub text: String,
    id: [u8; 4],
    algorithm: Algorithm,
    key: VerifyingKey,
}

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// The text of the note: the log.
    Ed25519 = 1,
    /// The text after a line with the time: a witness.
    Cosignature = 4,
}

impl Key {
    /// Reads `name+hash+base64(algorithm | key)`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, wanted: Algorithm) -> Result<Self, &'static str> {
        let form = "a verifier key is name+hash+base64";
        let (name, rest) = text.split_once('+').ok_or(form)?;
        let (id, material) = rest.split_once('+').ok_or(form)?;
        if name.is_empty()
            || name
                .chars()
                .any(|character| character.is_whitespace() || character < ' ')
        {
            return Err(form);
        }
        let id: [u8; 4] = from_hex(id).and_then(|id| id.try_into().ok()).ok_or(form)?;
        let material = from_base64(material).ok_or(form)?;
        let Some((algorithm, point)) = material.split_first() else {
            return Err(form);
        };
        if *algorithm != wanted as u8 {
            return Err("a verifier key of another algorithm");
        }
        let hash = Sha256::new()
            .chain_update(name)
            .chain_update(b"\n")
            .chain_update(&material)
            .finalize();
        if hash[..4] != id {
            return Err("a verifier key whose hash does not fit: mistyped?");
        }
        let point: &Hash = point.try_into().map_err(|_| form)?;
        let key =
            VerifyingKey::from_bytes(point).map_err(|_| "a verifier key that is no point of the curve")?;
        if key.is_weak() {
            return Err("a verifier key that fits every signature");
        }
        Ok(Self {
            name: name.to_owned(),
            text: text.to_owned(),
            id,
            algorithm: wanted,
            key,
        })
    }

    /// What this key says of `note`. One signature under its name and hash that does not fit spoils all.
    pub fn of(&self, note: &Note) -> Said {
        let mut said = Said::Nothing;
        let mine = |signed: &&Signed| signed.name == self.name && signed.id == self.id;
        for signed in note.signatures.iter().filter(mine) {
            let time = match self.algorithm {
                Algorithm::Ed25519 => self.fits(note.text.as_bytes(), &signed.bytes).then_some(0),
                Algorithm::Cosignature => self.cosigned(note, &signed.bytes),
            };
            let Some(time) = time else {
                return Said::Forged;
            };
            said = Said::Signed(time);
        }
        said
    }

    fn cosigned(&self, note: &Note, bytes: &[u8]) -> Option<u64> {
        let (time, signature) = bytes.split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        let text = format!("cosignature/v1\ntime {time}\n{}", note.text);
        (time < 1 << 53 && self.fits(text.as_bytes(), signature)).then_some(time)
    }

    fn fits(&self, text: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(text, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of C2SP tlog-cosignature.
    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

    #[test]
    fn the_example_of_the_specification_is_read() {
        let note = parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!((note.size, note.signatures.len()), (20_852_163, 2));
        assert_eq!(note.origin, "example.com/behind-the-sofa");
        assert_eq!(note.signatures[1].bytes.len(), 72);
    }

    #[test]
    fn what_is_not_a_checkpoint_is_refused() {
        for (from, to) in [
            ("20852163", "020852163"),
            ("20852163", "0"),
            ("q2I=\n\n", "q2I=\nmore\n\n"),
            ("q2I=\n\n", "q2I=\n"),
            ("CsUY", "CsU"),
            ("— witness", "- witness"),
            ("w1 jW", "w1  jW"),
            ("example.com/behind", "exam ple.com/behind"),
            ("example.com/behind", "example.com+/behind"),
            ("nA==\n", "nA=="),
            ("nA==\n", "nA==\n\n"),
            ("nA==\n", "nA==\r\n"),
        ] {
            let changed = EXAMPLE.replacen(from, to, 1);
            assert_ne!(changed, EXAMPLE, "{from}");
            assert!(parse(changed.as_bytes()).is_err(), "{to}");
        }
    }
}

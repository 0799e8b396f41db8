//! The log's keys and the last checkpoint that it signed: small files of their own beside `log.db`.
//!
//! `log.key` signs; `log.key.next` is made ahead, so that its verifier key can be named in a leaf
//! before it signs anything. `log.signed` holds the last signed note: a checkpoint is written there
//! (beside, synced, renamed) before anybody sees it, and only when the file still holds what this
//! process wrote last. So a second program, or a database that was rolled back, is noticed before a
//! second history is signed.

use super::LogError;
use crate::core::vault::{read_secret, replace, write_secret};
use ed25519_dalek::SigningKey;
use room::log::note::{Note, VerifierKey};
use std::path::{Path, PathBuf};

/// File of the signing key,
pub(super) const KEY: &str = "log.key";
/// of the one that is to follow it,
pub(super) const NEXT: &str = "log.key.next";
/// and of the last signed note.
pub(super) const SIGNED: &str = "log.signed";

/// The keys of a log.
pub(super) struct Keys {
    dir: PathBuf,
    name: String,
    pub(super) current: SigningKey,
    pub(super) next: SigningKey,
}

impl Keys {
    /// Reads the keys; makes the first one only when there is no log yet.
    pub(super) fn open(dir: &Path, name: &str, is_new: bool) -> Result<Self, LogError> {
        let current = match read(&dir.join(KEY))? {
            Some(key) => key,
            None if is_new => make(&dir.join(KEY))?,
            None => return Err(LogError::NoKey(dir.join(KEY))),
        };
        let next = match read(&dir.join(NEXT))? {
            Some(key) => key,
            None => make(&dir.join(NEXT))?,
        };
        Ok(Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
            current,
            next,
        })
    }

    /// The verifier key that signs now.
    pub(super) fn verifier(&self) -> String {
        VerifierKey::of_log(&self.name, &self.current).to_string()
    }

    /// The verifier key that is to follow.
    pub(super) fn next_verifier(&self) -> String {
        VerifierKey::of_log(&self.name, &self.next).to_string()
    }

    /// The next key takes over; another one is made to follow it. A crash in between leaves either
    /// the files as they were, or the new key without a successor, which is made at the next start.
    pub(super) fn rotate(&mut self) -> Result<(), LogError> {
        let (current, next) = (self.dir.join(KEY), self.dir.join(NEXT));
        std::fs::rename(&next, &current).map_err(|source| LogError::File(current, source))?;
        self.current = std::mem::replace(&mut self.next, make(&next)?);
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<SigningKey>, LogError> {
    match read_secret(path) {
        Ok(Some(seed)) => Ok(Some(SigningKey::from_bytes(&seed))),
        Ok(None) => Err(LogError::BadKey(path.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LogError::File(path.to_owned(), source)),
    }
}

fn make(path: &Path) -> Result<SigningKey, LogError> {
    let seed = zeroize::Zeroizing::new(rand::random::<[u8; 32]>());
    write_secret(path, &seed).map_err(|source| LogError::File(path.to_owned(), source))?;
    Ok(SigningKey::from_bytes(&seed))
}

/// The last signed note, as the file has it.
pub(super) struct Signed {
    path: PathBuf,
    last: Option<String>,
}

impl Signed {
    /// Reads the file.
    pub(super) fn open(dir: &Path) -> Result<Self, LogError> {
        let path = dir.join(SIGNED);
        let last = content(&path)?;
        Ok(Self { path, last })
    }

    /// What it holds.
    pub(super) fn note(&self) -> Result<Option<Note>, LogError> {
        let Some(text) = &self.last else { return Ok(None) };
        let note = Note::parse(text).ok_or_else(|| LogError::Signed(self.path.clone()))?;
        Ok(Some(note))
    }

    /// The note as text.
    pub(super) fn text(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Puts another note there, if it is still as we know it.
    pub(super) fn swap(&mut self, note: &str) -> Result<(), LogError> {
        if content(&self.path)? != self.last {
            return Err(LogError::Signed(self.path.clone()));
        }
        replace(&self.path, note.as_bytes()).map_err(|source| LogError::File(self.path.clone(), source))?;
        self.last = Some(note.to_owned());
        Ok(())
    }
}

fn content(path: &Path) -> Result<Option<String>, LogError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LogError::File(path.to_owned(), source)),
    }
}

//! Key files: 32 random bytes as 64 hex digits, readable by one user.
//!
//! A file appears under its name whole or not at all. The card key of the site is made once and
//! never replaced. A device key is made anew at every provisioning, and takes the place of the file
//! only when the node has it: a key that was lost here would lock out a node in a ceiling. The key
//! before stays beside it as `<file>.old`.

use rand::TryRngCore as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Reads the key of a file, or makes both.
pub(super) fn read_or_make(path: &Path) -> Result<Zeroizing<[u8; 32]>, String> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = NewKey::make(path)?;
            // A link, unlike a renaming, never takes the place of another file.
            let linked = fs::hard_link(beside(path, PART), path).and_then(|()| sync(path));
            linked.map_err(|error| unwritable(path, &error))?;
            Ok(made.key.clone())
        }
        Ok(key) => Ok(key),
        Err(error) => Err(unusable(path, &error)),
    }
}

/// A key that waits beside its file until the node has it. Dropped before that, it is gone.
pub(super) struct NewKey {
    pub(super) key: Zeroizing<[u8; 32]>,
    path: PathBuf,
}

impl NewKey {
    /// Makes a key that can take the place of this file, which is a key or not there.
    pub(super) fn make(path: &Path) -> Result<Self, String> {
        match read(path) {
            // Whatever else it is, it is not ours to put aside.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(path, &error)),
            _ => {}
        }
        let new = Self {
            key: draw().map_err(|error| unwritable(path, &error))?,
            path: path.to_owned(),
        };
        write(path, &new.key).map_err(|error| unwritable(path, &error))?;
        Ok(new)
    }

    /// Gives the file this key. Returns where the key before was put, if there was one.
    pub(super) fn keep(self) -> io::Result<Option<PathBuf>> {
        let old = beside(&self.path, OLD);
        remove(&old)?;
        let aside = match fs::hard_link(&self.path, &old) {
            Ok(()) => Some(old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        fs::rename(beside(&self.path, PART), &self.path)?;
        sync(&self.path)?;
        Ok(aside)
    }
}

impl Drop for NewKey {
    fn drop(&mut self) {
        // It is removed before the next key is made in any case.
        let _ = remove(&beside(&self.path, PART));
    }
}

fn unusable(path: &Path, error: &io::Error) -> String {
    format!("the key {} cannot be used: {error}", path.display())
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    format!("the key {} cannot be written: {error}", path.display())
}

/// The key of a file that only its owner can read.
pub(super) fn read(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other("others can read it; run chmod 600 on it"));
    }
    let text = Zeroizing::new(fs::read_to_string(path)?);
    let mut key = Zeroizing::new([0; 32]);
    if !room::hex::read(text.trim().as_bytes(), &mut *key) {
        return Err(io::Error::other("it is not 64 hex digits"));
    }
    Ok(key)
}

fn draw() -> io::Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    rand::rngs::OsRng
        .try_fill_bytes(&mut *key)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(key)
}

/// Writes the key beside its file, as far as the disk.
fn write(path: &Path, key: &[u8; 32]) -> io::Result<()> {
    fs::create_dir_all(folder(path))?;
    let begun = beside(path, PART);
    // One that a killed run has left behind: its node, if any has it, is erased before it is
    // provisioned again.
    remove(&begun)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&begun)?;
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key {
        // Writing to a String cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut *text, format_args!("{byte:02x}"));
    }
    text.push('\n');
    file.write_all(text.as_bytes())?;
    // Run as root, the key belongs to whom the folder belongs: the user of the role core.
    let owner = fs::metadata(folder(path))?;
    if rustix::process::geteuid().is_root() {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.sync_all()
}

/// Writes a file that core is to read: whole under its name or not at all, and, run as root, of
/// the owner of its folder.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let above = folder.parent().unwrap_or(Path::new("/"));
    let is_new = !folder.exists();
    fs::create_dir_all(folder)?;
    let is_root = rustix::process::geteuid().is_root();
    if is_new && is_root {
        let owner = fs::metadata(above)?;
        chown(folder, Some(owner.uid()), Some(owner.gid()))?;
    }
    let begun = beside(path, PART);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(&begun)?;
    file.write_all(bytes)?;
    if is_root {
        let owner = fs::metadata(folder)?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.sync_all()?;
    fs::rename(&begun, path)?;
    File::open(folder)?.sync_all()
}

/// Moves the key of an erased node aside; where it is now, or nothing when there was none.
pub(super) fn set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    let old = beside(path, OLD);
    match fs::set_permissions(path, fs::Permissions::from_mode(0o600)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    }
    fs::rename(path, &old)?;
    sync(path)?;
    Ok(Some(old))
}

/// A name in the folder is as durable as the folder.
fn sync(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    }
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

const PART: &str = ".part";
const OLD: &str = ".old";

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_one_user_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/node-1.key");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(beside(&path, PART), "what a killed run left").unwrap();
        let made = read_or_make(&path).unwrap();
        let again = read_or_make(&path).unwrap();
        assert_eq!(*made, *again);
        assert_ne!(*made, [0; 32]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(!beside(&path, PART).exists());
        let other = read_or_make(&folder.path().join("other.key")).unwrap();
        assert_ne!(*made, *other);
    }

    #[test]
    fn a_new_key_takes_the_place_of_the_old_one_only_when_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/node-1.key");
        let old = beside(&path, OLD);
        drop(NewKey::make(&path).unwrap());
        assert!(!path.exists() && !beside(&path, PART).exists());

        let first = NewKey::make(&path).unwrap();
        let first_key = first.key.clone();
        assert!(!path.exists());
        assert_eq!(first.keep().unwrap(), None);
        assert_eq!(*read(&path).unwrap(), *first_key);

        drop(NewKey::make(&path).unwrap());
        assert_eq!(
            *read(&path).unwrap(),
            *first_key,
            "nobody has taken the other one"
        );
        let mut before = first_key;
        for _ in 0..2 {
            let next = NewKey::make(&path).unwrap();
            let key = next.key.clone();
            assert_ne!(*key, *before);
            assert_eq!(next.keep().unwrap(), Some(old.clone()));
            assert_eq!((*read(&path).unwrap(), *read(&old).unwrap()), (*key, *before));
            for file in [&path, &old] {
                assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
            }
            assert!(!beside(&path, PART).exists());
            before = key;
        }
    }

    #[test]
    fn the_key_of_an_erased_node_is_kept_aside_for_one_user_and_the_next_one_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        assert_eq!(set_aside(&path).unwrap(), None);
        let first = read_or_make(&path).unwrap();
        let old = set_aside(&path).unwrap().unwrap();
        assert!(!path.exists());
        assert_eq!(old, folder.path().join("node.key.old"));
        assert_eq!(fs::metadata(&old).unwrap().mode() & 0o777, 0o600);
        assert_eq!(*read(&old).unwrap(), *first);
        let second = read_or_make(&path).unwrap();
        assert_ne!(*first, *second);
    }

    #[test]
    fn a_file_for_core_appears_whole_under_its_name_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("firmware/1.ygimg");
        put(&path, b"old").unwrap();
        let reader = File::open(&path).unwrap();
        fs::write(beside(&path, PART), "what a killed run left behind, longer").unwrap();
        put(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!beside(&path, PART).exists());
        let old = io::read_to_string(reader).unwrap();
        assert_eq!(old, "old", "who reads it reads one or the other");
        let above = fs::metadata(folder.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), above.uid());
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().uid(), above.uid());
    }

    #[test]
    fn what_is_no_key_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        for (text, mode, word) in [
            ("abc", 0o600, "64 hex digits"),
            (&"+f".repeat(32), 0o600, "64 hex digits"),
            (&"ab".repeat(32), 0o640, "chmod 600"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let why = read_or_make(&path).unwrap_err();
            assert!(why.contains(word), "{why}");
            let why = NewKey::make(&path).map(drop).unwrap_err();
            assert!(why.contains(word), "{why}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}

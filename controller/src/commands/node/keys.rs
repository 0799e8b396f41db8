//! Key files: 32 random bytes as 64 hex digits, readable by one user, made once.
//!
//! A file appears under its name whole or not at all, and never in place of another: a key that
//! was lost here would lock out a node in a ceiling.

use rand::TryRngCore as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A key, and whether it was made just now.
pub(super) struct KeyFile {
    pub(super) key: Zeroizing<[u8; 32]>,
    pub(super) is_new: bool,
}

/// Reads the key of a file, or makes both.
pub(super) fn read_or_make(path: &Path) -> Result<KeyFile, String> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|error| format!("the key {} cannot be written: {error}", path.display()))
        }
        Ok(key) => Ok(KeyFile { key, is_new: false }),
        Err(error) => Err(format!("the key {} cannot be used: {error}", path.display())),
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
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

fn make(path: &Path) -> io::Result<KeyFile> {
    let mut key = Zeroizing::new([0; 32]);
    rand::rngs::OsRng
        .try_fill_bytes(&mut *key)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let begun = part(path);
    // One that a killed run has left behind holds nobody's key.
    match fs::remove_file(&begun) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&begun)?;
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key.iter() {
        // Writing to a String cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut *text, format_args!("{byte:02x}"));
    }
    text.push('\n');
    file.write_all(text.as_bytes())?;
    // Run as root, the key belongs to whom the folder belongs: the user of the role core.
    let owner = fs::metadata(folder)?;
    if rustix::process::geteuid().is_root() {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.sync_all()?;
    // A link, unlike a renaming, never takes the place of another file.
    let linked = fs::hard_link(&begun, path);
    fs::remove_file(&begun)?;
    linked?;
    File::open(folder)?.sync_all()?;
    Ok(KeyFile { key, is_new: true })
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
    let begun = part(path);
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

/// Moves the key of an erased node aside, so that the next provisioning makes another; where it
/// is now, or nothing when there was none.
pub(super) fn set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    let old = beside(path, ".old");
    match fs::set_permissions(path, fs::Permissions::from_mode(0o600)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    }
    fs::rename(path, &old)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    Ok(Some(old))
}

fn part(path: &Path) -> PathBuf {
    beside(path, ".part")
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
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
        fs::write(part(&path), "what a killed run left").unwrap();
        let made = read_or_make(&path).unwrap();
        let again = read_or_make(&path).unwrap();
        assert!(made.is_new && !again.is_new);
        assert_eq!(*made.key, *again.key);
        assert_ne!(*made.key, [0; 32]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(!part(&path).exists());
        let other = read_or_make(&folder.path().join("other.key")).unwrap();
        assert_ne!(*made.key, *other.key);
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
        assert_eq!(*read(&old).unwrap(), *first.key);
        let second = read_or_make(&path).unwrap();
        assert!(second.is_new);
        assert_ne!(*first.key, *second.key);
    }

    #[test]
    fn a_file_for_core_appears_whole_under_its_name_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("firmware/1.ygimg");
        put(&path, b"old").unwrap();
        let reader = File::open(&path).unwrap();
        fs::write(part(&path), "what a killed run left behind, longer").unwrap();
        put(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!part(&path).exists());
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
            let why = read_or_make(&path).map(|_| ()).unwrap_err();
            assert!(why.contains(word), "{why}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}

//! The vault: values that must be able to disappear, each under a key string.
//!
//! Openings of the entry log (salt and value of a personal field) and names of persons stand here and
//! nowhere else, so that erasing them here erases them. Values are encrypted with AES-256-GCM under a
//! key that is made at the first start and stands beside the file, readable by its owner alone
//! (`vault.key`, 0600); the key string is authenticated with the value, so that a row cannot be
//! put under another key. What was erased is overwritten in the file (`secure_delete`) and cut out
//! of its write-ahead log at once.
//!
//! It protects against a copied database, a backup, a disk that leaves the house without the key
//! file. It does not protect against who reads both files. A copy that was made before the erasure
//! keeps what it has.
//!
//! All calls block on the disk: they belong into a thread of their own, never into the loop.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Length of a nonce, in front of every ciphertext. Drawn at random: safe for 2^32 values a key
/// (NIST SP 800-38D section 8.3); a site writes some 10^5 a year.
const NONCE: usize = 12;
/// Length of the key.
const KEY: usize = 32;
/// Longest key string in bytes.
pub const MAX_KEY: usize = 256;
/// Longest value in bytes.
pub const MAX_VALUE: usize = 64 << 10;
/// Longest wait for a lock that a backup holds.
const BUSY: Duration = Duration::from_millis(500);
/// Schema of the file.
const SCHEMA: i32 = 1;

/// What went wrong in the vault.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key file.
    #[error("{what} {path}")]
    Key {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The key file is not what it should be.
    #[error("{0} can be read by others or is not 64 hex digits; restore it from the backup, mode 0600")]
    BadKey(PathBuf),
    /// There are values and no key.
    #[error("{0} is missing, and there are values that only it opens; restore it from the backup")]
    NoKey(PathBuf),
    /// The database.
    #[error("{what} {path}")]
    Store {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A later release wrote it.
    #[error("{0} is of a later release; install that")]
    Newer(PathBuf),
    /// Key string or value beyond the limits.
    #[error("a value under {0:?} is too long for the vault")]
    TooLong(String),
    /// The value is not what was put there, or the key file is another one.
    #[error("the value under {0:?} does not open with this key")]
    Damaged(String),
}

/// A key with its value.
pub type Opened = (String, Zeroizing<Vec<u8>>);

/// The vault; one writer.
pub struct Vault {
    connection: Connection,
    cipher: Aes256Gcm,
    path: PathBuf,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// Opens `<dir>/<name>.db`, and makes it and `<dir>/vault.key` when they are not there. Vaults of
    /// one folder share the key.
    ///
    /// # Errors
    /// [`VaultError`]; [`VaultError::NoKey`] rather than a new key when there are values already.
    pub fn open(dir: &Path, name: &str) -> Result<Self, VaultError> {
        let path = dir.join(format!("{name}.db"));
        let connection = open(&path)?;
        let has_values = connection
            .query_row("SELECT EXISTS (SELECT 1 FROM kept)", [], |row| {
                row.get::<_, bool>(0)
            })
            .map_err(|source| failed("reading", &path, source))?;
        let key = key_of(dir, has_values)?;
        let cipher = Aes256Gcm::new_from_slice(&key[..]).expect("the key has the cipher's length");
        Ok(Self {
            connection,
            cipher,
            path,
        })
    }

    /// Puts a value under a key; what stood there is overwritten. On disk when this returns.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn put(&mut self, key: &str, value: &[u8]) -> Result<(), VaultError> {
        self.put_all([(key, value)])
    }

    /// Puts many values with one sync: all of them or none.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn put_all<'a>(
        &mut self,
        values: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), VaultError> {
        let Self {
            connection,
            cipher,
            path,
        } = self;
        let wrap = |source| failed("writing", path, source);
        let transaction = connection.transaction().map_err(wrap)?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT OR REPLACE INTO kept (key, value) VALUES (?1, ?2)")
                .map_err(wrap)?;
            for (key, value) in values {
                if key.len() > MAX_KEY || value.len() > MAX_VALUE {
                    return Err(VaultError::TooLong(key.chars().take(MAX_KEY).collect()));
                }
                insert
                    .execute(params![key, sealed(cipher, key, value)])
                    .map_err(wrap)?;
            }
        }
        transaction.commit().map_err(wrap)
    }

    /// The value under a key, if there is one.
    ///
    /// # Errors
    /// [`VaultError`]; [`VaultError::Damaged`] for a value that was changed or moved.
    pub fn get(&self, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let kept: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT value FROM kept WHERE key = ?1")
            .and_then(|mut select| select.query_row([key], |row| row.get(0)).optional())
            .map_err(|source| failed("reading", &self.path, source))?;
        kept.map(|kept| opened(&self.cipher, key, &kept)).transpose()
    }

    /// Every value whose key begins with `prefix`, by key, at most `most`.
    ///
    /// # Errors
    /// As [`Vault::get`].
    pub fn get_all(&self, prefix: &str, most: usize) -> Result<Vec<Opened>, VaultError> {
        let wrap = |source| failed("reading", &self.path, source);
        let mut select = self
            .connection
            .prepare_cached("SELECT key, value FROM kept WHERE key >= ?1 AND key < ?1 || char(1114111) ORDER BY key LIMIT ?2")
            .map_err(wrap)?;
        let mut rows = select
            .query(params![prefix, i64::try_from(most).unwrap_or(i64::MAX)])
            .map_err(wrap)?;
        let mut values = Vec::new();
        while let Some(row) = rows.next().map_err(wrap)? {
            let (key, kept): (String, Vec<u8>) = (row.get(0).map_err(wrap)?, row.get(1).map_err(wrap)?);
            let value = opened(&self.cipher, &key, &kept)?;
            values.push((key, value));
        }
        Ok(values)
    }

    /// The keys from `from` on, and below `to`, in order.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn keys(&self, from: &str, to: &str) -> Result<Vec<String>, VaultError> {
        let wrap = |source| failed("reading", &self.path, source);
        self.connection
            .prepare_cached("SELECT key FROM kept WHERE key >= ?1 AND key < ?2 ORDER BY key")
            .and_then(|mut select| select.query_map([from, to], |row| row.get(0))?.collect())
            .map_err(wrap)
    }

    /// Erases the value under a key; true when there was one. Gone from the file when this returns.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn erase(&mut self, key: &str) -> Result<bool, VaultError> {
        Ok(self.erase_all([key])? > 0)
    }

    /// Erases many values with one sync, all or none; says how many there were.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn erase_all<'a>(&mut self, keys: impl IntoIterator<Item = &'a str>) -> Result<usize, VaultError> {
        let Self { connection, path, .. } = self;
        let wrap = |source| failed("erasing in", path, source);
        let transaction = connection.transaction().map_err(wrap)?;
        let mut erased = 0;
        {
            let mut delete = transaction
                .prepare_cached("DELETE FROM kept WHERE key = ?1")
                .map_err(wrap)?;
            for key in keys {
                erased += delete.execute([key]).map_err(wrap)?;
            }
        }
        transaction.commit().map_err(wrap)?;
        // The pages with the old content are in the write-ahead log until it is cut.
        connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(wrap)?;
        Ok(erased)
    }

    /// Values kept.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn count(&self) -> Result<u64, VaultError> {
        self.connection
            .query_row("SELECT COUNT(*) FROM kept", [], |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
            .map_err(|source| failed("reading", &self.path, source))
    }
}

fn failed(what: &'static str, path: &Path, source: rusqlite::Error) -> VaultError {
    VaultError::Store {
        what,
        path: path.to_owned(),
        source,
    }
}

fn open(path: &Path) -> Result<Connection, VaultError> {
    let wrap = |source| failed("opening", path, source);
    let connection = Connection::open(path).map_err(wrap)?;
    connection.busy_timeout(BUSY).map_err(wrap)?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON")
        .map_err(wrap)?;
    let found: i32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(wrap)?;
    if found > SCHEMA {
        return Err(VaultError::Newer(path.to_owned()));
    }
    if found < SCHEMA {
        connection
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
                 PRAGMA user_version = 1",
            )
            .map_err(wrap)?;
    }
    Ok(connection)
}

/// Nonce, then ciphertext with its tag.
fn sealed(cipher: &Aes256Gcm, key: &str, value: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE] = rand::random();
    let payload = Payload {
        msg: value,
        aad: key.as_bytes(),
    };
    let text = cipher
        .encrypt(&nonce.into(), payload)
        .expect("a value within its limit is far below the cipher's");
    [&nonce[..], &text].concat()
}

fn opened(cipher: &Aes256Gcm, key: &str, kept: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let damaged = || VaultError::Damaged(key.to_owned());
    let (nonce, msg) = kept.split_first_chunk::<NONCE>().ok_or_else(damaged)?;
    let payload = Payload {
        msg,
        aad: key.as_bytes(),
    };
    cipher
        .decrypt(&(*nonce).into(), payload)
        .map(Zeroizing::new)
        .map_err(|_| damaged())
}

fn key_of(dir: &Path, has_values: bool) -> Result<Zeroizing<[u8; KEY]>, VaultError> {
    let path = dir.join("vault.key");
    match read_secret(&path) {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err(VaultError::BadKey(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if has_values {
                return Err(VaultError::NoKey(path));
            }
            let key = Zeroizing::new(rand::random::<[u8; KEY]>());
            write_secret(&path, &key).map_err(|source| VaultError::Key {
                what: "making",
                path,
                source,
            })?;
            Ok(key)
        }
        Err(source) => Err(VaultError::Key {
            what: "reading",
            path,
            source,
        }),
    }
}

/// Reads a secret of 64 hex digits that only its owner can read; `None` when it is not that.
pub fn read_secret(path: &Path) -> std::io::Result<Option<Zeroizing<[u8; KEY]>>> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    let text = Zeroizing::new(std::fs::read(path)?);
    let mut key = Zeroizing::new([0; KEY]);
    let is_good = mode & 0o077 == 0 && room::hex::read(text.trim_ascii(), &mut key[..]);
    Ok(is_good.then_some(key))
}

/// Writes a secret as 64 hex digits, readable by its owner alone: whole and on disk, or not at all.
pub fn write_secret(path: &Path, key: &[u8; KEY]) -> std::io::Result<()> {
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY + 1));
    for byte in key {
        use std::fmt::Write as _;
        write!(text, "{byte:02x}").expect("a string takes it");
    }
    text.push('\n');
    replace(path, text.as_bytes())
}

/// Replaces a small file: written beside it, synced, renamed, and the folder synced. Readable by its
/// owner alone.
pub fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    if let Some(dir) = path.parent() {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes of the database and what SQLite keeps beside it.
    fn bytes_on_disk(dir: &Path) -> Vec<u8> {
        ["openings.db", "openings.db-wal"]
            .iter()
            .filter_map(|name| std::fs::read(dir.join(name)).ok())
            .flatten()
            .collect()
    }

    fn raw(dir: &Path, sql: &str) {
        Connection::open(dir.join("openings.db"))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    #[test]
    fn what_was_put_is_there_after_a_restart_and_stands_nowhere_in_clear() {
        let dir = tempfile::tempdir().unwrap();
        let name = "山田 太郎".as_bytes();
        let mut vault = Vault::open(dir.path(), "openings").unwrap();
        vault.put("person/7/name", name).unwrap();
        vault
            .put_all([("a/1", &b"x"[..]), ("a/2", b"y"), ("b/1", b"z")])
            .unwrap();
        drop(vault);
        let vault = Vault::open(dir.path(), "openings").unwrap();
        assert_eq!(vault.get("person/7/name").unwrap().unwrap().as_slice(), name);
        assert_eq!(vault.get("person/8/name").unwrap(), None);
        let under_a: Vec<_> = vault.get_all("a/", 10).unwrap();
        assert_eq!(under_a.len(), 2);
        assert_eq!(
            (under_a[1].0.as_str(), under_a[1].1.as_slice()),
            ("a/2", &b"y"[..])
        );
        assert!(!bytes_on_disk(dir.path()).windows(name.len()).any(|at| at == name));
        let mode = std::fs::metadata(dir.path().join("vault.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_was_erased_is_not_even_there_as_ciphertext() {
        let dir = tempfile::tempdir().unwrap();
        let mut vault = Vault::open(dir.path(), "openings").unwrap();
        vault.put("x", &[7; 40]).unwrap();
        vault.put("y", &[8; 40]).unwrap();
        let kept: Vec<u8> = vault
            .connection
            .query_row("SELECT value FROM kept WHERE key = 'x'", [], |row| row.get(0))
            .unwrap();
        assert!(bytes_on_disk(dir.path()).windows(kept.len()).any(|at| at == kept));
        assert!(vault.erase("x").unwrap());
        assert!(!vault.erase("x").unwrap());
        assert!(!bytes_on_disk(dir.path()).windows(kept.len()).any(|at| at == kept));
        assert_eq!(vault.get("x").unwrap(), None);
        assert_eq!(vault.get("y").unwrap().unwrap().as_slice(), [8; 40]);
        assert_eq!(vault.count().unwrap(), 1);
    }

    #[test]
    fn a_value_that_was_changed_or_moved_does_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let mut vault = Vault::open(dir.path(), "openings").unwrap();
        vault.put_all([("x", &b"one"[..]), ("y", b"two")]).unwrap();
        raw(
            dir.path(),
            "UPDATE kept SET value = (SELECT value FROM kept WHERE key = 'x') WHERE key = 'y'",
        );
        assert!(matches!(vault.get("y"), Err(VaultError::Damaged(_))));
        raw(dir.path(), "UPDATE kept SET value = x'0102' WHERE key = 'y'");
        assert!(matches!(vault.get("y"), Err(VaultError::Damaged(_))));
        assert!(vault.get("x").is_ok());
    }

    #[test]
    fn a_lost_key_is_said_and_never_replaced_by_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("vault.key");
        Vault::open(dir.path(), "openings")
            .unwrap()
            .put("x", b"one")
            .unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            Vault::open(dir.path(), "openings"),
            Err(VaultError::BadKey(_))
        ));
        std::fs::remove_file(&key).unwrap();
        assert!(matches!(
            Vault::open(dir.path(), "openings"),
            Err(VaultError::NoKey(_))
        ));
        assert!(!key.exists());
    }

    #[test]
    fn what_is_too_long_is_refused_and_nothing_of_its_batch_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut vault = Vault::open(dir.path(), "openings").unwrap();
        let long = vec![0; MAX_VALUE + 1];
        assert!(matches!(
            vault.put_all([("x", &b"one"[..]), ("y", &long)]),
            Err(VaultError::TooLong(_))
        ));
        assert_eq!(vault.count().unwrap(), 0);
    }
}

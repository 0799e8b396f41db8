//! From passwords to keys: RFC 3414 A.2 (password to key, localization), RFC 7860 (SHA-2), and
//! the two ways of making a short key longer for AES-192 and AES-256.
//!
//! ```text
//! password --1 MiB hashed--> master key (Ku) --engine id--> localized key (Kul) --> extended
//!            once a process                    two blocks
//! ```
//!
//! The first step costs milliseconds, on purpose. It depends on the protocol and the password
//! only, so a room with one user computes it once however many devices it has; it runs on the
//! blocking pool, a few at a time, so that a start delays no poll. Keys are wiped when dropped and
//! never printed.

use super::{AuthProtocol, PrivProtocol};
use md5::Md5;
use room::site::Secret;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OnceCell, Semaphore};
use zeroize::Zeroizing;

/// Bytes of repeated password that are hashed, RFC 3414 A.2.1.
const HASHED: usize = 1_048_576;
/// The repeated password is fed in pieces of at least so many bytes.
const PIECE: usize = 4096;
/// Master keys kept; a site has a handful of passwords.
const MASTERS_MAX: usize = 4096;
/// Master keys computed at the same time.
const AT_ONCE: usize = 2;

/// A key; wiped when dropped.
pub(super) type Key = Zeroizing<Vec<u8>>;

/// Calls a generic function with the hash of a protocol.
macro_rules! with_hash {
    ($protocol:expr, $function:ident($($argument:expr),*)) => {
        match $protocol {
            AuthProtocol::Md5 => $function::<Md5>($($argument),*),
            AuthProtocol::Sha1 => $function::<Sha1>($($argument),*),
            AuthProtocol::Sha224 => $function::<Sha224>($($argument),*),
            AuthProtocol::Sha256 => $function::<Sha256>($($argument),*),
            AuthProtocol::Sha384 => $function::<Sha384>($($argument),*),
            AuthProtocol::Sha512 => $function::<Sha512>($($argument),*),
        }
    };
}

/// Ku: the password, without end repeated, hashed. An empty password gives a key nobody else has
/// use for; sites with one are refused before.
fn master(protocol: AuthProtocol, password: &[u8]) -> Key {
    fn hash<D: Digest>(password: &[u8]) -> Key {
        let password = if password.is_empty() { &[0] } else { password };
        let piece = Zeroizing::new(password.repeat(PIECE.div_ceil(password.len())));
        let mut hasher = D::new();
        for _ in 0..HASHED / piece.len() {
            hasher.update(piece.as_slice());
        }
        hasher.update(&piece[..HASHED % piece.len()]);
        Zeroizing::new(hasher.finalize().to_vec())
    }
    with_hash!(protocol, hash(password))
}

fn hash_of(protocol: AuthProtocol, parts: &[&[u8]]) -> Key {
    fn hash<D: Digest>(parts: &[&[u8]]) -> Key {
        let mut hasher = D::new();
        for part in parts {
            hasher.update(part);
        }
        Zeroizing::new(hasher.finalize().to_vec())
    }
    with_hash!(protocol, hash(parts))
}

/// Kul: the key of one engine.
pub(super) fn localize(protocol: AuthProtocol, master: &Key, engine: &[u8]) -> Key {
    hash_of(protocol, &[master, engine, master])
}

/// The privacy key: localized by the hash of the authentication, made longer where the cipher
/// needs more than the hash has.
pub(super) fn privacy(auth: AuthProtocol, cipher: PrivProtocol, master_key: &Key, engine: &[u8]) -> Key {
    let mut key = localize(auth, master_key, engine);
    let (wanted, is_cisco) = match cipher {
        PrivProtocol::Des | PrivProtocol::Aes128 => (16, false),
        PrivProtocol::Aes192 => (24, false),
        PrivProtocol::Aes256 => (32, false),
        PrivProtocol::Aes192Cisco => (24, true),
        PrivProtocol::Aes256Cisco => (32, true),
    };
    let mut last = key.clone();
    while key.len() < wanted {
        // draft-reeder-snmpv3-usm-3desede 2.1 takes the last piece for a new password;
        // draft-blumenthal-aes-usm 3.1.2.1 hashes all that there is so far.
        last = if is_cisco {
            localize(auth, &master(auth, &last), engine)
        } else {
            hash_of(auth, &[&key])
        };
        key.extend_from_slice(&last);
    }
    key.truncate(wanted);
    key
}

/// Master keys computed so far.
#[derive(Debug)]
pub(crate) struct KeyCache {
    /// By digest: the passwords themselves are not kept a second time.
    masters: Mutex<HashMap<[u8; 32], Arc<OnceCell<Key>>>>,
    /// Keeps the digests of one process from being of use to another.
    salt: [u8; 32],
    permits: Arc<Semaphore>,
}

impl Default for KeyCache {
    fn default() -> Self {
        Self {
            masters: Mutex::default(),
            salt: rand::random(),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl KeyCache {
    /// The master key, computed at most once for each protocol and password; `None` when the
    /// runtime ends.
    pub(super) async fn master(&self, protocol: AuthProtocol, password: &Secret) -> Option<Key> {
        let name = Sha256::new()
            .chain_update(self.salt)
            .chain_update([protocol as u8])
            .chain_update(&password.0);
        let name: [u8; 32] = name.finalize().into();
        let cell = {
            let mut masters = self.masters.lock().unwrap_or_else(PoisonError::into_inner);
            if masters.len() >= MASTERS_MAX && !masters.contains_key(&name) {
                masters.clear();
            }
            Arc::clone(masters.entry(name).or_default())
        };
        let compute = async || {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let password = Zeroizing::new(password.0.clone().into_bytes());
            let work = move || {
                let _permit = permit;
                master(protocol, &password)
            };
            tokio::task::spawn_blocking(work).await
        };
        cell.get_or_try_init(compute).await.ok().cloned()
    }

    /// Master keys that were asked for.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.masters.lock().unwrap().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    const ENGINE: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

    #[test]
    fn keys_are_those_of_the_standards_examples() {
        // RFC 3414 A.3.1 and A.3.2.
        for (protocol, ku, kul) in [
            (
                AuthProtocol::Md5,
                "9faf3283884e92834ebc9847d8edd963",
                "526f5eed9fcce26f8964c2930787d82b",
            ),
            (
                AuthProtocol::Sha1,
                "9fb5cc0381497b3793528939ff788d5d79145211",
                "6695febc9288e36282235fc7151f128497b38f3f",
            ),
        ] {
            let key = master(protocol, b"maplesyrup");
            assert_eq!(hex(&key), ku);
            assert_eq!(hex(&localize(protocol, &key, &ENGINE)), kul);
        }
    }

    #[test]
    fn a_short_key_is_made_longer_and_a_long_one_is_cut() {
        let sha1 = master(AuthProtocol::Sha1, b"maplesyrup");
        let short = localize(AuthProtocol::Sha1, &sha1, &ENGINE);
        let of = |cipher| privacy(AuthProtocol::Sha1, cipher, &sha1, &ENGINE);
        assert_eq!(of(PrivProtocol::Aes128).as_slice(), &short[..16]);
        for (cipher, length) in [
            (PrivProtocol::Aes192, 24),
            (PrivProtocol::Aes192Cisco, 24),
            (PrivProtocol::Aes256, 32),
            (PrivProtocol::Aes256Cisco, 32),
        ] {
            let key = of(cipher);
            assert_eq!(key.len(), length);
            assert_eq!(&key[..20], short.as_slice());
        }
        assert_ne!(of(PrivProtocol::Aes256), of(PrivProtocol::Aes256Cisco));
        let long = master(AuthProtocol::Sha512, b"maplesyrup");
        let key = privacy(AuthProtocol::Sha512, PrivProtocol::Aes256, &long, &ENGINE);
        assert_eq!(
            key.as_slice(),
            &localize(AuthProtocol::Sha512, &long, &ENGINE)[..32]
        );
    }

    #[tokio::test]
    async fn one_password_is_hashed_once_for_any_number_of_devices() {
        let cache = KeyCache::default();
        let password = Secret("maplesyrup".to_owned());
        let keys = tokio::join!(
            cache.master(AuthProtocol::Md5, &password),
            cache.master(AuthProtocol::Md5, &password),
            cache.master(AuthProtocol::Sha1, &password),
        );
        assert!(keys.0.is_some());
        assert_eq!(keys.0, keys.1);
        assert_ne!(keys.0, keys.2);
        assert_eq!(cache.len(), 2);
    }
}

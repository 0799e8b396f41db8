//! Codes and ciphers of the User-based Security Model with their state prepared, so that a message
//! costs only its own blocks: RFC 3414 6 to 8, RFC 3826 (AES), RFC 7860 (SHA-2).
//!
//! Codes are compared in constant time. Ciphers do not depend on secrets in their timing where
//! the processor has AES instructions; DES and the portable AES of `aes` (bit-sliced) neither
//! look anything up in tables by secret. MD5 and DES are here because old cards have nothing
//! else: a person with the recording of one message can search a short password.

use super::key::{Key, KeyCache, localize, privacy};
use super::{AuthProtocol, PrivProtocol, Usm};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use des::Des;
use hmac::{Hmac, Mac as _};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

/// Blocks of DES.
const DES_BLOCK: usize = 8;
/// Bytes of `msgPrivacyParameters` in every cipher here.
pub(super) const SALT: usize = 8;

/// A keyed code.
#[derive(Clone)]
pub(in crate::snmp) enum Code {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha224(Hmac<Sha224>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

/// The longest code on the wire, that of SHA-512.
pub(super) const CODE_MAX: usize = 48;

macro_rules! each_code {
    ($code:expr, $hmac:ident => $result:expr) => {
        match $code {
            Code::Md5($hmac) => $result,
            Code::Sha1($hmac) => $result,
            Code::Sha224($hmac) => $result,
            Code::Sha256($hmac) => $result,
            Code::Sha384($hmac) => $result,
            Code::Sha512($hmac) => $result,
        }
    };
}

impl Code {
    fn new(protocol: AuthProtocol, key: &Key) -> Self {
        fn hmac<H: KeyInit>(key: &Key) -> H {
            H::new_from_slice(key).expect("HMAC takes a key of any length")
        }
        match protocol {
            AuthProtocol::Md5 => Self::Md5(hmac(key)),
            AuthProtocol::Sha1 => Self::Sha1(hmac(key)),
            AuthProtocol::Sha224 => Self::Sha224(hmac(key)),
            AuthProtocol::Sha256 => Self::Sha256(hmac(key)),
            AuthProtocol::Sha384 => Self::Sha384(hmac(key)),
            AuthProtocol::Sha512 => Self::Sha512(hmac(key)),
        }
    }

    /// Bytes on the wire.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Md5(_) | Self::Sha1(_) => 12,
            Self::Sha224(_) => 16,
            Self::Sha256(_) => 24,
            Self::Sha384(_) => 32,
            Self::Sha512(_) => CODE_MAX,
        }
    }

    /// The code of a message whose own place in it, `at`, counts as zeros.
    pub(super) fn of(&self, message: &[u8], at: usize) -> [u8; CODE_MAX] {
        const ZEROS: [u8; CODE_MAX] = [0; CODE_MAX];
        let length = self.len();
        let mut code = [0; CODE_MAX];
        each_code!(self, hmac => {
            let mut hmac = hmac.clone();
            hmac.update(&message[..at]);
            hmac.update(&ZEROS[..length]);
            hmac.update(&message[at + length..]);
            code[..length].copy_from_slice(&hmac.finalize().into_bytes()[..length]);
        });
        code
    }

    /// True when the message carries, at `at`, the code that it should.
    pub(super) fn is_right(&self, message: &[u8], at: usize) -> bool {
        let length = self.len();
        let Some(carried) = message.get(at..at.saturating_add(length)) else {
            return false;
        };
        self.of(message, at)[..length].ct_eq(carried).into()
    }
}

/// A keyed cipher.
pub(in crate::snmp) enum Cipher {
    Des { cipher: Des, pre_iv: [u8; DES_BLOCK] },
    Aes128(Aes128Enc),
    Aes192(Aes192Enc),
    Aes256(Aes256Enc),
}

impl Cipher {
    fn new(protocol: PrivProtocol, key: &Key) -> Self {
        fn keyed<C: KeyInit>(key: &[u8]) -> C {
            C::new_from_slice(key).expect("`privacy` makes keys as long as their cipher wants")
        }
        match protocol {
            PrivProtocol::Des => Self::Des {
                cipher: keyed(&key[..DES_BLOCK]),
                pre_iv: key[DES_BLOCK..2 * DES_BLOCK]
                    .try_into()
                    .expect("eight bytes were cut"),
            },
            PrivProtocol::Aes128 => Self::Aes128(keyed(key)),
            PrivProtocol::Aes192 | PrivProtocol::Aes192Cisco => Self::Aes192(keyed(key)),
            PrivProtocol::Aes256 | PrivProtocol::Aes256Cisco => Self::Aes256(keyed(key)),
        }
    }

    /// Bytes that so many bytes take when encrypted.
    pub(super) const fn padded(&self, length: usize) -> usize {
        match self {
            Self::Des { .. } => length.div_ceil(DES_BLOCK) * DES_BLOCK,
            Self::Aes128(_) | Self::Aes192(_) | Self::Aes256(_) => length,
        }
    }

    /// The salt of a message: unlike all others under this key.
    pub(super) fn salt(&self, boots: u32, number: u64) -> [u8; SALT] {
        match self {
            Self::Des { .. } => {
                let mut salt = [0; SALT];
                salt[..4].copy_from_slice(&boots.to_be_bytes());
                salt[4..].copy_from_slice(&number.to_be_bytes()[4..]);
                salt
            }
            Self::Aes128(_) | Self::Aes192(_) | Self::Aes256(_) => number.to_be_bytes(),
        }
    }

    /// Encrypts in place. The data is as long as [`Self::padded`] says.
    pub(super) fn encrypt(&self, data: &mut [u8], iv: Iv) {
        let aes = iv.aes();
        match self {
            Self::Des { cipher, pre_iv } => {
                let iv = des_iv(pre_iv, iv.salt);
                let (blocks, _) = data.as_chunks_mut::<DES_BLOCK>();
                let mut mode = cbc::Encryptor::inner_iv_init(cipher, &iv.into());
                for block in blocks {
                    mode.encrypt_block(block.into());
                }
            }
            Self::Aes128(cipher) => cfb_mode::Encryptor::inner_iv_init(cipher, &aes.into()).encrypt(data),
            Self::Aes192(cipher) => cfb_mode::Encryptor::inner_iv_init(cipher, &aes.into()).encrypt(data),
            Self::Aes256(cipher) => cfb_mode::Encryptor::inner_iv_init(cipher, &aes.into()).encrypt(data),
        }
    }

    /// Decrypts in place; false when the data cannot be of this cipher.
    pub(super) fn decrypt(&self, data: &mut [u8], iv: Iv) -> bool {
        let aes = iv.aes();
        match self {
            Self::Des { cipher, pre_iv } => {
                let iv = des_iv(pre_iv, iv.salt);
                let (blocks, rest) = data.as_chunks_mut::<DES_BLOCK>();
                if !rest.is_empty() {
                    return false;
                }
                let mut mode = cbc::Decryptor::inner_iv_init(cipher, &iv.into());
                for block in blocks {
                    mode.decrypt_block(block.into());
                }
            }
            Self::Aes128(cipher) => cfb_mode::Decryptor::inner_iv_init(cipher, &aes.into()).decrypt(data),
            Self::Aes192(cipher) => cfb_mode::Decryptor::inner_iv_init(cipher, &aes.into()).decrypt(data),
            Self::Aes256(cipher) => cfb_mode::Decryptor::inner_iv_init(cipher, &aes.into()).decrypt(data),
        }
        true
    }
}

fn des_iv(pre_iv: &[u8; DES_BLOCK], salt: [u8; SALT]) -> [u8; DES_BLOCK] {
    std::array::from_fn(|index| pre_iv[index] ^ salt[index])
}

/// What makes two messages under one key differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Iv {
    pub(super) boots: u32,
    pub(super) time: u32,
    pub(super) salt: [u8; SALT],
}

impl Iv {
    /// RFC 3826 3.1.2.1.
    fn aes(self) -> [u8; 16] {
        let mut iv = [0; 16];
        iv[..4].copy_from_slice(&self.boots.to_be_bytes());
        iv[4..8].copy_from_slice(&self.time.to_be_bytes());
        iv[8..].copy_from_slice(&self.salt);
        iv
    }
}

/// Code and cipher of one user at one engine.
pub(in crate::snmp) struct Keys {
    pub(in crate::snmp) code: Option<Code>,
    pub(in crate::snmp) cipher: Option<Cipher>,
}

impl Keys {
    /// Derives them; from the second engine on without the costly step. `None` only when the
    /// runtime ends: there is no such thing as a user with some of its keys.
    pub(in crate::snmp) async fn derive(cache: &KeyCache, usm: &Usm, engine: &[u8]) -> Option<Self> {
        let Some((auth, password)) = &usm.auth else {
            return Some(Self {
                code: None,
                cipher: None,
            });
        };
        let master = cache.master(*auth, password).await?;
        let code = Code::new(*auth, &localize(*auth, &master, engine));
        let cipher = match &usm.privacy {
            None => None,
            Some((protocol, password)) => {
                let master = cache.master(*auth, password).await?;
                let (auth, protocol) = (*auth, *protocol);
                let engine = engine.to_vec();
                // Cisco's way takes the costly step again, for this engine alone.
                let key = match protocol {
                    PrivProtocol::Aes192Cisco | PrivProtocol::Aes256Cisco => {
                        let work = move || privacy(auth, protocol, &master, &engine);
                        tokio::task::spawn_blocking(work).await.ok()?
                    }
                    _ => privacy(auth, protocol, &master, &engine),
                };
                Some(Cipher::new(protocol, &key))
            }
        };
        Some(Self {
            code: Some(code),
            cipher,
        })
    }
}

impl Keys {
    /// For a Report, which is never encrypted.
    pub(in crate::snmp) fn without_cipher(&self) -> Self {
        Self {
            code: self.code.clone(),
            cipher: None,
        }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use room::site::Secret;

    pub(super) const ALL_AUTH: [AuthProtocol; 6] = [
        AuthProtocol::Md5,
        AuthProtocol::Sha1,
        AuthProtocol::Sha224,
        AuthProtocol::Sha256,
        AuthProtocol::Sha384,
        AuthProtocol::Sha512,
    ];
    const ALL_PRIVACY: [PrivProtocol; 6] = [
        PrivProtocol::Des,
        PrivProtocol::Aes128,
        PrivProtocol::Aes192,
        PrivProtocol::Aes256,
        PrivProtocol::Aes192Cisco,
        PrivProtocol::Aes256Cisco,
    ];

    fn keys(auth: AuthProtocol, privacy: PrivProtocol) -> Keys {
        let usm = Usm {
            user: "u".to_owned(),
            auth: Some((auth, Secret("maplesyrup".to_owned()))),
            privacy: Some((privacy, Secret("pancakes and butter".to_owned()))),
            context: String::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime
            .block_on(Keys::derive(&KeyCache::default(), &usm, b"engine"))
            .unwrap()
    }

    #[test]
    fn every_cipher_gives_back_what_it_was_given() {
        let iv = Iv {
            boots: 3,
            time: 77,
            salt: *b"saltsalt",
        };
        for privacy in ALL_PRIVACY {
            let cipher = keys(AuthProtocol::Sha1, privacy).cipher.unwrap();
            for length in [0, 1, 7, 8, 9, 15, 16, 17, 600] {
                let plain: Vec<u8> = (0_u8..=255).cycle().take(length).collect();
                let mut data = plain.clone();
                data.resize(cipher.padded(length), 0);
                cipher.encrypt(&mut data, iv);
                assert!(length < 8 || data[..length] != plain[..], "{privacy:?}");
                assert!(cipher.decrypt(&mut data, iv));
                assert_eq!(data[..length], plain[..], "{privacy:?} {length}");
            }
        }
        let cipher = keys(AuthProtocol::Md5, PrivProtocol::Des).cipher.unwrap();
        assert!(!cipher.decrypt(&mut [0; 9], iv));
    }

    #[test]
    fn salts_differ_and_des_carries_the_boots() {
        let des = keys(AuthProtocol::Md5, PrivProtocol::Des).cipher.unwrap();
        assert_eq!(des.salt(5, 6), [0, 0, 0, 5, 0, 0, 0, 6]);
        let aes = keys(AuthProtocol::Md5, PrivProtocol::Aes128).cipher.unwrap();
        assert_ne!(aes.salt(5, 6), aes.salt(5, 7));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_code_holds_for_its_message_only(
            message in proptest::collection::vec(any::<u8>(), 64..200),
            flip in any::<proptest::sample::Index>(),
        ) {
            for auth in ALL_AUTH {
                let code = Code::new(auth, &Key::new(b"key".to_vec()));
                let mut message = message.clone();
                let sum = code.of(&message, 8);
                message[8..8 + code.len()].copy_from_slice(&sum[..code.len()]);
                prop_assert!(code.is_right(&message, 8));
                let at = flip.index(message.len());
                message[at] ^= 1;
                prop_assert!(!code.is_right(&message, 8));
                prop_assert!(!code.is_right(&message, message.len() - 3));
                prop_assert!(!code.is_right(&message, usize::MAX));
            }
        }
    }
}

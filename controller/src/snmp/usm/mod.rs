//! The User-based Security Model of SNMPv3 (RFC 3414, RFC 3826, RFC 7860), as a manager and, for
//! informs, as the authoritative side.
//!
//! Why our own and not `snmp2`'s, which still reads our BER: its `Security` sets boots and time
//! from messages before it has checked their code, so one forged datagram ends a session; it
//! hashes the password anew for every engine, hides the keys, and so cannot answer an inform; it
//! compares codes in variable time; and it clears the code's place by writing through a shared
//! reference. The second opinion in tests is Debian's snmpd, in every pair of algorithms.
//!
//! - `key` from passwords to keys, `crypt` codes and ciphers, `message` the envelope,
//!   `peer` what is known of the other engine and its clock.
//!
//! Nothing here does I/O or reads a clock; costly derivation goes to the blocking pool.

pub(super) mod crypt;
mod key;
pub(super) mod message;
pub(super) mod peer;

pub(super) use crypt::Keys;
pub(crate) use key::KeyCache;

use super::ber;
use super::packet::encode_oid;
use room::profile::Oid;
use room::site::Secret;
use room::site::link::{self, AuthProtocol, PrivProtocol};
use snmp2::AsnReader;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Shortest password that RFC 3414 11.2 allows, in bytes.
pub const PASSWORD_MIN: usize = 8;

/// A user of an agent, with its passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usm {
    /// User name, at most 32 bytes.
    pub user: String,
    /// Authentication and its password.
    pub auth: Option<(AuthProtocol, Secret)>,
    /// Privacy and its password; nothing without authentication.
    pub privacy: Option<(PrivProtocol, Secret)>,
    /// Context name, usually empty.
    pub context: String,
}

/// Why a password cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NoPassword {
    /// The file cannot be read.
    #[error("read the password file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others than its owner may read the file.
    #[error("the password file {path} can be read by others; run chmod 600 on it")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// SNMPv3 does not allow so short a one.
    #[error("the password in {path} has less than {PASSWORD_MIN} characters, which SNMPv3 does not allow")]
    Short {
        /// The file.
        path: PathBuf,
    },
}

impl Usm {
    /// Reads the passwords of a user of the site.
    ///
    /// # Errors
    /// [`NoPassword`]
    pub fn read(user: &link::Usm) -> Result<Self, NoPassword> {
        let auth = user.auth.as_ref();
        let privacy = user.privacy.as_ref();
        Ok(Self {
            user: user.user.clone(),
            auth: auth
                .map(|(protocol, path)| Ok((*protocol, password(path)?)))
                .transpose()?,
            privacy: privacy
                .map(|(protocol, path)| Ok((*protocol, password(path)?)))
                .transpose()?,
            context: user.context.clone(),
        })
    }
}

/// The password in a file of its own; a line break at its end is not part of it.
fn password(path: &Path) -> Result<Secret, NoPassword> {
    let read = |source| NoPassword::Read {
        path: path.to_owned(),
        source,
    };
    let mode = std::fs::metadata(path).map_err(read)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(NoPassword::Open {
            path: path.to_owned(),
        });
    }
    let mut text = std::fs::read_to_string(path).map_err(read)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.len() < PASSWORD_MIN {
        return Err(NoPassword::Short {
            path: path.to_owned(),
        });
    }
    Ok(Secret(text))
}

/// A user at one agent, with what was learnt about that agent's engine. Clones of a
/// [`super::Target`] share it.
#[derive(Debug)]
pub struct User {
    pub(super) usm: Usm,
    pub(super) peer: peer::Peer,
}

impl User {
    /// Of an agent nothing is known about yet.
    #[must_use]
    pub fn new(usm: Usm) -> Self {
        Self {
            usm,
            peer: peer::Peer::default(),
        }
    }
}

impl PartialEq for User {
    fn eq(&self, other: &Self) -> bool {
        self.usm == other.usm
    }
}

impl Eq for User {}

/// What an agent says in a Report, RFC 3414 5 (`usmStats`) and RFC 3412 5 (`snmpMPDStats`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Report {
    /// `usmStatsUnsupportedSecLevels`
    #[error("the agent does not give this user this level of security: check `auth` and `privacy`")]
    UnsupportedLevel,
    /// `usmStatsNotInTimeWindows`
    #[error("the agent says that our time for it is wrong, although it was just set")]
    NotInTimeWindow,
    /// `usmStatsUnknownUserNames`
    #[error("the agent does not know this user: check `user`, and the users set up in the agent")]
    UnknownUser,
    /// `usmStatsUnknownEngineIDs`
    #[error("the agent changes its engine id while it is asked: do two agents share this address?")]
    UnknownEngine,
    /// `usmStatsWrongDigests`
    #[error("the agent finds our authentication wrong: check `auth` and its password")]
    WrongDigest,
    /// `usmStatsDecryptionErrors`
    #[error("the agent cannot decrypt: check `privacy` and its password")]
    Decryption,
    /// Any other.
    #[error("the agent reports an error that no standard names")]
    Other,
}

/// `usmStats`, 1.3.6.1.6.3.15.1.1, as encoded.
const USM_STATS: [u8; 9] = [0x2b, 6, 1, 6, 3, 15, 1, 1, 0];

impl Report {
    /// The PDU that says it.
    pub(super) fn pdu(self) -> Vec<u8> {
        let name: Oid = self.name().parse().expect("a constant in dotted form");
        let mut binding = Vec::new();
        ber::put(&mut binding, ber::OBJECT_IDENTIFIER, &encode_oid(&name));
        ber::put_integer(&mut binding, ber::COUNTER, 1);
        let mut list = Vec::new();
        ber::put(&mut list, ber::SEQUENCE, &binding);
        let mut content = Vec::new();
        for _ in 0..3 {
            ber::put_integer(&mut content, ber::INTEGER, 0);
        }
        ber::put(&mut content, ber::SEQUENCE, &list);
        let mut pdu = Vec::new();
        ber::put(&mut pdu, ber::pdu::REPORT, &content);
        pdu
    }

    /// The counter that names it.
    const fn name(self) -> &'static str {
        match self {
            Self::UnsupportedLevel => "1.3.6.1.6.3.15.1.1.1.0",
            Self::NotInTimeWindow => "1.3.6.1.6.3.15.1.1.2.0",
            Self::UnknownUser => "1.3.6.1.6.3.15.1.1.3.0",
            Self::UnknownEngine => "1.3.6.1.6.3.15.1.1.4.0",
            Self::WrongDigest => "1.3.6.1.6.3.15.1.1.5.0",
            Self::Decryption => "1.3.6.1.6.3.15.1.1.6.0",
            // snmpInASNParseErrs
            Self::Other => "1.3.6.1.2.1.11.6.0",
        }
    }

    /// What the first variable of a Report names.
    pub(super) fn of(bindings: &[u8]) -> Self {
        let name = || {
            let mut list = AsnReader::from_bytes(bindings);
            let mut first = AsnReader::from_bytes(list.read_raw(ber::SEQUENCE).ok()?);
            first.read_raw(ber::OBJECT_IDENTIFIER).ok()
        };
        let prefix = &USM_STATS[..USM_STATS.len() - 1];
        match name().and_then(|name| name.strip_prefix(prefix)) {
            Some([1, ..]) => Self::UnsupportedLevel,
            Some([2, ..]) => Self::NotInTimeWindow,
            Some([3, ..]) => Self::UnknownUser,
            Some([4, ..]) => Self::UnknownEngine,
            Some([5, ..]) => Self::WrongDigest,
            Some([6, ..]) => Self::Decryption,
            _ => Self::Other,
        }
    }
}

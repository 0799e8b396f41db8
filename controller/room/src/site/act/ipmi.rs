//! `kind = "ipmi"`: the management controller of a server switches it by IPMI 2.0 over the network.
//!
//! For controllers without Redfish. IPMI proves a password by a hash that can be tried out at
//! leisure (CVE-2013-4786), so its network must be closed, and its password stands nowhere else. A
//! power cycle is no choice: told twice, it cuts a server that is starting.

use crate::outage::Verb;
use crate::site::problem::Kind;
use crate::site::reader::Reader;
use crate::time::Millis;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The usual port (IPMI 2.0, 13.1.2).
pub const PORT: u16 = 623;
/// Longest time of one command, unless written.
pub const COMMAND_TIMEOUT: Millis = Millis::from_secs(10);
/// Shortest and longest time that can be written.
const TIMEOUTS: (Millis, Millis) = (Millis::from_secs(1), Millis::from_secs(60));
/// Cipher suite unless written: RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
pub const CIPHER_SUITE: u8 = 17;
/// Longest user name (IPMI 2.0, 13.17).
const MAX_USER: usize = 16;
/// Commands of one order at the most: the state, and the switching.
const COMMANDS: u64 = 2;

/// `ipmi`
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct IpmiAction {
    /// Where the management controller is.
    pub addr: SocketAddr,
    /// Account on it.
    pub user: String,
    /// File with its password, readable by the `act` role alone.
    pub password_file: PathBuf,
    /// How the session is proven and encrypted: 3 or 17.
    pub cipher_suite: u8,
    /// The right that is asked for at login.
    pub privilege: Privilege,
    /// What the server is told.
    pub power: Power,
    /// Longest time of one command.
    pub timeout: Millis,
}

/// `privilege`
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Privilege {
    /// What switching needs (IPMI 2.0, appendix G).
    Operator,
    /// For controllers that let no operator in over the network.
    Administrator,
}

impl Privilege {
    const WORDS: [(&'static str, Self); 2] = [
        ("operator", Self::Operator),
        ("administrator", Self::Administrator),
    ];

    /// As `ipmitool -L` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "OPERATOR",
            Self::Administrator => "ADMINISTRATOR",
        }
    }
}

/// A chassis control (IPMI 2.0, 28.3), of those that may be said twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Power {
    /// Asks the operating system to shut down, as the power button does.
    Soft,
    /// Cuts the power of the server at once.
    Off,
    /// Switches it on.
    On,
}

impl Power {
    /// What can be done by it: what stops does not start.
    const fn words(verb: Verb) -> &'static [(&'static str, Self)] {
        match verb {
            Verb::Stop => &[("soft", Self::Soft), ("off", Self::Off)],
            Verb::Force => &[("off", Self::Off)],
            Verb::Start => &[("on", Self::On)],
        }
    }

    /// As `ipmitool chassis power` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Off => "off",
            Self::On => "on",
        }
    }

    /// True when the server is to be on afterwards.
    #[must_use]
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// The keys of the table beside `kind`, the longest time of an order, and what it is aimed at.
pub(in crate::site) fn read(r: &mut Reader<'_>, verb: Verb) -> Option<(IpmiAction, Millis, String)> {
    let addr = r.addr("addr", "\"192.168.10.32:623\", the management controller");
    let user = r.text(
        "user",
        "an account with the privilege OPERATOR on its LAN channel",
    );
    let password_file = r.path(
        "password_file",
        "the file with its password, readable by the role act alone",
    );
    let suite = r.whole_or("cipher_suite", 0..=17);
    let privilege = r
        .word_or("privilege", &Privilege::WORDS)
        .map_or(Privilege::Operator, |privilege| privilege.value);
    let power = r.word("power", Power::words(verb));
    let timeout = r
        .duration_or("timeout", TIMEOUTS)
        .map_or(COMMAND_TIMEOUT, |timeout| timeout.value);
    let cipher_suite = match suite {
        None => CIPHER_SUITE,
        Some(suite) => match u8::try_from(suite.value) {
            Ok(number @ (3 | 17)) => number,
            _ => {
                r.sink().error_hint(
                    Kind::Value,
                    &suite.span,
                    format!(
                        "`cipher_suite` = {} does not prove and encrypt a session well enough",
                        suite.value
                    ),
                    "17, or 3 for an old controller; 0 asks for no password at all: switch it off there",
                );
                return None;
            }
        },
    };
    let user = user?;
    // ipmitool takes it as an argument of its own; it cannot be read as an option there.
    if user.value.len() > MAX_USER || !user.value.bytes().all(|byte| byte.is_ascii_graphic()) {
        r.sink().error_hint(
            Kind::Value,
            &user.span,
            format!("`user` = \"{}\" is not an account of IPMI", user.value),
            "1 to 16 ASCII characters without blanks",
        );
        return None;
    }
    let addr = addr?.value;
    let action = IpmiAction {
        addr,
        user: user.value,
        password_file: password_file?.value,
        cipher_suite,
        privilege,
        power: power?.value,
        timeout,
    };
    let longest = Millis(timeout.0.saturating_mul(COMMANDS));
    Some((action, longest, format!("ipmi {addr}")))
}

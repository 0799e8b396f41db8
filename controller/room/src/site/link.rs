//! How a device of the site is reached: the protocol, the line, and what it wants to know of us.
//!
//! Only what the site file says stands here. Passwords stay in files of their own, which the core
//! role reads; a community is no password, for it travels in the clear.

use super::Secret;
use super::problem::Kind;
use super::reader::{At, Found, Reader};
use std::net::SocketAddr;
use std::path::PathBuf;

/// `device.protocol` and the keys that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// `snmp`, the default.
    Snmp(SnmpLink),
    /// `modbus`
    Modbus(ModbusLink),
    /// `nut`
    Nut(NutLink),
    /// `megatec`
    Megatec(MegatecLink),
}

/// An SNMP agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnmpLink {
    /// Agent.
    pub addr: SocketAddr,
    /// Version, and who we say that we are.
    pub access: SnmpAccess,
}

/// `device.version` with the keys that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnmpAccess {
    /// SNMPv1 with its community; printed as `***`.
    V1(Secret),
    /// SNMPv2c with its community.
    V2c(Secret),
    /// SNMPv3 with a user of the User-based Security Model (RFC 3414).
    V3(Box<Usm>),
}

/// A user of an SNMPv3 agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usm {
    /// User name, 1 to 32 bytes.
    pub user: String,
    /// Authentication and the file with its password, or neither.
    pub auth: Option<(AuthProtocol, PathBuf)>,
    /// Privacy and the file with its password; needs authentication (RFC 3414 1.4.3).
    pub privacy: Option<(PrivProtocol, PathBuf)>,
    /// Context name, usually empty.
    pub context: String,
}

/// `device.auth`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthProtocol {
    /// HMAC-MD5-96 (RFC 3414 6). Old cards have nothing else.
    Md5,
    /// HMAC-SHA-96 (RFC 3414 7).
    Sha1,
    /// HMAC-128-SHA-224 (RFC 7860).
    Sha224,
    /// HMAC-192-SHA-256 (RFC 7860).
    Sha256,
    /// HMAC-256-SHA-384 (RFC 7860).
    Sha384,
    /// HMAC-384-SHA-512 (RFC 7860).
    Sha512,
}

/// `device.privacy`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrivProtocol {
    /// CBC-DES (RFC 3414 8). Old cards have nothing else.
    Des,
    /// CFB128-AES-128 (RFC 3826).
    Aes128,
    /// AES-192, key made longer as Blumenthal's draft says.
    Aes192,
    /// AES-256, key made longer as Blumenthal's draft says.
    Aes256,
    /// AES-192, key made longer as Reeder's draft says; Cisco's way.
    Aes192Cisco,
    /// AES-256, key made longer as Reeder's draft says; Cisco's way.
    Aes256Cisco,
}

/// A unit on a Modbus line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModbusLink {
    /// Where its line is; several devices may share one.
    pub line: ModbusLine,
    /// Its address on the line, 1 to 247; over TCP also 0 and 255, which mean the server itself.
    pub unit: u8,
}

/// A Modbus line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ModbusLine {
    /// Modbus TCP.
    Tcp(SocketAddr),
    /// Modbus RTU on a serial port.
    Rtu(SerialLine),
}

/// A serial port and how it is set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SerialLine {
    /// Device file.
    pub path: PathBuf,
    /// Bits a second.
    pub baud: u32,
    /// Parity bit.
    pub parity: LineParity,
    /// Stop bits, 1 or 2. Data bits are always 8.
    pub stop_bits: u8,
}

/// `device.parity`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineParity {
    /// No parity bit.
    None,
    /// Even; what the Modbus specification asks for.
    Even,
    /// Odd.
    Odd,
}

/// A UPS of a NUT server (RFC 9271).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NutLink {
    /// upsd.
    pub addr: SocketAddr,
    /// Name of the UPS there.
    pub ups: String,
    /// User and the file with its password; reading needs neither.
    pub login: Option<(String, PathBuf)>,
    /// STARTTLS.
    pub tls: NutTls,
    /// PEM file of the authority or of the server's own certificate. Without it an encrypted
    /// connection keeps secrets from listeners, but does not know who is at the other end.
    pub ca_file: Option<PathBuf>,
}

/// `device.tls`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NutTls {
    /// Never.
    Off,
    /// When the server offers it.
    Try,
    /// No reading without it.
    Require,
}

/// A UPS that speaks Megatec's Q1 protocol on a serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MegatecLink {
    /// Port, 2400 8N1 unless written otherwise.
    pub line: SerialLine,
    /// How it differs.
    pub dialect: MegatecDialect,
}

/// `device.dialect`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MegatecDialect {
    /// Found out by harmless questions.
    Auto,
    /// Plain Megatec.
    Megatec,
    /// OMRON.
    Omron,
    /// Fuji Electric.
    Fuji,
}

impl Link {
    /// Transport and address, where it is one of a network.
    #[must_use]
    pub const fn endpoint(&self) -> Option<(&'static str, SocketAddr)> {
        match self {
            Self::Snmp(link) => Some(("udp", link.addr)),
            Self::Modbus(ModbusLink {
                line: ModbusLine::Tcp(addr),
                ..
            }) => Some(("tcp", *addr)),
            Self::Nut(link) => Some(("tcp", link.addr)),
            Self::Modbus(_) | Self::Megatec(_) => None,
        }
    }

    /// The serial port, where it is one.
    #[must_use]
    pub const fn serial(&self) -> Option<&SerialLine> {
        match self {
            Self::Modbus(ModbusLink {
                line: ModbusLine::Rtu(line),
                ..
            }) => Some(line),
            Self::Megatec(link) => Some(&link.line),
            Self::Snmp(_) | Self::Nut(_) | Self::Modbus(_) => None,
        }
    }

    /// Two devices with one of these are one device. Communities and contexts are part of it: an
    /// agent may speak for several.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Snmp(link) => match &link.access {
                SnmpAccess::V1(community) | SnmpAccess::V2c(community) => {
                    format!("{} {}", link.addr, community.0)
                }
                SnmpAccess::V3(usm) => format!("{} v3 {}", link.addr, usm.context),
            },
            Self::Modbus(link) => match &link.line {
                ModbusLine::Tcp(addr) => format!("{addr} unit {}", link.unit),
                ModbusLine::Rtu(line) => format!("{} unit {}", line.path.display(), link.unit),
            },
            Self::Nut(link) => format!("{} {}", link.addr, link.ups),
            Self::Megatec(link) => link.line.path.display().to_string(),
        }
    }

    /// Where it is, for messages.
    pub(super) fn place(&self) -> String {
        match (self.endpoint(), self.serial()) {
            (Some((_, addr)), _) => addr.to_string(),
            (_, Some(line)) => line.path.display().to_string(),
            (None, None) => String::new(),
        }
    }
}

#[derive(Clone, Copy)]
enum Protocol {
    Snmp,
    Modbus,
    Nut,
    Megatec,
}

#[derive(Clone, Copy)]
enum Version {
    V1,
    V2c,
    V3,
}

/// `device.auth`: words and what they mean.
pub const AUTH: [(&str, AuthProtocol); 6] = [
    ("md5", AuthProtocol::Md5),
    ("sha1", AuthProtocol::Sha1),
    ("sha224", AuthProtocol::Sha224),
    ("sha256", AuthProtocol::Sha256),
    ("sha384", AuthProtocol::Sha384),
    ("sha512", AuthProtocol::Sha512),
];

/// `device.privacy`: words and what they mean.
pub const PRIVACY: [(&str, PrivProtocol); 6] = [
    ("des", PrivProtocol::Des),
    ("aes128", PrivProtocol::Aes128),
    ("aes192", PrivProtocol::Aes192),
    ("aes256", PrivProtocol::Aes256),
    ("aes192-cisco", PrivProtocol::Aes192Cisco),
    ("aes256-cisco", PrivProtocol::Aes256Cisco),
];

/// The keys of `[[device]]` that say how it is reached. Its place is the address or the port.
pub(super) fn link(r: &mut Reader<'_>) -> Found<Link> {
    let words = [
        ("snmp", Protocol::Snmp),
        ("modbus", Protocol::Modbus),
        ("nut", Protocol::Nut),
        ("megatec", Protocol::Megatec),
    ];
    let written = r.has("protocol");
    let protocol = match r.word_or("protocol", &words) {
        Some(protocol) => protocol.value,
        // A wrong word is reported; its keys would only add noise, so they are taken as SNMP's.
        None if written => return None,
        None => Protocol::Snmp,
    };
    match protocol {
        Protocol::Snmp => snmp(r),
        Protocol::Modbus => modbus(r),
        Protocol::Nut => nut(r),
        Protocol::Megatec => megatec(r),
    }
}

fn at<T>(span: &std::ops::Range<usize>, value: T) -> Found<T> {
    Some(At {
        value,
        span: span.clone(),
    })
}

fn snmp(r: &mut Reader<'_>) -> Found<Link> {
    let addr = r.addr("addr", "\"192.168.10.11:161\"");
    let words = [("v1", Version::V1), ("v2c", Version::V2c), ("v3", Version::V3)];
    let version = r.word("version", &words);
    let access = match version.map(|version| version.value) {
        None => {
            unknown_version(r);
            None
        }
        Some(Version::V1) => community(r).map(SnmpAccess::V1),
        Some(Version::V2c) => community(r).map(SnmpAccess::V2c),
        Some(Version::V3) => usm(r).map(|usm| SnmpAccess::V3(Box::new(usm))),
    };
    let addr = addr?;
    at(
        &addr.span,
        Link::Snmp(SnmpLink {
            addr: addr.value,
            access: access?,
        }),
    )
}

/// Every key of every version is known, so that a wrong version is the only thing reported.
pub(super) fn unknown_version(r: &mut Reader<'_>) {
    for key in ["community", "user", "auth", "privacy", "context"] {
        let _ = r.text_or(key);
    }
    let _ = (
        r.path_or("auth_password_file"),
        r.path_or("privacy_password_file"),
    );
}

pub(super) fn community(r: &mut Reader<'_>) -> Option<Secret> {
    let found = r.text("community", "the agent's read-only community")?;
    Some(Secret(found.value))
}

pub(super) fn usm(r: &mut Reader<'_>) -> Option<Usm> {
    let user = r.text("user", "a user of the agent");
    let auth = r.word_or("auth", &AUTH);
    let privacy = r.word_or("privacy", &PRIVACY);
    let auth_file = password(
        r,
        auth.as_ref().map(|auth| &auth.span),
        "auth",
        "auth_password_file",
    );
    let privacy_file = password(
        r,
        privacy.as_ref().map(|privacy| &privacy.span),
        "privacy",
        "privacy_password_file",
    );
    let context = r.text_or("context").map(|text| text.value).unwrap_or_default();
    if let (Some(privacy), false) = (&privacy, r.has("auth")) {
        r.sink().error_hint(
            Kind::Conflict,
            &privacy.span,
            "`privacy` without `auth`: SNMPv3 has no such level",
            "write auth = \"sha256\" with auth_password_file",
        );
        return None;
    }
    let user = user?;
    if user.value.is_empty() || user.value.len() > USER_MAX {
        r.sink().error(
            Kind::Value,
            &user.span,
            format!("`user` must be 1 to {USER_MAX} bytes"),
        );
        return None;
    }
    let auth = both(r.has("auth"), auth, auth_file)?;
    let privacy = both(r.has("privacy"), privacy, privacy_file)?;
    Some(Usm {
        user: user.value,
        auth,
        privacy,
        context,
    })
}

/// An algorithm with its password file; `None` when it is written and one of the two is wrong.
fn both<T>(written: bool, algorithm: Found<T>, file: Option<PathBuf>) -> Option<Option<(T, PathBuf)>> {
    if !written {
        return Some(None);
    }
    Some(Some((algorithm?.value, file?)))
}

/// Bytes of a user name (RFC 3414 5: SnmpAdminString of 1 to 32).
const USER_MAX: usize = 32;

/// The password file of an algorithm: there when and only when the algorithm is.
fn password(
    r: &mut Reader<'_>,
    algorithm: Option<&std::ops::Range<usize>>,
    name: &str,
    key: &'static str,
) -> Option<PathBuf> {
    let file = r.path_or(key);
    match (&file, algorithm) {
        (None, Some(_)) if !r.has(key) => r.missing(key, "the file with its password, 8 characters or more"),
        (Some(file), None) if !r.has(name) => r.sink().error_hint(
            Kind::Conflict,
            &file.span,
            format!("`{key}` without `{name}`"),
            "say which algorithm the password is for",
        ),
        _ => {}
    }
    file.map(|file| file.value)
}

fn modbus(r: &mut Reader<'_>) -> Found<Link> {
    let line = if r.has("port") {
        if r.has("addr") {
            r.sink().error_hint(
                Kind::Conflict,
                &r.span,
                "`addr` and `port` exclude each other in [[device]]",
                "`addr` is Modbus TCP, `port` is a serial port; keep one",
            );
            let _ = r.text_or("addr");
        }
        serial(r, 9600, LineParity::Even).map(|line| At {
            value: ModbusLine::Rtu(line.value),
            span: line.span,
        })
    } else {
        r.addr("addr", "\"192.168.10.31:502\", or port = \"/dev/ttyUSB0\"")
            .map(|addr| At {
                value: ModbusLine::Tcp(addr.value),
                span: addr.span,
            })
    };
    let range = if r.has("port") { 1..=247 } else { 0..=255 };
    let unit = r.whole("unit", range, "the device's address on the line, e.g. unit = 1");
    if !r.has("profile") {
        r.missing("profile", "Modbus cannot tell what a device is; name its profile");
    }
    let line = line?;
    at(
        &line.span,
        Link::Modbus(ModbusLink {
            line: line.value,
            unit: u8::try_from(unit?.value).ok()?,
        }),
    )
}

/// Rates that serial ports have.
const BAUD: [(&str, u32); 9] = [
    ("1200", 1200),
    ("2400", 2400),
    ("4800", 4800),
    ("9600", 9600),
    ("19200", 19_200),
    ("38400", 38_400),
    ("57600", 57_600),
    ("115200", 115_200),
    ("230400", 230_400),
];

fn serial(r: &mut Reader<'_>, baud: u32, parity: LineParity) -> Found<SerialLine> {
    let path = r.path(
        "port",
        "the serial port, e.g. port = \"/dev/serial/by-id/usb-...\"",
    );
    let written = r.whole_or("baud", 1200..=230_400);
    let baud = match &written {
        None if r.has("baud") => None,
        None => Some(baud),
        Some(rate) => {
            let known = BAUD.iter().find(|(_, known)| i64::from(*known) == rate.value);
            if known.is_none() {
                let rates: Vec<&str> = BAUD.iter().map(|(text, _)| *text).collect();
                r.sink().error_hint(
                    Kind::Value,
                    &rate.span,
                    format!("`baud` = {} is no rate of a serial port", rate.value),
                    format!("known: {}", rates.join(", ")),
                );
            }
            known.map(|(_, rate)| *rate)
        }
    };
    let words = [
        ("none", LineParity::None),
        ("even", LineParity::Even),
        ("odd", LineParity::Odd),
    ];
    let parity = match r.word_or("parity", &words) {
        Some(parity) => Some(parity.value),
        None if r.has("parity") => None,
        None => Some(parity),
    };
    let stop = match r.whole_or("stop_bits", 1..=2) {
        Some(stop) => u8::try_from(stop.value).ok(),
        None if r.has("stop_bits") => None,
        None => Some(1),
    };
    let path = path?;
    at(
        &path.span,
        SerialLine {
            path: path.value,
            baud: baud?,
            parity: parity?,
            stop_bits: stop?,
        },
    )
}

fn nut(r: &mut Reader<'_>) -> Found<Link> {
    let addr = r.addr("addr", "\"127.0.0.1:3493\"");
    let ups = r.text("ups", "the name of the UPS there, as `upsc -l` prints it");
    let user = r.text_or("user");
    let file = r.path_or("password_file");
    if r.has("user") != r.has("password_file") {
        r.sink().error_hint(
            Kind::Missing,
            &r.span,
            "`user` and `password_file` belong together in [[device]]",
            "write both or neither; reading needs neither",
        );
    }
    let words = [
        ("off", NutTls::Off),
        ("try", NutTls::Try),
        ("require", NutTls::Require),
    ];
    let tls = match r.word_or("tls", &words) {
        Some(tls) => Some(tls.value),
        None if r.has("tls") => None,
        None => Some(NutTls::Try),
    };
    let ca_file = r.path_or("ca_file").map(|file| file.value);
    let addr = addr?;
    at(
        &addr.span,
        Link::Nut(NutLink {
            addr: addr.value,
            ups: ups?.value,
            login: user.zip(file).map(|(user, file)| (user.value, file.value)),
            tls: tls?,
            ca_file,
        }),
    )
}

fn megatec(r: &mut Reader<'_>) -> Found<Link> {
    let line = serial(r, 2400, LineParity::None);
    let words = [
        ("auto", MegatecDialect::Auto),
        ("megatec", MegatecDialect::Megatec),
        ("omron", MegatecDialect::Omron),
        ("fuji", MegatecDialect::Fuji),
    ];
    let dialect = match r.word_or("dialect", &words) {
        Some(dialect) => Some(dialect.value),
        None if r.has("dialect") => None,
        None => Some(MegatecDialect::Auto),
    };
    let line = line?;
    at(
        &line.span,
        Link::Megatec(MegatecLink {
            line: line.value,
            dialect: dialect?,
        }),
    )
}

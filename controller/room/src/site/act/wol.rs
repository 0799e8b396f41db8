//! `kind = "wol"`: Wake-on-LAN, a packet that starts a server whose network card listens while it
//! is off. It can only start, nobody answers it, and it proves nothing to anybody.

use crate::site::problem::Kind;
use crate::site::reader::Reader;
use crate::time::Millis;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Packets of one order: nobody confirms them.
pub const PACKETS: u32 = 5;
/// Time between two of them; a switch that learns a port meanwhile has it for the next one.
pub const EVERY: Millis = Millis(200);

/// `wol`
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WolAction {
    /// Where the packets go: the broadcast address of the server's network, or an address that a
    /// router turns into one.
    pub addr: SocketAddr,
    /// The card's address.
    pub mac: [u8; 6],
    /// File with the card's SecureOn password, six bytes as `00-11-22-33-44-55`; `None`: it has none.
    pub password_file: Option<PathBuf>,
}

/// Six bytes as `00:11:22:33:44:55`, with `-` as well.
#[must_use]
pub fn six_bytes(text: &str) -> Option<[u8; 6]> {
    let separator = if text.contains('-') { '-' } else { ':' };
    let mut bytes = [0; 6];
    let mut parts = text.split(separator);
    for byte in &mut bytes {
        let part = parts.next()?;
        if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

/// The keys of the table beside `kind`, the longest time of an order, and what it is aimed at.
pub(in crate::site) fn read(r: &mut Reader<'_>) -> Option<(WolAction, Millis, String)> {
    let addr = r.addr(
        "addr",
        "the broadcast address of its network with a port, e.g. \"192.168.10.255:9\"",
    );
    let mac = r.text(
        "mac",
        "the address of its network card, e.g. \"00:11:22:33:44:55\"",
    )?;
    let password_file = r.path_or("password_file");
    if !r.has("alive") {
        r.missing(
            "alive",
            "nobody answers Wake-on-LAN: name a TCP port of the server that answers once it runs",
        );
        return None;
    }
    let bad = |why: &str| {
        r.sink().error_hint(
            Kind::Value,
            &mac.span,
            format!("`mac` = \"{}\" {why}", mac.value),
            "six bytes, as the label of the card or `ip link` says, e.g. \"00:11:22:33:44:55\"",
        );
    };
    let Some(bytes) = six_bytes(&mac.value) else {
        bad("is not the address of a network card");
        return None;
    };
    // IEEE 802: the lowest bit of the first byte marks a group; nobody's card has that.
    if bytes[0] & 1 == 1 || bytes == [0; 6] {
        bad("is the address of a group or of nobody");
        return None;
    }
    let action = WolAction {
        addr: addr?.value,
        mac: bytes,
        password_file: password_file.map(|file| file.value),
    };
    let longest = Millis(EVERY.0.saturating_mul(u64::from(PACKETS)));
    Some((action, longest, format!("wol {}", mac.value)))
}

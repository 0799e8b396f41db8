//! A server of a machine room that is asked over HTTPS: the keys that every such action has.
//!
//! The server is named by address, since in an outage there may be no name server; what its
//! certificate names is written beside it. In the clear nothing leaves this machine.

use crate::site::problem::{Kind, first_odd};
use crate::site::reader::Reader;
use crate::time::Millis;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Longest time of one request, from the connection to the whole answer, unless written.
pub const REQUEST_TIMEOUT: Millis = Millis::from_secs(10);
/// Shortest and longest time that can be written. A controller of a server may need long to answer;
/// what takes minutes is no answer.
pub const TIMEOUTS: (Millis, Millis) = (Millis(100), Millis::from_secs(60));
/// Longest name in a certificate (RFC 1035 2.3.4).
const MAX_NAME: usize = 253;

/// Where a server is and how it is known to be the right one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Https {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What its certificate names; `None`: its address.
    pub server_name: Option<String>,
    /// PEM file with the authority, or the server's own certificate as a pin; `None`: the
    /// authorities of this machine.
    pub ca_file: Option<PathBuf>,
    /// In the clear; only towards loopback.
    pub plain: bool,
    /// Longest time of one request, from the connection to the whole answer.
    pub timeout: Millis,
}

impl Https {
    /// What stands in the header `Host` and is shown: the address as it was written.
    #[must_use]
    pub fn authority(&self) -> String {
        self.addr.to_string()
    }

    /// What the certificate must name.
    #[must_use]
    pub fn name(&self) -> String {
        self.server_name
            .clone()
            .unwrap_or_else(|| self.addr.ip().to_string())
    }
}

/// Reads `addr`, `server_name`, `ca_file`, `plain` and `timeout`; `example` is an address with the
/// usual port of such a server.
pub(in crate::site) fn read(r: &mut Reader<'_>, example: &str) -> Option<Https> {
    let addr = r.addr("addr", example);
    let server_name = r.text_or("server_name");
    let ca_file = r.path_or("ca_file");
    let plain = r.flag_or("plain");
    let written = r.has("timeout");
    let timeout = r.duration_or("timeout", TIMEOUTS).map(|timeout| timeout.value);
    if let Some(name) = &server_name
        && !is_name(&name.value)
    {
        let hint = first_odd(&name.value).map_or_else(
            || "as its certificate says, e.g. \"pve1.city.example\"".to_owned(),
            |odd| format!("it contains {odd}"),
        );
        r.sink().error_hint(
            Kind::Value,
            &name.span,
            format!("`server_name` = \"{}\" is no name of a server", name.value),
            hint,
        );
        return None;
    }
    let addr = addr?;
    if let Some(plain) = plain.as_ref().filter(|plain| plain.value)
        && !addr.value.ip().is_loopback()
    {
        r.sink().error_hint(
            Kind::Value,
            &plain.span,
            "`plain`: in the clear the password would be read by others on the network",
            "leave it out, and name the server's certificate by ca_file",
        );
        return None;
    }
    Some(Https {
        addr: addr.value,
        server_name: server_name.map(|name| name.value),
        ca_file: ca_file.map(|file| file.value),
        plain: plain.is_some_and(|plain| plain.value),
        timeout: match timeout {
            None if written => return None,
            timeout => timeout.unwrap_or(REQUEST_TIMEOUT),
        },
    })
}

/// A DNS name in ASCII, or an address.
fn is_name(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
        || text.len() <= MAX_NAME
            && text.split('.').all(|part| {
                (1..=63).contains(&part.len())
                    && part
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            })
}

//! Servers that notices go to: by name or by address.
//!
//! Polled devices are named by address alone, since an outage may take the name server with it. A
//! mail server or a chat service moves behind its name, and its certificate is for the name; so
//! names are read here. What must arrive during an outage has another notifier, by address.

use crate::site::problem::{Kind, first_odd};
use crate::site::reader::{At, Found, Reader};
use std::net::IpAddr;
use std::path::PathBuf;

/// Longest name of a host (RFC 1035 2.3.4).
const MAX_NAME: usize = 253;

/// A server by name or address, with its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A DNS name in ASCII, or an address without brackets.
    pub name: String,
    /// Port, never 0.
    pub port: u16,
}

/// Whom a server with TLS must be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// PEM file with the authority, or the server's own certificate as a pin; `None`: the
    /// authorities of this machine.
    pub ca_file: Option<PathBuf>,
    /// The name in the server's certificate, where it is not the address.
    pub name: Option<String>,
}

/// `ca_file` and `tls_name`, which mean nothing without TLS.
pub(super) fn tls(r: &mut Reader<'_>, is_tls: bool) -> Tls {
    let ca_file = r.path_or("ca_file");
    let name = r.text_or("tls_name");
    let keys = [
        ("ca_file", ca_file.as_ref().map(|file| &file.span)),
        ("tls_name", name.as_ref().map(|name| &name.span)),
    ];
    for (key, at) in keys.into_iter().filter(|_| !is_tls) {
        if let Some(at) = at {
            r.sink().error_hint(
                Kind::Conflict,
                at,
                format!("`{key}` means nothing without TLS"),
                "take it out, or write transport = \"tls\"",
            );
        }
    }
    Tls {
        ca_file: ca_file.map(|file| file.value),
        name: name.map(|name| name.value),
    }
}

impl Host {
    /// The address, where it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.name.parse().ok()
    }

    /// True for an address that cannot leave the machine. A name can lead anywhere.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_loopback())
    }
}

impl From<std::net::SocketAddr> for Host {
    fn from(addr: std::net::SocketAddr) -> Self {
        Self {
            name: addr.ip().to_string(),
            port: addr.port(),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// True for addresses of a closed network: this machine, private (RFC 1918, RFC 4193), link-local.
#[must_use]
pub fn is_closed(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_closed(ip.into()),
            None => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

/// `name:port`, `192.0.2.1:port` or `[2001:db8::1]:port`; the port may be left out when there is a
/// usual one.
///
/// # Errors
/// What it lacks.
pub fn parse(text: &str, usual: Option<u16>) -> Result<Host, &'static str> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
            if name.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("brackets are for IPv6 addresses");
            }
            match port.strip_prefix(':') {
                Some(port) => (name, Some(port)),
                None if port.is_empty() => (name, None),
                None => return Err("after the bracket only :port may follow"),
            }
        }
        None => match text.rsplit_once(':') {
            Some((name, _)) if name.contains(':') => return Err("an IPv6 address needs brackets"),
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let port = match (port, usual) {
        (Some(port), _) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse::<u16>().ok(),
        (Some(_), _) => None,
        (None, usual) => usual,
    };
    let port = port.filter(|port| *port != 0).ok_or("the port is missing")?;
    if name.parse::<IpAddr>().is_err() {
        let good = name.len() <= MAX_NAME
            && name.split('.').all(|part| {
                (1..=63).contains(&part.len())
                    && part
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            });
        if !good {
            return Err("the name has other characters than a to z, 0 to 9, - and dots");
        }
        // 256.0.0.1 and 10.1 are mistakes, and resolvers read the latter as an address.
        if name
            .split('.')
            .next_back()
            .is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return Err("the address is not complete");
        }
    }
    Ok(Host {
        name: name.to_owned(),
        port,
    })
}

/// A host with its port as a key of a table.
pub(super) fn read(r: &mut Reader<'_>, key: &'static str, example: &str) -> Found<Host> {
    let text = r.text(key, &format!("name or address with port, e.g. \"{example}\""))?;
    found(r, key, example, text)
}

/// The same, or nothing when the key is not written.
pub(super) fn read_or(r: &mut Reader<'_>, key: &'static str, example: &str) -> Found<Host> {
    let text = r.text_or(key)?;
    found(r, key, example, text)
}

fn found(r: &Reader<'_>, key: &str, example: &str, text: At<String>) -> Found<Host> {
    match parse(&text.value, None) {
        Ok(value) => Some(At {
            value,
            span: text.span,
        }),
        Err(why) => {
            let hint = first_odd(&text.value).map_or_else(
                || format!("name or address with port, e.g. \"{example}\""),
                |odd| format!("it contains {odd}"),
            );
            r.sink().error_hint(
                Kind::Value,
                &text.span,
                format!("`{key}` = \"{}\": {why}", text.value),
                hint,
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_a_port() {
        for (text, usual, expected) in [
            ("mail.city.example:587", None, "mail.city.example:587"),
            ("192.168.10.3:25", None, "192.168.10.3:25"),
            ("[2001:db8::1]:25", None, "[2001:db8::1]:25"),
            ("[2001:db8::1]", Some(443), "[2001:db8::1]:443"),
            ("mail", Some(443), "mail:443"),
        ] {
            assert_eq!(
                parse(text, usual).map(|host| host.to_string()).as_deref(),
                Ok(expected)
            );
        }
        for text in [
            "",
            "mail",
            "mail:",
            "mail:0",
            "mail:65536",
            "mail:+25",
            "a b:25",
            "2001:db8::1:25",
            "[mail]:25",
            "a..b:25",
            "10.1:25",
            "256.0.0.1:25",
            "é:25",
            "a@b:25",
            "[::1:25",
            "[::1]25",
        ] {
            assert!(parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn closed_networks_are_told_from_the_internet() {
        for (ip, closed) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("203.0.113.1", false),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
            ("::ffff:8.8.8.8", false),
            ("::ffff:10.0.0.1", true),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_closed(ip.parse().unwrap()), closed, "{ip}");
        }
    }
}

//! `[nut_server]`: the UPSes of the room, served to NUT's clients (RFC 9271) by the role `nut`.

use super::World;
use super::nas::{self, Nas, RawNas};
use super::problem::{Kind, Sink};
use super::raw::Raw;
use super::reader::{At, Found, Reader};
use crate::command::{Danger, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

/// Most accounts.
pub const MAX_USERS: usize = 64;

/// `[nut_server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NutServer {
    /// Where it listens; NUT's port is 3493.
    pub listen: SocketAddr,
    /// Addresses that may connect at all.
    pub allow: Vec<Net>,
    /// Certificate and key for STARTTLS, PEM; `None`: clients go on in plain text.
    pub tls: Option<Tls>,
    /// Who may log in.
    pub users: Vec<User>,
    /// NAS boxes whose UPS and account are fixed by their maker.
    pub nas: Vec<Nas>,
}

/// Files for STARTTLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Certificate chain.
    pub cert_file: PathBuf,
    /// Its private key, mode 0600.
    pub key_file: PathBuf,
}

/// `[[nut_server.user]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Account name.
    pub name: String,
    /// File with the password, mode 0600.
    pub password_file: PathBuf,
    /// What it may be.
    pub role: Role,
    /// Addresses it may come from.
    pub from: Vec<Net>,
    /// What it may tell devices by `INSTCMD`, of what the device's `commands` allow. Nothing that
    /// switches power.
    pub instcmds: Vec<Name>,
    /// Whether it may set variables, where a command of the device stands behind the value.
    pub set: bool,
}

/// `user.role`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A host that stops when its UPS says so; it is counted as logged in.
    Secondary,
    /// The same, and it may call itself primary. It cannot force anybody down: the plan does that.
    Primary,
}

/// Addresses by prefix: `192.168.10.0/24`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Net {
    addr: IpAddr,
    bits: u8,
}

impl Net {
    /// Reads `address` or `address/bits`; `None` for anything else, and for an address with bits
    /// behind its prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (addr, bits) = match text.split_once('/') {
            Some((addr, bits)) => (addr, Some(bits)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().ok()?;
        let width = if addr.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if !bits.is_empty() && bits.bytes().all(|digit| digit.is_ascii_digit()) => {
                bits.parse().ok()?
            }
            Some(_) => return None,
            None => width,
        };
        let net = Self { addr, bits };
        (bits <= width && net.masked(addr) == Some(number(addr))).then_some(net)
    }

    /// One address alone.
    #[must_use]
    pub const fn of(addr: IpAddr) -> Self {
        let bits = if addr.is_ipv4() { 32 } else { 128 };
        Self { addr, bits }
    }

    /// Whether the address lies within. An IPv4 address that came in over an IPv6 socket counts as
    /// the IPv4 address that it is.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        addr.is_ipv4() == self.addr.is_ipv4() && self.masked(addr) == Some(number(self.addr))
    }

    fn masked(&self, addr: IpAddr) -> Option<u128> {
        let width: u8 = if addr.is_ipv4() { 32 } else { 128 };
        let behind = u32::from(width.checked_sub(self.bits)?);
        let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
        Some(number(addr) & mask)
    }
}

fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(u32::from(addr)),
        IpAddr::V6(addr) => u128::from(addr),
    }
}

pub(super) struct RawNutServer {
    listen: Found<SocketAddr>,
    allow: Vec<At<String>>,
    cert_file: Found<PathBuf>,
    key_file: Found<PathBuf>,
    users: Vec<RawUser>,
    nas: Vec<RawNas>,
    at: Range<usize>,
}

struct RawUser {
    name: Found<String>,
    password_file: Found<PathBuf>,
    role: Found<Role>,
    from: Vec<At<String>>,
    instcmds: Vec<At<Name>>,
    set: bool,
}

pub(super) fn section(mut r: Reader<'_>) -> RawNutServer {
    let listen = r.addr("listen", "\"192.168.10.2:3493\"");
    if !r.has("allow") {
        r.missing("allow", "who may connect, e.g. allow = [\"192.168.10.0/24\"]");
    }
    let server = RawNutServer {
        listen,
        allow: r.list("allow"),
        cert_file: r.path_or("cert_file"),
        key_file: r.path_or("key_file"),
        users: r
            .tables("user", "[[nut_server.user]]", MAX_USERS)
            .into_iter()
            .map(user)
            .collect(),
        nas: nas::read(&mut r),
        at: r.span.clone(),
    };
    r.finish();
    server
}

fn user(mut r: Reader<'_>) -> RawUser {
    let user = RawUser {
        name: r.text("name", "the account as the client's upsmon.conf says it"),
        password_file: r.path("password_file", "a file of mode 0600"),
        role: r.word(
            "role",
            &[("secondary", Role::Secondary), ("primary", Role::Primary)],
        ),
        from: r.list("from"),
        instcmds: super::write::names(&mut r, "instcmds"),
        set: r.flag_or("set").is_some_and(|set| set.value),
    };
    r.finish();
    user
}

pub(super) fn build(raw: RawNutServer) -> Option<NutServer> {
    let nets = |nets: &[At<String>]| {
        nets.iter()
            .map(|net| Net::parse(&net.value))
            .collect::<Option<Vec<_>>>()
    };
    let allow = nets(&raw.allow)?;
    let users = raw.users.into_iter().map(|user| {
        Some(User {
            name: user.name?.value,
            password_file: user.password_file?.value,
            role: user.role?.value,
            from: if user.from.is_empty() {
                allow.clone()
            } else {
                nets(&user.from)?
            },
            instcmds: user.instcmds.into_iter().map(|name| name.value).collect(),
            set: user.set,
        })
    });
    Some(NutServer {
        listen: raw.listen?.value,
        users: users.collect::<Option<_>>()?,
        nas: raw.nas.into_iter().map(nas::build).collect::<Option<_>>()?,
        tls: match (raw.cert_file, raw.key_file) {
            (Some(cert), Some(key)) => Some(Tls {
                cert_file: cert.value,
                key_file: key.value,
            }),
            _ => None,
        },
        allow,
    })
}

/// Addresses that are addresses, accounts borne once, a certificate with its key.
pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>, simulated: bool) {
    hosts(raw, sink);
    let Some(server) = &raw.nut_server else { return };
    if let Some(listen) = &server.listen
        && simulated
        && !listen.value.ip().is_loopback()
    {
        sink.error_hint(
            Kind::Conflict,
            &listen.span,
            format!(
                "[nut_server] listen = \"{}\": a simulated site listens on loopback only",
                listen.value
            ),
            "write listen = \"127.0.0.1:0\"",
        );
    }
    let froms = server.users.iter().flat_map(|user| &user.from);
    for net in server.allow.iter().chain(froms) {
        if Net::parse(&net.value).is_none() {
            sink.error_hint(
                Kind::Value,
                &net.span,
                format!("\"{}\" is no network", net.value),
                "write an address, or a network by its first address: \"192.168.10.0/24\"",
            );
        }
    }
    let mut names = BTreeSet::new();
    for name in server.users.iter().filter_map(|user| user.name.as_ref()) {
        if !names.insert(name.value.as_str()) {
            sink.error(
                Kind::Duplicate,
                &name.span,
                format!("the account {} is there twice", name.value),
            );
        }
        if name.value.contains(char::is_whitespace) || name.value.contains('"') {
            sink.error_hint(
                Kind::Value,
                &name.span,
                format!("`name` = \"{}\" cannot be said by a client", name.value),
                "no spaces and no quotes",
            );
        }
    }
    for name in server.users.iter().flat_map(|user| &user.instcmds) {
        if name.value.danger() == Danger::CutsPower {
            sink.error_hint(
                Kind::Conflict,
                &name.span,
                format!("{} switches power: no client of NUT may order it", name.value),
                "make it a step of the plan: [host.action] kind = \"device\"",
            );
        }
    }
    nas::check(raw, &server.nas, &server.allow, sink);
    if server.cert_file.is_some() != server.key_file.is_some() {
        sink.error_hint(
            Kind::Missing,
            &server.at,
            "`cert_file` and `key_file` belong together in [nut_server]",
            "write both or neither",
        );
    }
    let has_ups = raw.devices.iter().any(|device| {
        let kind = device.kind.as_ref().map(|kind| kind.value);
        kind == Some(super::DeviceKind::Ups)
    });
    if !has_ups {
        sink.error_hint(
            Kind::Conflict,
            &server.at,
            "[nut_server] has nothing to serve: the site has no UPS",
            "add a [[device]] with kind = \"ups\", or take [nut_server] out",
        );
    }
}

/// Hosts that stop by NUT: somebody must serve them, under a name of their own, and their end must
/// be seen: the word of a UPS says nothing about it.
fn hosts<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let devices: BTreeSet<&str> = raw
        .devices
        .iter()
        .filter_map(|device| Some(device.name.as_ref()?.value.as_str()))
        .collect();
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for host in &raw.hosts {
        let Some(ups) = host
            .action
            .action
            .as_ref()
            .and_then(|action| W::served_ups(action))
        else {
            continue;
        };
        if raw.nut_server.is_none() {
            sink.error_hint(
                Kind::Missing,
                &host.span,
                "this host stops by NUT, but nobody serves its clients",
                "add [nut_server] with listen, allow and a [[nut_server.user]]",
            );
        }
        let name = host.name.as_ref().map_or("?", |name| name.value.as_str());
        if let Some(other) = taken.insert(ups, name) {
            sink.error_hint(
                Kind::Duplicate,
                &host.span,
                format!("host {name} stops by the UPS `{ups}`, and so does host {other}"),
                "each has its own moment in the plan: give each a UPS of its own",
            );
        }
        if devices.contains(ups) {
            sink.error_hint(
                Kind::Conflict,
                &host.span,
                format!("`ups` = \"{ups}\" is a device of this site"),
                "a host that stops by NUT has a UPS of its own; give it a new name",
            );
        }
        if let Some(confirm) = &host.confirm
            && confirm.value == super::Confirm::ActionSucceeded
        {
            sink.error_hint(
                Kind::Conflict,
                &confirm.span,
                "the word of a UPS does not say that a host has stopped",
                "write kind = \"port_closed\" with a port that the host serves while it runs",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hosts_do_not_share_the_ups_that_tells_them_to_stop() {
        let problems = |ups: &str| {
            let second = format!(
                "[[host]]\nname = \"nas3\"\nfeeds = [\"ups-a\"]\nbudget = \"4m\"\non_failure = \"go_on\"\n\
                 [host.action]\nkind = \"nut\"\nups = \"{ups}\"\naddr = \"192.168.10.2:3493\"\n\
                 [host.confirm]\nkind = \"port_closed\"\naddr = \"192.168.10.25:445\"\n"
            );
            let text = format!(
                "{}\n{second}",
                include_str!("../../../../deploy/example/site.toml")
            );
            let outcome =
                super::super::parse::read::<super::super::Real>(&text, std::path::Path::new("/etc"));
            let problems = outcome.problems.into_iter();
            problems
                .map(|problem| problem.message)
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(problems("nas3-ups"), "");
        let told = problems("nas2-ups");
        assert!(told.contains("and so does host nas2"), "{told}");
    }

    #[test]
    fn networks_are_prefixes_and_nothing_else() {
        let net = |text: &str| Net::parse(text).unwrap_or_else(|| panic!("{text}"));
        let is_in = |text: &str, addr: &str| net(text).contains(addr.parse().unwrap());
        assert!(is_in("192.168.10.0/24", "192.168.10.255"));
        assert!(!is_in("192.168.10.0/24", "192.168.11.0"));
        assert!(is_in("192.168.10.7", "192.168.10.7"));
        assert!(!is_in("192.168.10.7", "192.168.10.8"));
        assert!(is_in("0.0.0.0/0", "8.8.8.8"));
        assert!(is_in("192.168.10.0/24", "::ffff:192.168.10.9"));
        assert!(!is_in("0.0.0.0/0", "::1"));
        assert!(is_in("fd00::/8", "fdff::1") && !is_in("fd00::/8", "fe80::1"));
        for odd in [
            "192.168.10.1/24",
            "192.168.10.0/33",
            "192.168.10.0/",
            "192.168.10.0/+8",
            "host",
            "",
            "::/129",
            "1.2.3.4/x",
        ] {
            assert_eq!(Net::parse(odd), None, "{odd}");
        }
    }
}

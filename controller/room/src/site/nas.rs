//! `[[nut_server.nas]]`: NAS boxes that look for a UPS of a fixed name with a fixed account.
//!
//! Synology's and QNAP's systems cannot be told another name, user or password than their maker
//! chose, and everybody can read these. So nothing of it is there by itself: the site names each
//! box by its address, and only there the fixed names lead to the UPS that the site says. What the
//! account opens is a place in the count of clients that are logged in; it commands nothing.

use super::World;
use super::nut_server::Net;
use super::problem::{Kind, Sink};
use super::raw::Raw;
use super::reader::{At, Found, Reader};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Most boxes.
pub const MAX_NAS: usize = 64;

/// Whose system it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// DSM: looks for the UPS `ups`.
    Synology,
    /// QTS: looks for the UPS `qnapups`.
    Qnap,
}

impl Maker {
    /// The UPS that it looks for.
    #[must_use]
    pub const fn ups(self) -> &'static str {
        match self {
            Self::Synology => "ups",
            Self::Qnap => "qnapups",
        }
    }

    /// User and password that it says. Both are printed in the maker's own pages.
    #[must_use]
    pub const fn account(self) -> (&'static str, &'static str) {
        match self {
            Self::Synology => ("monuser", "secret"),
            Self::Qnap => ("admin", "123456"),
        }
    }
}

/// `[[nut_server.nas]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nas {
    /// `profile`
    pub maker: Maker,
    /// The one address from which the fixed names lead anywhere.
    pub address: IpAddr,
    /// The UPS behind the fixed name: of a host that stops by NUT, or a device.
    pub ups: String,
}

pub(super) struct RawNas {
    maker: Found<Maker>,
    address: Found<String>,
    ups: Found<String>,
}

pub(super) fn read(r: &mut Reader<'_>) -> Vec<RawNas> {
    let tables = r.tables("nas", "[[nut_server.nas]]", MAX_NAS);
    let tables = tables.into_iter().map(|mut r| {
        let nas = RawNas {
            maker: r.word("profile", &[("synology", Maker::Synology), ("qnap", Maker::Qnap)]),
            address: r.text("address", "the address of the box, e.g. \"192.168.10.31\""),
            ups: r.text("ups", "the `ups` of its [host.action], or a device"),
        };
        r.finish();
        nas
    });
    tables.collect()
}

pub(super) fn build(raw: RawNas) -> Option<Nas> {
    Some(Nas {
        maker: raw.maker?.value,
        address: raw.address?.value.parse::<IpAddr>().ok()?.to_canonical(),
        ups: raw.ups?.value,
    })
}

/// One address each, that may connect, and a UPS that is served. The password is public: said aloud.
pub(super) fn check<W: World>(raw: &Raw<W>, all: &[RawNas], allow: &[At<String>], sink: &Sink<'_>) {
    let hosts = raw.hosts.iter();
    let of_hosts = hosts.filter_map(|host| W::served_ups(host.action.action.as_ref()?));
    let devices = raw.devices.iter().filter(|device| {
        let kind = device.kind.as_ref().map(|kind| kind.value);
        kind == Some(super::DeviceKind::Ups)
    });
    let devices = devices.filter_map(|device| Some(device.name.as_ref()?.value.as_str()));
    let served: BTreeSet<&str> = of_hosts.chain(devices).collect();
    let mut addresses = BTreeSet::new();
    for nas in all {
        if let Some(ups) = &nas.ups
            && !served.contains(ups.value.as_str())
        {
            sink.error_hint(
                Kind::Reference,
                &ups.span,
                format!("`ups` = \"{}\" is served to nobody", ups.value),
                "write the `ups` of the box's own [host.action] kind = \"nut\", or a device of kind \"ups\"",
            );
        }
        let Some(text) = &nas.address else { continue };
        let Ok(address) = text.value.parse::<IpAddr>().map(|address| address.to_canonical()) else {
            sink.error_hint(
                Kind::Value,
                &text.span,
                format!("\"{}\" is no address", text.value),
                "write the one address of the box: \"192.168.10.31\"; a network is too wide for a public password",
            );
            continue;
        };
        if !addresses.insert(address) {
            sink.error(
                Kind::Duplicate,
                &text.span,
                format!("{address} is there twice: a box has one UPS"),
            );
        }
        let mut nets = allow.iter().filter_map(|net| Net::parse(&net.value));
        if !nets.any(|net| net.contains(address)) {
            sink.error_hint(
                Kind::Conflict,
                &text.span,
                format!("{address} may not connect"),
                "add it to `allow` of [nut_server]",
            );
        }
        if let Some(maker) = &nas.maker {
            let (user, password) = maker.value.account();
            sink.warning(
                Kind::Exposure,
                &text.span,
                format!(
                    "anybody at {address} can log in as {user}: its password ({password}) is public and cannot be changed on this NAS"
                ),
                "give this address to the NAS alone, on a network that guests cannot reach",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::site::Real;
    use crate::site::parse::read;
    use crate::site::problem::Severity;
    use std::path::Path;

    const SITE: &str = include_str!("../../../../deploy/example/site.toml");

    /// What is wrong with the example when these lines are added to its server.
    fn problems(more: &str) -> Vec<(Severity, String)> {
        let at = SITE
            .find("# [[nut_server.nas]]")
            .expect("the example has a server");
        let (before, after) = SITE.split_at(at);
        let text = format!("{before}{more}\n{after}");
        let outcome = read::<Real>(&text, Path::new("/etc/yagura"));
        let problems = outcome.problems.into_iter();
        problems
            .map(|problem| (problem.severity, problem.message))
            .collect()
    }

    fn nas(profile: &str, address: &str, ups: &str) -> String {
        format!("[[nut_server.nas]]\nprofile = \"{profile}\"\naddress = \"{address}\"\nups = \"{ups}\"\n")
    }

    #[test]
    fn a_nas_is_served_by_name_and_the_public_password_is_said_aloud() {
        for (profile, word) in [
            ("synology", "monuser: its password (secret)"),
            ("qnap", "admin: its password (123456)"),
        ] {
            let found = problems(&nas(profile, "192.168.10.31", "ups-a"));
            let [(Severity::Warning, message)] = &found[..] else {
                panic!("{found:?}");
            };
            assert!(
                message.contains(word) && message.contains("192.168.10.31"),
                "{message}"
            );
        }
        assert!(
            problems("").is_empty(),
            "without one nothing is served and nothing is warned of"
        );
    }

    #[test]
    fn a_nas_without_an_address_of_its_own_or_a_ups_is_refused() {
        let twice = format!(
            "{}{}",
            nas("qnap", "192.168.10.31", "ups-a"),
            nas("synology", "192.168.10.31", "ups-a")
        );
        for (text, word) in [
            (nas("synology", "192.168.10.0/24", "ups-a"), "is no address"),
            (nas("synology", "10.9.9.9", "ups-a"), "may not connect"),
            (nas("synology", "192.168.10.31", "ups-z"), "served to nobody"),
            (nas("buffalo", "192.168.10.31", "ups-a"), "not a known word"),
            (twice, "there twice"),
        ] {
            let found = problems(&text);
            let is_refused = found
                .iter()
                .any(|(severity, message)| *severity == Severity::Error && message.contains(word));
            assert!(is_refused, "{word}: {found:?}");
        }
    }
}

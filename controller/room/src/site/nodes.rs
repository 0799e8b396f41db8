//! `[[node]]` and its channels: which keys they have, of what type, in which range and with which
//! default. What a channel's part is reads `mounts`, what its door is `doors`.

use super::ContactKind;
use super::doors::MAX_PORTALS;
use super::parse::{SILENT_AFTER, quantity_word};
use super::problem::Kind;
use super::raw::{RawChannel, RawNode};
use super::reader::{At, Found, Reader};
use super::sections::{HOUR, label, narrow_to, span_or};
use crate::time::Millis;
use shared::Quantity;
use shared::board::Board;
use shared::limit::MAX_CHANNELS;
use shared::provision::{Address, UPDATE_KEY_LEN};
use std::net::{Ipv4Addr, SocketAddrV4};

pub(super) fn node(mut r: Reader<'_>) -> RawNode {
    let name = r.name("name");
    let board = r.word_or("board", &Board::ALL.map(|board| (board.name(), board)));
    let known = board.as_ref().map(|board| board.value);
    let node = RawNode {
        id: narrow_to(r.whole("id", 1..=65_535, "the number the node was given, from 1 to 65535")),
        label: label(&mut r, &name),
        name,
        key_file: r.path("key_file", "the file with the node's key, 64 hex digits"),
        silent_after: span_or(&mut r, "silent_after", (Millis(500), HOUR), SILENT_AFTER),
        channels: {
            let channels = r.tables("channel", "[[node.channel]]", MAX_CHANNELS);
            if channels.is_empty() && !r.has("channel") {
                r.missing("channel", "at least one [[node.channel]] after its [[node]]");
            }
            channels.into_iter().map(channel).collect()
        },
        board,
        broker: broker(&mut r),
        address: address(&mut r),
        portal: r
            .tables("portal", "[[node.portal]]", MAX_PORTALS)
            .into_iter()
            .map(|portal| super::doors::portal(portal, known))
            .next(),
    };
    r.finish();
    node
}

/// Where the node finds the broker: its network stack knows IPv4 alone.
fn broker(r: &mut Reader<'_>) -> Found<SocketAddrV4> {
    let text = r.text_or("broker")?;
    let addr = text.value.parse::<SocketAddrV4>().ok();
    match addr.filter(|addr| !addr.ip().is_unspecified() && addr.port() != 0) {
        Some(value) => Some(At {
            value,
            span: text.span,
        }),
        None => {
            r.sink().error_hint(
                Kind::Value,
                &text.span,
                format!("`broker` = \"{}\" is not an IPv4 address with port", text.value),
                "where the node finds the broker, e.g. \"192.168.10.2:1883\"",
            );
            None
        }
    }
}

/// The node's fixed address with its gateway.
fn address(r: &mut Reader<'_>) -> Found<Address> {
    let text = r.text_or("address");
    let gateway = r.text_or("gateway");
    let Some(text) = text else {
        if let Some(gateway) = gateway
            && !r.has("address")
        {
            r.sink().error_hint(
                Kind::Conflict,
                &gateway.span,
                "`gateway` needs `address` in [[node]]",
                "without a fixed address the node asks DHCP for both",
            );
        }
        return None;
    };
    let parsed = text.value.split_once('/').and_then(|(ip, prefix)| {
        let prefix = prefix
            .parse::<u8>()
            .ok()
            .filter(|prefix| (1..=30).contains(prefix))?;
        Some((
            ip.parse::<Ipv4Addr>().ok().filter(|ip| !ip.is_unspecified())?,
            prefix,
        ))
    });
    let Some((ip, prefix)) = parsed else {
        r.sink().error_hint(
            Kind::Value,
            &text.span,
            format!(
                "`address` = \"{}\" is not an IPv4 address with the length of its network",
                text.value
            ),
            "e.g. \"192.168.10.31/24\"; leave it out for DHCP",
        );
        return None;
    };
    let network = |ip: Ipv4Addr| ip.to_bits() >> (32 - u32::from(prefix));
    let gateway = match gateway {
        None if r.has("gateway") => return None,
        None => [0; 4],
        Some(gateway) => match gateway.value.parse::<Ipv4Addr>() {
            Ok(address) if network(address) == network(ip) && address != ip => address.octets(),
            _ => {
                r.sink().error_hint(
                    Kind::Value,
                    &gateway.span,
                    format!(
                        "`gateway` = \"{}\" is not another address of {}",
                        gateway.value, text.value
                    ),
                    "the router of the node's own network; leave it out when the broker is in it",
                );
                return None;
            }
        },
    };
    Some(At {
        value: Address {
            ip: ip.octets(),
            prefix,
            gateway,
        },
        span: text.span,
    })
}

/// The Ed25519 public key of whoever signs the firmware.
pub(super) fn update_key(r: &mut Reader<'_>) -> Found<[u8; UPDATE_KEY_LEN]> {
    let text = r.text_or("update_key")?;
    let mut key = [0; UPDATE_KEY_LEN];
    let digits = text.value.as_bytes();
    let good = crate::hex::read(digits, &mut key);
    if !good || digits.iter().all(|digit| *digit == b'0') {
        r.sink().error_hint(
            Kind::Value,
            &text.span,
            "`update_key` is not a public key",
            "64 hex digits of the Ed25519 key with which firmware is signed",
        );
        return None;
    }
    Some(At {
        value: key,
        span: text.span,
    })
}

/// The words of `contact`.
const CONTACTS: [(&str, ContactKind); 14] = [
    ("door", ContactKind::Door),
    ("window", ContactKind::Window),
    ("rack", ContactKind::Rack),
    ("bolt", ContactKind::LockBolt),
    ("exit", ContactKind::RequestToExit),
    ("key", ContactKind::KeyOverride),
    ("leak", ContactKind::Leak),
    ("smoke", ContactKind::Smoke),
    ("fire", ContactKind::FirePanel),
    ("surge", ContactKind::SurgeProtector),
    ("breaker", ContactKind::Breaker),
    ("agent", ContactKind::ExtinguishingAgent),
    ("tamper", ContactKind::Tamper),
    ("mains", ContactKind::MainsPresent),
];

fn channel(mut r: Reader<'_>) -> RawChannel {
    let quantities: Vec<(String, Quantity)> = Quantity::ALL
        .iter()
        .map(|quantity| (quantity_word(*quantity), *quantity))
        .collect();
    let quantities: Vec<(&str, Quantity)> = quantities.iter().map(|(word, q)| (word.as_str(), *q)).collect();
    let point = r.dotted("point", true);
    let top = i64::try_from(MAX_CHANNELS).unwrap_or(1) - 1;
    let channel = narrow_to(r.whole("channel", 0..=top, "the number of the input on the node, from 0"));
    let quantity = r.word("quantity", &quantities);
    let contact = r.word_or("contact", &CONTACTS);
    match (&quantity, &contact) {
        (Some(q), None) if q.value == Quantity::Contact && !r.has("contact") => {
            let words = CONTACTS.map(|(word, _)| word).join(", ");
            r.missing("contact", &format!("what the contact guards: {words}"));
        }
        (Some(q), Some(contact)) if q.value != Quantity::Contact => r.sink().error_hint(
            Kind::Conflict,
            &contact.span,
            "`contact` belongs to quantity = \"contact\" alone",
            "remove it, or correct the quantity",
        ),
        _ => {}
    }
    let contact = contact.map(|contact| contact.value);
    let channel = RawChannel {
        channel,
        label: label(&mut r, &point),
        point,
        mount: super::mounts::read(&mut r, &quantity, contact),
        quantity,
        contact,
        span: r.span.clone(),
        has_part: r.has("part"),
    };
    r.finish();
    channel
}

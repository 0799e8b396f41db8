//! What happens once, before there are tasks: who we are, the boot is counted, the network's
//! configuration.

use crate::now_ms;
use core::fmt;
use embassy_net::{Config, DhcpConfig, Ipv4Cidr, StaticConfigV4};
use node::memory::Memory;
use node::node::{Boot, Node};
use node::update::{Firmware, Slots};
use shared::provision::Provision;

/// Counts the boot and makes the node, where it stays.
pub fn node<'p, M: Memory, S: Slots>(
    place: &'p mut Option<Node<M, S>>,
    mut parts: impl FnMut() -> (M, S),
    provision: &Provision,
    about: Firmware,
    boot: Boot,
    mut retry: impl FnMut(fmt::Arguments<'_>),
) -> &'p mut Node<M, S> {
    loop {
        let (memory, slots) = parts();
        match Node::start_in(place, memory, slots, provision, about, boot, now_ms()) {
            Ok(_) => break,
            Err(fault) => retry(format_args!("cannot count this boot: {fault}")),
        }
    }
    place.as_mut().expect("made by the loop")
}

/// The node's address: its own, or by DHCP.
#[must_use]
pub fn network(provision: &Provision) -> Config {
    provision.address.map_or_else(
        || Config::dhcpv4(DhcpConfig::default()),
        |own| {
            Config::ipv4_static(StaticConfigV4 {
                address: Ipv4Cidr::new(own.ip.into(), own.prefix),
                gateway: (own.gateway != [0; 4]).then(|| own.gateway.into()),
                dns_servers: heapless::Vec::new(),
            })
        },
    )
}

/// Locally administered, unique in a site as the node id is.
#[must_use]
pub const fn mac(provision: &Provision) -> [u8; 6] {
    let [high, low] = provision.node.to_be_bytes();
    [0x02, b'Y', b'G', 0, high, low]
}

/// Differs between nodes and boots and is not to be guessed from outside; it only picks port
/// numbers.
#[must_use]
pub fn seed(provision: &Provision, boot: u32) -> u32 {
    let [a, b, c, d, ..] = provision.device_key().derive("net");
    u32::from_le_bytes([a, b, c, d]) ^ boot.rotate_left(16)
}

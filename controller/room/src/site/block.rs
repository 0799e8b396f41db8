//! From the site to the block that a node is provisioned with.
//!
//! Pure: keys come in as arguments, and what is missing in the site is said in words, all of it at
//! once. The node answers with what it has read, which must be this.

use super::{Mqtt, Node, Site, World};
use shared::limit::{KEY_LEN, MAX_CHANNELS};
use shared::mount::Mount;
use shared::provision::Provision;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};

/// The block of a node.
///
/// # Errors
/// Everything that is missing in the site, in words.
pub fn block<W: World>(
    site: &Site<W>,
    node: &Node,
    key: [u8; KEY_LEN],
    card_key: [u8; KEY_LEN],
) -> Result<Provision, Vec<String>> {
    let mut missing = Vec::new();
    let name = &node.name;
    let broker = node.hardware.broker.or_else(|| broker_of(&site.mqtt));
    if broker.is_none() {
        missing.push(format!(
            "where {name} finds its broker: write broker = \"192.168.10.2:1883\" into its [[node]] (an IPv4 address that \
             the node can reach)"
        ));
    }
    let mut mounts: heapless::Vec<Option<Mount>, MAX_CHANNELS> = heapless::Vec::new();
    let rows = node.channels.iter().map(|channel| channel.channel).max();
    for row in 0..=rows.unwrap_or(0) {
        let channel = node.channels.iter().find(|channel| channel.channel == row);
        if let Some(channel) = channel
            && channel.mount.is_none()
        {
            missing.push(format!(
                "which part measures channel {row} ({}): write part and at into its [[node.channel]]",
                channel.point
            ));
        }
        // Channels are numbered below MAX_CHANNELS by the reader.
        let _ = mounts.push(channel.and_then(|channel| channel.mount));
    }
    let Some(broker) = broker.filter(|_| missing.is_empty()) else {
        return Err(missing);
    };
    let hardware = &node.hardware;
    Ok(Provision {
        card_key,
        address: hardware.address,
        board: hardware.board.map_or(0, shared::board::Board::number),
        portal: hardware.portal,
        update_key: hardware.update_key,
        mounts,
        ..Provision::new(node.id, 0, key, broker.ip().octets(), broker.port())
    })
}

/// Where a node finds the broker when its own settings do not say: there must be one answer.
fn broker_of(mqtt: &Mqtt) -> Option<SocketAddrV4> {
    let addr = match mqtt {
        Mqtt::Builtin { listen } => *listen,
        Mqtt::External { addr, .. } => addr.parse::<SocketAddr>().ok()?,
    };
    match addr.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() && !ip.is_loopback() && addr.port() != 0 => {
            Some(SocketAddrV4::new(ip, addr.port()))
        }
        _ => None,
    }
}

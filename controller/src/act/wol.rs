//! Action `wol`: Wake-on-LAN packets over UDP.
//!
//! A packet holds six bytes FF, the card's address sixteen times, and a password where the card has
//! one (AMD, Magic Packet Technology, publication 20213). Nobody answers it: that the server runs is
//! seen at its port, or not at all. It is sent several times, since each may be lost.

use super::action::{Accepted, Problem, Sent};
use super::https::secret;
use super::permit::{Armed, Checked};
use room::site::act::wol::{EVERY, PACKETS, WolAction, six_bytes};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// Bytes of a packet without a password.
const BARE: usize = 6 + 16 * 6;

/// Sees whether this machine has a way to that address. Sends nothing.
///
/// # Errors
/// [`Problem`].
pub(super) async fn check(action: &WolAction, _permit: Checked) -> Result<(), Problem> {
    packet(action)?;
    open(action).await.map(drop)
}

/// Sends the packets.
///
/// # Errors
/// [`Problem`]: none could be sent.
pub(super) async fn request(action: &WolAction, _permit: Armed, sent: &Sent) -> Result<Accepted, Problem> {
    let packet = packet(action)?;
    let socket = open(action).await?;
    let mut last = None;
    for number in 0..PACKETS {
        if number > 0 {
            tokio::time::sleep(Duration::from_millis(EVERY.0)).await;
        }
        match socket.send(&packet).await {
            Ok(_) => sent.set(),
            // An earlier one may have brought "port unreachable" from a card that is on; the next
            // may pass.
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) if !sent.is_set() => {
            Err(Problem::passing(format!("sending to {}: {error}", action.addr)))
        }
        _ => Ok(Accepted::Succeeded),
    }
}

/// The packet, byte for byte.
fn packet(action: &WolAction) -> Result<Vec<u8>, Problem> {
    let mut packet = Vec::with_capacity(BARE + 6);
    packet.extend_from_slice(&[0xff; 6]);
    for _ in 0..16 {
        packet.extend_from_slice(&action.mac);
    }
    if let Some(file) = &action.password_file {
        let text = secret(file)?;
        let password = six_bytes(&text).ok_or_else(|| {
            Problem::lasting(format!(
                "{}: a SecureOn password is six bytes, written as 00-11-22-33-44-55",
                file.display()
            ))
        })?;
        packet.extend_from_slice(&password);
    }
    Ok(packet)
}

/// A socket towards the address; the kernel looks for the way now.
async fn open(action: &WolAction) -> Result<UdpSocket, Problem> {
    let addr = action.addr;
    let failed = |error: std::io::Error| {
        Problem::passing(format!(
            "there is no way to {addr}: {error}; is it the broadcast address of a network of this machine?"
        ))
    };
    let any: IpAddr = match addr.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await.map_err(failed)?;
    socket.set_broadcast(true).map_err(failed)?;
    socket.connect(addr).await.map_err(failed)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::permit::Permit;
    use std::net::SocketAddr;
    use std::os::unix::fs::PermissionsExt as _;

    fn action(addr: SocketAddr) -> WolAction {
        WolAction {
            addr,
            mac: [0x00, 0x11, 0x22, 0x33, 0x44, 0x55],
            password_file: None,
        }
    }

    async fn wake(action: &WolAction) -> (Result<Accepted, Problem>, bool) {
        let Permit::Act(armed) = Permit::of(true) else {
            unreachable!("real orders are armed")
        };
        let sent = Sent::default();
        (request(action, armed, &sent).await, sent.is_set())
    }

    async fn look(action: &WolAction) -> Result<(), Problem> {
        let Permit::Check(checked) = Permit::of(false) else {
            unreachable!("rehearsals are not armed")
        };
        check(action, checked).await
    }

    #[tokio::test]
    async fn the_packets_are_those_of_the_standard_byte_for_byte() {
        let ear = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut action = action(ear.local_addr().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secureon");
        std::fs::write(&file, "a0-b1-c2-d3-e4-f5\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut expected = vec![0xff_u8; 6];
        expected.extend([0x00, 0x11, 0x22, 0x33, 0x44, 0x55].repeat(16));
        for password in [None, Some(file)] {
            if password.is_some() {
                expected.extend([0xa0, 0xb1, 0xc2, 0xd3, 0xe4, 0xf5]);
            }
            action.password_file = password;
            assert_eq!(look(&action).await, Ok(()));
            assert_eq!(wake(&action).await, (Ok(Accepted::Succeeded), true));
            for _ in 0..PACKETS {
                let mut heard = [0; 256];
                let length = tokio::time::timeout(Duration::from_secs(5), ear.recv(&mut heard))
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(heard[..length], expected[..]);
            }
            // The check sent nothing: there are no more than were asked for.
            assert!(ear.try_recv(&mut [0; 256]).is_err());
        }
    }

    #[tokio::test]
    async fn a_password_that_is_none_is_a_lasting_problem_and_nothing_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secureon");
        std::fs::write(&file, "secret").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let action = WolAction {
            password_file: Some(file),
            ..action("127.0.0.1:9".parse().unwrap())
        };
        let problem = look(&action).await.unwrap_err();
        assert!(
            !problem.retryable && problem.text.contains("six bytes"),
            "{problem:?}"
        );
        assert!(!problem.text.contains("secret"), "{problem:?}");
        let (result, sent) = wake(&action).await;
        assert!(result.is_err() && !sent);
    }

    #[tokio::test]
    async fn an_address_without_a_way_to_it_is_found_by_the_check() {
        // The kernel connects nothing to port 9 of a class that was never given out (RFC 1112, 4).
        let problem = look(&action("240.0.0.1:9".parse().unwrap())).await;
        // A machine with a default route has a way to everything; one without has none.
        let routed = std::net::UdpSocket::bind("0.0.0.0:0")
            .and_then(|socket| socket.connect("240.0.0.1:9"))
            .is_ok();
        assert_eq!(problem.is_ok(), routed, "{problem:?}");
    }
}

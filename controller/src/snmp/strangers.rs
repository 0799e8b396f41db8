//! What strangers can send to our SNMP sockets, read by every decoder of ours: for the fuzz targets alone.
//!
//! It sends nothing, keeps nothing, and needs no socket. Messages under a key are not tried: without it
//! their code is never right, and nothing behind the code is read.

use super::answer::{self, Body};
use super::packet::{Packet, Question};
use super::usm::message;
use super::{Access, Oid, trap};
use room::site::Secret;

/// The community that [`read`] takes for ours.
pub const COMMUNITY: &str = "public";
/// Rows of one answer that are taken at most.
const ROWS: usize = 40;

/// Reads a datagram as an answer of each version and to each question, and as a trap.
///
/// # Panics
/// When a decoder breaks a promise of its own: that is what the fuzzer looks for.
pub fn read(datagram: &[u8]) {
    let _ = answer::message_id(datagram);
    let oid = |text: &str| text.parse::<Oid>().expect("a constant in dotted form");
    let names = [oid("1.3.6.1.2.1.1.3.0"), oid("1.3.6.1.2.1.33.1.2.4.0")];
    for access in [
        Access::V1(Secret(COMMUNITY.to_owned())),
        Access::V2c(Secret(COMMUNITY.to_owned())),
    ] {
        if let Ok(body) = answer::open(&access, datagram) {
            answers(&access, &names, &body);
        }
    }
    if let Some((_, _, pdu)) = answer::community(datagram) {
        let _ = trap::is_v1_trap(pdu);
        if let Some(body) = Body::read(pdu) {
            let _ = trap::is_readable(body.bindings);
        }
    }
    if let Some(header) = message::Header::read(datagram) {
        let _ = (header.engine(datagram), header.user(datagram));
        let mut copy = datagram.to_vec();
        if let Ok(pdu) = message::open(&mut copy, &header, None)
            && let Some(body) = Body::read(pdu)
        {
            answers(&Access::V2c(Secret(COMMUNITY.to_owned())), &names, &body);
        }
    }
}

fn answers(access: &Access, names: &[Oid], body: &Body<'_>) {
    if let Ok(answer::Answer::Values(values)) =
        answer::read_get(&Packet::new(access, Question::Get, names), body)
    {
        assert_eq!(values.len(), names.len(), "a value for each name");
    }
    let next = Packet::new(access, Question::GetBulk(10), &names[..1]);
    if let Ok(answer::Rows::Rows(rows)) = answer::read_rows(&next, body, ROWS) {
        assert!((1..=ROWS).contains(&rows.len()), "{} rows", rows.len());
    }
    let _ = answer::read_acknowledgement(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    /// An answer, the answer of an error, and a trap.
    const GOOD: [&str; 3] = [
        "302902010104067075626c6963a21c02047fffffff020100020100300e300c06082b0601020101030043002a",
        "302702010004067075626c6963a21a02047fffffff020102020101300c300a06062b06010201010500",
        "302c02010004067075626c6963a41f06062b060104010140047f000001020106020101430101300a300806042b0601050500",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks_exact(2);
        digits
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    proptest! {
        #[test]
        fn any_datagram_is_survived(datagram in proptest::collection::vec(any::<u8>(), 0..300)) {
            read(&datagram);
        }

        #[test]
        fn a_good_datagram_with_wrong_bytes_is_survived(
            which in any::<Index>(),
            wrong in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..6),
            length in any::<Index>(),
            is_cut in any::<bool>(),
        ) {
            let mut datagram = bytes(GOOD[which.index(GOOD.len())]);
            for (at, byte) in wrong {
                let at = at.index(datagram.len());
                datagram[at] = byte;
            }
            if is_cut {
                datagram.truncate(length.index(datagram.len()));
            }
            read(&datagram);
        }
    }
}

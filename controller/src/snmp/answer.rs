//! Answers: decoded by `snmp2`, then checked against the question. What does not fit is refused
//! whole; nothing is taken from a doubtful answer.

use super::SnmpVersion;
use super::packet::Packet;
use super::{Oid, Value};
use room::profile::value::ARCS_MAX;
use snmp2::{MessageType, Pdu, Version};

/// Why an answer is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No SNMP message, or one cut short.
    #[error("it is no SNMP message")]
    Malformed,
    /// A message, but no response.
    #[error("it is no response")]
    NotAResponse,
    /// Another protocol version than asked in.
    #[error("it is of another protocol version")]
    OtherVersion,
    /// Another community than asked with.
    #[error("it carries another community")]
    OtherCommunity,
    /// Fewer or more variables than asked, or some of them unreadable.
    #[error("it carries {got} readable variables, {asked} were asked")]
    Count {
        /// Asked.
        asked: usize,
        /// Readable.
        got: usize,
    },
    /// A variable that was not asked at this place.
    #[error("variable {at} is another than asked")]
    Name {
        /// 1-based.
        at: usize,
    },
    /// A value of no type that SNMP has.
    #[error("variable {at} has a value of no known type")]
    Value {
        /// 1-based.
        at: usize,
    },
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Every variable, in the order of the question.
    Values(Vec<Value>),
    /// An error; `at` is the 0-based variable it names, if it names one that was asked.
    Error { status: u32, at: Option<usize> },
}

/// The id of an answer, before anything else of it is believed.
pub(super) fn request_id(datagram: &[u8]) -> Option<i32> {
    Pdu::from_bytes(datagram).ok().map(|pdu| pdu.req_id)
}

/// Checks the answer to a GET.
pub(super) fn read_get(packet: &Packet, datagram: &[u8]) -> Result<Answer, Refusal> {
    let pdu = match open(packet, datagram)? {
        Ok(pdu) => pdu,
        Err(error) => return Ok(error),
    };
    let asked = packet.names.len();
    let mut values = Vec::with_capacity(asked);
    let mut bindings = pdu.varbinds;
    for (index, expected) in packet.names.iter().enumerate() {
        let Some((name, value)) = bindings.next() else {
            return Err(Refusal::Count { asked, got: index });
        };
        if name.as_bytes() != expected.as_slice() {
            return Err(Refusal::Name { at: index + 1 });
        }
        values.push(owned(&value).ok_or(Refusal::Value { at: index + 1 })?);
    }
    match bindings.next() {
        Some(_) => Err(Refusal::Count {
            asked,
            got: asked + 1,
        }),
        None => Ok(Answer::Values(values)),
    }
}

/// What the answer to a GETNEXT or GETBULK brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rows {
    Rows(Vec<(Oid, Value)>),
    Error { status: u32 },
}

/// Checks the answer to a GETNEXT or GETBULK of one variable: one row or more, at most `max`.
pub(super) fn read_rows(packet: &Packet, datagram: &[u8], max: usize) -> Result<Rows, Refusal> {
    let pdu = match open(packet, datagram)? {
        Ok(pdu) => pdu,
        Err(Answer::Error { status, .. }) => return Ok(Rows::Error { status }),
        Err(Answer::Values(_)) => return Err(Refusal::NotAResponse),
    };
    let mut rows = Vec::new();
    for (index, (name, value)) in pdu.varbinds.enumerate() {
        if index == max {
            return Err(Refusal::Count {
                asked: max,
                got: index + 1,
            });
        }
        let name = owned_oid(name.as_bytes()).ok_or(Refusal::Name { at: index + 1 })?;
        let value = owned(&value).ok_or(Refusal::Value { at: index + 1 })?;
        rows.push((name, value));
    }
    if rows.is_empty() {
        return Err(Refusal::Count { asked: max, got: 0 });
    }
    Ok(Rows::Rows(rows))
}

/// The message, or the error it reports.
fn open<'a>(packet: &Packet, datagram: &'a [u8]) -> Result<Result<Pdu<'a>, Answer>, Refusal> {
    let pdu = Pdu::from_bytes(datagram).map_err(|_| Refusal::Malformed)?;
    if pdu.message_type != MessageType::Response {
        return Err(Refusal::NotAResponse);
    }
    let same_version = matches!(
        (pdu.version(), packet.version),
        (Ok(Version::V1), SnmpVersion::V1) | (Ok(Version::V2C), SnmpVersion::V2c)
    );
    if !same_version {
        return Err(Refusal::OtherVersion);
    }
    if pdu.community != packet.community.as_slice() {
        return Err(Refusal::OtherCommunity);
    }
    if pdu.error_status != 0 {
        let at = usize::try_from(pdu.error_index)
            .ok()
            .and_then(|index| index.checked_sub(1))
            .filter(|index| *index < packet.names.len());
        return Ok(Err(Answer::Error {
            status: pdu.error_status,
            at,
        }));
    }
    Ok(Ok(pdu))
}

fn owned(value: &snmp2::Value<'_>) -> Option<Value> {
    Some(match value {
        snmp2::Value::Null => Value::Null,
        snmp2::Value::Integer(n) => Value::Integer(*n),
        snmp2::Value::OctetString(bytes) => Value::Bytes(bytes.to_vec()),
        snmp2::Value::ObjectIdentifier(oid) => Value::Oid(owned_oid(oid.as_bytes())?),
        snmp2::Value::IpAddress(address) => Value::Address(*address),
        snmp2::Value::Counter32(n) | snmp2::Value::Unsigned32(n) => Value::Unsigned(u64::from(*n)),
        snmp2::Value::Counter64(n) => Value::Unsigned(*n),
        snmp2::Value::Timeticks(n) => Value::Ticks(*n),
        snmp2::Value::Opaque(bytes) => Value::Opaque(bytes.to_vec()),
        snmp2::Value::EndOfMibView => Value::EndOfMib,
        snmp2::Value::NoSuchObject => Value::NoSuchObject,
        snmp2::Value::NoSuchInstance => Value::NoSuchInstance,
        _ => return None,
    })
}

/// Reads the content of an OBJECT IDENTIFIER; `None` when it is cut, overflows or is too long.
fn owned_oid(bytes: &[u8]) -> Option<Oid> {
    let mut arcs: Vec<u32> = Vec::with_capacity(bytes.len() + 1);
    let mut arc: u32 = 0;
    let mut open = false;
    for byte in bytes {
        if arcs.len() >= ARCS_MAX || arc > u32::MAX >> 7 {
            return None;
        }
        arc = arc << 7 | u32::from(byte & 0x7f);
        open = byte & 0x80 != 0;
        if open {
            continue;
        }
        if arcs.is_empty() {
            let first = (arc / 40).min(2);
            arcs.extend([first, arc - first * 40]);
        } else {
            arcs.push(arc);
        }
        arc = 0;
    }
    if open {
        return None;
    }
    Oid::new(arcs).ok()
}

#[cfg(test)]
mod tests {
    use super::super::packet::{Question, encode_oid};
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 3] = [
        "1.3.6.1.2.1.33.1.2.4.0",
        "1.3.6.1.2.1.33.1.4.1.0",
        "1.3.6.1.2.1.1.2.0",
    ];

    fn packet() -> Packet {
        let oids: Vec<Oid> = NAMES.iter().map(|name| name.parse().unwrap()).collect();
        Packet::new(SnmpVersion::V2c, "public", Question::Get, &oids)
    }

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content);
        bytes
    }

    /// A response with these names and encoded values; every length below 128.
    fn response(status: u8, index: u8, bindings: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let list: Vec<u8> = bindings
            .iter()
            .flat_map(|(name, value)| {
                let name = tlv(6, &encode_oid(&name.parse().unwrap()));
                tlv(0x30, &[name, value.clone()].concat())
            })
            .collect();
        let pdu = [
            tlv(2, &[1, 2, 3, 4]),
            tlv(2, &[status]),
            tlv(2, &[index]),
            tlv(0x30, &list),
        ]
        .concat();
        let message = [tlv(2, &[1]), tlv(4, b"public"), tlv(0xa2, &pdu)].concat();
        tlv(0x30, &message)
    }

    fn good() -> Vec<u8> {
        response(
            0,
            0,
            &[
                (NAMES[0], tlv(2, &[97])),
                (NAMES[1], tlv(0x42, &[3])),
                (NAMES[2], tlv(6, &[0x2b, 6, 1, 4, 1, 0x82, 0x3e])),
            ],
        )
    }

    #[test]
    fn a_whole_answer_is_taken() {
        assert_eq!(request_id(&good()), Some(0x0102_0304));
        assert_eq!(
            read_get(&packet(), &good()),
            Ok(Answer::Values(vec![
                Value::Integer(97),
                Value::Unsigned(3),
                Value::Oid("1.3.6.1.4.1.318".parse().unwrap()),
            ]))
        );
    }

    #[test]
    fn zero_missing_reordered_and_surplus_variables_are_refused_whole() {
        let value = || tlv(2, &[1]);
        let check =
            |bindings: &[(&str, Vec<u8>)]| read_get(&packet(), &response(0, 0, bindings)).unwrap_err();
        assert_eq!(check(&[]), Refusal::Count { asked: 3, got: 0 });
        assert_eq!(
            check(&[(NAMES[0], value()), (NAMES[1], value())]),
            Refusal::Count { asked: 3, got: 2 }
        );
        assert_eq!(
            check(&[(NAMES[1], value()), (NAMES[0], value()), (NAMES[2], value())]),
            Refusal::Name { at: 1 }
        );
        let surplus = [NAMES[0], NAMES[1], NAMES[2], NAMES[0]].map(|name| (name, value()));
        assert_eq!(check(&surplus), Refusal::Count { asked: 3, got: 4 });
        // A value that cannot be read hides all behind it: the count tells.
        assert_eq!(
            check(&[(NAMES[0], value()), (NAMES[1], tlv(2, &[])), (NAMES[2], value())]),
            Refusal::Count { asked: 3, got: 1 }
        );
    }

    #[test]
    fn an_error_names_its_variable_only_if_it_was_asked() {
        let read = |status, index| read_get(&packet(), &response(status, index, &[])).unwrap();
        let error = |status, at| Answer::Error { status, at };
        assert_eq!(read(2, 3), error(2, Some(2)));
        assert_eq!(read(2, 4), error(2, None));
        assert_eq!(read(1, 0), error(1, None));
    }

    #[test]
    fn other_versions_communities_and_kinds_are_refused() {
        let mut other = good();
        other[4] = 0;
        assert_eq!(read_get(&packet(), &other), Err(Refusal::OtherVersion));
        let mut other = good();
        other[7] = b'P';
        assert_eq!(read_get(&packet(), &other), Err(Refusal::OtherCommunity));
        let mut other = good();
        other[13] = 0xa0;
        assert_eq!(read_get(&packet(), &other), Err(Refusal::NotAResponse));
        assert_eq!(read_get(&packet(), b""), Err(Refusal::Malformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// A damaged answer is refused or is one that says what was asked, never a panic.
        #[test]
        fn damaged_answers_never_panic(
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<proptest::sample::Index>(),
            is_cut: bool,
        ) {
            let mut bytes = good();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            request_id(&bytes);
            if let Ok(Answer::Values(values)) = read_get(&packet(), &bytes) {
                prop_assert_eq!(values.len(), NAMES.len());
            }
            if let Ok(Rows::Rows(rows)) = read_rows(&packet(), &bytes, 3) {
                prop_assert!(!rows.is_empty() && rows.len() <= 3);
            }
        }

        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            request_id(&bytes);
            let _ = read_get(&packet(), &bytes);
            let _ = read_rows(&packet(), &bytes, 10);
            owned_oid(&bytes);
        }

        #[test]
        fn identifiers_survive_encoding(arcs in proptest::collection::vec(any::<u32>(), 1..20)) {
            let arcs: Vec<u32> = [1, 3].into_iter().chain(arcs).collect();
            let oid = Oid::new(arcs).unwrap();
            prop_assert_eq!(owned_oid(&encode_oid(&oid)), Some(oid));
        }
    }
}

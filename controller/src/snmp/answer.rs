//! Answers: decoded in place, then checked against the question. What does not fit is refused
//! whole; nothing is taken from a doubtful answer.

use super::ber::{self, pdu};
use super::packet::Packet;
use super::usm::Report;
use super::{Access, Oid, Value};
use room::profile::value::ARCS_MAX;
use snmp2::AsnReader;

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
    /// The answer carries another request id inside than the question.
    #[error("it answers another request")]
    OtherRequest,
    /// SNMPv3: the agent said what it did not like.
    #[error(transparent)]
    Report(#[from] Report),
    /// SNMPv3: the answer's code is not what the password makes of it.
    #[error("its authentication code is wrong: check `auth` and its password")]
    Code,
    /// SNMPv3: less security than asked for.
    #[error("it is less protected than the question")]
    Level,
    /// SNMPv3: decrypted, it is no message.
    #[error("it cannot be decrypted: check `privacy` and its password")]
    Cipher,
    /// SNMPv3: another engine or user than asked.
    #[error("it is from another SNMP engine, or to another user")]
    OtherEngine,
    /// SNMPv3: the agent tells its engine id to strangers but says nothing to us.
    #[error("the agent is there but does not answer this user: check `privacy` and its password")]
    SilentToUser,
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Every variable, in the order of the question.
    Values(Vec<Value>),
    /// An error; `at` is the 0-based variable it names, if it names one that was asked.
    Error { status: u32, at: Option<usize> },
}

/// A PDU as it stands in its message.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) kind: u8,
    pub(super) id: i32,
    status: u32,
    index: u32,
    pub(super) bindings: &'a [u8],
}

impl<'a> Body<'a> {
    /// Reads any PDU but v1's trap, which has another form.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let kind = *bytes.first()?;
        if !(pdu::GET..=pdu::REPORT).contains(&kind) || kind == pdu::TRAP_V1 {
            return None;
        }
        let mut pdu = AsnReader::from_bytes(AsnReader::from_bytes(bytes).read_raw(kind).ok()?);
        Some(Self {
            kind,
            id: i32::try_from(pdu.read_asn_integer().ok()?).ok()?,
            status: u32::try_from(pdu.read_asn_integer().ok()?).ok()?,
            index: u32::try_from(pdu.read_asn_integer().ok()?).ok()?,
            bindings: pdu.read_raw(ber::SEQUENCE).ok()?,
        })
    }
}

/// A message of v1 or v2c: version number, community, PDU with its head.
pub(super) fn community(datagram: &[u8]) -> Option<(i64, &[u8], &[u8])> {
    let content = AsnReader::from_bytes(datagram).read_raw(ber::SEQUENCE).ok()?;
    let mut reader = AsnReader::from_bytes(content);
    let version = reader.read_asn_integer().ok().filter(|version| *version <= 1)?;
    let community = reader.read_asn_octetstring().ok()?;
    Some((
        version,
        community,
        &content[content.len() - reader.bytes_left()..],
    ))
}

/// The id of an answer, before anything else of it is believed: the request id of v1 and v2c,
/// the `msgID` of v3.
pub(super) fn message_id(datagram: &[u8]) -> Option<i32> {
    let content = AsnReader::from_bytes(datagram).read_raw(ber::SEQUENCE).ok()?;
    let mut reader = AsnReader::from_bytes(content);
    let id = match reader.read_asn_integer().ok()? {
        0 | 1 => {
            reader.read_asn_octetstring().ok()?;
            let kind = reader.peek_byte().ok().filter(|kind| *kind != pdu::TRAP_V1)?;
            AsnReader::from_bytes(reader.read_raw(kind).ok()?).read_asn_integer()
        }
        3 => AsnReader::from_bytes(reader.read_raw(ber::SEQUENCE).ok()?).read_asn_integer(),
        _ => return None,
    };
    i32::try_from(id.ok()?).ok()
}

/// Opens the answer to a question of v1 or v2c.
pub(super) fn open<'a>(access: &Access, datagram: &'a [u8]) -> Result<Body<'a>, Refusal> {
    let (version, theirs, pdu) = community(datagram).ok_or(Refusal::Malformed)?;
    let (wanted, ours) = match access {
        Access::V1(community) => (0, community),
        Access::V2c(community) => (1, community),
        Access::V3(_) => return Err(Refusal::OtherVersion),
    };
    if version != wanted {
        return Err(Refusal::OtherVersion);
    }
    if theirs != ours.0.as_bytes() {
        return Err(Refusal::OtherCommunity);
    }
    Body::read(pdu).ok_or(Refusal::Malformed)
}

/// Checks the answer to a GET or SET.
pub(super) fn read_get(packet: &Packet, body: &Body<'_>) -> Result<Answer, Refusal> {
    if let Some(error) = error(packet, body)? {
        return Ok(error);
    }
    let asked = packet.names.len();
    let mut values = Vec::with_capacity(asked);
    let mut list = AsnReader::from_bytes(body.bindings);
    for (index, expected) in packet.names.iter().enumerate() {
        let Some((name, value)) = binding(&mut list) else {
            return Err(Refusal::Count { asked, got: index });
        };
        if name != &**expected {
            return Err(Refusal::Name { at: index + 1 });
        }
        values.push(owned(&value).ok_or(Refusal::Value { at: index + 1 })?);
    }
    match list.bytes_left() {
        0 => Ok(Answer::Values(values)),
        _ => Err(Refusal::Count {
            asked,
            got: asked + 1,
        }),
    }
}

/// The error status with which an inform was acknowledged; 0 is good.
pub(super) fn read_acknowledgement(body: &Body<'_>) -> Result<u32, Refusal> {
    match body.kind {
        pdu::RESPONSE => Ok(body.status),
        _ => Err(Refusal::NotAResponse),
    }
}

/// The next variable: its encoded name and its value; `None` at the end and at the first that
/// cannot be read.
pub(super) fn binding<'a>(list: &mut AsnReader<'a>) -> Option<(&'a [u8], snmp2::Value<'a>)> {
    let mut pair = AsnReader::from_bytes(list.read_raw(ber::SEQUENCE).ok()?);
    let name = pair.read_raw(ber::OBJECT_IDENTIFIER).ok()?;
    let value = pair.next()?;
    Some((name, value))
}

/// What the answer to a GETNEXT or GETBULK brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rows {
    Rows(Vec<(Oid, Value)>),
    Error { status: u32 },
}

/// Checks the answer to a GETNEXT or GETBULK of one variable: one row or more, at most `max`.
pub(super) fn read_rows(packet: &Packet, body: &Body<'_>, max: usize) -> Result<Rows, Refusal> {
    match error(packet, body)? {
        None => {}
        Some(Answer::Error { status, .. }) => return Ok(Rows::Error { status }),
        Some(Answer::Values(_)) => return Err(Refusal::NotAResponse),
    }
    let mut rows = Vec::new();
    let mut list = AsnReader::from_bytes(body.bindings);
    while list.bytes_left() > 0 {
        let at = rows.len() + 1;
        if at > max {
            return Err(Refusal::Count { asked: max, got: at });
        }
        // Rows that cannot be read hide all behind them: a packet cut by the agent in the middle
        // of a row is none, and what stood before it is asked for again.
        let (name, value) = binding(&mut list).ok_or(Refusal::Value { at })?;
        let name = owned_oid(name).ok_or(Refusal::Name { at })?;
        let value = owned(&value).ok_or(Refusal::Value { at })?;
        rows.push((name, value));
    }
    if rows.is_empty() {
        return Err(Refusal::Count { asked: max, got: 0 });
    }
    Ok(Rows::Rows(rows))
}

/// The error that a response reports, if it does.
fn error(packet: &Packet, body: &Body<'_>) -> Result<Option<Answer>, Refusal> {
    if body.kind != pdu::RESPONSE {
        return Err(Refusal::NotAResponse);
    }
    if body.status == 0 {
        return Ok(None);
    }
    let at = usize::try_from(body.index)
        .ok()
        .and_then(|index| index.checked_sub(1))
        .filter(|index| *index < packet.names.len());
    Ok(Some(Answer::Error {
        status: body.status,
        at,
    }))
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
    use room::site::Secret;

    const NAMES: [&str; 3] = [
        "1.3.6.1.2.1.33.1.2.4.0",
        "1.3.6.1.2.1.33.1.4.1.0",
        "1.3.6.1.2.1.1.2.0",
    ];

    fn packet() -> Packet {
        let oids: Vec<Oid> = NAMES.iter().map(|name| name.parse().unwrap()).collect();
        Packet::new(&access(), Question::Get, &oids)
    }

    fn access() -> Access {
        Access::V2c(Secret("public".to_owned()))
    }

    fn get(datagram: &[u8]) -> Result<Answer, Refusal> {
        read_get(&packet(), &open(&access(), datagram)?)
    }

    fn walk(datagram: &[u8], max: usize) -> Result<Rows, Refusal> {
        read_rows(&packet(), &open(&access(), datagram)?, max)
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
        assert_eq!(message_id(&good()), Some(0x0102_0304));
        assert_eq!(
            get(&good()),
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
        let check = |bindings: &[(&str, Vec<u8>)]| get(&response(0, 0, bindings)).unwrap_err();
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
        let read = |status, index| get(&response(status, index, &[])).unwrap();
        let error = |status, at| Answer::Error { status, at };
        assert_eq!(read(2, 3), error(2, Some(2)));
        assert_eq!(read(2, 4), error(2, None));
        assert_eq!(read(1, 0), error(1, None));
    }

    #[test]
    fn other_versions_communities_and_kinds_are_refused() {
        let mut other = good();
        other[4] = 0;
        assert_eq!(get(&other), Err(Refusal::OtherVersion));
        let mut other = good();
        other[7] = b'P';
        assert_eq!(get(&other), Err(Refusal::OtherCommunity));
        let mut other = good();
        other[13] = 0xa0;
        assert_eq!(get(&other), Err(Refusal::NotAResponse));
        assert_eq!(get(b""), Err(Refusal::Malformed));
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
            message_id(&bytes);
            if let Ok(Answer::Values(values)) = get(&bytes) {
                prop_assert_eq!(values.len(), NAMES.len());
            }
            if let Ok(Rows::Rows(rows)) = walk(&bytes, 3) {
                prop_assert!(!rows.is_empty() && rows.len() <= 3);
            }
        }

        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            message_id(&bytes);
            let _ = get(&bytes);
            let _ = walk(&bytes, 10);
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

//! Requests as bytes. A packet is encoded once; only its ids are patched before each use.

use super::ber::{self, pdu};
use super::{Access, Oid, Value};

/// The kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Get,
    GetNext,
    /// Rows wanted; no non-repeaters.
    GetBulk(u16),
    Set,
    /// RFC 3416 4.2.6; nobody answers it.
    Trap,
    /// RFC 3416 4.2.7; answered with its own variables.
    Inform,
}

/// An encoded request without its id.
#[derive(Clone)]
pub(super) struct Packet {
    /// The whole message of a community version; the PDU alone of v3, whose envelope changes with
    /// every use.
    bytes: Vec<u8>,
    id_at: usize,
    /// Encoded names, in order, to compare answers with.
    pub(super) names: Vec<Box<[u8]>>,
}

impl std::fmt::Debug for Packet {
    // Its bytes hold the community.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packet")
            .field("variables", &self.names.len())
            .finish_non_exhaustive()
    }
}

const ID_BYTES: usize = 4;

/// The smallest id that takes four bytes in shortest form, so that patching keeps the length.
pub(super) const ID_MIN: i32 = 0x0080_0000;

impl Packet {
    pub(super) fn new(access: &Access, question: Question, oids: &[Oid]) -> Self {
        let nothing: Vec<(&Oid, &Value)> = oids.iter().map(|oid| (oid, &Value::Null)).collect();
        Self::with_values(access, question, &nothing)
    }

    /// A packet that carries values, for [`Question::Set`], [`Question::Trap`] and [`Question::Inform`]. Values that are no values are NULL.
    pub(super) fn with_values(access: &Access, question: Question, bindings: &[(&Oid, &Value)]) -> Self {
        let names: Vec<Box<[u8]>> = bindings.iter().map(|(oid, _)| encode_oid(oid).into()).collect();
        let mut list = Vec::new();
        for (name, (_, value)) in names.iter().zip(bindings) {
            let mut binding = Vec::with_capacity(name.len() + 6);
            ber::put(&mut binding, ber::OBJECT_IDENTIFIER, name);
            put_value(&mut binding, value);
            ber::put(&mut list, ber::SEQUENCE, &binding);
        }
        let (tag, repetitions) = match question {
            Question::Get => (pdu::GET, 0),
            Question::GetNext => (pdu::GET_NEXT, 0),
            Question::GetBulk(rows) => (pdu::GET_BULK, rows),
            Question::Set => (pdu::SET, 0),
            Question::Trap => (pdu::TRAP, 0),
            Question::Inform => (pdu::INFORM, 0),
        };
        let mut content = Vec::with_capacity(list.len() + 20);
        ber::put(&mut content, ber::INTEGER, &ID_MIN.to_be_bytes());
        ber::put_integer(&mut content, ber::INTEGER, 0);
        ber::put_integer(&mut content, ber::INTEGER, i64::from(repetitions));
        ber::put(&mut content, ber::SEQUENCE, &list);
        let mut pdu = Vec::with_capacity(content.len() + 4);
        ber::put(&mut pdu, tag, &content);
        let (version, community) = match access {
            Access::V1(community) => (0, community),
            Access::V2c(community) => (1, community),
            Access::V3(_) => {
                let id_at = pdu.len() - content.len() + 2;
                return Self {
                    bytes: pdu,
                    id_at,
                    names,
                };
            }
        };
        let mut message = Vec::with_capacity(pdu.len() + community.0.len() + 8);
        ber::put_integer(&mut message, ber::INTEGER, version);
        ber::put(&mut message, ber::OCTET_STRING, community.0.as_bytes());
        message.extend_from_slice(&pdu);
        let mut bytes = Vec::with_capacity(message.len() + 4);
        ber::put(&mut bytes, ber::SEQUENCE, &message);
        // The PDU stands last in the message, and its id first in the PDU behind a two-byte head.
        let id_at = bytes.len() - content.len() + 2;
        Self { bytes, id_at, names }
    }

    /// The bytes with this id, which is at least [`ID_MIN`], in the caller's buffer.
    pub(super) fn write(&self, id: i32, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        out[self.id_at..self.id_at + ID_BYTES].copy_from_slice(&id.to_be_bytes());
    }

    /// The PDU of a v3 question in three pieces, the middle one being the id.
    pub(super) fn pieces(&self) -> (&[u8], &[u8]) {
        (&self.bytes[..self.id_at], &self.bytes[self.id_at + ID_BYTES..])
    }
}

/// Writes a value with its head.
fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Integer(n) => ber::put_integer(out, ber::INTEGER, *n),
        Value::Unsigned(n) => {
            // 2^63 and more take a ninth byte, which no SNMP type that can be set has.
            ber::put_integer(out, ber::GAUGE, i64::try_from(*n).unwrap_or(i64::MAX));
        }
        Value::Ticks(n) => ber::put_integer(out, ber::TICKS, i64::from(*n)),
        Value::Bytes(bytes) => ber::put(out, ber::OCTET_STRING, bytes),
        Value::Oid(oid) => ber::put(out, ber::OBJECT_IDENTIFIER, &encode_oid(oid)),
        Value::Address(address) => ber::put(out, ber::ADDRESS, address),
        Value::Opaque(bytes) => ber::put(out, ber::OPAQUE, bytes),
        Value::Null
        | Value::NoSuchObject
        | Value::NoSuchInstance
        | Value::EndOfMib
        | Value::DeviceError(_) => ber::put(out, ber::NULL, &[]),
    }
}

/// The content of an OBJECT IDENTIFIER, X.690 8.19.
pub(super) fn encode_oid(oid: &Oid) -> Vec<u8> {
    let arcs = oid.arcs();
    // An `Oid` has two arcs or more, and the first two fit one subidentifier.
    let mut bytes = Vec::with_capacity(arcs.len() + 4);
    push_base128(&mut bytes, arcs[0] * 40 + arcs[1]);
    for arc in &arcs[2..] {
        push_base128(&mut bytes, *arc);
    }
    bytes
}

fn push_base128(out: &mut Vec<u8>, arc: u32) {
    for shift in [28, 21, 14, 7] {
        if arc >> shift != 0 {
            out.push(0x80 | (arc >> shift & 0x7f) as u8);
        }
    }
    out.push((arc & 0x7f) as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::site::Secret;
    use snmp2::{MessageType, Pdu};

    fn oids(texts: &[&str]) -> Vec<Oid> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn with_id(packet: &Packet, id: i32) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.write(id, &mut bytes);
        bytes
    }

    #[test]
    fn a_printed_packet_does_not_tell_the_community() {
        let access = Access::V2c(Secret("public".to_owned()));
        let packet = Packet::new(&access, Question::Get, &oids(&["1.3.6.1.2.1.1.1.0"]));
        let printed = format!("{packet:?}");
        assert!(printed.contains("variables: 1"), "{printed}");
        assert!(!printed.contains("112, 117, 98"), "{printed}");
    }

    #[test]
    fn a_packet_is_what_the_standard_says() {
        // RFC 1157 and X.690 by hand: GET sysDescr.0, id 0x01020304, community "public".
        let packet = Packet::new(
            &Access::V2c(Secret("public".to_owned())),
            Question::Get,
            &oids(&["1.3.6.1.2.1.1.1.0"]),
        );
        let expected: &[u8] = &[
            0x30, 41, 0x02, 1, 1, 0x04, 6, b'p', b'u', b'b', b'l', b'i', b'c', 0xa0, 28, 0x02, 4, 1, 2, 3, 4,
            0x02, 1, 0, 0x02, 1, 0, 0x30, 14, 0x30, 12, 0x06, 8, 0x2b, 6, 1, 2, 1, 1, 1, 0, 0x05, 0,
        ];
        assert_eq!(with_id(&packet, 0x0102_0304), expected);
    }

    #[test]
    fn another_decoder_reads_every_kind() {
        let many: Vec<String> = (0..60)
            .map(|n| format!("1.3.6.1.4.1.318.{n}.4294967295.300.0"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (question, kind, repetitions) in [
            (Question::Get, MessageType::GetRequest, 0),
            (Question::GetNext, MessageType::GetNextRequest, 0),
            (Question::GetBulk(20), MessageType::GetBulkRequest, 20),
            (Question::GetBulk(200), MessageType::GetBulkRequest, 200),
            (Question::Set, MessageType::SetRequest, 0),
        ] {
            let packet = Packet::new(&Access::V1(Secret("c".to_owned())), question, &oids(&many));
            let bytes = with_id(&packet, i32::MAX);
            let pdu = Pdu::from_bytes(&bytes).unwrap();
            assert_eq!(pdu.message_type, kind);
            assert_eq!((pdu.req_id, pdu.error_index), (i32::MAX, repetitions));
            let names: Vec<String> = pdu.varbinds.map(|(name, _)| name.to_string()).collect();
            assert_eq!(names, many);
        }
    }

    #[test]
    fn another_decoder_reads_the_values_of_a_set() {
        let name = &oids(&["1.3.6.1.2.1.1.6.0"])[0];
        let values = [
            Value::Integer(-5),
            Value::Unsigned(70_000),
            Value::Bytes(b"rack 3".to_vec()),
            Value::Ticks(9),
            Value::Address([192, 168, 0, 1]),
        ];
        let bindings: Vec<(&Oid, &Value)> = values.iter().map(|value| (name, value)).collect();
        let access = Access::V2c(Secret("c".to_owned()));
        let bytes = with_id(&Packet::with_values(&access, Question::Set, &bindings), ID_MIN);
        let got: Vec<String> = Pdu::from_bytes(&bytes)
            .unwrap()
            .varbinds
            .map(|(_, value)| format!("{value:?}"))
            .collect();
        assert_eq!(
            got,
            [
                "INTEGER: -5",
                "UNSIGNED32: 70000",
                "OCTET STRING: rack 3",
                "TIMETICKS: 9",
                "IP ADDRESS: 192.168.0.1"
            ]
        );
    }
}

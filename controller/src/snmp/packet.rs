//! Requests as bytes. A packet is encoded once; only its request id is patched before each use.

use super::Oid;
use super::SnmpVersion;

/// The kind of question, by its PDU tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Get,
    GetNext,
    /// Rows wanted; no non-repeaters.
    GetBulk(u16),
}

/// An encoded request without its id.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    bytes: Vec<u8>,
    id_at: usize,
    /// Encoded names, in order, to compare answers with.
    pub(super) names: Vec<Vec<u8>>,
    pub(super) version: SnmpVersion,
    pub(super) community: Vec<u8>,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const ID_BYTES: usize = 4;

/// The smallest id that takes four bytes in shortest form, so that patching keeps the length.
pub(super) const ID_MIN: i32 = 0x0080_0000;

impl Packet {
    pub(super) fn new(version: SnmpVersion, community: &str, question: Question, oids: &[Oid]) -> Self {
        let names: Vec<Vec<u8>> = oids.iter().map(encode_oid).collect();
        let mut bindings = Vec::new();
        for name in &names {
            let mut binding = Vec::with_capacity(name.len() + 6);
            push(&mut binding, OBJECT_IDENTIFIER, name);
            push(&mut binding, NULL, &[]);
            push(&mut bindings, SEQUENCE, &binding);
        }
        let (tag, repetitions) = match question {
            Question::Get => (0xa0, 0),
            Question::GetNext => (0xa1, 0),
            Question::GetBulk(rows) => (0xa5, rows),
        };
        let mut pdu = Vec::new();
        push(&mut pdu, INTEGER, &ID_MIN.to_be_bytes());
        push(&mut pdu, INTEGER, &[0]);
        let [high, low] = repetitions.to_be_bytes();
        push(
            &mut pdu,
            INTEGER,
            &[0, high, low][if high == 0 && low < 0x80 { 2 } else { 0 }..],
        );
        push(&mut pdu, SEQUENCE, &bindings);
        let version_number = match version {
            SnmpVersion::V1 => 0,
            SnmpVersion::V2c => 1,
        };
        let mut message = Vec::new();
        push(&mut message, INTEGER, &[version_number]);
        push(&mut message, OCTET_STRING, community.as_bytes());
        push(&mut message, tag, &pdu);
        let mut bytes = Vec::with_capacity(message.len() + 5);
        push(&mut bytes, SEQUENCE, &message);
        // The PDU stands last in the message, and its id first in the PDU behind a two-byte head.
        let id_at = bytes.len() - pdu.len() + 2;
        Self {
            bytes,
            id_at,
            names,
            version,
            community: community.as_bytes().to_vec(),
        }
    }

    /// The bytes with this id, which is at least [`ID_MIN`].
    pub(super) fn with_id(&self, id: i32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[self.id_at..self.id_at + ID_BYTES].copy_from_slice(&id.to_be_bytes());
        bytes
    }
}

fn push(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let len = content.len();
    if len < 0x80 {
        out.push(u8::try_from(len).expect("less than 128"));
    } else {
        let bytes = len.to_be_bytes();
        let used = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | u8::try_from(used.len()).expect("a usize has at most 8 bytes"));
        out.extend_from_slice(used);
    }
    out.extend_from_slice(content);
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
    use snmp2::{MessageType, Pdu};

    fn oids(texts: &[&str]) -> Vec<Oid> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_packet_is_what_the_standard_says() {
        // RFC 1157 and X.690 by hand: GET sysDescr.0, id 0x01020304, community "public".
        let packet = Packet::new(
            SnmpVersion::V2c,
            "public",
            Question::Get,
            &oids(&["1.3.6.1.2.1.1.1.0"]),
        );
        let expected: &[u8] = &[
            0x30, 41, 0x02, 1, 1, 0x04, 6, b'p', b'u', b'b', b'l', b'i', b'c', 0xa0, 28, 0x02, 4, 1, 2, 3, 4,
            0x02, 1, 0, 0x02, 1, 0, 0x30, 14, 0x30, 12, 0x06, 8, 0x2b, 6, 1, 2, 1, 1, 1, 0, 0x05, 0,
        ];
        assert_eq!(packet.with_id(0x0102_0304), expected);
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
        ] {
            let packet = Packet::new(SnmpVersion::V1, "c", question, &oids(&many));
            let bytes = packet.with_id(i32::MAX);
            let pdu = Pdu::from_bytes(&bytes).unwrap();
            assert_eq!(pdu.message_type, kind);
            assert_eq!((pdu.req_id, pdu.error_index), (i32::MAX, repetitions));
            let names: Vec<String> = pdu.varbinds.map(|(name, _)| name.to_string()).collect();
            assert_eq!(names, many);
        }
    }
}

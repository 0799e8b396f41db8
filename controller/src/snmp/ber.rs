//! Writing BER, and the few tags SNMP has. Reading is `snmp2::AsnReader`'s work.
//!
//! Everything is written forwards into a buffer of the caller: lengths are computed first, so
//! nothing is moved and nothing is written twice.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const ADDRESS: u8 = 0x40;
pub(super) const COUNTER: u8 = 0x41;
pub(super) const GAUGE: u8 = 0x42;
pub(super) const TICKS: u8 = 0x43;
pub(super) const OPAQUE: u8 = 0x44;

/// PDUs, RFC 3416 3 and RFC 1157 4.1.6.
pub(super) mod pdu {
    pub(in crate::snmp) const GET: u8 = 0xa0;
    pub(in crate::snmp) const GET_NEXT: u8 = 0xa1;
    pub(in crate::snmp) const RESPONSE: u8 = 0xa2;
    pub(in crate::snmp) const SET: u8 = 0xa3;
    pub(in crate::snmp) const TRAP_V1: u8 = 0xa4;
    pub(in crate::snmp) const GET_BULK: u8 = 0xa5;
    pub(in crate::snmp) const INFORM: u8 = 0xa6;
    pub(in crate::snmp) const TRAP: u8 = 0xa7;
    pub(in crate::snmp) const REPORT: u8 = 0xa8;
}

/// Bytes of tag, length and content.
pub(super) const fn size(content: usize) -> usize {
    let length = if content < 0x80 {
        1
    } else {
        1 + (usize::BITS as usize - content.leading_zeros() as usize).div_ceil(8)
    };
    1 + length + content
}

/// Writes a tag and the length of what follows.
pub(super) fn head(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    if length < 0x80 {
        out.push(u8::try_from(length).expect("less than 128"));
    } else {
        let bytes = length.to_be_bytes();
        let used = &bytes[length.leading_zeros() as usize / 8..];
        out.push(0x80 | u8::try_from(used.len()).expect("a usize has at most 8 bytes"));
        out.extend_from_slice(used);
    }
}

/// Writes tag, length and content.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    head(out, tag, content.len());
    out.extend_from_slice(content);
}

/// An INTEGER's content in shortest form.
pub(super) fn integer(n: i64) -> ([u8; 8], usize) {
    let bytes = n.to_be_bytes();
    let mut from = 0;
    // A leading byte that only repeats the sign of the next one is left out.
    while from < 7
        && (bytes[from] == 0 && bytes[from + 1] < 0x80 || bytes[from] == 0xff && bytes[from + 1] >= 0x80)
    {
        from += 1;
    }
    (bytes, from)
}

/// Writes a whole number with this tag.
pub(super) fn put_integer(out: &mut Vec<u8>, tag: u8, n: i64) {
    let (bytes, from) = integer(n);
    put(out, tag, &bytes[from..]);
}

/// Bytes of an INTEGER with its head.
pub(super) fn integer_size(n: i64) -> usize {
    size(8 - integer(n).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snmp2::AsnReader;

    proptest! {
        #[test]
        fn numbers_come_back(n: i64, small in -200_i64..200) {
            for n in [n, small] {
                let mut bytes = Vec::new();
                put_integer(&mut bytes, INTEGER, n);
                prop_assert_eq!(bytes.len(), integer_size(n));
                prop_assert_eq!(AsnReader::from_bytes(&bytes).read_asn_integer().unwrap(), n);
            }
        }

        #[test]
        fn lengths_are_what_they_were_said_to_be(length in 0_usize..70_000) {
            let mut bytes = Vec::new();
            put(&mut bytes, OCTET_STRING, &vec![7; length]);
            prop_assert_eq!(bytes.len(), size(length));
            prop_assert_eq!(AsnReader::from_bytes(&bytes).read_asn_octetstring().unwrap().len(), length);
        }
    }
}

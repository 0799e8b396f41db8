//! CRC-32 (IEEE 802.3, reflected), for memory that may be half-written or rotten.
//!
//! It finds accidents, never attacks: what must be authentic carries a tag ([`crate::wire`]).

/// CRC-32 of `bytes`. Bit by bit: a node checks 64 bytes at a time and saves the 1 KiB table.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0xedb8_8320;
            }
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn check_value_of_the_catalogue() {
        // "CRC-32/ISO-HDLC" in the catalogue of parametrised CRC algorithms.
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}

//! Hex digits as bytes, read in one way everywhere: two digits a byte, upper or lower case, no
//! sign, no blank, nothing left over.

/// Reads exactly as many bytes as `into` has; false, with `into` half written, for anything else.
#[must_use]
pub fn read(text: &[u8], into: &mut [u8]) -> bool {
    if text.len() != into.len() * 2 {
        return false;
    }
    for (byte, pair) in into.iter_mut().zip(text.chunks_exact(2)) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
            return false;
        };
        *byte = high << 4 | low;
    }
    true
}

/// Lower case digits, two a byte.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

const fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        b'A'..=b'F' => Some(letter - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn only_pairs_of_digits_are_bytes() {
        let mut bytes = [0; 2];
        assert!(read(b"0aFf", &mut bytes));
        assert_eq!(bytes, [0x0a, 0xff]);
        for wrong in ["", "0aF", "0aFf0", "+f0a", "0a f", "0x0a", "0aFg", "あa"] {
            assert!(!read(wrong.as_bytes(), &mut bytes), "{wrong}");
        }
    }
}

//! Object identifiers and values as they come from a device, before any profile reads them.
//!
//! These types own their bytes and know nothing of sockets or encodings. They never turn an
//! unreadable value into a number.

use std::fmt;
use std::str::FromStr;

/// Arcs in one identifier; RFC 2578 3.5 allows no more.
pub const ARCS_MAX: usize = 128;

/// An object identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Vec<u32>);

/// Text that is no object identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no object identifier (digits and dots, 2 to 128 arcs, first arc 0 to 2)")]
pub struct BadOid(pub String);

impl Oid {
    /// From its arcs.
    ///
    /// # Errors
    /// [`BadOid`] when fewer than two or more than [`ARCS_MAX`] arcs, or when the first two
    /// cannot be encoded.
    pub fn new(arcs: Vec<u32>) -> Result<Self, BadOid> {
        let oid = Self(arcs);
        let fits = match oid.0.as_slice() {
            [first @ (0 | 1), second, ..] => *first <= 1 && *second < 40,
            [2, second, ..] => *second <= u32::MAX - 80,
            _ => false,
        };
        if fits && oid.0.len() <= ARCS_MAX {
            Ok(oid)
        } else {
            Err(BadOid(oid.to_string()))
        }
    }

    /// The arcs.
    #[must_use]
    pub fn arcs(&self) -> &[u32] {
        &self.0
    }

    /// True when `self` lies below `root` or is it.
    #[must_use]
    pub fn is_under(&self, root: &Self) -> bool {
        self.0.starts_with(&root.0)
    }

    /// False for the instance of a scalar, below which there can be nothing.
    #[must_use]
    pub fn may_have_rows(&self) -> bool {
        self.0.last() != Some(&0)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arc) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            write!(f, "{arc}")?;
        }
        Ok(())
    }
}

impl FromStr for Oid {
    type Err = BadOid;

    /// Reads dotted digits; a leading dot, which some tools write, is accepted.
    fn from_str(text: &str) -> Result<Self, BadOid> {
        let bad = || BadOid(text.chars().take(80).collect());
        let digits = text.trim().strip_prefix('.').unwrap_or(text.trim());
        let mut arcs = Vec::new();
        for arc in digits.split('.') {
            if arcs.len() == ARCS_MAX || arc.starts_with('+') {
                return Err(bad());
            }
            arcs.push(arc.parse().map_err(|_| bad())?);
        }
        Self::new(arcs).map_err(|_| bad())
    }
}

/// A value as the device sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `INTEGER`
    Integer(i64),
    /// `Gauge32`, `Unsigned32`, `Counter32`, `Counter64`
    Unsigned(u64),
    /// `TimeTicks`, hundredths of a second
    Ticks(u32),
    /// `OCTET STRING`, also `BITS`
    Bytes(Vec<u8>),
    /// `OBJECT IDENTIFIER`
    Oid(Oid),
    /// `IpAddress`
    Address([u8; 4]),
    /// `Opaque`, undecoded
    Opaque(Vec<u8>),
    /// `NULL`; some agents answer so for what they do not measure
    Null,
    /// The device has no such object.
    NoSuchObject,
    /// The device has the object but not this instance.
    NoSuchInstance,
    /// Nothing follows.
    EndOfMib,
    /// The device answered this variable with an error status of its own.
    DeviceError(u32),
}

impl Value {
    /// False for the ways of saying "there is nothing here".
    #[must_use]
    pub const fn is_present(&self) -> bool {
        !matches!(
            self,
            Self::Null | Self::NoSuchObject | Self::NoSuchInstance | Self::EndOfMib | Self::DeviceError(_)
        )
    }

    /// The number, exactly as sent; `None` for everything that is not one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i128> {
        match self {
            Self::Integer(n) => Some(i128::from(*n)),
            Self::Unsigned(n) => Some(i128::from(*n)),
            Self::Ticks(n) => Some(i128::from(*n)),
            _ => None,
        }
    }
}

/// For records and screens: never empty when a value is present, empty when there is none.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Unsigned(n) => write!(f, "{n}"),
            Self::Ticks(n) => write!(f, "{n}"),
            Self::Bytes(bytes) | Self::Opaque(bytes) => match printable(bytes) {
                Some(text) => write!(f, "\"{text}\""),
                None => {
                    f.write_str("0x")?;
                    bytes
                        .iter()
                        .take(TEXT_MAX)
                        .try_for_each(|byte| write!(f, "{byte:02x}"))
                }
            },
            Self::Oid(oid) => write!(f, "{oid}"),
            Self::Address([a, b, c, d]) => write!(f, "{a}.{b}.{c}.{d}"),
            Self::DeviceError(status) => write!(f, "error-status {status}"),
            Self::Null | Self::NoSuchObject | Self::NoSuchInstance | Self::EndOfMib => Ok(()),
        }
    }
}

/// Bytes of text kept of one value: a sysDescr is at most 255.
const TEXT_MAX: usize = 255;

/// The text of an octet string: without padding NULs and blanks, cut to [`TEXT_MAX`] bytes;
/// `None` when it is no text.
#[must_use]
pub fn printable(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let trimmed = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    let clean: String = trimmed
        .chars()
        .map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c })
        .collect();
    if clean.chars().any(char::is_control) {
        return None;
    }
    let end = (0..=clean.len().min(TEXT_MAX))
        .rev()
        .find(|&end| clean.is_char_boundary(end))?;
    Some(clean[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_read_and_printed() {
        let oid: Oid = ".1.3.6.1.4.1.318".parse().unwrap();
        assert_eq!(oid.to_string(), "1.3.6.1.4.1.318");
        assert!(oid.is_under(&"1.3.6.1.4.1".parse().unwrap()));
        assert!(!oid.is_under(&"1.3.6.1.4.1.3".parse().unwrap()));
        for bad in [
            "",
            "1",
            "1..3",
            "1.a",
            "3.1",
            "1.40",
            "1.-3",
            "1.+3",
            "1.4294967296",
        ] {
            assert!(bad.parse::<Oid>().is_err(), "{bad}");
        }
        assert!(["1.3"; 65].join(".").parse::<Oid>().is_err());
    }

    #[test]
    fn text_is_cleaned_and_garbage_is_no_text() {
        assert_eq!(printable(b"Smart-UPS \0\0").as_deref(), Some("Smart-UPS"));
        assert_eq!(printable(b"\0\0\0\0").as_deref(), Some(""));
        assert_eq!(printable(b"a\r\nb").as_deref(), Some("a  b"));
        assert_eq!(printable(&[0xff, 0xfe]), None);
        assert_eq!(printable(&[1, 2]), None);
        assert_eq!(printable("電".repeat(100).as_bytes()).map(|t| t.len()), Some(255));
    }
}

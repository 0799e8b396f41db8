//! Arrays of bytes in orders, read by one small loop.
//!
//! serde's own code for an array is written out byte by byte: 1.3 KB of a node's flash for the two
//! lengths that orders have. What is read is the same.

use core::fmt;
use heapless::Vec;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// So many bytes.
struct Octets<const N: usize>([u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Octets<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<const N: usize>;

        impl<'de, const N: usize> Visitor<'de> for Reader<N> {
            type Value = Octets<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{N} bytes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Octets<N>, A::Error> {
                let mut bytes = [0; N];
                for (at, byte) in bytes.iter_mut().enumerate() {
                    *byte = from
                        .next_element()?
                        .ok_or_else(|| A::Error::invalid_length(at, &self))?;
                }
                Ok(Octets(bytes))
            }
        }

        from.deserialize_tuple(N, Reader)
    }
}

/// One array.
pub(super) fn one<'de, const N: usize, D: Deserializer<'de>>(from: D) -> Result<[u8; N], D::Error> {
    Octets::deserialize(from).map(|octets| octets.0)
}

/// Two of the same length.
pub(super) fn two<'de, const N: usize, D: Deserializer<'de>>(
    from: D,
) -> Result<([u8; N], [u8; N]), D::Error> {
    <(Octets<N>, Octets<N>)>::deserialize(from).map(|(first, second)| (first.0, second.0))
}

/// A few of the same length.
pub(super) fn few<'de, const N: usize, const M: usize, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<[u8; N], M>, D::Error> {
    Vec::<Octets<N>, M>::deserialize(from).map(|few| few.into_iter().map(|octets| octets.0).collect())
}

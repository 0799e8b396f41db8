//! The tree of RFC 6962 section 2.1, by its stored hashes: those of the subtrees that are complete,
//! numbered in the order in which they become so.
//!
//! ```text
//!           6            leaves 0 1 2 3 have the stored hashes 0 1 3 4; node 2 is complete with
//!       2       5        leaf 1, nodes 5 and 6 with leaf 3
//!     0   1   3   4
//! ```
//! Appending needs the right edge alone ([`Frontier`], at most 64 hashes); a proof reads a few stored
//! hashes. The whole tree is never in memory.

use sha2::{Digest as _, Sha256};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// Most hashes of a right edge or a proof: a log of 2^48 entries is refused long before.
pub const MAX_DEPTH: usize = 64;

/// The hash of a leaf's bytes.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(leaf);
    hash.finalize().into()
}

/// The hash of two subtrees.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The root of an empty tree.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// How many hashes are stored for a tree of `size` leaves: the index of its first one to come.
#[must_use]
pub const fn stored_count(size: u64) -> u64 {
    // Leaf k completes as many subtrees as k+1 has zeros at its end: 2 size - popcount in sum.
    2 * size - size.count_ones() as u64
}

/// The number of the stored hash of the subtree over leaves `index << level ..` of `1 << level`.
#[must_use]
pub const fn stored_index(level: u32, index: u64) -> u64 {
    let last = ((index + 1) << level) - 1;
    stored_count(last) + level as u64
}

/// The right edge of a tree: the hashes of its complete subtrees, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    edge: Vec<Hash>,
}

impl Frontier {
    /// The edge of a tree whose stored hashes can be read.
    ///
    /// # Errors
    /// What reading gave.
    pub fn read<E>(size: u64, mut stored: impl FnMut(u64) -> Result<Hash, E>) -> Result<Self, E> {
        let edge = subtrees(0, size)
            .map(|(level, index)| stored(stored_index(level, index)))
            .collect::<Result<_, E>>()?;
        Ok(Self { size, edge })
    }

    /// Leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf's hash; returns the hashes to be stored from [`stored_count`] of the size
    /// before on, in order.
    pub fn append(&mut self, leaf: Hash) -> Vec<Hash> {
        let mut new = vec![leaf];
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.edge.pop() else { break };
            hash = node_hash(&left, &hash);
            new.push(hash);
        }
        self.edge.push(hash);
        self.size += 1;
        new
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        joined(&self.edge)
    }
}

/// The root over complete subtrees, largest first.
fn joined(edge: &[Hash]) -> Hash {
    let mut from_right = edge.iter().rev();
    let Some(last) = from_right.next() else {
        return empty_root();
    };
    from_right.fold(*last, |right, left| node_hash(left, &right))
}

/// The complete subtrees over leaves `from..to`, largest first, where `from` is a multiple of the
/// largest: (level, index on that level).
fn subtrees(from: u64, to: u64) -> impl Iterator<Item = (u32, u64)> {
    let mut from = from;
    std::iter::from_fn(move || {
        let left = to.checked_sub(from).filter(|left| *left > 0)?;
        let level = left.ilog2();
        let at = (level, from >> level);
        from += 1 << level;
        Some(at)
    })
}

/// The root of the first `size` leaves.
///
/// # Errors
/// What reading a stored hash gave.
pub fn root_at<E>(size: u64, stored: impl FnMut(u64) -> Result<Hash, E>) -> Result<Hash, E> {
    Frontier::read(size, stored).map(|frontier| frontier.root())
}

/// The hash over leaves `from..to`.
fn range<E>(from: u64, to: u64, stored: &mut impl FnMut(u64) -> Result<Hash, E>) -> Result<Hash, E> {
    let edge = subtrees(from, to)
        .map(|(level, index)| stored(stored_index(level, index)))
        .collect::<Result<Vec<_>, E>>()?;
    Ok(joined(&edge))
}

/// The largest power of two below `n`, which is at least 2.
const fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The proof that leaf `n` is in the tree of `size` leaves (RFC 6962 section 2.1.1), lowest hash first;
/// empty when `n` is not in it.
///
/// # Errors
/// What reading a stored hash gave.
pub fn inclusion<E>(
    n: u64,
    size: u64,
    mut stored: impl FnMut(u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let mut path = Vec::new();
    let (mut from, mut to) = (0, size);
    if n >= size {
        return Ok(path);
    }
    while to - from > 1 {
        let middle = from + split(to - from);
        if n < middle {
            path.push(range(middle, to, &mut stored)?);
            to = middle;
        } else {
            path.push(range(from, middle, &mut stored)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is the beginning of that of `new` (section 2.1.2); empty
/// for `old` 0, `new` or more.
///
/// # Errors
/// What reading a stored hash gave.
pub fn consistency<E>(
    old: u64,
    new: u64,
    mut stored: impl FnMut(u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return Ok(path);
    }
    let (mut from, mut to) = (0, new);
    // True while the subtree looked at is one that the old root's reader can make himself.
    let mut is_known = true;
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(range(middle, to, &mut stored)?);
            to = middle;
        } else {
            path.push(range(from, middle, &mut stored)?);
            from = middle;
            is_known = false;
        }
    }
    if !is_known {
        path.push(range(from, to, &mut stored)?);
    }
    path.reverse();
    Ok(path)
}

/// The root that an inclusion proof leads to; `None` for a proof of another shape.
#[must_use]
pub fn root_of_inclusion(leaf: &Hash, n: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if n >= size {
        return None;
    }
    let (mut index, mut last) = (n, size - 1);
    let mut hash = *leaf;
    for step in path {
        if last == 0 {
            return None;
        }
        if index & 1 == 1 || index == last {
            hash = node_hash(step, &hash);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        index >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

//! The Merkle tree of RFC 6962 section 2.1, as far as a reader needs it: the frontier, which gives the
//! root at every size while the leaves pass by, and the path from one leaf to a root.

use crate::forms::Hash;
use sha2::{Digest, Sha256};

/// Hashes of a path at most: a tree of 2^53 leaves has no more levels.
pub const MAX_PATH: usize = 53;

/// `SHA-256(0x00 | leaf)`
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(leaf)
        .finalize()
        .into()
}

/// `SHA-256(0x01 | left | right)`
fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The roots of the complete subtrees that the leaves so far make, greatest first.
#[derive(Debug, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut hash = leaf_hash(leaf);
        // Every 1 at the end of the size is a complete subtree as great as the new one.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The root; of no leaves the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut from_right = self.roots.iter().rev();
        let Some(last) = from_right.next() else {
            return Sha256::digest([]).into();
        };
        from_right.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The root that leaf `index` and `path` (from the leaf upwards) give in a tree of `size` leaves;
/// none when the path has not the length that it must have.
pub fn root_of_path(leaf: &[u8], index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut place, mut last) = (index, size - 1);
    let mut hash = leaf_hash(leaf);
    let mut path = path.iter();
    while last > 0 {
        if place % 2 == 1 {
            hash = node_hash(path.next()?, &hash);
        } else if place < last {
            hash = node_hash(&hash, path.next()?);
        }
        place /= 2;
        last /= 2;
    }
    path.next().is_none().then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forms::to_hex;

    /// RFC 6962's definition, word by word: slow and plain.
    fn plain(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => leaf_hash(one),
            more => {
                let half = more.len().next_power_of_two() / 2;
                node_hash(&plain(&more[..half]), &plain(&more[half..]))
            }
        }
    }

    fn plain_path(at: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let half = leaves.len().next_power_of_two() / 2;
        if at < half {
            let mut path = plain_path(at, &leaves[..half]);
            path.push(plain(&leaves[half..]));
            path
        } else {
            let mut path = plain_path(at - half, &leaves[half..]);
            path.push(plain(&leaves[..half]));
            path
        }
    }

    #[test]
    fn every_size_and_every_path_up_to_70_is_as_the_definition_says() {
        let leaves: Vec<Vec<u8>> = (0..70_u8).map(|n| vec![n; usize::from(n)]).collect();
        let mut frontier = Frontier::default();
        assert_eq!(frontier.root(), plain(&[]));
        for size in 1..=leaves.len() {
            frontier.push(&leaves[size - 1]);
            assert_eq!(frontier.root(), plain(&leaves[..size]), "size {size}");
            for at in 0..size {
                let path = plain_path(at, &leaves[..size]);
                let found = |path: &[Hash]| root_of_path(&leaves[at], at as u64, size as u64, path);
                assert_eq!(found(&path), Some(frontier.root()), "{at} of {size}");
                let longer = [&path[..], &[[0; 32]]].concat();
                assert_ne!(found(&longer), Some(frontier.root()), "longer {at} of {size}");
                if let [shorter @ .., _] = &path[..] {
                    assert_ne!(found(shorter), Some(frontier.root()), "shorter {at} of {size}");
                }
            }
        }
    }

    #[test]
    fn known_roots_of_the_certificate_transparency_test_vectors() {
        let leaves: [&[u8]; 3] = [b"", b"\0", b"\x10"];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        ];
        let mut frontier = Frontier::default();
        for (leaf, root) in leaves.into_iter().zip(roots) {
            frontier.push(leaf);
            assert_eq!(to_hex(&frontier.root()), root);
        }
    }
}

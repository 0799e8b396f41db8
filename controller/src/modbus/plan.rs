//! Which registers are read together, and what a device taught about that.
//!
//! A device is read in as few questions as its registers allow: neighbours are merged, and small
//! holes between them are read, too, because a second question costs more than some words. Not
//! every device likes holes or long questions; what it refuses is cut, at the widest hole first,
//! until only the register it does not have is left, and that one is not asked for again.
//!
//! ```text
//! 1000 1001 . 1003 ..... 1043   one block --refused--> 1000..1003 | 1043 --refused--> skip
//! ```
//! Pure: it asks nobody.

use super::{Address, BITS_MAX, REGISTERS_MAX};
use std::collections::{BTreeMap, BTreeSet};

/// A bit costs a sixteenth of a register, so a hole of bits may be wider; by whole bytes.
const HOLE_BITS: u16 = 8;

/// Registers that are always read together: the words of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    start: Address,
    words: u16,
}

impl Item {
    fn end(&self) -> u32 {
        u32::from(self.start.at) + u32::from(self.words)
    }
}

/// What is read of one device.
#[derive(Debug, Clone)]
pub struct Plan {
    items: Vec<Item>,
    skipped: BTreeSet<usize>,
    /// A block never goes over this item's beginning.
    cuts: BTreeSet<usize>,
    most: u16,
    hole: u16,
}

/// One question of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// First register.
    pub start: Address,
    /// Registers or bits.
    pub count: u16,
    /// Indices into the plan's items: those that it covers.
    items: Vec<usize>,
}

impl Block {
    /// True when nothing can be cut off it.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.items.len() == 1
    }

    /// True when it covers this register.
    #[must_use]
    pub fn covers(&self, address: Address) -> bool {
        address.space == self.start.space
            && address.at >= self.start.at
            && u32::from(address.at) < u32::from(self.start.at) + u32::from(self.count)
    }
}

impl Plan {
    /// A plan for these values: where each begins and its registers, in any order, repeated or
    /// overlapping as they may be. `most` registers are asked for at once, over holes of `hole`.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = (Address, u16)>, most: u16, hole: u16) -> Self {
        let mut longest: BTreeMap<Address, u16> = BTreeMap::new();
        for (start, words) in values {
            let known = longest.entry(start).or_default();
            *known = (*known).max(words.clamp(1, REGISTERS_MAX));
        }
        Self {
            items: longest
                .into_iter()
                .map(|(start, words)| Item { start, words })
                .collect(),
            skipped: BTreeSet::new(),
            cuts: BTreeSet::new(),
            most: most.clamp(1, REGISTERS_MAX),
            hole,
        }
    }

    /// The questions, in order.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for (index, item) in self.items.iter().enumerate() {
            if self.skipped.contains(&index) {
                continue;
            }
            match blocks.last_mut() {
                Some(block) if self.joins(block, index, item) => {
                    let end = (u32::from(block.start.at) + u32::from(block.count)).max(item.end());
                    block.count = u16::try_from(end - u32::from(block.start.at))
                        .expect("joins() kept it below the most of one question");
                    block.items.push(index);
                }
                _ => blocks.push(Block {
                    start: item.start,
                    count: item.words,
                    items: vec![index],
                }),
            }
        }
        blocks
    }

    fn joins(&self, block: &Block, index: usize, item: &Item) -> bool {
        let bits = item.start.space.is_bits();
        let (most, hole) = if bits {
            (BITS_MAX, self.hole.saturating_mul(HOLE_BITS))
        } else {
            (self.most, self.hole)
        };
        let first = block.items.last().map_or(index, |last| last + 1);
        let block_end = u32::from(block.start.at) + u32::from(block.count);
        block.start.space == item.start.space
            // A cut counts also when the item behind it is skipped.
            && self.cuts.range(first..=index).next().is_none()
            && u32::from(item.start.at).saturating_sub(block_end) <= u32::from(hole)
            && item.end() - u32::from(block.start.at) <= u32::from(most)
    }

    /// The device refused this block as a whole: cuts it at its widest hole, or in the middle
    /// when it has none. A single value is skipped from now on.
    pub fn refuse(&mut self, block: &Block) {
        let [first, rest @ ..] = block.items.as_slice() else {
            return;
        };
        if rest.is_empty() {
            self.skipped.insert(*first);
            return;
        }
        let hole = |index: usize| {
            let before = block.items[..index]
                .iter()
                .map(|item| self.items[*item].end())
                .max();
            u32::from(self.items[block.items[index]].start.at).saturating_sub(before.unwrap_or(0))
        };
        let middle = block.items.len() / 2;
        let at = (1..block.items.len())
            // The widest hole; of equals the one nearest to the middle.
            .max_by_key(|index| (hole(*index), std::cmp::Reverse(index.abs_diff(middle))))
            .unwrap_or(middle);
        self.cuts.insert(block.items[at]);
    }

    /// The device has nothing of this block.
    pub fn skip(&mut self, block: &Block) {
        self.skipped.extend(&block.items);
    }

    /// The values that are not asked for.
    pub fn skipped(&self) -> impl Iterator<Item = Address> {
        self.skipped.iter().map(|index| self.items[*index].start)
    }

    /// Asks again for what was skipped: the device may have got it meanwhile.
    pub fn ask_all(&mut self) {
        self.skipped.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Space;
    use super::*;

    fn at(at: u16) -> Address {
        Address {
            space: Space::Holding,
            at,
        }
    }

    fn plan(values: &[(u16, u16)]) -> Plan {
        Plan::new(values.iter().map(|(start, words)| (at(*start), *words)), 125, 16)
    }

    fn ranges(plan: &Plan) -> Vec<(u16, u16)> {
        plan.blocks()
            .iter()
            .map(|block| (block.start.at, block.count))
            .collect()
    }

    #[test]
    fn neighbours_and_small_holes_are_one_question() {
        assert_eq!(ranges(&plan(&[(10, 1), (11, 2), (20, 1)])), [(10, 11)]);
        assert_eq!(ranges(&plan(&[(10, 1), (28, 1)])), [(10, 1), (28, 1)]);
        assert_eq!(ranges(&plan(&[(10, 4), (11, 1), (10, 2)])), [(10, 4)]);
    }

    #[test]
    fn a_question_is_never_longer_than_the_standard_or_the_device_allows() {
        let values: Vec<(u16, u16)> = (0..300).map(|n| (n, 1)).collect();
        assert_eq!(ranges(&plan(&values)), [(0, 125), (125, 125), (250, 50)]);
        let short = Plan::new(
            values[..50].iter().map(|(start, words)| (at(*start), *words)),
            20,
            16,
        );
        assert_eq!(ranges(&short), [(0, 20), (20, 20), (40, 10)]);
        // A value is never cut in two.
        assert_eq!(ranges(&plan(&[(0, 124), (124, 2)])), [(0, 124), (124, 2)]);
        assert_eq!(ranges(&plan(&[(65_535, 1), (65_534, 1)])), [(65_534, 2)]);
    }

    #[test]
    fn tables_are_not_mixed() {
        let input = Address {
            space: Space::Input,
            at: 1,
        };
        let coil = Address {
            space: Space::Coil,
            at: 1,
        };
        let plan = Plan::new([(at(0), 1), (input, 1), (coil, 1)], 125, 16);
        assert_eq!(plan.blocks().len(), 3);
    }

    #[test]
    fn what_is_refused_is_cut_until_only_the_bad_register_is_left() {
        let values: Vec<(u16, u16)> = (0..40).map(|n| (n, 1)).chain([(50, 1), (51, 1)]).collect();
        let mut plan = plan(&values);
        let mut asked = 0;
        loop {
            let blocks = plan.blocks();
            asked += blocks.len();
            // The device lacks 17, and the hole from 40 to 49.
            let bad = |block: &&Block| block.covers(at(17)) || block.covers(at(45));
            match blocks.iter().find(bad) {
                Some(block) => {
                    let block = block.clone();
                    plan.refuse(&block);
                }
                None => break,
            }
        }
        assert_eq!(plan.skipped().collect::<Vec<_>>(), [at(17)]);
        assert!(asked < 60, "{asked} questions");
        let covered: u16 = ranges(&plan).iter().map(|(_, count)| count).sum();
        assert_eq!(covered, 41);
        plan.ask_all();
        assert!(plan.blocks().iter().any(|block| block.covers(at(17))));
    }

    proptest::proptest! {
        #[test]
        fn every_value_is_read_whole_whatever_is_refused(
            values in proptest::collection::vec((0_u16..=65_000, 1_u16..=30), 1..60),
            refused in proptest::collection::vec(0_usize..60, 0..40),
            most in 30_u16..=125,
            hole in 0_u16..=40,
        ) {
            let mut plan = Plan::new(values.iter().map(|(start, words)| (at(*start), *words)), most, hole);
            for index in refused {
                let blocks = plan.blocks();
                if let Some(block) = blocks.get(index % blocks.len().max(1)) {
                    plan.refuse(block);
                }
            }
            let skipped: Vec<Address> = plan.skipped().collect();
            let blocks = plan.blocks();
            for block in &blocks {
                assert!(block.count >= 1 && block.count <= most.max(30));
            }
            for (start, words) in values {
                let whole = blocks.iter().any(|block| {
                    block.covers(at(start)) && block.covers(at(start + words - 1))
                });
                assert!(whole || skipped.contains(&at(start)), "{start}");
            }
        }
    }
}

//! Who the node is: the two copies of the configuration block in its memory.
//!
//! ```text
//! provisioned: [A valid][B blank] --rotate--> [A old key][B new key] --first frame--> [A new][B new]
//! ```
//! The valid copy with the higher generation counts. A rotated key goes into the other copy, so
//! that a power cut at any byte leaves the old key or the new one, never none. The old key stays
//! there, and what is sealed with it is believed, until the controller has shown that it uses the
//! new one: then its copy is overwritten as well, and nobody can read it any more.
//!
//! The node never changes anything else in the block. It prints no key.

use crate::layout::BLOCK_AT;
use crate::memory::{Memory, MemoryFault, write_verified};
use shared::provision::{BLOCK_LEN, Provision, ProvisionError};
use shared::wire::DeviceKey;

/// Reads who we are.
///
/// # Errors
/// `Err(MemoryFault)` when the memory does not answer; `Ok(Err(_))` when it holds no valid block:
/// of two problems the one that tells more.
pub fn provision(memory: &mut impl Memory) -> Result<Result<Provision, ProvisionError>, MemoryFault> {
    let first = copy(memory, 0)?;
    let second = copy(memory, 1)?;
    Ok(match (first, second) {
        (Ok(first), Ok(second)) => Ok(if is_newer(&second, &first) { second } else { first }),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
        (Err(ProvisionError::Blank), Err(problem)) | (Err(problem), Err(_)) => Err(problem),
    })
}

const fn is_newer(one: &Provision, other: &Provision) -> bool {
    // Generations may wrap; the two copies are never far from each other.
    one.generation.wrapping_sub(other.generation) as i32 > 0
}

fn copy(memory: &mut impl Memory, which: usize) -> Result<Result<Provision, ProvisionError>, MemoryFault> {
    let mut block = [0; BLOCK_LEN];
    memory.read(BLOCK_AT[which], &mut block)?;
    Ok(Provision::decode(&block))
}

/// A key and its number.
#[derive(Debug, Clone)]
pub struct NumberedKey {
    /// What stands in the header of a frame.
    pub id: u8,
    /// The key.
    pub key: DeviceKey,
}

/// The keys of a node.
#[derive(Debug)]
pub struct Keys {
    /// What frames are sealed with.
    pub current: NumberedKey,
    /// What frames from the controller may still be sealed with.
    pub previous: Option<NumberedKey>,
}

impl Keys {
    /// The keys in the memory. `provision` is what [`provision`] has found there.
    pub fn open(memory: &mut impl Memory, provision: &Provision) -> Self {
        // A memory that does not answer here costs a controller that has not yet changed its key
        // one more attempt at a later boot, nothing else.
        let previous = (0..2)
            .filter_map(|which| copy(memory, which).ok()?.ok())
            .find(|other| other.node == provision.node && is_newer(provision, other))
            .filter(|other| other.key != provision.key)
            .map(|other| NumberedKey {
                id: other.key_id,
                key: other.device_key(),
            });
        Self {
            current: NumberedKey {
                id: provision.key_id,
                key: provision.device_key(),
            },
            previous,
        }
    }

    /// Writes the key that follows from `salt` and uses it from now on.
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be kept; the key before stays in force.
    pub fn rotate(
        &mut self,
        memory: &mut impl Memory,
        id: u8,
        salt: &[u8; shared::limit::SALT_LEN],
    ) -> Result<(), MemoryFault> {
        let next = NumberedKey {
            id,
            key: self.current.key.rotated(salt),
        };
        let (which, mut block) = newest(memory)?;
        block.generation = block.generation.wrapping_add(1);
        block.key_id = next.id;
        block.key = *next.key.expose();
        write_verified(memory, BLOCK_AT[1 - which], &block.encode())?;
        self.previous = Some(core::mem::replace(&mut self.current, next));
        Ok(())
    }

    /// The controller uses the current key: the previous one is not believed any more.
    pub fn drop_previous(&mut self) {
        self.previous = None;
    }

    /// Overwrites the copy of the previous key.
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be overwritten.
    pub fn erase_previous(&self, memory: &mut impl Memory) -> Result<(), MemoryFault> {
        let (which, block) = newest(memory)?;
        write_verified(memory, BLOCK_AT[1 - which], &block.encode())
    }
}

/// Which copy of the block is not in force.
///
/// # Errors
/// [`MemoryFault`] when the memory does not tell.
pub fn older_copy(memory: &mut impl Memory) -> Result<usize, MemoryFault> {
    newest(memory).map(|(which, _)| 1 - which)
}

/// The block in force, and which copy it is.
fn newest(memory: &mut impl Memory) -> Result<(usize, Provision), MemoryFault> {
    let copies = [copy(memory, 0)?.ok(), copy(memory, 1)?.ok()];
    match copies {
        [Some(first), Some(second)] if is_newer(&second, &first) => Ok((1, second)),
        [Some(first), _] => Ok((0, first)),
        [None, Some(second)] => Ok((1, second)),
        // We have run on one of them: the memory does not give back what it holds.
        [None, None] => Err(MemoryFault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::fake::Chip;

    const SALT: [u8; 16] = [9; 16];

    fn ours() -> Provision {
        Provision::new(7, 1, [5; 32], [127, 0, 0, 1], 1883)
    }

    fn provisioned() -> Chip {
        let chip = Chip::blank();
        chip.clone().write(0, &ours().encode()).unwrap();
        chip
    }

    fn read(chip: &Chip) -> Provision {
        provision(&mut chip.clone()).unwrap().unwrap()
    }

    fn keys(chip: &Chip) -> Keys {
        Keys::open(&mut chip.clone(), &read(chip))
    }

    #[test]
    fn the_problem_that_tells_more_is_told() {
        let chip = Chip::blank();
        let problem = |chip: &Chip| provision(&mut chip.clone()).unwrap().unwrap_err();
        assert_eq!(problem(&chip), ProvisionError::Blank);
        let mut damaged = ours().encode();
        damaged[100] ^= 1;
        for at in BLOCK_AT {
            let mut chip = Chip::blank();
            chip.write(at, &damaged).unwrap();
            assert_eq!(problem(&chip), ProvisionError::Damaged);
        }
    }

    #[test]
    fn either_copy_alone_is_enough_and_the_newer_counts() {
        for at in BLOCK_AT {
            let mut chip = Chip::blank();
            chip.write(at, &ours().encode()).unwrap();
            assert_eq!(read(&chip).node, 7);
        }
        for (first, second, expected) in [(1, 2, 2), (2, 1, 2), (u32::MAX, 0, 0)] {
            let mut chip = Chip::blank();
            for (at, generation) in BLOCK_AT.into_iter().zip([first, second]) {
                let block = Provision { generation, ..ours() };
                chip.write(at, &block.encode()).unwrap();
            }
            assert_eq!(read(&chip).generation, expected);
        }
    }

    #[test]
    fn a_rotated_key_is_in_force_and_the_one_before_is_remembered_over_a_restart() {
        let chip = provisioned();
        let mut before = keys(&chip);
        assert!(before.previous.is_none());
        before.rotate(&mut chip.clone(), 2, &SALT).unwrap();
        let expected = ours().device_key().rotated(&SALT);
        let after = keys(&chip);
        for keys in [&before, &after] {
            assert_eq!(
                (keys.current.id, keys.current.key.expose()),
                (2, expected.expose())
            );
            let previous = keys.previous.as_ref().unwrap();
            assert_eq!((previous.id, previous.key.expose()), (1, &[5; 32]));
        }
        assert_eq!(
            read(&chip).password,
            ours().password,
            "the broker knows the node as before"
        );
    }

    #[test]
    fn once_the_controller_uses_the_new_key_the_old_one_is_nowhere() {
        let chip = provisioned();
        let mut keys = keys(&chip);
        keys.rotate(&mut chip.clone(), 2, &SALT).unwrap();
        keys.drop_previous();
        keys.erase_previous(&mut chip.clone()).unwrap();
        assert!(super::tests::keys(&chip).previous.is_none());
        assert!(!chip.bytes().windows(32).any(|bytes| bytes == [5; 32]));
        // And a next rotation works from there.
        let mut keys = super::tests::keys(&chip);
        keys.rotate(&mut chip.clone(), 3, &SALT).unwrap();
        assert_eq!(
            (read(&chip).key_id, super::tests::keys(&chip).previous.unwrap().id),
            (3, 2)
        );
    }

    #[test]
    fn power_may_fail_at_every_byte_of_a_rotation() {
        let old = ours().device_key();
        let new = old.rotated(&SALT);
        for cut in 0..=2 * BLOCK_LEN {
            let chip = provisioned();
            let mut keys = keys(&chip);
            chip.cut_after(Some(cut));
            let rotated = keys.rotate(&mut chip.clone(), 2, &SALT).is_ok();
            let erased = rotated && keys.erase_previous(&mut chip.clone()).is_ok();
            chip.cut_after(None);
            let read = read(&chip);
            let expected = if cut < BLOCK_LEN {
                (1, old.expose())
            } else {
                (2, new.expose())
            };
            assert_eq!((read.key_id, &read.key), expected, "cut {cut}");
            assert_eq!(
                (rotated, erased),
                (cut > BLOCK_LEN, cut > 2 * BLOCK_LEN),
                "cut {cut}"
            );
            // Nothing is stuck: the next attempt succeeds.
            let mut keys = super::tests::keys(&chip);
            keys.rotate(&mut chip.clone(), 3, &SALT).unwrap();
        }
    }

    #[test]
    fn a_frozen_memory_keeps_the_old_key() {
        let chip = provisioned();
        let mut keys = keys(&chip);
        chip.freeze(true);
        assert_eq!(keys.rotate(&mut chip.clone(), 2, &SALT), Err(MemoryFault));
        assert_eq!(keys.current.id, 1);
    }
}

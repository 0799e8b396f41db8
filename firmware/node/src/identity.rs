//! Who the node is: the two copies of the configuration block in its memory.
//!
//! ```text
//! provisioned: [A valid][B blank] --rotate--> [A old key][B new key] --first frame--> [A new][B new]
//! ```
//! The valid copy with the higher generation counts. A rotated key goes into the other copy, so
//! that a power cut at any byte leaves the old key or the new one, never none. The old key stays
//! there, and what is sealed with it is believed, until the controller has shown that it uses the
//! new one: then its copy is overwritten as well, and nobody can read it any more. A copy that was
//! torn on the way is overwritten at the next start.
//!
//! While the node runs, the copy in force is the one with the key that it seals with, whatever the
//! generations say: a block that was written but could not be read back may be whole. Of such a
//! one nothing is said until it is decided; the controller orders the same rotation again.
//! Everything is read until two readings agree: one misread must not make the wrong key the right
//! one.
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

/// Readings of a copy of which two in a row must agree.
const READINGS: usize = 4;
/// Bytes that are compared at a time.
const COMPARE_LEN: usize = 64;

fn copy(memory: &mut impl Memory, which: usize) -> Result<Result<Provision, ProvisionError>, MemoryFault> {
    let mut block = [0; BLOCK_LEN];
    for _ in 0..READINGS {
        if memory.read(BLOCK_AT[which], &mut block).is_ok() && reads_again(memory, which, &block) {
            return Ok(Provision::decode(&block));
        }
    }
    Err(MemoryFault)
}

fn reads_again(memory: &mut impl Memory, which: usize, block: &[u8; BLOCK_LEN]) -> bool {
    (BLOCK_AT[which]..)
        .step_by(COMPARE_LEN)
        .zip(block.chunks_exact(COMPARE_LEN))
        .all(|(at, part)| {
            let mut again = [0; COMPARE_LEN];
            memory.read(at, &mut again).is_ok() && again == *part
        })
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
    /// The controller was told in this boot that the key has changed.
    pub told: bool,
}

/// Why a key was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRotated {
    /// The memory does not keep it, and that is proven: the key before stays in force.
    NotKept,
    /// It may be kept or not; the memory does not tell. Until a restart the key before is used.
    Undecided,
}

/// Attempts to write a block.
const WRITES: usize = 3;

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
            told: false,
        }
    }

    /// Writes the key that follows from `salt` and uses it from now on.
    ///
    /// # Errors
    /// [`NotRotated`].
    pub fn rotate(
        &mut self,
        memory: &mut impl Memory,
        id: u8,
        salt: &[u8; shared::limit::SALT_LEN],
    ) -> Result<(), NotRotated> {
        let next = NumberedKey {
            id,
            key: self.current.key.rotated(salt),
        };
        // Nothing is written over a copy as long as the other one is not proven to be ours.
        let (which, mut block) = self.in_force(memory).map_err(|_| NotRotated::Undecided)?;
        block.generation = block.generation.wrapping_add(1);
        block.key_id = next.id;
        block.key = *next.key.expose();
        let mut so_far = NotRotated::Undecided;
        for _ in 0..WRITES {
            // Whatever the part says of the write: what can be read counts.
            let _ = memory.write(BLOCK_AT[1 - which], &block.encode());
            match copy(memory, 1 - which) {
                Ok(Ok(found)) if found.key == block.key && found.generation == block.generation => {
                    self.previous = Some(core::mem::replace(&mut self.current, next));
                    self.told = true;
                    return Ok(());
                }
                // A frozen bus has no valid block at all; the one in force proves that this one is
                // none.
                Ok(_) if self.in_force(memory).is_ok() => so_far = NotRotated::NotKept,
                Ok(_) | Err(MemoryFault) => so_far = NotRotated::Undecided,
            }
        }
        Err(so_far)
    }

    /// The controller uses the current key: the previous one is not believed any more.
    pub fn drop_previous(&mut self) {
        self.previous = None;
    }

    /// Overwrites the copy that is not in force, unless it has nothing to hide.
    ///
    /// # Errors
    /// [`MemoryFault`] when it is not proven to be overwritten.
    pub fn erase_previous(&self, memory: &mut impl Memory) -> Result<(), MemoryFault> {
        let (which, block) = self.in_force(memory)?;
        match copy(memory, 1 - which)? {
            Ok(other) if other.key == block.key => Ok(()),
            Err(ProvisionError::Blank) if is_blank(memory, 1 - which)? => Ok(()),
            Ok(_) | Err(_) => write_verified(memory, BLOCK_AT[1 - which], &block.encode()),
        }
    }

    /// True when the copy that is not in force is neither a block nor blank: torn, with perhaps a
    /// part of a key in it. For the start; then [`Self::erase_previous`] is due.
    pub fn left_something(&self, memory: &mut impl Memory) -> bool {
        let Ok((which, _)) = self.in_force(memory) else {
            return false;
        };
        match copy(memory, 1 - which) {
            Ok(Err(ProvisionError::Blank)) => is_blank(memory, 1 - which) == Ok(false),
            Ok(Err(_)) => true,
            Ok(Ok(_)) | Err(MemoryFault) => false,
        }
    }

    /// Which copy of the block is not in force.
    ///
    /// # Errors
    /// [`MemoryFault`] when the memory does not tell.
    pub fn older_copy(&self, memory: &mut impl Memory) -> Result<usize, MemoryFault> {
        self.in_force(memory).map(|(which, _)| 1 - which)
    }

    /// The block with the key that we use, and which copy it is.
    fn in_force(&self, memory: &mut impl Memory) -> Result<(usize, Provision), MemoryFault> {
        for which in 0..2 {
            if let Ok(block) = copy(memory, which)?
                && (block.key_id, &block.key) == (self.current.id, self.current.key.expose())
            {
                return Ok((which, block));
            }
        }
        // We have run on one of them: the memory does not give back what it holds.
        Err(MemoryFault)
    }
}

/// True when a copy holds nothing but what an erased part holds.
fn is_blank(memory: &mut impl Memory, which: usize) -> Result<bool, MemoryFault> {
    let mut at = BLOCK_AT[which];
    let mut part = [0; COMPARE_LEN];
    for _ in 0..BLOCK_LEN / COMPARE_LEN {
        memory.read(at, &mut part)?;
        if part.iter().any(|byte| *byte != part[0]) || !matches!(part[0], 0 | 0xff) {
            return Ok(false);
        }
        at += COMPARE_LEN as u16;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::fake::{Chip, Disturbed};

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
        let refused = keys.rotate(&mut chip.clone(), 2, &SALT);
        assert_eq!(refused, Err(NotRotated::Undecided), "it proves nothing");
        assert_eq!(keys.current.id, 1);
    }

    #[test]
    fn a_page_that_keeps_nothing_is_proven_not_to_keep_the_key() {
        let chip = provisioned();
        chip.kill_page(BLOCK_AT[1]);
        let mut keys = keys(&chip);
        assert_eq!(keys.rotate(&mut chip.clone(), 2, &SALT), Err(NotRotated::NotKept));
        assert_eq!((read(&chip).key_id, keys.current.id), (1, 1));
    }

    #[test]
    fn a_block_that_could_not_be_read_back_but_is_whole_is_not_called_lost() {
        let chip = provisioned();
        let mut keys = keys(&chip);
        // Reading the copy in force takes nine reads; all that follow stay silent.
        chip.disturb_reads(9, usize::MAX, Disturbed::Silent);
        assert_eq!(
            keys.rotate(&mut chip.clone(), 2, &SALT),
            Err(NotRotated::Undecided)
        );
        chip.calm();
        assert_eq!(read(&chip).key_id, 2, "that is why");
        // The controller orders it again.
        keys.rotate(&mut chip.clone(), 2, &SALT).unwrap();
        assert_eq!(read(&chip).key, *keys.current.key.expose());
    }

    /// A controller that believes every word: a key that was not kept is one it does not know.
    struct Controller {
        known: std::vec::Vec<[u8; 32]>,
    }

    impl Controller {
        fn orders(&mut self, keys: &mut Keys, chip: &Chip, id: u8, salt: [u8; 16]) {
            let next = *keys.current.key.rotated(&salt).expose();
            self.known.push(next);
            match keys.rotate(&mut chip.clone(), id, &salt) {
                Ok(()) => self.known = vec![next],
                Err(NotRotated::NotKept) => self.known.retain(|key| *key != next),
                Err(NotRotated::Undecided) => {}
            }
        }

        #[track_caller]
        fn can_prove(&self, key: &DeviceKey, when: &str) {
            assert!(self.known.contains(key.expose()), "{when}");
        }
    }

    fn two_rotations(disturb: impl Fn(&Chip), when: &str) {
        for restart_between in [false, true] {
            let chip = provisioned();
            let mut keys = keys(&chip);
            let mut controller = Controller {
                known: vec![*keys.current.key.expose()],
            };
            disturb(&chip);
            controller.orders(&mut keys, &chip, 2, [1; 16]);
            controller.can_prove(&keys.current.key, when);
            if restart_between {
                chip.cut_after(None);
                chip.calm();
                keys = super::tests::keys(&chip);
                controller.can_prove(&keys.current.key, when);
                disturb(&chip);
            }
            controller.orders(&mut keys, &chip, 3, [2; 16]);
            controller.can_prove(&keys.current.key, when);
            chip.cut_after(None);
            chip.calm();
            let keys = super::tests::keys(&chip);
            controller.can_prove(&keys.current.key, when);
            if keys.left_something(&mut chip.clone()) {
                keys.erase_previous(&mut chip.clone()).unwrap();
                assert!(!keys.left_something(&mut chip.clone()));
            }
            controller.can_prove(&super::tests::keys(&chip).current.key, when);
        }
    }

    #[test]
    fn whatever_fails_in_two_rotations_the_controller_knows_the_nodes_key() {
        for cut in 0..=6 * BLOCK_LEN + 8 {
            two_rotations(|chip| chip.cut_after(Some(cut)), &format!("cut {cut}"));
        }
        for skip in 0..160 {
            for count in [1, 2, 3, 9, 10, 40, usize::MAX] {
                for how in [Disturbed::Silent, Disturbed::Wrong] {
                    two_rotations(
                        |chip| chip.disturb_reads(skip, count, how),
                        &format!("{how:?} after {skip} reads, {count} times"),
                    );
                }
            }
        }
    }

    #[test]
    fn one_misread_at_the_start_does_not_bring_back_the_old_key() {
        for skip in 0..20 {
            for how in [Disturbed::Silent, Disturbed::Wrong] {
                let chip = provisioned();
                keys(&chip).rotate(&mut chip.clone(), 2, &SALT).unwrap();
                chip.disturb_reads(skip, 1, how);
                assert_eq!(read(&chip).key_id, 2, "{how:?} {skip}");
            }
        }
    }

    #[test]
    fn power_may_fail_while_the_old_key_is_erased_and_the_next_start_erases_it() {
        for cut in 0..BLOCK_LEN {
            let chip = provisioned();
            let mut keys = keys(&chip);
            keys.rotate(&mut chip.clone(), 2, &SALT).unwrap();
            chip.cut_after(Some(cut));
            assert_eq!(keys.erase_previous(&mut chip.clone()), Err(MemoryFault));
            chip.cut_after(None);
            let keys = super::tests::keys(&chip);
            assert_eq!(keys.current.id, 2);
            if keys.previous.is_none() {
                assert!(keys.left_something(&mut chip.clone()), "cut {cut}");
                keys.erase_previous(&mut chip.clone()).unwrap();
                assert!(!chip.bytes().windows(32).any(|bytes| bytes == [5; 32]));
            }
        }
        let blank = provisioned();
        assert!(!keys(&blank).left_something(&mut blank.clone()));
    }
}

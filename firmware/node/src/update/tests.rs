//! The update against embassy-boot's own bootloader, on flash and EEPROM whose power fails.
//!
//! The flash is three partitions in RAM. One budget of operations is shared by flash and EEPROM:
//! when it is used up, the operation under way is done by half and everything after it fails until
//! the power is back.

use super::*;
use crate::memory::MemoryFault;
use ed25519_dalek::{Signer as _, SigningKey};
use embassy_boot::{BootLoader, BootLoaderConfig};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::vec::Vec;

const PAGE: usize = 512;
const ACTIVE: usize = 4 * PAGE;
const SPARE: usize = ACTIVE + PAGE;
const CHUNK: usize = 256;

const OLD: Version = Version(1, 2, 3);
const NEW: Version = Version(1, 3, 0);

/// The electricity: how many operations are left, and whether it has failed.
#[derive(Debug, Default)]
struct Power {
    left: Cell<Option<u32>>,
    dead: Cell<bool>,
    used: Cell<u32>,
}

/// How much of an operation is done.
enum Done {
    All,
    Half,
    Nothing,
}

impl Power {
    fn spend(&self) -> Done {
        if self.dead.get() {
            return Done::Nothing;
        }
        self.used.set(self.used.get() + 1);
        match self.left.get() {
            None => Done::All,
            Some(0) => {
                self.dead.set(true);
                Done::Half
            }
            Some(left) => {
                self.left.set(Some(left - 1));
                Done::All
            }
        }
    }

    fn back(&self) {
        self.dead.set(false);
        self.left.set(None);
    }
}

/// A partition of flash.
#[derive(Debug, Clone)]
struct Flash {
    bytes: Rc<RefCell<Vec<u8>>>,
    power: Rc<Power>,
}

impl Flash {
    fn new(len: usize, power: &Rc<Power>) -> Self {
        Self {
            bytes: Rc::new(RefCell::new(vec![0xff; len])),
            power: Rc::clone(power),
        }
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        if self.power.dead.get() {
            return Err(NorFlashErrorKind::Other);
        }
        let bytes = self.bytes.borrow();
        let from = bytes
            .get(offset as usize..offset as usize + into.len())
            .ok_or(NorFlashErrorKind::OutOfBounds)?;
        into.copy_from_slice(from);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.borrow().len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let mut bytes = self.bytes.borrow_mut();
        for page in (from as usize..to as usize).step_by(PAGE) {
            let len = match self.power.spend() {
                Done::All => PAGE,
                Done::Half => PAGE / 2,
                Done::Nothing => 0,
            };
            bytes[page..page + len].fill(0xff);
            if len < PAGE {
                return Err(NorFlashErrorKind::Other);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, data: &[u8]) -> Result<(), NorFlashErrorKind> {
        assert_eq!(data.len() % Self::WRITE_SIZE, 0);
        let mut bytes = self.bytes.borrow_mut();
        let len = match self.power.spend() {
            Done::All => data.len(),
            Done::Half => data.len() / 2,
            Done::Nothing => 0,
        };
        for (at, byte) in (offset as usize..).zip(&data[..len]) {
            // A write clears bits and sets none; embassy-boot repeats a mark that was torn.
            bytes[at] &= *byte;
            assert_eq!(bytes[at], *byte, "written without erasing, at {at}");
        }
        if len < data.len() {
            return Err(NorFlashErrorKind::Other);
        }
        Ok(())
    }
}

/// An EEPROM on the same electricity.
#[derive(Debug, Clone)]
struct Eeprom {
    bytes: Rc<RefCell<Vec<u8>>>,
    power: Rc<Power>,
}

impl Memory for Eeprom {
    fn read(&mut self, at: u16, into: &mut [u8]) -> Result<(), MemoryFault> {
        if self.power.dead.get() {
            return Err(MemoryFault);
        }
        into.copy_from_slice(&self.bytes.borrow()[usize::from(at)..usize::from(at) + into.len()]);
        Ok(())
    }

    fn write(&mut self, at: u16, data: &[u8]) -> Result<(), MemoryFault> {
        for (at, byte) in (usize::from(at)..).zip(data) {
            match self.power.spend() {
                Done::All => self.bytes.borrow_mut()[at] = *byte,
                Done::Half => self.bytes.borrow_mut()[at] = 0x5a,
                Done::Nothing => {}
            }
            if self.power.dead.get() {
                return Err(MemoryFault);
            }
        }
        Ok(())
    }
}

/// A board with two images' worth of flash, and the end of the line that holds the signing key.
struct Rig {
    power: Rc<Power>,
    active: Flash,
    spare: Flash,
    notes: Flash,
    eeprom: Eeprom,
    now_ms: u64,
    outcomes: Vec<(Version, UpdateOutcome)>,
}

type Life = Update<NorSlots<Flash, Flash>>;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

/// A program: its version, and bytes that are different for every version and place.
fn image(version: Version, len: usize) -> Vec<u8> {
    let mut seed = u32::from_be_bytes([7, version.0, version.1, version.2]);
    let mut bytes = vec![version.0, version.1, version.2];
    bytes.resize_with(len, || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    });
    bytes
}

fn head(version: Version, bytes: &[u8]) -> ImageHead {
    sign(
        &key(),
        ImageHead {
            board: Board::Rp2040W5500.number(),
            version,
            size: bytes.len() as u32,
            sha256: Sha256::digest(bytes).into(),
            signature: ([0; 32], [0; 32]),
        },
    )
}

fn sign(key: &SigningKey, mut head: ImageHead) -> ImageHead {
    let signature = key.sign(&head.signed());
    head.signature = (*signature.r_bytes(), *signature.s_bytes());
    head
}

impl Rig {
    /// The old version runs.
    fn new() -> Self {
        let power = Rc::new(Power::default());
        let rig = Self {
            active: Flash::new(ACTIVE, &power),
            spare: Flash::new(SPARE, &power),
            notes: Flash::new(PAGE, &power),
            eeprom: Eeprom {
                bytes: Rc::new(RefCell::new(vec![0; 2048])),
                power: Rc::clone(&power),
            },
            now_ms: 1_000,
            outcomes: Vec::new(),
            power,
        };
        rig.active.bytes.borrow_mut()[..ACTIVE - 100].copy_from_slice(&image(OLD, ACTIVE - 100));
        rig
    }

    /// The image that would run now: a whole one, or the test fails.
    fn running(&self) -> Version {
        let active = self.active.bytes.borrow();
        let version = Version(active[0], active[1], active[2]);
        let whole = image(version, ACTIVE - 100);
        assert!(
            active[..whole.len()] == whole[..],
            "the program in flash is no whole image: the board is dead"
        );
        version
    }

    /// The bootloader, then the program. `None` when the power failed meanwhile.
    fn boot(&mut self) -> Option<Life> {
        let firmware = self.load()?;
        let slots = NorSlots::new(self.spare.clone(), self.notes.clone());
        let mut update = Update::start(slots, &mut self.eeprom, firmware, self.now_ms);
        self.outcomes.extend(update.take_outcome());
        update.tick(&mut self.eeprom, self.now_ms);
        Some(update)
    }

    /// The bootloader alone; what it starts.
    fn load(&mut self) -> Option<Firmware> {
        let mut loader = BootLoader::new(BootLoaderConfig {
            active: self.active.clone(),
            dfu: self.spare.clone(),
            state: self.notes.clone(),
        });
        if loader.prepare_boot(&mut [0; 64]).is_err() {
            assert!(self.power.dead.get(), "the bootloader fails only without power");
            return None;
        }
        Some(Firmware {
            board: Board::Rp2040W5500,
            version: self.running(),
            key: Some(key().verifying_key().to_bytes()),
        })
    }

    /// Sends an image from wherever the node says it is; true when all of it was sent.
    fn send(&mut self, update: &mut Life, head: &ImageHead, bytes: &[u8]) {
        update.begin(head, self.now_ms);
        while let Some((version, have)) = update.take_transfer() {
            assert_eq!(version, head.version);
            let window = bytes[have as usize..].chunks(CHUNK).take(8);
            for (at, chunk) in (have..).step_by(CHUNK).zip(window) {
                self.now_ms += 3;
                update.chunk(at, chunk, true, self.now_ms);
            }
        }
        update.end(self.now_ms);
        self.settle(update);
    }

    /// Lets the node do what it has to until nothing is left but waiting.
    fn settle(&mut self, update: &mut Life) {
        for _ in 0..100 {
            self.now_ms += 10;
            update.tick(&mut self.eeprom, self.now_ms);
            self.outcomes.extend(update.take_outcome());
        }
    }

    /// Offers an image and returns why it is refused; nothing may have changed by it.
    fn refusal(&mut self, head: &ImageHead, bytes: &[u8]) -> Option<UpdateRefusal> {
        let mut update = self.boot().unwrap();
        self.send(&mut update, head, bytes);
        assert!(!update.wants_restart(u64::MAX));
        let (version, why) = update.versions().refused?;
        assert_eq!(version, head.version);
        assert_eq!(self.outcomes, [(version, UpdateOutcome::Refused(why))]);
        // It is known after a power cut as well, and the old program still runs.
        let update = self.boot().unwrap();
        assert_eq!(update.versions().refused, Some((version, why)));
        assert_eq!(update.versions().running, OLD);
        Some(why)
    }
}

fn good() -> (ImageHead, Vec<u8>) {
    let bytes = image(NEW, ACTIVE - 100);
    (head(NEW, &bytes), bytes)
}

#[test]
fn a_signed_newer_image_is_swapped_in_and_stays_once_it_reached_the_controller() {
    let mut rig = Rig::new();
    let (head, bytes) = good();
    let mut update = rig.boot().unwrap();
    rig.send(&mut update, &head, &bytes);
    assert_eq!(rig.outcomes, [(NEW, UpdateOutcome::Staged)]);
    assert!(!update.wants_restart(rig.now_ms), "the report leaves first");
    assert!(update.wants_restart(rig.now_ms + RESTART_AFTER_MS));

    let mut update = rig.boot().unwrap();
    assert_eq!(rig.running(), NEW);
    assert_eq!(update.versions().previous, Some(OLD));
    update.reached();
    rig.settle(&mut update);
    assert_eq!(rig.outcomes[1..], [(NEW, UpdateOutcome::Confirmed)]);

    let update = rig.boot().unwrap();
    let expected = Versions {
        running: NEW,
        previous: Some(OLD),
        refused: None,
    };
    assert_eq!((update.versions(), rig.outcomes.len()), (expected, 2));
    assert_eq!(update.next_deadline(), None, "nothing is left to do");
}

#[test]
fn a_new_image_that_never_reaches_the_controller_is_swapped_back() {
    let mut rig = Rig::new();
    let (head, bytes) = good();
    let mut update = rig.boot().unwrap();
    rig.send(&mut update, &head, &bytes);
    let update = rig.boot().unwrap();
    let begun_ms = rig.now_ms;
    assert_eq!(rig.running(), NEW);
    assert!(!update.wants_restart(begun_ms + PROVE_MS - 1));
    assert!(update.wants_restart(begun_ms + PROVE_MS));
    // So it restarts; a crash or a power cut before would have come to the same.
    let update = rig.boot().unwrap();
    assert_eq!(rig.running(), OLD);
    assert_eq!(rig.outcomes[1..], [(NEW, UpdateOutcome::RolledBack)]);
    assert_eq!(
        update.versions().refused,
        Some((NEW, UpdateRefusal::NeverReached))
    );
    // Said once, known for good; and it may be tried again.
    let mut update = rig.boot().unwrap();
    assert_eq!(rig.outcomes.len(), 2);
    rig.send(&mut update, &head, &bytes);
    rig.boot().unwrap().reached();
    assert_eq!(rig.boot().unwrap().versions().running, NEW);
    assert_eq!(rig.running(), NEW);
}

/// Slots whose bootloader cannot be asked.
struct Deaf(NorSlots<Flash, Flash>);

impl Slots for Deaf {
    fn room(&self) -> u32 {
        self.0.room()
    }

    fn page(&self) -> u32 {
        self.0.page()
    }

    fn erase(&mut self, at: u32) -> Result<(), SlotFault> {
        self.0.erase(at)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), SlotFault> {
        self.0.write(at, bytes)
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), SlotFault> {
        self.0.read(at, into)
    }

    fn loader(&mut self) -> Result<Loader, SlotFault> {
        Err(SlotFault)
    }

    fn mark_swap(&mut self) -> Result<(), SlotFault> {
        self.0.mark_swap()
    }

    fn mark_booted(&mut self) -> Result<(), SlotFault> {
        self.0.mark_booted()
    }
}

#[test]
fn a_new_image_whose_bootloader_cannot_be_asked_is_confirmed_only_once_it_is_settled() {
    let mut rig = Rig::new();
    let (head, bytes) = good();
    let mut update = rig.boot().unwrap();
    rig.send(&mut update, &head, &bytes);
    let firmware = rig.load().unwrap();
    assert_eq!(firmware.version, NEW);
    let slots = Deaf(NorSlots::new(rig.spare.clone(), rig.notes.clone()));
    let mut update = Update::start(slots, &mut rig.eeprom, firmware, rig.now_ms);
    assert_eq!(
        update.take_outcome(),
        None,
        "nothing is confirmed that may be swapped back"
    );
    update.reached();
    assert_eq!(update.take_outcome(), Some((NEW, UpdateOutcome::Confirmed)));
    rig.load().unwrap();
    assert_eq!(rig.running(), NEW, "and so it stays");
}

#[test]
fn an_unsigned_image_and_one_of_another_key_never_get_a_byte_into_the_flash() {
    let (good, bytes) = good();
    let unsigned = ImageHead {
        signature: ([0; 32], [0; 32]),
        ..good
    };
    let stranger = sign(&SigningKey::from_bytes(&[43; 32]), good);
    for (head, why) in [
        (unsigned, UpdateRefusal::Unsigned),
        (stranger, UpdateRefusal::Signature),
    ] {
        let mut rig = Rig::new();
        assert_eq!(rig.refusal(&head, &bytes), Some(why));
        assert!(rig.spare.bytes.borrow().iter().all(|byte| *byte == 0xff));
    }
}

#[test]
fn older_equal_foreign_and_too_large_images_are_refused_though_they_are_signed() {
    use UpdateRefusal as Why;
    let (good, bytes) = good();
    let cases = [
        (
            ImageHead {
                version: Version(1, 2, 2),
                ..good
            },
            Why::Older,
        ),
        (ImageHead { version: OLD, ..good }, Why::Older),
        (
            ImageHead {
                version: Version(0, 255, 255),
                ..good
            },
            Why::Older,
        ),
        (
            ImageHead {
                board: Board::Stm32f767zi.number(),
                ..good
            },
            Why::OtherBoard,
        ),
        (
            ImageHead {
                size: ACTIVE as u32 + 1,
                ..good
            },
            Why::TooLarge,
        ),
        (ImageHead { size: 0, ..good }, Why::TooLarge),
        (
            ImageHead {
                size: u32::MAX,
                ..good
            },
            Why::TooLarge,
        ),
    ];
    for (head, why) in cases {
        assert_eq!(Rig::new().refusal(&sign(&key(), head), &bytes), Some(why));
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_head_is_refused() {
    let (good, bytes) = good();
    for bit in 0..8 * 32 {
        let flip = |field: &[u8; 32]| {
            let mut flipped = *field;
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        };
        let (r, s) = good.signature;
        let sha256 = flip(&good.sha256);
        for head in [
            ImageHead { sha256, ..good },
            ImageHead {
                signature: (flip(&r), s),
                ..good
            },
            ImageHead {
                signature: (r, flip(&s)),
                ..good
            },
        ] {
            assert_eq!(Rig::new().refusal(&head, &bytes), Some(UpdateRefusal::Signature));
        }
        if bit < 11 {
            let size = good.size ^ (1 << bit);
            let why = Rig::new().refusal(&ImageHead { size, ..good }, &bytes);
            assert!(matches!(
                why,
                Some(UpdateRefusal::Signature | UpdateRefusal::TooLarge)
            ));
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_image_is_refused() {
    let (head, bytes) = good();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert_eq!(
            Rig::new().refusal(&head, &damaged),
            Some(UpdateRefusal::Hash),
            "byte {at}"
        );
    }
}

#[test]
fn an_image_truncated_at_any_chunk_is_refused() {
    let (head, bytes) = good();
    for chunks in 0..bytes.len().div_ceil(CHUNK) {
        let mut rig = Rig::new();
        let mut update = rig.boot().unwrap();
        update.begin(&head, rig.now_ms);
        for (at, chunk) in (0..).step_by(CHUNK).zip(bytes.chunks(CHUNK)).take(chunks) {
            update.chunk(at, chunk, true, rig.now_ms);
        }
        update.end(rig.now_ms);
        rig.settle(&mut update);
        assert_eq!(
            rig.outcomes,
            [(NEW, UpdateOutcome::Refused(UpdateRefusal::Truncated))]
        );
        assert_eq!(rig.boot().unwrap().versions().running, OLD);
    }
    // Signed as it is, but with more behind it.
    let mut longer = bytes.clone();
    longer.extend([0; 64]);
    let mut rig = Rig::new();
    let mut update = rig.boot().unwrap();
    update.begin(&head, 0);
    for (at, chunk) in (0..).step_by(CHUNK).zip(longer.chunks(CHUNK)) {
        update.chunk(at, chunk, true, 0);
    }
    assert_eq!(update.versions().refused, Some((NEW, UpdateRefusal::Truncated)));
}

#[test]
fn no_page_is_erased_while_somebody_is_at_the_door() {
    let mut rig = Rig::new();
    let (head, bytes) = good();
    let mut update = rig.boot().unwrap();
    update.begin(&head, rig.now_ms);
    assert_eq!(update.take_transfer(), Some((NEW, 0)));
    rig.spare.bytes.borrow_mut().fill(0);
    update.chunk(0, &bytes[..CHUNK], false, rig.now_ms);
    assert!(
        rig.spare.bytes.borrow().iter().all(|byte| *byte == 0),
        "not touched"
    );
    rig.now_ms += ASK_AFTER_MS;
    update.tick(&mut rig.eeprom, rig.now_ms);
    assert_eq!(update.take_transfer(), Some((NEW, 0)), "it is asked for again");
    update.chunk(0, &bytes[..CHUNK], true, rig.now_ms);
    // What needs no other page goes on.
    update.chunk(CHUNK as u32, &bytes[CHUNK..2 * CHUNK], false, rig.now_ms);
    assert_eq!(rig.spare.bytes.borrow()[..PAGE], bytes[..PAGE]);
    rig.send(&mut update, &head, &bytes);
    assert_eq!(rig.outcomes, [(NEW, UpdateOutcome::Staged)]);
}

#[test]
fn lost_and_repeated_chunks_are_asked_for_again() {
    let (head, bytes) = good();
    for lost in 0..bytes.len().div_ceil(CHUNK) {
        let mut rig = Rig::new();
        let mut update = rig.boot().unwrap();
        update.begin(&head, rig.now_ms);
        for (place, (at, chunk)) in (0..).step_by(CHUNK).zip(bytes.chunks(CHUNK)).enumerate() {
            if place != lost {
                update.chunk(at, chunk, true, rig.now_ms);
                update.chunk(at, chunk, true, rig.now_ms);
            }
        }
        // The end may come while the gap is still open.
        if lost + 1 < bytes.len().div_ceil(CHUNK) {
            update.end(rig.now_ms);
        }
        assert_eq!(update.take_transfer(), Some((NEW, (lost * CHUNK) as u32)));
        assert_eq!(update.take_transfer(), None, "asked once");
        update.tick(&mut rig.eeprom, rig.now_ms + ASK_AFTER_MS);
        assert!(update.take_transfer().is_some(), "and again when nothing comes");
        rig.send(&mut update, &head, &bytes);
        assert_eq!(rig.outcomes, [(NEW, UpdateOutcome::Staged)], "chunk {lost}");
    }
}

#[test]
fn who_never_closes_the_gap_is_given_up() {
    let (head, bytes) = good();
    let mut rig = Rig::new();
    let mut update = rig.boot().unwrap();
    update.begin(&head, 0);
    for _ in 0..=MAX_GAPS {
        update.chunk(CHUNK as u32, &bytes[..CHUNK], true, 0);
    }
    assert_eq!(update.versions().refused, Some((NEW, UpdateRefusal::Truncated)));
    // Garbage in every field of a chunk is bounded as well.
    update.begin(&head, 0);
    for at in [0, 1, 31, 32, u32::MAX] {
        for len in [0, 1, 31, 32, 256] {
            update.chunk(at, &bytes[..len], true, 0);
        }
    }
    let _ = rig.boot().unwrap();
}

#[test]
fn while_a_new_image_is_on_trial_the_way_back_is_not_overwritten() {
    let mut rig = Rig::new();
    let (head_new, bytes) = good();
    let mut update = rig.boot().unwrap();
    rig.send(&mut update, &head_new, &bytes);
    let newer = image(Version(2, 0, 0), ACTIVE - 100);
    for restart in [false, true] {
        if restart {
            update = rig.boot().unwrap();
        }
        rig.send(&mut update, &head(Version(2, 0, 0), &newer), &newer);
        assert_eq!(
            rig.outcomes.pop(),
            Some((Version(2, 0, 0), UpdateOutcome::Refused(UpdateRefusal::Busy)))
        );
    }
    update.reached();
    rig.settle(&mut update);
    rig.send(&mut update, &head(Version(2, 0, 0), &newer), &newer);
    assert_eq!(
        rig.outcomes.last(),
        Some(&(Version(2, 0, 0), UpdateOutcome::Staged))
    );
}

#[test]
fn a_board_without_slots_and_one_without_a_key_say_so() {
    let (head, _) = good();
    let firmware = Firmware {
        board: Board::Rp2040W5500,
        version: OLD,
        key: None,
    };
    let mut rig = Rig::new();
    let expected = Some((NEW, UpdateRefusal::NotSupported));
    let mut none = Update::start(NoSlots, &mut rig.eeprom, firmware, 0);
    none.begin(&head, 0);
    assert_eq!(none.versions().refused, expected);
    let slots = NorSlots::new(rig.spare.clone(), rig.notes.clone());
    let mut keyless = Update::start(slots, &mut rig.eeprom, firmware, 0);
    keyless.begin(&head, 0);
    assert_eq!(keyless.versions().refused, expected);
}

/// Everything from the first byte to the confirmation. True when the power lasted.
fn whole_update(rig: &mut Rig) -> bool {
    let (head, bytes) = good();
    let Some(mut update) = rig.boot() else {
        return false;
    };
    if rig.running() == OLD {
        rig.send(&mut update, &head, &bytes);
        if rig.power.dead.get() {
            return false;
        }
        assert!(update.wants_restart(rig.now_ms + RESTART_AFTER_MS));
        match rig.boot() {
            Some(next) => update = next,
            None => return false,
        }
    }
    update.reached();
    rig.settle(&mut update);
    !rig.power.dead.get()
}

#[test]
fn a_power_cut_at_any_operation_leaves_a_whole_image_and_the_update_can_be_finished() {
    let mut used = 0;
    for cut in 0.. {
        let mut rig = Rig::new();
        rig.power.left.set(Some(cut));
        if whole_update(&mut rig) {
            used = cut;
            break;
        }
        rig.power.back();
        // Power is back: a whole program runs (boot asserts it) and knows what it is.
        let mut update = rig.boot().unwrap();
        let versions = update.versions();
        assert_eq!(versions.running, rig.running());
        if rig.running() == NEW {
            update.reached();
            rig.settle(&mut update);
        } else {
            assert!(whole_update(&mut rig), "after a cut at {cut}");
        }
        // Whatever was cut, in the end the new one runs for good.
        let update = rig.boot().unwrap();
        assert_eq!(
            (rig.running(), update.versions().previous),
            (NEW, Some(OLD)),
            "cut at {cut}"
        );
        assert_eq!(update.next_deadline(), None);
        assert!(
            rig.outcomes.contains(&(NEW, UpdateOutcome::Confirmed)),
            "cut at {cut}"
        );
    }
    assert!(used > 300, "the test cut at {used} operations only");
}

#[test]
fn power_that_fails_again_and_again_never_leaves_a_dead_board() {
    // Deterministic: every pair of a first and a second cut, in steps that are prime to each other.
    for first in (0..700).step_by(7) {
        for second in (0..400).step_by(11) {
            let mut rig = Rig::new();
            for cut in [first, second] {
                rig.power.left.set(Some(cut));
                whole_update(&mut rig);
                rig.power.back();
            }
            assert!(whole_update(&mut rig), "cuts at {first}, then {second}");
            rig.boot().unwrap();
            assert_eq!(rig.running(), NEW);
        }
    }
}

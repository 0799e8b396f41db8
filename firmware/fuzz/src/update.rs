//! Frames of a firmware update in any order, over a flash that remembers what it was asked.

use crate::rig::{Bytes, Ram};
use ed25519_dalek::{Signer as _, SigningKey};
use node::update::{Firmware, Loader, SlotFault, Slots, Update};
use shared::board::Board;
use shared::image::unsigned_head;
use shared::wire::{UpdateOutcome, Version};

const ROOM: usize = 2048;
const PAGE: usize = 512;
const RUNNING: Version = Version(1, 0, 0);

struct Flash {
    bytes: Vec<u8>,
    swap: bool,
    left: u32,
}

impl Flash {
    fn spend(&mut self) -> Result<(), SlotFault> {
        self.left = self.left.checked_sub(1).ok_or(SlotFault)?;
        Ok(())
    }
}

impl Slots for &mut Flash {
    fn room(&self) -> u32 {
        ROOM as u32
    }

    fn page(&self) -> u32 {
        PAGE as u32
    }

    fn erase(&mut self, at: u32) -> Result<(), SlotFault> {
        self.spend()?;
        assert!(!self.swap, "what is staged is not erased");
        self.bytes[at as usize..at as usize + PAGE].fill(0xff);
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), SlotFault> {
        self.spend()?;
        let place = &mut self.bytes[at as usize..at as usize + bytes.len()];
        assert!(
            place.iter().all(|byte| *byte == 0xff),
            "only what is erased is written"
        );
        place.copy_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), SlotFault> {
        self.spend()?;
        into.copy_from_slice(&self.bytes[at as usize..at as usize + into.len()]);
        Ok(())
    }

    fn loader(&mut self) -> Result<Loader, SlotFault> {
        Ok(Loader::Settled)
    }

    fn mark_swap(&mut self) -> Result<(), SlotFault> {
        self.spend()?;
        self.swap = true;
        Ok(())
    }

    fn mark_booted(&mut self) -> Result<(), SlotFault> {
        Err(SlotFault)
    }
}

/// An image is staged only when all of it, and nothing else, is in the flash.
pub fn update(data: &[u8]) {
    let mut bytes = Bytes(data);
    let key = SigningKey::from_bytes(&[9; 32]);
    // Two images that the key signed, and heads that it did not.
    let images: [Vec<u8>; 2] = [vec![0x11; 700], vec![0x22; ROOM]];
    let mut flash = Flash {
        bytes: vec![0; ROOM],
        swap: false,
        left: 10_000 >> (bytes.next_or(0) % 14),
    };
    let mut memory = Ram::new();
    let firmware = Firmware {
        board: Board::Rp2040W5500,
        version: RUNNING,
        key: Some(key.verifying_key().to_bytes()),
    };
    let mut update = Update::start(&mut flash, &mut memory, firmware, 0);
    let (mut now_ms, mut staged) = (0_u64, false);
    while let Some(step) = bytes.next() {
        let image = &images[usize::from(step >> 7)];
        match step % 8 {
            0 | 1 => {
                let version = Version(bytes.next_or(2) % 4, 0, 0);
                let mut head = unsigned_head(Board::Rp2040W5500, version, image);
                let signature = key.sign(&head.signed());
                head.signature = (*signature.r_bytes(), *signature.s_bytes());
                match bytes.next_or(0) {
                    250 => head.size = head.size.wrapping_add(1),
                    251 => head.board = 1,
                    252 => head.signature = ([0; 32], [0; 32]),
                    253 => head.sha256[3] ^= 1,
                    _ => {}
                }
                update.begin(&head, now_ms);
            }
            2 => {
                // What the controller would send: from where the node is.
                while let Some((_, have)) = update.take_transfer() {
                    for (at, chunk) in (have..)
                        .step_by(256)
                        .zip(image[(have as usize).min(image.len())..].chunks(256))
                    {
                        update.chunk(at, chunk, now_ms);
                    }
                }
            }
            3 => {
                let at = u32::from(bytes.next_or(0)) * 16;
                let chunk = bytes.take_some(usize::from(bytes.0.first().copied().unwrap_or(0)));
                update.chunk(at, chunk, now_ms);
            }
            4 => update.chunk(u32::MAX - u32::from(bytes.next_or(0)), image, now_ms),
            5 => update.end(now_ms),
            6 => update.reached(),
            _ => now_ms += 1_000,
        }
        update.tick(&mut memory, now_ms);
        match update.take_outcome() {
            Some((version, UpdateOutcome::Staged)) => {
                assert!(version > RUNNING && !staged);
                staged = true;
            }
            Some((_, UpdateOutcome::Refused(_))) | None => {}
            Some(other) => panic!("without a restart there is no {other:?}"),
        }
        let _ = (
            update.versions(),
            update.next_deadline(),
            update.wants_restart(now_ms),
        );
    }
    drop(update);
    if staged {
        assert!(flash.swap);
        assert!(
            images.iter().any(|image| flash.bytes.starts_with(image)),
            "what is staged is what was signed"
        );
    }
}

//! Where everything lies in the node's memory: a 24C256, 32 KiB, pages of 64 bytes.
//!
//! ```text
//!     0  configuration block A   512   shared::provision; the newer of the two valid ones counts
//!   512  configuration block B   512
//!  1024  header A, B              64   boot, acknowledged, crashes, age of the list (ring)
//!  1152  checkpoint A, B          64   the witness's memory (checkpoint)
//!  1280  update notes A, B        64   what became of firmware updates (update)
//!  1408  header C, D              64
//!  1536  checkpoint C, D          64
//!  2048  list bank 0            8192   cards that may enter (list)
//! 10240  list bank 1            8192
//! 18432  ring                  14336   224 events of 64 bytes (ring)
//! ```
//! Whatever is replaced exists at least twice, and the oldest copy is the one that is overwritten:
//! power may fail at any byte. What is replaced often has four pages: two of them may die. Nothing here moves within a memory layout; a board whose part is larger leaves
//! the rest unused. An FRAM of the same size and pin-out (MB85RC256V, FM24W256) takes the place of
//! the EEPROM without a change where the door is so busy that wear matters; `ring` has the arithmetic.

use shared::provision::BLOCK_LEN;

/// Bytes that are used.
pub const MEMORY_LEN: u16 = 32_768;
/// Bytes of a page of the part: nothing that must survive the writing of its neighbour shares one.
pub const PAGE_LEN: u16 = 64;
/// The two configuration blocks.
pub const BLOCK_AT: [u16; 2] = [0, 512];
/// The headers.
pub const HEADER_AT: [u16; 4] = [1024, 1088, 1408, 1472];
/// The checkpoints.
pub const CHECKPOINT_AT: [u16; 4] = [1152, 1216, 1536, 1600];
/// The two notes about firmware updates.
pub const UPDATE_AT: [u16; 2] = [1280, 1344];
/// The two banks of the access list.
pub const BANK_AT: [u16; 2] = [2048, 10_240];
/// Bytes of a bank.
pub const BANK_LEN: u16 = 8_192;
/// The ring.
pub const RING_AT: u16 = 18_432;
/// Bytes of a slot: one page.
pub const SLOT_LEN: u16 = 64;
/// Events that fit.
pub const SLOTS: usize = ((MEMORY_LEN - RING_AT) / SLOT_LEN) as usize;

/// Address of a slot.
#[must_use]
pub const fn slot_at(seq: u32) -> u16 {
    RING_AT + (seq % SLOTS as u32) as u16 * SLOT_LEN
}

const _: () = {
    assert!(BLOCK_AT[0] as usize + BLOCK_LEN <= BLOCK_AT[1] as usize);
    assert!(BLOCK_AT[1] as usize + BLOCK_LEN <= HEADER_AT[0] as usize);
    assert!(HEADER_AT[1] + PAGE_LEN <= CHECKPOINT_AT[0]);
    assert!(CHECKPOINT_AT[1] + PAGE_LEN <= UPDATE_AT[0]);
    assert!(UPDATE_AT[1] + PAGE_LEN <= HEADER_AT[2]);
    assert!(HEADER_AT[3] + PAGE_LEN <= CHECKPOINT_AT[2]);
    assert!(CHECKPOINT_AT[3] + PAGE_LEN <= BANK_AT[0]);
    assert!(BANK_AT[0] + BANK_LEN <= BANK_AT[1]);
    assert!(BANK_AT[1] + BANK_LEN <= RING_AT);
    assert!(SLOTS == 224);
};

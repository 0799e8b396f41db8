//! The update of the node's own firmware: a signed image comes in chunks, is verified, swapped in,
//! and stays only if it reaches the controller.
//!
//! ```text
//!                 begin: board, version, size, signature
//!        +------+ --------------------------------------> +-----------+
//!        | Idle |                                         | Receiving | chunks in order, each to flash
//!        +------+ <-- refused, with the reason ---------- +-----------+
//!          ^  ^                                                 | end
//!          |  |                                                 v
//!          |  +--------- refused, with the reason --------- [Verifying]  SHA-256 of what flash holds
//!          |                                                    | the head's hash
//!          |                                                    v
//!          |                     bootloader swaps  <--restart-- [Staged]
//!          |                            |
//!          |  an authenticated Ack      v
//!          +-- confirmed ----------- [Trial] -- PROVE_MS without one, crash, power cut -->
//!                                              restart: the bootloader swaps back; rolled back
//! ```
//! The signature is over the head, and the head names the hash: whoever cannot sign never gets a
//! byte into the flash. What is verified is what the flash gives back, not what came by.
//!
//! It never runs an image that is not signed, not newer, or for another board; it never gives up
//! the image that reached the controller before the new one has; and a power cut at any step
//! leaves one of the two running (the tests cut at every operation of flash and EEPROM). A node on
//! trial is the one case in which a node restarts because the controller is away.

mod notes;
mod slots;
#[cfg(test)]
mod tests;

#[cfg(any(feature = "update", test))]
pub use slots::NorSlots;
pub use slots::{Loader, NoSlots, SlotFault, Slots};

use crate::memory::Memory;
use notes::{Note, Phase};
use sha2::{Digest as _, Sha256};
use shared::board::Board;
use shared::wire::{ImageHead, UpdateOutcome, UpdateRefusal, Version};

/// Chunks begin at multiples of this many bytes, and all but the last are multiples of it: the
/// largest unit in which a flash is written (STM32F7: 16), with room.
pub const ALIGN: usize = 32;
/// Bytes after which the controller is told how far we are, so that it goes on.
pub const TELL_EVERY: u32 = 2_048;
/// Longest wait for the next chunk before the controller is told again where we are, in
/// milliseconds.
pub const ASK_AFTER_MS: u64 = 5_000;
/// Most chunks out of order in one transfer; whoever sends more does not listen.
pub const MAX_GAPS: u16 = 256;
/// Bytes that are hashed in one step, so that the node's other work goes on in between.
pub const HASH_STEP: u32 = 4_096;
/// Time between the report that an image is staged and the restart, in milliseconds: the report
/// is to leave first.
pub const RESTART_AFTER_MS: u64 = 3_000;
/// How long a new image may take to reach the controller before it is given up, in milliseconds.
pub const PROVE_MS: u64 = 10 * 60_000;

/// What the node is, for deciding about images.
#[derive(Debug, Clone, Copy)]
pub struct Firmware {
    /// The board this program was built for.
    pub board: Board,
    /// Its version.
    pub version: Version,
    /// The Ed25519 public key whose images are taken; none takes none.
    pub key: Option<[u8; 32]>,
}

/// What the health frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The one that runs.
    pub running: Version,
    /// The one before it.
    pub previous: Option<Version>,
    /// The last one that was not taken, and why.
    pub refused: Option<(Version, UpdateRefusal)>,
}

#[derive(Debug, Clone)]
enum State {
    /// Nothing under way.
    Idle,
    /// Chunks come in. Left by the end of the image, a refusal, or another beginning.
    Receiving(Receiving),
    /// All bytes are there; a piece is hashed at every step. Left by the result.
    Verifying {
        head: ImageHead,
        hashed: u32,
        hash: Sha256,
    },
    /// Verified; the bootloader swaps at the next restart.
    Staged { restart_at_ms: u64 },
    /// The running image is new and has not reached the controller yet.
    Trial { give_up_at_ms: u64 },
}

#[derive(Debug, Clone, Copy)]
struct Receiving {
    head: ImageHead,
    /// Bytes that are in flash.
    have: u32,
    /// Bytes of flash that are erased.
    erased: u32,
    /// A chunk came that does not follow on the one before; the right one was asked for.
    gap: bool,
    gaps: u16,
    ask_at_ms: u64,
}

/// The update of one node.
#[derive(Debug)]
pub struct Update<S> {
    slots: S,
    firmware: Firmware,
    note: Note,
    /// The note is newer than what the memory holds.
    unsaved: bool,
    state: State,
    outcome: Option<(Version, UpdateOutcome)>,
    tell: bool,
}

impl<S: Slots> Update<S> {
    /// Finds out what the last restart was about. An outcome, if there is one, is to be taken and
    /// stored before the first [`Self::tick`], which forgets it.
    ///
    /// A memory that cannot be read counts as blank: what runs, runs.
    pub fn start(mut slots: S, memory: &mut impl Memory, firmware: Firmware, now_ms: u64) -> Self {
        let note = Note::load(memory).unwrap_or(Note::BLANK);
        // A loader that cannot be asked may hold an image on trial: if ours was to be swapped in,
        // it is taken for one, and the acknowledgement that proves it settles it once more.
        let loader = slots.loader().unwrap_or(match note.phase {
            Phase::Staged | Phase::Trial if note.target == firmware.version => Loader::Trial,
            _ => Loader::Settled,
        });
        let mut update = Self {
            slots,
            firmware,
            note,
            unsaved: false,
            state: State::Idle,
            outcome: None,
            tell: false,
        };
        let target = note.target;
        match (loader, note.phase) {
            (Loader::Trial, phase) => {
                update.state = State::Trial {
                    give_up_at_ms: now_ms + PROVE_MS,
                };
                update.note.target = firmware.version;
                update.note.phase = Phase::Trial;
                update.unsaved = phase != Phase::Trial || target != firmware.version;
            }
            (_, Phase::Idle) => {}
            // The power failed after the bootloader was told that the image is good.
            (_, Phase::Staged | Phase::Trial) if target == firmware.version => update.confirmed(),
            (Loader::Reverted, _) | (_, Phase::Trial) => {
                update.close(target, UpdateRefusal::NeverReached, UpdateOutcome::RolledBack);
            }
            // The power failed before the bootloader was told to swap.
            (Loader::Settled, Phase::Staged) => update.refuse(target, UpdateRefusal::Interrupted),
        }
        update
    }

    /// An image begins. The same one again goes on where it was.
    pub fn begin(&mut self, head: &ImageHead, now_ms: u64) {
        if !S::THERE {
            self.refuse(head.version, UpdateRefusal::NotSupported);
            return;
        }
        if let State::Receiving(receiving) = &mut self.state
            && receiving.head == *head
        {
            receiving.ask_at_ms = now_ms + ASK_AFTER_MS;
            self.tell = true;
            return;
        }
        if let Some(why) = self.objection(head) {
            // What was under way, another image, goes on or stays.
            self.refuse(head.version, why);
            return;
        }
        self.tell = true;
        self.state = State::Receiving(Receiving {
            head: *head,
            have: 0,
            erased: 0,
            gap: false,
            gaps: 0,
            ask_at_ms: now_ms + ASK_AFTER_MS,
        });
    }

    /// Bytes of the image under way; others are not for us and are dropped. While the portal does not
    /// rest, so are those for which a page must be erased, which stops the processor of some boards
    /// for a second: they are asked for again.
    pub fn chunk(&mut self, at: u32, bytes: &[u8], portal_rests: bool, now_ms: u64) {
        if !S::THERE {
            return;
        }
        let State::Receiving(receiving) = &mut self.state else {
            return;
        };
        let head = receiving.head;
        receiving.ask_at_ms = now_ms + ASK_AFTER_MS;
        if at < receiving.have {
            return; // once more
        }
        let end = at.saturating_add(bytes.len() as u32);
        let whole = bytes.len().is_multiple_of(ALIGN) || end == head.size;
        if end > head.size {
            self.refuse_transfer(UpdateRefusal::Truncated);
        } else if at > receiving.have || bytes.is_empty() || !whole {
            // Those behind one that we ourselves did not take are nobody's fault.
            receiving.gaps += u16::from(portal_rests);
            // Asked for once; the controller goes back, and what is on its way is not asked for again.
            self.tell |= !receiving.gap;
            receiving.gap = true;
            if receiving.gaps > MAX_GAPS {
                self.refuse_transfer(UpdateRefusal::Truncated);
            }
        } else if end > receiving.erased && !portal_rests {
            // Not told: the controller would send it at once.
            receiving.gap = true;
        } else if keep(&mut self.slots, receiving, bytes).is_err() {
            self.refuse_transfer(UpdateRefusal::Memory);
        } else {
            receiving.gap = false;
            self.tell |= at / TELL_EVERY != end / TELL_EVERY || end == head.size;
        }
    }

    /// The image is complete.
    pub fn end(&mut self, now_ms: u64) {
        if !S::THERE {
            return;
        }
        let State::Receiving(receiving) = &mut self.state else {
            return;
        };
        let head = receiving.head;
        if receiving.have == head.size {
            self.state = State::Verifying {
                head,
                hashed: 0,
                hash: Sha256::new(),
            };
        } else if receiving.gap {
            // Lost on the way, and asked for.
            receiving.ask_at_ms = now_ms + ASK_AFTER_MS;
            self.tell = true;
        } else {
            self.refuse_transfer(UpdateRefusal::Truncated);
        }
    }

    /// An authenticated acknowledgement of the controller has come: an image on trial is good.
    pub fn reached(&mut self) {
        // A flash that refuses is asked again at the next acknowledgement.
        if matches!(self.state, State::Trial { .. }) && self.slots.mark_booted().is_ok() {
            self.confirmed();
        }
    }

    /// Does what is due: saves notes, hashes a piece, stages, asks again. Take the outcome first.
    pub fn tick(&mut self, memory: &mut impl Memory, now_ms: u64) {
        if self.unsaved && self.outcome.is_none() {
            // A memory that refuses is asked again at the next tick.
            self.unsaved = self.note.save(memory).is_err();
        }
        if !S::THERE {
            return;
        }
        match &mut self.state {
            State::Receiving(receiving) if now_ms >= receiving.ask_at_ms => {
                receiving.ask_at_ms = now_ms + ASK_AFTER_MS;
                self.tell = true;
            }
            State::Verifying { head, hashed, hash } => {
                let head = *head;
                match hash_piece(&mut self.slots, head.size, hashed, hash) {
                    Err(SlotFault) => self.refuse_transfer(UpdateRefusal::Memory),
                    Ok(None) => {}
                    Ok(Some(sum)) if sum == head.sha256 => self.stage(head.version, memory, now_ms),
                    Ok(Some(_)) => self.refuse_transfer(UpdateRefusal::Hash),
                }
            }
            _ => {}
        }
    }

    /// What became of an update, for the event; once.
    pub fn take_outcome(&mut self) -> Option<(Version, UpdateOutcome)> {
        self.outcome.take()
    }

    /// Version and bytes of the transfer under way, when the controller is to be told; once.
    pub fn take_transfer(&mut self) -> Option<(Version, u32)> {
        match (&self.state, core::mem::take(&mut self.tell)) {
            (State::Receiving(receiving), true) => Some((receiving.head.version, receiving.have)),
            _ => None,
        }
    }

    /// True when the board is to restart: to run the new image, or because it did not prove itself.
    pub fn wants_restart(&self, now_ms: u64) -> bool {
        match self.state {
            State::Staged { restart_at_ms } => now_ms >= restart_at_ms,
            State::Trial { give_up_at_ms } => now_ms >= give_up_at_ms,
            _ => false,
        }
    }

    /// When [`Self::tick`] or [`Self::wants_restart`] has something to do though nothing comes.
    pub fn next_deadline(&self) -> Option<u64> {
        match &self.state {
            State::Idle => None,
            State::Receiving(receiving) => Some(receiving.ask_at_ms),
            State::Verifying { .. } => Some(0),
            State::Staged { restart_at_ms } => Some(*restart_at_ms),
            State::Trial { give_up_at_ms } => Some(*give_up_at_ms),
        }
    }

    /// The versions for the health frame.
    pub fn versions(&self) -> Versions {
        Versions {
            running: self.firmware.version,
            previous: match self.state {
                State::Trial { .. } => self.note.from,
                _ => self.note.previous,
            },
            refused: self.note.refused,
        }
    }

    /// Why an image is not taken, before a byte of it has come.
    fn objection(&self, head: &ImageHead) -> Option<UpdateRefusal> {
        let room = self.slots.room();
        if room == 0 || matches!(self.state, State::Staged { .. } | State::Trial { .. }) {
            // On trial the spare slot is the way back.
            return Some(if room == 0 {
                UpdateRefusal::NotSupported
            } else {
                UpdateRefusal::Busy
            });
        }
        let Some(key) = &self.firmware.key else {
            return Some(UpdateRefusal::NotSupported);
        };
        if head.board != self.firmware.board.number() {
            Some(UpdateRefusal::OtherBoard)
        } else if head.version <= self.firmware.version {
            Some(UpdateRefusal::Older)
        } else if head.size == 0 || head.size > room {
            Some(UpdateRefusal::TooLarge)
        } else if head.signature == ([0; 32], [0; 32]) {
            Some(UpdateRefusal::Unsigned)
        } else if !signed_by(key, head) {
            Some(UpdateRefusal::Signature)
        } else {
            None
        }
    }

    /// From here on the image runs after a restart, whatever happens.
    fn stage(&mut self, version: Version, memory: &mut impl Memory, now_ms: u64) {
        let before = self.note;
        self.note.phase = Phase::Staged;
        self.note.target = version;
        self.note.from = Some(self.firmware.version);
        if self.note.save(memory).is_err() || self.slots.mark_swap().is_err() {
            self.note = Note {
                twin: self.note.twin,
                ..before
            };
            self.refuse(version, UpdateRefusal::Memory);
            self.state = State::Idle;
            return;
        }
        self.outcome = Some((version, UpdateOutcome::Staged));
        self.state = State::Staged {
            restart_at_ms: now_ms + RESTART_AFTER_MS,
        };
    }

    fn confirmed(&mut self) {
        self.note.previous = self.note.from;
        self.note.phase = Phase::Idle;
        self.unsaved = true;
        self.state = State::Idle;
        self.outcome = Some((self.firmware.version, UpdateOutcome::Confirmed));
    }

    /// Ends the transfer under way.
    fn refuse_transfer(&mut self, why: UpdateRefusal) {
        if let State::Receiving(Receiving { head, .. }) | State::Verifying { head, .. } = &self.state {
            let version = head.version;
            self.refuse(version, why);
            self.state = State::Idle;
        }
    }

    fn refuse(&mut self, version: Version, why: UpdateRefusal) {
        // A refused image changes nothing about the one that is staged or on trial.
        let phase = self.note.phase;
        self.close(version, why, UpdateOutcome::Refused(why));
        if matches!(self.state, State::Staged { .. } | State::Trial { .. }) {
            self.note.phase = phase;
        }
    }

    fn close(&mut self, version: Version, why: UpdateRefusal, outcome: UpdateOutcome) {
        self.note.phase = Phase::Idle;
        self.note.refused = Some((version, why));
        self.unsaved = true;
        self.outcome = Some((version, outcome));
    }
}

/// Writes what follows on what is there, erasing the pages it reaches into.
fn keep<S: Slots>(slots: &mut S, receiving: &mut Receiving, bytes: &[u8]) -> Result<(), SlotFault> {
    let end = receiving.have + bytes.len() as u32;
    while receiving.erased < end {
        slots.erase(receiving.erased)?;
        receiving.erased += slots.page().max(1);
    }
    slots.write(receiving.have, bytes)?;
    receiving.have = end;
    Ok(())
}

/// Hashes the next piece of the spare slot; the sum when it was the last.
fn hash_piece<S: Slots>(
    slots: &mut S,
    size: u32,
    hashed: &mut u32,
    hash: &mut Sha256,
) -> Result<Option<[u8; 32]>, SlotFault> {
    let stop = size.min(*hashed + HASH_STEP);
    let mut buffer = [0; 256];
    while *hashed < stop {
        let piece = &mut buffer[..(stop - *hashed).min(256) as usize];
        slots.read(*hashed, piece)?;
        hash.update(&*piece);
        *hashed += piece.len() as u32;
    }
    Ok((*hashed == size).then(|| hash.finalize_reset().into()))
}

/// Ed25519 (RFC 8032), strictly: keys and signatures that fit several messages are refused.
#[cfg(any(feature = "update", test))]
fn signed_by(key: &[u8; 32], head: &ImageHead) -> bool {
    use ed25519_dalek::{Signature, VerifyingKey};
    let (r, s) = head.signature;
    VerifyingKey::from_bytes(key).is_ok_and(|key| {
        key.verify_strict(&head.signed(), &Signature::from_components(r, s))
            .is_ok()
    })
}

/// Without the feature nothing is trusted.
#[cfg(not(any(feature = "update", test)))]
fn signed_by(_: &[u8; 32], _: &ImageHead) -> bool {
    false
}

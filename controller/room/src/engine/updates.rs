//! New firmware on its way to a node.
//!
//! ```text
//! order -> file is whole? -> UpdateBegun (journaled) -> transfer -> Staged -> Confirmed
//!                                                         |           +-----> RolledBack
//!                                                         +-> Refused, or given up
//! ```
//! The node alone decides whether an image is signed, newer and for its board, and keeps the one
//! that runs until the new one has reached us. An image is in memory while it is brought over and
//! nowhere else: after a restart of the controller the order is given again, and a node that kept
//! what it had goes on from there.

use super::{Engine, words};
use crate::alarm;
use crate::catalog::NodeTrouble;
use crate::event::{Refused, Turn};
use crate::record::Record;
use crate::site::{Label, World};
use crate::snapshot;
use crate::time::{Mono, Now};
use crate::transfer::{OF_IMAGES, Send, Transfer};
use shared::board::Board;
use shared::image;
use shared::wire::{Down, ImageHead, UpdateOutcome};

/// Images under way at the same time, of at most [`image::MAX_IMAGE`] bytes each.
pub const MAX_UPDATES_AT_ONCE: usize = 4;
/// Attempts after which an update is given up.
pub const MAX_ATTEMPTS: u32 = 10;

/// The update of one node, and what became of it.
#[derive(Debug)]
pub(super) struct Update {
    head: ImageHead,
    file: String,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It is brought over.
    UnderWay { image: Vec<u8>, transfer: Transfer },
    /// The node verified it and starts it.
    Staged,
    /// It runs and reached us.
    Confirmed,
    /// It ran and did not reach us.
    RolledBack,
    /// The node did not take it, or it never got there; the reason in a word.
    Failed(String),
}

impl Update {
    const fn is_under_way(&self) -> bool {
        matches!(self.state, State::UnderWay { .. })
    }
}

impl<W: World> Engine<W> {
    pub(super) fn update_node(
        &mut self,
        now: Now,
        by: &str,
        name: &str,
        file: &str,
        bytes: &[u8],
        turn: &mut Turn,
    ) -> Result<(), Refused> {
        let by = alarm::operator_text("by", by)?;
        let file = alarm::operator_text("file", file)?;
        let node = self.ordered_node(now, name)?;
        let (head, image) = image::read_file(bytes).map_err(|error| {
            Refused::invalid(
                format!("{file} は使えるイメージではありません: {error}"),
                format!("{file}: {error}"),
            )
        })?;
        let under_way = self.updates.values().filter(|update| update.is_under_way());
        if under_way.count() >= MAX_UPDATES_AT_ONCE {
            return Err(Refused::conflict(
                format!("{MAX_UPDATES_AT_ONCE} 台のノードを更新中です。どれかが終わるまで待ってください"),
                format!("{MAX_UPDATES_AT_ONCE} nodes are being updated; wait for one of them"),
            ));
        }
        if self.updates.get(&node).is_some_and(Update::is_under_way) {
            return Err(Refused::conflict(
                format!("{name} はすでに更新中です"),
                format!("{name} is already being updated"),
            ));
        }
        if self.is_twin(node) {
            return Err(Refused::conflict(
                format!("{name} を名乗る基板が 2 枚あり、更新は両方に届いてしまいます"),
                format!("two boards say that they are {name}; an update would reach both"),
            ));
        }
        let board = self
            .site
            .nodes
            .iter()
            .find(|site| site.id == node)
            .and_then(|site| site.hardware.board);
        if let Some(board) = board.filter(|board| board.number() != head.board) {
            let other = Board::of(head.board).map_or("another board", Board::name);
            return Err(Refused::invalid(
                format!("{file} は {other} 用です（{name} は {}）", board.name()),
                format!("{file} is for {other}, {name} is {}", board.name()),
            ));
        }
        let running = self.health.get(&node).map(|(_, health)| health.running);
        if let Some(running) = running.filter(|running| *running >= head.version) {
            return Err(Refused::conflict(
                format!(
                    "{name} は {running} で動作中で、{} は新しくありません",
                    head.version
                ),
                format!("{name} runs {running}; {} is not newer", head.version),
            ));
        }
        let transfer = Transfer::new(now.mono, head.version.number(), head.size, OF_IMAGES);
        self.commit(
            now,
            turn,
            Record::UpdateBegun {
                node,
                version: head.version.to_string(),
                file: file.clone(),
                by,
            },
        );
        let state = State::UnderWay {
            image: image.to_vec(),
            transfer,
        };
        self.updates.insert(node, Update { head, file, state });
        self.run_updates(now, turn);
        Ok(())
    }

    /// Goes on with every image that is to be brought somewhere.
    pub(super) fn run_updates(&mut self, now: Now, turn: &mut Turn) {
        for node in self.updates.keys().copied().collect::<Vec<_>>() {
            let alive = self.is_alive(now, node);
            let Some(State::UnderWay { transfer, .. }) =
                self.updates.get_mut(&node).map(|update| &mut update.state)
            else {
                continue;
            };
            if !alive {
                // When it is heard again it says where it is.
                transfer.begin_again(now.mono);
                continue;
            }
            let frames = transfer.tick(now.mono);
            if transfer.failures() >= MAX_ATTEMPTS {
                self.update_failed(now, node, "it does not get there", turn);
                continue;
            }
            self.send_image(now, node, frames, turn);
        }
    }

    /// How far the node is with what it is given.
    pub(super) fn image_progress(&mut self, now: Now, node: u16, version: u32, have: u32, turn: &mut Turn) {
        if let Some(State::UnderWay { transfer, .. }) =
            self.updates.get_mut(&node).map(|update| &mut update.state)
        {
            let frames = transfer.reported(now.mono, version, have);
            self.send_image(now, node, frames, turn);
        }
    }

    fn send_image(&mut self, now: Now, node: u16, frames: Vec<Send>, turn: &mut Turn) {
        for frame in frames {
            let Some(update) = self.updates.get(&node) else {
                return;
            };
            let State::UnderWay { image, .. } = &update.state else {
                return;
            };
            let body = match frame {
                Send::Begin => Down::UpdateBegin(update.head),
                Send::Part { at, len } => {
                    let from = usize::try_from(at).unwrap_or(usize::MAX).min(image.len());
                    let len = usize::try_from(len).unwrap_or(usize::MAX);
                    Down::UpdateChunk {
                        at,
                        bytes: image[from..].iter().copied().take(len).collect(),
                    }
                }
                Send::End => Down::UpdateEnd,
            };
            self.count("image_frames_sent");
            self.tell(now, node, &body, turn);
        }
    }

    /// The node says what became of an update, perhaps of one that we know nothing of.
    pub(super) fn update_outcome(
        &mut self,
        now: Now,
        node: u16,
        version: &str,
        outcome: UpdateOutcome,
        turn: &mut Turn,
    ) {
        let state = match outcome {
            UpdateOutcome::Staged => State::Staged,
            UpdateOutcome::Confirmed => State::Confirmed,
            UpdateOutcome::Refused(why) => State::Failed(format!("{why:?}")),
            UpdateOutcome::RolledBack => State::RolledBack,
        };
        let trouble = match outcome {
            UpdateOutcome::Refused(why) => Some(Label::new(
                format!("{version}: {}", words::image(why)),
                format!("{version}: {why:?}"),
            )),
            UpdateOutcome::RolledBack => Some(Label::new(
                format!("{version}: 前の版へ戻した"),
                format!("{version}: rolled back"),
            )),
            UpdateOutcome::Staged | UpdateOutcome::Confirmed => None,
        };
        if let Some(update) = self.updates.get_mut(&node)
            && update.head.version.to_string() == version
        {
            update.state = state;
        }
        if let Some(trouble) = trouble {
            self.occurred(now, node, NodeTrouble::Update, trouble, turn);
        }
    }

    fn update_failed(&mut self, now: Now, node: u16, why: &str, turn: &mut Turn) {
        let Some(update) = self.updates.get_mut(&node) else {
            return;
        };
        update.state = State::Failed(why.to_owned());
        let version = update.head.version;
        let what = Label::new(format!("{version}: 端末に届かない"), format!("{version}: {why}"));
        self.occurred(now, node, NodeTrouble::Update, what, turn);
    }

    /// A node that started anew has forgotten what was under way.
    pub(super) fn update_reboot(&mut self, now: Now, node: u16) {
        if let Some(State::UnderWay { transfer, .. }) =
            self.updates.get_mut(&node).map(|update| &mut update.state)
        {
            transfer.begin_again(now.mono);
        }
    }

    pub(super) fn update_deadline(&self, now: Now) -> Option<Mono> {
        self.updates
            .values()
            .filter_map(|update| match &update.state {
                State::UnderWay { transfer, .. } => Some(transfer.next_deadline()),
                _ => None,
            })
            .filter(|at| *at > now.mono)
            .min()
    }

    pub(super) fn update_row(&self, node: u16) -> Option<snapshot::Update> {
        let update = self.updates.get(&node)?;
        let (state, have, problem) = match &update.state {
            State::UnderWay { transfer, .. } => ("under_way", transfer.have(), None),
            State::Staged => ("staged", update.head.size, None),
            State::Confirmed => ("confirmed", update.head.size, None),
            State::RolledBack => ("rolled_back", update.head.size, None),
            State::Failed(why) => ("failed", 0, Some(why.clone())),
        };
        Some(snapshot::Update {
            version: update.head.version.to_string(),
            file: update.file.clone(),
            state: state.to_owned(),
            size: update.head.size,
            have,
            problem,
        })
    }
}

//! What a node in service answers on its console.

use super::Node;
use crate::console::{Answer, Command, Problem, Request, State, Status, Who};
use crate::memory::Memory;
use crate::update::Slots;

impl<M: Memory, S: Slots> Node<M, S> {
    /// Answers a request of the console. The only one that changes something is `erase`, and it
    /// must name this node; the board goes on calling [`Node::tick`] until the order to restart.
    pub fn answer(&mut self, request: Request, now_ms: u64) -> Answer {
        match request {
            Ok(Command::Identify) => Answer::Identity {
                who: Some(Who {
                    node: self.id,
                    key_id: self.keys.current.id,
                    fingerprint: self.keys.current.key.fingerprint(),
                }),
                firmware: self.update.versions().running,
                state: if self.erasing.is_on() {
                    State::Erased
                } else if self.safe.is_on() {
                    State::Safe
                } else {
                    State::Running
                },
            },
            Ok(Command::Status) => Answer::Status(Status {
                boot: self.boot(),
                pending: self.pending(),
                lost: self.outbox.lost_total(),
                refused: self.refusals.total,
                crashes: self.safe.crashes(),
                clock: self.clock.state(),
                list: self.list.version(),
            }),
            Ok(Command::Erase { node }) if node == self.id => {
                self.erase(now_ms);
                Answer::Erasing(node)
            }
            Ok(Command::Erase { .. }) => Problem::OtherNode.into(),
            Ok(Command::Begin | Command::Chunk { .. } | Command::Commit { .. }) => Problem::InService.into(),
            Err(problem) => problem.into(),
        }
    }
}

//! Access lists on their way: each node with a portal has the list that the site wants there.
//!
//! ```text
//! cards of register and file -> content --same--> the version stays
//!                              --other-> version + 1 (journaled) -> transfer -> sent (journaled)
//! node: version in force  == ours, sent by us ----> confirmed now and then
//!                         >= ours, not sent by us -> ours gets a higher version
//!                         otherwise --------------> transfer
//! ```
//! A node that once had a list goes on getting one, an empty one if need be: a portal that was
//! taken out of the site must not go on opening. A list that a node got from another controller,
//! or from a journal that is lost, never counts as ours.

use super::{Engine, hex};
use crate::access::{List, TooMany};
use crate::alarm::Condition;
use crate::catalog::{self, NodeTrouble};
use crate::event::Turn;
use crate::record::Record;
use crate::site::{Label, World};
use crate::snapshot;
use crate::time::{Millis, Mono, Now};
use crate::transfer::{OF_LISTS, Send, Transfer};
use shared::wire::{Down, Health, ListEvent, ListProblem};

/// Nodes that are given a list at the same time; the others wait.
pub const MAX_LISTS_AT_ONCE: usize = 4;
/// A list in force is confirmed so often,
pub const CONFIRM_EVERY: Millis = Millis(12 * 3_600_000);
/// and, while the node does not say that it heard of it, so often.
pub const CONFIRM_AGAIN: Millis = Millis(3_600_000);
/// A node that counts so many hours since the last confirmation has not heard it.
const UNHEARD_HOURS: u16 = 13;

/// The list of one node.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Version of the content below (durable).
    version: u32,
    /// What [`List::content`] says, as hex (durable).
    content: String,
    /// The version that was last sent to its end (durable).
    sent: Option<u32>,
    /// The list itself.
    list: Option<List>,
    too_many: Option<TooMany>,
    /// What the node says it has in force.
    in_force: Option<u32>,
    transfer: Option<Transfer>,
    problem: Option<ListProblem>,
    confirmed: Option<Mono>,
}

impl Wanted {
    /// True when the node has what it should have.
    fn is_there(&self) -> bool {
        let version = self.list.as_ref().map(List::version);
        version.is_some() && self.in_force == version && self.sent == version
    }
}

impl<W: World> Engine<W> {
    /// Applies a record about lists.
    pub(super) fn apply_list(&mut self, record: &Record) {
        match record {
            Record::AccessList {
                node,
                version,
                content,
                ..
            } => {
                let wanted = self.lists.entry(*node).or_default();
                wanted.version = *version;
                wanted.content.clone_from(content);
            }
            Record::ListSent { node, version } => {
                self.lists.entry(*node).or_default().sent = Some(*version);
            }
            _ => {}
        }
    }

    /// Makes the lists of this site as they must be now, and versions for those whose content is
    /// another one.
    pub(super) fn make_lists(&mut self, now: Now, turn: &mut Turn) {
        let access = self.access_now(now);
        let mut nodes: Vec<u16> = access.portals.iter().map(|portal| portal.node).collect();
        nodes.extend(self.lists.keys());
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            let known = self.lists.get(&node);
            let version = known.map_or(0, |wanted| wanted.version).max(1);
            match List::of(&access, node, version) {
                Ok(list) => {
                    let content = hex(&list.content());
                    let is_same = known.is_some_and(|wanted| wanted.content == content);
                    // On its way, or there: it goes on.
                    if is_same && known.is_some_and(|wanted| wanted.list.is_some()) {
                        continue;
                    }
                    let version = match known {
                        Some(wanted) if is_same => wanted.version,
                        Some(wanted) => wanted.version.saturating_add(1),
                        None => 1,
                    };
                    let wanted = self.lists.entry(node).or_default();
                    (wanted.list, wanted.too_many) = (Some(list), None);
                    self.renumber(now, node, version, !is_same, turn);
                }
                Err(too_many) => {
                    self.lists.entry(node).or_default().too_many = Some(too_many);
                }
            }
        }
    }

    fn renumber(&mut self, now: Now, node: u16, version: u32, is_new: bool, turn: &mut Turn) {
        let Some(wanted) = self.lists.get_mut(&node) else {
            return;
        };
        let Some(list) = &mut wanted.list else { return };
        list.renumber(version);
        wanted.transfer = None;
        let record = Record::AccessList {
            node,
            version,
            count: list.count(),
            content: hex(&list.content()),
        };
        if is_new {
            self.commit(now, turn, record);
        }
    }

    /// The node says which list decides.
    pub(super) fn list_in_force(&mut self, now: Now, node: u16, version: u32, turn: &mut Turn) {
        let Some(wanted) = self.lists.get_mut(&node) else {
            return;
        };
        wanted.in_force = Some(version);
        let ours = wanted.list.as_ref().map_or(0, List::version);
        if wanted.is_there() {
            wanted.transfer = None;
            wanted.problem = None;
            self.cards_stopped(now, node, version, turn);
        } else if version >= ours && wanted.list.is_some() && wanted.sent != Some(version) {
            // Past the last version there is none; then the alarm of the list stands.
            if let Some(next) = version.checked_add(1) {
                self.renumber(now, node, next, true, turn);
            }
        }
        self.evaluate_list(now, node, turn);
        self.run_lists(now, turn);
    }

    /// What the node's health says about its list.
    pub(super) fn list_health(&mut self, now: Now, node: u16, health: &Health, turn: &mut Turn) {
        self.list_in_force(now, node, health.list, turn);
        let age_h = (health.list_age_h != u16::MAX).then_some(health.list_age_h);
        self.confirm_list(now, node, age_h, turn);
        let limit_h = u16::from(self.site.access.stale_after_days).saturating_mul(24);
        if let (Some(age_h), Some(name), true) = (age_h, self.node_name(node), limit_h > 0) {
            let condition = if age_h >= limit_h {
                stale(age_h / 24)
            } else {
                Condition::Gone
            };
            self.report(
                now,
                turn,
                &catalog::node_id(&name, NodeTrouble::ListStale),
                condition,
            );
        }
    }

    /// A list that was not confirmed turns stale in the node; a confirmation may be lost.
    fn confirm_list(&mut self, now: Now, node: u16, age_h: Option<u16>, turn: &mut Turn) {
        let Some(wanted) = self.lists.get_mut(&node).filter(|wanted| wanted.is_there()) else {
            return;
        };
        let unheard = age_h.is_some_and(|age_h| age_h >= UNHEARD_HOURS);
        let every = if unheard { CONFIRM_AGAIN } else { CONFIRM_EVERY };
        if wanted.confirmed.is_some_and(|at| now.mono.since(at) < every) {
            return;
        }
        wanted.confirmed = Some(now.mono);
        let version = wanted.version;
        self.tell(now, node, &Down::ListConfirm { version }, turn);
    }

    /// What became of a list, by an event of the node's present life.
    pub(super) fn list_event(&mut self, now: Now, node: u16, event: ListEvent, turn: &mut Turn) {
        match event {
            ListEvent::Committed { version, .. } => {
                self.list_in_force(now, node, version, turn);
                self.report_stale(now, node, Condition::Gone, turn);
            }
            ListEvent::Dropped { version, why } => {
                if let Some(wanted) = self.lists.get_mut(&node) {
                    wanted.problem = Some(why);
                    match &mut wanted.transfer {
                        Some(transfer) if transfer.version == version => transfer.dropped(now.mono),
                        // The one in force: it rotted away.
                        _ => wanted.in_force = Some(0),
                    }
                }
                self.evaluate_list(now, node, turn);
            }
            ListEvent::Stale { days, .. } => self.report_stale(now, node, stale(days), turn),
        }
    }

    fn report_stale(&mut self, now: Now, node: u16, condition: Condition, turn: &mut Turn) {
        if let Some(name) = self.node_name(node) {
            let alarm = catalog::node_id(&name, NodeTrouble::ListStale);
            self.report(now, turn, &alarm, condition);
        }
    }

    /// How far the node is with what it is given.
    pub(super) fn list_progress(&mut self, now: Now, node: u16, version: u32, have: u32, turn: &mut Turn) {
        let frames = self
            .lists
            .get_mut(&node)
            .and_then(|wanted| wanted.transfer.as_mut())
            .map(|transfer| transfer.reported(now.mono, version, have));
        self.send_list(now, node, frames.unwrap_or_default(), turn);
        self.evaluate_list(now, node, turn);
    }

    /// The node started anew.
    pub(super) fn list_reboot(&mut self, now: Now, node: u16) {
        if let Some(wanted) = self.lists.get_mut(&node) {
            // What it has in force now it says by itself.
            wanted.in_force = None;
            if let Some(transfer) = &mut wanted.transfer {
                transfer.begin_again(now.mono);
            }
        }
    }

    /// Begins and goes on with every list that is to be brought somewhere.
    pub(super) fn run_lists(&mut self, now: Now, turn: &mut Turn) {
        let nodes: Vec<u16> = self.lists.keys().copied().collect();
        for node in nodes {
            let alive = self.is_alive(now, node);
            let busy = self
                .lists
                .values()
                .filter(|wanted| wanted.transfer.as_ref().is_some_and(Transfer::is_busy))
                .count();
            let Some(wanted) = self.lists.get_mut(&node) else {
                continue;
            };
            // Its silence is an alarm of its own; it begins anew when it is heard.
            if !alive || wanted.in_force.is_none() || wanted.is_there() {
                wanted.transfer = None;
                continue;
            }
            let Some(list) = &wanted.list else { continue };
            let transfer = wanted.transfer.get_or_insert_with(|| {
                Transfer::new(now.mono, list.version(), u32::from(list.count()), OF_LISTS)
            });
            if !transfer.is_busy() && busy >= MAX_LISTS_AT_ONCE {
                continue;
            }
            let frames = transfer.tick(now.mono);
            self.send_list(now, node, frames, turn);
        }
    }

    fn send_list(&mut self, now: Now, node: u16, frames: Vec<Send>, turn: &mut Turn) {
        for frame in frames {
            let Some(wanted) = self.lists.get(&node) else {
                return;
            };
            let Some(list) = &wanted.list else { return };
            let body = match frame {
                Send::Begin => list.begin(),
                Send::Part { at, len } => list.part(at, len),
                Send::End => list.commit(),
            };
            // Before the node can say that it has it, we must know that it may.
            let version = list.version();
            if frame == Send::End && wanted.sent != Some(version) {
                self.commit(now, turn, Record::ListSent { node, version });
            }
            self.count("list_frames_sent");
            self.tell(now, node, &body, turn);
        }
    }

    pub(super) fn evaluate_list(&mut self, now: Now, node: u16, turn: &mut Turn) {
        let (Some(wanted), Some(name)) = (self.lists.get(&node), self.node_name(node)) else {
            return;
        };
        let condition = if let Some(too_many) = &wanted.too_many {
            let entries = too_many.entries;
            Condition::Holds(Label::new(
                format!("{entries} 件は端末に入らない（500 件まで）"),
                too_many.to_string(),
            ))
        } else if wanted.is_there() {
            Condition::Gone
        } else if wanted.in_force.is_none() {
            Condition::Unknown
        } else {
            let (version, count) = wanted
                .list
                .as_ref()
                .map_or((0, 0), |list| (list.version(), list.count()));
            let have = wanted.transfer.as_ref().map_or(0, Transfer::have);
            let problem = wanted.problem.map(|why| format!("{why:?}, ")).unwrap_or_default();
            Condition::Holds(Label::new(
                format!("版 {version}: {problem}{count} 件中 {have} 件"),
                format!("version {version}: {problem}{have} of {count} entries"),
            ))
        };
        self.report(now, turn, &catalog::node_id(&name, NodeTrouble::List), condition);
    }

    pub(super) fn list_deadline(&self, now: Now) -> Option<Mono> {
        self.lists
            .values()
            .filter_map(|wanted| wanted.transfer.as_ref())
            .map(Transfer::next_deadline)
            .filter(|at| *at > now.mono)
            .min()
    }

    pub(super) fn list_row(&self, node: u16) -> Option<snapshot::List> {
        let wanted = self.lists.get(&node)?;
        let list = wanted.list.as_ref();
        Some(snapshot::List {
            version: list.map_or(wanted.version, List::version),
            count: list.map_or(0, List::count),
            in_force: wanted.in_force,
            state: match (&wanted.transfer, wanted.in_force) {
                _ if wanted.too_many.is_some() => "too_many",
                _ if wanted.is_there() => "there",
                (_, None) => "unknown",
                (Some(transfer), _) if transfer.is_busy() => "sending",
                _ => "waiting",
            }
            .to_owned(),
            have: wanted.transfer.as_ref().map(Transfer::have),
        })
    }
}

fn stale(days: u16) -> Condition {
    Condition::Holds(Label::new(
        format!("{days} 日間確認されていない"),
        format!("not confirmed for {days} days"),
    ))
}

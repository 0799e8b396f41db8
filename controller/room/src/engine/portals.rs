//! The portals: what a node decided about its door becomes alarms and the picture of the door.
//!
//! The node decides what was forced. That it did decide is watched here: an opening that no word
//! of the node follows within [`JUDGED_WITHIN`] counts as forced, so that a node without the
//! portal in its own configuration cannot make a door silent.
//!
//! ```text
//!  contact opens --+-- Opened(by) within 5 s -----> an event
//!                  +-- Forced, FoundOpen ---------> alarm
//!                  +-- nothing within 5 s --------> alarm
//! ```

use super::Engine;
use crate::alarm::Condition;
use crate::catalog::{self, NodeTrouble, PortalTrouble};
use crate::device::FactValue;
use crate::event::Turn;
use crate::record::NodeEvent;
use crate::site::{ContactKind, Label, Passes, World};
use crate::snapshot;
use crate::time::{Millis, Mono, Now};
use shared::wire::{DoorEvent, Header, ReaderProblem, ReaderState};

/// The node's word about an opening must come so soon before or after it.
pub const JUDGED_WITHIN: Millis = Millis(5_000);

/// By then a node that started has said what is wrong at its door: a bolt may take five seconds,
/// and a line takes some readings.
pub const SAID_BY: Millis = Millis(20_000);

/// A moment by a node's own clock: two of them are as far apart as they were at the door, however
/// long they were on their way.
#[derive(Debug, Clone, Copy)]
struct Moment {
    boot: u32,
    up_ms: u64,
}

impl Moment {
    /// True when a word of that moment is about what happened in this one.
    fn is_about(self, other: Self) -> bool {
        self.boot == other.boot && self.up_ms.abs_diff(other.up_ms) <= JUDGED_WITHIN.0
    }
}

/// An opening that nobody has explained.
#[derive(Debug, Clone, Copy)]
struct Opening {
    at: Moment,
    /// By then the word about it must be here.
    until: Mono,
    /// The journal went on after that: it was decided before the controller started anew.
    is_over: bool,
}

/// What is known of a portal since the controller started.
#[derive(Debug, Clone, Default)]
pub(super) struct Portal {
    /// When the node last said why the door is open (durable).
    judged: Option<Moment>,
    /// The door opened, and the node has still to say why (durable).
    opened: Option<Opening>,
    held: bool,
    reader: Option<ReaderState>,
    tamper: Option<bool>,
    unlocked: Option<bool>,
    /// The last decision about a card, and when it was heard.
    last: Option<(Mono, String)>,
}

impl<W: World> Engine<W> {
    /// The portal with this number on the node.
    pub(super) fn portal(&self, node: u16, number: u8) -> Option<usize> {
        let portals = &self.site.access.portals;
        portals.iter().position(|p| (p.node, p.portal) == (node, number))
    }

    fn portal_of_reader(&self, node: u16, reader: u8) -> Option<usize> {
        let portals = &self.site.access.portals;
        portals.iter().position(|p| (p.node, p.reader) == (node, reader))
    }

    /// The portal whose door contact this point is.
    pub(super) fn portal_of_door(&self, point: &str) -> Option<usize> {
        let portals = &self.site.access.portals;
        portals.iter().position(|p| p.door.as_deref() == Some(point))
    }

    fn portal_alarm(&self, index: usize, trouble: PortalTrouble) -> String {
        catalog::portal_id(&self.site.access.portals[index], trouble)
    }

    fn report_portal(
        &mut self,
        now: Now,
        index: usize,
        trouble: PortalTrouble,
        condition: Condition,
        turn: &mut Turn,
    ) {
        let alarm = self.portal_alarm(index, trouble);
        self.report(now, turn, &alarm, condition);
    }

    fn raise_portal(
        &mut self,
        now: Now,
        index: usize,
        trouble: PortalTrouble,
        because: Label,
        turn: &mut Turn,
    ) {
        let alarm = self.portal_alarm(index, trouble);
        if let Some(record) = self.book.raise_now(&alarm, because) {
            self.commit(now, turn, record);
        }
    }

    /// What a recorded event says about openings and the reasons for them, also at a replay. An
    /// opening is explained by a word of the same boot, made within [`JUDGED_WITHIN`] of it.
    pub(super) fn learn_portal(
        &mut self,
        now: Now,
        (node, boot, up_ms): (u16, u32, u64),
        point: Option<&str>,
        event: &NodeEvent,
    ) {
        let at = Moment { boot, up_ms };
        match event {
            NodeEvent::Contact { open: true, .. } | NodeEvent::Rested { open: true, .. } => {
                let Some(index) = point.and_then(|point| self.portal_of_door(point)) else {
                    return;
                };
                let portal = &mut self.portals[index];
                if portal.opened.is_none_or(|opening| opening.is_over)
                    && !portal.judged.is_some_and(|word| word.is_about(at))
                {
                    portal.opened = Some(Opening {
                        at,
                        until: now.mono.after(JUDGED_WITHIN).after(Millis(1)),
                        is_over: false,
                    });
                }
            }
            NodeEvent::Door {
                portal,
                door: DoorEvent::Opened(_) | DoorEvent::Forced | DoorEvent::FoundOpen,
            } => {
                let Some(index) = self.portal(node, *portal) else {
                    return;
                };
                let portal = &mut self.portals[index];
                portal.judged = Some(at);
                portal.opened = portal.opened.filter(|opening| !at.is_about(opening.at));
            }
            _ => {}
        }
    }

    /// What was still open to judgement when the controller stopped is so again.
    pub(super) fn resume_openings(&mut self, now: Now) {
        for portal in &mut self.portals {
            portal.opened = portal.opened.filter(|opening| !opening.is_over);
            if let Some(opening) = &mut portal.opened {
                opening.until = now.mono.after(JUDGED_WITHIN).after(Millis(1));
            }
        }
    }

    /// The journal has reached this moment. What was due by then was decided then.
    pub(super) fn openings_until(&mut self, now: Now) {
        for opening in self.portals.iter_mut().filter_map(|p| p.opened.as_mut()) {
            opening.is_over |= opening.until <= now.mono;
        }
    }

    /// `made` is `None` when the event says nothing about now.
    pub(super) fn door_event(
        &mut self,
        now: Now,
        node: u16,
        number: u8,
        made: Option<Mono>,
        event: DoorEvent,
        turn: &mut Turn,
    ) {
        let Some(index) = self.portal(node, number) else {
            self.count("node_portals_unmounted");
            self.unmounted_door(now, node, event, turn);
            return;
        };
        let open = match event {
            DoorEvent::Opened(_) | DoorEvent::Forced | DoorEvent::HeldOpen | DoorEvent::FoundOpen => {
                Some(true)
            }
            DoorEvent::Closed => Some(false),
            _ => None,
        };
        let door = self.site.access.portals[index].door.clone();
        if let (Some(open), Some(at), Some(door)) = (open, made, &door) {
            let value = Ok(FactValue::Number(if open { 1.0 } else { 0.0 }));
            self.set_point(now, door, at, value, turn);
        }
        match event {
            DoorEvent::Forced => {
                let because = Label::new(
                    "許可も退室要求もなく開いた",
                    "opened without grant or request to exit",
                );
                self.raise_portal(now, index, PortalTrouble::Forced, because, turn);
            }
            DoorEvent::FoundOpen => {
                let because = Label::new("端末の起動時に開いていた", "was open when the node started");
                self.raise_portal(now, index, PortalTrouble::Forced, because, turn);
            }
            DoorEvent::HeldOpen => {
                self.portals[index].held |= made.is_some();
                let because = Label::new("許された時間を超えて開いている", "open for longer than it may");
                self.raise_portal(now, index, PortalTrouble::Held, because, turn);
                self.held_on(now, index, turn);
            }
            DoorEvent::Closed if made.is_some() => self.door_closed(now, index, turn),
            DoorEvent::Tamper(on) => {
                let because = Label::new("箱の接点が開いた", "the enclosure's contact opened");
                match (on, made) {
                    (true, _) => self.raise_portal(now, index, PortalTrouble::Tamper, because, turn),
                    (false, Some(_)) => {
                        self.report_portal(now, index, PortalTrouble::Tamper, Condition::Gone, turn);
                    }
                    (false, None) => {}
                }
                if made.is_some() {
                    self.portals[index].tamper = Some(on);
                }
            }
            DoorEvent::Unlocked(on) if made.is_some() => {
                self.portals[index].unlocked = Some(on);
                let condition = if on {
                    Condition::Holds(Label::new(
                        "閉じた後も錠が掛からない",
                        "the bolt is not thrown though the door is closed",
                    ))
                } else {
                    Condition::Gone
                };
                self.report_portal(now, index, PortalTrouble::Unlocked, condition, turn);
            }
            // Recorded, and nothing else: somebody who may opened, or nobody did.
            _ => {}
        }
    }

    /// A door of which the site knows nothing: what is forced there is still forced.
    fn unmounted_door(&mut self, now: Now, node: u16, event: DoorEvent, turn: &mut Turn) {
        if !matches!(event, DoorEvent::Forced | DoorEvent::FoundOpen) {
            return;
        }
        let door = self.site.nodes.iter().find(|n| n.id == node).and_then(|node| {
            let mut channels = node.channels.iter();
            channels.find(|channel| channel.contact == Some(ContactKind::Door))
        });
        let Some(alarm) = door.map(|door| catalog::contact_id(&door.point, ContactKind::Door)) else {
            return;
        };
        let because = Label::new(
            "site.toml にない出入口が許可なく開いた",
            "a portal that site.toml does not name was opened without a grant",
        );
        if let Some(record) = self.book.raise_now(&alarm, because) {
            self.commit(now, turn, record);
        }
    }

    fn door_closed(&mut self, now: Now, index: usize, turn: &mut Turn) {
        self.portals[index].held = false;
        for trouble in [
            PortalTrouble::Forced,
            PortalTrouble::Held,
            PortalTrouble::HeldLong,
        ] {
            self.report_portal(now, index, trouble, Condition::Gone, turn);
        }
    }

    /// While the first alarm about an open door stands, the time of the second one runs; nobody having
    /// said that the door is closed, it runs on while the contact is not heard, and begins anew at a start.
    fn held_on(&mut self, now: Now, index: usize, turn: &mut Turn) {
        let held = self.portal_alarm(index, PortalTrouble::Held);
        if self.book.is_active(&held) {
            let because = Label::new(
                "声をかけた後も開いたままである",
                "it stands open though that was said",
            );
            self.report_portal(
                now,
                index,
                PortalTrouble::HeldLong,
                Condition::Holds(because),
                turn,
            );
        }
    }

    /// The contact's level at a portal: closed ends what an opening began; open means nothing
    /// without the node's word.
    pub(super) fn portal_level(&mut self, now: Now, index: usize, open: Option<bool>, turn: &mut Turn) {
        match open {
            Some(false) => self.door_closed(now, index, turn),
            Some(true) | None => {
                for trouble in [PortalTrouble::Forced, PortalTrouble::Held] {
                    self.report_portal(now, index, trouble, Condition::Unknown, turn);
                }
                self.held_on(now, index, turn);
            }
        }
    }

    pub(super) fn reader_event(
        &mut self,
        now: Now,
        node: u16,
        reader: u8,
        state: ReaderState,
        turn: &mut Turn,
    ) {
        let Some(index) = self.portal_of_reader(node, reader) else {
            self.count("node_portals_unmounted");
            return;
        };
        self.portals[index].reader = Some(state);
        let condition = match state {
            ReaderState::Well => Condition::Gone,
            ReaderState::Fault(problem) => {
                let (ja, en) = reader_words(problem);
                Condition::Holds(Label::new(ja, en))
            }
        };
        self.report_portal(now, index, PortalTrouble::Reader, condition, turn);
    }

    /// A card was read, so the reader reads; the decision is the node's.
    pub(super) fn credential(
        &mut self,
        now: Now,
        node: u16,
        reader: u8,
        decision: &str,
        is_current: bool,
        turn: &mut Turn,
    ) {
        self.count(if decision.starts_with("granted") {
            "portal_cards_granted"
        } else {
            "portal_cards_denied"
        });
        let Some(index) = self.portal_of_reader(node, reader).filter(|_| is_current) else {
            return;
        };
        self.portals[index].last = Some((now.mono, decision.to_owned()));
        // A blocked one may read cards of the other kind, and is blocked all the same.
        if self.portals[index].reader != Some(ReaderState::Fault(ReaderProblem::Blocked)) {
            self.reader_event(now, node, reader, ReaderState::Well, turn);
        }
    }

    /// True while the node is heard and looks after its door.
    fn watches(&self, now: Now, node: u16) -> bool {
        let erased = self.nodes.get(&node).is_some_and(|node| node.erased);
        let safe = self.node_name(node).is_some_and(|name| {
            self.book
                .is_active(&catalog::node_id(&name, NodeTrouble::SafeMode))
        });
        self.is_alive(now, node) && !erased && !safe
    }

    /// The node started anew, and says again what is wrong. Until it has, nobody can tell.
    pub(super) fn forget_portals(&mut self, now: Now, node: u16, turn: &mut Turn) {
        for index in 0..self.portals.len() {
            if self.site.access.portals[index].node != node {
                continue;
            }
            let portal = &mut self.portals[index];
            (portal.reader, portal.tamper, portal.unlocked) = (None, None, None);
            portal.held = false;
            for trouble in [
                PortalTrouble::Reader,
                PortalTrouble::Tamper,
                PortalTrouble::Unlocked,
            ] {
                self.report_portal(now, index, trouble, Condition::Unknown, turn);
            }
        }
    }

    /// A heartbeat of the node's present life. Of its reader a node says at every start how it
    /// is; of enclosure and bolt it speaks only when something is wrong. So their alarms of the
    /// life before end when it has had the time to look and holds nothing that we have not heard.
    pub(super) fn portals_at_heartbeat(
        &mut self,
        now: Now,
        header: &Header,
        pending: u16,
        last_event: u32,
        turn: &mut Turn,
    ) {
        let node = self.nodes.get(&header.node);
        let has_all = node
            .is_some_and(|node| node.boot == Some(header.boot) && node.last_event.unwrap_or(0) >= last_event);
        if pending > 0 || !has_all || header.up_ms < SAID_BY.0 || !self.watches(now, header.node) {
            return;
        }
        for index in 0..self.portals.len() {
            if self.site.access.portals[index].node != header.node {
                continue;
            }
            let (tamper, unlocked) = (self.portals[index].tamper, self.portals[index].unlocked);
            for (said, trouble) in [
                (tamper, PortalTrouble::Tamper),
                (unlocked, PortalTrouble::Unlocked),
            ] {
                if said.is_none() {
                    self.report_portal(now, index, trouble, Condition::Gone, turn);
                }
            }
        }
    }

    /// Openings about which the node said nothing.
    pub(super) fn evaluate_portals(&mut self, now: Now, turn: &mut Turn) {
        for index in 0..self.portals.len() {
            if self.portals[index]
                .opened
                .is_none_or(|opening| opening.until > now.mono)
            {
                continue;
            }
            self.portals[index].opened = None;
            self.count("portal_openings_unjudged");
            let because = Label::new(
                "開いたが、端末が許可の有無を言わない",
                "opened, and the node does not say whether that was allowed",
            );
            self.raise_portal(now, index, PortalTrouble::Forced, because, turn);
        }
    }

    pub(super) fn portal_deadline(&self) -> Option<Mono> {
        let open = self.portals.iter().filter_map(|portal| portal.opened);
        open.map(|opening| opening.until).min()
    }

    pub(super) fn portal_row(&self, now: Now, index: usize) -> snapshot::Portal {
        let site = &self.site.access.portals[index];
        let known = &self.portals[index];
        let level = site
            .door
            .as_ref()
            .and_then(|door| self.points.get(door))
            .and_then(|point| point.number(now.mono).ok());
        let door = match level {
            _ if !self.watches(now, site.node) => "unknown",
            None => "unknown",
            Some(level) if level < 0.5 => "closed",
            Some(_) if known.held => "held_open",
            Some(_) => "open",
        };
        // What a node said last is no word about now once it says nothing any more.
        let heard = self.watches(now, site.node);
        snapshot::Portal {
            name: site.name.clone(),
            label: site.label.clone(),
            node: site.node,
            point: site.door.clone(),
            door: door.to_owned(),
            reader: match known.reader.filter(|_| heard) {
                None => "unknown",
                Some(ReaderState::Well) => "well",
                Some(ReaderState::Fault(problem)) => reader_word(problem),
            }
            .to_owned(),
            tamper: known.tamper.filter(|_| heard),
            unlocked: known.unlocked.filter(|_| heard),
            last_decision: known.last.as_ref().map(|(_, decision)| decision.clone()),
            last_decision_age_ms: known.last.as_ref().map(|(at, _)| now.mono.since(*at).0),
            area: site.area.clone(),
            passes: match site.passes {
                Passes::Entry => "entry",
                Passes::Exit => "exit",
            }
            .to_owned(),
            list: self.list_row(site.node),
        }
    }
}

const fn reader_word(problem: ReaderProblem) -> &'static str {
    match problem {
        ReaderProblem::Mute => "mute",
        ReaderProblem::Garbled => "garbled",
        ReaderProblem::Radio => "radio",
        ReaderProblem::OtherPart => "other_part",
        ReaderProblem::Blocked => "blocked",
    }
}

const fn reader_words(problem: ReaderProblem) -> (&'static str, &'static str) {
    match problem {
        ReaderProblem::Mute => ("応答がない", "it does not answer"),
        ReaderProblem::Garbled => ("応答が読めない", "its answers cannot be understood"),
        ReaderProblem::Radio => ("無線部の故障", "its radio part does not work"),
        ReaderProblem::OtherPart => ("別の部品が付いている", "it is another part than expected"),
        ReaderProblem::Blocked => (
            "カードなどが貼り付いたまま、または置かれたままで、ほかのカードが使えない",
            "a card or sticker stays on it, and no other card works",
        ),
    }
}

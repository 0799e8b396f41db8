//! What a node's event says, for the journal and for the room.
//!
//! An event is recorded first. Then it has consequences; one of an earlier boot, or one that has
//! no place in the node's sequence, says what happened and nothing about now.

use super::{Engine, hex, words};
use crate::alarm::Condition;
use crate::catalog::{self, NodeTrouble};
use crate::device::FactValue;
use crate::event::Turn;
use crate::node::Stray;
use crate::record::{NodeEvent, Record};
use crate::site::{Label, World};
use crate::time::{Mono, Now};
use shared::NoData;
use shared::wire::{Header, LineFault, Up};

/// The event as it is recorded, and the channel it is about.
fn recorded(body: Result<Up, Vec<u8>>) -> (Option<u8>, NodeEvent) {
    let raw = |raw: String| (None, NodeEvent::Raw { body: raw });
    match body {
        Err(bytes) => raw(hex(&bytes)),
        Ok(Up::Hello {
            firmware: (a, b, c),
            cause,
            ..
        }) => (
            None,
            NodeEvent::Hello {
                firmware: format!("{a}.{b}.{c}"),
                cause,
            },
        ),
        Ok(Up::Contact { channel, open }) => (Some(channel), NodeEvent::Contact { channel, open }),
        Ok(Up::SensorLost { channel, reason }) => (Some(channel), NodeEvent::SensorLost { channel, reason }),
        Ok(Up::SensorBack { channel }) => (Some(channel), NodeEvent::SensorBack { channel }),
        Ok(Up::Lost { count }) => (None, NodeEvent::Lost { count }),
        Ok(Up::Refused { total, why }) => (None, NodeEvent::Refused { total, why }),
        Ok(Up::Credential {
            reader,
            kind,
            id,
            decision,
            list,
        }) => (
            None,
            NodeEvent::Credential {
                reader,
                credential: kind,
                card: hex(&id),
                decision: decision.word().to_owned(),
                list,
            },
        ),
        Ok(Up::Door { portal, event }) => (None, NodeEvent::Door { portal, door: event }),
        Ok(Up::Reader { reader, state }) => (None, NodeEvent::Reader { reader, state }),
        Ok(Up::LineFault { channel, fault }) => (Some(channel), NodeEvent::LineFault { channel, fault }),
        Ok(Up::Chattering { channel, edges }) => (Some(channel), NodeEvent::Chattering { channel, edges }),
        Ok(Up::Rested { channel, open, edges }) => {
            (Some(channel), NodeEvent::Rested { channel, open, edges })
        }
        Ok(Up::Crashed(crash)) => (None, NodeEvent::Crashed { crash }),
        Ok(Up::SafeMode { on, crashes }) => (None, NodeEvent::SafeMode { on, crashes }),
        Ok(Up::List(list)) => (None, NodeEvent::List { list }),
        Ok(Up::Key(key)) => (None, NodeEvent::Key { key }),
        Ok(Up::Update { version, outcome }) => (
            None,
            NodeEvent::Update {
                version: version.to_string(),
                outcome,
            },
        ),
        Ok(Up::Shock { channel, peak }) => (Some(channel), NodeEvent::Shock { channel, peak }),
        // Telemetry on the topic of events, or an event of a later version.
        Ok(other) => raw(format!("{other:?}")),
    }
}

impl<W: World> Engine<W> {
    /// Records an event that has its place, and lets it have its consequences.
    pub(super) fn node_event(
        &mut self,
        now: Now,
        header: &Header,
        body: Result<Up, Vec<u8>>,
        mark: u32,
        turn: &mut Turn,
    ) {
        let made = self
            .nodes
            .get_mut(&header.node)
            .and_then(|node| node.made_at(now.mono, header));
        let (channel, event) = recorded(body);
        let point = self.point_of(header.node, channel, &event);
        self.commit(
            now,
            turn,
            Record::NodeEvent {
                node: header.node,
                boot: header.boot,
                event_seq: header.seq,
                up_ms: header.up_ms,
                unix_ms: header.unix_ms,
                point: point.clone(),
                event: event.clone(),
                mark: Some(mark),
            },
        );
        self.consequences(now, header.node, made, point.as_deref(), &event, turn);
        self.write_passages(now, turn);
    }

    /// Records an event that has no place. What it says of doors and contacts did happen
    /// somewhere, so it can raise their alarms; it changes no value and no state of the node.
    pub(super) fn stray_event(
        &mut self,
        now: Now,
        header: &Header,
        body: Result<Up, Vec<u8>>,
        why: Stray,
        mark: u32,
        turn: &mut Turn,
    ) {
        let (channel, event) = recorded(body);
        let point = self.point_of(header.node, channel, &event);
        self.commit(
            now,
            turn,
            Record::StrayEvent {
                node: header.node,
                boot: header.boot,
                event_seq: header.seq,
                up_ms: header.up_ms,
                unix_ms: header.unix_ms,
                point: point.clone(),
                event: event.clone(),
                why,
                mark,
            },
        );
        match (&event, point) {
            // A contact that rests open has opened: a leak or smoke in a flood of edges.
            (NodeEvent::Contact { open, .. } | NodeEvent::Rested { open, .. }, Some(point)) => {
                self.contact_edge(now, header.node, &point, None, *open, turn);
            }
            (NodeEvent::Key { key }, _) if why == Stray::Late => {
                self.key_event(now, header.node, *key, turn);
            }
            (NodeEvent::Door { portal, door }, _) => {
                self.door_event(now, header.node, *portal, None, *door, turn);
            }
            // These happened, too, whichever board felt or did it.
            (NodeEvent::Shock { .. }, Some(point)) => {
                self.consequences(now, header.node, None, Some(&point), &event, turn);
            }
            (NodeEvent::Crashed { .. }, _) => {
                self.consequences(now, header.node, None, None, &event, turn);
            }
            // Safe mode, readers and lines are states, and nobody can tell of which board and
            // when: taken as ours, "well" would hide a fault. The node's health says the first
            // again every time, the others are in its next report or word. A card that was read
            // stands in the register, and nothing else follows from it.
            _ => {}
        }
        self.write_passages(now, turn);
    }

    /// The point that an event is about; of a door, its contact's.
    fn point_of(&self, node: u16, channel: Option<u8>, event: &NodeEvent) -> Option<String> {
        match event {
            NodeEvent::Door { portal, .. } => self
                .portal(node, *portal)
                .and_then(|index| self.site.access.portals[index].door.clone()),
            _ => self.channels.get(&(node, channel?)).cloned(),
        }
    }

    fn consequences(
        &mut self,
        now: Now,
        node: u16,
        made: Option<Mono>,
        point: Option<&str>,
        event: &NodeEvent,
        turn: &mut Turn,
    ) {
        let is_current = made.is_some();
        match event {
            NodeEvent::Hello { .. } if is_current => self.reboot(now, node, turn),
            NodeEvent::Lost { count } => {
                self.occurred(
                    now,
                    node,
                    NodeTrouble::Missing,
                    Label::new(format!("{count} 件"), format!("{count}")),
                    turn,
                );
                // Where its contacts rest may have been among them.
                self.evaluate_chattering(now, node, turn);
            }
            NodeEvent::Refused { why, .. } => {
                self.occurred(now, node, NodeTrouble::Refused, words::downlink(*why), turn);
            }
            NodeEvent::Contact { open, .. } | NodeEvent::Rested { open, .. } => {
                if let Some(point) = point {
                    self.line_faults.remove(point);
                    self.contact_edge(now, node, point, made, *open, turn);
                    self.evaluate_chattering(now, node, turn);
                }
            }
            NodeEvent::SensorLost { reason, .. } => {
                if let (Some(point), Some(at)) = (point, made) {
                    self.set_point(now, point, at, Err(*reason), turn);
                }
            }
            NodeEvent::LineFault { fault, .. } => {
                if let (Some(point), Some(at)) = (point, made) {
                    self.line_faults.insert(point.to_owned(), *fault);
                    self.set_point(now, point, at, Err(NoData::LineFault), turn);
                }
            }
            NodeEvent::Chattering { .. } => {
                if let (Some(point), Some(at)) = (point, made) {
                    self.set_point(now, point, at, Err(NoData::Implausible), turn);
                }
                self.evaluate_chattering(now, node, turn);
            }
            NodeEvent::Door { portal, door } => self.door_event(now, node, *portal, made, *door, turn),
            NodeEvent::Reader { reader, state } if is_current => {
                self.reader_event(now, node, *reader, *state, turn);
            }
            NodeEvent::Credential { reader, decision, .. } => {
                self.credential(now, node, *reader, decision, is_current, turn);
            }
            NodeEvent::Crashed { crash } => {
                let place = format!(
                    "pc={:#x} task={} up={} s",
                    crash.pc,
                    crash.task,
                    crash.up_ms / 1000
                );
                let what = Label::new(
                    format!("{} {place}", words::crash(crash.kind)),
                    format!("{:?} {place}", crash.kind),
                );
                self.occurred(now, node, NodeTrouble::Crashed, what, turn);
            }
            NodeEvent::SafeMode { on, crashes } if is_current => {
                self.safe_mode(now, node, *on, *crashes, turn);
            }
            NodeEvent::Shock { peak, .. } => {
                if let Some(point) = point {
                    // Also one that is told late: what it shook was not looked at yet.
                    let (ja, en) = (f64::from(*peak) / 10.0, f64::from(*peak) / 1_000.0);
                    let because = Label::new(format!("最大 {ja:.0} ガル"), format!("peak {en:.2} m/s²"));
                    self.has_occurred(now, catalog::shock_id(point), because, turn);
                }
            }
            NodeEvent::List { list } if is_current => self.list_event(now, node, *list, turn),
            NodeEvent::Key { key } => self.key_event(now, node, *key, turn),
            NodeEvent::Update { version, outcome } => {
                self.update_outcome(now, node, version, *outcome, turn);
            }
            _ => {}
        }
    }

    /// A new life of the node: what it said in the last one about its parts holds no more, and
    /// it says again what is wrong.
    fn reboot(&mut self, now: Now, node: u16, turn: &mut Turn) {
        for (_, point) in self.channels.range((node, 0)..=(node, u8::MAX)) {
            self.line_faults.remove(point);
        }
        self.evaluate_chattering(now, node, turn);
        self.forget_portals(now, node, turn);
        self.list_reboot(now, node);
        self.update_reboot(now, node);
        self.run_updates(now, turn);
    }

    /// An edge is an alarm even when it is old, or the contact has closed again before we heard
    /// of it: what happened while the node could not speak did happen.
    pub(super) fn contact_edge(
        &mut self,
        now: Now,
        node: u16,
        id: &str,
        made: Option<Mono>,
        open: bool,
        turn: &mut Turn,
    ) {
        if let Some(at) = made {
            let value = Ok(FactValue::Number(if open { 1.0 } else { 0.0 }));
            self.set_point(now, id, at, value, turn);
        }
        // At a portal the node says what that was, and an opening without its word is watched.
        if self.portal_of_door(id).is_some() {
            return;
        }
        let Some(point) = self.points.get(id) else {
            return;
        };
        let is_current = made.is_some() && point.number(now.mono).is_ok_and(|level| level >= 0.5);
        if let (true, false, Some(kind)) = (open, is_current, point.definition.contact) {
            let because = match self.is_twin(node) {
                true => Label::new(
                    "同じ番号の端末のどちらかで開いた",
                    "opened at one of two nodes with one identity",
                ),
                false => Label::new(
                    "端末が通信できない間に開いた",
                    "opened while the node could not be heard",
                ),
            };
            let alarm = catalog::contact_id(id, kind);
            if let Some(record) = self.book.raise_now(&alarm, because) {
                self.commit(now, turn, record);
            }
        }
    }

    /// Whether each contact of the node makes up its mind.
    pub(super) fn evaluate_chattering(&mut self, now: Now, id: u16, turn: &mut Turn) {
        let points: Vec<(u8, String)> = self
            .channels
            .range((id, 0)..=(id, u8::MAX))
            .map(|((_, channel), point)| (*channel, point.clone()))
            .collect();
        for (channel, point) in points {
            let chatters = self.nodes.get(&id).and_then(|node| node.chattering.get(&channel));
            let condition = match chatters {
                Some(edges) => Condition::Holds(Label::new(
                    format!("{edges} 回の開閉の後、数えるだけにした"),
                    format!("only counted after {edges} changes"),
                )),
                None => Condition::Gone,
            };
            self.report(now, turn, &catalog::chattering_id(&point), condition);
        }
    }

    /// True when the contact of this point does not make up its mind.
    pub(super) fn chatters(&self, point: &str) -> bool {
        self.mounted.get(point).is_some_and(|(node, channel)| {
            self.nodes
                .get(node)
                .is_some_and(|node| node.chattering.contains_key(channel))
        })
    }

    pub(super) fn safe_mode(&mut self, now: Now, id: u16, on: bool, crashes: u8, turn: &mut Turn) {
        let Some(name) = self.node_name(id) else { return };
        let condition = if on {
            Condition::Holds(Label::new(
                format!("続けて {crashes} 回異常終了した"),
                format!("{crashes} crashes in a row"),
            ))
        } else {
            Condition::Gone
        };
        self.report(
            now,
            turn,
            &catalog::node_id(&name, NodeTrouble::SafeMode),
            condition,
        );
    }
}

/// What is wrong with a line, in words.
pub(super) const fn line_words(fault: LineFault) -> (&'static str, &'static str) {
    match fault {
        LineFault::Cut => ("断線", "the line is cut"),
        // Water over the whole rope looks like metal.
        LineFault::Shorted => ("短絡または水没", "the line is shorted or flooded"),
    }
}

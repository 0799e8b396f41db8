//! The nodes' half of the engine: their frames, events and telemetry, and what is sent back.
//!
//! ```text
//! frame -> node::accept -> record -> point, alarm
//!                       \-> acknowledgement, time, request for a report
//! ```

use super::Engine;
use crate::alarm::Condition;
use crate::catalog::{self, NodeTrouble};
use crate::device::FactValue;
use crate::event::{Effect, Message, Turn};
use crate::node::{self, Accepted, Refusal};
use crate::point::from_milli;
use crate::record::{NodeEvent, Record};
use crate::site::{Label, World};
use crate::time::{Millis, Mono, Now};
use shared::topic::{self, Leaf};
use shared::wire::{Down, Header, Stream, Up};

/// A refusal, a gap or a foreign node keeps its alarm for so long after the last one.
pub const OCCURRENCE_HOLDS: Millis = Millis(600_000);
/// Refusals of one node are recorded at most so often; every one is counted.
pub const REFUSAL_RECORD_EVERY: Millis = Millis(60_000);
/// Counter of downward frames: the epoch is durable, so that a node never sees a counter twice
/// even when the controller and its clock restart.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Downlink {
    pub(super) epoch: u32,
    pub(super) sent: u16,
}

impl Downlink {
    /// Both halves; `sent` is never 0 in a frame and never wraps, see [`Record::DownlinkEpoch`].
    fn next(&mut self) -> u32 {
        self.sent = self.sent.saturating_add(1);
        (self.epoch << 16) | u32::from(self.sent)
    }
}

impl<W: World> Engine<W> {
    pub(super) fn message(&mut self, now: Now, message: &Message, turn: &mut Turn) {
        match node::accept(now, &mut self.nodes, &self.keys, message) {
            Err(refusal) => self.refuse(now, refusal, turn),
            Ok(Accepted::Presence { here, .. }) => {
                // The will of a broker that anybody may have written: a hint that the node's
                // connection is gone. The node's own silence decides.
                self.count(if here {
                    "node_presence_up"
                } else {
                    "node_presence_down"
                });
            }
            Ok(Accepted::Duplicate { header }) => {
                self.count("node_event_duplicates");
                self.acknowledge_events(now, header.node, header.boot, turn);
            }
            Ok(Accepted::Early { header, ask }) => {
                self.count("node_events_early");
                if ask {
                    // Its answer says what it holds, and meanwhile where its contacts are.
                    self.downlink(now, header.node, header.boot, &Down::Report, turn);
                }
                self.evaluate_node(now, header.node, turn);
            }
            Ok(Accepted::Telemetry { header, body }) => {
                self.count("node_telemetry");
                self.ask_for_report(now, &header, turn);
                match body {
                    Ok(body) => self.telemetry(now, &header, &body, turn),
                    Err(_) => self.count("node_bodies_unknown"),
                }
                self.evaluate_node(now, header.node, turn);
            }
            Ok(Accepted::Event {
                header,
                body,
                missing,
            }) => {
                self.count("node_events");
                if let Some((from, to)) = missing {
                    self.commit(
                        now,
                        turn,
                        Record::EventsMissing {
                            node: header.node,
                            from,
                            to,
                        },
                    );
                    self.occurred(
                        now,
                        header.node,
                        NodeTrouble::Missing,
                        &format!("{from}–{to}"),
                        turn,
                    );
                }
                self.node_event(now, &header, body, turn);
                self.acknowledge_events(now, header.node, header.boot, turn);
                self.ask_for_report(now, &header, turn);
                self.evaluate_node(now, header.node, turn);
            }
        }
    }

    pub(super) fn refuse(&mut self, now: Now, refusal: Refusal, turn: &mut Turn) {
        self.count(&format!("node_frames_refused_{}", refusal.word()));
        match refusal {
            Refusal::Topic => {}
            Refusal::UnknownNode(id) => {
                let because = Label::new(format!("端末番号 {id}"), format!("node id {id}"));
                self.occurrences.insert(
                    catalog::UNKNOWN_NODE.to_owned(),
                    (now.mono.after(OCCURRENCE_HOLDS), because.clone()),
                );
                self.report(now, turn, catalog::UNKNOWN_NODE, Condition::Holds(because));
            }
            _ => {
                let Some(id) = refusal.node() else { return };
                let Some(node) = self.nodes.get_mut(&id) else {
                    return;
                };
                node.refused += 1;
                let total = node.refused;
                if node
                    .refusal_recorded
                    .is_none_or(|at| now.mono.since(at) >= REFUSAL_RECORD_EVERY)
                {
                    node.refusal_recorded = Some(now.mono);
                    let why = refusal.word().to_owned();
                    self.commit(now, turn, Record::FramesRefused { node: id, why, total });
                }
                self.occurred(now, id, NodeTrouble::Refused, refusal.word(), turn);
            }
        }
    }

    /// Something that has no end of its own: its alarm holds for a while and then returns.
    pub(super) fn occurred(
        &mut self,
        now: Now,
        node: u16,
        trouble: NodeTrouble,
        what: &str,
        turn: &mut Turn,
    ) {
        let Some(name) = self.node_name(node) else { return };
        let id = catalog::node_id(&name, trouble);
        let because = Label::new(what, what);
        self.occurrences
            .insert(id.clone(), (now.mono.after(OCCURRENCE_HOLDS), because.clone()));
        self.report(now, turn, &id, Condition::Holds(because));
    }

    pub(super) fn node_name(&self, id: u16) -> Option<String> {
        self.site
            .nodes
            .iter()
            .find(|node| node.id == id)
            .map(|node| node.name.clone())
    }

    pub(super) fn acknowledge_events(&mut self, now: Now, node: u16, boot: u32, turn: &mut Turn) {
        let known = self.nodes.get(&node);
        let Some(upto) = known.and_then(|node| node.last_event) else {
            return;
        };
        // The node listens to frames of its present boot only; an event that waited over its
        // reboot is acknowledged in the boot that sent it again.
        let boot = known.and_then(|node| node.boot).unwrap_or(boot).max(boot);
        self.downlink(now, node, boot, &Down::Ack { upto }, turn);
    }

    /// At the first frame of a boot we know nothing of its contacts: ask for everything.
    pub(super) fn ask_for_report(&mut self, now: Now, header: &Header, turn: &mut Turn) {
        let Some(node) = self.nodes.get_mut(&header.node) else {
            return;
        };
        if node.asked == Some(header.boot) || node.boot.is_some_and(|boot| header.boot < boot) {
            return;
        }
        node.asked = Some(header.boot);
        self.downlink(now, header.node, header.boot, &Down::SetTime, turn);
        self.downlink(now, header.node, header.boot, &Down::Report, turn);
    }

    pub(super) fn downlink(&mut self, now: Now, node: u16, boot: u32, body: &Down, turn: &mut Turn) {
        if self.downlink.sent == u16::MAX {
            let epoch = self.downlink.epoch.wrapping_add(1);
            self.commit(now, turn, Record::DownlinkEpoch { epoch });
        }
        let Some(key) = self.keys.get(&node) else { return };
        let header = Header {
            ver: shared::wire::VERSION,
            key_id: 0,
            node,
            boot,
            stream: Stream::Command,
            seq: self.downlink.next(),
            up_ms: now.mono.0,
            unix_ms: u64::try_from(now.wall.0).unwrap_or(0),
        };
        match shared::wire::seal_down(key, &header, body) {
            Ok(frame) => turn.effects.push(Effect::Downlink {
                topic: topic::of(node, Leaf::Command).as_str().to_owned(),
                payload: frame.to_vec(),
            }),
            Err(_) => self.count("downlink_too_long"),
        }
    }

    pub(super) fn node_event(
        &mut self,
        now: Now,
        header: &Header,
        body: Result<Up, Vec<u8>>,
        turn: &mut Turn,
    ) {
        let made = self
            .nodes
            .get_mut(&header.node)
            .and_then(|node| node.made_at(now.mono, header));
        let (channel, event) = match body {
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
            Ok(Up::SensorLost { channel, reason }) => {
                (Some(channel), NodeEvent::SensorLost { channel, reason })
            }
            Ok(Up::SensorBack { channel }) => (Some(channel), NodeEvent::SensorBack { channel }),
            Ok(Up::Lost { count }) => (None, NodeEvent::Lost { count }),
            Ok(Up::Refused { total, why }) => (None, NodeEvent::Refused { total, why }),
            Ok(other) => (
                None,
                NodeEvent::Raw {
                    body: format!("{other:?}"),
                },
            ),
            Err(raw) => (None, NodeEvent::Raw { body: hex(&raw) }),
        };
        let point = channel.and_then(|channel| self.channels.get(&(header.node, channel)).cloned());
        let record = Record::NodeEvent {
            node: header.node,
            boot: header.boot,
            event_seq: header.seq,
            up_ms: header.up_ms,
            unix_ms: header.unix_ms,
            point: point.clone(),
            event: event.clone(),
        };
        self.commit(now, turn, record);
        match event {
            NodeEvent::Lost { count } => {
                self.occurred(now, header.node, NodeTrouble::Missing, &format!("{count}"), turn);
            }
            NodeEvent::Refused { why, .. } => {
                self.occurred(
                    now,
                    header.node,
                    NodeTrouble::Refused,
                    &format!("downlink {why:?}"),
                    turn,
                );
            }
            NodeEvent::Contact { open, .. } => {
                if let Some(point) = point {
                    self.contact_edge(now, &point, made, open, turn);
                }
            }
            NodeEvent::SensorLost { reason, .. } => {
                if let (Some(point), Some(at)) = (point, made) {
                    self.set_point(now, &point, at, Err(reason), turn);
                }
            }
            _ => {}
        }
    }

    /// An edge is an alarm even when it is old, or the contact has closed again before we heard
    /// of it: what happened while the node could not speak did happen.
    pub(super) fn contact_edge(
        &mut self,
        now: Now,
        id: &str,
        made: Option<Mono>,
        open: bool,
        turn: &mut Turn,
    ) {
        if let Some(at) = made {
            let value = Ok(FactValue::Number(if open { 1.0 } else { 0.0 }));
            self.set_point(now, id, at, value, turn);
        }
        let Some(point) = self.points.get(id) else {
            return;
        };
        let is_current = made.is_some() && point.number(now.mono).is_ok_and(|level| level >= 0.5);
        if let (true, false, Some(kind)) = (open, is_current, point.definition.contact) {
            let because = Label::new(
                "端末が通信できない間に開いた",
                "opened while the node could not be heard",
            );
            let alarm = catalog::contact_id(id, kind);
            if let Some(record) = self.book.raise_now(&alarm, because) {
                self.commit(now, turn, record);
            }
        }
    }

    pub(super) fn telemetry(&mut self, now: Now, header: &Header, body: &Up, turn: &mut Turn) {
        let made = self
            .nodes
            .get_mut(&header.node)
            .and_then(|node| node.made_at(now.mono, header));
        match body {
            Up::Sample(sample) => {
                let Some(id) = self.channels.get(&(header.node, sample.channel)).cloned() else {
                    self.count("node_samples_unmounted");
                    return;
                };
                let expected = self.points.get(&id).and_then(|point| point.definition.quantity);
                if expected != Some(sample.quantity) {
                    self.count("node_samples_other_quantity");
                    return;
                }
                let value = sample
                    .value
                    .and_then(|milli| sample.quantity.check(milli))
                    .map(from_milli);
                if let Some(at) = made {
                    self.set_point(now, &id, at, value, turn);
                }
            }
            Up::Heartbeat {
                pending,
                last_event,
                dropped,
                ..
            } => {
                if let Some(node) = self.nodes.get_mut(&header.node) {
                    node.holds(now.mono, *last_event, *pending);
                }
                if *dropped > 0 {
                    self.counters
                        .insert(format!("node_{}_dropped", header.node), u64::from(*dropped));
                }
                // An acknowledgement may have been lost on its way.
                if *pending > 0 {
                    self.acknowledge_events(now, header.node, header.boot, turn);
                }
            }
            _ => self.count("node_bodies_unknown"),
        }
    }

    pub(super) fn evaluate_node(&mut self, now: Now, id: u16, turn: &mut Turn) {
        let Some(node) = self.site.nodes.iter().find(|node| node.id == id) else {
            return;
        };
        let (name, patience) = (node.name.clone(), node.silent_after);
        let heard = self.nodes.get(&id).and_then(|node| node.heard);
        let silence = heard.or(self.started).map(|since| now.mono.since(since));
        let condition = match silence {
            Some(silence) if silence > patience => {
                let secs = silence.0 / 1000;
                Condition::Holds(match heard {
                    Some(_) => Label::new(
                        format!("{secs} 秒間受信なし"),
                        format!("nothing heard for {secs} s"),
                    ),
                    None => Label::new(
                        "起動以来一度も受信していない",
                        "never heard since the controller started",
                    ),
                })
            }
            _ if heard.is_none() => Condition::Unknown,
            _ => Condition::Gone,
        };
        self.report(
            now,
            turn,
            &catalog::node_id(&name, NodeTrouble::Silent),
            condition,
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

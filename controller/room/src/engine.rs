//! The engine: one owner of the room's state, one entrance, no I/O.
//!
//! ```text
//! Event -> decide -> Records -> apply -> Effects
//! ```
//! Deciding never changes durable state; only [`Engine::apply`] does, with the same records
//! that a restart replays. What is heard (values, ages, contact) is volatile: after a restart it
//! is unknown until it is heard again, and unknown is never normal.
// Long because it is the one owner of the state: whoever asks what can happen reads one file.

use crate::alarm::{self, Book, Condition};
use crate::catalog::{self, NodeTrouble};
use crate::device::{Fact, FactValue, Poll};
use crate::event::{Command, Effect, Event, HistoryRow, Message, Part, Refused, Turn};
use crate::node::{self, Accepted, Keys, Node, Refusal};
use crate::outage::{self, Do, Outage};
use crate::point::{self, Point, from_milli};
use crate::record::{Entry, NodeEvent, Record};
use crate::site::{self, ContactKind, DeviceKind, Label, Limit, Side, Site, World};
use crate::snapshot::{self, Snapshot};
use crate::time::{Millis, Mono, Now, Wall};
use shared::NoData;
use shared::topic::{self, Leaf};
use shared::wire::{Down, Header, Stream, Up};
use std::collections::BTreeMap;

/// Most facts of one device that become points.
pub const MAX_FACTS: usize = 256;
/// A refusal, a gap or a foreign node keeps its alarm for so long after the last one.
pub const OCCURRENCE_HOLDS: Millis = Millis(600_000);
/// Refusals of one node are recorded at most so often; every one is counted.
pub const REFUSAL_RECORD_EVERY: Millis = Millis(60_000);
/// A polled point is stale after so many missed polls.
pub const MISSED_POLLS: u64 = 3;

/// The engine of one site.
#[derive(Debug)]
pub struct Engine<W: World> {
    site: Site<W>,
    keys: Keys,
    book: Book,
    points: BTreeMap<String, Point>,
    channels: BTreeMap<(u16, u8), String>,
    limits: BTreeMap<String, Vec<Limit>>,
    nodes: BTreeMap<u16, Node>,
    devices: BTreeMap<String, Device>,
    outage: Outage,
    troubles: BTreeMap<Part, String>,
    occurrences: BTreeMap<String, (Mono, Label)>,
    counters: BTreeMap<String, u64>,
    role_counters: BTreeMap<&'static str, Vec<(String, u64)>>,
    downlink: Downlink,
    boot_id: String,
    started: Option<Mono>,
    version: u64,
}

#[derive(Debug, Clone, Default)]
struct Device {
    heard: Option<Mono>,
    failed: u32,
    profile: Option<String>,
}

/// Counter of downward frames: the epoch is durable, so that a node never sees a counter twice
/// even when the controller and its clock restart.
#[derive(Debug, Clone, Copy, Default)]
struct Downlink {
    epoch: u32,
    sent: u16,
}

impl Downlink {
    /// Both halves; `sent` is never 0 in a frame and never wraps, see [`Record::DownlinkEpoch`].
    fn next(&mut self) -> u32 {
        self.sent = self.sent.saturating_add(1);
        (self.epoch << 16) | u32::from(self.sent)
    }
}

impl<W: World> Engine<W> {
    /// An engine that has heard nothing yet.
    ///
    /// # Errors
    /// The problems of the site's plan.
    pub fn new(site: Site<W>, keys: Keys) -> Result<Self, Vec<crate::plan::PlanProblem>> {
        let outage = Outage::new(&site)?;
        let mut engine = Self {
            keys,
            book: Book::default(),
            points: BTreeMap::new(),
            channels: BTreeMap::new(),
            limits: BTreeMap::new(),
            nodes: site.nodes.iter().map(|node| (node.id, Node::default())).collect(),
            devices: site
                .devices
                .iter()
                .map(|device| (device.name.clone(), Device::default()))
                .collect(),
            outage,
            troubles: BTreeMap::new(),
            occurrences: BTreeMap::new(),
            counters: BTreeMap::new(),
            role_counters: BTreeMap::new(),
            downlink: Downlink::default(),
            boot_id: String::new(),
            started: None,
            version: 0,
            site,
        };
        engine.furnish();
        Ok(engine)
    }

    /// Points and alarms of the site.
    fn furnish(&mut self) {
        for limit in &self.site.limits {
            self.limits
                .entry(limit.point.clone())
                .or_default()
                .push(limit.clone());
        }
        for node in self.site.nodes.clone() {
            for trouble in [NodeTrouble::Silent, NodeTrouble::Refused, NodeTrouble::Missing] {
                self.book.define(catalog::node(&node, trouble));
            }
            let silent = catalog::node_id(&node.name, NodeTrouble::Silent);
            for channel in &node.channels {
                self.channels
                    .insert((node.id, channel.channel), channel.point.clone());
                if let Some(kind) = channel.contact {
                    self.book.define(catalog::contact(channel, kind));
                }
                self.book.define(catalog::no_data(
                    &channel.point,
                    channel.label.clone(),
                    Some(silent.clone()),
                ));
                self.add_point(point::Definition {
                    id: channel.point.clone(),
                    label: channel.label.clone(),
                    source: node.name.clone(),
                    quantity: Some(channel.quantity),
                    unit: channel.quantity.unit(),
                    contact: channel.contact,
                    stale_after: node.silent_after,
                });
            }
        }
        // The contact of a UPS is judged by the outage engine.
        for device in self
            .site
            .devices
            .iter()
            .filter(|device| device.kind == DeviceKind::Other)
        {
            let patience = Millis(device.poll.0.saturating_mul(MISSED_POLLS));
            self.book
                .define(catalog::device(&device.name, device.label.clone(), patience));
        }
        for part in catalog::PARTS {
            self.book.define(catalog::part(part));
        }
        self.book.define(catalog::unknown_node());
    }

    fn add_point(&mut self, definition: point::Definition) {
        for limit in self.limits.get(&definition.id).into_iter().flatten() {
            self.book.define(catalog::limit(limit, definition.label.clone()));
        }
        self.points.insert(definition.id.clone(), Point::new(definition));
    }

    /// Replays a record of the journal.
    pub fn apply(&mut self, now: Now, record: &Record) {
        self.book.apply(now, record);
        match record {
            Record::DownlinkEpoch { epoch } => {
                self.downlink = Downlink {
                    epoch: *epoch,
                    sent: 0,
                };
            }
            Record::Started { epoch, boot_id, .. } => {
                self.downlink = Downlink {
                    epoch: *epoch,
                    sent: 0,
                };
                self.boot_id.clone_from(boot_id);
            }
            Record::NodeEvent {
                node,
                boot,
                event_seq,
                event,
                ..
            } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.commit(*boot, *event_seq);
                    match event {
                        NodeEvent::Hello { firmware, .. } => node.firmware = Some(firmware.clone()),
                        NodeEvent::Lost { count } => node.missing += u64::from(*count),
                        _ => {}
                    }
                }
            }
            Record::EventsMissing { node, from, to } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.missing += u64::from(to.saturating_sub(*from)) + 1;
                }
            }
            Record::Power { record } => self.outage.apply(now, record),
            _ => {}
        }
    }

    /// Replays a journal and begins: the first turn of this start.
    pub fn start(
        &mut self,
        now: Now,
        boot_id: &str,
        version: &str,
        journal: impl IntoIterator<Item = Entry>,
    ) -> Turn {
        for entry in journal {
            self.apply(entry.now, &entry.record);
        }
        let same_boot = self.boot_id == boot_id && !boot_id.is_empty();
        if !same_boot {
            self.book.forget_monotonic(now);
        }
        self.started = Some(now.mono);
        let mut turn = Turn::default();
        let epoch = self.downlink.epoch.wrapping_add(1);
        self.commit(
            now,
            &mut turn,
            Record::Started {
                version: version.to_owned(),
                boot_id: boot_id.to_owned(),
                epoch,
            },
        );
        self.power(now, outage::Input::Restarted { same_boot }, &mut turn);
        self.evaluate(now, &mut turn);
        turn
    }

    /// The one entrance.
    pub fn handle(&mut self, now: Now, event: Event) -> Turn {
        let mut turn = Turn::default();
        self.version += 1;
        match event {
            Event::Message(message) => self.message(now, &message, &mut turn),
            Event::Poll(poll) => self.poll(now, &poll, &mut turn),
            Event::Command { by, command } => {
                if let Err(refused) = self.command(now, &by, command, &mut turn) {
                    turn.refused = Some(refused);
                }
            }
            Event::Outcome { order, outcome } => {
                self.power(now, outage::Input::Outcome { order, outcome }, &mut turn);
            }
            Event::ActReady { plan_hash } => {
                self.power(now, outage::Input::ActReady { plan_hash }, &mut turn);
            }
            Event::ActGone => self.power(now, outage::Input::ActGone, &mut turn),
            Event::Trouble { part, problem } => self.trouble(now, part, problem, &mut turn),
            Event::Counters { role, counters } => {
                self.role_counters.insert(role, counters);
            }
            Event::Tick => {
                for record in self.book.tick(now) {
                    self.commit(now, &mut turn, record);
                }
                self.evaluate(now, &mut turn);
                self.power(now, outage::Input::Tick, &mut turn);
            }
        }
        turn
    }

    /// Decided: apply it here and now, and let it be journaled.
    fn commit(&mut self, now: Now, turn: &mut Turn, record: Record) {
        self.apply(now, &record);
        turn.records.push(record);
    }

    fn report(&mut self, now: Now, turn: &mut Turn, id: &str, condition: Condition) {
        if let Some(record) = self.book.report(now, id, condition) {
            self.commit(now, turn, record);
        }
    }

    fn count(&mut self, name: &str) {
        *self.counters.entry(name.to_owned()).or_default() += 1;
    }

    fn trouble(&mut self, now: Now, part: Part, problem: Option<String>, turn: &mut Turn) {
        if self.troubles.get(&part) == problem.as_ref() {
            return;
        }
        match &problem {
            Some(problem) => self.troubles.insert(part, problem.clone()),
            None => self.troubles.remove(&part),
        };
        self.commit(now, turn, Record::Trouble { part, problem });
        self.evaluate_part(now, part, turn);
    }

    fn evaluate_part(&mut self, now: Now, part: Part, turn: &mut Turn) {
        let condition = match self.troubles.get(&part) {
            Some(why) => Condition::Holds(Label::new(why.clone(), why.clone())),
            None => Condition::Gone,
        };
        self.report(now, turn, catalog::part_id(part), condition);
    }

    // ---- nodes -------------------------------------------------------------------------

    fn message(&mut self, now: Now, message: &Message, turn: &mut Turn) {
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

    fn refuse(&mut self, now: Now, refusal: Refusal, turn: &mut Turn) {
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
    fn occurred(&mut self, now: Now, node: u16, trouble: NodeTrouble, what: &str, turn: &mut Turn) {
        let Some(name) = self.node_name(node) else { return };
        let id = catalog::node_id(&name, trouble);
        let because = Label::new(what, what);
        self.occurrences
            .insert(id.clone(), (now.mono.after(OCCURRENCE_HOLDS), because.clone()));
        self.report(now, turn, &id, Condition::Holds(because));
    }

    fn node_name(&self, id: u16) -> Option<String> {
        self.site
            .nodes
            .iter()
            .find(|node| node.id == id)
            .map(|node| node.name.clone())
    }

    fn acknowledge_events(&mut self, now: Now, node: u16, boot: u32, turn: &mut Turn) {
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
    fn ask_for_report(&mut self, now: Now, header: &Header, turn: &mut Turn) {
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

    fn downlink(&mut self, now: Now, node: u16, boot: u32, body: &Down, turn: &mut Turn) {
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

    fn node_event(&mut self, now: Now, header: &Header, body: Result<Up, Vec<u8>>, turn: &mut Turn) {
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
    fn contact_edge(&mut self, now: Now, id: &str, made: Option<Mono>, open: bool, turn: &mut Turn) {
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

    fn telemetry(&mut self, now: Now, header: &Header, body: &Up, turn: &mut Turn) {
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

    fn evaluate_node(&mut self, now: Now, id: u16, turn: &mut Turn) {
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

    // ---- points ------------------------------------------------------------------------

    fn set_point(&mut self, now: Now, id: &str, at: Mono, value: Result<FactValue, NoData>, turn: &mut Turn) {
        let Some(point) = self.points.get_mut(id) else {
            return;
        };
        point.set(at, value);
        let number = point.number(now.mono).ok();
        if point.is_due_for_history(now.mono, number) {
            let ago = i64::try_from(now.mono.since(at).0).unwrap_or(0);
            turn.history.push(HistoryRow {
                point: id.to_owned(),
                at: Wall(now.wall.0.saturating_sub(ago)),
                value: number,
            });
        }
        self.evaluate_point(now, id, turn);
    }

    fn evaluate_point(&mut self, now: Now, id: &str, turn: &mut Turn) {
        let Some(point) = self.points.get(id) else { return };
        let value = point.number(now.mono);
        let (kind, stale_after) = (point.definition.contact, point.definition.stale_after);
        if let Some(kind) = kind {
            self.evaluate_contact(now, id, kind, value, turn);
        }
        for limit in self.limits.get(id).cloned().unwrap_or_default() {
            let unit = self.points.get(id).map_or("", |point| point.definition.unit);
            let condition = limit_condition(&limit, value, self.book.is_active(&limit.id), unit);
            self.report(now, turn, &limit.id, condition);
        }
        let condition = match value {
            Ok(_) => Condition::Gone,
            Err(NoData::NeverHeard)
                if self
                    .started
                    .is_none_or(|started| now.mono.since(started) <= stale_after) =>
            {
                Condition::Unknown
            }
            Err(reason) => Condition::Holds(Label::new(no_data_words(reason).0, no_data_words(reason).1)),
        };
        self.report(now, turn, &catalog::no_data_id(id), condition);
    }

    fn evaluate_contact(
        &mut self,
        now: Now,
        id: &str,
        kind: ContactKind,
        value: Result<f64, NoData>,
        turn: &mut Turn,
    ) {
        let condition = match value {
            Ok(level) if level >= 0.5 => Condition::Holds(Label::new("接点が開いた", "the contact is open")),
            Ok(_) => Condition::Gone,
            Err(_) => Condition::Unknown,
        };
        self.report(now, turn, &catalog::contact_id(id, kind), condition);
    }

    // ---- devices -----------------------------------------------------------------------

    fn poll(&mut self, now: Now, poll: &Poll, turn: &mut Turn) {
        let Some(site) = self
            .site
            .devices
            .iter()
            .find(|device| device.name == poll.device)
            .cloned()
        else {
            return;
        };
        let device = self.devices.entry(poll.device.clone()).or_default();
        match &poll.result {
            Ok(reading) => {
                device.heard = Some(poll.answered);
                device.failed = 0;
                device.profile = Some(reading.profile.clone());
                self.count("polls_good");
                for fact in reading.facts.iter().take(MAX_FACTS) {
                    self.fact(now, &site, poll.answered, fact, turn);
                }
                self.device_contact(now, &site, Condition::Gone, turn);
            }
            Err(failure) => {
                device.failed = device.failed.saturating_add(1);
                self.count("polls_failed");
                let why = format!("{failure:?}");
                self.device_contact(now, &site, Condition::Holds(Label::new(why.clone(), why)), turn);
            }
        }
        self.power(now, outage::Input::Poll(poll), turn);
    }

    fn device_contact(&mut self, now: Now, device: &site::Device, condition: Condition, turn: &mut Turn) {
        if device.kind == DeviceKind::Other {
            self.report(now, turn, &catalog::device_id(&device.name), condition);
        }
    }

    fn fact(&mut self, now: Now, device: &site::Device, at: Mono, fact: &Fact, turn: &mut Turn) {
        let id = format!("{}.{}", device.name, fact.name);
        if !self.points.contains_key(&id) {
            let label = catalog::fact_label(&device.label, &fact.name);
            let definition = point::Definition {
                id: id.clone(),
                label: label.clone(),
                source: device.name.clone(),
                quantity: None,
                unit: fact.unit,
                contact: None,
                stale_after: Millis(device.poll.0.saturating_mul(MISSED_POLLS) + device.timeout.0),
            };
            if self.limits.contains_key(&id) {
                self.book.define(catalog::no_data(
                    &id,
                    label,
                    Some(catalog::device_id(&device.name)),
                ));
            }
            self.add_point(definition);
        }
        self.set_point(now, &id, at, fact.value.clone(), turn);
    }

    // ---- power -------------------------------------------------------------------------

    fn power(&mut self, now: Now, input: outage::Input<'_>, turn: &mut Turn) {
        let power = self.outage.handle(now, input);
        // The outage engine has applied its own records.
        turn.records
            .extend(power.records.into_iter().map(|record| Record::Power { record }));
        turn.effects
            .extend(power.effects.into_iter().map(|effect| match effect {
                Do::Execute(order) => Effect::Execute(order),
                Do::Check(order) => Effect::Check(order),
                Do::Cancel(order) => Effect::Cancel(order),
                Do::FastPolling(fast) => Effect::FastPolling(fast),
            }));
        if let Some(refused) = power.refused {
            turn.refused = Some(Refused::Conflict(refused.en));
        }
        self.evaluate_power(now, turn);
    }

    fn evaluate_power(&mut self, now: Now, turn: &mut Turn) {
        for condition in self.outage.conditions(now) {
            let id = condition.id;
            if !self.book.knows(&id) {
                let device = self.site.devices.iter().find(|device| {
                    id.strip_prefix(&device.name)
                        .is_some_and(|rest| rest.starts_with('.'))
                });
                let place = device.map_or_else(|| Label::new("電源", "Power"), |device| device.label.clone());
                self.book.define(catalog::power(
                    &id,
                    condition.priority,
                    condition.what,
                    place,
                    condition.action,
                ));
            }
            let holds = if condition.active {
                Condition::Holds(condition.because)
            } else {
                Condition::Gone
            };
            self.report(now, turn, &id, holds);
        }
    }

    // ---- commands ----------------------------------------------------------------------

    fn command(&mut self, now: Now, by: &str, command: Command, turn: &mut Turn) -> Result<(), Refused> {
        let record = match command {
            Command::Acknowledge { alarm } => self.book.acknowledge(&alarm, by)?,
            Command::Shelve {
                alarm,
                minutes,
                reason,
            } => self.book.shelve(&alarm, by, minutes, &reason)?,
            Command::Reset { alarm } if alarm == catalog::HOSTS_STOPPED => {
                let by = alarm::operator_text("by", by)?;
                self.power(
                    now,
                    outage::Input::HostsStarted {
                        hosts: Vec::new(),
                        by,
                    },
                    turn,
                );
                return turn.refused.take().map_or(Ok(()), Err);
            }
            Command::Reset { alarm } => self.book.reset(&alarm, by)?,
            Command::Rehearse => {
                let by = alarm::operator_text("by", by)?;
                self.power(now, outage::Input::Rehearse { by }, turn);
                return turn.refused.take().map_or(Ok(()), Err);
            }
            Command::Scenario { name } => {
                if !W::SIMULATED {
                    return Err(Refused::NotFound(
                        "this room is real; it has no scenarios".to_owned(),
                    ));
                }
                Record::Scenario {
                    name,
                    by: alarm::operator_text("by", by)?,
                }
            }
        };
        self.commit(now, turn, record);
        Ok(())
    }

    // ---- time --------------------------------------------------------------------------

    /// Looks at everything that can change by time alone.
    fn evaluate(&mut self, now: Now, turn: &mut Turn) {
        for id in self.site.nodes.iter().map(|node| node.id).collect::<Vec<_>>() {
            self.evaluate_node(now, id, turn);
        }
        for id in self.points.keys().cloned().collect::<Vec<_>>() {
            self.evaluate_point(now, &id, turn);
        }
        for part in catalog::PARTS {
            self.evaluate_part(now, part, turn);
        }
        let ended: Vec<String> = self
            .occurrences
            .iter()
            .filter(|(_, (until, _))| *until <= now.mono)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ended {
            self.occurrences.remove(&id);
            self.report(now, turn, &id, Condition::Gone);
        }
        self.evaluate_power(now, turn);
    }

    /// When [`Event::Tick`] must come at the latest; always ahead of `now`.
    #[must_use]
    pub fn next_deadline(&self, now: Now) -> Option<Mono> {
        let points = self.points.values().filter_map(|point| point.stale_at(now.mono));
        let never = self.points.values().filter_map(|point| {
            let at = self.started?.after(point.definition.stale_after).after(Millis(1));
            (at > now.mono).then_some(at)
        });
        let silent = self.site.nodes.iter().filter_map(|node| {
            let since = self
                .nodes
                .get(&node.id)
                .and_then(|node| node.heard)
                .or(self.started)?;
            let at = since.after(node.silent_after).after(Millis(1));
            (at > now.mono).then_some(at)
        });
        let occurrences = self.occurrences.values().map(|(until, _)| *until);
        points
            .chain(never)
            .chain(silent)
            .chain(occurrences)
            .chain(self.book.next_deadline())
            .chain(self.outage.next_deadline())
            .min()
    }

    // ---- view --------------------------------------------------------------------------

    /// The picture of the room.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let mut counters = self.counters.clone();
        for (role, rows) in &self.role_counters {
            counters.extend(
                rows.iter()
                    .map(|(name, value)| (format!("{role}_{name}"), *value)),
            );
        }
        Snapshot {
            version: self.version,
            wall_ms: now.wall.0,
            site: self.site.name.clone(),
            simulated: W::SIMULATED,
            points: self.points.values().map(|point| point.view(now)).collect(),
            alarms: self.book.view(now),
            nodes: self
                .site
                .nodes
                .iter()
                .map(|node| self.node_row(now, node))
                .collect(),
            devices: self
                .site
                .devices
                .iter()
                .map(|device| self.device_row(now, device))
                .collect(),
            power: self.outage.view(now),
            counters,
        }
    }

    fn node_row(&self, now: Now, node: &site::Node) -> snapshot::Node {
        let known = self.nodes.get(&node.id).cloned().unwrap_or_default();
        let state = match known.heard {
            None => "never_heard",
            Some(at) if now.mono.since(at) > node.silent_after => "silent",
            Some(_) => "alive",
        };
        snapshot::Node {
            id: node.id,
            name: node.name.clone(),
            label: node.label.clone(),
            state: state.to_owned(),
            age_ms: known.heard.map(|at| now.mono.since(at).0),
            boot: known.boot,
            firmware: known.firmware,
            last_event: known.last_event,
            missing: known.missing,
            refused: known.refused,
        }
    }

    fn device_row(&self, now: Now, device: &site::Device) -> snapshot::Device {
        let known = self.devices.get(&device.name).cloned().unwrap_or_default();
        let state = match known.heard {
            None => "never_heard",
            Some(_) if known.failed > 0 => "silent",
            Some(_) => "answering",
        };
        snapshot::Device {
            name: device.name.clone(),
            label: device.label.clone(),
            kind: device.kind,
            state: state.to_owned(),
            age_ms: known.heard.map(|at| now.mono.since(at).0),
            profile: known.profile,
            failed_polls: known.failed,
        }
    }

    /// Hash of the plan, for the act role.
    #[must_use]
    pub fn plan_hash(&self) -> &str {
        self.outage.plan().hash()
    }
}

fn limit_condition(limit: &Limit, value: Result<f64, NoData>, active: bool, unit: &str) -> Condition {
    let Ok(value) = value else {
        return Condition::Unknown;
    };
    let margin = if active { limit.deadband } else { 0.0 };
    let beyond = match limit.side {
        Side::High => value > limit.limit - margin,
        Side::Low => value < limit.limit + margin,
    };
    if beyond {
        let limit = limit.limit;
        Condition::Holds(Label::new(
            format!("{value:.1} {unit}（限界 {limit:.1} {unit}）"),
            format!("{value:.1} {unit} (limit {limit:.1} {unit})"),
        ))
    } else {
        Condition::Gone
    }
}

/// Why there is no value, in words.
#[must_use]
pub const fn no_data_words(reason: NoData) -> (&'static str, &'static str) {
    match reason {
        NoData::NeverHeard => ("一度も受信していない", "never heard"),
        NoData::Stale => ("更新が止まった", "no longer renewed"),
        NoData::Absent => ("センサーが応答しない", "the sensor does not answer"),
        NoData::BusFault => ("センサーの配線（バス）が固着", "the sensor bus is stuck"),
        NoData::Corrupt => ("応答が壊れている", "the answer is damaged"),
        NoData::Implausible => ("ありえない値", "an impossible value"),
        NoData::Stuck => ("値が固着している", "the value is stuck"),
        NoData::Sentinel => ("機器が「測定なし」を返した", "the device says: not measured"),
        NoData::NotSupported => ("機器が対応していない", "the device does not have it"),
        NoData::Timeout => ("時間内に応答がない", "no answer in time"),
        NoData::DeviceError => ("機器が誤りを返した", "the device reports an error"),
        NoData::LineFault => ("断線または短絡", "line cut or shorted"),
        _ => ("不明な理由", "an unknown reason"),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

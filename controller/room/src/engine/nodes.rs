//! The nodes' half of the engine: their frames, events and telemetry, and what is sent back.
//!
//! ```text
//! frame -> node::accept -> record -> point, alarm
//!                       \-> acknowledgement, time, request for a report
//! ```

use super::{Engine, words};
use crate::alarm::Condition;
use crate::catalog::{self, CLOCK_SAMPLES, CLOCK_STEPS, NodeTrouble};
use crate::event::{Effect, Message, Turn};
use crate::node::{self, Accepted, Refusal, TIME_EVERY};
use crate::point::from_milli;
use crate::record::Record;
use crate::site::{Label, World};
use crate::time::{Millis, Now};
use shared::NoData;
use shared::topic::{self, Leaf};
use shared::wire::{ClockState, Down, Header, Health, Stream, TransferKind, Up};

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
        let accepted = node::accept(now, &mut self.nodes, &mut self.keys, message);
        self.look_for_twin(now, message, turn);
        match accepted {
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
                self.acknowledge(now, &header, turn);
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
            Ok(Accepted::Stray {
                header,
                body,
                why,
                mark,
            }) => {
                self.count("node_events_stray");
                self.stray_event(now, &header, body, why, mark, turn);
                self.acknowledge(now, &header, turn);
            }
            Ok(Accepted::Event {
                header,
                body,
                missing,
                mark,
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
                        Label::new(format!("{from}–{to}"), format!("{from}–{to}")),
                        turn,
                    );
                }
                self.node_event(now, &header, body, mark, turn);
                self.acknowledge(now, &header, turn);
                self.ask_for_report(now, &header, turn);
                self.evaluate_node(now, header.node, turn);
            }
        }
    }

    pub(super) fn refuse(&mut self, now: Now, refusal: Refusal, turn: &mut Turn) {
        self.count(&format!("node_frames_refused_{}", refusal.word()));
        match refusal {
            // A second board and a key that is missing are alarms of their own.
            Refusal::Topic | Refusal::Twin(_) | Refusal::NoKey(_) => {}
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
                self.occurred(now, id, NodeTrouble::Refused, words::said(refusal.word()), turn);
            }
        }
    }

    /// What was accepted or refused may have shown a second board with this identity.
    fn look_for_twin(&mut self, now: Now, message: &Message, turn: &mut Turn) {
        let Some((id, _)) = topic::parse(&message.topic) else {
            return;
        };
        let sign = self.nodes.get_mut(&id).and_then(|node| node.twin_sign.take());
        if let Some(sign) = sign {
            self.count("node_twin_signs");
            self.occurred(now, id, NodeTrouble::Twin, words::said(sign), turn);
        }
    }

    /// True while two boards say that they are this node. Their events share sequence numbers,
    /// so an acknowledgement to one would make the other forget what was never heard.
    pub(super) fn is_twin(&self, id: u16) -> bool {
        self.node_name(id).is_some_and(|name| {
            self.occurrences
                .contains_key(&catalog::node_id(&name, NodeTrouble::Twin))
        })
    }

    /// Something that has no end of its own: its alarm holds for a while and then returns.
    pub(super) fn occurred(
        &mut self,
        now: Now,
        node: u16,
        trouble: NodeTrouble,
        what: Label,
        turn: &mut Turn,
    ) {
        let Some(name) = self.node_name(node) else { return };
        let id = catalog::node_id(&name, trouble);
        self.has_occurred(now, id, what, turn);
    }

    /// What happened and does not last holds for a while.
    pub(super) fn has_occurred(&mut self, now: Now, id: String, because: Label, turn: &mut Turn) {
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

    /// Acknowledges this event and those before it, never a later one: of two boards with one
    /// identity the other may hold another event under the later number.
    fn acknowledge(&mut self, now: Now, header: &Header, turn: &mut Turn) {
        if self.is_twin(header.node) {
            self.count("node_acknowledgements_held");
            return;
        }
        // The node listens to frames of its present boot only; an event that waited over its
        // reboot is acknowledged in the boot that sent it again.
        let known = self.nodes.get(&header.node).and_then(|node| node.boot);
        let boot = known.unwrap_or(header.boot).max(header.boot);
        self.downlink(now, header.node, boot, &Down::Ack { upto: header.seq }, turn);
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
        node.time_told = Some(now.mono);
        self.downlink(now, header.node, header.boot, &Down::SetTime, turn);
        self.downlink(now, header.node, header.boot, &Down::Report, turn);
    }

    /// A frame for the node's present life.
    pub(super) fn tell(&mut self, now: Now, node: u16, body: &Down, turn: &mut Turn) {
        if let Some(boot) = self.nodes.get(&node).and_then(|node| node.boot) {
            self.downlink(now, node, boot, body, turn);
        }
    }

    /// True while the node is heard.
    pub(super) fn is_alive(&self, now: Now, id: u16) -> bool {
        let heard = self.nodes.get(&id).and_then(|node| node.heard);
        let patience = self.site.nodes.iter().find(|node| node.id == id);
        heard
            .zip(patience)
            .is_some_and(|(at, node)| now.mono.since(at) <= node.silent_after)
    }

    pub(super) fn downlink(&mut self, now: Now, node: u16, boot: u32, body: &Down, turn: &mut Turn) {
        if self.downlink.sent == u16::MAX {
            let epoch = self.downlink.epoch.wrapping_add(1);
            self.commit(now, turn, Record::DownlinkEpoch { epoch });
        }
        let Some(ring) = self.keys.get(&node) else { return };
        let (key, key_id) = ring.sealing();
        let header = Header {
            ver: shared::wire::VERSION,
            key_id,
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
                let mut value = sample
                    .value
                    .and_then(|milli| sample.quantity.check(milli))
                    .map(from_milli);
                if value.is_ok() {
                    self.line_faults.remove(&id);
                    if self.chatters(&id) {
                        // Where it happens to be now is not where it is.
                        value = Err(NoData::Implausible);
                    }
                }
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
                    node.holds(now.mono, header.boot, *last_event, *pending);
                }
                self.judge_clock(now, header, turn);
                self.portals_at_heartbeat(now, header, *pending, *last_event, turn);
                self.tell_key(now, header.node, turn);
                self.key_in_use(now, header.node, turn);
                self.run_updates(now, turn);
                if *dropped > 0 {
                    self.counters
                        .insert(format!("node_{}_dropped", header.node), u64::from(*dropped));
                }
            }
            Up::Health(health) => self.health(now, header.node, *health, turn),
            Up::Transfer {
                what: TransferKind::List,
                version,
                have,
            } => self.list_progress(now, header.node, *version, *have, turn),
            Up::Transfer {
                what: TransferKind::Image,
                version,
                have,
            } => self.image_progress(now, header.node, *version, *have, turn),
            Up::Checkpoint {
                size,
                root,
                given_unix_s,
            } => self.checkpoint_reported(now, header.node, *size, root, *given_unix_s, turn),
            _ => self.count("node_bodies_unknown"),
        }
    }

    /// How the node itself is.
    fn health(&mut self, now: Now, id: u16, health: Health, turn: &mut Turn) {
        for (name, value) in [
            ("crashes", u64::from(health.crashes)),
            ("connects", u64::from(health.connects)),
            ("taken_over", u64::from(health.taken_over)),
            ("garbled", u64::from(health.garbled)),
            ("recoveries", u64::from(health.recoveries)),
        ] {
            self.counters.insert(format!("node_{id}_{name}"), value);
        }
        let before = self.health.insert(id, (now.mono, health));
        // Its counters begin anew with every boot, so a higher one happened in this one.
        if before.is_some_and(|(_, before)| health.taken_over > before.taken_over) {
            self.occurred(now, id, NodeTrouble::Twin, words::said("taken over"), turn);
        }
        self.tell_time(now, id, health.clock, turn);
        self.safe_mode(now, id, health.safe_mode, health.crashes, turn);
        self.list_health(now, id, &health, turn);
    }

    /// Once a day, and whenever it says that it has not got it from us: the frame may have been
    /// lost, and without the time nobody enters by card.
    fn tell_time(&mut self, now: Now, id: u16, clock: ClockState, turn: &mut Turn) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let is_due = node.time_told.is_none_or(|at| now.mono.since(at) >= TIME_EVERY);
        if clock == ClockState::Controller && !is_due {
            return;
        }
        node.time_told = Some(now.mono);
        self.tell(now, id, &Down::SetTime, turn);
    }

    /// Why the key of this node could not be read, before the engine starts. Without a word the
    /// alarm says no more than that there is none.
    pub fn without_key(&mut self, node: u16, because: Label) {
        self.without_key.insert(node, because);
    }

    /// One node whose key is missing is an alarm; the others are watched all the same.
    fn evaluate_no_key(&mut self, now: Now, id: u16, name: &str, turn: &mut Turn) {
        let condition = if self.keys.contains_key(&id) {
            Condition::Gone
        } else {
            let because = self.without_key.get(&id).cloned();
            Condition::Holds(because.unwrap_or_else(|| Label::new("鍵がない", "there is no key")))
        };
        self.report(now, turn, &catalog::node_id(name, NodeTrouble::NoKey), condition);
    }

    pub(super) fn evaluate_node(&mut self, now: Now, id: u16, turn: &mut Turn) {
        let Some(node) = self.site.nodes.iter().find(|node| node.id == id) else {
            return;
        };
        let (name, patience) = (node.name.clone(), node.silent_after);
        let lost_after = catalog::lost_after(node);
        self.evaluate_no_key(now, id, &name, turn);
        let heard = self.nodes.get(&id).and_then(|node| node.heard);
        let erased = self.nodes.get(&id).is_some_and(|node| node.erased);
        let silence = heard.or(self.started).map(|since| now.mono.since(since));
        let condition = match silence {
            _ if erased => Condition::Holds(Label::new(
                "鍵を消去した。site.toml から外すか、設定し直す",
                "its keys were erased: take it out of site.toml, or provision it anew",
            )),
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
        let is_lost = erased || silence.is_some_and(|silence| silence > lost_after);
        let lost = match &condition {
            Condition::Holds(because) if is_lost => Condition::Holds(because.clone()),
            Condition::Holds(_) => Condition::Unknown,
            Condition::Gone => Condition::Gone,
            Condition::Unknown => Condition::Unknown,
        };
        self.report(
            now,
            turn,
            &catalog::node_id(&name, NodeTrouble::Silent),
            condition,
        );
        self.report(now, turn, &catalog::node_id(&name, NodeTrouble::Lost), lost);
    }

    /// How far the node's clock is from ours when it says so in a heartbeat. It is told the time at once;
    /// one that is off all the same needs a person.
    fn judge_clock(&mut self, now: Now, header: &Header, turn: &mut Turn) {
        let Some(node) = self.nodes.get_mut(&header.node) else {
            return;
        };
        // It has said by itself that it does not know the time.
        if header.unix_ms == 0 {
            node.clock_off.clear();
            return;
        }
        let Some(made) = node.made_at(now.mono, header) else {
            return;
        };
        let waited = i64::try_from(now.mono.since(made).0).unwrap_or(i64::MAX);
        let ours = now.wall.0.saturating_sub(waited);
        let off = i64::try_from(header.unix_ms)
            .unwrap_or(i64::MAX)
            .saturating_sub(ours);
        node.clock_off.push(off);
        if node.clock_off.len() > CLOCK_SAMPLES {
            node.clock_off.remove(0);
        }
        let least = node
            .clock_off
            .iter()
            .map(|off| off.unsigned_abs())
            .min()
            .unwrap_or(0);
        let (is_judged, is_off) = (
            node.clock_off.len() == CLOCK_SAMPLES,
            off.unsigned_abs() >= CLOCK_STEPS[0].0,
        );
        if is_off {
            node.time_told = Some(now.mono);
            self.tell(now, header.node, &Down::SetTime, turn);
        }
        let Some(name) = self.node_name(header.node).filter(|_| is_judged) else {
            return;
        };
        for (step, word, _) in CLOCK_STEPS {
            let condition = if least >= step {
                Condition::Holds(clock_words(off))
            } else {
                Condition::Gone
            };
            self.report(now, turn, &catalog::node_clock_id(&name, word), condition);
        }
    }
}

fn clock_words(off: i64) -> Label {
    let secs = Millis(off.unsigned_abs()).as_secs_f64();
    let (ja, en) = if off > 0 {
        ("進んで", "ahead")
    } else {
        ("遅れて", "behind")
    };
    Label::new(
        format!("{secs:.1} 秒{ja}おり、時刻を伝えても直らない"),
        format!("{secs:.1} s {en}, though it was told the time"),
    )
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

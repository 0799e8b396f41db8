//! Sensor nodes: what is proven about a frame, and what is new about it.
//!
//! A frame counts only when its header names the node of its topic, its tag is made with that
//! node's key for that direction and stream, and it is newer than what was accepted before.
//! Everything else is refused, counted, and after the first time alarmed; it never changes a
//! value. Events are accepted once, in sequence, over reboots of either side.
//!
//! A broker that restarts takes events while nobody is subscribed. What comes after them would
//! look as if they were lost, and acknowledging it would lose them indeed: so an event behind a
//! gap is left with the node, which sends all of them again, until the node's own word proves
//! that it does not hold the missing ones any more.
//!
//! An event whose place is taken by another one is no repetition. Two boards with one identity
//! make such (see [`crate::twin`]): it is recorded beside the sequence and never acknowledged.

use crate::keys::{KeyRing, Proof};
use crate::record::NodeEvent;
use crate::time::{Millis, Mono, Now};
use crate::twin::{self, Known, Marks, Pace};
use serde::{Deserialize, Serialize};
use shared::topic::{self, Leaf};
use shared::wire::{Authentic, DeviceKey, Direction, Envelope, Header, KeyEvent, Stream, Up, WireError};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// After the node said in a heartbeat that it no longer holds an event, a frame with that event
/// is a replay; within this time of the heartbeat it may still be a redelivery under way.
pub const REDELIVERY_GRACE: Millis = Millis(5_000);
/// While events come behind a gap, the node is asked so often what it still holds.
pub const GAP_ASK_EVERY: Millis = Millis(5_000);
/// A node is told the time so often: a clock chip drifts by some seconds a day at the worst.
pub const TIME_EVERY: Millis = Millis(86_400_000);

/// Keys of the provisioning by node id; loaded by the controller, never printed.
pub type Keys = BTreeMap<u16, DeviceKey>;
/// Keys in force by node id.
pub type KeyRings = BTreeMap<u16, KeyRing>;

/// Why a frame was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not a topic of ours.
    Topic,
    /// No such node in the site.
    UnknownNode(u16),
    /// A node of the site whose key we have not got: nothing of it can be proven.
    NoKey(u16),
    /// The account of the sender is another node's.
    ForeignAccount(u16),
    /// Not a frame, a damaged or a forged one.
    Wire(u16, WireError),
    /// The header names another node than the topic.
    Misdirected(u16),
    /// Already accepted earlier, and the node has released it since.
    Replayed(u16),
    /// Retained: nobody can tell how old it is.
    Retained(u16),
    /// Telemetry of a second board with this identity.
    Twin(u16),
}

impl Refusal {
    /// The node in whose name it came, if any.
    #[must_use]
    pub const fn node(self) -> Option<u16> {
        match self {
            Self::Topic => None,
            Self::UnknownNode(node)
            | Self::NoKey(node)
            | Self::ForeignAccount(node)
            | Self::Wire(node, _)
            | Self::Misdirected(node)
            | Self::Replayed(node)
            | Self::Retained(node)
            | Self::Twin(node) => Some(node),
        }
    }

    /// Reserved word for counters and records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::UnknownNode(_) => "unknown_node",
            Self::NoKey(_) => "no_key",
            Self::ForeignAccount(_) => "foreign_account",
            Self::Wire(_, WireError::Tag) => "forged",
            Self::Wire(_, WireError::Version(_)) => "version",
            Self::Wire(..) => "malformed",
            Self::Misdirected(_) => "misdirected",
            Self::Replayed(_) => "replayed",
            Self::Retained(_) => "retained",
            Self::Twin(_) => "twin",
        }
    }
}

/// What an accepted message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// A new event; `missing` are the sequences between the last one and this one.
    Event {
        /// Proven header.
        header: Header,
        /// Body, or its raw bytes when it is of a later version.
        body: Result<Up, Vec<u8>>,
        /// First and last missing sequence.
        missing: Option<(u32, u32)>,
        /// Names its content.
        mark: u32,
    },
    /// An event that has no place in the sequence, and was not seen before.
    Stray {
        /// Proven header.
        header: Header,
        /// Body, or its raw bytes when it is of a later version.
        body: Result<Up, Vec<u8>>,
        /// Why it has no place.
        why: Stray,
        /// Names its content.
        mark: u32,
    },
    /// An event behind a gap: the node may still hold what is before it, and sends it again.
    Early {
        /// Proven header.
        header: Header,
        /// The node is to be asked what it holds.
        ask: bool,
    },
    /// An event we have: acknowledge it again.
    Duplicate {
        /// Proven header.
        header: Header,
    },
    /// Telemetry.
    Telemetry {
        /// Proven header.
        header: Header,
        /// Body, or its raw bytes when it is of a later version.
        body: Result<Up, Vec<u8>>,
    },
    /// The broker's word about the node's presence: a hint, never evidence.
    Presence {
        /// Node id.
        node: u16,
        /// False is the will of a lost connection.
        here: bool,
    },
}

/// Why an event has no place in the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stray {
    /// Another board with this identity made it: its place is taken, or its boot is over.
    Twin,
    /// It was given up as missing, and came after all.
    Late,
}

/// What is known of one node.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Last committed event (durable).
    pub last_event: Option<u32>,
    /// The boot in which it was made (durable).
    event_boot: Option<u32>,
    /// Highest boot number seen (durable through events).
    pub boot: Option<u32>,
    /// Last telemetry of this boot.
    telemetry: Option<u32>,
    /// Last authentic frame.
    pub heard: Option<Mono>,
    /// Events missing (durable).
    pub missing: u64,
    /// Firmware (durable through events).
    pub firmware: Option<String>,
    /// Frames refused in its name since the controller started.
    pub refused: u64,
    /// When a refusal was last recorded.
    pub refusal_recorded: Option<Mono>,
    /// Earliest seen difference between our clock and the node's uptime, for this boot.
    boot_at: Option<(u32, i64)>,
    /// What the node released, by its own word.
    released: Option<Released>,
    /// Asked for a report since we know this boot.
    pub asked: Option<u32>,
    /// When it was last told the time.
    pub time_told: Option<Mono>,
    /// How far its clock was from ours at its last heartbeats, in ms; positive is ahead.
    pub clock_off: Vec<i64>,
    /// When it was last asked because of a gap.
    gap_asked: Option<Mono>,
    /// What was accepted of late (durable).
    marks: Marks,
    /// How its telemetry goes on.
    pace: Pace,
    /// Contacts that do not make up their mind, with the edges that led to it (durable).
    pub chattering: BTreeMap<u8, u16>,
    /// Its keys were erased by order (durable).
    pub erased: bool,
    /// A sign of a second board, until the engine takes it.
    pub twin_sign: Option<&'static str>,
}

/// Up to where a node holds no event, as it said in one of its boots. With the next boot its
/// sequence may have gone back (a memory that failed, a board with a blank one), and then the same
/// numbers are other events: a new boot is asked anew.
#[derive(Debug, Clone, Copy)]
struct Released {
    boot: u32,
    upto: u32,
    since: Mono,
}

impl Node {
    /// When the measured moment `up_ms` of the node's boot `boot` was, by our clock. A frame
    /// that waited in the network is thus as old as it is, not as old as its arrival.
    fn moment(&mut self, now: Mono, header: &Header) -> Mono {
        let offset =
            i64::try_from(now.0).unwrap_or(i64::MAX) - i64::try_from(header.up_ms).unwrap_or(i64::MAX);
        let best = match self.boot_at {
            // The least difference belongs to the frame that waited least.
            Some((boot, best)) if boot == header.boot => best.min(offset),
            _ => offset,
        };
        self.boot_at = Some((header.boot, best));
        let at = best.saturating_add(i64::try_from(header.up_ms).unwrap_or(i64::MAX));
        Mono(u64::try_from(at).unwrap_or(0).min(now.0))
    }

    /// When the frame with this header was made, by our clock; now for frames of earlier boots
    /// is not known and `None`.
    pub fn made_at(&mut self, now: Mono, header: &Header) -> Option<Mono> {
        if self.boot.is_some_and(|boot| header.boot < boot) {
            return None;
        }
        Some(self.moment(now, header))
    }

    /// A heartbeat of this boot says which events the node still holds.
    pub fn holds(&mut self, now: Mono, boot: u32, last_event: u32, pending: u16) {
        let upto = last_event.saturating_sub(u32::from(pending));
        let goes_on = self
            .released
            .is_some_and(|known| known.boot == boot && known.upto >= upto);
        if !goes_on {
            self.released = Some(Released {
                boot,
                upto,
                since: now,
            });
        }
    }

    /// A frame of this boot was taken: what an earlier one released says nothing any more.
    fn forget_released(&mut self, boot: u32) {
        self.released = self.released.filter(|known| known.boot >= boot);
    }
}

/// Judges a message. Changes only volatile knowledge (what was heard when); the durable part
/// changes when the records of the event are applied.
///
/// # Errors
/// [`Refusal`].
pub fn accept(
    now: Now,
    nodes: &mut BTreeMap<u16, Node>,
    keys: &mut KeyRings,
    message: &crate::event::Message,
) -> Result<Accepted, Refusal> {
    let (id, leaf) = topic::parse(&message.topic).ok_or(Refusal::Topic)?;
    let node = nodes.get_mut(&id).ok_or(Refusal::UnknownNode(id))?;
    let ring = keys.get_mut(&id).ok_or(Refusal::NoKey(id))?;
    if message.user.as_ref().is_some_and(|user| user.parse() != Ok(id)) {
        return Err(Refusal::ForeignAccount(id));
    }
    let stream = match leaf {
        Leaf::Event => Stream::Event,
        Leaf::Telemetry => Stream::Telemetry,
        Leaf::Presence => {
            return Ok(Accepted::Presence {
                node: id,
                here: message.payload == b"1",
            });
        }
        // Our own downward topic; only a broker without rights lets anybody else write there.
        Leaf::Command => return Err(Refusal::Topic),
    };
    let (frame, proof) = prove(id, ring, stream, &message.payload)?;
    let header = frame.header;
    if message.retained {
        return Err(Refusal::Retained(id));
    }
    ring.saw_id(proof, header.key_id);
    let body = frame.up().map_err(|_| frame.raw_body.to_vec());
    match stream {
        Stream::Telemetry => {
            let contradicts = node.pace.contradicts(&header);
            if contradicts {
                node.twin_sign = Some("uptime");
            }
            if !node.is_new_telemetry(&header) {
                if contradicts {
                    return Err(Refusal::Twin(id));
                }
                if node.pace.falls_behind(now.mono, &header) {
                    node.twin_sign = Some("boot");
                    return Err(Refusal::Twin(id));
                }
                return Err(Refusal::Replayed(id));
            }
            node.pace.push(&header);
            if node.boot != Some(header.boot) {
                node.boot = Some(header.boot);
            }
            node.forget_released(header.boot);
            node.telemetry = Some(header.seq);
            node.heard = Some(now.mono);
            Ok(Accepted::Telemetry { header, body })
        }
        _ => {
            // The count of a loss may have grown while its record waited in the node.
            let named = match body {
                Ok(Up::Lost { .. }) => frame.raw_body.get(..1).unwrap_or_default(),
                _ => frame.raw_body,
            };
            let mark = twin::mark(header.up_ms, named);
            // The last word of a node that has erased everything: it holds nothing any more, and
            // makes this frame anew each time it says it.
            let is_farewell = body == Ok(Up::Key(KeyEvent::Erased));
            match (
                node.place(&header),
                node.marks.judge(header.boot, header.seq, mark),
            ) {
                (Place::New { missing }, _) => {
                    node.heard = Some(now.mono);
                    if !is_farewell && missing.is_some_and(|(_, to)| !node.lacks(header.boot, to)) {
                        let ask = node.asks_about_gap(now.mono);
                        return Ok(Accepted::Early { header, ask });
                    }
                    Ok(Accepted::Event {
                        header,
                        body,
                        missing,
                        mark,
                    })
                }
                (Place::Known, _) if is_farewell && node.erased => Ok(Accepted::Duplicate { header }),
                (_, Known::Same) if !node.has_released(now.mono, header.seq) => {
                    Ok(Accepted::Duplicate { header })
                }
                (_, Known::Same | Known::Forgotten) => Err(Refusal::Replayed(id)),
                (place, known) => {
                    let late = matches!((place, known), (Place::Known, Known::Never));
                    if !late {
                        node.twin_sign = Some("event");
                    }
                    Ok(Accepted::Stray {
                        header,
                        body,
                        why: if late { Stray::Late } else { Stray::Twin },
                        mark,
                    })
                }
            }
        }
    }
}

/// Where an event stands to the last committed one.
enum Place {
    /// After it; `missing` lie between.
    New {
        /// First and last missing sequence.
        missing: Option<(u32, u32)>,
    },
    /// At or before it.
    Known,
    /// A higher sequence in an earlier boot: the ring gives events in their order, so no node
    /// sends that after a later boot has spoken.
    Impossible,
}

fn prove<'a>(
    id: u16,
    ring: &mut KeyRing,
    stream: Stream,
    payload: &'a [u8],
) -> Result<(Authentic<'a>, Proof), Refusal> {
    let envelope = Envelope::parse(payload).map_err(|error| Refusal::Wire(id, error))?;
    if envelope.header.node != id {
        return Err(Refusal::Misdirected(id));
    }
    ring.prove(|key| envelope.verify(key, Direction::Up, stream))
        .map_err(|error| Refusal::Wire(id, error))
}

impl Node {
    fn place(&self, header: &Header) -> Place {
        let (Some(last), Some(last_boot)) = (self.last_event, self.event_boot) else {
            return Place::New { missing: None };
        };
        let missing = (header.seq > last.saturating_add(1)).then(|| (last + 1, header.seq - 1));
        match header.boot.cmp(&last_boot) {
            // Also with a lower sequence: the node's memory failed before a power cut and its
            // sequence went back. A stored event keeps the boot in which it was made, so this
            // one was never seen; to take it for a repetition would lose it.
            Ordering::Greater => Place::New { missing },
            Ordering::Equal if header.seq > last => Place::New { missing },
            Ordering::Less if header.seq > last => Place::Impossible,
            Ordering::Equal | Ordering::Less => Place::Known,
        }
    }

    fn is_new_telemetry(&self, header: &Header) -> bool {
        match self.boot {
            Some(boot) if header.boot < boot => false,
            Some(boot) if header.boot == boot => self.telemetry.is_none_or(|last| header.seq > last),
            // A new boot: its own sequence begins.
            _ => true,
        }
    }

    fn has_released(&self, now: Mono, seq: u32) -> bool {
        self.released
            .is_some_and(|known| seq <= known.upto && now.since(known.since) > REDELIVERY_GRACE)
    }

    /// By its own word, of the boot that made the next event or a later one, it holds no event up
    /// to this one.
    fn lacks(&self, boot: u32, seq: u32) -> bool {
        self.released
            .is_some_and(|known| known.boot >= boot && seq <= known.upto)
    }

    fn asks_about_gap(&mut self, now: Mono) -> bool {
        let due = self.gap_asked.is_none_or(|at| now.since(at) >= GAP_ASK_EVERY);
        if due {
            self.gap_asked = Some(now);
        }
        due
    }

    /// Applies what a committed event says about the node itself.
    pub fn learn(&mut self, event: &NodeEvent) {
        match event {
            NodeEvent::Hello { firmware, .. } => {
                self.firmware = Some(firmware.clone());
                self.erased = false;
                self.chattering.clear();
            }
            NodeEvent::Lost { count } => {
                self.missing += u64::from(*count);
                self.chattering.clear();
            }
            NodeEvent::Key {
                key: KeyEvent::Erased,
            } => self.erased = true,
            NodeEvent::Chattering { channel, edges } => {
                self.chattering.insert(*channel, *edges);
            }
            NodeEvent::Rested { channel, .. } | NodeEvent::Contact { channel, .. } => {
                self.chattering.remove(channel);
            }
            _ => {}
        }
    }

    /// Applies an event that was recorded beside the sequence.
    pub fn stray(&mut self, boot: u32, seq: u32, mark: u32) {
        self.marks.push(boot, seq, Some(mark));
    }

    /// Applies a committed event.
    pub fn commit(&mut self, boot: u32, seq: u32, mark: Option<u32>) {
        self.marks.push(boot, seq, mark);
        if self.boot.is_none_or(|known| boot > known) {
            self.boot = Some(boot);
            self.telemetry = None;
        }
        self.forget_released(boot);
        self.last_event = Some(seq);
        self.event_boot = Some(boot);
    }
}

//! The register of entry (入退室管理簿): from what the doors say to passages, and who is inside.
//!
//! ```text
//! Credential (denied) -----------------------------------------> passage, not opened
//! Credential (granted) -> waits for the door's word --Opened---> passage, opened
//!                                          --Unused------------> passage, not used
//!                                          --another card------> passage, not said
//!                                          --SAID_WITHIN-------> passage, not said
//! Opened by button or key, Forced, FoundOpen ------------------> passage of nobody known
//! ```
//! Passages are journaled in the order in which they were learnt, and never again touched. One of a
//! node that could not be reached comes late: it carries the time at the door, the journal the time at
//! which it was written, and [`ClockMark`] says what the first is worth. Who is inside follows from the
//! sequence of passages alone ([`Pairing`]); a late one never undoes what a newer one said.
//!
//! A card says which card was presented, never who presented it.

mod pairing;

pub use pairing::{Inside, MAX_INSIDE, Pairing, SHORTEST_WAY_MS};

use crate::forecast::calendar;
use crate::people;
use crate::record::NodeEvent;
use crate::site::{Access, Passes, Portal};
use crate::time::{Millis, Mono, Now, Wall};
use serde::{Deserialize, Serialize};
use shared::access::CardId;
use shared::wire::{DoorEvent, OpenedBy};
use std::collections::{BTreeMap, VecDeque};
use utoipa::ToSchema;

/// A door says within this time whether a grant was used: a strike is driven for ten seconds at most,
/// and the word may be sent again.
pub const SAID_WITHIN: Millis = Millis::from_secs(60);
/// What arrives so much later than it happened was held by its node.
pub const LATE_MS: i64 = 60_000;
/// A node's clock may be so far ahead of ours before its time is not believed.
pub const AHEAD_MS: i64 = 120_000;
/// Passages that are kept at hand; the journal has all.
pub const MAX_RECENT: usize = 1_000;
/// Denials at a portal
pub const MAX_DENIALS: usize = 5;
/// within this time are too many.
pub const DENIALS_WITHIN_MS: i64 = 10 * 60_000;
/// Passages that wait to be written: a turn brings one event, and each resolves two at most.
const MAX_READY: usize = 64;
/// Nobody is taken to be inside for longer than this where no reader sees people leave.
pub const STAY_MS: i64 = 16 * 3_600_000;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// In.
    Entry,
    /// Out.
    Exit,
    /// Not known: forced, or by the key.
    Unknown,
}

/// What the time at the door is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClockMark {
    /// The node's own clock, which was set.
    Node,
    /// The node had no time: the time is that of the journal.
    Unset,
    /// The node's clock was ahead of ours: the time is that of the journal.
    Ahead,
}

/// What is noteworthy about a passage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Written long after it happened: its node could not be reached.
    Late,
    /// Something newer of this card was written before; who is inside does not follow from it.
    Overtaken,
    /// It has no place in its node's sequence: a second board, or one given up as missing.
    Stray,
    /// In again without having been out: anti-passback.
    TwiceIn,
    /// In here while still inside elsewhere.
    Elsewhere,
    /// Out without having been in.
    ExitWithoutEntry,
    /// At two doors faster than anybody walks: the card is shared or copied.
    TooFast,
    /// Outside the site's hours.
    OutOfHours,
    /// Denials at this portal are too many.
    DeniedRepeatedly,
    /// A card that is reported lost.
    LostCard,
    /// The node did not know the time when it granted.
    Unproven,
}

impl Flag {
    /// Flags for which the card's holder must be asked.
    #[must_use]
    pub const fn is_anomaly(self) -> bool {
        matches!(
            self,
            Self::TwiceIn | Self::Elsewhere | Self::TooFast | Self::LostCard
        )
    }

    /// In Japanese and English, for screens.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Late => ("後着", "late"),
            Self::Overtaken => ("順序外", "overtaken"),
            Self::Stray => ("系列外", "stray"),
            Self::TwiceIn => ("二重入室", "in twice"),
            Self::Elsewhere => ("別室に在室中", "still inside elsewhere"),
            Self::ExitWithoutEntry => ("入室なし退室", "exit without entry"),
            Self::TooFast => ("共有疑い", "too fast between doors"),
            Self::OutOfHours => ("時間外", "out of hours"),
            Self::DeniedRepeatedly => ("拒否多数", "denied repeatedly"),
            Self::LostCard => ("紛失カード", "lost card"),
            Self::Unproven => ("時刻未確認", "time not known"),
        }
    }
}

/// One line of the register. It is journaled as it is and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// The event of the node that began it: node,
    pub node: u16,
    /// its boot,
    pub boot: u32,
    /// and its number.
    pub event_seq: u32,
    /// Portal.
    pub portal: String,
    /// The area behind it.
    pub area: String,
    /// Which way.
    pub direction: Direction,
    /// The card under the site's card key; `None` when there was none.
    pub card: Option<String>,
    /// Who had that card at that time.
    pub person: Option<String>,
    /// A word of `shared::access::Decision`, or `request_to_exit`, `key_override`, `forced`,
    /// `found_open`.
    pub decision: String,
    /// The door was opened; `None` when nobody said.
    pub opened: Option<bool>,
    /// When it happened at the door, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// What that is worth.
    pub clock: ClockMark,
    /// What is noteworthy.
    #[serde(default)]
    pub flags: Vec<Flag>,
}

impl Passage {
    /// True when a card was granted and the door was not left shut.
    #[must_use]
    pub fn went_through(&self) -> bool {
        self.decision.starts_with("granted") && self.opened != Some(false)
    }

    /// True when a card was denied.
    #[must_use]
    pub fn was_denied(&self) -> bool {
        self.card.is_some() && !self.decision.starts_with("granted")
    }
}

/// What becomes of who should not enter twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AntiPassback {
    /// Nothing.
    Off,
    /// It is flagged.
    #[default]
    Report,
    /// It is flagged, and the card is blocked at the entries of the area while its holder is inside.
    Enforce,
}

/// What the site says about passages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// See there.
    pub anti_passback: AntiPassback,
    /// The hours outside which a passage is noteworthy: from, to, in steps of ten minutes.
    pub hours: Option<(u8, u8)>,
}

/// A grant that waits for the door's word.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    passage: Passage,
    until: Mono,
}

/// The book of passages.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// By portal (durable through the node's events).
    pending: BTreeMap<String, Pending>,
    /// Resolved and not yet journaled.
    ready: VecDeque<Passage>,
    recent: VecDeque<(u64, i64, Passage)>,
    denials: BTreeMap<String, VecDeque<i64>>,
    pairing: Pairing,
    dropped: u64,
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// Node.
    pub node: u16,
    /// Its boot.
    pub boot: u32,
    /// Its number.
    pub event_seq: u32,
    /// Its clock, 0 when not set.
    pub unix_ms: u64,
    /// It has no place in the node's sequence.
    pub stray: bool,
}

impl Book {
    /// What an event of a node says, also at a replay. Nothing is journaled here; what is resolved
    /// waits until it is taken.
    pub fn learn(
        &mut self,
        now: Now,
        access: &Access,
        people: &people::Register,
        source: Source,
        event: &NodeEvent,
    ) {
        let portals = &access.portals;
        match event {
            NodeEvent::Credential {
                reader,
                card,
                decision,
                ..
            } => {
                let at_reader = |portal: &&Portal| (portal.node, portal.reader) == (source.node, *reader);
                let Some(portal) = portals.iter().find(at_reader) else {
                    return;
                };
                let mut passage = begun(now, portal, source, decision);
                passage.card = Some(card.clone());
                passage.person = holder(people, card, passage.at_ms);
                // The card before this one: nobody said what came of it.
                if !source.stray {
                    self.resolve(&portal.name, None);
                }
                if !decision.starts_with("granted") {
                    passage.opened = Some(false);
                    self.ready(passage);
                } else if portal.door.is_none() || source.stray {
                    self.ready(passage);
                } else {
                    let until = now.mono.after(SAID_WITHIN);
                    self.pending
                        .insert(portal.name.clone(), Pending { passage, until });
                }
            }
            NodeEvent::Door { portal: number, door } => {
                let with_number = |portal: &&Portal| (portal.node, portal.portal) == (source.node, *number);
                let Some(portal) = portals.iter().find(with_number) else {
                    return;
                };
                let (decision, direction) = match door {
                    DoorEvent::Opened(OpenedBy::Grant) => return self.said(portal, source, true),
                    DoorEvent::Unused => return self.said(portal, source, false),
                    DoorEvent::Opened(OpenedBy::RequestToExit) => ("request_to_exit", Direction::Exit),
                    DoorEvent::Opened(OpenedBy::KeyOverride) => ("key_override", Direction::Unknown),
                    DoorEvent::Forced => ("forced", Direction::Unknown),
                    DoorEvent::FoundOpen => ("found_open", Direction::Unknown),
                    _ => return,
                };
                let mut passage = begun(now, portal, source, decision);
                (passage.direction, passage.opened) = (direction, Some(true));
                self.ready(passage);
            }
            _ => {}
        }
    }

    /// The door's word about the grant of the same life of its node. A stray word is about another one.
    fn said(&mut self, portal: &Portal, source: Source, opened: bool) {
        let pending = self.pending.get(&portal.name);
        if !source.stray && pending.is_some_and(|pending| pending.passage.boot == source.boot) {
            self.resolve(&portal.name, Some(opened));
        }
    }

    fn resolve(&mut self, portal: &str, opened: Option<bool>) {
        if let Some(mut pending) = self.pending.remove(portal) {
            pending.passage.opened = opened;
            self.ready(pending.passage);
        }
    }

    fn ready(&mut self, passage: Passage) {
        if self.ready.len() == MAX_READY {
            self.ready.pop_front();
            self.dropped += 1;
        }
        self.ready.push_back(passage);
    }

    /// Passages of which no word came in time.
    pub fn give_up(&mut self, now: Mono) {
        let due = self.pending.iter().filter(|(_, pending)| pending.until <= now);
        let due: Vec<String> = due.map(|(portal, _)| portal.clone()).collect();
        due.iter().for_each(|portal| self.resolve(portal, None));
    }

    /// After a restart the waiting begins anew.
    pub fn resume(&mut self, now: Mono) {
        for pending in self.pending.values_mut() {
            pending.until = now.after(SAID_WITHIN);
        }
    }

    /// When [`Self::give_up`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.pending.values().map(|pending| pending.until).min()
    }

    /// The next passage to be journaled, with its flags; it stays until its record is applied.
    #[must_use]
    pub fn next_ready(&self, now: Wall, access: &Access, people: &people::Register) -> Option<Passage> {
        let mut passage = self.ready.front()?.clone();
        let mut flags = std::mem::take(&mut passage.flags);
        if now.0 - passage.at_ms >= LATE_MS {
            flags.push(Flag::Late);
        }
        if passage.decision == "granted_unproven" {
            flags.push(Flag::Unproven);
        }
        let exits = access.has_exit(&passage.area);
        flags.extend(self.pairing.judge(&passage, exits));
        if access.passages.anti_passback == AntiPassback::Off {
            flags.retain(|flag| *flag != Flag::TwiceIn);
        }
        if is_out_of_hours(&passage, access) {
            flags.push(Flag::OutOfHours);
        }
        let lost = passage.card.as_deref().and_then(card_id);
        if lost.is_some_and(|id| people.is_lost(&id)) {
            flags.push(Flag::LostCard);
        }
        if passage.was_denied() && self.is_denied_repeatedly(&passage) {
            flags.push(Flag::DeniedRepeatedly);
        }
        flags.sort_unstable();
        flags.dedup();
        passage.flags = flags;
        Some(passage)
    }

    fn is_denied_repeatedly(&self, passage: &Passage) -> bool {
        let Some(denials) = self.denials.get(&passage.portal) else {
            return false;
        };
        let near = |at: &&i64| (passage.at_ms - **at).abs() <= DENIALS_WITHIN_MS;
        denials.iter().filter(near).count() + 1 >= MAX_DENIALS
    }

    /// Applies a journaled passage.
    pub fn apply(&mut self, seq: u64, logged_ms: i64, passage: &Passage) {
        let is_it = |other: &Passage| {
            (other.node, other.boot, other.event_seq) == (passage.node, passage.boot, passage.event_seq)
        };
        self.ready.retain(|ready| !is_it(ready));
        self.pending.retain(|_, pending| !is_it(&pending.passage));
        if passage.was_denied() {
            let denials = self.denials.entry(passage.portal.clone()).or_default();
            if denials.len() == MAX_DENIALS {
                denials.pop_front();
            }
            denials.push_back(passage.at_ms);
        }
        self.pairing.take(passage);
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((seq, logged_ms, passage.clone()));
    }

    /// Who is inside.
    #[must_use]
    pub const fn pairing(&self) -> &Pairing {
        &self.pairing
    }

    /// Passages that were never written because too many came at once.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The newest passages, newest first, at most [`MAX_RECENT`].
    pub fn recent(&self) -> impl Iterator<Item = PassageRow> {
        self.recent
            .iter()
            .rev()
            .map(|(seq, logged_ms, passage)| PassageRow {
                seq: *seq,
                logged_ms: *logged_ms,
                at_ms: passage.at_ms,
                clock: passage.clock,
                portal: passage.portal.clone(),
                area: passage.area.clone(),
                direction: passage.direction,
                card: passage.card.clone(),
                person: passage.person.clone(),
                decision: passage.decision.clone(),
                opened: passage.opened,
                flags: passage.flags.clone(),
            })
    }

    /// Who is inside, as it is shown.
    #[must_use]
    pub fn inside(&self, now: Wall, access: &Access) -> Vec<InsideRow> {
        let rows = self.pairing.inside().filter_map(|(_, inside)| {
            let leaves_are_read = access.has_exit(&inside.area);
            let stays = leaves_are_read || now.0 - inside.since_ms < STAY_MS;
            stays.then(|| InsideRow {
                area: inside.area.clone(),
                person: inside.person.clone(),
                card: inside.card.clone(),
                portal: inside.portal.clone(),
                since_ms: inside.since_ms,
                leaves_are_read,
            })
        });
        rows.collect()
    }
}

fn begun(now: Now, portal: &Portal, source: Source, decision: &str) -> Passage {
    let (at_ms, clock) = match i64::try_from(source.unix_ms) {
        Ok(0) => (now.wall.0, ClockMark::Unset),
        Ok(at_ms) if at_ms <= now.wall.0.saturating_add(AHEAD_MS) => (at_ms, ClockMark::Node),
        _ => (now.wall.0, ClockMark::Ahead),
    };
    Passage {
        node: source.node,
        boot: source.boot,
        event_seq: source.event_seq,
        portal: portal.name.clone(),
        area: portal.area.clone(),
        direction: match portal.passes {
            Passes::Entry => Direction::Entry,
            Passes::Exit => Direction::Exit,
        },
        card: None,
        person: None,
        decision: decision.to_owned(),
        opened: None,
        at_ms,
        clock,
        flags: if source.stray {
            vec![Flag::Stray]
        } else {
            Vec::new()
        },
    }
}

fn card_id(text: &str) -> Option<CardId> {
    let mut id = CardId::default();
    crate::hex::read(text.as_bytes(), &mut id).then_some(id)
}

fn holder(people: &people::Register, card: &str, at_ms: i64) -> Option<String> {
    people.holder(&card_id(card)?, at_ms).map(str::to_owned)
}

fn is_out_of_hours(passage: &Passage, access: &Access) -> bool {
    let (Some((from, to)), true) = (access.passages.hours, passage.went_through()) else {
        return false;
    };
    let local_ms = passage.at_ms + i64::from(access.utc_offset_min) * 60_000;
    let Some((day, _)) = calendar::day_and_hour(Wall(passage.at_ms), access.utc_offset_min) else {
        return true;
    };
    // 1970-01-01 was a Thursday.
    let weekday = (u32::from(day) + 3) % 7;
    let step = local_ms.rem_euclid(86_400_000) / 600_000;
    weekday >= 5 || access.holidays.contains(&day) || !(i64::from(from)..i64::from(to)).contains(&step)
}

/// A passage as it is shown; no personal value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PassageRow {
    /// Number of its record.
    pub seq: u64,
    /// When it was written, milliseconds since 1970 UTC.
    pub logged_ms: i64,
    /// When it happened at the door.
    pub at_ms: i64,
    /// What that is worth.
    pub clock: ClockMark,
    /// Portal.
    pub portal: String,
    /// The area behind it.
    pub area: String,
    /// Which way.
    pub direction: Direction,
    /// The card under the site's card key.
    pub card: Option<String>,
    /// Who had it.
    pub person: Option<String>,
    /// What was decided.
    pub decision: String,
    /// The door was opened; `null` when nobody said.
    pub opened: Option<bool>,
    /// What is noteworthy.
    pub flags: Vec<Flag>,
}

/// Somebody inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InsideRow {
    /// Which area.
    pub area: String,
    /// Who.
    pub person: Option<String>,
    /// With which card.
    pub card: String,
    /// Through which portal.
    pub portal: String,
    /// Since when, milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// False when no reader sees people leave this area: they may be gone, and are taken to be after
    /// 16 hours.
    pub leaves_are_read: bool,
}

#[cfg(test)]
mod tests;

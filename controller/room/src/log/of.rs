//! What of the journal becomes a leaf, and what of a leaf is sealed.
//!
//! Everything is named: a new record does not compile without a decision, and neither does a new field of
//! most. Personal particulars, and texts that people typed (they name people), are sealed; what stands
//! in `data` stands there for ever. Figures that are no evidence (levels, daily means, notices) stay in
//! the journal alone.
// Long because every kind of record says here what it is to the log.

use super::leaf::{Object, Value};
use super::record::Record as Own;
use crate::battery::Record as Battery;
use crate::incident::Record as Incident;
use crate::notice::record::Record as Notice;
use crate::outage::operator::Who;
use crate::outage::{Demand, Order, Record as Power};
use crate::people::Record as People;
use crate::record::{Entry, NodeEvent, Record};
use crate::register::Passage;
use crate::site::{Site, World};
use crate::time::Wall;
use serde::Serialize;
use shared::wire::{DoorEvent, ListEvent, ReaderState};
use std::collections::BTreeMap;

/// A node's clock that is so far ahead of ours is not believed.
const SKEW_MS: i64 = 60_000;

/// A leaf before it has its place and its salts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Draft {
    /// What happened.
    pub kind: String,
    /// Open particulars.
    pub data: Object,
    /// Personal particulars: name of the field, value.
    pub sealed: Vec<(&'static str, String)>,
    /// The node's event.
    pub node: Option<NodeEventAt>,
    /// When it happened by the node's clock, and how good that was.
    pub observed: Option<(Option<i64>, &'static str)>,
    /// What it is found by.
    pub found_by: FoundBy,
}

/// A node's event, by the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeEventAt {
    /// Node id.
    pub id: u16,
    /// Its boot.
    pub boot: u32,
    /// Its sequence of events.
    pub seq: u32,
    /// Its uptime.
    pub up_ms: u64,
}

/// What a row is found by, besides kind and time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundBy {
    /// Id of the person.
    pub person: Option<String>,
    /// Name of the portal.
    pub portal: Option<String>,
    /// What a reviewer looks for: `denied`, `forced`, `held`, `tamper`, `key`.
    pub flag: Option<&'static str>,
}

/// Which door a node means by its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Portals {
    by_portal: BTreeMap<(u16, u8), String>,
    by_reader: BTreeMap<(u16, u8), String>,
}

impl Portals {
    /// Those of a site.
    #[must_use]
    pub fn of<W: World>(site: &Site<W>) -> Self {
        let mut portals = Self::default();
        for portal in &site.access.portals {
            let name = || portal.name.clone();
            portals.by_portal.insert((portal.node, portal.portal), name());
            portals.by_reader.insert((portal.node, portal.reader), name());
        }
        portals
    }
}

/// The leaves of a record; none, one, rarely two.
#[must_use]
pub fn of(entry: &Entry, portals: &Portals) -> Vec<Draft> {
    record(entry, portals).into_iter().collect()
}

fn record(entry: &Entry, portals: &Portals) -> Option<Draft> {
    match &entry.record {
        Record::Started {
            version,
            boot_id: _,
            epoch,
            before,
        } => Some(match before {
            // What is missing in between is named; the program's version goes with it.
            Some(before) => draft("log.resumed")
                .with("down_from", before.at.0)
                .with("down_to", entry.now.wall.0.max(before.at.0))
                .with("version", version)
                .with("start", *epoch),
            None => draft("system.started")
                .with("version", version)
                .with("start", *epoch),
        }),
        Record::NodeEvent {
            node,
            boot,
            event_seq,
            up_ms,
            unix_ms,
            point,
            event,
            mark: _,
        } => {
            let mut draft = node_event(*node, event, point.as_deref(), portals);
            draft.node = Some(NodeEventAt {
                id: *node,
                boot: *boot,
                seq: *event_seq,
                up_ms: *up_ms,
            });
            draft.observed = Some(observed(*unix_ms, entry.now.wall));
            Some(draft)
        }
        Record::StrayEvent {
            node,
            boot,
            event_seq,
            up_ms,
            unix_ms,
            point,
            event,
            why,
            mark: _,
        } => {
            let mut draft = node_event(*node, event, point.as_deref(), portals)
                .with("boot", *boot)
                .with("seq", *event_seq)
                .with("node_up_ms", *up_ms)
                .with("why", word(why));
            draft.kind.push_str(".stray");
            draft.found_by.flag = Some("stray");
            draft.observed = Some(observed(*unix_ms, entry.now.wall));
            Some(draft)
        }
        Record::EventsMissing { node, from, to } => Some(
            draft("node.missing")
                .with("id", node.to_string())
                .with("from", *from)
                .with("to", *to),
        ),
        Record::AccessList {
            node,
            version,
            count,
            content,
        } => Some(
            draft("right.list")
                .with("node", *node)
                .with("version", *version)
                .with("count", *count)
                .with("content", content),
        ),
        Record::KeyRotation {
            node,
            key_id,
            salt: _,
            first: _,
            by,
        } => Some(
            draft("command.node_key")
                .with("node", *node)
                .with("key", *key_id)
                .sealing("by", by),
        ),
        Record::NodeOrder { node, order, by } => Some(
            draft("command.node")
                .with("node", *node)
                .with("order", word(order))
                .sealing("by", by),
        ),
        Record::DeviceOrdered {
            id,
            device,
            command,
            value,
            by,
        } => Some(
            draft("command.device")
                .with("order", *id)
                .with("device", device)
                .with("command", command)
                .maybe("value", *value)
                .sealing("by", by),
        ),
        Record::DeviceDone {
            id,
            device,
            command,
            done,
        } => Some(
            draft("command.device_done")
                .with("order", *id)
                .with("device", device)
                .with("command", command)
                .with("done", variant(done)),
        ),
        Record::UpdateBegun {
            node,
            version,
            file,
            by,
        } => Some(
            draft("command.update")
                .with("node", *node)
                .with("version", version)
                .with("file", file)
                .sealing("by", by),
        ),
        Record::WitnessDisagrees {
            node,
            size,
            root,
            given_unix_s,
        } => Some(
            draft("tamper.witness")
                .with("node", *node)
                .with("size", *size)
                .with("root", root)
                .with("given_s", *given_unix_s)
                .flagged("tamper"),
        ),
        Record::FramesRefused { node, why, total } => Some(
            draft("node.refused")
                .with("id", *node)
                .with("why", why)
                .with("total", *total),
        ),
        Record::AlarmRaised {
            alarm,
            priority,
            what,
            place,
            action: _,
            because: _,
            latching: _,
            about: _,
        } => Some(
            draft("alarm.raised")
                .with("alarm", alarm)
                .with("priority", word(priority))
                .with("what", &what.ja)
                .with("place", &place.ja),
        ),
        Record::AlarmReturned { alarm, unseen: _ } => Some(draft("alarm.returned").with("alarm", alarm)),
        Record::AlarmAcknowledged { alarm, by } => {
            Some(draft("alarm.acknowledged").with("alarm", alarm).sealing("by", by))
        }
        Record::AlarmTaken { alarm, by } => {
            Some(draft("alarm.taken").with("alarm", alarm).sealing("by", by))
        }
        Record::AlarmReset { alarm, by } => {
            Some(draft("alarm.reset").with("alarm", alarm).sealing("by", by))
        }
        Record::AlarmShelved {
            alarm,
            by,
            minutes,
            reason,
        } => Some(
            draft("alarm.shelved")
                .with("alarm", alarm)
                .with("minutes", *minutes)
                .sealing("by", by)
                .sealing("reason", reason),
        ),
        Record::AlarmUnshelved { alarm, by, again: _ } => {
            Some(draft("alarm.unshelved").with("alarm", alarm).sealing_some("by", by.as_ref()))
        }
        Record::AlarmOutOfService {
            alarm,
            by,
            minutes,
            reason,
        } => Some(
            draft("alarm.out_of_service")
                .with("alarm", alarm)
                .with("minutes", *minutes)
                .sealing("by", by)
                .sealing("reason", reason),
        ),
        Record::AlarmInService { alarm, by, again: _ } => {
            Some(draft("alarm.in_service").with("alarm", alarm).sealing_some("by", by.as_ref()))
        }
        Record::MaintenanceStarted {
            window,
            by,
            minutes,
            reason,
            work_order,
            scope,
            covers: _,
            alarms: _,
        } => Some(
            draft("config.maintenance")
                .with("window", *window)
                .with("minutes", *minutes)
                .with("scope", scope)
                .maybe("work_order", work_order.as_ref())
                .sealing("by", by)
                .sealing("reason", reason),
        ),
        Record::MaintenanceEnded { window, by } => Some(
            draft("config.maintenance_end")
                .with("window", *window)
                .sealing_some("by", by.as_ref()),
        ),
        Record::MaintenanceResult { window, by, result } => Some(
            draft("config.maintenance_result")
                .with("window", *window)
                .sealing("by", by)
                .sealing("result", result),
        ),
        Record::LimitChanged {
            limit,
            by,
            reason,
            before,
            after,
            written: _,
        } => Some(
            draft("config.limit")
                .with("limit", limit)
                .with("before", values(before))
                .with("after", values(after))
                .sealing("by", by)
                .sealing("reason", reason),
        ),
        Record::LimitFollowsSite {
            limit,
            before,
            after,
        } => Some(
            draft("config.limit_follows_site")
                .with("limit", limit)
                .with("before", values(before))
                .maybe("after", after.as_ref().map(values)),
        ),
        Record::Trouble { part, problem } => Some(
            draft(if problem.is_some() { "trouble" } else { "trouble.over" })
                .with("part", word(part))
                .maybe("problem", problem.as_ref()),
        ),
        Record::Scenario { name, by } => {
            Some(draft("rehearsal.scenario").with("name", name).sealing("by", by))
        }
        Record::GapExplained {
            from_ms,
            to_ms,
            source,
            text,
            by,
        } => Some(
            draft("view.gap_explained")
                .with("from", *from_ms)
                .with("to", *to_ms)
                .maybe("source", source.as_ref())
                .sealing("text", text)
                .sealing("by", by),
        ),
        Record::Power { record } => power(record),
        Record::People { record } => Some(people(record)),
        Record::Passage { passage } => Some(pass(passage)),
        Record::Battery { record } => battery(record),
        Record::Incident { record } => Some(incident(record)),
        Record::Notice { record } => notice(record),
        Record::Log { record } => Some(own(record)),
        // How frames are numbered, what was sent, and the log's own checkpoint on its way: machinery.
        Record::DownlinkEpoch { .. }
        | Record::ListSent { .. }
        | Record::KeyInUse { .. }
        | Record::CheckpointGiven { .. }
        // Figures of the past.
        | Record::DailyMeans { .. } => None,
    }
}

/// When a node says it happened.
fn observed(unix_ms: u64, journaled: Wall) -> (Option<i64>, &'static str) {
    match i64::try_from(unix_ms) {
        Ok(0) | Err(_) => (None, "unset"),
        Ok(at) if at > journaled.0.saturating_add(SKEW_MS) => (Some(at), "skewed"),
        Ok(at) => (Some(at), "set"),
    }
}

fn node_event(node: u16, event: &NodeEvent, point: Option<&str>, portals: &Portals) -> Draft {
    let draft = match event {
        NodeEvent::Hello { firmware, cause } => draft("node.started")
            .with("firmware", firmware)
            .with("cause", word(cause)),
        NodeEvent::Contact { channel, open } => {
            draft(if *open { "contact.open" } else { "contact.closed" }).with("channel", *channel)
        }
        NodeEvent::SensorLost { channel, reason } => draft("node.sensor_lost")
            .with("channel", *channel)
            .with("reason", word(reason)),
        NodeEvent::SensorBack { channel } => draft("node.sensor_back").with("channel", *channel),
        NodeEvent::Lost { count } => draft("node.lost").with("count", *count),
        NodeEvent::Refused { total, why } => draft("node.refused_frame")
            .with("total", *total)
            .with("why", word(why)),
        NodeEvent::Raw { body } => draft("node.raw").with("body", body),
        NodeEvent::Credential {
            reader,
            credential,
            card,
            decision,
            list,
        } => {
            let granted = decision.starts_with("granted");
            let mut draft = draft(if granted { "entry.granted" } else { "entry.denied" })
                .with("reader", *reader)
                .with("credential", word(credential))
                .with("decision", decision)
                .with("list", *list)
                .at_portal(portals.by_reader.get(&(node, *reader)))
                .sealing("card", card);
            if !granted {
                draft = draft.flagged("denied");
            }
            draft
        }
        NodeEvent::Door { portal, door } => {
            let (kind, flag) = door_kind(*door);
            let mut draft = draft(kind)
                .with("number", *portal)
                .at_portal(portals.by_portal.get(&(node, *portal)));
            if let DoorEvent::Opened(by) = door {
                draft = draft.with("by", word(by));
            }
            draft.found_by.flag = flag;
            draft
        }
        NodeEvent::Reader { reader, state } => draft(match state {
            ReaderState::Well => "node.reader_well",
            ReaderState::Fault(_) => "node.reader_fault",
        })
        .with("reader", *reader)
        .maybe(
            "problem",
            match state {
                ReaderState::Fault(problem) => Some(word(problem)),
                ReaderState::Well => None,
            },
        )
        .at_portal(portals.by_reader.get(&(node, *reader))),
        NodeEvent::LineFault { channel, fault } => draft("tamper.line")
            .with("channel", *channel)
            .with("fault", word(fault))
            .flagged("tamper"),
        NodeEvent::Chattering { channel, edges } => draft("contact.chattering")
            .with("channel", *channel)
            .with("edges", *edges),
        NodeEvent::Rested { channel, open, edges } => draft("contact.rested")
            .with("channel", *channel)
            .with("now", if *open { "open" } else { "closed" })
            .with("edges", *edges),
        NodeEvent::Crashed { crash } => draft("node.crashed")
            .with("how", word(&crash.kind))
            .with("pc", crash.pc)
            .with("mark", crash.mark),
        NodeEvent::SafeMode { on, crashes } => draft(if *on {
            "node.safe_mode"
        } else {
            "node.safe_mode_over"
        })
        .with("crashes", *crashes),
        NodeEvent::List { list } => match list {
            ListEvent::Committed { version, count } => draft("right.list_in_force")
                .with("version", *version)
                .with("count", *count),
            ListEvent::Dropped { version, why } => draft("right.list_dropped")
                .with("version", *version)
                .with("why", word(why)),
            ListEvent::Stale { version, days } => draft("right.list_stale")
                .with("version", *version)
                .with("days", *days),
        },
        NodeEvent::Key { key } => draft("node.key").with("what", variant(key)),
        NodeEvent::Update { version, outcome } => draft("node.update")
            .with("version", version)
            .with("outcome", variant(outcome)),
        NodeEvent::Shock { channel, peak } => draft("tamper.shock")
            .with("channel", *channel)
            .with("peak", *peak)
            .flagged("tamper"),
    };
    draft.with("id", node).maybe("point", point)
}

const fn door_kind(door: DoorEvent) -> (&'static str, Option<&'static str>) {
    match door {
        DoorEvent::Opened(_) => ("door.opened", None),
        DoorEvent::Forced => ("door.forced", Some("forced")),
        DoorEvent::HeldOpen => ("door.held_open", Some("held")),
        DoorEvent::Closed => ("door.closed", None),
        DoorEvent::Unused => ("door.unused", None),
        DoorEvent::RequestToExit => ("door.request_to_exit", None),
        DoorEvent::KeyOverride(true) => ("door.key_override", Some("key")),
        DoorEvent::KeyOverride(false) => ("door.key_override_over", None),
        DoorEvent::Tamper(true) => ("tamper", Some("tamper")),
        DoorEvent::Tamper(false) => ("tamper.over", None),
        DoorEvent::Unlocked(true) => ("door.unlocked", Some("unlocked")),
        DoorEvent::Unlocked(false) => ("door.locked", None),
        DoorEvent::FoundOpen => ("door.found_open", Some("found_open")),
    }
}

fn own(record: &Own) -> Draft {
    match record {
        Own::Viewed { by, what } => draft("view").with("what", what).sealing("by", by),
        Own::Exported {
            by,
            reason,
            year,
            from,
            to,
            openings,
        } => draft("export")
            .with("year", *year)
            .with("from", *from)
            .with("to", *to)
            .with("openings", if *openings { "yes" } else { "no" })
            .sealing("by", by)
            .sealing("reason", reason),
        Own::KeyChanged { key, by, reason } => draft("key.rotated")
            .with("key", key)
            .sealing("by", by)
            .sealing("reason", reason),
        Own::Held {
            hold,
            year,
            from,
            to,
            reason,
            by,
        } => draft("hold.begun")
            .with("hold", *hold)
            .with("year", *year)
            .with("from", *from)
            .with("to", *to)
            .sealing("reason", reason)
            .sealing("by", by),
        Own::Released { hold, reason, by } => draft("hold.ended")
            .with("hold", *hold)
            .sealing("reason", reason)
            .sealing("by", by),
        // `count` is put in by who erases.
        Own::Erased {
            year,
            from,
            to,
            fields,
            reason,
            by,
        } => draft("retention.erased")
            .with("year", *year)
            .with("from", *from)
            .with("to", to.saturating_sub(1))
            .with("fields", fields)
            .with("reason", reason)
            .sealing("approver", by),
        Own::WitnessSaw {
            witness,
            year: _,
            size,
            root,
            at_ms,
        } => draft("witness.saw")
            .with("witness", witness)
            .with("size", *size)
            .with("root", root)
            .with("at", *at_ms),
    }
}

/// A person is named by an id that says nothing without the vault.
/// Who it is and which card stand sealed: the tree outlives the right to know them.
fn people(record: &People) -> Draft {
    let of = |kind: &str, person: &str, by: &str| {
        let mut draft = draft(kind).sealing("person", person).sealing("by", by);
        draft.found_by.person = Some(person.to_owned());
        draft
    };
    let card = |kind: &str, card: &str| draft(kind).sealing("card", card);
    match record {
        People::PersonAdded {
            person, group, by, ..
        } => of("person.added", person, by).with("group", word(group)),
        People::PersonChanged {
            person, group, by, ..
        } => of("person.changed", person, by).with("group", word(group)),
        People::PersonLeft { person, by, .. } => of("person.left", person, by),
        People::PersonErased { person, by } => of("person.erased", person, by),
        People::Confirmed { persons, by } => draft("person.confirmed")
            .with("count", u64::try_from(persons.len()).unwrap_or(u64::MAX))
            .sealing("persons", &persons.join(" "))
            .sealing("by", by),
        People::RightGranted {
            person, portal, by, ..
        } => of("right.granted", person, by).at_portal(Some(portal)),
        People::RightRevoked { person, portal, by } => {
            of("right.revoked", person, by).at_portal(Some(portal))
        }
        People::DeputyNamed {
            deputy,
            of: whose,
            by,
            ..
        } => of("right.deputy", deputy, by).sealing("of", whose),
        People::DeputyEnded {
            deputy,
            of: whose,
            by,
        } => of("right.deputy_ended", deputy, by).sealing("of", whose),
        People::CardIssued { card: name, by, .. } => card("card.issued", name).sealing("by", by),
        People::CardLent {
            card: name,
            person,
            by,
            ..
        } => of("card.lent", person, by).sealing("card", name),
        People::CardReturned { card: name, by } => card("card.returned", name).sealing("by", by),
        People::CardLost { card: name, by, .. } => card("card.lost", name).sealing("by", by).flagged("lost"),
        People::CardStopped {
            card: name,
            portal,
            version,
            after_ms,
        } => card("card.stopped", name)
            .with("version", *version)
            .with("after_ms", *after_ms)
            .at_portal(Some(portal)),
        People::CardBroken { card: name, by } => card("card.broken", name).sealing("by", by),
    }
}

/// A line of the register of entry; the node's own event is a leaf beside it.
fn pass(passage: &Passage) -> Draft {
    let mut draft = draft("entry.passage")
        .with("decision", &passage.decision)
        .with("direction", word(&passage.direction))
        .with("event", passage.event_seq)
        .with("id", passage.node)
        .with(
            "flags",
            passage.flags.iter().map(word).collect::<Vec<_>>().as_slice(),
        )
        .at_portal(Some(&passage.portal));
    if let Some(person) = &passage.person {
        draft = draft.sealing("person", person);
        draft.found_by.person = Some(person.clone());
    }
    if !passage.flags.is_empty() {
        draft.found_by.flag = Some("noteworthy");
    }
    draft
}

fn battery(record: &Battery) -> Option<Draft> {
    match record {
        Battery::TestStarted {
            ups,
            order,
            test,
            by,
            before: _,
        } => Some(
            draft("rehearsal.battery")
                .with("ups", ups)
                .with("order", *order)
                .with("test", word(test))
                .sealing("by", by),
        ),
        Battery::TestEnded {
            ups,
            order,
            result,
            because: _,
            took_ms,
            least: _,
        } => Some(
            draft("rehearsal.battery_ended")
                .with("ups", ups)
                .with("order", *order)
                .with("result", word(result))
                .with("took_ms", took_ms.0),
        ),
        Battery::Changed { ups, day, by } => Some(
            draft("config.battery_changed")
                .with("ups", ups)
                .with("day", *day)
                .sealing("by", by),
        ),
        // What was put off and how long it lived are the journal's.
        Battery::TestPutOff { .. } | Battery::Discharged { .. } => None,
    }
}

fn incident(record: &Incident) -> Draft {
    let number = record.incident();
    match record {
        Incident::Opened {
            incident: _,
            nature,
            title: _,
            alarm,
            place: _,
            by,
        } => draft("incident.opened")
            .with("nature", word(nature))
            .maybe("alarm", alarm.as_ref())
            .sealing_some("by", by.as_ref()),
        Incident::Joined {
            incident: _,
            alarm,
            place: _,
        } => draft("incident.joined").with("alarm", alarm),
        Incident::Noted {
            incident: _,
            by,
            text,
        } => draft("incident.noted").sealing("by", by).sealing("text", text),
        Incident::Classified {
            incident: _,
            nature,
            by,
        } => draft("incident.classified")
            .with("nature", word(nature))
            .sealing("by", by),
        Incident::Closed {
            incident: _,
            by,
            conclusion,
        } => draft("incident.closed")
            .sealing("by", by)
            .sealing("conclusion", conclusion),
        Incident::Reopened {
            incident: _,
            by,
            reason,
        } => draft("incident.reopened")
            .sealing("by", by)
            .sealing("reason", reason),
        Incident::HandedOver {
            incident: _,
            to,
            by,
            evidence,
        } => draft("export.incident")
            .with("last_seq", evidence.last_seq)
            .with("document", &evidence.document)
            .sealing("to", to)
            .sealing("by", by),
    }
    .with("incident", number)
}

fn notice(record: &Notice) -> Option<Draft> {
    match record {
        Notice::TestCalled { by, contacts } => Some(
            draft("rehearsal.call")
                .with("contacts", u64::try_from(contacts.len()).unwrap_or(0))
                .sealing("by", by),
        ),
        Notice::LampTested { by } => Some(draft("rehearsal.lamp").sealing("by", by)),
        Notice::Failed {
            key,
            contact: _,
            alarm,
            occurrence: _,
            moment: _,
            nth: _,
            problem: _,
            over: _,
        } => Some(
            draft("notice.failed")
                .with("key", key)
                .maybe("alarm", alarm.as_ref()),
        ),
        // Who was told when is the journal's; the log has the alarm and what people did about it.
        Notice::Sent { .. } | Notice::SummarySent { .. } | Notice::TestReached { .. } => None,
    }
}

fn power(record: &Power) -> Option<Draft> {
    let run_of = |kind: &str, run: &u64| draft(kind).with("run", *run);
    let step = |kind: &str, order: &Order| {
        draft(kind)
            .with("run", order.run)
            .with("host", &order.step)
            .with("verb", word(&order.verb))
    };
    Some(match record {
        Power::MainsLost { ups, .. } => draft("power.mains_lost").with("ups", ups),
        Power::MainsBack { ups, source, .. } => {
            draft("power.mains_back").with("ups", ups).with("source", source)
        }
        Power::ContactLost { ups, .. } => draft("power.contact_lost").with("ups", ups),
        Power::ContactFound { ups } => draft("power.contact_found").with("ups", ups),
        Power::OutageOver => draft("power.over"),
        Power::RunStarted {
            run,
            plan_hash,
            scope,
            demand,
            ..
        } => demanded(
            run_of("power.run_started", run)
                .with("plan", plan_hash)
                .with("hosts", scope),
            demand,
        ),
        Power::RunExtended {
            run, scope, demand, ..
        } => demanded(run_of("power.run_extended", run).with("hosts", scope), demand),
        Power::StopWithheld { hosts, .. } => draft("power.stop_withheld").with("hosts", hosts),
        Power::RuleOver { rule } => draft("power.rule_over").with("rule", rule),
        Power::StepStarted { order } => step("power.step_started", order),
        Power::StepRequested { order } => step("power.step_requested", order),
        Power::StepConfirmed { order, took_ms, .. } => {
            step("power.step_confirmed", order).with("took_ms", took_ms.0)
        }
        Power::StepFailed { order, problem, .. } => step("power.step_failed", order).with("problem", problem),
        Power::StepAbandoned { order, .. } => step("power.step_abandoned", order),
        Power::StepCancelled { run, step, .. } => run_of("power.step_cancelled", run).with("host", step),
        Power::RunAbandoned { run, by, .. } => run_of("power.run_abandoned", run).by(by.as_ref()),
        Power::RunPaused {
            run,
            length,
            reason,
            by,
        } => run_of("command.run_paused", run)
            .with("for_ms", length.0)
            .sealing("reason", reason)
            .by(Some(by)),
        Power::RunResumed { run, by, .. } => run_of("command.run_resumed", run).by(by.as_ref()),
        Power::StepSkipped { run, step, by, .. } => run_of("command.step_skipped", run)
            .with("host", step)
            .by(Some(by)),
        Power::OperatorAsked { id, by, wish } => draft("command.asked")
            .with("order", *id)
            .with("wish", variant(wish))
            .by(Some(by)),
        Power::OperatorConfirmed { id, by } => draft("command.confirmed").with("order", *id).by(Some(by)),
        Power::OrdersHeld { run } => run_of("power.orders_held", run),
        Power::OrdersFreed { run } => run_of("power.orders_freed", run),
        Power::RunEnded {
            run,
            stopped,
            not_stopped,
        } => run_of("power.run_ended", run)
            .with("stopped", stopped)
            .with("not_stopped", not_stopped),
        Power::FinishStarted {
            run,
            plan_hash,
            because: _,
            ups,
            controller_ms: _,
        } => {
            let cut: Vec<String> = ups.iter().map(|cut| cut.ups.clone()).collect();
            run_of("power.finish_started", run)
                .with("plan", plan_hash)
                .with("ups", &cut)
        }
        Power::FinishOrdered { order } => step("power.finish_ordered", order),
        Power::FinishTold { order } => step("power.finish_told", order),
        Power::FinishFailed {
            order,
            problem,
            retryable: _,
        } => step("power.finish_failed", order).with("problem", problem),
        Power::FinishEnded {
            run,
            told,
            not_told,
            because: _,
        } => run_of("power.finish_ended", run)
            .with("told", told)
            .with("not_told", not_told),
        Power::HostsStarted { hosts, by } => draft("command.hosts_started")
            .with("hosts", hosts)
            .sealing("by", by),
        Power::DrillStarted {
            run,
            plan_hash,
            by,
            host,
            scope,
            ..
        } => run_of("rehearsal.drill", run)
            .with("plan", plan_hash)
            .with("host", host)
            .with("hosts", scope)
            .sealing("by", by),
        Power::ReturnStarted {
            run,
            plan_hash,
            hosts,
            ..
        } => run_of("power.return_started", run)
            .with("plan", plan_hash)
            .with("hosts", hosts),
        Power::HostStartStarted { order, .. } => step("power.start_started", order),
        Power::HostStartRequested { order } => step("power.start_requested", order),
        Power::HostStartConfirmed { order, took_ms, .. } => {
            step("power.start_confirmed", order).with("took_ms", took_ms.0)
        }
        Power::HostStartFailed { order, problem, .. } => {
            step("power.start_failed", order).with("problem", problem)
        }
        Power::HostStartAbandoned { order, .. } => step("power.start_abandoned", order),
        Power::ReturnEnded {
            run,
            started,
            not_started,
            ..
        } => run_of("power.return_ended", run)
            .with("started", started)
            .with("not_started", not_started),
        Power::ReturnHeld { by, reason } => draft("command.return_held")
            .sealing("by", by)
            .sealing("reason", reason),
        Power::ReturnReleased { by } => draft("command.return_released").sealing("by", by),
        Power::RehearsalStarted {
            run, plan_hash, by, ..
        } => run_of("rehearsal.started", run)
            .with("plan", plan_hash)
            .sealing("by", by),
        Power::RehearsalEnded {
            run, passed, failed, ..
        } => run_of("rehearsal.ended", run)
            .with("passed", passed)
            .with("failed", failed),
        Power::ScheduleAnnounced {
            schedule, day, hosts, ..
        } => draft("power.schedule_announced")
            .with("schedule", schedule)
            .with("day", *day)
            .with("hosts", hosts),
        Power::ScheduleNotKept { schedule, day, .. } => draft("power.schedule_not_kept")
            .with("schedule", schedule)
            .with("day", *day),
        Power::ScheduleCancelled {
            schedule,
            day,
            reason,
            by,
        } => draft("command.schedule_cancelled")
            .with("schedule", schedule)
            .with("day", *day)
            .sealing("reason", reason)
            .by(Some(by)),
        Power::ScheduleOver { schedule, day, hosts } => draft("power.schedule_over")
            .with("schedule", schedule)
            .with("day", *day)
            .with("hosts", hosts),
        // Parts of a rehearsal that its end sums up, levels, and the model's bookkeeping.
        Power::CheckStarted { .. }
        | Power::CheckPassed { .. }
        | Power::CheckFailed { .. }
        | Power::CredentialsDue { .. }
        | Power::CredentialChecked { .. }
        | Power::PowerRestarted { .. }
        | Power::BatteryLevel { .. } => return None,
    })
}

fn demanded(draft: Draft, demand: &Demand) -> Draft {
    match demand {
        Demand::Power => draft.with("demand", "power"),
        Demand::Schedule { schedule, day } => draft
            .with("demand", "schedule")
            .with("schedule", schedule)
            .with("day", *day),
        Demand::Rule { rule } => draft.with("demand", "rule").with("rule", rule),
        Demand::Operator { by, second } => {
            let draft = draft.with("demand", "operator").by(Some(by));
            match second {
                Some(second) => draft.sealing("second", &second.to_string()),
                None => draft,
            }
        }
    }
}

/// Values of a limit, as texts: there are no fractions in a leaf.
fn values(values: &crate::limits::Values) -> Value {
    let mut object = Object::new();
    object.insert("limit", values.limit.to_string().into());
    object.insert("deadband", values.deadband.to_string().into());
    object.insert("on_delay_ms", values.on_delay.0.into());
    object.insert("off_delay_ms", values.off_delay.0.into());
    object.insert("priority", word(&values.priority).into());
    Value::Object(object)
}

/// The word of a value without particulars, as the journal has it.
fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => snake(&word),
        Ok(other) => variant_of(&other),
        Err(_) => "unknown".to_owned(),
    }
}

/// The name of a variant that has particulars.
fn variant<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).map_or_else(|_| "unknown".to_owned(), |value| variant_of(&value))
}

fn variant_of(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(word) => snake(word),
        serde_json::Value::Object(members) => {
            let tag = ["kind", "done", "state"]
                .iter()
                .find_map(|tag| members.get(*tag).and_then(serde_json::Value::as_str));
            let name = tag.or_else(|| members.keys().next().map(String::as_str));
            snake(name.unwrap_or("unknown"))
        }
        other => other.to_string(),
    }
}

/// `PowerOn` and `power_on` are one word.
fn snake(word: &str) -> String {
    let mut out = String::with_capacity(word.len() + 4);
    for letter in word.chars() {
        if letter.is_ascii_uppercase() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            out.push(letter.to_ascii_lowercase());
        } else {
            out.push(letter);
        }
    }
    out
}

fn draft(kind: &str) -> Draft {
    Draft {
        kind: kind.to_owned(),
        ..Draft::default()
    }
}

impl Draft {
    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.data.insert(name, value.into());
        self
    }

    fn maybe(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn sealing(mut self, field: &'static str, value: &str) -> Self {
        let mut end = value.len().min(super::seal::MAX_VALUE);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        self.sealed.push((field, value[..end].to_owned()));
        self
    }

    fn sealing_some(self, field: &'static str, value: Option<&String>) -> Self {
        match value {
            Some(value) => self.sealing(field, value),
            None => self,
        }
    }

    fn by(self, who: Option<&Who>) -> Self {
        match who {
            Some(who) => self.sealing("by", &who.to_string()),
            None => self,
        }
    }

    fn at_portal(mut self, name: Option<&String>) -> Self {
        self.found_by.portal = name.cloned();
        match name {
            Some(name) => self.with("portal", name),
            None => self,
        }
    }

    fn flagged(mut self, flag: &'static str) -> Self {
        self.found_by.flag = Some(flag);
        self
    }
}

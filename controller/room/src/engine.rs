//! The engine: one owner of the room's state, one entrance, no I/O.
//!
//! ```text
//! Event -> decide -> Records -> apply -> Effects
//! ```
//! Deciding never changes durable state; only [`Engine::apply`] does, with the same records
//! that a restart replays. What is heard (values, ages, contact) is volatile: after a restart it
//! is unknown until it is heard again, and unknown is never normal.
// Long because every stage is called from one place, in the order in which they may see each other.
mod alarms;
mod batteries;
mod coverage;
mod derive;
mod devices;
mod events;
mod exercises;
mod forecast;
mod incidents;
mod limits;
mod lists;
mod log;
mod nodes;
mod notices;
mod nut_clients;
mod operate;
mod orders;
mod people;
mod points;
mod policy;
mod portals;
mod redundancy;
mod served;
mod updates;
mod view;
mod witness;
mod words;

pub use devices::{MAX_FACTS, MISSED_POLLS, SHOWN_MAX, SHOWN_OF_ALL_MAX};
pub use forecast::MAX_FORECASTS;
pub use limits::Proposal;
pub use lists::{CONFIRM_AGAIN, CONFIRM_EVERY, MAX_LISTS_AT_ONCE};
pub use nodes::{OCCURRENCE_HOLDS, REFUSAL_RECORD_EVERY};
pub use notices::{TEST_DUE, notifier_id};
pub use operate::OPERATION_MAX;
pub use orders::TELL_KEY_EVERY;
pub use points::no_data_words;
pub use portals::{JUDGED_WITHIN, SAID_BY};
pub use updates::{MAX_ATTEMPTS, MAX_UPDATES_AT_ONCE};
pub use witness::{GIVE_EVERY, MAX_GIVEN};

use crate::alarm::{self, Book, Condition, Definition};
use crate::catalog::{self, NodeTrouble, PortalTrouble};
use crate::event::{Command, Effect, Event, Part, Refused, Turn};
use crate::incident;
use crate::keys::KeyRing;
use crate::node::{KeyRings, Keys, Node};
use crate::outage::{self, Do, Outage};
use crate::point::{self, Point};
use crate::record::{Entry, LastSign, NodeOrder, Record, Sign};
use crate::site::{ContactKind, DeviceKind, Label, Limit, Site, World};
use crate::time::{Millis, Mono, Now};
use nodes::{Downlink, hex};
use shared::Quantity;
use shared::wire::{Health, LineFault};
use std::collections::BTreeMap;

/// The engine of one site.
#[derive(Debug)]
pub struct Engine<W: World> {
    site: Site<W>,
    keys: KeyRings,
    without_key: BTreeMap<u16, Label>,
    book: Book,
    desk: crate::notice::Desk,
    points: BTreeMap<String, Point>,
    channels: BTreeMap<(u16, u8), String>,
    mounted: BTreeMap<String, (u16, u8)>,
    line_faults: BTreeMap<String, LineFault>,
    health: BTreeMap<u16, (Mono, Health)>,
    portals: Vec<portals::Portal>,
    lists: BTreeMap<u16, lists::Wanted>,
    entry: people::Entry,
    holds: log::Holds,
    witness: witness::Witness,
    updates: BTreeMap<u16, updates::Update>,
    limits: BTreeMap<String, Vec<Limit>>,
    derivations: derive::Derivations,
    limit_changes: limits::Changes,
    forecasts: forecast::Forecasts,
    nodes: BTreeMap<u16, Node>,
    devices: BTreeMap<String, devices::Device>,
    operations: operate::Operations,
    batteries: batteries::Batteries,
    nut_logins: Option<BTreeMap<String, u32>>,
    outage: Outage,
    pieces: exercises::Pieces,
    /// The signs of the site's rules as the outage engine was told them.
    sights: Vec<Vec<outage::Sight>>,
    /// Why local time is not to be trusted, as the outage engine was told.
    doubt: Option<Label>,
    redundancies: redundancy::Redundancies,
    troubles: BTreeMap<Part, String>,
    occurrences: BTreeMap<String, (Mono, Label)>,
    counters: BTreeMap<String, u64>,
    role_counters: BTreeMap<&'static str, Vec<(String, u64)>>,
    downlink: Downlink,
    boot_id: String,
    started: Option<Mono>,
    version: u64,
    incidents: incident::Incidents,
    /// Number that the first record of the next turn will have in the journal.
    next_seq: u64,
    /// Number of the record that is being applied.
    seq: u64,
    /// Time of the last record that was applied.
    last_record: Option<Now>,
    /// What the life before this one left behind.
    alive_mark: Option<Sign>,
}

impl<W: World> Engine<W> {
    /// An engine that has heard nothing yet.
    ///
    /// # Errors
    /// The problems of the site's plan.
    pub fn new(site: Site<W>, keys: Keys) -> Result<Self, Vec<crate::plan::PlanProblem>> {
        let outage = Outage::new(&site)?;
        let mut engine = Self {
            keys: keys
                .into_iter()
                .map(|(id, key)| (id, KeyRing::new(key)))
                .collect(),
            without_key: BTreeMap::new(),
            book: Book::default(),
            desk: notices::desk(&site),
            points: BTreeMap::new(),
            channels: BTreeMap::new(),
            mounted: BTreeMap::new(),
            line_faults: BTreeMap::new(),
            health: BTreeMap::new(),
            portals: vec![portals::Portal::default(); site.access.portals.len()],
            lists: BTreeMap::new(),
            entry: people::Entry::default(),
            holds: log::Holds::default(),
            witness: witness::Witness::default(),
            updates: BTreeMap::new(),
            limits: BTreeMap::new(),
            derivations: derive::Derivations::new(&site.derived),
            limit_changes: limits::Changes::default(),
            forecasts: forecast::Forecasts::of(&site),
            nodes: site.nodes.iter().map(|node| (node.id, Node::default())).collect(),
            devices: site
                .devices
                .iter()
                .enumerate()
                .map(|(at, device)| (device.name.clone(), devices::Device::of(at)))
                .collect(),
            operations: operate::Operations::default(),
            batteries: batteries::Batteries::of(&site),
            nut_logins: None,
            outage,
            pieces: exercises::Pieces::default(),
            sights: Vec::new(),
            doubt: None,
            redundancies: redundancy::Redundancies::of(&site),
            troubles: BTreeMap::new(),
            occurrences: BTreeMap::new(),
            counters: BTreeMap::new(),
            role_counters: BTreeMap::new(),
            downlink: Downlink::default(),
            boot_id: String::new(),
            started: None,
            version: 0,
            incidents: incident::Incidents::default(),
            next_seq: 1,
            seq: 0,
            last_record: None,
            alive_mark: None,
            site,
        };
        engine.furnish();
        Ok(engine)
    }

    /// Points and alarms of the site.
    fn furnish(&mut self) {
        let procedures = self.site.procedures.iter();
        let procedures = procedures.map(|procedure| (procedure.kind, procedure.link.clone()));
        self.book.set_procedures(procedures.collect());
        self.furnish_causes();
        for limit in &self.site.limits {
            self.limits
                .entry(limit.point.clone())
                .or_default()
                .push(limit.clone());
        }
        for node in self.site.nodes.clone() {
            for trouble in NodeTrouble::ALL {
                let mut alarm = catalog::node(&node, trouble);
                if matches!(trouble, NodeTrouble::Silent | NodeTrouble::Lost) {
                    alarm.folded_under = Self::explains_node(&node);
                }
                self.book.define(alarm);
            }
            for alarm in catalog::node_clock(&node) {
                self.book.define(alarm);
            }
            self.book.define(catalog::witness(&node.name, node.label.clone()));
            let silent = catalog::node_id(&node.name, NodeTrouble::Silent);
            for channel in &node.channels {
                self.channels
                    .insert((node.id, channel.channel), channel.point.clone());
                if let Some(alarm) = channel.contact.and_then(|kind| catalog::contact(channel, kind)) {
                    self.book.define(alarm);
                }
                if channel.contact.is_some() {
                    self.book.define(catalog::chattering(channel));
                }
                if channel.contact == Some(ContactKind::Leak) {
                    self.book.define(catalog::rope(channel));
                }
                if channel.quantity == Quantity::Acceleration {
                    self.book.define(catalog::shock(channel));
                }
                self.mounted
                    .insert(channel.point.clone(), (node.id, channel.channel));
                self.book.define(catalog::no_data(
                    &channel.point,
                    channel.label.clone(),
                    vec![silent.clone()],
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
        for portal in &self.site.access.portals {
            for trouble in PortalTrouble::ALL {
                if portal.door.is_none() || trouble != PortalTrouble::Forced {
                    self.book.define(catalog::portal(portal, trouble));
                }
            }
        }
        // The contact of a UPS is judged by the outage engine.
        for (at, device) in self.site.devices.iter().enumerate() {
            if device.kind != DeviceKind::Ups {
                let patience = self.patience(at);
                let alarm = catalog::device(&device.name, device.label.clone(), patience);
                self.book.define(Definition {
                    folded_under: self.explains_device(&device.name),
                    ..alarm
                });
            }
        }
        self.furnish_facts();
        self.furnish_redundancy();
        self.furnish_nut_clients();
        self.furnish_notices();
        self.furnish_derived();
        self.furnish_forecasts();
        self.furnish_batteries();
        self.furnish_people();
        for part in catalog::PARTS {
            self.book.define(catalog::part(part));
        }
        self.book.define(catalog::unknown_node());
    }

    fn add_point(&mut self, definition: point::Definition) {
        for limit in self.limits.get(&definition.id).cloned().unwrap_or_default() {
            self.book.define(self.limit_alarm(&limit, &definition));
        }
        self.furnish_runaway(&definition);
        self.points.insert(definition.id.clone(), Point::new(definition));
    }

    /// Replays a record of the journal.
    pub fn apply(&mut self, now: Now, record: &Record) {
        self.book.apply(now, record);
        self.apply_notice(now, record);
        self.apply_list(record);
        self.apply_limit(now, record);
        self.apply_forecast(now, record);
        self.apply_key(record);
        self.apply_incident(now, record);
        self.apply_operation(now, record);
        self.apply_battery(now, record);
        self.apply_people(now, record);
        self.last_record = Some(now);
        if !matches!(record, Record::Started { .. }) {
            self.openings_until(now);
        }
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
                self.resume_openings(now);
            }
            Record::NodeEvent {
                node,
                boot,
                event_seq,
                up_ms,
                point,
                event,
                mark,
                ..
            } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.commit(*boot, *event_seq, *mark);
                    node.learn(event);
                }
                self.learn_portal(now, (*node, *boot, *up_ms), point.as_deref(), event);
            }
            Record::StrayEvent {
                node,
                boot,
                event_seq,
                up_ms,
                point,
                event,
                mark,
                ..
            } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.stray(*boot, *event_seq, *mark);
                }
                self.learn_portal(now, (*node, *boot, *up_ms), point.as_deref(), event);
            }
            Record::EventsMissing { node, from, to } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.missing += u64::from(to.saturating_sub(*from)) + 1;
                }
            }
            Record::CheckpointGiven { size, root, log } => self.apply_checkpoint(*log, *size, root),
            Record::Log { record } => self.apply_log(record),
            Record::Power { record } => {
                let before = self.outage.stopped_hosts();
                self.outage.apply(now, record);
                self.pieces.read(self.seq, now, record);
                self.explain_hosts(&before);
            }
            _ => {}
        }
    }

    /// The mark that the life before this one left behind; said before [`Self::start`].
    pub fn left_alive_mark(&mut self, mark: Option<Sign>) {
        self.alive_mark = mark;
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
            self.next_record(entry.seq);
            self.apply(entry.now, &entry.record);
            self.next_record(entry.seq + 1);
        }
        let same_boot = self.boot_id == boot_id && !boot_id.is_empty();
        self.started = Some(now.mono);
        let last = self.last_record.map(|now| Sign {
            boot_id: self.boot_id.clone(),
            now,
        });
        let before = LastSign::of(now, boot_id, last, self.alive_mark.take());
        let mut turn = Turn::default();
        let epoch = self.downlink.epoch.wrapping_add(1);
        self.commit(
            now,
            &mut turn,
            Record::Started {
                version: version.to_owned(),
                boot_id: boot_id.to_owned(),
                epoch,
                before,
            },
        );
        self.power(now, outage::Input::Restarted { same_boot }, &mut turn);
        self.resume_occurrences(now);
        // What fell due while nobody ran: shelves, windows, and what no longer explains others.
        for record in self.book.tick(now) {
            self.commit(now, &mut turn, record);
        }
        self.limits_follow_site(now, &mut turn);
        self.resume_operations(now);
        self.resume_batteries(now, &mut turn);
        self.forecast_days(now, &mut turn);
        self.resume_people(now, &mut turn);
        self.make_lists(now, &mut turn);
        self.evaluate(now, &mut turn);
        self.judge_incidents(now, true, &mut turn);
        self.desk.start(now);
        self.tell_people(now, &mut turn);
        self.end_turn(&turn);
        turn
    }

    /// What has no end of its own and stood when we stopped ends as if it had happened now.
    fn resume_occurrences(&mut self, now: Now) {
        let until = now.mono.after(OCCURRENCE_HOLDS);
        let of_nodes = self.site.nodes.iter().flat_map(|node| {
            NodeTrouble::ALL
                .into_iter()
                .filter(|trouble| trouble.is_occurrence())
                .map(|trouble| catalog::node_id(&node.name, trouble))
        });
        let witnesses = self.site.nodes.iter().map(|node| catalog::witness_id(&node.name));
        for id in of_nodes
            .chain(witnesses)
            .chain([catalog::UNKNOWN_NODE.to_owned()])
        {
            if self.book.is_active(&id) {
                self.occurrences.insert(id, (until, Label::default()));
            }
        }
    }

    /// The one entrance.
    pub fn handle(&mut self, now: Now, event: Event) -> Turn {
        let mut turn = Turn::default();
        let mut all_alarms = false;
        self.version += 1;
        self.turn_day(now, &mut turn);
        // What is due was due before this.
        self.evaluate_portals(now, &mut turn);
        self.evaluate_people(now, &mut turn);
        match event {
            Event::Message(message) => self.message(now, &message, &mut turn),
            Event::Poll(poll) => self.poll(now, &poll, &mut turn),
            Event::Command { by, command } => {
                if let Err(refused) = self.command(now, &by, command, &mut turn) {
                    turn.refused = Some(refused);
                }
            }
            Event::Operator { person, ask } => self.operator(now, person, ask, &mut turn),
            Event::People { person, ask } => self.people_ask(now, &person, &ask, &mut turn),
            Event::Outcome { order, outcome } => {
                self.power(now, outage::Input::Outcome { order, outcome }, &mut turn);
            }
            Event::ActReady { plan_hash } => {
                self.power(now, outage::Input::ActReady { plan_hash }, &mut turn);
            }
            Event::NutLogins(logins) => self.nut_logins(now, logins, &mut turn),
            Event::NutWish(asked) => turn.refused = self.nut_wish(now, &asked, &mut turn).err(),
            Event::Operated { id, done } => self.operated(now, id, done, &mut turn),
            Event::ActGone => {
                self.power(now, outage::Input::ActGone, &mut turn);
            }
            Event::Trouble { part, problem } => self.trouble(now, part, problem, &mut turn),
            Event::Delivered(delivered) => self.delivered(now, &delivered, &mut turn),
            Event::Checkpoint { log, size, root } => self.give_checkpoint(now, log, size, &root, &mut turn),
            Event::Counters { role, counters } => {
                self.role_counters.insert(role, counters);
            }
            Event::Tick => {
                // Time alone ends the holding back of an alarm, without a record of it.
                all_alarms = true;
                for record in self.book.tick(now) {
                    self.commit(now, &mut turn, record);
                }
                self.evaluate(now, &mut turn);
                self.evaluate_operations(now, &mut turn);
                self.evaluate_batteries(now, &mut turn);
                self.run_lists(now, &mut turn);
                self.run_updates(now, &mut turn);
                self.power(now, outage::Input::Tick, &mut turn);
            }
        }
        self.show_signs(now, &mut turn);
        self.show_clock(now, &mut turn);
        self.judge_incidents(now, all_alarms, &mut turn);
        self.tell_people(now, &mut turn);
        self.end_turn(&turn);
        turn
    }

    /// Decided: apply it here and now, and let it be journaled.
    fn commit(&mut self, now: Now, turn: &mut Turn, record: Record) {
        self.seq = self.next_seq + turn.records.len() as u64;
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
        if part == Part::Nut {
            self.forget_nut_logins(now, turn);
        }
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

    // ---- power -------------------------------------------------------------------------

    /// Hands it to the outage engine; what was done of a person's request, and why not.
    fn power(
        &mut self,
        now: Now,
        input: outage::Input<'_>,
        turn: &mut Turn,
    ) -> (Option<Label>, Option<Label>) {
        let before = self.outage.stopped_hosts();
        let power = self.outage.handle(now, input);
        // The outage engine has applied its own records.
        let first = self.next_seq + turn.records.len() as u64;
        for (seq, record) in (first..).zip(&power.records) {
            self.pieces.read(seq, now, record);
        }
        self.explain_hosts(&before);
        let found = power.records.clone();
        turn.records
            .extend(power.records.into_iter().map(|record| Record::Power { record }));
        self.discharged(now, &found, turn);
        turn.effects
            .extend(power.effects.into_iter().map(|effect| match effect {
                Do::Execute(order) => Effect::Execute(order),
                Do::Check(order) => Effect::Check(order),
                Do::Cancel(order) => Effect::Cancel(order),
                Do::FastPolling(fast) => Effect::FastPolling(fast),
                Do::Poll(ups) => Effect::Poll(ups),
            }));
        if let Some(refused) = &power.refused {
            turn.refused = Some(Refused::Conflict(refused.clone()));
        }
        self.evaluate_power(now, turn);
        (power.said, power.refused)
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
                let alarm = catalog::power(&id, condition.kind, condition.what, place);
                self.book.define(Definition {
                    folded_under: Self::explains_power(&id, condition.kind),
                    ..alarm
                });
            }
            let active = self.flag_counts(now.wall, &id, condition.active, condition.known);
            let holds = if active {
                Condition::Holds(condition.because)
            } else if !condition.known {
                Condition::Unknown
            } else {
                Condition::Gone
            };
            self.report(now, turn, &id, holds);
        }
    }

    /// What would be if these were lost now; see [`Outage::what_if`].
    ///
    /// # Errors
    /// A name that cannot be lost.
    pub fn what_if(&self, now: Now, lost: &[String]) -> Result<outage::WhatIf, Refused> {
        let answer = self.outage.what_if(lost, now.mono);
        answer.map_err(|problem| {
            Refused::invalid(
                format!("失うものを確かめてください: {problem}"),
                problem.to_string(),
            )
        })
    }

    // ---- commands ----------------------------------------------------------------------

    fn command(&mut self, now: Now, by: &str, command: Command, turn: &mut Turn) -> Result<(), Refused> {
        let record = match command {
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
            Command::ChangeLimit {
                limit,
                change,
                reason,
            } => return self.change_limit(now, by, &limit, &change, &reason, turn),
            command @ (Command::Acknowledge { .. }
            | Command::Take { .. }
            | Command::Reset { .. }
            | Command::Shelve { .. }
            | Command::Unshelve { .. }
            | Command::OutOfService { .. }
            | Command::InService { .. }
            | Command::StartMaintenance { .. }
            | Command::EndMaintenance { .. }) => return self.alarm_command(now, by, command, turn),
            Command::Rehearse => {
                let by = alarm::operator_text("by", by)?;
                self.power(now, outage::Input::Rehearse { by }, turn);
                return turn.refused.take().map_or(Ok(()), Err);
            }
            Command::Device {
                device,
                command,
                value,
            } => return self.operate(now, by, &device, &command, value, turn),
            Command::RotateKey { node, salt } => return self.rotate_key(now, by, &node, &salt, turn),
            Command::EraseNode { node } => return self.order_node(now, by, &node, NodeOrder::Erase, turn),
            Command::Incident { order } => self.incident_order(by, order)?,
            Command::ExplainGap {
                from_ms,
                to_ms,
                source,
                text,
            } => self.explain_gap(by, (from_ms, to_ms), source, &text)?,
            Command::RestartNode { node } => {
                return self.order_node(now, by, &node, NodeOrder::Restart, turn);
            }
            Command::UpdateNode { node, file, image } => {
                return self.update_node(now, by, &node, &file, &image, turn);
            }
            Command::TestCall { contact } => {
                return self.test_call(now, by, contact.as_deref(), turn);
            }
            Command::LampTest => return self.lamp_test(now, by, turn),
            Command::Scenario { name } => {
                if !W::SIMULATED {
                    return Err(Refused::not_found(
                        "実際の機械室では、シナリオは動かせません",
                        "this room is real; it has no scenarios",
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
        for id in self.site.nodes.iter().map(|node| node.id).collect::<Vec<_>>() {
            self.evaluate_chattering(now, id, turn);
            self.evaluate_list(now, id, turn);
            self.evaluate_key(now, id, turn);
        }
        self.evaluate_portals(now, turn);
        self.evaluate_groups(now, turn);
        self.evaluate_derived(now, turn);
        self.evaluate_runaways(now, turn);
        for id in self.points.keys().cloned().collect::<Vec<_>>() {
            self.log_gap(now, &id, turn);
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

    /// Is this order still meant? Only those that end a plan can be overtaken on their way.
    #[must_use]
    pub fn still_wants(&self, order: &outage::Order, now: Now) -> bool {
        self.outage.still_wants(order, now.mono)
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
            let steps = [node.silent_after, catalog::lost_after(node)];
            let ends = steps.map(|step| since.after(step).after(Millis(1)));
            ends.into_iter().find(|at| *at > now.mono)
        });
        let occurrences = self.occurrences.values().map(|(until, _)| *until);
        points
            .chain(never)
            .chain(silent)
            .chain(self.group_deadline(now))
            .chain(occurrences)
            .chain(self.portal_deadline())
            .chain(self.people_deadline(now))
            .chain(self.list_deadline(now))
            .chain(self.update_deadline(now))
            .chain(self.operation_deadline())
            .chain(self.battery_deadline())
            .chain(self.notice_deadline(now))
            .chain(self.book.next_deadline())
            .chain(self.outage.next_deadline())
            .min()
    }

    /// Hash of the plan, for the act role.
    #[must_use]
    pub fn plan_hash(&self) -> &str {
        self.outage.plan().hash()
    }
}

//! The story of an incident: what of the journal a person wants to read, in the order in which it was
//! written, in both languages.
//!
//! It is a function of the records alone. Cards are never named: the first card of a story is "card A",
//! the second "card B", so that two presentations of one card can be told and nobody's number is.
// Long because every kind of record says here how it is told.

mod people;

use super::Record as IncidentRecord;
use crate::outage::{Record as Power, Verb, finish};
use crate::record::{Entry, LastSign, NodeEvent, NodeOrder, Record};
use crate::site::{ContactKind, Label, Priority, Site, World};
use serde::{Deserialize, Serialize};
use shared::wire::{DoorEvent, OpenedBy};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Lines of a story; beyond it the middle is counted and left out: how it began and how it ended is
/// what is asked for first, and the journal has the rest.
pub const MAX_LINES: usize = 2_000;
/// Of them, so many from its beginning.
pub const FROM_BEGINNING: usize = 1_200;
const _: () = assert!(FROM_BEGINNING < MAX_LINES);

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Alarms, and what people did with them.
    Alarm,
    /// Cards and doors.
    Entry,
    /// Mains, UPS, plan and steps.
    Power,
    /// What people ordered.
    Action,
    /// The incident itself: opened, notes, closed, handed over.
    Incident,
    /// Sensor nodes.
    Node,
    /// The watchtower itself.
    Controller,
    /// Messages to people and machines.
    Notice,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// Record of the journal.
    pub seq: u64,
    /// When it was written, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// What it is about.
    pub topic: Topic,
    /// What happened.
    pub text: Label,
    /// Who did it.
    pub by: Option<String>,
    /// The alarm it is about.
    pub alarm: Option<String>,
}

/// A story.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// In the order of the journal.
    pub lines: Vec<Line>,
    /// Lines left out of the middle.
    pub omitted: u64,
    /// The line behind which they are missing.
    pub omitted_after_seq: Option<u64>,
}

/// What things are called at this site.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Points, by id.
    pub points: BTreeMap<String, Label>,
    /// Nodes, by id.
    pub nodes: BTreeMap<u16, Label>,
    /// Devices and hosts, by name.
    pub devices: BTreeMap<String, Label>,
    /// Doors with a reader, by node and its number of portal,
    pub portals: BTreeMap<(u16, u8), Label>,
    /// and by node and its number of reader.
    pub readers: BTreeMap<(u16, u8), Label>,
    /// Points whose contact tells of a thing, not of people: water, smoke, a breaker.
    pub things: BTreeSet<String>,
}

impl Names {
    /// The names of a site.
    #[must_use]
    pub fn of<W: World>(site: &Site<W>) -> Self {
        let mut names = Self::default();
        for node in &site.nodes {
            names.nodes.insert(node.id, node.label.clone());
            for channel in &node.channels {
                names.points.insert(channel.point.clone(), channel.label.clone());
                if channel.contact.is_some_and(tells_of_a_thing) {
                    names.things.insert(channel.point.clone());
                }
            }
        }
        for device in &site.devices {
            names.devices.insert(device.name.clone(), device.label.clone());
        }
        for host in &site.hosts {
            names.devices.insert(host.name.clone(), host.label.clone());
        }
        for portal in &site.access.portals {
            names
                .portals
                .insert((portal.node, portal.portal), portal.label.clone());
            names
                .readers
                .insert((portal.node, portal.reader), portal.label.clone());
        }
        names
    }

    fn node(&self, id: u16) -> Label {
        self.nodes
            .get(&id)
            .cloned()
            .unwrap_or_else(|| Label::new(format!("端末 {id}"), format!("node {id}")))
    }

    fn device(&self, name: &str) -> Label {
        let own = Label::new(name, name);
        self.devices.get(name).cloned().unwrap_or(own)
    }

    fn point(&self, point: Option<&str>, node: u16) -> Label {
        point
            .and_then(|point| self.points.get(point))
            .cloned()
            .unwrap_or_else(|| self.node(node))
    }
}

const fn tells_of_a_thing(contact: ContactKind) -> bool {
    use ContactKind as C;
    match contact {
        C::Door | C::Tamper | C::Window | C::Rack | C::LockBolt | C::RequestToExit | C::KeyOverride => false,
        C::Leak
        | C::Smoke
        | C::FirePanel
        | C::SurgeProtector
        | C::Breaker
        | C::ExtinguishingAgent
        | C::MainsPresent => true,
    }
}

/// Writes the story, entry by entry.
#[derive(Debug)]
pub struct Writer<'a> {
    names: &'a Names,
    incident: u32,
    head: Vec<Line>,
    tail: std::collections::VecDeque<Line>,
    omitted: u64,
    cards: Vec<String>,
    /// What an alarm was raised with: a later record names its id alone.
    raised: BTreeMap<String, (Label, Label)>,
}

impl<'a> Writer<'a> {
    /// For this incident.
    #[must_use]
    pub fn new(names: &'a Names, incident: u32) -> Self {
        Self {
            names,
            incident,
            head: Vec::new(),
            tail: std::collections::VecDeque::new(),
            omitted: 0,
            cards: Vec::new(),
            raised: BTreeMap::new(),
        }
    }

    /// The next entry.
    pub fn read(&mut self, entry: &Entry) {
        let Some((topic, text, by, alarm)) = self.words(&entry.record) else {
            return;
        };
        let line = Line {
            seq: entry.seq,
            at_ms: entry.now.wall.0,
            topic,
            text,
            by,
            alarm,
        };
        if self.head.len() < FROM_BEGINNING {
            self.head.push(line);
            return;
        }
        if self.tail.len() == MAX_LINES - FROM_BEGINNING {
            self.tail.pop_front();
            self.omitted += 1;
        }
        self.tail.push_back(line);
    }

    /// The whole.
    #[must_use]
    pub fn end(self) -> Timeline {
        let omitted_after_seq = self.head.last().filter(|_| self.omitted > 0).map(|line| line.seq);
        let mut lines = self.head;
        lines.extend(self.tail);
        Timeline {
            lines,
            omitted: self.omitted,
            omitted_after_seq,
        }
    }

    fn words(&mut self, record: &Record) -> Option<Words> {
        Some(match record {
            Record::AlarmRaised { .. }
            | Record::AlarmReturned { .. }
            | Record::AlarmAcknowledged { .. }
            | Record::AlarmShelved { .. }
            | Record::AlarmUnshelved { .. }
            | Record::AlarmTaken { .. }
            | Record::AlarmOutOfService { .. }
            | Record::AlarmInService { .. }
            | Record::AlarmReset { .. } => return self.alarm(record),
            Record::LimitChanged { .. }
            | Record::MaintenanceStarted { .. }
            | Record::MaintenanceEnded { .. }
            | Record::MaintenanceResult { .. } => return self.ordered(record),
            Record::Notice { record } => return self.notice(record),
            Record::NodeEvent {
                node, point, event, ..
            }
            | Record::StrayEvent {
                node, point, event, ..
            } => return self.node_event(*node, point.as_deref(), event),
            Record::EventsMissing { node, from, to } => {
                let name = self.names.node(*node);
                let count = u64::from(to.saturating_sub(*from)) + 1;
                plain(
                    Topic::Node,
                    format!("{}：記録 {count} 件が届いていない", name.ja),
                    format!("{}: {count} events never arrived", name.en),
                )
            }
            Record::Power { record } => return self.power(record),
            Record::Started { version, before, .. } => {
                let gap = before.as_ref().map_or_else(Label::default, unwatched);
                plain(
                    Topic::Controller,
                    format!("監視装置が起動（{version}）{}", gap.ja),
                    format!("the controller started ({version}){}", gap.en),
                )
            }
            Record::Trouble { part, problem } => {
                let part = format!("{part:?}").to_lowercase();
                match problem {
                    Some(problem) => plain(
                        Topic::Controller,
                        format!("監視装置の一部（{part}）に障害：{problem}"),
                        format!("a part of the controller ({part}) is in trouble: {problem}"),
                    ),
                    None => plain(
                        Topic::Controller,
                        format!("監視装置の一部（{part}）が復旧"),
                        format!("a part of the controller ({part}) is well again"),
                    ),
                }
            }
            Record::NodeOrder { node, order, by } => {
                let name = self.names.node(*node);
                let (ja, en) = match order {
                    NodeOrder::Erase => ("消去を指示", "ordered to forget its keys"),
                    NodeOrder::Restart => ("再起動を指示", "ordered to start again"),
                };
                action(format!("{}：{ja}", name.ja), format!("{}: {en}", name.en), by)
            }
            Record::KeyRotation { node, by, .. } => {
                let name = self.names.node(*node);
                action(
                    format!("{}：鍵の更新を指示", name.ja),
                    format!("{}: ordered to change its key", name.en),
                    by,
                )
            }
            Record::UpdateBegun {
                node, version, by, ..
            } => {
                let name = self.names.node(*node);
                action(
                    format!("{}：ファームウェア {version} へ更新を指示", name.ja),
                    format!("{}: ordered to take firmware {version}", name.en),
                    by,
                )
            }
            Record::DeviceOrdered {
                device, command, by, ..
            } => {
                let name = self.names.device(device);
                action(
                    format!("{}：{command} を指示", name.ja),
                    format!("{}: ordered {command}", name.en),
                    by,
                )
            }
            Record::WitnessDisagrees { node, .. } => {
                let name = self.names.node(*node);
                plain(
                    Topic::Controller,
                    format!("{} が控えた照合値と記録が一致しない", name.ja),
                    format!("what {} was given to witness is not of this journal", name.en),
                )
            }
            Record::Scenario { name, by } => {
                let said = scenario(name);
                action(
                    format!("模擬：{}", said.ja),
                    format!("simulated: {}", said.en),
                    by,
                )
            }
            Record::Incident { record } => return self.incident(record),
            // Lists, keys, checkpoints and counters: the journal has them, the story does not need them.
            _ => return None,
        })
    }

    fn alarm(&mut self, record: &Record) -> Option<Words> {
        let (id, ja, en, by) = match record {
            Record::AlarmRaised {
                alarm,
                priority,
                what,
                place,
                because,
                ..
            } => {
                if self.raised.len() < super::document::MAX_ALARM_ROWS {
                    self.raised.insert(alarm.clone(), (what.clone(), place.clone()));
                }
                let (grade_ja, grade_en) = priority_words(*priority);
                return Some((
                    Topic::Alarm,
                    Label::new(
                        format!(
                            "警報 発生［{grade_ja}］{}：{}（{}）",
                            place.ja, what.ja, because.ja
                        ),
                        format!(
                            "alarm raised [{grade_en}] {}: {} ({})",
                            place.en, what.en, because.en
                        ),
                    ),
                    None,
                    Some(alarm.clone()),
                ));
            }
            Record::AlarmReturned { alarm, .. } => (
                alarm,
                "警報 復旧".to_owned(),
                "alarm returned to normal".to_owned(),
                None,
            ),
            Record::AlarmAcknowledged { alarm, by } => (
                alarm,
                "警報 確認".to_owned(),
                "alarm acknowledged".to_owned(),
                Some(by),
            ),
            Record::AlarmShelved {
                alarm,
                by,
                minutes,
                reason,
            } => (
                alarm,
                format!("警報 一時保留 {minutes} 分（{reason}）"),
                format!("alarm shelved for {minutes} min ({reason})"),
                Some(by),
            ),
            Record::AlarmUnshelved { alarm, by, .. } => (
                alarm,
                "警報 一時保留の終わり".to_owned(),
                "alarm no longer shelved".to_owned(),
                by.as_ref(),
            ),
            Record::AlarmTaken { alarm, by } => (
                alarm,
                "警報 担当の交代".to_owned(),
                "alarm taken over".to_owned(),
                Some(by),
            ),
            Record::AlarmOutOfService {
                alarm, by, reason, ..
            } => (
                alarm,
                format!("警報 使用停止（{reason}）"),
                format!("alarm taken out of service ({reason})"),
                Some(by),
            ),
            Record::AlarmInService { alarm, by, .. } => (
                alarm,
                "警報 使用再開".to_owned(),
                "alarm back in service".to_owned(),
                by.as_ref(),
            ),
            Record::AlarmReset { alarm, by } => (
                alarm,
                "警報 リセット".to_owned(),
                "alarm reset".to_owned(),
                Some(by),
            ),
            _ => return None,
        };
        let (name_ja, name_en) = match self.raised.get(id) {
            Some((what, place)) => (
                format!("{}：{}", place.ja, what.ja),
                format!("{}: {}", place.en, what.en),
            ),
            None => (id.clone(), id.clone()),
        };
        Some((
            Topic::Alarm,
            Label::new(format!("{ja} {name_ja}"), format!("{en}, {name_en}")),
            by.cloned(),
            Some(id.clone()),
        ))
    }

    fn node_event(&mut self, node: u16, point: Option<&str>, event: &NodeEvent) -> Option<Words> {
        Some(match event {
            NodeEvent::Credential {
                reader,
                card,
                decision,
                ..
            } => {
                let door = self.names.readers.get(&(node, *reader)).cloned();
                let door = door.unwrap_or_else(|| self.names.node(node));
                let card = self.card(card);
                let (ja, en) = decision_words(decision);
                plain(
                    Topic::Entry,
                    format!("{}：カード {card} {ja}", door.ja),
                    format!("{}: card {card} {en}", door.en),
                )
            }
            NodeEvent::Door { portal, door } => {
                let name = self.names.portals.get(&(node, *portal)).cloned();
                let name = name.unwrap_or_else(|| self.names.node(node));
                let (ja, en) = door_words(*door);
                plain(
                    Topic::Entry,
                    format!("{}：{ja}", name.ja),
                    format!("{}: {en}", name.en),
                )
            }
            NodeEvent::Contact { open, .. } => {
                let name = self.names.point(point, node);
                let (ja, en) = if *open {
                    ("接点 開（作動）", "contact open")
                } else {
                    ("接点 閉（復帰）", "contact closed")
                };
                // People's traces stay together; a wet floor is none of them.
                let topic = match point {
                    Some(point) if self.names.things.contains(point) => Topic::Node,
                    _ => Topic::Entry,
                };
                plain(topic, format!("{}：{ja}", name.ja), format!("{}: {en}", name.en))
            }
            NodeEvent::Hello { firmware, cause } => {
                let name = self.names.node(node);
                plain(
                    Topic::Node,
                    format!("{} が起動（{firmware}、{cause:?}）", name.ja),
                    format!("{} started ({firmware}, {cause:?})", name.en),
                )
            }
            NodeEvent::SafeMode { on, .. } => {
                let name = self.names.node(node);
                let (ja, en) = if *on {
                    (
                        "安全モード（見張っていない）",
                        "is in safe mode and watches nothing",
                    )
                } else {
                    ("安全モード解除", "left its safe mode")
                };
                plain(
                    Topic::Node,
                    format!("{}：{ja}", name.ja),
                    format!("{} {en}", name.en),
                )
            }
            NodeEvent::LineFault { fault, .. } => {
                let name = self.names.point(point, node);
                plain(
                    Topic::Node,
                    format!("{}：配線の異常（{fault:?}）", name.ja),
                    format!("{}: line fault ({fault:?})", name.en),
                )
            }
            NodeEvent::Shock { peak, .. } => {
                let name = self.names.point(point, node);
                let whole = *peak / 1000;
                let rest = *peak % 1000 / 100;
                plain(
                    Topic::Node,
                    format!("{}：揺れ（最大 {whole}.{rest} m/s²）", name.ja),
                    format!("{}: shaken (peak {whole}.{rest} m/s²)", name.en),
                )
            }
            _ => return None,
        })
    }

    /// Its letter in this story.
    fn card(&mut self, card: &str) -> String {
        /// Cards that get a letter of their own.
        const MOST: usize = 200;
        let at = match self.cards.iter().position(|known| known == card) {
            Some(at) => at,
            None if self.cards.len() < MOST => {
                self.cards.push(card.to_owned());
                self.cards.len() - 1
            }
            None => return "?".to_owned(),
        };
        letters(at)
    }

    fn power(&self, record: &Power) -> Option<Words> {
        let of = |name: &str| self.names.device(name);
        let (ja, en, by) = match record {
            Power::MainsLost { ups, .. } => {
                let ups = of(ups);
                (
                    format!("{} 停電（バッテリ運転）", ups.ja),
                    format!("{} lives on battery", ups.en),
                    None,
                )
            }
            Power::MainsBack { ups, source, .. } => {
                let ups = of(ups);
                (
                    format!("{} 復電（{source}）", ups.ja),
                    format!("{} no longer lives on battery ({source})", ups.en),
                    None,
                )
            }
            Power::ContactLost { ups, .. } => {
                let ups = of(ups);
                (
                    format!("{} と通信できない", ups.ja),
                    format!("{} does not answer", ups.en),
                    None,
                )
            }
            Power::ContactFound { ups } => {
                let ups = of(ups);
                (
                    format!("{} との通信が復旧", ups.ja),
                    format!("{} answers again", ups.en),
                    None,
                )
            }
            Power::OutageOver => ("停電の終わり".to_owned(), "the outage is over".to_owned(), None),
            Power::RunStarted {
                run, because, scope, ..
            } => (
                format!(
                    "停止計画を開始（第 {run} 回、{} 台、{}）",
                    scope.len(),
                    because.ja
                ),
                format!(
                    "run {run} of the plan begins ({} hosts, {})",
                    scope.len(),
                    because.en
                ),
                None,
            ),
            Power::RunExtended {
                run, because, scope, ..
            } => (
                format!(
                    "停止計画に {} 台を追加（第 {run} 回、{}）",
                    scope.len(),
                    because.ja
                ),
                format!("run {run} takes in {} more hosts ({})", scope.len(), because.en),
                None,
            ),
            Power::StepStarted { order } if order.verb == Verb::Force => {
                let host = of(&order.step);
                (
                    format!("{} の強制停止を開始", host.ja),
                    format!("{}: forced to stop", host.en),
                    None,
                )
            }
            Power::StepStarted { order } => {
                let host = of(&order.step);
                (
                    format!("{} の停止を開始", host.ja),
                    format!("{}: stop begins", host.en),
                    None,
                )
            }
            Power::StepConfirmed { order, took_ms, .. } => {
                let host = of(&order.step);
                let secs = took_ms.0 / 1000;
                (
                    format!("{} の停止を確認（{secs} 秒）", host.ja),
                    format!("{}: stopped, confirmed after {secs} s", host.en),
                    None,
                )
            }
            Power::StepFailed { order, problem, .. } => {
                let host = of(&order.step);
                (
                    format!("{} の停止に失敗（{problem}）", host.ja),
                    format!("{}: stop failed ({problem})", host.en),
                    None,
                )
            }
            Power::StepAbandoned { order, because } => {
                let host = of(&order.step);
                (
                    format!("{} の停止を断念（{}）", host.ja, because.ja),
                    format!("{}: stop given up ({})", host.en, because.en),
                    None,
                )
            }
            Power::StepCancelled { step, because, .. } => {
                let host = of(step);
                (
                    format!("{} の停止を取り消し（{}）", host.ja, because.ja),
                    format!("{}: stop called back ({})", host.en, because.en),
                    None,
                )
            }
            Power::StopWithheld { hosts, because } => (
                format!(
                    "停止すべき時点（{} 台、方針により停止せず、{}）",
                    hosts.len(),
                    because.ja
                ),
                format!("{} hosts would have been stopped ({})", hosts.len(), because.en),
                None,
            ),
            // That mains came and went stands beside it.
            Power::RuleOver { .. } | Power::OrdersHeld { .. } | Power::OrdersFreed { .. } => return None,
            Power::ScheduleAnnounced { schedule, hosts, .. } => (
                format!("スケジュール {schedule} の停止を予告（{} 台）", hosts.len()),
                format!("schedule {schedule} will stop {} hosts", hosts.len()),
                None,
            ),
            Power::ScheduleNotKept {
                schedule, because, ..
            } => (
                format!("スケジュール {schedule} の停止を行わず（{}）", because.ja),
                format!("the stop of schedule {schedule} was left out ({})", because.en),
                None,
            ),
            Power::ScheduleCancelled { schedule, by, .. } => (
                format!("スケジュール {schedule} の停止を取りやめ"),
                format!("the stop of schedule {schedule} is cancelled"),
                Some(by.to_string()),
            ),
            Power::ScheduleOver { schedule, .. } => (
                format!("スケジュール {schedule} の停止時間が終わり"),
                format!("the off time of schedule {schedule} is over"),
                None,
            ),
            Power::RunPaused { run, length, by, .. } => (
                format!("停止計画を一時停止（第 {run} 回、最長 {} 秒）", length.0 / 1000),
                format!("run {run} is paused for at most {} s", length.0 / 1000),
                Some(by.to_string()),
            ),
            Power::RunResumed { run, because, by } => (
                format!("停止計画を再開（第 {run} 回、{}）", because.ja),
                format!("run {run} goes on ({})", because.en),
                by.as_ref().map(ToString::to_string),
            ),
            Power::StepSkipped {
                step, because, by, ..
            } => {
                let host = of(step);
                (
                    format!("{} を飛ばす（{}）", host.ja, because.ja),
                    format!("{}: left as it is ({})", host.en, because.en),
                    Some(by.to_string()),
                )
            }
            Power::OperatorAsked { id, by, .. } => (
                format!("操作 {id} は二人目の確認待ち"),
                format!("order {id} waits for a second person"),
                Some(by.to_string()),
            ),
            Power::OperatorConfirmed { id, by } => (
                format!("操作 {id} を二人目が確認"),
                format!("a second person agrees to order {id}"),
                Some(by.to_string()),
            ),
            Power::RunAbandoned { run, because, .. } => (
                format!("停止計画を中止（第 {run} 回、{}）", because.ja),
                format!("run {run} goes no further ({})", because.en),
                None,
            ),
            Power::RunEnded {
                run,
                stopped,
                not_stopped,
            } => (
                format!(
                    "停止計画の終わり（第 {run} 回、停止 {} 台、未停止 {} 台）",
                    stopped.len(),
                    not_stopped.len()
                ),
                format!(
                    "run {run} ends ({} hosts stopped, {} not)",
                    stopped.len(),
                    not_stopped.len()
                ),
                None,
            ),
            Power::HostsStarted { by, .. } => (
                "サーバーの起動を確認".to_owned(),
                "the hosts run again".to_owned(),
                Some(by.clone()),
            ),
            Power::DrillStarted { run, by, host, .. } => {
                let host = of(host);
                (
                    format!("{} の停止訓練を開始（第 {run} 回）", host.ja),
                    format!("drill {run} begins: {} is stopped for real", host.en),
                    Some(by.clone()),
                )
            }
            Power::ReturnStarted {
                run, hosts, because, ..
            } => (
                format!("起動を開始（第 {run} 回、{} 台、{}）", hosts.len(), because.ja),
                format!("run {run} starts {} hosts again ({})", hosts.len(), because.en),
                None,
            ),
            Power::HostStartStarted { order, .. } => {
                let host = of(&order.step);
                (
                    format!("{} の起動を開始", host.ja),
                    format!("{}: start begins", host.en),
                    None,
                )
            }
            Power::HostStartConfirmed {
                order,
                took_ms,
                already,
            } => {
                let host = of(&order.step);
                let secs = took_ms.0 / 1000;
                if *already {
                    (
                        format!("{} はすでに動いていた", host.ja),
                        format!("{}: it ran already", host.en),
                        None,
                    )
                } else {
                    (
                        format!("{} の起動を確認（{secs} 秒）", host.ja),
                        format!("{}: runs, confirmed after {secs} s", host.en),
                        None,
                    )
                }
            }
            Power::HostStartFailed { order, problem, .. } => {
                let host = of(&order.step);
                (
                    format!("{} の起動に失敗（{problem}）", host.ja),
                    format!("{}: start failed ({problem})", host.en),
                    None,
                )
            }
            Power::HostStartAbandoned { order, because } => {
                let host = of(&order.step);
                (
                    format!("{} の起動を断念（{}）", host.ja, because.ja),
                    format!("{}: start given up ({})", host.en, because.en),
                    None,
                )
            }
            Power::ReturnEnded {
                run,
                started,
                not_started,
                broken_off,
            } => {
                let (ja, en) = broken_off.as_ref().map_or_else(Default::default, |why| {
                    (format!("、中断: {}", why.ja), format!(", broken off: {}", why.en))
                });
                (
                    format!(
                        "起動の終わり（第 {run} 回、起動 {} 台、未起動 {} 台{ja}）",
                        started.len(),
                        not_started.len()
                    ),
                    format!(
                        "run {run} ends ({} hosts run, {} do not{en})",
                        started.len(),
                        not_started.len()
                    ),
                    None,
                )
            }
            Power::FinishStarted { ups, .. } => {
                let names: Vec<String> = ups.iter().map(|cut| of(&cut.ups).ja).collect();
                let english: Vec<String> = ups.iter().map(|cut| of(&cut.ups).en).collect();
                (
                    format!("全サーバーの停止を確認。{} の出力を切る", names.join("、")),
                    format!("every host is off; {} is switched off", english.join(", ")),
                    None,
                )
            }
            Power::FinishTold { order } => {
                let what = told_name(&order.step, of);
                (
                    format!("{} に切断を命令。復電で自動的に戻る", what.ja),
                    format!("{}: told to switch off, and on again with the mains", what.en),
                    None,
                )
            }
            Power::FinishFailed { order, problem, .. } => {
                let what = told_name(&order.step, of);
                (
                    format!("{} に切断を命令できない（{problem}）", what.ja),
                    format!("{}: could not be told to switch off ({problem})", what.en),
                    None,
                )
            }
            Power::FinishEnded {
                told,
                not_told,
                because,
                ..
            } => (
                format!(
                    "出力の切断の終わり（命令 {} 件、未命令 {} 件、{}）",
                    told.len(),
                    not_told.len(),
                    because.ja
                ),
                format!(
                    "switching off ends ({} told, {} not, {})",
                    told.len(),
                    not_told.len(),
                    because.en
                ),
                None,
            ),
            Power::ReturnHeld { by, reason } => (
                format!("起動を保留（{reason}）"),
                format!("the start of hosts is held ({reason})"),
                Some(by.clone()),
            ),
            Power::ReturnReleased { by } => (
                "起動の保留を解除".to_owned(),
                "hosts may be started again".to_owned(),
                Some(by.clone()),
            ),
            Power::RehearsalStarted { run, by, .. } => (
                format!("予行演習を開始（第 {run} 回）"),
                format!("rehearsal {run} begins"),
                Some(by.clone()),
            ),
            Power::RehearsalEnded {
                run, passed, failed, ..
            } => (
                format!(
                    "予行演習の終わり（第 {run} 回、合格 {}、不合格 {}）",
                    passed.len(),
                    failed.len()
                ),
                format!(
                    "rehearsal {run} ends ({} passed, {} failed)",
                    passed.len(),
                    failed.len()
                ),
                None,
            ),
            Power::PowerRestarted { .. }
            | Power::BatteryLevel { .. }
            | Power::StepRequested { .. }
            | Power::HostStartRequested { .. }
            | Power::FinishOrdered { .. }
            | Power::CheckStarted { .. }
            | Power::CheckPassed { .. }
            | Power::CheckFailed { .. }
            | Power::CredentialsDue { .. }
            | Power::CredentialChecked { .. } => return None,
        };
        Some((Topic::Power, Label::new(ja, en), by, None))
    }

    fn incident(&self, record: &IncidentRecord) -> Option<Words> {
        let incident = record.incident();
        let number = super::number(incident);
        let words = |ja: String, en: String, by: Option<&String>, alarm: Option<&String>| {
            Some((Topic::Incident, Label::new(ja, en), by.cloned(), alarm.cloned()))
        };
        if incident != self.incident {
            // Another one is named and not told.
            return match record {
                IncidentRecord::Opened { title, by, .. } => words(
                    format!("別の事案 {number} 開始：{}", title.ja),
                    format!("another incident, {number}, is opened: {}", title.en),
                    by.as_ref(),
                    None,
                ),
                _ => None,
            };
        }
        match record {
            IncidentRecord::Opened { title, alarm, by, .. } => words(
                format!("事案 {number} 開始：{}", title.ja),
                format!("incident {number} is opened: {}", title.en),
                by.as_ref(),
                alarm.as_ref(),
            ),
            IncidentRecord::Joined { alarm, place, .. } => words(
                format!("この事案に警報を追加：{}", place.ja),
                format!("an alarm belongs to this incident: {}", place.en),
                None,
                Some(alarm),
            ),
            IncidentRecord::Noted { by, text, .. } => {
                words(format!("所見：{text}"), format!("note: {text}"), Some(by), None)
            }
            IncidentRecord::Classified { nature, by, .. } => words(
                format!("区分：{}", nature.label().ja),
                format!("nature: {}", nature.label().en),
                Some(by),
                None,
            ),
            IncidentRecord::Closed { by, conclusion, .. } => words(
                format!("終結：{conclusion}"),
                format!("closed: {conclusion}"),
                Some(by),
                None,
            ),
            IncidentRecord::Reopened { by, reason, .. } => words(
                format!("再開：{reason}"),
                format!("reopened: {reason}"),
                Some(by),
                None,
            ),
            IncidentRecord::HandedOver { by, to, .. } => words(
                format!("{to} へ引き継ぎ"),
                format!("handed over to {to}"),
                Some(by),
                None,
            ),
        }
    }
}

type Words = (Topic, Label, Option<String>, Option<String>);

fn plain(topic: Topic, ja: String, en: String) -> Words {
    (topic, Label::new(ja, en), None, None)
}

fn action(ja: String, en: String, by: &str) -> Words {
    (Topic::Action, Label::new(ja, en), Some(by.to_owned()), None)
}

/// How long nobody watched before a start.
fn unwatched(sign: &LastSign) -> Label {
    let secs = sign.ago_ms.div_ceil(1000);
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    let (ja, en) = match (hours, minutes) {
        (0, 0) => (format!("{secs}秒"), format!("{secs} s")),
        (0, _) => (format!("{minutes}分{secs}秒"), format!("{minutes} min {secs} s")),
        _ => (
            format!("{hours}時間{minutes}分"),
            format!("{hours} h {minutes} min"),
        ),
    };
    Label::new(
        format!("。その前の{ja}は監視していない"),
        format!("; nothing was watched for {en} before"),
    )
}

/// What the buttons of the simulated room are called; a word of a later version stays as it is.
fn scenario(word: &str) -> Label {
    match word {
        "outage" => Label::new("停電", "outage"),
        "mains-back" => Label::new("復電", "mains back"),
        "cooling" => Label::new("空調停止", "cooling fails"),
        "leak" => Label::new("漏水", "leak"),
        "door" => Label::new("こじ開け", "door forced"),
        "link" => Label::new("通信断", "link cut"),
        "reset" => Label::new("元に戻す", "back to normal"),
        other => Label::new(other, other),
    }
}

/// A to Z, then AA.
fn letters(mut at: usize) -> String {
    let mut text = Vec::new();
    loop {
        text.push(b'A' + u8::try_from(at % 26).unwrap_or(0));
        at /= 26;
        if at == 0 {
            break;
        }
        at -= 1;
    }
    text.reverse();
    String::from_utf8_lossy(&text).into_owned()
}

/// Priorities as people say them.
#[must_use]
pub const fn priority_words(priority: Priority) -> (&'static str, &'static str) {
    match priority {
        Priority::Critical => ("重大", "critical"),
        Priority::Warning => ("警告", "warning"),
        Priority::Advisory => ("注意", "advisory"),
    }
}

fn decision_words(decision: &str) -> (String, String) {
    match decision {
        "granted" => ("許可".to_owned(), "granted".to_owned()),
        "granted_unproven" => (
            "許可（時刻未確定）".to_owned(),
            "granted, with the time not known".to_owned(),
        ),
        why => (
            format!("拒否（{why}）"),
            format!("denied ({})", why.replace('_', " ")),
        ),
    }
}

const fn door_words(door: DoorEvent) -> (&'static str, &'static str) {
    match door {
        DoorEvent::Opened(OpenedBy::Grant) => ("扉 開（許可による）", "door opened, granted"),
        DoorEvent::Opened(OpenedBy::RequestToExit) => ("扉 開（退室）", "door opened to leave"),
        DoorEvent::Opened(OpenedBy::KeyOverride) => ("扉 開（鍵による）", "door opened by key"),
        DoorEvent::Forced => ("扉 こじ開け", "door forced open"),
        DoorEvent::HeldOpen => ("扉 開放放置", "door held open"),
        DoorEvent::Closed => ("扉 閉", "door closed"),
        DoorEvent::Unused => ("許可後に扉が開かなかった", "granted, and the door was not opened"),
        DoorEvent::RequestToExit => ("退室の求め", "request to exit"),
        DoorEvent::KeyOverride(true) => ("鍵が回された", "key turned"),
        DoorEvent::KeyOverride(false) => ("鍵が戻された", "key back"),
        DoorEvent::Tamper(true) => ("リーダーまたは箱が開けられた", "reader or enclosure opened"),
        DoorEvent::Tamper(false) => ("リーダーまたは箱が閉じた", "reader or enclosure closed"),
        DoorEvent::Unlocked(true) => ("閉まっているが施錠されていない", "closed and not locked"),
        DoorEvent::Unlocked(false) => ("施錠", "locked"),
        DoorEvent::FoundOpen => ("端末の起動時に扉が開いていた", "found open when the node started"),
    }
}

/// Whom the end of a plan is told.
fn told_name(step: &str, of: impl Fn(&str) -> Label) -> Label {
    match finish::Target::of(step) {
        Some(finish::Target::Output(ups)) => of(&ups),
        _ => Label::new("監視装置自身", "the controller's own machine"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SignBy;
    use crate::time::Wall;

    #[test]
    fn a_scenario_is_called_as_on_its_button() {
        assert_eq!(scenario("mains-back"), Label::new("復電", "mains back"));
        assert_eq!(scenario("meteor"), Label::new("meteor", "meteor"));
    }

    #[test]
    fn a_start_says_how_long_nobody_watched_before_it() {
        let names = Names::default();
        let mut writer = Writer::new(&names, 1);
        let mut said = |ago_ms: Option<u64>| {
            let started = Record::Started {
                version: "1.0".to_owned(),
                boot_id: "b".to_owned(),
                epoch: 2,
                before: ago_ms.map(|ago_ms| LastSign {
                    at: Wall(0),
                    ago_ms,
                    same_boot: true,
                    by: SignBy::AliveMark,
                }),
            };
            writer.words(&started).unwrap().1
        };
        assert_eq!(said(None).ja, "監視装置が起動（1.0）");
        assert_eq!(
            said(Some(194_001)),
            Label::new(
                "監視装置が起動（1.0）。その前の3分15秒は監視していない",
                "the controller started (1.0); nothing was watched for 3 min 15 s before"
            )
        );
        assert!(said(Some(7_260_000)).en.ends_with("2 h 1 min before"));
    }

    #[test]
    fn cards_are_lettered_like_columns() {
        let at: Vec<String> = [0, 1, 25, 26, 27, 51, 52].map(letters).into();
        assert_eq!(at, ["A", "B", "Z", "AA", "AB", "AZ", "BA"]);
    }
}

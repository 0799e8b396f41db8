//! The alarms' part of the engine: what operators want of them, what explains them, and
//! maintenance windows.

use super::Engine;
use crate::alarm::Definition;
use crate::catalog::{self, Kind};
use crate::event::{Command, Refused, Turn};
use crate::maintenance::{self, Scope};
use crate::record::Record;
use crate::site::{DeviceKind, Label, Node, World};
use crate::snapshot;
use crate::time::Now;

/// Id that stands for "the power of the room": it is never raised itself, but leads to every alarm
/// of mains and plan, so that ten thousand devices need not name all of them.
pub(super) const POWER: &str = "outage.power";
/// Alarm id of a plan that runs.
const PLAN: &str = "outage.run";

impl<W: World> Engine<W> {
    // ---- what explains what --------------------------------------------------------------

    /// The power of the room as a cause.
    pub(super) fn furnish_causes(&mut self) {
        let upses = self.site.devices.iter();
        let upses = upses.filter(|device| device.kind == DeviceKind::Ups);
        let mut causes: Vec<String> = upses.map(|ups| format!("{}.on_battery", ups.name)).collect();
        causes.push(PLAN.to_owned());
        self.book.define(Definition {
            folded_under: causes,
            ..Definition::of(Kind::OnBattery, POWER, Label::new("電源", "Power"))
        });
    }

    /// What explains that a device is silent or without a feed: its own feeds, if the site says
    /// which they are, or any loss of mains; and the plan, while it runs and once it has stopped it.
    pub(super) fn explains_device(&self, device: &str) -> Vec<String> {
        match self.site.hosts.iter().find(|host| host.name == device) {
            Some(host) => {
                let upses = self.outage.upses_of(&host.name);
                let feeds = upses.into_iter().map(|ups| format!("{ups}.on_battery"));
                feeds.chain(self.after_the_plan(&[&host.name])).collect()
            }
            None => vec![POWER.to_owned()],
        }
    }

    /// What explains that a group has lost something: the plan, if it stops one of its members.
    pub(super) fn explains_group(&self, members: &[String]) -> Vec<String> {
        let hosts = self.site.hosts.iter().map(|host| &host.name);
        let members: Vec<&String> = hosts.filter(|host| members.contains(host)).collect();
        if members.is_empty() {
            return Vec::new();
        }
        self.after_the_plan(&members)
    }

    /// The plan, and that it has stopped one of these hosts. Only of these: that others must be
    /// started, perhaps for weeks, explains nothing else.
    pub(super) fn after_the_plan(&self, hosts: &[&String]) -> Vec<String> {
        let all = self.outage.stopped_hosts();
        let is_stopped = hosts.iter().any(|host| all.contains(host));
        let stopped = [catalog::HOSTS_STOPPED, catalog::HOSTS_RETURNING].map(str::to_owned);
        let stopped = stopped.into_iter().filter(|_| is_stopped);
        [PLAN.to_owned()].into_iter().chain(stopped).collect()
    }

    /// Hosts were stopped or started: what explains them, and the groups that they are in, anew.
    pub(super) fn explain_hosts(&mut self, before: &[String]) {
        if self.outage.stopped_hosts() == before {
            return;
        }
        for host in &self.site.hosts {
            let contact = catalog::device_id(&host.name);
            for id in [contact, catalog::uplink_id(&host.name)] {
                if let Some(alarm) = self.book.definition(&id) {
                    let folded_under = self.explains_device(&host.name);
                    let alarm = Definition {
                        folded_under,
                        ..alarm.clone()
                    };
                    self.book.define(alarm);
                }
            }
        }
        self.furnish_groups();
        self.furnish_nut_clients();
    }

    /// A node without doors, water and fire may be silent because its power is gone; the silence
    /// of any other one leaves something unwatched that must not be.
    pub(super) fn explains_node(node: &Node) -> Vec<String> {
        if catalog::is_guard(node) {
            Vec::new()
        } else {
            vec![POWER.to_owned()]
        }
    }

    /// Without power there is no cooling. What endangers the machines at once comes up all the
    /// same.
    pub(super) fn explains_limit(kind: Kind) -> Vec<String> {
        let is_of_the_air = matches!(
            kind,
            Kind::TemperatureHigh
                | Kind::TemperatureLow
                | Kind::TemperatureRate
                | Kind::HumidityHigh
                | Kind::HumidityLow
                | Kind::DewPointHigh
                | Kind::DewPointLow
        );
        if is_of_the_air {
            vec![POWER.to_owned()]
        } else {
            Vec::new()
        }
    }

    /// What explains an alarm of a UPS.
    pub(super) fn explains_power(id: &str, kind: Kind) -> Vec<String> {
        let ups = id.rsplit_once('.').map_or(id, |(ups, _)| ups);
        match kind {
            Kind::UpsContact => vec![format!("{ups}.lost_on_battery")],
            _ => Vec::new(),
        }
    }

    // ---- operators -----------------------------------------------------------------------

    /// What an operator wants of an alarm or a maintenance window.
    pub(super) fn alarm_command(
        &mut self,
        now: Now,
        by: &str,
        command: Command,
        turn: &mut Turn,
    ) -> Result<(), Refused> {
        let record = match command {
            Command::Acknowledge { alarm } => self.book.acknowledge(&alarm, by)?,
            Command::Take { alarm } => self.book.take(&alarm, by)?,
            Command::Reset { alarm } => self.book.reset(&alarm, by)?,
            Command::Shelve {
                alarm,
                minutes,
                reason,
            } => self.book.shelve(&alarm, by, minutes, &reason)?,
            Command::Unshelve { alarm } => self.book.unshelve(&alarm, by)?,
            Command::OutOfService {
                alarm,
                minutes,
                reason,
            } => self.book.out_of_service(&alarm, by, minutes, &reason)?,
            Command::InService { alarm } => self.book.in_service(&alarm, by)?,
            Command::StartMaintenance {
                minutes,
                reason,
                work_order,
                scope,
            } => {
                let scope = self.scope(&scope)?;
                let windows = self.book.maintenance();
                windows.start(by, minutes, &reason, work_order.as_deref(), scope)?
            }
            Command::EndMaintenance { window, result } => {
                return self.end_maintenance(now, by, window, result.as_deref(), turn);
            }
            _ => {
                return Err(Refused::invalid(
                    "警報の操作ではありません",
                    "this is no command of an alarm",
                ));
            }
        };
        self.commit(now, turn, record);
        Ok(())
    }

    /// What of the room a window is asked to cover: `node:`, `device:`, `point:` or `alarm:` and
    /// a name. A node is covered with all points that are mounted on it.
    fn scope(&self, asked: &[String]) -> Result<Scope, Refused> {
        let mut scope = Scope {
            asked: asked.to_vec(),
            ..Scope::default()
        };
        for word in asked.iter().take(maintenance::MAX_SCOPE + 1) {
            let (kind, name) = word.split_once(':').unwrap_or(("", word));
            let is_there = match kind {
                "node" => {
                    let node = self.site.nodes.iter().find(|node| node.name == name);
                    let points = node.iter().flat_map(|node| &node.channels);
                    scope.covers.extend(points.map(|channel| channel.point.clone()));
                    scope.covers.push(name.to_owned());
                    node.is_some()
                }
                "device" => {
                    scope.covers.push(name.to_owned());
                    self.devices.contains_key(name)
                }
                "point" => {
                    scope.covers.push(name.to_owned());
                    self.points.contains_key(name)
                }
                "alarm" => {
                    scope.alarms.push(name.to_owned());
                    self.book.knows(name)
                }
                _ => {
                    return Err(Refused::invalid(
                        format!(
                            "{word}: node:名前、device:名前、point:ID、alarm:ID のどれかで指定してください"
                        ),
                        format!("{word}: write node:NAME, device:NAME, point:ID or alarm:ID"),
                    ));
                }
            };
            if !is_there {
                return Err(Refused::not_found(
                    format!("{kind} {name} はありません"),
                    format!("no {kind} {name}"),
                ));
            }
        }
        Ok(scope)
    }

    fn end_maintenance(
        &mut self,
        now: Now,
        by: &str,
        window: u32,
        result: Option<&str>,
        turn: &mut Turn,
    ) -> Result<(), Refused> {
        let records = self.book.maintenance().end(window, by, result)?;
        let has_result = result.is_some();
        for record in records {
            self.commit(now, turn, record);
        }
        let alarm = maintenance::result_id(window);
        if has_result {
            // Whoever records the result has seen the alarm.
            if let Ok(record) = self.book.acknowledge(&alarm, by) {
                self.commit(now, turn, record);
            }
            if self.book.is_active(&alarm) {
                let returned = Record::AlarmReturned { alarm, unseen: false };
                self.commit(now, turn, returned);
            }
        } else if let Some(window) = self.book.maintenance().window(window) {
            let because = catalog::maintenance_because(window);
            let definition = catalog::maintenance_result(window);
            self.book.define(definition);
            if let Some(record) = self.book.raise_now(&alarm, because) {
                self.commit(now, turn, record);
            }
        }
        Ok(())
    }

    // ---- picture -------------------------------------------------------------------------

    /// The maintenance windows, and what is folded under them.
    pub(super) fn maintenance_rows(&self, now: Now) -> Vec<snapshot::Maintenance> {
        // Mostly there is none, and counting looks at every alarm that stands.
        if self.book.maintenance().is_empty() {
            return Vec::new();
        }
        let folded = self.book.folded();
        let of = |id: &str| folded.get(id).copied().unwrap_or(0);
        self.book.maintenance().view(now, of)
    }
}

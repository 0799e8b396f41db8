//! The picture of the room, drawn from what the engine knows. It changes nothing.

use super::Engine;
use crate::site::{self, World};
use crate::snapshot::{self, Snapshot};
use crate::time::{Millis, Now};
use shared::wire::{ClockState, Health};

impl<W: World> Engine<W> {
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
        let (alarms, left_out) = self.book.view(now, snapshot::MAX_ALARMS);
        Snapshot {
            version: self.version,
            wall_ms: now.wall.0,
            site: self.site.name.clone(),
            simulated: W::SIMULATED,
            points: self.shown_points(now),
            alarms,
            alarms_left_out: u32::try_from(left_out).unwrap_or(u32::MAX),
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
            portals: (0..self.portals.len())
                .map(|index| self.portal_row(now, index))
                .collect(),
            groups: self.group_rows(now),
            forecasts: self.forecast_rows(now),
            incidents: self.shown_incidents(),
            maintenance: self.maintenance_rows(now),
            operations: self.operation_rows(),
            notices: self.desk.view(now),
        }
    }

    /// Points of nodes, of limits, and the chief facts of devices, by name.
    fn shown_points(&self, now: Now) -> Vec<snapshot::Point> {
        let points = self.points.values().map(|point| point.view(now));
        let mut shown: Vec<snapshot::Point> = points.chain(self.shown_facts(now)).collect();
        shown.sort_by(|a, b| a.id.cmp(&b.id));
        shown
    }

    pub(super) fn node_row(&self, now: Now, node: &site::Node) -> snapshot::Node {
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
            twin: self.is_twin(node.id),
            erased: known.erased,
            list: self.list_row(node.id),
            key: self.key_row(node.id),
            update: self.update_row(node.id),
            witness: self.witness_row(node.id),
            health: self
                .health
                .get(&node.id)
                .map(|(at, health)| health_row(now.mono.since(*at), health)),
        }
    }

    pub(super) fn device_row(&self, now: Now, device: &site::Device) -> snapshot::Device {
        let never = super::devices::Device::default();
        let known = self.devices.get(&device.name).unwrap_or(&never);
        let state = match known.heard {
            Some(_) if known.failed == 0 => "answering",
            _ if self.is_hidden_source(&device.name) => "hidden",
            None => "never_heard",
            Some(_) => "silent",
        };
        snapshot::Device {
            name: device.name.clone(),
            label: device.label.clone(),
            kind: device.kind,
            state: state.to_owned(),
            behind: device.behind.clone(),
            age_ms: known.heard.map(|at| now.mono.since(at).0),
            profile: known.profile.clone(),
            failed_polls: known.failed,
            facts: known.told,
        }
    }
}

fn health_row(age: Millis, health: &Health) -> snapshot::Health {
    snapshot::Health {
        age_ms: age.0,
        running: health.running.to_string(),
        previous: health.previous.map(|version| version.to_string()),
        refused: health.refused.map(|(version, _)| version.to_string()),
        refused_because: health.refused.map(|(_, why)| format!("{why:?}")),
        safe_mode: health.safe_mode,
        crashes: health.crashes,
        clock: match health.clock {
            ClockState::Unset => "unset",
            ClockState::Rtc => "rtc",
            ClockState::Controller => "controller",
        }
        .to_owned(),
        list: health.list,
        list_age_h: (health.list_age_h != u16::MAX).then_some(health.list_age_h),
        connects: health.connects,
        taken_over: health.taken_over,
        garbled: health.garbled,
        recoveries: health.recoveries,
        stack_free: (health.stack_free != u16::MAX).then_some(health.stack_free),
    }
}

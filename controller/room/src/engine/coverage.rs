//! The coverage's part of the engine: what is watched here, which alarms say that it is not, and what
//! a person knows about a gap.

use super::Engine;
use crate::alarm::operator_text;
use crate::catalog::{self, NodeTrouble};
use crate::coverage::{Meaning, Plan, Reason, Scope, Source};
use crate::event::Refused;
use crate::record::Record;
use crate::site::{DeviceKind, World};
use crate::time::Millis;

impl<W: World> Engine<W> {
    /// What is watched, and how it shows in the journal when it is not.
    #[must_use]
    pub fn coverage_plan(&self) -> Plan {
        let mut plan = Plan {
            ups_lag: self
                .site
                .outage
                .as_ref()
                .map_or(Millis(0), |policy| policy.contact_lost_after),
            ..Plan::default()
        };
        for node in &self.site.nodes {
            let silent = Meaning {
                reason: Reason::NodeSilent,
                scope: Scope::Group(node.name.clone()),
                lag: node.silent_after,
            };
            plan.meanings
                .insert(catalog::node_id(&node.name, NodeTrouble::Silent), silent);
            for channel in &node.channels {
                let no_data = Meaning {
                    reason: Reason::SensorFault,
                    scope: Scope::Source(channel.point.clone()),
                    lag: node.silent_after,
                };
                plan.meanings.insert(catalog::no_data_id(&channel.point), no_data);
                plan.sources.push(Source {
                    id: channel.point.clone(),
                    label: channel.label.clone(),
                    group: node.name.clone(),
                    group_label: node.label.clone(),
                    stale_after: node.silent_after,
                    has_history: true,
                });
            }
        }
        for (at, device) in self.site.devices.iter().enumerate() {
            // The contact of a UPS is a record of the outage engine.
            if device.kind != DeviceKind::Ups {
                let lost = Meaning {
                    reason: Reason::DeviceSilent,
                    scope: Scope::Group(device.name.clone()),
                    lag: self.patience(at),
                };
                plan.meanings.insert(catalog::device_id(&device.name), lost);
            }
            plan.sources.push(Source {
                id: device.name.clone(),
                label: device.label.clone(),
                group: device.name.clone(),
                group_label: device.label.clone(),
                stale_after: Millis(0),
                has_history: false,
            });
        }
        plan
    }

    /// What a person knows about a gap.
    pub(super) fn explain_gap(
        &self,
        by: &str,
        (from_ms, to_ms): (i64, i64),
        source: Option<String>,
        text: &str,
    ) -> Result<Record, Refused> {
        let by = operator_text("by", by)?;
        let text = operator_text("text", text)?;
        if from_ms >= to_ms {
            return Err(Refused::invalid(
                "開始は終了より前にしてください",
                "from_ms must be before to_ms",
            ));
        }
        if let Some(source) = &source
            && !self
                .coverage_plan()
                .sources
                .iter()
                .any(|known| known.id == *source)
        {
            return Err(Refused::not_found(
                format!("点または機器 {source} はありません"),
                format!("no point or device {source}"),
            ));
        }
        Ok(Record::GapExplained {
            from_ms,
            to_ms,
            source,
            text,
            by,
        })
    }
}

//! The incidents' part of the engine: which alarms are serious, and where they go.

use super::Engine;
use crate::catalog::{Class, Kind};
use crate::event::{Refused, Turn};
use crate::incident::timeline::Names;
use crate::incident::{Nature, Order, Serious};
use crate::record::Record;
use crate::site::{Priority, World};
use crate::snapshot::{self, AlarmState};
use crate::time::Now;

impl<W: World> Engine<W> {
    /// The number that the next record of the journal will have. Whoever replays a journal says it
    /// before each record, and once more at its end.
    pub const fn next_record(&mut self, seq: u64) {
        self.next_seq = seq;
        self.seq = seq;
    }

    /// A record of the journal, as it concerns incidents.
    pub(super) fn apply_incident(&mut self, now: Now, record: &Record) {
        match record {
            Record::Incident { record } => self.incidents.apply(now, self.seq, record),
            Record::AlarmRaised { alarm, .. } if self.serious(alarm).is_some() => {
                self.incidents.raised(now, alarm);
            }
            Record::AlarmReturned { alarm, .. } => self.incidents.returned(alarm),
            Record::Started { boot_id, .. } => self.incidents.started(now, boot_id),
            _ => {}
        }
    }

    /// Looks at what a turn did to alarms; a serious one that nobody holds back finds its incident.
    /// With `all` every one that waits is looked at.
    pub(super) fn judge_incidents(&mut self, now: Now, mut all: bool, turn: &mut Turn) {
        let mut raised = Vec::new();
        for record in &turn.records {
            match record {
                Record::AlarmRaised { alarm, .. } => raised.push(alarm.clone()),
                // Whatever ends the holding back of an alarm: its cause returns, its shelf ends, a
                // person acts, the controller starts.
                Record::AlarmAcknowledged { .. } | Record::Power { .. } | Record::NodeEvent { .. } => {}
                _ => all = true,
            }
        }
        if all {
            raised = self.incidents.waiting().map(str::to_owned).collect();
        }
        for alarm in raised {
            if !self.incidents.waits(&alarm) || !self.is_open_alarm(&alarm) {
                continue;
            }
            let Some(serious) = self.serious(&alarm) else {
                continue;
            };
            let record = Record::Incident {
                record: self.incidents.place(now, serious),
            };
            self.commit(now, turn, record);
        }
    }

    /// A turn is whole: no record of it comes after this. An incident knows its records by their
    /// numbers, and its document is cut out of the journal by them.
    pub(super) const fn end_turn(&mut self, turn: &Turn) {
        self.next_seq += turn.records.len() as u64;
    }

    /// What a person asks.
    pub(super) fn incident_order(&self, by: &str, order: Order) -> Result<Record, Refused> {
        let record =
            self.incidents
                .order(by, order, |alarm| self.alarm_state(alarm), || self.serious_now())?;
        Ok(Record::Incident { record })
    }

    pub(super) fn shown_incidents(&self) -> Vec<snapshot::Incident> {
        self.incidents.shown(|alarm| self.alarm_state(alarm).is_some())
    }

    /// Every incident in memory, newest first.
    #[must_use]
    pub fn incident_rows(&self) -> Vec<snapshot::Incident> {
        self.incidents.view(|alarm| self.alarm_state(alarm).is_some())
    }

    /// Where an incident stands in the journal: the record that opened it, and the last one of it
    /// when it is closed.
    #[must_use]
    pub fn incident_place(&self, incident: u32) -> Option<(u64, Option<u64>)> {
        let opened = self.incidents.opened_at(incident)?;
        Some((opened, self.incidents.ended_at(incident)))
    }

    /// What things are called here.
    #[must_use]
    pub fn site_names(&self) -> Names {
        Names::of(&self.site)
    }

    /// Name of the room, and whether it is a simulated one.
    #[must_use]
    pub fn room(&self) -> (crate::site::Label, bool) {
        (self.site.name.clone(), W::SIMULATED)
    }

    /// True when an alarm needs somebody now: raised, and nobody put it away.
    fn is_open_alarm(&self, alarm: &str) -> bool {
        matches!(
            self.alarm_state(alarm),
            Some(AlarmState::Unacknowledged | AlarmState::Acknowledged)
        )
    }

    /// Every serious alarm that is not back to normal.
    fn serious_now(&self) -> Vec<String> {
        let ids = self.book.standing_ids();
        ids.filter(|id| self.serious(id).is_some())
            .map(str::to_owned)
            .collect()
    }

    fn alarm_state(&self, alarm: &str) -> Option<AlarmState> {
        self.book.state(alarm)
    }

    /// The alarm, when it is serious: critical, or about somebody who may not be here.
    fn serious(&self, alarm: &str) -> Option<Serious> {
        let definition = self.book.definition(alarm)?;
        let nature = nature_of(definition.kind);
        let is_serious = definition.priority == Priority::Critical || nature == Nature::Intrusion;
        is_serious.then(|| Serious {
            alarm: alarm.to_owned(),
            nature,
            what: definition.what(),
            place: definition.place.clone(),
        })
    }
}

/// What an alarm makes of an incident. Of the alarms of doors, those are about somebody who may not be
/// here that no broken part and no forgotten door explains; a second board under the name of a node
/// is one of them.
const fn nature_of(kind: Kind) -> Nature {
    match kind {
        Kind::DoorForced
        | Kind::DeniedRepeatedly
        | Kind::Tamper
        | Kind::CardAnomaly
        | Kind::VisitorAlone
        | Kind::NodeTwin => Nature::Intrusion,
        _ => match kind.class() {
            Class::Environment => Nature::Environment,
            Class::Water => Nature::Water,
            Class::Fire => Nature::Fire,
            Class::Power => Nature::Power,
            Class::Door | Class::Device => Nature::Equipment,
            Class::System => Nature::Monitoring,
        },
    }
}

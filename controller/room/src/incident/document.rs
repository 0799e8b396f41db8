//! The document of an incident, for the CSIRT and the committee: what it was, its figures, its alarms,
//! its story, and the piece of the journal that all of it rests on.
//!
//! A function of the records between two numbers of the journal and of the names of the site: made
//! again from the same piece it is the same, byte by byte, so its hash can be kept and compared. It
//! carries no time of its making for that reason.

use super::timeline::{Names, Timeline, Writer};
use super::{Incidents, Record as IncidentRecord, number};
use crate::outage::Record as Power;
use crate::record::{Entry, NodeEvent, Record};
use crate::site::{Label, Priority};
use crate::snapshot;
use serde::{Deserialize, Serialize};
use shared::wire::DoorEvent;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// How long before its opening the story begins: what led to it belongs to it.
pub const LEAD_MS: i64 = 30 * 60_000;
/// and at most so many records before it.
pub const MAX_LEAD: u64 = 5_000;
/// Records of one document; what comes later is counted as missing, and the next document of the same
/// incident cannot hold it either: the journal does.
pub const MAX_RECORDS: u64 = 300_000;
/// Alarms with a row of their own.
pub const MAX_ALARM_ROWS: usize = 500;
/// Class of the document by the standard's classification of information (T2-1); the entry log is Ⅱ.
pub const CLASS: &str = "重要性分類Ⅱ";

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// `INC-0001-01`: the incident and how often it had been handed over, plus one.
    pub document: String,
    /// Class by which it must be kept.
    pub class: String,
    /// Name of the room.
    pub site: Label,
    /// True for a simulated room.
    pub simulated: bool,
    /// The incident as it was at the end of the piece.
    pub incident: snapshot::Incident,
    /// Its figures.
    pub figures: Figures,
    /// Its alarms, in the order in which they were raised.
    pub alarms: Vec<AlarmRow>,
    /// Its story.
    pub timeline: Timeline,
    /// What it rests on.
    pub proof: Proof,
}

/// Counts over the piece of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Figures {
    /// From its opening to its end, or to the end of the piece, by the wall clock.
    pub lasted_ms: i64,
    /// From its first alarm to the first acknowledgement of one of its alarms.
    pub first_acknowledged_ms: Option<i64>,
    /// Alarms raised, of any priority, its own or not.
    pub alarms_raised: u64,
    /// Of them critical.
    pub critical_raised: u64,
    /// Cards let in.
    pub granted: u64,
    /// Cards refused.
    pub denied: u64,
    /// Openings of doors with a reader.
    pub door_openings: u64,
    /// Failures of the mains: UPSs that are on battery at the same time count once.
    pub outages: u64,
    /// Hosts stopped and confirmed.
    pub hosts_stopped: u64,
    /// Starts of the controller.
    pub controller_starts: u64,
    /// Notes of persons.
    pub notes: u64,
}

/// An alarm of the incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlarmRow {
    /// Alarm id.
    pub id: String,
    /// Its priority.
    pub priority: Priority,
    /// What happened.
    pub what: Label,
    /// Where.
    pub place: Label,
    /// What was to be done.
    pub action: Label,
    /// When it was raised first.
    pub raised_ms: i64,
    /// How often it was raised in this piece.
    pub times: u32,
    /// Who took it,
    pub acknowledged_by: Option<String>,
    /// and when.
    pub acknowledged_ms: Option<i64>,
    /// When its cause was gone last; `null` while it is there.
    pub returned_ms: Option<i64>,
}

/// The piece of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Proof {
    /// First record.
    pub first_seq: u64,
    /// Last record.
    pub last_seq: u64,
    /// Hash of the chain before the first record, as hex.
    pub before: String,
    /// Hash of the chain at the last record, as hex.
    pub last: String,
    /// True when the hashes of all records between follow from each other.
    pub intact: bool,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Records behind the piece that did not fit.
    pub left_out: u64,
}

/// Makes a document, entry by entry.
#[derive(Debug)]
pub struct Maker<'a> {
    site: Label,
    simulated: bool,
    id: u32,
    incidents: Incidents,
    writer: Writer<'a>,
    figures: Figures,
    alarms: BTreeMap<String, (u64, AlarmRow)>,
    /// UPSs that are on battery.
    on_battery: BTreeSet<String>,
    last_wall: i64,
    begun: Option<i64>,
}

impl<'a> Maker<'a> {
    /// For this incident of this site.
    #[must_use]
    pub fn new(names: &'a Names, site: Label, simulated: bool, incident: u32) -> Self {
        Self {
            site,
            simulated,
            id: incident,
            incidents: Incidents::default(),
            writer: Writer::new(names, incident),
            figures: Figures::default(),
            alarms: BTreeMap::new(),
            on_battery: BTreeSet::new(),
            last_wall: 0,
            begun: None,
        }
    }

    /// The next entry of the piece.
    pub fn read(&mut self, entry: &Entry) {
        self.last_wall = entry.now.wall.0;
        self.writer.read(entry);
        self.count(entry);
        self.alarm(entry);
        if let Record::Incident { record } = &entry.record
            && record.incident() == self.id
        {
            if matches!(record, IncidentRecord::Opened { .. }) {
                self.begun = Some(entry.now.wall.0);
            }
            self.incidents.apply(entry.now, entry.seq, record);
        }
    }

    fn count(&mut self, entry: &Entry) {
        let figures = &mut self.figures;
        match &entry.record {
            Record::AlarmRaised { priority, .. } => {
                figures.alarms_raised += 1;
                figures.critical_raised += u64::from(*priority == Priority::Critical);
            }
            Record::NodeEvent { event, .. } => match event {
                NodeEvent::Credential { decision, .. } if decision.starts_with("granted") => {
                    figures.granted += 1;
                }
                NodeEvent::Credential { .. } => figures.denied += 1,
                NodeEvent::Door {
                    door: DoorEvent::Opened(_) | DoorEvent::Forced,
                    ..
                } => figures.door_openings += 1,
                _ => {}
            },
            Record::Power { record } => match record {
                // One failure of the mains takes several UPSs with it.
                Power::MainsLost { ups, .. } => {
                    figures.outages += u64::from(self.on_battery.is_empty());
                    self.on_battery.insert(ups.clone());
                }
                Power::MainsBack { ups, .. } => {
                    self.on_battery.remove(ups);
                }
                Power::StepConfirmed { .. } => figures.hosts_stopped += 1,
                _ => {}
            },
            Record::Started { .. } => figures.controller_starts += 1,
            Record::Incident {
                record: IncidentRecord::Noted { incident, .. },
            } if *incident == self.id => figures.notes += 1,
            _ => {}
        }
    }

    fn alarm(&mut self, entry: &Entry) {
        let at = entry.now.wall.0;
        match &entry.record {
            Record::AlarmRaised {
                alarm,
                priority,
                what,
                place,
                action,
                ..
            } => {
                if let Some((_, row)) = self.alarms.get_mut(alarm) {
                    row.times += 1;
                    row.returned_ms = None;
                } else if self.alarms.len() < MAX_ALARM_ROWS {
                    let row = AlarmRow {
                        id: alarm.clone(),
                        priority: *priority,
                        what: what.clone(),
                        place: place.clone(),
                        action: action.clone(),
                        raised_ms: at,
                        times: 1,
                        acknowledged_by: None,
                        acknowledged_ms: None,
                        returned_ms: None,
                    };
                    self.alarms.insert(alarm.clone(), (entry.seq, row));
                }
            }
            Record::AlarmAcknowledged { alarm, by } => {
                if let Some((_, row)) = self.alarms.get_mut(alarm)
                    && row.acknowledged_ms.is_none()
                {
                    row.acknowledged_ms = Some(at);
                    row.acknowledged_by = Some(by.clone());
                }
            }
            Record::AlarmReturned { alarm, .. } => {
                if let Some((_, row)) = self.alarms.get_mut(alarm) {
                    row.returned_ms = Some(at);
                }
            }
            _ => {}
        }
    }

    /// The whole; `None` when the piece does not open this incident.
    #[must_use]
    pub fn end(mut self, proof: Proof) -> Option<Document> {
        let mut rows: Vec<(u64, AlarmRow)> = self.alarms.into_values().collect();
        rows.sort_by_key(|(seq, _)| *seq);
        let standing: Vec<String> = rows
            .iter()
            .filter(|(_, row)| row.returned_ms.is_none())
            .map(|(_, row)| row.id.clone())
            .collect();
        let incident = self
            .incidents
            .view(|alarm| standing.iter().any(|id| id == alarm))
            .into_iter()
            .next()?;
        let alarms: Vec<AlarmRow> = rows
            .into_iter()
            .map(|(_, row)| row)
            .filter(|row| incident.alarms.contains(&row.id))
            .collect();
        let end = incident.closed_ms.unwrap_or(self.last_wall);
        self.figures.lasted_ms = end - self.begun.unwrap_or(end);
        let first = alarms.iter().map(|row| row.raised_ms).min();
        let taken = alarms.iter().filter_map(|row| row.acknowledged_ms).min();
        self.figures.first_acknowledged_ms = first.zip(taken).map(|(first, taken)| taken - first);
        Some(Document {
            document: format!("{}-{:02}", number(self.id), incident.handed_over.len() + 1),
            class: CLASS.to_owned(),
            site: self.site,
            simulated: self.simulated,
            incident,
            figures: self.figures,
            alarms,
            timeline: self.writer.end(),
            proof,
        })
    }
}

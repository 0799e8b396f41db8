//! Incidents: what belongs together when something serious happened, and what became of it.
//!
//! ```text
//!  serious alarm, or a person --> open --note, nature, joined alarms--> open --close--> closed
//!                                   ^----------------- reopen ----------------------------'
//! ```
//! A serious alarm is one of priority critical, and every alarm about somebody who may not be here.
//! While it is shelved, suppressed by design or out of service it opens nothing; when that ends and it
//! still stands, it does.
//!
//! A serious alarm joins the newest open incident for which this holds, else it opens a new one:
//! 1. the incident has this alarm already, or one of the same place, and its last alarm was raised
//!    less than [`SAME_CAUSE_WITHIN`] ago: the same cause;
//! 2. it is of the same side (people, or the room) and its last alarm was raised less than
//!    [`SAME_STORY_WITHIN`] ago: one thing leads to another.
//!
//! An incident that a person opened takes alarms by the same two rules, from its opening on.
//!
//! Nothing here edits: every change is a record, and closing needs a conclusion and is refused while
//! one of its alarms is not back to normal. What is handed over is made by [`document`].

pub mod document;
pub mod timeline;

use crate::alarm::{operator_text, written};
use crate::event::Refused;
use crate::site::Label;
use crate::snapshot::{self, AlarmState};
use crate::time::{Millis, Mono, Now, Wall};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// The same alarm, or one of the same place, belongs to an open incident for so long.
pub const SAME_CAUSE_WITHIN: Millis = Millis(24 * 3_600_000);
/// Another serious alarm of the same side belongs to an open incident for so long.
pub const SAME_STORY_WITHIN: Millis = Millis(30 * 60_000);
/// Longest note or conclusion, in characters: a page of a report.
pub const MAX_TEXT: usize = 2_000;
/// Alarms kept by name in one incident; the rest is counted.
pub const MAX_ALARMS: usize = 200;
/// Incidents kept in memory; the oldest closed ones are then in the journal alone.
pub const MAX_INCIDENTS: usize = 2_000;
/// Hand-overs kept by name in one incident.
pub const MAX_HAND_OVERS: usize = 50;
/// Open incidents of the picture, newest first.
pub const MAX_SHOWN: usize = 20;

/// What an incident is. Set from its first alarm, changed by a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// Somebody entered or tried to, or handled the equipment, without being allowed.
    Intrusion,
    /// Smoke or fire.
    Fire,
    /// Water in the room.
    Water,
    /// Mains, UPS, shutdown plan.
    Power,
    /// Temperature, humidity, air conditioning.
    Environment,
    /// A device or a node failed.
    Equipment,
    /// The watchtower itself.
    Monitoring,
    /// It turned out to be none.
    FalseAlarm,
    /// It was an exercise.
    Drill,
    /// None of these.
    Other,
}

impl Nature {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Intrusion,
        Self::Fire,
        Self::Water,
        Self::Power,
        Self::Environment,
        Self::Equipment,
        Self::Monitoring,
        Self::FalseAlarm,
        Self::Drill,
        Self::Other,
    ];

    /// Reserved word, as in records and the API.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Intrusion => "intrusion",
            Self::Fire => "fire",
            Self::Water => "water",
            Self::Power => "power",
            Self::Environment => "environment",
            Self::Equipment => "equipment",
            Self::Monitoring => "monitoring",
            Self::FalseAlarm => "false_alarm",
            Self::Drill => "drill",
            Self::Other => "other",
        }
    }

    /// The one with this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|nature| nature.word() == word)
    }

    /// As people say it.
    #[must_use]
    pub fn label(self) -> Label {
        let (ja, en) = match self {
            Self::Intrusion => ("不正な入室・操作", "Unauthorised access"),
            Self::Fire => ("火災・煙", "Fire or smoke"),
            Self::Water => ("漏水", "Water"),
            Self::Power => ("停電・電源", "Power"),
            Self::Environment => ("温湿度・空調", "Temperature and humidity"),
            Self::Equipment => ("機器の故障", "Equipment failure"),
            Self::Monitoring => ("監視装置の障害", "Failure of the monitoring"),
            Self::FalseAlarm => ("誤報", "False alarm"),
            Self::Drill => ("訓練", "Exercise"),
            Self::Other => ("その他", "Other"),
        };
        Label::new(ja, en)
    }

    /// Who is concerned: what people do and what the room does are different stories, told to
    /// different persons.
    const fn side(self) -> Side {
        match self {
            Self::Intrusion => Side::People,
            _ => Side::Room,
        }
    }
}

/// Whose story it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    People,
    Room,
}

/// One durable change. Append only, as every record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// An incident begins.
    Opened {
        /// Its number; counts up from 1.
        incident: u32,
        /// What it is.
        nature: Nature,
        /// In a few words.
        title: Label,
        /// The alarm that opened it.
        alarm: Option<String>,
        /// Where that alarm is.
        place: Option<Label>,
        /// The person who opened it.
        by: Option<String>,
    },
    /// A serious alarm belongs to it.
    Joined {
        /// Incident.
        incident: u32,
        /// Alarm id.
        alarm: String,
        /// Where it is.
        place: Label,
    },
    /// A person wrote something down.
    Noted {
        /// Incident.
        incident: u32,
        /// Who.
        by: String,
        /// What.
        text: String,
    },
    /// A person said what it is.
    Classified {
        /// Incident.
        incident: u32,
        /// What it is.
        nature: Nature,
        /// Who.
        by: String,
    },
    /// It is over.
    Closed {
        /// Incident.
        incident: u32,
        /// Who.
        by: String,
        /// What was found and done.
        conclusion: String,
    },
    /// It is not over after all.
    Reopened {
        /// Incident.
        incident: u32,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Its document was given to somebody.
    HandedOver {
        /// Incident.
        incident: u32,
        /// To whom.
        to: String,
        /// Who did.
        by: String,
        /// What it rests on.
        evidence: Evidence,
    },
}

impl Record {
    /// The incident it is about.
    #[must_use]
    pub const fn incident(&self) -> u32 {
        match self {
            Self::Opened { incident, .. }
            | Self::Joined { incident, .. }
            | Self::Noted { incident, .. }
            | Self::Classified { incident, .. }
            | Self::Closed { incident, .. }
            | Self::Reopened { incident, .. }
            | Self::HandedOver { incident, .. } => *incident,
        }
    }
}

/// The piece of the journal that a document rests on, and the document itself. Whoever has a
/// witnessed checkpoint at or behind `last_seq` can prove that the piece is unaltered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// First record of the piece.
    pub first_seq: u64,
    /// Last record of it.
    pub last_seq: u64,
    /// Hash of the chain before the first record, as hex.
    pub before: String,
    /// Hash of the chain at the last record, as hex.
    pub last: String,
    /// SHA-256 of the document (JSON, as served), as hex.
    pub document: String,
}

/// What a person asks of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Begin one by hand.
    Open {
        /// What it is.
        nature: Nature,
        /// In a few words.
        title: String,
    },
    /// Write something down.
    Note {
        /// Incident.
        incident: u32,
        /// What.
        text: String,
    },
    /// Say what it is.
    Classify {
        /// Incident.
        incident: u32,
        /// What it is.
        nature: Nature,
    },
    /// It is over.
    Close {
        /// Incident.
        incident: u32,
        /// What was found and done.
        conclusion: String,
    },
    /// It is not over.
    Reopen {
        /// Incident.
        incident: u32,
        /// Why.
        reason: String,
    },
    /// Its document is given to somebody.
    HandOver {
        /// Incident.
        incident: u32,
        /// To whom: `CSIRT`, `情報セキュリティ委員会`, a name.
        to: String,
        /// Made by core from the journal; whoever asks cannot say it.
        #[serde(skip)]
        evidence: Option<Evidence>,
    },
}

/// A serious alarm, as the engine sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Serious {
    /// Alarm id.
    pub alarm: String,
    /// What its kind of alarm makes of an incident.
    pub nature: Nature,
    /// What happened.
    pub what: Label,
    /// Where.
    pub place: Label,
}

#[derive(Debug, Clone)]
struct Incident {
    nature: Nature,
    title: Label,
    opened: Wall,
    opened_seq: u64,
    by: Option<String>,
    alarms: BTreeSet<String>,
    places: Vec<Label>,
    more: u32,
    closed: Option<Closing>,
    notes: u32,
    handed_over: Vec<snapshot::HandOver>,
    /// When its last alarm was raised, or it was opened by hand.
    last: Mono,
    /// Its last own record.
    last_seq: u64,
}

#[derive(Debug, Clone)]
struct Closing {
    at: Wall,
    by: String,
    conclusion: String,
}

/// Every incident of the room.
#[derive(Debug, Clone, Default)]
pub struct Incidents {
    all: BTreeMap<u32, Incident>,
    last_id: u32,
    /// Serious alarms that were raised and belong to no incident yet: shelved or suppressed.
    waiting: BTreeSet<String>,
    boot_id: String,
}

impl Incidents {
    /// Applies a record of ours.
    pub fn apply(&mut self, now: Now, seq: u64, record: &Record) {
        if let Record::Opened {
            incident,
            nature,
            title,
            alarm,
            place,
            by,
        } = record
        {
            self.last_id = self.last_id.max(*incident);
            if let Some(alarm) = alarm {
                self.waiting.remove(alarm);
            }
            let opened = Incident {
                nature: *nature,
                title: title.clone(),
                opened: now.wall,
                opened_seq: seq,
                by: by.clone(),
                alarms: alarm.iter().cloned().collect(),
                places: place.iter().cloned().collect(),
                more: 0,
                closed: None,
                notes: 0,
                handed_over: Vec::new(),
                last: now.mono,
                last_seq: seq,
            };
            self.all.insert(*incident, opened);
            self.forget_oldest();
            return;
        }
        if let Record::Joined { alarm, .. } = record {
            self.waiting.remove(alarm);
        }
        let Some(incident) = self.all.get_mut(&record.incident()) else {
            return;
        };
        incident.last_seq = seq;
        match record {
            Record::Opened { .. } => {}
            Record::Joined { alarm, place, .. } => {
                incident.last = now.mono;
                if incident.alarms.len() < MAX_ALARMS {
                    incident.alarms.insert(alarm.clone());
                    if !incident.places.contains(place) {
                        incident.places.push(place.clone());
                    }
                } else {
                    incident.more = incident.more.saturating_add(1);
                }
            }
            Record::Noted { .. } => incident.notes = incident.notes.saturating_add(1),
            Record::Classified { nature, .. } => incident.nature = *nature,
            Record::Closed { by, conclusion, .. } => {
                incident.closed = Some(Closing {
                    at: now.wall,
                    by: by.clone(),
                    conclusion: conclusion.clone(),
                });
            }
            Record::Reopened { .. } => {
                incident.closed = None;
                incident.last = now.mono;
            }
            Record::HandedOver { to, by, evidence, .. } => {
                if incident.handed_over.len() == MAX_HAND_OVERS {
                    incident.handed_over.remove(0);
                }
                incident.handed_over.push(snapshot::HandOver {
                    to: to.clone(),
                    by: by.clone(),
                    at_ms: now.wall.0,
                    evidence: evidence.clone(),
                });
            }
        }
    }

    /// A serious alarm was raised: it waits for its place, unless an open incident has it.
    pub fn raised(&mut self, now: Now, alarm: &str) {
        match self.having(now, alarm) {
            Some(id) => {
                if let Some(incident) = self.all.get_mut(&id) {
                    incident.last = now.mono;
                }
            }
            None => {
                self.waiting.insert(alarm.to_owned());
            }
        }
    }

    /// An alarm is back to normal before it opened anything.
    pub fn returned(&mut self, alarm: &str) {
        self.waiting.remove(alarm);
    }

    /// The controller started; after a restart of the machine its old monotonic times mean nothing.
    pub fn started(&mut self, now: Now, boot_id: &str) {
        if self.boot_id != boot_id || boot_id.is_empty() {
            for incident in self.all.values_mut() {
                incident.last = now.mono;
            }
        }
        boot_id.clone_into(&mut self.boot_id);
    }

    /// True when this alarm was raised and belongs to no incident.
    #[must_use]
    pub fn waits(&self, alarm: &str) -> bool {
        self.waiting.contains(alarm)
    }

    /// Every alarm that was raised and belongs to no incident.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(String::as_str)
    }

    /// The newest open incident that has this alarm.
    fn having(&self, now: Now, alarm: &str) -> Option<u32> {
        self.open()
            .find(|(_, incident)| incident.alarms.contains(alarm) && incident.within(now, SAME_CAUSE_WITHIN))
            .map(|(id, _)| *id)
    }

    /// Newest first.
    fn open(&self) -> impl Iterator<Item = (&u32, &Incident)> {
        self.all
            .iter()
            .rev()
            .filter(|(_, incident)| incident.closed.is_none())
    }

    /// Where a serious alarm belongs: the rules stand in the head of this file.
    #[must_use]
    pub fn place(&self, now: Now, serious: Serious) -> Record {
        let same_cause = |incident: &Incident| {
            (incident.alarms.contains(&serious.alarm) || incident.places.contains(&serious.place))
                && incident.within(now, SAME_CAUSE_WITHIN)
        };
        let same_story = |incident: &Incident| {
            incident.nature.side() == serious.nature.side() && incident.within(now, SAME_STORY_WITHIN)
        };
        let found = self
            .open()
            .find(|(_, incident)| same_cause(incident))
            .or_else(|| self.open().find(|(_, incident)| same_story(incident)));
        match found {
            Some((incident, _)) => Record::Joined {
                incident: *incident,
                alarm: serious.alarm,
                place: serious.place,
            },
            None => Record::Opened {
                incident: self.last_id.saturating_add(1),
                nature: serious.nature,
                title: serious.what,
                alarm: Some(serious.alarm),
                place: Some(serious.place),
                by: None,
            },
        }
    }

    /// A person's wish; the record must be applied. `state` says what an alarm that is not normal is;
    /// `serious` names the serious alarms that stand, for an incident that has more of them than it
    /// can list.
    ///
    /// # Errors
    /// [`Refused`] in words for the page.
    pub fn order(
        &self,
        by: &str,
        order: Order,
        state: impl Fn(&str) -> Option<AlarmState>,
        serious: impl FnOnce() -> Vec<String>,
    ) -> Result<Record, Refused> {
        let by = operator_text("by", by)?;
        Ok(match order {
            Order::Open { nature, title } => {
                let title = operator_text("title", &title)?;
                Record::Opened {
                    incident: self.last_id.saturating_add(1),
                    nature,
                    title: Label::new(title.clone(), title),
                    alarm: None,
                    place: None,
                    by: Some(by),
                }
            }
            Order::Note { incident, text } => {
                self.find(incident)?;
                Record::Noted {
                    incident,
                    by,
                    text: long_text("text", &text)?,
                }
            }
            Order::Classify { incident, nature } => {
                if self.find(incident)?.nature == nature {
                    return Err(Refused::conflict(
                        format!("事案 {incident} の種別はすでにその通りです"),
                        format!("incident {incident} is {} already", nature.word()),
                    ));
                }
                Record::Classified { incident, nature, by }
            }
            Order::Close { incident, conclusion } => {
                let found = self.find(incident)?;
                if found.closed.is_some() {
                    return Err(Refused::conflict(
                        format!("事案 {incident} はすでに終わっています"),
                        format!("incident {incident} is closed"),
                    ));
                }
                let conclusion = long_text("conclusion", &conclusion)?;
                if let Some(why) = self.not_over(found, state, serious) {
                    return Err(Refused::Conflict(why));
                }
                Record::Closed {
                    incident,
                    by,
                    conclusion,
                }
            }
            Order::Reopen { incident, reason } => {
                if self.find(incident)?.closed.is_none() {
                    return Err(Refused::conflict(
                        format!("事案 {incident} は継続中です"),
                        format!("incident {incident} is open"),
                    ));
                }
                Record::Reopened {
                    incident,
                    by,
                    reason: operator_text("reason", &reason)?,
                }
            }
            Order::HandOver {
                incident,
                to,
                evidence,
            } => {
                self.find(incident)?;
                let to = operator_text("to", &to)?;
                let evidence = evidence.ok_or_else(|| {
                    Refused::Unavailable("the document was not made; hand it over again".to_owned())
                })?;
                Record::HandedOver {
                    incident,
                    to,
                    by,
                    evidence,
                }
            }
        })
    }

    /// Why an incident cannot be closed, and what to do about each kind of alarm that holds it open.
    fn not_over(
        &self,
        found: &Incident,
        state: impl Fn(&str) -> Option<AlarmState>,
        serious: impl FnOnce() -> Vec<String>,
    ) -> Option<Label> {
        let (mut open, mut shelved, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for alarm in &found.alarms {
            match state(alarm) {
                None => {}
                Some(AlarmState::OutOfService) => out.push(alarm.as_str()),
                Some(AlarmState::Shelved) => shelved.push(alarm.as_str()),
                Some(_) => open.push(alarm.as_str()),
            }
        }
        // Alarms beyond the list are known to the journal alone. What is serious, stands and is of no
        // incident's list can only be one of them.
        let unlisted = if found.more > 0 { serious() } else { Vec::new() };
        let beyond: Vec<&str> = unlisted
            .iter()
            .map(String::as_str)
            .filter(|alarm| !self.open().any(|(_, incident)| incident.alarms.contains(*alarm)))
            .collect();
        let todo = [
            (
                open,
                "が正常に戻っていません。先に対応または解除をしてください",
                "are not back to normal; acknowledge or reset them first",
            ),
            (
                shelved,
                "が一時保留中で、正常に戻っていません。先に一時保留を終えて対応してください",
                "are shelved and not back to normal; unshelve and acknowledge them first",
            ),
            (
                out,
                "が使用停止中です。先に使用を再開してください",
                "are out of service; put them back into service first",
            ),
            (
                beyond,
                "は、一覧に入りきらないこの事案の警報かもしれません。先に対応または解除をしてください",
                "may be of its alarms that the list has no room for; acknowledge or reset them first",
            ),
        ];
        let (ja, en): (Vec<String>, Vec<String>) = todo
            .iter()
            .filter(|(names, ..)| !names.is_empty())
            .map(|(names, ja, en)| {
                let names = shortened(names);
                (format!("{} {ja}", names.ja), format!("{} {en}", names.en))
            })
            .unzip();
        (!en.is_empty()).then(|| Label::new(ja.join("。"), en.join("; ")))
    }

    fn find(&self, incident: u32) -> Result<&Incident, Refused> {
        self.all.get(&incident).ok_or_else(|| {
            Refused::not_found(
                format!("事案 {incident} はありません"),
                format!("no incident {incident}"),
            )
        })
    }

    /// Where an incident stands in the journal: the record that opened it.
    #[must_use]
    pub fn opened_at(&self, incident: u32) -> Option<u64> {
        self.all.get(&incident).map(|incident| incident.opened_seq)
    }

    /// The record that closed it, when it is closed: its story ends there or with what came after.
    #[must_use]
    pub fn ended_at(&self, incident: u32) -> Option<u64> {
        let incident = self.all.get(&incident)?;
        incident.closed.is_some().then_some(incident.last_seq)
    }

    /// Rows for the page, newest first.
    #[must_use]
    pub fn view(&self, not_normal: impl Fn(&str) -> bool) -> Vec<snapshot::Incident> {
        self.all
            .iter()
            .rev()
            .map(|(id, incident)| incident.row(*id, &not_normal))
            .collect()
    }

    /// Open ones for the picture, newest first.
    #[must_use]
    pub fn shown(&self, not_normal: impl Fn(&str) -> bool) -> Vec<snapshot::Incident> {
        self.open()
            .take(MAX_SHOWN)
            .map(|(id, incident)| incident.row(*id, &not_normal))
            .collect()
    }

    /// Open ones.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open().count()
    }

    fn forget_oldest(&mut self) {
        if self.all.len() <= MAX_INCIDENTS {
            return;
        }
        let oldest = self
            .all
            .iter()
            .find(|(_, incident)| incident.closed.is_some())
            .or_else(|| self.all.iter().next())
            .map(|(id, _)| *id);
        if let Some(oldest) = oldest {
            self.all.remove(&oldest);
        }
    }
}

impl Incident {
    fn within(&self, now: Now, span: Millis) -> bool {
        now.mono.since(self.last) <= span
    }

    fn row(&self, id: u32, not_normal: impl Fn(&str) -> bool) -> snapshot::Incident {
        let standing = self.alarms.iter().filter(|alarm| not_normal(alarm)).count();
        snapshot::Incident {
            id,
            number: number(id),
            nature: self.nature,
            title: self.title.clone(),
            open: self.closed.is_none(),
            opened_ms: self.opened.0,
            opened_by: self.by.clone(),
            closed_ms: self.closed.as_ref().map(|closing| closing.at.0),
            closed_by: self.closed.as_ref().map(|closing| closing.by.clone()),
            conclusion: self.closed.as_ref().map(|closing| closing.conclusion.clone()),
            alarms: self.alarms.iter().cloned().collect(),
            more_alarms: self.more,
            standing: u32::try_from(standing).unwrap_or(u32::MAX),
            notes: self.notes,
            handed_over: self.handed_over.clone(),
        }
    }
}

/// As it stands on paper.
#[must_use]
pub fn number(incident: u32) -> String {
    format!("INC-{incident:04}")
}

/// The first few names, and how many more.
fn shortened(names: &[&str]) -> Label {
    const FEW: usize = 5;
    let few = &names[..names.len().min(FEW)];
    let (ja, en) = (few.join("、"), few.join(", "));
    match names.len().saturating_sub(FEW) {
        0 => Label::new(ja, en),
        more => Label::new(format!("{ja} ほか {more} 件"), format!("{en} and {more} more")),
    }
}

/// Notes and conclusions: bounded, not empty; lines may end, nothing else may be a control character.
fn long_text(field: &str, text: &str) -> Result<String, Refused> {
    let text = text.trim().replace("\r\n", "\n");
    written(field, &text, MAX_TEXT, |c| c.is_control() && c != '\n')?;
    Ok(text)
}

//! The points' part of the engine: a value comes in, its limits and contacts are judged.

use super::Engine;
use super::events::line_words;
use crate::alarm::Condition;
use crate::catalog;
use crate::device::FactValue;
use crate::event::{HistoryRow, Turn};
use crate::limits;
use crate::site::{ContactKind, Label, Limit, World};
use crate::time::{Mono, Now, Wall};
use shared::NoData;

impl<W: World> Engine<W> {
    pub(super) fn set_point(
        &mut self,
        now: Now,
        id: &str,
        at: Mono,
        value: Result<FactValue, NoData>,
        turn: &mut Turn,
    ) {
        let Some(point) = self.points.get_mut(id) else {
            return;
        };
        point.set(at, value);
        let number = point.number(now.mono).ok();
        if point.is_due_for_history(now.mono, number) {
            let ago = i64::try_from(now.mono.since(at).0).unwrap_or(0);
            turn.history.push(HistoryRow {
                point: id.to_owned(),
                at: Wall(now.wall.0.saturating_sub(ago)),
                value: number,
            });
        }
        self.evaluate_point(now, id, turn);
        self.forecast_point(now, id, turn);
        self.derive_from(now, id, turn);
    }

    /// A point that turned stale has a gap from now on; nobody else says so.
    pub(super) fn log_gap(&mut self, now: Now, id: &str, turn: &mut Turn) {
        let Some(point) = self.points.get_mut(id) else {
            return;
        };
        if point.number(now.mono).is_err() && point.is_due_for_history(now.mono, None) {
            turn.history.push(HistoryRow {
                point: id.to_owned(),
                at: now.wall,
                value: None,
            });
        }
    }

    pub(super) fn evaluate_point(&mut self, now: Now, id: &str, turn: &mut Turn) {
        let Some(point) = self.points.get(id) else { return };
        let value = point.number(now.mono);
        let (kind, stale_after) = (point.definition.contact, point.definition.stale_after);
        let hidden = value.is_err() && self.is_hidden_source(&point.definition.source);
        if let Some(kind) = kind {
            self.evaluate_contact(now, id, kind, value, turn);
        }
        if kind == Some(ContactKind::Leak) {
            self.evaluate_rope(now, id, value, turn);
        }
        for limit in self.limits.get(id).cloned().unwrap_or_default() {
            let unit = self.points.get(id).map_or("", |point| point.definition.unit);
            let condition = limit_condition(&limit, value, self.book.is_active(&limit.id), unit);
            self.report(now, turn, &limit.id, condition);
        }
        let condition = match value {
            Ok(_) => Condition::Gone,
            Err(NoData::NeverHeard)
                if self
                    .started
                    .is_none_or(|started| now.mono.since(started) <= stale_after) =>
            {
                Condition::Unknown
            }
            // Its own alarm says more.
            Err(NoData::Implausible) if self.chatters(id) => Condition::Unknown,
            // Its own alarm says more.
            Err(NoData::LineFault) if kind == Some(ContactKind::Leak) => Condition::Unknown,
            Err(NoData::LineFault) if self.line_faults.contains_key(id) => {
                let (ja, en) = line_words(self.line_faults[id]);
                Condition::Holds(Label::new(ja, en))
            }
            // Its device is behind one that does not answer, whose alarm says so for all.
            Err(_) if hidden => Condition::Unknown,
            Err(reason) => Condition::Holds(Label::new(no_data_words(reason).0, no_data_words(reason).1)),
        };
        self.report(now, turn, &catalog::no_data_id(id), condition);
    }

    /// A leak rope that is cut or shorted is not dry.
    fn evaluate_rope(&mut self, now: Now, id: &str, value: Result<f64, NoData>, turn: &mut Turn) {
        let condition = match value {
            Ok(_) => Condition::Gone,
            Err(NoData::LineFault) => {
                let (ja, en) = match self.line_faults.get(id) {
                    Some(fault) => line_words(*fault),
                    None => no_data_words(NoData::LineFault),
                };
                Condition::Holds(Label::new(ja, en))
            }
            Err(_) => Condition::Unknown,
        };
        self.report(now, turn, &catalog::rope_id(id), condition);
    }

    pub(super) fn evaluate_contact(
        &mut self,
        now: Now,
        id: &str,
        kind: ContactKind,
        value: Result<f64, NoData>,
        turn: &mut Turn,
    ) {
        let open = value.ok().map(|level| level >= 0.5);
        if let Some(index) = self.portal_of_door(id) {
            self.portal_level(now, index, open, turn);
            return;
        }
        let condition = match value {
            Ok(level) if level >= 0.5 => Condition::Holds(Label::new("接点が開いた", "the contact is open")),
            Ok(_) => Condition::Gone,
            Err(_) if self.chatters(id) && catalog::doubt_is_alarm(kind) => Condition::Holds(Label::new(
                "接点がばたついており、作動していないとは言えない",
                "the contact chatters; nobody can say that it is not on the alarm side",
            )),
            Err(_) => Condition::Unknown,
        };
        self.report(now, turn, &catalog::contact_id(id, kind), condition);
    }
}

fn limit_condition(limit: &Limit, value: Result<f64, NoData>, active: bool, unit: &str) -> Condition {
    let Ok(value) = value else {
        return Condition::Unknown;
    };
    if limits::beyond(limit, value, active) {
        let limit = limit.limit;
        Condition::Holds(Label::new(
            format!("{value:.1} {unit}（限界 {limit:.1} {unit}）"),
            format!("{value:.1} {unit} (limit {limit:.1} {unit})"),
        ))
    } else {
        Condition::Gone
    }
}

/// Why there is no value, in words.
#[must_use]
pub const fn no_data_words(reason: NoData) -> (&'static str, &'static str) {
    match reason {
        NoData::NeverHeard => ("一度も受信していない", "never heard"),
        NoData::Stale => ("更新が止まった", "no longer renewed"),
        NoData::Absent => ("センサーが応答しない", "the sensor does not answer"),
        NoData::BusFault => ("センサーの配線（バス）が固着", "the sensor bus is stuck"),
        NoData::Corrupt => ("応答が壊れている", "the answer is damaged"),
        NoData::Implausible => ("ありえない値", "an impossible value"),
        NoData::Stuck => ("値が固着している", "the value is stuck"),
        NoData::Sentinel => ("機器が「測定なし」を返した", "the device says: not measured"),
        NoData::NotSupported => ("機器が対応していない", "the device does not have it"),
        NoData::Timeout => ("時間内に応答がない", "no answer in time"),
        NoData::DeviceError => ("機器が誤りを返した", "the device reports an error"),
        NoData::LineFault => ("断線、短絡または水没", "line cut, shorted or flooded"),
        _ => ("不明な理由", "an unknown reason"),
    }
}

//! The limits' part of the engine: changes at run time, and what the site's file says of them.
//!
//! ```text
//! LimitChanged ------------> in force --the file says otherwise--> LimitFollowsSite
//! (with what the file said)     '------ another change ------> LimitChanged
//! ```
//! A replay finds the same: a change is in force while the file says what it said then.

use super::Engine;
use crate::alarm::{self, Definition};
use crate::catalog::{self, Kind};
use crate::event::{Refused, Turn};
use crate::limits::{self, Change, MAX_CHANGES_SHOWN, Values, Written};
use crate::point;
use crate::record::Record;
use crate::site::derived::Derivation;
use crate::site::{Label, Limit, Side, World};
use crate::snapshot::{self, LimitChange, LimitValues};
use crate::time::{Millis, Now};
use shared::Quantity;
use std::collections::{BTreeMap, VecDeque};

/// What is known of the changes of limits.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    /// The change that is in force, or that a restart has still to judge.
    in_force: BTreeMap<String, (Written, Values)>,
    /// The last ones of each limit, oldest first.
    shown: BTreeMap<String, VecDeque<LimitChange>>,
}

/// What the preview of a limit needs besides the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The limit as it is.
    pub present: Limit,
    /// As it would be.
    pub proposed: Limit,
    /// Unit of its values.
    pub unit: &'static str,
    /// How long its point may be silent before it is stale.
    pub patience: Millis,
}

impl<W: World> Engine<W> {
    /// The alarm of a limit: what is derived has kinds of its own.
    pub(super) fn limit_alarm(&self, limit: &Limit, point: &point::Definition) -> Definition {
        let derived = self.site.derived.iter().find(|derived| derived.point == point.id);
        let kind = match derived.map(|derived| &derived.from) {
            Some(Derivation::DewPoint { .. }) => match limit.side {
                Side::High => Kind::DewPointHigh,
                Side::Low => Kind::DewPointLow,
            },
            Some(Derivation::Rate { of, .. }) if self.is_temperature(of) => Kind::TemperatureRate,
            Some(Derivation::Difference { .. }) if limit.side == Side::High => Kind::SensorDisagreement,
            _ => catalog::limit_kind(limit, point.quantity),
        };
        Definition {
            folded_under: Self::explains_limit(kind),
            ..catalog::limit_of(limit, point.label.clone(), kind)
        }
    }

    /// A fact has no quantity of ours; its name says what it is.
    fn is_temperature(&self, point: &str) -> bool {
        match self.points.get(point).and_then(|point| point.definition.quantity) {
            Some(quantity) => quantity == Quantity::Temperature,
            None => point.rsplit('.').next() == Some("temperature"),
        }
    }

    fn limit(&self, id: &str) -> Option<&Limit> {
        self.limits.values().flatten().find(|limit| limit.id == id)
    }

    fn written(&self, id: &str) -> Option<&Limit> {
        self.site.limits.iter().find(|limit| limit.id == id)
    }

    /// Whether the file still says what it said then.
    fn is_written(&self, id: &str, then: &Written) -> bool {
        self.written(id)
            .is_some_and(|limit| Written::of(limit).is_same(then))
    }

    /// The limit that a change would make.
    ///
    /// # Errors
    /// [`Refused`] in words for the page.
    pub fn propose(&self, id: &str, change: &Change) -> Result<Proposal, Refused> {
        let present = self.limit(id).ok_or_else(|| {
            Refused::not_found(format!("しきい値 {id} はありません"), format!("no limit {id}"))
        })?;
        let proposed = change.to(Values::of(present)).put(present);
        let others = self.limits.get(&present.point).into_iter().flatten();
        limits::check(&proposed, others, self.range_of(&present.point)).map_err(Refused::Invalid)?;
        let point = self.points.get(&present.point).map(|point| &point.definition);
        Ok(Proposal {
            present: present.clone(),
            proposed,
            unit: point.map_or("", |point| point.unit),
            patience: point.map_or(Millis(0), |point| point.stale_after),
        })
    }

    /// What a point can be, as far as its quantity says it.
    fn range_of(&self, point: &str) -> Option<(f64, f64)> {
        let range = |quantity: Quantity| {
            let (low, high) = quantity.plausible_milli();
            (f64::from(low) / 1000.0, f64::from(high) / 1000.0)
        };
        let quantity = |id: &str| self.points.get(id).and_then(|point| point.definition.quantity);
        let derived = self.site.derived.iter().find(|derived| derived.point == point);
        match derived.map(|derived| &derived.from) {
            Some(Derivation::Rate { of, .. }) => quantity(of).map(range).map(|(low, high)| {
                let most = (high - low) * 60.0;
                (-most, most)
            }),
            Some(Derivation::Difference { a, .. }) => {
                quantity(a).map(range).map(|(low, high)| (0.0, high - low))
            }
            _ => quantity(point).map(range),
        }
    }

    pub(super) fn change_limit(
        &mut self,
        now: Now,
        by: &str,
        id: &str,
        change: &Change,
        reason: &str,
        turn: &mut Turn,
    ) -> Result<(), Refused> {
        let by = alarm::operator_text("by", by)?;
        let reason = alarm::operator_text("reason", reason)?;
        let Proposal {
            present, proposed, ..
        } = self.propose(id, change)?;
        let written = self.written(id).ok_or_else(|| {
            Refused::not_found(
                format!("設定ファイルにしきい値 {id} はありません"),
                format!("the site's file has no limit {id}"),
            )
        })?;
        let (before, after) = (Values::of(&present), Values::of(&proposed));
        if before == after {
            return Err(Refused::conflict(
                format!("しきい値 {id} はすでにその値です"),
                format!("limit {id} is so already"),
            ));
        }
        let record = Record::LimitChanged {
            limit: id.to_owned(),
            by,
            reason,
            before,
            after,
            written: Written::of(written),
        };
        self.commit(now, turn, record);
        self.evaluate_point(now, &present.point, turn);
        self.evaluate_runaway(now, &present.point, turn);
        Ok(())
    }

    /// At a start: a file that says otherwise than when a limit was changed is the later word.
    pub(super) fn limits_follow_site(&mut self, now: Now, turn: &mut Turn) {
        for (id, (then, before)) in self.limit_changes.in_force.clone() {
            if self.is_written(&id, &then) {
                continue;
            }
            let after = self.written(&id).map(Values::of);
            let record = Record::LimitFollowsSite {
                limit: id,
                before,
                after,
            };
            self.commit(now, turn, record);
        }
    }

    pub(super) fn apply_limit(&mut self, now: Now, record: &Record) {
        match record {
            Record::LimitChanged {
                limit,
                by,
                reason,
                before,
                after,
                written,
            } => {
                self.limit_changes
                    .in_force
                    .insert(limit.clone(), (written.clone(), *after));
                self.show_change(
                    limit,
                    LimitChange {
                        at_ms: now.wall.0,
                        by: Some(by.clone()),
                        reason: Some(reason.clone()),
                        before: values_row(before),
                        after: Some(values_row(after)),
                    },
                );
                if self.is_written(limit, written) {
                    self.put_values(limit, after);
                }
            }
            Record::LimitFollowsSite { limit, before, after } => {
                self.limit_changes.in_force.remove(limit);
                self.show_change(
                    limit,
                    LimitChange {
                        at_ms: now.wall.0,
                        by: None,
                        reason: None,
                        before: values_row(before),
                        after: after.as_ref().map(values_row),
                    },
                );
                // What this file says, not what one of an earlier start said.
                if let Some(values) = self.written(limit).map(Values::of) {
                    self.put_values(limit, &values);
                }
            }
            _ => {}
        }
    }

    fn show_change(&mut self, limit: &str, change: LimitChange) {
        // A limit that no file has any more is known to the journal alone.
        if self.written(limit).is_none() {
            return;
        }
        let shown = self.limit_changes.shown.entry(limit.to_owned()).or_default();
        shown.push_back(change);
        if shown.len() > MAX_CHANGES_SHOWN {
            shown.pop_front();
        }
    }

    fn put_values(&mut self, id: &str, values: &Values) {
        let found = self.limits.values_mut().flatten().find(|limit| limit.id == id);
        let Some(limit) = found else { return };
        *limit = values.put(limit);
        let limit = limit.clone();
        if let Some(point) = self
            .points
            .get(&limit.point)
            .map(|point| point.definition.clone())
        {
            self.book.define(self.limit_alarm(&limit, &point));
            self.furnish_runaway(&point);
        }
    }

    /// Every limit as it is now.
    #[must_use]
    pub fn limit_rows(&self) -> Vec<snapshot::Limit> {
        let rows = self.site.limits.iter().filter_map(|written| {
            let limit = self.limit(&written.id)?;
            let point = self.points.get(&limit.point).map(|point| &point.definition);
            let changed = self
                .limit_changes
                .in_force
                .contains_key(&limit.id)
                .then(|| self.limit_changes.shown.get(&limit.id)?.back().cloned())
                .flatten();
            Some(snapshot::Limit {
                id: limit.id.clone(),
                point: limit.point.clone(),
                label: point.map_or_else(
                    || Label::new(limit.point.clone(), limit.point.clone()),
                    |point| point.label.clone(),
                ),
                unit: point.map_or("", |point| point.unit).to_owned(),
                side: limit.side,
                values: values_row(&Values::of(limit)),
                written: values_row(&Values::of(written)),
                action: limit.action.clone(),
                changed,
            })
        });
        rows.collect()
    }

    /// The last changes of a limit, newest first; `None` when there is no such limit.
    #[must_use]
    pub fn limit_history(&self, id: &str) -> Option<Vec<LimitChange>> {
        self.written(id)?;
        let shown = self.limit_changes.shown.get(id);
        Some(shown.into_iter().flatten().rev().cloned().collect())
    }
}

fn values_row(values: &Values) -> LimitValues {
    let seconds = |span: Millis| span.as_secs_f64();
    LimitValues {
        limit: values.limit,
        deadband: values.deadband,
        on_delay_s: seconds(values.on_delay),
        off_delay_s: seconds(values.off_delay),
        priority: values.priority,
    }
}

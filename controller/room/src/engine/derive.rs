//! The derived points' part of the engine: an input changes, and what is made of it follows.
//!
//! A derived point is a point like any other: it has an age (that of its oldest input), a reason
//! when it has no value, a history, limits, and a row in the picture. It has no alarm "no data" of
//! its own, for its inputs have one; silence of theirs neither raises nor clears its limits.

use super::Engine;
use crate::derive::{self, Input, Window};
use crate::event::{HistoryRow, Turn};
use crate::point;
use crate::site::derived::{Derivation, Derived};
use crate::site::{Label, World};
use crate::time::{Millis, Mono, Now, Wall};
use shared::{NoData, Quantity};
use std::collections::BTreeMap;

/// How long an input may be silent before anything is known of it.
const PATIENCE: Millis = Millis::from_secs(60);

/// The derived points of the room, in the order of the site's file: no one needs a later one.
#[derive(Debug, Clone, Default)]
pub(super) struct Derivations {
    rows: Vec<Row>,
    of: BTreeMap<String, Vec<usize>>,
}

#[derive(Debug, Clone)]
struct Row {
    derived: Derived,
    /// The last values, for a rate.
    window: Option<Window>,
}

impl Derivations {
    pub(super) fn new(derived: &[Derived]) -> Self {
        let mut of: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, derived) in derived.iter().enumerate() {
            for input in derived.from.inputs() {
                of.entry(input.to_owned()).or_default().push(index);
            }
        }
        let rows = derived.iter().map(|derived| Row {
            derived: derived.clone(),
            window: match derived.from {
                Derivation::Rate { window, .. } => Some(Window::new(window)),
                _ => None,
            },
        });
        Self {
            rows: rows.collect(),
            of,
        }
    }

    /// True when something is made of this point.
    pub(super) fn needs(&self, point: &str) -> bool {
        self.of.contains_key(point)
    }
}

impl<W: World> Engine<W> {
    pub(super) fn furnish_derived(&mut self) {
        for derived in self.site.derived.clone() {
            let (unit, stale_after) = self.of_inputs(&derived.from);
            let inputs = derived.from.inputs();
            let source = inputs
                .first()
                .and_then(|input| self.points.get(*input))
                .map_or_else(
                    || {
                        let first = inputs.first().copied().unwrap_or_default();
                        first.split('.').next().unwrap_or_default().to_owned()
                    },
                    |point| point.definition.source.clone(),
                );
            self.add_point(point::Definition {
                id: derived.point.clone(),
                label: derived
                    .label
                    .clone()
                    .unwrap_or_else(|| self.label_of(&derived.from)),
                source,
                quantity: self.quantity_of(&derived.from),
                unit,
                contact: None,
                stale_after,
            });
        }
    }

    fn label_of(&self, from: &Derivation) -> Label {
        let label = |id: &str| {
            self.points
                .get(id)
                .map_or_else(|| Label::new(id, id), |point| point.definition.label.clone())
        };
        let with = |label: Label, ja: &str, en: &str| {
            Label::new(format!("{} {ja}", label.ja), format!("{}: {en}", label.en))
        };
        match from {
            Derivation::DewPoint { temperature, .. } => with(label(temperature), "露点", "dew point"),
            Derivation::Rate { of, .. } => with(label(of), "変化率", "rate of change"),
            Derivation::Difference { a, b } => {
                let (a, b) = (label(a), label(b));
                Label::new(
                    format!("{}と{}の差", a.ja, b.ja),
                    format!("Difference of {} and {}", a.en, b.en),
                )
            }
            Derivation::Several { of, points, .. } => {
                let first = points.first().map(|id| label(id)).unwrap_or_default();
                let others = points.len().saturating_sub(1);
                let (ja, en) = match of {
                    derive::Of::Minimum => ("最小", "least"),
                    derive::Of::Maximum => ("最大", "most"),
                    derive::Of::Mean => ("平均", "mean"),
                };
                Label::new(
                    format!("{} ほか{others}点の{ja}", first.ja),
                    format!("{} and {others} more: {en}", first.en),
                )
            }
        }
    }

    fn quantity_of(&self, from: &Derivation) -> Option<Quantity> {
        let of = |id: &str| self.points.get(id).and_then(|point| point.definition.quantity);
        match from {
            Derivation::DewPoint { .. } => Some(Quantity::Temperature),
            Derivation::Rate { .. } | Derivation::Difference { .. } => None,
            Derivation::Several { points, .. } => points.first().and_then(|id| of(id)),
        }
    }

    /// Unit and patience, as far as the inputs are known: a fact tells its unit when it is heard.
    fn of_inputs(&self, from: &Derivation) -> (&'static str, Millis) {
        let inputs = from.inputs();
        let definition = |id: &str| self.points.get(id).map(|point| &point.definition);
        let unit = inputs
            .iter()
            .find_map(|id| definition(id))
            .map_or("", |definition| definition.unit);
        let unit = match from {
            Derivation::DewPoint { .. } => Quantity::Temperature.unit(),
            Derivation::Rate { .. } => per_hour(unit),
            Derivation::Difference { .. } | Derivation::Several { .. } => unit,
        };
        let patience = inputs
            .iter()
            .filter_map(|id| definition(id))
            .map(|definition| definition.stale_after)
            .max();
        (unit, patience.unwrap_or(PATIENCE))
    }

    /// A point has a new word: what is made of it follows.
    pub(super) fn derive_from(&mut self, now: Now, id: &str, turn: &mut Turn) {
        let Some(rows) = self.derivations.of.get(id).cloned() else {
            return;
        };
        let word = self.input(now, id);
        for index in rows {
            if let (Some(window), (Ok(value), Some(at))) = (&mut self.derivations.rows[index].window, word) {
                window.take(at, value);
            }
            self.work_out(now, index, turn);
            let point = self.derivations.rows[index].derived.point.clone();
            // The site's reader lets no point be made of a later one: this ends.
            self.derive_from(now, &point, turn);
        }
    }

    /// What changes by time alone: an input that turned stale, a window that emptied.
    pub(super) fn evaluate_derived(&mut self, now: Now, turn: &mut Turn) {
        for index in 0..self.derivations.rows.len() {
            self.work_out(now, index, turn);
        }
    }

    fn input(&self, now: Now, id: &str) -> Input {
        self.points
            .get(id)
            .map_or((Err(NoData::NeverHeard), None), |point| {
                (point.number(now.mono), point.heard())
            })
    }

    fn work_out(&mut self, now: Now, index: usize, turn: &mut Turn) {
        let row = &self.derivations.rows[index];
        let (value, at) = match &row.derived.from {
            Derivation::DewPoint {
                temperature,
                humidity,
            } => derive::of_two(
                self.input(now, temperature),
                self.input(now, humidity),
                derive::dew_point,
            ),
            Derivation::Difference { a, b } => {
                derive::of_two(self.input(now, a), self.input(now, b), |a, b| Ok((a - b).abs()))
            }
            Derivation::Rate { of, .. } => {
                let input = self.input(now, of);
                row.window
                    .as_ref()
                    .map_or((Err(NoData::NeverHeard), None), |window| {
                        window.rate(now.mono, input)
                    })
            }
            Derivation::Several { of, points, need } => {
                let inputs: Vec<Input> = points.iter().map(|id| self.input(now, id)).collect();
                derive::of_many(*of, &inputs, *need)
            }
        };
        let (unit, stale_after) = self.of_inputs(&row.derived.from);
        let id = row.derived.point.clone();
        self.set_derived(now, &id, (unit, stale_after), at, value, turn);
    }

    fn set_derived(
        &mut self,
        now: Now,
        id: &str,
        (unit, stale_after): (&'static str, Millis),
        at: Option<Mono>,
        value: Result<f64, NoData>,
        turn: &mut Turn,
    ) {
        let Some(point) = self.points.get_mut(id) else {
            return;
        };
        point.definition.unit = unit;
        point.definition.stale_after = stale_after;
        let is_new = at > point.heard() || value.is_err();
        point.derive(at, value);
        let number = point.number(now.mono).ok();
        if is_new && point.is_due_for_history(now.mono, number) {
            // A gap begins when it is seen; a value was true when its inputs were.
            let at = at.filter(|_| number.is_some()).unwrap_or(now.mono);
            let ago = i64::try_from(now.mono.since(at).0).unwrap_or(0);
            turn.history.push(HistoryRow {
                point: id.to_owned(),
                at: Wall(now.wall.0.saturating_sub(ago)),
                value: number,
            });
        }
        self.evaluate_point(now, id, turn);
        if is_new {
            self.forecast_point(now, id, turn);
        }
    }
}

/// The unit of a change per hour.
fn per_hour(unit: &str) -> &'static str {
    match unit {
        "°C" => "°C/h",
        "%" => "%/h",
        "V" => "V/h",
        "A" => "A/h",
        "W" => "W/h",
        "hPa" => "hPa/h",
        "s" => "s/h",
        "Hz" => "Hz/h",
        "µg/m³" => "µg/m³/h",
        _ => "/h",
    }
}

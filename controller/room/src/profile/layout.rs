//! What one device of a profile has: its rows found, its places numbered, ready to be asked.
//!
//! A profile says "one fact for each row of this column"; which rows there are only the device
//! knows. So its columns are walked once, and a [`Layout`] is made of what came: from then on the
//! device is asked for exactly these places, in packets of a size it is known to take.
//!
//! ```text
//! Profile::roots --walk--> rows --Profile::layout--> Layout --places--> values --decode--> Reading
//! ```
//!
//! Row attributes (name, scale, kind of sensor) are taken at that time and not polled. What is
//! more than the limits here is left out and counted in the reading, never silently.

use super::register::{Image, Register};
use super::rule::{Attribute, Condition, Factor, Place, Rule, Scale, Source, Subject, Table};
use super::unit::Unit;
use super::value::{Oid, Value};
use super::{Profile, Read, contradictions};
use crate::device::{Fact, FactValue, Reading};
use shared::NoData;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// Rows of one table that become facts.
pub const ROWS_MAX: usize = 1024;
/// Facts of one device, alternatives counted.
pub const LAYOUT_FACTS_MAX: usize = 4096;
/// Places of one device: one question of the SNMP engine, less sysObjectID.
pub const LAYOUT_PLACES_MAX: usize = 4095;

/// The fact that counts what did not fit.
pub const LEFT_OUT: &str = "unmapped.rows.left_out";

/// What to ask one device, and what its answers mean.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    profile: String,
    places: Vec<Place>,
    definitions: Vec<Definition>,
    /// Facts of the walk itself, with the values that it brought.
    walked: Vec<Fact>,
    left_out: usize,
}

/// One fact of one device.
#[derive(Debug, Clone)]
pub struct Definition {
    name: String,
    label: Option<String>,
    /// Index of the first definition of this name: alternatives share it.
    group: usize,
    /// Index into `Layout::places`.
    at: usize,
    unit: Unit,
    read: Arc<Read>,
    factor: Factor,
    /// A second or third phase, which most devices lack.
    further: bool,
    /// Found by walking; when it goes, the device has changed.
    is_row: bool,
}

impl Definition {
    /// The fact's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The row's own name.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The fact's unit.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }
}

/// A row that no fact was made of, for people who write profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The fact as the profile writes it.
    pub fact: String,
    /// The row's value.
    pub at: String,
    /// Why.
    pub because: String,
}

impl Layout {
    /// What to ask, each once, in the order [`Self::decode`] wants the values.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// [`Self::places`] of an SNMP agent.
    #[must_use]
    pub fn oids(&self) -> Vec<Oid> {
        let oids = self.places.iter().filter_map(|place| match place {
            Place::Oid(oid) => Some(oid.clone()),
            Place::Register(_) => None,
        });
        oids.collect()
    }

    /// [`Self::places`] of a Modbus device.
    pub fn registers(&self) -> impl Iterator<Item = &Register> {
        self.places.iter().filter_map(|place| match place {
            Place::Oid(_) => None,
            Place::Register(register) => Some(register),
        })
    }

    /// The registers that feed this fact, alternatives as well.
    pub fn registers_of(&self, fact: &str) -> impl Iterator<Item = &Register> {
        let of_it = self.definitions.iter().filter(move |known| known.name == fact);
        of_it.filter_map(|known| match &self.places[known.at] {
            Place::Oid(_) => None,
            Place::Register(register) => Some(register),
        })
    }

    /// The values of [`Self::places`], in that order, out of what a Modbus device answered.
    #[must_use]
    pub fn values_in(&self, image: &Image) -> Vec<Value> {
        let values = self.places.iter().map(|place| match place {
            Place::Oid(_) => Value::NoSuchObject,
            Place::Register(register) => register.value(image),
        });
        values.collect()
    }

    /// The facts, alternatives as well.
    #[must_use]
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// The first fact that this object feeds.
    #[must_use]
    pub fn definition_of(&self, oid: &Oid) -> Option<&Definition> {
        let is_it = |place: &Place| matches!(place, Place::Oid(known) if known == oid);
        let at = self.places.iter().position(is_it)?;
        self.definitions.iter().find(|definition| definition.at == at)
    }

    /// Facts and rows that did not fit into the limits.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Counts what was left out before a layout was made.
    pub fn leave_out(&mut self, more: usize) {
        self.left_out += more;
    }

    /// True when a row that was there is gone: the layout is out of date.
    #[must_use]
    pub fn has_lost_rows(&self, values: &[Value]) -> bool {
        self.definitions.iter().any(|definition| {
            definition.is_row
                && matches!(
                    values.get(definition.at),
                    Some(Value::NoSuchInstance | Value::NoSuchObject)
                )
        })
    }

    /// Which of [`Self::places`] are worth asking of a device that answered `values`: all it
    /// has, and all it should have. Alternatives, further phases and `unmapped.*` that it lacks are
    /// left out.
    #[must_use]
    pub fn worth_asking(&self, values: &[Value]) -> Vec<bool> {
        let present = |definition: &Definition| values.get(definition.at).is_some_and(Value::is_present);
        let mut answered = vec![false; self.definitions.len()];
        for definition in self.definitions.iter().filter(|definition| present(definition)) {
            answered[definition.group] = true;
        }
        let mut worth = vec![false; self.places.len()];
        for definition in &self.definitions {
            // What has no name of ours is waited for by nobody; it is asked again with the next layout.
            let is_optional = definition.further || definition.name.starts_with("unmapped.");
            if present(definition) || !(answered[definition.group] || is_optional) {
                worth[definition.at] = true;
            }
        }
        worth
    }

    /// Turns the values of [`Self::places`], in that order, into facts. A value that is missing
    /// at the end of `values` counts as not supported.
    #[must_use]
    pub fn decode(&self, sys_object_id: Option<&Oid>, values: &[Value]) -> Reading {
        let mut facts: Vec<Fact> = Vec::with_capacity(self.definitions.len());
        let mut taken: Vec<Option<usize>> = vec![None; self.definitions.len()];
        for definition in &self.definitions {
            let value = values.get(definition.at).unwrap_or(&Value::NoSuchObject);
            let decoded = definition.read.decode(value, definition.factor);
            match taken[definition.group] {
                Some(at) if !is_better(&decoded, &facts[at].value) => {}
                Some(at) => facts[at] = self.fact(definition, decoded, value),
                // Most devices have one phase; what has no second one misses nothing.
                None if definition.further && decoded == Err(NoData::NotSupported) => {}
                None => {
                    taken[definition.group] = Some(facts.len());
                    facts.push(self.fact(definition, decoded, value));
                }
            }
        }
        contradictions::refuse(&mut facts);
        facts.extend(self.walked.iter().cloned());
        if self.left_out > 0 {
            facts.push(Fact {
                name: LEFT_OUT.to_owned(),
                #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
                value: Ok(FactValue::Number(self.left_out as f64)),
                unit: Unit::Count.symbol(),
                at: String::new(),
                label: None,
                raw: self.left_out.to_string(),
            });
        }
        Reading {
            profile: self.profile.clone(),
            sys_object_id: sys_object_id.map(ToString::to_string),
            facts,
        }
    }

    fn fact(&self, definition: &Definition, value: Result<FactValue, NoData>, raw: &Value) -> Fact {
        Fact {
            name: definition.name.clone(),
            value,
            unit: definition.unit.symbol(),
            at: self.places[definition.at].to_string(),
            label: definition.label.clone(),
            raw: raw.to_string(),
        }
    }
}

/// A good value beats a reason, and a value that was refused beats one that is not there.
fn is_better(new: &Result<FactValue, NoData>, old: &Result<FactValue, NoData>) -> bool {
    match (new, old) {
        (_, Ok(_)) => false,
        (Ok(_), Err(_)) => true,
        (Err(new), Err(old)) => *old == NoData::NotSupported && *new != NoData::NotSupported,
    }
}

impl Profile {
    /// What to read before a layout can be made: columns are walked, scalars got.
    #[must_use]
    pub fn roots(&self) -> Roots {
        let mut roots = Roots::default();
        for rule in &self.rules {
            if let Source::Table(table) = &rule.source {
                table.columns.iter().for_each(|column| roots.add_column(column));
                roots.add_attribute(table.label.as_ref());
            }
            for condition in &rule.conditions {
                match &condition.subject {
                    Subject::Attribute(attribute) => roots.add_attribute(Some(attribute)),
                    Subject::Arc(_) => {}
                }
            }
            if let Some(scale) = &rule.scale {
                roots.add_attribute(Some(&scale.by));
                roots.add_attribute(scale.precision.as_ref());
            }
        }
        roots
    }

    /// The layout of a device that has these rows.
    #[must_use]
    pub fn layout(&self, rows: &[(Oid, Value)]) -> Layout {
        self.layout_with(rows, &mut |_| {})
    }

    /// Why facts were not made of rows that the device has.
    #[must_use]
    pub fn explain(&self, rows: &[(Oid, Value)]) -> Vec<LeftOut> {
        let mut list = Vec::new();
        self.layout_with(rows, &mut |row| list.push(row));
        list
    }

    fn layout_with(&self, rows: &[(Oid, Value)], note: &mut impl FnMut(LeftOut)) -> Layout {
        let rows = Rows::new(rows);
        let groups = Groups::new(&self.rules, &rows);
        let mut builder = Builder {
            layout: Layout {
                profile: self.name.clone(),
                ..Layout::default()
            },
            places: HashMap::new(),
            groups: HashMap::new(),
            walked: BTreeSet::new(),
        };
        for rule in &self.rules {
            match &rule.source {
                Source::Known(lines) => {
                    if let Some(why) = rows.misses(&rule.conditions, &[]) {
                        for place in lines.iter().flat_map(|line| &line.places) {
                            note(left_out(rule, place.to_string(), why.clone()));
                        }
                        continue;
                    }
                    let factor = rows.factor(rule.scale.as_ref(), &[]);
                    for line in lines {
                        for place in &line.places {
                            builder.add(rule, &line.name, place.clone(), factor, None, line.further);
                        }
                    }
                }
                Source::Table(table) => {
                    for column in &table.columns {
                        for (index, value) in rows.of(column) {
                            let Some(at) = joined(column, index) else {
                                continue;
                            };
                            let place = Place::Oid(at);
                            let because = match groups.number(column, &rule.conditions, index) {
                                Some(number) => match table.name_of(number, index) {
                                    Some(name) => {
                                        let factor = rows.factor(rule.scale.as_ref(), index);
                                        let label =
                                            table.label.as_ref().and_then(|label| rows.label(label, index));
                                        if rule.rarely {
                                            builder.keep(rule, name, &place, factor, label, value);
                                        } else {
                                            builder.add(rule, &name, place, factor, Some(label), false);
                                        }
                                        continue;
                                    }
                                    None => "its index has fewer arcs than the name".to_owned(),
                                },
                                None => match rows.misses(&rule.conditions, index) {
                                    Some(why) => why,
                                    None => {
                                        builder.layout.left_out += 1;
                                        format!("more than {ROWS_MAX} rows")
                                    }
                                },
                            };
                            note(left_out(rule, place.to_string(), because));
                        }
                    }
                }
            }
        }
        builder.layout
    }
}

fn left_out(rule: &Rule, at: String, because: String) -> LeftOut {
    LeftOut {
        fact: rule.name().to_owned(),
        at,
        because,
    }
}

/// Column and index make an instance, unless it is too long to be one.
fn joined(column: &Oid, index: &[u32]) -> Option<Oid> {
    Oid::new([column.arcs(), index].concat()).ok()
}

/// What [`Profile::layout`] wants to know of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// To be walked.
    pub columns: Vec<Oid>,
    /// To be got.
    pub scalars: Vec<Oid>,
}

impl Roots {
    /// True when a layout needs nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.scalars.is_empty()
    }

    fn add_column(&mut self, column: &Oid) {
        if !self.columns.contains(column) {
            self.columns.push(column.clone());
        }
    }

    fn add_attribute(&mut self, attribute: Option<&Attribute>) {
        match attribute {
            Some(Attribute::Column(column, _)) => self.add_column(column),
            Some(Attribute::Scalar(scalar)) if !self.scalars.contains(scalar) => {
                self.scalars.push(scalar.clone())
            }
            _ => {}
        }
    }
}

struct Builder {
    layout: Layout,
    places: HashMap<Place, usize>,
    groups: HashMap<String, usize>,
    /// Names of [`Layout::walked`].
    walked: BTreeSet<String>,
}

impl Builder {
    /// A fact whose value is that of the walk. Of alternatives the first is taken.
    fn keep(
        &mut self,
        rule: &Rule,
        name: String,
        place: &Place,
        factor: Factor,
        label: Option<String>,
        value: &Value,
    ) {
        if self.layout.walked.len() == LAYOUT_FACTS_MAX {
            self.layout.left_out += 1;
        } else if self.walked.insert(name.clone()) {
            self.layout.walked.push(Fact {
                name,
                value: rule.read.decode(value, factor),
                unit: rule.unit.symbol(),
                at: place.to_string(),
                label,
                raw: value.to_string(),
            });
        }
    }

    /// `row` is the label of a row, `None` for what is no row.
    fn add(
        &mut self,
        rule: &Rule,
        name: &str,
        place: Place,
        factor: Factor,
        row: Option<Option<String>>,
        further: bool,
    ) {
        let at = match self.places.get(&place) {
            Some(at) => *at,
            None if self.layout.places.len() < LAYOUT_PLACES_MAX => {
                self.places.insert(place.clone(), self.layout.places.len());
                self.layout.places.push(place);
                self.layout.places.len() - 1
            }
            None => {
                self.layout.left_out += 1;
                return;
            }
        };
        let next = self.layout.definitions.len();
        if next == LAYOUT_FACTS_MAX {
            self.layout.left_out += 1;
            return;
        }
        let group = *self.groups.entry(name.to_owned()).or_insert(next);
        self.layout.definitions.push(Definition {
            name: name.to_owned(),
            is_row: row.is_some(),
            label: row.flatten(),
            group,
            at,
            unit: rule.unit,
            read: Arc::clone(&rule.read),
            factor,
            further,
        });
    }
}

/// What was walked and got, in order.
struct Rows<'a> {
    values: BTreeMap<&'a [u32], &'a Value>,
}

impl<'a> Rows<'a> {
    fn new(rows: &'a [(Oid, Value)]) -> Self {
        let present = rows.iter().filter(|(_, value)| value.is_present());
        Self {
            values: present.map(|(oid, value)| (oid.arcs(), value)).collect(),
        }
    }

    /// Index and value of each row of a column.
    fn of(&self, column: &Oid) -> impl Iterator<Item = (&'a [u32], &'a Value)> {
        let column = column.arcs().to_vec();
        let from = (Bound::Excluded(column.as_slice()), Bound::Unbounded);
        let rows: Vec<_> = self
            .values
            .range::<[u32], _>(from)
            .map_while(|(oid, value)| Some((oid.strip_prefix(column.as_slice())?, *value)))
            .collect();
        rows.into_iter()
    }

    fn attribute(&self, attribute: &Attribute, index: &[u32]) -> Option<&'a Value> {
        match attribute {
            Attribute::Scalar(scalar) => self.values.get(scalar.arcs()).copied(),
            Attribute::Column(column, arcs) => {
                let index = match arcs {
                    Some(arcs) => index.get(..*arcs)?,
                    None => index,
                };
                self.values
                    .get([column.arcs(), index].concat().as_slice())
                    .copied()
            }
        }
    }

    /// Why a row does not meet the conditions; `None` when it does.
    fn misses(&self, conditions: &[Condition], index: &[u32]) -> Option<String> {
        conditions.iter().find_map(|condition| {
            let seen = match &condition.subject {
                Subject::Arc(arc) => {
                    let arc = arc.checked_sub(1).and_then(|arc| index.get(arc));
                    arc.map(|arc| Value::Unsigned(u64::from(*arc)))
                }
                Subject::Attribute(attribute) => self.attribute(attribute, index).cloned(),
            };
            match seen {
                None => Some(format!("where: {condition} is not there")),
                Some(value) if condition.holds(&value) => None,
                Some(value) => Some(format!("where: {condition} is {value}")),
            }
        })
    }

    /// What the raw value is multiplied with.
    fn factor(&self, scale: Option<&Scale>, index: &[u32]) -> Factor {
        let Some(scale) = scale else {
            return Factor::ONE;
        };
        let Some(by) = self.attribute(&scale.by, index) else {
            return Factor::ONE;
        };
        let precision = scale
            .precision
            .as_ref()
            .and_then(|precision| self.attribute(precision, index));
        scale.factor(by, precision)
    }

    fn label(&self, label: &Attribute, index: &[u32]) -> Option<String> {
        let text = super::read::text_of(self.attribute(label, index)?)?;
        (!text.is_empty()).then_some(text)
    }
}

/// Table row type, conditions, and the rows that meet them.
type Found<'a> = (Vec<u32>, &'a [Condition], BTreeSet<Vec<u32>>);

/// The rows of each table that meet the same conditions, so that the columns of one table are
/// numbered alike even when one of them lacks a row.
struct Groups<'a> {
    groups: Vec<Group<'a>>,
}

struct Group<'a> {
    entry: Vec<u32>,
    conditions: &'a [Condition],
    numbers: BTreeMap<Vec<u32>, usize>,
}

impl<'a> Groups<'a> {
    fn new(rules: &'a [Arc<Rule>], rows: &Rows<'_>) -> Self {
        let mut found: Vec<Found<'a>> = Vec::new();
        for rule in rules {
            let Source::Table(Table { columns, .. }) = &rule.source else {
                continue;
            };
            for column in columns {
                let entry = entry_of(column);
                let indices = rows
                    .of(column)
                    .map(|(index, _)| index)
                    .filter(|index| rows.misses(&rule.conditions, index).is_none())
                    .map(<[u32]>::to_vec);
                let same = |(known, conditions, _): &&mut Found<'a>| {
                    *known == entry && *conditions == rule.conditions.as_slice()
                };
                match found.iter_mut().find(same) {
                    Some((_, _, set)) => set.extend(indices),
                    None => found.push((entry.clone(), &rule.conditions, indices.collect())),
                }
            }
        }
        let groups = found.into_iter().map(|(entry, conditions, indices)| Group {
            entry,
            conditions,
            numbers: indices.into_iter().take(ROWS_MAX).zip(1..).collect(),
        });
        Self {
            groups: groups.collect(),
        }
    }

    /// The number of a row, from 1; `None` when it does not meet the conditions or is one too
    /// many.
    fn number(&self, column: &Oid, conditions: &[Condition], index: &[u32]) -> Option<usize> {
        let entry = entry_of(column);
        let group = self
            .groups
            .iter()
            .find(|group| group.entry == entry && group.conditions == conditions)?;
        group.numbers.get(index).copied()
    }
}

/// A column's table row type.
fn entry_of(column: &Oid) -> Vec<u32> {
    let arcs = column.arcs();
    arcs[..arcs.len().saturating_sub(1)].to_vec()
}

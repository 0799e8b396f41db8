//! `[[derived]]`: points that are worked out from others, and the points that a preset brings.
//!
//! A derived point may be made of points of nodes, facts of devices, and derived points that stand
//! above it in the file: so there is no circle. What they are worth is `crate::derive`.

use super::problem::{Kind, Sink, nearest};
use super::raw::Raw;
use super::reader::{At, Found, Reader, shown};
use super::{Label, World};
use crate::derive::{Of, SLOTS};
use crate::time::Millis;
use shared::Quantity;
use std::collections::BTreeMap;

/// Most `[[derived]]` tables of a site.
pub const MAX_DERIVED: usize = 1024;
/// Most inputs of one derived point: what a list of the file holds.
pub const MAX_INPUTS: usize = 64;
/// Window of a rate.
pub const RATE_WINDOW: Millis = Millis::from_secs(900);
/// Shortest and longest window of a rate. Below five minutes a tenth of a degree more would be
/// called a degree an hour.
const WINDOWS: (Millis, Millis) = (Millis::from_secs(300), Millis::from_secs(24 * 3600));

/// `[[derived]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// Point id.
    pub point: String,
    /// Shown name; made from those of its inputs when `None`.
    pub label: Option<Label>,
    /// How it is worked out.
    pub from: Derivation,
}

/// `derived.kind` with what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Derivation {
    /// Dew point in °C.
    DewPoint {
        /// Point of the air's temperature.
        temperature: String,
        /// Point of its relative humidity.
        humidity: String,
    },
    /// Change per hour.
    Rate {
        /// Of this point.
        of: String,
        /// Over so long.
        window: Millis,
    },
    /// How far two points lie apart; never negative.
    Difference {
        /// One point.
        a: String,
        /// The other.
        b: String,
    },
    /// The least, most or mean of several.
    Several {
        /// Which.
        of: Of,
        /// The points.
        points: Vec<String>,
        /// How many of them must have a value.
        need: usize,
    },
}

impl Derivation {
    /// The points that it is made of.
    #[must_use]
    pub fn inputs(&self) -> Vec<&str> {
        match self {
            Self::DewPoint {
                temperature,
                humidity,
            } => vec![temperature, humidity],
            Self::Rate { of, .. } => vec![of],
            Self::Difference { a, b } => vec![a, b],
            Self::Several { points, .. } => points.iter().map(String::as_str).collect(),
        }
    }

    /// Its word in the site file.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::DewPoint { .. } => "dew_point",
            Self::Rate { .. } => "rate",
            Self::Difference { .. } => "difference",
            Self::Several { of, .. } => match of {
                Of::Minimum => "minimum",
                Of::Maximum => "maximum",
                Of::Mean => "mean",
            },
        }
    }
}

pub(super) struct RawDerived {
    pub(super) point: Found<String>,
    label: Found<Label>,
    kind: Option<RawKind>,
    /// A preset brought it; it is known to be right, but for the names of its inputs.
    of_preset: bool,
}

enum RawKind {
    DewPoint(Found<String>, Found<String>),
    Rate(Found<String>, Found<Millis>),
    Difference(Vec<At<String>>, At<()>),
    Several(Of, Vec<At<String>>, Found<usize>, At<()>),
}

impl RawKind {
    fn inputs(&self) -> Vec<&At<String>> {
        match self {
            Self::DewPoint(a, b) => [a, b].into_iter().flatten().collect(),
            Self::Rate(of, _) => of.iter().collect(),
            Self::Difference(points, _) | Self::Several(_, points, ..) => points.iter().collect(),
        }
    }
}

#[derive(Clone, Copy)]
enum Word {
    DewPoint,
    Rate,
    Difference,
    Several(Of),
}

const WORDS: [(&str, Word); 6] = [
    ("dew_point", Word::DewPoint),
    ("rate", Word::Rate),
    ("difference", Word::Difference),
    ("minimum", Word::Several(Of::Minimum)),
    ("maximum", Word::Several(Of::Maximum)),
    ("mean", Word::Several(Of::Mean)),
];

pub(super) fn derived(mut r: Reader<'_>) -> RawDerived {
    let point = r.dotted("point", true);
    let label = r.label_or("label");
    let word = r.word("kind", &WORDS);
    let whole = At {
        value: (),
        span: r.span.clone(),
    };
    let kind = word.map(|word| match word.value {
        Word::DewPoint => RawKind::DewPoint(r.dotted("temperature", true), r.dotted("humidity", true)),
        Word::Rate => RawKind::Rate(
            r.dotted("of", true),
            super::sections::span_or(&mut r, "window", WINDOWS, RATE_WINDOW),
        ),
        Word::Difference => {
            if !r.has("between") {
                r.missing(
                    "between",
                    "the two points, e.g. between = [\"inlet.a\", \"inlet.b\"]",
                );
            }
            RawKind::Difference(r.list("between"), whole)
        }
        Word::Several(of) => {
            if !r.has("of") {
                r.missing("of", "the points, e.g. of = [\"inlet.a\", \"inlet.b\"]");
            }
            let points = r.list("of");
            let most = i64::try_from(MAX_INPUTS).unwrap_or(i64::MAX);
            let need = match r.whole_or("need", 1..=most) {
                Some(need) => super::sections::narrow_to(Some(need)),
                None => Some(At {
                    value: default_need(of, points.len()),
                    span: r.span.clone(),
                }),
            };
            RawKind::Several(of, points, need, whole)
        }
    });
    r.finish();
    RawDerived {
        point,
        label,
        kind,
        of_preset: false,
    }
}

/// A least or most of some of its points hides what the others would say; a mean of most of them
/// is a mean.
fn default_need(of: Of, points: usize) -> usize {
    match of {
        Of::Minimum | Of::Maximum => points.max(1),
        Of::Mean => points / 2 + 1,
    }
}

impl RawDerived {
    /// The dew point that a preset watches.
    pub(super) fn dew_point(point: String, temperature: &At<String>, humidity: &At<String>) -> Self {
        Self {
            point: Some(At {
                value: point,
                span: temperature.span.clone(),
            }),
            label: None,
            kind: Some(RawKind::DewPoint(
                Some(temperature.clone()),
                Some(humidity.clone()),
            )),
            of_preset: true,
        }
    }

    /// The rate of change that a preset watches.
    pub(super) fn rate(point: String, of: &At<String>) -> Self {
        Self {
            point: Some(At {
                value: point,
                span: of.span.clone(),
            }),
            label: None,
            kind: Some(RawKind::Rate(
                Some(of.clone()),
                Some(At {
                    value: RATE_WINDOW,
                    span: of.span.clone(),
                }),
            )),
            of_preset: true,
        }
    }
}

pub(super) fn build(raw: RawDerived) -> Option<Derived> {
    let values = |list: Vec<At<String>>| list.into_iter().map(|at| at.value).collect::<Vec<_>>();
    let from = match raw.kind? {
        RawKind::DewPoint(temperature, humidity) => Derivation::DewPoint {
            temperature: temperature?.value,
            humidity: humidity?.value,
        },
        RawKind::Rate(of, window) => Derivation::Rate {
            of: of?.value,
            window: window?.value,
        },
        RawKind::Difference(points, _) => {
            let [a, b] = values(points).try_into().ok()?;
            Derivation::Difference { a, b }
        }
        RawKind::Several(of, points, need, _) => Derivation::Several {
            of,
            points: values(points),
            need: need?.value,
        },
    };
    Some(Derived {
        point: raw.point?.value,
        label: raw.label.map(|label| label.value),
        from,
    })
}

/// What a point measures, as far as the site's file says it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Measures {
    /// A quantity of ours.
    Quantity(Quantity),
    /// So much of it an hour.
    PerHour(Option<Quantity>),
    /// A distance between two values of it.
    Distance(Option<Quantity>),
    /// A fact of a device; what it is only the device says.
    Unsaid,
}

impl Measures {
    /// The quantity of a value that a list may hold beside others.
    const fn quantity(self) -> Option<Quantity> {
        match self {
            Self::Quantity(quantity) => Some(quantity),
            Self::PerHour(_) | Self::Distance(_) | Self::Unsaid => None,
        }
    }

    /// The unit, as it is printed.
    pub(super) fn unit(self) -> String {
        match self {
            Self::Quantity(quantity) | Self::Distance(Some(quantity)) => quantity.unit().to_owned(),
            Self::PerHour(Some(quantity)) => format!("{}/h", quantity.unit()),
            Self::PerHour(None) | Self::Distance(None) | Self::Unsaid => String::new(),
        }
    }

    /// What the values can be, in their unit, both ends included; `None` when nobody knows.
    pub(super) fn range(self) -> Option<(f64, f64)> {
        let range = |quantity: Quantity| {
            let (low, high) = quantity.plausible_milli();
            (f64::from(low) / 1000.0, f64::from(high) / 1000.0)
        };
        match self {
            Self::Quantity(quantity) => Some(range(quantity)),
            Self::Distance(quantity) => quantity.map(range).map(|(low, high)| (0.0, high - low)),
            // From one end of the range to the other within a minute.
            Self::PerHour(quantity) => quantity.map(range).map(|(low, high)| {
                let most = (high - low) * 60.0;
                (-most, most)
            }),
            Self::Unsaid => None,
        }
    }
}

/// What every point of the file measures; facts of devices are not among them.
pub(super) fn measures<W: World>(raw: &Raw<W>) -> BTreeMap<&str, Measures> {
    let mut known: BTreeMap<&str, Measures> = raw
        .nodes
        .iter()
        .flat_map(|node| &node.channels)
        .filter_map(|channel| {
            let measures = channel
                .quantity
                .as_ref()
                .map_or(Measures::Unsaid, |quantity| Measures::Quantity(quantity.value));
            Some((channel.point.as_ref()?.value.as_str(), measures))
        })
        .collect();
    for derived in &raw.derived {
        let (Some(point), Some(kind)) = (&derived.point, &derived.kind) else {
            continue;
        };
        let first = kind
            .inputs()
            .first()
            .and_then(|input| known.get(input.value.as_str()).copied());
        let quantity = first.and_then(Measures::quantity);
        let measures = match kind {
            RawKind::DewPoint(..) => Measures::Quantity(Quantity::Temperature),
            RawKind::Rate(..) => Measures::PerHour(quantity),
            RawKind::Difference(..) => Measures::Distance(quantity),
            RawKind::Several(..) => first.unwrap_or(Measures::Unsaid),
        };
        known.entry(point.value.as_str()).or_insert(measures);
    }
    known
}

/// Inputs that are there and fit each other.
pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let measures = measures(raw);
    let devices: Vec<&str> = raw
        .devices
        .iter()
        .filter_map(|device| Some(device.name.as_ref()?.value.as_str()))
        .collect();
    let mut above: BTreeMap<&str, ()> = raw
        .nodes
        .iter()
        .flat_map(|node| &node.channels)
        .filter_map(|channel| Some((channel.point.as_ref()?.value.as_str(), ())))
        .collect();
    for derived in &raw.derived {
        if let Some(point) = &derived.point
            && !derived.of_preset
            && let Some(first) = point.value.split('.').next()
            && devices.contains(&first)
        {
            sink.error_hint(
                Kind::Duplicate,
                &point.span,
                format!(
                    "the point {} looks like a fact of the device {first}",
                    point.value
                ),
                "points of devices begin with the device's name; call this one otherwise",
            );
        }
        if let Some(kind) = &derived.kind {
            for input in kind.inputs() {
                is_there(input, &above, &measures, &devices, sink);
            }
            fits(kind, &measures, sink);
            if let RawKind::Rate(Some(of), Some(window)) = kind {
                fills(raw, of, window, sink);
            }
        }
        if let Some(point) = &derived.point {
            above.insert(point.value.as_str(), ());
        }
    }
}

fn is_there(
    input: &At<String>,
    above: &BTreeMap<&str, ()>,
    measures: &BTreeMap<&str, Measures>,
    devices: &[&str],
    sink: &Sink<'_>,
) {
    let name = input.value.as_str();
    if above.contains_key(name) {
        return;
    }
    if measures.contains_key(name) {
        sink.error_hint(
            Kind::Cycle,
            &input.span,
            format!("`{name}` is derived below this, or is this point itself"),
            "a derived point is made of points that stand above it; move its table down",
        );
        return;
    }
    if name
        .split_once('.')
        .is_some_and(|(device, _)| devices.contains(&device))
    {
        return;
    }
    let hint = match nearest(name, above.keys().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a point of a [[node.channel]], <device>.<fact>, or a derived point above".to_owned(),
    };
    sink.error_hint(
        Kind::Reference,
        &input.span,
        format!("`{name}` is no point of this site"),
        hint,
    );
}

fn fits(kind: &RawKind, measures: &BTreeMap<&str, Measures>, sink: &Sink<'_>) {
    let of = |input: &At<String>| measures.get(input.value.as_str()).copied();
    let wants = |input: &Found<String>, wanted: Quantity| {
        if let Some(input) = input
            && let Some(Measures::Quantity(got)) = of(input)
            && got != wanted
        {
            let (wanted, got) = (
                super::parse::quantity_word(wanted),
                super::parse::quantity_word(got),
            );
            sink.error(
                Kind::Conflict,
                &input.span,
                format!(
                    "a dew point needs a {wanted} here, but {} measures {got}",
                    input.value
                ),
            );
        }
    };
    for input in kind.inputs() {
        if of(input) == Some(Measures::Quantity(Quantity::Contact)) {
            sink.error_hint(
                Kind::Conflict,
                &input.span,
                format!(
                    "{} is a contact: it is open or closed and nothing to reckon with",
                    input.value
                ),
                "name a point that measures something",
            );
            return;
        }
    }
    match kind {
        RawKind::DewPoint(temperature, humidity) => {
            wants(temperature, Quantity::Temperature);
            wants(humidity, Quantity::Humidity);
        }
        RawKind::Rate(..) => {}
        RawKind::Difference(points, whole) => {
            if points.len() != 2 {
                sink.error_hint(
                    Kind::Value,
                    &whole.span,
                    format!("a difference is between two points, not {}", points.len()),
                    "write between = [\"inlet.a\", \"inlet.b\"]",
                );
            }
            alike(points, measures, sink);
        }
        RawKind::Several(_, points, need, whole) => {
            if points.len() < 2 {
                sink.error_hint(
                    Kind::Value,
                    &whole.span,
                    "this is made of several points, but fewer than two are named",
                    "write of = [\"inlet.a\", \"inlet.b\"]",
                );
            }
            if let Some(need) = need
                && need.value > points.len()
                && points.len() >= 2
            {
                sink.error_hint(
                    Kind::Conflict,
                    &need.span,
                    format!("{} values are needed of {} points", need.value, points.len()),
                    "`need` is how many of them must have a value",
                );
            }
            alike(points, measures, sink);
        }
    }
}

/// Points of one quantity, each once.
fn alike(points: &[At<String>], measures: &BTreeMap<&str, Measures>, sink: &Sink<'_>) {
    let mut first: Option<(&str, Measures)> = None;
    for (index, point) in points.iter().enumerate() {
        let name = point.value.as_str();
        if points[..index].iter().any(|other| other.value == name) {
            sink.error(
                Kind::Duplicate,
                &point.span,
                format!("{name} is named twice; it would agree with itself"),
            );
        }
        let Some(measured) = measures.get(name).copied().filter(|m| *m != Measures::Unsaid) else {
            continue;
        };
        match first {
            None => first = Some((name, measured)),
            Some((other, wanted)) if wanted != measured => sink.error_hint(
                Kind::Conflict,
                &point.span,
                format!("{name} and {other} do not measure the same"),
                "name points of one quantity",
            ),
            Some(_) => {}
        }
    }
}

/// A device that is asked too seldom never fills the window of a rate.
fn fills<W: World>(raw: &Raw<W>, of: &At<String>, window: &At<Millis>, sink: &Sink<'_>) {
    let device = raw.devices.iter().find(|device| {
        device
            .name
            .as_ref()
            .is_some_and(|name| of.value.split('.').next() == Some(name.value.as_str()))
    });
    let part = Millis(window.value.0 / SLOTS as u64);
    if let Some(poll) = device.and_then(|device| device.poll.as_ref())
        && poll.value > part
    {
        sink.error_hint(
            Kind::Conflict,
            &window.span,
            format!(
                "{} is read every {}, too seldom for a rate over {}",
                of.value,
                shown(poll.value),
                shown(window.value)
            ),
            format!(
                "{SLOTS} values must fit into the window: at least {}, or poll faster",
                shown(Millis(poll.value.0.saturating_mul(SLOTS as u64)))
            ),
        );
    }
}

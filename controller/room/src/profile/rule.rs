//! One `[[fact]]` of a profile after reading: where its values are, which rows count, how they
//! are scaled.

use super::read::{Key, Read, number_of};
use super::register::Register;
use super::unit::Unit;
use super::value::{Oid, Value};
use std::fmt;
use std::sync::Arc;

/// Where a value is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// An object instance.
    Oid(Oid),
    /// A register, with how its words are read.
    Register(Register),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oid(oid) => oid.fmt(f),
            Self::Register(register) => register.address.fmt(f),
        }
    }
}

/// One fact, or one for each row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// The names as written, `{line}` as `{i}`: what a child replaces and drops by.
    pub(super) written: Vec<String>,
    pub(super) unit: Unit,
    pub(super) read: Arc<Read>,
    pub(super) source: Source,
    /// All must hold.
    pub(super) conditions: Vec<Condition>,
    pub(super) scale: Option<Scale>,
    /// Its rows come and go and are many (addresses behind a switch): their values are those of
    /// the walk that found them, and no poll asks for them.
    pub(super) rarely: bool,
}

impl Rule {
    /// The name as written.
    pub(super) fn name(&self) -> &str {
        self.written.first().map_or("", String::as_str)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// Known without asking the device.
    Known(Vec<Line>),
    /// A place for each row.
    Table(Table),
}

/// A name and where its value may be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) places: Vec<Place>,
    /// A second or third phase, which most devices lack.
    pub(super) further: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) first_name: Option<String>,
    pub(super) columns: Vec<Oid>,
    pub(super) label: Option<Attribute>,
}

impl Table {
    /// The name of a row; `None` when its index is shorter than the name wants.
    pub(super) fn name_of(&self, number: usize, index: &[u32]) -> Option<String> {
        if let (1, Some(name)) = (number, &self.first_name) {
            return Some(name.clone());
        }
        let mut name = String::new();
        let mut rest = self.name.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, after) = after.split_once('}')?;
            name.push_str(before);
            match inside {
                "i" => name.push_str(&number.to_string()),
                "index" => {
                    let arcs: Vec<String> = index.iter().map(ToString::to_string).collect();
                    name.push_str(&arcs.join("."));
                }
                _ => {
                    let arc = inside.parse::<usize>().ok()?.checked_sub(1)?;
                    name.push_str(&index.get(arc)?.to_string());
                }
            }
            rest = after;
        }
        name.push_str(rest);
        Some(name)
    }
}

/// Something about a row that is not the fact itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attribute {
    /// The same for every row.
    Scalar(Oid),
    /// In this column, under the row's index or its first arcs.
    Column(Oid, Option<usize>),
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(oid) => write!(f, "scalar {oid}"),
            Self::Column(oid, _) => write!(f, "column {oid}"),
        }
    }
}

/// What a row must be to count.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) subject: Subject,
    /// One of them; empty when none is asked for.
    pub(super) is: Vec<Key>,
    /// None of them.
    pub(super) not: Vec<Key>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    Attribute(Attribute),
    /// An arc of the row's index, from 1.
    Arc(usize),
}

impl Condition {
    pub(super) fn holds(&self, value: &Value) -> bool {
        (self.is.is_empty() || self.is.iter().any(|key| key.is(value)))
            && !self.not.iter().any(|key| key.is(value))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Attribute(attribute) => attribute.fmt(f),
            Subject::Arc(arc) => write!(f, "arc {arc} of the index"),
        }
    }
}

/// A scale that the device itself tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    pub(super) by: Attribute,
    pub(super) how: How,
    pub(super) precision: Option<Attribute>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// times 10^x
    Exponent,
    /// by 10^x
    NegativeExponent,
    /// by x
    Divisor,
    /// x < 0: by -x; x > 0: times x
    Signed,
    /// `EntitySensorDataScale` of RFC 3433, with the precision's decimals.
    Entity,
}

/// What a raw value is multiplied with and divided by; two numbers, so that tenths stay exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factor {
    /// Factor.
    pub times: f64,
    /// Divisor.
    pub by: f64,
}

impl Factor {
    /// As the value is written.
    pub const ONE: Self = Self { times: 1.0, by: 1.0 };
    /// Refuses every value.
    const NONE: Self = Self {
        times: f64::NAN,
        by: 1.0,
    };

    fn power(exponent: f64) -> Self {
        if exponent.abs() > EXPONENT_MAX || exponent.fract() != 0.0 {
            return Self::NONE;
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole and at most 24")]
        let power = 10_f64.powi(exponent.abs() as i32);
        if exponent < 0.0 {
            Self {
                times: 1.0,
                by: power,
            }
        } else {
            Self {
                times: power,
                by: 1.0,
            }
        }
    }
}

/// Beyond this a power of ten is noise.
const EXPONENT_MAX: f64 = 24.0;

impl Scale {
    /// The factor of a row; one that refuses the value when what the device says makes none.
    pub(super) fn factor(&self, by: &Value, precision: Option<&Value>) -> Factor {
        let Ok((x, _)) = number_of(by) else {
            return Factor::NONE;
        };
        match self.how {
            How::Exponent => Factor::power(x),
            How::NegativeExponent => Factor::power(-x),
            How::Divisor if x == 0.0 => Factor::NONE,
            How::Divisor => Factor { times: 1.0, by: x },
            How::Signed if x < 0.0 => Factor { times: 1.0, by: -x },
            How::Signed if x > 0.0 => Factor { times: x, by: 1.0 },
            How::Signed => Factor::ONE,
            How::Entity => {
                // A negative precision only says how many digits are true.
                let decimals = precision
                    .and_then(|precision| number_of(precision).ok())
                    .map_or(0.0, |(decimals, _)| decimals.max(0.0));
                entity_exponent(x).map_or(Factor::NONE, |exponent| Factor::power(exponent - decimals))
            }
        }
    }
}

/// RFC 3433, `EntitySensorDataScale`: 1 is 10^-24, 9 is units. It has exa (14) before peta (15).
fn entity_exponent(scale: f64) -> Option<f64> {
    match scale {
        14.0 => Some(18.0),
        15.0 => Some(15.0),
        _ if (1.0..=17.0).contains(&scale) => Some((scale - 9.0) * 3.0),
        _ => None,
    }
}

//! What the text of a profile may hold, key by key. `file` checks that it makes sense.

use super::Kind;
use super::read::Key;
use super::register::Order;
use super::rule::How;
use super::unit::Unit;
use serde::Deserialize;
use serde_spanned::Spanned;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) title: String,
    pub(super) source: String,
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) protocol: ProtocolText,
    pub(super) modbus: Option<Spanned<ModbusText>>,
    #[serde(default)]
    pub(super) extends: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) drop: Option<Spanned<Vec<String>>>,
    #[serde(rename = "match")]
    pub(super) matching: Option<Spanned<Match>>,
    #[serde(rename = "fact", default)]
    pub(super) facts: Vec<Spanned<FactText>>,
    #[serde(rename = "command", default)]
    pub(super) commands: Vec<Spanned<CommandText>>,
    /// Commands of the parents are not this device's.
    #[serde(default)]
    pub(super) no_commands: bool,
}

/// `[[command]]`: what the device can be told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandText {
    pub(super) name: String,
    pub(super) oid: Option<String>,
    pub(super) register: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) order: Option<Order>,
    pub(super) value: ValueText,
    /// Written before, in this order.
    #[serde(default)]
    pub(super) before: Vec<WriteText>,
    pub(super) parameter: Option<ParameterText>,
    pub(super) confirm: ConfirmText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteText {
    pub(super) oid: Option<String>,
    pub(super) register: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) order: Option<Order>,
    pub(super) value: ValueText,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum ValueText {
    Number(i64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterText {
    pub(super) unit: Unit,
    pub(super) range: (i64, i64),
    pub(super) usual: Option<i64>,
    pub(super) multiply: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum ConfirmText {
    Word(String),
    Fact(ConfirmFactText),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfirmFactText {
    pub(super) fact: String,
    pub(super) is: Vec<String>,
    pub(super) within_s: u32,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProtocolText {
    #[default]
    Snmp,
    Modbus,
}

/// `[modbus]`: what holds for the whole device.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct ModbusText {
    /// Of the words of a value, where the fact says nothing else.
    #[serde(default)]
    pub(super) order: Order,
    pub(super) max_registers: Option<u16>,
    pub(super) hole: Option<u16>,
    pub(super) pause_ms: Option<u16>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    #[serde(default)]
    pub(super) sys_object_id: Vec<String>,
    #[serde(default)]
    pub(super) sys_descr: Vec<String>,
    #[serde(default)]
    pub(super) probe: Vec<String>,
    #[serde(default)]
    pub(super) by_probe_alone: bool,
    pub(super) preference: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactText {
    pub(super) name: String,
    pub(super) first_name: Option<String>,
    pub(super) oid: Option<OneOrMany>,
    pub(super) column: Option<OneOrMany>,
    pub(super) register: Option<OneOrMany>,
    /// Of the register's value.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) order: Option<Order>,
    /// Registers from one line to the next.
    pub(super) stride: Option<u16>,
    /// Positions of bits or flags that count before the others, in this order.
    #[serde(default)]
    pub(super) first: Vec<usize>,
    pub(super) label: Option<LabelText>,
    #[serde(rename = "where", default)]
    pub(super) conditions: Vec<ConditionText>,
    pub(super) scale: Option<ScaleText>,
    pub(super) read: ReadText,
    pub(super) unit: Option<Unit>,
    #[serde(default = "one")]
    pub(super) multiply: f64,
    #[serde(default = "one")]
    pub(super) divide: f64,
    #[serde(default)]
    pub(super) offset: f64,
    pub(super) range: Option<(f64, f64)>,
    #[serde(default)]
    pub(super) invalid: Vec<KeyText>,
    #[serde(default)]
    pub(super) words: BTreeMap<String, String>,
    pub(super) otherwise: Option<String>,
    pub(super) text: Option<String>,
    pub(super) lines: Option<u32>,
    pub(super) line_name: Option<String>,
    /// Read when rows are looked for, not with every poll.
    #[serde(default)]
    pub(super) rarely: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn list(&self) -> Vec<&str> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts.iter().map(String::as_str).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum KeyText {
    Number(f64),
    Text(String),
}

impl KeyText {
    pub(super) fn key(&self) -> Key {
        match self {
            Self::Number(number) => Key::Number(*number),
            Self::Text(text) => Key::Text(text.clone()),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum LabelText {
    Column(String),
    Table(ColumnText),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnText {
    pub(super) column: String,
    pub(super) arcs: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConditionText {
    pub(super) column: Option<String>,
    pub(super) arcs: Option<usize>,
    pub(super) scalar: Option<String>,
    pub(super) arc: Option<usize>,
    #[serde(default)]
    pub(super) is: Vec<KeyText>,
    #[serde(default)]
    pub(super) not: Vec<KeyText>,
    #[serde(default)]
    pub(super) text: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScaleText {
    pub(super) column: Option<String>,
    pub(super) arcs: Option<usize>,
    pub(super) scalar: Option<String>,
    #[serde(rename = "as")]
    pub(super) how: How,
    pub(super) precision: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReadText {
    /// A number with unit.
    Number,
    /// An enumeration; `words` maps each value to a reserved word.
    State,
    /// A text of `0` and `1`; `words` maps 1-based positions to reserved words, the first set
    /// one wins, `otherwise` when none is set.
    Flags,
    /// Bits of an integer (0 = least) or of a BITS string (0 = first); as `flags`.
    Bits,
    /// Free text.
    Text,
    /// `text`, whatever the device says; only for what the match has proved (the maker).
    Constant,
}

pub(super) const fn one() -> f64 {
    1.0
}

//! From one value to one fact, whatever brought the value: a variable, a row, a register.
//!
//! Nothing here guesses. A wrong type, an unknown enumeration value, a way of saying "not
//! measured" or a number that cannot be becomes [`NoData`].

use super::rule::Factor;
use super::unit::{Limits, Unit};
use super::value::{self, Value};
use crate::device::FactValue;
use shared::NoData;

/// Longest text that is tried as a number, in bytes.
const NUMBER_TEXT_MAX: usize = 64;
/// Longest unit behind a number in a text, in characters.
const UNIT_TEXT_MAX: usize = 16;

/// How a fact is read from a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// A number with a unit.
    Number(Number),
    /// An enumeration.
    State {
        /// Each value and its reserved word.
        words: Vec<(Key, String)>,
        /// Ways of saying "not known".
        invalid: Vec<Key>,
    },
    /// A text of `0` and `1`: the first position (from 1) that is set gives the word.
    Flags {
        /// Position and word.
        flags: Vec<(usize, String)>,
        /// When none is set.
        otherwise: String,
    },
    /// Bits of an integer (0 is the lowest) or of BITS (0 is the first).
    Bits {
        /// Position and word.
        bits: Vec<(usize, String)>,
        /// When none is set.
        otherwise: String,
    },
    /// Free text.
    Text {
        /// Texts that say nothing.
        invalid: Vec<Key>,
    },
    /// The same whatever the device says.
    Constant(String),
}

/// A number: raw, times the row's factor, times `multiply`, by `divide`, plus `offset`.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// Factor.
    pub multiply: f64,
    /// Divisor.
    pub divide: f64,
    /// Added last.
    pub offset: f64,
    /// Raw values that say "not measured".
    pub invalid: Vec<Key>,
    /// What the fact can be.
    pub usual: Limits,
    /// What nothing of that name can be beyond.
    pub physical: Option<Limits>,
    /// Unit.
    pub unit: Unit,
    /// Every raw value may come by.
    pub is_counter: bool,
}

/// A raw value as a profile writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// A number.
    Number(f64),
    /// A text; case and padding do not count.
    Text(String),
}

impl Key {
    /// True when the device sent this value.
    #[must_use]
    pub fn is(&self, value: &Value) -> bool {
        match self {
            #[expect(clippy::float_cmp, reason = "both are what somebody wrote, not a calculation")]
            Self::Number(wanted) => number_of(value).is_ok_and(|(number, _)| number == *wanted),
            Self::Text(wanted) => text_of(value).is_some_and(|text| same_text(&text, wanted)),
        }
    }
}

/// Compares without case and padding; `*` stands for any text and `?` for one character.
#[must_use]
pub(super) fn same_text(text: &str, wanted: &str) -> bool {
    super::words::fits(&wanted.trim().to_lowercase(), &text.trim().to_lowercase())
}

/// The text of a value that has one.
#[must_use]
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Bytes(bytes) => value::printable(bytes),
        Value::Oid(oid) => Some(oid.to_string()),
        Value::Integer(_) | Value::Unsigned(_) | Value::Address(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The number of a value that holds one, and the unit that a text wrote behind it.
///
/// # Errors
/// [`NoData::Sentinel`] for texts that say "nothing", [`NoData::NotSupported`] for all others.
pub(super) fn number_of(value: &Value) -> Result<(f64, String), NoData> {
    if let Some(number) = value.as_integer() {
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 nothing is plausible")]
        return Ok((number as f64, String::new()));
    }
    match value {
        Value::Opaque(bytes) => match float(bytes) {
            Some(number) if number.is_finite() => Ok((number, String::new())),
            Some(_) => Err(NoData::Sentinel),
            None => Err(NoData::NotSupported),
        },
        Value::Bytes(bytes) => number_in(&value::printable(bytes).ok_or(NoData::NotSupported)?),
        _ => Err(NoData::NotSupported),
    }
}

/// A decimal number with an optional unit behind it.
fn number_in(text: &str) -> Result<(f64, String), NoData> {
    const NOTHING: [&str; 9] = ["", "-", "--", "---", "n/a", "na", "none", "null", "unknown"];
    let text = text.trim();
    if NOTHING.contains(&text.to_lowercase().as_str()) {
        return Err(NoData::Sentinel);
    }
    if text.len() > NUMBER_TEXT_MAX {
        return Err(NoData::NotSupported);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text).trim_start();
    let digits = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (digits, unit) = unsigned.split_at(digits);
    let unit = unit.trim();
    let is_unit = unit.chars().count() <= UNIT_TEXT_MAX
        && unit
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, '%' | '°' | '/' | ' ' | '(' | ')' | '²' | '³' | 'º'));
    if !is_unit || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(NoData::NotSupported);
    }
    let number: f64 = digits.parse().map_err(|_| NoData::NotSupported)?;
    let number = if text.starts_with('-') { -number } else { number };
    Ok((number, unit.to_owned()))
}

/// Floats as net-snmp wraps them: the context-specific tags 0x78 (float) and 0x79 (double) in an
/// Opaque, each behind 0x9f and a length.
fn float(bytes: &[u8]) -> Option<f64> {
    match bytes {
        // An agent that wraps twice.
        [0x44, length, inner @ ..] if usize::from(*length) == inner.len() => float(inner),
        [0x9f, 0x78, 4, rest @ ..] => {
            let single = f32::from_be_bytes(rest.try_into().ok()?);
            // By its shortest text, so that 23.4 stays 23.4.
            single.to_string().parse().ok()
        }
        [0x9f, 0x79, 8, rest @ ..] => Some(f64::from_be_bytes(rest.try_into().ok()?)),
        _ => None,
    }
}

/// Raw values that no meter shows by measuring: all ones of 16, 31, 32, 63 and 64 bits, the
/// lowest of 32 and 64 bits.
const NEVER_MEASURED: [f64; 7] = [
    65_535.0,
    2_147_483_647.0,
    4_294_967_295.0,
    -2_147_483_648.0,
    9_223_372_036_854_775_807.0,
    18_446_744_073_709_551_615.0,
    -9_223_372_036_854_775_808.0,
];
/// Raw values that say "not measured" where they cannot be a measurement.
const OFTEN_NOT_MEASURED: [f64; 16] = [
    -1.0, -10.0, -99.0, -128.0, -273.0, -2730.0, -2731.0, -999.0, -9990.0, -9999.0, -99_999.0, 32_767.0,
    -32_768.0, 65_534.0, 655_350.0, 999_999.0,
];

impl Number {
    fn decode(&self, value: &Value, factor: Factor) -> Result<FactValue, NoData> {
        if self.invalid.iter().any(|key| key.is(value)) {
            return Err(NoData::Sentinel);
        }
        let (raw, unit) = number_of(value)?;
        if !self.agrees(&unit) {
            return Err(NoData::NotSupported);
        }
        if !self.is_counter && NEVER_MEASURED.contains(&raw) {
            return Err(NoData::Sentinel);
        }
        let number = raw * factor.times / factor.by * self.multiply / self.divide + self.offset;
        let fits = number.is_finite()
            && self.usual.allow(number)
            && self.physical.is_none_or(|limits| limits.allow(number));
        if fits {
            // A zero without a sign.
            Ok(FactValue::Number(number + 0.0))
        } else if OFTEN_NOT_MEASURED.contains(&raw) {
            Err(NoData::Sentinel)
        } else {
            Err(NoData::Implausible)
        }
    }

    /// A unit that a device writes behind the number must not contradict the fact's; where the
    /// profile converts, it knows.
    fn agrees(&self, unit: &str) -> bool {
        let converts = self.multiply != 1.0 || self.divide != 1.0 || self.offset != 0.0;
        if unit.is_empty() || converts {
            return true;
        }
        let bare = unit.trim_start_matches(['°', 'º', ' ']).to_lowercase();
        match self.unit {
            Unit::Celsius => !bare.starts_with('f') && !bare.starts_with('k'),
            Unit::V | Unit::A | Unit::W | Unit::Va | Unit::Var | Unit::Hz | Unit::Wh => {
                let symbol = self.unit.symbol().to_lowercase();
                !["m", "k"]
                    .iter()
                    .any(|prefix| bare == format!("{prefix}{symbol}"))
            }
            Unit::Seconds => !bare.starts_with("min") && !bare.starts_with('h') && !bare.starts_with("ms"),
            _ => true,
        }
    }
}

impl Read {
    /// The fact's value; `factor` is the row's own scale.
    ///
    /// # Errors
    /// Why there is no value.
    pub fn decode(&self, value: &Value, factor: Factor) -> Result<FactValue, NoData> {
        if let Value::DeviceError(_) = value {
            return Err(NoData::DeviceError);
        }
        if !value.is_present() {
            return Err(NoData::NotSupported);
        }
        match self {
            Self::Number(number) => number.decode(value, factor),
            Self::State { words, invalid } => {
                if invalid.iter().any(|key| key.is(value)) {
                    return Err(NoData::Sentinel);
                }
                match words.iter().find(|(key, _)| key.is(value)) {
                    Some((_, word)) => Ok(FactValue::State(word.clone())),
                    None if text_of(value).is_none_or(|text| text.is_empty())
                        && number_of(value).is_err() =>
                    {
                        Err(NoData::NotSupported)
                    }
                    // A value that the model's document does not have is evidence that cannot be
                    // read, not the nearest state.
                    None => Err(NoData::Implausible),
                }
            }
            Self::Flags { flags, otherwise } => {
                let Value::Bytes(text) = value else {
                    return Err(NoData::NotSupported);
                };
                let longest = flags.iter().map(|(at, _)| *at).max().unwrap_or(0);
                if text.len() < longest || text.iter().any(|flag| !matches!(flag, b'0' | b'1')) {
                    return Err(NoData::Implausible);
                }
                let is_set = |at: usize| at > 0 && text.get(at - 1) == Some(&b'1');
                Ok(state(flags.iter().find(|(at, _)| is_set(*at)), otherwise))
            }
            Self::Bits { bits, otherwise } => {
                let number = match value {
                    Value::Bytes(_) => None,
                    _ => Some(value.as_integer().ok_or(NoData::NotSupported)?),
                };
                let is_set = |at: usize| match (value, number) {
                    (Value::Bytes(bytes), _) => bytes
                        .get(at / 8)
                        .is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0),
                    (_, Some(number)) => at < 64 && (number >> at) & 1 == 1,
                    (_, None) => false,
                };
                Ok(state(bits.iter().find(|(at, _)| is_set(*at)), otherwise))
            }
            Self::Text { invalid } => {
                if invalid.iter().any(|key| key.is(value)) {
                    return Err(NoData::Sentinel);
                }
                match (value, text_of(value)) {
                    (_, Some(text)) if text.is_empty() => Err(NoData::Sentinel),
                    (_, Some(text)) => Ok(FactValue::Text(text)),
                    (Value::Bytes(_), None) => Err(NoData::Corrupt),
                    (_, None) => Err(NoData::NotSupported),
                }
            }
            Self::Constant(text) => Ok(FactValue::Text(text.clone())),
        }
    }
}

fn state(word: Option<&(usize, String)>, otherwise: &str) -> FactValue {
    FactValue::State(word.map_or(otherwise, |(_, word)| word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Bytes(text.as_bytes().to_vec())
    }

    #[test]
    fn numbers_are_read_from_texts_and_opaque_floats() {
        for (value, expected) in [
            (text("23.4"), Ok(23.4)),
            (text("+23.4 C"), Ok(23.4)),
            (text(" -0.5\0"), Ok(-0.5)),
            (text("120 V"), Ok(120.0)),
            (text("45%"), Ok(45.0)),
            (text("21.5 °C"), Ok(21.5)),
            (text("N/A"), Err(NoData::Sentinel)),
            (text(""), Err(NoData::Sentinel)),
            (text("--"), Err(NoData::Sentinel)),
            (text("1.2.3"), Err(NoData::NotSupported)),
            (text("12 34"), Err(NoData::NotSupported)),
            (text("1e5"), Err(NoData::NotSupported)),
            (text("nan"), Err(NoData::NotSupported)),
            (text("ten"), Err(NoData::NotSupported)),
            (text("1,5"), Err(NoData::NotSupported)),
            (text("."), Err(NoData::NotSupported)),
            (
                Value::Opaque(vec![0x9f, 0x78, 4, 0x41, 0xbb, 0x33, 0x33]),
                Ok(23.4),
            ),
            (
                Value::Opaque(vec![0x9f, 0x79, 8, 0x40, 0x37, 0, 0, 0, 0, 0, 0]),
                Ok(23.0),
            ),
            (
                Value::Opaque(vec![0x9f, 0x78, 4, 0x7f, 0xc0, 0, 0]),
                Err(NoData::Sentinel),
            ),
            (Value::Opaque(vec![0x9f, 0x78, 4]), Err(NoData::NotSupported)),
            (Value::Null, Err(NoData::NotSupported)),
        ] {
            assert_eq!(number_of(&value).map(|(number, _)| number), expected, "{value:?}");
        }
    }

    #[test]
    fn keys_compare_without_case_and_padding() {
        assert!(Key::Text("On".to_owned()).is(&text(" ON \0")));
        assert!(!Key::Text("On".to_owned()).is(&text("only")));
        assert!(Key::Text("on*".to_owned()).is(&text("only")));
        assert!(Key::Number(2.0).is(&text("2")));
        assert!(Key::Number(2.0).is(&Value::Unsigned(2)));
        assert!(Key::Text("1.3.6.1".to_owned()).is(&Value::Oid("1.3.6.1".parse().unwrap())));
    }
}

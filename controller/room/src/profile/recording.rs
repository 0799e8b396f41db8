//! Recordings of devices: what one agent answered, as text lines `oid|type|value`.
//!
//! The type is the BER tag in decimal; `4x` marks an octet string in hexadecimal. A recording
//! is evidence for a profile; it is never read by a running controller.

use super::value::{Oid, Value};
use super::{Identity, Layout, Profile, Roots, SYS_DESCR, SYS_OBJECT_ID, read};
use crate::device::{FactValue, Reading};
use shared::NoData;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Bound;

/// Lines of one recording; a walk of a large server has some 11,000.
pub const LINES_MAX: usize = 100_000;

/// What one agent answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    values: BTreeMap<Oid, Value>,
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadLine {
    /// 1-based.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl Recording {
    /// Reads the text of a recording. Empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// [`BadLine`] for the first line that is no `oid|type|value`.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let mut values = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |problem: String| BadLine {
                line: index + 1,
                problem,
            };
            if index >= LINES_MAX {
                return Err(bad(format!("more than {LINES_MAX} lines")));
            }
            let mut parts = line.splitn(3, '|');
            let (Some(oid), Some(tag), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(bad("expected oid|type|value".to_owned()));
            };
            let oid: Oid = oid.parse().map_err(|error| bad(format!("{error}")))?;
            let value =
                parse_value(tag, text).ok_or_else(|| bad(format!("type {tag} does not fit `{text}`")))?;
            values.insert(oid, value);
        }
        Ok(Self { values })
    }

    /// What the agent answers to a GET of this instance.
    #[must_use]
    pub fn get(&self, oid: &Oid) -> Value {
        self.values.get(oid).cloned().unwrap_or(Value::NoSuchInstance)
    }

    /// What the agent says it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let get = |oid: &str| oid.parse().map_or(Value::NoSuchObject, |oid| self.get(&oid));
        Identity {
            sys_object_id: match get(SYS_OBJECT_ID) {
                Value::Oid(oid) => Some(oid),
                // Some cards answer it as text.
                Value::Bytes(bytes) => std::str::from_utf8(&bytes)
                    .ok()
                    .and_then(|text| text.parse().ok()),
                _ => None,
            },
            sys_descr: read::text_of(&get(SYS_DESCR)),
        }
    }

    /// True when the agent has this instance or, for a column, any row of it.
    #[must_use]
    pub fn has(&self, probe: &Oid) -> bool {
        self.get(probe).is_present()
            || (probe.may_have_rows() && self.under(probe).any(|(_, value)| value.is_present()))
    }

    /// What a session walks and gets before it makes a layout.
    #[must_use]
    pub fn rows(&self, roots: &Roots) -> Vec<(Oid, Value)> {
        let walked = roots.columns.iter().flat_map(|column| self.under(column));
        let got = roots
            .scalars
            .iter()
            .filter_map(|scalar| self.values.get_key_value(scalar));
        walked
            .chain(got)
            .map(|(oid, value)| (oid.clone(), value.clone()))
            .collect()
    }

    /// As a session would read it with this profile.
    #[must_use]
    pub fn read(&self, profile: &Profile) -> (Layout, Reading) {
        let layout = profile.layout(&self.rows(&profile.roots()));
        let values: Vec<Value> = layout.oids().iter().map(|oid| self.get(oid)).collect();
        let reading = layout.decode(self.identity().sys_object_id.as_ref(), &values);
        (layout, reading)
    }

    /// Every instance below an object.
    fn under(&self, root: &Oid) -> impl Iterator<Item = (&Oid, &Value)> {
        self.values
            .range((Bound::Excluded(root), Bound::Unbounded))
            .take_while(move |(oid, _)| oid.is_under(root))
    }

    /// Every instance with its value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Oid, &Value)> {
        self.values.iter()
    }
}

/// A reading as text, one fact a line: what is kept beside a recording and compared.
#[must_use]
pub fn reading_text(reading: &Reading) -> String {
    let mut text = format!("profile {}\n", reading.profile);
    for fact in &reading.facts {
        let value = match &fact.value {
            Ok(FactValue::Number(number)) => format!("{} {}", decimal(*number), fact.unit),
            Ok(FactValue::State(word)) => word.clone(),
            Ok(FactValue::Text(text)) => format!("\"{text}\""),
            // What a device does not have is not worth a line; what was refused is.
            Err(NoData::NotSupported) if fact.raw.is_empty() => continue,
            Err(reason) => format!("no data: {} ({})", reason.word(), fact.raw),
        };
        let label = match &fact.label {
            Some(label) => format!("  # {label}"),
            None => String::new(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} = {}{label}", fact.name, value.trim_end());
    }
    text
}

/// Six decimals, without what binary fractions add behind them.
fn decimal(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn parse_value(tag: &str, text: &str) -> Option<Value> {
    let (tag, hex) = match tag.strip_suffix('x') {
        Some(tag) => (tag, true),
        None => (tag, false),
    };
    let bytes = || {
        if hex {
            from_hex(text)
        } else {
            Some(text.as_bytes().to_vec())
        }
    };
    match tag.parse::<u8>().ok()? {
        2 => text.trim().parse().ok().map(Value::Integer),
        4 => bytes().map(Value::Bytes),
        5 => Some(Value::Null),
        6 => text.parse().ok().map(Value::Oid),
        64 if hex => from_hex(text)?.try_into().ok().map(Value::Address),
        64 => text
            .trim()
            .parse::<std::net::Ipv4Addr>()
            .ok()
            .map(|address| Value::Address(address.octets())),
        65 | 66 | 70 => text.trim().parse().ok().map(Value::Unsigned),
        67 => text.trim().parse().ok().map(Value::Ticks),
        68 => bytes().map(Value::Opaque),
        _ => None,
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().as_bytes();
    let mut bytes = vec![0; digits.len() / 2];
    crate::hex::read(digits, &mut bytes).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_their_types() {
        let recording = Recording::parse(
            "# comment\n1.3.6.1.2.1.1.1.0|4|a|b\n1.3.6.1.2.1.1.2.0|6|.1.3.6.1.4.1.318\n\
             1.3.6.1.2.1.1.3.0|67|12\n1.3.6.1.9.1|4x|0aff\n1.3.6.1.9.2|2|-1\n1.3.6.1.9.3|5|\n",
        )
        .unwrap();
        let get = |oid: &str| recording.get(&oid.parse().unwrap());
        assert_eq!(get("1.3.6.1.2.1.1.1.0"), Value::Bytes(b"a|b".to_vec()));
        assert_eq!(get("1.3.6.1.2.1.1.3.0"), Value::Ticks(12));
        assert_eq!(get("1.3.6.1.9.1"), Value::Bytes(vec![10, 255]));
        assert_eq!(get("1.3.6.1.9.2"), Value::Integer(-1));
        assert_eq!(get("1.3.6.1.9.3"), Value::Null);
        assert_eq!(get("1.3.6.1.9.4"), Value::NoSuchInstance);
    }

    #[test]
    fn a_bad_line_is_named() {
        assert_eq!(Recording::parse("1.3|2|1\n1.3.6|2|ten").unwrap_err().line, 2);
        assert_eq!(Recording::parse("1.3.6").unwrap_err().line, 1);
        assert_eq!(Recording::parse("1.3.6.1|4x|abc").unwrap_err().line, 1);
    }
}

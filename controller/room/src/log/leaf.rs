//! Leaves as bytes: canonical JSON, written from typed members.
//!
//! Members are sorted by the bytes of their names; there are strings, integers, lists and objects and
//! nothing else; of strings only `"`, `\` and what is below U+0020 is escaped.

use std::collections::BTreeMap;

/// Longest leaf in bytes.
pub const MAX_LEAF: usize = 65_535;
/// Longest text of a member in characters; a longer one is cut, and ends with an ellipsis.
pub const MAX_TEXT: usize = 2_000;
/// Most elements of a list; a longer one is cut.
pub const MAX_LIST: usize = 500;
/// Integers lie between this and its negative (RFC 8785 section 3.2.2.3).
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An integer.
    Integer(i64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// An object.
    Object(Object),
}

/// Members by name.
pub type Object = BTreeMap<&'static str, Value>;

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        let mut short: String = text.chars().take(MAX_TEXT).collect();
        if short.len() < text.len() {
            short.push('…');
        }
        Self::Text(short)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number.clamp(-MAX_INTEGER, MAX_INTEGER))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        i64::try_from(number).unwrap_or(MAX_INTEGER).into()
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl<T: Into<Value> + Clone> From<&[T]> for Value {
    fn from(list: &[T]) -> Self {
        Self::List(list.iter().take(MAX_LIST).cloned().map(Into::into).collect())
    }
}

impl From<&Vec<String>> for Value {
    fn from(list: &Vec<String>) -> Self {
        list.as_slice().into()
    }
}

/// The bytes of an object, without a line feed.
#[must_use]
pub fn bytes(object: &Object) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_object(&mut out, object);
    out
}

fn write_object(out: &mut Vec<u8>, object: &Object) {
    out.push(b'{');
    for (at, (name, value)) in object.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(out, name);
        out.push(b':');
        write(out, value);
    }
    out.push(b'}');
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Integer(number) => out.extend(number.to_string().as_bytes()),
        Value::Text(text) => write_text(out, text),
        Value::Object(object) => write_object(out, object),
        Value::List(list) => {
            out.push(b'[');
            for (at, value) in list.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(out, value);
            }
            out.push(b']');
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            0x08 => out.extend(b"\\b"),
            b'\t' => out.extend(b"\\t"),
            b'\n' => out.extend(b"\\n"),
            0x0c => out.extend(b"\\f"),
            b'\r' => out.extend(b"\\r"),
            0..0x20 => out.extend(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

//! Canonical JSON, as strict as the page of the entry log has it: one spelling for every value, so
//! that a leaf that reads the same is the same bytes. What is spelt otherwise is an error, never repaired.

use std::borrow::Cow;

/// Greatest integer either side of 0: 2^53 - 1.
pub const MAX_INT: i64 = (1 << 53) - 1;
/// Lists and objects inside each other.
pub const MAX_DEPTH: usize = 16;

/// A value; there is no `null`, `true`, `false` and no fraction in a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Between -[`MAX_INT`] and [`MAX_INT`].
    Int(i64),
    /// Text, without its escapes.
    Text(Cow<'a, str>),
    /// `[...]`
    List(Vec<Value<'a>>),
    /// `{...}`, names rising.
    Object(Members<'a>),
}

/// The members of an object, names rising.
pub type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

impl<'a> Value<'a> {
    /// The integer, if it is one.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer from 0, if it is one.
    pub fn count(&self) -> Option<u64> {
        self.int().and_then(|value| u64::try_from(value).ok())
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn list(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub fn members(&self) -> Option<&[(Cow<'a, str>, Value<'a>)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The member of that name.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.members()?
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }
}

/// Reads one value that fills the whole line.
///
/// # Errors
/// What is not canonical.
pub fn parse(line: &[u8]) -> Result<Value<'_>, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    if reader.at != text.len() {
        return Err("something follows the value");
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == wanted;
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, &'static str> {
        if depth > MAX_DEPTH {
            return Err("too deep");
        }
        match self.peek() {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => Ok(Value::Text(self.string()?)),
            b'-' | b'0'..=b'9' => Ok(Value::Int(self.integer()?)),
            _ => Err("neither object, list, string nor integer"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, &'static str> {
        self.at += 1;
        let mut members: Members<'a> = Vec::new();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            let name = self.string()?;
            if members
                .last()
                .is_some_and(|(before, _)| before.as_bytes() >= name.as_bytes())
            {
                return Err("members are not sorted");
            }
            if !self.take(b':') {
                return Err("no colon after a member's name");
            }
            let value = self.value(depth + 1)?;
            members.push((name, value));
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err("an object does not end");
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, &'static str> {
        self.at += 1;
        let mut list = Vec::new();
        if self.take(b']') {
            return Ok(Value::List(list));
        }
        loop {
            list.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Ok(Value::List(list));
            }
            if !self.take(b',') {
                return Err("a list does not end");
            }
        }
    }

    fn integer(&mut self) -> Result<i64, &'static str> {
        let negative = self.take(b'-');
        let rest = &self.text.as_bytes()[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // 2^53 has 16 digits.
        if digits == 0 || digits > 16 {
            return Err("an integer that is none, or too great");
        }
        let value = rest[..digits]
            .iter()
            .fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        if rest[0] == b'0' && (digits > 1 || negative) {
            return Err("an integer with a needless 0 or sign");
        }
        if value > MAX_INT {
            return Err("an integer that is none, or too great");
        }
        self.at += digits;
        Ok(if negative { -value } else { value })
    }

    fn string(&mut self) -> Result<Cow<'a, str>, &'static str> {
        if !self.take(b'"') {
            return Err("no string where one must be");
        }
        let begin = self.at;
        let mut plain = begin;
        let mut owned = String::new();
        loop {
            let bytes = self.text.as_bytes();
            match bytes.get(self.at).copied() {
                None => return Err("a string does not end"),
                Some(b'"') => {
                    let rest = &self.text[plain..self.at];
                    self.at += 1;
                    if plain == begin {
                        return Ok(Cow::Borrowed(rest));
                    }
                    owned.push_str(rest);
                    return Ok(Cow::Owned(owned));
                }
                Some(b'\\') => {
                    owned.push_str(&self.text[plain..self.at]);
                    let (character, long) = escape(&bytes[self.at + 1..])?;
                    owned.push(character);
                    self.at += 1 + long;
                    plain = self.at;
                }
                Some(0..0x20) => return Err("a control character that is not escaped"),
                Some(_) => self.at += 1,
            }
        }
    }
}

/// The character that the bytes after a backslash stand for, and how many bytes they are.
fn escape(rest: &[u8]) -> Result<(char, usize), &'static str> {
    let character = match rest.first() {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'b') => '\u{8}',
        Some(b't') => '\t',
        Some(b'n') => '\n',
        Some(b'f') => '\u{c}',
        Some(b'r') => '\r',
        Some(b'u') => {
            let Some([b'0', b'0', high @ b'0'..=b'1', low @ (b'0'..=b'9' | b'a'..=b'f')]) = rest.get(1..5)
            else {
                return Err("an escape that is not the shortest");
            };
            let low = if low.is_ascii_digit() {
                low - b'0'
            } else {
                low - b'a' + 10
            };
            let code = (high - b'0') * 16 + low;
            if matches!(code, 8 | 9 | 10 | 12 | 13) {
                return Err("an escape that is not the shortest");
            }
            return Ok((char::from(code), 5));
        }
        _ => return Err("an escape that is not the shortest"),
    };
    Ok((character, 1))
}

/// Writes `text` as a JSON string, for `--json`.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{0}'..'\u{20}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_is_read_and_every_other_is_refused() {
        for good in [
            "{}",
            "[]",
            r#"{"a":1,"b":[-1,"\n\u0001é櫓"]}"#,
            "9007199254740991",
            "-9007199254740991",
            r#""\"\\\b\t\f\r\u001f\u007f""#.replace("\\u007f", "\u{7f}").as_str(),
        ] {
            assert!(parse(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [
            "",
            " {}",
            "{} ",
            "{\"a\": 1}",
            r#"{"b":1,"a":1}"#,
            r#"{"a":1,"a":1}"#,
            "01",
            "-0",
            "1.0",
            "1e3",
            "9007199254740992",
            "null",
            "true",
            r#""\/""#,
            r#""\u000a""#,
            r#""\u001F""#,
            r#""\u0041""#,
            r#""\ud83d\ude00""#,
            "\"\n\"",
            "\"",
            "[1,]",
            "{\"a\":1,}",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert!(parse("[".repeat(60_000).as_bytes()).is_err());
    }

    #[test]
    fn escapes_mean_what_they_say() {
        let value = parse(br#""a\u0001\t\"""#).unwrap();
        assert_eq!(value.text(), Some("a\u{1}\t\""));
    }
}

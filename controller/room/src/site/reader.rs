//! A small reader of spanned TOML tables.
//!
//! Each key is asked for by name and type; [`Reader::finish`] then knows every key that could
//! have been written and refuses the rest. A wrong value is recorded and read as `None`, so
//! that the whole file is looked at whatever is wrong with its beginning. It never stops early.

use super::problem::{Kind, Sink, first_odd, nearest};
use crate::site::Label;
use crate::time::Millis;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest shown name in characters; longer ones break the page.
const MAX_LABEL: usize = 80;
/// Longest text of any other kind in characters.
const MAX_TEXT: usize = 512;
/// Most entries of a plain list.
const MAX_LIST: usize = 64;

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<T> At<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At {
            value: f(self.value),
            span: self.span,
        }
    }
}

/// A value that was there and right.
pub(super) type Found<T> = Option<At<T>>;

/// Reads one table.
pub(super) struct Reader<'a> {
    table: &'a DeTable<'a>,
    /// Where the table begins; missing keys are reported here.
    pub(super) span: Range<usize>,
    /// How the table is called in messages: `[[node]]`.
    title: String,
    known: Vec<&'static str>,
    /// One mistake decides what else may stand here, and it is reported already.
    forgiven: bool,
    sink: &'a Sink<'a>,
    base: &'a Path,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        table: &'a DeTable<'a>,
        span: Range<usize>,
        title: impl Into<String>,
        sink: &'a Sink<'a>,
        base: &'a Path,
    ) -> Self {
        Self {
            table,
            span,
            title: title.into(),
            known: Vec::new(),
            forgiven: false,
            sink,
            base,
        }
    }

    /// Takes every key, known or not: what may stand here hangs on a key that is wrong.
    pub(super) fn forgive(&mut self) {
        self.forgiven = true;
    }

    /// Refuses every key that was not asked for.
    pub(super) fn finish(self) {
        if self.forgiven {
            return;
        }
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let shown: String = name.chars().take(MAX_LABEL).collect();
            let message = format!("unknown key `{shown}` in {}", self.title);
            let hint = if let Some(near) = nearest(name, self.known.iter().copied()) {
                format!("did you mean `{near}`?")
            } else if let Some(odd) = first_odd(name) {
                format!("it contains {odd}")
            } else {
                let mut known = self.known.clone();
                known.sort_unstable();
                format!("known keys: {}", known.join(", "))
            };
            self.sink.error_hint(Kind::UnknownKey, &key.span(), message, hint);
        }
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// True when the key is written, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// True when the key is written as a text.
    pub(super) fn is_text(&self, key: &str) -> bool {
        matches!(
            self.table.get(key).map(Spanned::get_ref),
            Some(DeValue::String(_))
        )
    }

    /// Reports that `key` must be there.
    pub(super) fn missing(&self, key: &str, hint: &str) {
        self.sink.error_hint(
            Kind::Missing,
            &self.span,
            format!("`{key}` is missing in {}", self.title),
            hint,
        );
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str, hint: String) {
        let got = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.sink.error_hint(
            Kind::Value,
            &value.span(),
            format!("`{key}` must be {wanted}, but is {got}"),
            hint,
        );
    }

    fn refuse(&self, at: &Range<usize>, message: String, text: &str, hint: &str) {
        match first_odd(text) {
            Some(odd) => self
                .sink
                .error_hint(Kind::Value, at, message, format!("it contains {odd}")),
            None => self.sink.error_hint(Kind::Value, at, message, hint),
        }
    }

    /// A text, or nothing when the key is not written.
    pub(super) fn text_or(&mut self, key: &'static str) -> Found<String> {
        let value = self.get(key)?;
        let DeValue::String(text) = value.get_ref() else {
            self.wrong(key, value, "a text", format!("write {key} = \"...\""));
            return None;
        };
        let span = value.span();
        if text.is_empty() {
            self.sink.error(Kind::Value, &span, format!("`{key}` is empty"));
            return None;
        }
        if text.chars().count() > MAX_TEXT {
            self.sink.error(
                Kind::Value,
                &span,
                format!("`{key}` is longer than {MAX_TEXT} characters"),
            );
            return None;
        }
        if let Some(control) = text.chars().find(|ch| ch.is_control()) {
            self.refuse(
                &span,
                format!("`{key}` contains a character that cannot be shown"),
                &control.to_string(),
                "remove it",
            );
            return None;
        }
        Some(At {
            value: text.to_string(),
            span,
        })
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, key: &'static str, hint: &str) -> Found<String> {
        if !self.has(key) {
            self.known.push(key);
            self.missing(key, hint);
            return None;
        }
        self.text_or(key)
    }

    /// A short name: lower-case letters, digits and hyphens, beginning with a letter.
    pub(super) fn name(&mut self, key: &'static str) -> Found<String> {
        let name = self.text(key, "a short name in lower-case letters, e.g. \"ups-a\"")?;
        let good = name.value.len() <= 32
            && name.value.starts_with(|ch: char| ch.is_ascii_lowercase())
            && name
                .value
                .chars()
                .all(|ch| ch.is_ascii_lowercase() || ch.is_ascii_digit() || ch == '-');
        if good {
            return Some(name);
        }
        self.refuse(
            &name.span,
            format!("`{key}` = \"{}\" is not a short name", name.value),
            &name.value,
            "a to z, 0 to 9 and -, beginning with a letter, at most 32 characters",
        );
        None
    }

    /// A dotted id: `inlet.r3.temperature`.
    pub(super) fn dotted(&mut self, key: &'static str, required: bool) -> Found<String> {
        let id = if required {
            self.text(
                key,
                "a dotted id in lower-case letters, e.g. \"inlet.r3.temperature\"",
            )?
        } else {
            self.text_or(key)?
        };
        let good = id.value.len() <= 80
            && id.value.split('.').all(|part| {
                !part.is_empty()
                    && part
                        .chars()
                        .all(|ch| ch.is_ascii_alphanumeric() || ch == '-' || ch == '_')
            });
        if good {
            return Some(id);
        }
        self.refuse(
            &id.span,
            format!("`{key}` = \"{}\" is not a dotted id", id.value),
            &id.value,
            "parts of a to z, 0 to 9, - and _ with dots between them, at most 80 characters",
        );
        None
    }

    /// Text in both languages: `{ ja = "...", en = "..." }`, or one text for both.
    pub(super) fn label_or(&mut self, key: &'static str) -> Found<Label> {
        let value = self.get(key)?;
        let span = value.span();
        let label = match value.get_ref() {
            DeValue::String(text) => Label::new(text.as_ref(), text.as_ref()),
            DeValue::Table(table) => {
                let mut reader = Reader::new(table, span.clone(), format!("`{key}`"), self.sink, self.base);
                let hint = "write { ja = \"...\", en = \"...\" }";
                let ja = reader.text("ja", hint);
                let en = reader.text("en", hint);
                reader.finish();
                Label::new(ja?.value, en?.value)
            }
            _ => {
                self.wrong(
                    key,
                    value,
                    "a text",
                    "write { ja = \"...\", en = \"...\" }".to_owned(),
                );
                return None;
            }
        };
        for text in [&label.ja, &label.en] {
            if text.is_empty() || text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
                self.refuse(
                    &span,
                    format!("`{key}` is empty, too long or contains a character that cannot be shown"),
                    text,
                    "write the text as it is to be shown",
                );
                return None;
            }
        }
        Some(At { value: label, span })
    }

    /// Text in both languages that must be there.
    pub(super) fn label(&mut self, key: &'static str, hint: &str) -> Found<Label> {
        if !self.has(key) {
            self.known.push(key);
            self.missing(key, hint);
            return None;
        }
        self.label_or(key)
    }

    /// One word of a fixed list.
    pub(super) fn word_or<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Found<T> {
        let word = self.text_or(key)?;
        if let Some((_, value)) = words.iter().find(|(name, _)| *name == word.value) {
            return Some(At {
                value: *value,
                span: word.span,
            });
        }
        let all: Vec<String> = words.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let near = nearest(&word.value, words.iter().map(|(name, _)| *name));
        let hint = match near {
            Some(near) => format!("did you mean \"{near}\"? allowed: {}", all.join(", ")),
            None => format!("allowed: {}", all.join(", ")),
        };
        self.refuse(
            &word.span,
            format!("`{key}` = \"{}\" is not a known word", word.value),
            &word.value,
            &hint,
        );
        None
    }

    /// One word of a fixed list that must be there.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Found<T> {
        if !self.has(key) {
            self.known.push(key);
            let all: Vec<String> = words.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            self.missing(key, &format!("one of {}", all.join(", ")));
            return None;
        }
        self.word_or(key, words)
    }

    /// True or false, or nothing.
    pub(super) fn flag_or(&mut self, key: &'static str) -> Found<bool> {
        let value = self.get(key)?;
        let DeValue::Boolean(flag) = value.get_ref() else {
            self.wrong(
                key,
                value,
                "true or false",
                format!("write {key} = true, without quotes"),
            );
            return None;
        };
        Some(At {
            value: *flag,
            span: value.span(),
        })
    }

    /// A whole number within `range`, or nothing.
    pub(super) fn whole_or(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Found<i64> {
        let value = self.get(key)?;
        let (low, high) = (range.start(), range.end());
        let DeValue::Integer(number) = value.get_ref() else {
            let hint = match value.get_ref() {
                DeValue::String(text) if first_odd(text).is_some() => {
                    format!("it contains {}", first_odd(text).unwrap_or_default())
                }
                _ => format!("from {low} to {high}, without quotes"),
            };
            self.wrong(key, value, "a whole number", hint);
            return None;
        };
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if range.contains(&number) => Some(At {
                value: number,
                span: value.span(),
            }),
            _ => {
                self.sink.error_hint(
                    Kind::Value,
                    &value.span(),
                    format!("`{key}` = {} is out of range", number.as_str()),
                    format!("from {low} to {high}"),
                );
                None
            }
        }
    }

    /// A whole number within `range`, also as a text like `"0x44"`, or nothing.
    pub(super) fn whole_or_text(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Found<i64> {
        let Some(DeValue::String(text)) = self.table.get(key).map(Spanned::get_ref) else {
            return self.whole_or(key, range);
        };
        let number = match text.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16).ok(),
            None => text.parse::<u16>().ok(),
        };
        let span = self.get(key)?.span();
        match number.map(i64::from).filter(|number| range.contains(number)) {
            Some(value) => Some(At { value, span }),
            None => {
                let hint = format!(
                    "a number from {} to {}, or its hex digits as \"0x44\"",
                    range.start(),
                    range.end()
                );
                self.refuse(
                    &span,
                    format!("`{key}` = \"{text}\" is not a number"),
                    text,
                    &hint,
                );
                None
            }
        }
    }

    /// A whole number within `range` that must be there.
    pub(super) fn whole(&mut self, key: &'static str, range: RangeInclusive<i64>, hint: &str) -> Found<i64> {
        if !self.has(key) {
            self.known.push(key);
            self.missing(key, hint);
            return None;
        }
        self.whole_or(key, range)
    }

    /// A number that must be there; finite.
    pub(super) fn number(&mut self, key: &'static str, hint: &str) -> Found<f64> {
        if !self.has(key) {
            self.known.push(key);
            self.missing(key, hint);
            return None;
        }
        self.number_or(key)
    }

    /// A finite number, or nothing.
    pub(super) fn number_or(&mut self, key: &'static str) -> Found<f64> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse::<f64>().ok(),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            DeValue::String(text) => {
                let hint = first_odd(text).map_or_else(
                    || "write it without quotes and without unit".to_owned(),
                    |odd| format!("it contains {odd}; write the number without quotes"),
                );
                self.wrong(key, value, "a number", hint);
                return None;
            }
            _ => None,
        };
        match number {
            Some(number) if number.is_finite() => Some(At {
                value: number,
                span: value.span(),
            }),
            _ => {
                self.wrong(key, value, "a finite number", "e.g. 27.0".to_owned());
                None
            }
        }
    }

    /// A span with unit within `range`, or nothing.
    pub(super) fn duration_or(&mut self, key: &'static str, range: (Millis, Millis)) -> Found<Millis> {
        let value = self.get(key)?;
        let span = value.span();
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) => {
                self.sink.error_hint(
                    Kind::Value,
                    &span,
                    format!("`{key}` = {} has no unit", number.as_str()),
                    format!("write \"{0}s\", \"{0}m\" or \"{0}ms\"", number.as_str()),
                );
                return None;
            }
            _ => {
                self.wrong(
                    key,
                    value,
                    "a duration",
                    "e.g. \"500ms\", \"5s\", \"3m\", \"2h\"".to_owned(),
                );
                return None;
            }
        };
        match duration(text) {
            Ok(length) if length >= range.0 && length <= range.1 => Some(At { value: length, span }),
            Ok(_) => {
                self.sink.error_hint(
                    Kind::Value,
                    &span,
                    format!("`{key}` = \"{text}\" is out of range"),
                    format!("from {} to {}", shown(range.0), shown(range.1)),
                );
                None
            }
            Err(why) => {
                self.refuse(
                    &span,
                    format!("`{key}` = \"{text}\" is not a duration: {why}"),
                    text,
                    DURATIONS,
                );
                None
            }
        }
    }

    /// A span with unit within `range` that must be there.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        range: (Millis, Millis),
        hint: &str,
    ) -> Found<Millis> {
        if !self.has(key) {
            self.known.push(key);
            self.missing(key, hint);
            return None;
        }
        self.duration_or(key, range)
    }

    /// IP address and port that must be there. Names are refused: they need a name server, and
    /// in an outage there may be none.
    pub(super) fn addr(&mut self, key: &'static str, hint: &str) -> Found<SocketAddr> {
        let text = self.text(key, hint)?;
        if let Ok(addr) = text.value.parse::<SocketAddr>() {
            return Some(At {
                value: addr,
                span: text.span,
            });
        }
        let hint = if text.value.parse::<std::net::IpAddr>().is_ok() {
            "the port is missing: write \"192.168.10.5:161\"".to_owned()
        } else {
            format!(
                "IP address and port, e.g. {hint}; names are not looked up, because in an outage there may be no name server"
            )
        };
        self.refuse(
            &text.span,
            format!("`{key}` = \"{}\" is not an address with port", text.value),
            &text.value,
            &hint,
        );
        None
    }

    /// A path, made absolute by the folder of the site file; or nothing.
    pub(super) fn path_or(&mut self, key: &'static str) -> Found<PathBuf> {
        let base = self.base;
        Some(self.text_or(key)?.map(|text| base.join(text)))
    }

    /// A path that must be there.
    pub(super) fn path(&mut self, key: &'static str, hint: &str) -> Found<PathBuf> {
        let base = self.base;
        Some(self.text(key, hint)?.map(|text| base.join(text)))
    }

    /// A list of texts; empty when the key is not written.
    pub(super) fn list(&mut self, key: &'static str) -> Vec<At<String>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong(key, value, "a list", format!("write {key} = [\"...\", \"...\"]"));
            return Vec::new();
        };
        if array.len() > MAX_LIST {
            self.sink.error(
                Kind::Value,
                &value.span(),
                format!("`{key}` has more than {MAX_LIST} entries"),
            );
            return Vec::new();
        }
        let mut list = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::String(text) => list.push(At {
                    value: text.to_string(),
                    span: item.span(),
                }),
                _ => self.wrong(
                    key,
                    item,
                    "a list of texts",
                    format!("write {key} = [\"...\", \"...\"]"),
                ),
            }
        }
        list
    }

    /// A table of its own, or nothing.
    pub(super) fn table_or(&mut self, key: &'static str, title: &str) -> Option<Reader<'a>> {
        let value = self.get(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(key, value, "a table", format!("write {title}"));
            return None;
        };
        Some(Reader::new(table, value.span(), title, self.sink, self.base))
    }

    /// A table that must be there.
    pub(super) fn table(&mut self, key: &'static str, title: &str, hint: &str) -> Option<Reader<'a>> {
        if !self.has(key) {
            self.known.push(key);
            self.missing(key, hint);
            return None;
        }
        self.table_or(key, title)
    }

    /// Tables written as `[[key]]`; at most `most`.
    pub(super) fn tables(&mut self, key: &'static str, title: &str, most: usize) -> Vec<Reader<'a>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong(
                key,
                value,
                "a list of tables",
                format!("write {title} with two brackets"),
            );
            return Vec::new();
        };
        if array.len() > most {
            self.sink.error_hint(
                Kind::Value,
                &value.span(),
                format!("more than {most} of {title}"),
                "split the site: one controller serves one room",
            );
        }
        let mut readers = Vec::new();
        for item in array.iter().take(most) {
            match item.get_ref() {
                DeValue::Table(table) => {
                    readers.push(Reader::new(table, item.span(), title, self.sink, self.base));
                }
                _ => self.wrong(key, item, "a table", format!("write {title} with two brackets")),
            }
        }
        readers
    }

    /// Where a problem of this table is reported.
    pub(super) fn sink(&self) -> &'a Sink<'a> {
        self.sink
    }
}

const DURATIONS: &str = "a whole number with ms, s, m, h or d, e.g. \"500ms\", \"5s\", \"3m\", \"2h\"";

/// `"500ms"`, `"5s"`, `"3m"`, `"2h"`.
fn duration(text: &str) -> Result<Millis, &'static str> {
    let digits = text.len() - text.trim_start_matches(|ch: char| ch.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err("it does not begin with a digit");
    }
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err("the unit is missing"),
        _ if unit.starts_with(['.', ',']) => return Err("fractions are not read; use the smaller unit"),
        _ => return Err("the unit is not known"),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .map(Millis)
        .ok_or("the number is too large")
}

/// A span as it is written in the file.
pub(super) fn shown(length: Millis) -> String {
    match length.0 {
        0 => "0s".to_owned(),
        ms if ms % 86_400_000 == 0 && ms > 86_400_000 => format!("{}d", ms / 86_400_000),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

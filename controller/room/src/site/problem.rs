//! What is wrong in a site file, and where: line, column, message, hint.
//!
//! Staff repair a file in one round, so everything found is kept and sorted by place. Nothing
//! here decides what is right; `parse` and `cross` do.

use std::cell::{OnceCell, RefCell};
use std::ops::Range;

/// Most problems that are kept; a file that is wrong everywhere (another format, another
/// encoding) says so with its first ones.
pub const MAX_PROBLEMS: usize = 200;

/// One thing to repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to write instead, when that is known.
    pub hint: Option<String>,
    /// Whether the site can be used in spite of it.
    pub severity: Severity,
    /// Of what kind it is.
    pub kind: Kind,
}

/// Whether the site can be used in spite of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The site is refused.
    Error,
    /// The site is used; somebody should look.
    Warning,
}

impl Severity {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Not UTF-8, or marked as something else.
    Encoding,
    /// Not TOML.
    Syntax,
    /// A key that nothing reads.
    UnknownKey,
    /// A key that must be there.
    Missing,
    /// A value of another type, form or outside its range.
    Value,
    /// The same thing twice.
    Duplicate,
    /// A name that nothing bears.
    Reference,
    /// Dependencies that lead back to themselves.
    Cycle,
    /// Values that do not fit each other.
    Conflict,
    /// Works, but opens or weakens something.
    Exposure,
}

impl Kind {
    /// The kind in Japanese, for the report.
    #[must_use]
    pub const fn ja(self) -> &'static str {
        match self {
            Self::Encoding => "文字コード",
            Self::Syntax => "書式の誤り",
            Self::UnknownKey => "未知のキー",
            Self::Missing => "必須項目なし",
            Self::Value => "値の誤り",
            Self::Duplicate => "重複",
            Self::Reference => "参照先なし",
            Self::Cycle => "循環",
            Self::Conflict => "値の矛盾",
            Self::Exposure => "公開範囲",
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}:{}: {}: {} [{}]",
            self.line,
            self.column,
            self.severity.word(),
            self.message,
            self.kind.ja()
        )?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Collects the problems of one text.
pub(super) struct Sink<'t> {
    text: &'t str,
    /// Made for the first question, so that ten thousand tables do not each count the lines above them.
    lines: OnceCell<Lines>,
    list: RefCell<Vec<(usize, Problem)>>,
    dropped: RefCell<usize>,
}

impl<'t> Sink<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            lines: OnceCell::new(),
            list: RefCell::new(Vec::new()),
            dropped: RefCell::new(0),
        }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// Line, from 1, of a byte offset.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.get_or_init(|| Lines::of(self.text)).line(offset)
    }

    pub(super) fn error(&self, kind: Kind, span: &Range<usize>, message: impl Into<String>) {
        self.push(Severity::Error, kind, span, message.into(), None);
    }

    pub(super) fn error_hint(
        &self,
        kind: Kind,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Severity::Error, kind, span, message.into(), Some(hint.into()));
    }

    pub(super) fn warning(
        &self,
        kind: Kind,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Severity::Warning, kind, span, message.into(), Some(hint.into()));
    }

    fn push(
        &self,
        severity: Severity,
        kind: Kind,
        span: &Range<usize>,
        message: String,
        hint: Option<String>,
    ) {
        let mut list = self.list.borrow_mut();
        if list.len() >= MAX_PROBLEMS {
            *self.dropped.borrow_mut() += 1;
            return;
        }
        let (line, column) = place(self.text, span.start);
        list.push((
            span.start,
            Problem {
                line,
                column,
                message,
                hint,
                severity,
                kind,
            },
        ));
    }

    /// Everything found, in the order of the file. When the text is not TOML, what only follows
    /// from the part that could not be read (missing keys, unknown names) is left out.
    pub(super) fn finish(self) -> Vec<Problem> {
        let dropped = self.dropped.into_inner();
        let mut list = self.list.into_inner();
        if list.iter().any(|(_, p)| p.kind == Kind::Syntax) {
            list.retain(|(_, p)| {
                !matches!(
                    p.kind,
                    Kind::Missing | Kind::Reference | Kind::Conflict | Kind::Cycle | Kind::UnknownKey
                )
            });
        }
        list.sort_by_key(|(start, _)| *start);
        let mut problems: Vec<Problem> = list.into_iter().map(|(_, problem)| problem).collect();
        problems.dedup();
        if dropped > 0
            && let Some(last) = problems.last()
        {
            let (line, column) = (last.line, last.column);
            problems.push(Problem {
                line,
                column,
                message: format!("and {dropped} more problems are not shown"),
                hint: Some("repair these first".to_owned()),
                severity: Severity::Error,
                kind: Kind::Syntax,
            });
        }
        problems
    }
}

/// Where the lines of a text begin: a place costs a search in this list, not a walk through the text.
pub(super) struct Lines(Vec<usize>);

#[cfg(test)]
thread_local! {
    /// Bytes that this thread went through to find lines.
    pub(super) static BYTES_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        #[cfg(test)]
        BYTES_READ.set(BYTES_READ.get() + text.len());
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(after).collect())
    }

    /// Line, from 1, of a byte offset.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|&start| start <= offset)
    }

    /// Line and column, as [`place`].
    pub(super) fn place(&self, text: &str, offset: usize) -> (usize, usize) {
        let line = self.line(offset.min(text.len()));
        let start = self.0.get(line - 1).copied().unwrap_or_default();
        (
            line,
            place(text.get(start..).unwrap_or_default(), offset - start).1,
        )
    }
}

/// Line and column (in characters, both from 1) of a byte offset. It reads all that stands before; for
/// many offsets of one text there is [`Lines`].
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    #[cfg(test)]
    BYTES_READ.set(BYTES_READ.get() + offset);
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// A character that does not belong where settings are written, and what it is called: the
/// traps of a Japanese input method and of copying from documents.
pub(super) fn odd_character(ch: char) -> Option<String> {
    let name = match ch {
        '\t' => "a tab".to_owned(),
        '\u{feff}' => "a byte order mark".to_owned(),
        '\u{3000}' => "a full-width space (全角スペース)".to_owned(),
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' => "a no-break or narrow space".to_owned(),
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => {
            "an invisible control character".to_owned()
        }
        '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' => format!("a curly quote {ch}; write \""),
        '\u{ff10}'..='\u{ff19}' => format!("the full-width digit {ch} (全角数字); write {}", narrow(ch)),
        '\u{ff01}'..='\u{ff5e}' => format!("the full-width character {ch} (全角); write {}", narrow(ch)),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30fc}' | '\u{ff70}' => {
            format!("the dash {ch}; write the hyphen -")
        }
        ch if ch.is_control() => "a control character".to_owned(),
        _ => return None,
    };
    Some(format!("{name} (U+{:04X})", u32::from(ch)))
}

/// ASCII for a full-width form, itself otherwise.
pub(super) fn narrow(ch: char) -> char {
    match ch {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(ch) - 0xfee0).unwrap_or(ch),
        '\u{3000}' => ' ',
        _ => ch,
    }
}

/// The first odd character of `text`, named.
pub(super) fn first_odd(text: &str) -> Option<String> {
    text.chars().find_map(odd_character)
}

/// The candidate that `word` was probably meant to be.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain: String = word
        .chars()
        .take(MAX_NEAREST)
        .map(|ch| narrow(ch).to_ascii_lowercase())
        .map(|ch| if ch == '-' { '_' } else { ch })
        .collect();
    candidates
        .into_iter()
        .map(|candidate| (distance(&plain, &candidate.replace('-', "_")), candidate))
        .filter(|(steps, candidate)| *steps <= 1 + candidate.len() / 4)
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate)
}

/// Longest word that is compared, so that a megabyte-long key costs nothing.
const MAX_NEAREST: usize = 64;

/// Edit distance (insert, delete, replace, swap of neighbours).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &cb) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(ca != cb))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && ca == b[j - 1] && a[i - 1] == cb {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

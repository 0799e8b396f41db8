//! The one walk along the leaves, from the first to the last. Beside them walk the checkpoints, the
//! openings and what others say of the tree; each waits until the leaves reach its size. So a year of
//! a million leaves needs the frontier, two bytes a leaf for its kind, and little else.
//!
//! ```text
//! leaves.jsonl   0  1  2  3  4  5 ...        form, place, clocks, numbers, reviews
//! checkpoints             |3       |5        root and signature at that size
//! openings.jsonl    |1       |3              commitment
//! claims               |2                    reviews' and witnesses' roots
//! ```

use crate::completeness::Completeness;
use crate::forms::{Hash, decimal, end_of_fiscal_year, from_hex, hash_from_hex};
use crate::integrity::Integrity;
use crate::json::parse;
use crate::kinds::{self, Known};
use crate::leaf::{self, Leaf, MAX_LEAF};
use crate::lines::{LineError, Lines};
use crate::note::{self, Algorithm, Key, MAX_NOTE, Note, Said};
use crate::policy::{Policy, Seen};
use crate::report::{Report, Verdict};
use crate::tree::Frontier;
use crate::witnesses::{By, Claim, MAX_CLAIMS, MAX_SEEN_LINE, Witnesses, cosignatures, seen_line, time};
use sha2::{Digest, Sha256};
use std::io::{self, BufReader, Read};

/// Where the files of an export come from.
pub trait Source {
    /// Opens a file; none when it is not there.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>>;
}

/// What is asked, and what is given from elsewhere.
#[derive(Debug, Default)]
pub struct Ask {
    /// The policy.
    pub policy: Policy,
    /// What witnesses said, from elsewhere.
    pub seen: Vec<Seen>,
    /// Notes from elsewhere, with who held them.
    pub notes: Vec<(Option<String>, Note)>,
    /// The moment that the log must reach to, milliseconds since 1970; otherwise the earlier of `now` and
    /// the end of its year.
    pub until: Option<i64>,
    /// Now, milliseconds since 1970.
    pub now: i64,
    /// The longest standstill that is only remarked, in milliseconds.
    pub gap_ms: i64,
}

type Reader<'a> = Lines<BufReader<Box<dyn Read + 'a>>>;

fn open<'a>(source: &'a dyn Source, name: &str, max: usize) -> io::Result<Option<Reader<'a>>> {
    let file = source.open(name)?;
    Ok(file.map(|file| Lines::new(BufReader::with_capacity(1 << 17, file), max)))
}

/// Checks an export.
pub fn verify(source: &dyn Source, ask: &Ask) -> Report {
    let mut report = Report {
        completeness: Some(Verdict::default()),
        witnesses: Some(Verdict::default()),
        ..Report::default()
    };
    let mut integrity = Verdict::default();
    let mut completeness = Verdict::default();
    let mut witnesses = Verdict::default();
    let mut checkpoints = Checkpoints::open(source, &mut integrity);
    if ask.policy.log.is_none() {
        integrity.doubt("no-key", None, String::new);
    }
    let mut claims = claims(source, ask, &checkpoints.origin, &mut integrity, &mut witnesses);
    claims.sort_by_key(|claim| claim.size);
    let mut walk = Walk {
        ask,
        frontier: Frontier::default(),
        integrity: Integrity::default(),
        completeness: Completeness::new(ask.gap_ms),
        witnesses: Witnesses::default(),
        claims: claims.into_iter().peekable(),
        openings: Openings::open(source, &mut integrity),
        key: ask.policy.log.clone(),
        origin: String::new(),
    };
    let complete = match open(source, "leaves.jsonl", MAX_LEAF) {
        Ok(Some(mut lines)) => loop {
            match lines.next_line() {
                Ok(Some(line)) => {
                    walk.leaf(
                        line,
                        &mut checkpoints,
                        &mut integrity,
                        &mut completeness,
                        &mut witnesses,
                    );
                }
                Ok(None) => break true,
                Err(why) => {
                    trouble(&mut integrity, "leaves.jsonl", &why, Some(walk.frontier.size()));
                    break false;
                }
            }
        },
        Ok(None) => {
            integrity.doubt("unreadable", None, || "leaves.jsonl: -".to_owned());
            false
        }
        Err(why) => {
            integrity.doubt("unreadable", None, || format!("leaves.jsonl: {why}"));
            false
        }
    };
    report.root = walk.frontier.root();
    report.size = walk.frontier.size();
    report.origin = if walk.origin.is_empty() {
        checkpoints.origin.clone()
    } else {
        walk.origin.clone()
    };
    walk.end(
        complete,
        &mut checkpoints,
        &mut integrity,
        &mut completeness,
        &mut witnesses,
    );
    report.integrity = integrity;
    report.completeness = Some(completeness);
    report.witnesses = Some(witnesses);
    report
}

fn trouble(verdict: &mut Verdict, name: &str, why: &LineError, leaf: Option<u64>) {
    match why {
        LineError::Io(why) => verdict.doubt("unreadable", leaf, || format!("{name}: {why}")),
        LineError::TooLong => verdict.bad("line-too-long", leaf, || name.to_owned()),
        LineError::Open => verdict.bad("line-open", leaf, || name.to_owned()),
    }
}

struct Walk<'a> {
    ask: &'a Ask,
    frontier: Frontier,
    integrity: Integrity,
    completeness: Completeness,
    witnesses: Witnesses,
    claims: std::iter::Peekable<std::vec::IntoIter<Claim>>,
    openings: Openings<'a>,
    key: Option<Key>,
    origin: String,
}

impl Walk<'_> {
    fn leaf(
        &mut self,
        line: &[u8],
        checkpoints: &mut Checkpoints<'_>,
        integrity: &mut Verdict,
        completeness: &mut Verdict,
        witnesses: &mut Verdict,
    ) {
        let at = self.frontier.size();
        let mut rotated = None;
        match leaf::read(line) {
            Ok(leaf) => {
                if leaf.n != at {
                    integrity.bad("leaf-place", Some(at), || leaf.n.to_string());
                }
                let known = kinds::read(&leaf.kind, &leaf.data).unwrap_or_else(|| {
                    integrity.bad("leaf-data", Some(at), || leaf.kind.clone());
                    completeness.doubt("unread", Some(at), || leaf.kind.clone());
                    Known::Other
                });
                rotated = self.keys(at, &leaf, &known, integrity);
                self.integrity.leaf(at, line, &leaf, &known, integrity);
                self.completeness.leaf(at, &leaf, &known, completeness);
                self.openings.reach(at, Some(&leaf), integrity);
            }
            Err(why) => {
                integrity.bad("leaf-form", Some(at), || why.to_owned());
                completeness.doubt("unread", Some(at), String::new);
                self.integrity.skip();
                self.openings.reach(at, None, integrity);
            }
        }
        self.frontier.push(line);
        self.size(rotated.as_ref(), checkpoints, integrity, witnesses);
        if let Some(key) = rotated {
            self.key = Some(key);
        }
    }

    /// What leaf `at` says of keys: leaf 0 the first, a rotation the next one, which it gives back.
    fn keys(&mut self, at: u64, leaf: &Leaf<'_>, known: &Known, integrity: &mut Verdict) -> Option<Key> {
        match known {
            Known::Started { origin, key, .. } if at == 0 => {
                let site = origin.rsplit_once('/').map(|(site, _)| site.to_owned());
                self.origin.clone_from(origin);
                let named = Key::parse(key, Algorithm::Ed25519);
                match &named {
                    Ok(named) if Some(&named.name) == site.as_ref() && year(origin).is_some() => {}
                    Ok(_) => integrity.bad("started", Some(0), || origin.clone()),
                    Err(why) => integrity.bad("started", Some(0), || (*why).to_owned()),
                }
                // The key that was given, whatever the leaf says.
                self.key = match &self.ask.policy.log {
                    Some(given) => {
                        if given.text != *key {
                            integrity.bad("first-key", Some(0), || key.clone());
                        }
                        Some(given.clone())
                    }
                    None => named.ok(),
                };
                None
            }
            Known::Started { .. } => {
                integrity.bad("started", Some(at), String::new);
                None
            }
            _ if at == 0 => {
                integrity.bad("started", Some(0), || leaf.kind.clone());
                None
            }
            Known::Rotated(key) => {
                let named = Key::parse(key, Algorithm::Ed25519);
                let named = named.ok().filter(|key| {
                    Some(key.name.as_str()) == self.origin.rsplit_once('/').map(|(site, _)| site)
                });
                if named.is_none() {
                    integrity.bad("key", Some(at), || key.clone());
                }
                named
            }
            _ => None,
        }
    }

    /// The tree has a new size: hold everything of that size against its root.
    fn size(
        &mut self,
        rotated: Option<&Key>,
        checkpoints: &mut Checkpoints<'_>,
        integrity: &mut Verdict,
        witnesses: &mut Verdict,
    ) {
        let size = self.frontier.size();
        let mut root = None;
        let mut both = false;
        while let Some(note) = checkpoints.of_size(size, integrity) {
            let root = *root.get_or_insert_with(|| self.frontier.root());
            let signed = self
                .key
                .as_ref()
                .is_some_and(|key| matches!(key.of(&note), Said::Signed(_)));
            if !signed {
                integrity.bad("signature", Some(size - 1), || size.to_string());
            }
            both |= signed && rotated.is_some_and(|key| matches!(key.of(&note), Said::Signed(_)));
            if note.root == root {
                self.witnesses.cosigned(&note, &self.ask.policy, witnesses);
            } else {
                integrity.bad("root", Some(size - 1), || size.to_string());
            }
        }
        if rotated.is_some() && !both {
            integrity.bad("rotation", Some(size - 1), || size.to_string());
        }
        while let Some(claim) = self.claims.next_if(|claim| claim.size <= size) {
            let root = *root.get_or_insert_with(|| self.frontier.root());
            match claim.by {
                By::Review(leaf) if claim.root != root => {
                    integrity.bad("review-root", Some(leaf), || size.to_string());
                }
                _ => self.witnesses.compare(&claim, &root, &self.ask.policy, witnesses),
            }
        }
    }

    fn end(
        &mut self,
        complete: bool,
        checkpoints: &mut Checkpoints<'_>,
        integrity: &mut Verdict,
        completeness: &mut Verdict,
        witnesses: &mut Verdict,
    ) {
        let size = self.frontier.size();
        if complete {
            checkpoints.beyond(size, integrity);
            self.openings.rest(integrity);
        } else {
            completeness.doubt("unread", Some(size), String::new);
        }
        if complete && size == 0 {
            integrity.bad("started", None, String::new);
        }
        if complete && checkpoints.last.is_some_and(|last| last < size) {
            integrity.bad("size", checkpoints.last, || {
                format!("{size} > {}", checkpoints.last.unwrap_or(0))
            });
        }
        for claim in self.claims.by_ref() {
            Witnesses::beyond(&claim, complete, witnesses);
        }
        self.integrity.end(integrity);
        let year_ends = year(&self.origin).map_or(i64::MAX, end_of_fiscal_year);
        let until = self.ask.until.unwrap_or(self.ask.now).min(year_ends);
        self.completeness.end(complete.then_some(until), completeness);
        if !complete {
            witnesses.doubt("unread", Some(size), String::new);
        }
        self.witnesses.end(&self.ask.policy, witnesses);
    }
}

/// The fiscal year of an origin `<site>/entry-log/<year>`.
fn year(origin: &str) -> Option<i64> {
    let (site, year) = origin.rsplit_once('/')?;
    let good = site.ends_with("/entry-log") && year.len() == 4 && !origin.contains([' ', '+']);
    decimal(year).filter(|_| good).map(u64::cast_signed)
}

/// What reviews and witnesses say of the tree at some size. Those of the leaves are gathered in a walk
/// of their own before the real one, because their sizes lie behind them.
fn claims(
    source: &dyn Source,
    ask: &Ask,
    origin: &str,
    integrity: &mut Verdict,
    witnesses: &mut Verdict,
) -> Vec<Claim> {
    let witness = |seen: Seen, counts: bool| Claim {
        size: seen.size,
        root: seen.root,
        by: By::Witness {
            name: seen.witness,
            at: seen.at,
            leaf: None,
            counts,
        },
    };
    let given = ask.policy.seen.iter().chain(&ask.seen).cloned();
    let mut claims: Vec<Claim> = given.map(|seen| witness(seen, true)).collect();
    for (holder, note) in &ask.notes {
        if note.origin != origin {
            witnesses.doubt("note-origin", None, || note.origin.clone());
            continue;
        }
        let mut held: Vec<(String, Option<i64>)> = holder.iter().map(|name| (name.clone(), None)).collect();
        for (name, said) in cosignatures(note, &ask.policy) {
            match said {
                Said::Signed(seconds) => held.push((name.to_owned(), Some(time(seconds)))),
                Said::Forged => witnesses.bad("cosignature", None, || format!("{name} {}", note.size)),
                Said::Nothing => {}
            }
        }
        for (witness_name, at) in held {
            let seen = Seen {
                witness: witness_name,
                size: note.size,
                root: note.root,
                at,
            };
            claims.push(witness(seen, true));
        }
    }
    from_seen(source, &mut claims, witnesses, witness);
    from_leaves(source, &mut claims, integrity, witnesses);
    claims
}

fn from_seen(
    source: &dyn Source,
    claims: &mut Vec<Claim>,
    witnesses: &mut Verdict,
    witness: impl Fn(Seen, bool) -> Claim,
) {
    let mut lines = match open(source, "seen.jsonl", MAX_SEEN_LINE) {
        Ok(Some(lines)) => lines,
        Ok(None) => return,
        Err(why) => return witnesses.doubt("unreadable", None, || format!("seen.jsonl: {why}")),
    };
    loop {
        match lines.next_line() {
            Ok(Some(line)) => match seen_line(line) {
                Some(_) if claims.len() >= MAX_CLAIMS => {
                    return witnesses.doubt("too-many", None, || "seen.jsonl".to_owned());
                }
                Some(seen) => claims.push(witness(seen, false)),
                None => witnesses.doubt("leaf-form", None, || "seen.jsonl".to_owned()),
            },
            Ok(None) => return,
            Err(why) => return trouble(witnesses, "seen.jsonl", &why, None),
        }
    }
}

fn from_leaves(
    source: &dyn Source,
    claims: &mut Vec<Claim>,
    integrity: &mut Verdict,
    witnesses: &mut Verdict,
) {
    // What cannot be read is told by the real walk.
    let Ok(Some(mut lines)) = open(source, "leaves.jsonl", MAX_LEAF) else {
        return;
    };
    let mut at = 0;
    while let Ok(Some(line)) = lines.next_line() {
        if tells_of_the_tree(line)
            && let Ok(leaf) = leaf::read(line)
        {
            let claim = match kinds::read(&leaf.kind, &leaf.data) {
                // Larger than the log that tells it: what the witness saw is gone.
                Some(Known::Saw { witness, size, .. }) if size > at => {
                    witnesses.bad("larger", Some(at), || format!("{witness} {size}"));
                    None
                }
                Some(Known::Saw {
                    witness,
                    size,
                    root,
                    at: when,
                }) => Some(Claim {
                    size,
                    root,
                    by: By::Witness {
                        name: witness,
                        at: Some(when),
                        leaf: Some(at),
                        counts: false,
                    },
                }),
                // A size that cannot be is told by the real walk.
                Some(Known::Reviewed(review))
                    if review.from <= review.to && review.to < review.size && review.size <= at =>
                {
                    Some(Claim {
                        size: review.size,
                        root: review.root,
                        by: By::Review(at),
                    })
                }
                _ => None,
            };
            if claims.len() >= MAX_CLAIMS && claim.is_some() {
                integrity.doubt("too-many", Some(at), String::new);
                return;
            }
            claims.extend(claim);
        }
        at += 1;
    }
}

/// A quick look before the leaf is read as a whole.
fn tells_of_the_tree(line: &[u8]) -> bool {
    const KIND: &[u8] = b"\"kind\":\"";
    let kinds: [&[u8]; 2] = [b"review.signed\"", b"witness.saw\""];
    line.windows(KIND.len())
        .enumerate()
        .filter(|(_, window)| *window == KIND)
        .any(|(at, _)| kinds.iter().any(|kind| line[at + KIND.len()..].starts_with(kind)))
}

/// `checkpoints`, then `checkpoint`, with their sizes rising.
struct Checkpoints<'a> {
    lines: Option<Reader<'a>>,
    /// The note of the file `checkpoint`, until it was its turn.
    newest: Option<Note>,
    next: Option<Note>,
    /// The size of the newest one.
    last: Option<u64>,
    before: u64,
    origin: String,
}

impl<'a> Checkpoints<'a> {
    fn open(source: &'a dyn Source, integrity: &mut Verdict) -> Self {
        let mut newest = Vec::new();
        let read = source.open("checkpoint").and_then(|file| {
            file.map(|file| file.take(MAX_NOTE as u64 + 1).read_to_end(&mut newest))
                .transpose()
        });
        let newest = match read {
            Ok(Some(_)) => match note::parse(&newest) {
                Ok(note) => Some(note),
                Err(why) => {
                    integrity.bad("checkpoint-form", None, || format!("checkpoint: {why}"));
                    None
                }
            },
            Ok(None) => {
                integrity.doubt("unreadable", None, || "checkpoint: -".to_owned());
                None
            }
            Err(why) => {
                integrity.doubt("unreadable", None, || format!("checkpoint: {why}"));
                None
            }
        };
        let lines = match open(source, "checkpoints", MAX_NOTE) {
            Ok(Some(lines)) => Some(lines),
            Ok(None) => {
                integrity.doubt("unreadable", None, || "checkpoints: -".to_owned());
                None
            }
            Err(why) => {
                integrity.doubt("unreadable", None, || format!("checkpoints: {why}"));
                None
            }
        };
        Self {
            lines,
            last: newest.as_ref().map(|note| note.size),
            origin: newest
                .as_ref()
                .map(|note| note.origin.clone())
                .unwrap_or_default(),
            newest,
            next: None,
            before: 0,
        }
    }

    /// The next checkpoint, if it is of this size.
    fn of_size(&mut self, size: u64, integrity: &mut Verdict) -> Option<Note> {
        if self.next.is_none() {
            self.next = self.read(integrity);
        }
        self.next.take_if(|note| note.size <= size)
    }

    /// Every further checkpoint is of more leaves than there are.
    fn beyond(&mut self, size: u64, integrity: &mut Verdict) {
        while let Some(note) = self.of_size(u64::MAX, integrity) {
            integrity.bad("size", None, || format!("{size} < {}", note.size));
        }
    }

    /// The next one that has the form, is of this log and not smaller than the one before.
    fn read(&mut self, integrity: &mut Verdict) -> Option<Note> {
        loop {
            let note = self.kept(integrity).or_else(|| self.newest.take())?;
            if self.origin.is_empty() {
                self.origin.clone_from(&note.origin);
            }
            if note.origin != self.origin {
                integrity.bad("checkpoint-origin", None, || note.origin.clone());
            } else if note.size < self.before {
                integrity.bad("checkpoint-order", None, || {
                    format!("{} < {}", note.size, self.before)
                });
            } else {
                self.before = note.size;
                return Some(note);
            }
        }
    }

    /// The next one of `checkpoints` that has the form.
    fn kept(&mut self, integrity: &mut Verdict) -> Option<Note> {
        let lines = self.lines.as_mut()?;
        let mut text = Vec::new();
        loop {
            match lines.next_line() {
                Ok(Some(b"---")) => match note::parse(&text) {
                    Ok(note) => return Some(note),
                    Err(why) => {
                        integrity.bad("checkpoint-form", None, || format!("checkpoints: {why}"));
                        text.clear();
                    }
                },
                Ok(Some(line)) => {
                    // A note that is too long stays too long, without being held.
                    if text.len() <= MAX_NOTE {
                        text.extend_from_slice(line);
                        text.push(b'\n');
                    }
                }
                Ok(None) => {
                    if !text.is_empty() {
                        integrity.bad("line-open", None, || "checkpoints".to_owned());
                    }
                    break;
                }
                Err(why) => {
                    trouble(integrity, "checkpoints", &why, None);
                    break;
                }
            }
        }
        self.lines = None;
        None
    }
}

/// `openings.jsonl`, in the order of the leaves.
struct Openings<'a> {
    lines: Option<Reader<'a>>,
    next: Option<Opening>,
    before: Option<(u64, String)>,
}

struct Opening {
    n: u64,
    field: String,
    commitment: Hash,
}

impl<'a> Openings<'a> {
    fn open(source: &'a dyn Source, integrity: &mut Verdict) -> Self {
        let lines = open(source, "openings.jsonl", MAX_LEAF).unwrap_or_else(|why| {
            integrity.doubt("unreadable", None, || format!("openings.jsonl: {why}"));
            None
        });
        Self {
            lines,
            next: None,
            before: None,
        }
    }

    /// The leaves have reached `at`.
    fn reach(&mut self, at: u64, leaf: Option<&Leaf<'_>>, integrity: &mut Verdict) {
        loop {
            if self.next.is_none() {
                self.next = self.read(integrity);
            }
            let Some(opening) = self.next.take_if(|opening| opening.n <= at) else {
                return;
            };
            let Some(leaf) = leaf else {
                continue;
            };
            let sealed = leaf.sealed.iter().find(|(name, _)| *name == opening.field);
            let commitment = sealed.and_then(|(_, value)| hash_from_hex(value.text()?));
            if commitment != Some(opening.commitment) {
                integrity.bad("opening", Some(at), || opening.field.clone());
            }
        }
    }

    /// After the last leaf.
    fn rest(&mut self, integrity: &mut Verdict) {
        while let Some(opening) = self.next.take().or_else(|| self.read(integrity)) {
            integrity.bad("opening", Some(opening.n), || opening.field.clone());
        }
    }

    /// The next one that has the form and comes after the one before.
    fn read(&mut self, integrity: &mut Verdict) -> Option<Opening> {
        loop {
            let lines = self.lines.as_mut()?;
            match lines.next_line() {
                Ok(Some(line)) => match opening(line) {
                    Some(opening) if self.before.as_ref() < Some(&(opening.n, opening.field.clone())) => {
                        self.before = Some((opening.n, opening.field.clone()));
                        return Some(opening);
                    }
                    _ => integrity.bad("opening-form", None, String::new),
                },
                Ok(None) => self.lines = None,
                Err(why) => {
                    trouble(integrity, "openings.jsonl", &why, None);
                    self.lines = None;
                }
            }
        }
    }
}

fn opening(line: &[u8]) -> Option<Opening> {
    let value = parse(line).ok()?;
    if value.members()?.len() != 4 {
        return None;
    }
    let field = value.get("field")?.text()?;
    let salt = from_hex(value.get("salt")?.text()?).filter(|salt| salt.len() == 16)?;
    let length = u8::try_from(field.len()).ok().filter(|length| *length > 0)?;
    let commitment = Sha256::new()
        .chain_update(b"yagura/opening/v1\n")
        .chain_update([length])
        .chain_update(field)
        .chain_update(salt)
        .chain_update(value.get("value")?.text()?)
        .finalize()
        .into();
    Some(Opening {
        n: value.get("n")?.count()?,
        field: field.to_owned(),
        commitment,
    })
}

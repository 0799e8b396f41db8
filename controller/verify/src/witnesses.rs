//! 外部照合: what others say that they saw, held against the tree of this export. What an export says of
//! its own witnesses never counts for it; where it contradicts the leaves it counts against it.

use crate::forms::{Hash, hash_from_hex};
use crate::json::{Value, parse};
use crate::note::{Key, Note, Said};
use crate::policy::{Policy, Seen};
use crate::report::{Verdict, moment};
use std::collections::BTreeMap;

/// Statements of a root that wait for the leaves to reach its size, at most: three witnesses an hour for
/// years, some 100 bytes each.
pub const MAX_CLAIMS: usize = 200_000;
/// Bytes of a line of `seen.jsonl` at most.
pub const MAX_SEEN_LINE: usize = 4_096;

/// Somebody says that the tree of `size` leaves has `root`.
#[derive(Debug)]
pub struct Claim {
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: Hash,
    /// Who says so.
    pub by: By,
}

/// Who says so.
#[derive(Debug)]
pub enum By {
    /// A `review.signed` leaf.
    Review(u64),
    /// A witness.
    Witness {
        /// Its name.
        name: String,
        /// When, milliseconds since 1970.
        at: Option<i64>,
        /// The `witness.saw` leaf that tells it.
        leaf: Option<u64>,
        /// It is from elsewhere: it counts for the log, too.
        counts: bool,
    },
}

/// Reads a line of `seen.jsonl`.
pub fn seen_line(line: &[u8]) -> Option<Seen> {
    let value = parse(line).ok()?;
    let whole = value.members()?.len() == 4;
    let seen = Seen {
        witness: value.get("witness")?.text()?.to_owned(),
        size: value
            .get("size")
            .and_then(Value::count)
            .filter(|size| *size > 0)?,
        root: hash_from_hex(value.get("root")?.text()?)?,
        at: Some(value.get("at")?.int()?),
    };
    whole.then_some(seen)
}

/// Who agrees so far.
#[derive(Debug, Default)]
pub struct Witnesses {
    /// Of each the greatest size, with its time.
    agree: BTreeMap<String, (u64, Option<i64>)>,
}

impl Witnesses {
    /// The leaves have reached the size of a claim of a witness; `root` is theirs.
    pub fn compare(&mut self, claim: &Claim, root: &Hash, policy: &Policy, verdict: &mut Verdict) {
        let By::Witness {
            name,
            at,
            leaf,
            counts,
        } = &claim.by
        else {
            return;
        };
        if claim.root != *root {
            verdict.bad("differs", *leaf, || told(name, claim.size, *at));
        } else if *counts && policy.counts(name) {
            self.agrees(name, claim.size, *at);
        }
    }

    /// A claim that the leaves do not reach.
    pub fn beyond(claim: &Claim, complete: bool, verdict: &mut Verdict) {
        let By::Witness { name, at, leaf, .. } = &claim.by else {
            return;
        };
        if complete {
            verdict.bad("larger", *leaf, || told(name, claim.size, *at));
        } else {
            verdict.doubt("unread", *leaf, || told(name, claim.size, *at));
        }
    }

    /// A checkpoint of the export whose root is right: who cosigned it?
    pub fn cosigned(&mut self, note: &Note, policy: &Policy, verdict: &mut Verdict) {
        for (name, said) in cosignatures(note, policy) {
            match said {
                Said::Signed(seconds) => self.agrees(name, note.size, Some(time(seconds))),
                Said::Forged => verdict.bad("cosignature", None, || told(name, note.size, None)),
                Said::Nothing => {}
            }
        }
    }

    /// After the last leaf.
    pub fn end(&self, policy: &Policy, verdict: &mut Verdict) {
        let mut agree: Vec<_> = self.agree.iter().collect();
        agree.sort_by_key(|(name, (size, at))| (std::cmp::Reverse((*size, *at)), name.as_str()));
        for (name, (size, at)) in &agree {
            verdict.remark("agrees", None, || told(name, *size, *at));
        }
        match policy.quorum {
            None => verdict.doubt("no-quorum", None, String::new),
            Some(quorum) if (agree.len() as u64) < quorum => {
                verdict.doubt("few", None, || format!("{} < {quorum}", agree.len()));
            }
            Some(_) => {}
        }
    }

    fn agrees(&mut self, name: &str, size: u64, at: Option<i64>) {
        let best = self.agree.entry(name.to_owned()).or_insert((size, at));
        *best = (*best).max((size, at));
    }
}

/// What each witness with a key says of a note.
pub fn cosignatures<'a>(note: &'a Note, policy: &'a Policy) -> impl Iterator<Item = (&'a str, Said)> {
    let keyed = |witness: &'a crate::policy::Witness| Some((witness.name.as_str(), witness.key.as_ref()?));
    policy
        .witnesses
        .iter()
        .filter_map(keyed)
        .map(|(name, key): (&str, &Key)| (name, key.of(note)))
}

/// Milliseconds of a cosignature's seconds.
pub fn time(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000)
}

fn told(name: &str, size: u64, at: Option<i64>) -> String {
    let at = at.map(|at| format!(" {}", moment(at))).unwrap_or_default();
    format!("{name} {size}{at}")
}

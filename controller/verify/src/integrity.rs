//! 改ざんなし, beside the tree and its signatures: numbers that never fall, clocks that run together,
//! reviews that fit what they reviewed, and dispositions that did not change behind a review's back.

use crate::forms::Hash;
use crate::kinds::{Known, Review};
use crate::leaf::Leaf;
use crate::report::{Verdict, moment};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How far the wall clock and the monotonic clock may be apart within a boot, in milliseconds. Also how
/// far a leaf may stand behind the one before: a record is stamped a little before it is written.
const CLOCKS_MS: i64 = 5_000;
/// Boots of a year at most: one an hour, and some.
const MAX_BOOTS: usize = 10_000;
/// Reviews of a year at most: twelve, repeated many times.
const MAX_REVIEWS: usize = 1_000;
/// Bytes of dispositions that are held at most: a year's, of a few hundred bytes each, are a few MB.
const MAX_DISPOSED: usize = 64 << 20;
/// Kinds at most.
const MAX_KINDS: usize = 4_096;
/// Leaves whose kind is held at most, two bytes each.
const MAX_LEAVES: usize = 50_000_000;

/// What is remembered of the leaves that passed.
#[derive(Default)]
pub struct Integrity {
    before: Option<Before>,
    boots: HashSet<String>,
    kinds: Kinds,
    reviews: Vec<(u64, u64)>,
    disposed: BTreeMap<u64, Vec<u8>>,
    disposed_bytes: usize,
    /// Dispositions that changed after a review: leaf concerned, leaf of the change.
    unreviewed: BTreeMap<u64, u64>,
    full: bool,
}

struct Before {
    boot: String,
    /// Wall clock less monotonic clock.
    offset: i64,
    up_ms: i64,
    logged_at: i64,
    journal: u64,
}

impl Integrity {
    /// A leaf that has the form.
    pub fn leaf(&mut self, at: u64, line: &[u8], leaf: &Leaf<'_>, known: &Known, verdict: &mut Verdict) {
        self.kinds.push(&leaf.kind);
        self.clock(at, leaf, known, verdict);
        match known {
            Known::Disposed(of) => self.disposed(at, *of, line, verdict),
            Known::Reviewed(review) => self.reviewed(at, review, verdict),
            _ => {}
        }
    }

    /// A leaf that has not the form: it has no kind.
    pub fn skip(&mut self) {
        self.kinds.push("");
    }

    /// After the last leaf.
    pub fn end(&mut self, verdict: &mut Verdict) {
        for (of, at) in &self.unreviewed {
            verdict.bad("disposed-after-review", Some(*at), || format!("of {of}"));
        }
        if self.full || self.kinds.full {
            verdict.doubt("too-many", None, String::new);
        }
    }

    fn clock(&mut self, at: u64, leaf: &Leaf<'_>, known: &Known, verdict: &mut Verdict) {
        let offset = leaf.logged_at - leaf.up_ms;
        let mut reference = offset;
        match &self.before {
            Some(before) if before.boot == leaf.boot => {
                let (expected, next) = match known {
                    Known::Stepped(by_ms) => (before.offset.saturating_add(*by_ms), offset),
                    _ => (before.offset, before.offset),
                };
                reference = next;
                if (offset - expected).abs() > CLOCKS_MS {
                    verdict.bad("clock", Some(at), || {
                        format!("{} ({:+} s)", moment(leaf.logged_at), (offset - expected) / 1_000)
                    });
                    reference = offset;
                }
                if leaf.up_ms < before.up_ms - CLOCKS_MS {
                    verdict.bad("clock", Some(at), || {
                        format!("up_ms {} < {}", leaf.up_ms, before.up_ms)
                    });
                }
            }
            before => {
                if self.boots.contains(&leaf.boot) {
                    verdict.bad("boot-again", Some(at), || leaf.boot.clone());
                } else if self.boots.len() < MAX_BOOTS {
                    self.boots.insert(leaf.boot.clone());
                } else {
                    self.full = true;
                }
                let back = before
                    .as_ref()
                    .is_some_and(|before| leaf.logged_at < before.logged_at - CLOCKS_MS);
                if back && !matches!(known, Known::Stepped(_)) {
                    verdict.doubt("clock-back", Some(at), || moment(leaf.logged_at));
                }
            }
        }
        if let Some(before) = &self.before
            && leaf.journal < before.journal
        {
            verdict.bad("journal", Some(at), || {
                format!("{} < {}", leaf.journal, before.journal)
            });
        }
        // Not the text of the boot again for every leaf.
        let boot = match self.before.take() {
            Some(before) if before.boot == leaf.boot => before.boot,
            _ => leaf.boot.clone(),
        };
        self.before = Some(Before {
            boot,
            offset: reference,
            up_ms: leaf.up_ms,
            logged_at: leaf.logged_at,
            journal: leaf.journal,
        });
    }

    fn disposed(&mut self, at: u64, of: u64, line: &[u8], verdict: &mut Verdict) {
        if of >= at {
            verdict.bad("leaf-data", Some(at), || format!("of {of}"));
            return;
        }
        if self.reviews.iter().any(|(from, to)| (from..=to).contains(&&of)) {
            self.unreviewed.insert(of, at);
        }
        if self.disposed_bytes + line.len() > MAX_DISPOSED {
            self.full = true;
            return;
        }
        self.disposed_bytes += line.len();
        if let Some(before) = self.disposed.insert(of, line.to_vec()) {
            self.disposed_bytes -= before.len();
        }
    }

    fn reviewed(&mut self, at: u64, review: &Review, verdict: &mut Verdict) {
        let range = review.from..=review.to;
        if review.from > review.to || review.to >= review.size || review.size > at {
            verdict.bad("review", Some(at), || {
                format!("{}..{} of {}", review.from, review.to, review.size)
            });
            return;
        }
        if self.reviews.len() >= MAX_REVIEWS {
            self.full = true;
            return;
        }
        let counts: BTreeMap<&str, u64> = review
            .counts
            .iter()
            .map(|(kind, count)| (kind.as_str(), *count))
            .collect();
        let found = self.kinds.counts(review.from, review.to);
        if counts != found {
            verdict.bad("review", Some(at), || {
                let kinds = counts.keys().chain(found.keys());
                let differs = kinds.copied().find(|kind| counts.get(kind) != found.get(kind));
                let kind = differs.unwrap_or_default();
                let number = |of: &BTreeMap<&str, u64>| of.get(kind).copied().unwrap_or(0);
                format!("{kind}: {} / {}", number(&counts), number(&found))
            });
        }
        let mut hash = Sha256::new();
        for line in self.disposed.range(range.clone()).map(|(_, line)| line) {
            hash.update(line);
            hash.update(b"\n");
        }
        if Hash::from(hash.finalize()) != review.dispositions {
            verdict.bad("review-dispositions", Some(at), || {
                format!("{}..{}", review.from, review.to)
            });
        }
        self.unreviewed.retain(|of, _| !range.contains(of));
        self.reviews.push((review.from, review.to));
    }
}

/// The kind of every leaf, two bytes each.
#[derive(Default)]
struct Kinds {
    numbers: HashMap<String, u16>,
    names: Vec<String>,
    of: Vec<u16>,
    full: bool,
}

impl Kinds {
    fn push(&mut self, kind: &str) {
        let number = match self.numbers.get(kind) {
            Some(number) => *number,
            None if self.names.len() >= MAX_KINDS => {
                self.full = true;
                0
            }
            None => {
                // At most MAX_KINDS, which is below 2^16.
                let number = u16::try_from(self.names.len()).unwrap_or(0);
                self.numbers.insert(kind.to_owned(), number);
                self.names.push(kind.to_owned());
                number
            }
        };
        if self.of.len() >= MAX_LEAVES {
            self.full = true;
            return;
        }
        self.of.push(number);
    }

    fn counts(&self, from: u64, to: u64) -> BTreeMap<&str, u64> {
        let mut counts = vec![0; self.names.len()];
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let range = self.of.get(place(from)..=place(to)).unwrap_or_default();
        for number in range {
            counts[usize::from(*number)] += 1;
        }
        let named = self.names.iter().map(String::as_str).zip(counts);
        named.filter(|(_, count)| *count > 0).collect()
    }
}

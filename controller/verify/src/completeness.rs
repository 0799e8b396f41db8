//! 欠落なし: numbers of the nodes that follow each other, heartbeats that agree with them and never stay
//! away from a running controller, standstills that are named, and a log that reaches to the moment asked for.

use crate::kinds::Known;
use crate::leaf::Leaf;
use crate::report::{Verdict, moment};
use std::collections::HashMap;

/// A running controller writes a heartbeat at least this often, in milliseconds: an hour and some patience.
pub const SILENCE_MS: i64 = 65 * 60_000;
/// Nodes at most.
const MAX_NODES: usize = 10_000;

/// What is remembered of the leaves that passed.
pub struct Completeness {
    /// Longest standstill that is only remarked, in milliseconds.
    gap_ms: i64,
    beat: Option<Beat>,
    boot: String,
    pending: Option<Pending>,
    nodes: HashMap<String, Numbers>,
    previous: bool,
    last_logged: Option<i64>,
    full: bool,
}

/// The last sign of a running controller: a heartbeat, or where it began or resumed.
#[derive(Clone)]
struct Beat {
    boot: String,
    up_ms: i64,
    logged_at: i64,
    said: bool,
}

/// Wrong unless the next leaf is a `log.resumed`.
struct Pending {
    leaf: u64,
    code: Wrong,
    beat: Beat,
}

enum Wrong {
    Silent,
    Restart,
}

struct Numbers {
    next: i64,
    /// No event since the numbers began again.
    fresh: bool,
}

impl Completeness {
    /// Before the first leaf.
    pub fn new(gap_ms: i64) -> Self {
        Self {
            gap_ms,
            beat: None,
            boot: String::new(),
            pending: None,
            nodes: HashMap::new(),
            previous: false,
            last_logged: None,
            full: false,
        }
    }

    /// A leaf that has the form.
    pub fn leaf(&mut self, at: u64, leaf: &Leaf<'_>, known: &Known, verdict: &mut Verdict) {
        self.last_logged = Some(leaf.logged_at);
        self.time(at, leaf, known, verdict);
        if let Some((id, seq)) = &leaf.node {
            self.event(at, id, *seq, verdict);
        }
        match known {
            Known::Started { previous, .. } if at == 0 => self.previous = *previous,
            Known::Heartbeat(nodes) => self.heartbeat(at, nodes, verdict),
            Known::Missing { id, from, to } => match self.nodes.get_mut(id) {
                Some(numbers) if numbers.next == *from && from <= to => {
                    *numbers = Numbers {
                        next: to + 1,
                        fresh: false,
                    };
                    verdict.remark("missing", Some(at), || format!("{id} {from}..{to}"));
                }
                _ => verdict.bad("sequence", Some(at), || format!("{id} node.missing {from}..{to}")),
            },
            Known::Restarted { id, seq } => {
                if self.nodes.contains_key(id) {
                    verdict.remark("restarted", Some(at), || format!("{id} {seq}"));
                }
                self.begin(id, *seq, true);
            }
            _ => {}
        }
    }

    /// After the last leaf; `until` in milliseconds since 1970, none when the leaves were not read to the end.
    pub fn end(&mut self, until: Option<i64>, verdict: &mut Verdict) {
        // What follows an unread leaf may explain what is pending, and may reach further.
        if until.is_some() {
            self.settle(verdict);
        }
        if let Some(until) = until
            && self
                .last_logged
                .is_none_or(|last| last < until.saturating_sub(SILENCE_MS))
        {
            verdict.bad("end", None, || {
                let last = self.last_logged.map_or_else(|| "-".to_owned(), moment);
                format!("{last} < {}", moment(until))
            });
        }
        if self.full {
            verdict.doubt("too-many", None, String::new);
        }
    }

    fn settle(&mut self, verdict: &mut Verdict) {
        match self.pending.take() {
            None => {}
            Some(Pending {
                leaf,
                code: Wrong::Silent,
                beat,
            }) => {
                verdict.bad("silent", Some(leaf), || {
                    format!("since {}", moment(beat.logged_at))
                });
            }
            Some(Pending {
                leaf,
                code: Wrong::Restart,
                ..
            }) => verdict.bad("restart-unsaid", Some(leaf), String::new),
        }
    }

    fn time(&mut self, at: u64, leaf: &Leaf<'_>, known: &Known, verdict: &mut Verdict) {
        let here = || Beat {
            boot: leaf.boot.clone(),
            up_ms: leaf.up_ms,
            logged_at: leaf.logged_at,
            said: false,
        };
        let rebooted = self.boot != leaf.boot;
        if rebooted {
            self.boot.clone_from(&leaf.boot);
        }
        if let Known::Resumed { from, to } = known {
            // The sign of life before the standstill; a leaf between them is of after it.
            let before = self
                .pending
                .take()
                .map(|pending| pending.beat)
                .or(self.beat.take());
            self.resumed(at, leaf, (*from, *to), before.as_ref(), verdict);
            self.beat = Some(here());
            return;
        }
        self.settle(verdict);
        let Some(beat) = &mut self.beat else {
            self.beat = Some(here());
            return;
        };
        if rebooted {
            let beat = self.beat.replace(here()).unwrap_or_else(here);
            self.pending = Some(Pending {
                leaf: at,
                code: Wrong::Restart,
                beat,
            });
            return;
        }
        if let Known::Stepped(by_ms) = known {
            beat.logged_at = beat.logged_at.saturating_add(*by_ms);
        }
        if beat.boot == leaf.boot && !beat.said && leaf.up_ms - beat.up_ms > SILENCE_MS {
            beat.said = true;
            let beat = beat.clone();
            self.pending = Some(Pending {
                leaf: at,
                code: Wrong::Silent,
                beat,
            });
        }
        if matches!(known, Known::Heartbeat(_)) {
            self.beat = Some(here());
        }
    }

    fn resumed(
        &self,
        at: u64,
        leaf: &Leaf<'_>,
        (from, to): (i64, i64),
        before: Option<&Beat>,
        verdict: &mut Verdict,
    ) {
        if before.is_some_and(|beat| from - beat.logged_at > SILENCE_MS) || leaf.logged_at - to > SILENCE_MS {
            verdict.bad("silent", Some(at), || {
                format!("{} .. {}", moment(from), moment(to))
            });
        }
        let length = to - from;
        let detail = || format!("{} .. {} ({} min)", moment(from), moment(to), length / 60_000);
        if length < 0 {
            verdict.doubt("gap-clock", Some(at), detail);
        } else if length > self.gap_ms {
            verdict.doubt("gap", Some(at), detail);
        } else {
            verdict.remark("gap", Some(at), detail);
        }
    }

    fn event(&mut self, at: u64, id: &str, seq: i64, verdict: &mut Verdict) {
        match self.nodes.get_mut(id) {
            Some(numbers) => {
                if seq != numbers.next {
                    verdict.bad("sequence", Some(at), || {
                        format!("{id} {seq}, not {}", numbers.next)
                    });
                }
                *numbers = Numbers {
                    next: numbers.next.max(seq + 1),
                    fresh: false,
                };
            }
            None => {
                verdict.bad("sequence", Some(at), || format!("{id} {seq}, not node.restarted"));
                self.begin(id, seq + 1, false);
            }
        }
    }

    fn begin(&mut self, id: &str, next: i64, fresh: bool) {
        if self.nodes.len() < MAX_NODES || self.nodes.contains_key(id) {
            self.nodes.insert(id.to_owned(), Numbers { next, fresh });
        } else {
            self.full = true;
        }
    }

    fn heartbeat(&mut self, at: u64, nodes: &[(String, i64)], verdict: &mut Verdict) {
        if at == 1 && self.previous {
            // Where the log before ended.
            for (id, seq) in nodes {
                self.begin(id, seq + 1, false);
            }
            return;
        }
        let mut named = HashMap::new();
        for (id, seq) in nodes {
            let agrees = self
                .nodes
                .get(id)
                .is_some_and(|numbers| numbers.fresh || numbers.next == seq + 1);
            let twice = named.insert(id.as_str(), seq).is_some();
            if !agrees || twice {
                let expected = self
                    .nodes
                    .get(id)
                    .map_or_else(|| "-".to_owned(), |numbers| (numbers.next - 1).to_string());
                verdict.bad("heartbeat", Some(at), || format!("{id} {seq}, not {expected}"));
            }
        }
        let mut forgotten: Vec<&String> = self
            .nodes
            .iter()
            .filter(|(id, numbers)| !numbers.fresh && !named.contains_key(id.as_str()))
            .map(|(id, _)| id)
            .collect();
        forgotten.sort();
        for id in forgotten {
            verdict.bad("heartbeat", Some(at), || format!("{id} -"));
        }
    }
}

//! How much of a month was watched, and why the rest was not.
//!
//! ```text
//! journal --Collector--> spans with reasons ---+
//!                                              +--> report: percent, gaps cut by reason
//! history --HistoryGaps--> times without value +
//! ```
//! A point was not watched while the controller was down, its node was silent, or it had no value;
//! and wherever its history has a hole that nothing in the journal speaks of: that gap is named
//! unexplained, never left out. A person can add an explanation, which is a record. Silence that is
//! noticed late began with the last word, not with the alarm.
//!
//! A value that does not change goes to the history once a minute, so the history alone tells a gap
//! only when it is longer than [`limit`]; what the journal knows is exact.
//!
//! A device was not watched while it did not answer, by the journal.

use crate::engine::no_data_words;
use crate::event::Part;
use crate::outage::Record as Power;
use crate::point::HISTORY_MOST;
use crate::record::{Entry, Record, SignBy};
use crate::site::Label;
use crate::time::{Millis, Now};
use serde::{Deserialize, Serialize};
use shared::NoData;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Clocks that differ by less between two records were not set: time sync slews.
pub const CLOCK_SET_MS: i64 = 2_000;
/// Spans with reasons that are kept; the shortest beyond it are left out and counted.
pub const MAX_SPANS: usize = 5_000;
/// Gaps of one report; the shortest beyond it are left out and counted.
pub const MAX_GAPS: usize = 2_000;
/// Sources named in one gap; the rest is counted.
pub const MAX_NAMED: usize = 20;
/// Explanations of persons that are kept.
pub const MAX_EXPLANATIONS: usize = 1_000;

/// Why something was not watched. The order is the order of belief: where several hold, the first one
/// is the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The controller did not run, or its loop hung.
    ControllerDown,
    /// Work in a maintenance window.
    Maintenance,
    /// The MQTT endpoint or the connection to the broker failed.
    Network,
    /// The node was silent.
    NodeSilent,
    /// The device did not answer.
    DeviceSilent,
    /// The sensor or its line failed.
    SensorFault,
    /// The clock of the controller was set: the hours in between never were.
    ClockSet,
    /// It has never been heard.
    NotYetHeard,
    /// Nothing says why.
    Unexplained,
}

impl Reason {
    /// True for what itself means that nobody watched; the others only explain a hole.
    const fn blinds(self) -> bool {
        matches!(
            self,
            Self::ControllerDown | Self::NodeSilent | Self::DeviceSilent | Self::SensorFault
        )
    }

    /// As people say it.
    #[must_use]
    pub fn label(self) -> Label {
        let (ja, en) = match self {
            Self::ControllerDown => ("監視装置の停止", "the controller was down"),
            Self::Maintenance => ("作業（保守時間帯）", "maintenance window"),
            Self::Network => ("網（MQTT）の障害", "the network (MQTT) failed"),
            Self::NodeSilent => ("端末の無応答", "the node was silent"),
            Self::DeviceSilent => ("機器の無応答", "the device did not answer"),
            Self::SensorFault => ("センサー・配線の異常", "the sensor or its line failed"),
            Self::ClockSet => ("時計の変更", "the clock was set"),
            Self::NotYetHeard => ("未受信（設置前）", "not heard yet"),
            Self::Unexplained => ("原因不明", "unexplained"),
        };
        Label::new(ja, en)
    }
}

/// What is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Point id, or name of the device.
    pub id: String,
    /// Shown name.
    pub label: Label,
    /// Node or device it belongs to.
    pub group: String,
    /// Its shown name.
    pub group_label: Label,
    /// Older than this a value is stale.
    pub stale_after: Millis,
    /// True for a point whose values go to the history.
    pub has_history: bool,
}

/// What an alarm says about watching.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    /// Why nobody watches while it stands.
    pub reason: Reason,
    /// Whom it concerns.
    pub scope: Scope,
    /// It is raised so long after the last word.
    pub lag: Millis,
}

/// Whom a span concerns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything.
    Room,
    /// Everything of a node or device.
    Group(String),
    /// One point.
    Source(String),
    /// What a maintenance window covers: a node, a device, a point, or points under a name.
    Covered(String),
}

/// What is watched, and which alarms say that it is not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// What is watched.
    pub sources: Vec<Source>,
    /// By alarm id.
    pub meanings: BTreeMap<String, Meaning>,
    /// A UPS counts as lost so long after its last answer.
    pub ups_lag: Millis,
}

/// Longest time between two rows of the history of a point that was watched all the time.
#[must_use]
pub const fn limit(stale_after: Millis) -> Millis {
    /// A loaded machine writes late.
    const SLACK_MS: u64 = 10_000;
    Millis(HISTORY_MOST.0 + stale_after.0 + SLACK_MS)
}

#[derive(Debug, Clone, PartialEq)]
struct Span {
    from: i64,
    to: i64,
    reason: Reason,
    scope: Scope,
    detail: Label,
}

/// Reads the journal for what it says about watching.
#[derive(Debug)]
pub struct Collector<'a> {
    plan: &'a Plan,
    spans: Vec<Span>,
    open: BTreeMap<String, Span>,
    left_out: u64,
    explanations: Vec<Explanation>,
    last: Option<Now>,
    first: Option<i64>,
}

impl<'a> Collector<'a> {
    /// For these sources.
    #[must_use]
    pub const fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            spans: Vec::new(),
            open: BTreeMap::new(),
            left_out: 0,
            explanations: Vec::new(),
            last: None,
            first: None,
        }
    }

    /// A record that says nothing but when it was written.
    pub fn time(&mut self, now: Now) {
        if let Some(last) = self.last
            && now.mono >= last.mono
        {
            let ran = i64::try_from(now.mono.since(last.mono).0).unwrap_or(i64::MAX);
            let jump = now.wall.0.saturating_sub(last.wall.0).saturating_sub(ran);
            if jump > CLOCK_SET_MS {
                let secs = jump / 1000;
                let detail = Label::new(
                    format!("時計が {secs} 秒進められた"),
                    format!("the clock was set ahead by {secs} s"),
                );
                self.add(last.wall.0, now.wall.0, Reason::ClockSet, Scope::Room, detail);
            }
        }
        self.first.get_or_insert(now.wall.0);
        self.last = Some(now);
    }

    /// The next record.
    pub fn read(&mut self, entry: &Entry) {
        let at = entry.now.wall.0;
        match &entry.record {
            Record::Started { before, .. } => {
                let begun = match before {
                    Some(sign) if sign.same_boot => {
                        Some((at - i64::try_from(sign.ago_ms).unwrap_or(0), Some(sign.by)))
                    }
                    Some(sign) => Some((sign.at.0.min(at), Some(sign.by))),
                    None => self.last.map(|last| (last.wall.0.min(at), None)),
                };
                // Whether the monotonic clock went on is known here alone.
                if before.as_ref().is_none_or(|sign| !sign.same_boot) {
                    self.last = None;
                }
                if let Some((begun, by)) = begun {
                    let (ja, en) = match by {
                        Some(SignBy::AliveMark) => ("生存印", "the mark of the loop"),
                        Some(SignBy::Record) | None => ("最後の記録", "the last record"),
                    };
                    let detail = Label::new(
                        format!("停止の時刻は{ja}による"),
                        format!("its end is known by {en}"),
                    );
                    self.add(begun, at, Reason::ControllerDown, Scope::Room, detail);
                }
            }
            Record::AlarmRaised { alarm, because, .. } => self.raised(at, alarm, because),
            Record::AlarmReturned { alarm, .. } => self.end(at, alarm),
            Record::Power { record } => match record {
                Power::ContactLost { ups, .. } => {
                    let lag = self.plan.ups_lag;
                    let scope = Scope::Group(ups.clone());
                    self.begin(
                        at,
                        &format!("ups {ups}"),
                        lag,
                        Reason::DeviceSilent,
                        scope,
                        Label::default(),
                    );
                }
                Power::ContactFound { ups } => self.end(at, &format!("ups {ups}")),
                _ => {}
            },
            Record::Trouble {
                part: Part::Mqtt,
                problem,
            } => match problem {
                Some(problem) => {
                    let detail = Label::new(problem.clone(), problem.clone());
                    self.begin(at, "mqtt", Millis(0), Reason::Network, Scope::Room, detail);
                }
                None => self.end(at, "mqtt"),
            },
            Record::MaintenanceStarted {
                window,
                reason,
                covers,
                ..
            } => {
                let detail = Label::new(reason.clone(), reason.clone());
                for name in covers {
                    let scope = Scope::Covered(name.clone());
                    let key = format!("window {window} {name}");
                    self.begin(at, &key, Millis(0), Reason::Maintenance, scope, detail.clone());
                }
            }
            Record::MaintenanceEnded { window, .. } => {
                let begin = format!("window {window} ");
                let keys = self.open.keys().filter(|key| key.starts_with(&begin));
                for key in keys.cloned().collect::<Vec<_>>() {
                    self.end(at, &key);
                }
            }
            Record::GapExplained {
                from_ms,
                to_ms,
                source,
                text,
                by,
            } if self.explanations.len() < MAX_EXPLANATIONS => {
                self.explanations.push(Explanation {
                    from_ms: *from_ms,
                    to_ms: *to_ms,
                    source: source.clone(),
                    text: text.clone(),
                    by: by.clone(),
                    at_ms: at,
                });
            }
            _ => {}
        }
        self.time(entry.now);
    }

    fn raised(&mut self, at: i64, alarm: &str, because: &Label) {
        let Some(meaning) = self.plan.meanings.get(alarm) else {
            return;
        };
        let said = because.en == no_data_words(NoData::Stale).1;
        let lag = match meaning.reason {
            // A sensor that says that it has no value says so at once.
            Reason::SensorFault if !said => Millis(0),
            _ => meaning.lag,
        };
        let (reason, scope) = (meaning.reason, meaning.scope.clone());
        self.begin(at, alarm, lag, reason, scope, because.clone());
    }

    fn begin(&mut self, at: i64, key: &str, lag: Millis, reason: Reason, scope: Scope, detail: Label) {
        let from = at - i64::try_from(lag.0).unwrap_or(0);
        let span = Span {
            from,
            to: i64::MAX,
            reason,
            scope,
            detail,
        };
        self.open.entry(key.to_owned()).or_insert(span);
    }

    fn end(&mut self, at: i64, key: &str) {
        if let Some(span) = self.open.remove(key) {
            self.add(span.from, at, span.reason, span.scope, span.detail);
        }
    }

    fn add(&mut self, from: i64, to: i64, reason: Reason, scope: Scope, detail: Label) {
        if to <= from {
            return;
        }
        if self.spans.len() >= MAX_SPANS {
            // The first beyond the limit makes room for many: sorting once in a while is cheap.
            self.spans
                .sort_by_key(|span| std::cmp::Reverse(span.to - span.from));
            let keep = MAX_SPANS * 9 / 10;
            self.left_out += (self.spans.len() - keep) as u64;
            self.spans.truncate(keep);
        }
        self.spans.push(Span {
            from,
            to,
            reason,
            scope,
            detail,
        });
    }

    /// What was found, with what still stands reaching to `until`.
    #[must_use]
    pub fn finish(mut self, until: i64) -> Found {
        for span in std::mem::take(&mut self.open).into_values() {
            let to = until.max(span.from);
            self.add(span.from, to, span.reason, span.scope, span.detail);
        }
        Found {
            spans: self.spans,
            left_out: self.left_out,
            explanations: self.explanations,
            first: self.first,
        }
    }
}

/// What the journal says about watching.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    spans: Vec<Span>,
    left_out: u64,
    explanations: Vec<Explanation>,
    first: Option<i64>,
}

impl Found {
    /// The period that can be spoken about: from the first start of the controller, until now.
    #[must_use]
    pub fn period(&self, from: i64, to: i64, now: i64) -> (i64, i64) {
        let from = from.max(self.first.unwrap_or(now));
        (from, to.min(now).max(from))
    }
}

/// Looks for holes in the history of one point; rows come in the order of time.
#[derive(Debug)]
pub struct HistoryGaps {
    limit: i64,
    until: i64,
    last: i64,
    /// A row that says "no value" begins a hole by itself.
    silent: bool,
    heard: bool,
    gaps: Vec<(i64, i64)>,
}

impl HistoryGaps {
    /// For a period; `before` is the last row with a value before it.
    #[must_use]
    pub fn new(stale_after: Millis, from: i64, until: i64, before: Option<i64>) -> Self {
        Self {
            limit: i64::try_from(limit(stale_after).0).unwrap_or(i64::MAX),
            until,
            last: before.unwrap_or(from).max(from.saturating_sub(i64::MAX / 4)),
            silent: false,
            heard: before.is_some(),
            gaps: Vec::new(),
        }
    }

    /// A row.
    pub fn row(&mut self, at: i64, has_value: bool) {
        if self.silent || at - self.last > self.limit {
            self.hole(self.last, at);
        }
        self.last = at;
        self.silent = !has_value;
        self.heard |= has_value;
    }

    fn hole(&mut self, from: i64, to: i64) {
        /// Holes of one point; a point with more of them is one that has no history to speak of.
        const MOST: usize = 50_000;
        if self.gaps.len() < MOST && to > from {
            self.gaps.push((from, to));
        }
    }

    /// The holes, and whether the point was ever heard.
    #[must_use]
    pub fn end(mut self) -> (Vec<(i64, i64)>, bool) {
        if self.silent || self.until - self.last > self.limit {
            self.hole(self.last, self.until);
        }
        (self.gaps, self.heard)
    }
}

/// What a person knows about a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// From when it holds.
    pub from_ms: i64,
    /// Until when.
    pub to_ms: i64,
    /// A point or device; `null` for all.
    pub source: Option<String>,
    /// What happened.
    pub text: String,
    /// Who says so.
    pub by: String,
    /// When it was written.
    pub at_ms: i64,
}

/// A time that nobody watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gap {
    /// Begin.
    pub from_ms: i64,
    /// End.
    pub to_ms: i64,
    /// Why.
    pub reason: Reason,
    /// The reason and its circumstances.
    pub why: Label,
    /// Points and devices concerned, at most [`MAX_NAMED`] of them.
    pub sources: Vec<String>,
    /// Others.
    pub more_sources: u32,
    /// What persons added.
    pub explanations: Vec<Explanation>,
}

/// Share of one point, node, device or of the room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Share {
    /// Point id, name of a node or device.
    pub id: String,
    /// Shown name.
    pub label: Label,
    /// Node or device of a point.
    pub group: Option<String>,
    /// Watched, in percent; for several points the mean of them.
    pub percent: f64,
    /// Not watched, in milliseconds; for several points the mean of them.
    pub unwatched_ms: i64,
}

/// A month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Begin of the period: of the month, or of the first start of the controller.
    pub from_ms: i64,
    /// Its end: of the month, or now.
    pub to_ms: i64,
    /// The room: the mean of its points and devices.
    pub percent: f64,
    /// Time that the controller itself ran, in percent.
    pub controller_percent: f64,
    /// Gaps for which nothing in the journal and no person says why.
    pub unexplained: u32,
    /// Nodes and devices.
    pub groups: Vec<Share>,
    /// Points and devices.
    pub sources: Vec<Share>,
    /// Gaps in order of time.
    pub gaps: Vec<Gap>,
    /// Gaps left out for want of space.
    pub left_out: u64,
}

/// A piece of a gap: where, and which of the spans is its reason.
type Piece = (i64, i64, Option<usize>);

/// The spans in which a point had values, and whether it was ever heard.
pub type Watched = (Vec<(i64, i64)>, bool);

/// Makes the report. `history` has the holes of every point that has a history, and whether the point
/// was ever heard.
#[must_use]
pub fn report(plan: &Plan, found: &Found, period: (i64, i64), history: &BTreeMap<String, Watched>) -> Report {
    let (from, to) = period;
    let length = (to - from).max(1);
    let mut gathered: BTreeMap<(i64, i64, Reason, Option<usize>), BTreeSet<&str>> = BTreeMap::new();
    let mut sources = Vec::with_capacity(plan.sources.len());
    let mut groups: BTreeMap<&str, (&Label, Vec<i64>)> = BTreeMap::new();
    let nothing = (Vec::new(), true);
    for source in &plan.sources {
        let (holes, heard) = history.get(&source.id).unwrap_or(&nothing);
        let pieces = pieces(source, found, period, holes);
        let unwatched: i64 = pieces.iter().map(|(from, to, _)| to - from).sum();
        for (from, to, span) in pieces {
            let reason = match span {
                Some(at) => found.spans[at].reason,
                None if !heard => Reason::NotYetHeard,
                None => Reason::Unexplained,
            };
            gathered
                .entry((from, to, reason, span))
                .or_default()
                .insert(&source.id);
        }
        groups
            .entry(&source.group)
            .or_insert_with(|| (&source.group_label, Vec::new()))
            .1
            .push(unwatched);
        sources.push(Share {
            id: source.id.clone(),
            label: source.label.clone(),
            group: Some(source.group.clone()),
            percent: percent(unwatched, length),
            unwatched_ms: unwatched,
        });
    }
    let gaps = gathered
        .into_iter()
        .map(|((from, to, reason, span), names)| gap(found, (from, to), reason, span, &names))
        .collect();
    let (gaps, left_out) = longest(gaps);
    let all: Vec<i64> = sources.iter().map(|source| source.unwatched_ms).collect();
    let down: Vec<(i64, i64)> = found
        .spans
        .iter()
        .filter(|span| span.reason == Reason::ControllerDown)
        .map(|span| (span.from.max(from), span.to.min(to)))
        .collect();
    let unexplained = gaps
        .iter()
        .filter(|gap| gap.reason == Reason::Unexplained && gap.explanations.is_empty())
        .count();
    Report {
        from_ms: from,
        to_ms: to,
        percent: percent(mean(&all), length),
        controller_percent: percent(covered(down), length),
        unexplained: u32::try_from(unexplained).unwrap_or(u32::MAX),
        groups: groups
            .into_iter()
            .map(|(id, (label, unwatched))| Share {
                id: id.to_owned(),
                label: label.clone(),
                group: None,
                percent: percent(mean(&unwatched), length),
                unwatched_ms: mean(&unwatched),
            })
            .collect(),
        sources,
        gaps,
        left_out: left_out + found.left_out,
    }
}

fn gap(
    found: &Found,
    (from, to): (i64, i64),
    reason: Reason,
    span: Option<usize>,
    names: &BTreeSet<&str>,
) -> Gap {
    let mut why = reason.label();
    if let Some(detail) = span.map(|at| &found.spans[at].detail)
        && !detail.en.is_empty()
    {
        why = Label::new(
            format!("{}（{}）", why.ja, detail.ja),
            format!("{} ({})", why.en, detail.en),
        );
    }
    let explanations = found
        .explanations
        .iter()
        .filter(|said| said.from_ms < to && said.to_ms > from)
        .filter(|said| said.source.as_deref().is_none_or(|source| names.contains(source)))
        .cloned()
        .collect();
    Gap {
        from_ms: from,
        to_ms: to,
        reason,
        why,
        sources: names
            .iter()
            .take(MAX_NAMED)
            .map(|name| (*name).to_owned())
            .collect(),
        more_sources: u32::try_from(names.len().saturating_sub(MAX_NAMED)).unwrap_or(u32::MAX),
        explanations,
    }
}

/// The longest gaps in order of time, and how many were left out.
fn longest(mut gaps: Vec<Gap>) -> (Vec<Gap>, u64) {
    let left_out = gaps.len().saturating_sub(MAX_GAPS) as u64;
    if left_out > 0 {
        gaps.sort_by_key(|gap| std::cmp::Reverse(gap.to_ms - gap.from_ms));
        gaps.truncate(MAX_GAPS);
        gaps.sort_by_key(|gap| (gap.from_ms, gap.to_ms));
    }
    (gaps, left_out)
}

/// When a source was not watched, cut wherever the reason changes.
fn pieces(source: &Source, found: &Found, (from, to): (i64, i64), holes: &[(i64, i64)]) -> Vec<Piece> {
    /// Spans that are looked at for one source; the longest come first.
    const MOST: usize = 1_000;
    let mut mine: Vec<usize> = (0..found.spans.len())
        .filter(|at| {
            let span = &found.spans[*at];
            let concerned = match &span.scope {
                Scope::Room => true,
                Scope::Group(group) => *group == source.group,
                Scope::Source(id) => *id == source.id,
                Scope::Covered(name) => {
                    let below = source.id.strip_prefix(name.as_str());
                    *name == source.group
                        || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                }
            };
            // The network is that of the nodes; devices are asked directly.
            let reaches = span.reason != Reason::Network || source.has_history;
            concerned && reaches && span.from < to && span.to > from
        })
        .collect();
    if mine.len() > MOST {
        mine.sort_by_key(|at| std::cmp::Reverse(found.spans[*at].to - found.spans[*at].from));
        mine.truncate(MOST);
    }
    let mut edges: Vec<i64> = vec![from, to];
    edges.extend(
        mine.iter()
            .flat_map(|at| [found.spans[*at].from, found.spans[*at].to]),
    );
    edges.extend(holes.iter().flat_map(|(from, to)| [*from, *to]));
    edges.retain(|edge| (from..=to).contains(edge));
    edges.sort_unstable();
    edges.dedup();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut hole = 0;
    for pair in edges.windows(2) {
        let (begin, end) = (pair[0], pair[1]);
        while hole < holes.len() && holes[hole].1 <= begin {
            hole += 1;
        }
        let in_hole = holes.get(hole).is_some_and(|(from, _)| *from <= begin);
        let covering = || {
            mine.iter().filter(|at| {
                let span = &found.spans[**at];
                span.from <= begin && span.to >= end
            })
        };
        if !in_hole && !covering().any(|at| found.spans[*at].reason.blinds()) {
            continue;
        }
        let span = covering().min_by_key(|at| found.spans[**at].reason).copied();
        match pieces.last_mut() {
            Some(last) if last.1 == begin && last.2 == span => last.1 = end,
            _ => pieces.push((begin, end, span)),
        }
    }
    // The history tells the edges of a hole to a minute; what the journal knows is exact.
    let limit = i64::try_from(limit(source.stale_after).0).unwrap_or(i64::MAX);
    let touches = |at: usize, other: usize| {
        pieces.get(other).is_some_and(|other: &Piece| {
            other.2.is_some() && (other.1 == pieces[at].0 || other.0 == pieces[at].1)
        })
    };
    let keep: Vec<bool> = (0..pieces.len())
        .map(|at| {
            let (begin, end, span) = pieces[at];
            let known = touches(at, at + 1) || at > 0 && touches(at, at - 1);
            span.is_some() || end - begin > limit || !known
        })
        .collect();
    let mut keep = keep.into_iter();
    pieces.retain(|_| keep.next().unwrap_or(true));
    pieces
}

/// Length of the union.
fn covered(mut spans: Vec<(i64, i64)>) -> i64 {
    spans.sort_unstable();
    let (mut all, mut reached) = (0, i64::MIN);
    for (from, to) in spans {
        let from = from.max(reached);
        if to > from {
            all += to - from;
            reached = to;
        }
    }
    all
}

fn mean(all: &[i64]) -> i64 {
    let count = i64::try_from(all.len()).unwrap_or(i64::MAX).max(1);
    all.iter().sum::<i64>() / count
}

/// Watched share with two digits behind the point; never rounded up to a whole that it is not.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of a month are exact in a double"
)]
fn percent(unwatched: i64, length: i64) -> f64 {
    let share = 1.0 - unwatched as f64 / length as f64;
    (share * 10_000.0).floor().clamp(0.0, 10_000.0) / 100.0
}

#[cfg(test)]
mod tests;

//! Limits at run time: what may be changed, and how often a limit would have been an alarm.
//!
//! ```text
//! site.toml --> limit --change (who, why)--> limit --a later edit of site.toml--> limit
//! ```
//! A change carries what the file said when it was made. As long as the file says the same the
//! change stands, over every restart; once the file says something else there, the file is the later
//! word and the change is over. Nobody's clock is asked.
//!
//! The preview runs the values of the history through the same judgement, delays and deadband as the
//! engine ([`beyond`] and [`crate::alarm::Book`]); a gap neither raises nor clears. It cannot see
//! what the history does not hold, and says so.

use crate::alarm::{Book, Condition};
use crate::catalog;
use crate::engine::Proposal;
use crate::record::Record;
use crate::site::{Label, Limit, Priority, Side};
use crate::snapshot::{self, LimitOccurrence, LimitRun};
use crate::time::{Millis, Mono, Now, Wall};
use serde::{Deserialize, Serialize};

/// Longest delay of a limit.
pub const MAX_DELAY: Millis = Millis::from_secs(3600);
/// Changes of one limit that are shown; all of them are in the journal.
pub const MAX_CHANGES_SHOWN: usize = 50;
/// Most rows that a preview looks at: thirty days at one every ten seconds.
pub const MAX_PREVIEW_ROWS: usize = 30 * 8_640;
/// Longest time that a preview looks back, in days.
pub const MAX_PREVIEW_DAYS: u32 = 90;
/// Occurrences that a preview lists.
pub const MAX_LAST: usize = 10;
/// A steady value is kept once a minute; after three missing ones nobody knows, unless the point may be
/// silent for longer.
pub const GAP_AFTER: Millis = Millis(3 * crate::point::HISTORY_MOST.0);

/// The values of a limit that can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// Raise beyond this value, in the point's unit.
    pub limit: f64,
    /// Return only when this far inside again.
    pub deadband: f64,
    /// Must hold so long before it is raised, in milliseconds.
    pub on_delay: Millis,
    /// Must be back so long before it returns, in milliseconds.
    pub off_delay: Millis,
    /// Priority.
    pub priority: Priority,
}

impl Values {
    /// Those of a limit.
    #[must_use]
    pub const fn of(limit: &Limit) -> Self {
        Self {
            limit: limit.limit,
            deadband: limit.deadband,
            on_delay: limit.on_delay,
            off_delay: limit.off_delay,
            priority: limit.priority,
        }
    }

    /// The limit with these values.
    #[must_use]
    pub fn put(&self, limit: &Limit) -> Limit {
        Limit {
            limit: self.limit,
            deadband: self.deadband,
            on_delay: self.on_delay,
            off_delay: self.off_delay,
            priority: self.priority,
            ..limit.clone()
        }
    }
}

/// What somebody wants to be otherwise; `None` stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Change {
    /// Raise beyond this value.
    pub limit: Option<f64>,
    /// Return only when this far inside again.
    pub deadband: Option<f64>,
    /// On-delay in milliseconds.
    pub on_delay: Option<Millis>,
    /// Off-delay in milliseconds.
    pub off_delay: Option<Millis>,
    /// Priority.
    pub priority: Option<Priority>,
}

impl Change {
    /// The values after it.
    #[must_use]
    pub fn to(&self, before: Values) -> Values {
        Values {
            limit: self.limit.unwrap_or(before.limit),
            deadband: self.deadband.unwrap_or(before.deadband),
            on_delay: self.on_delay.unwrap_or(before.on_delay),
            off_delay: self.off_delay.unwrap_or(before.off_delay),
            priority: self.priority.unwrap_or(before.priority),
        }
    }
}

/// What the site's file says of a limit; a change is bound to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Point watched.
    pub point: String,
    /// Which side.
    pub side: Side,
    /// The values.
    pub values: Values,
}

impl Written {
    /// Whether the file says the same. Numbers went through text: a journal's last binary digit is
    /// not compared.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
        let (a, b) = (&self.values, &other.values);
        self.point == other.point
            && self.side == other.side
            && near(a.limit, b.limit)
            && near(a.deadband, b.deadband)
            && (a.on_delay, a.off_delay, a.priority) == (b.on_delay, b.off_delay, b.priority)
    }

    /// As the file says it.
    #[must_use]
    pub fn of(limit: &Limit) -> Self {
        Self {
            point: limit.point.clone(),
            side: limit.side,
            values: Values::of(limit),
        }
    }
}

/// Whether the value is beyond the limit; while its alarm stands, the deadband counts too.
#[must_use]
pub fn beyond(limit: &Limit, value: f64, is_active: bool) -> bool {
    let margin = if is_active { limit.deadband } else { 0.0 };
    match limit.side {
        Side::High => value > limit.limit - margin,
        Side::Low => value < limit.limit + margin,
    }
}

/// Whether a limit may be so, beside the other limits of its point. `range` is what the point can
/// be, when that is known.
///
/// # Errors
/// Why not, and what to do.
pub fn check<'l>(
    limit: &Limit,
    others: impl Iterator<Item = &'l Limit>,
    range: Option<(f64, f64)>,
) -> Result<(), Label> {
    if !limit.limit.is_finite() || !limit.deadband.is_finite() {
        return Err(Label::new(
            "しきい値と不感帯は数値で入力してください",
            "limit and deadband must be numbers",
        ));
    }
    if limit.deadband < 0.0 {
        return Err(Label::new(
            format!("不感帯 {} は負の値です。0 以上にしてください", limit.deadband),
            format!("the deadband {} is negative; 0 or more", limit.deadband),
        ));
    }
    if limit.on_delay > MAX_DELAY || limit.off_delay > MAX_DELAY {
        return Err(Label::new(
            format!("遅延は {} 秒までです", MAX_DELAY.0 / 1000),
            format!("a delay is at most {} s", MAX_DELAY.0 / 1000),
        ));
    }
    if let Some((low, high)) = range {
        if !(low..=high).contains(&limit.limit) {
            return Err(Label::new(
                format!(
                    "しきい値 {} は {} の範囲（{low} から {high}）の外です",
                    limit.limit, limit.point
                ),
                format!(
                    "the limit {} lies outside of what {} can be: {low} to {high}",
                    limit.limit, limit.point
                ),
            ));
        }
        if limit.deadband > (high - low) / 4.0 {
            return Err(Label::new(
                format!("不感帯 {} は広すぎて、警報が復旧できません", limit.deadband),
                format!(
                    "a deadband of {} is wider than the alarm can return",
                    limit.deadband
                ),
            ));
        }
    }
    for other in others.filter(|other| other.id != limit.id && other.point == limit.point) {
        beside(limit, other)?;
    }
    Ok(())
}

fn beside(limit: &Limit, other: &Limit) -> Result<(), Label> {
    if limit.side != other.side {
        let (high, low) = if limit.side == Side::High {
            (limit, other)
        } else {
            (other, limit)
        };
        if high.limit - high.deadband <= low.limit + low.deadband {
            return Err(Label::new(
                format!(
                    "{} と {} の間に余裕がありません（上限 {}、下限 {} と不感帯）。警報が復旧できません",
                    limit.id, other.id, high.limit, low.limit
                ),
                format!(
                    "{} and {} leave no room: high {} and low {} with their deadbands; the alarm could never return",
                    limit.id, other.id, high.limit, low.limit
                ),
            ));
        }
        return Ok(());
    }
    let (inner, outer) = match limit.priority.cmp(&other.priority) {
        std::cmp::Ordering::Less => (limit, other),
        std::cmp::Ordering::Greater => (other, limit),
        std::cmp::Ordering::Equal => return Ok(()),
    };
    let is_ordered = match limit.side {
        Side::High => outer.limit > inner.limit,
        Side::Low => outer.limit < inner.limit,
    };
    if is_ordered {
        return Ok(());
    }
    Err(Label::new(
        format!(
            "重要度の高い警報ほど外側に置いてください（{} は {}、{} は {}）",
            inner.id, inner.limit, outer.id, outer.limit
        ),
        format!(
            "the more urgent alarm must lie further outside: {} is {}, {} is {}",
            inner.id, inner.limit, outer.id, outer.limit
        ),
    ))
}

/// A value of the history; `None` is the begin of a gap.
pub type Row = (Wall, Option<f64>);

/// How often this limit would have been an alarm with these values, in order of time. `patience` is
/// how long its point may be silent before it is stale.
#[must_use]
pub fn preview(limit: &Limit, patience: Millis, rows: &[Row], until: Wall) -> LimitRun {
    let mut run = Run::new(limit, patience);
    for row in rows {
        run.take(row.0, row.1);
    }
    run.end(until)
}

/// What the history cannot show of a limit, in words.
#[must_use]
pub fn hidden() -> Label {
    let (least, most) = (
        crate::point::HISTORY_LEAST.0 / 1000,
        crate::point::HISTORY_MOST.0 / 1000,
    );
    Label::new(
        format!(
            "履歴は変化する値を {least} 秒に 1 回、変わらない値を {most} 秒に 1 回だけ残しています。{least} 秒より短い超過は数えられないことがあります。"
        ),
        format!(
            "The history keeps a changing value once in {least} s and a steady one once in {most} s; what lay beyond the limit for less than {least} s may not be counted."
        ),
    )
}

struct Run<'l> {
    limit: &'l Limit,
    gap_after: Millis,
    book: Book,
    last: Option<Wall>,
    /// When a value was there last, if one still is.
    known: Option<Wall>,
    known_ms: u64,
    open: Option<LimitOccurrence>,
    done: Vec<LimitOccurrence>,
    count: u32,
    total_ms: u64,
    longest_ms: u64,
}

impl<'l> Run<'l> {
    fn new(limit: &'l Limit, patience: Millis) -> Self {
        let mut book = Book::default();
        book.define(catalog::limit(limit, Label::default(), None));
        Self {
            limit,
            gap_after: patience.max(GAP_AFTER),
            book,
            last: None,
            known: None,
            known_ms: 0,
            open: None,
            done: Vec::new(),
            count: 0,
            total_ms: 0,
            longest_ms: 0,
        }
    }

    fn take(&mut self, at: Wall, value: Option<f64>) {
        // Two rows of one moment, or a clock that was set back: the first word counts.
        if self.last.is_some_and(|last| at <= last) {
            return;
        }
        self.pass(at);
        self.last = Some(at);
        match value {
            Some(value) => {
                if let Some(open) = &mut self.open {
                    let is_worse = match self.limit.side {
                        Side::High => value > open.worst,
                        Side::Low => value < open.worst,
                    };
                    if is_worse {
                        open.worst = value;
                    }
                }
                self.known = Some(at);
                let condition = if beyond(self.limit, value, self.book.is_active(&self.limit.id)) {
                    Condition::Holds(Label::default())
                } else {
                    Condition::Gone
                };
                self.report(at, condition, value);
            }
            None => self.lose(at),
        }
    }

    /// Time goes on to `at`: what is known lasts until the next row or for [`GAP_AFTER`] at least, and delays
    /// run out meanwhile.
    fn pass(&mut self, at: Wall) {
        let Some(known) = self.known else { return };
        let gap_at = Wall(known.0.saturating_add_unsigned(self.gap_after.0));
        let until = at.min(gap_at);
        self.known_ms += ms_between(known, until);
        while let Some(due) = self.book.next_deadline().filter(|due| *due <= now_of(until).mono) {
            let due = Wall(i64::try_from(due.0).unwrap_or(i64::MAX));
            let before = self.book.next_deadline();
            for record in self.book.tick(now_of(due)) {
                self.apply(due, &record, f64::NAN);
            }
            if self.book.next_deadline() == before {
                break;
            }
        }
        self.known = Some(until);
        if at > gap_at {
            self.lose(gap_at);
        }
    }

    fn lose(&mut self, at: Wall) {
        self.known = None;
        self.report(at, Condition::Unknown, f64::NAN);
    }

    fn report(&mut self, at: Wall, condition: Condition, value: f64) {
        if let Some(record) = self.book.report(now_of(at), &self.limit.id, condition) {
            self.apply(at, &record, value);
        }
    }

    fn apply(&mut self, at: Wall, record: &Record, value: f64) {
        self.book.apply(now_of(at), record);
        match record {
            Record::AlarmRaised { .. } => {
                self.count = self.count.saturating_add(1);
                self.open = Some(LimitOccurrence {
                    raised_ms: at.0,
                    returned_ms: None,
                    lasted_s: 0,
                    worst: if value.is_nan() { self.limit.limit } else { value },
                });
            }
            Record::AlarmReturned { .. } => self.close(at, true),
            _ => {}
        }
    }

    fn close(&mut self, at: Wall, has_returned: bool) {
        let Some(mut open) = self.open.take() else { return };
        let lasted = ms_between(Wall(open.raised_ms), at);
        open.lasted_s = lasted / 1000;
        open.returned_ms = has_returned.then_some(at.0);
        self.total_ms += lasted;
        self.longest_ms = self.longest_ms.max(lasted);
        self.done.push(open);
        if self.done.len() > MAX_LAST {
            self.done.remove(0);
        }
    }

    fn end(mut self, until: Wall) -> LimitRun {
        self.pass(until);
        let stands = self.open.is_some();
        self.close(until, false);
        self.done.reverse();
        LimitRun {
            limit: self.limit.limit,
            deadband: self.limit.deadband,
            on_delay_s: self.limit.on_delay.0 / 1000,
            off_delay_s: self.limit.off_delay.0 / 1000,
            priority: self.limit.priority,
            count: self.count,
            total_s: self.total_ms / 1000,
            longest_s: self.longest_ms / 1000,
            stands,
            last: self.done,
            known_s: self.known_ms / 1000,
        }
    }
}

/// Moments of the history as the clock of the book: they are only compared with each other.
fn now_of(at: Wall) -> Now {
    Now {
        mono: Mono(u64::try_from(at.0).unwrap_or(0)),
        wall: at,
    }
}

fn ms_between(a: Wall, b: Wall) -> u64 {
    u64::try_from(b.0.saturating_sub(a.0)).unwrap_or(0)
}

/// The two runs of a preview, as the API shows them. `rows` are those of the last `days`, the newest
/// [`MAX_PREVIEW_ROWS`] of them.
#[must_use]
pub fn compare(
    Proposal {
        present,
        proposed,
        unit,
        patience,
    }: &Proposal,
    days: u32,
    rows: &[Row],
    now: Wall,
) -> snapshot::LimitPreview {
    let (with_it, today) = (
        preview(proposed, *patience, rows, now),
        preview(present, *patience, rows, now),
    );
    let summary = Label::new(
        format!(
            "この限界値なら過去 {days} 日で {} 回（今の限界値では {} 回）",
            with_it.count, today.count
        ),
        format!(
            "with this limit {} in the last {days} days ({} with today's limit)",
            alarms(with_it.count),
            today.count
        ),
    );
    snapshot::LimitPreview {
        id: present.id.clone(),
        unit: (*unit).to_owned(),
        days,
        from_ms: rows.first().map(|(at, _)| at.0),
        rows: rows.len() as u64,
        summary,
        proposed: with_it,
        present: today,
        hidden: hidden(),
    }
}

fn alarms(count: u32) -> String {
    match count {
        1 => "1 alarm".to_owned(),
        count => format!("{count} alarms"),
    }
}

#[cfg(test)]
mod tests;

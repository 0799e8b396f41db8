//! What a month of alarms says about the alarms themselves: those that ring most, that chatter, and
//! that stand for days. Each of them is a fault of the alarm's limit or of the thing; a list of ten
//! is short enough to be mended.

use crate::record::{Entry, Record};
use crate::site::{Label, Priority};
use crate::time::Wall;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Alarms that are named as the worst.
pub const MAX_ACTORS: usize = 10;
/// Raised so often within a minute, an alarm chatters (ISA-18.2: three times).
pub const CHATTERING: usize = 3;
/// An alarm that stands longer than this is stale, ms (ISA-18.2: 24 hours).
pub const STALE: i64 = 86_400_000;

const MINUTE: i64 = 60_000;
const TEN_MINUTES: i64 = 600_000;

/// One alarm in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// Alarm id.
    pub alarm: String,
    /// What happened.
    pub what: Label,
    /// Where.
    pub place: Label,
    /// How often it was raised.
    pub raised: usize,
    /// How often it was raised within one minute, at most.
    pub most_in_a_minute: usize,
    /// Longest time that it stood in one go, ms; for one that still stands until the end.
    pub longest_ms: i64,
}

/// What a period says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Statistics {
    /// Begin of the period, milliseconds since 1970 UTC.
    pub from_ms: i64,
    /// Its end.
    pub to_ms: i64,
    /// Alarms raised.
    pub raised: usize,
    /// By priority: critical, warning, advisory.
    pub by_priority: [usize; 3],
    /// Alarms raised a day; the aim for one room is one.
    pub per_day: f64,
    /// Most alarms within ten minutes; the aim is five.
    pub most_in_ten_minutes: usize,
    /// The ten that were raised most often.
    pub worst: Vec<Actor>,
    /// Those that were raised three times within a minute.
    pub chattering: Vec<Actor>,
    /// Those that stood longer than a day.
    pub stale: Vec<Actor>,
}

#[derive(Default)]
struct Seen {
    what: Label,
    place: Label,
    raised: Vec<i64>,
    stands_since: Option<i64>,
    longest: i64,
}

/// Counts the alarms of a period. The entries must be in the order of the journal; those from
/// before the period tell what stood when it began.
#[must_use]
pub fn statistics<'a>(entries: impl IntoIterator<Item = &'a Entry>, from: Wall, to: Wall) -> Statistics {
    let mut seen: BTreeMap<&str, Seen> = BTreeMap::new();
    let mut all = Vec::new();
    let mut by_priority = [0; 3];
    for entry in entries {
        let at = entry.now.wall.0;
        if at > to.0 {
            continue;
        }
        match &entry.record {
            Record::AlarmRaised {
                alarm,
                what,
                place,
                priority,
                ..
            } => {
                let alarm = seen.entry(alarm).or_default();
                alarm.stands_since = Some(at.max(from.0));
                if at >= from.0 {
                    (alarm.what, alarm.place) = (what.clone(), place.clone());
                    alarm.raised.push(at);
                    all.push(at);
                    by_priority[match priority {
                        Priority::Critical => 0,
                        Priority::Warning => 1,
                        Priority::Advisory => 2,
                    }] += 1;
                } else if alarm.raised.is_empty() {
                    (alarm.what, alarm.place) = (what.clone(), place.clone());
                }
            }
            Record::AlarmReturned { alarm, .. } => {
                if let Some(alarm) = seen.get_mut(alarm.as_str())
                    && let Some(since) = alarm.stands_since.take()
                {
                    alarm.longest = alarm.longest.max(at - since);
                }
            }
            _ => {}
        }
    }
    let actors = seen.into_iter().map(|(alarm, seen)| Actor {
        alarm: alarm.to_owned(),
        raised: seen.raised.len(),
        most_in_a_minute: most_within(&seen.raised, MINUTE),
        longest_ms: seen
            .stands_since
            .map_or(0, |since| to.0 - since)
            .max(seen.longest),
        what: seen.what,
        place: seen.place,
    });
    let actors: Vec<Actor> = actors.collect();
    let mut worst: Vec<Actor> = actors.iter().filter(|actor| actor.raised > 0).cloned().collect();
    worst.sort_by_key(|actor| std::cmp::Reverse(actor.raised));
    worst.truncate(MAX_ACTORS);
    let chattering = actors.iter().filter(|actor| actor.most_in_a_minute >= CHATTERING);
    let stale = actors.iter().filter(|actor| actor.longest_ms > STALE);
    #[expect(clippy::cast_precision_loss, reason = "counts and days of a month")]
    let per_day = all.len() as f64 / ((to.0 - from.0).max(1) as f64 / STALE as f64);
    Statistics {
        from_ms: from.0,
        to_ms: to.0,
        raised: all.len(),
        by_priority,
        per_day,
        most_in_ten_minutes: most_within(&all, TEN_MINUTES),
        worst,
        chattering: chattering.cloned().collect(),
        stale: stale.cloned().collect(),
    }
}

/// Most moments within a span. A clock that was set back does no more than count less.
fn most_within(at: &[i64], span: i64) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, moment) in at.iter().enumerate() {
        while moment - at[first] >= span {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most
}

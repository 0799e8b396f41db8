//! How much of a month was watched, read out of journal and history, with connections of its own: a
//! month of many points takes seconds, and no other question waits for it.

use super::{BUSY, StoreError, times};
use room::coverage::{Collector, HistoryGaps, Plan, Report, report};
use room::record::Entry;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use std::collections::BTreeMap;
use std::path::Path;

/// Begins of the records that say something about watching; the others tell only the time.
const SAYING: [&str; 6] = [
    r#"{"kind":"started""#,
    r#"{"kind":"alarm_r"#,
    r#"{"kind":"power""#,
    r#"{"kind":"trouble""#,
    r#"{"kind":"gap_expl"#,
    r#"{"kind":"maintenance"#,
];

/// What is asked.
#[derive(Debug)]
pub struct Month {
    /// What is watched here.
    pub plan: Plan,
    /// Begin, milliseconds since 1970 UTC.
    pub from_ms: i64,
    /// End.
    pub to_ms: i64,
    /// Now.
    pub now_ms: i64,
}

/// The report.
pub(super) fn coverage(dir: &Path, month: &Month) -> Result<Report, StoreError> {
    let open = |name: &str| {
        let path = dir.join(name);
        Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .and_then(|connection| connection.busy_timeout(BUSY).map(|()| connection))
        .map_err(|source| StoreError::Open { path, source })
    };
    let found = journal(&open("journal.db")?, month).map_err(StoreError::Read)?;
    let period = found.period(month.from_ms, month.to_ms, month.now_ms);
    let history = open("history.db")?;
    let mut holes = BTreeMap::new();
    for source in month.plan.sources.iter().filter(|source| source.has_history) {
        let gaps = point(&history, &source.id, source.stale_after, period).map_err(StoreError::Read)?;
        holes.insert(source.id.clone(), gaps);
    }
    Ok(report(&month.plan, &found, period, &holes))
}

/// The whole journal: what stands at the begin of the month may have begun long before.
fn journal(connection: &Connection, month: &Month) -> Result<room::coverage::Found, rusqlite::Error> {
    let mut collector = Collector::new(&month.plan);
    let mut statement = connection.prepare("SELECT seq, mono_ms, wall_ms, body FROM journal ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let now = times(row)?;
        let body = row.get_ref(3)?.as_bytes().unwrap_or_default();
        let says = SAYING.iter().any(|begin| body.starts_with(begin.as_bytes()));
        let record = says.then(|| serde_json::from_slice(body).ok()).flatten();
        match record {
            Some(record) => {
                let seq = row.get::<_, i64>(0)?.unsigned_abs();
                collector.read(&Entry { seq, now, record });
            }
            None => collector.time(now),
        }
    }
    Ok(collector.finish(month.now_ms))
}

type Holes = (Vec<(i64, i64)>, bool);

fn point(
    connection: &Connection,
    name: &str,
    stale_after: room::time::Millis,
    (from, to): (i64, i64),
) -> Result<Holes, rusqlite::Error> {
    let id: Option<i64> = connection
        .query_row("SELECT id FROM point WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    let Some(id) = id else {
        return Ok(HistoryGaps::new(stale_after, from, to, None).end());
    };
    let before: Option<i64> = connection
        .query_row(
            "SELECT at FROM sample WHERE point = ?1 AND at < ?2 AND value IS NOT NULL ORDER BY at DESC LIMIT 1",
            params![id, from],
            |row| row.get(0),
        )
        .optional()?;
    let mut gaps = HistoryGaps::new(stale_after, from, to, before);
    let mut statement = connection.prepare_cached(
        "SELECT at, value IS NOT NULL FROM sample WHERE point = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
    )?;
    let mut rows = statement.query(params![id, from, to])?;
    while let Some(row) = rows.next()? {
        gaps.row(row.get(0)?, row.get(1)?);
    }
    Ok(gaps.end())
}

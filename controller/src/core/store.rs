//! The store: an append-only, hash-chained journal and a history beside it, both SQLite.
//!
//! The journal is synced before anything of a turn leaves the machine; the history may lag and,
//! under load or on a full disk, may lose rows (counted). Each has its own file and thread, so
//! that a slow history never holds up the journal. Nothing here edits or deletes a record.
//!
//! ```text
//! hash(n) = SHA-256(hash(n-1) | seq | mono_ms | wall_ms | body)
//! ```

mod coverage;
mod incident;
mod rehearsal;

pub use coverage::Month;
pub use incident::evidence;
pub use rehearsal::Exercised;

use room::event::HistoryRow;
use room::incident::timeline::Names;
use room::record::Entry;
use room::time::{Mono, Now, Wall};
use rusqlite::{Connection, OpenFlags, params};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Schema of `journal.db` and `history.db`.
const SCHEMA: i32 = 1;
/// History batches waiting for their thread; a batch is at most a second of samples.
const MAX_HISTORY_BATCHES: usize = 16;
/// Queries waiting for the reading thread.
const MAX_QUERIES: usize = 64;
/// Most rows of one answer.
pub const MAX_ROWS: u32 = 10_000;
/// Most bytes of records in one answer: half of what the link takes.
const MAX_RECORDS_BYTES: usize = crate::link::MAX_MESSAGE / 8;
/// History older than this is deleted.
const HISTORY_KEPT_MS: i64 = 400 * 24 * 3_600_000;
/// Batches of history between two looks for rows that are too old; about an hour.
const PRUNE_EVERY: u32 = 3_600;
/// Longest wait for a lock that another process (a backup) holds.
const BUSY: Duration = Duration::from_millis(500);

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be opened.
    #[error("opening {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A file is of a later release.
    #[error("{path} has schema {found}, this program knows up to {SCHEMA}; install the newer release")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i32,
    },
    /// Records could not be appended.
    #[error("appending to the journal")]
    Append(#[source] rusqlite::Error),
    /// A query failed.
    #[error("reading the store")]
    Read(#[source] rusqlite::Error),
    /// A record does not encode.
    #[error("encoding a record")]
    Encode(#[source] serde_json::Error),
    /// The entry log.
    #[error(transparent)]
    Log(#[from] super::log::LogError),
    /// The thread is gone or overloaded.
    #[error("the store does not answer")]
    Gone,
    /// A file could not be moved aside.
    #[error("moving the damaged {0} aside")]
    Aside(PathBuf, #[source] std::io::Error),
}

/// What was found when the journal was opened.
#[derive(Debug)]
pub struct Opened {
    /// Sequence of the last record; 0 in an empty journal.
    pub last_seq: u64,
    /// What is wrong with the chain, if anything.
    pub broken: Option<String>,
    /// The append side.
    pub journal: Journal,
}

/// Where the journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Sequence of its last record; 0 in an empty journal.
    pub seq: u64,
    /// Hash of the chain there.
    pub hash: [u8; 32],
}

/// The append side of the journal; one batch at a time.
#[derive(Debug)]
pub struct Journal {
    batches: std_mpsc::SyncSender<Batch>,
}

#[derive(Debug)]
struct Batch {
    entries: Vec<Entry>,
    done: oneshot::Sender<Result<Tip, StoreError>>,
}

/// Opens the journal, verifies it, hands every readable record to `replay` in order, and starts
/// its thread. Records are handed over one at a time: a journal of years does not fit in memory.
///
/// A file that SQLite cannot read is moved aside under a new name (never deleted) and a new one
/// is begun; `broken` says so, and nothing of it was replayed.
///
/// # Errors
/// [`StoreError`] when no journal can be opened at all.
pub fn open_journal(dir: &Path, replay: impl FnMut(Entry)) -> Result<Opened, StoreError> {
    let path = dir.join("journal.db");
    let (connection, verified) = match open_and_verify(&path) {
        Err(StoreError::Read(error) | StoreError::Open { source: error, .. }) if is_damage(&error) => {
            let aside = move_aside(&path)?;
            let (connection, verified) = open_and_verify(&path)?;
            let problem = format!(
                "journal.db could not be read ({error}); it is kept as {}",
                aside.display()
            );
            let broken = Some(problem);
            (connection, Verified { broken, ..verified })
        }
        other => other?,
    };
    let undecodable = hand_over(&connection, replay).map_err(StoreError::Read)?;
    let Verified {
        tip,
        last_seq,
        broken,
    } = verified;
    let broken = broken.or(undecodable);
    let tip = Tip {
        seq: last_seq,
        hash: tip,
    };
    // One batch is in the thread at a time, by the loop's own rule.
    let (batches, inbox) = std_mpsc::sync_channel::<Batch>(1);
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || write_journal(connection, tip, &inbox))
        .expect("a thread can be started while the program starts");
    Ok(Opened {
        last_seq,
        broken,
        journal: Journal { batches },
    })
}

impl Journal {
    /// Appends and syncs; the receiver answers when it is on disk, with the journal's new end.
    #[must_use]
    pub fn append(&self, entries: Vec<Entry>) -> oneshot::Receiver<Result<Tip, StoreError>> {
        let (done, answer) = oneshot::channel();
        // A dead thread drops `done`; the loop reads that as a failure.
        let _ = self.batches.try_send(Batch { entries, done });
        answer
    }
}

/// A disk that takes records and does not say that it has them.
#[cfg(test)]
pub(super) struct StuckDisk(std_mpsc::Receiver<Batch>);

#[cfg(test)]
impl StuckDisk {
    /// A journal on such a disk.
    pub(super) fn journal() -> (Journal, Self) {
        let (batches, inbox) = std_mpsc::sync_channel(1);
        (Journal { batches }, Self(inbox))
    }

    /// Answers what waits; returns how many batches did.
    pub(super) fn answer(&self) -> usize {
        self.0
            .try_iter()
            .filter_map(|batch| batch.done.send(Ok(end_of(&batch.entries))).ok())
            .count()
    }
}

/// The end of a journal that is not written: its hash says nothing.
#[cfg(test)]
fn end_of(entries: &[Entry]) -> Tip {
    Tip {
        seq: entries.last().map_or(0, |entry| entry.seq),
        hash: [0; 32],
    }
}

struct Verified {
    tip: [u8; 32],
    last_seq: u64,
    broken: Option<String>,
}

fn open_and_verify(path: &Path) -> Result<(Connection, Verified), StoreError> {
    let connection = open(
        path,
        "FULL",
        "CREATE TABLE IF NOT EXISTS journal (
           seq INTEGER PRIMARY KEY, mono_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL,
           body TEXT NOT NULL, hash BLOB NOT NULL) STRICT",
    )?;
    let verified = verify(&connection).map_err(StoreError::Read)?;
    Ok((connection, verified))
}

fn open(path: &Path, synchronous: &str, schema: &str) -> Result<Connection, StoreError> {
    let wrap = |source| StoreError::Open {
        path: path.to_owned(),
        source,
    };
    let connection = Connection::open(path).map_err(wrap)?;
    connection.busy_timeout(BUSY).map_err(wrap)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(wrap)?;
    connection
        .pragma_update(None, "synchronous", synchronous)
        .map_err(wrap)?;
    let found: i32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(wrap)?;
    if found > SCHEMA {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
        });
    }
    if found < SCHEMA {
        // Nothing is written to files that are as they should be: core must start on a full disk.
        connection.execute_batch(schema).map_err(wrap)?;
        connection
            .pragma_update(None, "user_version", SCHEMA)
            .map_err(wrap)?;
    }
    Ok(connection)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    )
}

fn move_aside(path: &Path) -> Result<PathBuf, StoreError> {
    const MOST: u32 = 1000;
    let free = (1..=MOST)
        .map(|n| path.with_extension(format!("db.damaged-{n}")))
        .find(|aside| !aside.exists());
    let aside = free.unwrap_or_else(|| path.with_extension("db.damaged"));
    for suffix in ["", "-wal", "-shm"] {
        let from = PathBuf::from(format!("{}{suffix}", path.display()));
        if from.exists() {
            let to = PathBuf::from(format!("{}{suffix}", aside.display()));
            std::fs::rename(&from, to).map_err(|error| StoreError::Aside(from, error))?;
        }
    }
    Ok(aside)
}

/// Reads the whole chain without keeping any of it.
fn verify(connection: &Connection) -> Result<Verified, rusqlite::Error> {
    let mut statement =
        connection.prepare("SELECT seq, mono_ms, wall_ms, body, hash FROM journal ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let mut found = Verified {
        tip: [0; 32],
        last_seq: 0,
        broken: None,
    };
    while let Some(row) = rows.next()? {
        let seq: u64 = row.get::<_, i64>(0)?.unsigned_abs();
        // As bytes: a flipped bit may be no UTF-8 any more, and must not keep core from starting.
        let body = row.get_ref(3)?.as_bytes().unwrap_or_default();
        let stored = row.get_ref(4)?.as_bytes().unwrap_or_default();
        let hash = chain(&found.tip, seq, times(row)?, body);
        if (seq != found.last_seq.saturating_add(1) || hash[..] != *stored) && found.broken.is_none() {
            found.broken = Some(format!("the chain breaks at record {seq}"));
        }
        // After a break the chain goes on from what is stored, so that one damaged record does
        // not condemn those that follow.
        found.tip = stored.try_into().unwrap_or(hash);
        found.last_seq = seq;
    }
    Ok(found)
}

/// Hands over every record that decodes; says which one was the first that does not.
fn hand_over(
    connection: &Connection,
    mut replay: impl FnMut(Entry),
) -> Result<Option<String>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT seq, mono_ms, wall_ms, body FROM journal ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let mut undecodable = None;
    while let Some(row) = rows.next()? {
        let seq: u64 = row.get::<_, i64>(0)?.unsigned_abs();
        let now = times(row)?;
        match serde_json::from_slice(row.get_ref(3)?.as_bytes().unwrap_or_default()) {
            Ok(record) => replay(Entry { seq, now, record }),
            Err(error) => {
                undecodable.get_or_insert_with(|| format!("record {seq} does not decode: {error}"));
            }
        }
    }
    Ok(undecodable)
}

/// Both clocks of a row of the journal.
fn times(row: &rusqlite::Row<'_>) -> Result<Now, rusqlite::Error> {
    Ok(Now {
        mono: Mono(row.get::<_, i64>(1)?.unsigned_abs()),
        wall: Wall(row.get(2)?),
    })
}

fn chain(tip: &[u8; 32], seq: u64, now: Now, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(tip);
    hash.update(seq.to_be_bytes());
    hash.update(now.mono.0.to_be_bytes());
    hash.update(now.wall.0.to_be_bytes());
    hash.update(body);
    hash.finalize().into()
}

fn write_journal(mut connection: Connection, mut tip: Tip, inbox: &std_mpsc::Receiver<Batch>) {
    while let Ok(batch) = inbox.recv() {
        let result = append(&mut connection, tip, &batch.entries);
        if let Ok(new_tip) = result {
            tip = new_tip;
        }
        let _ = batch.done.send(result);
    }
}

fn append(connection: &mut Connection, tip: Tip, entries: &[Entry]) -> Result<Tip, StoreError> {
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(StoreError::Append)?;
    let mut tip = tip;
    {
        let mut insert = transaction
            .prepare_cached(
                "INSERT INTO journal (seq, mono_ms, wall_ms, body, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .map_err(StoreError::Append)?;
        for entry in entries {
            let body = serde_json::to_string(&entry.record).map_err(StoreError::Encode)?;
            tip = Tip {
                seq: entry.seq,
                hash: chain(&tip.hash, entry.seq, entry.now, body.as_bytes()),
            };
            insert
                .execute(params![
                    i64::try_from(entry.seq).unwrap_or(i64::MAX),
                    i64::try_from(entry.now.mono.0).unwrap_or(i64::MAX),
                    entry.now.wall.0,
                    body,
                    &tip.hash[..]
                ])
                .map_err(StoreError::Append)?;
        }
    }
    transaction.commit().map_err(StoreError::Append)?;
    Ok(tip)
}

/// The append side of the history.
#[derive(Debug)]
pub struct History {
    batches: std_mpsc::SyncSender<Vec<HistoryRow>>,
    failing: std::sync::Arc<std::sync::Mutex<Option<String>>>,
}

/// Opens the history and starts its thread.
///
/// # Errors
/// [`StoreError`].
pub fn open_history(dir: &Path) -> Result<History, StoreError> {
    let path = dir.join("history.db");
    let schema =
        "CREATE TABLE IF NOT EXISTS point (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
         CREATE TABLE IF NOT EXISTS sample (point INTEGER NOT NULL, at INTEGER NOT NULL, value REAL,
           PRIMARY KEY (point, at)) STRICT, WITHOUT ROWID";
    let connection = match open(&path, "NORMAL", schema) {
        Err(StoreError::Open { source, .. }) if is_damage(&source) => {
            move_aside(&path)?;
            open(&path, "NORMAL", schema)?
        }
        other => other?,
    };
    let (batches, inbox) = std_mpsc::sync_channel::<Vec<HistoryRow>>(MAX_HISTORY_BATCHES);
    let failing = std::sync::Arc::new(std::sync::Mutex::new(None));
    let shared = std::sync::Arc::clone(&failing);
    std::thread::Builder::new()
        .name("history".to_owned())
        .spawn(move || {
            let mut connection = connection;
            let mut ids = HashMap::new();
            let mut batches: u32 = 0;
            while let Ok(rows) = inbox.recv() {
                let problem = write_history(&mut connection, &mut ids, &rows)
                    .err()
                    .map(|error| error.to_string());
                if problem.is_some() {
                    ids.clear();
                }
                if batches.is_multiple_of(PRUNE_EVERY)
                    && let Some(newest) = rows.last()
                    && let Err(error) = prune(&connection, newest.at)
                {
                    tracing::warn!(%error, "old history could not be deleted");
                }
                batches = batches.wrapping_add(1);
                *shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = problem;
            }
        })
        .expect("a thread can be started while the program starts");
    Ok(History { batches, failing })
}

impl History {
    /// Hands rows over; false when they were dropped because the thread is behind.
    #[must_use]
    pub fn append(&self, rows: Vec<HistoryRow>) -> bool {
        self.batches.try_send(rows).is_ok()
    }

    /// Why the last batch could not be written, if it could not.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.failing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

fn write_history(
    connection: &mut Connection,
    ids: &mut HashMap<String, i64>,
    rows: &[HistoryRow],
) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO sample (point, at, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?;
        for row in rows {
            let id = match ids.get(&row.point) {
                Some(id) => *id,
                None => {
                    transaction.execute(
                        "INSERT INTO point (name) VALUES (?1) ON CONFLICT DO NOTHING",
                        params![row.point],
                    )?;
                    let id = transaction.query_row(
                        "SELECT id FROM point WHERE name = ?1",
                        params![row.point],
                        |r| r.get(0),
                    )?;
                    ids.insert(row.point.clone(), id);
                    id
                }
            };
            insert.execute(params![id, row.at.0, row.value])?;
        }
    }
    transaction.commit()
}

/// Deletes what is too old, by each point's own key.
fn prune(connection: &Connection, newest: Wall) -> Result<usize, rusqlite::Error> {
    connection.execute(
        "DELETE FROM sample WHERE (point, at) IN
           (SELECT sample.point, sample.at FROM point JOIN sample ON sample.point = point.id AND sample.at < ?1)",
        params![newest.0.saturating_sub(HISTORY_KEPT_MS)],
    )
}

/// A question to the store.
#[derive(Debug)]
pub enum Query {
    /// Rows `[t_ms, min, avg, max, count]` of a point.
    History {
        /// Point id.
        point: String,
        /// Inclusive.
        from_ms: i64,
        /// Exclusive.
        to_ms: i64,
        /// Most rows.
        buckets: u32,
    },
    /// What a limit would have done with other values.
    LimitPreview(Box<Preview>),
    /// Records after a sequence number.
    Records {
        /// Exclusive.
        after: u64,
        /// Most rows.
        limit: u32,
    },
    /// The document of an incident.
    Incident(Box<Story>),
    /// The document of a rehearsal or drill.
    Exercise(Box<Exercised>),
    /// What today's plan would have done in a recorded outage.
    Replay(Box<Replay>),
    /// Rows of the entry log, or the proof of one.
    Log(Box<crate::link::LogQuestion>),
}

/// An outage, and what is tried on it.
#[derive(Debug)]
pub struct Replay {
    /// Where it is in the journal.
    pub place: room::outage::replay::Place,
    /// Today's plan.
    pub stage: room::outage::replay::Stage,
    /// As if mains had not come back.
    pub without_return: bool,
}

/// What the document of an incident is made from, besides the journal.
#[derive(Debug)]
pub struct Story {
    /// Which incident.
    pub incident: u32,
    /// The record that opened it.
    pub opened_seq: u64,
    /// The last record that may be in it; `None` for the last one there is.
    pub upto: Option<u64>,
    /// Name of the room.
    pub site: room::site::Label,
    /// A simulated room.
    pub simulated: bool,
    /// What things are called.
    pub names: Names,
}

/// A question about a limit.
#[derive(Debug)]
pub struct Preview {
    /// The limit as it is and as it would be.
    pub proposal: room::engine::Proposal,
    /// How far back.
    pub days: u32,
    /// The end.
    pub now: Wall,
}

/// A query and where its JSON goes.
type Asked = (Query, oneshot::Sender<Result<Vec<u8>, StoreError>>);

/// The reading side, with connections of its own.
#[derive(Debug, Clone)]
pub struct Reader {
    queries: std_mpsc::SyncSender<Asked>,
    dir: PathBuf,
    /// Reports that may be made at once; each takes seconds of a processor.
    reports: std::sync::Arc<tokio::sync::Semaphore>,
}

/// Starts the reading thread on files that exist already.
#[must_use]
pub fn open_reader(dir: &Path) -> Reader {
    let (queries, inbox) = std_mpsc::sync_channel::<Asked>(MAX_QUERIES);
    let (dir, reader_dir) = (dir.to_owned(), dir.to_owned());
    std::thread::Builder::new()
        .name("store-reader".to_owned())
        .spawn(move || {
            while let Ok((query, answer)) = inbox.recv() {
                let _ = answer.send(read(&dir, &query));
            }
        })
        .expect("a thread can be started while the program starts");
    Reader {
        queries,
        dir: reader_dir,
        reports: std::sync::Arc::new(tokio::sync::Semaphore::new(1)),
    }
}

impl Reader {
    /// How much of a month was watched, as JSON; made in a thread of its own, one at a time.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Gone`] while another report is made.
    pub async fn coverage(&self, month: Month) -> Result<Vec<u8>, StoreError> {
        let place = std::sync::Arc::clone(&self.reports)
            .try_acquire_owned()
            .map_err(|_| StoreError::Gone)?;
        let dir = self.dir.clone();
        let report = tokio::task::spawn_blocking(move || {
            let report = coverage::coverage(&dir, &month);
            drop(place);
            report
        });
        let report = report.await.map_err(|_| StoreError::Gone)??;
        serde_json::to_vec(&report).map_err(StoreError::Encode)
    }

    /// Asks; the answer is JSON.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ask(&self, query: Query) -> Result<Vec<u8>, StoreError> {
        let (answer, receiver) = oneshot::channel();
        self.queries
            .try_send((query, answer))
            .map_err(|_| StoreError::Gone)?;
        receiver.await.map_err(|_| StoreError::Gone)?
    }
}

fn read(dir: &Path, query: &Query) -> Result<Vec<u8>, StoreError> {
    let open = |name: &str| {
        let path = dir.join(name);
        Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .and_then(|connection| connection.busy_timeout(BUSY).map(|()| connection))
        .map_err(|source| StoreError::Open { path, source })
    };
    match query {
        Query::History {
            point,
            from_ms,
            to_ms,
            buckets,
        } => {
            let rows =
                history(&open("history.db")?, point, *from_ms, *to_ms, *buckets).map_err(StoreError::Read)?;
            serde_json::to_vec(&serde_json::json!({ "rows": rows })).map_err(StoreError::Encode)
        }
        Query::Incident(story) => {
            let document = incident::document(&open("journal.db")?, story).map_err(StoreError::Read)?;
            serde_json::to_vec(&document).map_err(StoreError::Encode)
        }
        Query::Exercise(of) => {
            let document = rehearsal::document(&open("journal.db")?, of).map_err(StoreError::Read)?;
            serde_json::to_vec(&document).map_err(StoreError::Encode)
        }
        Query::Log(question) => super::log::read::answer(dir, question),
        Query::Replay(wanted) => {
            let report = rehearsal::replay(&open("journal.db")?, wanted).map_err(StoreError::Read)?;
            serde_json::to_vec(&report).map_err(StoreError::Encode)
        }
        Query::LimitPreview(preview) => {
            let Preview { proposal, days, now } = &**preview;
            let from = now
                .0
                .saturating_sub(i64::from(*days).saturating_mul(24 * 3_600_000));
            let rows = values(&open("history.db")?, &proposal.present.point, from, now.0)
                .map_err(StoreError::Read)?;
            let preview = room::limits::compare(proposal, *days, &rows, *now);
            serde_json::to_vec(&preview).map_err(StoreError::Encode)
        }
        Query::Records { after, limit } => {
            let entries = records(&open("journal.db")?, *after, *limit).map_err(StoreError::Read)?;
            entries_json(&entries).map_err(StoreError::Encode)
        }
    }
}

type Bucket = (i64, f64, f64, f64, i64);

fn history(
    connection: &Connection,
    point: &str,
    from_ms: i64,
    to_ms: i64,
    buckets: u32,
) -> Result<Vec<Bucket>, rusqlite::Error> {
    let buckets = i64::from(buckets.clamp(1, MAX_ROWS));
    let width = (to_ms.saturating_sub(from_ms).max(1) + buckets - 1) / buckets;
    let mut statement = connection.prepare_cached(
        "SELECT ?2 + ((at - ?2) / ?4) * ?4 AS slot, MIN(value), AVG(value), MAX(value), COUNT(value)
         FROM sample JOIN point ON point.id = sample.point
         WHERE point.name = ?1 AND at >= ?2 AND at < ?3 AND value IS NOT NULL
         GROUP BY slot ORDER BY slot",
    )?;
    let rows = statement.query_map(params![point, from_ms, to_ms, width], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    })?;
    rows.collect()
}

/// The values of a point as they were kept, the newest [`room::limits::MAX_PREVIEW_ROWS`] of them, in
/// order of time.
fn values(
    connection: &Connection,
    point: &str,
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<room::limits::Row>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT at, value FROM sample JOIN point ON point.id = sample.point
         WHERE point.name = ?1 AND at >= ?2 AND at < ?3 ORDER BY at DESC LIMIT ?4",
    )?;
    let most = i64::try_from(room::limits::MAX_PREVIEW_ROWS).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![point, from_ms, to_ms, most], |row| {
        Ok((Wall(row.get(0)?), row.get(1)?))
    })?;
    let mut rows: Vec<room::limits::Row> = rows.collect::<Result<_, _>>()?;
    rows.reverse();
    Ok(rows)
}

fn records(connection: &Connection, after: u64, limit: u32) -> Result<Vec<Entry>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, mono_ms, wall_ms, body FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![after, limit.min(MAX_ROWS)], |row| {
        Ok((
            row.get::<_, i64>(0)?.unsigned_abs(),
            times(row)?,
            String::from_utf8_lossy(row.get_ref(3)?.as_bytes().unwrap_or_default()).into_owned(),
        ))
    })?;
    let mut entries = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let (seq, now, body) = row?;
        bytes += body.len();
        if bytes > MAX_RECORDS_BYTES {
            break;
        }
        // What does not decode was reported when the journal was opened.
        if let Ok(record) = serde_json::from_str(&body) {
            entries.push(Entry { seq, now, record });
        }
    }
    Ok(entries)
}

/// Records as the API shows them: `{"seq", "wall_ms", "kind", ...}`.
///
/// # Errors
/// When a record does not encode.
pub fn entries_json(entries: &[Entry]) -> Result<Vec<u8>, serde_json::Error> {
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut row = serde_json::to_value(&entry.record)?;
        if let Some(object) = row.as_object_mut() {
            object.insert("seq".to_owned(), entry.seq.into());
            object.insert("wall_ms".to_owned(), entry.now.wall.0.into());
        }
        rows.push(row);
    }
    serde_json::to_vec(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::event::Part;
    use room::record::Record;

    fn entry(seq: u64) -> Entry {
        let record = Record::Trouble {
            part: Part::Web,
            problem: Some(format!("no. {seq}")),
        };
        Entry {
            seq,
            now: Now {
                mono: Mono(seq * 10),
                wall: Wall(1_700_000_000_000),
            },
            record,
        }
    }

    /// Opens it with everything that it hands over.
    fn open_journal(dir: &Path) -> Result<(Opened, Vec<Entry>), StoreError> {
        let mut entries = Vec::new();
        let opened = super::open_journal(dir, |entry| entries.push(entry))?;
        Ok((opened, entries))
    }

    fn fill(dir: &Path, count: u64) {
        let (opened, _) = open_journal(dir).unwrap();
        let from = opened.last_seq + 1;
        let entries = (from..from + count).map(entry).collect();
        opened.journal.append(entries).blocking_recv().unwrap().unwrap();
        drop(opened);
        // The thread closes the file after the journal is dropped, and closing writes to it; a
        // test that damages the file must come later.
        let wal = dir.join("journal.db-wal");
        for look in 0..100_000_u32 {
            if !wal.exists() {
                return;
            }
            assert!(look < 99_999, "the journal's thread did not close its file");
            std::thread::yield_now();
        }
    }

    fn alter(dir: &Path, sql: &str) {
        let connection = Connection::open(dir.join("journal.db")).unwrap();
        assert_eq!(connection.execute(sql, []).unwrap(), 1);
    }

    #[test]
    fn what_was_appended_is_read_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 3);
        fill(dir.path(), 2);
        let (opened, entries) = open_journal(dir.path()).unwrap();
        assert_eq!((opened.broken, opened.last_seq), (None, 5));
        assert_eq!(entries, (1..=5).map(entry).collect::<Vec<_>>());
    }

    #[test]
    fn an_edit_a_deletion_and_a_moved_time_break_the_chain_at_their_place() {
        for sql in [
            "UPDATE journal SET body = replace(body, 'no. 3', 'no. 9') WHERE seq = 3",
            "UPDATE journal SET wall_ms = wall_ms + 1 WHERE seq = 3",
            "DELETE FROM journal WHERE seq = 3",
        ] {
            let dir = tempfile::tempdir().unwrap();
            fill(dir.path(), 5);
            alter(dir.path(), sql);
            let (opened, entries) = open_journal(dir.path()).unwrap();
            let broken = opened.broken.expect(sql);
            assert!(
                broken.contains("record 3") || broken.contains("record 4"),
                "{sql}: {broken}"
            );
            assert!(entries.len() >= 4, "what can be read is still served");
        }
    }

    #[test]
    fn a_last_record_that_does_not_decode_is_said_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 3);
        alter(dir.path(), "UPDATE journal SET body = '{}' WHERE seq = 3");
        let (opened, entries) = open_journal(dir.path()).unwrap();
        assert_eq!((opened.last_seq, entries.len()), (3, 2));
        assert!(opened.broken.unwrap().contains("record 3"));
        opened
            .journal
            .append(vec![entry(4)])
            .blocking_recv()
            .unwrap()
            .unwrap();
    }

    #[test]
    fn a_record_that_is_no_text_any_more_is_said_and_the_rest_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 5);
        alter(
            dir.path(),
            "UPDATE journal SET body = CAST(x'ff80fe' AS TEXT) WHERE seq = 5",
        );
        let (opened, entries) = open_journal(dir.path()).unwrap();
        assert!(opened.broken.unwrap().contains("record 5"));
        assert_eq!((entries.len(), opened.last_seq), (4, 5), "its place stays taken");
        opened
            .journal
            .append(vec![entry(6)])
            .blocking_recv()
            .unwrap()
            .unwrap();
    }

    #[test]
    fn a_damaged_file_is_kept_aside_and_said() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 5);
        std::fs::write(dir.path().join("journal.db"), vec![0x5a; 8192]).unwrap();
        let (opened, entries) = open_journal(dir.path()).unwrap();
        assert!(opened.broken.unwrap().contains("damaged-1"));
        assert_eq!((opened.last_seq, entries), (0, Vec::new()));
        assert!(dir.path().join("journal.db.damaged-1").exists());
        opened
            .journal
            .append(vec![entry(1)])
            .blocking_recv()
            .unwrap()
            .unwrap();
    }

    #[test]
    fn a_file_of_a_later_release_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 1);
        Connection::open(dir.path().join("journal.db"))
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        assert!(matches!(
            open_journal(dir.path()),
            Err(StoreError::Newer { found: 99, .. })
        ));
    }

    #[test]
    fn a_failed_append_leaves_the_chain_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (opened, _) = open_journal(dir.path()).unwrap();
        opened
            .journal
            .append(vec![entry(1)])
            .blocking_recv()
            .unwrap()
            .unwrap();
        // The same sequence again cannot be stored; nor can what came with it.
        opened
            .journal
            .append(vec![entry(2), entry(1)])
            .blocking_recv()
            .unwrap()
            .unwrap_err();
        opened
            .journal
            .append(vec![entry(2)])
            .blocking_recv()
            .unwrap()
            .unwrap();
        let (again, entries) = open_journal(dir.path()).unwrap();
        assert_eq!((entries.len(), again.broken), (2, None));
    }

    #[tokio::test]
    async fn history_is_answered_in_buckets_and_gaps_are_absent() {
        let dir = tempfile::tempdir().unwrap();
        fill_history(dir.path());
        let reader = open_reader(dir.path());
        let query = Query::History {
            point: "a".to_owned(),
            from_ms: 0,
            to_ms: 10_000,
            buckets: 10,
        };
        let answer: serde_json::Value = serde_json::from_slice(&reader.ask(query).await.unwrap()).unwrap();
        assert_eq!(
            answer,
            serde_json::json!({ "rows": [[0, 1.0, 1.5, 2.0, 2], [5000, 7.0, 7.0, 7.0, 1]] })
        );
    }

    #[tokio::test]
    async fn a_preview_of_a_limit_counts_what_the_history_holds_and_keeps_to_its_days() {
        use room::site::{Label, Limit, Priority, Side};
        let dir = tempfile::tempdir().unwrap();
        fill_history(dir.path());
        let reader = open_reader(dir.path());
        let present = Limit {
            id: "a.high".to_owned(),
            point: "a".to_owned(),
            side: Side::High,
            limit: 9.0,
            deadband: 0.5,
            on_delay: room::time::Millis(0),
            off_delay: room::time::Millis(0),
            priority: Priority::Warning,
            action: Label::default(),
        };
        let proposed = Limit {
            limit: 1.8,
            ..present.clone()
        };
        let ask = async |now: i64| {
            let proposal = room::engine::Proposal {
                present: present.clone(),
                proposed: proposed.clone(),
                unit: "V",
                patience: room::time::Millis(0),
            };
            let preview = Preview {
                proposal,
                days: 1,
                now: Wall(now),
            };
            let answer = reader.ask(Query::LimitPreview(Box::new(preview))).await.unwrap();
            serde_json::from_slice::<room::snapshot::LimitPreview>(&answer).unwrap()
        };
        // 1, 2, a gap, 7: it is raised at 2 and stands over the gap.
        let preview = ask(6_000).await;
        assert_eq!((preview.rows, preview.from_ms), (4, Some(0)));
        assert_eq!((preview.proposed.count, preview.present.count), (1, 0));
        assert!(preview.proposed.stands);
        assert_eq!(preview.proposed.last[0].raised_ms, 500);
        let preview = ask(10 * 24 * 3_600_000).await;
        assert_eq!(
            (preview.rows, preview.proposed.count),
            (0, 0),
            "nothing of the last day"
        );
    }

    /// The writing thread ends with its sender; a second opening waits for its lock.
    fn fill_history(dir: &Path) {
        let path = dir.join("history.db");
        let history = open_history(dir).unwrap();
        let row = |at, value| HistoryRow {
            point: "a".to_owned(),
            at: Wall(at),
            value,
        };
        assert!(history.append(vec![
            row(0, Some(1.0)),
            row(500, Some(2.0)),
            row(2_000, None),
            row(5_100, Some(7.0))
        ]));
        drop(history);
        let connection = Connection::open(path).unwrap();
        let count = || {
            connection
                .query_row("SELECT COUNT(*) FROM sample", [], |row| row.get::<_, i64>(0))
                .unwrap()
        };
        #[expect(clippy::disallowed_methods, reason = "the bound of a wait for a plain thread")]
        let now = std::time::Instant::now;
        let end = now() + Duration::from_secs(10);
        while count() < 4 {
            assert!(now() < end, "the history thread did not write");
            std::thread::yield_now();
        }
    }
}

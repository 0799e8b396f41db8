//! `log.db`: leaves, stored hashes, the table that is searched, and what must be known to go on.
//!
//! ```text
//! journal.db --read--> Writer --> openings.db (synced) --> leaf, hash, row, state: one transaction (synced)
//!                                                     --> checkpoint: log.signed (synced), then its row
//! ```
//! Every leaf of a batch, its hashes, its rows and the state of the [`Writer`] that made them are in one
//! transaction: after a crash the log stands between two batches and the journal has the rest. An
//! opening is on disk before its leaf; one whose leaf never came is overwritten by the next leaf
//! of that place.
// Long because the order in which things become durable is told in one place.

use super::LogError;
use super::keys::{Keys, Signed};
use crate::core::vault::Vault;
use room::log::note::Checkpoint;
use room::log::of::Portals;
use room::log::record::Record as LogRecord;
use room::log::seal::{self, SALT};
use room::log::tree::{self, Frontier, Hash};
use room::log::writer::{Planned, Previous, Writer};
use room::record::{Entry, Record};
use room::time::{Millis, Mono, Now, Wall};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, params};
use std::path::Path;
use std::time::Duration;

/// Records of one batch.
pub const BATCH: usize = 1_000;
/// A checkpoint is signed so long after the first leaf that has none.
pub const SIGN_EVERY: Millis = Millis(60_000);
/// Checkpoints older than this are kept one an hour.
const ALL_KEPT_MS: i64 = 48 * 3_600_000;
const HOUR_MS: i64 = 3_600_000;
/// Longest wait for a lock that another process (a backup) holds.
const BUSY: Duration = Duration::from_millis(500);
/// Schema of `log.db`.
const VERSION: i32 = 1;
const SCHEMA: &str = "
  CREATE TABLE IF NOT EXISTS leaf (year INTEGER NOT NULL, n INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (year, n)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS hash (year INTEGER NOT NULL, at INTEGER NOT NULL, hash BLOB NOT NULL,
    PRIMARY KEY (year, at)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS row (year INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL,
    class TEXT NOT NULL, kind TEXT NOT NULL, portal TEXT, person TEXT, flag TEXT, PRIMARY KEY (year, n)) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS row_at ON row (at);
  CREATE INDEX IF NOT EXISTS row_class ON row (class, at);
  CREATE INDEX IF NOT EXISTS row_kind ON row (kind, at);
  CREATE INDEX IF NOT EXISTS row_portal ON row (portal, at) WHERE portal IS NOT NULL;
  CREATE INDEX IF NOT EXISTS row_portal_class ON row (portal, class, at) WHERE portal IS NOT NULL;
  CREATE INDEX IF NOT EXISTS row_person ON row (person, at) WHERE person IS NOT NULL;
  CREATE INDEX IF NOT EXISTS row_flag ON row (flag, at) WHERE flag IS NOT NULL;
  CREATE TABLE IF NOT EXISTS checkpoint (year INTEGER NOT NULL, size INTEGER NOT NULL, at INTEGER NOT NULL,
    kept INTEGER NOT NULL, note TEXT NOT NULL, PRIMARY KEY (year, size)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID";

/// The log, open for appending.
pub struct Book {
    connection: Connection,
    journal: Connection,
    vault: Vault,
    keys: Keys,
    signed: Signed,
    writer: Writer,
    frontier: Frontier,
    portals: Portals,
    /// Leaves of the present log that the last checkpoint covers.
    signed_size: u64,
    /// Since when there are leaves without one.
    unsigned_since: Option<Mono>,
}

/// What is left to do after a batch is on disk.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct After {
    /// The log has this key from here on: its size, the verifier key.
    rotated: Option<(u64, String)>,
    /// Openings of these leaves are to be erased: year, from, to, fields.
    erase: Option<(i64, u64, u64, Vec<String>)>,
}

impl After {
    const fn is_empty(&self) -> bool {
        self.rotated.is_none() && self.erase.is_none()
    }
}

/// A checkpoint that was just signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// Fiscal year of its log.
    pub year: i64,
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: Hash,
    /// The note.
    pub note: String,
}

impl Book {
    /// Opens the log of a data folder, and finishes what a crash left half done.
    ///
    /// A log that is not there begins with the record behind `begins_after` of the journal.
    ///
    /// # Errors
    /// [`LogError`]; [`LogError::RolledBack`] when it is not the log whose checkpoint was signed last.
    pub fn open(dir: &Path, slug: &str, portals: Portals, begins_after: u64) -> Result<Self, LogError> {
        let connection = open(&dir.join("log.db"))?;
        let journal = Connection::open_with_flags(
            dir.join("journal.db"),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .and_then(|journal| journal.busy_timeout(BUSY).map(|()| journal))
        .map_err(LogError::Journal)?;
        let vault = Vault::open(dir, "openings")?;
        let stored = state(&connection, "writer")?;
        let signed = Signed::open(dir)?;
        let is_new = stored.is_none();
        if is_new && signed.text().is_some() {
            return Err(LogError::RolledBack("log.db is empty or new".to_owned()));
        }
        let writer: Writer = match stored {
            Some(stored) => serde_json::from_str(&stored).map_err(LogError::State)?,
            None => Writer::new(slug.to_owned(), begins_after),
        };
        let keys = Keys::open(dir, &writer.key_name(), is_new)?;
        let frontier = match writer.log() {
            Some((year, size)) => Frontier::read(size, stored_hash(&connection, year))?,
            None => Frontier::default(),
        };
        let mut book = Self {
            connection,
            journal,
            vault,
            keys,
            signed,
            writer,
            frontier,
            portals,
            signed_size: 0,
            unsigned_since: None,
        };
        book.agree_with_signed()?;
        if let Some(after) = state(&book.connection, "after")? {
            let after = serde_json::from_str(&after).map_err(LogError::State)?;
            book.finish(&after)?;
        }
        book.agree_with_key()?;
        if book.frontier.size() > book.signed_size {
            book.unsigned_since = Some(Mono(0));
        }
        Ok(book)
    }

    /// The log must be one that the last signed checkpoint is a beginning of.
    fn agree_with_signed(&mut self) -> Result<(), LogError> {
        let Some(note) = self.signed.note()? else {
            let has_signed = self
                .connection
                .query_row("SELECT EXISTS (SELECT 1 FROM checkpoint)", [], |row| row.get(0))
                .map_err(LogError::Read)?;
            return if has_signed {
                Err(LogError::RolledBack("log.signed is missing".to_owned()))
            } else {
                Ok(())
            };
        };
        let checkpoint = note.checkpoint().clone();
        let year = checkpoint
            .origin
            .rsplit_once('/')
            .and_then(|(_, year)| year.parse::<i64>().ok())
            .unwrap_or(i64::MAX);
        let (present, size) = self.writer.log().unwrap_or((i64::MIN, 0));
        let differs = |what: &str| {
            Err(LogError::RolledBack(format!(
                "{what}; {} leaves of {} are signed",
                checkpoint.size, checkpoint.origin
            )))
        };
        if checkpoint.origin != self.writer.origin_of(year) || year > present {
            return differs("it is another log");
        }
        if year == present && checkpoint.size > size {
            return differs(&format!("it has only {size} leaves"));
        }
        let root = tree::root_at(checkpoint.size, stored_hash(&self.connection, year));
        if root.ok() != Some(checkpoint.root) {
            return differs("its tree is another one");
        }
        if year == present {
            self.signed_size = checkpoint.size;
        }
        // The file is written first; a crash may have left the row out.
        if let Some(text) = self.signed.text() {
            let at = last_time(&self.connection, year, checkpoint.size)?;
            keep(&self.connection, year, checkpoint.size, at, text)?;
        }
        Ok(())
    }

    /// The key file must be the key that the log names.
    fn agree_with_key(&mut self) -> Result<(), LogError> {
        match state(&self.connection, "key")? {
            Some(key) if key != self.keys.verifier() => Err(LogError::OtherKey { named: key }),
            _ => Ok(()),
        }
    }

    /// The present log, its leaves, and how many of them are signed.
    #[must_use]
    pub fn place(&self) -> (Option<String>, u64, u64) {
        (self.writer.origin(), self.frontier.size(), self.signed_size)
    }

    /// The verifier key, and the one that is to follow.
    #[must_use]
    pub fn keys(&self) -> (String, String) {
        (self.keys.verifier(), self.keys.next_verifier())
    }

    /// The last record of the journal that is in the log.
    #[must_use]
    pub const fn projected(&self) -> u64 {
        self.writer.projected()
    }

    /// The last signed note.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.signed.text()
    }

    /// When something is due without a new record.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let sign = self.unsigned_since.map(|since| since.after(SIGN_EVERY));
        sign.into_iter().chain(self.writer.heartbeat_due()).min()
    }

    /// Appends what the journal has and the log has not, then what is due. Returns the checkpoints that
    /// were signed.
    ///
    /// # Errors
    /// [`LogError`]; what is on disk stays, and the next call goes on from there.
    pub fn work(&mut self, now: Now) -> Result<Vec<Fresh>, LogError> {
        let mut fresh = Vec::new();
        self.look_at_journal(now)?;
        while self.batch(now, &mut fresh)? {}
        if self.writer.heartbeat_due().is_some_and(|at| at <= now.mono) {
            let mut writer = self.writer.clone();
            let leaves = if writer.is_year_due(now) {
                self.close_year(now, &mut fresh)?;
                let mut leaves = self.begin(&mut writer, now);
                leaves.extend(writer.heartbeat(now, salt));
                leaves
            } else {
                writer.heartbeat(now, salt)
            };
            self.commit(writer, &leaves, &After::default(), now)?;
        }
        if self
            .unsigned_since
            .is_some_and(|since| now.mono.since(since) >= SIGN_EVERY)
        {
            fresh.extend(self.sign(now)?);
        }
        Ok(fresh)
    }

    /// Signs what is on disk now.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn sign(&mut self, now: Now) -> Result<Option<Fresh>, LogError> {
        let size = self.frontier.size();
        if size <= self.signed_size {
            return Ok(None);
        }
        let key = self.keys.current.clone();
        let signed = self.sign_with(size, std::slice::from_ref(&key), now)?;
        Ok(Some(signed))
    }

    fn sign_with(
        &mut self,
        size: u64,
        keys: &[ed25519_dalek::SigningKey],
        now: Now,
    ) -> Result<Fresh, LogError> {
        let (year, _) = self.writer.log().ok_or(LogError::Empty)?;
        // From the disk, not from memory: what is signed is what is there.
        let root = tree::root_at(size, stored_hash(&self.connection, year))?;
        let checkpoint = Checkpoint {
            origin: self.writer.origin_of(year),
            size,
            root,
        };
        let keys: Vec<&ed25519_dalek::SigningKey> = keys.iter().collect();
        let note = checkpoint.signed(&self.writer.key_name(), &keys);
        self.signed.swap(&note)?;
        self.signed_size = size;
        if size == self.frontier.size() {
            self.unsigned_since = None;
        }
        keep(&self.connection, year, size, now.wall.0, &note)?;
        thin_out(&self.connection, year, now.wall.0)?;
        Ok(Fresh {
            year,
            size,
            root,
            note,
        })
    }

    /// The journal must be the one that the log was made from; another one is counted on.
    fn look_at_journal(&mut self, now: Now) -> Result<(), LogError> {
        let projected = self.writer.projected();
        if projected == 0 {
            return Ok(());
        }
        let Some(known) = state(&self.connection, "journal_hash")? else {
            return Ok(());
        };
        let found = self.journal_hash(projected)?;
        if found.as_deref() == Some(known.as_str()) {
            return Ok(());
        }
        let mut writer = self.writer.clone();
        let leaves = writer.new_journal(now, salt);
        self.commit(writer, &leaves, &After::default(), now)
    }

    fn journal_hash(&self, seq: u64) -> Result<Option<String>, LogError> {
        self.journal
            .prepare_cached("SELECT hash FROM journal WHERE seq = ?1")
            .and_then(|mut select| {
                select
                    .query_row([signed(seq)], |row| row.get::<_, Vec<u8>>(0))
                    .optional()
            })
            .map(|hash| hash.map(|hash| room::log::writer::hex(&hash)))
            .map_err(LogError::Journal)
    }

    /// Appends the next records; false when there are none.
    fn batch(&mut self, now: Now, fresh: &mut Vec<Fresh>) -> Result<bool, LogError> {
        let entries = self.records()?;
        if entries.is_empty() {
            return Ok(false);
        }
        let mut writer = self.writer.clone();
        let mut leaves = Vec::new();
        let mut after = After::default();
        let mut copied = false;
        for (seq, at, entry) in entries {
            copied |= entry.as_ref().is_some_and(|entry| {
                let Record::Log { record } = &entry.record else {
                    return false;
                };
                matches!(record, LogRecord::Exported { .. })
            });
            if let Some(entry) = &entry {
                writer.look(entry);
            }
            if writer.is_year_due(at) && entry.as_ref().is_none_or(|entry| self.has_leaf(entry)) {
                if writer.log().is_some() && !leaves.is_empty() {
                    // What belongs to the old year is closed first; the rest comes with the next batch.
                    break;
                }
                if writer.log().is_some() {
                    self.close_year(now, fresh)?;
                }
                leaves.extend(self.begin(&mut writer, at));
            }
            match &entry {
                None => leaves.extend(writer.unreadable(at, seq, salt)),
                Some(entry) => {
                    let erased = self.order_of(entry, &mut after)?;
                    leaves.extend(writer.project(entry, &self.portals, erased, salt));
                }
            }
            if let Some(entry) = &entry
                && let Record::Log {
                    record: LogRecord::KeyChanged { key, .. },
                } = &entry.record
            {
                let size = writer.log().map_or(0, |(_, size)| size);
                after.rotated = Some((size, key.clone()));
            }
            if !after.is_empty() {
                break;
            }
        }
        self.commit(writer, &leaves, &after, now)?;
        if !after.is_empty() {
            fresh.extend(self.finish_at(&after, now)?);
        }
        if copied {
            // Whoever takes a copy gets all that happened until now, and that he took it.
            fresh.extend(self.sign(now)?);
        }
        Ok(true)
    }

    fn has_leaf(&self, entry: &Entry) -> bool {
        !room::log::of::of(entry, &self.portals).is_empty()
    }

    /// An order to erase: how many openings it finds.
    fn order_of(&self, entry: &Entry, after: &mut After) -> Result<Option<u64>, LogError> {
        let Record::Log {
            record:
                LogRecord::Erased {
                    year,
                    from,
                    to,
                    fields,
                    ..
                },
        } = &entry.record
        else {
            return Ok(None);
        };
        let found = self.openings(*year, *from, *to, fields)?;
        after.erase = Some((*year, *from, *to, fields.clone()));
        Ok(Some(found.len() as u64))
    }

    fn openings(&self, year: i64, from: u64, to: u64, fields: &[String]) -> Result<Vec<String>, LogError> {
        let keys = self.vault.keys(&place(year, from), &place(year, to))?;
        let is_meant = |key: &String| {
            fields.is_empty()
                || key
                    .rsplit_once('/')
                    .is_some_and(|(_, field)| fields.iter().any(|wanted| wanted == field))
        };
        Ok(keys.into_iter().filter(is_meant).collect())
    }

    /// Up to a batch of records behind the last one; one that does not decode comes without its content.
    fn records(&self) -> Result<Vec<(u64, Now, Option<Entry>)>, LogError> {
        let mut select = self
            .journal
            .prepare_cached(
                "SELECT seq, mono_ms, wall_ms, body FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )
            .map_err(LogError::Journal)?;
        let most = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let rows = select
            .query_map(params![signed(self.writer.projected()), most], |row| {
                let seq = row.get::<_, i64>(0)?.unsigned_abs();
                let now = Now {
                    mono: Mono(row.get::<_, i64>(1)?.unsigned_abs()),
                    wall: Wall(row.get(2)?),
                };
                let body = row.get_ref(3)?.as_bytes().unwrap_or_default();
                let record = serde_json::from_slice(body).ok();
                Ok((seq, now, record.map(|record| Entry { seq, now, record })))
            })
            .map_err(LogError::Journal)?;
        rows.collect::<Result<_, _>>().map_err(LogError::Journal)
    }

    /// The last checkpoint of a year that is over.
    fn close_year(&mut self, now: Now, fresh: &mut Vec<Fresh>) -> Result<(), LogError> {
        fresh.extend(self.sign(now)?);
        Ok(())
    }

    fn begin(&self, writer: &mut Writer, now: Now) -> Vec<Planned> {
        let previous = writer.origin().map(|origin| Previous {
            origin,
            size: self.frontier.size(),
            root: self.frontier.root(),
        });
        writer.begin(now, &self.keys.verifier(), previous.as_ref(), salt)
    }

    /// Makes leaves durable, and takes the writer that made them.
    fn commit(
        &mut self,
        writer: Writer,
        leaves: &[Planned],
        after: &After,
        now: Now,
    ) -> Result<(), LogError> {
        let openings: Vec<(String, Vec<u8>)> = leaves
            .iter()
            .flat_map(|leaf| {
                leaf.openings.iter().map(|(field, salt, value)| {
                    (
                        format!("{}{field}", place(leaf.year, leaf.n)),
                        seal::opening(salt, value),
                    )
                })
            })
            .collect();
        if !openings.is_empty() {
            let openings = openings
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_slice()));
            self.vault.put_all(openings)?;
        }
        let is_another = leaves
            .first()
            .is_some_and(|leaf| self.writer.log().is_none_or(|(year, _)| year != leaf.year));
        let mut frontier = if is_another {
            Frontier::default()
        } else {
            self.frontier.clone()
        };
        let hash = self.journal_hash(writer.projected())?;
        let transaction = self.connection.transaction().map_err(LogError::Append)?;
        append(&transaction, leaves, &mut frontier).map_err(LogError::Append)?;
        let writer_text = serde_json::to_string(&writer).map_err(LogError::State)?;
        put_state(&transaction, "writer", &writer_text)?;
        put_state(&transaction, "journal_hash", &hash.unwrap_or_default())?;
        if is_another {
            put_state(&transaction, "key", &self.keys.verifier())?;
        }
        if let Some((_, key)) = &after.rotated {
            put_state(&transaction, "key", key)?;
        }
        if !after.is_empty() {
            let after = serde_json::to_string(after).map_err(LogError::State)?;
            put_state(&transaction, "after", &after)?;
        }
        transaction.commit().map_err(LogError::Append)?;
        if is_another {
            self.signed_size = 0;
        }
        self.writer = writer;
        self.frontier = frontier;
        if !leaves.is_empty() {
            self.unsigned_since.get_or_insert(now.mono);
        }
        Ok(())
    }

    fn finish(&mut self, after: &After) -> Result<(), LogError> {
        let at = Now {
            mono: Mono(0),
            wall: Wall(match self.writer.log() {
                Some((year, size)) => last_time(&self.connection, year, size)?,
                None => 0,
            }),
        };
        self.finish_at(after, at).map(drop)
    }

    /// What a batch asked for beyond its leaves; may be repeated.
    fn finish_at(&mut self, after: &After, now: Now) -> Result<Option<Fresh>, LogError> {
        let mut fresh = None;
        if let Some((size, key)) = &after.rotated {
            if *key == self.keys.next_verifier() {
                if self.signed_size < *size {
                    let keys = [self.keys.current.clone(), self.keys.next.clone()];
                    fresh = Some(self.sign_with(*size, &keys, now)?);
                }
                self.keys.rotate()?;
            } else if *key == self.keys.verifier() {
                fresh = self.sign(now)?;
            } else {
                return Err(LogError::OtherKey { named: key.clone() });
            }
        }
        if let Some((year, from, to, fields)) = &after.erase {
            let keys = self.openings(*year, *from, *to, fields)?;
            self.vault.erase_all(keys.iter().map(String::as_str))?;
            if fields.is_empty() || fields.iter().any(|field| field == "person" || field == "card") {
                self.connection
                    .execute(
                        "UPDATE row SET person = NULL WHERE year = ?1 AND n >= ?2 AND n < ?3",
                        params![year, signed(*from), signed(*to)],
                    )
                    .map_err(LogError::Append)?;
            }
        }
        self.connection
            .execute("DELETE FROM state WHERE name = 'after'", [])
            .map_err(LogError::Append)?;
        Ok(fresh)
    }
}

/// Where the openings of a leaf stand in the vault; in the order of leaves.
pub(super) fn place(year: i64, n: u64) -> String {
    format!("{year:05}/{n:016}/")
}

fn salt() -> [u8; SALT] {
    rand::random()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn open(path: &Path) -> Result<Connection, LogError> {
    let wrap = |source| LogError::Open(path.to_owned(), source);
    let connection = Connection::open(path).map_err(wrap)?;
    connection.busy_timeout(BUSY).map_err(wrap)?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        .map_err(wrap)?;
    let found: i32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(wrap)?;
    if found > VERSION {
        return Err(LogError::Newer(path.to_owned()));
    }
    if found < VERSION {
        connection.execute_batch(SCHEMA).map_err(wrap)?;
        connection
            .pragma_update(None, "user_version", VERSION)
            .map_err(wrap)?;
    }
    Ok(connection)
}

fn append(
    transaction: &Transaction<'_>,
    leaves: &[Planned],
    frontier: &mut Frontier,
) -> Result<(), rusqlite::Error> {
    let mut leaf_in = transaction.prepare_cached("INSERT INTO leaf (year, n, body) VALUES (?1, ?2, ?3)")?;
    let mut hash_in = transaction.prepare_cached("INSERT INTO hash (year, at, hash) VALUES (?1, ?2, ?3)")?;
    let mut row_in = transaction.prepare_cached(
        "INSERT INTO row (year, n, at, class, kind, portal, person, flag) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for leaf in leaves {
        let n = signed(leaf.n);
        leaf_in.execute(params![leaf.year, n, leaf.leaf])?;
        let at = tree::stored_count(leaf.n);
        for (more, hash) in frontier.append(tree::leaf_hash(&leaf.leaf)).iter().enumerate() {
            hash_in.execute(params![leaf.year, signed(at + more as u64), &hash[..]])?;
        }
        let by = &leaf.found_by;
        row_in.execute(params![
            leaf.year,
            n,
            leaf.at_ms,
            class_of(&leaf.kind),
            leaf.kind,
            by.portal,
            by.person,
            by.flag
        ])?;
    }
    Ok(())
}

/// The first word of a kind: `door` of `door.forced`.
pub(super) fn class_of(kind: &str) -> &str {
    kind.split_once('.').map_or(kind, |(class, _)| class)
}

/// Reads stored hashes of a year's tree.
pub(super) fn stored_hash(connection: &Connection, year: i64) -> impl FnMut(u64) -> Result<Hash, LogError> {
    move |at| {
        connection
            .prepare_cached("SELECT hash FROM hash WHERE year = ?1 AND at = ?2")
            .and_then(|mut select| select.query_row(params![year, signed(at)], |row| row.get::<_, Hash>(0)))
            .map_err(LogError::Read)
    }
}

fn state(connection: &Connection, name: &str) -> Result<Option<String>, LogError> {
    connection
        .prepare_cached("SELECT value FROM state WHERE name = ?1")
        .and_then(|mut select| select.query_row([name], |row| row.get(0)).optional())
        .map_err(LogError::Read)
}

fn put_state(connection: &Connection, name: &str, value: &str) -> Result<(), LogError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO state (name, value) VALUES (?1, ?2)")
        .and_then(|mut insert| insert.execute([name, value]))
        .map(drop)
        .map_err(LogError::Append)
}

/// When the last of the first `size` leaves was logged.
fn last_time(connection: &Connection, year: i64, size: u64) -> Result<i64, LogError> {
    connection
        .query_row(
            "SELECT at FROM row WHERE year = ?1 AND n = ?2",
            params![year, signed(size.saturating_sub(1))],
            |row| row.get(0),
        )
        .optional()
        .map(Option::unwrap_or_default)
        .map_err(LogError::Read)
}

/// Keeps a note; one with two signatures is kept for good.
fn keep(connection: &Connection, year: i64, size: u64, at: i64, note: &str) -> Result<(), LogError> {
    let signatures = note.matches("\n\u{2014} ").count();
    connection
        .execute(
            "INSERT OR IGNORE INTO checkpoint (year, size, at, kept, note) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![year, signed(size), at, i64::from(signatures > 1), note],
        )
        .map(drop)
        .map_err(LogError::Append)
}

/// Of checkpoints that are older than two days the last one of every hour is kept.
fn thin_out(connection: &Connection, year: i64, now_ms: i64) -> Result<(), LogError> {
    // A day at a time: those that have just become old, and what a day without a signature left.
    let end = (now_ms - ALL_KEPT_MS).div_euclid(HOUR_MS) * HOUR_MS;
    connection
        .execute(
            "DELETE FROM checkpoint WHERE year = ?1 AND at >= ?2 AND at < ?3 AND kept = 0 AND size NOT IN
               (SELECT MAX(size) FROM checkpoint WHERE year = ?1 AND at >= ?2 AND at < ?3 GROUP BY at / ?4)",
            params![year, end - 25 * HOUR_MS, end, HOUR_MS],
        )
        .map(drop)
        .map_err(LogError::Append)
}

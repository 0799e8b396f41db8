//! The document of an incident, read out of the journal: the piece that belongs to it, its chain
//! checked on the way, and nothing kept in memory but what the document shows.

use super::{StoreError, Story, chain, times};
use room::event::Refused;
use room::incident::Evidence;
use room::incident::document::{Document, LEAD_MS, MAX_LEAD, MAX_RECORDS, Maker, Proof};
use room::record::Entry;
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

/// The document; `None` when the journal does not open this incident where it is said to.
pub(super) fn document(connection: &Connection, story: &Story) -> Result<Option<Document>, rusqlite::Error> {
    let first_seq = first(connection, story.opened_seq)?;
    let newest: i64 =
        connection.query_row("SELECT COALESCE(MAX(seq), 0) FROM journal", [], |row| row.get(0))?;
    let wanted = story.upto.unwrap_or(u64::MAX).min(newest.unsigned_abs());
    let last_seq = wanted.min(first_seq.saturating_add(MAX_RECORDS - 1));
    let mut maker = Maker::new(&story.names, story.site.clone(), story.simulated, story.incident);
    let mut proof = piece(connection, first_seq, last_seq, |entry| maker.read(&entry))?;
    proof.left_out = wanted - last_seq;
    Ok(maker.end(proof))
}

/// Reads a piece of the journal, its chain checked on the way.
pub(super) fn piece(
    connection: &Connection,
    first_seq: u64,
    last_seq: u64,
    mut read: impl FnMut(Entry),
) -> Result<Proof, rusqlite::Error> {
    let before = hash_at(connection, first_seq.saturating_sub(1))?;
    let mut proof = Proof {
        first_seq,
        last_seq,
        before: hex(&before),
        last: hex(&before),
        intact: true,
        unreadable: 0,
        left_out: 0,
    };
    let mut statement = connection.prepare_cached(
        "SELECT seq, mono_ms, wall_ms, body, hash FROM journal WHERE seq >= ?1 AND seq <= ?2 ORDER BY seq",
    )?;
    let mut rows = statement.query(params![signed(first_seq), signed(last_seq)])?;
    let (mut tip, mut next) = (before, first_seq);
    while let Some(row) = rows.next()? {
        let seq = row.get::<_, i64>(0)?.unsigned_abs();
        let now = times(row)?;
        let body = row.get_ref(3)?.as_bytes().unwrap_or_default();
        let stored = row.get_ref(4)?.as_bytes().unwrap_or_default();
        let hash = chain(&tip, seq, now, body);
        proof.intact &= seq == next && hash[..] == *stored;
        tip = stored.try_into().unwrap_or(hash);
        next = seq + 1;
        match serde_json::from_slice(body) {
            Ok(record) => read(Entry { seq, now, record }),
            Err(_) => proof.unreadable += 1,
        }
    }
    proof.last = hex(&tip);
    Ok(proof)
}

/// The first record of the story: what happened shortly before the incident was opened led to it.
fn first(connection: &Connection, opened_seq: u64) -> Result<u64, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, mono_ms, wall_ms FROM journal WHERE seq <= ?1 ORDER BY seq DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![signed(opened_seq), signed(MAX_LEAD + 1)])?;
    let (mut first, mut opened) = (opened_seq, None);
    while let Some(row) = rows.next()? {
        let now = times(row)?;
        let opened = opened.get_or_insert(now.wall.0);
        if *opened - now.wall.0 > LEAD_MS {
            break;
        }
        first = row.get::<_, i64>(0)?.unsigned_abs();
    }
    Ok(first)
}

/// Hash of the chain at a record; zeros before the first one.
fn hash_at(connection: &Connection, seq: u64) -> Result<[u8; 32], rusqlite::Error> {
    let hash: Option<Vec<u8>> = connection
        .query_row("SELECT hash FROM journal WHERE seq = ?1", [signed(seq)], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(hash.and_then(|hash| hash.try_into().ok()).unwrap_or([0; 32]))
}

/// What a document rests on, and its own hash.
///
/// # Errors
/// When there is none.
pub fn evidence(document: &[u8]) -> Result<Evidence, Refused> {
    let missing = || {
        let error = StoreError::Gone;
        Refused::Unavailable(format!("the document of the incident cannot be made: {error}"))
    };
    let made: Option<Document> = serde_json::from_slice(document).map_err(|_| missing())?;
    let proof = made.ok_or_else(missing)?.proof;
    Ok(Evidence {
        first_seq: proof.first_seq,
        last_seq: proof.last_seq,
        before: proof.before,
        last: proof.last,
        document: hex(&Sha256::digest(document)),
    })
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

//! Reading the log: searching its rows, proving one, copying it out. Connections of its own, read only;
//! nothing here knows a key.

use super::LogError;
use super::book::{class_of, place, stored_hash};
use crate::core::store::StoreError;
use crate::core::vault::Vault;
use crate::link::LogQuestion;
use room::log::note::Note;
use room::log::{proof, seal, tree};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use utoipa::ToSchema;

/// Most rows of one answer.
pub const MAX_ROWS: u32 = 1_000;

/// What is searched for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// From this moment on, milliseconds since 1970 UTC.
    pub from_ms: Option<i64>,
    /// Before this one.
    pub to_ms: Option<i64>,
    /// Kind, or its beginning up to a point: `door`, `door.forced`.
    pub kind: Option<String>,
    /// Name of a portal.
    pub portal: Option<String>,
    /// What a reviewer looks for: `denied`, `forced`, `held`, `tamper`.
    pub flag: Option<String>,
    /// Id of a person.
    pub person: Option<String>,
    /// Rows, newest first; at most [`MAX_ROWS`].
    pub limit: u32,
}

/// A row of the log. Personal particulars are not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Row {
    /// Fiscal year of its log.
    pub year: i64,
    /// Its place there.
    pub n: u64,
    /// When it was logged, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// What happened.
    pub kind: String,
    /// Name of the portal.
    pub portal: Option<String>,
    /// What a reviewer looks for.
    pub flag: Option<String>,
    /// The leaf as it stands in the tree.
    pub leaf: String,
}

/// The proof of a row, and its leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proven {
    /// C2SP tlog-proof.
    pub proof: String,
    /// The leaf, byte for byte.
    pub leaf: String,
}

/// Opens `log.db` for reading.
///
/// # Errors
/// [`LogError::Open`].
pub fn open(dir: &Path) -> Result<Connection, LogError> {
    let path = dir.join("log.db");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(&path, flags)
        .and_then(|connection| {
            connection.busy_timeout(std::time::Duration::from_millis(500))?;
            Ok(connection)
        })
        .map_err(|source| LogError::Open(path, source))
}

/// The rows that fit, newest first.
///
/// # Errors
/// [`LogError::Read`].
pub fn search(connection: &Connection, search: &Search) -> Result<Vec<Row>, LogError> {
    // The rows are chosen first; only theirs of the leaves are read.
    let mut sql = "SELECT found.year, found.n, found.at, found.kind, found.portal, found.flag, leaf.body FROM
         (SELECT * FROM row WHERE 1"
        .to_owned();
    let mut values: Vec<Sql> = Vec::new();
    let mut and = |clause: &str, value: Sql| {
        values.push(value);
        sql.push_str(&clause.replace('?', &format!("?{}", values.len())));
    };
    if let Some(person) = &search.person {
        and(" AND row.person = ?", person.clone().into());
    }
    if let Some(portal) = &search.portal {
        and(" AND row.portal = ?", portal.clone().into());
    }
    if let Some(flag) = &search.flag {
        and(" AND row.flag = ?", flag.clone().into());
    }
    if let Some(kind) = &search.kind {
        // `door` finds `door.forced`, and not `doorbell`.
        let column = if class_of(kind) == kind { "class" } else { "kind" };
        and(&format!(" AND row.{column} = ?"), kind.clone().into());
        if column == "kind" && search.portal.is_some() {
            // A door and a class have an index together.
            and(" AND row.class = ?", class_of(kind).to_owned().into());
        }
    }
    if let Some(from) = search.from_ms {
        and(" AND row.at >= ?", from.into());
    }
    if let Some(to) = search.to_ms {
        and(" AND row.at < ?", to.into());
    }
    let most = search.limit.clamp(1, MAX_ROWS);
    and(
        " ORDER BY row.at DESC, row.year DESC, row.n DESC LIMIT ?) AS found
         JOIN leaf ON leaf.year = found.year AND leaf.n = found.n ORDER BY found.at DESC, found.year DESC, found.n DESC",
        i64::from(most).into(),
    );
    let mut select = connection.prepare_cached(&sql).map_err(LogError::Read)?;
    let rows = select
        .query_map(rusqlite::params_from_iter(values), |row| {
            Ok(Row {
                year: row.get(0)?,
                n: row.get::<_, i64>(1)?.unsigned_abs(),
                at_ms: row.get(2)?,
                kind: row.get(3)?,
                portal: row.get(4)?,
                flag: row.get(5)?,
                leaf: String::from_utf8_lossy(row.get_ref(6)?.as_bytes().unwrap_or_default()).into_owned(),
            })
        })
        .map_err(LogError::Read)?;
    rows.collect::<Result<_, _>>().map_err(LogError::Read)
}

/// The newest year that has a log.
///
/// # Errors
/// [`LogError::Empty`] when there is none.
pub fn newest_year(connection: &Connection) -> Result<i64, LogError> {
    connection
        .query_row("SELECT MAX(year) FROM leaf", [], |row| {
            row.get::<_, Option<i64>>(0)
        })
        .map_err(LogError::Read)?
        .ok_or(LogError::Empty)
}

/// Leaves of a year's log.
///
/// # Errors
/// [`LogError::Read`].
pub fn size(connection: &Connection, year: i64) -> Result<u64, LogError> {
    connection
        .query_row(
            "SELECT n + 1 FROM leaf WHERE year = ?1 ORDER BY n DESC LIMIT 1",
            [year],
            |row| row.get::<_, i64>(0),
        )
        .optional()
        .map(|size| size.unwrap_or(0).unsigned_abs())
        .map_err(LogError::Read)
}

/// The last note of a year's log.
///
/// # Errors
/// [`LogError::Read`].
pub fn last_note(connection: &Connection, year: i64) -> Result<Option<String>, LogError> {
    connection
        .prepare_cached("SELECT note FROM checkpoint WHERE year = ?1 ORDER BY size DESC LIMIT 1")
        .and_then(|mut select| select.query_row([year], |row| row.get(0)).optional())
        .map_err(LogError::Read)
}

/// The proof of a leaf under the last checkpoint, and the leaf.
///
/// # Errors
/// [`LogError::NotSigned`] for a leaf that no checkpoint covers.
pub fn prove(connection: &Connection, year: i64, n: u64) -> Result<(String, Vec<u8>), LogError> {
    let note = last_note(connection, year)?.ok_or(LogError::NotSigned(n))?;
    let size = Note::parse(&note).map_or(0, |note| note.checkpoint().size);
    if n >= size {
        return Err(LogError::NotSigned(n));
    }
    let path = tree::inclusion(n, size, stored_hash(connection, year))?;
    let leaf = connection
        .prepare_cached("SELECT body FROM leaf WHERE year = ?1 AND n = ?2")
        .and_then(|mut select| {
            select.query_row(params![year, i64::try_from(n).unwrap_or(i64::MAX)], |row| {
                row.get(0)
            })
        })
        .map_err(LogError::Read)?;
    Ok((proof::text(n, &path, &note), leaf))
}

/// The answer to a question of the page, as JSON.
///
/// # Errors
/// [`StoreError`].
pub fn answer(dir: &Path, question: &LogQuestion) -> Result<Vec<u8>, StoreError> {
    let connection = open(dir)?;
    match question {
        LogQuestion::Entries(wanted) => serde_json::to_vec(&search(&connection, wanted)?),
        LogQuestion::Proof { year, n } => {
            let (proof, leaf) = prove(&connection, *year, *n)?;
            let leaf = String::from_utf8_lossy(&leaf).into_owned();
            serde_json::to_vec(&Proven { proof, leaf })
        }
        // The loop answers it from what it is told.
        LogQuestion::Status => Ok(b"null".to_vec()),
    }
    .map_err(StoreError::Encode)
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Leaves.
    pub leaves: u64,
    /// Openings.
    pub openings: u64,
}

/// Writes a year's log into a new folder, in the form that verifiers read: as it was at its last
/// checkpoint. Openings are of the leaves `from..to` only.
///
/// # Errors
/// [`LogError`]; the folder is then not complete.
pub fn export(
    dir: &Path,
    year: i64,
    into: &Path,
    openings: Option<(u64, u64)>,
) -> Result<Exported, LogError> {
    let mut connection = open(dir)?;
    // One state of the log, whatever is appended meanwhile.
    let connection = connection.transaction().map_err(LogError::Read)?;
    let note = last_note(&connection, year)?.ok_or(LogError::Empty)?;
    let size = Note::parse(&note).map_or(0, |note| note.checkpoint().size);
    let wrong = |source| LogError::File(into.to_owned(), source);
    std::fs::create_dir(into).map_err(wrong)?;
    let file = |name: &str| {
        std::fs::File::create_new(into.join(name))
            .map(std::io::BufWriter::new)
            .map_err(wrong)
    };
    let finish = |mut file: std::io::BufWriter<std::fs::File>| {
        file.flush()
            .and_then(|()| file.get_ref().sync_all())
            .map_err(wrong)
    };
    let mut out = file("checkpoint")?;
    out.write_all(note.as_bytes()).map_err(wrong)?;
    finish(out)?;

    let mut out = file("checkpoints")?;
    let mut select = connection
        .prepare("SELECT note FROM checkpoint WHERE year = ?1 ORDER BY size")
        .map_err(LogError::Read)?;
    let mut rows = select.query([year]).map_err(LogError::Read)?;
    while let Some(row) = rows.next().map_err(LogError::Read)? {
        let note: String = row.get(0).map_err(LogError::Read)?;
        writeln!(out, "{note}---").map_err(wrong)?;
    }
    finish(out)?;

    let mut out = file("leaves.jsonl")?;
    let mut seen = file("seen.jsonl")?;
    let mut leaves = 0;
    let mut select = connection
        .prepare("SELECT body FROM leaf WHERE year = ?1 AND n < ?2 ORDER BY n")
        .map_err(LogError::Read)?;
    let mut rows = select
        .query(params![year, i64::try_from(size).unwrap_or(i64::MAX)])
        .map_err(LogError::Read)?;
    while let Some(row) = rows.next().map_err(LogError::Read)? {
        let body = row
            .get_ref(0)
            .map_err(LogError::Read)?
            .as_bytes()
            .unwrap_or_default();
        out.write_all(body)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(wrong)?;
        if let Some(line) = seen_in(body) {
            writeln!(seen, "{line}").map_err(wrong)?;
        }
        leaves += 1;
    }
    finish(out)?;
    finish(seen)?;

    let mut count = 0;
    if let Some((from, to)) = openings {
        let vault = Vault::open(dir, "openings")?;
        let mut out = file("openings.jsonl")?;
        for key in vault.keys(&place(year, from), &place(year, to.min(size)))? {
            let Some(kept) = vault.get(&key)? else { continue };
            let mut parts = key.split('/').skip(1);
            let (Some(n), Some(field)) = (parts.next(), parts.next()) else {
                continue;
            };
            let (Ok(n), Some((salt, value))) = (n.parse::<u64>(), seal::opened(&kept)) else {
                continue;
            };
            let line = serde_json::json!({
                "field": field, "n": n, "salt": room::log::writer::hex(&salt), "value": value
            });
            writeln!(out, "{line}").map_err(wrong)?;
            count += 1;
        }
        finish(out)?;
    }
    Ok(Exported {
        leaves,
        openings: count,
    })
}

/// What a witness said, if the leaf is about that.
fn seen_in(leaf: &[u8]) -> Option<String> {
    // Most leaves are not; they are not read for it.
    leaf.windows(21).find(|at| *at == b"\"kind\":\"witness.saw\",")?;
    let leaf: serde_json::Value = serde_json::from_slice(leaf).ok()?;
    let data = leaf.get("data")?;
    let line = serde_json::json!({
        "at": data.get("at")?, "root": data.get("root")?, "size": data.get("size")?,
        "witness": data.get("witness")?
    });
    Some(line.to_string())
}

//! Documents of rehearsals and drills, and replays of outages, out of their pieces of the journal.

use super::Replay;
use super::incident::piece;
use room::outage::Record as Power;
use room::outage::exercise::{Document, Maker};
use room::outage::replay::{MAX_RECORDS, Report};
use room::record::Record;
use room::site::Label;
use room::time::Now;
use rusqlite::Connection;

/// What the document of a rehearsal is made from, besides the journal.
#[derive(Debug)]
pub struct Exercised {
    /// Run number.
    pub run: u64,
    /// Its first record.
    pub first_seq: u64,
    /// Its last record.
    pub last_seq: u64,
    /// Name of the room.
    pub site: Label,
    /// A simulated room.
    pub simulated: bool,
}

/// The document; `None` when the piece does not hold this run from its first record to its last.
pub(super) fn document(connection: &Connection, of: &Exercised) -> Result<Option<Document>, rusqlite::Error> {
    let mut maker = Maker::default();
    let proof = piece(connection, of.first_seq, of.last_seq, |entry| {
        if let Record::Power { record } = &entry.record {
            maker.read(entry.now, record);
        }
    })?;
    Ok(maker.end(of.run, of.site.clone(), of.simulated, proof))
}

/// The replay. Only the first records of a very long outage are read.
pub(super) fn replay(connection: &Connection, wanted: &Replay) -> Result<Report, rusqlite::Error> {
    let place = wanted.place;
    let longest = place.first_seq.saturating_add(MAX_RECORDS as u64 - 1);
    let last_seq = match place.last_seq {
        0 => longest,
        last => last.min(longest),
    };
    let mut records: Vec<(Now, Power)> = Vec::new();
    piece(connection, place.first_seq, last_seq, |entry| {
        if let Record::Power { record } = entry.record {
            records.push((entry.now, record));
        }
    })?;
    Ok(wanted.stage.play(&place, &records, wanted.without_return))
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use room::event::Part;
    use room::record::Entry;
    use room::time::{Mono, Wall};

    fn power(json: &str) -> Record {
        Record::Power {
            record: serde_json::from_str(json).unwrap(),
        }
    }

    /// Something else, a rehearsal from record 2 to 5, and again something else.
    fn journal(dir: &std::path::Path) -> Connection {
        let order = r#"{"plan_hash":"ab","run":1,"step":"web","attempt":1}"#;
        let step = r#"{"id":"web","label":{"ja":"業務","en":"web"},"after":[],"action":"ssh","budget":60000,"on_failure":"GoOn"}"#;
        let other = || Record::Trouble {
            part: Part::Web,
            problem: None,
        };
        let records = [
            other(),
            power(&format!(
                r#"{{"kind":"rehearsal_started","run":1,"plan_hash":"ab","by":"山田","plan":{{"hash":"ab","steps":[{step}]}}}}"#
            )),
            power(&format!(r#"{{"kind":"check_started","order":{order}}}"#)),
            power(&format!(
                r#"{{"kind":"check_passed","order":{order},"took_ms":1500}}"#
            )),
            power(r#"{"kind":"rehearsal_ended","run":1,"passed":["web"],"failed":[],"broken_off":null}"#),
            other(),
        ];
        let opened = super::super::open_journal(dir, |_| {}).unwrap();
        let entries = (1..).zip(records).map(|(seq, record)| Entry {
            seq,
            now: Now {
                mono: Mono(seq * 1000),
                wall: Wall(1_700_000_000_000),
            },
            record,
        });
        opened
            .journal
            .append(entries.collect())
            .blocking_recv()
            .unwrap()
            .unwrap();
        Connection::open(dir.join("journal.db")).unwrap()
    }

    fn wanted() -> Exercised {
        Exercised {
            run: 1,
            first_seq: 2,
            last_seq: 5,
            site: Label::new("部屋", "room"),
            simulated: false,
        }
    }

    #[test]
    fn the_document_of_a_rehearsal_comes_from_its_piece_of_the_journal_alone() {
        let dir = tempfile::tempdir().unwrap();
        let connection = journal(dir.path());
        let made = document(&connection, &wanted()).unwrap().unwrap();
        assert_eq!(document(&connection, &wanted()).unwrap().as_ref(), Some(&made));
        assert_eq!(
            (made.document.as_str(), made.result.by.as_str()),
            ("REH-0001", "山田")
        );
        assert!(made.result.passed && made.proof.intact);
        assert_eq!(made.result.steps[0].took_s, Some(1.5));
        assert_eq!((made.proof.first_seq, made.proof.last_seq), (2, 5));
        let half = Exercised {
            last_seq: 4,
            ..wanted()
        };
        assert_eq!(document(&connection, &half).unwrap(), None, "it has no end");
    }

    #[test]
    fn a_changed_record_breaks_the_proof() {
        let dir = tempfile::tempdir().unwrap();
        let connection = journal(dir.path());
        let sql = "UPDATE journal SET body = replace(body, '1500', '1400') WHERE seq = 4";
        assert_eq!(connection.execute(sql, []).unwrap(), 1);
        let made = document(&connection, &wanted()).unwrap().unwrap();
        assert!(!made.proof.intact);
    }
}

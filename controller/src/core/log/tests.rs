//! The log on disk: what a crash, a failing disk, a rollback and a second program find.

use super::book::Book;
use super::{LogError, read};
use crate::core::store;
use crate::core::vault::Vault;
use room::log::note::{Note, VerifierKey};
use room::log::of::Portals;
use room::log::record::Record as LogRecord;
use room::log::tree;
use room::record::{Entry, NodeEvent, Record};
use room::time::{Mono, Now, Wall};
use rusqlite::Connection;
use std::path::Path;

/// 2026-11-22 in Japan.
const DAY: i64 = 1_795_300_000_000;

fn now(s: u64) -> Now {
    Now {
        mono: Mono(s * 1_000),
        wall: Wall(DAY + i64::try_from(s).unwrap() * 1_000),
    }
}

fn started() -> Record {
    Record::Started {
        version: "1".to_owned(),
        boot_id: "boot".to_owned(),
        epoch: 1,
        before: None,
    }
}

fn card(event_seq: u32) -> Record {
    Record::NodeEvent {
        node: 1,
        boot: 1,
        event_seq,
        up_ms: 5,
        unix_ms: 0,
        point: None,
        event: NodeEvent::Credential {
            reader: 0,
            credential: shared::wire::CredentialKind::Felica,
            card: format!("c0ffee{event_seq}"),
            decision: "granted".to_owned(),
            list: 1,
        },
        mark: None,
    }
}

/// A journal and a log in one folder.
struct Place {
    dir: tempfile::TempDir,
    journal: store::Journal,
    seq: u64,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = store::open_journal(dir.path(), drop).unwrap().journal;
        let mut place = Self { dir, journal, seq: 0 };
        place.record(1, [started()]);
        place
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn record(&mut self, s: u64, records: impl IntoIterator<Item = Record>) {
        let entries = records
            .into_iter()
            .map(|record| {
                self.seq += 1;
                Entry {
                    seq: self.seq,
                    now: now(s),
                    record,
                }
            })
            .collect();
        self.journal.append(entries).blocking_recv().unwrap().unwrap();
    }

    fn cards(&mut self, s: u64, from: u32, to: u32) {
        self.record(s, (from..to).map(card));
    }

    fn book(&self) -> Result<Book, LogError> {
        Book::open(self.path(), "room", Portals::default(), 0)
    }

    fn sql(&self, sql: &str) {
        Connection::open(self.path().join("log.db"))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    /// The log as a verifier sees it: every leaf once and in its place, the root of the last note theirs.
    fn check(&self, expected_cards: u32) {
        let connection = read::open(self.path()).unwrap();
        let mut select = connection
            .prepare("SELECT body FROM leaf WHERE year = 2026 ORDER BY n")
            .unwrap();
        let leaves: Vec<Vec<u8>> = select
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let mut frontier = tree::Frontier::default();
        let mut cards = Vec::new();
        let mut roots = vec![frontier.root()];
        for (n, leaf) in leaves.iter().enumerate() {
            frontier.append(tree::leaf_hash(leaf));
            roots.push(frontier.root());
            let read: serde_json::Value = serde_json::from_slice(leaf).unwrap();
            assert_eq!(read["n"], n);
            if read["kind"] == "entry.granted" {
                cards.push(read["node"]["seq"].as_u64().unwrap());
            }
        }
        assert_eq!(cards, (1..=u64::from(expected_cards)).collect::<Vec<_>>());
        let mut select = connection
            .prepare("SELECT note FROM checkpoint ORDER BY size")
            .unwrap();
        let notes: Vec<String> = select
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for note in notes {
            let checkpoint = Note::parse(&note).unwrap().checkpoint().clone();
            assert_eq!(roots[usize::try_from(checkpoint.size).unwrap()], checkpoint.root);
        }
    }
}

#[test]
fn what_is_journaled_is_logged_once_and_signed_after_a_minute() {
    let mut place = Place::new();
    place.cards(2, 1, 11);
    let mut book = place.book().unwrap();
    assert!(book.work(now(3)).unwrap().is_empty());
    let (origin, size, signed) = book.place();
    assert_eq!((origin.as_deref(), signed), (Some("room/entry-log/2026"), 0));
    // Head, start, the node's first number, ten cards, heartbeat.
    assert_eq!(size, 14);
    assert!(book.work(now(62)).unwrap().is_empty());
    let fresh = book.work(now(63)).unwrap();
    assert_eq!((fresh.len(), fresh[0].size), (1, 14));
    let key = VerifierKey::parse(&book.keys().0).unwrap();
    assert!(key.has_signed(&Note::parse(&fresh[0].note).unwrap()));
    assert!(
        book.work(now(200)).unwrap().is_empty(),
        "nothing new, nothing signed"
    );
    drop(book);
    let mut book = place.book().unwrap();
    assert!(book.work(now(300)).unwrap().is_empty());
    assert_eq!(book.place().1, 14, "and nothing is logged twice");
    place.check(10);
}

#[test]
fn a_row_is_proven_under_the_last_checkpoint_and_an_unsigned_one_is_not() {
    let mut place = Place::new();
    place.cards(2, 1, 100);
    let mut book = place.book().unwrap();
    book.work(now(3)).unwrap();
    let fresh = book.sign(now(4)).unwrap().unwrap();
    place.cards(5, 100, 101);
    book.work(now(6)).unwrap();
    let connection = read::open(place.path()).unwrap();
    let (proof, leaf) = read::prove(&connection, 2026, 50).unwrap();
    let path: Vec<[u8; 32]> = proof
        .lines()
        .skip(2)
        .take_while(|line| !line.is_empty())
        .map(|line| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD
                .decode(line)
                .unwrap()
                .try_into()
                .unwrap()
        })
        .collect();
    let root = tree::root_of_inclusion(&tree::leaf_hash(&leaf), 50, fresh.size, &path);
    assert_eq!(root, Some(fresh.root));
    assert!(proof.ends_with(&fresh.note));
    assert!(matches!(
        read::prove(&connection, 2026, fresh.size),
        Err(LogError::NotSigned(_))
    ));
}

#[test]
fn a_log_that_was_rolled_back_or_exchanged_is_never_signed_beside_the_first() {
    let mut place = Place::new();
    place.cards(2, 1, 11);
    let mut book = place.book().unwrap();
    book.work(now(3)).unwrap();
    drop(book);
    let copy = |from: &str, to: &str| std::fs::copy(place.path().join(from), place.path().join(to)).unwrap();
    place.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    copy("log.db", "old.db");
    let mut book = place.book().unwrap();
    place_and_sign(&mut book);
    drop(book);
    place.check(10);
    // A backup from before the signature has the same leaves: it is the log.
    copy("old.db", "log.db");
    place.book().unwrap();
    place.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    for damage in [
        "DELETE FROM leaf WHERE n >= 9; DELETE FROM hash WHERE at >= 16; UPDATE state SET value =
           replace(value, '\"log\":[2026,14]', '\"log\":[2026,9]') WHERE name = 'writer'",
        "UPDATE hash SET hash = zeroblob(32) WHERE at = 14",
        "DELETE FROM state",
    ] {
        copy("log.db", "good.db");
        place.sql(damage);
        let wrong = place.book().err().expect(damage);
        assert!(matches!(wrong, LogError::RolledBack(_)), "{damage}: {wrong}");
        place.sql("PRAGMA wal_checkpoint(TRUNCATE)");
        copy("good.db", "log.db");
    }
    std::fs::remove_file(place.path().join("log.signed")).unwrap();
    assert!(matches!(place.book(), Err(LogError::RolledBack(_))));
}

fn place_and_sign(book: &mut Book) {
    assert!(book.sign(now(100)).unwrap().is_some());
}

#[test]
fn a_second_program_that_signs_is_noticed_before_we_sign() {
    let mut place = Place::new();
    let mut first = place.book().unwrap();
    first.work(now(3)).unwrap();
    first.sign(now(4)).unwrap().unwrap();
    let other = std::fs::read_to_string(place.path().join("log.signed")).unwrap();
    std::fs::write(place.path().join("log.signed"), other.replacen('3', "4", 1)).unwrap();
    place.cards(5, 1, 2);
    first.work(now(6)).unwrap();
    assert!(matches!(first.sign(now(7)), Err(LogError::Signed(_))));
    assert_eq!(first.place().1, 5, "what was logged stays logged");
}

#[test]
fn a_disk_that_fails_loses_nothing_and_nothing_is_twice() {
    let mut place = Place::new();
    place.cards(2, 1, 6);
    let mut book = place.book().unwrap();
    book.work(now(3)).unwrap();
    // The disk refuses rows of leaves, after it has taken the openings.
    place.sql("CREATE TRIGGER no_room BEFORE INSERT ON row BEGIN SELECT RAISE(FAIL, 'disk full'); END");
    place.cards(4, 6, 9);
    assert!(matches!(book.work(now(5)), Err(LogError::Append(_))));
    drop(book);
    let mut book = place.book().unwrap();
    place.cards(6, 9, 11);
    assert!(matches!(book.work(now(7)), Err(LogError::Append(_))));
    place.sql("DROP TRIGGER no_room");
    book.work(now(8)).unwrap();
    place.check(10);
    let vault = Vault::open(place.path(), "openings").unwrap();
    assert_eq!(vault.count().unwrap(), 10, "one opening a card");
}

#[test]
fn another_key_signs_from_the_leaf_on_that_both_have_signed() {
    let mut place = Place::new();
    let mut book = place.book().unwrap();
    book.work(now(3)).unwrap();
    let (old, next) = book.keys();
    let change = LogRecord::KeyChanged {
        key: next.clone(),
        by: "山田".to_owned(),
        reason: "年次".to_owned(),
    };
    place.record(4, [Record::Log { record: change }]);
    place.cards(4, 1, 3);
    let fresh = book.work(now(5)).unwrap();
    assert_eq!(fresh.len(), 1);
    let [old, new] = [&old, &next].map(|key| VerifierKey::parse(key).unwrap());
    let both = Note::parse(&fresh[0].note).unwrap();
    assert!(old.has_signed(&both) && new.has_signed(&both));
    assert_eq!(book.keys().0, next);
    let later = Note::parse(&book.sign(now(6)).unwrap().unwrap().note).unwrap();
    assert!(new.has_signed(&later) && !old.has_signed(&later));
    drop(book);
    let book = place.book().unwrap();
    assert_eq!(book.keys().0, next);
    assert_ne!(book.keys().1, next, "another one is ready to follow");
    drop(book);
    place.check(2);
    std::fs::remove_file(place.path().join("log.key")).unwrap();
    assert!(
        matches!(place.book(), Err(LogError::NoKey(_))),
        "never a new key beside an old log"
    );
}

#[test]
fn openings_are_erased_by_an_order_that_is_a_leaf_and_the_tree_stays() {
    let mut place = Place::new();
    place.cards(2, 1, 11);
    let mut book = place.book().unwrap();
    book.work(now(3)).unwrap();
    let before = book.sign(now(4)).unwrap().unwrap();
    let erase = LogRecord::Erased {
        year: 2026,
        from: 0,
        to: 8,
        fields: vec!["card".to_owned()],
        reason: "保存期間の満了".to_owned(),
        by: "山田".to_owned(),
    };
    place.record(5, [Record::Log { record: erase }]);
    book.work(now(6)).unwrap();
    book.sign(now(7)).unwrap().unwrap();
    let vault = Vault::open(place.path(), "openings").unwrap();
    // Cards 1 to 5 were leaves 3 to 7; the approver's name is an opening, too.
    assert_eq!(vault.count().unwrap(), 10 - 5 + 1);
    let connection = read::open(place.path()).unwrap();
    let rows = read::search(
        &connection,
        &read::Search {
            kind: Some("retention".to_owned()),
            limit: 10,
            ..read::Search::default()
        },
    )
    .unwrap();
    let leaf: serde_json::Value = serde_json::from_str(&rows[0].leaf).unwrap();
    assert_eq!(
        (&leaf["data"]["count"], &leaf["data"]["to"]),
        (&5.into(), &7.into())
    );
    let root = tree::root_at(before.size, super::book::stored_hash(&connection, 2026)).unwrap();
    assert_eq!(root, before.root);
    place.check(10);
}

#[test]
fn the_log_is_searched_and_copied_out() {
    let mut place = Place::new();
    place.cards(2, 1, 6);
    place.cards(9, 6, 11);
    let mut book = place.book().unwrap();
    book.work(now(10)).unwrap();
    book.sign(now(11)).unwrap().unwrap();
    let connection = read::open(place.path()).unwrap();
    let search = |kind: &str, from: u64| {
        let search = read::Search {
            kind: Some(kind.to_owned()),
            from_ms: Some(now(from).wall.0),
            limit: 100,
            ..read::Search::default()
        };
        read::search(&connection, &search).unwrap()
    };
    assert_eq!(search("entry", 0).len(), 10);
    assert_eq!(search("entry.granted", 9).len(), 5);
    assert_eq!(search("entr", 0).len(), 0);
    assert!(search("entry", 0).iter().all(|row| !row.leaf.contains("c0ffee")));
    let into = place.path().join("export");
    let exported = read::export(place.path(), 2026, &into, Some((0, u64::MAX))).unwrap();
    assert_eq!((exported.leaves, exported.openings), (14, 10));
    let text = |name: &str| std::fs::read_to_string(into.join(name)).unwrap();
    assert_eq!(text("leaves.jsonl").lines().count(), 14);
    assert_eq!(text("openings.jsonl").lines().count(), 10);
    assert_eq!(text("checkpoints"), format!("{}---\n", text("checkpoint")));
    read::export(place.path(), 2026, &into, None).expect_err("a folder that is there is not touched");
}

/// Every place at which a power cut can leave the write-ahead log: the log opens, has nothing twice,
/// takes what is missing from the journal, and what was signed is a beginning of it.
#[test]
fn a_power_cut_at_any_frame_of_the_write_ahead_log_loses_no_entry() {
    let mut place = Place::new();
    let mut book = place.book().unwrap();
    book.work(now(3)).unwrap();
    place.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    place.cards(4, 1, 4);
    book.work(now(5)).unwrap();
    book.sign(now(6)).unwrap().unwrap();
    let signed = std::fs::metadata(place.path().join("log.db-wal")).unwrap().len();
    place.cards(7, 4, 8);
    book.work(now(8)).unwrap();
    let wal = std::fs::read(place.path().join("log.db-wal")).unwrap();
    assert!(u64::try_from(wal.len()).unwrap() > signed);
    let db = std::fs::read(place.path().join("log.db")).unwrap();
    drop(book);
    // A frame is a header of 24 bytes and a page; the file begins with one of 32. What was synced before
    // the signature left stays on disk by the disk's promise.
    const FRAME: u64 = 24 + 4_096;
    let committed = signed_frames(&wal, signed);
    for cut in (committed..=wal.len() as u64).step_by(usize::try_from(FRAME).unwrap()) {
        for inside in [0, 1, FRAME / 2] {
            let end = usize::try_from(cut + inside).unwrap().min(wal.len());
            for name in ["log.db-shm", "log.db-wal"] {
                let _ = std::fs::remove_file(place.path().join(name));
            }
            std::fs::write(place.path().join("log.db"), &db).unwrap();
            std::fs::write(place.path().join("log.db-wal"), &wal[..end]).unwrap();
            let mut book = place
                .book()
                .unwrap_or_else(|error| panic!("cut at {end}: {error}"));
            book.work(now(9)).unwrap();
            drop(book);
            place.check(7);
        }
    }
    // Without what was signed it is another log, and is refused.
    for name in ["log.db-shm", "log.db-wal"] {
        let _ = std::fs::remove_file(place.path().join(name));
    }
    std::fs::write(place.path().join("log.db"), &db).unwrap();
    assert!(matches!(place.book(), Err(LogError::RolledBack(_))));
}

/// Bytes of the write-ahead log that hold everything up to the signature: whole frames.
fn signed_frames(wal: &[u8], len: u64) -> u64 {
    const FRAME: u64 = 24 + 4_096;
    let frames = (len.min(wal.len() as u64) - 32) / FRAME;
    32 + frames * FRAME
}

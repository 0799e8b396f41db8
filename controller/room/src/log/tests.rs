//! The tree against the vectors of Certificate Transparency and against an independent one; notes
//! against the published example; leaves and the writer by what the form of the log promises.
// Long because the writer's promises are told one by one.

use super::leaf::{self, Object, Value};
use super::note::{Checkpoint, Note, VerifierKey};
use super::of::Portals;
use super::tree::{self, Frontier, Hash};
use super::writer::{Planned, Previous, Writer, hex};
use super::{proof, seal, year};
use crate::event::Part;
use crate::node::Stray;
use crate::record::{Entry, LastSign, NodeEvent, Record, SignBy};
use crate::site::Label;
use crate::time::{Mono, Now, Wall};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use sha2::Sha256;
use shared::wire::CredentialKind;
use std::convert::Infallible;

// ---- tree ----------------------------------------------------------------------------------

/// A tree with all its stored hashes.
#[derive(Default)]
struct Stored {
    frontier: Frontier,
    hashes: Vec<Hash>,
}

impl Stored {
    fn of(leaves: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut tree = Self::default();
        for leaf in leaves {
            let new = tree.frontier.append(tree::leaf_hash(&leaf));
            tree.hashes.extend(new);
            assert_eq!(tree.hashes.len() as u64, tree::stored_count(tree.frontier.size()));
        }
        tree
    }

    fn read(&self) -> impl FnMut(u64) -> Result<Hash, Infallible> {
        |at| Ok(self.hashes[usize::try_from(at).unwrap()])
    }
}

fn numbered(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|n| n.to_be_bytes().to_vec()).collect()
}

#[test]
fn the_roots_are_those_of_the_certificate_transparency_vectors() {
    let leaves: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[
            0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
        ],
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    for (size, root) in roots.iter().enumerate() {
        let tree = Stored::of(leaves[..size].iter().map(|leaf| leaf.to_vec()));
        assert_eq!(hex(&tree.frontier.root()), *root, "size {size}");
    }
}

#[test]
fn every_proof_of_every_small_tree_is_that_of_an_independent_implementation() {
    let all = numbered(130);
    let tree = Stored::of(all.clone());
    let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for (size, leaf) in all.iter().enumerate() {
        oracle.push(leaf.clone());
        let size = size as u64 + 1;
        let root = tree::root_at(size, tree.read()).unwrap();
        assert_eq!(oracle.root().as_bytes().as_slice(), root);
        for n in 0..size {
            let path = tree::inclusion(n, size, tree.read()).unwrap();
            let theirs = oracle.prove_inclusion(usize::try_from(n).unwrap());
            assert_eq!(theirs.as_bytes(), path.concat(), "leaf {n} of {size}");
            let hash = tree::leaf_hash(&all[usize::try_from(n).unwrap()]);
            assert_eq!(tree::root_of_inclusion(&hash, n, size, &path), Some(root));
        }
        for old in 1..size {
            let path = tree::consistency(old, size, tree.read()).unwrap();
            let theirs = oracle.prove_consistency(usize::try_from(size - old).unwrap());
            assert_eq!(theirs.as_bytes(), path.concat(), "{old} to {size}");
        }
    }
}

#[test]
fn a_proof_of_another_leaf_place_or_size_leads_to_no_root() {
    let all = numbered(21);
    let tree = Stored::of(all.clone());
    let root = tree.frontier.root();
    let path = tree::inclusion(9, 21, tree.read()).unwrap();
    let hash = tree::leaf_hash(&all[9]);
    assert_eq!(tree::root_of_inclusion(&hash, 9, 21, &path), Some(root));
    assert_ne!(tree::root_of_inclusion(&hash, 8, 21, &path), Some(root));
    assert_ne!(
        tree::root_of_inclusion(&tree::leaf_hash(&all[8]), 9, 21, &path),
        Some(root)
    );
    assert_eq!(tree::root_of_inclusion(&hash, 21, 21, &path), None);
    assert_eq!(tree::root_of_inclusion(&hash, 9, 21, &path[1..]), None);
    let long = [&path[..], &[root]].concat();
    assert_eq!(tree::root_of_inclusion(&hash, 9, 21, &long), None);
}

proptest! {
    /// A tree that is taken up again at any size, from its stored hashes alone, goes on as if it
    /// had never been left.
    #[test]
    fn a_tree_is_taken_up_again_anywhere(size in 1_u32..3_000, cut in 0_u32..3_000) {
        let cut = cut % size;
        let all = numbered(size);
        let mut whole = Stored::of(all.clone());
        let mut again = Frontier::read(u64::from(cut), whole.read()).unwrap();
        let mut hashes = whole.hashes.clone();
        hashes.truncate(usize::try_from(tree::stored_count(u64::from(cut))).unwrap());
        for leaf in &all[cut as usize..] {
            hashes.extend(again.append(tree::leaf_hash(leaf)));
        }
        prop_assert_eq!(&hashes, &whole.hashes);
        prop_assert_eq!(again, std::mem::take(&mut whole.frontier));
    }

    /// The bytes are those that a plain reader of JSON takes for the same value, in the order of names.
    #[test]
    fn a_leaf_is_json_that_means_what_was_written(text in "\\PC*|[\\x00-\\x7f]*", number in any::<i64>()) {
        let mut object = Object::new();
        object.insert("z", number.into());
        object.insert("a", text.as_str().into());
        object.insert("list", Value::List(vec![text.as_str().into(), Value::Object(Object::new())]));
        let bytes = leaf::bytes(&object);
        let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let short: String = text.chars().take(leaf::MAX_TEXT).collect();
        if short == text {
            prop_assert_eq!(read["a"].as_str(), Some(text.as_str()));
        }
        prop_assert_eq!(read["z"].as_i64(), Some(number.clamp(-leaf::MAX_INTEGER, leaf::MAX_INTEGER)));
        let written = serde_json::to_string(&text).unwrap();
        if short == text && !text.contains('\u{7f}') {
            let head = format!("{{\"a\":{written},\"list\":[{written},{{}}],\"z\":");
            prop_assert!(bytes.starts_with(head.as_bytes()));
        }
    }
}

// ---- notes ---------------------------------------------------------------------------------

#[test]
fn the_published_example_of_a_signed_note_is_read_and_its_key_too() {
    // golang.org/x/mod/sumdb/note, the example of the package.
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let parsed = VerifierKey::parse(key).unwrap();
    assert_eq!(parsed.to_string(), key);
    assert!(VerifierKey::parse(&key.replace("c74f20a3", "c74f20a4")).is_none());
    assert!(VerifierKey::parse("PeterNeumann+c74f20a3+ARpc").is_none());
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: "kozukata-cho/entry-log/2026".to_owned(),
        size: 7,
        root: [9; 32],
    }
}

#[test]
fn a_checkpoint_is_believed_only_with_the_signature_of_the_key_and_in_every_letter() {
    let (old, new) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let name = "kozukata-cho/entry-log";
    let note = checkpoint().signed(name, &[&old]);
    let read = Note::parse(&note).unwrap();
    assert_eq!(*read.checkpoint(), checkpoint());
    let [by_old, by_new] = [&old, &new].map(|key| VerifierKey::of_log(name, key));
    assert!(by_old.has_signed(&read));
    assert!(!by_new.has_signed(&read));
    let both = Note::parse(&checkpoint().signed(name, &[&old, &new])).unwrap();
    assert!(by_old.has_signed(&both) && by_new.has_signed(&both));
    let forged = Note::parse(&note.replacen("\n7\n", "\n8\n", 1)).unwrap();
    assert!(!by_old.has_signed(&forged));
    for broken in [
        note.replace("\n\n", "\n"),
        note.replacen("\n7\n", "\n07\n", 1),
        note.replacen("\n7\n", "\n+7\n", 1),
        note.replace('\u{2014}', "-"),
    ] {
        assert_eq!(Note::parse(&broken), None, "{broken}");
    }
}

#[test]
fn a_witness_signs_the_time_with_the_checkpoint() {
    use base64::Engine as _;
    use ed25519_dalek::Signer as _;
    use sha2::Digest as _;
    let key = SigningKey::from_bytes(&[3; 32]);
    let text = checkpoint().text();
    let signed = key.sign(format!("cosignature/v1\ntime 1679315147\n{text}").as_bytes());
    let public = key.verifying_key().to_bytes();
    let id: [u8; 32] = Sha256::digest([&b"node-1\n\x04"[..], &public].concat()).into();
    let base64 = base64::engine::general_purpose::STANDARD;
    let line = |time: u64| {
        let bytes = [&id[..4], &time.to_be_bytes(), &signed.to_bytes()].concat();
        format!("{text}\n\u{2014} node-1 {}\n", base64.encode(bytes))
    };
    let key = format!(
        "node-1+{}+{}",
        hex(&id[..4]),
        base64.encode([&[4][..], &public].concat())
    );
    let key = VerifierKey::parse(&key).unwrap();
    assert!(key.has_signed(&Note::parse(&line(1_679_315_147)).unwrap()));
    assert!(!key.has_signed(&Note::parse(&line(1_679_315_148)).unwrap()));
}

#[test]
fn a_proof_has_the_index_the_path_and_the_note() {
    let text = proof::text(3, &[[0; 32]], "note\n");
    let path = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(text, format!("c2sp.org/tlog-proof@v1\nindex 3\n{path}\n\nnote\n"));
}

// ---- years and names -----------------------------------------------------------------------

#[test]
fn a_fiscal_year_begins_on_april_1st_in_japan() {
    // 2026-04-01 00:00 JST is 2026-03-31 15:00 UTC.
    let begins = 1_774_969_200_000;
    assert_eq!(year::fiscal_year(Wall(begins - 1)), 2025);
    assert_eq!(year::fiscal_year(Wall(begins)), 2026);
    assert_eq!(year::fiscal_year(Wall(0)), 1969);
    assert_eq!(
        year::fiscal_year(Wall(1_709_132_400_000)),
        2023,
        "2024-02-29 in Japan"
    );
}

#[test]
fn an_origin_has_no_space_and_no_plus_sign_whatever_the_site_is_called() {
    let slug = |en: &str| year::slug(&Label::new("室", en));
    assert_eq!(slug("Kozukata-cho  IT + room 2"), "kozukata-cho-it-room-2");
    assert_eq!(slug("情報システム室"), "site");
    assert_eq!(slug("-"), "site");
    assert_eq!(year::origin(&slug("A"), 2026), "a/entry-log/2026");
}

// ---- writer --------------------------------------------------------------------------------

/// 2026-11-22 in Japan.
const DAY: i64 = 1_795_300_000_000;

struct Room {
    writer: Writer,
    leaves: Vec<Planned>,
    seq: u64,
    salt: u8,
    /// What the wall clock is ahead by.
    ahead: i64,
}

impl Room {
    fn new() -> Self {
        Self {
            writer: Writer::new("room".to_owned(), 0),
            leaves: Vec::new(),
            seq: 0,
            salt: 0,
            ahead: 0,
        }
    }

    fn now(&self, s: u64) -> Now {
        let ms = s * 1_000;
        Now {
            mono: Mono(ms),
            wall: Wall(DAY + self.ahead + i64::try_from(ms).unwrap()),
        }
    }

    fn record(&mut self, s: u64, record: Record) -> Vec<String> {
        self.seq += 1;
        let (now, seq) = (self.now(s), self.seq);
        let entry = Entry { seq, now, record };
        let from = self.leaves.len();
        self.writer.look(&entry);
        let salt = &mut self.salt;
        let mut draw = || {
            *salt += 1;
            [*salt; seal::SALT]
        };
        if self.writer.is_year_due(now) {
            let previous = self.writer.origin().map(|origin| Previous {
                origin,
                size: self.writer.log().unwrap().1,
                root: [7; 32],
            });
            self.leaves
                .extend(self.writer.begin(now, "key", previous.as_ref(), &mut draw));
        }
        self.leaves
            .extend(self.writer.project(&entry, &Portals::default(), None, &mut draw));
        self.leaves[from..].iter().map(|leaf| leaf.kind.clone()).collect()
    }

    fn beat(&mut self, s: u64) -> Vec<String> {
        let leaves = self.writer.heartbeat(self.now(s), || [1; seal::SALT]);
        let kinds = leaves.iter().map(|leaf| leaf.kind.clone()).collect();
        self.leaves.extend(leaves);
        kinds
    }

    fn last(&self) -> serde_json::Value {
        serde_json::from_slice(&self.leaves.last().unwrap().leaf).unwrap()
    }
}

fn started(boot: &str, before: Option<i64>) -> Record {
    Record::Started {
        version: "1".to_owned(),
        boot_id: boot.to_owned(),
        epoch: 1,
        before: before.map(|at| LastSign {
            at: Wall(at),
            ago_ms: 0,
            same_boot: false,
            by: SignBy::Record,
        }),
    }
}

fn contact(node: u16, event_seq: u32) -> Record {
    Record::NodeEvent {
        node,
        boot: 3,
        event_seq,
        up_ms: 5,
        unix_ms: 0,
        point: None,
        event: NodeEvent::Contact {
            channel: 1,
            open: true,
        },
        mark: None,
    }
}

fn card(decision: &str) -> Record {
    Record::NodeEvent {
        node: 2,
        boot: 3,
        event_seq: 1,
        up_ms: 5,
        unix_ms: u64::try_from(DAY).unwrap(),
        point: None,
        event: NodeEvent::Credential {
            reader: 0,
            credential: CredentialKind::Felica,
            card: "c0ffee".to_owned(),
            decision: decision.to_owned(),
            list: 4,
        },
        mark: None,
    }
}

#[test]
fn a_log_begins_with_its_name_and_key_and_every_leaf_says_its_place() {
    let mut room = Room::new();
    assert_eq!(
        room.record(1, started("b", None)),
        ["log.started", "system.started"]
    );
    assert_eq!(
        String::from_utf8(room.leaves[0].leaf.clone()).unwrap(),
        "{\"boot\":\"b\",\"data\":{\"key\":\"key\",\"origin\":\"room/entry-log/2026\"},\"journal\":0,\
         \"kind\":\"log.started\",\"logged_at\":1795300001000,\"n\":0,\"up_ms\":1000,\"v\":1}"
    );
    for (at, leaf) in room.leaves.iter().enumerate() {
        let read: serde_json::Value = serde_json::from_slice(&leaf.leaf).unwrap();
        assert_eq!((read["n"].as_u64(), leaf.n), (Some(at as u64), at as u64));
    }
}

#[test]
fn a_card_is_sealed_and_its_opening_fits() {
    let mut room = Room::new();
    room.record(1, started("b", None));
    assert_eq!(
        room.record(2, card("granted")),
        ["node.restarted", "entry.granted"]
    );
    let leaf = room.leaves.last().unwrap();
    assert!(!String::from_utf8(leaf.leaf.clone()).unwrap().contains("c0ffee"));
    let (field, salt, value) = &leaf.openings[0];
    assert_eq!((*field, value.as_str()), ("card", "c0ffee"));
    let sealed = hex(&seal::commitment(field, salt, value));
    assert_eq!(room.last()["sealed"]["card"], sealed);
    assert_eq!(room.last()["clock"], "set");
    assert_eq!(room.last()["observed_at"], DAY);
    assert_eq!(room.last()["node"]["seq"], 1);
    let opening = seal::opening(salt, value);
    assert_eq!(seal::opened(&opening), Some((*salt, value.as_str())));
    assert_ne!(
        seal::commitment("card", &[0; 16], value),
        seal::commitment("card", salt, value)
    );
    room.record(3, contact(2, 2));
    assert_eq!(
        room.record(4, card("expired")),
        ["node.restarted", "entry.denied"]
    );
    assert_eq!(room.leaves.last().unwrap().found_by.flag, Some("denied"));
}

#[test]
fn a_nodes_numbers_are_followed_and_where_they_begin_again_is_said() {
    let mut room = Room::new();
    room.record(1, started("b", None));
    assert_eq!(room.record(2, contact(1, 57)), ["node.restarted", "contact.open"]);
    assert_eq!(room.record(3, contact(1, 58)), ["contact.open"]);
    let missing = Record::EventsMissing {
        node: 1,
        from: 59,
        to: 61,
    };
    assert_eq!(room.record(4, missing), ["node.missing"]);
    assert_eq!(room.beat(5), ["heartbeat"]);
    assert_eq!(
        room.last()["data"]["nodes"],
        serde_json::json!([{"id": "1", "seq": 61}])
    );
    assert_eq!(room.record(6, contact(1, 62)), ["contact.open"]);
    assert_eq!(room.record(7, contact(1, 1)), ["node.restarted", "contact.open"]);
}

#[test]
fn a_stray_event_has_no_place_in_its_nodes_numbers() {
    let mut room = Room::new();
    room.record(1, started("b", None));
    let stray = Record::StrayEvent {
        node: 1,
        boot: 3,
        event_seq: 9,
        up_ms: 1,
        unix_ms: 0,
        point: None,
        event: NodeEvent::Contact {
            channel: 1,
            open: false,
        },
        why: Stray::Twin,
        mark: 1,
    };
    assert_eq!(room.record(2, stray), ["contact.closed.stray"]);
    assert!(room.last().get("node").is_none());
    assert_eq!(room.last()["data"]["seq"], 9);
    assert_eq!(room.last()["clock"], "unset");
}

#[test]
fn the_new_years_log_names_the_end_of_the_old_one_and_the_nodes_numbers_go_on() {
    let mut room = Room::new();
    room.record(1, started("b", None));
    room.record(2, contact(1, 5));
    let size = room.leaves.len();
    // 2027-04-01 00:00 JST, later on the same boot.
    let later = u64::try_from((1_806_505_200_000 - DAY) / 1_000).unwrap();
    let kinds = room.record(later, contact(1, 6));
    assert_eq!(kinds, ["log.started", "heartbeat", "contact.open"]);
    let first: serde_json::Value = serde_json::from_slice(&room.leaves[size].leaf).unwrap();
    assert_eq!(first["n"], 0);
    assert_eq!(first["data"]["previous"]["size"], size);
    assert_eq!(first["data"]["previous"]["origin"], "room/entry-log/2026");
    assert_eq!(room.leaves.last().unwrap().year, 2027);
    // A clock that is set back does not bring the old log back.
    room.ahead -= 3_600_000;
    assert_eq!(
        room.record(later + 1, contact(1, 7)),
        ["clock.stepped", "contact.open"]
    );
    assert_eq!(room.leaves.last().unwrap().year, 2027);
}

#[test]
fn a_clock_that_is_set_is_said_once_and_one_that_drifts_a_little_is_not() {
    let mut room = Room::new();
    room.record(1, started("b", None));
    room.ahead += 1_500;
    assert_eq!(room.record(2, contact(1, 1)).len(), 2);
    room.ahead += 1_500;
    assert_eq!(room.record(3, contact(1, 2)), ["clock.stepped", "contact.open"]);
    let step: serde_json::Value = serde_json::from_slice(&room.leaves[room.leaves.len() - 2].leaf).unwrap();
    assert_eq!(step["data"]["by_ms"], 3_000);
    assert_eq!(room.record(4, contact(1, 3)), ["contact.open"]);
    room.ahead -= 100_000;
    let again = room.record(1, started("another boot", Some(DAY)));
    assert_eq!(again, ["log.resumed"], "another boot, another pair of clocks");
}

#[test]
fn time_in_which_nothing_could_be_written_is_named() {
    let mut room = Room::new();
    room.record(1, started("b", None));
    room.beat(2);
    assert_eq!(room.writer.heartbeat_due(), Some(Mono(3_602_000)));
    // A record that is logged late brings the heartbeat of its hour.
    assert_eq!(
        room.record(3_602, contact(1, 1)),
        ["heartbeat", "node.restarted", "contact.open"]
    );
    let kinds = room.record(3_602 + 65 * 60, contact(1, 2));
    assert_eq!(kinds, ["log.resumed", "contact.open"]);
    assert_eq!(room.record(3_603 + 65 * 60, contact(1, 3)), ["contact.open"]);
    // A new life is the record's own word, on the same boot, too.
    let kinds = room.record(20_000, started("b", Some(DAY + 10_000_000)));
    assert_eq!(kinds, ["log.resumed"]);
    assert_eq!(room.last()["data"]["down_from"], DAY + 10_000_000);
    assert_eq!(
        room.writer.heartbeat_due(),
        Some(Mono(0)),
        "it begins with a heartbeat"
    );
}

#[test]
fn a_leaf_that_would_be_too_long_is_kept_without_its_particulars() {
    let mut room = Room::new();
    room.record(1, started("b", None));
    let record = crate::outage::Record::StopWithheld {
        hosts: vec!["長い名前".repeat(100); 400],
        because: Label::default(),
    };
    room.record(2, Record::Power { record });
    let leaf = room.leaves.last().unwrap();
    assert!(leaf.leaf.len() < leaf::MAX_LEAF);
    assert!(room.last()["data"]["omitted"].as_u64().unwrap() > 65_535);
}

#[test]
fn a_writer_that_was_stored_goes_on_as_if_it_had_not_been() {
    let mut room = Room::new();
    room.record(1, started("b", None));
    room.record(2, contact(1, 5));
    let stored = serde_json::to_string(&room.writer).unwrap();
    room.writer = serde_json::from_str(&stored).unwrap();
    assert_eq!(room.record(3, contact(1, 6)), ["contact.open"]);
    let other = Record::Trouble {
        part: Part::Web,
        problem: None,
    };
    assert_eq!(room.record(4, other), ["trouble.over"]);
    assert_eq!(room.writer.projected(), 4);
}

#[test]
fn numbers_of_a_journal_that_was_exchanged_go_on() {
    let mut room = Room::new();
    room.record(1, started("b", None));
    room.record(2, contact(1, 5));
    let now = room.now(3);
    let leaves = room.writer.new_journal(now, || [0; 16]);
    room.leaves.extend(leaves);
    assert_eq!(room.writer.projected(), 0);
    room.seq = 0;
    room.record(4, contact(1, 6));
    assert_eq!(
        (room.last()["journal"].as_u64(), room.writer.projected()),
        (Some(3), 1)
    );
}

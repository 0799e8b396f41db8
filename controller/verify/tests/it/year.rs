//! A writer of test exports, written from the page of the entry log alone: it shares no code with the
//! product's writer, and takes of the verifier only the tree, which its own tests hold against RFC 6962.
//!
//! A year is a list of entries. `build` makes an export of them as an honest writer would: places,
//! roots, counts and hashes are worked out while the leaves are written. Who changes the entries and
//! builds again does what somebody with the log's key can do.

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read};
use yagura_verify::Source;
use yagura_verify::forms::{from_rfc3339, to_hex};
use yagura_verify::tree::Frontier;

pub(crate) const SITE: &str = "kozukata-cho/entry-log";
pub(crate) const HOUR: i64 = 3_600_000;
const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// An entry before it has its place.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    pub(crate) at: i64,
    pub(crate) up: i64,
    pub(crate) boot: &'static str,
    pub(crate) node: Option<(&'static str, i64)>,
    pub(crate) data: Value,
    /// Field and value; the salt is worked out of the journal's number.
    pub(crate) sealed: Vec<(&'static str, String)>,
    pub(crate) journal: u64,
    /// What `build` fills in stays as it is in `data`.
    pub(crate) fixed: bool,
}

/// The files of an export.
#[derive(Clone, Default)]
pub(crate) struct Export(pub(crate) BTreeMap<&'static str, Vec<u8>>);

impl Source for Export {
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(self
            .0
            .get(name)
            .map(|bytes| Box::new(&bytes[..]) as Box<dyn Read + '_>))
    }
}

impl Export {
    pub(crate) fn lines(&self, name: &str) -> Vec<Vec<u8>> {
        let lines = self.0[name].split_inclusive(|byte| *byte == b'\n');
        lines.map(<[u8]>::to_vec).collect()
    }

    pub(crate) fn set_lines(&mut self, name: &'static str, lines: &[Vec<u8>]) {
        self.0.insert(name, lines.concat());
    }
}

pub(crate) fn key(name: &str) -> SigningKey {
    SigningKey::from_bytes(&Sha256::digest(name).into())
}

fn key_id(name: &str, algorithm: u8, key: &SigningKey) -> Vec<u8> {
    let material = [&[algorithm][..], key.verifying_key().as_bytes()].concat();
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update("\n")
        .chain_update(material)
        .finalize();
    hash[..4].to_vec()
}

pub(crate) fn verifier_key(name: &str, algorithm: u8, key: &SigningKey) -> String {
    let material = [&[algorithm][..], key.verifying_key().as_bytes()].concat();
    format!(
        "{name}+{}+{}",
        to_hex(&key_id(name, algorithm, key)),
        base64(&material)
    )
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let three = [group[0], *group.get(1).unwrap_or(&0), *group.get(2).unwrap_or(&0)];
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for digit in 0..4 {
            if digit <= group.len() {
                out.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// A checkpoint of this size, signed by these keys of the log.
pub(crate) fn checkpoint(size: u64, root: &[u8], keys: &[&SigningKey]) -> String {
    let text = format!("{SITE}/2026\n{size}\n{}\n", base64(root));
    let mut note = format!("{text}\n");
    for key in keys {
        let signature = key.sign(text.as_bytes()).to_bytes();
        let bytes = [&key_id(SITE, 1, key)[..], &signature].concat();
        note += &format!("— {SITE} {}\n", base64(&bytes));
    }
    note
}

/// Adds a witness's cosignature of algorithm 4.
pub(crate) fn cosign(note: &str, name: &str, key: &SigningKey, seconds: u64) -> String {
    let (text, _) = note.rsplit_once("\n\n").unwrap();
    let signature = key.sign(format!("cosignature/v1\ntime {seconds}\n{text}\n").as_bytes());
    let bytes = [
        &key_id(name, 4, key)[..],
        &seconds.to_be_bytes(),
        &signature.to_bytes(),
    ]
    .concat();
    format!("{note}— {name} {}\n", base64(&bytes))
}

/// What `build` made.
#[derive(Clone)]
pub(crate) struct Built {
    pub(crate) export: Export,
    pub(crate) leaves: Vec<Vec<u8>>,
    pub(crate) roots: BTreeMap<u64, [u8; 32]>,
}

/// The keys that a builder has.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) first: SigningKey,
    pub(crate) second: SigningKey,
    /// Signs the checkpoint of a rotation as the old key.
    pub(crate) hands_over: bool,
}

impl Default for Keys {
    fn default() -> Self {
        let (first, second) = (key("log 1"), key("log 2"));
        Self {
            first,
            second,
            hands_over: true,
        }
    }
}

/// Writes the log. `keep` names sizes whose root is wanted.
pub(crate) fn build(entries: &[Entry], keys: &Keys, keep: &[u64]) -> Built {
    let mut frontier = Frontier::default();
    let mut leaves: Vec<Vec<u8>> = Vec::new();
    let mut openings = Vec::new();
    let mut checkpoints = String::new();
    let mut newest = String::new();
    let mut roots = BTreeMap::new();
    let mut numbers: BTreeMap<&str, i64> = BTreeMap::new();
    let mut disposed: BTreeMap<u64, usize> = BTreeMap::new();
    let mut signs = &keys.first;
    for (n, entry) in entries.iter().enumerate() {
        let size = n as u64;
        let mut data = entry.data.clone();
        if let Some((id, seq)) = entry.node {
            numbers.insert(id, seq);
        }
        match entry.kind {
            "log.started" => data["key"] = verifier_key(SITE, 1, &keys.first).into(),
            "key.rotated" => data["key"] = verifier_key(SITE, 1, &keys.second).into(),
            "node.missing" => {
                let id = NODES.iter().find(|id| data["id"] == **id).unwrap();
                numbers.insert(id, data["to"].as_i64().unwrap());
            }
            "heartbeat" if !entry.fixed => {
                data["nodes"] = numbers
                    .iter()
                    .map(|(id, seq)| json!({"id": id, "seq": seq}))
                    .collect();
            }
            "witness.saw" if !entry.fixed => {
                data["size"] = size.into();
                data["root"] = to_hex(&frontier.root()).into();
            }
            "review.signed" if !entry.fixed => {
                let (from, to) = (data["from"].as_u64().unwrap(), data["to"].as_u64().unwrap());
                let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
                for entry in &entries[from as usize..=to as usize] {
                    *counts.entry(entry.kind).or_default() += 1;
                }
                let mut hash = Sha256::new();
                for at in disposed.range(from..=to).map(|(_, at)| *at) {
                    hash.update(&leaves[at]);
                    hash.update("\n");
                }
                data["counts"] = json!(counts);
                data["dispositions"] = to_hex(&hash.finalize()).into();
                data["size"] = size.into();
                data["root"] = to_hex(&frontier.root()).into();
            }
            "review.disposed" => {
                disposed.insert(data["of"].as_u64().unwrap(), n);
            }
            _ => {}
        }
        let mut leaf = json!({
            "v": 1, "n": n, "kind": entry.kind, "logged_at": entry.at, "up_ms": entry.up, "boot": entry.boot,
            "journal": entry.journal, "data": data,
        });
        if let Some((id, seq)) = entry.node {
            leaf["node"] = json!({"id": id, "boot": 3, "seq": seq, "up_ms": entry.up / 2});
            leaf["observed_at"] = (entry.at - 120).into();
            leaf["clock"] = "set".into();
        }
        for (field, value) in &entry.sealed {
            let salt = &Sha256::digest(format!("{field} {}", entry.journal))[..16];
            let hash = Sha256::new()
                .chain_update("yagura/opening/v1\n")
                .chain_update([field.len() as u8])
                .chain_update(field)
                .chain_update(salt)
                .chain_update(value);
            leaf["sealed"][field] = to_hex(&hash.finalize()).into();
            let opening = json!({"n": n, "field": field, "salt": to_hex(salt), "value": value});
            openings.push(format!("{opening}\n"));
        }
        let leaf = leaf.to_string().into_bytes();
        frontier.push(&leaf);
        leaves.push(leaf);
        let size = size + 1;
        if keep.contains(&size) {
            roots.insert(size, frontier.root());
        }
        let rotates = entry.kind == "key.rotated";
        if rotates || entry.kind == "heartbeat" || n + 1 == entries.len() {
            let both = [&keys.first, &keys.second];
            newest = match (rotates, keys.hands_over) {
                (true, true) => checkpoint(size, &frontier.root(), &both),
                (true, false) => checkpoint(size, &frontier.root(), &both[1..]),
                _ => checkpoint(size, &frontier.root(), &[signs]),
            };
            checkpoints += &newest;
            checkpoints += "---\n";
        }
        if rotates {
            signs = &keys.second;
        }
    }
    let mut export = Export::default();
    export.0.insert("checkpoint", newest.into_bytes());
    export.0.insert("checkpoints", checkpoints.into_bytes());
    export.0.insert("openings.jsonl", openings.concat().into_bytes());
    let lines: Vec<&[u8]> = leaves.iter().flat_map(|leaf| [&leaf[..], b"\n"]).collect();
    export.0.insert("leaves.jsonl", lines.concat());
    Built {
        export,
        leaves,
        roots,
    }
}

/// When the log begins: April 1st 2026 in Japan.
pub(crate) fn begins() -> i64 {
    from_rfc3339("2026-04-01T00:00:00+09:00").unwrap()
}

/// About `count` entries over so many days: three nodes, heartbeats, a restart, a rotation of the key,
/// a stepped clock, an event that never came, two reviews with dispositions, an erasure.
pub(crate) fn entries(count: usize, days: i64) -> Vec<Entry> {
    let mut clock = Clock {
        at: begins(),
        up: 40_000,
        boot: "boot-a",
        journal: 7,
    };
    let mut entries: Vec<Entry> = Vec::new();
    let mut dice = 20_260_401_u64;
    let mut roll = move |sides: u64| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    entries.push(clock.entry("log.started", json!({"origin": format!("{SITE}/2026")})));
    for (id, seq) in NODES.into_iter().zip([1, 1, 4_711]) {
        entries.push(clock.entry("node.restarted", json!({"id": id, "seq": seq})));
    }
    let mut next = [1, 1, 4_711];
    let hours = days * 24;
    let each = (count / hours as usize).saturating_sub(1).max(2);
    let mut reviewed = 0_u64;
    for hour in 0..hours {
        entries.push(clock.entry("heartbeat", json!({})));
        let ends = clock.at + HOUR;
        for _ in 0..each {
            clock.pass(HOUR / (each as i64 + 2) - 1_000 + roll(900) as i64);
            let which = roll(3) as usize;
            let (kind, sealed) = match roll(8) {
                0 => ("entry.denied", vec![("card", format!("04a2{:08x}", roll(500)))]),
                1 => ("door.opened", vec![]),
                2 => ("door.closed", vec![]),
                _ => (
                    "entry.granted",
                    vec![
                        ("card", format!("04a2{:08x}", roll(80))),
                        ("person", format!("職員{}", roll(83))),
                    ],
                ),
            };
            let mut entry = clock.entry(kind, json!({"portal": "machine-room", "list": 12}));
            entry.node = Some((NODES[which], next[which]));
            entry.sealed = sealed;
            next[which] += 1;
            entries.push(entry);
        }
        if hour % 24 == 9 {
            entries.push(clock.entry("witness.saw", json!({"witness": "node-1", "at": clock.at - 500})));
        }
        if hour == hours / 5 {
            entries.push(clock.entry(
                "node.missing",
                json!({"id": "node-2", "from": next[1], "to": next[1] + 3}),
            ));
            next[1] += 4;
        }
        if hour == hours / 4 {
            clock.at += 7_300;
            entries.push(clock.entry("clock.stepped", json!({"by_ms": 7_300})));
        }
        if hour == hours / 3 {
            let from = clock.at + 20_000;
            clock = Clock {
                at: from + 20 * 60_000,
                up: 31_000,
                boot: "boot-b",
                journal: clock.journal,
            };
            entries.push(clock.entry(
                "log.resumed",
                json!({"down_from": from, "down_to": clock.at - 9_000, "why": "停電"}),
            ));
        }
        if hour == hours * 2 / 5 {
            entries.push(clock.entry("key.rotated", json!({})));
        }
        if hour == hours / 2 || hour == hours * 9 / 10 {
            let to = entries.len() as u64 - 1;
            let denied = (reviewed..to)
                .filter(|at| entries[*at as usize].kind == "entry.denied")
                .take(9);
            for of in denied.collect::<Vec<_>>() {
                let mut entry = clock.entry("review.disposed", json!({"of": of, "disposition": "explained"}));
                entry.sealed = vec![("by", "点検者".to_owned())];
                entries.push(entry);
            }
            let mut entry = clock.entry("review.signed", json!({"from": reviewed, "to": to}));
            entry.sealed = vec![
                ("approver", "承認者".to_owned()),
                ("reviewer", "点検者".to_owned()),
            ];
            entries.push(entry);
            reviewed = to + 1;
        }
        if hour == hours * 19 / 20 {
            let data =
                json!({"from": 0, "to": 40, "fields": ["person"], "count": 12, "reason": "保存期間満了"});
            let mut entry = clock.entry("retention.erased", data);
            entry.sealed = vec![("approver", "承認者".to_owned())];
            entries.push(entry);
        }
        let rest = (ends - clock.at).max(1_000);
        clock.pass(rest.min(HOUR));
    }
    entries.push(clock.entry("heartbeat", json!({})));
    entries
}

/// The controller's clocks.
#[derive(Clone)]
pub(crate) struct Clock {
    pub(crate) at: i64,
    pub(crate) up: i64,
    pub(crate) boot: &'static str,
    pub(crate) journal: u64,
}

impl Clock {
    fn pass(&mut self, ms: i64) {
        self.at += ms;
        self.up += ms;
    }

    /// Where an entry left the clocks.
    pub(crate) fn after(entry: &Entry) -> Self {
        Self {
            at: entry.at,
            up: entry.up,
            boot: entry.boot,
            journal: entry.journal,
        }
    }

    pub(crate) fn entry(&mut self, kind: &'static str, data: Value) -> Entry {
        self.pass(1);
        self.journal += 1;
        Entry {
            kind,
            at: self.at,
            up: self.up,
            boot: self.boot,
            node: None,
            data,
            sealed: Vec::new(),
            journal: self.journal,
            fixed: false,
        }
    }
}

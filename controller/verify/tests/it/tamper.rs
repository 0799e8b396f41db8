//! What can be done to a log, and by whom: with the files in hand, with the log's key, with neither
//! witnesses nor key given. Every case is an export, a policy and a question.

use crate::year::{
    Built, Clock, Entry, Export, HOUR, Keys, SITE, build, checkpoint, cosign, entries, key, verifier_key,
};
use serde_json::json;
use yagura_verify::forms::{japan_time, to_hex};

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What is done, for the table.
    pub(crate) what: &'static str,
    pub(crate) export: Export,
    pub(crate) policy: String,
    /// RFC 3339.
    pub(crate) until: String,
    /// Notes given beside the policy.
    pub(crate) note: Option<(&'static str, String)>,
}

/// The honest year and what is needed to tamper with it.
pub(crate) struct Year {
    pub(crate) entries: Vec<Entry>,
    pub(crate) built: Built,
    pub(crate) until: String,
    /// Size that the paper of the last review holds.
    pub(crate) paper: u64,
}

pub(crate) fn year(count: usize, days: i64) -> Year {
    let entries = entries(count, days);
    let size = entries.len() as u64;
    let last_review = entries
        .iter()
        .rposition(|entry| entry.kind == "review.signed")
        .unwrap() as u64
        + 1;
    let mut built = build(&entries, &Keys::default(), &[last_review, size]);
    let note = String::from_utf8(built.export.0["checkpoint"].clone()).unwrap();
    let last = entries.last().unwrap().at;
    let cosigned = cosign(&note, "standby", &key("standby"), last as u64 / 1_000 + 30);
    built.export.0.insert("checkpoint", cosigned.into_bytes());
    let until = japan_time(last).replace(' ', "T") + "+09:00";
    Year {
        entries,
        built,
        until,
        paper: last_review,
    }
}

/// `log`, three witnesses, and what the paper and the other section hold of the honest year.
pub(crate) fn policy(year: &Year) -> String {
    let (paper, size) = (year.paper, year.entries.len() as u64);
    let root = |size: u64| to_hex(&year.built.roots[&size]);
    format!(
        "log {}\nwitness standby {}\nwitness paper\nwitness section\nseen paper {paper} {} 2026-12-28T10:00:00+09:00\n\
         seen section {size} {}\nquorum 2\n",
        verifier_key(SITE, 1, &key("log 1")),
        verifier_key("standby", 4, &key("standby")),
        root(paper),
        root(size),
    )
}

/// Every case over this year; the first is the untouched one.
pub(crate) fn cases(year: &Year) -> Vec<Case> {
    let mut cases = Cases {
        year,
        list: Vec::new(),
    };
    cases.files();
    cases.with_the_key();
    cases.given();
    cases.list
}

struct Cases<'a> {
    year: &'a Year,
    list: Vec<Case>,
}

impl Cases<'_> {
    fn add(&mut self, name: &'static str, what: &'static str, export: Export) -> &mut Case {
        self.list.push(Case {
            name,
            what,
            export,
            policy: policy(self.year),
            until: self.year.until.clone(),
            note: None,
        });
        self.list.last_mut().unwrap()
    }

    /// Changes a file of the honest export.
    fn file(
        &mut self,
        name: &'static str,
        what: &'static str,
        file: &'static str,
        change: impl FnOnce(&mut Vec<Vec<u8>>),
    ) {
        let mut export = self.year.built.export.clone();
        let mut lines = export.lines(file);
        change(&mut lines);
        export.set_lines(file, &lines);
        self.add(name, what, export);
    }

    /// Changes the entries and signs everything again with the log's keys.
    fn resigned(
        &mut self,
        name: &'static str,
        what: &'static str,
        change: impl FnOnce(&mut Vec<Entry>),
    ) -> &mut Case {
        let mut entries = self.year.entries.clone();
        change(&mut entries);
        let export = build(&entries, &Keys::default(), &[]).export;
        self.add(name, what, export)
    }

    /// The place of the first entry of a kind after the middle.
    fn place(&self, kind: &str) -> usize {
        let half = self.year.entries.len() / 2;
        half + self.year.entries[half..]
            .iter()
            .position(|entry| entry.kind == kind)
            .unwrap()
    }

    /// Somebody with the files and no key.
    fn files(&mut self) {
        let half = self.year.entries.len() / 2;
        let granted = self.place("entry.granted");
        self.add("untouched", "nothing", self.year.built.export.clone());
        self.file(
            "edit",
            "a portal is changed in one leaf",
            "leaves.jsonl",
            |lines| {
                let text = String::from_utf8(lines[granted].clone()).unwrap();
                lines[granted] = text.replace("machine-room", "machine-hall").into_bytes();
            },
        );
        self.file("delete", "a leaf is taken out", "leaves.jsonl", |lines| {
            drop(lines.remove(granted))
        });
        self.file(
            "delete-renumber",
            "a leaf is taken out, the others move up",
            "leaves.jsonl",
            |lines| {
                lines.remove(granted);
                for (n, line) in lines.iter_mut().enumerate().skip(granted) {
                    let text = String::from_utf8(line.clone()).unwrap();
                    *line = text
                        .replace(&format!("\"n\":{},", n + 1), &format!("\"n\":{n},"))
                        .into_bytes();
                }
            },
        );
        self.file("swap", "two leaves change places", "leaves.jsonl", |lines| {
            lines.swap(half, half + 1)
        });
        self.file("insert", "a leaf is put in", "leaves.jsonl", |lines| {
            lines.insert(half, lines[granted].clone())
        });
        let size = self.year.entries.len();
        self.file(
            "append",
            "a leaf that nobody signed is added",
            "leaves.jsonl",
            |lines| {
                let text = String::from_utf8(lines[size - 1].clone()).unwrap();
                let (before, after) = (format!("\"n\":{},", size - 1), format!("\"n\":{size},"));
                lines.push(text.replace(&before, &after).into_bytes());
            },
        );
        self.file(
            "cut-tail",
            "the last leaves are cut off",
            "leaves.jsonl",
            |lines| lines.truncate(size - size / 16),
        );
        self.file(
            "cut-line",
            "the file ends within a line",
            "leaves.jsonl",
            |lines| {
                let last = lines.last_mut().unwrap();
                last.truncate(40);
            },
        );
        self.file("long-line", "a line of a megabyte", "leaves.jsonl", |lines| {
            lines.insert(half, vec![b'x'; 1 << 20])
        });
        self.file("white-space", "a blank in a leaf", "leaves.jsonl", |lines| {
            let text = String::from_utf8(lines[granted].clone()).unwrap();
            lines[granted] = text.replacen(':', ": ", 1).into_bytes();
        });
        self.file(
            "forged-opening",
            "another person's name is given for a commitment",
            "openings.jsonl",
            |lines| {
                let at = lines
                    .iter()
                    .position(|line| line.windows(6).any(|part| part == "職員".as_bytes()))
                    .unwrap();
                let text = String::from_utf8(lines[at].clone()).unwrap();
                lines[at] = text.replace("職員", "臨時職員").into_bytes();
            },
        );
        self.file(
            "opening-elsewhere",
            "an opening is given for another leaf",
            "openings.jsonl",
            |lines| {
                let text = String::from_utf8(lines.last().unwrap().clone()).unwrap();
                let (head, _) = text.split_once(",\"salt\"").unwrap();
                let n: usize = head.rsplit(':').next().unwrap().parse().unwrap();
                *lines.last_mut().unwrap() = text
                    .replace(&format!("\"n\":{n},"), &format!("\"n\":{},", n + 1))
                    .into_bytes();
            },
        );
        self.file(
            "signature",
            "one bit of a kept signature is turned",
            "checkpoints",
            |lines| {
                let at = lines
                    .iter()
                    .position(|line| line.starts_with("—".as_bytes()))
                    .unwrap();
                let place = lines[at].len() - 20;
                lines[at][place] = if lines[at][place] == b'A' { b'B' } else { b'A' };
            },
        );
        self.file(
            "no-rotation",
            "the checkpoint of the key's rotation is taken out",
            "checkpoints",
            |lines| {
                let at = (1..lines.len()).find(|at| {
                    [at - 1, *at]
                        .iter()
                        .all(|at| lines[*at].starts_with("—".as_bytes()))
                });
                let at = at.unwrap();
                lines.drain(at - 5..=at + 1);
            },
        );
        for (name, what, file) in [
            ("no-leaves", "leaves.jsonl is missing", "leaves.jsonl"),
            ("no-checkpoint", "checkpoint is missing", "checkpoint"),
            ("no-checkpoints", "checkpoints is missing", "checkpoints"),
        ] {
            let mut export = self.year.built.export.clone();
            export.0.remove(file);
            self.add(name, what, export);
        }
    }

    /// Somebody who holds the log's key, or the whole machine.
    fn with_the_key(&mut self) {
        let size = self.year.entries.len();
        let (half, granted) = (size / 2, self.place("entry.granted"));
        let older = build(&self.year.entries[..size - size / 16], &Keys::default(), &[]);
        self.add(
            "roll-back",
            "an older export, true when it was made",
            older.export,
        );
        self.resigned(
            "roll-back-go-on",
            "the database is rolled back and written on",
            |entries| {
                for entry in &mut entries[size - size / 16..] {
                    entry.data["list"] = 13.into();
                }
            },
        );
        self.resigned(
            "re-sign",
            "an entry is changed, all is signed again with the log's key",
            |entries| {
                entries[granted].data["portal"] = "machine-hall".into();
            },
        );
        self.resigned(
            "remove-event",
            "an event of a node is left out, all is signed again",
            |entries| {
                entries.remove(granted);
                shift_reviews(entries, granted);
            },
        );
        self.resigned(
            "remove-renumber",
            "the same, and the node's later events are renumbered",
            |entries| {
                let (id, _) = entries.remove(granted).node.unwrap();
                for entry in &mut entries[granted..] {
                    if let Some((of, seq)) = &mut entry.node
                        && *of == id
                    {
                        *seq -= 1;
                    }
                }
                shift_reviews(entries, granted);
            },
        );
        let beat = self.place("heartbeat");
        self.resigned(
            "missing-heartbeat",
            "two heartbeats are left out, all is signed again",
            |entries| {
                entries.remove(beat);
                let next = beat
                    + entries[beat..]
                        .iter()
                        .position(|entry| entry.kind == "heartbeat")
                        .unwrap();
                entries.remove(next);
                shift_reviews(entries, beat);
                shift_reviews(entries, beat);
            },
        );
        self.resigned("heartbeat-number", "a heartbeat says another number", |entries| {
            entries[beat].fixed = true;
            entries[beat].data = json!({"nodes": [{"id": "node-1", "seq": 1}, {"id": "node-2", "seq": 1}, {"id": "node-3", "seq": 1}]});
        });
        self.resigned(
            "hidden-hours",
            "five hours at the end are left out and called a standstill",
            |entries| {
                let last = entries.pop().unwrap();
                let from = last.at - 5 * HOUR;
                entries.retain(|entry| entry.at < from);
                let mut clock = Clock::after(&last);
                clock.boot = "boot-c";
                let gap = json!({"down_from": from, "down_to": last.at, "why": "保守"});
                entries.push(clock.entry("log.resumed", gap));
                entries.push(clock.entry("heartbeat", json!({})));
            },
        );
        self.resigned(
            "restart-unsaid",
            "the machine starts again and nothing says so",
            |entries| {
                for entry in &mut entries[size - 40..] {
                    entry.boot = "boot-c";
                    entry.up -= HOUR;
                }
            },
        );
        self.resigned(
            "skewed-clock",
            "the controller's clock is set back two days for ten entries",
            |entries| {
                for entry in &mut entries[granted..granted + 10] {
                    entry.at -= 48 * HOUR;
                }
            },
        );
        self.resigned(
            "skewed-reboot",
            "the same with a start of the machine before and after",
            |entries| {
                let (first, after) = (entries[granted].clone(), entries[granted + 10].clone());
                let skewed = |at: i64| at - 48 * HOUR;
                let mut before = first.at;
                for (at, entry) in entries.iter_mut().enumerate().skip(granted) {
                    let (boot, base) = if at < granted + 10 {
                        ("boot-c", first.at)
                    } else {
                        ("boot-d", after.at)
                    };
                    (entry.boot, entry.up) = (boot, entry.at - base + 60_000);
                    if at < granted + 10 {
                        before = entry.at;
                        entry.at = skewed(entry.at);
                    }
                }
                let resumed = |journal: u64, boot: &'static str, from: i64, at: i64| {
                    let mut clock = Clock {
                        boot,
                        at,
                        up: 59_998,
                        journal: journal - 1,
                    };
                    clock.entry("log.resumed", json!({"down_from": from, "down_to": at}))
                };
                entries.insert(
                    granted + 10,
                    resumed(after.journal, "boot-d", skewed(before) + 50, after.at - 1),
                );
                entries.insert(
                    granted,
                    resumed(first.journal, "boot-c", first.at - 50, skewed(first.at) - 1),
                );
                shift_reviews(entries, granted);
                shift_reviews(entries, granted);
                for entry in entries.iter_mut().filter(|entry| entry.kind == "review.signed") {
                    let to = entry.data["to"].as_u64().unwrap();
                    if to as usize >= granted {
                        entry.data["to"] = (to + 4).into();
                    }
                }
            },
        );
        self.resigned(
            "journal-falls",
            "records of the journal come in another order",
            |entries| {
                entries[half].journal += 50;
            },
        );
        let of = self
            .year
            .entries
            .iter()
            .find(|entry| entry.kind == "review.disposed")
            .unwrap()
            .data["of"]
            .clone();
        self.resigned(
            "disposed-after-review",
            "a disposition is changed after its review",
            |entries| {
                let mut clock = Clock::after(entries.last().unwrap());
                entries.push(clock.entry("review.disposed", json!({"of": of, "disposition": "trespass"})));
            },
        );
        let honest = self.year.built.leaves.clone();
        self.resigned(
            "disposition-edited",
            "a disposition is edited under a review that stays as it was",
            |entries| {
                let at = entries
                    .iter()
                    .position(|entry| entry.kind == "review.disposed")
                    .unwrap();
                entries[at].data["disposition"] = "trespass".into();
                keep_reviews(entries, &honest);
            },
        );
        self.resigned(
            "review-counts",
            "a reviewed entry is called something else, the review stays",
            |entries| {
                let at = entries
                    .iter()
                    .position(|entry| entry.kind == "door.opened")
                    .unwrap();
                entries[at].kind = "entry.denied";
                keep_reviews(entries, &honest);
            },
        );
        self.resigned(
            "node-saw-more",
            "the database is rolled back; a node tells the checkpoint it holds",
            |entries| {
                entries.truncate(half);
                let mut clock = Clock::after(entries.last().unwrap());
                let mut saw = clock.entry(
                    "witness.saw",
                    json!({"witness": "node-1", "size": size - 9, "root": "00".repeat(32), "at": clock.at}),
                );
                saw.fixed = true;
                entries.push(saw);
            },
        );
        let strangers = Keys {
            first: key("thief 1"),
            second: key("thief 2"),
            hands_over: true,
        };
        let export = build(&self.year.entries, &strangers, &[]).export;
        self.add(
            "other-key",
            "the whole log is written again with a key of its own",
            export,
        );
        let stolen = Keys {
            hands_over: false,
            ..Keys::default()
        };
        let export = build(&self.year.entries, &stolen, &[]).export;
        self.add("rotation-alone", "the key is changed without the old one", export);
        let at = self
            .year
            .entries
            .iter()
            .position(|entry| entry.kind == "key.rotated")
            .unwrap() as u64
            + 40;
        let mut export = self.year.built.export.clone();
        let text = String::from_utf8(export.0["checkpoints"].clone()).unwrap();
        let notes = text.split_inclusive("---\n").map(|note| {
            let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
            let root = note.lines().nth(2).unwrap();
            let root = yagura_verify::forms::from_base64(root).unwrap();
            if size > at {
                checkpoint(size, &root, &[&key("log 1")]) + "---\n"
            } else {
                note.to_owned()
            }
        });
        export
            .0
            .insert("checkpoints", notes.collect::<String>().into_bytes());
        self.add(
            "old-key",
            "checkpoints after the rotation are signed by the old key",
            export,
        );
    }

    /// What is given beside the export.
    fn given(&mut self) {
        let honest = self.year.built.export.clone();
        let last = self.year.entries.last().unwrap().at;
        let case = self.add(
            "witness-absent",
            "only one of the two witnesses that are wanted",
            honest.clone(),
        );
        case.policy = case
            .policy
            .lines()
            .filter(|line| !line.starts_with("seen"))
            .map(|line| format!("{line}\n"))
            .collect();
        self.add("no-policy", "no key and no witnesses are given", honest.clone())
            .policy
            .clear();
        let case = self.add(
            "not-reaching",
            "a whole export, asked for a moment after its end",
            honest.clone(),
        );
        case.until = japan_time(last + 6 * HOUR).replace(' ', "T") + "+09:00";
        // Two receivers, two logs, both signed by the log's key.
        let mut other = self.year.entries.clone();
        let granted = self.place("entry.granted");
        other[granted].data["portal"] = "archive".into();
        let other = build(&other, &Keys::default(), &[]).export;
        let bare: String = policy(self.year)
            .lines()
            .filter(|line| !line.starts_with("seen"))
            .map(|line| format!("{line}\n"))
            .collect();
        let note = |export: &Export| {
            let text = String::from_utf8(export.0["checkpoint"].clone()).unwrap();
            text.split_inclusive('\n').take(5).collect::<String>()
        };
        let (ours, theirs) = (note(&honest), note(&other));
        let case = self.add(
            "split-view-a",
            "the log of one receiver, held against the note of another",
            honest.clone(),
        );
        (case.policy, case.note) = (bare.clone(), Some(("section", theirs)));
        let case = self.add(
            "split-view-b",
            "the log of the other, held against the note of the first",
            other,
        );
        (case.policy, case.note) = (bare.clone(), Some(("section", ours.clone())));
        let case = self.add("note-agrees", "the honest log with an honest note", honest);
        (case.policy, case.note) = (bare, Some(("section", ours)));
    }
}

/// An entry before the reviews is gone or new: their ranges are named anew, as an insider would.
fn shift_reviews(entries: &mut [Entry], at: usize) {
    let places: Vec<usize> = (0..entries.len())
        .filter(|at| entries[*at].kind == "review.signed")
        .collect();
    for place in places.into_iter().filter(|place| *place > at) {
        let to = entries[place].data["to"].as_u64().unwrap();
        if to as usize > at {
            entries[place].data["to"] = (to - 1).into();
        }
    }
}

/// The reviews stay byte for byte what was signed.
fn keep_reviews(entries: &mut [Entry], honest: &[Vec<u8>]) {
    for (at, entry) in entries
        .iter_mut()
        .enumerate()
        .filter(|(_, entry)| entry.kind == "review.signed")
    {
        let leaf: serde_json::Value = serde_json::from_slice(&honest[at]).unwrap();
        entry.data = leaf["data"].clone();
        entry.fixed = true;
    }
}

//! From a card at the emulated board to the register of entry, through the whole product: a person is
//! added at the machine, the door gets its list, the card opens, who is inside is known, and a lost
//! card is stopped.
//!
//! Skips aloud where QEMU or the firmware is missing; under CI that is a failure.

use hil_tests::bench::{Bench, CARD_KEY, HOST, Line, Output, QemuBench, ROPE_LINE, room};
use hil_tests::cards::{identity, type_a};
use hil_tests::pn532::Card;
use hil_tests::product::Yagura;
use hil_tests::sitefile::SiteFile;
use hil_tests::{LOOK_EVERY, cannot_run, free_port, yagura_bin};
use serde_json::Value;
use shared::provision::Provision;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

const NODE: u16 = 7;
const KEY: [u8; 32] = [0x51; 32];
/// Longest wait for anything that must happen.
const BOUND: Duration = Duration::from_secs(40);
/// A card that was not seen is taken away and held to the reader again.
const PATIENCE: Duration = Duration::from_secs(5);
const ATTEMPTS: usize = 6;

struct Room {
    board: QemuBench,
    yagura: Yagura,
    site: PathBuf,
    _dir: tempfile::TempDir,
}

impl Room {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = free_port();
        let me = Command::new("id").arg("-un").output().unwrap();
        let me = String::from_utf8(me.stdout).unwrap().trim().to_owned();
        let site = SiteFile::new(dir.path())
            .builtin_mqtt(broker)
            .node(NODE, KEY, "15s")
            .with("[[node.portal]]\nname = \"entrance\"\ndoor = \"door.7\"\narea = \"server-room\"\n")
            .with("[access]\ncard_key_file = \"card.key\"\nunset_clock = \"allow_and_flag\"\n")
            .with(&format!("[operators]\nusers = [\"{me}\"]\n"))
            .write();
        let yagura = Yagura::run(&site);
        let provision = room(Provision::new(NODE, 1, KEY, HOST, broker.port()));
        let mut board = QemuBench::prepare(&provision);
        board.line_voltage(ROPE_LINE, 1_000).await;
        board.line_voltage(Line::Supply, 12_000).await;
        board.power_on().await;
        Self {
            board,
            yagura,
            site,
            _dir: dir,
        }
    }

    /// Exit code and everything that the command line printed.
    fn says(&self, words: &[&str]) -> (i32, String) {
        let output = Command::new(yagura_bin())
            .args(words)
            .arg("--config")
            .arg(&self.site)
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap_or(-1), text)
    }

    fn does(&self, words: &[&str]) -> String {
        let (code, text) = self.says(words);
        assert_eq!(code, 0, "{words:?}: {text}");
        text
    }

    /// The door has its list, with so many cards.
    fn has_list(&self, cards: u16) {
        self.yagura
            .wait(&format!("a list of {cards} at the door"), BOUND, |picture| {
                let list = picture.nodes[0].list.as_ref()?;
                (list.state == "there" && list.count == cards).then_some(())
            });
    }

    fn passages(&self) -> Vec<Value> {
        let records = self.yagura.records().into_iter();
        let records = records.filter(|row| row["kind"] == "passage");
        records.map(|row| row["passage"].clone()).collect()
    }

    /// Holds the card to the reader until its decision is in the journal.
    async fn presents(&mut self, card: &Card, decision: &str) {
        let decisions = |room: &Self| {
            let records = room.yagura.records().into_iter();
            let is = |row: &Value| {
                row["event"]["event"] == "credential"
                    && row["event"]["decision"]
                        .as_str()
                        .is_some_and(|word| word.starts_with(decision))
            };
            records.filter(is).count()
        };
        let before = decisions(self);
        for _ in 0..ATTEMPTS {
            self.board.reader().card(card.clone());
            let end = Instant::now() + PATIENCE;
            while Instant::now() < end {
                if decisions(self) > before {
                    self.board.reader().card_away();
                    return;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            self.board.reader().card_away();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("the card was never decided {decision}");
    }

    /// Holds the card to the reader, and opens the door as soon as the strike lets it.
    async fn enters(&mut self, card: &Card) {
        let released = |board: &QemuBench| {
            let trace = board.trace();
            trace
                .iter()
                .filter(|one| one.output == Output::Strike && one.on)
                .count()
        };
        let before = released(&self.board);
        for _ in 0..ATTEMPTS {
            self.board.reader().card(card.clone());
            let end = Instant::now() + PATIENCE;
            while Instant::now() < end && released(&self.board) == before {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            self.board.reader().card_away();
            if released(&self.board) > before {
                self.board.contact(QemuBench::DOOR, true).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                self.board.contact(QemuBench::DOOR, false).await;
                return;
            }
        }
        panic!("the strike never let go");
    }
}

fn until<T>(what: &str, mut pick: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + BOUND;
    loop {
        if let Some(found) = pick() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

fn names_stand_nowhere(dir: &Path, name: &str) {
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if let Ok(bytes) = std::fs::read(&path) {
            let found = bytes.windows(name.len()).any(|part| part == name.as_bytes());
            assert!(!found, "{name} stands in {}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_card_is_lent_opens_the_door_is_lost_and_opens_nothing() {
    if cannot_run(QemuBench::missing()) {
        return;
    }
    let mut room = Room::start().await;
    let card = type_a(1);
    let id = room::hex::text(&identity(&CARD_KEY, &card).1);
    block_in_place(|| {
        room.has_list(0);
        room.does(&["card", "issue", "C-1", "--id", &id]);
        let added = [
            "person",
            "add",
            "山田 太郎",
            "--section",
            "総務課",
            "--portals",
            "entrance",
            "--card",
            "C-1",
        ];
        room.does(&added);
        room.has_list(1);
    });
    room.enters(&card).await;
    block_in_place(|| {
        until("a passage with an opened door", || {
            room.passages()
                .into_iter()
                .find(|passage| passage["opened"] == true && passage["person"].is_string())
        });
        let text = room.does(&["who-is-inside"]);
        assert!(text.contains("在室 1 名") && text.contains("山田 太郎"), "{text}");
        let api = room.yagura.get("/api/v1/access/inside");
        assert!(
            api.status == 200 && api.body.contains("server-room"),
            "{}",
            api.body
        );
        assert!(!api.body.contains("山田"), "{}", api.body);
        let text = room.does(&["card", "lost", "山田 太郎"]);
        assert!(
            text.contains("stopped after") && text.contains("Stopped at every door"),
            "{text}"
        );
        eprintln!("{text}");
    });
    room.presents(&card, "suspended").await;
    block_in_place(|| {
        until("the lost card in the register", || {
            room.passages().into_iter().find(|passage| {
                passage["decision"] == "suspended"
                    && passage["flags"]
                        .as_array()
                        .is_some_and(|flags| flags.iter().any(|flag| flag == "lost_card"))
            })
        });
        names_stand_nowhere(&room.site.with_file_name("data"), "山田");
    });
}

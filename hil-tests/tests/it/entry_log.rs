//! What the product writes into its entry log is good to two verifiers that do not know the product,
//! and what somebody changes in the database underneath is found by both.

use hil_tests::product::Yagura;
use hil_tests::{cannot_run, lacking, skip, yagura_bin};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);
/// Changes what the first event of a node says, as whoever holds the machine could.
const FORGE: &str = "import sqlite3, sys
log = sqlite3.connect(sys.argv[1], timeout=20)
body = \"CAST(replace(CAST(body AS TEXT), 'power_on', 'watchdog') AS BLOB)\"
changed = log.execute(f\"UPDATE leaf SET body = {body} WHERE CAST(body AS TEXT) LIKE '%power_on%'\").rowcount
log.commit()
sys.exit(0 if changed > 0 else 3)";

/// A copy of the log, by the command line of a person at the machine.
fn export(room: &Path, name: &str) -> PathBuf {
    let folder = room.join(name);
    let output = Command::new(yagura_bin())
        .args(["log", "export", "--reason", "an audit", "--openings", "--config"])
        .arg(room.join("site.toml"))
        .arg(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    folder
}

/// What each verifier says: its exit code and its words.
fn verdicts(policy: &Path, folder: &Path) -> Vec<(&'static str, Option<i32>, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/tools/yagura-verify.py");
    let mut python = Command::new("python3");
    python.arg(script);
    let own = yagura_bin().with_file_name("yagura-verify");
    let mut programs = vec![("python", python)];
    if own.exists() {
        programs.push(("rust", Command::new(own)));
    } else {
        skip(
            "entry_log",
            "yagura-verify is not built (cargo build -p yagura-verify)",
        );
    }
    programs
        .into_iter()
        .map(|(name, mut command)| {
            let output = command.arg("--policy").arg(policy).arg(folder).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            (name, output.status.code(), String::from_utf8(said).unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_product_writes_is_good_to_verifiers_that_do_not_know_it_and_a_forgery_is_found() {
    if cannot_run(lacking(&["python3"])) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let room = dir.path();
    tokio::task::block_in_place(|| {
        let demo = Yagura::demo(room);
        demo.wait("three nodes", BOUND, |picture| {
            (picture.nodes.iter().filter(|node| node.state == "alive").count() == 3).then_some(())
        });
        let good = export(room, "good");
        let leaves = fs::read_to_string(good.join("leaves.jsonl")).unwrap();
        let last = leaves.lines().last().unwrap();
        assert!(
            last.contains(r#""kind":"export""#),
            "the copy holds that it was taken: {last}"
        );
        assert!(leaves.contains(r#""kind":"node.started""#), "{leaves}");
        let note = fs::read_to_string(good.join("checkpoint")).unwrap();
        let lines: Vec<&str> = note.lines().collect();
        let key = Command::new(yagura_bin())
            .args(["log", "key", "--config"])
            .arg(room.join("site.toml"))
            .output()
            .unwrap();
        let key = String::from_utf8(key.stdout).unwrap();
        let key = key.split_whitespace().find(|word| word.contains("/entry-log+"));
        let policy = room.join("policy");
        let text = format!(
            "log {}\nwitness paper\nquorum 1\nseen paper {} {}\n",
            key.unwrap(),
            lines[1],
            lines[2]
        );
        fs::write(&policy, text).unwrap();
        for (name, code, said) in verdicts(&policy, &good) {
            assert_eq!(code, Some(0), "{name}: {said}");
        }

        let forged = Command::new("python3")
            .args(["-c", FORGE])
            .arg(room.join("log.db"))
            .output()
            .unwrap();
        assert!(forged.status.success(), "{forged:?}");
        let bad = export(room, "bad");
        for (name, code, said) in verdicts(&policy, &bad) {
            assert_eq!(code, Some(1), "{name}: {said}");
        }
    });
}

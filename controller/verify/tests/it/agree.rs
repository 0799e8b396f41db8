//! The small Python program and this one say the same of every case, and the binary says it in files,
//! exit codes and `--json`.

use crate::tamper;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

/// Cases under way at a time.
const AT_ONCE: usize = 2;

fn python_is_there() -> bool {
    if Command::new("python3")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "CI skips nothing: python3 is missing"
    );
    let line = "yagura-verify and yagura-verify.py agree: python3 is missing";
    println!("SKIPPED {line}");
    if let Some(file) = std::env::var_os("YAGURA_SKIPPED") {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{line}").unwrap();
    }
    false
}

fn write(case: &tamper::Case, folder: &Path) -> Vec<String> {
    let export = folder.join("export");
    fs::create_dir(&export).unwrap();
    for (name, bytes) in &case.export.0 {
        fs::write(export.join(name), bytes).unwrap();
    }
    let policy = folder.join("policy");
    fs::write(&policy, &case.policy).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let mut arguments = vec!["--json".to_owned(), "--until".to_owned(), case.until.clone()];
    arguments.extend(["--policy".to_owned(), path(&policy)]);
    if let Some((name, text)) = &case.note {
        let note = folder.join("note");
        fs::write(&note, text).unwrap();
        arguments.extend(["--note".to_owned(), format!("{name}={}", path(&note))]);
    }
    arguments.push(path(&export));
    arguments
}

/// What both must say alike: exit code, size, root, answers, how many findings of each weight, and which,
/// where all of them are shown.
type Said = (
    Option<i32>,
    Value,
    Value,
    Vec<(Value, [u64; 3], BTreeSet<String>)>,
);

fn said(output: &Output) -> Said {
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|why| {
        panic!("{why}: {}", String::from_utf8_lossy(&output.stderr));
    });
    assert_eq!(
        json["exit"].as_i64(),
        output.status.code().map(i64::from),
        "the exit code is the one that is told"
    );
    let verdicts = ["integrity", "completeness", "witnesses"].map(|name| {
        let verdict = &json["verdicts"][name];
        let findings = verdict["findings"].as_array().unwrap();
        let of = |weight: &str| {
            findings
                .iter()
                .filter(|finding| finding["weight"] == weight)
                .count() as u64
        };
        let more = |weight: &str| verdict["more"][weight].as_u64().unwrap();
        let counts = ["bad", "doubt", "remark"].map(|weight| of(weight) + more(weight));
        let shown = findings
            .iter()
            .filter(|finding| more(finding["weight"].as_str().unwrap()) == 0)
            .map(|finding| format!("{} {} {}", finding["weight"], finding["code"], finding["leaf"]))
            .collect();
        (verdict["answer"].clone(), counts, shown)
    });
    (
        output.status.code(),
        json["size"].clone(),
        json["root"].clone(),
        verdicts.to_vec(),
    )
}

#[test]
fn the_python_program_says_the_same_of_every_case() {
    if !python_is_there() {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/tools/yagura-verify.py");
    let year = tamper::year(900, 4);
    let cases = tamper::cases(&year);
    let answers = |case: &tamper::Case| {
        let folder = tempfile::tempdir().unwrap();
        let arguments = write(case, folder.path());
        let ours = Command::new(env!("CARGO_BIN_EXE_yagura-verify"))
            .args(&arguments)
            .output()
            .unwrap();
        let theirs = Command::new("python3")
            .arg("-I")
            .arg(&script)
            .args(&arguments)
            .output()
            .unwrap();
        let (ours, theirs) = (said(&ours), said(&theirs));
        assert_eq!(ours, theirs, "{}", case.name);
    };
    let shares = cases.chunks(cases.len().div_ceil(AT_ONCE));
    std::thread::scope(|scope| {
        for share in shares {
            scope.spawn(move || share.iter().for_each(answers));
        }
    });
}

#[test]
fn ed25519_without_the_package_says_the_same() {
    if !python_is_there() {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/tools/yagura-verify.py");
    let year = tamper::year(200, 1);
    for case in tamper::cases(&year)
        .iter()
        .filter(|case| matches!(case.name, "untouched" | "signature" | "old-key"))
    {
        let folder = tempfile::tempdir().unwrap();
        let arguments = write(case, folder.path());
        let plain = |plain: bool| {
            let mut python = Command::new("python3");
            if plain {
                python.env("YAGURA_PLAIN_ED25519", "1");
            }
            said(&python.arg(&script).args(&arguments).output().unwrap())
        };
        assert_eq!(plain(true), plain(false), "{}", case.name);
    }
}

#[test]
fn a_wrong_command_line_or_policy_is_never_good() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy");
    fs::write(&policy, "quorum 1\n").unwrap();
    let (folder, policy) = (folder.path().to_str().unwrap(), policy.to_str().unwrap());
    for arguments in [
        &[][..],
        &["/nowhere/at/all"],
        &["--policy", policy, folder],
        &["--policy", "/nowhere", folder],
        &["--until", "tomorrow", folder],
        &["--gap", "-1", folder],
        &["--note", "/nowhere", folder],
        &["--what", folder],
        &["--json"],
        &["--row", folder],
        &[folder],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_yagura-verify"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = [output.stdout, output.stderr].concat();
        assert!(
            !String::from_utf8_lossy(&text).contains("GOOD  "),
            "{arguments:?}"
        );
        assert!(!text.is_empty(), "{arguments:?}");
    }
}

//! What a machine can check about the shape of the house: who imports whom, what never stands
//! where, and that every module says what it is for.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of code (without comments, blank lines and the tests it holds) after which a file is
/// looked at twice; one that stays longer says why with [`LONG_MARK`].
const MAX_LINES: usize = 700;
/// "// Long because ..." in a file says why it is longer than [`MAX_LINES`].
const LONG_MARK: &str = "// Long because ";
/// Lines of ARCHITECTURE.md.
const MAX_ARCHITECTURE: usize = 200;
/// Lines of a decision record: one page.
const MAX_ADR: usize = 60;
/// Folders without sources of ours.
const FOREIGN: [&str; 6] = [
    "target",
    "node_modules",
    "dist",
    ".git",
    "artifacts",
    "proptest-regressions",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("xtask lies two folders deep")
        .to_path_buf()
}

/// Files below `folder` with the ending `ext`, relative to the root.
fn files(folder: &str, ext: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, ext: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !FOREIGN.contains(&name.as_str()) {
                    walk(&path, ext, found);
                }
            } else if name.ends_with(ext) {
                found.push(path);
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    walk(&root.join(folder), ext, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        (
            path.strip_prefix(&root)
                .expect("it was found below the root")
                .display()
                .to_string(),
            text,
        )
    };
    found.into_iter().map(read).collect()
}

fn none(what: &str, bad: &[String]) {
    assert!(bad.is_empty(), "{what}:\n  {}", bad.join("\n  "));
}

/// The part of a source file before the tests it holds.
fn without_tests(text: &str) -> &str {
    let mark = "#[cfg(test)]
";
    let begins = text.match_indices(mark).map(|(at, _)| at).find(|at| {
        let next = text[at + mark.len()..].lines().next().unwrap_or_default();
        next.contains("mod ") && next.ends_with('{')
    });
    &text[..begins.unwrap_or(text.len())]
}

/// Code without comments, so that a comment may name what the code must not use.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
}

#[test]
fn imports_point_one_way() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs, it runs us");
    let json: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("shared", &[][..]),
        ("room", &["shared"]),
        ("simroom", &["shared", "room"]),
        ("controller", &["shared", "room", "simroom"]),
        ("hil-tests", &["shared", "room", "simroom", "controller"]),
        ("xtask", &["shared"]),
        // Who checks the log must not have to trust the code that writes it.
        ("yagura-verify", &[]),
    ]);
    let packages = json["packages"].as_array().expect("metadata lists packages");
    let names: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(
        names,
        allowed.keys().copied().collect(),
        "the rooms of the house are fixed"
    );
    let mut bad = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            if names.contains(other) && !allowed[name].contains(&other) {
                bad.push(format!("{name} -> {other}"));
            }
        }
        assert_eq!(package["license"], "Apache-2.0", "licence of {name}");
        assert_eq!(package["edition"], "2024", "edition of {name}");
    }
    none("imports that the house does not allow", &bad);
}

/// The licences of `allow = [...]` in deny.toml.
fn allowed_licences() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("deny.toml")).expect("deny.toml is there");
    let (_, list) = text
        .split_once("allow = [")
        .expect("deny.toml has a list of licences");
    let (list, _) = list.split_once(']').expect("the list has an end");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The crates of `exceptions = [...]` in deny.toml, each with the licence it may have.
fn excepted_licences() -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(root().join("deny.toml")).expect("deny.toml is there");
    let lines = text
        .lines()
        .filter(|line| line.trim_start().starts_with("{ crate = \"") && line.contains("allow = "));
    lines
        .map(|line| {
            let mut quoted = line.split('"').skip(1).step_by(2).map(str::to_owned);
            let word = |word: Option<String>| word.expect("an exception has a crate and a licence");
            (word(quoted.next()), word(quoted.next()))
        })
        .collect()
}

/// True when what an SPDX expression leaves to choose is in `allowed`. `A/B` is the older way to
/// write `A OR B`.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    fn either(
        words: &mut std::iter::Peekable<std::vec::IntoIter<String>>,
        allowed: &BTreeSet<String>,
    ) -> bool {
        let mut good = both(words, allowed);
        while words.next_if(|word| word == "OR").is_some() {
            good |= both(words, allowed);
        }
        good
    }
    fn both(words: &mut std::iter::Peekable<std::vec::IntoIter<String>>, allowed: &BTreeSet<String>) -> bool {
        let mut good = one(words, allowed);
        while words.next_if(|word| word == "AND").is_some() {
            good &= one(words, allowed);
        }
        good
    }
    fn one(words: &mut std::iter::Peekable<std::vec::IntoIter<String>>, allowed: &BTreeSet<String>) -> bool {
        let Some(mut word) = words.next() else {
            return false;
        };
        if word == "(" {
            let good = either(words, allowed);
            return words.next().is_some_and(|word| word == ")") && good;
        }
        if words.next_if(|word| word == "WITH").is_some() {
            word = format!("{word} WITH {}", words.next().unwrap_or_default());
        }
        allowed.contains(&word)
    }
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    let mut words = words.into_iter().peekable();
    either(&mut words, allowed) && words.peek().is_none()
}

#[test]
fn licence_expressions_are_read_as_they_are_meant() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned));
    for good in [
        "MIT",
        "GPL-3.0-only OR MIT",
        "Unlicense/MIT",
        "MIT AND ISC",
        "(GPL-2.0 OR MIT) AND ISC",
        "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
    ] {
        assert!(permits(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "GPL-2.0 OR MIT AND GPL-3.0-only",
        "Apache-2.0",
        "(MIT",
        "MIT ISC",
        "MIT WITH GCC-exception",
    ] {
        assert!(!permits(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let (allowed, excepted) = (allowed_licences(), excepted_licences());
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut bad = Vec::new();
    for workspace in ["Cargo.toml", "firmware/Cargo.toml"] {
        let output = Command::new(&cargo)
            .args(["metadata", "--locked", "--format-version", "1", "--manifest-path"])
            .arg(root().join(workspace))
            .current_dir(root())
            .output()
            .expect("cargo runs, it runs us");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{workspace}: {why}");
        let json: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
        let packages = json["packages"].as_array().expect("metadata lists packages");
        assert!(packages.len() > 20, "{workspace}: only {}", packages.len());
        for package in packages {
            let licence = package["license"].as_str().unwrap_or_default();
            let name = package["name"].as_str().unwrap_or_default();
            let exception = (name.to_owned(), licence.to_owned());
            if !permits(licence, &allowed) && !excepted.contains(&exception) {
                bad.push(format!("{workspace}: {name} is {licence:?}"));
            }
        }
    }
    none("licences that deny.toml does not allow", &bad);
}

#[test]
fn top_level_names_are_fixed() {
    let known = [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "clippy.toml",
        "controller",
        "deny.toml",
        "deploy",
        "firmware",
        "hil-tests",
        "rust-toolchain.toml",
        "rustfmt.toml",
        "shared",
    ];
    let bad: Vec<String> = fs::read_dir(root())
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| !name.starts_with('.') && !FOREIGN.contains(&name.as_str()))
        .filter(|name| !known.contains(&name.as_str()))
        .collect();
    none("names that do not belong at the top", &bad);
}

#[test]
fn decisions_are_pure() {
    let banned = [
        "SystemTime",
        "Instant::now",
        "std::fs",
        "std::process",
        "std::thread",
        "std::net::Tcp",
        "std::net::Udp",
        "TcpStream",
        "UdpSocket",
        "tokio",
        "println!",
        "std::env::",
    ];
    let mut bad = Vec::new();
    for (name, text) in [files("shared/src", ".rs"), files("controller/room/src", ".rs")].concat() {
        if name.ends_with("/tests.rs") {
            continue;
        }
        for (line, code) in code_lines(without_tests(&text)) {
            for word in banned.iter().filter(|word| code.contains(**word)) {
                bad.push(format!("{name}:{line}: {word}"));
            }
        }
    }
    none("I/O, clocks or threads where decisions are made", &bad);
}

#[test]
fn node_code_knows_no_board() {
    let mut bad = Vec::new();
    for (name, text) in files("firmware/node/src", ".rs") {
        // Files of tests and of the parts that stand in for hardware in them.
        let of_tests = ["/tests.rs", "/fake.rs", "/door/scenarios.rs", "/door/walk.rs"];
        if name.contains("/tests/") || of_tests.iter().any(|file| name.ends_with(file)) {
            continue;
        }
        for (line, code) in code_lines(without_tests(&text)) {
            for word in ["std::", "alloc::", "cortex_m", "lm3s6965"]
                .iter()
                .filter(|w| code.contains(**w))
            {
                bad.push(format!("{name}:{line}: {word}"));
            }
        }
    }
    none("the node library uses heap, std or a board", &bad);
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut bad = Vec::new();
    for folder in ["shared", "controller", "hil-tests", "deploy", "firmware"] {
        for (name, text) in files(folder, ".rs") {
            let head = text
                .lines()
                .find(|line| !line.trim().is_empty())
                .unwrap_or_default();
            let words = head.trim_start_matches("//!").split_whitespace().count();
            if !head.starts_with("//!") || words < 3 {
                bad.push(name);
            }
        }
    }
    none("modules that do not open with `//!` and a sentence", &bad);
}

#[test]
fn long_files_say_why() {
    let mut bad = Vec::new();
    for folder in ["shared", "controller", "hil-tests", "deploy", "firmware"] {
        for (name, text) in files(folder, ".rs") {
            let lines = without_tests(&text)
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with("//"))
                .count();
            if lines > MAX_LINES && !text.contains(LONG_MARK) {
                bad.push(format!("{name}: {lines} lines"));
            }
        }
    }
    none(
        &format!("files of more than {MAX_LINES} lines without `{LONG_MARK}...`"),
        &bad,
    );
}

#[test]
fn nothing_is_ignored_or_left_to_do() {
    let marks = [
        ["#[", "ignore"].concat(),
        ["to", "do!("].concat(),
        ["unimple", "mented!("].concat(),
    ];
    let mut bad = Vec::new();
    for folder in ["shared", "controller", "hil-tests", "deploy", "firmware"] {
        for (name, text) in files(folder, ".rs") {
            for (line, code) in code_lines(&text) {
                if marks.iter().any(|mark| code.contains(mark.as_str())) {
                    bad.push(format!("{name}:{line}"));
                }
            }
        }
    }
    none("ignored tests and unfinished code", &bad);
}

#[test]
fn unsafe_code_stands_at_registers_only() {
    let mut bad = Vec::new();
    let word = ["un", "safe "].concat();
    for folder in ["shared", "controller", "hil-tests", "deploy", "firmware/node"] {
        for (name, text) in files(folder, ".rs") {
            for (line, code) in code_lines(&text) {
                if code.contains(&format!("{word}{{")) || code.contains(&format!("{word}fn")) {
                    bad.push(format!("{name}:{line}"));
                }
            }
        }
    }
    none("unsafe code outside of a board", &bad);
}

#[test]
fn the_map_is_short() {
    let path = root().join("ARCHITECTURE.md");
    let Ok(text) = fs::read_to_string(&path) else {
        panic!("ARCHITECTURE.md is missing");
    };
    let lines = text.lines().count();
    assert!(
        lines <= MAX_ARCHITECTURE,
        "ARCHITECTURE.md has {lines} lines, more than {MAX_ARCHITECTURE}"
    );
}

#[test]
fn decision_records_are_one_page_with_their_three_parts() {
    let records = files("deploy/docs/adr", ".md");
    assert!(
        records.len() >= 7,
        "the records named in ARCHITECTURE.md are written"
    );
    let mut bad = Vec::new();
    for (name, text) in records {
        for part in ["## Context", "## Choice", "## What we gave up"] {
            if !text.contains(part) {
                bad.push(format!("{name}: no `{part}`"));
            }
        }
        if text.lines().count() > MAX_ADR {
            bad.push(format!("{name}: more than {MAX_ADR} lines"));
        }
    }
    none("decision records", &bad);
}

#[test]
fn changelog_fragments_have_their_form() {
    let kinds = ["added", "changed", "fixed", "removed", "security"];
    let mut bad = Vec::new();
    for (name, text) in files("deploy/changelog", ".md") {
        let file = Path::new(&name)
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        if file == "README" {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        if !kinds.iter().any(|kind| file.starts_with(&format!("{kind}-"))) {
            bad.push(format!("{name}: begins with none of {}", kinds.join(", ")));
        }
        if lines.len() != 2 || lines[0].is_ascii() || !lines[1].chars().any(|ch| ch.is_ascii_alphabetic()) {
            bad.push(format!("{name}: not one line in Japanese and one in English"));
        }
    }
    none("changelog fragments", &bad);
}

#[test]
fn workplace_names_stay_out_of_the_house() {
    // Written in pieces, so that this file does not find itself.
    let marks = [
        ["/wo", "rk/"].concat(),
        ["/tmp", "/wt"].concat(),
        ["shared/", "reference"].concat(),
    ];
    let mut bad = Vec::new();
    for folder in [
        "shared",
        "controller",
        "hil-tests",
        "deploy",
        "firmware",
        ".ci",
        ".config",
    ] {
        for ext in [".rs", ".md", ".toml", ".ts", ".svelte", ".sh", ".service", "run"] {
            for (name, text) in files(folder, ext) {
                if marks.iter().any(|mark| text.contains(mark.as_str())) {
                    bad.push(name);
                }
            }
        }
    }
    none("files that name the place where they were written", &bad);
}

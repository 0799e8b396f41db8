//! `cargo xtask test`: every check and test of the project, and what was skipped.

use crate::stage::{End, Stages, cargo, check, has, program, quiet, root, watched};
use crate::{demo, firmware, setup};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Tests that cannot run here append a line to the file named by this variable; a runner that
/// hides the output of good tests would hide it otherwise.
const SKIPPED: &str = "YAGURA_SKIPPED";
/// Most lines of skipped tests that are shown.
const MAX_SKIPPED: usize = 100;

/// Becomes `cargo xtask test` as CI runs it: with `CI` set for it and for every child, so that a
/// test that cannot run fails as well.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn ci() -> Result<(), String> {
    let own = std::env::current_exe().map_err(|why| format!("cannot find xtask itself: {why}"))?;
    let why = Command::new(own).arg("test").env("CI", "true").exec();
    Err(format!("cannot start `xtask test`: {why}"))
}

/// Runs everything, or only the tests named. In CI (`ci`) what would be skipped is a failure.
///
/// # Errors
/// When a stage failed.
pub(crate) fn run(only: &[String], ci: bool) -> Result<(), String> {
    let skipped = demo::target_dir()?.join("skipped-tests");
    if let Some(folder) = skipped.parent() {
        fs::create_dir_all(folder).map_err(|why| format!("cannot make {}: {why}", folder.display()))?;
    }
    let _ = fs::remove_file(&skipped);
    if !only.is_empty() {
        let mut stages = Stages::new(1, ci);
        stages.run("tests", || tests(only, ci, &skipped));
        stages.remarks = read_skipped(&skipped);
        return stages.finish();
    }
    let mut stages = Stages::new(12, ci);
    stages.run("debian packages", setup::packages);
    stages.run("npm packages", setup::npm);
    stages.run("format", format);
    stages.run("page", setup::page);
    stages.run("page: types and tests", page_tests);
    stages.run("firmware", firmware_build);
    stages.run("firmware: tests on the host", firmware_tests);
    stages.run("clippy", || {
        check(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ]))
        .into()
    });
    stages.run("licences and advisories", deny);
    // Tests start the binary; it is built first, so that none of them measures a build.
    stages.run("yagura", || {
        check(&mut cargo(&[
            "build",
            "--package",
            "controller",
            "--bin",
            "yagura",
        ]))
        .into()
    });
    let mut closing = String::new();
    stages.run("tests", || {
        let end = tests(&[], ci, &skipped);
        if let End::Done(line) | End::Failed(line) = &end {
            closing.clone_from(line);
        }
        end
    });
    stages.run("documentation", || {
        check(
            cargo(&[
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--quiet",
            ])
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links"),
        )
        .into()
    });
    stages.remarks = read_skipped(&skipped);
    let result = stages.finish();
    if !closing.is_empty() {
        println!("{closing}");
    }
    result
}

/// The lines of tests that could not run here.
fn read_skipped(file: &PathBuf) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines: Vec<String> = text
        .lines()
        .take(MAX_SKIPPED)
        .map(|line| format!("SKIPPED test {line}"))
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

fn format() -> End {
    let firmware = root().join("firmware");
    let result = check(&mut cargo(&["fmt", "--all", "--check"])).and_then(|()| {
        if firmware.join("Cargo.toml").exists() {
            check(cargo(&["fmt", "--all", "--check"]).current_dir(&firmware))
        } else {
            Ok(())
        }
    });
    result.into()
}

/// The scripts of the page's package that check and test it, as far as it has them.
fn page_tests() -> End {
    let ui = root().join("controller/ui");
    let Ok(text) = fs::read_to_string(ui.join("package.json")) else {
        return End::Skipped("controller/ui has no package.json".to_owned());
    };
    if let Some(why) = setup::no_node() {
        return End::Skipped(why);
    }
    let json: serde_json::Value = match serde_json::from_str(&text) {
        Ok(json) => json,
        Err(why) => return End::Failed(format!("controller/ui/package.json: {why}")),
    };
    let mut ran = Vec::new();
    for script in ["check", "test"] {
        if json["scripts"][script].is_string() {
            if let Err(why) = quiet(
                program("npm", &["run", "--silent", script])
                    .current_dir(&ui)
                    .env("CI", "true"),
            ) {
                return End::Failed(why);
            }
            ran.push(script);
        }
    }
    End::Done(ran.join(", "))
}

fn firmware_build() -> End {
    if let Some(why) = firmware::cannot_build() {
        return End::Skipped(why);
    }
    firmware::run(None, false, true).into()
}

fn firmware_tests() -> End {
    let folder = root().join("firmware/node");
    if !folder.join("Cargo.toml").exists() {
        return End::Skipped("firmware/node is not there".to_owned());
    }
    // What the boards share is for the boards, and compiles for the host: the real boards are too slow
    // to build at every change, and would otherwise break unseen.
    let clippy = [
        "clippy",
        "--quiet",
        "--package",
        "node",
        "--package",
        "common",
        "--features",
        "common/tls",
        "--",
        "--deny",
        "warnings",
    ];
    check(cargo(&["test", "--quiet"]).current_dir(&folder))
        .and_then(|()| check(cargo(&clippy).current_dir(&folder)))
        .into()
}

fn deny() -> End {
    if !has("cargo-deny") && !home_has("cargo-deny") {
        // The licences at least are also looked at by a test of this crate, from cargo's metadata.
        return End::Excused("cargo-deny is not installed: cargo install --locked cargo-deny".to_owned());
    }
    // Licences, bans and sources need no network; advisories do, and say so when it is missing.
    if let Err(why) = check(&mut cargo(&[
        "deny",
        "--all-features",
        "check",
        "licenses",
        "bans",
        "sources",
    ])) {
        return End::Failed(why);
    }
    match quiet(&mut cargo(&["deny", "fetch", "db"])) {
        Ok(_) => check(&mut cargo(&["deny", "check", "advisories"])).into(),
        Err(_) => End::Done("advisories SKIPPED: the advisory database cannot be fetched".to_owned()),
    }
}

fn home_has(name: &str) -> bool {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .is_some_and(|home| home.join("bin").join(name).is_file())
}

/// Every test of the host workspace.
fn tests(only: &[String], ci: bool, skipped: &PathBuf) -> End {
    if has("cargo-nextest") || home_has("cargo-nextest") {
        let mut command = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
        if ci {
            command.args(["--profile", "ci"]);
        }
        return match watched(command.args(only).env(SKIPPED, skipped), "Summary [") {
            Ok(line) => End::Done(line),
            Err(why) => End::Failed(why),
        };
    }
    eprintln!("  cargo-nextest is not installed; `cargo test` runs instead, without its time-outs");
    // The tests over real processes run one after the other, as nextest's configuration has it.
    let light = [
        "test",
        "--workspace",
        "--exclude",
        "hil-tests",
        "--no-fail-fast",
        "--",
    ];
    let heavy = [
        "test",
        "--package",
        "hil-tests",
        "--no-fail-fast",
        "--",
        "--test-threads=1",
    ];
    let failed: Vec<String> = [&light[..], &heavy[..]]
        .into_iter()
        .filter_map(|args| check(cargo(args).args(only).env(SKIPPED, skipped)).err())
        .collect();
    if failed.is_empty() {
        End::Done("by `cargo test`".to_owned())
    } else {
        End::Failed(failed.join("; "))
    }
}

/// The simulated outages, optimised.
///
/// # Errors
/// When a seed breaks a promise; its story is printed.
pub(crate) fn simulate(args: &[String]) -> Result<(), String> {
    let mut command = cargo(&[
        "bench",
        "--quiet",
        "--package",
        "room",
        "--bench",
        "simulate",
        "--",
    ]);
    command.args(args);
    check(&mut command)
}

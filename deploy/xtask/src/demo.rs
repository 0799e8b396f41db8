//! `cargo xtask demo`: from a fresh checkout to the page of the simulated room.

use crate::setup;
use crate::stage::{End, Stages, cargo, check, quiet, root};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Builds page and binary, then becomes `yagura demo`.
///
/// # Errors
/// When the binary cannot be built or started.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mut stages = Stages::new(2, false);
    stages.run("page", || match setup::page() {
        // The demo's API works without the page; say so and go on.
        End::Failed(why) => End::Skipped(format!("{why}; the page is a placeholder")),
        end => end,
    });
    stages.run("yagura", || build().into());
    stages.finish()?;
    let mut all: Vec<OsString> = vec!["demo".into()];
    all.extend(args.iter().map(OsString::from));
    exec(&all)
}

/// Builds the binary quietly and becomes it.
///
/// # Errors
/// When the binary cannot be built or started.
pub(crate) fn yagura(args: &[OsString]) -> Result<(), String> {
    build()?;
    exec(args)
}

/// Serves the recordings of `dir` and compares what the product reads.
///
/// # Errors
/// When it cannot be built, or misses the aim.
pub(crate) fn conformance(dir: &std::path::Path, details: bool) -> Result<(), String> {
    check(&mut cargo(&[
        "build",
        "--package",
        "hil-tests",
        "--bin",
        "conformance",
    ]))?;
    let mut command = Command::new(target_dir()?.join("debug/conformance"));
    command.arg(dir);
    if details {
        command.arg("--details");
    }
    check(&mut command)
}

fn build() -> Result<(), String> {
    check(&mut cargo(&[
        "build",
        "--package",
        "controller",
        "--bin",
        "yagura",
    ]))
}

fn exec(args: &[OsString]) -> Result<(), String> {
    let binary = target_dir()?.join("debug/yagura");
    // From here on this process is yagura: signals reach it without a middleman.
    let why = Command::new(&binary).args(args).exec();
    Err(format!("cannot start {}: {why}", binary.display()))
}

/// Where cargo builds.
///
/// # Errors
/// When cargo does not tell.
pub(crate) fn target_dir() -> Result<PathBuf, String> {
    let text = quiet(&mut cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--offline",
    ]))
    .or_else(|_| quiet(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"])))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|why| format!("cannot read cargo metadata: {why}"))?;
    json["target_directory"]
        .as_str()
        .map_or_else(|| Ok(root().join("target")), |path| Ok(PathBuf::from(path)))
}

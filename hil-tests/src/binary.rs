//! The product's binary, as the tests run it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `yagura` binary of this build: the one that `YAGURA_BIN` names, or the one beside the
/// test, brought up to date by cargo first. A test binary is not built together with the
/// binaries of other packages, so the file alone could be last week's.
///
/// # Panics
/// When it cannot be built, or is not there and cargo is not either.
#[must_use]
pub fn yagura_bin() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("YAGURA_BIN") {
        Some(path) => PathBuf::from(path),
        None => beside_the_test(),
    })
    .clone()
}

fn beside_the_test() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    // target/<profile>/deps/<test>
    let profile_dir = test
        .ancestors()
        .nth(2)
        .expect("cargo puts tests three levels deep");
    let binary = profile_dir.join("yagura");
    if let Some(cargo) = std::env::var_os("CARGO") {
        build(Path::new(&cargo), profile_dir);
    }
    assert!(
        binary.is_file(),
        "{} is missing: cargo build -p controller",
        binary.display()
    );
    binary
}

fn build(cargo: &Path, profile_dir: &Path) {
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--package", "controller", "--bin", "yagura"])
        .arg("--target-dir")
        .arg(profile_dir.parent().unwrap_or(profile_dir))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    if profile_dir.ends_with("release") {
        command.arg("--release");
    }
    match command.status() {
        Ok(status) => assert!(status.success(), "cargo build of yagura failed"),
        Err(error) => panic!("{}: {error}", cargo.display()),
    }
}

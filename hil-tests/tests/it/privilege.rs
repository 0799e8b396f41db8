//! Least privilege: what stands in the key files of the example's layout is for their role alone.

use hil_tests::cannot_run;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const EXAMPLE: &str = include_str!("../../../deploy/example/site.toml");
/// Debian's `nobody`: a user without any group of ours, as that of the web role is.
const NOBODY: u32 = 65_534;

/// Every file of a secret that the example names, those of commented tables, too.
fn secrets() -> BTreeSet<&'static str> {
    let values = EXAMPLE.lines().filter_map(|line| line.split_once("_file = \""));
    let values = values.filter_map(|(_, rest)| rest.split('"').next());
    values.filter(|path| path.starts_with("secrets/")).collect()
}

fn reads(file: &Path, user: Option<u32>) -> bool {
    let mut command = Command::new("/bin/cat");
    command
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command.status().unwrap().success()
}

#[test]
fn another_user_of_this_machine_reads_none_of_the_keys() {
    let root = rustix::process::geteuid().is_root();
    if cannot_run((!root).then(|| "root, to become another user".to_owned())) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // The way there is open to everybody: what keeps others out is the mode that `yagura check` and
    // the roles demand of each file.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(dir.path().join("secrets")).unwrap();
    let secrets = secrets();
    assert!(secrets.len() >= 10, "{secrets:?}");
    for name in secrets {
        let file = dir.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "secret\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(reads(&file, None), "{name}: its own user does");
        assert!(!reads(&file, Some(NOBODY)), "{name}");
        // The test can fail: with another mode he does.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        assert!(reads(&file, Some(NOBODY)), "{name}");
    }
}

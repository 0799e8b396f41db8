//! The systemd units: understood by systemd, and hardened to a measured degree.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Highest exposure that `systemd-analyze security` may find, in tenths; a unit without any
/// hardening has 96.
const THRESHOLD: u32 = 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd")
}

fn units(ending: &str) -> Vec<PathBuf> {
    let mut units: Vec<PathBuf> = fs::read_dir(folder())
        .expect("deploy/systemd is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    units.sort();
    units
}

/// Says why a test cannot run here. In CI it must run.
fn cannot_run(test: &str) -> bool {
    if Command::new("systemd-analyze").arg("--version").output().is_ok() {
        return false;
    }
    assert!(std::env::var_os("CI").is_none(), "CI has systemd-analyze");
    eprintln!("SKIPPED: systemd-analyze is not installed");
    if let Some(file) = std::env::var_os("YAGURA_SKIPPED") {
        let file = fs::OpenOptions::new().create(true).append(true).open(file);
        writeln!(
            file.expect("the list of skipped tests"),
            "{test}: systemd-analyze is not installed"
        )
        .expect("the list of skipped tests");
    }
    true
}

#[test]
fn every_service_is_hardened() {
    let services = units(".service");
    assert_eq!(services.len(), 6, "one service, or one for each of five roles");
    if cannot_run("every_service_is_hardened") {
        return;
    }
    for unit in services {
        let output = Command::new("systemd-analyze")
            .args([
                "security",
                "--no-pager",
                "--offline=true",
                &format!("--threshold={THRESHOLD}"),
            ])
            .arg(&unit)
            .output()
            .expect("systemd-analyze runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let exposed: Vec<&str> = text.lines().filter(|line| line.starts_with('✗')).collect();
        assert!(
            output.status.success(),
            "{}:\n{}",
            unit.display(),
            exposed.join("\n")
        );
        assert!(text.contains("Overall exposure level"), "{text}");
    }
}

#[test]
fn systemd_understands_every_line() {
    if cannot_run("systemd_understands_every_line") {
        return;
    }
    let copies = Path::new(env!("CARGO_TARGET_TMPDIR")).join("units");
    fs::create_dir_all(&copies).expect("a folder for copies");
    let mut names = Vec::new();
    for unit in [units(".service"), units(".target")].concat() {
        // The binary is not installed where tests run; everything else is looked at as it is.
        let text = fs::read_to_string(&unit).expect("a unit is text");
        let copy = copies.join(unit.file_name().expect("a unit has a name"));
        let command = |line: &str| line.starts_with("Exec");
        let text: String = text
            .lines()
            .map(|line| match line.split_once('=') {
                Some((key, _)) if command(line) => format!("{key}=/bin/true\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        fs::write(&copy, text).expect("a copy is written");
        names.push(copy);
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&names)
        .output()
        .expect("systemd-analyze runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("yagura")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn units_and_accounts_agree() {
    let accounts = fs::read_to_string(folder().join("yagura.sysusers")).expect("accounts are listed");
    for unit in units(".service") {
        let text = fs::read_to_string(&unit).expect("a unit is text");
        let name = unit
            .file_stem()
            .expect("a unit has a name")
            .to_string_lossy()
            .into_owned();
        let values = |key: &str| -> Vec<String> {
            text.lines()
                .filter_map(|line| line.strip_prefix(key))
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(
            values("User="),
            [name.as_str()],
            "each role has a user of its own name"
        );
        for group in [values("Group="), values("SupplementaryGroups=")].concat() {
            let listed = accounts
                .lines()
                .any(|line| line.split_whitespace().nth(1) == Some(&group));
            assert!(listed, "{name}: the group {group} is not in yagura.sysusers");
        }
        let role = name
            .strip_prefix("yagura-")
            .map_or_else(|| "run".to_owned(), |role| format!("role {role}"));
        let start = format!("ExecStart=/usr/bin/yagura {role} --config /etc/yagura/site.toml");
        assert!(text.lines().any(|line| line == start), "{name}: {start}");
        // Only the core's and the single service's keep the state; the keys' owner writes down which
        // guests it stopped, in a folder of its own, and nothing else.
        let expected: &[&str] = match name.as_str() {
            "yagura" => &["yagura"],
            "yagura-core" => &["yagura", "yagura/run"],
            "yagura-act" => &["yagura/act"],
            _ => &[],
        };
        assert_eq!(values("StateDirectory="), expected, "{name}");
    }
}

#[test]
fn who_reads_devices_opens_serial_ports_and_no_other_device() {
    for unit in units(".service") {
        let text = fs::read_to_string(&unit).expect("a unit is text");
        let has = |line: &str| text.lines().any(|found| found == line);
        let reads = text
            .lines()
            .any(|line| line.starts_with("StateDirectory=yagura") && !line.ends_with("/act"));
        // PrivateDevices would hide the ports, whatever else is allowed.
        assert_eq!(has("PrivateDevices=yes"), !reads, "{}", unit.display());
        assert!(has("DevicePolicy=closed"), "{}", unit.display());
        let allowed: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("DeviceAllow="))
            .collect();
        let ports = [
            "char-ttyS rw",
            "char-ttyUSB rw",
            "char-ttyACM rw",
            "char-ttyAMA rw",
        ];
        assert_eq!(
            allowed,
            if reads { &ports[..] } else { &[] },
            "{}",
            unit.display()
        );
        assert_eq!(has("SupplementaryGroups=dialout"), reads, "{}", unit.display());
    }
}

#[test]
fn core_sees_the_users_of_the_roles() {
    for unit in units(".service") {
        let text = fs::read_to_string(&unit).expect("a unit is text");
        // Core refuses a role whose user it cannot see; a single service has one user.
        let private = text.lines().any(|line| line == "PrivateUsers=yes");
        let core = unit.ends_with("yagura-core.service");
        assert_eq!(private, !core, "PrivateUsers of {}", unit.display());
    }
}

#[test]
fn only_the_socket_of_core_is_shared() {
    let has = |text: &str, line: &str| text.lines().any(|found| found == line);
    for unit in units(".service") {
        let text = fs::read_to_string(&unit).expect("a unit is text");
        let shown = unit.display();
        // Files that a role writes are its user's alone, whatever the group of its process.
        assert!(has(&text, "UMask=0077"), "{shown}");
        if unit.ends_with("yagura-core.service") {
            // The socket takes the group of the process that binds it; its folders only let pass.
            assert!(has(&text, "Group=yagura-link"), "{shown}");
            assert!(has(&text, "StateDirectoryMode=0710"), "{shown}");
        } else if !unit.ends_with("yagura.service") {
            assert!(has(&text, "SupplementaryGroups=yagura-link"), "{shown}");
        }
    }
}

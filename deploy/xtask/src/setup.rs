//! Set-up: Debian packages when root, npm packages by their lock file, the page.
//!
//! Nothing is installed that is there already, and nothing without root: then the one line to
//! run is printed and what needs it is skipped.

use crate::firmware;
use crate::stage::{End, check, has, program, quiet, root};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// Oldest Node.js that the page is built with.
const NODE: &str = "20.19";

/// Debian packages of `deploy/packages.txt` that are not there.
pub(crate) fn missing_packages() -> Result<Vec<String>, String> {
    let file = root().join("deploy/packages.txt");
    let text = fs::read_to_string(&file).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
    let mut missing = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let (Some(package), Some(shown_by)) = (words.next(), words.next()) else {
            continue;
        };
        let there = match shown_by {
            "-" => installed(package),
            // /usr/bin/rustc would show nothing: it may be Debian's plain compiler,
            // which rustc-web would push aside; then the firmware's stage says what to do.
            "no-thumb" => firmware::rustup_builds() || installed(package) || installed("rustc"),
            program => has(program),
        };
        if !there {
            missing.push(package.to_owned());
        }
    }
    Ok(missing)
}

/// True when dpkg knows the package as installed.
pub(crate) fn installed(package: &str) -> bool {
    program("dpkg-query", &["-W", "-f", "${Status}", package])
        .output()
        .is_ok_and(|out| {
            out.status.success() && String::from_utf8_lossy(&out.stdout).contains("ok installed")
        })
}

/// Runs a command while the services that packages bring are not started: Debian asks the policy,
/// and 101 is no. A policy that is there stays as it is; ours goes with the shell, also on Ctrl-C.
const WITHOUT_SERVICES: &str = r#"
policy=$1
shift
if (set -C; printf '#!/bin/sh\n# cargo xtask test: services stay stopped while it installs\nexit 101\n' > "$policy") 2>/dev/null; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    chmod 755 "$policy"
fi
"$@"
"#;
/// Where Debian looks for the policy.
const POLICY: &str = "/usr/sbin/policy-rc.d";

fn without_services(policy: &str, command: &[&str]) -> Command {
    let mut shell = program("sh", &["-c", WITHOUT_SERVICES, "sh", policy]);
    shell.args(command).stdin(Stdio::null());
    shell
}

/// Installs what is missing, when root.
pub(crate) fn packages() -> End {
    let missing = match missing_packages() {
        Ok(missing) => missing,
        Err(why) => return End::Failed(why),
    };
    if missing.is_empty() {
        return End::Done("all there".to_owned());
    }
    let list = missing.join(" ");
    if !has("apt-get") {
        return End::Skipped(format!("no apt-get here; what needs these is skipped: {list}"));
    }
    let root_user = program("id", &["-u"])
        .output()
        .is_ok_and(|out| out.stdout == b"0\n");
    if !root_user {
        return End::Skipped(format!(
            "not root; run: sudo apt-get install -y --no-install-recommends {list}"
        ));
    }
    eprintln!("  installing {list}");
    // Nothing of this machine is removed for it; then apt-get says what is in the way.
    let mut install = vec![
        "apt-get",
        "install",
        "-y",
        "-q",
        "--no-remove",
        "--no-install-recommends",
    ];
    install.extend(missing.iter().map(String::as_str));
    let result = check(&mut program("apt-get", &["update", "-q"]))
        .and_then(|()| check(without_services(POLICY, &install).env("DEBIAN_FRONTEND", "noninteractive")));
    match result {
        Ok(()) => End::Done(format!("installed {list}")),
        Err(why) => End::Skipped(format!("{why}; what needs these is skipped: {list}")),
    }
}

/// Why the page cannot be built here, if it cannot.
pub(crate) fn no_node() -> Option<String> {
    if !has("npm") {
        return Some(format!("no npm here; install Node.js {NODE} or newer"));
    }
    let version = quiet(&mut program("node", &["--version"])).unwrap_or_default();
    let number = |text: &str| -> Vec<u32> {
        text.trim()
            .trim_start_matches('v')
            .split('.')
            .filter_map(|part| part.parse().ok())
            .collect()
    };
    (number(&version) < number(NODE)).then(|| {
        format!(
            "Node.js {} is older than {NODE}, which the page's tools need",
            version.trim()
        )
    })
}

/// `npm ci` unless the lock file is the one that was installed last.
///
/// # Errors
/// When npm fails.
pub(crate) fn npm_ci(folder: &Path) -> Result<bool, String> {
    let lock = folder.join("package-lock.json");
    let text = fs::read(&lock).map_err(|why| format!("cannot read {}: {why}", lock.display()))?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&text);
    let hash = format!("{:016x}", hasher.finish());
    let mark = folder.join("node_modules/.installed-lock");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == hash) {
        return Ok(false);
    }
    eprintln!(
        "  npm ci in {}",
        folder.strip_prefix(root()).unwrap_or(folder).display()
    );
    quiet(program("npm", &["ci", "--no-audit", "--no-fund"]).current_dir(folder))?;
    fs::write(&mark, hash).map_err(|why| format!("cannot write {}: {why}", mark.display()))?;
    Ok(true)
}

/// npm packages of every folder that has a lock file.
pub(crate) fn npm() -> End {
    if let Some(why) = no_node() {
        return End::Skipped(why);
    }
    let mut installed = Vec::new();
    for name in ["controller/ui", "hil-tests/browser"] {
        let folder = root().join(name);
        if !folder.join("package-lock.json").exists() {
            continue;
        }
        match npm_ci(&folder) {
            Ok(true) => installed.push(name),
            Ok(false) => {}
            Err(why) => return End::Failed(why),
        }
    }
    End::Done(if installed.is_empty() {
        "all there".to_owned()
    } else {
        format!("installed for {}", installed.join(", "))
    })
}

/// Builds the page when a source is newer than it.
pub(crate) fn page() -> End {
    let ui = root().join("controller/ui");
    if !ui.join("package.json").exists() {
        return End::Skipped("controller/ui has no package.json".to_owned());
    }
    let built = fs::metadata(ui.join("dist/index.html"))
        .and_then(|meta| meta.modified())
        .ok();
    let sources = [
        "src",
        "public",
        "index.html",
        "package-lock.json",
        "vite.config.ts",
    ]
    .iter()
    .filter_map(|name| newest(&ui.join(name), 8))
    .max();
    if built.is_some() && built >= sources {
        return End::Done("up to date".to_owned());
    }
    if let Some(why) = no_node() {
        return End::Skipped(format!("{why}; the page is a placeholder"));
    }
    npm_ci(&ui)
        .and_then(|_| quiet(program("npm", &["run", "--silent", "build"]).current_dir(&ui)))
        .map(|_| ())
        .into()
}

/// When the newest file below `path` was changed, looking at most `depth` folders deep.
fn newest(path: &Path, depth: usize) -> Option<SystemTime> {
    let meta = fs::metadata(path).ok()?;
    if meta.is_file() {
        return meta.modified().ok();
    }
    if depth == 0 {
        return None;
    }
    fs::read_dir(path)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| newest(&entry.path(), depth - 1))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str) -> String {
        let path = std::env::temp_dir().join(format!("yagura-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn services_stay_stopped_while_packages_are_installed() {
        let policy = policy("policy");
        // Asked as invoke-rc.d asks.
        let question = format!("{policy} ssh start; test $? = 101");
        let asked = ["sh", "-c", &question];
        assert_eq!(check(&mut without_services(&policy, &asked)), Ok(()));
        assert!(!Path::new(&policy).exists(), "it is gone afterwards");
        assert!(check(&mut without_services(&policy, &["false"])).is_err());
        assert!(!Path::new(&policy).exists(), "also after a failure");
        // Ended from the terminal: the shell is told as apt-get is.
        assert!(check(&mut without_services(&policy, &["sh", "-c", "kill -INT $PPID"])).is_err());
        assert!(!Path::new(&policy).exists(), "also after Ctrl-C");
    }

    #[test]
    fn a_policy_of_the_machine_stays() {
        let policy = policy("policy-of-the-machine");
        fs::write(&policy, "theirs").unwrap();
        assert_eq!(check(&mut without_services(&policy, &["true"])), Ok(()));
        assert_eq!(fs::read_to_string(&policy).unwrap(), "theirs");
        fs::remove_file(&policy).unwrap();
    }
}

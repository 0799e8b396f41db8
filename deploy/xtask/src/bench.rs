//! `cargo xtask bench`: figures of the product, as medians with spread. Nothing is asserted.

use crate::stage::{cargo, check, now};
use crate::{demo, firmware};
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Contact edge on a node to its event on the page's stream; UPS on battery to first action
    Latency,
    /// Start of the binary to its first good answer
    Start,
    /// Resident memory of all roles together
    Memory,
    /// Journal append with sync
    Journal,
    /// The entry log: appends, proofs, searches in a million rows
    Log,
    /// Ten thousand standing alarms, a restart with a hundred thousand records of alarms; with the
    /// binary: a contact to its alarm on the stream beside 5,000 samples/s, and the same restart
    Alarms,
    /// The sensor node: memory, card to strike, contact to broker, outage, idle load
    Node,
    /// SNMP: processor time of a poll beside the limit and peers, memory, SNMPv3, lateness
    Poll,
    /// Alarm to the mail server's word that it has the mail
    Notice,
    /// The server for NUT's clients, and low battery to the first command, beside stock NUT
    Outage,
    /// Ten thousand devices through the whole product: processor, memory, lateness, the picture
    Site,
}

/// Starts of the binary that are measured.
const STARTS: usize = 9;
/// Readings of the memory, one each second.
const READINGS: usize = 10;
/// Longest wait for the first answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures one figure or all of them; `dev` takes the everyday build, to try the bench itself.
///
/// # Errors
/// When the binary cannot be built, or a figure cannot be measured.
pub(crate) fn run(what: Option<What>, dev: bool) -> Result<(), String> {
    let all = [
        What::Start,
        What::Memory,
        What::Journal,
        What::Log,
        What::Latency,
        What::Alarms,
        What::Node,
        What::Poll,
        What::Notice,
        What::Outage,
        What::Site,
    ];
    let chosen: Vec<What> = what.map_or_else(|| all.to_vec(), |one| vec![one]);
    let profile = if dev { "dev" } else { "release" };
    check(&mut cargo(&[
        "build",
        "--profile",
        profile,
        "--package",
        "controller",
        "--bin",
        "yagura",
    ]))?;
    let folder = if dev { "debug" } else { "release" };
    let binary = demo::target_dir()?.join(folder).join("yagura");
    let mut failed = Vec::new();
    for what in chosen {
        let result = match what {
            What::Start => start(&binary),
            What::Memory => memory(&binary),
            What::Journal => in_bench("controller", "journal", profile, &binary),
            What::Log => in_bench("controller", "log", profile, &binary),
            What::Alarms => in_bench("room", "alarms", profile, &binary)
                .and_then(|()| in_bench("hil-tests", "alarms", profile, &binary)),
            What::Latency => with_firmware("latency", profile, &binary),
            What::Node => with_firmware("node", profile, &binary),
            What::Poll => in_bench("hil-tests", "poll", profile, &binary),
            What::Notice => in_bench("hil-tests", "notice", profile, &binary),
            What::Outage => in_bench("hil-tests", "outage", profile, &binary),
            What::Site => in_bench("hil-tests", "site", profile, &binary),
        };
        // One figure that cannot be had does not hide the others.
        failed.extend(result.err());
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("\n"))
    }
}

/// Figures that need the protocols or the insides are measured where those are: by bench targets
/// of the same name, which print lines like those of [`report`].
fn in_bench(package: &str, name: &str, profile: &str, binary: &Path) -> Result<(), String> {
    check(
        cargo(&[
            "bench",
            "--quiet",
            "--profile",
            profile,
            "--package",
            package,
            "--bench",
            name,
        ])
        .env("YAGURA_BIN", binary)
        // Figures and nothing between them; outages are made in dozens.
        .env("YAGURA_LOG", "error"),
    )
}

/// These begin in the firmware; where that cannot be built the bench says so.
fn with_firmware(name: &str, profile: &str, binary: &Path) -> Result<(), String> {
    if firmware::cannot_build().is_none() {
        firmware::run(None, false, false)?;
    }
    in_bench("hil-tests", name, profile, binary)
}

/// Prints median and spread.
fn report(what: &str, unit: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (samples.first(), samples.last()) else {
        println!("{what}: nothing was measured");
        return;
    };
    let at = |share: usize| samples[(samples.len() - 1) * share / 100];
    println!(
        "{what}: median {:.1} {unit} (quartiles {:.1} to {:.1}, extremes {low:.1} to {high:.1}, n = {})",
        at(50),
        at(25),
        at(75),
        samples.len()
    );
}

/// A running `yagura demo` in a folder of its own; ended when dropped.
struct Demo {
    child: Child,
    addr: SocketAddr,
    folder: PathBuf,
}

impl Demo {
    fn start(binary: &Path, number: usize) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("yagura-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|why| format!("cannot make {}: {why}", folder.display()))?;
        // A port that was free a moment ago: the demo prints its address for people, not for us.
        let addr = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|why| format!("no free port: {why}"))?;
        let child = Command::new(binary)
            .args(["demo", "--listen", &addr.to_string(), "--data"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|why| format!("cannot start {}: {why}", binary.display()))?;
        Ok(Self { child, addr, folder })
    }

    /// Waits for the first good answer of `/healthz`.
    fn wait(&mut self) -> Result<(), String> {
        let begun = now();
        while begun.elapsed() < PATIENCE {
            if healthy(self.addr) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("yagura demo ended with {status}"));
            }
            pause(Duration::from_millis(5));
        }
        Err(format!("no answer from {} within {PATIENCE:?}", self.addr))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let begun = now();
        while begun.elapsed() < Duration::from_secs(10) {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                let _ = fs::remove_dir_all(&self.folder);
                return;
            }
            pause(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a pause between two looks, each loop with a bound"
)]
fn pause(span: Duration) {
    std::thread::sleep(span);
}

fn healthy(addr: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&addr, Duration::from_millis(200))?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(
            format!("GET /healthz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}

fn start(binary: &Path) -> Result<(), String> {
    let mut samples = Vec::new();
    for number in 0..STARTS {
        let begun = now();
        let mut demo = Demo::start(binary, number)?;
        demo.wait()?;
        samples.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    report("binary start -> /healthz is 200 (demo, all roles)", "ms", samples);
    Ok(())
}

/// Every process below `parent`, itself included, with its arguments.
fn family(parent: u32) -> Vec<(u32, String)> {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in parentheses may contain anything; the parent stands two fields after it.
        let above = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if let Some(above) = above {
            parents.push((pid, above));
        }
    }
    let mut family = BTreeSet::from([parent]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(pid, above)| family.contains(above) && !family.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        family.extend(more);
    }
    family
        .into_iter()
        .map(|pid| {
            let args = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid, String::from_utf8_lossy(&args).replace('\0', " "))
        })
        .collect()
}

/// Resident and proportional size of a process in MB (10^6 bytes).
fn sizes(pid: u32) -> (f64, f64) {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| {
                line.strip_prefix(name)?
                    .split_whitespace()
                    .next()?
                    .parse::<f64>()
                    .ok()
            })
            .unwrap_or(0.0)
            * 1024.0
            / 1e6
    };
    (field("Rss:"), field("Pss:"))
}

fn memory(binary: &Path) -> Result<(), String> {
    let mut demo = Demo::start(binary, 0)?;
    demo.wait()?;
    let (mut resident, mut shared) = (Vec::new(), Vec::new());
    let mut roles = Vec::new();
    for _ in 0..READINGS {
        pause(Duration::from_secs(1));
        // The simulated room is not part of the product.
        let family: Vec<(u32, String)> = family(demo.child.id())
            .into_iter()
            .filter(|(_, args)| !args.contains("role simroom"))
            .collect();
        let all: Vec<(f64, f64)> = family.iter().map(|(pid, _)| sizes(*pid)).collect();
        resident.push(all.iter().map(|(rss, _)| rss).sum());
        shared.push(all.iter().map(|(_, pss)| pss).sum());
        roles = family
            .into_iter()
            .zip(all)
            .map(|((_, args), (rss, pss))| format!("  {rss:6.1} MB resident, {pss:6.1} MB own share: {args}"))
            .collect();
    }
    report(
        "resident memory of all roles, summed (shared pages counted in each)",
        "MB",
        resident,
    );
    report(
        "resident memory of all roles, shared pages counted once",
        "MB",
        shared,
    );
    for role in roles {
        println!("{role}");
    }
    Ok(())
}

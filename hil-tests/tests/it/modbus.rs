//! Modbus against a server that is not ours: pymodbus serves the recordings of all profiles, over
//! TCP and over RTU on a pseudo-terminal, and the port is pulled out and put back.

use controller::modbus::{Address, Line, Lines, Session};
use hil_tests::pymodbus::{Server, python};
use hil_tests::{cannot_run, free_port, wait_for, yagura_bin};
use room::device::PollFailure;
use room::profile::recording::reading_text;
use room::profile::register::Image;
use room::profile::{Library, Profile};
use room::site::link::{LineParity, SerialLine};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Longer than anything a test waits for on a loaded machine.
const BOUND: Duration = Duration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(3);
const RETRIES: u8 = 1;

/// A recording of a built-in profile and the reading that belongs to it.
struct Case {
    name: String,
    profile: Arc<Profile>,
    image: Image,
    expected: String,
}

/// Every recording of every Modbus profile.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../controller/room/profiles");
    let library = Library::builtin();
    let mut cases = Vec::new();
    for profile in library.iter().filter(|profile| profile.modbus().is_some()) {
        let recordings = folder.join(profile.kind().word()).join(profile.name());
        for entry in std::fs::read_dir(&recordings).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "registers") {
                cases.push(Case {
                    name: format!("{} {}", profile.name(), path.file_stem().unwrap().display()),
                    profile: Arc::clone(profile),
                    image: Image::parse(&std::fs::read_to_string(&path).unwrap()).unwrap(),
                    expected: std::fs::read_to_string(path.with_extension("reading")).unwrap(),
                });
            }
        }
    }
    assert!(cases.len() >= 20, "{} recordings", cases.len());
    cases
}

fn units(cases: &[Case]) -> BTreeMap<u8, Image> {
    (1..)
        .zip(cases)
        .map(|(unit, case)| (unit, case.image.clone()))
        .collect()
}

fn session(lines: &Lines, line: &Line, unit: u8, profile: &Arc<Profile>) -> Session {
    Session::on(
        lines.clone(),
        line.clone(),
        unit,
        Arc::clone(profile),
        TIMEOUT,
        RETRIES,
    )
}

/// Reads every unit twice: the first time it learns what the unit lacks.
async fn read_all(cases: &[Case], line: &Line) {
    let lines = Lines::default();
    for (unit, case) in (1..).zip(cases) {
        let mut session = session(&lines, line, unit, &case.profile);
        for time in 1..=2 {
            let reading = tokio::time::timeout(BOUND, session.read()).await.unwrap();
            let reading = reading.unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
            assert_eq!(
                reading_text(&reading),
                case.expected,
                "{}, reading {time}",
                case.name
            );
        }
    }
    let counters: BTreeMap<_, _> = lines.counters().into_iter().collect();
    println!("{line}: {counters:?}");
    assert_eq!(counters["modbus.refused"], 0, "{counters:?}");
    assert_eq!(counters["modbus.lines_closed"], 0, "{counters:?}");
}

/// A pseudo-terminal: a master that no child of a test inherits, and the other end held open, so
/// that the master does not hang up while nobody else has it open.
struct Terminal {
    master: AsyncFd<OwnedFd>,
    path: PathBuf,
    _held: File,
}

impl Terminal {
    fn new() -> Self {
        /// `O_NOCTTY`: the terminal must not become the test's own.
        const NO_TERMINAL: i32 = 0o400;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        let path = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let held = OpenOptions::new()
            .read(true)
            .custom_flags(NO_TERMINAL)
            .open(&path);
        #[expect(
            deprecated,
            reason = "its successor wants `unsafe` for types that may change their descriptor; `OwnedFd` cannot"
        )]
        let master = AsyncFd::new(master).unwrap();
        Self {
            master,
            path,
            _held: held.unwrap(),
        }
    }

    /// Carries what comes here over to the other one.
    async fn carry_to(&self, other: &Self) -> std::io::Result<()> {
        let mut bytes = [0; 512];
        loop {
            let came = self
                .master
                .async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut bytes)?))
                .await?;
            let mut gone = 0;
            while gone < came {
                gone += other
                    .master
                    .async_io(Interest::WRITABLE, |fd| {
                        Ok(rustix::io::write(fd, &bytes[gone..came])?)
                    })
                    .await?;
            }
        }
    }
}

/// A serial line of two pseudo-terminals: what the product opens is a name that a test can take
/// away and give back, as a USB adapter does.
struct Cable {
    name: PathBuf,
    server_side: Arc<Terminal>,
    bridge: Option<tokio::task::JoinHandle<()>>,
}

impl Cable {
    fn new(folder: &Path) -> Self {
        let mut cable = Self {
            name: folder.join("ttyUSB0"),
            server_side: Arc::new(Terminal::new()),
            bridge: None,
        };
        cable.plug();
        cable
    }

    fn plug(&mut self) {
        let product_side = Terminal::new();
        std::os::unix::fs::symlink(&product_side.path, &self.name).unwrap();
        let server_side = Arc::clone(&self.server_side);
        self.bridge = Some(tokio::spawn(async move {
            // Until it is unplugged.
            tokio::select! {
                _ = product_side.carry_to(&server_side) => {}
                _ = server_side.carry_to(&product_side) => {}
            }
        }));
    }

    /// The device file goes, and so does what was open of it.
    async fn unplug(&mut self) {
        std::fs::remove_file(&self.name).unwrap();
        if let Some(bridge) = self.bridge.take() {
            bridge.abort();
            let _ = bridge.await;
        }
    }

    fn line(&self) -> Line {
        Line::Rtu(SerialLine {
            path: self.name.clone(),
            baud: 9600,
            parity: LineParity::None,
            stop_bits: 1,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_modbus_profile_reads_its_recordings_from_pymodbus_over_tcp() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return assert!(cannot_run(Some(why))),
    };
    let cases = cases();
    let addr = free_port();
    let _server = Server::tcp(python, addr.port(), &units(&cases));
    read_all(&cases, &Line::Tcp(addr)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_modbus_profile_reads_its_recordings_from_pymodbus_on_a_serial_line() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return assert!(cannot_run(Some(why))),
    };
    let cases = cases();
    let folder = tempfile::tempdir().unwrap();
    let cable = Cable::new(folder.path());
    let _server = Server::rtu(python, &cable.server_side.path, &units(&cases));
    read_all(&cases, &cable.line()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_pulled_out_and_put_back_is_read_again_and_an_outage_is_seen() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return assert!(cannot_run(Some(why))),
    };
    let mut cases = cases();
    cases.retain(|case| case.name == "modbus-apc-smart-ups on-mains");
    let folder = tempfile::tempdir().unwrap();
    let mut cable = Cable::new(folder.path());
    let mut server = Server::rtu(python, &cable.server_side.path, &units(&cases));
    let lines = Lines::default();
    let mut ups = session(&lines, &cable.line(), 1, &cases[0].profile);
    assert_eq!(ups.read().await.unwrap().state("output.source"), Some("mains"));

    cable.unplug().await;
    let failure = ups.read().await.unwrap_err();
    assert!(matches!(failure, PollFailure::Unreachable(_)), "{failure:?}");
    // The mains fails while nobody can see it.
    let status = Address {
        at: 1,
        space: "holding".parse().unwrap(),
    };
    server.set(1, status, 0x0004);
    cable.plug();
    let reading = wait_for("the reading after the port was put back", BOUND, async || {
        ups.read().await.ok()
    })
    .await;
    assert_eq!(reading.state("output.source"), Some("battery"));
    assert_eq!(reading.number("battery.charge"), Some(100.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_shows_what_pymodbus_serves_and_says_what_is_wrong() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return assert!(cannot_run(Some(why))),
    };
    let cases = cases();
    let unit = |name: &str| 1 + cases.iter().position(|case| case.name == name).unwrap();
    let addr = free_port();
    let _server = Server::tcp(python, addr.port(), &units(&cases));
    let ups = unit("modbus-apc-smart-ups self-test").to_string();
    let json = probe(
        addr,
        &["--unit", &ups, "--profile", "modbus-apc-smart-ups", "--json"],
    );
    let report: Json = serde_json::from_str(&json.unwrap()).unwrap();
    let facts = report["facts"].as_array().unwrap();
    let fact = |name: &str| facts.iter().find(|fact| fact["name"] == name).unwrap();
    assert_eq!(fact("output.source")["value"], "test");
    assert_eq!(fact("battery.charge")["value"], 99);
    assert_eq!(fact("ups.model")["value"], "Smart-UPS X 1500");

    let raw = probe(
        addr,
        &["--unit", &ups, "--read", "holding:0:3", "--read", "holding:130"],
    )
    .unwrap();
    assert!(raw.contains("holding:1") && raw.contains("0x0084"), "{raw}");
    for (args, said) in [
        (
            ["--unit", &ups, "--read", "holding:50000"],
            "illegal data address",
        ),
        (["--unit", &ups, "--profile", "rfc1628"], "is for SNMP"),
        (["--unit", &ups, "--read", "holding:0:126"], "1 to 125 registers"),
    ] {
        let refused = probe(addr, &args).unwrap_err();
        assert!(refused.contains(said), "{args:?}: {refused}");
    }
}

/// What `yagura probe modbus` printed; on failure, what it said.
fn probe(addr: SocketAddr, args: &[&str]) -> Result<String, String> {
    let output = Command::new(yagura_bin())
        .args(["probe", "modbus", &addr.to_string(), "--timeout", "5"])
        .args(args)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

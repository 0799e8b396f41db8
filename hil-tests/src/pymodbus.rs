//! pymodbus, a Modbus server that is not ours, and the Python that it and other parts run in.
//!
//! The Python environment is made once beside the build's other files, with pinned versions from
//! PyPI; without Python or without the network the tests that need it say so and are skipped.

use crate::Child;
use room::profile::register::{Address, Cell, Image};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// What is installed: a new version is a new environment.
const PACKAGES: [&str; 3] = ["pymodbus==3.16.1", "pyserial==3.5", "aiosmtpd==1.4.6"];
/// Longer than Python takes to start on a loaded machine.
const BOUND: Duration = Duration::from_secs(120);

/// The Python that has pymodbus and aiosmtpd; the reason when there is none.
///
/// # Errors
/// What is missing, with what to do.
pub fn python() -> Result<&'static Path, String> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PYTHON.get_or_init(make).as_deref().map_err(Clone::clone)
}

fn make() -> Result<PathBuf, String> {
    let test = std::env::current_exe().map_err(|error| error.to_string())?;
    // target/<profile>/deps/<test>
    let target = test
        .ancestors()
        .nth(3)
        .ok_or("the test is not in a target folder")?;
    let folder = target.join(PACKAGES.join("-").replace("==", "-"));
    let python = folder.join("bin/python");
    if python.is_file() {
        return Ok(python);
    }
    // Made aside and moved: two test binaries may do this at the same time.
    let draft = target.join(format!("python-{}.partial", std::process::id()));
    let made = run(Command::new("python3").args(["-m", "venv"]).arg(&draft))
        .map_err(|why| format!("python3 with venv (apt-get install python3-venv): {why}"))
        .and_then(|()| {
            let mut pip = Command::new(draft.join("bin/python"));
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
            ]);
            run(pip.args(PACKAGES)).map_err(|why| format!("{} from PyPI: {why}", PACKAGES.join(", ")))
        });
    if let Err(why) = made {
        // A half-made one is of no use to anybody.
        let _ = std::fs::remove_dir_all(&draft);
        return Err(why);
    }
    if std::fs::rename(&draft, &folder).is_err() {
        // The other test was first.
        let _ = std::fs::remove_dir_all(&draft);
    }
    python
        .is_file()
        .then_some(python)
        .ok_or_else(|| format!("{} was not made", folder.display()))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().last().unwrap_or("failed");
    Err(last.to_owned())
}

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Before the child: its end ends the child.
    orders: ChildStdin,
    said: Receiver<String>,
    _child: Child,
}

impl Server {
    /// Serves these units over TCP on this port of loopback.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn tcp(python: &Path, port: u16, units: &BTreeMap<u8, Image>) -> Self {
        Self::start(python, "tcp", &port.to_string(), units)
    }

    /// Serves these units as RTU on a serial port.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn rtu(python: &Path, path: &Path, units: &BTreeMap<u8, Image>) -> Self {
        Self::start(python, "rtu", &path.to_string_lossy(), units)
    }

    fn start(python: &Path, kind: &str, place: &str, units: &BTreeMap<u8, Image>) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pymodbus/server.py");
        let mut command = Command::new(python);
        command.arg(script).args([kind, place]);
        // What it logs of each refused question would fill the test's log.
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = Child::start(&mut command);
        let orders = child.inner().stdin.take().expect("it was asked for");
        let out = child.inner().stdout.take().expect("it was asked for");
        let (say, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        let mut server = Self {
            orders,
            said,
            _child: child,
        };
        let units: serde_json::Map<String, Json> = units
            .iter()
            .map(|(unit, image)| (unit.to_string(), tables(image)))
            .collect();
        server.say(&json!({ "units": units }));
        server.hear("ready");
        server
    }

    /// Changes a register of a unit.
    ///
    /// # Panics
    /// When the server has ended.
    pub fn set(&mut self, unit: u8, address: Address, word: u16) {
        let space = address.space.word();
        self.say(&json!({ "unit": unit, "space": space, "at": address.at, "word": word }));
        self.hear("ok");
    }

    fn say(&mut self, order: &Json) {
        writeln!(self.orders, "{order}").expect("the server reads its orders");
    }

    fn hear(&self, expected: &str) {
        match self.said.recv_timeout(BOUND) {
            Ok(line) => assert_eq!(line, expected, "what pymodbus said"),
            Err(error) => panic!("pymodbus did not say `{expected}`: {error}"),
        }
    }
}

fn tables(image: &Image) -> Json {
    let mut tables: BTreeMap<&str, serde_json::Map<String, Json>> = BTreeMap::new();
    for (space, at, cell) in image.iter() {
        // What fails in a recording is not there at all: pymodbus has no failing registers.
        if let Cell::Word(word) = cell {
            let table = tables.entry(space.word()).or_default();
            table.insert(at.to_string(), word.into());
        }
    }
    json!(tables)
}

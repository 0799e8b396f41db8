//! Debian's NUT on loopback: upsd and its drivers, with files and sockets of their own.

use crate::{Child, free_port};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// Longest time until a server or driver is there.
pub const START: Duration = Duration::from_secs(20);
/// Where Debian keeps what is no command of a user. `/usr/sbin/upsd` is a script that asks the
/// machine's own configuration first.
const FOLDER: &str = "/lib/nut";
/// Of the key store.
const PASSWORD: &str = "key store";

/// A driver of a UPS.
#[derive(Debug, Clone)]
pub struct Driver {
    /// Name of the UPS.
    pub ups: &'static str,
    /// Program.
    pub driver: &'static str,
    /// Its port or file.
    pub port: PathBuf,
    /// Further lines of its section.
    pub lines: &'static str,
}

impl Driver {
    /// A UPS that says what stands in a file; it is read again when it changes.
    #[must_use]
    pub fn dummy(ups: &'static str, file: &Path) -> Self {
        Self {
            ups,
            driver: "dummy-ups",
            port: file.to_owned(),
            lines: "mode = dummy-once\n",
        }
    }
}

/// A server with its drivers. Everything ends with this.
#[derive(Debug)]
pub struct Nut {
    dir: PathBuf,
    upsd: Child,
    drivers: Vec<(Driver, Child)>,
    /// Where the server listens.
    pub addr: SocketAddr,
}

/// Writes what a dummy UPS says. The driver sees a change by the file's time, whole seconds of
/// it: the time given goes up by one with every change.
///
/// # Panics
/// When the file cannot be written.
pub fn say(file: &Path, change: u64, variables: &[(&str, &str)]) {
    let text = variables.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}: {value}");
        text
    });
    let fresh = file.with_extension("new");
    fs::write(&fresh, text).expect("writing what the dummy UPS says");
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + change);
    let handle = File::options()
        .write(true)
        .open(&fresh)
        .expect("the file was just written");
    handle
        .set_modified(time)
        .expect("setting the time of an own file");
    fs::rename(fresh, file).expect("renaming an own file");
}

impl Nut {
    /// Starts the drivers and a server that lets everybody read.
    ///
    /// # Panics
    /// When one does not start within [`START`], with what it logged.
    #[must_use]
    pub fn start(dir: &Path, drivers: &[Driver]) -> Self {
        Self::with(dir, drivers, "")
    }

    /// As [`Self::start`], with STARTTLS and a certificate for 127.0.0.1 made for it, whose file
    /// is the second value.
    ///
    /// # Panics
    /// As [`Self::start`], and when `certutil` cannot make the certificate.
    #[must_use]
    pub fn with_tls(dir: &Path, drivers: &[Driver]) -> (Self, PathBuf) {
        let pem = certificate(dir);
        let lines = format!(
            "CERTPATH {}\nCERTIDENT rack \"{PASSWORD}\"\nDISABLE_WEAK_SSL true\n",
            dir.join("keys").display()
        );
        (Self::with(dir, drivers, &lines), pem)
    }

    fn with(dir: &Path, drivers: &[Driver], lines: &str) -> Self {
        let addr = free_port();
        let sections = drivers.iter().fold("maxretry = 1\n".to_owned(), |mut text, driver| {
            let Driver { ups, driver, port, lines } = driver;
            let port = port.display();
            let _ = write!(
                text,
                "[{ups}]\ndriver = {driver}\nport = {port}\npollinterval = 1\ndesc = \"the {ups}\"\n{lines}"
            );
            text
        });
        write(dir, "ups.conf", &sections);
        write(
            dir,
            "upsd.conf",
            &format!("LISTEN {} {}\nMAXAGE 3\n{lines}", addr.ip(), addr.port()),
        );
        write(
            dir,
            "upsd.users",
            "[reader]\npassword = \"room watch\"\n[teller]\npassword = \"room act\"\nactions = SET\ninstcmds = ALL\n\
             [monitor]\npassword = \"room monitor\"\nupsmon primary\n",
        );
        let running = drivers
            .iter()
            .map(|driver| (driver.clone(), driver_of(dir, driver)))
            .collect();
        let mut nut = Self {
            upsd: upsd_of(dir),
            dir: dir.to_owned(),
            drivers: running,
            addr,
        };
        nut.until_listening();
        nut
    }

    /// The running driver of a UPS.
    ///
    /// # Panics
    /// There is none.
    pub fn driver(&mut self, ups: &str) -> &mut Child {
        let found = self.drivers.iter_mut().find(|(driver, _)| driver.ups == ups);
        &mut found.expect("a driver of that name").1
    }

    /// Starts a driver again that was ended.
    pub fn restart_driver(&mut self, ups: &str) {
        for (driver, child) in &mut self.drivers {
            if driver.ups == ups {
                child.stop();
                *child = driver_of(&self.dir, driver);
            }
        }
    }

    /// Process id of the server.
    #[must_use]
    pub fn server_id(&self) -> u32 {
        self.upsd.id()
    }

    /// Ends the server as a crash would.
    pub fn kill_server(&mut self) {
        self.upsd.kill();
    }

    /// Starts the server again, at the same address.
    pub fn restart_server(&mut self) {
        self.upsd.stop();
        self.upsd = upsd_of(&self.dir);
        self.until_listening();
    }

    /// What server and drivers logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    #[expect(clippy::disallowed_methods, reason = "started from plain tests too")]
    fn until_listening(&mut self) {
        let until = Instant::now() + START;
        while TcpStream::connect(self.addr).is_err() {
            let ended = self.upsd.ended();
            assert!(
                ended.is_none() && Instant::now() < until,
                "upsd does not listen on {} ({ended:?}): {}",
                self.addr,
                self.log()
            );
            std::thread::sleep(crate::LOOK_EVERY);
        }
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::write(&path, text).expect("writing a configuration of NUT");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("an own file");
}

/// `-u`: as who we are, not as the machine's own NUT; `-D`: in the foreground.
fn program(dir: &Path, name: &str) -> Command {
    let log = File::options().create(true).append(true).open(dir.join("log"));
    let log = log.expect("opening the log of NUT");
    let mut command = Command::new(format!("{FOLDER}/{name}"));
    command
        .args(["-u", &user()])
        .arg("-D")
        .env("NUT_CONFPATH", dir)
        .env("NUT_STATEPATH", dir)
        .env("NUT_PIDPATH", dir)
        .env("NUT_ALTPIDPATH", dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle of the log"))
        .stderr(log);
    command
}

fn user() -> String {
    let id = Command::new("id")
        .arg("-un")
        .output()
        .expect("`id` is part of every system");
    String::from_utf8_lossy(&id.stdout).trim().to_owned()
}

fn driver_of(dir: &Path, driver: &Driver) -> Child {
    Child::start(program(dir, driver.driver).args(["-a", driver.ups]))
}

fn upsd_of(dir: &Path) -> Child {
    Child::start(&mut program(dir, "upsd"))
}

/// A self-signed certificate in a key store, as the stock server wants it; also as PEM.
fn certificate(dir: &Path) -> PathBuf {
    let keys = dir.join("keys");
    fs::create_dir(&keys).expect("making a folder of our own");
    let password = dir.join("keys.password");
    fs::write(&password, PASSWORD).expect("writing an own file");
    let noise = dir.join("noise");
    fs::write(&noise, [0x5a; 64]).expect("writing an own file");
    let certutil = |args: &[&str]| {
        let mut command = Command::new("certutil");
        command.args(args).arg("-d").arg(&keys).arg("-f").arg(&password);
        let output = command.output().expect("libnss3-tools is installed");
        assert!(
            output.status.success(),
            "certutil {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    certutil(&["-N"]);
    let noise = noise.to_string_lossy();
    certutil(&[
        "-S",
        "-x",
        "-n",
        "rack",
        "-s",
        "CN=127.0.0.1",
        "-t",
        "CT,C,C",
        "-m",
        "1",
        "-k",
        "ec",
        "-q",
        "nistp256",
        "--extSAN",
        "ip:127.0.0.1",
        "-z",
        &noise,
    ]);
    let pem = dir.join("rack.pem");
    fs::write(&pem, certutil(&["-L", "-n", "rack", "-a"])).expect("writing an own file");
    pem
}

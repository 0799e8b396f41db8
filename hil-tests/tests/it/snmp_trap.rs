//! Traps and informs as Debian's `snmptrap` sends them: v1, v2c and v3, heard by the product's
//! listener. Whatever they say, they have their device polled, and that is all.

use super::snmp_v3::{AUTH_PASSWORD, PRIVACY_PASSWORD, Snmpd, snmpd};
use controller::core::source::poll::{Control, Means};
use controller::listen;
use hil_tests::{cannot_run, lacking, wait_for};
use room::profile::Library;
use room::site::link::{AuthProtocol, Link, PrivProtocol, SnmpAccess, SnmpLink, Usm};
use room::site::{Device, DeviceKind, Label, Secret};
use room::time::Millis;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::mpsc;

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);
/// upsTrapOnBattery.
const ON_BATTERY: &str = "1.3.6.1.2.1.33.2.1";

fn secret(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, format!("{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn device(name: &str, addr: SocketAddr, access: SnmpAccess) -> Device {
    Device {
        name: name.to_owned(),
        label: Label::default(),
        kind: DeviceKind::Other,
        link: Link::Snmp(SnmpLink { addr, access }),
        behind: None,
        uplinks: Vec::new(),
        commands: Vec::new(),
        write: None,
        profile: None,
        poll: Millis::from_secs(3600),
        poll_on_battery: Millis::from_secs(3600),
        timeout: Millis(2000),
        retries: 2,
    }
}

/// A listener that knows two devices of one agent: `plain` by v2c, `sealed` by v3.
struct Listener {
    addr: SocketAddr,
    orders: mpsc::Receiver<Control>,
    means: Means,
    _snmpd: Snmpd,
    _dir: tempfile::TempDir,
}

impl Listener {
    async fn start() -> Self {
        let snmpd = snmpd().await;
        let dir = tempfile::tempdir().unwrap();
        let usm = Usm {
            user: "SHA256AES".to_owned(),
            auth: Some((AuthProtocol::Sha256, secret(dir.path(), "auth", AUTH_PASSWORD))),
            privacy: Some((
                PrivProtocol::Aes128,
                secret(dir.path(), "privacy", PRIVACY_PASSWORD),
            )),
            context: String::new(),
        };
        let means = Means::open(Arc::new(Library::builtin())).await.unwrap();
        let plain = device(
            "plain",
            snmpd.addr,
            SnmpAccess::V2c(Secret("serverroom".to_owned())),
        );
        let sealed = device("sealed", snmpd.addr, SnmpAccess::V3(Box::new(usm)));
        for device in [plain, sealed] {
            means.converse(&device).read().await.unwrap();
        }
        let (polling, orders) = mpsc::channel(8);
        tokio::spawn(controller::core::source::trap::run(
            means.clone(),
            "127.0.0.1:0".parse().unwrap(),
            dir.path().to_owned(),
            polling,
        ));
        let addr = wait_for("the listener", BOUND, async || {
            listen::address_of(dir.path(), "trap")
        })
        .await;
        Self {
            addr,
            orders,
            means,
            _snmpd: snmpd,
            _dir: dir,
        }
    }

    /// Sends one; `options` stand before the address, `what` after it.
    async fn send(&self, options: &[&str], what: &[&str]) -> Output {
        let mut command = Command::new("snmptrap");
        command
            .args(["-M", "", "-m", "", "-r", "1", "-t", "5"])
            .args(options)
            .arg(self.addr.to_string())
            .args(what)
            // Its own boots stay out of the home folder.
            .env("SNMP_PERSISTENT_DIR", self._dir.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        tokio::time::timeout(BOUND, command.output())
            .await
            .unwrap()
            .unwrap()
    }

    async fn polled(&mut self) -> Control {
        tokio::time::timeout(BOUND, self.orders.recv())
            .await
            .unwrap()
            .unwrap()
    }

    fn counted(&self, name: &str) -> u64 {
        let counters = self.means.counters();
        counters.iter().find(|(counter, _)| *counter == name).unwrap().1
    }
}

fn poll(name: &str) -> Control {
    Control::PollNow(name.to_owned())
}

const V3: [&str; 14] = [
    "-v",
    "3",
    "-u",
    "SHA256AES",
    "-l",
    "authPriv",
    "-a",
    "SHA-256",
    "-A",
    AUTH_PASSWORD,
    "-x",
    "AES",
    "-X",
    PRIVACY_PASSWORD,
];

#[tokio::test(flavor = "multi_thread")]
async fn debians_traps_and_informs_of_every_version_have_their_device_polled() {
    if cannot_run(lacking(&["snmpd", "snmpget"])) {
        return;
    }
    let mut listener = Listener::start().await;
    let generic = ["1.3.6.1.2.1.33.2", "127.0.0.1", "6", "1", "0"];
    let v2 = ["", ON_BATTERY];

    assert!(
        listener
            .send(&["-v", "1", "-c", "serverroom"], &generic)
            .await
            .status
            .success()
    );
    assert_eq!(listener.polled().await, poll("plain"));
    assert!(
        listener
            .send(&["-v", "2c", "-c", "serverroom"], &v2)
            .await
            .status
            .success()
    );
    assert_eq!(listener.polled().await, poll("plain"));
    assert_eq!(listener.counted("trap.traps"), 2);

    // An inform: the sender waits for our answer, and fails without it.
    let informed = listener.send(&["-Ci", "-v", "2c", "-c", "serverroom"], &v2).await;
    assert!(informed.status.success(), "{informed:?}");
    assert_eq!(listener.polled().await, poll("plain"));
    // A v3 inform: it discovers our engine and our clock first.
    let informed = listener.send(&[&["-Ci"], &V3[..]].concat(), &v2).await;
    assert!(informed.status.success(), "{informed:?}");
    assert_eq!(listener.polled().await, poll("sealed"));
    assert_eq!(listener.counted("trap.informs"), 2);

    // A v3 trap is of the sender's engine, which the poll has proven.
    let (engine, boots, time) = engine_of(&listener).await;
    let at = format!("{boots},{time}");
    let proven = [&["-e", &engine, "-Z", &at], &V3[..]].concat();
    assert!(listener.send(&proven, &v2).await.status.success());
    assert_eq!(listener.polled().await, poll("sealed"));
    assert_eq!(listener.counted("trap.traps"), 3);
}

/// The agent's engine id as `snmptrap -e` takes it, its boots and its time.
async fn engine_of(listener: &Listener) -> (String, String, String) {
    let mut command = Command::new("snmpget");
    command
        .args([
            "-M",
            "",
            "-m",
            "",
            "-v",
            "2c",
            "-c",
            "serverroom",
            "-O",
            "vqx",
            "-t",
            "5",
        ])
        .arg(listener._snmpd.addr.to_string())
        .args([
            "1.3.6.1.6.3.10.2.1.1.0",
            "1.3.6.1.6.3.10.2.1.2.0",
            "1.3.6.1.6.3.10.2.1.3.0",
        ])
        .stdin(Stdio::null());
    let output = tokio::time::timeout(BOUND, command.output())
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // The octets stand in quotes, over as many lines as they need.
    let (hex, rest) = text.trim_start_matches('"').split_once('"').unwrap();
    let hex: String = hex.chars().filter(char::is_ascii_hexdigit).collect();
    let mut rest = rest.split_whitespace();
    let mut next = || rest.next().unwrap().to_owned();
    (format!("0x{hex}"), next(), next())
}

#[tokio::test(flavor = "multi_thread")]
async fn debians_traps_of_strangers_are_refused_and_counted() {
    if cannot_run(lacking(&["snmpd", "snmpget"])) {
        return;
    }
    let mut listener = Listener::start().await;
    let v2 = ["", ON_BATTERY];
    let refused = listener.send(&["-Ci", "-v", "2c", "-c", "public"], &v2).await;
    assert!(
        !refused.status.success(),
        "an inform of a stranger is not answered"
    );
    assert!(listener.counted("trap.refused_stranger") >= 1);

    let mut wrong = V3;
    wrong[9] = "another password";
    let refused = listener.send(&[&["-Ci"], &wrong[..]].concat(), &v2).await;
    assert!(!refused.status.success());
    assert!(listener.counted("trap.refused_unproven") >= 1);
    let mut unknown = V3;
    unknown[3] = "SHA256";
    let refused = listener.send(&[&["-Ci"], &unknown[..]].concat(), &v2).await;
    assert!(!refused.status.success());

    let engine = ["-e", "0x80007ed9056e6f626f6479"];
    assert!(
        listener
            .send(&[&engine, &V3[..]].concat(), &v2)
            .await
            .status
            .success()
    );
    wait_for("the trap of an unknown engine", BOUND, async || {
        (listener.counted("trap.refused_engine") == 1).then_some(())
    })
    .await;
    assert!(listener.orders.try_recv().is_err(), "nothing was polled");
    assert_eq!(
        listener.counted("trap.traps") + listener.counted("trap.informs"),
        0
    );
}

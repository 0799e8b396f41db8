//! Our MIB and our notifications at net-snmp: `snmptrapd` prints them by the names of the MIB, as
//! `snmptranslate` and `smilint` read it.
//!
//! The base modules that a MIB imports may not be shipped by Debian; `tests/mibs` has the few names
//! of them that ours needs.

use super::notifier_syslog::{leak, notice, sender_in};
use super::snmp_v3::{AUTH_PASSWORD, PRIVACY_PASSWORD};
use controller::core::notifier::Sender;
use controller::snmp::trap::OwnEngine;
use hil_tests::product::write_secret;
use hil_tests::{Child, cannot_run, free_udp_port, lacking, wait_for};
use room::notice::text::Language;
use room::notice::{About, Moment};
use room::site::Secret;
use room::site::link::{AuthProtocol, PrivProtocol, SnmpAccess, Usm};
use room::site::notifier::Endpoint;
use room::site::notifier::snmp::Snmp;
use room::time::{Millis, Mono};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(20);
const BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mibs");
const OURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/mibs");

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn the_mib_is_read_without_errors_by_two_readers() {
    if cannot_run(lacking(&["smilint", "snmpget"])) {
        return;
    }
    let file = format!("{OURS}/YAGURA-MIB.txt");
    // Severity 3 and below are errors; of a file that has some it says so.
    let lint = |file: &str| {
        run(Command::new("smilint")
            .args(["-l", "3", "-s", file])
            .env("SMIPATH", BASE))
    };
    assert_eq!(lint(&file), "");
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("YAGURA-MIB.txt");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&broken, text.replacen("yaguraSite,", "yaguraSights,", 1)).unwrap();
    assert!(lint(broken.to_str().unwrap()).contains("yaguraSights"));

    let translate = |name: &str| {
        let mut command = Command::new("snmptranslate");
        command
            .args(["-M", &format!("{BASE}:{OURS}"), "-m", "YAGURA-MIB", "-On", name])
            .env("SNMP_PERSISTENT_DIR", dir.path());
        let output = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (name, oid) in [
        ("yaguraAlarmRaised", ".1.3.6.1.4.1.32473.1.0.1"),
        ("yaguraHeartbeat", ".1.3.6.1.4.1.32473.1.0.8"),
        ("yaguraAlarmWhat.0", ".1.3.6.1.4.1.32473.1.1.7.0"),
    ] {
        assert_eq!(translate(&format!("YAGURA-MIB::{name}")).trim(), oid);
    }
}

struct Station {
    addr: SocketAddr,
    child: Child,
    dir: tempfile::TempDir,
}

impl Station {
    /// Hears the community `serverroom`, and the user `yagura` of both engines: ours, in whose name
    /// traps come, and its own, which informs are sent to.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        drop(OwnEngine::open(dir.path(), Mono(0)).unwrap());
        let engine = std::fs::read_to_string(dir.path().join("snmp-engine")).unwrap();
        let (engine, _) = engine.split_once(' ').unwrap();
        let user = format!("yagura SHA-256 \"{AUTH_PASSWORD}\" AES \"{PRIVACY_PASSWORD}\"");
        let config = format!(
            "authCommunity log serverroom\ncreateUser {user}\ncreateUser -e 0x{engine} {user}\nauthUser log yagura priv\n"
        );
        std::fs::write(dir.path().join("station.conf"), config).unwrap();
        let addr = free_udp_port();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("snmptrapd");
        command
            .args(["-f", "-Lo", "-n", "-C", "-c"])
            .arg(dir.path().join("station.conf"))
            .args(["-M", &format!("{BASE}:{OURS}"), "-m", "YAGURA-MIB", "-OQ"])
            .arg(format!("udp:{addr}"))
            .env("SNMP_PERSISTENT_DIR", dir.path().join("state"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut station = Self {
            addr,
            child: Child::start(&mut command),
            dir,
        };
        wait_for("snmptrapd listens", BOUND, async || {
            let ended = station.child.ended();
            assert!(ended.is_none(), "{ended:?}: {}", station.log());
            station.log().contains("NET-SNMP version").then_some(())
        })
        .await;
        station
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The line of a notification of this name.
    async fn heard(&self, name: &str) -> String {
        let what = format!("YAGURA-MIB::{name}");
        wait_for(&what, BOUND, async || {
            let log = self.log();
            let found = log.lines().find(|line| line.contains(&what));
            found.map(str::to_owned)
        })
        .await
    }

    fn sender(&self, access: SnmpAccess, inform: bool) -> Sender {
        self.patient(access, inform, 2)
    }

    fn patient(&self, access: SnmpAccess, inform: bool, retries: u8) -> Sender {
        let config = Snmp {
            addr: self.addr,
            access,
            inform,
            language: Language::Ja,
            timeout: Millis(500),
            retries,
        };
        sender_in(Endpoint::Snmp(Box::new(config)), self.dir.path())
    }
}

fn secret(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    write_secret(&dir.join(name), text)
}

#[tokio::test]
async fn a_station_prints_traps_and_informs_of_both_versions_by_the_names_of_the_mib() {
    if cannot_run(lacking(&["snmptrapd"])) {
        return;
    }
    let mut station = Station::start().await;
    let community = SnmpAccess::V2c(Secret("serverroom".to_owned()));
    let user = SnmpAccess::V3(Box::new(Usm {
        user: "yagura".to_owned(),
        auth: Some((
            AuthProtocol::Sha256,
            secret(station.dir.path(), "auth", AUTH_PASSWORD),
        )),
        privacy: Some((
            PrivProtocol::Aes128,
            secret(station.dir.path(), "privacy", PRIVACY_PASSWORD),
        )),
        context: String::new(),
    }));

    let mut trap = station.sender(community.clone(), false);
    trap.send(&leak(Moment::Raised)).await.unwrap();
    let raised = station.heard("yaguraAlarmRaised").await;
    for words in [
        "YAGURA-MIB::yaguraSite.0 = 第一サーバ室",
        "YAGURA-MIB::yaguraAlarmId.0 = leak.1",
        "YAGURA-MIB::yaguraAlarmPriority.0 = critical",
        "YAGURA-MIB::yaguraAlarmWhat.0 = 漏水",
        "YAGURA-MIB::yaguraAlarmAction.0 = 空調機Aを止める",
        "YAGURA-MIB::yaguraAlarmSince.0 = 2026-11-18,11:6:30.0,+0:0",
        "YAGURA-MIB::yaguraAlarmFolded.0 = 4",
        "YAGURA-MIB::yaguraSimulated.0 = false",
    ] {
        assert!(raised.contains(words), "{words}: {raised}");
    }
    let mut inform = station.sender(community.clone(), true);
    inform.send(&leak(Moment::Acknowledged)).await.unwrap();
    station.heard("yaguraAlarmAcknowledged").await;

    let mut sealed = station.sender(user.clone(), false);
    sealed.send(&leak(Moment::Returned)).await.unwrap();
    let returned = station.heard("yaguraAlarmReturned").await;
    assert!(returned.contains("yaguraAlarmWhat.0 = 漏水"), "{returned}");
    let mut acknowledged = station.sender(user, true);
    acknowledged
        .send(&notice(About::Heartbeat { count: 7 }))
        .await
        .unwrap();
    let heartbeat = station.heard("yaguraHeartbeat").await;
    assert!(heartbeat.contains("yaguraHeartbeatCount.0 = 7"), "{heartbeat}");

    // Whoever is not known is not acknowledged.
    let stranger = SnmpAccess::V2c(Secret("other".to_owned()));
    let refused = station
        .patient(stranger, true, 0)
        .send(&leak(Moment::Shelved))
        .await;
    assert!(refused.unwrap_err().retryable);
    assert!(!station.log().contains("yaguraAlarmShelved"));
    station.child.stop();
    let mut gone = station.patient(community, true, 0);
    assert!(gone.send(&leak(Moment::Reminder)).await.unwrap_err().retryable);
}

//! UPSes on serial lines: the simulated one must satisfy stock NUT drivers, and what we read of
//! it must be what they read.

use controller::nut::Servers;
use controller::serial::Ports;
use hil_tests::nut::{Driver, Nut};
use hil_tests::product::Yagura;
use hil_tests::sitefile::SiteFile;
use hil_tests::{cannot_run, free_port, lacking, wait_for, yagura_bin};
use room::device::Reading;
use room::site::link::{LineParity, MegatecDialect, MegatecLink, NutLink, NutTls, SerialLine};
use simroom::megatec::{Dialect, SerialUps};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);

async fn read(port: &Path, dialect: MegatecDialect) -> Reading {
    let link = MegatecLink {
        line: SerialLine {
            path: port.to_owned(),
            baud: 2400,
            parity: LineParity::None,
            stop_bits: 1,
        },
        dialect,
    };
    let mut session = Ports::default().session(&link, BOUND, 0);
    session.read().await.unwrap()
}

/// What a stock driver makes of the UPS at that port, by way of a stock server.
async fn by_stock_driver(port: &Path, driver: &'static str, source: &str) -> Reading {
    let folder = tempfile::tempdir().unwrap();
    let driver = Driver {
        ups: "sim",
        driver,
        port: port.to_owned(),
        lines: if driver == "nutdrv_qx" {
            "protocol = megatec\n"
        } else {
            ""
        },
    };
    let nut = Nut::start(folder.path(), &[driver]);
    let link = NutLink {
        addr: nut.addr,
        ups: "sim".to_owned(),
        login: None,
        tls: NutTls::Off,
        ca_file: None,
    };
    let mut session = Servers::default().session(&link, BOUND, 0);
    let what = format!("`{source}` by the stock driver; it logs:\n{}", nut.log());
    wait_for(&what, BOUND, async || {
        let reading = session.read().await.ok()?;
        (reading.state("output.source") == Some(source)).then_some(reading)
    })
    .await
}

#[tokio::test]
async fn stock_drivers_and_ours_read_the_same_of_one_ups() {
    if cannot_run(lacking(&["upsd"])) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ups = SerialUps::start(Dialect::Megatec, &folder.path().join("ups")).unwrap();
    for (driver, mains, source) in [
        ("blazer_ser", true, "mains"),
        ("blazer_ser", false, "battery"),
        ("nutdrv_qx", true, "mains"),
        ("nutdrv_qx", false, "battery"),
    ] {
        ups.set_mains(mains);
        let ours = read(ups.port(), MegatecDialect::Auto).await;
        let theirs = by_stock_driver(ups.port(), driver, source).await;
        assert_eq!(ours.state("output.source"), Some(source));
        for name in [
            "input.voltage",
            "output.voltage",
            "ups.load",
            "input.frequency",
            "battery.voltage",
            "ups.temperature",
            "battery.voltage.nominal",
            "input.voltage.nominal",
        ] {
            assert!(ours.number(name).is_some(), "{name}");
            assert_eq!(ours.number(name), theirs.number(name), "{driver}: {name}");
        }
        for name in ["battery.status", "output.source"] {
            assert_eq!(ours.state(name), theirs.state(name), "{driver}: {name}");
        }
    }
    // Stock drivers may write; what we sent changes nothing in a UPS.
    let harmless = |text: &String| matches!(text.as_str(), "Q1" | "F" | "I" | "Bl ?");
    let fresh = SerialUps::start(Dialect::Megatec, &folder.path().join("fresh")).unwrap();
    read(fresh.port(), MegatecDialect::Auto).await;
    assert!(fresh.heard().iter().all(harmless), "{:?}", fresh.heard());
}

#[tokio::test]
async fn the_command_line_reads_the_ups_at_a_port() {
    let folder = tempfile::tempdir().unwrap();
    let ups = SerialUps::start(Dialect::Omron, &folder.path().join("ups")).unwrap();
    let probe = async |port: &Path| {
        let output = Command::new(yagura_bin())
            .args(["probe", "serial"])
            .arg(port)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        tokio::time::timeout(BOUND, output).await.unwrap().unwrap()
    };
    let output = probe(ups.port()).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for wanted in ["megatec-omron", "battery.runtime", "2520 s", "mains"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let missing = probe(&folder.path().join("nothing")).await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("serial port"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_product_sees_an_outage_and_a_pulled_cable() {
    let folder = tempfile::tempdir().unwrap();
    let mut ups = SerialUps::start(Dialect::Omron, &folder.path().join("ups")).unwrap();
    let site = SiteFile::new(folder.path())
        .builtin_mqtt(free_port())
        .with(&format!(
            "[[device]]\nname = \"ups-a\"\nkind = \"ups\"\nprotocol = \"megatec\"\nport = \"{}\"\ndialect = \"omron\"\n\
             poll = \"1s\"\npoll_on_battery = \"500ms\"\ntimeout = \"500ms\"\nretries = 1\n",
            ups.port().display()
        ))
        .write();
    let yagura = Yagura::run(&site);
    let seen = |what: &'static str, contact: &'static str, source: &'static str| {
        tokio::task::block_in_place(|| {
            yagura.wait(what, BOUND, |room| {
                room.power
                    .ups
                    .iter()
                    .any(|ups| ups.contact == contact && ups.source == source)
                    .then_some(())
            });
        });
    };
    seen("mains", "good", "mains");
    ups.set_mains(false);
    seen("the outage", "good", "battery");
    ups.set_mains(true);
    seen("mains again", "good", "mains");
    ups.unplug().await;
    seen("the pulled cable", "lost", "unknown");
    ups.plug().unwrap();
    seen("the cable in its place", "good", "mains");
}

//! From a device to the API, through the whole product: a Modbus device, and a trap that brings a new
//! reading long before the next poll is due.

use ::simroom::ups::{Mib, Model, Ups};
use hil_tests::product::Yagura;
use hil_tests::pymodbus::{Server, python};
use hil_tests::sitefile::SiteFile;
use hil_tests::{cannot_run, free_port, free_udp_port, lacking};
use room::profile::register::{Address, Image};
use room::snapshot::Snapshot;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

/// Longer than anything a test waits for on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);
/// A trap that came before core listened is sent again.
const AGAIN: Duration = Duration::from_secs(1);
/// Volts above which the mains are there.
const LIVE: f64 = 50.0;
/// upsTrapOnBattery (RFC 1628).
const ON_BATTERY: &str = "1.3.6.1.2.1.33.2.1";

/// What a point is now.
fn value(picture: &Snapshot, point: &str) -> Option<f64> {
    picture.points.iter().find(|row| row.id == point)?.value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_brings_a_new_reading_to_the_api_long_before_the_next_poll() {
    // snmptrap is of the same package.
    if cannot_run(lacking(&["snmpget"])) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ups = Ups::start(Model::rack_1500("S1"), Mib::Rfc1628, "room")
        .await
        .unwrap();
    let listen = free_udp_port();
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .with(&format!(
            "[snmp]\ntrap_listen = \"{listen}\"\n[[device]]\nname = \"ups-a\"\nkind = \"other\"\n\
             addr = \"{}\"\nversion = \"v2c\"\ncommunity = \"room\"\nprofile = \"rfc1628\"\npoll = \"10m\"\n",
            ups.addr
        ))
        .write();
    block_in_place(|| {
        let yagura = Yagura::run(&site);
        let has_mains = |picture: &Snapshot, expected: bool| {
            let volts = value(picture, "ups-a.input.voltage")?;
            ((volts > LIVE) == expected).then_some(())
        };
        // The first poll may be ten minutes away, too: a trap brings that as well.
        let trap = || {
            let mut command = Command::new("snmptrap");
            command.args(["-v2c", "-c", "room", &listen.to_string(), "", ON_BATTERY]);
            assert!(command.stdin(Stdio::null()).status().unwrap().success());
        };
        let mut told: Option<Instant> = None;
        yagura.wait("mains on the picture", BOUND, |picture| {
            if told.is_none_or(|at| at.elapsed() > AGAIN) {
                trap();
                told = Some(Instant::now());
            }
            has_mains(picture, true)
        });
        ups.set_mains(false);
        let polls = ups.requests();
        trap();
        yagura.wait("no mains on the picture", BOUND, |picture| {
            has_mains(picture, false)
        });
        assert!(
            ups.requests() > polls,
            "it was asked; the trap alone is not believed"
        );
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_air_conditioner_on_modbus_is_on_the_api_and_its_alarm_follows() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return assert!(cannot_run(Some(why))),
    };
    let unit = "holding 0 = 1 248 165 240 456 60 0\n";
    let units = BTreeMap::from([(1, Image::parse(unit).unwrap())]);
    let listen = free_port();
    let mut server = Server::tcp(python, listen.port(), &units);
    let dir = tempfile::tempdir().unwrap();
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .with(&format!(
            "[[device]]\nname = \"aircon-1\"\nkind = \"environment\"\nprotocol = \"modbus\"\naddr = \"{listen}\"\n\
             unit = 1\nprofile = \"modbus-air-conditioner\"\npoll = \"500ms\"\n"
        ))
        .high_limit("aircon-1.ambient.1.temperature", 28.0, "0s")
        .write();
    block_in_place(|| {
        let yagura = Yagura::run(&site);
        let warm = |picture: &Snapshot, degrees: f64| {
            let now = value(picture, "aircon-1.ambient.1.temperature");
            (now == Some(degrees)).then_some(())
        };
        yagura.wait("the return air", BOUND, |picture| warm(picture, 24.8));
        server.set(1, "holding:1".parse::<Address>().unwrap(), 312);
        yagura.wait("the warm return air", BOUND, |picture| warm(picture, 31.2));
        yagura.wait("its alarm", BOUND, |picture| {
            let mut alarms = picture.alarms.iter();
            alarms
                .any(|alarm| alarm.id.starts_with("aircon-1.ambient.1.temperature"))
                .then_some(())
        });
    });
}

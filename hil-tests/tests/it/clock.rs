//! The wall clock jumps while a UPS runs on battery and does not answer any more: only our own
//! model says when the plan must start, and it must not see the jump. Core runs under Debian's
//! libfaketime, which moves the wall clock and leaves the clock of the boot alone.

use crate::outage::simulated;
use ::simroom::server::{Mode, Server};
use ::simroom::ups::{Fault, Mib, Model, Ups};
use hil_tests::sitefile::{HostLine, SiteFile};
use hil_tests::{Child, free_port, skip, wait_for, yagura_bin};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything that must happen.
const LONG: Duration = Duration::from_secs(60);
/// How far a start may be from where the model puts it: polls, and a machine with other work.
const TOLERANCE_S: f64 = 1.5;
/// A battery that lasts some half a minute, in watt-hours.
const CAPACITY_WH: f64 = 2.7;
/// The plan starts before the last seconds: budget of the host, reserve, and one poll on battery.
const KEPT_S: f64 = 6.0 + 5.0 + 0.5;
const POLICY: &str = "on_battery_delay = \"1s\"\nreserve = \"5s\"\nstart_at_charge = 5\n\
    longest_on_battery = \"10m\"\ncontact_lost_after = \"5s\"\nmains_stable = \"1s\"";

/// Debian keeps it beside its architecture's libraries.
fn libfaketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    folders
        .filter_map(Result::ok)
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
}

/// A core whose wall clock the test moves, with a UPS and a server.
struct Room {
    dir: tempfile::TempDir,
    ups: Ups,
    server: Server,
    _roles: [Child; 2],
}

/// A record, and both clocks at its decision, in milliseconds.
struct Row {
    kind: String,
    mono_ms: i64,
    wall_ms: i64,
}

impl Room {
    async fn start(library: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let model = Model {
            maker: "Simulated".to_owned(),
            name: "Small UPS".to_owned(),
            serial: "1".to_owned(),
            capacity_wh: CAPACITY_WH,
            rated_w: 1000.0,
            charger_w: 100.0,
            load_w: 300.0,
            volts: 100.0,
            hertz: 60.0,
            low_s: 0.0,
        };
        let ups = Ups::start(model, Mib::PowerNet, "hil").await.unwrap();
        let quick = Mode::Normal {
            stop_after: Duration::from_millis(200),
        };
        let (server, key) = simulated("app1", dir.path(), quick).await;
        let site = SiteFile::new(dir.path())
            .builtin_mqtt(free_port())
            .ups("ups-a", ups.addr, "hil")
            .host(&HostLine::simulated("app1", &["ups-a"], &[], &server, &key))
            .outage(POLICY)
            .write();
        std::fs::create_dir_all(dir.path().join("data")).unwrap();
        let clock = dir.path().join("clock");
        std::fs::write(&clock, "+0\n").unwrap();
        let role = |role: &str| {
            let mut command = Command::new(yagura_bin());
            command.args(["role", role, "--config"]).arg(&site);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let mut core = role("core");
        core.env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", &clock)
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let roles = [Child::start(&mut core), Child::start(&mut role("act"))];
        let room = Self {
            dir,
            ups,
            server,
            _roles: roles,
        };
        let asked = room.ups.requests();
        wait_for("some polls", LONG, async || {
            (room.ups.requests() >= asked + 8).then_some(())
        })
        .await;
        room
    }

    /// The wall clock of core is so far from the true one, in seconds. The file is exchanged
    /// whole: core must never read half of it.
    fn set_clock(&self, offset_s: i64) {
        let next = self.dir.path().join("clock.next");
        std::fs::write(&next, format!("{offset_s:+}\n")).unwrap();
        std::fs::rename(next, self.dir.path().join("clock")).unwrap();
    }

    fn records(&self) -> Vec<Row> {
        let path = self.dir.path().join("data/journal.db");
        let read = || -> rusqlite::Result<Vec<Row>> {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(LONG)?;
            let mut rows = connection.prepare("SELECT body, mono_ms, wall_ms FROM journal ORDER BY seq")?;
            let rows = rows.query_map([], |row| {
                let body: Value = serde_json::from_str(&row.get::<_, String>(0)?).unwrap_or_default();
                let kind = body["record"]["kind"].as_str().or(body["kind"].as_str());
                Ok(Row {
                    kind: kind.unwrap_or_default().to_owned(),
                    mono_ms: row.get(1)?,
                    wall_ms: row.get(2)?,
                })
            })?;
            rows.collect()
        };
        read().unwrap_or_default()
    }

    async fn recorded(&self, kind: &str) -> Row {
        wait_for(kind, LONG, async || {
            self.records().into_iter().find(|row| row.kind == kind)
        })
        .await
    }

    /// Mains fails, the UPS falls silent, the clock jumps; how many seconds after the failure
    /// the plan starts.
    async fn outage(&self, jump_s: i64) -> f64 {
        let failed = Instant::now();
        self.ups.set_mains(false);
        let lost = self.recorded("mains_lost").await;
        // Two more answers, so that the estimate of the UPS is trusted.
        let asked = self.ups.requests();
        wait_for("two more polls", LONG, async || {
            (self.ups.requests() >= asked + 6).then_some(())
        })
        .await;
        self.ups.fault(Fault::Silent(true));
        self.set_clock(jump_s);
        let contact = self.recorded("contact_lost").await;
        let moved = (contact.wall_ms - contact.mono_ms) - (lost.wall_ms - lost.mono_ms);
        assert!(
            (moved - jump_s * 1000).abs() <= 1000,
            "the wall clock moved by {moved} ms against the clock of the boot, not by {jump_s} s"
        );
        let started = self.recorded("run_started").await;
        let after = failed.elapsed().as_secs_f64();
        let by_record = (started.mono_ms - lost.mono_ms) as f64 / 1000.0;
        assert!(
            (after - by_record).abs() <= TOLERANCE_S + 1.0,
            "the journal says {by_record} s, we saw {after} s"
        );
        wait_for("the server to be stopped", LONG, async || {
            (self.server.state().stops == 1).then_some(())
        })
        .await;
        after
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_of_the_wall_clock_neither_delays_nor_hurries_a_shutdown() {
    let Some(library) = libfaketime() else {
        return skip("clock", "libfaketime is not installed (apt-get install faketime)");
    };
    let rooms = tokio::join!(
        Room::start(&library),
        Room::start(&library),
        Room::start(&library),
        Room::start(&library)
    );
    let model = rooms.0.ups.state().runtime_s - KEPT_S;
    assert!(
        model > 10.0,
        "{model} s are too short for silence and a jump before the start"
    );
    // The fourth stays on mains while its clock jumps both ways, and loses its UPS as well.
    let quiet = async {
        rooms.3.set_clock(60);
        let asked = rooms.3.ups.requests();
        wait_for("polls after the jump", LONG, async || {
            (rooms.3.ups.requests() >= asked + 6).then_some(())
        })
        .await;
        rooms.3.set_clock(-3600);
        rooms.3.ups.fault(Fault::Silent(true));
        rooms.3.recorded("contact_lost").await
    };
    let (steady, ahead, back, contact) = tokio::join!(
        rooms.0.outage(0),
        rooms.1.outage(60),
        rooms.2.outage(-3600),
        quiet
    );
    eprintln!(
        "the plan started {steady:.2} s after the failure, {ahead:.2} s with +60 s, {back:.2} s with -1 h"
    );
    assert!(
        (steady - model).abs() <= TOLERANCE_S,
        "{steady} s, the model says {model} s"
    );
    assert!(
        (ahead - steady).abs() <= TOLERANCE_S,
        "{ahead} s ahead, {steady} s without"
    );
    assert!(
        (back - steady).abs() <= TOLERANCE_S,
        "{back} s back, {steady} s without"
    );

    let records = rooms.3.records();
    let moved = (contact.wall_ms - contact.mono_ms) - (records[0].wall_ms - records[0].mono_ms);
    assert!((moved + 3_600_000).abs() <= 1000, "the clock moved by {moved} ms");
    for kind in ["mains_lost", "run_started", "step_requested"] {
        assert!(
            records.iter().all(|row| row.kind != kind),
            "{kind} on mains, because a clock jumped"
        );
    }
    assert_eq!(rooms.3.server.state().stops, 0);
}

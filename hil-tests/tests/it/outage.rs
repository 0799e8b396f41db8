//! The main job, with the real binary: mains fail, servers are stopped in order, whoever hangs is
//! abandoned within its budget, and a controller killed at any record goes on where it was.

use hil_tests::product::Yagura;
use hil_tests::rack::ups;
use hil_tests::sitefile::{HostLine, SiteFile};
use hil_tests::sshd::Sshd;
use hil_tests::{Child, LOOK_EVERY, cannot_run, free_port, lacking, yagura_bin};
use room::snapshot::AlarmState;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use simroom::server::{Config, Mode, Server, new_key, private_text};
use simroom::ups::{Mib, Ups};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for anything that should happen soon.
const SOON: Duration = Duration::from_secs(20);
/// Longest run of a plan in these tests.
const RUN: Duration = Duration::from_secs(60);
/// A plan that starts a second after two signs of the outage.
const AT_ONCE: &str = "on_battery_delay = \"500ms\"\nreserve = \"1s\"\nstart_at_charge = 5\n\
    longest_on_battery = \"1s\"\ncontact_lost_after = \"5s\"\nmains_stable = \"1s\"";

/// A server that Debian's sshd stands for: its forced command notes the request and ends it.
struct Debian {
    dir: TempDir,
    sshd: Sshd,
}

impl Debian {
    fn start(forced: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let script = format!(
            "date +%s%N >> {at}/requests; {}",
            forced.replace("DIR", &at.to_string())
        );
        let sshd = Sshd::start(dir.path(), &script);
        std::fs::write(dir.path().join("pid"), sshd.id().to_string()).unwrap();
        Self { dir, sshd }
    }

    /// Ends its own listener, as a stopped server does.
    fn stops() -> Self {
        Self::start("kill $(cat DIR/pid)")
    }

    /// Accepts the command and never answers.
    fn hangs() -> Self {
        Self::start("exec sleep 600")
    }

    /// When it was asked to stop, in nanoseconds since 1970.
    fn requests(&self) -> Vec<u64> {
        let text = std::fs::read_to_string(self.dir.path().join("requests")).unwrap_or_default();
        text.lines().map(|line| line.trim().parse().unwrap()).collect()
    }
}

pub(super) async fn simulated(name: &str, dir: &Path, mode: Mode) -> (Server, PathBuf) {
    let client = new_key();
    let key_file = hil_tests::product::write_secret(&dir.join(format!("{name}.key")), &private_text(&client));
    let config = Config {
        name: name.to_owned(),
        user: "yagura".to_owned(),
        host_key: new_key(),
        authorized: client.public_key().clone(),
        mode,
    };
    (Server::start(config).await.expect("a loopback socket"), key_file)
}

fn kinds(records: &[Value]) -> Vec<(String, String)> {
    records
        .iter()
        .filter(|row| row["kind"] == "power")
        .map(|row| {
            let record = &row["record"];
            let step = record["order"]["step"]
                .as_str()
                .or(record["step"].as_str())
                .unwrap_or_default();
            (
                record["kind"].as_str().unwrap_or_default().to_owned(),
                step.to_owned(),
            )
        })
        .collect()
}

fn has(records: &[(String, String)], kind: &str, step: &str) -> bool {
    records.iter().any(|(k, s)| k == kind && s == step)
}

fn until_recorded(yagura: &Yagura, kind: &str, step: &str) {
    let end = Instant::now() + RUN;
    while !has(&kinds(&yagura.records()), kind, step) {
        assert!(
            Instant::now() < end,
            "no {kind} {step}: {:?}",
            kinds(&yagura.records())
        );
        std::thread::sleep(LOOK_EVERY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_stops_debians_servers_in_order_and_abandons_the_one_that_hangs() {
    if cannot_run(Sshd::missing()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (ups_a, ups_b) = (ups(Mib::Rfc1628).await, ups(Mib::PowerNet).await);
    let (app, hung, db) = (Debian::stops(), Debian::hangs(), Debian::stops());
    let feeds = ["ups-a", "ups-b"];
    let hung_line = HostLine::sshd("hung1", &feeds, &["db1"], &hung.sshd);
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .ups("ups-a", ups_a.addr, "hil")
        .ups("ups-b", ups_b.addr, "hil")
        .host(&HostLine::sshd("app1", &feeds, &["db1"], &app.sshd))
        .host(&hung_line)
        .host(&HostLine::sshd("db1", &feeds, &[], &db.sshd))
        .outage(AT_ONCE)
        .write();
    let yagura = Yagura::run(&site);
    yagura.wait("both UPSes on mains", SOON, |s| {
        s.power.ups.iter().all(|ups| ups.source == "mains").then_some(())
    });
    assert!(
        yagura.snapshot().unwrap().power.margin_s.unwrap() > 0.0,
        "the plan fits on a normal day"
    );

    ups_a.set_mains(false);
    // One of two feeds: nobody is without power, nobody is stopped.
    yagura.wait_alarm("ups-a.on_battery", AlarmState::Unacknowledged, SOON);
    ups_b.set_mains(false);
    yagura.wait("the plan to end", RUN, |s| {
        s.power
            .run
            .as_ref()
            .is_some_and(|run| run.state == "done")
            .then_some(())
    });

    assert_eq!(
        (app.requests().len(), db.requests().len()),
        (1, 1),
        "each stopped exactly once"
    );
    assert!(
        app.requests()[0] < db.requests()[0],
        "who uses stops before what is used"
    );
    let records = kinds(&yagura.records());
    assert!(has(&records, "step_confirmed", "app1") && has(&records, "step_confirmed", "db1"));
    assert!(has(&records, "step_abandoned", "hung1") && !has(&records, "step_confirmed", "hung1"));
    assert!(
        db.requests()[0] - hung.requests()[0] >= 4_000_000_000,
        "db1 waits for the one that hangs"
    );
    assert!(
        db.requests()[0] - hung.requests()[0] < 12_000_000_000,
        "but not beyond its budget"
    );
    yagura.wait_alarm("outage.step.hung1", AlarmState::Unacknowledged, SOON);
    ups_a.set_mains(true);
    ups_b.set_mains(true);
    yagura.wait_alarm("outage.hosts_stopped", AlarmState::Unacknowledged, SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn mains_back_before_the_point_of_no_return_stops_nobody() {
    if cannot_run(Sshd::missing()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ups_a = ups(Mib::Rfc1628).await;
    let (hung, db) = (Debian::hangs(), Debian::stops());
    let mut first = HostLine::sshd("hung1", &["ups-a"], &["db1"], &hung.sshd);
    // The command must still be under way when mains is back.
    first.command_timeout = "40s".to_owned();
    first.budget = "50s".to_owned();
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .ups("ups-a", ups_a.addr, "hil")
        .host(&first)
        .host(&HostLine::sshd("db1", &["ups-a"], &[], &db.sshd))
        .outage(AT_ONCE)
        .write();
    let yagura = Yagura::run(&site);
    yagura.wait("mains", SOON, |s| {
        s.power.ups.iter().all(|ups| ups.source == "mains").then_some(())
    });
    ups_a.set_mains(false);
    yagura.wait("the first step", SOON, |s| {
        s.power
            .steps
            .iter()
            .any(|step| step.id == "hung1" && step.state == "started")
            .then_some(())
    });
    ups_a.set_mains(true);
    until_recorded(&yagura, "run_ended", "");
    let records = kinds(&yagura.records());
    assert!(has(&records, "step_cancelled", "hung1"), "{records:?}");
    assert!(db.requests().is_empty(), "what was not begun is not done");
}

#[tokio::test(flavor = "multi_thread")]
async fn mains_back_after_the_point_of_no_return_finishes_the_step_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let ups_a = ups(Mib::PowerNet).await;
    let slow = Mode::Normal {
        stop_after: Duration::from_secs(4),
    };
    let (app, app_key) = simulated("app1", dir.path(), slow).await;
    let (db, db_key) = simulated("db1", dir.path(), slow).await;
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .ups("ups-a", ups_a.addr, "hil")
        .host(&HostLine::simulated("app1", &["ups-a"], &["db1"], &app, &app_key))
        .host(&HostLine::simulated("db1", &["ups-a"], &[], &db, &db_key))
        .outage(AT_ONCE)
        .write();
    let yagura = Yagura::run(&site);
    yagura.wait("mains", SOON, |s| {
        s.power.ups.iter().all(|ups| ups.source == "mains").then_some(())
    });
    ups_a.set_mains(false);
    until_recorded(&yagura, "step_requested", "app1");
    ups_a.set_mains(true);
    until_recorded(&yagura, "run_ended", "");
    assert!(
        has(&kinds(&yagura.records()), "step_confirmed", "app1"),
        "a step past its point is finished"
    );
    assert_eq!((app.state().stops, db.state().requests), (1, 0));
    yagura.wait_alarm("outage.hosts_stopped", AlarmState::Unacknowledged, SOON);
    // A second outage knows that app1 is down already, and stops the rest.
    ups_a.set_mains(false);
    yagura.wait("the second run", RUN, |s| {
        s.power
            .run
            .as_ref()
            .is_some_and(|run| run.state == "done" && run.id > 1)
            .then_some(())
    });
    assert_eq!((app.state().stops, db.state().stops), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_role_killed_or_stopped_changes_no_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let ups_a = ups(Mib::Rfc1628).await;
    let quick = Mode::Normal {
        stop_after: Duration::from_millis(200),
    };
    let (app, app_key) = simulated("app1", dir.path(), quick).await;
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .ups("ups-a", ups_a.addr, "hil")
        .host(&HostLine::simulated("app1", &["ups-a"], &[], &app, &app_key))
        .outage(AT_ONCE)
        .write();
    let yagura = Yagura::run(&site);
    yagura.wait("mains", SOON, |s| {
        s.power.ups.iter().all(|ups| ups.source == "mains").then_some(())
    });
    let web = role_of(yagura.child.id(), "web");
    signal(web, rustix::process::Signal::STOP);
    ups_a.set_mains(false);
    let begun = Instant::now();
    while app.state().stops == 0 {
        assert!(
            begun.elapsed() < SOON,
            "the stopped web role held the shutdown up"
        );
        std::thread::sleep(LOOK_EVERY);
    }
    signal(web, rustix::process::Signal::KILL);
    yagura.wait("the page after its role was killed", SOON, |s| {
        s.power
            .run
            .as_ref()
            .is_some_and(|run| run.state == "done")
            .then_some(())
    });
    assert_ne!(
        role_of(yagura.child.id(), "web"),
        web,
        "the supervisor started another one"
    );
}

/// Process id of a role that this supervisor started.
fn role_of(supervisor: u32, role: &str) -> i32 {
    let end = Instant::now() + SOON;
    loop {
        for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
                continue;
            };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split_whitespace().nth(1));
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<_> = line.split(|byte| *byte == 0).collect();
            if parent == Some(&supervisor.to_string()) && words.get(2) == Some(&role.as_bytes()) {
                return pid;
            }
        }
        assert!(Instant::now() < end, "no role {role} under {supervisor}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// To a child of a child that this test started; its parent is alive, so the id is its own.
fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, signal).expect("the role is there");
}

// ---- killed at every record ------------------------------------------------------------

/// More syncs than a run of three hosts has records.
const MOST_SYNCS: u32 = 60;

struct Sweep {
    dir: TempDir,
    site: PathBuf,
    servers: Vec<Server>,
    ups: Ups,
}

impl Sweep {
    /// Three servers in a chain, a journal that has begun, and mains gone: the plan starts as soon
    /// as core has two signs.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ups_a = ups(Mib::Rfc1628).await;
        let quick = Mode::Normal {
            stop_after: Duration::from_millis(100),
        };
        let mut file = SiteFile::new(dir.path())
            .builtin_mqtt(free_port())
            .ups("ups-a", ups_a.addr, "hil");
        let mut servers = Vec::new();
        for (name, uses) in [("web1", &["app1"][..]), ("app1", &["db1"]), ("db1", &[])] {
            let (server, key) = simulated(name, dir.path(), quick).await;
            file = file.host(&HostLine::simulated(name, &["ups-a"], uses, &server, &key));
            servers.push(server);
        }
        let site = file.outage(AT_ONCE).write();
        std::fs::create_dir_all(dir.path().join("data")).unwrap();
        let sweep = Self {
            dir,
            site,
            servers,
            ups: ups_a,
        };
        // A first life on mains makes the files, so that the syncs counted are those of records
        // and not those of a new database.
        let first = Child::start(&mut sweep.role("core"));
        let end = Instant::now() + SOON;
        while sweep.records().is_empty() {
            assert!(Instant::now() < end, "core did not begin its journal");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        drop(first);
        sweep.ups.set_mains(false);
        sweep
    }

    fn role(&self, role: &str) -> Command {
        let mut command = Command::new(yagura_bin());
        command.args(["role", role, "--config"]).arg(&self.site);
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        command
    }

    /// Core under a tracer that kills it right after its n-th sync to disk.
    fn core_killed_at(&self, sync: u32) -> Command {
        let mut command = Command::new("strace");
        command
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=fsync,fdatasync",
                "-e",
            ])
            .arg(format!("inject=fsync,fdatasync:signal=KILL:when={sync}"))
            .arg(yagura_bin())
            .args(["role", "core", "--config"])
            .arg(&self.site)
            // The tracer does not take core with it when it ends; a closed standard input does.
            .arg("--lifeline")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        command
    }

    fn records(&self) -> Vec<(String, String)> {
        let path = self.dir.path().join("data/journal.db");
        let Ok(connection) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY) else {
            return Vec::new();
        };
        let Ok(mut statement) = connection.prepare("SELECT body FROM journal ORDER BY seq") else {
            return Vec::new();
        };
        let rows = statement.query_map([], |row| row.get::<_, String>(0));
        let bodies: Vec<Value> = rows
            .map(|rows| {
                rows.flatten()
                    .filter_map(|body| serde_json::from_str(&body).ok())
                    .collect()
            })
            .unwrap_or_default();
        kinds(&bodies)
    }

    fn has_ended(&self) -> bool {
        self.records().iter().any(|(kind, _)| kind == "run_ended")
    }

    fn check(&self, sync: u32) {
        let records = self.records();
        for server in &self.servers {
            let confirmed = records
                .iter()
                .filter(|(k, s)| k == "step_confirmed" && s == server.name())
                .count();
            assert_eq!(
                server.state().stops,
                1,
                "{} by effect, killed at sync {sync}: {records:?}",
                server.name()
            );
            assert_eq!(
                confirmed,
                1,
                "{} by record, killed at sync {sync}: {records:?}",
                server.name()
            );
        }
        let place = |step: &str| {
            records
                .iter()
                .position(|(k, s)| k == "step_confirmed" && s == step)
        };
        assert!(
            place("web1") < place("app1") && place("app1") < place("db1"),
            "order, killed at sync {sync}"
        );
        assert_eq!(
            records.iter().filter(|(kind, _)| kind == "run_started").count(),
            1,
            "one run, sync {sync}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_killed_at_every_record_of_the_plan_stops_every_host_exactly_once() {
    if cannot_run(lacking(&["strace"])) {
        return;
    }
    let mut killed = 0;
    #[expect(clippy::explicit_counter_loop, reason = "kills are counted, not rounds")]
    for sync in 1..MOST_SYNCS {
        let sweep = Sweep::new().await;
        let mut act = Child::start(&mut sweep.role("act"));
        let mut core = Child::start(&mut sweep.core_killed_at(sync));
        let end = Instant::now() + RUN;
        while core.ended().is_none() && !sweep.has_ended() {
            assert!(
                Instant::now() < end,
                "neither killed nor ended, sync {sync}: {:?}",
                sweep.records()
            );
            std::thread::sleep(LOOK_EVERY);
        }
        if core.ended().is_none() {
            // The whole run has fewer syncs than this: every one of them was killed once.
            drop(core.inner().stdin.take());
            core.stop();
            sweep.check(sync);
            eprintln!("killed at each of {killed} syncs");
            assert!(killed >= 8, "a run of three hosts has more records than {killed}");
            return;
        }
        killed += 1;
        // Half of the time the machine is gone as a whole, and act with it.
        if sync % 2 == 0 {
            act.kill();
            act = Child::start(&mut sweep.role("act"));
        }
        let again = Child::start(&mut sweep.role("core"));
        let end = Instant::now() + RUN;
        while !sweep.has_ended() {
            assert!(
                Instant::now() < end,
                "the plan did not end after sync {sync}: {:?}",
                sweep.records()
            );
            std::thread::sleep(LOOK_EVERY);
        }
        sweep.check(sync);
        drop((again, act));
    }
    panic!("the run did not end within {MOST_SYNCS} syncs");
}

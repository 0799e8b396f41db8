//! A full disk: what cannot be stored is an alarm, nothing of a node is acknowledged, servers
//! are stopped all the same, and when there is room again everything that waited is stored once.

use crate::restart;
use ::simroom::server::Server;
use hil_tests::product::Yagura;
use hil_tests::sitefile::{HostLine, SiteFile};
use hil_tests::{free_port, installed, skip, wait_for};
use room::snapshot::AlarmState;
use serde_json::json;
use simroom::server::Mode;
use simroom::ups::Mib;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::task::block_in_place;

/// Longest wait for anything that must happen; a node sends again every 10 s.
const LONG: Duration = Duration::from_secs(60);
const NODE: u16 = 9;
const KEY: [u8; 32] = [9; 32];
/// A plan that starts two seconds after the outage.
const SOON: &str = "on_battery_delay = \"1s\"\nreserve = \"1s\"\nstart_at_charge = 5\n\
    longest_on_battery = \"2s\"\ncontact_lost_after = \"5s\"\nmains_stable = \"1s\"";

/// A small disk of its own.
struct Disk(PathBuf);

impl Disk {
    /// `None` when this machine does not let us mount.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=0700", "yagura-test"])
            .arg(at)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(at.to_owned()))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())
            .unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[0x55; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whatever still runs on it ends with its test; lazily, so that nothing stays mounted.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

async fn host(name: &str, dir: &Path) -> (Server, PathBuf) {
    let quick = Mode::Normal {
        stop_after: Duration::from_millis(200),
    };
    crate::outage::simulated(name, dir, quick).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_an_alarm_and_holds_up_neither_doors_nor_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let disk = installed("mount")
        .then(|| Disk::mount(&dir.path().join("data")))
        .flatten();
    let Some(disk) = disk else {
        return skip(
            "disk",
            "no file system may be mounted here (run the tests as root)",
        );
    };
    let ups = hil_tests::rack::ups(Mib::Rfc1628).await;
    let (app, app_key) = host("app1", dir.path()).await;
    let (db, db_key) = host("db1", dir.path()).await;
    let endpoint = free_port();
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(endpoint)
        .node(NODE, KEY, "60s")
        .ups("ups-a", ups.addr, "hil")
        .host(&HostLine::simulated("app1", &["ups-a"], &["db1"], &app, &app_key))
        .host(&HostLine::simulated("db1", &["ups-a"], &[], &db, &db_key))
        .outage(SOON)
        .write();
    let yagura = block_in_place(|| Yagura::run(&site));
    let node = restart::door_node(dir.path());
    node.connect(endpoint);
    block_in_place(|| {
        yagura.wait("mains", LONG, |s| {
            s.power.ups.iter().all(|ups| ups.source == "mains").then_some(())
        });
    });
    // One door movement on a healthy disk, so that there is something to lose.
    let mut open = true;
    let move_door = async |open: &mut bool| {
        let before = node.state().last_event;
        node.set_contact(0, *open);
        *open = !*open;
        wait_for("the node to notice", LONG, async || {
            (node.state().last_event > before).then_some(())
        })
        .await;
    };
    move_door(&mut open).await;
    acknowledged(&node).await;
    let stored = block_in_place(|| yagura.records());

    disk.fill();
    move_door(&mut open).await;
    block_in_place(|| yagura.wait_alarm("system.journal", AlarmState::Unacknowledged, LONG));
    // A core that dies now must come back: it reads what is stored and watches on.
    block_in_place(|| {
        yagura.kill_role("core");
        yagura.wait_alarm("system.journal", AlarmState::Unacknowledged, LONG);
    });
    move_door(&mut open).await;
    // The door is closed, open, closed, ... on the page although nothing can be stored.
    block_in_place(|| {
        yagura.wait("the open door on the page", LONG, |s| {
            let door = s.points.iter().find(|point| point.id == "door.9")?;
            (door.value == Some(1.0)).then_some(())
        });
        let answer = yagura.post(
            "/api/v1/alarms/system.journal/acknowledge",
            &json!({ "by": "佐藤" }),
        );
        assert_eq!(answer.status, 503, "a name that is not stored: {}", answer.body);
    });

    ups.set_mains(false);
    wait_for("both servers to be stopped", LONG, async || {
        (app.state().stops == 1 && db.state().stops == 1).then_some(())
    })
    .await;
    let during = block_in_place(|| {
        yagura.wait("the end of the plan", LONG, |s| {
            s.power
                .run
                .as_ref()
                .is_some_and(|run| run.state == "done")
                .then_some(())
        });
        // The name waits for the disk like everything else, and the alarm stands.
        yagura.wait_alarm("system.journal", AlarmState::Acknowledged, LONG);
        yagura.records()
    });
    assert_eq!(during, stored, "nothing was stored meanwhile, nothing was lost");
    assert_eq!(
        node.state().pending,
        2,
        "nothing is acknowledged before it is stored"
    );

    disk.free();
    acknowledged(&node).await;
    let after = block_in_place(|| {
        yagura.wait("the end of the alarm", LONG, |s| {
            s.alarms
                .iter()
                .all(|alarm| alarm.id != "system.journal")
                .then_some(())
        });
        restart::check(&restart::events(&yagura), node.state().last_event);
        yagura.records()
    });
    assert_eq!(after[..stored.len()], stored[..]);
    let taken = after
        .iter()
        .filter(|row| row["kind"] == "alarm_acknowledged" && row["by"] == "佐藤");
    assert_eq!(taken.count(), 1, "the name that had to wait");
    for (kind, count) in [("run_started", 1), ("step_confirmed", 2), ("run_ended", 1)] {
        let found = after.iter().filter(|row| row["record"]["kind"] == kind).count();
        assert_eq!(found, count, "{kind}");
    }

    // The chain is whole: a start reads and verifies all of it.
    drop(yagura);
    let yagura = block_in_place(|| Yagura::run(&site));
    block_in_place(|| {
        let again = yagura.records();
        assert_eq!(again[..after.len()], after[..]);
        let picture = yagura.wait("a picture", LONG, |s| Some(s.clone()));
        assert!(
            picture
                .alarms
                .iter()
                .all(|alarm| alarm.id != "system.journal_broken"),
            "{:?}",
            picture.alarms
        );
    });
    assert_eq!((app.state().stops, db.state().stops), (1, 1), "and nobody twice");
    drop(yagura);
}

async fn acknowledged(node: &simroom::node::Node) {
    wait_for("every event to be acknowledged", LONG, async || {
        (node.state().pending == 0).then_some(())
    })
    .await;
}

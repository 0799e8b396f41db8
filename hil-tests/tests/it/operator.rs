//! A person at the controller's own machine orders a run with the command line; nothing on the
//! network can.

use crate::outage::simulated;
use hil_tests::product::Yagura;
use hil_tests::rack::ups;
use hil_tests::sitefile::{HostLine, SiteFile};
use hil_tests::{LOOK_EVERY, free_port, yagura_bin};
use serde_json::json;
use simroom::server::Mode;
use simroom::ups::Mib;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for anything here.
const SOON: Duration = Duration::from_secs(20);
/// No outage in this test: it must not start a plan by itself.
const PATIENT: &str = "on_battery_delay = \"60s\"\nreserve = \"30s\"\nstart_at_charge = 20\n\
    longest_on_battery = \"20m\"\ncontact_lost_after = \"10s\"\nmains_stable = \"10s\"";

/// Exit code and everything it printed.
fn plan(site: &Path, words: &[&str]) -> (i32, String) {
    let output = Command::new(yagura_bin())
        .arg("plan")
        .args(words)
        .arg("--config")
        .arg(site)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code().unwrap_or(-1), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_at_the_machine_stops_the_room_in_order_and_the_network_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let ups_a = ups(Mib::Rfc1628).await;
    let stops = Mode::Normal {
        stop_after: Duration::from_millis(300),
    };
    let (app, app_key) = simulated("app1", dir.path(), stops).await;
    let (db, db_key) = simulated("db1", dir.path(), stops).await;
    let me = Command::new("id").arg("-un").output().unwrap();
    let me = String::from_utf8(me.stdout).unwrap().trim().to_owned();
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .ups("ups-a", ups_a.addr, "hil")
        .host(&HostLine::simulated("app1", &["ups-a"], &["db1"], &app, &app_key))
        .host(&HostLine::simulated("db1", &["ups-a"], &[], &db, &db_key))
        .outage(PATIENT)
        .with(&format!("[operators]\nusers = [\"{me}\"]\n"))
        .write();
    let yagura = Yagura::run(&site);
    let hash = yagura.wait("mains, and act", SOON, |s| {
        let act = s.alarms.iter().all(|alarm| alarm.id != "outage.act");
        let mains = s.power.ups.iter().all(|ups| ups.source == "mains");
        (act && mains).then(|| s.power.plan_hash.clone()).flatten()
    });
    for path in ["/api/v1/plan/run", "/api/v1/plan/abort", "/api/v1/plan/skip"] {
        let body = json!({ "by": me, "reason": "from the network", "plan_hash": hash });
        assert!(yagura.post(path, &body).status >= 400, "{path} must not be there");
    }
    let (code, text) = plan(&site, &["abort", "--reason", "test"]);
    assert!(code == 1 && text.contains("no run is under way"), "{code} {text}");
    let (code, text) = plan(&site, &["run", "--reason", "test", "--hash", "00000000"]);
    assert!(code == 1 && text.contains("not the hash"), "{code} {text}");
    // Act may still be on its way right after the start.
    let end = Instant::now() + SOON;
    loop {
        let (code, text) = plan(&site, &["run", "--reason", "smoke", "--hash", &hash[..8]]);
        if code == 0 {
            assert!(
                text.contains(&hash) && text.contains("the run has begun: app1, db1"),
                "{text}"
            );
            break;
        }
        assert!(
            text.contains("not connected") && Instant::now() < end,
            "{code} {text}"
        );
        std::thread::sleep(LOOK_EVERY);
    }
    let power = || {
        let records = yagura.records().into_iter();
        let records = records.filter(|row| row["kind"] == "power");
        records.map(|row| row["record"].clone()).collect::<Vec<_>>()
    };
    let end = Instant::now() + SOON;
    while !power().iter().any(|record| record["kind"] == "run_ended") {
        assert!(Instant::now() < end, "{:?}", power());
        std::thread::sleep(LOOK_EVERY);
    }
    let records = power();
    let confirmed: Vec<_> = records
        .iter()
        .filter(|record| record["kind"] == "step_confirmed")
        .map(|record| record["order"]["step"].clone())
        .collect();
    assert_eq!(confirmed, ["app1", "db1"], "in order, though mains never failed");
    let started = records
        .iter()
        .find(|record| record["kind"] == "run_started")
        .unwrap();
    let by = &started["demand"]["operator"]["by"];
    assert_eq!(by["name"], json!(me), "{started}");
    assert!(by["uid"].is_u64(), "{started}");
}

//! Somebody watches the watcher: a core that hangs is noticed, ended and started again, and what
//! nobody watched meanwhile is known.

use crate::restart::{KEY, NODE, door_node};
use hil_tests::product::Yagura;
use hil_tests::sitefile::SiteFile;
use hil_tests::{free_port, wait_for};
use room::coverage::{Reason, Report};
use room::snapshot::AlarmState;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

/// Longest wait for anything that must happen.
const LONG: Duration = Duration::from_secs(60);
/// A hanging role is ended within this, if it ever gave a sign of life; twice what the product allows here.
const WITHOUT_SIGN: Duration = Duration::from_secs(6);
/// A role that may run for so long gives its first one.
const FIRST_SIGN: Duration = Duration::from_millis(300);

fn started(yagura: &Yagura) -> Vec<Value> {
    let mut records = yagura.records();
    records.retain(|row| row["kind"] == "started");
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_hangs_is_ended_and_started_again_and_says_how_long_nobody_watched() {
    let dir = tempfile::tempdir().unwrap();
    let site = SiteFile::new(dir.path()).builtin_mqtt(free_port()).write();
    let yagura = block_in_place(|| Yagura::run_with(&site, &[("YAGURA_HANGS_AFTER_S", "3")]));
    for role in ["core", "act"] {
        // On a loaded machine the page is served before act has begun.
        let hanging = wait_for("the role to run", LONG, async || {
            block_in_place(|| yagura.role(role))
        })
        .await;
        let pid = Pid::from_raw(hanging).expect("a process id");
        // A child of our child, which is alive and has not collected it: the id is its own.
        kill_process(pid, Signal::STOP).expect("the role is there");
        let mut stopped = Instant::now();
        wait_for("another process in its place", LONG, async || {
            let now = block_in_place(|| yagura.role(role));
            // One that was stopped before its first sign of life is waited for like one that reads a long
            // journal: it may give that sign, and is stopped again.
            if now == Some(hanging) && stopped.elapsed() > WITHOUT_SIGN {
                let _ = kill_process(pid, Signal::CONT);
                tokio::time::sleep(FIRST_SIGN).await;
                let _ = kill_process(pid, Signal::STOP);
                stopped = Instant::now();
            }
            now.filter(|now| *now != hanging)
        })
        .await;
    }
    wait_for("the page to be served again", LONG, async || {
        block_in_place(|| yagura.snapshot())
    })
    .await;
    let starts = block_in_place(|| started(&yagura));
    assert_eq!(starts.len(), 2, "core was started again once: {starts:?}");
    assert!(starts[0]["before"].is_null(), "{starts:?}");
    let before = &starts[1]["before"];
    assert_eq!(before["same_boot"], true);
    let ago = before["ago_ms"].as_u64().expect("a span");
    assert!((3_000..60_000).contains(&ago), "nobody watched for {ago} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_plug_and_a_killed_controller_are_named_in_the_coverage_and_the_incident_is_handed_over()
 {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = free_port();
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(endpoint)
        .node(NODE, KEY, "2s")
        .write();
    let yagura = block_in_place(|| Yagura::run(&site));
    let node = door_node(dir.path());
    node.connect(endpoint);
    block_in_place(|| {
        yagura.wait("the node to be heard", LONG, |picture| {
            (picture.nodes[0].state == "alive").then_some(())
        });
    });
    // The plug is pulled, and the controller is killed as well.
    drop(node);
    block_in_place(|| {
        yagura.wait_alarm("node-9.lost", AlarmState::Unacknowledged, LONG);
        yagura.kill_role("core");
    });
    wait_for("the page to be served again", LONG, async || {
        block_in_place(|| yagura.snapshot())
    })
    .await;
    block_in_place(|| {
        coverage(&yagura);
        handed_over(&yagura);
    });
}

fn coverage(yagura: &Yagura) {
    let at = yagura.snapshot().expect("a picture").wall_ms;
    let month = month_of(at);
    let answer = yagura.get(&format!("/api/v1/coverage?month={month}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let report: Report = serde_json::from_str(&answer.body).expect("a report");
    let reasons: Vec<Reason> = report.gaps.iter().map(|gap| gap.reason).collect();
    for reason in [Reason::NodeSilent, Reason::ControllerDown] {
        assert!(
            reasons.contains(&reason),
            "{reason:?} is not named: {:#?}",
            report.gaps
        );
    }
    assert!(
        report.percent < 100.0 && report.controller_percent < 100.0,
        "{report:#?}"
    );
    let wrong = yagura.get("/api/v1/coverage?month=2026-13");
    assert_eq!(wrong.status, 422, "{}", wrong.body);
}

/// The month of a moment in Japan.
fn month_of(at_ms: i64) -> String {
    let output = std::process::Command::new("date")
        .env("TZ", "JST-9")
        .args(["-d", &format!("@{}", at_ms / 1000), "+%Y-%m"])
        .output()
        .expect("date runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn handed_over(yagura: &Yagura) {
    let opened = yagura.get("/api/v1/incidents").json();
    assert_eq!(
        opened[0]["number"], "INC-0001",
        "a lost node that guards a door is serious: {opened}"
    );
    let early = json!({ "by": "山田", "conclusion": "電源を入れた" });
    assert_eq!(yagura.post("/api/v1/incidents/1/close", &early).status, 409);
    let note = json!({ "by": "山田", "text": "<b>現地</b>へ\n向かう" });
    assert_eq!(yagura.post("/api/v1/incidents/1/notes", &note).status, 200);
    let to = json!({ "by": "山田", "to": "CSIRT" });
    let given = yagura.post("/api/v1/incidents/1/hand-over", &to);
    assert_eq!(given.status, 200, "{}", given.body);
    let row = yagura.get("/api/v1/incidents").json();
    let evidence = &row[0]["handed_over"][0]["evidence"];
    let path = format!("/api/v1/incidents/1?upto={}", evidence["last_seq"]);
    let document = yagura.get(&path);
    let hash = Sha256::digest(document.body.as_bytes())
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    assert_eq!(
        evidence["document"], hash,
        "what was given comes out again, byte by byte"
    );
    assert_eq!(document.json()["proof"]["intact"], true);
    for lang in ["ja", "en"] {
        let page = yagura.get(&format!("/api/v1/incidents/1/print?lang={lang}"));
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(page.body.contains("&lt;b&gt;現地&lt;/b&gt;"), "{}", page.body);
        assert!(!page.body.contains("<script") && !page.body.contains("style="));
    }
    assert!(yagura.get("/print/document.css").body.contains("A4"));
}

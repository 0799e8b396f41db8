//! The staff page in Debian's Chromium, against the whole demo: what it must never get wrong is
//! tried by clicking. Screenshots stay under `target/screens`.

use ::simroom::scenario::{self, Scenario};
use hil_tests::product::Yagura;
use hil_tests::{installed, skip, wait_for};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Longest wait for the room to be complete.
const LONG: Duration = Duration::from_secs(60);
/// A point of the node whose cable the scenario cuts.
const ON_THE_CUT_NODE: &str = "ups-room.temperature";
/// A point that must not be missed meanwhile.
const ON_ANOTHER_NODE: &str = "inlet.r3.temperature";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What is missing to run this, if anything.
fn missing() -> Option<&'static str> {
    let chromium = std::env::var_os("CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from);
    if !chromium.is_file() {
        return Some("chromium is not installed (apt-get install chromium)");
    }
    if !installed("node") {
        return Some("Node.js is not installed");
    }
    if !root()
        .join("hil-tests/browser/node_modules/playwright-core")
        .is_dir()
    {
        return Some("the browser driver is missing (npm ci in hil-tests/browser)");
    }
    if !root().join("controller/ui/dist/index.html").is_file() {
        return Some("the page is not built (npm ci && npm run build in controller/ui)");
    }
    None
}

/// Where the screenshots are kept: beside what cargo builds, not in the sources.
fn screens() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // <target>/<profile>/deps/<test>
    test.ancestors().nth(3).unwrap().join("screens")
}

fn browser(demo: &Yagura, name: &str, options: &[&str]) -> Command {
    let mut command = Command::new("node");
    command
        .arg(root().join("hil-tests/browser/page.mjs"))
        .args([name, &format!("http://{}", demo.addr)])
        .arg(screens())
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Panics with what the browser saw when the page does not keep its word.
fn judge(name: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{name}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for step in name.split(',') {
        let screen = screens().join(format!("{step}.png"));
        assert!(screen.is_file(), "no {}", screen.display());
    }
    eprint!("{said}");
}

/// Lets one browser do a step, or some with commas between.
fn step(demo: &Yagura, name: &str, options: &[&str]) {
    judge(name, &browser(demo, name, options).output().unwrap());
}

/// Pages that are open at this moment.
fn pages(demo: &Yagura) -> u32 {
    let metrics = demo.get("/metrics").body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("yagura_web_streams "));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_live_values_owners_of_alarms_and_what_is_missing() {
    if let Some(why) = missing() {
        return skip("page", why);
    }
    let dir = tempfile::tempdir().unwrap();
    let demo = tokio::task::block_in_place(|| Yagura::demo(dir.path()));
    let page = demo.get("/").body;
    assert!(page.contains("assets/"), "the binary has no page in it: {page}");
    tokio::task::block_in_place(|| {
        demo.wait("three nodes", LONG, |picture| {
            let alive = picture.nodes.iter().filter(|node| node.state == "alive").count();
            (alive == 3).then_some(())
        });
        step(
            &demo,
            "live,words,limits,ack,flood",
            &["--scenario", "leak", "--alarm", "leak", "--by", "施設課 佐藤"],
        );
        // The name is not the page's own memory: it is in the journal.
        let records = demo.records();
        let taken = records
            .iter()
            .find(|row| row["kind"] == "alarm_acknowledged" && row["by"] == "施設課 佐藤");
        assert!(
            taken.is_some_and(|row| row["alarm"].as_str().is_some_and(|id| id.starts_with("leak"))),
            "{records:?}"
        );
        let changed = records
            .iter()
            .any(|row| row["kind"] == "limit_changed" && row["by"] == "施設課 佐藤");
        assert!(changed, "{records:?}");
    });
    scenario::send(dir.path(), Scenario::Link).await.unwrap();
    tokio::task::block_in_place(|| {
        step(&demo, "nodata,live", &["--point", ON_THE_CUT_NODE]);
        // Silence of one node takes nothing from the others.
        let picture = demo.snapshot().unwrap();
        let other = picture
            .points
            .iter()
            .find(|point| point.id == ON_ANOTHER_NODE)
            .unwrap();
        assert!(other.value.is_some(), "{other:?}");
    });
    // A page that was live says so when its controller is gone.
    let mut demo = demo;
    wait_for("earlier pages to be closed", LONG, async || {
        (pages(&demo) == 0).then_some(())
    })
    .await;
    let lost = browser(&demo, "lost", &[]).spawn().unwrap();
    wait_for("the page to be live", LONG, async || {
        (pages(&demo) > 0).then_some(())
    })
    .await;
    tokio::task::block_in_place(|| {
        demo.child.stop();
        judge("lost", &lost.wait_with_output().unwrap());
    });
}

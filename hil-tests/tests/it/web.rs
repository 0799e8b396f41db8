//! The product as people run it: one command, a page, a stream, and processes that may be
//! killed one by one.

use controller::listen;
use hil_tests::http::{self, Stream};
use hil_tests::product::Yagura;
use hil_tests::sitefile::SiteFile;
use hil_tests::{Child, wait_for, yagura_bin};
use room::snapshot::AlarmState;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// For what should happen at once, on a machine that does other things as well.
const SOON: Duration = Duration::from_secs(20);

/// Runs a command of the product to its end.
fn yagura(args: &[&str]) -> Output {
    Command::new(yagura_bin())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn both(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The processes that a supervisor has started, by role: a name is not enough, since other
/// tests run theirs at the same time.
fn roles(supervisor: u32) -> BTreeMap<String, u32> {
    let path = format!("/proc/{supervisor}/task/{supervisor}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|pid| {
            let pid: u32 = pid.parse().ok()?;
            Some((role_of(pid)?, pid))
        })
        .collect()
}

/// `web` of `yagura role web ...`; `None` when the process is gone or is something else.
fn role_of(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0);
    words.find(|word| *word == b"role")?;
    Some(String::from_utf8_lossy(words.next()?).into_owned())
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

async fn all_roles(demo: &Yagura) -> BTreeMap<String, u32> {
    wait_for("every role to run", SOON, async || {
        let roles = roles(demo.child.id());
        ["core", "act", "broker", "web", "simroom"]
            .iter()
            .all(|role| roles.contains_key(*role))
            .then_some(roles)
    })
    .await
}

async fn wait_gone(what: &str, pids: &BTreeMap<String, u32>) {
    wait_for(what, SOON, async || {
        let left = pids
            .iter()
            .filter(|(role, pid)| role_of(**pid).as_ref() == Some(*role))
            .count();
        (left == 0).then_some(())
    })
    .await;
}

/// Starts a demo in the calling task's runtime without blocking its timers.
fn demo(dir: &Path) -> Yagura {
    tokio::task::block_in_place(|| Yagura::demo(dir))
}

fn play(scenario: &str, dir: &Path) {
    let output = yagura(&["demo", "scenario", scenario, "--data", &dir.to_string_lossy()]);
    assert!(output.status.success(), "{scenario}: {}", both(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leak_reaches_the_stream_and_is_taken_over_the_api() {
    let dir = tempfile::tempdir().unwrap();
    let demo = demo(dir.path());
    println!("served after {:?}", demo.served_after);

    let page = demo.get("/");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<html"), "{}", page.body);
    assert!(page.head.to_ascii_lowercase().contains("content-security-policy"));
    let document = demo.get("/api/openapi.json").json();
    for path in ["/api/v1/snapshot", "/api/v1/stream", "/healthz", "/metrics"] {
        assert!(document["paths"][path].is_object(), "{path} is not described");
    }
    // A node is heard, so that the leak is a change and not a beginning.
    demo.wait("a node that is alive", SOON, |picture| {
        picture
            .nodes
            .iter()
            .all(|node| node.state == "alive")
            .then_some(())
    });

    let stream: Stream = demo.stream();
    play("leak", dir.path());
    let (record, _) = stream.record("alarm_raised", SOON, |record| record.to_string().contains("leak"));
    let id = demo.wait("the leak's alarm", SOON, |picture| {
        assert!(picture.simulated, "the watermark");
        let leak = picture.alarms.iter().find(|alarm| alarm.id.contains("leak"))?;
        (leak.state == AlarmState::Unacknowledged).then(|| leak.id.clone())
    });
    assert!(record.to_string().contains(&id), "{record} is about {id}");

    let metrics = demo.get("/metrics").body;
    assert!(
        metrics.contains(&format!("yagura_alarm{{alarm=\"{id}\",state=\"unacknowledged\"")),
        "{metrics}"
    );

    demo.acknowledge(&id, "当番");
    stream.record("alarm_acknowledged", SOON, |record| {
        record.to_string().contains(&id)
    });
    let owner = demo.wait("the owner", SOON, |picture| {
        let leak = picture.alarms.iter().find(|alarm| alarm.id == id)?;
        (leak.state == AlarmState::Acknowledged).then(|| leak.owner.clone())
    });
    assert_eq!(owner.as_deref(), Some("当番"));

    let again = demo.post(
        &format!("/api/v1/alarms/{id}/acknowledge"),
        &json!({"by": "当番"}),
    );
    assert_eq!(again.status, 409, "{}", again.body);
    let unknown = demo.post(
        "/api/v1/alarms/nothing.of.this/acknowledge",
        &json!({"by": "当番"}),
    );
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    let unknown = demo.post("/api/v1/scenarios/nothing", &json!({"by": "当番"}));
    assert!([404, 422].contains(&unknown.status), "{}", unknown.body);

    let seqs: Vec<u64> = demo
        .records()
        .iter()
        .map(|record| record["seq"].as_u64().unwrap())
        .collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "records in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_is_rehearsed_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let demo = demo(dir.path());
    let config = dir.path().join("site.toml");
    let config = config.to_string_lossy();
    demo.wait("power that is known", SOON, |picture| {
        (picture.power.mode == room::snapshot::PowerMode::Mains).then_some(())
    });
    let shown = yagura(&["plan", "show", "--config", &config]);
    assert!(shown.status.success(), "{}", both(&shown));
    let steps = demo.snapshot().unwrap().power.steps;
    assert!(!steps.is_empty());
    let rehearsed = yagura(&["plan", "rehearse", "--config", &config]);
    assert!(rehearsed.status.success(), "{}", both(&rehearsed));
    for step in &steps {
        assert!(both(&shown).contains(&step.id), "{}", both(&shown));
        assert!(
            both(&rehearsed).contains(&format!("ok      {}", step.id)),
            "{}",
            both(&rehearsed)
        );
    }
    let room = simroom::scenario::state(dir.path()).await.unwrap();
    assert!(
        !room.contains("\"stops\":1"),
        "a rehearsal stopped a server: {room}"
    );
    // Its result is kept, can be looked at and printed.
    let run = demo.snapshot().unwrap().power.run.unwrap().id.to_string();
    let listed = yagura(&["plan", "rehearsals", "--config", &config]);
    assert!(both(&listed).contains("合格 passed"), "{}", both(&listed));
    let told = yagura(&["plan", "rehearsals", "--config", &config, &run]);
    for expected in [&steps[0].id, "chain intact", &format!("REH-{:0>4}", run)] {
        assert!(both(&told).contains(expected), "{expected}: {}", both(&told));
    }
    let page = dir.path().join("rehearsal.html");
    let page_arg = page.to_string_lossy();
    let printed = yagura(&[
        "plan",
        "rehearsals",
        "--config",
        &config,
        &run,
        "--html",
        &page_arg,
    ]);
    assert!(printed.status.success(), "{}", both(&printed));
    assert!(std::fs::read_to_string(&page).unwrap().contains("予行記録"));
    let none = yagura(&["plan", "replay", "--config", &config, "--list"]);
    assert!(both(&none).contains("No outage is recorded"), "{}", both(&none));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_role_comes_back_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let demo = demo(dir.path());
    let before = all_roles(&demo).await;
    for role in ["web", "broker", "act"] {
        signal(before[role], Signal::KILL);
    }
    let after = wait_for("the killed roles to run again", SOON, async || {
        let now = roles(demo.child.id());
        ["web", "broker", "act"]
            .iter()
            .all(|role| now.get(*role).is_some_and(|pid| *pid != before[*role]))
            .then_some(now)
    })
    .await;
    for role in ["core", "simroom"] {
        assert_eq!(after.get(role), Some(&before[role]), "{role} was not touched");
    }
    // At the same address as before, though the port was free to choose.
    wait_for("the page to be served again", SOON, async || {
        let answer = http::request(demo.addr, "GET", "/healthz", None).ok()?;
        (answer.status == 200).then_some(())
    })
    .await;

    signal(after["core"], Signal::KILL);
    wait_for("core to run again", SOON, async || {
        let now = roles(demo.child.id());
        now.get("core").filter(|pid| **pid != after["core"]).copied()
    })
    .await;
    demo.wait("a picture of the new core", SOON, |picture| {
        picture
            .nodes
            .iter()
            .any(|node| node.state == "alive")
            .then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_core_is_not_shown_as_alive() {
    let dir = tempfile::tempdir().unwrap();
    let demo = demo(dir.path());
    let core = all_roles(&demo).await["core"];
    let stream = demo.stream();
    signal(core, Signal::STOP);
    stream.find("the loss of core", SOON, |event| {
        (event.name == "core" && event.data["linked"] == false).then_some(())
    });
    assert_eq!(demo.get("/healthz").status, 503);
    assert_eq!(demo.get("/api/v1/snapshot").status, 503);
    signal(core, Signal::CONT);
    stream.find("core again", SOON, |event| {
        (event.name == "core" && event.data["linked"] == true).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = demo(dir.path());
    let pids = all_roles(&demo).await;
    demo.child.kill();
    wait_gone("the orphans to end", &pids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_stop_it_ends_everything_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = demo(dir.path());
    let pids = all_roles(&demo).await;
    for folder in [dir.path().join("run"), dir.path().join("site.toml")] {
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is open to others", folder.display());
    }
    demo.child.signal(Signal::INT);
    let status = wait_for("the end", SOON, async || demo.child.ended()).await;
    assert!(status.success(), "{status}");
    wait_gone("the roles to end", &pids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_removes_the_folder_it_made() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new(yagura_bin());
    command
        .args(["demo", "--listen", "127.0.0.1:0"])
        .env("TMPDIR", temp.path())
        .stdout(Stdio::null());
    let mut child = Child::start(&mut command);
    let made = || fs::read_dir(temp.path()).unwrap().count();
    wait_for("its folder", SOON, async || (made() == 1).then_some(())).await;
    wait_for("its roles", SOON, async || {
        roles(child.id()).contains_key("core").then_some(())
    })
    .await;
    child.signal(Signal::TERM);
    wait_for("the end", SOON, async || child.ended()).await;
    assert_eq!(made(), 0, "the folder is left behind");
}

/// What systemd is told, as `Type=notify` with `WatchdogSec=` has it.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_ready_alive_and_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let mut command = Command::new(yagura_bin());
    command
        .args(["demo", "--listen", "127.0.0.1:0", "--data"])
        .arg(dir.path().join("room"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "300000")
        .env_remove("WATCHDOG_PID")
        .stdout(Stdio::null());
    let mut child = Child::start(&mut command);
    let mut heard = String::new();
    for word in ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"] {
        if word == "STOPPING=1" {
            child.signal(Signal::TERM);
        }
        let hear = async {
            let mut buffer = [0; 256];
            loop {
                let length = socket.recv(&mut buffer).await.unwrap();
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                heard.push_str(&text);
                if text.contains(word) {
                    break;
                }
            }
        };
        let came = tokio::time::timeout(SOON, hear).await;
        assert!(came.is_ok(), "{word} did not come, only: {heard}");
    }
    assert!(heard.starts_with("READY=1"), "{heard}");
    let status = wait_for("the end", SOON, async || child.ended()).await;
    assert!(status.success(), "{status}");
}

/// A role of its own, as under systemd with a user for each; core is away all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_role_without_descriptors_waits_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let site = SiteFile::new(dir.path())
        .builtin_mqtt("127.0.0.1:0".parse().unwrap())
        .write();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 40; exec \"$0\" role web --config \"$1\""])
        .arg(yagura_bin())
        .arg(&site);
    let mut child = Child::start(&mut command);
    let addr = wait_for("its address", SOON, async || {
        listen::address_of(&dir.path().join("data"), "web")
    })
    .await;
    let healthz = || http::request(addr, "GET", "/healthz", None).ok();
    wait_for("an answer", SOON, async || healthz()).await;

    // More than it has descriptors for; the rest waits in the kernel's queue.
    let flood: Vec<_> = (0..60)
        .map(|_| std::net::TcpStream::connect(addr).unwrap())
        .collect();
    // Idle connections end by themselves, so there is an answer before the flood goes away.
    let metrics = wait_for("an answer during the flood", SOON * 2, async || {
        http::request(addr, "GET", "/metrics", None).ok()
    })
    .await;
    let failed = metrics
        .body
        .lines()
        .find_map(|line| line.strip_prefix("yagura_web_accept_errors_total "))
        .unwrap();
    assert_ne!(failed, "0", "descriptors ran out");
    assert!(metrics.body.contains("yagura_core_linked 0"));
    drop(flood);
    assert!(child.ended().is_none(), "the role lives");
    assert_eq!(wait_for("an answer", SOON, async || healthz()).await.status, 503);
}

#[test]
fn what_goes_wrong_is_said_with_its_exit_code() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().to_string_lossy().into_owned();
    let missing = dir.path().join("none.toml").to_string_lossy().into_owned();
    let broken = dir.path().join("broken.toml");
    fs::write(&broken, "name = 5\nnmae = 6\n").unwrap();
    let broken = broken.to_string_lossy().into_owned();
    for (args, code, says) in [
        (vec!["demo", "--listen", &taken], 4, "--listen"),
        (
            vec!["demo", "scenario", "leak", "--data", &nowhere],
            3,
            "no demo runs",
        ),
        (vec!["demo", "scenario", "nonsense"], 2, "outage"),
        (vec!["run", "--config", &missing], 4, "none.toml"),
        (vec!["run", "--config", &broken], 1, "broken.toml:2"),
        (vec!["plan", "show", "--config", &broken], 1, "broken.toml:1"),
        (vec!["run"], 2, "--config"),
        (vec![], 2, "Usage"),
    ] {
        let output = yagura(&args);
        let text = both(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(says), "{args:?} does not say {says}: {text}");
        assert!(!text.contains("panicked"), "{args:?}: {text}");
    }
}

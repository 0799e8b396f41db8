//! How long the two ways through the product take that somebody waits for. Run it by
//! `cargo xtask bench latency`; it prints figures and asserts nothing about time.
//!
//! ```text
//! contact: level at the board's pin -> firmware (debounce) -> MQTT -> core -> journal -> page's stream
//! outage:  two agents say "battery" -> poll -> verdict -> journal -> act -> SSH command at the server
//! ```
//! The split uses the wall time in the records, which is in whole milliseconds; the totals do not.

use hil_tests::bench::{Bench, HOST, QemuBench, closet};
use hil_tests::http::Stream;
use hil_tests::mosquitto::Mosquitto;
use hil_tests::product::{Yagura, write_secret};
use hil_tests::rack::ups;
use hil_tests::sitefile::{HostLine, SiteFile};
use hil_tests::{free_port, installed, wait_for};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use shared::provision::Provision;
use simroom::server::{Config, Mode, Server, new_key, private_text};
use simroom::ups::Mib;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Edges of the door that are measured, after [`WARM_UP`].
const EDGES: u32 = 60;
/// Edges before that, not measured: the first ones find cold files.
const WARM_UP: u32 = 4;
/// Outages with a poll every 500 ms, and with the default interval on mains.
const OUTAGES: [(u32, &str, Duration); 2] = [
    (20, "poll = \"500ms\"", Duration::from_millis(500)),
    (12, "", Duration::from_secs(5)),
];
/// Longest wait for anything.
const BOUND: Duration = Duration::from_secs(60);
/// Between two looks at the simulated server.
const LOOK_EVERY: Duration = Duration::from_millis(1);

const NODE: u16 = 7;
const KEY: [u8; 32] = [0x5b; 32];

fn main() {
    // `cargo test` builds and runs bench targets too; there is nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        match QemuBench::missing() {
            Some(what) => println!("contact edge -> stream: SKIPPED, missing {what}"),
            None => contacts().await,
        }
        outages().await;
    });
}

/// Prints median and spread of milliseconds.
fn report(what: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (samples.first(), samples.last()) else {
        println!("{what}: nothing was measured");
        return;
    };
    let at = |share: usize| samples[(samples.len() - 1) * share / 100];
    println!(
        "{what}: median {:.1} ms (quartiles {:.1} to {:.1}, extremes {low:.1} to {high:.1}, n = {})",
        at(50),
        at(25),
        at(75),
        samples.len()
    );
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// Milliseconds since 1970.
fn wall() -> f64 {
    millis(Duration::try_from(clock_gettime(ClockId::Realtime)).unwrap_or_default())
}

/// When a record was decided; half a millisecond makes up for what was cut off.
fn decided(record: &Value) -> f64 {
    record["wall_ms"].as_f64().unwrap_or(f64::NAN) + 0.5
}

// ---- contact ---------------------------------------------------------------------------

async fn contacts() {
    let dir = tempfile::tempdir().expect("a folder");
    let endpoint = free_port();
    let site = SiteFile::new(dir.path()).builtin_mqtt(endpoint);
    edges("built-in endpoint", site, endpoint).await;
    if installed("mosquitto") {
        let dir = tempfile::tempdir().expect("a folder");
        let mosquitto = Mosquitto::start(dir.path());
        let site = SiteFile::new(dir.path()).external_mqtt(mosquitto.addr, "controller", "any");
        edges("mosquitto", site, mosquitto.addr).await;
    } else {
        println!("contact edge -> stream, mosquitto: SKIPPED, missing mosquitto (apt-get install mosquitto)");
    }
}

async fn edges(broker: &str, site: SiteFile, endpoint: SocketAddr) {
    let yagura = Yagura::run(&site.node(NODE, KEY, "15s").write());
    let who = closet(Provision::new(NODE, 0, KEY, HOST, endpoint.port()));
    let mut board = QemuBench::start(&who).await;
    yagura.wait("the node's first values", BOUND, |s| {
        let all = s.points.iter().all(|point| point.value.is_some());
        (all && s.nodes.first()?.state == "alive").then_some(())
    });
    let stream = yagura.stream();
    let (mut whole, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for edge in 0..WARM_UP + EDGES {
        // Neither in step with the node's own timers nor on the heels of the last event.
        sleep(Duration::from_millis(u64::from(150 + edge * 37 % 100))).await;
        let (open, begun, begun_wall) = (edge % 2 == 0, std::time::Instant::now(), wall());
        board.contact(QemuBench::DOOR, open).await;
        let (record, at) = heard(&stream, open);
        if edge < WARM_UP {
            continue;
        }
        let (total, to_core) = (millis(at - begun), decided(&record) - begun_wall);
        whole.push(total);
        before.push(to_core);
        after.push(total - to_core);
    }
    report(&format!("contact edge -> event on the stream, {broker}"), whole);
    report("  of it pin -> decided in core (5 ms of it debounce)", before);
    report("  of it decided -> journal synced -> event on the stream", after);
}

/// The door's event on the stream and the moment it was read.
fn heard(stream: &Stream, open: bool) -> (Value, std::time::Instant) {
    stream.record("node_event", BOUND, |row| {
        let event = &row["event"];
        event["event"] == "contact" && event["channel"] == QemuBench::DOOR && event["open"] == open
    })
}

// ---- outage ----------------------------------------------------------------------------

async fn outages() {
    for (count, poll, interval) in OUTAGES {
        let (mut whole, mut noticed, mut ordered, mut carried) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for number in 0..count {
            // Evenly over the interval, so that few outages show every phase of the polls.
            let phase = interval.mul_f64((f64::from(number) + 0.5) / f64::from(count));
            let outage = outage(poll, interval, phase).await;
            whole.push(outage.command - outage.switched);
            noticed.push(outage.noticed - outage.switched);
            ordered.push(outage.ordered - outage.noticed);
            carried.push(outage.command - outage.ordered);
        }
        let interval = millis(interval);
        report(
            &format!(
                "UPS agents say battery -> stop command at the server, polled every {interval} ms on mains"
            ),
            whole,
        );
        report("  of it first poll that sees it", noticed);
        report("  of it the other UPS asked at once, plan started", ordered);
        report("  of it journal synced, act, SSH log-in, command", carried);
    }
}

/// Moments of one outage, in milliseconds since 1970.
struct Outage {
    switched: f64,
    noticed: f64,
    ordered: f64,
    command: f64,
}

/// A room of its own for each outage: nothing is left of the one before, and the polls of the two
/// UPSes have another phase every time.
async fn outage(poll: &str, interval: Duration, phase: Duration) -> Outage {
    let dir = tempfile::tempdir().expect("a folder");
    let agents = [ups(Mib::Rfc1628).await, ups(Mib::PowerNet).await];
    let client = new_key();
    let key = write_secret(&dir.path().join("act.key"), &private_text(&client));
    let server = Server::start(Config {
        name: "app1".to_owned(),
        user: "yagura".to_owned(),
        host_key: new_key(),
        authorized: client.public_key().clone(),
        mode: Mode::Normal {
            stop_after: Duration::from_millis(100),
        },
    })
    .await
    .expect("a loopback socket");
    let mut site = SiteFile::new(dir.path()).builtin_mqtt(free_port());
    for (name, agent) in ["ups-a", "ups-b"].into_iter().zip(&agents) {
        site = site.with(&format!(
            "[[device]]\nname = \"{name}\"\nkind = \"ups\"\naddr = \"{}\"\nversion = \"v2c\"\ncommunity = \"hil\"\n\
             poll_on_battery = \"500ms\"\n{poll}\n",
            agent.addr
        ));
    }
    let site = site
        .host(&HostLine::simulated(
            "app1",
            &["ups-a", "ups-b"],
            &[],
            &server,
            &key,
        ))
        // More reserve than the battery has: the plan is due as soon as nothing else feeds the host.
        .outage(
            "on_battery_delay = \"0s\"\nreserve = \"1h\"\nstart_at_charge = 5\nlongest_on_battery = \"1m\"\n\
             contact_lost_after = \"30s\"\nmains_stable = \"1s\"",
        )
        .write();
    let yagura = Yagura::run(&site);
    yagura.wait("both UPSes on mains and act ready", BOUND, |s| {
        let mains = s.power.ups.iter().all(|ups| ups.source == "mains");
        let ready = s.alarms.iter().all(|alarm| alarm.id != "outage.act");
        (mains && ready).then_some(())
    });
    let stream = yagura.stream();
    sleep(interval + phase).await;
    let switched = wall();
    for agent in &agents {
        agent.set_mains(false);
    }
    let asked = async {
        while server.state().requests == 0 {
            sleep(LOOK_EVERY).await;
        }
        wall()
    };
    let command = timeout(BOUND, asked).await.expect("the server is asked to stop");
    let power = |kind: &'static str| move |row: &Value| row["record"]["kind"] == kind;
    let (noticed, _) = stream.record("power", BOUND, power("mains_lost"));
    let ordered = wait_for("the step in the records", BOUND, async || {
        let rows = yagura.records();
        rows.iter().find(|row| power("step_started")(row)).map(decided)
    })
    .await;
    Outage {
        switched,
        noticed: decided(&noticed),
        ordered,
        command,
    }
}

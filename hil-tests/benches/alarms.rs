//! How long an alarm takes while samples pour in, and how long a restart takes with a hundred thousand
//! alarms in the journal. Run it by `cargo xtask bench alarms`; it prints figures and asserts nothing
//! about time.
//!
//! ```text
//! contact of a node -> MQTT -> endpoint -> loop -> alarm -> journal synced -> page's stream
//!                      ^ beside 5,000 samples a second of other nodes
//! ```
//! Then a flood of ten thousand alarms in ten seconds, beside which a door opens and a UPS loses the mains.
//! In the same run: one frame written and synced to the same disk, the least that any journal can take.

#![allow(
    clippy::disallowed_methods,
    reason = "a measurement lets time pass, and each wait has a bound"
)]

use controller::core::store::open_journal;
use hil_tests::hook::{Hook, Posted};
use hil_tests::http::Stream;
use hil_tests::product::{Yagura, resident_mb, write_secret};
use hil_tests::sitefile::SiteFile;
use hil_tests::{free_port, wait_for};
use room::record::{Entry, Record};
use room::site::{Label, Priority};
use room::time::{Mono, Now, Wall};
use rustix::time::{ClockId, clock_gettime};
use shared::Quantity;
use simroom::node::{Config, Input, Node};
use simroom::ups::{Mib, Model, Ups};
use std::fmt::Write as _;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;
use tokio::time::sleep;

/// Nodes that report beside the door,
const NODES: u16 = 20;
/// each so many values,
const CHANNELS: u8 = 25;
/// so often: 5,000 values a second.
const EVERY: Duration = Duration::from_millis(100);
const _: () = assert!(NODES as u128 * CHANNELS as u128 * 1000 / EVERY.as_millis() == 5_000);
/// Alarms that are measured with the samples, and as many without.
const ALARMS: u32 = 300;
/// Alarms of the long journal, each raised, acknowledged and returned.
const LONG_JOURNAL: u64 = 100_000;
/// Starts that are measured.
const STARTS: usize = 5;
/// Longest wait for anything.
const BOUND: Duration = Duration::from_secs(60);
const DOOR: u16 = 1;
/// Every temperature crosses its limit so often in a flood,
const FLIPS: u32 = 20;
/// which lasts so long: ten thousand alarms in ten seconds.
const FLOOD: Duration = Duration::from_secs(10);
const _: () = assert!(NODES as u32 * CHANNELS as u32 * FLIPS == 10_000);
/// Floods, for enough openings of the door and cuts of the mains.
const ROUNDS: u32 = 3;

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
        for load in [false, true] {
            alarms(load).await;
        }
    });
    runtime.block_on(flood());
    restart();
}

fn report(what: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    let Some(high) = samples.last() else {
        println!("{what}: nothing was measured");
        return;
    };
    let at = |share: usize| samples[(samples.len() - 1) * share / 100];
    println!(
        "{what}: median {:.2} ms (p95 {:.2}, p99 {:.2}, worst {high:.2}, n = {})",
        at(50),
        at(95),
        at(99),
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

/// A folder beside the build, not /tmp, which may be memory.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

fn key(node: u16) -> [u8; 32] {
    [u8::try_from(node % 251).unwrap_or(0) + 1; 32]
}

/// The site file lines of a node with temperatures only.
fn lines(dir: &Path, node: u16) -> String {
    let digits = key(node).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let file = write_secret(&dir.join(format!("node-{node}.key")), &digits);
    let mut text = format!(
        "[[node]]\nid = {node}\nname = \"node-{node}\"\nkey_file = \"{}\"\nsilent_after = \"60s\"\n",
        file.display()
    );
    for channel in 0..CHANNELS {
        let _ = write!(
            text,
            "[[node.channel]]\nchannel = {channel}\npoint = \"t.{node}.{channel}\"\nquantity = \"temperature\"\n"
        );
    }
    text
}

fn start(dir: &Path, id: u16, channels: Vec<Input>, telemetry: Duration, endpoint: SocketAddr) -> Node {
    let node = Node::start(Config {
        id,
        key: key(id),
        channels,
        state_file: dir.join(format!("node-{id}.json")),
        telemetry,
        heartbeat: Duration::from_secs(1),
    })
    .expect("a state file");
    node.connect(endpoint);
    node
}

async fn alarms(load: bool) {
    let dir = folder();
    let endpoint = free_port();
    let mut site = SiteFile::new(dir.path())
        .builtin_mqtt(endpoint)
        .node(DOOR, key(DOOR), "60s");
    for node in 0..NODES {
        site = site.with(&lines(dir.path(), 100 + node));
    }
    let yagura = block_in_place(|| Yagura::run(&site.write()));
    let input = |quantity, value| Input {
        quantity,
        value: Ok(value),
    };
    let contact = input(Quantity::Contact, 0);
    let temperature = input(Quantity::Temperature, 22_000);
    let door = start(
        dir.path(),
        DOOR,
        vec![contact, contact, temperature],
        Duration::from_secs(1),
        endpoint,
    );
    let mut others = Vec::new();
    for node in (0..NODES).filter(|_| load) {
        let many = vec![temperature; usize::from(CHANNELS)];
        others.push(start(dir.path(), 100 + node, many, EVERY, endpoint));
        // Their reports are spread over the interval, as those of real nodes are.
        sleep(EVERY / u32::from(NODES)).await;
    }
    wait_for("every node to be heard", BOUND, async || {
        let picture = block_in_place(|| yagura.snapshot())?;
        let heard = picture.nodes.iter().filter(|node| node.state == "alive").count();
        (heard == 1 + others.len()).then_some(())
    })
    .await;
    let floor = File::create(dir.path().join("floor")).expect("a file beside the journal");
    let stream = yagura.stream();
    let (mut whole, mut after, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..ALARMS {
        sleep(Duration::from_millis(u64::from(20 + number * 37 % 30))).await;
        let begun = Instant::now();
        door.set_contact(0, true);
        let (record, at) =
            block_in_place(|| stream.record("alarm_raised", BOUND, |row| row["alarm"] == "door.1.forced"));
        let now = wall() - millis(at.elapsed());
        whole.push(millis(at - begun));
        after.push(now - record["wall_ms"].as_f64().unwrap_or(f64::NAN) - 0.5);
        door.set_contact(0, false);
        block_in_place(|| {
            stream.record("alarm_returned", BOUND, |row| row["alarm"] == "door.1.forced");
        });
        // In turn with the journal, so that the disk is as busy with other things for both.
        let begun = Instant::now();
        floor
            .write_all_at(&[0x5a; 24 + 4096], u64::from(number) * 4120)
            .and_then(|()| floor.sync_data())
            .expect("a synced frame");
        syncs.push(millis(begun.elapsed()));
    }
    let with = if load {
        "beside 5,000 samples/s"
    } else {
        "in a quiet room"
    };
    report(
        &format!("contact of a node -> alarm journaled and on the stream, {with}"),
        whole,
    );
    report("  of it decided in the loop -> on the stream", after);
    report("  floor: one frame written and fdatasync on the same disk", syncs);
    if load {
        let metrics = block_in_place(|| yagura.get("/metrics")).body;
        for line in metrics.lines().filter(|line| line.contains("lag_p99_us")) {
            println!("  {line}");
        }
        drop(others);
    }
}

/// A limit for every temperature of a node.
fn limits(node: u16) -> String {
    (0..CHANNELS).fold(String::new(), |mut text, channel| {
        let _ = write!(
            text,
            "[[limit]]\npoint = \"t.{node}.{channel}\"\nside = \"high\"\nlimit = 30.0\ndeadband = 0.5\n\
             on_delay = \"0s\"\noff_delay = \"0s\"\npriority = \"warning\"\n\
             action = {{ ja = \"空調を確認\", en = \"check the air conditioner\" }}\n"
        );
        text
    })
}

/// What came of one door opening or one cut of the mains, in milliseconds.
struct Passed {
    /// From the contact, or the mains, to the stream.
    whole: f64,
    /// From the decision in the loop to the stream.
    after: f64,
}

/// The next alarm of this id on the stream.
fn raised(stream: &Stream, id: &str, begun: Instant) -> Passed {
    let (record, at) = stream.record("alarm_raised", BOUND, |row| row["alarm"] == id);
    let now = wall() - millis(at.elapsed());
    Passed {
        whole: millis(at - begun),
        after: now - record["wall_ms"].as_f64().unwrap_or(f64::NAN) - 0.5,
    }
}

/// Doors and UPSes beside ten thousand alarms in ten seconds, and the same in a quiet room.
///
/// ```text
/// 500 temperatures cross their limits and come back, 20 times in 10 s --+
/// a door opens, again and again ----------------------------------------+--> core --> stream
/// a UPS loses the mains and gets it back, again and again --------------+
/// ```
async fn flood() {
    let dir = folder();
    let endpoint = free_port();
    let mut hook = Hook::start(None).await;
    let ups = Ups::start(Model::rack_1500("F"), Mib::Rfc1628, "bench")
        .await
        .expect("a socket");
    let mut site = SiteFile::new(dir.path())
        .builtin_mqtt(endpoint)
        .node(DOOR, key(DOOR), "60s")
        .ups("ups-a", ups.addr, "bench")
        .told_by_hook(hook.addr);
    for node in 100..100 + NODES {
        site = site.with(&lines(dir.path(), node)).with(&limits(node));
    }
    let yagura = block_in_place(|| Yagura::run(&site.write()));
    let input = |quantity, value| Input {
        quantity,
        value: Ok(value),
    };
    let (contact, temperature) = (input(Quantity::Contact, 0), input(Quantity::Temperature, 22_000));
    let inputs = vec![contact, contact, temperature];
    let door = start(dir.path(), DOOR, inputs, Duration::from_secs(1), endpoint);
    let mut others = Vec::new();
    for node in 100..100 + NODES {
        let many = vec![temperature; usize::from(CHANNELS)];
        others.push(start(dir.path(), node, many, EVERY, endpoint));
        sleep(EVERY / u32::from(NODES)).await;
    }
    wait_for("every node and the UPS to be heard", BOUND, async || {
        let picture = block_in_place(|| yagura.snapshot())?;
        let heard = picture.nodes.iter().filter(|node| node.state == "alive").count();
        let answers = picture.devices.iter().all(|device| device.state == "answering");
        (heard == 1 + others.len() && answers).then_some(())
    })
    .await;
    let memory = || yagura.role("core").and_then(resident_mb).unwrap_or(f64::NAN);
    for storm in [false, true] {
        let before = (memory(), block_in_place(|| journaled(&yagura)));
        let (mut doors, mut mains, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        let mut alarms = 0;
        for _ in 0..ROUNDS {
            let stop = AtomicBool::new(false);
            // Threads, not tasks: each waits for the stream in its own time.
            let (count, opened, cut) = block_in_place(|| {
                std::thread::scope(|scope| {
                    let opening = scope.spawn(|| {
                        again_and_again(&yagura, &stop, "door.1.forced", |on| {
                            door.set_contact(0, on);
                        })
                    });
                    let cutting = scope.spawn(|| {
                        again_and_again(&yagura, &stop, "ups-a.on_battery", |on| ups.set_mains(!on))
                    });
                    let looking = scope.spawn(|| pictures(&yagura, &stop));
                    let count = if storm { pour(&others) } else { 0 };
                    if !storm {
                        std::thread::sleep(FLOOD);
                    }
                    stop.store(true, Ordering::Relaxed);
                    let ended = "it measures until it is told to stop";
                    seen.extend(looking.join().expect(ended));
                    (count, opening.join().expect(ended), cutting.join().expect(ended))
                })
            });
            alarms += count;
            doors.extend(opened);
            mains.extend(cut);
        }
        let with = if storm {
            format!("beside {alarms} alarms in {ROUNDS} times {} s", FLOOD.as_secs())
        } else {
            "in a quiet room".to_owned()
        };
        let (whole, after): (Vec<_>, Vec<_>) =
            doors.iter().map(|passed| (passed.whole, passed.after)).unzip();
        report(&format!("door opened -> alarm on the stream, {with}"), whole);
        report("  of it decided in the loop -> on the stream", after);
        let (whole, after): (Vec<_>, Vec<_>) =
            mains.iter().map(|passed| (passed.whole, passed.after)).unzip();
        report(
            &format!("mains cut -> UPS polled, two signs -> on battery on the stream, {with}"),
            whole,
        );
        report("  of it decided in the loop -> on the stream", after);
        if storm {
            let journaled = block_in_place(|| journaled(&yagura)) - before.1;
            println!("  alarms of temperatures in the journal: {journaled} of {alarms}");
        }
        report("the whole picture for a page, asked for again and again", seen);
        if storm {
            told(&mut hook).await;
        }
        println!(
            "  core resident: {:.1} MB before, {:.1} MB after",
            before.0,
            memory()
        );
    }
}

/// What one person was sent, once the summary of the flood is there.
async fn told(hook: &mut Hook) {
    let mut told = Vec::new();
    wait_for("the summary of the flood", BOUND, async || {
        told.extend(hook.rest().iter().map(Posted::json));
        told.iter().any(|json| json["summary"].is_object()).then_some(())
    })
    .await;
    let of = |word: &str| {
        let alarms = told.iter().map(|json| &json["alarm"]);
        let raised = alarms.filter(|alarm| alarm["moment"] == "raised");
        raised
            .filter(|alarm| alarm["id"].as_str().is_some_and(|id| id.starts_with(word)))
            .count()
    };
    println!(
        "  messages to one person until the summary: {} in all; raised, told singly: {} temperatures, {} doors, {} UPS",
        told.len(),
        of("t."),
        of("door."),
        of("ups-a."),
    );
}

/// Ten thousand alarms in ten seconds.
fn pour(nodes: &[Node]) -> u32 {
    let begun = Instant::now();
    for flip in 1..=2 * FLIPS {
        let value = if flip % 2 == 1 { 35_000 } else { 22_000 };
        for node in nodes {
            (0..CHANNELS).for_each(|channel| node.set(channel, Ok(value)));
        }
        std::thread::sleep((FLOOD / (2 * FLIPS) * flip).saturating_sub(begun.elapsed()));
    }
    FLIPS * u32::from(NODES) * u32::from(CHANNELS)
}

/// What each whole picture took in milliseconds, asked for as a page that is opened does.
fn pictures(yagura: &Yagura, stop: &AtomicBool) -> Vec<f64> {
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let answer = yagura.get("/api/v1/snapshot");
        assert_eq!(answer.status, 200, "{}", answer.body);
        took.push(millis(asked.elapsed()));
        std::thread::sleep(Duration::from_millis(100));
    }
    took
}

/// Something happens and is over again, until it is enough; each time its alarm is waited for.
fn again_and_again(yagura: &Yagura, stop: &AtomicBool, id: &str, set: impl Fn(bool)) -> Vec<Passed> {
    let stream = yagura.stream();
    let mut all = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        set(true);
        all.push(raised(&stream, id, begun));
        set(false);
        stream.record("alarm_returned", BOUND, |row| row["alarm"] == id);
        std::thread::sleep(Duration::from_millis(40));
    }
    all
}

/// Alarms of temperatures that were raised so far.
fn journaled(yagura: &Yagura) -> usize {
    let records = yagura.records();
    let raised = records.iter().filter(|row| row["kind"] == "alarm_raised");
    raised
        .filter(|row| row["alarm"].as_str().is_some_and(|alarm| alarm.starts_with("t.")))
        .count()
}

/// What is in the journal of a room in which this many alarms were raised, taken and returned.
fn history(count: u64) -> Vec<Record> {
    let label = |text: &str| Label::new(text, text);
    (0..count)
        .flat_map(|number| {
            let alarm = format!(
                "t.{}.{}.high",
                100 + number % u64::from(NODES),
                number % u64::from(CHANNELS)
            );
            let raised = Record::AlarmRaised {
                alarm: alarm.clone(),
                priority: Priority::Warning,
                what: label("above the limit"),
                place: label("inlet of rack 3"),
                action: label("check the air conditioner"),
                because: label("31.2 degrees (limit 30.0 degrees)"),
                latching: false,
                about: None,
            };
            let taken = Record::AlarmAcknowledged {
                alarm: alarm.clone(),
                by: "facilities".to_owned(),
            };
            let returned = Record::AlarmReturned { alarm, unseen: false };
            [raised, taken, returned]
        })
        .collect()
}

fn restart() {
    for count in [0, LONG_JOURNAL] {
        let dir = folder();
        let site = SiteFile::new(dir.path()).builtin_mqtt(free_port()).write();
        let data = dir.path().join("data");
        std::fs::create_dir_all(&data).expect("a data folder");
        let journal = open_journal(&data, drop).expect("a journal").journal;
        let entries: Vec<Entry> = (1..)
            .zip(history(count))
            .map(|(seq, record)| Entry {
                seq,
                now: Now {
                    mono: Mono(seq),
                    wall: Wall(1_700_000_000_000),
                },
                record,
            })
            .collect();
        let records = entries.len();
        for batch in entries.chunks(10_000) {
            journal
                .append(batch.to_vec())
                .blocking_recv()
                .expect("the journal's thread answers")
                .expect("the journal takes the batch");
        }
        drop(journal);
        let starts = (0..STARTS)
            .map(|_| millis(Yagura::run(&site).served_after))
            .collect();
        report(
            &format!("start -> served, {count} alarms ({records} records) in the journal"),
            starts,
        );
    }
}

//! Ten thousand devices through the whole product: what core costs, how late its polls are, how long
//! its picture takes. Run it by `cargo xtask bench site`; it prints figures and asserts nothing.
//!
//! ```text
//! simulated agents (a socket each, this process) <--SNMP--> core --picture--> web --HTTP--> us
//! ```
//! `YAGURA_BENCH_DEVICES` and `YAGURA_BENCH_POLL_S` change the size.

#![allow(
    clippy::disallowed_methods,
    reason = "a measurement lets time pass, and each wait has a bound"
)]

use hil_tests::product::Yagura;
use hil_tests::sitefile::SiteFile;
use hil_tests::{free_port, http};
use simroom::ups::{Mib, Model, Ups};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const DEVICES: usize = 10_000;
const POLL_S: u64 = 10;
/// Of them UPSes, which the outage engine judges.
const UPSES: usize = 20;
/// Core is watched for so long after all were heard.
const WATCHED_FOR: Duration = Duration::from_secs(30);
/// Longest wait for all devices.
const BOUND: Duration = Duration::from_secs(120);
/// Pictures that are fetched.
const PICTURES: usize = 9;
const COMMUNITY: &str = "bench";
/// Clock ticks of `/proc/PID/stat`, a second.
const TICKS: f64 = 100.0;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

fn main() {
    // `cargo test` builds and runs bench targets too; there is nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let devices = usize::try_from(number("YAGURA_BENCH_DEVICES", DEVICES as u64)).unwrap_or(DEVICES);
    let poll_s = number("YAGURA_BENCH_POLL_S", POLL_S);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let agents: Vec<Ups> = runtime.block_on(async {
        let mut agents = Vec::with_capacity(devices);
        for at in 0..devices {
            let mib = if at % 2 == 0 { Mib::Rfc1628 } else { Mib::PowerNet };
            agents.push(
                Ups::start(Model::rack_1500("B"), mib, COMMUNITY)
                    .await
                    .expect("a socket; is `ulimit -n` larger than the number of devices?"),
            );
        }
        agents
    });
    let dir = tempfile::tempdir().expect("a folder");
    let mut text = String::new();
    for (at, agent) in agents.iter().enumerate() {
        let kind = if at < UPSES { "ups" } else { "other" };
        let profile = if at % 2 == 0 { "rfc1628" } else { "apc-powernet" };
        let _ = writeln!(
            text,
            "[[device]]\nname = \"d-{at}\"\nkind = \"{kind}\"\naddr = \"{}\"\nversion = \"v2c\"\n\
             community = \"{COMMUNITY}\"\nprofile = \"{profile}\"\npoll = \"{poll_s}s\"",
            agent.addr
        );
    }
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .with(&text)
        .write();
    let begun = Instant::now();
    let yagura = Yagura::run(&site);
    println!(
        "{devices} devices every {poll_s} s: serving after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let heard = |want: usize| {
        let end = Instant::now() + BOUND;
        loop {
            let answering = yagura.snapshot().map_or(0, |picture| {
                let rows = picture.devices.iter();
                rows.filter(|device| device.state == "answering").count()
            });
            if answering >= want || Instant::now() > end {
                return answering;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    let answering = heard(devices);
    println!(
        "  {answering} of them answer after {:.1} s",
        begun.elapsed().as_secs_f64()
    );

    for role in ["core", "web"] {
        let Some(id) = yagura.role(role) else {
            println!("  {role}: not running");
            continue;
        };
        let before = (ticks(id), Instant::now());
        std::thread::sleep(WATCHED_FOR);
        let (ticks, past) = (ticks(id) - before.0, before.1.elapsed().as_secs_f64());
        println!(
            "  {role}: {:.1} % of a processor, {:.1} MB resident",
            ticks / TICKS / past * 100.0,
            resident_mb(id)
        );
    }
    if let Some(picture) = yagura.snapshot() {
        for name in [
            "poll.late_p50_ms",
            "poll.late_p99_ms",
            "poll.late_max_ms",
            "snmp.sent",
        ] {
            if let Some(value) = picture.counters.get(name) {
                println!("  {name}: {value}");
            }
        }
        println!("  points on the picture: {}", picture.points.len());
    }
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..PICTURES {
        let asked = Instant::now();
        match http::request(yagura.addr, "GET", "/api/v1/snapshot", None) {
            Ok(answer) => bytes = answer.body.len(),
            Err(error) => println!("  the picture: {error}"),
        }
        times.push(asked.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "  a picture of {:.2} MB: median {:.1} ms, most {:.1} ms",
        bytes as f64 / 1e6,
        times[PICTURES / 2],
        times[PICTURES - 1]
    );
}

/// Processor time of a process so far, in clock ticks.
fn ticks(id: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name may hold blanks; it ends with the last bracket.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let at = |index: usize| {
        fields
            .get(index)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    at(11) + at(12)
}

fn resident_mb(id: i32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}

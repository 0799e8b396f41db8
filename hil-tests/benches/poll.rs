//! What a poll over SNMP costs. Run it by `cargo xtask bench poll`; it prints figures and asserts
//! nothing.
//!
//! Every figure is processor time of the asking thread, taken beside the limit in the same rounds:
//! the same packets sent and received by a loop of two system calls that looks at nothing
//! ("floor"). A thousand agents answer from threads of their own, whose time is not counted.
//! Loopback delivers in the sender's time, so half of the kernel's work for an answer is the
//! agents'; that is alike for all.

use controller::core::source::poll::{self, Means};
use controller::snmp::{Access, AuthProtocol, Client, Oid, Plan, PrivProtocol, Target, Usm, Value};
use hil_tests::{Child, free_udp_port, lacking};
use room::profile::Library;
use room::site::link::{Link, SnmpAccess, SnmpLink};
use room::site::{Device, DeviceKind, Label, Secret};
use room::time::Millis;
use rustix::time::{ClockId, clock_gettime};
use simroom::ups::{Fault, Mib, Model, Ups};
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Virtual agents of the throughput runs.
const AGENTS: usize = 1000;
/// Values of one poll.
const VALUES: usize = 20;
/// Questions under way at the same time.
const WINDOW: usize = 64;
/// Polls of one round.
const POLLS: usize = 60_000;
const ROUNDS: usize = 5;
/// Polls of one round over SNMPv3, against one snmpd.
const SEALED_POLLS: usize = 4000;
const SEALED_WINDOW: usize = 16;
/// Simulated UPSes of the lateness run, their interval, and how long they are watched.
const WATCHED: usize = 1000;
const INTERVAL: Duration = Duration::from_secs(1);
const WATCHED_FOR: Duration = Duration::from_secs(20);
/// One in so many is silent.
const SILENT_ONE_IN: usize = 10;
const COMMUNITY: &str = "bench";
/// A request id of four bytes, which is all that the agents here read.
const FIRST_ID: i32 = 0x0100_0000;

fn main() {
    // `cargo test` builds and runs bench targets too; there is nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let agents = agents();
    plain(&agents);
    memory(&agents);
    if let Some(what) = lacking(&["snmpd"]) {
        println!("v3: SKIPPED, missing {what}");
    } else {
        sealed();
    }
    lateness();
}

/// Processor time of this thread so far.
fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The objects of a poll: RFC 1628, as a UPS with three phases has them.
fn oids() -> Vec<Oid> {
    (0..VALUES)
        .map(|n| {
            format!("1.3.6.1.2.1.33.1.{}.{}.1.{}", 2 + n / 8, n % 8 + 1, n % 3 + 1)
                .parse()
                .expect("a constant form")
        })
        .collect()
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ 0..0x80) => bytes.push(short),
        Ok(long) => bytes.extend([0x81, long]),
        Err(_) => {
            bytes.push(0x82);
            bytes.extend(
                u16::try_from(content.len())
                    .expect("a short message")
                    .to_be_bytes(),
            );
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

fn name(oid: &Oid) -> Vec<u8> {
    let arcs = oid.arcs();
    let mut bytes = vec![u8::try_from(arcs[0] * 40 + arcs[1]).expect("the first two arcs")];
    // No arc of these reaches 128.
    bytes.extend(
        arcs[2..]
            .iter()
            .map(|arc| u8::try_from(*arc).expect("a small arc")),
    );
    tlv(6, &bytes)
}

/// A value of one agent, so that a wrong answer would show.
fn value(agent: usize, n: usize) -> i64 {
    i64::try_from(agent * 31 + n * 7).expect("a small number")
}

fn message(kind: u8, values: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let list: Vec<u8> = oids()
        .iter()
        .enumerate()
        .flat_map(|(n, oid)| tlv(0x30, &[name(oid), values(n)].concat()))
        .collect();
    let pdu = [
        tlv(2, &[1, 2, 3, 4]),
        tlv(2, &[0]),
        tlv(2, &[0]),
        tlv(0x30, &list),
    ]
    .concat();
    tlv(
        0x30,
        &[tlv(2, &[1]), tlv(4, COMMUNITY.as_bytes()), tlv(kind, &pdu)].concat(),
    )
}

/// Where the four bytes of the request id stand.
fn id_at(message: &[u8]) -> usize {
    message
        .windows(2)
        .position(|window| window == [2, 4])
        .expect("a message has an id")
        + 2
}

/// A thousand agents on loopback ports of their own, in two threads that end with the process.
fn agents() -> Vec<SocketAddr> {
    let (told, addrs) = std::sync::mpsc::channel();
    for half in 0..2 {
        let told = told.clone();
        std::thread::spawn(move || {
            one_thread().block_on(async move {
                let mut tasks = tokio::task::JoinSet::new();
                for agent in (half..AGENTS).step_by(2) {
                    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0")
                        .await
                        .expect("a socket");
                    let addr = socket.local_addr().expect("a bound socket has an address");
                    told.send((agent, addr)).expect("the bench waits for it");
                    tasks.spawn(answer(socket, agent));
                }
                while tasks.join_next().await.is_some() {}
            });
        });
    }
    drop(told);
    let found: HashMap<usize, SocketAddr> = addrs.iter().take(AGENTS).collect();
    (0..AGENTS).map(|agent| found[&agent]).collect()
}

async fn answer(socket: tokio::net::UdpSocket, agent: usize) {
    let mut reply = message(0xa2, |n| tlv(2, &value(agent, n).to_be_bytes()[4..]));
    let to = id_at(&reply);
    let mut request = vec![0; 2048];
    while let Ok((length, peer)) = socket.recv_from(&mut request).await {
        let from = id_at(&request[..length]);
        reply[to..to + 4].copy_from_slice(&request[from..from + 4]);
        let _ = socket.send_to(&reply, peer).await;
    }
}

/// The limit: the same packets, by a loop that looks at nothing.
fn floor(agents: &[SocketAddr]) -> (f64, f64) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .expect("a time-out");
    let mut request = message(0xa0, |_| tlv(5, &[]));
    let at = id_at(&request);
    let mut buffer = vec![0; 65_536];
    let mut sent = 0_usize;
    let mut send = |sent: &mut usize| {
        request[at..at + 4].copy_from_slice(&u32::try_from(*sent).expect("a small number").to_be_bytes());
        socket
            .send_to(&request, agents[*sent % agents.len()])
            .expect("loopback takes it");
        *sent += 1;
    };
    let (cpu, begun) = (spent(), Instant::now());
    for _ in 0..WINDOW {
        send(&mut sent);
    }
    let mut received = 0;
    while received < POLLS {
        match socket.recv_from(&mut buffer) {
            Ok(_) => received += 1,
            Err(_) => received = sent,
        }
        if sent < POLLS {
            send(&mut sent);
        }
    }
    per_poll(spent() - cpu, begun.elapsed(), POLLS)
}

/// Processor time in microseconds for each poll, and polls in each second of the wall clock.
fn per_poll(cpu: Duration, wall: Duration, polls: usize) -> (f64, f64) {
    let polls = polls as f64;
    (cpu.as_secs_f64() * 1e6 / polls, polls / wall.as_secs_f64())
}

fn target(addr: SocketAddr) -> Target {
    let access = Access::V2c(Secret(COMMUNITY.to_owned()));
    Target::new(addr, access, Duration::from_secs(1), 2)
}

/// The product's engine, every value decoded and checked.
fn ours(agents: &[SocketAddr]) -> (f64, f64) {
    one_thread().block_on(async {
        let client = Client::bind().await.expect("a socket");
        let oids = oids();
        let expected: Vec<Vec<Value>> = (0..agents.len())
            .map(|agent| (0..VALUES).map(|n| Value::Integer(value(agent, n))).collect())
            .collect();
        let expected = Arc::new(expected);
        let mut tasks = tokio::task::JoinSet::new();
        let (cpu, begun) = (spent(), Instant::now());
        for task in 0..WINDOW {
            let mut plans: Vec<(usize, Plan)> = (task..agents.len())
                .step_by(WINDOW)
                .map(|agent| (agent, Plan::new(&target(agents[agent]), &oids)))
                .collect();
            let (client, expected) = (client.clone(), Arc::clone(&expected));
            tasks.spawn(async move {
                let mut polls = 0;
                while polls < POLLS / WINDOW {
                    for (agent, plan) in &mut plans {
                        let values = client.ask(plan).await.expect("an agent on loopback answers");
                        assert!(values == expected[*agent], "a wrong value");
                        polls += 1;
                    }
                }
                polls
            });
        }
        let mut polls = 0;
        while let Some(done) = tasks.join_next().await {
            polls += done.expect("a task that polls");
        }
        per_poll(spent() - cpu, begun.elapsed(), polls)
    })
}

/// `snmp2`'s own session, one for each agent as it is meant to be used.
fn snmp2_sessions(agents: &[SocketAddr]) -> (f64, f64) {
    one_thread().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        let oids = Arc::new(oids());
        let mut sessions: Vec<Vec<snmp2::AsyncSession>> = Vec::new();
        for task in 0..WINDOW {
            let mut own = Vec::new();
            for agent in (task..agents.len()).step_by(WINDOW) {
                own.push(
                    snmp2::AsyncSession::new_v2c(agents[agent], COMMUNITY.as_bytes(), FIRST_ID)
                        .await
                        .expect("a socket"),
                );
            }
            sessions.push(own);
        }
        let (cpu, begun) = (spent(), Instant::now());
        for mut own in sessions {
            let oids = Arc::clone(&oids);
            tasks.spawn(async move {
                let names: Vec<snmp2::Oid<'_>> = oids
                    .iter()
                    .map(|oid| {
                        let arcs: Vec<u64> = oid.arcs().iter().map(|arc| u64::from(*arc)).collect();
                        snmp2::Oid::from(&arcs).expect("an identifier")
                    })
                    .collect();
                let names: Vec<&snmp2::Oid<'_>> = names.iter().collect();
                let mut polls = 0;
                while polls < POLLS / WINDOW {
                    for session in &mut own {
                        let pdu = session
                            .get_many(&names)
                            .await
                            .expect("an agent on loopback answers");
                        assert!(pdu.varbinds.count() == VALUES, "a short answer");
                        polls += 1;
                    }
                }
                polls
            });
        }
        let mut polls = 0;
        while let Some(done) = tasks.join_next().await {
            polls += done.expect("a task that polls");
        }
        per_poll(spent() - cpu, begun.elapsed(), polls)
    })
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[(samples.len() - 1) / 2]
}

fn plain(agents: &[SocketAddr]) {
    type Poller = fn(&[SocketAddr]) -> (f64, f64);
    let pollers: [(&str, Poller); 3] = [
        ("floor", floor),
        ("yagura", ours),
        ("snmp2 0.5 sessions", snmp2_sessions),
    ];
    let mut figures: Vec<Vec<(f64, f64)>> = vec![Vec::new(); pollers.len()];
    for _ in 0..ROUNDS {
        for (at, (_, poller)) in pollers.iter().enumerate() {
            figures[at].push(poller(agents));
        }
    }
    println!(
        "SNMP v2c, GET of {VALUES} values, {AGENTS} agents, {WINDOW} at once, median of {ROUNDS} rounds of {POLLS} polls"
    );
    for (at, (name, _)) in pollers.iter().enumerate() {
        let cpu = median(figures[at].iter().map(|(cpu, _)| *cpu).collect());
        let wall = median(figures[at].iter().map(|(_, wall)| *wall).collect());
        let ratio = median(
            figures[at]
                .iter()
                .zip(&figures[0])
                .map(|((cpu, _), (floor, _))| cpu / floor)
                .collect(),
        );
        println!(
            "  {name}: {cpu:.2} us of processor for a poll, {ratio:.2} x floor, {:.0} polls/s and core, {wall:.0} polls/s by the wall clock",
            1e6 / cpu
        );
    }
    print_netsnmp(agents);
}

/// Forks of Debian's `snmpget`, as several monitors do it.
fn print_netsnmp(agents: &[SocketAddr]) {
    const FORKS: u32 = 50;
    if let Some(what) = lacking(&["snmpget"]) {
        println!("  snmpget: SKIPPED, missing {what}");
        return;
    }
    let names: Vec<String> = oids().iter().map(ToString::to_string).collect();
    let before = children();
    for agent in agents.iter().take(FORKS as usize) {
        let done = std::process::Command::new("snmpget")
            .args(["-M", "", "-m", "", "-v", "2c", "-c", COMMUNITY])
            .arg(agent.to_string())
            .args(&names)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(done.is_ok_and(|status| status.success()), "snmpget of an agent");
    }
    println!(
        "  net-snmp's snmpget, a process for each poll: {:.0} us",
        (children() - before).as_secs_f64() * 1e6 / f64::from(FORKS)
    );
}

/// Processor time of the children that were waited for: fields 16 and 17 of `/proc/self/stat`,
/// in ticks of a hundredth of a second.
fn children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| {
            rest.split_whitespace()
                .filter_map(|field| field.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    // The state, a letter, is not among the numbers: the fields begin with the fourth.
    let ticks: u64 = fields.get(12..14).map_or(0, |both| both.iter().sum());
    Duration::from_millis(ticks * 10)
}

/// Resident bytes of this process.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes: f64 = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0.0);
    kilobytes * 1024.0
}

fn memory(agents: &[SocketAddr]) {
    one_thread().block_on(async {
        let client = Client::bind().await.expect("a socket");
        let oids = oids();
        let before = resident();
        let mut plans: Vec<Plan> = Vec::new();
        for _ in 0..10 {
            for agent in agents {
                let mut plan = Plan::new(&target(*agent), &oids);
                client.ask(&mut plan).await.expect("an agent on loopback answers");
                plans.push(plan);
            }
        }
        println!(
            "memory of the engine for 1,000 devices that were polled: {:.2} MB ({} devices, {VALUES} values each)",
            (resident() - before) / 10.0 / 1e6,
            plans.len()
        );
    });
}

/// SNMPv3 against Debian's snmpd, which is one thread and slower than we are.
fn sealed() {
    let dir = tempfile::tempdir().expect("a folder");
    let addr = free_udp_port();
    let config = dir.path().join("agent.conf");
    std::fs::write(
        &config,
        "rocommunity bench 127.0.0.1\nsysservices 72\n\
         createUser sha1 SHA \"correct horse\" AES \"battery staple\"\nrouser sha1 priv\n\
         createUser sha256 SHA-256 \"correct horse\" AES \"battery staple\"\nrouser sha256 priv\n\
         createUser md5 MD5 \"correct horse\" DES \"battery staple\"\nrouser md5 priv\n",
    )
    .expect("a file");
    let mut command = std::process::Command::new("snmpd");
    command
        .args(["-f", "-Lo", "-c"])
        .arg(&config)
        .arg(format!("udp:{addr}"))
        .env("SNMP_PERSISTENT_DIR", dir.path())
        .env("SNMPCONFPATH", dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _snmpd = Child::start(&mut command);
    let user = |user: &str, auth, privacy| {
        Access::v3(Usm {
            user: user.to_owned(),
            auth: Some((auth, Secret("correct horse".to_owned()))),
            privacy: Some((privacy, Secret("battery staple".to_owned()))),
            context: String::new(),
        })
    };
    let ways = [
        ("v2c", Access::V2c(Secret(COMMUNITY.to_owned()))),
        (
            "v3 SHA-1, AES-128",
            user("sha1", AuthProtocol::Sha1, PrivProtocol::Aes128),
        ),
        (
            "v3 SHA-256, AES-128",
            user("sha256", AuthProtocol::Sha256, PrivProtocol::Aes128),
        ),
        ("v3 MD5, DES", user("md5", AuthProtocol::Md5, PrivProtocol::Des)),
    ];
    // Twenty plain numbers that snmpd has without asking the kernel: snmpInPkts and its like.
    let oids: Vec<Oid> = [
        1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
    ]
    .iter()
    .map(|n| format!("1.3.6.1.2.1.11.{n}.0").parse().expect("a constant form"))
    .collect();
    println!(
        "SNMPv3 authPriv, {VALUES} values, one snmpd, {SEALED_WINDOW} at once, median of {ROUNDS} rounds"
    );
    one_thread().block_on(async {
        let client = Client::bind().await.expect("a socket");
        let mut figures = vec![Vec::new(); ways.len()];
        for round in 0..=ROUNDS {
            for (at, (name, access)) in ways.iter().enumerate() {
                let figure = one_agent(&client, addr, access, &oids).await;
                match figure {
                    // The first round discovers and derives.
                    Ok(figure) if round > 0 => figures[at].push(figure.0),
                    Ok(_) => {}
                    Err(error) => println!("  {name}: {error}"),
                }
            }
        }
        for (at, (name, _)) in ways.iter().enumerate() {
            if figures[at].is_empty() {
                continue;
            }
            println!(
                "  {name}: {:.2} us of processor for a poll",
                median(figures[at].clone())
            );
        }
        let begun = spent();
        let targets: Vec<Target> = (0..AGENTS)
            .map(|_| {
                let access = user("sha256", AuthProtocol::Sha256, PrivProtocol::Aes128);
                Target::new(addr, access, Duration::from_secs(2), 2)
            })
            .collect();
        for target in &targets {
            client.get(target, &oids[..1]).await.expect("snmpd answers");
        }
        println!(
            "  discovery, keys and first poll of {AGENTS} devices with one password: {:.0} ms of processor",
            (spent() - begun).as_secs_f64() * 1e3
        );
    });
}

async fn one_agent(
    client: &Client,
    addr: SocketAddr,
    access: &Access,
    oids: &[Oid],
) -> Result<(f64, f64), controller::snmp::Error> {
    let target = Target::new(addr, access.clone(), Duration::from_secs(2), 3);
    let mut first = Plan::new(&target, oids);
    client.ask(&mut first).await?;
    let (cpu, begun) = (spent(), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..SEALED_WINDOW {
        let (client, mut plan) = (client.clone(), first.clone());
        tasks.spawn(async move {
            for _ in 0..SEALED_POLLS / SEALED_WINDOW {
                client.ask(&mut plan).await?;
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a task that polls")?;
    }
    Ok(per_poll(spent() - cpu, begun.elapsed(), SEALED_POLLS))
}

/// How late polls begin, with and without silent agents: the product's poller as core runs it.
fn lateness() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    println!(
        "lateness of {WATCHED} simulated UPSes at {INTERVAL:?}, watched for {WATCHED_FOR:?} (agents in the same process)"
    );
    for silent in [false, true] {
        let (p50, p99, most, polls) = runtime.block_on(watch(silent));
        let who = if silent { "one in ten silent" } else { "all answer" };
        println!("  {who}: median {p50} ms, p99 {p99} ms, most {most} ms, {polls} polls of live devices");
    }
}

async fn watch(is_silent: bool) -> (u64, u64, u64, usize) {
    let mut agents = Vec::new();
    let mut devices = Vec::new();
    for n in 0..WATCHED {
        let ups = Ups::start(Model::rack_1500("B"), Mib::Rfc1628, COMMUNITY)
            .await
            .expect("a socket");
        devices.push(Device {
            name: format!("ups-{n}"),
            label: Label::default(),
            kind: DeviceKind::Ups,
            link: Link::Snmp(SnmpLink {
                addr: ups.addr,
                access: SnmpAccess::V2c(Secret(COMMUNITY.to_owned())),
            }),
            behind: None,
            uplinks: Vec::new(),
            commands: Vec::new(),
            write: None,
            profile: Some("rfc1628".to_owned()),
            poll: Millis(INTERVAL.as_millis() as u64),
            poll_on_battery: Millis(INTERVAL.as_millis() as u64),
            timeout: Millis(500),
            retries: 1,
        });
        agents.push(ups);
    }
    let dead: Vec<String> = (0..WATCHED)
        .filter(|n| is_silent && n % SILENT_ONE_IN == 0)
        .map(|n| {
            agents[n].fault(Fault::Silent(true));
            format!("ups-{n}")
        })
        .collect();
    let means = Means::open(Arc::new(Library::builtin())).await.expect("a socket");
    let (out, mut polls) = mpsc::channel(4096);
    let (_orders, control) = mpsc::channel(8);
    let poller = tokio::spawn(poll::run(means, devices, out, control));
    let mut last: HashMap<String, u64> = HashMap::new();
    let mut late = Vec::new();
    let end = Instant::now() + WATCHED_FOR;
    while let Ok(Some(poll)) = tokio::time::timeout_at(end, polls.recv()).await {
        if dead.contains(&poll.device) {
            continue;
        }
        if let Some(before) = last.insert(poll.device, poll.asked.0) {
            let due = before + INTERVAL.as_millis() as u64;
            late.push(poll.asked.0.saturating_sub(due));
        }
    }
    poller.abort();
    late.sort_unstable();
    let at = |percent: usize| {
        late.get(late.len().saturating_sub(1) * percent / 100)
            .copied()
            .unwrap_or(0)
    };
    (at(50), at(99), at(100), late.len())
}

//! The server for NUT's clients, and an outage, beside stock NUT in the same run. Run it by
//! `cargo xtask bench outage`; it prints figures and asserts nothing about time.
//!
//! ```text
//! questions:   one connection asks again and again: LIST VAR, GET VAR
//! clients:     a thousand connections, each asks once: latency, memory of the server
//! low battery: device says it -> poll -> verdict -> journal -> act -> command; the same from a trap
//!              stock: file of dummy-ups -> driver's poll -> upsd -> upsmon's poll -> SHUTDOWNCMD
//! silence:     on battery, then nothing is heard: how long until the stop begins
//! ```
//! Both sides end in a program that makes a file, and the file is what is waited for. Stock NUT needs
//! many seconds each time, so that its runs are made side by side; they sleep most of the time.

use hil_tests::nut::{Driver, Nut, say};
use hil_tests::product::Yagura;
use hil_tests::rack::ups;
use hil_tests::sitefile::SiteFile;
use hil_tests::{Child, free_port, free_udp_port, lacking, wait_for};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use simroom::ups::{Fault, Mib, Ups};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// How long one connection asks.
const ASK_FOR: Duration = Duration::from_secs(2);
/// Times that is done.
const ROUNDS: u32 = 5;
/// Clients at once.
const CLIENTS: u32 = 1000;
/// Of each address; the product lets in no more than 64.
const PER_ADDRESS: u32 = 50;
/// Outages of each kind.
const OUTAGES: u32 = 12;
/// Poll while on battery.
const POLL: Duration = Duration::from_millis(500);
/// Longest wait for anything.
const BOUND: Duration = Duration::from_secs(120);
/// Between two looks for a file.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// upsTrapOnBattery.
const TRAP: [u8; 10] = [0x06, 0x08, 0x2b, 6, 1, 2, 1, 33, 2, 1];

/// What both servers serve: names that stock NUT and we know.
const VARIABLES: [(&str, &str); 41] = [
    ("battery.charge", "100"),
    ("battery.charge.low", "20"),
    ("battery.charge.warning", "35"),
    ("battery.current", "0.10"),
    ("battery.date", "2025/04/01"),
    ("battery.packs", "2"),
    ("battery.runtime", "2400"),
    ("battery.runtime.low", "120"),
    ("battery.temperature", "25.0"),
    ("battery.type", "PbAc"),
    ("battery.voltage", "54.6"),
    ("battery.voltage.nominal", "48"),
    ("device.mfr", "Bench"),
    ("device.model", "Bench 1500"),
    ("device.serial", "1"),
    ("device.type", "ups"),
    ("input.current", "1.2"),
    ("input.frequency", "50.0"),
    ("input.frequency.nominal", "50"),
    ("input.transfer.high", "127"),
    ("input.transfer.low", "85"),
    ("input.voltage", "100.4"),
    ("input.voltage.nominal", "100"),
    ("output.current", "3.0"),
    ("output.frequency", "50.0"),
    ("output.frequency.nominal", "50"),
    ("output.voltage", "100.1"),
    ("output.voltage.nominal", "100"),
    ("ups.beeper.status", "enabled"),
    ("ups.delay.shutdown", "20"),
    ("ups.delay.start", "30"),
    ("ups.firmware", "1.0"),
    ("ups.load", "21"),
    ("ups.mfr", "Bench"),
    ("ups.model", "Bench 1500"),
    ("ups.power", "320"),
    ("ups.power.nominal", "1500"),
    ("ups.realpower", "300"),
    ("ups.serial", "1"),
    ("ups.status", "OL"),
    ("ups.temperature", "30.0"),
];

fn main() {
    // `cargo test` builds and runs bench targets too; there is nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    if let Some(what) = lacking(&["upsc", "upsd"]) {
        println!("outage beside NUT: SKIPPED, missing {what}");
        return;
    }
    // A thousand clients and their servers, which inherit it.
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.or(Some(65_536));
    let _ = setrlimit(Resource::Nofile, Rlimit { current, ..limit });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        questions().await;
        let ours = low_battery(false).await;
        let told = low_battery(true).await;
        let usual = stock_low_battery(&USUAL).await;
        let tightest = stock_low_battery(&TIGHTEST).await;
        ratio("low battery, polled", usual, tightest, ours);
        ratio("low battery, told by a trap", usual, tightest, told);
        silence().await;
        stock_silence().await;
    });
}

fn ratio(what: &str, usual: f64, tightest: f64, ours: f64) {
    println!(
        "{what}: stock NUT by default takes {:.0} times as long, at its tightest {:.1} times",
        usual / ours,
        tightest / ours
    );
}

/// Prints median and spread; the median.
fn report(what: &str, unit: &str, mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (samples.first(), samples.last()) else {
        println!("{what}: nothing was measured");
        return f64::NAN;
    };
    let at = |share: usize| samples[(samples.len() - 1) * share / 100];
    println!(
        "{what}: median {:.2} {unit} (quartiles {:.2} to {:.2}, extremes {low:.2} to {high:.2}, n = {})",
        at(50),
        at(25),
        at(75),
        samples.len()
    );
    at(50)
}

// ---- questions -------------------------------------------------------------------------

struct Client {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Client {
    async fn connect(addr: SocketAddr, from: Option<Ipv4Addr>) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        }
        let stream = BufReader::new(socket.connect(addr).await?);
        let line = String::new();
        Ok(Self { stream, line })
    }

    /// Asks and reads up to the line that begins so; lines in all.
    async fn ask(&mut self, question: &str, last: &str) -> std::io::Result<u32> {
        self.stream.write_all(question.as_bytes()).await?;
        let mut lines = 0;
        loop {
            self.line.clear();
            if self.stream.read_line(&mut self.line).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            lines += 1;
            if self.line.starts_with(last) || self.line.starts_with("ERR") {
                return Ok(lines);
            }
        }
    }
}

async fn questions() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("rack.dev");
    say(&file, 0, &VARIABLES);
    let stock = Nut::start(dir.path(), &[Driver::dummy("rack", &file)]);
    let nut = free_port();
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .with(&format!(
            "[[device]]\nname = \"rack\"\nkind = \"ups\"\nprotocol = \"nut\"\naddr = \"{}\"\nups = \"rack\"\n",
            stock.addr
        ))
        .with(&format!("[nut_server]\nlisten = \"{nut}\"\nallow = [\"127.0.0.0/8\"]\n"))
        .write();
    let yagura = tokio::task::block_in_place(|| Yagura::run(&site));
    for (name, addr) in [("stock upsd", stock.addr), ("yagura", nut)] {
        wait_for("the UPS served", BOUND, async || {
            let mut client = Client::connect(addr, None).await.ok()?;
            let lines = client.ask("LIST VAR rack\n", "END LIST").await.ok()?;
            (lines > 30).then_some(())
        })
        .await;
        println!("-- {name}");
    }
    for (question, last) in [
        ("LIST VAR rack\n", "END LIST"),
        ("GET VAR rack ups.status\n", "VAR"),
    ] {
        let before = one_connection("stock upsd", stock.addr, question, last).await;
        let after = one_connection("yagura", nut, question, last).await;
        println!(
            "{}: yagura answers {:.1} times as many",
            question.trim(),
            after / before
        );
    }
    thousand("stock upsd", stock.addr, Some(stock.server_id())).await;
    let role = tokio::task::block_in_place(|| yagura.role("nut"));
    thousand("yagura", nut, role.and_then(|id| u32::try_from(id).ok())).await;
}

/// Questions per second.
async fn one_connection(name: &str, addr: SocketAddr, question: &str, last: &str) -> f64 {
    let (mut rates, mut times) = (Vec::new(), Vec::new());
    let mut lines = 0;
    for _ in 0..ROUNDS {
        let mut client = Client::connect(addr, None).await.expect("the server listens");
        let begun = Instant::now();
        let mut asked = 0_u32;
        while begun.elapsed() < ASK_FOR {
            let at = Instant::now();
            lines = client.ask(question, last).await.expect("an answer");
            times.push(at.elapsed().as_secs_f64() * 1e6);
            asked += 1;
        }
        rates.push(f64::from(asked) / begun.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let (half, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    report(
        &format!(
            "{name}, {} ({lines} lines, p50 {half:.0} us, p99 {most:.0} us), one connection",
            question.trim()
        ),
        "requests/s",
        rates,
    )
}

/// Resident memory in kB.
fn resident(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(f64::NAN)
}

async fn thousand(name: &str, addr: SocketAddr, process: Option<u32>) {
    let before = process.map_or(f64::NAN, resident);
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let group = u8::try_from(number / PER_ADDRESS).expect("few addresses");
        match Client::connect(addr, Some(Ipv4Addr::new(127, 0, 1, 1 + group))).await {
            Ok(client) => clients.push(client),
            Err(error) => {
                println!("{name}: client {number} is not let in: {error}");
                break;
            }
        }
    }
    // Once around before it is measured: the server has accepted them all.
    let (mut times, mut refused) = (Vec::new(), 0);
    for round in 0..4 {
        for client in &mut clients {
            let at = Instant::now();
            match client.ask("GET VAR rack ups.status\n", "VAR").await {
                Ok(_) if round > 0 => times.push(at.elapsed().as_secs_f64() * 1e6),
                Ok(_) => {}
                Err(_) => refused += 1,
            }
        }
    }
    let after = process.map_or(f64::NAN, resident);
    let count = clients.len();
    println!(
        "{name}, {count} clients at once, {refused} answers missing: resident {after:.0} kB, {:.1} kB for each client",
        (after - before) / f64::from(CLIENTS)
    );
    report(
        &format!("{name}, GET VAR while {count} are connected"),
        "us",
        times,
    );
}

// ---- low battery -----------------------------------------------------------------------

/// A trap of SNMPv2c: sysUpTime.0 = 0 and snmpTrapOID.0, for the community `hil`.
fn trap() -> Vec<u8> {
    let tlv = |tag: u8, body: &[u8]| {
        let mut all = vec![tag, u8::try_from(body.len()).expect("short")];
        all.extend_from_slice(body);
        all
    };
    let uptime = [&[0x06, 0x08, 0x2b, 6, 1, 2, 1, 1, 3, 0][..], &[0x43, 1, 0]].concat();
    let which = [&[0x06, 0x0a, 0x2b, 6, 1, 6, 3, 1, 1, 4, 1, 0][..], &TRAP].concat();
    let bindings = [tlv(0x30, &uptime), tlv(0x30, &which)].concat();
    let pdu = [&[2, 1, 1, 2, 1, 0, 2, 1, 0][..], &tlv(0x30, &bindings)].concat();
    let message = [&[2, 1, 1][..], &tlv(4, b"hil"), &tlv(0xa7, &pdu)].concat();
    tlv(0x30, &message)
}

async fn send_trap(to: SocketAddr) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    socket.send_to(&trap(), to).await.expect("loopback");
}

struct Room {
    agent: Ups,
    yagura: Yagura,
    stopped: PathBuf,
    trap_to: SocketAddr,
    _dir: tempfile::TempDir,
}

/// A room with one UPS and one host, stopped by a program that makes a file.
async fn room(poll: &str, outage: &str) -> Room {
    let dir = tempfile::tempdir().expect("a folder");
    let agent = ups(Mib::Rfc1628).await;
    let trap_to = free_udp_port();
    let stopped = dir.path().join("stopped");
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .with(&format!("[snmp]\ntrap_listen = \"{trap_to}\"\n"))
        .with(&format!(
            "[[device]]\nname = \"ups-a\"\nkind = \"ups\"\naddr = \"{}\"\nversion = \"v2c\"\ncommunity = \"hil\"\n{poll}\n",
            agent.addr
        ))
        .with(&format!(
            "[[host]]\nname = \"app1\"\nfeeds = [\"ups-a\"]\nbudget = \"6s\"\non_failure = \"go_on\"\n\
             [host.action]\nkind = \"exec\"\nprogram = \"/bin/touch\"\nargs = [\"{}\"]\ntimeout = \"3s\"\n\
             [host.confirm]\nkind = \"action_succeeded\"\n",
            stopped.display()
        ))
        .outage(outage)
        .write();
    let yagura = tokio::task::block_in_place(|| Yagura::run(&site));
    tokio::task::block_in_place(|| {
        yagura.wait("the UPS on mains and act ready", BOUND, |s| {
            let mains = s.power.ups.iter().all(|ups| ups.source == "mains");
            let ready = s.alarms.iter().all(|alarm| alarm.id != "outage.act");
            (mains && ready).then_some(())
        });
        agent.set_mains(false);
    });
    // Where the polls are far apart nobody waits for the next one.
    send_trap(trap_to).await;
    tokio::task::block_in_place(|| {
        yagura.wait("the UPS on battery", BOUND, |s| {
            s.power.ups.iter().all(|ups| ups.state == "battery").then_some(())
        });
    });
    Room {
        agent,
        yagura,
        stopped,
        trap_to,
        _dir: dir,
    }
}

async fn appears(file: &Path, within: Duration) -> Option<Instant> {
    let begun = Instant::now();
    while begun.elapsed() < within {
        if file.exists() {
            return Some(Instant::now());
        }
        sleep(LOOK_EVERY).await;
    }
    None
}

/// Seconds from the device's low battery to the first command.
async fn low_battery(by_trap: bool) -> f64 {
    let mut samples = Vec::new();
    // By trap the polls are far apart: what is measured is the trap.
    let poll = if by_trap {
        "poll = \"20s\"\npoll_on_battery = \"20s\"\ntimeout = \"1s\""
    } else {
        "poll = \"500ms\"\npoll_on_battery = \"500ms\""
    };
    for number in 0..OUTAGES {
        let Room {
            agent,
            yagura: _yagura,
            stopped,
            trap_to,
            _dir,
        } = room(
            poll,
            "on_battery_delay = \"0s\"\nreserve = \"1s\"\nstart_at_charge = 5\nlongest_on_battery = \"30m\"\n\
             contact_lost_after = \"60s\"\nmains_stable = \"1s\"",
        )
        .await;
        // Evenly over the interval, so that few outages show every phase of the polls.
        sleep(POLL.mul_f64(1.0 + (f64::from(number) + 0.5) / f64::from(OUTAGES))).await;
        agent.set_charge(1.0);
        let low = Instant::now();
        if by_trap {
            send_trap(trap_to).await;
        }
        match appears(&stopped, BOUND).await {
            Some(at) => samples.push((at - low).as_secs_f64()),
            None => println!("low battery: nothing was stopped within {BOUND:?}"),
        }
    }
    let how = if by_trap { "a trap" } else { "polled every 500 ms" };
    report(
        &format!("yagura, low battery at the device -> command, {how}"),
        "s",
        samples,
    )
}

// ---- stock NUT -------------------------------------------------------------------------

/// Settings of stock NUT.
struct Settings {
    name: &'static str,
    /// Of the driver's section.
    driver: &'static str,
    /// Of upsmon.conf.
    upsmon: &'static str,
}

const USUAL: Settings = Settings {
    name: "by default",
    driver: "mode = dummy-once\npollinterval = 2\n",
    upsmon: "POLLFREQ 5\nPOLLFREQALERT 5\nFINALDELAY 5\nHOSTSYNC 15\nDEADTIME 15\n",
};
const TIGHTEST: Settings = Settings {
    name: "at its tightest",
    driver: "mode = dummy-once\npollinterval = 1\n",
    upsmon: "POLLFREQ 1\nPOLLFREQALERT 1\nFINALDELAY 0\nHOSTSYNC 0\nDEADTIME 15\n",
};

/// A server, a driver and a primary that have seen the UPS on battery.
struct Stock {
    nut: Nut,
    file: PathBuf,
    stopped: PathBuf,
    _upsmon: Child,
    _dir: tempfile::TempDir,
}

fn on_battery(low: bool) -> [(&'static str, &'static str); 2] {
    let status = if low { "OB LB DISCHRG" } else { "OB DISCHRG" };
    [
        ("ups.status", status),
        ("battery.charge", if low { "5" } else { "60" }),
    ]
}

async fn stock(settings: &Settings) -> Stock {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("rack.dev");
    say(&file, 0, &on_battery(false));
    let driver = Driver {
        lines: settings.driver,
        ..Driver::dummy("rack", &file)
    };
    let nut = Nut::start(dir.path(), &[driver]);
    let stopped = dir.path().join("stopped");
    let mut text = settings.upsmon.to_owned();
    let _ = write!(
        text,
        "MONITOR rack@{} 1 monitor \"room monitor\" primary\nMINSUPPLIES 1\n\
         SHUTDOWNCMD \"/bin/touch {}\"\nPOWERDOWNFLAG {}\nRUN_AS_USER root\n",
        nut.addr,
        stopped.display(),
        dir.path().join("killpower").display(),
    );
    let conf = dir.path().join("upsmon.conf");
    std::fs::write(&conf, text).expect("writing an own file");
    std::fs::set_permissions(&conf, std::fs::Permissions::from_mode(0o640)).expect("an own file");
    let mut command = Command::new("/lib/nut/upsmon");
    command
        .args(["-D", "-p"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    for name in ["NUT_CONFPATH", "NUT_STATEPATH", "NUT_ALTPIDPATH", "NUT_PIDPATH"] {
        command.env(name, dir.path());
    }
    let upsmon = Child::start(&mut command);
    wait_for("upsmon to log in", BOUND, async || {
        let mut client = Client::connect(nut.addr, None).await.ok()?;
        client.ask("GET NUMLOGINS rack\n", "NUMLOGINS").await.ok()?;
        client.line.contains("rack 1").then_some(())
    })
    .await;
    // It has seen "on battery" after its next poll.
    sleep(Duration::from_secs(6)).await;
    Stock {
        nut,
        file,
        stopped,
        _upsmon: upsmon,
        _dir: dir,
    }
}

/// Runs that sleep most of the time, each in a thread of its own.
async fn side_by_side(count: u32, run: impl AsyncFn(u32) -> Option<f64> + Sync) -> Vec<f64> {
    let run = &run;
    let one = move |number| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(run(number))
    };
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|number| scope.spawn(move || one(number)))
                .collect();
            let ended = threads
                .into_iter()
                .map(|thread| thread.join().expect("a run that ends"));
            ended.flatten().collect()
        })
    })
}

async fn stock_low_battery(settings: &Settings) -> f64 {
    let samples = side_by_side(OUTAGES, async |number| {
        let stock = stock(settings).await;
        let phase = (f64::from(number) + 0.5) / f64::from(OUTAGES);
        sleep(Duration::from_secs(5).mul_f64(phase)).await;
        say(&stock.file, 1, &on_battery(true));
        let low = Instant::now();
        let at = appears(&stock.stopped, BOUND).await;
        at.map(|at| (at - low).as_secs_f64())
    })
    .await;
    let name = settings.name;
    report(
        &format!("stock NUT {name}, low battery in the device -> SHUTDOWNCMD"),
        "s",
        samples,
    )
}

// ---- silence ---------------------------------------------------------------------------

/// On battery, then nothing is heard: the model goes on.
async fn silence() {
    let room = room(
        "poll = \"500ms\"\npoll_on_battery = \"500ms\"",
        "on_battery_delay = \"0s\"\nreserve = \"2m\"\nstart_at_charge = 1\nlongest_on_battery = \"30m\"\n\
         contact_lost_after = \"5s\"\nmains_stable = \"1s\"",
    )
    .await;
    for share in [40.0, 20.0, 10.0, 8.0, 7.0, 6.5] {
        room.agent.set_charge(share);
        sleep(POLL * 3).await;
        let left = tokio::task::block_in_place(|| room.yagura.snapshot()).and_then(|s| s.power.starts_in_s);
        if left.is_some_and(|left| left < 60.0) {
            break;
        }
    }
    let predicted = tokio::task::block_in_place(|| room.yagura.snapshot()).and_then(|s| s.power.starts_in_s);
    room.agent.fault(Fault::Silent(true));
    let silent = Instant::now();
    let decided = appears(&room.stopped, BOUND * 2).await;
    match (predicted, decided) {
        (Some(predicted), Some(at)) => println!(
            "yagura, on battery and contact lost -> command: {:.1} s; the model had said {predicted:.1} s (contact counts as lost after 5 s)",
            (at - silent).as_secs_f64()
        ),
        (predicted, decided) => println!(
            "yagura, contact lost: predicted {predicted:?}, stopped {}",
            decided.is_some()
        ),
    }
}

/// The same by a driver that is killed: a fixed time, however much is left.
async fn stock_silence() {
    let samples = side_by_side(4, async |_| {
        let mut stock = stock(&USUAL).await;
        stock.nut.driver("rack").kill();
        let silent = Instant::now();
        let at = appears(&stock.stopped, BOUND).await;
        at.map(|at| (at - silent).as_secs_f64())
    })
    .await;
    report(
        "stock NUT by default, on battery and the driver killed -> SHUTDOWNCMD",
        "s",
        samples,
    );
}

//! SNMP against parts that are not ours: net-snmp's tools read the simulated agents, and
//! `yagura probe` reads those and Debian's snmpd.

use hil_tests::{Child, cannot_run, free_udp_port, lacking, wait_for, yagura_bin};
use serde_json::Value as Json;
use simroom::ups::{Fault, Mib, Model, Ups};
use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// Longer than any tool of these takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);
const COMMUNITY: &str = "serverroom";

async fn ups(mib: Mib) -> Ups {
    Ups::start(Model::rack_1500("SIM0001"), mib, COMMUNITY)
        .await
        .unwrap()
}

async fn output(command: &mut Command) -> Output {
    let what = format!("{command:?}");
    command.stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(BOUND, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => panic!("{what}: {error}; is the Debian package `snmp` installed?"),
        Err(_) => panic!("{what}: still running after {BOUND:?}"),
    }
}

/// net-snmp's tool, with numbers as the wire has them.
async fn tool(name: &str, version: &str, addr: SocketAddr, args: &[&str]) -> String {
    let mut command = Command::new(name);
    // `-M` and `-m` without a folder: no MIB files, and no complaints about them.
    command
        .args([
            "-M", "", "-m", "", "-v", version, "-c", COMMUNITY, "-r", "2", "-t", "3",
        ])
        .args(["-O", "nqet"])
        .arg(addr.to_string())
        .args(args);
    let output = output(&mut command).await;
    assert!(
        output.status.success(),
        "{name} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Lines `.oid value` as pairs, without what the tools say at the end of the MIB.
fn rows(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter(|line| line.starts_with('.') && !line.contains("No more variables"))
        .filter_map(|line| line.trim_start_matches('.').split_once(' '))
        .map(|(oid, value)| (oid.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

async fn probe(addr: SocketAddr, args: &[&str]) -> Output {
    let mut command = Command::new(yagura_bin());
    command
        .args(["probe", "snmp", &addr.to_string(), "--community", COMMUNITY])
        .args(args);
    output(&mut command).await
}

async fn probe_json(addr: SocketAddr, args: &[&str]) -> Json {
    let args = [&["--json"], args].concat();
    let output = probe(addr, &args).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn fact<'a>(report: &'a Json, name: &str) -> &'a Json {
    let facts = report["facts"].as_array().unwrap();
    facts
        .iter()
        .find(|fact| fact["name"] == name)
        .unwrap_or_else(|| panic!("no fact {name} in {report:#}"))
}

#[tokio::test]
async fn net_snmp_reads_the_simulated_agents_alike_in_every_way() {
    if cannot_run(lacking(&["snmpget"])) {
        return;
    }
    for (mib, root) in [
        (Mib::Rfc1628, "1.3.6.1.2.1.33"),
        (Mib::PowerNet, "1.3.6.1.4.1.318"),
    ] {
        let ups = ups(mib).await;
        ups.set_time_factor(0.0);
        let walked = rows(&tool("snmpwalk", "1", ups.addr, &[root]).await);
        assert!(walked.len() > 25, "{walked:?}");
        assert_eq!(
            walked,
            rows(&tool("snmpwalk", "2c", ups.addr, &[root]).await),
            "{mib:?}"
        );
        for repetitions in ["-Cr1", "-Cr10", "-Cr100"] {
            let bulk = rows(&tool("snmpbulkwalk", "2c", ups.addr, &[repetitions, root]).await);
            assert_eq!(walked, bulk, "{mib:?} {repetitions}");
        }
        let names: Vec<&str> = walked.iter().map(|(oid, _)| oid.as_str()).collect();
        for version in ["1", "2c"] {
            for part in names.chunks(20) {
                let got = rows(&tool("snmpget", version, ups.addr, part).await);
                let expected = &walked[walked.iter().position(|(oid, _)| oid == part[0]).unwrap()..];
                assert_eq!(got, expected[..part.len()], "{mib:?} v{version}");
            }
        }
    }
}

#[tokio::test]
async fn net_snmp_is_told_what_is_not_there_and_that_nothing_can_be_written() {
    if cannot_run(lacking(&["snmpget"])) {
        return;
    }
    let ups = ups(Mib::Rfc1628).await;
    let missing = tool(
        "snmpget",
        "2c",
        ups.addr,
        &["1.3.6.1.2.1.33.1.4.4.1.2.9", "1.3.6.1.5.5.0"],
    )
    .await;
    assert!(
        missing.contains("No Such Instance") && missing.contains("No Such Object"),
        "{missing}"
    );
    let mut set = Command::new("snmpset");
    set.args([
        "-M",
        "",
        "-m",
        "",
        "-v",
        "2c",
        "-c",
        COMMUNITY,
        &ups.addr.to_string(),
    ])
    .args(["1.3.6.1.2.1.33.1.8.2.0", "i", "0"]);
    let refused = output(&mut set).await;
    assert!(!refused.status.success());
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("notWritable"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn probe_and_net_snmp_read_the_same_values() {
    if cannot_run(lacking(&["snmpget"])) {
        return;
    }
    let ups = ups(Mib::Rfc1628).await;
    ups.set_load(700.0);
    ups.set_charge(61.0);
    ups.set_time_factor(0.0);
    let report = probe_json(ups.addr, &[]).await;
    assert_eq!(report["profile"], "rfc1628");
    assert_eq!(report["sys_object_id"], "1.3.6.1.4.1.32473.1.33");
    let good: Vec<&Json> = report["facts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|fact| fact["quality"] == "good")
        .collect();
    assert!(good.len() > 20, "{report:#}");
    for fact in good {
        let object = fact["oid"].as_str().unwrap();
        let raw = rows(&tool("snmpget", "2c", ups.addr, &[object]).await)
            .remove(0)
            .1;
        let factor = match (fact["name"].as_str().unwrap(), fact["unit"].as_str().unwrap()) {
            ("battery.runtime" | "battery.runtime.low", _) => 60.0,
            (_, "Hz" | "A") | ("battery.voltage", _) => 0.1,
            _ => 1.0,
        };
        match &fact["value"] {
            Json::Number(number) => {
                let expected = raw.parse::<f64>().unwrap() * factor;
                let value = number.as_f64().unwrap();
                assert!((value - expected).abs() < 1e-6, "{fact}: net-snmp reads {raw}");
            }
            Json::String(text) if fact["name"].as_str().unwrap().starts_with("ups.m") => {
                assert_eq!(*text, raw)
            }
            other => assert!(other.is_string(), "{fact}"),
        }
    }
    assert_eq!(fact(&report, "battery.charge")["value"], 61);
    assert_eq!(fact(&report, "output.source")["value"], "mains");
    assert_eq!(fact(&report, "battery.current")["quality"], "absent");
    assert_eq!(fact(&report, "battery.current")["value"], Json::Null);
}

#[tokio::test]
async fn probe_knows_an_apc_card_and_follows_it_on_battery() {
    let ups = ups(Mib::PowerNet).await;
    for version in ["1", "2c"] {
        let report = probe_json(ups.addr, &["--version", version]).await;
        assert_eq!(report["profile"], "apc-powernet", "v{version}");
        assert_eq!(fact(&report, "output.source")["value"], "mains");
    }
    ups.set_mains(false);
    ups.set_charge(8.0);
    let report = probe_json(ups.addr, &[]).await;
    assert_eq!(fact(&report, "output.source")["value"], "battery");
    assert_eq!(fact(&report, "battery.status")["value"], "low");
    let runtime = fact(&report, "battery.runtime");
    assert_eq!(runtime["unit"], "s");
    let seconds = runtime["value"].as_f64().unwrap();
    assert!((seconds - ups.state().runtime_s).abs() < 30.0, "{seconds}");
    let table = probe(ups.addr, &[]).await;
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("OB LB"), "{table}");
}

#[tokio::test]
async fn probe_marks_what_cannot_be_believed() {
    let ups = ups(Mib::Rfc1628).await;
    ups.fault(Fault::Sentinels(true));
    let report = probe_json(ups.addr, &[]).await;
    for name in ["battery.charge", "battery.runtime", "battery.temperature"] {
        let fact = fact(&report, name);
        assert_eq!(fact["quality"], "invalid", "{fact}");
        assert_eq!(fact["reason"], "sentinel", "{fact}");
        assert_eq!(fact["value"], Json::Null, "{fact}");
    }
    let table = String::from_utf8(probe(ups.addr, &[]).await.stdout).unwrap();
    assert!(table.contains("INVALID") && table.contains("65535"), "{table}");
}

#[tokio::test]
async fn probe_survives_lost_late_and_empty_answers() {
    let ups = ups(Mib::Rfc1628).await;
    for fault in [
        Fault::Drop(2),
        Fault::DelayOne(Duration::from_millis(400)),
        Fault::ZeroVariables(1),
        Fault::Reordered(1),
        Fault::Garbage(1),
        Fault::ReplyMax(250),
    ] {
        ups.fault(fault);
        let report = probe_json(ups.addr, &["--timeout", "0.3", "--version", "2c"]).await;
        assert_eq!(fact(&report, "battery.charge")["value"], 100, "{fault:?}");
    }
}

#[tokio::test]
async fn probe_ends_with_a_reason_when_nothing_can_be_believed() {
    let ups = ups(Mib::Rfc1628).await;
    let quick = ["--timeout", "0.1", "--retries", "1"];
    ups.fault(Fault::ZeroVariables(u32::MAX));
    let empty = probe(ups.addr, &quick).await;
    assert_eq!(empty.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&empty.stderr).contains("refused whole"),
        "{empty:?}"
    );
    assert!(empty.stdout.is_empty());

    ups.fault(Fault::Silent(true));
    let silent = probe(ups.addr, &quick).await;
    assert_eq!(silent.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&silent.stderr).contains("community"),
        "{silent:?}"
    );

    let closed = probe(free_udp_port(), &["--timeout", "30"]).await;
    assert_eq!(closed.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&closed.stderr).contains("nothing listens"),
        "{closed:?}"
    );
}

/// Debian's snmpd on a loopback port of its own, with a configuration of its own.
struct Snmpd {
    addr: SocketAddr,
    _child: Child,
    _dir: tempfile::TempDir,
}

async fn snmpd() -> Snmpd {
    let dir = tempfile::tempdir().unwrap();
    let addr = free_udp_port();
    let config = dir.path().join("snmpd.conf");
    std::fs::write(
        &config,
        format!("rocommunity {COMMUNITY} 127.0.0.1\nsyslocation rack 3\nsyscontact room@example.lg.jp\nsysname db1\n"),
    )
    .unwrap();
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let mut command = std::process::Command::new("snmpd");
    command
        .args(["-f", "-Lo", "-C", "-c"])
        .arg(&config)
        .arg(format!("udp:{addr}"))
        // Its persistent state and agentx socket stay in this folder.
        .env("SNMP_PERSISTENT_DIR", dir.path())
        .env("SNMPCONFPATH", dir.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let mut child = Child::start(&mut command);
    wait_for("snmpd to answer", BOUND, async || {
        assert!(
            child.ended().is_none(),
            "snmpd ended: {}",
            std::fs::read_to_string(dir.path().join("log")).unwrap_or_default()
        );
        let mut get = Command::new("snmpget");
        get.args([
            "-M", "", "-m", "", "-v", "2c", "-c", COMMUNITY, "-r", "0", "-t", "1",
        ])
        .arg(addr.to_string())
        .arg("1.3.6.1.2.1.1.3.0");
        output(&mut get).await.status.success().then_some(())
    })
    .await;
    Snmpd {
        addr,
        _child: child,
        _dir: dir,
    }
}

#[tokio::test]
async fn probe_reads_debians_snmpd_as_a_host() {
    if cannot_run(lacking(&["snmpd", "snmpget"])) {
        return;
    }
    let snmpd = snmpd().await;
    for version in ["1", "2c"] {
        let report = probe_json(snmpd.addr, &["--version", version]).await;
        assert_eq!(report["profile"], "computer");
        assert_eq!(report["sys_object_id"], "1.3.6.1.4.1.8072.3.2.10");
        assert_eq!(fact(&report, "system.name")["value"], "db1");
        assert_eq!(fact(&report, "system.location")["value"], "rack 3");
        let uptime = fact(&report, "system.uptime");
        assert_eq!(
            (&uptime["unit"], &uptime["quality"]),
            (&"s".into(), &"good".into())
        );
        assert!(
            (0.0..600.0).contains(&uptime["value"].as_f64().unwrap()),
            "{uptime}"
        );
        let description = fact(&report, "system.description")["value"]
            .as_str()
            .unwrap()
            .to_owned();
        let known = tool("snmpget", version, snmpd.addr, &["1.3.6.1.2.1.1.1.0"]).await;
        assert!(known.contains(&description), "{known} {description}");
    }
    let table = String::from_utf8(probe(snmpd.addr, &[]).await.stdout).unwrap();
    assert!(table.contains("system.name") && table.contains("db1"), "{table}");
    // Its agent refuses another community by silence.
    let mut wrong = Command::new(yagura_bin());
    wrong.args(["probe", "snmp", &snmpd.addr.to_string(), "--community", "wrong"]);
    wrong.args(["--timeout", "0.2", "--retries", "0"]);
    let wrong = output(&mut wrong).await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("community"),
        "{wrong:?}"
    );
}

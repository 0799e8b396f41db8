//! Every way of writing a site file wrongly, each with the line where it must be reported.
// Long because it is one table.

use super::parse::{Located, Step, decode, locate, read, real, simulated};
use super::problem::{BYTES_READ, Kind, Lines, Problem, Severity, place};
use super::{Confirm, Mqtt, OnFailure, Priority, Real, RealAction, SimulatedAction, Site};
use crate::outage::Verb;
use crate::time::Millis;
use proptest::prelude::*;
use std::path::Path;

const EXAMPLE: &str = include_str!("../../../../deploy/example/site.toml");

/// A small correct site; each case below spoils one line of it.
const GOOD: &str = r#"name = "室"
data_dir = "data"
[web]
listen = "127.0.0.1:8080"
[mqtt]
listen = "127.0.0.1:1883"
[[node]]
id = 1
name = "node-1"
key_file = "keys/node-1"
[[node.channel]]
channel = 0
point = "room.temperature"
quantity = "temperature"
[[node.channel]]
channel = 1
point = "door.1"
quantity = "contact"
contact = "door"
[[device]]
name = "ups-a"
kind = "ups"
addr = "127.0.0.1:1161"
version = "v2c"
community = "public"
[[host]]
name = "db1"
feeds = ["ups-a"]
budget = "60s"
on_failure = "go_on"
[host.action]
kind = "ssh"
addr = "127.0.0.1:2222"
user = "stop"
key_file = "keys/db1"
host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIy5x0jBAlxkEZZc+QC7zzUT1DclLq9QDsgkVlHCLtpP"
command = "stop"
[host.confirm]
kind = "port_closed"
addr = "127.0.0.1:2222"
[[host]]
name = "app1"
feeds = ["ups-a"]
depends_on = ["db1"]
budget = "60s"
on_failure = "hold"
action = { kind = "ssh", addr = "127.0.0.1:2223", user = "stop", key_file = "k", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIy5x0jBAlxkEZZc+QC7zzUT1DclLq9QDsgkVlHCLtpP", command = "stop" }
confirm = { kind = "action_succeeded" }
[[limit]]
point = "room.temperature"
side = "high"
limit = 30.0
deadband = 0.5
on_delay = "30s"
off_delay = "30s"
priority = "warning"
action = "見に行く"
[outage]
on_battery_delay = "10s"
reserve = "30s"
start_at_charge = 40
longest_on_battery = "10m"
contact_lost_after = "15s"
mains_stable = "30s"
"#;

fn real_of(text: &str) -> Result<Site<Real>, Vec<Problem>> {
    real(text, Path::new("/etc/yagura"))
}

fn line_of(text: &str, needle: &str) -> usize {
    let at = text
        .find(needle)
        .unwrap_or_else(|| panic!("{needle} is in the text"));
    text[..at].matches('\n').count() + 1
}

#[test]
fn the_small_site_is_good_in_both_worlds() {
    let site = real_of(GOOD).unwrap();
    assert_eq!(site.hosts.len(), 2);
    assert_eq!(site.data_dir, Path::new("/etc/yagura/data"));
    assert_eq!(site.nodes[0].key_file, Path::new("/etc/yagura/keys/node-1"));
    assert_eq!(site.limits[0].id, "room.temperature.high");
    assert_eq!(site.devices[0].poll, super::parse::POLL);
    let site = simulated(GOOD, Path::new("/x")).unwrap();
    let SimulatedAction::Ssh(ssh) = &site.hosts[0].action else {
        panic!("{:?}", site.hosts[0].action);
    };
    assert_eq!(ssh.user, "stop");
}

#[test]
fn the_example_is_good_and_without_a_warning() {
    let outcome = read::<Real>(EXAMPLE, Path::new("/etc/yagura"));
    assert_eq!(outcome.problems, []);
    let site = outcome.site.unwrap();
    assert_eq!(
        (site.nodes.len(), site.devices.len(), site.hosts.len()),
        (2, 9, 6)
    );
    // A place of 18 limits, a load of two, and two written out.
    assert_eq!(site.limits.len(), 22);
    let critical = site
        .limits
        .iter()
        .find(|limit| limit.id == "inlet.r3.temperature.high.critical");
    assert_eq!(
        critical.map(|limit| (limit.limit, limit.priority)),
        Some((32.0, Priority::Critical))
    );
    assert!(matches!(site.mqtt, Mqtt::Builtin { .. }));
    assert!(matches!(&site.hosts[2].action, RealAction::Exec(exec) if exec.timeout == Millis::from_secs(90)));
    assert_eq!(site.hosts[2].confirm, Confirm::ActionSucceeded);
    assert!(site.outage.is_some());
}

/// Every key that the reader knows stands in the example, so that it is the whole manual.
#[test]
fn the_example_shows_every_key() {
    let mut spoilt = "zzzzzzzzzzzzzzzz = 1\n".to_owned();
    for line in EXAMPLE.lines() {
        spoilt.push_str(line);
        spoilt.push('\n');
        if line.starts_with('[') {
            spoilt.push_str("zzzzzzzzzzzzzzzz = 1\n");
        }
    }
    let problems = real_of(&spoilt).unwrap_err();
    let mut keys = 0;
    for problem in &problems {
        let hint = problem.hint.as_deref().unwrap_or_default();
        let known = hint
            .strip_prefix("known keys: ")
            .expect("only unknown keys were added");
        for key in known.split(", ") {
            keys += 1;
            let shown = EXAMPLE.contains(&format!("{key} = "))
                || EXAMPLE.contains(&format!("[{key}]"))
                || EXAMPLE.contains(&format!(".{key}]"));
            assert!(shown, "{key} is not in the example ({})", problem.message);
        }
    }
    assert!(keys > 100, "the reader told its keys: {keys}");
}

#[test]
fn no_client_of_nut_is_allowed_to_switch_power() {
    let text = EXAMPLE.replace("instcmds = [\"test.battery.start\"", "instcmds = [\"load.off\"");
    let problems = real_of(&text).unwrap_err();
    assert!(
        problems[0].message.contains("load.off switches power"),
        "{problems:?}"
    );
    let text = EXAMPLE.replace(
        "instcmds = [\"test.battery.start\"",
        "instcmds = [\"test.batery.start\"",
    );
    let problems = real_of(&text).unwrap_err();
    assert!(
        problems[0]
            .hint
            .as_deref()
            .unwrap()
            .contains("test.battery.start"),
        "{problems:?}"
    );
}

/// (what is spoilt, what it becomes, where it is reported, a word of the message or hint)
const BAD: &[(&str, &str, &str, &str)] = &[
    // unknown keys
    ("on_delay = \"30s\"", "on_dealy = \"30s\"", "on_dealy", "on_delay"),
    (
        "listen = \"127.0.0.1:8080\"",
        "lisen = \"127.0.0.1:8080\"",
        "lisen",
        "listen",
    ),
    ("[web]", "[wed]", "[wed]", "web"),
    ("id = 1\n", "ID = 1\n", "ID", "id"),
    (
        "version = \"v2c\"",
        "version = \"v2c\"\nｐｏｌｌ = \"5s\"",
        "ｐｏｌｌ",
        "key",
    ),
    (
        "version = \"v2c\"",
        "version = \"v2c\"\n\"ｐｏｌｌ\" = \"5s\"",
        "\"ｐｏｌｌ\"",
        "poll",
    ),
    // missing
    ("name = \"室\"\n", "", "data_dir", "name"),
    ("data_dir = \"data\"\n", "", "name = \"室\"", "data_dir"),
    ("key_file = \"keys/node-1\"\n", "", "[[node]]", "key_file"),
    ("community = \"public\"\n", "", "[[device]]", "community"),
    (
        "budget = \"60s\"\non_failure = \"go_on\"",
        "on_failure = \"go_on\"",
        "[[host]]",
        "budget",
    ),
    ("on_failure = \"go_on\"\n", "", "[[host]]", "on_failure"),
    ("limit = 30.0\n", "", "[[limit]]", "safety limits"),
    ("deadband = 0.5\n", "", "[[limit]]", "deadband"),
    ("reserve = \"30s\"\n", "", "[outage]", "reserve"),
    ("start_at_charge = 40\n", "", "[outage]", "start_at_charge"),
    (
        "contact = \"door\"\n",
        "",
        "[[node.channel]]\nchannel = 1",
        "door, window",
    ),
    ("feeds = [\"ups-a\"]\nbudget", "budget", "[[host]]", "feeds"),
    // types, words, units
    ("id = 1\n", "id = \"1\"\n", "id = \"1\"", "whole number"),
    ("id = 1\n", "id = 70000\n", "id = 70000", "65535"),
    (
        "id = 1\n",
        "id = 99999999999999999999\n",
        "id = 999",
        "out of range",
    ),
    ("channel = 1\n", "channel = 32\n", "channel = 32", "0 to 31"),
    ("budget = \"60s\"", "budget = 60", "budget = 60", "no unit"),
    (
        "budget = \"60s\"",
        "budget = \"60\"",
        "budget = \"60\"",
        "unit is missing",
    ),
    (
        "budget = \"60s\"",
        "budget = \"６０s\"",
        "budget = \"６０s\"",
        "full-width digit ６",
    ),
    (
        "budget = \"60s\"",
        "budget = \"1.5m\"",
        "budget = \"1.5m\"",
        "fractions",
    ),
    (
        "budget = \"60s\"",
        "budget = \"60秒\"",
        "budget = \"60秒\"",
        "unit is not known",
    ),
    (
        "budget = \"60s\"",
        "budget = \"99999999999999999999h\"",
        "budget = \"999",
        "too large",
    ),
    (
        "budget = \"60s\"",
        "budget = \"3h\"",
        "budget = \"3h\"",
        "out of range",
    ),
    ("budget = \"60s\"", "budget = \"\"", "budget = \"\"", "digit"),
    (
        "limit = 30.0",
        "limit = \"30\"",
        "limit = \"30\"",
        "without quotes",
    ),
    (
        "limit = 30.0",
        "limit = \"３０\"",
        "limit = \"３０\"",
        "full-width",
    ),
    ("limit = 30.0", "limit = nan", "limit = nan", "finite"),
    ("limit = 30.0", "limit = inf", "limit = inf", "finite"),
    ("limit = 30.0", "limit = 300.0", "limit = 300.0", "outside"),
    ("deadband = 0.5", "deadband = -1", "deadband = -1", "negative"),
    ("deadband = 0.5", "deadband = 90", "deadband = 90", "wider"),
    (
        "kind = \"ups\"",
        "kind = \"UPS\"",
        "kind = \"UPS\"",
        "did you mean \"ups\"",
    ),
    (
        "version = \"v2c\"",
        "version = \"v4\"",
        "version = \"v4\"",
        "\"v1\", \"v2c\"",
    ),
    (
        "version = \"v2c\"\ncommunity = \"public\"",
        "version = \"v3\"\nuser = \"yagura\"\nprivacy = \"aes128\"\nprivacy_password_file = \"p\"",
        "privacy = \"aes128\"",
        "`privacy` without `auth`",
    ),
    (
        "version = \"v2c\"\ncommunity = \"public\"",
        "version = \"v3\"\nuser = \"yagura\"\nauth = \"sha256\"",
        "[[device]]",
        "`auth_password_file` is missing",
    ),
    (
        "addr = \"127.0.0.1:1161\"\nversion = \"v2c\"\ncommunity = \"public\"",
        "protocol = \"modbus\"\naddr = \"127.0.0.1:1502\"\nunit = 256\nprofile = \"rfc1628\"",
        "unit = 256",
        "0 to 255",
    ),
    (
        "addr = \"127.0.0.1:1161\"\nversion = \"v2c\"\ncommunity = \"public\"",
        "protocol = \"megatec\"\nport = \"/dev/ttyS0\"\nbaud = 2401",
        "baud = 2401",
        "no rate of a serial port",
    ),
    (
        "addr = \"127.0.0.1:1161\"\nversion = \"v2c\"\ncommunity = \"public\"",
        "protocol = \"nut\"\naddr = \"127.0.0.1:3493\"\nups = \"ups\"\nuser = \"monitor\"",
        "[[device]]",
        "belong together",
    ),
    (
        "quantity = \"temperature\"",
        "quantity = \"temprature\"",
        "quantity = \"temprature\"",
        "temperature",
    ),
    (
        "priority = \"warning\"",
        "priority = \"警告\"",
        "priority = \"警告\"",
        "critical",
    ),
    (
        "name = \"ups-a\"",
        "name = \"UPS A\"",
        "name = \"UPS A\"",
        "short name",
    ),
    (
        "name = \"ups-a\"",
        "name = \"ups\\ta\"",
        "name = \"ups\\ta\"",
        "a tab",
    ),
    (
        "name = \"ups-a\"",
        "name = \"ups　a\"",
        "name = \"ups　a\"",
        "full-width space",
    ),
    (
        "point = \"door.1\"",
        "point = \"door..1\"",
        "point = \"door..1\"",
        "dotted",
    ),
    (
        "addr = \"127.0.0.1:1161\"",
        "addr = \"ups-a.local:161\"",
        "addr = \"ups-a.local",
        "name server",
    ),
    (
        "addr = \"127.0.0.1:1161\"",
        "addr = \"127.0.0.1\"",
        "addr = \"127.0.0.1\"\nversion",
        "port is missing",
    ),
    (
        "addr = \"127.0.0.1:1161\"",
        "addr = \"１２７.0.0.1:161\"",
        "addr = \"１",
        "full-width digit １",
    ),
    (
        "addr = \"127.0.0.1:1161\"",
        "addr = \"0.0.0.0:161\"",
        "addr = \"0.0.0.0:161\"",
        "nobody",
    ),
    (
        "addr = \"127.0.0.1:1161\"",
        "addr = \"127.0.0.1:0\"",
        "addr = \"127.0.0.1:0\"",
        "port 0",
    ),
    (
        "feeds = [\"ups-a\"]",
        "feeds = \"ups-a\"",
        "feeds = \"ups-a\"",
        "a list",
    ),
    (
        "feeds = [\"ups-a\"]",
        "feeds = [1]",
        "feeds = [1]",
        "list of texts",
    ),
    ("feeds = [\"ups-a\"]", "feeds = []", "[[host]]", "empty"),
    ("[[limit]]", "[limit]", "[limit]", "two brackets"),
    (
        "start_at_charge = 40",
        "start_at_charge = 100",
        "start_at_charge = 100",
        "full battery",
    ),
    (
        "user = \"stop\"\nkey",
        "user = \"stop@db1\"\nkey",
        "user = \"stop@db1\"",
        "account",
    ),
    (
        "host_key = \"ssh-ed25519 AAAA",
        "host_key = \"ssh-ed25519 AAAB",
        "host_key = \"ssh-ed25519 AAAB",
        "public key",
    ),
    (
        "host_key = \"ssh-ed25519 ",
        "host_key = \"db1 ssh-ed25519 ",
        "host_key = \"db1",
        "leave that out",
    ),
    (
        "host_key = \"ssh-ed25519 AAAA",
        "host_key = \"AAAA",
        "host_key = \"AAAA",
        "type",
    ),
    (
        "host_key = \"ssh-ed25519 ",
        "host_key = \"ssh-rsa ",
        "host_key = \"ssh-rsa",
        "ed25519 or ecdsa",
    ),
    // twice
    (
        "name = \"app1\"",
        "name = \"db1\"",
        "name = \"db1\"\nfeeds = [\"ups-a\"]\ndepends",
        "line 27",
    ),
    (
        "name = \"ups-a\"",
        "name = \"node-1\"",
        "name = \"node-1\"\nkind",
        "twice",
    ),
    (
        "channel = 1\n",
        "channel = 0\n",
        "channel = 0\npoint = \"door.1\"",
        "twice",
    ),
    (
        "point = \"door.1\"",
        "point = \"room.temperature\"",
        "point = \"room.temperature\"\nquantity = \"contact\"",
        "twice",
    ),
    (
        "point = \"door.1\"",
        "point = \"ups-a.door\"",
        "point = \"ups-a.door\"",
        "device",
    ),
    (
        "listen = \"127.0.0.1:1883\"",
        "listen = \"127.0.0.1:8080\"",
        "listen = \"127.0.0.1:8080\"\n[[node]]",
        "another port",
    ),
    ("127.0.0.1:2223", "127.0.0.1:2222", "action = { kind", "twice"),
    ("id = 1\n", "id = 1\nid = 2\n", "id = 2", "duplicate"),
    (
        "version = \"v2c\"",
        "version = \"v2c\"\nprofile = \"rfc1682\"",
        "profile = \"rfc1682\"",
        "rfc1628",
    ),
    // references and circles
    (
        "feeds = [\"ups-a\"]",
        "feeds = [\"ups-b\"]",
        "feeds = [\"ups-b\"]",
        "ups-a",
    ),
    (
        "kind = \"ups\"",
        "kind = \"other\"",
        "feeds = [\"ups-a\"]",
        "only a UPS",
    ),
    (
        "depends_on = [\"db1\"]",
        "depends_on = [\"db2\"]",
        "depends_on = [\"db2\"]",
        "db1",
    ),
    (
        "depends_on = [\"db1\"]",
        "depends_on = [\"app1\"]",
        "depends_on = [\"app1\"]",
        "app1 -> app1",
    ),
    (
        "name = \"db1\"",
        "name = \"db1\"\ndepends_on = [\"app1\"]",
        "depends_on = [\"app1\"]",
        "db1 -> app1 -> db1",
    ),
    (
        "point = \"room.temperature\"\nside",
        "point = \"room.temp\"\nside",
        "point = \"room.temp\"",
        "no point",
    ),
    (
        "point = \"room.temperature\"\nside",
        "point = \"door.1\"\nside",
        "point = \"door.1\"\nside",
        "contact",
    ),
    (
        "point = \"room.temperature\"\nside",
        "point = \"ups-b.ups.load\"\nside",
        "point = \"ups-b",
        "no point",
    ),
    (
        "point = \"room.temperature\"\nside",
        "point = \"ups-a.output.source\"\nside",
        "point = \"ups-a.output",
        "a word",
    ),
    // values against each other
    (
        "feeds = [\"ups-a\"]",
        "feeds = [\"ups-a\"]\nneed = 2",
        "need = 2",
        "needs 2 feeds but has 1",
    ),
    (
        "budget = \"60s\"",
        "budget = \"35s\"",
        "budget = \"35s\"",
        "time-outs of its [host.action] (35s)",
    ),
    (
        "version = \"v2c\"",
        "version = \"v2c\"\npoll_on_battery = \"10s\"",
        "poll_on_battery",
        "slower",
    ),
    (
        "contact_lost_after = \"15s\"",
        "contact_lost_after = \"8s\"",
        "contact_lost_after",
        "late answer",
    ),
    (
        "longest_on_battery = \"10m\"",
        "longest_on_battery = \"10s\"",
        "longest_on_battery",
        "not longer",
    ),
    (
        "quantity = \"contact\"",
        "quantity = \"humidity\"",
        "contact = \"door\"",
        "alone",
    ),
    (
        "listen = \"127.0.0.1:1883\"",
        "listen = \"127.0.0.1:1883\"\nuser = \"x\"",
        "user = \"x\"",
        "broker",
    ),
    (
        "listen = \"127.0.0.1:1883\"",
        "broker = \"127.0.0.1\"",
        "broker = \"127.0.0.1\"",
        "host and port",
    ),
    (
        "listen = \"127.0.0.1:1883\"",
        "listen = \"127.0.0.1:1883\"\nbroker = \"a:1\"",
        "[mqtt]",
        "exclude",
    ),
    (
        "listen = \"127.0.0.1:1883\"",
        "broker = \"a:1883\"\nuser = \"x\"",
        "[mqtt]",
        "together",
    ),
    (
        "[outage]",
        "[[limit]]\npoint = \"room.temperature\"\npreset = \"ashrae-a9\"\n[outage]",
        "preset = \"ashrae-a9\"",
        "ashrae-a1",
    ),
    (
        "[outage]",
        "[[limit]]\npoint = \"door.1\"\npreset = \"ashrae-a1-humidity\"\n[outage]",
        "point = \"door.1\"\npreset",
        "contact",
    ),
    (
        "[outage]",
        "[[limit]]\npoint = \"room.temperature\"\npreset = \"ashrae-a1-humidity\"\n[outage]",
        "point = \"room.temperature\"\npreset",
        "measures temperature",
    ),
    ("[outage]", "[snmp]\n[outage]", "[snmp]", "trap_listen"),
    (
        "[outage]",
        "[snmp]\ntrap_listen = \"162\"\n[outage]",
        "trap_listen",
        "0.0.0.0:162",
    ),
    // not TOML
    ("id = 1\n", "id: 1\n", "id: 1", "key = value"),
    ("id = 1\n", "id ＝ 1\n", "id ＝ 1", "full-width"),
    ("id = 1\n", "id = １\n", "id = １", "full-width digit １"),
    ("id = 1\n", "id =　1\n", "id =　1", "全角スペース"),
    ("name = \"node-1\"", "name = “node-1”", "name = “node-1”", "curly"),
    ("name = \"node-1\"", "name = \"node-1", "name = \"node-1\n", ""),
    ("[[node]]", "[[node]", "[[node]\n", ""),
];

#[test]
fn every_bad_site_is_refused_at_the_right_line() {
    let mut failures = Vec::new();
    for (from, to, place, word) in BAD {
        assert!(GOOD.contains(from), "{from} is in the good site");
        let text = GOOD.replacen(from, to, 1);
        let line = line_of(&text, place);
        match real_of(&text) {
            Ok(_) => failures.push(format!("{to:?} was taken")),
            Err(problems) => {
                let hit = problems
                    .iter()
                    .any(|p| p.line == line && p.severity == Severity::Error && p.to_string().contains(word));
                if !hit {
                    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    failures.push(format!(
                        "{to:?}: nothing in line {line} with {word:?}:\n{}",
                        all.join("\n")
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn all_problems_are_reported_at_once_and_in_order() {
    let text = GOOD
        .replace("id = 1\n", "id = 0\n")
        .replace("kind = \"ups\"", "kind = \"usp\"")
        .replace("priority = \"warning\"", "priority = \"high\"")
        .replace("mains_stable", "mains_stabel");
    let problems = real_of(&text).unwrap_err();
    let kinds: Vec<Kind> = problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Value,
            Kind::Value,
            Kind::Value,
            Kind::Missing,
            Kind::UnknownKey
        ]
    );
    assert!(problems.is_sorted_by_key(|problem| problem.line));
}

#[test]
fn columns_count_characters() {
    let text = GOOD.replace("name = \"室\"", "name = { ja = \"室室室\", en = 1 }");
    let problems = real_of(&text).unwrap_err();
    assert_eq!((problems[0].line, problems[0].column), (1, 27), "{problems:?}");
}

#[test]
fn a_circle_names_every_member_once() {
    let host = |name: &str, on: &str| {
        format!(
            "[[host]]\nname = \"{name}\"\nfeeds = [\"ups-a\"]\ndepends_on = [\"{on}\"]\nbudget = \"60s\"\non_failure = \"hold\"\naction = {{ kind = \"exec\", program = \"/bin/true\", args = [\"{name}\"] }}\nconfirm = {{ kind = \"action_succeeded\" }}\n"
        )
    };
    let extra = [host("a", "b"), host("b", "c"), host("c", "a"), host("d", "a")].concat();
    let text = GOOD.replace("[[limit]]", &format!("{extra}[[limit]]"));
    let problems = real_of(&text).unwrap_err();
    let circles: Vec<&Problem> = problems.iter().filter(|p| p.kind == Kind::Cycle).collect();
    assert_eq!(circles.len(), 1, "{problems:?}");
    assert!(circles[0].message.ends_with("a -> b -> c -> a"), "{}", circles[0]);
}

#[test]
fn a_host_can_be_forced_and_started_by_what_can_do_that() {
    let force = "[host.force]\nkind = \"exec\"\nprogram = \"/bin/cut\"\n";
    let start = "[host.start]\nkind = \"exec\"\nprogram = \"/bin/wake\"\nalive = \"127.0.0.1:2222\"\nbudget = \"5m\"\n";
    let with = |on_failure: &str, more: &str| {
        GOOD.replacen("on_failure = \"go_on\"", on_failure, 1).replacen(
            "[host.action]",
            &format!("{more}[host.action]"),
            1,
        )
    };
    let site = real_of(&with("on_failure = \"force\"", &[force, start].concat())).unwrap();
    let host = &site.hosts[0];
    assert_eq!(host.on_failure, OnFailure::Force);
    assert!(matches!(host.doing(Verb::Force), Some(RealAction::Exec(_))));
    let begun = host.start.as_ref().unwrap();
    assert_eq!(
        (begun.alive.map(|addr| addr.port()), begun.budget),
        (Some(2222), Millis::from_secs(300))
    );
    let hash = |site| crate::plan::Plan::new(site).unwrap().hash().to_owned();
    assert_ne!(hash(&site), hash(&real_of(GOOD).unwrap()));
    for (text, word) in [
        (with("on_failure = \"force\"", ""), "belong together"),
        (with("on_failure = \"go_on\"", force), "belong together"),
        (
            with(
                "on_failure = \"go_on\"",
                &start.replace("budget = \"5m\"", "budget = \"1s\""),
            ),
            "[host.start]",
        ),
        (
            with("on_failure = \"go_on\"", &start.replace("\"exec\"", "\"nut\"")),
            "kind",
        ),
    ] {
        let problems = real_of(&text).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.contains(word), "{problems:?}");
    }
}

#[test]
fn a_simulated_site_reaches_nothing_but_loopback() {
    for (from, to) in [
        ("addr = \"127.0.0.1:2222\"\nuser", "addr = \"192.0.2.1:22\"\nuser"),
        ("addr = \"127.0.0.1:1161\"", "addr = \"192.0.2.1:161\""),
        (
            "kind = \"port_closed\"\naddr = \"127.0.0.1:2222\"",
            "kind = \"port_closed\"\naddr = \"192.0.2.1:22\"",
        ),
        (
            "confirm = { kind = \"action_succeeded\" }",
            "confirm = { kind = \"action_succeeded\" }\n[[host]]\nname = \"vm1\"\nfeeds = [\"ups-a\"]\nbudget = \"60s\"\non_failure = \"hold\"\naction = { kind = \"exec\", program = \"/bin/true\" }\nconfirm = { kind = \"action_succeeded\" }",
        ),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD);
        assert!(real_of(&text).is_ok(), "a real site may: {to}");
        let problems = simulated(&text, Path::new("/x")).unwrap_err();
        assert!(
            problems.iter().any(|p| p.message.contains("simulated")),
            "{problems:?}"
        );
    }
}

#[test]
fn an_exposed_listener_is_a_warning_unless_meant() {
    let text = GOOD.replace("127.0.0.1:8080", "0.0.0.0:8080");
    let outcome = read::<Real>(&text, Path::new("/x"));
    assert!(outcome.site.is_some());
    assert_eq!(outcome.problems.len(), 1);
    assert_eq!(outcome.problems[0].kind, Kind::Exposure);
    let meant = text.replace("0.0.0.0:8080\"", "0.0.0.0:8080\"\nexposed = true");
    assert_eq!(read::<Real>(&meant, Path::new("/x")).problems, []);
}

#[test]
fn encodings_are_named() {
    let utf8 = decode("name = \"室\"".as_bytes()).unwrap();
    assert_eq!(utf8, "name = \"室\"");
    // "サーバ" in CP932, in the second line.
    let problem = decode(b"a = 1\nname = \"\x83\x54\x81\x5b\x83\x6f\"\n").unwrap_err();
    assert!(problem.message.contains("CP932"), "{problem}");
    assert_eq!((problem.line, problem.column), (2, 9));
    assert!(
        decode(&[0xff, 0xfe, b'n', 0])
            .unwrap_err()
            .message
            .contains("UTF-16")
    );
    assert!(decode(&vec![b'#'; super::parse::MAX_TEXT + 1]).is_err());
    let outcome = read::<Real>(&format!("\u{feff}{GOOD}"), Path::new("/x"));
    assert!(outcome.site.is_some(), "{:?}", outcome.problems);
    assert!(outcome.problems[0].message.contains("BOM"));
}

#[test]
fn an_external_broker_is_one_line() {
    let text = GOOD.replace("listen = \"127.0.0.1:1883\"", "broker = \"mosquitto:1883\"");
    let site = real_of(&text).unwrap();
    assert!(matches!(site.mqtt, Mqtt::External { ref addr, user: None, .. } if addr == "mosquitto:1883"));
}

#[test]
fn a_value_is_located_by_its_way() {
    let line = line_of(GOOD, "key_file = \"keys/db1\"");
    let way = [
        Step::Key("host"),
        Step::Index(0),
        Step::Key("action"),
        Step::Key("key_file"),
    ];
    assert_eq!(locate(GOOD, &way), (line, 12));
    // A value that is not there is reported where its table begins.
    assert_eq!(locate(GOOD, &[Step::Key("nothing")]), (1, 1));
    assert_eq!(locate("", &[Step::Index(3)]), (1, 1));
}

/// Work is counted, not time: bytes of the text that were gone through to know in which line something
/// stands. It was the text once for every table, which made a full site 30 s late at its start.
#[test]
fn the_lines_of_a_long_file_are_counted_once() {
    let mut text = GOOD.to_owned();
    for at in 0..2000 {
        let host = at / 250;
        let port = 1000 + at % 250;
        text.push_str(&format!(
            "\n[[device]]\nname = \"far-{at}\"\nkind = \"other\"\naddr = \"192.168.77.{host}:{port}\"\n\
             version = \"v2c\"\ncommunity = \"x\"\n"
        ));
    }
    BYTES_READ.set(0);
    let site = real_of(&text).unwrap();
    assert!(site.devices.len() >= 2000);
    assert!(
        BYTES_READ.get() <= 2 * text.len(),
        "{} of {}",
        BYTES_READ.get(),
        text.len()
    );

    // The same for files that are all missing on the disk.
    let places = Located::new(&text);
    BYTES_READ.set(0);
    for at in 0..2000 {
        let (line, column) = places.locate(&[Step::Key("device"), Step::Index(at), Step::Key("name")]);
        assert_eq!(column, 8, "line {line}");
    }
    assert!(
        BYTES_READ.get() <= text.len(),
        "{} of {}",
        BYTES_READ.get(),
        text.len()
    );
}

/// The quick way to a place and the slow one say the same.
#[test]
fn a_place_is_found_by_its_line() {
    let text = "é = 1\n\nname = \"室 12\"\nlast";
    let lines = Lines::of(text);
    for at in (0..=text.len()).filter(|&at| text.is_char_boundary(at)) {
        assert_eq!(lines.place(text, at), place(text, at), "byte {at}");
    }
}

#[test]
fn reports_end() {
    let many = "x = 1\n[[node]]\n".repeat(5000);
    let problems = real_of(&many).unwrap_err();
    assert!(problems.len() <= super::problem::MAX_PROBLEMS + 1);
    assert!(real_of(&"[".repeat(100_000)).is_err());
    assert!(real_of(&format!("a = {}", "[".repeat(100_000))).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is cut out of, put into or swapped within the example, reading it ends.
    #[test]
    fn no_text_panics_the_reader(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "\\PC{0,6}|[\\[\\]{}=\"'#\n\t\r.,0-9-]{0,6}"), 1..12)
    ) {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for (at, cut, put) in edits {
            let at = at.index(text.len().max(1)).min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        let outcome = read::<Real>(&text, Path::new("/x"));
        let refused = outcome.problems.iter().any(|problem| problem.severity == Severity::Error);
        prop_assert_eq!(outcome.site.is_none(), refused);
        let lines = text.matches('\n').count() + 1;
        prop_assert!(outcome.problems.iter().all(|p| p.line >= 1 && p.line <= lines && p.column >= 1));
    }

    #[test]
    fn no_bytes_panic_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = decode(&bytes) {
            let _ = read::<Real>(text, Path::new("/x"));
        }
    }
}

//! The blocks of the manual (`deploy/docs/actions.md`) are good sites, and what is wrong is said.

use crate::outage::Verb;
use crate::site::act::guests::{Which, Whom};
use crate::site::parse::{read, real, simulated};
use crate::site::problem::Problem;
use crate::site::{Real, RealAction, Site};
use crate::time::Millis;
use std::path::Path;

const MANUAL: &str = include_str!("../../../../../deploy/docs/actions.md");
const HEAD: &str = r#"name = "室"
data_dir = "data"
web = { listen = "127.0.0.1:8080" }
mqtt = { listen = "127.0.0.1:1883" }
outage = { on_battery_delay = "10s", reserve = "30s", start_at_charge = 40, longest_on_battery = "10m", contact_lost_after = "30s", mains_stable = "60s" }
[[device]]
name = "ups-a"
kind = "ups"
addr = "127.0.0.1:1161"
version = "v2c"
community = "public"
[[host]]
name = "guests"
feeds = ["ups-a"]
budget = "30m"
"#;

/// A site with one host, to which this is done.
fn site_of(block: &str) -> String {
    let on_failure = if block.contains("[host.force]") {
        "force"
    } else {
        "go_on"
    };
    let mut text = format!("{HEAD}on_failure = \"{on_failure}\"\n{block}\n");
    if !block.contains("[host.action]") {
        text.push_str("[host.action]\nkind = \"exec\"\nprogram = \"/bin/true\"\n");
    }
    if !block.contains("[host.confirm]") {
        text.push_str("[host.confirm]\nkind = \"action_succeeded\"\n");
    }
    text
}

fn good(block: &str) -> Site<Real> {
    let outcome = read::<Real>(&site_of(block), Path::new("/etc/yagura"));
    assert_eq!(outcome.problems, [], "{block}");
    outcome.site.unwrap()
}

fn wrong(block: &str) -> Vec<Problem> {
    real(&site_of(block), Path::new("/etc/yagura")).unwrap_err()
}

fn blocks() -> Vec<&'static str> {
    let blocks = MANUAL.split("```toml\n").skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}

/// The first block of this kind.
fn block(kind: &str) -> &'static str {
    let line = format!("kind = \"{kind}\"");
    blocks().into_iter().find(|block| block.contains(&line)).unwrap()
}

#[test]
fn every_block_of_the_manual_is_a_good_site() {
    assert_eq!(blocks().len(), 6);
    for block in blocks() {
        good(block);
    }
}

#[test]
fn what_is_written_is_what_is_done() {
    let site = good(block("libvirt"));
    let (RealAction::Libvirt(stop), Some(RealAction::Libvirt(start))) =
        (&site.hosts[0].action, site.hosts[0].doing(Verb::Start))
    else {
        panic!("{:?}", site.hosts[0]);
    };
    assert_eq!((stop.verb, start.verb), (Verb::Stop, Verb::Start));
    assert_eq!(stop.guests.force_after, Some(Millis::from_secs(180)));
    assert_eq!(start.guests.force_after, None);
    assert!(!stop.guests.which.takes("firewall"));

    let site = good(block("proxmox"));
    let Some(RealAction::Proxmox(force)) = site.hosts[0].doing(Verb::Force) else {
        panic!("{:?}", site.hosts[0]);
    };
    let Whom::Guests(guests) = &force.what else {
        panic!("{force:?}");
    };
    let named = vec!["web".to_owned(), "101".to_owned()];
    assert_eq!((force.verb, &guests.which), (Verb::Force, &Which::Named(named)));
}

#[test]
fn what_is_wrong_is_said_once() {
    let libvirt = block("libvirt");
    let proxmox = block("proxmox");
    let winrm = block("winrm");
    let node = "[host.start]\nbudget = \"10m\"\nwhat = \"host\"\n";
    let pve = "kind = \"proxmox\"\naddr = \"192.168.10.31:8006\"\ntoken_file = \"t\"\nnode = \"pve1\"\n";
    let windows = "kind = \"winrm\"\naddr = \"192.168.10.41:5986\"\nuser = \"u\"\npassword_file = \"p\"\n";
    for (text, word) in [
        (
            libvirt.replacen("mode = \"agent\"", "mode = \"polite\"", 1),
            "mode",
        ),
        (libvirt.replacen("qemu+ssh:", "qemu+tcp:", 1), "in the clear"),
        (
            libvirt.replacen("guests = \"all\"", "guests = \"some\"", 1),
            "guests",
        ),
        (
            libvirt.replacen("force_after = \"3m\"", "force_after = \"40m\"", 1),
            "budget",
        ),
        (
            proxmox.replacen("node = \"pve1\"", "node = \"../pve1\"", 1),
            "node",
        ),
        (
            proxmox.replacen("what = \"guests\"", "what = \"both\"", 1),
            "what",
        ),
        (proxmox.replacen("[\"web\", \"101\"]", "[]", 1), "guests"),
        (proxmox.replacen("timeout = \"10s\"", "plain = true", 1), "plain"),
        (
            proxmox.replacen("pve1.city.example", "pve1 city", 1),
            "server_name",
        ),
        (winrm.replacen("\"yagura-stop\"", "\"a:b\"", 1), "colon"),
        (format!("{node}{pve}"), "only shuts down"),
        (format!("{node}{windows}"), "cannot be asked"),
    ] {
        let problems = wrong(&text);
        assert_eq!(problems.len(), 1, "{word}: {problems:?}");
        assert!(problems[0].message.contains(word), "{word}: {problems:?}");
    }
}

#[test]
fn a_simulated_room_has_no_hypervisor() {
    let text = site_of("[host.action]\nkind = \"libvirt\"\nuri = \"test:///default\"\nguests = \"all\"\n");
    let problems = simulated(&text, Path::new("/x")).unwrap_err();
    assert!(
        problems.iter().any(|problem| problem.message.contains("ssh")),
        "{problems:?}"
    );
}

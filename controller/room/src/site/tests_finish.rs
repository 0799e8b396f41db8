//! `[outage.finish]` of a site file: what is read, and what is refused.

use super::parse::read;
use super::{Real, Simulated, World};
use crate::site::parse::Hands;
use crate::time::Millis;
use std::path::Path;

const SITE: &str = r#"
name = "室"
data_dir = "data"
[web]
listen = "127.0.0.1:0"
[mqtt]
listen = "127.0.0.1:0"
[outage]
on_battery_delay = "10s"
reserve = "30s"
start_at_charge = 20
longest_on_battery = "10m"
contact_lost_after = "60s"
mains_stable = "30s"
[[host]]
name = "db"
label = { ja = "DB", en = "DB" }
feeds = ["ups-a"]
budget = "60s"
on_failure = "go_on"
confirm = { kind = "port_closed", addr = "127.0.0.1:22" }
action = { kind = "ssh", addr = "127.0.0.1:2223", user = "stop", key_file = "k", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIy5x0jBAlxkEZZc+QC7zzUT1DclLq9QDsgkVlHCLtpP", command = "stop" }
[[device]]
name = "ups-a"
kind = "ups"
label = { ja = "A", en = "A" }
addr = "127.0.0.1:9"
version = "v2c"
community = "public"
profile = "rfc1628"
commands = ["shutdown.return"]
write = { community_file = "c" }
"#;

/// The problems of the site with this for its finish.
fn problems<W: World + Hands>(finish: &str) -> String {
    let outcome = read::<W>(&format!("{SITE}{finish}"), Path::new("/nonexistent"));
    format!("{:?}", outcome.problems)
}

const GOOD: &str = r#"
[outage.finish]
may_run = ["db"]
[[outage.finish.ups]]
device = "ups-a"
delay = "90s"
also_feeds = ["switch"]
[outage.finish.controller]
program = "/usr/bin/systemctl"
args = ["poweroff"]
budget = "60s"
"#;

#[test]
fn what_ends_a_plan_is_read_and_part_of_its_hash() {
    let read = |finish: &str| {
        let outcome = read::<Real>(&format!("{SITE}{finish}"), Path::new("/nonexistent"));
        outcome.site.unwrap_or_else(|| panic!("{:?}", outcome.problems))
    };
    let site = read(GOOD);
    let finish = site.finish.as_ref().unwrap();
    assert_eq!(
        (finish.cuts[0].ups.as_str(), finish.cuts[0].seconds()),
        ("ups-a", 90)
    );
    let own = finish.controller.as_ref().unwrap();
    assert_eq!(
        (own.args.join(" "), own.budget),
        ("poweroff".into(), Millis::from_secs(60))
    );
    let hash = |site: &super::Site<Real>| crate::plan::Plan::new(site).unwrap().hash().to_owned();
    let without = read("");
    assert!(without.finish.is_none());
    assert_ne!(hash(&site), hash(&without));
    assert_eq!(
        hash(&site),
        hash(&read(&GOOD.replace("switch", "another"))),
        "words for people"
    );
    assert_ne!(hash(&site), hash(&read(&GOOD.replace("90s", "91s"))));
}

#[test]
fn what_cannot_work_is_refused() {
    for (from, to, says) in [
        ("delay = \"90s\"", "delay = \"70s\"", "own stop takes up to"),
        ("delay = \"90s\"", "delay = \"5s\"", "delay"),
        (
            "device = \"ups-a\"",
            "device = \"ups-b\"",
            "no device of this site",
        ),
        (
            "may_run = [\"db\"]",
            "may_run = [\"dbb\"]",
            "no [[host]] of this site",
        ),
        ("/usr/bin/systemctl", "systemctl", "not an absolute path"),
    ] {
        let wrong = GOOD.replace(from, to);
        assert_ne!(wrong, GOOD, "{from}");
        let found = problems::<Real>(&wrong);
        assert!(found.contains(says), "{to}: {found}");
    }
    assert!(problems::<Real>("[outage.finish]\n").contains("UPSes that are switched off last"));
    let found = problems::<Simulated>(GOOD);
    assert!(found.contains("does not stop the machine it runs on"), "{found}");
}

#[test]
fn a_ups_that_may_not_be_told_or_has_no_such_command_is_refused() {
    let with = |from: &str, to: &str| {
        let text = format!("{SITE}{GOOD}").replace(from, to);
        format!("{:?}", read::<Real>(&text, Path::new("/nonexistent")).problems)
    };
    let found = with("commands = [\"shutdown.return\"]", "commands = [\"beeper.mute\"]");
    assert!(
        found.contains("not allowed to be told shutdown.return"),
        "{found}"
    );
    let found = with("profile = \"rfc1628\"", "profile = \"algcom-dc-ups\"");
    assert!(found.contains("cannot be told shutdown.return"), "{found}");
    let found = with("kind = \"ups\"", "kind = \"pdu\"");
    assert!(found.contains("is no UPS"), "{found}");
}

#[test]
fn a_host_that_nobody_sees_going_down_is_given_its_budget() {
    let blind = SITE.replace(
        "{ kind = \"port_closed\", addr = \"127.0.0.1:22\" }",
        "{ kind = \"action_succeeded\" }",
    );
    assert_ne!(blind, SITE);
    let problems = |finish: &str| {
        let outcome = read::<Real>(&format!("{blind}{finish}"), Path::new("/nonexistent"));
        format!("{:?}", outcome.problems)
    };
    let unnamed = GOOD.replace("may_run = [\"db\"]\n", "");
    assert_eq!(problems(GOOD), "[]", "the site says that it may lose its power");
    assert_eq!(problems(&unnamed), "[]", "90 s are its 60 s and some more");
    let hasty = unnamed
        .replace("90s", "74s")
        .replace("budget = \"60s\"", "budget = \"10s\"");
    let found = problems(&hasty);
    assert!(found.contains("nothing shows when host db is down"), "{found}");
}

//! A UPS that really takes the order to test its battery, and the whole product that gives it, reads
//! the result back and keeps it, by the command line of a person at the machine.

use ::simroom::ups::{Mib, Model, Ups};
use hil_tests::product::{Yagura, write_secret};
use hil_tests::sitefile::SiteFile;
use hil_tests::{LOOK_EVERY, free_port, yagura_bin};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);

fn yagura(site: &Path, args: &[&str]) -> (bool, String) {
    let output = Command::new(yagura_bin())
        .arg("ups")
        .args(args)
        .arg("--config")
        .arg(site)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// The history of the UPS, as soon as `wanted` finds in it what it looks for.
fn history<T>(site: &Path, what: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
    let end = Instant::now() + BOUND;
    loop {
        let (good, said) = yagura(site, &["history", "ups-a", "--json"]);
        let found = good.then(|| serde_json::from_str::<Value>(&said).ok()).flatten();
        if let Some(found) = found.as_ref().and_then(|rows| wanted(&rows[0])) {
            return found;
        }
        assert!(Instant::now() < end, "{what}: {said}");
        std::thread::sleep(LOOK_EVERY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_a_battery_tested_and_its_result_and_its_change_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let ups = Ups::start(Model::rack_1500("S1"), Mib::Rfc1628, "room")
        .await
        .unwrap();
    ups.let_write("keeper");
    // Its test of ten seconds takes three.
    ups.set_time_factor(3.0);
    write_secret(&dir.path().join("keeper"), "keeper\n");
    let me = Command::new("id").arg("-un").output().unwrap();
    let me = String::from_utf8(me.stdout).unwrap().trim().to_owned();
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .with(&format!(
            "[[device]]\nname = \"ups-a\"\nkind = \"ups\"\naddr = \"{}\"\nversion = \"v2c\"\n\
             community = \"room\"\npoll = \"300ms\"\npoll_on_battery = \"300ms\"\ncommands = [\"test.battery.start\"]\n\
             battery_installed = \"2024-04-01\"\nwrite = {{ community_file = \"keeper\" }}\n\
             [operators]\nusers = [\"{me}\"]\n",
            ups.addr
        ))
        .write();
    tokio::task::block_in_place(|| {
        let running = Yagura::run(&site);
        running.wait("the UPS on mains", BOUND, |picture| {
            let ups = picture.power.ups.first()?;
            (ups.source == "mains" && ups.charge_percent == Some(100.0)).then_some(())
        });
        let (good, said) = yagura(&site, &["test", "ups-b"]);
        assert!(
            !good && said.contains("no UPS of this site; there are: ups-a"),
            "{said}"
        );
        let (good, said) = yagura(&site, &["test", "ups-a", "--kind", "plain"]);
        assert!(good, "{said}");
        let (good, said) = yagura(&site, &["test", "ups-a", "--kind", "plain"]);
        assert!(!good && said.contains("under way"), "{said}");
        assert_eq!(ups.writes(), 1, "it is told once");
        let least = history(&site, "the result", |row| {
            let test = row["tests"].get(0)?;
            assert_eq!(test["result"], "passed", "{test}");
            assert!(test["by"].as_str()?.starts_with(&me), "{test}");
            test["least"]["voltage"].as_f64()
        });
        assert!(least > 0.0);
        let picture = running.wait("the end of the test", BOUND, |picture| {
            let ups = picture.power.ups.first()?;
            (ups.source == "mains").then(|| picture.clone())
        });
        assert!(
            picture.alarms.iter().all(|alarm| alarm.id != "ups-a.on_battery"),
            "a test is no outage"
        );
        let records = running.records();
        let lost = records
            .iter()
            .filter(|row| row.to_string().contains("mains_lost"));
        assert_eq!(lost.count(), 0);
        let (good, said) = yagura(&site, &["battery-changed", "ups-a", "--date", "2026-01-15"]);
        assert!(good && said.contains("2026-01-15"), "{said}");
        let (good, said) = yagura(&site, &["list"]);
        assert!(
            good && said.contains("合格") && said.contains("2026-01-15"),
            "{said}"
        );
    });
}

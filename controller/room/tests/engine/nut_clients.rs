//! Hosts that stop by NUT: who would hear it, and what their accounts may order.

use crate::bench::Bench;
use room::catalog::NUT_CLIENT_ON_DELAY;
use room::command::Done;
use room::event::{Effect, Event, NutWish, Part, Refused};
use room::nut::served::Progress;
use room::nut::wish::Wish;
use room::record::Record;
use room::site::parse::read;
use room::site::{Real, Site};
use room::snapshot::AlarmState;
use std::collections::BTreeMap;
use std::path::Path;

const SITE: &str = r#"
name = "室"
data_dir = "data"
[web]
listen = "127.0.0.1:8080"
[mqtt]
listen = "127.0.0.1:1883"
[[device]]
name = "ups-a"
kind = "ups"
addr = "192.168.10.11:161"
version = "v2c"
community = "public"
commands = ["beeper.mute", "test.battery.start", "load.off"]
write = { community_file = "secret" }
[nut_server]
listen = "127.0.0.1:3493"
allow = ["10.0.0.0/8"]
[[nut_server.user]]
name = "operator"
password_file = "secret"
role = "secondary"
instcmds = ["beeper.mute"]
[[nut_server.user]]
name = "setter"
password_file = "secret"
role = "secondary"
set = true
[[host]]
name = "nas1"
feeds = ["ups-a"]
budget = "20s"
on_failure = "go_on"
[host.action]
kind = "nut"
ups = "nas1-ups"
addr = "127.0.0.1:3493"
[host.confirm]
kind = "port_closed"
addr = "192.168.10.31:445"
[outage]
on_battery_delay = "60s"
reserve = "30s"
start_at_charge = 40
longest_on_battery = "15m"
contact_lost_after = "15s"
mains_stable = "60s"
"#;

fn room() -> Bench {
    let outcome = read::<Real>(SITE, Path::new("/etc/yagura"));
    let site: Option<Site<Real>> = outcome.site;
    Bench::with(site.unwrap_or_else(|| panic!("{:?}", outcome.problems)))
}

fn logins(bench: &mut Bench, all: &[(&str, u32)]) {
    let all: BTreeMap<String, u32> = all
        .iter()
        .map(|(ups, count)| ((*ups).to_owned(), *count))
        .collect();
    bench.event(Event::NutLogins(all));
}

fn server(bench: &mut Bench, problem: Option<&str>) {
    bench.event(Event::Trouble {
        part: Part::Nut,
        problem: problem.map(str::to_owned),
    });
}

fn alarm(bench: &Bench) -> Option<AlarmState> {
    let alarms = bench.engine.snapshot(bench.now()).alarms;
    let ours = alarms.into_iter().find(|alarm| alarm.id == "nas1.nut_client");
    ours.map(|alarm| alarm.state)
}

#[test]
fn a_host_whose_client_is_away_for_long_raises_an_alarm_that_goes_when_it_is_back() {
    let mut bench = room();
    let patience = NUT_CLIENT_ON_DELAY.0;
    bench.pass(2 * patience);
    assert_eq!(alarm(&bench), None, "nobody has said yet who is logged in");

    logins(&mut bench, &[("ups-a", 3)]);
    bench.pass(patience - 1);
    assert_eq!(alarm(&bench), None, "a restart of the host takes less");
    logins(&mut bench, &[("nas1-ups", 1)]);
    bench.pass(2 * patience);
    assert_eq!(alarm(&bench), None);

    logins(&mut bench, &[]);
    bench.pass(patience);
    assert_eq!(alarm(&bench), Some(AlarmState::Unacknowledged));
    let raised = bench.journal.iter().filter(
        |entry| matches!(&entry.record, Record::AlarmRaised { alarm, .. } if alarm == "nas1.nut_client"),
    );
    assert_eq!(raised.count(), 1);

    // While the server is away nobody knows: the alarm goes on, folded under that of the server.
    server(&mut bench, Some("the role is not connected"));
    bench.pass(patience);
    assert_eq!(alarm(&bench), Some(AlarmState::Suppressed));
    server(&mut bench, None);
    logins(&mut bench, &[("nas1-ups", 1)]);
    assert_eq!(alarm(&bench), Some(AlarmState::ReturnedUnacknowledged));
}

fn wish(bench: &mut Bench, account: &str, peer: &str, wish: Wish) -> Result<u64, Refused> {
    bench.event(Event::NutWish(NutWish {
        account: account.to_owned(),
        peer: peer.parse().unwrap(),
        ups: "ups-a".to_owned(),
        wish,
    }));
    if let Some(refused) = bench.last.refused.clone() {
        assert!(bench.last.records.is_empty(), "what is refused leaves no order");
        return Err(refused);
    }
    let mut effects = bench.last.effects.iter();
    let id = effects.find_map(|effect| match effect {
        Effect::Operate(operation) => Some(operation.id),
        _ => None,
    });
    Ok(id.expect("what is not refused is ordered"))
}

fn command(name: &str) -> Wish {
    Wish::Command {
        name: name.to_owned(),
        value: None,
    }
}

#[test]
fn an_account_orders_what_it_may_and_its_name_stands_in_the_journal() {
    let mut bench = room();
    for (account, peer, name) in [
        ("operator", "10.0.0.5", "test.battery.start"),
        ("operator", "10.0.0.5", "load.off"),
        ("operator", "192.168.0.5", "beeper.mute"),
        ("setter", "10.0.0.5", "beeper.mute"),
        ("nobody", "10.0.0.5", "beeper.mute"),
    ] {
        let refused = wish(&mut bench, account, peer, command(name));
        assert!(
            matches!(refused, Err(Refused::Conflict(_))),
            "{account} {peer} {name}: {refused:?}"
        );
    }
    let id = wish(&mut bench, "operator", "10.0.0.5", command("beeper.mute")).unwrap();
    assert!(
        bench.last.records.iter().any(
            |record| matches!(record, Record::DeviceOrdered { by, .. } if by == "nut:operator@10.0.0.5")
        )
    );
    let progress = |bench: &Bench| bench.engine.served(bench.now()).orders.get(&id).copied();
    assert_eq!(progress(&bench), Some(Progress::Pending));
    let again = wish(&mut bench, "operator", "10.0.0.5", command("beeper.mute"));
    assert!(
        matches!(again, Err(Refused::Conflict(_))),
        "one order at a time: {again:?}"
    );
    bench.event(Event::Operated {
        id,
        done: Done::Accepted,
    });
    assert_eq!(progress(&bench), Some(Progress::Done));
}

#[test]
fn a_variable_is_set_by_the_command_behind_it_and_by_who_may_set() {
    let mut bench = room();
    let set = |value: &str| Wish::Set {
        variable: "ups.beeper.status".to_owned(),
        value: value.to_owned(),
    };
    assert!(wish(&mut bench, "operator", "10.0.0.5", set("muted")).is_err());
    assert!(matches!(
        wish(&mut bench, "setter", "10.0.0.5", set("loud")),
        Err(Refused::Invalid(_))
    ));
    // The device has no command for it.
    assert!(wish(&mut bench, "setter", "10.0.0.5", set("disabled")).is_err());
    wish(&mut bench, "setter", "10.0.0.5", set("muted")).unwrap();
    let mut records = bench.last.records.iter();
    assert!(
        records.any(
            |record| matches!(record, Record::DeviceOrdered { command, .. } if command == "beeper.mute")
        )
    );
}

#[test]
fn what_switches_power_is_served_to_nobody() {
    let bench = room();
    let served = bench.engine.served(bench.now());
    let listed: Vec<&String> = served.upses["ups-a"].commands.keys().collect();
    assert_eq!(listed, ["beeper.mute", "test.battery.start"]);
    assert!(
        served.upses["nas1-ups"].commands.is_empty(),
        "no device stands behind it"
    );
}

//! What operators order of devices, and what they cannot.

use crate::bench::{Bench, site};
use room::command::{Done, Operation};
use room::engine::OPERATION_MAX;
use room::event::{Command, Effect, Event, Refused, Turn};
use room::record::Record;
use room::site::link::{Link, SnmpAccess, SnmpLink};
use room::site::{Device, DeviceKind, Label, Real, Secret, Site};
use room::time::Millis;

fn room() -> Site<Real> {
    let mut site = site();
    for name in ["pdu-a", "pdu-b"] {
        site.devices.push(Device {
            name: name.to_owned(),
            label: Label::new(name, name),
            kind: DeviceKind::Pdu,
            link: Link::Snmp(SnmpLink {
                addr: "127.0.0.1:161".parse().unwrap(),
                access: SnmpAccess::V2c(Secret("public".to_owned())),
            }),
            profile: None,
            poll: Millis(5_000),
            poll_on_battery: Millis(5_000),
            timeout: Millis(1_000),
            retries: 1,
            behind: None,
            uplinks: Vec::new(),
            commands: ["test.battery.start", "beeper.mute", "outlet.3.load.off"]
                .map(|name| name.parse().unwrap())
                .into(),
            write: None,
        });
    }
    site
}

fn order(bench: &mut Bench, device: &str, command: &str) -> Turn {
    told(
        bench,
        Event::Command {
            by: "当番".to_owned(),
            command: Command::Device {
                device: device.to_owned(),
                command: command.to_owned(),
                value: None,
            },
        },
    )
}

fn told(bench: &mut Bench, event: Event) -> Turn {
    bench.event(event);
    bench.last.clone()
}

fn operation(turn: &Turn) -> Option<&Operation> {
    turn.effects.iter().find_map(|effect| match effect {
        Effect::Operate(operation) => Some(operation),
        _ => None,
    })
}

fn state(bench: &mut Bench, id: u64) -> String {
    let rows = bench.engine.snapshot(bench.now()).operations;
    rows.iter().find(|row| row.id == id).unwrap().state.clone()
}

#[test]
fn an_order_is_journaled_before_it_leaves_and_so_is_its_end() {
    let mut bench = Bench::with(room());
    let turn = order(&mut bench, "pdu-a", "beeper.mute");
    assert!(matches!(&turn.records[..], [Record::DeviceOrdered { id: 1, by, .. }] if by == "当番"));
    assert_eq!(operation(&turn).unwrap().id, 1);
    assert_eq!(state(&mut bench, 1), "under_way");
    let seen = "ups.beeper.status is muted".to_owned();
    let done = Done::Confirmed { seen };
    let turn = told(
        &mut bench,
        Event::Operated {
            id: 1,
            done: done.clone(),
        },
    );
    assert!(matches!(&turn.records[..], [Record::DeviceDone { id: 1, .. }]));
    assert!(
        turn.effects.contains(&Effect::Poll("pdu-a".to_owned())),
        "it is read at once"
    );
    assert_eq!(state(&mut bench, 1), "confirmed");
    // The same word again, after a reconnect of act.
    assert!(
        told(&mut bench, Event::Operated { id: 1, done })
            .records
            .is_empty()
    );
}

#[test]
fn what_the_site_does_not_allow_or_cuts_power_never_leaves() {
    let mut bench = Bench::with(room());
    for (device, command) in [
        ("pdu-a", "outlet.3.load.off"),
        ("pdu-a", "outlet.4.load.off"),
        ("pdu-a", "beeper.enable"),
        ("pdu-a", "explode"),
        ("nobody", "beeper.mute"),
    ] {
        let turn = order(&mut bench, device, command);
        assert!(turn.refused.is_some(), "{device} {command}");
        assert!(turn.records.is_empty() && turn.effects.is_empty());
    }
    let refused = order(&mut bench, "pdu-a", "outlet.3.load.off").refused;
    assert!(matches!(refused, Some(Refused::Conflict(why)) if why.en.contains("step of a plan")));
}

#[test]
fn a_device_is_told_one_thing_at_a_time() {
    let mut bench = Bench::with(room());
    assert!(operation(&order(&mut bench, "pdu-a", "beeper.mute")).is_some());
    assert!(order(&mut bench, "pdu-a", "test.battery.start").refused.is_some());
    assert_eq!(
        operation(&order(&mut bench, "pdu-b", "beeper.mute")).unwrap().id,
        2
    );
}

#[test]
fn silence_of_act_ends_as_unknown_and_nothing_is_told_twice() {
    let mut bench = Bench::with(room());
    order(&mut bench, "pdu-a", "test.battery.start");
    bench.sent.clear();
    bench.pass(OPERATION_MAX.0 + 1);
    assert!(bench.journal.iter().any(|entry| matches!(
        entry.record,
        Record::DeviceDone {
            done: Done::Unknown { .. },
            ..
        }
    )));
    assert!(
        !bench
            .sent
            .iter()
            .any(|effect| matches!(effect, Effect::Operate(_)))
    );
    let late = Done::Accepted;
    assert!(
        told(&mut bench, Event::Operated { id: 1, done: late })
            .records
            .is_empty()
    );
    assert_eq!(state(&mut bench, 1), "unknown");
}

#[test]
fn a_restart_tells_nothing_again_and_counts_on() {
    let mut bench = Bench::with(room());
    order(&mut bench, "pdu-a", "test.battery.start");
    bench.restart(room());
    assert!(operation(&bench.last).is_none());
    assert_eq!(state(&mut bench, 1), "under_way");
    // Act says after the reconnect what became of it.
    bench.event(Event::Operated {
        id: 1,
        done: Done::Accepted,
    });
    assert_eq!(state(&mut bench, 1), "accepted");
    assert_eq!(
        operation(&order(&mut bench, "pdu-a", "beeper.mute")).unwrap().id,
        2
    );
}

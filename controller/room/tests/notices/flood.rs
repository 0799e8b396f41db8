//! Ten thousand alarms in ten seconds: bounded memory, little time, few messages.

use super::world::World;
use room::alarm::Definition;
use room::catalog::Kind;
use room::notice::{About, Settings};
use room::site::Label;
use room::site::Priority;
use room::site::notice::{Contact, Moments, Notices, Route, Step, Via};
use room::time::{Millis, Mono};
use std::collections::BTreeMap;

pub(crate) fn contact(name: &str, ways: &[&str]) -> Contact {
    Contact {
        name: name.to_owned(),
        label: Label::new(name, name),
        via: ways
            .iter()
            .map(|notifier| Via {
                notifier: (*notifier).to_owned(),
                to: Some(format!("{name}@{notifier}")),
            })
            .collect(),
        duty: Vec::new(),
        deputies: Vec::new(),
    }
}

pub(crate) fn route(name: &str, steps: &[(u64, &[&str])]) -> Route {
    Route {
        name: name.to_owned(),
        at_least: Priority::Advisory,
        classes: Vec::new(),
        kinds: Vec::new(),
        sources: Vec::new(),
        only: false,
        steps: steps
            .iter()
            .map(|(secs, contacts)| Step {
                after: Millis::from_secs(*secs),
                contacts: contacts.iter().map(|name| (*name).to_owned()).collect(),
            })
            .collect(),
        repeat: Some(Millis::from_secs(1800)),
        moments: Moments::ALL,
    }
}

pub(crate) fn settings(notifiers: &[&str], contacts: Vec<Contact>, routes: Vec<Route>) -> Settings {
    Settings {
        notifiers: notifiers
            .iter()
            .map(|name| ((*name).to_owned(), Label::new(*name, *name)))
            .collect::<BTreeMap<_, _>>(),
        notices: Notices {
            contacts,
            routes,
            ..Notices::default()
        },
        ..Settings::default()
    }
}

#[test]
fn ten_thousand_alarms_in_ten_seconds_are_a_handful_of_messages() {
    const ALARMS: u64 = 10_000;
    let kinds = [
        Kind::TemperatureHigh,
        Kind::NoData,
        Kind::DoorForced,
        Kind::OnBattery,
    ];
    let definitions = (0..ALARMS)
        .map(|at| {
            let id = format!("p{at}.alarm");
            Definition::of(kinds[at as usize % kinds.len()], id, Label::new("室", "room"))
        })
        .collect();
    let mut settings = settings(
        &["mail", "sms", "tower"],
        vec![
            contact("staff", &["mail", "sms"]),
            contact("chief", &["mail"]),
            contact("guard", &["sms"]),
        ],
        vec![route("all", &[(0, &["staff", "guard"]), (300, &["chief"])])],
    );
    settings.towers.push("tower".to_owned());
    let mut world = World::new(settings, definitions);
    world.is_quiet = true;
    let mut largest = 0;
    for at in 0..ALARMS {
        if at % 100 == 0 {
            world.run_until(Mono(1_000_000 + at));
        }
        world.alarm(&format!("p{at}.alarm"), true);
        largest = largest.max(world.desk.size().deliveries);
    }
    world.run_until(Mono(1_000_000 + 600_000));
    assert!(largest <= 40, "{largest} messages at once");
    let singly = |name: &str| {
        let to = world.arrived.iter();
        to.filter(|arrived| arrived.notice.contact.as_deref() == Some(name))
            .filter(|arrived| matches!(arrived.notice.about, About::Alarm(_)))
            .count()
    };
    for name in ["staff", "guard", "chief"] {
        assert!(
            (1..=10).contains(&singly(name)),
            "{name}: {} singly",
            singly(name)
        );
    }
    let summarised: usize = world
        .arrived
        .iter()
        .filter(|arrived| arrived.notice.contact.as_deref() == Some("guard"))
        .filter_map(|arrived| match &arrived.notice.about {
            About::Summary(summary) => Some(summary.counts.iter().sum::<usize>()),
            _ => None,
        })
        .sum();
    // The first ones are told singly, the others in summaries, and of these some urgent ones again.
    assert!(
        (9_990..=10_000).contains(&summarised),
        "{summarised} in summaries"
    );
}

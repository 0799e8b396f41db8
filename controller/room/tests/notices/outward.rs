//! What leaves the house: numbers by which receivers drop copies, and no person's address.

use super::flood::{contact, route, settings};
use super::world::{Manner, World};
use room::alarm::Definition;
use room::catalog::Kind;
use room::notice::About;
use room::site::Label;
use room::site::notice::Heartbeat;
use room::time::{Millis, Mono};
use std::collections::BTreeSet;

fn world() -> World {
    let mut settings = settings(
        &["mail", "sms"],
        vec![contact("staff", &["mail", "sms"])],
        vec![route("all", &[(0, &["staff"])])],
    );
    settings.notices.heartbeats.push(Heartbeat {
        notifier: "sms".to_owned(),
        every: Millis::from_secs(60),
    });
    let hot = Definition::of(
        Kind::TemperatureHigh,
        "r3.high".to_owned(),
        Label::new("室", "room"),
    );
    World::new(settings, vec![hot])
}

#[test]
fn every_heartbeat_has_a_number_of_its_own_even_across_a_restart() {
    let mut world = world();
    world.run_until(Mono(1_000_000 + 290_000));
    world.restart(usize::MAX, true);
    world.run_until(Mono(1_000_000 + 590_000));
    let beats: Vec<String> = world
        .arrived
        .iter()
        .filter(|arrived| matches!(arrived.notice.about, About::Heartbeat { .. }))
        .map(|arrived| arrived.notice.id())
        .collect();
    // Each start sends one at once.
    assert_eq!(beats.len(), 11);
    assert_eq!(beats.iter().collect::<BTreeSet<_>>().len(), 11, "{beats:?}");
}

#[test]
fn a_notifier_in_trouble_names_the_office_and_not_the_address() {
    let mut world = world();
    world.manners.insert("mail".to_owned(), Manner::Refuses);
    world.alarm("r3.high", true);
    world.run_until(Mono(1_000_000 + 30_000));
    let trouble = world.desk.trouble("mail").expect("it refused");
    assert_eq!(trouble.en, "staff: 550 no such mailbox");
    let told = format!(
        "{:?}",
        world
            .arrived
            .iter()
            .map(|arrived| &arrived.notice.about)
            .collect::<Vec<_>>()
    );
    assert!(told.contains("550 no such mailbox"), "{told}");
    assert!(!told.contains("staff@mail"), "{told}");
}

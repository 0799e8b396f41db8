//! Persons, cards and passages with a node behind the door: lost cards, leavers, doors that are away.

use crate::bench::{Bench, guarded, health};
use room::catalog;
use room::event::{Command, Event};
use room::outage::operator::{Person, Who};
use room::people::{self, Ask, Kind, RightWish, Wish};
use room::record::Record;
use room::site::{Real, Site};
use room::snapshot::AlarmState;
use shared::access::Decision;
use shared::access::Denial;
use shared::wire::{CredentialKind, DoorEvent, Down, ListEvent, OpenedBy, Stream, Up};

const CARD: [u8; 8] = [7; 8];

fn duty() -> Person {
    let who = Who {
        name: "root".to_owned(),
        uid: 0,
    };
    Person { who, groups: vec![] }
}

fn asks(room: &mut Bench, ask: Ask) -> Result<String, String> {
    let person = duty();
    room.event(Event::People { person, ask });
    match room.last.said.clone() {
        Some(Ok(said)) => Ok(said.en),
        Some(Err(why)) => Err(why.en),
        None => panic!("no answer"),
    }
}

fn orders(room: &mut Bench, wishes: Vec<Wish>) {
    asks(room, Ask::Do(wishes)).unwrap();
}

fn somebody(person: &str, card: &str, id: [u8; 8]) -> Vec<Wish> {
    vec![
        Wish::Add {
            person: person.to_owned(),
            kind: Kind::Staff,
            from: None,
            until: None,
        },
        Wish::Grant {
            person: person.to_owned(),
            portals: vec!["entrance".to_owned()],
            right: RightWish::default(),
        },
        Wish::Issue {
            card: card.to_owned(),
            id: room::hex::text(&id),
            pin_id: None,
        },
        Wish::Lend {
            card: card.to_owned(),
            person: person.to_owned(),
            due: None,
        },
    ]
}

fn lost(card: &str) -> Vec<Wish> {
    vec![Wish::Lost {
        card: card.to_owned(),
    }]
}

/// A room whose node has the list that it should have, and somebody with a card.
fn staffed(site: Site<Real>) -> Bench {
    let mut room = Bench::with(site);
    room.clock_off = Some(0);
    room.telemetry(&health(0, u16::MAX));
    orders(&mut room, somebody("p-aaaaaaaa", "C1", CARD));
    takes_list(&mut room);
    room
}

/// The node takes every frame of a list and says so; returns version and entries.
fn takes_list(room: &mut Bench) -> (u32, usize) {
    let mut taken = (0, 0);
    for _ in 0..20 {
        let (mut commit, mut have) = (None, None);
        for (_, down) in room.downs() {
            match down {
                Down::ListBegin(head) => {
                    taken = (head.version, 0);
                    have = Some(0);
                }
                Down::ListEntries { entries, .. } => {
                    taken.1 += entries.len();
                    have = Some(taken.1);
                }
                Down::ListCommit { version, .. } => commit = Some(version),
                _ => {}
            }
        }
        if let Some(version) = commit {
            let count = u16::try_from(taken.1).unwrap();
            room.node_event(&Up::List(ListEvent::Committed { version, count }));
            return taken;
        }
        if let Some(have) = have {
            room.telemetry(&Up::Transfer {
                what: shared::wire::TransferKind::List,
                version: taken.0,
                have: u32::try_from(have).unwrap(),
            });
        } else {
            room.pass(1_000);
        }
    }
    panic!("no list came: {taken:?}");
}

fn presents(room: &mut Bench, id: [u8; 8], decision: Decision) {
    room.node_event(&Up::Credential {
        reader: 0,
        kind: CredentialKind::TypeA,
        id,
        decision,
        list: 1,
    });
}

fn opens(room: &mut Bench) {
    let event = DoorEvent::Opened(OpenedBy::Grant);
    room.node_event(&Up::Door { portal: 0, event });
}

fn stopped(room: &Bench) -> Vec<(String, u64)> {
    let records = room.journal.iter().filter_map(|entry| match &entry.record {
        Record::People {
            record: people::Record::CardStopped { portal, after_ms, .. },
        } => Some((portal.clone(), *after_ms)),
        _ => None,
    });
    records.collect()
}

#[test]
fn a_card_that_is_lent_at_run_time_reaches_the_door_at_once() {
    let mut room = Bench::with(guarded());
    room.telemetry(&health(0, u16::MAX));
    let (version, count) = takes_list(&mut room);
    assert_eq!(count, 0);
    orders(&mut room, somebody("p-aaaaaaaa", "C1", CARD));
    assert_eq!(takes_list(&mut room), (version + 1, 1));
    let portal = room.portal("entrance");
    let list = portal.list.unwrap();
    assert_eq!(
        (list.version, list.in_force, list.state.as_str()),
        (version + 1, Some(version + 1), "there")
    );
}

#[test]
fn a_lost_card_is_stopped_and_the_time_until_the_door_confirmed_it_is_journaled() {
    let mut room = staffed(guarded());
    orders(&mut room, lost("C1"));
    assert!(stopped(&room).is_empty());
    assert_eq!(
        room.engine.people_rows(room.now()).cards[0].doors[0].after_ms,
        None
    );
    room.pass(700);
    takes_list(&mut room);
    assert_eq!(stopped(&room), [("entrance".to_owned(), 700)]);
    // Presented all the same: the register names it, and somebody is told.
    presents(&mut room, CARD, Decision::Denied(Denial::Suspended));
    assert_eq!(room.state("entrance.card"), Some(AlarmState::Unacknowledged));
}

#[test]
fn a_door_that_is_away_is_named_and_stops_the_card_when_it_comes_back() {
    let mut room = staffed(guarded());
    room.pass(3_600_000);
    orders(&mut room, lost("C1"));
    let door = &room.engine.people_rows(room.now()).cards[0].doors[0];
    assert_eq!(
        (door.portal.as_str(), door.heard, door.after_ms),
        ("entrance", false, None)
    );
    assert!(
        room.downs()
            .iter()
            .all(|(_, down)| !matches!(down, Down::ListBegin(_)))
    );
    room.pass(600_000);
    // Killed and started again in between.
    room.restart(guarded());
    room.clock_off = Some(0);
    let version = room.engine.people_rows(room.now()).cards[0].doors[0]
        .version
        .unwrap();
    room.telemetry(&health(version - 1, 1));
    takes_list(&mut room);
    let doors = stopped(&room);
    assert_eq!(doors.len(), 1);
    assert!((600_000..700_000).contains(&doors[0].1), "{doors:?}");
}

#[test]
fn a_leaver_opens_nothing_from_the_moment_the_door_has_the_list() {
    let mut room = staffed(guarded());
    let person = "p-aaaaaaaa".to_owned();
    orders(&mut room, vec![Wish::Leave { person, last: None }]);
    assert_eq!(takes_list(&mut room).1, 1);
    let row = &room.engine.people_rows(room.now()).persons[0];
    assert_eq!(
        (row.state.as_str(), &row.cards[..]),
        ("left", &["C1".to_owned()][..])
    );
}

#[test]
fn a_passage_is_in_the_register_and_who_entered_is_inside_also_after_a_restart() {
    let mut room = staffed(guarded());
    presents(&mut room, CARD, Decision::Granted);
    assert!(room.engine.inside_rows(room.now()).is_empty());
    opens(&mut room);
    let inside = room.engine.inside_rows(room.now());
    assert_eq!(inside[0].person.as_deref(), Some("p-aaaaaaaa"));
    assert_eq!(inside[0].area, "room");
    let before = room.engine.passage_rows(10);
    room.restart(guarded());
    assert_eq!(room.engine.inside_rows(room.now()), inside);
    assert_eq!(room.engine.passage_rows(10), before);
}

#[test]
fn a_grant_that_waited_when_the_controller_was_killed_is_still_resolved() {
    let mut room = staffed(guarded());
    presents(&mut room, CARD, Decision::Granted);
    room.restart(guarded());
    assert!(room.engine.passage_rows(10).is_empty());
    room.pass(61_000);
    let rows = room.engine.passage_rows(10);
    assert_eq!((rows.len(), rows[0].opened), (1, None));
}

#[test]
fn an_overdue_card_is_an_alarm_at_midnight_and_its_list_is_sent() {
    let mut room = staffed(guarded());
    let day = people::day_of("2023-11-15").unwrap();
    orders(
        &mut room,
        vec![
            Wish::Return {
                card: "C1".to_owned(),
            },
            Wish::Lend {
                card: "C1".to_owned(),
                person: "p-aaaaaaaa".to_owned(),
                due: Some(day),
            },
        ],
    );
    takes_list(&mut room);
    assert_ne!(
        room.state(catalog::CARDS_OVERDUE),
        Some(AlarmState::Unacknowledged)
    );
    // The bench began on 2023-11-15 at 7:13 in Japan.
    for _ in 0..18 {
        room.pass(3_600_000);
        room.telemetry(&health(room.node().list.unwrap().version, 1));
    }
    assert_eq!(
        room.state(catalog::CARDS_OVERDUE),
        Some(AlarmState::Unacknowledged)
    );
    takes_list(&mut room);
    orders(
        &mut room,
        vec![Wish::Return {
            card: "C1".to_owned(),
        }],
    );
    assert_ne!(
        room.state(catalog::CARDS_OVERDUE),
        Some(AlarmState::Unacknowledged)
    );
}

#[test]
fn five_denials_are_an_alarm_and_four_are_none() {
    let mut room = staffed(guarded());
    for count in 1..=5 {
        presents(&mut room, [9; 8], Decision::Denied(Denial::Unknown));
        let stands = room.state("entrance.denied") == Some(AlarmState::Unacknowledged);
        assert_eq!(stands, count == 5, "{count}");
        room.pass(1_000);
    }
}

#[test]
fn strangers_at_the_socket_and_the_network_change_nothing() {
    let mut room = staffed(guarded());
    let before = room.journal.len();
    let mut person = duty();
    person.who.uid = 1000;
    let ask = Ask::Do(lost("C1"));
    room.event(Event::People { person, ask });
    assert!(matches!(&room.last.said, Some(Err(why)) if why.en.contains("[operators]")));
    assert!(asks(&mut room, Ask::Try(lost("C1"))).is_ok());
    assert_eq!(room.journal.len(), before);
    // Nothing that the web can order is about cards.
    let commands = [Command::Rehearse, Command::LampTest];
    assert!(
        commands
            .iter()
            .all(|command| !format!("{command:?}").contains("Card"))
    );
}

#[test]
fn at_a_site_that_enforces_it_a_card_inside_is_blocked_at_the_entry_until_it_is_out() {
    let mut site = guarded();
    site.access.passages.anti_passback = room::register::AntiPassback::Enforce;
    let mut out = site.access.portals[0].clone();
    out.name = "exit".to_owned();
    (out.portal, out.reader, out.door) = (1, 1, None);
    out.passes = room::site::Passes::Exit;
    site.access.portals.push(out);
    let mut room = staffed(site);
    let version = room.node().list.unwrap().version;
    presents(&mut room, CARD, Decision::Granted);
    opens(&mut room);
    let blocked = room.node().list.unwrap().version;
    assert_eq!(blocked, version + 1);
    room.node_event(&Up::Credential {
        reader: 1,
        kind: CredentialKind::TypeA,
        id: CARD,
        decision: Decision::Granted,
        list: 1,
    });
    assert_eq!(room.node().list.unwrap().version, blocked + 1);
    assert!(room.engine.inside_rows(room.now()).is_empty());
}

#[test]
fn the_journal_never_holds_what_names_a_person() {
    let mut room = staffed(guarded());
    orders(&mut room, lost("p-aaaaaaaa"));
    presents(&mut room, CARD, Decision::Denied(Denial::Suspended));
    let journal = serde_json::to_string(&room.journal).unwrap();
    for word in ["name", "kana", "phone", "company"] {
        assert!(!journal.contains(&format!("\"{word}\":\"p")), "{word}");
    }
    let frame = room.frame(Stream::Event, &Up::Lost { count: 1 });
    assert!(!frame.is_empty());
}

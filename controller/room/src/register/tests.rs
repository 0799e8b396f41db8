//! The register of entry: what doors say, in any order.

use super::*;
use crate::site::Label;
use proptest::prelude::*;
use shared::wire::CredentialKind;

/// 2026-11-24 12:00 in Japan, a Tuesday.
const NOON: i64 = (20_781 * 86_400 + 3 * 3_600) * 1_000;

fn portal(name: &str, node: u16, area: &str, passes: Passes, contact: bool) -> Portal {
    Portal {
        name: name.to_owned(),
        label: Label::new(name, name),
        node,
        portal: 0,
        reader: 0,
        door: contact.then(|| format!("door.{node}")),
        area: area.to_owned(),
        passes,
    }
}

/// A room with readers on both sides of its door, and a store with one outside.
fn access() -> Access {
    Access {
        portals: vec![
            portal("in", 1, "room", Passes::Entry, true),
            portal("out", 2, "room", Passes::Exit, false),
            portal("store", 3, "store", Passes::Entry, false),
        ],
        ..Access::default()
    }
}

struct Door {
    book: Book,
    access: Access,
    people: people::Register,
    seq: u64,
    written: Vec<Passage>,
}

impl Door {
    fn new() -> Self {
        Self {
            book: Book::default(),
            access: access(),
            people: people::Register::default(),
            seq: 0,
            written: Vec::new(),
        }
    }

    fn hears(&mut self, node: u16, logged_ms: i64, at_ms: i64, event: &NodeEvent) {
        self.seq += 1;
        let source = Source {
            node,
            boot: 1,
            event_seq: u32::try_from(self.seq).unwrap(),
            unix_ms: u64::try_from(at_ms).unwrap(),
            stray: false,
        };
        let now = now(logged_ms);
        self.book.learn(now, &self.access, &self.people, source, event);
        self.write(logged_ms);
    }

    fn write(&mut self, logged_ms: i64) {
        while let Some(passage) = self.book.next_ready(Wall(logged_ms), &self.access, &self.people) {
            self.seq += 1;
            self.book.apply(self.seq, logged_ms, &passage);
            self.written.push(passage);
        }
    }

    fn card(&mut self, node: u16, logged_ms: i64, at_ms: i64, card: u8, decision: &str) {
        self.hears(node, logged_ms, at_ms, &credential(card, decision));
    }

    fn inside(&self) -> Vec<String> {
        let rows = self.book.pairing().inside();
        rows.map(|(_, inside)| format!("{} {}", &inside.card[..2], inside.area))
            .collect()
    }

    fn last(&self) -> &Passage {
        self.written.last().unwrap()
    }
}

fn now(wall_ms: i64) -> Now {
    Now {
        mono: Mono(u64::try_from(wall_ms - NOON + 86_400_000).unwrap()),
        wall: Wall(wall_ms),
    }
}

fn credential(card: u8, decision: &str) -> NodeEvent {
    NodeEvent::Credential {
        reader: 0,
        credential: CredentialKind::TypeA,
        card: crate::hex::text(&[card; 8]),
        decision: decision.to_owned(),
        list: 1,
    }
}

const fn door(door: DoorEvent) -> NodeEvent {
    NodeEvent::Door { portal: 0, door }
}

#[test]
fn a_grant_is_a_passage_when_the_door_says_that_it_was_opened() {
    let mut room = Door::new();
    room.card(1, NOON, NOON, 1, "granted");
    assert!(room.written.is_empty());
    room.hears(
        1,
        NOON + 900,
        NOON + 900,
        &door(DoorEvent::Opened(OpenedBy::Grant)),
    );
    assert_eq!((room.last().opened, room.last().at_ms), (Some(true), NOON));
    assert_eq!(room.inside(), ["01 room"]);
    room.card(2, NOON + 60_000, NOON + 60_000, 1, "granted");
    assert_eq!(room.last().direction, Direction::Exit);
    assert!(room.inside().is_empty());
    assert!(
        room.written.iter().all(|passage| passage.flags.is_empty()),
        "{:?}",
        room.written
    );
}

#[test]
fn a_grant_that_was_not_used_brings_nobody_inside() {
    let mut room = Door::new();
    room.card(1, NOON, NOON, 1, "granted");
    room.hears(1, NOON + 5_000, NOON + 5_000, &door(DoorEvent::Unused));
    assert_eq!(room.last().opened, Some(false));
    assert!(room.inside().is_empty());
}

#[test]
fn of_a_door_that_says_nothing_more_the_register_says_so_after_a_minute() {
    let mut room = Door::new();
    room.card(1, NOON, NOON, 1, "granted");
    let due = room.book.next_deadline().unwrap();
    room.book.give_up(due);
    room.write(NOON + 60_000);
    assert_eq!(room.last().opened, None);
    // A grant counts unless the door stayed shut.
    assert_eq!(room.inside(), ["01 room"]);
}

#[test]
fn another_card_ends_the_waiting_for_the_one_before() {
    let mut room = Door::new();
    room.card(1, NOON, NOON, 1, "granted");
    room.card(1, NOON + 2_000, NOON + 2_000, 2, "unknown");
    let said: Vec<_> = room
        .written
        .iter()
        .map(|p| (p.decision.as_str(), p.opened))
        .collect();
    assert_eq!(said, [("granted", None), ("unknown", Some(false))]);
}

#[test]
fn twice_in_and_out_without_in_are_flagged() {
    let mut room = Door::new();
    room.card(2, NOON, NOON, 1, "granted");
    assert_eq!(room.last().flags, [Flag::ExitWithoutEntry]);
    for minute in 1..=2 {
        let at = NOON + minute * 60_000;
        room.card(1, at, at, 1, "granted");
        room.hears(1, at + 500, at + 500, &door(DoorEvent::Opened(OpenedBy::Grant)));
    }
    assert_eq!(room.last().flags, [Flag::TwiceIn]);
    assert_eq!(room.inside(), ["01 room"]);
}

#[test]
fn a_site_that_wants_no_anti_passback_is_not_told() {
    let mut room = Door::new();
    room.access.passages.anti_passback = AntiPassback::Off;
    room.access.portals[0].door = None;
    room.card(1, NOON, NOON, 1, "granted");
    room.card(1, NOON + 60_000, NOON + 60_000, 1, "granted");
    assert!(room.last().flags.is_empty());
}

#[test]
fn one_card_at_two_doors_faster_than_anybody_walks_is_flagged() {
    let mut room = Door::new();
    room.card(3, NOON, NOON, 1, "granted");
    room.card(1, NOON + 4_000, NOON + 4_000, 1, "granted");
    room.hears(
        1,
        NOON + 5_000,
        NOON + 5_000,
        &door(DoorEvent::Opened(OpenedBy::Grant)),
    );
    assert!(room.last().flags.contains(&Flag::TooFast), "{:?}", room.last());
    // With a clock that was never set nobody can say how fast it was.
    let mut room = Door::new();
    room.card(3, NOON, 0, 1, "granted");
    room.card(1, NOON + 4_000, NOON + 4_000, 1, "granted");
    room.hears(
        1,
        NOON + 5_000,
        NOON + 5_000,
        &door(DoorEvent::Opened(OpenedBy::Grant)),
    );
    assert!(!room.last().flags.contains(&Flag::TooFast));
    assert_eq!(room.written[0].clock, ClockMark::Unset);
}

#[test]
fn where_no_reader_sees_people_leave_a_second_entry_says_nothing_and_a_stay_ends() {
    let mut room = Door::new();
    room.card(3, NOON, NOON, 1, "granted");
    room.card(3, NOON + 3_600_000, NOON + 3_600_000, 1, "granted");
    assert!(room.last().flags.is_empty());
    let shown = |at| room.book.inside(Wall(at), &room.access).len();
    assert_eq!(
        (shown(NOON + 3_600_000), shown(NOON + 3_600_000 + STAY_MS)),
        (1, 0)
    );
}

#[test]
fn the_fifth_denial_within_ten_minutes_is_too_many() {
    let mut room = Door::new();
    for minute in 0..4 {
        let at = NOON + minute * 60_000;
        room.card(1, at, at, 9, "unknown");
        assert!(room.last().flags.is_empty());
    }
    room.card(1, NOON + 300_000, NOON + 300_000, 9, "unknown");
    assert_eq!(room.last().flags, [Flag::DeniedRepeatedly]);
    let later = NOON + 3_600_000;
    room.card(1, later, later, 9, "unknown");
    assert!(room.last().flags.is_empty());
}

#[test]
fn outside_the_hours_is_flagged_and_a_denial_then_is_not() {
    let mut room = Door::new();
    room.access.passages.hours = Some((42, 120));
    for (at, flagged) in [
        (NOON, false),
        (NOON + 9 * 3_600_000, true),
        (NOON + 4 * 86_400_000, true),
    ] {
        room.card(3, at, at, 1, "granted");
        assert_eq!(room.last().flags.contains(&Flag::OutOfHours), flagged, "{at}");
    }
    let night = NOON + 10 * 3_600_000;
    room.card(3, night, night, 7, "outside_hours");
    assert!(!room.last().flags.contains(&Flag::OutOfHours));
}

#[test]
fn an_event_of_a_node_that_was_away_has_both_times_and_undoes_nothing() {
    let mut room = Door::new();
    room.card(1, NOON, NOON, 1, "granted");
    room.hears(
        1,
        NOON + 500,
        NOON + 500,
        &door(DoorEvent::Opened(OpenedBy::Grant)),
    );
    let before = room.written.clone();
    // Out an hour before, told only now.
    room.card(2, NOON + 60_000, NOON - 3_600_000, 1, "granted");
    assert_eq!(room.written[..1], before);
    assert_eq!(room.last().flags, [Flag::Late, Flag::Overtaken]);
    assert_eq!(room.last().at_ms, NOON - 3_600_000);
    assert_eq!(room.inside(), ["01 room"]);
}

#[test]
fn a_clock_that_runs_ahead_is_not_believed() {
    let mut room = Door::new();
    room.card(3, NOON, NOON + 86_400_000, 1, "granted");
    assert_eq!((room.last().clock, room.last().at_ms), (ClockMark::Ahead, NOON));
}

#[test]
fn button_key_and_force_are_lines_of_nobody_known() {
    let mut room = Door::new();
    for event in [
        DoorEvent::Opened(OpenedBy::RequestToExit),
        DoorEvent::Opened(OpenedBy::KeyOverride),
        DoorEvent::Forced,
        DoorEvent::FoundOpen,
        DoorEvent::Closed,
    ] {
        room.hears(1, NOON, NOON, &door(event));
    }
    let said: Vec<_> = room.written.iter().map(|p| p.decision.as_str()).collect();
    assert_eq!(said, ["request_to_exit", "key_override", "forced", "found_open"]);
    assert!(room.inside().is_empty());
}

fn any_event() -> impl Strategy<Value = (u16, u8, i64, i64, NodeEvent)> {
    let words = prop::sample::select(vec![
        "granted",
        "granted",
        "granted_unproven",
        "unknown",
        "suspended",
    ]);
    let doors = prop::sample::select(vec![
        DoorEvent::Opened(OpenedBy::Grant),
        DoorEvent::Unused,
        DoorEvent::Forced,
        DoorEvent::Closed,
    ]);
    (
        1..4_u16,
        0..3_u8,
        0..100_i64,
        -200..10_i64,
        any::<bool>(),
        words,
        doors,
    )
        .prop_map(|(node, card, pause, offset, is_card, word, said)| {
            let event = if is_card {
                credential(card, word)
            } else {
                door(said)
            };
            (node, card, pause, offset, event)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn whatever_doors_say_nobody_is_inside_twice_and_a_replay_gives_the_same(
        events in prop::collection::vec(any_event(), 1..80),
    ) {
        let mut room = Door::new();
        let mut at = NOON;
        for (node, _, pause, offset, event) in events {
            at += pause * 1_000;
            let before = room.written.clone();
            room.hears(node, at, at + offset * 1_000, &event);
            // What was written stays written.
            prop_assert_eq!(&room.written[..before.len()], &before[..]);
            let mut cards: Vec<&str> = room.book.pairing().inside().map(|(_, row)| row.card.as_str()).collect();
            let count = cards.len();
            cards.dedup();
            prop_assert_eq!(count, cards.len());
        }
        // From the passages alone, at every cut.
        let mut replayed = Pairing::default();
        for passage in &room.written {
            replayed.take(passage);
        }
        prop_assert_eq!(&replayed, room.book.pairing());
        // Only who went in last is inside.
        for (_, inside) in replayed.inside() {
            let ins = room.written.iter().filter(|p| p.card.as_ref() == Some(&inside.card) && p.went_through());
            prop_assert!(ins.clone().any(|p| p.direction == Direction::Entry && p.at_ms == inside.since_ms));
            prop_assert!(ins.clone().all(|p| p.direction == Direction::Entry || p.at_ms <= inside.since_ms));
        }
    }
}

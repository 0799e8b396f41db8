//! Cards, the door and the reader.

use super::{card_switches, held_and_kept, held_to_reader, last, switched_on, taken_away, tells};
use hil_tests::bench::{Bench, CARD_KEY, HELD_OPEN, Output, STRIKE, channel};
use hil_tests::cards::{CardList, felica, identity, type_a};
use hil_tests::pn532::Card;
use hil_tests::standin::{BOUND, Controller};
use shared::access::{Decision, Denial};
use shared::wire::{DoorEvent, OpenedBy, ReaderProblem, ReaderState, Up};

/// How late an emulated board on a busy machine may be, in milliseconds.
const LATE_MS: u64 = 1_000;
const VERSION: u32 = 12;
/// Day of 1970 on which the stand-in's clock stands.
const TODAY: u16 = 20_775;

/// Cards of the people in these scenarios.
fn yamada() -> Card {
    type_a(1)
}

fn sato() -> Card {
    felica(2)
}

/// Left the city last month.
fn suzuki() -> Card {
    type_a(3)
}

/// Cleans between midnight and ten past.
fn tanaka() -> Card {
    type_a(4)
}

fn stranger() -> Card {
    type_a(99)
}

fn list() -> CardList {
    CardList::new(CARD_KEY, VERSION)
        .with(&yamada(), |_| ())
        .with(&sato(), |_| ())
        .with(&suzuki(), |entry| entry.valid_until = TODAY - 30)
        .with(&tanaka(), |entry| (entry.from, entry.to) = (0, 1))
        .filled(100)
}

/// The event of this card with this decision, under the list of these scenarios.
fn credential(card: &Card, decision: Decision) -> Up {
    let (kind, id) = identity(&CARD_KEY, card);
    Up::Credential {
        reader: 0,
        kind,
        id,
        decision,
        list: VERSION,
    }
}

/// Holds a card to the reader until its event has come.
async fn presents(bench: &mut impl Bench, controller: &Controller, card: &Card, decision: Decision) {
    let (before, expected) = (last(controller), credential(card, decision));
    let is = |event: &Up| *event == expected;
    held_to_reader(bench, controller, card, before, &format!("{expected:?}"), is).await;
}

/// Waits for an event of the door after the first `seq` ones.
async fn door(controller: &Controller, seq: u32, event: DoorEvent) -> u32 {
    let expected = Up::Door { portal: 0, event };
    let what = format!("{expected:?}");
    controller
        .event_after(seq, &what, |event| *event == expected)
        .await
        .0
        .seq
}

fn released(bench: &impl Bench) -> usize {
    switched_on(bench, Output::Strike)
}

/// Waits until the strike has been released once more than before, and holds again.
async fn opens_once(bench: &mut impl Bench, before: usize) {
    hil_tests::wait_for("the strike", BOUND, async || {
        (released(bench) > before).then_some(())
    })
    .await;
    bench.output_wait(Output::Strike, false, BOUND).await;
    assert_eq!(released(bench), before + 1, "released once");
}

pub(super) async fn cards_are_decided_by_the_list(bench: &mut impl Bench, controller: &Controller) {
    list().give(controller).await;
    for card in [yamada(), sato()] {
        let (before, seq) = (released(bench), last(controller));
        presents(bench, controller, &card, Decision::Granted).await;
        opens_once(bench, before).await;
        // Nobody went through.
        door(controller, seq, DoorEvent::Unused).await;
    }
    let trace = bench.trace();
    let strike: Vec<_> = trace.iter().filter(|one| one.output == Output::Strike).collect();
    let [.., on, off] = strike[..] else {
        panic!("the strike was switched: {trace:?}");
    };
    let span = off.at - on.at;
    eprintln!("strike released for {span:?}");
    // An emulated board on a busy machine may come late, never early.
    assert!(span + std::time::Duration::from_millis(20) >= STRIKE, "{span:?}");

    let before = released(bench);
    for (card, why) in [
        (stranger(), Denial::Unknown),
        (suzuki(), Denial::Expired),
        (tanaka(), Denial::OutsideHours),
    ] {
        presents(bench, controller, &card, Decision::Denied(why)).await;
    }
    assert_eq!(released(bench), before, "nobody was let in");
    let lamps = bench.trace();
    for lamp in [Output::GrantedLed, Output::DeniedLed] {
        assert!(
            lamps.iter().any(|one| one.output == lamp && one.on),
            "{lamp:?} was lit"
        );
    }
}

pub(super) async fn without_network_the_door_works_as_before(
    bench: &mut impl Bench,
    controller: &Controller,
) {
    let (seq, before) = (last(controller), released(bench));
    bench.link(false).await;
    card_switches(bench, &yamada(), Output::Strike).await;
    opens_once(bench, before).await;
    for card in [stranger(), suzuki()] {
        card_switches(bench, &card, Output::DeniedLed).await;
    }
    assert_eq!(released(bench), before + 1, "only one was let in");
    assert_eq!(last(controller), seq, "nothing passes a cut cable");
    bench.link(true).await;
    for (card, decision) in [
        (yamada(), Decision::Granted),
        (stranger(), Decision::Denied(Denial::Unknown)),
        (suzuki(), Decision::Denied(Denial::Expired)),
    ] {
        let expected = credential(&card, decision);
        controller
            .event_after(seq, &format!("{expected:?}"), |event| *event == expected)
            .await;
    }
}

pub(super) async fn a_door_without_grant_is_forced_and_one_that_stays_open_is_held(
    bench: &mut impl Bench,
    controller: &Controller,
) {
    list().give(controller).await;
    // Forced.
    let seq = last(controller);
    bench.contact(channel::DOOR, true).await;
    let seq = door(controller, seq, DoorEvent::Forced).await;
    bench.contact(channel::DOOR, false).await;
    let seq = door(controller, seq, DoorEvent::Closed).await;

    // A grant, through the door, and it does not close.
    // The door is opened with the card in the other hand: a node on a busy machine may see later that
    // the card is gone than the grant lasts.
    let granted = credential(&yamada(), Decision::Granted);
    held_and_kept(bench, &yamada(), "a grant", async || {
        controller
            .event_after(seq, "a grant", |event| *event == granted)
            .await;
    })
    .await;
    bench.contact(channel::DOOR, true).await;
    taken_away(bench).await;
    let opened = door(controller, seq, DoorEvent::Opened(OpenedBy::Grant)).await;
    let begun = std::time::Instant::now();
    let held = door(controller, opened, DoorEvent::HeldOpen).await;
    eprintln!("held open told {:?} after the opening", begun.elapsed());
    let warned = bench.trace();
    assert!(
        warned.iter().any(|one| one.output == Output::Buzzer && one.on),
        "it warns"
    );
    let up_ms = |seq: u32| {
        controller.read(|heard| {
            let event = heard.events.iter().find(|(header, _)| header.seq == seq);
            event.expect("it has just come").0.up_ms
        })
    };
    // By the node's own clock, which does not wait for us, and goes on while a busy machine does not let
    // the emulated board run: it may come late, never early.
    let span = up_ms(held) - up_ms(opened);
    let expected = u64::try_from(HELD_OPEN.as_millis()).expect("a short time");
    assert!((expected..expected + LATE_MS).contains(&span), "{span} ms");
    bench.contact(channel::DOOR, false).await;
    let seq = door(controller, held, DoorEvent::Closed).await;

    // Out by the button: no card, and not forced.
    bench.contact(channel::EXIT, true).await;
    let seq = door(controller, seq, DoorEvent::RequestToExit).await;
    bench.contact(channel::DOOR, true).await;
    let seq = door(controller, seq, DoorEvent::Opened(OpenedBy::RequestToExit)).await;
    bench.contact(channel::DOOR, false).await;
    bench.contact(channel::EXIT, false).await;
    door(controller, seq, DoorEvent::Closed).await;
}

pub(super) async fn a_hanging_reader_is_reset(bench: &mut impl Bench, controller: &Controller) {
    list().give(controller).await;
    presents(bench, controller, &yamada(), Decision::Granted).await;
    let resets = bench.reader().resets();
    bench.reader().mute();
    // The node finds out by itself; nobody holds a card to it.
    let reset = async || (bench.reader().resets() > resets).then_some(());
    hil_tests::wait_for("the reset pin to be pulsed", BOUND, reset).await;
    presents(bench, controller, &sato(), Decision::Granted).await;
    // Noise and spoilt answers cost a repetition, no card.
    bench.reader().garbage(&[0, 0, 0xff, 0x55, 0xaa, 0, 0xff, 9]);
    bench.reader().spoil(1);
    presents(bench, controller, &stranger(), Decision::Denied(Denial::Unknown)).await;
}

pub(super) async fn an_unplugged_reader_is_told_once(bench: &mut impl Bench, controller: &Controller) {
    tells(controller).await;
    // What was done to it before may have been told as a fault, on a machine that is slow itself.
    controller
        .until("a reader that is well", |heard| {
            let mut states = heard.events.iter().filter_map(|(_, event)| match event {
                Up::Reader { state, .. } => Some(*state),
                _ => None,
            });
            (states.next_back() == Some(ReaderState::Well)).then_some(())
        })
        .await;
    let seq = last(controller);
    let state = |state| Up::Reader { reader: 0, state };
    let mute = state(ReaderState::Fault(ReaderProblem::Mute));
    bench.reader().unplug(true);
    let (fault, _) = controller
        .event_after(seq, "the reader's fault", |event| *event == mute)
        .await;
    bench.reader().unplug(false);
    controller
        .event_after(fault.seq, "the reader is well", |event| {
            *event == state(ReaderState::Well)
        })
        .await;
    let told = controller.read(|heard| {
        let after = heard.events.iter().filter(|(header, _)| header.seq > seq);
        after
            .filter(|(_, event)| matches!(event, Up::Reader { .. }))
            .count()
    });
    assert_eq!(told, 2, "once when it failed, once when it was well");
    presents(bench, controller, &yamada(), Decision::Granted).await;
}

//! What the EEPROM keeps when there is no network, too much happens, or the power fails in the
//! middle of a write.

use super::{Room, held_to_reader, last, missing, tells};
use hil_tests::bench::{Bench, CARD_KEY, QemuBench, channel};
use hil_tests::cannot_run;
use hil_tests::cards::{CardList, felica, identity, type_a};
use hil_tests::memory::{SLOT, events, slot, slot_at};
use hil_tests::pn532::Card;
use hil_tests::standin::{BOUND, Controller};
use hil_tests::wait_for;
use shared::access::{Decision, Denial};
use shared::provision::Provision;
use shared::wire::{Header, ListEvent, ResetCause, Up};

/// Waits until the event `seq` is in the EEPROM, whole.
async fn kept(bench: &QemuBench, seq: u32) {
    wait_for(&format!("event {seq} in the EEPROM"), BOUND, async || {
        events(&bench.eeprom()?).contains(&seq).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ring_says_how_many_events_it_lost() {
    /// Contacts that wait for the controller; more than the ring takes beside entries.
    const WAITING: u32 = 140;
    /// What happens with a full ring.
    const MORE: u32 = 6;
    if cannot_run(missing()) {
        return;
    }
    let mut room = Room::<QemuBench>::start().await;
    let first = last(&room.controller);
    // The last acknowledgement is written a few seconds later; until then it is only repeated.
    room.bench.power_cut().await;
    let door = |seq: u32| Up::Contact {
        channel: channel::DOOR,
        open: seq % 2 == 1,
    };
    for seq in first + 1..=first + WAITING {
        room.bench
            .write_eeprom(slot_at(seq), &slot(seq, 1, 1_000 + u64::from(seq), &door(seq)));
    }
    room.bench.link(false).await;
    room.bench.power_on().await;
    // The record of the loss takes the next place.
    kept(&room.bench, first + WAITING + 1).await;
    let leak = |turn: u32| turn.is_multiple_of(2);
    for turn in 0..MORE {
        room.bench.contact(channel::LEAK, leak(turn)).await;
        // Longer than a contact settles; nothing says that an event was dropped.
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    room.bench.link(true).await;
    let lost = |event: &Up| matches!(event, Up::Lost { .. });
    let (record, lost) = room.controller.event_that("the record of the loss", lost).await;
    let Up::Lost { count } = lost else {
        unreachable!("looked for it");
    };
    // Every event that waited has come, each once and in order (the stand-in proves the order).
    let arrived = room.controller.read(|heard| {
        let mut events: Vec<(u32, Up)> = heard
            .events
            .iter()
            .map(|(header, body)| (header.seq, *body))
            .collect();
        events.sort_by_key(|(seq, _)| *seq);
        events.dedup();
        events
    });
    for seq in first + 1..=first + WAITING {
        assert!(arrived.contains(&(seq, door(seq))), "event {seq}");
    }
    let told = arrived
        .iter()
        .filter(|(_, body)| {
            matches!(
                body,
                Up::Contact {
                    channel: channel::LEAK,
                    ..
                }
            )
        })
        .count();
    eprintln!("loss record {} of {count}, {told} of {MORE} told", record.seq);
    // The start of this boot found no place either: it is no entry.
    assert_eq!(
        usize::try_from(count).unwrap() + told,
        usize::try_from(MORE).unwrap() + 1
    );
    assert!(count > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_torn_at_any_byte_is_whole_or_was_never_there() {
    if cannot_run(missing()) {
        return;
    }
    // An event more than the acknowledged ones, in a board without network.
    let provision = hil_tests::bench::room(Provision::new(7, 1, [3; 32], [127, 0, 0, 1], 9));
    let mut bench = QemuBench::prepare(&provision);
    bench.link(false).await;
    bench.power_on().await;
    kept(&bench, 1).await;
    bench.power_cut().await;
    let before = bench.eeprom().unwrap();
    bench.power_on().await;
    kept(&bench, 2).await;
    bench.power_cut().await;
    let after = bench.eeprom().unwrap();
    let (at, seq) = (slot_at(2), 2);
    assert!(events(&after).contains(&seq) && !events(&before).contains(&seq));

    let mut torn: Vec<usize> = (0..=SLOT).collect();
    let half = torn.split_off(SLOT / 2);
    let image = |cut: usize| {
        let mut image = after.clone();
        image[at + cut..at + SLOT].copy_from_slice(&before[at + cut..at + SLOT]);
        image
    };
    // Two boards at once: starting one is what takes the time.
    let run = async |cuts: Vec<usize>| {
        let mut bench = QemuBench::prepare(&provision);
        bench.link(false).await;
        for cut in cuts {
            let image = image(cut);
            bench.write_eeprom(0, &image);
            let printed = bench.console().len();
            bench.power_on().await;
            // The hello of this boot is the next event: it takes the place of a torn one.
            let whole = events(&image).contains(&seq);
            let pending = format!("pending {}", if whole { 3 } else { 2 });
            let what = format!("`{pending}` with {cut} bytes written");
            wait_for(&what, BOUND, async || {
                let console = bench.console();
                console[printed..].contains(&pending).then_some(())
            })
            .await;
            assert!(cut < SLOT || whole);
            bench.power_cut().await;
        }
    };
    tokio::join!(run(torn), run(half));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_update_cut_off_at_any_step_leaves_the_list_before_it() {
    if cannot_run(missing()) {
        return;
    }
    let mut room = Room::<QemuBench>::start().await;
    let (old, new) = (type_a(1), felica(2));
    let list = |version: u32, card| CardList::new(CARD_KEY, version).with(&card, |_| ()).filled(40);
    list(1, old.clone()).give(&room.controller).await;
    let update = list(2, new.clone()).messages();
    for step in 1..=update.len() + 1 {
        for message in update.iter().take(step) {
            room.controller.tell(message.clone()).await;
        }
        // The report is sent after what came before it was heard.
        tells(&room.controller).await;
        if step > update.len() {
            // This once the node has all the time it wants.
            let committed = |event: &Up| matches!(event, Up::List(ListEvent::Committed { version: 2, .. }));
            room.controller.event_that("the new list", committed).await;
        }
        let boot = room.controller.read(|heard| heard.boot);
        room.bench.power_cut().await;
        room.bench.power_on().await;
        back(&room.controller, boot).await;
        let version = if step < update.len() {
            1
        } else if step > update.len() {
            2
        } else {
            // Cut off in the commit itself: either list, but a whole one.
            in_force(&mut room, &old).await
        };
        eprintln!("cut after step {step} of {}: list {version}", update.len());
        for (card, listed) in [(&old, 1), (&new, 2)] {
            let decision = if listed == version {
                Decision::Granted
            } else {
                Decision::Denied(Denial::Unknown)
            };
            decided(&mut room, card, decision, version).await;
        }
    }
}

/// The list that decides about a card now.
async fn in_force(room: &mut Room<QemuBench>, card: &Card) -> u32 {
    let seq = last(&room.controller);
    let is = |event: &Up| matches!(event, Up::Credential { .. });
    let (_, event) = held_to_reader(&room.bench, &room.controller, card, seq, "a decision", is).await;
    match event {
        Up::Credential { list, .. } => list,
        _ => unreachable!("looked for it"),
    }
}

/// Waits for the hello of a later boot, and gives the node the time again.
async fn back(controller: &Controller, boot: u32) {
    let hello = |(header, body): &(Header, Up)| {
        header.boot > boot
            && matches!(
                body,
                Up::Hello {
                    cause: ResetCause::PowerOn,
                    ..
                }
            )
    };
    controller
        .until("the next boot", |heard| {
            heard.events.iter().any(hello).then_some(())
        })
        .await;
    controller.tell(shared::wire::Down::SetTime).await;
    tells(controller).await;
}

async fn decided(room: &mut Room<QemuBench>, card: &Card, decision: Decision, list: u32) {
    let seq = last(&room.controller);
    let (kind, id) = identity(&CARD_KEY, card);
    let expected = Up::Credential {
        reader: 0,
        kind,
        id,
        decision,
        list,
    };
    let is = |event: &Up| *event == expected;
    held_to_reader(
        &room.bench,
        &room.controller,
        card,
        seq,
        &format!("{expected:?}"),
        is,
    )
    .await;
}

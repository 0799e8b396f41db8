//! The outbox against power cuts, overflow and memories that refuse.

use super::*;
use crate::layout::slot_at;
use crate::memory::fake::{Chip, Random};
use shared::wire::{Refusal, decode_event};
use std::collections::BTreeSet;
use std::vec::Vec;

/// An outbox with its chip.
struct Rig {
    chip: Chip,
    outbox: Outbox,
}

/// What an event is: its sequence, and its number or the count of a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Number(u32, u32),
    Lost(u32, u32),
}
use Told::{Lost, Number};

impl Told {
    fn seq(self) -> u32 {
        match self {
            Number(seq, _) | Lost(seq, _) => seq,
        }
    }
}

fn told(event: &Event) -> Told {
    match decode_event(&event.body) {
        Ok(Up::Refused { total, .. }) => Number(event.seq, total),
        Ok(Up::Lost { count }) => Lost(event.seq, count),
        other => panic!("{other:?}"),
    }
}

const STAMP: Stamp = Stamp {
    up_ms: 5,
    unix_ms: 1_795_000_000_000,
};

fn open(chip: &Chip) -> Rig {
    Rig {
        chip: chip.clone(),
        outbox: Outbox::open(&mut chip.clone(), 7, 0, false).unwrap(),
    }
}

impl Rig {
    fn push_as(&mut self, number: u32, rank: Rank) {
        let body = Up::Refused {
            total: number,
            why: Refusal::Forged,
        };
        self.outbox.push(&mut self.chip, &body, rank, STAMP);
    }

    fn push(&mut self, number: u32) {
        self.push_as(number, Rank::Entry);
    }

    fn next(&mut self, now_ms: u64) -> Option<Event> {
        self.outbox.next_to_send(&mut self.chip, now_ms)
    }

    fn drain(&mut self, now_ms: u64) -> Vec<Told> {
        core::iter::from_fn(|| self.next(now_ms))
            .map(|event| told(&event))
            .collect()
    }

    fn seqs(&mut self, now_ms: u64) -> Vec<u32> {
        self.drain(now_ms).into_iter().map(Told::seq).collect()
    }

    fn acknowledged(&mut self, upto: u32, now_ms: u64) {
        self.outbox.acknowledged(&mut self.chip, upto, now_ms);
    }

    /// When anything is due.
    fn deadline(&self) -> Option<u64> {
        [self.outbox.next_send(), self.outbox.next_maintain()]
            .into_iter()
            .flatten()
            .min()
    }

    fn maintain(&mut self, now_ms: u64) {
        self.outbox.maintain(&mut self.chip, now_ms);
    }
}

#[test]
fn events_go_out_in_order_and_stay_until_acknowledged() {
    let mut rig = open(&Chip::blank());
    [10, 20, 30].into_iter().for_each(|number| rig.push(number));
    assert_eq!(rig.drain(0), [Number(1, 10), Number(2, 20), Number(3, 30)]);
    assert_eq!(rig.drain(0), []);
    rig.acknowledged(2, 0);
    assert_eq!(rig.outbox.pending(), 1);
    rig.outbox.connected();
    assert_eq!(rig.drain(0), [Number(3, 30)]);
    rig.acknowledged(3, 0);
    assert_eq!((rig.outbox.pending(), rig.outbox.unreleased()), (0, 3));
    rig.maintain(FORGET_IDLE_MS);
    assert_eq!((rig.outbox.unreleased(), rig.deadline()), (0, None));
}

#[test]
fn an_event_keeps_its_boot_and_its_time_over_a_restart() {
    let chip = Chip::blank();
    open(&chip).push(1);
    let mut rig = open(&chip);
    rig.push(2);
    let both = [rig.next(0).unwrap(), rig.next(0).unwrap()];
    assert_eq!(both.clone().map(|event| event.boot), [1, 2]);
    assert_eq!(
        both.map(|event| (event.up_ms, event.unix_ms)),
        [(5, 1_795_000_000_000); 2]
    );
}

#[test]
fn without_acknowledgement_events_are_sent_again_ever_more_slowly() {
    let mut rig = open(&Chip::blank());
    rig.push(1);
    let mut times = Vec::new();
    for now_ms in (0..300_000).step_by(1_000) {
        assert_eq!(
            rig.outbox.wants_to_send(now_ms),
            rig.deadline().is_none_or(|at| now_ms >= at)
        );
        if !rig.drain(now_ms).is_empty() {
            times.push(now_ms / 1_000);
        }
    }
    assert_eq!(times, [0, 10, 30, 70, 130, 190, 250]);
}

#[test]
fn an_acknowledgement_of_something_never_sent_frees_nothing() {
    let mut rig = open(&Chip::blank());
    rig.push(1);
    rig.acknowledged(9_000, 0);
    assert_eq!(rig.seqs(0), [1]);
    rig.push(2);
    rig.acknowledged(9_000, 0);
    assert_eq!(rig.seqs(0), [2]);
}

#[test]
fn a_power_cut_loses_nothing_and_repeats_nothing_that_was_called_released() {
    let chip = Chip::blank();
    let mut rig = open(&chip);
    (1..=20).for_each(|number| rig.push(number));
    rig.drain(0);
    rig.acknowledged(15, 0);
    let mut rig = open(&chip);
    assert_eq!(rig.seqs(0), [16, 17, 18, 19, 20]);
    // Not enough for a write of its own, and not called released: repeated after the cut.
    rig.acknowledged(17, 0);
    assert_eq!(rig.outbox.last() - rig.outbox.unreleased() as u32, 15);
    let mut rig = open(&chip);
    rig.push(21);
    assert_eq!(rig.seqs(0), [16, 17, 18, 19, 20, 21]);
    assert_eq!(rig.outbox.boot(), 3);
    rig.acknowledged(17, 0);
    rig.maintain(FORGET_IDLE_MS);
    assert_eq!(open(&chip).seqs(0), [18, 19, 20, 21]);
}

#[test]
fn what_is_in_the_memory_is_sent_from_there() {
    let chip = Chip::blank();
    let mut rig = open(&chip);
    let many = CACHE as u32 * 3;
    (1..=many).for_each(|number| rig.push(number));
    let sent: Vec<Told> = (1..=many).map(|number| Number(number, number)).collect();
    assert_eq!(rig.drain(0), sent);
    rig.outbox.connected();
    assert_eq!(rig.drain(0), sent);
}

#[test]
fn an_event_that_just_happened_is_sent_without_reading_the_memory() {
    let mut rig = open(&Chip::blank());
    rig.push(1);
    let reads = rig.chip.reads();
    assert_eq!(rig.seqs(0), [1]);
    assert_eq!(rig.chip.reads(), reads);
}

#[test]
fn a_dead_memory_delays_nothing_and_is_caught_up_with() {
    let chip = Chip::blank();
    let mut rig = open(&chip);
    rig.push(1);
    chip.freeze(true);
    rig.push(2);
    rig.push(3);
    assert_eq!(rig.seqs(0), [1, 2, 3]);
    rig.maintain(0);
    chip.freeze(false);
    assert_eq!(rig.deadline(), Some(STORE_RETRY_MS));
    rig.maintain(STORE_RETRY_MS);
    assert_eq!(open(&chip).seqs(0), [1, 2, 3]);
}

#[test]
fn a_dead_memory_keeps_as_many_as_ram_holds_and_counts_the_rest() {
    let chip = Chip::blank();
    let mut rig = open(&chip);
    chip.freeze(true);
    let cached = CACHE as u32;
    (1..=cached + 5).for_each(|number| rig.push(number));
    let mut expected: Vec<Told> = (1..=cached).map(|number| Number(number, number)).collect();
    expected.push(Lost(cached + 1, 5));
    assert_eq!(rig.drain(0), expected);
    // On its way with a count that only RAM knows: later losses wait for the memory or the ack.
    rig.push(0);
    assert_eq!((rig.drain(0), rig.outbox.lost_total()), (vec![], 6));
    chip.freeze(false);
    rig.maintain(STORE_RETRY_MS);
    rig.outbox.settle_losses(&mut rig.chip, STAMP);
    assert_eq!(rig.drain(0), [Lost(cached + 2, 1)]);
    expected.push(Lost(cached + 2, 1));
    assert_eq!(open(&chip).drain(0), expected);
}

#[test]
fn events_out_of_reach_hold_up_the_others_for_a_while_and_then_count_as_lost() {
    let chip = Chip::blank();
    let mut rig = open(&chip);
    let stored = CACHE as u32 + 10;
    (1..=stored).for_each(|number| rig.push(number));
    chip.freeze(true);
    rig.push(777);
    assert_eq!(rig.drain(0), []);
    assert_eq!(rig.deadline(), Some(STORE_RETRY_MS));
    assert!(!rig.outbox.wants_to_send(STORE_RETRY_MS - 1) && rig.outbox.wants_to_send(STORE_RETRY_MS));
    assert_eq!(rig.drain(GIVE_UP_MS - 1), []);
    let sent = rig.drain(GIVE_UP_MS + STORE_RETRY_MS);
    // The cache holds the newest: eleven are only in the memory.
    let expected: Vec<Told> = (12..=stored).map(|number| Number(number, number)).collect();
    assert_eq!(sent[..sent.len() - 1], expected);
    assert_eq!(sent.last(), Some(&Number(stored + 1, 777)));
    assert_eq!(
        rig.outbox.last() - rig.outbox.unreleased() as u32,
        11,
        "the gap is released"
    );
    rig.outbox.settle_losses(&mut rig.chip, STAMP);
    assert_eq!(rig.drain(GIVE_UP_MS + STORE_RETRY_MS), [Lost(stored + 2, 11)]);
}

#[test]
fn a_bus_that_comes_back_in_time_loses_nothing() {
    let chip = Chip::blank();
    let mut rig = open(&chip);
    let stored = CACHE as u32 + 10;
    (1..=stored).for_each(|number| rig.push(number));
    chip.freeze(true);
    assert_eq!(rig.drain(0), []);
    chip.freeze(false);
    assert_eq!(rig.seqs(STORE_RETRY_MS), (1..=stored).collect::<Vec<_>>());
}

#[test]
fn a_rotten_slot_is_a_gap_that_is_not_waited_for() {
    let chip = Chip::blank();
    let mut rig = open(&chip);
    (1..=4).for_each(|number| rig.push(number));
    chip.flip(slot_at(2) + 30);
    let mut rig = open(&chip);
    assert_eq!(rig.seqs(0), [1, 3, 4]);
    rig.acknowledged(1, 0);
    rig.outbox.connected();
    assert_eq!(rig.seqs(0), [3, 4]);
    assert_eq!(rig.outbox.pending(), 2);
    rig.maintain(FORGET_IDLE_MS);
    assert_eq!(
        rig.outbox.last() - rig.outbox.unreleased() as u32,
        2,
        "the gap is released"
    );
}

#[test]
fn a_full_outbox_keeps_the_old_and_says_how_many_are_lost() {
    let chip = Chip::blank();
    let mut rig = open(&chip);
    let all = SLOTS as u32;
    (1..all + 70).for_each(|number| rig.push(number));
    assert_eq!((rig.outbox.pending(), rig.outbox.lost_total()), (SLOTS, 70));
    // After a power cut the count is at least the last power of two.
    assert_eq!(open(&chip.copy()).drain(0).last(), Some(&Lost(all, 64)));
    let sent = rig.drain(0);
    assert_eq!(sent[..3], [Number(1, 1), Number(2, 2), Number(3, 3)]);
    assert_eq!(sent.last(), Some(&Lost(all, 70)));
    assert_eq!(
        open(&chip.copy()).drain(0).last(),
        Some(&Lost(all, 70)),
        "exact once it is sent"
    );
    // On its way, the record does not change any more; later losses get one of their own.
    rig.push(0);
    rig.push(0);
    assert_eq!(rig.drain(0), []);
    rig.acknowledged(10, 0);
    rig.push(777);
    assert_eq!(rig.drain(0), [Lost(all + 1, 2), Number(all + 2, 777)]);
}

#[test]
fn contacts_never_push_out_entries() {
    let chip = Chip::blank();
    let mut rig = open(&chip);
    let edges = COMMON as u32;
    (0..edges + 1_000).for_each(|_| rig.push_as(1, Rank::Common));
    assert_eq!(
        rig.outbox.pending(),
        COMMON + 1,
        "the record of the loss stands behind them"
    );
    // Cards and doors, with contacts that go on chattering in between.
    let entries = RESERVED as u32 - 1;
    for number in 0..entries {
        rig.push(10_000 + number);
        rig.push_as(1, Rank::Common);
    }
    let mut rig = open(&chip);
    let sent = rig.drain(0);
    let kept = sent.iter().filter(|told| matches!(told, Number(_, 10_000..)));
    assert_eq!(kept.count(), entries as usize);
    assert_eq!(
        sent[COMMON],
        Lost(edges + 1, 1_024),
        "a power of two, as no write was worth more"
    );
}

/// The broker takes what is sent, and nobody acknowledges it: the controller is down for a night.
#[test]
fn with_the_controller_down_contacts_do_not_push_out_entries_either() {
    let mut rig = open(&Chip::blank());
    for _ in 0..COMMON + 400 {
        rig.push_as(1, Rank::Common);
        rig.drain(0);
    }
    assert_eq!(rig.outbox.pending(), COMMON + 1);
    let entries = RESERVED as u32 - 2;
    for number in 0..entries {
        rig.push(10_000 + number);
        rig.push_as(1, Rank::Common);
        rig.drain(0);
    }
    rig.outbox.connected();
    let sent = rig.drain(0);
    let kept = sent.iter().filter(|told| matches!(told, Number(_, 10_000..)));
    assert_eq!(kept.count(), entries as usize);
    // Every contact that was dropped is counted in the end.
    rig.acknowledged(rig.outbox.last(), 0);
    rig.outbox.settle_losses(&mut rig.chip, STAMP);
    let later: u32 = rig
        .drain(0)
        .into_iter()
        .map(|told| match told {
            Lost(_, count) => count,
            Number(..) => 0,
        })
        .sum();
    let sooner: u32 = sent
        .into_iter()
        .map(|told| match told {
            Lost(_, count) => count,
            Number(..) => 0,
        })
        .sum();
    assert_eq!(sooner + later, 400 + entries);
    assert_eq!(rig.outbox.lost_total(), 400 + entries);
}

#[test]
fn a_restart_that_is_asked_for_keeps_the_exact_count() {
    for sent in [false, true] {
        let chip = Chip::blank();
        let mut rig = open(&chip);
        (0..SLOTS as u32 + 573).for_each(|_| rig.push_as(1, Rank::Common));
        if sent {
            rig.drain(0);
            rig.push_as(1, Rank::Common);
        }
        let lost = rig.outbox.lost_total();
        rig.outbox.flush_losses(&mut rig.chip, STAMP);
        let told: u32 = open(&chip)
            .drain(0)
            .into_iter()
            .map(|told| match told {
                Lost(_, count) => count,
                Number(..) => 0,
            })
            .sum();
        assert_eq!(told, lost, "sent {sent}");
    }
}

#[test]
fn a_full_outbox_survives_restarts_without_room() {
    let chip = Chip::blank();
    let mut rig = open(&chip);
    let all = SLOTS as u32;
    (0..all + 5).for_each(|number| rig.push(number));
    let mut rig = open(&chip);
    rig.push(1); // lost: no place even for a record
    assert_eq!(rig.seqs(0), (1..=all).collect::<Vec<_>>());
    rig.acknowledged(all, 0);
    rig.outbox.settle_losses(&mut rig.chip, STAMP);
    assert_eq!(rig.drain(0), [Lost(all + 1, 1)]);
}

#[test]
fn a_day_of_passages_writes_one_header_each() {
    let chip = Chip::blank();
    let mut rig = open(&chip);
    let before = chip.written();
    let passages = 500;
    for passage in 0..passages {
        let now_ms = passage * 60_000;
        for event in 0..3 {
            rig.push(event);
            rig.seqs(now_ms);
            rig.acknowledged(rig.outbox.last(), now_ms + 100);
        }
        rig.maintain(now_ms + 100 + FORGET_IDLE_MS);
    }
    let header = 4 + 20 + 4;
    let slots = 3 * 64;
    assert_eq!(chip.written() - before, passages as usize * (header + slots));
    assert_eq!(rig.outbox.unreleased(), 0);
}

/// Random life against a controller that commits, misses and acknowledges at random, with
/// power cuts and a memory that freezes: everything arrives, in order, or is in a loss record.
#[test]
fn every_event_arrives_or_is_counted_lost() {
    for seed in 1..=60_u64 {
        let mut random = Random(seed);
        let chip = Chip::blank();
        let mut rig = open(&chip);
        let (mut made, mut now_ms, mut committed) = (0_u32, 0, 0);
        let (mut arrived, mut lost) = (BTreeSet::new(), 0);
        let mut receive = |event: &Event, committed: &mut u32| {
            let told = told(event);
            if told.seq() <= *committed {
                return;
            }
            assert_eq!(told.seq(), *committed + 1, "seed {seed}: a gap");
            *committed = told.seq();
            match told {
                Number(_, number) => assert!(arrived.insert(number), "seed {seed}: {number} twice"),
                Lost(_, count) => lost += count,
            }
        };
        for _ in 0..600 {
            now_ms += random.below(3_000);
            match random.below(12) {
                0..=4 => {
                    for _ in 0..=random.below(9) {
                        made += 1;
                        let rank = [Rank::Common, Rank::Entry][random.below(2) as usize];
                        rig.push_as(made, rank);
                    }
                }
                5..=7 => {
                    for _ in 0..random.below(40) {
                        if let Some(event) = rig.next(now_ms) {
                            receive(&event, &mut committed);
                        }
                    }
                }
                8 => rig.acknowledged(committed, now_ms),
                9 => rig.outbox.connected(),
                // The chip freezes for one event and is caught up with before the next cut:
                // an event that is only in RAM cannot survive one.
                10 => {
                    chip.freeze(true);
                    made += 1;
                    rig.push(made);
                    chip.freeze(false);
                    now_ms += STORE_RETRY_MS;
                    rig.maintain(now_ms);
                }
                _ if rig.outbox.uncounted == 0 && rig.outbox.loss.is_none() => {
                    rig = open(&chip);
                }
                _ => {}
            }
            let released = rig.outbox.last() - rig.outbox.unreleased() as u32;
            assert!(released <= committed, "seed {seed}: released what nobody has");
        }
        for _ in 0..20 {
            rig.outbox.connected();
            while let Some(event) = rig.next(now_ms) {
                receive(&event, &mut committed);
            }
            rig.acknowledged(committed, now_ms);
            rig.outbox.settle_losses(&mut rig.chip, STAMP);
        }
        assert_eq!(arrived.len() as u32 + lost, made, "seed {seed}");
        assert_eq!(rig.outbox.pending(), 0);
    }
}

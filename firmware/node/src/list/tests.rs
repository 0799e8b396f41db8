//! Access lists against torn writes, wrong orders and memories that refuse.

use super::*;
use crate::memory::fake::{Chip, Disturbed, Random};
use shared::access::UnsetClock;
use std::vec::Vec;

fn head(version: u32, count: u16) -> ListHead {
    ListHead {
        version,
        count,
        utc_offset_min: 540,
        unset_clock: UnsetClock::AllowAndFlag,
        stale_after_days: 14,
        holidays: (0..shared::limit::MAX_HOLIDAYS as u16).collect(),
    }
}

/// Cards of a list: every third number, so that there is something between and beside them.
fn id(place: u16) -> CardId {
    let mut id = [0x5a; 8];
    id[..2].copy_from_slice(&(place * 3 + 1).to_be_bytes());
    id
}

fn entry(version: u32, place: u16) -> [u8; ENTRY_LEN] {
    Entry {
        id: id(place),
        from: 0,
        to: 144,
        days: version as u8,
        flags: 0,
        valid_from: place,
        valid_until: u16::MAX,
    }
    .encode()
}

fn digest(head: &ListHead) -> [u8; DIGEST_LEN] {
    let mut digest = Digest::new(head);
    (0..head.count).for_each(|place| digest.push(&entry(head.version, place)));
    digest.finish()
}

fn open(chip: &Chip) -> List {
    List::open(&mut chip.clone()).unwrap()
}

fn settle(list: &mut List, chip: &Chip) -> Option<ListEvent> {
    let mut now_ms = 0;
    while let Some(at) = list.next_deadline().filter(|at| *at < CHECK_EVERY_MS) {
        now_ms = at.max(now_ms);
        if let Some(event) = list.step(&mut chip.clone(), 1_795_000_000, now_ms) {
            return Some(event);
        }
        assert!(now_ms < 60_000, "it never settles");
    }
    None
}

/// Brings a list as the controller does; what came of it.
fn bring(list: &mut List, chip: &Chip, head: &ListHead) -> Option<ListEvent> {
    let memory = &mut chip.clone();
    let mut event = list.begin(memory, head);
    for at in (0..head.count).step_by(16) {
        let places = at..head.count.min(at + 16);
        let entries = places.map(|place| entry(head.version, place)).collect();
        event = event.or_else(|| list.entries(memory, head.version, at, &entries));
    }
    event
        .or_else(|| list.commit(head.version, digest(head)))
        .or_else(|| settle(list, chip))
}

/// The version of the list in force, every entry of it proven.
fn whole(chip: &Chip) -> u32 {
    let mut list = open(chip);
    assert_eq!(settle(&mut list, chip), None);
    let Some(head) = list.head().cloned() else {
        return 0;
    };
    for place in 0..head.count {
        let found = list.find(&mut chip.clone(), &id(place)).unwrap().unwrap();
        assert_eq!(found.encode(), entry(head.version, place));
    }
    head.version
}

const fn committed(version: u32, count: u16) -> Option<ListEvent> {
    Some(ListEvent::Committed { version, count })
}

const fn dropped_as(version: u32, why: ListProblem) -> Option<ListEvent> {
    Some(ListEvent::Dropped { version, why })
}

#[test]
fn blank_memory_has_no_list() {
    for fill in [0, 0xff] {
        let chip = Chip::holding(vec![fill; 32_768]);
        let list = open(&chip);
        assert!(list.head().is_none() && list.next_deadline().is_none());
        assert_eq!(list.find(&mut chip.clone(), &id(0)), Ok(None));
    }
}

#[test]
fn every_card_of_a_full_list_is_found_and_no_other() {
    let chip = Chip::blank();
    let mut list = open(&chip);
    assert_eq!(bring(&mut list, &chip, &head(3, 500)), committed(3, 500));
    assert_eq!(whole(&chip), 3);
    for place in 0..500 {
        for off in [-1_i16, 1] {
            let mut other = id(place);
            let number = (place * 3 + 1).wrapping_add_signed(off);
            other[..2].copy_from_slice(&number.to_be_bytes());
            assert_eq!(list.find(&mut chip.clone(), &other), Ok(None));
        }
    }
    let before = chip.reads();
    list.find(&mut chip.clone(), &id(499)).unwrap();
    assert!(chip.reads() - before <= 10, "{} reads", chip.reads() - before);
}

#[test]
fn lists_take_turns_in_the_two_banks() {
    let chip = Chip::blank();
    for version in 1..=7 {
        let mut list = open(&chip);
        let count = version as u16 * 10;
        assert_eq!(
            bring(&mut list, &chip, &head(version, count)),
            committed(version, count)
        );
        assert_eq!((list.version(), whole(&chip)), (version, version));
    }
    // Also to a lower version: the controller knows what it wants.
    assert_eq!(bring(&mut open(&chip), &chip, &head(2, 0)), committed(2, 0));
    assert_eq!(whole(&chip), 2);
}

#[test]
fn power_may_fail_at_every_byte_of_an_update() {
    let prepared = Chip::blank();
    assert!(bring(&mut open(&prepared), &prepared, &head(6, 40)).is_some());
    assert!(bring(&mut open(&prepared), &prepared, &head(7, 40)).is_some());
    let before = prepared.written();
    let rehearsed = prepared.copy();
    assert!(bring(&mut open(&rehearsed), &rehearsed, &head(8, 40)).is_some());
    let bytes = rehearsed.written() - before;
    assert!(bytes > 40 * 16 + 100, "the update writes {bytes} bytes");
    for cut in 0..=bytes {
        let chip = prepared.copy();
        let mut list = open(&chip);
        chip.cut_after(Some(cut));
        let told = bring(&mut list, &chip, &head(8, 40));
        chip.cut_after(None);
        let now = whole(&chip);
        assert!(matches!(now, 7 | 8), "cut {cut}: version {now}");
        // The last four bytes break the record of the list before.
        assert_eq!(now == 8, cut >= bytes - 4, "cut {cut}: version {now}");
        if told == committed(8, 40) {
            assert_eq!(now, 8, "cut {cut}: it was said");
        }
        // And the next attempt succeeds.
        assert_eq!(
            bring(&mut open(&chip), &chip, &head(8, 40)),
            committed(8, 40),
            "cut {cut}"
        );
        assert_eq!(whole(&chip), 8);
    }
}

#[test]
fn entries_come_in_order_again_or_not_at_all() {
    let chip = Chip::blank();
    let memory = &mut chip.clone();
    let mut list = open(&chip);
    let head = head(4, 40);
    let window = |at: u16| -> Entries { (at..40.min(at + 16)).map(|place| entry(4, place)).collect() };
    list.begin(memory, &head);
    for (version, at, have) in [
        (4, 16, 0),
        (3, 0, 0),
        (4, 0, 16),
        (4, 0, 16),
        (4, 8, 24),
        (4, 32, 24),
        (4, 24, 40),
    ] {
        assert_eq!(list.entries(memory, version, at, &window(at)), None);
        assert_eq!(
            list.progress(),
            Progress { version: 4, have },
            "after {version} {at}"
        );
    }
    // More than there are.
    list.entries(memory, 4, 40, &window(0));
    assert_eq!(list.progress().have, 40);
    assert_eq!(list.commit(3, digest(&head)), None, "another version");
    assert_eq!(list.commit(4, digest(&head)), None);
    assert_eq!(settle(&mut list, &chip), committed(4, 40));
    assert_eq!(list.commit(4, digest(&head)), None, "said twice");
}

#[test]
fn what_is_incomplete_unsorted_or_of_another_digest_is_dropped() {
    let chip = Chip::blank();
    let memory = &mut chip.clone();
    let mut list = open(&chip);
    assert!(bring(&mut list, &chip, &head(1, 10)).is_some());
    list.begin(memory, &head(2, 10));
    assert_eq!(list.commit(2, [0; 16]), dropped_as(2, ListProblem::Incomplete));
    for (entries, why) in [
        ([entry(2, 1), entry(2, 0)], ListProblem::Malformed),
        ([entry(2, 1), entry(2, 1)], ListProblem::Malformed),
        ([entry(2, 0), entry(2, 1)], ListProblem::Digest),
    ] {
        list.begin(memory, &head(2, 2));
        list.entries(memory, 2, 0, &entries.into_iter().collect());
        list.commit(2, [0; 16]);
        assert_eq!(settle(&mut list, &chip), dropped_as(2, why));
    }
    let unsound = ListHead {
        version: 0,
        ..head(2, 2)
    };
    assert_eq!(
        list.begin(memory, &unsound),
        dropped_as(0, ListProblem::Malformed)
    );
    assert_eq!(whole(&chip), 1);
}

#[test]
fn a_beginning_drops_what_was_under_way() {
    let chip = Chip::blank();
    let memory = &mut chip.clone();
    let mut list = open(&chip);
    list.begin(memory, &head(2, 16));
    list.entries(memory, 2, 0, &(0..16).map(|place| entry(2, place)).collect());
    list.commit(2, digest(&head(2, 16)));
    // While it is checked.
    assert_eq!(bring(&mut list, &chip, &head(3, 20)), committed(3, 20));
    assert_eq!(whole(&chip), 3);
}

#[test]
fn a_list_that_rots_in_the_memory_is_told_and_does_not_decide() {
    for place in [0, 17, 39] {
        let chip = Chip::blank();
        bring(&mut open(&chip), &chip, &head(5, 40));
        chip.flip(entry_at(0, place) + 15);
        let mut list = open(&chip);
        assert_eq!(settle(&mut list, &chip), dropped_as(5, ListProblem::Digest));
        assert_eq!(
            (list.version(), list.find(&mut chip.clone(), &id(3))),
            (0, Ok(None))
        );
    }
}

#[test]
fn a_bus_that_freezes_for_a_moment_costs_no_list_and_invents_no_unknown_card() {
    let chip = Chip::blank();
    bring(&mut open(&chip), &chip, &head(5, 40));
    let mut list = open(&chip);
    chip.freeze(true);
    assert_eq!(list.find(&mut chip.clone(), &id(3)), Err(MemoryFault));
    assert_eq!(list.step(&mut chip.clone(), 0, 0), None);
    chip.freeze(false);
    assert_eq!(settle(&mut list, &chip), None);
    assert_eq!(list.version(), 5);
    assert!(list.find(&mut chip.clone(), &id(3)).unwrap().is_some());
}

#[test]
fn a_memory_that_keeps_nothing_drops_the_list_under_way() {
    let chip = Chip::blank();
    bring(&mut open(&chip), &chip, &head(5, 40));
    let mut list = open(&chip);
    settle(&mut list, &chip);
    chip.freeze(true);
    assert_eq!(
        bring(&mut list, &chip, &head(6, 40)),
        dropped_as(6, ListProblem::Memory)
    );
    chip.freeze(false);
    assert_eq!((list.version(), whole(&chip)), (5, 5));
}

/// Records of any content, their checksums made right: worse than rot can do.
#[test]
fn no_content_of_the_banks_panics() {
    for seed in 1..=300 {
        let mut random = Random(seed);
        let bytes: Vec<u8> = (0..32_768).map(|_| random.byte()).collect();
        let chip = Chip::holding(bytes);
        for at in BANK_AT {
            let mut record: Vec<u8> = (0..CRC_AT).map(|_| random.byte()).collect();
            let mut good = head(1 + random.below(9) as u32, random.below(501) as u16).encode();
            good[10] = random.below(60) as u8;
            record[4..DIGEST_AT].copy_from_slice(&good);
            record.extend(crc32(&record).to_le_bytes());
            chip.clone().write(at, &record).unwrap();
        }
        let mut list = open(&chip);
        list.find(&mut chip.clone(), &id(7)).unwrap();
        settle(&mut list, &chip);
        assert_eq!(list.version(), 0, "seed {seed}: no digest was right");
        assert_eq!(bring(&mut list, &chip, &head(9, 5)), committed(9, 5));
    }
}

#[test]
fn a_list_that_rots_and_is_replaced_brings_no_old_list_back_after_restarts() {
    let chip = Chip::blank();
    for version in 1..=5 {
        bring(&mut open(&chip), &chip, &head(version, 40));
    }
    let bank = open(&chip).active.unwrap().bank;
    chip.flip(entry_at(bank, 3) + 15);
    let mut list = open(&chip);
    assert_eq!(settle(&mut list, &chip), dropped_as(5, ListProblem::Digest));
    assert_eq!(whole(&chip), 0, "no older one instead of it");
    assert_eq!(bring(&mut list, &chip, &head(9, 40)), committed(9, 40));
    assert_eq!(whole(&chip), 9);
}

/// What a node of before this rule left: both records whole.
fn with_both_records(chip: &Chip, unbroken: &Chip) -> Chip {
    let both = chip.copy();
    let old = open(unbroken).active.unwrap().bank;
    let at = BANK_AT[old];
    let record = &unbroken.bytes()[usize::from(at)..usize::from(at) + RECORD_LEN];
    both.clone().write(at, record).unwrap();
    both
}

#[test]
fn a_list_that_rots_beside_an_unbroken_older_one_is_not_replaced_by_it() {
    let chip = Chip::blank();
    for version in 1..=4 {
        bring(&mut open(&chip), &chip, &head(version, 40));
    }
    let before = chip.copy();
    bring(&mut open(&chip), &chip, &head(5, 40));
    let chip = with_both_records(&chip, &before);
    let bank = open(&chip).active.unwrap().bank;
    chip.flip(entry_at(bank, 3) + 15);
    let mut list = open(&chip);
    assert_eq!(settle(&mut list, &chip), dropped_as(5, ListProblem::Digest));
    assert_eq!(bring(&mut list, &chip, &head(9, 40)), committed(9, 40));
    assert_eq!(whole(&chip), 9);
    // Also when the old record could not be broken: the new one is newer than either.
    let again = with_both_records(&chip, &before);
    assert_eq!(open(&again).version(), 9);
}

#[test]
fn a_rotten_record_is_told_and_is_not_taken_for_the_list_before() {
    for byte in [0, 4, 30, DIGEST_AT as u16, CRC_AT as u16] {
        let chip = Chip::blank();
        for version in 1..=5 {
            bring(&mut open(&chip), &chip, &head(version, 40));
        }
        let bank = open(&chip).active.unwrap().bank;
        chip.flip(BANK_AT[bank] + byte);
        let mut list = open(&chip);
        assert_eq!(list.version(), 0, "byte {byte}");
        assert_eq!(settle(&mut list, &chip), dropped_as(0, ListProblem::Memory));
        assert_eq!(settle(&mut list, &chip), None, "once");
        assert_eq!(bring(&mut list, &chip, &head(6, 40)), committed(6, 40));
        assert_eq!(whole(&chip), 6);
    }
}

#[test]
fn one_misread_at_the_start_does_not_change_the_list() {
    let chip = Chip::blank();
    for version in 4..=5 {
        bring(&mut open(&chip), &chip, &head(version, 40));
    }
    for skip in 0..4 {
        chip.disturb_reads(skip, 1, Disturbed::Wrong);
        assert_eq!(open(&chip).version(), 5, "read {skip}");
        chip.calm();
    }
}

#[test]
fn one_misread_neither_changes_a_card_nor_makes_it_unknown_nor_known() {
    let chip = Chip::blank();
    bring(&mut open(&chip), &chip, &head(5, 40));
    let list = open(&chip);
    let mut stranger = id(7);
    stranger[7] ^= 1;
    for skip in 0..24 {
        for place in [0, 7, 39] {
            chip.disturb_reads(skip, 1, Disturbed::Wrong);
            let found = list.find(&mut chip.clone(), &id(place)).unwrap();
            let found = found.map(|entry| entry.encode());
            assert_eq!(found, Some(entry(5, place)), "read {skip}");
        }
        chip.disturb_reads(skip, 1, Disturbed::Wrong);
        assert_eq!(list.find(&mut chip.clone(), &stranger), Ok(None), "read {skip}");
    }
}

#[test]
fn a_list_that_cannot_be_checked_decides_for_a_minute_and_then_no_more() {
    let chip = Chip::blank();
    bring(&mut open(&chip), &chip, &head(5, 40));
    let mut list = open(&chip);
    let mut now_ms = 0;
    for attempt in 0..UNPROVEN_TRIES {
        assert!(
            list.find(&mut chip.clone(), &id(3)).is_ok(),
            "after {attempt} attempts"
        );
        chip.disturb_reads(0, 1, Disturbed::Silent);
        now_ms = list.next_deadline().unwrap().max(now_ms);
        assert_eq!(list.step(&mut chip.clone(), 0, now_ms), None);
        chip.calm();
    }
    assert_eq!(list.find(&mut chip.clone(), &id(3)), Err(MemoryFault));
    // It is not lost: once it can be read it decides again.
    for _ in 0..10 {
        now_ms = list.next_deadline().unwrap().max(now_ms);
        assert_eq!(list.step(&mut chip.clone(), 0, now_ms), None);
    }
    assert!(list.find(&mut chip.clone(), &id(3)).unwrap().is_some());
}

#[test]
fn rot_is_found_within_a_day() {
    let chip = Chip::blank();
    bring(&mut open(&chip), &chip, &head(5, 40));
    let mut list = open(&chip);
    assert_eq!(settle(&mut list, &chip), None);
    chip.flip(entry_at(open(&chip).active.unwrap().bank, 3) + 15);
    let mut now_ms = 0;
    let told = core::iter::from_fn(|| {
        now_ms = list.next_deadline()?.max(now_ms);
        Some(list.step(&mut chip.clone(), 0, now_ms))
    })
    .take(100)
    .find_map(|event| event);
    assert_eq!(told, dropped_as(5, ListProblem::Digest));
    assert!(
        (CHECK_EVERY_MS..CHECK_EVERY_MS + 60_000).contains(&now_ms),
        "{now_ms}"
    );
}

#[test]
fn an_update_that_fails_while_the_start_is_checked_does_not_spare_the_check() {
    let chip = Chip::blank();
    bring(&mut open(&chip), &chip, &head(5, 40));
    chip.flip(entry_at(0, 3) + 15);
    let mut list = open(&chip);
    let memory = &mut chip.clone();
    list.begin(memory, &head(6, 0));
    list.commit(6, [0; DIGEST_LEN]);
    assert_eq!(settle(&mut list, &chip), dropped_as(6, ListProblem::Digest));
    assert_eq!(settle(&mut list, &chip), dropped_as(5, ListProblem::Digest));
}

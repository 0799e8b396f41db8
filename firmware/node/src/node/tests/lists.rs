//! The access list as the controller brings it.

use super::*;

const DAY_MS: u64 = 24 * 3_600_000;

fn head(version: u32, count: u16) -> ListHead {
    ListHead {
        version,
        count,
        utc_offset_min: 540,
        unset_clock: UnsetClock::Deny,
        stale_after_days: 14,
        holidays: heapless::Vec::new(),
    }
}

fn entry(number: u16) -> [u8; 16] {
    let mut id = [0; 8];
    id[..2].copy_from_slice(&number.to_be_bytes());
    Entry {
        id,
        from: 0,
        to: 144,
        days: 0xff,
        flags: 0,
        valid_from: 0,
        valid_until: u16::MAX,
    }
    .encode()
}

fn digest(head: &ListHead) -> [u8; 16] {
    let mut digest = Digest::new(head);
    (0..head.count).for_each(|number| digest.push(&entry(number)));
    digest.finish()
}

impl Rig {
    /// Sends what the node asks for, as the controller does.
    fn send_list(&mut self, head: &ListHead) {
        self.down(&Down::ListBegin(head.clone()));
        let mut have = self.progress();
        while have < head.count {
            let entries = (have..head.count.min(have + 16)).map(entry).collect();
            let version = head.version;
            self.down(&Down::ListEntries {
                version,
                at: have,
                entries,
            });
            let next = self.progress();
            assert!(next > have, "it goes on");
            have = next;
        }
        self.down(&Down::ListCommit {
            version: head.version,
            digest: digest(head),
        });
        self.run(100);
    }

    fn progress(&mut self) -> u16 {
        let said = self.telemetry();
        let have = said.iter().rev().find_map(|body| match body {
            Up::Transfer {
                what: TransferKind::List,
                have,
                ..
            } => Some(*have),
            _ => None,
        });
        have.expect("every step is answered") as u16
    }
}

#[test]
fn a_list_is_taken_piece_by_piece_and_then_decides() {
    let mut rig = Rig::new();
    rig.down(&Down::SetTime);
    rig.bodies();
    rig.send_list(&head(12, 500));
    let committed = Up::List(ListEvent::Committed {
        version: 12,
        count: 500,
    });
    assert_eq!(rig.bodies(), [committed]);
    let health = rig.health();
    assert_eq!((health.list, health.list_age_h), (12, 0));
    rig.restart(POWER_ON);
    assert_eq!(rig.health().list, 12);
}

#[test]
fn a_wrong_digest_keeps_the_list_before() {
    let mut rig = Rig::new();
    rig.send_list(&head(12, 20));
    rig.bodies();
    rig.down(&Down::ListBegin(head(13, 1)));
    rig.down(&Down::ListEntries {
        version: 13,
        at: 0,
        entries: [entry(0)].into_iter().collect(),
    });
    rig.down(&Down::ListCommit {
        version: 13,
        digest: [0; 16],
    });
    rig.run(10);
    let dropped = Up::List(ListEvent::Dropped {
        version: 13,
        why: ListProblem::Digest,
    });
    assert_eq!((rig.bodies(), rig.health().list), (vec![dropped], 12));
}

#[test]
fn a_list_that_nobody_confirms_is_told_stale_once_and_still_decides() {
    let mut rig = Rig::new();
    rig.down(&Down::SetTime);
    rig.send_list(&head(12, 20));
    rig.acknowledge();
    let mut told = Vec::new();
    for day in 1..=16 {
        rig.now_ms = day * DAY_MS;
        rig.node.tick(rig.now_ms);
        told.extend(rig.bodies().into_iter().map(|body| (day, body)));
        rig.node.outbox.acknowledged(&mut rig.chip, u32::MAX, rig.now_ms);
        rig.node.tick(rig.now_ms);
    }
    let stale = Up::List(ListEvent::Stale {
        version: 12,
        days: 14,
    });
    assert_eq!(told, [(14, stale)]);
    assert_eq!(rig.health().list_age_h, 16 * 24);
    rig.unix_ms = UNIX_MS + 16 * DAY_MS;
    rig.down(&Down::ListConfirm { version: 12 });
    assert_eq!(rig.health().list_age_h, 0);
}

#[test]
fn a_confirmation_is_written_once_a_day_and_kept_over_a_restart() {
    let mut rig = Rig::new();
    rig.down(&Down::SetTime);
    rig.send_list(&head(12, 20));
    rig.acknowledge();
    rig.run(60_000);
    let before = rig.chip.written();
    for minute in 0..3 * 24 * 60 {
        rig.unix_ms = UNIX_MS + minute * 60_000;
        rig.down(&Down::ListConfirm { version: 12 });
        rig.down(&Down::ListConfirm { version: 11 });
    }
    assert_eq!(rig.chip.written() - before, 3 * 28);
    let late = Boot {
        rtc_unix_ms: Some(UNIX_MS + 3 * DAY_MS + 60_000),
        ..POWER_ON
    };
    rig.restart(late);
    assert_eq!(rig.health().list_age_h, 24);
}

#[test]
fn a_clock_chip_that_ran_away_neither_keeps_a_list_young_nor_the_right_time_out() {
    let away = Boot {
        rtc_unix_ms: Some(UNIX_MS + 5 * 366 * DAY_MS),
        ..POWER_ON
    };
    let mut rig = Rig::on(Rig::new().chip, away);
    assert_eq!(
        rig.health().clock,
        ClockState::Rtc,
        "nothing speaks against it yet"
    );
    rig.send_list(&head(12, 20));
    rig.down(&Down::ListConfirm { version: 12 });
    rig.run(1_000);
    rig.restart(Boot {
        rtc_unix_ms: Some(UNIX_MS + 20 * DAY_MS),
        ..POWER_ON
    });
    assert_eq!(rig.health().clock, ClockState::Rtc);
    assert_eq!(rig.health().list_age_h, 20 * 24);
}

#[test]
fn a_lower_time_of_the_controller_replaces_a_wrong_one() {
    let mut rig = Rig::new();
    rig.unix_ms = UNIX_MS + 1_000 * DAY_MS;
    rig.down(&Down::SetTime);
    rig.send_list(&head(12, 20));
    rig.down(&Down::ListConfirm { version: 12 });
    rig.unix_ms = UNIX_MS;
    rig.down(&Down::ListConfirm { version: 12 });
    rig.restart(Boot {
        rtc_unix_ms: Some(UNIX_MS + DAY_MS),
        ..POWER_ON
    });
    assert_eq!(rig.health().clock, ClockState::Rtc);
    assert_eq!(rig.health().list_age_h, 24);
}

#[test]
fn entries_without_a_beginning_are_answered_with_nothing_there() {
    let mut rig = Rig::new();
    rig.down(&Down::ListEntries {
        version: 5,
        at: 32,
        entries: Entries::new(),
    });
    let said = rig.telemetry();
    let nothing = Up::Transfer {
        what: TransferKind::List,
        version: 0,
        have: 0,
    };
    assert!(said.contains(&nothing), "{said:?}");
}

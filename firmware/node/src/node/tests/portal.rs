//! Cards, keypad, door contacts and the reader, decided by the list that the node was given.

use super::*;
use crate::keypad::Key;
use shared::access::{Decision, Denial, card_id, flag};
use shared::mount::PortalInput;
use shared::provision::{CardKinds, PortalConfig};
use shared::wire::{CredentialKind, DoorEvent, OpenedBy, ReaderProblem, ReaderState};

const CARD_KEY: [u8; 32] = [3; 32];
const STRIKE_MS: u64 = 5_000;
/// 2026-11-18 11:13 UTC, a Wednesday evening in Japan.
const TODAY: u16 = 20_775;

const WORKER: [u8; 4] = [1, 2, 3, 4];
const EXPIRED: [u8; 4] = [2, 2, 3, 4];
const NIGHT_SHIFT: [u8; 4] = [3, 2, 3, 4];
const WITH_PIN: [u8; 7] = [4, 2, 3, 4, 5, 6, 7];
const STRANGER: [u8; 4] = [9, 9, 9, 9];

fn block(keypad: bool) -> Provision {
    let portal = PortalConfig {
        keypad,
        cards: CardKinds::Both,
        strike_ms: STRIKE_MS as u16,
        held_open_s: 30,
        warn_s: 5,
    };
    Provision {
        portal: Some(portal),
        card_key: CARD_KEY,
        ..ours()
    }
    .with_mounts(&[
        Mount::new(Part::Contact, 0, 0).with_portal(PortalInput::Door),
        Mount::new(Part::Contact, 1, 0).with_portal(PortalInput::RequestToExit),
        Mount::new(Part::Tmp105, 0x48, 0),
        Mount::new(Part::LeakRope, 0x4e, 0).with_portal(PortalInput::Tamper),
    ])
}

fn id(uid: &[u8], pin: Option<&[u8]>) -> [u8; 8] {
    card_id(&CARD_KEY, CredentialKind::TypeA, uid, pin)
}

/// A door that is closed, with a list of four cards, told the time.
fn guarded(keypad: bool, unset_clock: UnsetClock) -> Rig {
    let mut chip = Chip::blank();
    chip.write(BLOCK_AT[0], &block(keypad).encode()).unwrap();
    let mut rig = Rig::on(chip, POWER_ON);
    let whole = Entry {
        id: id(&WORKER, None),
        from: 0,
        to: 144,
        days: 0xff,
        flags: 0,
        valid_from: 0,
        valid_until: TODAY + 30,
    };
    let mut entries = [
        whole,
        Entry {
            id: id(&EXPIRED, None),
            valid_until: TODAY - 1,
            ..whole
        },
        Entry {
            id: id(&NIGHT_SHIFT, None),
            from: 132,
            to: 36,
            ..whole
        },
        Entry {
            id: id(&WITH_PIN, None),
            flags: flag::PIN_REQUIRED,
            ..whole
        },
        Entry {
            id: id(&WITH_PIN, Some(b"4711")),
            flags: flag::WITH_PIN,
            ..whole
        },
    ];
    entries.sort_by_key(|entry| entry.id);
    let head = ListHead {
        version: 12,
        count: 5,
        utc_offset_min: 540,
        unset_clock,
        stale_after_days: 14,
        holidays: heapless::Vec::new(),
    };
    let mut digest = Digest::new(&head);
    entries.iter().for_each(|entry| digest.push(&entry.encode()));
    rig.down(&Down::ListBegin(head));
    rig.down(&Down::ListEntries {
        version: 12,
        at: 0,
        entries: entries.iter().map(Entry::encode).collect(),
    });
    rig.down(&Down::ListCommit {
        version: 12,
        digest: digest.finish(),
    });
    rig.run(10);
    rig.level(0, false);
    rig.level(1, false);
    rig.node.line(3, Ok(LineState::Normal), rig.now_ms);
    assert_eq!(rig.doors(), [DoorEvent::Closed]);
    rig
}

fn open_for_business() -> Rig {
    let mut rig = guarded(false, UnsetClock::Deny);
    rig.down(&Down::SetTime);
    rig
}

impl Rig {
    fn level(&mut self, channel: usize, open: bool) {
        self.node.contact(channel, open, self.now_ms);
        self.now_ms += 5;
        self.node.contact(channel, open, self.now_ms);
    }

    fn card(&mut self, uid: &[u8]) -> Decision {
        self.node.card(CredentialKind::TypeA, uid, self.now_ms);
        let said = self.bodies();
        let decision = said.iter().find_map(|body| match body {
            Up::Credential {
                reader: 0,
                kind: CredentialKind::TypeA,
                id: told,
                decision,
                list: 12,
            } if *told == id(uid, None) => Some(*decision),
            _ => None,
        });
        decision.expect("every card is an event with its id and the list that decided")
    }

    fn dial(&mut self, digits: &str) -> Option<Decision> {
        for digit in digits.bytes() {
            self.node.key(Key::Digit(digit - b'0'), self.now_ms);
        }
        self.node.key(Key::Enter, self.now_ms);
        self.bodies().iter().find_map(|body| match body {
            Up::Credential {
                id: told, decision, ..
            } => {
                assert_eq!(*told, id(&WITH_PIN, None), "whose PIN it was");
                Some(*decision)
            }
            _ => None,
        })
    }

    fn doors(&mut self) -> Vec<DoorEvent> {
        let said = self.bodies();
        let doors = said.iter().filter_map(|body| match body {
            Up::Door { portal: 0, event } => Some(*event),
            _ => None,
        });
        doors.collect()
    }

    fn strike(&self) -> bool {
        self.node.outputs().strike
    }
}

const fn denied(why: Denial) -> Decision {
    Decision::Denied(why)
}

#[test]
fn a_known_card_opens_and_the_passage_is_recorded() {
    let mut rig = open_for_business();
    assert_eq!(rig.card(&WORKER), Decision::Granted);
    assert!(rig.strike() && rig.node.outputs().granted_led);
    rig.now_ms += 1_000;
    rig.level(0, true);
    assert_eq!(rig.doors(), [DoorEvent::Opened(OpenedBy::Grant)]);
    rig.now_ms += 2_000;
    rig.level(0, false);
    assert_eq!(rig.doors(), [DoorEvent::Closed]);
    assert!(!rig.strike(), "it is locked again behind him");
}

#[test]
fn unknown_expired_and_out_of_hours_are_denied_with_their_reason() {
    let mut rig = open_for_business();
    for (uid, why) in [
        (&STRANGER, Denial::Unknown),
        (&EXPIRED, Denial::Expired),
        (&NIGHT_SHIFT, Denial::OutsideHours),
    ] {
        assert_eq!(rig.card(uid), denied(why));
        assert!(!rig.strike() && rig.node.outputs().denied_led);
    }
}

#[test]
fn the_strike_falls_at_its_time_without_any_connection() {
    let mut rig = open_for_business();
    rig.card(&WORKER);
    let begun = rig.now_ms;
    while rig.strike() {
        assert!(rig.now_ms <= begun + STRIKE_MS);
        rig.now_ms = rig.node.next_deadline().max(rig.now_ms + 1);
        rig.node.tick(rig.now_ms);
        rig.telemetry();
    }
    assert_eq!(rig.now_ms, begun + STRIKE_MS);
    rig.run(2_000);
    assert_eq!(rig.doors(), [DoorEvent::Unused]);
}

#[test]
fn an_opening_without_a_grant_is_forced_unless_somebody_asked_to_leave() {
    let mut rig = open_for_business();
    rig.level(0, true);
    rig.run(1_000);
    assert_eq!(rig.doors(), [DoorEvent::Forced]);
    rig.level(0, false);
    rig.level(1, true);
    rig.level(1, false);
    rig.level(0, true);
    rig.run(1_000);
    let expected = [
        DoorEvent::Closed,
        DoorEvent::RequestToExit,
        DoorEvent::Opened(OpenedBy::RequestToExit),
    ];
    assert_eq!(rig.doors(), expected);
    rig.down(&Down::Ack { upto: u32::MAX });
    rig.run(60_000);
    assert_eq!(rig.doors(), [DoorEvent::HeldOpen]);
}

#[test]
fn without_the_time_the_list_says_who_may_enter() {
    let mut rig = guarded(false, UnsetClock::Deny);
    assert_eq!(rig.card(&WORKER), denied(Denial::ClockUnset));
    let mut rig = guarded(false, UnsetClock::AllowAndFlag);
    assert_eq!(rig.card(&WORKER), Decision::GrantedUnproven);
    assert!(rig.strike());
    assert_eq!(rig.card(&STRANGER), denied(Denial::Unknown));
}

#[test]
fn without_a_list_nobody_enters_by_card() {
    let mut chip = Chip::blank();
    chip.write(BLOCK_AT[0], &block(false).encode()).unwrap();
    let mut rig = Rig::on(chip, POWER_ON);
    rig.down(&Down::SetTime);
    rig.node.card(CredentialKind::TypeA, &WORKER, 0);
    let none = Up::Credential {
        reader: 0,
        kind: CredentialKind::TypeA,
        id: id(&WORKER, None),
        decision: denied(Denial::NoList),
        list: 0,
    };
    assert_eq!(rig.bodies().last(), Some(&none));
}

#[test]
fn a_list_out_of_reach_lets_nobody_in_and_the_next_attempt_finds_it() {
    let mut rig = open_for_business();
    rig.chip.freeze(true);
    assert_eq!(rig.card(&WORKER), denied(Denial::NoList));
    rig.chip.freeze(false);
    assert_eq!(rig.card(&WORKER), Decision::Granted);
}

#[test]
fn decisions_go_on_after_a_restart_without_a_controller() {
    let mut rig = open_for_business();
    rig.acknowledge();
    let start = Boot {
        rtc_unix_ms: Some(UNIX_MS + 60_000),
        ..POWER_ON
    };
    rig.restart(start);
    assert_eq!(rig.card(&WORKER), Decision::Granted);
    assert_eq!(rig.card(&EXPIRED), denied(Denial::Expired));
}

#[test]
fn a_card_that_wants_a_pin_opens_with_it_and_the_third_wrong_one_locks() {
    let mut rig = guarded(true, UnsetClock::Deny);
    rig.down(&Down::SetTime);
    assert_eq!(rig.card(&WITH_PIN), denied(Denial::PinRequired));
    assert!(!rig.strike());
    assert_eq!(rig.dial("4711"), Some(Decision::Granted));
    assert!(rig.strike());
    rig.run(STRIKE_MS + 2_000);
    for expected in [Denial::PinWrong, Denial::PinWrong, Denial::LockedOut] {
        assert_eq!(rig.card(&WITH_PIN), denied(Denial::PinRequired));
        assert_eq!(rig.dial("0815"), Some(denied(expected)));
    }
    assert_eq!(rig.card(&WITH_PIN), denied(Denial::LockedOut));
    assert_eq!(
        rig.card(&WORKER),
        Decision::Granted,
        "nobody can lock the others out"
    );
    // Keys without a card do nothing.
    assert_eq!(rig.dial("4711"), None);
}

#[test]
fn a_reader_fault_is_told_once_and_so_is_its_end() {
    let mut rig = open_for_business();
    rig.bodies();
    for state in [
        ReaderState::Fault(ReaderProblem::Mute),
        ReaderState::Fault(ReaderProblem::Mute),
        ReaderState::Well,
    ] {
        rig.node.reader(state, rig.now_ms);
    }
    let told = |state| Up::Reader { reader: 0, state };
    let expected = [
        told(ReaderState::Fault(ReaderProblem::Mute)),
        told(ReaderState::Well),
    ];
    assert_eq!(rig.bodies(), expected);
}

#[test]
fn a_cut_tamper_line_is_tamper() {
    let mut rig = open_for_business();
    rig.node.line(3, Ok(LineState::Cut), rig.now_ms);
    assert_eq!(rig.doors(), [DoorEvent::Tamper(true)]);
    rig.node.line(3, Ok(LineState::Normal), rig.now_ms);
    assert_eq!(rig.doors(), [DoorEvent::Tamper(false)]);
}

#[test]
fn a_door_found_open_is_told_as_that() {
    let mut rig = open_for_business();
    rig.doors();
    rig.down(&Down::Ack { upto: u32::MAX });
    rig.node.outbox.forget(&mut rig.chip, rig.now_ms);
    rig.restart(POWER_ON);
    rig.level(0, true);
    assert_eq!(rig.doors(), [DoorEvent::FoundOpen]);
}

#[test]
fn in_safe_mode_and_while_erased_every_output_is_off() {
    let mut rig = open_for_business();
    rig.card(&WORKER);
    assert!(rig.strike());
    rig.down(&Down::Erase);
    assert_eq!(rig.node.outputs(), Default::default());
    rig.node.card(CredentialKind::TypeA, &WORKER, rig.now_ms);
    assert_eq!(rig.node.outputs(), Default::default());
}

#[test]
fn numbers_that_no_card_has_are_ignored() {
    let mut rig = open_for_business();
    rig.bodies();
    rig.node.card(CredentialKind::TypeA, &[], rig.now_ms);
    rig.node.card(CredentialKind::TypeA, &[1; 11], rig.now_ms);
    assert_eq!(rig.bodies(), []);
}

#[test]
fn a_chattering_door_contact_does_not_fill_the_ring_with_openings() {
    let mut rig = open_for_business();
    for edge in 0..2_000 {
        rig.now_ms += 50;
        rig.level(0, edge % 2 == 0);
        rig.node.tick(rig.now_ms);
    }
    let said = rig.bodies();
    assert!(said.len() <= 70, "{} events", said.len());
    assert_eq!(rig.card(&WORKER), Decision::Granted);
    // It rests, closed: the door is what the contact says.
    rig.level(0, false);
    rig.bodies();
    rig.now_ms += crate::contact::CHATTER_REST_MS + 10_000;
    rig.node.contact(0, false, rig.now_ms);
    let said = rig.bodies();
    assert!(
        said.iter()
            .any(|body| matches!(body, Up::Rested { open: false, .. })),
        "{said:?}"
    );
}

//! What a facilities person expects of a door.

use super::*;
use std::vec::Vec as List;

/// A door at rest in the morning: strike five seconds, held open after thirty, a warning ten before.
struct Morning {
    door: Door,
    now: u64,
    said: List<(u64, DoorEvent)>,
}

const CONFIG: PortalConfig = PortalConfig {
    keypad: true,
    cards: shared::provision::CardKinds::Both,
    strike_ms: 5_000,
    held_open_s: 30,
    warn_s: 10,
};

impl Morning {
    fn before_start() -> Self {
        Self {
            door: Door::new(CONFIG),
            now: 0,
            said: List::new(),
        }
    }

    fn new() -> Self {
        let mut morning = Self::before_start();
        for input in [
            PortalInput::Door,
            PortalInput::RequestToExit,
            PortalInput::Bolt,
            PortalInput::KeyOverride,
            PortalInput::Tamper,
        ] {
            morning.contact(input, Level::Normal);
        }
        assert_eq!(morning.said(), [DoorEvent::Closed]);
        morning
    }

    fn feed(&mut self, input: Input) {
        let now = self.now;
        self.said
            .extend(self.door.feed(input, now).into_iter().map(|event| (now, event)));
    }

    fn contact(&mut self, input: PortalInput, level: Level) {
        self.feed(Input::Contact(input, level));
    }

    fn opens(&mut self) {
        self.contact(PortalInput::Door, Level::Active);
    }

    fn closes(&mut self) {
        self.contact(PortalInput::Door, Level::Normal);
    }

    fn exit_button(&mut self) {
        self.contact(PortalInput::RequestToExit, Level::Active);
        self.wait(300);
        self.contact(PortalInput::RequestToExit, Level::Normal);
    }

    /// Milliseconds pass; the board comes back as asked.
    fn wait(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(at) = self.door.next_ms().filter(|at| *at <= end) {
            self.now = at;
            self.feed(Input::Tick);
        }
        self.now = end;
        self.feed(Input::Tick);
    }

    /// Waits, and returns for how many milliseconds of it `of` was true.
    fn measure(&mut self, ms: u64, of: fn(Outputs) -> bool) -> u64 {
        (0..ms)
            .filter(|_| {
                self.wait(1);
                of(self.door.outputs())
            })
            .count() as u64
    }

    fn said(&mut self) -> List<DoorEvent> {
        self.said.drain(..).map(|(_, event)| event).collect()
    }
}

use DoorEvent::{
    Closed, Forced, FoundOpen, HeldOpen, KeyOverride, Opened, RequestToExit, Tamper, Unlocked, Unused,
};

#[test]
fn a_known_card_opens_the_door_and_the_strike_falls_when_it_is_closed_again() {
    let mut door = Morning::new();
    door.feed(Input::Granted);
    assert!(door.door.outputs().strike && door.door.outputs().granted_led && door.door.outputs().buzzer);
    door.wait(1_500);
    door.opens();
    assert!(
        door.door.outputs().strike,
        "the latch may still rest on the strike"
    );
    door.wait(1_000);
    door.closes();
    assert_eq!(door.door.outputs(), Outputs::default());
    assert_eq!(door.said(), [Opened(OpenedBy::Grant), Closed]);
    // The rest of the five seconds is no invitation.
    door.wait(500);
    door.opens();
    door.wait(1_000);
    assert_eq!(door.said(), [Forced]);
}

#[test]
fn a_grant_that_nobody_uses_ends_and_is_recorded() {
    let mut door = Morning::new();
    door.feed(Input::Granted);
    assert_eq!(door.measure(20_000, |outputs| outputs.strike), 4_999);
    assert_eq!(door.said, [(6_000, Unused)]);
}

#[test]
fn a_door_that_was_drawn_in_the_last_moment_is_not_forced() {
    let mut door = Morning::new();
    door.feed(Input::Granted);
    door.wait(5_400);
    assert!(!door.door.outputs().strike);
    door.opens();
    door.wait(2_000);
    door.closes();
    assert_eq!(door.said(), [Opened(OpenedBy::Grant), Closed]);
}

#[test]
fn a_denied_card_is_told_apart_by_ear_and_opens_nothing() {
    let mut door = Morning::new();
    door.feed(Input::Denied(Denial::Unknown));
    assert!(door.door.outputs().denied_led && !door.door.outputs().strike);
    assert_eq!(
        door.measure(3_000, |outputs| outputs.buzzer),
        299,
        "three times 100 ms"
    );
    assert_eq!(door.door.outputs(), Outputs::default());
    door.feed(Input::Denied(Denial::LockedOut));
    assert_eq!(door.measure(5_000, |outputs| outputs.buzzer), 999, "one second");
    door.feed(Input::Denied(Denial::PinRequired));
    assert!(!door.door.outputs().denied_led);
    assert_eq!(
        door.measure(5_000, |outputs| outputs.granted_led),
        1_499,
        "it asks for the PIN"
    );
    assert_eq!(door.said(), []);
}

#[test]
fn a_second_card_on_the_ring_does_not_take_back_a_grant() {
    let mut door = Morning::new();
    door.feed(Input::Granted);
    door.wait(60);
    door.feed(Input::Denied(Denial::Unknown));
    assert!(door.door.outputs().strike && !door.door.outputs().denied_led);
}

#[test]
fn a_door_opened_without_anything_is_forced_sounds_and_ends_with_closed() {
    let mut door = Morning::new();
    door.opens();
    door.wait(2_000);
    assert_eq!(door.said, [(250, Forced)]);
    assert!(door.measure(10_000, |outputs| outputs.buzzer) >= 4_900);
    door.closes();
    assert_eq!(door.said(), [Forced, Closed]);
    assert_eq!(door.door.outputs(), Outputs::default());
}

#[test]
fn a_door_forced_for_the_blink_of_an_eye_is_forced() {
    let mut door = Morning::new();
    door.opens();
    door.wait(40);
    door.closes();
    assert_eq!(door.said(), [Forced, Closed]);
}

#[test]
fn a_forced_door_does_not_sound_all_night() {
    let mut door = Morning::new();
    door.opens();
    door.wait(SOUND_MS + 1_000);
    assert_eq!(
        (door.door.outputs(), door.door.next_ms()),
        (Outputs::default(), None)
    );
    assert_eq!(door.said(), [Forced]);
}

#[test]
fn a_card_after_a_break_in_does_not_excuse_it() {
    let mut door = Morning::new();
    door.opens();
    door.wait(100);
    door.feed(Input::Granted);
    door.wait(1_000);
    assert_eq!(door.said(), [Forced]);
}

#[test]
fn a_door_left_open_warns_then_is_held_open_then_closed() {
    let mut door = Morning::new();
    door.feed(Input::Granted);
    door.wait(1_000);
    door.opens();
    door.wait(19_000);
    assert!(!door.door.outputs().buzzer);
    assert!(
        (900..=1_100).contains(&door.measure(10_000, |outputs| outputs.buzzer)),
        "short warnings"
    );
    assert_eq!(door.said(), [Opened(OpenedBy::Grant)]);
    door.wait(2_000);
    assert_eq!(door.said, [(31_000, HeldOpen)]);
    door.wait(60_000);
    door.closes();
    assert_eq!(door.said(), [HeldOpen, Closed]);
}

#[test]
fn somebody_who_carries_things_in_shows_the_card_again_and_has_time_again() {
    let mut door = Morning::new();
    door.feed(Input::Granted);
    door.wait(1_000);
    door.opens();
    for _ in 0..4 {
        door.wait(25_000);
        door.feed(Input::Granted);
    }
    door.wait(20_000);
    door.closes();
    assert_eq!(door.said(), [Opened(OpenedBy::Grant), Closed]);
}

#[test]
fn whoever_leaves_by_the_exit_button_is_recorded_and_makes_no_alarm() {
    let mut door = Morning::new();
    door.exit_button();
    assert!(!door.door.outputs().strike, "egress is hardware, not ours");
    door.wait(2_000);
    door.opens();
    door.wait(3_000);
    door.closes();
    assert_eq!(
        door.said(),
        [RequestToExit, Opened(OpenedBy::RequestToExit), Closed]
    );
    // One request, one opening.
    door.wait(1_000);
    door.opens();
    door.wait(300);
    assert_eq!(door.said(), [Forced]);
}

#[test]
fn a_panic_bar_whose_contact_is_slower_than_the_door_is_no_alarm() {
    let mut door = Morning::new();
    door.opens();
    door.wait(120);
    door.exit_button();
    door.wait(2_000);
    door.closes();
    assert_eq!(
        door.said(),
        [RequestToExit, Opened(OpenedBy::RequestToExit), Closed]
    );
}

#[test]
fn an_exit_request_that_was_long_ago_allows_nothing() {
    let mut door = Morning::new();
    door.exit_button();
    door.wait(EXIT_MS);
    door.opens();
    door.wait(300);
    assert_eq!(door.said(), [RequestToExit, Forced]);
}

#[test]
fn a_jammed_exit_button_does_not_hide_break_ins() {
    let mut door = Morning::new();
    door.contact(PortalInput::RequestToExit, Level::Active);
    door.wait(3_600_000);
    door.opens();
    door.wait(300);
    assert_eq!(door.said(), [RequestToExit, Forced]);
}

#[test]
fn a_motion_sensor_at_the_exit_makes_one_event_a_visit() {
    let mut door = Morning::new();
    for _ in 0..30 {
        door.exit_button();
        door.wait(1_000);
    }
    assert_eq!(door.said(), [RequestToExit]);
}

#[test]
fn a_cut_exit_line_is_no_request() {
    let mut door = Morning::new();
    door.contact(PortalInput::RequestToExit, Level::Unknown);
    door.wait(100);
    door.opens();
    door.wait(300);
    assert_eq!(door.said(), [Forced]);
}

#[test]
fn the_key_cylinder_opens_without_alarm_and_is_recorded() {
    let mut door = Morning::new();
    door.contact(PortalInput::KeyOverride, Level::Active);
    door.wait(1_000);
    door.opens();
    door.wait(500);
    door.contact(PortalInput::KeyOverride, Level::Normal);
    door.wait(3_000);
    door.closes();
    let by_key = Opened(OpenedBy::KeyOverride);
    assert_eq!(
        door.said(),
        [KeyOverride(true), by_key, KeyOverride(false), Closed]
    );
    door.wait(KEY_MS);
    door.opens();
    door.wait(300);
    assert_eq!(door.said(), [Forced]);
}

#[test]
fn an_open_enclosure_is_tamper_until_it_is_closed_and_a_cut_tamper_line_is_too() {
    let mut door = Morning::new();
    door.contact(PortalInput::Tamper, Level::Active);
    door.contact(PortalInput::Tamper, Level::Unknown);
    door.wait(86_400_000);
    door.contact(PortalInput::Tamper, Level::Normal);
    assert_eq!(door.said(), [Tamper(true), Tamper(false)]);
    door.contact(PortalInput::Tamper, Level::Unknown);
    assert_eq!(door.said(), [Tamper(true)]);
}

#[test]
fn a_cut_door_line_is_not_a_closed_door() {
    let mut door = Morning::new();
    door.contact(PortalInput::Door, Level::Unknown);
    door.wait(1_000);
    assert_eq!(door.said(), [Forced]);
    // People can still enter, and mending it ends the alarm.
    door.feed(Input::Granted);
    assert!(door.door.outputs().strike);
    door.wait(60_000);
    door.closes();
    assert_eq!(door.said(), [Closed]);
}

#[test]
fn a_door_line_cut_while_the_door_is_open_is_held_open_in_time() {
    let mut door = Morning::new();
    door.feed(Input::Granted);
    door.opens();
    door.contact(PortalInput::Door, Level::Unknown);
    door.wait(31_000);
    assert_eq!(door.said(), [Opened(OpenedBy::Grant), HeldOpen]);
}

#[test]
fn a_bolt_that_is_not_thrown_behind_a_closed_door_is_said_and_ends() {
    let mut door = Morning::new();
    door.feed(Input::Granted);
    door.wait(500);
    door.contact(PortalInput::Bolt, Level::Active);
    door.opens();
    door.wait(10_000);
    door.closes();
    assert_eq!(door.said(), [Opened(OpenedBy::Grant), Closed]);
    door.wait(BOLT_MS - 1);
    assert_eq!(door.said(), []);
    door.wait(1);
    assert_eq!(door.said(), [Unlocked(true)]);
    door.wait(1_000);
    door.contact(PortalInput::Bolt, Level::Normal);
    assert_eq!(door.said(), [Unlocked(false)]);
}

#[test]
fn a_motor_lock_that_takes_three_seconds_is_no_alarm() {
    let mut door = Morning::new();
    door.feed(Input::Granted);
    door.contact(PortalInput::Bolt, Level::Active);
    door.wait(8_000);
    door.contact(PortalInput::Bolt, Level::Normal);
    door.wait(60_000);
    assert_eq!(door.said(), [Unused]);
}

#[test]
fn a_door_found_open_at_start_is_not_forced_but_held_open_after_its_time() {
    let mut door = Morning::before_start();
    door.opens();
    door.wait(31_000);
    door.closes();
    assert_eq!(door.said(), [FoundOpen, HeldOpen, Closed]);
}

#[test]
fn after_a_power_cut_during_a_grant_the_strike_is_off() {
    let mut door = Morning::new();
    door.feed(Input::Granted);
    door.wait(1_000);
    assert!(door.door.outputs().strike);
    let mut door = Morning::before_start();
    assert_eq!(door.door.outputs(), Outputs::default());
    door.opens();
    assert_eq!(door.said(), [FoundOpen]);
}

#[test]
fn an_exit_button_found_pressed_at_start_allows_nothing() {
    let mut door = Morning::before_start();
    door.closes();
    door.contact(PortalInput::RequestToExit, Level::Active);
    door.opens();
    door.wait(300);
    assert_eq!(door.said(), [Closed, Forced]);
}

#[test]
fn a_door_without_contact_opens_for_cards_and_claims_nothing() {
    let mut door = Morning::before_start();
    door.feed(Input::Granted);
    assert!(door.door.outputs().strike);
    door.wait(60_000);
    assert_eq!(door.said(), []);
    assert_eq!(door.door.outputs(), Outputs::default());
}

#[test]
fn a_door_whose_site_watches_no_time_is_never_held_open() {
    let mut door = Morning::new();
    door.door = Door::new(PortalConfig {
        held_open_s: 0,
        ..CONFIG
    });
    door.closes();
    door.feed(Input::Granted);
    door.opens();
    door.wait(86_400_000);
    assert_eq!(door.said(), [Closed, Opened(OpenedBy::Grant)]);
    assert_eq!(door.door.next_ms(), None);
}

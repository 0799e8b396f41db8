//! Every order of events, up to a length: a second opinion that knows the rules, but not how the
//! door keeps them, follows along and objects.

use super::*;
use std::vec::Vec as List;

const STRIKE: u64 = 3_000;
const HELD: u64 = 20_000;

const CONFIG: PortalConfig = PortalConfig {
    keypad: false,
    cards: shared::provision::CardKinds::Both,
    strike_ms: STRIKE as u16,
    held_open_s: (HELD / 1_000) as u16,
    warn_s: 5,
};

#[derive(Debug, Clone, Copy)]
enum Move {
    Do(Input),
    Wait(u64),
}

const fn contact(input: PortalInput, level: Level) -> Move {
    Move::Do(Input::Contact(input, level))
}

const DOOR_SHUT: Move = contact(PortalInput::Door, Level::Normal);
const DOOR_OPEN: Move = contact(PortalInput::Door, Level::Active);
const DOOR_CUT: Move = contact(PortalInput::Door, Level::Unknown);
const EXIT_PRESS: Move = contact(PortalInput::RequestToExit, Level::Active);
const EXIT_LEFT: Move = contact(PortalInput::RequestToExit, Level::Normal);
const KEY_TURN: Move = contact(PortalInput::KeyOverride, Level::Active);
const KEY_BACK: Move = contact(PortalInput::KeyOverride, Level::Normal);
const KEY_CUT: Move = contact(PortalInput::KeyOverride, Level::Unknown);
const BOLT_OUT: Move = contact(PortalInput::Bolt, Level::Normal);
const BOLT_IN: Move = contact(PortalInput::Bolt, Level::Active);
const GRANT: Move = Move::Do(Input::Granted);
const DENY: Move = Move::Do(Input::Denied(Denial::Unknown));

/// Everything that can happen.
const EVERYTHING: [Move; 18] = [
    DOOR_SHUT,
    DOOR_OPEN,
    DOOR_CUT,
    EXIT_PRESS,
    EXIT_LEFT,
    KEY_TURN,
    KEY_BACK,
    KEY_CUT,
    BOLT_OUT,
    BOLT_IN,
    contact(PortalInput::Tamper, Level::Active),
    contact(PortalInput::Tamper, Level::Normal),
    GRANT,
    DENY,
    Move::Wait(100),
    Move::Wait(2_000),
    Move::Wait(6_000),
    Move::Wait(30_000),
];

/// What makes most of the trouble, for longer walks.
const TROUBLE: [Move; 8] = [
    DOOR_SHUT,
    DOOR_OPEN,
    EXIT_PRESS,
    EXIT_LEFT,
    GRANT,
    Move::Wait(100),
    Move::Wait(3_500),
    Move::Wait(21_000),
];

/// What was said about the door last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Closed,
    Open,
    Held,
    Forced,
}

/// The second opinion.
#[derive(Debug, Clone, Copy)]
struct Opinion {
    now: u64,
    /// `None`: no level yet.
    open: Option<bool>,
    said: Said,
    /// When the door was opened, and whether anything allowed it then.
    opened_at: u64,
    allowed: bool,
    /// Since when the time until held open runs.
    held_from: u64,
    granted_at: Option<u64>,
    /// The grant opened the door, or met an open one.
    grant_met: bool,
    strike_until: u64,
    exit_level: Option<bool>,
    exit_at: Option<u64>,
    key: bool,
    key_until: u64,
    tamper: bool,
    bolt: Option<bool>,
    unlocked: bool,
}

impl Opinion {
    const fn new(now: u64) -> Self {
        Self {
            now,
            open: None,
            said: Said::Nothing,
            opened_at: 0,
            allowed: false,
            held_from: 0,
            granted_at: None,
            grant_met: false,
            strike_until: 0,
            exit_level: None,
            exit_at: None,
            key: false,
            key_until: 0,
            tamper: false,
            bolt: None,
            unlocked: false,
        }
    }

    fn grant_allows(&self) -> bool {
        self.granted_at
            .is_some_and(|at| self.now < at + STRIKE + GRACE_MS)
            && !self.grant_met
    }

    fn exit_allows(&self) -> bool {
        self.exit_at.is_some_and(|at| self.now < at + EXIT_MS)
    }

    fn key_allows(&self) -> bool {
        self.key || self.now < self.key_until
    }

    /// Takes what happened and what was said to it.
    fn judge(&mut self, input: Input, now: u64, events: &Events, door: &Door) {
        self.now = now;
        let was_open = self.open;
        let mut press = false;
        match input {
            Input::Contact(PortalInput::Door, level) => self.open = Some(level != Level::Normal),
            Input::Contact(PortalInput::RequestToExit, level) => {
                press = level == Level::Active && self.exit_level == Some(false);
                self.exit_level = Some(level == Level::Active);
            }
            Input::Contact(PortalInput::Bolt, level) => self.bolt = Some(level == Level::Normal),
            _ => {}
        }
        if was_open.is_none() && self.granted_at.is_some_and(|at| now >= at + STRIKE + GRACE_MS) {
            // It ended while nobody could know whether the door was opened.
            self.granted_at = None;
        }
        let opening = was_open == Some(false) && self.open == Some(true);
        if opening {
            self.opened_at = now;
            self.allowed = self.grant_allows() || self.exit_allows() || self.key_allows();
        }
        for event in events {
            self.hear(*event, input, opening, press);
        }
        if press {
            self.exit_at = Some(now);
        }
        if press && self.said == Said::Open && events.contains(&DoorEvent::Opened(OpenedBy::RequestToExit)) {
            self.exit_at = None;
        }
        if input == Input::Granted {
            self.granted_at = Some(now);
            self.grant_met = self.open == Some(true);
            self.strike_until = now + STRIKE;
            if self.said == Said::Open {
                self.held_from = now;
            }
        }
        self.stands(door);
    }

    fn hear(&mut self, event: DoorEvent, input: Input, opening: bool, press: bool) {
        let fresh = opening || self.now >= self.opened_at && self.now < self.opened_at + EXPLAIN_MS;
        match event {
            DoorEvent::Closed => {
                assert_eq!(self.open, Some(false));
                assert_ne!(self.said, Said::Closed, "closed twice");
                if self.said != Said::Nothing && self.grant_met {
                    // It opened and closed: the strike falls early.
                    self.strike_until = 0;
                }
                self.said = Said::Closed;
            }
            DoorEvent::FoundOpen => {
                assert_eq!((self.said, self.open), (Said::Nothing, Some(true)));
                self.said = Said::Open;
                self.held_from = self.now;
                self.grant_met |= self.granted_at.is_some();
            }
            DoorEvent::Opened(by) => {
                assert_eq!((self.said, self.open), (Said::Closed, Some(true)));
                match by {
                    OpenedBy::Grant => {
                        assert!(opening && self.grant_allows());
                        self.grant_met = true;
                    }
                    OpenedBy::RequestToExit => {
                        assert!(opening && self.exit_allows() || fresh && press);
                        self.exit_at = None;
                    }
                    OpenedBy::KeyOverride => {
                        assert!(opening && self.key_allows() || fresh && self.key);
                    }
                }
                self.said = Said::Open;
                self.held_from = self.now;
            }
            DoorEvent::Forced => {
                assert_eq!(self.said, Said::Closed, "one opening is told once");
                assert!(!self.allowed, "something allowed it");
                self.said = Said::Forced;
            }
            DoorEvent::HeldOpen => {
                assert_eq!(self.said, Said::Open);
                assert!(self.now >= self.held_from + HELD);
                self.said = Said::Held;
            }
            DoorEvent::Unused => {
                assert!(!self.grant_met, "it was used");
                assert!(
                    self.granted_at
                        .is_some_and(|at| self.now >= at + STRIKE + GRACE_MS)
                );
                assert!(self.said != Said::Nothing);
                self.granted_at = None;
            }
            DoorEvent::RequestToExit => {
                assert!(press);
                assert!(!self.exit_allows(), "asked already");
            }
            DoorEvent::KeyOverride(turned) => {
                let Input::Contact(PortalInput::KeyOverride, level) = input else {
                    panic!("by itself");
                };
                assert_ne!(turned, self.key);
                self.key = turned;
                self.key_until = if level == Level::Normal {
                    self.now + KEY_MS
                } else {
                    0
                };
            }
            DoorEvent::Tamper(tamper) => {
                assert!(matches!(input, Input::Contact(PortalInput::Tamper, _)));
                assert_ne!(tamper, self.tamper);
                self.tamper = tamper;
            }
            DoorEvent::Unlocked(unlocked) => {
                assert_ne!(unlocked, self.unlocked);
                self.unlocked = unlocked;
                if unlocked {
                    assert_eq!((self.said, self.bolt), (Said::Closed, Some(false)));
                } else {
                    assert_eq!((self.open, self.bolt), (Some(false), Some(true)));
                }
            }
        }
    }

    /// What must be true between two inputs.
    fn stands(&self, door: &Door) {
        match self.open {
            None => assert_eq!(self.said, Said::Nothing),
            Some(false) => assert_eq!(self.said, Said::Closed),
            Some(true) if self.said == Said::Closed => {
                assert!(
                    !self.allowed && self.now < self.opened_at + EXPLAIN_MS,
                    "it opened, and nothing was said"
                );
            }
            Some(true) => assert_ne!(self.said, Said::Nothing),
        }
        if self.said == Said::Open {
            assert!(
                self.now < self.held_from + HELD,
                "held open, and nothing was said"
            );
        }
        let outputs = door.outputs();
        assert_eq!(outputs.strike, self.now < self.strike_until, "strike");
        assert!(door.next_ms().is_none_or(|at| at > self.now), "no busy loop");
    }
}

#[derive(Clone, Copy)]
struct Walker {
    door: Door,
    opinion: Opinion,
}

impl Walker {
    fn new() -> Self {
        Self {
            door: Door::new(CONFIG),
            opinion: Opinion::new(0),
        }
    }

    fn feed(&mut self, input: Input, now: u64) {
        let events = self.door.feed(input, now);
        self.opinion.judge(input, now, &events, &self.door);
    }

    /// Time passes as on a board: it comes back when it was asked to.
    fn wait(&mut self, ms: u64) {
        let end = self.opinion.now + ms;
        while let Some(at) = self.door.next_ms().filter(|at| *at <= end) {
            self.feed(Input::Tick, at);
        }
        self.feed(Input::Tick, end);
    }

    fn step(&mut self, next: Move) {
        match next {
            Move::Do(input) => self.feed(input, self.opinion.now),
            Move::Wait(ms) => self.wait(ms),
        }
    }

    /// When nothing more happens, everything comes to rest.
    fn settle(mut self) {
        self.wait(2 * SOUND_MS);
        assert_eq!(self.door.next_ms(), None, "a timer that never ends");
        assert_eq!(
            self.door.outputs(),
            Outputs::default(),
            "an output that never rests"
        );
        match self.opinion.open {
            Some(true) => assert!(matches!(self.opinion.said, Said::Held | Said::Forced)),
            Some(false) => assert_eq!(self.opinion.said, Said::Closed),
            None => {}
        }
        if self.opinion.granted_at.is_some() && self.opinion.open.is_some() {
            assert!(self.opinion.grant_met, "a grant was neither used nor unused");
        }
    }
}

/// Walks every sequence of `moves` up to `depth`, settling at depth `settle`; returns how many.
fn walk(walker: Walker, moves: &[Move], path: &mut List<Move>, depth: usize, settle: usize) -> u64 {
    if path.len() == settle {
        walker.settle();
    }
    if path.len() == depth {
        return 1;
    }
    let mut count = 0;
    for &next in moves {
        path.push(next);
        let mut walker = walker;
        let trace = Trace(path);
        walker.step(next);
        core::mem::forget(trace);
        count += walk(walker, moves, path, depth, settle);
        path.pop();
    }
    count
}

/// Says which path failed.
struct Trace<'a>(&'a [Move]);

impl Drop for Trace<'_> {
    fn drop(&mut self) {
        std::eprintln!("after {:?}", self.0);
    }
}

fn from_start(moves: &[Move], depth: usize, settle: usize) -> u64 {
    walk(Walker::new(), moves, &mut List::new(), depth, settle)
}

/// The same from a door that is at rest: closed, bolt thrown, nobody at the exit.
fn from_rest(moves: &[Move], depth: usize, settle: usize) -> u64 {
    let mut walker = Walker::new();
    for next in [DOOR_SHUT, EXIT_LEFT, BOLT_OUT] {
        walker.step(next);
    }
    walk(walker, moves, &mut List::new(), depth, settle)
}

#[test]
fn every_order_of_five_things_keeps_the_rules() {
    assert_eq!(from_rest(&EVERYTHING, 5, 3), 18_u64.pow(5));
}

#[test]
fn every_order_of_four_things_after_start_keeps_the_rules() {
    assert_eq!(from_start(&EVERYTHING, 4, 3), 18_u64.pow(4));
}

#[test]
fn every_order_of_seven_troublesome_things_keeps_the_rules() {
    assert_eq!(from_rest(&TROUBLE, 7, 5), 8_u64.pow(7));
}

/// A node that was busy comes back late: nothing is forgotten, nothing is said twice.
#[test]
fn ticks_that_come_late_say_what_was_due_in_order() {
    let mut seed = 42_u64;
    let mut dice = move |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for _ in 0..20_000 {
        let mut prompt = Door::new(CONFIG);
        let mut late = Door::new(CONFIG);
        let (mut told, mut told_late) = (List::new(), List::new());
        let mut now = 0;
        for _ in 0..12 {
            match EVERYTHING[dice(EVERYTHING.len() as u64) as usize] {
                Move::Do(input) => {
                    told.extend(prompt.feed(input, now));
                    told_late.extend(late.feed(input, now));
                }
                Move::Wait(ms) => {
                    now += ms;
                    while let Some(at) = prompt.next_ms().filter(|at| *at <= now) {
                        told.extend(prompt.feed(Input::Tick, at));
                    }
                }
            }
        }
        told_late.extend(late.feed(Input::Tick, now));
        told.extend(prompt.feed(Input::Tick, now));
        assert_eq!(told, told_late);
        assert_eq!(prompt, late);
    }
}

#[test]
fn no_time_and_no_order_makes_it_panic() {
    let mut door = Door::new(CONFIG);
    for now in [u64::MAX, 0, 5, u64::MAX - 1, u64::MAX] {
        for next in EVERYTHING {
            if let Move::Do(input) = next {
                let _ = door.feed(input, now);
                let _ = (door.outputs(), door.next_ms());
            }
        }
    }
}

//! The portal: one door with its strike, its contacts and its local sounds and lamps.
//!
//! ```text
//!                        +------------ Closed ------------+--------------------+
//!                        |                                |                    |
//!   granted, asked to    |   Opened(by)                   |                    |
//!   exit or by key: -----+-> [open] -- held_open_s --> [held open]             |
//!   [closed] -- opens ---+                             HeldOpen                |
//!   nothing allows it: --+-> [unexplained] -- 250 ms --> [forced] Forced ------+
//!                             exit button or key: [open]
//!   [not heard] -- first level --> Closed, or FoundOpen and [open]
//! ```
//! A grant drives the strike for `strike_ms`, and shorter when the door has opened and closed
//! again. A door that is not opened until [`GRACE_MS`] after the strike fell is `Unused`.
//!
//! **Words.** *Granted*: a credential may enter. *Forced open*: the door opened though nothing
//! allowed it. *Held open*: it stands open for longer than it may; the buzzer warns `warn_s` before.
//! *Request to exit*: somebody inside asked to leave; it is recorded, and the next opening within
//! [`EXIT_MS`] is no break-in. *Key override*: the cylinder was turned; openings are allowed
//! while it is and for [`KEY_MS`] after. *Tamper*: reader or enclosure is open, until it is closed.
//! *Unlocked*: the door is closed but its bolt is not thrown, for [`BOLT_MS`], while nothing
//! explains it.
//!
//! **Leaving never depends on this firmware.** The way out must be opened by hand: a lever or panic
//! bar that retracts the latch mechanically, or, where an electric lock holds the door, an exit
//! button and a fire release that interrupt its supply in hardware (in Japan: order for enforcement
//! of the Building Standards Act, article 125-2). The exit contact that we see is a second
//! contact of that device. It drives nothing here: a node without power, in its boot loader or
//! hanging lets everybody out.
//!
//! **Power.** The strike must be of the fail-secure kind (locked without current) on the way in.
//! Every output is off until the node runs, so that a power cut during a grant ends it, and a
//! grant is never remembered over a restart.
//!
//! **What an installer should know.**
//! - A door contact whose line is cut or shorted is *unknown*, and unknown is never closed: it is
//!   an opening like any other, forced if nothing allowed it, and held open after its time.
//!   Cards still work then; the strike does not ask the contact.
//! - An exit contact counts when it is pressed, not while it is: a button that is jammed, or a cut
//!   line that looks like one, would otherwise allow every opening for ever. A press allows one
//!   opening. A motion sensor makes one event and is extended silently as long as it goes on.
//! - Contacts of door and exit device are raced by the door: an exit or key within
//!   [`EXPLAIN_MS`] after an opening still explains it.
//! - A grant while the door is open starts the time until held open anew (somebody carries things
//!   in) and is not unused.
//! - A door found open at start is `FoundOpen`: who opened it is not known, so it is not called
//!   forced, but it is held open after its time. What was said before a restart and is not said
//!   again after it no longer holds; the door's own state is always said.
//! - A contact that chatters must be given as unknown by whoever feeds it; its edges would be
//!   openings, each of them recorded.
//! - A closed door is not proof of who is inside. There is no anti-passback here.
//!
//! This file decides nothing about credentials ([`shared::access`] does), debounces nothing
//! ([`crate::contact`] does), has no clock and touches no pin.

use heapless::Vec;
use shared::access::Denial;
use shared::mount::PortalInput;
use shared::provision::PortalConfig;
use shared::wire::{DoorEvent, OpenedBy};

/// After the strike has fallen, an opening within this time is still the grant's: the latch was
/// drawn in time, the contact reports later. Milliseconds.
pub const GRACE_MS: u64 = 1_000;
/// How long a request to exit allows an opening, in milliseconds.
pub const EXIT_MS: u64 = 10_000;
/// How long an opening is allowed after the key was turned back, in milliseconds.
pub const KEY_MS: u64 = 10_000;
/// How long an opening may wait for what explains it, in milliseconds.
pub const EXPLAIN_MS: u64 = 250;
/// How long bolt and door may disagree, in milliseconds: a motor lock takes three seconds.
pub const BOLT_MS: u64 = 5_000;
/// Longest sound for a door that is forced or held open, in milliseconds. The alarm goes on at the
/// controller.
pub const SOUND_MS: u64 = 300_000;
/// Most events of one call: a late tick may bring four timers due, an input brings two.
pub const MAX_EVENTS: usize = 8;
/// Most timers that one call can find due.
const MAX_TIMERS: usize = 8;

const _: () = assert!(EXPLAIN_MS < GRACE_MS);

/// What a contact of the portal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Door closed, bolt thrown, nobody asks to leave, key and enclosure as they should be.
    Normal,
    /// Door open, bolt withdrawn, exit asked for, key turned, enclosure open.
    Active,
    /// The line is cut or shorted. A door is then not closed, a bolt not thrown, an enclosure not
    /// whole, and neither exit nor key allows anything.
    Unknown,
}

/// What happens to a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A debounced contact took this level, or has it at start.
    Contact(PortalInput, Level),
    /// A credential may enter.
    Granted,
    /// A credential may not enter, or not yet.
    Denied(Denial),
    /// Only time has passed.
    Tick,
}

/// What the portal's outputs are to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Drive the strike: the door can be opened from outside.
    pub strike: bool,
    /// Sound the buzzer.
    pub buzzer: bool,
    /// The lamp for granted.
    pub granted_led: bool,
    /// The lamp for denied.
    pub denied_led: bool,
}

/// Events in the order in which they are to be recorded.
pub type Events = Vec<DoorEvent, MAX_EVENTS>;

/// The door leaf, as far as the contact tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf {
    /// No level since start, or no contact mounted.
    Unheard,
    /// Closed.
    Closed,
    /// Opened, and nothing has allowed it so far.
    Unexplained { since: u64 },
    /// Open; the time until held open runs.
    Open { since: u64 },
    /// Open for too long.
    HeldOpen { since: u64 },
    /// Broken open.
    Forced { since: u64 },
}

/// A credential's grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    /// None, or used up.
    None,
    /// The strike is driven. `used`: the door has opened, or was open.
    Driving { until: u64, used: bool },
    /// The strike has fallen, the door has not opened yet.
    Grace { until: u64 },
}

/// The bolt contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bolt {
    /// Not mounted, or no level yet.
    Unheard,
    Thrown,
    Withdrawn,
}

/// A short answer to somebody at the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// One short sound. The lamp follows the strike.
    Granted,
    /// Two sounds, and the lamp for granted flashes: the PIN is wanted.
    PinWanted,
    /// Three sounds, and the lamp for denied. The same for every reason: whoever tries cards
    /// learns nothing from it.
    Denied,
    /// One long sound, and the lamp for denied.
    LockedOut,
}

/// On for `on` of every `period` milliseconds, from `since` until `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pulse {
    since: u64,
    until: u64,
    on: u64,
    period: u64,
}

impl Pulse {
    const fn level(&self, now: u64) -> bool {
        self.since <= now && now < self.until && (now - self.since) % self.period < self.on
    }

    /// The next change after `now`, at the latest its end.
    fn next(&self, now: u64) -> Option<u64> {
        if now >= self.until {
            return None;
        }
        if now < self.since {
            return Some(self.since);
        }
        let begun = now - (now - self.since) % self.period;
        let change = if now - begun < self.on {
            begun.saturating_add(self.on)
        } else {
            begun.saturating_add(self.period)
        };
        Some(change.min(self.until))
    }
}

impl Answer {
    /// How long it takes altogether.
    const fn ms(self) -> u64 {
        match self {
            Self::Granted => 200,
            Self::PinWanted => 3_000,
            Self::Denied => 1_500,
            Self::LockedOut => 3_000,
        }
    }

    const fn sound(self, since: u64) -> Pulse {
        let (on, period, count) = match self {
            Self::Granted => (150, 200, 1),
            Self::PinWanted => (60, 120, 2),
            Self::Denied => (100, 200, 3),
            Self::LockedOut => (1_000, 1_000, 1),
        };
        Pulse {
            since,
            until: since.saturating_add(period * count),
            on,
            period,
        }
    }
}

/// What ends by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    Grant,
    Explain,
    HeldOpen,
    Bolt,
    Answer,
}

/// A portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    config: PortalConfig,
    /// The latest time that was heard.
    now: u64,
    leaf: Leaf,
    grant: Grant,
    /// Level of the exit contact; `None` before the first.
    exit_pressed: Option<bool>,
    /// A request to exit allows an opening until then.
    exit_until: u64,
    key_turned: bool,
    /// The key allows openings until then, though it is turned back.
    key_until: u64,
    tamper: bool,
    bolt: Bolt,
    /// When a disagreement of bolt and door has lasted too long.
    bolt_at: Option<u64>,
    /// It has, and was said.
    unlocked: bool,
    answer: Option<(Answer, u64)>,
}

impl Door {
    /// A portal of which no level is known; every output is off.
    #[must_use]
    pub const fn new(config: PortalConfig) -> Self {
        Self {
            config,
            now: 0,
            leaf: Leaf::Unheard,
            grant: Grant::None,
            exit_pressed: None,
            exit_until: 0,
            key_turned: false,
            key_until: 0,
            tamper: false,
            bolt: Bolt::Unheard,
            bolt_at: None,
            unlocked: false,
            answer: None,
        }
    }

    /// Takes what happened at `now_ms`; first whatever became due before. A time before the last
    /// one counts as the last one.
    #[must_use = "every event must be recorded"]
    pub fn feed(&mut self, input: Input, now_ms: u64) -> Events {
        let mut events = Events::new();
        let now = now_ms.max(self.now);
        for _ in 0..MAX_TIMERS {
            let Some((at, timer)) = self.first_timer().filter(|(at, _)| *at <= now) else {
                break;
            };
            self.now = self.now.max(at);
            self.expire(timer, &mut events);
            self.watch_bolt(&mut events);
        }
        self.now = now;
        match input {
            Input::Contact(PortalInput::Door, level) => self.door(level, &mut events),
            Input::Contact(PortalInput::RequestToExit, level) => self.exit(level, &mut events),
            Input::Contact(PortalInput::KeyOverride, level) => self.key(level, &mut events),
            Input::Contact(PortalInput::Tamper, level) => self.tamper(level, &mut events),
            Input::Contact(PortalInput::Bolt, level) => {
                self.bolt = if level == Level::Normal {
                    Bolt::Thrown
                } else {
                    Bolt::Withdrawn
                }
            }
            Input::Contact(PortalInput::None, _) | Input::Tick => {}
            Input::Granted => self.granted(),
            Input::Denied(why) => self.denied(why),
        }
        self.watch_bolt(&mut events);
        events
    }

    /// What the outputs are to be since the last [`Door::feed`].
    #[must_use]
    pub fn outputs(&self) -> Outputs {
        let strike = matches!(self.grant, Grant::Driving { .. });
        Outputs {
            strike,
            buzzer: self.sound().is_some_and(|sound| sound.level(self.now)),
            granted_led: strike || self.flash().is_some_and(|flash| flash.level(self.now)),
            denied_led: matches!(self.answer, Some((Answer::Denied | Answer::LockedOut, _))),
        }
    }

    /// When to come back with a [`Input::Tick`] if nothing happens; `None`: everything rests.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        [
            self.first_timer().map(|(at, _)| at),
            self.sound().and_then(|sound| sound.next(self.now)),
            self.flash().and_then(|flash| flash.next(self.now)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// True when the contact says that the door is closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.leaf, Leaf::Closed)
    }

    fn first_timer(&self) -> Option<(u64, Timer)> {
        let grant = match self.grant {
            Grant::None => None,
            Grant::Driving { until, .. } | Grant::Grace { until } => Some(until),
        };
        let leaf = match self.leaf {
            Leaf::Unexplained { since } => Some((since.saturating_add(EXPLAIN_MS), Timer::Explain)),
            Leaf::Open { since } => self.held_at(since).map(|at| (at, Timer::HeldOpen)),
            Leaf::Unheard | Leaf::Closed | Leaf::HeldOpen { .. } | Leaf::Forced { .. } => None,
        };
        [
            grant.map(|at| (at, Timer::Grant)),
            leaf,
            self.bolt_at.map(|at| (at, Timer::Bolt)),
            self.answer
                .map(|(answer, since)| (since.saturating_add(answer.ms()), Timer::Answer)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    fn expire(&mut self, timer: Timer, events: &mut Events) {
        match timer {
            Timer::Grant => {
                self.grant = match self.grant {
                    Grant::Driving { until, used: false } => Grant::Grace {
                        until: until.saturating_add(GRACE_MS),
                    },
                    Grant::Driving { used: true, .. } | Grant::None => Grant::None,
                    Grant::Grace { .. } => {
                        // Without a contact nobody knows whether the door was opened.
                        if self.leaf != Leaf::Unheard {
                            say(events, DoorEvent::Unused);
                        }
                        Grant::None
                    }
                }
            }
            Timer::Explain => {
                self.leaf = Leaf::Forced { since: self.now };
                say(events, DoorEvent::Forced);
            }
            Timer::HeldOpen => {
                self.leaf = Leaf::HeldOpen { since: self.now };
                say(events, DoorEvent::HeldOpen);
            }
            Timer::Bolt => {
                self.bolt_at = None;
                self.unlocked = true;
                say(events, DoorEvent::Unlocked(true));
            }
            Timer::Answer => self.answer = None,
        }
    }

    fn door(&mut self, level: Level, events: &mut Events) {
        let since = self.now;
        match (self.leaf, level) {
            (Leaf::Closed, Level::Normal) => {}
            (Leaf::Unheard, Level::Normal) => self.close(events),
            (Leaf::Unheard, Level::Active | Level::Unknown) => {
                self.leaf = Leaf::Open { since };
                self.use_grant();
                say(events, DoorEvent::FoundOpen);
            }
            (Leaf::Closed, Level::Active | Level::Unknown) => match self.allowed_by() {
                Some(by) => self.opened(by, events),
                None => self.leaf = Leaf::Unexplained { since },
            },
            // It closed before its time to be explained was over: it was forced all the same.
            (Leaf::Unexplained { .. }, Level::Normal) => {
                say(events, DoorEvent::Forced);
                self.close(events);
            }
            (Leaf::Open { .. } | Leaf::HeldOpen { .. } | Leaf::Forced { .. }, Level::Normal) => {
                self.close(events);
            }
            // Open and unknown are one: neither is closed.
            (
                Leaf::Unexplained { .. } | Leaf::Open { .. } | Leaf::HeldOpen { .. } | Leaf::Forced { .. },
                Level::Active | Level::Unknown,
            ) => {}
        }
    }

    fn allowed_by(&self) -> Option<OpenedBy> {
        if matches!(
            self.grant,
            Grant::Driving { used: false, .. } | Grant::Grace { .. }
        ) {
            Some(OpenedBy::Grant)
        } else if self.key_turned || self.now < self.key_until {
            Some(OpenedBy::KeyOverride)
        } else if self.now < self.exit_until {
            Some(OpenedBy::RequestToExit)
        } else {
            None
        }
    }

    fn opened(&mut self, by: OpenedBy, events: &mut Events) {
        match by {
            OpenedBy::Grant => self.use_grant(),
            // A request allows one opening; the key, as long as it is turned, every one.
            OpenedBy::RequestToExit => self.exit_until = 0,
            OpenedBy::KeyOverride => {}
        }
        self.leaf = Leaf::Open { since: self.now };
        say(events, DoorEvent::Opened(by));
    }

    const fn use_grant(&mut self) {
        self.grant = match self.grant {
            Grant::Driving { until, .. } => Grant::Driving { until, used: true },
            Grant::Grace { .. } | Grant::None => Grant::None,
        };
    }

    fn close(&mut self, events: &mut Events) {
        self.leaf = Leaf::Closed;
        if matches!(self.grant, Grant::Driving { used: true, .. }) {
            self.grant = Grant::None;
        }
        say(events, DoorEvent::Closed);
    }

    fn exit(&mut self, level: Level, events: &mut Events) {
        let pressed = level == Level::Active;
        // Found pressed at start is no press: it may be jammed, or a cut line.
        let press = pressed && self.exit_pressed == Some(false);
        self.exit_pressed = Some(pressed);
        if !press {
            return;
        }
        if self.now >= self.exit_until {
            say(events, DoorEvent::RequestToExit);
        }
        self.exit_until = self.now.saturating_add(EXIT_MS);
        if matches!(self.leaf, Leaf::Unexplained { .. }) {
            self.opened(OpenedBy::RequestToExit, events);
        }
    }

    fn key(&mut self, level: Level, events: &mut Events) {
        let turned = level == Level::Active;
        if turned == self.key_turned {
            return;
        }
        self.key_turned = turned;
        say(events, DoorEvent::KeyOverride(turned));
        if turned && matches!(self.leaf, Leaf::Unexplained { .. }) {
            self.opened(OpenedBy::KeyOverride, events);
        }
        // A line that broke while the key was turned allows nothing more.
        self.key_until = if level == Level::Normal {
            self.now.saturating_add(KEY_MS)
        } else {
            0
        };
    }

    fn tamper(&mut self, level: Level, events: &mut Events) {
        let tamper = level != Level::Normal;
        if tamper != self.tamper {
            self.tamper = tamper;
            say(events, DoorEvent::Tamper(tamper));
        }
    }

    fn granted(&mut self) {
        let used = match self.leaf {
            Leaf::Unheard | Leaf::Closed => false,
            Leaf::Open { .. } => {
                self.leaf = Leaf::Open { since: self.now };
                true
            }
            Leaf::Unexplained { .. } | Leaf::HeldOpen { .. } | Leaf::Forced { .. } => true,
        };
        self.grant = Grant::Driving {
            until: self.now.saturating_add(u64::from(self.config.strike_ms)),
            used,
        };
        self.answer = Some((Answer::Granted, self.now));
    }

    fn denied(&mut self, why: Denial) {
        // Whoever was let in must not be told otherwise because a second card hangs on the ring.
        if matches!(self.grant, Grant::Driving { .. }) {
            return;
        }
        let answer = match why {
            // Without a keypad nobody can be asked for it.
            Denial::PinRequired if self.config.keypad => Answer::PinWanted,
            Denial::LockedOut => Answer::LockedOut,
            Denial::Unknown
            | Denial::NotYetValid
            | Denial::Expired
            | Denial::OutsideHours
            | Denial::WrongDay
            | Denial::ClockUnset
            | Denial::NoList
            | Denial::PinRequired
            | Denial::PinWrong
            | Denial::Suspended => Answer::Denied,
        };
        self.answer = Some((answer, self.now));
    }

    /// Starts, stops and ends the disagreement of bolt and door.
    fn watch_bolt(&mut self, events: &mut Events) {
        let closed = self.leaf == Leaf::Closed;
        let explained = self.key_turned || matches!(self.grant, Grant::Driving { .. });
        if self.bolt == Bolt::Withdrawn && closed && !explained {
            if !self.unlocked && self.bolt_at.is_none() {
                self.bolt_at = Some(self.now.saturating_add(BOLT_MS));
            }
        } else {
            self.bolt_at = None;
        }
        if self.unlocked && closed && self.bolt == Bolt::Thrown {
            self.unlocked = false;
            say(events, DoorEvent::Unlocked(false));
        }
    }

    /// When an open door is held open; `None` when the site does not watch it (0 seconds).
    fn held_at(&self, since: u64) -> Option<u64> {
        let held_ms = u64::from(self.config.held_open_s) * 1_000;
        (held_ms > 0).then(|| since.saturating_add(held_ms))
    }

    fn sound(&self) -> Option<Pulse> {
        if let Some((answer, since)) = self.answer {
            let sound = answer.sound(since);
            if self.now < sound.until {
                return Some(sound);
            }
        }
        match self.leaf {
            Leaf::Unheard | Leaf::Closed | Leaf::Unexplained { .. } => None,
            Leaf::Open { since } => {
                let until = self.held_at(since)?;
                let warn_ms = u64::from(self.config.warn_s) * 1_000;
                Some(Pulse {
                    since: until.saturating_sub(warn_ms).max(since),
                    until,
                    on: 100,
                    period: 1_000,
                })
            }
            Leaf::HeldOpen { since } | Leaf::Forced { since } => Some(Pulse {
                since,
                until: since.saturating_add(SOUND_MS),
                on: 500,
                period: 1_000,
            }),
        }
    }

    fn flash(&self) -> Option<Pulse> {
        match self.answer {
            Some((answer @ Answer::PinWanted, since)) => Some(Pulse {
                since,
                until: since.saturating_add(answer.ms()),
                on: 250,
                period: 500,
            }),
            _ => None,
        }
    }
}

fn say(events: &mut Events, event: DoorEvent) {
    // MAX_EVENTS covers every call; the exhaustive walk would show it if it did not.
    let full = events.push(event).is_err();
    debug_assert!(!full, "too many events of one call");
}

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod walk;

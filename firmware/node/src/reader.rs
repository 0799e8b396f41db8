//! The card reader: a PN532 that is asked while somebody is there, looks by itself while nobody is, and
//! is watched and restarted.
//!
//! ```text
//!           +-------------------------- again, after a pause --------------------------+
//!           v                                                                          |
//! Held in reset -> Starting -> configure, identify, set tries, test antenna            |
//!                                   |                                                  |
//!                                   v       failure 1: abort, wake up, configure       |
//!             +--> look for Type A, FeliCa 212, FeliCa 424 --+     failure 2: reset ---+
//!             +---- field off, a self-check every 10 s ------+     failure 3: fault, pauses of
//!             |                                              |     1, 2, 4, 8, 8 ... seconds
//!  it says something,                                        | well, and nobody there
//!  or every 2 seconds                                        v
//!             +------- wait for Type A, for FeliCa 212, in turn, 60 ms each
//! ```
//! [`Reader`] does no input or output: the board gives it what its UART received and sends what
//! it is given back, sets the reset pin as told and comes back at [`Reader::next_ms`] or when
//! bytes arrive.
//!
//! **What it says.** [`Event::Card`] once per presentation: a card left on the reader is one
//! presentation until [`AWAY_POLLS`] rounds in a row answered that it is gone. Only an answer
//! counts; a reader that is silent or restarts proves nothing, and a card held to it meanwhile
//! is not presented again. [`Event::SeveralCards`] once when more than one card of a kind is in
//! the field: no card of that kind is presented until all of them were away, because nobody can
//! say which was meant. What stays in the field for [`BLOCKED_MS`], one card or several, is a fault: it
//! keeps everybody else out. A Type A and a FeliCa card are two kinds: a card or telephone that is both
//! is presented as both. [`Event::RandomUid`] for a Type A number that its owner draws anew each
//! time: it names nobody. [`Event::State`] when the reader fails and when it is proven well: once
//! each, and once after start, because before it is not known. After a relapse it must prove itself for
//! longer ([`PROOF_FIRST_MS`]); cards are read meanwhile. `SeveralCards` and `RandomUid` are for the ear
//! and the lamp of whoever stands there: they are no credential, and there is nothing to record.
//!
//! **While nobody is there.** The part looks for cards of one kind by itself, for ever, and says
//! nothing before one comes; every [`WAIT_MS`] it is told the other kind. Only that something has come
//! is taken from its answer, damaged or not: then the field is switched off, and the looks above say
//! who it is. A door for one kind of card only ([`Config::cards`]) need not take turns: its reader is
//! silent from one round to the next. A round of looks every [`ROUND_EVERY_MS`] proves that the part still looks, and finds cards
//! that speak 424 kbit/s only. The part has a command that looks for several kinds in turn (InAutoPoll,
//! 7.3.13), but gives each of them 150 ms and more.
//!
//! **How it is watched.** Every command must be acknowledged and answered in time. A reader that
//! lost its power meanwhile looks for a card for ever, or refuses the command: both are failures
//! that configure it again. Whether it is the part that was mounted, whether the transmitter is
//! hot or overloaded and whether an antenna is connected is asked when it starts and every
//! [`CHECK_MS`]. The antenna's test is a measurement of current and fails now and then
//! (community reports, parts fed by less than 5 V): [`BAD_CHECKS`] in a row make a fault, and
//! cards are read on meanwhile.
//!
//! **How fast.** A card is seen at most [`SEEN_MS`] after it was presented: while nobody is there it
//! comes during the wait for its kind or for the other one; when somebody is there, or during a
//! self-check, rest and answer take about 20 ms for each of three ways to look. The times of the part
//! are added up from its manual and the speed of the line, and measured with a simulated one.
//!
//! **What a card number is worth.** UID and IDm *identify* a card; they do not *prove* it. Both are
//! sent in the clear to anybody who asks, cards with a number of one's choice are sold, and a
//! telephone can play one. A copied number opens this door as its owner's card does. That is
//! the grade of protection of most installed readers, and it is enough only together with a PIN, a
//! watched room or a log that somebody reads. A proof needs a secret that never leaves the card: an
//! AES challenge and response of MIFARE DESFire EV2/EV3, or FeliCa with DES/AES mutual
//! authentication, with keys in a secure element on this side. This reader does neither, and
//! nothing in this product calls its events a proof.

use crate::drivers::pn532::{
    ABORT, AGAIN, Before, Command, Heard, MAX_BODY, Receiver, Seen, Technology, Transmit, Uid,
    antenna_is_well, encode, is_pn532, targets, transmitter_is_well,
};
use heapless::Vec;
use shared::provision::CardKinds;
use shared::wire::{CredentialKind, ReaderProblem, ReaderState};

/// Longest wait for the acknowledgement of a command, in milliseconds. The part takes less
/// than 2; an emulated board on a busy machine takes more.
pub const ACK_MS: u64 = 50;
/// Longest wait for an answer after the acknowledgement, in milliseconds. The longest of our
/// commands, a look for two cards with two tries, takes about 25.
pub const ANSWER_MS: u64 = 200;
/// How long a true answer may follow something damaged, in milliseconds; then it is asked for again.
pub const DAMAGED_MS: u64 = 20;
/// How often a command is sent before its acknowledgement is given up.
pub const SENDS: u8 = 2;
/// Rest between two looks, in milliseconds.
pub const REST_MS: u64 = 5;
/// What a look takes with a healthy part, commands and answers on the line included, in milliseconds.
const LOOK_MS: u64 = 15;
/// What switching the field off takes, in milliseconds.
const OFF_MS: u64 = 5;
/// Time within which a round and what may come before it are over, in milliseconds.
pub const ROUND_MS: u64 = 100;
/// How long the part waits for cards of one kind before it waits for the other, in milliseconds.
pub const WAIT_MS: u64 = 60;
/// Time between two rounds while the part waits, in milliseconds.
pub const ROUND_EVERY_MS: u64 = 2_000;
/// Time within which a presented card is seen by a reader that works, in milliseconds.
pub const SEEN_MS: u64 = 140;
/// Rounds without a card after which it was away.
pub const AWAY_POLLS: u8 = 5;
/// How long the part is held in reset, in milliseconds (data sheet: 20 ns are enough; modules
/// with a capacitor at the pin need more).
pub const RESET_MS: u64 = 20;
/// How long the part takes to start, in milliseconds (oscillator and firmware: 2; modules: more).
pub const START_MS: u64 = 50;
/// Quiet time after an abort, in milliseconds: a late answer ends in it.
pub const QUIET_MS: u64 = 10;
/// Failures in a row that make a fault.
pub const FAULT_AFTER: u8 = 3;
/// Answered looks in a row after which a failure is a first one again.
pub const PROVEN_POLLS: u8 = 12;
/// How long a reader must be without failure to be called well, in milliseconds; four times as long
/// after each relapse, so that a loose plug does not fill the node's memory with its coming and going.
pub const PROOF_FIRST_MS: u64 = 250;
/// The longest such time, in milliseconds; a reader that was well for so long starts anew.
pub const PROOF_MAX_MS: u64 = 3_600_000;
/// First pause of a reader at fault, in milliseconds.
pub const PAUSE_FIRST_MS: u64 = 1_000;
/// Longest pause of a reader at fault, in milliseconds.
pub const PAUSE_MAX_MS: u64 = 8_000;
/// Time between two self-checks, in milliseconds.
pub const CHECK_MS: u64 = 10_000;
/// Time to the next self-check after a bad one, in milliseconds.
pub const CHECK_AGAIN_MS: u64 = 1_000;
/// Bad self-checks in a row that make a fault.
pub const BAD_CHECKS: u8 = 3;
/// How long something may answer at the reader without a pause before it is in everybody's way, in
/// milliseconds. A sticker or a card that is left there makes of every other card one of several.
pub const BLOCKED_MS: u64 = 90_000;

/// A card that comes just after a look began waits for a round with its end, for one command of a
/// self-check and for its own look.
const _: () = assert!(ROUND_MS >= (LOOKS.len() as u64 + 1) * (REST_MS + LOOK_MS) + OFF_MS + LOOK_MS);
/// A card that comes too late for an answer to the wait for its kind waits for the other kind, for its
/// own again, for three short commands, and for its own look.
const _: () = assert!(SEEN_MS >= LOOK_MS + WAIT_MS + LOOK_MS + 3 * OFF_MS + REST_MS + LOOK_MS);
const _: () = assert!(SEEN_MS >= ROUND_MS);
const _: () = assert!(PAUSE_FIRST_MS <= PAUSE_MAX_MS && PROOF_FIRST_MS <= PROOF_MAX_MS);

/// The ways to look for a card, in turn. A round ends with the field off: a Type A card that was
/// selected or halted is silent as long as it has power, and one whose answer was lost on the line
/// would be away for ever. Type A comes first, because FeliCa cards want 20 ms of field before
/// they hear.
const LOOKS: [Technology; 3] = [Technology::TypeA, Technology::Felica212, Technology::Felica424];

/// Those of [`LOOKS`] that find these cards.
fn looks(cards: CardKinds) -> &'static [Technology] {
    match cards {
        CardKinds::Both => &LOOKS,
        CardKinds::TypeA => &LOOKS[..1],
        CardKinds::Felica => &LOOKS[1..],
    }
}

/// What was mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Test the antenna. Off for modules whose supply makes the test useless.
    pub antenna_test: bool,
    /// The cards to look for.
    pub cards: CardKinds,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            antenna_test: true,
            cards: CardKinds::Both,
        }
    }
}

/// What happened at the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A card was presented.
    Card {
        /// How it names itself.
        kind: CredentialKind,
        /// Its number.
        uid: Uid,
    },
    /// More than one card of a kind at once: none is taken.
    SeveralCards,
    /// A card or telephone whose number means nothing.
    RandomUid,
    /// The reader is well, or is not.
    State(ReaderState),
}

/// What the board does after a poll.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Send these bytes, if any.
    pub transmit: Transmit,
    /// Hold the reader in reset (RSTPD_N low).
    pub reset: bool,
    /// What happened.
    pub event: Option<Event>,
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The reset pin is low. Comes from failures; ends by time.
    Held,
    /// The pin is high again, the part starts. Ends by time.
    Starting,
    /// Nothing; the command is sent when the time is over.
    Resting,
    /// The command was sent so many times; its acknowledgement is awaited.
    Sent(u8),
    /// The command is acknowledged; its answer is awaited.
    Acknowledged(Answer),
    /// The part waits for a card. Ends by whatever it says, or by time.
    Waiting,
    /// The reader is at fault and left alone for a while.
    Paused,
}

/// How far an awaited answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Nothing of it.
    Awaited,
    /// Something damaged; a little time is left for the answer behind it.
    Damaged,
    /// It was asked for again.
    AskedAgain,
}

/// The cards of one kind in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// None. A card that comes is presented.
    Empty,
    /// One, already presented, missed so many times in a row.
    Held { uid: Uid, missed: u8 },
    /// More than one, or one without a meaning: none is presented until all were away.
    Refused { missed: u8 },
}

/// What a look means for the cards of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Card(Uid),
    Several,
    Random,
}

impl Presence {
    /// One answered look. `away` misses in a row end a presentation.
    fn next(self, seen: Seen, away: u8) -> (Self, Change) {
        match (self, seen) {
            (Self::Empty, Seen::Nobody) => (self, Change::Nothing),
            (Self::Held { missed, .. } | Self::Refused { missed }, Seen::Nobody) if missed + 1 >= away => {
                (Self::Empty, Change::Nothing)
            }
            (Self::Held { uid, missed }, Seen::Nobody) => (
                Self::Held {
                    uid,
                    missed: missed + 1,
                },
                Change::Nothing,
            ),
            (Self::Refused { missed }, Seen::Nobody) => {
                (Self::Refused { missed: missed + 1 }, Change::Nothing)
            }
            (Self::Refused { .. }, _) => (Self::Refused { missed: 0 }, Change::Nothing),
            (Self::Empty, Seen::One(target)) if target.is_random() => {
                (Self::Refused { missed: 0 }, Change::Random)
            }
            (Self::Empty, Seen::One(target)) => (
                Self::Held {
                    uid: target.uid,
                    missed: 0,
                },
                Change::Card(target.uid),
            ),
            (Self::Held { uid, .. }, Seen::One(target)) if uid == target.uid => {
                (Self::Held { uid, missed: 0 }, Change::Nothing)
            }
            // Another card before the first was away: cards in one hand that answer in turn.
            (Self::Held { .. }, Seen::One(_)) | (_, Seen::Several) => {
                (Self::Refused { missed: 0 }, Change::Several)
            }
        }
    }
}

/// A supervised reader.
#[derive(Debug)]
pub struct Reader {
    config: Config,
    receiver: Receiver,
    step: Step,
    /// When the step ends, or is given up.
    until_ms: u64,
    command: Command,
    /// Which of [`LOOKS`] comes next.
    look: u8,
    /// The part was told to try for ever.
    endless: bool,
    /// The part may still be waiting for a card.
    may_wait: bool,
    /// The next wait is for FeliCa.
    felica_next: bool,
    /// The part has waited, and no round has ended since.
    round_owed: bool,
    /// When the next round interrupts the waiting.
    round_at_ms: u64,
    type_a: Presence,
    felica: Presence,
    /// Since when something has been at the reader.
    occupied_since: Option<u64>,
    failures: u8,
    /// Answered looks since the last failure, up to [`PROVEN_POLLS`].
    proven: u8,
    /// The first look without failure or bad check since the last of them.
    sound_since: Option<u64>,
    proof_ms: u64,
    pause_ms: u64,
    check_at_ms: u64,
    bad_checks: u8,
    /// The second half of a self-check is due.
    antenna_due: bool,
    /// The antenna cannot be tested: the part refuses the command.
    untestable: bool,
    /// What holds, when it differs from what was said.
    state: Option<ReaderState>,
    said: Option<ReaderState>,
    well_since: u64,
    restarts: u32,
}

impl Reader {
    /// A reader of which nothing is known; it is reset first.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            receiver: Receiver::new(),
            step: Step::Paused,
            until_ms: 0,
            command: Command::Configure,
            look: 0,
            endless: false,
            may_wait: false,
            felica_next: false,
            round_owed: false,
            round_at_ms: 0,
            type_a: Presence::Empty,
            felica: Presence::Empty,
            occupied_since: None,
            failures: 0,
            proven: 0,
            sound_since: None,
            proof_ms: PROOF_FIRST_MS,
            pause_ms: PAUSE_FIRST_MS,
            check_at_ms: 0,
            bad_checks: 0,
            antenna_due: false,
            untestable: false,
            state: None,
            said: None,
            well_since: 0,
            restarts: 0,
        }
    }

    /// When [`Reader::poll`] must be called again though nothing was received.
    #[must_use]
    pub const fn next_ms(&self) -> u64 {
        self.until_ms
    }

    /// Damaged frames and pieces of noise since start.
    #[must_use]
    pub const fn garbage(&self) -> u32 {
        self.receiver.garbage()
    }

    /// How often the reader was configured anew or reset since start, the first time not counted.
    #[must_use]
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Takes what was received (all of it, in order; nothing when only time has passed).
    pub fn poll(&mut self, now_ms: u64, received: &[u8]) -> Turn {
        let mut turn = Turn::default();
        self.hear(now_ms, received, &mut turn);
        if now_ms >= self.until_ms {
            self.time_is_up(now_ms, &mut turn);
        }
        turn.reset = self.step == Step::Held;
        if turn.event.is_none() && self.state != self.said {
            self.said = self.state;
            turn.event = self.state.map(Event::State);
        }
        turn
    }

    fn hear(&mut self, now_ms: u64, mut received: &[u8], turn: &mut Turn) {
        // An exchange is over at its answer: whatever follows it belongs to nothing.
        while matches!(self.step, Step::Sent(_) | Step::Acknowledged(_) | Step::Waiting) {
            let before = self.receiver.garbage();
            match (self.step, self.receiver.read(&mut received)) {
                (Step::Sent(_), Some(Heard::Ack)) if matches!(self.command, Command::Wait(_)) => {
                    let until_ms = match self.config.cards {
                        CardKinds::Both => now_ms.saturating_add(WAIT_MS),
                        CardKinds::TypeA | CardKinds::Felica => self.round_at_ms.min(self.check_at_ms),
                    };
                    self.enter(Step::Waiting, until_ms);
                }
                (Step::Sent(_), Some(Heard::Ack)) => {
                    self.enter(
                        Step::Acknowledged(Answer::Awaited),
                        now_ms.saturating_add(ANSWER_MS),
                    );
                }
                // The acknowledgement may have been damaged: the answer proves it.
                (_, Some(Heard::Answer { code, data })) if code == self.command.answer() => {
                    // Copied, to give the buffer back.
                    let data: Vec<u8, MAX_BODY> = data.iter().copied().collect();
                    self.answered(now_ms, &data, turn);
                }
                (_, Some(Heard::Error)) => self.refused(now_ms, turn),
                // What answers another question is of an exchange that was given up.
                (_, Some(_)) => self.receiver.count(),
                (step, None) => {
                    // A damaged answer is an answer, too.
                    if step == Step::Waiting && self.receiver.garbage() != before {
                        self.somebody(now_ms);
                    } else if step == Step::Acknowledged(Answer::Awaited) && self.receiver.garbage() != before
                    {
                        let until_ms = self.until_ms.min(now_ms.saturating_add(DAMAGED_MS));
                        self.enter(Step::Acknowledged(Answer::Damaged), until_ms);
                    }
                    break;
                }
            }
        }
    }

    fn time_is_up(&mut self, now_ms: u64, turn: &mut Turn) {
        match self.step {
            Step::Paused => self.hold(now_ms),
            Step::Held => self.enter(Step::Starting, now_ms.saturating_add(START_MS)),
            Step::Starting | Step::Resting => self.send(now_ms, 1, turn),
            Step::Sent(count) if count < SENDS => self.send(now_ms, count + 1, turn),
            Step::Acknowledged(Answer::Damaged) => {
                let _ = turn.transmit.extend_from_slice(&AGAIN);
                self.enter(
                    Step::Acknowledged(Answer::AskedAgain),
                    now_ms.saturating_add(ANSWER_MS),
                );
            }
            Step::Sent(_) | Step::Acknowledged(Answer::Awaited) => {
                self.failed(now_ms, ReaderProblem::Mute, turn);
            }
            Step::Acknowledged(Answer::AskedAgain) => self.failed(now_ms, ReaderProblem::Garbled, turn),
            Step::Waiting => {
                // The beginning of an answer, or nothing.
                if self.receiver.is_empty() {
                    self.look_next(now_ms);
                } else {
                    self.somebody(now_ms);
                }
                self.send(now_ms, 1, turn);
            }
        }
    }

    /// Something has come while the part waited, or it is time to see whether it still looks.
    fn somebody(&mut self, now_ms: u64) {
        self.look = match (self.command, self.config.cards) {
            (Command::Wait(Technology::Felica212 | Technology::Felica424), CardKinds::Both) => 1,
            _ => 0,
        };
        self.ask(Command::Tries, now_ms);
    }

    const fn enter(&mut self, step: Step, until_ms: u64) {
        self.step = step;
        self.until_ms = until_ms;
    }

    fn hold(&mut self, now_ms: u64) {
        self.command = Command::Configure;
        self.enter(Step::Held, now_ms.saturating_add(RESET_MS));
    }

    fn send(&mut self, now_ms: u64, count: u8, turn: &mut Turn) {
        self.receiver.clear();
        let before = match (self.command, self.may_wait) {
            (Command::Configure, _) => Before::WakeUp,
            (_, true) => Before::Abort,
            (_, false) => Before::Nothing,
        };
        turn.transmit = encode(self.command, before);
        self.may_wait = matches!(self.command, Command::Wait(_));
        self.enter(Step::Sent(count), now_ms.saturating_add(ACK_MS));
    }

    fn ask(&mut self, command: Command, at_ms: u64) {
        self.command = command;
        self.enter(Step::Resting, at_ms);
    }

    /// The part did not do as it must: first a gentle attempt, then its reset pin, then in peace.
    fn failed(&mut self, now_ms: u64, why: ReaderProblem, turn: &mut Turn) {
        self.failures = self.failures.saturating_add(1);
        self.restarts = self.restarts.saturating_add(1);
        self.proven = 0;
        self.sound_since = None;
        self.receiver.clear();
        if self.failures >= FAULT_AFTER {
            self.at_fault(now_ms, why);
            self.enter(Step::Paused, now_ms.saturating_add(self.pause_ms));
            self.pause_ms = (self.pause_ms * 2).min(PAUSE_MAX_MS);
        } else if self.failures == 1 {
            turn.transmit.clear();
            let _ = turn.transmit.extend_from_slice(&ABORT);
            self.ask(Command::Configure, now_ms.saturating_add(QUIET_MS));
        } else {
            self.hold(now_ms);
        }
    }

    /// Calls the reader at fault. The first reason is kept: a cable that is being mended passes
    /// through all of them.
    fn at_fault(&mut self, now_ms: u64, why: ReaderProblem) {
        match self.state {
            Some(ReaderState::Fault(known))
                if (known == ReaderProblem::Radio) == (why == ReaderProblem::Radio) =>
            {
                return;
            }
            // What is in the way can be taken away; a radio part must be mended.
            Some(ReaderState::Fault(ReaderProblem::Blocked)) if why != ReaderProblem::Blocked => {}
            // A silent part says nothing about its radio, nor about what is in front of it.
            Some(ReaderState::Fault(_)) if matches!(why, ReaderProblem::Radio | ReaderProblem::Blocked) => {
                return;
            }
            Some(ReaderState::Fault(_)) | None => {}
            Some(ReaderState::Well) => {
                let was_well_long = now_ms.saturating_sub(self.well_since) >= PROOF_MAX_MS;
                self.proof_ms = if was_well_long {
                    PROOF_FIRST_MS * 4
                } else {
                    self.proof_ms.saturating_mul(4).min(PROOF_MAX_MS)
                };
            }
        }
        self.state = Some(ReaderState::Fault(why));
    }

    /// Calls the reader well when that is proven.
    fn prove(&mut self, now_ms: u64) {
        self.proven = (self.proven + 1).min(PROVEN_POLLS);
        if self.proven < PROVEN_POLLS {
            return;
        }
        self.failures = 0;
        self.pause_ms = PAUSE_FIRST_MS;
        if self.is_blocked(now_ms) {
            self.at_fault(now_ms, ReaderProblem::Blocked);
            self.sound_since = None;
        }
        if self.bad_checks > 0 || self.is_blocked(now_ms) {
            return;
        }
        let since = *self.sound_since.get_or_insert(now_ms);
        if self.state != Some(ReaderState::Well) && now_ms.saturating_sub(since) >= self.proof_ms {
            self.state = Some(ReaderState::Well);
            self.well_since = now_ms;
        }
    }

    /// An error frame.
    fn refused(&mut self, now_ms: u64, turn: &mut Turn) {
        match self.command {
            // Parts and modules exist that do not know these; they read cards all the same.
            Command::Parameters => self.ask(Command::Tries, now_ms),
            Command::Antenna => {
                self.untestable = true;
                self.checked(now_ms, true);
            }
            _ => self.failed(now_ms, ReaderProblem::Garbled, turn),
        }
    }

    fn answered(&mut self, now_ms: u64, data: &[u8], turn: &mut Turn) {
        match self.command {
            Command::Configure => {
                self.endless = false;
                self.ask(Command::Identify, now_ms);
            }
            Command::Identify if is_pn532(data) => self.ask(Command::Parameters, now_ms),
            Command::Identify => self.failed(now_ms, ReaderProblem::OtherPart, turn),
            Command::Parameters => self.ask(Command::Tries, now_ms),
            Command::Tries => {
                if !self.endless {
                    self.look = 0;
                    self.check_at_ms = now_ms;
                }
                self.endless = false;
                self.ask(Command::FieldOff, now_ms);
            }
            Command::FieldOff if self.is_calm(now_ms) => self.ask(Command::Endless, now_ms),
            Command::FieldOff => self.look_next(now_ms),
            Command::Endless => {
                self.endless = true;
                self.round_owed = true;
                self.round_at_ms = now_ms.saturating_add(ROUND_EVERY_MS);
                self.look_next(now_ms);
            }
            // Of this wait, or, before it was acknowledged, of the one before.
            Command::Wait(_) => self.somebody(now_ms),
            Command::Status => {
                if !transmitter_is_well(data) {
                    self.checked(now_ms, false);
                } else if self.config.antenna_test && !self.untestable {
                    // A round between the two, so that a card does not wait for both.
                    self.antenna_due = true;
                    self.check_at_ms = now_ms.saturating_add(ROUND_MS);
                    self.look_next(now_ms);
                } else {
                    self.checked(now_ms, true);
                }
            }
            Command::Antenna => self.checked(now_ms, antenna_is_well(data)),
            Command::Look(technology) => match targets(technology, data) {
                Some(seen) => self.looked(now_ms, technology, seen, turn),
                None => {
                    self.receiver.count();
                    self.failed(now_ms, ReaderProblem::Garbled, turn);
                }
            },
        }
    }

    /// The end of a self-check.
    fn checked(&mut self, now_ms: u64, well: bool) {
        self.antenna_due = false;
        self.bad_checks = if well {
            0
        } else {
            self.bad_checks.saturating_add(1)
        };
        if !well {
            self.sound_since = None;
        }
        if self.bad_checks >= BAD_CHECKS {
            self.at_fault(now_ms, ReaderProblem::Radio);
        }
        self.check_at_ms = now_ms.saturating_add(if well { CHECK_MS } else { CHECK_AGAIN_MS });
        self.look_next(now_ms);
    }

    /// True when something stays at the reader and keeps everybody out.
    fn is_blocked(&self, now_ms: u64) -> bool {
        self.occupied_since
            .is_some_and(|since| now_ms.saturating_sub(since) >= BLOCKED_MS)
    }

    /// True when the part may be left to look by itself: it is well and said so, nobody is there, and no
    /// self-check is due.
    fn is_calm(&self, now_ms: u64) -> bool {
        let well = self.state == Some(ReaderState::Well) && self.failures == 0 && self.bad_checks == 0;
        let nobody = self.occupied_since.is_none() && !self.round_owed;
        well && nobody && !self.antenna_due && now_ms < self.check_at_ms
    }

    fn look_next(&mut self, now_ms: u64) {
        if self.endless {
            let felica = match self.config.cards {
                CardKinds::Both => self.felica_next,
                CardKinds::TypeA => false,
                CardKinds::Felica => true,
            };
            let technology = match felica {
                true => Technology::Felica212,
                false => Technology::TypeA,
            };
            self.felica_next = !felica;
            let wait = now_ms < self.round_at_ms.min(self.check_at_ms);
            self.look = 0;
            return self.ask(
                if wait {
                    Command::Wait(technology)
                } else {
                    Command::Tries
                },
                now_ms,
            );
        }
        // Not while a card is read: the test switches the field. What stays for ever does not end it.
        let free = self.occupied_since.is_none() || self.is_blocked(now_ms);
        // Nor before a round, when the part has waited: somebody may have come.
        let check = now_ms >= self.check_at_ms && free && !self.round_owed;
        let command = match (check, self.antenna_due) {
            (false, _) => {
                let looks = looks(self.config.cards);
                let next = looks.get(usize::from(self.look)).or(looks.first());
                Command::Look(next.copied().unwrap_or(Technology::TypeA))
            }
            (true, false) => Command::Status,
            (true, true) => Command::Antenna,
        };
        self.ask(command, now_ms.saturating_add(REST_MS));
    }

    fn looked(&mut self, now_ms: u64, technology: Technology, seen: Seen, turn: &mut Turn) {
        self.look = (self.look + 1) % looks(self.config.cards).len() as u8;
        let kind = match technology {
            Technology::TypeA => CredentialKind::TypeA,
            Technology::Felica212 | Technology::Felica424 => CredentialKind::Felica,
        };
        let change;
        match kind {
            CredentialKind::TypeA => (self.type_a, change) = self.type_a.next(seen, AWAY_POLLS),
            // Two looks a round.
            CredentialKind::Felica => (self.felica, change) = self.felica.next(seen, 2 * AWAY_POLLS),
        }
        self.occupied_since = match (self.type_a, self.felica) {
            (Presence::Empty, Presence::Empty) => None,
            _ => self.occupied_since.or(Some(now_ms)),
        };
        turn.event = match change {
            Change::Nothing => None,
            Change::Card(uid) => Some(Event::Card { kind, uid }),
            Change::Several => Some(Event::SeveralCards),
            Change::Random => Some(Event::RandomUid),
        };
        self.prove(now_ms);
        if self.look == 0 {
            self.round_owed = false;
            self.ask(Command::FieldOff, now_ms);
        } else {
            self.look_next(now_ms);
        }
    }
}

#[cfg(test)]
mod tests;

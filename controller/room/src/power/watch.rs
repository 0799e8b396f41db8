//! One UPS as it is heard: its last good reading, what of it is believed, and the verdict.
//!
//! A watch is volatile: after a restart it begins unheard, and the durable part (that the UPS
//! was on battery, since when, and with how much) comes from the records.
//!
//! ```text
//!            two signs                    two polls agree that mains carries it
//!  Mains ------------------> Battery --------------------------------------> Mains
//!    |  one sign                ^
//!    +-----------> Suspected ---+ second sign
//!    |  test or calibration     |
//!    +-----------> Testing -----+ mains gone and a further sign, or its bound is over
//! ```

use super::Verdict;
use super::battery::Believed;
use super::signs::{self, Facts, Seen, Source, Voltage};
use crate::device::{Poll, PollFailure};
use crate::time::{Millis, Mono};
use std::collections::VecDeque;

/// A self-test takes seconds to minutes; a flag that stays longer is stuck and no excuse.
pub const LONGEST_TEST: Millis = Millis::from_secs(15 * 60);
/// A calibration runs the battery down on purpose; one that lasts longer is stuck.
pub const LONGEST_CALIBRATION: Millis = Millis::from_secs(4 * 3600);
/// Polls that must agree before a UPS on battery is believed to be back on mains.
pub const BACK_AFTER_POLLS: u32 = 2;
/// Polls that must say "low battery" before it is acted on.
pub const LOW_AFTER_POLLS: u32 = 2;
/// Polls that must ask for a new battery, or tell of an overload, before a person is told: both
/// flags flicker on some makes.
pub const MARK_AFTER_POLLS: u32 = 2;
/// Polls in a row that a server in between must fail for want of fresh values.
pub const STALE_AFTER_POLLS: u32 = 2;
/// A device's count of seconds on battery that stands still for so long is left over.
pub const COUNTING_FRESH: Millis = Millis::from_secs(30);
/// A count that moved so recently speaks against "mains is back".
pub const COUNTS_NOW: Millis = Millis::from_secs(3);
/// A fall of the charge is a sign for so long.
pub const FALLING_FRESH: Millis = Millis::from_secs(300);
/// Falls of the charge in a row that make a sign.
pub const FALLS: usize = 2;
/// Percent that the charge may differ from the last sample, beyond what it can drain.
pub const CHARGE_TOLERANCE: f64 = 10.0;
/// Percent per second that a battery can drain at most: full to empty in 50 s.
pub const CHARGE_RATE: f64 = 2.0;
/// Seconds, or share of itself, that an estimate of runtime may differ from the last one.
pub const RUNTIME_TOLERANCE: (f64, f64) = (60.0, 0.3);

/// What is heard of one UPS since this process started.
#[derive(Debug, Clone)]
pub struct Watch {
    listening_since: Mono,
    asked: Mono,
    heard: Option<Mono>,
    facts: Option<Facts>,
    /// Believed charge in percent.
    pub charge: Believed,
    /// Believed estimate of runtime in seconds.
    pub runtime: Believed,
    falls: VecDeque<Mono>,
    count: Option<(Mono, f64)>,
    counting_since: Option<Mono>,
    voltage_seen: bool,
    voltage_dead: bool,
    test_since: Option<Mono>,
    /// A test that we ordered may run until then, whether or not the device says so.
    own_test_until: Option<Mono>,
    back_polls: u32,
    low_polls: u32,
    replace_polls: u32,
    overload_polls: u32,
    stale_polls: u32,
    failed: Option<PollFailure>,
}

impl Watch {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(now: Mono) -> Self {
        Self {
            listening_since: now,
            asked: Mono(0),
            heard: None,
            facts: None,
            charge: Believed::default(),
            runtime: Believed::default(),
            falls: VecDeque::new(),
            count: None,
            counting_since: None,
            voltage_seen: false,
            voltage_dead: false,
            test_since: None,
            own_test_until: None,
            back_polls: 0,
            low_polls: 0,
            replace_polls: 0,
            overload_polls: 0,
            stale_polls: 0,
            failed: None,
        }
    }

    /// Takes a poll in. Failed polls and answers older than the last one change nothing about the
    /// power: what silence means is a matter of time, not of their number. Why they fail is kept
    /// for a person. True when it was a reading.
    pub fn hear(&mut self, poll: &Poll) -> bool {
        if self.heard.is_some() && poll.asked < self.asked {
            return false;
        }
        let reading = match &poll.result {
            Ok(reading) => reading,
            Err(failure) => {
                let is_stale = matches!(failure, PollFailure::Stale(_));
                self.stale_polls = counted(is_stale, self.stale_polls);
                self.failed = Some(failure.clone());
                return false;
            }
        };
        (self.failed, self.stale_polls) = (None, 0);
        let (at, facts) = (poll.answered, Facts::read(reading));
        self.asked = poll.asked;
        self.hear_charge(at, &facts);
        self.hear_runtime(at, &facts);
        self.hear_count(at, &facts);
        self.hear_voltage(&facts);
        self.low_polls = counted(facts.low, self.low_polls);
        self.replace_polls = counted(facts.replace, self.replace_polls);
        self.overload_polls = counted(facts.overload, self.overload_polls);
        let tested = facts.testing || facts.calibrating;
        self.test_since = tested.then(|| self.test_since.unwrap_or(at));
        self.heard = Some(at);
        self.facts = Some(facts);
        let back = self.is_back(at, &facts);
        self.back_polls = counted(back, self.back_polls);
        if self.back_polls == BACK_AFTER_POLLS {
            // What the last discharge left behind is no sign of a new one.
            self.falls.clear();
            self.counting_since = None;
        }
        true
    }

    /// 0 V beside "runs from mains" is a dead sensor or an unwired phase, and stays one whatever
    /// the source says later, until every phase is measured.
    fn hear_voltage(&mut self, facts: &Facts) {
        match facts.voltage {
            Voltage::Present(_) => (self.voltage_seen, self.voltage_dead) = (true, false),
            Voltage::Gone(_) => self.voltage_dead |= facts.source == Source::Mains && !self.voltage_seen,
            Voltage::Unclear => {}
        }
    }

    fn hear_charge(&mut self, at: Mono, facts: &Facts) {
        let Some(new) = facts.charge else { return };
        let before = self.charge.value();
        let passed = before.map_or(0.0, |(then, _)| at.since(then).as_secs_f64());
        self.charge
            .hear(at, new, None, CHARGE_TOLERANCE + passed * CHARGE_RATE);
        let after = self.charge.value();
        match (before, after) {
            (Some((_, old)), Some((when, new))) if when == at && new < old => {
                self.falls.push_back(at);
                if self.falls.len() > FALLS {
                    self.falls.pop_front();
                }
            }
            (Some((_, old)), Some((when, new))) if when == at && new > old => self.falls.clear(),
            _ => {}
        }
    }

    fn hear_runtime(&mut self, at: Mono, facts: &Facts) {
        let Some(new) = facts.runtime else { return };
        let expected = self.runtime.value().map(|(then, old)| {
            let drained = old - at.since(then).as_secs_f64();
            if facts.source == Source::Battery {
                drained.max(0.0)
            } else {
                old
            }
        });
        let (secs, share) = RUNTIME_TOLERANCE;
        self.runtime
            .hear(at, new, expected, secs.max(share * expected.unwrap_or(new)));
    }

    /// The count is a sign while it counts. On first hearing it must be taken at its word,
    /// unless the device itself says "mains": then it may be left from the last outage.
    fn hear_count(&mut self, at: Mono, facts: &Facts) {
        let Some(new) = facts.time_on else {
            self.count = None;
            self.counting_since = None;
            return;
        };
        let counts = match self.count {
            Some((_, old)) => new > old,
            None => new > 0.0 && facts.source != Source::Mains,
        };
        if new <= 0.0 {
            self.counting_since = None;
        } else if counts {
            self.counting_since = Some(self.counting_since.unwrap_or(at));
        }
        if counts || self.count.is_none_or(|(_, old)| new < old) {
            self.count = Some((at, new));
        }
        if self
            .count
            .is_some_and(|(then, _)| at.since(then) > COUNTING_FRESH)
        {
            self.counting_since = None;
        }
    }

    /// Does this poll alone speak for mains (or bypass, or off) carrying the load again?
    fn is_back(&self, at: Mono, facts: &Facts) -> bool {
        let mut seen = self.seen(at, false);
        seen.counting &= self.count.is_some_and(|(then, _)| at.since(then) <= COUNTS_NOW);
        // A dead measurement does not keep it on battery, unless its own count goes on.
        let gone = matches!(facts.voltage, Voltage::Gone(_)) && (!self.voltage_dead || seen.counting);
        let drains = seen.falling && seen.counting;
        match facts.source {
            Source::Off => true,
            Source::Battery => signs::is_inverter(seen, facts),
            Source::Mains | Source::Bypass => !gone && !drains,
            // A test is no word about the mains.
            Source::Test => matches!(facts.voltage, Voltage::Present(_)) && !drains,
            Source::Unclear => {
                matches!(facts.voltage, Voltage::Present(_)) && !seen.falling && !seen.counting
            }
        }
    }

    /// The signs at this moment; `peer`: another UPS says battery by signs of its own.
    #[must_use]
    pub fn seen(&self, now: Mono, peer: bool) -> Seen {
        let Some(facts) = &self.facts else {
            return Seen::default();
        };
        let counting = self
            .count
            .is_some_and(|(then, _)| now.since(then) <= COUNTING_FRESH);
        Seen {
            source: facts.source == Source::Battery,
            low: facts.low,
            counting: counting && self.counting_since.is_some(),
            voltage: matches!(facts.voltage, Voltage::Gone(_)) && !self.voltage_is_dead(),
            falling: self.falls.len() >= FALLS
                && self
                    .falls
                    .back()
                    .is_some_and(|last| now.since(*last) <= FALLING_FRESH),
            peer,
        }
    }

    /// The verdict of this moment. `was_on_battery` is the durable verdict: battery stays
    /// battery through silence and until two polls agree that it is over.
    #[must_use]
    pub fn judge(&self, now: Mono, peer: bool, was_on_battery: bool, contact_lost_after: Millis) -> Verdict {
        let Some(facts) = self
            .facts
            .as_ref()
            .filter(|_| self.in_contact(now, contact_lost_after))
        else {
            return if was_on_battery {
                Verdict::Battery
            } else {
                Verdict::Unknown
            };
        };
        let seen = self.seen(now, peer);
        if was_on_battery && self.back_polls < BACK_AFTER_POLLS {
            return Verdict::Battery;
        }
        let signs = signs::count(seen, facts);
        if was_on_battery {
            // Two polls say that it is over; a left-over sign is shown but does not renew it.
            return at_rest(facts);
        }
        if self.is_testing(now) {
            let discharges = seen.source || seen.counting || seen.falling || seen.low || peer;
            return if seen.voltage && discharges {
                Verdict::Battery
            } else {
                Verdict::Testing
            };
        }
        match signs {
            _ if signs::is_inverter(seen, facts) => Verdict::Mains,
            0 => at_rest(facts),
            1 => match facts.source {
                Source::Off => Verdict::Off,
                Source::Bypass => Verdict::Bypass,
                _ => Verdict::Suspected,
            },
            _ => Verdict::Battery,
        }
    }

    /// The last reading says "low battery", and the one before did not: one word is not believed yet.
    #[must_use]
    pub const fn says_low_once(&self) -> bool {
        self.low_polls == 1
    }

    /// A test or calibration runs and has not outlasted its bound.
    #[must_use]
    pub fn is_testing(&self, now: Mono) -> bool {
        let own = self.own_test_until.is_some_and(|until| now < until);
        own || self.test_ends().is_some_and(|ends| now < ends)
    }

    /// A test that we ordered may run until then; `None`: it is over.
    pub const fn expect_test(&mut self, until: Option<Mono>) {
        self.own_test_until = until;
    }

    /// When a test that we ordered must be over.
    #[must_use]
    pub const fn expected_test_ends(&self) -> Option<Mono> {
        self.own_test_until
    }

    /// When the running test outlasts its bound.
    #[must_use]
    pub fn test_ends(&self) -> Option<Mono> {
        let bound = if self.facts.as_ref()?.calibrating {
            LONGEST_CALIBRATION
        } else {
            LONGEST_TEST
        };
        Some(self.test_since?.after(bound))
    }

    /// A good answer came within the bound.
    #[must_use]
    pub fn in_contact(&self, now: Mono, contact_lost_after: Millis) -> bool {
        self.heard
            .is_some_and(|heard| now.since(heard) < contact_lost_after)
    }

    /// When silence becomes loss of contact.
    #[must_use]
    pub fn contact_ends(&self, contact_lost_after: Millis) -> Mono {
        self.heard
            .unwrap_or(self.listening_since)
            .after(contact_lost_after)
    }

    /// Until when the first word is waited for; `None` when it was heard.
    #[must_use]
    pub fn first_word_until(&self, within: Millis) -> Option<Mono> {
        self.heard.is_none().then(|| self.listening_since.after(within))
    }

    /// Until when a second word is waited for, when one says that mains carries it again.
    #[must_use]
    pub fn second_word_until(&self, within: Millis) -> Option<Mono> {
        let first = (1..BACK_AFTER_POLLS).contains(&self.back_polls);
        Some(self.heard.filter(|_| first)?.after(within))
    }

    /// When the last good answer came.
    #[must_use]
    pub const fn heard(&self) -> Option<Mono> {
        self.heard
    }

    /// The last good reading's facts, however old.
    #[must_use]
    pub const fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// It said that it runs from mains with no voltage at its input, and has never measured any:
    /// the measurement is dead or wrongly read, and no sign.
    #[must_use]
    pub const fn voltage_is_dead(&self) -> bool {
        self.voltage_dead
    }

    /// It says "low" and has said it twice.
    #[must_use]
    pub const fn is_low(&self) -> bool {
        self.low_polls >= LOW_AFTER_POLLS
    }

    /// It asks for a new battery, and has twice.
    #[must_use]
    pub const fn needs_battery(&self) -> bool {
        self.replace_polls >= MARK_AFTER_POLLS
    }

    /// It carries more than it can, and has told so twice.
    #[must_use]
    pub const fn is_overloaded(&self) -> bool {
        self.overload_polls >= MARK_AFTER_POLLS
    }

    /// A server in between answers, and has had no fresh values twice.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.stale_polls >= STALE_AFTER_POLLS
    }

    /// Why the last poll failed, when it did.
    #[must_use]
    pub const fn failed(&self) -> Option<&PollFailure> {
        self.failed.as_ref()
    }

    /// Its own sign for its peers: it says battery, and is no inverter that always does.
    #[must_use]
    pub fn speaks_for_battery(&self, now: Mono, contact_lost_after: Millis) -> bool {
        let seen = self.seen(now, false);
        let fresh = self
            .facts
            .as_ref()
            .filter(|_| self.in_contact(now, contact_lost_after));
        fresh.is_some_and(|facts| seen.source && !signs::is_inverter(seen, facts) && !self.is_testing(now))
    }
}

/// Polls in a row, this one counted.
const fn counted(holds: bool, before: u32) -> u32 {
    if holds { before.saturating_add(1) } else { 0 }
}

/// What a UPS without signs of battery operation does.
fn at_rest(facts: &Facts) -> Verdict {
    match (facts.source, facts.voltage) {
        (Source::Off, _) => Verdict::Off,
        (Source::Bypass, _) => Verdict::Bypass,
        (Source::Unclear | Source::Test, Voltage::Unclear | Voltage::Gone(_)) => Verdict::Unknown,
        _ => Verdict::Mains,
    }
}

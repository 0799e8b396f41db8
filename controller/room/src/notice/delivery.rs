//! Deliveries: one message to one contact, over the ways of that contact until one takes it.
//!
//! ```text
//! waiting --> under way --taken--> recorded, gone
//!    ^            | failed, or no word
//!    +- back-off -+   ... after MAX_TRIES or a lasting problem: the next way of the contact
//!    +----------- rest NEXT_ROUND <-- no way left (recorded, and the notifiers are alarms)
//! ```
//! One message at a time is given to a notifier. Whoever waits behind one that hangs takes the
//! next way of the contact instead, so that a dead notifier delays nobody. A way that failed is
//! passed over for [`TRIAL_EVERY`], then the next message tries it once.

use super::case::{Place, Want};
use super::desk::{Alarms, Desk, Out, purse_of, test_key};
use super::duty::Target;
use super::fold::{Purse, ranges};
use super::record::{Group, Record};
use super::{About, Delivered, Moment, Notice, SendFailure, Summary};
use crate::site::{Label, Priority};
use crate::time::{Millis, Mono, Now};
use std::collections::BTreeMap;

/// Attempts by one way before the next one is taken.
pub const MAX_TRIES: u32 = 3;
/// Pauses between these attempts.
pub const RETRY_AFTER: [Millis; 2] = [Millis::from_secs(5), Millis::from_secs(20)];
/// A notifier that said nothing for so long has failed; its own time-outs are shorter.
pub const NO_WORD_AFTER: Millis = Millis::from_secs(100);
/// Whoever waits so long for a notifier that is busy takes another way; an attempt that took so
/// long is not repeated on the same way.
pub const PATIENCE: Millis = Millis::from_secs(20);
/// A way that failed is passed over for so long while there is another one.
pub const TRIAL_EVERY: Millis = Millis::from_secs(300);
/// After every way failed, all are tried again so much later.
pub const NEXT_ROUND: Millis = Millis::from_secs(600);
/// Rounds after which a word about an alarm that is over or taken is given up; that an alarm
/// stands is never given up.
pub const MAX_ROUNDS_AFTER: u32 = 6;
/// Alarms that a summary names; the others it counts.
pub const MAX_NAMED: usize = 10;

const _: () = assert!(RETRY_AFTER.len() + 1 == MAX_TRIES as usize);

/// One message on its way.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    target: Target,
    pub(super) what: What,
    /// Ways that failed in this round, a bit each.
    failed_ways: u32,
    /// Attempts by the present way.
    tries: u32,
    attempts: u32,
    rounds: u32,
    state: State,
    begun: Mono,
    /// It is not wanted any more, but an attempt is under way.
    withdrawn: bool,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Alarm {
        alarm: String,
        occurrence: u64,
        want: Want,
        purse: Purse,
    },
    Summary {
        /// Alarm, occurrence, key, what.
        items: Vec<(String, u64, String, Want)>,
        groups: Vec<Group>,
        summary: Summary,
    },
    Test {
        test: u64,
        by: String,
    },
}

#[derive(Debug, Clone, Copy)]
enum State {
    Waiting(Mono),
    UnderWay { since: Mono, way: usize },
}

/// One notifier, since the controller started.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    /// Key of the message it is sending, and since when.
    busy: Option<(String, Mono)>,
    /// Addresses at which it failed.
    pub(super) failures: BTreeMap<Option<String>, Failure>,
    pub(super) last_success: Option<Now>,
}

/// An address at which a notifier failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) problem: String,
    retryable: bool,
    last: Mono,
}

impl Delivery {
    fn new(now: Mono, target: Target, what: What) -> Self {
        Self {
            target,
            what,
            failed_ways: 0,
            tries: 0,
            attempts: 0,
            rounds: 0,
            state: State::Waiting(now),
            begun: now,
            withdrawn: false,
        }
    }

    pub(super) fn of_alarm(now: Mono, alarm: &str, occurrence: u64, want: &Want, purse: Purse) -> Self {
        let what = What::Alarm {
            alarm: alarm.to_owned(),
            occurrence,
            want: want.clone(),
            purse,
        };
        Self::new(now, want.target, what)
    }

    pub(super) fn of_test(now: Mono, contact: usize, test: u64, by: &str) -> Self {
        let target = Target {
            contact,
            instead_of: None,
        };
        let by = by.to_owned();
        Self::new(now, target, What::Test { test, by })
    }

    /// Urgent ones first, then who waits longest.
    fn rank(&self) -> (u8, Mono) {
        let rank = match &self.what {
            What::Alarm { purse, .. } if *purse == Purse::Urgent => 0,
            What::Summary { .. } => 1,
            What::Alarm { .. } => 2,
            What::Test { .. } => 3,
        };
        (rank, self.begun)
    }
}

impl Line {
    /// It is being given something that only its own kind waits for.
    pub(super) fn succeeded(&mut self, now: Now, to: Option<&String>) {
        self.last_success = Some(now);
        self.failures.remove(&to.cloned());
        // A server that takes mail for one takes it for the others.
        self.failures.retain(|_, failure| !failure.retryable);
    }

    pub(super) fn failed(&mut self, now: Mono, to: Option<String>, failure: &SendFailure) {
        self.failures.insert(
            to,
            Failure {
                problem: failure.problem.clone(),
                retryable: failure.retryable,
                last: now,
            },
        );
    }

    /// It failed of late at this address, or at any when the fault is not the address.
    fn fails_at(&self, to: Option<&String>) -> Option<&Failure> {
        let own = self.failures.get(&to.cloned());
        let any = self.failures.values().filter(|failure| failure.retryable);
        own.into_iter().chain(any).max_by_key(|failure| failure.last)
    }

    fn passes_over(&self, now: Mono, to: Option<&String>) -> bool {
        self.fails_at(to)
            .is_some_and(|failure| now.since(failure.last) < TRIAL_EVERY)
    }
}

impl Desk {
    /// Takes back what is not wanted any more. An attempt under way goes on: should it succeed,
    /// somebody was told, and that is recorded.
    pub(super) fn withdraw(&mut self, key: &str) {
        let Some(delivery) = self.deliveries.get_mut(key) else {
            return;
        };
        match delivery.state {
            State::UnderWay { .. } => delivery.withdrawn = true,
            State::Waiting(_) => {
                self.deliveries.remove(key);
            }
        }
    }

    /// Asks for a test call of these contacts.
    pub(super) fn call(&mut self, now: Now, contacts: &[usize], by: &str) {
        for &contact in contacts {
            let Some(name) = self.contact(contact).map(|contact| contact.name.clone()) else {
                continue;
            };
            self.deliveries.insert(
                test_key(self.tests, &name),
                Delivery::of_test(now.mono, contact, self.tests, by),
            );
        }
    }

    /// True while a summary to this contact is on its way.
    pub(super) fn is_summary_under_way(&self, contact: usize) -> bool {
        self.deliveries.values().any(|delivery| {
            delivery.target.contact == contact && matches!(delivery.what, What::Summary { .. })
        })
    }

    /// True while a test call of this contact is on its way.
    pub(super) fn is_called(&self, contact: usize) -> bool {
        self.deliveries
            .values()
            .any(|delivery| delivery.target.contact == contact && matches!(delivery.what, What::Test { .. }))
    }

    /// A notifier says what became of an attempt. The record must be applied.
    pub fn delivered(&mut self, now: Now, delivered: &Delivered) -> Option<Record> {
        let line = self.lines.get_mut(&delivered.notifier)?;
        if line.busy.as_ref().is_some_and(|(key, _)| *key == delivered.key) {
            line.busy = None;
        }
        if self.towers.heard(&delivered.key) {
            match &delivered.result {
                Ok(()) => line.succeeded(now, None),
                Err(failure) => line.failed(now.mono, None, failure),
            }
            return None;
        }
        let delivery = self.deliveries.get(&delivered.key)?;
        let contact = self.settings.notices.contacts.get(delivery.target.contact)?;
        let way = contact
            .via
            .iter()
            .position(|via| via.notifier == delivered.notifier)
            .unwrap_or_default();
        match &delivered.result {
            Ok(()) => {
                // The way of this attempt, or, when it comes late, one by the same notifier.
                let way = match delivery.state {
                    State::UnderWay { way: present, .. }
                        if contact.via.get(present)?.notifier == delivered.notifier =>
                    {
                        present
                    }
                    _ => way,
                };
                let to = contact.via.get(way).and_then(|via| via.to.clone());
                self.took(now, &delivered.key, &delivered.notifier, to.as_ref())
            }
            Err(failure) => {
                let State::UnderWay { since, way } = delivery.state else {
                    return None;
                };
                let is_present = delivered.attempt == delivery.attempts
                    && contact.via.get(way)?.notifier == delivered.notifier;
                is_present.then(|| self.attempt_failed(now, &delivered.key, since, way, failure))?
            }
        }
    }

    fn took(&mut self, now: Now, key: &str, notifier: &str, to: Option<&String>) -> Option<Record> {
        let delivery = self.deliveries.get(key)?.clone();
        let line = self.lines.get_mut(notifier)?;
        let had_failed = !line.failures.is_empty();
        line.succeeded(now, to);
        if had_failed {
            self.wake(now.mono, notifier);
        }
        let contact = self.contact(delivery.target.contact)?.name.clone();
        let deputy_for = delivery
            .target
            .instead_of
            .and_then(|absent| Some(self.contact(absent)?.name.clone()));
        let took_ms = now.mono.since(delivery.begun).0;
        let (key, notifier) = (key.to_owned(), notifier.to_owned());
        Some(match delivery.what {
            What::Alarm {
                alarm,
                occurrence,
                want,
                purse,
            } => Record::Sent {
                key,
                contact,
                deputy_for,
                notifier,
                alarm,
                occurrence,
                moment: want.moment,
                step: want.step,
                nth: want.nth,
                urgent: purse == Purse::Urgent,
                attempts: delivery.attempts,
                took_ms,
            },
            What::Summary { groups, .. } => Record::SummarySent {
                key,
                contact,
                deputy_for,
                notifier,
                groups,
                took_ms,
            },
            What::Test { test, by } => Record::TestReached {
                test,
                contact,
                deputy_for,
                notifier,
                by,
                took_ms,
            },
        })
    }

    /// A notifier works again: what rests because of it is tried now.
    fn wake(&mut self, now: Mono, notifier: &str) {
        for delivery in self.deliveries.values_mut() {
            let uses_it = self
                .settings
                .notices
                .contacts
                .get(delivery.target.contact)
                .is_some_and(|contact| contact.via.iter().any(|via| via.notifier == notifier));
            if delivery.rounds > 0 && uses_it && matches!(delivery.state, State::Waiting(_)) {
                delivery.state = State::Waiting(now);
            }
        }
        for (at, person) in self.persons.iter_mut().enumerate() {
            let uses_it = self
                .settings
                .notices
                .contacts
                .get(at)
                .is_some_and(|contact| contact.via.iter().any(|via| via.notifier == notifier));
            if uses_it && person.summary_at.is_some() && person.last_summary.is_none() {
                person.summary_at = Some(now);
            }
        }
    }

    fn attempt_failed(
        &mut self,
        now: Now,
        key: &str,
        since: Mono,
        way: usize,
        failure: &SendFailure,
    ) -> Option<Record> {
        let delivery = self.deliveries.get_mut(key)?;
        if delivery.withdrawn {
            self.deliveries.remove(key);
            return None;
        }
        let contact = self.settings.notices.contacts.get(delivery.target.contact)?;
        let via = contact.via.get(way)?;
        let line = self.lines.get_mut(&via.notifier)?;
        delivery.tries += 1;
        let known = line.fails_at(via.to.as_ref()).is_some();
        let pause = usize::try_from(delivery.tries)
            .ok()
            .and_then(|tries| RETRY_AFTER.get(tries.checked_sub(1)?));
        if let Some(pause) = pause
            && failure.retryable
            && !known
            && now.mono.since(since) <= PATIENCE
        {
            delivery.state = State::Waiting(now.mono.after(*pause));
            return None;
        }
        line.failed(now.mono, via.to.clone(), failure);
        delivery.tries = 0;
        delivery.failed_ways |= 1 << way;
        delivery.state = State::Waiting(now.mono);
        if (0..contact.via.len()).any(|way| delivery.failed_ways & (1 << way) == 0) {
            return None;
        }
        self.round_ended(now, key, &failure.problem)
    }

    /// No way of the contact took it.
    fn round_ended(&mut self, now: Now, key: &str, problem: &str) -> Option<Record> {
        let delivery = self.deliveries.get_mut(key)?;
        delivery.failed_ways = 0;
        delivery.rounds += 1;
        delivery.state = State::Waiting(now.mono.after(NEXT_ROUND));
        let rounds = delivery.rounds;
        let target = delivery.target.contact;
        let contact = self.settings.notices.contacts.get(target)?.name.clone();
        let mut record = Record::Failed {
            key: key.to_owned(),
            contact,
            alarm: None,
            occurrence: 0,
            moment: None,
            nth: 0,
            problem: problem.to_owned(),
            over: false,
        };
        let Record::Failed {
            alarm: about,
            occurrence: which,
            moment,
            nth,
            over,
            ..
        } = &mut record
        else {
            return None;
        };
        match &delivery.what {
            What::Alarm {
                alarm,
                occurrence,
                want,
                ..
            } => {
                *about = Some(alarm.clone());
                *which = *occurrence;
                *moment = Some(want.moment);
                *nth = want.nth;
                let is_after = matches!(
                    want.moment,
                    Moment::Acknowledged | Moment::Shelved | Moment::Returned
                );
                *over = is_after && rounds >= MAX_ROUNDS_AFTER;
            }
            What::Test { .. } => *over = true,
            What::Summary { items, .. } => {
                // Its alarms wait for the next one, which may have others.
                let items = items.clone();
                for (alarm, _, key, _) in items {
                    if let Some(case) = self.cases.get_mut(&alarm)
                        && let Some((_, place)) = case.open.get_mut(&key)
                    {
                        *place = Place::Folded;
                        self.persons.get_mut(target)?.folded.insert(alarm);
                    }
                }
                let person = self.persons.get_mut(target)?;
                person.summary_at = Some(now.mono.after(NEXT_ROUND));
                // A summary that nobody read does not put off the next one.
                person.last_summary = None;
                self.deliveries.remove(key);
                return Some(record);
            }
        }
        let over = *over;
        if over {
            self.deliveries.remove(key);
        }
        (over || rounds == 1).then_some(record)
    }

    /// Makes the summaries that are due.
    pub(super) fn summarise(&mut self, now: Now, alarms: &impl Alarms) {
        for at in 0..self.persons.len() {
            let due = self.persons[at].summary_at.is_some_and(|due| due <= now.mono);
            if !due {
                continue;
            }
            let folded = std::mem::take(&mut self.persons[at].folded);
            // What became quiet or was taken in the meantime is not told.
            for alarm in &folded {
                self.consider(now, alarm, alarms);
            }
            self.persons[at].summary_at = None;
            self.persons[at].folded.clear();
            self.summary_of(now, at, &folded, alarms);
        }
    }

    fn summary_of(
        &mut self,
        now: Now,
        at: usize,
        folded: &std::collections::BTreeSet<String>,
        alarms: &impl Alarms,
    ) {
        let mut items = Vec::new();
        let mut kinds: BTreeMap<(Moment, u8, u32, bool), Vec<u64>> = BTreeMap::new();
        let mut counts = [0; 3];
        let mut returned = 0;
        let mut named: Vec<(Priority, u64, String)> = Vec::new();
        let mut instead_of = None;
        for alarm in folded {
            let Some(case) = self.cases.get_mut(alarm) else {
                continue;
            };
            let Some(brief) = &case.brief else { continue };
            let mut is_counted = false;
            for (key, (want, place)) in &mut case.open {
                if want.target.contact != at || *place != Place::Folded {
                    continue;
                }
                *place = Place::InSummary;
                instead_of = want.target.instead_of;
                let is_new = matches!(want.moment, Moment::Raised | Moment::Escalated);
                let later = is_new && purse_of(brief, want.moment) == Purse::Urgent;
                kinds
                    .entry((want.moment, want.step, want.nth, later))
                    .or_default()
                    .push(case.occurrence);
                items.push((alarm.clone(), case.occurrence, key.clone(), want.clone()));
                if want.moment == Moment::Returned {
                    returned += 1;
                } else if !std::mem::replace(&mut is_counted, true) {
                    counts[2 - brief.priority as usize] += 1;
                    named.push((brief.priority, case.occurrence, alarm.clone()));
                }
            }
        }
        if items.is_empty() {
            return;
        }
        named.sort_by_key(|(priority, occurrence, _)| (std::cmp::Reverse(*priority), *occurrence));
        let some = named
            .iter()
            .take(MAX_NAMED)
            .filter_map(|(priority, _, alarm)| {
                let told = alarms.told(alarm)?;
                Some((*priority, told.what, told.place))
            })
            .collect();
        let Some(contact) = self.contact(at).map(|contact| contact.name.clone()) else {
            return;
        };
        let number = self.summaries.get(&contact).copied().unwrap_or(0) + 1;
        let first = items
            .iter()
            .map(|(_, occurrence, ..)| *occurrence)
            .min()
            .unwrap_or(0);
        let last = items
            .iter()
            .map(|(_, occurrence, ..)| *occurrence)
            .max()
            .unwrap_or(0);
        let key = format!("summary/{contact}/{number}/{first}-{last}-{}", items.len());
        let groups = kinds
            .into_iter()
            .map(|((moment, step, nth, also_singly), occurrences)| Group {
                moment,
                step,
                nth,
                also_singly,
                occurrences: ranges(occurrences),
            })
            .collect();
        let what = What::Summary {
            items,
            groups,
            summary: Summary {
                counts,
                some,
                returned,
            },
        };
        let target = Target {
            contact: at,
            instead_of,
        };
        self.persons[at].last_summary = Some(now.mono);
        self.deliveries.insert(key, Delivery::new(now.mono, target, what));
    }

    /// Ends what got no word, and gives every free notifier its next message.
    pub(super) fn deliver(&mut self, now: Now, alarms: &impl Alarms, out: &mut Out) {
        let silent: Vec<(String, Mono, usize)> = self
            .deliveries
            .iter()
            .filter_map(|(key, delivery)| match delivery.state {
                State::UnderWay { since, way } if now.mono.since(since) >= NO_WORD_AFTER => {
                    Some((key.clone(), since, way))
                }
                _ => None,
            })
            .collect();
        for (key, since, way) in silent {
            for line in self.lines.values_mut() {
                if line.busy.as_ref().is_some_and(|(busy, _)| *busy == key) {
                    line.busy = None;
                }
            }
            let failure = SendFailure::passing("the notifier said nothing");
            let failed = self.attempt_failed(now, &key, since, way, &failure);
            if let Some(record) = failed {
                out.records.push(record);
            }
        }
        let mut due: Vec<(u8, Mono, String)> = self
            .deliveries
            .iter()
            .filter(|(_, delivery)| matches!(delivery.state, State::Waiting(at) if at <= now.mono))
            .map(|(key, delivery)| {
                let (rank, begun) = delivery.rank();
                (rank, begun, key.clone())
            })
            .collect();
        due.sort_unstable();
        for (_, _, key) in due {
            // What is told must be so at this moment.
            let alarm = match self.deliveries.get(&key).map(|delivery| &delivery.what) {
                Some(What::Alarm { alarm, .. }) => Some(alarm.clone()),
                _ => None,
            };
            if let Some(alarm) = alarm {
                self.consider(now, &alarm, alarms);
            }
            if self.comes_after_another(&key) {
                continue;
            }
            if let Some(notice) = self.next_attempt(now, &key, alarms) {
                out.notices.push(notice);
            }
        }
    }

    /// That an alarm is over or taken is not told while the same contact is being told that it
    /// stands, lest the words arrive in the wrong order.
    fn comes_after_another(&self, key: &str) -> bool {
        let about = |delivery: &Delivery| match &delivery.what {
            What::Alarm { alarm, purse, .. } => Some((alarm.clone(), *purse)),
            _ => None,
        };
        let Some(delivery) = self.deliveries.get(key) else {
            return false;
        };
        let Some((alarm, Purse::After)) = about(delivery) else {
            return false;
        };
        self.deliveries.values().any(|other| {
            other.target.contact == delivery.target.contact
                && matches!(other.state, State::UnderWay { .. })
                && about(other).is_some_and(|(other, _)| other == alarm)
        })
    }

    /// The way that a delivery takes now; `None` while it must wait for a notifier.
    fn choose_way(&self, now: Mono, delivery: &Delivery) -> Option<usize> {
        let contact = self.contact(delivery.target.contact)?;
        let untried = || {
            let ways = contact.via.iter().enumerate();
            ways.filter(|(way, _)| delivery.failed_ways & (1 << *way) == 0)
        };
        let line = |notifier: &str| self.lines.get(notifier);
        let healthy: Vec<usize> = untried()
            .filter(|(_, via)| {
                line(&via.notifier).is_some_and(|line| !line.passes_over(now, via.to.as_ref()))
            })
            .map(|(way, _)| way)
            .collect();
        let candidates = if healthy.is_empty() {
            untried().map(|(way, _)| way).collect()
        } else {
            healthy
        };
        for way in candidates {
            let via = contact.via.get(way)?;
            match line(&via.notifier)?.busy {
                None => return Some(way),
                // Its turn comes soon.
                Some((_, since)) if now.since(since) < PATIENCE => return None,
                Some(_) => {}
            }
        }
        None
    }

    fn next_attempt(&mut self, now: Now, key: &str, alarms: &impl Alarms) -> Option<Notice> {
        let delivery = self.deliveries.get(key)?;
        let way = self.choose_way(now.mono, delivery)?;
        let contact = self.contact(delivery.target.contact)?;
        let via = contact.via.get(way)?.clone();
        let about = match &delivery.what {
            What::Test { by, .. } => About::Test { by: by.clone() },
            What::Summary { summary, .. } => About::Summary(summary.clone()),
            What::Alarm { alarm, want, .. } => {
                let mut told = alarms.told(alarm)?;
                told.moment = want.moment;
                told.folded = self.folded(alarm);
                told.lasted = self.cases.get(alarm).map_or(told.lasted, |case| case.lasted(now));
                About::Alarm(Box::new(told))
            }
        };
        let contact = Some(contact.name.clone());
        let delivery = self.deliveries.get_mut(key)?;
        delivery.attempts += 1;
        delivery.state = State::UnderWay { since: now.mono, way };
        let attempt = delivery.attempts;
        self.lines.get_mut(&via.notifier)?.busy = Some((key.to_owned(), now.mono));
        Some(self.notice(now, key, attempt, &via.notifier, via.to, contact, about))
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a notice that differ")]
    pub(super) fn notice(
        &self,
        now: Now,
        key: &str,
        attempt: u32,
        notifier: &str,
        to: Option<String>,
        contact: Option<String>,
        about: About,
    ) -> Notice {
        Notice {
            key: key.to_owned(),
            attempt,
            notifier: notifier.to_owned(),
            to,
            contact,
            at: now.wall,
            site: self.settings.site.clone(),
            simulated: self.settings.simulated,
            about,
        }
    }

    pub(super) fn delivery_deadline(&self, now: Mono) -> Option<Mono> {
        let patience = self
            .lines
            .values()
            .filter_map(|line| Some(line.busy.as_ref()?.1.after(PATIENCE)))
            .filter(|at| *at > now)
            .min();
        self.deliveries
            .values()
            .filter_map(|delivery| match delivery.state {
                State::UnderWay { since, .. } => Some(since.after(NO_WORD_AFTER)),
                State::Waiting(at) if at > now => Some(at),
                // It waits for a notifier: its word wakes us, or our patience ends.
                State::Waiting(_) => patience,
            })
            .min()
    }

    /// Why a notifier is in trouble, in words; `None` while it is well.
    #[must_use]
    pub fn trouble(&self, notifier: &str) -> Option<Label> {
        let failures = &self.lines.get(notifier)?.failures;
        let (to, first) = failures.iter().next()?;
        let more = failures.len().saturating_sub(1);
        // By its office: an address is a person's, and this is told to others.
        let whose = to.as_ref().and_then(|_| {
            let contacts = &self.settings.notices.contacts;
            contacts.iter().find(|contact| {
                let mut ways = contact.via.iter();
                ways.any(|via| via.notifier == notifier && via.to == *to)
            })
        });
        let place = |label: fn(&Label) -> &String| {
            whose.map_or(String::new(), |contact| format!("{}: ", label(&contact.label)))
        };
        let others = |text: &str| {
            if more == 0 {
                String::new()
            } else {
                text.replace("{}", &more.to_string())
            }
        };
        Some(Label::new(
            place(|label| &label.ja) + &first.problem + &others("（ほか {} 宛先）"),
            place(|label| &label.en) + &first.problem + &others(" (and {} more addresses)"),
        ))
    }
}

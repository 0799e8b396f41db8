//! The desk: who is told what, when. The one owner of everything about notices.
//!
//! ```text
//! records --apply--> cases, marks              (durable: what was raised, what was told)
//! run(now, alarms): case -> wants -> single | summary -> delivery -> Notice
//!                     ^                                      |
//!                     +------ record of success <-- Delivered
//! ```
//! [`Desk::run`] looks at every alarm that changed or whose time has come, compares what should
//! have been told with what was told, and hands over the difference. Nothing is remembered of what
//! is still to be done: after a restart the same comparison finds it again. It never sends and
//! never reads a clock.

use super::case::{Brief, Case, Marks, Place, Tree, Want};
use super::delivery::{Delivery, Line};
use super::duty::Calendar;
use super::fold::{Budget, GATHER, Purse, SUMMARY_EVERY};
use super::record::{Group, Record};
use super::route::{Path, paths_of};
use super::tower::Towers;
use super::{Moment, Notice, Told};
use crate::alarm::Standing;
use crate::site::notice::{Contact, Notices};
use crate::site::{Label, Priority};
use crate::time::{Millis, Mono, Now, Wall};
use std::collections::{BTreeMap, BTreeSet};

/// What the desk asks the book of alarms.
pub trait Alarms {
    /// Where an alarm stands; `None` when there is none of this id.
    fn brief(&self, id: &str) -> Option<Brief>;
    /// The alarm in words; `moment`, `lasted` and `folded` are filled in by the desk.
    fn told(&self, id: &str) -> Option<Told>;
}

/// A site, as far as the desk must know it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Name of the room.
    pub site: Label,
    /// Every notice says so.
    pub simulated: bool,
    /// Names of the notifiers and how they are shown.
    pub notifiers: BTreeMap<String, Label>,
    /// Those that show lamps.
    pub towers: Vec<String>,
    /// Local time.
    pub calendar: Calendar,
    /// Contacts, routes, heartbeats.
    pub notices: Notices,
}

/// What one [`Desk::run`] led to.
#[derive(Debug, Clone, Default)]
pub struct Out {
    /// To be applied and journaled.
    pub records: Vec<Record>,
    /// To be sent after that.
    pub notices: Vec<Notice>,
}

/// When a contact was last reached by a test call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tested {
    pub(super) at: Wall,
    pub(super) by: String,
    pub(super) notifier: String,
    pub(super) took: Millis,
}

/// A delivery that failed for good, for the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) at: Wall,
    pub(super) contact: String,
    pub(super) alarm: Option<String>,
    pub(super) problem: String,
    pub(super) over: bool,
}

/// Failures that the page shows.
const MAX_FAILED: usize = 20;

/// One contact, since the controller started.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) budget: Budget,
    /// Alarms with something in the next summary.
    pub(super) folded: BTreeSet<String>,
    pub(super) summary_at: Option<Mono>,
    pub(super) last_summary: Option<Mono>,
    /// Alarms with something that waits for room, of each purse that can be waited for.
    pub(super) waiting: [(Purse, BTreeSet<String>); 2],
}

impl Default for Person {
    fn default() -> Self {
        Self {
            budget: Budget::default(),
            folded: BTreeSet::new(),
            summary_at: None,
            last_summary: None,
            waiting: [Purse::Urgent, Purse::After].map(|purse| (purse, BTreeSet::new())),
        }
    }
}

impl Person {
    fn wait(&mut self, purse: Purse, alarm: &str) {
        if let Some((_, waiting)) = self.waiting.iter_mut().find(|(other, _)| *other == purse) {
            waiting.insert(alarm.to_owned());
        }
    }
}

/// Who is told what.
#[derive(Debug)]
pub struct Desk {
    pub(super) settings: Settings,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) paths: Vec<Path>,
    // ---- from records ----
    raises: u64,
    pub(super) cases: BTreeMap<String, Case>,
    by_occurrence: BTreeMap<u64, String>,
    pub(super) tests: u64,
    pub(super) tested: BTreeMap<String, Tested>,
    pub(super) began: Option<Wall>,
    /// Boot of the machine in which the last start was.
    boot_id: String,
    pub(super) summaries: BTreeMap<String, u32>,
    pub(super) failed: Vec<Failed>,
    // ---- since the controller started ----
    dirty: BTreeSet<String>,
    timers: BTreeSet<(Mono, String)>,
    under: BTreeMap<String, BTreeSet<String>>,
    pub(super) persons: Vec<Person>,
    pub(super) deliveries: BTreeMap<String, Delivery>,
    pub(super) lines: BTreeMap<String, Line>,
    pub(super) towers: Towers,
}

impl Desk {
    /// A desk that was told nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let contacts = &settings.notices.contacts;
        let names: BTreeMap<String, usize> = contacts
            .iter()
            .enumerate()
            .map(|(at, contact)| (contact.name.clone(), at))
            .collect();
        Self {
            paths: settings
                .notices
                .routes
                .iter()
                .map(|route| Path::of(route, &names))
                .collect(),
            persons: vec![Person::default(); contacts.len()],
            lines: settings
                .notifiers
                .keys()
                .map(|name| (name.clone(), Line::default()))
                .collect(),
            towers: Towers::of(&settings),
            names,
            settings,
            raises: 0,
            cases: BTreeMap::new(),
            by_occurrence: BTreeMap::new(),
            tests: 0,
            tested: BTreeMap::new(),
            began: None,
            boot_id: String::new(),
            summaries: BTreeMap::new(),
            failed: Vec::new(),
            dirty: BTreeSet::new(),
            timers: BTreeSet::new(),
            under: BTreeMap::new(),
            deliveries: BTreeMap::new(),
        }
    }

    /// True when the site has nobody and nothing to tell.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.settings.notifiers.is_empty()
    }

    pub(super) fn contact(&self, at: usize) -> Option<&Contact> {
        self.settings.notices.contacts.get(at)
    }

    // ---- records -----------------------------------------------------------------------

    /// An alarm was raised.
    pub fn raised(&mut self, at: Now, alarm: &str, latching: bool) {
        // Counted whether or not anybody is told, so that a number never changes its meaning.
        self.raises += 1;
        if self.is_idle() {
            return;
        }
        match self.cases.get_mut(alarm) {
            Some(case) => {
                self.by_occurrence.remove(&case.occurrence);
                case.raised_again(at, self.raises, latching);
            }
            None => {
                self.cases
                    .insert(alarm.to_owned(), Case::new(at, self.raises, latching));
            }
        }
        self.by_occurrence.insert(self.raises, alarm.to_owned());
        self.changed(alarm);
    }

    /// Somebody took an alarm.
    pub fn acknowledged(&mut self, alarm: &str) {
        if let Some(case) = self.cases.get_mut(alarm) {
            case.acks += 1;
        }
        self.changed(alarm);
    }

    /// Somebody put an alarm away.
    pub fn shelved(&mut self, alarm: &str) {
        if let Some(case) = self.cases.get_mut(alarm) {
            case.shelves += 1;
        }
        self.changed(alarm);
    }

    /// A shelf ended.
    pub fn unshelved(&mut self, at: Now, alarm: &str) {
        if let Some(case) = self.cases.get_mut(alarm) {
            case.unshelved = Some(at.mono);
        }
        self.changed(alarm);
    }

    /// Something else happened to an alarm: it returned, was reset, was taken out of service.
    pub fn changed(&mut self, alarm: &str) {
        if self.is_idle() {
            return;
        }
        self.dirty.insert(alarm.to_owned());
    }

    /// Something happened that may concern any alarm.
    pub fn anything_changed(&mut self) {
        self.dirty.extend(self.cases.keys().cloned());
    }

    /// The controller started; the first one of the journal begins the time of the test calls. In
    /// another boot of the machine every delay counts from here: its clock began anew, and what was
    /// noted of the old one may lie far ahead.
    pub fn began(&mut self, at: Now, boot_id: &str) {
        self.began.get_or_insert(at.wall);
        let same_boot = self.boot_id == boot_id && !boot_id.is_empty();
        boot_id.clone_into(&mut self.boot_id);
        if !same_boot {
            self.resume(at, false);
        }
    }

    /// Applies a record of its own.
    pub fn apply(&mut self, at: Now, record: &Record) {
        match record {
            Record::Sent {
                key,
                contact,
                deputy_for,
                notifier,
                alarm,
                occurrence,
                moment,
                step,
                nth,
                urgent,
                ..
            } => {
                let purse = purse_for(*urgent, *moment);
                let was_sent_now = self.deliveries.remove(key).is_some();
                if let Some(person) = self.names.get(contact).and_then(|at| self.persons.get_mut(*at))
                    && !was_sent_now
                {
                    person.budget.spend(at.mono, purse);
                }
                let told = Mark {
                    at,
                    contact,
                    deputy_for: deputy_for.as_ref(),
                    notifier,
                    moment: *moment,
                    step: *step,
                    nth: *nth,
                };
                self.mark(alarm, *occurrence, &told, true, true);
            }
            Record::SummarySent {
                key,
                contact,
                deputy_for,
                notifier,
                groups,
                ..
            } => {
                self.deliveries.remove(key);
                *self.summaries.entry(contact.clone()).or_default() += 1;
                for group in groups {
                    let told = Mark {
                        at,
                        contact,
                        deputy_for: deputy_for.as_ref(),
                        notifier,
                        moment: group.moment,
                        step: group.step,
                        nth: group.nth,
                    };
                    self.mark_group(group, &told);
                }
            }
            Record::Failed {
                contact,
                alarm,
                occurrence,
                moment,
                nth,
                problem,
                over,
                ..
            } => {
                if self.failed.len() >= MAX_FAILED {
                    self.failed.remove(0);
                }
                self.failed.push(Failed {
                    at: at.wall,
                    contact: contact.clone(),
                    alarm: alarm.clone(),
                    problem: problem.clone(),
                    over: *over,
                });
                if let (true, Some(alarm), Some(moment)) = (over, alarm, moment)
                    && let Some(case) = self.cases.get_mut(alarm)
                    && let Some(marks) = case.told.get_mut(contact)
                    && case.occurrence == *occurrence
                {
                    give_up(marks, *moment, *nth);
                    self.changed(alarm);
                }
            }
            Record::TestCalled { .. } => self.tests += 1,
            Record::TestReached {
                contact,
                notifier,
                by,
                took_ms,
                test,
                ..
            } => {
                self.deliveries.remove(&test_key(*test, contact));
                let tested = Tested {
                    at: at.wall,
                    by: by.clone(),
                    notifier: notifier.clone(),
                    took: Millis(*took_ms),
                };
                self.tested.insert(contact.clone(), tested);
            }
            Record::LampTested { .. } => {}
        }
    }

    fn mark_group(&mut self, group: &Group, told: &Mark<'_>) {
        for (first, last) in &group.occurrences {
            let alarms: Vec<(u64, String)> = self
                .by_occurrence
                .range(*first..=(*last).max(*first))
                .map(|(occurrence, alarm)| (*occurrence, alarm.clone()))
                .collect();
            for (occurrence, alarm) in alarms {
                self.mark(&alarm, occurrence, told, false, !group.also_singly);
            }
        }
    }

    /// A contact was told something of an alarm; `settled` when that was all it had to be told.
    fn mark(&mut self, alarm: &str, occurrence: u64, told: &Mark<'_>, singly: bool, settled: bool) {
        let Some(case) = self.cases.get_mut(alarm) else {
            return;
        };
        let is_present = case.occurrence == occurrence;
        let nobody_yet = !case.told.values().any(|marks| marks.raised);
        let marks = case.told.entry(told.contact.clone()).or_default();
        marks.at = told.at.wall;
        marks.moment = Some(told.moment);
        marks.notifier.clone_from(told.notifier);
        marks.deputy_for = told.deputy_for.cloned();
        match told.moment {
            Moment::Raised | Moment::Escalated | Moment::Reminder => {
                // Told of an earlier raising that came late: that it is over is owed all the same.
                marks.raised = true;
                marks.singly |= singly;
                if !is_present {
                    self.changed(alarm);
                    return;
                }
                marks.summarised |= !singly;
                if told.moment == Moment::Reminder {
                    marks.round = marks.round.max(told.nth);
                    case.rounds = case.rounds.max(told.nth);
                    if case.round < told.nth {
                        case.round = told.nth;
                        case.round_at = told.at.mono;
                    }
                } else {
                    if settled {
                        marks.steps |= 1_u8.checked_shl(u32::from(told.step)).unwrap_or(0);
                    }
                    marks.round = marks.round.max(case.round);
                    if nobody_yet {
                        case.round_at = told.at.mono;
                    }
                }
            }
            // Of an earlier raising: what was carried over is settled with it, unless the
            // alarm stands again, and then the word of its end comes later.
            Moment::Acknowledged | Moment::Shelved | Moment::Returned => {
                if is_present {
                    give_up(marks, told.moment, told.nth);
                }
            }
        }
        self.changed(alarm);
    }

    /// After the journal was replayed, its last record being that of this start.
    pub fn start(&mut self, now: Now) {
        self.resume(now, true);
        self.towers.start(now.mono);
        self.anything_changed();
    }

    fn resume(&mut self, now: Now, same_boot: bool) {
        let tree = Tree {
            contacts: &self.settings.notices.contacts,
            names: &self.names,
            paths: &self.paths,
            calendar: &self.settings.calendar,
        };
        for case in self.cases.values_mut() {
            case.resume(now, same_boot, &tree);
        }
        if !same_boot {
            for person in &mut self.persons {
                person.budget.forget_monotonic(now.mono);
            }
        }
    }

    // ---- deciding ----------------------------------------------------------------------

    /// Looks at everything that changed or is due.
    pub fn run(&mut self, now: Now, alarms: &impl Alarms) -> Out {
        let mut out = Out::default();
        if self.is_idle() {
            return out;
        }
        for person in &mut self.persons {
            for (purse, waiting) in &mut person.waiting {
                if !waiting.is_empty() && person.budget.room_at(now.mono, *purse).is_none() {
                    self.dirty.append(waiting);
                }
            }
        }
        while let Some((at, alarm)) = self.timers.first().cloned() {
            if at > now.mono {
                break;
            }
            self.timers.remove(&(at, alarm.clone()));
            if let Some(case) = self.cases.get_mut(&alarm) {
                case.due = None;
            }
            self.dirty.insert(alarm);
        }
        let towers_change = !self.dirty.is_empty();
        // What is folded under an alarm that changed may have come up.
        let causes: Vec<String> = self.dirty.iter().cloned().collect();
        for cause in causes {
            if let Some(folded) = self.under.get(&cause) {
                self.dirty.extend(folded.iter().cloned());
            }
        }
        for alarm in std::mem::take(&mut self.dirty) {
            self.consider(now, &alarm, alarms);
        }
        self.summarise(now, alarms);
        self.deliver(now, alarms, &mut out);
        self.signal(now, towers_change, &mut out);
        out
    }

    /// Compares what should have been told of an alarm with what was.
    pub(super) fn consider(&mut self, now: Now, alarm: &str, alarms: &impl Alarms) {
        let Some(mut case) = self.cases.remove(alarm) else {
            return;
        };
        let Some(brief) = alarms.brief(alarm) else {
            self.forget(alarm, &mut case);
            return;
        };
        self.fold_under(alarm, &mut case, brief.under.clone());
        if case.paths.is_none() {
            case.paths = Some(paths_of(&self.paths, alarm, &brief));
        }
        let tree = Tree {
            contacts: &self.settings.notices.contacts,
            names: &self.names,
            paths: &self.paths,
            calendar: &self.settings.calendar,
        };
        let (wants, due) = case.wants(now, &brief, &tree);
        self.place(now, alarm, &mut case, &brief, wants);
        let is_gone = case.is_over(brief.standing) && brief.standing != Standing::Latched;
        if is_gone && case.open.is_empty() {
            self.forget(alarm, &mut case);
            return;
        }
        self.set_timer(alarm, &mut case, due);
        case.brief = Some(brief);
        self.cases.insert(alarm.to_owned(), case);
    }

    fn set_timer(&mut self, alarm: &str, case: &mut Case, due: Option<Mono>) {
        if case.due == due {
            return;
        }
        if let Some(old) = case.due.take() {
            self.timers.remove(&(old, alarm.to_owned()));
        }
        if let Some(due) = due {
            self.timers.insert((due, alarm.to_owned()));
        }
        case.due = due;
    }

    fn fold_under(&mut self, alarm: &str, case: &mut Case, cause: Option<String>) {
        if case.under == cause {
            return;
        }
        if let Some(old) = case.under.take()
            && let Some(folded) = self.under.get_mut(&old)
        {
            folded.remove(alarm);
            if folded.is_empty() {
                self.under.remove(&old);
            }
        }
        if let Some(cause) = &cause {
            self.under
                .entry(cause.clone())
                .or_default()
                .insert(alarm.to_owned());
        }
        case.under = cause;
    }

    fn forget(&mut self, alarm: &str, case: &mut Case) {
        self.set_timer(alarm, case, None);
        self.fold_under(alarm, case, None);
        self.by_occurrence.remove(&case.occurrence);
        for key in std::mem::take(&mut case.open).into_keys() {
            self.withdraw(&key);
        }
        for person in &mut self.persons {
            person.folded.remove(alarm);
            for (_, waiting) in &mut person.waiting {
                waiting.remove(alarm);
            }
        }
    }

    /// Puts every want where it belongs, and takes back what is not wanted any more.
    fn place(&mut self, now: Now, alarm: &str, case: &mut Case, brief: &Brief, wants: Vec<Want>) {
        let mut open = std::mem::take(&mut case.open);
        for want in wants {
            let Some(contact) = self.contact(want.target.contact) else {
                continue;
            };
            let marks = case.told.get(&contact.name).cloned().unwrap_or_default();
            let key = key(alarm, case.occurrence, &contact.name, &want);
            let place = open.remove(&key).map(|(_, place)| place);
            let place = match place {
                Some(Place::Single) if !self.deliveries.contains_key(&key) => None,
                Some(Place::Waiting) => None,
                // That summary arrived, and an urgent alarm is told singly as well.
                Some(Place::InSummary) if !self.is_summary_under_way(want.target.contact) => None,
                other => other,
            };
            let place =
                place.or_else(|| self.find_place(now, alarm, &key, case.occurrence, &want, brief, &marks));
            if let Some(place) = place {
                case.open.insert(key, (want, place));
            }
        }
        for (key, (want, place)) in open {
            match place {
                Place::Single => self.withdraw(&key),
                Place::Folded | Place::Waiting | Place::InSummary => {
                    let still = case.open.values().any(|(other, place)| {
                        other.target.contact == want.target.contact && *place == Place::Folded
                    });
                    if let Some(person) = self.persons.get_mut(want.target.contact)
                        && !still
                    {
                        person.folded.remove(alarm);
                    }
                }
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one decision that depends on the case, its want and the moment"
    )]
    fn find_place(
        &mut self,
        now: Now,
        alarm: &str,
        key: &str,
        occurrence: u64,
        want: &Want,
        brief: &Brief,
        marks: &Marks,
    ) -> Option<Place> {
        let purse = purse_of(brief, want.moment);
        let person = self.persons.get_mut(want.target.contact)?;
        // Whoever read it in a summary reads its end in one, and not who took it.
        let singly = purse != Purse::After || marks.singly;
        if singly && person.budget.has_room(now.mono, purse) {
            person.budget.spend(now.mono, purse);
            self.deliveries.insert(
                key.to_owned(),
                Delivery::of_alarm(now.mono, alarm, occurrence, want, purse),
            );
            return Some(Place::Single);
        }
        match want.moment {
            Moment::Acknowledged | Moment::Shelved => {
                if singly {
                    person.wait(purse, alarm);
                }
                singly.then_some(Place::Waiting)
            }
            // The summary had it already; what is left is to tell it singly.
            Moment::Raised | Moment::Escalated if purse == Purse::Urgent && marks.summarised => {
                person.wait(purse, alarm);
                Some(Place::Waiting)
            }
            _ => {
                person.folded.insert(alarm.to_owned());
                if person.summary_at.is_none() {
                    let next = person.last_summary.map(|last| last.after(SUMMARY_EVERY));
                    let gathered = now.mono.after(GATHER);
                    person.summary_at = Some(next.map_or(gathered, |next| next.max(gathered)));
                }
                Some(Place::Folded)
            }
        }
    }

    /// Alarms folded under this one.
    pub(super) fn folded(&self, alarm: &str) -> usize {
        self.under.get(alarm).map_or(0, BTreeSet::len)
    }

    /// When [`Self::run`] has something to do at the latest.
    #[must_use]
    pub fn next_deadline(&self, now: Now) -> Option<Mono> {
        let persons = self.persons.iter().flat_map(|person| {
            let room = person
                .waiting
                .iter()
                .filter(|(_, waiting)| !waiting.is_empty())
                .filter_map(|(purse, _)| person.budget.room_at(now.mono, *purse))
                .min();
            [room, person.summary_at]
        });
        self.timers
            .first()
            .map(|(at, _)| *at)
            .into_iter()
            .chain(persons.flatten())
            .chain(self.delivery_deadline(now.mono))
            .chain(self.towers.next_deadline())
            .min()
    }

    /// Everything held in memory, counted; for tests of its bounds and for metrics.
    #[must_use]
    pub fn size(&self) -> Size {
        Size {
            cases: self.cases.len(),
            deliveries: self.deliveries.len(),
            timers: self.timers.len(),
            folded: self.persons.iter().map(|person| person.folded.len()).sum(),
        }
    }
}

/// What a desk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Alarms that are not normal, or of whose end somebody is still to be told.
    pub cases: usize,
    /// Messages on their way.
    pub deliveries: usize,
    /// Timers of cases.
    pub timers: usize,
    /// Alarms that wait for a summary, over all contacts.
    pub folded: usize,
}

/// A contact was told.
struct Mark<'a> {
    at: Now,
    contact: &'a String,
    deputy_for: Option<&'a String>,
    notifier: &'a String,
    moment: Moment,
    step: u8,
    nth: u32,
}

fn give_up(marks: &mut Marks, moment: Moment, nth: u32) {
    match moment {
        Moment::Acknowledged => marks.acks = marks.acks.max(nth),
        Moment::Shelved => marks.shelves = marks.shelves.max(nth),
        Moment::Returned => marks.returned = true,
        Moment::Raised | Moment::Escalated | Moment::Reminder => {}
    }
}

pub(super) fn purse_of(brief: &Brief, moment: Moment) -> Purse {
    let urgent = brief.priority == Priority::Critical || brief.class == super::DOOR;
    purse_for(urgent, moment)
}

const fn purse_for(urgent: bool, moment: Moment) -> Purse {
    match moment {
        Moment::Acknowledged | Moment::Shelved | Moment::Returned => Purse::After,
        Moment::Raised | Moment::Escalated | Moment::Reminder if urgent => Purse::Urgent,
        Moment::Raised | Moment::Escalated | Moment::Reminder => Purse::Ordinary,
    }
}

/// The key of a notice about an alarm.
fn key(alarm: &str, occurrence: u64, contact: &str, want: &Want) -> String {
    let moment = match want.moment {
        Moment::Raised => "raised",
        Moment::Escalated => "escalated",
        Moment::Reminder => "reminder",
        Moment::Acknowledged => "acknowledged",
        Moment::Shelved => "shelved",
        Moment::Returned => "returned",
    };
    match (want.step, want.nth) {
        (step, 0) if want.moment == Moment::Escalated => {
            format!("{alarm}/{occurrence}/{contact}/{moment}-{step}")
        }
        (_, 0) => format!("{alarm}/{occurrence}/{contact}/{moment}"),
        (_, nth) => format!("{alarm}/{occurrence}/{contact}/{moment}-{nth}"),
    }
}

pub(super) fn test_key(test: u64, contact: &str) -> String {
    format!("test/{test}/{contact}")
}

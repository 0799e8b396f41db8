//! One standing alarm: who was told of it, and who should be told now.
//!
//! ```text
//! raised --> step 0 --after--> step 1 --after--> ...      nobody has it: reminders to all told
//!    |
//!    +-- acknowledged --> those told are told who has it; no step, no reminder any more
//!    +-- shelved ------> those told are told; nothing more until it comes up again
//!    +-- suppressed, out of service --> nothing until it comes up again
//!    +-- returned -----> exactly those told are told; then it is forgotten
//! ```
//! [`Case::wants`] looks at the whole present truth and says what should have been told by now;
//! what was told already is in the marks, which records alone change. A latching alarm whose cause
//! went before anybody had seen it still needs a person, so it goes on like a standing one.

use super::Moment;
use super::duty::{self, Calendar, Target};
use super::route::Path;
use crate::alarm::Standing;
use crate::site::Priority;
use crate::site::notice::{Contact, Moments};
use crate::time::{Millis, Mono, Now, Wall};
use std::collections::BTreeMap;

/// An alarm as the book of alarms has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Where it stands.
    pub standing: Standing,
    /// Why nobody is to be told now.
    pub quiet: Option<Quiet>,
    /// The alarm that it is folded under.
    pub under: Option<String>,
    /// Priority.
    pub priority: Priority,
    /// Word of its class in the catalogue.
    pub class: &'static str,
    /// Word of its kind in the catalogue.
    pub kind: &'static str,
}

/// Why nobody is told of a standing alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// Somebody put it away until a stated time.
    Shelved,
    /// It is a consequence of another one, or it was taken out of service or is worked on.
    Suppressed,
}

/// What a contact was told of a raising.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Marks {
    /// That it stands.
    pub(super) raised: bool,
    /// By a message of its own, not only in a summary.
    pub(super) singly: bool,
    /// In a summary of this raising.
    pub(super) summarised: bool,
    /// As a member of these steps, a bit each.
    pub(super) steps: u8,
    /// The last reminder,
    pub(super) round: u32,
    /// acknowledgement
    pub(super) acks: u32,
    /// and shelf that was told.
    pub(super) shelves: u32,
    /// That it is over.
    pub(super) returned: bool,
    /// When it was last told anything, for the page,
    pub(super) at: Wall,
    /// what,
    pub(super) moment: Option<Moment>,
    /// by what,
    pub(super) notifier: String,
    /// and for whom.
    pub(super) deputy_for: Option<String>,
}

/// Something a contact should be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) target: Target,
    pub(super) moment: Moment,
    pub(super) step: u8,
    pub(super) nth: u32,
}

/// Where a wanted notice is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A delivery of its own.
    Single,
    /// In the contact's next summary.
    Folded,
    /// In the summary that is on its way.
    InSummary,
    /// Waits until there is room to tell it singly.
    Waiting,
}

/// A standing alarm.
#[derive(Debug, Clone)]
pub(super) struct Case {
    // ---- from records ----
    pub(super) occurrence: u64,
    pub(super) raised: Now,
    pub(super) latching: bool,
    pub(super) acks: u32,
    pub(super) shelves: u32,
    pub(super) unshelved: Option<Mono>,
    pub(super) told: BTreeMap<String, Marks>,
    /// The last reminder that was told to anybody, and when.
    pub(super) rounds: u32,
    // ---- since the controller started ----
    /// The machine was started again since it was raised: only the wall clock knows how long.
    pub(super) rebooted: bool,
    /// Steps count from here,
    pub(super) base: Mono,
    /// with so much behind them already.
    pub(super) head_start: Millis,
    /// The reminder that everybody told should have, and when it was begun.
    pub(super) round: u32,
    pub(super) round_at: Mono,
    pub(super) paths: Option<Vec<usize>>,
    /// Whom each step that is due tells; found once, so that a change of duty moves nobody.
    pub(super) steps: BTreeMap<(usize, u8), Vec<Target>>,
    pub(super) open: BTreeMap<String, (Want, Place)>,
    pub(super) due: Option<Mono>,
    pub(super) was_quiet: bool,
    pub(super) under: Option<String>,
    pub(super) brief: Option<Brief>,
}

/// What the wants of a case depend on besides itself.
pub(super) struct Tree<'a> {
    pub(super) contacts: &'a [Contact],
    pub(super) names: &'a BTreeMap<String, usize>,
    pub(super) paths: &'a [Path],
    pub(super) calendar: &'a Calendar,
}

impl Case {
    pub(super) fn new(at: Now, occurrence: u64, latching: bool) -> Self {
        Self {
            occurrence,
            raised: at,
            latching,
            acks: 0,
            shelves: 0,
            unshelved: None,
            told: BTreeMap::new(),
            rounds: 0,
            rebooted: false,
            base: at.mono,
            head_start: Millis(0),
            round: 0,
            round_at: at.mono,
            paths: None,
            steps: BTreeMap::new(),
            open: BTreeMap::new(),
            due: None,
            was_quiet: false,
            under: None,
            brief: None,
        }
    }

    /// It was raised again. Who was told of the last time and not that it was over still waits
    /// for that word.
    pub(super) fn raised_again(&mut self, at: Now, occurrence: u64, latching: bool) {
        let mut next = Self::new(at, occurrence, latching);
        for (contact, marks) in std::mem::take(&mut self.told) {
            if marks.raised && !marks.returned {
                let carried = Marks {
                    raised: true,
                    singly: marks.singly,
                    at: marks.at,
                    moment: marks.moment,
                    notifier: marks.notifier,
                    deputy_for: marks.deputy_for,
                    ..Marks::default()
                };
                next.told.insert(contact, carried);
            }
        }
        next.due = self.due;
        next.open = std::mem::take(&mut self.open);
        next.under = self.under.take();
        *self = next;
    }

    /// Standing alarms need somebody; others only owe those told a word.
    pub(super) fn needs_a_person(&self, standing: Standing) -> bool {
        match standing {
            Standing::Unacknowledged => true,
            Standing::ReturnedUnacknowledged => self.latching,
            Standing::Acknowledged | Standing::Latched | Standing::Normal => false,
        }
    }

    pub(super) fn is_over(&self, standing: Standing) -> bool {
        match standing {
            Standing::Unacknowledged | Standing::Acknowledged => false,
            Standing::ReturnedUnacknowledged => !self.latching,
            Standing::Latched | Standing::Normal => true,
        }
    }

    /// After a start of the controller: how far the steps had come.
    pub(super) fn resume(&mut self, now: Now, same_boot: bool, tree: &Tree<'_>) {
        self.round = self.rounds;
        if same_boot {
            self.base = self.base.max(self.unshelved.unwrap_or_default());
            return;
        }
        self.rebooted = true;
        self.unshelved = None;
        self.base = now.mono;
        self.round_at = now.mono;
        // The last step that anybody was told as a member of.
        let reached = self
            .told
            .values()
            .map(|marks| 8 - marks.steps.leading_zeros())
            .max();
        let step = usize::try_from(reached.unwrap_or(0)).unwrap_or(0);
        self.head_start = tree
            .paths
            .iter()
            .filter_map(|path| path.steps.get(step.checked_sub(1)?).map(|(after, _)| *after))
            .min()
            .unwrap_or_default();
    }

    /// Everything that should have been told by now and was not, and when to look again.
    pub(super) fn wants(&mut self, now: Now, brief: &Brief, tree: &Tree<'_>) -> (Vec<Want>, Option<Mono>) {
        let paths = self.paths.clone().unwrap_or_default();
        if self.is_over(brief.standing) {
            return (self.word_to_those_told(tree, &paths, Moment::Returned), None);
        }
        if let Some(quiet) = brief.quiet {
            self.was_quiet = true;
            let wants = match quiet {
                Quiet::Shelved => self.word_to_those_told(tree, &paths, Moment::Shelved),
                Quiet::Suppressed => Vec::new(),
            };
            return (wants, None);
        }
        if std::mem::take(&mut self.was_quiet) {
            // It comes up again: the tree begins anew, for those who were not told.
            self.base = now.mono;
            self.head_start = Millis(0);
            self.steps.clear();
        }
        if !self.needs_a_person(brief.standing) {
            return (self.word_to_those_told(tree, &paths, Moment::Acknowledged), None);
        }
        let (mut wants, next_step) = self.due_steps(now, tree, &paths);
        let next_round = self.due_reminders(now, tree, &paths, &mut wants);
        (wants, [next_step, next_round].into_iter().flatten().min())
    }

    fn due_steps(&mut self, now: Now, tree: &Tree<'_>, paths: &[usize]) -> (Vec<Want>, Option<Mono>) {
        let elapsed = Millis(now.mono.since(self.base).0.saturating_add(self.head_start.0));
        let mut wants: Vec<Want> = Vec::new();
        let mut next: Option<Mono> = None;
        for &at in paths {
            let Some(path) = tree.paths.get(at) else { continue };
            for (index, (after, _)) in path.steps.iter().enumerate() {
                let step = u8::try_from(index).unwrap_or(u8::MAX);
                if *after > elapsed {
                    let due = now.mono.after(Millis(after.0 - elapsed.0));
                    next = Some(next.map_or(due, |next| next.min(due)));
                    break;
                }
                let targets = self.steps.entry((at, step)).or_insert_with(|| {
                    duty::of_step(tree.contacts, tree.calendar, &path.contacts, index, now.wall)
                });
                for target in targets {
                    let Some(contact) = tree.contacts.get(target.contact) else {
                        continue;
                    };
                    let told = self.told.get(&contact.name).map_or(0, |marks| marks.steps);
                    let is_wanted = wants
                        .iter()
                        .any(|want| want.target.contact == target.contact && want.step == step);
                    if told & (1 << step) == 0 && !is_wanted {
                        wants.push(Want {
                            target: *target,
                            moment: if step == 0 {
                                Moment::Raised
                            } else {
                                Moment::Escalated
                            },
                            step,
                            nth: 0,
                        });
                    }
                }
            }
        }
        (wants, next)
    }

    fn due_reminders(
        &mut self,
        now: Now,
        tree: &Tree<'_>,
        paths: &[usize],
        wants: &mut Vec<Want>,
    ) -> Option<Mono> {
        let any_told = self.told.values().any(|marks| marks.raised);
        if any_told && self.unshelved.is_some_and(|at| at > self.round_at) {
            self.begin_round(now);
        }
        let every = paths
            .iter()
            .filter_map(|at| tree.paths.get(*at))
            .filter(|path| path.moments.reminder)
            .filter_map(|path| path.repeat)
            .min();
        let mut next = None;
        if let Some(every) = every {
            if any_told && now.mono.since(self.round_at) >= every {
                self.begin_round(now);
            }
            let at = self.round_at.after(every);
            // While nobody could be told, the record of the first one wakes us.
            next = (at > now.mono).then_some(at);
        }
        for (name, marks) in &self.told {
            let Some(&contact) = tree.names.get(name) else {
                continue;
            };
            let is_told_now = wants.iter().any(|want| want.target.contact == contact);
            let wanted = moments_of(tree, paths, contact).reminder || self.unshelved.is_some();
            if marks.raised && marks.round < self.round && wanted && !is_told_now {
                wants.push(Want {
                    target: target_of(tree, contact, marks),
                    moment: Moment::Reminder,
                    step: 0,
                    nth: self.round,
                });
            }
        }
        next
    }

    fn begin_round(&mut self, now: Now) {
        self.round = self.round.saturating_add(1);
        self.round_at = now.mono;
    }

    fn word_to_those_told(&self, tree: &Tree<'_>, paths: &[usize], moment: Moment) -> Vec<Want> {
        let mut wants = Vec::new();
        for (name, marks) in self.told.iter().filter(|(_, marks)| marks.raised) {
            // A contact that is no longer in the site's file cannot be told.
            let Some(&contact) = tree.names.get(name) else {
                continue;
            };
            let moments = moments_of(tree, paths, contact);
            let (wanted, was_told, nth) = match moment {
                Moment::Returned => (moments.returned, marks.returned, 0),
                Moment::Shelved => (moments.acknowledged, marks.shelves >= self.shelves, self.shelves),
                _ => (moments.acknowledged, marks.acks >= self.acks, self.acks),
            };
            if wanted && !was_told {
                wants.push(Want {
                    target: target_of(tree, contact, marks),
                    moment,
                    step: 0,
                    nth,
                });
            }
        }
        wants
    }

    /// How long it has stood, for people.
    pub(super) fn lasted(&self, now: Now) -> Millis {
        if self.rebooted {
            let span = now.wall.0.saturating_sub(self.raised.wall.0);
            return Millis(u64::try_from(span).unwrap_or(0));
        }
        now.mono.since(self.raised.mono)
    }
}

/// Who was told as a deputy goes on being told as one.
fn target_of(tree: &Tree<'_>, contact: usize, marks: &Marks) -> Target {
    let absent = marks.deputy_for.as_ref();
    Target {
        contact,
        instead_of: absent.and_then(|name| tree.names.get(name).copied()),
    }
}

/// What the routes that name a contact, or one it stands in for, tell it besides the alarm.
fn moments_of(tree: &Tree<'_>, paths: &[usize], contact: usize) -> Moments {
    let name = tree.contacts.get(contact).map(|contact| contact.name.as_str());
    let stands_in_for = |other: usize| {
        other == contact
            || tree.contacts.get(other).is_some_and(|absent| {
                absent
                    .deputies
                    .iter()
                    .any(|deputy| Some(deputy.contact.as_str()) == name)
            })
    };
    let mut found = None;
    for path in paths.iter().filter_map(|at| tree.paths.get(*at)) {
        if path.contacts.iter().flatten().any(|other| stands_in_for(*other)) {
            found = Some(path.moments.or(found.unwrap_or(Moments::NONE)));
        }
    }
    // The routes were changed since: whoever was told hears the end of it.
    found.unwrap_or(Moments::ALL)
}

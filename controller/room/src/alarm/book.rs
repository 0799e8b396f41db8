//! Every alarm of the room, and what happens to it.
//!
//! Ten thousand may stand at once, so nothing here looks at all of them for the sake of one:
//! deadlines wait in a queue, what is shown has a list of its own, and what an alarm is folded
//! under is worked out when one of its causes changes, not when it is asked for.

use super::fold;
use super::machine::{Cover, Covering, Input, Standing, cover, next};
use super::{Condition, Definition};
use crate::catalog::{self, Kind};
use crate::maintenance::Maintenance;
use crate::record::Record;
use crate::site::Label;
use crate::time::{Millis, Mono, Now, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One alarm and all that is known of it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) definition: Definition,
    pub(super) standing: Standing,
    pub(super) because: Label,
    pub(super) since: Option<Now>,
    pub(super) owner: Option<String>,
    pub(super) count: u32,
    pub(super) cover: Option<Put>,
    /// The maintenance window that it lies in.
    pub(super) window: Option<u32>,
    /// The alarm at the root of the chain that it is folded under now.
    pub(super) folded: Option<Arc<str>>,
    /// It has returned, and explains what has not caught up yet until then.
    lingers: Option<Mono>,
    /// It was not folded at some moment since it was raised.
    came_up: bool,
    /// Running delay: towards raise or return, since when.
    running: Option<(Input, Mono, Label)>,
    /// Where it stands in the queue of deadlines.
    queued: Option<Mono>,
}

/// A cover that somebody put over an alarm.
#[derive(Debug, Clone)]
pub(super) struct Put {
    /// Never [`Cover::Open`].
    pub(super) cover: Cover,
    pub(super) since: Now,
    pub(super) until: Mono,
    pub(super) until_wall: Wall,
    pub(super) by: String,
    pub(super) reason: String,
}

impl Known {
    fn new(definition: Definition) -> Self {
        Self {
            definition,
            standing: Standing::Normal,
            because: Label::default(),
            since: None,
            owner: None,
            count: 0,
            cover: None,
            window: None,
            folded: None,
            lingers: None,
            came_up: false,
            running: None,
            queued: None,
        }
    }

    pub(super) fn cover(&self) -> Cover {
        self.cover.as_ref().map_or(Cover::Open, |put| put.cover)
    }

    const fn delay(&self, input: Input) -> Millis {
        match input {
            Input::Raise => self.definition.on_delay,
            _ => self.definition.off_delay,
        }
    }

    fn deadline(&self) -> Option<Mono> {
        let delay = self
            .running
            .as_ref()
            .map(|(input, since, _)| since.after(self.delay(*input)));
        let put = self.cover.as_ref().map(|put| put.until);
        [delay, put].into_iter().flatten().min()
    }

    /// True while it explains others. What somebody put away does not: what follows from it would
    /// be put away with it, and nobody would ever have seen it.
    pub(super) const fn explains(&self) -> bool {
        self.cover.is_none() && (self.standing.is_active() || self.lingers.is_some())
    }

    fn is_shown(&self) -> bool {
        self.standing != Standing::Normal || self.cover.is_some()
    }
}

/// Every alarm of the room.
#[derive(Debug, Clone, Default)]
pub struct Book {
    pub(super) known: Vec<Known>,
    pub(super) index: BTreeMap<Arc<str>, usize>,
    /// Not normal, or covered.
    pub(super) shown: BTreeSet<usize>,
    queue: BTreeSet<(Mono, usize)>,
    /// What has returned and still explains, in the order in which that ends: apart from the
    /// queue, because it is asked at every record, also while ten thousand delays are due.
    lingering: BTreeSet<(Mono, usize)>,
    /// By a cause: what names it as such.
    pub(super) by_cause: BTreeMap<Arc<str>, BTreeSet<usize>>,
    changed: BTreeSet<usize>,
    maintenance: Maintenance,
    procedures: BTreeMap<Kind, String>,
    boot: Option<String>,
    /// Monotonic time of the last record.
    last: Mono,
}

impl Book {
    /// Makes an alarm known; a second definition of one id replaces the first but keeps where
    /// the alarm stands. Causes that would close a circle are left out.
    pub fn define(&mut self, definition: Definition) {
        if self.definition(&definition.id) == Some(&definition) {
            return;
        }
        let id: Arc<str> = definition.id.as_str().into();
        let at = match self.index.get(&id) {
            Some(at) => {
                let at = *at;
                for cause in std::mem::replace(&mut self.known[at].definition, definition).folded_under {
                    if let Some(explained) = self.by_cause.get_mut(cause.as_str()) {
                        explained.remove(&at);
                    }
                }
                at
            }
            None => {
                self.known.push(Known::new(definition));
                self.index.insert(id.clone(), self.known.len() - 1);
                self.known.len() - 1
            }
        };
        let mut causes = std::mem::take(&mut self.known[at].definition.folded_under);
        causes.retain(|cause| !self.leads_to(cause, &id));
        for cause in &causes {
            self.by_cause.entry(cause.as_str().into()).or_default().insert(at);
        }
        let known = &mut self.known[at];
        known.definition.folded_under = causes;
        known.window = self.maintenance.window_of(&id, known.definition.kind);
        self.settle(at);
        self.refold(at);
    }

    /// Links to the site's own procedures, by kind.
    pub fn set_procedures(&mut self, procedures: BTreeMap<Kind, String>) {
        self.procedures = procedures;
    }

    /// The site's own procedure for a kind of alarm.
    #[must_use]
    pub fn procedure(&self, kind: Kind) -> Option<&str> {
        self.procedures.get(&kind).map(String::as_str)
    }

    /// The maintenance windows.
    #[must_use]
    pub const fn maintenance(&self) -> &Maintenance {
        &self.maintenance
    }

    /// True when the id is known.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.index.contains_key(id)
    }

    /// What an alarm is.
    #[must_use]
    pub fn definition(&self, id: &str) -> Option<&Definition> {
        self.get(id).map(|known| &known.definition)
    }

    /// Where an alarm stands; `Normal` for an unknown one.
    #[must_use]
    pub fn standing(&self, id: &str) -> Standing {
        self.get(id).map_or(Standing::Normal, |known| known.standing)
    }

    /// Every alarm that is not normal, whoever put it away.
    pub fn standing_ids(&self) -> impl Iterator<Item = &str> {
        let ids = self.known.iter().map(|known| known.definition.id.as_str());
        ids.filter(|id| self.state(id).is_some())
    }

    /// True while the cause of the alarm is there (raised, acknowledged or not).
    #[must_use]
    pub fn is_active(&self, id: &str) -> bool {
        self.standing(id).is_active()
    }

    /// True while an alarm explains others: it stands, or has returned a moment ago, and nobody has
    /// put it away.
    #[must_use]
    pub fn explains(&self, id: &str) -> bool {
        self.get(id).is_some_and(Known::explains)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Known> {
        self.index.get(id).map(|at| &self.known[*at])
    }

    /// Alarms whose state may have changed since the last call, each once: raised, returned,
    /// taken, covered, folded or come up. For whoever tells people about them.
    pub fn take_changed(&mut self) -> Vec<String> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed.map(|at| self.known[at].definition.id.clone()).collect()
    }

    // ---- conditions ----------------------------------------------------------------------

    /// Reports the condition of an alarm and runs its delays. The records must be applied.
    pub fn report(&mut self, now: Now, id: &str, condition: Condition) -> Option<Record> {
        let at = *self.index.get(id)?;
        let known = &mut self.known[at];
        let (input, because) = match (condition, known.standing.is_active()) {
            (Condition::Holds(because), false) => (Input::Raise, because),
            (Condition::Gone, true) => (Input::Return, Label::default()),
            (Condition::Holds(_), true) | (Condition::Gone, false) | (Condition::Unknown, _) => {
                if known.running.take().is_some() {
                    self.queue(at);
                }
                return None;
            }
        };
        let since = match known.running {
            Some((running, since, _)) if running == input => since,
            _ => now.mono,
        };
        known.running = Some((input, since, because));
        let fired = self.fire(now, at);
        self.queue(at);
        fired
    }

    /// Raises or returns an alarm whose delay has passed.
    fn fire(&self, now: Now, at: usize) -> Option<Record> {
        let known = &self.known[at];
        let (input, since, because) = known.running.as_ref()?;
        if now.mono.since(*since) < known.delay(*input) {
            return None;
        }
        Some(match input {
            Input::Raise => raised(&known.definition, because.clone()),
            _ => Record::AlarmReturned {
                alarm: known.definition.id.clone(),
                unseen: known.standing == Standing::Unacknowledged && !known.came_up,
            },
        })
    }

    /// The record that raises an alarm without its delay: for what is known to have happened but
    /// cannot be watched any more. `None` when it stands already.
    #[must_use]
    pub fn raise_now(&self, id: &str, because: Label) -> Option<Record> {
        let known = self.get(id)?;
        next(known.standing, Input::Raise, known.definition.latching)
            .map(|_| raised(&known.definition, because))
    }

    /// Runs every delay, cover and maintenance window that is due. The records must be applied.
    pub fn tick(&mut self, now: Now) -> Vec<Record> {
        let due = self.queue.iter().take_while(|(until, _)| *until <= now.mono);
        let due: Vec<usize> = due.map(|(_, at)| *at).collect();
        let mut records = Vec::new();
        self.end_lingering(now.mono);
        for at in due {
            let known = &self.known[at];
            let alarm = &known.definition.id;
            let ended = known.cover.as_ref().filter(|put| put.until <= now.mono);
            match ended.map(|put| put.cover) {
                Some(Cover::Shelved) => records.push(Record::AlarmUnshelved {
                    alarm: alarm.clone(),
                    by: None,
                    again: known.standing == Standing::Acknowledged,
                }),
                Some(Cover::OutOfService) => records.push(Record::AlarmInService {
                    alarm: alarm.clone(),
                    by: None,
                    again: known.standing == Standing::Acknowledged,
                }),
                Some(Cover::Open) | None => {}
            }
            records.extend(self.fire(now, at));
        }
        for window in self.maintenance.ended(now.mono) {
            records.push(Record::MaintenanceEnded {
                window: window.id,
                by: None,
            });
            let definition = catalog::maintenance_result(window);
            records.push(raised(&definition, catalog::maintenance_because(window)));
        }
        records
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let first = self.queue.first().map(|(at, _)| *at);
        let linger = self.lingering.first().map(|(at, _)| *at);
        [first, linger, self.maintenance.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    // ---- records -------------------------------------------------------------------------

    /// Applies a record, at its own time. Records of other kinds are ignored.
    pub fn apply(&mut self, at: Now, record: &Record) {
        if !matches!(record, Record::Started { .. }) {
            self.end_lingering(at.mono);
        }
        match record {
            Record::Started { boot_id, .. } => self.started(at, boot_id),
            Record::AlarmRaised {
                alarm,
                priority,
                what,
                place,
                action,
                because,
                latching,
                about,
            } => {
                if !self.index.contains_key(alarm.as_str()) {
                    // Replayed from an older configuration: it stands until it is dealt with.
                    self.define(Definition {
                        priority: *priority,
                        own_what: Some(what.clone()),
                        own_action: Some(action.clone()),
                        latching: *latching,
                        ..Definition::of(about.unwrap_or(Kind::NotConfigured), alarm, place.clone())
                    });
                }
                self.step(at, alarm, Input::Raise, |known| {
                    known.because = because.clone();
                    known.since = Some(at);
                    known.owner = None;
                    known.count = known.count.saturating_add(1);
                    known.came_up = known.folded.is_none();
                });
            }
            Record::AlarmReturned { alarm, unseen } => {
                let input = if *unseen {
                    Input::ReturnUnseen
                } else {
                    Input::Return
                };
                self.step(at, alarm, input, |_| {});
            }
            Record::AlarmAcknowledged { alarm, by } => {
                self.step(at, alarm, Input::Acknowledge, |known| {
                    known.owner = Some(by.clone())
                });
            }
            Record::AlarmTaken { alarm, by } => {
                self.step(at, alarm, Input::Take, |known| known.owner = Some(by.clone()));
            }
            Record::AlarmReset { alarm, .. } => self.step(at, alarm, Input::Reset, |_| {}),
            Record::AlarmShelved {
                alarm,
                by,
                minutes,
                reason,
            } => self.cover(
                alarm,
                Covering::Shelve,
                put(at, Cover::Shelved, *minutes, by, reason),
            ),
            Record::AlarmOutOfService {
                alarm,
                by,
                minutes,
                reason,
            } => self.cover(
                alarm,
                Covering::TakeOut,
                put(at, Cover::OutOfService, *minutes, by, reason),
            ),
            Record::AlarmUnshelved { alarm, again, .. } => {
                self.uncover(at, alarm, Covering::Unshelve, *again)
            }
            Record::AlarmInService { alarm, again, .. } => self.uncover(at, alarm, Covering::PutBack, *again),
            Record::MaintenanceStarted { .. }
            | Record::MaintenanceEnded { .. }
            | Record::MaintenanceResult { .. } => {
                self.maintenance.apply(at, record);
                self.look_for_windows();
            }
            _ => {}
        }
        self.last = at.mono;
    }

    fn step(&mut self, now: Now, id: &str, input: Input, then: impl FnOnce(&mut Known)) {
        let Some(at) = self.index.get(id).copied() else {
            return;
        };
        let known = &mut self.known[at];
        let Some(standing) = next(known.standing, input, known.definition.latching) else {
            return;
        };
        let explained = known.explains();
        let linger = fold::linger(known.definition.kind);
        let lingers = match (known.standing.is_active(), standing.is_active()) {
            (true, false) if linger > Millis(0) => Some(now.mono.after(linger)),
            (false, false) => known.lingers,
            _ => None,
        };
        if let Some(before) = std::mem::replace(&mut known.lingers, lingers) {
            self.lingering.remove(&(before, at));
        }
        self.lingering.extend(lingers.map(|until| (until, at)));
        known.standing = standing;
        known.running = None;
        then(known);
        if standing == Standing::Normal {
            known.count = 0;
            known.owner = None;
        }
        self.settle(at);
        if explained != self.known[at].explains() {
            self.refold_explained_by(at);
        }
    }

    /// What has returned a while ago explains nothing any more.
    fn end_lingering(&mut self, now: Mono) {
        while let Some((until, at)) = self.lingering.first().copied().filter(|(until, _)| *until <= now) {
            self.lingering.remove(&(until, at));
            self.known[at].lingers = None;
            self.refold_explained_by(at);
        }
    }

    fn cover(&mut self, id: &str, covering: Covering, put: Put) {
        let Some(at) = self.index.get(id).copied() else {
            return;
        };
        let known = &mut self.known[at];
        if cover(known.cover(), covering) == Some(put.cover) {
            known.cover = Some(put);
            self.settle(at);
            self.refold_explained_by(at);
        }
    }

    fn uncover(&mut self, now: Now, id: &str, covering: Covering, again: bool) {
        let Some(at) = self.index.get(id).copied() else {
            return;
        };
        let known = &mut self.known[at];
        if cover(known.cover(), covering) != Some(Cover::Open) {
            return;
        }
        known.cover = None;
        if again {
            self.step(now, id, Input::Surface, |known| known.owner = None);
        }
        self.settle(at);
        self.refold_explained_by(at);
    }

    /// Monotonic times mean nothing after the machine was started again. A shelf ends then, because
    /// nobody knows how long the machine was down and a shelf is short. Out of service and
    /// maintenance go on for as long as was left of them at the last record: rather a little too
    /// long than cut off. Ages begin anew.
    fn started(&mut self, at: Now, boot_id: &str) {
        let same = self.boot.as_deref() == Some(boot_id) && !boot_id.is_empty();
        let is_first = self.boot.is_none();
        self.boot = Some(boot_id.to_owned());
        if same || is_first {
            // What went on explaining may have ended while nobody was there.
            self.end_lingering(at.mono);
            return;
        }
        for number in 0..self.known.len() {
            let known = &mut self.known[number];
            if let Some(since) = &mut known.since {
                since.mono = at.mono;
            }
            if let Some(until) = known.lingers.take() {
                self.lingering.remove(&(until, number));
                self.refold_explained_by(number);
            }
            let Some(put) = &mut self.known[number].cover else {
                continue;
            };
            put.until = match put.cover {
                Cover::OutOfService => at.mono.after(put.until.since(self.last)),
                Cover::Open | Cover::Shelved => at.mono,
            };
            put.since.mono = at.mono;
            self.queue(number);
        }
        self.maintenance.forget_monotonic(at.mono, self.last);
    }

    /// A window began or ended: what lies in one is folded under it.
    fn look_for_windows(&mut self) {
        for at in 0..self.known.len() {
            let known = &mut self.known[at];
            let window = self
                .maintenance
                .window_of(&known.definition.id, known.definition.kind);
            if window != known.window {
                known.window = window;
                self.refold(at);
            }
        }
    }

    // ---- lists ---------------------------------------------------------------------------

    /// Puts an alarm where it belongs in the lists, after anything about it changed.
    fn settle(&mut self, at: usize) {
        let (was_shown, is_shown) = (self.shown.contains(&at), self.known[at].is_shown());
        if is_shown {
            self.shown.insert(at);
        } else {
            self.shown.remove(&at);
        }
        if was_shown || is_shown {
            self.changed.insert(at);
        }
        self.queue(at);
    }

    fn queue(&mut self, at: usize) {
        let known = &mut self.known[at];
        let deadline = known.deadline();
        if deadline == known.queued {
            return;
        }
        if let Some(before) = std::mem::replace(&mut known.queued, deadline) {
            self.queue.remove(&(before, at));
        }
        if let Some(deadline) = deadline {
            self.queue.insert((deadline, at));
        }
    }

    /// Takes what [`super::fold`] has found.
    pub(super) fn fold(&mut self, at: usize, folded: Option<Arc<str>>) -> bool {
        let known = &mut self.known[at];
        if known.folded == folded {
            return false;
        }
        known.folded = folded;
        known.came_up |= known.folded.is_none();
        if known.is_shown() {
            self.changed.insert(at);
        }
        true
    }
}

fn put(at: Now, cover: Cover, minutes: u32, by: &str, reason: &str) -> Put {
    let span = Millis::from_secs(u64::from(minutes) * 60);
    Put {
        cover,
        since: at,
        until: at.mono.after(span),
        until_wall: Wall(at.wall.0.saturating_add(i64::from(minutes) * 60_000)),
        by: by.to_owned(),
        reason: reason.to_owned(),
    }
}

pub(super) fn raised(definition: &Definition, because: Label) -> Record {
    Record::AlarmRaised {
        alarm: definition.id.clone(),
        priority: definition.priority,
        what: definition.what(),
        place: definition.place.clone(),
        action: definition.action(),
        because,
        latching: definition.latching,
        about: Some(definition.kind),
    }
}

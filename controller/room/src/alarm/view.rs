//! Alarms as they are shown. Changes nothing.

use super::book::{Book, Known};
use super::machine::{Cover, Standing};
use crate::site::Priority;
use crate::snapshot::{self, AlarmState};
use crate::time::Now;
use std::cmp::Reverse;
use std::collections::BTreeMap;

impl Book {
    /// Alarms that are not normal, or covered: the `most` most urgent ones, most urgent first, and
    /// how many there are beside them.
    #[must_use]
    pub fn view(&self, now: Now, most: usize) -> (Vec<snapshot::Alarm>, usize) {
        let shown = self.shown.iter().map(|at| &self.known[*at]);
        let mut shown: Vec<(u8, Reverse<Priority>, Reverse<i64>, &Known)> = shown
            .map(|known| {
                let since = known.since.map_or(0, |since| since.wall.0);
                let priority = Reverse(known.definition.priority);
                (urgency(known.state()), priority, Reverse(since), known)
            })
            .collect();
        // Stable: what is equally urgent stays in the order in which it was defined.
        shown.sort_by_key(|(urgency, priority, since, _)| (*urgency, *priority, *since));
        let left_out = shown.len().saturating_sub(most);
        let folded = self.folded();
        let rows = shown.into_iter().take(most);
        let rows = rows.map(|(.., known)| self.row_of(now, known, &folded)).collect();
        (rows, left_out)
    }

    /// One alarm as it is shown; `None` while it is normal and uncovered, or unknown.
    #[must_use]
    pub fn row(&self, now: Now, id: &str) -> Option<snapshot::Alarm> {
        let at = self.index.get(id).filter(|at| self.shown.contains(at))?;
        let mut row = self.row_of(now, &self.known[*at], &BTreeMap::new());
        row.folded = u32::try_from(self.folded_under(id)).unwrap_or(u32::MAX);
        Some(row)
    }

    /// One alarm in words, also while it is normal: that it is over is told, too.
    #[must_use]
    pub fn shown(&self, now: Now, id: &str) -> Option<snapshot::Alarm> {
        let known = self.get(id)?;
        Some(self.row_of(now, known, &BTreeMap::new()))
    }

    /// State of an alarm; `None` while it is normal and uncovered, or unknown.
    #[must_use]
    pub fn state(&self, id: &str) -> Option<AlarmState> {
        let at = self.index.get(id).filter(|at| self.shown.contains(at))?;
        Some(self.known[*at].state())
    }

    /// How many alarms that stand are folded under this one.
    #[must_use]
    pub fn folded_under(&self, id: &str) -> usize {
        // Only what an alarm explains, near and far, can be folded under it.
        let mut left = vec![id];
        let mut seen = std::collections::BTreeSet::new();
        while let Some(cause) = left.pop() {
            for at in self.by_cause.get(cause).into_iter().flatten() {
                if seen.insert(*at) {
                    left.push(&self.known[*at].definition.id);
                }
            }
        }
        let folded = seen.into_iter().map(|at| &self.known[at]);
        folded
            .filter(|known| known.standing != Standing::Normal && known.folded.as_deref() == Some(id))
            .count()
    }

    /// How many alarms that stand are folded, by what they are folded under.
    pub(crate) fn folded(&self) -> BTreeMap<&str, u32> {
        let mut folded = BTreeMap::new();
        for at in &self.shown {
            let known = &self.known[*at];
            if let Some(root) = known
                .folded
                .as_deref()
                .filter(|_| known.standing != Standing::Normal)
            {
                *folded.entry(root).or_default() += 1;
            }
        }
        folded
    }

    fn row_of(&self, now: Now, known: &Known, folded: &BTreeMap<&str, u32>) -> snapshot::Alarm {
        let definition = &known.definition;
        let advice = definition.kind.advice();
        let put = known.cover.as_ref();
        let since = known.since.or_else(|| put.map(|put| put.since));
        let state = known.state();
        snapshot::Alarm {
            id: definition.id.clone(),
            state,
            priority: definition.priority,
            what: definition.what(),
            place: definition.place.clone(),
            action: definition.action(),
            because: known.because.clone(),
            since_ms: since.map_or(0, |since| since.wall.0),
            age_ms: since.map_or(0, |since| now.mono.since(since.mono).0),
            owner: known.owner.clone(),
            count: known.count,
            shelved_until_ms: put.map(|put| put.until_wall.0),
            cause: known.folded.as_deref().map(str::to_owned),
            active: known.standing.is_active(),
            kind: definition.kind,
            class: advice.class,
            usual_cause: advice.cause.into(),
            consequence: advice.consequence.into(),
            respond_within_s: advice.respond_within.0 / 1000,
            responder: advice.owner,
            procedure: self.procedure(definition.kind).map(str::to_owned),
            folded: folded.get(definition.id.as_str()).copied().unwrap_or(0),
            shelved_by: put.map(|put| put.by.clone()),
            shelved_because: put.map(|put| put.reason.clone()),
        }
    }
}

impl Known {
    pub(super) fn state(&self) -> AlarmState {
        match (self.cover(), self.standing) {
            (Cover::OutOfService, _) => AlarmState::OutOfService,
            (Cover::Shelved, _) => AlarmState::Shelved,
            (Cover::Open, _) if self.folded.is_some() => AlarmState::Suppressed,
            (Cover::Open, Standing::Acknowledged) => AlarmState::Acknowledged,
            (Cover::Open, Standing::ReturnedUnacknowledged) => AlarmState::ReturnedUnacknowledged,
            (Cover::Open, Standing::Latched) => AlarmState::Latched,
            (Cover::Open, Standing::Unacknowledged | Standing::Normal) => AlarmState::Unacknowledged,
        }
    }
}

const fn urgency(state: AlarmState) -> u8 {
    match state {
        AlarmState::Unacknowledged => 0,
        AlarmState::Acknowledged => 1,
        AlarmState::ReturnedUnacknowledged | AlarmState::Latched => 2,
        AlarmState::Shelved | AlarmState::Suppressed | AlarmState::OutOfService => 3,
    }
}

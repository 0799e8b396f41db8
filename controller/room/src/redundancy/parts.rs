//! Parts of a device and how they are, from the `*.health` and `*.redundancy` facts of any
//! profile.
//!
//! A row is one part: `psu.2.health`. It keeps its last definite word, so that a part which was
//! bad and is then no longer told (the card hangs, the row vanishes) goes on being bad. A supply,
//! a disc or a fan that was there and is absent has been pulled out, which is as bad.

use crate::device::{FactValue, Reading};
use crate::site::Label;
use std::collections::{BTreeMap, BTreeSet};

/// Parts of one device that are watched; a full enclosure of discs is some 200.
pub const ROWS_MAX: usize = 1024;
/// Bad parts that one alarm names; the page has them all.
pub const NAMED_MAX: usize = 4;

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A power supply, or the feed of one.
    Supply,
    /// A disc array that serves without its redundancy.
    Array,
    /// A disc array that does not serve.
    ArrayLost,
    /// The battery or capacitor behind a write cache.
    CacheBattery,
    /// A disc.
    Disc,
    /// A fan.
    Fan,
    /// A memory module.
    Memory,
    /// What a device itself says of its redundancy: supplies, fans, a stack's ring.
    Redundancy,
    /// Any other part.
    Other,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Supply,
        Self::Array,
        Self::ArrayLost,
        Self::CacheBattery,
        Self::Disc,
        Self::Fan,
        Self::Memory,
        Self::Redundancy,
        Self::Other,
    ];

    /// The last word of its alarm's id.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Supply => "supply",
            Self::Array => "array",
            Self::ArrayLost => "array_lost",
            Self::CacheBattery => "cache_battery",
            Self::Disc => "disc",
            Self::Fan => "fan",
            Self::Memory => "memory",
            Self::Redundancy => "redundancy",
            Self::Other => "part",
        }
    }

    /// The kind that a fact is about; `None` for facts that tell no part's health. A roll-up
    /// (`psu.all.health`, `system.health`) is about its rows and is no part of its own.
    #[must_use]
    pub fn of(fact: &str) -> Option<Self> {
        if fact.starts_with("unmapped.") {
            return None;
        }
        let (row, what) = fact.rsplit_once('.')?;
        if what == "redundancy" {
            return Some(Self::Redundancy);
        }
        if what != "health" || row.ends_with(".all") {
            return None;
        }
        let mut words = row.split('.');
        let first = words.next()?;
        Some(match (first, words.next()) {
            ("system" | "storage" | "rac" | "thermal", _) => return None,
            ("psu", _) | ("enclosure", Some("psu")) => Self::Supply,
            ("raid", Some("battery" | "cache")) | ("battery", _) => Self::CacheBattery,
            ("raid", Some("disk")) | ("disk", _) => Self::Disc,
            ("raid", Some("controller")) => Self::Other,
            ("raid" | "volume", _) => Self::Array,
            ("fan", _) | ("enclosure", Some("fan")) => Self::Fan,
            ("memory", _) => Self::Memory,
            _ => Self::Other,
        })
    }

    /// True where a part that was there and is absent has been taken out.
    const fn is_missed(self) -> bool {
        matches!(self, Self::Supply | Self::Disc | Self::Fan)
    }
}

/// How a part is, by its last definite word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// Fails, or will.
    Bad,
    /// Has failed.
    Failed,
    /// Not fitted.
    Absent,
}

impl State {
    /// `None` for a word that tells nothing.
    fn of(kind: Kind, word: &str) -> Option<Self> {
        Some(match word {
            "ok" | "info" | "full" | "none" => Self::Good,
            "warning" | "degraded" | "lost" => Self::Bad,
            "critical" => Self::Failed,
            // A supply that is there and off has no feed; a fan may rest.
            "off" if kind == Kind::Supply => Self::Bad,
            "off" => Self::Good,
            "absent" => Self::Absent,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone)]
struct Row {
    kind: Kind,
    label: Option<String>,
    /// The word that was heard last, and is still told.
    word: Option<String>,
    last: Option<State>,
    was_there: bool,
}

impl Row {
    const fn is_definite(&self) -> bool {
        self.word.is_some()
    }

    fn is_bad(&self) -> bool {
        match self.last {
            Some(State::Bad | State::Failed) => true,
            Some(State::Absent) => self.was_there && self.kind.is_missed(),
            Some(State::Good) | None => false,
        }
    }
}

/// What can be said of all parts of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// These are bad; in words.
    Bad(Label),
    /// Each of them was heard to be good.
    Good,
    /// None is known to be bad, and not every one is known to be good.
    Unknown,
}

/// The parts of one device.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    rows: BTreeMap<String, Row>,
    /// Kinds that were bad in this run: their rows are remembered.
    remembered: BTreeSet<Kind>,
}

impl Parts {
    /// A poll was answered. Returns the kinds that have rows.
    pub fn hear(&mut self, reading: &Reading) -> BTreeSet<Kind> {
        for row in self.rows.values_mut() {
            row.word = None;
        }
        for fact in &reading.facts {
            let Some(kind) = Kind::of(&fact.name) else {
                continue;
            };
            let full = self.rows.len() >= ROWS_MAX;
            let row = match self.rows.get_mut(&fact.name) {
                Some(row) => row,
                None if full => continue,
                None => self.rows.entry(fact.name.clone()).or_insert(Row {
                    kind,
                    label: None,
                    word: None,
                    last: None,
                    was_there: false,
                }),
            };
            row.label.clone_from(&fact.label);
            let Ok(FactValue::State(word)) = &fact.value else {
                continue;
            };
            if let Some(state) = State::of(kind, word) {
                row.word = Some(word.clone());
                row.last = Some(state);
                row.was_there |= state != State::Absent;
            }
        }
        self.kinds()
    }

    /// A poll was not answered: nothing is told any more, what was bad stays bad.
    pub fn silence(&mut self) {
        for row in self.rows.values_mut() {
            row.word = None;
        }
    }

    /// The kinds that have rows. An array can be lost where it can be degraded.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<Kind> {
        let mut kinds: BTreeSet<Kind> = self.rows.values().map(|row| row.kind).collect();
        if kinds.contains(&Kind::Array) {
            kinds.insert(Kind::ArrayLost);
        }
        kinds
    }

    /// What can be said of the parts of a kind. `stands`: an alarm of that kind stands, perhaps
    /// from before a restart that forgot which row it was about; then nothing short of every row
    /// being good ends it.
    pub fn verdict(&mut self, kind: Kind, stands: bool) -> Verdict {
        let of = |row: &&Row| match kind {
            Kind::ArrayLost => row.kind == Kind::Array,
            _ => row.kind == kind,
        };
        let is_bad = |row: &Row| match kind {
            Kind::ArrayLost => row.last == Some(State::Failed),
            Kind::Array => row.last == Some(State::Bad),
            _ => row.is_bad(),
        };
        let rows = || self.rows.values().filter(of);
        if rows().any(|row| row.is_definite() && is_bad(row)) {
            let words = self.words(kind, &is_bad);
            self.remembered.insert(kind);
            return Verdict::Bad(words);
        }
        if rows().any(is_bad) || rows().all(|row| !row.is_definite()) {
            return Verdict::Unknown;
        }
        let forgotten = stands && !self.remembered.contains(&kind);
        // A row that never said anything definite is one that this device does not tell.
        let untold = |row: &Row| !row.is_definite() && (forgotten || row.last.is_some());
        if rows().any(untold) {
            return Verdict::Unknown;
        }
        self.remembered.remove(&kind);
        Verdict::Good
    }

    fn words(&self, kind: Kind, is_bad: &impl Fn(&Row) -> bool) -> Label {
        let of_kind = |row: &Row| row.kind == kind || (kind == Kind::ArrayLost && row.kind == Kind::Array);
        let all = self.rows.values().filter(|row| of_kind(row));
        let fitted = all
            .filter(|row| row.last != Some(State::Absent) || is_bad(row))
            .count();
        let bad: Vec<(&String, &Row)> = self
            .rows
            .iter()
            .filter(|(_, row)| of_kind(row) && is_bad(row))
            .collect();
        let named: Vec<String> = bad
            .iter()
            .take(NAMED_MAX)
            .map(|(fact, row)| {
                let name = row.label.as_deref().unwrap_or_else(|| part_of(fact));
                format!("{name}: {}", row.word.as_deref().unwrap_or("unknown"))
            })
            .collect();
        let (count, named) = (bad.len(), named.join(", "));
        let more = if count > NAMED_MAX { ", ..." } else { "" };
        Label::new(
            format!("{fitted} のうち {count}（{named}{more}）"),
            format!("{count} of {fitted} ({named}{more})"),
        )
    }
}

/// `psu.2` of `psu.2.health`
fn part_of(fact: &str) -> &str {
    fact.rsplit_once('.').map_or(fact, |(part, _)| part)
}

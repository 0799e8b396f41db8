//! The devices' part of the engine: a poll comes in, its facts become points, its silence an alarm.
//!
//! What the facts of a UPS mean is the outage engine's matter; here they are only values with an
//! age. A fact that has a limit is a point like any other. The others are kept with the device, as
//! small as they can be: a server tells six hundred of them. The picture carries the chief ones,
//! and all of them are told when somebody asks for the device.

use super::Engine;
use crate::alarm::Condition;
use crate::catalog;
use crate::device::{Fact, FactValue, Poll};
use crate::event::{HistoryRow, Turn};
use crate::outage;
use crate::point::{self, Logged, Pace};
use crate::site::{self, DeviceKind, Label, World};
use crate::snapshot;
use crate::time::{Millis, Mono, Now, Wall};
use shared::NoData;
use std::collections::BTreeMap;

/// Most facts of one device that become points; further ones are counted.
pub const MAX_FACTS: usize = 1024;
/// A polled point is stale after so many missed polls.
pub const MISSED_POLLS: u64 = 3;

/// Facts of one device that the picture of the room carries.
pub const SHOWN_MAX: usize = 32;
/// Facts of all devices together that the picture carries. A picture is drawn ten times a second and
/// sent to every page: at about 250 bytes a fact this is one megabyte. In a larger site each device
/// shows its share, a UPS all of its own; `device_facts` tells the rest to whoever asks.
pub const SHOWN_OF_ALL_MAX: usize = 4_000;

/// What is heard of one device.
#[derive(Debug, Clone, Default)]
pub(super) struct Device {
    /// Its place in the site.
    at: usize,
    pub(super) heard: Option<Mono>,
    pub(super) failed: u32,
    pub(super) profile: Option<String>,
    /// Facts of the last reading.
    pub(super) told: u32,
    facts: BTreeMap<String, Told>,
    shown: usize,
}

/// A fact without a limit.
#[derive(Debug, Clone)]
struct Told {
    value: Result<FactValue, NoData>,
    unit: &'static str,
    row: Option<String>,
    at: Mono,
    logged: Logged,
    is_shown: bool,
}

impl Device {
    /// Its place in the site.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Nothing heard yet.
    pub(super) fn of(at: usize) -> Self {
        Self {
            at,
            ..Self::default()
        }
    }
}

impl<W: World> Engine<W> {
    pub(super) fn poll(&mut self, now: Now, poll: &Poll, turn: &mut Turn) {
        let Some(device) = self.devices.get_mut(&poll.device) else {
            return self.count("polls_of_unknown_devices");
        };
        let at = device.at;
        match &poll.result {
            Ok(reading) => {
                device.heard = Some(poll.answered);
                device.failed = 0;
                if device.profile.as_ref() != Some(&reading.profile) {
                    device.profile = Some(reading.profile.clone());
                }
                device.told = u32::try_from(reading.facts.len()).unwrap_or(u32::MAX);
                self.count("polls_good");
                for fact in reading.facts.iter().take(MAX_FACTS) {
                    self.fact(now, at, poll.answered, fact, turn);
                }
                // What a limit watches is never left out.
                for fact in reading.facts.iter().skip(MAX_FACTS) {
                    if self.is_watched(at, fact) {
                        self.fact(now, at, poll.answered, fact, turn);
                    } else {
                        self.count("facts_left_out");
                    }
                }
                self.device_contact(now, at, Condition::Gone, turn);
                self.hear_redundancy(now, at, reading, turn);
            }
            Err(failure) => {
                device.failed = device.failed.saturating_add(1);
                self.count("polls_failed");
                // Behind something that does not answer either, it is unknown, not broken.
                let because = if self.is_hidden(at) {
                    Condition::Unknown
                } else {
                    let because = catalog::poll_failure(failure);
                    Condition::Holds(self.because_with_hidden(at, &because))
                };
                self.device_contact(now, at, because, turn);
                self.log_lost_facts(now, at, turn);
                self.miss_redundancy(now, at, turn);
            }
        }
        // The others say nothing of power, and ten thousand of them must not be asked for it.
        let kind = self.site.devices[at].kind;
        let hands_on = matches!(kind, DeviceKind::Pdu | DeviceKind::Ats);
        if kind == DeviceKind::Ups || (hands_on && self.outage.listens_to(&poll.device)) {
            self.power(now, outage::Input::Poll(poll), turn);
            self.hear_test(now, &poll.device, turn);
        }
    }

    /// A fact that a limit watches, or that something is made of, and that its device never tells,
    /// would be watched by nobody without a word: it is a point from the start, never heard.
    pub(super) fn furnish_facts(&mut self) {
        let of_limits = self.limits.keys().cloned();
        let derived = self.site.derived.iter();
        let inputs = derived.flat_map(|derived| derived.from.inputs());
        let wanted: Vec<String> = of_limits.chain(inputs.map(str::to_owned)).collect();
        for id in wanted {
            let is_derived = self.site.derived.iter().any(|derived| derived.point == id);
            if is_derived || self.points.contains_key(&id) {
                continue;
            }
            let owner = self.site.devices.iter().find(|device| {
                id.strip_prefix(&device.name)
                    .is_some_and(|rest| rest.starts_with('.'))
            });
            if let Some(device) = owner {
                let fact = id[device.name.len() + 1..].to_owned();
                let definition = fact_definition(device, &fact, None, "");
                self.add_fact(definition);
            }
        }
    }

    fn add_fact(&mut self, definition: point::Definition) {
        let device = catalog::device_id(&definition.source);
        self.book.define(catalog::no_data(
            &definition.id,
            definition.label.clone(),
            vec![device],
        ));
        self.add_point(definition);
    }

    fn is_watched(&self, at: usize, fact: &Fact) -> bool {
        let id = format!("{}.{}", self.site.devices[at].name, fact.name);
        self.is_point(&id)
    }

    /// A fact that a limit watches, or that something is made of, is a point.
    fn is_point(&self, id: &str) -> bool {
        self.limits.contains_key(id) || self.derivations.needs(id)
    }

    /// The contact of a UPS is judged by the outage engine.
    fn device_contact(&mut self, now: Now, at: usize, condition: Condition, turn: &mut Turn) {
        let device = &self.site.devices[at];
        if device.kind != DeviceKind::Ups {
            let id = catalog::device_id(&device.name);
            self.report(now, turn, &id, condition);
        }
    }

    fn fact(&mut self, now: Now, at: usize, answered: Mono, fact: &Fact, turn: &mut Turn) {
        let device = &self.site.devices[at];
        let id = format!("{}.{}", device.name, fact.name);
        if !self.is_point(&id) {
            if let Ok(FactValue::Number(value)) = fact.value {
                self.forecast_value(now, &id, value);
            }
            return self.hear_fact(now, at, id, answered, fact, turn);
        }
        // Until it is heard for the first time, nobody knows its unit.
        if self.points.get(&id).is_none_or(|point| point.heard().is_none()) {
            let definition = fact_definition(device, &fact.name, fact.label.as_deref(), fact.unit);
            self.add_fact(definition);
        }
        self.set_point(now, &id, answered, fact.value.clone(), turn);
    }

    /// Takes in a fact that no limit watches.
    fn hear_fact(&mut self, now: Now, at: usize, id: String, answered: Mono, fact: &Fact, turn: &mut Turn) {
        let kind = self.site.devices[at].kind;
        let most = match kind {
            DeviceKind::Ups => SHOWN_MAX,
            _ => SHOWN_MAX.min(SHOWN_OF_ALL_MAX / self.site.devices.len().max(1)),
        };
        let Some(device) = self.devices.get_mut(&self.site.devices[at].name) else {
            return;
        };
        let told = match device.facts.get_mut(&fact.name) {
            Some(told) => told,
            None => {
                if device.facts.len() >= MAX_FACTS {
                    // Rows that came and went.
                    device.facts.retain(|_, told| told.at >= answered);
                    device.shown = device.facts.values().filter(|told| told.is_shown).count();
                }
                let is_shown = device.shown < most && catalog::is_chief(kind, &fact.name);
                device.shown += usize::from(is_shown);
                device.facts.entry(fact.name.clone()).or_insert(Told {
                    value: Err(NoData::NeverHeard),
                    unit: fact.unit,
                    row: None,
                    at: answered,
                    logged: Logged::default(),
                    is_shown,
                })
            }
        };
        // A late word about an earlier moment must not overwrite a newer one.
        if told.at > answered {
            return;
        }
        told.at = answered;
        told.value.clone_from(&fact.value);
        if told.row != fact.label {
            told.row.clone_from(&fact.label);
        }
        let number = match fact.value {
            Ok(FactValue::Number(number)) => Some(number),
            _ => None,
        };
        let pace = if told.is_shown { Pace::Usual } else { Pace::Seldom };
        if !is_address(&fact.name) && told.logged.is_due(now.mono, number, pace) {
            let ago = i64::try_from(now.mono.since(answered).0).unwrap_or(0);
            turn.history.push(HistoryRow {
                point: id,
                at: Wall(now.wall.0.saturating_sub(ago)),
                value: number,
            });
        }
    }

    /// A fact of a device as of now.
    pub(super) fn fact_now(&self, now: Mono, device: &str, fact: &str) -> Result<FactValue, NoData> {
        if let Some(point) = self.points.get(&format!("{device}.{fact}")) {
            return point.value(now).cloned();
        }
        let heard = self.devices.get(device).ok_or(NoData::NeverHeard)?;
        let told = heard.facts.get(fact).ok_or(NoData::NeverHeard)?;
        if now.since(told.at) > stale_after(&self.site.devices[heard.at]) {
            return Err(NoData::Stale);
        }
        told.value.clone()
    }

    /// The gap of every fact that a silent device has told too long ago.
    fn log_lost_facts(&mut self, now: Now, at: usize, turn: &mut Turn) {
        let device = &self.site.devices[at];
        let patience = stale_after(device);
        let Some(known) = self.devices.get_mut(&device.name) else {
            return;
        };
        for (fact, told) in &mut known.facts {
            // A gap is due at any pace, once.
            if now.mono.since(told.at) > patience
                && !is_address(fact)
                && told.logged.is_due(now.mono, None, Pace::Seldom)
            {
                turn.history.push(HistoryRow {
                    point: format!("{}.{fact}", device.name),
                    at: now.wall,
                    value: None,
                });
            }
        }
    }

    /// Everything that a device tells, for whoever asks for it by name.
    #[must_use]
    pub fn device_facts(&self, now: Now, name: &str) -> Option<snapshot::DeviceFacts> {
        let known = self.devices.get(name)?;
        let device = &self.site.devices[known.at];
        let below = format!("{name}.");
        let watched = self
            .points
            .range(below.clone()..)
            .take_while(|(id, _)| id.starts_with(&below))
            .filter(|(_, point)| point.definition.source == name)
            .map(|(_, point)| point.view(now));
        let told = known
            .facts
            .iter()
            .map(|(fact, told)| told.view(now, device, fact));
        let mut points: Vec<snapshot::Point> = watched.chain(told).collect();
        points.sort_by(|a, b| a.id.cmp(&b.id));
        Some(snapshot::DeviceFacts {
            device: self.device_row(now, device),
            points,
        })
    }

    /// The chief facts of all devices.
    pub(super) fn shown_facts(&self, now: Now) -> impl Iterator<Item = snapshot::Point> {
        self.devices.values().flat_map(move |known| {
            let device = &self.site.devices[known.at];
            known
                .facts
                .iter()
                .filter(|(_, told)| told.is_shown)
                .map(move |(fact, told)| told.view(now, device, fact))
        })
    }
}

/// An address behind a switch: they come and go without end, and are nothing to draw.
fn is_address(fact: &str) -> bool {
    fact.starts_with("fdb.")
}

pub(super) fn stale_after(device: &site::Device) -> Millis {
    Millis(device.poll.0.saturating_mul(MISSED_POLLS) + device.timeout.0)
}

fn fact_label(device: &site::Device, fact: &str, row: Option<&str>) -> Label {
    let label = catalog::fact_label(&device.label, fact);
    match row {
        Some(row) => Label::new(format!("{} {row}", label.ja), format!("{} {row}", label.en)),
        None => label,
    }
}

fn fact_definition(
    device: &site::Device,
    fact: &str,
    row: Option<&str>,
    unit: &'static str,
) -> point::Definition {
    point::Definition {
        id: format!("{}.{fact}", device.name),
        label: fact_label(device, fact, row),
        source: device.name.clone(),
        quantity: None,
        unit,
        contact: None,
        stale_after: stale_after(device),
    }
}

impl Told {
    fn view(&self, now: Now, device: &site::Device, fact: &str) -> snapshot::Point {
        let age = now.mono.since(self.at);
        let value = if age > stale_after(device) {
            Err(NoData::Stale)
        } else {
            self.value.clone()
        };
        let (value, state, no_data) = match value {
            Ok(FactValue::Number(number)) => (Some(number), None, None),
            Ok(FactValue::State(word) | FactValue::Text(word)) => (None, Some(word), None),
            Err(reason) => (None, None, Some(reason.word().to_owned())),
        };
        snapshot::Point {
            id: format!("{}.{fact}", device.name),
            label: fact_label(device, fact, self.row.as_deref()),
            source: device.name.clone(),
            quantity: "fact".to_owned(),
            unit: self.unit.to_owned(),
            value,
            state,
            no_data,
            age_ms: Some(age.0),
            contact: None,
        }
    }
}

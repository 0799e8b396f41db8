//! The devices' part of the engine: a poll comes in, its facts become points, its silence an alarm.
//!
//! What the facts of a UPS mean is the outage engine's matter; here they are only values with an
//! age. The first reading of a device makes its points, later ones renew them.

use super::Engine;
use crate::alarm::Condition;
use crate::catalog;
use crate::device::{Fact, Poll};
use crate::event::Turn;
use crate::outage;
use crate::point;
use crate::site::{DeviceKind, Label, World};
use crate::time::{Millis, Mono, Now};

/// Most facts of one device that become points; further ones are counted.
pub const MAX_FACTS: usize = 1024;
/// A polled point is stale after so many missed polls.
pub const MISSED_POLLS: u64 = 3;

/// What is heard of one device.
#[derive(Debug, Clone, Default)]
pub(super) struct Device {
    /// Its place in the site.
    at: usize,
    pub(super) heard: Option<Mono>,
    pub(super) failed: u32,
    pub(super) profile: Option<String>,
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
                self.count("polls_good");
                for fact in reading.facts.iter().take(MAX_FACTS) {
                    self.fact(now, at, poll.answered, fact, turn);
                }
                for _ in reading.facts.iter().skip(MAX_FACTS) {
                    self.count("facts_left_out");
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
                self.miss_redundancy(now, at, turn);
            }
        }
        self.power(now, outage::Input::Poll(poll), turn);
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
        if !self.points.contains_key(&id) {
            let mut label = catalog::fact_label(&device.label, &fact.name);
            if let Some(row) = &fact.label {
                label = Label::new(format!("{} {row}", label.ja), format!("{} {row}", label.en));
            }
            let definition = point::Definition {
                id: id.clone(),
                label: label.clone(),
                source: device.name.clone(),
                quantity: None,
                unit: fact.unit,
                contact: None,
                stale_after: Millis(device.poll.0.saturating_mul(MISSED_POLLS) + device.timeout.0),
            };
            if self.limits.contains_key(&id) {
                let device = catalog::device_id(&device.name);
                self.book.define(catalog::no_data(&id, label, Some(device)));
            }
            self.add_point(definition);
        }
        self.set_point(now, &id, answered, fact.value.clone(), turn);
    }
}

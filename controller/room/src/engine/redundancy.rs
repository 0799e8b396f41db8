//! The redundancy's part of the engine: what a poll says of parts, uplinks and groups.
//!
//! A device behind another that does not answer is unknown, not broken: it raises nothing, and
//! the one in front says how many it hides.

use super::Engine;
use super::devices::MISSED_POLLS;
use crate::alarm::{Condition, Definition};
use crate::catalog::{self, GroupTrouble};
use crate::device::Reading;
use crate::event::Turn;
use crate::redundancy::{self, Assessment, Kind, Member, Parts, Redundancy, Service, Verdict};
use crate::site::groups::{Group, GroupKind};
use crate::site::{Label, Site, World};
use crate::snapshot;
use crate::time::{Millis, Mono, Now};
use std::collections::BTreeMap;

/// What is heard of parts and of serving.
#[derive(Debug, Clone, Default)]
pub(super) struct Redundancies {
    /// By the device's place in the site.
    parts: BTreeMap<usize, Parts>,
    /// By group and device: whether it says that it serves, and that it is switched off.
    members: BTreeMap<(usize, usize), Said>,
    /// By the device's place: the groups that it is in.
    groups: BTreeMap<usize, Vec<usize>>,
    /// By the device's place: what it is reached through, nearest first.
    fronts: BTreeMap<usize, Vec<usize>>,
    /// By the device's place: how many are reached through it.
    hides: BTreeMap<usize, usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Said {
    serves: Option<bool>,
    off: bool,
}

impl Redundancies {
    pub(super) fn of<W: World>(site: &Site<W>) -> Self {
        let names = site.devices.iter().enumerate();
        let places: BTreeMap<&str, usize> = names.map(|(at, device)| (device.name.as_str(), at)).collect();
        let mut this = Self::default();
        for (at, group) in site.groups.iter().enumerate() {
            for member in group.members.iter().filter_map(|name| places.get(name.as_str())) {
                this.groups.entry(*member).or_default().push(at);
            }
        }
        for (at, device) in site.devices.iter().enumerate() {
            let mut next = device.behind.as_deref();
            let mut fronts = Vec::new();
            while let Some(front) = next.and_then(|name| places.get(name)).copied() {
                // The site's check refuses circles; a site made by hand may have one.
                if front == at || fronts.contains(&front) {
                    break;
                }
                fronts.push(front);
                *this.hides.entry(front).or_default() += 1;
                next = site.devices[front].behind.as_deref();
            }
            if !fronts.is_empty() {
                this.fronts.insert(at, fronts);
            }
        }
        this
    }
}

impl<W: World> Engine<W> {
    /// Alarms that a site has from the start. Those of parts come with the parts.
    pub(super) fn furnish_redundancy(&mut self) {
        self.furnish_groups();
        self.furnish_uplinks();
    }

    /// Alarms of the groups, with what explains them now.
    pub(super) fn furnish_groups(&mut self) {
        for group in &self.site.groups {
            for trouble in GroupTrouble::ALL {
                if trouble != GroupTrouble::Both || (group.kind == GroupKind::Pair && group.serving.is_some())
                {
                    let mut alarm = catalog::group(group, trouble);
                    alarm.folded_under.extend(self.explains_group(&group.members));
                    self.book.define(alarm);
                }
            }
        }
    }

    fn furnish_uplinks(&mut self) {
        for device in self
            .site
            .devices
            .iter()
            .filter(|device| !device.uplinks.is_empty())
        {
            let alarm = catalog::uplink(&device.name, device.label.clone());
            self.book.define(Definition {
                folded_under: self.explains_device(&device.name),
                ..alarm
            });
        }
    }

    /// How long a device may be silent before that is an alarm. What it is reached through must
    /// have been found silent first, or every device behind it would be blamed.
    pub(super) fn patience(&self, at: usize) -> Millis {
        let longest = |device: &crate::site::Device| {
            let answer = device.timeout.0.saturating_mul(u64::from(device.retries) + 1);
            device.poll.0.saturating_add(answer)
        };
        let device = &self.site.devices[at];
        let own = device.poll.0.saturating_mul(MISSED_POLLS);
        let front = self
            .in_front_of(at)
            .map(|front| longest(&self.site.devices[front]).saturating_add(longest(device)))
            .max();
        Millis(own.max(front.unwrap_or(0)))
    }

    /// When the members of groups turn stale, if they have not yet: their groups are judged anew.
    pub(super) fn group_deadline(&self, now: Now) -> impl Iterator<Item = Mono> + '_ {
        self.redundancies.groups.keys().filter_map(move |at| {
            let device = &self.site.devices[*at];
            let heard = self.devices.get(&device.name)?.heard?;
            let at = heard.after(super::devices::stale_after(device)).after(Millis(1));
            (at > now.mono).then_some(at)
        })
    }

    /// The devices that one is reached through, nearest first.
    fn in_front_of(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.redundancies.fronts.get(&at).into_iter().flatten().copied()
    }

    /// True when something that the device is reached through did not answer when it was asked
    /// last, and has not answered since the device fell silent; or never has. One that answers now
    /// and then lets others through as well: it explains no silence that lasts, and hides none.
    pub(super) fn is_hidden(&self, at: usize) -> bool {
        let device = |at: usize| self.devices.get(&self.site.devices[at].name);
        let silent = device(at).and_then(|device| device.heard).or(self.started);
        let explained = silent.unwrap_or(Mono(0)).after(self.patience(at));
        self.in_front_of(at).any(|front| {
            device(front).is_none_or(|front| match front.heard {
                Some(heard) => front.failed > 0 && heard <= explained,
                None => true,
            })
        })
    }

    /// As [`Self::is_hidden`], of the device of that name; false for what is no device.
    pub(super) fn is_hidden_source(&self, name: &str) -> bool {
        self.devices
            .get(name)
            .is_some_and(|device| self.is_hidden(device.at()))
    }

    /// Why a device does not answer, with how many are behind it.
    pub(super) fn because_with_hidden(&self, at: usize, because: &Label) -> Label {
        let hidden = self.redundancies.hides.get(&at).copied();
        catalog::with_devices_behind(because, hidden.unwrap_or(0))
    }

    /// A poll was answered.
    pub(super) fn hear_redundancy(&mut self, now: Now, at: usize, reading: &Reading, turn: &mut Turn) {
        let kinds = self.redundancies.parts.entry(at).or_default().hear(reading);
        for kind in kinds {
            self.report_parts(now, at, kind, turn);
        }
        self.report_uplinks(now, at, reading, turn);
        for group in self.redundancies.groups.get(&at).cloned().unwrap_or_default() {
            let serving = self.site.groups[group].serving.as_ref();
            let serves = serving.and_then(|serving| {
                let word = reading.state(&serving.fact)?;
                Some(serving.is.iter().any(|wanted| wanted == word))
            });
            let off = reading.state("system.power") == Some("off");
            self.redundancies
                .members
                .insert((group, at), Said { serves, off });
            self.evaluate_group(now, group, turn);
        }
    }

    /// A poll was not answered.
    pub(super) fn miss_redundancy(&mut self, now: Now, at: usize, turn: &mut Turn) {
        if let Some(parts) = self.redundancies.parts.get_mut(&at) {
            parts.silence();
            for kind in parts.kinds() {
                self.report_parts(now, at, kind, turn);
            }
        }
        if !self.site.devices[at].uplinks.is_empty() {
            let id = catalog::uplink_id(&self.site.devices[at].name);
            self.report(now, turn, &id, Condition::Unknown);
        }
        for group in self.redundancies.groups.get(&at).cloned().unwrap_or_default() {
            self.evaluate_group(now, group, turn);
        }
    }

    fn report_parts(&mut self, now: Now, at: usize, kind: Kind, turn: &mut Turn) {
        let device = &self.site.devices[at];
        let id = catalog::parts_id(&device.name, kind);
        let stands = self.book.is_active(&id);
        let Some(parts) = self.redundancies.parts.get_mut(&at) else {
            return;
        };
        let condition = match parts.verdict(kind, stands) {
            Verdict::Bad(words) => Condition::Holds(words),
            Verdict::Good => Condition::Gone,
            Verdict::Unknown => Condition::Unknown,
        };
        // Defined when there is something to say: ten thousand devices have few bad parts.
        if matches!(condition, Condition::Holds(_)) || stands {
            let mut alarm = catalog::parts(&device.name, device.label.clone(), kind);
            if kind == Kind::Supply {
                alarm.folded_under.extend(self.explains_device(&device.name));
            }
            self.book.define(alarm);
            self.report(now, turn, &id, condition);
        }
    }

    fn report_uplinks(&mut self, now: Now, at: usize, reading: &Reading, turn: &mut Turn) {
        let device = &self.site.devices[at];
        if device.uplinks.is_empty() {
            return;
        }
        let id = catalog::uplink_id(&device.name);
        let count = device.uplinks.len();
        let mut lost = Vec::new();
        let mut untold = false;
        for port in &device.uplinks {
            match reading.state(&format!("port.{port}.status")) {
                Some("up") => {}
                None | Some("unknown") => untold = true,
                Some(word) => lost.push(format!("{port}: {word}")),
            }
        }
        let condition = if lost.is_empty() && untold {
            Condition::Unknown
        } else if lost.is_empty() {
            Condition::Gone
        } else {
            let (down, named) = (lost.len(), lost.join(", "));
            Condition::Holds(Label::new(
                format!("{count} 本のうち {down} 本（{named}）"),
                format!("{down} of {count} ({named})"),
            ))
        };
        self.report(now, turn, &id, condition);
    }

    pub(super) fn evaluate_groups(&mut self, now: Now, turn: &mut Turn) {
        for group in 0..self.site.groups.len() {
            self.evaluate_group(now, group, turn);
        }
    }

    fn evaluate_group(&mut self, now: Now, at: usize, turn: &mut Turn) {
        let group = self.site.groups[at].clone();
        let (_, found) = self.assess_group(now, at);
        let words = |names: &[usize]| self.names(&group, names);
        let down = words(&found.down);
        let serving = words(&found.serving);
        let unknown = !found.unknown.is_empty();
        let who = if serving.en.is_empty() && down.en.is_empty() {
            Label::new("稼働中の側がない", "no member says that it serves")
        } else if serving.en.is_empty() {
            Label::new(format!("停止: {}", down.ja), format!("down: {}", down.en))
        } else {
            Label::new(
                format!("停止: {}、稼働: {}", down.ja, serving.ja),
                format!("down: {}, serving: {}", down.en, serving.en),
            )
        };
        let service = match found.service {
            Service::Up => Condition::Gone,
            Service::Unknown => Condition::Unknown,
            Service::Lost => Condition::Holds(who.clone()),
        };
        let lost = match found.redundancy {
            Redundancy::Full | Redundancy::Reduced => Condition::Gone,
            Redundancy::Unknown => Condition::Unknown,
            Redundancy::Lost => Condition::Holds(who.clone()),
        };
        let reduced = match found.redundancy {
            Redundancy::Full | Redundancy::Lost => Condition::Gone,
            Redundancy::Unknown => Condition::Unknown,
            Redundancy::Reduced => Condition::Holds(who),
        };
        let both = if found.serving.len() > 1 {
            Condition::Holds(serving)
        } else if unknown {
            Condition::Unknown
        } else {
            Condition::Gone
        };
        for (trouble, condition) in [
            (GroupTrouble::Service, service),
            (GroupTrouble::Both, both),
            (GroupTrouble::Redundancy, lost),
            (GroupTrouble::Reduced, reduced),
        ] {
            let id = catalog::group_id(&group.name, trouble);
            if self.book.knows(&id) {
                self.report(now, turn, &id, condition);
            }
        }
    }

    pub(super) fn assess_group(&self, now: Now, at: usize) -> (Vec<Member>, Assessment) {
        let group = &self.site.groups[at];
        let members: Vec<Member> = group
            .members
            .iter()
            .map(|name| self.member(now, at, name))
            .collect();
        let found = redundancy::assess(&members, group.need, group.serving.is_some());
        (members, found)
    }

    /// The groups for the picture of the room.
    pub(super) fn group_rows(&self, now: Now) -> Vec<snapshot::Group> {
        let row = |(at, group): (usize, &Group)| {
            let (states, found) = self.assess_group(now, at);
            let member = |(name, state): (&String, Member)| snapshot::GroupMember {
                name: name.clone(),
                label: self.device_label(name),
                state: state.word().to_owned(),
            };
            snapshot::Group {
                name: group.name.clone(),
                label: group.label.clone(),
                service: found.service.word().to_owned(),
                redundancy: found.redundancy.word().to_owned(),
                need: group.need,
                members: group.members.iter().zip(states).map(member).collect(),
            }
        };
        self.site.groups.iter().enumerate().map(row).collect()
    }

    fn device_label(&self, name: &str) -> Label {
        let known = self.devices.get(name);
        let device = known.and_then(|known| self.site.devices.get(known.at()));
        device.map_or_else(|| Label::new(name, name), |device| device.label.clone())
    }

    fn member(&self, now: Now, group: usize, name: &str) -> Member {
        let Some(device) = self.devices.get(name) else {
            return Member::Unknown;
        };
        let at = device.at();
        let site = &self.site.devices[at];
        let Some(heard) = device.heard else {
            return Member::Unknown;
        };
        let silent = Millis(site.poll.0.saturating_mul(MISSED_POLLS) + site.timeout.0);
        if now.mono.since(heard) > silent {
            return if self.is_hidden(at) {
                Member::Unknown
            } else {
                Member::Down
            };
        }
        let said = self
            .redundancies
            .members
            .get(&(group, at))
            .copied()
            .unwrap_or_default();
        if device.failed > 0 {
            // What it said last may no longer be so: the other half takes over in that time.
            Member::Unknown
        } else if said.off {
            Member::Down
        } else {
            Member::Up(said.serves)
        }
    }

    fn names(&self, group: &Group, places: &[usize]) -> Label {
        let names = places.iter().filter_map(|place| group.members.get(*place));
        let labels: Vec<Label> = names.map(|name| self.device_label(name)).collect();
        let of = |pick: fn(&Label) -> &str| labels.iter().map(pick).collect::<Vec<_>>();
        Label::new(of(|label| &label.ja).join("、"), of(|label| &label.en).join(", "))
    }
}

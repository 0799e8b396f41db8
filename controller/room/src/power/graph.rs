//! The way of the power as a graph: UPS -> PDU or ATS -> outlet -> supply -> host.
//!
//! A *point* is a place where something can be plugged in: a UPS, a PDU, an ATS, one outlet of
//! these, or raw mains. Every point knows what it is fed by; the UPSes come first, in the order of
//! the site, so what is known of them extends to all points by one walk ([`Graph::supplies`]).
//!
//! ```text
//!  ups-a ──> pdu-1 ──> pdu-1/3 ──> supply 1 of db1
//!  ups-b ──> ats-1 ──> ats-1/1 ──> supply 2 of db1        either input carries an ATS
//!  mains ──^
//! ```
//!
//! What a PDU or ATS says of itself ([`Said`]) can only take away: an outlet that is off carries
//! nothing, an input that is lost feeds nothing. Silence takes nothing away; an outlet whose last
//! word was "off" and that is silent since is doubtful and not on again. Nothing here starts or
//! stops anything, and a word of a PDU never makes a battery drain.

use super::feeds::Supply;
use crate::device::{Poll, Reading};
use crate::site::{DeviceKind, Label, Site, World};
use crate::time::{Millis, Mono};
use std::collections::{BTreeMap, BTreeSet};

/// Devices in a row between a UPS and a host; more is a mistake in the site file.
pub const MAX_DEPTH: usize = 8;
/// Characters of an outlet's number: `3`, `1.12`.
pub const MAX_OUTLET: usize = 12;
/// Inputs of an ATS.
pub const ATS_INPUTS: usize = 2;
/// The word in `fed_by` for mains without a UPS.
pub const MAINS: &str = "mains";
/// Volts at an input below which nothing is there.
const DEAD_VOLTS: f64 = 20.0;
/// Polls that a PDU may miss before its last word is no longer fresh.
const MISSED_POLLS: u64 = 3;

/// A device as it is wired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wired {
    /// Its name.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// Only UPSes, PDUs and ATSes feed something.
    pub kind: DeviceKind,
    /// What it is fed by, in the order of its inputs.
    pub fed_by: Vec<String>,
    /// Its last word is fresh for so long.
    pub fresh_for: Millis,
}

/// What is wrong with the name of a feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing of that name.
    #[error("{name} is not a device of this site")]
    Unknown {
        /// The name.
        name: String,
    },
    /// It feeds nobody.
    #[error("{name} is not a UPS, PDU or ATS")]
    FeedsNobody {
        /// The device.
        name: String,
    },
    /// Not the number of an outlet.
    #[error("{name}: write an outlet as the device, a stroke and its number: pdu-1/3")]
    Outlet {
        /// As it was written.
        name: String,
    },
    /// A PDU or ATS of which nobody knows where its power comes from.
    #[error("{name} does not say what feeds it; add fed_by = [\"...\"] to its [[device]]")]
    Unfed {
        /// The device.
        name: String,
    },
    /// More inputs than it has.
    #[error("{name} has more than {most} in fed_by")]
    Inputs {
        /// The device.
        name: String,
        /// How many it may have.
        most: usize,
    },
    /// Raw mains where a UPS is asked for.
    #[error("mains is no feed that outlives an outage; leave it out and count it out of `need`")]
    Mains,
    /// Devices that feed each other.
    #[error("{} feed each other in a circle", .names.join(", "))]
    Circle {
        /// In the order in which they were met.
        names: Vec<String>,
    },
    /// More than [`MAX_DEPTH`] in a row.
    #[error("{name} stands behind more than {MAX_DEPTH} devices in a row")]
    Deep {
        /// The device.
        name: String,
    },
}

/// What a point is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A UPS.
    Ups,
    /// Mains without a UPS: never counted as supply.
    Mains,
    /// Hands on what it gets.
    Pdu,
    /// Hands on the better of its inputs.
    Ats,
    /// One outlet of a device, by its number.
    Outlet(String),
}

impl Kind {
    /// The word of the picture.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Ups => "ups",
            Self::Mains => "mains",
            Self::Pdu => "pdu",
            Self::Ats => "ats",
            Self::Outlet(_) => "outlet",
        }
    }
}

/// A place where something can be plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// As the site spells it: `ups-a`, `pdu-1`, `pdu-1/3`.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// The device it is of; empty for mains.
    pub device: String,
    /// What it is.
    pub kind: Kind,
    /// The points that feed it, all of them before it.
    pub inputs: Vec<usize>,
    fresh_for: Millis,
}

/// The points of a site.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    wired: BTreeMap<String, Wired>,
    points: Vec<Point>,
    names: BTreeMap<String, usize>,
    /// Points of a device that hands power on, by its name.
    devices: BTreeMap<String, Vec<usize>>,
    upses: usize,
}

/// Every device of a site as it is wired.
#[must_use]
pub fn wired<W: World>(site: &Site<W>) -> Vec<Wired> {
    let branches = site.branches.iter();
    let branches: BTreeMap<&str, &Vec<String>> = branches
        .map(|branch| (branch.device.as_str(), &branch.fed_by))
        .collect();
    let fed_by = |name: &str| {
        let feeds = branches.get(name);
        feeds.map(|feeds| (*feeds).clone()).unwrap_or_default()
    };
    site.devices
        .iter()
        .map(|device| Wired {
            name: device.name.clone(),
            label: device.label.clone(),
            kind: device.kind,
            fed_by: fed_by(&device.name),
            fresh_for: Millis((device.poll.0.saturating_mul(MISSED_POLLS)).saturating_add(device.timeout.0)),
        })
        .collect()
}

impl Graph {
    /// The UPSes alone; the rest comes by [`Graph::point`].
    #[must_use]
    pub fn new(wired: Vec<Wired>) -> Self {
        let upses = wired.iter().filter(|device| device.kind == DeviceKind::Ups);
        let points: Vec<Point> = upses
            .map(|ups| Point {
                name: ups.name.clone(),
                label: ups.label.clone(),
                device: ups.name.clone(),
                kind: Kind::Ups,
                inputs: Vec::new(),
                fresh_for: ups.fresh_for,
            })
            .collect();
        let upses = points.len();
        let names = points.iter().enumerate();
        Self {
            upses,
            names: names.map(|(at, point)| (point.name.clone(), at)).collect(),
            points,
            devices: BTreeMap::new(),
            wired: wired
                .into_iter()
                .map(|device| (device.name.clone(), device))
                .collect(),
        }
    }

    /// Every point; the UPSes first, and each behind what feeds it.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The point of that spelling, if something is plugged in there.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The point a host is plugged into, added when it is new.
    ///
    /// # Errors
    /// The [`Problem`] of the name, or of what is in front of it.
    pub fn point(&mut self, name: &str) -> Result<usize, Problem> {
        if name == MAINS {
            return Err(Problem::Mains);
        }
        self.add(name, &mut Vec::new())
    }

    /// A UPS, or a device that hands on what it gets.
    #[must_use]
    pub fn knows(&self, device: &str) -> bool {
        self.devices.contains_key(device) || self.names.get(device).is_some_and(|at| *at < self.upses)
    }

    /// PDUs and ATSes that nothing is plugged into as far as the site says: drawn, not judged.
    pub fn add_the_rest(&mut self) {
        let named = self.wired.values().filter(|device| !device.fed_by.is_empty());
        let named: Vec<String> = named.map(|device| device.name.clone()).collect();
        for name in named {
            // What is wrong with it the check of the site has told.
            let _ = self.point(&name);
        }
    }

    fn add(&mut self, name: &str, way: &mut Vec<String>) -> Result<usize, Problem> {
        if let Some(known) = self.find(name) {
            return Ok(known);
        }
        if name == MAINS {
            return Ok(self.push(
                name,
                Label::new("商用電源", "mains"),
                "",
                Kind::Mains,
                Vec::new(),
                Millis(0),
            ));
        }
        let (device, outlet) = match name.split_once('/') {
            Some((device, outlet)) => (device, Some(outlet)),
            None => (name, None),
        };
        let unknown = || Problem::Unknown { name: device.into() };
        let wired = self.wired.get(device).ok_or_else(unknown)?.clone();
        if !matches!(wired.kind, DeviceKind::Ups | DeviceKind::Pdu | DeviceKind::Ats) {
            return Err(Problem::FeedsNobody { name: device.into() });
        }
        if let Some(outlet) = outlet {
            if !is_outlet(outlet) {
                return Err(Problem::Outlet { name: name.into() });
            }
            let input = self.add(device, way)?;
            let label = Label::new(
                format!("{} 出力 {outlet}", wired.label.ja),
                format!("{} outlet {outlet}", wired.label.en),
            );
            let kind = Kind::Outlet(outlet.into());
            return Ok(self.push(name, label, device, kind, vec![input], wired.fresh_for));
        }
        let (kind, most) = match wired.kind {
            DeviceKind::Ats => (Kind::Ats, ATS_INPUTS),
            _ => (Kind::Pdu, 1),
        };
        if wired.fed_by.is_empty() {
            return Err(Problem::Unfed { name: name.into() });
        }
        if wired.fed_by.len() > most {
            return Err(Problem::Inputs {
                name: name.into(),
                most,
            });
        }
        if let Some(first) = way.iter().position(|before| before == name) {
            return Err(Problem::Circle {
                names: way.split_off(first),
            });
        }
        if way.len() >= MAX_DEPTH {
            return Err(Problem::Deep { name: name.into() });
        }
        way.push(name.into());
        let mut inputs = Vec::new();
        for feed in &wired.fed_by {
            inputs.push(self.add(feed, way)?);
        }
        way.pop();
        Ok(self.push(name, wired.label, name, kind, inputs, wired.fresh_for))
    }

    fn push(
        &mut self,
        name: &str,
        label: Label,
        device: &str,
        kind: Kind,
        inputs: Vec<usize>,
        fresh_for: Millis,
    ) -> usize {
        let at = self.points.len();
        self.names.insert(name.into(), at);
        self.devices.entry(device.into()).or_default().push(at);
        self.points.push(Point {
            name: name.into(),
            label,
            device: device.into(),
            kind,
            inputs,
            fresh_for,
        });
        at
    }

    /// The UPSes from which power can come to a point.
    #[must_use]
    pub fn upses(&self, point: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut left = vec![point];
        while let Some(at) = left.pop() {
            if at < self.upses {
                found.insert(at);
            }
            // Every input stands before its point, so this ends.
            left.extend(&self.points[at].inputs);
        }
        found
    }

    /// Every point that power passes on its way to this one, itself included.
    #[must_use]
    pub fn path(&self, point: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut left = vec![point];
        while let Some(at) = left.pop() {
            if found.insert(at) {
                left.extend(&self.points[at].inputs);
            }
        }
        found
    }

    /// UPSes whose load an ATS moves to this one when they end: unlike a second supply, which
    /// carries its share all the time, the second input of an ATS carries nothing before.
    #[must_use]
    pub fn standby_for(&self, ups: usize) -> BTreeSet<usize> {
        let mut others = BTreeSet::new();
        for point in self.points.iter().filter(|point| point.kind == Kind::Ats) {
            let inputs: Vec<_> = point.inputs.iter().map(|input| self.upses(*input)).collect();
            if inputs.iter().any(|upses| upses.contains(&ups)) {
                others.extend(inputs.iter().flatten().copied());
            }
        }
        others.remove(&ups);
        others
    }

    /// True while an ATS may still hand the load of one UPS to the other: not when it says that it
    /// is fed by the other already.
    #[must_use]
    pub fn hands_over(&self, from: usize, to: usize, said: &Said, now: Mono) -> bool {
        let atses = self.points.iter().enumerate();
        atses
            .filter(|(_, point)| point.kind == Kind::Ats)
            .any(|(at, point)| {
                let reaches = |ups: usize, which: &usize| {
                    let input = point.inputs.get(*which);
                    input.is_some_and(|input| self.upses(*input).contains(&ups))
                };
                let source = said.source(at).filter(|_| said.is_fresh(self, at, now));
                let moved = source.is_some_and(|which| reaches(to, &which) && !reaches(from, &which));
                let inputs = || 0..point.inputs.len();
                !moved
                    && inputs().any(|which| reaches(from, &which))
                    && inputs().any(|which| reaches(to, &which))
            })
    }

    /// What every point gives, from what the UPSes give and what the devices say. `lost` are
    /// points that are taken as dead.
    #[must_use]
    pub fn supplies(&self, ups: &[Supply], said: &Said, lost: &BTreeSet<usize>, now: Mono) -> Vec<Supply> {
        let mut all: Vec<Supply> = Vec::with_capacity(self.points.len());
        for (at, point) in self.points.iter().enumerate() {
            let input = |which: usize| {
                let given = point.inputs.get(which).and_then(|input| all.get(*input));
                through(
                    given.copied().unwrap_or(Supply::Doubtful),
                    said.input(self, at, which, now),
                )
            };
            let supply = match &point.kind {
                _ if lost.contains(&at) => Supply::Gone,
                Kind::Ups => ups.get(at).copied().unwrap_or(Supply::Doubtful),
                Kind::Mains => Supply::Gone,
                Kind::Pdu => input(0),
                Kind::Outlet(_) => through(input(0), said.outlet(self, at, now)),
                Kind::Ats => (0..point.inputs.len()).map(input).fold(Supply::Gone, better),
            };
            all.push(supply);
        }
        all
    }

    /// The UPS that carries a point while its supply is the better one of its inputs; `None` for
    /// raw mains.
    #[must_use]
    pub fn carrier(&self, point: usize, supplies: &[Supply]) -> Option<usize> {
        let mut at = point;
        while at >= self.upses {
            let inputs = self.points.get(at)?.inputs.iter().copied();
            let given = |input: &usize| supplies.get(*input).copied().unwrap_or(Supply::Doubtful);
            at = inputs.reduce(|best, next| {
                if rank(given(&next)) > rank(given(&best)) {
                    next
                } else {
                    best
                }
            })?;
        }
        Some(at)
    }
}

/// A number of an outlet: digits, parts of it divided by points.
fn is_outlet(text: &str) -> bool {
    text.len() <= MAX_OUTLET
        && text
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What is known of a place that power passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Nothing is known against it.
    Open,
    /// Its device says now that it is off or lost.
    Cut,
    /// That was the last word of its device, which is silent since.
    WasCut,
}

fn through(supply: Supply, edge: Edge) -> Supply {
    match (supply, edge) {
        (_, Edge::Cut) | (Supply::Gone, _) => Supply::Gone,
        (_, Edge::WasCut) => Supply::Doubtful,
        (supply, Edge::Open) => supply,
    }
}

/// Mains before battery, the longer battery before the shorter, doubt before nothing.
fn rank(supply: Supply) -> (u8, f64) {
    match supply {
        Supply::Gone => (0, 0.0),
        Supply::Doubtful => (1, 0.0),
        Supply::Draining(secs) => (2, secs),
        Supply::Steady => (3, 0.0),
    }
}

fn better(one: Supply, other: Supply) -> Supply {
    if rank(other) > rank(one) { other } else { one }
}

/// What PDUs and ATSes have said of themselves since this process started. Volatile: after a
/// restart they are asked again.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// By point.
    words: BTreeMap<usize, Words>,
}

#[derive(Debug, Clone, Default)]
struct Words {
    /// When something definite was heard last.
    heard: Option<Mono>,
    /// The outlet is on.
    on: Option<bool>,
    /// The inputs are good.
    good: [Option<bool>; ATS_INPUTS],
    /// The input in use.
    source: Option<usize>,
}

impl Said {
    /// Takes a poll in; true when it was of a device that hands power on. A poll that failed says
    /// nothing.
    pub fn hear(&mut self, graph: &Graph, poll: &Poll) -> bool {
        let Some(own) = graph.devices.get(&poll.device) else {
            return false;
        };
        let Ok(reading) = &poll.result else {
            return true;
        };
        for at in own {
            let words = self.words.entry(*at).or_default();
            let is_newer = words.heard.is_none_or(|heard| poll.answered >= heard);
            if is_newer && words.take(&graph.points[*at].kind, reading) {
                words.heard = Some(poll.answered);
            }
        }
        true
    }

    /// What is known of an outlet.
    #[must_use]
    pub fn outlet(&self, graph: &Graph, point: usize, now: Mono) -> Edge {
        self.edge(graph, point, now, |words| words.on)
    }

    /// What is known of an input of a PDU or ATS, by its place in `fed_by`.
    #[must_use]
    pub fn input(&self, graph: &Graph, point: usize, which: usize, now: Mono) -> Edge {
        self.edge(graph, point, now, |words| {
            words.good.get(which).copied().flatten()
        })
    }

    /// Its last word of this input was a good one.
    #[must_use]
    pub fn says_good(&self, point: usize, which: usize) -> bool {
        let words = self.words.get(&point);
        words.is_some_and(|words| words.good.get(which) == Some(&Some(true)))
    }

    /// The input that an ATS says it uses, however long ago.
    #[must_use]
    pub fn source(&self, point: usize) -> Option<usize> {
        self.words.get(&point)?.source
    }

    /// Its device was heard to say something definite of it, and not too long ago.
    #[must_use]
    pub fn is_fresh(&self, graph: &Graph, point: usize, now: Mono) -> bool {
        let heard = self.words.get(&point).and_then(|words| words.heard);
        heard.is_some_and(|heard| now.since(heard) < graph.points[point].fresh_for)
    }

    fn edge(&self, graph: &Graph, point: usize, now: Mono, of: impl Fn(&Words) -> Option<bool>) -> Edge {
        match self.words.get(&point).and_then(of) {
            None | Some(true) => Edge::Open,
            Some(false) if self.is_fresh(graph, point, now) => Edge::Cut,
            Some(false) => Edge::WasCut,
        }
    }
}

impl Words {
    /// Keeps the last definite words; true when there was one.
    fn take(&mut self, kind: &Kind, reading: &Reading) -> bool {
        match kind {
            Kind::Outlet(number) => {
                let word = match reading.state(&format!("outlet.{number}.status")) {
                    Some("on") => Some(true),
                    Some("off") => Some(false),
                    // A fault, a pending switch or nothing at all is no word about its power.
                    _ => None,
                };
                self.on = word.or(self.on);
                word.is_some()
            }
            Kind::Pdu => {
                let word = input_is_good(reading, "input");
                self.good[0] = word.or(self.good[0]);
                word.is_some()
            }
            Kind::Ats => {
                let mut definite = false;
                for (good, input) in self.good.iter_mut().zip(["input.a", "input.b"]) {
                    let word = input_is_good(reading, input);
                    *good = word.or(*good);
                    definite |= word.is_some();
                }
                match reading.state("input.source") {
                    Some("a") => self.source = Some(0),
                    Some("b") => self.source = Some(1),
                    Some("none") => {
                        self.source = None;
                        self.good = [Some(false); ATS_INPUTS];
                    }
                    _ => return definite,
                }
                true
            }
            Kind::Ups | Kind::Mains => false,
        }
    }
}

/// What a device says of one of its inputs: its own word, or else the voltage.
fn input_is_good(reading: &Reading, input: &str) -> Option<bool> {
    match reading.state(&format!("{input}.status")) {
        Some("good" | "warning-low" | "warning-high") => return Some(true),
        None | Some("unknown") => {}
        Some(_) => return Some(false),
    }
    let volts = reading.number(&format!("{input}.voltage"))?;
    Some(volts >= DEAD_VOLTS)
}

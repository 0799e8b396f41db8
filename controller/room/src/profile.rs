//! Profiles: what the objects of a device model mean, as data.
//!
//! A profile is a TOML file under `controller/room/profiles/<kind>/`. It says which devices it
//! fits (sysObjectID, sysDescr and a probing object), and for every fact where its value is, how
//! to scale it, which values mean "not measured" and what it can plausibly be. Decoding never
//! guesses: a wrong type, an unknown enumeration value, a sentinel or an impossible value becomes
//! `NoData` with the raw value kept, never 0 and never a default.
//!
//! ```text
//! sysObjectID, sysDescr --Library::candidates--> probes --> Profile
//! Profile --roots--> (walk) --rows--> layout --oids--> (GET) --values--> decode -> Reading
//! ```
//!
//! To add a model: write the file, and a recording with its expected reading in the folder of
//! the same name. A test fails when a part is missing.
//!
//! Several facts of one name are alternatives, in the order of the file: the first good one is
//! taken.
//!
//! A profile may extend others: it has their facts, too. A fact of its own stands for all facts
//! of that name of its parents; names are compared as they are written, the name of the first
//! row and that of the others alike.

pub mod action;
mod contradictions;
pub mod file;
mod layout;
mod library;
mod read;
pub mod recording;
pub mod register;
mod rule;
mod text;
mod unit;
pub mod value;
mod words;

pub use file::BadProfile;
pub use layout::{
    Definition, LAYOUT_FACTS_MAX, LAYOUT_PLACES_MAX, LEFT_OUT, Layout, LeftOut, ROWS_MAX, Roots,
};
pub use library::{Identity, Library};
pub use read::Read;
pub use rule::{Factor, Place};
pub use unit::{Limits, Unit};
pub use value::{Oid, Value};
pub use words::{Reserved, reserved_words};

use crate::command;
use rule::Rule;
use serde::Deserialize;
use std::sync::Arc;

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// sysDescr.0, in which a device describes itself.
pub const SYS_DESCR: &str = "1.3.6.1.2.1.1.1.0";
/// sysObjectID.0, by which a device says what it is.
pub const SYS_OBJECT_ID: &str = "1.3.6.1.2.1.1.2.0";

/// net-snmp's own subtrees: they say which agent answers, not what the device is.
const AGENTS: [&[u32]; 2] = [&[1, 3, 6, 1, 4, 1, 8072], &[1, 3, 6, 1, 4, 1, 2021]];
/// What a prefix within [`AGENTS`] counts: less than the shortest prefix of a maker.
const AGENT_ARCS: usize = 6;
/// What a fragment of sysDescr counts: a maker's prefix and one arc more.
const SYS_DESCR_ARCS: usize = 8;

/// What a profile describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Supplies others; has `output.source`.
    Ups,
    /// Distributes power to outlets.
    Pdu,
    /// Chooses between two sources.
    Ats,
    /// Measures the room.
    Environment,
    /// A server, by its management controller.
    Server,
    /// Forwards packets.
    Switch,
    /// A machine that only tells about itself.
    Host,
    /// Facts that other profiles extend; fits no device.
    Part,
}

impl Kind {
    /// As it is written, and the name of its folder.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ups => "ups",
            Self::Pdu => "pdu",
            Self::Ats => "ats",
            Self::Environment => "environment",
            Self::Server => "server",
            Self::Switch => "switch",
            Self::Host => "host",
            Self::Part => "part",
        }
    }
}

/// The protocol in which a profile's devices are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// SNMP; objects.
    Snmp,
    /// Modbus; registers. A device cannot be told by asking, so the site names its profile.
    Modbus(register::Modbus),
}

/// One model or family of devices.
#[derive(Debug, Clone)]
pub struct Profile {
    name: String,
    title: String,
    source: String,
    kind: Kind,
    protocol: Protocol,
    extends: Vec<String>,
    dropped: Vec<String>,
    /// Where `extends` and `drop` stand in the text, from 1.
    line: usize,
    sys_object_ids: Vec<Oid>,
    /// Small letters.
    sys_descr: Vec<String>,
    probes: Vec<Oid>,
    by_probe_alone: bool,
    preference: i32,
    /// Takes no command from its parents.
    no_commands: bool,
    /// Its own, then what it takes from its parents.
    rules: Vec<Arc<Rule>>,
    /// What its devices can be told, as `rules`.
    actions: Vec<Arc<action::Action>>,
}

/// How well a profile fits: arcs of the sysObjectID, then the profile's own preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(usize, i32);

impl Rank {
    /// True when only the probe speaks for the profile.
    #[must_use]
    pub const fn is_generic(self) -> bool {
        self.0 <= AGENT_ARCS
    }
}

impl Profile {
    /// Its name, unique in a library.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it describes, for people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The document its numbers come from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it describes.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// How its devices are asked.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// What belongs to Modbus; `None` for a profile of another protocol.
    #[must_use]
    pub const fn modbus(&self) -> Option<register::Modbus> {
        match self.protocol {
            Protocol::Modbus(modbus) => Some(modbus),
            Protocol::Snmp => None,
        }
    }

    /// The objects whose presence proves the profile: instances, or columns with any row.
    #[must_use]
    pub fn probes(&self) -> &[Oid] {
        &self.probes
    }

    /// The prefixes of sysObjectID it fits.
    #[must_use]
    pub fn sys_object_ids(&self) -> &[Oid] {
        &self.sys_object_ids
    }

    /// How well it fits a device that says so of itself and has one of the probes; `None` when
    /// it does not fit.
    #[must_use]
    pub fn rank(&self, identity: &Identity) -> Option<Rank> {
        if self.kind == Kind::Part || self.protocol != Protocol::Snmp {
            return None;
        }
        let id = identity.sys_object_id.as_ref();
        let by_id = self
            .sys_object_ids
            .iter()
            .filter(|prefix| id.is_some_and(|id| id.is_under(prefix)))
            .map(
                |prefix| match AGENTS.iter().any(|agent| prefix.arcs().starts_with(agent)) {
                    true => AGENT_ARCS,
                    false => prefix.arcs().len(),
                },
            )
            .max();
        let says = identity.sys_descr.as_ref().map(|text| text.to_lowercase());
        let by_descr = self
            .sys_descr
            .iter()
            .any(|fragment| says.as_ref().is_some_and(|text| text.contains(fragment)))
            .then_some(SYS_DESCR_ARCS);
        let arcs = by_id.max(by_descr).or(self.by_probe_alone.then_some(0))?;
        Some(Rank(arcs, self.preference))
    }

    fn bad(&self, problem: String) -> BadProfile {
        BadProfile {
            profile: self.name.clone(),
            line: Some(self.line),
            problem,
        }
    }

    /// With what it takes from its parents.
    fn taking(mut self, parents: &[Arc<Self>]) -> Result<Self, BadProfile> {
        if let Some(other) = parents
            .iter()
            .find(|parent| parent.modbus().is_some() != self.modbus().is_some())
        {
            return Err(self.bad(format!("extends {}, which is of another protocol", other.name)));
        }
        let own: Vec<String> = self.rules.iter().flat_map(|rule| rule.written.clone()).collect();
        let mut used = vec![false; self.dropped.len()];
        for rule in parents.iter().flat_map(|parent| &parent.rules) {
            let mut is_dropped = false;
            for (pattern, used) in self.dropped.iter().zip(&mut used) {
                if rule.written.iter().any(|name| words::fits(pattern, name)) {
                    (is_dropped, *used) = (true, true);
                }
            }
            let is_replaced = rule.written.iter().any(|name| own.contains(name));
            // Two parents may have a parent in common.
            let is_there = self.rules.iter().any(|known| Arc::ptr_eq(known, rule));
            if !is_dropped && !is_replaced && !is_there {
                self.rules.push(Arc::clone(rule));
            }
        }
        if let Some(at) = used.iter().position(|used| !used) {
            return Err(self.bad(format!("drop: `{}` is no fact of a parent", self.dropped[at])));
        }
        for action in parents.iter().flat_map(|parent| &parent.actions) {
            let is_own = self
                .actions
                .iter()
                .any(|own| own.known.pattern == action.known.pattern);
            if !is_own && !self.no_commands {
                self.actions.push(Arc::clone(action));
            }
        }
        file::check_size(&self)?;
        Ok(self)
    }

    /// Names of its facts as they are written, with `{i}` and its like.
    pub fn fact_names(&self) -> impl Iterator<Item = &str> {
        self.rules
            .iter()
            .flat_map(|rule| rule.written.iter().map(String::as_str))
    }

    /// What its devices can be told.
    pub fn actions(&self) -> impl Iterator<Item = &action::Action> {
        self.actions.iter().map(AsRef::as_ref)
    }

    /// What is to be written for a command, and how it is known to have happened.
    ///
    /// # Errors
    /// [`action::NoAction`]: this model does not have it, or the parameter does not fit.
    pub fn told(&self, name: command::Name, value: Option<i64>) -> Result<action::Told, action::NoAction> {
        let action = self.actions().find(|action| *action.known == *name.known());
        let Some(action) = action else {
            return Err(action::NoAction::Unknown {
                profile: self.name.clone(),
                command: name,
            });
        };
        action.told(name, value)
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

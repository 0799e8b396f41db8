//! The profiles a controller knows: who extends whom, and which one fits a device.

use super::value::Oid;
use super::{BUILTIN, BadProfile, Kind, Profile, Rank, file};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Parents of parents of one profile.
pub(super) const EXTENDS_DEPTH_MAX: usize = 8;
/// Profiles of one library.
pub(super) const PROFILES_MAX: usize = 1024;

/// What a device says it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// sysObjectID.
    pub sys_object_id: Option<Oid>,
    /// sysDescr.
    pub sys_descr: Option<String>,
}

/// The profiles a controller knows.
#[derive(Debug, Clone)]
pub struct Library {
    /// In the order in which equal ones win.
    profiles: Vec<Arc<Profile>>,
}

static HOUSE: LazyLock<Library> =
    LazyLock::new(|| Library::from_texts(&BUILTIN).expect("a test parses every built-in profile"));

impl Library {
    /// The profiles built into the binary.
    #[must_use]
    pub fn builtin() -> Self {
        HOUSE.clone()
    }

    /// From names and texts.
    ///
    /// # Errors
    /// [`BadProfile`] of the first text that is refused, or of a name that occurs twice.
    pub fn from_texts(texts: &[(&str, &str)]) -> Result<Self, BadProfile> {
        let empty = Self { profiles: Vec::new() };
        let (library, mut bad) = empty.with(texts);
        if bad.is_empty() {
            Ok(library)
        } else {
            Err(bad.swap_remove(0))
        }
    }

    /// This library and these profiles, which win where two fit equally well. One with the name
    /// of a known profile takes its place, and may extend it. The bad ones are left out.
    #[must_use]
    pub fn with(&self, texts: &[(&str, &str)]) -> (Self, Vec<BadProfile>) {
        let mut bad = Vec::new();
        let mut drafts: BTreeMap<&str, Profile> = BTreeMap::new();
        for (name, text) in texts {
            let parsed = if drafts.contains_key(name) {
                Err(BadProfile::new(name, "another profile has this name"))
            } else if drafts.len() == PROFILES_MAX {
                Err(BadProfile::new(
                    name,
                    format!("more than {PROFILES_MAX} profiles"),
                ))
            } else {
                file::parse(name, text)
            };
            match parsed {
                Ok(profile) => drop(drafts.insert(name, profile)),
                Err(error) => bad.push(error),
            }
        }
        let mut done: BTreeMap<String, Arc<Profile>> = BTreeMap::new();
        let mut profiles = Vec::new();
        for (name, _) in texts {
            if !drafts.contains_key(name)
                || done.contains_key(*name) && profiles.iter().any(|p: &Arc<Profile>| p.name() == *name)
            {
                continue;
            }
            match self.resolve(name, &drafts, &mut done, &mut Vec::new()) {
                Ok(profile) => profiles.push(profile),
                Err(error) => bad.push(error),
            }
        }
        let replaced = |known: &&Arc<Profile>| !profiles.iter().any(|new| new.name == known.name);
        let rest: Vec<_> = self.profiles.iter().filter(replaced).cloned().collect();
        profiles.extend(rest);
        (Self { profiles }, bad)
    }

    /// A profile with everything it takes from its parents.
    fn resolve(
        &self,
        name: &str,
        drafts: &BTreeMap<&str, Profile>,
        done: &mut BTreeMap<String, Arc<Profile>>,
        path: &mut Vec<String>,
    ) -> Result<Arc<Profile>, BadProfile> {
        if let Some(known) = done.get(name) {
            return Ok(Arc::clone(known));
        }
        let draft = &drafts[name];
        path.push(name.to_owned());
        let mut parents = Vec::new();
        for parent in &draft.extends {
            let is_own = drafts.contains_key(parent.as_str());
            if is_own && path.len() > EXTENDS_DEPTH_MAX {
                return Err(draft.bad(format!(
                    "extends more than {EXTENDS_DEPTH_MAX} profiles above each other"
                )));
            }
            let known = self.get(parent);
            let found = match known {
                // A profile that takes the place of another may extend it.
                Some(known) if parent == name => Arc::clone(known),
                _ if path.contains(parent) => {
                    let circle = path.join(", which extends ");
                    return Err(draft.bad(format!("extends itself: {circle}, which extends {parent}")));
                }
                _ if is_own => self.resolve(parent, drafts, done, path).map_err(|error| {
                    if error.profile == draft.name {
                        error
                    } else {
                        draft.bad(format!("extends {parent}, which is bad: {error}"))
                    }
                })?,
                Some(known) => Arc::clone(known),
                None => return Err(draft.bad(format!("extends `{parent}`, which is no known profile"))),
            };
            parents.push(found);
        }
        path.pop();
        let profile = Arc::new(draft.clone().taking(&parents)?);
        done.insert(name.to_owned(), Arc::clone(&profile));
        Ok(profile)
    }

    /// The profile of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Profile>> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.iter()
    }

    /// The profiles that may fit a device that says so of itself, best first: each fits when one
    /// of its probes is there, and the first that fits is the one.
    #[must_use]
    pub fn candidates(&self, identity: &Identity) -> Vec<(Rank, Arc<Profile>)> {
        let ranked = self.profiles.iter();
        let mut list: Vec<(Rank, Arc<Profile>)> = ranked
            .filter_map(|profile| Some((profile.rank(identity)?, Arc::clone(profile))))
            .collect();
        // Stable: of two equal ones the earlier stays first.
        list.sort_by(|(one, _), (other, _)| other.cmp(one));
        list
    }

    /// The best fitting profile. `present` is asked whether an object is there: the instance
    /// itself or, when the probe is a column, any row of it. Two that fit equally well are a
    /// mistake in the profiles, which a test finds; the earlier one is taken.
    pub fn detect(&self, identity: &Identity, mut present: impl FnMut(&Oid) -> bool) -> Option<Arc<Profile>> {
        let mut candidates = self.candidates(identity).into_iter();
        candidates
            .find(|(_, profile)| profile.probes().iter().any(&mut present))
            .map(|(_, profile)| profile)
    }

    /// Every kind of profile but parts.
    pub fn devices(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles
            .iter()
            .filter(|profile| profile.kind() != Kind::Part)
    }
}

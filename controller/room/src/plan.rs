//! The plan: which hosts are stopped in which order, as data that can be shown, hashed and kept.
//!
//! A host is one step. A step waits for every host that depends on it (dependants stop before
//! what they use); steps that do not wait for each other run at the same time. The plan of a
//! site is fixed by its configuration; its hash names it between the roles, so that the role
//! that holds the keys never carries out another plan than the one it read itself.
//!
//! It never decides when to start and never knows how a host is reached: actions are part of
//! the hash, not of the steps.

use crate::power::graph::{self, Graph};
use crate::site::feeds::Branch;
use crate::site::{Confirm, Host, Label, OnFailure, Site, World};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The plan of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    hash: String,
    steps: Vec<PlanStep>,
}

/// One host to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// The host's name.
    pub id: String,
    /// Shown name.
    pub label: Label,
    /// Steps that must have ended before: the hosts that depend on this one.
    pub after: Vec<String>,
    /// Kind of action: `ssh`, `exec`.
    pub action: String,
    /// Longest time from start to confirmed.
    pub budget: Millis,
    /// What to do when the budget is spent.
    pub on_failure: OnFailure,
    /// Stopped early in an outage, after so long on battery, to lengthen the runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shed_after: Option<Millis>,
}

impl PlanStep {
    /// Longest time until it has ended, whichever way.
    #[must_use]
    pub const fn planned(&self) -> Millis {
        match self.on_failure {
            OnFailure::GoOn | OnFailure::Hold => self.budget,
            // Forcing it has a budget of its own, as long.
            OnFailure::Force => Millis(self.budget.0.saturating_mul(2)),
        }
    }
}

/// When a step is planned, counted from the plan's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Planned start.
    pub start: Millis,
    /// Planned length.
    pub length: Millis,
    /// By when it has ended although one step that it waits for, or itself, hung for its whole
    /// budget; the same as start and length where every step is planned with its budget.
    pub latest: Millis,
}

impl Slot {
    /// By when it has ended: what decisions go by.
    #[must_use]
    pub const fn end(self) -> Millis {
        self.latest
    }
}

/// What makes a plan impossible. All of them are reported at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanProblem {
    /// Two hosts of one name.
    #[error("host {host}: the name is used twice")]
    DuplicateHost {
        /// The name.
        host: String,
    },
    /// `depends_on` names nothing.
    #[error("host {host}: depends on {name}, which is not a host of this site")]
    UnknownHost {
        /// The host that says so.
        host: String,
        /// The unknown name.
        name: String,
    },
    /// Hosts that wait for each other.
    #[error("hosts {} depend on each other in a circle; none of them could be stopped first", .hosts.join(", "))]
    Cycle {
        /// Everyone in the circle, sorted.
        hosts: Vec<String>,
    },
    /// A host without a feed would never be stopped.
    #[error("host {host}: no feed; name the UPS that supplies it")]
    NoFeeds {
        /// The host.
        host: String,
    },
    /// `feeds` names nothing.
    #[error("host {host}: feed {feed} is not a device of this site")]
    UnknownFeed {
        /// The host.
        host: String,
        /// The unknown name.
        feed: String,
    },
    /// `feeds` names what supplies nobody, or what no UPS supplies.
    #[error("host {host}: feed {feed}: {problem}")]
    Feed {
        /// The host.
        host: String,
        /// The feed.
        feed: String,
        /// What is wrong with it.
        problem: graph::Problem,
    },
    /// One feed named twice is still one feed.
    #[error("host {host}: feed {feed} is named twice")]
    DuplicateFeed {
        /// The host.
        host: String,
        /// The feed.
        feed: String,
    },
    /// More feeds needed than there are, or none.
    #[error("host {host}: needs {need} of {feeds} feeds; say between 1 and {feeds}")]
    Need {
        /// The host.
        host: String,
        /// What it says.
        need: usize,
        /// How many feeds it has.
        feeds: usize,
    },
    /// No time to stop.
    #[error("host {host}: budget must be longer than 0 s")]
    NoBudget {
        /// The host.
        host: String,
    },
    /// Hosts to stop but no policy when.
    #[error("there are hosts to stop but no [outage] section says when")]
    NoPolicy,
}

impl Plan {
    /// The plan of a site, or everything that is wrong with it.
    ///
    /// # Errors
    /// Every [`PlanProblem`] found.
    pub fn new<W: World>(site: &Site<W>) -> Result<Self, Vec<PlanProblem>> {
        let mut problems = Vec::new();
        let names: BTreeSet<&str> = site.hosts.iter().map(|host| host.name.as_str()).collect();
        let mut graph = Graph::new(graph::wired(site));
        let mut seen = BTreeSet::new();
        for host in &site.hosts {
            if !seen.insert(host.name.as_str()) {
                problems.push(PlanProblem::DuplicateHost {
                    host: host.name.clone(),
                });
            }
            check_host(host, &names, &mut graph, &mut problems);
        }
        if site.outage.is_none() && !site.hosts.is_empty() {
            problems.push(PlanProblem::NoPolicy);
        }
        let order = match stopping_order(site) {
            Ok(order) => order,
            Err(hosts) => {
                problems.push(PlanProblem::Cycle { hosts });
                Vec::new()
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let steps = order.into_iter().map(|host| step_of(site, host)).collect();
        Ok(Self {
            hash: hash_of(site),
            steps,
        })
    }

    /// Hex SHA-256 of everything that makes this plan do what it does.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The steps, each behind everything it waits for.
    #[must_use]
    pub fn steps(&self) -> &[PlanStep] {
        &self.steps
    }

    /// The step of that name.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<&PlanStep> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// Planned start and length of every step, in the order of [`Plan::steps`]. A step is
    /// planned with its whole budget, so that the plan ends in time even when hosts hang.
    #[must_use]
    pub fn schedule(&self) -> Vec<Slot> {
        self.schedule_with(PlanStep::planned)
    }

    /// The same with lengths of one's own, which never count as more than the step may take.
    ///
    /// Of every chain of steps one is still reckoned with its whole budget, the one that makes the
    /// chain longest. Lengths that were measured say nothing about a host that hangs, and hosts do
    /// hang at shutdown, one at a time: a stuck mount, a service that waits for another. That two of
    /// one chain hang in the same outage needs a common cause; a site that must survive that plans
    /// with budgets, or keeps more in reserve.
    #[must_use]
    pub fn schedule_with(&self, length: impl Fn(&PlanStep) -> Millis) -> Vec<Slot> {
        schedule(self, |step| (length(step), step.planned()))
    }

    /// From the start of the first step to the end of the last.
    #[must_use]
    pub fn length(&self) -> Millis {
        let ends = self.schedule().into_iter().map(Slot::end);
        ends.max().unwrap_or_default()
    }

    /// `ids` and everything that must be stopped before them.
    #[must_use]
    pub fn with_dependants(&self, ids: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        let mut scope: BTreeSet<String> = ids.into_iter().collect();
        for step in self.steps.iter().rev() {
            if scope.contains(&step.id) {
                scope.extend(step.after.iter().cloned());
            }
        }
        scope
    }
}

/// Slots of steps that take so long, or so long at the most; see [`Plan::schedule_with`].
pub(crate) fn schedule(plan: &Plan, takes: impl Fn(&PlanStep) -> (Millis, Millis)) -> Vec<Slot> {
    // Of each step: its end when nothing hangs, and when the worst one did.
    let mut ends: BTreeMap<&str, (Millis, Millis)> = BTreeMap::new();
    let mut slots = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let before = step.after.iter().filter_map(|id| ends.get(id.as_str()));
        let (start, late) = before.fold((Millis(0), Millis(0)), |(start, late), (end, worst)| {
            (start.max(*end), late.max(*worst))
        });
        let (length, longest) = takes(step);
        let length = length.min(longest);
        let add = |a: Millis, b: Millis| Millis(a.0.saturating_add(b.0));
        let latest = add(late, length).max(add(start, longest));
        ends.insert(&step.id, (add(start, length), latest));
        slots.push(Slot {
            start,
            length,
            latest,
        });
    }
    slots
}

fn check_host<W: World>(
    host: &Host<W>,
    names: &BTreeSet<&str>,
    graph: &mut Graph,
    problems: &mut Vec<PlanProblem>,
) {
    let name = || host.name.clone();
    for other in &host.depends_on {
        if !names.contains(other.as_str()) {
            problems.push(PlanProblem::UnknownHost {
                host: name(),
                name: other.clone(),
            });
        }
    }
    let mut seen = BTreeSet::new();
    for feed in &host.feeds {
        let (host, feed) = (name(), feed.clone());
        match graph.point(&feed) {
            Err(graph::Problem::Unknown { name }) if name == feed => {
                problems.push(PlanProblem::UnknownFeed { host, feed });
            }
            Err(problem) => problems.push(PlanProblem::Feed { host, feed, problem }),
            Ok(point) if !seen.insert(point) => problems.push(PlanProblem::DuplicateFeed { host, feed }),
            Ok(_) => {}
        }
    }
    let feeds = host.feeds.len();
    if feeds == 0 {
        problems.push(PlanProblem::NoFeeds { host: name() });
    } else if host.need == 0 || host.need > feeds {
        let need = host.need;
        problems.push(PlanProblem::Need {
            host: name(),
            need,
            feeds,
        });
    }
    if host.budget.0 == 0 {
        problems.push(PlanProblem::NoBudget { host: name() });
    }
}

/// Hosts in stopping order (dependants first, then by name), or the names in circles.
fn stopping_order<W: World>(site: &Site<W>) -> Result<Vec<&Host<W>>, Vec<String>> {
    let mut left: Vec<&Host<W>> = site.hosts.iter().collect();
    left.sort_by(|a, b| a.name.cmp(&b.name));
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let used: BTreeSet<&str> = left
            .iter()
            .flat_map(|host| &host.depends_on)
            .map(String::as_str)
            .collect();
        let (mut free, waiting): (Vec<_>, Vec<_>) = left
            .iter()
            .copied()
            .partition(|host| !used.contains(host.name.as_str()));
        if free.is_empty() {
            return Err(only_circles(&left));
        }
        order.append(&mut free);
        left = waiting;
    }
    Ok(order)
}

/// Of hosts that could not be ordered, those that are in a circle and not merely below one.
fn only_circles<W: World>(left: &[&Host<W>]) -> Vec<String> {
    let mut names: BTreeSet<&str> = left.iter().map(|host| host.name.as_str()).collect();
    loop {
        let leaf = left.iter().find(|host| {
            names.contains(host.name.as_str())
                && !host.depends_on.iter().any(|other| names.contains(other.as_str()))
        });
        match leaf {
            Some(host) => names.remove(host.name.as_str()),
            None => return names.into_iter().map(String::from).collect(),
        };
    }
}

fn step_of<W: World>(site: &Site<W>, host: &Host<W>) -> PlanStep {
    let dependants = site
        .hosts
        .iter()
        .filter(|other| other.depends_on.contains(&host.name));
    let mut after: Vec<String> = dependants.map(|other| other.name.clone()).collect();
    after.sort();
    PlanStep {
        id: host.name.clone(),
        label: host.label.clone(),
        after,
        action: action_kind(&host.action),
        budget: host.budget,
        on_failure: host.on_failure,
        shed_after: (site.outage.as_ref()).and_then(|policy| policy.shed.get(&host.name).copied()),
    }
}

/// Kind of an action, e.g. `ssh`: the variant's name in lower case, since actions are externally tagged.
#[must_use]
pub fn action_kind<A: Serialize>(action: &A) -> String {
    match serde_json::to_value(action) {
        Ok(serde_json::Value::Object(map)) => map.keys().next().map(|key| key.to_lowercase()),
        Ok(serde_json::Value::String(name)) => Some(name.to_lowercase()),
        _ => None,
    }
    .unwrap_or_else(|| "unknown".into())
}

/// What the hash covers of one host: everything but its shown name.
#[derive(Serialize)]
struct Hashed<'a, A> {
    #[serde(skip_serializing_if = "Option::is_none")]
    shed_after: Option<Millis>,
    name: &'a str,
    feeds: BTreeSet<&'a str>,
    /// What stands between its feeds and the UPSes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    over: Vec<&'a Branch>,
    need: usize,
    depends_on: BTreeSet<&'a str>,
    action: &'a A,
    confirm: &'a Confirm,
    budget: Millis,
    on_failure: OnFailure,
    #[serde(skip_serializing_if = "Option::is_none")]
    force: Option<&'a A>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<(&'a A, Option<std::net::SocketAddr>, Millis)>,
}

fn hash_of<W: World>(site: &Site<W>) -> String {
    let mut hosts: Vec<_> = site.hosts.iter().map(|host| hashed(site, host)).collect();
    hosts.sort_by_key(|host| host.name);
    let canonical = match &site.finish {
        None => serde_json::to_vec(&(1_u8, W::SIMULATED, hosts)),
        Some(finish) => serde_json::to_vec(&(1_u8, W::SIMULATED, hosts, finish)),
    }
    .expect("a plan is plain data: strings, numbers and lists, without maps of odd keys");
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(&canonical) {
        write!(hex, "{byte:02x}").expect("writing to a String does not fail");
    }
    hex
}

fn hashed<'s, W: World>(site: &'s Site<W>, host: &'s Host<W>) -> Hashed<'s, W::Action> {
    Hashed {
        over: branches_to(site, host),
        shed_after: (site.outage.as_ref()).and_then(|policy| policy.shed.get(&host.name).copied()),
        name: &host.name,
        feeds: host.feeds.iter().map(String::as_str).collect(),
        need: host.need,
        depends_on: host.depends_on.iter().map(String::as_str).collect(),
        action: &host.action,
        confirm: &host.confirm,
        budget: host.budget,
        on_failure: host.on_failure,
        force: host.force.as_ref(),
        start: host
            .start
            .as_ref()
            .map(|start| (&start.action, start.alive, start.budget)),
    }
}

/// PDUs and ATSes that the power of a host comes over, by name. The plan was checked before, so no
/// circle is left; one that was would end here when nothing new is found.
fn branches_to<'s, W: World>(site: &'s Site<W>, host: &'s Host<W>) -> Vec<&'s Branch> {
    let mut left: Vec<&str> = host.feeds.iter().map(String::as_str).collect();
    let mut found: BTreeMap<&str, &Branch> = BTreeMap::new();
    while let Some(feed) = left.pop() {
        let device = feed.split('/').next().unwrap_or(feed);
        let branch = site.branches.iter().find(|branch| branch.device == device);
        if let Some(branch) = branch
            && found.insert(&branch.device, branch).is_none()
        {
            left.extend(branch.fed_by.iter().map(String::as_str));
        }
    }
    found.into_values().collect()
}

//! `[[group]]`, `behind` and `uplinks`: what hangs together in the room.

use super::parse::MAX_DEVICES;
use super::problem::{Kind, Sink, nearest};
use super::raw::{Raw, RawDevice};
use super::reader::{At, Found, Reader};
use super::{Label, World};
use std::collections::{BTreeMap, BTreeSet};

/// Most members of one group.
pub const MAX_MEMBERS: usize = 64;

/// `[[group]]`: devices of which `need` are enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Short name, used in alarm ids: `directory`.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// What it is.
    pub kind: GroupKind,
    /// Names of the devices.
    pub members: Vec<String>,
    /// How many of them are enough; fewer than there are members.
    pub need: usize,
    /// How a member says that it serves; `None`: who answers serves.
    pub serving: Option<Serving>,
}

/// `group.kind`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// Two, of which one serves and the other waits; both at once is a fault.
    Pair,
    /// Any number that serve together.
    Cluster,
}

/// `[group.serving]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The fact, without the device's name.
    pub fact: String,
    /// The words by which a member says that it serves.
    pub is: Vec<String>,
}

pub(super) struct RawGroup {
    name: Found<String>,
    label: Found<Label>,
    kind: Found<GroupKind>,
    members: Vec<At<String>>,
    need: Found<usize>,
    serving: Option<Serving>,
    at: std::ops::Range<usize>,
}

pub(super) fn group(mut r: Reader<'_>) -> RawGroup {
    let name = r.name("name");
    let kind = r.word(
        "kind",
        &[("pair", GroupKind::Pair), ("cluster", GroupKind::Cluster)],
    );
    let need = match r.whole_or("need", 1..=64) {
        Some(need) => usize::try_from(need.value).ok().map(|value| At {
            value,
            span: need.span,
        }),
        None => Some(At {
            value: 1,
            span: r.span.clone(),
        }),
    };
    let hint = "the names of its devices, e.g. members = [\"db-1\", \"db-2\"]";
    if !r.has("members") {
        r.missing("members", hint);
    }
    let members = r.list("members");
    let serving = r.table_or("serving", "[group.serving]").and_then(serving);
    let group = RawGroup {
        label: super::sections::label(&mut r, &name),
        name,
        kind,
        members,
        need,
        serving,
        at: r.span.clone(),
    };
    r.finish();
    group
}

fn serving(mut r: Reader<'_>) -> Option<Serving> {
    let fact = r.text("fact", "the fact that tells it, e.g. \"unmapped.cluster.role\"");
    if !r.has("is") {
        r.missing("is", "the words that mean serving, e.g. is = [\"active\"]");
    }
    let is: Vec<String> = r.list("is").into_iter().map(|word| word.value).collect();
    r.finish();
    (!is.is_empty()).then_some(Serving {
        fact: fact?.value,
        is,
    })
}

/// Names of its members.
pub(super) fn members_of(group: &RawGroup) -> impl Iterator<Item = &str> {
    group.members.iter().map(|member| member.value.as_str())
}

/// Its members say whether they serve.
pub(super) const fn tells_serving(group: &RawGroup) -> bool {
    group.serving.is_some()
}

/// Its name, if it could be read.
pub(super) fn name(group: &RawGroup) -> Option<&At<String>> {
    group.name.as_ref()
}

pub(super) fn build(raw: RawGroup) -> Option<Group> {
    Some(Group {
        name: raw.name?.value,
        label: raw.label?.value,
        kind: raw.kind?.value,
        members: raw.members.into_iter().map(|member| member.value).collect(),
        need: raw.need?.value,
        serving: raw.serving,
    })
}

/// Names that lead somewhere, groups that can be redundant, ways that do not go in circles.
pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let devices: BTreeMap<&str, &RawDevice> = raw
        .devices
        .iter()
        .filter_map(|device| Some((device.name.as_ref()?.value.as_str(), device)))
        .collect();
    let mut names = BTreeSet::new();
    for group in &raw.groups {
        if let Some(name) = &group.name
            && !names.insert(name.value.as_str())
        {
            sink.error(
                Kind::Duplicate,
                &name.span,
                format!("the group {} is there twice", name.value),
            );
        }
        members(group, &devices, sink);
    }
    for device in &raw.devices {
        way(device, &devices, sink);
    }
}

fn unknown(what: &str, name: &At<String>, devices: &BTreeMap<&str, &RawDevice>, sink: &Sink<'_>) {
    sink.error_hint(
        Kind::Reference,
        &name.span,
        format!("{what} names `{}`, which is no device of this site", name.value),
        match nearest(&name.value, devices.keys().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "the name of a [[device]]".to_owned(),
        },
    );
}

fn members(group: &RawGroup, devices: &BTreeMap<&str, &RawDevice>, sink: &Sink<'_>) {
    let mut seen = BTreeSet::new();
    for member in &group.members {
        if !devices.contains_key(member.value.as_str()) {
            unknown("a [[group]]", member, devices, sink);
        } else if !seen.insert(member.value.as_str()) {
            sink.error(
                Kind::Duplicate,
                &member.span,
                format!("{} is in its group twice; that is no redundancy", member.value),
            );
        }
    }
    let count = group.members.len();
    if count > MAX_MEMBERS {
        sink.error(
            Kind::Value,
            &group.at,
            format!("a group has at most {MAX_MEMBERS} members"),
        );
    }
    if let (Some(kind), true) = (&group.kind, count > 0)
        && kind.value == GroupKind::Pair
        && count != 2
    {
        sink.error_hint(
            Kind::Conflict,
            &kind.span,
            format!("a pair has two members, not {count}"),
            "write kind = \"cluster\"",
        );
    }
    if let Some(need) = &group.need
        && count > 0
        && need.value >= count
    {
        sink.error_hint(
            Kind::Conflict,
            &need.span,
            format!(
                "of {count} members {} are needed, so none may fail: that is no redundancy",
                need.value
            ),
            "`need` must be less than the number of members",
        );
    }
}

fn way(device: &RawDevice, devices: &BTreeMap<&str, &RawDevice>, sink: &Sink<'_>) {
    let Some(behind) = &device.behind else { return };
    if !devices.contains_key(behind.value.as_str()) {
        return unknown("`behind`", behind, devices, sink);
    }
    let start = device.name.as_ref().map(|name| name.value.as_str());
    let mut next = Some(behind.value.as_str());
    // One step more than there are devices has come by somebody twice.
    for _ in 0..=devices.len().min(MAX_DEVICES) {
        let Some(name) = next else { return };
        if Some(name) == start {
            sink.error_hint(
                Kind::Cycle,
                &behind.span,
                format!("{name} is behind itself"),
                "`behind` leads towards the controller; take one of them out",
            );
            return;
        }
        let on = devices.get(name).and_then(|device| device.behind.as_ref());
        next = on.map(|behind| behind.value.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use std::path::Path;

    const EXAMPLE: &str = include_str!("../../../../deploy/example/site.toml");

    #[test]
    fn the_example_has_a_pair_behind_a_switch() {
        let site = parse::real(EXAMPLE, Path::new("/etc/yagura")).unwrap();
        let group = &site.groups[0];
        assert_eq!(
            (group.name.as_str(), group.kind, group.need),
            ("db", GroupKind::Pair, 1)
        );
        assert_eq!(group.members, ["db-1", "db-2"]);
        let serving = group.serving.as_ref().unwrap();
        assert_eq!(serving.is, ["active"]);
        let device = |name: &str| site.devices.iter().find(|device| device.name == name).unwrap();
        assert_eq!(device("db-1").behind.as_deref(), Some("switch-1"));
        assert_eq!(device("switch-1").uplinks, ["49", "50"]);
    }

    #[test]
    fn what_cannot_be_redundant_or_leads_nowhere_is_refused_with_a_hint() {
        for (from, to, says) in [
            (
                "members = [\"db-1\", \"db-2\"]",
                "members = [\"db-1\", \"db-3\"]",
                "`db-3`, which is no device",
            ),
            (
                "members = [\"db-1\", \"db-2\"]",
                "members = [\"db-1\", \"db-1\"]",
                "twice; that is no redundancy",
            ),
            (
                "members = [\"db-1\", \"db-2\"]",
                "members = [\"db-1\", \"db-2\", \"switch-1\"]",
                "a pair has two members, not 3",
            ),
            (
                "need = 1 # 何台あれば",
                "need = 2 # 何台あれば",
                "2 are needed, so none may fail",
            ),
            ("kind = \"pair\"", "kind = \"trio\"", "kind"),
            (
                "behind = \"switch-1\"\n\n#",
                "behind = \"switch-9\"\n\n#",
                "`switch-9`, which is no device",
            ),
            (
                "behind = \"switch-1\"\n\n#",
                "behind = \"db-2\"\n\n#",
                "db-2 is behind itself",
            ),
            ("is = [\"active\"]", "is_not = [\"active\"]", "`is` is missing"),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            let text = EXAMPLE.replacen(from, to, 1);
            let problems = parse::real(&text, Path::new("/etc/yagura")).unwrap_err();
            let found = problems.iter().any(|problem| problem.to_string().contains(says));
            assert!(found, "{says}: {problems:?}");
        }
    }
}

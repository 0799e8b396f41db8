//! The policy of an outage beyond its times: whom power may stop, who is shed early, what else than
//! power stops servers (`[[outage.rule]]`), and who may order it by hand (`[operators]`).

use super::problem::{Kind, Sink, nearest};
use super::raw::Raw;
use super::reader::{At, Found, Reader, shown};
use super::{Label, World};
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Most rules of one site.
pub const MAX_RULES: usize = 16;
/// Most signs of one rule.
pub const MAX_SIGNS: usize = 32;
/// Shortest and longest time that a rule's signs must hold.
const HOLD: (Millis, Millis) = (Millis::from_secs(10), Millis::from_secs(3_600));

/// `then`: what evidence may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Then {
    /// Hosts are stopped by the plan.
    #[default]
    Stop,
    /// Only hosts with `shed_after`, and what depends on them.
    Shed,
    /// Nothing; a critical alarm says what would have been stopped.
    Alarm,
}

impl Then {
    const WORDS: [(&'static str, Self); 3] =
        [("stop", Self::Stop), ("shed", Self::Shed), ("alarm", Self::Alarm)];
}

/// `[operators]`: who may order a run at the controller itself, besides root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operators {
    /// Members of this group of the machine.
    pub group: Option<String>,
    /// These users of the machine.
    pub users: Vec<String>,
    /// Starting, pausing and skipping need a second person.
    pub two_person: bool,
}

/// `[operators]`
pub(super) fn operators(mut r: Reader<'_>) -> Operators {
    let group = r.text_or("group");
    let users = r.list("users");
    let two_person = r.flag_or("two_person").is_some_and(|flag| flag.value);
    for name in group.iter().chain(&users) {
        if name.value.starts_with("yagura-") && users.iter().any(|user| user.span == name.span) {
            r.sink().error_hint(
                Kind::Value,
                &name.span,
                format!("{} is the user of a role, not a person", name.value),
                "name the users of people",
            );
        }
    }
    r.finish();
    Operators {
        group: group.map(|group| group.value),
        users: users.into_iter().map(|user| user.value).collect(),
        two_person,
    }
}

/// `[[outage.rule]]`: what else than power stops servers.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Short name, used in its alarm's id: `heat`.
    pub name: String,
    /// What it is about.
    pub about: About,
    /// Two of these, of different sources, must hold.
    pub signs: Vec<Sign>,
    /// For so long.
    pub hold: Millis,
    /// What it leads to.
    pub then: Then,
    /// Whom it stops, with what depends on them; empty means all.
    pub hosts: Vec<String>,
}

/// `rule.about`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Too hot with the air conditioning lost: one of the signs must be heat itself.
    Overheating,
    /// Water under the racks.
    Leak,
}

impl About {
    const WORDS: [(&'static str, Self); 2] = [("overheating", Self::Overheating), ("leak", Self::Leak)];

    /// The fixed words of why in a run that it starts.
    #[must_use]
    pub fn words(self) -> Label {
        match self {
            Self::Overheating => Label::new("サーバ室の過熱", "the room overheats"),
            Self::Leak => Label::new("ラック下の漏水", "water under the racks"),
        }
    }
}

/// One sign of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Sign {
    /// As it is named in the run's reason.
    pub name: String,
    /// What is looked at.
    pub seen: Seen,
    /// Nodes (`node:NAME`) and devices (`device:NAME`) it comes from. Signs that share one are not
    /// independent.
    pub sources: BTreeSet<String>,
}

/// What a sign looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// A point of a node is beyond a limit.
    Beyond {
        /// Point.
        point: String,
        /// True: above; false: below.
        above: bool,
        /// In the point's unit.
        limit: f64,
    },
    /// A contact of a node says what it is mounted for: water, smoke, a lost feed.
    Contact {
        /// Point.
        point: String,
    },
    /// A device says one of these words.
    Fact {
        /// Device.
        device: String,
        /// Fact, without the device's name.
        fact: String,
        /// Words.
        is: Vec<String>,
    },
    /// Every member of a group says that it does not serve. Silence of one is no such word.
    Group {
        /// Group.
        group: String,
    },
}

impl Sign {
    /// Heat itself, not only what may lead to it.
    #[must_use]
    pub const fn is_heat(&self) -> bool {
        matches!(self.seen, Seen::Beyond { above: true, .. })
    }

    /// Nothing that one of them comes from can be wrong for both.
    #[must_use]
    pub fn is_independent_of(&self, other: &Self) -> bool {
        self.sources.is_disjoint(&other.sources)
    }
}

/// Whether these signs together are evidence of this: two of different sources, and for heat one
/// that is heat.
#[must_use]
pub fn is_evidence(about: About, signs: &[&Sign]) -> bool {
    signs.iter().any(|one| {
        let counts = about != About::Overheating || one.is_heat();
        counts && signs.iter().any(|other| one.is_independent_of(other))
    })
}

pub(super) struct RawRule {
    span: Range<usize>,
    name: Found<String>,
    about: Found<About>,
    signs: Vec<RawSign>,
    hold: Found<Millis>,
    then: Found<Then>,
    hosts: Vec<At<String>>,
}

struct RawSign {
    span: Range<usize>,
    point: Found<String>,
    above: Found<f64>,
    below: Found<f64>,
    device: Found<String>,
    fact: Found<String>,
    is: Vec<String>,
    group: Found<String>,
}

/// `then`, or the default: stop.
pub(super) fn then(r: &mut Reader<'_>) -> Found<Then> {
    let written = r.has("then");
    let found = r.word_or("then", &Then::WORDS);
    if written {
        return found;
    }
    Some(At {
        value: Then::default(),
        span: r.span.clone(),
    })
}

/// `[[outage.rule]]`
pub(super) fn rules(r: &mut Reader<'_>) -> Vec<RawRule> {
    let tables = r.tables("rule", "[[outage.rule]]", MAX_RULES);
    tables.into_iter().map(rule).collect()
}

fn rule(mut r: Reader<'_>) -> RawRule {
    let hint = "what is looked at, e.g. signs = [{ point = \"rack-1.temperature\", above = 40 }, ...]";
    if !r.has("signs") {
        r.missing("signs", hint);
    }
    let rule = RawRule {
        span: r.span.clone(),
        name: r.name("name"),
        about: r.word("about", &About::WORDS),
        signs: r
            .tables("signs", "a sign of [[outage.rule]]", MAX_SIGNS)
            .into_iter()
            .map(sign)
            .collect(),
        hold: r.duration("for", HOLD, "how long two signs must hold, e.g. \"2m\""),
        then: r.word("then", &Then::WORDS),
        hosts: r.list("hosts"),
    };
    r.finish();
    rule
}

fn sign(mut r: Reader<'_>) -> RawSign {
    let sign = RawSign {
        span: r.span.clone(),
        point: r.text_or("point"),
        above: r.has("above").then(|| r.number("above", "a number")).flatten(),
        below: r.has("below").then(|| r.number("below", "a number")).flatten(),
        device: r.text_or("device"),
        fact: r.text_or("fact"),
        is: r.list("is").into_iter().map(|word| word.value).collect(),
        group: r.text_or("group"),
    };
    r.finish();
    sign
}

/// What the signs of this site can name, and where each comes from.
struct Known<'a> {
    /// Point -> (node, is a contact).
    points: BTreeMap<&'a str, (&'a str, bool)>,
    devices: BTreeSet<&'a str>,
    /// Group -> (members, members say whether they serve).
    groups: BTreeMap<&'a str, (Vec<&'a str>, bool)>,
}

fn known<W: World>(raw: &Raw<W>) -> Known<'_> {
    let mut points = BTreeMap::new();
    for node in &raw.nodes {
        let Some(name) = &node.name else { continue };
        for channel in &node.channels {
            if let Some(point) = &channel.point {
                let is_contact = channel.contact.is_some();
                points.insert(point.value.as_str(), (name.value.as_str(), is_contact));
            }
        }
    }
    let devices = raw.devices.iter().filter_map(|device| device.name.as_ref());
    let groups = raw.groups.iter().filter_map(|group| {
        let members = super::groups::members_of(group).collect();
        let name = super::groups::name(group)?.value.as_str();
        Some((name, (members, super::groups::tells_serving(group))))
    });
    Known {
        points,
        devices: devices.map(|name| name.value.as_str()).collect(),
        groups: groups.collect(),
    }
}

/// The sign, or what is wrong with it.
fn resolve(raw: &RawSign, known: &Known<'_>) -> Result<Sign, (String, String)> {
    let text = |found: &Found<String>| found.as_ref().map(|found| found.value.clone());
    let (point, device, group) = (text(&raw.point), text(&raw.device), text(&raw.group));
    let limits = (raw.above.as_ref(), raw.below.as_ref());
    let unknown = |what: &str, name: &str, near: Option<&str>| {
        let hint = near.map_or_else(
            || format!("the name of a {what} of this site"),
            |near| format!("did you mean `{near}`?"),
        );
        (
            format!("a sign names `{name}`, which is no {what} of this site"),
            hint,
        )
    };
    let one = |kind: &str, name: &str| BTreeSet::from([format!("{kind}:{name}")]);
    match (point, device, group) {
        (Some(point), None, None) => {
            let Some((node, is_contact)) = known.points.get(point.as_str()) else {
                let near = nearest(&point, known.points.keys().copied());
                return Err(unknown("point of a [[node.channel]]", &point, near));
            };
            let (name, seen) = match (limits, is_contact) {
                ((Some(above), None), false) => (
                    format!("{point} > {}", above.value),
                    Seen::Beyond {
                        point,
                        above: true,
                        limit: above.value,
                    },
                ),
                ((None, Some(below)), false) => (
                    format!("{point} < {}", below.value),
                    Seen::Beyond {
                        point,
                        above: false,
                        limit: below.value,
                    },
                ),
                ((None, None), true) => (point.clone(), Seen::Contact { point }),
                (_, true) => {
                    return Err((
                        format!("{point} is a contact: it holds or it does not, and has no limit"),
                        "take `above` and `below` out".to_owned(),
                    ));
                }
                (_, false) => {
                    return Err((
                        format!("the sign of {point} needs one limit"),
                        "write above = or below =, not both".to_owned(),
                    ));
                }
            };
            Ok(Sign {
                name,
                seen,
                sources: one("node", node),
            })
        }
        (None, Some(device), None) => {
            if !known.devices.contains(device.as_str()) {
                let near = nearest(&device, known.devices.iter().copied());
                return Err(unknown("[[device]]", &device, near));
            }
            let (Some(fact), false) = (text(&raw.fact), raw.is.is_empty()) else {
                return Err((
                    format!("the sign of {device} lacks `fact` or `is`"),
                    "which fact, and by which words, e.g. fact = \"unmapped.unit.state\", is = [\"off\", \"fault\"]"
                        .to_owned(),
                ));
            };
            let sources = one("device", &device);
            let name = format!("{device}.{fact} = {}", raw.is.join("/"));
            let is = raw.is.clone();
            Ok(Sign {
                name,
                seen: Seen::Fact { device, fact, is },
                sources,
            })
        }
        (None, None, Some(group)) => {
            let Some((members, tells)) = known.groups.get(group.as_str()) else {
                let near = nearest(&group, known.groups.keys().copied());
                return Err(unknown("[[group]]", &group, near));
            };
            if !tells {
                return Err((
                    format!("members of {group} do not say whether they serve, and silence is no sign"),
                    "give the group a [group.serving]".to_owned(),
                ));
            }
            let sources = members.iter().map(|member| format!("device:{member}")).collect();
            let name = format!("{group}: none serves");
            Ok(Sign {
                name,
                seen: Seen::Group { group },
                sources,
            })
        }
        _ => Err((
            "a sign is one of `point`, `device` with `fact` and `is`, or `group`".to_owned(),
            "write one of them".to_owned(),
        )),
    }
}

/// The rules, when nothing is missing. What is wrong was said by [`check`].
pub(super) fn build<W: World>(raw: &Raw<W>) -> Option<Vec<Rule>> {
    let known = known(raw);
    let rules = raw.outage.as_ref().map_or(&[][..], |outage| &outage.rules);
    let built = rules.iter().map(|rule| {
        let signs = rule.signs.iter().map(|sign| resolve(sign, &known).ok());
        Some(Rule {
            name: rule.name.as_ref()?.value.clone(),
            about: rule.about.as_ref()?.value,
            signs: signs.collect::<Option<_>>()?,
            hold: rule.hold.as_ref()?.value,
            then: rule.then.as_ref()?.value,
            hosts: rule.hosts.iter().map(|host| host.value.clone()).collect(),
        })
    });
    built.collect()
}

/// Shed hosts by name, and when.
pub(super) fn shed<W: World>(raw: &Raw<W>) -> BTreeMap<String, Millis> {
    let hosts = raw.hosts.iter().filter_map(|host| {
        let after = host.shed_after.as_ref()?.value;
        Some((host.name.as_ref()?.value.clone(), after))
    });
    hosts.collect()
}

pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let Some(policy) = &raw.outage else { return };
    check_shed(raw, sink);
    let known = known(raw);
    let mut names = BTreeSet::new();
    for rule in &policy.rules {
        if let Some(name) = &rule.name
            && !names.insert(name.value.as_str())
        {
            sink.error(
                Kind::Duplicate,
                &name.span,
                format!("the rule {} is there twice", name.value),
            );
        }
        check_rule(rule, raw, &known, sink);
    }
}

fn check_rule<W: World>(rule: &RawRule, raw: &Raw<W>, known: &Known<'_>, sink: &Sink<'_>) {
    let mut signs = Vec::new();
    for sign in &rule.signs {
        match resolve(sign, known) {
            Ok(sign) => signs.push(sign),
            Err((message, hint)) => sink.error_hint(Kind::Reference, &sign.span, message, hint),
        }
    }
    let hosts = raw.hosts.iter().filter_map(|host| host.name.as_ref());
    let hosts: Vec<&str> = hosts.map(|name| name.value.as_str()).collect();
    for host in &rule.hosts {
        if !hosts.contains(&host.value.as_str()) {
            let hint = nearest(&host.value, hosts.iter().copied()).map_or_else(
                || "the name of a [[host]]".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            sink.error_hint(
                Kind::Reference,
                &host.span,
                format!(
                    "the rule names `{}`, which is no [[host]] of this site",
                    host.value
                ),
                hint,
            );
        }
    }
    let (Some(about), true) = (&rule.about, signs.len() == rule.signs.len()) else {
        return;
    };
    let all: Vec<&Sign> = signs.iter().collect();
    if is_evidence(about.value, &all) {
        return;
    }
    let (message, hint) = if about.value == About::Overheating && !signs.iter().any(Sign::is_heat) {
        (
            "a rule about overheating has no sign of heat",
            "name a point with `above`; a lost air conditioner alone stops nothing",
        )
    } else {
        (
            "the signs of this rule come from one source, so one fault could make all of them",
            "name a second sign of another node or device",
        )
    };
    sink.error_hint(Kind::Conflict, &rule.span, message, hint);
}

fn check_shed<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let Some(policy) = &raw.outage else { return };
    for host in &raw.hosts {
        let Some(after) = &host.shed_after else { continue };
        let name = host.name.as_ref().map_or("?", |name| name.value.as_str());
        if let Some(delay) = &policy.on_battery_delay
            && after.value < delay.value
        {
            sink.error_hint(
                Kind::Conflict,
                &after.span,
                format!(
                    "`shed_after` of {name} ({}) is shorter than `on_battery_delay` ({})",
                    shown(after.value),
                    shown(delay.value)
                ),
                "it would be stopped in an outage that is to be ridden through",
            );
        }
        if let Some(longest) = &policy.longest_on_battery
            && after.value >= longest.value
        {
            sink.warning(
                Kind::Conflict,
                &after.span,
                format!("`shed_after` of {name} comes after `longest_on_battery`, so it is never shed"),
                "shorten it, or take it out",
            );
        }
    }
    let shed = raw.hosts.iter().any(|host| host.shed_after.is_some());
    if let Some(then) = &policy.then
        && then.value == Then::Shed
        && !shed
    {
        sink.error_hint(
            Kind::Conflict,
            &then.span,
            "[outage] only sheds, but no [[host]] has `shed_after`: power would stop nobody",
            "write shed_after on the hosts that may be stopped, or then = \"alarm\"",
        );
    }
}

//! Who is told what: `[[contact]]`, `[[route]]`, `[[heartbeat]]` and `[notices]`.
//!
//! Contacts are roles with a mailbox of their own, never persons. What a contact can be reached
//! by are the `[[notifier]]`s. It decides nothing: that is [`crate::notice`].
// Long because every key of these tables and every rule between them stands here.

use super::calendar;
use super::doors::date;
use super::problem::{Kind, Sink, nearest};
use super::reader::{At, Found, Reader};
use super::sections::{HOUR, label, span_or};
use super::{Label, Priority};
use crate::notice::duty::{Calendar, DAY_MINUTES, HOLIDAY, Local};
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// Most contacts of a site.
pub const MAX_CONTACTS: usize = 64;
/// Most ways to one contact.
pub const MAX_VIA: usize = 8;
/// Most routes of a site.
pub const MAX_ROUTES: usize = 64;
/// Most steps of one route.
pub const MAX_STEPS: usize = 8;
/// Most heartbeats of a site.
pub const MAX_HEARTBEATS: usize = 16;
/// Most rows of hours or deputies of one contact.
pub const MAX_ROWS: usize = 32;

/// Longest time until a step.
const LONGEST_STEP: Millis = Millis(24 * HOUR.0);
/// Shortest time between reminders: a person must be able to do something in between.
const SHORTEST_REPEAT: Millis = Millis::from_secs(60);

/// `[[contact]]`: a role that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Short name: `facilities`.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// How it is reached, the best way first.
    pub via: Vec<Via>,
    /// When it is on duty; empty: always.
    pub duty: Vec<Hours>,
    /// Who stands in for it, and when.
    pub deputies: Vec<Deputy>,
}

/// `contact.via`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// Name of a `[[notifier]]`.
    pub notifier: String,
    /// Its address there; `None` when that notifier has only one receiver.
    pub to: Option<String>,
}

/// `contact.duty`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// A bit for each weekday from Monday (bit 0), and one for holidays (bit 7).
    pub days: u8,
    /// First minute of the day, 0 to 1439.
    pub from: u16,
    /// Last minute of the day, not included; not after `from`: over midnight.
    pub to: u16,
}

/// `contact.deputies`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deputy {
    /// Name of the contact that is told instead.
    pub contact: String,
    /// First day since 1970, local time.
    pub from: u16,
    /// Last day, included.
    pub until: u16,
}

/// `[[route]]`: which alarms are told to whom, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Short name: `door`.
    pub name: String,
    /// Alarms of at least this priority,
    pub at_least: Priority,
    /// of these classes (empty: any; a word of the catalogue),
    pub classes: Vec<String>,
    /// of these kinds (empty: any; a word of the catalogue),
    pub kinds: Vec<String>,
    /// and of these nodes, devices and points (empty: any).
    pub sources: Vec<String>,
    /// Takes its alarms away from the routes without this mark.
    pub only: bool,
    /// Who, and after how long without an acknowledgement.
    pub steps: Vec<Step>,
    /// Told again so often while nobody has it.
    pub repeat: Option<Millis>,
    /// What is told beside the alarm itself.
    pub moments: Moments,
}

/// `route.steps`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// So long after the alarm.
    pub after: Millis,
    /// Names of the contacts.
    pub contacts: Vec<String>,
}

/// `route.moments`: what is told beside the raising itself, which always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moments {
    /// Again and again while nobody has it.
    pub reminder: bool,
    /// To the next step.
    pub escalated: bool,
    /// Who has it, or that it was shelved.
    pub acknowledged: bool,
    /// That it is over.
    pub returned: bool,
}

impl Moments {
    /// All of them.
    pub const ALL: Self = Self {
        reminder: true,
        escalated: true,
        acknowledged: true,
        returned: true,
    };
    /// None of them.
    pub const NONE: Self = Self {
        reminder: false,
        escalated: false,
        acknowledged: false,
        returned: false,
    };

    /// What either tells.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            reminder: self.reminder || other.reminder,
            escalated: self.escalated || other.escalated,
            acknowledged: self.acknowledged || other.acknowledged,
            returned: self.returned || other.returned,
        }
    }
}

/// `[[heartbeat]]`: a sign of life to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Name of a `[[notifier]]`.
    pub notifier: String,
    /// So often.
    pub every: Millis,
}

/// Everything of a site about who is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notices {
    /// Whom.
    pub contacts: Vec<Contact>,
    /// Of what.
    pub routes: Vec<Route>,
    /// Signs of life.
    pub heartbeats: Vec<Heartbeat>,
    /// `notices.test_every`: a test call that lies further back is an alarm; `None`: never.
    pub test_every: Option<Millis>,
}

// ---- reading -------------------------------------------------------------------------------

pub(super) struct RawNotices {
    contacts: Vec<RawContact>,
    routes: Vec<RawRoute>,
    heartbeats: Vec<RawHeartbeat>,
    test_every: Found<Millis>,
}

struct RawContact {
    span: std::ops::Range<usize>,
    name: Found<String>,
    label: Found<Label>,
    via: Vec<(Found<String>, Found<String>)>,
    duty: Vec<Option<Hours>>,
    deputies: Vec<(Found<String>, Found<u16>, Found<u16>)>,
}

struct RawRoute {
    span: std::ops::Range<usize>,
    name: Found<String>,
    at_least: Option<Priority>,
    classes: Vec<At<String>>,
    kinds: Vec<At<String>>,
    sources: Vec<At<String>>,
    only: bool,
    steps: Vec<RawStep>,
    repeat: Found<Millis>,
    moments: Option<Moments>,
}

struct RawStep {
    span: std::ops::Range<usize>,
    after: Found<Millis>,
    contacts: Vec<At<String>>,
}

struct RawHeartbeat {
    notifier: Found<String>,
    every: Found<Millis>,
}

/// Reads the tables out of the site file.
pub(super) fn notices(r: &mut Reader<'_>) -> RawNotices {
    let test_every = r.table_or("notices", "[notices]").and_then(|mut r| {
        let every = r.duration_or("test_every", (Millis(24 * HOUR.0), Millis(400 * 24 * HOUR.0)));
        r.finish();
        every
    });
    RawNotices {
        contacts: r
            .tables("contact", "[[contact]]", MAX_CONTACTS)
            .into_iter()
            .map(contact)
            .collect(),
        routes: r
            .tables("route", "[[route]]", MAX_ROUTES)
            .into_iter()
            .map(route)
            .collect(),
        heartbeats: r
            .tables("heartbeat", "[[heartbeat]]", MAX_HEARTBEATS)
            .into_iter()
            .map(heartbeat)
            .collect(),
        test_every,
    }
}

fn contact(mut r: Reader<'_>) -> RawContact {
    let name = r.name("name");
    let contact = RawContact {
        span: r.span.clone(),
        label: label(&mut r, &name),
        name,
        via: r
            .tables("via", "an entry of `via`", MAX_VIA)
            .into_iter()
            .map(|mut r| {
                let via = (r.text("notifier", "the name of a [[notifier]]"), r.text_or("to"));
                r.finish();
                via
            })
            .collect(),
        duty: r
            .tables("duty", "an entry of `duty`", MAX_ROWS)
            .into_iter()
            .map(hours)
            .collect(),
        deputies: r
            .tables("deputies", "an entry of `deputies`", MAX_ROWS)
            .into_iter()
            .map(deputy)
            .collect(),
    };
    r.finish();
    contact
}

fn hours(mut r: Reader<'_>) -> Option<Hours> {
    let days = super::doors::days(&mut r);
    let from = minute(&mut r, "from", 0);
    let to = minute(&mut r, "to", DAY_MINUTES);
    r.finish();
    Some(Hours {
        days: days?,
        from: from? % DAY_MINUTES,
        to: to?,
    })
}

fn minute(r: &mut Reader<'_>, key: &'static str, default: u16) -> Option<u16> {
    let Some(text) = r.text_or(key) else {
        return (!r.has(key)).then_some(default);
    };
    let minute = calendar::minute(&text.value);
    if minute.is_none() {
        r.sink().error_hint(
            Kind::Value,
            &text.span,
            format!("`{key}` = \"{}\" is not a time", text.value),
            "from \"00:00\" to \"24:00\", e.g. \"17:15\"",
        );
    }
    minute
}

fn deputy(mut r: Reader<'_>) -> (Found<String>, Found<u16>, Found<u16>) {
    let contact = r.text("contact", "the name of the [[contact]] that stands in");
    let mut day = |key| {
        if !r.has(key) {
            r.missing(
                key,
                "a day, e.g. \"2026-12-28\"; a deputy has a first and a last day",
            );
        }
        date(&mut r, key)
    };
    let (from, until) = (day("from"), day("until"));
    if let (Some(first), Some(last)) = (&from, &until)
        && first.value > last.value
    {
        r.sink()
            .error(Kind::Conflict, &last.span, "`until` lies before `from`");
    }
    r.finish();
    (contact, from, until)
}

const PRIORITIES: [(&str, Priority); 3] = [
    ("advisory", Priority::Advisory),
    ("warning", Priority::Warning),
    ("critical", Priority::Critical),
];

fn route(mut r: Reader<'_>) -> RawRoute {
    let at_least = if r.has("at_least") {
        r.word_or("at_least", &PRIORITIES).map(|word| word.value)
    } else {
        let _ = r.word_or("at_least", &PRIORITIES);
        Some(Priority::Advisory)
    };
    let name = r.name("name");
    if !r.has("steps") {
        r.missing("steps", "steps = [{ after = \"0s\", contacts = [\"...\"] }]");
    }
    let route = RawRoute {
        span: r.span.clone(),
        name,
        at_least,
        classes: r.list("classes"),
        kinds: r.list("kinds"),
        sources: r.list("sources"),
        only: r.flag_or("only").is_some_and(|flag| flag.value),
        steps: r
            .tables("steps", "an entry of `steps`", MAX_STEPS)
            .into_iter()
            .map(|mut r| {
                let step = RawStep {
                    span: r.span.clone(),
                    after: span_or(&mut r, "after", (Millis(0), LONGEST_STEP), Millis(0)),
                    contacts: r.list("contacts"),
                };
                r.finish();
                step
            })
            .collect(),
        repeat: r.duration_or("repeat", (SHORTEST_REPEAT, LONGEST_STEP)),
        moments: moments(&mut r),
    };
    r.finish();
    route
}

const MOMENTS: [&str; 5] = ["raised", "reminder", "escalated", "acknowledged", "returned"];

fn moments(r: &mut Reader<'_>) -> Option<Moments> {
    if !r.has("moments") {
        let _ = r.list("moments");
        return Some(Moments::ALL);
    }
    let words = r.list("moments");
    let mut good = true;
    for word in &words {
        if !MOMENTS.contains(&word.value.as_str()) {
            good = false;
            let hint = match nearest(&word.value, MOMENTS) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("allowed: {}", MOMENTS.join(", ")),
            };
            r.sink().error_hint(
                Kind::Value,
                &word.span,
                format!(
                    "`moments` names \"{}\", which is no moment of an alarm",
                    word.value
                ),
                hint,
            );
        }
    }
    let has = |moment: &str| words.iter().any(|word| word.value == moment);
    if good && !has("raised") {
        r.sink().error_hint(
            Kind::Conflict,
            &r.span,
            "`moments` leaves out \"raised\": nobody would be told of the alarm",
            "add it, or take the route out",
        );
        return None;
    }
    good.then(|| Moments {
        reminder: has("reminder"),
        escalated: has("escalated"),
        acknowledged: has("acknowledged"),
        returned: has("returned"),
    })
}

fn heartbeat(mut r: Reader<'_>) -> RawHeartbeat {
    let heartbeat = RawHeartbeat {
        notifier: r.text("notifier", "the name of a [[notifier]]"),
        every: r.duration(
            "every",
            (Millis::from_secs(5), Millis(24 * HOUR.0)),
            "how often, e.g. \"60s\"; the receiver misses it after two of them",
        ),
    };
    r.finish();
    heartbeat
}

// ---- building ------------------------------------------------------------------------------

pub(super) fn build(raw: RawNotices) -> Option<Notices> {
    Some(Notices {
        contacts: raw
            .contacts
            .into_iter()
            .map(build_contact)
            .collect::<Option<_>>()?,
        routes: raw.routes.into_iter().map(build_route).collect::<Option<_>>()?,
        heartbeats: raw
            .heartbeats
            .into_iter()
            .map(|heartbeat| {
                Some(Heartbeat {
                    notifier: heartbeat.notifier?.value,
                    every: heartbeat.every?.value,
                })
            })
            .collect::<Option<_>>()?,
        test_every: raw.test_every.map(|every| every.value),
    })
}

fn build_contact(raw: RawContact) -> Option<Contact> {
    Some(Contact {
        name: raw.name?.value,
        label: raw.label?.value,
        via: raw
            .via
            .into_iter()
            .map(|(notifier, to)| {
                Some(Via {
                    notifier: notifier?.value,
                    to: to.map(|to| to.value),
                })
            })
            .collect::<Option<_>>()?,
        duty: raw.duty.into_iter().collect::<Option<_>>()?,
        deputies: raw
            .deputies
            .into_iter()
            .map(|(contact, from, until)| {
                Some(Deputy {
                    contact: contact?.value,
                    from: from?.value,
                    until: until?.value,
                })
            })
            .collect::<Option<_>>()?,
    })
}

fn build_route(raw: RawRoute) -> Option<Route> {
    let words = |list: Vec<At<String>>| list.into_iter().map(|word| word.value).collect();
    Some(Route {
        name: raw.name?.value,
        at_least: raw.at_least?,
        classes: words(raw.classes),
        kinds: words(raw.kinds),
        sources: words(raw.sources),
        only: raw.only,
        steps: raw
            .steps
            .into_iter()
            .map(|step| {
                Some(Step {
                    after: step.after?.value,
                    contacts: words(step.contacts),
                })
            })
            .collect::<Option<_>>()?,
        repeat: raw.repeat.map(|repeat| repeat.value),
        moments: raw.moments?,
    })
}

// ---- rules ---------------------------------------------------------------------------------

/// What the rest of the file says that the rules need.
pub(super) struct Known<'a> {
    /// Names of the notifiers, and whether each needs an address of the contact.
    pub(super) notifiers: Vec<(&'a str, NeedsTo)>,
    /// Nodes, devices and points.
    pub(super) sources: BTreeSet<&'a str>,
    /// Words of the classes of alarms.
    pub(super) classes: Vec<&'static str>,
    /// Words of the kinds of alarms.
    pub(super) kinds: Vec<&'static str>,
}

/// Whether a notifier needs to be told an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    dead_code,
    reason = "each kind of notifier is one of these, and not every kind is built yet"
)]
pub(super) enum NeedsTo {
    /// A mail server: `to` must be there.
    Yes,
    /// It has one receiver, or its own address: `to` may be there.
    No,
    /// It shows lamps: no contact is reached by it.
    Never,
}

/// Names that lead somewhere, contacts that can be reached, alarms that somebody is told of.
pub(super) fn check(raw: &RawNotices, known: &Known<'_>, sink: &Sink<'_>) {
    let mut contacts: BTreeMap<&str, &RawContact> = BTreeMap::new();
    for contact in &raw.contacts {
        let Some(name) = &contact.name else { continue };
        if contacts.insert(&name.value, contact).is_some() {
            sink.error(
                Kind::Duplicate,
                &name.span,
                format!("the contact {} is there twice", name.value),
            );
        }
    }
    let mut names = BTreeSet::new();
    for name in raw.routes.iter().filter_map(|route| route.name.as_ref()) {
        if !names.insert(&name.value) {
            sink.error(
                Kind::Duplicate,
                &name.span,
                format!("the route {} is there twice", name.value),
            );
        }
    }
    for contact in &raw.contacts {
        ways(contact, known, sink);
        deputies(contact, &contacts, sink);
    }
    for route in &raw.routes {
        check_route(route, &contacts, known, sink);
    }
    for name in raw
        .heartbeats
        .iter()
        .filter_map(|heartbeat| heartbeat.notifier.as_ref())
    {
        notifier(name, "`notifier` of a [[heartbeat]]", known, sink);
    }
    unrouted(raw, known, sink);
}

fn unknown<'n>(
    what: &str,
    name: &At<String>,
    names: impl Iterator<Item = &'n str>,
    of: &str,
    sink: &Sink<'_>,
) {
    let hint = match nearest(&name.value, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add {of} with this name"),
    };
    sink.error_hint(
        Kind::Reference,
        &name.span,
        format!("{what} names `{}`, which is not there", name.value),
        hint,
    );
}

fn notifier(name: &At<String>, what: &str, known: &Known<'_>, sink: &Sink<'_>) -> Option<NeedsTo> {
    let found = known.notifiers.iter().find(|(other, _)| *other == name.value);
    if found.is_none() {
        unknown(
            what,
            name,
            known.notifiers.iter().map(|(name, _)| *name),
            "a [[notifier]]",
            sink,
        );
    }
    found.map(|(_, needs)| *needs)
}

fn ways(contact: &RawContact, known: &Known<'_>, sink: &Sink<'_>) {
    if contact.via.is_empty() {
        sink.error_hint(
            Kind::Missing,
            &contact.span,
            "`via` is missing in [[contact]]: it could never be reached",
            "via = [{ notifier = \"mail\", to = \"role@city.example.jp\" }]",
        );
    }
    for (name, to) in &contact.via {
        let Some(name) = name else { continue };
        match notifier(name, "`via`", known, sink) {
            Some(NeedsTo::Yes) if to.is_none() => sink.error_hint(
                Kind::Missing,
                &name.span,
                format!("`via` names {} without `to`: nobody would get it", name.value),
                "to = \"role@city.example.jp\"",
            ),
            Some(NeedsTo::Never) => sink.error_hint(
                Kind::Conflict,
                &name.span,
                format!("`via` names {}, which shows lamps and tells nobody", name.value),
                "it shows every alarm by itself; name a notifier that carries text",
            ),
            _ => {}
        }
    }
}

fn deputies(contact: &RawContact, contacts: &BTreeMap<&str, &RawContact>, sink: &Sink<'_>) {
    for (name, from, until) in &contact.deputies {
        let Some(name) = name else { continue };
        if !contacts.contains_key(name.value.as_str()) {
            unknown(
                "`deputies`",
                name,
                contacts.keys().copied(),
                "a [[contact]]",
                sink,
            );
            continue;
        }
        // A circle: following deputies whose days overlap leads back here.
        let (Some(from), Some(until), Some(own)) = (from, until, &contact.name) else {
            continue;
        };
        let mut days = (from.value, until.value);
        let mut at = name.value.as_str();
        let mut passed = BTreeSet::new();
        while at != own.value && passed.insert(at) {
            let next = contacts.get(at).and_then(|contact| {
                contact.deputies.iter().find_map(|(name, from, until)| {
                    let overlap = (
                        days.0.max(from.as_ref()?.value),
                        days.1.min(until.as_ref()?.value),
                    );
                    (overlap.0 <= overlap.1).then_some((name.as_ref()?.value.as_str(), overlap))
                })
            });
            let Some((next, overlap)) = next else { break };
            (at, days) = (next, overlap);
        }
        if at == own.value {
            sink.error_hint(
                Kind::Cycle,
                &name.span,
                format!("the deputies of {at} lead back to {at} on the same days"),
                "somebody must be there; give one of them other days",
            );
        }
    }
}

fn check_route(route: &RawRoute, contacts: &BTreeMap<&str, &RawContact>, known: &Known<'_>, sink: &Sink<'_>) {
    for (key, words, all) in [
        ("classes", &route.classes, &known.classes),
        ("kinds", &route.kinds, &known.kinds),
    ] {
        for word in words {
            if !all.contains(&word.value.as_str()) {
                let hint = match nearest(&word.value, all.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("allowed: {}", all.join(", ")),
                };
                sink.error_hint(
                    Kind::Value,
                    &word.span,
                    format!("`{key}` names \"{}\", which no alarm has", word.value),
                    hint,
                );
            }
        }
    }
    for source in &route.sources {
        if !known.sources.contains(source.value.as_str()) {
            unknown(
                "`sources`",
                source,
                known.sources.iter().copied(),
                "a node, device or point",
                sink,
            );
        }
    }
    let mut before: Option<&At<Millis>> = None;
    for step in &route.steps {
        if step.contacts.is_empty() {
            sink.error_hint(
                Kind::Value,
                &step.span,
                "`contacts` of a step is empty: nobody would be told",
                "name at least one [[contact]]",
            );
        }
        for name in &step.contacts {
            if !contacts.contains_key(name.value.as_str()) {
                unknown(
                    "`contacts`",
                    name,
                    contacts.keys().copied(),
                    "a [[contact]]",
                    sink,
                );
            }
        }
        if let (Some(before), Some(after)) = (before, &step.after)
            && after.value <= before.value
        {
            sink.error_hint(
                Kind::Conflict,
                &after.span,
                "this step comes no later than the one before it",
                "`after` counts from the alarm; make it longer, or put the contacts into one step",
            );
        }
        before = step.after.as_ref();
    }
    match route.steps.first().and_then(|step| step.after.as_ref()) {
        None if route.steps.is_empty() => sink.error_hint(
            Kind::Value,
            &route.span,
            "`steps` of a [[route]] is empty: nobody would be told",
            "steps = [{ after = \"0s\", contacts = [\"...\"] }]",
        ),
        Some(after) if after.value.0 > 0 => sink.error_hint(
            Kind::Conflict,
            &after.span,
            "nobody is told when the alarm is raised",
            "the first step is told at once: after = \"0s\"",
        ),
        _ => {}
    }
    if route.steps.len() > 1 && route.moments.is_some_and(|moments| !moments.escalated) {
        sink.error_hint(
            Kind::Conflict,
            &route.span,
            "`moments` leaves out \"escalated\", so the steps after the first are never told",
            "add \"escalated\", or keep one step",
        );
    }
    if route.repeat.is_some() && route.moments.is_some_and(|moments| !moments.reminder) {
        sink.error_hint(
            Kind::Conflict,
            &route.span,
            "`repeat` needs \"reminder\" among the `moments`",
            "add it, or take `repeat` out",
        );
    }
    at_three_on_a_holiday(route, contacts, sink);
}

/// At three in the morning of a holiday nobody is expected to be there; if the file says so for
/// everybody of a route, the first step is told all the same, and somebody should know it.
fn at_three_on_a_holiday(route: &RawRoute, contacts: &BTreeMap<&str, &RawContact>, sink: &Sink<'_>) {
    let calendar = Calendar {
        utc_offset_min: 0,
        holidays: vec![1, 2],
    };
    let night = Local { day: 2, minute: 180 };
    let mut named = route
        .steps
        .iter()
        .flat_map(|step| &step.contacts)
        .filter_map(|name| contacts.get(name.value.as_str()))
        .peekable();
    if named.peek().is_none() {
        return;
    }
    let somebody = named.any(|contact| {
        contact.duty.is_empty()
            || contact
                .duty
                .iter()
                .any(|hours| hours.is_none_or(|hours| calendar.covers(&hours, night)))
    });
    if !somebody {
        let name = route.name.as_ref().map_or("", |name| name.value.as_str());
        sink.warning(
            Kind::Conflict,
            &route.span,
            format!("nobody of the route {name} is on duty at 3 a.m. of a holiday"),
            "all of its first step are told then; better name a contact that is there, such as the guards, without `duty`",
        );
    }
}

/// Classes of alarms that no route takes at their highest priority.
fn unrouted(raw: &RawNotices, known: &Known<'_>, sink: &Sink<'_>) {
    if raw.routes.is_empty() {
        if let Some(contact) = raw.contacts.first() {
            sink.warning(
                Kind::Missing,
                &contact.span,
                "there are contacts but no [[route]]: nobody is told of anything",
                "add a [[route]] with steps",
            );
        }
        return;
    }
    let takes_all = |route: &&RawRoute| route.kinds.is_empty() && route.sources.is_empty();
    let missing: Vec<&str> = known
        .classes
        .iter()
        .copied()
        .filter(|class| {
            !raw.routes.iter().filter(takes_all).any(|route| {
                route.classes.is_empty() || route.classes.iter().any(|word| word.value == **class)
            })
        })
        .collect();
    if !missing.is_empty()
        && let Some(route) = raw.routes.last()
    {
        sink.warning(
            Kind::Missing,
            &route.span,
            format!("no route takes all alarms of: {}", missing.join(", ")),
            "add a route without `classes`, `kinds` and `sources`: it takes what the others leave",
        );
    }
}

const _: () = assert!(HOLIDAY == shared::access::HOLIDAY);

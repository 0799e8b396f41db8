//! What the parts of a site file must be to each other: names borne once, references that lead
//! somewhere, dependencies without a circle, values that fit together.
//!
//! It looks at whatever could be read, and never complains about what only follows from a
//! problem already reported.
// Long because every rule between two tables of the site file stands here.

use super::derived::Measures;
use super::link::SerialLine;
use super::problem::{Kind, Sink, nearest};
use super::raw::{Raw, RawHost, RawLimit, RawMqtt};
use super::reader::{At, shown};
use super::{Confirm, DeviceKind, OnFailure, Side, World};
use crate::outage::Verb;
use crate::time::Millis;
use shared::Quantity;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;

/// Facts of a device that are words, not numbers; no limit can watch them.
const STATE_FACTS: [&str; 5] = [
    "output.source",
    "battery.status",
    "battery.replace",
    "ups.test.result",
    "ups.calibration",
];

pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>, simulated: bool) {
    names(raw, sink);
    listeners(raw, sink, simulated);
    channels(raw, sink);
    for node in &raw.nodes {
        super::mounts::check(node, sink);
    }
    super::doors::check(&raw.nodes, raw.access.as_ref(), sink);
    devices(raw, sink, simulated);
    super::groups::check(raw, sink);
    super::derived::check(raw, sink);
    super::battery::check(raw, sink);
    super::self_test::check(raw, sink);
    super::schedule::check(raw, sink);
    super::notifier::check(raw, sink);
    super::nut_server::check(raw, sink, simulated);
    super::procedures::check(raw, sink);
    super::notice::check(&raw.notices, &told(raw), sink);
    super::feeds::check(raw, sink);
    hosts(raw, sink, simulated);
    super::write::check(raw, sink);
    cycles(&raw.hosts, sink);
    limits(raw, sink);
    outage(raw, sink);
    super::outage::check(raw, sink);
    super::finish::check(raw, sink);
}

/// What routes and contacts may name.
fn told<W: World>(raw: &Raw<W>) -> super::notice::Known<'_> {
    let nodes = raw.nodes.iter().filter_map(|node| node.name.as_ref());
    let channels = raw.nodes.iter().flat_map(|node| &node.channels);
    let points = channels.filter_map(|channel| channel.point.as_ref());
    let portals = raw.nodes.iter().filter_map(|node| node.portal.as_ref());
    let doors = portals.filter_map(|portal| portal.name.as_ref());
    let devices = raw.devices.iter().filter_map(|device| device.name.as_ref());
    let groups = raw.groups.iter().filter_map(super::groups::name);
    super::notice::Known {
        notifiers: raw.notifiers.iter().filter_map(super::notifier::named).collect(),
        sources: nodes
            .chain(points)
            .chain(doors)
            .chain(devices)
            .chain(groups)
            .map(|name| name.value.as_str())
            .collect(),
        classes: crate::catalog::Class::ALL
            .map(crate::catalog::Class::word)
            .to_vec(),
        kinds: crate::catalog::Kind::ALL.map(crate::catalog::Kind::word).to_vec(),
    }
}

/// Reports every value that was there before.
fn once<'v, T: Ord + Display + 'v>(what: &str, values: impl Iterator<Item = &'v At<T>>, sink: &Sink<'_>) {
    let mut seen: BTreeMap<&T, usize> = BTreeMap::new();
    for at in values {
        let line = sink.line(at.span.start);
        if let Some(first) = seen.get(&at.value) {
            sink.error_hint(
                Kind::Duplicate,
                &at.span,
                format!("{what} {} is used twice", at.value),
                format!("it is first used in line {first}"),
            );
        } else {
            seen.insert(&at.value, line);
        }
    }
}

fn names<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    once(
        "the node id",
        raw.nodes.iter().filter_map(|n| n.id.as_ref()),
        sink,
    );
    // Nodes and devices share one space: both are sources of points and names of alarms.
    let sources = raw
        .nodes
        .iter()
        .filter_map(|node| node.name.as_ref())
        .chain(raw.devices.iter().filter_map(|device| device.name.as_ref()));
    once("the name", sources, sink);
    once(
        "the host name",
        raw.hosts.iter().filter_map(|h| h.name.as_ref()),
        sink,
    );
    let points = raw.nodes.iter().flat_map(|node| &node.channels);
    let derived = raw.derived.iter().filter_map(|derived| derived.point.as_ref());
    once(
        "the point",
        points.filter_map(|channel| channel.point.as_ref()).chain(derived),
        sink,
    );
    once(
        "the alarm id",
        raw.limits.iter().filter_map(|l| l.id.as_ref()),
        sink,
    );
}

fn listeners<W: World>(raw: &Raw<W>, sink: &Sink<'_>, simulated: bool) {
    let mut ports: Vec<(&str, &At<SocketAddr>, bool)> = Vec::new();
    if let Some(web) = &raw.web
        && let Some(listen) = &web.listen
    {
        ports.push(("[web]", listen, web.exposed));
    }
    if let Some(RawMqtt::Builtin {
        listen: Some(listen),
        exposed,
    }) = &raw.mqtt
    {
        ports.push(("[mqtt]", listen, *exposed));
    }
    if let [(first, a, _), (second, b, _)] = ports[..]
        && a.value.port() == b.value.port()
        && a.value.port() != 0
        && (a.value.ip() == b.value.ip() || a.value.ip().is_unspecified() || b.value.ip().is_unspecified())
    {
        sink.error_hint(
            Kind::Duplicate,
            &b.span,
            format!("{second} listens on {}, where {first} listens already", b.value),
            "give it another port",
        );
    }
    if let Some(listen) = &raw.traps {
        if simulated && !listen.value.ip().is_loopback() {
            sink.error_hint(
                Kind::Conflict,
                &listen.span,
                format!(
                    "[snmp] trap_listen = \"{}\": a simulated site listens on loopback only",
                    listen.value
                ),
                "write trap_listen = \"127.0.0.1:0\"",
            );
        }
        let is_snmp = |device: &super::raw::RawDevice| {
            matches!(
                &device.link,
                Some(At {
                    value: super::link::Link::Snmp(_),
                    ..
                }) | None
            )
        };
        if !raw.devices.iter().any(is_snmp) {
            sink.warning(
                Kind::Value,
                &listen.span,
                "[snmp] trap_listen, but no device of the site speaks SNMP: every trap will be refused",
                "traps are taken from devices of the site only; add the device, or remove the line",
            );
        }
    }
    for (table, listen, exposed) in ports {
        if !listen.value.ip().is_loopback() && !exposed && !simulated {
            sink.warning(
                Kind::Exposure,
                &listen.span,
                format!("{table} can be reached from other machines on {}", listen.value),
                "if that is meant, add exposed = true; otherwise listen on 127.0.0.1",
            );
        }
    }
}

fn channels<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let device_names: BTreeSet<&str> = raw
        .devices
        .iter()
        .filter_map(|device| Some(device.name.as_ref()?.value.as_str()))
        .collect();
    for node in &raw.nodes {
        let name = node.name.as_ref().map_or("?", |name| name.value.as_str());
        once(
            &format!("channel of {name}:"),
            node.channels
                .iter()
                .filter_map(|channel| channel.channel.as_ref()),
            sink,
        );
        for point in node.channels.iter().filter_map(|channel| channel.point.as_ref()) {
            let first = point.value.split('.').next().unwrap_or_default();
            if device_names.contains(first) {
                sink.error_hint(
                    Kind::Duplicate,
                    &point.span,
                    format!(
                        "the point {} looks like a fact of the device {first}",
                        point.value
                    ),
                    "points of devices begin with the device's name; call this one otherwise",
                );
            }
        }
    }
}

fn devices<W: World>(raw: &Raw<W>, sink: &Sink<'_>, simulated: bool) {
    let mut agents: BTreeMap<String, usize> = BTreeMap::new();
    let mut ports: BTreeMap<&Path, &SerialLine> = BTreeMap::new();
    for device in &raw.devices {
        let Some(link) = &device.link else { continue };
        let line = sink.line(link.span.start);
        if let Some(first) = agents.insert(link.value.identity(), line) {
            sink.error_hint(
                Kind::Duplicate,
                &link.span,
                format!("the agent {} is polled twice", link.value.place()),
                format!("it is first used in line {first}; two feeds that are one UPS are no redundancy"),
            );
        }
        if let Some((_, addr)) = link.value.endpoint() {
            let addr = At {
                value: addr,
                span: link.span.clone(),
            };
            reachable(&addr, simulated, sink);
        }
        if let Some(serial) = link.value.serial() {
            if simulated && !serial.path.starts_with(SIMULATED_PORTS) {
                sink.error(
                    Kind::Value,
                    &link.span,
                    format!(
                        "{}: a simulated site opens no serial port but those below {SIMULATED_PORTS}",
                        serial.path.display()
                    ),
                );
            }
            if ports
                .insert(&serial.path, serial)
                .is_some_and(|first| first != serial)
            {
                sink.error_hint(
                    Kind::Conflict,
                    &link.span,
                    format!("{} is set in two ways", serial.path.display()),
                    "devices on one line have the same baud, parity and stop_bits",
                );
            }
        }
    }
    for device in &raw.devices {
        if let (Some(poll), Some(battery)) = (&device.poll, &device.poll_on_battery)
            && battery.value > poll.value
        {
            sink.error_hint(
                Kind::Conflict,
                &battery.span,
                format!(
                    "`poll_on_battery` ({}) is slower than `poll` ({})",
                    shown(battery.value),
                    shown(poll.value)
                ),
                "on battery every second counts: poll faster, not slower",
            );
        }
    }
}

/// Pseudo-terminals, which a simulated device can hold the other end of.
const SIMULATED_PORTS: &str = "/dev/pts";

/// Port 0 is nowhere; a simulated room reaches loopback alone.
fn reachable(addr: &At<SocketAddr>, simulated: bool, sink: &Sink<'_>) {
    if addr.value.port() == 0 {
        sink.error(
            Kind::Value,
            &addr.span,
            format!("{} has port 0: nobody is there", addr.value),
        );
    }
    if addr.value.ip().is_unspecified() {
        sink.error(
            Kind::Value,
            &addr.span,
            format!("{} is nobody's address", addr.value),
        );
    }
    if simulated && !addr.value.ip().is_loopback() {
        sink.error(
            Kind::Value,
            &addr.span,
            format!("{}: a simulated site reaches nothing but loopback", addr.value),
        );
    }
}

fn hosts<W: World>(raw: &Raw<W>, sink: &Sink<'_>, simulated: bool) {
    let host_names: Vec<&str> = raw
        .hosts
        .iter()
        .filter_map(|host| Some(host.name.as_ref()?.value.as_str()))
        .collect();
    once(
        "the target of",
        raw.hosts.iter().filter_map(|host| host.action.aim.as_ref()),
        sink,
    );
    for host in &raw.hosts {
        let name = host.name.as_ref().map_or("?", |name| name.value.as_str());
        once(&format!("the feed of {name}:"), host.feeds.iter(), sink);
        once(
            &format!("the dependency of {name}:"),
            host.depends_on.iter(),
            sink,
        );
        if let Some(need) = &host.need
            && need.value > host.feeds.len()
            && !host.feeds.is_empty()
        {
            sink.error_hint(
                Kind::Conflict,
                &need.span,
                format!(
                    "host {name} needs {} feeds but has {}",
                    need.value,
                    host.feeds.len()
                ),
                "`need` is how many supplies must have power for it to run; 1 for redundant supplies",
            );
        }
        for other in &host.depends_on {
            if !host_names.contains(&other.value.as_str()) {
                sink.error_hint(
                    Kind::Reference,
                    &other.span,
                    format!(
                        "host {name} depends on `{}`, which is no host of this site",
                        other.value
                    ),
                    known("hosts of this site", &other.value, &host_names),
                );
            }
        }
        for (verb, doing) in host.doings() {
            let budget = match (verb, &host.start) {
                (Verb::Start, Some(start)) => &start.budget,
                _ => &host.budget,
            };
            let (Some(budget), Some(longest)) = (budget, &doing.longest) else {
                continue;
            };
            if budget.value > longest.value {
                continue;
            }
            sink.error_hint(
                Kind::Conflict,
                &budget.span,
                format!(
                    "the budget of host {name} ({}) is not longer than the own time-outs of its {} ({})",
                    shown(budget.value),
                    verb.section(),
                    shown(longest.value)
                ),
                "a step would be abandoned while it may still succeed: lengthen `budget` or shorten the time-outs",
            );
        }
        if let Some(on_failure) = &host.on_failure
            && (on_failure.value == OnFailure::Force) != host.force.is_some()
        {
            sink.error_hint(
                Kind::Conflict,
                &on_failure.span,
                format!("host {name}: on_failure = \"force\" and [host.force] belong together"),
                "write both: what is done when it does not stop by itself, and how; or neither",
            );
        }
        if let Some(start) = &host.start
            && let Some(alive) = &start.alive
        {
            reachable(alive, simulated, sink);
        }
        if let Some(confirm) = &host.confirm
            && let Confirm::PortClosed { addr } = confirm.value
        {
            let at = At {
                value: addr,
                span: confirm.span.clone(),
            };
            reachable(&at, simulated, sink);
        }
    }
}

/// "known: a, b" with the nearest first.
fn known(what: &str, word: &str, all: &[&str]) -> String {
    if let Some(near) = nearest(word, all.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    if all.is_empty() {
        return format!("there are no {what}");
    }
    let mut list = all.iter().take(12).copied().collect::<Vec<_>>().join(", ");
    if all.len() > 12 {
        list.push_str(", ...");
    }
    format!("{what}: {list}")
}

/// Reports each circle of dependencies once, with all its members.
fn cycles<W: World>(hosts: &[RawHost<W>], sink: &Sink<'_>) {
    let index: BTreeMap<&str, usize> = hosts
        .iter()
        .enumerate()
        .filter_map(|(at, host)| Some((host.name.as_ref()?.value.as_str(), at)))
        .collect();
    // Take away, again and again, whoever depends on nobody left; what stays lies on a circle
    // or depends on one. At most one round for each host.
    let mut left: Vec<bool> = vec![true; hosts.len()];
    let next = |at: usize, left: &[bool]| {
        hosts[at]
            .depends_on
            .iter()
            .filter_map(|other| index.get(other.value.as_str()).copied())
            .find(|&other| left[other])
    };
    for _ in 0..hosts.len() {
        let gone: Vec<usize> = (0..hosts.len())
            .filter(|&at| left[at] && next(at, &left).is_none())
            .collect();
        if gone.is_empty() {
            break;
        }
        for at in gone {
            left[at] = false;
        }
    }
    // From each that is left, following what is left must come back to a circle.
    let mut reported = vec![false; hosts.len()];
    for start in 0..hosts.len() {
        if !left[start] || reported[start] {
            continue;
        }
        let mut walk = vec![start];
        let circle = loop {
            let Some(&last) = walk.last() else {
                break Vec::new();
            };
            let Some(step) = next(last, &left) else {
                break Vec::new();
            };
            if let Some(from) = walk.iter().position(|&at| at == step) {
                break walk.split_off(from);
            }
            walk.push(step);
        };
        let seen = circle.iter().any(|&at| reported[at]);
        for &at in walk.iter().chain(&circle) {
            reported[at] = true;
        }
        if seen || circle.is_empty() {
            continue;
        }
        let name = |at: &usize| hosts[*at].name.as_ref().map_or("?", |name| name.value.as_str());
        let mut members: Vec<&str> = circle.iter().map(name).collect();
        members.push(members[0]);
        let at = hosts[circle[0]]
            .depends_on
            .first()
            .map_or_else(|| hosts[circle[0]].span.clone(), |other| other.span.clone());
        sink.error_hint(
            Kind::Cycle,
            &at,
            format!("hosts depend on each other in a circle: {}", members.join(" -> ")),
            "none of them could be stopped first; take one dependency out",
        );
    }
}

fn limits<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let points = super::derived::measures(raw);
    let devices: Vec<&str> = raw
        .devices
        .iter()
        .filter_map(|device| Some(device.name.as_ref()?.value.as_str()))
        .collect();
    for limit in &raw.limits {
        if let Some(point) = &limit.point {
            match points.get(point.value.as_str()) {
                Some(measures) => quantity_fits(limit, point, *measures, sink),
                None => fact_exists(point, &points, &devices, sink),
            }
        }
        if let Some(deadband) = &limit.deadband
            && deadband.value < 0.0
        {
            sink.error_hint(
                Kind::Value,
                &deadband.span,
                format!("`deadband` = {} is negative", deadband.value),
                "how far inside the limit the value must return, 0 or more",
            );
        }
        if let (Some(deadband), Some(off)) = (&limit.deadband, &limit.off_delay)
            && deadband.value == 0.0
            && off.value == Millis(0)
        {
            sink.warning(
                Kind::Conflict,
                &deadband.span,
                "without deadband and off-delay this alarm comes and goes with every flicker",
                "write a deadband, e.g. 0.5, or an off_delay, e.g. \"60s\"",
            );
        }
    }
    // A preset's alarms share one place: one report for the pair.
    for (index, a) in raw.limits.iter().enumerate() {
        for b in &raw.limits[index + 1..] {
            if let (Some(p), Some(q)) = (&a.point, &b.point)
                && p.value == q.value
            {
                pair(a, b, &p.value, sink);
            }
        }
    }
}

fn quantity_fits(limit: &RawLimit, point: &At<String>, measures: Measures, sink: &Sink<'_>) {
    if measures == Measures::Quantity(Quantity::Contact) {
        sink.error_hint(
            Kind::Conflict,
            &point.span,
            format!(
                "{} is a contact: it is open or closed and has no limit",
                point.value
            ),
            "what an open contact means is written as `contact` in its [[node.channel]]",
        );
        return;
    }
    if let Some(wanted) = limit.measures
        && let Measures::Quantity(quantity) = measures
        && wanted != quantity
    {
        let (wanted, got) = (
            super::parse::quantity_word(wanted),
            super::parse::quantity_word(quantity),
        );
        sink.error(
            Kind::Conflict,
            &point.span,
            format!("this preset is for {wanted}, but {} measures {got}", point.value),
        );
        return;
    }
    let Some((low, high)) = measures.range() else {
        return;
    };
    if let Some(value) = &limit.limit
        && !(low..=high).contains(&value.value)
    {
        sink.error_hint(
            Kind::Value,
            &value.span,
            format!(
                "the limit {} lies outside of what {} can be",
                value.value, point.value
            ),
            format!("from {low} to {high} {}", measures.unit()),
        );
    }
    if let Some(deadband) = &limit.deadband
        && deadband.value > (high - low) / 4.0
    {
        sink.error_hint(
            Kind::Value,
            &deadband.span,
            format!(
                "a deadband of {} is wider than the alarm can return",
                deadband.value
            ),
            "a deadband is a little more than the noise, e.g. 0.5",
        );
    }
}

fn fact_exists(point: &At<String>, points: &BTreeMap<&str, Measures>, devices: &[&str], sink: &Sink<'_>) {
    if let Some((device, fact)) = point.value.split_once('.')
        && devices.contains(&device)
    {
        if STATE_FACTS.contains(&fact) {
            sink.error_hint(
                Kind::Conflict,
                &point.span,
                format!("{fact} is a word, not a number, and has no limit"),
                "its alarms come from the profile and the outage engine",
            );
        }
        return;
    }
    let hint = match nearest(&point.value, points.keys().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a point of a [[node.channel]], or <device>.<fact>, e.g. ups-a.ups.load".to_owned(),
    };
    sink.error_hint(
        Kind::Reference,
        &point.span,
        format!(
            "the limit watches `{}`, which is no point of this site",
            point.value
        ),
        hint,
    );
}

/// Two limits of one point.
fn pair(a: &RawLimit, b: &RawLimit, point: &str, sink: &Sink<'_>) {
    let (Some(side_a), Some(side_b)) = (&a.side, &b.side) else {
        return;
    };
    let (Some(limit_a), Some(limit_b)) = (&a.limit, &b.limit) else {
        return;
    };
    if side_a.value == side_b.value {
        let (Some(priority_a), Some(priority_b)) = (&a.priority, &b.priority) else {
            return;
        };
        let beyond = match side_a.value {
            Side::High => limit_b.value > limit_a.value,
            Side::Low => limit_b.value < limit_a.value,
        };
        let more_urgent = priority_b.value > priority_a.value;
        if priority_a.value != priority_b.value && beyond != more_urgent {
            sink.error_hint(
                Kind::Conflict,
                &limit_b.span,
                format!(
                    "two limits of {point} are in the wrong order: {} and {}",
                    limit_a.value, limit_b.value
                ),
                "the more urgent alarm must lie further outside",
            );
        }
        return;
    }
    let (high, low) = if side_a.value == Side::High {
        (a, b)
    } else {
        (b, a)
    };
    let deadband = |limit: &RawLimit| {
        limit
            .deadband
            .as_ref()
            .map_or(0.0, |deadband| deadband.value.max(0.0))
    };
    if let (Some(top), Some(bottom)) = (&high.limit, &low.limit)
        && top.value - deadband(high) <= bottom.value + deadband(low)
    {
        sink.error_hint(
            Kind::Conflict,
            &limit_b.span,
            format!(
                "the limits of {point} leave no room: high {} and low {} with their deadbands",
                top.value, bottom.value
            ),
            "an alarm could never return to normal; move the limits apart",
        );
    }
}

fn outage<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let Some(policy) = &raw.outage else {
        if let Some(host) = raw.hosts.first() {
            sink.error_hint(
                Kind::Missing,
                &host.span,
                "there are hosts to stop but no [outage] that says when",
                "add [outage] with on_battery_delay, reserve, start_at_charge, longest_on_battery, contact_lost_after, mains_stable",
            );
        }
        return;
    };
    if raw.hosts.is_empty() {
        sink.warning(
            Kind::Conflict,
            &policy.span,
            "[outage] stops nobody: there is no [[host]]",
            "add the servers, or take [outage] out",
        );
    }
    if let (Some(delay), Some(longest)) = (&policy.on_battery_delay, &policy.longest_on_battery)
        && longest.value <= delay.value
    {
        sink.error_hint(
            Kind::Conflict,
            &longest.span,
            format!(
                "`longest_on_battery` ({}) is not longer than `on_battery_delay` ({})",
                shown(longest.value),
                shown(delay.value)
            ),
            "the plan would start while the outage is still to be ridden through",
        );
    }
    let Some(lost) = &policy.contact_lost_after else {
        return;
    };
    for device in &raw.devices {
        let (Some(kind), Some(timeout), Some(retries), Some(poll)) =
            (&device.kind, &device.timeout, &device.retries, &device.poll)
        else {
            continue;
        };
        let answer = timeout.value.0.saturating_mul(u64::from(retries.value) + 1);
        let longest = Millis(poll.value.0.saturating_add(answer));
        if kind.value == DeviceKind::Ups && lost.value <= longest {
            let name = device.name.as_ref().map_or("?", |name| name.value.as_str());
            sink.error_hint(
                Kind::Conflict,
                &lost.span,
                format!(
                    "`contact_lost_after` ({}) is not longer than one poll of {name} with its retries ({})",
                    shown(lost.value),
                    shown(longest)
                ),
                "one late answer would count as lost contact; lengthen it, or poll faster",
            );
        }
    }
}

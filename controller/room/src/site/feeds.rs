//! `fed_by` of a `[[device]]` and `feeds` of a `[[host]]`: how the power comes to the servers.
//!
//! A feed is written as the UPS, PDU or ATS (`pdu-1`), or as one of its outlets: the device, a
//! stroke and the number that the device itself gives it (`pdu-1/3`, `pdu-2/1.12`).

use super::problem::{Kind, Sink, nearest};
use super::raw::Raw;
use super::reader::At;
use super::{DeviceKind, World};
use crate::power::graph::{Graph, Problem, Wired};
use crate::time::Millis;
use std::collections::BTreeSet;

/// A PDU or ATS and what it is fed by.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Branch {
    /// Name of the device.
    pub device: String,
    /// UPSes, PDUs, ATSes, outlets of these, or `mains`; those of an ATS in the order of its
    /// inputs A and B.
    pub fed_by: Vec<String>,
}

/// The graph of what could be read.
pub(super) fn graph<W: World>(raw: &Raw<W>) -> Graph {
    let wired = raw.devices.iter().filter_map(|device| {
        Some(Wired {
            name: device.name.as_ref()?.value.clone(),
            label: super::Label::default(),
            // A kind that could not be read was reported; everything is allowed to it.
            kind: device.kind.as_ref().map_or(DeviceKind::Ups, |kind| kind.value),
            fed_by: device.fed_by.iter().map(|feed| feed.value.clone()).collect(),
            fresh_for: Millis(0),
        })
    });
    Graph::new(wired.collect())
}

/// Every feed leads to a UPS, and two of them to two.
pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let mut graph = graph(raw);
    let feeders = raw.devices.iter().filter(|device| {
        device
            .kind
            .as_ref()
            .is_none_or(|kind| matches!(kind.value, DeviceKind::Ups | DeviceKind::Pdu | DeviceKind::Ats))
    });
    let feeders: Vec<&str> = feeders
        .filter_map(|device| Some(device.name.as_ref()?.value.as_str()))
        .collect();
    let mut circles = BTreeSet::new();
    let mut tell = |who: &str, feed: &At<String>, problem: Problem, sink: &Sink<'_>| {
        if let Problem::Circle { names } = &problem {
            let names: BTreeSet<String> = names.iter().cloned().collect();
            if !circles.insert(names) {
                return;
            }
        }
        report(who, feed, &problem, &feeders, sink);
    };
    for device in raw.devices.iter().filter(|device| !device.fed_by.is_empty()) {
        let name = device.name.as_ref().map_or("?", |name| name.value.as_str());
        let most = match device.kind.as_ref().map(|kind| kind.value) {
            Some(DeviceKind::Ats) => crate::power::graph::ATS_INPUTS,
            Some(DeviceKind::Pdu) => 1,
            None => continue,
            Some(_) => 0,
        };
        let who = format!("device {name}");
        let Some(surplus) = device.fed_by.get(most) else {
            for feed in device
                .fed_by
                .iter()
                .filter(|feed| feed.value != crate::power::graph::MAINS)
            {
                if let Err(problem) = graph.point(&feed.value) {
                    tell(&who, feed, problem, sink);
                }
            }
            if let Ok(point) = graph.point(name) {
                same_ups(&graph, &who, &graph.points()[point].inputs, &device.fed_by, sink);
            }
            continue;
        };
        let hint = match most {
            0 => "`fed_by` is for kind = \"pdu\" and \"ats\"; what feeds a host stands in its `feeds`",
            1 => "a PDU has one input; what chooses between two has kind = \"ats\"",
            _ => "an ATS has two inputs, A and B",
        };
        sink.error_hint(
            Kind::Conflict,
            &surplus.span,
            format!("device {name} cannot be fed by `{}` as well", surplus.value),
            hint,
        );
    }
    for host in &raw.hosts {
        let who = format!(
            "host {}",
            host.name.as_ref().map_or("?", |name| name.value.as_str())
        );
        let mut points = Vec::new();
        for feed in &host.feeds {
            match graph.point(&feed.value) {
                Ok(point) => points.push(point),
                Err(problem) => tell(&who, feed, problem, sink),
            }
        }
        if points.len() == host.feeds.len() {
            same_ups(&graph, &who, &points, &host.feeds, sink);
        }
    }
}

/// Two feeds that come from one UPS fall together.
fn same_ups(graph: &Graph, who: &str, points: &[usize], feeds: &[At<String>], sink: &Sink<'_>) {
    for (at, (point, feed)) in points.iter().zip(feeds).enumerate() {
        let upses = graph.upses(*point);
        let Some(ups) = upses.first().filter(|_| upses.len() == 1) else {
            continue;
        };
        let before = points[..at].iter().zip(feeds);
        let mut same = before.filter(|(other, _)| *other != point && graph.upses(**other) == upses);
        if let Some((_, other)) = same.next() {
            sink.warning(
                Kind::Conflict,
                &feed.span,
                format!(
                    "{who}: `{}` and `{}` both come from {}; that is no redundancy",
                    other.value,
                    feed.value,
                    graph.points()[*ups].name
                ),
                "plug one of them into another UPS, or name it once",
            );
        }
    }
}

fn report(who: &str, feed: &At<String>, problem: &Problem, feeders: &[&str], sink: &Sink<'_>) {
    let (kind, hint) = match problem {
        Problem::Unknown { name } => (
            Kind::Reference,
            match nearest(name, feeders.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if feeders.is_empty() => "there are no UPSs of this site".to_owned(),
                None => format!("UPSs, PDUs and ATSs of this site: {}", feeders.join(", ")),
            },
        ),
        Problem::FeedsNobody { .. } => (
            Kind::Reference,
            "only a UPS, PDU or ATS feeds a host, or one of its outlets; only these have outlets".to_owned(),
        ),
        Problem::Outlet { .. } => (
            Kind::Value,
            "the number that the device itself gives the outlet, as in its facts: outlet.3.status".to_owned(),
        ),
        Problem::Unfed { name } => (
            Kind::Missing,
            format!("name the UPS behind it in the [[device]] {name}: fed_by = [\"ups-a\"]"),
        ),
        Problem::Mains => (
            Kind::Value,
            "name only what goes on when mains is lost".to_owned(),
        ),
        Problem::Circle { .. } => (
            Kind::Cycle,
            "`fed_by` leads towards the UPS; take one of them out".to_owned(),
        ),
        // Reported where they stand.
        Problem::Inputs { .. } => return,
        Problem::Deep { .. } => (Kind::Value, "is there a mistake in `fed_by`?".to_owned()),
    };
    sink.error_hint(
        kind,
        &feed.span,
        format!("{who} is fed by `{}`, but {problem}", feed.value),
        hint,
    );
}

#[cfg(test)]
mod tests {
    use super::super::{Real, parse};
    use std::path::Path;

    const EXAMPLE: &str = include_str!("../../../../deploy/example/site.toml");

    fn read(changes: &[(&str, &str)]) -> (bool, String) {
        let mut text = EXAMPLE.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        let outcome = parse::read::<Real>(&text, Path::new("/etc/yagura"));
        let told: Vec<String> = outcome
            .problems
            .iter()
            .map(|problem| format!("{problem:?}"))
            .collect();
        (outcome.site.is_some(), told.join("\n"))
    }

    const FED_BY: &str = "fed_by = [\"ups-b\"]";
    const FEEDS: &str = "feeds = [\"pdu-1/4\"]";

    #[test]
    fn the_example_has_a_host_on_an_outlet_of_a_pdu() {
        let site = parse::real(EXAMPLE, Path::new("/etc/yagura")).unwrap();
        assert_eq!(site.branches.len(), 1);
        assert_eq!(
            (site.branches[0].device.as_str(), &site.branches[0].fed_by[..]),
            ("pdu-1", &["ups-b".to_owned()][..])
        );
        assert!(site.hosts.iter().any(|host| host.feeds == ["pdu-1/4"]));
    }

    #[test]
    fn a_feed_that_leads_nowhere_is_refused_with_what_to_do() {
        for (changes, says) in [
            (vec![(FEEDS, "feeds = [\"pdu-2/4\"]")], "did you mean `pdu-1`?"),
            (
                vec![(FEEDS, "feeds = [\"switch-1/4\"]")],
                "only these have outlets",
            ),
            (vec![(FEEDS, "feeds = [\"pdu-1/four\"]")], "pdu-1/3"),
            (
                vec![(FEEDS, "feeds = [\"mains\"]")],
                "name only what goes on when mains is lost",
            ),
            (vec![(FED_BY, "behind = \"switch-1\"")], "name the UPS behind it"),
            (vec![(FED_BY, "fed_by = [\"ups-9\"]")], "ups-9 is not a device"),
            (
                vec![(FED_BY, "fed_by = [\"pdu-1\"]")],
                "feed each other in a circle",
            ),
            (
                vec![(FED_BY, "fed_by = [\"ups-a\", \"ups-b\"]")],
                "a PDU has one input",
            ),
            (
                vec![("uplinks = [\"49\", \"50\"]", "fed_by = [\"ups-a\"]")],
                "what feeds a host stands in its `feeds`",
            ),
        ] {
            let (taken, told) = read(&changes);
            assert!(!taken && told.contains(says), "{says}: {told}");
        }
    }

    #[test]
    fn two_feeds_of_one_ups_are_a_warning() {
        let (taken, told) = read(&[(FEEDS, "feeds = [\"pdu-1/4\", \"ups-b\"]")]);
        assert!(taken, "{told}");
        assert!(
            told.contains("`pdu-1/4` and `ups-b` both come from ups-b; that is no redundancy"),
            "{told}"
        );
        let (taken, told) = read(&[(FEEDS, "feeds = [\"pdu-1/4\", \"ups-a\"]")]);
        assert!(taken && !told.contains("redundancy"), "{told}");
    }

    #[test]
    fn a_ups_is_not_switched_off_under_a_host_behind_its_pdu() {
        let vm1 = (
            "feeds = [\"pdu-1/4\"] # PDU の 4 番出力 outlet 4 of the PDU\ndepends_on = [\"nas1\"]",
            "feeds = [\"pdu-1/4\"]",
        );
        let (taken, told) = read(&[vm1]);
        assert!(!taken && told.contains("takes the power of host vm1"), "{told}");
    }
}

//! The feeds of the hosts as a person must know them: an alarm for every place where a feed is lost
//! although the host on it still runs, and the graph as the page draws it.
//!
//! A place is judged once however many hosts hang on it. What a UPS does has alarms of its own and
//! raises none here, and neither does an outlet whose hosts a plan has stopped.

use super::conditions::Condition;
use super::judge::life;
use super::{HostConf, Outage};
use crate::catalog::Kind;
use crate::power::feeds::{Life, Supply};
use crate::power::graph::{self, Edge, Point};
use crate::site::Label;
use crate::snapshot::{FedHost, FeedEdge, FeedGraph, FeedPoint};
use crate::time::Mono;

/// Hosts that one alarm names; the page has them all.
const NAMED_MAX: usize = 6;

/// What is known against one place.
struct Lost {
    /// False when that was the last word of a device that is silent since.
    fresh: bool,
    what: Label,
}

impl Outage {
    /// One condition for every place that a host is fed through.
    pub(super) fn feed_conditions(&self, now: Mono, conditions: &mut Vec<Condition>) {
        for (at, point) in self.config.graph.points().iter().enumerate() {
            if matches!(point.kind, graph::Kind::Ups | graph::Kind::Mains)
                || self.fed_through(at).next().is_none()
            {
                continue;
            }
            let mut runs = self
                .fed_through(at)
                .filter(|host| !self.book.stopped.contains_key(&host.id));
            let lost = runs.next().and_then(|_| self.lost_at(at, point, now));
            let because = lost.as_ref().filter(|lost| lost.fresh);
            let because = because.map(|lost| self.because_lost(at, &lost.what, now));
            let id = match &point.kind {
                graph::Kind::Outlet(number) => format!("{}.outlet.{number}.feed", point.device),
                _ => format!("{}.feed", point.device),
            };
            let mut condition = Kind::HostFeedLost.when(id, because);
            condition.known = lost.is_none_or(|lost| lost.fresh);
            conditions.push(condition);
        }
    }

    fn fed_through(&self, point: usize) -> impl Iterator<Item = &HostConf> {
        let hosts = self.config.hosts.iter();
        hosts.filter(move |host| host.paths.contains(&point))
    }

    fn lost_at(&self, at: usize, point: &Point, now: Mono) -> Option<Lost> {
        let graph = &self.config.graph;
        let lost = |edge: Edge, ja: String, en: String| match edge {
            Edge::Open => None,
            edge => Some(Lost {
                fresh: edge == Edge::Cut,
                what: Label::new(ja, en),
            }),
        };
        let (name, input) = (&point.name, |which| self.said.input(graph, at, which, now));
        match &point.kind {
            graph::Kind::Ups | graph::Kind::Mains => None,
            graph::Kind::Outlet(_) => lost(
                self.said.outlet(graph, at, now),
                format!("{name} が切"),
                format!("{name} is off"),
            ),
            graph::Kind::Pdu => lost(
                input(0),
                format!("{name} の入力がない"),
                format!("{name} has lost its input"),
            ),
            graph::Kind::Ats => {
                let names = ["A", "B"].into_iter().enumerate();
                let mut each = names.take(point.inputs.len()).filter_map(|(which, letter)| {
                    lost(
                        input(which),
                        format!("{name} の入力 {letter} がない"),
                        format!("{name} has lost input {letter}"),
                    )
                });
                // One that is on its second input and does not say why.
                let second = || {
                    let is_second = self.said.source(at) == Some(1) && !self.said.says_good(at, 0);
                    let edge = match self.said.is_fresh(graph, at, now) {
                        _ if !is_second => Edge::Open,
                        true => Edge::Cut,
                        false => Edge::WasCut,
                    };
                    lost(
                        edge,
                        format!("{name} は予備の入力 B で動作中"),
                        format!("{name} runs on its second input, B"),
                    )
                };
                each.next().or_else(second)
            }
        }
    }

    /// The place, and what is left to each host on it.
    fn because_lost(&self, at: usize, what: &Label, now: Mono) -> Label {
        let supplies = self.supplies(now);
        let hosts = self.fed_through(at);
        let mut named: Vec<String> = hosts
            .map(|host| format!("{} {}/{}", host.id, left(host, &supplies), host.points.len()))
            .collect();
        if named.len() > NAMED_MAX {
            named.truncate(NAMED_MAX);
            named.push("...".into());
        }
        let named = named.join(", ");
        Label::new(
            format!("{}。残る給電 {named}", what.ja),
            format!("{}; feeds left: {named}", what.en),
        )
    }

    /// The graph with the state of every point and edge.
    pub(super) fn view_feeds(&self, now: Mono) -> FeedGraph {
        let (graph, supplies) = (&self.config.graph, self.supplies(now));
        let word = |at: usize| supply_word(supplies[at]).to_owned();
        let points = graph.points().iter().enumerate().map(|(at, point)| {
            let inputs = point.inputs.iter().enumerate().map(|(which, input)| {
                let said = match point.kind {
                    graph::Kind::Outlet(_) => self.said.outlet(graph, at, now),
                    _ => self.said.input(graph, at, which, now),
                };
                FeedEdge {
                    from: graph.points()[*input].name.clone(),
                    state: edge_word(said, supplies[*input]).into(),
                    in_use: point.kind == graph::Kind::Ats && self.said.source(at) == Some(which),
                }
            });
            FeedPoint {
                id: point.name.clone(),
                label: point.label.clone(),
                kind: point.kind.word().into(),
                device: (!point.device.is_empty()).then(|| point.device.clone()),
                state: word(at),
                inputs: inputs.collect(),
            }
        });
        let hosts = self.config.hosts.iter().map(|host| FedHost {
            id: host.id.clone(),
            label: host.label.clone(),
            need: host.need,
            left: left(host, &supplies),
            lives_s: match life(host, &supplies) {
                Life::Until(secs) => Some(secs),
                Life::Safe | Life::Unknown => None,
            },
            feeds: host
                .points
                .iter()
                .map(|point| FeedEdge {
                    from: graph.points()[*point].name.clone(),
                    state: word(*point),
                    in_use: false,
                })
                .collect(),
        });
        FeedGraph {
            points: points.collect(),
            hosts: hosts.collect(),
        }
    }
}

/// Feeds of a host that supply.
fn left(host: &HostConf, supplies: &[Supply]) -> usize {
    let gives = |point: &&usize| matches!(supplies[**point], Supply::Steady | Supply::Draining(_));
    host.points.iter().filter(gives).count()
}

const fn supply_word(supply: Supply) -> &'static str {
    match supply {
        Supply::Steady => "mains",
        Supply::Draining(_) => "battery",
        Supply::Doubtful => "unknown",
        Supply::Gone => "none",
    }
}

const fn edge_word(said: Edge, supply: Supply) -> &'static str {
    match said {
        Edge::Cut => "off",
        Edge::WasCut => "unknown",
        Edge::Open => supply_word(supply),
    }
}

//! Topics: `fac/v1/<node>/{ev,t,up,cmd}`.
//!
//! `ev` events (QoS 1), `t` telemetry (QoS 0), `up` the will written by the broker
//! (an unauthenticated hint, never evidence), `cmd` towards the node (QoS 1).

use crate::limit::MAX_TOPIC;
use core::fmt::Write as _;
use heapless::String;

/// The first two levels of every topic of ours.
pub const PREFIX: &str = "fac/v1/";

/// The last level of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leaf {
    /// Events, upward.
    Event,
    /// Telemetry, upward.
    Telemetry,
    /// Presence: `1` retained by the node, `0` by its will.
    Presence,
    /// Commands and acknowledgements, downward.
    Command,
}

impl Leaf {
    /// The level as it stands in the topic.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Event => "ev",
            Self::Telemetry => "t",
            Self::Presence => "up",
            Self::Command => "cmd",
        }
    }
}

/// The topic of a node's leaf.
#[must_use]
pub fn of(node: u16, leaf: Leaf) -> String<MAX_TOPIC> {
    let mut topic = String::new();
    // 7 + 5 + 1 + 3 bytes always fit; a failed write would leave a topic nobody listens to.
    let _ = write!(topic, "{PREFIX}{node}/{}", leaf.word());
    topic
}

/// Splits a topic of ours; `None` for every other one, however long.
#[must_use]
pub fn parse(topic: &str) -> Option<(u16, Leaf)> {
    let (node, leaf) = topic.strip_prefix(PREFIX)?.split_once('/')?;
    // "+7" and "007" parse as numbers but are not the topic of node 7.
    if node.is_empty() || node.len() > 1 && node.starts_with('0') || !node.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let leaf = match leaf {
        "ev" => Leaf::Event,
        "t" => Leaf::Telemetry,
        "up" => Leaf::Presence,
        "cmd" => Leaf::Command,
        _ => return None,
    };
    Some((node.parse().ok()?, leaf))
}

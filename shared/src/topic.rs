//! The topics of a node: `fac/v1/<node>/{ev,t,up,cmd}`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEAVES: [Leaf; 4] = [Leaf::Event, Leaf::Telemetry, Leaf::Presence, Leaf::Command];

    #[test]
    fn reads_every_topic_it_makes() {
        for node in [0, 1, 9, 10, 300, u16::MAX] {
            for leaf in LEAVES {
                assert_eq!(parse(&of(node, leaf)), Some((node, leaf)));
            }
        }
        assert_eq!(of(7, Leaf::Event), "fac/v1/7/ev");
        assert_eq!(of(65_535, Leaf::Command), "fac/v1/65535/cmd");
    }

    #[test]
    fn every_other_topic_is_refused() {
        for topic in [
            "",
            "fac/v1/",
            "fac/v1//ev",
            "fac/v1/7",
            "fac/v1/7/",
            "fac/v1/7/EV",
            "fac/v1/7/ev/",
            "fac/v1/7/ev/x",
            "fac/v1/+/ev",
            "fac/v1/#",
            "fac/v1/+7/ev",
            "fac/v1/-7/ev",
            "fac/v1/007/ev",
            "fac/v1/65536/ev",
            "fac/v1/99999999999999999999/ev",
            "fac/v1/７/ev",
            "fac/v1/7/ev\0",
            "fac/v2/7/ev",
            "/fac/v1/7/ev",
            "$SYS/broker",
        ] {
            assert_eq!(parse(topic), None, "{topic:?}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_is_what_we_would_write(topic in "(fac/v1/)?[0-9+#]{0,6}/?(ev|t|up|cmd)?.{0,3}") {
            if let Some((node, leaf)) = parse(&topic) {
                let ours = of(node, leaf);
                prop_assert_eq!(ours.as_str(), topic);
            }
        }
    }
}

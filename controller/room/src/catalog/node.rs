//! Alarms of a sensor node as a whole.

use super::Kind;
use crate::alarm::Definition;
use crate::site::{ContactKind, Label, Node, Priority};
use crate::time::Millis;

/// A node that has not taken its access list for so long needs a person.
pub const LIST_PATIENCE: Millis = Millis(600_000);
/// A node that has not changed its key for so long after it was told needs a person.
pub const ROTATION_PATIENCE: Millis = Millis(600_000);

/// Silence of so many times the heartbeat's interval is noticed: `silent_after` of the site's file says
/// it as a time, two intervals by default.
pub const SILENT_BEATS: u64 = 2;
/// Silence of so many intervals is no short gap.
pub const LOST_BEATS: u64 = 5;

/// The silence after which a node is lost.
#[must_use]
pub const fn lost_after(node: &Node) -> Millis {
    Millis(node.silent_after.0.saturating_mul(LOST_BEATS) / SILENT_BEATS)
}

/// True for a node whose silence leaves a door, water or fire unwatched.
#[must_use]
pub fn is_guard(node: &Node) -> bool {
    let mut contacts = node.channels.iter().filter_map(|channel| channel.contact);
    node.hardware.portal.is_some() || contacts.any(|contact| contact != ContactKind::MainsPresent)
}

/// Offsets of a node's clock that are alarms, in ms: what staff can live with, what makes the order of
/// entries doubtful, and what makes times wrong. A node with a smaller one is only told the time again.
pub const CLOCK_STEPS: [(u64, &str, Priority); 3] = [
    (500, "advisory", Priority::Advisory),
    (1_000, "warning", Priority::Warning),
    (10_000, "critical", Priority::Critical),
];
/// So many heartbeats in a row must agree; the node is told the time in between.
pub const CLOCK_SAMPLES: usize = 3;

/// Alarm id of a node's clock.
#[must_use]
pub fn node_clock_id(node: &str, step: &str) -> String {
    format!("{node}.clock.{step}")
}

/// Alarms of a node's clock.
pub fn node_clock(node: &Node) -> impl Iterator<Item = Definition> {
    CLOCK_STEPS.into_iter().map(|(_, step, priority)| Definition {
        priority,
        own_what: Some(Label::new("端末の時計のずれ", "The clock of a node is off")),
        own_action: Some(Label::new(
            "端末を再起動し、続くときは時計の電池または基板の交換を保守業者へ依頼してください。その間の入退室記録の時刻は疑ってください。",
            "Restart the node. If it goes on, have its clock's battery or its board replaced; doubt the times of its entries meanwhile.",
        )),
        ..Definition::of(Kind::Clock, node_clock_id(&node.name, step), node.label.clone())
    })
}

/// What can be wrong with a node as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeTrouble {
    /// Nothing authentic heard.
    Silent,
    /// Nothing authentic heard for [`lost_after`].
    Lost,
    /// The controller has no key of it, so that nothing it says can be proven.
    NoKey,
    /// Frames refused in its name.
    Refused,
    /// Events missing or lost.
    Missing,
    /// Another board says that it is this node.
    Twin,
    /// Its program ended badly and was started again.
    Crashed,
    /// It crashed again and again and watches nothing any more.
    SafeMode,
    /// It does not take the access list.
    List,
    /// Its access list was not confirmed for too long.
    ListStale,
    /// It does not take its new key.
    Key,
    /// It did not take a new firmware.
    Update,
}

impl NodeTrouble {
    /// Every trouble.
    pub const ALL: [Self; 12] = [
        Self::Silent,
        Self::Lost,
        Self::NoKey,
        Self::Refused,
        Self::Missing,
        Self::Twin,
        Self::Crashed,
        Self::SafeMode,
        Self::List,
        Self::ListStale,
        Self::Key,
        Self::Update,
    ];

    /// True for what has no end of its own: its alarm holds for a while and then returns.
    #[must_use]
    pub const fn is_occurrence(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::Missing | Self::Twin | Self::Crashed | Self::Update
        )
    }
}

/// Alarm id of a node.
#[must_use]
pub fn node_id(node: &str, trouble: NodeTrouble) -> String {
    let word = match trouble {
        NodeTrouble::Silent => "silent",
        NodeTrouble::Lost => "lost",
        NodeTrouble::NoKey => "no_key",
        NodeTrouble::Refused => "refused",
        NodeTrouble::Missing => "missing",
        NodeTrouble::Twin => "twin",
        NodeTrouble::Crashed => "crashed",
        NodeTrouble::SafeMode => "safe_mode",
        NodeTrouble::List => "list",
        NodeTrouble::ListStale => "list_stale",
        NodeTrouble::Key => "key",
        NodeTrouble::Update => "update",
    };
    format!("{node}.{word}")
}

impl NodeTrouble {
    /// What its alarm is about.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Silent => Kind::NodeSilent,
            Self::Lost => Kind::NodeLost,
            Self::NoKey => Kind::NodeNoKey,
            Self::Refused => Kind::NodeRefused,
            Self::Missing => Kind::NodeMissing,
            Self::Twin => Kind::NodeTwin,
            Self::Crashed => Kind::NodeCrashed,
            Self::SafeMode => Kind::NodeSafeMode,
            Self::List => Kind::NodeList,
            Self::ListStale => Kind::NodeListStale,
            Self::Key => Kind::NodeKey,
            Self::Update => Kind::NodeUpdate,
        }
    }
}

/// Alarm of a node as a whole.
#[must_use]
pub fn node(node: &Node, trouble: NodeTrouble) -> Definition {
    let (on_delay, is_by_silence) = match trouble {
        NodeTrouble::List => (LIST_PATIENCE, true),
        NodeTrouble::Key => (ROTATION_PATIENCE, true),
        _ => (Millis(0), false),
    };
    let silent = is_by_silence.then(|| node_id(&node.name, NodeTrouble::Silent));
    let alarm = Definition {
        on_delay,
        folded_under: silent.into_iter().collect(),
        ..Definition::of(trouble.kind(), node_id(&node.name, trouble), node.label.clone())
    };
    match trouble {
        NodeTrouble::Silent if is_guard(node) => Definition {
            priority: Priority::Warning,
            ..alarm
        },
        NodeTrouble::Lost if is_guard(node) => Definition {
            priority: Priority::Critical,
            ..alarm
        },
        _ => alarm,
    }
}

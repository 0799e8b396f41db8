//! Alarms of a sensor node as a whole.

use super::Kind;
use crate::alarm::Definition;
use crate::site::Node;
use crate::time::Millis;

/// A node that has not taken its access list for so long needs a person.
pub const LIST_PATIENCE: Millis = Millis(600_000);
/// A node that has not changed its key for so long after it was told needs a person.
pub const ROTATION_PATIENCE: Millis = Millis(600_000);

/// What can be wrong with a node as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeTrouble {
    /// Nothing authentic heard.
    Silent,
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
    pub const ALL: [Self; 11] = [
        Self::Silent,
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
    Definition {
        on_delay,
        folded_under: silent.into_iter().collect(),
        ..Definition::of(trouble.kind(), node_id(&node.name, trouble), node.label.clone())
    }
}

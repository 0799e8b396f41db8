//! Alarms of parts that fail while everything still works, of uplinks and of groups.

use super::Kind;
use crate::alarm::Definition;
use crate::redundancy::Kind as Parts;
use crate::site::Label;
use crate::site::groups::Group;
use crate::time::Millis;

/// A switch-over takes its time; what is over sooner needs nobody.
pub const GROUP_ON_DELAY: Millis = Millis(10_000);
/// Links come and go while a switch restarts.
pub const UPLINK_ON_DELAY: Millis = Millis(5_000);

/// Alarm id of the parts of a kind.
#[must_use]
pub fn parts_id(device: &str, kind: Parts) -> String {
    format!("{device}.{}", kind.word())
}

/// Alarm of the parts of a kind.
#[must_use]
pub fn parts(device: &str, place: Label, parts: Parts) -> Definition {
    let (kind, explained_by) = match parts {
        Parts::Supply => (Kind::PowerSupply, None),
        // One failure, one line: the disc explains the array, the supply the lost redundancy.
        Parts::Array => (Kind::DiscArray, Some(Parts::Disc)),
        Parts::ArrayLost => (Kind::DiscArrayLost, None),
        Parts::CacheBattery => (Kind::CacheBattery, None),
        Parts::Disc => (Kind::DiscFailed, None),
        Parts::Fan => (Kind::FanFailed, None),
        Parts::Memory => (Kind::MemoryFailed, None),
        Parts::Redundancy => (Kind::DeviceRedundancy, Some(Parts::Supply)),
        Parts::Other => (Kind::PartBad, None),
    };
    Definition {
        folded_under: explained_by
            .map(|cause| parts_id(device, cause))
            .into_iter()
            .collect(),
        ..Definition::of(kind, parts_id(device, parts), place)
    }
}

/// Alarm id of a switch's uplinks.
#[must_use]
pub fn uplink_id(device: &str) -> String {
    format!("{device}.uplink")
}

/// Alarm of a switch's uplinks.
#[must_use]
pub fn uplink(device: &str, place: Label) -> Definition {
    Definition {
        on_delay: UPLINK_ON_DELAY,
        ..Definition::of(Kind::UplinkDown, uplink_id(device), place)
    }
}

/// What can be wrong with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupTrouble {
    /// It does not do its work.
    Service,
    /// Both halves of a pair say that they serve.
    Both,
    /// It works, and the next failure stops it.
    Redundancy,
    /// It works and bears another failure, but a member is down.
    Reduced,
}

impl GroupTrouble {
    /// Every trouble.
    pub const ALL: [Self; 4] = [Self::Service, Self::Both, Self::Redundancy, Self::Reduced];

    const fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Both => "both",
            Self::Redundancy => "redundancy",
            Self::Reduced => "reduced",
        }
    }
}

/// Alarm id of a group.
#[must_use]
pub fn group_id(group: &str, trouble: GroupTrouble) -> String {
    format!("group.{group}.{}", trouble.word())
}

/// Alarm of a group.
#[must_use]
pub fn group(group: &Group, trouble: GroupTrouble) -> Definition {
    let (kind, is_by_loss) = match trouble {
        GroupTrouble::Service => (Kind::GroupService, false),
        GroupTrouble::Both => (Kind::GroupBoth, false),
        GroupTrouble::Redundancy => (Kind::RedundancyLost, true),
        GroupTrouble::Reduced => (Kind::GroupReduced, true),
    };
    let service = is_by_loss.then(|| group_id(&group.name, GroupTrouble::Service));
    Definition {
        on_delay: GROUP_ON_DELAY,
        folded_under: service.into_iter().collect(),
        ..Definition::of(kind, group_id(&group.name, trouble), group.label.clone())
    }
}

/// Words for a device that does not answer and has others behind it.
#[must_use]
pub fn with_devices_behind(because: &Label, count: usize) -> Label {
    if count == 0 {
        return because.clone();
    }
    Label::new(
        format!("{}。この先の {count} 台の状態は不明", because.ja),
        format!("{}; {count} devices behind it are unknown", because.en),
    )
}

//! Alarms of a portal: a door that a node guards with a reader.

use super::Kind;
use crate::alarm::Definition;
use crate::site::Portal;

/// What can be wrong at a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortalTrouble {
    /// Opened though nothing allowed it. With a door contact this is the contact's own alarm.
    Forced,
    /// Stands open for longer than it may.
    Held,
    /// Reader or enclosure opened.
    Tamper,
    /// The reader does not work.
    Reader,
    /// Closed, but the bolt is not thrown.
    Unlocked,
}

impl PortalTrouble {
    /// Every trouble.
    pub const ALL: [Self; 5] = [
        Self::Forced,
        Self::Held,
        Self::Tamper,
        Self::Reader,
        Self::Unlocked,
    ];
}

/// Alarm id of a portal: what concerns the door is named by its contact, if it has one.
#[must_use]
pub fn portal_id(portal: &Portal, trouble: PortalTrouble) -> String {
    let door = portal.door.as_ref().unwrap_or(&portal.name);
    match trouble {
        PortalTrouble::Forced => format!("{door}.forced"),
        PortalTrouble::Held => format!("{door}.held"),
        PortalTrouble::Tamper => format!("{}.tamper", portal.name),
        PortalTrouble::Reader => format!("{}.reader", portal.name),
        PortalTrouble::Unlocked => format!("{}.unlocked", portal.name),
    }
}

/// Alarm of a portal.
#[must_use]
pub fn portal(portal: &Portal, trouble: PortalTrouble) -> Definition {
    let kind = match trouble {
        PortalTrouble::Forced => Kind::DoorForced,
        PortalTrouble::Held => Kind::DoorHeld,
        PortalTrouble::Tamper => Kind::Tamper,
        PortalTrouble::Reader => Kind::ReaderFault,
        PortalTrouble::Unlocked => Kind::DoorUnlocked,
    };
    Definition::of(kind, portal_id(portal, trouble), portal.label.clone())
}

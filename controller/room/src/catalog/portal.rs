//! Alarms of a portal: a door that a node guards with a reader.

use super::Kind;
use crate::alarm::Definition;
use crate::site::{Label, Portal, Priority};
use crate::time::Millis;

/// The first stage is the node's: it buzzes at the door (`warn`) and says that the door is held open
/// (`held_open`), a warning. A door that stands open for so long after that is the last stage.
pub const HELD_LONG: Millis = Millis::from_secs(120);

/// What can be wrong at a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortalTrouble {
    /// Opened though nothing allowed it. With a door contact this is the contact's own alarm.
    Forced,
    /// Stands open for longer than it may.
    Held,
    /// Stands open for [`HELD_LONG`] more: nobody closes it by himself any more.
    HeldLong,
    /// Reader or enclosure opened.
    Tamper,
    /// The reader does not work.
    Reader,
    /// Closed, but the bolt is not thrown.
    Unlocked,
    /// Entry was denied again and again.
    Denied,
    /// A card is used in a way that cannot be right.
    Card,
}

impl PortalTrouble {
    /// Every trouble.
    pub const ALL: [Self; 8] = [
        Self::Forced,
        Self::Held,
        Self::HeldLong,
        Self::Tamper,
        Self::Reader,
        Self::Unlocked,
        Self::Denied,
        Self::Card,
    ];

    /// True for what happens and is over: it has no end of its own.
    #[must_use]
    pub const fn is_occurrence(self) -> bool {
        matches!(self, Self::Denied | Self::Card)
    }
}

/// Alarm id of a portal: what concerns the door is named by its contact, if it has one.
#[must_use]
pub fn portal_id(portal: &Portal, trouble: PortalTrouble) -> String {
    let door = portal.door.as_ref().unwrap_or(&portal.name);
    match trouble {
        PortalTrouble::Forced => format!("{door}.forced"),
        PortalTrouble::Held => format!("{door}.held"),
        PortalTrouble::HeldLong => format!("{door}.held_long"),
        PortalTrouble::Tamper => format!("{}.tamper", portal.name),
        PortalTrouble::Reader => format!("{}.reader", portal.name),
        PortalTrouble::Unlocked => format!("{}.unlocked", portal.name),
        PortalTrouble::Denied => format!("{}.denied", portal.name),
        PortalTrouble::Card => format!("{}.card", portal.name),
    }
}

/// Alarm id of cards that were not given back in time.
pub const CARDS_OVERDUE: &str = "access.cards.overdue";

/// Alarm of cards that were not given back in time; they are stopped.
#[must_use]
pub fn cards_overdue() -> Definition {
    Definition::of(
        Kind::CardOverdue,
        CARDS_OVERDUE.to_owned(),
        Label::new("カード", "cards"),
    )
}

/// Alarm of a portal.
#[must_use]
pub fn portal(portal: &Portal, trouble: PortalTrouble) -> Definition {
    let kind = match trouble {
        PortalTrouble::Forced => Kind::DoorForced,
        PortalTrouble::Held | PortalTrouble::HeldLong => Kind::DoorHeld,
        PortalTrouble::Tamper => Kind::Tamper,
        PortalTrouble::Reader => Kind::ReaderFault,
        PortalTrouble::Unlocked => Kind::DoorUnlocked,
        PortalTrouble::Denied => Kind::DeniedRepeatedly,
        PortalTrouble::Card => Kind::CardAnomaly,
    };
    let alarm = Definition::of(kind, portal_id(portal, trouble), portal.label.clone());
    if trouble != PortalTrouble::HeldLong {
        return alarm;
    }
    Definition {
        priority: Priority::Critical,
        on_delay: HELD_LONG,
        own_what: Some(Label::new("扉の開放放置が続いている", "Door still held open")),
        ..alarm
    }
}

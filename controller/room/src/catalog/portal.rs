//! Alarms of a portal: a door that a node guards with a reader.

use crate::alarm::Definition;
use crate::site::{Label, Portal, Priority};
use crate::time::Millis;

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
    let (priority, what, action) = match trouble {
        PortalTrouble::Forced => (
            Priority::Critical,
            Label::new("扉のこじ開け（許可のない開放）", "Door opened without a grant"),
            Label::new(
                "現地またはカメラで入室者を確認し、情報システム管理者へ連絡してください。",
                "Check who entered, on site or by camera, and call the system administrator.",
            ),
        ),
        PortalTrouble::Held => (
            Priority::Warning,
            Label::new("扉の開放放置", "Door held open"),
            Label::new(
                "扉を閉めてください。搬入出の作業中なら立会者を確認してください。",
                "Close the door. If something is being carried in or out, check that somebody attends.",
            ),
        ),
        PortalTrouble::Tamper => (
            Priority::Critical,
            Label::new("カードリーダーまたは箱が開けられた", "Reader or enclosure opened"),
            Label::new(
                "現地を確認し、作業予定がなければ情報システム管理者へ連絡してください。",
                "Check on site; if no work is planned, call the system administrator.",
            ),
        ),
        PortalTrouble::Reader => (
            Priority::Warning,
            Label::new("カードリーダーが使えない", "Card reader does not work"),
            Label::new(
                "カードで入室できません。鍵で入室を管理し、カードリーダーの電源と配線を確認してください。退室には影響しません。",
                "Nobody can enter by card. Control entry by key, and check the reader's power and wiring. Leaving is not affected.",
            ),
        ),
        PortalTrouble::Unlocked => (
            Priority::Warning,
            Label::new("扉は閉じているが施錠されていない", "Door closed but not locked"),
            Label::new(
                "扉を押して施錠を確認し、ストライクに物が挟まっていないか見てください。",
                "Push the door and check that it locks; look for something stuck in the strike.",
            ),
        ),
    };
    Definition {
        id: portal_id(portal, trouble),
        priority,
        what,
        place: portal.label.clone(),
        action,
        on_delay: Millis(0),
        off_delay: Millis(0),
        latching: matches!(trouble, PortalTrouble::Forced | PortalTrouble::Tamper),
        cause: None,
    }
}

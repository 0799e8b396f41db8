//! What a person at the controller's own machine asks for about persons and cards.

use super::{Kind, Right};
use serde::{Deserialize, Serialize};
use shared::access::{EVERY_DAY, STEPS_PER_DAY};

/// What came through the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Do all of this, or nothing.
    Do(Vec<Wish>),
    /// Say what would be done of it.
    Try(Vec<Wish>),
    /// Tell.
    Tell(Question),
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Everybody in the register, and every card.
    Register,
    /// Who is inside, and the newest passages.
    Passages,
}

/// The values of a person that are never journaled.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Personal {
    /// As on the name plate.
    pub name: String,
    /// Reading, in kana.
    pub kana: String,
    /// Section.
    pub section: String,
    /// Telephone.
    pub phone: String,
    /// Company, of people who are not the city's.
    pub company: String,
}

impl std::fmt::Debug for Personal {
    /// Never shows what is in it: this may end in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Personal(***)")
    }
}

/// A right as it is asked for; what is left out is the kind's and the person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightWish {
    /// See [`Right::from`].
    pub from: u8,
    /// See [`Right::to`].
    pub to: u8,
    /// See [`Right::days`].
    pub days: u8,
    /// First day; today when not said.
    pub valid_from: Option<u16>,
    /// Last day; no end of its own when not said.
    pub valid_until: Option<u16>,
}

impl Default for RightWish {
    fn default() -> Self {
        Self {
            from: 0,
            to: STEPS_PER_DAY,
            days: EVERY_DAY,
            valid_from: None,
            valid_until: None,
        }
    }
}

impl RightWish {
    pub(super) fn right(self, today: u16) -> Right {
        Right {
            from: self.from,
            to: self.to,
            days: self.days,
            valid_from: self.valid_from.unwrap_or(today),
            valid_until: self.valid_until.unwrap_or(u16::MAX),
        }
    }
}

impl Wish {
    /// True for what can make a list longer.
    pub(super) const fn may_lengthen(&self) -> bool {
        matches!(self, Self::Grant { .. } | Self::Lend { .. } | Self::Deputy { .. })
    }
}

/// One change that is wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// A new person under this id, which must be free.
    Add {
        /// `p-` and eight letters or digits, drawn at random.
        person: String,
        /// What kind.
        kind: Kind,
        /// First day; today when not said.
        from: Option<u16>,
        /// Last day; by the kind when not said.
        until: Option<u16>,
    },
    /// Another kind or last day.
    Change {
        /// Id.
        person: String,
        /// What kind, if another one.
        kind: Option<Kind>,
        /// Last day, if another one; `Some(None)`: no end.
        until: Option<Option<u16>>,
    },
    /// A person leaves: rights, deputies and cards end in one act.
    Leave {
        /// Id.
        person: String,
        /// The last day on which they may enter; `None`: at once.
        last: Option<u16>,
    },
    /// Forget a person who left and has no card any more.
    Erase {
        /// Id.
        person: String,
    },
    /// These still need to enter.
    Confirm {
        /// Ids.
        persons: Vec<String>,
    },
    /// Let a person open portals.
    Grant {
        /// Id.
        person: String,
        /// Portals.
        portals: Vec<String>,
        /// When.
        right: RightWish,
    },
    /// Let a person open portals no more.
    Revoke {
        /// Id.
        person: String,
        /// Portals; none: all.
        portals: Vec<String>,
    },
    /// Let a person open what another one may.
    Deputy {
        /// Who stands in,
        deputy: String,
        /// for whom.
        of: String,
        /// First day.
        from: u16,
        /// Last day, included; before `from`: the deputy's time ends.
        until: u16,
    },
    /// A new card for the drawer.
    Issue {
        /// The name written on it.
        card: String,
        /// Under the site's card key, as hex.
        id: String,
        /// With its PIN.
        pin_id: Option<String>,
    },
    /// Give a card to a person.
    Lend {
        /// Name of the card.
        card: String,
        /// Id.
        person: String,
        /// Last day on which it works.
        due: Option<u16>,
    },
    /// Take a card back, or say that a lost one was found.
    Return {
        /// Name of the card.
        card: String,
    },
    /// Stop a card, or every card of a person.
    Lost {
        /// Name of a card, its id as hex, or the id of a person.
        card: String,
    },
    /// A card works no more.
    Broken {
        /// Name of the card.
        card: String,
    },
}

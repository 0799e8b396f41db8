//! What is journaled about persons and cards. Contract like `crate::record`: append only.
//!
//! Ids, dates and portals only; never a name, a number on a card, or another personal value. `by` is
//! the user of the controller's machine who ordered it.

use super::{Kind, Right};
use serde::{Deserialize, Serialize};

/// One change. Days are days since 1970 in local time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Record {
    /// A person is in the register.
    PersonAdded {
        /// Opaque id.
        person: String,
        /// What kind.
        group: Kind,
        /// First day.
        from: u16,
        /// Last day, included.
        until: Option<u16>,
        /// Who ordered it.
        by: String,
    },
    /// Kind or last day are others; or only what is kept outside the journal.
    PersonChanged {
        /// Id.
        person: String,
        /// What kind.
        group: Kind,
        /// Last day, included.
        until: Option<u16>,
        /// Who ordered it.
        by: String,
    },
    /// A person may enter no more.
    PersonLeft {
        /// Id.
        person: String,
        /// The first day on which that is so.
        from: u16,
        /// Cards that are still with them.
        cards: Vec<String>,
        /// Who ordered it.
        by: String,
    },
    /// Nothing is kept of a person but this id.
    PersonErased {
        /// Id.
        person: String,
        /// Who ordered it.
        by: String,
    },
    /// These still need to enter.
    Confirmed {
        /// Ids.
        persons: Vec<String>,
        /// Who says so.
        by: String,
    },
    /// A person may open a portal; takes the place of an earlier right to the same one.
    RightGranted {
        /// Id.
        person: String,
        /// Portal.
        portal: String,
        /// When.
        right: Right,
        /// Who ordered it.
        by: String,
    },
    /// A person may open a portal no more.
    RightRevoked {
        /// Id.
        person: String,
        /// Portal.
        portal: String,
        /// Who ordered it.
        by: String,
    },
    /// Somebody may open what another one may, for a while.
    DeputyNamed {
        /// Who stands in,
        deputy: String,
        /// for whom.
        of: String,
        /// First day.
        from: u16,
        /// Last day, included.
        until: u16,
        /// Who ordered it.
        by: String,
    },
    /// That is over before its time.
    DeputyEnded {
        /// Who stood in,
        deputy: String,
        /// for whom.
        of: String,
        /// Who ordered it.
        by: String,
    },
    /// A card is in the register, in the drawer.
    CardIssued {
        /// The name written on it.
        card: String,
        /// Under the site's card key, as hex.
        id: String,
        /// With its PIN, as hex.
        pin_id: Option<String>,
        /// Who ordered it.
        by: String,
    },
    /// A card is with a person.
    CardLent {
        /// Name of the card.
        card: String,
        /// Id.
        person: String,
        /// The last day on which it works; `None` when it stays.
        due: Option<u16>,
        /// Who gave it.
        by: String,
    },
    /// A card is in the drawer again, or was found.
    CardReturned {
        /// Name of the card; of one of the site's file, its id as hex.
        card: String,
        /// Who took it.
        by: String,
    },
    /// A card is lost; it is stopped.
    CardLost {
        /// Name of the card; of one of the site's file, its id as hex.
        card: String,
        /// Portals that it opened.
        doors: Vec<String>,
        /// Who ordered it.
        by: String,
    },
    /// A door said that its list with the lost card stopped is in force.
    CardStopped {
        /// Name of the card.
        card: String,
        /// Portal.
        portal: String,
        /// Version of the list.
        version: u32,
        /// Milliseconds since the loss was reported.
        after_ms: u64,
    },
    /// A card does not work any more.
    CardBroken {
        /// Name of the card.
        card: String,
        /// Who ordered it.
        by: String,
    },
}

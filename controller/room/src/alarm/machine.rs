//! The machine of one alarm after ISA-18.2, as two tables: where it stands, and what covers it.
//!
//! ```text
//!            raise                    acknowledge
//!  Normal ----------> Unacknowledged --------------> Acknowledged --take--> Acknowledged
//!    ^                   |    ^  ^                     |   |
//!    |            return |    |  +-- surface ----------+   | return
//!    |                   v    | raise                      v
//!    +---------- ReturnedUnacknowledged          Normal, or Latched --reset--> Normal
//!     acknowledge (or -> Latched)
//!
//!  Open --shelve--> Shelved --unshelve--> Open        take out: Open, Shelved -> OutOfService
//!                   Shelved --shelve----> Shelved     put back: OutOfService -> Open
//! ```
//! The cover lies over the standing: the condition is watched underneath, so that nothing that
//! happens meanwhile is lost. Suppression by design is no cover of its own, because nobody puts it
//! there: it follows from the causes that stand and from maintenance windows.
//!
//! A shelf or a time out of service that ends while the alarm stands lets it *surface*: it waits
//! for an acknowledgement again and nobody owns it. ISA-18.2 lets a suppressed alarm return to
//! normal or to unacknowledged only, and rightly: who took it hours ago may have gone home. An
//! alarm that was folded under its cause keeps its acknowledgement: nobody put it away.

/// Where an alarm stands. What takes us in and out is in [`next`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Nothing to do.
    Normal,
    /// Raised, nobody has it.
    Unacknowledged,
    /// Raised, somebody has it.
    Acknowledged,
    /// The cause went before anybody had seen it.
    ReturnedUnacknowledged,
    /// The cause went, it was seen, and a person must reset it.
    Latched,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Self; 5] = [
        Self::Normal,
        Self::Unacknowledged,
        Self::Acknowledged,
        Self::ReturnedUnacknowledged,
        Self::Latched,
    ];

    /// True while the condition is there.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Unacknowledged | Self::Acknowledged)
    }
}

/// What can happen to an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// The condition held for its on-delay.
    Raise,
    /// The condition was gone for its off-delay.
    Return,
    /// The same, and it had been folded under its cause all the time: nobody was ever shown it.
    ReturnUnseen,
    /// Somebody took it.
    Acknowledge,
    /// Somebody else took it over.
    Take,
    /// Somebody reset it.
    Reset,
    /// Its shelf or its time out of service ended.
    Surface,
}

impl Input {
    /// Every input.
    pub const ALL: [Self; 7] = [
        Self::Raise,
        Self::Return,
        Self::ReturnUnseen,
        Self::Acknowledge,
        Self::Take,
        Self::Reset,
        Self::Surface,
    ];
}

/// The table of transitions; `None` is a pair that does not change anything and is refused.
#[must_use]
pub const fn next(standing: Standing, input: Input, latching: bool) -> Option<Standing> {
    use Standing::{Acknowledged, Latched, Normal, ReturnedUnacknowledged, Unacknowledged};
    match (standing, input) {
        (Normal | ReturnedUnacknowledged | Latched, Input::Raise) | (Acknowledged, Input::Surface) => {
            Some(Unacknowledged)
        }
        (Unacknowledged, Input::Acknowledge) | (Acknowledged, Input::Take) => Some(Acknowledged),
        (Unacknowledged, Input::Return) => Some(ReturnedUnacknowledged),
        // What must be reset must be seen first, whatever it was folded under.
        (Unacknowledged, Input::ReturnUnseen) => Some(if latching { ReturnedUnacknowledged } else { Normal }),
        (Acknowledged, Input::Return | Input::ReturnUnseen)
        | (ReturnedUnacknowledged, Input::Acknowledge) => Some(if latching { Latched } else { Normal }),
        (Latched, Input::Take) => Some(Latched),
        (Latched, Input::Reset) => Some(Normal),
        // A standing alarm is not raised again, a returned one does not return again; only a
        // raised or returned one can be acknowledged, only an acknowledged one taken over; only a
        // latched one needs a reset; what waits for an acknowledgement surfaces as it is.
        (Unacknowledged | Acknowledged, Input::Raise)
        | (Normal | ReturnedUnacknowledged | Latched, Input::Return | Input::ReturnUnseen)
        | (Normal | Acknowledged | Latched, Input::Acknowledge)
        | (Normal | Unacknowledged | ReturnedUnacknowledged, Input::Take)
        | (Normal | Unacknowledged | Acknowledged | ReturnedUnacknowledged, Input::Reset)
        | (Normal | Unacknowledged | ReturnedUnacknowledged | Latched, Input::Surface) => None,
    }
}

/// What lies over an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cover {
    /// Nothing: it shows where it stands.
    Open,
    /// Put away for hours.
    Shelved,
    /// Taken out of service for days.
    OutOfService,
}

impl Cover {
    /// Every cover.
    pub const ALL: [Self; 3] = [Self::Open, Self::Shelved, Self::OutOfService];
}

/// What can be done to the cover of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Covering {
    /// Put it away, or put it away until another time.
    Shelve,
    /// The shelf ends, by itself or by a person.
    Unshelve,
    /// Take it out of service.
    TakeOut,
    /// Put it back into service, by itself or by a person.
    PutBack,
}

impl Covering {
    /// Everything that can be done.
    pub const ALL: [Self; 4] = [Self::Shelve, Self::Unshelve, Self::TakeOut, Self::PutBack];
}

/// The table of covers; `None` is a pair that is refused.
#[must_use]
pub const fn cover(cover: Cover, covering: Covering) -> Option<Cover> {
    match (cover, covering) {
        (Cover::Open | Cover::Shelved, Covering::Shelve) => Some(Cover::Shelved),
        (Cover::Shelved, Covering::Unshelve) | (Cover::OutOfService, Covering::PutBack) => Some(Cover::Open),
        (Cover::Open | Cover::Shelved, Covering::TakeOut) => Some(Cover::OutOfService),
        (Cover::OutOfService, Covering::Shelve | Covering::TakeOut | Covering::Unshelve)
        | (Cover::Open, Covering::Unshelve | Covering::PutBack)
        | (Cover::Shelved, Covering::PutBack) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, so that a changed transition is a changed line here.
    #[test]
    fn the_table_of_transitions() {
        let mut table = String::new();
        for latching in [false, true] {
            for standing in Standing::ALL {
                for input in Input::ALL {
                    if let Some(to) = next(standing, input, latching) {
                        table += &format!(
                            "{standing:?} {input:?} -> {to:?}{}\n",
                            if latching { " (latching)" } else { "" }
                        );
                    }
                }
            }
        }
        expect_test::expect![[r#"
            Normal Raise -> Unacknowledged
            Unacknowledged Return -> ReturnedUnacknowledged
            Unacknowledged ReturnUnseen -> Normal
            Unacknowledged Acknowledge -> Acknowledged
            Acknowledged Return -> Normal
            Acknowledged ReturnUnseen -> Normal
            Acknowledged Take -> Acknowledged
            Acknowledged Surface -> Unacknowledged
            ReturnedUnacknowledged Raise -> Unacknowledged
            ReturnedUnacknowledged Acknowledge -> Normal
            Latched Raise -> Unacknowledged
            Latched Take -> Latched
            Latched Reset -> Normal
            Normal Raise -> Unacknowledged (latching)
            Unacknowledged Return -> ReturnedUnacknowledged (latching)
            Unacknowledged ReturnUnseen -> ReturnedUnacknowledged (latching)
            Unacknowledged Acknowledge -> Acknowledged (latching)
            Acknowledged Return -> Latched (latching)
            Acknowledged ReturnUnseen -> Latched (latching)
            Acknowledged Take -> Acknowledged (latching)
            Acknowledged Surface -> Unacknowledged (latching)
            ReturnedUnacknowledged Raise -> Unacknowledged (latching)
            ReturnedUnacknowledged Acknowledge -> Latched (latching)
            Latched Raise -> Unacknowledged (latching)
            Latched Take -> Latched (latching)
            Latched Reset -> Normal (latching)
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn the_table_of_covers() {
        let mut table = String::new();
        for from in Cover::ALL {
            for covering in Covering::ALL {
                if let Some(to) = cover(from, covering) {
                    table += &format!("{from:?} {covering:?} -> {to:?}\n");
                }
            }
        }
        expect_test::expect![[r#"
            Open Shelve -> Shelved
            Open TakeOut -> OutOfService
            Shelved Shelve -> Shelved
            Shelved Unshelve -> Open
            Shelved TakeOut -> OutOfService
            OutOfService PutBack -> Open
        "#]]
        .assert_eq(&table);
    }
}

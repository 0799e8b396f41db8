//! Groups: devices of which some are enough. From the state of every member, whether the
//! service is there, who serves, and whether the next failure can be borne.
//!
//! | | all others are | service | redundancy |
//! |---|---|---|---|
//! | more than `need` are up | up | up | full |
//! | more than `need` are up | down | up | reduced |
//! | `need` are up | down | up | lost |
//! | fewer than `need` are up | down | lost | lost |
//! | any | one is unknown | as far as it is certain | unknown, or lost if that is certain |
//!
//! With a serving fact the service is there when a member says that it serves, and gone only
//! when every member is known and none does.

/// What is known of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Member {
    /// Answers. Whether it serves: `None` when the group has no serving fact or the member does
    /// not tell it.
    Up(Option<bool>),
    /// Answered before and does not now, or says that it is switched off.
    Down,
    /// Never heard, did not answer when asked last but may yet, or behind something that does not.
    Unknown,
}

impl Member {
    /// As in the picture of the room.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up(Some(true)) => "serving",
            Self::Up(Some(false)) => "waiting",
            Self::Up(None) => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether the group does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// It does.
    Up,
    /// It certainly does not.
    Lost,
    /// Nobody can say.
    Unknown,
}

impl Service {
    /// As in the picture of the room.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether the group bears the next failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Redundancy {
    /// Every member is up.
    Full,
    /// One may fail, though not every member is up.
    Reduced,
    /// None may fail.
    Lost,
    /// Nobody can say.
    Unknown,
}

impl Redundancy {
    /// As in the picture of the room.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Reduced => "reduced",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        }
    }
}

/// What can be said of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Whether it does its work.
    pub service: Service,
    /// Whether it bears the next failure.
    pub redundancy: Redundancy,
    /// Who says that it serves, by its place in the list.
    pub serving: Vec<usize>,
    /// Who is down.
    pub down: Vec<usize>,
    /// Of whom nothing is known.
    pub unknown: Vec<usize>,
}

/// Assesses a group of which `need` members are enough. `has_serving_fact`: members say whether
/// they serve.
#[must_use]
pub fn assess(members: &[Member], need: usize, has_serving_fact: bool) -> Assessment {
    let places = |wanted: &dyn Fn(Member) -> bool| -> Vec<usize> {
        let found = members.iter().enumerate().filter(|(_, member)| wanted(**member));
        found.map(|(place, _)| place).collect()
    };
    let up = places(&|member| matches!(member, Member::Up(_))).len();
    let serving = places(&|member| member == Member::Up(Some(true)));
    let down = places(&|member| member == Member::Down);
    let unknown = places(&|member| member == Member::Unknown);
    let possible = up + unknown.len();
    let untold = has_serving_fact
        && members
            .iter()
            .any(|member| matches!(member, Member::Unknown | Member::Up(None)));
    let service = if possible < need {
        Service::Lost
    } else if has_serving_fact && !serving.is_empty() {
        Service::Up
    } else if has_serving_fact && !untold {
        Service::Lost
    } else if has_serving_fact || up < need {
        Service::Unknown
    } else {
        Service::Up
    };
    let redundancy = if possible <= need {
        Redundancy::Lost
    } else if !unknown.is_empty() {
        Redundancy::Unknown
    } else if down.is_empty() {
        Redundancy::Full
    } else {
        Redundancy::Reduced
    };
    Assessment {
        service,
        redundancy,
        serving,
        down,
        unknown,
    }
}

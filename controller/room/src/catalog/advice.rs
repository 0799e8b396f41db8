//! What the kinds of alarms say, one file a class. Times are what a person has, from the moment the
//! alarm is raised, before the consequence comes.

use super::kind::{Advice, Class, Owner, Text};
use crate::site::Priority;
use crate::time::Millis;

pub(super) mod device;
pub(super) mod door;
pub(super) mod environment;
pub(super) mod fire;
pub(super) mod part;
pub(super) mod power;
pub(super) mod system;
pub(super) mod water;

const fn minutes(minutes: u64) -> Millis {
    Millis::from_secs(minutes * 60)
}

const fn hours(hours: u64) -> Millis {
    minutes(hours * 60)
}

const fn days(days: u64) -> Millis {
    hours(days * 24)
}

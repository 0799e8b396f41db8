//! Redundancy: what is left when something fails although everything still works.
//!
//! A server with two supplies, an array with a spare disc, a pair of which one half serves: all
//! of them go on working after the first failure, and nobody notices until the second. This
//! module notices the first. It has two halves that know nothing of each other:
//!
//! ```text
//! Reading --Parts::hear--> rows of health --Parts::verdict--> one alarm for each kind of part
//! state of each device ---------group::assess---------------> one state for each group
//! ```
//!
//! It never takes silence for health: a row that was bad and is no longer told stays bad, and a
//! group of which one member is unknown is never called redundant. It never decides who is told,
//! and never reads a clock.

pub mod group;
pub mod parts;

pub use group::{Assessment, Member, Redundancy, Service, assess};
pub use parts::{Kind, Parts, Verdict};

#[cfg(test)]
mod tests;

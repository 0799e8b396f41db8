//! Decisions of the watchtower. Pure: no I/O, no clock, no thread; time comes in as an argument.
pub mod device;
pub mod outage;
pub mod plan;
pub mod power;
pub mod profile;
pub mod site;
pub mod snapshot;
pub mod time;

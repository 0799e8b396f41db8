//! The engine as facilities staff see it. Frames are real ones, sealed with the node's key.

#![expect(clippy::unwrap_used, reason = "a test may end where its own set-up is wrong")]

mod access_people;
mod alarms;
mod alarms_random;
mod batteries;
mod bench;
mod climate;
mod derive;
mod devices;
mod forecast;
mod incidents;
mod journal;
mod keys;
mod limits;
mod lists;
mod log;
mod nut_clients;
mod operate;
mod portals;
mod redundancy;
mod story;
mod twins;
mod updates;
mod witness;

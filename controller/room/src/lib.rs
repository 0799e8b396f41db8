//! Decisions of the watchtower: what is true, what it means and what must be done.
//!
//! Pure: no I/O, no clock, no thread, no async; time comes in as an argument. The same code runs
//! in the controller and under a simulated clock in tests.
//!
//! Reading order: [`site`] what stands in the room, [`event`] what can happen, [`engine`] the one
//! owner of the state, then [`node`], [`point`], [`alarm`], [`outage`] and [`plan`], [`record`]
//! what is journaled and [`snapshot`] what is shown.

pub mod access;
pub mod alarm;
pub mod battery;
pub mod catalog;
pub mod command;
pub mod coverage;
pub mod derive;
pub mod device;
pub mod engine;
pub mod event;
pub mod forecast;
pub mod hex;
pub mod incident;
pub mod keys;
pub mod limits;
pub mod line;
pub mod log;
pub mod maintenance;
pub mod megatec;
pub mod node;
pub mod notice;
pub mod nut;
pub mod outage;
pub mod people;
pub mod plan;
pub mod point;
pub mod power;
pub mod profile;
pub mod record;
pub mod redundancy;
pub mod register;
pub mod schedule;
pub mod site;
pub mod snapshot;
pub mod time;
pub mod transfer;
pub mod twin;

pub use engine::Engine;

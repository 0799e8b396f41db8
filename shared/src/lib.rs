//! What a sensor node and the controller must agree on, and nothing else.
//!
//! Wire messages with their proof of origin ([`wire`]), quantities with unit and plausible
//! range ([`quantity`]), the reasons why a value is missing ([`nodata`]), topics ([`topic`]),
//! limits ([`limit`]) and the two filters that both sides reason about ([`filter`]).
//!
//! This crate never allocates, never reads a clock and never performs I/O, so that the same
//! code runs on a microcontroller and in the controller.
#![no_std]

pub mod filter;
pub mod limit;
pub mod nodata;
pub mod quantity;
pub mod topic;
pub mod wire;

pub use nodata::NoData;
pub use quantity::{Quantity, Sample};

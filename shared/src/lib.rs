//! What a sensor node and the controller must agree on, and nothing else.
//!
//! Wire messages with their proof of origin ([`wire`]), quantities with unit and plausible
//! range ([`quantity`]), the reasons why a value is missing ([`nodata`]), topics ([`topic`]),
//! limits ([`limit`]), the two filters that both sides reason about ([`filter`]), who may enter
//! ([`access`]), the block that makes a board a node ([`provision`]) with what is mounted on it
//! ([`mount`], [`board`]), written over a serial line ([`console`]), and its firmware as a signed
//! file ([`image`]).
//!
//! This crate never allocates, never reads a clock and never performs I/O, so that the same
//! code runs on a microcontroller and in the controller.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod access;
pub mod board;
pub mod console;
pub mod crc;
pub mod filter;
pub mod image;
pub mod limit;
pub mod mount;
pub mod nodata;
pub mod provision;
pub mod quantity;
pub mod topic;
pub mod wire;

#[cfg(test)]
mod golden;

pub use nodata::NoData;
pub use quantity::{Quantity, Sample};

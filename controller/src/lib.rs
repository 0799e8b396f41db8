//! The controller: I/O around the pure crate `room`.
pub mod act;
pub mod broker;
mod child;
pub mod clock;
pub mod commands;
pub mod core;
pub mod link;
pub mod listen;
pub mod modbus;
pub mod nut;
pub mod nutd;
pub mod profiles;
pub mod pulse;
pub mod serial;
pub mod snmp;
mod tls;
pub mod web;

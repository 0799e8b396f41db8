//! A simulated server room that speaks the real protocols, on loopback only.
//!
//! Nodes over MQTT 5 with the real wire format, UPS agents over SNMP, servers over SSH. It is
//! what `yagura demo` shows and what tests run against; to the controller it is a room like
//! any other. It never reaches a machine other than this one, and never runs a command.
pub mod server;
pub mod ups;

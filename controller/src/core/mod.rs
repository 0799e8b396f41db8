//! Role `core`: sources, engine, journal. No inbound network but the roles' unix socket.
pub mod source;

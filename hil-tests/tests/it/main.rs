//! The real binary and its parts against real parts: one test binary, loopback only.
mod act;
mod mqtt;

//! Lines with devices that misbehave.

mod bus;
mod fake;
mod session;

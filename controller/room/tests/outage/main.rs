//! The outage engine as a facilities person sees it: scenarios, rules, a simulation.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "simulated times are small"
)]

mod checker;
mod feeds;
mod killed;
mod last;
mod overseer;
mod plan;
mod replay;
mod scenarios;
mod seeds;
mod simulated;
mod world;

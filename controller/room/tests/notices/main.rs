//! Who is told what, when: against notifiers that work, fail, hang and come back, controllers that
//! die between sending and recording, and clocks that are set.

#![expect(clippy::unwrap_used, reason = "a test may end where its own set-up is wrong")]

mod flood;
mod outward;
mod scenarios;
mod seeds;
mod world;

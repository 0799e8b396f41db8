//! The verifier against exports that a writer of its own made: honest ones, tampered ones, and bytes that
//! nobody wrote.
#![allow(clippy::unwrap_used, reason = "a test may end where its own set-up is wrong")]

mod agree;
mod found;
mod strange;
mod tamper;
mod year;

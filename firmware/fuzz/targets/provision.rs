//! Fuzz target: see `fuzz::provision`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::provision(data));

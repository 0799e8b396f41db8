//! Fuzz target: see `fuzz::update`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::update(data));

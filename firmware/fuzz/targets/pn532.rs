//! Fuzz target: see `fuzz::pn532`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::pn532(data));

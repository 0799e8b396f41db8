//! Fuzz target: see `fuzz_controller::profile`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_controller::profile(data));

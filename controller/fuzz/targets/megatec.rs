//! Fuzz target: see `fuzz_controller::megatec`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_controller::megatec(data));

//! Fuzz target: see `fuzz_controller::layout`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_controller::layout(data));

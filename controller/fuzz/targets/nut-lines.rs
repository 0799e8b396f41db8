//! Fuzz target: see `fuzz_controller::nut_lines`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_controller::nut_lines(data));

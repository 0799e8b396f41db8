//! Fuzz target: see `fuzz_controller::registers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_controller::registers(data));

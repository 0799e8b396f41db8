//! Fuzz target: see `fuzz_controller::modbus`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_controller::modbus(data));

//! Fuzz target: see `fuzz_controller::snmp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_controller::snmp(data));

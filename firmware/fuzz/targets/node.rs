//! Fuzz target: see `fuzz::node`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::node(data));

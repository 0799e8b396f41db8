//! Fuzz target: see `fuzz::memory`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::memory(data));

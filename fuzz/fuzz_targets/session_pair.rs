//! The fuzz target `session_pair`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::pair::session_pair(input));

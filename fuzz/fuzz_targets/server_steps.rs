//! The fuzz target `server_steps`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::steps::server_steps(input));

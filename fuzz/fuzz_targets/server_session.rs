//! The fuzz target `server_session`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::smtp::server_session(input));

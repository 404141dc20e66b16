//! The fuzz target `client_session`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::smtp::client_session(input));

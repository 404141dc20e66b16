//! The fuzz target `tlsa`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::cert::tlsa(input));

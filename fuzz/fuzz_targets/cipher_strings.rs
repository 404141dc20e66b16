//! The fuzz target `cipher_strings`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::cert::cipher_strings(input));

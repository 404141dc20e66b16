//! The fuzz target `ehlo`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::smtp::ehlo(input));

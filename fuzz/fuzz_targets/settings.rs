//! The fuzz target `settings`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::relay::settings(input));

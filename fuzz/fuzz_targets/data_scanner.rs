//! The fuzz target `data_scanner`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::smtp::data_scanner(input));

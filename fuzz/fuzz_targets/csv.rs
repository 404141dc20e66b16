//! The fuzz target `csv`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::policy::csv(input));

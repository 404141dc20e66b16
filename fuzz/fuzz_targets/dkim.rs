//! The fuzz target `dkim`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::report::dkim(input));

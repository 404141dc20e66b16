//! The fuzz target `sts_policy`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::report::sts_policy(input));
